/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_CROWD_H
#define BF_SHIELD_CROWD_H
/*
 * Which connections into pods are kept waiting by their clients, who has too many, who asks
 * too often. Pure: a census of connections goes in every so often, verdicts come out. See
 * docs/design/shield.md.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpfast/census.h"
#include "bpfast/crowd.h"
#include "bpfast/reasons.h"

extern const struct bf_crowd_limits bf_crowd_defaults;

struct bf_crowd_source {
	uint8_t addr[16]; /* IPv4 as ::ffff:a.b.c.d; of IPv6 the /64 */
	uint8_t prefix; /* 128, or 64 */
	uint8_t reason; /* enum bpfast_reason */
	uint32_t endpoint; /* the slot of the one that it is blocked towards */
	uint32_t block_s; /* for so long; 0: only new connections are, for pause_ms */
	uint32_t pause_ms;
};

/* What holds at one endpoint in place of what holds everywhere. */
struct bf_crowd_rule {
	uint32_t endpoint; /* its slot, as in the flow's key */
	bool off; /* nobody is judged there */
	bool audit; /* verdicts, but nobody is blocked or paused */
	struct bf_crowd_limits limits;
};

/* The rule of an endpoint among n that are sorted by it, or NULL. */
const struct bf_crowd_rule *bf_crowd_rule_of(const struct bf_crowd_rule *rules, size_t n,
					     uint32_t endpoint);

struct bf_crowd; /* what is remembered between two looks */

struct bf_crowd *bf_crowd_new(uint64_t seed); /* NULL: no memory */
void bf_crowd_free(struct bf_crowd *c);

#define BF_CROWD_SOURCES 256 /* judged at one look; the rest at the next */

struct bf_crowd_verdicts {
	uint8_t *reason; /* n of them: why a row's connection ends; BPFAST_R_NONE: it does not */
	struct bf_crowd_source source[BF_CROWD_SOURCES]; /* to be blocked, or paused */
	size_t sources;
	uint32_t unfinished, slow; /* rows in a head, body or response; and for long */
};

/*
 * One look, at ms of CLOCK_MONOTONIC. limits: where no rule holds; rules: sorted. exempt: asked of a source before anything
 * is held against it. verdicts->reason has room for n. -ENOMEM: nothing is judged.
 */
int bf_crowd_judge(struct bf_crowd *c, const struct bf_crowd_limits *limits,
		   const struct bf_crowd_rule *rules, size_t rule_count, uint64_t ms,
		   const struct bpfast_census_row *rows, uint32_t n,
		   bool (*exempt)(void *arg, const uint8_t addr[16]), void *arg,
		   struct bf_crowd_verdicts *verdicts);

#endif
