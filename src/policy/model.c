// SPDX-License-Identifier: Apache-2.0
/* Names, copies and the end of the model's objects. */
#include "policy/model.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/read.h"
#include "policy/read_model.h"
#include "policy/shield_spec.h"

const char *bf_policy_kind_name(enum bf_policy_kind kind)
{
	static const char *const names[BF_POLICY_KINDS] = {
		[BF_NETWORK_POLICY] = "NetworkPolicy",
		[BF_PAYLOAD_POLICY] = "PayloadPolicy",
		[BF_CLUSTER_PAYLOAD_POLICY] = "ClusterPayloadPolicy",
		[BF_CILIUM_POLICY] = "CiliumNetworkPolicy",
		[BF_CILIUM_CLUSTER_POLICY] = "CiliumClusterwideNetworkPolicy",
		[BF_SHIELD_POLICY] = "ShieldPolicy",
	};

	return (unsigned int)kind < BF_POLICY_KINDS ? names[kind] : "unknown";
}

static void labels_free(struct bf_labels *labels)
{
	for (size_t i = 0; i < labels->n; i++) {
		free(labels->v[i].key);
		free(labels->v[i].value);
	}
	free(labels->v);
}

void bf_selector_free(struct bf_selector *s)
{
	for (size_t i = 0; i < s->n; i++) {
		for (size_t j = 0; j < s->v[i].n; j++)
			free(s->v[i].values[j]);
		free(s->v[i].values);
		free(s->v[i].key);
	}
	free(s->v);
	memset(s, 0, sizeof(*s));
}

void bf_peers_free(struct bf_peer *peers, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		bf_selector_free(&peers[i].selector);
		free(peers[i].except);
	}
	free(peers);
}

void bf_rule_free(struct bf_rule *rule)
{
	bf_peers_free(rule->peers, rule->peer_count);
	for (size_t i = 0; i < rule->port_count; i++)
		free(rule->ports[i].name);
	free(rule->ports);
	for (size_t i = 0; i < rule->http_rule_count; i++) {
		struct bf_http_rule *h = &rule->http_rules[i];

		for (size_t j = 0; j < h->header_count; j++) {
			free(h->headers[j].name);
			free(h->headers[j].value);
		}
		free(h->headers);
		free(h->method);
		free(h->path);
		free(h->host);
		free(h->upgrade);
	}
	free(rule->http_rules);
	free(rule->where);
	memset(rule, 0, sizeof(*rule));
}

void bf_policy_free(struct bf_policy *policy)
{
	free(policy->namespace);
	free(policy->name);
	bf_selector_free(&policy->subject);
	for (size_t i = 0; i < policy->rule_count; i++)
		bf_rule_free(&policy->rules[i]);
	free(policy->rules);
	bf_shield_spec_free(policy->shield);
	free(policy->source);
	free(policy->file);
	memset(policy, 0, sizeof(*policy));
}

void bf_namespace_free(struct bf_namespace *ns)
{
	free(ns->name);
	labels_free(&ns->labels);
	memset(ns, 0, sizeof(*ns));
}

const struct bf_labels *bf_namespace_labels(const struct bf_objects *objects, const char *name)
{
	for (size_t i = 0; i < objects->namespace_count; i++)
		if (!strcmp(objects->namespaces[i].name, name))
			return &objects->namespaces[i].labels;
	return NULL;
}

void bf_objects_free(struct bf_objects *objects)
{
	for (size_t i = 0; i < objects->policy_count; i++)
		bf_policy_free(&objects->policies[i]);
	free(objects->policies);
	for (size_t i = 0; i < objects->namespace_count; i++)
		bf_namespace_free(&objects->namespaces[i]);
	free(objects->namespaces);
	memset(objects, 0, sizeof(*objects));
}

/*
 * Copies. Each fills a zeroed *to as far as it gets and returns false without
 * memory; what is there then can be freed like a whole one.
 */
static bool copy_text(char **to, const char *from)
{
	if (!from)
		return true;
	*to = strdup(from);
	return *to;
}

/* A zeroed array of n; n = 0 gives NULL and success. */
static bool copy_array(void *to, size_t n, size_t size)
{
	void *v = NULL;

	if (n) {
		v = calloc(n, size);
		if (!v)
			return false;
	}
	memcpy(to, &v, sizeof(v));
	return true;
}

static bool requirement_copy(struct bf_requirement *to, const struct bf_requirement *from)
{
	to->op = from->op;
	if (!copy_text(&to->key, from->key) ||
	    !copy_array(&to->values, from->n, sizeof(*to->values)))
		return false;
	for (; to->n < from->n; to->n++)
		if (!copy_text(&to->values[to->n], from->values[to->n]))
			return false;
	return true;
}

bool bf_selector_copy(struct bf_selector *to, const struct bf_selector *from)
{
	bool ok = copy_array(&to->v, from->n, sizeof(*to->v));

	while (ok && to->n < from->n) {
		ok = requirement_copy(&to->v[to->n], &from->v[to->n]);
		to->n++; /* counted in any case: what is there has to be freed */
	}
	return ok;
}

bool bf_peers_copy(struct bf_peer **to, const struct bf_peer *from, size_t n)
{
	bool ok = copy_array(to, n, sizeof(**to));

	for (size_t i = 0; ok && i < n; i++) {
		struct bf_peer *peer = &(*to)[i];

		peer->kind = from[i].kind;
		peer->cidr = from[i].cidr;
		peer->cidr_matches_endpoints = from[i].cidr_matches_endpoints;
		peer->remote_node = from[i].remote_node;
		ok = bf_selector_copy(&peer->selector, &from[i].selector) &&
		     copy_array(&peer->except, from[i].except_count, sizeof(*peer->except));
		if (!ok)
			break;
		peer->except_count = from[i].except_count;
		for (size_t j = 0; j < peer->except_count; j++)
			peer->except[j] = from[i].except[j];
	}
	if (!ok && *to) {
		bf_peers_free(*to, n);
		*to = NULL;
	}
	return ok;
}

static bool http_rule_copy(struct bf_http_rule *to, const struct bf_http_rule *from)
{
	to->path_has_query = from->path_has_query;
	to->ref = from->ref;
	if (!copy_text(&to->method, from->method) || !copy_text(&to->path, from->path) ||
	    !copy_text(&to->host, from->host) || !copy_text(&to->upgrade, from->upgrade) ||
	    !copy_array(&to->headers, from->header_count, sizeof(*to->headers)))
		return false;
	to->header_count = from->header_count;
	for (size_t i = 0; i < from->header_count; i++) {
		to->headers[i].op = from->headers[i].op;
		if (!copy_text(&to->headers[i].name, from->headers[i].name) ||
		    !copy_text(&to->headers[i].value, from->headers[i].value))
			return false;
	}
	return true;
}

static bool rule_copy(struct bf_rule *to, const struct bf_rule *from)
{
	to->egress = from->egress;
	to->deny = from->deny;
	to->any_port = from->any_port;
	to->http = from->http;
	to->line = from->line;
	if (!copy_text(&to->where, from->where) ||
	    !bf_peers_copy(&to->peers, from->peers, from->peer_count))
		return false;
	to->peer_count = from->peer_count;
	if (!copy_array(&to->ports, from->port_count, sizeof(*to->ports)))
		return false;
	to->port_count = from->port_count;
	for (size_t i = 0; i < from->port_count; i++) {
		to->ports[i] = from->ports[i];
		to->ports[i].name = NULL;
		if (!copy_text(&to->ports[i].name, from->ports[i].name)) {
			to->port_count = i + 1;
			return false;
		}
	}
	if (!copy_array(&to->http_rules, from->http_rule_count, sizeof(*to->http_rules)))
		return false;
	to->http_rule_count = from->http_rule_count;
	for (size_t i = 0; i < from->http_rule_count; i++)
		if (!http_rule_copy(&to->http_rules[i], &from->http_rules[i]))
			return false;
	return true;
}

static bool policy_copy(struct bf_policy *to, const struct bf_policy *from)
{
	*to = *from;
	to->namespace = to->name = to->source = to->file = NULL;
	memset(&to->subject, 0, sizeof(to->subject));
	to->rules = NULL;
	to->rule_count = 0;
	to->shield = NULL;
	if (from->shield && !(to->shield = bf_shield_spec_copy(from->shield))) {
		memset(to, 0, sizeof(*to));
		return false;
	}
	if (!copy_text(&to->namespace, from->namespace) || !copy_text(&to->name, from->name) ||
	    !copy_text(&to->source, from->source) || !copy_text(&to->file, from->file) ||
	    !bf_selector_copy(&to->subject, &from->subject) ||
	    !copy_array(&to->rules, from->rule_count, sizeof(*to->rules)))
		return false;
	to->rule_count = from->rule_count;
	for (size_t i = 0; i < from->rule_count; i++)
		if (!rule_copy(&to->rules[i], &from->rules[i]))
			return false;
	return true;
}

static bool namespace_copy(struct bf_namespace *to, const struct bf_namespace *from)
{
	if (!copy_text(&to->name, from->name) ||
	    !copy_array(&to->labels.v, from->labels.n, sizeof(*to->labels.v)))
		return false;
	to->labels.n = from->labels.n;
	for (size_t i = 0; i < from->labels.n; i++)
		if (!copy_text(&to->labels.v[i].key, from->labels.v[i].key) ||
		    !copy_text(&to->labels.v[i].value, from->labels.v[i].value))
			return false;
	return true;
}

int bf_objects_copy(struct bf_objects *to, const struct bf_objects *from)
{
	bool ok;

	memset(to, 0, sizeof(*to));
	ok = copy_array(&to->policies, from->policy_count, sizeof(*to->policies)) &&
	     copy_array(&to->namespaces, from->namespace_count, sizeof(*to->namespaces));
	for (size_t i = 0; ok && i < from->policy_count; i++) {
		ok = policy_copy(&to->policies[i], &from->policies[i]);
		to->policy_count++;
	}
	for (size_t i = 0; ok && i < from->namespace_count; i++) {
		ok = namespace_copy(&to->namespaces[i], &from->namespaces[i]);
		to->namespace_count++;
	}
	if (ok)
		return 0;
	bf_objects_free(to);
	return -ENOMEM;
}

/* Whether key is KIND/NAME, or KIND/NAMESPACE/NAME where the kind has namespaces. */
static bool key_is(const char *key, const char *kind, const char *ns, const char *name)
{
	size_t n = strlen(kind);

	if (strncmp(key, kind, n) || key[n] != '/')
		return false;
	key += n + 1;
	if (ns && *ns) {
		n = strlen(ns);
		if (strncmp(key, ns, n) || key[n] != '/')
			return false;
		key += n + 1;
	}
	return !strcmp(key, name);
}

int bf_objects_remove(struct bf_objects *objects, const char *key)
{
	size_t kept = 0;
	bool found = false;

	/* An object with several specs is several policies under one key. */
	for (size_t i = 0; i < objects->policy_count; i++) {
		struct bf_policy *p = &objects->policies[i];

		if (key_is(key, bf_policy_kind_name(p->kind), p->namespace, p->name)) {
			bf_policy_free(p);
			found = true;
		} else {
			objects->policies[kept++] = *p;
		}
	}
	objects->policy_count = kept;
	kept = 0;
	for (size_t i = 0; i < objects->namespace_count; i++) {
		struct bf_namespace *ns = &objects->namespaces[i];

		if (key_is(key, "Namespace", NULL, ns->name)) {
			bf_namespace_free(ns);
			found = true;
		} else {
			objects->namespaces[kept++] = *ns;
		}
	}
	objects->namespace_count = kept;
	return found ? 0 : -ENOENT;
}
