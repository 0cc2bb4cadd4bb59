// SPDX-License-Identifier: Apache-2.0
/*
 * Minimisation by partition refinement, in time m log n for m edges (not
 * states times classes: most edges of these automata are missing). After
 * A. Valmari and P. Lehtinen, "Efficient minimization of DFAs with partial
 * transition functions", STACS 2008: states and edges are both partitioned,
 * and each splits the other until nothing moves.
 */
#include <string.h>

#include "match/array.h"
#include "match/subset.h"

/* Elements 0..n-1 in sets; a set's elements lie together in `element`. */
struct partition {
	uint32_t sets;
	uint32_t *element; /* [n] */
	uint32_t *place; /* [n]: element[place[e]] == e */
	uint32_t *set; /* [n]: of an element */
	uint32_t *first, *past; /* [n]: of a set, in `element` */
	uint32_t *marked; /* [n]: how many of a set, they lie at its beginning */
	uint32_t *touched; /* sets with marks */
	uint32_t touched_count;
};

static void partition_free(struct partition *p)
{
	free(p->element);
}

/* One block for all arrays, with every element in set 0. */
static int partition_init(struct partition *p, uint32_t n)
{
	size_t size = (size_t)n + 1;
	uint32_t *block = malloc(7 * size * sizeof(*block));

	memset(p, 0, sizeof(*p));
	if (!block)
		return -ENOMEM;
	p->element = block;
	p->place = block + size;
	p->set = block + 2 * size;
	p->first = block + 3 * size;
	p->past = block + 4 * size;
	p->marked = block + 5 * size;
	p->touched = block + 6 * size;
	memset(p->set, 0, size * sizeof(*block));
	memset(p->marked, 0, size * sizeof(*block));
	return 0;
}

/* Makes a set of the elements with each key; keys are below `keys`. */
static int partition_by(struct partition *p, uint32_t n, const uint32_t *key, uint32_t keys)
{
	uint32_t *count = calloc((size_t)keys + 1, sizeof(*count));

	if (!count)
		return -ENOMEM;
	for (uint32_t i = 0; i < n; i++)
		count[key[i] + 1]++;
	for (uint32_t k = 0; k < keys; k++)
		count[k + 1] += count[k];
	for (uint32_t i = 0; i < n; i++) {
		p->place[i] = count[key[i]]++;
		p->element[p->place[i]] = i;
	}
	for (uint32_t i = 0; i < n; i++) {
		if (!i || key[p->element[i]] != key[p->element[i - 1]]) {
			p->first[p->sets] = i;
			p->sets++;
		}
		p->set[p->element[i]] = p->sets - 1;
		p->past[p->sets - 1] = i + 1;
	}
	free(count);
	return 0;
}

static void mark(struct partition *p, uint32_t e)
{
	uint32_t s = p->set[e], i = p->place[e], j = p->first[s] + p->marked[s];

	if (i < j)
		return; /* marked already */
	p->element[i] = p->element[j];
	p->place[p->element[i]] = i;
	p->element[j] = e;
	p->place[e] = j;
	if (!p->marked[s]++)
		p->touched[p->touched_count++] = s;
}

/* Parts the marked from the unmarked; the smaller half becomes a new set. */
static void split(struct partition *p)
{
	while (p->touched_count) {
		uint32_t s = p->touched[--p->touched_count];
		uint32_t j = p->first[s] + p->marked[s], n = p->sets;

		if (j == p->past[s]) {
			p->marked[s] = 0;
			continue;
		}
		if (p->marked[s] <= p->past[s] - j) {
			p->first[n] = p->first[s];
			p->past[n] = p->first[s] = j;
		} else {
			p->past[n] = p->past[s];
			p->first[n] = p->past[s] = j;
		}
		for (uint32_t i = p->first[n]; i < p->past[n]; i++)
			p->set[p->element[i]] = n;
		p->marked[s] = p->marked[n] = 0;
		p->sets++;
	}
}

/* Edges by target: into[first[s]] .. into[first[s + 1]] end in s. */
struct incoming {
	uint32_t *first, *edge;
	uint32_t *source; /* of each edge */
};

static void incoming_free(struct incoming *in)
{
	free(in->first);
	free(in->edge);
	free(in->source);
}

static int incoming_init(struct incoming *in, const struct bf_auto *a)
{
	uint32_t edges = a->edge_first[a->states];

	in->first = calloc((size_t)a->states + 2, sizeof(*in->first));
	in->edge = malloc(((size_t)edges + 1) * sizeof(*in->edge));
	in->source = malloc(((size_t)edges + 1) * sizeof(*in->source));
	if (!in->first || !in->edge || !in->source)
		return -ENOMEM;
	for (uint32_t e = 0; e < edges; e++)
		in->first[a->edges[e].target + 2]++;
	for (uint32_t s = 0; s < a->states; s++)
		in->first[s + 1] += in->first[s];
	for (uint32_t s = 0; s < a->states; s++) {
		for (uint32_t e = a->edge_first[s]; e < a->edge_first[s + 1]; e++) {
			in->source[e] = s;
			in->edge[in->first[a->edges[e].target + 1]++] = e;
		}
	}
	return 0;
}

/*
 * Gives every state its new number; UINT32_MAX takes it out, with the edges to
 * it. New numbers rise in the order of the first state that has them, and that
 * state's edges stay.
 */
static void renumber(struct bf_auto *a, const uint32_t *number)
{
	uint32_t edges = 0, states = 0;

	for (uint32_t s = 0; s < a->states; s++) {
		uint32_t e = a->edge_first[s], last = a->edge_first[s + 1];

		if (number[s] != states)
			continue;
		/* What is written lies never beyond what has been read. */
		a->edge_first[states] = edges;
		a->accept[states++] = a->accept[s];
		for (; e < last; e++) {
			if (number[a->edges[e].target] == UINT32_MAX)
				continue;
			a->edges[edges] = a->edges[e];
			a->edges[edges++].target = number[a->edges[e].target];
		}
	}
	a->edge_first[states] = edges;
	a->start = number[a->start];
	a->states = states;
}

/* Takes out the states from which nothing accepts. */
static int trim(struct bf_auto *a)
{
	struct incoming in = {0};
	uint32_t *number = malloc(((size_t)a->states + 1) * sizeof(*number));
	uint32_t *queue = malloc(((size_t)a->states + 1) * sizeof(*queue));
	uint32_t head = 0, tail = 0, kept = 0;
	int ret = -ENOMEM;

	if (!number || !queue || incoming_init(&in, a))
		goto out;
	for (uint32_t s = 0; s < a->states; s++) {
		number[s] = a->accept[s] ? 0 : UINT32_MAX;
		if (a->accept[s])
			queue[tail++] = s;
	}
	while (head < tail) {
		uint32_t s = queue[head++];

		for (uint32_t i = in.first[s]; i < in.first[s + 1]; i++) {
			uint32_t from = in.source[in.edge[i]];

			if (number[from] != UINT32_MAX)
				continue;
			number[from] = 0;
			queue[tail++] = from;
		}
	}
	for (uint32_t s = 0; s < a->states; s++) {
		if (number[s] != UINT32_MAX)
			number[s] = kept++;
	}
	renumber(a, number);
	ret = 0;
out:
	incoming_free(&in);
	free(number);
	free(queue);
	return ret;
}

static int partition_edges(struct partition *p, const struct bf_auto *a)
{
	uint32_t edges = a->edge_first[a->states];
	uint32_t *label = malloc(((size_t)edges + 1) * sizeof(*label));
	int ret;

	if (!label)
		return -ENOMEM;
	/* Edges that take another tuple along do not do the same. */
	for (uint32_t e = 0; e < edges; e++)
		label[e] = a->edges[e].take * a->classes + a->edges[e].label;
	ret = partition_by(p, edges, label, (a->tuples.count + 1) * a->classes);
	free(label);
	return ret;
}

/* Splits until states of one set have edges of the same sets. */
static void refine(struct partition *states, struct partition *edges, const struct incoming *in)
{
	/* One set of states need not split: where an edge leads to none of the others
	 * it leads there. */
	uint32_t next_states = 1;

	for (uint32_t c = 0; c < edges->sets; c++) {
		for (uint32_t i = edges->first[c]; i < edges->past[c]; i++)
			mark(states, in->source[edges->element[i]]);
		split(states);
		for (; next_states < states->sets; next_states++) {
			uint32_t i = states->first[next_states];

			for (; i < states->past[next_states]; i++) {
				uint32_t s = states->element[i];

				for (uint32_t k = in->first[s]; k < in->first[s + 1]; k++)
					mark(edges, in->edge[k]);
			}
			split(edges);
		}
	}
}

/* Leaves one state of each set. */
static int join_equal(struct bf_auto *a, const struct partition *states)
{
	size_t size = ((size_t)a->states + 1) * sizeof(uint32_t);
	uint32_t *number = malloc(size), *of_set = malloc(size);
	uint32_t kept = 0;
	int ret = -ENOMEM;

	if (number && of_set) {
		memset(of_set, 0xff, size);
		for (uint32_t s = 0; s < a->states; s++) {
			uint32_t *set = &of_set[states->set[s]];

			if (*set == UINT32_MAX)
				*set = kept++;
			number[s] = *set;
		}
		renumber(a, number);
		ret = 0;
	}
	free(number);
	free(of_set);
	return ret;
}

int bf_auto_minimise(struct bf_auto *a, bool *alive)
{
	struct partition states = {0}, edges = {0};
	struct incoming in = {0};
	int ret = trim(a);

	*alive = !ret && a->start != UINT32_MAX;
	if (ret || !*alive)
		return ret;
	ret = partition_init(&states, a->states);
	if (!ret)
		ret = partition_init(&edges, a->edge_first[a->states]);
	if (!ret)
		ret = incoming_init(&in, a);
	if (!ret)
		ret = partition_by(&states, a->states, a->accept, a->lists.count);
	if (!ret)
		ret = partition_edges(&edges, a);
	if (!ret) {
		refine(&states, &edges, &in);
		ret = join_equal(a, &states);
	}
	partition_free(&states);
	partition_free(&edges);
	incoming_free(&in);
	return ret;
}
