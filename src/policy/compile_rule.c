// SPDX-License-Identifier: Apache-2.0
/* One rule at a time: whom it is about, and on which ports. */
#include "policy/compile_internal.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/selector.h"

static const uint8_t port_protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP};

int bf_rule_err(struct bf_compiler *c, int code, const struct bf_policy *policy,
		const struct bf_rule *rule, const char *fmt, ...)
{
	int line = rule && rule->line ? rule->line : policy->line;
	bool in_namespace = policy->namespace && *policy->namespace;
	char what[400], at[300] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	if (policy->file && line)
		snprintf(at, sizeof(at), "%s:%d: ", policy->file, line);
	else if (policy->file)
		snprintf(at, sizeof(at), "%s: ", policy->file);
	return bf_err(c->err, code, "%s%s %s%s%s%s%s: %s", at, bf_policy_kind_name(policy->kind),
		      in_namespace ? policy->namespace : "", in_namespace ? "/" : "", policy->name,
		      rule && rule->where ? ", " : "", rule && rule->where ? rule->where : "",
		      what);
}

static int check_ports(struct bf_compiler *c, const struct bf_policy *policy,
		       const struct bf_rule *rule)
{
	for (size_t i = 0; i < rule->port_count; i++) {
		const struct bf_port *port = &rule->ports[i];

		if (port->protocol &&
		    !memchr(port_protocols, port->protocol, sizeof(port_protocols)))
			return bf_rule_err(c, -EINVAL, policy, rule,
					   "IP protocol %d has no ports; TCP, UDP and SCTP have",
					   port->protocol);
		if (!port->name && port->first > port->last)
			return bf_rule_err(c, -EINVAL, policy, rule,
					   "ports %d to %d are no range; endPort must not be less "
					   "than port",
					   port->first, port->last);
	}
	return 0;
}

static int check_peers(struct bf_compiler *c, const struct bf_policy *policy,
		       const struct bf_rule *rule)
{
	for (size_t i = 0; i < rule->peer_count; i++) {
		const struct bf_peer *peer = &rule->peers[i];
		uint8_t len = 0;

		if (peer->kind != BF_PEER_CIDR)
			continue;
		len = peer->cidr.len;
		for (size_t e = 0; e < peer->except_count; e++)
			if (peer->except[e].len > len)
				len = peer->except[e].len;
		if (len > 128)
			return bf_rule_err(c, -EINVAL, policy, rule,
					   "a CIDR prefix of %d bits is longer than an address",
					   len);
	}
	return 0;
}

int bf_compile_rules(struct bf_compiler *c)
{
	const struct bf_objects *objects = c->world->objects;
	size_t n = 0;
	int ret = 0;

	c->policy_first_rule = calloc(objects->policy_count + 1, sizeof(*c->policy_first_rule));
	if (!c->policy_first_rule)
		return -ENOMEM;
	for (size_t p = 0; p < objects->policy_count; p++) {
		n += objects->policies[p].rule_count;
		c->policy_first_rule[p + 1] = n;
	}
	c->rules = calloc(n + 1, sizeof(*c->rules));
	if (!c->rules)
		return -ENOMEM;
	c->rule_count = n;
	n = 0;
	for (size_t p = 0; p < objects->policy_count; p++) {
		const struct bf_policy *policy = &objects->policies[p];

		for (size_t r = 0; !ret && r < policy->rule_count; r++) {
			struct bf_crule *rule = &c->rules[n++];

			rule->policy = policy;
			rule->policy_index = (uint32_t)p;
			rule->rule = &policy->rules[r];
			if (rule->rule->deny && rule->rule->http)
				ret = bf_rule_err(c, -EINVAL, policy, rule->rule,
						  "a deny rule cannot have HTTP rules");
			ret = ret ?: check_ports(c, policy, rule->rule);
			ret = ret ?: check_peers(c, policy, rule->rule);
			for (size_t i = 0; !rule->rule->any_port && i < rule->rule->port_count; i++)
				rule->named_ports |= rule->rule->ports[i].name != NULL;
		}
	}
	return ret;
}

/* block: the peer's CIDR. */
static bool cidr_matches(const struct bf_peer *peer, const struct bf_block *block,
			 const struct bf_ident *ident)
{
	if (!ident->has_block || (ident->kind != BF_IDENT_CIDR && !peer->cidr_matches_endpoints))
		return false;
	if (!bf_block_holds(block, &ident->block))
		return false;
	for (size_t e = 0; e < peer->except_count; e++) {
		struct bf_block except = bf_block_of(&peer->except[e]);

		if (bf_block_holds(&except, &ident->block))
			return false;
	}
	return true;
}

static bool peer_matches(const struct bf_peer *peer, const struct bf_block *block,
			 const struct bf_ident *ident, bool egress)
{
	/* What the node itself sends is known by how it arrives and needs no rule. Who else
	 * sends from its address (or forges it) is not the node. */
	bool node = ident->kind == BF_IDENT_NODE && egress;

	switch (peer->kind) {
	case BF_PEER_ALL:
		return true;
	case BF_PEER_SELECTOR:
		return ident->kind == BF_IDENT_ENDPOINT &&
		       bf_selector_matches(&peer->selector, ident->endpoint->namespace,
					   &ident->endpoint->labels, ident->ns_labels);
	case BF_PEER_CIDR:
		return cidr_matches(peer, block, ident);
	case BF_PEER_HOST:
		return node;
	case BF_PEER_WORLD:
		return ident->kind == BF_IDENT_WORLD || ident->kind == BF_IDENT_CIDR ||
		       (ident->kind == BF_IDENT_NODE && !egress);
	case BF_PEER_CLUSTER:
		return node || ident->kind == BF_IDENT_ENDPOINT;
	}
	return false;
}

int bf_rule_match_identities(struct bf_compiler *c, struct bf_crule *rule)
{
	if (rule->idents)
		return 0;
	rule->idents = calloc(c->ident_count / 64 + 1, sizeof(*rule->idents));
	if (!rule->idents)
		return -ENOMEM;
	for (size_t p = 0; p < rule->rule->peer_count; p++) {
		const struct bf_peer *peer = &rule->rule->peers[p];
		struct bf_block block = {0};

		/* In Cilium it means the other nodes, and those are not known here. */
		if (peer->remote_node && (c->world->as_cilium & BF_CILIUM_REMOTE_NODE) &&
		    bf_kind_is_cilium(rule->policy->kind))
			continue;
		if (peer->kind == BF_PEER_CIDR)
			block = bf_block_of(&peer->cidr);
		for (size_t i = 0; i < c->ident_count; i++)
			if (!bf_rule_has_ident(rule, i) &&
			    peer_matches(peer, &block, &c->idents[i], rule->rule->egress))
				rule->idents[i / 64] |= (uint64_t)1 << (i % 64);
	}
	return 0;
}

static int add_keys(struct bf_keys **v, size_t *n, size_t *cap, uint32_t first, uint32_t last)
{
	if (bf_grow(v, cap, *n, sizeof(**v)))
		return -ENOMEM;
	(*v)[(*n)++] = (struct bf_keys){first, last};
	return 0;
}

int bf_rule_keys(const struct bf_crule *crule, const struct bf_endpoint *named, struct bf_keys **v,
		 size_t *n, size_t *cap)
{
	const struct bf_rule *rule = crule->rule;
	int ret = 0;

	/* HTTP runs over TCP; such a rule allows nothing of any other protocol. */
	if (rule->any_port && rule->http)
		return add_keys(v, n, cap, BPFAST_PORT_KEY(IPPROTO_TCP, 0),
				BPFAST_PORT_KEY(IPPROTO_TCP, 65535));
	if (rule->any_port)
		return add_keys(v, n, cap, 0, BPFAST_PORT_KEY(255, 65535));
	for (size_t i = 0; i < rule->port_count; i++) {
		const struct bf_port *port = &rule->ports[i];

		for (size_t p = 0; p < sizeof(port_protocols); p++) {
			uint8_t protocol = port_protocols[p];

			if (port->protocol && port->protocol != protocol)
				continue;
			if (rule->http && protocol != IPPROTO_TCP)
				continue;
			if (!port->name)
				ret = ret
					      ?: add_keys(v, n, cap,
							  BPFAST_PORT_KEY(protocol, port->first),
							  BPFAST_PORT_KEY(protocol, port->last));
			for (size_t e = 0; port->name && named && e < named->port_count; e++)
				if (named->ports[e].protocol == protocol &&
				    !strcmp(named->ports[e].name, port->name))
					ret = ret
						      ?: add_keys(v, n, cap,
								  BPFAST_PORT_KEY(
									  protocol,
									  named->ports[e].port),
								  BPFAST_PORT_KEY(
									  protocol,
									  named->ports[e].port));
		}
	}
	return ret;
}
