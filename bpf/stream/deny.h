/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_DENY_H
#define BPFAST_STREAM_DENY_H
/*
 * Refusing on an inspected connection. DENIED is a state of the flow: the
 * client is told (403 and FIN, or RST), the server's side is reset, and for two
 * minutes the flow answers what the client still sends.
 */
#include "stream/segment.h"
#include "stream/walk.h"

/* Payload bytes that a cut packet may keep: fits every path's segment. */
#define SEGMENT_CUT_MAX 1200

/* mode audit: what would have been refused is only recorded. */
static __noinline int count_audit(struct hook *h, struct bpfast_flow *flow, __u32 reason)
{
	count_reason(h->metrics->audited, reason);
	h->metrics->http_requests[BPFAST_V_AUDIT]++;
	h->scratch->walk.reason = reason;
	return record_message(h, flow, BPFAST_EV_HTTP_REQUEST, 0);
}

/* A segment that cannot be judged now is dropped; in mode audit the flow is given up instead. */
static __noinline int refuse(struct hook *h, struct bpfast_flow *flow, __u32 reason)
{
	if (!(flow->flags & BPFAST_FF_AUDIT))
		return drop(h, reason, flow);
	count_reason(h->metrics->audited, reason);
	__sync_fetch_and_or(&flow->flags, BPFAST_FF_OPAQUE);
	return forward(h);
}

/* Keeps the first `keep` bytes of the payload: the packet becomes one segment, without FIN. */
ARENA_GLOBAL int segment_cut(struct __sk_buff *skb, struct scratch *s, __u32 keep)
{
	__u32 l3, l4, header, done = 0, tcp_len, whole;
	struct packet *pkt;
	__s64 sum = 0;
	__u8 len[2];

	if (!s || headers_copy(skb, s))
		return -1;
	pkt = &s->pkt;
	l3 = pkt->l3_off;
	l4 = pkt->l4_off;
	header = pkt->payload_off - l4;
	tcp_len = header + keep;
	if (header < 20 || header > 60 || keep > SEGMENT_CUT_MAX || !keep)
		return -1;
	if (bpf_skb_change_tail(skb, l4 + tcp_len, 0))
		return -1;
	if (pkt->ip_version == 4) {
		__be16 old, new;

		put_be16(len, l4 - l3 + tcp_len);
		__builtin_memcpy(&old, at(s, l3 + 2), 2);
		__builtin_memcpy(&new, len, 2);
		if (bpf_skb_store_bytes(skb, l3 + 2, len, 2, 0) ||
		    bpf_l3_csum_replace(skb, l3 + 10, old, new, 2))
			return -1;
	} else {
		put_be16(len, l4 - l3 - 40 + tcp_len);
		if (bpf_skb_store_bytes(skb, l3 + 4, len, 2, 0))
			return -1;
	}
	len[0] = pkt->tcp_flags & ~TCP_FIN;
	if (bpf_skb_store_bytes(skb, l4 + 13, len, 1, 0))
		return -1;
	if (bpf_skb_load_bytes(skb, l4, s->segment, size_within(tcp_len, HTTP_WINDOW)))
		return -1;
	s->segment[16] = 0;
	s->segment[17] = 0;
	__builtin_memset(s->segment + (tcp_len & (HTTP_WINDOW - 1)), 0, 4);
	whole = (tcp_len + 3) & ~3u;
	for (int i = 0; i < 8; i++) {
		__u32 n = whole - done;

		if (done >= whole || done >= HTTP_WINDOW)
			break;
		if (n > 256)
			n = 256;
		sum = bpf_csum_diff(0, 0, (__be32 *)(s->segment + done), n & 0x1fc, (__u32)sum);
		if (sum < 0)
			return -1;
		done += n;
	}
	if (write_checksum(skb, pkt, tcp_len, (__u32)sum))
		return -1;
	pkt->ip_len = l4 - l3 + tcp_len;
	return 0;
}

/* Sends the 403 that the flow's ruleset has ready, in answer to the packet in hand. */
static __noinline int reply_send(struct __sk_buff *skb, struct hook *h, struct bpfast_flow *flow)
{
	struct packet *pkt = &h->scratch->pkt;
	__u32 ruleset = flow->client.ruleset_off;
	struct segment seg = {
		.seq = flow->server.next,
		.ack = pkt->seq + pkt->payload_len + !!(pkt->tcp_flags & TCP_FIN),
		.flags = TCP_ACK | TCP_PSH | TCP_FIN,
		.back = 1,
		.timestamps = 1,
	};
	__u32 word;

	seg.payload = flow->client.image_off +
		      arena_u32(ruleset +
				(__u32) __builtin_offsetof(struct bpfast_image_ruleset, reply_off));
	word = arena_u32(ruleset +
			 (__u32) __builtin_offsetof(struct bpfast_image_ruleset, reply_len));
	seg.payload_len = (__u16)word;
	seg.payload_sum = (__u16)(word >> 16);
	if (seg.payload_len > BPFAST_REPLY_MAX)
		seg.payload_len = 0;
	flow->reply_len = seg.payload_len;
	if (segment_send_back(skb, h, &seg))
		return -1;
	h->metrics->replies_sent++;
	return 0;
}

/* Does the server still owe a response to a request before the one that is refused? */
static __always_inline int responses_owed(const struct bpfast_flow *flow, const struct http_walk *w)
{
	__u32 before = w->requests, asked = flow->requests;

	/* Refused for its body, it was counted already: the server never has it whole. */
	if (w->st.state > H1_END || w->st.bits & HB_TRAILER)
		before--;
	if ((__s32)(before - asked) < 0)
		asked = before;
	return (__s32)(asked - flow->responses) > 0;
}

/* What deny() returns besides: the answer has to wait, the client's retransmission comes back to it. */
#define DENY_LATER -2

/*
 * Refuses the request in scratch->walk. The packet in hand holds its last bytes and nothing
 * allowed; or, with `ahead`, it fills the gap before bytes of it that the server has.
 */
static __noinline int deny(struct __sk_buff *skb, struct hook *h, struct bpfast_flow *flow,
			   __u32 reason, int ahead)
{
	struct http_walk *w = &h->scratch->walk;
	__u32 how = flow->on_deny, server = flow->server.state, next = flow->client.next;
	__u32 ack = flow->server.next, server_ended = flow->flags & BPFAST_FF_FIN_FROM_SERVER;
	int owed = server < H1_TUNNEL && !server_ended &&
		   (responses_owed(flow, w) || server != H1_START);

	/* What is owed may be the response to what this packet would make whole: nothing to wait
	 * for. */
	if (how == BPFAST_ON_DENY_REPLY && owed && ahead)
		how = BPFAST_ON_DENY_RESET;

	/*
	 * Not yet where an earlier request's response is still owed, for the 403 would land inside
	 * it; nor where bytes of an earlier body are on their way, for a reset would meet the
	 * server before them.
	 */
	if ((how == BPFAST_ON_DENY_REPLY && owed) ||
	    (flow->flags & BPFAST_FF_BODY_GAP && seq_diff(flow->server.acked, next) < 0)) {
		return DENY_LATER;
	}
	/* Nobody knows where a reply would land, or its text is no longer there. */
	if (how == BPFAST_ON_DENY_REPLY &&
	    (server != H1_START || server_ended ||
	     (__s32)(w->st.generation - h->control->oldest_generation) < 0))
		how = BPFAST_ON_DENY_RESET;

	count_drop(h, reason);
	h->metrics->http_requests[BPFAST_V_DROPPED]++;
	count_reason(h->metrics->http_denied, reason);
	w->reason = reason;
	record_message(h, flow, BPFAST_EV_HTTP_REQUEST, 0);

	/* From here on nothing of the client's passes. */
	chunks_give(flow->held, &h->scratch->key);
	flow->held = 0;
	flow->reason = (__u8)reason;
	flow->client.generation = w->st.generation;
	flow->client.image_off = w->st.image_off;
	flow->client.ruleset_off = w->st.ruleset_off;
	flow_mark(h, flow,
		  how == BPFAST_ON_DENY_REPLY ? BPFAST_FF_DENIED
					      : BPFAST_FF_DENIED | BPFAST_FF_RESET);
	if (how == BPFAST_ON_DENY_DROP)
		return HOOK_DROP;
	if (how == BPFAST_ON_DENY_RESET)
		reset_sender(skb, h);
	else if (reply_send(skb, h, flow))
		return HOOK_DROP;
	return reset_receiver(skb, h, next, ack, 1);
}

/* A packet of a flow in state DENIED. */
static __noinline int denied_packet(struct __sk_buff *skb, struct hook *h, struct bpfast_flow *flow,
				    int from_client)
{
	struct packet *pkt = &h->scratch->pkt;
	__u32 end = pkt->seq + pkt->payload_len + !!(pkt->tcp_flags & TCP_FIN);
	__u32 reply_end = flow->server.next + flow->reply_len + 1;
	struct segment seg = {
		.seq = reply_end,
		.ack = end,
		.flags = TCP_ACK,
		.back = 1,
		.timestamps = 1,
	};

	count_drop(h, BPFAST_R_TCP_CLOSED);
	if (pkt->tcp_flags & TCP_RST || flow->on_deny == BPFAST_ON_DENY_DROP)
		return HOOK_DROP;
	if (!from_client || flow->flags & BPFAST_FF_RESET) {
		/* It did not hear of the reset. */
		reset_sender(skb, h);
		return HOOK_DROP;
	}
	if (end == pkt->seq)
		return HOOK_DROP;
	if ((__s32)(pkt->ack - reply_end) >= 0) {
		segment_send_back(skb, h, &seg);
	} else if ((__s32)(flow->client.generation - h->control->oldest_generation) >= 0) {
		reply_send(skb, h, flow);
	} else {
		reset_sender(skb, h);
	}
	return HOOK_DROP;
}

#endif
