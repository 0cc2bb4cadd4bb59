// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Shield: floods end here, before the host's stack has paid for them. Read from the bottom up.
 *
 *   bpfast_shxdp   judges what comes in by a device, at XDP
 *   bpfast_shshare the same among the programs of libxdp's dispatcher
 *   bpfast_shtc    the same decision at TC, where XDP is not wanted, and towards a pod
 *   bpfast_shout   looks at what goes the other way: it drops nothing, it learns who is answered
 *   bpfast_shsweep empties what has ended; the agent runs it
 *
 * docs/design/shield.md says why it is built so.
 */
#include "shield/attack.h"
#include "shield/bar.h"
#include "shield/conn.h"
#include "shield/cookie.h"
#include "shield/count.h"
#include "shield/dns.h"
#include "shield/form.h"
#include "shield/limits.h"
#include "shield/lists.h"
#include "shield/parse.h"
#include "shield/repeat.h"
#include "shield/sweep.h"

/* "Let the next program decide": the same number for TCX and clsact. */
#define HOOK_NEXT -1
#define HOOK_DROP 2

/* Bytes that the parser may want to read where they lie. */
#define HEADERS 128

static __always_inline __u64 shield_now(void)
{
	/* The time of the last tick: a millisecond or four are no matter here, and it costs a tenth. */
	return bpf_ktime_get_coarse_ns();
}

/*
 * The same, read once in a tick. Where returns are guarded (SRSO, Retbleed) each costs as much as a cache
 * miss, and the clock has three; the count of ticks is a load, since Linux 5.6.
 */
static __always_inline __u64 shield_tick(struct bpfast_shield_counters *count)
{
	__u64 jiffy = bpf_jiffies64();

	if (count->jiffy != jiffy) {
		*(volatile __u64 *)&count->now_ns = shield_now();
		count->jiffy = jiffy;
	}
	return *(volatile __u64 *)&count->now_ns;
}

/* The device's slot, or -1: it is not guarded, or its mode is off. */
static __always_inline int shield_slot(const struct bpfast_shield_control *control, __u32 ifindex,
				       __u8 *mode)
{
	int i;

#pragma unroll
	for (i = 0; i < BPFAST_SHIELD_PROBES; i++) {
		const struct bpfast_shield_device *d =
			&control->device[(ifindex + i) & (BPFAST_SHIELD_SLOTS - 1)];

		if (d->ifindex == ifindex) {
			*mode = d->mode;
			return d->mode == BPFAST_SM_OFF
				       ? -1
				       : (int)((ifindex + i) & (BPFAST_SHIELD_SLOTS - 1));
		}
	}
	return -1;
}

static __always_inline enum bpfast_shield_class shield_class(const struct shield_packet *p)
{
	if (p->flags & SHIELD_FRAGMENT)
		return BPFAST_SC_FRAGMENT;
	switch (p->protocol) {
	case SHIELD_TCP:
		return (p->tcp_flags & (SHIELD_SYN | SHIELD_ACK)) == SHIELD_SYN ? BPFAST_SC_SYN
										: BPFAST_SC_STATE;
	case SHIELD_UDP:
		return BPFAST_SC_UDP;
	case SHIELD_ICMP:
	case SHIELD_ICMPV6:
		return BPFAST_SC_ICMP;
	}
	return BPFAST_SC_OTHER;
}

/* Global functions: see lists.h. What they are given is on the caller's stack. */

/* 0 or a reason. */
__attribute__((noinline)) int shield_limits(const struct shield_packet *p, __u32 class, __u64 now)
{
	struct shield_bucket prefix, destination;
	struct shield_source source;
	const struct bpfast_shield_control *control;
	const struct bpfast_shield_limit *limit;
	int state = class == BPFAST_SC_STATE;
	__u32 zero = 0;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (!control || !p)
		return 0;
	/* 6.1 knows bounds only of the very register that was masked. */
	__asm__ volatile("" : "+r"(class));
	limit = control->limit[class & (BPFAST_SC_ROOM - 1)];
	if (!shield_destination_bucket(control, p, class, &destination))
		return 0;
	/*
	 * First, for it costs least where a flood comes from everywhere. Who has completed a
	 * handshake, or is being answered, does not pay for strangers.
	 */
	if (shield_empty(&limit[BPFAST_SS_DESTINATION], &destination, now) &&
	    (state || !shield_good(control, p, now >> 30, class == BPFAST_SC_SYN)) &&
	    !(class == BPFAST_SC_UDP && shield_udp_known(control, p)))
		return state ? BPFAST_R_SHIELD_STATE : BPFAST_R_SHIELD_DESTINATION;
	/* The link's own neighbours have no /24 and no handshake: for them that was all. */
	if (!(p->flags & SHIELD_NEIGHBOUR)) {
		if (!shield_source_buckets(control, p, class, now, &source, &prefix))
			return 0;
		if (shield_source_empty(&limit[BPFAST_SS_SOURCE], &source))
			return state ? BPFAST_R_SHIELD_STATE : BPFAST_R_SHIELD_SOURCE;
		if (shield_empty(&limit[BPFAST_SS_PREFIX], &prefix, now) &&
		    (state || !shield_good(control, p, now >> 30, class == BPFAST_SC_SYN)))
			return state ? BPFAST_R_SHIELD_STATE : BPFAST_R_SHIELD_PREFIX;
		/* Only who passes is charged: what one source has too much is not taken from others. */
		shield_source_take(&limit[BPFAST_SS_SOURCE], &source, now);
		shield_take(&limit[BPFAST_SS_PREFIX], &prefix, now);
	}
	shield_take_shared(&limit[BPFAST_SS_DESTINATION], &destination, now);
	return 0;
}

/* Is it the source that sends too much? Not where it is everybody together, nor for what a name or a rule says. */
static __always_inline int shield_too_much(__u32 reason)
{
	return reason == BPFAST_R_SHIELD_SOURCE || reason == BPFAST_R_SHIELD_PREFIX;
}

/* The same, where a SYN that the limit of its source or prefix stops may be one that comes again. */
static __always_inline int shield_limited(struct bpfast_shield_counters *count,
					  const struct shield_packet *p, __u32 class, __u64 now)
{
	int reason = shield_limits(p, class, now);

	if (shield_too_much(reason) && class == BPFAST_SC_SYN &&
	    shield_repeated(count, p, reason, now))
		return 0;
	return reason;
}

/* A handshake was completed: its SYN is not counted any more, and its source is remembered. */
static __always_inline void shield_completed(const struct bpfast_shield_control *control,
					     const struct shield_packet *p, __u64 now)
{
	const struct bpfast_shield_limit *limit = control->limit[BPFAST_SC_SYN];
	struct shield_bucket prefix, destination;
	struct shield_source source;

	shield_good_remember(control, p, now >> 30);
	if (shield_source_buckets(control, p, BPFAST_SC_SYN, now, &source, &prefix)) {
		shield_source_give(&limit[BPFAST_SS_SOURCE], &source);
		shield_give(&limit[BPFAST_SS_PREFIX], &prefix);
	}
	if (shield_destination_bucket(control, p, BPFAST_SC_SYN, &destination))
		shield_give(&limit[BPFAST_SS_DESTINATION], &destination);
}

/* Of a segment that opens nothing: enum shield_state. */
__attribute__((noinline)) int shield_segment(const struct shield_packet *p, __u64 now)
{
	const struct bpfast_shield_control *control;
	enum shield_state state;
	__u32 zero = 0;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (!control || !p)
		return SHIELD_STRANGE;
	state = shield_conn_state(control, p, now >> 30);
	if (state == SHIELD_COMPLETED)
		shield_completed(control, p, now);
	return state;
}

/* Of which hook the frame is, the compiler knows. */
static __always_inline void shield_fetch(struct shield_frame *f)
{
	if (f->skb)
		shield_fetch_skb(f->skb);
	else
		shield_fetch_xdp(f->xdp);
}

/* A SYN that its destination's limit stops is answered, where that is wanted. */
static __always_inline int shield_answered(const struct bpfast_shield_control *control,
					   const struct shield_packet *p, __u32 class, int reason,
					   __u64 now)
{
	if (class != BPFAST_SC_SYN || !control->cookies ||
	    (reason && reason != BPFAST_R_SHIELD_DESTINATION && reason != BPFAST_R_SHIELD_ADAPTIVE))
		return reason;
	return shield_cookie_syn(p, reason, now);
}

static __always_inline int shield_decide(const struct bpfast_shield_control *control,
					 struct bpfast_shield_counters *count,
					 struct shield_packet *p, struct shield_frame *f,
					 struct shield_measured *m, __u32 turn, __u64 now)
{
	int reason = shield_parse(p, f), attacked = control->attacked != 0, limited;
	__u32 connected = 0, completed = 0, state;
	enum bpfast_shield_class class;

	if (p->flags & SHIELD_IP) {
		/* Whom the administrator allows is not looked at any further. */
		switch (shield_listed(p, now >> 30)) {
		case SHIELD_LISTED_ALLOW:
			count->allowed++;
			return 0;
		case SHIELD_LISTED_BLOCK:
			return BPFAST_R_SHIELD_BLOCKED;
		case SHIELD_NOT_LISTED:
			break;
		}
		if (control->bars && shield_barred(p, now))
			return BPFAST_R_SHIELD_BLOCKED;
	}
	if (reason || !(p->flags & SHIELD_IP))
		return reason;
	reason = shield_form(p);
	if (reason)
		return reason;
	class = shield_class(p);
	if (class == BPFAST_SC_STATE) {
		state = shield_conn_glance(control, p, now >> 30);
		if (state == SHIELD_UNSURE)
			state = shield_segment(p, now);
		switch (state) {
		case SHIELD_COMPLETED:
			count->handshakes++;
			completed = 1;
			__attribute__((fallthrough));
		case SHIELD_KNOWN:
			count->known++;
			if (!(turn | completed))
				return 0;
			connected = SHIELD_CONNECTED;
		}
	}
	if (class == BPFAST_SC_STATE && !connected && control->cookies) {
		switch (shield_cookie_ack(p, now)) {
		case SHIELD_COOKIE_VALID:
			count->handshakes++;
			count->cookies++;
			completed = 1;
			connected = SHIELD_CONNECTED;
			break;
		case SHIELD_COOKIE_INVALID:
			return BPFAST_R_SHIELD_BAD_COOKIE;
		}
	}
	if (!connected) {
		count->class[class & (BPFAST_SC_ROOM - 1)]++;
		if (p->flags & SHIELD_NEIGHBOUR || !(turn | attacked))
			return shield_answered(control, p, class,
					       shield_limited(count, p, class, now), now);
	}
	shield_measure(p, m, (turn ? SHIELD_TURN : 0) | connected | (attacked ? SHIELD_EVERY : 0),
		       now);
	if (completed)
		shield_paired(m->destination, BPFAST_MC_SYN, 1);
	/* Known sources too: resolvers pass on what they are asked. */
	if (control->attacked & BPFAST_ATTACKED_NAMES && m->class == BPFAST_MC_DNS_QUERY)
		reason = shield_dns(p, f, m);
	if (turn > SHIELD_TURN_ONLY || (attacked && !m->known && !reason)) {
		struct bpfast_fp_packet read = {0};
		__u32 payload;

		/* Most attacks are met by limits alone, which need not know what a packet looks like. */
		if (turn > SHIELD_TURN_ONLY || m->rules) {
			if (turn <= SHIELD_TURN_ONLY)
				shield_fetch(f);
			payload = shield_read(p, &read);
			if (turn > SHIELD_TURN_ONLY)
				shield_sample_read(turn, &read, payload);
		}
		if (attacked && !m->known && !reason) {
			reason = shield_attacked(m, &read, now);
			if (reason && !m->audit)
				return shield_answered(control, p, class, reason, now);
		}
	}
	if (connected || (reason && !m->audit))
		return reason;
	limited = shield_answered(control, p, class, shield_limited(count, p, class, now), now);
	/* What is only counted has to keep within the hard limits like everything else. */
	if (!limited)
		return reason;
	m->audit = 0;
	return limited;
}

/*
 * Is it this packet's turn to be measured? What shield_turn() says, or 0. By way of the map, so
 * that the verifier knows nothing of it, and goes over what follows once.
 */
static __always_inline __u32 shield_my_turn(struct bpfast_shield_counters *count, __u64 now)
{
	if (count->left) {
		count->left--;
		*(volatile __u32 *)&count->turn = 0;
	} else {
		count->left = bpf_get_prandom_u32() % (2 * BPFAST_METER_EVERY - 1);
		*(volatile __u32 *)&count->turn = shield_turn(now);
	}
	return *(volatile __u32 *)&count->turn;
}

enum shield_verdict { SHIELD_DROP, SHIELD_PASS, SHIELD_ANSWER };

/* p is empty. */
static __always_inline enum shield_verdict shield_judge(struct shield_frame *f,
							struct shield_packet *p)
{
	const struct bpfast_shield_control *control;
	struct bpfast_shield_counters *count;
	struct shield_measured m = {0};
	__u32 zero = 0, reason, turn;
	__u64 now;
	__u8 mode = 0;
	int slot;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (!control)
		return SHIELD_PASS;
	slot = shield_slot(control, f->ifindex, &mode);
	if (slot < 0)
		return SHIELD_PASS;
	count = bpf_map_lookup_elem(&bpfast_shcnt, &slot);
	if (!count)
		return SHIELD_PASS;
	now = shield_tick(count);
	turn = shield_my_turn(count, now);
	if (turn > SHIELD_TURN_ONLY)
		shield_fetch(f);
	reason = shield_decide(control, count, p, f, &m, turn, now);
	if (turn > SHIELD_TURN_ONLY) {
		shield_sample_fill(turn, p, &m, (__u64)f->length << 32 | f->ifindex, reason);
		if (m.class >= BPFAST_MC_UDP && shield_too_much(reason))
			shield_talker_forget(p);
		else if (m.class >= BPFAST_MC_UDP && !reason && !control->attacked && !m.known)
			shield_talker_learn(p, now);
	}
	if (!reason) {
		count->passed++;
		count->passed_bytes += f->length;
		return SHIELD_PASS;
	}
	reason -= BPFAST_R_SHIELD;
	__asm__ volatile("" : "+r"(reason));
	reason &= BPFAST_SHIELD_REASON_ROOM - 1;
	if (mode == BPFAST_SM_ENFORCE && !m.audit) {
		count->dropped[reason]++;
		count->dropped_bytes += f->length;
		if (m.weight)
			shield_meter_dropped(&m);
		if (!(count->dropped[reason] & (BPFAST_SHIELD_SAMPLE - 1)))
			shield_sample(control, p, f, reason, 0, now);
		if (reason != BPFAST_R_SHIELD_COOKIE - BPFAST_R_SHIELD)
			return SHIELD_DROP;
		p->hook = control->device[slot & (BPFAST_SHIELD_SLOTS - 1)].hook;
		return SHIELD_ANSWER;
	}
	count->audited[reason]++;
	count->passed++;
	count->passed_bytes += f->length;
	if (!(count->audited[reason] & (BPFAST_SHIELD_SAMPLE - 1)))
		shield_sample(control, p, f, reason, 1, now);
	return SHIELD_PASS;
}

static __always_inline void shield_frame_skb(struct __sk_buff *skb, struct shield_frame *f)
{
	__u32 want = skb->len < HEADERS ? skb->len : HEADERS;

	/* Headers that lie in pages are brought to where they can be read: all of a short frame. */
	if ((const __u8 *)(long)skb->data + want > (const __u8 *)(long)skb->data_end)
		bpf_skb_pull_data(skb, want);
	f->data = (const __u8 *)(long)skb->data;
	f->end = (const __u8 *)(long)skb->data_end;
	f->xdp = 0;
	f->skb = skb;
	f->length = skb->len;
	f->ifindex = skb->ifindex;
}

static __always_inline void shield_frame_xdp(struct xdp_md *xdp, struct shield_frame *f)
{
	f->data = (const __u8 *)(long)xdp->data;
	f->end = (const __u8 *)(long)xdp->data_end;
	f->xdp = xdp;
	f->skb = 0;
	f->length = xdp->data_end - xdp->data;
	f->ifindex = xdp->ingress_ifindex;
}

/* keep_length: the answer to a SYN is not cut to its own. */
static __always_inline int shield_xdp(struct xdp_md *xdp, int keep_length)
{
	struct shield_packet p = {0};
	struct shield_frame f;

	shield_frame_xdp(xdp, &f);
	switch (shield_judge(&f, &p)) {
	case SHIELD_PASS:
		return XDP_PASS;
	case SHIELD_ANSWER:
		if (keep_length ? shield_answer_padded(xdp, &p) : shield_answer_xdp(xdp, &p))
			return XDP_DROP;
		return XDP_TX;
	default:
		return XDP_DROP;
	}
}

SEC("xdp.frags")
int bpfast_shxdp(struct xdp_md *xdp)
{
	return shield_xdp(xdp, 0);
}

/*
 * Takes the place of a function of the dispatcher, so it may not change a packet's length where that does not
 * (newer kernels, and their stable ones, look).
 */
SEC("xdp.frags")
int bpfast_shshare(struct xdp_md *xdp)
{
	return shield_xdp(xdp, 1);
}

SEC("tc")
int bpfast_shtc(struct __sk_buff *skb)
{
	struct shield_packet p = {0};
	struct shield_frame f;

	shield_frame_skb(skb, &f);
	switch (shield_judge(&f, &p)) {
	case SHIELD_PASS:
		return HOOK_NEXT;
	case SHIELD_ANSWER:
		if (shield_answer_skb(skb, &p))
			return HOOK_DROP;
		/* Towards a pod it comes back as if the pod had said it; else it leaves as it came. */
		return bpf_redirect(skb->ifindex, p.hook == BPFAST_SH_POD ? BPF_F_INGRESS : 0);
	default:
		return HOOK_DROP;
	}
}

__attribute__((noinline)) int shield_learn(const struct shield_packet *p, __u64 now)
{
	const struct bpfast_shield_control *control;
	__u32 zero = 0;

	control = bpf_map_lookup_elem(&bpfast_shctl, &zero);
	if (control && p)
		shield_conn_learn(control, p, now >> 30);
	return 0;
}

SEC("tc")
int bpfast_shout(struct __sk_buff *skb)
{
	struct shield_packet p = {0};
	struct shield_frame f;

	if (skb->mark == SHIELD_MARK)
		return HOOK_NEXT; /* an answer of shield's own: nobody waits for what follows it */
	shield_frame_skb(skb, &f);
	if (!shield_parse(&p, &f) && p.flags & SHIELD_IP && !(p.flags & SHIELD_FRAGMENT)) {
		shield_learn(&p, shield_now());
		shield_meter_out(&p);
	}
	if ((p.tcp_flags & (SHIELD_SYN | SHIELD_ACK)) == (SHIELD_SYN | SHIELD_ACK))
		shield_cookie_learn(skb, &p, shield_now());
	return HOOK_NEXT;
}

/* A part of the tables. */
SEC("syscall")
int bpfast_shsweep(struct bpfast_shield_sweep *sweep)
{
	struct shield_sweeping s = {.at = sweep->first, .now = bpf_ktime_get_ns() >> 30};
	__u32 sets = sweep->sets;

	bpf_loop(sets < BPFAST_SHIELD_CONN_SETS ? sets : BPFAST_SHIELD_CONN_SETS, shield_sweep_set,
		 &s, 0);
	sweep->emptied = s.emptied;
	return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
