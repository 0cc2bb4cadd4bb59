/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_REPEAT_H
#define BPFAST_SHIELD_REPEAT_H
/*
 * SYNs that come again. Whoever forges a client's address spends that client's limit, and the client's
 * own SYNs are dropped with the flood's. But its stack sends the same SYN again after a
 * second, then after two and four (RFC 6298, section 5), and a flood does not. So a SYN that the limit of its source
 * or prefix stops is remembered, and the same one in its time passes that limit. A flood that repeats its SYNs too
 * has a limit of its own for that.
 */
#include "shield/limits.h"

/* A cell: time << 22 | tag. An empty one is that of a SYN of long ago. */
#define SHIELD_REPEAT_TAG_BITS 22
#define SHIELD_REPEAT_TAG ((1u << SHIELD_REPEAT_TAG_BITS) - 1)
/* Time is in 2^27 ns (0.134 s), modulo 1,024 of them. */
#define SHIELD_REPEAT_TICK 27
/* The same again after 0.8 to 0.94 s at least, and up to 4.5 s: after one second, two, or four. */
#define SHIELD_REPEAT_FIRST 7
#define SHIELD_REPEAT_LAST 34
/* One that is younger (1.2 s) may still come for the first time: it is not pushed out. */
#define SHIELD_REPEAT_KEEP 10
/* So many are looked up in a tick on each CPU, a million a second: of a flood of more, a half, a quarter... */
#define SHIELD_REPEAT_MOST_BITS 17

static __always_inline __u64 shield_repeat_hash(const struct bpfast_shield_control *control,
						const struct shield_packet *p)
{
	__u64 ports = (__u64)p->source_port << 16 | p->destination_port;
	struct shield_hash h = shield_hash_begin(control);

	shield_hash_add(&h, control, 0, ports << 32 | p->seq);
	shield_hash_pair(&h, control, p->version, p->source, p->destination);
	return shield_hash_end(&h);
}

static __always_inline __u32 shield_repeat_age(__u32 time, __u32 cell)
{
	return ((time | SHIELD_REPEAT_TAG) - cell) >> SHIELD_REPEAT_TAG_BITS;
}

/*
 * Is this one of those that are looked up? By its hash, so that one that is remembered is found again. In a flood that
 * overruns the table by far, to look for each costs cache misses and finds nothing.
 */
static __always_inline int shield_repeat_chosen(struct bpfast_shield_counters *count, __u32 tick,
						__u32 hash)
{
	if (count->repeat_tick != tick) {
		__u32 most = count->repeat_seen >> SHIELD_REPEAT_MOST_BITS;

		most |= most >> 1;
		most |= most >> 2;
		count->repeat_most = most | most >> 4;
		count->repeat_seen = 0;
		count->repeat_tick = tick;
	}
	count->repeat_seen++;
	return !(hash & count->repeat_most & 0xff);
}

/* How old what is remembered of this SYN is; ~0: nothing. From now on it is remembered. */
static __always_inline __u32 shield_repeat_note(struct bpfast_shield_repeats *set, __u32 tag,
						__u32 time)
{
	__u32 at, was;
	int i;

#pragma unroll
	for (i = 1; i < 8; i++) {
		was = set->cell[i];
		if ((was ^ tag) & SHIELD_REPEAT_TAG)
			continue;
		*(volatile __u32 *)&set->cell[i] = time | tag;
		return shield_repeat_age(time, was);
	}
	/* The oldest is the one behind the last that was written. */
	at = (set->cell[0] + 1) & 7;
	at += !at;
	if (shield_repeat_age(time, set->cell[at & 7]) < SHIELD_REPEAT_KEEP)
		return ~0u;
	*(volatile __u32 *)&set->cell[at & 7] = time | tag;
	*(volatile __u32 *)&set->cell[0] = at;
	return ~0u;
}

/*
 * Of a SYN that the limit of its source or prefix stops, for this reason: is it the same again, in its time? All
 * repetitions at a destination together may be as many as that limit lets one source, or one prefix,
 * send. A global function: see lists.h.
 */
__attribute__((noinline)) int shield_repeated(struct bpfast_shield_counters *count,
					      const struct shield_packet *p, __u32 reason,
					      __u64 now)
{
	__u32 zero = 0, tick = now >> SHIELD_REPEAT_TICK, at, age, scope;
	const struct bpfast_shield_control *control;
	const struct bpfast_shield_limit *limit;
	struct bpfast_shield_repeats *set;
	struct shield_bucket b;
	__u64 h;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (!control || !count || !p)
		return 0;
	h = shield_repeat_hash(control, p);
	if (!shield_repeat_chosen(count, tick, h >> 32))
		return 0;
	at = h & (BPFAST_SHIELD_REPEAT_SETS - 1);
	set = bpf_map_lookup_elem(&bpfast_shrep, &at);
	if (!set)
		return 0;
	age = shield_repeat_note(set, h >> (64 - SHIELD_REPEAT_TAG_BITS),
				 tick << SHIELD_REPEAT_TAG_BITS);
	if (age < SHIELD_REPEAT_FIRST || age > SHIELD_REPEAT_LAST)
		return 0;
	scope = reason == BPFAST_R_SHIELD_PREFIX ? BPFAST_SS_PREFIX : BPFAST_SS_SOURCE;
	limit = control->limit[BPFAST_SC_SYN];
	/* A number that no class has: the bucket is another than that of SYNs. */
	if (!shield_destination_bucket(control, p, BPFAST_SC_COUNT + scope, &b) ||
	    shield_empty(&limit[scope], &b, now))
		return 0;
	shield_take_shared(&limit[scope], &b, now);
	/* And then as any SYN that passes. */
	if (shield_destination_bucket(control, p, BPFAST_SC_SYN, &b))
		shield_take_shared(&limit[BPFAST_SS_DESTINATION], &b, now);
	return 1;
}

#endif
