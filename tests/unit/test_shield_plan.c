// SPDX-License-Identifier: Apache-2.0
/* What several ShieldPolicies say together: who decides about a device, and what is a contradiction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "policy/read.h"
#include "policy/shield_plan.h"

#define POLICY(name, spec)                                                                         \
	"---\napiVersion: bpfast.io/v1alpha1\nkind: ShieldPolicy\nmetadata: {name: " name          \
	"}\nspec: {" spec "}\n"

static void no_flaw(void *arg, const char *file, int line, int column, const char *message)
{
	(void)arg, (void)file;
	fail_msg("%d:%d: %s", line, column, message);
}

static void read_all(struct bf_objects *o, const char *text)
{
	memset(o, 0, sizeof(*o));
	assert_int_equal(bf_objects_read(o, NULL, text, strlen(text), no_flaw, NULL), 0);
}

static struct bf_label web_labels[] = {{(char *)"app", (char *)"web"}};
static const struct bf_endpoint web = {
	.name = (char *)"web", .namespace = (char *)"shop", .labels = {web_labels, 1}};

static const struct {
	const char *what, *text, *device;
	bool endpoint;
	const char *says; /* OWNER MODE HOOK SENSITIVITY POD, or "nobody" */
} choices[] = {
	{"another device", POLICY("a", "devices: [eth0]"), "eth1", false, "nobody"},
	{"a name", POLICY("a", "devices: [eth0]"), "eth0", false, "a 2 0 medium 0"},
	{"a pattern", POLICY("a", "devices: ['eth*']"), "eth7", false, "a 2 0 medium 0"},
	{"a set", POLICY("a", "devices: ['eth[0-3]']"), "eth4", false, "nobody"},
	{"the loopback is in no pattern", POLICY("a", "devices: ['*']"), "lo", false, "nobody"},
	{"a pattern is not about pods", POLICY("a", "devices: ['*']"), "veth1", true, "nobody"},
	{"a name is, also of a pod's", POLICY("a", "devices: [veth1]"), "veth1", true,
	 "a 2 0 medium 0"},
	{"a selector",
	 POLICY("a", "endpointSelector: {matchLabels: {app: web}}, mode: audit, sensitivity: low"),
	 "veth1", true, "a 1 0 low 1"},
	{"a selector of others", POLICY("a", "endpointSelector: {matchLabels: {app: db}}"), "veth1",
	 true, "nobody"},
	{"a selector and no endpoint", POLICY("a", "endpointSelector: {}"), "eth0", false,
	 "nobody"},
	{"a namespace",
	 POLICY("a", "endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: shop}}"),
	 "veth1", true, "a 2 0 medium 1"},
	{"lists select nothing", POLICY("a", "block: [192.0.2.0/24]"), "eth0", false, "nobody"},
	{"the strictest mode of two patterns",
	 POLICY("a", "devices: ['e*'], mode: audit") POLICY("b", "devices: ['*0']"), "eth0", false,
	 "b 2 0 medium 0"},
	{"in the other order",
	 POLICY("b", "devices: ['*0']") POLICY("a", "devices: ['e*'], mode: audit"), "eth0", false,
	 "b 2 0 medium 0"},
	{"the first name where modes are the same",
	 POLICY("b", "devices: ['e*']") POLICY("a", "devices: ['*0']"), "eth0", false,
	 "a 2 0 medium 0"},
	{"a name before a pattern, also where it is less strict",
	 POLICY("a", "devices: ['*'], sensitivity: high, hook: tc")
		 POLICY("b", "devices: [eth0], mode: 'off'"),
	 "eth0", false, "b 0 0 medium 0"},
	{"in the other order",
	 POLICY("b", "devices: [eth0], mode: 'off'")
		 POLICY("a", "devices: ['*'], sensitivity: high, hook: tc"),
	 "eth0", false, "b 0 0 medium 0"},
	{"a name before a selector",
	 POLICY("a", "endpointSelector: {}") POLICY("b", "devices: [veth1], mode: audit"), "veth1",
	 true, "b 1 0 medium 0"},
	{"the highest sensitivity and the first hook",
	 POLICY("c", "devices: [eth0], hook: generic")
		 POLICY("b", "devices: [eth0], hook: tc, mode: audit")
			 POLICY("a", "devices: [eth0], mode: audit, sensitivity: high"),
	 "eth0", false, "c 2 3 high 0"},
	{"the highest that is said, not what is left out",
	 POLICY("a", "devices: [eth0]") POLICY("b", "devices: [eth0], sensitivity: low"), "eth0",
	 false, "a 2 0 low 0"},
	{"in the other order",
	 POLICY("b", "devices: [eth0], sensitivity: low") POLICY("a", "devices: [eth0]"), "eth0",
	 false, "a 2 0 low 0"},
};

static void test_choices(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
		struct bf_objects o, copy;
		struct bf_shield_choice c;
		char got[64] = "nobody";

		read_all(&o, choices[i].text);
		/* What the agent keeps is a copy. */
		assert_int_equal(bf_objects_copy(&copy, &o), 0);
		bf_objects_free(&o);
		if (bf_shield_choose(&copy, choices[i].device, choices[i].endpoint ? &web : NULL,
				     &c))
			snprintf(got, sizeof(got), "%s %u %u %s %d", c.owner, c.mode, c.hook,
				 bf_sensitivity_word(c.sensitivity), c.pod);
		if (strcmp(got, choices[i].says))
			fail_msg("%s: %s, not %s", choices[i].what, got, choices[i].says);
		bf_objects_free(&copy);
	}
}

/* The node says 9 of each; "OWNER REQUESTS CONNECTIONS BYTES BLOCK". */
static const struct {
	const char *what, *text, *says;
} https[] = {
	{"nobody says anything", POLICY("a", "endpointSelector: {}"), "nobody"},
	{"what is said, and nobody is blocked for it",
	 POLICY("a", "endpointSelector: {}, http: {requests: 50}"), "a 50 9 9 0"},
	{"a block where it is said",
	 POLICY("a", "endpointSelector: {}, http: {requests: 50, blockSeconds: 30}"),
	 "a 50 9 9 30"},
	{"no limit where the node has one",
	 POLICY("a", "endpointSelector: {}, http: {connections: 0}"), "a 9 0 9 0"},
	{"the strictest of several",
	 POLICY("b", "endpointSelector: {}, http: {requests: 50, bytes: 10, blockSeconds: 5}")
		 POLICY("a",
			"endpointSelector: {}, http: {requests: 70, bytes: 20, blockSeconds: 9, "
			"connections: 3}"),
	 "a 50 3 20 9"},
	{"a limit is stricter than none, in either order",
	 POLICY("a", "endpointSelector: {}, http: {requests: 0, connections: 5}")
		 POLICY("b", "endpointSelector: {}, http: {requests: 50, connections: 0}"),
	 "a 50 5 9 0"},
	{"others' pods",
	 POLICY("a", "endpointSelector: {matchLabels: {app: db}}, http: {requests: 50}"), "nobody"},
	{"a device that is named goes before in its mode, not here",
	 POLICY("a", "devices: [veth1], mode: audit")
		 POLICY("b", "endpointSelector: {matchLabels: {app: web}}, http: {requests: 50}"),
	 "b 50 9 9 0"},
};

static void test_https(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(https) / sizeof(https[0]); i++) {
		struct bf_shield_http_choice c = {.limits = {9, 9, 9, 9, 9, 9, 9, 9, 9}};
		struct bf_objects o, copy;
		char got[64] = "nobody";

		read_all(&o, https[i].text);
		assert_int_equal(bf_objects_copy(&copy, &o), 0);
		bf_objects_free(&o);
		if (bf_shield_choose_http(&copy, &web, &c))
			snprintf(got, sizeof(got), "%s %u %u %u %u", c.owner, c.limits.requests,
				 c.limits.connections, c.limits.bytes_s, c.limits.block_s);
		if (strcmp(got, https[i].says))
			fail_msg("%s: %s, not %s", https[i].what, got, https[i].says);
		bf_objects_free(&copy);
	}
}

static const struct {
	const char *what, *text, *error; /* NULL: none */
} plans[] = {
	{"none", "", NULL},
	{"the same limit twice",
	 POLICY("a", "limits: [{class: udp, scope: source, rate: 5}]")
		 POLICY("b", "limits: [{class: udp, scope: source, rate: 5, burst: 5}]"),
	 NULL},
	{"another scope",
	 POLICY("a", "limits: [{class: udp, scope: source, rate: 5}]")
		 POLICY("b", "limits: [{class: udp, scope: prefix, rate: 6}]"),
	 NULL},
	{"two limits",
	 POLICY("a", "limits: [{class: syn, scope: prefix, rate: 5}]")
		 POLICY("b", "limits: [{class: syn, scope: prefix, rate: 6}]"),
	 "ShieldPolicy a and ShieldPolicy b set the limit of syn for each prefix to 5:5 and 6:6"},
	{"the same prefix blocked twice",
	 POLICY("a", "block: [192.0.2.0/24]") POLICY("b", "block: [192.0.2.0/24]"), NULL},
	{"an exception in another's block",
	 POLICY("a", "allow: [192.0.2.7]") POLICY("b", "block: [192.0.2.0/24]"), NULL},
	{"a block in another's allow",
	 POLICY("a", "allow: [192.0.2.0/24]") POLICY("b", "block: [192.0.2.7]"),
	 "ShieldPolicy b blocks 192.0.2.7/32, but ShieldPolicy a allows 192.0.2.0/24"},
	{"the same of IPv6", POLICY("a", "allow: ['::/0']") POLICY("b", "block: ['2001:db8::/32']"),
	 "ShieldPolicy b blocks 2001:db8::/32, but ShieldPolicy a allows ::/0"},
	{"all of IPv6 holds nothing of IPv4",
	 POLICY("a", "allow: ['::/0']") POLICY("b", "block: [192.0.2.7]"), NULL},
	{"a block that lasts longer",
	 POLICY("a", "allow: [{cidr: 192.0.2.0/24, until: '2030-01-01T00:00:00Z'}]")
		 POLICY("b", "block: [192.0.2.0/24]"),
	 NULL},
	{"one that a third policy allows for longer",
	 POLICY("a", "allow: [{cidr: 192.0.2.0/24, until: '2030-01-01T00:00:00Z'}]")
		 POLICY("b", "block: [192.0.2.0/24]") POLICY("c", "allow: [192.0.2.0/24]"),
	 "ShieldPolicy b blocks 192.0.2.0/24, but ShieldPolicy c allows 192.0.2.0/24"},
};

static void test_plans(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(plans) / sizeof(plans[0]); i++) {
		struct bf_shield_plan plan;
		struct bf_objects o;
		struct bf_error err = {""};
		int r;

		read_all(&o, plans[i].text);
		r = bf_shield_plan_make(&o, &plan, &err);
		if (!r != !plans[i].error ||
		    (r && strncmp(err.msg, plans[i].error, strlen(plans[i].error))))
			fail_msg("%s: %s", plans[i].what, err.msg);
		if (!r)
			assert_int_equal(plan.any, *plans[i].text != 0);
		bf_shield_plan_free(&plan);
		bf_objects_free(&o);
	}
}

static void test_latest_time_of_a_prefix(void **state)
{
	struct bf_shield_plan plan;
	struct bf_objects o;

	(void)state;
	read_all(&o,
		 POLICY("a", "block: [{cidr: 192.0.2.0/24, until: '2031-01-01T00:00:00Z'}]")
			 POLICY("b", "block: [{cidr: 192.0.2.0/24, until: '2030-01-01T00:00:00Z'}]")
				 POLICY("c", "block: [203.0.113.0/24]"));
	assert_int_equal(bf_shield_plan_make(&o, &plan, NULL), 0);
	assert_int_equal(plan.block_count, 2);
	assert_int_equal(plan.block[0].until, 1924992000);
	assert_string_equal(plan.block[0].owner, "a");
	assert_int_equal(plan.block[1].until, 0);
	bf_shield_plan_free(&plan);
	bf_objects_free(&o);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_choices),
		cmocka_unit_test(test_https),
		cmocka_unit_test(test_plans),
		cmocka_unit_test(test_latest_time_of_a_prefix),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
