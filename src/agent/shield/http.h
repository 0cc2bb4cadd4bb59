/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_SHIELD_HTTP_H
#define BF_AGENT_SHIELD_HTTP_H
/*
 * Connection and HTTP floods: takes a census a few times a second, ends connections that keep
 * servers waiting, and blocks the sources of many towards the pod. Runs while shield guards a device, or while
 * its mode was set.
 */
#include <jansson.h>

#include "agent/loop.h"
#include "bpfast/shield.h"
#include "shield/crowd.h"

struct bf_agent;

#define BF_HTTP_AS_DEVICES BPFAST_SM_COUNT /* the mode: the strictest of all guarded devices */

struct bf_shield_http {
	struct bf_crowd_limits limits; /* filled by whoever sets them */
	uint8_t mode; /* enum bpfast_shield_mode, or BF_HTTP_AS_DEVICES */
	struct bf_watch timer;
	struct bf_census *census; /* NULL: not loaded */
	struct bf_crowd *crowd;
	struct bf_crowd_verdicts *verdicts;
	/* Of endpoints for which a policy has a word: sorted by slot, and the policies' names, borrowed. */
	struct bf_crowd_rule *rules;
	const char **owners;
	size_t rule_count;
	uint8_t looked_as; /* the mode of the last look */
	bool failed; /* the log has said why */
	/* For status and metrics. */
	uint64_t ended[BPFAST_ENDED_REASONS], audited[BPFAST_ENDED_REASONS];
	uint64_t not_ended, blocked, paused, not_blocked, left_out;
	bool full; /* the last one could not be blocked; the log has said so */
	uint32_t connections, slow; /* at the last census */
	uint64_t took_ns;
};

void bf_shield_http_init(struct bf_agent *a); /* as it is from the start; nothing runs */
int bf_shield_http_start(struct bf_agent *a);
void bf_shield_http_stop(struct bf_agent *a);
enum bpfast_shield_mode bf_shield_http_mode(const struct bf_agent *a);

/* Endpoints, policies or the node's limits may have changed. */
void bf_shield_http_renew(struct bf_agent *a);

json_t *bf_shield_http_status(struct bf_agent *a);
/* For state.json. */
json_t *bf_shield_http_save(const struct bf_agent *a);
void bf_shield_http_load(struct bf_agent *a, const json_t *o);

#endif
