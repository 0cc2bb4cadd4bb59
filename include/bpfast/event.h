/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_EVENT_H
#define BPFAST_EVENT_H
/* Records that the kernel side writes to the ring buffer bpfast_events. */
#include "types.h"
#include "limits.h"

enum bpfast_event_type {
	BPFAST_EV_L3_L4 = 0, /* a new flow, or a packet that was not forwarded */
	BPFAST_EV_HTTP_REQUEST = 1,
	BPFAST_EV_HTTP_RESPONSE = 2,
	BPFAST_EV_ATTACK =
		3, /* of the agent: an attack begins or is over; latency_ns: its number */
};

enum bpfast_event_flags {
	BPFAST_EF_EGRESS = 1 << 0, /* judged by the egress rules of the endpoint */
	BPFAST_EF_REPLY = 1 << 1, /* the packet answers the flow's initiator */
	BPFAST_EF_FROM_HOST = 1 << 2, /* sent by the node itself */
	BPFAST_EF_TEXT_CUT = 1 << 3, /* text[] holds only the beginning */
};

struct bpfast_event {
	__u64 time_ns; /* CLOCK_MONOTONIC */
	__u64 latency_ns; /* responses: from the verdict on the request to the last byte; 0: not known */
	__u32 generation;
	__u32 ref; /* attribution, in the image of `generation`; 0: none */
	__u32 local_identity; /* of the endpoint */
	__u32 remote_identity;
	__u32 length; /* of the IP packet, bytes */
	__u16 endpoint; /* slot */
	__u8 type;
	__u8 verdict; /* enum bpfast_verdict */
	__u8 reason; /* enum bpfast_reason */
	__u8 flags;
	__u8 protocol; /* IP protocol */
	__u8 ip_version; /* 4, 6; 0: not an IP packet */
	__u8 source[16]; /* of the packet; IPv4 as ::ffff:a.b.c.d */
	__u8 destination[16];
	__u16 source_port; /* host byte order; ICMP: the identifier or 0 */
	__u16 destination_port;
	__u16 status; /* HTTP responses */
	__u16 text_len;
	__u8 tcp_flags;
	__u8 icmp_type;
	__u8 icmp_code;
	__u8 http_minor; /* HTTP/1.x: x */
	__u8 pad[4];
	char text
		[BPFAST_TEXT_MAX]; /* requests: "METHOD TARGET"; responses: of its request, or empty */
};

static_assert(sizeof(struct bpfast_event) == 96 + BPFAST_TEXT_MAX, "event");

#endif
