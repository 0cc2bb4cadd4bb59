// SPDX-License-Identifier: Apache-2.0
/*
 * From what an earlier agent left, what the policy directory says and what
 * interfaces there are, to tables in force and hooks in place. Nothing that is in
 * force is loosened while this is being found out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/log.h"

static void freeze(struct bf_agent *a, const char *why)
{
	snprintf(a->frozen, sizeof(a->frozen), "%s", why);
	bf_log_error("what is in force stays; changes are refused", "why", why);
}

static bool is_attached(const int *list, size_t n, int ifindex)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (list[i] == ifindex)
			return true;
	return false;
}

static void tell_of_carried(struct bf_agent *a)
{
	struct bf_datapath_status s;

	if (bf_datapath_status(a->dp, &s) || !(s.carried.flows | s.carried.lost))
		return;
	bf_log_info("connections carried over from the version before", "flows",
		    bf_num(s.carried.flows), "reset_in_head", bf_num(s.carried.heads),
		    "reset_unreadable", bf_num(s.carried.lost), "waited_ms",
		    bf_num(s.carried.waited_ms));
}

static int attach_all(struct bf_agent *a, const int *attached, size_t n, struct bf_error *err)
{
	struct bf_datapath_endpoint *there = calloc(a->endpoints.n + 1, sizeof(*there));
	struct bpfast_endpoint kernel;
	size_t i, m = 0;
	int r = there ? 0 : bf_err(err, -ENOMEM, "no memory");

	for (i = 0; !r && i < a->endpoints.n; i++) {
		struct bf_local *l = a->endpoints.v[i];

		bf_local_to_kernel(l, &kernel);
		if (is_attached(attached, n, l->ifindex)) {
			there[m++] = (struct bf_datapath_endpoint){l->ifindex, kernel};
			continue;
		}
		bf_log_warn("endpoint was not attached; attaching", "endpoint", l->e.name, "iface",
			    l->iface);
		r = bf_datapath_attach(a->dp, l->ifindex, &kernel, err);
	}
	if (!r)
		r = bf_datapath_take_over(a->dp, there, m, err);
	tell_of_carried(a);
	free(there);
	return r;
}

/* Hooks of nobody we know: they deny all, until somebody says who is behind them. */
static void fence_unknown(struct bf_agent *a, const int *attached, size_t n)
{
	struct bf_link link;
	struct bf_error err;
	size_t i;

	for (i = 0; i < n; i++) {
		if (bf_endpoints_by_ifindex(&a->endpoints, attached[i]) ||
		    bf_is_fenced(a, attached[i]))
			continue;
		if (bf_link_by_index(attached[i], &link) == -ENODEV) {
			bf_datapath_detach(a->dp, attached[i], &err);
			continue;
		}
		bf_log_warn("an interface is guarded, but no endpoint is known for it: all its "
			    "traffic is denied until `bpfast endpoint add` names it",
			    "iface", link.name);
		if (bf_fence(a, attached[i], &err))
			bf_log_error("cannot deny", "iface", link.name, "why", err.msg);
	}
}

/* What an earlier agent knew. False: there was none. */
static bool take_over(struct bf_agent *a, bool attached)
{
	struct bf_error err;
	int r = bf_state_load(a, &err);

	if (r && r != -ENOENT) {
		freeze(a, err.msg);
	} else if (r && attached) {
		snprintf(err.msg, sizeof(err.msg),
			 "endpoints are guarded under %s, but %s/" BF_STATE_FILE
			 " that told who they are is not there; start with the run directory they "
			 "were made with, or begin anew with `bpfast down`",
			 a->config.pin_dir, a->config.run_dir);
		freeze(a, err.msg);
	}
	return !r;
}

static int settle(struct bf_agent *a, bool known, const int *attached, size_t n,
		  struct bf_error *err)
{
	int r;

	bf_forget_gone(a);
	bf_cni_spool_take(a);
	/* The directory as it is now; where that has flaws, as it was last. */
	bf_directory_reload(a);
	if (*a->dir_error && !known)
		a->dir_never = true;
	if (!a->generation) {
		r = bf_enforce(a, &a->directory, &a->applied, err);
		if (r && a->adopted) {
			freeze(a, err->msg);
			return 0;
		}
		if (r)
			return r;
	}
	r = attach_all(a, attached, n, err);
	if (r)
		return r;
	fence_unknown(a, attached, n);
	return bf_state_save(a, err);
}

static void tune(struct bf_agent *a)
{
	struct bpfast_control *control = bf_datapath_control(a->dp);

	control->observed = 0;
	control->records_per_second = a->config.records_per_second;
	control->tcp_idle_s = a->config.tcp_idle_s;
	control->other_idle_s = a->config.other_idle_s;
}

int bf_startup(struct bf_agent *a, struct bf_error *err)
{
	struct bf_datapath_options options = {
		.pin_dir = a->config.pin_dir,
		.flows = a->config.flows,
		.flows_per_endpoint = a->config.flows_per_endpoint,
		.arena_bytes = a->config.arena_mib << 20,
		.chunks = (a->config.retain_mib << 20) / BPFAST_CHUNK_BYTES,
		.force_clsact = a->config.force_clsact,
	};
	int *attached = NULL, r;
	size_t n = 0;
	bool known;

	r = bf_rundir_open(a, err);
	if (!r && bf_recorder_init(&a->recorder, a->config.records))
		r = bf_err(err, -ENOMEM, "no memory for %u records", a->config.records);
	if (!r)
		r = bf_node_addresses(&a->node_addrs, &a->node_addr_count, err);
	if (!r) /* the verifier takes seconds, in which nobody is answered */
		bf_log_info("loading programs; this may take some seconds", "pins",
			    a->config.pin_dir);
	if (!r)
		r = bf_datapath_open(&options, &a->dp, &a->adopted, err);
	if (r)
		return r;
	r = bf_datapath_attached(a->dp, &attached, &n);
	if (r)
		return bf_err(err, r, "cannot read what is attached: %s", strerror(-r));
	tune(a);
	known = take_over(a, n > 0);
	if (!*a->frozen)
		r = settle(a, known, attached, n, err);
	if (!r && a->adopted)
		bf_log_info("adopted what was in force", "pins", a->config.pin_dir, "endpoints",
			    bf_num((long long)a->endpoints.n), "generation", bf_num(a->generation));
	free(attached);
	if (!r)
		bf_agent_shield_adopt(a);
	return r;
}
