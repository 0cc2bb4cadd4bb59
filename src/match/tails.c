// SPDX-License-Identifier: Apache-2.0
/*
 * The shape of an nfa state is its edges and the shapes they lead to, and says
 * nothing about which pattern matches in the end. Shapes are found from the ends
 * backwards, one strongly connected component after the other (R. Tarjan,
 * "Depth-first search and linear graph algorithms", SIAM J. Comput. 1, 1972).
 */
#include "match/tails.h"

#include <string.h>

#include "match/array.h"

/* States of a loop whose shapes are compared; a larger one is like no other. */
#define LOOP_MAX 128
/* States of a set that may be a tail. */
#define MEMBERS_MAX 48

struct walk {
	struct bf_tails *t;
	uint32_t *index; /* [states]: order of discovery, from 1 */
	uint32_t *low;
	uint32_t *edge; /* [states]: where the walk goes on */
	uint32_t *component; /* [states]: stack of those whose component is not complete */
	uint32_t *path; /* [states]: from the start to here */
	uint32_t *local; /* [states]: number within the loop at hand + 1 */
	uint32_t *row; /* words of a shape */
	uint32_t *queue; /* [LOOP_MAX] */
	size_t row_cap;
	uint32_t open, depth, discovered;
};

#define DONE UINT32_MAX /* in low[]: the component is complete */
#define INSIDE 0x80000000u /* in a shape: a state of the same loop */

static uint32_t join(uint32_t a, uint32_t b)
{
	if (a == BF_TAILS_NONE || a == b)
		return b;
	return b == BF_TAILS_NONE ? a : BF_TAILS_MANY;
}

/* Appends the edges of a state to w->row. Targets in the same loop get local numbers. */
static int add_edges(struct walk *w, uint32_t state, size_t *n, uint32_t *queued)
{
	const struct bf_nfa *nfa = w->t->nfa;

	for (uint32_t e = nfa->states[state].edge; e != BF_NFA_NONE; e = nfa->edges[e].next) {
		const struct bf_nfa_edge *edge = &nfa->edges[e];
		uint32_t to = 0;

		if (bf_array_grow(&w->row, &w->row_cap, *n + 3, sizeof(*w->row)))
			return -ENOMEM;
		if (edge->kind != BF_NFA_MATCH && w->low[edge->target] == DONE) {
			if (w->t->sole[edge->target] == BF_TAILS_NONE)
				continue; /* nothing matches there */
			to = w->t->shape[edge->target];
		} else if (edge->kind != BF_NFA_MATCH) {
			if (!w->local[edge->target]) {
				w->queue[*queued] = edge->target;
				w->local[edge->target] = ++*queued;
			}
			to = INSIDE | w->local[edge->target];
		}
		w->row[(*n)++] = (uint32_t)edge->kind << 16 | edge->set;
		w->row[(*n)++] = to;
	}
	if (bf_array_grow(&w->row, &w->row_cap, *n + 1, sizeof(*w->row)))
		return -ENOMEM;
	w->row[(*n)++] = UINT32_MAX;
	return 0;
}

/* The shape of a state whose loop is `size` states. */
static int find_shape(struct walk *w, uint32_t state, uint32_t size)
{
	uint32_t queued = 1, *shape = &w->t->shape[state];
	size_t n = 0;
	int ret = 0;

	if (size > LOOP_MAX) {
		uint32_t itself[] = {UINT32_MAX, state};

		ret = bf_words_intern(&w->t->shapes, itself, 2, shape);
		return ret < 0 ? ret : 0;
	}
	w->queue[0] = state;
	w->local[state] = 1;
	for (uint32_t i = 0; !ret && i < queued; i++)
		ret = add_edges(w, w->queue[i], &n, &queued);
	for (uint32_t i = 0; i < queued; i++)
		w->local[w->queue[i]] = 0;
	if (!ret)
		ret = bf_words_intern(&w->t->shapes, w->row, n, shape);
	return ret < 0 ? ret : 0;
}

/* The states of `member` are one component, and what they lead to is done. */
static int finish(struct walk *w, const uint32_t *member, uint32_t size)
{
	const struct bf_nfa *nfa = w->t->nfa;
	uint32_t sole = BF_TAILS_NONE;
	int ret = 0;

	for (uint32_t i = 0; i < size && sole != BF_TAILS_MANY; i++) {
		uint32_t e = nfa->states[member[i]].edge;

		for (; e != BF_NFA_NONE; e = nfa->edges[e].next) {
			const struct bf_nfa_edge *edge = &nfa->edges[e];

			if (edge->kind == BF_NFA_MATCH)
				sole = join(sole, edge->target);
			else if (w->low[edge->target] == DONE)
				sole = join(sole, w->t->sole[edge->target]);
		}
	}
	for (uint32_t i = 0; i < size; i++)
		w->t->sole[member[i]] = sole;
	for (uint32_t i = 0; !ret && i < size && sole < BF_TAILS_MANY; i++)
		ret = find_shape(w, member[i], size);
	for (uint32_t i = 0; i < size; i++)
		w->low[member[i]] = DONE;
	return ret;
}

static void discover(struct walk *w, uint32_t state)
{
	w->index[state] = w->low[state] = ++w->discovered;
	w->edge[state] = w->t->nfa->states[state].edge;
	w->component[w->open++] = state;
	w->path[w->depth++] = state;
}

static int visit_all(struct walk *w)
{
	const struct bf_nfa *nfa = w->t->nfa;

	discover(w, 0);
	while (w->depth) {
		uint32_t state = w->path[w->depth - 1], e = w->edge[state], first;
		int ret;

		if (e != BF_NFA_NONE) {
			uint32_t target = nfa->edges[e].target;

			w->edge[state] = nfa->edges[e].next;
			if (nfa->edges[e].kind == BF_NFA_MATCH || w->low[target] == DONE)
				continue;
			if (!w->index[target])
				discover(w, target);
			else if (w->index[target] < w->low[state])
				w->low[state] = w->index[target];
			continue;
		}
		w->depth--;
		if (w->depth && w->low[state] < w->low[w->path[w->depth - 1]])
			w->low[w->path[w->depth - 1]] = w->low[state];
		if (w->low[state] != w->index[state])
			continue;
		for (first = w->open; w->component[first - 1] != state; first--)
			;
		first--;
		ret = finish(w, w->component + first, w->open - first);
		if (ret)
			return ret;
		w->open = first;
	}
	return 0;
}

int bf_tails_init(struct bf_tails *t, const struct bf_nfa *nfa)
{
	size_t n = nfa->state_count;
	uint32_t *block = calloc(n, 6 * sizeof(*block));
	struct walk w = {.t = t, .queue = malloc(LOOP_MAX * sizeof(*w.queue))};
	int ret = -ENOMEM;

	memset(t, 0, sizeof(*t));
	t->nfa = nfa;
	t->sole = malloc(n * sizeof(*t->sole));
	t->shape = calloc(n, sizeof(*t->shape));
	if (block && w.queue && t->sole && t->shape) {
		memset(t->sole, 0xff, n * sizeof(*t->sole));
		w.index = block;
		w.low = block + n;
		w.edge = block + 2 * n;
		w.component = block + 3 * n;
		w.path = block + 4 * n;
		w.local = block + 5 * n;
		ret = visit_all(&w);
	}
	free(block);
	free(w.queue);
	free(w.row);
	return ret;
}

void bf_tails_free(struct bf_tails *t)
{
	free(t->sole);
	free(t->shape);
	bf_words_free(&t->shapes);
	bf_words_free(&t->tails);
	bf_words_free(&t->tuples);
	memset(t, 0, sizeof(*t));
}

static int by_shape(const void *a, const void *b)
{
	const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

int bf_tails_find(struct bf_tails *t, const uint32_t *set, size_t n, uint32_t *tail,
		  uint32_t *tuple)
{
	uint32_t row[2 * MEMBERS_MAX], patterns[BF_TUPLE_MAX], words = 0, slots = 0;
	uint64_t member[MEMBERS_MAX]; /* shape, pattern */
	size_t members = 0;
	int ret;

	if (n > MEMBERS_MAX)
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (t->sole[set[i]] == BF_TAILS_MANY)
			return 0;
		if (t->sole[set[i]] != BF_TAILS_NONE)
			member[members++] = (uint64_t)t->shape[set[i]] << 32 | t->sole[set[i]];
	}
	if (members > 1)
		qsort(member, members, sizeof(*member), by_shape);
	for (size_t i = 0; i < members; i++) {
		uint32_t slot = 0;

		if (i && member[i] == member[i - 1])
			continue;
		while (slot < slots && patterns[slot] != (uint32_t)member[i])
			slot++;
		if (slot == BF_TUPLE_MAX)
			return 0;
		if (slot == slots)
			patterns[slots++] = (uint32_t)member[i];
		row[words++] = (uint32_t)(member[i] >> 32);
		row[words++] = slot;
	}
	if (!slots)
		return 0;
	ret = bf_words_intern(&t->tails, row, words, tail);
	if (ret >= 0)
		ret = bf_words_intern(&t->tuples, patterns, slots, tuple);
	return ret < 0 ? ret : 1;
}

uint32_t bf_tails_slot(const struct bf_tails *t, uint32_t tuple, uint32_t pattern)
{
	uint32_t n, slot = 0;
	const uint32_t *row = bf_words_row(&t->tuples, tuple, &n);

	while (slot + 1 < n && row[slot] != pattern)
		slot++;
	return slot;
}
