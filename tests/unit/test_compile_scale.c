// SPDX-License-Identifier: Apache-2.0
/*
 * A busy node: a thousand endpoints in fifty groups, five thousand rules over a
 * thousand CIDRs; and ten thousand HTTP rules on one port. The tables must grow with
 * the rules, and nothing may take cubic time: the test would not end.
 */
#include "compile_world.h"

#include <time.h>

#define GROUPS 50
#define ENDPOINTS 1000
#define RULES 5000
#define CIDRS 1000

struct scale {
	struct bf_world world;
	struct bf_objects objects;
	struct bf_image image;
	struct tw *strings; /* owns the small pieces */
};

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void make_rule(struct tw *w, struct bf_rule *r, int i)
{
	r->where = tw_fmt(w, "spec.ingress[%d]", i % (RULES / GROUPS));
	r->peers = tw_alloc(w, 2 * sizeof(*r->peers));
	r->peer_count = 2;
	r->peers[0].kind = BF_PEER_SELECTOR;
	r->peers[0].selector = tw_selector(w, tw_fmt(w, "app=g%d", i % 37));
	r->peers[1].kind = BF_PEER_CIDR;
	r->peers[1].cidr_matches_endpoints = true;
	r->peers[1].cidr =
		tw_cidr(tw_fmt(w, "192.%d.%d.0/%d", i % CIDRS / 256, i % 256, i % 3 ? 24 : 20));
	r->ports = tw_alloc(w, sizeof(*r->ports));
	r->port_count = 1;
	r->ports[0] = (struct bf_port){IPPROTO_TCP, (uint16_t)(1000 + i % 200),
				       (uint16_t)(1000 + i % 200 + i % 5), NULL};
	if (i % 10)
		return;
	r->http = true;
	r->http_rules = tw_alloc(w, sizeof(*r->http_rules));
	r->http_rule_count = 1;
	r->http_rules[0].path = tw_fmt(w, "/api/v%d/.*", i % 100);
}

static void make(struct scale *s)
{
	struct tw *w = s->strings = tw_new();
	struct bf_policy *policies = tw_alloc(w, GROUPS * sizeof(*policies));
	struct bf_endpoint *eps = tw_alloc(w, ENDPOINTS * sizeof(*eps));

	for (int p = 0; p < GROUPS; p++) {
		policies[p].kind = BF_NETWORK_POLICY;
		policies[p].namespace = tw_str(w, "shop");
		policies[p].name = tw_fmt(w, "p%d", p);
		policies[p].subject = tw_selector(w, tw_fmt(w, "ns=shop,app=g%d", p));
		policies[p].isolates_ingress = true;
		policies[p].rule_count = RULES / GROUPS;
		policies[p].rules = tw_alloc(w, RULES / GROUPS * sizeof(struct bf_rule));
		for (int r = 0; r < RULES / GROUPS; r++)
			make_rule(w, &policies[p].rules[r], p * (RULES / GROUPS) + r);
	}
	for (int e = 0; e < ENDPOINTS; e++) {
		eps[e].name = tw_fmt(w, "e%d", e);
		eps[e].namespace = tw_str(w, "shop");
		eps[e].labels = tw_labels(w, tw_fmt(w, "app=g%d,pod=%d", e % GROUPS, e));
		eps[e].addrs = tw_alloc(w, sizeof(*eps[e].addrs));
		tw_addr(tw_fmt(w, "10.0.%d.%d", e / 256, e % 256), eps[e].addrs[0]);
		eps[e].addr_count = 1;
		eps[e].slot = e;
	}
	s->objects = (struct bf_objects){.policies = policies, .policy_count = GROUPS};
	s->world = (struct bf_world){
		.objects = &s->objects, .endpoints = eps, .endpoint_count = ENDPOINTS};
}

static void test_busy_node(void **state)
{
	struct scale s = {0};
	struct bf_error err = {0};
	const struct bpfast_image *h;
	double before;

	(void)state;
	make(&s);
	before = now();
	if (bf_image_compile(&s.world, &s.image, &err))
		fail_msg("compile: %s", err.msg);
	h = (const void *)s.image.blob.data;
	print_message("%.3f s, %zu bytes: %u sets, %u classes, %u decisions, %u rulesets, %zu "
		      "identities, %u bytes of text\n",
		      now() - before, s.image.blob.len, h->set_count, h->class_count,
		      h->decision_count, h->ruleset_count, s.image.identity_count, h->string_size);
	assert_int_equal(bf_image_check(s.image.blob.data, s.image.blob.len, &err), 0);
	assert_int_equal(h->set_count, GROUPS);
	/* Every rule has its CIDR and every group its selector: no more classes than that. */
	assert_in_range(h->class_count, GROUPS, 2 * RULES);
	assert_in_range(s.image.blob.len, 1, 8 << 20);
	bf_image_free(&s.image);
	tw_free(s.strings);
}

#define HTTP_RULES 10000

/* Both generations and the rest of the arena fit 64 MiB many times over. */
static void test_many_http_rules(void **state)
{
	struct tw *w = tw_new();
	struct bf_policy *p = tw_policy(w, "shop", "web", "app=web");
	struct bf_rule *r = tw_rule(w, p, TW_INGRESS, "app=cart", "80", "");
	struct bf_error err = {0};
	double before;

	(void)state;
	tw_endpoint(w, "shop", "web", "app=web", "10.0.0.1", 0);
	tw_endpoint(w, "shop", "cart", "app=cart", "10.0.0.2", 1);
	r->http_rules = tw_alloc(w, HTTP_RULES * sizeof(*r->http_rules));
	r->http_rule_count = HTTP_RULES;
	for (int i = 0; i < HTTP_RULES; i++) {
		r->http_rules[i].method = tw_str(w, "GET");
		r->http_rules[i].path = tw_fmt(w, "/api/v%d/tenants/%d/items/[0-9]+(/detail)?",
					       i % 7, 100000 + i * 7919 % 900000);
	}
	before = now();
	if (bf_image_compile(&w->world, &w->image, &err))
		fail_msg("compile: %s", err.msg);
	print_message("%.3f s, %zu bytes for %d HTTP rules\n", now() - before, w->image.blob.len,
		      HTTP_RULES);
	/* With sanitizers, beside others. */
	assert_true(now() - before < 20);
	assert_in_range(w->image.blob.len, 1, 4 << 20);
	assert_int_equal(bf_image_check(w->image.blob.data, w->image.blob.len, &err), 0);
	tw_free(w);
}

#define SLOW_RULESETS 40

/*
 * Each port's rules alone are within the limits of an automaton, and what is left of them is
 * small. All of them together would hold the agent up for minutes.
 */
static void test_many_slow_rulesets(void **state)
{
	struct tw *w = tw_new();
	struct bf_policy *p = tw_policy(w, "shop", "web", "app=web");
	struct bf_error err = {0};
	double before;

	(void)state;
	tw_endpoint(w, "shop", "web", "app=web", "10.0.0.1", 0);
	tw_endpoint(w, "shop", "cart", "app=cart", "10.0.0.2", 1);
	for (int i = 0; i < SLOW_RULESETS; i++) {
		struct bf_rule *r =
			tw_rule(w, p, TW_INGRESS, "app=cart", tw_fmt(w, "%d", 1 + i), "");

		r->http_rules = tw_alloc(w, sizeof(*r->http_rules));
		r->http_rule_count = 1;
		r->http_rules[0].path = tw_fmt(w, "(/x%d.*a.{17})|(.*)", i);
		if (i == 2) { /* a few are */
			if (bf_image_compile(&w->world, &w->image, &err))
				fail_msg("compile: %s", err.msg);
			bf_image_free(&w->image);
		}
	}
	before = now();
	assert_int_equal(bf_image_compile(&w->world, &w->image, &err), -E2BIG);
	print_message("%.3f s: %s\n", now() - before, err.msg);
	assert_non_null(strstr(err.msg, "PayloadPolicy shop/web, spec.ingress"));
	assert_non_null(strstr(err.msg, "all policies together"));
	/* Alone some three seconds. With sanitizers, beside others. */
	assert_true(now() - before < 60);
	tw_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_busy_node),
		cmocka_unit_test(test_many_http_rules),
		cmocka_unit_test(test_many_slow_rulesets),
	};

	return cmocka_run_group_tests_name("policy image at scale", tests, NULL, NULL);
}
