// SPDX-License-Identifier: Apache-2.0
/* Somebody else's XDP program, for tests/e2e/test_shield_shared.py: it counts and passes. No part of the product. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} tally_packets SEC(".maps");

SEC("xdp")
int tally(struct xdp_md *xdp)
{
	__u32 zero = 0;
	__u64 *packets = bpf_map_lookup_elem(&tally_packets, &zero);

	if (packets)
		__sync_fetch_and_add(packets, 1);
	return XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
