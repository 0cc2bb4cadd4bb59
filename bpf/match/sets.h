/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_MATCH_SETS_H
#define BPFAST_MATCH_SETS_H
/*
 * Sets of rules as bitmaps (struct bpfast_image_ruleset): which rules do all
 * fields leave possible?
 */
#include "match/arena.h"

#define SETS_MAX 21 /* four fields, BPFAST_HEADER_SLOTS, and what may become a tunnel */
#define SETS_NONE 0xffffffffu

/* The sets to be met. */
struct sets {
	__u32 base; /* arena offset of the first bitmap */
	__u32 words; /* of one bitmap */
	__u32 count;
	__u32 at[SETS_MAX]; /* arena offset of each */
};

static __always_inline void sets_add(struct sets *sets, __u32 set)
{
	__u32 n = sets->count;

	if (n < SETS_MAX) {
		sets->at[n] = sets->base + set * sets->words * 8;
		sets->count = n + 1;
	}
}

static __always_inline __u32 sets_bit(__u64 word)
{
	__u32 n = 0;

	/* The lowest bit that is set; there is no such instruction in BPF. */
	if (!(word & 0xffffffff)) {
		word >>= 32;
		n += 32;
	}
	if (!(word & 0xffff)) {
		word >>= 16;
		n += 16;
	}
	if (!(word & 0xff)) {
		word >>= 8;
		n += 8;
	}
	if (!(word & 0xf)) {
		word >>= 4;
		n += 4;
	}
	if (!(word & 0x3)) {
		word >>= 2;
		n += 2;
	}
	return n + !(word & 1);
}

/* Word w of the intersection of all sets. */
ARENA_GLOBAL __u64 sets_word(const struct sets *sets, __u32 w)
{
	__u64 word = ~0ull;

	if (!sets)
		return 0;
	for (__u32 i = 0; i < SETS_MAX; i++) {
		if (i >= sets->count)
			break;
		word &= arena_u64(sets->at[i] + w * 8);
	}
	return word;
}

/* The lowest rule below n in all of the sets, or SETS_NONE. No set at all: rule 0. */
ARENA_GLOBAL __u32 sets_first(const struct sets *sets, __u32 n)
{
	if (!sets)
		return SETS_NONE;
	for (__u32 w = 0; w < BPFAST_SET_WORDS_MAX; w++) {
		__u64 word;

		if (w >= sets->words)
			break;
		word = sets_word(sets, w);
		if (word) {
			__u32 rule = w * 64 + sets_bit(word);

			return rule < n ? rule : SETS_NONE;
		}
	}
	return SETS_NONE;
}

#endif
