// SPDX-License-Identifier: Apache-2.0
/* What a replay came to. */
#include <stdio.h>
#include <stdlib.h>

#include "bpfast/reasons.h"
#include "cli/replay.h"
#include "datapath/datapath.h"
#include "observe/names.h"

typedef unsigned long long ull;

static uint64_t total(const uint64_t *by_reason)
{
	uint64_t n = 0;

	for (int i = 0; i < BPFAST_R_COUNT; i++)
		n += by_reason[i];
	return n;
}

static const char *plural(uint64_t n)
{
	return n == 1 ? "" : "s";
}

static void print_skipped(const struct bf_replay_summary *s)
{
	if (s->no_pod)
		printf("           %llu of no pod: neither of their addresses is one of "
		       "--endpoint\n",
		       (ull)s->no_pod);
	if (s->truncated)
		printf("           %llu skipped: cut short by the capture's snapshot length; "
		       "capture "
		       "with tcpdump -s 0\n",
		       (ull)s->truncated);
	if (s->too_large)
		printf("           %llu skipped: larger than the %d bytes that the kernel's test "
		       "runner takes, and not TCP\n",
		       (ull)s->too_large, BF_TRIAL_MAX);
	if (s->refused)
		printf("           %llu skipped: the kernel's test runner refused them\n",
		       (ull)s->refused);
	if (s->cut)
		printf("           %llu larger than the %d bytes that the kernel's test runner "
		       "takes: "
		       "cut into %llu packets\n",
		       (ull)s->cut, BF_TRIAL_MAX, (ull)s->cut_into);
}

void bf_cli_replay_text(const struct bf_replay_summary *s)
{
	const struct bpfast_metrics *m = &s->metrics;
	uint64_t behind = total(s->behind);

	printf("frames     %llu in the capture\n", (ull)s->frames);
	print_skipped(s);
	printf("packets    %llu of pods: %llu forwarded, %llu dropped", (ull)s->packets,
	       (ull)s->forwarded, (ull)total(s->dropped));
	if (behind)
		printf(", %llu behind a refusal", (ull)behind);
	printf("\n");
	for (unsigned int i = 0; i < BPFAST_R_COUNT; i++)
		if (s->dropped[i])
			printf("           %llu dropped: %s, %s\n", (ull)s->dropped[i],
			       bf_reason_word(i), bf_reason_hint(i));
	for (unsigned int i = 0; i < BPFAST_R_COUNT; i++)
		if (m->audited[i])
			printf("           %llu audited: %s, %s\n", (ull)m->audited[i],
			       bf_reason_word(i), bf_reason_hint(i));
	if (behind)
		printf("           %llu behind a refusal: dropped too, but their connections would "
		       "have "
		       "ended before\n",
		       (ull)behind);
	if (s->sent_again)
		printf("           offered again %llu time%s, as TCP would have sent them again\n",
		       (ull)s->sent_again, plural(s->sent_again));
	if (s->waiting)
		printf("           %llu still waiting, in whole or in part, for something that the "
		       "capture "
		       "does not hold\n",
		       (ull)s->waiting);
	printf("requests   %llu forwarded, %llu denied, %llu audited\n",
	       (ull)m->http_requests[BPFAST_V_FORWARDED], (ull)m->http_requests[BPFAST_V_DROPPED],
	       (ull)m->http_requests[BPFAST_V_AUDIT]);
	if (m->records_lost || m->helper_errors)
		printf("flaws      %llu records lost, %llu kernel helpers failed\n",
		       (ull)m->records_lost, (ull)m->helper_errors);
}

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *reasons_json(const uint64_t *table)
{
	json_t *o = json_object();

	for (unsigned int i = 0; i < BPFAST_R_COUNT; i++)
		if (table[i])
			json_object_set_new(o, bf_reason_word(i), number(table[i]));
	return o;
}

void bf_cli_replay_json(const struct bf_replay_summary *s)
{
	const struct bpfast_metrics *m = &s->metrics;
	uint64_t audited[BPFAST_R_COUNT];
	json_t *o;
	char *text;

	for (int i = 0; i < BPFAST_R_COUNT; i++)
		audited[i] = m->audited[i];
	o = json_pack(
		"{s:{s:o, s:o, s:{s:o, s:o, s:o}, s:{s:o, s:o}, s:o, s:o, s:o, s:o, s:o, s:o, s:o, "
		"s:{s:o, s:o, s:o}, s:o, s:o}}",
		"summary", "frames", number(s->frames), "no_pod", number(s->no_pod), "skipped",
		"truncated", number(s->truncated), "too_large", number(s->too_large), "refused",
		number(s->refused), "resegmented", "frames", number(s->cut), "packets",
		number(s->cut_into), "packets", number(s->packets), "forwarded",
		number(s->forwarded), "dropped", reasons_json(s->dropped), "behind_refusal",
		reasons_json(s->behind), "audited", reasons_json(audited), "sent_again",
		number(s->sent_again), "waiting", number(s->waiting), "requests", "forwarded",
		number(m->http_requests[BPFAST_V_FORWARDED]), "dropped",
		number(m->http_requests[BPFAST_V_DROPPED]), "audit",
		number(m->http_requests[BPFAST_V_AUDIT]), "records_lost", number(m->records_lost),
		"helper_errors", number(m->helper_errors));
	text = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII) : NULL;
	if (text)
		puts(text);
	free(text);
	json_decref(o);
}
