/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * No hook: the agent runs these. bpfast_census looks at the flow table (bpfast/census.h);
 * bpfast_send sends the frame it is given out of a device, which is how a connection is
 * reset that says nothing itself. See docs/design/shield.md.
 */
/* Packets are not judged here. */
#pragma clang diagnostic ignored "-Wunused-function"
#include "maps.h"
#include "bpfast/census.h"
#include "stage/parse.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_census);
} bpfast_cenctl SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BPFAST_CENSUS_MAX);
	__type(key, __u32);
	__type(value, struct bpfast_census_row);
} bpfast_cenrow SEC(".maps");

#define FINS (BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_FIN_FROM_SERVER)

/*
 * Only what its source cannot have forged: bytes of an inspected connection pass when they
 * acknowledge the server's number; of others, the server resets what does not.
 */
static __always_inline int is_wanted(const struct bpfast_flow_key *key,
				     const struct bpfast_flow *flow, __u32 closed)
{
	__u32 flags = flow->flags;

	if (key->protocol != PROTO_TCP ||
	    flags & (BPFAST_FF_EGRESS | BPFAST_FF_HOST | BPFAST_FF_DENIED))
		return 0;
	if (flags & BPFAST_FF_HTTP) {
		if (!(flags & BPFAST_FF_SENT))
			return 0;
		if (closed && flow->requests)
			return 1;
		return (flags & FINS) != FINS; /* an RST may be one that nobody believed */
	}
	return flags & BPFAST_FF_SEEN_REPLY && !(flags & BPFAST_FF_RST) && (flags & FINS) != FINS;
}

static long look(void *map, struct bpfast_flow_key *key, struct bpfast_flow *flow,
		 struct bpfast_census *c)
{
	struct bpfast_census_row *row;
	__u32 at = c->rows;

	if (!is_wanted(key, flow, c->closed))
		return 0;
	row = bpf_map_lookup_elem(&bpfast_cenrow, &at);
	if (!row) {
		c->left_out++;
		return 0;
	}
	c->rows++;
	row->key = *key;
	row->seen_ns = flow->seen_ns;
	row->flags = flow->flags;
	row->requests = flow->requests;
	row->client_next = flow->client.next;
	row->server_next = flow->server.next;
	row->server_acked = flow->server.acked;
	row->remote_identity = flow->remote_identity;
	row->generation = flow->generation;
	row->client_state = (__u8)flow->client.state;
	row->server_state = (__u8)flow->server.state;
	row->text_len = flow->text_len;
	__builtin_memcpy(row->text, flow->text, sizeof(row->text));
	return 0;
}

/* Of this kind, for such programs run with softirqs on: packets need not wait for a large table. */
SEC("syscall")
int bpfast_census(void *ctx)
{
	__u32 zero = 0;
	struct bpfast_census *c = bpf_map_lookup_elem(&bpfast_cenctl, &zero), now = {};

	if (!c)
		return -1;
	now.closed = c->closed;
	bpf_for_each_map_elem(&bpfast_flow, look, &now, 0);
	c->rows = now.rows;
	c->left_out = now.left_out;
	return 0;
}

SEC("tc")
int bpfast_send(struct __sk_buff *skb)
{
	return (int)bpf_clone_redirect(skb, skb->ifindex, 0);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
