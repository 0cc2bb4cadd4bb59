// SPDX-License-Identifier: Apache-2.0
/*
 * The grammar of CiliumNetworkPolicy, which PayloadPolicy and
 * ClusterPayloadPolicy share. What an empty list means is Cilium's meaning
 * (pkg/policy/utils: an empty list of peers selects nobody) in its kinds; in
 * ours, and in deny rules of all, an empty list is refused, for there it is
 * never what somebody wanted to say.
 */
#include "policy/read_kinds.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "bpfast/image.h"
#include "policy/read_syntax.h"

#define CANNOT "cannot be enforced by BPFast"

/* Where a rule stands. */
struct side {
	bool egress;
	bool deny;
};

static struct bf_rule *add_rule(struct bf_reader *r, struct bf_policy *policy)
{
	struct bf_rule *v = reallocarray(policy->rules, policy->rule_count + 1, sizeof(*v));

	if (!v) {
		r->no_memory = true;
		return NULL;
	}
	policy->rules = v;
	v += policy->rule_count++;
	memset(v, 0, sizeof(*v));
	return v;
}

static bool refuses_empty(const struct bf_reader *r, struct side side)
{
	return bf_own_kind(r) || side.deny;
}

/* A "reserved:" label among matchLabels: its key's node, or NULL. */
static const struct bf_node *reserved_label(const struct bf_node *selector)
{
	if (selector->type != BF_NODE_MAP)
		return NULL;
	for (size_t i = 0; i + 1 < selector->n; i += 2) {
		const struct bf_node *labels = selector->v[i + 1];

		if (selector->v[i]->type != BF_NODE_SCALAR || labels->type != BF_NODE_MAP ||
		    strcmp(selector->v[i]->text, "matchLabels"))
			continue;
		for (size_t j = 0; j + 1 < labels->n; j += 2)
			if (labels->v[j]->type == BF_NODE_SCALAR &&
			    !strncmp(labels->v[j]->text, "reserved:", 9))
				return labels->v[j];
	}
	return NULL;
}

/*
 * An entity's name to a peer. "none" is nobody: *none. The node is known by
 * how its packets arrive, so other nodes are not known: an allow for them is
 * read narrowly (this node), a deny that would not reach them is refused.
 */
static bool entity_peer(struct bf_reader *r, const struct bf_place *at, const char *name,
			struct side side, struct bf_peer *out, bool *none)
{
	static const char *const known[] = {"all",	  "world",	"cluster",
					    "host",	  "none",	"remote-node",
					    "world-ipv4", "world-ipv6", NULL};
	static const char *const strangers[] = {"kube-apiserver", "ingress",   "health",
						"init",		  "unmanaged", NULL};
	const char *near;

	*none = false;
	if (!strcmp(name, "all")) {
		out->kind = BF_PEER_ALL;
	} else if (!strcmp(name, "world")) {
		out->kind = BF_PEER_WORLD;
	} else if (!strcmp(name, "cluster")) {
		out->kind = BF_PEER_CLUSTER;
	} else if (!strcmp(name, "host")) {
		out->kind = BF_PEER_HOST;
	} else if (!strcmp(name, "none")) {
		*none = true;
	} else if (!strcmp(name, "remote-node")) {
		out->kind = BF_PEER_HOST;
		out->remote_node = true;
		if (side.deny) {
			bf_flaw(r, at,
				"the entity remote-node " CANNOT
				" in a deny rule, for other nodes are not known: deny their "
				"addresses with a CIDR");
			return false;
		}
	} else if (!strncmp(name, "world-ipv", 9) && (name[9] == '4' || name[9] == '6') &&
		   !name[10]) {
		bf_flaw(r, at, "the entity %s " CANNOT ": use world, or the CIDR %s", name,
			name[9] == '4' ? "0.0.0.0/0" : "::/0");
		return false;
	} else {
		for (size_t i = 0; strangers[i]; i++)
			if (!strcmp(name, strangers[i])) {
				bf_flaw(r, at,
					"the entity %s " CANNOT
					": name its endpoints by labels or its addresses by CIDR",
					name);
				return false;
			}
		near = bf_nearest(name, known);
		if (near)
			bf_flaw(r, at, "unknown entity \"%.64s\": did you mean \"%s\"?", name,
				near);
		else
			bf_flaw(r, at,
				"unknown entity \"%.64s\": known are all, world, cluster, host, "
				"remote-node and none",
				name);
		return false;
	}
	return true;
}

static void read_endpoint(struct bf_reader *r, const struct bf_place *at, struct side side,
			  struct bf_peer *out)
{
	const struct bf_node *reserved = reserved_label(at->node);
	bool none;

	if (reserved) {
		struct bf_place label = {.up = at, .name = reserved->text, .node = reserved};
		const char *entity = reserved->text + strlen("reserved:");

		/* One label, alone: with others beside it nothing could match. */
		if (at->node->n != 2 || at->node->v[1]->n != 2)
			bf_flaw(r, &label, "has to stand alone in its selector");
		else if (!strcmp(entity, "none"))
			bf_flaw(r, &label, "selects nobody: take the selector out");
		else
			entity_peer(r, &label, entity, side, out, &none);
		return;
	}
	out->kind = BF_PEER_SELECTOR;
	bf_read_selector(r, at, BF_ABOUT_ENDPOINTS, &out->selector);
	/* As Cilium does: who names no namespace means the policy's own. */
	if (*r->ns && !bf_selector_has_namespace(&out->selector))
		bf_selector_in_namespace(r, &out->selector, r->ns);
}

static void read_cidr_rule(struct bf_reader *r, const struct bf_place *at, struct bf_peer *out)
{
	static const struct bf_field fields[] = {
		{"cidr", NULL},
		{"except", NULL},
		{"cidrGroupRef", CANNOT ": write the group's ranges out"},
		{"cidrGroupSelector", CANNOT ": write the groups' ranges out"},
		{NULL, NULL}};
	struct bf_place cidr, except;
	bool has_except;

	out->kind = BF_PEER_CIDR;
	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
	has_except = bf_field_get(r, at, "except", &except) && bf_want_list(r, &except);
	if (bf_field_need(r, at, "cidr", &cidr, "give the range, like 10.0.0.0/8"))
		bf_read_cidr(r, &cidr, false, has_except ? &except : NULL, out);
}

enum member { ENDPOINTS, CIDR, CIDR_SET, ENTITIES, MEMBERS };

static const char *const member_names[2][MEMBERS] = {
	{"fromEndpoints", "fromCIDR", "fromCIDRSet", "fromEntities"},
	{"toEndpoints", "toCIDR", "toCIDRSet", "toEntities"},
};

static bool read_member(struct bf_reader *r, const struct bf_place *at, enum member member,
			struct side side, struct bf_peer *out)
{
	const char *text;
	bool none = false;

	switch (member) {
	case ENDPOINTS:
		read_endpoint(r, at, side, out);
		break;
	case CIDR:
		bf_read_cidr(r, at, true, NULL, out);
		break;
	case CIDR_SET:
		read_cidr_rule(r, at, out);
		break;
	default:
		text = bf_want_string(r, at);
		if (text)
			entity_peer(r, at, text, side, out, &none);
	}
	return !none;
}

struct peers {
	bool given; /* some list of peers is there, if only an empty one */
	struct bf_peer *v;
	size_t n;
};

static void read_peers(struct bf_reader *r, const struct bf_place *rule, struct side side,
		       struct peers *out)
{
	const char *const *names = member_names[side.egress];
	const char *first = NULL;
	enum member member = MEMBERS;
	struct bf_place list, at;

	for (int m = 0; m < MEMBERS; m++) {
		if (!bf_field_get(r, rule, names[m], &at) || !bf_want_list(r, &at))
			continue;
		if (first) {
			bf_flaw(r, &at, "cannot stand beside %s: write two rules", first);
			continue;
		}
		first = names[m];
		member = m;
		list = at;
	}
	if (!first)
		return;
	out->given = true;
	if (!list.node->n && refuses_empty(r, side))
		bf_flaw(r, &list,
			"is an empty list, which selects nobody: leave the field out to mean "
			"anybody (with toPorts), or take the rule out");
	out->v = bf_reader_array(r, list.node->n, sizeof(*out->v));
	if (!out->v)
		return;
	for (size_t i = 0; i < list.node->n; i++) {
		at = bf_element(&list, i);
		if (read_member(r, &at, member, side, &out->v[out->n]))
			out->n++;
	}
	if (!out->n && side.deny)
		bf_flaw(r, &list, "denies nobody: take the rule out");
}

static void read_port_name(struct bf_reader *r, const struct bf_place *at, const char *text,
			   struct bf_port *out)
{
	char *name = bf_reader_text(r, text);

	out->last = 0;
	out->name = name;
	if (!name)
		return;
	/* Names of services are compared without case (RFC 6335 section 5.1). */
	for (char *c = name; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c |= 32;
	if (!bf_is_port_name(name))
		bf_flaw(r, at,
			"\"%.64s\" is neither a port number (1 to 65535, 0 for every port) nor a "
			"port name (up to 15 of a-z, 0-9 and \"-\")",
			text);
}

/* "80", 80, "http"; "0" is every port. */
static bool read_port_field(struct bf_reader *r, const struct bf_place *at, struct bf_port *out)
{
	const struct bf_node *node = at->node;
	const char *text;
	unsigned long n = 0;
	long number;

	out->last = 65535;
	if (node->type == BF_NODE_SCALAR && bf_scalar_kind(node) == BF_SCALAR_INT) {
		if (!bf_want_int(r, at, &number))
			return false;
		text = node->text;
	} else {
		text = bf_want_string(r, at);
		if (!text)
			return false;
	}
	if (bf_parse_number(text, 65535, &n)) {
		if (n)
			out->first = out->last = (uint16_t)n;
		return true;
	}
	read_port_name(r, at, text, out);
	return true;
}

static void read_port(struct bf_reader *r, const struct bf_place *at, bool http,
		      struct bf_port *out)
{
	static const struct bf_field fields[] = {
		{"port", NULL}, {"endPort", NULL}, {"protocol", NULL}, {NULL, NULL}};
	static const char *const protocols[] = {"ANY", "TCP", "UDP", "SCTP", NULL};
	static const uint8_t numbers[] = {0, IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};
	struct bf_place port, end, protocol;
	bool has_port, has_protocol;
	int which;
	long n = 0;

	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
	has_port = bf_field_need(r, at, "port", &port,
				 "give a number, a name, or \"0\" for every port");
	if (has_port && read_port_field(r, &port, out) && http && !out->name && !out->first)
		bf_flaw(r, &port, "HTTP rules need a port: every port (0) cannot carry them");
	has_protocol = bf_field_get(r, at, "protocol", &protocol);
	if (has_protocol) {
		which = bf_want_word(r, &protocol, protocols);
		if (which >= 0)
			out->protocol = numbers[which];
		if (http && which >= 0 && which != 1)
			bf_flaw(r, &protocol, "HTTP rules need protocol TCP, not %s",
				protocols[which]);
	} else if (http) {
		/* Nothing but TCP can be meant; Cilium wants it said all the same. */
		out->protocol = IPPROTO_TCP;
		if (!bf_own_kind(r))
			bf_flaw(r, at, "HTTP rules need protocol TCP: add protocol: TCP");
	}
	if (!bf_field_get(r, at, "endPort", &end) || !bf_want_int(r, &end, &n))
		return;
	if (!n && !bf_own_kind(r))
		return; /* Cilium: 0 is no endPort */
	if (!has_port || !out->first)
		bf_flaw(r, &end, "needs a port with a number");
	else if (n < 1 || n > 65535)
		bf_flaw(r, &end, "%ld is no port: it goes from 1 to 65535", n);
	else if (n < out->first)
		bf_flaw(r, &end, "%ld is below port %u", n, out->first);
	else
		out->last = (uint16_t)n;
}

/* toPorts[].rules; whether it has HTTP rules. */
static bool read_l7(struct bf_reader *r, const struct bf_place *element, struct bf_rule *rule)
{
	static const struct bf_field fields[] = {{"http", NULL},
						 {"kafka", CANNOT ": only http rules are"},
						 {"dns", CANNOT ": only http rules are"},
						 {"l7proto", CANNOT ": only http rules are"},
						 {"l7", CANNOT ": only http rules are"},
						 {NULL, NULL}};
	struct bf_place rules, http;

	if (!bf_field_get(r, element, "rules", &rules) || !bf_want_map(r, &rules))
		return false;
	bf_fields_check(r, &rules, fields);
	if (!rules.node->n && bf_own_kind(r))
		bf_flaw(r, &rules,
			"is empty: add http, or leave rules out to allow all that is said on the "
			"port");
	if (!bf_field_get(r, &rules, "http", &http))
		return false;
	bf_read_http(r, &http, rule);
	return true;
}

static void read_to_ports(struct bf_reader *r, const struct bf_place *at, struct side side,
			  const struct peers *peers, struct bf_policy *policy)
{
	static const struct bf_field allow[] = {
		{"ports", NULL},
		{"rules", NULL},
		{"terminatingTLS", CANNOT ": TLS is not taken apart here"},
		{"originatingTLS", CANNOT ": TLS is not taken apart here"},
		{"serverNames", CANNOT ": TLS names are not read"},
		{"listener", CANNOT ": there is no proxy here"},
		{NULL, NULL}};
	static const struct bf_field denied[] = {
		{"ports", NULL},
		{"rules", "a deny rule cannot look at what is said: deny the port, or allow the "
			  "requests that are wanted"},
		{NULL, NULL}};
	struct bf_rule *rule;
	struct bf_place ports;
	bool http = false;

	rule = add_rule(r, policy);
	if (!rule)
		return;
	rule->egress = side.egress;
	rule->deny = side.deny;
	rule->line = at->node->line;
	rule->where = bf_place_text(r, at);
	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, side.deny ? denied : allow);
	r->copies += peers->n;
	if (r->copies > BF_PEER_COPIES_MAX) {
		if (r->copies - peers->n <= BF_PEER_COPIES_MAX)
			bf_flaw(r, at,
				"more than %u peers, counted once for each of toPorts: split the "
				"rule",
				BF_PEER_COPIES_MAX);
		return;
	}
	if (!bf_peers_copy(&rule->peers, peers->v, peers->n)) {
		r->no_memory = true;
		return;
	}
	rule->peer_count = peers->n;
	if (!side.deny)
		http = read_l7(r, at, rule);
	if (!bf_field_get(r, at, "ports", &ports)) {
		if (refuses_empty(r, side))
			bf_flaw(r, at, "ports is missing: name the ports, \"0\" for every port");
		return; /* as Cilium has it: no port, so nothing */
	}
	if (!bf_want_list(r, &ports))
		return;
	if (!ports.node->n && refuses_empty(r, side))
		bf_flaw(r, &ports, "is an empty list: name the ports, \"0\" for every port");
	rule->ports = bf_reader_array(r, ports.node->n, sizeof(*rule->ports));
	if (!rule->ports)
		return;
	rule->port_count = ports.node->n;
	for (size_t i = 0; i < ports.node->n; i++) {
		struct bf_place element = bf_element(&ports, i);

		read_port(r, &element, http, &rule->ports[i]);
	}
}

static void read_rule(struct bf_reader *r, const struct bf_place *at, struct side side,
		      struct bf_policy *policy)
{
	static const char later[] = CANNOT ": select the peers by labels or by CIDR";
	static const char icmps[] = CANNOT ": ICMP goes with rules without toPorts";
	static const char auth[] = CANNOT ": peers are not authenticated here";
	static const struct bf_field in[] = {
		{"fromEndpoints", NULL},  {"fromCIDR", NULL},	 {"fromCIDRSet", NULL},
		{"fromEntities", NULL},	  {"toPorts", NULL},	 {"fromRequires", later},
		{"fromNodes", later},	  {"fromGroups", later}, {"icmps", icmps},
		{"authentication", auth}, {NULL, NULL}};
	static const struct bf_field eg[] = {
		{"toEndpoints", NULL}, {"toCIDR", NULL},      {"toCIDRSet", NULL},
		{"toEntities", NULL},  {"toPorts", NULL},     {"toRequires", later},
		{"toFQDNs", later},    {"toServices", later}, {"toNodes", later},
		{"toGroups", later},   {"icmps", icmps},      {"authentication", auth},
		{NULL, NULL}};
	struct peers peers = {0};
	struct bf_place ports;
	size_t n = 0;

	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, side.egress ? eg : in);
	read_peers(r, at, side, &peers);
	if (bf_field_get(r, at, "toPorts", &ports) && bf_want_list(r, &ports)) {
		n = ports.node->n;
		if (!n && refuses_empty(r, side))
			bf_flaw(r, &ports,
				"is an empty list: leave the field out to mean every port");
	}
	if (!n) {
		struct bf_rule *rule = add_rule(r, policy);

		/* A rule that names neither peers nor ports matches nobody. */
		if (side.deny && !at->node->n)
			bf_flaw(r, at,
				"an empty deny rule denies nothing: to deny everybody write %s: "
				"[all]",
				member_names[side.egress][ENTITIES]);
		if (rule) {
			rule->egress = side.egress;
			rule->deny = side.deny;
			rule->line = at->node->line;
			rule->where = bf_place_text(r, at);
			rule->any_port = true;
			rule->peers = peers.v;
			rule->peer_count = peers.n;
			return;
		}
	}
	if (n && !peers.given) {
		peers.v = bf_reader_array(r, 1, sizeof(*peers.v));
		if (peers.v) {
			peers.v[0].kind = BF_PEER_ALL;
			peers.n = 1;
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct bf_place element = bf_element(&ports, i);

		read_to_ports(r, &element, side, &peers, policy);
	}
	bf_peers_free(peers.v, peers.n);
}

/* The rules of one list; how many it has. */
static size_t read_rules(struct bf_reader *r, const struct bf_place *spec, const char *name,
			 struct side side, struct bf_policy *policy)
{
	struct bf_place list;

	if (!bf_field_get(r, spec, name, &list) || !bf_want_list(r, &list))
		return 0;
	if (!list.node->n && bf_own_kind(r))
		bf_flaw(r, &list,
			"is an empty list: %s leave the field out to leave the direction alone",
			side.deny ? "" : "write \"- {}\" to allow nothing, or");
	for (size_t i = 0; i < list.node->n; i++) {
		struct bf_place element = bf_element(&list, i);

		read_rule(r, &element, side, policy);
	}
	return list.node->n;
}

static void read_default_deny(struct bf_reader *r, const struct bf_place *spec,
			      struct bf_policy *policy)
{
	static const struct bf_field fields[] = {{"ingress", NULL}, {"egress", NULL}, {NULL, NULL}};
	struct bf_place at, side;

	if (!bf_field_get(r, spec, "enableDefaultDeny", &at) || !bf_want_map(r, &at))
		return;
	bf_fields_check(r, &at, fields);
	if (bf_field_get(r, &at, "ingress", &side))
		bf_want_bool(r, &side, &policy->isolates_ingress);
	if (bf_field_get(r, &at, "egress", &side))
		bf_want_bool(r, &side, &policy->isolates_egress);
}

static void read_subject(struct bf_reader *r, const struct bf_place *spec, struct bf_policy *policy)
{
	struct bf_place at;

	if (!bf_field_need(r, spec, "endpointSelector", &at,
			   *r->ns ? "write {} for every endpoint of the namespace"
				  : "write {} for every endpoint"))
		return;
	bf_read_selector(r, &at, BF_ABOUT_ENDPOINTS, &policy->subject);
	if (!*r->ns)
		return;
	for (size_t i = 0; i < policy->subject.n; i++) {
		const struct bf_requirement *req = &policy->subject.v[i];

		if (!req->key || strcmp(req->key, BF_KEY_NAMESPACE))
			continue;
		if (req->op != BF_SEL_IN || req->n != 1 || strcmp(req->values[0], r->ns))
			bf_flaw(r, &at,
				"a policy is about endpoints of its own namespace \"%s\": take the "
				"label " BF_KEY_NAMESPACE " out",
				r->ns);
	}
	bf_selector_in_namespace(r, &policy->subject, r->ns);
}

static void read_own_fields(struct bf_reader *r, const struct bf_place *spec,
			    struct bf_policy *policy)
{
	static const char *const modes[] = {"enforce", "audit", NULL};
	static const char *const actions[] = {"reply", "reset", "drop", NULL};
	static const char *const messages[] = {"policy", "silent", NULL};
	static const uint8_t numbers[] = {BPFAST_ON_DENY_REPLY, BPFAST_ON_DENY_RESET,
					  BPFAST_ON_DENY_DROP};
	struct bf_place at;
	int which;

	if (bf_field_get(r, spec, "mode", &at))
		policy->audit = bf_want_word(r, &at, modes) == 1;
	if (bf_field_get(r, spec, "onDeny", &at)) {
		which = bf_want_word(r, &at, actions);
		if (which >= 0)
			policy->on_deny = numbers[which];
	}
	if (bf_field_get(r, spec, "denyMessage", &at))
		policy->silent = bf_want_word(r, &at, messages) == 1;
}

void bf_read_rule_spec(struct bf_reader *r, const struct bf_place *spec, struct bf_policy *policy)
{
	static const char nodes[] = CANNOT ": policies are about endpoints, not nodes";
	static const char ours[] = "is a field of PayloadPolicy, not of this kind: use that kind";
	static const char theirs[] = "is not a field of this kind: take it out";
	static const struct bf_field own[] = {{"endpointSelector", NULL},
					      {"ingress", NULL},
					      {"ingressDeny", NULL},
					      {"egress", NULL},
					      {"egressDeny", NULL},
					      {"enableDefaultDeny", NULL},
					      {"description", NULL},
					      {"mode", NULL},
					      {"onDeny", NULL},
					      {"denyMessage", NULL},
					      {"nodeSelector", nodes},
					      {"labels", theirs},
					      {"log", theirs},
					      {NULL, NULL}};
	static const struct bf_field cilium[] = {{"endpointSelector", NULL},
						 {"ingress", NULL},
						 {"ingressDeny", NULL},
						 {"egress", NULL},
						 {"egressDeny", NULL},
						 {"enableDefaultDeny", NULL},
						 {"description", NULL},
						 {"labels", NULL},
						 {"nodeSelector", nodes},
						 {"log", CANNOT},
						 {"mode", ours},
						 {"onDeny", ours},
						 {"denyMessage", ours},
						 {NULL, NULL}};
	unsigned int before = r->flaws;
	struct bf_place at;
	size_t in, eg;

	if (!bf_want_map(r, spec))
		return;
	bf_fields_check(r, spec, bf_own_kind(r) ? own : cilium);
	read_subject(r, spec, policy);
	if (bf_field_get(r, spec, "description", &at))
		bf_want_string(r, &at);
	in = read_rules(r, spec, "ingress", (struct side){false, false}, policy);
	in += read_rules(r, spec, "ingressDeny", (struct side){false, true}, policy);
	eg = read_rules(r, spec, "egress", (struct side){true, false}, policy);
	eg += read_rules(r, spec, "egressDeny", (struct side){true, true}, policy);
	if (!in && !eg && r->flaws == before)
		bf_flaw(r, spec,
			"has no rule, so it would do nothing: add ingress or egress (\"- {}\" as "
			"the only rule allows nothing)");
	policy->isolates_ingress = in;
	policy->isolates_egress = eg;
	read_default_deny(r, spec, policy);
	if (bf_own_kind(r))
		read_own_fields(r, spec, policy);
}
