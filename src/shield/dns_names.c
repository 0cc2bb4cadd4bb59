// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "shield/dns_match.h"
#include "shield/dns_names.h"

#define APART_NS 1000000000ull /* between first and last sight of a name that is asked for again */
#define ONCE 0.25 /* of the queries below the name: more that came once are too many */

static_assert(BF_DNS_NAME == BPFAST_DNS_NAME, "names of rules");

bool bf_names_add(struct bf_names *d, const uint8_t *payload, size_t len, uint64_t now_ns)
{
	struct bf_name *least = &d->name[0], *at = NULL;
	uint8_t wire[BF_DNS_NAME];
	unsigned bytes = bf_dns_name(payload, len, wire);

	if (!bytes)
		return false;
	if (!d->queries++)
		d->since_ns = now_ns;
	for (uint32_t i = 0; i < d->n && !at; i++) {
		struct bf_name *e = &d->name[i];
		bool once = e->count < 2, least_once = least->count < 2;

		if (e->bytes == bytes && !memcmp(e->wire, wire, bytes))
			at = e;
		else if (once != least_once ? once : e->last_ns < least->last_ns)
			least = e;
	}
	if (!at) {
		at = d->n < BF_NAMES ? &d->name[d->n++] : least;
		memset(at, 0, sizeof(*at));
		memcpy(at->wire, wire, bytes);
		at->bytes = (uint8_t)bytes;
		at->first_ns = now_ns;
	}
	at->count++;
	at->last_ns = now_ns;
	return true;
}

/* Does it end in the rule's name, at a label? It is read from its beginning, so labels are where they are. */
static bool below(const struct bf_name *n, const struct bf_dns_rule *r)
{
	unsigned at = 0;

	while (at < n->bytes && (unsigned)(n->bytes - at) > r->bytes)
		at += n->wire[at] + 1u;
	return at && (unsigned)(n->bytes - at) == r->bytes &&
	       !memcmp(n->wire + at, r->name, r->bytes);
}

static bool let_through(const struct bf_name *n, struct bpfast_dns_rule *out)
{
	uint8_t room[BF_DNS_NAME + 64] = {0};
	uint64_t h;

	memcpy(room, n->wire, n->bytes);
	h = dns_hash(room, n->bytes, out->seed);
	for (int i = 0; i < BPFAST_DNS_WAYS && out->honest < BPFAST_DNS_HONEST; i++) {
		__u64 *cell = &out->set[h >> 32 & (BPFAST_DNS_SETS - 1)][i];

		if (*cell)
			continue;
		*cell = h;
		out->honest++;
		return true;
	}
	return false;
}

void bf_names_rule(const struct bf_names *d, uint64_t before_ns, uint64_t seed,
		   struct bf_dns_rule *r, struct bpfast_dns_rule *out)
{
	double once = 0, all = 0;
	bool full = false;

	memset(out, 0, sizeof(*out));
	out->bytes = r->bytes;
	memcpy(out->name, r->name, r->bytes);
	out->seed = seed;
	for (uint32_t i = 0; d && i < d->n; i++) {
		const struct bf_name *n = &d->name[i];

		if (n->first_ns >= before_ns || !below(n, r))
			continue;
		all += n->count;
		if (n->count < 2 || n->last_ns - n->first_ns < APART_NS)
			once += n->count;
		else if (!let_through(n, out))
			full = true;
	}
	out->strangers = full || (all >= 8 && once > ONCE * all);
	r->honest = out->honest;
	r->strangers = out->strangers;
}
