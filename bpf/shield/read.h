/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_READ_H
#define BPFAST_SHIELD_READ_H
/*
 * A packet as fingerprints see it. Only for packets that are sampled, or go to
 * where a fingerprint is in force.
 */
#include "shield/count.h"
#include "shield/parse.h"

#define SHIELD_OPTIONS 40

struct shield_options {
	__u64 word[SHIELD_OPTIONS / 8 + 3]; /* with room for a read behind the end */
	__u32 bytes;
	__u32 pad;
};

/* enum bpfast_fp_option of each kind that has its own bit (RFC 9293, 7323, 2018, 7413). */
static const __u8 shield_option_bit[64] = {
	[2] = BPFAST_FPO_MSS,  [3] = BPFAST_FPO_WINDOW_SCALE, [4] = BPFAST_FPO_SACK_OK,
	[5] = BPFAST_FPO_SACK, [8] = BPFAST_FPO_TIMESTAMP,    [34] = BPFAST_FPO_FAST_OPEN,
};

/* What options there are. */
__attribute__((noinline)) int shield_options(const struct shield_options *o)
{
	const __u8 *b = (const __u8 *)o;
	volatile __u32 at = 0, mask = 0;
	__u32 i, bytes;

	if (!o)
		return 0;
	bytes = o->bytes;
	for (i = 0; i < SHIELD_OPTIONS; i++) {
		__u32 pos = at, kind, length, bit;

		if (pos >= bytes)
			break;
		kind = b[pos & 63];
		if (!kind)
			break;
		if (kind == 1) {
			at = pos + 1;
			continue;
		}
		length = b[(pos + 1) & 63];
		if (length < 2 || pos + length > bytes)
			return (mask | BPFAST_FPO_BROKEN) & 0xff;
		bit = shield_option_bit[kind & 63];
		mask |= bit && kind < 64 ? bit : BPFAST_FPO_OTHER;
		at = pos + length;
	}
	return mask & 0xff;
}

/* --- the frame's beginning, where it can be read without its bounds --- */

static __always_inline struct bpfast_measure_cpu *shield_cpu(void)
{
	__u32 cpu = bpf_get_smp_processor_id();

	return bpf_map_lookup_elem(&bpfast_shcpu, &cpu);
}

/* n, of which the verifier knows without a comparison that it is 1..BPFAST_FRAME_ROOM: that of 6.1 knows
 * bounds only of the very register that was compared, and what the compiler tests it may leave out. */
static __always_inline __u32 shield_fetch_size(__u32 n)
{
	n = n < BPFAST_PACKET_BYTES ? n : BPFAST_PACKET_BYTES;
	n--;
	asm volatile("" : "+r"(n));
	n &= BPFAST_FRAME_ROOM - 1;
	return n + 1;
}

/* Both return 0; then the beginning of the frame lies in the CPU's own memory. */
__attribute__((noinline)) int shield_fetch_xdp(struct xdp_md *xdp)
{
	struct bpfast_measure_cpu *c = shield_cpu();
	__u32 n = xdp->data_end - xdp->data;

	if (!c)
		return -1;
	c->bytes = 0;
	n = shield_fetch_size(n);
	if (bpf_xdp_load_bytes(xdp, 0, c->frame, n))
		return -1;
	c->bytes = n;
	return 0;
}

__attribute__((noinline)) int shield_fetch_skb(struct __sk_buff *skb)
{
	struct bpfast_measure_cpu *c = shield_cpu();
	__u32 n = skb->len;

	if (!c)
		return -1;
	c->bytes = 0;
	n = shield_fetch_size(n);
	if (bpf_skb_load_bytes(skb, 0, c->frame, n))
		return -1;
	c->bytes = n;
	return 0;
}

/* --- reading it --- */

/* n bytes at an offset, or NULL: so many are not there. n is at most the room behind the frame. */
static __always_inline const __u8 *shield_there(const struct bpfast_measure_cpu *c, __u32 off,
						__u32 n)
{
	if (off + n > c->bytes)
		return 0;
	asm volatile("" : "+r"(off));
	return &c->frame[off & (BPFAST_FRAME_ROOM - 1)];
}

/* Eight bytes of which n are the packet's; zeroes behind them. */
static __always_inline __u64 shield_eight(const struct bpfast_measure_cpu *c, __u32 off, __u32 n)
{
	__u32 left = off < c->bytes ? c->bytes - off : 0;
	__u64 v;

	n = n < left ? n : left;
	if (!n)
		return 0;
	asm volatile("" : "+r"(off));
	v = *(const __u64 *)&c->frame[off & (BPFAST_FRAME_ROOM - 1)];
	if (n >= 8)
		return v;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return v & ((1ull << (n * 8 & 63)) - 1);
#else
	return v & ~(~0ull >> (n * 8 & 63));
#endif
}

/* TCP's window and options. */
static __always_inline void shield_read_tcp(const struct bpfast_measure_cpu *c,
					    const struct shield_packet *p, __u32 off,
					    struct bpfast_fp_packet *r)
{
	const __u8 *at = shield_there(c, off, 20);
	struct shield_options o = {0};
	int i;

	if (!at)
		return;
	r->window = bpf_ntohs(*(const __be16 *)(at + 14));
	r->tcp_flags = p->tcp_flags;
	o.bytes = ((at[12] >> 4) * 4 - 20) & 63;
	r->option_bytes = o.bytes;
	at = o.bytes ? shield_there(c, off + 20, o.bytes) : 0;
	if (!at)
		return;
	for (i = 0; i < SHIELD_OPTIONS / 8; i++)
		o.word[i] = ((const __u64 *)at)[i];
	r->options = shield_options(&o);
}

/* What was fetched, of a packet that was parsed. Returns where the payload begins in the frame. */
__attribute__((noinline)) int shield_read(const struct shield_packet *p, struct bpfast_fp_packet *r)
{
	const struct bpfast_measure_cpu *c = shield_cpu();
	__u32 off, left, fragment, head = 0;
	const __u8 *at;

	if (!c || !p || !r)
		return 0;
	off = p->at;
	left = p->left;
	shield_address(r->destination, p->destination, p->version);
	r->length = off + left - p->ip;
	r->ip_version = p->version;
	r->protocol = p->protocol;
	at = shield_there(c, p->ip, 20);
	if (!at)
		return off;
	if (p->version == 4) {
		r->id = bpf_ntohs(*(const __be16 *)(at + 4));
		r->ttl = at[8];
		fragment = bpf_ntohs(*(const __be16 *)(at + 6));
		r->form = (fragment & 0x4000 ? BPFAST_FPF_DF : 0) |
			  (fragment & 0x2000 ? BPFAST_FPF_MORE : 0);
	} else {
		r->ttl = p->hop_limit;
	}
	if (p->flags & SHIELD_LATER_FRAGMENT) {
		r->form |= BPFAST_FPF_LATER;
		return off;
	}
	r->source_port = bpf_ntohs(p->source_port);
	r->destination_port = bpf_ntohs(p->destination_port);
	switch (p->protocol) {
	case SHIELD_TCP:
		shield_read_tcp(c, p, off, r);
		head = 20 + r->option_bytes;
		break;
	case SHIELD_UDP:
		head = 8;
		break;
	case SHIELD_ICMP:
	case SHIELD_ICMPV6:
		head = 8;
		at = shield_there(c, off, 2);
		if (at)
			r->source_port = at[0] << 8 | at[1];
		break;
	}
	left = left > head ? left - head : 0;
	off += head;
	r->payload_bytes = left < BPFAST_FP_PAYLOAD ? left : BPFAST_FP_PAYLOAD;
	r->payload[0] = shield_eight(c, off, left);
	r->payload[1] = shield_eight(c, off + 8, left > 8 ? left - 8 : 0);
	return off;
}

#endif
