/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_FINGERPRINT_MATCH_H
#define BPFAST_SHIELD_FINGERPRINT_MATCH_H
/*
 * Does a packet bear a fingerprint? Compiled for the kernel and for user
 * space, where the agent tries a rule on samples before it is put in force:
 * what it promises is what the kernel does.
 */
#include "bpfast/fingerprint.h"

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif

/* A range in one comparison: numbers below `low` wrap round to large ones. */
static __always_inline int fp_within(__u32 x, __u32 low, __u32 high)
{
	return x - low <= high - low;
}

static __always_inline int fp_matches(const struct bpfast_fingerprint *f,
				      const struct bpfast_fp_packet *p)
{
	const __u64 *want = (const __u64 *)f->destination;
	const __u64 *have = (const __u64 *)p->destination;

	if (!f->id || (!f->any_protocol && f->protocol != p->protocol))
		return 0;
	if (f->ip_version && f->ip_version != p->ip_version)
		return 0;
	if ((want[0] | want[1]) && (want[0] != have[0] || want[1] != have[1]))
		return 0;
	/* What tells floods apart most often comes first. */
	if (!fp_within(p->length, f->length_min, f->length_max) ||
	    !fp_within(p->destination_port, f->destination_port_min, f->destination_port_max) ||
	    !fp_within(p->source_port, f->source_port_min, f->source_port_max))
		return 0;
	if (((p->tcp_flags ^ f->tcp_flags) & f->tcp_flags_mask) ||
	    ((p->options ^ f->options) & f->options_mask) || ((p->form ^ f->form) & f->form_mask))
		return 0;
	if (!fp_within(p->ttl, f->ttl_min, f->ttl_max) || !fp_within(p->id, f->id_min, f->id_max) ||
	    !fp_within(p->window, f->window_min, f->window_max) ||
	    !fp_within(p->option_bytes, f->option_bytes_min, f->option_bytes_max) ||
	    !fp_within(p->payload_bytes, f->payload_bytes_min, f->payload_bytes_max))
		return 0;
	return !((p->payload[0] ^ f->payload[0]) & f->payload_mask[0]) &&
	       !((p->payload[1] ^ f->payload[1]) & f->payload_mask[1]);
}

/* The id of the first rule that the packet bears, 0: none. n <= BPFAST_FP_RULES. */
static __always_inline __u32 fp_first(const struct bpfast_fingerprint *rules, __u32 n,
				      const struct bpfast_fp_packet *p)
{
	for (__u32 i = 0; i < BPFAST_FP_RULES; i++) {
		if (i >= n)
			break;
		if (fp_matches(&rules[i], p))
			return rules[i].id;
	}
	return 0;
}

#endif
