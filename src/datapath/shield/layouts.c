// SPDX-License-Identifier: Apache-2.0
/*
 * Tables of another version under the same pin directory. Limits and devices stand at the same
 * place in every version's control block, and list images say their version: these are taken over, and
 * the hooks are moved one by one. What is known of connections is not: it is learned again.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "datapath/shield/internal.h"

/* What all versions have; what stands behind it is of the tables that are left behind. */
#define COMMON offsetof(struct bpfast_shield_control, attacked)

static bool is_other(const struct bf_shield *s, const char *name)
{
	return strcmp(name, s->hooks.layout) && strcmp(name, BF_SHIELD_UNFINISHED) &&
	       strcmp(name, BF_QDISC_DIR);
}

static int open_map(const char *dir, const char *layout, const char *name,
		    struct bpf_map_info *info)
{
	uint32_t len = sizeof(*info);
	int fd = bf_pins_open(dir, layout, "maps", name);

	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, info, &len) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

/* --- limits and devices --- */

static int read_layout(void *arg, const char *dir, const char *name)
{
	struct bf_shield *s = arg;
	struct bpf_map_info info = {0};
	uint32_t zero = 0;
	uint8_t *value;
	int fd;

	if (!is_other(s, name))
		return 0;
	fd = open_map(dir, name, "bpfast_shctl", &info);
	if (fd < 0)
		return 0;
	value = info.value_size >= COMMON ? malloc(info.value_size) : NULL;
	if (value && bpf_map_lookup_elem(fd, &zero, value) == 0)
		memcpy(s->control, value, COMMON);
	free(value);
	close(fd);
	return 1; /* there is but one, unless somebody else has put it there */
}

void bf_shield_layouts_read(struct bf_shield *s)
{
	bf_pins_each(s->hooks.pin_dir, read_layout, s);
}

/* --- lists --- */

/* The list of an earlier version in this one's form, and in force. */
static int renew_list(struct bf_shield *s, const void *old, size_t len, int which)
{
	uint8_t *image;
	size_t new_len;
	int ret = s->rewrite(old, len, s->control->seed, &image, &new_len);

	if (ret)
		return ret == -EINVAL ? -EEXIST : ret;
	ret = bf_shield_install(s, (enum bpfast_shield_image)which, image, new_len, NULL);
	free(image);
	return ret;
}

/* Takes the pin of a list that this version can read; of an earlier one it makes its own. */
static int take_list(struct bf_shield *s, const char *dir, const char *name, int which)
{
	const struct bpfast_shield_image_head *head;
	struct bpf_map_info info = {0};
	char list[16], from[BF_PATH], to[BF_PATH];
	size_t len;
	int fd, ret;

	snprintf(list, sizeof(list), "list_%d", which);
	fd = open_map(dir, name, list, &info);
	if (fd < 0)
		return 0;
	len = (size_t)info.max_entries * info.value_size;
	head = mmap(NULL, len, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	if (head == MAP_FAILED)
		return -errno;
	ret = bf_pins_path(from, dir, name, "maps", list);
	if (!ret)
		ret = bf_pins_path(to, dir, s->hooks.layout, "maps", list);
	if (ret || access(to, F_OK) == 0) {
		/* A newer one is there already. */
	} else if (info.value_size != BPFAST_SHIELD_LINE) {
		ret = -EEXIST;
	} else if (head->version != BPFAST_SHIELD_VERSION) {
		ret = renew_list(s, head, len, which);
	} else if (rename(from, to) < 0) {
		ret = -errno;
	}
	munmap((void *)head, len);
	return ret;
}

/* --- hooks --- */

static int move_device(struct bf_shield *s, const struct bpfast_shield_device *d, const char *dir,
		       const char *name)
{
	char file[32], from[BF_PATH], to[BF_PATH];
	int fd, ret;

	snprintf(file, sizeof(file), "%u_xdp", d->ifindex);
	ret = bf_pins_path(from, dir, name, "links", file);
	if (!ret)
		ret = bf_pins_path(to, dir, s->hooks.layout, "links", file);
	fd = ret ? -1 : bpf_obj_get(from);
	if (fd < 0)
		return ret; /* none, or its hooks are at TC: those are found by themselves */
	/* What goes out is learned by the new tables before the new program asks them. */
	ret = bf_shield_tc_ensure(s, d, NULL);
	if (!ret && bpf_link_update(fd, s->prog[BF_SHIELD_PROG_XDP], NULL) < 0 && errno != ENOLINK)
		ret = -errno;
	if (!ret && rename(from, to) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/*
 * The program in a dispatcher is moved by a command alone, and goes on with the tables that are left behind, which are
 * taught nothing any more: to them the device is not guarded, so that everything passes.
 */
static void release_shared(const struct bf_shield *s, const char *dir, const char *name)
{
	struct bpf_map_info info = {0};
	struct bpfast_shield_control *old;
	int fd = open_map(dir, name, "bpfast_shctl", &info);

	if (fd < 0)
		return;
	old = info.value_size < COMMON
		      ? MAP_FAILED
		      : mmap(NULL, info.value_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (old == MAP_FAILED)
		return;
	for (int i = 0; i < BPFAST_SHIELD_SLOTS; i++)
		if (s->control->device[i].ifindex && s->control->device[i].hook == BPFAST_SH_SHARED)
			__atomic_store_n((uint64_t *)&old->device[i], 0, __ATOMIC_RELEASE);
	munmap(old, info.value_size);
}

static int move_layout(void *arg, const char *dir, const char *name)
{
	struct bf_shield *s = arg;
	char path[BF_PATH];
	int ret = 0;

	if (!is_other(s, name))
		return 0;
	for (int which = 0; !ret && which < BPFAST_SI_COUNT; which++)
		ret = take_list(s, dir, name, which);
	/* Before a program of ours judges anything. */
	if (!ret)
		ret = bf_shield_lists_adopt(s, NULL);
	if (!ret)
		release_shared(s, dir, name);
	for (int i = 0; !ret && i < BPFAST_SHIELD_SLOTS; i++) {
		const struct bpfast_shield_device *d = &s->control->device[i];

		if (!d->ifindex)
			continue;
		ret = move_device(s, d, dir, name);
		if (!ret && bf_hooks_count(s->hooks.pin_dir, (int)d->ifindex) > 0)
			ret = bf_shield_tc_ensure(s, d, NULL);
	}
	if (!ret)
		ret = bf_pins_path(path, dir, name, NULL, NULL);
	return ret ? ret : bf_pins_remove(path);
}

int bf_shield_layouts_move(struct bf_shield *s, struct bf_error *err)
{
	int ret = bf_pins_each(s->hooks.pin_dir, move_layout, s);

	if (ret == -EEXIST)
		return bf_err(err, ret,
			      "%s holds lists of another version, which go on as they are; `bpfast "
			      "down` and a new attach begin anew",
			      s->hooks.pin_dir);
	return ret ? bf_err(err, ret, "cannot take over the tables of another version under %s: %s",
			    s->hooks.pin_dir, strerror(-ret))
		   : 0;
}
