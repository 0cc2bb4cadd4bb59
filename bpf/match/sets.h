/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_MATCH_SETS_H
#define BPFAST_MATCH_SETS_H
/*
 * Sets of rules (BPFAST_SET_ONE in image.h): which rules do all fields leave possible?
 * Where one set is a single rule or a short list, the others are asked only for these.
 */
#include "match/arena.h"

#define SETS_MAX 21 /* four fields, BPFAST_HEADER_SLOTS, and what may become a tunnel */
#define SETS_NONE 0xffffffffu

/* The sets to be met. Of a ruleset of one word: met already, in `word`. */
struct sets {
	__u64 word;
	__u32 base; /* arena offset of the descriptions */
	__u32 words; /* of a bitmap */
	__u32 count;
	__u32 few; /* the shortest of them: its description; 0: all are bitmaps */
	__u32 at[SETS_MAX]; /* description of each */
};

static __always_inline void sets_add(struct sets *sets, __u32 set)
{
	__u32 n = sets->count;

	if (!(set & BPFAST_SET_ONE))
		set = arena_u32(sets->base + set * 4);
	if (set & BPFAST_SET_ONE || (set & BPFAST_SET_FEW && !(sets->few & BPFAST_SET_ONE)))
		sets->few = set;
	if (n < SETS_MAX) {
		sets->at[n] = set;
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

/* Not 0 where one of the four rules in a word of a list is `rule`. */
static __always_inline __u64 sets_word_has(__u64 word, __u64 rule)
{
	const __u64 ones = 0x0001000100010001ull, tops = 0x8000800080008000ull;

	word ^= rule * ones;
	return (word - ones) & ~word & tops; /* not 0 where 16 bits are */
}

/* The list's length is in front, and all ones are behind its end in its last word. */
static __always_inline __u64 sets_list_has(const struct arena_view *v, __u32 list, __u32 rule)
{
	__u64 word = view_u64(v, list);
	__u32 more = (__u16)word / 4;

	if (sets_word_has(word | 0xffff, rule))
		return 1;
	for (__u32 i = 1; i < (BPFAST_SET_FEW_MAX + 1) / 4; i++) {
		if (i > more)
			break;
		if (sets_word_has(view_u64(v, list + i * 8), rule))
			return 1;
	}
	return 0;
}

/* Rule i of the shortest set, from 0; SETS_NONE behind its end. */
static __always_inline __u32 sets_candidate(const struct arena_view *v, const struct sets *sets,
					    __u32 i)
{
	__u32 few = sets->few, list = sets->base + (few & ~BPFAST_SET_FEW) * 8;

	if (few & BPFAST_SET_ONE)
		return i ? SETS_NONE : few & ~BPFAST_SET_ONE;
	if (i >= (__u16)view_u64(v, list))
		return SETS_NONE;
	i++; /* the length stands in front */
	return (__u16)(view_u64(v, list + (i & ~3u) * 2) >> (i & 3) * 16);
}

#define SETS_OTHER 0xfffffffeu

/* Rule i of the shortest set: itself where it is in all sets, SETS_OTHER where not, SETS_NONE
 * behind the last one. */
ARENA_GLOBAL __u32 sets_try(const struct sets *sets, __u32 i)
{
	struct arena_view view;
	__u32 rule;

	if (!sets || !arena_open(&view))
		return SETS_NONE;
	rule = sets_candidate(&view, sets, i);
	if (rule == SETS_NONE)
		return rule;
	for (i = 0; i < SETS_MAX; i++) {
		__u32 set, at;

		if (i >= sets->count)
			break;
		set = sets->at[i];
		at = sets->base + (set & ~BPFAST_SET_FEW) * 8;
		if (set & BPFAST_SET_ONE) {
			if ((set & ~BPFAST_SET_ONE) != rule)
				return SETS_OTHER;
		} else if (set & BPFAST_SET_FEW) {
			if (!sets_list_has(&view, at, rule))
				return SETS_OTHER;
		} else if (!(view_u64(&view, at + rule / 64 * 8) >> (rule & 63) & 1)) {
			return SETS_OTHER;
		}
	}
	return rule;
}

/* Word w of the intersection of all sets, where all are bitmaps. */
ARENA_GLOBAL __u64 sets_word(const struct sets *sets, __u32 w)
{
	struct arena_view view;
	__u64 word = ~0ull;

	if (!sets || !arena_open(&view))
		return 0;
	for (__u32 i = 0; i < SETS_MAX; i++) {
		if (i >= sets->count)
			break;
		word &= view_u64(&view, sets->base + (sets->at[i] + w) * 8);
	}
	return word;
}

/* The lowest rule below n in all of the sets, or SETS_NONE. No set at all: rule 0. */
ARENA_GLOBAL __u32 sets_first(const struct sets *sets, __u32 n)
{
	if (!sets)
		return SETS_NONE;
	for (__u32 i = 0; sets->few && i < BPFAST_SET_FEW_MAX; i++) {
		__u32 rule = sets_try(sets, i);

		if (rule != SETS_OTHER)
			return rule < n ? rule : SETS_NONE;
	}
	if (sets->few)
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
