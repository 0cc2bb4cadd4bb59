/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLIENT_CLIENT_H
#define BF_CLIENT_CLIENT_H
/* The other end of the agent's socket, for the command line and the CNI plugin; the protocol
 * stands in agent/server.h. */
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct bf_connection {
	int fd;
	char *buf;
	size_t len, cap;
	size_t taken; /* bytes of buf that earlier lines took */
	int64_t deadline_ms; /* CLOCK_MONOTONIC; 0: none */
	unsigned int patience_ms; /* that was given, for messages */
};

/* -ENOENT or -ECONNREFUSED: no agent; -EACCES: not allowed. */
int bf_connect(struct bf_connection *c, const char *run_dir, struct bf_error *err);
/* The same, and all that follows on it ends within that time: -ETIMEDOUT. */
int bf_connect_within(struct bf_connection *c, const char *run_dir, unsigned int ms,
		      struct bf_error *err);
void bf_disconnect(struct bf_connection *c);
/* Takes args (may be NULL). */
int bf_request(struct bf_connection *c, const char *command, json_t *args, struct bf_error *err);
/* Next line; valid until the next call. 0, -EPIPE at the end, -errno. */
int bf_next_line(struct bf_connection *c, char **line, size_t *len, struct bf_error *err);

/*
 * One command, one answer. 0 with *result; -EREMOTEIO: the agent refused, err
 * has its sentence and *result perhaps its details; else -errno as above.
 */
int bf_call(const char *run_dir, const char *command, json_t *args, json_t **result,
	    struct bf_error *err);
/* The same within that time, or -ETIMEDOUT: then the agent may do it all the same, later. */
int bf_call_within(const char *run_dir, const char *command, json_t *args, unsigned int ms,
		   json_t **result, struct bf_error *err);

/* The agent is the first process of the container that we are in: with it we end too. */
bool bf_agent_is_first(const char *run_dir);

#endif
