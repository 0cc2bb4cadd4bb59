// SPDX-License-Identifier: Apache-2.0
/* The agent's own numbers, and all of them as text. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/shield/http.h"
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

static void shield(struct bf_agent *a, struct bf_text *out)
{
	struct bf_shield_numbers *n = calloc(BPFAST_SHIELD_SLOTS, sizeof(*n));
	uint64_t entries[2] = {0, 0};
	uint32_t now = bf_shield_now();
	struct bf_link link;
	size_t count = 0;

	for (unsigned int i = 0; n && a->shield && i < BPFAST_SHIELD_SLOTS; i++) {
		uint32_t ifindex = bf_shield_control(a->shield)->device[i].ifindex;

		if (!ifindex || bf_link_by_index((int)ifindex, &link) ||
		    bf_shield_counters(a->shield, i, &n[count].count))
			continue;
		memcpy(n[count++].interface, link.name, sizeof(link.name));
	}
	for (int which = 0; which < BPFAST_SI_COUNT; which++)
		for (size_t i = 0; i < a->shield_lists[which].n; i++)
			if (now < a->shield_lists[which].v[i].until)
				entries[a->shield_lists[which].v[i].allow & 1]++;
	for (size_t i = 0; i < a->shield_policies.list.n; i++)
		if (now < a->shield_policies.list.v[i].until)
			entries[a->shield_policies.list.v[i].allow & 1]++;
	if (n)
		bf_shield_exposition(out, n, count, entries);
	free(n);
}

static void detection(struct bf_agent *a, struct bf_text *out)
{
	const struct bf_defence *d = a->defence;
	const char *kind[BF_CLASSES];
	uint64_t running[BF_CLASSES] = {0};
	const struct bf_attack *at;
	struct bf_detection_numbers n = {
		.kinds = BF_CLASSES,
		.kind = kind,
		.running = running,
	};

	if (!d)
		return;
	for (int c = 0; c < BF_CLASSES; c++)
		kind[c] = bf_class_name(c);
	for (size_t i = 0; (at = bf_detect_active(d->detect, i)); i++)
		running[at->kind]++;
	for (uint32_t i = BPFAST_DEST_FIRST; i < BPFAST_DESTS; i++)
		n.destinations += d->maps.dest[i].ready != 0;
	n.begun = d->attacks;
	n.samples = d->samples_read;
	n.samples_lost = d->samples_lost;
	bf_detection_exposition(out, &n);
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
		.records_file_written = a->records_file.written,
		.records_file_lost = a->records_file.lost,
		.log_file_lost = a->log_file.lost,
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
	shield(a, out);
	detection(a, out);
	bf_ended_exposition(out, a->http->ended, a->http->audited, a->http->not_ended,
			    a->http->blocked, a->http->paused, a->http->not_blocked);
}
