// SPDX-License-Identifier: Apache-2.0
/* status, metrics, shutdown */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "agent/log.h"
#include "agent/server.h"
#include "observe/names.h"

#define WARN_ENDPOINTS 5 /* that are named for one reason */

static json_t *drops(const struct bpfast_metrics *m)
{
	json_t *array = json_array();
	unsigned int r;

	for (r = 1; r < BPFAST_R_COUNT; r++) {
		uint64_t in = m->dropped[BPFAST_INGRESS][r], out = m->dropped[BPFAST_EGRESS][r];
		uint64_t requests = m->http_denied[r], audited = m->audited[r];

		if (!in && !out && !requests && !audited)
			continue;
		json_array_append_new(array,
				      json_pack("{s:s, s:I, s:I, s:I, s:I, s:s}", "reason",
						bf_reason_word(r), "ingress_packets",
						(json_int_t)in, "egress_packets", (json_int_t)out,
						"http_requests", (json_int_t)requests, "audited",
						(json_int_t)audited, "hint", bf_reason_hint(r)));
	}
	return array;
}

static json_t *features(const struct bf_datapath_status *s)
{
	return s->hook ? json_pack("[s]", s->hook) : json_array();
}

/* What a newer kernel would do better, and what is done instead. */
static json_t *fallbacks(const struct bf_datapath_status *s)
{
	if (!s->hook || !s->hook_why || !*s->hook_why)
		return json_array();
	return json_pack("[{s:s, s:s, s:s}]", "wanted", "tcx", "used", s->hook, "why", s->hook_why);
}

static void warn(json_t *array, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void warn(json_t *array, const char *fmt, ...)
{
	char text[800];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	json_array_append_new(array, json_string(text));
}

/* Endpoints that have as many flows as they may: the first are named. */
static void warn_full(struct bf_agent *a, json_t *array)
{
	struct bf_endpoint_flows f;
	size_t n = 0;

	for (size_t i = 0; i < a->endpoints.n; i++) {
		const struct bf_local *l = a->endpoints.v[i];

		bf_datapath_endpoint_flows(a->dp, (uint16_t)l->e.slot, &f);
		if (f.used < f.max)
			continue;
		if (n++ < WARN_ENDPOINTS)
			warn(array,
			     "%s/%s has %u of the %u connections that one endpoint may have; new "
			     "ones are refused as endpoint-flows-full",
			     l->e.namespace, l->e.name, f.used, f.max);
	}
	if (n > WARN_ENDPOINTS)
		warn(array, "and so have %zu other endpoints; bpfast endpoint list shows all",
		     n - WARN_ENDPOINTS);
}

static json_t *warnings(struct bf_agent *a, const struct bf_datapath_status *s,
			const struct bpfast_metrics *m)
{
	json_t *array = json_array();
	char other[64];
	size_t i;

	if (*a->frozen)
		warn(array, "nothing can be changed: %s", a->frozen);
	if (a->state_errno)
		warn(array,
		     "the last change is in force, but %s/" BF_STATE_FILE
		     " could not be written (%s): an agent that starts now would not know it",
		     a->config.run_dir, strerror(a->state_errno));
	if (*a->dir_error)
		warn(array, "the policy directory %s is not in force: %s", a->config.policy_dir,
		     a->dir_error);
	if (s->flows_max && s->flows_used > s->flows_max / 10 * 9)
		warn(array, "the flow table is %u%% full: raise flows in the configuration",
		     (unsigned int)(100ull * s->flows_used / s->flows_max));
	warn_full(a, array);
	if (s->endpoints_max && s->endpoints_used > s->endpoints_max / 10 * 9)
		warn(array, "%u of %u endpoint slots are taken", s->endpoints_used,
		     s->endpoints_max);
	if (s->endpoints_other_layout)
		warn(array,
		     "%u endpoints are guarded by another version under the policy they had; "
		     "start the agent again, or see its log",
		     s->endpoints_other_layout);
	if (m->records_lost)
		warn(array, "%llu flow records were lost because the ring was full",
		     (unsigned long long)m->records_lost);
	if (bf_records_losing(a))
		warn(array, "flow records are lost: %s: %s (%llu so far)", a->records_file.path,
		     bf_rotated_why(&a->records_file), (unsigned long long)a->records_file.lost);
	if (a->log_file.failed)
		warn(array, "the log goes to standard error: %s: %s", a->log_file.path,
		     bf_rotated_why(&a->log_file));
	for (i = 0; i < a->endpoints.n; i++) {
		struct bf_local *l = a->endpoints.v[i];

		other[0] = 0;
		if (!bf_datapath_precedes(a->dp, l->ifindex, other, sizeof(other)) && *other)
			warn(array,
			     "on %s (%s/%s) '%s' runs before us and may hide packets from policy; "
			     "`bpftool net show dev %s` lists what is attached",
			     l->iface, l->e.namespace, l->e.name, other, l->iface);
	}
	return array;
}

static int containers(const struct bf_agent *a)
{
	size_t i;
	int n = 0;

	for (i = 0; i < a->endpoints.n; i++)
		n += a->endpoints.v[i]->container.id != NULL;
	return n;
}

json_t *bf_status_json(struct bf_agent *a)
{
	struct bf_datapath_status s = {0};
	struct bpfast_metrics m = {0};
	struct utsname uts = {0};
	struct timespec now;

	uname(&uts);
	clock_gettime(CLOCK_MONOTONIC, &now);
	bf_datapath_status(a->dp, &s);
	bf_datapath_metrics(a->dp, &m);
	return json_pack(
		"{s:{s:s, s:i, s:I, s:b, s:s, s:s, s:s, s:s}, s:{s:s, s:s, s:s, s:s, s:o, s:o},"
		" s:i, s:i, s:{s:i, s:i, s:i, s:s}, s:I, s:I, s:I,"
		" s:{s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I}, s:{s:I, s:I},"
		" s:{s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I, s:I}, s:{s:I, s:I, s:I, s:I}, s:o,"
		" s:o}",
		"agent", "version", BPFAST_VERSION, "pid", (int)getpid(), "uptime_seconds",
		(json_int_t)now.tv_sec - (json_int_t)(a->start_ns / 1000000000u), "adopted",
		a->adopted, "run_dir", a->config.run_dir, "pin_dir", a->config.pin_dir,
		"policy_dir", a->config.policy_dir, "metrics_listen", a->config.metrics_listen,
		"kernel", "release", uts.release, "machine", uts.machine, "hook",
		s.hook ? s.hook : "", "hook_why", s.hook_why ? s.hook_why : "", "features",
		features(&s), "fallbacks", fallbacks(&s), "endpoints", (int)a->endpoints.n,
		"containers", containers(a), "policies", "applied", (int)a->applied.policy_count,
		"directory", (int)a->directory.policy_count, "namespaces",
		(int)(a->applied.namespace_count + a->directory.namespace_count), "directory_error",
		a->dir_error, "revision", (json_int_t)a->revision, "generation",
		(json_int_t)s.generation, "oldest_generation", (json_int_t)s.oldest_generation,
		"flows", "used", (json_int_t)s.flows_used, "max", (json_int_t)s.flows_max,
		"per_endpoint_max", (json_int_t)s.flows_per_endpoint, "most",
		(json_int_t)s.flows_most, "endpoints_full", (json_int_t)s.endpoints_full, "arena",
		"used_bytes", (json_int_t)s.arena_used, "max_bytes", (json_int_t)s.arena_bytes,
		"retained", "used_bytes", (json_int_t)s.chunks_used * BPFAST_CHUNK_BYTES,
		"max_bytes", (json_int_t)s.chunks_max * BPFAST_CHUNK_BYTES, "attached", "used",
		(json_int_t)s.endpoints_used, "max", (json_int_t)s.endpoints_max, "packets",
		"ingress", (json_int_t)m.packets[BPFAST_INGRESS], "egress",
		(json_int_t)m.packets[BPFAST_EGRESS], "ingress_bytes",
		(json_int_t)m.bytes[BPFAST_INGRESS], "egress_bytes",
		(json_int_t)m.bytes[BPFAST_EGRESS], "http", "forwarded",
		(json_int_t)m.http_requests[BPFAST_V_FORWARDED], "dropped",
		(json_int_t)m.http_requests[BPFAST_V_DROPPED], "audited",
		(json_int_t)m.http_requests[BPFAST_V_AUDIT], "replies_sent",
		(json_int_t)m.replies_sent, "resets_sent", (json_int_t)m.resets_sent,
		"carried_over", "flows", (json_int_t)s.carried.flows, "reset_in_head",
		(json_int_t)s.carried.heads, "reset_unreadable", (json_int_t)s.carried.lost,
		"waited_ms", (json_int_t)s.carried.waited_ms, "drops", drops(&m), "warnings",
		warnings(a, &s, &m));
}

/* A file that is off is null. */
static json_t *file(const struct bf_rotated *f, bool failing)
{
	if (!f->path)
		return json_null();
	return json_pack("{s:s, s:I, s:I, s:s}", "path", f->path, "written", (json_int_t)f->written,
			 "lost", (json_int_t)f->lost, "error", failing ? bf_rotated_why(f) : "");
}

static int status(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		  struct bf_error *err)
{
	(void)c, (void)args;
	*result = bf_status_json(a);
	json_object_set_new(*result, "records_file", file(&a->records_file, bf_records_losing(a)));
	json_object_set_new(*result, "log_file", file(&a->log_file, a->log_file.failed));
	return *result ? 0 : bf_err(err, -ENOMEM, "no memory");
}

static int metrics(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		   struct bf_error *err)
{
	struct bf_text text = {0};

	(void)c, (void)args;
	bf_metrics_text(a, &text);
	if (!text.failed)
		*result = json_pack("{s:s}", "text", text.data);
	bf_text_free(&text);
	return *result ? 0 : bf_err(err, -ENOMEM, "no memory");
}

static int shutdown_agent(struct bf_agent *a, struct bf_client *c, const json_t *args,
			  json_t **result, struct bf_error *err)
{
	(void)args;
	if (c->uid != 0)
		return bf_err(err, -EPERM, "only root may end the agent");
	*result = json_pack("{s:s, s:i}", "pin_dir", a->config.pin_dir, "pid", (int)getpid());
	bf_log_info("ended by command");
	a->loop.stop = true;
	return 0;
}

const struct bf_command bf_status_commands[] = {
	{"status", status},
	{"metrics", metrics},
	{"shutdown", shutdown_agent},
	{NULL, NULL},
};
