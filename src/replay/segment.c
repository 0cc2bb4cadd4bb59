// SPDX-License-Identifier: Apache-2.0
#include "replay/segment.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replay/frame.h"

#define PROTO_TCP 6

/* Sum of 16-bit words in network byte order, a byte left over in front of a zero (RFC 1071). */
static uint64_t sum_words(const uint8_t *p, size_t len)
{
	uint64_t sum = 0;

	for (; len > 1; p += 2, len -= 2)
		sum += bf_get16(p);
	return len ? sum + ((uint64_t)p[0] << 8) : sum;
}

static uint16_t checksum(uint64_t sum)
{
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

static void write_ipv4(uint8_t *ip, size_t header, size_t total, uint32_t number)
{
	bf_put16(ip + 2, (uint32_t)total);
	bf_put16(ip + 4, bf_get16(ip + 4) + number);
	bf_put16(ip + 10, 0);
	bf_put16(ip + 10, checksum(sum_words(ip, header)));
}

/* Pseudo-header and segment: RFC 9293, section 3.1; RFC 8200, section 8.1. */
static void write_tcp_checksum(uint8_t *b, const struct bf_frame *f, size_t tcp_len)
{
	const uint8_t *ip = b + f->l3_off;
	uint8_t *tcp = b + f->l4_off;
	uint64_t sum = PROTO_TCP + tcp_len;

	sum += f->ip_version == 4 ? sum_words(ip + 12, 8) : sum_words(ip + 8, 32);
	bf_put16(tcp + 16, 0);
	bf_put16(tcp + 16, checksum(sum + sum_words(tcp, tcp_len)));
}

/* Lengths and checksums of a frame whose payload was changed to n bytes. number: of the piece. */
static void write_headers(uint8_t *b, const struct bf_frame *f, size_t n, uint32_t number)
{
	uint8_t *ip = b + f->l3_off;

	if (f->ip_version == 4)
		write_ipv4(ip, (size_t)(ip[0] & 15) * 4, f->payload_off + n - f->l3_off, number);
	else
		bf_put16(ip + 4, (uint32_t)(f->payload_off + n - f->l3_off - 40));
	write_tcp_checksum(b, f, f->payload_off - f->l4_off + n);
}

static uint8_t flags_of(uint8_t flags, bool first, bool last)
{
	if (!first)
		flags &= (uint8_t)~(BF_TCP_SYN | BF_TCP_CWR);
	if (!last)
		flags &= (uint8_t)~(BF_TCP_FIN | BF_TCP_PSH | BF_TCP_RST);
	return flags;
}

int bf_segment_cut(const uint8_t *frame, size_t len, size_t most,
		   int (*fn)(void *arg, const uint8_t *frame, size_t len), void *arg)
{
	size_t done = 0, room, header, n;
	struct bf_frame f;
	int pieces = 0, r = 0;
	uint8_t *piece;

	bf_frame_read(frame, len, &f);
	header = f.payload_off;
	if (!f.tcp || !f.payload_len || header + 64 > most)
		return -EINVAL;
	if (f.ip_version == 6 && !bf_get16(frame + f.l3_off + 4))
		return -EINVAL;
	piece = malloc(most);
	if (!piece)
		return -ENOMEM;
	room = most - header;
	while (!r && done < f.payload_len) {
		bool last = f.payload_len - done <= room;
		uint8_t *tcp = piece + f.l4_off;

		n = last ? f.payload_len - done : room;
		memcpy(piece, frame, header);
		memcpy(piece + header, frame + header + done, n);
		bf_put32(tcp + 4,
			 f.seq + (uint32_t)done + (f.tcp_flags & BF_TCP_SYN && pieces ? 1 : 0));
		tcp[13] = flags_of(f.tcp_flags, !pieces, last);
		write_headers(piece, &f, n, (uint32_t)pieces);
		r = fn(arg, piece, header + n);
		pieces++;
		done += n;
	}
	free(piece);
	return r ? r : pieces;
}

int bf_segment_skip(uint8_t *frame, size_t len, size_t n)
{
	struct bf_frame f;

	bf_frame_read(frame, len, &f);
	if (!f.tcp || n > f.payload_len)
		return -EINVAL;
	f.payload_len -= n;
	memmove(frame + f.payload_off, frame + f.payload_off + n, f.payload_len);
	bf_put32(frame + f.l4_off + 4, f.seq + (uint32_t)n);
	write_headers(frame, &f, f.payload_len, 0);
	return (int)(f.payload_off + f.payload_len);
}
