// SPDX-License-Identifier: Apache-2.0
/*
 * Names under the pin directory:
 *
 *   PIN_DIR/LAYOUT/maps/NAME           the maps
 *   PIN_DIR/LAYOUT/progs/{from,to}_ID  the programs now in use
 *   PIN_DIR/LAYOUT/links/IFINDEX_{from,to}  TCX links
 *   PIN_DIR/LAYOUT/build/HASH/         a directory: whose programs these are
 *   PIN_DIR/qdisc/IFINDEX/             a directory: the clsact qdisc there was made by us
 */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#define BPFFS "/sys/fs/bpf"

bool bf_pins_on_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

int bf_pins_prepare(const char *pin_dir, struct bf_error *err)
{
	char parent[BF_PATH];
	size_t len = strlen(pin_dir);
	char *slash;

	if (pin_dir[0] != '/' || len < 2 || pin_dir[len - 1] == '/')
		return bf_err(err, -EINVAL,
			      "the pin directory '%s' must be an absolute path without a slash at "
			      "its end, such as " BPFFS "/bpfast",
			      pin_dir);
	if (len >= BF_PATH / 2)
		return bf_err(err, -ENAMETOOLONG,
			      "the pin directory's name is longer than %d bytes", BF_PATH / 2 - 1);
	memcpy(parent, pin_dir, len + 1);
	slash = strrchr(parent, '/');
	*(slash == parent ? slash + 1 : slash) = '\0';

	if (strncmp(pin_dir, BPFFS "/", strlen(BPFFS "/")) == 0 && !bf_pins_on_bpffs(BPFFS) &&
	    mount("bpf", BPFFS, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=0700") < 0)
		return bf_err(err, -errno,
			      "no BPF file system is mounted at " BPFFS ", and mounting one failed "
			      "(%s); run: mount -t bpf bpf " BPFFS,
			      strerror(errno));
	if (access(parent, F_OK) < 0)
		return bf_err(err, -errno, "the directory %s, where %s shall lie: %s", parent,
			      pin_dir, strerror(errno));
	if (!bf_pins_on_bpffs(parent))
		return bf_err(err, -EINVAL,
			      "the pin directory %s does not lie on a BPF file system; use one "
			      "below " BPFFS ", such as " BPFFS "/bpfast",
			      pin_dir);
	if (mkdir(pin_dir, 0700) < 0 && errno != EEXIST)
		return bf_err(err, -errno, "cannot make the pin directory %s: %s", pin_dir,
			      strerror(errno));
	if (!bf_pins_on_bpffs(pin_dir))
		return bf_err(err, -EINVAL, "the pin directory %s is not on a BPF file system",
			      pin_dir);
	return 0;
}

int bf_pins_path(char *out, const char *pin_dir, const char *layout, const char *sub,
		 const char *name)
{
	int n = snprintf(out, BF_PATH, "%s/%s%s%s%s%s", pin_dir, layout, sub ? "/" : "",
			 sub ? sub : "", name ? "/" : "", name ? name : "");

	return n < 0 || n >= BF_PATH ? -ENAMETOOLONG : 0;
}

int bf_pins_open(const char *pin_dir, const char *layout, const char *sub, const char *name)
{
	char path[BF_PATH];
	int fd, ret = bf_pins_path(path, pin_dir, layout, sub, name);

	if (ret)
		return ret;
	fd = bpf_obj_get(path);
	return fd < 0 ? -errno : fd;
}

int bf_pins_put(int fd, const char *pin_dir, const char *layout, const char *sub, const char *name)
{
	char path[BF_PATH];
	int ret = bf_pins_path(path, pin_dir, layout, sub, name);

	if (!ret && bpf_obj_pin(fd, path) < 0)
		ret = -errno;
	return ret;
}

int bf_pins_begin(const char *pin_dir, const char *as)
{
	static const char *const sub[] = {NULL, "maps", "progs", "links"};
	char path[BF_PATH];
	int ret = bf_pins_path(path, pin_dir, as, NULL, NULL);

	if (!ret)
		ret = bf_pins_remove(path);
	for (size_t i = 0; !ret && i < sizeof(sub) / sizeof(sub[0]); i++) {
		ret = bf_pins_path(path, pin_dir, as, sub[i], NULL);
		if (!ret && mkdir(path, 0700) < 0)
			ret = -errno;
	}
	return ret;
}

int bf_pins_finish(const char *pin_dir, const char *as, const char *layout)
{
	char path[BF_PATH], to[BF_PATH];
	int ret = bf_pins_path(path, pin_dir, as, NULL, NULL);

	if (!ret)
		ret = bf_pins_path(to, pin_dir, layout, NULL, NULL);
	if (!ret && rename(path, to) < 0)
		ret = -errno;
	return ret;
}

int bf_pins_each(const char *dir, int (*fn)(void *arg, const char *dir, const char *name),
		 void *arg)
{
	struct dirent **entries;
	int n, ret = 0;

	/* The whole list first: fn may remove what it is shown. */
	n = scandir(dir, &entries, NULL, alphasort);
	if (n < 0)
		return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
	for (int i = 0; i < n; i++) {
		const char *name = entries[i]->d_name;

		if (!ret && strcmp(name, ".") && strcmp(name, ".."))
			ret = fn(arg, dir, name);
		free(entries[i]);
	}
	free(entries);
	return ret;
}

static int remove_one(void *arg, const char *dir, const char *name)
{
	char path[BF_PATH];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);

	(void)arg;
	if (n < 0 || n >= (int)sizeof(path))
		return -ENAMETOOLONG;
	if (unlink(path) == 0 || errno == ENOENT)
		return 0;
	return bf_pins_remove(path);
}

int bf_pins_remove(const char *dir)
{
	int ret = bf_pins_each(dir, remove_one, NULL);

	if (ret)
		return ret;
	return rmdir(dir) < 0 && errno != ENOENT ? -errno : 0;
}

struct kept {
	const uint32_t *id;
	size_t n;
};

static int unpin_other(void *arg, const char *dir, const char *name)
{
	const struct kept *k = arg;
	const char *id = strchr(name, '_');
	uint32_t n = id ? (uint32_t)strtoul(id + 1, NULL, 10) : 0;
	char path[BF_PATH];

	for (size_t i = 0; i < k->n; i++)
		if (n == k->id[i])
			return 0;
	if (snprintf(path, sizeof(path), "%s/%s", dir, name) < (int)sizeof(path))
		unlink(path);
	return 0;
}

void bf_pins_keep_progs(const char *pin_dir, const char *layout, const uint32_t *id, size_t n)
{
	struct kept k = {id, n};
	char path[BF_PATH];

	if (!bf_pins_path(path, pin_dir, layout, "progs", NULL))
		bf_pins_each(path, unpin_other, &k);
}

/* What is_* below look for among the pins. */
struct wanted {
	uint32_t prog_id;
	uint32_t map_ids[64]; /* of the maps that the program uses */
	uint32_t maps;
};

static int pin_open(const char *dir, const char *name)
{
	char path[BF_PATH];
	int n = snprintf(path, sizeof(path), "%s/%s", dir, name);

	return n < 0 || n >= (int)sizeof(path) ? -ENAMETOOLONG : bpf_obj_get(path);
}

static int is_prog(void *arg, const char *dir, const char *name)
{
	const struct wanted *w = arg;
	int fd = pin_open(dir, name);
	uint32_t id;

	if (fd < 0)
		return 0;
	id = bf_prog_id(fd);
	close(fd);
	return id == w->prog_id;
}

static int is_map(void *arg, const char *dir, const char *name)
{
	const struct wanted *w = arg;
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info);
	int fd = pin_open(dir, name);

	if (fd < 0)
		return 0;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) < 0)
		info.id = 0;
	close(fd);
	for (uint32_t i = 0; i < w->maps; i++)
		if (info.id && w->map_ids[i] == info.id)
			return 1;
	return 0;
}

static int is_prog_of_layout(void *arg, const char *pin_dir, const char *layout)
{
	char path[BF_PATH];

	return bf_pins_path(path, pin_dir, layout, "progs", NULL)
		       ? 0
		       : bf_pins_each(path, is_prog, arg);
}

static int is_map_of_layout(void *arg, const char *pin_dir, const char *layout)
{
	char path[BF_PATH];

	return bf_pins_path(path, pin_dir, layout, "maps", NULL) ? 0
								 : bf_pins_each(path, is_map, arg);
}

/* The numbers of the maps that a program uses; needs CAP_SYS_ADMIN. */
static void read_map_ids(struct wanted *w)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(w->prog_id);

	if (fd < 0)
		return;
	info.nr_map_ids = sizeof(w->map_ids) / sizeof(w->map_ids[0]);
	info.map_ids = (uint64_t)(uintptr_t)w->map_ids;
	if (bpf_obj_get_info_by_fd(fd, &info, &len) == 0 &&
	    info.nr_map_ids <= sizeof(w->map_ids) / sizeof(w->map_ids[0]))
		w->maps = info.nr_map_ids;
	close(fd);
}

bool bf_pins_own_prog(const char *pin_dir, uint32_t prog_id)
{
	struct wanted w = {.prog_id = prog_id};

	if (!prog_id)
		return false;
	if (bf_pins_each(pin_dir, is_prog_of_layout, &w) == 1)
		return true;
	/* Its pin may be lost; a program that uses a map of ours is ours all the same. */
	read_map_ids(&w);
	return w.maps && bf_pins_each(pin_dir, is_map_of_layout, &w) == 1;
}
