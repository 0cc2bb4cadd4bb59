// SPDX-License-Identifier: Apache-2.0
/* Who keeps a server waiting, who has too many connections, who asks too often: time and traffic are made up. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "shield/crowd.h"

#define ROWS 8192
#define HEAD 9 /* H1_NAME: any state within a head */

static struct bpfast_census_row row[ROWS];
static uint8_t reason[ROWS];
static struct bf_crowd_verdicts v;
static struct bf_crowd_limits limits;
static struct bf_crowd_rule rules[2];
static size_t rule_count;
static struct bf_crowd *crowd;
static uint64_t ms;
static uint8_t allowed; /* last byte of the address that is on the allow list */

static bool exempt(void *arg, const uint8_t addr[16])
{
	(void)arg;
	return allowed && addr[15] == allowed;
}

static int setup(void **state)
{
	(void)state;
	memset(row, 0, sizeof(row));
	limits = bf_crowd_defaults;
	limits.connections = 4096;
	bf_crowd_free(crowd); /* where a test begins anew */
	crowd = bf_crowd_new(7);
	v.reason = reason;
	ms = 1000000;
	allowed = 0;
	rule_count = 0;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	bf_crowd_free(crowd);
	crowd = NULL;
	return 0;
}

/* n connections of sources 10.0.0.1 and on, one after the other; HTTP. */
static void rows(uint32_t n, uint32_t sources, uint8_t client_state, uint8_t server_state)
{
	for (uint32_t i = 0; i < n; i++) {
		struct bpfast_census_row *r = &row[i];
		uint32_t source = i % sources;

		memset(r, 0, sizeof(*r));
		r->key.remote[10] = r->key.remote[11] = 0xff;
		r->key.remote[12] = 10;
		r->key.remote[14] = (uint8_t)(source >> 8);
		r->key.remote[15] = (uint8_t)(source + 1);
		r->key.remote_port = htons((uint16_t)(1024 + i));
		r->key.local_port = htons(80);
		r->key.protocol = 6;
		r->flags = BPFAST_FF_HTTP | BPFAST_FF_SENT;
		r->requests = client_state == HEAD ? 0 : 1;
		r->client_state = client_state;
		r->server_state = server_state;
		r->seen_ns = ms * 1000000;
		r->text_len = 6;
		memcpy(r->text, "GET /a", 6);
	}
}

/* One look at n rows, after `wait` ms; returns how many connections end. */
static uint32_t look(uint32_t n, uint32_t wait)
{
	uint32_t ended = 0;

	ms += wait;
	assert_int_equal(
		bf_crowd_judge(crowd, &limits, rules, rule_count, ms, row, n, exempt, NULL, &v), 0);
	for (uint32_t i = 0; i < n; i++)
		ended += reason[i] != BPFAST_R_NONE;
	return ended;
}

/* Looks each quarter of a second; returns the ms at which the first one ended, 1 for at once; or 0. */
static uint32_t first_end(uint32_t n, uint32_t seconds, void (*each)(uint32_t n))
{
	for (uint32_t t = 0; t < seconds * 1000; t += 250) {
		if (each)
			each(n);
		if (look(n, t ? 250 : 0))
			return t ? t : 1;
	}
	return 0;
}

static uint32_t asks; /* requests of each connection between two looks */

static void ask(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		row[i].requests += asks;
}

static void an_endpoint_has_limits_of_its_own(void **state)
{
	(void)state;
	/* One source, two pods: at each 100 connections that ask ten times in a look. */
	rows(200, 1, 0, 0);
	for (uint32_t i = 0; i < 200; i++)
		row[i].key.endpoint = i < 100 ? 1 : 2;
	rules[0] = (struct bf_crowd_rule){.endpoint = 1, .limits = limits};
	rules[0].limits.requests = 50;
	rules[0].limits.block_s = 0;
	look(200, 250);
	for (int with = 0; with < 2; with++) {
		rule_count = (size_t)with;
		for (uint32_t i = 0; i < 200; i++)
			row[i].requests += 10;
		assert_int_equal(look(200, 250), with ? 100 : 0);
	}
	assert_int_equal(reason[0], BPFAST_R_HTTP_FLOOD);
	assert_int_equal(reason[199], BPFAST_R_NONE);
	/* Nobody is blocked there; the source opens no connection at the one until it is as quiet as asked. */
	assert_int_equal(v.sources, 1);
	assert_int_equal(v.source[0].endpoint, 1);
	assert_int_equal(v.source[0].block_s, 0);
	/* 1,875 at 50 a second, of which two seconds are free. */
	assert_int_equal(v.source[0].pause_ms, 35500);
}

/* What was asked too much is paid for at the limit's rate, but a second and a minute are the least and the most. */
static void without_a_block_there_is_a_pause(void **state)
{
	static const struct {
		uint32_t limit, asks, least, most;
	} cases[] = {{400, 10, 1000, 1000}, {100, 10, 7000, 8000}, {1, 10, 60000, 60000}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (int path = 0; path < 2; path++) {
			setup(state);
			rows(100, 1, 0, 0);
			limits.block_s = 0;
			limits.requests = path ? 0 : cases[i].limit;
			limits.path_requests = path ? cases[i].limit : 0;
			look(100, 250);
			asks = cases[i].asks;
			ask(100);
			assert_int_equal(look(100, 250), 100);
			assert_int_equal(v.sources, 1);
			assert_int_equal(v.source[0].block_s, 0);
			assert_in_range(v.source[0].pause_ms, cases[i].least, cases[i].most);
			/* While it holds it is not said again. */
			look(100, 250);
			assert_int_equal(v.sources, 0);
		}
	/* Of connections that are too many or too slow there is no time when they are paid for. */
	setup(state);
	limits.block_s = 0;
	rows(40, 1, HEAD, 0);
	assert_int_equal(first_end(40, 20, NULL), 500);
	assert_int_equal(v.sources, 0);
}

/* Also where each request has a connection of its own, and none is open at the look. */
static void closed_connections_count(void **state)
{
	const uint32_t fins = BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_FIN_FROM_SERVER;

	(void)state;
	limits.requests = 100;
	look(0, 250);
	rows(300, 1, 0, 0);
	for (uint32_t i = 0; i < 300; i++)
		row[i].flags |= fins;
	assert_int_equal(look(300, 250), 0);
	assert_int_equal(v.sources, 1);
	assert_int_equal(v.source[0].reason, BPFAST_R_HTTP_FLOOD);
	limits.requests = 0;
}

/* An RST after which the server goes on was not believed: the next look says it again, and not at once where it was. */
static void a_reset_that_was_not_believed(void **state)
{
	for (int believed = 0; believed < 2; believed++) {
		setup(state);
		limits.requests = 100;
		limits.block_s = 0;
		rows(50, 1, 0, 0);
		look(50, 250);
		asks = 100;
		ask(50);
		assert_int_equal(look(50, 250), 50);
		for (uint32_t i = 0; i < 50; i++) {
			row[i].flags |= BPFAST_FF_RST;
			row[i].server_acked += believed ? 0 : 40;
		}
		assert_int_equal(look(50, 250), believed ? 0 : 50);
		assert_int_equal(look(50, 250), 0);
	}
	limits.requests = 0;
}

/* Who finds no room at one look has it at the next. */
static void more_sources_than_one_look_takes(void **state)
{
	for (int block = 0; block < 2; block++) {
		uint32_t n = 2 * BF_CROWD_SOURCES + 1, room = BF_CROWD_SOURCES;
		bool said[2 * BF_CROWD_SOURCES + 1] = {false};

		setup(state);
		limits.requests = 10;
		limits.block_s = block ? 60 : 0;
		rows(n, n, 0, 0);
		for (uint32_t i = 0; i < n; i++)
			row[i].key.remote[15] = (uint8_t)i;
		look(n, 250);
		asks = 40;
		for (int l = 0; l < 3; l++) {
			ask(n);
			look(n, 250);
			assert_true(v.sources <= room);
			for (size_t i = 0; i < v.sources; i++)
				said[v.source[i].addr[14] << 8 | v.source[i].addr[15]] = true;
		}
		for (uint32_t i = 0; i < n; i++)
			assert_true(said[i]);
	}
}

/* Eight slow ones at each of two pods are no sixteen at one. */
static void strikes_are_an_endpoints(void **state)
{
	for (int pods = 1; pods <= 2; pods++) {
		setup(state);
		rows(24, 1, HEAD, 0);
		for (uint32_t i = 0; i < 24; i++)
			row[i].key.endpoint = i % (uint32_t)pods;
		assert_int_equal(first_end(24, 20, NULL), 10000);
		assert_int_equal(v.sources, pods == 1);
	}
}

static void a_rule_may_block_count_or_look_away(void **state)
{
	static const struct {
		bool off, audit;
		uint32_t ended, blocked;
	} cases[] = {{false, false, 40, 1}, {false, true, 40, 0}, {true, false, 0, 0}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setup(state);
		rows(40, 1, 0, 0);
		for (uint32_t j = 0; j < 40; j++)
			row[j].key.endpoint = 3;
		rules[0] = (struct bf_crowd_rule){.endpoint = 1, .limits = limits};
		rules[1] = (struct bf_crowd_rule){.endpoint = 3,
						  .off = cases[i].off,
						  .audit = cases[i].audit,
						  .limits = limits};
		rules[1].limits.requests = 100;
		rules[1].limits.block_s = 7;
		rule_count = 2;
		look(40, 250);
		for (uint32_t j = 0; j < 40; j++)
			row[j].requests += 10;
		assert_int_equal(look(40, 250), cases[i].ended);
		assert_int_equal(v.sources, cases[i].blocked);
		if (v.sources)
			assert_int_equal(v.source[0].block_s, 7);
	}
}

static void few_slow_heads_have_their_time(void **state)
{
	(void)state;
	rows(32, 1, HEAD, 0);
	assert_int_equal(first_end(32, 20, NULL), 10000);
	assert_int_equal(reason[0], BPFAST_R_HTTP_HEAD_SLOW);
	/* And so many strikes are enough. */
	assert_int_equal(v.sources, 1);
	assert_int_equal(v.source[0].addr[15], 1);
	assert_int_equal(v.source[0].prefix, 128);
}

static void many_of_one_source_have_none(void **state)
{
	(void)state;
	rows(33, 1, HEAD, 0);
	assert_int_equal(first_end(33, 20, NULL), 500);
	assert_int_equal(look(33, 100), 0); /* one verdict each */
	assert_int_equal(v.sources, 0);
}

static void many_of_many_sources_have_none(void **state)
{
	(void)state;
	rows(64, 64, HEAD, 0);
	assert_int_equal(first_end(64, 9, NULL), 0);
	setup(state);
	rows(200, 200, HEAD, 0);
	assert_int_equal(first_end(200, 9, NULL), 500);
	assert_int_equal(v.sources, 0); /* one connection each is no crime */
	/* Ten seconds later nobody may be slow still. */
	rows(10, 10, HEAD, 0);
	for (uint32_t i = 0; i < 10; i++)
		row[i].key.remote_port = htons((uint16_t)(9000 + i));
	assert_int_equal(look(10, 250), 0);
	assert_int_equal(look(10, 600), 10);
}

static uint32_t bytes; /* that each connection brings between two looks */

static void brings(uint32_t n)
{
	for (uint32_t i = 0; i < n; i++) {
		row[i].client_next += bytes;
		row[i].server_next += bytes;
	}
}

static void bodies_pay_with_bytes(void **state)
{
	(void)state;
	for (int reading = 0; reading < 2; reading++) {
		uint8_t client = reading ? 0 : BPFAST_STREAM_BODY;
		uint8_t server = reading ? BPFAST_STREAM_CHUNK : 0;

		setup(state);
		rows(1000, 1, client, server);
		bytes = 300; /* 1,200 a second */
		assert_int_equal(first_end(1000, 120, brings), 0);
		setup(state);
		rows(20, 1, client, server);
		bytes = 20; /* 80 a second are slow, but not for ever */
		assert_int_equal(first_end(20, 120, brings), 0);
		setup(state);
		rows(20, 1, client, server);
		bytes = 8;
		assert_in_range(first_end(20, 120, brings), 10000, 40000);
		assert_int_equal(reason[0],
				 reading ? BPFAST_R_HTTP_READ_SLOW : BPFAST_R_HTTP_BODY_SLOW);
		setup(state);
		rows(100, 1, client, server);
		bytes = 0;
		assert_int_equal(first_end(100, 9, brings), 500);
	}
}

/* A pause of four seconds, of a thousand uploads at once. */
static void what_was_paid_ahead_counts(void **state)
{
	(void)state;
	rows(1000, 1, BPFAST_STREAM_BODY, 0);
	bytes = 20000;
	assert_int_equal(first_end(1000, 3, brings), 0);
	bytes = 0;
	assert_int_equal(first_end(1000, 4, brings), 0);
	assert_true(first_end(1000, 4, brings));
}

static void who_waits_for_the_server_may_wait(void **state)
{
	(void)state;
	/* Idle, a long poll, events between two chunks, a response until close, a tunnel. */
	rows(4000, 1, 0, 0);
	for (uint32_t i = 0; i < 4000; i++) {
		static const uint8_t states[] = {0, 5, 14, 19, 20};

		row[i].server_state = states[i % 5];
		if (i % 5 == 4)
			row[i].flags |= BPFAST_FF_TUNNEL;
	}
	assert_int_equal(first_end(4000, 300, NULL), 0);
	assert_int_equal(v.sources, 0);
	/* A tunnel carries what it likes. */
	rows(100, 1, BPFAST_STREAM_BODY, 0);
	for (uint32_t i = 0; i < 100; i++)
		row[i].flags |= BPFAST_FF_TUNNEL;
	assert_int_equal(first_end(100, 60, NULL), 0);
}

static void connections(void **state)
{
	(void)state;
	rows(4096, 1, 0, 0);
	assert_int_equal(first_end(4096, 3, NULL), 0);
	rows(4100, 1, 0, 0);
	assert_true(first_end(4100, 3, NULL));
	assert_int_equal(v.sources, 1);
	assert_int_equal(v.source[0].reason, BPFAST_R_CONNECTIONS);
	/* Of what nobody inspects too. */
	setup(state);
	rows(4100, 1, 0, 0);
	for (uint32_t i = 0; i < 4100; i++)
		row[i].flags = BPFAST_FF_SEEN_REPLY;
	assert_true(first_end(4100, 3, NULL));
	/* A reset ends one, unless the server goes on. */
	setup(state);
	rows(4100, 1, 0, 0);
	for (uint32_t i = 0; i < 4100; i++)
		row[i].flags |= BPFAST_FF_RST;
	assert_int_equal(first_end(4100, 3, NULL), 0);
	for (uint32_t i = 0; i < 4100; i++)
		row[i].server_acked++;
	assert_true(first_end(4100, 3, NULL));
}

static void requests(void **state)
{
	(void)state;
	rows(100, 1, 0, 0);
	asks = 250;
	assert_int_equal(first_end(100, 10, ask), 0); /* without a limit */
	limits.requests = 1000;
	setup(state);
	limits.requests = 1000;
	rows(100, 1, 0, 0);
	asks = 2; /* 800 a second */
	assert_int_equal(first_end(100, 30, ask), 0);
	asks = 4;
	assert_true(first_end(100, 30, ask));
	assert_int_equal(v.source[0].reason, BPFAST_R_HTTP_FLOOD);
	/* By path: half of them ask for another one; a query is not part of it. */
	setup(state);
	limits.path_requests = 1000;
	rows(100, 1, 0, 0);
	for (uint32_t i = 0; i < 100; i += 2)
		memcpy(row[i].text, "GET /b", 6);
	assert_int_equal(first_end(100, 30, ask), 0);
	for (uint32_t i = 0; i < 100; i++) {
		memcpy(row[i].text, "GET /a?x", 8);
		row[i].text[7] = (char)('a' + i % 26);
		row[i].text_len = 8;
	}
	assert_true(first_end(100, 30, ask));
}

static void allow_wins(void **state)
{
	(void)state;
	allowed = 1;
	limits.requests = 10;
	limits.path_requests = 10;
	limits.connections = 10;
	rows(300, 2, HEAD, 0);
	asks = 100;
	for (int i = 0; i < 100; i++) {
		ask(300);
		look(300, 250);
		for (uint32_t k = 0; k < 300; k += 2)
			assert_int_equal(reason[k], BPFAST_R_NONE);
		for (size_t k = 0; k < v.sources; k++)
			assert_int_equal(v.source[k].addr[15], 2);
	}
}

/* An IPv6 source is its /64, however many addresses it has. */
static void ipv6(void **state)
{
	(void)state;
	rows(100, 1, HEAD, 0);
	for (uint32_t i = 0; i < 100; i++) {
		memset(row[i].key.remote, 0, 16);
		row[i].key.remote[0] = 0x20;
		row[i].key.remote[15] = (uint8_t)i;
	}
	limits.slow_per_service = 0;
	assert_int_equal(first_end(100, 9, NULL), 500);
	assert_int_equal(v.sources, 1);
	assert_int_equal(v.source[0].prefix, 64);
	assert_int_equal(v.source[0].addr[15], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
		CASE(few_slow_heads_have_their_time),
		CASE(many_of_one_source_have_none),
		CASE(many_of_many_sources_have_none),
		CASE(bodies_pay_with_bytes),
		CASE(what_was_paid_ahead_counts),
		CASE(who_waits_for_the_server_may_wait),
		CASE(connections),
		CASE(requests),
		CASE(allow_wins),
		CASE(ipv6),
		CASE(an_endpoint_has_limits_of_its_own),
		CASE(without_a_block_there_is_a_pause),
		CASE(closed_connections_count),
		CASE(a_reset_that_was_not_believed),
		CASE(more_sources_than_one_look_takes),
		CASE(strikes_are_an_endpoints),
		CASE(a_rule_may_block_count_or_look_away),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
