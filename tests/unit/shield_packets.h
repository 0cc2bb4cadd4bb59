/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHIELD_PACKETS_H
#define SHIELD_PACKETS_H
/* Headers and first bytes of packets, as honest stacks and as tools for floods send them. */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "shield/traffic.h"

struct dice {
	uint64_t state;
};

static inline uint64_t dice_next(struct dice *d)
{
	uint64_t z = d->state += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

/* low..high, both included */
static inline uint32_t dice_int(struct dice *d, uint32_t low, uint32_t high)
{
	return low + (uint32_t)(dice_next(d) % ((uint64_t)high - low + 1));
}

static inline double dice_unit(struct dice *d)
{
	return (double)(dice_next(d) >> 11) / 9007199254740992.0;
}

static inline int dice_chance(struct dice *d, double p)
{
	return dice_unit(d) < p;
}

/* The same number for the same question, whatever was asked between. */
static inline uint32_t fixed(uint64_t seed, uint32_t n)
{
	struct dice d = {seed};

	dice_next(&d);
	return (uint32_t)(dice_next(&d) % n);
}

enum service_kind { WEB, API, DNS, QUIC, VOICE, INGEST, HOST, RESOLVER, SERVICES };

struct attack_style {
	enum bf_class cls;
	int random_subdomain;
	uint64_t seed; /* of what is constant in this flood */
	int bots; /* stacks differ from bot to bot; else one machine makes it all */
	int mimic; /* headers as a real stack makes them */
};

static inline void set_payload(struct bf_sampled *s, const void *bytes, unsigned n)
{
	if (n > BF_SAMPLE_PAYLOAD)
		n = BF_SAMPLE_PAYLOAD;
	memset(s->payload, 0, sizeof(s->payload));
	memcpy(s->payload, bytes, n);
	s->payload_bytes = n;
	memset(s->packet.payload, 0, sizeof(s->packet.payload));
	memcpy(s->packet.payload, bytes, n < BPFAST_FP_PAYLOAD ? n : BPFAST_FP_PAYLOAD);
	s->packet.payload_bytes = n < BPFAST_FP_PAYLOAD ? n : BPFAST_FP_PAYLOAD;
}

static inline void random_payload(struct dice *d, struct bf_sampled *s, unsigned n)
{
	uint8_t b[BF_SAMPLE_PAYLOAD];

	for (unsigned i = 0; i < sizeof(b); i++)
		b[i] = (uint8_t)dice_next(d);
	set_payload(s, b, n);
}

/* txid, flags, one question; then the name and type A. */
static inline void dns_query(struct dice *d, struct bf_sampled *s, const char *name)
{
	uint8_t b[BF_SAMPLE_PAYLOAD] = {[2] = 1, [5] = 1};
	unsigned at = 12;

	b[0] = (uint8_t)dice_next(d);
	b[1] = (uint8_t)dice_next(d);
	while (*name) {
		unsigned n = (unsigned)strcspn(name, ".");

		if (at + n + 6 > sizeof(b))
			break;
		b[at++] = (uint8_t)n;
		memcpy(b + at, name, n);
		at += n;
		name += n + (name[n] == '.');
	}
	b[at + 2] = 1;
	b[at + 4] = 1;
	at += 5;
	set_payload(s, b, at);
	s->packet.length = (s->packet.ip_version == 6 ? 48 : 28) + at;
}

static inline void honest_name(struct dice *d, char *out, size_t size)
{
	static const char *const hosts[] = {"www", "api",    "mail",  "img",
					    "cdn", "static", "login", "m"};
	static const char *const zones[] = {"shop.example", "news.example.org", "bank.example.net",
					    "cdn.example.com", "example.com"};
	unsigned kind = dice_int(d, 0, 9);

	if (kind == 0) /* reverse look-ups: many names below one */
		snprintf(out, size, "%u.%u.%u.10.in-addr.arpa", dice_int(d, 0, 255),
			 dice_int(d, 0, 255), dice_int(d, 0, 255));
	else if (kind == 1) /* a cloud's names */
		snprintf(out, size, "e%u.a.cloud.example", dice_int(d, 1000, 9999));
	else
		snprintf(out, size, "%s.%s", hosts[dice_int(d, 0, 7)], zones[dice_int(d, 0, 4)]);
}

/* One of three kinds of stack, by the source. */
static inline void honest_syn(struct dice *d, struct bf_sampled *s, uint32_t who)
{
	struct bpfast_fp_packet *p = &s->packet;
	unsigned hops = 4 + fixed(who, 22), ip = p->ip_version == 6 ? 40 : 20;

	p->tcp_flags = 2;
	p->form = BPFAST_FPF_DF;
	switch (fixed(who * 7919ull, 3)) {
	case 0: /* Linux, Android */
		p->ttl = 64 - hops;
		p->window = fixed(who, 3) ? 64240 : 65535;
		p->options = BPFAST_FPO_MSS | BPFAST_FPO_SACK_OK | BPFAST_FPO_TIMESTAMP |
			     BPFAST_FPO_WINDOW_SCALE;
		p->option_bytes = 20;
		break;
	case 1: /* Windows */
		p->ttl = 128 - hops;
		p->window = fixed(who, 2) ? 64240 : 65535;
		p->options = BPFAST_FPO_MSS | BPFAST_FPO_SACK_OK | BPFAST_FPO_WINDOW_SCALE;
		p->option_bytes = 12;
		break;
	default: /* Apple */
		p->ttl = 64 - hops;
		p->window = 65535;
		p->options = BPFAST_FPO_MSS | BPFAST_FPO_SACK_OK | BPFAST_FPO_TIMESTAMP |
			     BPFAST_FPO_WINDOW_SCALE;
		p->option_bytes = 24;
	}
	p->length = ip + 20 + p->option_bytes;
	p->id = p->ip_version == 6 ? 0 : dice_int(d, 0, 65535);
}

static inline void honest_tcp(struct dice *d, struct bf_sampled *s, uint32_t who)
{
	struct bpfast_fp_packet *p = &s->packet;
	unsigned data = dice_chance(d, 0.4) ? dice_int(d, 20, 1400) : 0;

	honest_syn(d, s, who);
	p->length -= p->option_bytes;
	p->option_bytes = p->options & BPFAST_FPO_TIMESTAMP ? 12 : 0;
	p->options &= BPFAST_FPO_TIMESTAMP;
	p->length += p->option_bytes + data;
	p->window = dice_int(d, 200, 4000);
	p->tcp_flags = s->cls == BF_FIN	     ? 17
		       : s->cls == BF_RST    ? 4
		       : s->cls == BF_SYNACK ? 18
		       : data		     ? 24
					     : 16;
	if (data && dice_chance(d, 0.5))
		set_payload(s, "\x17\x03\x03\x01", 4);
	else if (data)
		set_payload(s, "GET /index.html HTTP/1.1\r\nHost: ", 32);
}

static inline void honest_packet(struct dice *d, enum service_kind kind, struct bf_sampled *s,
				 uint32_t who)
{
	struct bpfast_fp_packet *p = &s->packet;
	unsigned ip = p->ip_version == 6 ? 40 : 20;
	char name[80];

	p->ttl = (fixed(who * 31ull, 2) ? 64 : 128) - 4 - fixed(who, 22);
	p->source_port = dice_int(d, 1024, 65535);
	p->id = p->ip_version == 4 && fixed(who, 2) ? dice_int(d, 0, 65535) : 0;
	p->length = ip + 8 + dice_int(d, 20, 1200);
	if (s->cls == BF_SYN) {
		honest_syn(d, s, who);
	} else if (s->cls <= BF_FIN) {
		honest_tcp(d, s, who);
	} else if (s->cls == BF_DNS_QUERY) {
		honest_name(d, name, sizeof(name));
		dns_query(d, s, name);
	} else if (s->cls == BF_AMP_DNS) {
		random_payload(d, s, 40);
		s->payload[2] = ((uint8_t *)p->payload)[2] = 0x81;
		s->payload[3] = ((uint8_t *)p->payload)[3] = 0x80;
		p->length = ip + 8 + dice_int(d, 40, 400);
		p->source_port = 53;
	} else if (s->cls == BF_ICMP) {
		p->source_port = 8 << 8;
		p->length = fixed(who, 2) ? 84 : 60;
		random_payload(d, s, 16);
	} else if (s->cls == BF_FRAGMENT) {
		p->form = dice_chance(d, 0.5) ? BPFAST_FPF_MORE : BPFAST_FPF_LATER;
		p->length = dice_chance(d, 0.7) ? 1500 : dice_int(d, 60, 1400);
		if (p->form & BPFAST_FPF_LATER)
			p->source_port = p->destination_port = 0;
	} else if (s->cls == BF_OTHER) {
		p->source_port = p->destination_port = 0;
		random_payload(d, s, 16);
	} else if (kind == QUIC && dice_chance(d, 0.2)) {
		random_payload(d, s, 64);
		p->length = ip + 8 + 1250 - fixed(who, 40);
		((uint8_t *)p->payload)[0] = 0xc0 | fixed(who, 16);
		memcpy((uint8_t *)p->payload + 1, "\0\0\0\1\x08", 5);
	} else if (kind == QUIC) {
		random_payload(d, s, 64);
		((uint8_t *)p->payload)[0] = 0x40 | (((uint8_t *)p->payload)[0] & 0x3f);
		p->length = ip + 8 +
			    (dice_chance(d, 0.5) ? dice_int(d, 30, 50) : dice_int(d, 60, 1250));
	} else if (kind == VOICE) {
		random_payload(d, s, 64);
		((uint8_t *)p->payload)[0] = 0x80;
		((uint8_t *)p->payload)[1] = dice_chance(d, 0.5) ? 0 : 111;
		p->length = ip + 8 + (dice_chance(d, 0.5) ? 172 : dice_int(d, 60, 140));
	} else if (kind == INGEST) {
		set_payload(s, "<34>Nov 26 01:02:03 host app[1]:", 32);
	} else {
		random_payload(d, s, 32);
	}
}

/* What reflectors answer; the seed may change lengths. */
static inline void reflected(struct dice *d, const struct attack_style *a, struct bf_sampled *s)
{
	static const struct {
		uint16_t port, low, high;
		const char *bytes;
		unsigned n, random_at, random_n;
	} what[] = {
		[BF_AMP_DNS] = {53, 1200, 1500, "\0\0\x81\x80\0\1\0\x1e\0\0\0\1\3isc\3org", 20, 0,
				2},
		[BF_AMP_NTP] = {123, 468, 468, "\xd7\0\x03\x2a\0\x06\0\x48", 8, 0, 0},
		[BF_AMP_SSDP] = {1900, 280, 420, "HTTP/1.1 200 OK\r\nCACHE", 22, 0, 0},
		[BF_AMP_MEMCACHED] = {11211, 1400, 1428, "\0\0\0\1\0\x05\0\0VALUE a", 16, 0, 4},
		[BF_AMP_CLDAP] = {389, 1500, 3000, "\x30\x84\0\0\x0b\xd6\2\1\7\x64", 10, 4, 2},
		[BF_AMP_SNMP] = {161, 900, 1500, "\x30\x82\5\x9a\2\1\1\4\6public", 15, 2, 2},
		[BF_AMP_CHARGEN] = {19, 102, 1028, " !\"#$%&'()*+,-./0123", 20, 0, 0},
		[BF_AMP_QOTD] = {17, 60, 540, "\"My spelling is Wobb", 20, 3, 12},
	};
	uint8_t b[32] = {0};

	memcpy(b, what[s->cls].bytes, what[s->cls].n);
	for (unsigned i = 0; i < what[s->cls].random_n; i++)
		b[what[s->cls].random_at + i] = (uint8_t)dice_next(d);
	if (s->cls == BF_AMP_CHARGEN)
		for (unsigned i = 0; i < 20; i++)
			b[i] = 32 + (s->packet.ttl + i) % 90;
	set_payload(s, b, what[s->cls].n);
	s->packet.source_port = what[s->cls].port;
	s->packet.length = dice_int(d, what[s->cls].low, what[s->cls].high);
	if (s->packet.length > 1500)
		s->packet.length = 1500;
	(void)a;
}

static inline void attack_packet(struct dice *d, const struct attack_style *a, struct bf_sampled *s,
				 uint32_t who)
{
	struct bpfast_fp_packet *p = &s->packet;
	unsigned ip = p->ip_version == 6 ? 40 : 20;
	uint64_t seed = a->seed;
	char name[80];

	if (a->mimic && s->cls <= BF_FIN) {
		honest_packet(d, WEB, s, who);
		if (s->cls != BF_SYN) {
			p->length -= p->payload_bytes ? p->length - ip - 20 - p->option_bytes : 0;
			set_payload(s, "", 0);
		}
		return;
	}
	p->ttl = a->bots	  ? 64 - 4 - fixed(who, 22)
		 : fixed(seed, 2) ? 250 - fixed(seed, 20)
				  : 64 - fixed(seed, 20);
	p->id = p->ip_version == 6 ? 0 : fixed(seed + 1, 3) ? dice_int(d, 0, 65535) : 54321;
	p->source_port = fixed(seed + 2, 4) ? dice_int(d, 1024, 65535) : 1024 + fixed(seed, 60000);
	p->form = 0;
	if (s->cls <= BF_FIN) {
		static const uint8_t flags[] = {2, 18, 16, 4, 17};

		p->tcp_flags = flags[s->cls];
		p->length = ip + 20;
		p->window = fixed(seed + 3, 2) ? 512 : fixed(seed, 65536);
		if (fixed(seed + 4, 3) ==
		    0) { /* as Mirai: options, random window from bot to bot */
			p->options = BPFAST_FPO_MSS;
			p->option_bytes = 4;
			p->length += 4;
			p->window = dice_int(d, 0, 65535);
		}
		if (s->cls == BF_ACK && fixed(seed + 5, 3) == 0) {
			p->length += 512;
			random_payload(d, s, 64);
		}
		return;
	}
	if (s->cls >= BF_AMP_DNS && s->cls <= BF_AMP_QOTD) {
		reflected(d, a, s);
		return;
	}
	p->length = ip + 8 + (fixed(seed + 6, 3) ? 64u << fixed(seed, 5) : 18);
	if (s->cls == BF_DNS_QUERY) {
		if (a->random_subdomain)
			snprintf(name, sizeof(name), "%c%c%08x.victim%u.example",
				 'a' + (int)(dice_next(d) % 26), 'a' + (int)(dice_next(d) % 26),
				 (unsigned)dice_next(d), fixed(seed, 100));
		else
			snprintf(name, sizeof(name), "x%u.isc.example", fixed(seed, 100));
		dns_query(d, s, name);
		return;
	}
	if (s->cls == BF_FRAGMENT) {
		p->form = fixed(seed, 2) ? BPFAST_FPF_MORE : BPFAST_FPF_LATER;
		if (p->form & BPFAST_FPF_LATER)
			p->source_port = p->destination_port = 0;
	}
	if (s->cls == BF_OTHER || s->cls == BF_ICMP)
		p->source_port = p->destination_port = 0;
	if (s->cls == BF_ICMP)
		p->source_port = 8 << 8;
	if (fixed(seed + 7, 2)) {
		uint8_t b[16];

		for (unsigned i = 0; i < 16; i++)
			b[i] = fixed(seed + 8, 3) ? (uint8_t)fixed(seed + i, 256) : 0;
		set_payload(s, b, 16);
	} else {
		random_payload(d, s, p->length - ip - 8 > 64 ? 64 : p->length - ip - 8);
	}
}

#endif
