/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_VERDICT_H
#define BPFAST_STAGE_VERDICT_H
/* The two ways out of a hook. Every packet leaves through one of them, once. */
#include "stage/event.h"

static __always_inline int forward(struct hook *h)
{
	__u32 dir = h->egress & 1;

	h->metrics->packets[dir]++;
	h->metrics->bytes[dir] += h->scratch->pkt.ip_len;
	return HOOK_NEXT;
}

static __always_inline void count_drop(struct hook *h, __u32 reason)
{
	count_reason(h->metrics->dropped[h->egress & 1], reason);
}

/* Drops the packet and records why. flow may be NULL. */
static __noinline int drop(struct hook *h, __u32 reason, const struct bpfast_flow *flow)
{
	struct record r = {
		.type = BPFAST_EV_L3_L4,
		.verdict = BPFAST_V_DROPPED,
		.reason = (__u8)reason,
		.flags = h->egress ? BPFAST_EF_EGRESS : 0,
		.generation = h->generation,
	};

	if (flow) {
		__u32 egress = !!(flow->flags & BPFAST_FF_EGRESS);

		r.flags = egress ? BPFAST_EF_EGRESS : 0;
		if (egress != h->egress)
			r.flags |= BPFAST_EF_REPLY;
		r.ref = flow->ref;
		r.generation = flow->generation;
		r.remote_identity = flow->remote_identity;
	}
	count_drop(h, reason);
	record(h, &r);
	return HOOK_DROP;
}

#endif
