// SPDX-License-Identifier: Apache-2.0
/*
 * For bench/shield.c: gives the packet another source and jumps to the program that is measured. So
 * BPF_PROG_TEST_RUN repeats with a new source each time. No part of the product.
 */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

/* 0: the packet as it is; 4: another IPv4 source; 6: another IPv6 source; 5: the SYN that shield has turned into
 * its answer is turned back first, then as 4. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} shuffle_how SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PROG_ARRAY);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, sizeof(__u32));
} shuffle_to SEC(".maps");

SEC("xdp.frags")
int shuffle(struct xdp_md *xdp)
{
	__u8 *data = (__u8 *)(long)xdp->data, *end = (__u8 *)(long)xdp->data_end;
	__u32 zero = 0, *how = bpf_map_lookup_elem(&shuffle_how, &zero);

	if (!how || data + 58 > end)
		return XDP_ABORTED;
	if (*how == 5) {
		*(__u16 *)(data + 24) = 0;
		*(__be32 *)(data + 30) = bpf_htonl(0xc0000201);
		*(__be32 *)(data + 34) = bpf_htonl(0x9c400050);
		data[47] = 2;
	}
	if (*how == 4 || *how == 5) {
		/* 16.0.0.0 to 79.255.255.255: sources that may be. */
		__u32 r = bpf_get_prandom_u32();

		*(__be32 *)(data + 26) = bpf_htonl((r & 0x3fffffff) + 0x10000000);
	} else if (*how == 6) {
		*(__u32 *)(data + 24) = bpf_get_prandom_u32();
		*(__u32 *)(data + 28) = bpf_get_prandom_u32();
		*(__u32 *)(data + 32) = bpf_get_prandom_u32();
	}
	bpf_tail_call(xdp, &shuffle_to, 0);
	return XDP_ABORTED;
}

SEC("xdp.frags")
int shuffle_drop(struct xdp_md *xdp)
{
	return XDP_DROP;
}

SEC("xdp.frags")
int shuffle_pass(struct xdp_md *xdp)
{
	return XDP_PASS;
}

/* The least that stops a flood: only the sender's MAC address is looked at, which ends in 2 (bench/wire.py). */
SEC("xdp.frags")
int shuffle_least(struct xdp_md *xdp)
{
	__u8 *data = (__u8 *)(long)xdp->data, *end = (__u8 *)(long)xdp->data_end;

	return data + 12 <= end && data[11] == 2 ? XDP_DROP : XDP_PASS;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
