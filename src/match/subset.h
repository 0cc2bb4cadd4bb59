/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_SUBSET_H
#define BF_MATCH_SUBSET_H
/*
 * A deterministic automaton as it is made, internal to src/match: subset
 * construction (subset.c), then minimisation (minimise.c). Sparse: what is not
 * an edge leads to the dead state, which has no number here.
 */
#include "match/nfa.h"
#include "match/words.h"

struct bf_auto_edge {
	uint32_t target;
	uint32_t label; /* byte class */
	uint32_t take; /* tuple + 1 that an edge into a tail takes along; else 0 */
};

struct bf_auto {
	uint32_t start;
	uint32_t states;
	uint32_t *edge_first; /* [states + 1]: edges of s are edge_first[s] .. edge_first[s + 1] */
	struct bf_auto_edge *edges;
	uint32_t *accept; /* [states]: accept set; 0 is the empty one */
	/* Accept sets: lists of patterns, sorted; in tails, of slots, each with `patterns` added. */
	struct bf_words lists;
	/* Patterns in the slots of tails. */
	struct bf_words tuples;
	uint32_t classes;
	uint8_t class_of[256];
	uint64_t work; /* steps that it took, with those of the minimiser, estimated */
	/* -E2BIG: the patterns that stand in the most states, the worst first. */
#define BF_BLAMED 8
	uint32_t blamed[BF_BLAMED];
	uint32_t blamed_count;
};

void bf_auto_free(struct bf_auto *a); /* what it holds, not itself */

struct bf_subset_limits {
	size_t max_states;
	uint64_t work; /* steps; 0, or more than that: 150 million, one to two seconds */
	bool tails; /* with tails (tails.h) or without */
};

/*
 * Makes *out of nfa. -ENOMEM, or -E2BIG: more than max_states states, 8 million
 * edges, 32 million members of state sets, or too many steps of work. The
 * last three bound time and memory where states are few but large.
 */
int bf_subset_build(const struct bf_nfa *nfa, uint32_t patterns,
		    const struct bf_subset_limits *limits, struct bf_auto *out);

/* Takes out what cannot match any more and joins equal states, in place. -ENOMEM. The
 * start may turn out to be dead: *alive says whether it is not. */
int bf_auto_minimise(struct bf_auto *a, bool *alive);

#endif
