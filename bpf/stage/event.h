/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_EVENT_H
#define BPFAST_STAGE_EVENT_H
/*
 * Records and counters. Nobody is woken for a record: the agent reads the ring
 * when somebody looks, and at a steady beat otherwise. While nobody observes,
 * records are limited per second and CPU, and what is left out is counted.
 */
#include "maps.h"
#include "match/lookup.h"

#define RECORD_WINDOW_NS 1000000000ull

/* One more in a table by reason. */
static __always_inline void count_reason(__u64 *table, __u32 reason)
{
	/* Or two comparisons become one of another register, which 6.1 does not follow. */
	__asm__ volatile("" : "+r"(reason));
	if (reason < BPFAST_R_COUNT)
		table[reason]++;
}

struct record {
	__u8 type; /* enum bpfast_event_type */
	__u8 verdict;
	__u8 reason;
	__u8 flags; /* enum bpfast_event_flags, less those that follow from the hook */
	__u32 ref;
	__u32 generation; /* of ref */
	__u32 remote_identity;
	__u64 latency_ns;
	__u32 status;
	__u32 text_len; /* of scratch->walk.text */
	__u32 slot; /* of the endpoint */
	__u32 image; /* arena offset: where the endpoint's identity stands */
};

/* The clock costs as much as a look-up: it is read once a packet, when somebody asks. */
static __always_inline __u64 packet_time(struct scratch *s)
{
	if (!s->now)
		s->now = bpf_ktime_get_ns();
	return s->now;
}

static __always_inline int record_wanted(struct scratch *s, const struct bpfast_control *control,
					 struct bpfast_metrics *metrics, __u64 now)
{
	if (control->observed)
		return 1;
	if (now - s->record_window_ns >= RECORD_WINDOW_NS) {
		s->record_window_ns = now;
		s->record_window_count = 0;
	}
	if (s->record_window_count >= control->records_per_second) {
		metrics->records_limited++;
		return 0;
	}
	s->record_window_count++;
	return 1;
}

ARENA_GLOBAL int record_write(struct scratch *s, const struct record *r)
{
	__u32 zero = 0, n;
	struct bpfast_metrics *metrics = bpf_map_lookup_elem(&bpfast_metrics, &zero);
	struct bpfast_control *control = bpf_map_lookup_elem(&bpfast_control, &zero);
	struct bpfast_event *ev;
	struct packet *pkt;
	__u64 now;

	if (!s || !r || !metrics || !control)
		return 0;
	pkt = &s->pkt;
	now = packet_time(s);
	if (!record_wanted(s, control, metrics, now))
		return 0;
	ev = bpf_ringbuf_reserve(&bpfast_events, sizeof(*ev), 0);
	if (!ev) {
		metrics->records_lost++;
		return 0;
	}
	ev->time_ns = now;
	ev->latency_ns = r->latency_ns;
	ev->generation = r->generation;
	ev->ref = r->ref;
	ev->local_identity = r->image ? arena_u32(lookup_endpoint(r->image, r->slot)) : 0;
	ev->remote_identity = r->remote_identity;
	ev->length = pkt->ip_len;
	ev->endpoint = (__u16)r->slot;
	ev->type = r->type;
	ev->verdict = r->verdict;
	ev->reason = r->reason;
	ev->flags = r->flags;
	ev->protocol = pkt->protocol;
	ev->ip_version = pkt->ip_version;
	__builtin_memcpy(ev->source, pkt->source, 16);
	__builtin_memcpy(ev->destination, pkt->destination, 16);
	ev->source_port = bpf_ntohs(pkt->source_port);
	ev->destination_port = bpf_ntohs(pkt->destination_port);
	ev->status = (__u16)r->status;
	ev->tcp_flags = pkt->tcp_flags;
	ev->icmp_type = pkt->icmp_type;
	ev->icmp_code = pkt->icmp_code;
	ev->http_minor = s->walk.st.bits & HB_HTTP10 ? 0 : 1;
	__builtin_memset(ev->pad, 0, sizeof(ev->pad));
	n = r->text_len;
	if (n > BPFAST_FLOW_TEXT) {
		n = BPFAST_FLOW_TEXT;
		ev->flags |= BPFAST_EF_TEXT_CUT;
	}
	ev->text_len = (__u16)n;
	__builtin_memset(ev->text, 0, sizeof(ev->text));
	/* What lies behind the text in the scratch is of somebody else's request. */
	for (__u32 i = 0; i < BPFAST_FLOW_TEXT; i++) {
		if (i >= n)
			break;
		ev->text[i] = s->walk.text[i];
	}
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
	metrics->records_written++;
	return 0;
}

/* Writes a record of the packet in hand. */
static __always_inline int record(struct hook *h, struct record *r)
{
	r->slot = h->endpoint ? h->endpoint->slot : 0;
	r->image = h->endpoint ? h->image : 0;
	if (h->from_host)
		r->flags |= BPFAST_EF_FROM_HOST;
	return record_write(h->scratch, r);
}

#endif
