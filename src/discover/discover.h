/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DISCOVER_DISCOVER_H
#define BF_DISCOVER_DISCOVER_H
/*
 * Which containers run on this node, and where they are plugged in. Asks container
 * runtimes, network namespaces and processes; changes nothing. It needs root, for it
 * looks into the namespaces of others: so the command line does it, not the agent.
 *
 * What is found is places: network namespaces. Containers that share one, such as those
 * of a Kubernetes pod, are one place, and one endpoint.
 */
#include <jansson.h>
#include <stdbool.h>
#include <sys/types.h>

#include "agent/netlink.h"
#include "base/error.h"

/* Where to look. A NULL is the usual path, whose absence is no news. */
struct bf_discover_from {
	const char *containerd_state; /* directory, with io.containerd.runtime.v2.task in it */
	const char *containerd_socket; /* NULL: containerd.sock in the state directory */
	const char *docker_socket, *podman_socket;
	const char *netns_dir;
};

#define BF_CONTAINERD_STATE "/run/containerd"
#define BF_K3S_STATE "/run/k3s/containerd" /* looked at as well, where nothing else is said */
#define BF_DOCKER_SOCKET "/run/docker.sock"
#define BF_PODMAN_SOCKET "/run/podman/podman.sock"
#define BF_NETNS_DIR "/run/netns"

struct bf_running {
	const char *runtime; /* "docker", "podman", "containerd" */
	char *space; /* containerd's name for a set of containers; else NULL */
	char *id, *name;
	char *pod, *pod_namespace; /* Kubernetes'; else NULL */
	json_t *labels; /* {k: v}; NULL: they could not be read */
	pid_t pid; /* of its first process, as this program sees it */
	bool sandbox; /* holds the namespace of a pod */
	bool joined; /* was put into the namespace of another */
};

struct bf_plug {
	struct bf_link inside, host; /* host.ifindex 0: no veth whose other end is on this node */
	uint8_t (*addrs)[16];
	size_t addr_count;
};

struct bf_place {
	dev_t dev; /* of the namespace's file */
	ino_t ino;
	int fd; /* keeps the namespace, so that its number is not given to another */
	bool host; /* the node's own */
	char *netns; /* its name, where it has one */
	pid_t pid; /* of a process in it; 0: none was seen */
	char command[16]; /* of that process */
	struct bf_running *containers;
	size_t container_count;
	struct bf_plug *plugs; /* all interfaces but loopback */
	size_t plug_count;
};

struct bf_found {
	struct bf_place *places; /* by name */
	size_t count, cap;
	json_t *stopped; /* [{runtime, id, name, state}]: there, but not running */
	json_t *notes; /* sentences: what could not be read */
	bool incomplete; /* a runtime that is there did not answer */
};

/* Looks at everything. 0, or -errno where this node itself cannot be read. */
int bf_discover(const struct bf_discover_from *from, struct bf_found *found, struct bf_error *err);
void bf_found_free(struct bf_found *found); /* what it holds, not itself */

/* --- what to say of a place --- */

/* The container it is named after, or NULL: it has none. */
const struct bf_running *bf_place_owner(const struct bf_place *p);
const char *bf_place_name(const struct bf_place *p, char *buf, size_t size);
const char *bf_place_runtime(const struct bf_place *p); /* "netns", "process" without containers */
size_t bf_place_plugged(const struct bf_place *p); /* interfaces with a host side */
/* Why it cannot be an endpoint as it is, as the end of a sentence; NULL: it can. */
const char *bf_place_why_not(const struct bf_place *p, char *buf, size_t size);

#endif
