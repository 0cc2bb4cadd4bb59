/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_ERROR_H
#define BF_ERROR_H
/*
 * How errors travel. A function returns 0 or -errno. At the boundary of a room
 * it also fills a struct bf_error with one sentence a user can act on: what is
 * wrong, where, and how to mend it. No trailing newline, no "error:" in front.
 */
#include <stddef.h>

struct bf_error {
	char msg[512];
};

/* Fills err (may be NULL) and returns code, so that callers can
 * `return bf_err(err, -EINVAL, "...", ...)`. */
int bf_err(struct bf_error *err, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
