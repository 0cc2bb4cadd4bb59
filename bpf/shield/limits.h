/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_LIMITS_H
#define BPFAST_SHIELD_LIMITS_H
/*
 * Token buckets in tables of fixed size. That of a prefix or destination is two cells, found by hash, and both are
 * charged as in a count-min sketch with conservative update (Estan and Varghese, 2002): a packet is over its
 * limit when the lower one says so. So many of them cost what one costs, and who shares one cell
 * with a flood does not suffer. A prefix and its sources have their cells in one cache line; those of sources are
 * in source.h.
 */
#include "shield/hash.h"
#include "shield/maps.h"
#include "shield/source.h"

struct shield_bucket {
	__u64 *cell[2];
	__u64 was[2]; /* what they held when they were read */
};

/* Where other destinations have a port: a number that is none. */
#define SHIELD_NEIGHBOUR_PORT 0x10000

static __always_inline void shield_bucket_read(struct shield_bucket *b)
{
	b->was[0] = *(volatile __u64 *)b->cell[0];
	b->was[1] = *(volatile __u64 *)b->cell[1];
}

/* Two different ones of the first `count` cells of a line, by 16 bits of a hash. */
static __always_inline void shield_two(struct shield_bucket *b, struct bpfast_shield_set *line,
				       __u32 hash, __u32 count)
{
	__u64 one = ((hash & 0xff) * count) >> 8;
	__u64 two = one + 1 + (((hash >> 8 & 0xff) * (count - 1)) >> 8) - count;

	two += count & shield_negative(two);
	b->cell[0] = &line->cell[one & 7];
	b->cell[1] = &line->cell[two & 7];
	shield_bucket_read(b);
}

/* The buckets of a source and of its prefix. */
static __always_inline int shield_source_buckets(const struct bpfast_shield_control *control,
						 const struct shield_packet *p, __u32 class,
						 __u64 now, struct shield_source *source,
						 struct shield_bucket *prefix)
{
	const struct bpfast_hash_key *key = &control->key[0];
	struct bpfast_shield_set *line;
	__u64 h = key->start, salt = class;
	__u32 index;

	/* Half a hash is enough: 15 bits for the line, 16 for two cells of the prefix. */
	if (p->version == 4) {
		h = bpfast_hash_word(h, key->word[0],
				     salt << 32 | (p->source[1] & bpf_htonl(0xffffff00)));
	} else {
		h = bpfast_hash_word(h, key->word[0], salt);
		h = bpfast_hash_word(h, key->word[1], p->source[0]);
	}
	index = h >> 48 & (BPFAST_SHIELD_SOURCE_LINES - 1);
	line = bpf_map_lookup_elem(&bpfast_shsrc, &index);
	if (!line)
		return 0;
	shield_two(prefix, line, h >> 32, BPFAST_SHIELD_PREFIX_CELLS);
	/* Within its line, by the whole address. */
	h = bpfast_hash_word(key->start, key->word[4], p->source[1]);
	shield_source_pick(line, h >> 48, now, source);
	return 1;
}

static __always_inline int shield_destination_bucket(const struct bpfast_shield_control *control,
						     const struct shield_packet *p, __u32 class,
						     struct shield_bucket *b)
{
	const struct bpfast_hash_key *key = &control->key[0];
	__u32 port = bpf_ntohs(p->destination_port), at;
	__u64 h = key->start, salt = class;

	/* What listens has mostly its own number below 1024; the rest in groups, so that a flood over
	 * all ports does not find a bucket for each. */
	port = port < 1024 ? port : 1024 + (port >> 12);
	/* Nor must pings from afar use up what the link's own neighbours need to find this host. */
	if (p->flags & SHIELD_NEIGHBOUR)
		port = SHIELD_NEIGHBOUR_PORT;
	h = bpfast_hash_word(h, key->word[0], salt << 32 | port);
	h = bpfast_hash_word(h, key->word[1], p->destination[1]);
	if (p->version == 6)
		h = bpfast_hash_word(h, key->word[2], p->destination[0]);
	at = h >> 32 & (BPFAST_SHIELD_DESTINATION_ROW - 1);
	b->cell[0] = bpf_map_lookup_elem(&bpfast_shdst, &at);
	at = BPFAST_SHIELD_DESTINATION_ROW + (h >> 48 & (BPFAST_SHIELD_DESTINATION_ROW - 1));
	b->cell[1] = bpf_map_lookup_elem(&bpfast_shdst, &at);
	if (!b->cell[0] || !b->cell[1])
		return 0;
	shield_bucket_read(b);
	return 1;
}

/* Is there no token? */
static __always_inline int shield_empty(const struct bpfast_shield_limit *limit,
					const struct shield_bucket *b, __u64 now)
{
	__u64 low = shield_least(b->was[0], b->was[1]);

	return limit->rate && (__s64)(low - now) > (__s64)limit->slack_ns;
}

/* Takes a token. Of one source two CPUs seldom have a packet at once: one lost then is not missed. */
static __always_inline void shield_take(const struct bpfast_shield_limit *limit,
					struct shield_bucket *b, __u64 now)
{
	__u64 next;

	if (!limit->rate)
		return;
	/* Again, for another CPU may have given a token back since. */
	shield_bucket_read(b);
	next = shield_most(shield_least(b->was[0], b->was[1]), now) + limit->step_ns;
	*(volatile __u64 *)b->cell[0] = shield_most(b->was[0], next);
	*(volatile __u64 *)b->cell[1] = shield_most(b->was[1], next);
}

/*
 * The same where all CPUs meet, in the bucket of a destination. While it is more than half full of tokens
 * one lost is not missed; else who loses the race is charged to the winner's cell.
 */
static __always_inline void shield_take_shared(const struct bpfast_shield_limit *limit,
					       struct shield_bucket *b, __u64 now)
{
	__u64 low = shield_least(b->was[0], b->was[1]), next = low + limit->step_ns;
	__u64 *mine, *other;

	if ((__s64)(low - now) <= (__s64)(limit->slack_ns >> 1)) {
		shield_take(limit, b, now);
		return;
	}
	if (!limit->rate)
		return;
	mine = b->was[0] < b->was[1] ? b->cell[0] : b->cell[1];
	other = b->was[0] < b->was[1] ? b->cell[1] : b->cell[0];
	if (__sync_val_compare_and_swap(mine, low, next) != low)
		__sync_fetch_and_add(mine, limit->step_ns);
	if (*(volatile __u64 *)other < next)
		*(volatile __u64 *)other = next;
}

/* Gives a token back: the SYN it was taken for has become a connection. */
static __always_inline void shield_give(const struct bpfast_shield_limit *limit,
					struct shield_bucket *b)
{
	int i;

	for (i = 0; i < 2; i++) {
		__u64 was = *(volatile __u64 *)b->cell[i];

		if (limit->rate && was > limit->step_ns)
			*(volatile __u64 *)b->cell[i] = was - limit->step_ns;
	}
}

#endif
