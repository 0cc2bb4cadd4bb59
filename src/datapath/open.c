// SPDX-License-Identifier: Apache-2.0
/* Loads the kernel side, or adopts what an earlier agent left in force. */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bpfast/image.h"
#include "pod.skel.h"

/* Raise it when something in a map gets another meaning under the same name and size. */
#define LAYOUT_VERSION 1

#define ARENA_MIN (64u << 10)
#define ARENA_MAX (1u << 30)
#define FLOWS_MAX (16u << 20)

/* Where a layout is built before it gets its name. */
#define UNFINISHED "unfinished"

static const char *const map_name[BF_MAPS] = {
	[BF_MAP_ARENA] = "bpfast_arena",     [BF_MAP_CONTROL] = "bpfast_control",
	[BF_MAP_ENDP] = "bpfast_endp",	     [BF_MAP_FLOW] = "bpfast_flow",
	[BF_MAP_FRAG] = "bpfast_frag",	     [BF_MAP_EVENTS] = "bpfast_events",
	[BF_MAP_METRICS] = "bpfast_metrics",
};

static const char *const prog_pin[BF_DIRS] = {"from", "to"};

/* --- libbpf's words, for the sentence that tells of a failure --- */

static _Thread_local char libbpf_said[400];

static int keep_words(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	if (level != LIBBPF_WARN)
		return 0;
	/* The first words name the cause; what follows are its consequences. */
	if (!libbpf_said[0]) {
		vsnprintf(libbpf_said, sizeof(libbpf_said), fmt, ap);
		for (char *c = libbpf_said; *c; c++)
			if (*c == '\n')
				*c = c[1] ? ' ' : '\0';
	}
	return 0;
}

static struct bpf_map *skel_map(struct pod_bpf *skel, enum bf_map m)
{
	return bpf_object__find_map_by_name(skel->obj, map_name[m]);
}

/* --- the layout --- */

static uint32_t mix(uint32_t h, uint32_t v)
{
	/* FNV-1a, 32 bits. */
	for (int i = 0; i < 4; i++, v >>= 8)
		h = (h ^ (v & 0xff)) * 16777619u;
	return h;
}

static uint32_t mix_text(uint32_t h, const char *s)
{
	while (*s)
		h = mix(h, (uint8_t)*s++);
	return h;
}

/* Mixes in what a type means: names, places and sizes of all that is in it. */
static uint32_t mix_type(uint32_t h, const struct btf *btf, uint32_t id, int depth)
{
	const struct btf_type *t = btf__type_by_id(btf, id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t)))
		t = btf__type_by_id(btf, t->type);
	if (!t || depth > 16)
		return h;
	h = mix(h, btf_kind(t));
	if (btf_is_array(t))
		return mix_type(mix(h, btf_array(t)->nelems), btf, btf_array(t)->type, depth + 1);
	if (btf_is_int(t) || btf_is_any_enum(t) || btf_is_composite(t))
		h = mix(h, t->size);
	if (!btf_is_composite(t))
		return h;
	/* The kernel's own types are opaque here. */
	if (strncmp(btf__name_by_offset(btf, t->name_off), "bpf_", 4) == 0)
		return h;
	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];

		h = mix_text(mix(h, m->offset), btf__name_by_offset(btf, m->name_off));
		h = mix_type(h, btf, m->type, depth + 1);
	}
	return h;
}

static void layout_name(struct bf_datapath *dp)
{
	const struct btf *btf = bpf_object__btf(dp->skel->obj);
	uint32_t h = 2166136261u;

	for (int m = 0; m < BF_MAPS; m++) {
		struct bpf_map *map = skel_map(dp->skel, m);

		h = mix(h, bpf_map__type(map));
		h = mix(h, bpf_map__map_flags(map));
		h = mix(h, bpf_map__key_size(map));
		if (m != BF_MAP_ARENA) /* the user chooses its size */
			h = mix(h, bpf_map__value_size(map));
		h = mix_type(h, btf, bpf_map__btf_key_type_id(map), 0);
		h = mix_type(h, btf, bpf_map__btf_value_type_id(map), 0);
	}
	h = mix(h, BPFAST_IMAGE_VERSION);
	h = mix(h, sizeof(struct bpfast_image));
	h = mix(h, sizeof(struct bpfast_image_ruleset));
	h = mix(h, BPFAST_R_COUNT);
	snprintf(dp->layout, sizeof(dp->layout), "v%d-%08x", LAYOUT_VERSION, h);
}

/* --- maps --- */

/* Takes the pinned maps; -ENOENT: there are none. -EUCLEAN: not all, or not ours. */
static int reuse_maps(struct bf_datapath *dp)
{
	char path[BF_PATH];
	int ret = bf_pins_path(path, dp->pin_dir, dp->layout, NULL, NULL);

	if (ret)
		return ret;
	if (access(path, F_OK) < 0)
		return -ENOENT;
	for (int m = 0; m < BF_MAPS; m++) {
		struct bpf_map *map = skel_map(dp->skel, m);
		struct bpf_map_info info = {0};
		uint32_t len = sizeof(info);
		int fd;

		ret = bf_pins_path(path, dp->pin_dir, dp->layout, "maps", map_name[m]);
		if (ret)
			return ret;
		fd = bpf_obj_get(path);
		if (fd < 0)
			return errno == ENOENT ? -EUCLEAN : -errno;
		ret = bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ? -errno : 0;
		if (!ret &&
		    (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
		     (m != BF_MAP_ARENA && info.value_size != bpf_map__value_size(map))))
			ret = -EUCLEAN;
		if (!ret && m == BF_MAP_ARENA)
			dp->arena_bytes = info.value_size - BPFAST_ARENA_GUARD;
		if (!ret && m == BF_MAP_FLOW)
			dp->flows_max = info.max_entries;
		if (!ret && bpf_map__reuse_fd(map, fd) < 0)
			ret = -errno;
		close(fd);
		if (ret)
			return ret;
	}
	return 0;
}

static int size_maps(struct bf_datapath *dp, const struct bf_datapath_options *options,
		     struct bf_error *err)
{
	uint32_t arena = options->arena_bytes ? options->arena_bytes : BPFAST_ARENA_DEFAULT;
	uint32_t flows = options->flows ? options->flows : BPFAST_FLOWS_DEFAULT;

	if (arena < ARENA_MIN || arena > ARENA_MAX || arena & (arena - 1))
		return bf_err(err, -EINVAL,
			      "arena_bytes is %u; it must be a power of two from %u to %u", arena,
			      ARENA_MIN, ARENA_MAX);
	if (flows > FLOWS_MAX)
		return bf_err(err, -EINVAL, "flows is %u; the most is %u", flows, FLOWS_MAX);
	dp->arena_bytes = arena;
	dp->flows_max = flows;
	if (bpf_map__set_value_size(skel_map(dp->skel, BF_MAP_ARENA), arena + BPFAST_ARENA_GUARD) <
		    0 ||
	    bpf_map__set_max_entries(skel_map(dp->skel, BF_MAP_FLOW), flows) < 0)
		return bf_err(err, -errno, "cannot size the maps: %s", strerror(errno));
	return 0;
}

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
	return 0;
}

/* Makes pins of the fresh maps; they appear under their name all at once. */
static int pin_maps(struct bf_datapath *dp)
{
	static const char *const sub[] = {NULL, "maps", "progs", "links"};
	char path[BF_PATH], to[BF_PATH];
	int ret = bf_pins_path(path, dp->pin_dir, UNFINISHED, NULL, NULL);

	if (!ret)
		ret = bf_pins_remove(path);
	for (size_t i = 0; !ret && i < sizeof(sub) / sizeof(sub[0]); i++) {
		ret = bf_pins_path(path, dp->pin_dir, UNFINISHED, sub[i], NULL);
		if (!ret && mkdir(path, 0700) < 0)
			ret = -errno;
	}
	for (int m = 0; !ret && m < BF_MAPS; m++) {
		ret = bf_pins_path(path, dp->pin_dir, UNFINISHED, "maps", map_name[m]);
		if (!ret && bpf_obj_pin(dp->map[m], path) < 0)
			ret = -errno;
		bf_step("map pinned");
	}
	if (!ret)
		ret = bf_pins_path(path, dp->pin_dir, UNFINISHED, NULL, NULL);
	if (!ret)
		ret = bf_pins_path(to, dp->pin_dir, dp->layout, NULL, NULL);
	if (!ret && rename(path, to) < 0)
		ret = -errno;
	bf_step("layout in place");
	return ret;
}

static void set_defaults(struct bpfast_control *control)
{
	control->records_per_second = 1000;
	control->tcp_idle_s = 21600;
	control->other_idle_s = 120;
	control->closed_s = 10;
	control->denied_s = 120;
}

/* --- programs and hooks --- */

static int pin_progs(struct bf_datapath *dp)
{
	char path[BF_PATH], name[32];

	for (int dir = 0; dir < BF_DIRS; dir++) {
		int ret;

		snprintf(name, sizeof(name), "%s_%u", prog_pin[dir], dp->prog_id[dir]);
		ret = bf_pins_path(path, dp->pin_dir, dp->layout, "progs", name);
		if (ret)
			return ret;
		if (bpf_obj_pin(dp->prog[dir], path) < 0)
			return -errno;
		bf_step("program pinned");
	}
	return 0;
}

static int unpin_old_prog(void *arg, const char *dir, const char *name)
{
	const struct bf_datapath *dp = arg;
	const char *id = strchr(name, '_');
	char path[BF_PATH];
	uint32_t n = id ? (uint32_t)strtoul(id + 1, NULL, 10) : 0;

	if (n == dp->prog_id[BF_FROM_POD] || n == dp->prog_id[BF_TO_POD])
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path))
		unlink(path);
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

/* Programs, hooks and leftovers, once the maps are there. */
static int start(struct bf_datapath *dp, struct bf_error *err)
{
	char path[BF_PATH];
	int ret;

	dp->prog[BF_FROM_POD] = bpf_program__fd(dp->skel->progs.bpfast_from_pod);
	dp->prog[BF_TO_POD] = bpf_program__fd(dp->skel->progs.bpfast_to_pod);
	for (int dir = 0; dir < BF_DIRS; dir++)
		dp->prog_id[dir] = bf_prog_id(dp->prog[dir]);
	ret = pin_progs(dp);
	if (ret)
		return bf_err(err, ret, "cannot pin the programs under %s: %s", dp->pin_dir,
			      strerror(-ret));
	ret = move_hooks(dp, err);
	if (ret)
		return ret;
	if (!bf_pins_path(path, dp->pin_dir, dp->layout, "links", NULL))
		bf_pins_each(path, drop_orphan, dp);
	if (!bf_pins_path(path, dp->pin_dir, dp->layout, "progs", NULL))
		bf_pins_each(path, unpin_old_prog, dp);
	bf_layouts_clean(dp);
	return 0;
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

static int load(struct bf_datapath *dp, const struct bf_datapath_options *options, bool *adopted,
		struct bf_error *err)
{
	char path[BF_PATH], aside[BF_PATH], name[32];
	int ret;

	dp->skel = pod_bpf__open();
	if (!dp->skel)
		return bf_err(err, -errno, "cannot open the BPF object: %s", libbpf_said);
	layout_name(dp);
	ret = reuse_maps(dp);
	*adopted = ret == 0;
	if (ret == -EUCLEAN) {
		/* Half of it is gone. What still runs goes on until it is attached anew. */
		snprintf(name, sizeof(name), "damaged-%d", getpid());
		if (bf_pins_path(path, dp->pin_dir, dp->layout, NULL, NULL) == 0 &&
		    bf_pins_path(aside, dp->pin_dir, name, NULL, NULL) == 0 &&
		    rename(path, aside) < 0)
			return bf_err(err, -errno, "cannot set aside %s: %s", path,
				      strerror(errno));
		pod_bpf__destroy(dp->skel);
		dp->skel = pod_bpf__open();
		if (!dp->skel)
			return bf_err(err, -errno, "cannot open the BPF object: %s", libbpf_said);
	} else if (ret && ret != -ENOENT) {
		return bf_err(err, ret, "cannot use the maps pinned under %s/%s: %s", dp->pin_dir,
			      dp->layout, strerror(-ret));
	}
	if (!*adopted) {
		ret = size_maps(dp, options, err);
		if (ret)
			return ret;
	}
	dp->skel->rodata->bpfast_arena_mask = dp->arena_bytes - 1;
	ret = pod_bpf__load(dp->skel);
	if (ret)
		return bf_err(err, ret, "the kernel refused the BPF programs: %s (%s)",
			      strerror(-ret), libbpf_said);
	for (int m = 0; m < BF_MAPS; m++)
		dp->map[m] = bpf_map__fd(skel_map(dp->skel, m));
	return map_memory(dp, err);
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
	ret = load(dp, options, adopted, err);
	if (ret)
		return ret;
	if (*adopted) {
		ret = bf_arena_adopt(dp, err);
	} else {
		set_defaults(dp->control);
		ret = bf_arena_init(dp);
		if (!ret)
			ret = pin_maps(dp);
		if (ret)
			bf_err(err, ret, "cannot pin the maps under %s: %s", dp->pin_dir,
			       strerror(-ret));
	}
	return ret ? ret : start(dp, err);
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
	dp = calloc(1, sizeof(*dp));
	if (!dp)
		return bf_err(err, -ENOMEM, "out of memory");
	snprintf(dp->pin_dir, sizeof(dp->pin_dir), "%s", options->pin_dir);
	dp->lock_fd = dp->grace_inner = dp->grace_outer = -1;
	ret = lock(dp, err);
	if (!ret) {
		libbpf_said[0] = '\0';
		libbpf_set_print(keep_words);
		ret = open_locked(dp, options, &was_there, err);
	}
	if (ret) {
		bf_datapath_close(dp);
		return ret;
	}
	if (adopted)
		*adopted = was_there;
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
	if (dp->arena)
		munmap(dp->arena, dp->arena_map_bytes);
	pod_bpf__destroy(dp->skel);
	bf_grace_close(dp);
	if (dp->lock_fd >= 0)
		close(dp->lock_fd);
	free(dp);
}
