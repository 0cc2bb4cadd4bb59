/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_DNS_MATCH_H
#define BPFAST_SHIELD_DNS_MATCH_H
/*
 * Is a query for a name below that of a rule? Compiled for the kernel and for
 * user space. A message lies in BPFAST_DNS_ROOM bytes and 64 more, of which
 * only the first `bytes` are the packet's.
 */
#include "bpfast/shield.h"
#include "bpfast/shield_dns.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

#define DNS_LABELS 128 /* of at least two bytes, in 255 */

/* Eight bytes, wherever they lie. */
static __always_inline __u64 dns_eight(const __u8 *at)
{
#ifdef __bpf__
	return *(const __u64 *)at;
#else
	__u64 v;

	__builtin_memcpy(&v, at, sizeof(v));
	return v;
#endif
}

/* ASCII letters to lower case, eight at once (RFC 4343, section 3). A label's length is no letter. */
static __always_inline __u64 dns_lower(__u64 v)
{
	const __u64 ones = 0x0101010101010101ull;
	__u64 low = v & 0x7f * ones;
	__u64 upper = (low + (0x80 - 'A') * ones) ^ (low + (0x7f - 'Z') * ones);

	return v | (upper & ~v & 0x80 * ones) >> 2;
}

/* Word i of a name of so many bytes, in lower case; zeroes behind its end. */
static __always_inline __u64 dns_word(const __u8 *at, __u32 i, __u32 bytes)
{
	__u64 v = dns_lower(dns_eight(at + i * 8));
	__u32 left = bytes - i * 8;

	if (left >= 8)
		return v;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return v & ((1ull << (left * 8 & 63)) - 1);
#else
	return v & ~(~0ull >> (left * 8 & 63));
#endif
}

/* So far into the message, and not further for any number. */
static __always_inline const __u8 *dns_at(const __u8 *message, __u32 off)
{
	__asm__ volatile("" : "+r"(off));
	return message + (off & (BPFAST_DNS_ROOM - 1));
}

/*
 * Goes over the name of the first question (RFC 1035, section 4.1.2), and notes where its labels
 * begin. Returns its bytes without the closing 0; 0: no query, the root, or a name that cannot be
 * read. A pointer is none that a question can have: nothing stands before it.
 */
static __always_inline __u32 dns_walk(const __u8 *message, __u32 bytes, __u64 *begins)
{
	volatile __u32 at = 0;
	int i;

	begins[0] = begins[1] = begins[2] = begins[3] = 0;
	/* A query: neither response nor another opcode. */
	if (bytes <= BPFAST_DNS_HEADER || message[2] & 0xf8 || !(message[4] | message[5]))
		return 0;
	for (i = 0; i < DNS_LABELS; i++) {
		__u32 pos = at, length;

		if (pos > 254 || BPFAST_DNS_HEADER + pos >= bytes)
			return 0;
		length = *dns_at(message, BPFAST_DNS_HEADER + pos);
		if (!length)
			return pos;
		if (length > 63)
			return 0;
		begins[pos >> 6 & 3] |= 1ull << (pos & 63);
		at = pos + 1 + length;
	}
	return 0;
}

/* Is the name of so many bytes strictly below that of the rule? */
static __always_inline int dns_below(const struct bpfast_dns_rule *r, const __u8 *message,
				     const __u64 *begins, __u32 bytes)
{
	__u32 mine = r->bytes, at = bytes - mine, i;
	const __u8 *tail;

	if (bytes <= mine || !mine || mine > BPFAST_DNS_NAME)
		return 0;
	if (!(begins[at >> 6 & 3] >> (at & 63) & 1))
		return 0;
	tail = dns_at(message, BPFAST_DNS_HEADER + at);
	for (i = 0; i < BPFAST_DNS_NAME / 8; i++) {
		if (i * 8 >= mine)
			break;
		if (dns_word(tail, i, mine) != r->name[i])
			return 0;
	}
	return 1;
}

/* Of a name of at most BPFAST_DNS_NAME bytes at `name`, which has room as a message has; never 0. */
static __always_inline __u64 dns_hash(const __u8 *name, __u32 bytes, __u64 seed)
{
	__u64 h = seed;
	__u32 i;

	for (i = 0; i < BPFAST_DNS_NAME / 8; i++) {
		if (i * 8 >= bytes)
			break;
		h = bpfast_shield_mix(h, dns_word(name, i, bytes));
	}
	return h | 1;
}

/* Was the name asked for before the attack? */
static __always_inline int dns_honest(const struct bpfast_dns_rule *r, const __u8 *message,
				      __u32 bytes)
{
	const __u64 *set;
	__u64 h;
	int i, found = 0;

	if (!r->honest || bytes > BPFAST_DNS_NAME)
		return 0;
	h = dns_hash(message + BPFAST_DNS_HEADER, bytes, r->seed);
	set = r->set[h >> 32 & (BPFAST_DNS_SETS - 1)];
	for (i = 0; i < BPFAST_DNS_WAYS; i++)
		found |= set[i] == h;
	return found;
}

#endif
