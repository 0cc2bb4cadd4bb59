// SPDX-License-Identifier: Apache-2.0
/* Explaining: both sides of a connection, and requests, by the kernel's own code. */
#include "compile_world.h"

#include "bpfast/reasons.h"
#include "policy/explain.h"

enum { WEB, CART };

/* cart may GET /a of web and, egress, anything but port 443. */
static struct tw *shop(void)
{
	struct tw *w = tw_new();
	struct bf_policy *p;

	tw_endpoint(w, "shop", "web", "app=web", "10.0.0.1 fd00::1", WEB);
	tw_endpoint(w, "shop", "cart", "app=cart", "fd00::2 10.0.0.2", CART);
	tw_endpoint(w, "shop", "far", "app=cart", "10.1.0.9", -1);
	tw_node(w, "10.0.0.254");
	tw_rule(w, tw_policy(w, "shop", "web", "app=web"), TW_INGRESS, "app=cart", "80 443",
		"GET /a|POST /b/[0-9]+");
	p = tw_policy(w, "shop", "cart", "app=cart");
	tw_rule(w, p, TW_EGRESS, "all", "any", NULL);
	tw_rule(w, p, TW_EGRESS | TW_DENY, "all", "443", NULL);
	tw_compile(w);
	return w;
}

static struct bf_question from_to(const struct tw *w, const char *from, const char *to,
				  uint16_t port, const char *request)
{
	struct bf_question q = {.protocol = IPPROTO_TCP,
				.port = port,
				.request = request,
				.request_len = request ? strlen(request) : 0};

	for (size_t i = 0; i < w->world.endpoint_count; i++) {
		if (!strcmp(w->endpoints[i].name, from))
			q.from = &w->endpoints[i];
		if (!strcmp(w->endpoints[i].name, to))
			q.to = &w->endpoints[i];
	}
	if (!strcmp(from, "node"))
		q.from_host = true;
	else if (!q.from)
		tw_addr(from, q.from_addr);
	if (!q.to)
		tw_addr(to, q.to_addr);
	return q;
}

static struct bf_answer explain(const struct tw *w, struct bf_question q)
{
	struct bf_answer answer;
	struct bf_error err = {0};

	if (bf_explain(&w->image, &q, &answer, &err))
		fail_msg("%s", err.msg);
	return answer;
}

static void expect(const struct tw *w, struct bf_question q, int verdict, int reason)
{
	struct bf_answer a = explain(w, q);

	assert_int_equal(a.verdict, verdict);
	assert_int_equal(a.reason, reason);
}

#define HEAD(line) line " HTTP/1.1\r\nHost: web\r\n\r\n"

static void test_requests(void **state)
{
	static const struct {
		const char *request;
		int reason;
		const char *rule; /* of the attribution */
	} rows[] = {
		{HEAD("GET /a"), BPFAST_R_NONE, "spec.ingress[0].rules.http[0]"},
		{HEAD("GET /a?x=1"), BPFAST_R_NONE, "spec.ingress[0].rules.http[0]"},
		{HEAD("POST /b//17"), BPFAST_R_NONE, "spec.ingress[0].rules.http[1]"},
		{HEAD("GET /%61"), BPFAST_R_NONE, "spec.ingress[0].rules.http[0]"},
		{HEAD("POST /b/17"), BPFAST_R_NONE, "spec.ingress[0].rules.http[1]"},
		{HEAD("POST /b/x"), BPFAST_R_HTTP_DENIED, "spec.ingress[0]"},
		{HEAD("POST /a"), BPFAST_R_HTTP_DENIED, "spec.ingress[0]"},
		{HEAD("get /a"), BPFAST_R_HTTP_DENIED, "spec.ingress[0]"},
		{HEAD("GET //a"), BPFAST_R_HTTP_TARGET, "spec.ingress[0]"},
		{HEAD("GET /x/../a"), BPFAST_R_HTTP_TARGET, "spec.ingress[0]"},
		{"GET /a HTTP/1.1\r\n\r\n", BPFAST_R_HTTP_HOST, "spec.ingress[0]"},
		{"\x16\x03\x01\x02", BPFAST_R_HTTP_TLS, "spec.ingress[0]"},
	};
	struct tw *w = shop();

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bf_answer a = explain(w, from_to(w, "cart", "web", 80, rows[i].request));

		assert_int_equal(a.reason, rows[i].reason);
		assert_int_equal(a.verdict, rows[i].reason ? BPFAST_V_DROPPED : BPFAST_V_FORWARDED);
		assert_int_equal(a.ingress.l4, BPFAST_D_HTTP);
		assert_string_equal(tw_ref(w, a.ingress.ref),
				    tw_fmt(w, "PayloadPolicy\tshop\tweb\t%s", rows[i].rule));
		assert_int_equal(a.egress.verdict, BPFAST_V_FORWARDED);
		assert_string_equal(tw_ref(w, a.egress.ref),
				    "PayloadPolicy\tshop\tcart\tspec.egress[0]");
	}
	/* Only the connection. */
	expect(w, from_to(w, "cart", "web", 80, NULL), BPFAST_V_FORWARDED, BPFAST_R_NONE);
	tw_free(w);
}

#define UPGRADE(line, more) line " HTTP/1.1\r\nHost: web\r\nUpgrade: websocket\r\n" more "\r\n"

static void test_tunnels(void **state)
{
	static const struct {
		const char *request;
		int tunnel;
	} rows[] = {
		{UPGRADE("GET /a", ""), BF_TUNNEL_UPGRADE},
		{UPGRADE("GET /a?x", "Connection: Upgrade\r\n"), BF_TUNNEL_UPGRADE},
		{HEAD("GET /a"), BF_TUNNEL_NONE},
		{UPGRADE("POST /b/1", ""), BF_TUNNEL_NONE}, /* the rule lets it be HTTP alone */
		{UPGRADE("GET /a", "Upgrade: websocket\r\n"), BF_TUNNEL_NONE},
		{UPGRADE("GET /z", ""), BF_TUNNEL_NONE},
		{"CONNECT db:1 HTTP/1.1\r\nHost: db:1\r\n\r\n", BF_TUNNEL_CONNECT},
	};
	struct tw *w = shop();
	struct bf_rule *rule = &w->policies[0].rules[0];

	(void)state;
	rule->http_rules[0].upgrade = tw_str(w, "websocket");
	rule->http_rules[2] = (struct bf_http_rule){.method = tw_str(w, "CONNECT"),
						    .upgrade = tw_str(w, "connect")};
	rule->http_rule_count = 3;
	tw_compile(w);
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		struct bf_answer a = explain(w, from_to(w, "cart", "web", 80, rows[i].request));

		assert_int_equal(a.tunnel, rows[i].tunnel);
		assert_int_equal(a.ingress.tunnel, rows[i].tunnel);
	}
	/* The sender's side has to let it too, where it judges requests. */
	tw_rule(w, &w->policies[1], TW_EGRESS, "app=web", "80", "GET /a");
	w->policies[1].rules[0] = w->policies[1].rules[2];
	tw_compile(w);
	assert_int_equal(explain(w, from_to(w, "cart", "web", 80, rows[0].request)).tunnel,
			 BF_TUNNEL_NONE);
	w->policies[1].rules[0].http_rules[0].upgrade = tw_str(w, ".*");
	w->policies[1].rules[2] = w->policies[1].rules[0];
	tw_compile(w);
	assert_int_equal(explain(w, from_to(w, "cart", "web", 80, rows[0].request)).tunnel,
			 BF_TUNNEL_UPGRADE);
	tw_free(w);
}

static void test_long_heads(void **state)
{
	struct tw *w = shop();
	struct bf_question q = from_to(w, "cart", "web", 80, NULL);

	(void)state;
	for (size_t len = 1000; len <= 40000; len += 3000) {
		size_t lines = len / 100;
		char *head = tw_alloc(w, lines * 102 + 200);
		int n = sprintf(head, "GET /a HTTP/1.1\r\nHost: web\r\n");

		for (size_t i = 0; i < lines; i++)
			n += sprintf(head + n, "X-%04zu: %-92s\r\n", i, "v");
		n += sprintf(head + n, "\r\n");
		q.request = head;
		q.request_len = (size_t)n;
		if (n <= BPFAST_HEAD_MAX)
			expect(w, q, BPFAST_V_FORWARDED, BPFAST_R_NONE);
		else
			expect(w, q, BPFAST_V_DROPPED, BPFAST_R_HTTP_HEAD_SIZE);
	}
	tw_free(w);
}

static void test_unfinished_head(void **state)
{
	struct tw *w = shop();
	struct bf_question q = from_to(w, "cart", "web", 80, "GET /a HTTP/1.1\r\nHost: web\r\n");
	struct bf_answer answer;
	struct bf_error err = {0};

	(void)state;
	assert_int_equal(bf_explain(&w->image, &q, &answer, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "does not end"));
	/* A line that no rule allows is refused before the head ends. */
	expect(w, from_to(w, "cart", "web", 80, "GET /z HTTP/1.1\r\nHost: web\r\n"),
	       BPFAST_V_DROPPED, BPFAST_R_HTTP_DENIED);
	tw_free(w);
}

static void test_two_sides(void **state)
{
	struct tw *w = shop();
	struct bf_answer a;

	(void)state;
	/* The sender's deny rule comes first; the receiver would have allowed. */
	a = explain(w, from_to(w, "cart", "web", 443, HEAD("GET /a")));
	assert_int_equal(a.verdict, BPFAST_V_DROPPED);
	assert_int_equal(a.reason, BPFAST_R_DENY_RULE);
	assert_int_equal(a.egress.reason, BPFAST_R_DENY_RULE);
	assert_int_equal(a.ingress.verdict, BPFAST_V_FORWARDED);
	assert_int_equal(a.egress.identity_local, a.ingress.identity_remote);
	assert_int_equal(a.ingress.identity_local, a.egress.identity_remote);
	a = explain(w, from_to(w, "cart", "web", 81, NULL));
	assert_int_equal(a.egress.verdict, BPFAST_V_FORWARDED);
	assert_int_equal(a.reason, BPFAST_R_POLICY_DENIED);
	/* A peer on another node is judged by that node. */
	a = explain(w, from_to(w, "far", "web", 80, HEAD("GET /a")));
	assert_false(a.egress.judged);
	assert_true(a.ingress.judged);
	assert_int_equal(a.verdict, BPFAST_V_FORWARDED);
	a = explain(w, from_to(w, "web", "far", 80, NULL));
	assert_true(a.egress.judged);
	assert_false(a.ingress.judged);
	tw_free(w);
}

static void test_addresses(void **state)
{
	struct tw *w = shop();
	struct bf_question q;
	struct bf_answer answer;
	struct bf_error err = {0};

	(void)state;
	expect(w, from_to(w, "203.0.113.7", "web", 80, NULL), BPFAST_V_DROPPED,
	       BPFAST_R_POLICY_DENIED);
	expect(w, from_to(w, "2001:db8::1", "web", 80, NULL), BPFAST_V_DROPPED,
	       BPFAST_R_POLICY_DENIED);
	expect(w, from_to(w, "10.1.0.9", "web", 80, NULL), BPFAST_V_FORWARDED, BPFAST_R_NONE);
	expect(w, from_to(w, "cart", "203.0.113.7", 81, NULL), BPFAST_V_FORWARDED, BPFAST_R_NONE);
	expect(w, from_to(w, "cart", "2001:db8::1", 443, NULL), BPFAST_V_DROPPED,
	       BPFAST_R_DENY_RULE);
	/* An IPv6 address of an endpoint, asked for by name and address. */
	q = from_to(w, "cart", "web", 80, NULL);
	tw_addr("fd00::1", q.to_addr);
	expect(w, q, BPFAST_V_FORWARDED, BPFAST_R_NONE);
	q = from_to(w, "far", "web", 80, NULL);
	tw_addr("fd00::1", q.to_addr);
	assert_int_equal(bf_explain(&w->image, &q, &answer, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "same family"));
	tw_free(w);
}

static void test_node(void **state)
{
	struct tw *w = shop();
	struct bf_answer a = explain(w, from_to(w, "node", "web", 9999, NULL));

	(void)state;
	assert_int_equal(a.verdict, BPFAST_V_FORWARDED);
	assert_int_equal(a.ingress.identity_remote, BPFAST_ID_HOST);
	assert_false(a.egress.judged);
	/* The node's address alone is nobody's pass. */
	a = explain(w, from_to(w, "10.0.0.254", "web", 80, NULL));
	assert_int_equal(a.verdict, BPFAST_V_DROPPED);
	assert_int_equal(a.ingress.identity_remote, BPFAST_ID_WORLD);
	a = explain(w, from_to(w, "cart", "10.0.0.254", 22, NULL));
	assert_int_equal(a.egress.identity_remote, BPFAST_ID_HOST);
	tw_free(w);
}

static void test_audit(void **state)
{
	struct tw *w = shop();

	(void)state;
	w->policies[0].audit = true;
	w->policies[1].audit = true;
	tw_compile(w);
	expect(w, from_to(w, "cart", "web", 80, HEAD("GET /z")), BPFAST_V_AUDIT,
	       BPFAST_R_HTTP_DENIED);
	expect(w, from_to(w, "cart", "web", 81, NULL), BPFAST_V_AUDIT, BPFAST_R_POLICY_DENIED);
	expect(w, from_to(w, "cart", "web", 443, HEAD("GET /z")), BPFAST_V_AUDIT,
	       BPFAST_R_DENY_RULE);
	expect(w, from_to(w, "cart", "web", 80, HEAD("GET /a")), BPFAST_V_FORWARDED, BPFAST_R_NONE);
	/* What is enforced outweighs what is only recorded, on whichever side it stands. */
	w->policies[0].audit = false;
	tw_compile(w);
	expect(w, from_to(w, "cart", "web", 443, HEAD("GET /z")), BPFAST_V_DROPPED,
	       BPFAST_R_HTTP_DENIED);
	tw_free(w);
}

static void test_unknown_endpoint(void **state)
{
	struct tw *w = shop();
	struct bf_question q;

	(void)state;
	tw_endpoint(w, "shop", "new", "app=new", "10.0.0.7", 7); /* not compiled in */
	q = from_to(w, "cart", "new", 80, NULL);
	expect(w, q, BPFAST_V_DROPPED, BPFAST_R_NO_POLICY);
	tw_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_tunnels),
		cmocka_unit_test(test_long_heads),
		cmocka_unit_test(test_unfinished_head),
		cmocka_unit_test(test_two_sides),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_node),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_unknown_endpoint),
	};

	return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
