// SPDX-License-Identifier: Apache-2.0
#include "policy/selector.h"

#include <string.h>

static const char *label_get(const struct bf_labels *labels, const char *key)
{
	if (!labels)
		return NULL;
	for (size_t i = 0; i < labels->n; i++)
		if (!strcmp(labels->v[i].key, key))
			return labels->v[i].value;
	return NULL;
}

const char *bf_effective_label(const char *key, const char *ns, const struct bf_labels *labels,
			       const struct bf_labels *ns_labels)
{
	const size_t prefix = strlen(BF_KEY_NS_LABEL_PREFIX);

	if (!strcmp(key, BF_KEY_NAMESPACE))
		return ns;
	if (strncmp(key, BF_KEY_NS_LABEL_PREFIX, prefix))
		return label_get(labels, key);
	/* Not what the object says: Kubernetes sets this label itself, and a
	 * Namespace object from a file must not be able to impersonate another. */
	if (!strcmp(key + prefix, "kubernetes.io/metadata.name"))
		return ns;
	return label_get(ns_labels, key + prefix);
}

static bool value_listed(const struct bf_requirement *r, const char *value)
{
	for (size_t i = 0; i < r->n; i++)
		if (!strcmp(r->values[i], value))
			return true;
	return false;
}

static bool requirement_holds(const struct bf_requirement *r, const char *value)
{
	switch (r->op) {
	case BF_SEL_IN:
		return value && value_listed(r, value);
	case BF_SEL_NOT_IN:
		return !value || !value_listed(r, value);
	case BF_SEL_EXISTS:
		return value;
	case BF_SEL_NOT_EXISTS:
		return !value;
	}
	return false;
}

bool bf_selector_matches(const struct bf_selector *s, const char *ns,
			 const struct bf_labels *labels, const struct bf_labels *ns_labels)
{
	for (size_t i = 0; i < s->n; i++)
		if (!requirement_holds(&s->v[i],
				       bf_effective_label(s->v[i].key, ns, labels, ns_labels)))
			return false;
	return true;
}

bool bf_policy_selects(const struct bf_objects *objects, const struct bf_policy *policy,
		       const struct bf_endpoint *endpoint)
{
	return !policy->subject_none &&
	       bf_selector_matches(&policy->subject, endpoint->namespace, &endpoint->labels,
				   bf_namespace_labels(objects, endpoint->namespace));
}
