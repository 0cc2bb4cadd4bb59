/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_HEAVY_H
#define BF_SHIELD_HEAVY_H
/*
 * Who sends most, in fixed memory: Space-Saving (Metwally, Agrawal, El Abbadi,
 * ICDT 2005). Who sent more than 1/BF_HEAVY of all is in it, whatever else
 * came; a count is too high by at most its error.
 */
#include <stddef.h>
#include <stdint.h>

#define BF_HEAVY 32

struct bf_heavy_entry {
	uint8_t addr[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint64_t count;
	uint64_t error; /* how much of count may belong to others */
};

struct bf_heavy {
	uint64_t total;
	uint32_t used;
	struct bf_heavy_entry entry[BF_HEAVY];
};

void bf_heavy_add(struct bf_heavy *h, const uint8_t addr[16], uint64_t weight);

/* The surest first: those with count - error of at least `share` of all. Returns how many. */
size_t bf_heavy_top(const struct bf_heavy *h, double share, struct bf_heavy_entry *out, size_t max);

/* addr cut to its first bits: 24 of an IPv4, 64 of an IPv6 address. Returns how many. */
unsigned bf_heavy_prefix(const uint8_t addr[16], uint8_t out[16]);

#endif
