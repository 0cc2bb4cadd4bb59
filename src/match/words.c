// SPDX-License-Identifier: Apache-2.0
#include "match/words.h"

#include <string.h>

#include "match/array.h"

void bf_words_free(struct bf_words *w)
{
	free(w->v);
	free(w->first);
	free(w->hash);
	free(w->table);
	memset(w, 0, sizeof(*w));
}

static int grow(struct bf_words *w)
{
	size_t size = w->table_size ? w->table_size * 2 : 256;
	uint32_t *table = calloc(size, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (uint32_t r = 0; r < w->count; r++) {
		size_t i = w->hash[r] & (size - 1);

		while (table[i])
			i = (i + 1) & (size - 1);
		table[i] = r + 1;
	}
	free(w->table);
	w->table = table;
	w->table_size = size;
	return 0;
}

int bf_words_intern(struct bf_words *w, const uint32_t *row, size_t n, uint32_t *id)
{
	uint32_t hash = (uint32_t)bf_hash_words(n + 7, row, n);
	size_t i;

	if (((size_t)w->count + 1) * 2 > w->table_size && grow(w))
		return -ENOMEM;
	for (i = hash & (w->table_size - 1); w->table[i]; i = (i + 1) & (w->table_size - 1)) {
		uint32_t r = w->table[i] - 1, first = w->first[r];

		if (w->hash[r] != hash || w->first[r + 1] - first != n ||
		    (n && memcmp(w->v + first, row, n * sizeof(*row))))
			continue;
		*id = r;
		return 0;
	}
	if (w->len + n > UINT32_MAX / 2)
		return -ENOMEM;
	/* One more: where all rows are empty there is an array all the same. */
	if (bf_array_grow(&w->v, &w->cap, w->len + n + 1, sizeof(*w->v)) ||
	    bf_array_grow(&w->first, &w->first_cap, (size_t)w->count + 2, sizeof(*w->first)) ||
	    bf_array_grow(&w->hash, &w->hash_cap, (size_t)w->count + 1, sizeof(*w->hash)))
		return -ENOMEM;
	if (n)
		memcpy(w->v + w->len, row, n * sizeof(*row));
	w->first[w->count] = (uint32_t)w->len;
	w->len += n;
	w->first[w->count + 1] = (uint32_t)w->len;
	w->hash[w->count] = hash;
	w->table[i] = w->count + 1;
	*id = w->count++;
	return 1;
}
