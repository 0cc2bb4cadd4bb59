// SPDX-License-Identifier: Apache-2.0
/* Endpoints, and what can be read while programs run. */
#include "datapath/datapath.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/carry.h"

/* --- endpoints --- */

int bf_datapath_update(struct bf_datapath *dp, int ifindex, const struct bpfast_endpoint *endpoint,
		       struct bf_error *err)
{
	struct bpfast_endpoint old, new = *endpoint;
	uint32_t key = (uint32_t)ifindex;
	int ret;

	if (bpf_map_lookup_elem(dp->map[BF_MAP_ENDP], &key, &old) < 0)
		return bf_err(err, -errno, "interface %d is not attached", ifindex);
	/* Only who has carried all of its flows over may say so. */
	if (old.slot == new.slot)
		new.flags |= old.flags & BPFAST_EPF_CARRYING;
	if (bpf_map_update_elem(dp->map[BF_MAP_ENDP], &key, &new, BPF_EXIST) < 0)
		return bf_err(err, -errno, "cannot change the endpoint of interface %d: %s",
			      ifindex, strerror(errno));
	if (old.slot == endpoint->slot)
		return 0;
	ret = bf_grace(dp);
	if (!ret)
		ret = bf_flows_remove(dp, old.slot);
	if (ret)
		return bf_err(err, ret, "cannot remove the flows of slot %u: %s", old.slot,
			      strerror(-ret));
	return 0;
}

int bf_datapath_attach(struct bf_datapath *dp, int ifindex, const struct bpfast_endpoint *endpoint,
		       struct bf_error *err)
{
	struct bpfast_endpoint old;
	char name[IF_NAMESIZE];
	uint32_t key = (uint32_t)ifindex;
	bool known;
	int ret;

	if (ifindex <= 0 || !if_indextoname(key, name))
		return bf_err(err, -ENODEV,
			      "there is no interface with the index %d in this network namespace",
			      ifindex);
	if (bf_carry_needed(dp, ifindex)) {
		struct bf_datapath_endpoint one = {ifindex, *endpoint};

		return bf_carry(dp, &one, 1, err);
	}
	known = bpf_map_lookup_elem(dp->map[BF_MAP_ENDP], &key, &old) == 0;
	if (known) {
		ret = bf_datapath_update(dp, ifindex, endpoint, err);
		if (ret)
			return ret;
	} else if (bpf_map_update_elem(dp->map[BF_MAP_ENDP], &key, endpoint, BPF_ANY) < 0) {
		if (errno == E2BIG || errno == ENOMEM)
			return bf_err(err, -E2BIG, "the endpoint table is full: %d endpoints",
				      BPFAST_ENDPOINTS_MAX);
		return bf_err(err, -errno, "cannot set the endpoint of %s: %s", name,
			      strerror(errno));
	}
	bf_step("endpoint set");
	ret = bf_hooks_ensure(dp, ifindex, err);
	if (ret) {
		/* The interface may be guarded by an earlier layout: then it stays so. */
		if (!known)
			bpf_map_delete_elem(dp->map[BF_MAP_ENDP], &key);
		return ret;
	}
	bf_layouts_clean(dp);
	return 0;
}

int bf_datapath_detach(struct bf_datapath *dp, int ifindex, struct bf_error *err)
{
	struct bpfast_endpoint endpoint;
	uint32_t key = (uint32_t)ifindex;
	int ret = bf_hooks_remove(dp->pin_dir, ifindex);

	if (ret)
		return bf_err(err, ret, "cannot detach from interface %d: %s", ifindex,
			      strerror(-ret));
	bf_layouts_forget(dp, key);
	if (bpf_map_lookup_elem(dp->map[BF_MAP_ENDP], &key, &endpoint) < 0)
		return 0;
	/* A program that still runs could make a flow after we have looked. */
	ret = bf_grace(dp);
	if (!ret)
		ret = bf_flows_remove(dp, endpoint.slot);
	if (ret)
		return bf_err(err, ret, "cannot remove the flows of interface %d: %s", ifindex,
			      strerror(-ret));
	bf_step("flows removed");
	/* Last, so that what a crash leaves is found again. */
	bpf_map_delete_elem(dp->map[BF_MAP_ENDP], &key);
	return 0;
}

struct list {
	struct bf_datapath *dp;
	int *ifindex;
	size_t n, room;
};

static int list_add(void *arg, int endp_fd, uint32_t ifindex)
{
	struct list *l = arg;

	(void)endp_fd;
	for (size_t i = 0; i < l->n; i++)
		if (l->ifindex[i] == (int)ifindex)
			return 0;
	if (bf_hooks_count(l->dp->pin_dir, (int)ifindex) != BF_DIRS)
		return 0;
	if (l->n == l->room) {
		size_t room = l->room ? 2 * l->room : 64;
		int *more = realloc(l->ifindex, room * sizeof(*more));

		if (!more)
			return -ENOMEM;
		l->ifindex = more;
		l->room = room;
	}
	l->ifindex[l->n++] = (int)ifindex;
	return 0;
}

int bf_datapath_attached(struct bf_datapath *dp, int **out, size_t *n)
{
	struct list l = {.dp = dp};
	uint32_t key, prev = 0;
	int ret = 0;

	for (bool first = true; !ret; first = false, prev = key) {
		if (bpf_map_get_next_key(dp->map[BF_MAP_ENDP], first ? NULL : &prev, &key) < 0)
			break;
		ret = list_add(&l, dp->map[BF_MAP_ENDP], key);
	}
	if (!ret)
		ret = bf_layouts_each(dp, list_add, &l);
	if (ret) {
		free(l.ifindex);
		l.ifindex = NULL;
		l.n = 0;
	}
	*out = l.ifindex;
	*n = l.n;
	return ret;
}

bool bf_datapath_is_attached(struct bf_datapath *dp, int ifindex)
{
	return bf_hooks_count(dp->pin_dir, ifindex) == BF_DIRS;
}

int bf_datapath_verify(struct bf_datapath *dp, int ifindex, const struct bpfast_endpoint *endpoint,
		       struct bf_error *err)
{
	int hooks = bf_hooks_count(dp->pin_dir, ifindex);
	struct bpfast_endpoint there;
	uint32_t key = (uint32_t)ifindex;

	if (hooks != BF_DIRS)
		return bf_err(err, -ENOLINK, "%d of our %d hooks are on interface %d", hooks,
			      BF_DIRS, ifindex);
	if (bpf_map_lookup_elem(dp->map[BF_MAP_ENDP], &key, &there) < 0)
		return bf_err(err, -ENOENT, "the kernel side does not know interface %d", ifindex);
	if (memcmp(&there, endpoint, sizeof(there)))
		return bf_err(err, -ESTALE, "the kernel side has another endpoint for interface %d",
			      ifindex);
	return 0;
}

/* --- reading --- */

struct bpfast_control *bf_datapath_control(struct bf_datapath *dp)
{
	return dp->control;
}

int bf_datapath_metrics(struct bf_datapath *dp, struct bpfast_metrics *out)
{
	static_assert(sizeof(*out) % sizeof(uint64_t) == 0, "metrics");

	return bf_map_sum(dp->map[BF_MAP_METRICS], 0, out, sizeof(*out));
}

/* Records that the ring can hold: more were not there when we began. */
#define RING_RECORDS (BPFAST_RING_BYTES / (sizeof(struct bpfast_event) + 8))

static int on_record(void *ctx, void *data, size_t size)
{
	struct bf_datapath *dp = ctx;

	if (size >= sizeof(struct bpfast_event))
		dp->event_fn(dp->event_arg, data);
	/* Under a steady stream of records the ring would never be empty. */
	return --dp->event_left ? 0 : -ECANCELED;
}

static int open_ring(struct bf_datapath *dp)
{
	if (dp->ring)
		return 0;
	dp->ring = ring_buffer__new(dp->map[BF_MAP_EVENTS], on_record, dp, NULL);
	return dp->ring ? 0 : -errno;
}

int bf_datapath_vouch_fd(const struct bf_datapath *dp)
{
	return dp->map[BF_MAP_VOUCH];
}

int bf_datapath_from_pod_fd(const struct bf_datapath *dp)
{
	return dp->prog[BF_FROM_POD];
}

int bf_datapath_events_fd(struct bf_datapath *dp)
{
	int ret = open_ring(dp);

	return ret ? ret : ring_buffer__epoll_fd(dp->ring);
}

int bf_datapath_events(struct bf_datapath *dp, void (*fn)(void *arg, const struct bpfast_event *ev),
		       void *arg)
{
	int ret = open_ring(dp);

	if (ret)
		return ret;
	dp->event_fn = fn;
	dp->event_arg = arg;
	dp->event_left = RING_RECORDS;
	ret = ring_buffer__consume(dp->ring);
	return ret < 0 && ret != -ECANCELED ? ret : (int)(RING_RECORDS - dp->event_left);
}

int bf_datapath_status(struct bf_datapath *dp, struct bf_datapath_status *out)
{
	const struct bpfast_arena_image *image = bf_arena_current(dp);
	int ret;

	memset(out, 0, sizeof(*out));
	out->hook = dp->tcx ? "tcx" : "clsact";
	out->hook_why = dp->hook_why;
	out->flows_max = dp->flows_max;
	out->endpoints_max = BPFAST_ENDPOINTS_MAX;
	out->arena_bytes = dp->arena_bytes;
	out->arena_used = image ? image->size : 0;
	out->chunks_max = dp->chunks_max;
	out->generation = image ? image->generation : 0;
	out->oldest_generation = dp->control->oldest_generation;
	out->carried = dp->carried;
	out->endpoints_other_layout = bf_layouts_endpoints(dp);
	bf_quota_status(dp, out);
	ret = bf_map_count(dp->map[BF_MAP_ENDP], sizeof(uint32_t), sizeof(struct bpfast_endpoint),
			   &out->endpoints_used);
	if (!ret)
		ret = bf_chunks_used(dp, &out->chunks_used);
	return ret;
}
