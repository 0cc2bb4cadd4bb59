/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_DEFENCE_H
#define BF_AGENT_DEFENCE_H
/*
 * Shield's loop: what the kernel side has measured to the detector, and
 * what the detector says into the kernel. Ten ticks a second.
 */
#include "agent/loop.h"
#include "datapath/shield/measure.h"
#include "shield/detect.h"

struct bf_agent;

#define BF_DEFENCE_MS 100
#define BF_DEFENCE_SAMPLES 2048 /* read in a tick */
#define BF_DEFENCE_DROPS 4096 /* sampled drops that are kept for `shield capture` */

/* Something of the agent before us that is in force, and shall go when nothing meets it any more. */
struct bf_adopted {
	uint64_t since_ns;
	uint32_t on[BPFAST_DESTS]; /* classes */
	uint64_t hit_ns[BPFAST_DESTS]; /* when last dropped */
	uint32_t rules; /* bits */
	uint64_t rule_hit_ns[BPFAST_FP_RULES], hits[BPFAST_FP_RULES];
	uint32_t names; /* bits of rules about names */
	uint64_t names_hit_ns[BPFAST_DNS_RULES], names_hits[BPFAST_DNS_RULES];
	bool any;
};

struct bf_defence {
	struct bf_shield_measure maps;
	struct bf_detect *detect;
	const struct bpfast_shield_control *control; /* whose devices */
	struct bf_watch timer;
	/* Reading: counters as they were, and the tick that is made of them. */
	struct bpfast_meter *was; /* cpus * BPFAST_DESTS; sources are not looked at */
	uint32_t *numbers; /* of the last sample read, a CPU */
	struct bf_traffic *traffic;
	uint32_t of_dest[BPFAST_DESTS]; /* index into traffic, + 1 */
	uint64_t seen_ns[BPFAST_DESTS];
	/* By which devices (slots) packets to a destination came, as samples tell. */
	uint64_t slots[BPFAST_DESTS][(BPFAST_SHIELD_SLOTS + 63) / 64];
	/* What policies say of a destination: enum bf_sensitivity, DEFAULT: nothing. */
	uint8_t policy_sens[BPFAST_DESTS];
	bool policy_known
		[BPFAST_DESTS]; /* it was looked up since there is the entry, and the bit */
	unsigned int slot; /* of the last sample */
	struct bf_sampled *samples;
	uint64_t ticks, samples_read, samples_lost;
	uint64_t swept; /* the last part of the tables, by the clock */
	bool sweep_failed;
	/* Sampled drops, a ring. */
	struct bpfast_packet *drops;
	uint64_t drops_total;
	/* In force. */
	struct bf_adopted adopted;
	uint32_t limited[BPFAST_DESTS]; /* classes, by the detector */
	uint32_t rule_id[BPFAST_FP_RULES]; /* of the detector; 0: free, or adopted */
	uint32_t rules_other; /* bits: those of attacks on destinations that have no entry */
	uint64_t rule_hits[BPFAST_FP_RULES]; /* of the kernel when it was put in force */
	uint32_t rules_refused; /* for which there was no place */
	uint32_t names_id[BPFAST_DNS_RULES]; /* of the detector; 0: free, or adopted */
	uint64_t names_hits[BPFAST_DNS_RULES]; /* of the kernel, as the detector was told */
	uint32_t names_refused; /* for which there was no place */
	uint64_t attacks[BF_CLASSES]; /* ever begun, by kind */
	uint64_t told; /* id of the last attack whose begin was told */
	uint64_t ended; /* when the last attack was released whose end was told */
	bool history_read; /* before that nothing is written over it */
	uint64_t history_ns; /* when it was written */
	int history_errno; /* why the last one is not on disk; 0: it is */
	uint64_t now_ns; /* of the last tick */
	uint64_t tick_ns; /* CPU of it */
};

/* defence.c */
int bf_defence_start(struct bf_agent *a, struct bf_error *err);
void bf_defence_stop(struct bf_agent *a);

/* defence_read.c: the tick's counters and samples, of now_ns. */
void bf_defence_read(struct bf_defence *d, struct bf_tick *tick, uint64_t now_ns);
/* The detector's name of a destination. */
struct bf_dest bf_defence_dest(const struct bf_defence *d, uint32_t number);
/* Takes out destinations that nobody has spoken to for long. */
void bf_defence_age(struct bf_defence *d, uint64_t now_ns);

/* defence_force.c */
void bf_defence_adopt(struct bf_defence *d, uint64_t now_ns);
void bf_defence_force(struct bf_defence *d, struct bpfast_shield_control *control);
/* What is adopted and was met by nobody lately, or was not found again in time, goes. Returns how much. */
unsigned int bf_defence_release(struct bf_defence *d, struct bpfast_shield_control *control,
				uint64_t now_ns);
/* BPFAST_DESTS: it has no entry any more. */
uint32_t bf_defence_number(const struct bf_defence *d, const struct bf_dest *k);
/* Of a destination: enum bpfast_shield_mode, and sensitivity. */
uint8_t bf_defence_mode(const struct bf_defence *d, uint32_t number, uint8_t *sensitivity);
/* The policy that says the sensitivity of an address (and what), or NULL. number: of its entry, or BPFAST_DESTS. */
const char *bf_defence_policy(const struct bf_agent *a, const uint8_t addr[16], uint32_t number,
			      uint8_t *sensitivity);
/* Looks it up for new destinations, or for all: policies, endpoints or devices may have changed. */
void bf_defence_policies(const struct bf_agent *a, bool all);
/* Modes were changed. */
void bf_defence_modes(struct bf_defence *d, struct bpfast_shield_control *control);
/* defence_names.c: rules about names in DNS queries, as the detector says. */
void bf_defence_names(struct bf_defence *d);
bool bf_defence_names_any(const struct bf_defence *d);
bool bf_defence_names_at(const struct bf_defence *d, uint32_t number); /* at a destination */
bool bf_defence_names_there(const struct bf_defence *d, uint32_t id); /* the detector's, in force */
/* Tells the detector how many packets met them. */
void bf_defence_names_count(struct bf_defence *d);
void bf_defence_names_adopt(struct bf_defence *d, uint64_t now_ns);
/* Adopted ones that were met by nobody for so long go. Returns how many. */
unsigned int bf_defence_names_release(struct bf_defence *d, uint64_t now_ns, uint64_t quiet_ns);

uint64_t bf_defence_hits(const struct bf_defence *d, unsigned int rule);

#endif
