// SPDX-License-Identifier: Apache-2.0
/*
 * GET /metrics, over libmicrohttpd, in the agent's own loop.
 *
 * Whoever reaches the port may ask, and the loop has other work. So all who ask at about
 * the same time get one page, and who is slow holds a place only until another needs it.
 */
#include <endian.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/clock.h"
#include "observe/text.h"

#define MS 1000000ull /* ns */
#define PAGE_NS (100 * MS) /* no page that is given is older: docs/guide/observe.md */
/* For a whole request, and again for its answer. Prometheus itself waits for 10 s. */
#define SILENT_NS (10000 * MS)
#define PLACES 32
/* One more is taken before another gives way, and it is gone only after the library looked again. */
#define CONNECTIONS (2 * PLACES)

#define WAITING 256 /* to be accepted; one who finds no room there asks again only after a second */

/* A connection. */
struct place {
	int fd;
	bool taken, over; /* over: it was shut, and the library will see that */
	uint64_t who; /* the client's network */
	uint64_t since; /* of its beginning, or of its last whole request; ns */
};

struct bf_metrics_server {
	struct MHD_Daemon *daemon;
	struct bf_watch watch, timer;
	struct MHD_Response *page;
	uint64_t page_ns; /* its figures are not older */
	struct place place[CONNECTIONS];
};

/* --- places --- */

/* What one client can choose freely does not count: of IPv6, only the first 64 bits. */
static uint64_t network_of(const struct sockaddr *from)
{
	const uint8_t *a = ((const struct sockaddr_in6 *)from)->sin6_addr.s6_addr;
	uint64_t high;
	uint32_t v4;

	if (from->sa_family == AF_INET)
		return ((const struct sockaddr_in *)from)->sin_addr.s_addr;
	if (from->sa_family != AF_INET6)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)a)) {
		memcpy(&v4, a + 12, sizeof(v4));
		return v4;
	}
	memcpy(&high, a, sizeof(high));
	return be64toh(high);
}

/* The library finds it shut and lets go of it. What was not read goes too: the kernel keeps nothing. */
static void end(struct place *p)
{
	const struct linger at_once = {.l_onoff = 1};

	p->over = true;
	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	shutdown(p->fd, SHUT_RDWR);
}

static bool open_at(const struct place *p)
{
	return p->taken && !p->over;
}

static unsigned int places_of(const struct bf_metrics_server *m, uint64_t who)
{
	unsigned int n = 0;

	for (const struct place *p = m->place; p < m->place + CONNECTIONS; p++)
		n += open_at(p) && p->who == who;
	return n;
}

/* Of the network that has the most places, that which was silent longest. So nobody
 * who is slow keeps out those elsewhere, nor those of the same address who are quick. */
static void make_room(struct bf_metrics_server *m)
{
	unsigned int open = 0, most = 0;
	struct place *worst = NULL;

	for (struct place *p = m->place; p < m->place + CONNECTIONS; p++) {
		unsigned int n;

		if (!open_at(p))
			continue;
		open++;
		n = places_of(m, p->who);
		if (n < most || (n == most && worst && worst->since <= p->since))
			continue;
		most = n;
		worst = p;
	}
	if (open > PLACES)
		end(worst);
}

static void on_connection(void *arg, struct MHD_Connection *connection, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct bf_metrics_server *m = ((struct bf_agent *)arg)->metrics;
	const union MHD_ConnectionInfo *fd, *from;
	struct place *p = *context;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (p)
			p->taken = false;
		return;
	}
	fd = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	from = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
	for (p = m->place; p < m->place + CONNECTIONS && p->taken; p++)
		;
	if (!fd || !from || p == m->place + CONNECTIONS)
		return; /* without a place there is no answer */
	*p = (struct place){
		.fd = fd->connect_fd,
		.taken = true,
		.who = network_of(from->client_addr),
		.since = bf_now_ns(),
	};
	*context = p;
	make_room(m);
}

/* Ends who is late. Returns for how long nobody will be, in ms; 0: nobody can. */
static unsigned int end_late(struct bf_metrics_server *m)
{
	uint64_t now = bf_now_ns(), next = UINT64_MAX;

	for (struct place *p = m->place; p < m->place + CONNECTIONS; p++) {
		if (!open_at(p))
			continue;
		if (now - p->since >= SILENT_NS)
			end(p);
		else if (p->since + SILENT_NS < next)
			next = p->since + SILENT_NS;
	}
	return next == UINT64_MAX ? 0 : (unsigned int)((next - now) / MS + 1);
}

/* --- requests --- */

static struct MHD_Response *response(char *text, size_t len, enum MHD_ResponseMemoryMode mode)
{
	struct MHD_Response *r = MHD_create_response_from_buffer(len, text, mode);

	if (r)
		MHD_add_response_header(r, "Content-Type", "text/plain; version=0.0.4");
	return r;
}

static enum MHD_Result say(struct MHD_Connection *connection, unsigned int status, char *text)
{
	struct MHD_Response *said = response(text, strlen(text), MHD_RESPMEM_PERSISTENT);
	enum MHD_Result r;

	if (!said)
		return MHD_NO;
	r = MHD_queue_response(connection, status, said);
	MHD_destroy_response(said);
	return r;
}

/* The page that everybody gets now; NULL: no memory. Who still reads an older one keeps that. */
static struct MHD_Response *page(struct bf_agent *a)
{
	struct bf_metrics_server *m = a->metrics;
	uint64_t now = bf_now_ns();
	struct bf_text text = {0};

	if (m->page && now - m->page_ns <= PAGE_NS)
		return m->page;
	if (m->page)
		MHD_destroy_response(m->page);
	m->page = NULL;
	m->page_ns = now;
	bf_metrics_text(a, &text);
	if (!text.failed)
		m->page = response(text.data, text.len, MHD_RESPMEM_MUST_FREE);
	if (!m->page)
		bf_text_free(&text);
	return m->page;
}

static enum MHD_Result on_request(void *arg, struct MHD_Connection *connection, const char *url,
				  const char *method, const char *version, const char *upload,
				  size_t *upload_size, void **state)
{
	static char elsewhere[] = "The metrics are at /metrics.\n", only_get[] = "GET only.\n";
	static char no_memory[] = "No memory.\n";
	const union MHD_ConnectionInfo *info;
	struct MHD_Response *all;
	struct place *p;

	(void)version, (void)upload, (void)upload_size;
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	p = info ? info->socket_context : NULL;
	if (!p)
		return MHD_NO;
	/* The first call only announces the request. */
	if (!*state) {
		*state = connection;
		return MHD_YES;
	}
	p->since = bf_now_ns();
	if (strcmp(method, "GET") && strcmp(method, "HEAD"))
		return say(connection, MHD_HTTP_METHOD_NOT_ALLOWED, only_get);
	if (strcmp(url, "/metrics"))
		return say(connection, MHD_HTTP_NOT_FOUND, elsewhere);
	all = page(arg);
	if (!all)
		return say(connection, MHD_HTTP_INTERNAL_SERVER_ERROR, no_memory);
	return MHD_queue_response(connection, MHD_HTTP_OK, all);
}

static void serve(struct bf_agent *a)
{
	struct bf_metrics_server *m = a->metrics;
	MHD_UNSIGNED_LONG_LONG ms;
	unsigned int next;

	MHD_run(m->daemon);
	next = end_late(m);
	if (MHD_get_timeout(m->daemon, &ms) == MHD_YES && (!next || ms < next))
		next = ms < 1 ? 1 : (unsigned int)(ms < SILENT_NS / MS ? ms : SILENT_NS / MS);
	bf_timer_set(&m->timer, next, 0);
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
	const unsigned int unread_ms = SILENT_NS / MS;
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
	    /* Each connection has it from here: what is sent and not taken in goes, though it was closed. */
	    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &unread_ms, sizeof(unread_ms)) ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, WAITING))
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
	a->metrics = m;
	if (m)
		m->daemon = MHD_start_daemon(
			MHD_USE_EPOLL, 0, NULL, NULL, on_request, a, MHD_OPTION_LISTEN_SOCKET, fd,
			MHD_OPTION_CONNECTION_LIMIT, (unsigned int)CONNECTIONS,
			MHD_OPTION_NOTIFY_CONNECTION, on_connection, a,
			MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)16384, MHD_OPTION_END);
	if (!m || !m->daemon) {
		free(m);
		a->metrics = NULL;
		close(fd);
		return bf_err(err, -ENOMEM, "cannot start the metrics server");
	}
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
	if (m->page)
		MHD_destroy_response(m->page);
	free(m);
	a->metrics = NULL;
}
