/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_ATTACKS_H
#define BF_AGENT_ATTACKS_H
/* Attacks as they are told: JSON, lines of the log, records. */
#include "agent/agent.h"
#include "agent/shield/defence.h"

/* It began, or it is over: a line of the log and a record. */
void bf_attack_tell(struct bf_agent *a, const struct bf_attack *at, bool begins);
/* The record of an event of the type BPFAST_EV_ATTACK; NULL: it is gone. */
const char *bf_attack_line(const struct bf_agent *a, const struct bpfast_event *ev);
void bf_attack_lines_free(struct bf_agent *a);

json_t *bf_attack_json(const struct bf_defence *d, const struct bf_attack *at);
/* The node's sensitivity: what holds where no policy and no target says another. */
const char *bf_defence_node_word(const struct bf_agent *a);
/* Running ones, and the last `ended` that are over; what is measured. */
void bf_defence_json(const struct bf_agent *a, json_t *status, size_t ended);

#endif
