/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_REPLAY_REPLAY_H
#define BF_REPLAY_REPLAY_H
/*
 * A capture through the programs that guard pods: which hooks a packet passes,
 * what became of it, and when, by the capture's clock. docs/guide/replay.md says
 * what that can tell and what not.
 */
#include <stddef.h>
#include <stdint.h>

#include "bpfast/event.h"
#include "bpfast/metrics.h"
#include "observe/view.h"
#include "policy/model.h"
#include "replay/capture.h"

struct bf_replay;

struct bf_replay_options {
	const struct bf_objects *objects;
	const struct bf_endpoint *endpoints; /* the pods, each with its slot */
	size_t endpoint_count;
	const uint8_t (*node_addrs)[16]; /* the node's own */
	size_t node_addr_count;
	uint64_t capture_bytes; /* how much will come; 0: not known */
	/* A record, its time and latency by the capture's clock. */
	void (*record)(void *arg, const struct bpfast_event *ev, const struct bf_view *view);
	void *arg;
};

struct bf_replay_summary {
	uint64_t frames; /* in the capture */
	uint64_t truncated; /* not whole in the capture: skipped */
	uint64_t too_large; /* and cannot be cut: skipped */
	uint64_t refused; /* by the kernel's test runner: skipped */
	uint64_t no_pod; /* neither end is a pod */
	uint64_t cut, cut_into; /* frames, and packets made of them */
	uint64_t packets; /* that went to one hook or two: the sum of the next three */
	uint64_t forwarded;
	uint64_t dropped[BPFAST_R_COUNT];
	uint64_t behind[BPFAST_R_COUNT]; /* dropped, of a connection that was refused before */
	uint64_t sent_again; /* offers of a packet that a sender would have sent again */
	uint64_t waiting; /* packets that would still be sent again, in whole or in part */
	struct bpfast_metrics metrics; /* as the programs count: every hook, every offer */
};

/*
 * Compiles and loads. Moves this process into a network namespace of its own. Objects and
 * endpoints are looked at during the call only. 0, or -errno with err.
 */
int bf_replay_open(const struct bf_replay_options *options, struct bf_replay **out,
		   struct bf_error *err);
/* To the capture's end. On an error in the capture *summary says what was replayed before. */
int bf_replay_run(struct bf_replay *r, struct bf_capture *capture,
		  struct bf_replay_summary *summary, struct bf_error *err);
void bf_replay_close(struct bf_replay *r);

#endif
