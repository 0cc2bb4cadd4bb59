/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_SWEEP_H
#define BPFAST_SHIELD_SWEEP_H
/*
 * Empties cells of connections and sources that nobody will ask for again: handshakes that were never completed,
 * connections that ended without the last words of both sides, sources whose time is over. New ones would push them
 * out as well. But a filter over sets that are full of them says nothing, and each forged segment
 * would cost two cache misses.
 *
 * Some have no time in their cell. So the first sweep leaves its mark, and the second takes what
 * still bears it. A round takes longer than a listener waits between two SYN-ACKs (32 s with the usual
 * tcp_synack_retries of 5): what would answer a forged segment to such a handshake with a bare ACK has its cell.
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

/* An age in units of 2^30 ns, of a time with so many bits. Another CPU's clock may be ahead: that is no age. */
static __always_inline int shield_sweep_older(__u32 now, __u32 was, __u32 bits, __u32 age)
{
	__u32 passed = (now - was) & bits;

	return passed >= age && passed <= bits >> 1;
}

enum shield_swept { SHIELD_STAYS, SHIELD_IS_MARKED, SHIELD_GOES };

static __always_inline enum shield_swept shield_sweep_conn(__u32 what, __u32 now)
{
	switch (shield_cell_kind(what)) {
	case SHIELD_OPEN:
		return SHIELD_STAYS;
	case SHIELD_WEAK:
		return shield_sweep_older(now, what, SHIELD_WEAK_TIME, SHIELD_IDLE) ? SHIELD_GOES
										    : SHIELD_STAYS;
	}
	return what & SHIELD_SWEPT ? SHIELD_GOES : SHIELD_IS_MARKED;
}

static __always_inline enum shield_swept shield_sweep_source(__u32 what, __u32 now)
{
	return shield_sweep_older(now, what, SHIELD_GOOD_TIME, BPFAST_SHIELD_GOOD_AGE)
		       ? SHIELD_GOES
		       : SHIELD_STAYS;
}

/* One set, of sources or of connections. */
static __always_inline __u32 shield_sweep_cells(void *map, __u32 words, __u32 index, int sources,
						__u32 now)
{
	struct shield_known k;
	__u32 emptied = 0;
	__u64 was;
	int i;

	if (!shield_sweep_find(map, words, index, &k))
		return 0;
	for (i = 0; i < 8; i++) {
		was = *(volatile __u64 *)&k.set->cell[i & 7];
		if (!was)
			continue;
		switch (sources ? shield_sweep_source(was, now) : shield_sweep_conn(was, now)) {
		case SHIELD_GOES:
			emptied += shield_cell_empty(&k, i, was);
			break;
		case SHIELD_IS_MARKED:
			__sync_val_compare_and_swap(&k.set->cell[i & 7], was, was | SHIELD_SWEPT);
			break;
		case SHIELD_STAYS:
			break;
		}
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

	s->emptied += shield_sweep_cells(&bpfast_shconn, SHIELD_FILTER_CONN, index, 0, s->now);
	if (!(index & (each - 1)))
		s->emptied += shield_sweep_cells(&bpfast_shgood, SHIELD_FILTER_GOOD, index / each,
						 1, s->now);
	return 0;
}

#endif
