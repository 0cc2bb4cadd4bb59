/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_OBSERVE_EXPOSITION_H
#define BF_OBSERVE_EXPOSITION_H
/*
 * Metrics as Prometheus text, exposition format 0.0.4. Every series has a
 * bounded set of labels: directions, verdicts, reasons, status classes; never
 * endpoints, addresses or paths.
 */
#include "bpfast/metrics.h"
#include "datapath/datapath.h"
#include "observe/text.h"

/* What the agent adds to what the kernel side counts. */
struct bf_agent_numbers {
	const char *version;
	uint64_t revision;
	uint64_t applies_ok, applies_failed;
	uint64_t endpoints, policies;
	uint64_t records_kept; /* ever */
	uint64_t resident_bytes, open_fds;
	double cpu_seconds, start_seconds; /* start: since the epoch */
	bool frozen; /* changes are refused */
	bool state_unsaved; /* the last change is not on disk */
};

void bf_exposition(struct bf_text *out, const struct bpfast_metrics *kernel,
		   const struct bf_datapath_status *status, const struct bf_agent_numbers *agent);

#endif
