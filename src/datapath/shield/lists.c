// SPDX-License-Identifier: Apache-2.0
/* List images: a map each, of the size that it needs, put into force by one pointer. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "datapath/shield/internal.h"

static int pin_path(const struct bf_shield *s, int which, const char *tail, char *path)
{
	char name[32];

	snprintf(name, sizeof(name), "list_%d%s", which, tail);
	return bf_pins_path(path, s->hooks.pin_dir, s->hooks.layout, "maps", name);
}

static void drop(struct bf_shield *s, int which)
{
	if (s->list[which])
		munmap(s->list[which], s->list_len[which]);
	if (s->list_fd[which] >= 0)
		close(s->list_fd[which]);
	s->list[which] = NULL;
	s->list_fd[which] = -1;
	s->list_len[which] = 0;
}

/* Takes fd, whose map has len bytes. */
static int keep(struct bf_shield *s, int which, int fd, size_t len)
{
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (p == MAP_FAILED) {
		int ret = -errno;

		close(fd);
		return ret;
	}
	s->list_fd[which] = fd;
	s->list[which] = p;
	s->list_len[which] = len;
	return 0;
}

static int point(struct bf_shield *s, uint32_t which, int fd)
{
	int ret = fd >= 0 ? bpf_map_update_elem(s->map[BF_SHIELD_MAP_LIST], &which, &fd, BPF_ANY)
			  : bpf_map_delete_elem(s->map[BF_SHIELD_MAP_LIST], &which);

	return ret < 0 && errno != ENOENT ? -errno : 0;
}

/* Pinned under its name in one step: what is pinned is what the next agent puts into force. */
static int pin(const struct bf_shield *s, int which, int fd)
{
	char path[BF_PATH], fresh[BF_PATH];
	int ret;

	if (!*s->hooks.pin_dir)
		return 0;
	ret = pin_path(s, which, "", path);
	if (!ret)
		ret = pin_path(s, which, "_new", fresh);
	if (ret)
		return ret;
	if (fd < 0)
		return unlink(path) < 0 && errno != ENOENT ? -errno : 0;
	unlink(fresh);
	if (bpf_obj_pin(fd, fresh) < 0)
		return -errno;
	return rename(fresh, path) < 0 ? -errno : 0;
}

int bf_shield_install(struct bf_shield *s, enum bpfast_shield_image which, const void *image,
		      size_t len, struct bf_error *err)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP);
	struct bf_shield fresh = {.list_fd = {-1, -1}};
	int fd, ret;

	if (!len) {
		ret = pin(s, which, -1);
		if (!ret)
			ret = point(s, which, -1);
		if (ret)
			return bf_err(err, ret, "cannot take the list out of force: %s",
				      strerror(-ret));
		drop(s, which);
		return 0;
	}
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "bpfast_shimg", sizeof(uint32_t),
			    BPFAST_SHIELD_LINE, (uint32_t)(len / BPFAST_SHIELD_LINE), &opts);
	if (fd < 0)
		return bf_err(
			err, -errno,
			"the kernel gives no %zu MiB for the list: %s; what was in force stays",
			(len >> 20) + 1, strerror(errno));
	ret = keep(&fresh, which, fd, len);
	if (ret)
		return bf_err(err, ret, "cannot map the list: %s", strerror(-ret));
	memcpy(fresh.list[which], image, len);
	ret = pin(s, which, fd);
	if (!ret) {
		ret = point(s, which, fd);
		if (ret) /* what stays in force stays pinned too */
			pin(s, which, s->list_fd[which]);
	}
	if (ret) {
		drop(&fresh, which);
		return bf_err(err, ret, "cannot put the list into force: %s", strerror(-ret));
	}
	drop(s, which);
	s->list_fd[which] = fresh.list_fd[which];
	s->list[which] = fresh.list[which];
	s->list_len[which] = fresh.list_len[which];
	return 0;
}

const void *bf_shield_image(struct bf_shield *s, enum bpfast_shield_image which, size_t *len)
{
	*len = s->list_len[which];
	return s->list[which];
}

int bf_shield_lists_adopt(struct bf_shield *s, struct bf_error *err)
{
	for (int which = 0; which < BPFAST_SI_COUNT; which++) {
		struct bpf_map_info info = {0};
		uint32_t size = sizeof(info);
		char path[BF_PATH];
		int fd, ret = pin_path(s, which, "", path);

		if (s->list_fd[which] >= 0)
			continue;
		fd = ret ? -1 : bpf_obj_get(path);
		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &size) < 0) {
			ret = -errno;
			close(fd);
		} else {
			ret = keep(s, which, fd, (size_t)info.max_entries * BPFAST_SHIELD_LINE);
		}
		/* An agent may have died between pinning it and putting it into force. */
		if (!ret)
			ret = point(s, (uint32_t)which, fd);
		if (ret)
			return bf_err(err, ret, "cannot use the list at %s: %s", path,
				      strerror(-ret));
	}
	return 0;
}

void bf_shield_lists_close(struct bf_shield *s)
{
	for (int which = 0; which < BPFAST_SI_COUNT; which++)
		drop(s, which);
}
