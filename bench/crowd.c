// SPDX-License-Identifier: Apache-2.0
/*
 * Many HTTP/1.1 connections that stay open: both ends, for the bench and for tests.
 *
 *   crowd serve PORT...
 *   crowd connect ADDRESS:PORT...
 *
 * Both read commands from standard input and answer each with a line of JSON; at its end they end.
 *
 *   connect:  open N SECONDS   N more connections, over all targets in turn; each asks once
 *             ask SECONDS      every open connection asks once more
 *             deny N SECONDS   N of them ask for what no rule allows
 *             one N            N requests, one after the other, each on a connection drawn at random
 *             close            closes all
 *   serve:    count
 *
 * What is not answered when the seconds are over is given up and counted as unanswered.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define TARGETS_MAX 64
#define EVENTS 512
#define UNDER_WAY 256 /* requests and handshakes at once */
#define ANSWER_MAX 1024

static const char ok[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
static const char get[] = "GET /ok/item HTTP/1.1\r\nHost: crowd\r\n\r\n";
static const char forbidden[] = "GET /forbidden HTTP/1.1\r\nHost: crowd\r\n\r\n";

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "crowd: %s: %s\n", what, strerror(errno));
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* A command, or the end of the program. */
static void read_line(char *line, int size)
{
	if (!fgets(line, size, stdin))
		exit(0);
}

static void many_files(void)
{
	struct rlimit most = {1 << 20, 1 << 20};

	if (!setrlimit(RLIMIT_NOFILE, &most))
		return;
	/* Not even root may everywhere. */
	getrlimit(RLIMIT_NOFILE, &most);
	most.rlim_cur = most.rlim_max;
	setrlimit(RLIMIT_NOFILE, &most);
}

/* --- server --- */

static struct {
	unsigned long long connections, requests, forbidden;
} served;

/* Requests are short and come one at a time: each fits into one read. */
static void serve_one(int fd)
{
	char in[2048];
	ssize_t n = recv(fd, in, sizeof(in) - 1, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		close(fd);
		return;
	}
	in[n] = '\0';
	served.requests++;
	served.forbidden += strncmp(in, "GET /ok/", 8) != 0;
	if (send(fd, ok, sizeof(ok) - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		close(fd);
}

static void accept_all(int epoll, int listener)
{
	struct epoll_event ev = {.events = EPOLLIN};

	while ((ev.data.fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		served.connections++;
		if (epoll_ctl(epoll, EPOLL_CTL_ADD, ev.data.fd, &ev))
			fail("epoll_ctl");
	}
}

static _Noreturn void serve(int n, char **ports)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC), one = 1, listener[TARGETS_MAX];
	struct epoll_event ev = {.events = EPOLLIN}, got[EVENTS];
	char line[64];

	for (int i = 0; i < n; i++) {
		struct sockaddr_in a = {.sin_family = AF_INET,
					.sin_port = htons((uint16_t)atoi(ports[i]))};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 65535))
			fail("listen");
		ev.data.fd = listener[i] = fd;
		epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &ev);
	}
	ev.data.fd = 0;
	epoll_ctl(epoll, EPOLL_CTL_ADD, 0, &ev);
	puts("{\"ready\": true}");
	for (;;) {
		int ready = epoll_wait(epoll, got, EVENTS, -1);

		for (int i = 0; i < ready; i++) {
			int fd = got[i].data.fd, l = 0;

			while (l < n && listener[l] != fd)
				l++;
			if (l < n) {
				accept_all(epoll, fd);
			} else if (fd) {
				serve_one(fd);
			} else {
				read_line(line, sizeof(line));
				printf("{\"connections\": %llu, \"requests\": %llu, \"forbidden\": "
				       "%llu}\n",
				       served.connections, served.requests, served.forbidden);
			}
		}
	}
}

/* --- client --- */

enum state { CLOSED, CONNECTING, IDLE, WAITING };

struct connection {
	int fd;
	enum state state;
	unsigned short got;
	char answer[ANSWER_MAX + 1];
};

static struct {
	struct sockaddr_in target[TARGETS_MAX];
	unsigned int targets, next;
	struct connection *all;
	size_t n, room;
	int epoll;
	unsigned int under_way;
	const char *request;
} c;

/* What became of one command. */
static struct {
	unsigned long long answered, denied, odd, reset, refused, closed, failed, unanswered;
} t;

static void drop(struct connection *k)
{
	if (k->state == CONNECTING || k->state == WAITING)
		c.under_way--;
	if (k->state != CLOSED)
		close(k->fd);
	k->state = CLOSED;
}

static void lose(struct connection *k, int why)
{
	t.reset += why == ECONNRESET || why == EPIPE;
	t.refused += why == ECONNREFUSED;
	t.closed += why == 0;
	t.failed += why && why != ECONNRESET && why != EPIPE && why != ECONNREFUSED;
	drop(k);
}

static void ask(struct connection *k)
{
	size_t len = strlen(c.request);

	k->got = 0;
	k->state = WAITING;
	c.under_way++;
	if (send(k->fd, c.request, len, MSG_NOSIGNAL) != (ssize_t)len)
		lose(k, errno);
}

/* A whole answer: its status; 0: not yet. */
static int status(struct connection *k)
{
	const char *end, *length;

	k->answer[k->got] = '\0';
	end = strstr(k->answer, "\r\n\r\n");
	length = strcasestr(k->answer, "Content-Length: ");
	if (!end || (length && length < end && end + 4 + atoi(length + 16) > k->answer + k->got))
		return 0;
	return atoi(k->answer + 9);
}

static void listen_to(struct connection *k)
{
	ssize_t n;
	int code;

	n = recv(k->fd, k->answer + k->got, ANSWER_MAX - k->got, MSG_DONTWAIT);
	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		lose(k, n ? errno : 0);
		return;
	}
	k->got = (unsigned short)(k->got + n);
	code = status(k);
	if (!code || k->state != WAITING)
		return;
	t.answered += code == 200;
	t.denied += code == 403;
	t.odd += code != 200 && code != 403;
	c.under_way--;
	k->state = IDLE;
	if (code != 200)
		drop(k);
}

static void on_event(const struct epoll_event *ev)
{
	struct connection *k = &c.all[ev->data.u64];
	struct epoll_event in = {.events = EPOLLIN, .data = ev->data};
	socklen_t size = sizeof(int);
	int why = 0;

	if (k->state == CLOSED)
		return;
	if (k->state != CONNECTING) {
		listen_to(k);
		return;
	}
	getsockopt(k->fd, SOL_SOCKET, SO_ERROR, &why, &size);
	if (why) {
		lose(k, why);
		return;
	}
	epoll_ctl(c.epoll, EPOLL_CTL_MOD, k->fd, &in);
	c.under_way--;
	ask(k);
}

static void wait_some(int ms)
{
	struct epoll_event got[EVENTS];
	int n = epoll_wait(c.epoll, got, EVENTS, ms);

	for (int i = 0; i < n; i++)
		on_event(&got[i]);
}

static void dial(struct connection *k, size_t at)
{
	struct epoll_event ev = {.events = EPOLLOUT, .data.u64 = at};

	k->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (k->fd < 0)
		fail("socket");
	k->state = CONNECTING;
	c.under_way++;
	if (connect(k->fd, (struct sockaddr *)&c.target[c.next++ % c.targets],
		    sizeof(c.target[0])) &&
	    errno != EINPROGRESS)
		lose(k, errno);
	else if (epoll_ctl(c.epoll, EPOLL_CTL_ADD, k->fd, &ev))
		fail("epoll_ctl");
}

/* Waits for what is under way; gives up what is not answered in time. */
static void settle(uint64_t until)
{
	while (c.under_way && now_ns() < until)
		wait_some(20);
	for (size_t i = 0; c.under_way && i < c.n; i++) {
		if (c.all[i].state != CONNECTING && c.all[i].state != WAITING)
			continue;
		t.unanswered++;
		drop(&c.all[i]);
	}
}

static void open_many(size_t n, uint64_t until)
{
	c.request = get;
	if (c.n + n > c.room) {
		c.room = c.n + n;
		c.all = realloc(c.all, c.room * sizeof(*c.all));
		if (!c.all)
			fail("realloc");
	}
	for (size_t i = 0; i < n; i++) {
		while (c.under_way >= UNDER_WAY && now_ns() < until)
			wait_some(20);
		if (now_ns() >= until) {
			t.unanswered += n - i;
			break;
		}
		memset(&c.all[c.n], 0, sizeof(c.all[c.n]));
		c.n++;
		dial(&c.all[c.n - 1], c.n - 1);
	}
	settle(until);
}

static void ask_many(size_t n, const char *request, uint64_t until)
{
	c.request = request;
	for (size_t i = 0; n && i < c.n; i++) {
		if (c.all[i].state != IDLE)
			continue;
		while (c.under_way >= UNDER_WAY && now_ns() < until)
			wait_some(20);
		if (c.all[i].state != IDLE)
			continue;
		ask(&c.all[i]);
		n--;
	}
	settle(until);
}

static int by_size(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

static void one_by_one(size_t n)
{
	uint64_t *took = calloc(n ? n : 1, sizeof(*took));
	size_t done = 0;

	c.request = get;
	for (size_t tries = 0; took && done < n && tries < 1000 * n; tries++) {
		struct connection *k = &c.all[(size_t)(drand48() * (double)c.n)];
		struct pollfd p = {.fd = k->fd, .events = POLLIN};
		uint64_t begin = now_ns();

		if (k->state != IDLE)
			continue;
		ask(k);
		while (k->state == WAITING && poll(&p, 1, 5000) > 0)
			listen_to(k);
		if (k->state == WAITING) {
			t.unanswered++;
			drop(k);
		}
		took[done++] = now_ns() - begin;
	}
	qsort(took, done, sizeof(*took), by_size);
	if (done)
		printf("{\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, ",
		       (double)took[done / 2] / 1e3, (double)took[done * 9 / 10] / 1e3,
		       (double)took[done * 99 / 100] / 1e3);
	free(took);
}

static void close_all(void)
{
	for (size_t i = 0; i < c.n; i++)
		drop(&c.all[i]);
	c.n = 0;
}

static void command(const char *line)
{
	unsigned long n = 0, s = 0, is_open = 0;
	uint64_t begin = now_ns();

	memset(&t, 0, sizeof(t));
	if (sscanf(line, "open %lu %lu", &n, &s) == 2) {
		open_many(n, begin + s * 1000000000u);
	} else if (sscanf(line, "ask %lu", &s) == 1) {
		ask_many(c.n, get, begin + s * 1000000000u);
	} else if (sscanf(line, "deny %lu %lu", &n, &s) == 2) {
		ask_many(n, forbidden, begin + s * 1000000000u);
	} else if (sscanf(line, "one %lu", &n) == 1) {
		one_by_one(n);
	} else if (!strcmp(line, "close\n")) {
		close_all();
	} else {
		fprintf(stderr, "crowd: what is '%s'?\n", line);
		exit(2);
	}
	for (size_t i = 0; i < c.n; i++)
		is_open += c.all[i].state != CLOSED;
	printf("%s\"open\": %lu, \"answered\": %llu, \"denied\": %llu, \"odd\": %llu, \"reset\": "
	       "%llu, \"refused\": %llu, \"closed\": %llu, \"failed\": %llu, \"unanswered\": %llu, "
	       "\"seconds\": %.3f}\n",
	       strncmp(line, "one ", 4) || !n ? "{" : "", is_open, t.answered, t.denied, t.odd,
	       t.reset, t.refused, t.closed, t.failed, t.unanswered,
	       (double)(now_ns() - begin) / 1e9);
}

static _Noreturn void client(int n, char **targets)
{
	char line[128];

	c.epoll = epoll_create1(EPOLL_CLOEXEC);
	for (int i = 0; i < n; i++) {
		char *colon = strchr(targets[i], ':');

		if (colon)
			*colon = '\0';
		c.target[i].sin_family = AF_INET;
		if (!colon || inet_pton(AF_INET, targets[i], &c.target[i].sin_addr) != 1) {
			errno = EINVAL;
			fail(targets[i]);
		}
		c.target[i].sin_port = htons((uint16_t)atoi(colon + 1));
	}
	c.targets = (unsigned int)n;
	puts("{\"ready\": true}");
	for (;;) {
		read_line(line, sizeof(line));
		command(line);
	}
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	many_files();
	if (argc > 2 && argc <= 2 + TARGETS_MAX && !strcmp(argv[1], "serve"))
		serve(argc - 2, argv + 2);
	if (argc > 2 && argc <= 2 + TARGETS_MAX && !strcmp(argv[1], "connect"))
		client(argc - 2, argv + 2);
	fprintf(stderr, "usage: see the head of bench/crowd.c\n");
	return 2;
}
