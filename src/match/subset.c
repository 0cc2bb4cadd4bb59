// SPDX-License-Identifier: Apache-2.0
/*
 * Subset construction: a state of the result is the set of places in which the
 * nondeterministic automaton may be. Only places that matter are kept in a
 * set: those that read a byte, accept, or wait for the end.
 */
#include "match/subset.h"

#include <string.h>

#include "match/array.h"
#include "match/tails.h"

#define EDGES_MAX (8u << 20)
#define MEMBERS_MAX (32u << 20)
#define WORK_MAX 150000000u
/* What the minimiser will need, for an edge. */
#define MINIMISER_STEPS 16u
/* The minimiser counts edges by class and tuple. */
#define TUPLES_MAX 65536u
#define KINDS_KEPT (1u << BF_NFA_BYTES | 1u << BF_NFA_MATCH | 1u << BF_NFA_END)

struct list {
	uint32_t *v;
	size_t count, cap;
};

struct subset {
	const struct bf_nfa *nfa;
	struct bf_auto *out;
	size_t max_states;
	uint64_t work, most_work;
	/* Members of state s: members.v[first.v[s]] .. members.v[first.v[s + 1]]. */
	struct list members, first;
	struct list hashes; /* of each state's set */
	struct list table; /* state + 1, open addressing; count is its size */
	struct list edge_first, accept;
	size_t edge_count, edges_cap;
	/* With tails: of each state the tuple + 1 by which its slots are named, 0: it is in none;
	 * and by number of a tail the state where it begins, + 1. */
	struct bf_tails tails;
	bool with_tails;
	uint32_t patterns;
	struct list tuple_of, tail_start;
	/* mark[n] == round: nfa state n is in the set at hand. */
	uint32_t *mark, *pattern_mark;
	uint32_t round, pattern_round;
	struct list stack, set, found;
	/* Targets by class. */
	struct list bucket[256];
	/* Classes of byte set i: set_class.v[set_first.v[i]] .. */
	struct list set_class, set_first;
};

static int add(struct list *list, uint32_t value)
{
	if (bf_array_grow(&list->v, &list->cap, list->count + 1, sizeof(*list->v)))
		return -ENOMEM;
	list->v[list->count++] = value;
	return 0;
}

static int add_all(struct list *list, const struct list *from)
{
	if (bf_array_grow(&list->v, &list->cap, list->count + from->count, sizeof(*list->v)))
		return -ENOMEM;
	if (from->count)
		memcpy(list->v + list->count, from->v, from->count * sizeof(*list->v));
	list->count += from->count;
	return 0;
}

void bf_auto_free(struct bf_auto *a)
{
	free(a->edge_first);
	free(a->edges);
	free(a->accept);
	bf_words_free(&a->lists);
	bf_words_free(&a->tuples);
	memset(a, 0, sizeof(*a));
}

/* Bytes that no set tells apart share a class. */
static int make_classes(struct subset *s)
{
	const struct bf_nfa *nfa = s->nfa;
	struct bf_auto *out = s->out;
	uint32_t split[256][2];
	uint8_t sample[256];
	int ret = 0;

	out->classes = 1;
	memset(out->class_of, 0, sizeof(out->class_of));
	for (size_t i = 0; i < nfa->set_count; i++) {
		uint32_t classes = 0;

		memset(split, 0xff, sizeof(split));
		for (unsigned int b = 0; b < 256; b++) {
			bool in = bf_byte_set_has(&nfa->sets[i], b);
			uint32_t *class = &split[out->class_of[b]][in];

			if (*class == UINT32_MAX)
				*class = classes++;
			out->class_of[b] = (uint8_t)*class;
		}
		out->classes = classes;
	}
	for (unsigned int b = 256; b--;)
		sample[out->class_of[b]] = (uint8_t)b;
	for (size_t i = 0; !ret && i < nfa->set_count; i++) {
		ret = add(&s->set_first, (uint32_t)s->set_class.count);
		for (uint32_t c = 0; !ret && c < out->classes; c++) {
			if (bf_byte_set_has(&nfa->sets[i], sample[c]))
				ret = add(&s->set_class, c);
		}
	}
	return ret ? ret : add(&s->set_first, (uint32_t)s->set_class.count);
}

static void new_round(struct subset *s)
{
	if (++s->round)
		return;
	memset(s->mark, 0, s->nfa->state_count * sizeof(*s->mark));
	s->round = 1;
}

/* Adds to s->set whatever is reached from `state` without reading a byte. `passes` are
 * the kinds of edges that may be taken. */
static int close_over(struct subset *s, uint32_t state, unsigned int passes)
{
	const struct bf_nfa *nfa = s->nfa;

	if (s->mark[state] == s->round)
		return 0;
	s->mark[state] = s->round;
	if (add(&s->stack, state))
		return -ENOMEM;
	while (s->stack.count) {
		const struct bf_nfa_state *n;

		state = s->stack.v[--s->stack.count];
		n = &nfa->states[state];
		s->work++;
		if (n->kinds & KINDS_KEPT && add(&s->set, state))
			return -ENOMEM;
		if (!(n->kinds & passes))
			continue;
		for (uint32_t e = n->edge; e != BF_NFA_NONE; e = nfa->edges[e].next) {
			const struct bf_nfa_edge *edge = &nfa->edges[e];

			s->work++;
			if (!(1u << edge->kind & passes) || s->mark[edge->target] == s->round)
				continue;
			s->mark[edge->target] = s->round;
			if (add(&s->stack, edge->target))
				return -ENOMEM;
		}
	}
	return 0;
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

/* The accept set with the patterns of s->found: its number. */
static int intern_accept(struct subset *s, uint32_t *id)
{
	struct list *found = &s->found;
	int ret;

	if (found->count > 1)
		qsort(found->v, found->count, sizeof(*found->v), by_value);
	if (s->out->lists.len + found->count > MEMBERS_MAX)
		return -E2BIG;
	ret = bf_words_intern(&s->out->lists, found->v, found->count, id);
	return ret < 0 ? ret : 0;
}

/* What a state accepts: the patterns of its members, and of whatever members reach
 * where the input ends. at_begin: and where it begins, too (an empty input). In a tail
 * it is not the patterns but their slots in `tuple`, from 1. */
static int find_accept(struct subset *s, const uint32_t *member, size_t count, bool at_begin,
		       uint32_t tuple, uint32_t *id)
{
	const struct bf_nfa *nfa = s->nfa;
	unsigned int passes = 1u << BF_NFA_EMPTY | 1u << BF_NFA_END;
	unsigned int kinds = 0;

	s->found.count = 0;
	for (size_t i = 0; i < count; i++)
		kinds |= nfa->states[member[i]].kinds;
	if (kinds & 1u << BF_NFA_END) {
		int ret = 0;

		if (at_begin)
			passes |= 1u << BF_NFA_BEGIN;
		new_round(s);
		s->set.count = 0;
		for (size_t i = 0; !ret && i < count; i++)
			ret = close_over(s, member[i], passes);
		if (ret)
			return ret;
		member = s->set.v;
		count = s->set.count;
	}
	if (!++s->pattern_round)
		return -E2BIG;
	for (size_t i = 0; i < count; i++) {
		const struct bf_nfa_state *n = &nfa->states[member[i]];

		if (!(n->kinds & 1u << BF_NFA_MATCH))
			continue;
		for (uint32_t e = n->edge; e != BF_NFA_NONE; e = nfa->edges[e].next) {
			uint32_t pattern = nfa->edges[e].target;

			s->work++;
			if (nfa->edges[e].kind != BF_NFA_MATCH ||
			    s->pattern_mark[pattern] == s->pattern_round)
				continue;
			s->pattern_mark[pattern] = s->pattern_round;
			if (tuple)
				pattern =
					s->patterns + bf_tails_slot(&s->tails, tuple - 1, pattern);
			if (add(&s->found, pattern))
				return -ENOMEM;
		}
	}
	return intern_accept(s, id);
}

static int grow_table(struct subset *s)
{
	uint32_t size = s->table.count ? (uint32_t)s->table.count * 2 : 4096, i;
	uint32_t *table = calloc(size, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (uint32_t n = 0; n < s->hashes.count; n++) {
		for (i = s->hashes.v[n] & (size - 1); table[i]; i = (i + 1) & (size - 1))
			;
		table[i] = n + 1;
	}
	free(s->table.v);
	s->table.v = table;
	s->table.count = size;
	return 0;
}

/* Is s->set, all of whose members bear this round's mark, the set of state n? */
static bool same_set(const struct subset *s, uint32_t n)
{
	uint32_t first = s->first.v[n], last = s->first.v[n + 1];

	if (last - first != s->set.count)
		return false;
	for (uint32_t i = first; i < last; i++) {
		if (s->mark[s->members.v[i]] != s->round)
			return false;
	}
	return true;
}

/* A new state with the set s->set. */
static int add_state(struct subset *s, uint32_t hash, bool first, uint32_t tuple, uint32_t *id)
{
	uint32_t accept;
	int ret;

	*id = (uint32_t)s->hashes.count;
	if (*id >= s->max_states || s->members.count + s->set.count > MEMBERS_MAX)
		return -E2BIG;
	if (add_all(&s->members, &s->set) || add(&s->hashes, hash) || add(&s->tuple_of, tuple) ||
	    add(&s->first, (uint32_t)s->members.count))
		return -ENOMEM;
	ret = find_accept(s, s->members.v + s->first.v[*id], s->set.count, first, tuple, &accept);
	return ret ? ret : add(&s->accept, accept);
}

/* The state with the set s->set: its number. `first` makes the start, which is never
 * found again: it alone stands at the beginning. */
static int intern_state(struct subset *s, bool first, uint32_t tuple, uint32_t *id)
{
	uint64_t sum = tuple;
	uint32_t hash, i;

	/* The order of members depends on the way here, so the hash must not. */
	for (size_t k = 0; k < s->set.count; k++)
		sum += bf_mix(s->set.v[k] + 1);
	s->work += s->set.count;
	hash = (uint32_t)bf_mix(sum);
	if ((s->hashes.count + 1) * 2 > s->table.count && grow_table(s))
		return -ENOMEM;
	for (i = hash & (s->table.count - 1); s->table.v[i]; i = (i + 1) & (s->table.count - 1)) {
		uint32_t n = s->table.v[i] - 1;

		if (n && s->hashes.v[n] == hash && s->tuple_of.v[n] == tuple && same_set(s, n)) {
			*id = n;
			return 0;
		}
	}
	s->table.v[i] = (uint32_t)s->hashes.count + 1;
	return add_state(s, hash, first, tuple, id);
}

/*
 * The state with the set s->set, reached from one in `tuple` (or 0). Where it is a
 * tail it is found by that, whatever patterns it speaks of, and *take says which.
 */
static int find_state(struct subset *s, uint32_t tuple, uint32_t *id, uint32_t *take)
{
	uint32_t tail, own;
	int ret = 0;

	*take = 0;
	if (s->with_tails)
		ret = bf_tails_find(&s->tails, s->set.v, s->set.count, &tail, &own);
	if (ret < 0)
		return ret;
	if (ret && !tuple && own >= TUPLES_MAX)
		ret = 0;
	/* Within a tail slots keep their meaning. */
	if (!ret || (tuple && own + 1 != tuple))
		return intern_state(s, false, tuple, id);
	s->work += s->set.count;
	while (s->tail_start.count <= tail) {
		if (add(&s->tail_start, 0))
			return -ENOMEM;
	}
	if (!tuple)
		*take = own + 1;
	if (s->tail_start.v[tail]) {
		*id = s->tail_start.v[tail] - 1;
		return 0;
	}
	ret = add_state(s, (uint32_t)bf_mix(tail + 1), false, own + 1, id);
	s->tail_start.v[tail] = *id + 1;
	return ret;
}

static int sort_targets(struct subset *s, uint32_t state)
{
	const struct bf_nfa *nfa = s->nfa;
	uint32_t last = s->first.v[state + 1];
	uint64_t before = s->work;

	for (uint32_t i = s->first.v[state]; i < last; i++) {
		uint32_t e = nfa->states[s->members.v[i]].edge;

		for (; e != BF_NFA_NONE; e = nfa->edges[e].next) {
			const struct bf_nfa_edge *edge = &nfa->edges[e];
			uint32_t c;

			s->work++;
			if (edge->kind != BF_NFA_BYTES)
				continue;
			c = s->set_first.v[edge->set];
			s->work += s->set_first.v[edge->set + 1] - c;
			for (; c < s->set_first.v[edge->set + 1]; c++) {
				if (add(&s->bucket[s->set_class.v[c]], edge->target))
					return -ENOMEM;
			}
			if (s->work - before > MEMBERS_MAX)
				return -E2BIG;
		}
	}
	return 0;
}

static int add_edge(struct subset *s, uint32_t label, uint32_t target, uint32_t take)
{
	struct bf_auto *out = s->out;

	if (s->edge_count >= EDGES_MAX)
		return -E2BIG;
	if (bf_array_grow(&out->edges, &s->edges_cap, s->edge_count + 1, sizeof(*out->edges)))
		return -ENOMEM;
	out->edges[s->edge_count++] = (struct bf_auto_edge){target, label, take};
	return 0;
}

static int expand(struct subset *s, uint32_t state)
{
	uint32_t previous = UINT32_MAX, target = 0, take = 0;
	int ret = sort_targets(s, state);

	for (uint32_t c = 0; !ret && c < s->out->classes; c++) {
		struct list *bucket = &s->bucket[c];

		if (!bucket->count)
			continue;
		/* Neighbouring classes often lead to the same places. */
		if (previous == UINT32_MAX || s->bucket[previous].count != bucket->count ||
		    memcmp(s->bucket[previous].v, bucket->v, bucket->count * sizeof(uint32_t))) {
			new_round(s);
			s->set.count = 0;
			for (size_t i = 0; !ret && i < bucket->count; i++)
				ret = close_over(s, bucket->v[i], 1u << BF_NFA_EMPTY);
			if (!ret)
				ret = s->set.count
					      ? find_state(s, s->tuple_of.v[state], &target, &take)
					      : 1;
			if (ret < 0)
				break;
			if (ret) { /* only ways that can never match */
				ret = 0;
				bucket->count = 0;
				continue;
			}
		}
		previous = c;
		ret = add_edge(s, c, target, take);
	}
	for (uint32_t c = 0; c < s->out->classes; c++)
		s->bucket[c].count = 0;
	if (!ret && s->work > s->most_work)
		ret = -E2BIG;
	return ret;
}

static int construct(struct subset *s)
{
	uint32_t start;
	int ret = make_classes(s);

	if (!ret && add(&s->first, 0))
		ret = -ENOMEM;
	/* Number 0 is the empty accept set. */
	if (!ret)
		ret = intern_accept(s, &start);
	if (ret)
		return ret;
	new_round(s);
	ret = close_over(s, 0, 1u << BF_NFA_EMPTY | 1u << BF_NFA_BEGIN);
	if (!ret)
		ret = intern_state(s, true, 0, &start);
	for (uint32_t i = 0; !ret && i < s->hashes.count; i++) {
		ret = add(&s->edge_first, (uint32_t)s->edge_count);
		if (!ret)
			ret = expand(s, i);
	}
	return ret ? ret : add(&s->edge_first, (uint32_t)s->edge_count);
}

/* Whose places stand in the most state sets? Not proof of guilt, but the patterns to look
 * at first: what multiplies states (a leading .*) stands in all of them. */
static void find_blame(struct subset *s)
{
	uint32_t *seen = calloc((size_t)s->patterns + 1, sizeof(*seen));
	struct bf_auto *out = s->out;

	if (!seen)
		return;
	for (size_t i = 0; i < s->members.count; i++)
		seen[s->nfa->states[s->members.v[i]].owner]++;
	while (out->blamed_count < BF_BLAMED && out->blamed_count < s->patterns) {
		uint32_t worst = 0;

		for (uint32_t p = 1; p < s->patterns; p++) {
			if (seen[p] > seen[worst])
				worst = p;
		}
		if (!seen[worst])
			break;
		seen[worst] = 0;
		out->blamed[out->blamed_count++] = worst;
	}
	free(seen);
}

int bf_subset_build(const struct bf_nfa *nfa, uint32_t patterns,
		    const struct bf_subset_limits *limits, struct bf_auto *out)
{
	struct subset *s = calloc(1, sizeof(*s));
	int ret = -ENOMEM;

	memset(out, 0, sizeof(*out));
	if (!s)
		return ret;
	s->nfa = nfa;
	s->out = out;
	s->max_states = limits->max_states < UINT32_MAX / 4 ? limits->max_states : UINT32_MAX / 4;
	s->most_work = limits->work && limits->work < WORK_MAX ? limits->work : WORK_MAX;
	s->mark = calloc(nfa->state_count, sizeof(*s->mark));
	s->pattern_mark = calloc((size_t)patterns + 1, sizeof(*s->pattern_mark));
	s->with_tails = limits->tails;
	s->patterns = patterns;
	if (s->mark && s->pattern_mark)
		ret = limits->tails ? bf_tails_init(&s->tails, nfa) : 0;
	ret = ret ?: construct(s);
	if (ret == -E2BIG)
		find_blame(s);
	out->work = s->work + MINIMISER_STEPS * s->edge_count;
	out->states = (uint32_t)s->hashes.count;
	out->edge_first = s->edge_first.v;
	out->accept = s->accept.v;
	out->tuples = s->tails.tuples;
	memset(&s->tails.tuples, 0, sizeof(s->tails.tuples));
	bf_tails_free(&s->tails);
	free(s->tuple_of.v);
	free(s->tail_start.v);
	free(s->members.v);
	free(s->first.v);
	free(s->hashes.v);
	free(s->table.v);
	free(s->mark);
	free(s->pattern_mark);
	free(s->stack.v);
	free(s->set.v);
	free(s->found.v);
	free(s->set_class.v);
	free(s->set_first.v);
	for (int c = 0; c < 256; c++)
		free(s->bucket[c].v);
	free(s);
	return ret;
}
