// SPDX-License-Identifier: Apache-2.0
/* Where Cilium would decide otherwise, as policy explain tells it. */
#include "compile_world.h"

#include "bpfast/reasons.h"
#include "policy/explain.h"

enum { WEB, CART };

#define HEAD(line) line " HTTP/1.1\r\nHost: web\r\n\r\n"
#define RULES 4

struct rule {
	char kind; /* N: NetworkPolicy, P: PayloadPolicy, C: CiliumNetworkPolicy, W: cluster-wide */
	const char *name; /* rules of one name are of one object */
	unsigned int flags; /* enum tw_rule_flags */
	const char *peers, *ports, *http; /* as tw_rule() takes them; "remote" is remote-node */
};

struct row {
	const char *to; /* "web", or the node by its address */
	const char *request;
	struct rule rules[RULES]; /* ingress: about web; egress: about cart */
	int ours, theirs; /* verdicts; equal: no note */
	const char *blamed; /* the rules that the note names */
};

static const enum bf_policy_kind kinds[128] = {
	['N'] = BF_NETWORK_POLICY,
	['P'] = BF_PAYLOAD_POLICY,
	['C'] = BF_CILIUM_POLICY,
	['W'] = BF_CILIUM_CLUSTER_POLICY,
};

static void add_rule(struct tw *w, const struct rule *from)
{
	const char *subject = from->flags & TW_EGRESS ? "app=cart" : "app=web";
	bool remote = !strcmp(from->peers, "remote");
	struct bf_policy *p = NULL;
	struct bf_rule *rule;

	for (size_t i = 0; i < w->objects.policy_count; i++)
		if (!strcmp(w->policies[i].name, from->name))
			p = &w->policies[i];
	if (!p)
		p = tw_policy(w, from->kind == 'W' ? "" : "shop", from->name, subject);
	p->kind = kinds[(int)from->kind];
	rule = tw_rule(w, p, from->flags, remote ? "host" : from->peers, from->ports, from->http);
	rule->peers[0].remote_node = remote;
}

static struct tw *world_of(const struct row *row)
{
	struct tw *w = tw_new();

	tw_endpoint(w, "shop", "web", "app=web", "10.0.0.1", WEB);
	tw_endpoint(w, "shop", "cart", "app=cart", "10.0.0.2", CART);
	tw_node(w, "10.0.0.254");
	for (size_t i = 0; i < RULES && row->rules[i].kind; i++)
		add_rule(w, &row->rules[i]);
	tw_compile(w);
	return w;
}

static struct bf_question question_of(const struct tw *w, const struct row *row)
{
	struct bf_question q = {.from = &w->endpoints[CART],
				.protocol = IPPROTO_TCP,
				.port = 80,
				.request = row->request,
				.request_len = row->request ? strlen(row->request) : 0};

	if (!strcmp(row->to, "web"))
		q.to = &w->endpoints[WEB];
	else
		tw_addr(row->to, q.to_addr);
	return q;
}

static void check_rows(const struct row *rows, size_t n, unsigned int difference)
{
	for (size_t i = 0; i < n; i++) {
		struct tw *w = world_of(&rows[i]);
		struct bf_question q = question_of(w, &rows[i]);
		bool egress = rows[i].rules[0].flags & TW_EGRESS;
		struct bf_cilium_answer cilium;
		struct bf_answer ours;
		struct bf_error err = {0};
		const char *blamed;

		if (bf_explain(&w->image, &q, &ours, &err) ||
		    bf_explain_cilium(&w->world, &w->image, &q, &ours, &cilium, &err))
			fail_msg("row %zu: %s", i, err.msg);
		blamed = egress ? cilium.egress : cilium.ingress;
		if (ours.verdict != rows[i].ours)
			fail_msg("row %zu: our verdict is %d", i, ours.verdict);
		if (rows[i].ours == rows[i].theirs) {
			if (cilium.difference || cilium.egress || cilium.ingress)
				fail_msg("row %zu: a note where nothing differs: %s", i, blamed);
		} else if (cilium.difference != difference || cilium.verdict != rows[i].theirs) {
			fail_msg("row %zu: difference %u, verdict %d", i, cilium.difference,
				 cilium.verdict);
		} else if (!blamed || strcmp(blamed, rows[i].blamed)) {
			fail_msg("row %zu: blamed %s", i, blamed);
		} else {
			assert_null(egress ? cilium.ingress : cilium.egress);
		}
		bf_cilium_answer_free(&cilium);
		tw_free(w);
	}
}

#define PASS BPFAST_V_FORWARDED
#define DROP BPFAST_V_DROPPED
#define CNP "CiliumNetworkPolicy\tshop\t"
#define IN TW_INGRESS
#define OUT TW_EGRESS
#define OPEN TW_NOT_ISOLATING

static void test_plain_rule_cancels(void **state)
{
	static const struct row rows[] = {
		/* Another object's rule without HTTP, of whatever kind Cilium reads. */
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "b", IN, "app=cart", "80", NULL}},
		 DROP,
		 PASS,
		 CNP "b\tspec.ingress[0]"},
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"}, {'N', "b", IN, "all", "1-100", NULL}},
		 DROP,
		 PASS,
		 "NetworkPolicy\tshop\tb\tspec.ingress[0]"},
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"}, {'W', "b", IN, "{}", "any", NULL}},
		 DROP,
		 PASS,
		 "CiliumClusterwideNetworkPolicy\t\tb\tspec.ingress[0]"},
		{"web",
		 HEAD("GET /z"),
		 {{'W', "a", IN, "app=cart", "80", "GET /a"}, {'N', "b", IN, "all", "80", NULL}},
		 DROP,
		 PASS,
		 "NetworkPolicy\tshop\tb\tspec.ingress[0]"},
		/* All that cancel are named. */
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "b", IN, "app=cart", "80", NULL},
		  {'N', "c", IN, "all", "any", NULL}},
		 DROP,
		 PASS,
		 CNP "b\tspec.ingress[0]\nNetworkPolicy\tshop\tc\tspec.ingress[0]"},
		{"10.0.0.254",
		 HEAD("GET /z"),
		 {{'C', "a", OUT, "host", "80", "GET /a"}, {'C', "b", OUT, "cluster", "80", NULL}},
		 DROP,
		 PASS,
		 CNP "b\tspec.egress[0]"},
		/* An empty list of HTTP rules is none, by itself and beside others. */
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", ""}},
		 DROP,
		 PASS,
		 CNP "a\tspec.ingress[0]"},
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"}, {'C', "b", IN, "app=cart", "80", ""}},
		 DROP,
		 PASS,
		 CNP "b\tspec.ingress[0]"},
		/* What Cilium does not read cancels nothing, and is cancelled. */
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'P', "b", IN, "app=cart", "80", NULL}},
		 DROP,
		 DROP,
		 NULL},
		{"web", HEAD("GET /z"), {{'P', "a", IN, "app=cart", "80", ""}}, DROP, DROP, NULL},
		{"web",
		 HEAD("GET /z"),
		 {{'P', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "b", IN, "app=cart", "80", NULL}},
		 DROP,
		 PASS,
		 CNP "b\tspec.ingress[0]"},
		/* No object of Cilium's kinds takes part. */
		{"web",
		 HEAD("GET /z"),
		 {{'P', "a", IN, "app=cart", "80", "GET /a"}, {'N', "b", IN, "all", "80", NULL}},
		 DROP,
		 DROP,
		 NULL},
		{"web",
		 HEAD("GET /z"),
		 {{'P', "a", IN, "app=cart", "80", "GET /a"},
		  {'N', "b", IN, "all", "80", NULL},
		  {'C', "c", IN, "app=cart", "81", NULL}},
		 DROP,
		 DROP,
		 NULL},
		/* The same verdict: allowed anyway, another peer, another port, a deny rule. */
		{"web",
		 HEAD("GET /a"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "b", IN, "app=cart", "80", NULL}},
		 PASS,
		 PASS,
		 NULL},
		{"web",
		 NULL,
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "b", IN, "app=cart", "80", NULL}},
		 PASS,
		 PASS,
		 NULL},
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "b", IN, "app=shop", "80", NULL}},
		 DROP,
		 DROP,
		 NULL},
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"}, {'N', "b", IN, "all", "81", NULL}},
		 DROP,
		 DROP,
		 NULL},
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "b", IN, "app=cart", "80", NULL},
		  {'C', "c", IN | TW_DENY, "app=cart", "80", NULL}},
		 DROP,
		 DROP,
		 NULL},
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "b", IN, "app=cart", "80", "/b"}},
		 DROP,
		 DROP,
		 NULL},
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "a", IN, "app=cart", "80", NULL}},
		 PASS,
		 PASS,
		 NULL},
		/* The sender is not let out in either. */
		{"web",
		 HEAD("GET /z"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "b", IN, "app=cart", "80", NULL},
		  {'C', "c", OUT, "app=web", "81", NULL}},
		 DROP,
		 DROP,
		 NULL},
		/* Refused for its form, which no rule speaks of. */
		{"web",
		 HEAD("GET /x/../a"),
		 {{'C', "a", IN, "app=cart", "80", "GET /a"},
		  {'C', "b", IN, "app=cart", "80", NULL}},
		 DROP,
		 DROP,
		 NULL},
		/* Denied by a rule on the way out, refused for its form on the way in. */
		{"web",
		 "GET /z HTTP/1.1\r\n\r\n",
		 {{'C', "a", OUT, "app=web", "80", "GET /a"},
		  {'C', "b", OUT, "app=web", "80", NULL},
		  {'C', "c", IN, "app=cart", "80", "GET /z"},
		  {'C', "d", IN, "app=cart", "80", NULL}},
		 DROP,
		 DROP,
		 NULL},
	};

	(void)state;
	check_rows(rows, sizeof(rows) / sizeof(*rows), BF_CILIUM_CANCELS);
}

static void test_remote_node(void **state)
{
	static const struct row rows[] = {
		{"10.0.0.254",
		 NULL,
		 {{'C', "a", OUT, "remote", "80", NULL}},
		 PASS,
		 DROP,
		 CNP "a\tspec.egress[0]"},
		{"10.0.0.254",
		 HEAD("GET /z"),
		 {{'W', "a", OUT, "remote", "any", NULL}},
		 PASS,
		 DROP,
		 "CiliumClusterwideNetworkPolicy\t\ta\tspec.egress[0]"},
		/* Its HTTP rules do not count there either. */
		{"10.0.0.254",
		 HEAD("GET /b"),
		 {{'C', "a", OUT, "host", "80", "GET /a"},
		  {'C', "b", OUT, "remote", "80", "GET /b"}},
		 PASS,
		 DROP,
		 CNP "b\tspec.egress[0].rules.http[0]"},
		{"10.0.0.254",
		 HEAD("GET /z"),
		 {{'C', "a", OUT | OPEN, "remote", "80", "GET /a"}},
		 DROP,
		 PASS,
		 CNP "a\tspec.egress[0]"},
		/* Both differences meet, and there is none. */
		{"10.0.0.254",
		 HEAD("GET /z"),
		 {{'C', "a", OUT, "host", "80", "GET /a"}, {'C', "b", OUT, "remote", "80", NULL}},
		 DROP,
		 DROP,
		 NULL},
		{"10.0.0.254",
		 HEAD("GET /z"),
		 {{'C', "a", OUT, "remote", "80", "GET /z"},
		  {'C', "b", OUT, "host", "80", "GET /a"},
		  {'C', "c", OUT, "host", "80", NULL}},
		 PASS,
		 PASS,
		 NULL},
		/* Another rule allows it, it is somebody else, or the kind is ours. */
		{"10.0.0.254",
		 NULL,
		 {{'C', "a", OUT, "remote", "80", NULL}, {'N', "b", OUT, "all", "80", NULL}},
		 PASS,
		 PASS,
		 NULL},
		{"203.0.113.7",
		 NULL,
		 {{'C', "a", OUT, "remote", "80", NULL}, {'C', "a", OUT, "world", "80", NULL}},
		 PASS,
		 PASS,
		 NULL},
		{"10.0.0.254", NULL, {{'P', "a", OUT, "remote", "80", NULL}}, PASS, PASS, NULL},
		{"10.0.0.254",
		 NULL,
		 {{'C', "a", OUT, "remote", "81", NULL}, {'P', "b", OUT, "remote", "80", NULL}},
		 PASS,
		 PASS,
		 NULL},
	};

	(void)state;
	check_rows(rows, sizeof(rows) / sizeof(*rows), BF_CILIUM_REMOTE_NODE);
}

/* An object in mode audit denies nothing, so there is nothing that would pass elsewhere. */
static void test_audit(void **state)
{
	static const struct row row = {"web",
				       HEAD("GET /z"),
				       {{'P', "a", IN, "app=cart", "80", "GET /a"},
					{'C', "b", IN, "app=cart", "80", NULL}},
				       0,
				       0,
				       NULL};
	struct tw *w = world_of(&row);
	struct bf_question q = question_of(w, &row);
	struct bf_cilium_answer cilium;
	struct bf_answer ours;
	struct bf_error err = {0};

	(void)state;
	w->policies[0].audit = true;
	tw_compile(w);
	assert_int_equal(bf_explain(&w->image, &q, &ours, &err), 0);
	assert_int_equal(ours.verdict, BPFAST_V_AUDIT);
	assert_int_equal(bf_explain_cilium(&w->world, &w->image, &q, &ours, &cilium, &err), 0);
	assert_int_equal(cilium.difference, 0);
	tw_free(w);
}

/* Objects about other endpoints of the node are left out, not misread. */
static void test_other_endpoints(void **state)
{
	static const struct row row = {"web",
				       HEAD("GET /z"),
				       {{'C', "a", IN, "app=cart", "80", "GET /a"},
					{'C', "b", IN, "app=cart", "80", NULL}},
				       0,
				       0,
				       NULL};
	struct tw *w = world_of(&row);
	struct bf_question q = question_of(w, &row);
	struct bf_cilium_answer cilium;
	struct bf_answer ours;
	struct bf_error err = {0};

	(void)state;
	for (int i = 0; i < 3; i++) {
		tw_endpoint(w, "shop", tw_fmt(w, "other%d", i), "app=other",
			    tw_fmt(w, "10.0.1.%d", i), 5 + i);
		tw_rule(w, tw_policy(w, "shop", tw_fmt(w, "p%d", i), "app=other"), IN, "all", "80",
			NULL);
	}
	w->policies[1].subject = tw_selector(w, "ns=shop,app=other");
	tw_compile(w);
	assert_int_equal(bf_explain(&w->image, &q, &ours, &err), 0);
	assert_int_equal(bf_explain_cilium(&w->world, &w->image, &q, &ours, &cilium, &err), 0);
	assert_int_equal(ours.verdict, DROP);
	assert_int_equal(cilium.difference, 0);
	w->policies[1].subject = tw_selector(w, "ns=shop");
	tw_compile(w);
	assert_int_equal(bf_explain(&w->image, &q, &ours, &err), 0);
	assert_int_equal(bf_explain_cilium(&w->world, &w->image, &q, &ours, &cilium, &err), 0);
	assert_int_equal(cilium.difference, BF_CILIUM_CANCELS);
	bf_cilium_answer_free(&cilium);
	tw_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_rule_cancels),
		cmocka_unit_test(test_remote_node),
		cmocka_unit_test(test_audit),
		cmocka_unit_test(test_other_endpoints),
	};

	return cmocka_run_group_tests_name("explain, as Cilium", tests, NULL, NULL);
}
