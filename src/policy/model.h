/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_MODEL_H
#define BF_POLICY_MODEL_H
/*
 * What a policy means, whatever kind of object said it. The reader
 * (policy/read.h) turns NetworkPolicy, PayloadPolicy, ClusterPayloadPolicy,
 * CiliumNetworkPolicy, CiliumClusterwideNetworkPolicy, ShieldPolicy and Namespace objects
 * into this; the compiler (policy/compile.h) turns this into an image. The
 * differences between the kinds (what an absent, an empty and a matching-all
 * list mean) end here: the model has no "absent".
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "match/ruleset.h"

struct bf_label {
	char *key;
	char *value;
};

struct bf_labels {
	struct bf_label *v;
	size_t n;
};

enum bf_selector_op { BF_SEL_IN, BF_SEL_NOT_IN, BF_SEL_EXISTS, BF_SEL_NOT_EXISTS };

struct bf_requirement {
	char *key;
	enum bf_selector_op op;
	char **values; /* IN, NOT_IN */
	size_t n;
};

/*
 * All requirements must hold; none: matches every endpoint. Selectors look at
 * an endpoint's own labels and at two made ones:
 *   BF_KEY_NAMESPACE             the endpoint's namespace
 *   BF_KEY_NS_LABEL_PREFIX "K"   label K of its Namespace object
 * Every namespace has kubernetes.io/metadata.name = its name, object or not.
 * A "k8s:" or "any:" prefix on a key is taken off by the reader.
 */
#define BF_KEY_NAMESPACE "io.kubernetes.pod.namespace"
#define BF_KEY_NS_LABEL_PREFIX "io.cilium.k8s.namespace.labels."

struct bf_selector {
	struct bf_requirement *v;
	size_t n;
};

/* A range of one family: ::/0 is every IPv6 address, and no IPv4 one. */
struct bf_cidr {
	uint8_t addr[16]; /* IPv4 as ::ffff:a.b.c.d; bits past len are 0 */
	uint8_t len; /* bits of the 16 bytes: an IPv4 /8 is 104 */
};

enum bf_peer_kind {
	BF_PEER_ALL, /* anybody */
	BF_PEER_SELECTOR, /* endpoints */
	BF_PEER_CIDR, /* addresses, less the exceptions */
	BF_PEER_HOST, /* the node itself (entities host, remote-node) */
	BF_PEER_WORLD, /* neither endpoint nor node */
	BF_PEER_CLUSTER, /* endpoints and the node */
};

struct bf_peer {
	enum bf_peer_kind kind;
	struct bf_selector selector;
	struct bf_cidr cidr;
	struct bf_cidr *except;
	size_t except_count;
	/* A CIDR of a CiliumNetworkPolicy and of our kinds does not match
	 * endpoints; an ipBlock of a NetworkPolicy matches any address in it. */
	bool cidr_matches_endpoints;
	bool remote_node; /* HOST that was written remote-node */
};

struct bf_port {
	uint8_t protocol; /* IPPROTO_TCP, _UDP, _SCTP; 0: these three */
	uint16_t first; /* 0 with last 65535: every port */
	uint16_t last; /* = first where no endPort is given */
	char *name; /* named port, else NULL; first and last are then 0 */
};

/* One rule: these peers, on these ports, saying this. */
struct bf_rule {
	bool egress; /* else ingress */
	bool deny;
	struct bf_peer *peers; /* none: matches nobody */
	size_t peer_count;
	bool any_port; /* every protocol and port, ICMP too */
	struct bf_port *ports; /* where !any_port; none: matches nothing */
	size_t port_count;
	bool http; /* allowed only as far as one of http_rules allows */
	struct bf_http_rule *http_rules; /* none with http: allows no request */
	size_t http_rule_count;
	char *where; /* "spec.ingress[0].toPorts[0]", for people */
	int line; /* in the file it came from; 0: not known */
};

enum bf_policy_kind {
	BF_NETWORK_POLICY,
	BF_PAYLOAD_POLICY,
	BF_CLUSTER_PAYLOAD_POLICY,
	BF_CILIUM_POLICY,
	BF_CILIUM_CLUSTER_POLICY,
	BF_SHIELD_POLICY, /* guards devices: the compiler has nothing of it */
	BF_POLICY_KINDS
};

const char *bf_policy_kind_name(enum bf_policy_kind kind); /* "NetworkPolicy" ... */

static inline bool bf_kind_is_cilium(enum bf_policy_kind kind)
{
	return kind == BF_CILIUM_POLICY || kind == BF_CILIUM_CLUSTER_POLICY;
}

struct bf_shield_spec; /* policy/shield_spec.h */

struct bf_policy {
	enum bf_policy_kind kind;
	char *namespace; /* "" for cluster-wide kinds; "default" where none is given */
	char *name;
	struct bf_selector
		subject; /* the endpoints it is about; a namespaced kind has its namespace in here */
	bool subject_none; /* it selects nobody at all */
	bool isolates_ingress; /* subjects deny what no rule allows */
	bool isolates_egress;
	bool audit;
	uint8_t on_deny; /* enum bpfast_on_deny */
	bool silent; /* the 403 does not name the policy */
	struct bf_rule *rules;
	size_t rule_count;
	struct bf_shield_spec
		*shield; /* of a ShieldPolicy, which subject_none holds for; else NULL */
	char *source; /* the object as JSON, for `policy get` */
	char *file; /* where it came from, or NULL */
	int line;
};

struct bf_namespace {
	char *name;
	struct bf_labels labels;
};

/*
 * Several objects: what a directory holds. Keys (kind, namespace, name) are
 * unique among objects; an object of Cilium's with `specs` becomes one policy
 * for each spec, side by side under the one key, with the same source.
 */
struct bf_objects {
	struct bf_policy *policies;
	size_t policy_count;
	struct bf_namespace *namespaces;
	size_t namespace_count;
};

void bf_objects_free(struct bf_objects *objects); /* what it holds, not itself */
/* The labels of a namespace, or NULL where no object gives it any. Borrowed. */
const struct bf_labels *bf_namespace_labels(const struct bf_objects *objects, const char *name);
void bf_policy_free(struct bf_policy *policy); /* what it holds, not itself */

struct bf_named_port {
	char *name;
	uint8_t protocol;
	uint16_t port;
};

/* Somebody whom policies are about or who is a peer. */
struct bf_endpoint {
	char *name; /* unique in its namespace */
	char *namespace;
	struct bf_labels labels;
	uint8_t (*addrs)[16]; /* IPv4 as ::ffff:a.b.c.d */
	size_t addr_count;
	struct bf_named_port *ports;
	size_t port_count;
	int slot; /* in the image; -1: only a peer (on another node) */
};

/*
 * Where Cilium would make something else of the objects that it reads, and it
 * can be told what: see docs/guide/policies.md, "Unlike Cilium". Bits.
 */
enum bf_cilium_difference {
	BF_CILIUM_CANCELS = 1, /* a rule without HTTP rules lets every request pass */
	BF_CILIUM_REMOTE_NODE = 2, /* remote-node is not this node */
	BF_CILIUM_ALL = 3,
};

/* Everything a compile looks at. */
struct bf_world {
	const struct bf_objects *objects;
	const struct bf_endpoint *endpoints;
	size_t endpoint_count;
	const uint8_t (*node_addrs)[16]; /* the node's own addresses */
	size_t node_addr_count;
	unsigned int as_cilium; /* enum bf_cilium_difference; 0 in all that is enforced */
};

#endif
