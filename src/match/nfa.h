/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_NFA_H
#define BF_MATCH_NFA_H
/*
 * Expression trees to one nondeterministic automaton, internal to src/match.
 *
 * A state stands for the set of inputs that lead to it, and an edge is only
 * ever added out of a finished state, never into one. So two patterns that
 * begin alike can share the states of their common beginning: building node N
 * from state S gives the same end every time. `/api/v1/...` ten thousand times
 * becomes a tree, and ten thousand leading `.*` become one.
 */
#include "match/rx.h"

enum bf_nfa_kind {
	BF_NFA_BYTES, /* reads one byte of `set` */
	BF_NFA_EMPTY, /* reads nothing */
	BF_NFA_BEGIN, /* reads nothing, at the beginning only */
	BF_NFA_END, /* reads nothing, at the end only */
	BF_NFA_MATCH, /* pattern `target` matches if the input ends here */
};

struct bf_nfa_edge {
	uint32_t next; /* edge of the same state, or BF_NFA_NONE */
	uint32_t target;
	uint16_t kind;
	uint16_t set; /* byte set */
};

struct bf_nfa_state {
	uint32_t edge; /* first, or BF_NFA_NONE */
	uint16_t kinds; /* bit k: it has an edge of kind k */
	uint16_t pad;
	uint32_t owner; /* the pattern that made it first, to have somebody to name */
};

#define BF_NFA_NONE UINT32_MAX

struct bf_byte_set {
	uint64_t bits[4];
};

struct bf_nfa {
	struct bf_nfa_state *states; /* 0 is the start */
	size_t state_count, states_cap;
	struct bf_nfa_edge *edges;
	size_t edge_count, edges_cap;
	struct bf_byte_set *sets;
	size_t set_count, sets_cap;
	struct bf_nfa_memo *memo; /* (state, node) -> end */
	size_t memo_count, memo_size;
	uint32_t owner; /* of states being made */
};

int bf_nfa_init(struct bf_nfa *nfa);
void bf_nfa_free(struct bf_nfa *nfa); /* what it holds, not itself */

/* Adds a pattern. -ENOMEM, or -E2BIG past 16 million edges or 4096 byte sets. */
int bf_nfa_add(struct bf_nfa *nfa, const struct bf_rx *rx, uint32_t node, uint32_t pattern);

static inline bool bf_byte_set_has(const struct bf_byte_set *set, unsigned int byte)
{
	return set->bits[byte / 64] >> (byte % 64) & 1;
}

#endif
