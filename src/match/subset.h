/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_SUBSET_H
#define BF_MATCH_SUBSET_H
/*
 * A deterministic automaton as it is made, internal to src/match: subset
 * construction (subset.c), then minimisation (minimise.c). Sparse: what is not
 * an edge leads to the dead state, which has no number here.
 */
#include "match/nfa.h"

struct bf_auto_edge {
	uint32_t target;
	uint32_t label; /* byte class */
};

struct bf_auto {
	uint32_t start;
	uint32_t states;
	uint32_t *edge_first; /* [states + 1]: edges of s are edge_first[s] .. edge_first[s + 1] */
	struct bf_auto_edge *edges;
	uint32_t *accept; /* [states]: accept set; 0 is the empty one */
	/* Accept sets: lists of patterns, sorted. */
	uint32_t *list_first; /* [lists + 1] */
	uint32_t *list;
	uint32_t lists;
	uint32_t classes;
	uint8_t class_of[256];
	uint32_t blame; /* -E2BIG: the pattern with the largest part in it */
};

void bf_auto_free(struct bf_auto *a); /* what it holds, not itself */

/*
 * Makes *out of nfa. -ENOMEM, or -E2BIG: more than max_states states, 8 million
 * edges, 32 million members of state sets, or 150 million steps of work. The
 * last three bound time and memory where states are few but large.
 */
int bf_subset_build(const struct bf_nfa *nfa, uint32_t patterns, size_t max_states,
		    struct bf_auto *out);

/* Takes out what cannot match any more and joins equal states, in place. -ENOMEM. The
 * start may turn out to be dead: *alive says whether it is not. */
int bf_auto_minimise(struct bf_auto *a, bool *alive);

#endif
