// SPDX-License-Identifier: Apache-2.0
/*
 * Expressions to automata, against the naive matcher: alone, and merged with others. An
 * input is two bytes (flags, length of the expression), the expression, and what is matched.
 */
#include "fuzz.h"

#include <errno.h>

#include "match/dfa.h"
#include "naive.h"

#define PATTERN_MAX 120

static bool matches(const struct bf_dfa *dfa, size_t pattern, const uint8_t *input, size_t n)
{
	uint32_t state = bf_dfa_walk(dfa, dfa->start, input, n);

	if (state >= dfa->states || dfa->accept[state] >= dfa->sets)
		FUZZ_FAIL("state %u of %u", state, dfa->states);
	return dfa->set[(size_t)dfa->accept[state] * dfa->words + pattern / 64] >> (pattern % 64) &
	       1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	/* A literal never costs much; what it may not do is change what the others match. */
	static const struct bf_dfa_limits limits = {.max_states = 3000, .max_pattern_nodes = 1000};
	struct bf_pattern all[3] = {[0] = {.text = "/a.*", .len = 4}};
	struct bf_dfa *alone = NULL, *merged = NULL;
	struct bf_error err = {""};
	unsigned int flags;
	size_t len, n;
	int ret, check, naive;

	if (size < 2)
		return 0;
	len = data[1] % PATTERN_MAX;
	if (len > size - 2)
		len = size - 2;
	n = size - 2 - len;
	n = n > NAIVE_INPUT_MAX ? NAIVE_INPUT_MAX : n;
	flags = data[0] & (BF_PATTERN_LITERAL | BF_PATTERN_FOLD | BF_PATTERN_ASCII);
	all[1] = (struct bf_pattern){(const char *)data + 2, len, flags};
	all[2] = (struct bf_pattern){(const char *)data + 2, len, BF_PATTERN_LITERAL};
	check = bf_pattern_check(&all[1], &err);
	ret = bf_dfa_build(&all[1], 1, &limits, &alone, NULL, &err);
	if (ret && !*err.msg)
		FUZZ_FAIL("refused without a word");
	naive = flags & BF_PATTERN_LITERAL
			? -1
			: naive_match((const char *)data + 2, len,
				      (flags & BF_PATTERN_FOLD ? NAIVE_FOLD : 0) |
					      (flags & BF_PATTERN_ASCII ? NAIVE_ASCII : 0),
				      data + 2 + len, n);
	if ((check == -EINVAL) != (ret == -EINVAL))
		FUZZ_FAIL("checked: %d, compiled: %d: %s", check, ret, err.msg);
	/* In ASCII what can match nothing is refused too. */
	if (ret == -EINVAL && naive >= 0 && !(flags & BF_PATTERN_ASCII))
		FUZZ_FAIL("refused: %s", err.msg);
	if (!ret && naive >= 0 && matches(alone, 0, data + 2 + len, n) != naive)
		FUZZ_FAIL("%.*s: the naive matcher says %d", (int)len, (const char *)data + 2,
			  naive);
	if (!ret && !bf_dfa_build(all, 3, &limits, &merged, NULL, &err) &&
	    matches(alone, 0, data + 2 + len, n) != matches(merged, 1, data + 2 + len, n))
		FUZZ_FAIL("%.*s: with others it matches something else", (int)len,
			  (const char *)data + 2);
	bf_dfa_free(alone);
	bf_dfa_free(merged);
	return 0;
}
