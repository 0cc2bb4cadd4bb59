/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_QUOTA_H
#define BPFAST_STAGE_QUOTA_H
/*
 * How much of the flow table one endpoint may have. Whoever is flooded, or floods, has no room
 * for its own new connections; everybody else has.
 *
 * A flow is counted just before it is put into the table. Who takes it out gives it back, and
 * the table lets only one do that: a packet, a timer, a sweep, or the agent. So the count is
 * exact, and a packet of a flow that is there never touches it.
 */
#include "maps.h"

/* One flow of the slot is out of the table, or did not get into it. */
ARENA_GLOBAL int quota_give(__u32 slot)
{
	struct bpfast_quota *quota = bpf_map_lookup_elem(&bpfast_quota, &slot);

	if (quota)
		__sync_fetch_and_add(&quota->used, -1);
	return 0;
}

/* 0: counted. -1: the endpoint has as many as it may, or the interface belongs to nobody. */
ARENA_GLOBAL int quota_take(__u32 slot, __u32 share)
{
	struct bpfast_quota *quota = bpf_map_lookup_elem(&bpfast_quota, &slot);

	if (!quota)
		return -1;
	/* A flood over the limit only reads. */
	if ((__s32) * (volatile __u32 *)&quota->used < (__s32)share) {
		__sync_fetch_and_add(&quota->tried, 1);
		if ((__s32)__sync_fetch_and_add(&quota->used, 1) < (__s32)share)
			return 0;
		__sync_fetch_and_add(&quota->used, -1);
	}
	__sync_fetch_and_add(&quota->refused, 1);
	return -1;
}

/* Has the endpoint so many that those which are not open connections should go sooner? */
static __always_inline int quota_pressed(const struct bpfast_control *control,
					 const struct bpfast_flow_key *key)
{
	__u32 share = control->flows_share, slot = key->endpoint;
	struct bpfast_quota *quota = bpf_map_lookup_elem(&bpfast_quota, &slot);

	return quota && (__s32)quota->used > (__s32)(share - share / 4);
}

#endif
