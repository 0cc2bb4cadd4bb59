/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_FINGERPRINT_H
#define BPFAST_FINGERPRINT_H
/*
 * A fingerprint: what the packets of one flood have in common and honest
 * packets to the same destination have not. The agent finds it in samples
 * (src/shield/fingerprint.h), the kernel compares (bpf/shield/fingerprint_match.h).
 *
 * A rule is one conjunction of ranges and masked values, so that a comparison
 * is some thirty instructions without a loop. A range 0..max holds always.
 */
#include "types.h"

/* Rules in force at once, on one device. The seventeenth is not installed, and the attack says so. */
#define BPFAST_FP_RULES 16
/* Bytes of payload that a rule can name. */
#define BPFAST_FP_PAYLOAD 16

/* What TCP options a packet carries. */
enum bpfast_fp_option {
	BPFAST_FPO_MSS = 1 << 0,
	BPFAST_FPO_SACK_OK = 1 << 1,
	BPFAST_FPO_TIMESTAMP = 1 << 2,
	BPFAST_FPO_WINDOW_SCALE = 1 << 3,
	BPFAST_FPO_SACK = 1 << 4,
	BPFAST_FPO_FAST_OPEN = 1 << 5,
	BPFAST_FPO_OTHER = 1 << 6, /* any but these, EOL and NOP */
	BPFAST_FPO_BROKEN = 1 << 7, /* a length that leads out of the header */
};

/* How the IP packet is cut. */
enum bpfast_fp_form {
	BPFAST_FPF_DF = 1 << 0, /* IPv4: must not be fragmented */
	BPFAST_FPF_MORE = 1 << 1, /* more fragments follow */
	BPFAST_FPF_LATER = 1 << 2, /* not the first fragment: no ports, no payload */
};

/* The packet, read once; numbers in host byte order, what it has not is 0. */
struct bpfast_fp_packet {
	__u64 payload[BPFAST_FP_PAYLOAD / 8]; /* as on the wire, zeroes behind its end */
	__u8 destination[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u16 length; /* of the IP packet */
	__u16 id; /* IPv4 */
	__u16 source_port; /* ICMP: type << 8 | code */
	__u16 destination_port;
	__u16 window; /* TCP, not scaled */
	__u8 ip_version; /* 4, 6 */
	__u8 protocol;
	__u8 ttl; /* IPv6: hop limit */
	__u8 form; /* enum bpfast_fp_form */
	__u8 tcp_flags;
	__u8 options; /* enum bpfast_fp_option */
	__u8 option_bytes; /* of the TCP header, padding included */
	__u8 payload_bytes; /* that are in payload[] */
	__u8 pad[4];
};

static_assert(sizeof(struct bpfast_fp_packet) == 56, "packet for fingerprints");

struct bpfast_fingerprint {
	__u64 payload[BPFAST_FP_PAYLOAD / 8]; /* compared under payload_mask */
	__u64 payload_mask[BPFAST_FP_PAYLOAD / 8];
	__u8 destination[16]; /* all zero: any */
	__u32 id; /* of the rule, for counters; 0: not in use, matches nothing */
	__u16 length_min, length_max;
	__u16 id_min, id_max;
	__u16 source_port_min, source_port_max;
	__u16 destination_port_min, destination_port_max;
	__u16 window_min, window_max;
	__u8 ip_version; /* 0: both */
	__u8 protocol;
	__u8 any_protocol; /* 1: protocol is not compared */
	__u8 ttl_min, ttl_max;
	__u8 form, form_mask;
	__u8 tcp_flags, tcp_flags_mask;
	__u8 options, options_mask;
	__u8 option_bytes_min, option_bytes_max;
	__u8 payload_bytes_min; /* so that zeroes in payload[] are not those behind the end */
	__u8 payload_bytes_max;
	__u8 audit; /* 1: counted, not dropped */
	__u8 pad[4];
};

static_assert(sizeof(struct bpfast_fingerprint) == 96, "fingerprint");

#endif
