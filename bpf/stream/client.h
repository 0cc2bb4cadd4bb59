/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_CLIENT_H
#define BPFAST_STREAM_CLIENT_H
/*
 * The initiator's segments: requests. Bytes are judged in stream order, each
 * once, and leave only when they were judged, or are kept ahead of a gap. See
 * docs/design/streams.md.
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
	request_check_line(w);
	return w->reason;
}

/* A segment ahead of a gap that no known body bridges: it may go when its bytes are kept. */
static __always_inline int client_ahead(struct __sk_buff *skb, struct hook *h,
					struct bpfast_flow *flow)
{
	struct packet *pkt = &h->scratch->pkt;
	__u32 reason;

	/* Where a FIN stands in what is not known yet, it might end a head: in mode audit it may.
	 * Behind another SYN it may be of another connection, which the server has not begun yet. */
	if ((pkt->tcp_flags & TCP_FIN && !(flow->flags & BPFAST_FF_AUDIT)) ||
	    flow->server.other_syn)
		return BPFAST_R_TCP_GAP;
	if (pkt->tcp_flags & TCP_FIN)
		flow_mark(h, flow, BPFAST_FF_FIN_FROM_CLIENT);
	if (!pkt->payload_len)
		return BPFAST_R_NONE;
	/* A gap is where nothing is kept. A segment that waits for its answer is kept and did not go:
	 * nothing may pass it. */
	if (chunks_of(flow) && retain_has(h, flow, flow->client.next - pkt->seq))
		return BPFAST_R_TCP_GAP;
	flow_sent(flow);
	reason = retain_compare(skb, h, flow, pkt->payload_len);
	return reason ? reason : retain_add(skb, h, flow, 0, pkt->payload_len);
}

/*
 * A segment that does not go although some of its messages were judged and recorded:
 * what comes in its place may be something else, and is recorded for itself.
 */
static __always_inline int client_refuse(struct hook *h, struct bpfast_flow *flow, __u32 reason)
{
	flow->recorded = flow->requests;
	return refuse(h, flow, reason);
}

/* The packet goes, cut to its first `keep` bytes and to one segment. */
static __always_inline int client_cut(struct __sk_buff *skb, struct hook *h,
				      struct bpfast_flow *flow, __u32 off, __u32 keep)
{
	struct packet *pkt = &h->scratch->pkt;
	__u32 most = skb->gso_size ? skb->gso_size : pkt->payload_len;

	if (most > SEGMENT_CUT_MAX)
		most = SEGMENT_CUT_MAX;
	if (keep > most)
		keep = most;
	if (keep > off && requests_judge(skb, h, flow, off, keep))
		return -1;
	if (segment_cut(skb, h->scratch, keep))
		return -1;
	if (keep > off)
		walk_commit(h, flow, pkt->seq + h->scratch->walk.end);
	return 0;
}

/*
 * A message is refused. Messages before it in the packet go, and what is refused
 * comes again, and is then refused by itself. They were recorded, so all of them is
 * kept, also what is cut off: it must not be said otherwise when it comes again.
 */
static __always_inline int client_deny(struct __sk_buff *skb, struct hook *h,
				       struct bpfast_flow *flow, __u32 off, __u32 lead,
				       __u32 reason)
{
	__u32 len = h->scratch->pkt.payload_len, begin = h->scratch->walk.message, keep = 0, full;
	int action, ahead;

	if (begin > off && lead < len) {
		full = retain_add(skb, h, flow, lead, begin < len ? begin : len);
		if (full)
			return client_refuse(h, flow, full);
	}
	/* Behind a cut the server must not have it already. */
	ahead = begin > off && retain_has(h, flow, begin);
	if (begin > off && begin < len && !ahead) {
		keep = begin;
	} else {
		action = deny(skb, h, flow, reason, ahead);
		if (action != DENY_LATER)
			return action;
		/* What was judged before may fill a gap for which the answer waits. */
		keep = off;
	}
	if (keep && !client_cut(skb, h, flow, off, keep)) {
		/* What is kept behind the cut counts as judged as soon as it joins, but was not sent. */
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_BODY_GAP);
		return forward(h);
	}
	count_drop(h, reason);
	return HOOK_DROP;
}

static long client_keep_step(__u32 i, struct walk_context *c)
{
	struct http_walk *w = &c->hook->scratch->walk;
	struct http_piece *piece = &w->piece[(i + 1) & (HTTP_PIECES - 1)];

	c->reason = retain_add(c->skb, c->hook, c->flow, piece->from, piece->to);
	return !!c->reason;
}

/* Keeps what of the payload was read. Returns RETAIN_FULL where there is no room for it. */
static __noinline __u32 client_keep(struct __sk_buff *skb, struct hook *h, struct bpfast_flow *flow)
{
	struct walk_context c = {.skb = skb, .hook = h, .flow = flow};
	struct http_walk *w = &h->scratch->walk;

	if (!w->pieces)
		return BPFAST_R_NONE;
	/* All or nothing: what is kept of a segment that does not go would hold up all others. */
	if (w->pieces > 1 && !retain_room(h, flow, w->pieces))
		return BPFAST_R_RETAIN_FULL;
	c.reason = retain_add(skb, h, flow, w->piece[0].from, w->piece[0].to);
	if (w->pieces > 1 && !c.reason)
		bpf_loop(w->pieces - 1, client_keep_step, &c, 0);
	return c.reason;
}

/* Judges what a segment brings from payload byte off on, and what it makes whole. */
static __always_inline int client_judge(struct __sk_buff *skb, struct hook *h,
					struct bpfast_flow *flow, __u32 off)
{
	struct packet *pkt = &h->scratch->pkt;
	struct http_walk *w = &h->scratch->walk;
	__u64 slack = stream_slack(&flow->client);
	__u32 len = pkt->payload_len, lead, reason;

	/* Body that goes before all else is not kept. */
	lead = slack < len - off ? off + (__u32)slack : len;
	reason = requests_judge(skb, h, flow, off, len);
	if (reason) {
		if (!(flow->flags & BPFAST_FF_AUDIT))
			return client_deny(skb, h, flow, off, lead, reason);
		count_audit(h, flow, reason);
		/* The rest of the head cannot be followed; what comes is forwarded unread. */
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_OPAQUE);
		return forward(h);
	}
	/* The stream ends at a FIN: what is kept behind one was never sent by a TCP. */
	if (pkt->tcp_flags & TCP_FIN && (walk_in_head(w->st.state) || w->end != len))
		return client_refuse(h, flow, BPFAST_R_HTTP_HEADER);
	reason = client_keep(skb, h, flow);
	if (reason)
		return client_refuse(h, flow, reason);
	walk_commit(h, flow, pkt->seq + w->end);
	if (pkt->tcp_flags & TCP_FIN)
		flow_mark(h, flow, BPFAST_FF_FIN_FROM_CLIENT);
	return forward(h);
}

/* A segment of a stream that this CPU owns. */
static __always_inline int client_segment(struct __sk_buff *skb, struct hook *h,
					  struct bpfast_flow *flow)
{
	struct packet *pkt = &h->scratch->pkt;
	struct bpfast_stream *st = &flow->client;
	__u32 len = pkt->payload_len, off, reason;
	__u64 slack = stream_slack(st);
	__s32 ahead = seq_diff(pkt->seq, st->next);

	/* Farther ahead of what is acknowledged no window is. Else the numbers could go round
	 * while the server is where it was, and its next byte would be body of long ago to us. */
	if (pkt->seq + len - st->first > SEQ_WINDOW_MAX &&
	    pkt->seq + len - *(volatile __u32 *)&flow->server.acked > SEQ_WINDOW_MAX)
		return refuse(h, flow, BPFAST_R_TCP_WINDOW);
	if (ahead == 0 && slack > len) { /* body to its last byte: nothing to read */
		st->body_left -= len;
		stream_advance(st, pkt->seq + len);
		return forward(h);
	}
	reason = memory_check(skb, h->scratch);
	if (reason)
		return refuse(h, flow, reason);
	if (flow->held)
		retain_release(h, flow, len > 0);
	if (chunks_of(flow)) {
		reason = retain_compare(skb, h, flow, len);
		if (reason)
			return refuse(h, flow, reason);
	}
	if (ahead > 0) {
		if ((__u64)ahead > slack || ahead > (__s32)SEQ_WINDOW_MAX) {
			reason = client_ahead(skb, h, flow);
			return reason ? refuse(h, flow, reason) : forward(h);
		}
		if (!len) /* a FIN that is ahead of body bytes */
			return forward(h);
		/* A gap inside a body whose length is known: nobody reads past it before it is filled. */
		st->body_left -= (__u32)ahead;
		stream_advance(st, pkt->seq);
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_BODY_GAP);
		ahead = 0;
	}
	off = (__u32)-ahead;
	if (off >= len) { /* all of it was judged before */
		/* A FIN inside a head: some servers take the end for the empty line. And before
		 * what was sent already no TCP ends its stream. */
		if (pkt->tcp_flags & TCP_FIN && (walk_in_head(st->state) || off > len))
			return refuse(h, flow, BPFAST_R_HTTP_HEADER);
		if (pkt->tcp_flags & TCP_FIN)
			flow_mark(h, flow, BPFAST_FF_FIN_FROM_CLIENT);
		return forward(h);
	}
	return client_judge(skb, h, flow, off);
}

/* No payload and no end of the stream: all that it may do is to let us forget. */
static __always_inline int client_ack(struct hook *h, struct bpfast_flow *flow)
{
	if (flow->held && !stream_try(&flow->client)) {
		retain_release(h, flow, 0);
		stream_release(&flow->client);
	}
	return forward(h);
}

/* Nobody reads this stream any more: nothing needs to be kept. */
static __noinline int client_unread(struct hook *h, struct bpfast_flow *flow)
{
	if (h->scratch->pkt.tcp_flags & TCP_FIN)
		flow_mark(h, flow, BPFAST_FF_FIN_FROM_CLIENT);
	if (flow->held && !stream_own(&flow->client)) {
		chunks_give(flow->held, &h->scratch->key);
		flow->held = 0;
		stream_release(&flow->client);
	}
	return forward(h);
}

/* The initiator's segments: requests. */
static __noinline int stream_client(struct __sk_buff *skb, struct hook *h, struct bpfast_flow *flow)
{
	struct packet *pkt = &h->scratch->pkt;
	struct bpfast_stream *st = &flow->client;
	__u32 len = pkt->payload_len, flags;
	int action;

	if (pkt->tcp_flags & TCP_RST) {
		flow_mark(h, flow, BPFAST_FF_RST);
		return forward(h);
	}
	if (flow->flags & (BPFAST_FF_OPAQUE | BPFAST_FF_TUNNEL))
		return client_unread(h, flow);
	if (!(pkt->tcp_flags & TCP_ACK))
		return refuse(h, flow, BPFAST_R_TCP_FLAGS);
	/* An urgent pointer takes a byte out of what the server reads, whichever packet brings it. */
	if (pkt->tcp_flags & TCP_URG)
		return refuse(h, flow, BPFAST_R_TCP_FLAGS);
	/* A server that keeps no state begins the connection that this acknowledges. (Flows of
	 * programs before these have no BPFAST_FF_SYN.) */
	if ((flow->flags & (BPFAST_FF_SYN | BPFAST_FF_WENT_ON)) == BPFAST_FF_SYN &&
	    pkt->ack != flow->server.first)
		return refuse(h, flow, BPFAST_R_TCP_WINDOW);
	if (!len && !(pkt->tcp_flags & TCP_FIN))
		return client_ack(h, flow);
	if (!(flow->flags & BPFAST_FF_SYN_ACKED))
		return refuse(h, flow, BPFAST_R_TCP_WINDOW);
	if (seq_diff(pkt->seq, st->first) < 0) {
		/* A keep-alive probe repeats the place of the SYN (RFC 9293, section 3.8.4). */
		if (len == 1 && pkt->seq + 1 == st->first && !(pkt->tcp_flags & TCP_FIN))
			return forward(h);
		return refuse(h, flow, BPFAST_R_TCP_WINDOW);
	}
	if (stream_own(st))
		return refuse(h, flow, BPFAST_R_STREAM_BUSY);
	/* A SYN may have come meanwhile, or another CPU has refused what came before. */
	flags = *(volatile __u32 *)&flow->flags;
	if (flags & BPFAST_FF_DENIED)
		action = denied_packet(skb, h, flow, 1);
	else if (flags & BPFAST_FF_SYN_ACKED)
		action = client_segment(skb, h, flow);
	else
		action = refuse(h, flow, BPFAST_R_TCP_WINDOW);
	stream_release(st);
	return action;
}

#endif
