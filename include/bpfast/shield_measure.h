/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_MEASURE_H
#define BPFAST_SHIELD_MEASURE_H
/*
 * What shield measures for the agent, and what the agent puts in force from
 * it: counters of protected destinations, sampled packets; limits of a destination,
 * fingerprints. All of fixed size, mapped by both sides; one writer each.
 */
#include "fingerprint.h"
#include "shield.h"

/*
 * Kinds of packets that are measured. Each packet is of the first that fits from
 * the bottom up. The same numbers as src/shield/traffic.h, which the agent checks.
 */
enum bpfast_meter_class {
	BPFAST_MC_SYN,
	BPFAST_MC_SYNACK,
	BPFAST_MC_ACK,
	BPFAST_MC_RST,
	BPFAST_MC_FIN,
	BPFAST_MC_UDP,
	BPFAST_MC_AMP_DNS,
	BPFAST_MC_AMP_NTP,
	BPFAST_MC_AMP_SSDP,
	BPFAST_MC_AMP_MEMCACHED,
	BPFAST_MC_AMP_CLDAP,
	BPFAST_MC_AMP_SNMP,
	BPFAST_MC_AMP_CHARGEN,
	BPFAST_MC_AMP_QOTD,
	BPFAST_MC_DNS_QUERY,
	BPFAST_MC_ICMP,
	BPFAST_MC_OTHER,
	BPFAST_MC_FRAGMENT,
	BPFAST_MC_COUNT
};

/*
 * Destinations: 64 sets of eight cells of tags, cell N of all is destination N. Set 0 is not found by
 * hash. Whoever is guarded makes the entry by sending from it: a listener by its SYN-ACK or by UDP
 * from a port below BPFAST_METER_PORTS, an address (port and protocol 0) by whatever it sends.
 * So nobody from outside makes one. The agent takes out those that were not seen for long.
 */
#define BPFAST_DESTS 512
#define BPFAST_DEST_SETS (BPFAST_DESTS / 8)
#define BPFAST_DEST_OTHER 0 /* whoever has no entry */
#define BPFAST_DEST_ALL 1 /* for limits alone: whatever the destination is */
#define BPFAST_DEST_FIRST 8
#define BPFAST_METER_PORTS 32768 /* from here on are ports of clients */

struct bpfast_dest {
	__u8 addr[16]; /* IPv4 as ::ffff:a.b.c.d */
	__u16 port; /* host byte order */
	__u8 protocol;
	__u8 ready; /* 1: what is above is written */
	/* By the agent: */
	__u32 on; /* classes that are limited, as bits */
	__u32 rules; /* fingerprints that concern it, as bits */
	__u8 mode; /* enum bpfast_shield_mode of what the agent puts in force here */
	__u8 pad[35];
};

static_assert(sizeof(struct bpfast_dest) == 64, "destination");

struct bpfast_meter_count {
	__u32 packets, bytes; /* of IP packets; all wrap round */
	__u32 known; /* of packets: from sources that are known */
	__u32 stray; /* of packets: TCP of no known connection */
	__u32 paired; /* what explains packets of the class; see src/shield/traffic.h */
	__u32 dropped; /* of packets */
};

/*
 * Sources are counted by bits of their hash, all of them in the first half and
 * one of BPFAST_SOURCES_RARE in the second: so that few are counted well and many too.
 */
#define BPFAST_METER_BUCKETS 64
#define BPFAST_SOURCES_BITS 2048
#define BPFAST_SOURCES_RARE 64

/*
 * One packet of so many is counted, for all of them (in the mean: the gaps are random).
 * While something is in force against an attack, all but those of known connections are
 * counted one by one.
 */
#define BPFAST_METER_EVERY 16

/* Of one destination on one CPU: element CPU * BPFAST_DESTS + destination. */
struct bpfast_meter {
	__u32 touched; /* packets either way */
	__u32 pad[15];
	struct bpfast_meter_count count[BPFAST_MC_COUNT];
	__u32 bucket[BPFAST_METER_BUCKETS]; /* packets by hash of the source, one of so many */
	__u64 sources[2][BPFAST_SOURCES_BITS / 64]; /* of these too; the agent empties it */
	__u8 room[16];
};

static_assert(sizeof(struct bpfast_meter) == 1280, "meter");

/* Limit of a class at a destination: element destination * BPFAST_MC_COUNT + class. */
struct bpfast_adaptive {
	struct bpfast_shield_limit limit;
	__u64 bucket; /* GCRA, as in bpf/shield/limits.h */
};

/* --- samples --- */

#define BPFAST_PACKETS 256 /* of each CPU, a ring */
#define BPFAST_PACKET_BYTES 192 /* headers and 64 bytes behind them */
#define BPFAST_FRAME_ROOM 256 /* a power of two */
/* Of each CPU: of those one of BPFAST_METER_EVERY as many as make so many a second. */
#define BPFAST_SAMPLE_RATE 1000
#define BPFAST_SAMPLE_WINDOW 16000000 /* ns */
#define BPFAST_SAMPLE_MOST 64 /* in a window */

enum bpfast_packet_flag {
	BPFAST_PF_KNOWN = 1 << 0, /* the source is known */
	BPFAST_PF_STRAY = 1 << 1,
	BPFAST_PF_MEASURED = 1 << 2, /* destination, class and what was read are set */
};

struct bpfast_packet {
	__u32 number; /* of its CPU, from 1; 0 while it is written */
	__u32 ifindex;
	__u64 time_ns; /* CLOCK_MONOTONIC, coarse */
	__u32 length; /* of the frame */
	__u16 destination; /* number */
	__u16 bytes; /* in frame[] */
	__u16 payload; /* where it begins in the frame */
	__u8 class; /* enum bpfast_meter_class */
	__u8 flags; /* enum bpfast_packet_flag */
	__u8 reason; /* enum bpfast_reason; 0: it passed */
	__u8 rule; /* that it bore, from 1; 0: none */
	__u8 pad[2];
	__u8 source[16];
	struct bpfast_fp_packet read;
	__u8 frame[BPFAST_PACKET_BYTES];
};

static_assert(sizeof(struct bpfast_packet) == 296, "packet");

/* Of each CPU. */
struct bpfast_measure_cpu {
	__u32 left; /* of those one of BPFAST_METER_EVERY until the next sample */
	__u32 every; /* one of so many of them */
	__u64 window_ns; /* begin of this window */
	__u32 window_packets, window_samples;
	__u32 number; /* of the last sample */
	__u32 pad;
	__u64 hits[BPFAST_FP_RULES]; /* packets that bore a rule, in audit too */
	/* The beginning of the frame that is being judged, with room behind it for reads that are masked. */
	__u32 bytes, pad1;
	__u8 frame[BPFAST_FRAME_ROOM + 64];
	__u64 room[5];
};

static_assert(sizeof(struct bpfast_measure_cpu) == 528, "measure of a CPU");

/* --- what is in force: one element --- */

/* Targets with a word of their own. For the agent alone, which keeps it here over a restart. */
#define BPFAST_DETECT_TARGETS 32

struct bpfast_detect_target {
	__u8 addr[16];
	__u16 port; /* 0: all of the address */
	__u8 used, mode, sensitivity;
	__u8 pad[3];
};

struct bpfast_measure {
	__u32 pad0;
	__u32 rules; /* fingerprints that hold for every destination, as bits */
	__u8 off; /* 1: nothing is measured */
	__u8 mode; /* enum bpfast_shield_mode; of what the agent puts in force */
	__u8 sensitivity; /* of the agent: enum bf_sensitivity */
	__u8 pad[5];
	__u64 room[14];
	struct bpfast_fingerprint rule[BPFAST_FP_RULES];
	struct bpfast_detect_target target[BPFAST_DETECT_TARGETS];
};

static_assert(sizeof(struct bpfast_measure) ==
		      128 + 96 * BPFAST_FP_RULES + 24 * BPFAST_DETECT_TARGETS,
	      "measure");

/* Sources that sent before, UDP and the like, and are not known yet: sets. */
#define BPFAST_NEW_SETS 1024

#endif
