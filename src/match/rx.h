/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_RX_H
#define BF_MATCH_RX_H
/*
 * Regular expressions as trees, internal to src/match.
 *
 * Nodes are interned: equal expressions are one node, whatever pattern they
 * stand in. That is what lets the automaton share the common beginnings of ten
 * thousand patterns (nfa.h).
 */
#include "match/dfa.h"

enum bf_rx_op {
	BF_RX_EMPTY, /* matches the empty string. No words */
	BF_RX_CLASS, /* one code point in UTF-8. Words: first and last of each range, sorted */
	BF_RX_BYTE, /* one byte, whatever it is a part of. Words: first and last of a range */
	BF_RX_CAT, /* one after the other. Words: nodes */
	BF_RX_ALT, /* any of. Words: nodes */
	BF_RX_REPEAT, /* words: node, least, most (BF_RX_INF: without end) */
	BF_RX_BEGIN, /* beginning of the input. No words */
	BF_RX_END, /* end of the input. No words */
};

#define BF_RX_INF UINT32_MAX
#define BF_RX_RUNE_MAX 0x10ffffu
/* Counted repeats, nested ones multiplied, as RE2 limits them. */
#define BF_RX_REPEAT_MAX 1000
/* Nesting of an expression: what recursion over the tree may cost. */
#define BF_RX_DEPTH_MAX 500

struct bf_rx_node {
	uint32_t op;
	uint32_t words; /* offset into bf_rx.words */
	uint32_t count; /* of words */
	uint32_t weight; /* size with repeats unrolled; saturates */
	uint32_t repeat; /* the largest product of nested counted repeats; saturates */
	uint32_t depth;
	uint64_t hash;
};

struct bf_rx {
	struct bf_rx_node *nodes;
	size_t count, nodes_cap;
	uint32_t *words;
	size_t word_count, words_cap;
	uint32_t *table; /* open addressing; node + 1 */
	size_t table_size;
};

void bf_rx_free(struct bf_rx *rx); /* what it holds, not itself */

/* The node with these words, found or made. -ENOMEM. */
int bf_rx_intern(struct bf_rx *rx, enum bf_rx_op op, const uint32_t *words, size_t count,
		 uint32_t *node);

static inline const uint32_t *bf_rx_words(const struct bf_rx *rx, uint32_t node)
{
	return rx->words + rx->nodes[node].words;
}

/* Parses one pattern. -EINVAL with a sentence, -E2BIG, -ENOMEM. */
int bf_rx_parse(struct bf_rx *rx, const struct bf_pattern *pattern, size_t max_weight,
		uint32_t *node, struct bf_error *err);

/* A set of code points under construction. */
struct bf_runes {
	uint32_t *v; /* first, last, first, last ... */
	size_t count, cap; /* of words */
};

int bf_runes_add(struct bf_runes *runes, uint32_t first, uint32_t last);
/* Adds what differs only in case from an ASCII letter in first..last. */
int bf_runes_add_folds(struct bf_runes *runes, uint32_t first, uint32_t last);
int bf_runes_add_all(struct bf_runes *runes, const struct bf_runes *from);
void bf_runes_sort(struct bf_runes *runes); /* sorts and joins ranges */
int bf_runes_negate(struct bf_runes *runes); /* needs a sorted set, leaves one */
void bf_runes_cut(struct bf_runes *runes, uint32_t last); /* takes out what is over last */

struct bf_runes_named {
	const char *name;
	uint8_t range[10]; /* first, last ... */
	uint8_t ranges;
};

/* \d \s \w by their letter, [:name:] by name. NULL: there is none. */
const struct bf_runes_named *bf_runes_find(const char *name, size_t len);

#endif
