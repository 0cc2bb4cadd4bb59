// SPDX-License-Identifier: Apache-2.0
/* Objects from a directory and from commands: one truth, all or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/policies.h"

#define POLICY(name)                                                                               \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: " name            \
	", namespace: shop}\nspec: {podSelector: {}, policyTypes: [Ingress]}\n"
#define NAMESPACE "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: a}}\n"

static struct bf_sources sources_of(size_t n, const char *const (*files)[2])
{
	json_t *array = json_array();
	struct bf_sources s;
	struct bf_error err;
	size_t i;

	for (i = 0; i < n; i++)
		json_array_append_new(
			array, json_pack("{s:s, s:s}", "file", files[i][0], "text", files[i][1]));
	assert_int_equal(bf_sources_from_json(array, &s, &err), 0);
	json_decref(array);
	return s;
}

static int objects_of(size_t n, const char *const (*files)[2], struct bf_objects *out,
		      struct bf_flaws *flaws, json_t **touched)
{
	struct bf_sources s = sources_of(n, files);
	struct bf_error err;
	int r = bf_sources_objects(&s, out, flaws, touched, &err);

	bf_sources_free(&s);
	return r;
}

static void keys_are_told(void **state)
{
	static const char *const files[][2] = {{"a", POLICY("p")}, {"b", NAMESPACE}};
	struct bf_objects o = {0};
	struct bf_flaws flaws = {0};
	json_t *touched = NULL;

	(void)state;
	assert_int_equal(objects_of(2, files, &o, &flaws, &touched), 0);
	assert_null(flaws.list);
	assert_int_equal(json_array_size(touched), 2);
	assert_true(bf_objects_has(&o, "NetworkPolicy/shop/p"));
	assert_true(bf_objects_has(&o, "Namespace/shop"));
	assert_false(bf_objects_has(&o, "NetworkPolicy/shop/q"));
	json_decref(touched);
	bf_objects_free(&o);
}

/* An object with `specs` is several policies, and one object. */
static void specs_are_one_object(void **state)
{
	static const char *const files[][2] = {
		{"a.yaml", "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
			   "metadata: {name: p, namespace: shop}\nspecs:\n"
			   "- {endpointSelector: {}, ingress: [{}]}\n"
			   "- {endpointSelector: {}, egress: [{}]}\n"},
		{"b.yaml", POLICY("p")},
	};
	struct bf_objects o = {0}, back = {0};
	struct bf_flaws flaws = {0};
	json_t *touched = NULL, *saved;
	struct bf_error err;

	(void)state;
	assert_int_equal(objects_of(2, files, &o, &flaws, &touched), 0);
	assert_null(flaws.list);
	assert_int_equal(o.policy_count, 3);
	assert_int_equal(json_array_size(touched), 2);
	saved = bf_objects_to_json(&o);
	assert_int_equal(json_array_size(saved), 2);
	assert_int_equal(bf_objects_from_json(saved, &back, &err), 0);
	assert_int_equal(back.policy_count, 3);
	json_decref(saved);
	json_decref(touched);
	bf_objects_free(&o);
	bf_objects_free(&back);
}

static void a_double_is_a_flaw(void **state)
{
	static const char *const files[][2] = {{"a.yaml", POLICY("p")}, {"b.yaml", POLICY("p")}};
	struct bf_objects o = {0};
	struct bf_flaws flaws = {0};
	const char *message;

	(void)state;
	assert_int_equal(objects_of(2, files, &o, &flaws, NULL), -EINVAL);
	assert_int_equal(json_array_size(flaws.list), 1);
	message = json_string_value(json_object_get(json_array_get(flaws.list, 0), "message"));
	assert_non_null(strstr(message, "a.yaml"));
	assert_int_equal(o.policy_count, 0);
	json_decref(flaws.list);
	bf_objects_free(&o);
}

static void one_flaw_refuses_all(void **state)
{
	static const char *const good[][2] = {{"a", POLICY("p")}};
	static const char *const mixed[][2] = {
		{"b", POLICY("q")}, {"c", "kind: Nonsense\n"}, {"d", "also: nonsense\n"}};
	struct bf_objects o = {0};
	struct bf_flaws flaws = {0};

	(void)state;
	assert_int_equal(objects_of(1, good, &o, &flaws, NULL), 0);
	assert_int_equal(objects_of(3, mixed, &o, &flaws, NULL), -EINVAL);
	/* Both flawed files are told, not only the first. */
	assert_true(json_array_size(flaws.list) >= 2);
	assert_int_equal(o.policy_count, 1);
	assert_false(bf_objects_has(&o, "NetworkPolicy/shop/q"));
	json_decref(flaws.list);
	bf_objects_free(&o);
}

static void directory_and_commands_do_not_mix(void **state)
{
	static const char *const dir[][2] = {{"a", POLICY("p")}, {"n", NAMESPACE}};
	static const char *const other[][2] = {{"b", POLICY("q")}};
	struct bf_objects d = {0}, same = {0}, q = {0}, merged;
	struct bf_flaws flaws = {0};
	struct bf_error err;

	(void)state;
	assert_int_equal(objects_of(2, dir, &d, &flaws, NULL), 0);
	assert_int_equal(objects_of(1, dir, &same, &flaws, NULL), 0);
	assert_int_equal(objects_of(1, other, &q, &flaws, NULL), 0);
	assert_int_equal(bf_objects_merge(&merged, &d, &same, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "NetworkPolicy/shop/p"));
	assert_int_equal(bf_objects_merge(&merged, &d, &q, &err), 0);
	assert_int_equal(merged.policy_count, 2);
	assert_int_equal(merged.namespace_count, 1);
	/* Deep: the parts may go first. */
	bf_objects_free(&d);
	bf_objects_free(&q);
	assert_true(bf_objects_has(&merged, "NetworkPolicy/shop/q"));
	bf_objects_free(&merged);
	bf_objects_free(&same);
}

/* What the state file keeps is what comes back. */
static void saved_objects_come_back(void **state)
{
	static const char *const files[][2] = {{"a", POLICY("p")}, {"b", NAMESPACE}};
	struct bf_objects o = {0}, back = {0};
	struct bf_flaws flaws = {0};
	struct bf_error err = {""};
	json_t *saved, *again;

	(void)state;
	assert_int_equal(objects_of(2, files, &o, &flaws, NULL), 0);
	saved = bf_objects_to_json(&o);
	assert_int_equal(json_array_size(saved), 2);
	if (bf_objects_from_json(saved, &back, &err))
		fail_msg("%s", err.msg);
	again = bf_objects_to_json(&back);
	assert_true(json_equal(saved, again));
	assert_int_equal(back.namespaces[0].labels.n, o.namespaces[0].labels.n);
	json_decref(saved);
	json_decref(again);
	bf_objects_free(&o);
	bf_objects_free(&back);
}

static void put(const char *dir, const char *name, const char *text)
{
	char path[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(path, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
}

static void a_directory_is_read(void **state)
{
	char dir[] = "/tmp/bpfast-policies-XXXXXX", path[200];
	static const char *const names[] = {"b.yaml", "a.json", "c.yml", "no.txt", ".hidden.yaml"};
	struct bf_sources s, same;
	struct bf_error err;
	size_t i;

	(void)state;
	assert_non_null(mkdtemp(dir));
	for (i = 0; i < 5; i++)
		put(dir, names[i], "{}");
	snprintf(path, sizeof(path), "%s/sub.yaml", dir);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(bf_sources_read(dir, &s, &err), 0);
	assert_int_equal(s.n, 3);
	assert_non_null(strstr(s.v[0].file, "/a.json"));
	assert_non_null(strstr(s.v[2].file, "/c.yml"));
	assert_int_equal(bf_sources_read(dir, &same, &err), 0);
	assert_true(bf_sources_equal(&s, &same));
	bf_sources_free(&same);
	put(dir, "b.yaml", "{ }");
	assert_int_equal(bf_sources_read(dir, &same, &err), 0);
	assert_false(bf_sources_equal(&s, &same));
	bf_sources_free(&same);
	/* A pipe must not hang the agent. */
	rmdir(path);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(bf_sources_read(dir, &same, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "not a regular file"));
	unlink(path);
	for (i = 0; i < 5; i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, names[i]);
		unlink(path);
	}
	rmdir(dir);
	assert_int_equal(bf_sources_read(dir, &same, &err), -ENOENT);
	bf_sources_free(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_are_told),
		cmocka_unit_test(specs_are_one_object),
		cmocka_unit_test(a_double_is_a_flaw),
		cmocka_unit_test(one_flaw_refuses_all),
		cmocka_unit_test(directory_and_commands_do_not_mix),
		cmocka_unit_test(saved_objects_come_back),
		cmocka_unit_test(a_directory_is_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
