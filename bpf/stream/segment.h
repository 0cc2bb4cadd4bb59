/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_SEGMENT_H
#define BPFAST_STREAM_SEGMENT_H
/*
 * Making TCP segments out of the packet in hand: RSTs, ACKs, the 403, and
 * packets cut short. All offloads may be on, so the checksum is written
 * without knowing ip_summed: the field gets the pseudo-header's sum P, then
 * bpf_l4_csum_replace() adds S + 2P, S being the sum of the rest. Where the
 * device finishes the checksum the helper leaves P alone, which is what the
 * device wants; elsewhere it makes ~(P + S) of it.
 */
#include "stage/flow.h"

/* skb->mark of a packet that we made: the other hook lets it pass. A veth between
 * namespaces clears marks, so no pod can send one. */
#define REPLY_MARK 0x42465231u

#define IPV4_DF 0x4000

struct segment {
	__u32 seq, ack;
	__u32 payload; /* arena offset of the payload, with payload_len */
	__u16 payload_len; /* even */
	__u16 payload_sum;
	__u8 flags;
	__u8 back; /* towards the packet's sender, else on its way */
	__u8 timestamps; /* answer the packet's timestamps: only with back */
};

static __always_inline void put_be16(__u8 *p, __u32 v)
{
	p[0] = (__u8)(v >> 8);
	p[1] = (__u8)v;
}

static __always_inline void put_be32(__u8 *p, __u32 v)
{
	put_be16(p, v >> 16);
	put_be16(p + 2, v);
}

static __always_inline __u16 csum_fold(__u64 sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (__u16)sum;
}

/* Sum of the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1), as it lies in memory. */
static __always_inline __u32 pseudo_sum(const struct packet *pkt, __u32 tcp_len)
{
	const __u32 *a = (const __u32 *)pkt->source, *b = (const __u32 *)pkt->destination;
	__u64 sum = bpf_htonl(tcp_len) + (__u64)bpf_htonl(PROTO_TCP);

	if (pkt->ip_version == 4) {
		sum += (__u64)a[3] + b[3];
	} else {
		for (int i = 0; i < 4; i++)
			sum += (__u64)a[i] + b[i];
	}
	return csum_fold(sum);
}

/* Writes the TCP checksum; sum: of the TCP header (its checksum 0) and payload. */
static __always_inline int write_checksum(struct __sk_buff *skb, const struct packet *pkt,
					  __u32 tcp_len, __u32 sum)
{
	__u32 pseudo = pseudo_sum(pkt, tcp_len);
	__u16 field = (__u16)pseudo;
	__u64 diff = (__u64)sum + 2 * (__u64)pseudo;

	diff = (diff >> 32) + (diff & 0xffffffff);
	if (bpf_skb_store_bytes(skb, pkt->l4_off + 16, &field, 2, 0))
		return -1;
	return (int)bpf_l4_csum_replace(skb, pkt->l4_off + 16, 0, (__u32)diff, 0);
}

/* The IP header for a TCP segment of tcp_len bytes, in s->header; `back`: addresses swapped. */
static __always_inline void make_ip(struct scratch *s, __u32 tcp_len, int back)
{
	struct packet *pkt = &s->pkt;
	__u8 *ip = at(s, pkt->l3_off), tmp[16];

	if (pkt->ip_version == 4) {
		__u32 words = (ip[0] & 15) * 2, sum = 0;

		put_be16(ip + 2, words * 2 + tcp_len);
		put_be32(ip + 4, IPV4_DF);
		ip[8] = 64;
		put_be16(ip + 10, 0);
		if (back) {
			__builtin_memcpy(tmp, ip + 12, 4);
			__builtin_memcpy(ip + 12, ip + 16, 4);
			__builtin_memcpy(ip + 16, tmp, 4);
		}
		for (__u32 i = 0; i < 30; i++) {
			if (i >= words)
				break;
			sum += be16_at(s, pkt->l3_off + i * 2);
		}
		sum = (sum >> 16) + (sum & 0xffff);
		sum = (sum >> 16) + (sum & 0xffff);
		put_be16(ip + 10, ~sum);
		return;
	}
	put_be16(ip + 4, pkt->l4_off - pkt->l3_off - 40 + tcp_len);
	ip[7] = 64;
	if (back) {
		__builtin_memcpy(tmp, ip + 8, 16);
		__builtin_memcpy(ip + 8, ip + 24, 16);
		__builtin_memcpy(ip + 24, tmp, 16);
	}
}

static __always_inline void swap16(__u8 *a, __u8 *b, __u32 n)
{
	for (__u32 i = 0; i < n; i++) {
		__u8 c = a[i];

		a[i] = b[i];
		b[i] = c;
	}
}

/*
 * Turns skb into the segment. The packet's own headers are in s->header and
 * are changed there too, so a second segment can be made of the first: `back`
 * turns round what the headers say now.
 */
ARENA_GLOBAL int segment_make(struct __sk_buff *skb, struct scratch *s, const struct segment *seg)
{
	__u32 l3, l4, header = 20, tcp_len;
	struct packet *pkt;
	__u8 *tcp;
	__u64 sum;

	if (!s || !seg || headers_copy(skb, s))
		return -1;
	pkt = &s->pkt;
	l3 = pkt->l3_off;
	l4 = pkt->l4_off;
	tcp = s->segment;
	__builtin_memset(tcp, 0, 32);
	if (seg->back) {
		__be16 port = pkt->source_port;

		swap16(at(s, 0), at(s, 6), 6);
		pkt->source_port = pkt->destination_port;
		pkt->destination_port = port;
		swap16(pkt->source, pkt->destination, 16);
		/* Timestamps as nearly everybody writes them: NOP, NOP, kind 8 (RFC 7323, appendix A). */
		if (seg->timestamps && be32_at(s, l4 + 20) == 0x0101080a &&
		    *at(s, l4 + 12) >> 4 >= 8) {
			put_be32(tcp + 20, 0x0101080a);
			put_be32(tcp + 24, be32_at(s, l4 + 28));
			put_be32(tcp + 28, be32_at(s, l4 + 24));
			header = 32;
		}
	}
	__builtin_memcpy(tcp, &pkt->source_port, 2);
	__builtin_memcpy(tcp + 2, &pkt->destination_port, 2);
	put_be32(tcp + 4, seg->seq);
	put_be32(tcp + 8, seg->ack);
	tcp[12] = (__u8)(header / 4 << 4);
	tcp[13] = seg->flags;
	put_be16(tcp + 14, seg->flags & TCP_RST ? 0 : 512);

	tcp_len = header + seg->payload_len;
	make_ip(s, tcp_len, seg->back);
	if (l3 < ETH_LEN || l3 > ETH_LEN + 8 || l4 <= l3)
		return -1;
	if (bpf_skb_change_tail(skb, l4 + tcp_len, 0))
		return -1;
	if (l4 > HEADER_BYTES ||
	    bpf_skb_store_bytes(skb, 0, s->header + HEADER_SKEW, size_within(l4, HEADER_ROOM), 0))
		return -1;
	sum = (__u64)bpf_csum_diff(0, 0, (__be32 *)tcp, 32, 0); /* zeroes behind a short header */
	if (header == 32) {
		if (bpf_skb_store_bytes(skb, l4, tcp, 32, 0))
			return -1;
	} else if (bpf_skb_store_bytes(skb, l4, tcp, 20, 0)) {
		return -1;
	}
	if (seg->payload_len) {
		const void *payload = arena_at(seg->payload);
		__u32 n = size_within(seg->payload_len, BPFAST_REPLY_MAX);

		if (!payload || bpf_skb_store_bytes(skb, l4 + header, payload, n, 0))
			return -1;
		sum += seg->payload_sum;
	}
	if (write_checksum(skb, pkt, tcp_len, (__u32)((sum >> 32) + (sum & 0xffffffff))))
		return -1;
	return 0;
}

/* Makes the segment and hands a copy to the other side of the veth's hook. */
static __always_inline int segment_send_back(struct __sk_buff *skb, struct hook *h,
					     const struct segment *seg)
{
	int err;

	if (segment_make(skb, h->scratch, seg)) {
		h->metrics->helper_errors++;
		return -1;
	}
	skb->mark = REPLY_MARK;
	/* from_pod answers into the pod, to_pod back the way the packet came. */
	err = (int)bpf_clone_redirect(skb, skb->ifindex, h->egress ? 0 : BPF_F_INGRESS);
	skb->mark = 0;
	if (err)
		h->metrics->helper_errors++;
	return err;
}

/* RST to the packet's sender, as its receiver would send it (RFC 9293, section 3.10.7). */
static __always_inline void reset_sender(struct __sk_buff *skb, struct hook *h)
{
	struct packet *pkt = &h->scratch->pkt;
	struct segment seg = {
		.seq = pkt->ack,
		.ack = pkt->seq + pkt->payload_len + !!(pkt->tcp_flags & (TCP_SYN | TCP_FIN)),
		.flags = pkt->tcp_flags & TCP_ACK ? TCP_RST : TCP_RST | TCP_ACK,
		.back = 1,
	};

	if (!(pkt->tcp_flags & TCP_ACK))
		seg.seq = 0;
	if (!segment_send_back(skb, h, &seg))
		h->metrics->resets_sent++;
}

/*
 * Turns the packet into an RST to its receiver, with a sequence number that the
 * receiver expects. `turned`: the headers were turned round by an answer before.
 */
static __always_inline int reset_receiver(struct __sk_buff *skb, struct hook *h, __u32 seq,
					  __u32 ack, int turned)
{
	struct segment seg = {
		.seq = seq,
		.ack = ack,
		.flags = TCP_RST | TCP_ACK,
		.back = (__u8)turned,
	};

	if (segment_make(skb, h->scratch, &seg)) {
		h->metrics->helper_errors++;
		return HOOK_DROP;
	}
	h->metrics->resets_sent++;
	return HOOK_NEXT;
}

/* Resets both sides of the packet's connection. What is left of the packet is the RST. */
static __noinline int reset_both(struct __sk_buff *skb, struct hook *h)
{
	struct packet *pkt = &h->scratch->pkt;
	__u32 seq = pkt->seq, ack = pkt->ack;

	if (pkt->tcp_flags & TCP_RST)
		return HOOK_DROP;
	reset_sender(skb, h);
	return reset_receiver(skb, h, seq, ack, 1);
}

#endif
