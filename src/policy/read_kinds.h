/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_READ_KINDS_H
#define BF_POLICY_READ_KINDS_H
/*
 * The readers of the object's parts. Each reports flaws through the reader and
 * goes on; what it filled is freed by the caller either way.
 */
#include "policy/read_model.h"
#include "policy/read_place.h"

/* Peers made by writing a rule's peers out for each of its toPorts, in one text. */
#define BF_PEER_COPIES_MAX 1000000u

enum bf_selector_about {
	BF_ABOUT_PODS, /* NetworkPolicy: plain label keys */
	BF_ABOUT_NAMESPACES, /* NetworkPolicy: keys become BF_KEY_NS_LABEL_PREFIX keys */
	BF_ABOUT_ENDPOINTS, /* the Cilium grammar: "k8s:" and "any:" in front, made labels */
};

/* Adds the requirements of a LabelSelector to *out. */
void bf_read_selector(struct bf_reader *r, const struct bf_place *at, enum bf_selector_about about,
		      struct bf_selector *out);
/* Adds: the endpoint is in namespace ns. */
void bf_selector_in_namespace(struct bf_reader *r, struct bf_selector *out, const char *ns);
/* Whether it looks at the namespace or at a label of it. */
bool bf_selector_has_namespace(const struct bf_selector *s);

/* An address range with its exceptions (may be NULL) to a peer. */
void bf_read_cidr(struct bf_reader *r, const struct bf_place *cidr, bool bare,
		  const struct bf_place *except, struct bf_peer *out);

/* spec.ingress[].toPorts[].rules.http to rule->http_rules. */
void bf_read_http(struct bf_reader *r, const struct bf_place *at, struct bf_rule *rule);

/* spec of a NetworkPolicy. */
void bf_read_network_policy(struct bf_reader *r, const struct bf_place *spec,
			    struct bf_policy *policy);
/* spec, or one of specs, in the grammar of CiliumNetworkPolicy: all other kinds. */
void bf_read_rule_spec(struct bf_reader *r, const struct bf_place *spec, struct bf_policy *policy);

/* spec of a ShieldPolicy. */
void bf_read_shield_policy(struct bf_reader *r, const struct bf_place *spec,
			   struct bf_policy *policy);

/* Whether the object being read is of one of our own kinds. */
static inline bool bf_own_kind(const struct bf_reader *r)
{
	return r->kind == BF_PAYLOAD_POLICY || r->kind == BF_CLUSTER_PAYLOAD_POLICY;
}

#endif
