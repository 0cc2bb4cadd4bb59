// SPDX-License-Identifier: Apache-2.0
/* The streams of the invariance test. */
#include "corpus.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpfast/limits.h"
#include "packet.h"
#include "requests.h"

#define POLICY(name, port, what)                                                                   \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: " name ", namespace: shop}\n"                                            \
	"spec:\n"                                                                                  \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  " what "\n"                                                                             \
	"  ingress:\n" RULES(port) "  egress:\n" RULES(port)
#define RULES(port)                                                                                \
	"  - toPorts:\n"                                                                           \
	"    - ports: [{port: \"" port "\", protocol: TCP}]\n"                                     \
	"      rules:\n"                                                                           \
	"        http:\n" REQUESTS_RULES

const char corpus_policy[] = POLICY("web", "80", "onDeny: reply") "---\n" POLICY(
	"web-reset", "81", "onDeny: reset") "---\n" POLICY("web-drop", "82", "onDeny: drop");
const char corpus_audit_policy[] = POLICY("web-audit", "83", "mode: audit");

#define GET "GET /ok" H
#define BAD "GET /no" H
#define POST P "Content-Length: 11\r\n\r\nGET /no HTT"
#define CHUNKS C "5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"

static const struct {
	const char *what;
	struct bytes bytes;
	bool good;
} requests[] = {
#define X(what, bytes, why) {what, B(bytes), #why[0] == 'N'},
	REQUESTS(X)
#undef X
};

#define REQUEST_COUNT (sizeof(requests) / sizeof(requests[0]))

/* A stream that grows. */
struct text {
	uint8_t bytes[STREAM_MAX];
	size_t len;
};

static void put(struct text *t, const void *p, size_t n)
{
	assert_true(t->len + n <= sizeof(t->bytes));
	memcpy(t->bytes + t->len, p, n);
	t->len += n;
}

#define PUT(t, literal) put((t), (literal), sizeof(literal) - 1)

__attribute__((format(printf, 2, 3))) static void putf(struct text *t, const char *format, ...)
{
	char line[256];
	va_list args;
	int n;

	va_start(args, format);
	n = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	assert_true(n >= 0 && n < (int)sizeof(line));
	put(t, line, (size_t)n);
}

/* Takes what was written as a stream, and begins anew. */
__attribute__((format(printf, 3, 4))) static void add(struct corpus *c, struct text *t,
						      const char *format, ...)
{
	struct stream *s;
	va_list args;

	c->stream = realloc(c->stream, (c->count + 1) * sizeof(*c->stream));
	assert_non_null(c->stream);
	s = &c->stream[c->count++];
	va_start(args, format);
	vsnprintf(s->name, sizeof(s->name), format, args);
	va_end(args);
	s->len = t->len;
	s->bytes = malloc(t->len);
	assert_non_null(s->bytes);
	memcpy(s->bytes, t->bytes, t->len);
	t->len = 0;
}

/* Each of the requests first, behind others and between others. */
static void add_requests(struct corpus *c, struct text *t)
{
	for (size_t i = 0; i < REQUEST_COUNT; i++) {
		const struct bytes *b = &requests[i].bytes;

		put(t, b->p, b->n);
		add(c, t, "%s", requests[i].what);
		PUT(t, GET);
		put(t, b->p, b->n);
		add(c, t, "behind a request: %s", requests[i].what);
		if (i % 3 == 0) {
			PUT(t, POST);
			put(t, b->p, b->n);
			PUT(t, GET);
			add(c, t, "between a body and a request: %s", requests[i].what);
		} else if (i % 3 == 1) {
			PUT(t, CHUNKS);
			put(t, b->p, b->n);
			PUT(t, BAD);
			add(c, t, "between chunks and a refused request: %s", requests[i].what);
		}
	}
}

static void put_filler(struct text *t, size_t n)
{
	static const char filler[] = "GET /no HTTP/1.1\r\nHost: a\r\n\r\n5\r\n";

	while (n) {
		size_t now = n < sizeof(filler) - 1 ? n : sizeof(filler) - 1;

		put(t, filler, now);
		n -= now;
	}
}

static void put_chunks(struct text *t, size_t n, size_t size)
{
	PUT(t, C);
	while (n) {
		size_t now = n < size ? n : size;

		putf(t, "%zx\r\n", now);
		put_filler(t, now);
		PUT(t, "\r\n");
		n -= now;
	}
	PUT(t, "0\r\n\r\n");
}

/* Bodies of some segments, with what comes behind them. */
static void add_bodies(struct corpus *c, struct text *t)
{
	static const size_t sizes[] = {300, 1460, 3000};
	static const struct {
		const char *what;
		struct bytes bytes;
	} after[] = {{"nothing", {"", 0}},
		     {"a request", B(GET)},
		     {"a refused request", B(BAD GET)},
		     {"TLS", B("\x16\x03\x01\x02\x00")}};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		for (size_t j = 0; j < sizeof(after) / sizeof(after[0]); j++) {
			putf(t, P "Content-Length: %zu\r\n\r\n", sizes[i]);
			put_filler(t, sizes[i]);
			put(t, after[j].bytes.p, after[j].bytes.n);
			add(c, t, "a body of %zu, then %s", sizes[i], after[j].what);
		}
	}
	for (size_t size = 1; size <= 400; size = size * 4 + 1) {
		for (size_t j = 0; j < sizeof(after) / sizeof(after[0]); j++) {
			put_chunks(t, size < 20 ? 60 : 1200, size);
			put(t, after[j].bytes.p, after[j].bytes.n);
			add(c, t, "chunks of %zu, then %s", size, after[j].what);
		}
	}
	for (size_t j = 0; j < sizeof(after) / sizeof(after[0]); j++) {
		PUT(t, C "3\r\nabc\r\n0\r\nX-Sum: 1\r\nX-More: two words\r\n\r\n");
		put(t, after[j].bytes.p, after[j].bytes.n);
		add(c, t, "a trailer, then %s", after[j].what);
	}
	PUT(t, P "Content-Length: 4000\r\n\r\n");
	put_filler(t, 1000);
	add(c, t, "a body that does not end");
	PUT(t, C "ffff\r\n");
	put_filler(t, 1000);
	add(c, t, "a chunk that does not end");
}

/* Heads and a trailer that do not end: where a FIN says that they never will, they are refused. */
static void add_torn(struct corpus *c, struct text *t)
{
	static const char head[] = "GET /ok HTTP/1.1\r\nHost: a\r\nX-A: b\r\n\r";
	static const char trailer[] = "0\r\nX-Sum: 1\r\n\r";

	for (size_t n = 1; n < sizeof(head); n += n < sizeof(head) - 4 ? 3 : 1) {
		put(t, head, n);
		add(c, t, "%zu bytes of a head", n);
		PUT(t, GET CHUNKS);
		put(t, head, n);
		add(c, t, "behind two requests: %zu bytes of a head", n);
	}
	for (size_t n = 4; n < sizeof(trailer); n++) {
		PUT(t, C "3\r\nabc\r\n");
		put(t, trailer, n);
		add(c, t, "%zu bytes of a trailer", n);
	}
}

static void put_headers(struct text *t, size_t n)
{
	for (size_t i = 0; i < n; i++)
		putf(t, "X-Header-%zu: some value, and more of it; %zu\r\n", i, i * 7919);
}

static void add_heads(struct corpus *c, struct text *t)
{
	static const size_t over[] = {0, 1, 2, 300};

	PUT(t, L "Host: a\r\n");
	put_headers(t, 40);
	PUT(t, "\r\n" GET);
	add(c, t, "a long head");
	PUT(t, "GET /tenant HTTP/1.1\r\nHost: a\r\n");
	put_headers(t, 30);
	PUT(t, "X-Tenant: blue\r\n");
	put_headers(t, 5);
	PUT(t, "\r\n" BAD);
	add(c, t, "a long head with the header late");
	PUT(t, "GET /tenant HTTP/1.1\r\nHost: a\r\nX-Tenant: blue\r\n");
	put_headers(t, 30);
	PUT(t, "X-Tenant: red\r\n\r\n");
	add(c, t, "a long head that another value ends");
	PUT(t, GET L "Host: a\r\n");
	put_headers(t, 30);
	PUT(t, "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello");
	add(c, t, "a long head with two lengths at its end");
	PUT(t, L "Host: a\r\n");
	put_headers(t, 20);
	PUT(t, "X: a\0b\r\n\r\n");
	add(c, t, "a long head with NUL late");
	PUT(t, "GET /ok/");
	for (int i = 0; i < 200; i++)
		PUT(t, "abc%20/./");
	PUT(t, H BAD);
	add(c, t, "a long target");
	PUT(t, "GET /no/");
	for (int i = 0; i < 200; i++)
		PUT(t, "abc%20/./");
	PUT(t, H);
	add(c, t, "a long target that no rule knows");
	PUT(t, "GET /ok/");
	for (int i = 0; i < 200; i++)
		PUT(t, "abc%20/");
	PUT(t, ".." H);
	add(c, t, "a long target with dot-dot at its end");
	/* To the limit and over it, in a value that nobody reads. */
	for (size_t i = 0; i < sizeof(over) / sizeof(over[0]); i++) {
		PUT(t, L "Host: a\r\nX: ");
		while (t->len < BPFAST_HEAD_MAX - 4 + over[i])
			PUT(t, "x");
		PUT(t, "\r\n\r\n" BAD);
		add(c, t, "a head of %zu bytes", (size_t)BPFAST_HEAD_MAX + over[i]);
	}
}

static void add_pipelines(struct corpus *c, struct text *t)
{
	static const size_t bad[] = {0, 1, 2, 14, 29, 30};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		for (size_t n = 0; n < 30; n++)
			putf(t, "%s /%s/%zu" H, n % 5 ? "GET" : "HEAD", n == bad[i] ? "no" : "ok",
			     n);
		add(c, t, "thirty requests, refused: number %zu", bad[i]);
	}
}

/* Messages drawn at random: good ones, at most one that is not, good ones. */
static void add_random(struct corpus *c, struct text *t)
{
	uint64_t r = 0x9e3779b97f4a7c15;

	for (int i = 0; i < 60; i++) {
		bool refused = false;

		r = r * 6364136223846793005u + 1442695040888963407u;
		for (size_t n = 2 + (r >> 60) % 5; n;) {
			size_t at;

			r = r * 6364136223846793005u + 1442695040888963407u;
			at = (r >> 33) % REQUEST_COUNT;
			if (!requests[at].good && (refused || r >> 62))
				continue;
			refused |= !requests[at].good;
			put(t, requests[at].bytes.p, requests[at].bytes.n);
			n--;
		}
		add(c, t, "drawn at random, %d", i);
	}
}

void corpus_make(struct corpus *c)
{
	struct text *t = calloc(1, sizeof(*t));

	assert_non_null(t);
	memset(c, 0, sizeof(*c));
	add_requests(c, t);
	add_bodies(c, t);
	add_torn(c, t);
	add_heads(c, t);
	add_pipelines(c, t);
	add_random(c, t);
	free(t);
}

void corpus_free(struct corpus *c)
{
	for (size_t i = 0; i < c->count; i++)
		free(c->stream[i].bytes);
	free(c->stream);
}
