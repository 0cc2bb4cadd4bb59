/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_SOURCE_H
#define BPFAST_SHIELD_SOURCE_H
/*
 * Buckets of sources: the cells of a prefix's line that are not its own. Each is one source's, by a tag, and goes to
 * another when nobody in the line owes less: so the sources that send most have a cell each, and a neighbour of
 * theirs is not taken for one of them. Where all cells belong to such, the rest is held by the prefix's limit alone.
 */
#include "shield/types.h"

/*
 * Where sources are forged, no two cells compare as the last ones did: a branch on them is
 * mispredicted every other time, and costs more than all the rest. So without: times differ by
 * less than 2^63, and the sign of a difference is a mask.
 */
static __always_inline __u64 shield_negative(__u64 difference)
{
	__u64 mask = (__u64)((__s64)difference >> 63);

	/* The compiler knows it for a comparison otherwise. */
	asm volatile("" : "+r"(mask));
	return mask;
}

static __always_inline __u64 shield_least(__u64 a, __u64 b)
{
	return b + ((a - b) & shield_negative(a - b));
}

static __always_inline __u64 shield_most(__u64 a, __u64 b)
{
	return a - ((a - b) & shield_negative(a - b));
}

/*
 * A cell: the time at which all debts are paid, in 256 ns, << 16 | tag. So a time is (ns << 8) without its last 16
 * bits, which leaves 1.1 years until what was never touched since looks as if it were of the future.
 */
#define SHIELD_SOURCE_TAG 0xffffull
/* No debt is larger (200 days): it is what such an old cell seems to owe. Added, so that those are the smallest. */
#define SHIELD_SOURCE_BIAS (1ull << 62)

struct shield_source {
	__u64 *cell;
	__u64 owes; /* its debt, as above, + BIAS */
	__u32 tag;
	__u32 mine; /* the cell is the source's; else it is the one that owes least */
};

static __always_inline __u64 shield_source_debt(__u64 cell, __u64 now)
{
	return (cell & ~SHIELD_SOURCE_TAG) - (now << 8 & ~SHIELD_SOURCE_TAG) + SHIELD_SOURCE_BIAS;
}

/* The source's cell, or the one that it may have. */
static __always_inline void shield_source_pick(struct bpfast_shield_set *line, __u32 tag, __u64 now,
					       struct shield_source *s)
{
	__u64 cell, owes, less, at = BPFAST_SHIELD_PREFIX_CELLS;
	int i;

	s->tag = tag & SHIELD_SOURCE_TAG;
	s->mine = 1;
	s->owes = (1ull << 63) - 1;
#pragma unroll
	for (i = BPFAST_SHIELD_PREFIX_CELLS; i < 8; i++) {
		cell = *(volatile __u64 *)&line->cell[i];
		owes = shield_source_debt(cell, now);
		if ((cell & SHIELD_SOURCE_TAG) == s->tag) {
			s->cell = &line->cell[i];
			s->owes = owes;
			return;
		}
		less = shield_negative(owes - s->owes);
		s->owes += (owes - s->owes) & less;
		at += (i - at) & less;
	}
	s->mine = 0;
	s->cell = &line->cell[at & 7];
}

/* slack_ns in cells' time; a limit may be so slow that it has no room. */
static __always_inline __u64 shield_source_slack(const struct bpfast_shield_limit *limit)
{
	return limit->slack_ns < SHIELD_SOURCE_BIAS >> 9 ? limit->slack_ns << 8
							 : SHIELD_SOURCE_BIAS >> 1;
}

static __always_inline __u64 shield_source_step(const struct bpfast_shield_limit *limit)
{
	__u64 step = (((__u64)limit->step_ns << 8) + (SHIELD_SOURCE_TAG >> 1)) & ~SHIELD_SOURCE_TAG;

	return step ? step : SHIELD_SOURCE_TAG + 1;
}

/* Is there no token? */
static __always_inline int shield_source_empty(const struct bpfast_shield_limit *limit,
					       const struct shield_source *s)
{
	return limit->rate && s->mine &&
	       (__s64)s->owes > (__s64)(SHIELD_SOURCE_BIAS + shield_source_slack(limit));
}

/*
 * Takes a token. Of one source two CPUs seldom have a packet at once: one lost then is not missed. What the
 * cell says is read again, for it is not worth its room on the stack, and another CPU may have given a token back.
 */
static __always_inline void shield_source_take(const struct bpfast_shield_limit *limit,
					       const struct shield_source *s, __u64 now)
{
	__u64 owes = shield_source_debt(*(volatile __u64 *)s->cell, now);

	if (!limit->rate)
		return;
	/* All cells are those of others, who owe much. */
	if (!s->mine &&
	    (__s64)owes > (__s64)(SHIELD_SOURCE_BIAS + (shield_source_slack(limit) >> 1) +
				  shield_source_step(limit)))
		return;
	owes = s->mine ? shield_most(owes, SHIELD_SOURCE_BIAS) - SHIELD_SOURCE_BIAS : 0;
	*(volatile __u64 *)s->cell =
		((now << 8 & ~SHIELD_SOURCE_TAG) + owes + shield_source_step(limit)) | s->tag;
}

/* Gives a token back: the SYN it was taken for has become a connection. */
static __always_inline void shield_source_give(const struct bpfast_shield_limit *limit,
					       const struct shield_source *s)
{
	__u64 step = shield_source_step(limit);

	if (limit->rate && s->mine && (__s64)s->owes > (__s64)(SHIELD_SOURCE_BIAS + step))
		*(volatile __u64 *)s->cell -= step;
}

#endif
