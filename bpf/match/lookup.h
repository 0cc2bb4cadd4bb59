/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_MATCH_LOOKUP_H
#define BPFAST_MATCH_LOOKUP_H
/*
 * Address -> identity -> class -> decision: the L3/L4 half of a policy image.
 * Runs for the first packet of a flow, and once more after a policy change.
 */
#include "match/arena.h"

/* Steps of a binary search: tables of up to 2^LOOKUP_STEPS entries. */
#define LOOKUP_STEPS 21

#define LOOKUP_NONE 0xffffffffu

#ifdef __bpf__
#define lookup_ntohll(x) __builtin_bswap64(x)
#define lookup_ntohl(x) __builtin_bswap32(x)
#else
#include <endian.h>
#define lookup_ntohll(x) be64toh(x)
#define lookup_ntohl(x) be32toh(x)
#endif

/* Where a member of the image's header lies. */
#define IMAGE_FIELD(image, member)                                                                 \
	arena_u32((image) + (__u32) __builtin_offsetof(struct bpfast_image, member))

/*
 * Binary searches without a branch on what was read: the verifier follows one
 * path through them, whatever their number of steps. `found` ends as the
 * number of entries that are not above the key.
 */

/* All ones where a < b, as unsigned numbers; else 0. */
static __always_inline __u64 lookup_below(__u64 a, __u64 b)
{
	__u64 difference = a - b;

	/* Or the compiler makes the comparison out of it that this is there to avoid. */
	__asm__ volatile("" : "+r"(difference));
	return -(((~a & b) | ((~a | b) & difference)) >> 63);
}

/* The first step: the largest power of two that is not above n. */
static __always_inline __u32 lookup_first_step(__u32 n)
{
	n |= n >> 1;
	n |= n >> 2;
	n |= n >> 4;
	n |= n >> 8;
	n |= n >> 16;
	return n - (n >> 1);
}

/* Index of the last of n entries of `stride` bytes whose first __u32 is <= key, or LOOKUP_NONE. */
ARENA_GLOBAL __u32 lookup_u32(__u32 table, __u32 n, __u32 stride, __u32 key)
{
	__u32 found = 0, step = lookup_first_step(n);

	for (int i = 0; i < LOOKUP_STEPS; i++) {
		__u32 next = found + step;
		__u64 above;

		if (!step)
			break;
		above = lookup_below(n, next) |
			lookup_below(key, arena_u32(table + (next - 1) * stride));
		found += step & ~(__u32)above;
		step >>= 1;
	}
	return found - 1;
}

/* The same for struct bpfast_image_ip6. */
ARENA_GLOBAL __u32 lookup_ip6(__u32 table, __u32 n, __u64 hi, __u64 lo)
{
	__u32 found = 0, step = lookup_first_step(n);

	for (int i = 0; i < LOOKUP_STEPS; i++) {
		__u32 next = found + step;
		__u32 at = table + (next - 1) * (__u32)sizeof(struct bpfast_image_ip6);
		__u64 first_hi, above;

		if (!step)
			break;
		first_hi = arena_u64(at);
		above = lookup_below(n, next) | lookup_below(hi, first_hi) |
			(~lookup_below(first_hi, hi) & lookup_below(lo, arena_u64(at + 8)));
		found += step & ~(__u32)above;
		step >>= 1;
	}
	return found - 1;
}

/* addr: 16 bytes in network order, IPv4 as ::ffff:a.b.c.d. image: arena offset. */
static __always_inline __u32 lookup_identity(__u32 image, const __u8 *addr)
{
	const __u64 *half = (const __u64 *)addr;
	__u64 hi = lookup_ntohll(half[0]), lo = lookup_ntohll(half[1]);
	__u32 table, at;

	if (!hi && lo >> 32 == 0xffff) {
		table = image + IMAGE_FIELD(image, ip4_off);
		at = lookup_u32(table, IMAGE_FIELD(image, ip4_count),
				sizeof(struct bpfast_image_ip4), (__u32)lo);
		return at == LOOKUP_NONE ? BPFAST_ID_WORLD : arena_u32(table + at * 8 + 4);
	}
	table = image + IMAGE_FIELD(image, ip6_off);
	at = lookup_ip6(table, IMAGE_FIELD(image, ip6_count), hi, lo);
	return at == LOOKUP_NONE
		       ? BPFAST_ID_WORLD
		       : arena_u32(table + at * (__u32)sizeof(struct bpfast_image_ip6) + 16);
}

/* Arena offset of a slot's struct bpfast_image_endpoint; 0: none. */
static __always_inline __u32 lookup_endpoint(__u32 image, __u32 slot)
{
	if (slot >= IMAGE_FIELD(image, endpoint_count))
		return 0;
	return image + IMAGE_FIELD(image, endpoint_off) +
	       slot * (__u32)sizeof(struct bpfast_image_endpoint);
}

/*
 * Arena offset of the struct bpfast_image_decision for a peer and a port key
 * (BPFAST_PORT_KEY); 0: the set has none, which a good image never says.
 */
static __always_inline __u32 lookup_decision(__u32 image, __u32 set, __u32 identity, __u32 key)
{
	__u32 at, class, table, n;

	if (set >= IMAGE_FIELD(image, set_count))
		return 0;
	set = image + IMAGE_FIELD(image, set_off) + set * (__u32)sizeof(struct bpfast_image_set);
	table = image + arena_u32(set);
	n = arena_u32(set + 4);
	class = arena_u32(set + 8);
	at = lookup_u32(table, n, sizeof(struct bpfast_image_peer), identity);
	if (at != LOOKUP_NONE && arena_u32(table + at * 8) == identity)
		class = arena_u32(table + at * 8 + 4);

	if (class >= IMAGE_FIELD(image, class_count))
		return 0;
	class = image + IMAGE_FIELD(image, class_off) + class * 8;
	table = image + arena_u32(class);
	at = lookup_u32(table, arena_u32(class + 4), sizeof(struct bpfast_image_range), key);
	if (at == LOOKUP_NONE)
		return 0;
	at = arena_u32(table + at * 8 + 4);
	if (at >= IMAGE_FIELD(image, decision_count))
		return 0;
	return image + IMAGE_FIELD(image, decision_off) +
	       at * (__u32)sizeof(struct bpfast_image_decision);
}

#endif
