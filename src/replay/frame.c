// SPDX-License-Identifier: Apache-2.0
#include "replay/frame.h"

#include <pcap/dlt.h>
#include <string.h>

#define ETH_LEN 14
#define ETHERTYPE_IPV4 0x0800
#define ETHERTYPE_ARP 0x0806
#define ETHERTYPE_IPV6 0x86dd
#define PROTO_TCP 6

static void set_ipv4(uint8_t to[16], const uint8_t *from)
{
	memset(to, 0, 10);
	to[10] = to[11] = 0xff;
	memcpy(to + 12, from, 4);
}

static bool is_vlan(uint16_t ethertype)
{
	return ethertype == 0x8100 || ethertype == 0x88a8 || ethertype == 0x9100;
}

static void read_tcp(const uint8_t *b, size_t end, struct bf_frame *f)
{
	const uint8_t *tcp = b + f->l4_off;
	size_t header;

	if (end < f->l4_off + 20)
		return;
	header = (size_t)(tcp[12] >> 4) * 4;
	if (header < 20 || f->l4_off + header > end)
		return;
	f->tcp = true;
	f->source_port = bf_get16(tcp);
	f->destination_port = bf_get16(tcp + 2);
	f->seq = bf_get32(tcp + 4);
	f->ack = bf_get32(tcp + 8);
	f->tcp_flags = tcp[13];
	f->payload_off = f->l4_off + header;
	f->payload_len = end - f->payload_off;
}

static void read_ipv4(const uint8_t *b, size_t len, struct bf_frame *f)
{
	const uint8_t *ip = b + f->l3_off;
	size_t header, total;

	if (len < f->l3_off + 20 || ip[0] >> 4 != 4)
		return;
	f->ip_version = 4;
	f->addressed = true;
	set_ipv4(f->source, ip + 12);
	set_ipv4(f->destination, ip + 16);
	header = (size_t)(ip[0] & 15) * 4;
	total = bf_get16(ip + 2);
	/* Segmentation offload: the sender's stack leaves the length to the card. */
	if (!total)
		total = len - f->l3_off;
	if (header < 20 || total < header || f->l3_off + total > len || ip[9] != PROTO_TCP ||
	    bf_get16(ip + 6) & 0x3fff)
		return;
	f->l4_off = f->l3_off + header;
	read_tcp(b, f->l3_off + total, f);
}

static void read_ipv6(const uint8_t *b, size_t len, struct bf_frame *f)
{
	const uint8_t *ip = b + f->l3_off;
	size_t at = f->l3_off + 40, end;
	uint8_t next;

	if (len < at || ip[0] >> 4 != 6)
		return;
	f->ip_version = 6;
	f->addressed = true;
	memcpy(f->source, ip + 8, 16);
	memcpy(f->destination, ip + 24, 16);
	next = ip[6];
	end = at + bf_get16(ip + 4);
	if (end == at)
		end = len;
	if (end > len)
		return;
	/* Hop-by-hop options, routing, destination options (RFC 8200, section 4). */
	while ((next == 0 || next == 43 || next == 60) && at + 8 <= end) {
		next = b[at];
		at += 8 + (size_t)b[at + 1] * 8;
	}
	if (next != PROTO_TCP || at > end)
		return;
	f->l4_off = at;
	read_tcp(b, end, f);
}

static void read_arp(const uint8_t *b, size_t len, struct bf_frame *f)
{
	const uint8_t *arp = b + f->l3_off;

	/* Ethernet and IPv4 (RFC 826). */
	if (len < f->l3_off + 28 || bf_get16(arp + 2) != ETHERTYPE_IPV4 || arp[4] != 6 ||
	    arp[5] != 4)
		return;
	f->addressed = true;
	set_ipv4(f->source, arp + 14);
	set_ipv4(f->destination, arp + 24);
}

void bf_frame_read(const uint8_t *bytes, size_t len, struct bf_frame *out)
{
	size_t at = 12;
	uint16_t ethertype;

	memset(out, 0, sizeof(*out));
	if (len < ETH_LEN)
		return;
	ethertype = bf_get16(bytes + at);
	for (int tags = 0; tags < 2 && is_vlan(ethertype) && at + 6 <= len; tags++) {
		at += 4;
		ethertype = bf_get16(bytes + at);
	}
	out->l3_off = at + 2;
	if (ethertype == ETHERTYPE_IPV4)
		read_ipv4(bytes, len, out);
	else if (ethertype == ETHERTYPE_IPV6)
		read_ipv6(bytes, len, out);
	else if (ethertype == ETHERTYPE_ARP)
		read_arp(bytes, len, out);
}

/* --- link types ----------------------------------------------------------------- */

bool bf_link_known(int link_type)
{
	switch (link_type) {
	case DLT_EN10MB:
	case DLT_RAW:
	case DLT_IPV4:
	case DLT_IPV6:
	case DLT_NULL:
	case DLT_LOOP:
	case DLT_LINUX_SLL:
	case DLT_LINUX_SLL2:
		return true;
	}
	return false;
}

/* The address family in front of a loopback capture, in the byte order of whoever wrote it:
 * AF_INET is 2 everywhere, AF_INET6 10 on Linux, 24, 28 and 30 on the BSDs. */
static uint16_t family_ethertype(const uint8_t *p)
{
	uint8_t family = p[0] ? p[0] : p[3];

	if (family == 2)
		return ETHERTYPE_IPV4;
	if (family == 10 || family == 24 || family == 28 || family == 30)
		return ETHERTYPE_IPV6;
	return 0;
}

size_t bf_link_to_ethernet(int link_type, const uint8_t *bytes, size_t len, uint8_t *out)
{
	/* Addresses that nobody has: locally administered. */
	static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
	size_t header = 0;
	uint16_t ethertype;

	switch (link_type) {
	case DLT_NULL:
	case DLT_LOOP:
		header = 4;
		break;
	case DLT_LINUX_SLL:
		header = 16;
		break;
	case DLT_LINUX_SLL2:
		header = 20;
		break;
	case DLT_EN10MB:
		memcpy(out, bytes, len);
		return len;
	}
	if (len <= header)
		return 0;
	if (link_type == DLT_NULL || link_type == DLT_LOOP)
		ethertype = family_ethertype(bytes);
	else if (link_type == DLT_LINUX_SLL)
		ethertype = bf_get16(bytes + 14);
	else if (link_type == DLT_LINUX_SLL2)
		ethertype = bf_get16(bytes);
	else
		ethertype = bytes[0] >> 4 == 6 ? ETHERTYPE_IPV6 : ETHERTYPE_IPV4;
	memcpy(out, macs, 12);
	bf_put16(out + 12, ethertype);
	memcpy(out + ETH_LEN, bytes + header, len - header);
	return len - header + ETH_LEN;
}

/* --- changing ----------------------------------------------------------------- */

void bf_frame_set_ack(uint8_t *bytes, const struct bf_frame *f, uint32_t ack)
{
	uint8_t *tcp = bytes + f->l4_off;
	/* RFC 1624, equation 3, over both halves. */
	uint32_t sum = (uint16_t)~bf_get16(tcp + 16);

	sum += (uint16_t)~bf_get16(tcp + 8) + (uint32_t)(uint16_t)~bf_get16(tcp + 10);
	sum += (ack >> 16) + (ack & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	bf_put32(tcp + 8, ack);
	bf_put16(tcp + 16, ~sum);
}
