/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_SAID_H
#define BF_TEST_SAID_H
/* What the record of a request says, less what may differ: when, where from, how long the packet was. */
#include "world.h"

struct said {
	uint8_t verdict, reason, http_minor, text_len;
	char text[BPFAST_FLOW_TEXT];
	char rule[160]; /* of the attribution, without the policy and the direction */
};

/* Of the policy in force, or of one that was compiled from the same text. */
void said_take(struct said *s, const struct bpfast_event *ev);
/* The same of the same requests, in the same order. */
bool said_alike(const struct said *a, size_t n, const struct said *b, size_t m, bool texts);
/* As a C string literal; overwritten by the next call. Long ones are cut. */
const char *said_quoted(const void *bytes, size_t n);
/* "FORWARDED none HTTP/1.1 "GET /ok" rule "..."; overwritten by the next call. */
const char *said_line(const struct said *s);

#endif
