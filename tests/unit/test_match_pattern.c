// SPDX-License-Identifier: Apache-2.0
/* What patterns mean, what is refused and where, and what the limits are. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "match/dfa.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define LITERAL BF_PATTERN_LITERAL
#define FOLD BF_PATTERN_FOLD
#define ASCII BF_PATTERN_ASCII

static struct bf_pattern pattern_of(const char *text, unsigned int flags)
{
	return (struct bf_pattern){.text = text, .len = strlen(text), .flags = flags};
}

static struct bf_dfa *build(const struct bf_pattern *patterns, size_t n)
{
	struct bf_error err = {{0}};
	struct bf_dfa *dfa = NULL;
	size_t bad = 0;

	if (bf_dfa_build(patterns, n, NULL, &dfa, &bad, &err))
		fail_msg("pattern %zu: %s", bad, err.msg);
	/* State 0 is dead and accepts nothing; every number is in range. */
	assert_int_equal(dfa->accept[0], 0);
	assert_true(dfa->start < dfa->states);
	for (uint32_t w = 0; w < dfa->words; w++)
		assert_int_equal(dfa->set[w], 0);
	for (int b = 0; b < 256; b++)
		assert_true(dfa->class_of[b] < dfa->classes);
	for (size_t i = 0; i < (size_t)dfa->states * dfa->classes; i++) {
		assert_true(dfa->next[i] < dfa->states);
		if (i < dfa->classes)
			assert_int_equal(dfa->next[i], 0);
	}
	for (uint32_t s = 0; s < dfa->states; s++)
		assert_true(dfa->accept[s] < dfa->sets);
	return dfa;
}

static bool has(const struct bf_dfa *dfa, uint32_t state, size_t pattern)
{
	return dfa->set[(size_t)dfa->accept[state] * dfa->words + pattern / 64] >> (pattern % 64) &
	       1;
}

static bool matches(const char *text, unsigned int flags, const char *input, size_t len)
{
	struct bf_pattern p = pattern_of(text, flags);
	struct bf_dfa *dfa = build(&p, 1);
	bool yes = has(dfa, bf_dfa_walk(dfa, dfa->start, input, len), 0);

	bf_dfa_free(dfa);
	return yes;
}

/* Inputs are separated by blanks, "_" stands for the empty one. */
static void test_meaning(void **unused)
{
	static const struct {
		const char *pattern;
		unsigned int flags;
		const char *match, *differ;
	} cases[] = {
		/* the whole value, at both ends */
		{"", 0, "_", "a"},
		{"a", 0, "a", "_ aa ba ab A"},
		{"/api/v1/.*", 0, "/api/v1/ /api/v1/x/y", "/api/v1 x/api/v1/ /api/v11/"},
		{"GET|HEAD", 0, "GET HEAD", "GETHEAD GE _ XGET HEADX"},
		{"(GET|HEAD)", 0, "GET HEAD", "GETHEAD"},
		{"a|", 0, "a _", "b"},
		/* repetition */
		{"a*", 0, "_ a aaa", "b ab"},
		{"a+", 0, "a aaa", "_ b"},
		{"a?", 0, "_ a", "aa"},
		{"a*?", 0, "_ a aaa", "b"},
		{"a{2}", 0, "aa", "a aaa _"},
		{"a{2,}", 0, "aa aaaaa", "a _"},
		{"a{1,3}", 0, "a aa aaa", "_ aaaa"},
		{"a{0}", 0, "_", "a"},
		{"a{0,2}b", 0, "b ab aab", "aaab"},
		{"(ab){2,3}", 0, "abab ababab", "ab abababab aba"},
		{"(a*)*", 0, "_ a aa", "b"},
		{"(a|b)*abb", 0, "abb aababb", "ab abba"},
		{"a{,2}", 0, "a{,2}", "a aa"},
		{"a{x}", 0, "a{x}", "a"},
		{"a{01}", 0, "a{01}", "a"},
		{"}]", 0, "}]", "]"},
		/* classes */
		{"[abc]", 0, "a b c", "d _ ab"},
		{"[^abc]", 0, "d A / \xc3\xa9", "a b c _ \xc3"},
		{"[]a]", 0, "] a", "b"},
		{"[^]a]", 0, "b", "] a"},
		{"[a-]", 0, "a -", "b"},
		{"[-a]", 0, "a -", "b"},
		{"[a-c-e]", 0, "a c - e", "d"},
		{"[\\]\\-]", 0, "] -", "\\"},
		{"[a\\d]+", 0, "a1 99", "b"},
		{"[^\\w]", 0, "- / \xc3\xa9", "a 9 _x"},
		{"[[:alpha:]]+", 0, "az AZ", "a1 1"},
		{"[[:^alpha:]]", 0, "1 -", "a Z"},
		{"[[:word:]-]+", 0, "a_9-", "a.b"},
		{"[[:alpha]", 0, "[ : a h", "] b"},
		{"\\d+\\D\\w\\W\\S", 0, "1ab-x 22-_./", "1ab-"},
		{"[\\x41-\\x43]", 0, "A B C", "D"},
		/* escapes */
		{"\\.\\*\\/\\-\\_", 0, ".*/-_", "x*/-_"},
		{"\\x41\\x{42}\\103\\0103", 0, "ABC\b3", "ABC ABCC"},
		{"\\Qa.b*\\E+", 0, "a.b* a.b***", "axb*"},
		{"\\Qa\\E\\Qb", 0, "ab", "a"},
		{"\\C\\C", 0, "ab \xff\xfe", "a"},
		/* dot, flags */
		{"a.c", 0,
		 "abc a.c a\xe2\x82\xac"
		 "c",
		 "ac abbc a\xff"
		 "c a\xe2\x82"
		 "c"},
		{".", 0, "\xc2\x80 \xf4\x8f\xbf\xbf \xe0\xa0\x80",
		 "\xc0\x80 \xf4\x90\x80\x80 \xe0\x80\x80 \x80 \xff \xc1\xbf \xf5\x80\x80\x80"},
		{"(?i)get", 0, "get GET gEt", "gat"},
		{"(?i:a)b", 0, "ab Ab", "aB AB"},
		{"a(?i)b|c", 0, "ab aB c C", "Ab"},
		{"(a(?i)b)c", 0, "abc aBc", "abC"},
		{"(?i)a(?-i)b", 0, "Ab ab", "aB"},
		{"(?i)[k]", 0, "k K \xe2\x84\xaa", "s"},
		{"(?i)[^k]", 0, "s", "k K \xe2\x84\xaa"},
		{"(?U)a+", 0, "a aa", "_"},
		{"(?P<name>a)(?<other>b)(?:c)", 0, "abc", "ab"},
		/* anchors */
		{"^a$", 0, "a", "_ aa"},
		{"\\Aa\\z", 0, "a", "_"},
		{"(^a|b$)", 0, "a b", "_"},
		{"^$", 0, "_", "a"},
		{"$^", 0, "_", "a"},
		{"a*$^", 0, "_", "a aa"}, /* the start is not the state after "a" */
		{"a^b", 0, "", "ab a b _"},
		{"a$b", 0, "", "ab a b _"},
		{"(^)*a", 0, "a", "_"},
		{"a?^b", 0, "b", "ab"},
		{"x*", 0, "_ x", "y"},
		{"[^\\x00-\\x{10FFFF}]", 0, "", "a _"},
		/* UTF-8 */
		{"\xc3\xa9", 0, "\xc3\xa9", "e \xc3"},
		{"\\xe9", 0, "\xc3\xa9", "\xe9"},
		{"[\xc3\xa0-\xc3\xbf]+", 0, "\xc3\xa9\xc3\xa0", "\xc3\x9f \xc4\x80"},
		{"[\\x{7f}-\\x{10000}]", 0, "\x7f \xc2\x80 \xf0\x90\x80\x80 \xef\xbf\xbf",
		 "~ \xf0\x90\x80\x81"},
		/* literal */
		{"a.*b", LITERAL, "a.*b", "axb ab"},
		{"\xff(", LITERAL, "\xff(", "("},
		{"a(B", LITERAL | FOLD, "a(b A(B", "a(c"},
		{"[a@`{Z", LITERAL | FOLD, "[a@`{z [A@`{Z", "{a@`{z [a`@{z"},
		{"\xc3\xa9", LITERAL | ASCII, "\xc3\xa9", "e"},
		/* FOLD, ASCII */
		{"Shop\\.(a|B)", FOLD, "shop.A SHOP.b", "shopxa"},
		{"(?-i)Shop", FOLD, "Shop", "shop"},
		{".*", ASCII, "_ abc", "\xc3\xa9 a\x80"},
		{"[^/]+", ASCII, "abc", "\xc3\xa9 /"},
		{"[a\xc3\xa9]", ASCII, "a", "\xc3\xa9"},
		{"\\W", ASCII, "-", "\xc3\xa9 a"},
		{"(?i)[^k]", ASCII, "s", "k K"},
		{"\\C", ASCII, "a", "\x80"},
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(cases); i++) {
		for (int want = 0; want < 2; want++) {
			const char *s = want ? cases[i].match : cases[i].differ;

			while (*s) {
				size_t n = strcspn(s, " ");
				size_t len = n == 1 && *s == '_' ? 0 : n;

				if (matches(cases[i].pattern, cases[i].flags, s, len) != want)
					fail_msg("%s, flags %u, %.*s: want %d", cases[i].pattern,
						 cases[i].flags, (int)n, s, want);
				s += n + (s[n] == ' ');
			}
		}
	}
	/* What cannot stand in the table. */
	assert_false(matches(".", 0, "\n", 1));
	assert_true(matches("(?s).", 0, "\n", 1));
	assert_true(matches("[^a]", 0, "\n", 1));
	assert_false(matches("(?-s:.)", 0, "\n", 1));
	assert_true(matches("a\\sb", 0, "a b", 3));
	assert_false(matches("\\s", 0, "\v", 1));
	assert_true(matches("[[:space:]]", 0, "\v", 1));
	assert_true(matches("\\n\\t\\r\\f\\a\\v\\x00\\0", 0, "\n\t\r\f\a\v\0\0", 8));
	assert_true(matches(".", 0, "\0", 1));
	assert_false(matches("a$", 0, "a\n", 2));
}

static void test_refused(void **unused)
{
	static const struct {
		const char *pattern;
		unsigned int flags;
		const char *says; /* the beginning */
	} cases[] = {
		/* needs backtracking */
		{"(a)\\1", 0, "back-reference \\1 at offset 3: "},
		{"x\\k<n>", 0, "back-reference \\k at offset 1: "},
		{"\\g1", 0, "back-reference \\g at offset 0: "},
		{"(?P<n>a)(?P=n)", 0, "back-reference (?P= at offset 8: "},
		{"a(?=b)", 0, "look-ahead (?= at offset 1: "},
		{"(?!b)", 0, "look-ahead (?! at offset 0: "},
		{"(?<=b)", 0, "look-behind (?<= at offset 0: "},
		{"(?<!b)", 0, "look-behind (?<! at offset 0: "},
		{"(?>a)", 0, "atomic group (?> at offset 0: "},
		{"(?|a)", 0, "branch reset (?| at offset 0: "},
		{"(?(1)a)", 0, "conditional (?( at offset 0: "},
		{"(?R)", 0, "recursion (? at offset 0: "},
		{"(?P>x)", 0, "recursion (? at offset 0: "},
		{"(?1)", 0, "recursion (? at offset 0: "},
		{"(*PRUNE)", 0, "verb (* at offset 0: "},
		{"a++", 0, "repetition + at offset 2: "},
		/* RE2 takes it, we do not */
		{"a\\b", 0, "word boundary \\b at offset 1: "},
		{"\\B", 0, "word boundary \\B at offset 0: "},
		{"\\pL", 0, "Unicode class \\p at offset 0: "},
		{"[\\P{Greek}]", 0, "Unicode class \\P at offset 1: "},
		{"a(?m)b", 0, "multi-line flag (?m) at offset 1: "},
		{"(?i)\xc3\xa9", 0, "(?i) with a character that is not ASCII at offset 4: "},
		{"(?i)[a\xc3\xa0-\xc3\xbf]", 0,
		 "(?i) with a character that is not ASCII at offset 6: "},
		/* ASCII only */
		{"/caf\xc3\xa9", ASCII, "character that is not ASCII at offset 4: "},
		{"\\x{e9}", ASCII, "character that is not ASCII at offset 0: "},
		{"a[\xc3\xa9]", ASCII, "class without an ASCII character at offset 1: "},
		/* syntax */
		{"(a", 0, "( at offset 0: its ) is missing"},
		{"((a)", 0, "( at offset 0: its ) is missing"},
		{"(a(b)(c", 0, "( at offset 5: its ) is missing"},
		{"a)b", 0, ") at offset 1: "},
		{"a[b", 0, "[ at offset 1: its ] is missing"},
		{"[]", 0, "[ at offset 0: its ] is missing"},
		{"[a-", 0, "[ at offset 0: its ] is missing"},
		{"x[z-a]", 0, "character range at offset 2: "},
		{"[a-\\d]", 0, "escape \\d at offset 3: "},
		{"[[:foo:]]", 0, "unknown class [:name:] at offset 1: "},
		{"*a", 0, "repetition * at offset 0: there is nothing"},
		{"a|+", 0, "repetition + at offset 2: there is nothing"},
		{"(?)", 0, NULL},
		{"(?i)?", 0, "repetition ? at offset 4: there is nothing"},
		{"({2})", 0, "repetition { at offset 1: there is nothing"},
		{"a**", 0, "repetition * at offset 2: "},
		{"a{2}{3}", 0, "repetition { at offset 4: "},
		{"a{3,2}", 0, "repetition { at offset 1: its second number"},
		{"a{1001}", 0, "repetition { at offset 1: more than 1000"},
		{"a{0,1001}", 0, "repetition { at offset 1: more than 1000"},
		{"(a{50}){21}", 0, "repetition { at offset 7: more than 1000"},
		{"a\\", 0, "backslash at offset 1: "},
		{"\\y", 0, "escape \\y at offset 0: "},
		{"\\Z", 0, "escape \\Z at offset 0: "},
		{"\\\xc3\xa9", 0, "escape \\<0xc3> at offset 0: "},
		{"\\8", 0, "back-reference \\8 at offset 0: "},
		{"\\x4", 0, "bad escape \\x at offset 0: "},
		{"\\x{}", 0, "bad escape \\x{ at offset 0: "},
		{"\\x{110000}", 0, "bad escape \\x{ at offset 0: "},
		{"\\x{41", 0, "bad escape \\x{ at offset 0: "},
		{"(?z)", 0, "(?...z at offset 0: "},
		{"(?i", 0, "(? at offset 0: it is cut short"},
		{"(?-)", 0, "(? at offset 0: no flag after -"},
		{"(?i--s)", 0, "(? at offset 0: a second -"},
		{"(?P<>a)", 0, "named group at offset 0: "},
		{"(?P<n", 0, "named group at offset 0: "},
		{"(?P<n>a)(?P<n>b)", 0, "named group at offset 8: another"},
		{"a\xff", 0, "invalid UTF-8 at offset 1: "},
		{"\xc3", 0, "invalid UTF-8 at offset 0: "},
		{"\xe0\x80\x80", 0, "invalid UTF-8 at offset 0: "},
		{"[\xf5]", 0, "invalid UTF-8 at offset 1: "},
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct bf_pattern p[2] = {pattern_of("ok", 0),
					  pattern_of(cases[i].pattern, cases[i].flags)};
		struct bf_error err = {{0}}, again = {{0}};
		struct bf_dfa *dfa = NULL;
		size_t bad = 99;
		int ret = bf_pattern_check(&p[1], &err);

		if (!cases[i].says) {
			assert_int_equal(ret, 0);
			continue;
		}
		if (ret != -EINVAL || strncmp(err.msg, cases[i].says, strlen(cases[i].says)))
			fail_msg("%s: %d, %s", cases[i].pattern, ret, err.msg);
		/* A sentence that says what to do, not only what is wrong. */
		assert_true(strlen(err.msg) > strlen(strstr(err.msg, " at offset ")) &&
			    strlen(err.msg) > 25);
		assert_int_equal(bf_dfa_build(p, 2, NULL, &dfa, &bad, &again), -EINVAL);
		assert_int_equal(bad, 1);
		assert_string_equal(again.msg, err.msg);
		assert_null(dfa);
	}
}

static void test_limits(void **unused)
{
	static const struct {
		const char *pattern[2];
		size_t bad;
		const char *names; /* in the message */
	} cases[] = {
		{{"a", "(abcde){900}.{900}(x|y){900}(fghijklmnopqrs){900}"}, 1, "20000 parts"},
		{{"(a|b)*a(a|b){25}", "x"}, 0, "\"(a|b)*a(a|b){25}\""},
		{{"x", ".*a.{30}"}, 1, "200000 states"},
		{{"(.*a){900}", "(.*b){900}"}, 0, "narrower"},
		{{"(.?){500}.*a(.?){500}", "x"}, 0, "\"(.?){500}"},
	};
	char deep[4000];
	struct bf_pattern p[2] = {pattern_of("a", 0), {0}};
	struct bf_dfa_limits limits = {.max_states = 5};
	struct bf_error err = {{0}};
	struct bf_dfa *dfa = NULL;
	size_t bad;

	(void)unused;
	for (size_t i = 0; i < COUNT(cases); i++) {
		p[0] = pattern_of(cases[i].pattern[0], 0);
		p[1] = pattern_of(cases[i].pattern[1], 0);
		bad = 99;
		assert_int_equal(bf_dfa_build(p, 2, NULL, &dfa, &bad, &err), -E2BIG);
		if (bad != cases[i].bad || !strstr(err.msg, cases[i].names))
			fail_msg("%zu: %s", bad, err.msg);
	}
	/* A thousand groups in each other, closed. */
	memset(deep, '(', 1000);
	for (size_t i = 0; i < 1000; i++)
		memcpy(deep + 1000 + 2 * i, ")?", 2);
	p[0] = (struct bf_pattern){.text = deep, .len = 3000};
	assert_int_equal(bf_pattern_check(&p[0], &err), -E2BIG);
	assert_non_null(strstr(err.msg, "nested deeper than 500"));
	/* The caller's own limits. */
	p[0] = pattern_of("abcd", 0);
	assert_int_equal(bf_dfa_build(p, 1, &limits, &dfa, NULL, NULL), 0);
	bf_dfa_free(dfa);
	p[0] = pattern_of("abcde", 0);
	assert_int_equal(bf_dfa_build(p, 1, &limits, &dfa, NULL, NULL), -E2BIG);
	limits = (struct bf_dfa_limits){.max_pattern_nodes = 6};
	assert_int_equal(bf_dfa_build(p, 1, &limits, &dfa, NULL, NULL), 0);
	bf_dfa_free(dfa);
	p[0] = pattern_of("abcdef", 0);
	assert_int_equal(bf_dfa_build(p, 1, &limits, &dfa, NULL, NULL), -E2BIG);
}

/* Patterns that multiply each other among many that do no harm: the error names two of them. */
static void test_pair(void **unused)
{
	struct bf_pattern p[60];
	char text[60][40];
	struct bf_error err = {{0}};
	struct bf_dfa *dfa = NULL;
	size_t bad = 99;

	(void)unused;
	for (int i = 0; i < 60; i++) {
		/* i % 4: a digit of its own each, else a word. */
		snprintf(text[i], sizeof(text[i]), i % 4 ? "/tame/%d/[^/]*" : ".*%c.*%c.*",
			 i % 4 ? i : 'a' + i / 4, 'A' + i / 4);
		p[i] = pattern_of(text[i], 0);
	}
	assert_int_equal(bf_dfa_build(p, 60, NULL, &dfa, &bad, &err), -E2BIG);
	if (bad % 4 || !strstr(err.msg, "multiply each other's states") ||
	    strstr(err.msg, "/tame/"))
		fail_msg("%zu: %s", bad, err.msg);
}

static void test_minimal(void **unused)
{
	static const struct {
		const char *pattern;
		unsigned int flags;
		uint32_t states, classes; /* the dead state counts */
	} cases[] = {
		{"a^b", 0, 1, 1},
		{"", 0, 2, 1},
		{"\\C*", 0, 2, 1},
		{"a|b|c", 0, 3, 2},
		{"[a-z]|[0-9]", 0, 3, 2},
		{"(a|b)*abb", 0, 5, 3},
		{"(ab|ac)(ab|ac)", 0, 6, 3},
		{"abc|xbc", 0, 5, 4},
		{"abcd", FOLD | ASCII, 6, 5},
		{".*", ASCII, 2, 2},
		{"[^/]*/[^/]*", ASCII, 3, 3},
		{"a{1000}", 0, 1002, 2},
		{"(a|aa){5,10}", 0, 22, 2},
		{"((a*)*b?)*|(a|b)*", 0, 2, 2},
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct bf_pattern p = pattern_of(cases[i].pattern, cases[i].flags);
		struct bf_dfa *dfa = build(&p, 1);

		if (dfa->states != cases[i].states || dfa->classes != cases[i].classes)
			fail_msg("%s: %u states, %u classes", cases[i].pattern, dfa->states,
				 dfa->classes);
		bf_dfa_free(dfa);
	}
}

static void test_many(void **unused)
{
	enum { N = 200 };
	struct bf_pattern p[N + 2];
	char text[N][32];
	struct bf_dfa *dfa = build(NULL, 0);

	(void)unused;
	assert_int_equal(dfa->states, 1);
	assert_int_equal(dfa->start, 0);
	assert_int_equal(bf_dfa_walk(dfa, dfa->start, "abc", 3), 0);
	bf_dfa_free(dfa);
	/* A pattern that never matches: the only set is the empty one. */
	p[0] = pattern_of("a$b", 0);
	dfa = build(p, 1);
	assert_int_equal(dfa->states, 1);
	bf_dfa_free(dfa);
	for (size_t i = 0; i < N; i++) {
		snprintf(text[i], sizeof(text[i]), i % 3 ? "/%zu/.*" : "/%zu", i);
		p[i] = pattern_of(text[i], ASCII);
	}
	p[N] = pattern_of(".*/x", ASCII);
	p[N + 1] = pattern_of("/7/.*", ASCII);
	dfa = build(p, N + 2);
	assert_int_equal(dfa->words, 4);
	for (size_t i = 0; i < N; i++) {
		char input[40];
		uint32_t end;
		int n = snprintf(input, sizeof(input), i % 3 ? "/%zu/x" : "/%zu", i);

		end = bf_dfa_walk(dfa, dfa->start, input, (size_t)n);
		for (size_t k = 0; k < N + 2; k++) {
			bool want = k == i || (k == N && i % 3) || (k == N + 1 && i == 7);

			if (has(dfa, end, k) != want)
				fail_msg("input %s, pattern %zu: want %d", input, k, want);
		}
		end = bf_dfa_walk(dfa, dfa->start, "\x80", 1);
		assert_int_equal(end, 0);
	}
	bf_dfa_free(dfa);
	bf_dfa_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_meaning), cmocka_unit_test(test_refused),
		cmocka_unit_test(test_limits),	cmocka_unit_test(test_pair),
		cmocka_unit_test(test_minimal), cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
