// SPDX-License-Identifier: Apache-2.0
#include "observe/exposition.h"

#include <string.h>

#include "observe/names.h"

typedef unsigned long long ull;

static const char *const directions[BPFAST_DIRECTIONS] = {"ingress", "egress"};

static void head(struct bf_text *t, const char *name, const char *type, const char *help)
{
	bf_text_printf(t, "# HELP bpfast_%s %s\n# TYPE bpfast_%s %s\n", name, help, name, type);
}

static void one(struct bf_text *t, const char *name, const char *type, const char *help, ull value)
{
	head(t, name, type, help);
	bf_text_printf(t, "bpfast_%s %llu\n", name, value);
}

static void by_direction(struct bf_text *t, const char *name, const char *help, const __u64 *value)
{
	int d;

	head(t, name, "counter", help);
	for (d = 0; d < BPFAST_DIRECTIONS; d++)
		bf_text_printf(t, "bpfast_%s{direction=\"%s\"} %llu\n", name, directions[d],
			       (ull)value[d]);
}

static void packets(struct bf_text *t, const struct bpfast_metrics *m)
{
	int d, r;

	by_direction(t, "forwarded_packets_total", "Packets forwarded.", m->packets);
	by_direction(t, "forwarded_bytes_total", "Bytes of the packets forwarded.", m->bytes);
	head(t, "dropped_packets_total", "counter", "Packets dropped, by reason.");
	for (d = 0; d < BPFAST_DIRECTIONS; d++)
		for (r = 1; r < BPFAST_R_ENDED; r++)
			bf_text_printf(
				t,
				"bpfast_dropped_packets_total{direction=\"%s\",reason=\"%s\"} "
				"%llu\n",
				directions[d], bf_reason_word((unsigned int)r),
				(ull)m->dropped[d][r]);
	head(t, "audited_total", "counter",
	     "Packets and requests that mode audit let pass, by the reason they were not allowed.");
	for (r = 1; r < BPFAST_R_ENDED; r++)
		bf_text_printf(t, "bpfast_audited_total{reason=\"%s\"} %llu\n",
			       bf_reason_word((unsigned int)r), (ull)m->audited[r]);
}

static void http(struct bf_text *t, const struct bpfast_metrics *m)
{
	static const char *const verdicts[] = {"forwarded", "dropped", "audit"};
	static const char *const classes[] = {"unknown", "1xx", "2xx", "3xx", "4xx", "5xx"};
	ull total = 0;
	int i;

	static_assert(BPFAST_V_COUNT == 3, "a word for each verdict");
	head(t, "http_requests_total", "counter", "HTTP requests judged, by verdict.");
	for (i = 0; i < BPFAST_V_COUNT; i++)
		bf_text_printf(t, "bpfast_http_requests_total{verdict=\"%s\"} %llu\n", verdicts[i],
			       (ull)m->http_requests[i]);
	head(t, "http_denied_total", "counter", "HTTP requests denied, by reason.");
	for (i = 1; i < BPFAST_R_ENDED; i++)
		bf_text_printf(t, "bpfast_http_denied_total{reason=\"%s\"} %llu\n",
			       bf_reason_word((unsigned int)i), (ull)m->http_denied[i]);
	head(t, "http_responses_total", "counter", "HTTP responses seen, by class of status.");
	for (i = 0; i < 6; i++)
		bf_text_printf(t, "bpfast_http_responses_total{class=\"%s\"} %llu\n", classes[i],
			       (ull)m->http_responses[i]);
	head(t, "http_latency_seconds", "histogram",
	     "From the verdict on a request to the end of its response.");
	for (i = 0; i < BPFAST_LATENCY_BUCKETS; i++) {
		total += m->http_latency[i];
		if (i == BPFAST_LATENCY_BUCKETS - 1)
			bf_text_printf(t, "bpfast_http_latency_seconds_bucket{le=\"+Inf\"} %llu\n",
				       total);
		else
			bf_text_printf(t, "bpfast_http_latency_seconds_bucket{le=\"%.9g\"} %llu\n",
				       (double)(1ull << (i + BPFAST_LATENCY_FIRST_LOG2)) / 1e9,
				       total);
	}
	bf_text_printf(t,
		       "bpfast_http_latency_seconds_sum %.9f\nbpfast_http_latency_seconds_count "
		       "%llu\n",
		       (double)m->http_latency_sum_ns / 1e9, total);
	one(t, "replies_sent_total", "counter", "403 answers sent to denied clients.",
	    m->replies_sent);
	one(t, "resets_sent_total", "counter", "Connections reset by policy.", m->resets_sent);
}

static void tables(struct bf_text *t, const struct bpfast_metrics *m,
		   const struct bf_datapath_status *s)
{
	one(t, "flows_created_total", "counter", "Connections that came under policy.",
	    m->flows_created);
	one(t, "flows_closed_total", "counter", "Connections that ended or were idle for too long.",
	    m->flows_closed);
	one(t, "flows", "gauge", "Connections in the flow table.", s->flows_used);
	one(t, "flows_limit", "gauge", "Connections the flow table can hold.", s->flows_max);
	one(t, "endpoint_flows_most", "gauge", "The most connections that one endpoint has.",
	    s->flows_most);
	one(t, "endpoint_flows_limit", "gauge", "Connections that one endpoint may have.",
	    s->flows_per_endpoint);
	one(t, "endpoints_flows_full", "gauge",
	    "Endpoints that have as many connections as they may.", s->endpoints_full);
	one(t, "arena_used_bytes", "gauge", "Bytes of policy tables in the kernel.", s->arena_used);
	one(t, "arena_limit_bytes", "gauge", "Bytes of policy tables the kernel can hold.",
	    s->arena_bytes);
	one(t, "retained_bytes", "gauge",
	    "Bytes of the retention pool in use: stream bytes that are not acknowledged yet.",
	    (uint64_t)s->chunks_used * BPFAST_CHUNK_BYTES);
	one(t, "retained_limit_bytes", "gauge", "Bytes of the retention pool.",
	    (uint64_t)s->chunks_max * BPFAST_CHUNK_BYTES);
	one(t, "retained_evicted_total", "counter",
	    "Connections reset because nobody acknowledged their bytes while room was short.",
	    m->retained_evicted);
	one(t, "attached_endpoints", "gauge", "Interfaces with our hooks.", s->endpoints_used);
	one(t, "attached_endpoints_limit", "gauge", "Interfaces that can have our hooks.",
	    s->endpoints_max);
	one(t, "policy_generation", "gauge", "Generation of the policy tables in force.",
	    s->generation);
	one(t, "records_written_total", "counter", "Flow records the kernel side wrote.",
	    m->records_written);
	one(t, "records_limited_total", "counter",
	    "Flow records not written because nobody observes and the rate is over its limit.",
	    m->records_limited);
	one(t, "records_lost_total", "counter", "Flow records not written: the ring was full.",
	    m->records_lost);
	one(t, "helper_errors_total", "counter", "Kernel helpers that failed.", m->helper_errors);
}

static void agent_numbers(struct bf_text *t, const struct bf_datapath_status *s,
			  const struct bf_agent_numbers *a)
{
	head(t, "build_info", "gauge", "1, with the version and the kind of hook in use.");
	bf_text_printf(t, "bpfast_build_info{version=\"%s\",hook=\"%s\"} 1\n", a->version,
		       s->hook ? s->hook : "");
	one(t, "endpoints", "gauge", "Endpoints of this node.", a->endpoints);
	one(t, "policies", "gauge", "Policies in force.", a->policies);
	one(t, "policy_revision", "gauge", "Changes put into force since the machine started.",
	    a->revision);
	head(t, "policy_changes_total", "counter",
	     "Changes of policies, endpoints and addresses, by result.");
	bf_text_printf(t,
		       "bpfast_policy_changes_total{result=\"in_force\"} %llu\n"
		       "bpfast_policy_changes_total{result=\"refused\"} %llu\n",
		       (ull)a->applies_ok, (ull)a->applies_failed);
	one(t, "changes_blocked", "gauge", "1 while nothing may be changed; see bpfast status.",
	    a->frozen);
	one(t, "state_unsaved", "gauge",
	    "1 while the last change is in force but could not be written to the run directory.",
	    a->state_unsaved);
	one(t, "records_read_total", "counter", "Flow records the agent read.", a->records_kept);
	one(t, "records_file_written_total", "counter", "Flow records written to records-file.",
	    a->records_file_written);
	one(t, "records_file_lost_total", "counter",
	    "Flow records lost because records-file could not be written.", a->records_file_lost);
	one(t, "log_file_lost_total", "counter",
	    "Lines of the log that log-file did not take; they went to standard error.",
	    a->log_file_lost);
	bf_text_printf(t,
		       "# HELP process_resident_memory_bytes Resident memory of the agent.\n"
		       "# TYPE process_resident_memory_bytes gauge\n"
		       "process_resident_memory_bytes %llu\n"
		       "# HELP process_open_fds Open file descriptors of the agent.\n"
		       "# TYPE process_open_fds gauge\n"
		       "process_open_fds %llu\n"
		       "# HELP process_cpu_seconds_total CPU time of the agent.\n"
		       "# TYPE process_cpu_seconds_total counter\n"
		       "process_cpu_seconds_total %.2f\n"
		       "# HELP process_start_time_seconds Start of the agent since the epoch.\n"
		       "# TYPE process_start_time_seconds gauge\n"
		       "process_start_time_seconds %.2f\n",
		       (ull)a->resident_bytes, (ull)a->open_fds, a->cpu_seconds, a->start_seconds);
}

/* One series for each device; the counter lies at that offset of its counters. */
static void by_device(struct bf_text *t, const char *name, const struct bf_shield_numbers *devices,
		      size_t n, size_t offset)
{
	for (size_t i = 0; i < n; i++)
		bf_text_printf(t, "bpfast_%s{interface=\"%s\"} %llu\n", name, devices[i].interface,
			       *(const ull *)((const char *)&devices[i].count + offset));
}

static void shield_reasons(struct bf_text *t, const char *name,
			   const struct bf_shield_numbers *devices, size_t n, size_t offset)
{
	for (size_t i = 0; i < n; i++) {
		const ull *value = (const ull *)((const char *)&devices[i].count + offset);

		for (unsigned int r = 0; r < BPFAST_SHIELD_REASONS; r++)
			bf_text_printf(t, "bpfast_%s{interface=\"%s\",reason=\"%s\"} %llu\n", name,
				       devices[i].interface, bf_reason_word(r + BPFAST_R_SHIELD),
				       value[r]);
	}
}

void bf_shield_exposition(struct bf_text *t, const struct bf_shield_numbers *devices, size_t n,
			  const uint64_t entries[2])
{
	static const char *const classes[] = {
#define BPFAST_X(sym, word, what) word,
		BPFAST_SHIELD_CLASSES(BPFAST_X)
#undef BPFAST_X
	};

	if (!n)
		return;
	head(t, "shield_passed_packets_total", "counter", "Packets that shield judged and passed.");
	by_device(t, "shield_passed_packets_total", devices, n,
		  offsetof(struct bpfast_shield_counters, passed));
	head(t, "shield_passed_bytes_total", "counter", "Bytes of these, as frames.");
	by_device(t, "shield_passed_bytes_total", devices, n,
		  offsetof(struct bpfast_shield_counters, passed_bytes));
	head(t, "shield_dropped_packets_total", "counter",
	     "Packets that shield dropped, by reason.");
	shield_reasons(t, "shield_dropped_packets_total", devices, n,
		       offsetof(struct bpfast_shield_counters, dropped));
	head(t, "shield_audited_packets_total", "counter",
	     "Packets that passed because shield's mode is audit, by the reason they would not.");
	shield_reasons(t, "shield_audited_packets_total", devices, n,
		       offsetof(struct bpfast_shield_counters, audited));
	head(t, "shield_class_packets_total", "counter",
	     "Packets that met a limit of their class, passed or not.");
	for (size_t i = 0; i < n; i++)
		for (int c = 0; c < BPFAST_SC_COUNT; c++)
			bf_text_printf(t,
				       "bpfast_shield_class_packets_total{interface=\"%s\",class="
				       "\"%s\"} %llu\n",
				       devices[i].interface, classes[c],
				       (ull)devices[i].count.class[c]);
	head(t, "shield_handshakes_total", "counter", "TCP handshakes that were completed.");
	by_device(t, "shield_handshakes_total", devices, n,
		  offsetof(struct bpfast_shield_counters, handshakes));
	head(t, "shield_cookies_total", "counter", "Of these, by a SYN cookie of shield's.");
	by_device(t, "shield_cookies_total", devices, n,
		  offsetof(struct bpfast_shield_counters, cookies));
	head(t, "shield_list_entries", "gauge", "Prefixes on the lists, ended ones aside.");
	bf_text_printf(t,
		       "bpfast_shield_list_entries{list=\"block\"} %llu\n"
		       "bpfast_shield_list_entries{list=\"allow\"} %llu\n",
		       (ull)entries[0], (ull)entries[1]);
}

static void by_kind(struct bf_text *t, const char *name, const struct bf_detection_numbers *n,
		    const uint64_t *value)
{
	for (size_t k = 0; k < n->kinds; k++)
		bf_text_printf(t, "bpfast_%s{kind=\"%s\"} %llu\n", name, n->kind[k], (ull)value[k]);
}

void bf_detection_exposition(struct bf_text *t, const struct bf_detection_numbers *n)
{
	head(t, "shield_attacks_total", "counter", "Attacks that shield saw begin, by kind.");
	by_kind(t, "shield_attacks_total", n, n->begun);
	head(t, "shield_attacks_running", "gauge", "Attacks that are going on, by kind.");
	by_kind(t, "shield_attacks_running", n, n->running);
	head(t, "shield_destinations", "gauge", "Destinations that are measured one by one.");
	bf_text_printf(t, "bpfast_shield_destinations %llu\n", (ull)n->destinations);
	head(t, "shield_samples_total", "counter", "Packets that were sampled for detection.");
	bf_text_printf(t, "bpfast_shield_samples_total %llu\n", (ull)n->samples);
	head(t, "shield_samples_lost_total", "counter",
	     "Samples that were overwritten before they were read.");
	bf_text_printf(t, "bpfast_shield_samples_lost_total %llu\n", (ull)n->samples_lost);
}

void bf_exposition(struct bf_text *out, const struct bpfast_metrics *kernel,
		   const struct bf_datapath_status *status, const struct bf_agent_numbers *agent)
{
	packets(out, kernel);
	http(out, kernel);
	tables(out, kernel, status);
	agent_numbers(out, status, agent);
}

static void by_ended(struct bf_text *t, const char *name, const uint64_t *value)
{
	for (unsigned int r = 0; r < BPFAST_ENDED_REASONS; r++)
		bf_text_printf(t, "bpfast_%s{reason=\"%s\"} %llu\n", name,
			       bf_reason_word(r + BPFAST_R_ENDED), (ull)value[r]);
}

void bf_ended_exposition(struct bf_text *t, const uint64_t *ended, const uint64_t *audited,
			 uint64_t not_ended, uint64_t blocked, uint64_t paused,
			 uint64_t not_blocked)
{
	head(t, "shield_ended_connections_total", "counter",
	     "Connections that shield ended, by reason.");
	by_ended(t, "shield_ended_connections_total", ended);
	head(t, "shield_audited_connections_total", "counter",
	     "Connections that shield would have ended, were its mode not audit.");
	by_ended(t, "shield_audited_connections_total", audited);
	one(t, "shield_not_ended_connections_total", "counter",
	    "Connections to be ended that nobody inspects: only their sources were blocked.",
	    not_ended);
	one(t, "shield_sources_blocked_total", "counter",
	    "Sources blocked towards a pod for their connections or requests.", blocked);
	one(t, "shield_sources_paused_total", "counter",
	    "Sources that may for a while open no connection to a pod, for their requests.",
	    paused);
	one(t, "shield_sources_not_blocked_total", "counter",
	    "Sources that were not blocked or paused, for the table was full.", not_blocked);
}
