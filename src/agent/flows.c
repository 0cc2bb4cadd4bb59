// SPDX-License-Identifier: Apache-2.0
/*
 * How full the flow table is, for whom. Nobody is woken when an endpoint has as many flows as it may, or
 * the table is full: this looks once a second whether packets were refused for it.
 */
#include <time.h>

#include "agent/agent.h"
#include "agent/log.h"

#define LOOK_S 1
/* An endpoint that stays full is named as often. */
#define AGAIN_S 60

static uint64_t seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec;
}

/* Is it time to tell? Counts what was refused since it was told last. first: what an earlier agent told. */
static bool due(struct bf_refusals *r, uint64_t total, uint64_t now, bool first)
{
	if (first)
		r->told = total;
	if (total == r->told || (r->told_s && now - r->told_s < AGAIN_S))
		return false;
	r->since = total - r->told;
	r->told = total;
	r->told_s = now;
	return true;
}

static void look_at(struct bf_agent *a, struct bf_local *l, uint64_t now, bool first)
{
	struct bf_endpoint_flows f;

	bf_datapath_endpoint_flows(a->dp, (uint16_t)l->e.slot, &f);
	if (due(&l->refusals, f.refused, now, first))
		bf_log_warn("an endpoint has as many connections as it may; new ones are refused",
			    "endpoint", l->e.name, "namespace", l->e.namespace, "reason",
			    "endpoint-flows-full", "flows", bf_num(f.used), "limit", bf_num(f.max),
			    "refused_packets", bf_num((long long)(uint32_t)l->refusals.since));
}

static void look_at_table(struct bf_agent *a, uint64_t now, bool first)
{
	struct bf_datapath_status s;
	struct bpfast_metrics m;
	uint64_t refused;

	if (bf_datapath_metrics(a->dp, &m))
		return;
	refused = m.dropped[BPFAST_INGRESS][BPFAST_R_FLOW_TABLE_FULL] +
		  m.dropped[BPFAST_EGRESS][BPFAST_R_FLOW_TABLE_FULL];
	if (!due(&a->refusals, refused, now, first) || bf_datapath_status(a->dp, &s))
		return;
	bf_log_warn("the flow table is full; new connections are refused", "reason",
		    "flow-table-full", "flows", bf_num(s.flows_used), "limit", bf_num(s.flows_max),
		    "refused_packets", bf_num((long long)a->refusals.since));
}

void bf_flows_look(struct bf_agent *a)
{
	bool first = !a->flows_looked_s;
	uint64_t now = seconds();

	if (now - a->flows_looked_s < LOOK_S)
		return;
	a->flows_looked_s = now;
	for (size_t i = 0; i < a->endpoints.n; i++)
		look_at(a, a->endpoints.v[i], now, first);
	look_at_table(a, now, first);
}

json_t *bf_flows_json(struct bf_agent *a, const struct bf_local *l)
{
	struct bf_endpoint_flows f;

	bf_datapath_endpoint_flows(a->dp, (uint16_t)l->e.slot, &f);
	return json_pack("{s:I, s:I}", "used", (json_int_t)f.used, "max", (json_int_t)f.max);
}
