// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "shield/heavy.h"

void bf_heavy_add(struct bf_heavy *h, const uint8_t addr[16], uint64_t weight)
{
	struct bf_heavy_entry *least = &h->entry[0];

	h->total += weight;
	for (uint32_t i = 0; i < h->used; i++) {
		if (!memcmp(h->entry[i].addr, addr, 16)) {
			h->entry[i].count += weight;
			return;
		}
		if (h->entry[i].count < least->count)
			least = &h->entry[i];
	}
	if (h->used < BF_HEAVY) {
		least = &h->entry[h->used++];
		least->count = 0;
	}
	least->error = least->count;
	least->count += weight;
	memcpy(least->addr, addr, 16);
}

size_t bf_heavy_top(const struct bf_heavy *h, double share, struct bf_heavy_entry *out, size_t max)
{
	double least = share * (double)h->total;
	size_t n = 0;

	for (uint32_t i = 0; i < h->used; i++) {
		const struct bf_heavy_entry *e = &h->entry[i];
		size_t at = n;

		/* Seen once by chance is nobody's top. */
		if (e->count - e->error < 2 || (double)(e->count - e->error) < least)
			continue;
		while (at && out[at - 1].count - out[at - 1].error < e->count - e->error)
			at--;
		if (at >= max)
			continue;
		if (n < max)
			n++;
		memmove(&out[at + 1], &out[at], (n - 1 - at) * sizeof(*out));
		out[at] = *e;
	}
	return n;
}

unsigned bf_heavy_prefix(const uint8_t addr[16], uint8_t out[16])
{
	static const uint8_t v4[12] = {[10] = 0xff, [11] = 0xff};
	unsigned bytes = memcmp(addr, v4, 12) ? 8 : 15;

	memset(out, 0, 16);
	memcpy(out, addr, bytes);
	return bytes == 15 ? 24 : 64;
}
