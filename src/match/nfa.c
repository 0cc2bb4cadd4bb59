// SPDX-License-Identifier: Apache-2.0
#include "match/nfa.h"

#include <string.h>

#include "match/array.h"

#define EDGES_MAX (16u << 20)
#define SETS_MAX 4096u
/* In place of a state in the memo: the set of a class's ASCII characters. */
#define MEMO_ASCII (BF_NFA_NONE - 1)

struct bf_nfa_memo {
	uint32_t state; /* BF_NFA_NONE: free */
	uint32_t node;
	uint32_t end;
};

void bf_nfa_free(struct bf_nfa *nfa)
{
	free(nfa->states);
	free(nfa->edges);
	free(nfa->sets);
	free(nfa->memo);
	memset(nfa, 0, sizeof(*nfa));
}

static int new_state(struct bf_nfa *nfa, uint32_t *state)
{
	struct bf_nfa_state s = {.edge = BF_NFA_NONE, .owner = nfa->owner};

	if (bf_array_grow(&nfa->states, &nfa->states_cap, nfa->state_count + 1, sizeof(s)))
		return -ENOMEM;
	/* Every state but the first has an edge into it, so the bound on edges holds here too. */
	*state = (uint32_t)nfa->state_count;
	nfa->states[nfa->state_count++] = s;
	return 0;
}

static int new_edge(struct bf_nfa *nfa, uint32_t from, enum bf_nfa_kind kind, uint32_t set,
		    uint32_t target)
{
	struct bf_nfa_edge e = {
		.next = nfa->states[from].edge,
		.target = target,
		.kind = (uint16_t)kind,
		.set = (uint16_t)set,
	};

	if (nfa->edge_count >= EDGES_MAX)
		return -E2BIG;
	if (bf_array_grow(&nfa->edges, &nfa->edges_cap, nfa->edge_count + 1, sizeof(e)))
		return -ENOMEM;
	nfa->states[from].edge = (uint32_t)nfa->edge_count;
	nfa->states[from].kinds |= (uint16_t)(1u << kind);
	nfa->edges[nfa->edge_count++] = e;
	return 0;
}

int bf_nfa_init(struct bf_nfa *nfa)
{
	uint32_t start;

	memset(nfa, 0, sizeof(*nfa));
	return new_state(nfa, &start);
}

static size_t memo_slot(const struct bf_nfa *nfa, uint32_t state, uint32_t node)
{
	size_t i = bf_mix((uint64_t)state << 32 | node) & (nfa->memo_size - 1);

	while (nfa->memo[i].state != BF_NFA_NONE &&
	       (nfa->memo[i].state != state || nfa->memo[i].node != node))
		i = (i + 1) & (nfa->memo_size - 1);
	return i;
}

static bool memo_find(const struct bf_nfa *nfa, uint32_t state, uint32_t node, uint32_t *end)
{
	size_t i;

	if (!nfa->memo_size)
		return false;
	i = memo_slot(nfa, state, node);
	if (nfa->memo[i].state == BF_NFA_NONE)
		return false;
	*end = nfa->memo[i].end;
	return true;
}

static int memo_add(struct bf_nfa *nfa, uint32_t state, uint32_t node, uint32_t end)
{
	struct bf_nfa_memo *old = nfa->memo;
	size_t old_size = nfa->memo_size;

	if ((nfa->memo_count + 1) * 2 > old_size) {
		nfa->memo_size = old_size ? old_size * 2 : 1024;
		nfa->memo = malloc(nfa->memo_size * sizeof(*nfa->memo));
		if (!nfa->memo) {
			nfa->memo = old;
			nfa->memo_size = old_size;
			return -ENOMEM;
		}
		memset(nfa->memo, 0xff, nfa->memo_size * sizeof(*nfa->memo));
		for (size_t i = 0; i < old_size; i++) {
			if (old[i].state != BF_NFA_NONE)
				nfa->memo[memo_slot(nfa, old[i].state, old[i].node)] = old[i];
		}
		free(old);
	}
	nfa->memo[memo_slot(nfa, state, node)] = (struct bf_nfa_memo){state, node, end};
	nfa->memo_count++;
	return 0;
}

static void set_range(struct bf_byte_set *set, uint32_t first, uint32_t last)
{
	for (uint32_t b = first; b <= last; b++)
		set->bits[b / 64] |= (uint64_t)1 << (b % 64);
}

static int find_set(struct bf_nfa *nfa, const struct bf_byte_set *set, uint32_t *id)
{
	/* A few dozen in practice. */
	for (size_t i = nfa->set_count; i--;) {
		if (!memcmp(&nfa->sets[i], set, sizeof(*set))) {
			*id = (uint32_t)i;
			return 0;
		}
	}
	if (nfa->set_count >= SETS_MAX)
		return -E2BIG;
	if (bf_array_grow(&nfa->sets, &nfa->sets_cap, nfa->set_count + 1, sizeof(*set)))
		return -ENOMEM;
	*id = (uint32_t)nfa->set_count;
	nfa->sets[nfa->set_count++] = *set;
	return 0;
}

static int bytes_edge(struct bf_nfa *nfa, uint32_t from, uint32_t first, uint32_t last, uint32_t to)
{
	struct bf_byte_set set = {0};
	uint32_t id;
	int ret;

	set_range(&set, first, last);
	ret = find_set(nfa, &set, &id);
	return ret ? ret : new_edge(nfa, from, BF_NFA_BYTES, id, to);
}

static size_t encode(uint32_t rune, uint8_t *out)
{
	if (rune < 0x800) {
		out[0] = (uint8_t)(0xc0 | rune >> 6);
		out[1] = 0x80 | (rune & 0x3f);
		return 2;
	}
	if (rune < 0x10000) {
		out[0] = (uint8_t)(0xe0 | rune >> 12);
		out[1] = 0x80 | (rune >> 6 & 0x3f);
		out[2] = 0x80 | (rune & 0x3f);
		return 3;
	}
	out[0] = (uint8_t)(0xf0 | rune >> 18);
	out[1] = 0x80 | (rune >> 12 & 0x3f);
	out[2] = 0x80 | (rune >> 6 & 0x3f);
	out[3] = 0x80 | (rune & 0x3f);
	return 4;
}

/*
 * Code points first..last, all over 0x7f, as byte sequences. The range is cut
 * where the length changes and where a lower byte would not run over its whole
 * range 80..BF; each piece is then a product of byte ranges.
 */
static int utf8_edges(struct bf_nfa *nfa, uint32_t from, uint32_t first, uint32_t last, uint32_t to)
{
	static const uint32_t longest[] = {0x7ff, 0xffff, BF_RX_RUNE_MAX};
	uint8_t lo[4], hi[4];
	uint32_t end, state, next;
	size_t n;
	int ret;

	while (first <= last) {
		end = last;
		for (int i = 0; i < 3; i++) {
			if (first <= longest[i] && end > longest[i])
				end = longest[i];
		}
		for (int shift = 6; shift <= 18; shift += 6) {
			uint32_t low = ((uint32_t)1 << shift) - 1;

			if ((first & ~low) == (end & ~low))
				break;
			if (first & low)
				end = first | low;
			else if ((end & low) != low)
				end = (end & ~low) - 1;
		}
		n = encode(first, lo);
		encode(end, hi);
		state = from;
		for (size_t i = 0; i < n; i++) {
			next = to;
			if (i + 1 < n && (ret = new_state(nfa, &next)))
				return ret;
			ret = bytes_edge(nfa, state, lo[i], hi[i], next);
			if (ret)
				return ret;
			state = next;
		}
		first = end + 1;
	}
	return 0;
}

/* The set of a class's characters under 0x80. */
static int ascii_set(struct bf_nfa *nfa, uint32_t node, const uint32_t *range, size_t count,
		     uint32_t *id)
{
	struct bf_byte_set ascii = {0};
	int ret;

	if (memo_find(nfa, MEMO_ASCII, node, id))
		return 0;
	for (size_t i = 0; i < count && range[i] < 0x80; i += 2)
		set_range(&ascii, range[i], range[i + 1] < 0x80 ? range[i + 1] : 0x7f);
	ret = find_set(nfa, &ascii, id);
	return ret ? ret : memo_add(nfa, MEMO_ASCII, node, *id);
}

static int build_class(struct bf_nfa *nfa, uint32_t node, uint32_t from, const uint32_t *range,
		       size_t count, uint32_t to)
{
	uint32_t id;
	int ret;

	if (count && range[0] < 0x80) {
		ret = ascii_set(nfa, node, range, count, &id);
		if (!ret)
			ret = new_edge(nfa, from, BF_NFA_BYTES, id, to);
		if (ret)
			return ret;
	}
	for (size_t i = 0; i < count; i += 2) {
		ret = utf8_edges(nfa, from, range[i] < 0x80 ? 0x80 : range[i], range[i + 1], to);
		if (ret)
			return ret;
	}
	return 0;
}

static int build(struct bf_nfa *nfa, const struct bf_rx *rx, uint32_t node, uint32_t from,
		 uint32_t *end);

/* A state of its own, so that the way back ends in nothing that others use. */
static int build_loop(struct bf_nfa *nfa, const struct bf_rx *rx, uint32_t node, uint32_t from,
		      uint32_t *loop, uint32_t *end)
{
	int ret = new_state(nfa, loop);

	if (!ret)
		ret = new_edge(nfa, from, BF_NFA_EMPTY, 0, *loop);
	if (!ret)
		ret = build(nfa, rx, node, *loop, end);
	if (!ret)
		ret = new_edge(nfa, *end, BF_NFA_EMPTY, 0, *loop);
	return ret;
}

static int build_repeat(struct bf_nfa *nfa, const struct bf_rx *rx, const uint32_t *words,
			uint32_t from, uint32_t *end)
{
	uint32_t node = words[0], min = words[1], max = words[2], loop, out;
	int ret;

	for (uint32_t i = max == BF_RX_INF; i < min; i++) {
		ret = build(nfa, rx, node, from, &from);
		if (ret)
			return ret;
	}
	if (max == BF_RX_INF) {
		ret = build_loop(nfa, rx, node, from, &loop, end);
		if (!min)
			*end = loop;
		return ret;
	}
	if (min == max) {
		*end = from;
		return 0;
	}
	ret = new_state(nfa, &out);
	for (uint32_t i = min; !ret && i < max; i++) {
		ret = new_edge(nfa, from, BF_NFA_EMPTY, 0, out);
		if (!ret)
			ret = build(nfa, rx, node, from, &from);
	}
	if (!ret)
		ret = new_edge(nfa, from, BF_NFA_EMPTY, 0, out);
	*end = out;
	return ret;
}

/* What ends in a state of its own: everything but a concatenation and a repeat. */
static int build_fan(struct bf_nfa *nfa, const struct bf_rx *rx, uint32_t node, uint32_t from,
		     uint32_t *end)
{
	const struct bf_rx_node *n = &rx->nodes[node];
	const uint32_t *words = rx->words + n->words;
	uint32_t part;
	int ret = new_state(nfa, end);

	if (ret)
		return ret;
	switch (n->op) {
	case BF_RX_CLASS:
		return build_class(nfa, node, from, words, n->count, *end);
	case BF_RX_BYTE:
		return bytes_edge(nfa, from, words[0], words[1], *end);
	case BF_RX_BEGIN:
		return new_edge(nfa, from, BF_NFA_BEGIN, 0, *end);
	case BF_RX_END:
		return new_edge(nfa, from, BF_NFA_END, 0, *end);
	default:
		break;
	}
	for (uint32_t i = 0; i < n->count; i++) {
		ret = build(nfa, rx, words[i], from, &part);
		if (!ret)
			ret = new_edge(nfa, part, BF_NFA_EMPTY, 0, *end);
		if (ret)
			return ret;
	}
	return 0;
}

static int build(struct bf_nfa *nfa, const struct bf_rx *rx, uint32_t node, uint32_t from,
		 uint32_t *end)
{
	const struct bf_rx_node *n = &rx->nodes[node];
	const uint32_t *words = rx->words + n->words;
	int ret = 0;

	if (n->op == BF_RX_EMPTY) {
		*end = from;
		return 0;
	}
	if (n->op == BF_RX_CAT) {
		/* Its parts are remembered one by one. */
		for (uint32_t i = 0; !ret && i < n->count; i++)
			ret = build(nfa, rx, words[i], from, &from);
		*end = from;
		return ret;
	}
	if (memo_find(nfa, from, node, end))
		return 0;
	if (n->op == BF_RX_REPEAT)
		ret = build_repeat(nfa, rx, words, from, end);
	else
		ret = build_fan(nfa, rx, node, from, end);
	return ret ? ret : memo_add(nfa, from, node, *end);
}

int bf_nfa_add(struct bf_nfa *nfa, const struct bf_rx *rx, uint32_t node, uint32_t pattern)
{
	uint32_t end;
	int ret;

	nfa->owner = pattern;
	ret = build(nfa, rx, node, 0, &end);
	return ret ? ret : new_edge(nfa, end, BF_NFA_MATCH, 0, pattern);
}
