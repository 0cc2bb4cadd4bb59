// SPDX-License-Identifier: Apache-2.0
/* Building and reading frames. */
#include "packet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/ether.h>
#include <stdio.h>
#include <string.h>

static void put16(uint8_t *p, unsigned int v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v & 0xffff);
}

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

uint16_t packet_sum(const void *p, size_t n, uint32_t sum)
{
	const uint8_t *b = p;
	uint64_t s = sum;

	for (size_t i = 0; i + 1 < n; i += 2)
		s += get16(b + i);
	if (n & 1)
		s += (uint32_t)b[n - 1] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return (uint16_t)s;
}

static void put_mac(uint8_t *to, const char *text)
{
	struct ether_addr mac;

	if (!ether_aton_r(text, &mac))
		fail_msg("not a MAC address: %s", text);
	memcpy(to, &mac, 6);
}

static void put_ip(uint8_t *to, int family, const char *text)
{
	if (inet_pton(family, text, to) != 1)
		fail_msg("not an address: %s", text);
}

/* Where a finished layer lies. */
struct place {
	size_t at;
	const uint8_t *ip; /* the innermost IP header around it */
	bool v6;
};

static size_t padded(const struct bytes *b)
{
	return (b->n + 3) & ~(size_t)3;
}

static size_t header_size(const struct layer *l)
{
	switch (l->kind) {
	case L_ETH:
		return 14;
	case L_VLAN:
		return 4;
	case L_ARP:
		return 28;
	case L_IP4:
		return 20 + padded(&l->opt);
	case L_IP6:
		return 40;
	case L_EXT:
		return l->proto == 44 ? 8 : (2 + l->opt.n + 7) & ~(size_t)7;
	case L_TCP:
		return 20 + padded(&l->opt);
	case L_UDP:
	case L_ICMP:
		return 8;
	case L_DATA:
	case L_PAD:
		return l->data.n;
	default:
		return 0;
	}
}

static int ether_type(const struct layer *l)
{
	switch (l->kind) {
	case L_VLAN:
		return 0x8100;
	case L_ARP:
		return 0x0806;
	case L_IP6:
		return 0x86dd;
	default:
		return 0x0800;
	}
}

/* The protocol number that announces a layer, inside IPv4 or IPv6. */
static int protocol(const struct layer *l, bool v6)
{
	switch (l->kind) {
	case L_TCP:
		return 6;
	case L_UDP:
		return 17;
	case L_ICMP:
		return v6 ? 58 : 1;
	case L_EXT:
		return l->proto;
	case L_IP4:
		return 4;
	case L_IP6:
		return 41;
	default:
		return 59;
	}
}

/* The sum of the pseudo-header for n bytes of protocol proto inside the IP header at ip. */
static uint32_t pseudo(const uint8_t *ip, bool v6, int proto, size_t n)
{
	uint32_t sum = (uint32_t)proto + (uint32_t)n;

	return v6 ? packet_sum(ip + 8, 32, sum) : packet_sum(ip + 12, 8, sum);
}

/* Options or data behind the fixed part of a header; the rest of the header stays 0. */
static void put_bytes(uint8_t *to, const struct bytes *b)
{
	if (b->n)
		memcpy(to, b->p, b->n);
}

static void write_header(const struct layer *l, const struct layer *next, uint8_t *p, size_t len,
			 bool v6)
{
	size_t header = header_size(l);
	int after = l->next ? l->next : next ? protocol(next, v6) : 59;

	switch (l->kind) {
	case L_ETH:
		put_mac(p, l->dst ? l->dst : MAC_POD);
		put_mac(p + 6, l->src ? l->src : MAC_NET);
		put16(p + 12, (unsigned int)(l->proto ? l->proto : next ? ether_type(next) : 0));
		break;
	case L_VLAN:
		put16(p, 7);
		put16(p + 2, (unsigned int)(l->proto ? l->proto : next ? ether_type(next) : 0));
		break;
	case L_ARP:
		memcpy(p, "\0\1\x08\0\6\4", 6);
		put16(p + 6, (unsigned int)l->op);
		put_mac(p + 8, l->sha ? l->sha : MAC_NET);
		put_ip(p + 14, AF_INET, l->src ? l->src : OUT4);
		put_ip(p + 24, AF_INET, l->dst ? l->dst : POD4);
		break;
	case L_IP4:
		p[0] = (uint8_t)((l->version ? l->version : 4) << 4 |
				 (l->ihl ? l->ihl / 4 : (int)header / 4));
		put16(p + 2, (unsigned int)((int)len + l->len_add));
		put16(p + 4, l->id);
		put16(p + 6, l->frag / 8u | (l->more ? 0x2000u : 0));
		p[8] = (uint8_t)(l->hop_limit ? l->hop_limit : 64);
		p[9] = (uint8_t)after;
		put_ip(p + 12, AF_INET, l->src ? l->src : OUT4);
		put_ip(p + 16, AF_INET, l->dst ? l->dst : POD4);
		put_bytes(p + 20, &l->opt);
		put16(p + 10, (uint16_t)~packet_sum(p, header, l->bad_sum));
		break;
	case L_IP6:
		p[0] = (uint8_t)((l->version ? l->version : 6) << 4);
		put16(p + 4, (unsigned int)((int)len - 40 + l->len_add));
		p[6] = (uint8_t)after;
		p[7] = (uint8_t)(l->hop_limit ? l->hop_limit : 64);
		put_ip(p + 8, AF_INET6, l->src ? l->src : OUT6);
		put_ip(p + 24, AF_INET6, l->dst ? l->dst : POD6);
		break;
	case L_EXT:
		p[0] = (uint8_t)after;
		if (l->proto == 44) {
			put16(p + 2, l->frag | (l->more ? 1u : 0));
			put32(p + 4, l->id);
			break;
		}
		p[1] = (uint8_t)(header / 8 - 1 + (size_t)l->len_add);
		put_bytes(p + 2, &l->opt);
		/* PadN where nothing was given */
		if (!l->opt.n) {
			p[2] = 1;
			p[3] = 4;
		}
		break;
	case L_TCP:
		put16(p, l->sport);
		put16(p + 2, l->dport);
		put32(p + 4, l->seq);
		put32(p + 8, l->ack);
		p[12] = (uint8_t)((l->doff ? l->doff : (int)header) / 4 << 4);
		p[13] = (uint8_t)l->flags;
		put16(p + 14, 64000);
		put16(p + 18, l->urgent);
		put_bytes(p + 20, &l->opt);
		break;
	case L_UDP:
		put16(p, l->sport);
		put16(p + 2, l->dport);
		put16(p + 4, (unsigned int)((int)len + l->len_add));
		break;
	case L_ICMP:
		p[0] = (uint8_t)l->type;
		p[1] = (uint8_t)l->code;
		put32(p + 4, l->rest);
		break;
	case L_DATA:
	case L_PAD:
		put_bytes(p, &l->data);
		break;
	default:
		break;
	}
}

static void write_sum(const struct layer *l, uint8_t *p, size_t len, const uint8_t *ip, bool v6)
{
	size_t at;
	uint32_t sum;

	if (l->kind == L_TCP)
		at = 16;
	else if (l->kind == L_UDP)
		at = 6;
	else if (l->kind == L_ICMP)
		at = 2;
	else
		return;
	sum = l->kind == L_ICMP && !v6 ? 0 : pseudo(ip, v6, protocol(l, v6), len);
	sum = (uint16_t)~packet_sum(p, len, sum);
	if (l->kind == L_UDP && !sum)
		sum = 0xffff;
	if (l->bad_sum)
		sum ^= 0x5555;
	if (!l->no_sum)
		put16(p + at, sum);
}

struct frame *packet_build(const struct layer *layers, size_t n)
{
	static _Thread_local struct frame ring[FRAME_RING];
	static _Thread_local unsigned int turn;
	struct frame *f = &ring[turn++ % FRAME_RING];
	struct place place[32];
	size_t len = 0, packet_end = 0;
	const uint8_t *ip = f->b;
	bool v6 = false;

	assert_true(n <= 32);
	memset(f, 0, sizeof(*f));
	for (size_t i = 0; i < n; i++) {
		place[i].at = len;
		if (layers[i].kind == L_IP4 || layers[i].kind == L_IP6) {
			ip = f->b + len;
			v6 = layers[i].kind == L_IP6;
		}
		place[i].ip = ip;
		place[i].v6 = v6;
		len += header_size(&layers[i]);
		if (layers[i].kind != L_PAD)
			packet_end = len;
		assert_true(len <= FRAME_MAX);
	}
	for (size_t i = 0; i < n; i++) {
		const struct layer *next = i + 1 < n ? &layers[i + 1] : NULL;

		if (next && next->kind >= L_POKE)
			next = NULL;
		write_header(&layers[i], next, f->b + place[i].at, packet_end - place[i].at,
			     place[i].v6);
	}
	/* Inner checksums first: an ICMP error covers the packet inside it. */
	for (size_t i = n; i-- > 0;)
		write_sum(&layers[i], f->b + place[i].at, packet_end - place[i].at, place[i].ip,
			  place[i].v6);
	for (size_t i = 0; i < n; i++) {
		const struct layer *l = &layers[i];

		if (l->kind == L_POKE) {
			assert_true((size_t)l->at + l->data.n <= len);
			memcpy(f->b + l->at, l->data.p, l->data.n);
		} else if (l->kind == L_CUT) {
			assert_true((size_t)l->at <= len);
			len = (size_t)l->at;
		}
	}
	f->len = len;
	return f;
}

/* --- reading ------------------------------------------------------------------- */

struct seen_tcp packet_read_tcp(const uint8_t *frame, size_t len)
{
	struct seen_tcp t = {.eth = frame};
	size_t l3 = 14, l4, total;
	const uint8_t *ip, *tcp;
	unsigned int type;

	assert_true(len >= 14);
	type = get16(frame + 12);
	while (type == 0x8100 || type == 0x88a8) {
		assert_true(len >= l3 + 4);
		type = get16(frame + l3 + 2);
		l3 += 4;
	}
	ip = frame + l3;
	assert_true(len >= l3 + 20);
	t.version = ip[0] >> 4;
	if (type == 0x0800) {
		assert_int_equal(t.version, 4);
		l4 = (ip[0] & 15) * 4u;
		total = get16(ip + 2);
		assert_true(l4 >= 20 && total >= l4);
		assert_int_equal(packet_sum(ip, l4, 0), 0xffff);
		assert_int_equal(ip[9], 6);
		t.ttl = ip[8];
		inet_ntop(AF_INET, ip + 12, t.src, sizeof(t.src));
		inet_ntop(AF_INET, ip + 16, t.dst, sizeof(t.dst));
	} else {
		assert_int_equal(type, 0x86dd);
		assert_int_equal(t.version, 6);
		assert_true(len >= l3 + 40);
		total = 40 + get16(ip + 4);
		t.ttl = ip[7];
		l4 = 40;
		for (unsigned int next = ip[6]; next != 6;) {
			assert_true(next == 0 || next == 60);
			next = ip[l4];
			l4 += (ip[l4 + 1] + 1u) * 8;
			assert_true(l4 + 20 <= total);
		}
		inet_ntop(AF_INET6, ip + 8, t.src, sizeof(t.src));
		inet_ntop(AF_INET6, ip + 24, t.dst, sizeof(t.dst));
	}
	assert_int_equal(l3 + total, len);
	tcp = ip + l4;
	assert_true(total >= l4 + 20);
	assert_int_equal(packet_sum(tcp, total - l4, pseudo(ip, t.version == 6, 6, total - l4)),
			 0xffff);
	t.sport = (uint16_t)get16(tcp);
	t.dport = (uint16_t)get16(tcp + 2);
	t.seq = get32(tcp + 4);
	t.ack = get32(tcp + 8);
	t.flags = tcp[13];
	t.window = (uint16_t)get16(tcp + 14);
	t.opt = tcp + 20;
	t.opt_len = (tcp[12] >> 4) * 4u - 20;
	assert_true(total >= l4 + 20 + t.opt_len);
	t.data = t.opt + t.opt_len;
	t.data_len = total - l4 - 20 - t.opt_len;
	return t;
}
