/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_MATCH_DFA_H
#define BPFAST_MATCH_DFA_H
/* Walking an automaton of the image; see struct bpfast_image_dfa. */
#include "match/arena.h"

#define DFA_FIELD_OFF(member) ((__u32) __builtin_offsetof(struct bpfast_image_dfa, member))
#define DFA_CLASSES_OFF DFA_FIELD_OFF(class_of)
#define DFA_TABLE_OFF ((__u32)sizeof(struct bpfast_image_dfa))
#define DFA_ROW_BYTES (BPFAST_DFA_UNIT * 4)

/* The bits of a state that say where its row is; read once a run. */
static __always_inline __u32 dfa_mask_at(const struct arena_view *v, __u32 dfa)
{
	return view_u32(v, dfa + DFA_FIELD_OFF(mask));
}

/* One byte further, in a loop: dfa is the automaton's arena offset, 0: no automaton. */
static __always_inline __u32 dfa_step(const struct arena_view *v, __u32 dfa, __u32 mask,
				      __u32 state, __u8 byte)
{
	__u32 class = view_u8(v, dfa + DFA_CLASSES_OFF + byte);
	__u32 row = (state & mask) * DFA_ROW_BYTES;

	return (state & ~mask) | view_u32(v, dfa + DFA_TABLE_OFF + 4 + row + class * 4);
}

/*
 * The same without tails: over methods, and names of headers; and from a bare row, up to the
 * first edge that takes something along.
 */
static __always_inline __u32 dfa_step_plain(const struct arena_view *v, __u32 dfa, __u32 state,
					    __u8 byte)
{
	__u32 class = view_u8(v, dfa + DFA_CLASSES_OFF + byte);

	return view_u32(v, dfa + DFA_TABLE_OFF + 4 + state * DFA_ROW_BYTES + class * 4);
}

/* Has the last edge taken something along? */
static __always_inline int dfa_took(__u32 state)
{
	return (__s32)state < 0;
}

/* What is read once a run. */
static __always_inline __u32 dfa_start_at(const struct arena_view *v, __u32 dfa)
{
	return view_u32(v, dfa);
}

/* The state that is left only to die; 0: none. */
static __always_inline __u32 dfa_sink_at(const struct arena_view *v, __u32 dfa)
{
	return view_u32(v, dfa + DFA_FIELD_OFF(sink));
}

static __always_inline __u32 dfa_accept_plain_at(const struct arena_view *v, __u32 dfa, __u32 state)
{
	return view_u32(v, dfa + DFA_TABLE_OFF + state * DFA_ROW_BYTES);
}

/* The same one at a time, outside of loops. */
static __always_inline __u32 dfa_start(__u32 dfa)
{
	struct arena_view v;

	return arena_open(&v) ? dfa_start_at(&v, dfa) : 0;
}

static __always_inline __u32 dfa_next(__u32 dfa, __u32 state, __u8 byte)
{
	struct arena_view v;

	return arena_open(&v) ? dfa_step(&v, dfa, dfa_mask_at(&v, dfa), state, byte) : 0;
}

static __always_inline __u32 dfa_accept(__u32 dfa, __u32 state)
{
	struct arena_view v;
	__u32 value, number;

	if (!arena_open(&v))
		return 0;
	value = dfa_accept_plain_at(&v, dfa, state & dfa_mask_at(&v, dfa));
	if (!(value & BPFAST_DFA_TAIL))
		return value;
	number = ((state & ~BPFAST_DFA_TOOK) >> (view_u32(&v, dfa + DFA_FIELD_OFF(bits)) & 31)) +
		 (value & ~BPFAST_DFA_TAIL);
	return view_u32(&v, dfa + DFA_TABLE_OFF +
				    (view_u32(&v, dfa + DFA_FIELD_OFF(entries)) + number) * 4);
}

/* What holds where there is nothing to match. */
static __always_inline __u32 dfa_accept_dead(__u32 dfa)
{
	return arena_u32(dfa + DFA_TABLE_OFF);
}

#endif
