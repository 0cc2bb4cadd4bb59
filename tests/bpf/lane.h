/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_LANE_H
#define BF_TEST_LANE_H
/*
 * The quick way for a packet through the programs of world.h: nothing but the
 * system call. Records and counters are read when somebody asks, for as many
 * packets as there were.
 */
#include "world.h"

void lane_open(void);
void lane_close(void);

/* Runs a packet through a hook. False: it was dropped. `gso`: segment size of a super-packet, or 0. */
bool lane_run(enum way way, const struct frame *in, uint32_t gso, struct frame *out);

/* Reads a frame without IP options: numbers, flags and data. False: it is not well-formed. */
bool lane_read(const struct frame *f, struct seen_tcp *t);

/* Records of requests since the last call, in order; returns how many, though more than `room`. */
size_t lane_requests(struct bpfast_event *to, size_t room);

#endif
