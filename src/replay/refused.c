// SPDX-License-Identifier: Apache-2.0
#include "replay/refused.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct bf_refused_key key_of(const struct bf_frame *f)
{
	struct bf_refused_key key = {.used = 1};
	int order = memcmp(f->source, f->destination, 16);
	bool swap = order > 0 || (!order && f->source_port > f->destination_port);

	memcpy(key.addr[swap], f->source, 16);
	memcpy(key.addr[!swap], f->destination, 16);
	key.port[swap] = f->source_port;
	key.port[!swap] = f->destination_port;
	return key;
}

static size_t hash_of(const struct bf_refused_key *key)
{
	const uint8_t *p = (const uint8_t *)key;
	uint64_t h = 14695981039346656037u;

	/* FNV-1a, 64 bits. */
	for (size_t i = 0; i < sizeof(*key); i++)
		h = (h ^ p[i]) * 1099511628211u;
	return (size_t)(h ^ h >> 32);
}

/* Where it is, or would be; cap > n. */
static struct bf_refused_key *slot(const struct bf_refused *set, const struct bf_refused_key *key)
{
	size_t i = hash_of(key) & (set->cap - 1);

	while (set->v[i].used && memcmp(&set->v[i], key, sizeof(*key)))
		i = (i + 1) & (set->cap - 1);
	return &set->v[i];
}

static int grow(struct bf_refused *set)
{
	struct bf_refused larger = {.n = set->n, .cap = set->cap ? set->cap * 2 : 64};

	larger.v = calloc(larger.cap, sizeof(*larger.v));
	if (!larger.v)
		return -ENOMEM;
	for (size_t i = 0; i < set->cap; i++)
		if (set->v[i].used)
			*slot(&larger, &set->v[i]) = set->v[i];
	free(set->v);
	*set = larger;
	return 0;
}

int bf_refused_add(struct bf_refused *set, const struct bf_frame *f)
{
	struct bf_refused_key key = key_of(f), *at;

	if (!f->tcp)
		return 0;
	if (set->n * 2 >= set->cap && grow(set))
		return -ENOMEM;
	at = slot(set, &key);
	set->n += !at->used;
	*at = key;
	return 0;
}

bool bf_refused_has(const struct bf_refused *set, const struct bf_frame *f)
{
	struct bf_refused_key key = key_of(f);

	return f->tcp && set->n && slot(set, &key)->used;
}

void bf_refused_remove(struct bf_refused *set, const struct bf_frame *f)
{
	struct bf_refused_key key = key_of(f), *at, moved;

	if (!f->tcp || !set->n)
		return;
	at = slot(set, &key);
	if (!at->used)
		return;
	at->used = 0;
	set->n--;
	/* Those behind it, up to a free place, may have been pushed on by it. */
	for (size_t i = (size_t)(at - set->v + 1) & (set->cap - 1); set->v[i].used;
	     i = (i + 1) & (set->cap - 1)) {
		moved = set->v[i];
		set->v[i].used = 0;
		*slot(set, &moved) = moved;
	}
}

void bf_refused_free(struct bf_refused *set)
{
	free(set->v);
}
