// SPDX-License-Identifier: Apache-2.0
/* Upgrade and CONNECT: what becomes a tunnel, and what stays HTTP. */
#include "cases.h"

#define GET "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"
#define BAD "GET /no HTTP/1.1\r\nHost: a\r\n\r\n"
#define WS_HEAD(path, token)                                                                       \
	"GET " path " HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: " token "\r\n\r\n"
#define WS WS_HEAD("/ws", "websocket")
#define R200 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
#define R101 "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
#define CONNECT "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"
#define FRAME "\x81\x85\1\2\3\4hello"
#define LEN(literal) (sizeof(literal) - 1)

#define RULES                                                                                      \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: web, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  ingress:\n"                                                                             \
	"  - toPorts:\n"                                                                           \
	"    - ports: [{port: \"80\", protocol: TCP}]\n"                                           \
	"      rules:\n"                                                                           \
	"        http:\n"                                                                          \
	"        - {method: GET, path: \"/ok|/ws\"}\n"                                             \
	"        - {method: GET, path: /ws, upgrade: [websocket, foo/2.0]}\n"                      \
	"        - {method: CONNECT, host: \"db:5432\", upgrade: [connect]}\n"                     \
	"        - {method: \"CONNECT\", host: \"plain:1\"}\n"

static struct talk opened(void)
{
	static uint16_t port = 41000;
	struct talk t = TALK(.client_port = port++);

	talk_open(&t);
	return t;
}

/* From the server's 101 on nobody reads the client's bytes any more, nor keeps them. */
static void agreed(void **state)
{
	static const char *const asked[] = {WS, WS_HEAD("/ws", "WebSocket"),
					    WS_HEAD("/ws", " foo/2.0 ")};

	(void)state;
	policy(RULES);
	for (size_t i = 0; i < 3; i++) {
		struct talk t = opened();

		FORWARDED(client_says(&t, GET));
		FORWARDED(server_says(&t, R200));
		FORWARDED(client_sends(&t, (struct bytes){asked[i], strlen(asked[i])}));
		FORWARDED(server_says(&t, R101));
		FORWARDED(client_says(&t, FRAME));
		FORWARDED(client_says(&t, BAD));
		FORWARDED(CLIENT(&t, .seq = t.client_seq - 3, .data = B("xyz")));
		FORWARDED(CLIENT(&t, .seq = t.client_seq + 99, .data = B("ahead")));
		FORWARDED(server_says(&t, "\x81\x5hello"));
	}
	EXPECT(chunks_held() == 0);
}

/* As long as the server has not agreed it is HTTP. */
static void not_yet(void **state)
{
	struct talk t;

	(void)state;
	policy(RULES);
	t = opened();
	FORWARDED(client_says(&t, WS));
	/* The answer would land before the server's: it waits. */
	DROPPED(CLIENT(&t, .data = B(FRAME)), HTTP_WEBSOCKET);
	FORWARDED(server_says(&t, R200)); /* no */
	FORWARDED(client_says(&t, GET));
	FORWARDED(server_says(&t, R200));
	DENIED_403(&t, client_says(&t, FRAME), HTTP_WEBSOCKET, LEN(FRAME));
}

/* Only what a rule lets, and only for the last request. */
static void not_allowed(void **state)
{
	static const char *const asked[] = {
		WS_HEAD("/ok", "websocket"), /* no rule lets this path */
		WS_HEAD("/ws", "h2c"),
		WS_HEAD("/ws", "websocket, h2c"),
		WS_HEAD("/ws", "websocket\r\nUpgrade: websocket"),
		WS_HEAD("/ws", ""),
		WS GET, /* the client goes on with HTTP */
		"GET /ws HTTP/1.0\r\nUpgrade: websocket\r\n\r\n", /* RFC 9110, section 7.8 */
	};

	(void)state;
	policy(RULES);
	for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
		struct talk t = opened();

		client_sends(&t, (struct bytes){asked[i], strlen(asked[i])});
		FORWARDED(server_says(&t, R101));
		RESET_BOTH(&t, client_says(&t, FRAME), HTTP_WEBSOCKET, LEN(FRAME));
	}
}

/* A 101 that answers another request agrees to nothing. */
static void another_answer(void **state)
{
	struct talk t;

	(void)state;
	policy(RULES);
	t = opened();
	FORWARDED(client_says(&t, GET));
	FORWARDED(client_says(&t, WS));
	FORWARDED(server_says(&t, R101));
	RESET_BOTH(&t, client_says(&t, FRAME), HTTP_WEBSOCKET, LEN(FRAME));
	/* Nor does one of which bytes are missing. */
	t = opened();
	FORWARDED(client_says(&t, WS));
	FORWARDED(SERVER(&t, .seq = t.server_seq + 10, .data = B(R101)));
	RESET_BOTH(&t, client_says(&t, FRAME), HTTP_WEBSOCKET, LEN(FRAME));
}

static void connect(void **state)
{
	struct talk t;

	(void)state;
	policy(RULES);
	t = opened();
	FORWARDED(client_says(&t, CONNECT));
	FORWARDED(server_says(&t, "HTTP/1.1 200 Connection established\r\n\r\n"));
	FORWARDED(client_says(&t, "\x16\3\1 anything"));
	/* A refusal has a body, and HTTP goes on. */
	t = opened();
	FORWARDED(client_says(&t, CONNECT));
	FORWARDED(server_says(&t, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"));
	FORWARDED(client_says(&t, GET));
	FORWARDED(server_says(&t, R200));
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
	/* The method alone is no permission for what comes behind it. */
	t = opened();
	DENIED_403(&t, client_says(&t, "CONNECT plain:1 HTTP/1.1\r\nHost: plain:1\r\n\r\n"),
		   HTTP_TUNNEL, LEN("CONNECT plain:1 HTTP/1.1\r\nHost: plain:1\r\n\r\n"));
	/* The 200 of a request before it is no answer to it. */
	t = opened();
	FORWARDED(client_says(&t, GET CONNECT));
	FORWARDED(server_says(&t, R200));
	DROPPED(CLIENT(&t, .data = B(BAD)), HTTP_DENIED);
	FORWARDED(server_says(&t, "HTTP/1.1 200 OK\r\n\r\n"));
	FORWARDED(client_says(&t, BAD));
}

/* A policy change that takes the permission away cuts a tunnel like any connection. */
static void revoked(void **state)
{
	struct talk t;

	(void)state;
	policy(RULES);
	t = opened();
	FORWARDED(client_says(&t, WS));
	FORWARDED(server_says(&t, R101));
	FORWARDED(client_says(&t, FRAME));
	policy("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
	       "metadata: {name: none, namespace: shop}\n"
	       "spec: {podSelector: {}, policyTypes: [Ingress]}\n");
	EXPECT(!client_says(&t, FRAME)->metrics.packets[BPFAST_INGRESS]);
	/* A new connection on the same ports is HTTP again. */
	policy(RULES);
	t = TALK(.client_port = t.client_port, .client_seq = 5, .server_seq = 6);
	talk_open(&t);
	DENIED_403(&t, client_says(&t, FRAME), HTTP_WEBSOCKET, LEN(FRAME));
}

/* Nor is it a tunnel because the client chose the numbers of the last connection. */
static void same_numbers_again(void **state)
{
	struct talk t;

	(void)state;
	policy(RULES);
	t = opened();
	FORWARDED(client_says(&t, WS));
	FORWARDED(server_says(&t, R101));
	FORWARDED(client_closes(&t));
	FORWARDED(server_closes(&t));
	t = TALK(.client_port = t.client_port, .server_seq = 99000);
	talk_open(&t);
	DENIED_403(&t, client_says(&t, FRAME), HTTP_WEBSOCKET, LEN(FRAME));
	/* The server may forget without a word. */
	t = TALK(.client_port = 50001);
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	FORWARDED(server_says(&t, R200));
	FORWARDED(server_closes(&t));
	t = TALK(.client_port = 50001, .server_seq = 99000);
	talk_open(&t);
	DENIED_403(&t, client_says(&t, BAD), HTTP_DENIED, LEN(BAD));
}

int cases_tunnel(void)
{
	const struct CMUnitTest tests[] = {
		CASE(agreed),  CASE(not_yet), CASE(not_allowed),	CASE(another_answer),
		CASE(connect), CASE(revoked), CASE(same_numbers_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
