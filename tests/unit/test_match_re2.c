// SPDX-License-Identifier: Apache-2.0
/*
 * The pattern compiler against RE2 itself: random expressions, random inputs.
 * BPFAST_SEED sets another seed; a failure prints the seed it ran with.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "match/dfa.h"
#include "re2_oracle.h"

static uint64_t seed, state;

/* splitmix64 */
static uint64_t random64(void)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static size_t below(size_t n)
{
	return random64() % n;
}

struct text {
	char s[2048];
	size_t len;
};

static void put(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (t->len + n < sizeof(t->s)) {
		memcpy(t->s + t->len, s, n);
		t->len += n;
	}
}

static void pick(struct text *t, const char *const *from, size_t n)
{
	put(t, from[below(n)]);
}

#define PICK(t, ...)                                                                               \
	do {                                                                                       \
		static const char *const from[] = {__VA_ARGS__};                                   \
		pick(t, from, sizeof(from) / sizeof(from[0]));                                     \
	} while (0)

static void gen_class(struct text *t, bool ascii)
{
	PICK(t, "[", "[^", "[", "[^]", "[]", "[-", "[^-");
	for (size_t i = 1 + below(3); i; i--) {
		if (ascii || below(4))
			PICK(t, "a", "b", "a-c", "/", "\\d", "\\w", "\\S", "[:alpha:]",
			     "[:^digit:]", "\\n", "\\x61", "k", "A-Z", ".", "\\]", "\\x{62}",
			     "[:space:]", "0-9", "\\W", "\\D", "[:", "$-/", "s");
		else
			PICK(t, "\xc3\xa9", "\xc3\xa0-\xc3\xbf", "\xe2\x82\xac",
			     "a-\xf0\x9f\x98\x80", "\\x{80}-\\x{10ffff}", "\\x{7ff}-\\x{800}",
			     "\\x{0}-\\x{10ffff}", "\\x{fff}-\\x{10fff}", "\\x{d000}-\\x{e0ff}");
	}
	PICK(t, "]", "]", "]", "-]");
}

static void gen(struct text *t, int depth, bool ascii);

static void gen_atom(struct text *t, int depth, bool ascii)
{
	switch (below(depth > 0 ? 16 : 9)) {
	case 0:
	case 1:
	case 2:
	case 3:
		PICK(t, "a", "b", "c", "/", "a", "b", "\\.", "k", "S", "0", "-", "]", "}", "{");
		return;
	case 4:
		PICK(t, ".", ".", "\\d", "\\w", "\\s", "\\W", "\\D", "\\S", "\\C");
		return;
	case 5:
		gen_class(t, ascii);
		return;
	case 6:
		PICK(t, "^", "$", "\\A", "\\z", "", "\\Qa*\\E", "\\Qb", "\\x61", "\\142", "\\n",
		     "\\/", "\\_", "\\0", "(?i)", "(?s)", "(?-s)", "(?-i)", "(?U)");
		return;
	case 7:
		if (!ascii)
			PICK(t, "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\\x{e9}", "\\xe9",
			     "\\x{212a}", "\\x{17f}");
		else
			put(t, "ab");
		return;
	case 8:
		PICK(t, "a|b", "|", "aa", "bc", "ab|");
		return;
	case 9:
	case 10:
		put(t, "(");
		break;
	case 11:
		put(t, "(?:");
		break;
	case 12:
		PICK(t, "(?i:", "(?s:", "(?i-s:", "(?-i:", "(?is)(", "(?U:");
		break;
	default:
		gen(t, depth - 1, ascii);
		return;
	}
	gen(t, depth - 1, ascii);
	put(t, ")");
}

static void gen(struct text *t, int depth, bool ascii)
{
	for (size_t i = below(4) + 1; i; i--) {
		gen_atom(t, depth, ascii);
		if (!below(3))
			PICK(t, "*", "+", "?", "*?", "+?", "??", "{2}", "{1,3}", "{0,2}", "{0}",
			     "{2,}", "{1,2}?", "{0,}", "{,2}", "{2", "{3,1}", "{01}");
		if (!below(6))
			put(t, "|");
	}
}

/* RFC 3629, with surrogates, as RE2 reads. */
static bool valid_utf8(const char *s, size_t len)
{
	const uint8_t *b = (const uint8_t *)s;
	size_t i = 0;

	while (i < len) {
		size_t n = b[i] < 0x80	 ? 0
			   : b[i] < 0xc2 ? 9
			   : b[i] < 0xe0 ? 1
			   : b[i] < 0xf0 ? 2
			   : b[i] < 0xf5 ? 3
					 : 9;

		if (n == 9 || i + n >= len)
			return false;
		if ((b[i] == 0xe0 && b[i + 1] < 0xa0) || (b[i] == 0xf0 && b[i + 1] < 0x90) ||
		    (b[i] == 0xf4 && b[i + 1] > 0x8f))
			return false;
		for (size_t k = 1; k <= n; k++) {
			if ((b[i + k] & 0xc0) != 0x80)
				return false;
		}
		i += n + 1;
	}
	return true;
}

struct pair {
	const struct text *pattern;
	const struct bf_dfa *dfa;
	const struct oracle *oracle;
	unsigned int flags;
	size_t index; /* of the pattern in the automaton */
};

static size_t compared, matched;

static void dump(const char *what, const char *s, size_t len)
{
	fprintf(stderr, "%s \"", what);
	for (size_t i = 0; i < len; i++)
		fprintf(stderr, s[i] >= 32 && s[i] < 127 ? "%c" : "\\x%02x", (uint8_t)s[i]);
	fprintf(stderr, "\" ");
}

static void compare(const struct pair *p, const char *input, size_t len)
{
	uint32_t end = bf_dfa_walk(p->dfa, p->dfa->start, input, len);
	bool ours = p->dfa->set[(size_t)p->dfa->accept[end] * p->dfa->words] >> p->index & 1;
	bool theirs = oracle_match(p->oracle, input, len);
	bool exact = valid_utf8(input, len);
	bool over = false;

	for (size_t i = 0; i < len; i++)
		over |= (uint8_t)input[i] > 0x7f;
	/* In ASCII mode other bytes never match; invalid UTF-8 may match less, never more. */
	if (over && p->flags & BF_PATTERN_ASCII)
		theirs = false;
	else if (!exact)
		theirs = theirs && ours;
	compared++;
	matched += theirs;
	if (ours == theirs)
		return;
	dump("pattern", p->pattern->s, p->pattern->len);
	dump("input", input, len);
	fprintf(stderr, "flags %u: ours %d, RE2 %d; BPFAST_SEED=%llu\n", p->flags, ours, theirs,
		(unsigned long long)seed);
	fail();
}

/* Every string of up to three bytes over a few. */
static void compare_short(const struct pair *p)
{
	static const char letters[] = "ab/\nK0";
	const size_t n = sizeof(letters) - 1;
	char s[3];

	compare(p, "", 0);
	for (size_t i = 0; i < n; i++) {
		s[0] = letters[i];
		compare(p, s, 1);
		for (size_t j = 0; j < n; j++) {
			s[1] = letters[j];
			compare(p, s, 2);
			for (size_t k = 0; k < n; k++) {
				s[2] = letters[k];
				compare(p, s, 3);
			}
		}
	}
}

/* A walk along what our automaton allows, then changed a little. */
static void compare_walk(const struct pair *p)
{
	static const char *const pieces[] = {"a",
					     "b",
					     "c",
					     "/",
					     "\n",
					     "k",
					     "K",
					     "s",
					     "S",
					     "0",
					     ".",
					     "-",
					     "\xc3\xa9",
					     "\xe2\x82\xac",
					     "\xf0\x9f\x98\x80",
					     "\xe2\x84\xaa",
					     "\xc5\xbf",
					     "\xed\xa0\x80",
					     "\xff",
					     "\xc3",
					     "\xe0\x80\x80",
					     "]",
					     "{",
					     "\xf4\x90\x80\x80"};
	uint32_t at = p->dfa->start;
	char s[64];
	size_t len = 0, want = below(24);

	while (len < want) {
		uint32_t next = 0;
		uint8_t byte = 0;

		for (int tries = 0; tries < 40 && !next; tries++) {
			byte = (uint8_t)below(tries < 20 ? 128 : 256);
			next = p->dfa->next[(size_t)at * p->dfa->classes + p->dfa->class_of[byte]];
		}
		if (!next)
			break;
		s[len++] = (char)byte;
		at = next;
	}
	compare(p, s, len);
	for (int i = 0; i < 3; i++) {
		const char *piece = pieces[below(sizeof(pieces) / sizeof(pieces[0]))];
		size_t n = strlen(piece), where = below(len + 1);

		if (len + n > sizeof(s))
			break;
		memmove(s + where + n, s + where, len - where);
		memcpy(s + where, piece, n);
		len += n;
		compare(p, s, len);
	}
}

/* What we refuse though RE2 takes it. */
static bool refused_on_purpose(const char *message)
{
	static const char *const reasons[] = {
		"word boundary", "Unicode class",    "multi-line",
		"not ASCII",	 "without an ASCII", "named group",
	};

	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
		if (strstr(message, reasons[i]))
			return true;
	}
	return false;
}

static bool try_pattern(const struct text *t, unsigned int flags, bool inputs)
{
	struct bf_pattern pattern = {.text = t->s, .len = t->len, .flags = flags};
	struct pair p = {.pattern = t, .flags = flags};
	struct bf_error err = {{0}};
	struct bf_dfa *dfa = NULL;
	struct oracle *oracle;
	bool too_large;
	int ret;

	oracle = oracle_new(t->s, t->len, flags & BF_PATTERN_FOLD, &too_large);
	ret = bf_dfa_build(&pattern, 1, NULL, &dfa, NULL, &err);
	assert_int_equal(ret == -EINVAL, bf_pattern_check(&pattern, NULL) == -EINVAL);
	if ((ret == -EINVAL && oracle && !refused_on_purpose(err.msg)) ||
	    (!ret && !oracle && !too_large)) {
		dump("pattern", t->s, t->len);
		fprintf(stderr, "ours %d (%s), RE2 %s; BPFAST_SEED=%llu\n", ret, err.msg,
			oracle ? "takes it" : "refuses it", (unsigned long long)seed);
		fail();
	}
	if (!ret && oracle && inputs) {
		p.dfa = dfa;
		p.oracle = oracle;
		compare_short(&p);
		for (int i = 0; i < 20; i++)
			compare_walk(&p);
	}
	bf_dfa_free(dfa);
	oracle_free(oracle);
	return !ret;
}

static void test_language(void **unused)
{
	static const unsigned int modes[] = {0, BF_PATTERN_ASCII, BF_PATTERN_FOLD,
					     BF_PATTERN_ASCII | BF_PATTERN_FOLD};
	size_t patterns = 0;

	(void)unused;
	for (int i = 0; i < 1600; i++) {
		unsigned int flags = modes[below(4)];
		struct text t = {.len = 0};

		gen(&t, 3, flags & BF_PATTERN_ASCII && below(4));
		patterns += try_pattern(&t, flags, true);
	}
	printf("%zu patterns, %zu inputs compared, %zu matched\n", patterns, compared, matched);
	/* A generator that makes only refused patterns would prove nothing. */
	assert_true(patterns > 700);
	assert_true(compared > 100000);
	assert_true(matched > compared / 50);
}

/* Is the same text taken and refused? Made of what syntax is made of. */
static void test_syntax(void **unused)
{
	size_t taken = 0;

	(void)unused;
	for (int i = 0; i < 20000; i++) {
		struct text t = {.len = 0};

		for (size_t n = 1 + below(9); n; n--)
			PICK(&t, "a", "b", "(", ")", "[", "]", "{", "}", "*", "+", "?", "|", "\\",
			     "^", "$", ".", "-", ",", "1", "2", "0", ":", "i", "s", "m", "U", "P",
			     "<", ">", "(?", "[[:", ":]]", "alpha", "\\Q", "\\E", "\\x", "{2}", "d",
			     "w", "n", "z", "A", "\xc3\xa9", "\xff", "\x80", "7", "8", "99",
			     "(?P<n>", "_", "=", "!", "\\b", "\\p", "\\C", "&", "#", "Z", "1001");
		taken += try_pattern(&t, 0, false);
	}
	assert_in_range(taken, 3000, 17000);
}

/* Several in one automaton: each must match what it matches alone. */
static void test_merged(void **unused)
{
	size_t before = compared;

	(void)unused;
	for (int round = 0; round < 150; round++) {
		static struct text texts[24];
		struct bf_pattern patterns[24];
		struct oracle *oracles[24];
		struct bf_error err = {{0}};
		struct bf_dfa *dfa = NULL;
		size_t n = 0, want = 2 + below(23);

		while (n < want) {
			struct text *t = &texts[n];
			bool too_large;

			t->len = 0;
			/* Often the beginning of an earlier one, for they share states. */
			if (n && below(2)) {
				const struct text *old = &texts[below(n)];

				t->len = below(old->len + 1);
				memcpy(t->s, old->s, t->len);
			}
			gen(t, 1, false);
			patterns[n] = (struct bf_pattern){.text = t->s, .len = t->len};
			if (bf_pattern_check(&patterns[n], NULL))
				continue;
			oracles[n] = oracle_new(t->s, t->len, false, &too_large);
			assert_non_null(oracles[n]);
			n++;
		}
		if (bf_dfa_build(patterns, n, NULL, &dfa, NULL, &err))
			fail_msg("%s; BPFAST_SEED=%llu", err.msg, (unsigned long long)seed);
		for (size_t i = 0; i < n; i++) {
			struct pair p = {&texts[i], dfa, oracles[i], 0, i};

			compare_short(&p);
			for (int k = 0; k < 20; k++)
				compare_walk(&p);
		}
		for (size_t i = 0; i < n; i++)
			oracle_free(oracles[i]);
		bf_dfa_free(dfa);
	}
	assert_true(compared - before > 100000);
}

/* Does pattern p match what was read, by an automaton with tails? `taken` is the tuple + 1. */
static bool has_with_tails(const struct bf_dfa *dfa, uint32_t at, uint32_t taken, size_t n,
			   size_t p)
{
	uint32_t set = dfa->accept[at];

	for (uint32_t i = dfa->list_first[set]; i < dfa->list_first[set + 1]; i++) {
		uint32_t member = dfa->list[i];

		if (member >= n)
			member = dfa->tuple[dfa->tuple_first[taken - 1] + member - (uint32_t)n];
		if (member == p)
			return true;
	}
	return false;
}

/* One input that goes where something may still match, and both automata after each byte. */
static size_t walk_both(const struct bf_dfa *plain, const struct bf_dfa *tails, size_t n)
{
	uint32_t a = plain->start, b = tails->start, taken = 0;
	size_t matches = 0;

	for (int step = 0; step < 24; step++) {
		uint8_t byte = 0;

		for (size_t p = 0; p < n; p++) {
			bool want = plain->set[(size_t)plain->accept[a] * plain->words + p / 64] >>
					    p % 64 &
				    1;

			if (has_with_tails(tails, b, taken, n, p) != want)
				fail_msg("step %d, pattern %zu of %zu: want %d; BPFAST_SEED=%llu",
					 step, p, n, want, (unsigned long long)seed);
			matches += want;
		}
		for (int i = 0; i < 40; i++) {
			byte = (uint8_t)below(i % 4 ? 128 : 256);
			if (plain->next[(size_t)a * plain->classes + plain->class_of[byte]])
				break;
		}
		a = plain->next[(size_t)a * plain->classes + plain->class_of[byte]];
		b = b * tails->classes + tails->class_of[byte];
		if (tails->take && tails->take[b]) {
			assert_true(!taken && tails->next[b] >= tails->first_tail);
			taken = tails->take[b];
		}
		b = tails->next[b];
	}
	return matches;
}

/* Patterns with common ends and beginnings: with tails they mean what they mean without. */
static void test_tails(void **unused)
{
	struct bf_dfa_limits limits = {.tails = true};
	size_t matches = 0, taken = 0;

	(void)unused;
	for (int round = 0; round < 150; round++) {
		static struct text texts[24];
		struct bf_pattern patterns[24];
		struct bf_dfa *plain = NULL, *tails = NULL;
		size_t n = 0, want = 2 + below(23);

		while (n < want) {
			struct text *t = &texts[n];

			t->len = 0;
			gen(t, 1, false);
			if (n && below(4)) {
				const struct text *old = &texts[below(n)];
				size_t from = below(3) ? 0 : below(old->len + 1);

				if (t->len + old->len + 2 > sizeof(t->s))
					continue;
				memcpy(t->s + t->len, old->s + from, old->len - from);
				t->len += old->len - from;
			}
			patterns[n] = (struct bf_pattern){.text = t->s, .len = t->len};
			n += !bf_pattern_check(&patterns[n], NULL);
		}
		if (bf_dfa_build(patterns, n, NULL, &plain, NULL, NULL) ||
		    bf_dfa_build(patterns, n, &limits, &tails, NULL, NULL))
			fail_msg("BPFAST_SEED=%llu", (unsigned long long)seed);
		taken += tails->tuples > 0;
		for (int i = 0; i < 100; i++)
			matches += walk_both(plain, tails, n);
		bf_dfa_free(plain);
		bf_dfa_free(tails);
	}
	printf("%zu rounds with tails, %zu matches\n", taken, matches);
	assert_true(taken > 100 && matches > 10000);
}

static void test_limits_agree(void **unused)
{
	static const char *const texts[] = {
		"a{1000}",
		"a{1001}",
		"a{0,1000}",
		"a{0,1001}",
		"a{1000,}",
		"a{1001,}",
		"(a{10}){100}",
		"(a{10}){101}",
		"((a{10}){10}){10}",
		"((a{10}){10}){11}",
		"(a{500}|b{600}){2}",
		"(a{500}|b{500}){2}",
		"(a*){1000}",
		"(a{0}){1000}",
		"(a{500}){1}",
		"(a{1000}){1}",
		"(a{1000})?",
		"a{100000000}",
		"a{999999999999}",
		"(a{2,}){500}",
		"(a{2,}){501}",
		"a{0}{0}",
		"(a{0}){0}",
		"(a{1000}){0}",
		"\\777",
		"\\0777",
		"\\400",
		"[\\777]",
		"\\x{110000}",
		"\\x{10ffff}",
		"\\x{00000041}",
	};

	(void)unused;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct text t = {.len = 0};

		put(&t, texts[i]);
		try_pattern(&t, 0, true);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_language), cmocka_unit_test(test_merged),
		cmocka_unit_test(test_syntax),	 cmocka_unit_test(test_limits_agree),
		cmocka_unit_test(test_tails),
	};
	const char *text = getenv("BPFAST_SEED");

	seed = text ? strtoull(text, NULL, 0) : 20251122;
	state = seed;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
