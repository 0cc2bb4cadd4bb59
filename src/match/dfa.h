/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_DFA_H
#define BF_MATCH_DFA_H
/*
 * Regular expressions in RE2's syntax, many at once, to one deterministic
 * automaton over bytes. A pattern matches the whole input (as if anchored at
 * both ends). Pure: no I/O, no clock, no global state.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

enum bf_pattern_flags {
	BF_PATTERN_LITERAL = 1 << 0, /* text is bytes, not an expression */
	BF_PATTERN_FOLD = 1 << 1, /* as if (?i) stood in front; a literal: ASCII letters only */
	/* The input is known to be ASCII: nothing in an expression matches a byte
	 * over 0x7f, which keeps tables small, and a character that could never
	 * match is refused. */
	BF_PATTERN_ASCII = 1 << 2,
};

struct bf_pattern {
	const char *text;
	size_t len;
	unsigned int flags;
};

/* What a compile may cost; 0 means the default. */
struct bf_dfa_limits {
	size_t max_states; /* of the merged automaton; default 200000 */
	size_t max_pattern_nodes; /* of one expression, counted repeats unrolled; default 20000 */
	bool tails; /* see struct bf_dfa */
	/* Steps left, for this one and others: each takes away what it needed. NULL: each its own. */
	uint64_t *work;
};

/*
 * States are numbered 0..states-1; 0 is dead, with no pattern matched.
 *
 * With tails: what many patterns have in common at their ends is there once, as
 * states from first_tail up. The edge into a tail takes a tuple of patterns along,
 * and what a state of the tail accepts are slots of it. Within a tail edges take
 * nothing, and nothing leads out of it but death.
 */
struct bf_dfa {
	uint32_t states;
	uint32_t start;
	uint32_t first_tail; /* == states: there is none */
	uint32_t classes; /* byte classes; class_of[b] < classes */
	uint8_t class_of[256];
	uint32_t *next; /* [states * classes] */
	uint32_t *take; /* likewise: tuple + 1, or 0. NULL: nothing is taken anywhere */
	uint32_t *accept; /* [states]: what matches when the input ends here: a set */
	uint32_t sets; /* different ones; set 0 is empty */
	uint32_t words; /* of a bitmap: (patterns + 63) / 64 */
	uint64_t *set; /* [sets * words]; bit p: pattern p. NULL with tails */
	/* The same as lists: set s is list[list_first[s]] .. list[list_first[s + 1]]. In tails a
	 * member is the number of patterns + the slot. */
	uint32_t *list_first, *list;
	uint32_t tuples;
	uint32_t *tuple_first, *tuple; /* likewise: patterns by slot */
};

/*
 * Checks one expression alone. On refusal -EINVAL, and err says what is
 * refused and where in the expression ("back-reference \\1 at offset 4: ...").
 */
int bf_pattern_check(const struct bf_pattern *pattern, struct bf_error *err);

/*
 * Compiles n patterns (n may be 0) to a minimal automaton. On success *out is
 * owned by the caller, freed with bf_dfa_free(). -EINVAL: a pattern is refused;
 * -E2BIG: a limit is exceeded; *bad (may be NULL) is the index of the pattern.
 */
int bf_dfa_build(const struct bf_pattern *patterns, size_t n, const struct bf_dfa_limits *limits,
		 struct bf_dfa **out, size_t *bad, struct bf_error *err);
void bf_dfa_free(struct bf_dfa *dfa);

/* The state after reading len bytes from `state`. */
uint32_t bf_dfa_walk(const struct bf_dfa *dfa, uint32_t state, const void *bytes, size_t len);

#endif
