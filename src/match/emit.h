/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_EMIT_H
#define BF_MATCH_EMIT_H
/* Automata to struct bpfast_image_dfa, internal to src/match. */
#include "match/blob.h"
#include "match/dfa.h"

/* What the states of a dfa accept with. */
struct bf_dfa_values {
	const uint32_t *set; /* by set; those of tails: BPFAST_DFA_TAIL | n */
	const uint32_t *first; /* by tuple: value[first + n] */
	const uint32_t *value;
	uint32_t count;
};

/*
 * Appends a dfa in the kernel's form. 0, -ENOMEM, -E2BIG, or -EOVERFLOW: so many states and
 * tuples do not fit one number; without tails they would.
 */
int bf_dfa_emit(struct bf_blob *blob, const struct bf_dfa *dfa, const struct bf_dfa_values *values,
		uint32_t *off);

/*
 * Appends the automaton over header names: the names that framing needs, and
 * n names at which rules look, lower or upper case, all different without case. A
 * name that has only "_" for "-" of one of these is none that is well-formed.
 */
int bf_names_emit(struct bf_blob *blob, const char *const *names, size_t n, uint32_t *off,
		  struct bf_error *err);

/* A token of RFC 9110, section 5.6.2? */
bool bf_is_token(const char *text);

#endif
