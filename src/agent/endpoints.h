/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_ENDPOINTS_H
#define BF_AGENT_ENDPOINTS_H
/* The endpoints of this node: who they are and which interface they are behind. */
#include <jansson.h>

#include "base/error.h"
#include "bpfast/control.h"
#include "policy/model.h"

#define BF_DEFAULT_NAMESPACE "default"

/* Packets refused for want of room, and when the log told of them. */
struct bf_refusals {
	uint64_t told, since; /* all that was told of; of these, the last time */
	uint64_t told_s; /* CLOCK_MONOTONIC */
};

/* The attachment of a container that an endpoint stands for, where one is known. */
struct bf_container {
	char *id; /* NULL: not known; else as its runtime says it */
	char *ifname; /* inside the container, or NULL */
	char *network; /* by CNI: the network's name; NULL: not by CNI */
	char *pod_uid; /* in Kubernetes, or NULL */
};

#define BF_CONTAINER_ID_MAX 200 /* bytes; with the interface it has to fit a name */

struct bf_local {
	struct bf_endpoint e; /* owns everything in it */
	struct bf_container container;
	char iface[16];
	int ifindex;
	uint8_t mac[6];
	struct bf_refusals refusals;
};

struct bf_endpoints {
	struct bf_local **v;
	size_t n, cap;
	uint8_t used[BPFAST_ENDPOINTS_MAX / 8]; /* slots */
};

void bf_endpoints_free(struct bf_endpoints *all); /* what it holds, not itself */
void bf_local_free(struct bf_local *local); /* itself too */

/*
 * From the fields of a command or of the state file: name, namespace, labels
 * {k: v}, ips [..], ports [{name, port, protocol}]; in the state also iface,
 * ifindex, slot, mac. Checks every one. -EINVAL with a sentence.
 */
int bf_local_from_json(const json_t *o, struct bf_local **out, struct bf_error *err);
json_t *bf_local_to_json(const struct bf_local *local); /* NULL: no memory */

/* CNI's rule for a container id: begins with a letter or digit, then also '_', '.' and '-'. */
bool bf_container_id_ok(const char *id);
/* As a Kubernetes label: at most 63 letters, digits and '-', and no '-' at its ends. */
bool bf_namespace_ok(const char *ns);
#define BF_NAMESPACE_BAD "namespace '%.80s' is not valid: at most 63 letters, digits and '-'"

/* Lowest free slot; -ENOSPC. */
int bf_endpoints_slot(const struct bf_endpoints *all, struct bf_error *err);
/* Takes local, whose slot is set. -EEXIST: name, interface or address is taken; -ENOMEM. */
int bf_endpoints_add(struct bf_endpoints *all, struct bf_local *local, struct bf_error *err);
/* Takes it out; the caller frees it. */
void bf_endpoints_remove(struct bf_endpoints *all, struct bf_local *local);

/* NAME or NAMESPACE/NAME. NULL with err: none, or more than one. */
struct bf_local *bf_endpoints_find(const struct bf_endpoints *all, const char *who,
				   struct bf_error *err);
struct bf_local *bf_endpoints_by_ifindex(const struct bf_endpoints *all, int ifindex);
/* network and ifname NULL: any. The first from *at on; *at becomes the place behind it. */
struct bf_local *bf_endpoints_by_container(const struct bf_endpoints *all, const char *network,
					   const char *id, const char *ifname, size_t *at);
struct bf_local *bf_endpoints_by_address(const struct bf_endpoints *all, const uint8_t addr[16]);

/* A flat copy of the structs, as bf_world wants them; strings stay shared. malloc'ed. */
struct bf_endpoint *bf_endpoints_flat(const struct bf_endpoints *all);

/* Sets and removes labels: {k: "v"} sets, {k: null} removes. All or nothing. */
int bf_labels_change(struct bf_labels *labels, const json_t *change, struct bf_error *err);
int bf_labels_copy(struct bf_labels *to, const struct bf_labels *from);
void bf_labels_free(struct bf_labels *labels);

/* What the kernel side has to know of it. */
void bf_local_to_kernel(const struct bf_local *local, struct bpfast_endpoint *out);

#endif
