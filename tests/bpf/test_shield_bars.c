// SPDX-License-Identifier: Apache-2.0
/* Blocks and pauses towards one pod: what the census of connections finds, met by the address of source and pod. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "observe/names.h"
#include "shield_world.h"

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static int bar(const char *source, const char *to, int all_ms, int syn_ms)
{
	struct bf_shield_bar b = {0};

	assert_int_equal(bf_address_parse(source, b.key.source), 0);
	assert_int_equal(bf_address_parse(to, b.key.destination), 0);
	b.until.all_ns = all_ms ? now_ns() + (uint64_t)all_ms * 1000000u : 0;
	b.until.syn_ns = syn_ms ? now_ns() + (uint64_t)syn_ms * 1000000u : 0;
	return bf_shield_bar_put(shield, &b);
}

/* Both hooks say the same. */
static int both(const struct frame *f)
{
	int xdp = shield_run(false, f);

	assert_int_equal(shield_run(true, f), xdp);
	return xdp;
}

#define OTHER4 "192.0.2.77"
#define OTHER6 "fd00::77"

/* Whatever the source sends to that address, and nothing else of anybody's. */
static void barred_from_one_pod(void **state)
{
	(void)state;
	assert_int_equal(bar("10.0.0.7", POD4, 60000, 0), 0);
	assert_int_equal(bar("2001:db8:0:7::", POD6, 60000, 0), 0);
	for (int c = 0; c < BPFAST_SC_COUNT; c++) {
		assert_int_equal(both(of_class(c, "10.0.0.7", POD4, 80)), R(BLOCKED));
		assert_int_equal(both(of_class(c, "10.0.0.7", OTHER4, 80)), 0);
		assert_int_equal(both(of_class(c, "10.0.0.8", POD4, 80)), 0);
	}
	/* Of IPv6 all of the /64, and the pod's whole address. */
	for (int flags = SYN; flags <= ACK; flags += ACK - SYN) {
		assert_int_equal(both(PACKET(ETH(), IP6(.src = "2001:db8:0:7:1:2:3:4", .dst = POD6),
					     TCP(.flags = flags))),
				 R(BLOCKED));
		assert_int_equal(both(PACKET(ETH(), IP6(.src = "2001:db8:0:7::9", .dst = OTHER6),
					     TCP(.flags = flags))),
				 0);
		assert_int_equal(both(PACKET(ETH(), IP6(.src = "2001:db8:0:8::9", .dst = POD6),
					     TCP(.flags = flags))),
				 0);
	}
	/* A reset ends what is open. */
	assert_int_equal(
		both(PACKET(ETH(), IP4(.src = "10.0.0.7", .dst = POD4), TCP(.flags = RST))), 0);
	/* Also a connection that is known. */
	assert_int_equal(in(client(100, 0, SYN)), 0);
	out(server(5000, 101, SYN | ACK));
	assert_int_equal(in(client(101, 5001, ACK)), 0);
	assert_int_equal(bar("198.51.100.7", POD4, 60000, 0), 0);
	assert_int_equal(in(client(101, 5001, ACK | PSH)), R(BLOCKED));
}

/* Where only new connections are stopped, those that are open go on, and other protocols too. */
static void barred_from_connecting(void **state)
{
	(void)state;
	assert_int_equal(bar("10.0.0.7", POD4, 0, 60000), 0);
	assert_int_equal(bar("2001:db8:0:7::", POD6, 0, 60000), 0);
	for (int c = 0; c < BPFAST_SC_COUNT; c++)
		assert_int_equal(both(of_class(c, "10.0.0.7", POD4, 80)),
				 c == BPFAST_SC_SYN ? R(BLOCKED) : 0);
	assert_int_equal(
		both(PACKET(ETH(), IP4(.src = "10.0.0.7", .dst = POD4), TCP(.flags = SYN | ACK))),
		0);
	/* UDP has no flags, but bytes at their place. */
	assert_int_equal(both(PACKET(ETH(), IP4(.src = "10.0.0.7", .dst = POD4), UDP(),
				     DATA("\2\2\2\2\2\2\2\2"))),
			 0);
	assert_int_equal(
		both(PACKET(ETH(), IP6(.src = "2001:db8:0:7::9", .dst = POD6), TCP(.flags = SYN))),
		R(BLOCKED));
	assert_int_equal(
		both(PACKET(ETH(), IP6(.src = "2001:db8:0:7::9", .dst = POD6), TCP(.flags = ACK))),
		0);
}

static void bars_end(void **state)
{
	const struct timespec wait = {.tv_nsec = 400000000};

	(void)state;
	assert_int_equal(bar("10.0.0.7", POD4, 300, 0), 0);
	assert_int_equal(bar("10.0.0.8", POD4, 300, 60000), 0);
	assert_int_equal(bar("10.0.0.9", POD4, 60000, 0), 0);
	/* A shorter time does not take the place of a longer one. */
	assert_int_equal(bar("10.0.0.9", POD4, 300, 300), 0);
	assert_int_equal(shield_control->bars, 3);
	for (uint32_t i = 7; i <= 9; i++)
		assert_int_equal(in(of_class(BPFAST_SC_STATE, address(i), POD4, 80)), R(BLOCKED));
	nanosleep(&wait, NULL);
	assert_int_equal(in(of_class(BPFAST_SC_SYN, address(7), POD4, 80)), 0);
	assert_int_equal(in(of_class(BPFAST_SC_STATE, address(8), POD4, 80)), 0);
	assert_int_equal(in(of_class(BPFAST_SC_SYN, address(8), POD4, 80)), R(BLOCKED));
	assert_int_equal(in(of_class(BPFAST_SC_STATE, address(9), POD4, 80)), R(BLOCKED));
}

static void allow_wins_over_bars(void **state)
{
	(void)state;
	assert_int_equal(bar("10.0.0.7", POD4, 60000, 60000), 0);
	assert_int_equal(bar("2001:db8:0:7::", POD6, 60000, 60000), 0);
	list_of(BPFAST_SI_FILES, "", "10.0.0.0/24\n2001:db8:0:7::9");
	assert_int_equal(both(of_class(BPFAST_SC_SYN, "10.0.0.7", POD4, 80)), 0);
	/* One address of the /64 may be. */
	for (int last = 8; last <= 9; last++) {
		const char *source = last == 9 ? "2001:db8:0:7::9" : "2001:db8:0:7::8";

		assert_int_equal(
			both(PACKET(ETH(), IP6(.src = source, .dst = POD6), TCP(.flags = SYN))),
			last == 9 ? 0 : R(BLOCKED));
	}
}

/* Nobody looks there while the control block says that there is none. */
static void no_bars_cost_nothing(void **state)
{
	(void)state;
	assert_int_equal(bar("10.0.0.7", POD4, 60000, 0), 0);
	shield_control->bars = 0;
	assert_int_equal(both(of_class(BPFAST_SC_SYN, "10.0.0.7", POD4, 80)), 0);
	shield_control->bars = 1;
	assert_int_equal(both(of_class(BPFAST_SC_SYN, "10.0.0.7", POD4, 80)), R(BLOCKED));
}

/* A full table refuses, keeps what it has, and still takes a longer time for that. */
static void bars_are_bounded(void **state)
{
	struct bf_shield_bar *all;
	size_t n;

	(void)state;
	for (uint32_t i = 0; i < BPFAST_SHIELD_BARS; i++)
		assert_int_equal(bar(address(i), POD4, 60000, 0), 0);
	assert_int_equal(bar("192.168.0.1", POD4, 60000, 0), -E2BIG);
	assert_int_equal(shield_control->bars, BPFAST_SHIELD_BARS);
	assert_int_equal(bar(address(1), POD4, 90000, 0), 0);
	assert_int_equal(in(of_class(BPFAST_SC_UDP, address(BPFAST_SHIELD_BARS - 1), POD4, 80)),
			 R(BLOCKED));
	assert_int_equal(in(of_class(BPFAST_SC_UDP, "192.168.0.1", POD4, 80)), 0);
	assert_int_equal(bf_shield_bars(shield, &all, &n), 0);
	assert_int_equal(n, BPFAST_SHIELD_BARS);
	assert_int_equal(bf_shield_bar_remove(shield, &all[0].key), 0);
	assert_int_equal(bf_shield_bar_remove(shield, &all[0].key), -ENOENT);
	free(all);
	assert_int_equal(bar("192.168.0.1", POD4, 60000, 0), 0);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup(fn, shield_reset)
	const struct CMUnitTest tests[] = {
		CASE(barred_from_one_pod),  CASE(barred_from_connecting), CASE(bars_end),
		CASE(allow_wins_over_bars), CASE(no_bars_cost_nothing),	  CASE(bars_are_bounded),
	};

	return cmocka_run_group_tests_name("shield bars", tests, shield_setup, shield_teardown);
}
