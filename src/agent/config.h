/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_CONFIG_H
#define BF_AGENT_CONFIG_H
/*
 * What the agent can be told. One table (config.c) gives the flags, the keys
 * of the configuration file (the flag without its dashes) and the help text.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

#define BF_CONFIG_FILE "/etc/bpfast/bpfast.yaml"

struct bf_config {
	char *run_dir;
	char *pin_dir;
	char *policy_dir; /* "off": none */
	char *log_dir;
	char *metrics_listen; /* ADDR:PORT, or "off" */
	char *log_level;
	char *socket_group; /* NULL: root only */
	char *node_name; /* NULL: the host's name */
	uint32_t flows; /* 0: default */
	uint32_t flows_per_endpoint; /* 0: a part of the table */
	uint32_t arena_mib; /* 0: default */
	uint32_t retain_mib; /* 0: default */
	char *records_file, *log_file; /* NULL or "off": none */
	uint32_t records_file_mib, log_file_mib; /* 0: not rotated by us */
	uint32_t records_file_backups, log_file_backups;
	uint32_t records; /* kept in memory */
	uint32_t records_per_second; /* per CPU, while nobody observes */
	uint32_t tcp_idle_s, other_idle_s;
	bool force_clsact;
};

enum bf_config_result {
	BF_CONFIG_RUN = 0, /* go on */
	BF_CONFIG_DONE = 1, /* --help or --version was answered */
};

/* Defaults. 0 or -ENOMEM. */
int bf_config_init(struct bf_config *config);
void bf_config_free(struct bf_config *config);

/* Sets the keys of a YAML text. file is for messages. -EINVAL with FILE:LINE:COLUMN in err. */
int bf_config_read(struct bf_config *config, const char *file, const char *text, size_t len,
		   struct bf_error *err);

/* File first, then flags. enum bf_config_result, or -errno with err. */
int bf_config_load(struct bf_config *config, int argc, char **argv, struct bf_error *err);

#endif
