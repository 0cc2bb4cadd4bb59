// SPDX-License-Identifier: Apache-2.0
/*
 * Texts that were right, and then changed at random: the reader either takes
 * them whole or says a flaw; it never crashes, and what it took reads the same
 * again from the JSON that it kept. The seed is fixed: a failure repeats.
 */
#include <errno.h>

#include "read_render.h"

#define ROUNDS 6000

static uint64_t seed = 20240229;

static uint32_t next(uint32_t below)
{
	/* xorshift64 (Marsaglia, 2003) */
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return (uint32_t)(seed >> 32) % below;
}

static const char *const seeds[] = {
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: p, namespace: "
	"shop}\nspec:\n"
	"  podSelector: {matchLabels: {app: web}}\n  policyTypes: [Ingress, Egress]\n  ingress:\n  "
	"- from:\n"
	"    - podSelector: {matchExpressions: [{key: a, operator: In, values: [b, c]}]}\n"
	"      namespaceSelector: {}\n    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}\n"
	"    ports: [{port: 80, endPort: 90}, {port: http, protocol: UDP}]\n  egress: []\n",
	"apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspecs:\n"
	"- endpointSelector: &e {matchLabels: {'k8s:app': web}}\n  ingress:\n  - fromEndpoints: "
	"[*e, {}]\n"
	"    toPorts:\n    - ports: [{port: '80', protocol: TCP}]\n      rules:\n        http:\n"
	"        - {method: GET, path: '/a', headers: [X-A, 'X-B: c'], headerMatches: [{name: d, "
	"value: e}]}\n"
	"- endpointSelector: {}\n  egressDeny: [{toCIDRSet: [{cidr: '::/0'}]}, {toEntities: "
	"[world]}]\n"
	"  enableDefaultDeny: {egress: false}\n",
	"{\"apiVersion\": \"v1\", \"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", "
	"\"kind\": \"Namespace\","
	" \"metadata\": {\"name\": \"a\", \"labels\": {\"b\": \"c\"}}}, {\"apiVersion\": "
	"\"bpfast.io/v1alpha1\","
	" \"kind\": \"PayloadPolicy\", \"metadata\": {\"name\": \"p\"}, \"spec\": "
	"{\"endpointSelector\": {},"
	" \"mode\": \"audit\", \"onDeny\": \"drop\", \"ingress\": [{\"toPorts\": [{\"ports\": "
	"[{\"port\": 1}]}]}]}}]}\n",
};

/* Pieces that are worth putting in. */
static const char *const pieces[] = {
	"null",	      "~",
	"[]",	      "{}",
	"[{}]",	      "- ",
	"\n",	      "  ",
	"\t",	      ": ",
	"&a ",	      "*a",
	"*e",	      "<<: ",
	"'",	      "\"",
	"\\0",	      "#",
	"---\n",      "...\n",
	"!!str ",     "|\n ",
	"? ",	      "0",
	"-1",	      "65536",
	"4294967296", "99999999999999999999",
	"true",	      "no",
	"1.5",	      "\xff",
	"\xc3\xbc",   "%YAML 1.1\n",
	"k8s:",	      "reserved:host",
	"ingress",    "fromEndpoints",
	"toPorts",    "rules",
	"http",	      "except",
	"::/0",	      "/33",
	",",	      "]",
	"}",	      "[",
	"{",
};

static size_t mutate(char *text, size_t len, size_t cap)
{
	size_t at = next((uint32_t)len + 1), n;
	const char *piece;

	switch (next(5)) {
	case 0: /* another byte */
		if (at < len)
			text[at] = (char)next(256);
		return len;
	case 1: /* a cut */
		n = next(12);
		n = n > len - at ? len - at : n;
		memmove(text + at, text + at + n, len - at - n);
		return len - n;
	case 2: /* an end */
		return next(8) ? len : at;
	case 3: /* a part again */
		n = next(40);
		n = n > len - at ? len - at : n;
		if (len + n > cap)
			return len;
		memmove(text + at + n, text + at, len - at);
		return len + n;
	default: /* a piece */
		piece = pieces[next(sizeof(pieces) / sizeof(pieces[0]))];
		n = strlen(piece);
		if (len + n > cap)
			return len;
		memmove(text + at + n, text + at, len - at);
		memcpy(text + at, piece, n);
		return len + n;
	}
}

/* What was taken has to be the same when read from its own JSON. */
static void check_again(const struct bf_objects *o)
{
	for (size_t i = 0; i < o->policy_count; i++) {
		const struct bf_policy *p = &o->policies[i];
		struct bf_objects again = {0};
		char *one = NULL, *two = NULL;
		FILE *f;

		/* Of an object with several specs the whole set would have to be compared. */
		if (strstr(p->source, "\"specs\""))
			continue;
		f = render_open(&two);
		if (bf_objects_read(&again, NULL, p->source, strlen(p->source), render_flaw, f)) {
			fflush(f);
			fail_msg("%s\ndoes not read again: %s", p->source, two);
		}
		assert_int_equal(again.policy_count, 1);
		render_policy(f, &again.policies[0]);
		fclose(f);
		f = render_open(&one);
		render_policy(f, p);
		fclose(f);
		assert_string_equal(one, two);
		free(one);
		free(two);
		bf_objects_free(&again);
	}
}

static void test_mutations(void **state)
{
	unsigned int taken = 0, refused = 0;

	(void)state;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		const char *from = seeds[round % (sizeof(seeds) / sizeof(seeds[0]))];
		size_t len = strlen(from), cap = len + 512;
		struct bf_objects o = {0};
		char *text = malloc(cap), *exact, *flaws = NULL;
		FILE *f;
		int ret;

		assert_non_null(text);
		memcpy(text, from, len);
		for (uint32_t n = 1 + next(4); n; n--)
			len = mutate(text, len, cap);
		/* Of its own size, so that ASan sees a read past the end. */
		exact = malloc(len ? len : 1);
		assert_non_null(exact);
		memcpy(exact, text, len);
		f = render_open(&flaws);
		ret = bf_objects_read(&o, "fuzz", exact, len, render_flaw, f);
		fclose(f);
		if (ret) {
			assert_int_equal(ret, -EINVAL);
			assert_true(flaws[0]);
			assert_int_equal(o.policy_count + o.namespace_count, 0);
			refused++;
		} else {
			struct bf_objects copy = {0};

			assert_false(flaws[0]);
			assert_int_equal(bf_objects_copy(&copy, &o), 0);
			check_again(&copy);
			bf_objects_free(&copy);
			taken++;
		}
		bf_objects_free(&o);
		free(flaws);
		free(exact);
		free(text);
	}
	/* If one of these were rare the test would look at half of the reader. */
	assert_true(taken > ROUNDS / 20);
	assert_true(refused > ROUNDS / 20);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mutations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
