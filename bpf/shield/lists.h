/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_LISTS_H
#define BPFAST_SHIELD_LISTS_H
/* Block and allow lists: walks the images that src/shield compiles. include/bpfast/shield.h has their form. */
#include "shield/maps.h"

enum shield_listed { SHIELD_NOT_LISTED, SHIELD_LISTED_BLOCK, SHIELD_LISTED_ALLOW };

static __always_inline const void *shield_line_at(void *image, __u32 line)
{
	return bpf_map_lookup_elem(image, &line);
}

/* How many of the eight bytes of `first` are <= b; no branches: all bytes at once. */
static __always_inline __u32 shield_ranges_below(__u64 first, __u8 b)
{
	const __u64 high = 0x8080808080808080ull;
	__u64 all = b * 0x0101010101010101ull;
	__u64 t = (all | high) - (first & ~high);
	__u64 below = ((all & ~first) | (~(all ^ first) & t)) & high;

	return ((below >> 7) * 0x0101010101010101ull) >> 56;
}

/* Bits that are set. */
static __always_inline __u32 shield_ones(__u64 n)
{
	n -= n >> 1 & 0x5555555555555555ull;
	n = (n & 0x3333333333333333ull) + (n >> 2 & 0x3333333333333333ull);
	n = (n + (n >> 4)) & 0x0f0f0f0f0f0f0f0full;
	return (n * 0x0101010101010101ull) >> 56;
}

/*
 * Code of an IPv4 address of whose /16 not everything is said alike. This and others are global functions:
 * the verifier reads them once, and not with every path that leads to a call of theirs
 * (docs/internals/verifier.md).
 */
__attribute__((noinline)) __u32 shield_block4(__u32 which, __u32 number, __u32 addr)
{
	void *image = bpf_map_lookup_elem(&bpfast_shlist, &which);
	const struct bpfast_shield_image_head *head;
	const struct bpfast_shield_node *node;
	const struct bpfast_shield_run *run;
	const __u64 *bits;
	const __u16 *words;
	const __u8 *code;
	__u32 at, word;
	__u64 is;

	if (!image)
		return 0;
	head = shield_line_at(image, 0);
	if (!head)
		return 0;
	bits = shield_line_at(image, head->bits_line + (number >> 1));
	if (!bits)
		return 0;
	at = number << 2 | (addr >> 14 & 3);
	/* 6.1 knows bounds only of what is masked last. */
	__asm__ volatile("" : "+r"(at));
	is = bits[at & 7];
	if (!(is >> (addr >> 8 & 63) & 1))
		return 0;
	run = shield_line_at(image, head->run_line + (number >> 3));
	if (!run)
		return 0;
	run += number & 7;
	/* The word's place is the number of bits before its own. */
	at = run->at * 8 + run->before[addr >> 14 & 3] +
	     shield_ones(is & ((1ull << (addr >> 8 & 63)) - 1));
	words = shield_line_at(image, at >> 5);
	if (!words)
		return 0;
	word = words[at & 31];
	/* An address before the first one is far behind the last. */
	if (word >> 12)
		return ((addr & 255) - (word & 255)) >> (word >> 8 & 15) ? 0 : word >> 12;
	at = run->at + word;
	node = shield_line_at(image, at >> 2);
	if (!node)
		return 0;
	node += at & 3;
	if (node->first[0] == BPFAST_SHIELD_DENSE) {
		code = shield_line_at(image, node->line + (addr >> 6 & 3));
		return code ? code[addr & 63] : 0;
	}
	at = shield_ranges_below(*(const __u64 *)node->first, addr);
	return *(const __u64 *)node->code >> ((at - 1) & 7) * 8 & 255;
}

/* Code of an IPv4 address: for most of them one look. */
static __always_inline __u32 shield_code4(void *image, __u32 which, __u32 addr)
{
	const __u32 *word = shield_line_at(image, BPFAST_SHIELD_V4_LINE + (addr >> 20));
	__u32 entry;

	if (!word)
		return 0;
	entry = word[addr >> 16 & 15];
	return entry & BPFAST_SHIELD_BLOCK
		       ? shield_block4(which, entry & ~BPFAST_SHIELD_BLOCK, addr)
		       : entry;
}

/* The address's first `bits` bits, hashed with their number. */
static __always_inline __u64 shield_hash6(__u64 seed, __u64 high, __u64 low, __u32 bits)
{
	if (bits <= 64) {
		low = 0;
		high = bits ? high >> ((64 - bits) & 63) << ((64 - bits) & 63) : 0;
	} else {
		low = low >> ((128 - bits) & 63) << ((128 - bits) & 63);
	}
	return bpfast_shield_mix(bpfast_shield_mix(bpfast_shield_mix(seed, high), low), bits) | 1;
}

/* What the bucket of a tag says: code | 0x100, or 0. */
__attribute__((noinline)) __u32 shield_probe6(__u32 which, __u64 tag)
{
	void *image = bpf_map_lookup_elem(&bpfast_shlist, &which);
	const struct bpfast_shield_image_head *head;
	const struct bpfast_shield_v6 *v;
	__u32 i, line;

	if (!image)
		return 0;
	head = shield_line_at(image, 0);
	if (!head)
		return 0;
	for (i = 0; i < BPFAST_SHIELD_V6_LINES; i++) {
		line = ((tag >> 32) + i) & (head->v6_buckets - 1);
		v = shield_line_at(image, head->v6_line + line);
		if (!v)
			return 0;
		if (v[0].tag == tag)
			return (v[0].code & 0xff) | 0x100;
		if (v[1].tag == tag)
			return (v[1].code & 0xff) | 0x100;
		if (v[2].tag == tag)
			return (v[2].code & 0xff) | 0x100;
		if (v[3].tag == tag)
			return (v[3].code & 0xff) | 0x100;
		/* The first place that is empty ends the bucket. */
		if (!v[3].tag)
			return 0;
	}
	return 0;
}

/* Code of an IPv6 address; both halves in host byte order. */
__attribute__((noinline)) __u32 shield_code6(__u32 which, __u64 high, __u64 low)
{
	void *image = bpf_map_lookup_elem(&bpfast_shlist, &which);
	const struct bpfast_shield_image_head *head;
	__u32 begin = 0, end, mid, code = 0, i, found;
	const __u8 *lengths;

	if (!image)
		return 0;
	head = shield_line_at(image, 0);
	if (!head || !head->v6_buckets)
		return 0;
	end = head->lengths;
	for (i = 0; i < BPFAST_SHIELD_V6_STEPS && begin < end; i++) {
		mid = (begin + end) >> 1;
		lengths = shield_line_at(image, head->lengths_line + (mid >> 6));
		if (!lengths)
			break;
		found = shield_probe6(which,
				      shield_hash6(head->v6_seed, high, low, lengths[mid & 63]));
		if (found) {
			code = found & 0xff;
			begin = mid + 1;
		} else {
			end = mid;
		}
	}
	return code;
}

static __always_inline enum shield_listed shield_listed(const struct shield_packet *p, __u32 now)
{
	enum shield_listed found = SHIELD_NOT_LISTED;
	const struct bpfast_shield_pair *pair;
	__u32 which, code;
	void *image;

	for (which = 0; which < BPFAST_SI_COUNT; which++) {
		__u32 key = which;

		image = bpf_map_lookup_elem(&bpfast_shlist, &key);
		if (!image)
			continue;
		code = p->version == 4 ? shield_code4(image, which, bpf_ntohl((__be32)p->source[1]))
				       : shield_code6(which, bpf_be64_to_cpu(p->source[0]),
						      bpf_be64_to_cpu(p->source[1]));
		if (!code)
			continue;
		pair = shield_line_at(image, BPFAST_SHIELD_PAIRS_LINE + (code >> 3));
		if (!pair)
			continue;
		pair += code & 7;
		if (now < pair->allow_until)
			return SHIELD_LISTED_ALLOW;
		if (now < pair->block_until)
			found = SHIELD_LISTED_BLOCK;
	}
	return found;
}

#endif
