/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_REPLAY_FRAME_H
#define BF_REPLAY_FRAME_H
/*
 * Frames of a capture: who talks to whom, and where things lie. Pure, and only
 * for finding the pod that a frame belongs to: what a frame means is for the
 * programs to say.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum bf_tcp_flag {
	BF_TCP_FIN = 0x01,
	BF_TCP_SYN = 0x02,
	BF_TCP_RST = 0x04,
	BF_TCP_PSH = 0x08,
	BF_TCP_ACK = 0x10,
	BF_TCP_CWR = 0x80,
};

struct bf_frame {
	bool addressed; /* IPv4, IPv6 or ARP: the two addresses are known */
	bool tcp; /* with its whole header, and not a fragment */
	uint8_t source[16], destination[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t ip_version; /* 4, 6; 0: neither */
	uint8_t tcp_flags;
	uint16_t source_port, destination_port; /* TCP, host byte order */
	uint32_t seq, ack;
	size_t l3_off, l4_off, payload_off; /* the latter two for TCP */
	size_t payload_len; /* TCP; by the IP length, where that is 0 to the frame's end */
};

void bf_frame_read(const uint8_t *bytes, size_t len, struct bf_frame *out);

/* Link types (pcap/dlt.h) that can be given an Ethernet header. */
bool bf_link_known(int link_type);
/* Bytes that bf_link_to_ethernet() adds at most. */
#define BF_LINK_GROWTH 14
/* Length of the Ethernet frame in out, which has room for len + BF_LINK_GROWTH; 0: too short. */
size_t bf_link_to_ethernet(int link_type, const uint8_t *bytes, size_t len, uint8_t *out);

/* Gives a TCP frame another acknowledgement number, and its checksum what that changes. */
void bf_frame_set_ack(uint8_t *bytes, const struct bf_frame *f, uint32_t ack);

static inline uint16_t bf_get16(const uint8_t *p)
{
	return (uint16_t)(p[0] << 8 | p[1]);
}

static inline uint32_t bf_get32(const uint8_t *p)
{
	return (uint32_t)bf_get16(p) << 16 | bf_get16(p + 2);
}

static inline void bf_put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static inline void bf_put32(uint8_t *p, uint32_t v)
{
	bf_put16(p, v >> 16);
	bf_put16(p + 2, v);
}

#endif
