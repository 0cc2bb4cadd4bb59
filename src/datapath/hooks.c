// SPDX-License-Identifier: Apache-2.0
/* Our programs on a device: TCX links, or filters of a clsact qdisc. */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const dir_name[BF_DIRS] = {"from", "to"};

static int link_path(char *out, const char *pin_dir, const char *layout, int ifindex,
		     const char *what)
{
	char name[32];

	snprintf(name, sizeof(name), "%d_%s", ifindex, what);
	return bf_pins_path(out, pin_dir, layout, "links", name);
}

static const char *dev_name(int ifindex, char *buf)
{
	return if_indextoname((unsigned int)ifindex, buf) ? buf : "?";
}

/* --- TCX --- */

/* The pinned link at path, if it still holds that hook: its fd, or -errno. */
static int tcx_open(const char *path, int ifindex, enum bf_dir dir, uint32_t *prog_id)
{
	uint32_t on;
	enum bf_dir at;
	int fd = bpf_obj_get(path), ret;

	if (fd < 0)
		return -errno;
	ret = bf_tcx_link_info(fd, &on, &at, prog_id);
	if (!ret && (on != (uint32_t)ifindex || at != dir))
		ret = -ENOLINK; /* its device is gone; the index may have been given out again */
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

/* Looks for the hook's link under the layouts other than ours. */
struct tcx_search {
	const struct bf_datapath *dp;
	int ifindex;
	enum bf_dir dir;
	char path[BF_PATH];
	int fd;
};

static int tcx_search_layout(void *arg, const char *pin_dir, const char *layout)
{
	struct tcx_search *s = arg;
	uint32_t prog_id;

	if (strcmp(layout, s->dp->layout) == 0 ||
	    link_path(s->path, pin_dir, layout, s->ifindex, dir_name[s->dir]))
		return 0;
	s->fd = tcx_open(s->path, s->ifindex, s->dir, &prog_id);
	return s->fd >= 0;
}

/* 1: a new link was made; 0: there was one, and it runs our program now; -errno. */
static int tcx_ensure_one(struct bf_datapath *dp, int ifindex, enum bf_dir dir)
{
	struct tcx_search search = {.dp = dp, .ifindex = ifindex, .dir = dir, .fd = -1};
	char path[BF_PATH];
	uint32_t prog_id = 0;
	int fd, ret;

	ret = link_path(path, dp->pin_dir, dp->layout, ifindex, dir_name[dir]);
	if (ret)
		return ret;
	fd = tcx_open(path, ifindex, dir, &prog_id);
	if (fd == -ENOLINK && unlink(path) < 0)
		return -errno;
	if (fd < 0 && bf_pins_each(dp->pin_dir, tcx_search_layout, &search) == 1)
		fd = search.fd;
	if (fd >= 0) {
		ret = prog_id == dp->prog_id[dir] ? 0 : bpf_link_update(fd, dp->prog[dir], NULL);
		if (ret < 0)
			ret = -errno;
		bf_step("link updated");
		if (!ret && search.fd >= 0 && rename(search.path, path) < 0)
			ret = -errno;
		close(fd);
		return ret;
	}

	fd = bf_tcx_link_create(dp->prog[dir], ifindex, dir, dp->after[dir]);
	if (fd < 0)
		return fd;
	bf_step("link created");
	/* Until it is pinned the link ends with this process: no trace of a crash. */
	ret = bpf_obj_pin(fd, path) < 0 ? -errno : 1;
	close(fd);
	return ret;
}

static int tcx_remove_one(const char *path)
{
	int fd = bpf_obj_get(path);

	if (fd >= 0) {
		/* Somebody may hold the link by its number: the unpinning alone would not end it. */
		bpf_link_detach(fd);
		close(fd);
	}
	return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
}

struct device {
	const char *pin_dir;
	int ifindex;
};

static int tcx_remove_layout(void *arg, const char *pin_dir, const char *layout)
{
	const struct device *d = arg;
	char path[BF_PATH];
	int ret = 0;

	for (int dir = BF_DIRS - 1; dir >= 0; dir--) {
		int r = link_path(path, pin_dir, layout, d->ifindex, dir_name[dir]);

		if (!r)
			r = tcx_remove_one(path);
		if (r && !ret)
			ret = r;
		bf_step("link removed");
	}
	return ret;
}

static int tcx_remove(const char *pin_dir, int ifindex)
{
	struct device d = {pin_dir, ifindex};

	return bf_pins_each(pin_dir, tcx_remove_layout, &d);
}

static int tcx_ensure(struct bf_datapath *dp, int ifindex, struct bf_error *err)
{
	char path[BF_PATH], dev[IF_NAMESIZE];
	int made[BF_DIRS] = {0};

	for (int dir = 0; dir < BF_DIRS; dir++) {
		int ret = dp->without & 1u << dir ? 0 : tcx_ensure_one(dp, ifindex, dir);

		if (ret < 0) {
			while (dir-- > 0)
				if (made[dir] && !link_path(path, dp->pin_dir, dp->layout, ifindex,
							    dir_name[dir]))
					tcx_remove_one(path);
			return bf_err(err, ret, "cannot attach to %s: %s", dev_name(ifindex, dev),
				      strerror(-ret));
		}
		made[dir] = ret;
		bf_step("hook in place");
	}
	return 0;
}

/* --- clsact --- */

static struct bpf_tc_hook tc_hook(int ifindex, enum bpf_tc_attach_point point)
{
	struct bpf_tc_hook hook;

	memset(&hook, 0, sizeof(hook));
	hook.sz = sizeof(hook);
	hook.ifindex = ifindex;
	hook.attach_point = point;
	return hook;
}

static struct bpf_tc_hook tc_hook_of(int ifindex, enum bf_dir dir)
{
	return tc_hook(ifindex, dir == BF_FROM_POD ? BPF_TC_INGRESS : BPF_TC_EGRESS);
}

static bool our_handle(uint32_t handle)
{
	return handle == BF_TC_HANDLE || handle == BF_TC_HANDLE_MADE_QDISC;
}

/* Our filter on a hook: 1 with *out, 0 if there is none, -errno. */
static int tc_find(const char *pin_dir, int ifindex, enum bf_dir dir, struct bf_tc_filter *out)
{
	struct bf_tc_filter *list = NULL;
	int n = bf_tc_filters(ifindex, dir, &list), found = 0;

	for (int i = 0; i < n && !found; i++) {
		if (our_handle(list[i].handle) && bf_pins_own_prog(pin_dir, list[i].prog_id)) {
			*out = list[i];
			found = 1;
		}
	}
	free(list);
	return n < 0 ? n : found;
}

static int tc_put(const struct bf_datapath *dp, int ifindex, enum bf_dir dir, uint32_t handle,
		  uint32_t priority, bool replace)
{
	struct bpf_tc_hook hook = tc_hook_of(ifindex, dir);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = dp->prog[dir], .handle = handle,
		    .priority = priority, .flags = replace ? BPF_TC_F_REPLACE : 0);

	return bpf_tc_attach(&hook, &opts);
}

static int tc_take(int ifindex, enum bf_dir dir, const struct bf_tc_filter *filter)
{
	struct bpf_tc_hook hook = tc_hook_of(ifindex, dir);
	LIBBPF_OPTS(bpf_tc_opts, opts, .handle = filter->handle, .priority = filter->priority);

	return bpf_tc_detach(&hook, &opts);
}

/* 1: a new filter was made; 0: there was one, and it runs our program now; -errno. */
static int tc_ensure_one(struct bf_datapath *dp, int ifindex, enum bf_dir dir, uint32_t handle)
{
	uint32_t after = dp->after[dir] ? bf_prog_id(dp->after[dir]) : 0;
	struct bf_tc_filter ours, *list = NULL;
	int ret = tc_find(dp->pin_dir, ifindex, dir, &ours), n, first = 1;

	if (ret < 0)
		return ret;
	if (ret)
		return ours.prog_id == dp->prog_id[dir]
			       ? 0
			       : tc_put(dp, ifindex, dir, ours.handle, ours.priority, true);
	n = bf_tc_filters(ifindex, dir, &list);
	for (int i = 0; after && i < n; i++)
		if (list[i].prog_id == after)
			first = list[i].priority + 1;
	free(list);
	if (n < 0)
		return n;
	/*
	 * The first priority that takes us. One in use by a filter of another kind
	 * or protocol refuses with EINVAL; each filter there is can spoil but one.
	 */
	ret = -EINVAL;
	for (int priority = first; ret == -EINVAL && priority <= first + n && priority < 65536;
	     priority++)
		ret = tc_put(dp, ifindex, dir, handle, (uint32_t)priority, false);
	return ret ? ret : 1;
}

static bool tc_empty(int ifindex)
{
	for (int dir = 0; dir < BF_DIRS; dir++) {
		struct bf_tc_filter *list = NULL;
		int n = bf_tc_filters(ifindex, dir, &list);

		free(list);
		if (n)
			return false;
	}
	return true;
}

static int tc_destroy_qdisc(int ifindex)
{
	struct bpf_tc_hook hook = tc_hook(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);

	return bpf_tc_hook_destroy(&hook);
}

/*
 * Whether we made the qdisc stands in the handles of our filters. While it has
 * none of them, before the first and after the last, PIN_DIR/qdisc/IFINDEX/ tells.
 */
static int marker_path(char *out, const char *pin_dir, int ifindex)
{
	char name[16];

	snprintf(name, sizeof(name), "%d", ifindex);
	return bf_pins_path(out, pin_dir, BF_QDISC_DIR, NULL, name);
}

static bool marker_is_set(const char *pin_dir, int ifindex)
{
	char path[BF_PATH];

	return !marker_path(path, pin_dir, ifindex) && access(path, F_OK) == 0;
}

static int marker_set(const char *pin_dir, int ifindex)
{
	char path[BF_PATH];
	int ret = bf_pins_path(path, pin_dir, BF_QDISC_DIR, NULL, NULL);

	if (!ret && mkdir(path, 0700) < 0 && errno != EEXIST)
		ret = -errno;
	if (!ret)
		ret = marker_path(path, pin_dir, ifindex);
	if (!ret && mkdir(path, 0700) < 0 && errno != EEXIST)
		ret = -errno;
	return ret;
}

static void marker_clear(const char *pin_dir, int ifindex)
{
	char path[BF_PATH];

	if (!marker_path(path, pin_dir, ifindex))
		rmdir(path);
	if (!bf_pins_path(path, pin_dir, BF_QDISC_DIR, NULL, NULL))
		rmdir(path); /* stays while it holds others */
}

static int tc_remove(const char *pin_dir, int ifindex)
{
	bool made = marker_is_set(pin_dir, ifindex);
	enum bf_qdisc qdisc;
	int ret, r;

	ret = bf_tc_qdisc(ifindex, &qdisc);
	if (ret)
		return ret;
	for (int dir = BF_DIRS - 1; qdisc == BF_QDISC_CLSACT && dir >= 0; dir--) {
		struct bf_tc_filter ours;

		while ((r = tc_find(pin_dir, ifindex, dir, &ours)) == 1) {
			if (ours.handle == BF_TC_HANDLE_MADE_QDISC && !made)
				made = marker_set(pin_dir, ifindex) == 0;
			r = tc_take(ifindex, dir, &ours);
			bf_step("filter removed");
			if (r)
				break;
		}
		if (r < 0 && !ret)
			ret = r;
	}
	if (made && qdisc == BF_QDISC_CLSACT && tc_empty(ifindex)) {
		r = tc_destroy_qdisc(ifindex);
		bf_step("qdisc removed");
		if (r && !ret)
			ret = r;
	}
	if (!ret)
		marker_clear(pin_dir, ifindex);
	return ret;
}

static int tc_ensure_qdisc(struct bf_datapath *dp, int ifindex, uint32_t *handle,
			   struct bf_error *err)
{
	struct bpf_tc_hook hook = tc_hook(ifindex, BPF_TC_INGRESS | BPF_TC_EGRESS);
	struct bf_tc_filter ours;
	char dev[IF_NAMESIZE];
	enum bf_qdisc qdisc;
	int ret = bf_tc_qdisc(ifindex, &qdisc);

	if (ret)
		return bf_err(err, ret, "cannot read the qdiscs of %s: %s", dev_name(ifindex, dev),
			      strerror(-ret));
	if (qdisc == BF_QDISC_OTHER)
		return bf_err(err, -EBUSY,
			      "%s has an ingress qdisc, which has no place for programs on the way "
			      "out; replace it: tc qdisc replace dev %s clsact",
			      dev_name(ifindex, dev), dev_name(ifindex, dev));
	if (qdisc == BF_QDISC_NONE) {
		ret = marker_set(dp->pin_dir, ifindex);
		bf_step("qdisc announced");
		if (!ret)
			ret = bpf_tc_hook_create(&hook);
		bf_step("qdisc made");
		if (ret == -EEXIST) {
			/* Somebody else was quicker. */
			marker_clear(dp->pin_dir, ifindex);
			ret = 0;
		}
		if (ret)
			return bf_err(err, ret, "cannot make a clsact qdisc on %s: %s%s",
				      dev_name(ifindex, dev), strerror(-ret),
				      ret == -ENOENT ? "; the kernel modules sch_ingress and "
						       "cls_bpf are needed"
						     : "");
	}
	*handle = BF_TC_HANDLE;
	if (marker_is_set(dp->pin_dir, ifindex))
		*handle = BF_TC_HANDLE_MADE_QDISC;
	for (int dir = 0; dir < BF_DIRS; dir++)
		if (tc_find(dp->pin_dir, ifindex, dir, &ours) == 1)
			*handle = ours.handle;
	return 0;
}

static int tc_ensure(struct bf_datapath *dp, int ifindex, struct bf_error *err)
{
	int made[BF_DIRS] = {0}, ret;
	uint32_t handle = 0;
	char dev[IF_NAMESIZE];

	ret = tc_ensure_qdisc(dp, ifindex, &handle, err);
	if (ret)
		return ret;
	for (int dir = 0; dir < BF_DIRS; dir++) {
		if (dp->without & 1u << dir)
			continue;
		ret = tc_ensure_one(dp, ifindex, dir, handle);
		if (ret < 0) {
			/* Nothing half-attached: what was not there before goes again. */
			if (dir == 0 || made[0])
				tc_remove(dp->pin_dir, ifindex);
			if (ret == -EEXIST)
				return bf_err(
					err, ret,
					"another BPFast, with another pin directory, guards %s; "
					"run bpfast down there first",
					dev_name(ifindex, dev));
			return bf_err(err, ret, "cannot attach to %s: %s", dev_name(ifindex, dev),
				      strerror(-ret));
		}
		made[dir] = ret;
		bf_step("hook in place");
	}
	return 0;
}

/* --- both --- */

int bf_hooks_ensure(struct bf_datapath *dp, int ifindex, struct bf_error *err)
{
	int ret = dp->tcx ? tcx_ensure(dp, ifindex, err) : tc_ensure(dp, ifindex, err);

	if (ret)
		return ret;
	/* Hooks of the other kind, from an agent that chose otherwise, only now: no gap. */
	ret = dp->tcx ? tc_remove(dp->pin_dir, ifindex) : tcx_remove(dp->pin_dir, ifindex);
	if (ret)
		return bf_err(err, ret, "cannot remove the former hooks of interface %d: %s",
			      ifindex, strerror(-ret));
	return 0;
}

int bf_hooks_remove(const char *pin_dir, int ifindex)
{
	int a = tcx_remove(pin_dir, ifindex), b = tc_remove(pin_dir, ifindex);

	return a ? a : b;
}

struct hook {
	int ifindex;
	enum bf_dir dir;
};

static int tcx_is_alive(void *arg, const char *pin_dir, const char *layout)
{
	const struct hook *h = arg;
	char path[BF_PATH];
	uint32_t prog_id;
	int fd;

	if (link_path(path, pin_dir, layout, h->ifindex, dir_name[h->dir]))
		return 0;
	fd = tcx_open(path, h->ifindex, h->dir, &prog_id);
	if (fd < 0)
		return 0;
	close(fd);
	return 1;
}

int bf_hooks_count(const char *pin_dir, int ifindex)
{
	int n = 0;

	for (int dir = 0; dir < BF_DIRS; dir++) {
		struct hook h = {ifindex, dir};
		struct bf_tc_filter ours;

		n += bf_pins_each(pin_dir, tcx_is_alive, &h) == 1 ||
		     tc_find(pin_dir, ifindex, dir, &ours) == 1;
	}
	return n;
}

/* --- who comes before us --- */

static void prog_name(uint32_t id, char *name, size_t size)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(id);

	/* Needs CAP_SYS_ADMIN; without it the number has to do. */
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.name[0])
		snprintf(name, size, "%s", info.name);
	else
		snprintf(name, size, "program %u", id);
	if (fd >= 0)
		close(fd);
}

int bf_datapath_precedes(struct bf_datapath *dp, int ifindex, char *name, size_t size)
{
	if (size)
		name[0] = '\0';
	for (int dir = 0; dir < BF_DIRS && size; dir++) {
		struct bf_tc_filter *list = NULL;
		uint32_t ids[64]; /* more than one chain may hold */
		int n = bf_tcx_query(ifindex, dir, ids, 64);

		for (int i = 0; i < n; i++) {
			if (bf_pins_own_prog(dp->pin_dir, ids[i]))
				break;
			prog_name(ids[i], name, size);
			return 0;
		}
		if (dp->tcx)
			continue;
		n = bf_tc_filters(ifindex, dir, &list);
		if (n > 0 &&
		    !(our_handle(list[0].handle) && bf_pins_own_prog(dp->pin_dir, list[0].prog_id)))
			snprintf(name, size, "%s", list[0].name[0] ? list[0].name : list[0].kind);
		free(list);
		if (name[0])
			return 0;
	}
	return 0;
}
