/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_DETECT_H
#define BF_SHIELD_DETECT_H
/*
 * Which destinations are under attack, by what, and what to put in force. Pure:
 * counters in, attacks and limits out. All memory is taken by
 * bf_detect_create(); nothing that arrives makes it grow.
 * docs/design/shield-detection.md says why the numbers are what they are.
 */
#include "base/error.h"
#include "bpfast/shield_dns.h"
#include "shield/dns.h"
#include "shield/fingerprint.h"
#include "shield/heavy.h"
#include "shield/traffic.h"

#define BF_ATTACKS_MAX 64 /* going on at once that have a record; more are only limited */
#define BF_ATTACKS_KEPT 256 /* records of ended ones */
#define BF_ATTACK_TOP 8
#define BF_ATTACK_RULES 4 /* fingerprints of one attack */

struct bf_detect_config {
	uint32_t destinations; /* 2..65536; more share the overflow destination */
	uint8_t sensitivity; /* enum bf_sensitivity; DEFAULT: medium */
	uint64_t seed; /* of the sampling; the same input gives the same output */
	double scale; /* of all floors; 0: 1 */
	double warm_s; /* after the start nothing but gross attacks count; 0: 20 */
	uint32_t day_s; /* length of a day; 0: 86400. For tests */
};

/* Who sends. */
enum bf_spread {
	BF_SPREAD_UNKNOWN, /* too few samples */
	BF_SPREAD_ONE, /* one source, or a few */
	BF_SPREAD_MANY, /* many sources that each send much: a botnet, reflectors */
	BF_SPREAD_SPOOFED, /* nearly every packet from another source */
};

const char *bf_spread_name(enum bf_spread s);

/* What was done, as bits. */
enum bf_action {
	BF_ACT_LIMIT = 1 << 0, /* limit on what comes from unknown sources */
	BF_ACT_FINGERPRINT = 1 << 1,
	BF_ACT_DNS_SUFFIX = 1 << 2, /* queries below a name */
	BF_ACT_COOKIES =
		1 << 3, /* SYN cookies are what helps; the data plane may or may not have them */
};

/* Which method spoke, with what it saw. */
enum bf_evidence {
	BF_EV_UNPAIRED, /* SYN without handshake, packets without reply, responses without request */
	BF_EV_STRAY, /* belonging to no connection */
	BF_EV_SURGE, /* unknown sources send many times of what is ordinary, and otherwise */
};

const char *bf_evidence_name(enum bf_evidence e);

/* How it was closed, where that was not by the flood's end as this detector saw it. */
enum bf_attack_note {
	BF_NOTE_NONE,
	BF_NOTE_QUIET, /* not found again */
	BF_NOTE_GONE, /* its limits were not in force any more at the start */
	BF_NOTE_COUNT,
};

/* A sentence; NULL: there is nothing to say. */
const char *bf_attack_note(enum bf_attack_note n);

struct bf_attack_prefix {
	struct bf_heavy_entry who;
	uint8_t bits; /* of IPv4 or IPv6, as the address is */
};

/* One attack: flat, to be printed as it is. */
struct bf_attack {
	uint64_t id; /* from 1 */
	struct bf_dest dest;
	uint8_t kind; /* enum bf_class */
	uint8_t random_subdomain; /* kind DNS_QUERY: dns is filled in */
	uint8_t evidence; /* enum bf_evidence */
	uint8_t spread; /* enum bf_spread */
	uint8_t actions; /* enum bf_action */
	uint8_t sensitivity;
	uint8_t rules; /* in rule[] */
	uint8_t tops, top_prefixes;
	uint8_t awaited; /* of a detector before this one, which this one has not seen yet */
	uint8_t note; /* enum bf_attack_note */
	uint32_t restarts; /* detectors that took it over */
	uint32_t classes; /* bits of enum bf_class that take part */
	uint64_t start_ns; /* of the tick that decided, less what the sum had run up in */
	uint64_t detected_ns;
	uint64_t end_ns; /* last tick over the threshold */
	uint64_t released_ns; /* limits taken back; 0: going on */
	double value, threshold, ordinary; /* packets/s, at detection */
	double entropy; /* of the sources while it goes on, 0..1 */
	double packets_per_source; /* in one tick */
	double peak_pps, peak_bps; /* of the classes that take part; bits/s */
	uint64_t packets, bytes, dropped; /* passed = packets - dropped */
	struct bf_heavy_entry top[BF_ATTACK_TOP];
	struct bf_attack_prefix prefix[BF_ATTACK_TOP];
	struct bpfast_fingerprint rule[BF_ATTACK_RULES];
	struct bf_fingerprint_score score[BF_ATTACK_RULES];
	struct bf_dns_rule dns;
};

/* To be put in force: packets of the class to the destination from sources that are not known. */
struct bf_limit {
	uint64_t attack; /* id; 0: has no record */
	struct bf_dest dest;
	uint8_t cls; /* enum bf_class */
	uint8_t stray_only; /* 1: only packets that belong to no connection */
	uint32_t pps; /* packets/s that still pass */
	uint32_t burst; /* packets */
};

struct bf_detect;

/* -ENOMEM, or -EINVAL with the field's name. */
int bf_detect_create(struct bf_detect **out, const struct bf_detect_config *c,
		     struct bf_error *err);
void bf_detect_free(struct bf_detect *d);
size_t bf_detect_memory(const struct bf_detect *d); /* bytes, fixed from the start */

/* What a tick changed, as bits. */
enum bf_change {
	BF_CHANGE_STARTED = 1 << 0,
	BF_CHANGE_ENDED = 1 << 1,
	BF_CHANGE_LIMITS = 1 << 2,
	BF_CHANGE_RULES = 1 << 3, /* fingerprints or DNS suffixes */
};

/* One tick. Returns bits of enum bf_change. A tick that is not after the last is ignored. */
unsigned bf_detect_tick(struct bf_detect *d, const struct bf_tick *t);

/* Attacks going on, oldest first, and ended ones, newest first. NULL: there is no such. */
const struct bf_attack *bf_detect_active(const struct bf_detect *d, size_t i);
const struct bf_attack *bf_detect_ended(const struct bf_detect *d, size_t i);

/* What shall be in force now. Returns how many there are, also where that is more than max. */
size_t bf_detect_limits(const struct bf_detect *d, struct bf_limit *out, size_t max);

/* Fingerprints that shall be in force, the attacks with most packets first. Returns how many there
 * are, also where that is more than max or than BPFAST_FP_RULES, of which the kernel takes no more. */
size_t bf_detect_rules(const struct bf_detect *d, struct bpfast_fingerprint *out, size_t max);

/* A rule about names that shall be in force; its destination is not set. */
struct bf_dns_force {
	struct bf_dest dest;
	struct bpfast_dns_rule rule;
};

/* As bf_detect_rules(), of which the kernel takes BPFAST_DNS_RULES. */
size_t bf_detect_names(const struct bf_detect *d, struct bf_dns_force *out, size_t max);
/* So many more packets have met the rule. For the record, also of an attack that is over. */
void bf_detect_names_met(struct bf_detect *d, uint32_t id, uint64_t packets);
/* The rule is as it was in force before, by a detector that had seen more. */
void bf_detect_names_inherit(struct bf_detect *d, uint32_t id, const struct bpfast_dns_rule *was);

/*
 * resume.c: what a detector before this one knew. Before the first tick.
 *
 * Ids and numbers of rules go on behind these.
 */
void bf_detect_number(struct bf_detect *d, uint64_t last_id, uint64_t last_rule);
void bf_detect_numbers(const struct bf_detect *d, uint64_t *last_id, uint64_t *last_rule);
/* One that has ended, the oldest first. */
void bf_detect_put_ended(struct bf_detect *d, const struct bf_attack *at);
/*
 * One that was going on: it runs until a flood of its kind is found there, which then is this
 * attack, or until bf_detect_let_go(). false: there is no room.
 */
bool bf_detect_resume(struct bf_detect *d, const struct bf_attack *at, uint64_t now_ns);
/* Ends an attack that is still awaited. Returns bits of enum bf_change. */
unsigned bf_detect_let_go(struct bf_detect *d, uint64_t id, uint64_t end_ns,
			  enum bf_attack_note note);

struct bf_detect_stats {
	uint64_t ticks;
	uint32_t destinations; /* with an entry of their own */
	uint64_t overflow; /* destinations that went to "other", counted each tick */
	uint64_t unrecorded; /* attacks without a record, for BF_ATTACKS_MAX were going on */
};

void bf_detect_stats(const struct bf_detect *d, struct bf_detect_stats *out);

#endif
