// SPDX-License-Identifier: Apache-2.0
#include "cni/spool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DIRECTORY "cni-deleted"

/* -EPERM: somebody else could put things there. */
static int owned(int fd, const char *path, struct bf_error *err)
{
	struct stat st;

	if (fstat(fd, &st))
		return bf_err(err, -errno, "cannot look at %s: %s", path, strerror(errno));
	if ((st.st_uid != geteuid() && st.st_uid != 0) || st.st_mode & (S_IWGRP | S_IWOTH))
		return bf_err(err, -EPERM,
			      "%.300s belongs to somebody else or others may write there", path);
	return 0;
}

static int open_rundir(const char *run_dir, struct bf_error *err)
{
	int fd = open(run_dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), r;

	if (fd < 0 && errno == ENOENT)
		return bf_err(err, -ENOENT, "no agent runs in %.300s: there is no such directory",
			      run_dir);
	if (fd < 0)
		return bf_err(err, -errno, "cannot use the run directory %.300s: %s", run_dir,
			      strerror(errno));
	r = owned(fd, run_dir, err);
	if (r)
		close(fd);
	return r ? r : fd;
}

int bf_cni_rundir_check(const char *run_dir, struct bf_error *err)
{
	int fd = open_rundir(run_dir, err);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static int write_file(int dir, const char *text, size_t len)
{
	char hidden[80], name[64];
	struct timespec now;
	int fd, r = 0;

	clock_gettime(CLOCK_REALTIME, &now);
	snprintf(name, sizeof(name), "%lld.%09ld-%d", (long long)now.tv_sec, now.tv_nsec,
		 (int)getpid());
	snprintf(hidden, sizeof(hidden), ".%s", name);
	fd = openat(dir, hidden, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	if (write(fd, text, len) != (ssize_t)len)
		r = errno ? -errno : -EIO;
	if (close(fd) && !r)
		r = -errno;
	/* Whole, or not at all. */
	if (!r && renameat(dir, hidden, dir, name))
		r = -errno;
	if (r)
		unlinkat(dir, hidden, 0);
	return r;
}

int bf_cni_spool_put(const char *run_dir, const json_t *deleted, struct bf_error *err)
{
	int run = open_rundir(run_dir, err), dir, r;
	char *text;

	if (run < 0)
		return run;
	if (mkdirat(run, DIRECTORY, 0700) && errno != EEXIST) {
		r = -errno;
		close(run);
		return bf_err(err, r, "cannot make %.300s/" DIRECTORY ": %s", run_dir,
			      strerror(-r));
	}
	dir = openat(run, DIRECTORY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	r = dir < 0 ? -errno : owned(dir, DIRECTORY, err);
	close(run);
	text = json_dumps(deleted, JSON_COMPACT);
	if (!r)
		r = text ? write_file(dir, text, strlen(text)) : -ENOMEM;
	free(text);
	if (dir >= 0)
		close(dir);
	return r ? bf_err(err, r, "cannot write into %.300s/" DIRECTORY ": %s", run_dir,
			  strerror(-r))
		 : 0;
}
