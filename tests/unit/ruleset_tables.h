/* SPDX-License-Identifier: Apache-2.0 */
#ifndef RULESET_TABLES_H
#define RULESET_TABLES_H
/* A ruleset's tables walked as the kernel walks them, and the rules read one by one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bpfast/image.h>

#include "match/ruleset.h"

struct header {
	const char *name, *value;
};

struct request {
	const char *method, *path;
	const char *query; /* with its ?, or "" */
	const char *host; /* NULL: there is none */
	struct header headers[6];
	size_t header_count;
};

struct tables {
	struct bf_blob blob;
	struct bpfast_image_ruleset rs;
};

/* --- the tables, as the kernel reads them --- */

static inline const void *at(const struct tables *t, uint32_t off)
{
	assert_int_equal(off % 8, 0);
	assert_true(off < t->blob.len);
	return t->blob.data + off;
}

static inline size_t units_of(const struct bpfast_image_dfa *dfa)
{
	return dfa->classes / BPFAST_DFA_UNIT + 1;
}

static inline const uint32_t *row_of(const struct bpfast_image_dfa *dfa, uint32_t from)
{
	return dfa->table + (size_t)(from & dfa->mask) * BPFAST_DFA_UNIT;
}

/* May an automaton of this ruleset accept with it? */
static inline bool is_set(const struct tables *t, uint32_t value)
{
	if (t->rs.words > 1 && value & BPFAST_SET_ONE)
		return (value & ~BPFAST_SET_ONE) < t->rs.rule_count;
	return value < t->rs.set_count;
}

/* Every offset in range, every state the beginning of a row, the dead state dead. */
static inline void check_dfa(const struct tables *t, uint32_t off, bool names)
{
	const struct bpfast_image_dfa *dfa = at(t, off);
	size_t units = units_of(dfa), rows = dfa->entries / BPFAST_DFA_UNIT;

	assert_true(off + sizeof(*dfa) + 4ul * (dfa->entries + dfa->value_count) <= t->blob.len);
	assert_int_equal(dfa->entries % (units * BPFAST_DFA_UNIT), 0);
	assert_int_equal(dfa->start % units, 0);
	assert_true(dfa->start < dfa->first_tail && dfa->first_tail <= rows);
	assert_true(rows - 1 <= dfa->mask && dfa->mask == (1u << dfa->bits) - 1);
	for (int b = 0; b < 256; b++)
		assert_true(dfa->class_of[b] < dfa->classes);
	for (size_t row = 0; row < rows; row += units) {
		const uint32_t *v = row_of(dfa, (uint32_t)row);
		bool tail = row >= dfa->first_tail;

		if (v[0] & BPFAST_DFA_TAIL && !(v[0] & BPFAST_SET_ONE))
			assert_true(tail && !names);
		else
			assert_true(names ? v[0] < 0x10000 : is_set(t, v[0]));
		for (uint32_t c = 1; c <= dfa->classes; c++) {
			uint32_t to = v[c] & dfa->mask;

			assert_true(to < rows && to % units == 0);
			if (!row)
				assert_int_equal(v[c], 0);
			if (tail)
				assert_true(!to || to >= dfa->first_tail);
			if (tail || to < dfa->first_tail)
				assert_int_equal(v[c], to);
			else
				assert_true(v[c] & BPFAST_DFA_TOOK && (v[c] & ~BPFAST_DFA_TOOK) >>
									      dfa->bits <
									      dfa->value_count);
		}
	}
	for (uint32_t i = 0; i < dfa->value_count; i++)
		assert_true(is_set(t, dfa->table[dfa->entries + i]));
}

static inline uint32_t walk(const struct tables *t, uint32_t off, const char *text)
{
	const struct bpfast_image_dfa *dfa = at(t, off);
	uint32_t s = dfa->start, taken = 0, accept;

	for (; *text; text++) {
		s = row_of(dfa, s)[1 + dfa->class_of[(uint8_t)*text]];
		if (s & ~dfa->mask)
			taken = (s & ~BPFAST_DFA_TOOK) >> dfa->bits;
	}
	accept = row_of(dfa, s)[0];
	if (accept & BPFAST_SET_ONE || !(accept & BPFAST_DFA_TAIL))
		return accept;
	accept = (accept & ~BPFAST_DFA_TAIL) + taken;
	assert_true(accept < dfa->value_count);
	return dfa->table[dfa->entries + accept];
}

/* Takes out the rules that are not in a set. */
static inline void narrow(const struct tables *t, uint64_t *possible, uint32_t set)
{
	const uint64_t *words = at(t, t->rs.set_off);
	uint64_t one[BPFAST_SET_WORDS_MAX] = {0};
	const uint16_t *list;

	assert_true(is_set(t, set));
	if (t->rs.words == 1) {
		possible[0] &= words[set];
		return;
	}
	if (!(set & BPFAST_SET_ONE))
		set = ((const uint32_t *)words)[set];
	if (set & BPFAST_SET_ONE) {
		set &= ~BPFAST_SET_ONE;
		one[set / 64] = 1ull << set % 64;
		words = one;
	} else if (set & BPFAST_SET_FEW) {
		list = (const uint16_t *)(words + (set & ~BPFAST_SET_FEW));
		for (uint32_t i = 1; i <= list[0]; i++)
			one[list[i] / 64] |= 1ull << list[i] % 64;
		words = one;
	} else {
		words += set;
	}
	for (uint32_t w = 0; w < t->rs.words; w++)
		possible[w] &= words[w];
}

static inline bool tables_allow(const struct tables *t, const struct request *r)
{
	uint64_t possible[BPFAST_SET_WORDS_MAX];
	bool seen[BPFAST_HEADER_SLOTS] = {0};
	char target[256];

	for (uint32_t i = 0; i < t->rs.words * 64; i++) {
		if (i % 64 == 0)
			possible[i / 64] = 0;
		if (i < t->rs.rule_count)
			possible[i / 64] |= 1ull << (i % 64);
	}
	snprintf(target, sizeof(target), "%s%s", r->path, r->query);
	if (t->rs.method_dfa_off)
		narrow(t, possible, walk(t, t->rs.method_dfa_off, r->method));
	if (t->rs.path_dfa_off)
		narrow(t, possible, walk(t, t->rs.path_dfa_off, r->path));
	if (t->rs.target_dfa_off)
		narrow(t, possible, walk(t, t->rs.target_dfa_off, target));
	if (t->rs.host_dfa_off) {
		const struct bpfast_image_dfa *host = at(t, t->rs.host_dfa_off);

		narrow(t, possible,
		       r->host ? walk(t, t->rs.host_dfa_off, r->host) : host->table[0]);
	}
	for (size_t h = 0; h < r->header_count; h++) {
		uint32_t slot = walk(t, t->rs.name_dfa_off, r->headers[h].name) >> 8;

		if (!slot)
			continue;
		assert_true(slot <= t->rs.header_count);
		seen[slot - 1] = true;
		narrow(t, possible, walk(t, t->rs.header[slot - 1].dfa_off, r->headers[h].value));
	}
	for (uint32_t i = 0; i < t->rs.header_count; i++) {
		if (!seen[i])
			narrow(t, possible, t->rs.header[i].absent_set);
	}
	for (uint32_t w = 0; w < t->rs.words; w++) {
		if (possible[w])
			return true;
	}
	return false;
}

/* --- the rules, one by one --- */

static inline bool matches(const char *pattern, unsigned int flags, const char *text)
{
	struct bf_pattern p = {.text = pattern, .len = strlen(pattern), .flags = flags};
	struct bf_dfa *dfa;
	uint32_t end;
	bool yes;

	assert_int_equal(bf_dfa_build(&p, 1, NULL, &dfa, NULL, NULL), 0);
	end = bf_dfa_walk(dfa, dfa->start, text, strlen(text));
	yes = dfa->accept[end] && dfa->set[(size_t)dfa->accept[end] * dfa->words];
	bf_dfa_free(dfa);
	return yes;
}

static inline bool header_holds(const struct bf_http_header *want, const struct request *r)
{
	bool there = false;

	if (!strcasecmp(want->name, "host"))
		return r->host && (want->op == BF_HEADER_PRESENT || !strcmp(r->host, want->value));
	for (size_t h = 0; h < r->header_count; h++) {
		if (strcasecmp(r->headers[h].name, want->name))
			continue;
		there = true;
		if (want->op == BF_HEADER_EQUALS && strcmp(r->headers[h].value, want->value))
			return false;
	}
	return there;
}

static inline bool rule_allows(const struct bf_http_rule *rule, const struct request *r)
{
	char target[256];

	snprintf(target, sizeof(target), "%s%s", r->path, rule->path_has_query ? r->query : "");
	if (rule->method && !matches(rule->method, 0, r->method))
		return false;
	if (rule->path && !matches(rule->path, 0, target))
		return false;
	if (rule->host && (!r->host || !matches(rule->host, BF_PATTERN_FOLD, r->host)))
		return false;
	for (size_t h = 0; h < rule->header_count; h++) {
		if (!header_holds(&rule->headers[h], r))
			return false;
	}
	return true;
}

#endif
