/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_HISTORY_H
#define BF_AGENT_HISTORY_H
/*
 * RUN_DIR/attacks.json: records of attacks, for the next agent. Written when an attack begins or
 * ends, and every two seconds while one goes on: so much is lost where an agent is killed.
 */
#include <jansson.h>

#include "shield/detect.h"

struct bf_agent;

#define BF_HISTORY_FILE "attacks.json"
#define BF_HISTORY_KEPT 64 /* ended ones in the file, the newest */
#define BF_HISTORY_BYTES (2u << 20) /* a larger file is none of ours */
#define BF_HISTORY_NS 2000000000ull

struct bf_history {
	uint64_t last_id, last_rule;
	uint64_t begun[BF_CLASSES]; /* attacks ever begun, by kind */
	size_t running, ended;
	struct bf_attack
		v[BF_ATTACKS_MAX + BF_HISTORY_KEPT]; /* running, then ended, oldest first */
	/* What the kernel side had counted of a rule when it was put in force. */
	uint64_t hits[BF_ATTACKS_MAX][BF_ATTACK_RULES];
};

/* history_json.c, pure. Times in the file are of the wall clock: offset_ns is that less CLOCK_MONOTONIC. */
json_t *bf_history_json(const struct bf_history *h, int64_t offset_ns);
/* All or nothing: -EINVAL with what is wrong. Times that would be after now_ns are made now_ns. */
int bf_history_parse(const char *text, size_t len, int64_t offset_ns, uint64_t now_ns,
		     struct bf_history *out, struct bf_error *err);

/* history.c. What cannot be read is told once, and the history begins anew. */
void bf_history_load(struct bf_agent *a, uint64_t now_ns);
/* Where it is time to; where `now`: in any case. */
void bf_history_save(struct bf_agent *a, bool now);
/* Awaited attacks whose limits were met by nobody and are gone. Returns bits of enum bf_change. */
unsigned bf_history_let_go(struct bf_agent *a);

#endif
