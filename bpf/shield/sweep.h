/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_SWEEP_H
#define BPFAST_SHIELD_SWEEP_H
/*
 * Empties cells of connections and sources that nobody will ask for again: handshakes that were never completed,
 * connections that ended without the last words of both sides, sources whose time is over. New ones would push them
 * out as well. But a filter over sets that are full of them says nothing, and each forged segment
 * would cost two cache misses.
 *
 * What waits or is over has no time in its cell. So the first sweep leaves its mark, and the second takes what
 * still bears it.
 */
#include "shield/conn.h"

/* k: the set, and where its bits are. */
static __always_inline int shield_sweep_find(void *map, __u32 words, __u32 index,
					     struct shield_known *k)
{
	__u32 some;

	k->word = words + (index >> 3);
	some = SHIELD_FILTER_SOME + (k->word >> 6);
	k->bit = 1ull << (index & 7) * 8;
	k->tag = 0;
	k->some = bpf_map_lookup_elem(&bpfast_shfilt, &some);
	k->filter = bpf_map_lookup_elem(&bpfast_shfilt, &k->word);
	k->set = bpf_map_lookup_elem(map, &index);
	/* Of a word of the filter that is empty, so are the eight sets. */
	return k->some && k->filter && k->set && *(volatile __u64 *)k->filter;
}

static __always_inline __u32 shield_sweep_cell(struct shield_known *k, int i, __u64 was)
{
	__u64 *cell = &k->set->cell[i & 7];

	/* Who has written there since is newer than what was seen. */
	if (__sync_val_compare_and_swap(cell, was, 0) != was)
		return 0;
	shield_filter_take(k, was >> 32);
	return 1;
}

static __always_inline __u32 shield_sweep_conns(__u32 index)
{
	struct shield_known k;
	__u32 emptied = 0;
	__u64 was;
	int i;

	if (!shield_sweep_find(&bpfast_shconn, SHIELD_FILTER_CONN, index, &k))
		return 0;
	for (i = 0; i < 8; i++) {
		was = *(volatile __u64 *)&k.set->cell[i & 7];
		if (!was || was & SHIELD_OPEN)
			continue;
		if (was & SHIELD_SWEPT)
			emptied += shield_sweep_cell(&k, i, was);
		else
			__sync_val_compare_and_swap(&k.set->cell[i & 7], was, was | SHIELD_SWEPT);
	}
	return emptied;
}

static __always_inline __u32 shield_sweep_sources(__u32 index, __u32 now)
{
	struct shield_known k;
	__u32 emptied = 0;
	__u64 was;
	int i;

	if (!shield_sweep_find(&bpfast_shgood, SHIELD_FILTER_GOOD, index, &k))
		return 0;
	for (i = 0; i < 8; i++) {
		was = *(volatile __u64 *)&k.set->cell[i & 7];
		if (was && ((now - (__u32)was) & SHIELD_GOOD_TIME) >= BPFAST_SHIELD_GOOD_AGE)
			emptied += shield_sweep_cell(&k, i, was);
	}
	return emptied;
}

struct shield_sweeping {
	__u32 at, now, emptied;
};

static long shield_sweep_set(__u32 i, struct shield_sweeping *s)
{
	__u32 index = (s->at + i) & (BPFAST_SHIELD_CONN_SETS - 1);
	const __u32 each = BPFAST_SHIELD_CONN_SETS / BPFAST_SHIELD_GOOD_SETS;

	s->emptied += shield_sweep_conns(index);
	if (!(index & (each - 1)))
		s->emptied += shield_sweep_sources(index / each, s->now);
	return 0;
}

#endif
