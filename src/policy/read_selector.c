// SPDX-License-Identifier: Apache-2.0
/* Label selectors and address ranges. */
#include "policy/read_kinds.h"

#include <stdlib.h>
#include <string.h>

#include "policy/read_syntax.h"

static struct bf_requirement *add_requirement(struct bf_reader *r, struct bf_selector *out)
{
	struct bf_requirement *v = reallocarray(out->v, out->n + 1, sizeof(*v));

	if (!v) {
		r->no_memory = true;
		return NULL;
	}
	out->v = v;
	v += out->n++;
	memset(v, 0, sizeof(*v));
	return v;
}

static bool add_value(struct bf_reader *r, struct bf_requirement *req, const char *value)
{
	char **values = reallocarray(req->values, req->n + 1, sizeof(*values));

	if (!values) {
		r->no_memory = true;
		return false;
	}
	req->values = values;
	values[req->n] = bf_reader_text(r, value);
	if (!values[req->n])
		return false;
	req->n++;
	return true;
}

void bf_selector_in_namespace(struct bf_reader *r, struct bf_selector *out, const char *ns)
{
	struct bf_requirement *req = add_requirement(r, out);

	if (!req)
		return;
	req->op = BF_SEL_IN;
	req->key = bf_reader_text(r, BF_KEY_NAMESPACE);
	add_value(r, req, ns);
}

static bool has_prefix(const char *s, const char *prefix)
{
	return !strncmp(s, prefix, strlen(prefix));
}

bool bf_selector_has_namespace(const struct bf_selector *s)
{
	for (size_t i = 0; i < s->n; i++)
		if (s->v[i].key && (!strcmp(s->v[i].key, BF_KEY_NAMESPACE) ||
				    has_prefix(s->v[i].key, BF_KEY_NS_LABEL_PREFIX)))
			return true;
	return false;
}

/* Labels that Cilium makes and we do not: a selector by them would select at random. */
static bool is_unknowable(const char *key)
{
	return !strcmp(key, "io.cilium.k8s.policy.cluster") ||
	       !strcmp(key, "io.cilium.k8s.policy.serviceaccount");
}

/* A key as the object has it to the key of the model; at is where it stands. */
static char *read_key(struct bf_reader *r, const struct bf_place *at, const char *key,
		      enum bf_selector_about about)
{
	const char *plain;
	char *text;
	size_t n;

	if (about == BF_ABOUT_ENDPOINTS) {
		if (has_prefix(key, "k8s:") || has_prefix(key, "any:"))
			key += 4;
		if (has_prefix(key, "reserved:")) {
			bf_flaw(r, at,
				"the label %.64s cannot stand here: entities are selected with "
				"fromEntities or toEntities",
				key);
			return NULL;
		}
		if (strchr(key, ':')) {
			bf_flaw(r, at,
				"the label %.64s has an unknown source: only \"k8s:\" and \"any:\" "
				"are known",
				key);
			return NULL;
		}
		if (is_unknowable(key)) {
			bf_flaw(r, at,
				"the label %.64s is not known here, so it cannot be enforced", key);
			return NULL;
		}
	} else if (about == BF_ABOUT_PODS &&
		   (!strcmp(key, BF_KEY_NAMESPACE) || has_prefix(key, BF_KEY_NS_LABEL_PREFIX))) {
		bf_flaw(r, at, "the label %.64s is made for namespaces: use namespaceSelector",
			key);
		return NULL;
	}
	plain = key;
	if (about == BF_ABOUT_ENDPOINTS && has_prefix(key, BF_KEY_NS_LABEL_PREFIX))
		plain += strlen(BF_KEY_NS_LABEL_PREFIX);
	if (!bf_is_label_key(plain)) {
		bf_flaw(r, at,
			"\"%.100s\" is no label key: [prefix/]name, the name up to 63 letters, "
			"digits, '-', '_', '.', letter or digit at both ends",
			key);
		return NULL;
	}
	if (about != BF_ABOUT_NAMESPACES)
		return bf_reader_text(r, key);
	n = strlen(BF_KEY_NS_LABEL_PREFIX) + strlen(key) + 1;
	text = bf_reader_array(r, n, 1);
	if (text) {
		memcpy(text, BF_KEY_NS_LABEL_PREFIX, strlen(BF_KEY_NS_LABEL_PREFIX));
		memcpy(text + strlen(BF_KEY_NS_LABEL_PREFIX), key, strlen(key));
	}
	return text;
}

static const char *read_value(struct bf_reader *r, const struct bf_place *at)
{
	const char *value = bf_want_string(r, at);

	if (!value || bf_is_label_value(value))
		return value;
	bf_flaw(r, at,
		"\"%.100s\" is no label value: up to 63 letters, digits, '-', '_', '.', letter or "
		"digit at both ends",
		value);
	return NULL;
}

static void read_labels(struct bf_reader *r, const struct bf_place *at,
			enum bf_selector_about about, struct bf_selector *out)
{
	const struct bf_node *map = at->node;

	if (!bf_want_map(r, at))
		return;
	for (size_t i = 0; i + 1 < map->n; i += 2) {
		struct bf_place key = {.up = at, .node = map->v[i]};
		struct bf_place value = {.up = at, .node = map->v[i + 1]};
		struct bf_requirement *req;
		const char *text;
		char *name;

		if (key.node->type != BF_NODE_SCALAR)
			continue; /* reported with the doubles */
		key.name = value.name = key.node->text;
		if (!bf_want_string(r, &key))
			continue;
		name = read_key(r, &key, key.node->text, about);
		text = read_value(r, &value);
		if (!name || !text || !(req = add_requirement(r, out))) {
			free(name);
			continue;
		}
		req->op = BF_SEL_IN;
		req->key = name;
		add_value(r, req, text);
	}
}

static void read_expression(struct bf_reader *r, const struct bf_place *at,
			    enum bf_selector_about about, struct bf_selector *out)
{
	static const struct bf_field fields[] = {
		{"key", NULL}, {"operator", NULL}, {"values", NULL}, {NULL, NULL}};
	static const char *const ops[] = {"In", "NotIn", "Exists", "DoesNotExist", NULL};
	struct bf_place key, op, values;
	struct bf_requirement *req;
	bool has_values;
	int which = -1;

	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
	req = add_requirement(r, out);
	if (!req)
		return;
	if (bf_field_need(r, at, "key", &key, "name the label") && bf_want_string(r, &key))
		req->key = read_key(r, &key, key.node->text, about);
	if (bf_field_need(r, at, "operator", &op, "In, NotIn, Exists or DoesNotExist"))
		which = bf_want_word(r, &op, ops);
	if (which < 0)
		return;
	req->op = (enum bf_selector_op[]){BF_SEL_IN, BF_SEL_NOT_IN, BF_SEL_EXISTS,
					  BF_SEL_NOT_EXISTS}[which];
	has_values = bf_field_get(r, at, "values", &values);
	if (has_values && !bf_want_list(r, &values))
		return;
	if (which >= 2) {
		if (has_values && values.node->n)
			bf_flaw(r, &values, "%s takes no values: take them out", ops[which]);
		return;
	}
	if (!has_values || !values.node->n) {
		bf_flaw(r, has_values ? &values : at, "%s needs at least one of values",
			ops[which]);
		return;
	}
	for (size_t i = 0; i < values.node->n; i++) {
		struct bf_place value = bf_element(&values, i);
		const char *text = read_value(r, &value);

		if (text)
			add_value(r, req, text);
	}
}

void bf_read_selector(struct bf_reader *r, const struct bf_place *at, enum bf_selector_about about,
		      struct bf_selector *out)
{
	static const struct bf_field fields[] = {
		{"matchLabels", NULL}, {"matchExpressions", NULL}, {NULL, NULL}};
	struct bf_place part;

	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
	if (bf_field_get(r, at, "matchLabels", &part))
		read_labels(r, &part, about, out);
	if (bf_field_get(r, at, "matchExpressions", &part) && bf_want_list(r, &part))
		for (size_t i = 0; i < part.node->n; i++) {
			struct bf_place element = bf_element(&part, i);

			read_expression(r, &element, about, out);
		}
}

static bool read_range(struct bf_reader *r, const struct bf_place *at, bool bare,
		       struct bf_cidr *out)
{
	const char *text = bf_want_string(r, at);

	if (!text)
		return false;
	switch (bf_parse_cidr(text, bare, out)) {
	case BF_CIDR_OK:
		return true;
	case BF_CIDR_NO_ADDRESS:
		bf_flaw(r, at,
			"\"%.64s\" is no address range: write it like 10.0.0.0/8 or 2001:db8::/32",
			text);
		break;
	case BF_CIDR_NO_PREFIX:
		bf_flaw(r, at,
			"\"%.64s\" has no prefix length: add it, \"%.64s%s\" for this one address",
			text, text, strchr(text, ':') ? "/128" : "/32");
		break;
	case BF_CIDR_BAD_PREFIX:
		bf_flaw(r, at, "\"%.64s\" has a bad prefix length: it goes from 0 to %s", text,
			strchr(text, ':') ? "128" : "32");
		break;
	case BF_CIDR_MAPPED:
		bf_flaw(r, at, "\"%.64s\" is IPv4 in the clothes of IPv6: write the IPv4 range",
			text);
		break;
	}
	return false;
}

void bf_read_cidr(struct bf_reader *r, const struct bf_place *cidr, bool bare,
		  const struct bf_place *except, struct bf_peer *out)
{
	size_t n = except ? except->node->n : 0;

	out->kind = BF_PEER_CIDR;
	if (!read_range(r, cidr, bare, &out->cidr))
		return;
	out->except = bf_reader_array(r, n, sizeof(*out->except));
	if (!out->except)
		return;
	for (size_t i = 0; i < n; i++) {
		struct bf_place at = bf_element(except, i);
		struct bf_cidr *e = &out->except[out->except_count];

		if (!read_range(r, &at, false, e))
			continue;
		out->except_count++;
		if (bf_cidr_is_ipv4(e) != bf_cidr_is_ipv4(&out->cidr) ||
		    !bf_cidr_contains(&out->cidr, e))
			bf_flaw(r, &at, "\"%.64s\" does not lie within \"%.64s\"", at.node->text,
				cidr->node->text);
		else if (e->len == out->cidr.len)
			bf_flaw(r, &at, "\"%.64s\" is all of \"%.64s\": nothing would be left",
				at.node->text, cidr->node->text);
	}
}
