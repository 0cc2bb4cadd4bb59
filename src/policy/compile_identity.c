// SPDX-License-Identifier: Apache-2.0
/*
 * Addresses to identities. All CIDRs that rules name, the endpoints' addresses
 * and the node's are laid out as nested blocks, cut into disjoint spans, and
 * every span gets the identity of who is there and which CIDRs hold it.
 */
#include "policy/compile_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define V4_BASE ((bf_u128)0xffff << 32)
#define V4_LEN 96

static bf_u128 address(const uint8_t a[16])
{
	bf_u128 x = 0;

	for (int i = 0; i < 16; i++)
		x = x << 8 | a[i];
	return x;
}

static bf_u128 mask(uint8_t len)
{
	return len ? ~(bf_u128)0 << (128 - len) : 0;
}

static bool is_v4(const struct bf_block *b)
{
	return b->len >= V4_LEN && (b->first & mask(V4_LEN)) == V4_BASE;
}

struct bf_block bf_block_of(const struct bf_cidr *cidr)
{
	return (struct bf_block){.first = address(cidr->addr) & mask(cidr->len), .len = cidr->len};
}

bool bf_block_holds(const struct bf_block *a, const struct bf_block *b)
{
	/* ::/0 is every IPv6 address, not also every IPv4 one. */
	return a->len <= b->len && (b->first & mask(a->len)) == a->first && is_v4(a) == is_v4(b);
}

static void block_text(const struct bf_block *b, char *out, size_t size)
{
	char ip[INET6_ADDRSTRLEN];
	uint8_t a[16];

	for (int i = 0; i < 16; i++)
		a[i] = (uint8_t)(b->first >> (120 - 8 * i));
	if (is_v4(b))
		inet_ntop(AF_INET, a + 12, ip, sizeof(ip));
	else
		inet_ntop(AF_INET6, a, ip, sizeof(ip));
	snprintf(out, size, "%s/%d", ip, is_v4(b) ? b->len - V4_LEN : b->len);
}

/* --- identities -------------------------------------------------------------- */

static int label_order(const void *a, const void *b)
{
	const struct bf_label *x = *(const struct bf_label *const *)a;
	const struct bf_label *y = *(const struct bf_label *const *)b;
	int d = strcmp(x->key, y->key);

	return d ? d : strcmp(x->value ? x->value : "", y->value ? y->value : "");
}

static const struct bf_label **sorted_labels(const struct bf_labels *labels)
{
	const struct bf_label **v = calloc(labels->n + 1, sizeof(*v));

	if (!v)
		return NULL;
	for (size_t i = 0; i < labels->n; i++)
		v[i] = &labels->v[i];
	qsort(v, labels->n, sizeof(*v), label_order);
	return v;
}

char *bf_ident_text(const struct bf_ident *ident)
{
	struct bf_buf text = {0};
	const struct bf_label **labels;
	char cidr[64];

	switch (ident->kind) {
	case BF_IDENT_UNKNOWN:
		return strdup("reserved:unknown");
	case BF_IDENT_NODE:
		return strdup("reserved:host");
	case BF_IDENT_WORLD:
		return strdup("reserved:world");
	case BF_IDENT_CIDR:
		block_text(&ident->block, cidr, sizeof(cidr));
		bf_buf_put(&text, "cidr:", 5);
		bf_buf_str(&text, cidr);
		break;
	case BF_IDENT_ENDPOINT:
		labels = sorted_labels(&ident->endpoint->labels);
		if (!labels)
			return NULL;
		for (size_t i = 0; i < ident->endpoint->labels.n; i++) {
			const char *value = labels[i]->value ? labels[i]->value : "";

			bf_buf_put(&text, "k8s:", 4);
			bf_buf_put(&text, labels[i]->key, strlen(labels[i]->key));
			bf_buf_put(&text, "=", *value ? 1 : 0);
			bf_buf_put(&text, value, strlen(value));
			bf_buf_put(&text, ";", 1);
		}
		bf_buf_put(&text, "k8s:" BF_KEY_NAMESPACE "=", strlen("k8s:" BF_KEY_NAMESPACE "="));
		bf_buf_str(&text, ident->endpoint->namespace);
		free(labels);
		break;
	}
	if (text.error) {
		bf_buf_free(&text);
		return NULL;
	}
	return (char *)text.v;
}

static int port_order(const void *a, const void *b)
{
	const struct bf_named_port *x = *(const struct bf_named_port *const *)a;
	const struct bf_named_port *y = *(const struct bf_named_port *const *)b;
	int d = strcmp(x->name, y->name);

	if (d)
		return d;
	return x->protocol != y->protocol ? x->protocol - y->protocol : x->port - y->port;
}

static int port_list_of(struct bf_compiler *c, const struct bf_endpoint *ep, uint32_t *index)
{
	const struct bf_named_port **v = calloc(ep->port_count + 1, sizeof(*v));
	struct bf_buf key = {0};
	int ret;

	if (!v)
		return -ENOMEM;
	for (size_t i = 0; i < ep->port_count; i++)
		v[i] = &ep->ports[i];
	qsort(v, ep->port_count, sizeof(*v), port_order);
	for (size_t i = 0; i < ep->port_count; i++) {
		bf_buf_str(&key, v[i]->name);
		bf_buf_u32(&key, BPFAST_PORT_KEY(v[i]->protocol, v[i]->port));
	}
	free(v);
	ret = bf_intern_buf(&c->port_lists, &key, index);
	bf_buf_free(&key);
	return ret < 0 ? ret : 0;
}

static void key_block(struct bf_buf *key, const struct bf_block *b)
{
	if (!b)
		return;
	bf_buf_put(key, &b->first, sizeof(b->first));
	bf_buf_u32(key, b->len);
}

/* The identity of these addresses; the key's bytes also make its number. */
static int intern_ident(struct bf_compiler *c, const struct bf_ident *ident, uint32_t *index)
{
	const struct bf_endpoint *ep = ident->endpoint;
	struct bf_buf key = {0};
	int ret;

	bf_buf_u32(&key, ident->kind);
	if (ident->kind == BF_IDENT_ENDPOINT) {
		const struct bf_label **labels = sorted_labels(&ep->labels);

		if (!labels) {
			bf_buf_free(&key);
			return -ENOMEM;
		}
		bf_buf_str(&key, ep->namespace);
		for (size_t i = 0; i < ep->labels.n; i++) {
			bf_buf_str(&key, labels[i]->key);
			bf_buf_str(&key, labels[i]->value);
		}
		free(labels);
		bf_buf_put(&key, "", 1);
		for (size_t i = 0; i < ep->port_count; i++) {
			bf_buf_str(&key, ep->ports[i].name);
			bf_buf_u32(&key, BPFAST_PORT_KEY(ep->ports[i].protocol, ep->ports[i].port));
		}
	}
	key_block(&key, ident->has_block ? &ident->block : NULL);
	ret = bf_intern_buf(&c->ident_keys, &key, index);
	bf_buf_free(&key);
	if (ret <= 0)
		return ret;
	if (bf_grow(&c->idents, &c->ident_cap, c->ident_count, sizeof(*c->idents)))
		return -ENOMEM;
	c->idents[c->ident_count] = *ident;
	if (ident->kind == BF_IDENT_ENDPOINT &&
	    port_list_of(c, ep, &c->idents[c->ident_count].ports))
		return -ENOMEM;
	c->ident_count++;
	return 0;
}

static int intern_endpoint(struct bf_compiler *c, size_t endpoint, const struct bf_block *block,
			   uint32_t *index)
{
	struct bf_ident ident = {
		.kind = BF_IDENT_ENDPOINT,
		.endpoint = &c->world->endpoints[endpoint],
		.ns_labels = c->ns_labels[endpoint],
		.has_block = block,
	};

	if (block)
		ident.block = *block;
	return intern_ident(c, &ident, index);
}

/* --- blocks to spans --------------------------------------------------------- */

struct place {
	struct bf_block block;
	bool point; /* an address of an endpoint or the node, not a CIDR */
	bool node;
	bool for_endpoints; /* a CIDR that also matches endpoints */
	size_t endpoint; /* of a point that is not the node's */
};

struct places {
	struct place *v;
	size_t n, cap;
};

/* Outer blocks before what they hold; CIDRs before a point at the same place. */
static int place_order(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	if (x->block.first != y->block.first)
		return x->block.first < y->block.first ? -1 : 1;
	if (x->block.len != y->block.len)
		return x->block.len < y->block.len ? -1 : 1;
	if (x->point != y->point)
		return x->point ? 1 : -1;
	if (x->node != y->node)
		return x->node ? -1 : 1;
	return x->endpoint < y->endpoint ? -1 : x->endpoint > y->endpoint;
}

static int add_place(struct places *four, struct places *six, const struct place *place)
{
	struct places *to = is_v4(&place->block) ? four : six;

	if (bf_grow(&to->v, &to->cap, to->n, sizeof(*to->v)))
		return -ENOMEM;
	to->v[to->n++] = *place;
	return 0;
}

static int add_cidr(struct places *four, struct places *six, const struct bf_cidr *cidr,
		    bool for_endpoints)
{
	return add_place(four, six,
			 &(struct place){
				 .block = bf_block_of(cidr),
				 .for_endpoints = for_endpoints,
			 });
}

static int collect(struct bf_compiler *c, struct places *four, struct places *six)
{
	const struct bf_world *w = c->world;
	int ret = 0;

	for (size_t p = 0; p < w->objects->policy_count; p++) {
		const struct bf_policy *policy = &w->objects->policies[p];

		for (size_t r = 0; c->policy_used[p] && r < policy->rule_count; r++) {
			const struct bf_rule *rule = &policy->rules[r];

			for (size_t i = 0; i < rule->peer_count; i++) {
				const struct bf_peer *peer = &rule->peers[i];
				bool ends = peer->cidr_matches_endpoints;

				if (peer->kind != BF_PEER_CIDR)
					continue;
				ret = ret ?: add_cidr(four, six, &peer->cidr, ends);
				for (size_t e = 0; e < peer->except_count; e++)
					ret = ret ?: add_cidr(four, six, &peer->except[e], ends);
			}
		}
	}
	for (size_t e = 0; e < w->endpoint_count; e++)
		for (size_t a = 0; a < w->endpoints[e].addr_count; a++)
			ret = ret
				      ?: add_place(four, six,
						   &(struct place){
							   .block = {address(w->endpoints[e]
										     .addrs[a]),
								     128},
							   .point = true,
							   .endpoint = e,
						   });
	for (size_t a = 0; a < w->node_addr_count; a++)
		ret = ret
			      ?: add_place(four, six,
					   &(struct place){
						   .block = {address(w->node_addrs[a]), 128},
						   .point = true,
						   .node = true,
					   });
	return ret;
}

static int claim_error(struct bf_compiler *c, const struct place *place, const char *other)
{
	const struct bf_endpoint *ep = &c->world->endpoints[place->endpoint];
	char text[64];

	block_text(&place->block, text, sizeof(text));
	*strrchr(text, '/') = 0;
	return bf_err(c->err, -EINVAL,
		      "address %s of endpoint %s/%s belongs to %s too: an address tells who a peer "
		      "is, so only one may have it; delete or correct one of them",
		      text, ep->namespace, ep->name, other);
}

/*
 * Who has an address that several claim. The node wins over a peer elsewhere
 * (a host-network pod is its node), an endpoint of this node over a peer
 * elsewhere (whose record is stale). Anything else is an error.
 */
static int settle(struct bf_compiler *c, struct place *winner, const struct place *other)
{
	const struct bf_endpoint *eps = c->world->endpoints;
	const struct bf_endpoint *a = &eps[winner->endpoint], *b = &eps[other->endpoint];
	char name[400];

	if (other->node)
		return 0; /* sorted first: the winner is the node too */
	if (winner->node)
		return b->slot < 0 ? 0 : claim_error(c, other, "the node itself");
	if (a == b || (a->slot >= 0 && b->slot < 0))
		return 0;
	if (a->slot < 0 && b->slot >= 0) {
		winner->endpoint = other->endpoint;
		return 0;
	}
	snprintf(name, sizeof(name), "endpoint %s/%s", b->namespace, b->name);
	return claim_error(c, winner, name);
}

/* Sorts, and leaves one place for each block and at most one point an address. */
static int unite(struct bf_compiler *c, struct places *p)
{
	size_t n = 0;
	int ret;

	if (p->n)
		qsort(p->v, p->n, sizeof(*p->v), place_order);
	for (size_t i = 0; i < p->n; i++) {
		struct place *last = n ? &p->v[n - 1] : NULL;

		if (!last || last->block.first != p->v[i].block.first ||
		    last->block.len != p->v[i].block.len || last->point != p->v[i].point) {
			p->v[n++] = p->v[i];
			continue;
		}
		last->for_endpoints |= p->v[i].for_endpoints;
		ret = last->point ? settle(c, last, &p->v[i]) : 0;
		if (ret)
			return ret;
	}
	p->n = n;
	return 0;
}

struct spans {
	struct bf_span **v;
	size_t *n, *cap;
};

static int add_span(struct spans *s, bf_u128 first, uint32_t ident)
{
	size_t n = *s->n;

	/* The same start again: the block that begins there is a narrower one. */
	if (n && (*s->v)[n - 1].first == first)
		n--;
	if (n && (*s->v)[n - 1].ident == ident) {
		*s->n = n;
		return 0;
	}
	if (bf_grow(s->v, s->cap, n, sizeof(**s->v)))
		return -ENOMEM;
	(*s->v)[n] = (struct bf_span){first, ident};
	*s->n = n + 1;
	return 0;
}

struct open_block {
	const struct place *place;
	uint32_t ident;
};

static int place_ident(struct bf_compiler *c, const struct place *place,
		       const struct open_block *stack, size_t depth, uint32_t *index)
{
	struct bf_ident ident = {.kind = BF_IDENT_CIDR, .has_block = true, .block = place->block};
	const struct bf_block *outer = NULL;

	if (!place->point)
		return intern_ident(c, &ident, index);
	while (depth && !outer)
		if (stack[--depth].place->for_endpoints)
			outer = &stack[depth].place->block;
	if (!place->node)
		return intern_endpoint(c, place->endpoint, outer, index);
	if (!outer) {
		*index = BF_IDENT_AT_NODE;
		return 0;
	}
	ident.kind = BF_IDENT_NODE;
	ident.block = *outer;
	return intern_ident(c, &ident, index);
}

/* Sweeps the sorted blocks from the lowest address to the highest. */
static int sweep(struct bf_compiler *c, const struct places *p, bf_u128 lowest, bf_u128 highest,
		 struct spans spans)
{
	struct open_block stack[130]; /* /0 to /128 nested, and a point in the last */
	size_t depth = 0;
	int ret = add_span(&spans, lowest, BF_IDENT_AT_WORLD);

	for (size_t i = 0; !ret && i <= p->n; i++) {
		const struct place *next = i < p->n ? &p->v[i] : NULL;

		while (!ret && depth &&
		       (!next || !bf_block_holds(&stack[depth - 1].place->block, &next->block))) {
			const struct bf_block *done = &stack[--depth].place->block;
			bf_u128 last = done->first | ~mask(done->len);

			if (last != highest)
				ret = add_span(&spans, last + 1,
					       depth ? stack[depth - 1].ident : BF_IDENT_AT_WORLD);
		}
		if (ret || !next)
			continue;
		ret = place_ident(c, next, stack, depth, &stack[depth].ident);
		stack[depth].place = next;
		ret = ret ?: add_span(&spans, next->block.first, stack[depth].ident);
		depth++;
	}
	return ret;
}

/* --- numbers ------------------------------------------------------------------ */

struct numbering {
	const struct bf_intern *keys;
	uint32_t at;
};

static int key_order(const void *a, const void *b)
{
	const struct numbering *x = a, *y = b;
	const struct bf_intern_entry *k = &x->keys->v[x->at], *l = &y->keys->v[y->at];
	int d = memcmp(x->keys->bytes.v + k->off, x->keys->bytes.v + l->off,
		       k->len < l->len ? k->len : l->len);

	return d ? d : (k->len > l->len) - (k->len < l->len);
}

static bool number_taken(const uint32_t *used, size_t slots, uint32_t id, size_t *slot)
{
	for (*slot = id * 2654435761u % slots; used[*slot]; *slot = (*slot + 1) % slots)
		if (used[*slot] == id)
			return true;
	return false;
}

/*
 * A number comes from the identity's own content, so that it stays the same
 * when others come and go; those who collide are settled in sorted order.
 */
static int number(struct bf_compiler *c)
{
	const uint32_t space = (1u << 24) - BPFAST_ID_FIRST;
	size_t n = c->ident_count, slots = 2 * n + 1, slot;
	struct numbering *order = calloc(n, sizeof(*order));
	uint32_t *used = calloc(slots, sizeof(*used));
	int ret = -ENOMEM;

	if (!order || !used)
		goto out;
	ret = -E2BIG;
	if (n > BPFAST_TABLE_MAX) { /* so many peers may stand in one set */
		bf_err(c->err, ret, "%zu identities are needed, more than %d", n, BPFAST_TABLE_MAX);
		goto out;
	}
	for (size_t i = 0; i < n; i++)
		order[i] = (struct numbering){&c->ident_keys, (uint32_t)i};
	qsort(order, n, sizeof(*order), key_order);
	for (size_t i = 0; i < n; i++) {
		uint32_t at = order[i].at;
		uint32_t id = BPFAST_ID_FIRST +
			      (uint32_t)(bf_hash(c->ident_keys.bytes.v + c->ident_keys.v[at].off,
						 c->ident_keys.v[at].len) %
					 space);

		if (at <= BF_IDENT_AT_WORLD)
			continue;
		while (number_taken(used, slots, id, &slot))
			id = id + 1 < (1u << 24) ? id + 1 : BPFAST_ID_FIRST;
		used[slot] = id;
		c->idents[at].id = id;
	}
	c->idents[BF_IDENT_AT_UNKNOWN].id = BPFAST_ID_UNKNOWN;
	c->idents[BF_IDENT_AT_NODE].id = BPFAST_ID_HOST;
	c->idents[BF_IDENT_AT_WORLD].id = BPFAST_ID_WORLD;
	ret = 0;
out:
	free(order);
	free(used);
	return ret;
}

/* A local endpoint's own: that of its first address, as its peers see it. */
static int own_identities(struct bf_compiler *c)
{
	const struct bf_world *w = c->world;

	for (size_t e = 0; e < w->endpoint_count; e++) {
		const struct bf_span *v = c->spans6;
		size_t lo = 0, hi = c->span6_count;
		struct bf_block at = {.len = 128};
		int ret;

		if (w->endpoints[e].slot < 0)
			continue;
		if (w->endpoints[e].addr_count)
			at.first = address(w->endpoints[e].addrs[0]);
		if (is_v4(&at)) {
			v = c->spans4;
			hi = c->span4_count;
		}
		while (hi - lo > 1) {
			size_t mid = lo + (hi - lo) / 2;

			if (v[mid].first <= at.first)
				lo = mid;
			else
				hi = mid;
		}
		c->endpoint_ident[e] = v[lo].ident;
		if (w->endpoints[e].addr_count)
			continue;
		ret = intern_endpoint(c, e, NULL, &c->endpoint_ident[e]);
		if (ret)
			return ret;
	}
	return 0;
}

int bf_compile_identities(struct bf_compiler *c)
{
	struct places four = {0}, six = {0};
	uint32_t index;
	int ret = 0;

	for (enum bf_ident_kind k = BF_IDENT_UNKNOWN; k <= BF_IDENT_WORLD; k++)
		ret = ret ?: intern_ident(c, &(struct bf_ident){.kind = k}, &index);
	ret = ret ?: collect(c, &four, &six);
	ret = ret ?: unite(c, &four);
	ret = ret ?: unite(c, &six);
	ret = ret
		      ?: sweep(c, &four, V4_BASE, V4_BASE | 0xffffffffu,
			       (struct spans){&c->spans4, &c->span4_count, &c->span4_cap});
	ret = ret
		      ?: sweep(c, &six, 0, ~(bf_u128)0,
			       (struct spans){&c->spans6, &c->span6_count, &c->span6_cap});
	if (!ret && (c->span4_count > BPFAST_TABLE_MAX || c->span6_count > BPFAST_TABLE_MAX))
		ret = bf_err(
			c->err, -E2BIG,
			"the CIDRs and addresses make %zu IPv4 and %zu IPv6 ranges, more than %d",
			c->span4_count, c->span6_count, BPFAST_TABLE_MAX);
	ret = ret ?: own_identities(c);
	ret = ret ?: number(c);
	free(four.v);
	free(six.v);
	return ret;
}
