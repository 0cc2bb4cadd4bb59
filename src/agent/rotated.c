// SPDX-License-Identifier: Apache-2.0
#include "agent/rotated.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define NUMBER_MAX 12 /* bytes of ".N" behind a name */
/* For error: who else may write to the directory may be given the lines. No open() says it. */
#define UNSAFE_DIRECTORY EKEYREJECTED

/* A name that no file can have. */
static bool is_directory(const char *name)
{
	const char *last = strrchr(name, '/');

	last = last ? last + 1 : name;
	return !*last || !strcmp(last, ".") || !strcmp(last, "..");
}

int bf_rotated_init(struct bf_rotated *f, const char *dir, const char *name, uint64_t max_bytes,
		    unsigned int backups)
{
	size_t len = strlen(dir) + strlen(name) + 2;

	*f = (struct bf_rotated){.fd = -1, .max_bytes = max_bytes, .backups = backups};
	if (!*name || is_directory(name))
		return -EINVAL;
	f->path = malloc(len);
	if (!f->path)
		return -ENOMEM;
	if (*name == '/') {
		memcpy(f->path, name, strlen(name) + 1);
		return 0;
	}
	snprintf(f->path, len, "%s/%s", dir, name);
	/* Where it cannot be made, opening the file will say so. */
	mkdir(dir, 0750);
	return 0;
}

void bf_rotated_reopen(struct bf_rotated *f)
{
	if (f->path && f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

void bf_rotated_free(struct bf_rotated *f)
{
	bf_rotated_reopen(f);
	free(f->path);
	f->path = NULL;
}

void bf_rotated_check(struct bf_rotated *f)
{
	struct stat st;

	if (!f->path || f->fd < 0)
		return;
	if (stat(f->path, &st) || st.st_dev != f->dev || st.st_ino != f->ino)
		bf_rotated_reopen(f);
	else
		f->size = (uint64_t)st.st_size; /* who copies and truncates made it small */
}

/* As logrotate asks it, and that nobody else owns it. The sticky bit is no help: whoever makes
 * the file first owns it, and reads it. */
static bool is_safe(const struct stat *dir)
{
	return (!dir->st_uid || dir->st_uid == geteuid()) && !(dir->st_mode & S_IWOTH) &&
	       (!(dir->st_mode & S_IWGRP) || !dir->st_gid || dir->st_gid == getegid());
}

/* The directory of the file, or -errno. */
static int open_directory(const struct bf_rotated *f)
{
	size_t len = (size_t)(strrchr(f->path, '/') - f->path);
	char *path = len ? strndup(f->path, len) : strdup("/");
	struct stat st;
	int fd, r = 0;

	if (!path)
		return -ENOMEM;
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		r = -errno;
	else if (!is_safe(&st))
		r = -UNSAFE_DIRECTORY;
	free(path);
	if (r && fd >= 0)
		close(fd);
	return r ? r : fd;
}

static int open_file(struct bf_rotated *f)
{
	int dir = open_directory(f), fd, r;
	struct stat st;

	if (dir < 0)
		return dir;
	/* O_NONBLOCK: a pipe put there must not hang the agent. */
	fd = openat(dir, strrchr(f->path, '/') + 1,
		    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0640);
	r = fd < 0 ? -errno : 0;
	close(dir);
	if (r)
		return r;
	/* Two agents would rotate each other's lines away. */
	if (fstat(fd, &st) || (S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB)))
		r = -errno;
	else if (!S_ISREG(st.st_mode))
		r = -ENXIO;
	/* Whatever the umask took: who may read logs is the directory's to say. */
	else if (!st.st_size && fchmod(fd, 0640))
		r = -errno;
	if (r) {
		close(fd);
		return r;
	}
	f->fd = fd;
	f->size = (uint64_t)st.st_size;
	f->dev = st.st_dev;
	f->ino = st.st_ino;
	return 0;
}

static int move(const struct bf_rotated *f, char *from, char *to, size_t room, unsigned int n)
{
	if (n)
		snprintf(from, room, "%s.%u", f->path, n);
	else
		snprintf(from, room, "%s", f->path);
	snprintf(to, room, "%s.%u", f->path, n + 1);
	return rename(from, to) && errno != ENOENT ? -errno : 0;
}

/* The oldest goes, the others move on by one. */
static int rotate(struct bf_rotated *f)
{
	size_t room = strlen(f->path) + NUMBER_MAX;
	char *from = malloc(room * 2);
	unsigned int n;
	int r = 0;

	if (!from)
		return -ENOMEM;
	if (!f->backups)
		r = unlink(f->path) && errno != ENOENT ? -errno : 0;
	for (n = f->backups; !r && n-- > 0;)
		r = move(f, from, from + room, room, n);
	free(from);
	if (!r)
		bf_rotated_reopen(f);
	return r;
}

static int put(struct bf_rotated *f, const char *data, size_t len)
{
	struct stat st;
	ssize_t n;
	int r = 0;

	if (f->fd < 0)
		r = open_file(f);
	if (!r && f->max_bytes && f->size && f->size + len > f->max_bytes) {
		r = rotate(f);
		if (!r)
			r = open_file(f);
	}
	if (r)
		return r;
	n = write(f->fd, data, len);
	if (n == (ssize_t)len) {
		f->size += len;
		return 0;
	}
	r = n < 0 ? -errno : -ENOSPC;
	/* Half a line would spoil the next one. Truncating needs no room. */
	if (n > 0 && (fstat(f->fd, &st) || ftruncate(f->fd, st.st_size - n)))
		f->size += (uint64_t)n;
	return r;
}

bool bf_rotated_write(struct bf_rotated *f, const char *data, size_t len, uint64_t lines)
{
	int r = put(f, data, len);

	f->failed = r != 0;
	if (r) {
		f->error = -r;
		f->lost += lines;
	} else {
		f->written += lines;
	}
	return !r;
}

const char *bf_rotated_why(const struct bf_rotated *f)
{
	switch (f->error) {
	case EWOULDBLOCK:
		return "another process writes it; give each agent a --log-dir of its own";
	case ENXIO:
		return "it is not a regular file";
	case ELOOP:
		return "it is a symbolic link";
	case UNSAFE_DIRECTORY:
		return "others can write to its directory: make that root's with mode 0750, or "
		       "set log-dir to one that is";
	default:
		return strerror(f->error);
	}
}
