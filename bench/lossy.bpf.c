// SPDX-License-Identifier: Apache-2.0
/*
 * A bad line for the bench and the tests, where the kernel has no netem. For the
 * clsact hooks of a pod's eth0, inside the pod: at the sender's egress a packet is lost
 * before it reaches BPFast's hooks on the node, at the receiver's ingress
 * after they judged it. Only TCP segments with payload are touched.
 *
 * A lost packet is TC_ACT_STOLEN: for the sending TCP, TC_ACT_SHOT would be a
 * full queue of its own machine, which it is told of and does not count as lost.
 *
 * lossy_reorder is for egress. It keeps a copy of a packet and takes the packet
 * off the line; when DISTANCE more have passed, a clone of the next one goes
 * out and the one in hand becomes the copy: both have headers of one length
 * and a checksum that the device would finish, so all bytes can simply be
 * written. If nothing follows, the packet stays away like a lost one.
 */
#include <linux/bpf.h>
#include <linux/pkt_cls.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#define ETH_BYTES 14
#define HELD_MAX 2048
/* Not lossy_reorder's business any more: its own clone. */
#define PASS_MARK 0x6c6f7373
#define EVERY 100
#define DISTANCE 8

enum { HELD_NONE, HELD_BUSY, HELD_ONE };

struct held {
	__u32 state;
	__u32 len;
	__u32 header; /* bytes before the payload */
	__u32 passed; /* packets since */
	__u32 ports;
	__u8 data[HELD_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 256); /* by the sender's address, its last byte */
	__type(key, __u32);
	__type(value, struct held);
} lossy_held SEC(".maps");

/* Segments seen; lost; put back. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 3);
	__type(key, __u32);
	__type(value, __u64);
} lossy_count SEC(".maps");

enum { COUNT_SEEN, COUNT_LOST, COUNT_MOVED };

static __always_inline __u64 count(__u32 what)
{
	__u64 *n = bpf_map_lookup_elem(&lossy_count, &what);

	return n ? __sync_fetch_and_add(n, 1) : 0;
}

struct segment {
	__u32 header; /* bytes before the payload */
	__u32 sender; /* last byte of its address */
	__u32 ports;
};

/* Is it an IPv4 TCP segment with payload? */
static __always_inline int has_payload(struct __sk_buff *skb, struct segment *s)
{
	__u8 ip[20], offset;
	__u32 l4;

	if (skb->protocol != bpf_htons(0x0800) || bpf_skb_load_bytes(skb, ETH_BYTES, ip, 20) ||
	    ip[9] != 6)
		return 0;
	l4 = ETH_BYTES + (ip[0] & 15) * 4;
	if (bpf_skb_load_bytes(skb, l4 + 12, &offset, 1) ||
	    bpf_skb_load_bytes(skb, l4, &s->ports, 4))
		return 0;
	s->header = l4 + (offset >> 4) * 4;
	s->sender = ip[15];
	return skb->len > s->header;
}

static __always_inline int lose(struct __sk_buff *skb, __u32 per_mille)
{
	struct segment s;

	if (!has_payload(skb, &s))
		return TC_ACT_OK;
	count(COUNT_SEEN);
	if (bpf_get_prandom_u32() % 1000 >= per_mille)
		return TC_ACT_OK;
	count(COUNT_LOST);
	return TC_ACT_STOLEN;
}

SEC("tc")
int lossy_1(struct __sk_buff *skb)
{
	return lose(skb, 1);
}

SEC("tc")
int lossy_10(struct __sk_buff *skb)
{
	return lose(skb, 10);
}

static __always_inline int hold(struct __sk_buff *skb, struct held *h, const struct segment *s)
{
	__u32 len = skb->len;

	if (len - 1 >= HELD_MAX ||
	    __sync_val_compare_and_swap(&h->state, HELD_NONE, HELD_BUSY) != HELD_NONE)
		return TC_ACT_OK;
	if (bpf_skb_load_bytes(skb, 0, h->data, len)) {
		h->state = HELD_NONE;
		return TC_ACT_OK;
	}
	h->len = len;
	h->header = s->header;
	h->ports = s->ports;
	h->passed = 0;
	__sync_lock_test_and_set(&h->state, HELD_ONE);
	return TC_ACT_STOLEN;
}

SEC("tc")
int lossy_reorder(struct __sk_buff *skb)
{
	struct segment s;
	struct held *h;
	__u32 len;

	if (skb->mark == PASS_MARK || !has_payload(skb, &s) || skb->gso_segs > 1)
		return TC_ACT_OK;
	h = bpf_map_lookup_elem(&lossy_held, &s.sender);
	if (!h)
		return TC_ACT_OK;
	if (count(COUNT_SEEN) % EVERY == EVERY / 2)
		return hold(skb, h, &s);
	if (*(volatile __u32 *)&h->state != HELD_ONE)
		return TC_ACT_OK;
	if (h->ports == s.ports &&
	    (__sync_fetch_and_add(&h->passed, 1) < DISTANCE || h->header != s.header))
		return TC_ACT_OK;
	if (__sync_val_compare_and_swap(&h->state, HELD_ONE, HELD_BUSY) != HELD_ONE)
		return TC_ACT_OK;
	len = h->len;
	/* That of a connection that is over goes away. */
	if (h->ports == s.ports && len - 1 < HELD_MAX) {
		skb->mark = PASS_MARK;
		if (!bpf_clone_redirect(skb, skb->ifindex, 0) &&
		    !bpf_skb_change_tail(skb, len, 0) &&
		    !bpf_skb_store_bytes(skb, 0, h->data, len, 0))
			count(COUNT_MOVED);
		skb->mark = 0;
	}
	__sync_lock_test_and_set(&h->state, HELD_NONE);
	return TC_ACT_OK;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
