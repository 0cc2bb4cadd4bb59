// SPDX-License-Identifier: Apache-2.0
#include "match/dfa.h"

#include <stdio.h>
#include <string.h>

#include "match/array.h"
#include "match/subset.h"

#define STATES_DEFAULT 200000
#define NODES_DEFAULT 20000
/* Entries of the dense table, and words of all accept sets. */
#define TABLE_MAX ((size_t)64 << 20)
#define SET_WORDS_MAX ((size_t)32 << 20)

/* A pattern for a message: printable, and not longer than a line. */
static const char *show(const struct bf_pattern *pattern, char buf[64])
{
	size_t n = 0;

	for (size_t i = 0; i < pattern->len; i++) {
		unsigned char c = (unsigned char)pattern->text[i];

		if (n == 57) {
			memcpy(buf + n, "...", 3);
			n += 3;
			break;
		}
		buf[n++] = c >= ' ' && c < 0x7f ? (char)c : '?';
	}
	buf[n] = '\0';
	return buf;
}

int bf_pattern_check(const struct bf_pattern *pattern, struct bf_error *err)
{
	struct bf_rx rx = {0};
	uint32_t node;
	int ret = bf_rx_parse(&rx, pattern, NODES_DEFAULT, &node, err);

	bf_rx_free(&rx);
	return ret;
}

void bf_dfa_free(struct bf_dfa *dfa)
{
	if (!dfa)
		return;
	free(dfa->next);
	free(dfa->accept);
	free(dfa->set);
	free(dfa);
}

uint32_t bf_dfa_walk(const struct bf_dfa *dfa, uint32_t state, const void *bytes, size_t len)
{
	const uint8_t *b = bytes;

	for (size_t i = 0; i < len; i++)
		state = dfa->next[(size_t)state * dfa->classes + dfa->class_of[b[i]]];
	return state;
}

/*
 * Joins classes whose columns are equal in every state: group[c] becomes the
 * class of the joined table. target is scratch of a->classes. Returns how many.
 */
static uint32_t join_classes(const struct bf_auto *a, uint32_t *target, uint8_t *group)
{
	uint32_t leader[256], groups = 1;

	memset(group, 0, 256);
	leader[0] = 0;
	for (uint32_t s = 0; s < a->states; s++) {
		memset(target, 0xff, a->classes * sizeof(*target));
		for (uint32_t e = a->edge_first[s]; e < a->edge_first[s + 1]; e++)
			target[a->edges[e].label] = a->edges[e].target;
		for (uint32_t c = 0; c < a->classes; c++) {
			uint32_t old = group[c];

			if (target[c] == target[leader[old]])
				continue;
			/* c goes with all later ones of its group that lead where it leads. */
			for (uint32_t d = c; d < a->classes; d++) {
				if (group[d] == old && target[d] == target[c])
					group[d] = (uint8_t)groups;
			}
			leader[groups++] = c;
		}
	}
	return groups;
}

/* Numbers states in preorder from the start, 1 upwards, so that the rows of a chain of
 * literal bytes lie side by side in memory. */
static int number_states(const struct bf_auto *a, uint32_t *number)
{
	uint32_t *stack = NULL;
	size_t count = 0, cap = 0;
	uint32_t next = 1;

	memset(number, 0, a->states * sizeof(*number));
	if (bf_array_grow(&stack, &cap, 1, sizeof(*stack)))
		return -ENOMEM;
	stack[count++] = a->start;
	while (count) {
		uint32_t s = stack[--count];

		if (number[s])
			continue;
		number[s] = next++;
		if (bf_array_grow(&stack, &cap, count + 256, sizeof(*stack))) {
			free(stack);
			return -ENOMEM;
		}
		for (uint32_t e = a->edge_first[s + 1]; e-- > a->edge_first[s];) {
			if (!number[a->edges[e].target])
				stack[count++] = a->edges[e].target;
		}
	}
	free(stack);
	return 0;
}

static int make_sets(struct bf_dfa *dfa, const struct bf_auto *a, size_t patterns)
{
	dfa->sets = a->lists;
	dfa->words = (uint32_t)((patterns + 63) / 64);
	if ((size_t)dfa->sets * dfa->words > SET_WORDS_MAX)
		return -E2BIG;
	dfa->set = calloc((size_t)dfa->sets * dfa->words + 1, sizeof(*dfa->set));
	if (!dfa->set)
		return -ENOMEM;
	for (uint32_t l = 0; l < a->lists; l++) {
		uint64_t *set = dfa->set + (size_t)l * dfa->words;

		for (uint32_t i = a->list_first[l]; i < a->list_first[l + 1]; i++)
			set[a->list[i] / 64] |= (uint64_t)1 << (a->list[i] % 64);
	}
	return 0;
}

static int make_rows(struct bf_dfa *dfa, const struct bf_auto *a, uint32_t *number)
{
	uint8_t group[256];
	size_t size;

	dfa->classes = join_classes(a, number, group);
	for (int b = 0; b < 256; b++)
		dfa->class_of[b] = group[a->class_of[b]];
	dfa->states = a->states + 1;
	size = (size_t)dfa->states * dfa->classes;
	if (size > TABLE_MAX)
		return -E2BIG;
	dfa->next = calloc(size, sizeof(*dfa->next));
	dfa->accept = calloc(dfa->states, sizeof(*dfa->accept));
	if (!dfa->next || !dfa->accept || number_states(a, number))
		return -ENOMEM;
	dfa->start = number[a->start];
	for (uint32_t s = 0; s < a->states; s++) {
		uint32_t *row = dfa->next + (size_t)number[s] * dfa->classes;

		dfa->accept[number[s]] = a->accept[s];
		for (uint32_t e = a->edge_first[s]; e < a->edge_first[s + 1]; e++)
			row[group[a->edges[e].label]] = number[a->edges[e].target];
	}
	return 0;
}

/* Nothing can match: the dead state alone. */
static int make_dead(struct bf_dfa *dfa)
{
	dfa->states = 1;
	dfa->classes = 1;
	dfa->next = calloc(1, sizeof(*dfa->next));
	dfa->accept = calloc(1, sizeof(*dfa->accept));
	return dfa->next && dfa->accept ? 0 : -ENOMEM;
}

static int make_dense(const struct bf_auto *a, bool alive, size_t patterns, struct bf_dfa **out)
{
	struct bf_dfa *dfa = calloc(1, sizeof(*dfa));
	size_t scratch = a->states > 256 ? a->states : 256;
	uint32_t *number = malloc(scratch * sizeof(*number));
	int ret = -ENOMEM;

	if (dfa && number) {
		ret = make_sets(dfa, a, patterns);
		if (!ret)
			ret = alive ? make_rows(dfa, a, number) : make_dead(dfa);
	}
	free(number);
	if (ret) {
		bf_dfa_free(dfa);
		return ret;
	}
	*out = dfa;
	return 0;
}

static int make_nfa(const struct bf_pattern *patterns, size_t n, size_t max_nodes,
		    struct bf_nfa *nfa, size_t *bad, struct bf_error *err)
{
	struct bf_rx rx = {0};
	int ret = bf_nfa_init(nfa);
	uint32_t node;

	for (size_t i = 0; !ret && i < n; i++) {
		*bad = i;
		ret = bf_rx_parse(&rx, &patterns[i], max_nodes, &node, err);
		if (ret)
			break;
		ret = bf_nfa_add(nfa, &rx, node, (uint32_t)i);
		if (ret == -E2BIG) {
			char text[64];

			bf_err(err, ret,
			       "the patterns up to \"%s\" are too large together: more than 16 "
			       "million transitions or 4096 different classes",
			       show(&patterns[i], text));
		}
	}
	bf_rx_free(&rx);
	return ret;
}

int bf_dfa_build(const struct bf_pattern *patterns, size_t n, const struct bf_dfa_limits *limits,
		 struct bf_dfa **out, size_t *bad, struct bf_error *err)
{
	size_t max_states = limits && limits->max_states ? limits->max_states : STATES_DEFAULT;
	size_t max_nodes =
		limits && limits->max_pattern_nodes ? limits->max_pattern_nodes : NODES_DEFAULT;
	struct bf_auto a = {0};
	struct bf_nfa nfa = {0};
	size_t blame = 0;
	bool alive, named;
	int ret;

	if (n >= UINT32_MAX)
		return bf_err(err, -E2BIG, "more than %u patterns", UINT32_MAX - 1);
	ret = make_nfa(patterns, n, max_nodes, &nfa, &blame, err);
	named = ret == -EINVAL || ret == -E2BIG;
	if (!ret) {
		ret = bf_subset_build(&nfa, (uint32_t)n, max_states, &a);
		blame = a.blame;
	}
	bf_nfa_free(&nfa);
	if (!ret)
		ret = bf_auto_minimise(&a, &alive);
	if (!ret)
		ret = make_dense(&a, alive, n, out);
	bf_auto_free(&a);
	if (ret && bad)
		*bad = blame;
	if (ret == -E2BIG && !named) {
		char text[64];

		bf_err(err, ret,
		       "%zu patterns need too large an automaton (more than %zu states, or too "
		       "much "
		       "work); most of it comes from \"%s\": replace .* by something narrower such "
		       "as [^/]*, or use fewer of them",
		       n, max_states, n ? show(&patterns[blame], text) : "");
	} else if (ret == -ENOMEM) {
		bf_err(err, ret, "out of memory while compiling %zu patterns", n);
	}
	return ret;
}
