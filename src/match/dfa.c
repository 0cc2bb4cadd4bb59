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
	free(dfa->take);
	free(dfa->accept);
	free(dfa->set);
	free(dfa->list_first);
	free(dfa->list);
	free(dfa->tuple_first);
	free(dfa->tuple);
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
 * class of the joined table. Returns how many.
 */
static uint32_t join_classes(const struct bf_auto *a, uint8_t *group)
{
	uint32_t leader[256], groups = 1;
	uint64_t target[256];

	memset(group, 0, 256);
	leader[0] = 0;
	for (uint32_t s = 0; s < a->states; s++) {
		memset(target, 0xff, a->classes * sizeof(*target));
		for (uint32_t e = a->edge_first[s]; e < a->edge_first[s + 1]; e++)
			target[a->edges[e].label] =
				(uint64_t)a->edges[e].take << 32 | a->edges[e].target;
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

struct numbering {
	uint32_t *number; /* [states]: 0: none yet */
	uint32_t *stack;
	size_t count, cap;
	uint32_t next;
};

static int push(struct numbering *n, uint32_t state)
{
	if (bf_array_grow(&n->stack, &n->cap, n->count + 1, sizeof(*n->stack)))
		return -ENOMEM;
	n->stack[n->count++] = state;
	return 0;
}

/* Gives numbers to what is on the stack and behind it, up to edges that take something. */
static int number_from(const struct bf_auto *a, struct numbering *n)
{
	while (n->count) {
		uint32_t s = n->stack[--n->count];

		if (n->number[s])
			continue;
		n->number[s] = n->next++;
		for (uint32_t e = a->edge_first[s + 1]; e-- > a->edge_first[s];) {
			if (!a->edges[e].take && !n->number[a->edges[e].target] &&
			    push(n, a->edges[e].target))
				return -ENOMEM;
		}
	}
	return 0;
}

/* Numbers states in preorder from the start, 1 upwards, so that the rows of a chain of
 * literal bytes lie side by side in memory; then the tails likewise. */
static int number_states(const struct bf_auto *a, uint32_t *number, uint32_t *first_tail)
{
	struct numbering n = {.number = number, .next = 1};
	int ret;

	memset(number, 0, a->states * sizeof(*number));
	ret = push(&n, a->start);
	ret = ret ?: number_from(a, &n);
	*first_tail = n.next;
	for (uint32_t e = 0; !ret && e < a->edge_first[a->states]; e++) {
		if (!a->edges[e].take || number[a->edges[e].target])
			continue;
		ret = push(&n, a->edges[e].target);
		ret = ret ?: number_from(a, &n);
	}
	free(n.stack);
	return ret;
}

static int make_sets(struct bf_dfa *dfa, struct bf_auto *a, size_t patterns, bool tails)
{
	dfa->sets = a->lists.count;
	dfa->words = (uint32_t)((patterns + 63) / 64);
	if (!tails) {
		if ((size_t)dfa->sets * dfa->words > SET_WORDS_MAX)
			return -E2BIG;
		dfa->set = calloc((size_t)dfa->sets * dfa->words + 1, sizeof(*dfa->set));
		if (!dfa->set)
			return -ENOMEM;
	}
	for (uint32_t l = 0; !tails && l < dfa->sets; l++) {
		uint64_t *set = dfa->set + (size_t)l * dfa->words;
		uint32_t n;
		const uint32_t *list = bf_words_row(&a->lists, l, &n);

		for (uint32_t i = 0; i < n; i++)
			set[list[i] / 64] |= (uint64_t)1 << (list[i] % 64);
	}
	/* Taken over. */
	dfa->list_first = a->lists.first;
	dfa->list = a->lists.v;
	dfa->tuples = a->tuples.count;
	dfa->tuple_first = a->tuples.first;
	dfa->tuple = a->tuples.v;
	a->lists.first = a->lists.v = a->tuples.first = a->tuples.v = NULL;
	return 0;
}

static int make_rows(struct bf_dfa *dfa, const struct bf_auto *a, uint32_t *number)
{
	uint8_t group[256];
	size_t size;

	dfa->classes = join_classes(a, group);
	for (int b = 0; b < 256; b++)
		dfa->class_of[b] = group[a->class_of[b]];
	dfa->states = a->states + 1;
	size = (size_t)dfa->states * dfa->classes;
	if (size > TABLE_MAX)
		return -E2BIG;
	dfa->next = calloc(size, sizeof(*dfa->next));
	dfa->accept = calloc(dfa->states, sizeof(*dfa->accept));
	if (dfa->tuples)
		dfa->take = calloc(size, sizeof(*dfa->take));
	if (!dfa->next || !dfa->accept || (dfa->tuples && !dfa->take) ||
	    number_states(a, number, &dfa->first_tail))
		return -ENOMEM;
	dfa->start = number[a->start];
	for (uint32_t s = 0; s < a->states; s++) {
		size_t row = (size_t)number[s] * dfa->classes;

		dfa->accept[number[s]] = a->accept[s];
		for (uint32_t e = a->edge_first[s]; e < a->edge_first[s + 1]; e++) {
			size_t at = row + group[a->edges[e].label];

			dfa->next[at] = number[a->edges[e].target];
			if (dfa->take)
				dfa->take[at] = a->edges[e].take;
		}
	}
	return 0;
}

/* Nothing can match: the dead state alone. */
static int make_dead(struct bf_dfa *dfa)
{
	dfa->states = 1;
	dfa->first_tail = 1;
	dfa->classes = 1;
	dfa->next = calloc(1, sizeof(*dfa->next));
	dfa->accept = calloc(1, sizeof(*dfa->accept));
	return dfa->next && dfa->accept ? 0 : -ENOMEM;
}

static int make_dense(struct bf_auto *a, bool alive, size_t patterns, bool tails,
		      struct bf_dfa **out)
{
	struct bf_dfa *dfa = calloc(1, sizeof(*dfa));
	uint32_t *number = malloc(((size_t)a->states + 1) * sizeof(*number));
	int ret = -ENOMEM;

	if (dfa && number) {
		ret = make_sets(dfa, a, patterns, tails);
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

/* --- what to say of a state explosion -------------------------------------------- */

/* Enough to see what multiplies, and little enough to try every pair. */
#define TRIAL_STATES 4096
#define TRIAL_WORK 1000000

/* States of these two patterns alone (q == p: of one); TRIAL_STATES where there are more. */
static size_t states_of(const struct bf_pattern *patterns, size_t p, size_t q, size_t max_nodes)
{
	const struct bf_pattern two[] = {patterns[p], patterns[q]};
	const struct bf_subset_limits limits = {.max_states = TRIAL_STATES, .work = TRIAL_WORK};
	size_t n = p == q ? 1 : 2, bad, states;
	struct bf_error ignored;
	struct bf_auto a = {0};
	struct bf_nfa nfa = {0};
	int ret = make_nfa(two, n, max_nodes, &nfa, &bad, &ignored);

	if (!ret)
		ret = bf_subset_build(&nfa, (uint32_t)n, &limits, &a);
	states = ret ? TRIAL_STATES : a.states;
	bf_nfa_free(&nfa);
	bf_auto_free(&a);
	return states;
}

/*
 * Of the patterns that stand in the most states, the two that multiply each other most. False:
 * none do, or one is too large by itself, and then it is *p.
 */
static bool find_pair(const struct bf_pattern *patterns, size_t max_nodes, const struct bf_auto *a,
		      size_t *p, size_t *q)
{
	size_t alone[BF_BLAMED], most = 0;

	*p = a->blamed_count ? a->blamed[0] : 0;
	for (uint32_t i = 0; i < a->blamed_count; i++) {
		alone[i] = states_of(patterns, a->blamed[i], a->blamed[i], max_nodes);
		if (alone[i] == TRIAL_STATES) {
			*p = a->blamed[i];
			return false;
		}
	}
	for (uint32_t i = 0; i < a->blamed_count; i++) {
		for (uint32_t k = i + 1; k < a->blamed_count; k++) {
			size_t both = states_of(patterns, a->blamed[i], a->blamed[k], max_nodes);
			size_t sum = alone[i] + alone[k];

			if (both <= sum || both - sum <= most)
				continue;
			most = both - sum;
			*p = a->blamed[i];
			*q = a->blamed[k];
		}
	}
	return most;
}

static void explain_explosion(const struct bf_pattern *patterns, size_t n, size_t max_states,
			      size_t max_nodes, const struct bf_auto *a, size_t *blame,
			      struct bf_error *err)
{
	static const char advice[] = "replace .* by something narrower such as [^/]*, or use fewer "
				     "of them";
	char text[64], other[64];
	size_t second = 0;

	if (!n)
		bf_err(err, -E2BIG, "the automaton is too large");
	else if (find_pair(patterns, max_nodes, a, blame, &second))
		bf_err(err, -E2BIG,
		       "%zu patterns need too large an automaton (more than %zu states, or too "
		       "much "
		       "work): \"%s\" and \"%s\" multiply each other's states; %s",
		       n, max_states, show(&patterns[*blame], text), show(&patterns[second], other),
		       advice);
	else
		bf_err(err, -E2BIG,
		       "%zu patterns need too large an automaton (more than %zu states, or too "
		       "much "
		       "work); most of it comes from \"%s\": %s",
		       n, max_states, show(&patterns[*blame], text), advice);
}

static void explain_spent(const struct bf_auto *a, size_t *blame, struct bf_error *err)
{
	if (a->blamed_count)
		*blame = a->blamed[0];
	bf_err(err, -E2BIG,
	       "the rules of all policies together take too much work to compile, and with this "
	       "one it is more than the limit: replace .* by something narrower such as [^/]*, or "
	       "use fewer different rules");
}

/* True: nothing is left of the steps. */
static bool take_work(const struct bf_dfa_limits *limits, const struct bf_auto *a)
{
	if (!limits || !limits->work)
		return false;
	*limits->work -= a->work < *limits->work ? a->work : *limits->work;
	return !*limits->work;
}

int bf_dfa_build(const struct bf_pattern *patterns, size_t n, const struct bf_dfa_limits *limits,
		 struct bf_dfa **out, size_t *bad, struct bf_error *err)
{
	size_t max_states = limits && limits->max_states ? limits->max_states : STATES_DEFAULT;
	size_t max_nodes =
		limits && limits->max_pattern_nodes ? limits->max_pattern_nodes : NODES_DEFAULT;
	struct bf_auto a = {0};
	struct bf_nfa nfa = {0};
	bool tails = limits && limits->tails, spent = false, alive, named;
	size_t blame = 0;
	int ret;

	if (n >= UINT32_MAX)
		return bf_err(err, -E2BIG, "more than %u patterns", UINT32_MAX - 1);
	ret = make_nfa(patterns, n, max_nodes, &nfa, &blame, err);
	named = ret == -EINVAL || ret == -E2BIG;
	if (!ret) {
		const struct bf_subset_limits within = {
			.max_states = max_states,
			.work = limits && limits->work ? *limits->work : 0,
			.tails = tails,
		};

		ret = bf_subset_build(&nfa, (uint32_t)n, &within, &a);
		spent = take_work(limits, &a);
		if (!ret && spent)
			ret = -E2BIG;
	}
	bf_nfa_free(&nfa);
	if (!ret)
		ret = bf_auto_minimise(&a, &alive);
	if (!ret)
		ret = make_dense(&a, alive, n, tails, out);
	if (ret == -E2BIG && spent)
		explain_spent(&a, &blame, err);
	else if (ret == -E2BIG && !named)
		explain_explosion(patterns, n, max_states, max_nodes, &a, &blame, err);
	else if (ret == -ENOMEM)
		bf_err(err, ret, "out of memory while compiling %zu patterns", n);
	bf_auto_free(&a);
	if (ret && bad)
		*bad = blame;
	return ret;
}
