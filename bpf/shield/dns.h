/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_DNS_RULES_H
#define BPFAST_SHIELD_DNS_RULES_H
/*
 * Queries for random names below one name. Only for packets to UDP port 53, and only while such a rule is in
 * force somewhere (BPFAST_ATTACKED_NAMES): nobody else comes here.
 */
#include "shield/dns_match.h"
#include "shield/meter.h"

static __always_inline struct bpfast_dns_cpu *shield_dns_cpu(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&bpfast_shdnscpu, &cpu);
}

/* See shield_fetch_size(). */
static __always_inline __u32 shield_dns_size(__u32 n)
{
	n = n < BPFAST_DNS_MESSAGE ? n : BPFAST_DNS_MESSAGE;
	n--;
	asm volatile("" : "+r"(n));
	n &= BPFAST_DNS_ROOM - 1;
	return n + 1;
}

/* Both: so many bytes of the message, which begins there in the frame, into the CPU's own memory. */
__attribute__((noinline)) int shield_dns_fetch_xdp(struct xdp_md *xdp, __u32 off, __u32 n)
{
	struct bpfast_dns_cpu *c = shield_dns_cpu();

	if (!c)
		return -1;
	c->bytes = 0;
	n = shield_dns_size(n);
	if (bpf_xdp_load_bytes(xdp, off, c->message, n))
		return -1;
	c->bytes = n;
	return 0;
}

__attribute__((noinline)) int shield_dns_fetch_skb(struct __sk_buff *skb, __u32 off, __u32 n)
{
	struct bpfast_dns_cpu *c = shield_dns_cpu();

	if (!c)
		return -1;
	c->bytes = 0;
	n = shield_dns_size(n);
	if (bpf_skb_load_bytes(skb, off, c->message, n))
		return -1;
	c->bytes = n;
	return 0;
}

/* Bytes of the name that was fetched; 0: it cannot be read, so no rule is about it. */
__attribute__((noinline)) __u32 shield_dns_walk(void)
{
	struct bpfast_dns_cpu *c = shield_dns_cpu();

	return c ? dns_walk(c->message, c->bytes, c->begins) : 0;
}

/* Does it meet the rule? 1: and is dropped; 2: it is only counted. */
__attribute__((noinline)) int shield_dns_meets(__u32 number, __u32 bytes, __u32 destination,
					       __u32 known)
{
	struct bpfast_dns_cpu *c = shield_dns_cpu();
	const struct bpfast_dns_rule *r;
	const struct bpfast_dns *all;
	__u32 zero = 0;

	all = bpf_map_lookup_elem(&bpfast_shdns, &zero);
	if (!c || !all)
		return 0;
	asm volatile("" : "+r"(number));
	number &= BPFAST_DNS_RULES - 1;
	r = &all->rule[number];
	if (!*(volatile const __u32 *)&r->id || (known && r->strangers) ||
	    (r->destination != destination && r->destination != BPFAST_DEST_ALL))
		return 0;
	if (!dns_below(r, c->message, c->begins, bytes) || dns_honest(r, c->message, bytes))
		return 0;
	c->hits[number]++;
	return r->audit ? 2 : 1;
}

/* 0 or the reason, for a query that shield_measure() has seen. */
__attribute__((noinline)) int shield_dns_judge(struct shield_measured *m)
{
	const struct bpfast_dest *mine;
	__u32 bytes, at, i;

	if (!m)
		return 0;
	bytes = shield_dns_walk();
	if (!bytes)
		return 0;
	at = m->destination;
	for (i = 0; i < BPFAST_DNS_RULES; i++) {
		if (shield_dns_meets(i, bytes, at, m->known) != 1)
			continue;
		mine = bpf_map_lookup_elem(&bpfast_shprot, &at);
		m->audit = mine && mine->mode == BPFAST_SM_AUDIT;
		return BPFAST_R_SHIELD_DNS_NAME;
	}
	return 0;
}

static __always_inline int shield_dns(const struct shield_packet *p, const struct shield_frame *f,
				      struct shield_measured *m)
{
	__u32 off = p->at + 8, left = p->left;
	int r;

	if (left <= 8 + BPFAST_DNS_HEADER)
		return 0;
	r = f->skb ? shield_dns_fetch_skb(f->skb, off, left - 8)
		   : shield_dns_fetch_xdp(f->xdp, off, left - 8);
	return r ? 0 : shield_dns_judge(m);
}

#endif
