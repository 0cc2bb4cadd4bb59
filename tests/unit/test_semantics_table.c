// SPDX-License-Identifier: Apache-2.0
/*
 * What policies mean, as tables: a few objects, then questions with the answer
 * that the image gives. The answers are written
 *
 *   allow NAME/i0        by ingress rule 0 of object NAME (e0: egress rule 0)
 *   open                 not isolated at all
 *   deny NAME            no rule allows; NAME isolates
 *   deny-rule NAME/i1    a deny rule
 *   http NAME/i0.1 ...   inspected with these rules (HTTP rule 1 of ingress rule 0)
 *   audit ...            as said, but only recorded
 */
#include "compile_world.h"

/* The endpoints of every table. */
enum { WEB, CART, DB, TELLER };

static struct tw *shop(void)
{
	struct tw *w = tw_new();
	struct bf_endpoint *web;

	tw_namespace(w, "shop", "team=red");
	web = tw_endpoint(w, "shop", "web", "app=web", "10.0.0.1 fd00::1", WEB);
	tw_port_name(w, web, "http", IPPROTO_TCP, 8080);
	tw_endpoint(w, "shop", "cart", "app=cart", "10.0.0.2 fd00::2", CART);
	tw_endpoint(w, "shop", "db", "app=db", "10.0.0.3", DB);
	tw_endpoint(w, "bank", "teller", "app=cart", "10.0.0.4", TELLER);
	tw_endpoint(w, "shop", "far", "app=cart", "10.1.0.9", -1);
	tw_node(w, "10.0.0.254");
	return w;
}

#define FROM_CART "10.0.0.2"
#define FROM_DB "10.0.0.3"
#define FROM_TELLER "10.0.0.4"
#define FROM_FAR "10.1.0.9"
#define FROM_NODE "10.0.0.254"
#define FROM_WORLD "203.0.113.7"

struct question {
	int slot;
	char direction; /* 'i' or 'e' */
	const char *peer;
	const char *port; /* "80", "53/udp", "icmp" */
	const char *answer;
};

/* "PayloadPolicy\tshop\tweb\tspec.ingress[0].rules.http[1]" to "web/i0.1". */
static void shorten(const char *line, char *out, size_t size)
{
	char name[100] = "", direction[20] = "";
	const char *rule = line, *http = strstr(line, ".rules.http[");
	int at = 0, n = 0;
	size_t len;

	for (int tab = 0; tab < 2; tab++)
		rule = strchr(rule, '\t') + 1;
	len = strcspn(rule, "\t");
	snprintf(name, sizeof(name), "%.*s", (int)len, rule);
	rule += len + 1;
	if (sscanf(rule, "spec.%19[a-zA-Z][%d]", direction, &at) != 2) {
		snprintf(out, size, "%s", name);
		return;
	}
	if (http && sscanf(http, ".rules.http[%d]", &n) == 1)
		snprintf(out, size, "%s/%c%d.%d", name, *direction, at, n);
	else
		snprintf(out, size, "%s/%c%d", name, *direction, at);
}

static void append_lines(char *out, size_t size, const char *text)
{
	char line[400], brief[200];

	while (*text) {
		size_t len = strcspn(text, "\n"), n = strlen(out);

		snprintf(line, sizeof(line), "%.*s", (int)len, text);
		shorten(line, brief, sizeof(brief));
		snprintf(out + n, size - n, " %s", brief);
		text += len + (text[len] == '\n');
	}
}

static void answer(const struct tw *w, const struct question *q, char *out, size_t size)
{
	static const char *const words[] = {"deny", "deny-rule", "allow", "http"};
	uint8_t protocol = strstr(q->port, "/udp")    ? IPPROTO_UDP
			   : strstr(q->port, "/sctp") ? IPPROTO_SCTP
			   : !strcmp(q->port, "icmp") ? IPPROTO_ICMP
						      : IPPROTO_TCP;
	const struct bpfast_image_decision *d =
		tw_decision(w, q->slot, q->direction == 'e', tw_identity_of(w, q->peer), protocol,
			    (uint16_t)atoi(q->port));

	snprintf(out, size, "open");
	if (!d)
		return;
	snprintf(out, size, "%s%s", d->flags & BPFAST_DF_AUDIT ? "audit " : "", words[d->verdict]);
	if (d->verdict != BPFAST_D_HTTP) {
		append_lines(out, size, tw_ref(w, d->ref));
		return;
	}
	const struct bpfast_image_ruleset *rs = tw_ruleset(w, d);
	const uint32_t *refs = tw_at(w, rs->rule_ref_off);

	for (uint32_t r = 0; r < rs->rule_count; r++)
		append_lines(out, size, tw_ref(w, refs[r]));
}

static void check_table(struct tw *w, const struct question *rows, size_t n)
{
	char got[1000];
	int wrong = 0;

	tw_compile(w);
	for (size_t i = 0; i < n; i++) {
		answer(w, &rows[i], got, sizeof(got));
		if (!strcmp(got, rows[i].answer))
			continue;
		print_error("row %zu: slot %d %c %s port %s: got \"%s\", want \"%s\"\n", i,
			    rows[i].slot, rows[i].direction, rows[i].peer, rows[i].port, got,
			    rows[i].answer);
		wrong++;
	}
	tw_free(w);
	assert_int_equal(wrong, 0);
}

#define CHECK(world, ...)                                                                          \
	do {                                                                                       \
		const struct question rows[] = {__VA_ARGS__};                                      \
		check_table(world, rows, sizeof(rows) / sizeof(*rows));                            \
	} while (0)

/* --- L3 and L4 ------------------------------------------------------------------ */

static void test_isolation(void **state)
{
	struct tw *w = shop();
	struct bf_policy *p = tw_policy(w, "shop", "web", "app=web");

	(void)state;
	tw_rule(w, p, TW_INGRESS, "ns=shop,app=cart", "80", NULL);
	/* Only the selected endpoint, only its ingress; the rest is open. */
	CHECK(w, {WEB, 'i', FROM_CART, "80", "allow web/i0"},
	      {WEB, 'i', FROM_FAR, "80", "allow web/i0"}, {WEB, 'i', FROM_CART, "81", "deny web"},
	      {WEB, 'i', FROM_CART, "80/udp", "deny web"},
	      {WEB, 'i', FROM_CART, "icmp", "deny web"},
	      {WEB, 'i', FROM_TELLER, "80", "deny web"}, /* same label, other namespace */
	      {WEB, 'i', FROM_DB, "80", "deny web"}, {WEB, 'i', FROM_WORLD, "80", "deny web"},
	      {WEB, 'i', FROM_NODE, "80", "deny web"}, /* the hook lets the node in, not a rule */
	      {WEB, 'e', FROM_DB, "5432", "open"}, {CART, 'i', FROM_DB, "80", "open"},
	      {CART, 'e', "10.0.0.1", "80", "open"});
}

static void test_isolation_without_rules(void **state)
{
	struct tw *w = shop();
	struct bf_policy *p = tw_policy(w, "shop", "lock", "");

	(void)state;
	p->isolates_ingress = true;
	CHECK(w, {WEB, 'i', FROM_CART, "80", "deny lock"}, {WEB, 'e', FROM_DB, "80", "open"},
	      {CART, 'i', FROM_WORLD, "icmp", "deny lock"},
	      {TELLER, 'i', FROM_CART, "80", "open"}); /* another namespace */
}

static void test_union_of_objects(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "a", "app=web"), TW_INGRESS, "app=cart", "80", NULL);
	tw_rule(w, tw_policy(w, "shop", "b", ""), TW_INGRESS, "app=db", "81", NULL);
	CHECK(w, {WEB, 'i', FROM_CART, "80", "allow a/i0"}, {WEB, 'i', FROM_DB, "81", "allow b/i0"},
	      {WEB, 'i', FROM_DB, "80", "deny a b"}, {DB, 'i', FROM_CART, "80", "deny b"});
}

/* An absent list is "all" when the reader hands it over; empty ones are nobody and nothing. */
static void test_empty_lists(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "nobody", "app=web"), TW_INGRESS, "", "any", NULL);
	tw_rule(w, tw_policy(w, "shop", "nothing", "app=cart"), TW_INGRESS, "all", "", NULL);
	tw_rule(w, tw_policy(w, "shop", "all", "app=db"), TW_INGRESS, "all", "any", NULL);
	CHECK(w, {WEB, 'i', FROM_CART, "80", "deny nobody"},
	      {WEB, 'i', FROM_WORLD, "icmp", "deny nobody"},
	      {CART, 'i', FROM_DB, "80", "deny nothing"},
	      {CART, 'i', FROM_DB, "icmp", "deny nothing"},
	      {DB, 'i', FROM_WORLD, "80", "allow all/i0"},
	      {DB, 'i', FROM_WORLD, "icmp", "allow all/i0"},
	      {DB, 'i', FROM_NODE, "1/sctp", "allow all/i0"});
}

/* The empty selector is every endpoint, and nobody who is none. CVE-2025-64715. */
static void test_empty_selector(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "any", "app=web"), TW_INGRESS, "{}", "80", NULL);
	tw_policy(w, "shop", "none", "")->subject_none = true;
	w->policies[1].isolates_ingress = true;
	CHECK(w, {WEB, 'i', FROM_TELLER, "80", "allow any/i0"},
	      {WEB, 'i', FROM_WORLD, "80", "deny any"}, {WEB, 'i', FROM_NODE, "80", "deny any"},
	      {DB, 'i', FROM_WORLD, "80", "open"});
}

static void test_entities(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "w", "app=web"), TW_INGRESS, "world", "80", NULL);
	tw_rule(w, tw_policy(w, "shop", "h", "app=cart"), TW_INGRESS, "host", "80", NULL);
	tw_rule(w, tw_policy(w, "shop", "c", "app=db"), TW_INGRESS, "cluster", "80", NULL);
	tw_rule(w, tw_policy(w, "shop", "eh", "app=web"), TW_EGRESS, "host", "90", NULL);
	tw_rule(w, tw_policy(w, "shop", "ec", "app=web"), TW_EGRESS, "cluster", "91", NULL);
	tw_rule(w, tw_policy(w, "shop", "ew", "app=web"), TW_EGRESS, "world", "92", NULL);
	/* A CIDR of another object splits the world and must not take it away. */
	tw_rule(w, tw_policy(w, "shop", "x", "app=cart"), TW_EGRESS, "203.0.113.0/24", "1", NULL);
	CHECK(w, {WEB, 'i', FROM_WORLD, "80", "allow w/i0"},
	      {WEB, 'i', "198.51.100.1", "80", "allow w/i0"},
	      {WEB, 'i', "2001:db8::1", "80", "allow w/i0"}, {WEB, 'i', FROM_CART, "80", "deny w"},
	      {CART, 'i', FROM_DB, "80", "deny h"}, {CART, 'i', FROM_WORLD, "80", "deny h"},
	      {DB, 'i', FROM_FAR, "80", "allow c/i0"}, {DB, 'i', FROM_WORLD, "80", "deny c"},
	      /* The node is known by how its packets arrive: its address proves nothing. */
	      {WEB, 'i', FROM_NODE, "80", "allow w/i0"}, {CART, 'i', FROM_NODE, "80", "deny h"},
	      {DB, 'i', FROM_NODE, "80", "deny c"},
	      /* As a destination it is known by its address. */
	      {WEB, 'e', FROM_NODE, "90", "allow eh/e0"},
	      {WEB, 'e', FROM_DB, "90", "deny eh ec ew"},
	      {WEB, 'e', FROM_NODE, "91", "allow ec/e0"}, {WEB, 'e', FROM_DB, "91", "allow ec/e0"},
	      {WEB, 'e', FROM_NODE, "92", "deny eh ec ew"},
	      {WEB, 'e', FROM_WORLD, "92", "allow ew/e0"});
}

static void test_cidrs(void **state)
{
	struct tw *w = shop();
	struct bf_policy *p = tw_policy(w, "shop", "c", "app=web");

	(void)state;
	tw_rule(w, p, TW_EGRESS, "0.0.0.0/0-10.0.0.0/8-203.0.113.0/24", "80", NULL);
	tw_rule(w, p, TW_EGRESS, "ip:10.0.0.0/24-10.0.0.3/32", "81", NULL);
	tw_rule(w, p, TW_EGRESS, "2001:db8::/32", "82", NULL);
	CHECK(w, {WEB, 'e', "198.51.100.1", "80", "allow c/e0"},
	      {WEB, 'e', "9.255.255.255", "80", "allow c/e0"},
	      {WEB, 'e', "10.200.0.1", "80", "deny c"}, {WEB, 'e', FROM_WORLD, "80", "deny c"},
	      {WEB, 'e', "255.255.255.255", "80", "allow c/e0"},
	      {WEB, 'e', "2001:db8::1", "80", "deny c"}, /* IPv4's everything is not IPv6's */
	      {WEB, 'e', "2001:db8::1", "82", "allow c/e2"},
	      {WEB, 'e', "2001:db9::1", "82", "deny c"},
	      /* Endpoints are not in a CIDR unless it is an ipBlock. */
	      {WEB, 'e', FROM_CART, "80", "deny c"}, {WEB, 'e', FROM_CART, "81", "allow c/e1"},
	      {WEB, 'e', FROM_DB, "81", "deny c"}, {WEB, 'e', FROM_NODE, "81", "allow c/e1"},
	      {WEB, 'e', FROM_FAR, "81", "deny c"});
}

/* CVE-2024-47825: a narrow allow must not win over a wide deny. */
static void test_narrow_allow_in_wide_deny(void **state)
{
	struct tw *w = shop();
	struct bf_policy *p = tw_policy(w, "shop", "d", "app=web");

	(void)state;
	tw_rule(w, p, TW_EGRESS, "203.0.113.7/32", "443", NULL);
	tw_rule(w, p, TW_EGRESS | TW_DENY, "203.0.113.0/24", "any", NULL);
	tw_rule(w, p, TW_EGRESS, "0.0.0.0/0", "443", NULL);
	CHECK(w, {WEB, 'e', "203.0.113.7", "443", "deny-rule d/e1"},
	      {WEB, 'e', "203.0.113.8", "443", "deny-rule d/e1"},
	      {WEB, 'e', "203.0.113.7", "icmp", "deny-rule d/e1"},
	      {WEB, 'e', "203.0.114.7", "443", "allow d/e2"},
	      {WEB, 'e', "203.0.114.7", "444", "deny d"});
}

static void test_deny_rules(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "a", "app=web"), TW_INGRESS, "all", "any", NULL);
	tw_rule(w, tw_policy(w, "", "d", "app=*"), TW_INGRESS | TW_DENY | TW_NOT_ISOLATING,
		"app=db", "80-90", NULL);
	/* A deny rule of an object that isolates nobody leaves the rest open. */
	CHECK(w, {WEB, 'i', FROM_DB, "79", "allow a/i0"},
	      {WEB, 'i', FROM_DB, "80", "deny-rule d/i0"},
	      {WEB, 'i', FROM_DB, "90", "deny-rule d/i0"}, {WEB, 'i', FROM_DB, "91", "allow a/i0"},
	      {CART, 'i', FROM_DB, "85", "deny-rule d/i0"}, {CART, 'i', FROM_DB, "79", "allow"},
	      {CART, 'i', "10.0.0.1", "85", "allow"}, {CART, 'e', FROM_DB, "85", "open"});
}

static void test_ports(void **state)
{
	struct tw *w = shop();
	struct bf_policy *p = tw_policy(w, "shop", "p", "app=web");

	(void)state;
	tw_rule(w, p, TW_INGRESS, "all", "53/any 80 100-200 0/udp 65535", NULL);
	CHECK(w, {WEB, 'i', FROM_DB, "53", "allow p/i0"},
	      {WEB, 'i', FROM_DB, "53/udp", "allow p/i0"},
	      {WEB, 'i', FROM_DB, "53/sctp", "allow p/i0"}, {WEB, 'i', FROM_DB, "52", "deny p"},
	      {WEB, 'i', FROM_DB, "54", "deny p"}, {WEB, 'i', FROM_DB, "80/udp", "deny p"},
	      {WEB, 'i', FROM_DB, "99", "deny p"}, {WEB, 'i', FROM_DB, "100", "allow p/i0"},
	      {WEB, 'i', FROM_DB, "200", "allow p/i0"}, {WEB, 'i', FROM_DB, "201", "deny p"},
	      {WEB, 'i', FROM_DB, "0/udp", "allow p/i0"}, {WEB, 'i', FROM_DB, "0", "deny p"},
	      {WEB, 'i', FROM_DB, "65535", "allow p/i0"}, {WEB, 'i', FROM_DB, "65534", "deny p"},
	      {WEB, 'i', FROM_DB, "icmp", "deny p"});
}

/* Every port is not every protocol. */
static void test_every_port(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "p", "app=web"), TW_INGRESS, "all", "*", NULL);
	CHECK(w, {WEB, 'i', FROM_DB, "0", "allow p/i0"}, {WEB, 'i', FROM_DB, "65535", "allow p/i0"},
	      {WEB, 'i', FROM_DB, "9/udp", "allow p/i0"},
	      {WEB, 'i', FROM_DB, "9/sctp", "allow p/i0"}, {WEB, 'i', FROM_DB, "icmp", "deny p"});
}

static void test_named_ports(void **state)
{
	struct tw *w = shop();
	struct bf_endpoint *other = tw_endpoint(w, "shop", "web2", "app=web", "10.0.0.9", 9);

	(void)state;
	tw_port_name(w, other, "http", IPPROTO_TCP, 9090);
	tw_port_name(w, other, "http", IPPROTO_UDP, 9091);
	tw_rule(w, tw_policy(w, "shop", "in", "app=web"), TW_INGRESS, "all", "@http", NULL);
	tw_rule(w, tw_policy(w, "shop", "out", "app=cart"), TW_EGRESS, "{} world", "@http", NULL);
	/* Into a pod: its own name. Out of a pod: the peer's. */
	CHECK(w, {WEB, 'i', FROM_CART, "8080", "allow in/i0"},
	      {WEB, 'i', FROM_CART, "9090", "deny in"}, {9, 'i', FROM_CART, "9090", "allow in/i0"},
	      {9, 'i', FROM_CART, "8080", "deny in"}, {9, 'i', FROM_CART, "9091/udp", "deny in"},
	      {CART, 'e', "10.0.0.1", "8080", "allow out/e0"},
	      {CART, 'e', "fd00::1", "8080", "allow out/e0"},
	      {CART, 'e', "10.0.0.1", "9090", "deny out"},
	      {CART, 'e', "10.0.0.9", "9090", "allow out/e0"},
	      {CART, 'e', FROM_DB, "8080", "deny out"},
	      {CART, 'e', FROM_WORLD, "8080", "deny out"});
}

static void test_namespace_labels(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "bank", "n", ""), TW_INGRESS, "ns:team=red ns:team=-", "80", NULL);
	tw_rule(w, tw_policy(w, "shop", "m", "app=web"), TW_INGRESS,
		"ns:kubernetes.io/metadata.name=bank", "80", NULL);
	CHECK(w, {TELLER, 'i', FROM_CART, "80", "allow n/i0"},
	      {TELLER, 'i', FROM_WORLD, "80", "deny n"},
	      {WEB, 'i', FROM_TELLER, "80", "allow m/i0"}, {WEB, 'i', FROM_CART, "80", "deny m"});
}

static void test_both_address_families(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "p", "app=web"), TW_INGRESS, "app=cart", "80", NULL);
	CHECK(w, {WEB, 'i', "fd00::2", "80", "allow p/i0"}, {WEB, 'i', "fd00::3", "80", "deny p"},
	      {WEB, 'i', "::ffff:10.0.0.2", "80", "allow p/i0"});
}

/* --- HTTP ------------------------------------------------------------------------ */

/* A port under two objects, one L4 and one L7. CVE-2023-30851: nor does an allow-all widen it. */
static void test_http_beside_l4(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "l7", "app=web"), TW_INGRESS, "app=cart", "80",
		"GET /a|POST /b");
	tw_rule(w, tw_policy(w, "shop", "l4", "app=web"), TW_INGRESS, "all", "80", NULL);
	tw_rule(w, tw_policy(w, "", "all", "app=*"), TW_INGRESS, "{}", "any", NULL);
	CHECK(w, {WEB, 'i', FROM_CART, "80", "http l7/i0.0 l7/i0.1"},
	      {WEB, 'i', FROM_FAR, "80", "http l7/i0.0 l7/i0.1"},
	      {WEB, 'i', FROM_DB, "80", "allow l4/i0 all/i0"},
	      {WEB, 'i', FROM_WORLD, "80", "allow l4/i0"},
	      {WEB, 'i', FROM_CART, "81", "allow all/i0"},
	      {WEB, 'i', FROM_CART, "80/udp", "allow all/i0"},
	      {CART, 'i', FROM_DB, "80", "allow all/i0"});
}

/* CVE-2024-28248: the outcome must not hang on the order of objects. */
static void test_http_in_any_order(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "", "all", "app=*"), TW_INGRESS, "{}", "any", NULL);
	tw_rule(w, tw_policy(w, "shop", "l4", "app=web"), TW_INGRESS, "all", "80", NULL);
	tw_rule(w, tw_policy(w, "shop", "l7", "app=web"), TW_INGRESS, "app=cart", "80", "GET /a");
	CHECK(w, {WEB, 'i', FROM_CART, "80", "http l7/i0.0"},
	      {WEB, 'i', FROM_DB, "80", "allow all/i0 l4/i0"});
}

/* CVE-2024-52529: a range with an L7 rule on one port inside it. */
static void test_http_in_port_range(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "range", "app=web"), TW_INGRESS, "app=cart", "80-90", NULL);
	tw_rule(w, tw_policy(w, "shop", "l7", "app=web"), TW_INGRESS, "app=cart", "85", "GET /a");
	CHECK(w, {WEB, 'i', FROM_CART, "79", "deny range l7"},
	      {WEB, 'i', FROM_CART, "80", "allow range/i0"},
	      {WEB, 'i', FROM_CART, "84", "allow range/i0"},
	      {WEB, 'i', FROM_CART, "85", "http l7/i0.0"},
	      {WEB, 'i', FROM_CART, "86", "allow range/i0"},
	      {WEB, 'i', FROM_CART, "91", "deny range l7"});
}

static void test_http_union(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "a", "app=web"), TW_INGRESS, "app=cart", "80", "GET /a");
	tw_rule(w, tw_policy(w, "shop", "b", "app=web"), TW_INGRESS, "{}", "80-81", "GET /b|/c");
	CHECK(w, {WEB, 'i', FROM_CART, "80", "http a/i0.0 b/i0.0 b/i0.1"},
	      {WEB, 'i', FROM_DB, "80", "http b/i0.0 b/i0.1"},
	      {WEB, 'i', FROM_CART, "81", "http b/i0.0 b/i0.1"},
	      {WEB, 'i', FROM_WORLD, "80", "deny a b"});
}

/* A rule without HTTP widens only beside the HTTP rules of its own object. */
static void test_http_widened_in_one_object(void **state)
{
	struct tw *w = shop();
	struct bf_policy *a = tw_policy(w, "shop", "a", "app=web");

	(void)state;
	tw_rule(w, a, TW_INGRESS, "app=cart", "80", "GET /a");
	tw_rule(w, a, TW_INGRESS, "ns=shop", "80", NULL);
	tw_rule(w, tw_policy(w, "shop", "b", "app=web"), TW_INGRESS, "app=cart", "80-81", NULL);
	CHECK(w, {WEB, 'i', FROM_CART, "80", "allow a/i1 b/i0"},
	      {WEB, 'i', FROM_DB, "80", "allow a/i1"}, {WEB, 'i', FROM_TELLER, "80", "http a/i0.0"},
	      {WEB, 'i', FROM_CART, "81", "allow b/i0"});
}

/* Where another object still inspects, a widened one allows every request, not every byte. */
static void test_http_widened_beside_inspecting(void **state)
{
	struct tw *w = shop();
	struct bf_policy *a = tw_policy(w, "shop", "a", "app=web");

	(void)state;
	tw_rule(w, a, TW_INGRESS, "app=cart", "80", "GET /a");
	tw_rule(w, a, TW_INGRESS, "all", "80", NULL);
	tw_rule(w, tw_policy(w, "shop", "z", "app=web"), TW_INGRESS, "app=cart", "80", "GET /z");
	CHECK(w, {WEB, 'i', FROM_CART, "80", "http a/i1 z/i0.0"},
	      {WEB, 'i', FROM_DB, "80", "allow a/i1"});
}

/* An empty list of HTTP rules allows no request, and is not the same as none at all. */
static void test_http_empty_list(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "e", "app=web"), TW_INGRESS, "app=cart", "80", "");
	tw_rule(w, tw_policy(w, "shop", "l4", "app=web"), TW_INGRESS, "app=cart", "80", NULL);
	CHECK(w, {WEB, 'i', FROM_CART, "80", "http"}, {WEB, 'i', FROM_DB, "80", "deny e l4"});
}

/* HTTP runs over TCP: such a rule allows nothing else. */
static void test_http_is_tcp(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "h", "app=web"), TW_INGRESS, "all", "any", "GET /a");
	tw_rule(w, tw_policy(w, "shop", "g", "app=cart"), TW_INGRESS, "all", "80/any", "GET /a");
	CHECK(w, {WEB, 'i', FROM_CART, "1", "http h/i0.0"},
	      {WEB, 'i', FROM_CART, "1/udp", "deny h"}, {WEB, 'i', FROM_CART, "icmp", "deny h"},
	      {CART, 'i', FROM_DB, "80", "http g/i0.0"}, {CART, 'i', FROM_DB, "80/udp", "deny g"});
}

/* Allowed by its path, denied by its source. */
static void test_http_and_deny(void **state)
{
	struct tw *w = shop();
	struct bf_policy *p = tw_policy(w, "shop", "p", "app=web");

	(void)state;
	tw_rule(w, p, TW_INGRESS, "{}", "80", "GET /a");
	tw_rule(w, p, TW_INGRESS | TW_DENY, "app=db", "any", NULL);
	CHECK(w, {WEB, 'i', FROM_CART, "80", "http p/i0.0"},
	      {WEB, 'i', FROM_DB, "80", "deny-rule p/i1"},
	      {WEB, 'i', FROM_DB, "icmp", "deny-rule p/i1"});
}

static void test_http_egress(void **state)
{
	struct tw *w = shop();

	(void)state;
	tw_rule(w, tw_policy(w, "shop", "o", "app=cart"), TW_EGRESS, "app=web 203.0.113.0/24", "80",
		"GET /a");
	CHECK(w, {CART, 'e', "10.0.0.1", "80", "http o/e0.0"},
	      {CART, 'e', FROM_WORLD, "80", "http o/e0.0"}, {CART, 'e', FROM_DB, "80", "deny o"},
	      {CART, 'i', FROM_DB, "80", "open"});
}

/* --- audit ------------------------------------------------------------------------ */

static void test_audit_alone(void **state)
{
	struct tw *w = shop();
	struct bf_policy *p = tw_policy(w, "shop", "a", "app=web");

	(void)state;
	p->audit = true;
	tw_rule(w, p, TW_INGRESS, "app=cart", "80", "GET /a");
	tw_rule(w, p, TW_INGRESS, "app=cart", "81", NULL);
	tw_rule(w, p, TW_INGRESS | TW_DENY, "app=db", "82", NULL);
	CHECK(w, {WEB, 'i', FROM_CART, "80", "audit http a/i0.0"},
	      {WEB, 'i', FROM_CART, "81", "allow"}, {WEB, 'i', FROM_CART, "82", "audit deny a"},
	      {WEB, 'i', FROM_DB, "82", "audit deny-rule a/i2"}, {WEB, 'e', FROM_DB, "1", "open"});
}

/* Enforced verdicts stay as they are, whatever an object in mode audit says. */
static void test_audit_beside_enforced(void **state)
{
	struct tw *w = shop();
	struct bf_policy *e = tw_policy(w, "shop", "e", "app=web");
	struct bf_policy *a = tw_policy(w, "shop", "a", "app=web");

	(void)state;
	a->audit = true;
	tw_rule(w, e, TW_INGRESS, "app=cart", "80", NULL);
	tw_rule(w, e, TW_INGRESS, "app=cart", "81", "GET /e");
	tw_rule(w, e, TW_INGRESS, "app=cart", "83", NULL);
	tw_rule(w, a, TW_INGRESS, "app=cart", "80-82", "GET /a");
	tw_rule(w, a, TW_INGRESS | TW_DENY, "app=cart", "83", NULL);
	tw_rule(w, a, TW_INGRESS | TW_DENY, "app=db", "81", NULL);
	CHECK(w, {WEB, 'i', FROM_CART, "80", "audit http a/i0.0"},
	      {WEB, 'i', FROM_CART, "81", "http e/i1.0"},
	      {WEB, 'i', FROM_CART, "82", "deny e"}, /* an audited rule allows nothing */
	      {WEB, 'i', FROM_CART, "83", "audit deny-rule a/i1"},
	      {WEB, 'i', FROM_DB, "81", "deny e"});
}

/* Inspection that is enforced goes on where an object in mode audit would deny. */
static void test_audit_deny_keeps_inspection(void **state)
{
	struct tw *w = shop();
	struct bf_policy *e = tw_policy(w, "shop", "e", "app=web");
	struct bf_policy *a = tw_policy(w, "shop", "a", "app=web");

	(void)state;
	a->audit = true;
	tw_rule(w, e, TW_INGRESS, "app=cart", "80", "GET /e");
	tw_rule(w, a, TW_INGRESS | TW_DENY, "app=cart", "80", NULL);
	CHECK(w, {WEB, 'i', FROM_CART, "80", "http e/i0.0"});
}

/* --- strictness ------------------------------------------------------------------- */

static uint8_t on_deny_of(const struct tw *w, const char *peer, uint16_t port)
{
	return tw_decision(w, WEB, false, tw_identity_of(w, peer), IPPROTO_TCP, port)->on_deny;
}

static void test_on_deny(void **state)
{
	struct tw *w = shop();
	struct bf_policy *reply = tw_policy(w, "shop", "reply", "app=web");
	struct bf_policy *reset = tw_policy(w, "shop", "reset", "app=web");
	struct bf_policy *drop = tw_policy(w, "shop", "drop", "app=web");

	(void)state;
	reset->on_deny = BPFAST_ON_DENY_RESET;
	drop->on_deny = BPFAST_ON_DENY_DROP;
	tw_rule(w, reply, TW_INGRESS, "app=cart", "80-82", "GET /a");
	tw_rule(w, reset, TW_INGRESS, "app=cart", "81-82", "GET /b");
	tw_rule(w, reset, TW_INGRESS | TW_DENY, "app=db", "80", NULL);
	tw_rule(w, drop, TW_INGRESS | TW_NOT_ISOLATING, "app=cart", "82", "GET /c");
	tw_compile(w);
	assert_int_equal(on_deny_of(w, FROM_CART, 80), BPFAST_ON_DENY_REPLY);
	assert_int_equal(on_deny_of(w, FROM_CART, 81), BPFAST_ON_DENY_RESET);
	assert_int_equal(on_deny_of(w, FROM_CART, 82), BPFAST_ON_DENY_DROP);
	/* Nothing allows: those that isolate, of which the dropping one is none. */
	assert_int_equal(on_deny_of(w, FROM_CART, 83), BPFAST_ON_DENY_RESET);
	assert_int_equal(on_deny_of(w, FROM_DB, 80), BPFAST_ON_DENY_RESET);
	tw_free(w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_isolation),
		cmocka_unit_test(test_isolation_without_rules),
		cmocka_unit_test(test_union_of_objects),
		cmocka_unit_test(test_empty_lists),
		cmocka_unit_test(test_empty_selector),
		cmocka_unit_test(test_entities),
		cmocka_unit_test(test_cidrs),
		cmocka_unit_test(test_narrow_allow_in_wide_deny),
		cmocka_unit_test(test_deny_rules),
		cmocka_unit_test(test_ports),
		cmocka_unit_test(test_every_port),
		cmocka_unit_test(test_named_ports),
		cmocka_unit_test(test_namespace_labels),
		cmocka_unit_test(test_both_address_families),
		cmocka_unit_test(test_http_beside_l4),
		cmocka_unit_test(test_http_in_any_order),
		cmocka_unit_test(test_http_in_port_range),
		cmocka_unit_test(test_http_union),
		cmocka_unit_test(test_http_widened_in_one_object),
		cmocka_unit_test(test_http_widened_beside_inspecting),
		cmocka_unit_test(test_http_empty_list),
		cmocka_unit_test(test_http_is_tcp),
		cmocka_unit_test(test_http_and_deny),
		cmocka_unit_test(test_http_egress),
		cmocka_unit_test(test_audit_alone),
		cmocka_unit_test(test_audit_beside_enforced),
		cmocka_unit_test(test_audit_deny_keeps_inspection),
		cmocka_unit_test(test_on_deny),
	};

	return cmocka_run_group_tests_name("semantics", tests, NULL, NULL);
}
