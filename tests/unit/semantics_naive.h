/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SEMANTICS_NAIVE_H
#define SEMANTICS_NAIVE_H
/*
 * The semantics once more, as directly as they can be said: every question
 * walks every object and every rule. No identities, classes or ranges.
 */
#include "compile_world.h"

struct naive_answer {
	uint8_t verdict; /* enum bpfast_decision_verdict */
	bool audit;
	uint8_t on_deny;
	char *refs[256]; /* as in the image; of HTTP one for each HTTP rule, else one a rule */
	const struct bf_http_rule *http[256]; /* of HTTP; NULL: every request */
	size_t ref_count;
};

struct naive_question {
	const struct bf_endpoint *subject;
	bool egress;
	uint8_t peer[16];
	uint8_t protocol;
	uint16_t port;
};

static inline bool naive_same(const uint8_t a[16], const uint8_t b[16])
{
	return !memcmp(a, b, 16);
}

static inline bool naive_in_cidr(const uint8_t a[16], const struct bf_cidr *cidr)
{
	uint8_t v4_space[16] = {[10] = 0xff, [11] = 0xff};
	bool cidr_v4 = cidr->len >= 96 && !memcmp(cidr->addr, v4_space, 12);

	if (cidr_v4 != tw_is_v4(a))
		return false;
	for (int bit = 0; bit < cidr->len; bit++)
		if ((a[bit / 8] ^ cidr->addr[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

/* Who has this address: an endpoint, the node (*node), or neither. */
static inline const struct bf_endpoint *naive_owner(const struct tw *w, const uint8_t a[16],
						    bool *node)
{
	*node = false;
	for (size_t i = 0; i < w->world.node_addr_count; i++)
		if (naive_same(w->node_addrs[i], a)) {
			*node = true;
			return NULL;
		}
	for (size_t e = 0; e < w->world.endpoint_count; e++)
		for (size_t i = 0; i < w->endpoints[e].addr_count; i++)
			if (naive_same(w->endpoints[e].addrs[i], a))
				return &w->endpoints[e];
	return NULL;
}

static inline const struct bf_labels *naive_ns(const struct tw *w, const char *name)
{
	for (size_t i = 0; i < w->objects.namespace_count; i++)
		if (!strcmp(w->namespaces[i].name, name))
			return &w->namespaces[i].labels;
	return NULL;
}

static inline bool naive_selects(const struct tw *w, const struct bf_selector *s,
				 const struct bf_endpoint *ep)
{
	return bf_selector_matches(s, ep->namespace, &ep->labels, naive_ns(w, ep->namespace));
}

static inline bool naive_peer(const struct tw *w, const struct bf_peer *peer, const uint8_t a[16],
			      bool egress)
{
	bool node;
	const struct bf_endpoint *ep = naive_owner(w, a, &node);

	switch (peer->kind) {
	case BF_PEER_ALL:
		return true;
	case BF_PEER_SELECTOR:
		return ep && naive_selects(w, &peer->selector, ep);
	case BF_PEER_HOST:
		return node && egress; /* a sender is never the node by its address */
	case BF_PEER_WORLD:
		return !ep && !(node && egress);
	case BF_PEER_CLUSTER:
		return ep || (node && egress);
	case BF_PEER_CIDR:
		if ((ep || node) && !peer->cidr_matches_endpoints)
			return false;
		for (size_t i = 0; i < peer->except_count; i++)
			if (naive_in_cidr(a, &peer->except[i]))
				return false;
		return naive_in_cidr(a, &peer->cidr);
	}
	return false;
}

static inline bool naive_port(const struct tw *w, const struct bf_rule *rule,
			      const struct naive_question *q)
{
	bool node;
	const struct bf_endpoint *named = q->egress ? naive_owner(w, q->peer, &node) : q->subject;

	if (rule->http && q->protocol != IPPROTO_TCP)
		return false;
	if (rule->any_port)
		return true;
	if (q->protocol != IPPROTO_TCP && q->protocol != IPPROTO_UDP && q->protocol != IPPROTO_SCTP)
		return false;
	for (size_t i = 0; i < rule->port_count; i++) {
		const struct bf_port *port = &rule->ports[i];

		if (port->protocol && port->protocol != q->protocol)
			continue;
		if (!port->name && q->port >= port->first && q->port <= port->last)
			return true;
		for (size_t n = 0; port->name && named && n < named->port_count; n++)
			if (!strcmp(named->ports[n].name, port->name) &&
			    named->ports[n].protocol == q->protocol &&
			    named->ports[n].port == q->port)
				return true;
	}
	return false;
}

static inline bool naive_rule(const struct tw *w, const struct bf_rule *rule,
			      const struct naive_question *q)
{
	if (rule->egress != q->egress || !naive_port(w, rule, q))
		return false;
	for (size_t i = 0; i < rule->peer_count; i++)
		if (naive_peer(w, &rule->peers[i], q->peer, q->egress))
			return true;
	return false;
}

static inline void naive_ref(struct tw *w, struct naive_answer *a, const struct bf_policy *p,
			     const struct bf_rule *rule, long http)
{
	char index[40] = "";

	assert_true(a->ref_count < 256);
	if (http >= 0)
		snprintf(index, sizeof(index), ".rules.http[%ld]", http);
	a->http[a->ref_count] = http >= 0 ? &rule->http_rules[http] : NULL;
	a->refs[a->ref_count++] = tw_fmt(w, "%s\t%s\t%s\t%s%s", bf_policy_kind_name(p->kind),
					 p->namespace, p->name, rule ? rule->where : "", index);
}

static inline void naive_strict(struct naive_answer *a, const struct bf_policy *p)
{
	if (p->on_deny > a->on_deny)
		a->on_deny = p->on_deny;
}

/* The decision of the objects that enforce, or with `audit` of all. */
static inline struct naive_answer naive_once(struct tw *w, const struct naive_question *q,
					     bool audit)
{
	struct naive_answer a = {0}, deny = {0}, isolate = {0}, plain = {0}, http = {0};
	bool isolated = false, denied = false, allowed = false, inspected = false;

	for (size_t i = 0; i < w->objects.policy_count; i++) {
		struct bf_policy *p = &w->policies[i];
		bool has_http = false, has_plain = false;

		if ((p->audit && !audit) || p->subject_none ||
		    !naive_selects(w, &p->subject, q->subject))
			continue;
		if (q->egress ? p->isolates_egress : p->isolates_ingress) {
			isolated = true;
			naive_strict(&isolate, p);
			naive_ref(w, &isolate, p, NULL, -1);
		}
		for (size_t r = 0; r < p->rule_count; r++) {
			if (!naive_rule(w, &p->rules[r], q))
				continue;
			if (p->rules[r].deny) {
				denied = true;
				naive_strict(&deny, p);
				naive_ref(w, &deny, p, &p->rules[r], -1);
				continue;
			}
			allowed = true;
			if (p->rules[r].http) {
				has_http = true;
				continue;
			}
			has_plain = true;
			naive_ref(w, &plain, p, &p->rules[r], -1);
		}
		if (!has_http)
			continue;
		inspected |= !has_plain;
		naive_strict(&http, p);
		for (size_t r = 0; r < p->rule_count; r++) {
			const struct bf_rule *rule = &p->rules[r];

			if (rule->deny || !naive_rule(w, rule, q))
				continue;
			if (has_plain && !rule->http)
				naive_ref(w, &http, p, rule, -1);
			for (size_t h = 0; !has_plain && h < rule->http_rule_count; h++)
				naive_ref(w, &http, p, rule, (long)h);
		}
	}
	if (denied) {
		a = deny;
		a.verdict = BPFAST_D_DENY_RULE;
	} else if (inspected) {
		a = http;
		a.verdict = BPFAST_D_HTTP;
	} else if (allowed) {
		a = plain;
		a.verdict = BPFAST_D_ALLOW;
	} else if (isolated) {
		a = isolate;
		a.verdict = BPFAST_D_DENY;
	} else {
		a.verdict = BPFAST_D_ALLOW;
	}
	return a;
}

/* The first HTTP rule that allows the request, or -1. Patterns here are all literal. */
static inline int naive_request(const struct naive_answer *a, const char *method, const char *path)
{
	for (size_t i = 0; i < a->ref_count; i++) {
		const struct bf_http_rule *rule = a->http[i];

		if (!rule || ((!rule->method || !strcmp(rule->method, method)) &&
			      (!rule->path || !strcmp(rule->path, path))))
			return (int)i;
	}
	return -1;
}

static inline struct naive_answer naive_judge(struct tw *w, const struct naive_question *q)
{
	struct naive_answer enforced = naive_once(w, q, false), all = naive_once(w, q, true);

	if (enforced.verdict == BPFAST_D_ALLOW && all.verdict != BPFAST_D_ALLOW) {
		all.audit = true;
		return all;
	}
	return enforced;
}

#endif
