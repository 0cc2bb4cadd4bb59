// SPDX-License-Identifier: Apache-2.0
/*
 * A device whose XDP is libxdp's dispatcher's. It is read from what libxdp has pinned, without libxdp: that wants
 * CAP_SYS_ADMIN, which the agent has not. There are no pins of ours beside those, which could contradict them.
 *
 *   /sys/fs/bpf/xdp/dispatch-IFINDEX-ID/progN-{prog,link}   ID: the dispatcher's program
 *
 * share.c is who puts our program there.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "datapath/shield/dispatcher.h"
#include "datapath/shield/internal.h"

#define TRIES 4 /* libxdp may replace its dispatcher between two looks */

uint32_t bf_xdp_on(int ifindex, bool *native)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, opts);

	*native = false;
	if (bpf_xdp_query(ifindex, 0, &opts) < 0)
		return 0;
	*native = opts.drv_prog_id != 0;
	return opts.drv_prog_id	  ? opts.drv_prog_id
	       : opts.skb_prog_id ? opts.skb_prog_id
	       : opts.prog_id	  ? opts.prog_id
				  : opts.hw_prog_id;
}

uint32_t bf_map_id(int map_fd)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(map_fd, &info, &len) < 0 ? 0 : info.id;
}

int bf_prog_info(int prog_fd, struct bf_prog_info *out)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	memset(out, 0, sizeof(*out));
	info.map_ids = (uint64_t)(uintptr_t)out->map_id;
	info.nr_map_ids = BF_PROG_MAPS;
	if (bpf_obj_get_info_by_fd(prog_fd, &info, &len) < 0)
		return -errno;
	out->id = info.id;
	out->maps = info.nr_map_ids < BF_PROG_MAPS ? info.nr_map_ids : BF_PROG_MAPS;
	memcpy(out->name, info.name, sizeof(out->name) - 1);
	return 0;
}

bool bf_prog_uses(const struct bf_prog_info *p, uint32_t map_id)
{
	for (uint32_t i = 0; map_id && i < p->maps; i++)
		if (p->map_id[i] == map_id)
			return true;
	return false;
}

static int dir_of(char *path, int ifindex, uint32_t dispatcher)
{
	int n = snprintf(path, BF_PATH, BF_LIBXDP_DIR "/dispatch-%d-%u", ifindex, dispatcher);

	return n < BF_PATH ? 0 : -ENAMETOOLONG;
}

/* Is the program in place N really put into that dispatcher, by a link that lives? */
static bool is_linked(const char *dir, int place, uint32_t dispatcher, uint32_t prog_id)
{
	struct bpf_link_info info = {0};
	uint32_t len = sizeof(info);
	char name[24], path[BF_PATH];
	bool is;
	int fd;

	snprintf(name, sizeof(name), "prog%d-link", place);
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) >= BF_PATH)
		return false;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return false;
	is = bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.type == BPF_LINK_TYPE_TRACING &&
	     info.prog_id == prog_id && info.tracing.target_obj_id == dispatcher;
	close(fd);
	return is;
}

/* share.c has noted of which build it is. Where that is lost, it is of another. */
static bool is_current(const struct bf_shield *s, int ifindex, uint32_t prog_id)
{
	char name[64], path[BF_PATH];

	snprintf(name, sizeof(name), "%d_%u_%s", ifindex, prog_id, s->build);
	return !bf_pins_path(path, s->hooks.pin_dir, s->hooks.layout, BF_SHIELD_SHARED_DIR, name) &&
	       !access(path, F_OK);
}

static void look_at(const struct bf_shield *s, int ifindex, const struct bf_prog_info *p,
		    bool linked, struct bf_shield_shared *out)
{
	if (!bf_prog_uses(p, bf_map_id(s->map[BF_SHIELD_MAP_CONTROL]))) {
		if (out->others < BF_SHIELD_SHARED_MAX)
			memcpy(out->other[out->others++], p->name, sizeof(p->name));
	} else if (linked) {
		out->on = true;
		out->current = out->current || is_current(s, ifindex, p->id);
	}
}

static void look(const struct bf_shield *s, int ifindex, const char *dir, uint32_t dispatcher,
		 struct bf_shield_shared *out)
{
	char path[BF_PATH];

	for (int i = 0; i < BF_SHIELD_SHARED_MAX; i++) {
		struct bf_prog_info p;
		int fd, r;

		if (snprintf(path, sizeof(path), "%s/prog%d-prog", dir, i) >= BF_PATH)
			return;
		fd = bpf_obj_get(path);
		if (fd < 0)
			return;
		r = bf_prog_info(fd, &p);
		close(fd);
		if (!r)
			look_at(s, ifindex, &p, is_linked(dir, i, dispatcher, p.id), out);
	}
}

bool bf_shield_shared(struct bf_shield *s, int ifindex, struct bf_shield_shared *out)
{
	bool native, there = false;
	char dir[BF_PATH];

	memset(out, 0, sizeof(*out));
	for (int i = 0; i < TRIES; i++) {
		uint32_t id = bf_xdp_on(ifindex, &native);

		memset(out, 0, sizeof(*out));
		out->native = native;
		there = id && !dir_of(dir, ifindex, id) && !access(dir, F_OK);
		if (there)
			look(s, ifindex, dir, id, out);
		/* libxdp pins the next one before it is on, and takes the last one's pins away after it. */
		if (bf_xdp_on(ifindex, &native) == id)
			break;
	}
	return there;
}
