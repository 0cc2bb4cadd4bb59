/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_CONTROL_H
#define BPFAST_CONTROL_H
/* What the agent tells the kernel side, beside the policy image. */
#include "types.h"
#include "limits.h"

/*
 * bpfast_control: one element, mapped into the agent. Written with single
 * aligned stores while programs run.
 */
struct bpfast_control {
	/*
	 * Generation << 32 | offset of the image in the arena. 0: no policy yet,
	 * everything is denied. Storing it is the instant a policy comes into
	 * force. Generations count from 1.
	 */
	__u64 root;
	/* Images of this generation and later still lie whole in the arena. A head
	 * half judged under an older one is reset: BPFAST_R_STALE_TABLES. */
	__u32 oldest_generation;
	/* Records: 1 while somebody observes (all are written), else 0 (at most
	 * records_per_second, the rest is counted). */
	__u32 observed;
	__u32 records_per_second; /* per CPU, while nobody observes */
	__u32 tcp_idle_s; /* seconds an open TCP flow is kept without a packet */
	__u32 other_idle_s; /* the same for UDP, SCTP, ICMP and the rest */
	__u32 closed_s; /* seconds after FIN in both directions, or RST */
	__u32 denied_s; /* seconds a denied flow answers its client */
	__u32 retain_share; /* chunks of the retention pool that one endpoint's flows may hold */
	__u32 flows_share; /* flows that one endpoint may have */
	__u32 pad;
};

static_assert(sizeof(struct bpfast_control) == 48, "control");

enum bpfast_endpoint_flags {
	/* Its flows are being carried over from another version's table, which is the truth
	 * still: TCP of inspected connections, and of those that are not here yet, waits. */
	BPFAST_EPF_CARRYING = 1 << 0,
};

/* bpfast_endp: host-side interface index -> who is behind it. */
struct bpfast_endpoint {
	__u16 slot; /* index into the image's endpoints */
	__u8 addr_count;
	__u8 flags; /* enum bpfast_endpoint_flags */
	__u32 pad;
	__u8 mac[6] __attribute__((aligned(8))); /* of the pod's interface; all zero: not checked */
	__u8 pad2[2];
	/* The pod's own addresses; IPv4 as ::ffff:a.b.c.d */
	__u8 addr[BPFAST_ENDPOINT_ADDRS][16] __attribute__((aligned(8)));
};

static_assert(sizeof(struct bpfast_endpoint) == 16 + 16 * BPFAST_ENDPOINT_ADDRS, "endpoint");

#endif
