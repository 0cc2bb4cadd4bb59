/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_CONTAINER_H
#define BF_CLI_CONTAINER_H
/* Containers as endpoints. */
#include "cli/cli.h"
#include "discover/discover.h"

/* Where to look; for the options of a command. */
#define BF_CLI_LOOK_OPTIONS                                                                        \
	{"containerd-state", 0, "DIR", false, "containerd's state (" BF_CONTAINERD_STATE ")"},     \
		{"containerd-socket", 0, "PATH", false, "(DIR/containerd.sock)"},                  \
		{"docker-socket", 0, "PATH", false, "(" BF_DOCKER_SOCKET ")"},                     \
		{"podman-socket", 0, "PATH", false, "(" BF_PODMAN_SOCKET ")"},                     \
		{"netns-dir", 0, "DIR", false, "names of network namespaces (" BF_NETNS_DIR ")"}

/* Looks where the options say. An exit status, after errors and notes were printed. */
int bf_cli_look(const struct bf_cli *cli, struct bf_found *found);
void bf_cli_notes(const struct bf_cli *cli, const json_t *notes);

/* "NAMESPACE/NAME" or "NAME", made for people. */
const char *bf_cli_place_name(const struct bf_place *p, char *buf, size_t size);

/* NAME|ID[@RUNTIME]. -ENOENT, -EEXIST (more than one) or 0 with *out. */
int bf_cli_choose(const struct bf_found *found, const char *word, const struct bf_place **out,
		  struct bf_error *err);

/*
 * What the agent has to be told to guard a place: into args go iface, ifindex, and where they
 * are not there yet name, namespace and labels. iface: one of several, or NULL. *untaken:
 * what was wrong with labels that were left out, as sentences.
 */
int bf_cli_place_args(const struct bf_cli *cli, const struct bf_place *p, const char *iface,
		      json_t *args, json_t **untaken, struct bf_error *err);

int bf_cli_add_labels(const struct bf_cli *cli, json_t *labels); /* those of --label: endpoint.c */
void bf_cli_added(struct bf_cli *cli, const json_t *e); /* what people are told: endpoint.c */
int bf_cli_discover(struct bf_cli *cli); /* discover.c */

#endif
