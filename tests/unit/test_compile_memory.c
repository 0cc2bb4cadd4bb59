// SPDX-License-Identifier: Apache-2.0
/* The end of memory, at every allocation of a compile: an error each time, and nothing lost. */
#include "compile_world.h"
#include "failing_malloc.h"

#include "policy/explain.h"

static struct tw *shop(void)
{
	struct tw *w = tw_new();
	struct bf_policy *p = tw_policy(w, "shop", "web", "app=web");

	tw_namespace(w, "shop", "team=red");
	tw_port_name(w, tw_endpoint(w, "shop", "web", "app=web,tier=x", "10.0.0.1 fd00::1", 0),
		     "http", IPPROTO_TCP, 8080);
	tw_endpoint(w, "shop", "cart", "app=cart", "10.0.0.2", 1);
	tw_node(w, "10.0.0.254");
	tw_rule(w, p, TW_INGRESS, "app=cart 192.0.2.0/24-192.0.2.8/29", "@http 80-90",
		"GET /a|POST /b");
	tw_rule(w, p, TW_INGRESS | TW_DENY, "ip:10.0.0.0/8", "85", NULL);
	tw_rule(w, p, TW_EGRESS, "app=cart", "@http 1", NULL);
	p = tw_policy(w, "", "base", "");
	tw_rule(w, p, TW_INGRESS, "{} 2001:db8::/32", "80", "GET /c");
	tw_rule(w, p, TW_INGRESS, "all", "80", NULL);
	tw_policy(w, "shop", "audit", "")->audit = true;
	w->policies[2].isolates_egress = true;
	return w;
}

static void test_compile(void **state)
{
	struct tw *w = shop();
	struct bf_error err;
	long n = 0;
	int ret;

	(void)state;
	do {
		memset(&w->image, 0xff, sizeof(w->image));
		memset(&err, 0, sizeof(err));
		left = n++;
		ret = bf_image_compile(&w->world, &w->image, &err);
		if (!ret && left < 0)
			fail_msg("allocation %ld failed, and nobody noticed", n);
		left = -1;
		if (!ret)
			break;
		assert_int_equal(ret, -ENOMEM);
		assert_string_not_equal(err.msg, "");
		/* Nothing is left behind that a caller would have to free. */
		assert_null(w->image.blob.data);
		assert_null(w->image.identities);
		assert_true(n < 100000);
	} while (ret);
	assert_true(n > 100);
	assert_int_equal(bf_image_check(w->image.blob.data, w->image.blob.len, &err), 0);
	tw_free(w);
}

static void test_explain(void **state)
{
	static const char head[] = "GET /a HTTP/1.1\r\nHost: x\r\n\r\n";
	struct tw *w = shop();
	struct bf_question q = {.from = &w->endpoints[1],
				.to = &w->endpoints[0],
				.protocol = IPPROTO_TCP,
				.port = 8080,
				.request = head,
				.request_len = sizeof(head) - 1};
	struct bf_answer answer;
	struct bf_error err;
	int ret;

	(void)state;
	tw_compile(w);
	for (long n = 0; n < 2; n++) {
		left = n;
		ret = bf_explain(&w->image, &q, &answer, &err);
		left = -1;
		assert_int_equal(ret, -ENOMEM);
	}
	assert_int_equal(bf_explain(&w->image, &q, &answer, &err), 0);
	tw_free(w);
}

/* Both compiles of the comparison, and the texts that it copies. */
static void test_explain_cilium(void **state)
{
	static const char head[] = "GET /z HTTP/1.1\r\nHost: x\r\n\r\n";
	struct tw *w = shop();
	struct bf_policy *p = tw_policy(w, "shop", "cancels", "app=web");
	struct bf_question q = {.from = &w->endpoints[1],
				.to = &w->endpoints[0],
				.protocol = IPPROTO_TCP,
				.port = 8080,
				.request = head,
				.request_len = sizeof(head) - 1};
	struct bf_cilium_answer cilium;
	struct bf_answer ours;
	struct bf_error err;
	long n = 0;
	int ret;

	(void)state;
	p->kind = BF_CILIUM_POLICY;
	tw_rule(w, p, TW_INGRESS, "app=cart", "8080", NULL);
	tw_rule(w, p, TW_EGRESS, "host", "1", NULL)->peers[0].remote_node = true;
	tw_compile(w);
	assert_int_equal(bf_explain(&w->image, &q, &ours, &err), 0);
	do {
		memset(&err, 0, sizeof(err));
		left = n++;
		ret = bf_explain_cilium(&w->world, &w->image, &q, &ours, &cilium, &err);
		if (!ret && left < 0)
			fail_msg("allocation %ld failed, and nobody noticed", n);
		left = -1;
		if (!ret)
			break;
		assert_int_equal(ret, -ENOMEM);
		assert_string_not_equal(err.msg, "");
		assert_null(cilium.egress);
		assert_null(cilium.ingress);
		assert_true(n < 100000);
	} while (ret);
	assert_true(n > 200);
	assert_int_equal(cilium.difference, BF_CILIUM_CANCELS);
	assert_string_equal(cilium.ingress, "CiliumNetworkPolicy\tshop\tcancels\tspec.ingress[0]");
	bf_cilium_answer_free(&cilium);
	tw_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compile),
		cmocka_unit_test(test_explain),
		cmocka_unit_test(test_explain_cilium),
	};

	return cmocka_run_group_tests_name("policy image, memory", tests, NULL, NULL);
}
