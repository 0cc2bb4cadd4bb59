/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_CLIENT_H
#define BF_CLI_CLIENT_H
/* The other end of the agent's socket; the protocol stands in agent/server.h. */
#include <jansson.h>
#include <stddef.h>

#include "base/error.h"

struct bf_connection {
	int fd;
	char *buf;
	size_t len, cap;
	size_t taken; /* bytes of buf that earlier lines took */
};

/* -ENOENT or -ECONNREFUSED: no agent; -EACCES: not allowed. */
int bf_connect(struct bf_connection *c, const char *run_dir, struct bf_error *err);
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

#endif
