/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_MATCH_DFA_H
#define BPFAST_MATCH_DFA_H
/* Walking an automaton of the image; see struct bpfast_image_dfa. */
#include "match/arena.h"

#define DFA_CLASSES_OFF ((__u32) __builtin_offsetof(struct bpfast_image_dfa, class_of))
#define DFA_TABLE_OFF ((__u32)sizeof(struct bpfast_image_dfa))

/* One byte further, in a loop: dfa is the automaton's arena offset, 0: no automaton. */
static __always_inline __u32 dfa_step(const struct arena_view *v, __u32 dfa, __u32 state, __u8 byte)
{
	__u32 class = view_u8(v, dfa + DFA_CLASSES_OFF + byte);

	return view_u32(v, dfa + DFA_TABLE_OFF + (state + 1 + class) * 4);
}

/* The same for what is read once a run. */
static __always_inline __u32 dfa_start_at(const struct arena_view *v, __u32 dfa)
{
	return view_u32(v, dfa);
}

/* The state that is left only to die; 0: none. */
static __always_inline __u32 dfa_sink_at(const struct arena_view *v, __u32 dfa)
{
	return view_u32(v, dfa + (__u32) __builtin_offsetof(struct bpfast_image_dfa, sink));
}

static __always_inline __u32 dfa_accept_at(const struct arena_view *v, __u32 dfa, __u32 state)
{
	return view_u32(v, dfa + DFA_TABLE_OFF + state * 4);
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

	return arena_open(&v) ? dfa_step(&v, dfa, state, byte) : 0;
}

static __always_inline __u32 dfa_accept(__u32 dfa, __u32 state)
{
	struct arena_view v;

	return arena_open(&v) ? dfa_accept_at(&v, dfa, state) : 0;
}

#endif
