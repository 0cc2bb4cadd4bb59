// SPDX-License-Identifier: Apache-2.0
/* The image itself: identities, what is shared, texts, replies, refusals, the check. */
#include "compile_world.h"

static struct tw *pair(void)
{
	struct tw *w = tw_new();

	tw_endpoint(w, "shop", "web", "app=web", "10.0.0.1 fd00::1", 0);
	tw_endpoint(w, "shop", "cart", "tier=back,app=cart", "10.0.0.2", 1);
	tw_node(w, "10.0.0.254");
	return w;
}

/* --- identities ------------------------------------------------------------------ */

static void test_identity_texts(void **state)
{
	struct tw *w = pair();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "p", "app=web"), TW_EGRESS,
		"192.0.2.0/24-192.0.2.8/29 2001:db8::/32", "80", NULL);
	tw_compile(w);
	assert_string_equal(tw_identity_text(w, tw_identity_of(w, "10.0.0.2")),
			    "k8s:app=cart;k8s:tier=back;k8s:io.kubernetes.pod.namespace=shop");
	assert_string_equal(tw_identity_text(w, tw_identity_of(w, "192.0.2.1")),
			    "cidr:192.0.2.0/24");
	assert_string_equal(tw_identity_text(w, tw_identity_of(w, "192.0.2.9")),
			    "cidr:192.0.2.8/29");
	assert_string_equal(tw_identity_text(w, tw_identity_of(w, "2001:db8::1")),
			    "cidr:2001:db8::/32");
	assert_int_equal(tw_identity_of(w, "10.0.0.254"), BPFAST_ID_HOST);
	assert_int_equal(tw_identity_of(w, "10.0.0.3"), BPFAST_ID_WORLD);
	assert_int_equal(tw_identity_of(w, "0.0.0.0"), BPFAST_ID_WORLD);
	assert_int_equal(tw_identity_of(w, "::"), BPFAST_ID_WORLD);
	assert_string_equal(tw_identity_text(w, BPFAST_ID_HOST), "reserved:host");
	assert_string_equal(tw_identity_text(w, BPFAST_ID_WORLD), "reserved:world");
	/* The endpoint's own identity is the one its peers see. */
	assert_int_equal(tw_image_endpoint(w, 0)->identity, tw_identity_of(w, "10.0.0.1"));
	for (size_t i = 1; i < w->image.identity_count; i++)
		assert_true(w->image.identities[i - 1].id < w->image.identities[i].id);
	tw_free(w);
}

static void test_identity_is_by_content(void **state)
{
	struct tw *w = tw_new();

	(void)state;
	tw_endpoint(w, "shop", "a", "app=web,tier=x", "10.0.0.1", 0);
	tw_endpoint(w, "shop", "b", "tier=x,app=web", "10.0.0.2", 1);
	tw_endpoint(w, "bank", "c", "app=web,tier=x", "10.0.0.3", 2);
	tw_port_name(w, tw_endpoint(w, "shop", "d", "app=web,tier=x", "10.0.0.4", 3), "http", 6,
		     80);
	tw_compile(w);
	assert_int_equal(tw_identity_of(w, "10.0.0.1"), tw_identity_of(w, "10.0.0.2"));
	assert_int_not_equal(tw_identity_of(w, "10.0.0.1"), tw_identity_of(w, "10.0.0.3"));
	assert_int_not_equal(tw_identity_of(w, "10.0.0.1"), tw_identity_of(w, "10.0.0.4"));
	tw_free(w);
}

/* Records of yesterday and of today name the same workload by the same number. */
static void test_identity_numbers_stay(void **state)
{
	struct tw *w = pair();
	uint32_t web, cart, net;

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "p", ""), TW_EGRESS, "192.0.2.0/24", "80", NULL);
	tw_compile(w);
	web = tw_identity_of(w, "10.0.0.1");
	cart = tw_identity_of(w, "10.0.0.2");
	net = tw_identity_of(w, "192.0.2.1");
	assert_true(web >= BPFAST_ID_FIRST && cart >= BPFAST_ID_FIRST && net >= BPFAST_ID_FIRST);
	for (int i = 0; i < 20; i++)
		tw_endpoint(w, "bank", "x", tw_fmt(w, "app=x%d", i), tw_fmt(w, "10.0.1.%d", i), -1);
	tw_rule(w, tw_policy(w, "shop", "q", ""), TW_EGRESS, "192.0.0.0/16 198.51.100.0/24", "80",
		NULL);
	tw_compile(w);
	assert_int_equal(tw_identity_of(w, "10.0.0.1"), web);
	assert_int_equal(tw_identity_of(w, "10.0.0.2"), cart);
	assert_int_equal(tw_identity_of(w, "192.0.2.1"), net);
	tw_free(w);
}

static void compile_fails(struct tw *w, int code, const char *part)
{
	struct bf_error err = {0};

	assert_int_equal(bf_image_compile(&w->world, &w->image, &err), code);
	if (!strstr(err.msg, part))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, part);
	tw_free(w);
}

static void test_an_address_belongs_to_one(void **state)
{
	struct tw *w = pair();

	(void)state;
	/* A stale record of another node's pod gives way ... */
	tw_endpoint(w, "shop", "stale", "app=old", "10.0.0.1", -1);
	/* ... and a host-network pod is the node. */
	tw_endpoint(w, "shop", "daemon", "app=daemon", "10.0.0.254", -1);
	tw_compile(w);
	assert_int_equal(tw_identity_of(w, "10.0.0.1"), tw_image_endpoint(w, 0)->identity);
	assert_int_equal(tw_identity_of(w, "10.0.0.254"), BPFAST_ID_HOST);
	tw_free(w);
	w = pair();
	tw_endpoint(w, "shop", "twin", "app=web", "fd00::1", 2);
	compile_fails(w, -EINVAL,
		      "address fd00::1 of endpoint shop/web belongs to endpoint "
		      "shop/twin too");
	w = pair();
	tw_endpoint(w, "shop", "bad", "app=web", "10.0.0.254", 2);
	compile_fails(w, -EINVAL, "address 10.0.0.254 of endpoint shop/bad belongs to the node");
}

/* --- sharing --------------------------------------------------------------------- */

static void test_tables_grow_with_rules(void **state)
{
	struct tw *w = tw_new();
	struct bf_policy *p = tw_policy(w, "shop", "web", "app=web");
	const struct bpfast_image *h;

	(void)state;
	tw_rule(w, p, TW_INGRESS, "app=cart", "80", "GET /a");
	tw_rule(w, p, TW_EGRESS, "app=cart", "80", NULL);
	for (int i = 0; i < TW_ENDPOINTS; i++)
		tw_endpoint(w, "shop", tw_fmt(w, "e%d", i),
			    i % 2 ? tw_fmt(w, "app=cart,n=%d", i) : "app=web",
			    tw_fmt(w, "10.0.0.%d", i), i);
	tw_compile(w);
	h = tw_head(w);
	assert_int_equal(h->endpoint_count, TW_ENDPOINTS);
	assert_int_equal(h->set_count, 2);
	assert_int_equal(h->class_count, 3); /* from carts, to carts, and the rest */
	assert_int_equal(h->decision_count, 3); /* inspect, allow, deny */
	assert_int_equal(h->ruleset_count, 1);
	tw_free(w);
}

/* The same HTTP rules reached by several sets and classes are one ruleset. */
static void test_rulesets_are_shared(void **state)
{
	struct tw *w = pair();

	(void)state;
	tw_rule(w, tw_policy(w, "", "all", ""), TW_INGRESS, "{}", "80", "GET /a");
	tw_rule(w, tw_policy(w, "shop", "web", "app=web"), TW_INGRESS, "10.0.0.0/8", "81", NULL);
	tw_rule(w, tw_policy(w, "shop", "cart", "app=cart"), TW_INGRESS, "app=web", "80", "GET /b");
	tw_compile(w);
	assert_int_equal(tw_head(w)->set_count, 2);
	assert_int_equal(tw_head(w)->ruleset_count, 2);
	tw_free(w);
}

static void test_compile_repeats(void **state)
{
	struct tw *w = pair(), *v = pair();

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct tw *x = i ? v : w;

		tw_rule(x, tw_policy(x, "shop", "p", ""), TW_INGRESS, "{} 10.0.0.0/8", "80-90",
			"GET /a");
		tw_compile(x);
	}
	assert_int_equal(w->image.blob.len, v->image.blob.len);
	assert_memory_equal(w->image.blob.data, v->image.blob.data, w->image.blob.len);
	tw_free(w);
	tw_free(v);
}

static void test_unused_slots_are_closed(void **state)
{
	struct tw *w = tw_new();

	(void)state;
	tw_endpoint(w, "shop", "web", "app=web", "10.0.0.1", 3);
	tw_compile(w);
	assert_int_equal(tw_head(w)->endpoint_count, 4);
	for (int s = 0; s < 3; s++)
		assert_int_equal(tw_image_endpoint(w, s)->identity, BPFAST_ID_UNKNOWN);
	assert_int_not_equal(tw_image_endpoint(w, 3)->identity, BPFAST_ID_UNKNOWN);
	tw_free(w);
}

static void test_empty_world(void **state)
{
	struct tw *w = tw_new();

	(void)state;
	tw_compile(w);
	assert_int_equal(tw_head(w)->endpoint_count, 0);
	assert_int_equal(tw_identity_of(w, "10.0.0.1"), BPFAST_ID_WORLD);
	assert_int_equal(tw_identity_of(w, "fd00::1"), BPFAST_ID_WORLD);
	tw_free(w);
}

/* --- texts ------------------------------------------------------------------------ */

static const struct bpfast_image_ruleset *only_ruleset(const struct tw *w, const char *peer)
{
	const struct bpfast_image_decision *d =
		tw_decision(w, 0, false, tw_identity_of(w, peer), IPPROTO_TCP, 80);

	assert_int_equal(d->verdict, BPFAST_D_HTTP);
	return tw_ruleset(w, d);
}

static void check_reply(const struct tw *w, const struct bpfast_image_ruleset *rs, const char *body)
{
	char want[600];

	/* One blank before the line's end makes the length even. */
	for (int blank = 0; blank < 2; blank++) {
		int n = snprintf(want, sizeof(want),
				 "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\n"
				 "Content-Length: %zu\r\nConnection: close\r\n\r\n%s%s\n",
				 strlen(body) + (size_t)blank + 1, body, blank ? " " : "");

		if (n % 2)
			continue;
		assert_int_equal(rs->reply_len, n);
		assert_memory_equal(tw_at(w, rs->reply_off), want, (size_t)n);
		return;
	}
	fail_msg("neither form of \"%s\" is even", body);
}

static void test_reply_names_the_policy(void **state)
{
	struct tw *w = pair();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "web", "app=web"), TW_INGRESS, "app=cart world", "80",
		"GET /a");
	tw_rule(w, tw_policy(w, "", "base", "app=web"), TW_INGRESS, "app=cart", "80", "GET /b");
	tw_compile(w);
	check_reply(w, only_ruleset(w, "10.0.0.9"), "Denied by PayloadPolicy shop/web (BPFast).");
	check_reply(w, only_ruleset(w, "10.0.0.2"),
		    "Denied by PayloadPolicy shop/web, ClusterPayloadPolicy base (BPFast).");
	assert_string_equal(tw_ref(w, only_ruleset(w, "10.0.0.2")->ref),
			    "PayloadPolicy\tshop\tweb\tspec.ingress[0]\n"
			    "ClusterPayloadPolicy\t\tbase\tspec.ingress[0]");
	tw_free(w);
}

static void test_reply_is_silent(void **state)
{
	struct tw *w = pair();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "web", "app=web"), TW_INGRESS, "all", "80", "GET /a");
	tw_rule(w, tw_policy(w, "shop", "mute", "app=web"), TW_INGRESS, "all", "80", "GET /b");
	w->policies[1].silent = true;
	tw_compile(w);
	check_reply(w, only_ruleset(w, "10.0.0.9"), "Access denied.");
	tw_free(w);
}

/* Names as long as Kubernetes has them, and more objects than fit. */
static void test_reply_fits(void **state)
{
	char name[254], space[64];

	(void)state;
	memset(name, 'n', sizeof(name));
	memset(space, 's', sizeof(space));
	for (int many = 1; many < 40; many += 6)
		for (int len = 253; len > 0; len -= 28) {
			struct tw *w = pair();
			const struct bpfast_image_ruleset *rs;

			name[len] = 0;
			space[63] = 0;
			for (int i = 0; i < many; i++) {
				struct bf_policy *p = tw_policy(w, "", name, "app=web");

				p->kind = BF_CILIUM_POLICY;
				p->namespace = space;
				tw_rule(w, p, TW_INGRESS, "all", "80", "GET /a");
			}
			tw_compile(w);
			rs = only_ruleset(w, "10.0.0.9");
			assert_true(rs->reply_len <= BPFAST_REPLY_MAX);
			assert_non_null(memmem(tw_at(w, rs->reply_off), rs->reply_len,
					       "Denied by CiliumNetworkPolicy sss", 33));
			if (many > 7)
				assert_non_null(memmem(tw_at(w, rs->reply_off), rs->reply_len,
						       " more (BPFast).", 15));
			tw_free(w);
			name[len] = 'n';
		}
}

/* A name from a file may hold anything; it must forge neither a header nor a record's line. */
static void test_names_cannot_inject(void **state)
{
	struct tw *w = pair();
	const struct bpfast_image_ruleset *rs;
	struct bf_policy *p = tw_policy(w, "shop", "web", "app=web");
	const char *reply, *body;

	(void)state;
	p->name = tw_str(w, "x\r\nSet-Cookie: a\tb\n\nPayloadPolicy\tshop\tgood\t\x7f");
	tw_rule(w, p, TW_INGRESS, "all", "80", "GET /a");
	tw_compile(w);
	rs = only_ruleset(w, "10.0.0.9");
	assert_string_equal(tw_ref(w, rs->ref), "PayloadPolicy\tshop\tx??Set-Cookie: "
						"a?b??PayloadPolicy?shop?good??\tspec.ingress[0]");
	reply = tw_at(w, rs->reply_off);
	body = memmem(reply, rs->reply_len, "\r\n\r\n", 4);
	assert_non_null(body);
	body += 4;
	assert_ptr_equal(memchr(body, '\n', (size_t)(reply + rs->reply_len - body)),
			 reply + rs->reply_len - 1);
	tw_free(w);
}

static void test_long_attributions_are_counted(void **state)
{
	struct tw *w = pair();
	struct bf_policy *p = tw_policy(w, "shop", "web", "app=web");
	const char *text;
	size_t lines = 1;

	(void)state;
	for (int i = 0; i < 20; i++)
		tw_rule(w, p, TW_INGRESS, "all", "80", NULL);
	tw_compile(w);
	text = tw_ref(w, tw_decision(w, 0, false, BPFAST_ID_WORLD, IPPROTO_TCP, 80)->ref);
	for (const char *c = text; *c; c++)
		lines += *c == '\n';
	assert_int_equal(lines, 8);
	assert_non_null(strstr(text, "spec.ingress[7] and 12 more"));
	tw_free(w);
}

static void test_ref_out_of_bounds(void **state)
{
	struct tw *w = pair();

	(void)state;
	tw_compile(w);
	assert_string_equal(tw_ref(w, 0), "");
	assert_string_equal(tw_ref(w, tw_head(w)->string_size), "");
	assert_string_equal(tw_ref(w, UINT32_MAX), "");
	assert_string_equal(bf_image_ref(w->image.blob.data, 10, 0), "");
	tw_free(w);
}

/* --- refusals ---------------------------------------------------------------------- */

static void test_refusals(void **state)
{
	struct bf_policy *p;
	struct bf_rule *r;
	struct tw *w;

	(void)state;
	w = pair();
	p = tw_policy(w, "shop", "web", "app=web");
	p->file = tw_str(w, "web.yaml");
	tw_rule(w, p, TW_INGRESS, "all", "90-80", NULL);
	compile_fails(w, -EINVAL,
		      "web.yaml:1: PayloadPolicy shop/web, spec.ingress[0]: ports 90 to 80");
	w = pair();
	r = tw_rule(w, tw_policy(w, "", "base", ""), TW_EGRESS, "all", "80", NULL);
	r->ports[0].protocol = IPPROTO_ICMP;
	compile_fails(w, -EINVAL, "ClusterPayloadPolicy base, spec.egress[0]: IP protocol 1");
	w = pair();
	tw_rule(w, tw_policy(w, "", "base", ""), TW_INGRESS | TW_DENY, "all", "80", "GET /a");
	compile_fails(w, -EINVAL, "deny rule cannot have HTTP rules");
	w = pair();
	r = tw_rule(w, tw_policy(w, "", "base", ""), TW_INGRESS, "10.0.0.0/8", "80", NULL);
	r->peers[0].cidr.len = 129;
	compile_fails(w, -EINVAL, "129 bits");
	w = pair();
	w->endpoints[1].slot = 0;
	compile_fails(w, -EINVAL, "endpoint shop/cart: slot 0 belongs to another");
	w = pair();
	w->endpoints[1].slot = BPFAST_ENDPOINTS_MAX;
	compile_fails(w, -E2BIG, "no more than 16384 endpoints");
}

/* The matcher refuses a pattern: the message leads to the very HTTP rule, also in a union. */
static void test_refused_patterns(void **state)
{
	struct tw *w = pair();
	struct bf_policy *p;

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "first", "app=web"), TW_INGRESS, "all", "80",
		"GET /a|GET /b");
	p = tw_policy(w, "shop", "second", "app=web");
	p->file = tw_str(w, "second.yaml");
	tw_rule(w, p, TW_INGRESS, "all", "81", NULL);
	tw_rule(w, p, TW_INGRESS, "all", "80", "GET /c|GET /d|GET /(e)\\1");
	compile_fails(w, -EINVAL,
		      "second.yaml:2: PayloadPolicy shop/second, spec.ingress[1]: rules.http[2]: "
		      "path \"/(e)\\1\"");
	w = pair();
	tw_rule(w, tw_policy(w, "shop", "many", "app=web"), TW_INGRESS, "all", "80", "GET /a");
	w->policies[0].rules[0].http_rules =
		tw_alloc(w, (BPFAST_RULES_MAX + 1) * sizeof(struct bf_http_rule));
	w->policies[0].rules[0].http_rule_count = BPFAST_RULES_MAX + 1;
	compile_fails(w, -E2BIG, "PayloadPolicy shop/many, spec.ingress[0]: 16385 HTTP rules");
}

/* --- the check ---------------------------------------------------------------------- */

static struct tw *rich(void)
{
	struct tw *w = pair();

	tw_rule(w, tw_policy(w, "shop", "web", "app=web"), TW_INGRESS, "app=cart 10.0.0.0/8", "80",
		"GET /a|POST /b");
	tw_rule(w, tw_policy(w, "shop", "out", ""), TW_EGRESS, "fd00::/8 192.0.2.0/24", "1-5",
		NULL);
	tw_compile(w);
	return w;
}

/* More than 64 rules on one port: sets that are one rule, lists and bitmaps, and tails. */
static struct tw *wide(void)
{
	struct tw *w = pair();
	struct bf_policy *p = tw_policy(w, "shop", "wide", "app=web");

	for (int i = 0; i < 10; i++) {
		char *http = tw_fmt(w,
				    "GET /t/%d0/i(/x)?|GET /t/%d1/i(/x)?|GET /t/%d2/i(/x)?|"
				    "POST /t/%d3/i(/x)?|GET /t/%d4/i(/x)?|PUT /all%d.*|GET /t/%d",
				    i, i, i, i, i, i % 2, i);

		tw_rule(w, p, TW_INGRESS, "app=cart", "80", http);
	}
	tw_compile(w);
	return w;
}

static int check_with(const struct tw *w, uint32_t off, uint32_t value)
{
	uint8_t *copy = malloc(w->image.blob.len);
	int ret;

	assert_non_null(copy);
	memcpy(copy, w->image.blob.data, w->image.blob.len);
	memcpy(copy + off, &value, sizeof(value));
	ret = bf_image_check(copy, w->image.blob.len, NULL);
	free(copy);
	return ret;
}

#define HEAD(field) ((uint32_t)offsetof(struct bpfast_image, field))

static void test_check_refuses(void **state)
{
	struct tw *w = rich();
	const struct bpfast_image *h = tw_head(w);
	const struct bpfast_image_set *sets = tw_at(w, h->set_off);
	const struct bpfast_image_class *classes = tw_at(w, h->class_off);
	const struct bpfast_image_ruleset *rs = tw_at(w, h->ruleset_off);
	const struct {
		uint32_t off, value;
	} bad[] = {
		{HEAD(magic), 0},
		{HEAD(version), BPFAST_IMAGE_VERSION + 1},
		{HEAD(size), h->size - 8},
		{HEAD(size), h->size + 8},
		{HEAD(endpoint_count), BPFAST_ENDPOINTS_MAX + 1},
		{HEAD(endpoint_off), h->endpoint_off + 4},
		{HEAD(ip4_off), 0},
		{HEAD(ip4_count), 0x20000000},
		{HEAD(ip6_off), h->size},
		{HEAD(set_off), UINT32_MAX - 7},
		{HEAD(class_count), 0},
		{HEAD(decision_count), 0},
		{HEAD(ruleset_count), 0},
		{HEAD(string_size), 0},
		{HEAD(string_size), 3},
		{HEAD(response_name_dfa_off), 0},
		{h->ip4_off, 1},
		{h->ip4_off + 8, 0},
		{h->endpoint_off + 4, h->set_count},
		{h->set_off + 8, h->class_count},
		{sets[0].peer_off + 4, h->class_count},
		{sets[0].peer_off + 8, 0},
		{classes[0].range_off, 1},
		{classes[0].range_off + 4, h->decision_count},
		{h->class_off + 4, 0},
		{h->decision_off, 4},
		{h->decision_off + 8, h->string_size},
		{h->ruleset_off + offsetof(struct bpfast_image_ruleset, words), 2},
		{h->ruleset_off + offsetof(struct bpfast_image_ruleset, name_dfa_off), 0},
		{h->ruleset_off + offsetof(struct bpfast_image_ruleset, path_dfa_off), h->size},
		{h->ruleset_off + offsetof(struct bpfast_image_ruleset, header_count), 17},
		{rs->rule_ref_off, h->string_size},
		{rs->reply_off, 0},
		{rs->name_dfa_off, 1u << 31}, /* start */
		{rs->name_dfa_off + 4, 0}, /* classes */
		{rs->name_dfa_off + 8, UINT32_MAX}, /* entries */
		{rs->name_dfa_off + 16, 0}, /* bits */
		{rs->name_dfa_off + 20, 0}, /* mask */
		{rs->name_dfa_off + 24, UINT32_MAX}, /* first_tail */
		{rs->name_dfa_off + 28, 1}, /* value_count: names have no tails */
		{rs->name_dfa_off + 32, UINT32_MAX}, /* class_of */
		{rs->name_dfa_off + sizeof(struct bpfast_image_dfa), 77}, /* accepts with */
		{rs->name_dfa_off + sizeof(struct bpfast_image_dfa) + 4, 1}, /* the dead state */
	};

	(void)state;
	assert_int_equal(check_with(w, HEAD(magic), BPFAST_IMAGE_MAGIC), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (check_with(w, bad[i].off, bad[i].value) != -EINVAL)
			fail_msg("row %zu: %u at %u passes", i, bad[i].value, bad[i].off);
	assert_int_equal(bf_image_check(w->image.blob.data, 79, NULL), -EINVAL);
	assert_int_equal(bf_image_check(w->image.blob.data, w->image.blob.len - 8, NULL), -EINVAL);
	tw_free(w);
}

static void test_check_refuses_wide(void **state)
{
	struct tw *w = wide();
	const struct bpfast_image_ruleset *rs = tw_at(w, tw_head(w)->ruleset_off);
	const struct bpfast_image_dfa *path = tw_at(w, rs->path_dfa_off);
	const uint32_t *described = tw_at(w, rs->set_off);
	uint32_t table = rs->path_dfa_off + (uint32_t)sizeof(*path), list = 0;
	uint32_t tail = table + path->first_tail * BPFAST_DFA_UNIT * 4;
	uint32_t values = table + path->entries * 4;

	(void)state;
	assert_int_equal(rs->rule_count, 70);
	assert_true(path->value_count > 0);
	for (uint32_t i = 0; i < rs->set_count; i++)
		if (described[i] & BPFAST_SET_FEW)
			list = rs->set_off + (described[i] & ~BPFAST_SET_FEW) * 8;
	assert_true(list);
	const struct {
		uint32_t off, value;
	} bad[] = {
		{rs->set_off, BPFAST_SET_ONE | 70},
		{rs->set_off, BPFAST_SET_FEW | 0xffffff},
		{rs->set_off, rs->set_size / 8 - 1},
		{list, 0x0001ffff}, /* longer than lists are */
		{list, 0x00460001}, /* rule 70 */
		{list, 0x00010002}, /* one rule more than there are */
		{values, rs->set_count},
		{values, BPFAST_SET_ONE | 70},
		{values, BPFAST_DFA_TAIL},
		{tail, BPFAST_DFA_TAIL | path->value_count},
		{tail + 4, BPFAST_DFA_TOOK | path->first_tail}, /* a tail that takes */
		{tail + 4, path->start}, /* a way back */
		{table + 4, path->first_tail}, /* out of the dead state */
		{table + path->start * BPFAST_DFA_UNIT * 4, BPFAST_DFA_TAIL},
		{table + path->start * BPFAST_DFA_UNIT * 4 + 4, path->first_tail},
		{table + path->start * BPFAST_DFA_UNIT * 4 + 4,
		 BPFAST_DFA_TOOK | path->value_count << path->bits | path->first_tail},
		{rs->path_dfa_off + 28, 0}, /* value_count */
		{rs->path_dfa_off + 24, path->first_tail + 1},
	};
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		if (check_with(w, bad[i].off, bad[i].value) != -EINVAL)
			fail_msg("row %zu: %u at %u passes", i, bad[i].value, bad[i].off);
	tw_free(w);
}

/* Whatever a broken image holds, the check stays inside it (the sanitizers see to that). */
static void survives(struct tw *w)
{
	static const uint32_t values[] = {
		0,	   1, 7, 8, 0x40000000, 0x7ffffff8, 0x80000000, 0x80010000, UINT32_MAX - 7,
		UINT32_MAX};
	size_t refused = 0;

	for (uint32_t off = 0; off + 4 <= w->image.blob.len; off += off < 6000 ? 4 : 92)
		for (size_t v = 0; v < sizeof(values) / sizeof(*values); v++)
			refused += check_with(w, off, values[v]) != 0;
	assert_true(refused > 500);
	tw_free(w);
}

static void test_check_survives_anything(void **state)
{
	(void)state;
	survives(rich());
	survives(wide());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_identity_texts),
		cmocka_unit_test(test_identity_is_by_content),
		cmocka_unit_test(test_identity_numbers_stay),
		cmocka_unit_test(test_an_address_belongs_to_one),
		cmocka_unit_test(test_tables_grow_with_rules),
		cmocka_unit_test(test_rulesets_are_shared),
		cmocka_unit_test(test_compile_repeats),
		cmocka_unit_test(test_unused_slots_are_closed),
		cmocka_unit_test(test_empty_world),
		cmocka_unit_test(test_reply_names_the_policy),
		cmocka_unit_test(test_reply_is_silent),
		cmocka_unit_test(test_reply_fits),
		cmocka_unit_test(test_names_cannot_inject),
		cmocka_unit_test(test_long_attributions_are_counted),
		cmocka_unit_test(test_ref_out_of_bounds),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_refused_patterns),
		cmocka_unit_test(test_check_refuses),
		cmocka_unit_test(test_check_refuses_wide),
		cmocka_unit_test(test_check_survives_anything),
	};

	return cmocka_run_group_tests_name("policy image", tests, NULL, NULL);
}
