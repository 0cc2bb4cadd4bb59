/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_TYPES_H
#define BPFAST_SHIELD_TYPES_H
/* What the stages of shield hand to each other. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>

#include "bpfast/shield.h"

enum shield_flags {
	SHIELD_IP = 1 << 0, /* IPv4 or IPv6: only these are judged */
	SHIELD_FRAGMENT = 1 << 1,
	SHIELD_LATER_FRAGMENT = 1 << 2, /* without the header of TCP or UDP */
	SHIELD_NEIGHBOUR = 1 << 3, /* neighbour discovery from the link itself */
};

/* A frame of either kind of hook. */
struct shield_frame {
	const __u8 *data, *end; /* what lies there to be read */
	struct __sk_buff *skb; /* at TC; else 0 */
	struct xdp_md *xdp; /* where `length` may be that of a first buffer only; else 0 */
	__u32 length; /* bytes of the frame, also where not all can be read */
	__u32 ifindex;
};

/* A parsed packet. An IPv4 address is its four bytes in word 1, as they lie; word 0 is 0. */
struct shield_packet {
	__u64 source[2], destination[2];
	__be16 source_port, destination_port;
	__u32 seq, ack; /* host byte order */
	__u32 payload; /* bytes behind the TCP header */
	__u8 version; /* 4, 6 */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 flags; /* enum shield_flags */
	__u8 hop_limit; /* IPv6 */
	/* Of the parser: where it is in the frame, and how much of the IP packet is left. Kept in 16
	 * bits of the stack, of which the verifier remembers nothing: so its paths meet again. */
	__u16 at, left;
	__u16 ip; /* where its header begins */
	__u16 network; /* where the IP header begins; 0: the frame is for a group of stations */
	__u8 hook; /* enum bpfast_shield_hook; of one that is answered */
	__u8 pad;
};

#define SHIELD_TCP 6
#define SHIELD_UDP 17
#define SHIELD_ICMP 1
#define SHIELD_ICMPV6 58

/* As they lie in byte 13 of the header (RFC 9293, section 3.1). */
#define SHIELD_FIN 0x01
#define SHIELD_SYN 0x02
#define SHIELD_RST 0x04
#define SHIELD_PSH 0x08
#define SHIELD_ACK 0x10
#define SHIELD_URG 0x20

#endif
