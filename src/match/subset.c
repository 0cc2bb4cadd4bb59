// SPDX-License-Identifier: Apache-2.0
/*
 * Subset construction: a state of the result is the set of places in which the
 * nondeterministic automaton may be. Only places that matter are kept in a
 * set: those that read a byte, accept, or wait for the end.
 */
#include "match/subset.h"

#include <string.h>

#include "match/array.h"

#define EDGES_MAX (8u << 20)
#define MEMBERS_MAX (32u << 20)
#define WORK_MAX 150000000u
#define KINDS_KEPT (1u << BF_NFA_BYTES | 1u << BF_NFA_MATCH | 1u << BF_NFA_END)

struct list {
	uint32_t *v;
	size_t count, cap;
};

struct subset {
	const struct bf_nfa *nfa;
	struct bf_auto *out;
	size_t max_states;
	uint64_t work;
	/* Members of state s: members.v[first.v[s]] .. members.v[first.v[s + 1]]. */
	struct list members, first;
	struct list hashes; /* of each state's set */
	struct list table; /* state + 1, open addressing; count is its size */
	struct list edge_first, accept;
	size_t edge_count, edges_cap;
	/* Accept sets, found by hash as states are. */
	struct list list, list_first, list_hash, list_table;
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
	free(a->list_first);
	free(a->list);
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
	uint32_t hash, size = (uint32_t)s->list_table.count, i;

	if (found->count > 1)
		qsort(found->v, found->count, sizeof(*found->v), by_value);
	hash = (uint32_t)bf_hash_words(7, found->v, found->count);
	if ((s->list_hash.count + 1) * 2 > size) {
		uint32_t *table;

		size = size ? size * 2 : 1024;
		table = calloc(size, sizeof(*table));
		if (!table)
			return -ENOMEM;
		for (uint32_t n = 0; n < s->list_hash.count; n++) {
			for (i = s->list_hash.v[n] & (size - 1); table[i]; i = (i + 1) & (size - 1))
				;
			table[i] = n + 1;
		}
		free(s->list_table.v);
		s->list_table.v = table;
		s->list_table.count = size;
	}
	for (i = hash & (size - 1); s->list_table.v[i]; i = (i + 1) & (size - 1)) {
		uint32_t n = s->list_table.v[i] - 1;
		uint32_t first = s->list_first.v[n], last = s->list_first.v[n + 1];

		if (s->list_hash.v[n] == hash && last - first == found->count &&
		    (!found->count ||
		     !memcmp(s->list.v + first, found->v, found->count * sizeof(*found->v)))) {
			*id = n;
			return 0;
		}
	}
	*id = (uint32_t)s->list_hash.count;
	s->list_table.v[i] = *id + 1;
	if (s->list.count + found->count > MEMBERS_MAX)
		return -E2BIG;
	if (add_all(&s->list, found) || add(&s->list_hash, hash) ||
	    add(&s->list_first, (uint32_t)s->list.count))
		return -ENOMEM;
	return 0;
}

/* What a state accepts: the patterns of its members, and of whatever members reach
 * where the input ends. at_begin: and where it begins, too (an empty input). */
static int find_accept(struct subset *s, const uint32_t *member, size_t count, bool at_begin,
		       uint32_t *id)
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
			s->work++;
			if (nfa->edges[e].kind != BF_NFA_MATCH ||
			    s->pattern_mark[nfa->edges[e].target] == s->pattern_round)
				continue;
			s->pattern_mark[nfa->edges[e].target] = s->pattern_round;
			if (add(&s->found, nfa->edges[e].target))
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

/* The state with the set s->set: its number. `first` makes the start, which is never
 * found again: it alone stands at the beginning. */
static int intern_state(struct subset *s, bool first, uint32_t *id)
{
	uint64_t sum = 0;
	uint32_t hash, accept, i;
	int ret;

	/* The order of members depends on the way here, so the hash must not. */
	for (size_t k = 0; k < s->set.count; k++)
		sum += bf_mix(s->set.v[k] + 1);
	s->work += s->set.count;
	hash = (uint32_t)bf_mix(sum);
	if ((s->hashes.count + 1) * 2 > s->table.count && grow_table(s))
		return -ENOMEM;
	for (i = hash & (s->table.count - 1); s->table.v[i]; i = (i + 1) & (s->table.count - 1)) {
		uint32_t n = s->table.v[i] - 1;

		if (n && s->hashes.v[n] == hash && same_set(s, n)) {
			*id = n;
			return 0;
		}
	}
	*id = (uint32_t)s->hashes.count;
	if (*id >= s->max_states || s->members.count + s->set.count > MEMBERS_MAX)
		return -E2BIG;
	s->table.v[i] = *id + 1;
	if (add_all(&s->members, &s->set) || add(&s->hashes, hash) ||
	    add(&s->first, (uint32_t)s->members.count))
		return -ENOMEM;
	ret = find_accept(s, s->members.v + s->first.v[*id], s->set.count, first, &accept);
	return ret ? ret : add(&s->accept, accept);
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

static int add_edge(struct subset *s, uint32_t label, uint32_t target)
{
	struct bf_auto *out = s->out;

	if (s->edge_count >= EDGES_MAX)
		return -E2BIG;
	if (bf_array_grow(&out->edges, &s->edges_cap, s->edge_count + 1, sizeof(*out->edges)))
		return -ENOMEM;
	out->edges[s->edge_count++] = (struct bf_auto_edge){target, label};
	return 0;
}

static int expand(struct subset *s, uint32_t state)
{
	uint32_t previous = UINT32_MAX, target = 0;
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
				ret = s->set.count ? intern_state(s, false, &target) : 1;
			if (ret < 0)
				break;
			if (ret) { /* only ways that can never match */
				ret = 0;
				bucket->count = 0;
				continue;
			}
		}
		previous = c;
		ret = add_edge(s, c, target);
	}
	for (uint32_t c = 0; c < s->out->classes; c++)
		s->bucket[c].count = 0;
	if (!ret && s->work > WORK_MAX)
		ret = -E2BIG;
	return ret;
}

static int construct(struct subset *s)
{
	uint32_t start;
	int ret = make_classes(s);

	if (!ret && (add(&s->first, 0) || add(&s->list_first, 0)))
		ret = -ENOMEM;
	/* Number 0 is the empty accept set. */
	if (!ret)
		ret = intern_accept(s, &start);
	if (ret)
		return ret;
	new_round(s);
	ret = close_over(s, 0, 1u << BF_NFA_EMPTY | 1u << BF_NFA_BEGIN);
	if (!ret)
		ret = intern_state(s, true, &start);
	for (uint32_t i = 0; !ret && i < s->hashes.count; i++) {
		ret = add(&s->edge_first, (uint32_t)s->edge_count);
		if (!ret)
			ret = expand(s, i);
	}
	return ret ? ret : add(&s->edge_first, (uint32_t)s->edge_count);
}

/* Whose places stand in the most state sets? Not proof of guilt, but the pattern to look
 * at first: what multiplies states (a leading .*) stands in all of them. */
static uint32_t find_blame(const struct subset *s, uint32_t patterns)
{
	uint32_t *seen = calloc((size_t)patterns + 1, sizeof(*seen));
	uint32_t worst = 0;

	if (!seen)
		return 0;
	for (size_t i = 0; i < s->members.count; i++)
		seen[s->nfa->states[s->members.v[i]].owner]++;
	for (uint32_t p = 0; p < patterns; p++) {
		if (seen[p] > seen[worst])
			worst = p;
	}
	free(seen);
	return worst;
}

int bf_subset_build(const struct bf_nfa *nfa, uint32_t patterns, size_t max_states,
		    struct bf_auto *out)
{
	struct subset *s = calloc(1, sizeof(*s));
	int ret = -ENOMEM;

	memset(out, 0, sizeof(*out));
	if (!s)
		return ret;
	s->nfa = nfa;
	s->out = out;
	s->max_states = max_states < UINT32_MAX / 4 ? max_states : UINT32_MAX / 4;
	s->mark = calloc(nfa->state_count, sizeof(*s->mark));
	s->pattern_mark = calloc((size_t)patterns + 1, sizeof(*s->pattern_mark));
	if (s->mark && s->pattern_mark)
		ret = construct(s);
	if (ret == -E2BIG)
		out->blame = find_blame(s, patterns);
	out->states = (uint32_t)s->hashes.count;
	out->lists = (uint32_t)s->list_hash.count;
	out->edge_first = s->edge_first.v;
	out->accept = s->accept.v;
	out->list = s->list.v;
	out->list_first = s->list_first.v;
	free(s->members.v);
	free(s->first.v);
	free(s->hashes.v);
	free(s->table.v);
	free(s->list_hash.v);
	free(s->list_table.v);
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
