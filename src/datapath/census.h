/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_CENSUS_H
#define BF_DATAPATH_CENSUS_H
/* Counts the TCP connections into pods, and ends one from outside. Nothing of it is pinned. */
#include "bpfast/census.h"
#include "datapath/datapath.h"

struct bf_census;

int bf_census_open(struct bf_datapath *dp, struct bf_census **out, struct bf_error *err);
void bf_census_close(struct bf_census *c);

/* Are there so many flows at any endpoint that a census could find something? */
bool bf_census_worth(const struct bf_datapath *dp, uint32_t flows);

/*
 * Looks at all connections. The rows are valid until the next one. closed: also those that are
 * over and asked for something. took_ns: how long the program ran.
 */
int bf_census_run(struct bf_census *c, bool closed, const struct bpfast_census_row **rows,
		  uint32_t *n, uint32_t *left_out, uint64_t *took_ns);

/*
 * Resets an inspected connection at the pod's side, as its client would: by a segment out of
 * the host's side of the pod's veth, through the hook there. The client learns it with the next
 * thing that it sends.
 */
int bf_census_end(struct bf_census *c, const struct bpfast_census_row *row, int ifindex,
		  const uint8_t mac[6]);

#endif
