// SPDX-License-Identifier: Apache-2.0
/*
 * Endpoints that the programs of another version guard come to ours, with their
 * flows. docs/design/datapath-lifecycle.md says why in this order, and what is true
 * when this is killed between any two steps.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bpfast/retain.h"
#include "datapath/carry.h"
#include "datapath/carry_flow.h"

uint32_t bf_carry_group = 64;

struct mover {
	const struct bf_datapath_endpoint *want;
	struct bf_source *source; /* where its flows are; NULL: nowhere, it only has to be let go */
	bool again; /* an agent had begun with it, and was killed */
	uint16_t was; /* then: the slot that it had given it */
	bool failed;
};

static int set_endpoint(struct bf_datapath *dp, const struct bf_datapath_endpoint *want,
			uint8_t flags)
{
	struct bpfast_endpoint e = want->endpoint;
	uint32_t key = (uint32_t)want->ifindex;

	e.flags = flags;
	return bpf_map_update_elem(dp->map[BF_MAP_ENDP], &key, &e, BPF_ANY) < 0 ? -errno : 0;
}

static bool own_entry(struct bf_datapath *dp, int ifindex, struct bpfast_endpoint *out)
{
	uint32_t key = (uint32_t)ifindex;

	memset(out, 0, sizeof(*out));
	return bpf_map_lookup_elem(dp->map[BF_MAP_ENDP], &key, out) == 0;
}

static int is_there(void *arg, int endp_fd, uint32_t ifindex)
{
	(void)endp_fd;
	return ifindex == *(const uint32_t *)arg;
}

bool bf_carry_needed(struct bf_datapath *dp, int ifindex)
{
	uint32_t key = (uint32_t)ifindex;
	struct bpfast_endpoint e;

	if (own_entry(dp, ifindex, &e))
		return e.flags & BPFAST_EPF_CARRYING;
	return bf_layouts_each(dp, is_there, &key) == 1;
}

/* Both hooks of each to our programs, behind which what is not here yet waits. */
static int move_group(struct bf_datapath *dp, struct mover *group, size_t n, struct bf_error *err)
{
	int ret = 0;

	for (size_t i = 0; i < n; i++) {
		struct bf_error e;
		int r;

		r = set_endpoint(dp, group[i].want, BPFAST_EPF_CARRYING);
		if (r)
			bf_err(&e, r, "cannot set the endpoint of interface %d: %s",
			       group[i].want->ifindex, strerror(-r));
		bf_step("endpoint set, carrying");
		if (!r)
			r = bf_hooks_ensure(dp, group[i].want->ifindex, &e);
		if (r) {
			/* The other version's programs go on, with all they know. */
			uint32_t key = (uint32_t)group[i].want->ifindex;

			if (!group[i].again)
				bpf_map_delete_elem(dp->map[BF_MAP_ENDP], &key);
			group[i].failed = true;
			if (!ret) {
				ret = r;
				*err = e;
			}
			continue;
		}
		bf_step("hooks moved");
	}
	return ret;
}

/* From here on what the other version knows of the endpoint is history, and says so. */
static int finish(struct bf_datapath *dp, struct mover *m, struct bf_error *err)
{
	uint32_t key = (uint32_t)m->want->ifindex;
	int ret;

	bf_layouts_drop(dp, key);
	bf_step("endpoint left the other layout");
	ret = set_endpoint(dp, m->want, 0);
	bf_step("endpoint carried");
	return ret ? bf_err(err, ret, "cannot set the endpoint of interface %d: %s",
			    m->want->ifindex, strerror(-ret))
		   : 0;
}

/* Which flows of a source are wanted, for all of a group's endpoints that come from there. */
static void want_slots(struct bf_source *s, const struct mover *group, size_t n)
{
	memset(s->slot, 0xff, sizeof(s->slot));
	for (size_t i = 0; i < n; i++)
		if (group[i].source == s && !group[i].failed)
			bf_source_want(s, group[i].want);
}

static int copy_flows(struct bf_datapath *dp, struct bf_carrier *c, struct mover *group, size_t n,
		      bool all)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < c->sources; i++) {
		if (!c->source[i].readable)
			continue;
		want_slots(&c->source[i], group, n);
		ret = bf_source_copy(dp, c, &c->source[i], all);
	}
	return ret;
}

/*
 * What an agent has copied and not finished is copied anew: nobody has used it meanwhile. Not so
 * connections that nobody inspects: they went on.
 */
static int forget_halves(struct bf_datapath *dp, const struct mover *group, size_t n)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < n; i++)
		if (group[i].again && group[i].source)
			ret = bf_flows_remove_inspected(dp, group[i].want->endpoint.slot);
	return ret;
}

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static int carry_group(struct bf_datapath *dp, struct bf_carrier *c, struct mover *group, size_t n,
		       struct bf_error *err)
{
	int moved, ret, r;
	uint64_t began;

	/* Connections that nobody inspects: what is known of them hardly changes, so that they
	 * need not wait. */
	ret = copy_flows(dp, c, group, n, false);
	if (ret)
		return bf_err(err, ret, "cannot copy flows: %s", strerror(-ret));
	bf_step("plain flows copied");
	ret = forget_halves(dp, group, n);
	if (ret)
		return bf_err(err, ret, "cannot remove flows: %s", strerror(-ret));
	began = now_ms();
	moved = move_group(dp, group, n, err);
	/* The other version's programs may run for this long still. */
	ret = bf_grace(dp);
	for (size_t i = 0; !ret && i < n; i++)
		if (group[i].again && group[i].was != group[i].want->endpoint.slot)
			ret = bf_flows_remove(dp, group[i].was);
	if (!ret)
		ret = copy_flows(dp, c, group, n, true);
	if (ret)
		return moved ? moved : bf_err(err, ret, "cannot copy flows: %s", strerror(-ret));
	bf_step("flows copied");
	for (size_t i = 0; i < n; i++) {
		if (group[i].failed)
			continue;
		r = finish(dp, &group[i], err);
		if (r && !moved)
			moved = r;
	}
	if (now_ms() - began > c->done.waited_ms)
		c->done.waited_ms = (uint32_t)(now_ms() - began);
	return moved;
}

int bf_carry(struct bf_datapath *dp, const struct bf_datapath_endpoint *list, size_t n,
	     struct bf_error *err)
{
	struct mover *group = calloc(bf_carry_group, sizeof(*group));
	struct bf_carrier c;
	int ret, r = 0;

	if (!group)
		return bf_err(err, -ENOMEM, "out of memory");
	ret = bf_carrier_open(dp, &c, err);
	if (!ret && c.sources)
		ret = bf_carrier_purge(dp, &c, err);
	for (size_t at = 0; !ret && at < n; at += bf_carry_group) {
		size_t m = n - at < bf_carry_group ? n - at : bf_carry_group;

		for (size_t i = 0; i < m; i++) {
			int ifindex = list[at + i].ifindex;
			struct bpfast_endpoint own;

			group[i] = (struct mover){
				.want = &list[at + i],
				.source = bf_carrier_source(&c, ifindex),
				.again = own_entry(dp, ifindex, &own),
				.was = own.slot,
			};
		}
		r = carry_group(dp, &c, group, m, err);
		if (r && !ret)
			ret = r;
	}
	dp->carried.flows += c.done.flows;
	dp->carried.heads += c.done.heads;
	dp->carried.lost += c.done.lost;
	if (c.done.waited_ms > dp->carried.waited_ms)
		dp->carried.waited_ms = c.done.waited_ms;
	bf_carrier_close(&c);
	free(group);
	bf_layouts_clean(dp);
	return ret;
}

int bf_datapath_take_over(struct bf_datapath *dp, const struct bf_datapath_endpoint *list, size_t n,
			  struct bf_error *err)
{
	struct bf_datapath_endpoint *others = calloc(n ? n : 1, sizeof(*others));
	size_t m = 0;
	int ret = others ? 0 : bf_err(err, -ENOMEM, "out of memory");

	for (size_t i = 0; !ret && i < n; i++) {
		if (bf_carry_needed(dp, list[i].ifindex))
			others[m++] = list[i];
		else
			ret = bf_datapath_update(dp, list[i].ifindex, &list[i].endpoint, err);
	}
	if (!ret && m)
		ret = bf_carry(dp, others, m, err);
	free(others);
	return ret;
}
