/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_HANDSHAKE_H
#define BPFAST_STREAM_HANDSHAKE_H
/*
 * How an inspected connection begins: SYN and SYN-ACK say where its streams
 * start, and carry no option with which a sender could reorder bytes beneath us.
 */
#include "stream/tcp.h"

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

/* Bytes of the client passed, and the server has said nothing since its SYN-ACK. */
static __always_inline int stream_unsettled(__u32 flags)
{
	return (flags & (BPFAST_FF_SENT | BPFAST_FF_WENT_ON)) == BPFAST_FF_SENT;
}

/* A SYN goes to the server: counts those whose answers may be under way, one or more. */
static __always_inline void stream_count_syn(struct bpfast_flow *flow)
{
	__u32 more = BPFAST_FF_SYN;

	if (flow->flags & BPFAST_FF_WENT_ON)
		__sync_fetch_and_and(&flow->flags, ~BPFAST_FF_SYN_AGAIN);
	else if (flow->flags & BPFAST_FF_SYN)
		more = BPFAST_FF_SYN_AGAIN;
	__sync_fetch_and_or(&flow->flags, more);
}

/*
 * Did shield complete the handshake that this segment, which goes to the pod, ends? Only of bare ACKs: with
 * data, both ends are reset once, as where nobody knows of a beginning.
 */
ARENA_GLOBAL int shield_vouches(struct scratch *s)
{
	struct bpfast_vouch_key key = {0};
	const struct bpfast_vouch *v;
	struct packet *pkt;

	if (!s)
		return 0;
	pkt = &s->pkt;
	if (pkt->payload_len ||
	    (pkt->tcp_flags & (TCP_SYN | TCP_ACK | TCP_RST | TCP_FIN)) != TCP_ACK)
		return 0;
	__builtin_memcpy(key.client, pkt->source, 16);
	__builtin_memcpy(key.server, pkt->destination, 16);
	key.client_port = pkt->source_port;
	key.server_port = pkt->destination_port;
	v = bpf_map_lookup_elem(&bpfast_vouch, &key);
	return v && v->seq == pkt->seq && v->ack == pkt->ack &&
	       (__s64)(bpf_ktime_get_coarse_ns() - v->time_ns) < BPFAST_VOUCH_AGE;
}

/* A new flow whose SYN and SYN-ACK were as this ACK says. */
static __always_inline __u32 stream_vouched(struct scratch *s, struct bpfast_flow *flow)
{
	struct packet *pkt = &s->pkt;

	flow->client.first = pkt->seq;
	flow->client.next = pkt->seq;
	flow->server.first = pkt->ack;
	flow->server.next = pkt->ack;
	flow->server.acked = pkt->seq;
	flow->server.state = H1_START;
	__sync_fetch_and_or(&flow->flags, BPFAST_FF_SYN | BPFAST_FF_SYN_ACKED);
	return BPFAST_R_NONE;
}

/* A SYN of the flow's initiator: the stream begins behind it. */
static __always_inline void stream_begin(struct hook *h, struct bpfast_flow *flow, __u32 seq)
{
	__u32 flags = flow->flags, old = flow->server.first;

	chunks_give(flow->held, &h->scratch->key);
	flow->held = 0;
	/* All but the owner words: the caller has both. */
	__builtin_memset(&flow->client.first, 0, sizeof(flow->client) - 4);
	__builtin_memset(&flow->server.first, 0, sizeof(flow->server) - 4);
	flow->client.first = seq + 1;
	flow->client.next = seq + 1;
	if (stream_unsettled(flags) || !(flags & BPFAST_FF_SYN_ACKED))
		flow->server.first = old; /* its SYN-ACK may come again */
	flags = BPFAST_FF_SYN_ACKED | BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_RST |
		BPFAST_FF_FIN_FROM_SERVER | BPFAST_FF_DENIED | BPFAST_FF_RESET |
		BPFAST_FF_ANSWERED | BPFAST_FF_SEEN_REPLY | BPFAST_FF_BODY_GAP | BPFAST_FF_UPGRADE |
		BPFAST_FF_CONNECT | BPFAST_FF_TUNNEL | BPFAST_FF_SENT | BPFAST_FF_WENT_ON;
	stream_count_syn(flow);
	__sync_fetch_and_and(&flow->flags, ~flags);
	flow->requests = 0;
	flow->responses = 0;
	flow->recorded = 0;
	flow->head_requests = 0;
	flow->text_len = 0;
}

/*
 * The same, while packets of the old connection may be under way on another CPU: they would
 * put its state into the new one. Returns a reason, or NONE.
 *
 * Where the server has bytes of the client, a SYN-ACK that it sent before it had them may
 * still be under way: the answer to a SYN that was sent twice, or, from a server that keeps no
 * state, to another one. It does not say that the bytes are forgotten. Behind the server's first
 * other packet none comes any more.
 */
static __always_inline __u32 stream_restart(struct hook *h, struct bpfast_flow *flow, __u32 seq)
{
	__u32 reason = BPFAST_R_STREAM_BUSY, flags;

	if (stream_own(&flow->client))
		return reason;
	if (stream_own(&flow->server)) {
		stream_release(&flow->client);
		return reason;
	}
	flags = *(volatile __u32 *)&flow->flags;
	if (stream_unsettled(flags) && flags & BPFAST_FF_SYN_AGAIN) {
		reason = BPFAST_R_TCP_WINDOW;
	} else {
		stream_begin(h, flow, seq);
		reason = BPFAST_R_NONE;
	}
	stream_release(&flow->server);
	stream_release(&flow->client);
	return reason;
}

static __always_inline __u32 stream_syn(struct __sk_buff *skb, struct hook *h,
					struct bpfast_flow *flow)
{
	const __u32 fins = BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_FIN_FROM_SERVER;
	struct packet *pkt = &h->scratch->pkt;
	int over = flow->flags & (BPFAST_FF_RST | BPFAST_FF_DENIED) || (flow->flags & fins) == fins;
	__u32 reason;

	if (pkt->payload_len)
		return BPFAST_R_TCP_SYN_DATA;
	/* Another SYN on an open connection changes nothing for us: the server answers it with a
	 * challenge (RFC 5961, section 4), or, where it has lost the connection, with a SYN-ACK. No
	 * data is judged before the SYN-ACK that fits. */
	if (flow->flags & BPFAST_FF_SYN_ACKED && !over) {
		flow->server.other_syn = pkt->seq + 1;
		stream_count_syn(flow);
	} else {
		reason = stream_restart(h, flow, pkt->seq);
		if (reason)
			return reason;
	}
	return mptcp_neutralise(skb, h);
}

static __always_inline __u32 stream_syn_ack(struct __sk_buff *skb, struct hook *h,
					    struct bpfast_flow *flow)
{
	struct packet *pkt = &h->scratch->pkt;
	__u32 reason;

	if (pkt->payload_len)
		return BPFAST_R_TCP_SYN_DATA;
	/* Not the client's number alone: it may choose that of its last connection again. */
	if (pkt->ack != flow->client.first ||
	    (flow->flags & BPFAST_FF_SYN_ACKED && pkt->seq + 1 != flow->server.first)) {
		/* A server that holds the old connection never sends this: it may have before. */
		if (pkt->ack != flow->server.other_syn || !(flow->flags & BPFAST_FF_SYN_ACKED))
			return BPFAST_R_TCP_WINDOW;
		reason = stream_restart(h, flow, pkt->ack - 1);
		if (reason)
			return reason;
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_SYN | BPFAST_FF_SYN_AGAIN);
	}
	if (!(flow->flags & BPFAST_FF_SYN_ACKED)) {
		if (flow->server.first == pkt->seq + 1) /* of the connection before */
			return BPFAST_R_TCP_WINDOW;
		flow->server.first = pkt->seq + 1;
		flow->server.next = pkt->seq + 1;
		flow->server.acked = pkt->ack;
		flow->server.state = H1_START;
		/* What came since the SYN was of the old connection. */
		__sync_fetch_and_and(&flow->flags, ~BPFAST_FF_WENT_ON);
		__sync_fetch_and_or(&flow->flags, BPFAST_FF_SYN_ACKED);
	}
	return mptcp_neutralise(skb, h);
}

#endif
