// SPDX-License-Identifier: Apache-2.0
/* Which endpoints a selector selects. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "policy/selector.h"

#define NS_TEAM BF_KEY_NS_LABEL_PREFIX "team"
#define NS_NAME BF_KEY_NS_LABEL_PREFIX "kubernetes.io/metadata.name"

static struct bf_label own[] = {
	{"app", "web"},
	{"tier", ""},
	/* What a workload might try: none of these may count. */
	{BF_KEY_NAMESPACE, "admin"},
	{NS_TEAM, "admin"},
};
static struct bf_label ns_own[] = {
	{"team", "blue"},
	{"kubernetes.io/metadata.name", "admin"},
};
static const struct bf_labels labels = {own, 4}, ns_labels = {ns_own, 2};

static const struct {
	const char *what;
	const char *key;
	enum bf_selector_op op;
	const char *a, *b;
	bool selects;
} rows[] = {
	{"in, there", "app", BF_SEL_IN, "web", NULL, true},
	{"in, the second of two", "app", BF_SEL_IN, "db", "web", true},
	{"in, another value", "app", BF_SEL_IN, "db", NULL, false},
	{"in, value is no prefix", "app", BF_SEL_IN, "we", NULL, false},
	{"in, absent label", "zone", BF_SEL_IN, "web", NULL, false},
	{"in, no value at all", "app", BF_SEL_IN, NULL, NULL, false},
	{"in, empty value", "tier", BF_SEL_IN, "", NULL, true},
	{"in, empty value of an absent label", "zone", BF_SEL_IN, "", NULL, false},
	{"not in, another value", "app", BF_SEL_NOT_IN, "db", NULL, true},
	{"not in, there", "app", BF_SEL_NOT_IN, "db", "web", false},
	{"not in, absent label", "zone", BF_SEL_NOT_IN, "web", NULL, true},
	{"exists", "app", BF_SEL_EXISTS, NULL, NULL, true},
	{"exists, empty value", "tier", BF_SEL_EXISTS, NULL, NULL, true},
	{"exists, absent", "zone", BF_SEL_EXISTS, NULL, NULL, false},
	{"exists not", "zone", BF_SEL_NOT_EXISTS, NULL, NULL, true},
	{"exists not, there", "app", BF_SEL_NOT_EXISTS, NULL, NULL, false},
	{"namespace", BF_KEY_NAMESPACE, BF_SEL_IN, "shop", NULL, true},
	{"namespace by own label", BF_KEY_NAMESPACE, BF_SEL_IN, "admin", NULL, false},
	{"namespace label", NS_TEAM, BF_SEL_IN, "blue", NULL, true},
	{"namespace label by own label", NS_TEAM, BF_SEL_IN, "admin", NULL, false},
	{"namespace label is no own label", "team", BF_SEL_EXISTS, NULL, NULL, false},
	{"metadata.name is the name", NS_NAME, BF_SEL_IN, "shop", NULL, true},
	{"metadata.name of the object counts nothing", NS_NAME, BF_SEL_IN, "admin", NULL, false},
};

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *values[] = {(char *)rows[i].a, (char *)rows[i].b};
		struct bf_requirement req = {.key = (char *)rows[i].key,
					     .op = rows[i].op,
					     .values = values,
					     .n = rows[i].b   ? 2
						  : rows[i].a ? 1
							      : 0};
		struct bf_selector s = {&req, 1};

		if (bf_selector_matches(&s, "shop", &labels, &ns_labels) != rows[i].selects)
			fail_msg("%s: expected %d", rows[i].what, rows[i].selects);
	}
}

static void test_all_must_hold(void **state)
{
	char *web[] = {(char *)"web"}, *db[] = {(char *)"db"};
	struct bf_requirement reqs[] = {
		{(char *)"app", BF_SEL_IN, web, 1},
		{(char *)"app", BF_SEL_NOT_IN, db, 1},
		{(char *)"zone", BF_SEL_EXISTS, NULL, 0},
	};

	(void)state;
	assert_true(bf_selector_matches(&(struct bf_selector){reqs, 0}, "shop", &labels, NULL));
	assert_true(bf_selector_matches(&(struct bf_selector){NULL, 0}, NULL, NULL, NULL));
	assert_true(bf_selector_matches(&(struct bf_selector){reqs, 2}, "shop", &labels, NULL));
	assert_false(bf_selector_matches(&(struct bf_selector){reqs, 3}, "shop", &labels, NULL));
}

static void test_nothing_known(void **state)
{
	char *shop[] = {(char *)"shop"};
	struct bf_requirement req = {(char *)NS_NAME, BF_SEL_IN, shop, 1};
	struct bf_selector s = {&req, 1};

	(void)state;
	/* The name of the namespace needs no Namespace object. */
	assert_true(bf_selector_matches(&s, "shop", NULL, NULL));
	assert_false(bf_selector_matches(&s, "other", NULL, NULL));
	assert_false(bf_selector_matches(&s, NULL, NULL, NULL));
	req.key = (char *)NS_TEAM;
	assert_false(bf_selector_matches(&s, "shop", NULL, NULL));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_all_must_hold),
		cmocka_unit_test(test_nothing_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
