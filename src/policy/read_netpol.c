// SPDX-License-Identifier: Apache-2.0
/*
 * NetworkPolicy, networking.k8s.io/v1, as the API reference of Kubernetes has
 * it. An absent, a null and an empty list mean the same there, apart from
 * what is about to be read: no rules allow nothing, no peers allow anybody,
 * no ports allow every port.
 */
#include "policy/read_kinds.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "policy/read_syntax.h"

static void read_port(struct bf_reader *r, const struct bf_place *at, struct bf_port *out)
{
	static const struct bf_field fields[] = {
		{"port", NULL}, {"endPort", NULL}, {"protocol", NULL}, {NULL, NULL}};
	static const char *const protocols[] = {"TCP", "UDP", "SCTP", NULL};
	static const uint8_t numbers[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
	struct bf_place port, end, protocol;
	bool has_port, is_name;
	const char *name;
	long n = 0;
	int which;

	out->protocol = IPPROTO_TCP;
	out->last = 65535;
	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
	if (bf_field_get(r, at, "protocol", &protocol)) {
		which = bf_want_word(r, &protocol, protocols);
		if (which >= 0)
			out->protocol = numbers[which];
	}
	has_port = bf_field_get(r, at, "port", &port);
	is_name = has_port && port.node->type == BF_NODE_SCALAR &&
		  bf_scalar_kind(port.node) == BF_SCALAR_STRING;
	if (has_port && is_name) {
		name = port.node->text;
		out->last = 0;
		if (*name && name[strspn(name, "0123456789")] == 0)
			bf_flaw(r, &port,
				"a number in quotes is a port's name here: write it bare, %.16s",
				name);
		else if (!bf_is_port_name(name))
			bf_flaw(r, &port,
				"\"%.64s\" is no port name: up to 15 of a-z, 0-9 and \"-\", at "
				"least one letter",
				name);
		else
			out->name = bf_reader_text(r, name);
	} else if (has_port && bf_want_int(r, &port, &n)) {
		if (n < 1 || n > 65535)
			bf_flaw(r, &port, "%ld is no port: it goes from 1 to 65535", n);
		else
			out->first = out->last = (uint16_t)n;
	}
	if (!bf_field_get(r, at, "endPort", &end) || !bf_want_int(r, &end, &n))
		return;
	if (!has_port || is_name)
		bf_flaw(r, &end, "needs a port with a number");
	else if (n < 1 || n > 65535)
		bf_flaw(r, &end, "%ld is no port: it goes from 1 to 65535", n);
	else if (n < out->first)
		bf_flaw(r, &end, "%ld is below port %u", n, out->first);
	else
		out->last = (uint16_t)n;
}

static void read_block(struct bf_reader *r, const struct bf_place *at, struct bf_peer *out)
{
	static const struct bf_field fields[] = {{"cidr", NULL}, {"except", NULL}, {NULL, NULL}};
	struct bf_place cidr, except;
	bool has_except;

	out->kind = BF_PEER_CIDR;
	out->cidr_matches_endpoints = true;
	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
	has_except = bf_field_get(r, at, "except", &except) && bf_want_list(r, &except);
	if (bf_field_need(r, at, "cidr", &cidr, "give the range, like 10.0.0.0/8"))
		bf_read_cidr(r, &cidr, false, has_except ? &except : NULL, out);
}

static void read_peer(struct bf_reader *r, const struct bf_place *at, struct bf_peer *out)
{
	static const struct bf_field fields[] = {{"podSelector", NULL},
						 {"namespaceSelector", NULL},
						 {"ipBlock", NULL},
						 {NULL, NULL}};
	struct bf_place pods, namespaces, block;
	bool has_pods, has_namespaces, has_block;

	out->kind = BF_PEER_SELECTOR;
	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
	has_pods = bf_field_get(r, at, "podSelector", &pods);
	has_namespaces = bf_field_get(r, at, "namespaceSelector", &namespaces);
	has_block = bf_field_get(r, at, "ipBlock", &block);
	if (has_block) {
		if (has_pods || has_namespaces)
			bf_flaw(r, &block,
				"cannot stand beside podSelector or namespaceSelector: make it a "
				"peer of its own");
		read_block(r, &block, out);
		return;
	}
	if (!has_pods && !has_namespaces) {
		bf_flaw(r, at,
			"the peer is empty: give it podSelector, namespaceSelector or ipBlock "
			"({podSelector: {}} is every pod of this namespace)");
		return;
	}
	if (has_pods)
		bf_read_selector(r, &pods, BF_ABOUT_PODS, &out->selector);
	if (has_namespaces)
		bf_read_selector(r, &namespaces, BF_ABOUT_NAMESPACES, &out->selector);
	else
		bf_selector_in_namespace(r, &out->selector, r->ns);
}

static void read_rule(struct bf_reader *r, const struct bf_place *at, bool egress,
		      struct bf_rule *out)
{
	static const struct bf_field in[] = {{"from", NULL}, {"ports", NULL}, {NULL, NULL}};
	static const struct bf_field eg[] = {{"to", NULL}, {"ports", NULL}, {NULL, NULL}};
	struct bf_place list;
	size_t n = 0;

	out->egress = egress;
	out->line = at->node->line;
	out->where = bf_place_text(r, at);
	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, egress ? eg : in);
	if (bf_field_get(r, at, egress ? "to" : "from", &list) && bf_want_list(r, &list))
		n = list.node->n;
	out->peers = bf_reader_array(r, n ? n : 1, sizeof(*out->peers));
	if (!out->peers)
		return;
	out->peer_count = n ? n : 1;
	if (!n)
		out->peers[0].kind = BF_PEER_ALL;
	for (size_t i = 0; i < n; i++) {
		struct bf_place element = bf_element(&list, i);

		read_peer(r, &element, &out->peers[i]);
	}
	n = 0;
	if (bf_field_get(r, at, "ports", &list) && bf_want_list(r, &list))
		n = list.node->n;
	out->any_port = !n;
	out->ports = bf_reader_array(r, n, sizeof(*out->ports));
	if (!out->ports)
		return;
	out->port_count = n;
	for (size_t i = 0; i < n; i++) {
		struct bf_place element = bf_element(&list, i);

		read_port(r, &element, &out->ports[i]);
	}
}

static void read_types(struct bf_reader *r, const struct bf_place *spec, bool egress_rules,
		       struct bf_policy *policy)
{
	static const char *const types[] = {"Ingress", "Egress", NULL};
	struct bf_place list;
	int which;

	if (!bf_field_get(r, spec, "policyTypes", &list) || !bf_want_list(r, &list) ||
	    !list.node->n) {
		/* The default of the API: Ingress always, Egress if it has rules. */
		policy->isolates_ingress = true;
		policy->isolates_egress = egress_rules;
		return;
	}
	for (size_t i = 0; i < list.node->n; i++) {
		struct bf_place element = bf_element(&list, i);

		which = bf_want_word(r, &element, types);
		policy->isolates_ingress |= which == 0;
		policy->isolates_egress |= which == 1;
	}
}

/* A direction that policyTypes leaves out is not about these pods at all. */
static void drop_rules(struct bf_policy *policy)
{
	size_t kept = 0;

	for (size_t i = 0; i < policy->rule_count; i++) {
		struct bf_rule *rule = &policy->rules[i];

		if (rule->egress ? policy->isolates_egress : policy->isolates_ingress)
			policy->rules[kept++] = *rule;
		else
			bf_rule_free(rule);
	}
	policy->rule_count = kept;
}

void bf_read_network_policy(struct bf_reader *r, const struct bf_place *spec,
			    struct bf_policy *policy)
{
	static const struct bf_field fields[] = {{"podSelector", NULL},
						 {"ingress", NULL},
						 {"egress", NULL},
						 {"policyTypes", NULL},
						 {NULL, NULL}};
	struct bf_place pods, lists[2];
	size_t n[2] = {0, 0};

	if (!bf_want_map(r, spec))
		return;
	bf_fields_check(r, spec, fields);
	/* Absent is every pod of the namespace, as an empty one is. */
	if (bf_field_get(r, spec, "podSelector", &pods))
		bf_read_selector(r, &pods, BF_ABOUT_PODS, &policy->subject);
	bf_selector_in_namespace(r, &policy->subject, r->ns);
	for (int egress = 0; egress < 2; egress++)
		if (bf_field_get(r, spec, egress ? "egress" : "ingress", &lists[egress]) &&
		    bf_want_list(r, &lists[egress]))
			n[egress] = lists[egress].node->n;
	read_types(r, spec, n[1], policy);
	policy->rules = bf_reader_array(r, n[0] + n[1], sizeof(*policy->rules));
	if (!policy->rules)
		return;
	policy->rule_count = n[0] + n[1];
	for (size_t i = 0; i < policy->rule_count; i++) {
		bool egress = i >= n[0];
		struct bf_place element = bf_element(&lists[egress], egress ? i - n[0] : i);

		read_rule(r, &element, egress, &policy->rules[i]);
	}
	drop_rules(policy);
}
