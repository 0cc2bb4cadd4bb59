// SPDX-License-Identifier: Apache-2.0
/* Sends whatever leaves a device to another MAC address, which may change while a flood goes on: for bench/floods.py. No part of the product. */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u8[8]); /* the address, and two bytes that say nothing */
} steer_to SEC(".maps");

SEC("tc")
int steer(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u8 *mac = bpf_map_lookup_elem(&steer_to, &zero);

	if (mac)
		bpf_skb_store_bytes(skb, 0, mac, ETH_ALEN, 0);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
