// SPDX-License-Identifier: Apache-2.0
/*
 * From the text of objects to the verdict on a request, through reader,
 * compiler and the kernel's own lookups: what users will see. Here stand the
 * absent, empty and matching-all fields, kind by kind, and examples of the guide's.
 */
#include "compile_world.h"

#include "bpfast/reasons.h"
#include "policy/explain.h"
#include "policy/read.h"

static const char *const ends[][3] = {
	/* name, labels, addresses; all in namespace shop but teller in bank */
	{"web", "app=web", "10.0.0.1 fd00::1"},
	{"cart", "app=cart", "10.0.0.2 fd00::2"},
	{"db", "app=db", "10.0.0.3"},
	{"teller", "app=cart", "10.0.0.4"},
};

struct question {
	const char *from, *to; /* names, or addresses */
	const char *port; /* "80", "53/udp", "icmp" */
	const char *request; /* "GET /a", or NULL */
	const char *verdict; /* "yes", "no", "audit" */
};

static void flaw(void *arg, const char *file, int line, int column, const char *message)
{
	(void)arg;
	(void)file;
	print_error("%d:%d: %s\n", line, column, message);
}

static const struct bf_endpoint *named(const struct tw *w, const char *name)
{
	for (size_t i = 0; i < w->world.endpoint_count; i++)
		if (!strcmp(w->endpoints[i].name, name))
			return &w->endpoints[i];
	return NULL;
}

static const char *ask(struct tw *w, const struct question *q)
{
	static const char *const words[] = {"yes", "no", "audit"};
	struct bf_question question = {
		.from = named(w, q->from), .to = named(w, q->to), .protocol = IPPROTO_TCP};
	struct bf_answer answer;
	struct bf_error err;

	if (strstr(q->port, "/udp"))
		question.protocol = IPPROTO_UDP;
	if (!strcmp(q->port, "icmp"))
		question.protocol = IPPROTO_ICMP;
	question.port = (uint16_t)atoi(q->port);
	if (!question.from)
		tw_addr(q->from, question.from_addr);
	if (!question.to)
		tw_addr(q->to, question.to_addr);
	if (q->request) {
		question.request =
			tw_fmt(w, "%s HTTP/1.1\r\nHost: web\r\nX-Tenant: blue\r\n\r\n", q->request);
		question.request_len = strlen(question.request);
	}
	if (bf_explain(&w->image, &question, &answer, &err))
		fail_msg("%s", err.msg);
	return words[answer.verdict];
}

static void check_text(const char *text, const struct question *rows, size_t n)
{
	struct bf_objects objects = {0};
	struct tw *w = tw_new();
	int wrong = 0;

	for (int i = 0; i < 4; i++)
		tw_endpoint(w, i == 3 ? "bank" : "shop", ends[i][0], ends[i][1], ends[i][2], i);
	tw_port_name(w, &w->endpoints[0], "http", IPPROTO_TCP, 80);
	tw_node(w, "10.0.0.254");
	if (bf_objects_read(&objects, "test.yaml", text, strlen(text), flaw, NULL))
		fail_msg("not read:\n%s", text);
	w->world.objects = &objects;
	tw_compile(w);
	for (size_t i = 0; i < n; i++) {
		const char *got = ask(w, &rows[i]);

		if (!strcmp(got, rows[i].verdict))
			continue;
		print_error("row %zu: %s to %s port %s %s: %s, want %s\n", i, rows[i].from,
			    rows[i].to, rows[i].port, rows[i].request ? rows[i].request : "", got,
			    rows[i].verdict);
		wrong++;
	}
	bf_objects_free(&objects);
	tw_free(w);
	if (wrong)
		fail_msg("%d wrong under\n%s", wrong, text);
}

#define CHECK(text, ...)                                                                           \
	do {                                                                                       \
		const struct question rows[] = {__VA_ARGS__};                                      \
		check_text(text, rows, sizeof(rows) / sizeof(*rows));                              \
	} while (0)

#define NETPOL(spec)                                                                               \
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy,"                                  \
	" metadata: {name: p, namespace: shop}, spec: " spec "}\n"
#define PAYLOAD(spec)                                                                              \
	"{apiVersion: bpfast.io/v1alpha1, kind: PayloadPolicy,"                                    \
	" metadata: {name: p, namespace: shop}, spec: " spec "}\n"
#define CILIUM(name, spec)                                                                         \
	"---\n{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy,"                               \
	" metadata: {name: " name ", namespace: shop}, spec: " spec "}\n"

/* --- NetworkPolicy ---------------------------------------------------------------- */

static void test_network_policy(void **state)
{
	(void)state;
	CHECK(NETPOL("{podSelector: {}}"), {"cart", "web", "80", NULL, "no"},
	      {"web", "teller", "80", NULL, "yes"}, {"web", "203.0.113.7", "80", NULL, "yes"});
	CHECK(NETPOL("{podSelector: {matchLabels: {app: web}}, ingress: []}"),
	      {"cart", "web", "80", NULL, "no"}, {"203.0.113.7", "web", "icmp", NULL, "no"},
	      {"web", "cart", "80", NULL, "yes"});
	CHECK(NETPOL("{podSelector: {matchLabels: {app: web}}, ingress: [{}]}"),
	      {"cart", "web", "80", NULL, "yes"}, {"203.0.113.7", "web", "icmp", NULL, "yes"});
	CHECK(NETPOL("{podSelector: {matchLabels: {app: web}}, ingress: [{from: []}]}"),
	      {"teller", "web", "80", NULL, "yes"}, {"203.0.113.7", "web", "icmp", NULL, "yes"});
	/* In a policy's namespace, everywhere, and outside: three different things. */
	CHECK(NETPOL("{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{podSelector: "
		     "{}}]}]}"),
	      {"cart", "web", "80", NULL, "yes"}, {"teller", "web", "80", NULL, "no"},
	      {"203.0.113.7", "web", "80", NULL, "no"});
	CHECK(NETPOL("{podSelector: {matchLabels: {app: web}}, ingress: [{from: "
		     "[{namespaceSelector: {}}]}]}"),
	      {"cart", "web", "80", NULL, "yes"}, {"teller", "web", "80", NULL, "yes"},
	      {"203.0.113.7", "web", "80", NULL, "no"});
	CHECK(NETPOL("{podSelector: {matchLabels: {app: web}}, ingress: [{from: "
		     "[{namespaceSelector: "
		     "{matchLabels: {kubernetes.io/metadata.name: bank}}, podSelector: "
		     "{matchLabels: "
		     "{app: cart}}}], ports: [{port: http}]}]}"),
	      {"teller", "web", "80", NULL, "yes"}, {"teller", "web", "81", NULL, "no"},
	      {"cart", "web", "80", NULL, "no"});
	CHECK(NETPOL("{podSelector: {matchLabels: {app: web}}, ingress: [{from: [{ipBlock: "
		     "{cidr: 0.0.0.0/0, except: [10.0.0.2/31]}}], ports: [{port: 80, endPort: "
		     "90}]}]}"),
	      {"cart", "web", "80", NULL, "no"}, {"db", "web", "80", NULL, "no"},
	      {"teller", "web", "90", NULL, "yes"}, {"teller", "web", "91", NULL, "no"},
	      {"203.0.113.7", "web", "85", NULL, "yes"},
	      {"203.0.113.7", "web", "85/udp", NULL, "no"},
	      {"2001:db8::1", "web", "85", NULL, "no"});
	CHECK(NETPOL("{podSelector: {matchLabels: {app: cart}}, policyTypes: [Egress], egress: "
		     "[{to: "
		     "[{podSelector: {}}], ports: [{port: http}]}, {ports: [{port: 53, protocol: "
		     "UDP}]}]}"),
	      {"cart", "web", "80", NULL, "yes"}, {"cart", "db", "80", NULL, "no"},
	      {"cart", "203.0.113.7", "53/udp", NULL, "yes"},
	      {"cart", "203.0.113.7", "53", NULL, "no"}, {"web", "cart", "80", NULL, "yes"});
}

/* --- PayloadPolicy ------------------------------------------------------------------ */

#define WEB "endpointSelector: {matchLabels: {app: web}}, "

static void test_payload_policy(void **state)
{
	(void)state;
	CHECK(PAYLOAD("{" WEB
		      "ingress: [{fromEndpoints: [{matchLabels: {app: cart}}], toPorts: [{ports: "
		      "[{port: '80', protocol: TCP}], rules: {http: [{method: GET, path: "
		      "'/api/v1/.*'}, "
		      "{method: POST, path: '/api/v1/orders', headers: ['X-Tenant: blue']}, "
		      "{method: PUT, path: '/x', headers: ['X-Tenant: red']}]}}]}]}"),
	      {"cart", "web", "80", "GET /api/v1/x", "yes"},
	      {"cart", "web", "80", "GET /api/v1/x?admin=1", "yes"},
	      {"cart", "web", "80", "GET /api/v2/x", "no"},
	      {"cart", "web", "80", "GET /api/v1/../v2/x", "no"},
	      {"cart", "web", "80", "POST /api/v1/orders", "yes"},
	      {"cart", "web", "80", "POST /api/v1/orders/1", "no"},
	      {"cart", "web", "80", "PUT /x", "no"},
	      {"cart", "web", "80", "DELETE /api/v1/x", "no"}, {"cart", "web", "80", NULL, "yes"},
	      {"cart", "web", "81", NULL, "no"}, {"db", "web", "80", "GET /api/v1/x", "no"},
	      {"teller", "web", "80", "GET /api/v1/x", "no"});
	CHECK(PAYLOAD("{" WEB
		      "mode: audit, ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: "
		      "'80'}], rules: {http: [{path: /a}]}}]}]}"),
	      {"cart", "web", "80", "GET /a", "yes"}, {"cart", "web", "80", "GET /b", "audit"},
	      {"cart", "web", "81", NULL, "audit"});
	/* Every request is not every byte, and an empty list is no request. */
	CHECK(PAYLOAD("{" WEB
		      "ingress: [{fromEndpoints: [{}], toPorts: [{ports: [{port: '80'}], rules: "
		      "{http: [{}]}}]}]}"),
	      {"cart", "web", "80", "GET /b", "yes"}, {"cart", "web", "80", "\x16\x03\x01", "no"},
	      {"cart", "web", "443", NULL, "no"});
	CHECK(PAYLOAD("{" WEB "ingress: [{toPorts: [{ports: [{port: '80', protocol: ANY}]}]}], "
		      "ingressDeny: [{fromEndpoints: [{matchLabels: {app: cart}}]}]}"),
	      {"cart", "web", "80", "GET /b", "no"}, {"db", "web", "80", NULL, "yes"},
	      {"db", "web", "80/udp", NULL, "yes"}, {"db", "web", "icmp", NULL, "no"},
	      {"203.0.113.7", "web", "80", NULL, "yes"});
}

/* --- CiliumNetworkPolicy -------------------------------------------------------------- */

static void test_cilium_policy(void **state)
{
	(void)state;
	/* The path of this kind has its query. */
	CHECK(CILIUM("p",
		     "{" WEB "ingress: [{fromEndpoints: [{matchLabels: {app: cart}}], toPorts: "
		     "[{ports: [{port: '80', protocol: TCP}], rules: {http: [{path: '/a'}, "
		     "{path: '/b[?]x=.*'}]}}]}]}"),
	      {"cart", "web", "80", "GET /a", "yes"}, {"cart", "web", "80", "GET /a?x=1", "no"},
	      {"cart", "web", "80", "GET /b?x=1", "yes"}, {"cart", "web", "80", "GET /b", "no"});
	/* A deny of a wide CIDR and an allow of a narrow one inside it. CVE-2024-47825. */
	CHECK(CILIUM("p",
		     "{" WEB "egress: [{toCIDR: [203.0.113.7/32]}, {toCIDR: [198.51.100.0/24]}], "
		     "egressDeny: [{toCIDRSet: [{cidr: 203.0.113.0/24, except: "
		     "[203.0.113.128/25]}]}]}"),
	      {"web", "203.0.113.7", "443", NULL, "no"},
	      {"web", "203.0.113.200", "443", NULL, "no"},
	      {"web", "198.51.100.9", "443", NULL, "yes"}, {"web", "cart", "443", NULL, "no"});
	/* Objects of others do not widen what this one inspects. CVE-2023-30851, CVE-2024-52529. */
	CHECK(CILIUM("l7",
		     "{" WEB "ingress: [{fromEndpoints: [{matchLabels: {app: cart}}], toPorts: "
		     "[{ports: [{port: '80', protocol: TCP}], rules: {http: [{path: /a}]}}]}]}")
		      CILIUM("l4", "{endpointSelector: {}, ingress: [{fromEntities: [all]}]}")
			      CILIUM("range",
				     "{" WEB
				     "ingress: [{fromEntities: [cluster], toPorts: [{ports: "
				     "[{port: '79', endPort: 81, protocol: TCP}]}]}]}"),
	      {"cart", "web", "80", "GET /a", "yes"}, {"cart", "web", "80", "GET /b", "no"},
	      {"cart", "web", "79", NULL, "yes"}, {"db", "web", "80", "GET /b", "yes"},
	      {"203.0.113.7", "web", "80", "GET /b", "yes"}, {"web", "cart", "80", NULL, "yes"});
	CHECK(CILIUM("p", "{" WEB "ingress: [{fromEndpoints: []}]}"),
	      {"cart", "web", "80", NULL, "no"}, {"203.0.113.7", "web", "80", NULL, "no"});
	CHECK(CILIUM("p", "{" WEB "ingress: [{fromEntities: [world]}]}"),
	      {"cart", "web", "80", NULL, "no"}, {"203.0.113.7", "web", "80", NULL, "yes"});
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_network_policy),
		cmocka_unit_test(test_payload_policy),
		cmocka_unit_test(test_cilium_policy),
	};

	return cmocka_run_group_tests_name("from text to verdict", tests, NULL, NULL);
}
