// SPDX-License-Identifier: Apache-2.0
/* What the census says of connections, and of which it says nothing. */
#include "cases.h"

#include <arpa/inet.h>

#include "datapath/census.h"
#include "datapath/internal.h"

static struct bf_census *census;
static const struct bpfast_census_row *rows;
static uint32_t left_out;

static uint32_t look(bool closed)
{
	uint64_t took;
	uint32_t n;

	assert_int_equal(bf_census_run(census, closed, &rows, &n, &left_out, &took), 0);
	return n;
}

static const struct bpfast_census_row *at(uint16_t port, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		if (rows[i].key.remote_port == htons(port))
			return &rows[i];
	return NULL;
}

static void rows_of_connections(void **state)
{
	struct talk head = TALK(.client_port = 50000), body = TALK(.client_port = 50001);
	struct talk reading = TALK(.client_port = 50002), plain = TALK(.client_port = 50003);
	const struct bpfast_census_row *r;
	uint32_t n;

	(void)state;
	plain.server_port = 22;
	policy(WEB);
	talk_open(&head);
	talk_open(&plain);
	/* Nothing was sent that had to acknowledge the server's number. */
	n = look(false);
	EXPECT(!at(50000, n));
	EXPECT(n == 1 && !(at(50003, n)->flags & BPFAST_FF_HTTP));
	FORWARDED(client_says(&head, "GET /ok HTTP/1.1\r\nHo"));
	talk_open(&body);
	FORWARDED(
		client_says(&body, "POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab"));
	talk_open(&reading);
	FORWARDED(client_says(&reading, "GET /ok?x HTTP/1.1\r\nHost: a\r\n\r\n"));
	FORWARDED(server_says(&reading, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nab"));
	n = look(false);
	EXPECT(n == 4);
	r = at(50000, n);
	EXPECT(r && r->client_state > BPFAST_STREAM_BETWEEN &&
	       r->client_state <= BPFAST_STREAM_HEAD_LAST);
	EXPECT(r->requests == 0 && r->client_next == head.client_seq &&
	       r->server_next == head.server_seq);
	r = at(50001, n);
	EXPECT(r && r->client_state == BPFAST_STREAM_BODY && r->requests == 1);
	r = at(50002, n);
	EXPECT(r && r->client_state == BPFAST_STREAM_BETWEEN &&
	       r->server_state == BPFAST_STREAM_BODY);
	EXPECT(r->text_len == 9 && !memcmp(r->text, "GET /ok?x", 9));
	/* What is over is told of only where somebody counts requests. */
	FORWARDED(server_says(&reading, "cdefghi"));
	FORWARDED(client_closes(&reading));
	FORWARDED(server_closes(&reading));
	EXPECT(look(false) == 3);
	EXPECT(look(true) == 4);
	/* A reset is told of: whether it was believed the server's next words say. */
	FORWARDED(CLIENT(&head, .flags = RST));
	n = look(false);
	EXPECT(n == 3 && at(50000, n)->flags & BPFAST_FF_RST);
	FORWARDED(CLIENT(&plain, .flags = RST));
	EXPECT(look(false) == 2);
}

/* What the pod begins, and the node, is not counted; nor what was refused. */
static void no_rows(void **state)
{
	struct talk t = TALK(.client_port = 50000);

	(void)state;
	policy(WEB);
	FORWARDED(run_from_host(PACKET(ETH(), IP4(), TCP(.dport = 80, .flags = SYN))));
	talk_open(&t);
	client_says(&t, "GET /no HTTP/1.1\r\nHost: a\r\n\r\n");
	EXPECT(look(true) == 0 && left_out == 0);
}

static void a_reset_is_sent(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct talk t = TALK(.client_port = 50000), u = TALK(.client_port = 50001, .v6 = true);

	(void)state;
	policy(WEB);
	talk_open(&t);
	talk_open(&u);
	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nHo"));
	FORWARDED(client_says(&u, "GET /ok HTTP/1.1\r\nHo"));
	EXPECT(look(false) == 2);
	for (int i = 0; i < 2; i++)
		EXPECT(bf_census_end(census, &rows[i], (int)world_device(), mac) == 0);
	/* No such device. */
	EXPECT(bf_census_end(census, &rows[0], 99999, mac) < 0);
}

/* A busy client has gone on since the look: its server believes only the number of now. */
static void the_reset_is_of_now(void **state)
{
	static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
	struct talk t = TALK(.client_port = 50000);
	const struct seen *s;
	bool now = false;
	uint32_t seq;

	(void)state;
	policy(WEB);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nHo"));
	EXPECT(look(false) == 1);
	FORWARDED(client_says(&t, "st: a"));
	EXPECT(rows[0].client_next != t.client_seq);
	EXPECT(bf_census_end(census, &rows[0], (int)world_device(), mac) == 0);
	s = run(TO_POD, PACKET(ETH(), ARP()));
	EXPECT(s->sents > 0);
	for (size_t i = 0; i < s->sents; i++) {
		memcpy(&seq, s->sent[i].frame.b + 14 + 20 + 4, 4);
		now |= s->sent[i].to_pod && ntohl(seq) == t.client_seq;
	}
	EXPECT(now);
}

static int open_census(void **state)
{
	struct bf_datapath dp = {0};
	struct bf_error err = {""};

	(void)state;
	for (int m = 0; m < BF_MAPS; m++)
		dp.map[m] = world_map(bf_map_name[m]);
	if (bf_census_open(&dp, &census, &err))
		fail_msg("%s", err.msg);
	return 0;
}

static int close_census(void **state)
{
	(void)state;
	bf_census_close(census);
	return 0;
}

int cases_census(void)
{
	const struct CMUnitTest tests[] = {
		CASE(rows_of_connections),
		CASE(no_rows),
		CASE(a_reset_is_sent),
		CASE(the_reset_is_of_now),
	};

	return cmocka_run_group_tests_name("census", tests, open_census, close_census);
}
