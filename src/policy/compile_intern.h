/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_COMPILE_INTERN_H
#define BF_POLICY_COMPILE_INTERN_H
/*
 * What the policy compiler shares by content: a byte string in, a small dense
 * number out, the same number for the same bytes. Everything of an image that
 * could occur twice (identities, sets, classes, decisions, texts) goes through
 * one of these tables.
 */
#include <stddef.h>
#include <stdint.h>

/* A growing byte string. A failed allocation is remembered in `error` (-ENOMEM)
 * and makes later puts do nothing, so that a builder checks once at its end. */
struct bf_buf {
	uint8_t *v;
	size_t n, cap;
	int error;
};

void bf_buf_put(struct bf_buf *buf, const void *bytes, size_t n);
void bf_buf_u32(struct bf_buf *buf, uint32_t x); /* four bytes, host order */
void bf_buf_str(struct bf_buf *buf, const char *s); /* with its NUL; NULL is "" */
void bf_buf_free(struct bf_buf *buf);

struct bf_intern_entry {
	uint64_t hash;
	size_t off, len; /* in bytes.v */
};

struct bf_intern {
	struct bf_intern_entry *v; /* by number */
	size_t n, cap;
	uint32_t *slots; /* number + 1; open addressing */
	size_t slot_count; /* a power of two */
	struct bf_buf bytes;
};

/* The number of a key, counted from 0 in order of first sight. Returns 1: seen
 * for the first time, 0: known, -ENOMEM. */
int bf_intern(struct bf_intern *t, const void *key, size_t len, uint32_t *index);
/* The same for what a buffer holds; also reports the buffer's own error. */
int bf_intern_buf(struct bf_intern *t, const struct bf_buf *key, uint32_t *index);
void bf_intern_free(struct bf_intern *t);

/* FNV-1a, 64 bits: not meant to withstand an attacker, only to be stable. */
uint64_t bf_hash(const void *bytes, size_t len);

/* Makes room for element n of an array of `size`-byte elements: 0 or -ENOMEM. */
int bf_grow(void *array, size_t *cap, size_t n, size_t size);

#endif
