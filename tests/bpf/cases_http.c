// SPDX-License-Identifier: Apache-2.0
/* Requests and responses: each gets its verdict and its record, wherever its bytes lie. */
#include "cases.h"

#include <stdio.h>

#include "observe/names.h"
#include "requests.h"

#define GET "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"
#define BAD "GET /no HTTP/1.1\r\nHost: a\r\n\r\n"
#define R200 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define LEN(literal) (sizeof(literal) - 1)

static const struct {
	const char *what;
	struct bytes bytes;
	uint32_t reason;
} requests[] = {
#define X(what, bytes, why) {what, B(bytes), BPFAST_R_##why},
	REQUESTS(X)
#undef X
};

#define REQUEST_COUNT (sizeof(requests) / sizeof(requests[0]))

/* Sends bytes as one segment, and again what was cut off, until all is through or refused. */
static uint32_t send_all(struct talk *t, struct bytes data)
{
	while (data.n) {
		uint32_t before = t->client_seq;
		const struct seen *s = client_sends(t, data);
		size_t n = t->client_seq - before;

		if (s->metrics.helper_errors)
			fail_msg("a helper failed");
		if (!n)
			return s->reason;
		data.p = (const char *)data.p + n;
		data.n -= n;
	}
	return BPFAST_R_NONE;
}

/* Every request of the table in one segment. */
static void table(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	policy(REQUESTS_POLICY);
	for (size_t i = 0; i < REQUEST_COUNT * 2; i++) {
		struct talk t = TALK(.v6 = i & 1);
		uint32_t reason;

		talk_open(&t);
		reason = send_all(&t, requests[i / 2].bytes);
		if (reason != requests[i / 2].reason) {
			print_error("%s: %s, expected %s\n", requests[i / 2].what,
				    bf_reason_word(reason), bf_reason_word(requests[i / 2].reason));
			wrong++;
		}
		world_reset(NULL);
	}
	if (wrong)
		fail_msg("%u of %zu requests met another end", wrong, REQUEST_COUNT * 2);
}

/* And cut into two segments at every place. */
static void every_split(void **state)
{
	unsigned int wrong = 0, splits = 0;

	(void)state;
	policy(REQUESTS_POLICY);
	for (size_t i = 0; i < REQUEST_COUNT; i++) {
		const struct bytes *all = &requests[i].bytes;

		for (size_t cut = 1; cut < all->n; cut++) {
			struct talk t = TALK(.v6 = cut & 1, .client_port = (uint16_t)(40000 + cut));
			uint32_t reason;

			talk_open(&t);
			reason = send_all(&t, (struct bytes){all->p, cut});
			if (!reason)
				reason = send_all(&t, (struct bytes){(const char *)all->p + cut,
								     all->n - cut});
			if (reason != requests[i].reason && wrong++ < 10)
				print_error("%s, cut at %zu: %s, expected %s\n", requests[i].what,
					    cut, bf_reason_word(reason),
					    bf_reason_word(requests[i].reason));
			splits++;
		}
		world_reset(NULL);
	}
	if (wrong)
		fail_msg("%u of %u splits changed the verdict", wrong, splits);
}

/* A byte at a time. */
static void single_bytes(void **state)
{
	(void)state;
	policy(REQUESTS_POLICY);
	for (size_t i = 0; i < REQUEST_COUNT; i += 5) {
		struct talk t = TALK(.v6 = i & 1);
		uint32_t reason = 0;

		talk_open(&t);
		for (size_t n = 0; n < requests[i].bytes.n && !reason; n++)
			reason = send_all(&t,
					  (struct bytes){(const char *)requests[i].bytes.p + n, 1});
		if (reason != requests[i].reason)
			fail_msg("%s: %s", requests[i].what, bf_reason_word(reason));
		world_reset(NULL);
	}
}

/* The line of a request that no rule can match never leaves. */
static void line_never_leaves(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(REQUESTS_POLICY);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /no HTTP/1."));
	FORWARDED(client_says(&t, "1\r"));
	DENIED_403(&t, client_says(&t, "\n"), HTTP_DENIED, 1);
}

/* --- a connection's life ---------------------------------------------------------- */

static void keep_alive(void **state)
{
	(void)state;
	policy(REQUESTS_POLICY);
	for (int i = 0; i < 4; i++) {
		struct talk t = TALK(.v6 = i & 1, .vlan = i & 2);
		const struct bpfast_event *ev;
		const struct seen *s;

		talk_open(&t);
		for (int n = 0; n < 3; n++) {
			s = FORWARDED(client_says(&t, "GET /ok?q=1 HTTP/1.1\r\nHost: a\r\n\r\n"));
			EXPECT(s->metrics.http_requests[BPFAST_V_FORWARDED] == 1);
			ev = RECORDED(s, FORWARDED, NONE, "GET /ok?q=1");
			EXPECT(ev->type == BPFAST_EV_HTTP_REQUEST && ev->flags == 0);
			EXPECT(ev->http_minor == 1);
			EXPECT(!strcmp(event_ref(ev), "PayloadPolicy\tshop\tweb\t"
						      "spec.ingress[0].toPorts[0].rules.http[0]"));
			s = FORWARDED(server_says(&t, "HTTP/1.1 404 Not Found\r\n"
						      "Content-Length: 3\r\n\r\nno!"));
			EXPECT(s->metrics.http_responses[4] == 1);
			ev = RECORDED(s, FORWARDED, NONE, "GET /ok?q=1");
			EXPECT(ev->type == BPFAST_EV_HTTP_RESPONSE && ev->status == 404);
			EXPECT(ev->flags == BPFAST_EF_REPLY && ev->latency_ns > 0);
		}
		s = client_says(&t, "GET /no?x HTTP/1.1\r\nHost: a\r\n\r\n");
		DENIED_403(&t, s, HTTP_DENIED, LEN("GET /no?x HTTP/1.1\r\nHost: a\r\n\r\n"));
		ev = RECORDED(s, DROPPED, HTTP_DENIED, "GET /no?x");
		EXPECT(!strcmp(event_ref(ev),
			       "PayloadPolicy\tshop\tweb\tspec.ingress[0].toPorts[0]"));
		world_reset(NULL);
	}
}

/* The pod is the client: its egress rules judge, and it is the pod who is told. */
static void egress(void **state)
{
	(void)state;
	policy("apiVersion: bpfast.io/v1alpha1\n"
	       "kind: PayloadPolicy\n"
	       "metadata: {name: out, namespace: shop}\n"
	       "spec:\n"
	       "  endpointSelector: {matchLabels: {app: web}}\n"
	       "  egress:\n"
	       "  - toPorts:\n"
	       "    - ports: [{port: \"80\", protocol: TCP}]\n"
	       "      rules: {http: [{path: \"/ok\"}]}\n");
	for (int i = 0; i < 2; i++) {
		struct talk t = TALK(.v6 = i, .egress = true, .opt = TIMESTAMPS);
		const struct seen *s;

		talk_open(&t);
		s = FORWARDED(client_says(&t, GET));
		EXPECT(RECORDED(s, FORWARDED, NONE, "GET /ok")->flags == BPFAST_EF_EGRESS);
		FORWARDED(server_says(&t, R200));
		DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
	}
}

/* The beginning of a long target is kept for the record. */
static void long_target(void **state)
{
	struct talk t = TALK();
	const struct bpfast_event *ev;
	const struct seen *s;

	(void)state;
	policy(REQUESTS_POLICY);
	talk_open(&t);
	s = FORWARDED(client_says(&t, "GET /ok/0123456789/0123456789/0123456789/0123456789/"
				      "0123456789/0123456789/0123456789/0123456789"
				      " HTTP/1.1\r\nHost: a\r\n\r\n"));
	EXPECT(s->events == 1);
	ev = &s->event[0];
	EXPECT(ev->flags & BPFAST_EF_TEXT_CUT);
	EXPECT(ev->text_len == BPFAST_FLOW_TEXT);
	EXPECT(!memcmp(ev->text, "GET /ok/0123456789/0123456789/0123456789/0123456789/0123456789",
		       BPFAST_FLOW_TEXT));
}

/* --- several requests in a packet ---------------------------------------------------- */

static void pipelined(void **state)
{
	static char many[40 * LEN(GET)];
	struct talk t = TALK();
	const struct seen *s;

	(void)state;
	policy(REQUESTS_POLICY);
	talk_open(&t);
	for (size_t i = 0; i < 40; i++)
		memcpy(many + i * LEN(GET), GET, LEN(GET));
	control()->observed = 0; /* so many records in one packet */
	control()->records_per_second = 0;
	s = FORWARDED(client_sends(&t, (struct bytes){many, sizeof(many)}));
	EXPECT(s->metrics.http_requests[BPFAST_V_FORWARDED] == 40);
	for (int i = 0; i < 40; i++)
		EXPECT(server_says(&t, R200)->metrics.http_responses[2] == 1);
	control()->observed = 1;
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
}

/* What was allowed leaves, cut off the rest; the rest waits until nothing is owed. */
static void allowed_then_denied(void **state)
{
	(void)state;
	policy(REQUESTS_POLICY);
	for (int i = 0; i < 8; i++) {
		struct talk t = TALK(.v6 = i & 1, .vlan = i & 2);
		struct seen_tcp out;
		const struct seen *s;

		if (i & 4)
			t.opt = TIMESTAMPS;
		talk_open(&t);
		s = CLIENT(&t, .flags = ACK | PSH | FIN, .data = B(GET GET BAD GET));
		EXPECT(s->forwarded && s->reason == BPFAST_R_NONE && s->sents == 0);
		EXPECT(s->metrics.http_requests[BPFAST_V_FORWARDED] == 2);
		EXPECT(s->metrics.http_requests[BPFAST_V_DROPPED] == 0);
		out = packet_read_tcp(s->out.b, s->out.len); /* every checksum is right */
		EXPECT(out.data_len == LEN(GET GET) && !memcmp(out.data, GET GET, out.data_len));
		EXPECT(!(out.flags & FIN) && out.seq == t.client_seq);
		EXPECT(out.opt_len == t.opt.n && !memcmp(out.opt, t.opt.p, t.opt.n));
		/* Sent again from the start: the allowed are old, and go, for the server may have lost
		 * them; the denied waits for two answers. */
		s = CLIENT(&t, .data = B(GET GET BAD GET));
		EXPECT(s->forwarded && s->metrics.http_requests[BPFAST_V_FORWARDED] == 0);
		out = packet_read_tcp(s->out.b, s->out.len);
		EXPECT(out.data_len == LEN(GET GET) && !memcmp(out.data, GET GET, out.data_len));
		t.client_seq += LEN(GET GET);
		DROPPED(CLIENT(&t, .data = B(BAD GET)), HTTP_DENIED);
		FORWARDED(server_says(&t, R200));
		DROPPED(CLIENT(&t, .data = B(BAD GET)), HTTP_DENIED);
		FORWARDED(server_says(&t, "HTTP/1.1 200 OK\r\nContent-Le"));
		DROPPED(CLIENT(&t, .data = B(BAD GET)), HTTP_DENIED);
		FORWARDED(server_says(&t, "ngth: 2\r\n\r\no"));
		DROPPED(CLIENT(&t, .data = B(BAD GET)), HTTP_DENIED);
		FORWARDED(server_says(&t, "k"));
		DENIED_403(&t, CLIENT(&t, .data = B(BAD GET)), HTTP_DENIED, LEN(BAD GET));
		world_reset(NULL);
	}
}

/* A super-packet is cut to one segment at most. */
static void cut_super_packet(void **state)
{
	static char big[3000];
	struct talk t = TALK();
	struct seen_tcp out;
	const struct seen *s;
	size_t n = 0;

	(void)state;
	policy(REQUESTS_POLICY);
	control()->observed = 0;
	control()->records_per_second = 0;
	for (; n + LEN(GET) < 2500; n += LEN(GET))
		memcpy(big + n, GET, LEN(GET));
	memcpy(big + n, BAD, LEN(BAD));
	n += LEN(BAD);
	talk_open(&t);
	s = CLIENT(&t, .data = {big, n}, .gso = 1000);
	EXPECT(s->forwarded && s->reason == BPFAST_R_NONE && s->metrics.helper_errors == 0);
	out = packet_read_tcp(s->out.b, s->out.len);
	EXPECT(out.data_len > 500 && out.data_len <= 1000);
	EXPECT(!memcmp(out.data, big, out.data_len));
	/* The rest, cut again and again, until only the denied is left. */
	for (size_t done = out.data_len; done < n; done += out.data_len) {
		t.client_seq += (uint32_t)out.data_len;
		s = CLIENT(&t, .data = {big + done, n - done});
		if (!s->forwarded) {
			EXPECT(n - done == LEN(BAD) && s->reason == BPFAST_R_HTTP_DENIED);
			return;
		}
		out = packet_read_tcp(s->out.b, s->out.len);
		EXPECT(out.data_len && !memcmp(out.data, big + done, out.data_len));
	}
	fail_msg("the denied request went through");
}

/* --- heads and bodies over many packets ------------------------------------------------- */

/* A request of size bytes, sent in pieces. What the last one met. */
static const struct seen *long_request(struct talk *t, size_t size)
{
	static char head[BPFAST_HEAD_MAX + 1];
	const char begin[] = "GET /ok HTTP/1.1\r\nX: ", end[] = "\r\nHost: a\r\n\r\n";
	const struct seen *s = NULL;

	assert_true(size <= sizeof(head));
	memset(head, 'x', size);
	memcpy(head, begin, LEN(begin));
	memcpy(head + size - LEN(end), end, LEN(end));
	talk_open(t);
	for (size_t done = 0, n; done < size; done += n) {
		n = size - done < 1024 ? size - done : 1024;
		s = client_sends(t, (struct bytes){head + done, n});
		if (done + n < size)
			FORWARDED(s);
	}
	return s;
}

static void long_heads(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(REQUESTS_POLICY);
	FORWARDED(long_request(&t, BPFAST_HEAD_MAX));
	FORWARDED(client_says(&t, GET));
	t = TALK(.client_port = 40001);
	DENIED_403(&t, long_request(&t, BPFAST_HEAD_MAX + 1), HTTP_HEAD_SIZE, 1);
}

/* A body costs nothing and is not read. */
static void long_bodies(void **state)
{
	static char body[3000];
	struct talk t = TALK();

	(void)state;
	policy(REQUESTS_POLICY);
	memset(body, '\n', sizeof(body));
	talk_open(&t);
	FORWARDED(
		client_says(&t, "POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n"));
	for (int i = 0; i < 100; i++)
		FORWARDED(client_sends(&t, (struct bytes){body, sizeof(body)}));
	FORWARDED(client_says(
		&t, "POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
	for (int i = 0; i < 10; i++) {
		FORWARDED(client_says(&t, "BB8\r"));
		FORWARDED(client_says(&t, "\n"));
		FORWARDED(client_sends(&t, (struct bytes){body, sizeof(body)}));
		FORWARDED(client_says(&t, "\r\n"));
	}
	FORWARDED(client_says(&t, "0\r\n\r\n" GET));
	FORWARDED(server_says(&t, R200 R200 R200));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
}

/* --- responses ---------------------------------------------------------------------- */

/* After this response a denied request is answered with a 403 at once: nothing is owed. */
static void response_ends(void **state)
{
	static const struct {
		const char *request, *response;
		int status; /* 0: not told */
	} rows[] = {
		{GET, R200, 200},
		{GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 200},
		{GET, "HTTP/1.1 204 No Content\r\n\r\n", 204},
		{GET, "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n", 304},
		{GET, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		 200},
		{GET,
		 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\n"
		 "T: x\r\n\r\n",
		 200},
		{GET,
		 "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n",
		 201},
		{GET, "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" R200, 200},
		{"HEAD /ok HTTP/1.1\r\nHost: a\r\n\r\n",
		 "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", 200},
		{"HEAD /ok HTTP/1.1\r\nHost: a\r\n\r\n",
		 "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200},
		{GET, "HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", 200},
		{GET, "HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", 500},
	};

	(void)state;
	policy(REQUESTS_POLICY);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t len = strlen(rows[i].response);

		for (size_t cut = 0; cut < len; cut++) {
			struct talk t = TALK(.client_port = (uint16_t)(40000 + cut));
			const struct seen *s;
			int status = 0;

			talk_open(&t);
			FORWARDED(client_sends(
				&t, (struct bytes){rows[i].request, strlen(rows[i].request)}));
			if (cut) {
				s = FORWARDED(
					server_sends(&t, (struct bytes){rows[i].response, cut}));
				EXPECT(s->events == 0);
			}
			s = FORWARDED(server_sends(
				&t, (struct bytes){rows[i].response + cut, len - cut}));
			if (s->events == 1)
				status = s->event[0].status;
			if (status != rows[i].status)
				fail_msg("%s, cut at %zu: status %d", rows[i].response, cut,
					 status);
			DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
		}
		world_reset(NULL);
	}
}

/* The server says something whose end nobody can know: no 403 may land inside it. */
static void response_without_an_end(void **state)
{
	static const char *const rows[] = {
		"garbage",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\nhello",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
		"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
	};

	(void)state;
	policy(REQUESTS_POLICY);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct talk t = TALK(.client_port = (uint16_t)(40000 + i));

		talk_open(&t);
		FORWARDED(client_says(&t, GET));
		FORWARDED(server_sends(&t, (struct bytes){rows[i], strlen(rows[i])}));
		FORWARDED(server_says(&t, "and so on"));
		RESET_BOTH(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
	}
}

/* A response that ends with the connection is owed until then. */
static void response_until_close(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(REQUESTS_POLICY);
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	FORWARDED(server_says(&t, "HTTP/1.1 200 OK\r\nX: y\r\n\r\nuntil I close"));
	FORWARDED(SERVER(&t, .seq = t.server_seq + 50, .data = B("out of order")));
	DROPPED(client_says(&t, BAD), HTTP_DENIED);
	FORWARDED(server_closes(&t));
	RESET_BOTH(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
}

/* A gap in the responses: nothing may be concluded any more, and nothing is dropped. */
static void response_gap(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(REQUESTS_POLICY);
	talk_open(&t);
	FORWARDED(client_says(&t, GET GET));
	FORWARDED(SERVER(&t, .seq = t.server_seq + 10, .data = B(R200)));
	FORWARDED(server_says(&t, R200));
	FORWARDED(client_says(&t, GET));
	RESET_BOTH(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
}

/* In a body of known length a gap means nothing. */
static void response_gap_in_a_body(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(REQUESTS_POLICY);
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	FORWARDED(server_says(&t, "HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n"));
	FORWARDED(SERVER(&t, .seq = t.server_seq + 10, .data = B("0123456789")));
	FORWARDED(SERVER(&t, .data = B("0123456789")));
	t.server_seq += 20;
	FORWARDED(server_says(&t, "0123456789"));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
}

/* An upgrade ends HTTP only where the server says so; what the client then sends no rule allows. */
static void upgrades(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(REQUESTS_POLICY);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"));
	FORWARDED(server_says(&t, "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n"));
	FORWARDED(client_says(&t, GET));
	FORWARDED(server_says(&t, R200));
	DENIED_403(&t, client_says(&t, "\x81\x85\1\2\3\4hello"), HTTP_WEBSOCKET, 11);

	t = TALK(.client_port = 40001);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"));
	FORWARDED(
		server_says(&t, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"));
	FORWARDED(server_says(&t, "\x81\5hello"));
	RESET_BOTH(&t, client_says(&t, "\x81\x85\1\2\3\4hello"), HTTP_WEBSOCKET, 11);
	/* Something that looks like a request is one. */
	t = TALK(.client_port = 40002);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\n\r\n"));
	FORWARDED(
		server_says(&t, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"));
	RESET_BOTH(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
}

/* HEAD has no body: told apart for 64 requests in flight. */
static void pipelined_heads(void **state)
{
#define HEAD1 "HEAD /ok HTTP/1.1\r\nHost: a\r\n\r\n"
	struct talk t = TALK();

	(void)state;
	policy(REQUESTS_POLICY);
	control()->observed = 0;
	control()->records_per_second = 0;
	talk_open(&t);
	for (int i = 0; i < 32; i++)
		FORWARDED(client_says(&t, HEAD1 GET));
	/* The next would take the place of a HEAD whose answer is still owed. */
	DROPPED(client_says(&t, HEAD1), HTTP_PIPELINE);
	DROPPED(client_says(&t, GET), HTTP_PIPELINE);
	for (int i = 0; i < 4; i++)
		FORWARDED(server_says(&t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
					  "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"));
	FORWARDED(client_says(&t, HEAD1));
}

/* --- changes of policy between requests ------------------------------------------------- */

#define RULES(paths)                                                                               \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: web, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  ingress:\n"                                                                             \
	"  - toPorts:\n"                                                                           \
	"    - ports: [{port: \"80\", protocol: TCP}]\n"                                           \
	"      rules: {http: [{path: \"" paths "\"}]}\n"

static void rules_change_between_requests(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(RULES("/ok"));
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	FORWARDED(server_says(&t, R200));
	policy(RULES("/no"));
	forget_old_policies();
	FORWARDED(client_says(&t, "GET /no HTTP/1.1\r\nHost: a\r\n\r\n"));
	FORWARDED(server_says(&t, R200));
	DENIED_403(&t, client_says(&t, GET), HTTP_DENIED, LEN(GET));
}

/* A head is judged to its end by the rules it began under. */
static void rules_change_within_a_head(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(RULES("/ok"));
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /o"));
	policy(RULES("/no"));
	FORWARDED(client_says(&t, "k HTTP/1.1\r\nHost: a\r\n\r\n"));
	FORWARDED(server_says(&t, R200));
	/* Until those rules are gone. */
	FORWARDED(client_says(&t, "GET /n"));
	policy(RULES("/no|/ok"));
	forget_old_policies();
	RESET_BOTH(&t, client_says(&t, "o HTTP/1.1\r\nHost: a\r\n\r\n"), STALE_TABLES, 24);
	/* Chunks have no rules, and a trailer is read under the new ones. */
	t = TALK(.client_port = 40002);
	talk_open(&t);
	FORWARDED(client_says(&t, "POST /ok HTTP/1.1\r\nHost: a\r\n"
				  "Transfer-Encoding: chunked\r\n\r\n4\r"));
	policy(RULES("/ok|/new"));
	forget_old_policies();
	FORWARDED(client_says(&t, "\nabcd\r"));
	FORWARDED(client_says(&t, "\n0\r\nX: y\r\n\r\n"));
	FORWARDED(server_says(&t, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r"));
	policy(RULES("/ok"));
	forget_old_policies();
	FORWARDED(server_says(&t, "\nX: y\r\n\r\n"));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
	policy(RULES("/no|/ok"));
	/* A body has no rules: it goes on. */
	t = TALK(.client_port = 40001);
	talk_open(&t);
	FORWARDED(client_says(&t, "POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nab"));
	policy(RULES("/no"));
	forget_old_policies();
	FORWARDED(client_says(&t, "cdef"));
	FORWARDED(server_says(&t, R200));
	DENIED_403(&t, client_says(&t, GET), HTTP_DENIED, LEN(GET));
}

int cases_http(void)
{
	const struct CMUnitTest tests[] = {
		CASE(table),
		CASE(every_split),
		CASE(single_bytes),
		CASE(line_never_leaves),
		CASE(keep_alive),
		CASE(egress),
		CASE(long_target),
		CASE(pipelined),
		CASE(allowed_then_denied),
		CASE(cut_super_packet),
		CASE(long_heads),
		CASE(long_bodies),
		CASE(response_ends),
		CASE(response_without_an_end),
		CASE(response_until_close),
		CASE(response_gap),
		CASE(response_gap_in_a_body),
		CASE(upgrades),
		CASE(pipelined_heads),
		CASE(rules_change_between_requests),
		CASE(rules_change_within_a_head),
	};

	return cmocka_run_group_tests_name("http", tests, NULL, NULL);
}
