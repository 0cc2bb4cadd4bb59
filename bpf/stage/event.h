/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_EVENT_H
#define BPFAST_STAGE_EVENT_H
/*
 * Records and counters. Nobody is woken for a record: the agent reads the ring
 * when somebody looks, and at a steady beat otherwise. While nobody observes,
 * records are limited per second and CPU, and what is left out is counted.
 */
#include "maps.h"

#define RECORD_WINDOW_NS 1000000000ull

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
};

static __always_inline int record_wanted(struct hook *h, __u64 now)
{
	struct scratch *s = h->scratch;

	if (h->control->observed)
		return 1;
	if (now - s->record_window_ns >= RECORD_WINDOW_NS) {
		s->record_window_ns = now;
		s->record_window_count = 0;
	}
	if (s->record_window_count >= h->control->records_per_second) {
		h->metrics->records_limited++;
		return 0;
	}
	s->record_window_count++;
	return 1;
}

static __noinline int record_write(struct hook *h, const struct record *r)
{
	struct scratch *s = h->scratch;
	struct packet *pkt = &s->pkt;
	struct bpfast_event *ev;
	__u64 now = bpf_ktime_get_ns();
	__u32 n;

	if (!record_wanted(h, now))
		return 0;
	ev = bpf_ringbuf_reserve(&bpfast_events, sizeof(*ev), 0);
	if (!ev) {
		h->metrics->records_lost++;
		return 0;
	}
	ev->time_ns = now;
	ev->latency_ns = r->latency_ns;
	ev->generation = r->generation;
	ev->ref = r->ref;
	ev->local_identity = 0;
	ev->remote_identity = r->remote_identity;
	ev->length = pkt->ip_len;
	ev->endpoint = h->endpoint ? h->endpoint->slot : 0;
	ev->type = r->type;
	ev->verdict = r->verdict;
	ev->reason = r->reason;
	ev->flags = r->flags | (h->from_host ? BPFAST_EF_FROM_HOST : 0);
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
	if (n > sizeof(s->walk.text)) {
		n = sizeof(s->walk.text);
		ev->flags |= BPFAST_EF_TEXT_CUT;
	}
	ev->text_len = (__u16)n;
	__builtin_memset(ev->text, 0, sizeof(ev->text));
	if (n)
		__builtin_memcpy(ev->text, s->walk.text, sizeof(s->walk.text));
	bpf_ringbuf_submit(ev, BPF_RB_NO_WAKEUP);
	h->metrics->records_written++;
	return 0;
}

#endif
