/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_CONN_H
#define BPFAST_SHIELD_CONN_H
/*
 * Which TCP connections there are, without conntrack. What leaves by the device teaches
 * it: a SYN or SYN-ACK says which acknowledgement number the other side must answer with,
 * and only who got it can know that number. So a handshake counts as completed when
 * it is right, and a forged source never completes one.
 *
 * A cell: tag << 32, and one of
 *
 *   OPEN | time last seen
 *   WAITING | 29 bits of that number
 *   WEAK | time last seen   known, but by a word that proves little: an RST of the other side, which may be forged, or
 *                           a bare ACK of this one, which a forged segment may have provoked
 *   number                  this side has said FIN, and 27 bits of the number that acknowledges it; or it has reset it
 *   ENDED | number          the other side has said FIN as well, and acknowledged ours: the last ACK empties the cell
 *
 * The lower, the earlier it gives way, so that whoever opens and closes connections, be it a busy day or
 * an attacker, takes no room from those that are open. What nobody will ask for again, sweep.h finds.
 */
#include "shield/hash.h"
#include "shield/maps.h"
#include "shield/sets.h"

#define SHIELD_WAITING 0x40000000u
#define SHIELD_OPEN 0x80000000u
#define SHIELD_ACK_BITS 0x1fffffffu
#define SHIELD_TIME_BITS 0x7fffffffu
/* Of what is WAITING or has said FIN: the sweep was there, and takes it the next time if nothing came since. */
#define SHIELD_SWEPT 0x20000000u
#define SHIELD_WEAK 0x10000000u
#define SHIELD_WEAK_TIME 0x0fffffffu
#define SHIELD_ENDED 0x08000000u
#define SHIELD_FIN_BITS 0x07ffffffu
/* Flags of a FIN that acknowledges something. */
#define SHIELD_ENDS (SHIELD_FIN | SHIELD_ACK)

/* SHIELD_OPEN, _WAITING or _WEAK; 0: this side has said FIN, or reset it. In this order: the bits of some are numbers of others. */
static __always_inline __u32 shield_cell_kind(__u32 what)
{
	if (what & SHIELD_OPEN)
		return SHIELD_OPEN;
	return what & SHIELD_WAITING ? SHIELD_WAITING : what & SHIELD_WEAK;
}

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
#define SHIELD_FILTER_SOME SHIELD_FILTER_WORDS

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

/* The form that says what was there: that is a full barrier, on arm64 too. */
static __always_inline void shield_filter_or(__u64 *word, __u64 bits)
{
	__u64 was = __sync_fetch_and_or(word, bits);

	__asm__ volatile("" : : "r"(was));
}

/* There is something that has this bit. Another CPU may just have taken it out. */
static __always_inline void shield_filter_add(const struct shield_known *k)
{
	__u64 some = 1ull << (k->word & 63);

	if (!(*(volatile __u64 *)k->filter & k->bit))
		shield_filter_or(k->filter, k->bit);
	if (!(*(volatile __u64 *)k->some & some))
		shield_filter_or(k->some, some);
}

/* Who had this tag is gone, and takes its bit along, unless another of the set has the same. One that came meanwhile
 * gets it back. */
static __always_inline void shield_filter_take(const struct shield_known *k, __u32 tag)
{
	__u64 bit = k->bit >> (k->tag >> 1 & 7) << (tag >> 1 & 7), some = 1ull << (k->word & 63);

	if (shield_set_shares(k->set, tag, 14))
		return;
	if (!(__sync_fetch_and_and(k->filter, ~bit) & ~bit) &&
	    __sync_fetch_and_and(k->some, ~some) && *(volatile __u64 *)k->filter)
		shield_filter_or(k->some, some);
	if (shield_set_shares(k->set, tag, 14)) {
		shield_filter_or(k->filter, bit);
		shield_filter_or(k->some, some);
	}
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

/* Empties a cell that holds `was`. 1: done; 0: another CPU has written there. */
static __always_inline __u32 shield_cell_empty(struct shield_known *k, int at, __u64 was)
{
	if (__sync_val_compare_and_swap(&k->set->cell[at & 7], was, 0) != was)
		return 0;
	shield_filter_take(k, was >> 32);
	return 1;
}

static __always_inline void shield_conn_open(struct shield_known *k, __u32 now)
{
	shield_cell_write(k, k->at >= 0 ? k->at : shield_set_place(k->set),
			  SHIELD_OPEN | (now & SHIELD_TIME_BITS));
}

/* What is not, or not yet, a connection must not push out one that lives. */
static __always_inline void shield_conn_note(struct shield_known *k, __u32 note, __u32 now)
{
	int at = k->at;
	__u32 what;

	if (at < 0) {
		at = shield_set_place(k->set);
		what = (__u32)k->set->cell[at & 7];
		if (what & SHIELD_OPEN && now - (what & SHIELD_TIME_BITS) < SHIELD_IDLE)
			return;
	}
	shield_cell_write(k, at, note);
}

static __always_inline void shield_conn_weak(struct shield_known *k, __u32 now)
{
	shield_conn_note(k, SHIELD_WEAK | (now & SHIELD_WEAK_TIME), now);
}

/* Of one that is neither open nor waiting: something of it went by. */
static __always_inline void shield_conn_last(struct shield_known *k, __u32 what, __u32 now)
{
	if (what & SHIELD_WEAK) {
		if (((now - what) & SHIELD_WEAK_TIME) > SHIELD_RENEW)
			shield_conn_weak(k, now);
	} else if (what & SHIELD_SWEPT) {
		shield_cell_write(k, k->at, what & ~SHIELD_SWEPT);
	}
}

/* What acknowledges this segment, which ends the connection. */
static __always_inline __u32 shield_fin(const struct shield_packet *p)
{
	return (p->seq + p->payload + 1) & SHIELD_FIN_BITS;
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
	return what & SHIELD_OPEN && !(p->tcp_flags & SHIELD_RST) &&
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
	__u32 what, kind;

	if (!shield_conn_find(control, p, 0, &k) || k.at < 0)
		return SHIELD_STRANGE;
	what = (__u32)k.set->cell[k.at & 7];
	kind = shield_cell_kind(what);
	if (kind == SHIELD_OPEN) {
		/* It takes nothing but its place in the order of going: what this side says next opens it again. */
		if (p->tcp_flags & SHIELD_RST)
			shield_conn_weak(&k, now);
		else if (now - (what & SHIELD_TIME_BITS) > SHIELD_RENEW)
			shield_conn_open(&k, now);
		return SHIELD_KNOWN;
	}
	if (kind != SHIELD_WAITING) {
		/* Only who got our FIN knows the number after it. */
		if (!kind && (p->tcp_flags & SHIELD_ENDS) == SHIELD_ENDS &&
		    !((p->ack ^ what) & SHIELD_FIN_BITS))
			shield_cell_write(&k, k.at, SHIELD_ENDED | (what & SHIELD_FIN_BITS));
		else
			shield_conn_last(&k, what, now);
		return SHIELD_KNOWN;
	}
	if (!(p->tcp_flags & SHIELD_ACK) || (p->ack & SHIELD_ACK_BITS) != (what & SHIELD_ACK_BITS))
		return SHIELD_STRANGE;
	if (p->tcp_flags & SHIELD_RST)
		return SHIELD_KNOWN; /* refused: it is an answer, but no connection */
	shield_conn_open(&k, now);
	return SHIELD_COMPLETED;
}

/* Of an outgoing segment of a connection that is not open. */
static __always_inline void shield_conn_speak(struct shield_known *k, const struct shield_packet *p,
					      __u64 was, __u32 now)
{
	__u32 what = was, kind = shield_cell_kind(what);

	/* It was there before us, or an RST did not end it, or its handshake ends otherwise. */
	if (p->payload && (k->at < 0 || kind))
		shield_conn_open(k, now);
	else if (k->at < 0)
		shield_conn_weak(k, now);
	/* While a handshake is awaited a bare ACK proves nothing: forged segments provoke such. */
	else if (kind == SHIELD_WAITING)
		return;
	else if (!kind && what & SHIELD_ENDED && !p->payload)
		shield_cell_empty(k, k->at, was);
	else
		shield_conn_last(k, what, now);
}

/* Of an outgoing packet. */
static __always_inline void shield_conn_learn(const struct bpfast_shield_control *control,
					      const struct shield_packet *p, __u32 now)
{
	struct shield_known k;
	__u32 what, kind;
	__u64 was;

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
	was = k.at >= 0 ? *(volatile __u64 *)&k.set->cell[k.at & 7] : 0;
	what = was;
	kind = shield_cell_kind(what);
	if (p->tcp_flags & (SHIELD_RST | SHIELD_FIN)) {
		if (kind == SHIELD_OPEN || kind == SHIELD_WEAK ||
		    (k.at < 0 && p->tcp_flags & SHIELD_FIN))
			shield_conn_note(&k, shield_fin(p), now);
		else if (k.at >= 0 && !kind)
			shield_conn_last(&k, what, now); /* said again */
		return;
	}
	if (p->tcp_flags & SHIELD_SYN) {
		shield_conn_note(&k, SHIELD_WAITING | ((p->seq + 1) & SHIELD_ACK_BITS), now);
		return;
	}
	if (kind != SHIELD_OPEN)
		shield_conn_speak(&k, p, was, now);
	else if (now - (what & SHIELD_TIME_BITS) > SHIELD_RENEW)
		shield_conn_open(&k, now);
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
