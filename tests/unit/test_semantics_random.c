// SPDX-License-Identifier: Apache-2.0
/*
 * Random worlds: the image's decision against the semantics said directly
 * (semantics_naive.h), verdict, flags, strictness and attribution; and what
 * bf_explain() says, with the kernel's own lookups and parser, to a request.
 */
#include "policy/explain.h"
#include "bpfast/reasons.h"
#include "semantics_naive.h"

#define WORLDS 400
#define QUESTIONS 400

static uint64_t seed;

static uint32_t below(uint32_t n)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 11) % n;
}

#define PICK(array) ((array)[below(sizeof(array) / sizeof(*(array)))])

static const char *const cidrs[] = {
	"0.0.0.0/0",	"10.0.0.0/8",	      "10.0.0.0/16",   "10.0.0.0/24",  "10.0.1.0/24",
	"10.0.0.4/30",	"10.0.0.5/32",	      "10.0.1.7/32",   "10.128.0.0/9", "192.168.0.0/16",
	"192.0.2.8/29", "255.255.255.255/32", "::/0",	       "fd00::/8",     "fd00::/64",
	"fd00::4/126",	"fd00::5/128",	      "2001:db8::/32", "ffff::/16",    "2001:db8:1::/48",
};
static const char *const addrs[] = {
	"10.0.0.1",
	"10.0.0.4",
	"10.0.0.5",
	"10.0.0.6",
	"10.0.0.7",
	"10.0.0.8",
	"10.0.1.7",
	"10.0.1.8",
	"10.9.9.9",
	"10.127.255.255",
	"10.128.0.0",
	"9.255.255.255",
	"11.0.0.0",
	"192.168.3.4",
	"192.0.2.7",
	"192.0.2.8",
	"192.0.2.15",
	"192.0.2.16",
	"0.0.0.0",
	"255.255.255.255",
	"fd00::1",
	"fd00::4",
	"fd00::5",
	"fd00::7",
	"fd00::8",
	"fd00:0:0:1::",
	"2001:db8::1",
	"2001:db8:1::1",
	"::",
	"fcff::1",
	"fe00::1",
	"ffff::1",
	"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
};
static const char *const selectors[] = {
	"{}",	  "app=web", "app=cart",	 "app=web|db",	"app=!web",	      "tier=*",
	"tier=-", "ns=shop", "ns=shop,app=cart", "ns:team=red", "app=web,tier=front",
};
static const char *const subjects[] = {"", "app=web", "app=cart", "tier=*", "app=!db", "ns=shop"};
static const char *const port_words[] = {
	"80",	   "80",    "443", "80-90", "85",	 "79-80",  "53/udp",	     "53/any",
	"0-65535", "65535", "*",   "@http", "@http/udp", "@admin", "9000-9100/sctp", "@http/any",
};
static const char *const https[] = {"", "GET /a", "GET /a|POST /b", "/c", "GET"};
static const uint8_t protocols[] = {IPPROTO_TCP,  IPPROTO_TCP,	IPPROTO_TCP, IPPROTO_UDP,
				    IPPROTO_SCTP, IPPROTO_ICMP, 255,	     0};
static const uint16_t ports[] = {0, 53, 79, 80, 81, 85, 86, 90, 91, 443, 8080, 9050, 65535};

static void join(char *out, size_t size, const char *word)
{
	size_t n = strlen(out);

	snprintf(out + n, size - n, "%s%s", n ? " " : "", word);
}

static void random_rule(struct tw *w, struct bf_policy *p)
{
	static const char *const fixed[] = {"all", "world", "host", "cluster"};
	unsigned int flags = below(3) ? TW_INGRESS : TW_EGRESS;
	char peers[300] = "", words[300] = "", cidr[120];

	if (!below(5))
		flags |= TW_DENY;
	if (!below(6))
		flags |= TW_NOT_ISOLATING;
	for (uint32_t i = below(4); i; i--) {
		const char *a = PICK(cidrs), *b = PICK(cidrs);
		bool v6 = strchr(a, ':'), v6b = strchr(b, ':');

		snprintf(cidr, sizeof(cidr), "%s%s%s%s", below(2) ? "ip:" : "", a,
			 v6 == v6b && below(2) ? "-" : "", v6 == v6b ? b : "");
		if (v6 == v6b && !strchr(cidr, '-'))
			snprintf(cidr, sizeof(cidr), "%s%s", below(2) ? "ip:" : "", a);
		join(peers, sizeof(peers),
		     below(2)	? cidr
		     : below(4) ? PICK(selectors)
				: PICK(fixed));
	}
	if (!below(5))
		join(words, sizeof(words), "any");
	else
		for (uint32_t i = below(4); i; i--)
			join(words, sizeof(words), PICK(port_words));
	tw_rule(w, p, flags, peers, words, !(flags & TW_DENY) && below(2) ? PICK(https) : NULL);
}

static void random_policy(struct tw *w)
{
	static const char *const spaces[] = {"shop", "bank", ""};
	struct bf_policy *p = tw_policy(w, PICK(spaces), tw_fmt(w, "p%zu", w->objects.policy_count),
					PICK(subjects));

	p->audit = !below(4);
	p->on_deny = (uint8_t)below(3);
	p->subject_none = !below(12);
	p->isolates_ingress = !below(6);
	p->isolates_egress = !below(6);
	for (uint32_t i = below(6); i; i--)
		random_rule(w, p);
}

static void random_endpoints(struct tw *w)
{
	static const char *const spaces[] = {"shop", "bank", "other"};
	static const char *const labels[] = {"app=web", "app=cart", "app=web,tier=front",
					     "app=db,tier=back", ""};
	bool used[sizeof(addrs) / sizeof(*addrs)] = {0};
	uint32_t count = 2 + below(8);
	int slot = 0;

	for (uint32_t e = 0; e < count; e++) {
		char own[200] = "";
		struct bf_endpoint *ep;

		for (uint32_t i = below(3); i; i--) {
			uint32_t a = below(sizeof(addrs) / sizeof(*addrs));

			if (!used[a])
				join(own, sizeof(own), addrs[a]);
			used[a] = true;
		}
		ep = tw_endpoint(w, PICK(spaces), tw_fmt(w, "e%u", e), PICK(labels), own,
				 e && below(3) == 0 ? -1 : slot++);
		if (below(2))
			tw_port_name(w, ep, "http", IPPROTO_TCP, below(2) ? 80 : 8080);
		if (!below(3))
			tw_port_name(w, ep, "http", IPPROTO_UDP, 53);
		if (!below(4))
			tw_port_name(w, ep, "admin", IPPROTO_TCP, 9050);
	}
	for (uint32_t i = below(3); i; i--) {
		uint32_t a = below(sizeof(addrs) / sizeof(*addrs));

		if (!used[a])
			tw_node(w, addrs[a]);
		used[a] = true;
	}
}

static void compare_refs(const struct tw *w, const struct naive_answer *want,
			 const struct bpfast_image_decision *d)
{
	char lines[8000] = "";

	if (d->verdict == BPFAST_D_HTTP) {
		const struct bpfast_image_ruleset *rs = tw_ruleset(w, d);
		const uint32_t *refs = tw_at(w, rs->rule_ref_off);

		assert_int_equal(rs->rule_count, want->ref_count);
		for (uint32_t r = 0; r < rs->rule_count; r++)
			assert_string_equal(tw_ref(w, refs[r]), want->refs[r]);
		assert_int_equal(d->ref, rs->ref);
		return;
	}
	for (size_t i = 0; i < want->ref_count; i++) {
		size_t n = strlen(lines);

		snprintf(lines + n, sizeof(lines) - n, "%s%s", n ? "\n" : "", want->refs[i]);
	}
	assert_string_equal(tw_ref(w, d->ref), lines);
}

static void ask(struct tw *w, const struct naive_question *q)
{
	static const struct bpfast_image_decision open = {.verdict = BPFAST_D_ALLOW};
	const struct bpfast_image_decision *d = tw_decision(
		w, q->subject->slot, q->egress, tw_identity(w, q->peer), q->protocol, q->port);
	struct naive_answer want = naive_judge(w, q);

	if (!d)
		d = &open;
	assert_int_equal(d->verdict, want.verdict);
	assert_int_equal(d->flags, want.audit ? BPFAST_DF_AUDIT : 0);
	assert_int_equal(d->on_deny, want.verdict == BPFAST_D_ALLOW ? 0 : want.on_deny);
	compare_refs(w, &want, d);
}

static bool has_family(const struct bf_endpoint *ep, const uint8_t like[16])
{
	for (size_t i = 0; i < ep->addr_count; i++)
		if (tw_is_v4(ep->addrs[i]) == tw_is_v4(like))
			return true;
	return false;
}

/* Returns 1 where there was a request to judge. */
static int ask_explain(struct tw *w, const struct naive_question *q,
		       const struct naive_answer *want)
{
	static const char *const methods[] = {"GET", "POST"};
	static const char *const paths[] = {"/a", "/b", "/c"};
	static const uint8_t reasons[] = {BPFAST_R_POLICY_DENIED, BPFAST_R_DENY_RULE};
	const char *method = PICK(methods), *path = PICK(paths);
	char *head = tw_fmt(w, "%s %s HTTP/1.1\r\nHost: x\r\n\r\n", method, path);
	struct bf_question question = {
		.from = q->egress ? q->subject : NULL,
		.to = q->egress ? NULL : q->subject,
		.protocol = q->protocol,
		.port = q->port,
		.request = head,
		.request_len = strlen(head),
	};
	struct bf_answer_side *side;
	struct bf_answer answer;
	struct bf_error err;
	int rule;

	if (!has_family(q->subject, q->peer))
		return 0;
	memcpy(q->egress ? question.to_addr : question.from_addr, q->peer, 16);
	if (bf_explain(&w->image, &question, &answer, &err))
		fail_msg("%s", err.msg);
	side = q->egress ? &answer.egress : &answer.ingress;
	assert_true(side->judged);
	assert_false((q->egress ? &answer.ingress : &answer.egress)->judged);
	assert_int_equal(side->l4, want->verdict);
	assert_int_equal(answer.verdict, side->verdict);
	assert_int_equal(answer.reason, side->reason);
	if (want->verdict <= BPFAST_D_DENY_RULE) {
		assert_int_equal(side->verdict, want->audit ? BPFAST_V_AUDIT : BPFAST_V_DROPPED);
		assert_int_equal(side->reason, reasons[want->verdict]);
		return 0;
	}
	if (want->verdict == BPFAST_D_ALLOW) {
		assert_int_equal(side->verdict, BPFAST_V_FORWARDED);
		return 0;
	}
	rule = naive_request(want, method, path);
	if (rule >= 0) {
		assert_int_equal(side->verdict, BPFAST_V_FORWARDED);
		assert_string_equal(tw_ref(w, side->ref), want->refs[rule]);
	} else {
		assert_int_equal(side->verdict, want->audit ? BPFAST_V_AUDIT : BPFAST_V_DROPPED);
		assert_int_equal(side->reason, BPFAST_R_HTTP_DENIED);
	}
	return 1;
}

static void test_random(void **state)
{
	size_t asked[4] = {0}, audits = 0, requests = 0;

	(void)state;
	for (uint32_t i = 1; i <= WORLDS; i++) {
		struct tw *w = tw_new();

		seed = 0x9e3779b97f4a7c15u * i;
		tw_namespace(w, "shop", "team=red");
		tw_namespace(w, "bank", "team=blue");
		random_endpoints(w);
		for (uint32_t p = 1 + below(8); p; p--)
			random_policy(w);
		tw_compile(w);
		for (int k = 0; k < QUESTIONS; k++) {
			struct naive_question q = {.egress = below(2),
						   .protocol = PICK(protocols),
						   .port = PICK(ports)};
			struct naive_answer a;

			do
				q.subject = &w->endpoints[below((uint32_t)w->world.endpoint_count)];
			while (q.subject->slot < 0);
			tw_addr(PICK(addrs), q.peer);
			if (q.protocol != IPPROTO_TCP && q.protocol != IPPROTO_UDP &&
			    q.protocol != IPPROTO_SCTP)
				q.port = 0;
			ask(w, &q);
			a = naive_judge(w, &q);
			asked[a.verdict]++;
			audits += a.audit;
			requests += (size_t)ask_explain(w, &q, &a);
		}
		tw_free(w);
	}
	/* The worlds must not be so poor that a verdict hardly ever occurs. */
	for (int v = 0; v < 4; v++)
		assert_true(asked[v] > WORLDS * QUESTIONS / 100);
	assert_true(requests > WORLDS * QUESTIONS / 200);
	assert_true(audits > WORLDS * QUESTIONS / 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests_name("semantics, random", tests, NULL, NULL);
}
