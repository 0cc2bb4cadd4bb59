/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_REPLY_H
#define BPFAST_SHIELD_REPLY_H
/*
 * A SYN becomes the SYN-ACK that answers it, in the frame it came in: never longer than the
 * SYN was, so that nothing is gained by naming somebody else as its source.
 */
#include "shield/count.h"

/* skb->mark of an answer, for the program that looks at what goes out. A veth between namespaces
 * clears marks. */
#define SHIELD_MARK 0x42465332u
/* Without its padding an Ethernet frame is no shorter. */
#define SHIELD_FRAME_LEAST 60

/* Linux's own values where a peer or listener says none (RFC 9293, section 3.7.1). */
#define SHIELD_MSS4 536
#define SHIELD_MSS6 1220
#define SHIELD_WINDOW 14600

enum shield_has { SHIELD_HAS_SACK = 1 << 0, SHIELD_HAS_WSCALE = 1 << 1, SHIELD_HAS_TIME = 1 << 2 };

/*
 * What Linux hides in the six low bits of the timestamp of a SYN-ACK with a cookie, and reads from the
 * ACK: the client's window scale, or 15 for none; SACK; ECN (net/ipv4/syncookies.c).
 */
#define SHIELD_TS_BITS 6
#define SHIELD_TS_NO_WSCALE 15
#define SHIELD_TS_SACK 16

struct shield_syn {
	__u8 tcp[60]; /* as it came */
	__u32 header; /* bytes of it */
	/* Options that were found in it. */
	__u32 value, left, at, kind; /* of the one under way */
	__u32 time;
	__u16 mss;
	__u8 wscale, has; /* enum shield_has */
	/* The answer. */
	__u8 ip[40];
	__u8 reply[40];
	__u32 size; /* bytes of reply: 20, 24, 36 or 40 */
	__u32 sum, pseudo; /* of it, its checksum 0; of the pseudo-header, folded */
};

/* Room for one: programs here never nest on a CPU, and the stack has none. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct shield_syn);
} bpfast_shsyn SEC(".maps");

static __always_inline struct shield_syn *shield_syn_new(void)
{
	__u32 zero = 0;
	struct shield_syn *s = bpf_map_lookup_elem(&bpfast_shsyn, &zero);

	if (s)
		__builtin_memset(s, 0, sizeof(*s));
	return s;
}

static __always_inline __u32 shield_fold(__u64 sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (__u32)((sum >> 16) + (sum & 0xffff));
}

static __always_inline void shield_put16(__u8 *at, __u32 v)
{
	*(__be16 *)at = bpf_htons((__u16)v);
}

static __always_inline void shield_put32(__u8 *at, __u32 v)
{
	*(__be32 *)at = bpf_htonl(v);
}

/* Global functions: see lists.h. Byte by byte and in memory: so the verifier does not follow every length. */

__attribute__((noinline)) int shield_syn_options(struct shield_syn *s)
{
	int i;

	if (!s)
		return 0;
	for (i = 20; i < 60; i++) {
		__u8 byte = s->tcp[i];

		if ((__u32)i >= s->header)
			break;
		if (!s->left) {
			if (byte == 0)
				break;
			if (byte == 1)
				continue;
			s->kind = byte;
			s->at = 0;
			s->value = 0;
			s->left = 2;
		} else if (s->at == 1) {
			if (byte < 2)
				break;
			s->left = byte - 1u;
		} else {
			s->value = s->value << 8 | byte;
			if (s->kind == 8 && s->at == 5)
				s->time = s->value;
		}
		s->at++;
		if (--s->left)
			continue;
		if (s->kind == 2 && s->at == 4) {
			s->mss = (__u16)s->value;
		} else if (s->kind == 3 && s->at == 3) {
			s->wscale = s->value > 14 ? 14 : (__u8)s->value;
			s->has |= SHIELD_HAS_WSCALE;
		} else if (s->kind == 4 && s->at == 2) {
			s->has |= SHIELD_HAS_SACK;
		} else if (s->kind == 8 && s->at == 10) {
			s->has |= SHIELD_HAS_TIME;
		}
	}
	return 0;
}

/* The IP header, and the sum of the pseudo-header. Addresses are swapped. */
static __always_inline void shield_reply_ip(const struct shield_packet *p, struct shield_syn *s)
{
	__u64 sum = (__u64)bpf_htonl(s->size) + bpf_htonl(SHIELD_TCP);
	__u8 *ip = s->ip;

	sum += (p->source[1] & 0xffffffff) + (p->source[1] >> 32);
	sum += (p->destination[1] & 0xffffffff) + (p->destination[1] >> 32);
	if (p->version == 4) {
		ip[0] = 0x45;
		shield_put16(ip + 2, 20 + s->size);
		ip[6] = 0x40; /* do not fragment */
		ip[8] = 64;
		ip[9] = SHIELD_TCP;
		*(__be32 *)(ip + 12) = (__be32)p->destination[1];
		*(__be32 *)(ip + 16) = (__be32)p->source[1];
		*(__u16 *)(ip + 10) =
			(__u16)~shield_fold((__u32)bpf_csum_diff(0, 0, (__be32 *)ip, 20, 0));
	} else {
		sum += (p->source[0] & 0xffffffff) + (p->source[0] >> 32);
		sum += (p->destination[0] & 0xffffffff) + (p->destination[0] >> 32);
		ip[0] = 0x60;
		shield_put16(ip + 4, s->size);
		ip[6] = SHIELD_TCP;
		ip[7] = 64;
		*(__u64 *)(ip + 8) = p->destination[0];
		*(__u64 *)(ip + 16) = p->destination[1];
		*(__u64 *)(ip + 24) = p->source[0];
		*(__u64 *)(ip + 32) = p->source[1];
	}
	s->pseudo = shield_fold(sum);
}

/* The cookie and the MSS it stands for: the low 32 bits and those above; negative: none. */
static __always_inline __s64 shield_cookie_make(const struct shield_packet *p, struct shield_syn *s)
{
	__u32 header = s->header;

	if (header < 20 || header > 60)
		return -1;
	if (p->version == 4) {
		struct iphdr ip = {.saddr = (__be32)p->source[1],
				   .daddr = (__be32)p->destination[1]};

		return bpf_tcp_raw_gen_syncookie_ipv4(&ip, (struct tcphdr *)s->tcp, header);
	} else {
		struct ipv6hdr ip = {0};

		__builtin_memcpy(&ip.saddr, p->source, 16);
		__builtin_memcpy(&ip.daddr, p->destination, 16);
		return bpf_tcp_raw_gen_syncookie_ipv6(&ip, (struct tcphdr *)s->tcp, header);
	}
}

/* Is this the ACK to a cookie? */
static __always_inline int shield_cookie_right(const struct shield_packet *p)
{
	struct tcphdr tcp = {.source = p->source_port,
			     .dest = p->destination_port,
			     .seq = bpf_htonl(p->seq),
			     .ack_seq = bpf_htonl(p->ack),
			     .doff = 5,
			     .ack = 1};

	if (p->version == 4) {
		struct iphdr ip = {.saddr = (__be32)p->source[1],
				   .daddr = (__be32)p->destination[1]};

		return !bpf_tcp_raw_check_syncookie_ipv4(&ip, &tcp);
	} else {
		struct ipv6hdr ip = {0};

		__builtin_memcpy(&ip.saddr, p->source, 16);
		__builtin_memcpy(&ip.daddr, p->destination, 16);
		return !bpf_tcp_raw_check_syncookie_ipv6(&ip, &tcp);
	}
}

/* Our timestamp: the listener's clock (milliseconds), a little in the past, with what the ACK must
 * bring back. */
static __always_inline __u32 shield_cookie_time(const struct shield_syn *s, int wscale)
{
	__u32 now = (__u32)(bpf_ktime_get_ns() / 1000000), time;

	time = now >> SHIELD_TS_BITS << SHIELD_TS_BITS;
	time |= wscale ? s->wscale : SHIELD_TS_NO_WSCALE;
	if (s->has & SHIELD_HAS_SACK)
		time |= SHIELD_TS_SACK;
	if ((__s32)(time - now) > 0)
		time -= 1 << SHIELD_TS_BITS;
	return time;
}

/* Fills ip, reply, size, sum and pseudo from tcp. 0, or -1. */
__attribute__((noinline)) int shield_reply_make(const struct shield_packet *p, struct shield_syn *s)
{
	struct bpfast_shield_cookie_key key = {0};
	const struct bpfast_shield_cookie *c;
	__u32 room, mss, wscale = 0;
	__s64 cookie;
	__u8 *t;

	if (!p || !s)
		return -1;
	shield_address(key.addr, p->destination, p->version);
	key.port = p->destination_port;
	c = bpf_map_lookup_elem(&bpfast_shck, &key);
	if (!c)
		return -1;
	cookie = shield_cookie_make(p, s);
	if (cookie < 0)
		return -1;
	shield_syn_options(s);
	room = s->header - 20;
	mss = c->mss ? c->mss : p->version == 4 ? SHIELD_MSS4 : SHIELD_MSS6;
	t = s->reply;
	*(__be16 *)t = p->destination_port;
	*(__be16 *)(t + 2) = p->source_port;
	shield_put32(t + 4, (__u32)cookie);
	shield_put32(t + 8, p->seq + 1);
	t[13] = SHIELD_SYN | SHIELD_ACK;
	shield_put16(t + 14, c->window ? c->window : SHIELD_WINDOW);
	s->size = 20;
	if (room >= 4) {
		t[20] = 2;
		t[21] = 4;
		shield_put16(t + 22, mss);
		s->size = 24;
	}
	/* Window scale and SACK come back in the timestamp, or not at all. */
	if (room >= 16 && c->timestamps && s->has & SHIELD_HAS_TIME) {
		wscale = room >= 20 && s->has & SHIELD_HAS_WSCALE &&
			 c->wscale != BPFAST_SHIELD_UNCHANGED;
		shield_put16(t + 24, s->has & SHIELD_HAS_SACK ? 0x0402 : 0x0101);
		shield_put16(t + 26, 0x080a);
		shield_put32(t + 28, shield_cookie_time(s, wscale));
		shield_put32(t + 32, s->time);
		s->size = 36;
		if (wscale) {
			shield_put32(t + 36, 0x01030300u | c->wscale);
			s->size = 40;
		}
	}
	t[12] = (__u8)(s->size << 2);
	s->sum = (__u32)bpf_csum_diff(0, 0, (__be32 *)t, 40, 0);
	shield_reply_ip(p, s);
	return 0;
}

/* Bytes that the frame has then. */
static __always_inline __u32 shield_reply_length(const struct shield_packet *p,
						 const struct shield_syn *s, __u32 was)
{
	__u32 length = p->at + s->size, least = was < SHIELD_FRAME_LEAST ? was : SHIELD_FRAME_LEAST;

	return length < least ? least : length;
}

static __always_inline void shield_mac_swap(__u8 *mac)
{
	__u8 was[6];

	__builtin_memcpy(was, mac, 6);
	__builtin_memcpy(mac, mac + 6, 6);
	__builtin_memcpy(mac + 6, was, 6);
}

/* --- the two kinds of hook --- */

static __always_inline int shield_syn_load_xdp(struct xdp_md *xdp, const struct shield_packet *p,
					       struct shield_syn *s)
{
	__u32 header;

	if (bpf_xdp_load_bytes(xdp, p->at, s->tcp, 20))
		return -1;
	header = (s->tcp[12] >> 4) * 4;
	/* The verifier is to see the comparison, not what the compiler makes of it. */
	asm volatile("" : "+r"(header));
	if (header < 20 || header > 60 || bpf_xdp_load_bytes(xdp, p->at, s->tcp, header))
		return -1;
	s->header = header;
	return 0;
}

static __always_inline int shield_syn_load_skb(struct __sk_buff *skb, const struct shield_packet *p,
					       struct shield_syn *s)
{
	__u32 header;

	if (bpf_skb_load_bytes(skb, p->at, s->tcp, 20))
		return -1;
	header = (s->tcp[12] >> 4) * 4;
	/* The verifier is to see the comparison, not what the compiler makes of it. */
	asm volatile("" : "+r"(header));
	if (header < 20 || header > 60 || bpf_skb_load_bytes(skb, p->at, s->tcp, header))
		return -1;
	s->header = header;
	return 0;
}

/* The frame becomes the answer, and *surplus bytes too long for it. -1: it is no more than half of one, to be dropped. */
static __always_inline int shield_answer_write(struct xdp_md *xdp, const struct shield_packet *p,
					       __u32 *surplus)
{
	struct shield_syn *s = shield_syn_new();
	__u32 was, length, size;
	__u8 mac[12];

	if (!p || !s || shield_syn_load_xdp(xdp, p, s) || shield_reply_make(p, s))
		return -1;
	size = s->size;
	asm volatile("" : "+r"(size));
	if (size < 20 || size > 40)
		return -1;
	*(__u16 *)(s->reply + 16) = (__u16)~shield_fold((__u64)s->sum + s->pseudo);
	if (bpf_xdp_load_bytes(xdp, 0, mac, 12))
		return -1;
	shield_mac_swap(mac);
	if (bpf_xdp_store_bytes(xdp, 0, mac, 12) ||
	    bpf_xdp_store_bytes(xdp, p->network, s->ip, p->version == 4 ? 20 : 40) ||
	    bpf_xdp_store_bytes(xdp, p->at, s->reply, size))
		return -1;
	was = (__u32)bpf_xdp_get_buff_len(xdp);
	length = shield_reply_length(p, s, was);
	*surplus = length < was ? was - length : 0;
	return 0;
}

__attribute__((noinline)) int shield_answer_xdp(struct xdp_md *xdp, const struct shield_packet *p)
{
	__u32 surplus;

	if (shield_answer_write(xdp, p, &surplus))
		return -1;
	return surplus ? (int)bpf_xdp_adjust_tail(xdp, -(int)surplus) : 0;
}

/*
 * The same where the frame has to keep its length. What is behind the datagram is padding, which receivers ignore.
 * No SYN without data has more options than that; one with data gets no answer, and comes again without.
 */
__attribute__((noinline)) int shield_answer_padded(struct xdp_md *xdp,
						   const struct shield_packet *p)
{
	__u32 surplus;

	return shield_answer_write(xdp, p, &surplus) || surplus > 40 ? -1 : 0;
}

/*
 * The same at TC, where a device may have to finish the checksum: bpf/stream/segment.h
 * says how that is written without knowing.
 */
__attribute__((noinline)) int shield_answer_skb(struct __sk_buff *skb,
						const struct shield_packet *p)
{
	struct shield_syn *s = shield_syn_new();
	__u32 length, size;
	__u64 diff;
	__u8 mac[12];

	if (!p || !s || shield_syn_load_skb(skb, p, s) || shield_reply_make(p, s))
		return -1;
	size = s->size;
	asm volatile("" : "+r"(size));
	if (size < 20 || size > 40)
		return -1;
	*(__u16 *)(s->reply + 16) = (__u16)s->pseudo;
	diff = (__u64)s->sum + 2 * (__u64)s->pseudo;
	diff = (diff >> 32) + (diff & 0xffffffff);
	if (bpf_skb_load_bytes(skb, 0, mac, 12))
		return -1;
	shield_mac_swap(mac);
	if (bpf_skb_store_bytes(skb, 0, mac, 12, 0) ||
	    bpf_skb_store_bytes(skb, p->network, s->ip, p->version == 4 ? 20 : 40, 0) ||
	    bpf_skb_store_bytes(skb, p->at, s->reply, size, 0) ||
	    bpf_l4_csum_replace(skb, p->at + 16, 0, (__u32)diff, 0))
		return -1;
	length = shield_reply_length(p, s, skb->len);
	if (length < skb->len && bpf_skb_change_tail(skb, length, 0))
		return -1;
	skb->mark = SHIELD_MARK;
	return 0;
}

#endif
