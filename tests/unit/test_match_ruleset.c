// SPDX-License-Identifier: Apache-2.0
/* Rulesets: the emitted tables, walked as the kernel walks them, against the rules read one by one. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bpfast/image.h>

#include "match/ruleset.h"
#include "ruleset_tables.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static uint64_t state = 42;

static size_t below(size_t n)
{
	uint64_t z = state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (z ^ z >> 31) % n;
}

/* --- random ones --- */

#define S(text) ((char *)(uintptr_t)(text))
#define PICK(...)                                                                                  \
	({                                                                                         \
		static const char *const from[] = {__VA_ARGS__};                                   \
		S(from[below(COUNT(from))]);                                                       \
	})

static void random_rule(struct bf_http_rule *rule, struct bf_http_header *headers)
{
	memset(rule, 0, sizeof(*rule));
	if (below(3))
		rule->method = PICK("GET", "POST", "GET|HEAD", "[A-Z]+", "P.*");
	if (below(4))
		rule->path =
			PICK("/", "/api/v1/.*", "/api/v[0-9]+/users", "/a(/b)?", "/static/[^/]*",
			     "/api/.*", "/a\\?q=1", "/.*q.*", "/api/v1/users");
	rule->path_has_query = rule->path && !below(3);
	if (!below(3))
		rule->host = PICK("shop\\.local", ".*\\.local", "SHOP.local", "other");
	rule->headers = headers;
	rule->header_count = below(3) ? 0 : 1 + below(3);
	for (size_t h = 0; h < rule->header_count; h++) {
		headers[h].name = PICK("X-Tenant", "x-tenant", "X-Trace", "Host", "Connection");
		headers[h].op = below(3) ? BF_HEADER_EQUALS : BF_HEADER_PRESENT;
		if (headers[h].op == BF_HEADER_EQUALS)
			headers[h].value = PICK("blue", "red", "", "Blue", "close", "shop.local");
	}
}

static void random_request(struct request *r)
{
	memset(r, 0, sizeof(*r));
	r->method = PICK("GET", "POST", "HEAD", "PUT", "get", "X");
	r->path = PICK("/", "/api/v1/users", "/api/v22/users", "/a", "/a/b", "/static/x.css",
		       "/static/x/y", "/q", "/api/v1/", "");
	r->query = PICK("", "?q=1", "?", "?x=/../");
	r->host = PICK("shop.local", "SHOP.LOCAL", "x.local", "other", "shopXlocal", "", NULL);
	r->header_count = below(7);
	for (size_t h = 0; h < r->header_count; h++) {
		r->headers[h].name =
			PICK("X-Tenant", "X-TENANT", "x-trace", "Hos", "Accept", "connection");
		r->headers[h].value =
			PICK("blue", "red", "", "Blue", "close", "shop.local", "blue ", "\xff");
	}
}

/* Something in front, as the head of an image is. */
static struct bf_blob new_blob(void)
{
	struct bf_blob blob = {0};
	uint32_t off;

	assert_int_equal(bf_blob_append(&blob, NULL, 8, &off), 0);
	return blob;
}

static void emit(struct tables *t, const struct bf_http_rule *rules, size_t n)
{
	struct bf_error err = {{0}};
	size_t bad;

	t->blob = new_blob();
	if (bf_ruleset_emit(&t->blob, rules, n, "HTTP/1.1 403 Forbidden\r\n\r\n", 26, NULL, &t->rs,
			    &bad, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(t->rs.rule_count, n);
	assert_int_equal(t->rs.words, (n + 63) / 64);
	check_dfa(t, t->rs.name_dfa_off, true);
	if (t->rs.method_dfa_off)
		check_dfa(t, t->rs.method_dfa_off, false);
	if (t->rs.path_dfa_off)
		check_dfa(t, t->rs.path_dfa_off, false);
	if (t->rs.target_dfa_off)
		check_dfa(t, t->rs.target_dfa_off, false);
	if (t->rs.host_dfa_off)
		check_dfa(t, t->rs.host_dfa_off, false);
	for (uint32_t h = 0; h < t->rs.header_count; h++)
		check_dfa(t, t->rs.header[h].dfa_off, false);
}

static void test_random(void **unused)
{
	struct bf_http_header headers[140][3];
	struct bf_http_rule rules[140];
	size_t allowed = 0, asked = 0;

	(void)unused;
	for (int round = 0; round < 60; round++) {
		/* Few rules mostly, more than one word of them sometimes. */
		size_t n = round % 6 ? 1 + below(6) : 60 + below(80);
		struct tables t;

		memset(headers, 0, sizeof(headers));
		for (size_t i = 0; i < n; i++)
			random_rule(&rules[i], headers[i]);
		emit(&t, rules, n);
		for (int i = 0; i < (n > 10 ? 10 : 60); i++) {
			struct request r;
			bool want = false;

			random_request(&r);
			for (size_t k = 0; !want && k < n; k++)
				want = rule_allows(&rules[k], &r);
			if (tables_allow(&t, &r) != want)
				fail_msg("round %d: %s %s%s host %s, %zu headers: want %d", round,
					 r.method, r.path, r.query, r.host, r.header_count, want);
			allowed += want;
			asked++;
		}
		bf_blob_free(&t.blob);
	}
	printf("%zu requests, %zu allowed\n", asked, allowed);
	assert_in_range(allowed, asked / 10, asked * 9 / 10);
}

/*
 * Many patterns that differ in the middle, with ends of a few kinds and some patterns that
 * overlap with them: what the tails are made for, and what may go wrong with them.
 */
static void test_tails(void **unused)
{
	static const char *const ends[] = {
		"/items/[0-9]+(/detail)?",
		"/items/[0-9]+(/detail)?",
		"/items/[0-9]*/detail",
		"(/a|/b)*",
		"/x(ab)*c?",
		"",
		"/.*z",
		"/items/7",
	};
	static const char *const asked[] = {
		"/items/7", "/items/77/detail",
		"/items/",  "/items/7/detai",
		"",	    "/a/b/a",
		"/x",	    "/xababc",
		"/xaba",    "/yz",
		"/a/z",	    "/items/7z",
	};
	size_t allowed = 0, asks = 0;

	(void)unused;
	for (int round = 0; round < 6; round++) {
		size_t n = 65 + below(120);
		struct bf_http_rule *rules = calloc(n, sizeof(*rules));
		struct bf_http_header *headers = calloc(n, sizeof(*headers));
		const struct bpfast_image_dfa *path;
		struct tables t;

		for (size_t i = 0; i < n; i++) {
			assert_true(asprintf(&rules[i].path, "/t/%zu%s", i, ends[below(8)]) > 0);
			rules[i].method = PICK("GET", "GET", "POST");
			rules[i].path_has_query = round == 5 && !below(4);
			headers[i] = (struct bf_http_header){.name = S("X-Tenant"), .value = NULL};
			assert_true(asprintf(&headers[i].value, "t%zu", i) > 0);
			headers[i].op = BF_HEADER_EQUALS;
			if (round % 2 && below(2)) {
				rules[i].headers = &headers[i];
				rules[i].header_count = 1;
			}
		}
		if (round >= 2) { /* every state of theirs speaks of these, too */
			free(rules[3].path);
			free(rules[4].path);
			rules[3].path = strdup("/t/.*/a");
			rules[4].path = strdup("/.*");
			rules[4].method = S("PUT");
		}
		emit(&t, rules, n);
		path = at(&t, t.rs.path_dfa_off);
		assert_true(path->value_count > 0);
		for (int i = 0; i < 150; i++) {
			size_t rule = below(n);
			char text[100], tenant[20];
			struct request r = {.method = PICK("GET", "POST", "PUT"),
					    .path = text,
					    .query = "",
					    .host = "h"};
			bool want = false;

			snprintf(text, sizeof(text), "/t/%zu%s", rule, asked[below(12)]);
			snprintf(tenant, sizeof(tenant), "t%zu", below(4) ? rule : below(n));
			r.header_count = below(2);
			r.headers[0] = (struct header){"x-tenant", tenant};
			/* Of the others only a few can match. */
			for (size_t k = 0; !want && k < n; k++)
				want = (k == rule || k == 3 || k == 4 || (k < rule && k < 20)) &&
				       rule_allows(&rules[k], &r);
			if (tables_allow(&t, &r) != want)
				fail_msg("round %d, rule %zu (%s): %s %s: want %d", round, rule,
					 rules[rule].path, r.method, text, want);
			allowed += want;
			asks++;
		}
		bf_blob_free(&t.blob);
		for (size_t i = 0; i < n; i++) {
			free(rules[i].path);
			free(headers[i].value);
		}
		free(rules);
		free(headers);
	}
	printf("%zu requests, %zu allowed\n", asks, allowed);
	assert_in_range(allowed, asks / 10, asks * 9 / 10);
}

/* --- cases with a name --- */

static void test_which_rules(void **unused)
{
	struct bf_http_header blue = {S("X-Tenant"), S("blue"), BF_HEADER_EQUALS};
	struct bf_http_header both[] = {{S("x-tenant"), S("blue"), BF_HEADER_EQUALS},
					{S("X-Tenant"), S("red"), BF_HEADER_EQUALS}};
	struct bf_http_header there = {S("X-Tenant"), NULL, BF_HEADER_PRESENT};
	struct bf_http_header host = {S("HOST"), S("Shop"), BF_HEADER_EQUALS};
	struct bf_http_header hosted = {S("HOST"), NULL, BF_HEADER_PRESENT};
	const struct {
		const char *what;
		struct bf_http_rule rules[2];
		size_t n;
		struct request request;
		bool allowed;
	} cases[] = {
		{"no rule allows nothing", {{0}}, 0, {"GET", "/", "", "h", {{0}}, 0}, false},
		{"an empty rule allows all", {{0}}, 1, {"X", "*", "", "", {{0}}, 0}, true},
		{"fields of two rules do not mix",
		 {{.method = S("GET"), .path = S("/a")}, {.method = S("POST"), .path = S("/b")}},
		 2,
		 {"GET", "/b", "", "h", {{0}}, 0},
		 false},
		{"the path without its query",
		 {{.path = S("/a")}},
		 1,
		 {"GET", "/a", "?x", "h", {{0}}, 0},
		 true},
		{"the path with its query",
		 {{.path = S("/a"), .path_has_query = true}},
		 1,
		 {"GET", "/a", "?x", "h", {{0}}, 0},
		 false},
		{"a method has case",
		 {{.method = S("get")}},
		 1,
		 {"GET", "/", "", "h", {{0}}, 0},
		 false},
		{"a host has none",
		 {{.host = S("Shop")}},
		 1,
		 {"GET", "/", "", "sHOP", {{0}}, 0},
		 true},
		{"a value has case",
		 {{.headers = &blue, .header_count = 1}},
		 1,
		 {"GET", "/", "", "h", {{"x-tenant", "Blue"}}, 1},
		 false},
		{"every occurrence counts",
		 {{.headers = &blue, .header_count = 1}},
		 1,
		 {"GET", "/", "", "h", {{"x-tenant", "blue"}, {"X-Tenant", "red"}}, 2},
		 false},
		{"equal occurrences do no harm",
		 {{.headers = &blue, .header_count = 1}},
		 1,
		 {"GET", "/", "", "h", {{"x-tenant", "blue"}, {"X-Tenant", "blue"}}, 2},
		 true},
		{"two occurrences do not satisfy two rules by halves",
		 {{.headers = &both[0], .header_count = 1},
		  {.headers = &both[1], .header_count = 1}},
		 2,
		 {"GET", "/", "", "h", {{"x-tenant", "blue"}, {"X-Tenant", "red"}}, 2},
		 false},
		{"two values at once cannot be",
		 {{.headers = both, .header_count = 2}},
		 1,
		 {"GET", "/", "", "h", {{"x-tenant", "blue"}}, 1},
		 false},
		{"nor where the header is absent",
		 {{.headers = both, .header_count = 2}},
		 1,
		 {"GET", "/", "", "h", {{0}}, 0},
		 false},
		{"present, with any value",
		 {{.headers = &there, .header_count = 1}},
		 1,
		 {"GET", "/", "", "h", {{"x-tenant", ""}}, 1},
		 true},
		{"present, with bytes that are no UTF-8",
		 {{.headers = &there, .header_count = 1}},
		 1,
		 {"GET", "/", "", "h", {{"x-tenant", "\xff\x80"}}, 1},
		 true},
		{"Host as a header has case",
		 {{.headers = &host, .header_count = 1}},
		 1,
		 {"GET", "/", "", "shop", {{0}}, 0},
		 false},
		{"Host as a header",
		 {{.headers = &host, .header_count = 1}},
		 1,
		 {"GET", "/", "", "Shop", {{0}}, 0},
		 true},
		{"Host as a header and as a host",
		 {{.headers = &host, .header_count = 1, .host = S("shop2|SHOP")}},
		 1,
		 {"GET", "/", "", "Shop", {{0}}, 0},
		 true},
		{"Host as a header and as another host",
		 {{.headers = &host, .header_count = 1, .host = S("shop2")}},
		 1,
		 {"GET", "/", "", "Shop", {{0}}, 0},
		 false},
		{"Host as a header and as a host, in the same letters",
		 {{.headers = &host, .header_count = 1, .host = S("Shop")}},
		 1,
		 {"GET", "/", "", "shop", {{0}}, 0},
		 false},
		{"Host present",
		 {{.headers = &hosted, .header_count = 1}},
		 1,
		 {"GET", "/", "", "", {{0}}, 0},
		 true},
		{"Host absent",
		 {{.headers = &hosted, .header_count = 1}},
		 1,
		 {"GET", "/", "", NULL, {{0}}, 0},
		 false},
		{"Host absent and not asked for",
		 {{.host = S("")}, {0}},
		 2,
		 {"GET", "/", "", NULL, {{0}}, 0},
		 true},
		{"Host absent is not Host empty",
		 {{.host = S("")}},
		 1,
		 {"GET", "/", "", NULL, {{0}}, 0},
		 false},
		{"present means there",
		 {{.headers = &there, .header_count = 1}},
		 1,
		 {"GET", "/", "", "h", {{"x-tenants", ""}}, 1},
		 false},
	};

	(void)unused;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct tables t;

		emit(&t, cases[i].rules, cases[i].n);
		if (tables_allow(&t, &cases[i].request) != cases[i].allowed)
			fail_msg("%s", cases[i].what);
		bf_blob_free(&t.blob);
	}
}

static void test_names(void **unused)
{
	struct bf_http_header headers[] = {{S("X-One"), NULL, BF_HEADER_PRESENT},
					   {S("HOST"), NULL, BF_HEADER_PRESENT},
					   {S("x-one"), NULL, BF_HEADER_PRESENT},
					   {S("X-Two"), NULL, BF_HEADER_PRESENT}};
	struct bf_http_rule rule = {.headers = headers, .header_count = 4};
	static const struct {
		const char *name;
		uint32_t value, response;
	} cases[] = {
		{"content-length", BPFAST_HN_CONTENT_LENGTH, BPFAST_HN_CONTENT_LENGTH},
		{"Content-Length", BPFAST_HN_CONTENT_LENGTH, BPFAST_HN_CONTENT_LENGTH},
		{"TRANSFER-ENCODING", BPFAST_HN_TRANSFER_ENCODING, BPFAST_HN_TRANSFER_ENCODING},
		{"Connection", BPFAST_HN_CONNECTION, BPFAST_HN_CONNECTION},
		{"Upgrade", BPFAST_HN_UPGRADE, BPFAST_HN_UPGRADE},
		{"Expect", BPFAST_HN_EXPECT, BPFAST_HN_EXPECT},
		{"Host", BPFAST_HN_HOST, BPFAST_HN_HOST},
		{"x-ONE", BPFAST_HN_OTHER | 1 << 8, BPFAST_HN_OTHER},
		{"x-two", BPFAST_HN_OTHER | 2 << 8, BPFAST_HN_OTHER},
		{"x-on", BPFAST_HN_OTHER, BPFAST_HN_OTHER},
		{"x-ones", BPFAST_HN_OTHER, BPFAST_HN_OTHER},
		{"a", BPFAST_HN_OTHER, BPFAST_HN_OTHER},
		{"!#$%&'*+-.^_`|~09azAZ", BPFAST_HN_OTHER, BPFAST_HN_OTHER},
		{"", BPFAST_HN_INVALID, BPFAST_HN_INVALID},
		{"content-length ", BPFAST_HN_INVALID, BPFAST_HN_INVALID},
		{" content-length", BPFAST_HN_INVALID, BPFAST_HN_INVALID},
		{"content\tlength", BPFAST_HN_INVALID, BPFAST_HN_INVALID},
		{"a:b", BPFAST_HN_INVALID, BPFAST_HN_INVALID},
		{"a\xff", BPFAST_HN_INVALID, BPFAST_HN_INVALID},
		{"\x01", BPFAST_HN_INVALID, BPFAST_HN_INVALID},
		{"x-one\x7f", BPFAST_HN_INVALID, BPFAST_HN_INVALID},
		{"content_length", BPFAST_HN_INVALID, BPFAST_HN_OTHER},
		{"Transfer_Encoding", BPFAST_HN_INVALID, BPFAST_HN_OTHER},
		{"X_One", BPFAST_HN_INVALID, BPFAST_HN_OTHER},
		{"x_onez", BPFAST_HN_OTHER, BPFAST_HN_OTHER},
		{"y_z", BPFAST_HN_OTHER, BPFAST_HN_OTHER},
	};
	struct tables t;
	uint32_t response;

	(void)unused;
	emit(&t, &rule, 1);
	assert_int_equal(t.rs.header_count, 2);
	assert_int_equal(bf_response_names_emit(&t.blob, &response, NULL), 0);
	check_dfa(&t, response, true);
	for (size_t i = 0; i < COUNT(cases); i++) {
		if (walk(&t, t.rs.name_dfa_off, cases[i].name) != cases[i].value ||
		    walk(&t, response, cases[i].name) != cases[i].response)
			fail_msg("\"%s\"", cases[i].name);
	}
	/* Each byte alone: a token of RFC 9110, section 5.6.2, or not. */
	for (int b = 1; b < 256; b++) {
		char name[] = {'a', (char)b, 0};
		bool token = strchr("!#$%&'*+-.^_`|~", b) || (b >= '0' && b <= '9') ||
			     (b >= 'a' && b <= 'z') || (b >= 'A' && b <= 'Z');

		assert_int_equal(walk(&t, response, name),
				 token ? BPFAST_HN_OTHER : BPFAST_HN_INVALID);
	}
	bf_blob_free(&t.blob);
}

static void test_reply(void **unused)
{
	static const struct {
		const char *reply;
		size_t len;
		uint8_t word[2]; /* the sum as it lies in memory */
	} cases[] = {
		{"", 0, {0, 0}},
		{"\x12\x34", 2, {0x12, 0x34}},
		{"\x12", 2, {0x12, ' '}},
		/* RFC 1071, section 3, whose sum is ddf2 in network byte order. */
		{"\x00\x01\xf2\x03\xf4\xf5\xf6\xf7", 8, {0xdd, 0xf2}},
		{"\xff\xff\xff\xff", 4, {0xff, 0xff}},
	};
	char big[BPFAST_REPLY_MAX + 1];
	struct bpfast_image_ruleset rs;
	struct bf_error err;
	struct bf_blob blob;

	(void)unused;
	for (size_t i = 0; i < COUNT(cases); i++) {
		size_t len = cases[i].len == 2 && !cases[i].reply[1] ? 1 : cases[i].len;

		blob = new_blob();
		assert_int_equal(
			bf_ruleset_emit(&blob, NULL, 0, cases[i].reply, len, NULL, &rs, NULL, &err),
			0);
		assert_int_equal(rs.reply_len, cases[i].len);
		assert_memory_equal(&rs.reply_sum, cases[i].word, 2);
		if (len)
			assert_memory_equal(blob.data + rs.reply_off, cases[i].reply, len);
		if (len & 1)
			assert_int_equal(blob.data[rs.reply_off + len], ' ');
		bf_blob_free(&blob);
	}
	memset(big, 'x', sizeof(big));
	blob = new_blob();
	assert_int_equal(bf_ruleset_emit(&blob, NULL, 0, big, sizeof(big), NULL, &rs, NULL, &err),
			 -E2BIG);
	assert_non_null(strstr(err.msg, "512"));
	bf_blob_free(&blob);
	memset(&blob, 0, sizeof(blob));
	assert_int_equal(bf_ruleset_emit(&blob, NULL, 0, NULL, 0, NULL, &rs, NULL, &err), -EINVAL);
	blob = new_blob();
	assert_int_equal(
		bf_ruleset_emit(&blob, NULL, 0, big, sizeof(big) - 1, NULL, &rs, NULL, &err), 0);
	bf_blob_free(&blob);
}

static void expect_refusal(const struct bf_http_rule *rules, size_t n, int code, size_t where,
			   const char *says)
{
	struct bpfast_image_ruleset rs;
	struct bf_error err = {{0}};
	struct bf_blob blob = new_blob();
	size_t bad = 999;
	int ret = bf_ruleset_emit(&blob, rules, n, NULL, 0, NULL, &rs, &bad, &err);

	if (ret != code || bad != where || !strstr(err.msg, says))
		fail_msg("%d at rule %zu: %s", ret, bad, err.msg);
	bf_blob_free(&blob);
}

static void test_refusals(void **unused)
{
	struct bf_http_rule *many = calloc(BPFAST_RULES_MAX + 1, sizeof(*many));
	struct bf_http_header slots[BPFAST_HEADER_SLOTS + 1];
	char names[BPFAST_HEADER_SLOTS + 1][8];
	struct bf_http_rule rules[3] = {{.path = S("/ok")}, {.path = S("/ok")}, {0}};
	struct bf_http_header header = {S("bad name"), NULL, BF_HEADER_PRESENT};

	(void)unused;
	assert_non_null(many);
	expect_refusal(many, BPFAST_RULES_MAX + 1, -E2BIG, 0, "16384");
	free(many);
	rules[2].path = S("/api/(x");
	expect_refusal(rules, 3, -EINVAL, 2, "path \"/api/(x\": ( at offset 5");
	rules[2].path = S("/caf\xc3\xa9");
	expect_refusal(rules, 3, -EINVAL, 2, "offset 4: it can never match");
	rules[2].path = S("/ok");
	rules[2].method = S("(?=GET)");
	expect_refusal(rules, 3, -EINVAL, 2, "method \"(?=GET)\": look-ahead");
	rules[2].method = NULL;
	rules[2].host = S("a\\1");
	expect_refusal(rules, 3, -EINVAL, 2, "host \"a\\1\": back-reference \\1 at offset 1");
	rules[2].host = NULL;
	rules[1].path = S("(a|b)*a(a|b){30}");
	expect_refusal(rules, 3, -E2BIG, 1, "path \"(a|b)*a(a|b){30}\"");
	rules[1].path = NULL;
	rules[1].headers = &header;
	rules[1].header_count = 1;
	expect_refusal(rules, 3, -EINVAL, 1, "header name \"bad name\"");
	header.name = S("");
	expect_refusal(rules, 3, -EINVAL, 1, "header name \"\"");
	header.name = S("Content-Length");
	expect_refusal(rules, 3, -EINVAL, 1, "where a message ends");
	header.name = S("transfer-ENCODING");
	expect_refusal(rules, 3, -EINVAL, 1, "where a message ends");
	header.name = S("x");
	header.op = BF_HEADER_EQUALS;
	expect_refusal(rules, 3, -EINVAL, 1, "has none");
	for (size_t i = 0; i < COUNT(slots); i++) {
		snprintf(names[i], sizeof(names[i]), "x-%zu", i);
		slots[i] = (struct bf_http_header){names[i], NULL, BF_HEADER_PRESENT};
	}
	rules[1].headers = slots;
	rules[1].header_count = COUNT(slots);
	expect_refusal(rules, 3, -E2BIG, 1, "header \"x-16\"");
}

/* As many header names as there are slots. */
static void test_all_slots(void **unused)
{
	struct bf_http_header slots[BPFAST_HEADER_SLOTS];
	struct bf_http_rule rule = {.headers = slots, .header_count = COUNT(slots)};
	char names[BPFAST_HEADER_SLOTS][8];
	struct tables t;

	(void)unused;
	for (size_t i = 0; i < COUNT(slots); i++) {
		snprintf(names[i], sizeof(names[i]), "x-%zu", i);
		slots[i] = (struct bf_http_header){names[i], NULL, BF_HEADER_PRESENT};
	}
	emit(&t, &rule, 1);
	for (size_t i = 0; i < COUNT(slots); i++)
		assert_int_equal(walk(&t, t.rs.name_dfa_off, names[i]), (i + 1) << 8);
	bf_blob_free(&t.blob);
}

/* Ten thousand rules must compile, and judge like ten. */
static void test_many(void **unused)
{
	enum { N = 10000 };
	struct bf_http_rule *rules = calloc(N, sizeof(*rules));
	char(*paths)[64] = calloc(N, sizeof(*paths));
	struct request r = {.method = "GET", .query = "", .host = "h"};
	struct tables t;
	char path[64];

	(void)unused;
	assert_non_null(rules);
	assert_non_null(paths);
	for (int i = 0; i < N; i++) {
		snprintf(paths[i], sizeof(paths[i]), "/api/v%d/tenants/%d/items/[0-9]+(/detail)?",
			 i % 7, i);
		rules[i].path = paths[i];
		rules[i].method = S(i % 2 ? "GET" : "POST");
		rules[i].ref = (uint32_t)i * 3;
	}
	emit(&t, rules, N);
	printf("%zu bytes for %d rules\n", t.blob.len, N);
	for (int i = 0; i < N; i += 7) {
		snprintf(path, sizeof(path), "/api/v%d/tenants/%d/items/77/detail", i % 7, i);
		r.path = path;
		assert_int_equal(tables_allow(&t, &r), i % 2);
		path[5]++;
		assert_int_equal(((const uint32_t *)at(&t, t.rs.rule_ref_off))[i], i * 3);
	}
	bf_blob_free(&t.blob);
	free(rules);
	free(paths);
}

static void test_blob(void **unused)
{
	struct bf_blob blob = {0};
	uint32_t off;

	(void)unused;
	assert_int_equal(bf_blob_append(&blob, "", 0, &off), 0);
	assert_int_equal(off, 0);
	assert_int_equal(bf_blob_append(&blob, "abc", 3, &off), 0);
	assert_int_equal(off, 0);
	assert_int_equal(bf_blob_append(&blob, NULL, 9000, &off), 0);
	assert_int_equal(off, 8);
	assert_int_equal(bf_blob_append(&blob, "xy", 2, &off), 0);
	assert_int_equal(off, 9008);
	assert_int_equal(blob.len, 9016);
	assert_memory_equal(blob.data, "abc\0\0\0\0\0\0", 9);
	assert_memory_equal(blob.data + 9008, "xy\0\0\0\0\0\0", 8);
	assert_int_equal(bf_blob_append(&blob, NULL, (size_t)1 << 31, &off), -E2BIG);
	assert_int_equal(bf_blob_append(&blob, NULL, SIZE_MAX, &off), -E2BIG);
	assert_int_equal(blob.len, 9016);
	bf_blob_free(&blob);
	assert_null(blob.data);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blob),	 cmocka_unit_test(test_which_rules),
		cmocka_unit_test(test_random),	 cmocka_unit_test(test_names),
		cmocka_unit_test(test_tails),	 cmocka_unit_test(test_reply),
		cmocka_unit_test(test_refusals), cmocka_unit_test(test_all_slots),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
