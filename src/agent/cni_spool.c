// SPDX-License-Identifier: Apache-2.0
/*
 * RUN_DIR/cni-deleted: what the CNI plugin was told to delete while no agent answered, a file
 * each ({"id", "ifname", "network"}, the last two may be missing). The plugin writes it before it
 * says that it succeeded. It is read at the start, every few seconds, and before a container is
 * added: a runtime may use a container's name again as soon as its DEL has returned.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/log.h"

#define DIRECTORY "cni-deleted"
#define FILE_MAX 4096

/* NULL: unreadable, or not what the plugin writes. */
static json_t *read_one(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	char text[FILE_MAX];
	struct stat st;
	ssize_t n = -1;

	if (fd < 0)
		return NULL;
	if (!fstat(fd, &st) && S_ISREG(st.st_mode) && st.st_size < FILE_MAX)
		n = read(fd, text, sizeof(text));
	close(fd);
	return n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
}

static int forget(struct bf_agent *a, const json_t *o, struct bf_error *err)
{
	const char *id = json_string_value(json_object_get(o, "id"));

	if (!id)
		return bf_err(err, 0, "it names no container");
	return bf_cni_forget(a, json_string_value(json_object_get(o, "network")), id,
			     json_string_value(json_object_get(o, "ifname")), err);
}

size_t bf_cni_spool_take(struct bf_agent *a)
{
	int fd = openat(a->run_fd, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;
	struct bf_error err;
	struct dirent *d;
	size_t count = 0;
	struct stat st;
	json_t *o;
	DIR *dir;

	if (fd < 0)
		return 0;
	if (fstat(fd, &st) || st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH) ||
	    !(dir = fdopendir(fd))) {
		close(fd);
		return 0;
	}
	while ((d = readdir(dir)) != NULL) {
		if (d->d_name[0] == '.') /* not whole yet */
			continue;
		o = read_one(fd, d->d_name);
		r = forget(a, o, &err);
		json_decref(o);
		if (r < 0) { /* again, later */
			bf_log_warn("a deleted container is still there", "file", d->d_name, "why",
				    err.msg);
			continue;
		}
		if (!o)
			bf_log_warn("not understood, removed", "file", d->d_name);
		unlinkat(fd, d->d_name, 0);
		count += (size_t)r;
	}
	closedir(dir);
	return count;
}
