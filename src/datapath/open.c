// SPDX-License-Identifier: Apache-2.0
/* Opens a pin directory: fresh, or adopting what an earlier agent left in force. */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "datapath/note.h"

/* Where a layout is built before it gets its name. */
#define UNFINISHED "unfinished"

#define QUOTA_BYTES (BPFAST_ENDPOINTS_MAX * sizeof(struct bpfast_quota))

static int map_memory(struct bf_datapath *dp, struct bf_error *err)
{
	void *p;

	dp->arena_map_bytes = dp->arena_bytes + BPFAST_ARENA_GUARD;
	p = mmap(NULL, dp->arena_map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED,
		 dp->map[BF_MAP_ARENA], 0);
	if (p == MAP_FAILED)
		return bf_err(err, -errno, "cannot map the table arena: %s", strerror(errno));
	dp->arena = p;
	p = mmap(NULL, sizeof(*dp->control), PROT_READ | PROT_WRITE, MAP_SHARED,
		 dp->map[BF_MAP_CONTROL], 0);
	if (p == MAP_FAILED)
		return bf_err(err, -errno, "cannot map the control block: %s", strerror(errno));
	dp->control = p;
	p = mmap(NULL, QUOTA_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, dp->map[BF_MAP_QUOTA], 0);
	if (p == MAP_FAILED)
		return bf_err(err, -errno, "cannot map the flows' counts: %s", strerror(errno));
	dp->quota = p;
	return 0;
}

/* Makes pins of the fresh maps; they appear under their name all at once. */
static int pin_maps(struct bf_datapath *dp)
{
	const struct bf_blob note = {dp->note, dp->note_bytes};
	int ret = bf_pins_begin(dp->pin_dir, UNFINISHED);

	for (int m = 0; !ret && m < BF_MAPS; m++) {
		ret = bf_pins_put(dp->map[m], dp->pin_dir, UNFINISHED, "maps", bf_map_name[m]);
		bf_step("map pinned");
	}
	if (!ret)
		ret = bf_note_pin(&note, dp->pin_dir, UNFINISHED);
	if (!ret)
		ret = bf_pins_finish(dp->pin_dir, UNFINISHED, dp->layout);
	bf_step("layout in place");
	return ret;
}

static void set_defaults(const struct bf_datapath *dp)
{
	struct bpfast_control *control = dp->control;

	control->retain_share = dp->chunks_max / BPFAST_ENDPOINT_SHARE;
	control->records_per_second = 1000;
	control->tcp_idle_s = 21600;
	control->other_idle_s = 120;
	control->closed_s = 10;
	control->denied_s = 120;
}

static void set_share(const struct bf_datapath *dp, const struct bf_datapath_options *options)
{
	uint32_t share = options->flows_per_endpoint;

	dp->control->flows_share = share ? share : dp->flows_max / BPFAST_FLOWS_SHARE;
}

/* --- programs and hooks --- */

static int pin_progs(struct bf_datapath *dp)
{
	char name[32];

	for (int dir = 0; dir < BF_DIRS; dir++) {
		int ret;

		snprintf(name, sizeof(name), "%s_%u", bf_prog_pin[dir], dp->prog_id[dir]);
		ret = bf_pins_put(dp->prog[dir], dp->pin_dir, dp->layout, "progs", name);
		if (ret)
			return ret;
		bf_step("program pinned");
	}
	return 0;
}

/*
 * Every endpoint's hooks get the new programs. One that is half attached is
 * finished. One without any hook of ours is forgotten: either its attaching never
 * got as far, or its device is gone, and the index may be another device's by now.
 */
static int move_hooks(struct bf_datapath *dp, struct bf_error *err)
{
	uint32_t key, *keys = calloc(BPFAST_ENDPOINTS_MAX, sizeof(*keys)), n = 0;
	int ret = 0;

	if (!keys)
		return bf_err(err, -ENOMEM, "out of memory");
	while (n < BPFAST_ENDPOINTS_MAX &&
	       bpf_map_get_next_key(dp->map[BF_MAP_ENDP], n ? &keys[n - 1] : NULL, &key) == 0)
		keys[n++] = key;
	for (uint32_t i = 0; !ret && i < n; i++)
		ret = bf_hooks_count(dp->pin_dir, (int)keys[i]) > 0
			      ? bf_hooks_ensure(dp, (int)keys[i], err)
			      : bf_datapath_detach(dp, (int)keys[i], err);
	free(keys);
	return ret;
}

static int drop_orphan(void *arg, const char *dir, const char *name)
{
	struct bf_datapath *dp = arg;
	struct bpfast_endpoint endpoint;
	uint32_t ifindex = (uint32_t)strtoul(name, NULL, 10);

	(void)dir;
	if (bpf_map_lookup_elem(dp->map[BF_MAP_ENDP], &ifindex, &endpoint) < 0 && errno == ENOENT)
		bf_hooks_remove(dp->pin_dir, (int)ifindex);
	return 0;
}

/* Says that all hooks run programs of this build, or that this is not sure any more. */
static int mark_build(struct bf_datapath *dp, bool done)
{
	char path[BF_PATH];
	int ret = bf_pins_path(path, dp->pin_dir, dp->layout, BF_BUILD_DIR, NULL);

	if (!ret && !done)
		return bf_pins_remove(path);
	if (!ret && mkdir(path, 0700) < 0 && errno != EEXIST)
		ret = -errno;
	if (!ret)
		ret = bf_pins_path(path, dp->pin_dir, dp->layout, BF_BUILD_DIR, dp->build);
	if (!ret && mkdir(path, 0700) < 0 && errno != EEXIST)
		ret = -errno;
	return ret;
}

/* Programs, hooks and leftovers, once the maps are there. */
static int start(struct bf_datapath *dp, struct bf_error *err)
{
	char path[BF_PATH];
	int ret = 0;

	if (!dp->same_build) {
		ret = mark_build(dp, false);
		if (!ret)
			ret = pin_progs(dp);
	}
	if (ret)
		return bf_err(err, ret, "cannot pin the programs under %s: %s", dp->pin_dir,
			      strerror(-ret));
	ret = move_hooks(dp, err);
	if (ret)
		return ret;
	if (!bf_pins_path(path, dp->pin_dir, dp->layout, "links", NULL))
		bf_pins_each(path, drop_orphan, dp);
	bf_pins_keep_progs(dp->pin_dir, dp->layout, dp->prog_id, BF_DIRS);
	bf_layouts_clean(dp);
	ret = mark_build(dp, true);
	return ret ? bf_err(err, ret, "cannot mark the build under %s: %s", dp->pin_dir,
			    strerror(-ret))
		   : 0;
}

/* --- open and close --- */

static int lock(struct bf_datapath *dp, struct bf_error *err)
{
	dp->lock_fd = open(dp->pin_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dp->lock_fd < 0)
		return bf_err(err, -errno, "cannot open %s: %s", dp->pin_dir, strerror(errno));
	if (flock(dp->lock_fd, LOCK_EX | LOCK_NB) < 0)
		return bf_err(
			err, -EBUSY,
			"another agent is at work on %s; stop it, or use another pin directory",
			dp->pin_dir);
	return 0;
}

static int open_locked(struct bf_datapath *dp, const struct bf_datapath_options *options,
		       bool *adopted, struct bf_error *err)
{
	int ret;

	dp->tcx = bf_kernel_has_tcx();
	dp->hook_why = dp->tcx ? "" : "TCX needs Linux 6.6";
	if (dp->tcx && options->force_clsact) {
		dp->tcx = false;
		dp->hook_why = "clsact was asked for";
	}
	ret = bf_grace_init(dp);
	if (ret)
		return bf_err(err, ret, "cannot make a BPF map: %s", strerror(-ret));
	ret = bf_load(dp, options, adopted, err);
	if (!ret)
		ret = map_memory(dp, err);
	if (ret)
		return ret;
	set_share(dp, options);
	if (*adopted) {
		ret = bf_arena_adopt(dp, err);
	} else {
		set_defaults(dp);
		ret = bf_arena_init(dp);
		if (!ret)
			ret = pin_maps(dp);
		if (ret)
			bf_err(err, ret, "cannot pin the maps under %s: %s", dp->pin_dir,
			       strerror(-ret));
	}
	if (!ret)
		ret = start(dp, err);
	if (!ret && *adopted) {
		ret = bf_quota_recount(dp);
		if (ret)
			bf_err(err, ret, "cannot count the flows: %s", strerror(-ret));
	}
	return ret;
}

static struct bf_datapath *new_datapath(const char *pin_dir)
{
	struct bf_datapath *dp = calloc(1, sizeof(*dp));

	if (!dp)
		return NULL;
	snprintf(dp->pin_dir, sizeof(dp->pin_dir), "%s", pin_dir);
	dp->lock_fd = dp->grace_inner = dp->grace_outer = -1;
	for (int m = 0; m < BF_MAPS; m++)
		dp->map[m] = -1;
	for (int d = 0; d < BF_DIRS; d++)
		dp->prog[d] = -1;
	return dp;
}

int bf_datapath_open(const struct bf_datapath_options *options, struct bf_datapath **out,
		     bool *adopted, struct bf_error *err)
{
	struct bf_datapath *dp;
	bool was_there = false;
	int ret = bf_kernel_check(err);

	if (ret)
		return ret;
	ret = bf_pins_prepare(options->pin_dir, err);
	if (ret)
		return ret;
	dp = new_datapath(options->pin_dir);
	if (!dp)
		return bf_err(err, -ENOMEM, "out of memory");
	ret = lock(dp, err);
	if (!ret)
		ret = open_locked(dp, options, &was_there, err);
	if (ret) {
		rmdir(dp->pin_dir); /* if it holds nothing */
		bf_datapath_close(dp);
		return ret;
	}
	if (adopted)
		*adopted = was_there;
	*out = dp;
	return 0;
}

int bf_datapath_open_private(const struct bf_datapath_options *options, struct bf_datapath **out,
			     struct bf_error *err)
{
	struct bf_datapath *dp;
	bool adopted;
	int ret = bf_kernel_check(err);

	if (ret)
		return ret;
	dp = new_datapath("");
	if (!dp)
		return bf_err(err, -ENOMEM, "out of memory");
	dp->hook_why = "nothing is attached";
	ret = bf_grace_init(dp);
	if (ret)
		bf_err(err, ret, "cannot make a BPF map: %s", strerror(-ret));
	if (!ret)
		ret = bf_load(dp, options, &adopted, err);
	if (!ret)
		ret = map_memory(dp, err);
	if (!ret) {
		set_defaults(dp);
		set_share(dp, options);
		ret = bf_arena_init(dp);
	}
	if (ret) {
		bf_datapath_close(dp);
		return ret;
	}
	*out = dp;
	return 0;
}

void bf_datapath_close(struct bf_datapath *dp)
{
	if (!dp)
		return;
	ring_buffer__free(dp->ring);
	if (dp->control)
		munmap(dp->control, sizeof(*dp->control));
	if (dp->quota)
		munmap(dp->quota, QUOTA_BYTES);
	if (dp->arena)
		munmap(dp->arena, dp->arena_map_bytes);
	for (int m = 0; m < BF_MAPS; m++)
		if (dp->map[m] >= 0)
			close(dp->map[m]);
	for (int d = 0; d < BF_DIRS; d++)
		if (dp->prog[d] >= 0)
			close(dp->prog[d]);
	bf_grace_close(dp);
	free(dp->note);
	if (dp->lock_fd >= 0)
		close(dp->lock_fd);
	free(dp);
}
