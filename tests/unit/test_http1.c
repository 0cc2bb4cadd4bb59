// SPDX-License-Identifier: Apache-2.0
/*
 * The HTTP/1 parser of bpf/proto, compiled for user space, over rules compiled
 * from their text. What it reads lies against pages that may not be touched,
 * what it has not been given is filled with bytes that would change its mind.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_FAIL(...)                                                                           \
	do {                                                                                       \
		fail_msg(__VA_ARGS__);                                                             \
		abort();                                                                           \
	} while (0)

#include "../bpf/requests.h"
#include "http1_stream.h"
#include "observe/names.h"
#include "policy/compile.h"
#include "policy/read.h"

static void on_flaw(void *arg, const char *file, int line, int column, const char *message)
{
	(void)arg;
	(void)file;
	print_error("%d:%d: %s\n", line, column, message);
}

static int setup(void **state)
{
	uint8_t addr[1][16] = {{[10] = 0xff, 0xff, 10, 0, 0, 2}};
	struct bf_label web = {(char *)"app", (char *)"web"};
	struct bf_endpoint ep = {.name = (char *)"web",
				 .namespace = (char *)"shop",
				 .labels = {&web, 1},
				 .addrs = addr,
				 .addr_count = 1};
	struct bf_objects objects = {0};
	struct bf_world world = {.objects = &objects, .endpoints = &ep, .endpoint_count = 1};
	struct bf_image image = {0};
	struct bf_error err = {{0}};

	(void)state;
	if (bf_objects_read(&objects, NULL, REQUESTS_POLICY, strlen(REQUESTS_POLICY), on_flaw,
			    NULL))
		return -1;
	if (bf_image_compile(&world, &image, &err)) {
		print_error("%s\n", err.msg);
		return -1;
	}
	use_image(image.blob.data, image.blob.len);
	bf_image_free(&image);
	bf_objects_free(&objects);
	return 0;
}

static struct outcome whole(reader read, const struct kept *at, const void *bytes, size_t n)
{
	return in_pieces(read, at, bytes, n, NULL, 0, 0);
}

/* The verdict, whatever the packaging: promise 5 of the streams' design. */
static void assert_same(const char *what, const struct outcome *a, const struct outcome *b)
{
	if (a->reason != b->reason || a->rule_ref != b->rule_ref || a->status != b->status ||
	    a->audited != b->audited ||
	    (!a->reason && (a->tunnel != b->tunnel || a->requests != b->requests ||
			    a->responses != b->responses || a->state != b->state)))
		fail_msg("%s: %s, %u requests, %u responses, state %u; in pieces: %s, %u requests, "
			 "%u responses, state %u",
			 what, bf_reason_word(a->reason), a->requests, a->responses, a->state,
			 bf_reason_word(b->reason), b->requests, b->responses, b->state);
}

/* --- requests --------------------------------------------------------------------- */

static const struct {
	const char *what;
	const char *bytes;
	size_t n;
	uint32_t reason;
} requests[] = {
#define X(what, bytes, why) {what, bytes, sizeof(bytes) - 1, BPFAST_R_##why},
	REQUESTS(X)
#undef X
};

#define REQUEST_COUNT (sizeof(requests) / sizeof(requests[0]))

static const uint8_t fills[] = {0, '\r', '\n', ' ', ':', 'x', 0xff};

static void table(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	for (size_t i = 0; i < REQUEST_COUNT; i++) {
		struct outcome out = whole(judge, NULL, requests[i].bytes, requests[i].n);

		if (out.reason == requests[i].reason)
			continue;
		print_error("%s: %s, expected %s\n", requests[i].what, bf_reason_word(out.reason),
			    bf_reason_word(requests[i].reason));
		wrong++;
	}
	if (wrong)
		fail_msg("%u of %zu requests met another end", wrong, REQUEST_COUNT);
}

static void every_split(void **state)
{
	(void)state;
	for (size_t i = 0; i < REQUEST_COUNT; i++) {
		struct outcome a = whole(judge, NULL, requests[i].bytes, requests[i].n);

		for (size_t cut = 0; cut <= requests[i].n; cut++) {
			struct outcome b = in_pieces(judge, NULL, requests[i].bytes, requests[i].n,
						     &cut, 1, fills[cut % sizeof(fills)]);

			assert_same(requests[i].what, &a, &b);
		}
	}
}

static void single_bytes(void **state)
{
	size_t cut[512];

	(void)state;
	for (size_t i = 0; i < 512; i++)
		cut[i] = i + 1;
	for (size_t i = 0; i < REQUEST_COUNT; i++) {
		struct outcome a = whole(judge, NULL, requests[i].bytes, requests[i].n);

		assert_true(requests[i].n <= 512);
		for (size_t f = 0; f < sizeof(fills); f++) {
			struct outcome b = in_pieces(judge, NULL, requests[i].bytes, requests[i].n,
						     cut, requests[i].n - 1, fills[f]);

			assert_same(requests[i].what, &a, &b);
		}
	}
}

/* Every request across the border of two windows, at every place. */
static void over_the_window(void **state)
{
	static uint8_t bytes[INPUT_MAX];

	(void)state;
	for (size_t i = 0; i < REQUEST_COUNT; i++) {
		for (size_t at = 1; at <= requests[i].n; at += i % 3 + 1) {
			/* a request whose body fills the window up to `at` before its end */
			size_t n = HTTP_WINDOW - at, body = n - 64;
			int head = snprintf((char *)bytes, 128,
					    "POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: %05zu"
					    "\r\n\r\n",
					    body);
			struct outcome out;

			memset(bytes + head, 'b', body);
			n = (size_t)head + body;
			memcpy(bytes + n, requests[i].bytes, requests[i].n);
			out = whole(judge, NULL, bytes, n + requests[i].n);
			if (out.reason != requests[i].reason)
				fail_msg("%s, %zu bytes into the window: %s", requests[i].what, at,
					 bf_reason_word(out.reason));
		}
	}
}

/* Mode audit: what no rule allows is told and read on, what cannot be read ends the reading. */
static void audit(void **state)
{
	const char bytes[] = "GET /ok" H "GET /no" H P "Content-Length: 3\r\n\r\nabc"
			     "DELETE /ok" H "GET /ok" H;
	struct kept k = {.audit = 1};
	struct outcome a = whole(judge, &k, bytes, sizeof(bytes) - 1);

	(void)state;
	assert_int_equal(a.reason, BPFAST_R_NONE);
	assert_int_equal(a.requests, 5);
	assert_int_equal(a.audited, 2);
	for (size_t cut = 0; cut < sizeof(bytes); cut++) {
		struct outcome b = in_pieces(judge, &k, bytes, sizeof(bytes) - 1, &cut, 1, '\r');

		assert_same("audit", &a, &b);
	}
	for (size_t i = 0; i < REQUEST_COUNT; i++) {
		a = whole(judge, &k, requests[i].bytes, requests[i].n);
		if (requests[i].reason == BPFAST_R_HTTP_DENIED)
			assert_true(a.reason || a.audited);
		else
			assert_int_equal(a.reason, requests[i].reason);
	}
}

/* The limit of a head counts to the byte, in one piece and in many. */
static void head_limit(void **state)
{
	enum { MAX = BPFAST_HEAD_MAX };
	uint8_t *big = malloc(MAX + 1);
	struct kept k = {0};

	(void)state;
	assert_non_null(big);
	for (__u32 size = MAX; size <= MAX + 1; size++) {
		const char begin_text[] = "GET /ok HTTP/1.1\r\nHost: a\r\nX: ";
		struct outcome a = {0}, b = {0};

		memset(big, 'x', size);
		memcpy(big, begin_text, sizeof(begin_text) - 1);
		memcpy(big + size - 4, "\r\n\r\n", 4);
		memset(&k, 0, sizeof(k));
		judge(&k, big, size, 0, &a);
		assert_int_equal(a.reason, size > MAX ? BPFAST_R_HTTP_HEAD_SIZE : BPFAST_R_NONE);
		memset(&k, 0, sizeof(k));
		for (__u32 at = 0, n; at < size && !b.reason; at += n) {
			n = size - at < 77 ? size - at : 77;
			judge(&k, big + at, n, 'y', &b);
		}
		assert_same("long head", &a, &b);
	}
	free(big);
}

/* --- at random --------------------------------------------------------------------- */

static uint64_t seed;

static uint32_t random_below(uint32_t n)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)(seed >> 33) % n;
}

/* Changes a few bytes to such as matter, and takes some out or puts some in. */
static size_t mutate(uint8_t *b, size_t n, size_t max)
{
	static const char interesting[] = "\r\n :\t\0/.%?;#0a\x7f\xff-,chunked*";

	for (uint32_t i = random_below(4); i > 0 && n; i--) {
		uint32_t at = random_below((uint32_t)n);
		uint8_t c = (uint8_t)interesting[random_below(sizeof(interesting) - 1)];

		switch (random_below(4)) {
		case 0:
			b[at] = c;
			break;
		case 1:
			b[at] ^= (uint8_t)(1u << random_below(8));
			break;
		case 2:
			memmove(b + at, b + at + 1, n - at - 1);
			n--;
			break;
		default:
			if (n == max)
				break;
			memmove(b + at + 1, b + at, n - at);
			b[at] = c;
			n++;
		}
	}
	return n;
}

static size_t random_cuts(size_t *cut, size_t max, size_t n)
{
	size_t cuts = 1 + random_below((uint32_t)max), last = 0;

	for (size_t i = 0; i < cuts; i++) {
		last += random_below((uint32_t)(n - last + 1));
		cut[i] = last;
	}
	return cuts;
}

static void say_seed(void)
{
	const char *text = getenv("BPFAST_SEED");

	seed = text ? strtoull(text, NULL, 0) : 1;
	print_message("BPFAST_SEED=%llu\n", (unsigned long long)seed);
}

/* Damaged requests: nobody knows the verdict, but the packaging may not change it. */
static void damaged_requests(void **state)
{
	(void)state;
	say_seed();
	for (int round = 0; round < 100000; round++) {
		uint8_t bytes[600];
		size_t i = random_below(REQUEST_COUNT), n = requests[i].n, cut[6];
		struct outcome a, b;

		memcpy(bytes, requests[i].bytes, n);
		n = mutate(bytes, n, sizeof(bytes));
		if (!n)
			continue;
		a = whole(judge, NULL, bytes, n);
		b = in_pieces(judge, NULL, bytes, n, cut, random_cuts(cut, 6, n),
			      fills[random_below(sizeof(fills))]);
		assert_same(requests[i].what, &a, &b);
	}
}

/* --- responses ------------------------------------------------------------------------ */

#define R "HTTP/1.1 200 OK\r\n"

static const struct {
	const char *bytes;
	__u32 responses, state;
	bool head; /* of a HEAD request */
} responses[] = {
	{R "Content-Length: 0\r\n\r\n", 1, H1_START, false},
	{R "Content-Length: 5\r\n\r\nhello", 1, H1_START, false},
	{R "Content-Length: 5\r\n\r\nhell", 0, H1_BODY, false},
	{R "Content-Length: 5\r\n\r\n" R "Content-Length: 0\r\n\r\n", 2, H1_START, true},
	{R "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 1, H1_START, false},
	{R "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nT: x\r\n\r\n", 1, H1_START,
	 false},
	{R "Transfer-Encoding: chunked\r\n\r\n", 1, H1_START, true},
	{R "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
	 H1_UNKNOWN, false},
	{"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0, H1_UNKNOWN, false},
	{R "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, H1_UNKNOWN, false},
	{R "\r\nuntil close", 0, H1_UNTIL_CLOSE, false},
	{R "Server: x\r\nDate: y\r\n\r\n", 0, H1_UNTIL_CLOSE, false},
	{"HTTP/1.1 204 No Content\r\n\r\n", 1, H1_START, false},
	{"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", 1, H1_START, false},
	{"HTTP/1.1 100 Continue\r\n\r\n", 0, H1_START, false},
	{"HTTP/1.1 100 Continue\r\n\r\n" R "Content-Length: 0\r\n\r\n", 1, H1_START, false},
	{"HTTP/1.1 101 Switching Protocols\r\n\r\n\x81\5hello", 1, H1_TUNNEL, false},
	{"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 1, H1_START, false},
	{"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 1, H1_START, false},
	{"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", 1, H1_START, false},
	{"HTTP/1.2 200 OK\r\n\r\n", 0, H1_UNKNOWN, false},
	{"HTTP/2 200 OK\r\n\r\n", 0, H1_UNKNOWN, false},
	{"HTTP/1.1 20 OK\r\n\r\n", 0, H1_UNKNOWN, false},
	{"HTTP/1.1 200 OK\nContent-Length: 0\n\n", 0, H1_UNKNOWN, false},
	{R "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", 0, H1_UNKNOWN, false},
	{R "Content-Length: 5, 5\r\n\r\nhello", 0, H1_UNKNOWN, false},
	{R "Content-Length: -5\r\n\r\nhello", 0, H1_UNKNOWN, false},
	{R "Content-Length : 5\r\n\r\nhello", 0, H1_UNKNOWN, false},
	{R "Transfer-Encoding: chunked\r\n\r\nzz\r\n", 0, H1_UNKNOWN, false},
	{"garbage", 0, H1_UNKNOWN, false},
};

#define RESPONSE_COUNT (sizeof(responses) / sizeof(responses[0]))

static void response_table(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	for (size_t i = 0; i < RESPONSE_COUNT; i++) {
		struct kept k = {.head_requests = responses[i].head};
		size_t n = strlen(responses[i].bytes);
		struct outcome a = whole(answer, &k, responses[i].bytes, n);

		if (a.responses != responses[i].responses || a.state != responses[i].state) {
			print_error("%s\n%u responses, state %u\n", responses[i].bytes, a.responses,
				    a.state);
			wrong++;
		}
		for (size_t cut = 0; cut <= n; cut++) {
			struct outcome b = in_pieces(answer, &k, responses[i].bytes, n, &cut, 1,
						     fills[cut % sizeof(fills)]);

			assert_same(responses[i].bytes, &a, &b);
		}
	}
	if (wrong)
		fail_msg("%u responses were read otherwise", wrong);
}

static void damaged_responses(void **state)
{
	(void)state;
	say_seed();
	for (int round = 0; round < 100000; round++) {
		uint8_t bytes[600];
		size_t i = random_below(RESPONSE_COUNT), n = strlen(responses[i].bytes), cut[6];
		struct kept k = {.head_requests = responses[i].head};
		struct outcome a, b;

		memcpy(bytes, responses[i].bytes, n);
		n = mutate(bytes, n, sizeof(bytes));
		if (!n)
			continue;
		a = whole(answer, &k, bytes, n);
		b = in_pieces(answer, &k, bytes, n, cut, random_cuts(cut, 6, n),
			      fills[random_below(sizeof(fills))]);
		assert_same(responses[i].bytes, &a, &b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(every_split),
		cmocka_unit_test(single_bytes),
		cmocka_unit_test(over_the_window),
		cmocka_unit_test(audit),
		cmocka_unit_test(head_limit),
		cmocka_unit_test(damaged_requests),
		cmocka_unit_test(response_table),
		cmocka_unit_test(damaged_responses),
	};

	return cmocka_run_group_tests_name("http1", tests, setup, NULL);
}
