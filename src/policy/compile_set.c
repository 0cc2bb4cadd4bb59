// SPDX-License-Identifier: Apache-2.0
/*
 * The rules about an endpoint, to a set: identities to which the same rules
 * apply share a class, and a class cuts the key space into ranges in which the
 * same rules match.
 */
#include "policy/compile_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/selector.h"

#define KEY_END (BPFAST_PORT_KEY(255, 65535) + 1)

/* One set while it is built. */
struct builder {
	struct bf_compiler *c;
	struct bf_direction dir;
	const struct bf_endpoint *subject;
	uint32_t *rules; /* of this direction, ascending */
	size_t rule_count;
	bool peer_names; /* an egress rule names a port of its peer */
	struct bf_intern signatures, matches;
	uint32_t *class_of_signature, *decision_of_match;
	size_t signature_cap, match_cap;
};

struct edge {
	uint32_t key;
	uint32_t at; /* place in the signature's rule list */
	int step; /* +1: the rule begins to match here, -1: it ends */
};

static int edge_order(const void *a, const void *b)
{
	const struct edge *x = a, *y = b;

	return x->key < y->key ? -1 : x->key > y->key;
}

static int edges_of(struct builder *b, const uint32_t *rules, size_t n,
		    const struct bf_endpoint *named, struct edge **edges, size_t *count)
{
	struct bf_keys *keys = NULL;
	size_t key_count, key_cap = 0, cap = 0;
	int ret = 0;

	*edges = NULL;
	*count = 0;
	for (size_t i = 0; !ret && i < n; i++) {
		key_count = 0;
		ret = bf_rule_keys(&b->c->rules[rules[i]], named, &keys, &key_count, &key_cap);
		for (size_t k = 0; !ret && k < key_count; k++) {
			ret = bf_grow(edges, &cap, *count + 1, sizeof(**edges));
			if (ret)
				break;
			(*edges)[(*count)++] = (struct edge){keys[k].first, (uint32_t)i, 1};
			(*edges)[(*count)++] = (struct edge){keys[k].last + 1, (uint32_t)i, -1};
		}
	}
	free(keys);
	if (*count)
		qsort(*edges, *count, sizeof(**edges), edge_order);
	return ret;
}

/* The decision where exactly these rules match, once for each such list. */
static int decide(struct builder *b, const struct bf_buf *match, uint32_t *decision)
{
	uint32_t index;
	int ret = bf_intern_buf(&b->matches, match, &index);

	if (ret < 0)
		return ret;
	if (ret) {
		if (bf_grow(&b->decision_of_match, &b->match_cap, index, sizeof(uint32_t)))
			return -ENOMEM;
		ret = bf_compile_decision(b->c, &b->dir, (const uint32_t *)(const void *)match->v,
					  match->n / sizeof(uint32_t),
					  &b->decision_of_match[index]);
		if (ret)
			return ret;
	}
	*decision = b->decision_of_match[index];
	return 0;
}

static int add_range(struct bf_buf *ranges, uint32_t first, uint32_t decision)
{
	struct bpfast_image_range range = {first, decision}, last;

	if (ranges->n) {
		memcpy(&last, ranges->v + ranges->n - sizeof(last), sizeof(last));
		if (last.decision == decision)
			return 0;
	}
	bf_buf_put(ranges, &range, sizeof(range));
	return ranges->error;
}

/* The rules that cover the current key, ascending; most keys have few. */
struct active {
	uint32_t *count; /* by place: how many of the rule's ports cover the key */
	uint32_t *v; /* places with a count */
	size_t n;
};

static void step(struct active *a, const struct edge *e)
{
	uint32_t before = a->count[e->at];
	size_t at = 0, end = a->n;

	a->count[e->at] += (uint32_t)e->step;
	if (before && a->count[e->at])
		return;
	while (at < end) {
		size_t mid = at + (end - at) / 2;

		if (a->v[mid] < e->at)
			at = mid + 1;
		else
			end = mid;
	}
	if (before) {
		memmove(a->v + at, a->v + at + 1, (--a->n - at) * sizeof(*a->v));
	} else {
		memmove(a->v + at + 1, a->v + at, (a->n++ - at) * sizeof(*a->v));
		a->v[at] = e->at;
	}
}

/* Sweeps over the keys from edge to edge. */
static int ranges_of(struct builder *b, const uint32_t *rules, size_t n, const struct edge *edges,
		     size_t edge_count, struct bf_buf *ranges)
{
	struct active active = {.count = calloc(n + 1, sizeof(*active.count)),
				.v = calloc(n + 1, sizeof(*active.v))};
	struct bf_buf match = {0};
	uint32_t key = 0, decision;
	int ret = active.count && active.v ? 0 : -ENOMEM;

	for (size_t e = 0; !ret && key < KEY_END;) {
		for (; e < edge_count && edges[e].key == key; e++)
			step(&active, &edges[e]);
		match.n = 0;
		for (size_t i = 0; i < active.n; i++)
			bf_buf_u32(&match, rules[active.v[i]]);
		ret = decide(b, &match, &decision);
		ret = ret ?: add_range(ranges, key, decision);
		key = e < edge_count ? edges[e].key : KEY_END;
	}
	bf_buf_free(&match);
	free(active.count);
	free(active.v);
	return ret;
}

/* The class of identities to which exactly these rules apply. */
static int build_class(struct builder *b, const uint32_t *rules, size_t n,
		       const struct bf_endpoint *named, uint32_t *class)
{
	struct bf_compiler *c = b->c;
	struct bpfast_image_class image = {0};
	struct bf_buf ranges = {0};
	struct edge *edges;
	size_t edge_count;
	uint32_t list;
	int ret = edges_of(b, rules, n, named, &edges, &edge_count);

	ret = ret ?: ranges_of(b, rules, n, edges, edge_count, &ranges);
	free(edges);
	if (!ret && ranges.n / sizeof(struct bpfast_image_range) > BPFAST_TABLE_MAX)
		ret = bf_rule_err(c, -E2BIG, c->rules[rules[0]].policy, c->rules[rules[0]].rule,
				  "the rules for one peer cut the ports into more than %d ranges",
				  BPFAST_TABLE_MAX);
	ret = ret ?: bf_intern_buf(&c->range_lists, &ranges, &list);
	if (ret == 1) {
		ret = bf_grow(&c->range_list_off, &c->range_list_cap, list, sizeof(uint32_t));
		ret = ret ?: bf_blob_append(&c->blob, ranges.v, ranges.n, &c->range_list_off[list]);
	}
	if (!ret) {
		image.range_off = c->range_list_off[list];
		image.range_count = (uint32_t)(ranges.n / sizeof(struct bpfast_image_range));
		ret = bf_intern(&c->classes, &image, sizeof(image), class);
	}
	bf_buf_free(&ranges);
	return ret < 0 ? ret : 0;
}

static int class_of_ident(struct builder *b, size_t ident, struct bf_buf *signature,
			  uint32_t *class)
{
	const struct bf_ident *id = &b->c->idents[ident];
	const struct bf_endpoint *named = b->dir.egress ? id->endpoint : b->subject;
	size_t n = 0;
	uint32_t index;
	int ret;

	signature->n = 0;
	for (size_t i = 0; i < b->rule_count; i++)
		if (bf_rule_has_ident(&b->c->rules[b->rules[i]], ident)) {
			bf_buf_u32(signature, b->rules[i]);
			n++;
		}
	if (b->peer_names && named)
		bf_buf_u32(signature, ~id->ports);
	ret = bf_intern_buf(&b->signatures, signature, &index);
	if (ret < 0)
		return ret;
	if (ret) {
		if (bf_grow(&b->class_of_signature, &b->signature_cap, index, sizeof(uint32_t)))
			return -ENOMEM;
		ret = build_class(b, (const uint32_t *)(const void *)signature->v, n, named,
				  &b->class_of_signature[index]);
		if (ret)
			return ret;
	}
	*class = b->class_of_signature[index];
	return 0;
}

static int peer_order(const void *a, const void *b)
{
	const struct bpfast_image_peer *x = a, *y = b;

	return x->identity < y->identity ? -1 : x->identity > y->identity;
}

static int build_peers(struct builder *b, struct bpfast_image_set *set)
{
	struct bf_compiler *c = b->c;
	struct bf_buf peers = {0}, signature = {0};
	uint32_t list, class;
	int ret;

	/* The default is for who is in no table: nothing but rules for everybody match. */
	ret = class_of_ident(b, BF_IDENT_AT_UNKNOWN, &signature, &set->default_class);
	for (size_t i = 0; !ret && i < c->ident_count; i++) {
		ret = class_of_ident(b, i, &signature, &class);
		if (!ret && class != set->default_class) {
			struct bpfast_image_peer peer = {c->idents[i].id, class};

			bf_buf_put(&peers, &peer, sizeof(peer));
		}
	}
	ret = ret ?: peers.error;
	if (!ret && peers.n)
		qsort(peers.v, peers.n / sizeof(struct bpfast_image_peer),
		      sizeof(struct bpfast_image_peer), peer_order);
	ret = ret ?: bf_intern_buf(&c->peer_lists, &peers, &list);
	if (ret == 1) {
		ret = bf_grow(&c->peer_list_off, &c->peer_list_cap, list, sizeof(uint32_t));
		ret = ret ?: bf_blob_append(&c->blob, peers.v, peers.n, &c->peer_list_off[list]);
	}
	if (!ret) {
		set->peer_off = c->peer_list_off[list];
		set->peer_count = (uint32_t)(peers.n / sizeof(struct bpfast_image_peer));
	}
	bf_buf_free(&peers);
	bf_buf_free(&signature);
	return ret;
}

static int build_set(struct bf_compiler *c, const struct bf_direction *dir,
		     const struct bf_endpoint *subject, uint32_t *index)
{
	struct builder b = {.c = c, .dir = *dir, .subject = subject};
	struct bpfast_image_set set = {0};
	size_t cap = 0;
	int ret = 0;

	for (size_t p = 0; !ret && p < dir->policy_count; p++) {
		size_t first = c->policy_first_rule[dir->policies[p]];
		size_t end = c->policy_first_rule[dir->policies[p] + 1];

		for (size_t r = first; !ret && r < end; r++) {
			if (c->rules[r].rule->egress != dir->egress)
				continue;
			ret = bf_grow(&b.rules, &cap, b.rule_count, sizeof(*b.rules));
			if (ret)
				break;
			b.rules[b.rule_count++] = (uint32_t)r;
			b.peer_names |= dir->egress && c->rules[r].named_ports;
			ret = bf_rule_match_identities(c, &c->rules[r]);
		}
	}
	ret = ret ?: build_peers(&b, &set);
	ret = ret ?: bf_intern(&c->sets, &set, sizeof(set), index);
	free(b.rules);
	free(b.class_of_signature);
	free(b.decision_of_match);
	bf_intern_free(&b.signatures);
	bf_intern_free(&b.matches);
	return ret < 0 ? ret : 0;
}

static bool has_rules(const struct bf_policy *policy, bool egress)
{
	for (size_t r = 0; r < policy->rule_count; r++)
		if (policy->rules[r].egress == egress)
			return true;
	return false;
}

/* What the named ports of these rules mean on this subject. */
static int resolved_names(struct bf_compiler *c, const struct bf_direction *dir,
			  const struct bf_endpoint *subject, struct bf_buf *key)
{
	struct bf_keys *keys = NULL;
	size_t n, cap = 0;
	int ret = 0;

	for (size_t p = 0; p < dir->policy_count; p++) {
		size_t end = c->policy_first_rule[dir->policies[p] + 1];

		for (size_t r = c->policy_first_rule[dir->policies[p]]; !ret && r < end; r++) {
			if (c->rules[r].rule->egress || !c->rules[r].named_ports)
				continue;
			n = 0;
			ret = bf_rule_keys(&c->rules[r], subject, &keys, &n, &cap);
			bf_buf_u32(key, (uint32_t)n);
			bf_buf_put(key, keys, n * sizeof(*keys));
		}
	}
	free(keys);
	return ret;
}

/* The objects that take part in a direction of an endpoint. */
static void find_policies(struct bf_compiler *c, size_t endpoint, struct bf_direction *dir,
			  uint32_t *policies)
{
	const struct bf_objects *objects = c->world->objects;
	const struct bf_endpoint *ep = &c->world->endpoints[endpoint];

	dir->policies = policies;
	for (size_t p = 0; p < objects->policy_count; p++) {
		const struct bf_policy *policy = &objects->policies[p];
		bool isolates = dir->egress ? policy->isolates_egress : policy->isolates_ingress;

		if (!c->policy_used[p] || !(isolates || has_rules(policy, dir->egress)) ||
		    !bf_selector_matches(&policy->subject, ep->namespace, &ep->labels,
					 c->ns_labels[endpoint]))
			continue;
		policies[dir->policy_count++] = (uint32_t)p;
		dir->isolated |= isolates && !policy->audit;
		dir->isolated_audit |= isolates;
		dir->any_audit |= policy->audit;
	}
}

int bf_compile_set(struct bf_compiler *c, size_t endpoint, bool egress, uint32_t *set)
{
	const struct bf_endpoint *subject = &c->world->endpoints[endpoint];
	struct bf_direction dir = {.egress = egress};
	uint32_t *policies = calloc(c->world->objects->policy_count + 1, sizeof(*policies));
	struct bf_buf key = {0};
	uint32_t index;
	int ret = 0;

	if (!policies)
		return -ENOMEM;
	find_policies(c, endpoint, &dir, policies);
	*set = BPFAST_SET_NONE;
	if (!dir.policy_count)
		goto out;
	bf_buf_u32(&key, egress);
	bf_buf_u32(&key, (uint32_t)dir.policy_count);
	bf_buf_put(&key, policies, dir.policy_count * sizeof(*policies));
	ret = egress ? 0 : resolved_names(c, &dir, subject, &key);
	ret = ret ?: bf_intern_buf(&c->set_keys, &key, &index);
	if (ret == 1) {
		ret = bf_grow(&c->set_of_key, &c->set_of_key_cap, index, sizeof(uint32_t));
		ret = ret ?: build_set(c, &dir, subject, &c->set_of_key[index]);
	}
	if (!ret)
		*set = c->set_of_key[index];
out:
	bf_buf_free(&key);
	free(policies);
	return ret;
}
