// SPDX-License-Identifier: Apache-2.0
/* Texts, sets of objects, and the limits of the reader. */
#include <errno.h>

#include <jansson.h>

#include "policy/read_place.h"
#include "policy/read_syntax.h"
#include "read_render.h"

static int read_text(struct bf_objects *objects, const char *text, char **flaws)
{
	FILE *f = render_open(flaws);
	int ret = bf_objects_read(objects, "dir/f.yaml", text, strlen(text), render_flaw, f);

	fclose(f);
	return ret;
}

/* Adds a text that has to be right. */
static void add(struct bf_objects *objects, const char *text)
{
	char *flaws = NULL;

	if (read_text(objects, text, &flaws))
		fail_msg("%s", flaws);
	free(flaws);
}

static void expect(const struct bf_objects *objects, const char *want)
{
	char *got = NULL;
	FILE *f = render_open(&got);

	render_objects(f, objects);
	fclose(f);
	assert_string_equal(got, want);
	free(got);
}

#define NP(name, ns, rest)                                                                         \
	"{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: " name           \
	", namespace: " ns "}, spec: {" rest "}}"
#define CNP(name, rest)                                                                            \
	"{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: " name "}, " rest  \
	"}"
#define NAMESPACE(name, labels)                                                                    \
	"{apiVersion: v1, kind: Namespace, metadata: {name: " name ", labels: {" labels "}}}"

static void test_replace_and_remove(void **state)
{
	struct bf_objects o = {0};

	(void)state;
	add(&o,
	    "---\n" NP("a", "x", "") "\n---\n" NP("a", "w", "") "\n---\n" NAMESPACE("x", "t: u"));
	add(&o, NP("a", "x", "policyTypes: [Egress]"));
	add(&o, NAMESPACE("x", "t: w") "\n---\n" NAMESPACE("w", ""));
	expect(&o, "Namespace x t=w\nNamespace w\n"
		   "NetworkPolicy w/a on {NS=w} isolates in\n"
		   "NetworkPolicy x/a on {NS=x} isolates out\n");
	assert_int_equal(bf_objects_remove(&o, "NetworkPolicy/x"), -ENOENT);
	assert_int_equal(bf_objects_remove(&o, "NetworkPolicy/x/b"), -ENOENT);
	assert_int_equal(bf_objects_remove(&o, "NetworkPolicy/a"), -ENOENT);
	assert_int_equal(bf_objects_remove(&o, "PayloadPolicy/x/a"), -ENOENT);
	assert_int_equal(bf_objects_remove(&o, "Namespace"), -ENOENT);
	assert_int_equal(bf_objects_remove(&o, "Namespace/z"), -ENOENT);
	assert_int_equal(bf_objects_remove(&o, "NetworkPolicy/x/a/b"), -ENOENT);
	assert_int_equal(bf_objects_remove(&o, "NetworkPolicy/x/a"), 0);
	assert_int_equal(bf_objects_remove(&o, "Namespace/x"), 0);
	expect(&o, "Namespace w\nNetworkPolicy w/a on {NS=w} isolates in\n");
	bf_objects_free(&o);
	expect(&o, "");
}

static void test_cluster_key(void **state)
{
	struct bf_objects o = {0};

	(void)state;
	add(&o, "{apiVersion: bpfast.io/v1alpha1, kind: ClusterPayloadPolicy, metadata: {name: a},"
		" spec: {endpointSelector: {}, ingress: [{}]}}");
	assert_int_equal(bf_objects_remove(&o, "ClusterPayloadPolicy/default/a"), -ENOENT);
	assert_int_equal(bf_objects_remove(&o, "ClusterPayloadPolicy/a"), 0);
	assert_int_equal(o.policy_count, 0);
	bf_objects_free(&o);
}

/* One flaw, and nothing of the text counts, nor is anything replaced. */
static void test_all_or_nothing(void **state)
{
	struct bf_objects o = {0};
	char *flaws = NULL;

	(void)state;
	add(&o, NP("a", "x", ""));
	assert_int_equal(read_text(&o,
				   NP("a", "x", "policyTypes: [Egress]") "\n---\n" NP(
					   "b", "x", "") "\n---\n" NP("c", "x", "ingres: []"),
				   &flaws),
			 -EINVAL);
	assert_non_null(strstr(flaws, "ingres"));
	free(flaws);
	expect(&o, "NetworkPolicy x/a on {NS=x} isolates in\n");
	/* Also when the text breaks off after good objects. */
	assert_int_equal(read_text(&o, NP("b", "x", "") "\n---\n{", &flaws), -EINVAL);
	free(flaws);
	expect(&o, "NetworkPolicy x/a on {NS=x} isolates in\n");
	bf_objects_free(&o);
}

static void test_specs_are_one_object(void **state)
{
	struct bf_objects o = {0};

	(void)state;
	add(&o,
	    CNP("a", "spec: {endpointSelector: {matchLabels: {x: '0'}}, ingress: [{}]}, specs: ["
		     "{endpointSelector: {matchLabels: {x: '1'}}, egress: [{}]}, "
		     "{endpointSelector: {matchLabels: {x: '2'}}, ingress: [{}], egress: [{}]}]"));
	expect(&o, "CiliumNetworkPolicy default/a on {x=0, NS=default} isolates in\n"
		   "  allow in spec.ingress[0]: NOBODY @ any\n"
		   "CiliumNetworkPolicy default/a on {x=1, NS=default} isolates out\n"
		   "  allow out specs[0].egress[0]: NOBODY @ any\n"
		   "CiliumNetworkPolicy default/a on {x=2, NS=default} isolates in+out\n"
		   "  allow in specs[1].ingress[0]: NOBODY @ any\n"
		   "  allow out specs[1].egress[0]: NOBODY @ any\n");
	add(&o, CNP("a", "specs: [{endpointSelector: {}, ingress: [{}]}]"));
	expect(&o, "CiliumNetworkPolicy default/a on {NS=default} isolates in\n"
		   "  allow in specs[0].ingress[0]: NOBODY @ any\n");
	assert_int_equal(bf_objects_remove(&o, "CiliumNetworkPolicy/default/a"), 0);
	assert_int_equal(o.policy_count, 0);
	bf_objects_free(&o);
}

/* kubectl get -o yaml and -o json give this. */
static void test_list_and_json(void **state)
{
	struct bf_objects o = {0};

	(void)state;
	add(&o, "{\"apiVersion\": \"v1\", \"kind\": \"List\", \"metadata\": {\"resourceVersion\": "
		"\"\"},\n"
		" \"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Namespace\", \"metadata\":\n"
		"  {\"name\": \"n\", \"labels\": {\"a\": \"\"}, \"creationTimestamp\": null, "
		"\"uid\": \"7\"},\n"
		"  \"spec\": {\"finalizers\": [\"kubernetes\"]}, \"status\": {\"phase\": "
		"\"Active\"}},\n"
		" {\"apiVersion\": \"networking.k8s.io/v1\", \"kind\": \"NetworkPolicy\",\n"
		"  \"metadata\": {\"name\": \"p\", \"namespace\": \"n\", \"generation\": 1},\n"
		"  \"spec\": {\"podSelector\": {}, \"ingress\": [{\"ports\": [{\"port\": 80, "
		"\"endPort\": 90}]}]},\n"
		"  \"status\": {}}]}\n");
	expect(&o, "Namespace n a=\nNetworkPolicy n/p on {NS=n} isolates in\n"
		   "  allow in spec.ingress[0]: ALL @ tcp/80-90\n");
	assert_int_equal(o.policies[0].line, 5);
	assert_int_equal(o.policies[0].rules[0].line, 7);
	bf_objects_free(&o);
}

static void test_empty_texts(void **state)
{
	static const char *const texts[] = {"",
					    "\n",
					    "# nothing\n",
					    "---\n",
					    "---\n---\n# nothing\n---\n",
					    "null\n",
					    "\xef\xbb\xbf",
					    "apiVersion: v1\nkind: List\nitems: []\n",
					    "apiVersion: v1\nkind: List\nitems: null\n"};
	struct bf_objects o = {0};

	(void)state;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		add(&o, texts[i]);
	expect(&o, "");
	bf_objects_free(&o);
}

static void test_source_and_place(void **state)
{
	struct bf_objects o = {0};
	json_t *got, *want;

	(void)state;
	add(&o, "# first\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
		"metadata:\n  name: p\n  annotations: {a: 'yes', b: 1.50, c: 012}\nspec:\n  "
		"podSelector:\n    matchLabels: {a: \"1\"}\n"
		"  policyTypes: &t [Ingress]\n  ingress:\n  - ports:\n    - {port: 80, endPort: "
		"null}\n");
	want = json_pack("{s:s, s:s, s:{s:s, s:{s:s, s:s, s:s}}, s:{s:{s:{s:s}}, s:[s], "
			 "s:[{s:[{s:i, s:n}]}]}}",
			 "apiVersion", "networking.k8s.io/v1", "kind", "NetworkPolicy", "metadata",
			 "name", "p", "annotations", "a", "yes", "b", "1.50", "c", "012", "spec",
			 "podSelector", "matchLabels", "a", "1", "policyTypes", "Ingress",
			 "ingress", "ports", "port", 80, "endPort");
	got = json_loads(o.policies[0].source, 0, NULL);
	assert_non_null(want);
	assert_non_null(got);
	assert_true(json_equal(got, want));
	json_decref(got);
	json_decref(want);
	assert_string_equal(o.policies[0].file, "dir/f.yaml");
	assert_int_equal(o.policies[0].line, 3);
	assert_int_equal(o.policies[0].rules[0].line, 13);
	bf_objects_free(&o);
}

static void test_source_reads_again(void **state)
{
	struct bf_objects a = {0}, b = {0};
	char *one = NULL, *two = NULL;
	FILE *f;

	(void)state;
	add(&a,
	    CNP("a",
		"spec: {endpointSelector: &e {matchLabels: {v: '1', w: 'no', x: 'null'}}, ingress: "
		"[{fromEndpoints: [*e, {}]}]}"));
	add(&b, a.policies[0].source);
	f = render_open(&one);
	render_objects(f, &a);
	fclose(f);
	f = render_open(&two);
	render_objects(f, &b);
	fclose(f);
	assert_string_equal(one, two);
	assert_non_null(strstr(one, "{v=1, w=no, x=null"));
	free(one);
	free(two);
	bf_objects_free(&a);
	bf_objects_free(&b);
}

static const char everything[] =
	"apiVersion: bpfast.io/v1alpha1\n"
	"kind: PayloadPolicy\n"
	"metadata: {name: web, namespace: shop}\n"
	"spec:\n"
	"  endpointSelector: {matchLabels: {app: web}}\n"
	"  mode: audit\n"
	"  onDeny: drop\n"
	"  denyMessage: silent\n"
	"  ingress:\n"
	"  - fromEndpoints: [{matchLabels: {app: cart}, matchExpressions: [{key: env, operator: "
	"NotIn,\n"
	"      values: [dev, test]}, {key: old, operator: DoesNotExist}]}]\n"
	"    toPorts:\n"
	"    - ports: [{port: \"80\", protocol: TCP}, {port: http, protocol: TCP}]\n"
	"      rules:\n"
	"        http:\n"
	"        - {method: GET, path: \"/api/v1/.*\", host: shop\\.example}\n"
	"        - {method: POST, path: /o, headers: [\"X-Tenant: blue\", X-Trace], headerMatches: "
	"[{name: a, value: b}]}\n"
	"    - ports: [{port: 53}, {port: 1000, endPort: 2000, protocol: SCTP}]\n"
	"  egress:\n"
	"  - toCIDRSet: [{cidr: 10.1.2.3/8, except: [10.9.0.1/16]}, {cidr: '2001:db8::1/32'}]\n"
	"  - toCIDR: [192.0.2.7, '2001:db8::7']\n"
	"  - toEntities: [host, remote-node, world, cluster, all, none]\n"
	"  egressDeny:\n"
	"  - toEndpoints: [{matchLabels: {'reserved:host': ''}}, {matchLabels: {'any:app': x}}]\n"
	"    toPorts: [{ports: [{port: '0', protocol: UDP}]}]\n";

static const char everything_read[] =
	"PayloadPolicy shop/web on {app=web, NS=shop} isolates in+out audit drop silent\n"
	"  allow in spec.ingress[0].toPorts[0]: {app=cart, env!=dev|test, old!, NS=shop} @ tcp/80, "
	"tcp/http"
	" http [{method GET path /api/v1/.* host shop\\.example}, {method POST path /o "
	"X-Tenant=blue X-Trace? a=b}]\n"
	"  allow in spec.ingress[0].toPorts[1]: {app=cart, env!=dev|test, old!, NS=shop} @ any/53, "
	"sctp/1000-2000\n"
	"  allow out spec.egress[0]: 10.0.0.0/8 less 10.9.0.0/16, 2001:db8::/32 @ any\n"
	"  allow out spec.egress[1]: 192.0.2.7/32, 2001:db8::7/128 @ any\n"
	"  allow out spec.egress[2]: HOST, HOST as remote-node, WORLD, CLUSTER, ALL @ any\n"
	"  deny out spec.egressDeny[0].toPorts[0]: HOST, {app=x, NS=shop} @ udp/*\n";

static void test_whole_grammar(void **state)
{
	struct bf_objects o = {0};

	(void)state;
	add(&o, everything);
	expect(&o, everything_read);
	bf_objects_free(&o);
}

static void test_copy_is_deep(void **state)
{
	struct bf_objects o = {0}, copy = {0};

	(void)state;
	add(&o, everything);
	add(&o, NAMESPACE("shop", "a: b, c: ''"));
	assert_int_equal(bf_objects_copy(&copy, &o), 0);
	assert_string_equal(copy.policies[0].source, o.policies[0].source);
	assert_string_equal(copy.policies[0].file, o.policies[0].file);
	assert_int_equal(copy.policies[0].rules[1].line, o.policies[0].rules[1].line);
	/* The first one gone, the copy has to stand alone (ASan looks on). */
	bf_objects_free(&o);
	assert_int_equal(copy.namespace_count, 1);
	assert_int_equal(bf_objects_remove(&copy, "Namespace/shop"), 0);
	expect(&copy, everything_read);
	assert_int_equal(bf_objects_copy(&o, &(struct bf_objects){0}), 0);
	expect(&o, "");
	bf_objects_free(&copy);
}

static void test_cilium_reads_paths_with_query(void **state)
{
	struct bf_objects o = {0};

	(void)state;
	add(&o,
	    CNP("a",
		"spec: {endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: '80', protocol: "
		"TCP}], "
		"rules: {http: [{path: '/a\\?b=.*', headers: ['X-A b', 'X-C: d', 'x-e']}]}}]}]}"));
	expect(&o, "CiliumNetworkPolicy default/a on {NS=default} isolates in\n"
		   "  allow in spec.ingress[0].toPorts[0]: ALL @ tcp/80 http "
		   "[{path+query /a\\?b=.* X-A=b X-C=d x-e?}]\n");
	bf_objects_free(&o);
}

static const char *repeat(const char *head, const char *part, size_t n, const char *tail)
{
	static char *text;
	size_t h = strlen(head), p = strlen(part), t = strlen(tail);
	char *at;

	free(text);
	text = NULL;
	if (!n)
		return NULL;
	text = malloc(h + n * p + t + 1);
	assert_non_null(text);
	at = memcpy(text, head, h);
	at += h;
	for (size_t i = 0; i < n; i++, at += p)
		memcpy(at, part, p);
	memcpy(at, tail, t + 1);
	return text;
}

static void refused(const char *text, const char *flaw)
{
	char *got = render_read(text, strlen(text));

	if (!strstr(got, flaw))
		fail_msg("expected: %s\ngot: %.300s", flaw, got);
	free(got);
}

static void test_limits(void **state)
{
	const char *text;
	char *got;

	(void)state;
	refused(repeat("a: ", "x", (8u << 20) - 2, ""),
		"1:1: the text has 8388609 bytes; at most 8388608");
	refused(repeat("", "[", 65, ""), "1:65: nested deeper than 64 levels");
	refused(repeat("", "[", 100000, ""), "1:65: nested deeper than 64 levels");
	refused(repeat("", "{a: ", 65, ""), "nested deeper than 64 levels");
	refused(repeat("a: [", "1,", 1000001, "]"), "more than 1000000 values");
	/* Laughs: each line ten of the one before. */
	refused("a: &a [x,x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\n"
		"c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]\n"
		"e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]\n"
		"g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g,*g]\n",
		"6:29: more than 1000000 values, aliases written out");
	/* Fifty flaws are said, and how many there are. */
	text = repeat("{apiVersion: v1, kind: Namespace, metadata: {name: a}", ", x: 1", 60, "}");
	got = render_read(text, strlen(text));
	/* 59 doubles and 60 unknown fields */
	assert_non_null(strstr(got, "1:1: 69 more flaws are not shown"));
	free(got);
	/* One rule of a thousand peers on 1001 ports: each port's rule has all peers. */
	{
		char *peers = strdup(repeat("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\n"
					    "metadata: {name: a}\nspec:\n  endpointSelector: {}\n"
					    "  ingress:\n  - fromEndpoints: [",
					    "{},", 1000, "]\n    toPorts:\n"));

		assert_non_null(peers);
		refused(repeat(peers, "    - ports: [{port: '1'}]\n", 1001, ""),
			"spec.ingress[0].toPorts[1000]: more than 1000000 peers");
		free(peers);
	}
	repeat("", "", 0, "");
}

static void test_cidr(void **state)
{
	static const struct {
		const char *text;
		enum bf_cidr_error error;
		const char *canonical;
	} rows[] = {
		{"10.1.2.3/8", BF_CIDR_OK, "10.0.0.0/8"},
		{"0.0.0.0/0", BF_CIDR_OK, "0.0.0.0/0"},
		{"255.255.255.255/1", BF_CIDR_OK, "128.0.0.0/1"},
		{"10.1.2.3/32", BF_CIDR_OK, "10.1.2.3/32"},
		{"2001:db8:ffff::/33", BF_CIDR_OK, "2001:db8:8000::/33"},
		{"::/0", BF_CIDR_OK, "::/0"},
		{"::1/128", BF_CIDR_OK, "::1/128"},
		{"1.2.3.4", BF_CIDR_NO_PREFIX, NULL},
		{"1.2.3.4/", BF_CIDR_BAD_PREFIX, NULL},
		{"1.2.3.4/ 8", BF_CIDR_BAD_PREFIX, NULL},
		{"1.2.3.4/+8", BF_CIDR_BAD_PREFIX, NULL},
		{"1.2.3.4/255.0.0.0", BF_CIDR_BAD_PREFIX, NULL},
		{"1.2.3.4/4294967304", BF_CIDR_BAD_PREFIX, NULL},
		{"1.2.3/24", BF_CIDR_NO_ADDRESS, NULL},
		{" 1.2.3.4/24", BF_CIDR_NO_ADDRESS, NULL},
		{"0x1.2.3.4/24", BF_CIDR_NO_ADDRESS, NULL},
		{"fe80::1%eth0/64", BF_CIDR_NO_ADDRESS, NULL},
		{"/8", BF_CIDR_NO_ADDRESS, NULL},
		{"", BF_CIDR_NO_ADDRESS, NULL},
		{"::ffff:10.0.0.0/104", BF_CIDR_MAPPED, NULL},
		{"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa/8", BF_CIDR_NO_ADDRESS, NULL},
	};
	struct bf_cidr cidr;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *got = NULL;
		FILE *f;

		if (bf_parse_cidr(rows[i].text, false, &cidr) != rows[i].error)
			fail_msg("%s", rows[i].text);
		if (rows[i].error)
			continue;
		f = render_open(&got);
		render_cidr(f, &cidr);
		fclose(f);
		assert_string_equal(got, rows[i].canonical);
		free(got);
	}
}

static void test_syntax(void **state)
{
	char long_name[66];

	(void)state;
	memset(long_name, 'a', sizeof(long_name));
	long_name[64] = 0;
	assert_false(bf_is_dns_label(long_name));
	assert_false(bf_is_label_value(long_name));
	long_name[63] = 0;
	assert_true(bf_is_dns_label(long_name));
	assert_true(bf_is_label_value(long_name));
	assert_true(bf_is_label_value(""));
	assert_true(bf_is_label_key("app.kubernetes.io/name"));
	assert_true(bf_is_label_key("A_b.c-D"));
	assert_false(bf_is_label_key("/name"));
	assert_false(bf_is_label_key("a/"));
	assert_false(bf_is_label_key("a/b/c"));
	assert_false(bf_is_label_key("A.io/name"));
	assert_false(bf_is_label_key("a..b/name"));
	assert_false(bf_is_label_key(""));
	assert_false(bf_is_label_key("a b"));
	assert_true(bf_is_dns_name("a.b-c.0"));
	assert_false(bf_is_dns_name("a.b-.c"));
	assert_false(bf_is_dns_name("a."));
	assert_false(bf_is_dns_name("a/b"));
	assert_true(bf_is_port_name("http-2"));
	assert_false(bf_is_port_name("http--2"));
	assert_false(bf_is_port_name("80"));
	assert_false(bf_is_port_name("-a"));
	assert_false(bf_is_port_name("abcdefghijklmnop"));
	assert_true(bf_is_header_name("X-A!", 4));
	assert_false(bf_is_header_name("X A", 3));
	assert_false(bf_is_header_name("", 0));
}

static void test_nearest(void **state)
{
	static const char *const words[] = {"ingress", "egress", "toPorts", "all", NULL};

	(void)state;
	assert_string_equal(bf_nearest("ingres", words), "ingress");
	assert_string_equal(bf_nearest("igress", words), "ingress");
	assert_string_equal(bf_nearest("toports", words), "toPorts");
	assert_string_equal(bf_nearest("otPorts", words), "toPorts");
	assert_null(bf_nearest("completely", words));
	assert_null(bf_nearest("", words));
	assert_null(bf_nearest("a-text-that-is-far-longer-than-any-field-can-be", words));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replace_and_remove),
		cmocka_unit_test(test_cluster_key),
		cmocka_unit_test(test_all_or_nothing),
		cmocka_unit_test(test_specs_are_one_object),
		cmocka_unit_test(test_list_and_json),
		cmocka_unit_test(test_empty_texts),
		cmocka_unit_test(test_source_and_place),
		cmocka_unit_test(test_source_reads_again),
		cmocka_unit_test(test_whole_grammar),
		cmocka_unit_test(test_copy_is_deep),
		cmocka_unit_test(test_cilium_reads_paths_with_query),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_cidr),
		cmocka_unit_test(test_syntax),
		cmocka_unit_test(test_nearest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
