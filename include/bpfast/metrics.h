/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_METRICS_H
#define BPFAST_METRICS_H
/* bpfast_metrics: a per-CPU array with one element of struct bpfast_metrics. */
#include "types.h"
#include "reasons.h"

enum bpfast_direction {
	BPFAST_INGRESS = 0, /* into the pod: to_pod */
	BPFAST_EGRESS = 1, /* out of the pod: from_pod */
	BPFAST_DIRECTIONS = 2,
};

/* Latency buckets: bucket b counts responses within 2^(b + 14) ns (16 us ..). The last: slower. */
#define BPFAST_LATENCY_BUCKETS 20
#define BPFAST_LATENCY_FIRST_LOG2 14

struct bpfast_metrics {
	__u64 packets[BPFAST_DIRECTIONS]; /* forwarded */
	__u64 bytes[BPFAST_DIRECTIONS];
	__u64 dropped[BPFAST_DIRECTIONS][BPFAST_R_COUNT]; /* packets, by reason */
	__u64 audited[BPFAST_R_COUNT]; /* packets or requests forwarded in mode audit, by reason */
	__u64 flows_created;
	__u64 flows_closed;
	__u64 http_requests[BPFAST_V_COUNT];
	__u64 http_denied[BPFAST_R_COUNT]; /* requests, by reason */
	__u64 http_responses[8]; /* by class: [1] is 1xx ... [5]; [0]: not understood */
	__u64 http_latency[BPFAST_LATENCY_BUCKETS];
	__u64 http_latency_sum_ns;
	__u64 replies_sent; /* 403 */
	__u64 resets_sent;
	__u64 records_written;
	__u64 records_limited; /* not written: nobody observes and the rate is over the limit */
	__u64 records_lost; /* not written: the ring was full */
	__u64 retained_evicted; /* connections reset to have room in the retention pool */
	__u64 helper_errors;
};

#endif
