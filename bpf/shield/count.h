/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_COUNT_H
#define BPFAST_SHIELD_COUNT_H
/*
 * Counters, and samples of what is dropped. There is no event for a packet: a flood must
 * not become a flood of events. One drop of BPFAST_SHIELD_SAMPLE is added to a cell of a table of
 * fixed size, which the agent reads when somebody asks.
 */
#include "shield/hash.h"
#include "shield/maps.h"

static __always_inline void shield_address(__u8 *out, const __u64 *address, __u8 version)
{
	__u64 *word = (__u64 *)out;

	word[0] = version == 4 ? 0 : address[0];
	word[1] = version == 4 ? address[1] << 32 | bpf_htonl(0xffff) : address[1];
}

static __always_inline void shield_sample(const struct bpfast_shield_control *control,
					  const struct shield_packet *p,
					  const struct shield_frame *f, __u32 reason, __u32 audited,
					  __u64 now)
{
	struct bpfast_shield_sample *s;
	__u8 source[16] __attribute__((aligned(8)));
	__u32 index = shield_hash_source(control, p, reason) & (BPFAST_SHIELD_SAMPLES - 1);

	s = bpf_map_lookup_elem(&bpfast_shsmp, &index);
	if (!s)
		return;
	shield_address(source, p->source, p->version);
	if (s->reason == reason && ((__u64 *)s->source)[0] == ((__u64 *)source)[0] &&
	    ((__u64 *)s->source)[1] == ((__u64 *)source)[1]) {
		s->count++;
	} else if (s->count > 1 && now - s->last_ns < 2000000000ull) {
		/* Somebody heavier has the cell: he is worn down, as in a Misra-Gries summary. */
		s->count--;
		return;
	} else {
		s->count = 1;
		((__u64 *)s->source)[0] = ((__u64 *)source)[0];
		((__u64 *)s->source)[1] = ((__u64 *)source)[1];
		s->reason = (__u8)reason;
	}
	s->last_ns = now;
	shield_address(s->destination, p->destination, p->version);
	s->source_port = p->source_port;
	s->destination_port = p->destination_port;
	s->length = f->length;
	s->ifindex = f->ifindex;
	s->protocol = p->protocol;
	s->tcp_flags = p->tcp_flags;
	s->audited = (__u8)audited;
}

#endif
