/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_IDENTITY_H
#define BPFAST_STAGE_IDENTITY_H
/*
 * Who may the sender say it is? A pod sends only from its own addresses. What
 * keeps the link itself alive (ARP, neighbour discovery, multicast listener
 * reports, DHCP) is judged here by its form and not by policy.
 */
#include "stage/parse.h"

static __always_inline int same16(const __u8 *a, const __u8 *b)
{
	const __u64 *x = (const __u64 *)a, *y = (const __u64 *)b;

	return x[0] == y[0] && x[1] == y[1];
}

static __always_inline int is_own(const struct bpfast_endpoint *ep, const __u8 *addr)
{
	for (int i = 0; i < BPFAST_ENDPOINT_ADDRS; i++) {
		if (i >= ep->addr_count)
			break;
		if (same16(ep->addr[i], addr))
			return 1;
	}
	return 0;
}

static __always_inline int is_unspecified(const __u8 *addr)
{
	const __u64 *half = (const __u64 *)addr;

	return !half[0] && (!half[1] || half[1] == bpf_cpu_to_be64(0xffff00000000ull));
}

/* Bytes of a neighbour discovery packet: 40 of IPv6, 24 of the message, a few options. */
#define LINK_CONTROL_MAX 128

/* ICMPv6 that a pod may send on its link: what it says of itself must be its own. */
static __noinline __u32 check_link_control(struct hook *h)
{
	struct scratch *s = h->scratch;
	struct packet *pkt = &s->pkt;
	__u8 target[16] __attribute__((aligned(8)));
	__u8 hop_limit = *at(s, pkt->l3_off + 7);

	/* Only from the link itself (RFC 4861, section 6.1 and 7.1), and MLD never off it
	 * (RFC 3810, section 5): else it would carry anything anywhere past the policy. */
	if (hop_limit != (pkt->icmp_type >= 133 && pkt->icmp_type <= 137 ? 255 : 1))
		return BPFAST_R_MALFORMED;
	if (!h->egress)
		return BPFAST_R_NONE;
	/* A pod is no router. */
	if (pkt->icmp_type == 134 || pkt->icmp_type == 137)
		return BPFAST_R_SOURCE_NOT_OWN;
	if (!is_unspecified(pkt->source) && !is_own(h->endpoint, pkt->source))
		return BPFAST_R_SOURCE_NOT_OWN;
	/* A message and its options, not a letter to somebody. */
	if (pkt->icmp_type >= 133 && pkt->icmp_type <= 137 && pkt->ip_len > LINK_CONTROL_MAX)
		return BPFAST_R_MALFORMED;
	if (pkt->icmp_type == 136) { /* an advertisement claims an address, and to be a router */
		copy_ipv6(target, at(s, pkt->l4_off + 8));
		if (!is_own(h->endpoint, target) || *at(s, pkt->l4_off + 4) & 0x80)
			return BPFAST_R_SOURCE_NOT_OWN;
	}
	return BPFAST_R_NONE;
}

/* Who has no address yet asks everybody on the link (RFC 2131, section 4.1), never one of them. */
static __always_inline int is_dhcp_request(const struct packet *pkt)
{
	return pkt->protocol == PROTO_UDP && pkt->source_port == bpf_htons(68) &&
	       pkt->destination_port == bpf_htons(67) && pkt->ip_version == 4 &&
	       is_unspecified(pkt->source) && *(const __u32 *)(pkt->destination + 12) == ~0u;
}

/* What is no plain packet from an address of its own. */
static __noinline __u32 check_source_rest(struct hook *h)
{
	struct packet *pkt = &h->scratch->pkt;
	const struct bpfast_endpoint *ep = h->endpoint;

	if (pkt->flags & PKT_ARP) {
		__u64 own = *(const __u64 *)ep->mac << 16 >> 16;

		/* Nor may it tell the others another's MAC for its address. */
		if (own && *(const __u64 *)at(h->scratch, pkt->l3_off + 6) >> 16 != own)
			return BPFAST_R_SOURCE_NOT_OWN;
		return is_unspecified(pkt->source) || is_own(ep, pkt->source)
			       ? BPFAST_R_NONE
			       : BPFAST_R_SOURCE_NOT_OWN;
	}
	if (pkt->flags & PKT_LINK_CONTROL)
		return BPFAST_R_NONE;
	if (pkt->flags & PKT_ICMP_ERROR) { /* pkt->source is of the packet that it is about */
		__u8 outer[16] __attribute__((aligned(8)));

		if (pkt->ip_version == 4)
			copy_ipv4(outer, at(h->scratch, pkt->l3_off + 12));
		else
			copy_ipv6(outer, at(h->scratch, pkt->l3_off + 8));
		if (!is_own(ep, outer))
			return BPFAST_R_SOURCE_NOT_OWN;
	}
	if (is_dhcp_request(pkt) || is_own(ep, pkt->source))
		return BPFAST_R_NONE;
	return BPFAST_R_SOURCE_NOT_OWN;
}

/* The pod's source address, and whether its MAC is its own. */
static __always_inline __u32 check_source(struct hook *h)
{
	const struct packet *pkt = &h->scratch->pkt;
	const struct bpfast_endpoint *ep = h->endpoint;
	__u64 own = *(const __u64 *)ep->mac << 16 >> 16;

	if (own && pkt->source_mac != own)
		return BPFAST_R_SOURCE_NOT_OWN;
	/* Most have one address of a family, or the first is the one in use. */
	if (!(pkt->flags & (PKT_ARP | PKT_LINK_CONTROL | PKT_ICMP_ERROR)) && ep->addr_count &&
	    same16(ep->addr[0], pkt->source))
		return BPFAST_R_NONE;
	return check_source_rest(h);
}

#endif
