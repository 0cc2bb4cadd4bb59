// SPDX-License-Identifier: Apache-2.0
#include "client/client.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LINE_MAX_BYTES (256u << 20) /* of an answer: what no agent sends */

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* The next system call on the socket ends at the deadline. */
static int set_patience(const struct bf_connection *c, int option)
{
	int64_t left = c->deadline_ms - now_ms();
	struct timeval tv;

	if (!c->deadline_ms)
		return 0;
	if (left <= 0) {
		errno = ETIMEDOUT;
		return -ETIMEDOUT;
	}
	tv.tv_sec = (time_t)(left / 1000);
	tv.tv_usec = (suseconds_t)(left % 1000 * 1000);
	return setsockopt(c->fd, SOL_SOCKET, option, &tv, sizeof(tv)) ? -errno : 0;
}

static bool is_late(const struct bf_connection *c, int e)
{
	return c->deadline_ms && (e == EAGAIN || e == EWOULDBLOCK || e == ETIMEDOUT);
}

static int late(const struct bf_connection *c, struct bf_error *err)
{
	return bf_err(err, -ETIMEDOUT, "the agent did not answer within %g s",
		      c->patience_ms / 1000.0);
}

int bf_connect(struct bf_connection *c, const char *run_dir, struct bf_error *err)
{
	return bf_connect_within(c, run_dir, 0, err);
}

int bf_connect_within(struct bf_connection *c, const char *run_dir, unsigned int ms,
		      struct bf_error *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	int dir, e;

	memset(c, 0, sizeof(*c));
	c->fd = -1;
	c->patience_ms = ms;
	c->deadline_ms = ms ? now_ms() + ms : 0;
	/* By way of a descriptor: a name in sockaddr_un has room for 107 bytes only. */
	dir = open(run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir >= 0) {
		snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/bpfast.sock", dir);
		c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	}
	/* Connecting waits too, where many do. */
	if (c->fd < 0 || set_patience(c, SO_SNDTIMEO) ||
	    connect(c->fd, (struct sockaddr *)&sa, sizeof(sa))) {
		e = errno;
		if (dir >= 0)
			close(dir);
		bf_disconnect(c);
		if (is_late(c, e))
			return late(c, err);
		if (e == EACCES || e == EPERM)
			return bf_err(
				err, -EACCES,
				"not allowed to talk to the agent in %s: run as root, or as a "
				"member of its socket-group",
				run_dir);
		if (e == ENOENT || e == ECONNREFUSED || e == ENOTDIR)
			return bf_err(
				err, -ENOENT,
				"no agent runs in %s; start bpfastd, or say --run-dir if it uses "
				"another directory",
				run_dir);
		return bf_err(err, -e, "cannot reach the agent in %s: %s", run_dir, strerror(e));
	}
	close(dir);
	return 0;
}

void bf_disconnect(struct bf_connection *c)
{
	if (c->fd >= 0)
		close(c->fd);
	free(c->buf);
	c->buf = NULL;
	c->len = c->cap = c->taken = 0;
	c->fd = -1;
}

int bf_request(struct bf_connection *c, const char *command, json_t *args, struct bf_error *err)
{
	json_t *o =
		json_pack("{s:s, s:o}", "command", command, "args", args ? args : json_object());
	char *line = o ? json_dumps(o, JSON_COMPACT) : NULL;
	size_t at = 0, len;
	ssize_t n;
	int r = 0;

	json_decref(o);
	if (!line)
		return bf_err(err, -EINVAL, "the request is not valid UTF-8 text");
	len = strlen(line);
	line[len++] = '\n';
	while (!r && at < len) {
		r = set_patience(c, SO_SNDTIMEO);
		if (r)
			break;
		n = send(c->fd, line + at, len - at, MSG_NOSIGNAL);
		if (n >= 0)
			at += (size_t)n;
		else if (errno != EINTR)
			r = -errno;
	}
	free(line);
	/* An agent that refuses says why before it closes: the answer is read anyway. */
	if (r == -EPIPE || r == -ECONNRESET)
		r = 0;
	if (is_late(c, -r))
		return late(c, err);
	return r ? bf_err(err, r, "cannot send to the agent: %s", strerror(-r)) : 0;
}

int bf_next_line(struct bf_connection *c, char **line, size_t *len, struct bf_error *err)
{
	size_t from, cap;
	char *end, *buf;
	ssize_t n;

	if (c->taken) {
		memmove(c->buf, c->buf + c->taken, c->len - c->taken);
		c->len -= c->taken;
		c->taken = 0;
	}
	from = 0;
	for (;;) {
		end = c->len > from ? memchr(c->buf + from, '\n', c->len - from) : NULL;
		if (end) {
			*end = 0;
			*line = c->buf;
			*len = (size_t)(end - c->buf);
			c->taken = *len + 1;
			return 0;
		}
		from = c->len;
		if (c->cap - c->len < 65536) {
			cap = c->cap ? c->cap * 2 : 1 << 18;
			buf = cap <= LINE_MAX_BYTES ? realloc(c->buf, cap) : NULL;
			if (!buf)
				return bf_err(err, -ENOMEM, "no memory for the agent's answer");
			c->buf = buf;
			c->cap = cap;
		}
		if (set_patience(c, SO_RCVTIMEO) == -ETIMEDOUT)
			return late(c, err);
		n = recv(c->fd, c->buf + c->len, c->cap - c->len, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && is_late(c, errno))
			return late(c, err);
		if (n < 0 && errno != ECONNRESET)
			return bf_err(err, -errno, "cannot read from the agent: %s",
				      strerror(errno));
		if (n <= 0)
			return bf_err(err, -EPIPE, "the agent ended before it answered");
		c->len += (size_t)n;
	}
}

int bf_call(const char *run_dir, const char *command, json_t *args, json_t **result,
	    struct bf_error *err)
{
	return bf_call_within(run_dir, command, args, 0, result, err);
}

int bf_call_within(const char *run_dir, const char *command, json_t *args, unsigned int ms,
		   json_t **result, struct bf_error *err)
{
	struct bf_connection c;
	json_error_t je;
	json_t *answer;
	const char *error;
	char *line;
	size_t len;
	int r = bf_connect_within(&c, run_dir, ms, err);

	*result = NULL;
	if (r) {
		json_decref(args);
		return r;
	}
	r = bf_request(&c, command, args, err);
	if (!r)
		r = bf_next_line(&c, &line, &len, err);
	if (r) {
		bf_disconnect(&c);
		return r;
	}
	answer = json_loadb(line, len, 0, &je);
	bf_disconnect(&c);
	error = json_string_value(json_object_get(answer, "error"));
	if (error) {
		bf_err(err, 0, "%s", error);
		*result = json_incref(json_object_get(answer, "details"));
		r = -EREMOTEIO;
	} else {
		*result = json_incref(json_object_get(answer, "result"));
		if (!*result)
			r = bf_err(err, -EPROTO, "the agent's answer is not understood");
	}
	json_decref(answer);
	return r;
}

bool bf_agent_is_first(const char *run_dir)
{
	struct bf_connection c;
	struct bf_error err;
	struct ucred agent = {0};
	socklen_t len = sizeof(agent);
	bool first;

	if (bf_connect(&c, run_dir, &err))
		return false;
	/* Its number as we see it: 0 where it is in no PID namespace of ours. */
	first = !getsockopt(c.fd, SOL_SOCKET, SO_PEERCRED, &agent, &len) && agent.pid == 1 &&
		getpid() != 1;
	bf_disconnect(&c);
	return first;
}
