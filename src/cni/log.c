// SPDX-License-Identifier: Apache-2.0
#include "cni/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static const char *const levels[] = {"debug", "info", "warn", "error"};
static const char *const commands[] = {"ADD", "DEL", "CHECK", "STATUS", "GC", "VERSION"};

/* Nothing that a terminal or a reader of lines would take for more than text. */
static void make_safe(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 127)
			*s = '?';
}

/* A directory in which others cannot put a link in our file's place. */
static int open_directory(const char *file)
{
	char *dir = strdup(file), *slash = dir ? strrchr(dir, '/') : NULL;
	struct stat st;
	int fd = -1;

	if (slash) {
		slash[slash == dir] = 0;
		fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	}
	free(dir);
	if (fd < 0)
		return -errno;
	if (!fstat(fd, &st) && (st.st_uid == 0 || st.st_uid == geteuid()) &&
	    !(st.st_mode & (S_IWGRP | S_IWOTH)))
		return fd;
	close(fd);
	return -EPERM;
}

static int append(const char *file, const char *line)
{
	int dir = open_directory(file), fd, r = 0;
	struct stat st;

	if (dir < 0)
		return dir;
	fd = openat(dir, strrchr(file, '/') + 1,
		    O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	r = fd < 0 ? -errno : 0;
	close(dir);
	if (!r && (fstat(fd, &st) || !S_ISREG(st.st_mode)))
		r = -EINVAL;
	/* One write: lines of plugins that run side by side do not mix. */
	if (!r && write(fd, line, strlen(line)) < 0)
		r = -errno;
	if (fd >= 0)
		close(fd);
	return r;
}

void bf_cni_log(const struct bf_cni_config *config, const struct bf_cni_env *env,
		enum bf_cni_level level, const char *fmt, ...)
{
	char text[1024], stamp[40], *json, *line = NULL;
	struct timespec now;
	struct tm tm;
	json_t *o;
	va_list ap;
	int r;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	make_safe(text);
	if (level >= BF_CNI_WARN)
		fprintf(stderr, "bpfast-cni: %s\n", text);
	if (!config || !config->log_file || (level == BF_CNI_DEBUG && !config->log_debug))
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
	o = json_pack("{s:s, s:s, s:s, s:s, s:s, s:s}", "time", stamp, "level", levels[level],
		      "command", env ? commands[env->command] : "", "network",
		      config->name ? config->name : "", "container", env ? env->container : "",
		      "msg", text);
	/* Text that was cut in the middle of a character, or was never UTF-8. */
	if (!o)
		o = json_pack("{s:s, s:s, s:s}", "time", stamp, "level", levels[level], "msg",
			      "a message that is not UTF-8; it stands on stderr");
	json = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (json && asprintf(&line, "%s\n", json) < 0)
		line = NULL;
	free(json);
	r = line ? append(config->log_file, line) : -ENOMEM;
	free(line);
	if (r)
		fprintf(stderr, "bpfast-cni: logFile cannot be used: %s\n",
			r == -EPERM ? "others may write into its directory" : strerror(-r));
}
