/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_PARSE_QUICK_H
#define BPFAST_STAGE_PARSE_QUICK_H
/*
 * The frames that nearly all traffic is made of, read where they lie: an
 * untagged Ethernet header, IPv4 without options or IPv6 without extension
 * headers, not a fragment, and TCP. Whatever else it is, or seems wrong, is
 * for parse() to read or refuse: it decides alone what is malformed.
 */
#include "stage/parse.h"

/* Fills s->pkt but not s->header. Returns 0 where the frame is not one of these. */
static __always_inline int parse_quick(struct __sk_buff *skb, struct scratch *s)
{
	const __u8 *frame = (const __u8 *)(long)skb->data, *end = (const __u8 *)(long)skb->data_end;
	struct packet *pkt = &s->pkt;
	const __u8 *ip = frame + ETH_LEN, *tcp;
	__u32 total, header, l4;

	if (frame + ETH_LEN + 20 + 20 > end)
		return 0;
	if (*(const __be16 *)(frame + 12) == bpf_htons(ETHERTYPE_IPV4)) {
		if (ip[0] != 0x45 || ip[9] != PROTO_TCP ||
		    *(const __be16 *)(ip + 6) & bpf_htons(0x3fff))
			return 0;
		total = bpf_ntohs(*(const __be16 *)(ip + 2));
		l4 = ETH_LEN + 20;
		tcp = ip + 20;
		copy_ipv4(pkt->source, ip + 12);
		copy_ipv4(pkt->destination, ip + 16);
		pkt->ip_version = 4;
	} else if (*(const __be16 *)(frame + 12) == bpf_htons(ETHERTYPE_IPV6)) {
		if (frame + ETH_LEN + 40 + 20 > end || ip[0] >> 4 != 6 || ip[6] != PROTO_TCP)
			return 0;
		total = bpf_ntohs(*(const __be16 *)(ip + 4)) + 40;
		l4 = ETH_LEN + 40;
		tcp = ip + 40;
		copy_ipv6(pkt->source, ip + 8);
		copy_ipv6(pkt->destination, ip + 24);
		/* IPv4-mapped addresses have no business on the wire: parse() says why. */
		if (!*(const __u64 *)pkt->source || !*(const __u64 *)pkt->destination)
			return 0;
		pkt->ip_version = 6;
	} else {
		return 0;
	}
	header = (tcp[12] >> 4) * 4;
	if (header < 20 || l4 + header > ETH_LEN + total || ETH_LEN + total > skb->len ||
	    total < 40)
		return 0;
	pkt->source_port = *(const __be16 *)tcp;
	pkt->destination_port = *(const __be16 *)(tcp + 2);
	pkt->seq = bpf_ntohl(*(const __be32 *)(tcp + 4));
	pkt->ack = bpf_ntohl(*(const __be32 *)(tcp + 8));
	pkt->tcp_flags = tcp[13];
	pkt->source_mac = *(const __u64 *)(frame + 4) >> 16;
	pkt->payload_len = ETH_LEN + total - l4 - header;
	pkt->payload_off = (__u16)(l4 + header);
	pkt->ip_len = total;
	pkt->l3_off = ETH_LEN;
	pkt->l4_off = (__u16)l4;
	pkt->protocol = PROTO_TCP;
	pkt->flags = 0;
	pkt->frag_id = 0;
	pkt->icmp_type = 0;
	pkt->icmp_code = 0;
	return 1;
}

#endif
