// SPDX-License-Identifier: Apache-2.0
/* The retention pool: who may keep how much, and what happens where there is no room. */
#include "cases.h"

#define GET "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"
#define CHUNKED "POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
#define REPLY "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

#define AHEAD_CHUNKS (BPFAST_FLOW_CHUNKS - BPFAST_FILL_CHUNKS)

/* What is ahead of a gap takes all that it may: what fills the gap has room all the same. */
static void room_to_fill(void **state)
{
	char kilo[1024];

	(void)state;
	memset(kilo, 'x', sizeof(kilo));
	policy(WEB);
	/* First of an endpoint's share, of which one flow gets an eighth of what is left; then of
	 * what one flow may hold. */
	for (int i = 0; i < 2; i++) {
		struct talk t = TALK(.client_port = (uint16_t)(50000 + i));
		uint32_t before = chunks_held(), lost, room = i ? AHEAD_CHUNKS : 7;

		control()->retain_share = i ? CHUNKS : 64;
		talk_open(&t);
		FORWARDED(client_says(&t, CHUNKED));
		lost = t.client_seq;
		t.client_seq += 7;
		/* The head is kept in one already. */
		for (; room > 1; room--, t.client_seq += 1024)
			FORWARDED(CLIENT(&t, .data = ((struct bytes){kilo, 1024})));
		EXPECT(chunks_held() - before == (i ? AHEAD_CHUNKS : 7));
		DROPPED(CLIENT(&t, .data = ((struct bytes){kilo, 1024})), RETAIN_FULL);
		FORWARDED(CLIENT(&t, .seq = lost, .data = B("fffff\r\n")));
		FORWARDED(CLIENT(&t, .data = ((struct bytes){kilo, 1024})));
	}
}

/* More than a flow may hold is not forwarded, and never unread. */
static void no_room(void **state)
{
	char kilo[1024];
	struct talk t = TALK();
	uint32_t begin;
	int i;

	(void)state;
	memset(kilo, 'x', sizeof(kilo));
	policy(WEB);
	talk_open(&t);
	begin = t.client_seq;
	t.client_seq += 4;
	for (i = 0; i < AHEAD_CHUNKS; i++, t.client_seq += 1024)
		FORWARDED(CLIENT(&t, .data = ((struct bytes){kilo, 1024})));
	DROPPED(CLIENT(&t, .data = ((struct bytes){kilo, 1024})), RETAIN_FULL);
	FORWARDED(CLIENT(&t, .seq = begin + 4, .data = ((struct bytes){kilo, 1024})));
	EXPECT(chunks_held() == AHEAD_CHUNKS);
	t.client_seq = begin;
	DENIED_403(&t, CLIENT(&t, .data = B("GET ")), HTTP_TARGET, 4);
	EXPECT(chunks_held() == 0);
	/* And all flows of an endpoint together. */
	control()->retain_share = 2;
	for (i = 0; i < 3; i++) {
		t = TALK(.client_port = (uint16_t)(50000 + i));
		talk_open(&t);
		if (i < 2)
			FORWARDED(client_says(&t, GET));
		else
			DROPPED(CLIENT(&t, .data = B(GET)), RETAIN_FULL);
	}
}

/* Connections that hoard leave room for others, and when room is short they go. */
static void hoarders(void **state)
{
	char kilo[1024];
	struct talk t;

	(void)state;
	memset(kilo, 'x', sizeof(kilo));
	policy(WEB);
	control()->retain_share = 64;
	for (uint16_t i = 0; i < 40; i++) {
		t = TALK(.client_port = (uint16_t)(50000 + i));
		talk_open(&t);
		t.client_seq += 4;
		while (CLIENT(&t, .data = ((struct bytes){kilo, 1024}))->forwarded)
			t.client_seq += 1024;
	}
	EXPECT(chunks_held() > 48 && chunks_held() < 60);
	t = TALK();
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	FORWARDED(server_says(&t, REPLY));
	FORWARDED(CLIENT(&t));
	/* As if half a minute had passed without an acknowledgement: the next who finds no room
	 * has the table swept. */
	chunks_age(40);
	nap(1100); /* one sweep a second */
	t = TALK(.client_port = 50000, .client_seq = 1001 + 4 + 100000, .server_seq = 70001);
	DROPPED(CLIENT(&t, .data = ((struct bytes){kilo, 1024})), RETAIN_FULL);
	for (int i = 0; i < 100 && chunks_held() > 48; i++)
		nap(50);
	EXPECT(chunks_held() <= 48); /* three quarters */
}

/* One that was given back while its endpoint's slot got another owner is not missed. */
static void one_too_few(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(WEB);
	chunks_miscount(-1);
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	EXPECT(chunks_held() == 0);
	FORWARDED(server_says(&t, REPLY));
	FORWARDED(CLIENT(&t));
	chunks_miscount(0);
}

/* Nor is one that is stuck reset in mode audit: it is read no more. */
static void hoarders_in_audit(void **state)
{
	struct talk t;

	(void)state;
	policy(WEB "  mode: audit\n");
	control()->retain_share = 64;
	for (uint16_t i = 0; i < 64; i++) {
		t = TALK(.client_port = (uint16_t)(50000 + i));
		talk_open(&t);
		FORWARDED(client_says(&t, "GET /o"));
	}
	EXPECT(chunks_held() == 64);
	chunks_age(40);
	nap(1100);
	t = TALK();
	talk_open(&t);
	FORWARDED(client_says(&t, GET));
	for (int i = 0; i < 100 && chunks_held() > 48; i++)
		nap(50);
	EXPECT(chunks_held() <= 48);
	for (uint16_t i = 0; i < 64; i++) {
		t = TALK(.client_port = (uint16_t)(50000 + i), .client_seq = 1001 + 6,
			 .server_seq = 70001);
		FORWARDED(client_says(&t, "k HTTP/1.1\r\nHost: a\r\n\r\n"));
	}
}

int cases_pool(void)
{
	const struct CMUnitTest tests[] = {
		CASE(room_to_fill), CASE(no_room),	     CASE(hoarders),
		CASE(one_too_few),  CASE(hoarders_in_audit),
	};

	return cmocka_run_group_tests_name("pool", tests, NULL, NULL);
}
