/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_INTERNAL_H
#define BF_SHIELD_INTERNAL_H
/* What a detector holds. Internal to src/shield. */
#include "shield/dns_names.h"
#include "shield/signal.h"

#define LATER 8 /* ticks that SYNs wait for their handshake */
#define HONEST 96 /* honest samples of each stratum, for fingerprints */
#define STAGED 24 /* that wait until it is sure that no attack had begun */
#define GOOD 768 /* honest samples that a rule is tried on */
#define EVIL 256 /* samples of an attack */

/* Honest packets are kept by kind: in a random choice SYNs would hardly occur. */
enum stratum { ST_SYN, ST_TCP, ST_UDP, ST_DNS, ST_REST, ST_FRAGMENT, STRATA };

struct reservoir {
	uint32_t n;
	struct bpfast_fp_packet p[HONEST];
};

struct staging {
	uint32_t n;
	struct bpfast_fp_packet p[STAGED];
};

#define NAMED 16 /* destinations whose names are kept */
#define STAGED_QUERIES 32

/* Names asked for at one destination, and those that wait until it is sure that no attack had begun. */
struct named {
	uint32_t dest; /* index; 0: free */
	uint64_t used_ns;
	struct bf_names names;
	uint32_t staged;
	struct {
		uint8_t bytes, payload[BF_SAMPLE_PAYLOAD];
		uint64_t at_ns;
	} query[STAGED_QUERIES];
};

/* SYNs that may still be answered. */
struct waiting {
	uint64_t at_ns;
	double all, unknown;
};

struct destination {
	struct bf_dest key;
	uint8_t used, on; /* on: an attack on any class */
	uint8_t sensitivity;
	uint8_t told; /* in this tick */
	uint8_t restless; /* some sum is over zero */
	uint8_t awaited; /* attacks of an earlier detector that are not found yet */
	uint8_t resumed; /* such a one is or was going on: no patience at the start */
	uint64_t first_ns, seen_ns, calm_ns; /* calm since */
	uint64_t staged_ns;
	struct waiting waiting[LATER];
	double shape, shape_mean, shape_dev, shape_age_s; /* log2 of packets a source */
	double entropy, entropy_mean, entropy_dev; /* of the sources, 0..1 */
	double packets_per_source;
	double heaviest; /* packets of the bucket that has most, this tick */
	struct bf_signal signal[BF_CLASSES];
	struct reservoir honest[STRATA];
	struct staging staged[STRATA];
};

struct record {
	struct bf_attack pub;
	uint8_t used;
	uint32_t dest; /* index */
	uint64_t looked_ns; /* for fingerprints */
	uint64_t rated_ns;
	double pps, bps; /* over the last tick */
	double excess_packets, excess_sources; /* over all ticks, for the spread */
	struct bf_heavy sources, prefixes;
	uint32_t evil_n;
	struct bpfast_fp_packet evil[EVIL];
	struct bf_dns dns;
	struct bpfast_dns_rule dns_rule; /* id 0: none */
	uint32_t asked, below; /* queries since the rule was looked at, and those that it meets */
	uint64_t named_ns; /* when it was */
	uint8_t renaming; /* the flood has gone on to other names */
};

struct bf_detect {
	struct bf_detect_config config;
	size_t bytes;
	uint64_t now_ns, start_ns, last_id, last_rule;
	uint64_t random;
	struct bf_detect_stats stats;
	uint32_t dests; /* config.destinations + 2: "all" and "other" come first */
	struct destination *dest;
	uint32_t *hash; /* open addressing, index + 1 */
	uint32_t hash_mask;
	struct record *record; /* BF_ATTACKS_MAX */
	struct named *named; /* NAMED */
	struct bf_attack *ended; /* BF_ATTACKS_KEPT, a ring */
	uint32_t ended_n, ended_at;
	uint32_t *of_traffic; /* destination of each of the tick's traffic, for its samples */
	uint32_t of_traffic_max;
	struct bpfast_fp_packet good[GOOD]; /* honest packets, while a rule is looked for */
};

#define DEST_ALL 0
#define DEST_OTHER 1

uint32_t bf_detect_random(struct bf_detect *d, uint32_t n);
/* Of a destination; NULL: none are kept. */
struct named *bf_named_of(const struct bf_detect *d, uint32_t dest);

enum stratum bf_stratum_of(enum bf_class c);

/* Index of its entry, a new one where there is none; DEST_OTHER: no room. */
uint32_t bf_detect_destination(struct bf_detect *d, const struct bf_dest *k);
/* An attack begins, or joins the one that it belongs to. */
unsigned bf_attack_start(struct bf_detect *d, uint32_t dest, enum bf_class c, double value,
			 unsigned slot);
/* Adds up what a destination's traffic was in this tick. */
void bf_attack_count(struct bf_detect *d, uint32_t dest, const struct bf_traffic *t, double dt_s);
void bf_attack_sample(struct bf_detect *d, uint32_t dest, const struct bf_sampled *s);
/* Fingerprints, names, spread: what needs samples. Returns bits of enum bf_change. */
unsigned bf_attack_study(struct bf_detect *d, struct record *r, unsigned slot);
/* All classes are over. */
void bf_attack_end(struct bf_detect *d, struct record *r);

#endif
