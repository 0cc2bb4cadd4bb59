/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_TYPES_H
#define BPFAST_STAGE_TYPES_H
/* What the stages hand to each other. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "bpfast/types.h"
#include "bpfast/control.h"
#include "bpfast/event.h"
#include "bpfast/flow.h"
#include "bpfast/image.h"
#include "bpfast/metrics.h"
#include "bpfast/reasons.h"
#include "proto/http1.h"

/* "Let the next program decide": the same number for TCX and clsact. */
#define HOOK_NEXT -1
#define HOOK_DROP 2

/* Bytes of a frame that the parser looks at: Ethernet, two tags, IPv6 with
 * extension headers or IPv4 with options, TCP with options. */
#define HEADER_BYTES 192
/* Where they are copied to: a power of two, and room for a read that begins at its last byte. */
#define HEADER_ROOM 256
/* An Ethernet header is 14 bytes long: two more, and what follows is aligned. */
#define HEADER_SKEW 2

enum packet_flags {
	PKT_FRAGMENT = 1 << 0, /* any fragment */
	PKT_LATER_FRAGMENT = 1 << 1, /* one that does not begin with the L4 header */
	PKT_ICMP_ERROR =
		1 << 2, /* addresses and ports are those of the packet it is about, turned round */
	PKT_ARP = 1 << 3,
	PKT_COPIED = 1 << 5, /* the headers are in scratch->header */
	PKT_FRAGMENT_HEADER = 1 << 6, /* IPv6: a fragment, or one that is whole (RFC 6946) */
	PKT_LINK_CONTROL = 1 << 4, /* neighbour discovery, MLD: judged by form, not by policy */
};

/* A parsed packet. Offsets are bytes from the start of the frame. */
struct packet {
	__u8 source[16] __attribute__((aligned(8))); /* IPv4 as ::ffff:a.b.c.d */
	__u8 destination[16] __attribute__((aligned(8)));
	__be16 source_port;
	__be16 destination_port;
	__u64 source_mac; /* as it lies in memory, in the low six bytes */
	__u32 seq, ack; /* TCP, host byte order */
	__u32 payload_len; /* bytes, by the IP length: never trailing bytes of the frame */
	__u32 frag_id;
	__u32 ip_len; /* bytes of the IP packet, header included */
	__u16 l3_off, l4_off, payload_off;
	__u8 flags; /* enum packet_flags */
	__u8 ip_version; /* 4, 6; 0: neither */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 icmp_type, icmp_code;
	__u8 inner_type; /* with PKT_ICMP_ERROR, where it is about ICMP: that one's type */
};

/* TCP flags, as they lie in byte 13 of the header (RFC 9293, section 3.1). */
enum tcp_flags {
	TCP_FIN = 0x01,
	TCP_SYN = 0x02,
	TCP_RST = 0x04,
	TCP_PSH = 0x08,
	TCP_ACK = 0x10,
	TCP_URG = 0x20,
};

/* Distance from a to b in sequence space (RFC 9293, section 3.4). */
static __always_inline __s32 seq_diff(__u32 b, __u32 a)
{
	return (__s32)(b - a);
}

/* Everything about the packet in hand. Lives on the hook's stack. */
struct hook {
	struct scratch *scratch;
	struct bpfast_metrics *metrics;
	const struct bpfast_control *control;
	const struct bpfast_endpoint *endpoint;
	__u32 image; /* arena offset of the image in force */
	__u32 generation;
	__u8 egress; /* 1: from_pod, 0: to_pod */
	__u8 from_host;
	__u8 full; /* why flow_make() made none: enum bpfast_reason */
};

/*
 * n, said so that every verifier sees 1..most where a helper is given it; n is
 * that already. most: a power of two. (6.1 knows bounds only of the very register
 * that was compared, and the compiler compares others.)
 */
static __always_inline __u32 size_within(__u32 n, __u32 most)
{
	n--;
	__asm__ volatile("" : "+r"(n));
	return (n & (most - 1)) + 1;
}

/* Work on a flow's list of retained bytes; see stream/retain.h. */
struct retain {
	__u32 first; /* the list: index + 1 of its first chunk; 0: empty */
	__u32 tag; /* of the flow */
	__u32 endpoint; /* slot */
	__u32 share; /* of the pool, chunks */
	__u32 most; /* chunks that the flow may hold */
	__u32 ahead; /* the bytes lie ahead of a gap */
	__u32 now; /* nanoseconds >> 30 */
	__u32 base; /* sequence number of the payload's first byte */
	__u32 seq, end; /* the stream's bytes seq..end of the packet in hand */
	__u32 prev, cur; /* where in the list: links */
	__u32 reason; /* enum bpfast_reason */
};

/* Working memory of one packet: too large for the stack. Programs here never nest on a CPU. */
struct scratch {
	struct packet pkt;
	struct bpfast_flow_key key;
	/* A flow being made; not of its type, for no timer may lie here. */
	__u64 fresh[(sizeof(struct bpfast_flow) + 7) / 8];
	struct http_walk walk;
	struct retain retain;
	__u64 now; /* CLOCK_MONOTONIC of this packet, 0: not asked for yet */
	__u64 record_window_ns; /* the rate limit of records */
	__u32 record_window_count;
	__u32 cursor; /* of the parser */
	__u32 shared; /* the payload may be written to by its sender still; see memory.h */
	__u8 header[HEADER_ROOM + 64] __attribute__((aligned(8)));
	__u8 segment[HTTP_WINDOW + 64]
		__attribute__((aligned(8))); /* a TCP segment being made or summed */
};

#endif
