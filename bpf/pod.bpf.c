/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The hooks on the host side of a pod's veth. */
#include "stage/types.h"
#include "maps.h"

/* The arena's size less one; set before load. */
const volatile __u32 bpfast_arena_mask = BPFAST_ARENA_DEFAULT - 1;

#define TCX_NEXT -1
#define TCX_DROP 2

static __always_inline int judge(struct __sk_buff *skb)
{
	__u32 zero = 0, ifindex = skb->ifindex;
	struct bpfast_control *control = bpf_map_lookup_elem(&bpfast_control, &zero);

	if (!control || !bpf_map_lookup_elem(&bpfast_endp, &ifindex))
		return TCX_NEXT;
	return control->root ? TCX_NEXT : TCX_DROP;
}

SEC("tc")
int bpfast_from_pod(struct __sk_buff *skb)
{
	return judge(skb);
}

SEC("tc")
int bpfast_to_pod(struct __sk_buff *skb)
{
	return judge(skb);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
