// SPDX-License-Identifier: Apache-2.0
/*
 * Both ends of a bulk transfer over HTTP/1.1, cheap enough not to be what is measured.
 *
 *   bulk serve CONGESTION PORT...
 *   bulk put|get ADDRESS PORT BYTES CONGESTION
 *   bulk chunked ADDRESS PORT BYTES CONGESTION CHUNK
 *
 * A client does one request, on a connection that is open already when the clock
 * starts, and prints the seconds until all of the answer was there, then the sender's
 * retransmitted segments. The server serves one connection after the other.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (256 << 10)
#define PORTS_MAX 8

static char buffer[BUFFER + 1];

static _Noreturn void fail(const char *what)
{
	fprintf(stderr, "bulk: %s: %s\n", what, errno ? strerror(errno) : "not as expected");
	exit(1);
}

static int write_all(int fd, const char *p, size_t n)
{
	while (n) {
		ssize_t got = send(fd, p, n, MSG_NOSIGNAL);

		if (got < 0)
			return -1;
		p += got;
		n -= (size_t)got;
	}
	return 0;
}

/* n bytes of nothing in particular. */
static int write_body(int fd, unsigned long long n)
{
	while (n) {
		size_t piece = n < BUFFER ? (size_t)n : BUFFER;

		if (write_all(fd, buffer, piece))
			return -1;
		n -= piece;
	}
	return 0;
}

/* --- reading: what is in the buffer from `at` to `end`, and more when that is used up --- */

struct reader {
	int fd;
	size_t at, end;
};

static int more(struct reader *r)
{
	ssize_t got = recv(r->fd, buffer, BUFFER, 0);

	if (got <= 0)
		return -1;
	r->at = 0;
	r->end = (size_t)got;
	return 0;
}

static int skip(struct reader *r, unsigned long long n)
{
	while (n) {
		size_t here;

		if (r->at == r->end && more(r))
			return -1;
		here = r->end - r->at;
		if (here > n)
			here = (size_t)n;
		r->at += here;
		n -= here;
	}
	return 0;
}

/* A line without its end; what is too long for `line` is cut. */
static int read_line(struct reader *r, char *line, size_t size)
{
	size_t n = 0;

	for (;;) {
		char c;

		if (r->at == r->end && more(r))
			return -1;
		c = buffer[r->at++];
		if (c == '\n')
			break;
		if (c != '\r' && n + 1 < size)
			line[n++] = c;
	}
	line[n] = '\0';
	return 0;
}

struct head {
	char first[128];
	unsigned long long length;
	bool chunked;
};

static int read_head(struct reader *r, struct head *h)
{
	char line[128];

	memset(h, 0, sizeof(*h));
	if (read_line(r, h->first, sizeof(h->first)))
		return -1;
	do {
		if (read_line(r, line, sizeof(line)))
			return -1;
		if (!strncmp(line, "Content-Length: ", 16))
			h->length = strtoull(line + 16, NULL, 10);
		if (!strcmp(line, "Transfer-Encoding: chunked"))
			h->chunked = true;
	} while (line[0]);
	return 0;
}

/* Reads a body to its end. Returns its bytes, or -1. */
static long long read_body(struct reader *r, const struct head *h)
{
	unsigned long long size, all = 0;
	char line[64];

	if (!h->chunked)
		return skip(r, h->length) ? -1 : (long long)h->length;
	do {
		if (read_line(r, line, sizeof(line)))
			return -1;
		size = strtoull(line, NULL, 16);
		if (skip(r, size) || read_line(r, line, sizeof(line)) || line[0])
			return -1;
		all += size;
	} while (size);
	return (long long)all;
}

/* --- server --- */

static void serve(int fd)
{
	struct timeval patience = {.tv_sec = 30};
	struct reader r = {.fd = fd};
	unsigned long long want;
	struct head h;
	char out[256];
	long long got;
	int n;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (read_head(&r, &h))
		return;
	if (sscanf(h.first, "GET /bulk/%llu", &want) == 1) {
		n = snprintf(out, sizeof(out), "HTTP/1.1 200 OK\r\nContent-Length: %llu\r\n\r\n",
			     want);
		if (!write_all(fd, out, (size_t)n))
			write_body(fd, want);
		return;
	}
	got = read_body(&r, &h);
	if (got < 0)
		return;
	n = snprintf(out, sizeof(out),
		     "HTTP/1.1 200 OK\r\nX-Bytes: %lld\r\nContent-Length: 0\r\n\r\n", got);
	write_all(fd, out, (size_t)n);
}

static _Noreturn void server(const char *congestion, int n, char **ports)
{
	struct pollfd fds[PORTS_MAX];
	int one = 1;

	for (int i = 0; i < n; i++) {
		struct sockaddr_in a = {.sin_family = AF_INET,
					.sin_port = htons((uint16_t)atoi(ports[i]))};
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, congestion,
			       (socklen_t)strlen(congestion)))
			fail(congestion);
		if (bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 64))
			fail("listen");
		fds[i] = (struct pollfd){.fd = fd, .events = POLLIN};
	}
	for (;;) {
		if (poll(fds, (nfds_t)n, -1) < 0)
			fail("poll");
		for (int i = 0; i < n; i++) {
			int fd;

			if (!fds[i].revents)
				continue;
			fd = accept(fds[i].fd, NULL, NULL);
			if (fd < 0)
				continue;
			serve(fd);
			close(fd);
		}
	}
}

/* --- client --- */

/* As many chunks as fit, each of `chunk` bytes, then the next ones. */
static int write_chunks(int fd, unsigned long long n, size_t chunk)
{
	static char framed[2 * BUFFER];
	size_t used = 0;

	while (n) {
		size_t size = n < chunk ? (size_t)n : chunk;

		if (used + size + 24 > sizeof(framed)) {
			if (write_all(fd, framed, used))
				return -1;
			used = 0;
		}
		used += (size_t)sprintf(framed + used, "%zx\r\n", size);
		memset(framed + used, 'c', size);
		used += size;
		memcpy(framed + used, "\r\n", 2);
		used += 2;
		n -= size;
	}
	memcpy(framed + used, "0\r\n\r\n", 5);
	return write_all(fd, framed, used + 5);
}

static int client(const char *what, char **args, size_t chunk)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(args[1]))};
	unsigned long long bytes = strtoull(args[2], NULL, 10);
	int fd = socket(AF_INET, SOCK_STREAM, 0), n, err;
	struct timespec begin, end;
	struct tcp_info info = {0};
	socklen_t size = sizeof(info);
	struct reader r = {.fd = fd};
	struct head h;
	char out[256];

	if (inet_pton(AF_INET, args[0], &a.sin_addr) != 1)
		fail(args[0]);
	if (setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, args[3], (socklen_t)strlen(args[3])))
		fail(args[3]);
	if (connect(fd, (struct sockaddr *)&a, sizeof(a)))
		fail("connect");
	clock_gettime(CLOCK_MONOTONIC, &begin);
	if (!strcmp(what, "get"))
		n = snprintf(out, sizeof(out), "GET /bulk/%llu HTTP/1.1\r\nHost: web\r\n\r\n",
			     bytes);
	else if (chunk)
		n = snprintf(
			out, sizeof(out),
			"PUT /bulk/0 HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n");
	else
		n = snprintf(out, sizeof(out),
			     "PUT /bulk/0 HTTP/1.1\r\nHost: web\r\nContent-Length: %llu\r\n\r\n",
			     bytes);
	err = write_all(fd, out, (size_t)n);
	if (!err && strcmp(what, "get"))
		err = chunk ? write_chunks(fd, bytes, chunk) : write_body(fd, bytes);
	if (err)
		fail("send");
	errno = 0;
	if (read_head(&r, &h) || !strstr(h.first, " 200 "))
		fail("the answer");
	if (skip(&r, h.length) || (!strcmp(what, "get") && h.length != bytes))
		fail("the answer's body");
	clock_gettime(CLOCK_MONOTONIC, &end);
	getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size);
	printf("%.6f %u\n",
	       (double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9,
	       info.tcpi_total_retrans);
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	memset(buffer, 'b', BUFFER);
	if (argc > 3 && argc <= 3 + PORTS_MAX && !strcmp(argv[1], "serve"))
		server(argv[2], argc - 3, argv + 3);
	if (argc == 6 && (!strcmp(argv[1], "put") || !strcmp(argv[1], "get")))
		return client(argv[1], argv + 2, 0);
	if (argc == 7 && !strcmp(argv[1], "chunked") && atoi(argv[6]) > 0 &&
	    atoi(argv[6]) <= BUFFER)
		return client(argv[1], argv + 2, (size_t)atoi(argv[6]));
	fprintf(stderr, "usage: see the head of bench/bulk.c\n");
	return 2;
}
