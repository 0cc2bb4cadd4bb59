// SPDX-License-Identifier: Apache-2.0
#include "match/blob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define BLOB_MAX ((size_t)1 << 31)

int bf_blob_append(struct bf_blob *blob, const void *bytes, size_t len, uint32_t *off)
{
	size_t padded, cap;
	uint8_t *data;

	if (len > BLOB_MAX)
		return -E2BIG;
	padded = (len + 7) & ~(size_t)7;
	if (blob->len > BLOB_MAX - padded)
		return -E2BIG;
	if (blob->len + padded > blob->cap) {
		cap = blob->cap ? blob->cap : 4096;
		while (cap < blob->len + padded)
			cap *= 2;
		data = realloc(blob->data, cap);
		if (!data)
			return -ENOMEM;
		blob->data = data;
		blob->cap = cap;
	}
	/* An empty piece may be the first one: then there is no block yet. */
	if (padded) {
		if (bytes)
			memcpy(blob->data + blob->len, bytes, len);
		else
			memset(blob->data + blob->len, 0, len);
		memset(blob->data + blob->len + len, 0, padded - len);
	}
	*off = (uint32_t)blob->len;
	blob->len += padded;
	return 0;
}

void bf_blob_free(struct bf_blob *blob)
{
	free(blob->data);
	memset(blob, 0, sizeof(*blob));
}
