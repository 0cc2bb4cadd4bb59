// SPDX-License-Identifier: Apache-2.0
/* Network namespaces that have a name, and processes that are in one without. */
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "discover/find.h"

char *bf_find_utf8(char *s)
{
	json_t *as_is = s ? json_string(s) : NULL;
	size_t i;

	for (i = 0; s && !as_is && s[i]; i++)
		if ((unsigned char)s[i] >= 0x80)
			s[i] = '?';
	json_decref(as_is);
	return s;
}

int bf_find_slurp(int dir, const char *name, size_t max, char **text, size_t *len)
{
	/* Without waiting: a pipe of that name must not hold us up. */
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r = 0;
	struct stat st;
	size_t at = 0;
	char *buf;
	ssize_t n;

	if (fd < 0)
		return -errno;
	buf = malloc(max + 2);
	if (!buf)
		r = -ENOMEM;
	else if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		r = -EINVAL;
	while (!r && at <= max) {
		n = read(fd, buf + at, max + 1 - at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			r = -errno;
		if (n <= 0)
			break;
		at += (size_t)n;
	}
	close(fd);
	if (!r && at > max)
		r = -EFBIG;
	if (r) {
		free(buf);
		return r;
	}
	buf[at] = 0;
	*text = buf;
	*len = at;
	return 0;
}

void bf_find_netns(struct bf_found *found, const char *dir, bool wanted)
{
	DIR *d = opendir(dir);
	struct bf_place *p;
	struct dirent *e;
	struct statfs fs;
	int fd;

	if (!d) {
		if (wanted || errno != ENOENT) {
			bf_found_note(found, "cannot read %s: %s", dir, strerror(errno));
			found->incomplete = true;
		}
		return;
	}
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		fd = openat(dirfd(d), e->d_name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
		/* A plain file is what is left of a namespace, or not there yet. */
		if (fd < 0 || fstatfs(fd, &fs) || fs.f_type != NSFS_MAGIC) {
			if (fd >= 0)
				close(fd);
			continue;
		}
		p = bf_found_place(found, fd);
		if (p && !p->netns)
			p->netns = bf_find_utf8(strdup(e->d_name));
	}
	closedir(d);
}

static void read_command(int proc, const char *pid, struct bf_place *p)
{
	char name[64], *text, *end;
	size_t len;

	snprintf(name, sizeof(name), "%.20s/comm", pid);
	if (bf_find_slurp(proc, name, 256, &text, &len))
		return;
	end = strchr(text, '\n');
	if (end)
		*end = 0;
	snprintf(p->command, sizeof(p->command), "%.15s", text);
	bf_find_utf8(p->command);
	free(text);
}

void bf_find_processes(struct bf_found *found)
{
	DIR *d = opendir("/proc");
	struct bf_place *p;
	struct dirent *e;
	char path[64];
	pid_t pid;

	if (!d) {
		bf_found_note(found, "cannot read /proc: %s", strerror(errno));
		found->incomplete = true;
		return;
	}
	while ((e = readdir(d))) {
		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		pid = (pid_t)strtol(e->d_name, NULL, 10);
		snprintf(path, sizeof(path), "%d/ns/net", (int)pid);
		p = bf_found_place(found, openat(dirfd(d), path, O_RDONLY | O_CLOEXEC));
		if (!p && errno == EMFILE) {
			bf_found_note(found,
				      "more network namespaces than files may be open; raise the "
				      "limit with `ulimit -n`");
			found->incomplete = true;
			break;
		}
		/* /proc lists them by number: the first is mostly the oldest. */
		if (!p || p->pid || p->host)
			continue;
		p->pid = pid;
		read_command(dirfd(d), e->d_name, p);
	}
	closedir(d);
}
