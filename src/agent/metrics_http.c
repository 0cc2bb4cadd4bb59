// SPDX-License-Identifier: Apache-2.0
/* GET /metrics, over libmicrohttpd, in the agent's own loop. */
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"
#include "observe/text.h"

struct bf_metrics_server {
	struct MHD_Daemon *daemon;
	struct bf_watch watch, timer;
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int status, char *text,
			      size_t len, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *response = MHD_create_response_from_buffer(len, text, mode);
	enum MHD_Result r;

	if (!response) {
		if (mode == MHD_RESPMEM_MUST_FREE)
			free(text);
		return MHD_NO;
	}
	MHD_add_response_header(response, "Content-Type", "text/plain; version=0.0.4");
	r = MHD_queue_response(connection, status, response);
	MHD_destroy_response(response);
	return r;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	static char elsewhere[] = "The metrics are at /metrics.\n", only_get[] = "GET only.\n";
	static char no_memory[] = "No memory.\n";
	struct bf_text text = {0};

	(void)version, (void)upload, (void)upload_size;
	/* The first call only announces the request. */
	if (!*state) {
		*state = connection;
		return MHD_YES;
	}
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return answer(connection, MHD_HTTP_METHOD_NOT_ALLOWED, only_get, strlen(only_get),
			      MHD_RESPMEM_PERSISTENT);
	if (strcmp(url, "/metrics"))
		return answer(connection, MHD_HTTP_NOT_FOUND, elsewhere, strlen(elsewhere),
			      MHD_RESPMEM_PERSISTENT);
	bf_metrics_text(arg, &text);
	if (text.failed) {
		bf_text_free(&text);
		return answer(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, no_memory,
			      strlen(no_memory), MHD_RESPMEM_PERSISTENT);
	}
	return answer(connection, MHD_HTTP_OK, text.data, text.len, MHD_RESPMEM_MUST_FREE);
}

static void serve(struct bf_agent *a)
{
	MHD_UNSIGNED_LONG_LONG ms;

	MHD_run(a->metrics->daemon);
	if (MHD_get_timeout(a->metrics->daemon, &ms) == MHD_YES)
		bf_timer_set(&a->metrics->timer,
			     ms < 1	  ? 1
			     : ms > 60000 ? 60000
					  : (unsigned int)ms,
			     0);
}

static void on_ready(void *arg, uint32_t events)
{
	(void)events;
	serve(arg);
}

static void on_timer(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;

	(void)events;
	bf_timer_read(&a->metrics->timer);
	serve(a);
}

/* ADDR:PORT or [ADDR]:PORT; a listening socket or -errno. */
static int listen_on(const char *where, struct bf_error *err)
{
	struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV,
				 .ai_socktype = SOCK_STREAM},
			*ai;
	const char *colon = strrchr(where, ':');
	char host[64] = "";
	size_t len = colon ? (size_t)(colon - where) : 0;
	int fd, one = 1, r = 0;

	if (len >= 2 && where[0] == '[' && where[len - 1] == ']' && len - 2 < sizeof(host))
		memcpy(host, where + 1, len - 2);
	else if (len < sizeof(host))
		memcpy(host, where, len);
	if (!colon || !colon[1] || !*host || getaddrinfo(host, colon + 1, &hints, &ai))
		return bf_err(err, -EINVAL,
			      "metrics-listen: '%s' is not ADDR:PORT, such as 127.0.0.1:9477 or "
			      "[::1]:9477, nor off",
			      where);
	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 16))
		r = -errno;
	freeaddrinfo(ai);
	if (!r)
		return fd;
	if (fd >= 0)
		close(fd);
	return bf_err(err, r,
		      "cannot serve metrics on %s: %s; choose another --metrics-listen, or off",
		      where, strerror(-r));
}

int bf_metrics_start(struct bf_agent *a, struct bf_error *err)
{
	const union MHD_DaemonInfo *info;
	struct bf_metrics_server *m;
	int fd, r;

	if (!strcmp(a->config.metrics_listen, "off"))
		return 0;
	fd = listen_on(a->config.metrics_listen, err);
	if (fd < 0)
		return fd;
	m = calloc(1, sizeof(*m));
	if (m)
		m->daemon = MHD_start_daemon(
			MHD_USE_EPOLL, 0, NULL, NULL, on_request, a, MHD_OPTION_LISTEN_SOCKET, fd,
			MHD_OPTION_CONNECTION_LIMIT, 32u, MHD_OPTION_CONNECTION_TIMEOUT, 15u,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_END);
	if (!m || !m->daemon) {
		free(m);
		close(fd);
		return bf_err(err, -ENOMEM, "cannot start the metrics server");
	}
	a->metrics = m;
	info = MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	m->watch = (struct bf_watch){info ? info->epoll_fd : -1, on_ready, a};
	m->timer = (struct bf_watch){-1, on_timer, a};
	r = bf_loop_add(&a->loop, &m->watch, EPOLLIN);
	if (!r)
		r = bf_timer_add(&a->loop, &m->timer);
	if (r) {
		bf_metrics_stop(a);
		return bf_err(err, r, "cannot watch the metrics server: %s", strerror(-r));
	}
	return 0;
}

void bf_metrics_stop(struct bf_agent *a)
{
	struct bf_metrics_server *m = a->metrics;

	if (!m)
		return;
	bf_loop_remove(&a->loop, &m->watch);
	if (m->timer.fd > 0)
		close(m->timer.fd);
	MHD_stop_daemon(m->daemon);
	free(m);
	a->metrics = NULL;
}
