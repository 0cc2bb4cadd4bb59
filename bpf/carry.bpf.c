/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * No hook: the agent runs this to put flows of another version's tables into ours.
 * See bpfast/carry.h, and docs/design/datapath-lifecycle.md.
 */
/* Packets are not judged here. */
#pragma clang diagnostic ignored "-Wunused-function"
#include "maps.h"
#include "bpfast/carry.h"
#include "stage/flow.h"

/* The order in hand. Not the packets' scratch memory: they run on this CPU meanwhile. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_carry);
} bpfast_carrying SEC(".maps");

#define FINS (BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_FIN_FROM_SERVER)

/* One of the order's flows. By its number: 6.1 takes no key out of memory that was passed. */
ARENA_GLOBAL __u32 carry_flow(__u32 i)
{
	__u32 zero = 0;
	struct bpfast_carry *order = bpf_map_lookup_elem(&bpfast_carrying, &zero);
	struct bpfast_control *control = bpf_map_lookup_elem(&bpfast_control, &zero);
	struct bpfast_metrics *metrics = bpf_map_lookup_elem(&bpfast_metrics, &zero);
	struct bpfast_sweep *table = sweep_ready();
	struct bpfast_carry_flow *c;
	struct bpfast_flow *flow, *there;

	if (!order || !control || !metrics || i >= BPFAST_CARRY_MAX)
		return BPFAST_CARRY_FAILED;
	c = &order->one[i];
	flow = (struct bpfast_flow *)c->flow;
	there = bpf_map_lookup_elem(&bpfast_flow, &c->key);
	if (there) {
		/* It was copied before, and has ended since. */
		if (!((there->flags | flow->flags) & BPFAST_FF_HTTP))
			__sync_fetch_and_or(&there->flags, flow->flags & (FINS | BPFAST_FF_RST));
		return BPFAST_CARRY_THERE;
	}
	/* What an endpoint has it keeps, though it were more than its quota now. */
	if (quota_take(c->key.endpoint, 0x7fffffff))
		return BPFAST_CARRY_FAILED;
	if (bpf_map_update_elem(&bpfast_flow, &c->key, flow, BPF_NOEXIST)) {
		quota_give(c->key.endpoint);
		return bpf_map_lookup_elem(&bpfast_flow, &c->key) ? BPFAST_CARRY_THERE
								  : BPFAST_CARRY_FULL;
	}
	metrics->flows_created++;
	there = bpf_map_lookup_elem(&bpfast_flow, &c->key);
	if (there &&
	    (bpf_timer_init(&there->timer, &bpfast_flow, 1 /* CLOCK_MONOTONIC */) ||
	     bpf_timer_set_callback(&there->timer, flow_timer) ||
	     bpf_timer_start(&there->timer, flow_patience(control, &c->key, there, 0), 0))) {
		__sync_fetch_and_or(&there->flags, BPFAST_FF_NO_TIMER);
		if (sweep_soon(table, 0))
			metrics->helper_errors++;
	}
	return BPFAST_CARRY_DONE;
}

SEC("tc")
int bpfast_carry(struct __sk_buff *skb)
{
	__u32 zero = 0;
	struct bpfast_carry *c = bpf_map_lookup_elem(&bpfast_carrying, &zero);
	struct bpfast_chunk *chunk;
	__u32 results = 0;

	if (!c || bpf_skb_load_bytes(skb, 0, c, sizeof(*c)))
		return -1;
	switch (c->what) {
	case BPFAST_CARRY_TAKE:
		/* What an endpoint held under the other version it may hold, whatever its share. */
		return (int)chunk_take(c->endpoint, c->tag, 0x7fffffff, 0);
	case BPFAST_CARRY_GIVE:
		chunk = chunk_at(c->link);
		if (chunk)
			chunk_give(c->link, chunk, c->tag);
		return BPFAST_CARRY_DONE;
	default:
		for (__u32 i = 0; i < BPFAST_CARRY_MAX; i++)
			if (i < c->n)
				results |= carry_flow(i) << 2 * i;
		return (int)results;
	}
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
