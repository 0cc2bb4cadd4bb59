/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_BLOB_H
#define BF_MATCH_BLOB_H
/* A growing block of bytes in which every appended piece begins at a multiple
 * of 8: what an image is made of. Offsets, never pointers: it moves. */
#include <stddef.h>
#include <stdint.h>

struct bf_blob {
	uint8_t *data;
	size_t len, cap;
};

/* Appends len bytes (zeroes if bytes is NULL), padded to 8. Returns 0 and the
 * offset in *off, -ENOMEM, or -E2BIG past 2^31 bytes. */
int bf_blob_append(struct bf_blob *blob, const void *bytes, size_t len, uint32_t *off);
void bf_blob_free(struct bf_blob *blob);

#endif
