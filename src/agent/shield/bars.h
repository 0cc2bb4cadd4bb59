/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_SHIELD_BARS_H
#define BF_AGENT_SHIELD_BARS_H
/*
 * Sources that `shield http` blocks towards one pod. What is in force lies in the kernel's table alone: the next
 * agent finds it there.
 */
#include <jansson.h>

#include "bpfast/shield.h"
#include "shield/crowd.h"

struct bf_agent;
struct bf_local;

/* Puts it into force towards all addresses of the endpoint that it could reach. -E2BIG: there is no room. */
int bf_shield_bar(struct bf_agent *a, const struct bf_local *local,
		  const struct bf_crowd_source *source);
/* Takes out what is over. */
void bf_shield_bars_expire(struct bf_agent *a);
/* Of an endpoint that has just come: what the last one at its addresses was asked is not held against anybody. */
void bf_shield_bars_welcome(struct bf_agent *a, const struct bf_local *local);

/* Adds those in force to entries, at most so many; returns how many there are. */
size_t bf_shield_bars_json(struct bf_agent *a, json_t *entries, size_t most);
/* Sources blocked, and those that may open no connection, each at each address, now. */
void bf_shield_bars_now(struct bf_agent *a, size_t *blocked, size_t *paused);

/*
 * Takes off a source, named by its prefix; of IPv6 one address of the /64 is enough. Adds what it was to taken;
 * returns how many there were, or -errno.
 */
int bf_shield_bars_take(struct bf_agent *a, const struct bpfast_shield_entry *e, json_t *taken);
/* Sources within that prefix. */
size_t bf_shield_bars_inside(struct bf_agent *a, const struct bpfast_shield_entry *e);

#endif
