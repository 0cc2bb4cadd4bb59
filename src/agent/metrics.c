// SPDX-License-Identifier: Apache-2.0
/* The agent's own numbers, and all of them as text. */
#include <dirent.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "observe/exposition.h"

static uint64_t resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "re");
	unsigned long long total, resident = 0;

	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &total, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (unsigned long)sysconf(_SC_PAGESIZE);
}

static uint64_t open_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", ".." and the one that was opened to look */
}

void bf_metrics_text(struct bf_agent *a, struct bf_text *out)
{
	struct bpfast_metrics kernel = {0};
	struct bf_datapath_status status = {0};
	struct rusage ru = {0};
	struct bf_agent_numbers n = {
		.version = BPFAST_VERSION,
		.revision = a->revision,
		.applies_ok = a->applies_ok,
		.applies_failed = a->applies_failed,
		.endpoints = a->endpoints.n,
		.policies = a->applied.policy_count + a->directory.policy_count,
		.records_kept = a->recorder.total,
		.resident_bytes = resident_bytes(),
		.open_fds = open_fds(),
		.start_seconds = (double)((int64_t)a->start_ns + bf_wall_offset_ns()) / 1e9,
		.state_unsaved = a->state_errno != 0,
		.frozen = *a->frozen != 0,
	};

	getrusage(RUSAGE_SELF, &ru);
	n.cpu_seconds = (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
			(double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
	bf_datapath_metrics(a->dp, &kernel);
	bf_datapath_status(a->dp, &status);
	bf_exposition(out, &kernel, &status, &n);
}
