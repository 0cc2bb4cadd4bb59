/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_CLIENT_H
#define BPFAST_STREAM_CLIENT_H
/*
 * The initiator's segments: requests. Bytes are judged in stream order, each
 * once, and leave only when they were judged, or are kept ahead of a gap. See
 * docs/design/streams.md.
 */
#include "stream/requests.h"

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
				       struct bpfast_flow *flow, __u32 off, __u32 reason)
{
	__u32 len = h->scratch->pkt.payload_len, begin = h->scratch->walk.message, keep = 0, full;
	__u64 slack = stream_slack(&flow->client);
	__u32 lead = slack < len - off ? off + (__u32)slack : len; /* body is not kept */
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
	__u32 len = pkt->payload_len, reason;

	reason = requests_judge(skb, h, flow, off, len);
	if (reason) {
		if (!(flow->flags & BPFAST_FF_AUDIT))
			return client_deny(skb, h, flow, off, reason);
		count_audit(h, flow, reason);
		/* The rest of the head cannot be followed; what comes is forwarded unread. */
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_OPAQUE);
		return forward(h);
	}
	/* The stream ends at a FIN: what is kept behind one was never sent by a TCP. */
	if (pkt->tcp_flags & TCP_FIN && w->end != len)
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
	/* All of it was judged before, unless the stream ends here, inside a head. */
	if (off > len || (off == len && !(pkt->tcp_flags & TCP_FIN && walk_in_head(st->state)))) {
		/* Before what was sent already no TCP ends its stream. */
		if (pkt->tcp_flags & TCP_FIN && off > len)
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
