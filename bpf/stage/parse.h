/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_PARSE_H
#define BPFAST_STAGE_PARSE_H
/*
 * Frame -> struct packet. Ethernet with up to two VLAN tags, ARP, IPv4 with
 * options, IPv6 with extension headers, TCP, UDP, SCTP, ICMP and ICMPv6.
 *
 * The beginning of the frame is copied out once and read from there: the
 * headers of a super-packet may lie in any of its pages.
 */
#include "stage/types.h"

#define ETH_LEN 14
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_VLAN 0x8100
#define ETHERTYPE_QINQ 0x88a8
#define ETHERTYPE_IPV6 0x86dd

#define PROTO_HOPOPTS 0
#define PROTO_ICMP 1
#define PROTO_TCP 6
#define PROTO_UDP 17
#define PROTO_ROUTING 43
#define PROTO_FRAGMENT 44
#define PROTO_ICMPV6 58
#define PROTO_DSTOPTS 60
#define PROTO_SCTP 132

/* Extension headers that are walked before the packet is refused. */
#define EXTENSIONS_MAX 6

/* A byte of the copied headers. Masked and not compared: a branch here would double every path. */
static __always_inline __u8 *at(struct scratch *s, __u32 off)
{
	__asm__ volatile(
		""
		: "+r"(off)); /* or the compiler takes the mask away where it knows better */
	return s->header + HEADER_SKEW + (off & (HEADER_ROOM - 1));
}

/* Words are loaded whole: IP headers lie at multiples of four, HEADER_SKEW sees to that. */
static __always_inline __u16 be16_at(struct scratch *s, __u32 off)
{
	return bpf_ntohs(*(const __u16 *)at(s, off));
}

static __always_inline __u32 be32_at(struct scratch *s, __u32 off)
{
	return bpf_ntohl(*(const __u32 *)at(s, off));
}

static __always_inline void copy_ipv4(__u8 *to, const __u8 *from)
{
	__u32 *word = (__u32 *)to;

	*(__u64 *)to = 0;
	word[2] = bpf_htonl(0xffff);
	word[3] = *(const __u32 *)from;
}

static __always_inline void copy_ipv6(__u8 *to, const __u8 *from)
{
	((__u64 *)to)[0] = ((const __u64 *)from)[0];
	((__u64 *)to)[1] = ((const __u64 *)from)[1];
}

/*
 * The packet inside an ICMP error, whose flow the error belongs to: addresses
 * and ports turned round, so that they read as if the error itself had been sent
 * on that flow (RFC 1122, section 3.2.2; RFC 4443, section 2.4).
 */
static __always_inline __u32 parse_embedded(struct scratch *s, __u32 len, __u32 off)
{
	struct packet *pkt = &s->pkt;
	__u32 l4;
	__u8 protocol;

	if (pkt->ip_version == 4) {
		if (off + 20 > len || *at(s, off) >> 4 != 4)
			return BPFAST_R_MALFORMED;
		l4 = off + (*at(s, off) & 15) * 4;
		protocol = *at(s, off + 9);
		copy_ipv4(pkt->destination, at(s, off + 12));
		copy_ipv4(pkt->source, at(s, off + 16));
	} else {
		if (off + 40 > len || *at(s, off) >> 4 != 6)
			return BPFAST_R_MALFORMED;
		l4 = off + 40;
		protocol = *at(s, off + 6);
		copy_ipv6(pkt->destination, at(s, off + 8));
		copy_ipv6(pkt->source, at(s, off + 24));
	}
	pkt->flags |= PKT_ICMP_ERROR;
	pkt->protocol = protocol;
	pkt->source_port = 0;
	pkt->destination_port = 0;
	if (l4 + 8 > len)
		return BPFAST_R_MALFORMED;
	if (protocol == PROTO_TCP || protocol == PROTO_UDP || protocol == PROTO_SCTP) {
		pkt->destination_port = bpf_htons(be16_at(s, l4));
		pkt->source_port = bpf_htons(be16_at(s, l4 + 2));
	} else if (protocol == PROTO_ICMP || protocol == PROTO_ICMPV6) {
		pkt->destination_port = bpf_htons(be16_at(s, l4 + 4));
		pkt->source_port = pkt->destination_port;
		pkt->inner_type = *at(s, l4);
	}
	return BPFAST_R_NONE;
}

static __always_inline __u32 parse_icmp(struct scratch *s, __u32 len, __u32 l4)
{
	struct packet *pkt = &s->pkt;
	int v4 = pkt->protocol == PROTO_ICMP;
	__u8 type;

	if (v4 != (pkt->ip_version == 4) || l4 + 4 > len)
		return BPFAST_R_MALFORMED;
	type = *at(s, l4);
	pkt->icmp_type = type;
	pkt->icmp_code = *at(s, l4 + 1);
	if (v4) {
		/* 3 unreachable, 4 quench, 5 redirect, 11 time exceeded, 12 parameter problem */
		if (type == 3 || type == 4 || type == 5 || type == 11 || type == 12)
			return parse_embedded(s, len, l4 + 8);
	} else {
		if (type < 128)
			return parse_embedded(s, len, l4 + 8);
		/* MLD 130..132 and 143, neighbour discovery 133..137 */
		if ((type >= 130 && type <= 137) || type == 143)
			pkt->flags |= PKT_LINK_CONTROL;
	}
	/* Echo: the identifier stands for both ports. */
	if ((v4 && (type == 8 || type == 0)) || (!v4 && (type == 128 || type == 129))) {
		if (l4 + 8 > len)
			return BPFAST_R_MALFORMED;
		pkt->source_port = bpf_htons(be16_at(s, l4 + 4));
		pkt->destination_port = pkt->source_port;
	}
	return BPFAST_R_NONE;
}

/* end: where the IP packet ends, bytes from the start of the frame. */
ARENA_GLOBAL __u32 parse_l4(struct scratch *s, __u32 len, __u32 end)
{
	struct packet *pkt;
	__u32 l4, header;

	if (!s)
		return BPFAST_R_INTERNAL;
	pkt = &s->pkt;
	l4 = pkt->l4_off;
	if (pkt->flags & PKT_LATER_FRAGMENT)
		return BPFAST_R_NONE;
	if (len > end) /* what lies behind the IP packet is not part of it */
		len = end;
	switch (pkt->protocol) {
	case PROTO_TCP:
		if (l4 + 20 > len)
			return BPFAST_R_MALFORMED;
		header = (*at(s, l4 + 12) >> 4) * 4;
		if (header < 20 || l4 + header > len)
			return BPFAST_R_MALFORMED;
		pkt->tcp_flags = *at(s, l4 + 13);
		pkt->seq = be32_at(s, l4 + 4);
		pkt->ack = be32_at(s, l4 + 8);
		break;
	case PROTO_UDP:
		header = 8;
		break;
	case PROTO_SCTP:
		header = 12;
		break;
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		return parse_icmp(s, len, l4);
	default:
		return BPFAST_R_NONE;
	}
	if (l4 + header > len)
		return BPFAST_R_MALFORMED;
	pkt->source_port = bpf_htons(be16_at(s, l4));
	pkt->destination_port = bpf_htons(be16_at(s, l4 + 2));
	pkt->payload_off = (__u16)(l4 + header);
	pkt->payload_len = end - l4 - header;
	return BPFAST_R_NONE;
}

/* Options from off to end. Source routing (RFC 791, 131 and 137) would lead past the policy. */
static __always_inline __u32 ipv4_options(struct scratch *s, __u32 off, __u32 end)
{
	/* In memory, so that the verifier forgets lengths and follows one path only. */
	s->cursor = off;
	for (int i = 0; i < 40; i++) {
		__u8 option;

		if (off + i >= end)
			break;
		option = *at(s, off + i);
		if (off + i != s->cursor)
			continue;
		if (option == 0)
			break;
		if (option == 131 || option == 137)
			return BPFAST_R_IP_OPTION;
		if (option == 1) {
			s->cursor++;
		} else {
			__u8 size = *at(s, off + i + 1);

			if (size < 2 || off + i + size > end)
				return BPFAST_R_MALFORMED;
			s->cursor += size;
		}
	}
	return BPFAST_R_NONE;
}

ARENA_GLOBAL __u32 parse_ipv4(struct scratch *s, __u32 frame, __u32 len, __u32 l3)
{
	struct packet *pkt;
	__u32 ihl, total, fragment;

	if (!s)
		return BPFAST_R_INTERNAL;
	pkt = &s->pkt;
	if (l3 + 20 > len || *at(s, l3) >> 4 != 4)
		return BPFAST_R_MALFORMED;
	ihl = (*at(s, l3) & 15) * 4;
	total = be16_at(s, l3 + 2);
	/* A super-packet past 64 KiB says 0 (BIG TCP): then the frame tells. Of any other
	 * the receiver would read nothing. */
	if (!total && frame - l3 > 0xffff)
		total = frame - l3;
	if (ihl < 20 || l3 + ihl > len || total < ihl || l3 + total > frame)
		return BPFAST_R_MALFORMED;
	if (ihl > 20) {
		__u32 reason = ipv4_options(s, l3 + 20, l3 + ihl);

		if (reason)
			return reason;
	}
	pkt->ip_version = 4;
	pkt->ip_len = total;
	pkt->protocol = *at(s, l3 + 9);
	pkt->l4_off = (__u16)(l3 + ihl);
	copy_ipv4(pkt->source, at(s, l3 + 12));
	copy_ipv4(pkt->destination, at(s, l3 + 16));
	fragment = be16_at(s, l3 + 6) & 0x3fff;
	if (fragment) {
		pkt->flags |= PKT_FRAGMENT;
		pkt->frag_id = be16_at(s, l3 + 4);
		/* No later fragment may reach into an L4 header (RFC 3128). */
		if (fragment & 0x1fff) {
			if ((fragment & 0x1fff) * 8 < 24)
				return BPFAST_R_FRAGMENT;
			pkt->flags |= PKT_LATER_FRAGMENT;
		} else if (total < ihl + 24) {
			return BPFAST_R_FRAGMENT;
		}
	}
	return parse_l4(s, len, l3 + total);
}

ARENA_GLOBAL __u32 parse_ipv6(struct scratch *s, __u32 frame, __u32 len, __u32 l3)
{
	struct packet *pkt;
	__u32 total, off, i;
	__u8 next;

	if (!s)
		return BPFAST_R_INTERNAL;
	pkt = &s->pkt;
	if (l3 + 40 > len || *at(s, l3) >> 4 != 6)
		return BPFAST_R_MALFORMED;
	total = be16_at(s, l3 + 4);
	/* A jumbogram of BIG TCP says 0: then the frame tells. */
	total = total || frame - l3 <= 0xffff ? total + 40 : frame - l3;
	if (l3 + total > frame)
		return BPFAST_R_MALFORMED;
	pkt->ip_version = 6;
	pkt->ip_len = total;
	copy_ipv6(pkt->source, at(s, l3 + 8));
	copy_ipv6(pkt->destination, at(s, l3 + 24));
	/* ::ffff:a.b.c.d on the wire is IPv4 to nobody but our tables (RFC 4942, section 2.2). */
	if (!*(__u64 *)pkt->source && pkt->source[10] == 0xff)
		return BPFAST_R_MALFORMED;
	if (!*(__u64 *)pkt->destination && pkt->destination[10] == 0xff)
		return BPFAST_R_MALFORMED;

	next = *at(s, l3 + 6);
	s->cursor = l3 + 40;
	for (i = 0; i < EXTENSIONS_MAX; i++) {
		off = *(volatile __u32 *)&s->cursor; /* from memory: see ipv4_options() */
		if (next == PROTO_HOPOPTS || next == PROTO_DSTOPTS) {
			if (off + 8 > len)
				return BPFAST_R_MALFORMED;
			next = *at(s, off);
			s->cursor = off + (*at(s, off + 1) + 1) * 8;
		} else if (next == PROTO_FRAGMENT) {
			__u32 fragment;

			if (off + 8 > len || pkt->flags & PKT_FRAGMENT)
				return BPFAST_R_MALFORMED;
			next = *at(s, off);
			pkt->flags |= PKT_FRAGMENT_HEADER;
			fragment = be16_at(s, off + 2) & 0xfff9;
			if (fragment) { /* else an atomic fragment: RFC 6946 */
				pkt->flags |= PKT_FRAGMENT;
				pkt->frag_id = be32_at(s, off + 4);
				if (fragment >> 3) {
					if ((fragment & 0xfff8) < 24)
						return BPFAST_R_FRAGMENT;
					pkt->flags |= PKT_LATER_FRAGMENT;
				} else if (total < off + 8 - l3 + 24) {
					return BPFAST_R_FRAGMENT;
				}
			}
			s->cursor = off + 8;
			if (pkt->flags & PKT_LATER_FRAGMENT)
				break;
		} else {
			break;
		}
	}
	/* Routing headers lead elsewhere; AH, ESP, mobility and the unknown are judged as protocols. */
	off = *(volatile __u32 *)&s->cursor;
	if (next == PROTO_ROUTING || i == EXTENSIONS_MAX)
		return BPFAST_R_IP_OPTION;
	if (off > len || off > l3 + total)
		return BPFAST_R_MALFORMED;
	pkt->protocol = next;
	pkt->l4_off = (__u16)off;
	return parse_l4(s, len, l3 + total);
}

/* The beginning of the frame to s->header, once. -1: too short for Ethernet. */
ARENA_GLOBAL int headers_copy(struct __sk_buff *skb, struct scratch *s)
{
	__u32 len = skb->len;

	if (!s)
		return -1;
	if (s->pkt.flags & PKT_COPIED)
		return 0;
	if (len > HEADER_BYTES)
		len = HEADER_BYTES;
	if (len < ETH_LEN ||
	    bpf_skb_load_bytes(skb, 0, s->header + HEADER_SKEW, size_within(len, HEADER_ROOM)))
		return -1;
	s->pkt.flags |= PKT_COPIED;
	return 0;
}

/* Fills s->pkt. Returns an enum bpfast_reason, NONE where the packet is well-formed. */
ARENA_GLOBAL __u32 parse(struct __sk_buff *skb, struct scratch *s)
{
	__u32 frame = skb->len, len = frame, l3 = ETH_LEN, type;
	struct packet *pkt;

	if (!s)
		return BPFAST_R_INTERNAL;
	pkt = &s->pkt;
	__builtin_memset(pkt, 0, sizeof(*pkt));
	if (headers_copy(skb, s))
		return BPFAST_R_MALFORMED;
	if (len > HEADER_BYTES)
		len = HEADER_BYTES;
	pkt->source_mac = *(const __u64 *)at(s, 4) >> 16;
	type = be16_at(s, 12);
	for (int i = 0; i < 2; i++) {
		if (type != ETHERTYPE_VLAN && type != ETHERTYPE_QINQ)
			break;
		type = be16_at(s, l3 + 2);
		l3 += 4;
	}
	pkt->l3_off = (__u16)l3;
	l3 = *(volatile __u16 *)&pkt->l3_off;
	if (l3 > len)
		return BPFAST_R_MALFORMED;
	switch (type) {
	case ETHERTYPE_IPV4:
		return parse_ipv4(s, frame, len, l3);
	case ETHERTYPE_IPV6:
		return parse_ipv6(s, frame, len, l3);
	case ETHERTYPE_ARP:
		if (l3 + 28 > len)
			return BPFAST_R_MALFORMED;
		pkt->flags |= PKT_ARP;
		copy_ipv4(pkt->source, at(s, l3 + 14));
		copy_ipv4(pkt->destination, at(s, l3 + 24));
		return BPFAST_R_NONE;
	default:
		return BPFAST_R_ETHERTYPE;
	}
}

#endif
