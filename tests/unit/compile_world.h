/* SPDX-License-Identifier: Apache-2.0 */
#ifndef COMPILE_WORLD_H
#define COMPILE_WORLD_H
/*
 * Small worlds for tests of the policy compiler: objects and endpoints built in
 * memory, the compiled image, and a walker of its own over the tables.
 *
 * Labels and selectors are written "app=web,tier=front"; a selector's value may
 * be "a|b" (one of), "!a" (not a), "*" (present) or "-" (absent).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpfast/image.h"
#include "policy/compile.h"
#include "policy/selector.h"

#define TW_POLICIES 64
#define TW_ENDPOINTS 64
#define TW_RULES 64

struct tw {
	struct bf_objects objects;
	struct bf_policy policies[TW_POLICIES];
	struct bf_namespace namespaces[8];
	struct bf_endpoint endpoints[TW_ENDPOINTS];
	uint8_t node_addrs[4][16];
	struct bf_world world;
	struct bf_image image;
	void **pool;
	size_t pool_n;
};

static inline void *tw_alloc(struct tw *w, size_t size)
{
	if (w->pool_n % 64 == 0)
		w->pool = realloc(w->pool, (w->pool_n + 64) * sizeof(*w->pool));
	assert_non_null(w->pool);
	w->pool[w->pool_n] = calloc(1, size ? size : 1);
	assert_non_null(w->pool[w->pool_n]);
	return w->pool[w->pool_n++];
}

static inline char *tw_strn(struct tw *w, const char *s, size_t n)
{
	char *copy = tw_alloc(w, n + 1);

	memcpy(copy, s, n);
	return copy;
}

static inline char *tw_str(struct tw *w, const char *s)
{
	return tw_strn(w, s, strlen(s));
}

static inline __attribute__((format(printf, 2, 3))) char *tw_fmt(struct tw *w, const char *fmt, ...)
{
	char text[600];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return tw_str(w, text);
}

static inline struct tw *tw_new(void)
{
	struct tw *w = calloc(1, sizeof(*w));

	assert_non_null(w);
	w->objects.policies = w->policies;
	w->objects.namespaces = w->namespaces;
	w->world.objects = &w->objects;
	w->world.endpoints = w->endpoints;
	w->world.node_addrs = (const uint8_t(*)[16])w->node_addrs;
	return w;
}

static inline void tw_free(struct tw *w)
{
	bf_image_free(&w->image);
	for (size_t i = 0; i < w->pool_n; i++)
		free(w->pool[i]);
	free(w->pool);
	free(w);
}

/* "10.0.0.1" or "fd00::1" as 16 bytes. */
static inline void tw_addr(const char *text, uint8_t out[16])
{
	memset(out, 0, 16);
	if (strchr(text, ':')) {
		assert_int_equal(inet_pton(AF_INET6, text, out), 1);
		return;
	}
	out[10] = out[11] = 0xff;
	assert_int_equal(inet_pton(AF_INET, text, out + 12), 1);
}

static inline struct bf_cidr tw_cidr(const char *text)
{
	const char *slash = strchr(text, '/');
	struct bf_cidr cidr;
	char addr[64];

	assert_non_null(slash);
	snprintf(addr, sizeof(addr), "%.*s", (int)(slash - text), text);
	tw_addr(addr, cidr.addr);
	cidr.len = (uint8_t)(atoi(slash + 1) + (strchr(addr, ':') ? 0 : 96));
	return cidr;
}

static inline struct bf_labels tw_labels(struct tw *w, const char *text)
{
	struct bf_labels labels = {.v = tw_alloc(w, 8 * sizeof(struct bf_label))};

	while (*text) {
		size_t key = strcspn(text, "="), len = strcspn(text, ",");

		labels.v[labels.n].key = tw_strn(w, text, key);
		labels.v[labels.n++].value = tw_strn(w, text + key + 1, len - key - 1);
		text += len + (text[len] == ',');
	}
	return labels;
}

/* The key "ns" is the namespace, "ns:K" label K of the namespace. */
static inline struct bf_selector tw_selector(struct tw *w, const char *text)
{
	struct bf_labels labels = tw_labels(w, text);
	struct bf_selector s = {.v = tw_alloc(w, 8 * sizeof(*s.v)), .n = labels.n};

	for (size_t i = 0; i < labels.n; i++) {
		struct bf_requirement *r = &s.v[i];
		char *value = labels.v[i].value;

		r->key = labels.v[i].key;
		if (!strcmp(r->key, "ns"))
			r->key = tw_str(w, BF_KEY_NAMESPACE);
		else if (!strncmp(r->key, "ns:", 3))
			r->key = tw_fmt(w, BF_KEY_NS_LABEL_PREFIX "%s", r->key + 3);
		r->values = tw_alloc(w, 4 * sizeof(*r->values));
		r->op = BF_SEL_IN;
		if (!strcmp(value, "*") || !strcmp(value, "-")) {
			r->op = *value == '*' ? BF_SEL_EXISTS : BF_SEL_NOT_EXISTS;
			continue;
		}
		if (*value == '!') {
			r->op = BF_SEL_NOT_IN;
			value++;
		}
		for (char *next; value; value = next) {
			next = strchr(value, '|');
			if (next)
				*next++ = 0;
			r->values[r->n++] = value;
		}
	}
	return s;
}

/* An endpoint with up to four addresses, blanks between them; slot -1: on another node. */
static inline struct bf_endpoint *tw_endpoint(struct tw *w, const char *ns, const char *name,
					      const char *labels, const char *addrs, int slot)
{
	struct bf_endpoint *ep = &w->endpoints[w->world.endpoint_count++];

	assert_true(w->world.endpoint_count <= TW_ENDPOINTS);
	ep->name = tw_str(w, name);
	ep->namespace = tw_str(w, ns);
	ep->labels = tw_labels(w, labels);
	ep->addrs = tw_alloc(w, sizeof(*ep->addrs) * 4);
	ep->ports = tw_alloc(w, sizeof(*ep->ports) * 8);
	ep->slot = slot;
	while (*addrs) {
		size_t len = strcspn(addrs, " ");

		tw_addr(tw_strn(w, addrs, len), ep->addrs[ep->addr_count++]);
		addrs += len + (addrs[len] == ' ');
	}
	return ep;
}

static inline void tw_port_name(struct tw *w, struct bf_endpoint *ep, const char *name,
				uint8_t protocol, uint16_t port)
{
	ep->ports[ep->port_count++] =
		(struct bf_named_port){.name = tw_str(w, name), .protocol = protocol, .port = port};
}

static inline void tw_node(struct tw *w, const char *addr)
{
	tw_addr(addr, w->node_addrs[w->world.node_addr_count++]);
}

static inline void tw_namespace(struct tw *w, const char *name, const char *labels)
{
	struct bf_namespace *ns = &w->namespaces[w->objects.namespace_count++];

	ns->name = tw_str(w, name);
	ns->labels = tw_labels(w, labels);
}

/* A policy without rules: PayloadPolicy, or ClusterPayloadPolicy where ns is "". */
static inline struct bf_policy *tw_policy(struct tw *w, const char *ns, const char *name,
					  const char *subject)
{
	struct bf_policy *p = &w->policies[w->objects.policy_count++];

	assert_true(w->objects.policy_count <= TW_POLICIES);
	p->kind = *ns ? BF_PAYLOAD_POLICY : BF_CLUSTER_PAYLOAD_POLICY;
	p->namespace = tw_str(w, ns);
	p->name = tw_str(w, name);
	if (*ns)
		subject = tw_fmt(w, "ns=%s%s%s", ns, *subject ? "," : "", subject);
	p->subject = tw_selector(w, subject);
	p->rules = tw_alloc(w, TW_RULES * sizeof(*p->rules));
	return p;
}

static inline void tw_peer(struct tw *w, struct bf_peer *peer, char *word)
{
	static const struct {
		const char *word;
		enum bf_peer_kind kind;
	} kinds[] = {
		{"all", BF_PEER_ALL},
		{"world", BF_PEER_WORLD},
		{"host", BF_PEER_HOST},
		{"cluster", BF_PEER_CLUSTER},
	};
	char *part, *parts = NULL;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++)
		if (!strcmp(word, kinds[i].word)) {
			peer->kind = kinds[i].kind;
			return;
		}
	if (!strchr(word, '/') || strchr(word, '=')) {
		peer->kind = BF_PEER_SELECTOR;
		peer->selector = tw_selector(w, strcmp(word, "{}") ? word : "");
		return;
	}
	peer->kind = BF_PEER_CIDR;
	peer->cidr_matches_endpoints = !strncmp(word, "ip:", 3);
	if (peer->cidr_matches_endpoints)
		word += 3;
	part = strtok_r(word, "-", &parts);
	peer->cidr = tw_cidr(part);
	peer->except = tw_alloc(w, 4 * sizeof(*peer->except));
	while ((part = strtok_r(NULL, "-", &parts)))
		peer->except[peer->except_count++] = tw_cidr(part);
}

static inline void tw_port(struct bf_port *port, char *word)
{
	char *slash = strchr(word, '/'), *dash;

	port->protocol = IPPROTO_TCP;
	if (slash) {
		*slash++ = 0;
		port->protocol = !strcmp(slash, "udp")	  ? IPPROTO_UDP
				 : !strcmp(slash, "sctp") ? IPPROTO_SCTP
				 : !strcmp(slash, "any")  ? 0
							  : IPPROTO_TCP;
	}
	if (*word == '@') {
		port->name = word + 1;
		return;
	}
	if (!strcmp(word, "*")) {
		port->protocol = 0;
		port->last = 65535;
		return;
	}
	dash = strchr(word, '-');
	port->first = (uint16_t)atoi(word);
	port->last = dash ? (uint16_t)atoi(dash + 1) : port->first;
}

enum tw_rule_flags { TW_INGRESS = 0, TW_EGRESS = 1, TW_DENY = 2, TW_NOT_ISOLATING = 4 };

/*
 * Adds a rule, which makes the policy isolate in its direction. Words with blanks between:
 *   peers: "all", "world", "host", "cluster", "app=cart" (a selector; "{}" is the empty one),
 *          "10.0.0.0/8-10.1.0.0/16" (a CIDR less another), "ip:10.0.0.0/8" (one that matches
 *          endpoints too); "": an empty list
 *   ports: "any" (alone), "80", "80-90", "80/udp", "53/any", "*" (every port of the three
 *          protocols), "@name", "@name/udp"; "": an empty list
 *   http:  NULL: no L7; "": an empty list; "GET /a|POST /b|/c": methods and paths
 */
static inline struct bf_rule *tw_rule(struct tw *w, struct bf_policy *p, unsigned int flags,
				      const char *peers, const char *ports, const char *http)
{
	struct bf_rule *r = &p->rules[p->rule_count++];
	char *word, *save = NULL;

	assert_true(p->rule_count <= TW_RULES);
	r->egress = flags & TW_EGRESS;
	r->deny = flags & TW_DENY;
	if (!(flags & TW_NOT_ISOLATING)) {
		p->isolates_egress |= r->egress;
		p->isolates_ingress |= !r->egress;
	}
	r->where = tw_fmt(w, "spec.%s%s[%zu]", r->egress ? "egress" : "ingress",
			  r->deny ? "Deny" : "", p->rule_count - 1);
	r->line = (int)p->rule_count;
	r->peers = tw_alloc(w, 8 * sizeof(*r->peers));
	word = strtok_r(tw_str(w, peers), " ", &save);
	for (; word; word = strtok_r(NULL, " ", &save))
		tw_peer(w, &r->peers[r->peer_count++], word);
	r->any_port = !strcmp(ports, "any");
	r->ports = tw_alloc(w, 8 * sizeof(*r->ports));
	word = r->any_port ? NULL : strtok_r(tw_str(w, ports), " ", &save);
	for (; word; word = strtok_r(NULL, " ", &save))
		tw_port(&r->ports[r->port_count++], word);
	r->http = http;
	r->http_rules = tw_alloc(w, 8 * sizeof(*r->http_rules));
	word = http ? strtok_r(tw_str(w, http), "|", &save) : NULL;
	for (; word; word = strtok_r(NULL, "|", &save)) {
		struct bf_http_rule *h = &r->http_rules[r->http_rule_count++];
		char *blank = strchr(word, ' ');

		if (*word != '/')
			h->method = word;
		h->path = *word == '/' ? word : blank ? blank + 1 : NULL;
		if (blank)
			*blank = 0;
	}
	return r;
}

/* --- the compiled world --------------------------------------------------------- */

static inline void tw_compile(struct tw *w)
{
	struct bf_error err = {0};

	bf_image_free(&w->image);
	if (bf_image_compile(&w->world, &w->image, &err))
		fail_msg("compile: %s", err.msg);
	if (bf_image_check(w->image.blob.data, w->image.blob.len, &err))
		fail_msg("check: %s", err.msg);
}

static inline const struct bpfast_image *tw_head(const struct tw *w)
{
	return (const void *)w->image.blob.data;
}

static inline const void *tw_at(const struct tw *w, uint32_t off)
{
	return w->image.blob.data + off;
}

static inline const char *tw_ref(const struct tw *w, uint32_t ref)
{
	return bf_image_ref(w->image.blob.data, w->image.blob.len, ref);
}

static inline bool tw_is_v4(const uint8_t a[16])
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	return !memcmp(a, mapped, 12);
}

/* Linear, on purpose: a search of another kind than the kernel's. */
static inline uint32_t tw_identity(const struct tw *w, const uint8_t a[16])
{
	const struct bpfast_image *h = tw_head(w);
	const struct bpfast_image_ip4 *four = tw_at(w, h->ip4_off);
	const struct bpfast_image_ip6 *six = tw_at(w, h->ip6_off);
	uint32_t id = BPFAST_ID_WORLD;
	uint64_t hi = 0, lo = 0;

	for (int i = 0; i < 8; i++) {
		hi = hi << 8 | a[i];
		lo = lo << 8 | a[8 + i];
	}
	if (tw_is_v4(a)) {
		for (uint32_t i = 0; i < h->ip4_count && four[i].first <= (uint32_t)lo; i++)
			id = four[i].identity;
		return id;
	}
	for (uint32_t i = 0; i < h->ip6_count; i++)
		if (six[i].hi < hi || (six[i].hi == hi && six[i].lo <= lo))
			id = six[i].identity;
	return id;
}

static inline uint32_t tw_identity_of(const struct tw *w, const char *addr)
{
	uint8_t a[16];

	tw_addr(addr, a);
	return tw_identity(w, a);
}

static inline const char *tw_identity_text(const struct tw *w, uint32_t id)
{
	for (size_t i = 0; i < w->image.identity_count; i++)
		if (w->image.identities[i].id == id)
			return w->image.identities[i].text;
	return "(none)";
}

static inline const struct bpfast_image_endpoint *tw_image_endpoint(const struct tw *w, int slot)
{
	assert_true(slot >= 0 && (uint32_t)slot < tw_head(w)->endpoint_count);
	return (const struct bpfast_image_endpoint *)tw_at(w, tw_head(w)->endpoint_off) + slot;
}

/* The decision for a slot, direction, identity and key; NULL: not isolated. */
static inline const struct bpfast_image_decision *tw_decision(const struct tw *w, int slot,
							      bool egress, uint32_t identity,
							      uint8_t protocol, uint16_t port)
{
	const struct bpfast_image *h = tw_head(w);
	const struct bpfast_image_endpoint *ep = tw_image_endpoint(w, slot);
	const struct bpfast_image_decision *decisions = tw_at(w, h->decision_off);
	const struct bpfast_image_class *class;
	const struct bpfast_image_range *ranges;
	const struct bpfast_image_peer *peers;
	const struct bpfast_image_set *set;
	uint32_t at = egress ? ep->egress_set : ep->ingress_set, found = 0;

	if (at == BPFAST_SET_NONE)
		return NULL;
	set = (const struct bpfast_image_set *)tw_at(w, h->set_off) + at;
	peers = tw_at(w, set->peer_off);
	at = set->default_class;
	for (uint32_t i = 0; i < set->peer_count; i++)
		if (peers[i].identity == identity)
			at = peers[i].class;
	class = (const struct bpfast_image_class *)tw_at(w, h->class_off) + at;
	ranges = tw_at(w, class->range_off);
	for (uint32_t i = 0; i < class->range_count; i++)
		if (ranges[i].first <= BPFAST_PORT_KEY(protocol, port))
			found = ranges[i].decision;
	return &decisions[found];
}

static inline const struct bpfast_image_ruleset *tw_ruleset(const struct tw *w,
							    const struct bpfast_image_decision *d)
{
	return (const struct bpfast_image_ruleset *)tw_at(w, tw_head(w)->ruleset_off) + d->ruleset;
}

#endif
