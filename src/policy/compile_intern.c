// SPDX-License-Identifier: Apache-2.0
#include "policy/compile_intern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int bf_grow(void *array, size_t *cap, size_t n, size_t size)
{
	void *old, *bigger;
	size_t want;

	if (n < *cap)
		return 0;
	want = *cap ? *cap * 2 : 16;
	while (want <= n)
		want *= 2;
	if (want > SIZE_MAX / size)
		return -ENOMEM;
	memcpy(&old, array, sizeof(old));
	bigger = realloc(old, want * size);
	if (!bigger)
		return -ENOMEM;
	memcpy(array, &bigger, sizeof(bigger));
	*cap = want;
	return 0;
}

void bf_buf_put(struct bf_buf *buf, const void *bytes, size_t n)
{
	if (buf->error || !n)
		return;
	buf->error = bf_grow(&buf->v, &buf->cap, buf->n + n, 1);
	if (buf->error)
		return;
	memcpy(buf->v + buf->n, bytes, n);
	buf->n += n;
}

void bf_buf_u32(struct bf_buf *buf, uint32_t x)
{
	bf_buf_put(buf, &x, sizeof(x));
}

void bf_buf_str(struct bf_buf *buf, const char *s)
{
	if (!s)
		s = "";
	bf_buf_put(buf, s, strlen(s) + 1);
}

void bf_buf_free(struct bf_buf *buf)
{
	free(buf->v);
	memset(buf, 0, sizeof(*buf));
}

uint64_t bf_hash(const void *bytes, size_t len)
{
	const uint8_t *p = bytes;
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 0x100000001b3u;
	return h;
}

static size_t slot_of(const struct bf_intern *t, uint64_t hash)
{
	/* The low bits of FNV-1a alone are weak: fold the high ones in. */
	return (size_t)(hash ^ hash >> 32) & (t->slot_count - 1);
}

static int rehash(struct bf_intern *t)
{
	size_t count = t->slot_count ? t->slot_count * 2 : 64;
	uint32_t *slots = calloc(count, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	free(t->slots);
	t->slots = slots;
	t->slot_count = count;
	for (size_t i = 0; i < t->n; i++) {
		size_t s = slot_of(t, t->v[i].hash);

		while (slots[s])
			s = (s + 1) & (count - 1);
		slots[s] = (uint32_t)i + 1;
	}
	return 0;
}

int bf_intern(struct bf_intern *t, const void *key, size_t len, uint32_t *index)
{
	uint64_t hash = bf_hash(key, len);
	struct bf_intern_entry *e;
	size_t s;

	if ((t->n + 1) * 2 > t->slot_count && rehash(t))
		return -ENOMEM;
	for (s = slot_of(t, hash); t->slots[s]; s = (s + 1) & (t->slot_count - 1)) {
		e = &t->v[t->slots[s] - 1];
		if (e->hash == hash && e->len == len &&
		    (!len || !memcmp(t->bytes.v + e->off, key, len))) {
			*index = t->slots[s] - 1;
			return 0;
		}
	}
	if (bf_grow(&t->v, &t->cap, t->n, sizeof(*t->v)))
		return -ENOMEM;
	e = &t->v[t->n];
	*e = (struct bf_intern_entry){.hash = hash, .off = t->bytes.n, .len = len};
	bf_buf_put(&t->bytes, key, len);
	if (t->bytes.error)
		return t->bytes.error;
	*index = (uint32_t)t->n;
	t->slots[s] = (uint32_t)++t->n;
	return 1;
}

int bf_intern_buf(struct bf_intern *t, const struct bf_buf *key, uint32_t *index)
{
	return key->error ? key->error : bf_intern(t, key->v, key->n, index);
}

void bf_intern_free(struct bf_intern *t)
{
	free(t->v);
	free(t->slots);
	bf_buf_free(&t->bytes);
	memset(t, 0, sizeof(*t));
}
