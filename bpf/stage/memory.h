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
 *   that it belongs into the middle of the payload (PACKET_VNET_HDR, CAP_NET_RAW).
 *
 * No UAPI header tells. These are the members of kernel structures that do, found by
 * their names in the kernel's BTF.
 */
#include <bpf/bpf_core_read.h>

#include "stage/types.h"

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
#define TCP_CHECK_OFF 16

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

/* By calls; `frags`: there are pages besides the head. */
static __always_inline int memory_probe(struct sk_buff *kernel, struct memory *m, int frags)
{
	struct skb_shared_info *info;

	if (READ(m->head, kernel->head))
		return -1;
	if (frags) {
		if (READ(m->end, kernel->end))
			return -1;
		info = (struct skb_shared_info *)(m->head + m->end);
		if (READ(m->flags, info->flags))
			return -1;
	}
	m->summed = BPF_CORE_READ_BITFIELD_PROBED(kernel, ip_summed);
	if (m->summed != CHECKSUM_PARTIAL)
		return 0;
	return READ(m->data, kernel->data) || READ(m->start, kernel->csum_start) ||
	       READ(m->offset, kernel->csum_offset);
}

static __always_inline int memory_cast(struct __sk_buff *skb, struct memory *m, int frags)
{
	struct sk_buff *kernel = bpf_cast_to_kern_ctx(skb);

	m->head = kernel->head;
	if (frags) {
		struct skb_shared_info *info =
			bpf_rdonly_cast(kernel->head + kernel->end,
					bpf_core_type_id_kernel(struct skb_shared_info));

		m->flags = info->flags;
	}
	m->summed = BPF_CORE_READ_BITFIELD(kernel, ip_summed);
	m->data = kernel->data;
	m->start = kernel->csum_start;
	m->offset = kernel->csum_offset;
	return 0;
}

/*
 * Fills s->shared: must what is read be made our own first? Returns a reason where the
 * packet's checksum would be written elsewhere than into its TCP header.
 */
static __noinline __u32 memory_check(struct __sk_buff *skb, struct scratch *s)
{
	int frags = skb->data_end - skb->data < skb->len;
	struct memory m = {};

	if (bpf_cast_to_kern_ctx ? memory_cast(skb, &m, frags)
				 : memory_probe((struct sk_buff *)skb, &m, frags))
		return BPFAST_R_INTERNAL;
	s->shared = m.flags & SHARED_FRAG;
	if (m.summed == CHECKSUM_PARTIAL &&
	    (m.head + m.start != m.data + s->pkt.l4_off || m.offset != TCP_CHECK_OFF))
		return BPFAST_R_MALFORMED;
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
