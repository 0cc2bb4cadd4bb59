/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_REQUESTS_H
#define BPFAST_STREAM_REQUESTS_H
/*
 * Walking what a client sends: the stream's state goes into the walk, the payload
 * and what is kept ahead of it are read message by message, and what was found goes
 * back. What becomes of the segment is decided in client.h.
 */
#include "stream/tcp.h"
#include "stream/retain.h"

/* Takes the stream's state into the walk. off: bytes of the payload that were judged before. */
static __always_inline void walk_begin(struct hook *h, struct bpfast_flow *flow, __u32 off,
				       __u32 end)
{
	struct http_walk *w = &h->scratch->walk;

	__builtin_memcpy(&w->st, &flow->client, sizeof(w->st));
	if (walk_in_head(w->st.state)) {
		__builtin_memcpy(w->set, flow->set, sizeof(w->set));
		__builtin_memcpy(w->header_set, flow->header_set, sizeof(w->header_set));
		w->upgrade_set = flow->upgrade_set;
		w->authority = flow->authority;
	}
	w->tunnel = HT_NONE;
	if (w->st.state !=
	    H1_START) /* a body may be refused too, and is recorded with its request */
		__builtin_memcpy(w->text, flow->text, sizeof(flow->text));
	w->text_len = flow->text_len;
	w->text_pos = off;
	w->image = h->image;
	w->generation = h->generation;
	w->ruleset = h->image + IMAGE_FIELD(h->image, ruleset_off) +
		     flow->ruleset * (__u32)sizeof(struct bpfast_image_ruleset);
	w->pos = off;
	w->end = end;
	w->window_off = 0;
	w->window_len = 0;
	w->pieces = 0;
	w->gap = 0;
	w->message = off;
	w->reason = BPFAST_R_NONE;
	w->event = HE_NONE;
	w->rule_ref = flow->ref;
	w->requests = flow->requests;
	w->responses = flow->responses;
	w->head_requests = flow->head_requests;
	w->upgraded = flow->server.state == H1_TUNNEL;
	w->audit = flow->flags & BPFAST_FF_AUDIT;
	w->audited = BPFAST_R_NONE;
}

/* What the last request may become. Only the last: behind it the client goes on with HTTP. */
static __always_inline void flow_tunnel(struct bpfast_flow *flow, __u32 tunnel)
{
	const __u32 asked = BPFAST_FF_UPGRADE | BPFAST_FF_CONNECT;

	if (!tunnel && !(flow->flags & asked))
		return;
	__sync_fetch_and_and(&flow->flags, ~asked);
	if (tunnel)
		__sync_fetch_and_or(&flow->flags, tunnel == HT_CONNECT ? asked : BPFAST_FF_UPGRADE);
}

/* Bytes of the client go to the server. */
static __always_inline void flow_sent(struct bpfast_flow *flow)
{
	if (!(flow->flags & BPFAST_FF_SENT))
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_SENT);
}

/* Stores what the walk found. The next byte to judge is `next`. */
static __always_inline void walk_commit(struct hook *h, struct bpfast_flow *flow, __u32 next)
{
	struct http_walk *w = &h->scratch->walk;
	struct bpfast_stream *st = &flow->client;

	flow_sent(flow);
	w->st.owner = 1;
	w->st.first = st->first;
	stream_advance(&w->st, next);
	__builtin_memcpy(st, &w->st, sizeof(*st));
	if (walk_in_head(w->st.state)) {
		__builtin_memcpy(flow->set, w->set, sizeof(w->set));
		__builtin_memcpy(flow->header_set, w->header_set, sizeof(w->header_set));
		flow->upgrade_set = (__u16)w->upgrade_set;
		flow->authority = (__u16)w->authority;
	}
	if (walk_in_head(w->st.state) || flow->requests != w->requests) {
		__builtin_memcpy(flow->text, w->text, sizeof(flow->text));
		flow->text_len = w->text_len < 0xffff ? (__u16)w->text_len : 0xffff;
	}
	if (w->gap)
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_BODY_GAP);
	flow->head_requests = w->head_requests;
	if (flow->requests != w->requests) {
		flow->request_ns = packet_time(h->scratch);
		flow->requests = w->requests;
		flow_tunnel(flow, w->tunnel);
	}
}

/*
 * At the end of the payload: goes on with what is kept ahead of it, a chunk at a
 * time. A gap may lie before it only where all that is missing is body. Returns 0
 * where nothing can be judged any further.
 */
static __noinline int walk_ahead(struct hook *h)
{
	struct http_walk *w = &h->scratch->walk;
	struct retain *r = &h->scratch->retain;
	__u32 link = r->cur, from, to, gap;
	struct bpfast_chunk *chunk;

	if (!link)
		return 0;
	chunk = retain_here(r);
	if (!chunk) {
		w->reason = r->reason;
		return 0;
	}
	/* Places are counted from the payload's first byte, also those before it. */
	from = chunk->seq - r->base;
	to = from + chunk->len;
	r->cur = chunk->next;
	if (seq_diff(to, w->end) <= 0)
		return 1;
	gap = from - w->end;
	if ((__s32)gap > 0) {
		if (stream_slack(&w->st) < gap)
			return 0;
		w->st.body_left -= gap;
		w->pos = from;
		w->gap = 1;
	}
	walk_keep_text(w);
	chunk_show(w, link);
	w->window_off = from;
	w->window_len = chunk->len;
	w->end = to;
	return 1;
}

/* Notes that the payload was read from..w->pos: no body, so it has to be kept. */
static __always_inline void walk_piece(struct http_walk *w, __u32 from)
{
	__u32 n = w->pieces, last = (n - 1) & (HTTP_PIECES - 1);

	if (n && (n >= HTTP_PIECES || from - w->piece[last].to < BPFAST_CHUNK_BYTES)) {
		w->piece[last].to = w->pos;
		return;
	}
	w->piece[n & (HTTP_PIECES - 1)].from = from;
	w->piece[n & (HTTP_PIECES - 1)].to = w->pos;
	w->pieces = n + 1;
}

static long request_walk_step(__u32 i, struct walk_context *c)
{
	struct hook *h = c->hook;
	struct http_walk *w = &h->scratch->walk;
	__u32 from = w->pos;

	if (w->pos == w->end)
		return !walk_ahead(h);
	if (walk_blind(w->st.state)) {
		request_step(w);
	} else {
		if (walk_load(c->skb, h, w)) {
			w->reason = BPFAST_R_INTERNAL;
			return 1;
		}
		request_step(w);
		if (w->pos <= c->end)
			walk_piece(w, from);
	}
	if (w->reason)
		return 1;
	/* A packet that is cut or sent again is walked twice: each request is recorded once. */
	if (w->event == HE_HEAD && (__s32)(w->requests - c->flow->recorded) > 0) {
		__u32 audited = w->audited;

		c->flow->recorded = w->requests;
		h->metrics->http_requests[audited ? BPFAST_V_AUDIT : BPFAST_V_FORWARDED]++;
		if (audited)
			count_reason(h->metrics->audited, audited);
		record_message(h, c->flow, BPFAST_EV_HTTP_REQUEST, 0);
	}
	return 0;
}

/*
 * Judges payload bytes off..end and what is kept behind them: the server may have it. Returns
 * the reason of a refusal, or NONE.
 */
static __noinline __u32 requests_judge(struct __sk_buff *skb, struct hook *h,
				       struct bpfast_flow *flow, __u32 off, __u32 end)
{
	struct walk_context c = {.skb = skb, .hook = h, .flow = flow, .end = end};
	const struct packet *pkt = &h->scratch->pkt;
	struct http_walk *w = &h->scratch->walk;

	walk_begin(h, flow, off, end);
	/* A head half judged by tables that are no longer there cannot be judged to its end. */
	if (walk_in_head(w->st.state) &&
	    seq_diff(w->st.generation, h->control->oldest_generation) < 0) {
		w->reason = BPFAST_R_STALE_TABLES;
		return w->reason;
	}
	h->scratch->retain.cur = 0;
	if (chunks_of(flow)) {
		struct retain *r = retain_of(h, flow, off, end);

		if (retain_all_before(r, r->end))
			r->cur = 0;
	}
	bpf_loop(WALK_STEPS, request_walk_step, &c, 0);
	if (!w->reason && w->pos != w->end)
		w->reason = BPFAST_R_INTERNAL;
	walk_keep_text(w);
	/* A FIN inside a head: some servers take the end for the empty line, others wait for it. */
	if (pkt->tcp_flags & TCP_FIN && end == pkt->payload_len && w->end == end &&
	    walk_in_head(w->st.state) && !w->reason)
		w->reason = BPFAST_R_HTTP_HEADER;
	request_check_line(w);
	return w->reason;
}

#endif
