/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_SERVER_H
#define BPFAST_STREAM_SERVER_H
/* The responder's segments: responses, followed for their status and their end. */
#include "stream/tcp.h"

static __always_inline void response_walk_begin(struct hook *h, struct bpfast_flow *flow, __u32 off)
{
	struct http_walk *w = &h->scratch->walk;

	__builtin_memcpy(&w->st, &flow->server, sizeof(w->st));
	w->image = h->image;
	w->generation = h->generation;
	w->ruleset = 0;
	w->pos = off;
	w->end = h->scratch->pkt.payload_len;
	w->window_off = 0;
	w->window_len = 0;
	w->reason = BPFAST_R_NONE;
	w->event = HE_NONE;
	w->rule_ref = 0;
	w->responses = flow->responses;
	w->head_requests = flow->head_requests;
	w->connect = flow->flags & BPFAST_FF_CONNECT && flow->requests == flow->responses + 1;
	w->status = flow->server.dfa[1];
	w->text_len = 0;
}

/* The server's side was seen up to here. */
static __always_inline void stream_reach(struct bpfast_stream *st, __u32 end)
{
	if (seq_diff(end, st->next) > 0)
		st->next = end;
}

/* The responder's segments: responses. Never dropped for what they say. */
static __noinline int stream_server(struct __sk_buff *skb, struct hook *h, struct bpfast_flow *flow)
{
	struct walk_context c = {.skb = skb, .hook = h, .flow = flow};
	struct packet *pkt = &h->scratch->pkt;
	struct http_walk *w = &h->scratch->walk;
	struct bpfast_stream *st = &flow->server;
	__u32 len = pkt->payload_len, end = pkt->seq + len + !!(pkt->tcp_flags & TCP_FIN), off;
	__s32 ahead;

	if (pkt->tcp_flags & TCP_RST) {
		flow_mark(h, flow, BPFAST_FF_RST);
		return forward(h);
	}
	if (pkt->tcp_flags & TCP_ACK && seq_diff(pkt->ack, st->acked) > 0)
		st->acked = pkt->ack;
	if (!len && !(pkt->tcp_flags & TCP_FIN))
		return forward(h);
	if (pkt->tcp_flags & TCP_FIN)
		flow_mark(h, flow, BPFAST_FF_FIN_FROM_SERVER);
	if (!len || st->state >= H1_TUNNEL) {
		stream_reach(st, end);
		return forward(h);
	}
	if (stream_own(st))
		return refuse(h, flow, BPFAST_R_STREAM_BUSY);
	ahead = seq_diff(pkt->seq, st->next);
	if (ahead > 0) {
		if (st->state == H1_UNTIL_CLOSE) {
			ahead = 0;
		} else if ((__u64)ahead <= stream_slack(st)) {
			st->body_left -= (__u32)ahead;
			ahead = 0;
		} else {
			/* Bytes are missing: no status, no upgrade, no pairing can be read any more. */
			st->state = H1_UNKNOWN;
			stream_reach(st, end);
			stream_release(st);
			return forward(h);
		}
	}
	off = (__u32)-ahead;
	if (off < len && (st->state == H1_UNTIL_CLOSE || stream_slack(st) > len - off)) {
		if (st->state != H1_UNTIL_CLOSE)
			st->body_left -= len - off;
		stream_reach(st, end);
	} else if (off < len) {
		response_walk_begin(h, flow, off);
		h->scratch->shared =
			0; /* nothing is concluded from it that a server could gain by */
		if (walk_in_head(w->st.state) &&
		    seq_diff(w->st.generation, h->control->oldest_generation) < 0)
			w->st.state = H1_UNKNOWN;
		else
			bpf_loop(WALK_STEPS, response_walk_step, &c, 0);
		w->st.owner = 1;
		w->st.next = end;
		w->st.acked = st->acked;
		w->st.other_syn = st->other_syn; /* the client's side writes it */
		__builtin_memcpy(st, &w->st, sizeof(*st));
		/* It agreed to the very request that a rule lets become a tunnel. */
		if (w->st.state == H1_TUNNEL && flow->flags & BPFAST_FF_UPGRADE &&
		    w->responses == flow->requests && w->responses != flow->responses)
			__sync_fetch_and_or(&flow->flags, BPFAST_FF_TUNNEL);
		flow->responses = w->responses;
	} else {
		stream_reach(st, end);
	}
	stream_release(st);
	return forward(h);
}

#endif
