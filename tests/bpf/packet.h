/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_PACKET_H
#define BF_TEST_PACKET_H
/*
 * Frames, written as what they are made of, from the outside in:
 *
 *	PACKET(ETH(), IP4(.src = "192.0.2.9", .dst = "10.0.0.2"), TCP(.flags = SYN), DATA("x"))
 *
 * Lengths, protocol numbers and checksums are filled in, unless a layer says
 * otherwise. POKE and CUT damage the finished frame.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Layers have defaults, and tests say otherwise. */
#pragma GCC diagnostic ignored "-Woverride-init"

#define FRAME_RING 128 /* how many frames live at once */
#define FRAME_MAX 3712 /* what BPF_PROG_TEST_RUN takes */

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16, URG = 32 };

enum layer_kind {
	L_NONE,
	L_ETH,
	L_VLAN,
	L_ARP,
	L_IP4,
	L_IP6,
	L_EXT, /* an IPv6 extension header */
	L_TCP,
	L_UDP,
	L_ICMP,
	L_DATA,
	L_POKE, /* writes bytes over the finished frame */
	L_CUT, /* leaves only the first bytes of the frame */
	L_PAD, /* bytes behind the IP packet, as Ethernet pads */
};

struct bytes {
	const void *p;
	size_t n;
};

/* The bytes of a string literal, NULs in it too. */
#define B(literal) ((struct bytes){literal, sizeof(literal) - 1})

struct layer {
	enum layer_kind kind;
	const char *src, *dst; /* addresses: MAC or IP, by kind. NULL: the builder's default */
	struct bytes
		opt; /* options of IPv4 and TCP, padded with zeroes to four bytes; data of EXT */
	int proto; /* EtherType or IP protocol; 0: from the next layer. EXT: its own kind */
	int next; /* IP: the protocol number where no layer follows, or another than that */
	int len_add; /* added to the length field */
	bool bad_sum;
	bool no_sum; /* UDP: checksum 0 */
	/* IPv4 */
	int ihl; /* 0: right */
	int version; /* 0: right */
	uint16_t id;
	uint16_t frag; /* offset in bytes, a multiple of 8; also for EXT 44 */
	bool more;
	int hop_limit; /* 0: 64 */
	/* TCP, UDP, ICMP */
	uint16_t sport, dport;
	uint32_t seq, ack;
	int flags;
	int doff; /* TCP, in bytes; 0: right */
	uint16_t urgent;
	int type, code;
	uint32_t rest; /* ICMP: the second four bytes, host order */
	/* ARP */
	int op;
	const char *sha; /* sender's MAC */
	/* DATA, POKE, CUT, PAD */
	struct bytes data;
	int at;
};

struct frame {
	uint8_t b[FRAME_MAX];
	size_t len;
};

/* Addresses where a layer gives none: a client outside sends to the pod. */
#define MAC_POD "02:00:00:00:00:02"
#define MAC_NET "02:00:00:00:00:01"
#define POD4 "10.0.0.2"
#define POD6 "fd00::2"
#define OUT4 "192.0.2.9"
#define OUT6 "2001:db8::9"
#define PEER4 "10.0.0.3" /* the endpoint app=cart, on this node */
#define PEER6 "fd00::3"

#define ETH(...) ((struct layer){.kind = L_ETH, __VA_ARGS__})
#define VLAN(...) ((struct layer){.kind = L_VLAN, __VA_ARGS__})
#define ARP(...) ((struct layer){.kind = L_ARP, .op = 1, __VA_ARGS__})
#define IP4(...) ((struct layer){.kind = L_IP4, __VA_ARGS__})
#define IP6(...) ((struct layer){.kind = L_IP6, __VA_ARGS__})
#define EXT(number, ...) ((struct layer){.kind = L_EXT, .proto = (number), __VA_ARGS__})
#define TCP(...) ((struct layer){.kind = L_TCP, .sport = 40000, .dport = 80, __VA_ARGS__})
#define UDP(...) ((struct layer){.kind = L_UDP, .sport = 40000, .dport = 53, __VA_ARGS__})
#define ICMP(t, c, ...) ((struct layer){.kind = L_ICMP, .type = (t), .code = (c), __VA_ARGS__})
#define DATA(literal) ((struct layer){.kind = L_DATA, .data = B(literal)})
#define BYTES(ptr, size) ((struct layer){.kind = L_DATA, .data = {(ptr), (size)}})
#define POKE(offset, literal) ((struct layer){.kind = L_POKE, .at = (offset), .data = B(literal)})
#define CUT(bytes) ((struct layer){.kind = L_CUT, .at = (bytes)})
#define PAD(literal) ((struct layer){.kind = L_PAD, .data = B(literal)})

#define PACKET(...)                                                                                \
	packet_build((const struct layer[]){__VA_ARGS__},                                          \
		     sizeof((const struct layer[]){__VA_ARGS__}) / sizeof(struct layer))

/* The frame lies in a ring of FRAME_RING, one a thread; fails the test where the layers make no sense. */
struct frame *packet_build(const struct layer *layers, size_t n);

/* --- reading frames that the programs made ----------------------------------- */

struct seen_tcp {
	char src[48], dst[48];
	uint16_t sport, dport, window;
	uint32_t seq, ack;
	uint8_t flags, version, ttl;
	const uint8_t *opt, *data;
	size_t opt_len, data_len;
	const uint8_t *eth;
};

/* Reads a frame and checks every length and checksum in it: fails the test at any that is wrong. */
struct seen_tcp packet_read_tcp(const uint8_t *frame, size_t len);

/* Ones' complement sum of RFC 1071 over bytes in network order, on top of `sum`, folded. */
uint16_t packet_sum(const void *p, size_t n, uint32_t sum);

#endif
