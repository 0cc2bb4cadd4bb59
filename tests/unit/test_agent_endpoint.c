// SPDX-License-Identifier: Apache-2.0
/* Endpoints from what a command says, and the registry that holds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <string.h>

#include "agent/endpoints.h"

static int from(const char *json, struct bf_local **out, struct bf_error *err)
{
	json_t *o = json_loads(json, 0, NULL);
	int r;

	assert_non_null(o);
	*out = NULL;
	r = bf_local_from_json(o, out, err);
	json_decref(o);
	return r;
}

static void round_trip(void **state)
{
	static const char text[] =
		"{\"name\": \"web-0\", \"namespace\": \"shop\", \"iface\": \"veth0\", \"ifindex\": "
		"7,"
		" \"slot\": 3, \"ips\": [\"10.0.0.7\", \"fd00::7\"], \"labels\": {\"app\": \"web\","
		" \"x.io/y\": \"\"}, \"ports\": [{\"name\": \"http\", \"port\": 80, \"protocol\":"
		" \"TCP\"}], \"mac\": \"02:00:00:00:00:07\", \"container\": {\"id\": \"abc.1\","
		" \"ifname\": \"eth0\", \"network\": \"lab\", \"pod_uid\": \"1-2\"}}";
	json_t *want = json_loads(text, 0, NULL), *got;
	struct bf_error err = {""};
	struct bf_local *l;

	(void)state;
	if (from(text, &l, &err))
		fail_msg("%s", err.msg);
	got = bf_local_to_json(l);
	assert_true(json_equal(got, want));
	json_decref(got);
	json_decref(want);
	bf_local_free(l);
}

static void refused(void **state)
{
	static const char *const rows[][2] = {
		{"{\"iface\": \"v\"}", "name"},
		{"{\"name\": \"a b\", \"iface\": \"v\"}", "name"},
		{"{\"name\": \"../x\", \"iface\": \"v\"}", "name"},
		{"{\"name\": \"a\\u001b\", \"iface\": \"v\"}", "name"},
		{"{\"name\": \"a\", \"namespace\": \"x/y\", \"iface\": \"v\"}", "namespace"},
		{"{\"name\": \"a\"}", "--iface"},
		{"{\"name\": \"a\", \"iface\": \"0123456789abcdef\"}", "--iface"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ips\": [\"10.0.0.1/24\"]}", "10.0.0.1/24"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ips\": [7]}", "address"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ips\": [\"0.0.0.0\"]}",
		 "0.0.0.0 cannot be"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ips\": [\"127.1.2.3\"]}", "cannot be"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ips\": [\"10.0.0.1\", \"239.0.0.1\"]}",
		 "239"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ips\": [\"255.255.255.255\"]}",
		 "cannot be"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ips\": [\"::\"]}", "cannot be"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ips\": [\"::1\"]}", "cannot be"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ips\": [\"ff02::1\"]}", "cannot be"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ips\": [\"::a\",\"::2\",\"::3\",\"::4\","
		 "\"::5\",\"::6\",\"::7\",\"::8\",\"::9\"]}",
		 "at most 8"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"labels\": {\"k\": \"a;b\"}}", "value"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"labels\": {\"k k\": \"a\"}}", "key"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"labels\": "
		 "{\"io.kubernetes.pod.namespace\": "
		 "\"kube-system\"}}",
		 "--namespace"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ports\": [{\"name\": \"p\", \"port\": 0}]}",
		 "65535"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"ports\": [{\"name\": \"p\", \"port\": 1, "
		 "\"protocol\": \"ICMP\"}]}",
		 "TCP, UDP or SCTP"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"container\": {\"id\": \"-x\"}}",
		 "container id"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"container\": {\"ifname\": \"eth0\"}}",
		 "container id"},
		{"{\"name\": \"a\", \"iface\": \"v\", \"container\": {\"id\": \"x\", \"ifname\": "
		 "\"e 0\"}}",
		 "container ifname"},
	};
	struct bf_local *l;
	struct bf_error err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		err.msg[0] = 0;
		assert_true(from(rows[i][0], &l, &err) < 0);
		if (!strstr(err.msg, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], err.msg);
	}
}

static struct bf_local *make(const char *name, const char *ns, int ifindex, int slot,
			     const char *ip)
{
	json_t *o = json_pack("{s:s, s:s, s:s, s:i, s:i, s:[s]}", "name", name, "namespace", ns,
			      "iface", "v", "ifindex", ifindex, "slot", slot, "ips", ip);
	struct bf_error err;
	struct bf_local *l;

	assert_int_equal(bf_local_from_json(o, &l, &err), 0);
	json_decref(o);
	return l;
}

static void registry(void **state)
{
	struct bf_endpoints all = {0};
	struct bf_local *web = make("web", "shop", 1, 0, "10.0.0.1"), *l;
	struct bf_error err;

	(void)state;
	assert_int_equal(bf_endpoints_slot(&all, &err), 0);
	assert_int_equal(bf_endpoints_add(&all, web, &err), 0);
	assert_int_equal(bf_endpoints_slot(&all, &err), 1);

	l = make("web", "shop", 2, 1, "10.0.0.2"); /* same name */
	assert_int_equal(bf_endpoints_add(&all, l, &err), -EEXIST);
	bf_local_free(l);
	l = make("b", "shop", 1, 1, "10.0.0.2"); /* same interface */
	assert_int_equal(bf_endpoints_add(&all, l, &err), -EEXIST);
	bf_local_free(l);
	l = make("b", "shop", 2, 1, "10.0.0.1"); /* same address */
	assert_int_equal(bf_endpoints_add(&all, l, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "10.0.0.1"));
	bf_local_free(l);
	l = make("b", "shop", 2, 0, "10.0.0.2"); /* same slot */
	assert_int_equal(bf_endpoints_add(&all, l, &err), -EEXIST);
	bf_local_free(l);

	l = make("web", "other", 2, 1, "10.0.0.2");
	assert_int_equal(bf_endpoints_add(&all, l, &err), 0);
	assert_null(bf_endpoints_find(&all, "web", &err));
	assert_non_null(strstr(err.msg, "more than one"));
	assert_ptr_equal(bf_endpoints_find(&all, "shop/web", &err), web);
	assert_null(bf_endpoints_find(&all, "sho/web", &err));
	bf_endpoints_remove(&all, web);
	bf_local_free(web);
	assert_ptr_equal(bf_endpoints_find(&all, "web", &err), l);
	assert_int_equal(bf_endpoints_slot(&all, &err), 0); /* free again */
	assert_ptr_equal(bf_endpoints_by_ifindex(&all, 2), l);
	assert_null(bf_endpoints_by_ifindex(&all, 1));
	bf_endpoints_free(&all);
}

static void labels(void **state)
{
	json_t *good = json_pack("{s:s, s:n}", "tier", "front", "app");
	json_t *bad = json_pack("{s:n, s:s}", "tier", "k", "not valid");
	struct bf_local *l = make("web", "shop", 1, 0, "10.0.0.1");
	json_t *first = json_pack("{s:s}", "app", "web");
	struct bf_error err;

	(void)state;
	assert_int_equal(bf_labels_change(&l->e.labels, first, &err), 0);
	assert_int_equal(bf_labels_change(&l->e.labels, good, &err), 0);
	assert_int_equal(l->e.labels.n, 1);
	assert_string_equal(l->e.labels.v[0].key, "tier");
	/* All or nothing. */
	assert_int_equal(bf_labels_change(&l->e.labels, bad, &err), -EINVAL);
	assert_int_equal(l->e.labels.n, 1);
	assert_string_equal(l->e.labels.v[0].value, "front");
	bf_local_free(l);
	json_decref(first);
	json_decref(good);
	json_decref(bad);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(round_trip),
		cmocka_unit_test(refused),
		cmocka_unit_test(registry),
		cmocka_unit_test(labels),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
