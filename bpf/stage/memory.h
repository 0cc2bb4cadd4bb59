/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_MEMORY_H
#define BPFAST_STAGE_MEMORY_H
/*
 * Whose memory is the packet? What was judged must not change before the server
 * reads it, and there are two ways to change it behind our back:
 *
 * - The payload lies in pages that are the sender's still: sendfile() and splice()
 *   hand over pages of files, which an ordinary program may go on writing to.
 * - The checksum is not written yet (CHECKSUM_PARTIAL), and the sender has said
 *   that it belongs elsewhere (PACKET_VNET_HDR, CAP_NET_RAW).
 *
 * No UAPI header tells. These are the members of kernel structures that do, found by
 * their names in the kernel's BTF.
 */
#include <bpf/bpf_core_read.h>

#include "stage/parse.h"

struct skb_shared_info {
	__u8 flags;
} __attribute__((preserve_access_index));

struct sk_buff {
	__u8 ip_summed : 2;
	__u16 csum_start; /* from head */
	__u16 csum_offset;
	__u32 end; /* of the head, and where skb_shared_info lies: from head */
	unsigned char *head;
	unsigned char *data;
} __attribute__((preserve_access_index));

#define CHECKSUM_PARTIAL 3
/* SKBFL_SHARED_FRAG: bit 1 from Linux 5.12 on. */
#define SHARED_FRAG 2
/* Where the field lies in a header. */
#define TCP_CHECK_OFF 16
#define UDP_CHECK_OFF 6
#define SCTP_CHECK_OFF 8

/* Linux 6.2: kernel structures read as they are. Before, each read is a call. */
extern void *bpf_cast_to_kern_ctx(void *) __ksym __weak;
extern void *bpf_rdonly_cast(const void *, __u32)
__ksym __weak;

struct memory {
	unsigned char *head, *data;
	__u32 end;
	__u32 summed;
	__u16 start, offset;
	__u8 flags;
};

#define READ(to, from) bpf_probe_read_kernel(&(to), sizeof(to), &(from))

/* The sum that is to be written: by calls. */
static __always_inline int checksum_probe(struct sk_buff *kernel, struct memory *m)
{
	m->summed = BPF_CORE_READ_BITFIELD_PROBED(kernel, ip_summed);
	if (m->summed != CHECKSUM_PARTIAL)
		return 0;
	return READ(m->head, kernel->head) || READ(m->data, kernel->data) ||
	       READ(m->start, kernel->csum_start) || READ(m->offset, kernel->csum_offset);
}

static __always_inline int checksum_cast(struct __sk_buff *skb, struct memory *m)
{
	struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);

	m->summed = BPF_CORE_READ_BITFIELD(kernel, ip_summed);
	m->head = kernel->head;
	m->data = kernel->data;
	m->start = kernel->csum_start;
	m->offset = kernel->csum_offset;
	return 0;
}

/*
 * Where would the packet's checksum be written, once we have read it? Into its own
 * field, or into a packet that a pod's tunnel has wrapped; else it could turn a
 * port, a sequence number, a header's length into another. Returns a reason, or NONE.
 */
static __noinline __u32 checksum_check(struct __sk_buff *skb, const struct scratch *s)
{
	const struct packet *pkt = &s->pkt;
	__u32 l4 = pkt->l4_off, field, inner;
	__u64 start;
	struct memory m = {};

	if (bpf_cast_to_kern_ctx ? checksum_cast(skb, &m)
				 : checksum_probe((struct sk_buff *)skb, &m))
		return BPFAST_R_INTERNAL;
	if (m.summed != CHECKSUM_PARTIAL)
		return BPFAST_R_NONE;
	start = (__u64)(m.head + m.start) - (__u64)m.data;
	__asm__ volatile("" : "+r"(start)); /* addresses are not reckoned with in 32 bits */
	if (pkt->protocol == PROTO_TCP && !(pkt->flags & ~PKT_COPIED))
		return start == l4 && m.offset == TCP_CHECK_OFF ? BPFAST_R_NONE
								: BPFAST_R_MALFORMED;
	/* Nobody leaves these for later. */
	if (pkt->flags & (PKT_FRAGMENT | PKT_ARP | PKT_LINK_CONTROL | PKT_ICMP_ERROR) || !l4)
		return BPFAST_R_MALFORMED;
	field = TCP_CHECK_OFF;
	inner = ~0u;
	if (pkt->protocol == PROTO_UDP) {
		field = UDP_CHECK_OFF;
		inner = pkt->payload_off;
	} else if (pkt->protocol == PROTO_SCTP) {
		field = SCTP_CHECK_OFF;
	} else if (pkt->protocol != PROTO_TCP) { /* no ports that were judged */
		field = m.offset;
		inner = l4;
	}
	if (start == l4 && m.offset == field)
		return BPFAST_R_NONE;
	return start >= inner && start < skb->len ? BPFAST_R_NONE : BPFAST_R_MALFORMED;
}

/* Are there pages besides the head, and whose? */
static __always_inline int memory_probe(struct sk_buff *kernel, struct memory *m)
{
	struct skb_shared_info *info;

	if (READ(m->head, kernel->head) || READ(m->end, kernel->end))
		return -1;
	info = (struct skb_shared_info *)(m->head + m->end);
	return READ(m->flags, info->flags);
}

static __always_inline int memory_cast(struct __sk_buff *skb, struct memory *m)
{
	struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);
	struct skb_shared_info *info = bpf_rdonly_cast(
		kernel->head + kernel->end, bpf_core_type_id_kernel(struct skb_shared_info));

	m->flags = info->flags;
	return 0;
}

/* Fills s->shared: must what is read be made our own first? Returns a reason, or NONE. */
static __noinline __u32 memory_check(struct __sk_buff *skb, struct scratch *s)
{
	struct memory m = {};

	if (skb->data_end - skb->data < skb->len &&
	    (bpf_cast_to_kern_ctx ? memory_cast(skb, &m) : memory_probe((struct sk_buff *)skb, &m)))
		return BPFAST_R_INTERNAL;
	s->shared = m.flags & SHARED_FRAG;
	return BPFAST_R_NONE;
}

/*
 * Before the frame's first n bytes are read to be judged. 0: they are private now. The
 * copy lies in the packet itself; other packets may refer to the same pages.
 */
static __always_inline int memory_own(struct __sk_buff *skb, const struct scratch *s, __u32 n)
{
	return s->shared ? (int)bpf_skb_pull_data(skb, n) : 0;
}

#endif
