// SPDX-License-Identifier: Apache-2.0
/*
 * What an absent, an empty and a matching-all field means, kind by kind: the
 * table of docs/guide/policies.md, row by row. A row is the spec alone.
 */
#include <errno.h>

#include "read_render.h"

struct row {
	const char *what;
	const char *spec;
	const char *model; /* from "isolates" on; or, with '!' in front, part of a flaw */
};

#define SELF "endpointSelector: {}, "

static const struct row network_policy[] = {
	{"podSelector absent is every pod of the namespace", "{}", "{NS=shop} isolates in\n"},
	{"podSelector empty likewise", "{podSelector: {}}", "{NS=shop} isolates in\n"},
	{"podSelector null likewise", "{podSelector: null}", "{NS=shop} isolates in\n"},
	{"podSelector with empty parts likewise",
	 "{podSelector: {matchLabels: {}, matchExpressions: []}}", "{NS=shop} isolates in\n"},
	{"podSelector selects", "{podSelector: {matchLabels: {app: web}}}",
	 "{app=web, NS=shop} isolates in\n"},
	{"ingress empty allows nothing", "{podSelector: {}, ingress: []}", "isolates in\n"},
	{"ingress null allows nothing", "{podSelector: {}, ingress: null}", "isolates in\n"},
	{"ingress with an empty rule allows everything", "{podSelector: {}, ingress: [{}]}",
	 "isolates in\n  allow in spec.ingress[0]: ALL @ any\n"},
	{"from empty is anybody", "{podSelector: {}, ingress: [{from: []}]}",
	 "isolates in\n  allow in spec.ingress[0]: ALL @ any\n"},
	{"from null is anybody", "{podSelector: {}, ingress: [{from: null}]}",
	 "isolates in\n  allow in spec.ingress[0]: ALL @ any\n"},
	{"ports empty is every port", "{podSelector: {}, ingress: [{ports: []}]}",
	 "isolates in\n  allow in spec.ingress[0]: ALL @ any\n"},
	{"an empty port is every TCP port", "{podSelector: {}, ingress: [{ports: [{}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: ALL @ tcp/*\n"},
	{"a protocol alone is every port of it",
	 "{podSelector: {}, ingress: [{ports: [{protocol: UDP}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: ALL @ udp/*\n"},
	{"peer podSelector empty is every pod of the own namespace",
	 "{podSelector: {}, ingress: [{from: [{podSelector: {}}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: {NS=shop} @ any\n"},
	{"peer namespaceSelector empty is every pod everywhere",
	 "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: {} @ any\n"},
	{"both in one peer is and",
	 "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: a}}, "
	 "namespaceSelector: {matchLabels: {team: t}}}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: {app=a, NS.team=t} @ any\n"},
	{"two peers is or",
	 "{podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: a}}}, "
	 "{namespaceSelector: {matchLabels: {team: t}}}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: {app=a, NS=shop}, {NS.team=t} @ any\n"},
	{"an empty peer is refused", "{podSelector: {}, ingress: [{from: [{}]}]}",
	 "!spec.ingress[0].from[0]: the peer is empty"},
	{"a null peer is refused", "{podSelector: {}, ingress: [{from: [null]}]}",
	 "!spec.ingress[0].from[0]: is nothing (null), but has to be a mapping"},
	{"a peer of nulls is refused",
	 "{podSelector: {}, ingress: [{from: [{podSelector: null, namespaceSelector: null}]}]}",
	 "!spec.ingress[0].from[0]: the peer is empty"},
	{"ipBlock beside a selector is refused",
	 "{podSelector: {}, ingress: [{from: [{podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]}]}",
	 "!spec.ingress[0].from[0].ipBlock: cannot stand beside"},
	{"an ipBlock matches pods too",
	 "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: 10.0.0.0/8 with endpoints @ any\n"},
	/* policyTypes */
	{"no types, no egress rules: ingress", "{podSelector: {}, egress: []}", "isolates in\n"},
	{"no types, egress rules: both", "{podSelector: {}, egress: [{}]}",
	 "isolates in+out\n  allow out spec.egress[0]: ALL @ any\n"},
	{"types empty is types absent", "{podSelector: {}, policyTypes: [], egress: [{}]}",
	 "isolates in+out\n  allow out spec.egress[0]: ALL @ any\n"},
	{"Egress alone leaves ingress alone", "{podSelector: {}, policyTypes: [Egress]}",
	 "isolates out\n"},
	{"rules of a direction that types leave out are nothing",
	 "{podSelector: {}, policyTypes: [Egress], ingress: [{}]}", "isolates out\n"},
	{"types with Ingress drop egress rules",
	 "{podSelector: {}, policyTypes: [Ingress], egress: [{}], ingress: [{}]}",
	 "isolates in\n  allow in spec.ingress[0]: ALL @ any\n"},
	{"both types", "{podSelector: {}, policyTypes: [Ingress, Egress]}", "isolates in+out\n"},
};

/* In the kinds of Cilium. */
static const struct row cilium[] = {
	{"endpointSelector absent is refused", "{ingress: [{}]}",
	 "!spec: endpointSelector is missing"},
	{"endpointSelector null is refused", "{endpointSelector: null, ingress: [{}]}",
	 "!spec.endpointSelector: has no value (null)"},
	{"endpointSelector empty is every endpoint of the namespace",
	 "{endpointSelector: {}, ingress: [{}]}",
	 "{NS=shop} isolates in\n  allow in spec.ingress[0]: NOBODY @ any\n"},
	{"no rule at all is refused", "{endpointSelector: {}}", "!spec: has no rule"},
	{"an empty list of rules is no rule", "{" SELF "ingress: []}", "!spec: has no rule"},
	{"an empty list leaves its direction alone", "{" SELF "ingress: [], egress: [{}]}",
	 "isolates out\n  allow out spec.egress[0]: NOBODY @ any\n"},
	{"a null list is refused", "{" SELF "ingress: null}", "!spec.ingress: has no value (null)"},
	{"an empty rule allows nothing", "{" SELF "ingress: [{}]}",
	 "isolates in\n  allow in spec.ingress[0]: NOBODY @ any\n"},
	{"fromEndpoints empty selects nobody", "{" SELF "ingress: [{fromEndpoints: []}]}",
	 "isolates in\n  allow in spec.ingress[0]: NOBODY @ any\n"},
	{"fromEndpoints empty selects nobody on ports, too",
	 "{" SELF
	 "ingress: [{fromEndpoints: [], toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: NOBODY @ tcp/80\n"},
	{"fromCIDR empty selects nobody",
	 "{" SELF "ingress: [{fromCIDR: [], toPorts: [{ports: [{port: '80'}]}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: NOBODY @ any/80\n"},
	{"fromCIDRSet empty selects nobody",
	 "{" SELF "ingress: [{fromCIDRSet: [], toPorts: [{ports: [{port: '80'}]}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: NOBODY @ any/80\n"},
	{"fromEntities empty selects nobody",
	 "{" SELF "ingress: [{fromEntities: [], toPorts: [{ports: [{port: '80'}]}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: NOBODY @ any/80\n"},
	{"toEntities none selects nobody",
	 "{" SELF "egress: [{toEntities: [none], toPorts: [{ports: [{port: '80'}]}]}]}",
	 "isolates out\n  allow out spec.egress[0].toPorts[0]: NOBODY @ any/80\n"},
	{"fromEndpoints null is refused",
	 "{" SELF "ingress: [{fromEndpoints: null, toPorts: [{ports: [{port: '80'}]}]}]}",
	 "!spec.ingress[0].fromEndpoints: has no value (null)"},
	{"fromEndpoints absent with toPorts is anybody",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ tcp/80\n"},
	{"an empty selector is every endpoint of the own namespace",
	 "{" SELF "ingress: [{fromEndpoints: [{}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: {NS=shop} @ any\n"},
	{"a selector that names a namespace is not narrowed",
	 "{" SELF
	 "ingress: [{fromEndpoints: [{matchLabels: {k8s:io.kubernetes.pod.namespace: x}}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: {NS=x} @ any\n"},
	{"a selector that names a namespace label is not narrowed",
	 "{" SELF "ingress: [{fromEndpoints: [{matchExpressions: [{key: "
	 "io.cilium.k8s.namespace.labels.team, operator: Exists}]}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: {NS.team?} @ any\n"},
	{"toPorts empty is every port", "{" SELF "ingress: [{fromEndpoints: [{}], toPorts: []}]}",
	 "isolates in\n  allow in spec.ingress[0]: {NS=shop} @ any\n"},
	{"toPorts empty and no peers is nobody", "{" SELF "ingress: [{toPorts: []}]}",
	 "isolates in\n  allow in spec.ingress[0]: NOBODY @ any\n"},
	{"toPorts null is refused", "{" SELF "ingress: [{fromEndpoints: [{}], toPorts: null}]}",
	 "!spec.ingress[0].toPorts: has no value (null)"},
	{"an empty toPorts element is no port", "{" SELF "ingress: [{toPorts: [{}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ NO PORT\n"},
	{"ports empty is no port", "{" SELF "ingress: [{toPorts: [{ports: []}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ NO PORT\n"},
	{"port 0 is every port",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '0', protocol: UDP}, {port: 0}]}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ udp/*, any/*\n"},
	{"endPort 0 is none",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '7', endPort: 0}]}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ any/7\n"},
	{"rules empty asks nothing",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {}}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ tcp/80\n"},
	{"http empty allows no request",
	 "{" SELF
	 "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: []}}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ tcp/80 http []\n"},
	{"an empty http rule allows every request",
	 "{" SELF
	 "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{}]}}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ tcp/80 http [{}]\n"},
	{"empty texts in a http rule ask nothing",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: "
	 "[{method: '', path: '', host: '', headers: [], headerMatches: []}]}}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ tcp/80 http [{}]\n"},
	{"an empty header value asks for the header alone",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: "
	 "[{headerMatches: [{name: X-A, value: ''}, {name: X-B}]}]}}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ tcp/80 http [{X-A? X-B?}]\n"},
	/* Deny rules never have an empty part. */
	{"an empty deny rule is refused", "{" SELF "ingressDeny: [{}]}",
	 "!spec.ingressDeny[0]: an empty deny rule denies nothing"},
	{"an empty list in a deny rule is refused", "{" SELF "egressDeny: [{toEndpoints: []}]}",
	 "!spec.egressDeny[0].toEndpoints: is an empty list"},
	{"none in a deny rule is refused", "{" SELF "egressDeny: [{toEntities: [none]}]}",
	 "!spec.egressDeny[0].toEntities: denies nobody"},
	{"no ports in a deny rule is refused",
	 "{" SELF "egressDeny: [{toEndpoints: [{}], toPorts: [{}]}]}",
	 "!spec.egressDeny[0].toPorts[0]: ports is missing"},
	/* enableDefaultDeny */
	{"a deny rule isolates as well", "{" SELF "ingressDeny: [{fromEntities: [world]}]}",
	 "isolates in\n  deny in spec.ingressDeny[0]: WORLD @ any\n"},
	{"enableDefaultDeny false isolates not",
	 "{" SELF "ingressDeny: [{fromEntities: [world]}], enableDefaultDeny: {ingress: false}}",
	 "isolates nothing\n  deny in spec.ingressDeny[0]: WORLD @ any\n"},
	{"enableDefaultDeny true isolates without rules",
	 "{" SELF "ingress: [{}], enableDefaultDeny: {egress: true}}",
	 "isolates in+out\n  allow in spec.ingress[0]: NOBODY @ any\n"},
	{"enableDefaultDeny empty changes nothing",
	 "{" SELF "ingress: [{}], enableDefaultDeny: {}}",
	 "isolates in\n  allow in spec.ingress[0]: NOBODY @ any\n"},
	{"both families, one by one", "{" SELF "egress: [{toCIDR: ['::/0', 0.0.0.0/0]}]}",
	 "isolates out\n  allow out spec.egress[0]: ::/0, 0.0.0.0/0 @ any\n"},
};

/* In our own: the same, but what is empty and could be misread is refused. */
static const struct row payload[] = {
	{"endpointSelector absent is refused", "{ingress: [{}]}",
	 "!spec: endpointSelector is missing"},
	{"endpointSelector empty is every endpoint of the namespace", "{" SELF "ingress: [{}]}",
	 "{NS=shop} isolates in\n  allow in spec.ingress[0]: NOBODY @ any\n"},
	{"no rule at all is refused", "{" SELF "mode: audit}", "!spec: has no rule"},
	{"an empty list of rules is refused", "{" SELF "ingress: []}",
	 "!spec.ingress: is an empty list: write \"- {}\" to allow nothing"},
	{"an empty list of peers is refused", "{" SELF "ingress: [{fromEndpoints: []}]}",
	 "!spec.ingress[0].fromEndpoints: is an empty list, which selects nobody"},
	{"an empty list of entities is refused", "{" SELF "egress: [{toEntities: []}]}",
	 "!spec.egress[0].toEntities: is an empty list, which selects nobody"},
	{"a null list of peers is refused",
	 "{" SELF "ingress: [{fromEndpoints: , toPorts: [{ports: [{port: '80'}]}]}]}",
	 "!spec.ingress[0].fromEndpoints: has no value (null)"},
	{"an empty selector is every endpoint of the own namespace",
	 "{" SELF "ingress: [{fromEndpoints: [{}]}]}",
	 "isolates in\n  allow in spec.ingress[0]: {NS=shop} @ any\n"},
	{"peers absent with toPorts is anybody",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '80', protocol: TCP}]}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ tcp/80\n"},
	{"toPorts empty is refused", "{" SELF "ingress: [{fromEndpoints: [{}], toPorts: []}]}",
	 "!spec.ingress[0].toPorts: is an empty list"},
	{"ports absent is refused", "{" SELF "ingress: [{toPorts: [{}]}]}",
	 "!spec.ingress[0].toPorts[0]: ports is missing"},
	{"ports empty is refused", "{" SELF "ingress: [{toPorts: [{ports: []}]}]}",
	 "!spec.ingress[0].toPorts[0].ports: is an empty list"},
	{"rules empty is refused",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '80'}], rules: {}}]}]}",
	 "!spec.ingress[0].toPorts[0].rules: is empty"},
	{"http empty is refused",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '80'}], rules: {http: []}}]}]}",
	 "!spec.ingress[0].toPorts[0].rules.http: is an empty list"},
	{"an empty http rule allows every request; HTTP means TCP",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '80'}], rules: {http: [{}]}}]}]}",
	 "isolates in\n  allow in spec.ingress[0].toPorts[0]: ALL @ tcp/80 http [{}]\n"},
	{"an empty path is refused",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '80'}], rules: {http: [{path: ''}]}}]}]}",
	 "!spec.ingress[0].toPorts[0].rules.http[0].path: is empty"},
	{"empty headers are refused",
	 "{" SELF
	 "ingress: [{toPorts: [{ports: [{port: '80'}], rules: {http: [{headers: []}]}}]}]}",
	 "!spec.ingress[0].toPorts[0].rules.http[0].headers: is an empty list"},
	{"an empty header value is refused",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '80'}], rules: {http: "
	 "[{headerMatches: [{name: X-A, value: ''}]}]}}]}]}",
	 "!spec.ingress[0].toPorts[0].rules.http[0].headerMatches[0].value: has an empty value"},
	{"an empty deny rule is refused", "{" SELF "ingressDeny: [{}]}",
	 "!spec.ingressDeny[0]: an empty deny rule denies nothing"},
	{"endPort 0 is refused",
	 "{" SELF "ingress: [{toPorts: [{ports: [{port: '7', endPort: 0}]}]}]}",
	 "!spec.ingress[0].toPorts[0].ports[0].endPort: 0 is no port"},
	{"the mode, the action and the message",
	 "{" SELF "ingress: [{}], mode: audit, onDeny: reset, denyMessage: silent}",
	 "isolates in audit reset silent\n  allow in spec.ingress[0]: NOBODY @ any\n"},
	{"their defaults, written out",
	 "{" SELF "ingress: [{}], mode: enforce, onDeny: reply, denyMessage: policy}",
	 "isolates in\n  allow in spec.ingress[0]: NOBODY @ any\n"},
	{"drop", "{" SELF "ingress: [{}], onDeny: drop}",
	 "isolates in drop\n  allow in spec.ingress[0]: NOBODY @ any\n"},
};

/* In cluster-wide kinds a selector is about every namespace. */
static const struct row clusterwide[] = {
	{"endpointSelector empty is every endpoint", "{" SELF "ingress: [{}]}",
	 "{} isolates in\n  allow in spec.ingress[0]: NOBODY @ any\n"},
	{"an empty peer is every endpoint", "{" SELF "ingress: [{fromEndpoints: [{}]}]}",
	 "{} isolates in\n  allow in spec.ingress[0]: {} @ any\n"},
	{"a namespace can be named",
	 "{endpointSelector: {matchLabels: {io.kubernetes.pod.namespace: a}}, ingress: "
	 "[{fromEndpoints: [{matchLabels: {io.kubernetes.pod.namespace: b, app: c}}]}]}",
	 "{NS=a} isolates in\n  allow in spec.ingress[0]: {NS=b, app=c} @ any\n"},
};

static void run(const struct row *rows, size_t n, const char *version, const char *kind,
		const char *ns)
{
	for (size_t i = 0; i < n; i++) {
		char text[2048];
		char *got;

		snprintf(text, sizeof(text),
			 "apiVersion: %s\nkind: %s\nmetadata: {name: p%s%s}\nspec: %s\n", version,
			 kind, *ns ? ", namespace: " : "", ns, rows[i].spec);
		got = render_read(text, strlen(text));
		if (rows[i].model[0] == '!') {
			if (!strstr(got, rows[i].model + 1))
				fail_msg("%s: %s\nexpected a flaw: %s\ngot: %s", kind, rows[i].what,
					 rows[i].model + 1, got);
			if (strchr(got, '\n')[1])
				fail_msg("%s: %s\nexpected one flaw, got: %s", kind, rows[i].what,
					 got);
		} else {
			size_t have = strlen(got), want = strlen(rows[i].model);

			if (have < want || strcmp(got + have - want, rows[i].model))
				fail_msg("%s: %s\nexpected: %s\ngot: %s", kind, rows[i].what,
					 rows[i].model, got);
		}
		free(got);
	}
}

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void test_network_policy(void **state)
{
	(void)state;
	run(network_policy, COUNT(network_policy), "networking.k8s.io/v1", "NetworkPolicy", "shop");
}

static void test_cilium(void **state)
{
	(void)state;
	run(cilium, COUNT(cilium), "cilium.io/v2", "CiliumNetworkPolicy", "shop");
}

static void test_payload(void **state)
{
	(void)state;
	run(payload, COUNT(payload), "bpfast.io/v1alpha1", "PayloadPolicy", "shop");
}

static void test_clusterwide(void **state)
{
	(void)state;
	run(clusterwide, COUNT(clusterwide), "cilium.io/v2", "CiliumClusterwideNetworkPolicy", "");
	run(clusterwide, COUNT(clusterwide), "bpfast.io/v1alpha1", "ClusterPayloadPolicy", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_network_policy),
		cmocka_unit_test(test_cilium),
		cmocka_unit_test(test_payload),
		cmocka_unit_test(test_clusterwide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
