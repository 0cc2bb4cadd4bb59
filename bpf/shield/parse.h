/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_PARSE_H
#define BPFAST_SHIELD_PARSE_H
/*
 * A frame to a shield_packet, with direct reads only. Returns 0 or the reason why
 * the frame is none that an honest stack sends: what contradicts itself here, what
 * is merely illegal in form.h.
 */
#include "shield/types.h"

#define SHIELD_ETH 14
#define SHIELD_TAGS 2
/* Extension headers that are walked over; more is refused (RFC 8504, section 5.3). */
#define SHIELD_EXTENSIONS 6
/* Payload of a fragment that others follow: no link that carries IP makes them smaller. */
#define SHIELD_FRAGMENT_LEAST 128
/* The transport header begins within so many bytes of the frame. */
#define SHIELD_REACH 1023

/* The byte at p->at and on, of which n are there; or NULL. */
static __always_inline const __u8 *shield_at(const struct shield_packet *p,
					     const struct shield_frame *f, __u32 n)
{
	__u32 off = *(volatile const __u16 *)&p->at;
	const __u8 *at;

	if (off > SHIELD_REACH)
		return 0;
	at = f->data + off;
	return at + n <= f->end ? at : 0;
}

/* Ports, flags and lengths of what begins at p->at. */
static __always_inline int shield_transport(struct shield_packet *p, const struct shield_frame *f)
{
	__u32 header, length = *(volatile __u16 *)&p->left;
	const __u8 *at;

	if (p->flags & SHIELD_LATER_FRAGMENT)
		return 0;
	switch (p->protocol) {
	case SHIELD_TCP:
		/* A first fragment must hold the whole header: RFC 1858, RFC 7112. */
		if (length < 20)
			return p->flags & SHIELD_FRAGMENT ? BPFAST_R_SHIELD_FRAGMENT
							  : BPFAST_R_SHIELD_MALFORMED;
		at = shield_at(p, f, 20);
		if (!at)
			return BPFAST_R_SHIELD_MALFORMED;
		header = (at[12] >> 4) * 4;
		if (header < 20 || header > length)
			return BPFAST_R_SHIELD_MALFORMED;
		p->source_port = *(const __be16 *)at;
		p->destination_port = *(const __be16 *)(at + 2);
		p->seq = bpf_ntohl(*(const __be32 *)(at + 4));
		p->ack = bpf_ntohl(*(const __be32 *)(at + 8));
		p->tcp_flags = at[13];
		p->payload = length - header;
		return 0;
	case SHIELD_UDP:
		at = shield_at(p, f, 8);
		if (length < 8 || !at)
			return p->flags & SHIELD_FRAGMENT && length < 8 ? BPFAST_R_SHIELD_FRAGMENT
									: BPFAST_R_SHIELD_MALFORMED;
		p->source_port = *(const __be16 *)at;
		p->destination_port = *(const __be16 *)(at + 2);
		header = bpf_ntohs(*(const __be16 *)(at + 4));
		if (header < 8 || (header > length && !(p->flags & SHIELD_FRAGMENT)))
			return BPFAST_R_SHIELD_MALFORMED;
		return 0;
	case SHIELD_ICMP:
	case SHIELD_ICMPV6:
		at = shield_at(p, f, 4);
		if (length < 4 || !at)
			return BPFAST_R_SHIELD_MALFORMED;
		/* RFC 4861: with hop limit 255 no router has touched it. */
		if (p->version == 6 && p->protocol == SHIELD_ICMPV6 && at[0] >= 133 &&
		    at[0] <= 137 && p->hop_limit == 255)
			p->flags |= SHIELD_NEIGHBOUR;
		return 0;
	}
	return 0;
}

/* Is the frame shorter than that? To ask for all of its buffers costs a sixth of everything. */
static __always_inline int shield_shorter(struct shield_frame *f, __u32 length)
{
	if (length > f->length && f->xdp)
		f->length = (__u32)bpf_xdp_get_buff_len(f->xdp);
	return length > f->length;
}

/* offset and length of a fragment's part of the datagram, in bytes. */
static __always_inline int shield_fragment(struct shield_packet *p, __u32 offset, __u32 more,
					   __u32 length)
{
	p->flags |= SHIELD_FRAGMENT;
	if (offset)
		p->flags |= SHIELD_LATER_FRAGMENT;
	/* Ping of death: together longer than IP can say. */
	if (offset + length > 65535)
		return BPFAST_R_SHIELD_FRAGMENT;
	/* Teardrop and its like: what others follow is a multiple of eight, and not tiny. */
	if (more && (length & 7 || length < SHIELD_FRAGMENT_LEAST))
		return BPFAST_R_SHIELD_FRAGMENT;
	/* The second of a tiny pair lies over the TCP header (RFC 3128). */
	if (offset && offset < SHIELD_FRAGMENT_LEAST)
		return BPFAST_R_SHIELD_FRAGMENT;
	if (!length)
		return BPFAST_R_SHIELD_FRAGMENT;
	return 0;
}

static __always_inline int shield_ipv4(struct shield_packet *p, struct shield_frame *f,
				       const __u8 *ip)
{
	__u32 header, total, fragment;
	int reason;

	if (ip + 20 > f->end || ip[0] >> 4 != 4)
		return BPFAST_R_SHIELD_MALFORMED;
	header = (ip[0] & 15) * 4;
	total = bpf_ntohs(*(const __be16 *)(ip + 2));
	/* At TC, segments that the kernel has put together may be longer than the field can say. */
	if (!total && f->length > 65535)
		total = 65535;
	if (header < 20 || total < header || shield_shorter(f, (__u32)(ip - f->data) + total))
		return BPFAST_R_SHIELD_MALFORMED;
	p->flags = SHIELD_IP;
	p->ip = ip - f->data;
	p->version = 4;
	p->protocol = ip[9];
	p->source[1] = *(const __be32 *)(ip + 12);
	p->destination[1] = *(const __be32 *)(ip + 16);
	fragment = bpf_ntohs(*(const __be16 *)(ip + 6));
	if (fragment & 0x3fff) {
		reason = shield_fragment(p, (fragment & 0x1fff) * 8, fragment & 0x2000,
					 total - header);
		if (reason)
			return reason;
	}
	*(volatile __u16 *)&p->at = ip - f->data + header;
	*(volatile __u16 *)&p->left = total - header;
	return 0;
}

/* Walks over one extension header. Returns 0, a reason, or -1: this is none. */
static __always_inline int shield_extension(struct shield_packet *p, const struct shield_frame *f,
					    int first)
{
	__u32 left = *(volatile __u16 *)&p->left, size, fragment;
	__u8 kind = p->protocol;
	const __u8 *at;
	int reason;

	if (kind != 0 && kind != 43 && kind != 44 && kind != 51 && kind != 60)
		return -1;
	at = shield_at(p, f, 8);
	if (!at || left < 8)
		return BPFAST_R_SHIELD_MALFORMED;
	/* Hop-by-hop options come first or not at all; a type 0 route is forbidden (RFC 5095). */
	if ((kind == 0 && !first) || (kind == 43 && at[2] == 0))
		return BPFAST_R_SHIELD_MALFORMED;
	size = kind == 51 ? (at[1] + 2) * 4 : kind == 44 ? 8 : (at[1] + 1) * 8;
	if (size > left)
		return BPFAST_R_SHIELD_MALFORMED;
	fragment = bpf_ntohs(*(const __be16 *)(at + 2));
	/* An "atomic" fragment is whole: RFC 6946. */
	if (kind == 44 && fragment & 0xfff9) {
		if (p->flags & SHIELD_FRAGMENT)
			return BPFAST_R_SHIELD_FRAGMENT;
		reason = shield_fragment(p, fragment & 0xfff8, fragment & 1, left - 8);
		if (reason)
			return reason;
	}
	p->protocol = at[0];
	*(volatile __u16 *)&p->at += size;
	*(volatile __u16 *)&p->left = left - size;
	return p->flags & SHIELD_LATER_FRAGMENT ? -1 : 0;
}

static __always_inline int shield_ipv6(struct shield_packet *p, struct shield_frame *f,
				       const __u8 *ip)
{
	int i, reason;

	if (ip + 40 > f->end || ip[0] >> 4 != 6)
		return BPFAST_R_SHIELD_MALFORMED;
	*(volatile __u16 *)&p->left = bpf_ntohs(*(const __be16 *)(ip + 4));
	if (!p->left && f->length > 65535)
		*(volatile __u16 *)&p->left = 65535;
	if (shield_shorter(f, (__u32)(ip - f->data) + 40 + p->left))
		return BPFAST_R_SHIELD_MALFORMED;
	p->flags = SHIELD_IP;
	p->ip = ip - f->data;
	p->version = 6;
	p->source[0] = *(const __u64 *)(ip + 8);
	p->source[1] = *(const __u64 *)(ip + 16);
	p->destination[0] = *(const __u64 *)(ip + 24);
	p->destination[1] = *(const __u64 *)(ip + 32);
	p->protocol = ip[6];
	p->hop_limit = ip[7];
	*(volatile __u16 *)&p->at = ip + 40 - f->data;
	for (i = 0; i < SHIELD_EXTENSIONS; i++) {
		reason = shield_extension(p, f, i == 0);
		if (reason > 0)
			return reason;
		if (reason < 0)
			return 0;
	}
	return shield_extension(p, f, 0) == -1 ? 0 : BPFAST_R_SHIELD_MALFORMED;
}

static __always_inline int shield_is_tag(__be16 type)
{
	return type == bpf_htons(0x8100) || type == bpf_htons(0x88a8);
}

static __always_inline int shield_parse(struct shield_packet *p, struct shield_frame *f)
{
	const __u8 *at = f->data + SHIELD_ETH;
	int i, reason = 0;
	__be16 type;

	if (at > f->end)
		return BPFAST_R_SHIELD_MALFORMED;
	type = *(const __be16 *)(at - 2);
	for (i = 0; i < SHIELD_TAGS; i++) {
		if (!shield_is_tag(type))
			break;
		if (at + 4 > f->end)
			return BPFAST_R_SHIELD_MALFORMED;
		type = *(const __be16 *)(at + 2);
		at += 4;
	}
	p->network = f->data[0] & 1 ? 0 : at - f->data;
	if (type == bpf_htons(0x0800))
		reason = shield_ipv4(p, f, at);
	else if (type == bpf_htons(0x86dd))
		reason = shield_ipv6(p, f, at);
	else
		/* The kernel takes off any number of tags without a VLAN, and finds IP behind them. */
		return shield_is_tag(type) ? BPFAST_R_SHIELD_MALFORMED : 0;
	return reason ? reason : shield_transport(p, f);
}

#endif
