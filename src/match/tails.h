/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_TAILS_H
#define BF_MATCH_TAILS_H
/*
 * What patterns have in common at their ends, internal to src/match.
 *
 * Ten thousand `/api/v1/tenants/ID/items/[0-9]+` share their beginning; behind
 * the ID each has an `/items/[0-9]+` of its own, which differs only in the
 * pattern that matches at its end. Where a state set speaks of few patterns,
 * it is described as a tail, the same for all, and a tuple: the patterns that
 * stand in the tail's slots. The automaton then has each tail once, and the edge
 * into it takes the tuple along.
 */
#include "match/nfa.h"
#include "match/words.h"

/* Patterns of one tuple, at most. */
#define BF_TUPLE_MAX 3

struct bf_tails {
	const struct bf_nfa *nfa;
	uint32_t *sole; /* [nfa states]: the only pattern that can match from here, or one of: */
#define BF_TAILS_NONE UINT32_MAX
#define BF_TAILS_MANY (UINT32_MAX - 1)
	uint32_t
		*shape; /* [nfa states]: what may be read from here; equal for all that end alike */
	struct bf_words shapes, tails, tuples;
};

/* -ENOMEM. */
int bf_tails_init(struct bf_tails *t, const struct bf_nfa *nfa);
void bf_tails_free(struct bf_tails *t); /* what it holds, not itself */

/* Describes a set of nfa states. 1: it is a tail; 0: it speaks of too many patterns; -ENOMEM. */
int bf_tails_find(struct bf_tails *t, const uint32_t *set, size_t n, uint32_t *tail,
		  uint32_t *tuple);

/* The slot in which a pattern stands in a tuple. */
uint32_t bf_tails_slot(const struct bf_tails *t, uint32_t tuple, uint32_t pattern);

#endif
