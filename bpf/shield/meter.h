/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_METER_H
#define BPFAST_SHIELD_METER_H
/*
 * Counts what comes to whom, for the agent's detector. All of it before
 * anything is dropped, so that an attack does not look over when it is stopped.
 */
#include "shield/conn.h"

/* What is known of the packet once it was measured. */
struct shield_measured {
	__u32 destination; /* its number */
	__u32 index; /* of its meter */
	__u8 class; /* enum bpfast_meter_class */
	__u8 known; /* the source is */
	__u8 stray; /* TCP of no known connection */
	__u8 done;
	__u8 weight; /* packets it was counted for */
	__u8 audit; /* the reason found is one of a destination in audit */
	__u8 rule; /* that the packet bore, from 1 */
	__u8 pad;
	__u32 rules; /* bits: fingerprints that it is compared with */
};

/* UDP by the port it comes from or goes to. Ports in host byte order. */
static __always_inline enum bpfast_meter_class shield_meter_udp(__u32 source, __u32 destination)
{
	if (destination == 53)
		return BPFAST_MC_DNS_QUERY;
	switch (source) {
	case 53:
		return BPFAST_MC_AMP_DNS;
	case 123:
		return BPFAST_MC_AMP_NTP;
	case 1900:
		return BPFAST_MC_AMP_SSDP;
	case 11211:
		return BPFAST_MC_AMP_MEMCACHED;
	case 389:
		return BPFAST_MC_AMP_CLDAP;
	case 161:
		return BPFAST_MC_AMP_SNMP;
	case 19:
		return BPFAST_MC_AMP_CHARGEN;
	case 17:
		return BPFAST_MC_AMP_QOTD;
	}
	return BPFAST_MC_UDP;
}

static __always_inline enum bpfast_meter_class shield_meter_class(const struct shield_packet *p)
{
	if (p->flags & SHIELD_FRAGMENT)
		return BPFAST_MC_FRAGMENT;
	switch (p->protocol) {
	case SHIELD_TCP:
		if (p->tcp_flags & SHIELD_SYN)
			return p->tcp_flags & SHIELD_ACK ? BPFAST_MC_SYNACK : BPFAST_MC_SYN;
		if (p->tcp_flags & SHIELD_RST)
			return BPFAST_MC_RST;
		return p->tcp_flags & SHIELD_FIN ? BPFAST_MC_FIN : BPFAST_MC_ACK;
	case SHIELD_UDP:
		return shield_meter_udp(bpf_ntohs(p->source_port), bpf_ntohs(p->destination_port));
	case SHIELD_ICMP:
	case SHIELD_ICMPV6:
		return BPFAST_MC_ICMP;
	}
	return BPFAST_MC_OTHER;
}

/* Has the class a port of its own, or is it the address's? Responses come to any port. */
static __always_inline int shield_meter_ported(__u32 class)
{
	return class <= BPFAST_MC_UDP || class == BPFAST_MC_DNS_QUERY;
}

/* --- destinations --- */

static __always_inline __u64 shield_dest_tag(const struct bpfast_shield_control *control,
					     __u64 high, __u64 low, __u32 protocol, __u32 port)
{
	struct shield_hash h = shield_hash_begin(control);
	__u64 address;

	shield_hash_add(&h, control, 1, low);
	if (high)
		shield_hash_add(&h, control, 2, high);
	address = h.half[0];
	shield_hash_add(&h, control, 0, (__u64)protocol << 16 | port);
	/* 16 bits of the address alone, 48 of everything. */
	return address >> 48 << 48 | h.half[1] >> 32 << 16 | h.half[0] >> 48 | 1;
}

/*
 * An address has its entries in eight neighbouring sets: a pod that speaks from all its ports fills those, and
 * the others have theirs elsewhere.
 */
#define SHIELD_DEST_SPREAD 8

static __always_inline __u32 shield_dest_set(__u64 tag)
{
	__u32 first = (__u32)((tag >> 48) * (BPFAST_DEST_SETS - 1) >> 16);

	return 1 + (first + (__u32)(tag >> 16 & (SHIELD_DEST_SPREAD - 1))) % (BPFAST_DEST_SETS - 1);
}

/* Number of a destination; BPFAST_DEST_OTHER: it has no entry. */
static __always_inline __u32 shield_dest_find(__u64 tag)
{
	__u32 at = shield_dest_set(tag), found = BPFAST_DEST_OTHER;
	const struct bpfast_shield_set *set = bpf_map_lookup_elem(&bpfast_shtag, &at);
	int i;

	if (!set)
		return BPFAST_DEST_OTHER;
#pragma unroll
	for (i = 0; i < 8; i++)
		if (set->cell[i] == tag)
			found = at * 8 + i;
	return found;
}

/* Makes an entry where there is a free cell. */
__attribute__((noinline)) __u32 shield_dest_make(const struct shield_packet *p, __u32 port,
						 __u64 tag)
{
	__u32 at = shield_dest_set(tag), number;
	struct bpfast_shield_set *set = bpf_map_lookup_elem(&bpfast_shtag, &at);
	struct bpfast_dest *d;
	int i;

	if (!set || !p)
		return BPFAST_DEST_OTHER;
	for (i = 0; i < 8; i++) {
		if (set->cell[i] || __sync_val_compare_and_swap(&set->cell[i], 0, tag))
			continue;
		number = at * 8 + i;
		d = bpf_map_lookup_elem(&bpfast_shprot, &number);
		if (!d)
			return BPFAST_DEST_OTHER;
		((__u64 *)d->addr)[0] = p->version == 4 ? 0 : p->source[0];
		((__u64 *)d->addr)[1] =
			p->version == 4 ? p->source[1] << 32 | bpf_htonl(0xffff) : p->source[1];
		d->port = port;
		d->protocol = port ? p->protocol : 0;
		*(volatile __u8 *)&d->ready = 1;
		return number;
	}
	return BPFAST_DEST_OTHER;
}

/* Where the packet is counted that comes in. */
static __always_inline __u32 shield_dest_of(const struct bpfast_shield_control *control,
					    const struct shield_packet *p, __u32 class)
{
	__u32 port = bpf_ntohs(p->destination_port), number = BPFAST_DEST_OTHER;

	if (shield_meter_ported(class) && port)
		number = shield_dest_find(shield_dest_tag(control, p->destination[0],
							  p->destination[1], p->protocol, port));
	if (number == BPFAST_DEST_OTHER)
		number = shield_dest_find(
			shield_dest_tag(control, p->destination[0], p->destination[1], 0, 0));
	return number;
}

/* --- counting --- */

static __always_inline struct bpfast_meter *shield_meter_at(__u32 index)
{
	return bpf_map_lookup_elem(&bpfast_shmeter, &index);
}

#define SHIELD_SALT_METER 0x736f7572u

/* Of packets whose turn it is, of all classes. */
static __always_inline void shield_meter_source(struct bpfast_meter *m, __u64 h)
{
	__u32 bit = h >> 16 & (BPFAST_SOURCES_BITS - 1);
	__u64 *word = &m->sources[0][bit >> 6], one = 1ull << (bit & 63);

	m->bucket[h & (BPFAST_METER_BUCKETS - 1)]++;
	if (!(*word & one))
		*word |= one;
	if (h >> 32 & (BPFAST_SOURCES_RARE - 1))
		return;
	word = &m->sources[1][bit >> 6];
	if (!(*word & one))
		*word |= one;
}

/* A UDP, ICMP or other source that was seen over more than a second. */
#define SHIELD_SALT_TALKER 0x74616c6bu

static __always_inline int shield_talker_find(const struct bpfast_shield_control *control,
					      const struct shield_packet *p, int quick,
					      struct shield_known *k)
{
	return shield_find(&bpfast_shgood, BPFAST_SHIELD_GOOD_SETS, SHIELD_FILTER_GOOD,
			   shield_hash_network(control, p, SHIELD_SALT_TALKER), quick, k);
}

static __always_inline int shield_talker(const struct bpfast_shield_control *control,
					 const struct shield_packet *p, __u32 now)
{
	struct shield_known k;

	return shield_talker_find(control, p, 1, &k) && shield_good_cell(&k, now, 0);
}

/* Of a sampled packet that passes, while no attack is on: who was seen more than a second ago too is remembered. */
__attribute__((noinline)) int shield_talker_learn(const struct shield_packet *p, __u64 time)
{
	const struct bpfast_shield_control *control;
	struct bpfast_shield_set *set;
	__u32 zero = 0, at, tag, now = time >> 30;
	struct shield_known k;
	int cell;
	__u64 h;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (!control || !p)
		return 0;
	h = shield_hash_network(control, p, SHIELD_SALT_TALKER);
	at = h & (BPFAST_NEW_SETS - 1);
	tag = (__u32)(h >> 32) | 1;
	set = bpf_map_lookup_elem(&bpfast_shnew, &at);
	if (!set)
		return 0;
	cell = shield_set_find(set, tag);
	if (cell < 0) {
		set->cell[shield_set_place(set) & 7] = (__u64)tag << 32 | now;
		return 0;
	}
	if (now - (__u32)set->cell[cell & 7] < 2)
		return 0;
	if (shield_talker_find(control, p, 0, &k))
		shield_good_write(&k, now);
	return 1;
}

/* Of a sampled packet that its source's or prefix's limit drops: who goes over it is not known any more, or a bot would only have to greet. */
__attribute__((noinline)) int shield_talker_forget(const struct shield_packet *p)
{
	const struct bpfast_shield_control *control;
	struct shield_known k;
	__u32 zero = 0;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (control && p && shield_talker_find(control, p, 1, &k) && k.at >= 0)
		*(volatile __u64 *)&k.set->cell[k.at & 7] = (__u64)k.tag << 32;
	return 0;
}

/* Of shield_measure(). */
#define SHIELD_CONNECTED 1u /* TCP of a known connection */
#define SHIELD_TURN 2u /* the packet stands for BPFAST_METER_EVERY */
#define SHIELD_EVERY 4u /* an attack is on: each packet is counted, but for known connections */

/* Fingerprints that are in force where a packet goes, and everywhere. */
static __always_inline __u32 shield_rules_at(__u32 destination)
{
	__u32 zero = 0;
	const struct bpfast_measure *all = bpf_map_lookup_elem(&bpfast_shmeas, &zero);
	const struct bpfast_dest *d = bpf_map_lookup_elem(&bpfast_shprot, &destination);

	return (all ? all->rules : 0) | (d ? d->rules : 0);
}

/* Counts a packet that comes in, and says whose it is. */
__attribute__((noinline)) int shield_measure(const struct shield_packet *p,
					     struct shield_measured *out, __u32 flags, __u64 now)
{
	const struct bpfast_shield_control *control;
	struct bpfast_meter_count *n;
	struct bpfast_meter *m;
	__u32 zero = 0, class;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (!control || !p || !out)
		return 0;
	class = shield_meter_class(p);
	if (class >= BPFAST_MC_COUNT)
		return 0;
	out->class = class;
	out->stray =
		class <= BPFAST_MC_FIN && class != BPFAST_MC_SYN && !(flags & SHIELD_CONNECTED);
	out->weight = (flags & (SHIELD_EVERY | SHIELD_CONNECTED)) == SHIELD_EVERY ? 1
		      : flags & SHIELD_TURN ? BPFAST_METER_EVERY
					    : 0;
	out->destination = shield_dest_of(control, p, class);
	out->index = bpf_get_smp_processor_id() * BPFAST_DESTS + out->destination;
	out->done = 1;
	if (flags & SHIELD_CONNECTED)
		out->known = 1;
	else if (!out->stray)
		out->known = shield_good(control, p, now >> 30,
					 flags & SHIELD_EVERY && class == BPFAST_MC_SYN) ||
			     (class >= BPFAST_MC_UDP && shield_talker(control, p, now >> 30));
	if (flags & SHIELD_EVERY && !out->known)
		out->rules = shield_rules_at(out->destination);
	m = shield_meter_at(out->index);
	if (!m || !out->weight)
		return 0;
	n = &m->count[class];
	m->touched++;
	n->packets += out->weight;
	n->bytes += ((__u32)p->at + p->left - p->ip) * out->weight;
	if (out->known)
		n->known += out->weight;
	if (out->stray)
		n->stray += out->weight;
	if (flags & SHIELD_TURN)
		shield_meter_source(m, shield_hash_source(control, p, SHIELD_SALT_METER));
	return 0;
}

static __always_inline void shield_meter_dropped(const struct shield_measured *m)
{
	struct bpfast_meter *meter = shield_meter_at(m->index);

	if (meter && m->class < BPFAST_MC_COUNT)
		meter->count[m->class].dropped += m->weight;
}

/* One more that explains packets of a class: a handshake, a request, an answer. */
static __always_inline void shield_paired(__u32 destination, __u32 class, __u32 weight)
{
	struct bpfast_meter *m =
		shield_meter_at(bpf_get_smp_processor_id() * BPFAST_DESTS + destination);

	if (!m || class >= BPFAST_MC_COUNT)
		return;
	m->touched++;
	m->count[class].paired += weight;
}

/* The destination that sends this packet, which makes its entry; port 0: the address. */
static __always_inline __u32 shield_dest_sending(const struct bpfast_shield_control *control,
						 const struct shield_packet *p, __u32 port)
{
	__u64 tag =
		shield_dest_tag(control, p->source[0], p->source[1], port ? p->protocol : 0, port);
	__u32 number = shield_dest_find(tag);

	return number != BPFAST_DEST_OTHER ? number : shield_dest_make(p, port, tag);
}

static __always_inline void shield_meter_out_udp(const struct bpfast_shield_control *control,
						 const struct shield_packet *p)
{
	__u32 from = bpf_ntohs(p->source_port), to = bpf_ntohs(p->destination_port), number;
	/* As the answer to it will be called. */
	__u32 class = shield_meter_udp(to, from);

	if (class != BPFAST_MC_UDP && class != BPFAST_MC_DNS_QUERY)
		shield_paired(shield_dest_sending(control, p, 0), class, 1);
	if (class != BPFAST_MC_UDP && class != BPFAST_MC_DNS_QUERY)
		return;
	shield_dest_sending(control, p, 0);
	number = shield_dest_sending(control, p, from && from < BPFAST_METER_PORTS ? from : 0);
	shield_paired(number, class, 1);
}

/* A packet that goes out. */
__attribute__((noinline)) int shield_meter_out(const struct shield_packet *p)
{
	const struct bpfast_shield_control *control;
	__u32 zero = 0;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (!control || !p || p->flags & SHIELD_NEIGHBOUR)
		return 0;
	switch (p->protocol) {
	case SHIELD_TCP:
		if ((p->tcp_flags & (SHIELD_SYN | SHIELD_ACK)) == (SHIELD_SYN | SHIELD_ACK))
			shield_dest_sending(control, p, bpf_ntohs(p->source_port));
		else if (!(p->tcp_flags & SHIELD_RST))
			return 0;
		shield_dest_sending(control, p, 0);
		return 0;
	case SHIELD_UDP:
		shield_meter_out_udp(control, p);
		return 0;
	case SHIELD_ICMP:
	case SHIELD_ICMPV6:
		shield_paired(shield_dest_sending(control, p, 0), BPFAST_MC_ICMP, 1);
		return 0;
	}
	shield_paired(shield_dest_sending(control, p, 0), BPFAST_MC_OTHER, 1);
	return 0;
}

#endif
