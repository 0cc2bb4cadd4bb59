/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_FLOW_H
#define BPFAST_STAGE_FLOW_H
/* The flow of a packet: its key, its life, and the L3/L4 decision it was made under. */
#include "stage/parse.h"
#include "stage/verdict.h"
#include "match/lookup.h"

#define NSEC_PER_SEC 1000000000ull
/* Between two looks at the whole flow table. */
#define SWEEP_NS (2 * NSEC_PER_SEC)

/* An L3/L4 decision. */
struct decision {
	__u8 verdict; /* enum bpfast_decision_verdict */
	__u8 flags; /* enum bpfast_decision_flags */
	__u8 on_deny;
	__u8 unknown; /* the endpoint is not in the image */
	__u32 ruleset;
	__u32 ref;
	__u32 remote_identity;
};

/* ICMP echo flows differ by who asks: a request the other way is no reply. */
enum { ECHO_ASKED_BY_POD = 1, ECHO_ASKED_BY_PEER = 2 };

static __always_inline int is_echo(const struct packet *pkt, __u8 *request)
{
	__u8 type = pkt->flags & PKT_ICMP_ERROR ? pkt->inner_type : pkt->icmp_type;

	if (pkt->protocol == PROTO_ICMP && (type == 8 || type == 0)) {
		*request = type == 8;
		return 1;
	}
	if (pkt->protocol == PROTO_ICMPV6 && (type == 128 || type == 129)) {
		*request = type == 128;
		return 1;
	}
	return 0;
}

static __always_inline void flow_key(struct hook *h)
{
	struct packet *pkt = &h->scratch->pkt;
	struct bpfast_flow_key *key = &h->scratch->key;
	__u8 request;

	if (h->egress) {
		__builtin_memcpy(key->local, pkt->source, 16);
		__builtin_memcpy(key->remote, pkt->destination, 16);
		key->local_port = pkt->source_port;
		key->remote_port = pkt->destination_port;
	} else {
		__builtin_memcpy(key->local, pkt->destination, 16);
		__builtin_memcpy(key->remote, pkt->source, 16);
		key->local_port = pkt->destination_port;
		key->remote_port = pkt->source_port;
	}
	key->endpoint = h->endpoint->slot;
	key->protocol = pkt->protocol;
	key->pad = 0;
	if (is_echo(pkt, &request)) {
		/* An error comes back from where the echo went. */
		if (pkt->flags & PKT_ICMP_ERROR)
			request = !request;
		key->pad = request == h->egress ? ECHO_ASKED_BY_POD : ECHO_ASKED_BY_PEER;
	}
}

/* Judges the flow in scratch->key as begun by the endpoint (egress) or by its peer. */
static __noinline int flow_judge(struct hook *h, __u32 egress, struct decision *d)
{
	struct bpfast_flow_key *key = &h->scratch->key;
	__u32 image = h->image, endpoint, set, at, port;

	d->verdict = BPFAST_D_DENY;
	d->flags = 0;
	d->on_deny = BPFAST_ON_DENY_DROP;
	d->unknown = 0;
	d->ruleset = 0;
	d->ref = 0;
	endpoint = lookup_endpoint(image, key->endpoint);
	if (!endpoint || !arena_u32(endpoint)) {
		d->unknown = 1;
		d->remote_identity = BPFAST_ID_UNKNOWN;
		return 0;
	}
	if (h->from_host && !egress) {
		d->verdict = BPFAST_D_ALLOW;
		d->remote_identity = BPFAST_ID_HOST;
		return 0;
	}
	d->remote_identity = lookup_identity(image, key->remote);
	/* The node is known by how its packets arrive, never by their address. */
	if (!egress && d->remote_identity == BPFAST_ID_HOST)
		d->remote_identity = BPFAST_ID_WORLD;
	set = arena_u32(endpoint + (egress ? 8 : 4));
	if (set == BPFAST_SET_NONE) {
		d->verdict = BPFAST_D_ALLOW;
		return 0;
	}
	port = bpf_ntohs(egress ? key->remote_port : key->local_port);
	if (key->protocol != PROTO_TCP && key->protocol != PROTO_UDP && key->protocol != PROTO_SCTP)
		port = 0;
	at = lookup_decision(image, set, d->remote_identity, BPFAST_PORT_KEY(key->protocol, port));
	if (!at)
		return 0;
	port = arena_u32(at);
	d->verdict = (__u8)port;
	d->flags = (__u8)(port >> 8);
	d->on_deny = (__u8)(port >> 16);
	d->ruleset = arena_u32(at + 4);
	d->ref = arena_u32(at + 8);
	return 0;
}

static __always_inline __u32 deny_reason(const struct decision *d)
{
	if (d->unknown)
		return BPFAST_R_NO_POLICY;
	return d->verdict == BPFAST_D_DENY_RULE ? BPFAST_R_DENY_RULE : BPFAST_R_POLICY_DENIED;
}

static __always_inline int is_deny(const struct decision *d)
{
	return d->verdict <= BPFAST_D_DENY_RULE;
}

/* --- life ------------------------------------------------------------------ */

/* How long a flow may be silent, in nanoseconds. */
static __always_inline __u64 flow_patience(const struct bpfast_control *control,
					   const struct bpfast_flow_key *key,
					   const struct bpfast_flow *flow)
{
	const __u32 fins = BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_FIN_FROM_SERVER;
	__u32 s = control->other_idle_s;

	if (key->protocol == PROTO_TCP) {
		if (flow->flags & BPFAST_FF_DENIED)
			s = control->denied_s;
		else if (flow->flags & BPFAST_FF_RST || (flow->flags & fins) == fins)
			s = control->closed_s;
		else if (flow->flags & BPFAST_FF_SEEN_REPLY)
			s = control->tcp_idle_s;
	}
	return (s ? s : 1) * NSEC_PER_SEC;
}

/* One flow of a sweep: forgotten when it was silent for longer than its patience. */
static long sweep_flow(void *map, struct bpfast_flow_key *key, struct bpfast_flow *flow,
		       void *unused)
{
	__u32 zero = 0;
	struct bpfast_control *control = bpf_map_lookup_elem(&bpfast_control, &zero);
	struct bpfast_metrics *metrics = bpf_map_lookup_elem(&bpfast_metrics, &zero);

	if (!control || !metrics)
		return 1;
	if (bpf_ktime_get_coarse_ns() - flow->seen_ns < flow_patience(control, key, flow))
		return 0;
	if (!bpf_map_delete_elem(map, key))
		metrics->flows_closed++;
	return 0;
}

/*
 * Looks at all flows every SWEEP_NS. One timer for the table and not one for
 * each flow: a kernel may have no memory for a thousand timers at once, and a
 * flow without one would stay for ever. Needs no user space.
 */
static int sweep(void *map, __u32 *key, struct bpfast_sweep *s)
{
	bpf_for_each_map_elem(&bpfast_flow, sweep_flow, 0, 0);
	bpf_timer_start(&s->timer, SWEEP_NS, 0);
	return 0;
}

/* Starts the sweep, once; sooner where the table is full. */
static __noinline int sweep_start(int now)
{
	__u32 zero = 0;
	struct bpfast_sweep *s = bpf_map_lookup_elem(&bpfast_sweep, &zero);

	if (!s)
		return -1;
	if (!s->armed) {
		if (__sync_val_compare_and_swap(&s->armed, 0, 1))
			return 0;
		if (bpf_timer_init(&s->timer, &bpfast_sweep, 1 /* CLOCK_MONOTONIC */) ||
		    bpf_timer_set_callback(&s->timer, sweep) ||
		    bpf_timer_start(&s->timer, SWEEP_NS, 0)) {
			s->armed = 0; /* the next flow tries again */
			return -1;
		}
	}
	if (now) {
		__u64 time = bpf_ktime_get_coarse_ns();

		if (time - s->hurried_ns > NSEC_PER_SEC) {
			s->hurried_ns = time;
			bpf_timer_start(&s->timer, 0, 0);
		}
	}
	return 0;
}

static __always_inline void flow_delete(struct hook *h)
{
	if (!bpf_map_delete_elem(&bpfast_flow, &h->scratch->key))
		h->metrics->flows_closed++;
}

/* Puts a decision into a flow. */
static __always_inline void flow_apply(struct hook *h, struct bpfast_flow *flow,
				       const struct decision *d)
{
	__u32 flags = flow->flags & ~(BPFAST_FF_HTTP | BPFAST_FF_AUDIT);

	if (d->verdict == BPFAST_D_HTTP && h->scratch->key.protocol == PROTO_TCP)
		flags |= BPFAST_FF_HTTP;
	if (d->flags & BPFAST_DF_AUDIT)
		flags |= BPFAST_FF_AUDIT;
	flow->flags = flags;
	flow->remote_identity = d->remote_identity;
	flow->ref = d->ref;
	flow->ruleset = d->ruleset;
	flow->on_deny = d->on_deny;
	flow->generation = h->generation;
}

/* Makes the flow in scratch->key. NULL: the table is full. */
static __noinline struct bpfast_flow *flow_make(struct hook *h, __u32 flags,
						const struct decision *d)
{
	struct scratch *s = h->scratch;
	struct bpfast_flow *flow = (struct bpfast_flow *)s->fresh;

	__builtin_memset(flow, 0, sizeof(*flow));
	flow->flags = flags;
	flow->seen_ns = bpf_ktime_get_coarse_ns();
	flow_apply(h, flow, d);
	if (!bpf_map_update_elem(&bpfast_flow, &s->key, flow, BPF_NOEXIST)) {
		h->metrics->flows_created++;
		if (sweep_start(0))
			h->metrics->helper_errors++;
		return bpf_map_lookup_elem(&bpfast_flow, &s->key);
	}
	/* Another CPU made it at this moment, or there is no room. */
	flow = bpf_map_lookup_elem(&bpfast_flow, &s->key);
	if (!flow)
		sweep_start(1);
	return flow;
}

#endif
