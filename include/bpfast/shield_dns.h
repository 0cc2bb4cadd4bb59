/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_DNS_H
#define BPFAST_SHIELD_DNS_H
/*
 * Rules against random-subdomain attacks: queries for names below one name, to
 * one destination. The agent finds the name and writes the rule (src/shield/dns.h), the
 * kernel compares (bpf/shield/dns_match.h).
 */
#include "types.h"

/* Rules in force at once. The ninth is not installed, and the attack says so. */
#define BPFAST_DNS_RULES 8
#define BPFAST_DNS_NAME 64 /* bytes of the name in a rule, and of names that it lets through */
/* Names that were asked for before the attack: hashes, in sets. */
#define BPFAST_DNS_SETS 16
#define BPFAST_DNS_WAYS 8
#define BPFAST_DNS_HONEST 64 /* no more are put in, so that sets hardly overflow */

struct bpfast_dns_rule {
	__u32 id; /* 0: not in use */
	__u16 destination; /* its number; BPFAST_DEST_ALL: every */
	__u8 bytes; /* of name */
	__u8 audit; /* 1: counted, not dropped */
	__u8 strangers; /* 1: who is known is let through */
	__u8 honest; /* names in the sets */
	__u8 pad[6];
	__u64 seed; /* of the hashes */
	/* As in a packet, lower case, without the closing 0; zeroes behind it. */
	__u64 name[BPFAST_DNS_NAME / 8];
	__u64 set[BPFAST_DNS_SETS][BPFAST_DNS_WAYS];
};

static_assert(sizeof(struct bpfast_dns_rule) == 88 + 8 * BPFAST_DNS_SETS * BPFAST_DNS_WAYS,
	      "DNS rule");

/* bpfast_shdns: one element. */
struct bpfast_dns {
	struct bpfast_dns_rule rule[BPFAST_DNS_RULES];
};

/* RFC 1035, sections 4.1.1 and 2.3.4: the header, and a name of 255 bytes. */
#define BPFAST_DNS_HEADER 12
#define BPFAST_DNS_MESSAGE (BPFAST_DNS_HEADER + 255)
#define BPFAST_DNS_ROOM 512 /* a power of two: programs mask instead of comparing */

/* bpfast_shdnscpu, of each CPU. */
struct bpfast_dns_cpu {
	__u64 hits[BPFAST_DNS_RULES]; /* queries that met a rule, in audit too */
	__u64 begins[4]; /* bits: where labels of the name begin */
	__u32 bytes, pad; /* of the message */
	/* The beginning of the message that is being judged, with room for reads that are masked. */
	__u8 message[BPFAST_DNS_ROOM + 64];
};

static_assert(sizeof(struct bpfast_dns_cpu) == 680, "DNS message of a CPU");

#endif
