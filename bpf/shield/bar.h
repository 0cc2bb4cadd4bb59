/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_BAR_H
#define BPFAST_SHIELD_BAR_H
/*
 * Who has asked too much of one pod: for a while nothing of it reaches that pod, or no new connection. Other pods are
 * not concerned, so this is no matter for lists. Nobody looks here while there is no entry.
 */
#include "shield/count.h"

/* A global function: see lists.h. */
__attribute__((noinline)) int shield_barred(const struct shield_packet *p, __u64 now)
{
	struct bpfast_shield_bar_key key = {0};
	const struct bpfast_shield_bar *bar;

	/* A reset passes: it ends a connection, and the agent sends its own in the client's name. */
	if (!p || (p->protocol == SHIELD_TCP && p->tcp_flags & SHIELD_RST))
		return 0;
	shield_address(key.source, p->source, p->version);
	shield_address(key.destination, p->destination, p->version);
	if (p->version == 6)
		*(__u64 *)(key.source + 8) = 0;
	bar = bpf_map_lookup_elem(&bpfast_shbar, &key);
	if (!bar)
		return 0;
	if (now < bar->all_ns)
		return 1;
	return now < bar->syn_ns && p->protocol == SHIELD_TCP &&
	       (p->tcp_flags & (SHIELD_SYN | SHIELD_ACK)) == SHIELD_SYN;
}

#endif
