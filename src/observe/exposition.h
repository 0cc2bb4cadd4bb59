/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_OBSERVE_EXPOSITION_H
#define BF_OBSERVE_EXPOSITION_H
/*
 * Metrics as Prometheus text, exposition format 0.0.4. Every series has a
 * bounded set of labels: directions, verdicts, reasons, status classes, the devices
 * that shield guards; never endpoints, addresses or paths.
 */
#include "bpfast/metrics.h"
#include "bpfast/shield.h"
#include "datapath/datapath.h"
#include "observe/text.h"

/* What the agent adds to what the kernel side counts. */
struct bf_agent_numbers {
	const char *version;
	uint64_t revision;
	uint64_t applies_ok, applies_failed;
	uint64_t endpoints, policies;
	uint64_t records_kept; /* ever */
	uint64_t records_file_written, records_file_lost, log_file_lost;
	uint64_t resident_bytes, open_fds;
	double cpu_seconds, start_seconds; /* start: since the epoch */
	bool frozen; /* changes are refused */
	bool state_unsaved; /* the last change is not on disk */
};

/* A device that shield guards. */
struct bf_shield_numbers {
	char interface[16];
	struct bpfast_shield_counters count;
};

/* What detection has to say. */
struct bf_detection_numbers {
	size_t kinds;
	const char *const *kind; /* names */
	const uint64_t *begun, *running; /* attacks of each kind */
	uint64_t destinations, samples, samples_lost;
};

void bf_detection_exposition(struct bf_text *out, const struct bf_detection_numbers *n);

/* entries: of the list that blocks and the one that allows. */
void bf_shield_exposition(struct bf_text *out, const struct bf_shield_numbers *devices, size_t n,
			  const uint64_t entries[2]);

void bf_exposition(struct bf_text *out, const struct bpfast_metrics *kernel,
		   const struct bf_datapath_status *status, const struct bf_agent_numbers *agent);

/* Connections that shield ended, and would have: BPFAST_ENDED_REASONS each, less BPFAST_R_ENDED. */
void bf_ended_exposition(struct bf_text *t, const uint64_t *ended, const uint64_t *audited,
			 uint64_t not_ended, uint64_t blocked, uint64_t paused,
			 uint64_t not_blocked);

#endif
