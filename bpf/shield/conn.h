/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_CONN_H
#define BPFAST_SHIELD_CONN_H
/*
 * Which TCP connections there are, without conntrack. What leaves by the device teaches
 * it: a SYN or SYN-ACK says which acknowledgement number the other side must answer with,
 * and only who got it can know that number. So a handshake counts as completed when
 * it is right, and a forged source never completes one.
 *
 * A cell: tag << 32, and WAITING | 29 bits of that number, or OPEN | time last seen, or neither
 * bit: it is over. Such cells are the first to go, so that whoever opens and closes connections,
 * be it a busy day or an attacker, takes no room from those that are open. Where both sides have said
 * FIN the cell is emptied with the last ACK; what else has ended, sweep.h finds.
 */
#include "shield/hash.h"
#include "shield/maps.h"
#include "shield/sets.h"

#define SHIELD_WAITING 0x40000000u
#define SHIELD_OPEN 0x80000000u
#define SHIELD_ACK_BITS 0x1fffffffu
/* Of one that waits or is over: the sweep was there, and takes it the next time if nothing came since. */
#define SHIELD_SWEPT 0x20000000u
/* Of an open one: the other side has sent its FIN. */
#define SHIELD_HALF 0x40000000u
#define SHIELD_TIME_BITS 0x3fffffffu
/* Of one that is over: neither bit, so it is the least of its set. By a FIN of this side or an RST; by
 * a FIN of each. */
#define SHIELD_OVER 1u
#define SHIELD_ENDED 2u
/* A connection that was silent for so long may give its cell to one being opened; 2^30 ns. */
#define SHIELD_IDLE 300
/* The time in a cell is renewed when it is so old: most packets write nothing. */
#define SHIELD_RENEW 16

struct shield_known {
	struct bpfast_shield_set *set;
	__u64 *filter, *some;
	__u64 bit; /* in the filter */
	__u32 word; /* of the filter; its last six bits are the bit's number in *some */
	__u32 tag;
	int at; /* cell, or -1 */
};

/* Where each table's bits begin in the filter, in words of eight sets. Behind them, a bit for each of these words. */
#define SHIELD_FILTER_CONN 0
#define SHIELD_FILTER_UDP (BPFAST_SHIELD_CONN_SETS / 8)
#define SHIELD_FILTER_GOOD (SHIELD_FILTER_UDP + BPFAST_SHIELD_UDP_SETS / 8)
#define SHIELD_FILTER_SOME (SHIELD_FILTER_GOOD + BPFAST_SHIELD_GOOD_SETS / 8)

/*
 * Looks up a hash. quick: where the filter knows of none, the set is not even read. Nor is the filter,
 * where the word is empty: forged sources come to another word each time, and of these there are too many for a
 * cache that others use as well.
 */
static __always_inline int shield_find(void *map, __u32 sets, __u32 words, __u64 h, int quick,
				       struct shield_known *out)
{
	__u32 index = h & (sets - 1), word = words + (index >> 3);
	__u32 some = SHIELD_FILTER_SOME + (word >> 6);

	out->tag = (__u32)(h >> 32) | 1;
	out->at = -1;
	out->word = word;
	out->bit = 1ull << ((h & 7) * 8 + (out->tag >> 1 & 7));
	out->some = bpf_map_lookup_elem(&bpfast_shfilt, &some);
	if (!out->some || (quick && !(*(volatile __u64 *)out->some >> (word & 63) & 1)))
		return 0;
	out->filter = bpf_map_lookup_elem(&bpfast_shfilt, &word);
	if (!out->filter || (quick && !(*(volatile __u64 *)out->filter & out->bit)))
		return 0;
	out->set = bpf_map_lookup_elem(map, &index);
	if (!out->set)
		return 0;
	out->at = shield_set_find(out->set, out->tag);
	return 1;
}

/* There is something that has this bit. Another CPU may just have taken it out. */
static __always_inline void shield_filter_add(const struct shield_known *k)
{
	__u64 some = 1ull << (k->word & 63);

	if (!(*(volatile __u64 *)k->filter & k->bit))
		__sync_fetch_and_or(k->filter, k->bit);
	if (!(*(volatile __u64 *)k->some & some))
		__sync_fetch_and_or(k->some, some);
}

/* Who had this tag is gone, and takes its bit along, unless another of the set has the same. */
static __always_inline void shield_filter_take(const struct shield_known *k, __u32 tag)
{
	__u64 some = 1ull << (k->word & 63);

	if (shield_set_shares(k->set, tag, 14))
		return;
	__sync_fetch_and_and(k->filter, ~(k->bit >> (k->tag >> 1 & 7) << (tag >> 1 & 7)));
	if (*(volatile __u64 *)k->filter)
		return;
	__sync_fetch_and_and(k->some, ~some);
	if (*(volatile __u64 *)k->filter)
		__sync_fetch_and_or(k->some, some);
}

/* Of a connection or UDP flow; outgoing: this side sends the packet. */
static __always_inline __u64 shield_conn_hash(const struct bpfast_shield_control *control,
					      const struct shield_packet *p, int outgoing)
{
	const __u64 *remote = outgoing ? p->destination : p->source;
	const __u64 *local = outgoing ? p->source : p->destination;
	struct shield_hash h = shield_hash_begin(control);

	shield_hash_add(&h, control, 0,
			outgoing ? (__u64)p->destination_port << 16 | p->source_port
				 : (__u64)p->source_port << 16 | p->destination_port);
	shield_hash_pair(&h, control, p->version, remote, local);
	return shield_hash_end(&h);
}

static __always_inline int shield_conn_find(const struct bpfast_shield_control *control,
					    const struct shield_packet *p, int outgoing,
					    struct shield_known *out)
{
	return shield_find(&bpfast_shconn, BPFAST_SHIELD_CONN_SETS, SHIELD_FILTER_CONN,
			   shield_conn_hash(control, p, outgoing), !outgoing, out);
}

static __always_inline int shield_udp_find(const struct bpfast_shield_control *control,
					   const struct shield_packet *p, int outgoing,
					   struct shield_known *out)
{
	return shield_find(&bpfast_shudp, BPFAST_SHIELD_UDP_SETS, SHIELD_FILTER_UDP,
			   shield_conn_hash(control, p, outgoing), !outgoing, out);
}

static __always_inline void shield_cell_write(struct shield_known *k, int at, __u32 what)
{
	__u64 was = k->set->cell[at & 7];
	__u32 tag = was >> 32;

	*(volatile __u64 *)&k->set->cell[at & 7] = (__u64)k->tag << 32 | what;
	if (was && tag != k->tag)
		shield_filter_take(k, tag);
	shield_filter_add(k);
}

/* Empties the cell that was found. */
static __always_inline void shield_cell_empty(struct shield_known *k)
{
	*(volatile __u64 *)&k->set->cell[k->at & 7] = 0;
	shield_filter_take(k, k->tag);
}

static __always_inline void shield_conn_open(struct shield_known *k, __u32 now)
{
	shield_cell_write(k, k->at >= 0 ? k->at : shield_set_place(k->set),
			  SHIELD_OPEN | (now & SHIELD_TIME_BITS));
}

/* One that begins must not push out one that lives. */
static __always_inline void shield_conn_wait(struct shield_known *k, __u32 ack, __u32 now)
{
	int at = k->at;
	__u32 what;

	if (at < 0) {
		at = shield_set_place(k->set);
		what = (__u32)k->set->cell[at & 7];
		if (what & SHIELD_OPEN && now - (what & SHIELD_TIME_BITS) < SHIELD_IDLE)
			return;
	}
	shield_cell_write(k, at, SHIELD_WAITING | (ack & SHIELD_ACK_BITS));
}

/* It was seen again, after a while. */
static __always_inline void shield_conn_renew(struct shield_known *k, __u32 what, __u32 now)
{
	shield_cell_write(k, k->at, SHIELD_OPEN | (what & SHIELD_HALF) | (now & SHIELD_TIME_BITS));
}

/*
 * A FIN or RST went by. It costs a connection nothing but its place in the order of going, so a forged
 * one is no harm: what this side says next opens it again.
 */
static __always_inline void shield_conn_over(struct shield_known *k, __u32 how)
{
	shield_cell_write(k, k->at, how);
}

/* A segment without FIN of one that is over. */
static __always_inline void shield_conn_last(struct shield_known *k, const struct shield_packet *p,
					     __u32 what)
{
	if ((what & ~SHIELD_SWEPT) == SHIELD_ENDED && !p->payload)
		shield_cell_empty(k);
	else if (what & SHIELD_SWEPT)
		shield_conn_over(k, what & ~SHIELD_SWEPT);
}

enum shield_state { SHIELD_STRANGE, SHIELD_KNOWN, SHIELD_COMPLETED, SHIELD_UNSURE };

/* What can be said of an incoming segment that is no SYN by reading alone: of most of them, all. */
static __always_inline enum shield_state
shield_conn_glance(const struct bpfast_shield_control *control, const struct shield_packet *p,
		   __u32 now)
{
	struct shield_known k;
	__u32 what;

	if (!shield_conn_find(control, p, 0, &k) || k.at < 0)
		return SHIELD_STRANGE;
	what = (__u32)k.set->cell[k.at & 7];
	return what & SHIELD_OPEN && !(p->tcp_flags & (SHIELD_RST | SHIELD_FIN)) &&
			       now - (what & SHIELD_TIME_BITS) <= SHIELD_RENEW
		       ? SHIELD_KNOWN
		       : SHIELD_UNSURE;
}

/* Of an incoming segment that is no SYN. */
static __always_inline enum shield_state
shield_conn_state(const struct bpfast_shield_control *control, const struct shield_packet *p,
		  __u32 now)
{
	struct shield_known k;
	__u32 what;

	if (!shield_conn_find(control, p, 0, &k) || k.at < 0)
		return SHIELD_STRANGE;
	what = (__u32)k.set->cell[k.at & 7];
	if (what & SHIELD_OPEN) {
		if (p->tcp_flags & SHIELD_RST)
			shield_conn_over(&k, SHIELD_OVER);
		else if (p->tcp_flags & SHIELD_FIN ||
			 now - (what & SHIELD_TIME_BITS) > SHIELD_RENEW)
			shield_conn_renew(&k, p->tcp_flags & SHIELD_FIN ? SHIELD_HALF : what, now);
		return SHIELD_KNOWN;
	}
	if (!(what & SHIELD_WAITING)) {
		/* The last segments of one that is over: the other side's FIN, or its ACK of ours. */
		if (p->tcp_flags & SHIELD_FIN)
			shield_conn_over(&k, SHIELD_ENDED);
		else
			shield_conn_last(&k, p, what);
		return SHIELD_KNOWN;
	}
	if (!(p->tcp_flags & SHIELD_ACK) || (p->ack & SHIELD_ACK_BITS) != (what & SHIELD_ACK_BITS))
		return SHIELD_STRANGE;
	if (p->tcp_flags & SHIELD_RST)
		return SHIELD_KNOWN; /* refused: it is an answer, but no connection */
	shield_conn_open(&k, now);
	return SHIELD_COMPLETED;
}

/* Of an outgoing packet. */
static __always_inline void shield_conn_learn(const struct bpfast_shield_control *control,
					      const struct shield_packet *p, __u32 now)
{
	struct shield_known k;
	__u32 what = 0;

	if (p->protocol == SHIELD_UDP) {
		if (!shield_udp_find(control, p, 1, &k))
			return;
		if (k.at < 0 ||
		    now - ((__u32)k.set->cell[k.at & 7] & SHIELD_TIME_BITS) > SHIELD_RENEW)
			shield_conn_open(&k, now);
		return;
	}
	if (p->protocol != SHIELD_TCP || !shield_conn_find(control, p, 1, &k))
		return;
	if (k.at >= 0)
		what = (__u32)k.set->cell[k.at & 7];
	if (p->tcp_flags & SHIELD_RST || (p->tcp_flags & SHIELD_FIN && k.at >= 0)) {
		if (what & SHIELD_OPEN)
			shield_conn_over(&k, what & SHIELD_HALF && !(p->tcp_flags & SHIELD_RST)
						     ? SHIELD_ENDED
						     : SHIELD_OVER);
		return;
	}
	if (p->tcp_flags & SHIELD_SYN) {
		shield_conn_wait(&k, p->seq + 1, now);
		return;
	}
	if (what && !(what & (SHIELD_OPEN | SHIELD_WAITING)) && !p->payload) {
		shield_conn_last(&k, p, what);
		return;
	}
	/*
	 * This side speaks on a connection that is not known: it was there before us. While a
	 * handshake is waited for, a bare ACK proves nothing: forged segments provoke such.
	 */
	if (k.at < 0 || (!(what & SHIELD_OPEN) && p->payload))
		shield_conn_open(&k, now);
	else if (what & SHIELD_OPEN && now - (what & SHIELD_TIME_BITS) > SHIELD_RENEW)
		shield_conn_renew(&k, what, now);
	else
		shield_filter_add(&k); /* lost to another CPU */
}

/* Has this side answered the UDP flow? */
static __always_inline int shield_udp_known(const struct bpfast_shield_control *control,
					    const struct shield_packet *p)
{
	struct shield_known k;

	return shield_udp_find(control, p, 0, &k) && k.at >= 0;
}

/* --- sources that completed a handshake: an IPv4 address or an IPv6 /64 --- */

#define SHIELD_SALT_GOOD 0x676f6f64u

static __always_inline int shield_good_find(const struct bpfast_shield_control *control,
					    const struct shield_packet *p, int quick,
					    struct shield_known *k)
{
	return shield_find(&bpfast_shgood, BPFAST_SHIELD_GOOD_SETS, SHIELD_FILTER_GOOD,
			   shield_hash_network(control, p, SHIELD_SALT_GOOD), quick, k);
}

/*
 * Its cell: SHIELD_OPEN | credit | time last seen. A SYN that passes a limit for its source's sake costs one
 * credit, and the next handshake restores them all; at 0 the source is a stranger again. Else each machine of a
 * botnet had only to complete one handshake. Who has least goes first where there is no room.
 */
#define SHIELD_GOOD_TIME 0xffffffu
#define SHIELD_CREDIT 24
#define SHIELD_CREDITS 127u

static __always_inline int shield_good_cell(const struct shield_known *k, __u32 now, int spend)
{
	__u64 *cell, was;

	if (k->at < 0)
		return 0;
	cell = &k->set->cell[k->at & 7];
	was = *(volatile __u64 *)cell;
	if (!(was >> SHIELD_CREDIT & SHIELD_CREDITS) ||
	    ((now - (__u32)was) & SHIELD_GOOD_TIME) >= BPFAST_SHIELD_GOOD_AGE)
		return 0;
	if (spend)
		*(volatile __u64 *)cell = was - (1ull << SHIELD_CREDIT);
	return 1;
}

static __always_inline int shield_good(const struct bpfast_shield_control *control,
				       const struct shield_packet *p, __u32 now, int spend)
{
	struct shield_known k;

	return shield_good_find(control, p, 1, &k) && shield_good_cell(&k, now, spend);
}

static __always_inline void shield_good_write(struct shield_known *k, __u32 now)
{
	shield_cell_write(k, k->at >= 0 ? k->at : shield_set_place(k->set),
			  SHIELD_OPEN | SHIELD_CREDITS << SHIELD_CREDIT | (now & SHIELD_GOOD_TIME));
}

static __always_inline void shield_good_remember(const struct bpfast_shield_control *control,
						 const struct shield_packet *p, __u32 now)
{
	struct shield_known k;

	if (shield_good_find(control, p, 0, &k))
		shield_good_write(&k, now);
}

#endif
