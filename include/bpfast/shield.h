/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_H
#define BPFAST_SHIELD_H
/*
 * Shield: what the agent and bpf/shield.bpf.c tell each other. All tables have
 * the size they have from the start: nothing is allocated for a packet.
 */
#include "types.h"
#include "reasons.h"

/* Raise it when something here gets another meaning under the same size. */
#define BPFAST_SHIELD_VERSION 3

/* --- what is limited --- */

/* X(symbol, word, what falls into it) */
#define BPFAST_SHIELD_CLASSES(X)                                                                   \
	X(SYN, "syn", "TCP SYNs whose handshake does not end")                                     \
	X(STATE, "out-of-state", "TCP that belongs to no known connection")                        \
	X(UDP, "udp", "UDP")                                                                       \
	X(ICMP, "icmp", "ICMP and ICMPv6, neighbour discovery aside")                              \
	X(FRAGMENT, "fragment", "fragments of any protocol")                                       \
	X(OTHER, "other", "every other protocol over IP")

enum bpfast_shield_class {
#define BPFAST_X(sym, word, what) BPFAST_SC_##sym,
	BPFAST_SHIELD_CLASSES(BPFAST_X)
#undef BPFAST_X
		BPFAST_SC_COUNT,
	BPFAST_SC_ROOM = 8, /* a power of two: programs mask instead of comparing */
};

static_assert((int)BPFAST_SC_COUNT <= (int)BPFAST_SC_ROOM, "classes");

/* Whose packets are counted together. */
enum bpfast_shield_scope {
	BPFAST_SS_SOURCE, /* one address */
	BPFAST_SS_PREFIX, /* its /24 (IPv4) or /64 (IPv6) */
	BPFAST_SS_DESTINATION, /* address, class and port (ports from 1024 on: 4096 together) */
	BPFAST_SS_COUNT
};

/*
 * A token bucket, kept as the time at which it will be empty of debts (GCRA,
 * ITU-T I.371): one word, one compare-and-swap. step_ns is 1e9 / rate, slack_ns
 * is burst * step_ns. rate 0: no limit.
 */
struct bpfast_shield_limit {
	__u32 rate; /* packets a second */
	__u32 burst; /* packets */
	__u32 step_ns;
	__u32 pad;
	__u64 slack_ns;
};

/*
 * Buckets of sources: a cache line for each hash of class and prefix. Of its eight cells the first
 * three are for prefixes, of which each takes two, and is over its limit when both say so; the others
 * are those of its busiest sources. Buckets of destinations: two rows. All are powers of two.
 */
#define BPFAST_SHIELD_SOURCE_LINES (1u << 15)
#define BPFAST_SHIELD_PREFIX_CELLS 3
#define BPFAST_SHIELD_DESTINATION_ROW (1u << 13)
/* Sets of eight cells: TCP connections, UDP flows, sources that completed a handshake. */
#define BPFAST_SHIELD_CONN_SETS (1u << 17)
#define BPFAST_SHIELD_UDP_SETS (1u << 13)
#define BPFAST_SHIELD_GOOD_SETS (1u << 14)
/* A source is preferred for so long after a handshake that it completed; units of 2^30 ns. */
#define BPFAST_SHIELD_GOOD_AGE 600

struct bpfast_shield_set {
	__u64 cell[8]; /* tag << 32 | what; 0: empty */
} __attribute__((aligned(64)));

/* --- the sweep of those sets: what bpfast_shsweep is given, and says --- */

struct bpfast_shield_sweep {
	__u32 first,
		sets; /* of connections, and of sources that completed a handshake the same part */
	__u32 emptied; /* cells */
	__u32 pad;
};

/* SYNs over the limit of a source or prefix, which pass when they come again: bpf/shield/repeat.h. A power of two. */
#define BPFAST_SHIELD_REPEAT_SETS (1u << 17)

struct bpfast_shield_repeats {
	__u32 cell[8]; /* which of the others was written last; then these */
} __attribute__((aligned(32)));

/* --- devices --- */

enum bpfast_shield_mode {
	BPFAST_SM_OFF, /* nothing is judged */
	BPFAST_SM_AUDIT, /* judged and counted; everything passes */
	BPFAST_SM_ENFORCE,
	BPFAST_SM_COUNT
};

enum bpfast_shield_hook {
	BPFAST_SH_NATIVE, /* XDP in the driver */
	BPFAST_SH_GENERIC, /* XDP in the network core */
	BPFAST_SH_TC, /* what comes in by the device */
	BPFAST_SH_POD, /* what goes to the pod behind a host-side veth */
	BPFAST_SH_OFFLOAD, /* XDP in the hardware */
	BPFAST_SH_SHARED, /* XDP, as one of the programs of libxdp's dispatcher */
	BPFAST_SH_COUNT
};

/* Slots are found by ifindex modulo their number and a few behind: no hash map for it. */
#define BPFAST_SHIELD_SLOTS 256
#define BPFAST_SHIELD_PROBES 4

/* Who has a device guarded: a command, a policy alone, or a policy and a command, whose mode is added. */
#define BPFAST_SHIELD_BY_COMMAND 0
#define BPFAST_SHIELD_BY_POLICY 1
#define BPFAST_SHIELD_BY_BOTH 2

struct bpfast_shield_device {
	__u32 ifindex; /* 0: free */
	__u8 mode; /* enum bpfast_shield_mode */
	__u8 hook; /* enum bpfast_shield_hook */
	__u8 by; /* of the agent: BPFAST_SHIELD_BY_... */
	__u8 pad;
};

/* --- SYN cookies: bpfast_shck, a hash map --- */

#define BPFAST_SHIELD_COOKIES 256
/* An unanswered cookie is forgotten after so long: TCP_SYNCOOKIE_VALID of Linux. */
#define BPFAST_SHIELD_COOKIE_AGE (128 * 1000000000ll)
/* A SYN for the listener at least so often: it takes cookies only if it made one of late. */
#define BPFAST_SHIELD_COOKIE_LET 1000000000ll

enum bpfast_shield_cookie_mode {
	BPFAST_CM_OFF, /* recorded, for its namespace may have been changed; nothing is answered */
	BPFAST_CM_LIMIT, /* SYNs over the destination's limit are answered in place of dropping */
	BPFAST_CM_ALWAYS, /* all from sources that are not known */
	BPFAST_CM_COUNT
};

#define BPFAST_SHIELD_UNCHANGED 0xff

struct bpfast_shield_cookie_key {
	__u8 addr[16]; /* IPv4 as ::ffff:a.b.c.d */
	__be16 port;
	__u8 pad[6];
} __attribute__((aligned(8)));

struct bpfast_shield_cookie {
	/* Of the programs, CLOCK_MONOTONIC, coarse: the last SYN let through, the last one answered, the
	 * last SYN-ACK of the listener that was looked at. */
	__u64 let_ns, sent_ns, learned_ns;
	__u64 netns; /* inode of the listener's namespace */
	__u32 ifindex; /* the device behind which the listener is; 0: on the host itself */
	__u16 mss, window; /* as the listener says it; 0: it has said nothing yet */
	__u8 wscale; /* the same; BPFAST_SHIELD_UNCHANGED: not known */
	__u8 mode; /* enum bpfast_shield_cookie_mode */
	__u8 timestamps; /* the namespace's timestamps begin at no secret number: they can be made here */
	/* What the namespace had before; BPFAST_SHIELD_UNCHANGED: it was not changed. */
	__u8 old_syncookies, old_timestamps;
	__u8 pad[3];
};

static_assert(sizeof(struct bpfast_shield_cookie_key) == 24, "cookie key");
static_assert(sizeof(struct bpfast_shield_cookie) == 48, "cookie");

/* --- who is blocked towards one pod: bpfast_shbar, a hash map that only the agent writes --- */

#define BPFAST_SHIELD_BARS 16384

struct bpfast_shield_bar_key {
	__u8 source[16]; /* IPv4 as ::ffff:a.b.c.d; of IPv6 the /64 */
	__u8 destination[16]; /* an address of the pod */
} __attribute__((aligned(8)));

/* CLOCK_MONOTONIC. An entry that is over may lie there for some seconds more. */
struct bpfast_shield_bar {
	__u64 all_ns; /* until then nothing of the source passes, but resets */
	__u64 syn_ns; /* until then it opens no connection */
};

static_assert(sizeof(struct bpfast_shield_bar_key) == 32, "bar key");
static_assert(sizeof(struct bpfast_shield_bar) == 16, "bar");

enum bpfast_attacked {
	BPFAST_ATTACKED = 1 << 0,
	BPFAST_ATTACKED_NAMES = 1 << 1, /* a rule of shield_dns.h is in force too */
};

/*
 * Keys of one half of a hash (bpf/shield/hash.h): the words of what is hashed each have two, for
 * the upper and the lower 32 bits. The hash is the upper 32 bits of the sum.
 */
#define BPFAST_HASH_WORDS 5

struct bpfast_hash_key {
	__u64 start;
	__u64 word[BPFAST_HASH_WORDS][2];
};

static inline __attribute__((always_inline)) __u64 bpfast_hash_word(__u64 h, const __u64 *key,
								    __u64 word)
{
	return h + (key[0] + (word >> 32)) * (key[1] + (__u32)word);
}

/*
 * bpfast_shctl: one element, mapped into the agent, written while programs run. What stands here keeps
 * its place in later versions, which add behind it: so an agent takes over limits and devices of another version.
 */
struct bpfast_shield_control {
	__u64 seed; /* of cookies and of lists; never told to anybody */
	struct bpfast_shield_limit limit[BPFAST_SC_ROOM][BPFAST_SS_COUNT];
	struct bpfast_shield_device device[BPFAST_SHIELD_SLOTS];
	__u64 attacked; /* enum bpfast_attacked; 0: nothing of shield_measure.h is in force */
	__u32 cookies; /* entries of bpfast_shck; 0: nobody looks there */
	__u32 bars; /* the same of bpfast_shbar */
	struct bpfast_hash_key key[2]; /* random, and never told to anybody either */
};

static_assert(sizeof(struct bpfast_shield_limit) == 24, "limit");
static_assert(sizeof(struct bpfast_shield_control) == 24 + 24 * BPFAST_SC_ROOM * BPFAST_SS_COUNT +
							      8 * BPFAST_SHIELD_SLOTS +
							      2 * sizeof(struct bpfast_hash_key),
	      "control");

/* --- counters: bpfast_shcnt, per CPU, one element a device slot --- */

#define BPFAST_SHIELD_REASON_ROOM 16 /* a power of two: programs mask instead of comparing */
static_assert((int)BPFAST_SHIELD_REASONS <= BPFAST_SHIELD_REASON_ROOM, "reasons");

struct bpfast_shield_counters {
	__u64 passed; /* packets that were judged and passed */
	__u64 passed_bytes;
	__u64 known; /* of these: TCP of a known connection */
	__u64 allowed; /* of these: the source is on the allow list */
	__u64 class[BPFAST_SC_ROOM]; /* packets of each class, passed or not */
	__u64 dropped[BPFAST_SHIELD_REASON_ROOM]; /* by reason, less BPFAST_R_SHIELD */
	__u64 dropped_bytes;
	__u64 audited[BPFAST_SHIELD_REASON_ROOM]; /* passed, but would not in mode enforce */
	__u64 handshakes; /* completed */
	__u32 left, turn; /* no counters: packets until one is measured (shield_measure.h) */
	__u64 cookies; /* of these: by a cookie that was sent from here */
	/* No counters either: the tick in which the clock was read, and what it said. */
	__u64 jiffy, now_ns;
	/* SYNs that were looked up in bpfast_shrep in this tick of it, and bits that choose among them. */
	__u32 repeat_tick, repeat_seen, repeat_most, pad;
};

/* --- samples: bpfast_shsmp, what drops look like --- */

/* One drop of so many on each CPU is noted. A power of two. */
#define BPFAST_SHIELD_SAMPLE 32
#define BPFAST_SHIELD_SAMPLES 1024

struct bpfast_shield_sample {
	__u64 count; /* noted packets of this source and reason; each stands for BPFAST_SHIELD_SAMPLE */
	__u64 last_ns; /* CLOCK_MONOTONIC, coarse */
	__u8 source[16], destination[16]; /* IPv4 as ::ffff:a.b.c.d; of the last one */
	__be16 source_port, destination_port;
	__u32 length; /* bytes of the frame */
	__u32 ifindex;
	__u8 reason; /* less BPFAST_R_SHIELD */
	__u8 protocol;
	__u8 tcp_flags;
	__u8 audited;
};

static_assert(sizeof(struct bpfast_shield_sample) == 64, "sample");

/* --- lists: images in bpfast_shlist, an array of maps whose values are lines --- */

#define BPFAST_SHIELD_LINE 64

/* Which image: single entries are compiled anew in an instant, files may hold millions. */
enum bpfast_shield_image { BPFAST_SI_ENTRIES, BPFAST_SI_FILES, BPFAST_SI_COUNT };

/*
 * An address is allowed when any live entry that allows holds it, else blocked
 * when any live entry that blocks does. So what a place in the tables says is one
 * pair: until when allowed, until when blocked, each the latest of all entries that
 * hold it. `code` below is the number of such a pair; code 0 is "neither".
 *
 * Time is CLOCK_MONOTONIC >> 30 (1.07 s); BPFAST_SHIELD_FOREVER never ends.
 */
#define BPFAST_SHIELD_CODES 256
#define BPFAST_SHIELD_FOREVER 0xffffffffu

struct bpfast_shield_pair {
	__u32 allow_until, block_until;
};

/* An entry as it was given: kept in the image, so that the next agent knows what is in force. */
struct bpfast_shield_entry {
	__u8 addr[16]; /* IPv4 as ::ffff:a.b.c.d; no bit set past the prefix */
	__u32 until;
	__u8 prefix; /* 0..128; of an IPv4 entry 96..128 */
	__u8 allow;
	__u8 policy; /* it is a policy's, and not a command's */
	__u8 pad; /* of the last version: not 0 in what `shield http` put there */
};

/*
 * Line 0. Then the pairs, then the first level of IPv4 (one __u32 for each /16), then the rest.
 *
 * First level: code, or BPFAST_SHIELD_BLOCK | number of a block, of which there are two arrays. Its bits
 * say of which /24 anything is said; those have a word each, one behind the other (as in a Poptrie: Asai
 * and Ohara, SIGCOMM 2015), and behind them are the block's nodes. The arrays are apart because most
 * addresses need no more than a bit, and what is read for each packet should stay in a cache.
 *
 * A word: code << 12 | n << 8 | first, where the only range of the /24 of which anything is said is that of
 * 1 << n addresses from `first` on, and its code is below 16. Else the place of its node, in units of 16 bytes from
 * the block's first word: eight first bytes of ranges, ascending from 0 (the last one repeated), and
 * their eight codes; or BPFAST_SHIELD_DENSE and the line of 256 codes.
 *
 * IPv6: binary search over the lengths that occur (Waldvogel et al., SIGCOMM 1997): buckets
 * of a line with four struct bpfast_shield_v6 each; one that is full goes on in the next line.
 */
#define BPFAST_SHIELD_BLOCK 0x80000000u
#define BPFAST_SHIELD_DENSE 0xff
#define BPFAST_SHIELD_PAIRS_LINE 2
#define BPFAST_SHIELD_V4_LINE 64
#define BPFAST_SHIELD_BODY_LINE (BPFAST_SHIELD_V4_LINE + 4096)
#define BPFAST_SHIELD_LENGTHS 129
/* Probes of that search, and lines that a bucket may go on for. */
#define BPFAST_SHIELD_V6_STEPS 8
#define BPFAST_SHIELD_V6_LINES 4

struct bpfast_shield_image_head {
	__u32 version;
	__u32 lines; /* of the whole image */
	__u32 entries_line, entries; /* struct bpfast_shield_entry, one behind the other */
	__u32 v6_line, v6_buckets; /* a power of two; 0: no IPv6 */
	__u32 lengths_line, lengths; /* one byte each, ascending */
	__u64 v6_seed;
	__u32 round; /* times were rounded up to a multiple of 1 << round */
	__u32 bits_line,
		run_line; /* struct bpfast_shield_bits and bpfast_shield_run of all blocks */
	__u32 pad[3];
};

static_assert(sizeof(struct bpfast_shield_image_head) == BPFAST_SHIELD_LINE, "head");
static_assert(sizeof(struct bpfast_shield_entry) == 24, "entry");

struct bpfast_shield_bits {
	__u64 bits[4];
};

struct bpfast_shield_run {
	__u32 at; /* the block's first word, in units of 16 bytes from the image's beginning */
	__u8 before[4]; /* bits set in those of the four that are before this one */
};

struct bpfast_shield_node {
	__u8 first[8]; /* first[0] is 0, or BPFAST_SHIELD_DENSE */
	union {
		__u8 code[8];
		__u32 line;
	};
};

static_assert(sizeof(struct bpfast_shield_bits) == 32, "bits");
static_assert(sizeof(struct bpfast_shield_run) == 8, "run");
static_assert(sizeof(struct bpfast_shield_node) == 16, "node");

struct bpfast_shield_v6 {
	__u64 tag; /* hash of prefix and length; 0: empty */
	__u32 code; /* of all entries that hold the prefix */
	__u32 pad;
};

/*
 * Mixes v into h, for what is hashed by both sides or has no keys. Twice: a product carries a
 * difference in the highest bit nowhere, and the next word could take it back.
 */
static inline __attribute__((always_inline)) __u64 bpfast_shield_mix(__u64 h, __u64 v)
{
	h = (h ^ v) * 0x9fb21c651e98df25ull;
	h = (h ^ (h >> 32)) * 0xd6e8feb86659fd93ull;
	return h ^ (h >> 32);
}

#endif
