// SPDX-License-Identifier: Apache-2.0
/*
 * The run directory belongs to one agent: it is locked by flock() on the
 * directory itself, so that two agents never share it, however it is named. The
 * datapath does the same with the pin directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"

static int lock(int fd, const char *dir, struct bf_error *err)
{
	if (!flock(fd, LOCK_EX | LOCK_NB))
		return 0;
	if (errno == EWOULDBLOCK)
		return bf_err(err, -EBUSY,
			      "another agent runs with %s; end it first, or give this one another "
			      "--run-dir, --pin-dir and --metrics-listen",
			      dir);
	return bf_err(err, -errno, "cannot lock %s: %s", dir, strerror(errno));
}

static int group_of(const char *name, gid_t *gid, struct bf_error *err)
{
	struct group *g = getgrnam(name);

	if (!g)
		return bf_err(err, -EINVAL, "socket-group: there is no group %s", name);
	*gid = g->gr_gid;
	return 0;
}

int bf_rundir_open(struct bf_agent *a, struct bf_error *err)
{
	const char *dir = a->config.run_dir;
	struct stat st;
	gid_t gid = 0;
	int r;

	if (a->config.socket_group && (r = group_of(a->config.socket_group, &gid, err)))
		return r;
	if (mkdir(dir, 0700) && errno != EEXIST)
		return bf_err(err, -errno, "cannot make the run directory %s: %s", dir,
			      strerror(errno));
	a->run_fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (a->run_fd < 0 || fstat(a->run_fd, &st))
		return bf_err(err, -errno, "cannot use the run directory %s: %s", dir,
			      errno == ELOOP ? "it is a symbolic link" : strerror(errno));
	if (st.st_uid != geteuid() || st.st_mode & (S_IWGRP | S_IWOTH))
		return bf_err(err, -EPERM,
			      "the run directory %s belongs to somebody else or others may write "
			      "there; remove it, or chown and chmod 0700 it",
			      dir);
	r = lock(a->run_fd, dir, err);
	if (r)
		return r;
	if (fchown(a->run_fd, (uid_t)-1, gid) ||
	    fchmod(a->run_fd, a->config.socket_group ? 0750 : 0700))
		return bf_err(err, -errno, "cannot set owner and mode of %s: %s", dir,
			      strerror(errno));
	return 0;
}

static int write_all(int fd, const char *text, size_t len)
{
	ssize_t n;

	while (len) {
		n = write(fd, text, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		text += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Beside and renamed, so that it is always whole. */
int bf_rundir_write(const struct bf_agent *a, const char *name, const char *text, size_t len)
{
	char fresh[64];
	int fd, r;

	snprintf(fresh, sizeof(fresh), "%s.new", name);
	unlinkat(a->run_fd, fresh, 0);
	fd = openat(a->run_fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : write_all(fd, text, len);
	if (fd >= 0 && close(fd) && !r)
		r = -errno;
	if (!r && renameat(a->run_fd, fresh, a->run_fd, name))
		r = -errno;
	if (r)
		unlinkat(a->run_fd, fresh, 0);
	return r;
}
