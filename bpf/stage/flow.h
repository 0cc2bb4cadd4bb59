/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_FLOW_H
#define BPFAST_STAGE_FLOW_H
/* The flow of a packet: its key, its life, and the L3/L4 decision it was made under. */
#include "stage/parse.h"
#include "stage/verdict.h"
#include "stage/pool.h"
#include "stage/quota.h"
#include "match/lookup.h"

#define NSEC_PER_SEC 1000000000ull
/* From the first flow without a timer to a look at the whole table. */
#define SWEEP_NS (4 * NSEC_PER_SEC)

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

/*
 * How long a flow may be silent, in nanoseconds. Where room is short, all but open TCP
 * connections go sooner: what was not answered, what is over, what was denied, and what is not
 * TCP. An open one is never taken away for another.
 */
static __always_inline __u64 flow_patience(const struct bpfast_control *control,
					   const struct bpfast_flow_key *key,
					   const struct bpfast_flow *flow, int full)
{
	const __u32 fins = BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_FIN_FROM_SERVER;
	__u32 s = control->other_idle_s;

	if (key->protocol == PROTO_TCP) {
		if (flow->flags & BPFAST_FF_DENIED)
			s = control->denied_s;
		else if (flow->flags & BPFAST_FF_RST || (flow->flags & fins) == fins)
			s = control->closed_s;
		else if (flow->flags & BPFAST_FF_SEEN_REPLY)
			return (control->tcp_idle_s ?: 1) * NSEC_PER_SEC;
	}
	if (s > BPFAST_FLOWS_PRESSED_S && (full || quota_pressed(control, key)))
		s = BPFAST_FLOWS_PRESSED_S;
	return (s ?: 1) * NSEC_PER_SEC;
}

/* Forgets a flow that was silent for long enough. Returns how much longer it may be silent, or 0. */
static __always_inline __u64 flow_expire(void *map, const struct bpfast_flow_key *in_place,
					 struct bpfast_flow *flow, int full)
{
	/* A copy: once it is taken out of the table, its place may be another's at once. */
	struct bpfast_flow_key key = *in_place;
	__u32 zero = 0;
	struct bpfast_control *control = bpf_map_lookup_elem(&bpfast_control, &zero);
	struct bpfast_metrics *metrics = bpf_map_lookup_elem(&bpfast_metrics, &zero);
	__u64 silent = bpf_ktime_get_coarse_ns() - flow->seen_ns, patience;
	__u32 held = flow->held;

	if (!control || !metrics)
		return 0;
	patience = flow_patience(control, &key, flow, full);
	if (silent < patience)
		return patience - silent;
	if (!bpf_map_delete_elem(map, &key)) {
		metrics->flows_closed++;
		quota_give(key.endpoint);
		chunks_give(held, &key);
	}
	return 0;
}

/* The flow's own timer: no user space is needed to forget it. */
static int flow_timer(void *map, struct bpfast_flow_key *key, struct bpfast_flow *flow)
{
	__u64 left = flow_expire(map, key, flow, 0);

	if (left)
		bpf_timer_start(&flow->timer, left, 0);
	return 0;
}

/*
 * The sweep: looks at the whole table. That takes milliseconds, so it runs only
 * for flows without a timer of their own (a burst of new flows can outrun the
 * kernel's allocator of timers; seen on 6.18), and when the table is full.
 */
/* What is acknowledged goes back to the pool; and, where that is not enough, what is stuck. */
static __always_inline void chunks_make_room(struct bpfast_flow *flow,
					     const struct bpfast_flow_key *key)
{
	__u32 zero = 0;
	struct bpfast_control *control = bpf_map_lookup_elem(&bpfast_control, &zero);
	struct bpfast_metrics *metrics = bpf_map_lookup_elem(&bpfast_metrics, &zero);

	chunks_reclaim(flow, key);
	if (control && metrics && chunks_pressed(key, control->retain_share))
		chunks_evict(flow, key, metrics);
}

struct sweeping {
	__u32 full; /* there was no room in the table */
	__u32 left; /* there are flows without a timer still */
};

static long sweep_flow(void *map, struct bpfast_flow_key *key, struct bpfast_flow *flow,
		       struct sweeping *now)
{
	if (!flow_expire(map, key, flow, now->full))
		return 0;
	if (flow->held)
		chunks_make_room(flow, key);
	if (flow->flags & BPFAST_FF_NO_TIMER)
		now->left = 1;
	return 0;
}

static int sweep(void *map, __u32 *key, struct bpfast_sweep *s)
{
	struct sweeping now = {.full = s->full};
	__u64 begin = bpf_ktime_get_ns();

	s->due = 0;
	s->full = 0;
	bpf_for_each_map_elem(&bpfast_flow, sweep_flow, &now, 0);
	s->took_ns = bpf_ktime_get_ns() - begin;
	if (now.left && !__sync_val_compare_and_swap(&s->due, 0, 1))
		bpf_timer_start(&s->timer, SWEEP_NS, 0);
	return 0;
}

/* The sweep's timer is made with the first flow: when a burst comes it is there. */
static __always_inline struct bpfast_sweep *sweep_ready(void)
{
	__u32 zero = 0;
	struct bpfast_sweep *s = bpf_map_lookup_elem(&bpfast_sweep, &zero);

	if (!s || s->ready)
		return s;
	if (__sync_val_compare_and_swap(&s->ready, 0, 1))
		return s;
	if (bpf_timer_init(&s->timer, &bpfast_sweep, 1 /* CLOCK_MONOTONIC */) ||
	    bpf_timer_set_callback(&s->timer, sweep)) {
		s->ready = 0; /* the next flow tries again */
		return 0;
	}
	return s;
}

/* Lets a sweep come: some time later, or at once where there is no room. */
static __always_inline int sweep_soon(struct bpfast_sweep *s, int now)
{
	__u64 time = bpf_ktime_get_coarse_ns();

	if (!s)
		return 0; /* no memory for it now: the next flow asks again */
	if (now) {
		/* Whoever floods may not choose how much time goes into it. */
		if (time - s->hurried_ns < SWEEP_NS / 4 || time - s->hurried_ns < 32 * s->took_ns)
			return 0;
		s->hurried_ns = time;
		return (int)bpf_timer_start(&s->timer, 0, 0);
	}
	if (__sync_val_compare_and_swap(&s->due, 0, 1))
		return 0;
	if (!bpf_timer_start(&s->timer, SWEEP_NS, 0))
		return 0;
	s->due = 0; /* or nobody would ever start it */
	return -1;
}

/* Marks a flow that ends: its patience becomes shorter, and its timer looks again when that is over. */
static __noinline int flow_mark(struct hook *h, struct bpfast_flow *flow, __u32 flags)
{
	if ((flow->flags & flags) == flags)
		return 0;
	__sync_fetch_and_or(&flow->flags, flags);
	return (int)bpf_timer_start(&flow->timer,
				    flow_patience(h->control, &h->scratch->key, flow, 0), 0);
}

static __always_inline void flow_delete(struct hook *h, struct bpfast_flow *flow)
{
	__u32 held = flow->held;

	if (!bpf_map_delete_elem(&bpfast_flow, &h->scratch->key)) {
		h->metrics->flows_closed++;
		quota_give(h->scratch->key.endpoint);
		chunks_give(held, &h->scratch->key);
	}
}

/* Puts a decision into a flow. */
static __always_inline void flow_apply(struct hook *h, struct bpfast_flow *flow,
				       const struct decision *d)
{
	const __u32 mask = BPFAST_FF_HTTP | BPFAST_FF_AUDIT;
	__u32 flags = 0;

	if (d->verdict == BPFAST_D_HTTP && h->scratch->key.protocol == PROTO_TCP)
		flags |= BPFAST_FF_HTTP;
	if (d->flags & BPFAST_DF_AUDIT)
		flags |= BPFAST_FF_AUDIT;
	/* The other direction may be setting other flags at this moment. */
	__sync_fetch_and_and(&flow->flags, ~mask | flags);
	__sync_fetch_and_or(&flow->flags, flags);
	flow->remote_identity = d->remote_identity;
	flow->ref = d->ref;
	flow->ruleset = d->ruleset;
	flow->on_deny = d->on_deny;
	flow->generation = h->generation;
}

/* Makes the flow in scratch->key. NULL: there is no room, and h->full says where. */
static __noinline struct bpfast_flow *flow_make(struct hook *h, __u32 flags,
						const struct decision *d)
{
	struct scratch *s = h->scratch;
	struct bpfast_flow *flow = (struct bpfast_flow *)s->fresh;
	struct bpfast_sweep *table = sweep_ready();

	h->full = BPFAST_R_ENDPOINT_FLOWS;
	if (quota_take(s->key.endpoint, h->control->flows_share))
		goto refused;
	__builtin_memset(flow, 0, sizeof(*flow));
	flow->flags = flags;
	flow->seen_ns = bpf_ktime_get_coarse_ns();
	flow_apply(h, flow, d);
	if (!bpf_map_update_elem(&bpfast_flow, &s->key, flow, BPF_NOEXIST)) {
		h->metrics->flows_created++;
		flow = bpf_map_lookup_elem(&bpfast_flow, &s->key);
		if (!flow)
			return 0;
		if (bpf_timer_init(&flow->timer, &bpfast_flow, 1 /* CLOCK_MONOTONIC */) ||
		    bpf_timer_set_callback(&flow->timer, flow_timer) ||
		    bpf_timer_start(&flow->timer, flow_patience(h->control, &s->key, flow, 0), 0)) {
			flow->flags |= BPFAST_FF_NO_TIMER;
			if (sweep_soon(table, 0))
				h->metrics->helper_errors++;
		}
		return flow;
	}
	quota_give(s->key.endpoint);
	h->full = BPFAST_R_FLOW_TABLE_FULL;
refused:
	/* Another CPU made it at this moment, or there is no room. */
	flow = bpf_map_lookup_elem(&bpfast_flow, &s->key);
	if (flow)
		return flow;
	if (table && h->full == BPFAST_R_FLOW_TABLE_FULL)
		table->full = 1;
	sweep_soon(table, 1);
	return 0;
}

#endif
