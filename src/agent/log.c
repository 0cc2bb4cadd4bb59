// SPDX-License-Identifier: Apache-2.0
#include "agent/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "agent/rotated.h"
#include "observe/text.h"

static enum bf_log_level threshold = BF_LOG_INFO;
static struct bf_rotated *file;
static const char *const names[] = {"error", "warn", "info", "debug"};

int bf_log_level_parse(const char *name)
{
	int i;

	for (i = BF_LOG_ERROR; i <= BF_LOG_DEBUG; i++)
		if (!strcmp(name, names[i]))
			return i;
	return -EINVAL;
}

void bf_log_set_level(enum bf_log_level level)
{
	threshold = level;
}

void bf_log_to(struct bf_rotated *f)
{
	file = f;
}

static void add_value(struct bf_text *t, const char *s)
{
	if (*s && !strpbrk(s, " \t\r\n\"=")) {
		bf_text_safe(t, s, strlen(s), false);
		return;
	}
	bf_text_json(t, s, strlen(s));
}

void bf_log(enum bf_log_level level, const char *message, ...)
{
	struct bf_text t = {0};
	struct timespec now;
	struct tm tm;
	char stamp[32];
	const char *key, *value;
	va_list ap;

	if (level > threshold)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	bf_text_printf(&t, "%s.%03ldZ %s ", stamp, now.tv_nsec / 1000000, names[level]);
	bf_text_safe(&t, message, strlen(message), false);
	va_start(ap, message);
	while ((key = va_arg(ap, const char *)) != NULL) {
		value = va_arg(ap, const char *);
		bf_text_printf(&t, " %s=", key);
		add_value(&t, value ? value : "");
	}
	va_end(ap);
	bf_text_puts(&t, "\n");
	if (file && t.data && bf_rotated_write(file, t.data, t.len, 1) && level > BF_LOG_ERROR)
		bf_text_clear(&t);
	/* One write, so that lines of several processes do not mix. */
	if (t.len && write(STDERR_FILENO, t.data, t.len) < 0) {
		/* Nowhere left to say it. */
	}
	bf_text_free(&t);
}

const char *bf_num(long long n)
{
	static char ring[8][24];
	static unsigned int at;
	char *s = ring[at++ % 8];

	snprintf(s, sizeof(ring[0]), "%lld", n);
	return s;
}
