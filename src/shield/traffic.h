/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_TRAFFIC_H
#define BF_SHIELD_TRAFFIC_H
/*
 * What the detector is told each tick: counters of what arrived, as differences
 * since the tick before, and a few sampled packets. All of it is counted before
 * anything is dropped, so that an attack does not look over when it is stopped.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sensitivity.h"
#include "bpfast/fingerprint.h"

/* Each packet is in exactly one class, the first that fits from the bottom up (fragments first). */
enum bf_class {
	BF_SYN, /* SYN without ACK */
	BF_SYNACK,
	BF_ACK, /* the rest of TCP: ACK, data, no flags, illegal sets */
	BF_RST,
	BF_FIN,
	BF_UDP, /* what is in none of the next nine */
	BF_AMP_DNS, /* UDP from source port 53: what reflectors send */
	BF_AMP_NTP, /* 123 */
	BF_AMP_SSDP, /* 1900 */
	BF_AMP_MEMCACHED, /* 11211 */
	BF_AMP_CLDAP, /* 389 */
	BF_AMP_SNMP, /* 161 */
	BF_AMP_CHARGEN, /* 19 */
	BF_AMP_QOTD, /* 17 */
	BF_DNS_QUERY, /* UDP to port 53 */
	BF_ICMP, /* ICMP, ICMPv6 without neighbour discovery */
	BF_OTHER, /* other IP protocols */
	BF_FRAGMENT, /* first and later ones, of any protocol */
	BF_CLASSES,
};

/* "syn", "amp-dns" ... */
const char *bf_class_name(enum bf_class c);

/*
 * A protected destination. All zero but for addr: whatever goes to that
 * address and has no entry of its own. The kernel side chooses which ports get
 * one (listeners); a flood over random ports lands in the port 0 of its address.
 */
struct bf_dest {
	uint8_t addr[16]; /* IPv4 as ::ffff:a.b.c.d; all zero: every address ("all") */
	uint16_t port; /* host byte order; 0: the rest */
	uint8_t protocol; /* IP protocol; 0: the rest */
	uint8_t other; /* 1: the overflow destination, which has no address */
};

struct bf_count {
	uint64_t packets;
	uint64_t bytes; /* of IP packets */
	/*
	 * Of packets: from sources that are known good, which is: they completed a
	 * handshake, or sent UDP/ICMP/other over more than a second, at a time when
	 * no attack was on, and went over no hard limit since.
	 */
	uint64_t known;
	/* TCP classes. Of packets: belonging to no connection, from sources not known. */
	uint64_t stray;
	/*
	 * What explains the packets. SYN: handshakes completed. AMP_*: requests that
	 * this address sent to that port. Else: packets of the class that the
	 * destination sent back.
	 */
	uint64_t paired;
	uint64_t dropped; /* of packets, by the shield */
};

#define BF_SOURCE_BUCKETS 64

/* For detectors to come (connection and HTTP floods, slow clients). Read by nobody yet. */
struct bf_l7 {
	uint64_t requests; /* HTTP heads completed */
	uint64_t request_sources; /* estimate */
	uint64_t open; /* connections, now */
	uint64_t slow_heads; /* connections whose head is not complete after 5 s, now */
	uint64_t slow_bodies, slow_readers; /* now */
};

struct bf_traffic {
	struct bf_dest dest;
	uint8_t sensitivity; /* enum bf_sensitivity; DEFAULT: the detector's */
	uint8_t has_pairs; /* `paired` is counted for all classes, not only for SYN */
	struct bf_count count[BF_CLASSES];
	uint32_t sources; /* distinct, in this tick, estimate */
	uint32_t bucket
		[BF_SOURCE_BUCKETS]; /* packets by a hash of their source (sampled is enough) */
	struct bf_l7 l7;
};

#define BF_SAMPLE_PAYLOAD 64

struct bf_sampled {
	uint32_t traffic; /* index into the tick's */
	uint32_t weight; /* packets it stands for */
	uint8_t cls; /* enum bf_class */
	uint8_t known; /* source is known good */
	uint8_t stray; /* TCP: belongs to no connection */
	uint8_t payload_bytes; /* in payload[] */
	uint8_t source[16];
	uint8_t payload[BF_SAMPLE_PAYLOAD];
	struct bpfast_fp_packet packet;
};

struct bf_tick {
	uint64_t now_ns; /* any clock that does not run backwards; 50 ms to 1 s after the last */
	uint32_t second_of_day; /* of the wall clock */
	/* Destinations with traffic, each once; the rest had none. */
	const struct bf_traffic *traffic;
	size_t traffic_count;
	/* A hundred of each class, destination and second are plenty. By class, for SYNs are rare. */
	const struct bf_sampled *samples;
	size_t sample_count;
};

#endif
