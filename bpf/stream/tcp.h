/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_TCP_H
#define BPFAST_STREAM_TCP_H
/*
 * Inspected TCP connections: bytes are judged in stream order, each once, and
 * leave only when they were judged. See docs/design/streams.md.
 */
#include "stream/deny.h"
#include "stream/walk.h"

/* Tries to become the only CPU on a stream. */
#define OWN_TRIES 64

static __always_inline int stream_own(struct bpfast_stream *st)
{
	for (int i = 0; i < OWN_TRIES; i++) {
		if (!__sync_val_compare_and_swap(&st->owner, 0, 1))
			return 0;
	}
	return -1;
}

static __always_inline void stream_release(struct bpfast_stream *st)
{
	__sync_lock_test_and_set(&st->owner, 0);
}

/* Distance from a to b in sequence space (RFC 9293, section 3.4). */
static __always_inline __s32 seq_diff(__u32 b, __u32 a)
{
	return (__s32)(b - a);
}

/* The widest window (RFC 7323, section 2.3): no sender may be farther ahead, or far behind. */
#define SEQ_WINDOW_MAX (1u << 30)

/* All before `next` was judged. Sequence numbers wrap: the lower bound follows at a distance. */
static __always_inline void stream_advance(struct bpfast_stream *st, __u32 next)
{
	st->next = next;
	if (next - st->first > SEQ_WINDOW_MAX)
		st->first = next - SEQ_WINDOW_MAX;
}

/* The body or chunk that is under way: how many bytes ahead may come in any order. */
static __always_inline __u64 stream_slack(const struct bpfast_stream *st)
{
	return st->state == H1_BODY || st->state == H1_CHUNK_DATA ? st->body_left : 0;
}

/* --- options of SYN and SYN-ACK --------------------------------------------- */

#define TCPOPT_MPTCP 30

/* Options being read, one byte after the other. In memory, so that the verifier
 * forgets what it knows of a length: else it would follow every one of them. */
struct options {
	__u8 before[40];
	__u8 after[40];
	__u32 size;
	__u32 left; /* bytes of the option under way */
	__u32 at; /* its bytes so far */
	__u32 kind;
	__u32 found; /* MP_CAPABLE */
	__u32 reason;
};

/* Fills after[]: MP_CAPABLE becomes NOPs. */
ARENA_GLOBAL int options_neutralise(struct options *o)
{
	if (!o)
		return 0;
	for (int i = 0; i < 40 && !o->reason; i++) {
		__u8 byte = o->before[i];

		o->after[i] = byte;
		if ((__u32)i >= o->size)
			continue;
		if (!o->left) {
			o->at = 0;
			o->kind = byte;
			if (byte == 0)
				o->size = 0; /* end of list */
			else if (byte != 1)
				o->left = 2;
		} else if (o->at == 1) {
			o->left = byte;
			if (byte < 2)
				o->reason = BPFAST_R_MALFORMED;
			o->left--;
		} else if (o->at == 2 && o->kind == TCPOPT_MPTCP) {
			if (byte >> 4 == 1)
				o->reason = BPFAST_R_TCP_MPTCP;
		}
		if (o->left) {
			if (o->kind == TCPOPT_MPTCP) {
				o->after[i] = 1;
				o->found = 1;
			}
			o->left--;
			o->at++;
		}
	}
	if (o->left && !o->reason)
		o->reason = BPFAST_R_MALFORMED;
	return 0;
}

/*
 * Multipath TCP would let the sender reorder bytes beneath us (RFC 8684):
 * MP_CAPABLE becomes NOPs, so that both ends go on with plain TCP.
 * Returns a reason; MP_JOIN is refused.
 */
static __noinline __u32 mptcp_neutralise(struct __sk_buff *skb, struct hook *h)
{
	struct scratch *s = h->scratch;
	__u32 l4 = s->pkt.l4_off, size;
	struct options *o = (struct options *)s->segment;
	__s64 diff;

	if (headers_copy(skb, s))
		return BPFAST_R_INTERNAL;
	size = (*at(s, l4 + 12) >> 4) * 4 - 20;
	if (!size)
		return BPFAST_R_NONE;
	if (size > 40 || l4 + 60 > HEADER_BYTES)
		return BPFAST_R_MALFORMED;
	__builtin_memset(o, 0, sizeof(*o));
	__builtin_memcpy(o->before, at(s, l4 + 20), 40);
	for (int i = 0; i < 10; i++) { /* what lies behind the options is not theirs */
		if ((__u32)i * 4 >= size)
			__builtin_memset(o->before + i * 4, 0, 4);
	}
	o->size = size;
	options_neutralise(o);
	if (o->reason || !o->found)
		return o->reason;
	diff = bpf_csum_diff((__be32 *)o->before, 40, (__be32 *)o->after, 40, 0);
	if (diff < 0 || size < 4 ||
	    bpf_skb_store_bytes(skb, l4 + 20, o->after, size_within(size, 64), 0) ||
	    bpf_l4_csum_replace(skb, l4 + 16, 0, (__u32)diff, 0))
		return BPFAST_R_INTERNAL;
	return BPFAST_R_NONE;
}

/* --- handshake ----------------------------------------------------------------- */

/* A SYN of the flow's initiator: the stream begins behind it. */
static __always_inline void stream_begin(struct bpfast_flow *flow, __u32 seq)
{
	/* All but the owner words: the caller has both. */
	__builtin_memset(&flow->client.first, 0, sizeof(flow->client) - 4);
	__builtin_memset(&flow->server.first, 0, sizeof(flow->server) - 4);
	flow->client.first = seq + 1;
	flow->client.next = seq + 1;
	__sync_fetch_and_and(&flow->flags,
			     ~(BPFAST_FF_SYN_ACKED | BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_RST |
			       BPFAST_FF_FIN_FROM_SERVER | BPFAST_FF_DENIED | BPFAST_FF_RESET |
			       BPFAST_FF_ANSWERED | BPFAST_FF_SEEN_REPLY));
	flow->requests = 0;
	flow->responses = 0;
	flow->recorded = 0;
	flow->head_requests = 0;
	flow->text_len = 0;
}

/* The same, while packets of the old connection may be under way on another CPU: they would
 * put its state into the new one. */
static __always_inline int stream_restart(struct bpfast_flow *flow, __u32 seq)
{
	if (stream_own(&flow->client))
		return -1;
	if (stream_own(&flow->server)) {
		stream_release(&flow->client);
		return -1;
	}
	stream_begin(flow, seq);
	stream_release(&flow->server);
	stream_release(&flow->client);
	return 0;
}

static __always_inline __u32 stream_syn(struct __sk_buff *skb, struct hook *h,
					struct bpfast_flow *flow)
{
	const __u32 fins = BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_FIN_FROM_SERVER;
	struct packet *pkt = &h->scratch->pkt;
	int over = flow->flags & (BPFAST_FF_RST | BPFAST_FF_DENIED) || (flow->flags & fins) == fins;

	if (pkt->payload_len)
		return BPFAST_R_TCP_SYN_DATA;
	/* Another SYN on an open connection changes nothing for us: the server answers it with a
	 * challenge (RFC 5961, section 4), or, where it has lost the connection, with a SYN-ACK. No
	 * data is judged before the SYN-ACK that fits. */
	if (flow->flags & BPFAST_FF_SYN_ACKED && !over)
		flow->server.other_syn = pkt->seq + 1;
	else if (stream_restart(flow, pkt->seq))
		return BPFAST_R_STREAM_BUSY;
	return mptcp_neutralise(skb, h);
}

static __always_inline __u32 stream_syn_ack(struct __sk_buff *skb, struct hook *h,
					    struct bpfast_flow *flow)
{
	struct packet *pkt = &h->scratch->pkt;

	if (pkt->payload_len)
		return BPFAST_R_TCP_SYN_DATA;
	if (pkt->ack != flow->client.first) {
		/* A server that holds the old connection never sends this. */
		if (pkt->ack != flow->server.other_syn || !(flow->flags & BPFAST_FF_SYN_ACKED))
			return BPFAST_R_TCP_WINDOW;
		if (stream_restart(flow, pkt->ack - 1))
			return BPFAST_R_STREAM_BUSY;
	}
	if (!(flow->flags & BPFAST_FF_SYN_ACKED)) {
		flow->server.first = pkt->seq + 1;
		flow->server.next = pkt->seq + 1;
		flow->server.highest_ack = pkt->seq + 1;
		flow->server.state = H1_START;
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_SYN_ACKED);
	}
	return mptcp_neutralise(skb, h);
}

/* --- requests ---------------------------------------------------------------- */

/* Takes the stream's state into the walk. off: bytes of the payload that were judged before. */
static __always_inline void walk_begin(struct hook *h, struct bpfast_flow *flow, __u32 off,
				       __u32 end)
{
	struct http_walk *w = &h->scratch->walk;

	__builtin_memcpy(&w->st, &flow->client, sizeof(w->st));
	if (walk_in_head(w->st.state)) {
		__builtin_memcpy(w->set, flow->set, sizeof(w->set));
		__builtin_memcpy(w->header_set, flow->header_set, sizeof(w->header_set));
		__builtin_memcpy(w->text, flow->text, sizeof(flow->text));
	}
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

/* Stores what the walk found. The next byte to judge is `next`. */
static __always_inline void walk_commit(struct hook *h, struct bpfast_flow *flow, __u32 next)
{
	struct http_walk *w = &h->scratch->walk;
	struct bpfast_stream *st = &flow->client;

	w->st.owner = 1;
	w->st.first = st->first;
	stream_advance(&w->st, next);
	__builtin_memcpy(st, &w->st, sizeof(*st));
	if (walk_in_head(w->st.state)) {
		__builtin_memcpy(flow->set, w->set, sizeof(w->set));
		__builtin_memcpy(flow->header_set, w->header_set, sizeof(w->header_set));
	}
	if (walk_in_head(w->st.state) || flow->requests != w->requests) {
		__builtin_memcpy(flow->text, w->text, sizeof(flow->text));
		flow->text_len = w->text_len;
	}
	flow->head_requests = w->head_requests;
	if (flow->requests != w->requests) {
		flow->request_ns = packet_time(h->scratch);
		flow->requests = w->requests;
	}
}

/* Judges payload bytes off..end. Returns the reason of a refusal, or NONE. */
static __noinline __u32 requests_judge(struct __sk_buff *skb, struct hook *h,
				       struct bpfast_flow *flow, __u32 off, __u32 end)
{
	struct walk_context c = {.skb = skb, .hook = h, .flow = flow};
	struct http_walk *w = &h->scratch->walk;

	walk_begin(h, flow, off, end);
	/* A head half judged by tables that are no longer there cannot be judged to its end. */
	if (walk_in_head(w->st.state) &&
	    seq_diff(w->st.generation, h->control->oldest_generation) < 0) {
		w->reason = BPFAST_R_STALE_TABLES;
		return w->reason;
	}
	bpf_loop(WALK_STEPS, request_walk_step, &c, 0);
	if (!w->reason && w->pos < w->end)
		w->reason = BPFAST_R_INTERNAL;
	walk_keep_text(w);
	request_check_line(w);
	return w->reason;
}

/*
 * Data that acknowledges bytes which the server never sent, or fewer than were
 * acknowledged before, may be thrown away by the server, unread (RFC 5961,
 * section 5): then it must not count as judged. flow->server.highest_ack is the
 * client's highest so far.
 */
static __always_inline int ack_is_fresh(struct bpfast_flow *flow, __u32 ack)
{
	struct bpfast_stream *server = &flow->server;

	if (seq_diff(ack, server->next) > 0 || seq_diff(ack, server->highest_ack) < 0)
		return 0;
	server->highest_ack = ack;
	return 1;
}

/* A FIN inside a head: some servers take the end for the empty line, so it may not pass. */
static __always_inline int cuts_head(const struct packet *pkt, __u32 state)
{
	return pkt->tcp_flags & TCP_FIN && walk_in_head(state);
}

/* The initiator's segments: requests. */
static __noinline int stream_client(struct __sk_buff *skb, struct hook *h, struct bpfast_flow *flow)
{
	struct packet *pkt = &h->scratch->pkt;
	struct http_walk *w = &h->scratch->walk;
	struct bpfast_stream *st = &flow->client;
	__u32 audit = flow->flags & BPFAST_FF_AUDIT, len = pkt->payload_len, off, reason, keep;
	__u64 slack;
	__s32 ahead;
	int action;

	if (pkt->tcp_flags & TCP_RST) {
		flow_mark(h, flow, BPFAST_FF_RST);
		return forward(h);
	}
	if (flow->flags & BPFAST_FF_OPAQUE)
		return forward(h);
	if (!(pkt->tcp_flags & TCP_ACK))
		return refuse(h, flow, BPFAST_R_TCP_FLAGS);
	/* An urgent pointer takes a byte out of what the server reads, whichever packet brings it. */
	if (pkt->tcp_flags & TCP_URG)
		return refuse(h, flow, BPFAST_R_TCP_FLAGS);
	if (!len && !(pkt->tcp_flags & TCP_FIN))
		return forward(h);
	if (!(flow->flags & BPFAST_FF_SYN_ACKED))
		return refuse(h, flow, BPFAST_R_TCP_WINDOW);
	if (!ack_is_fresh(flow, pkt->ack))
		return refuse(h, flow, BPFAST_R_TCP_WINDOW);
	if (seq_diff(pkt->seq, st->first) < 0) {
		/* A keep-alive probe repeats the place of the SYN (RFC 9293, section 3.8.4). */
		if (len == 1 && pkt->seq + 1 == st->first && !(pkt->tcp_flags & TCP_FIN))
			return forward(h);
		return refuse(h, flow, BPFAST_R_TCP_WINDOW);
	}
	if (stream_own(st))
		return refuse(h, flow, BPFAST_R_STREAM_BUSY);
	/* A SYN may have come meanwhile. */
	if (!(*(volatile __u32 *)&flow->flags & BPFAST_FF_SYN_ACKED)) {
		stream_release(st);
		return refuse(h, flow, BPFAST_R_TCP_WINDOW);
	}

	ahead = seq_diff(pkt->seq, st->next);
	slack = stream_slack(st);
	if (ahead > 0) {
		if ((__u64)ahead > slack || ahead > (__s32)SEQ_WINDOW_MAX) {
			stream_release(st);
			return refuse(h, flow, BPFAST_R_TCP_GAP);
		}
		if (!len) { /* a FIN that is ahead of body bytes */
			stream_release(st);
			return forward(h);
		}
		/* A gap inside a body whose length is known: nobody reads past it before it is filled. */
		st->body_left -= (__u32)ahead;
		stream_advance(st, pkt->seq);
		ahead = 0;
	}
	off = (__u32)-ahead;
	if (off >= len) { /* all of it was judged before */
		if (cuts_head(pkt, st->state)) {
			stream_release(st);
			return refuse(h, flow, BPFAST_R_HTTP_HEADER);
		}
		if (pkt->tcp_flags & TCP_FIN && off == len)
			flow_mark(h, flow, BPFAST_FF_FIN_FROM_CLIENT);
		stream_release(st);
		return forward(h);
	}

	if (stream_slack(st) > len - off) { /* body to its last byte: nothing to read */
		st->body_left -= len - off;
		stream_advance(st, pkt->seq + len);
		stream_release(st);
		return forward(h);
	}
	reason = requests_judge(skb, h, flow, off, len);
	if (!reason && cuts_head(pkt, w->st.state)) {
		stream_release(st);
		return refuse(h, flow, BPFAST_R_HTTP_HEADER);
	}
	if (!reason) {
		walk_commit(h, flow, pkt->seq + len);
		if (pkt->tcp_flags & TCP_FIN)
			flow_mark(h, flow, BPFAST_FF_FIN_FROM_CLIENT);
		stream_release(st);
		return forward(h);
	}
	if (audit) {
		count_audit(h, flow, reason);
		/* The rest of the head cannot be followed; what comes is forwarded unread. */
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_OPAQUE);
		stream_release(st);
		return forward(h);
	}
	keep = w->message;
	if (keep > off) {
		/* Allowed messages stand before the refused one: they go, the rest comes again. */
		__u32 most = skb->gso_size ? skb->gso_size : len;

		if (most > SEGMENT_CUT_MAX)
			most = SEGMENT_CUT_MAX;
		if (keep > most)
			keep = most;
		action = HOOK_DROP;
		if (keep > off && !requests_judge(skb, h, flow, off, keep) &&
		    !segment_cut(skb, h->scratch, keep)) {
			walk_commit(h, flow, pkt->seq + keep);
			action = HOOK_NEXT;
		}
		stream_release(st);
		if (action == HOOK_NEXT)
			return forward(h);
		return drop(h, reason, flow);
	}
	action = deny(skb, h, flow, reason);
	stream_release(st);
	return action;
}

/* --- responses ---------------------------------------------------------------- */

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
		if (walk_in_head(w->st.state) &&
		    seq_diff(w->st.generation, h->control->oldest_generation) < 0)
			w->st.state = H1_UNKNOWN;
		else
			bpf_loop(WALK_STEPS, response_walk_step, &c, 0);
		w->st.owner = 1;
		w->st.next = end;
		w->st.highest_ack = st->highest_ack; /* the client's side writes these */
		w->st.other_syn = st->other_syn;
		__builtin_memcpy(st, &w->st, sizeof(*st));
		flow->responses = w->responses;
	} else {
		stream_reach(st, end);
	}
	stream_release(st);
	return forward(h);
}

#endif
