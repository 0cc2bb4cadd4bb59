/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_REPLAY_CLOCK_H
#define BF_REPLAY_CLOCK_H
/*
 * From the kernel's clock to the capture's: a replay runs at full speed, so how
 * long a server took must be found out from when its request was captured.
 */
#include <stddef.h>
#include <stdint.h>

#include "bpfast/event.h"

struct bf_replay_clock {
	struct bf_replay_instant {
		uint64_t kernel_ns;
		int64_t capture_ns;
	} *v; /* of requests, in order */
	size_t n, cap;
};

/* Gives the record the capture's time, and its latency. 0, -ENOMEM. */
int bf_replay_clock_set(struct bf_replay_clock *clock, struct bpfast_event *ev, int64_t capture_ns);
void bf_replay_clock_free(struct bf_replay_clock *clock);

#endif
