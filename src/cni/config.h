/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CNI_CONFIG_H
#define BF_CNI_CONFIG_H
/*
 * What the runtime says: the network configuration on stdin, and the environment. Nothing of
 * either is trusted: both are bounded and every field is checked. Does no input or output.
 */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "cni/error.h"

#define BF_CNI_INPUT_MAX (4u << 20) /* bytes of a configuration, with its prevResult */
#define BF_CNI_ARGS_MAX 16384 /* bytes of CNI_ARGS */
#define BF_CNI_INTERFACES_MAX 64 /* of a prevResult */
#define BF_CNI_LABELS_MAX 256
#define BF_CNI_CONTAINER_MAX 200 /* bytes of a container id */
#define BF_CNI_TIMEOUT_S 15
#define BF_CNI_NEWEST "1.1.0"

enum bf_cni_command {
	BF_CNI_ADD,
	BF_CNI_DEL,
	BF_CNI_CHECK,
	BF_CNI_STATUS,
	BF_CNI_GC,
	BF_CNI_VERSIONS,
};

struct bf_cni_env {
	enum bf_cni_command command;
	const char *container, *netns, *ifname; /* "" where not given; then not needed either */
	char *pod_namespace, *pod_name, *pod_uid; /* of CNI_ARGS; NULL: not given */
};

/* getenv_fn: getenv(), or a test's. The texts it gives have to stay. Fills err on failure. */
int bf_cni_env_read(struct bf_cni_env *env, const char *(*getenv_fn)(const char *name),
		    struct bf_cni_error *err);
void bf_cni_env_free(struct bf_cni_env *env);

struct bf_cni_config {
	json_t *root; /* owns the rest */
	const char *version; /* of the configuration; "" where it has none that we know */
	const char *name; /* of the network; NULL only for DEL and VERSION */
	const char *run_dir;
	bool fail_open;
	const json_t *labels; /* object of texts, or NULL */
	unsigned int timeout_ms;
	const char *log_file; /* or NULL */
	bool log_debug;
	json_t *prev; /* prevResult, or NULL */
	const json_t *valid; /* GC: array of {containerID, ifname} */
};

/*
 * Reads text for this command. VERSION and DEL take what they need and close their eyes to
 * the rest: a container must be deletable also after its configuration was spoilt.
 */
int bf_cni_config_read(struct bf_cni_config *config, enum bf_cni_command command, const char *text,
		       size_t len, struct bf_cni_error *err);
void bf_cni_config_free(struct bf_cni_config *config);

/* prev.c: what of prevResult the agent has to know: {"ifaces": [...], "ips": [...]}. *out is the caller's. */
int bf_cni_prev_read(const struct bf_cni_config *config, const struct bf_cni_env *env, json_t **out,
		     struct bf_cni_error *err);

#endif
