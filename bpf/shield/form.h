/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_FORM_H
#define BPFAST_SHIELD_FORM_H
/* Well-formed, and yet nothing that an honest sender makes. Returns 0 or a reason. */
#include "shield/types.h"

/* Addresses that cannot be a source on a wire (RFC 6890; RFC 1122, section 3.2.1.3). */
static __always_inline int shield_martian4(__u32 source, __u32 destination)
{
	__u32 first = source >> 24;

	if (first == 127 || first >= 224 || destination >> 24 == 127)
		return 1;
	/* 0.0.0.0 asks for an address (DHCP, IGMP), by broadcast or multicast only. */
	if (first == 0)
		return source || destination >> 24 < 224;
	return !(destination >> 24);
}

static __always_inline int shield_martian6(const struct shield_packet *p)
{
	__u64 high = bpf_be64_to_cpu(p->source[0]), low = bpf_be64_to_cpu(p->source[1]);

	if (high >> 56 == 0xff)
		return 1;
	if (high)
		return 0;
	/* :: asks whether its address is free; ::1, ::a.b.c.d and ::ffff:a.b.c.d are on no wire. */
	if (!low)
		return !(p->protocol == SHIELD_ICMPV6);
	return low >> 32 == 0 || low >> 32 == 0xffff;
}

static __always_inline int shield_flags_illegal(__u8 flags)
{
	__u8 f = flags & (SHIELD_FIN | SHIELD_SYN | SHIELD_RST | SHIELD_ACK);

	/* Whole connections carry ACK; alone may come SYN and RST. */
	if (f & SHIELD_SYN)
		return f & (SHIELD_FIN | SHIELD_RST);
	if (f & SHIELD_RST)
		return f & SHIELD_FIN;
	return !(f & SHIELD_ACK);
}

static __always_inline int shield_form(const struct shield_packet *p)
{
	/* LAND: a host that answers itself. */
	if (p->source[0] == p->destination[0] && p->source[1] == p->destination[1])
		return BPFAST_R_SHIELD_MARTIAN;
	if (p->version == 4 ? shield_martian4(bpf_ntohl((__be32)p->source[1]),
					      bpf_ntohl((__be32)p->destination[1]))
			    : shield_martian6(p))
		return BPFAST_R_SHIELD_MARTIAN;
	if (p->protocol == SHIELD_TCP && !(p->flags & SHIELD_LATER_FRAGMENT) &&
	    shield_flags_illegal(p->tcp_flags))
		return BPFAST_R_SHIELD_FLAGS;
	return 0;
}

#endif
