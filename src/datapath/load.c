// SPDX-License-Identifier: Apache-2.0
/* Maps and programs: from the object, or from the pins of an earlier agent. */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bpfast/image.h"
#include "datapath/note.h"
#include "pod.skel.h"

/* Raise it when something in a map gets another meaning under the same name and size. */
#define LAYOUT_VERSION 1

#define ARENA_MIN (64u << 10)
#define ARENA_MAX (1u << 30)
#define FLOWS_MAX (16u << 20)
#define CHUNKS_MIN BPFAST_ENDPOINT_SHARE
#define CHUNKS_MAX (4u << 20)

const char *const bf_map_name[BF_MAPS] = {
	[BF_MAP_ARENA] = "bpfast_arena",     [BF_MAP_CONTROL] = "bpfast_control",
	[BF_MAP_ENDP] = "bpfast_endp",	     [BF_MAP_FLOW] = "bpfast_flow",
	[BF_MAP_FRAG] = "bpfast_frag",	     [BF_MAP_EVENTS] = "bpfast_events",
	[BF_MAP_METRICS] = "bpfast_metrics", [BF_MAP_SWEEP] = "bpfast_sweep",
	[BF_MAP_CHUNK] = "bpfast_chunk",     [BF_MAP_FREE] = "bpfast_free",
	[BF_MAP_POOL] = "bpfast_pool",	     [BF_MAP_HELD] = "bpfast_held",
	[BF_MAP_QUOTA] = "bpfast_quota",     [BF_MAP_VOUCH] = "bpfast_vouch",
};

const char *const bf_prog_pin[BF_DIRS] = {"from", "to"};

static struct bpf_map *skel_map(struct pod_bpf *skel, enum bf_map m)
{
	return bpf_object__find_map_by_name(skel->obj, bf_map_name[m]);
}

/* --- the layout --- */

static uint32_t mix_text(uint32_t h, const char *s)
{
	while (*s)
		h = bf_hash_mix(h, (uint8_t)*s++);
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
	h = bf_hash_mix(h, btf_kind(t));
	if (btf_is_array(t))
		return mix_type(bf_hash_mix(h, btf_array(t)->nelems), btf, btf_array(t)->type,
				depth + 1);
	if (btf_is_int(t) || btf_is_any_enum(t) || btf_is_composite(t))
		h = bf_hash_mix(h, t->size);
	if (!btf_is_composite(t))
		return h;
	/* The kernel's own types are opaque here. */
	if (strncmp(btf__name_by_offset(btf, t->name_off), "bpf_", 4) == 0)
		return h;
	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];

		h = mix_text(bf_hash_mix(h, m->offset), btf__name_by_offset(btf, m->name_off));
		h = mix_type(h, btf, m->type, depth + 1);
	}
	return h;
}

static void layout_name(struct bf_datapath *dp, struct pod_bpf *skel)
{
	const struct btf *btf = bpf_object__btf(skel->obj);
	uint32_t h = BF_HASH_FIRST;

	for (int m = 0; m < BF_MAPS; m++) {
		struct bpf_map *map = skel_map(skel, m);

		h = bf_hash_mix(h, bpf_map__type(map));
		h = bf_hash_mix(h, bpf_map__map_flags(map));
		h = bf_hash_mix(h, bpf_map__key_size(map));
		if (m != BF_MAP_ARENA) /* the user chooses its size */
			h = bf_hash_mix(h, bpf_map__value_size(map));
		h = mix_type(h, btf, bpf_map__btf_key_type_id(map), 0);
		h = mix_type(h, btf, bpf_map__btf_value_type_id(map), 0);
	}
	h = bf_hash_mix(h, BPFAST_IMAGE_VERSION);
	h = bf_hash_mix(h, sizeof(struct bpfast_image));
	h = bf_hash_mix(h, sizeof(struct bpfast_image_ruleset));
	h = bf_hash_mix(h, BPFAST_R_COUNT);
	h = bf_hash_mix(h, BPFAST_FLOW_MEANING);
	h = bf_hash_mix(h, BPFAST_STREAM_MEANING);
	snprintf(dp->layout, sizeof(dp->layout), "v%d-%08x", LAYOUT_VERSION, h);
}

/* What another version has to know of ours, to carry flows over. */
static int make_note(struct bf_datapath *dp, struct pod_bpf *skel)
{
	const struct bf_note note = {
		.flow_meaning = BPFAST_FLOW_MEANING,
		.stream_meaning = BPFAST_STREAM_MEANING,
		.endpoint = bpf_map__btf_value_type_id(skel->maps.bpfast_endp),
		.flow_key = bpf_map__btf_key_type_id(skel->maps.bpfast_flow),
		.flow = bpf_map__btf_value_type_id(skel->maps.bpfast_flow),
		.chunk = bpf_map__btf_value_type_id(skel->maps.bpfast_chunk),
	};
	struct bf_blob blob;
	int ret = bf_note_make(&blob, bpf_object__btf(skel->obj), &note);

	if (ret)
		return ret;
	free(dp->note);
	dp->note = blob.data;
	dp->note_bytes = blob.size;
	return 0;
}

void bf_build_name(const uint8_t *elf, size_t size, char *out, size_t out_size)
{
	uint64_t h = 14695981039346656037u;

	/* FNV-1a, 64 bits. */
	for (size_t i = 0; i < size; i++)
		h = (h ^ elf[i]) * 1099511628211u;
	snprintf(out, out_size, "%016llx", (unsigned long long)h);
}

/* Programs of the same build need no second verification. */
static void build_name(struct bf_datapath *dp)
{
	size_t size;
	const uint8_t *elf = pod_bpf__elf_bytes(&size);

	bf_build_name(elf, size, dp->build, sizeof(dp->build));
}

/* --- maps --- */

/* Takes the pinned maps; -ENOENT: there are none. -EUCLEAN: not all, or not ours. */
static int reuse_maps(struct bf_datapath *dp, struct pod_bpf *skel)
{
	char path[BF_PATH];
	int ret = bf_pins_path(path, dp->pin_dir, dp->layout, NULL, NULL);

	if (ret)
		return ret;
	if (access(path, F_OK) < 0)
		return -ENOENT;
	for (int m = 0; m < BF_MAPS; m++) {
		struct bpf_map *map = skel_map(skel, m);
		struct bpf_map_info info = {0};
		uint32_t len = sizeof(info);

		dp->map[m] = bf_pins_open(dp->pin_dir, dp->layout, "maps", bf_map_name[m]);
		if (dp->map[m] < 0)
			return dp->map[m] == -ENOENT ? -EUCLEAN : dp->map[m];
		ret = bpf_obj_get_info_by_fd(dp->map[m], &info, &len) < 0 ? -errno : 0;
		if (!ret &&
		    (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
		     (m != BF_MAP_ARENA && info.value_size != bpf_map__value_size(map))))
			ret = -EUCLEAN;
		if (!ret && m == BF_MAP_ARENA)
			dp->arena_bytes = info.value_size - BPFAST_ARENA_GUARD;
		if (!ret && m == BF_MAP_FLOW)
			dp->flows_max = info.max_entries;
		if (!ret && m == BF_MAP_CHUNK)
			dp->chunks_max = info.max_entries;
		if (!ret && bpf_map__reuse_fd(map, dp->map[m]) < 0)
			ret = -errno;
		if (ret)
			return ret;
	}
	return 0;
}

static int size_maps(struct bf_datapath *dp, struct pod_bpf *skel,
		     const struct bf_datapath_options *options, struct bf_error *err)
{
	uint32_t arena = options->arena_bytes ? options->arena_bytes : BPFAST_ARENA_DEFAULT;
	uint32_t flows = options->flows ? options->flows : BPFAST_FLOWS_DEFAULT;
	uint32_t chunks = options->chunks ? options->chunks : BPFAST_CHUNKS_DEFAULT;

	if (arena < ARENA_MIN || arena > ARENA_MAX || arena & (arena - 1))
		return bf_err(err, -EINVAL,
			      "arena_bytes is %u; it must be a power of two from %u to %u", arena,
			      ARENA_MIN, ARENA_MAX);
	if (flows > FLOWS_MAX)
		return bf_err(err, -EINVAL, "flows is %u; the most is %u", flows, FLOWS_MAX);
	dp->arena_bytes = arena;
	if (chunks < CHUNKS_MIN || chunks > CHUNKS_MAX)
		return bf_err(err, -EINVAL, "chunks is %u; it must be from %u to %u", chunks,
			      CHUNKS_MIN, CHUNKS_MAX);
	dp->flows_max = flows;
	dp->chunks_max = chunks;
	if (bpf_map__set_value_size(skel_map(skel, BF_MAP_ARENA), arena + BPFAST_ARENA_GUARD) < 0 ||
	    bpf_map__set_max_entries(skel_map(skel, BF_MAP_FLOW), flows) < 0 ||
	    bpf_map__set_max_entries(skel_map(skel, BF_MAP_CHUNK), chunks) < 0 ||
	    bpf_map__set_max_entries(skel_map(skel, BF_MAP_FREE), chunks) < 0)
		return bf_err(err, -errno, "cannot size the maps: %s", strerror(errno));
	return 0;
}

/* --- programs --- */

/* The pinned program of each hook, when there is exactly one. */
struct pinned_progs {
	char name[BF_DIRS][32];
	int n[BF_DIRS];
};

static int find_prog(void *arg, const char *dir, const char *name)
{
	struct pinned_progs *p = arg;

	(void)dir;
	for (int d = 0; d < BF_DIRS; d++) {
		size_t len = strlen(bf_prog_pin[d]);

		if (strncmp(name, bf_prog_pin[d], len) == 0 && name[len] == '_') {
			snprintf(p->name[d], sizeof(p->name[d]), "%s", name);
			p->n[d]++;
		}
	}
	return 0;
}

/* Takes the pinned programs, if they are of our build and in use everywhere. */
static bool reuse_progs(struct bf_datapath *dp)
{
	struct pinned_progs p = {0};
	char path[BF_PATH];

	if (bf_pins_path(path, dp->pin_dir, dp->layout, BF_BUILD_DIR, dp->build) ||
	    access(path, F_OK) < 0 || bf_pins_path(path, dp->pin_dir, dp->layout, "progs", NULL) ||
	    bf_pins_each(path, find_prog, &p))
		return false;
	for (int d = 0; d < BF_DIRS; d++) {
		if (p.n[d] != 1)
			return false;
		dp->prog[d] = bf_pins_open(dp->pin_dir, dp->layout, "progs", p.name[d]);
		if (dp->prog[d] < 0)
			return false;
	}
	return true;
}

static int load_progs(struct bf_datapath *dp, struct pod_bpf *skel, struct bf_error *err)
{
	int ret;

	skel->rodata->bpfast_arena_mask = dp->arena_bytes - 1;
	ret = pod_bpf__load(skel);
	if (ret == -EPERM)
		return bf_err(
			err, ret,
			"the kernel refused the BPF programs: %s; are CAP_BPF, CAP_PERFMON and "
			"CAP_NET_ADMIN there? (%s)",
			strerror(-ret), bf_words_of_libbpf());
	if (ret)
		return bf_err(err, ret, "the kernel refused the BPF programs: %s (%s%s%s)",
			      strerror(-ret), bf_words_of_libbpf(),
			      *bf_words_of_verifier() ? ": " : "", bf_words_of_verifier());
	for (int m = 0; !ret && m < BF_MAPS; m++)
		ret = bf_keep_fd(&dp->map[m], bpf_map__fd(skel_map(skel, m)));
	if (!ret)
		ret = bf_keep_fd(&dp->prog[BF_FROM_POD],
				 bpf_program__fd(skel->progs.bpfast_from_pod));
	if (!ret)
		ret = bf_keep_fd(&dp->prog[BF_TO_POD], bpf_program__fd(skel->progs.bpfast_to_pod));
	return ret ? bf_err(err, ret, "cannot keep the maps: %s", strerror(-ret)) : 0;
}

/* --- both --- */

/* Half of it is gone. What still runs goes on until it is attached anew. */
static int set_aside(struct bf_datapath *dp, struct bf_error *err)
{
	char path[BF_PATH], aside[BF_PATH], name[32];

	for (int m = 0; m < BF_MAPS; m++) {
		if (dp->map[m] >= 0)
			close(dp->map[m]);
		dp->map[m] = -1;
	}
	snprintf(name, sizeof(name), "damaged-%d", getpid());
	if (bf_pins_path(path, dp->pin_dir, dp->layout, NULL, NULL) ||
	    bf_pins_path(aside, dp->pin_dir, name, NULL, NULL))
		return bf_err(err, -ENAMETOOLONG, "the pin directory's name is too long");
	if (rename(path, aside) < 0)
		return bf_err(err, -errno, "cannot set aside %s: %s", path, strerror(errno));
	return 0;
}

static int load(struct bf_datapath *dp, struct pod_bpf **skel,
		const struct bf_datapath_options *options, bool *adopted, struct bf_error *err)
{
	int ret;

	layout_name(dp, *skel);
	build_name(dp);
	ret = make_note(dp, *skel);
	if (ret)
		return bf_err(err, ret, "cannot describe the maps: %s", strerror(-ret));
	/* Without a pin directory there is nothing to take over. */
	ret = *dp->pin_dir ? reuse_maps(dp, *skel) : -ENOENT;
	*adopted = ret == 0;
	if (ret == -EUCLEAN) {
		ret = set_aside(dp, err);
		if (ret)
			return ret;
		/* Some of its maps may stand for pinned ones already. */
		pod_bpf__destroy(*skel);
		*skel = pod_bpf__open();
		if (!*skel)
			return bf_err(err, -errno, "cannot open the BPF object: %s",
				      bf_words_of_libbpf());
	} else if (ret && ret != -ENOENT) {
		return bf_err(err, ret, "cannot use the maps pinned under %s/%s: %s", dp->pin_dir,
			      dp->layout, strerror(-ret));
	}
	if (*adopted) {
		dp->same_build = reuse_progs(dp);
		if (dp->same_build)
			return 0;
	} else {
		ret = size_maps(dp, *skel, options, err);
		if (ret)
			return ret;
	}
	return load_progs(dp, *skel, err);
}

int bf_load(struct bf_datapath *dp, const struct bf_datapath_options *options, bool *adopted,
	    struct bf_error *err)
{
	struct pod_bpf *skel;
	int ret;

	bf_words_listen();
	skel = pod_bpf__open();
	if (!skel)
		return bf_err(err, -errno, "cannot open the BPF object: %s", bf_words_of_libbpf());
	ret = load(dp, &skel, options, adopted, err);
	pod_bpf__destroy(skel);
	for (int d = 0; !ret && d < BF_DIRS; d++) {
		dp->prog_id[d] = bf_prog_id(dp->prog[d]);
		if (!dp->prog_id[d])
			ret = bf_err(err, -EIO, "the kernel does not tell a program's number");
	}
	return ret;
}
