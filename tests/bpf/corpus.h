/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_CORPUS_H
#define BF_TEST_CORPUS_H
/*
 * Streams: what a client sends on one connection, good and bad. Always the same
 * ones in the same order. The policy that judges them has REQUESTS_RULES for both
 * directions, once for each way to refuse.
 */
#include <stddef.h>
#include <stdint.h>

#define STREAM_MAX 40000

struct stream {
	char name[96];
	uint8_t *bytes;
	size_t len;
};

struct corpus {
	struct stream *stream;
	size_t count;
};

/* The port tells what is done on denial. */
enum { PORT_REPLY = 80, PORT_RESET, PORT_DROP, PORT_AUDIT };

extern const char corpus_policy[];
/* For PORT_AUDIT alone: where a policy is enforced, one in mode audit permits nothing. */
extern const char corpus_audit_policy[];

void corpus_make(struct corpus *c);
void corpus_free(struct corpus *c);

#endif
