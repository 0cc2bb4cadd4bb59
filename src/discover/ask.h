/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DISCOVER_ASK_H
#define BF_DISCOVER_ASK_H
/* Questions to container runtimes, by HTTP over their sockets. libcurl does the work. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct bf_asker {
	void *curl;
	const char *socket;
};

struct bf_answer {
	long status; /* of HTTP */
	uint8_t *body; /* NUL-terminated; the caller frees it */
	size_t len, cap;
	int failed; /* -errno while it was kept */
	long grpc; /* status; -1: none came */
	char grpc_says[200];
};

/* -ENOENT: no such socket; -ECONNREFUSED: nobody listens there. */
int bf_asker_open(struct bf_asker *a, const char *socket, struct bf_error *err);
void bf_asker_close(struct bf_asker *a);

/* GET. 0 whatever the status is; -errno where no whole answer came. */
int bf_ask_http(struct bf_asker *a, const char *path, struct bf_answer *out, struct bf_error *err);

/*
 * One gRPC call: message is its serialised argument, and the body its answers, each behind
 * five bytes (a zero, and its length, most significant byte first). containerd takes its
 * own namespace from a header. 0 only where the server said that all went well.
 */
int bf_ask_grpc(struct bf_asker *a, const char *method, const char *space, const void *message,
		size_t len, struct bf_answer *out, struct bf_error *err);

#endif
