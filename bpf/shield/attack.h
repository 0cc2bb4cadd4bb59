/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_ATTACK_H
#define BPFAST_SHIELD_ATTACK_H
/*
 * What the agent has put in force against attacks: fingerprints and limits of
 * destinations, for sources that are not known; and the samples that it finds them from.
 */
#include "shield/fingerprint_match.h"
#include "shield/limits.h"
#include "shield/meter.h"
#include "shield/read.h"

/* The first of these rules (bits) that the packet bears, from 1; 0: none. audit: it only counts. */
__attribute__((noinline)) int shield_bears(const struct bpfast_fp_packet *r, __u32 rules,
					   __u8 *audit)
{
	__u32 zero = 0, cpu = bpf_get_smp_processor_id(), i;
	struct bpfast_measure_cpu *c = bpf_map_lookup_elem(&bpfast_shcpu, &cpu);
	struct bpfast_measure *measure = bpf_map_lookup_elem(&bpfast_shmeas, &zero);

	if (!measure || !r || !audit || !c)
		return 0;
	for (i = 0; i < BPFAST_FP_RULES; i++) {
		if (!(rules >> i & 1) || !fp_matches(&measure->rule[i & 15], r))
			continue;
		c->hits[i & 15]++;
		*audit = measure->rule[i & 15].audit;
		return i + 1;
	}
	return 0;
}

/* Is the class at this destination over its limit? It takes a token if not. */
static __always_inline int shield_adaptive_over(__u32 destination, __u32 class, __u64 now)
{
	__u32 at = destination * BPFAST_MC_COUNT + class;
	struct bpfast_adaptive *a = bpf_map_lookup_elem(&bpfast_shadapt, &at);
	__u64 was, from;

	if (!a || !a->limit.rate)
		return 0;
	was = *(volatile __u64 *)&a->bucket;
	from = was > now ? was : now;
	if (from - now > a->limit.slack_ns)
		return 1;
	if (__sync_val_compare_and_swap(&a->bucket, was, from + a->limit.step_ns) != was)
		__sync_fetch_and_add(&a->bucket, a->limit.step_ns);
	return 0;
}

/* 0 or a reason, for a packet of which shield_measure() has said whose it is. r: read, where there are rules for it. */
__attribute__((noinline)) int shield_attacked(struct shield_measured *m,
					      const struct bpfast_fp_packet *r, __u64 now)
{
	struct bpfast_dest *mine, *every;
	__u32 all = BPFAST_DEST_ALL, at, bit;
	int over = 0, mode = 0;
	__u8 audit = 0;

	if (!m || !r)
		return 0;
	at = m->destination;
	mine = bpf_map_lookup_elem(&bpfast_shprot, &at);
	every = bpf_map_lookup_elem(&bpfast_shprot, &all);
	if (!mine || !every)
		return 0;
	mode = mine->mode;
	m->rule = m->rules ? shield_bears(r, m->rules, &audit) : 0;
	m->audit = mode == BPFAST_SM_AUDIT;
	if (m->rule && !audit)
		return BPFAST_R_SHIELD_FINGERPRINT;
	bit = 1u << (m->class & 31);
	if (mine->on & bit)
		over = shield_adaptive_over(at, m->class, now);
	if (!over && every->on & bit)
		over = shield_adaptive_over(BPFAST_DEST_ALL, m->class, now);
	if (over)
		return BPFAST_R_SHIELD_ADAPTIVE;
	m->audit = 0;
	return 0;
}

/* --- samples --- */

#define SHIELD_TURN_ONLY 1u

/* One of BPFAST_METER_EVERY: SHIELD_TURN_ONLY, or that and one more than the place of its sample. */
__attribute__((noinline)) __u32 shield_turn(__u64 now)
{
	__u32 cpu = bpf_get_smp_processor_id();
	struct bpfast_measure_cpu *c = bpf_map_lookup_elem(&bpfast_shcpu, &cpu);
	struct bpfast_packet *s;
	__u32 at;
	__u64 age;

	if (!c)
		return SHIELD_TURN_ONLY;
	c->window_packets++;
	age = now - c->window_ns;
	if (age > BPFAST_SAMPLE_WINDOW) {
		c->every = c->window_packets * 1000000000ull / age / BPFAST_SAMPLE_RATE;
		c->window_packets = c->window_samples = 0;
		c->window_ns = now;
	}
	if (c->left) {
		c->left--;
		return SHIELD_TURN_ONLY;
	}
	if (c->window_samples >= BPFAST_SAMPLE_MOST)
		return SHIELD_TURN_ONLY;
	c->window_samples++;
	c->left = c->every ? (bpf_get_prandom_u32() & 0xffff) * (2 * c->every) >> 16 : 0;
	at = cpu * BPFAST_PACKETS + (++c->number & (BPFAST_PACKETS - 1));
	s = bpf_map_lookup_elem(&bpfast_shpkt, &at);
	if (!s)
		return SHIELD_TURN_ONLY;
	*(volatile __u32 *)&s->number = 0;
	return at + SHIELD_TURN_ONLY + 1;
}

static __always_inline struct bpfast_packet *shield_sample_at(__u32 turn)
{
	__u32 at = turn - SHIELD_TURN_ONLY - 1;

	return bpf_map_lookup_elem(&bpfast_shpkt, &at);
}

/* What was read of a packet that is sampled. */
__attribute__((noinline)) int shield_sample_read(__u32 turn, const struct bpfast_fp_packet *r,
						 __u32 payload)
{
	struct bpfast_packet *s = shield_sample_at(turn);

	if (!s || !r)
		return 0;
	s->read = *r;
	s->payload = payload;
	return 0;
}

/* The rest; frame: its length and ifindex. The number comes last: what has none is being written. */
__attribute__((noinline)) int shield_sample_fill(__u32 turn, const struct shield_packet *p,
						 const struct shield_measured *m, __u64 frame,
						 __u32 reason)
{
	struct bpfast_packet *s = shield_sample_at(turn);
	const struct bpfast_measure_cpu *c;

	if (!s || !p || !m)
		return 0;
	s->time_ns = bpf_ktime_get_coarse_ns();
	s->length = frame >> 32;
	s->ifindex = (__u32)frame;
	s->destination = m->destination;
	s->class = m->class;
	s->rule = m->rule;
	s->reason = reason;
	s->flags = (m->known ? BPFAST_PF_KNOWN : 0) | (m->stray ? BPFAST_PF_STRAY : 0) |
		   (m->done ? BPFAST_PF_MEASURED : 0);
	c = shield_cpu();
	if (!c)
		return 0;
	s->bytes = c->bytes;
	__builtin_memcpy(s->frame, c->frame, BPFAST_PACKET_BYTES);
	/* What was dropped before: as far as the parser came, and the ports. */
	if (!m->done)
		s->payload = p->at ? p->at + 8 : 0;
	shield_address(s->source, p->source, p->version);
	*(volatile __u32 *)&s->number = c->number;
	return 0;
}

#endif
