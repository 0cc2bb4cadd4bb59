/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_WORDS_H
#define BF_MATCH_WORDS_H
/* Rows of words, each kept once and numbered; internal to src/match. */
#include <stddef.h>
#include <stdint.h>

struct bf_words {
	uint32_t *v; /* row r is v[first[r]] .. v[first[r + 1]] */
	uint32_t *first;
	uint32_t *hash; /* of each row */
	uint32_t *table; /* open addressing, row + 1 */
	size_t len, cap, first_cap, hash_cap, table_size;
	uint32_t count;
};

/* The number of this row, found or made. 1: it is new; 0; -ENOMEM. */
int bf_words_intern(struct bf_words *w, const uint32_t *row, size_t n, uint32_t *id);
void bf_words_free(struct bf_words *w); /* what it holds, not itself */

static inline const uint32_t *bf_words_row(const struct bf_words *w, uint32_t id, uint32_t *n)
{
	*n = w->first[id + 1] - w->first[id];
	return w->v + w->first[id];
}

#endif
