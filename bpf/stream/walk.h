/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_WALK_H
#define BPFAST_STREAM_WALK_H
/*
 * Walking the payload of a segment: brings bytes into the window when a step
 * needs them, and writes the record when a step has judged a message.
 */
#include "stage/verdict.h"
#include "stage/memory.h"
#include "proto/http1_request.h"
#include "proto/http1_response.h"

/* Steps in one packet: every step reads a byte or moves between states, two at most without a byte. */
#define WALK_STEPS (1 << 19)

/* Bytes that are enough for the end of a chunk, the next one's size, and a short trailer. */
#define CHUNK_WINDOW 64

struct walk_context {
	struct __sk_buff *skb;
	struct hook *hook;
	struct bpfast_flow *flow;
	__u32 reason; /* why what was read cannot be kept */
	__u32 end; /* of the payload: what lies behind is kept from packets before */
};

/* States that do not look at bytes. */
static __always_inline int walk_blind(__u32 state)
{
	return state == H1_BODY || state == H1_CHUNK_DATA || state >= H1_UNTIL_CLOSE;
}

/* Inside a head, whose sets and tables the next byte needs. Trailers ask for the tables too. */
static __always_inline int walk_in_head(__u32 state)
{
	return state > H1_START && state <= H1_END_LF;
}

/* Before the window goes: a request line that is under way is kept for its record. */
static __always_inline void walk_keep_text(struct http_walk *w)
{
	if (w->st.state >= H1_METHOD && w->st.state <= H1_TARGET &&
	    (w->pos != w->text_pos || w->reason))
		request_text_keep(w);
}

/* Makes the byte at pos readable. Returns 0, or -1 where the packet does not have it. */
static __always_inline int walk_load(struct __sk_buff *skb, struct hook *h, struct http_walk *w)
{
	__u32 off = h->scratch->pkt.payload_off + w->pos, n = w->end - w->pos;

	if (w->pos - w->window_off < w->window_len)
		return 0;
	walk_keep_text(w);
	if (n > HTTP_WINDOW)
		n = HTTP_WINDOW;
	/* Between two chunks there are only a few bytes to read. */
	if (w->st.state >= H1_CHUNK_SIZE && n > CHUNK_WINDOW)
		n = CHUNK_WINDOW;
	if (memory_own(skb, h->scratch, off + n) ||
	    bpf_skb_load_bytes(skb, off, w->window, size_within(n, HTTP_WINDOW))) {
		h->metrics->helper_errors++;
		return -1;
	}
	w->window_off = w->pos;
	w->window_len = n;
	return 0;
}

static __noinline int record_message(struct hook *h, struct bpfast_flow *flow, __u32 type,
				     __u64 latency)
{
	struct http_walk *w = &h->scratch->walk;
	struct record r = {
		.type = (__u8)type,
		.verdict = BPFAST_V_FORWARDED,
		.reason = (__u8)(w->reason ? w->reason : w->audited),
		.ref = w->rule_ref,
		.generation = w->st.generation,
		.remote_identity = flow->remote_identity,
		.text_len = w->text_len,
		.latency_ns = latency,
	};

	if (r.reason)
		r.verdict = flow->flags & BPFAST_FF_AUDIT ? BPFAST_V_AUDIT : BPFAST_V_DROPPED;
	if (flow->flags & BPFAST_FF_EGRESS)
		r.flags |= BPFAST_EF_EGRESS;
	if (type == BPFAST_EV_HTTP_RESPONSE) {
		r.verdict = BPFAST_V_FORWARDED;
		r.reason = BPFAST_R_NONE;
		r.flags |= BPFAST_EF_REPLY;
		r.status = w->status;
		r.ref = 0;
	}
	return record(h, &r);
}

static __always_inline __u32 latency_bucket(__u64 ns)
{
	__u32 b = 0;

	ns >>= BPFAST_LATENCY_FIRST_LOG2;
	for (int i = 0; i < BPFAST_LATENCY_BUCKETS - 1; i++) {
		if (!ns)
			break;
		ns >>= 1;
		b++;
	}
	return b;
}

/* A response is complete: its status and how long its request waited for its head. */
static __noinline int response_done(struct hook *h, struct bpfast_flow *flow)
{
	struct http_walk *w = &h->scratch->walk;
	__u32 class = w->status / 100 & 7, b;
	__u64 latency = 0;

	h->metrics->http_responses[class]++;
	/* Only the last request's time and text are kept: with more in flight nothing is known. */
	w->text_len = 0;
	if (flow->requests == w->responses) {
		latency = packet_time(h->scratch) - flow->request_ns;
		b = latency_bucket(latency);
		if (b < BPFAST_LATENCY_BUCKETS)
			h->metrics->http_latency[b]++;
		h->metrics->http_latency_sum_ns += latency;
		__builtin_memcpy(w->text, flow->text, sizeof(flow->text));
		w->text_len = flow->text_len;
	}
	return record_message(h, flow, BPFAST_EV_HTTP_RESPONSE, latency);
}

static long response_walk_step(__u32 i, struct walk_context *c)
{
	struct hook *h = c->hook;
	struct http_walk *w = &h->scratch->walk;

	if (w->pos >= w->end)
		return 1;
	if (!walk_blind(w->st.state) && walk_load(c->skb, h, w)) {
		w->st.state = H1_UNKNOWN;
		return 1;
	}
	response_step(w);
	if (w->event == HE_MESSAGE)
		response_done(h, c->flow);
	return 0;
}

#endif
