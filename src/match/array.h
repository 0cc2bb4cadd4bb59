/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_ARRAY_H
#define BF_MATCH_ARRAY_H
/* Growing arrays and hashing for the automata compiler. Internal to src/match. */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

/* Makes room for `need` elements of `size` bytes. Returns 0 or -ENOMEM; on
 * failure the array is as it was. `array` is the address of the pointer. */
static inline int bf_array_grow(void *array, size_t *cap, size_t need, size_t size)
{
	void **p = array;
	size_t n = *cap ? *cap : 16;
	void *q;

	if (need <= *cap)
		return 0;
	while (n < need) {
		if (n > SIZE_MAX / 2)
			return -ENOMEM;
		n *= 2;
	}
	if (n > SIZE_MAX / size)
		return -ENOMEM;
	q = realloc(*p, n * size);
	if (!q)
		return -ENOMEM;
	*p = q;
	*cap = n;
	return 0;
}

/* A finaliser with full avalanche: every input bit reaches every output bit. */
static inline uint64_t bf_mix(uint64_t x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93u;
	x ^= x >> 32;
	return x;
}

static inline uint64_t bf_hash_words(uint64_t h, const uint32_t *words, size_t n)
{
	for (size_t i = 0; i < n; i++)
		h = bf_mix(h ^ words[i]) + 0x9e3779b97f4a7c15u;
	return h;
}

#endif
