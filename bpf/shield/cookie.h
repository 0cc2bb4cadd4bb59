/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_COOKIE_H
#define BPFAST_SHIELD_COOKIE_H
/*
 * Which SYNs are answered in the listener's place, and which ACKs come back with a
 * cookie. Nothing is kept of a SYN: what the cookie says is all (RFC 4987, section 3.6). The secret is
 * the kernel's own, so the listener takes the ACK as if it had sent the cookie itself.
 */
#include "shield/conn.h"
#include "shield/count.h"
#include "shield/limits.h"
#include "shield/reply.h"

enum shield_cookie_verdict { SHIELD_COOKIE_NONE, SHIELD_COOKIE_VALID, SHIELD_COOKIE_INVALID };

static __always_inline struct bpfast_shield_cookie *shield_cookie_of(const struct shield_packet *p,
								     int outgoing)
{
	struct bpfast_shield_cookie_key key = {0};

	if (p->protocol != SHIELD_TCP || p->flags & SHIELD_FRAGMENT)
		return 0;
	shield_address(key.addr, outgoing ? p->source : p->destination, p->version);
	key.port = outgoing ? p->source_port : p->destination_port;
	return bpf_map_lookup_elem(&bpfast_shck, &key);
}

/* So that a pod's hooks know of the connection, whose SYN they have not seen. */
static __always_inline void shield_vouch(const struct shield_packet *p, __u64 now)
{
	struct bpfast_vouch_key key = {
		.client_port = p->source_port,
		.server_port = p->destination_port,
	};
	struct bpfast_vouch v = {.time_ns = now, .seq = p->seq, .ack = p->ack};

	shield_address(key.client, p->source, p->version);
	shield_address(key.server, p->destination, p->version);
	bpf_map_update_elem(&bpfast_vouch, &key, &v, BPF_ANY);
}

/* Global functions: see lists.h. */

/*
 * Of a SYN that passes its limits (reason 0), or that only its destination's limit stops.
 * 0, or a reason; BPFAST_R_SHIELD_COOKIE: answer it.
 */
__attribute__((noinline)) int shield_cookie_syn(const struct shield_packet *p, __u32 reason,
						__u64 now)
{
	const struct bpfast_shield_control *control;
	struct shield_bucket prefix;
	struct shield_source source;
	const struct bpfast_shield_limit *limit;
	struct bpfast_shield_cookie *c;
	__u32 zero = 0;
	__u64 let;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (!control || !p)
		return (int)reason;
	c = shield_cookie_of(p, 0);
	if (!c || c->mode == BPFAST_CM_OFF)
		return (int)reason;
	let = *(volatile __u64 *)&c->let_ns;
	if ((__s64)(now - let) > BPFAST_SHIELD_COOKIE_LET &&
	    __sync_val_compare_and_swap(&c->let_ns, let, now) == let)
		return 0;
	if (!reason && (c->mode != BPFAST_CM_ALWAYS || shield_good(control, p, now >> 30, 1)))
		return 0;
	/* Options before TCP, or a frame for many: no client's SYN. */
	if (!p->network || p->at != p->network + (p->version == 4 ? 20 : 40))
		return (int)reason;
	/*
	 * An answer goes to who is named as source, who may have asked for nothing. So a source and its
	 * prefix get no more of them than they may send SYNs; who passed has paid already.
	 */
	limit = control->limit[BPFAST_SC_SYN];
	if (reason) {
		if (!shield_source_buckets(control, p, BPFAST_SC_SYN, now, &source, &prefix))
			return (int)reason;
		if (shield_source_empty(&limit[BPFAST_SS_SOURCE], &source))
			return BPFAST_R_SHIELD_SOURCE;
		if (shield_empty(&limit[BPFAST_SS_PREFIX], &prefix, now))
			return BPFAST_R_SHIELD_PREFIX;
		shield_source_take(&limit[BPFAST_SS_SOURCE], &source, now);
		shield_take(&limit[BPFAST_SS_PREFIX], &prefix, now);
	}
	if ((__s64)(now - *(volatile __u64 *)&c->sent_ns) > BPFAST_SHIELD_COOKIE_LET)
		*(volatile __u64 *)&c->sent_ns = now;
	return BPFAST_R_SHIELD_COOKIE;
}

/* Of TCP that opens nothing and belongs to no known connection. */
__attribute__((noinline)) int shield_cookie_ack(const struct shield_packet *p, __u64 now)
{
	const struct bpfast_shield_control *control;
	struct shield_bucket prefix;
	struct shield_source source;
	const struct bpfast_shield_limit *limit;
	struct bpfast_shield_cookie *c;
	struct shield_known k;
	__u32 zero = 0;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (!control || !p || (p->tcp_flags & (SHIELD_SYN | SHIELD_RST | SHIELD_ACK)) != SHIELD_ACK)
		return SHIELD_COOKIE_NONE;
	c = shield_cookie_of(p, 0);
	if (!c || !c->sent_ns || (__s64)(now - c->sent_ns) > BPFAST_SHIELD_COOKIE_AGE)
		return SHIELD_COOKIE_NONE;
	if (!shield_cookie_right(p))
		return c->mode == BPFAST_CM_OFF ? SHIELD_COOKIE_NONE : SHIELD_COOKIE_INVALID;
	if (shield_find(&bpfast_shconn, BPFAST_SHIELD_CONN_SETS, SHIELD_FILTER_CONN,
			shield_conn_hash(control, p, 0), 0, &k))
		shield_conn_open(&k, now >> 30);
	shield_good_remember(control, p, now >> 30);
	shield_vouch(p, now);
	/* What its SYN was charged with; its destination was not. */
	limit = control->limit[BPFAST_SC_SYN];
	if (shield_source_buckets(control, p, BPFAST_SC_SYN, now, &source, &prefix)) {
		shield_source_give(&limit[BPFAST_SS_SOURCE], &source);
		shield_give(&limit[BPFAST_SS_PREFIX], &prefix);
	}
	return SHIELD_COOKIE_VALID;
}

/*
 * Of an outgoing SYN-ACK: what the listener itself offers is what it will assume of a
 * connection by cookie, for it does not know that somebody else made the offer.
 */
__attribute__((noinline)) int shield_cookie_learn(struct __sk_buff *skb,
						  const struct shield_packet *p, __u64 now)
{
	struct bpfast_shield_cookie *c;
	struct shield_syn *s;
	const struct bpfast_shield_control *control;
	__u32 zero = 0;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (!control || !control->cookies || !p)
		return 0;
	c = shield_cookie_of(p, 1);
	if (!c || (__s64)(now - c->learned_ns) < BPFAST_SHIELD_COOKIE_LET ||
	    !(s = shield_syn_new()) || shield_syn_load_skb(skb, p, s))
		return 0;
	shield_syn_options(s);
	if (s->mss)
		c->mss = s->mss;
	c->window = (__u16)(s->tcp[14] << 8 | s->tcp[15]);
	/* Where the client offers none, it says nothing of it. */
	if (!(s->has & SHIELD_HAS_WSCALE))
		return 0;
	c->wscale = s->wscale;
	c->learned_ns = now;
	return 0;
}

#endif
