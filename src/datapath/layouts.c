// SPDX-License-Identifier: Apache-2.0
/*
 * Layouts other than ours under the same pin directory: of another version,
 * or half gone. Their programs go on guarding their endpoints, under the policy
 * they had, until each endpoint has come to ours (carry.c); then they are removed.
 */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct visit {
	const struct bf_datapath *dp;
	int (*fn)(void *arg, int endp_fd, uint32_t ifindex);
	void *arg;
};

/* Calls fn for each endpoint of a layout. -ENOENT: its endpoint table is gone. */
static int each_endpoint(const char *pin_dir, const char *layout, const struct visit *v)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info), key, *keys, n = 0;
	int fd = bf_pins_open(pin_dir, layout, "maps", "bpfast_endp"), ret = 0;

	if (fd < 0)
		return fd;
	keys = calloc(BPFAST_ENDPOINTS_MAX, sizeof(*keys));
	if (!keys)
		ret = -ENOMEM;
	else if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0 || info.key_size != sizeof(key))
		ret = -ENOENT;
	/* The whole list first: fn may remove what it is shown. */
	while (!ret && n < BPFAST_ENDPOINTS_MAX &&
	       bpf_map_get_next_key(fd, n ? &keys[n - 1] : NULL, &key) == 0)
		keys[n++] = key;
	for (uint32_t i = 0; !ret && i < n; i++)
		ret = v->fn(v->arg, fd, keys[i]);
	free(keys);
	close(fd);
	return ret;
}

bool bf_layout_is_other(const struct bf_datapath *dp, const char *layout)
{
	return strcmp(layout, dp->layout) && strcmp(layout, BF_QDISC_DIR);
}

static int visit_layout(void *arg, const char *pin_dir, const char *layout)
{
	const struct visit *v = arg;
	int ret = bf_layout_is_other(v->dp, layout) ? each_endpoint(pin_dir, layout, v) : 0;

	return ret == -ENOENT ? 0 : ret;
}

int bf_layouts_each(const struct bf_datapath *dp,
		    int (*fn)(void *arg, int endp_fd, uint32_t ifindex), void *arg)
{
	struct visit v = {dp, fn, arg};

	return bf_pins_each(dp->pin_dir, visit_layout, &v);
}

static bool is_ours(const struct bf_datapath *dp, uint32_t ifindex)
{
	struct bpfast_endpoint endpoint;

	/* One that is on its way to us needs the table that its flows are in. */
	return bpf_map_lookup_elem(dp->map[BF_MAP_ENDP], &ifindex, &endpoint) == 0 &&
	       !(endpoint.flags & BPFAST_EPF_CARRYING);
}

/* An endpoint that only the other layout guards. */
static int is_needed(void *arg, int endp_fd, uint32_t ifindex)
{
	const struct bf_datapath *dp = arg;

	(void)endp_fd;
	return !is_ours(dp, ifindex) && bf_hooks_count(dp->pin_dir, (int)ifindex) > 0;
}

static int clean(void *arg, const char *pin_dir, const char *layout)
{
	struct visit v = {arg, is_needed, arg};
	char path[BF_PATH];

	/* Without its endpoint table nobody knows what it guards: it stays until bpfast down. */
	if (bf_layout_is_other(arg, layout) && each_endpoint(pin_dir, layout, &v) == 0 &&
	    bf_pins_path(path, pin_dir, layout, NULL, NULL) == 0)
		bf_pins_remove(path);
	return 0;
}

void bf_layouts_clean(struct bf_datapath *dp)
{
	bf_pins_each(dp->pin_dir, clean, dp);
}

struct tally {
	struct bf_datapath *dp;
	uint32_t n;
};

static int count(void *arg, int endp_fd, uint32_t ifindex)
{
	struct tally *c = arg;

	c->n += (uint32_t)is_needed(c->dp, endp_fd, ifindex);
	return 0;
}

uint32_t bf_layouts_endpoints(struct bf_datapath *dp)
{
	struct tally c = {dp, 0};

	bf_layouts_each(dp, count, &c);
	return c.n;
}

static int forget(void *arg, int endp_fd, uint32_t ifindex)
{
	if (ifindex == *(uint32_t *)arg)
		bpf_map_delete_elem(endp_fd, &ifindex);
	return 0;
}

void bf_layouts_drop(const struct bf_datapath *dp, uint32_t ifindex)
{
	bf_layouts_each(dp, forget, &ifindex);
}

void bf_layouts_forget(struct bf_datapath *dp, uint32_t ifindex)
{
	bf_layouts_drop(dp, ifindex);
	bf_layouts_clean(dp);
}
