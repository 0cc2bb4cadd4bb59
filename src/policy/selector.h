/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_SELECTOR_H
#define BF_POLICY_SELECTOR_H
/* Does a selector select an endpoint? Pure. */
#include "policy/model.h"

/*
 * Judges every requirement against the endpoint's effective labels:
 *
 *   BF_KEY_NAMESPACE             ns (no such label where ns is NULL)
 *   BF_KEY_NS_LABEL_PREFIX "K"   label K of the namespace; K =
 *                                kubernetes.io/metadata.name is ns itself
 *   any other key                the endpoint's own label
 *
 * An endpoint's own label under one of the first two keys is never looked at:
 * a workload cannot talk itself into a namespace.
 *
 * labels and ns_labels may be NULL: none. NOT_IN holds where the label is
 * absent, IN does not (Kubernetes, apimachinery labels.Requirement.Matches).
 * A selector without requirements selects every endpoint. No errors.
 */
bool bf_selector_matches(const struct bf_selector *s, const char *ns,
			 const struct bf_labels *labels, const struct bf_labels *ns_labels);

/* Is the policy about this endpoint? objects: where the labels of namespaces stand. */
bool bf_policy_selects(const struct bf_objects *objects, const struct bf_policy *policy,
		       const struct bf_endpoint *endpoint);

/* The value under a key as above, or NULL where there is none. Borrowed. */
const char *bf_effective_label(const char *key, const char *ns, const struct bf_labels *labels,
			       const struct bf_labels *ns_labels);

#endif
