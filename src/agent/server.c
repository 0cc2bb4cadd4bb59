// SPDX-License-Identifier: Apache-2.0
#include "agent/server.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "agent/log.h"

#define READ_BYTES 65536 /* from one client before it is another's turn */
#define OUT_PAUSE (1u << 20) /* unread bytes at which a client's next request waits */

struct bf_server {
	struct bf_watch watch, timer;
	struct bf_client *clients;
	unsigned int count;
	size_t input; /* bytes of unfinished requests */
};

static const struct bf_command *const nouns[] = {
	bf_endpoint_commands,	   bf_cni_commands,	    bf_policy_commands,
	bf_observe_commands,	   bf_status_commands,	    bf_shield_commands,
	bf_shield_attack_commands, bf_shield_http_commands,
};

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void drop(struct bf_client *c, const char *why)
{
	struct bf_server *s = c->agent->server;
	struct bf_client **p;

	if (why)
		bf_log_warn("client dropped", "why", why, "uid", bf_num(c->uid));
	for (p = &s->clients; *p && *p != c; p = &(*p)->next)
		;
	if (*p)
		*p = c->next;
	s->count--;
	s->input -= c->in_len;
	if (c->observing && c->follow)
		c->agent->observers--;
	if (c->agent->dp)
		bf_datapath_control(c->agent->dp)->observed = c->agent->observers > 0;
	bf_loop_remove(&c->agent->loop, &c->watch);
	close(c->watch.fd);
	bf_filter_free(&c->filter);
	bf_text_free(&c->out);
	bf_shield_list_free(&c->staged);
	free(c->in);
	free(c);
}

void bf_client_send(struct bf_client *c, json_t *o)
{
	char *line = o ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;

	json_decref(o);
	if (line)
		bf_text_puts(&c->out, line);
	else
		bf_text_puts(&c->out, "{\"error\":\"the agent has no memory left to answer\"}");
	bf_text_puts(&c->out, "\n");
	free(line);
}

/* Sends what the socket takes. False: the client is gone. */
static bool flush(struct bf_client *c)
{
	ssize_t n;

	while (c->sent < c->out.len) {
		n = send(c->watch.fd, c->out.data + c->sent, c->out.len - c->sent,
			 MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
			return true;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return false;
		c->sent += (size_t)n;
		c->since_ns = now_ns();
	}
	bf_text_clear(&c->out);
	c->sent = 0;
	/* One large answer must not stay allocated for a client that idles. */
	if (c->out.cap > OUT_PAUSE)
		bf_text_free(&c->out);
	return true;
}

static void run(struct bf_client *c, const char *line, size_t len)
{
	const struct bf_command *cmd;
	struct bf_error err = {""};
	json_t *request, *result = NULL, *answer;
	const char *name;
	json_error_t je;
	size_t i;
	int r;

	request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &je);
	name = json_string_value(json_object_get(request, "command"));
	if (!name) {
		bf_client_send(c, json_pack("{s:s}", "error",
					    "a line with {\"command\": ..., \"args\": {...}} is "
					    "expected"));
		c->closing = true;
		json_decref(request);
		return;
	}
	for (i = 0; i < sizeof(nouns) / sizeof(nouns[0]); i++)
		for (cmd = nouns[i]; cmd->name; cmd++)
			if (!strcmp(cmd->name, name))
				goto found;
	bf_client_send(c,
		       json_pack("{s:s}", "error",
				 "this agent does not know the command; are bpfast and bpfastd of "
				 "the same version?"));
	json_decref(request);
	return;
found:
	r = cmd->run(c->agent, c, json_object_get(request, "args"), &result, &err);
	json_decref(request);
	if (r == BF_STREAMING)
		return;
	if (r) {
		answer = json_object();
		json_object_set_new(answer, "error",
				    json_string(*err.msg ? err.msg : strerror(-r)));
		if (result)
			json_object_set_new(answer, "details", result);
		bf_log_info("command refused", "command", cmd->name, "why", err.msg);
	} else {
		answer = json_pack("{s:o}", "result", result ? result : json_object());
	}
	bf_client_send(c, answer);
}

static bool paused(const struct bf_client *c)
{
	return c->out.len - c->sent >= OUT_PAUSE || c->observing || c->closing;
}

/* Runs the whole lines that were read. */
static void lines(struct bf_client *c)
{
	struct bf_server *s = c->agent->server;
	bool large = false;
	char *end;
	size_t n;

	while (!paused(c) && c->in_len && (end = memchr(c->in, '\n', c->in_len))) {
		n = (size_t)(end - c->in);
		if (n)
			run(c, c->in, n);
		large |= n > READ_BYTES;
		memmove(c->in, end + 1, c->in_len - n - 1);
		c->in_len -= n + 1;
		s->input -= n + 1;
	}
	if (!c->in_len && c->in_cap > READ_BYTES) {
		free(c->in);
		c->in = NULL;
		c->in_cap = 0;
	}
	if (large) /* what read and compiled it is free, and mostly at the heap's end */
		malloc_trim(0);
}

/* Why the client has to go, or NULL. */
static const char *receive(struct bf_client *c)
{
	struct bf_server *s = c->agent->server;
	size_t cap;
	char *in;
	ssize_t n;

	if (c->in_cap - c->in_len < READ_BYTES) {
		cap = c->in_cap * 2 < READ_BYTES * 2 ? READ_BYTES * 2 : c->in_cap * 2;
		in = realloc(c->in, cap);
		if (!in)
			return "no memory for its request";
		c->in = in;
		c->in_cap = cap;
	}
	n = recv(c->watch.fd, c->in + c->in_len, READ_BYTES, MSG_DONTWAIT);
	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return NULL;
	if (n <= 0) {
		c->hung_up = true;
		return NULL;
	}
	if (!c->in_len)
		c->since_ns = now_ns();
	c->in_len += (size_t)n;
	s->input += (size_t)n;
	if (c->in_len > BF_LINE_MAX && !memchr(c->in, '\n', c->in_len))
		return "its request is longer than 8 MiB";
	if (s->input > BF_INPUT_MAX)
		return "unfinished requests take more than 32 MiB";
	return NULL;
}

static void refuse(int fd, const char *why)
{
	char line[160];
	int n = snprintf(line, sizeof(line), "{\"error\":\"%s\"}\n", why);

	if (send(fd, line, (size_t)n, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
		/* It will see the end of the connection. */
	}
}

static void update(struct bf_client *c)
{
	uint32_t events = c->hung_up ? 0 : EPOLLRDHUP;

	if (!paused(c) && !c->hung_up)
		events |= EPOLLIN;
	/* Records that are left over come when the socket takes more. */
	if (c->out.len > c->sent || (c->observing && c->cursor < c->agent->recorder.total))
		events |= EPOLLOUT;
	if (events != c->events && !bf_loop_change(&c->agent->loop, &c->watch, events))
		c->events = events;
}

static void pump(struct bf_client *c)
{
	lines(c);
	if (!flush(c)) {
		drop(c, NULL);
		return;
	}
	if (c->observing) {
		bf_client_records(c);
		if (c->out.failed || !flush(c)) {
			drop(c, NULL);
			return;
		}
	}
	if (c->out.failed || (c->closing && !c->out.len)) {
		drop(c, c->out.failed ? "no memory for its answer" : NULL);
		return;
	}
	/* Half-closed clients (`nc -N`) still get their answers. */
	if (c->hung_up && !c->out.len && (!c->observing || c->follow)) {
		drop(c, NULL);
		return;
	}
	update(c);
}

static void on_client(void *arg, uint32_t events)
{
	struct bf_client *c = arg;
	const char *why;

	if (events & (EPOLLERR | EPOLLHUP)) {
		drop(c, NULL);
		return;
	}
	if (events & EPOLLRDHUP && c->observing && c->follow) {
		drop(c, NULL);
		return;
	}
	if (events & EPOLLIN) {
		why = receive(c);
		if (why) {
			refuse(c->watch.fd, why);
			drop(c, why);
			return;
		}
	} else if (events & EPOLLRDHUP) {
		c->hung_up = true;
	}
	pump(c);
}

/* The client that has been here longest among those that wait for no answer. */
static struct bf_client *longest_idle(struct bf_server *s)
{
	struct bf_client *c, *found = NULL;

	for (c = s->clients; c; c = c->next) /* the newest is first */
		if (!c->out.len && !(c->observing && c->follow))
			found = c;
	return found;
}

static void on_connect(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;
	struct bf_server *s = a->server;
	struct bf_client *c, *idle;
	struct ucred cred;
	socklen_t len = sizeof(cred);
	int fd = accept4(s->watch.fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	(void)events;
	if (fd < 0)
		return;
	/* Who holds a place without using it must not keep others out. */
	if (s->count >= BF_CLIENTS_MAX && (idle = longest_idle(s)) != NULL) {
		refuse(idle->watch.fd, "another client needed the place");
		drop(idle, NULL);
	}
	if (s->count >= BF_CLIENTS_MAX) {
		refuse(fd, "the agent serves 64 clients already; try again");
		close(fd);
		return;
	}
	c = calloc(1, sizeof(*c));
	if (!c || getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len)) {
		free(c);
		close(fd);
		return;
	}
	c->agent = a;
	c->uid = cred.uid;
	c->events = EPOLLIN | EPOLLRDHUP;
	c->watch = (struct bf_watch){fd, on_client, c};
	if (bf_loop_add(&a->loop, &c->watch, c->events)) {
		close(fd);
		free(c);
		return;
	}
	c->next = s->clients;
	s->clients = c;
	s->count++;
}

/* Drops who began a request and does not end it, or does not read its answer. */
static void on_timer(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;
	struct bf_client *c, *next;
	uint64_t now = now_ns();

	(void)events;
	bf_timer_read(&a->server->timer);
	for (c = a->server->clients; c; c = next) {
		next = c->next;
		if (!c->in_len && !c->out.len)
			continue;
		/* An observer that does not read loses records, not its connection. */
		if (c->observing && c->follow)
			continue;
		if (now - c->since_ns > BF_STALL_MS * 1000000ull) {
			refuse(c->watch.fd, "the request or its answer took longer than 30 s");
			drop(c, "it stalled");
		}
	}
}

void bf_server_records(struct bf_agent *a)
{
	struct bf_client *c, *next;

	for (c = a->server ? a->server->clients : NULL; c; c = next) {
		next = c->next;
		if (c->observing && c->out.len == c->sent)
			pump(c);
	}
}

static int open_socket(struct bf_agent *a, struct bf_error *err)
{
	struct sockaddr_un sa = {.sun_family = AF_UNIX};
	mode_t mask, mode = a->config.socket_group ? 0660 : 0600;
	struct stat st;
	int fd, r = 0;

	/* By way of the descriptor: the directory that was checked and locked, and
	 * no limit on the length of its name. */
	snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/" BF_SOCKET_FILE, a->run_fd);
	if (!fstatat(a->run_fd, BF_SOCKET_FILE, &st, AT_SYMLINK_NOFOLLOW)) {
		if (!S_ISSOCK(st.st_mode))
			return bf_err(err, -EEXIST,
				      "%s/" BF_SOCKET_FILE " is not a socket; remove it",
				      a->config.run_dir);
		/* The directory is locked by us, so whoever made it is dead. */
		unlinkat(a->run_fd, BF_SOCKET_FILE, 0);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return bf_err(err, -errno, "cannot open a socket: %s", strerror(errno));
	mask = umask(0177);
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)))
		r = -errno;
	umask(mask);
	if (!r && fstat(a->run_fd, &st))
		r = -errno;
	if (!r && a->config.socket_group &&
	    (fchownat(a->run_fd, BF_SOCKET_FILE, (uid_t)-1, st.st_gid, AT_SYMLINK_NOFOLLOW) ||
	     fchmodat(a->run_fd, BF_SOCKET_FILE, mode, 0)))
		r = -errno;
	if (!r && listen(fd, SOMAXCONN))
		r = -errno;
	if (r) {
		close(fd);
		return bf_err(err, r, "cannot listen on %s/" BF_SOCKET_FILE ": %s",
			      a->config.run_dir, strerror(-r));
	}
	return fd;
}

int bf_server_start(struct bf_agent *a, struct bf_error *err)
{
	struct bf_server *s = calloc(1, sizeof(*s));
	int r;

	if (!s)
		return bf_err(err, -ENOMEM, "no memory");
	s->watch = (struct bf_watch){open_socket(a, err), on_connect, a};
	if (s->watch.fd < 0) {
		r = s->watch.fd;
		free(s);
		return r;
	}
	s->timer = (struct bf_watch){-1, on_timer, a};
	r = bf_loop_add(&a->loop, &s->watch, EPOLLIN);
	if (!r)
		r = bf_timer_add(&a->loop, &s->timer);
	if (r) {
		close(s->watch.fd);
		free(s);
		return bf_err(err, r, "cannot watch the socket: %s", strerror(-r));
	}
	bf_timer_set(&s->timer, 5000, 5000);
	a->server = s;
	return 0;
}

void bf_server_stop(struct bf_agent *a)
{
	struct bf_server *s = a->server;

	if (!s)
		return;
	while (s->clients) {
		flush(s->clients);
		drop(s->clients, NULL);
	}
	close(s->watch.fd);
	close(s->timer.fd);
	unlinkat(a->run_fd, BF_SOCKET_FILE, 0);
	free(s);
	a->server = NULL;
}
