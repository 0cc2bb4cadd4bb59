// SPDX-License-Identifier: Apache-2.0
/* SYNs that come again, as a client's stack sends them, while somebody floods in its name. */
#include <bpf/bpf.h>
#include <stdio.h>
#include <time.h>

#include "datapath/shield/internal.h"
#include "shield_world.h"

#define BURST 20

enum family { FOUR, SIX, FAMILIES };

/* From host `host` of one /24 or /64; port: the client's. */
static struct frame *syn(enum family family, uint32_t host, uint16_t port, uint32_t seq)
{
	static char text[16][40];
	static unsigned int n;
	char *source = text[n++ % 16];

	if (family == FOUR) {
		snprintf(source, 40, "198.51.100.%u", host);
		return PACKET(ETH(), IP4(.src = source, .dst = POD4),
			      TCP(.sport = port, .seq = seq, .flags = SYN));
	}
	snprintf(source, 40, "2001:db8:7::%x", host);
	return PACKET(ETH(), IP6(.src = source, .dst = POD6),
		      TCP(.sport = port, .seq = seq, .flags = SYN));
}

static void wait_ms(long ms)
{
	const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&t, NULL);
}

static long ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void limit(int scope, uint32_t burst)
{
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][scope], 1, burst);
}

/* SYNs in the name of one source, or of its neighbours, each another, until its limit stops them. */
static void flood(enum family family, int scope)
{
	int want = scope == BPFAST_SS_SOURCE ? R(SOURCE) : R(PREFIX), got = 0;
	static uint32_t seq = 1000;

	for (uint32_t i = 0; i < 3 * BURST; i++)
		got = in(syn(family, scope == BPFAST_SS_SOURCE ? 7 : 100 + i, 9, seq++));
	assert_int_equal(got, want);
}

#define BOTH for (int family = 0; family < FAMILIES; family++)

/* The client's SYN is stopped with the flood's, and passes when it comes again in its time. */
static void again(void **state)
{
	(void)state;
	for (int scope = BPFAST_SS_SOURCE; scope <= BPFAST_SS_PREFIX; scope++) {
		int stopped = scope == BPFAST_SS_SOURCE ? R(SOURCE) : R(PREFIX);

		shield_forget();
		limit(scope, BURST);
		BOTH
		{
			flood(family, scope);
			for (uint16_t port = 40000; port < 40003; port++)
				assert_int_equal(in(syn(family, 7, port, 5)), stopped);
		}
		wait_ms(1000);
		BOTH
		{
			flood(family, scope);
			assert_int_equal(in(syn(family, 7, 40000, 5)), 0);
			/* At once it is no repetition. */
			assert_int_equal(in(syn(family, 7, 40000, 5)), stopped);
			/* Nor is another number, port, or source one. */
			assert_int_equal(in(syn(family, 7, 40001, 6)), stopped);
			assert_int_equal(in(syn(family, 7, 40003, 5)), stopped);
			if (scope == BPFAST_SS_PREFIX)
				assert_int_equal(in(syn(family, 8, 40001, 5)), stopped);
		}
		/* Two seconds after the first time. */
		wait_ms(1000);
		BOTH
		{
			flood(family, scope);
			assert_int_equal(in(syn(family, 7, 40002, 5)), 0);
		}
	}
}

/* Who sends the same again and again is too early every time. */
static void early(void **state)
{
	(void)state;
	limit(BPFAST_SS_SOURCE, BURST);
	flood(FOUR, BPFAST_SS_SOURCE);
	for (int i = 0; i < 15; i++) {
		assert_int_equal(in(syn(FOUR, 7, 40000, 5)), R(SOURCE));
		wait_ms(100);
		/* What comes back in that time goes to others. */
		flood(FOUR, BPFAST_SS_SOURCE);
	}
}

/* And who comes too late is a stranger again. */
static void late(void **state)
{
	(void)state;
	limit(BPFAST_SS_SOURCE, BURST);
	flood(FOUR, BPFAST_SS_SOURCE);
	assert_int_equal(in(syn(FOUR, 7, 40000, 5)), R(SOURCE));
	wait_ms(5000);
	flood(FOUR, BPFAST_SS_SOURCE);
	assert_int_equal(in(syn(FOUR, 7, 40000, 5)), R(SOURCE));
}

/* It pays at the destination's limit as any other does. */
static void destination(void **state)
{
	int got = 0;

	(void)state;
	limit(BPFAST_SS_SOURCE, BURST);
	flood(FOUR, BPFAST_SS_SOURCE);
	assert_int_equal(in(syn(FOUR, 7, 40000, 5)), R(SOURCE));
	wait_ms(1000);
	flood(FOUR, BPFAST_SS_SOURCE);
	limit(BPFAST_SS_DESTINATION, BURST);
	for (uint32_t i = 0; i < 2 * BURST; i++)
		got = in(of_class(BPFAST_SC_SYN, address(i * 1000), POD4, 80));
	assert_int_equal(got, R(DESTINATION));
	assert_int_equal(in(syn(FOUR, 7, 40000, 5)), R(DESTINATION));
}

/*
 * A flood that repeats each SYN after a second, in the names of many: with all of them it gets what one source may
 * send, and then nothing but what that limit gives in time.
 */
static void bounded(void **state)
{
	enum { SOURCES = 10, EACH = 50 };
	unsigned int passed;

	(void)state;
	limit(BPFAST_SS_SOURCE, BURST);
	for (int round = 0; round < 3; round++) {
		passed = 0;
		for (uint32_t source = 1; source <= SOURCES; source++)
			for (uint32_t i = 0; i < EACH; i++)
				passed += in(PACKET(ETH(),
						    IP4(.src = address(source * 256), .dst = POD4),
						    TCP(.sport = (uint16_t)(5000 + i),
							.flags = SYN))) == 0;
		if (round == 0)
			assert_in_range(passed, SOURCES * (BURST + 1), SOURCES * (BURST + 2));
		/* Of each source's own limit one token has come back, or two; what repeats has BURST and one. */
		else if (round == 1)
			assert_in_range(passed, BURST + 1, 2 * SOURCES + BURST + 3);
		else
			assert_in_range(passed, 1, 2 * SOURCES + 3);
		wait_ms(1000);
	}
}

#define CLIENTS 200

/* Nothing is remembered, and one source is over its limit, which lets repetitions of all clients pass. */
static void over_limit(void)
{
	const struct bpfast_shield_repeats none = {{0}};

	limit(BPFAST_SS_SOURCE, 2 * CLIENTS);
	for (uint32_t i = 0; i < 3 * CLIENTS; i++)
		in(syn(FOUR, 7, 9, 1000000 + i));
	for (uint32_t i = 0; i < BPFAST_SHIELD_REPEAT_SETS; i++)
		assert_int_equal(
			bpf_map_update_elem(shield->map[BF_SHIELD_MAP_REPEAT], &i, &none, BPF_ANY),
			0);
	while (!in(syn(FOUR, 7, 9, 5)))
		;
}

/* How many of these SYNs pass. */
static unsigned int clients(void)
{
	unsigned int passed = 0;

	for (uint16_t i = 0; i < CLIENTS; i++)
		passed += in(syn(FOUR, 7, 40000 + i, 5)) == 0;
	return passed;
}

/* In each set the cell that is remembered becomes the next that is written. */
static void next_to_go(void)
{
	int fd = shield->map[BF_SHIELD_MAP_REPEAT], found = 0;
	struct bpfast_shield_repeats set;

	for (uint32_t i = 0; i < BPFAST_SHIELD_REPEAT_SETS; i++) {
		assert_int_equal(bpf_map_lookup_elem(fd, &i, &set), 0);
		if (!set.cell[1])
			continue;
		found++;
		set.cell[0] = 0;
		assert_int_equal(bpf_map_update_elem(fd, &i, &set, BPF_ANY), 0);
	}
	assert_in_range(found, CLIENTS - 10, CLIENTS + 1);
}

/* What is awaited is not pushed out by what comes in between. */
static void kept(void **state)
{
	uint32_t i = 0;
	long start;

	(void)state;
	over_limit();
	start = ms();
	assert_in_range(clients(), 0, 2);
	next_to_go();
	while (ms() - start < 900) {
		for (int k = 0; k < 5000; k++, i++) {
			struct frame *f = syn(FOUR, 7, (uint16_t)i, 1000 + i);
			bool pass;

			assert_int_equal(
				bf_shield_trial(shield, false, LO, f->b, f->len, 1, &pass, NULL),
				0);
		}
		/* No more in a moment than are looked up. */
		wait_ms(30);
	}
	wait_ms(70);
	assert_in_range(clients(), CLIENTS - 2, CLIENTS);
}

/* In a flood of millions a second not each is looked up, but some still are. */
static void chosen(void **state)
{
	struct frame *f = syn(FOUR, 7, 1, 1);
	unsigned int passed;
	uint32_t ns;
	bool pass;

	(void)state;
	over_limit();
	assert_int_equal(bf_shield_trial(shield, false, LO, f->b, f->len, 5000000, &pass, &ns), 0);
	if (ns > 400)
		skip(); /* no millions here */
	clients();
	wait_ms(1000);
	passed = clients();
	assert_in_range(passed, 1, CLIENTS * 3 / 4);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup(fn, shield_reset)
	const struct CMUnitTest tests[] = {
		CASE(again),   CASE(early), CASE(late),	  CASE(destination),
		CASE(bounded), CASE(kept),  CASE(chosen),
	};

	return cmocka_run_group_tests_name("shield repeat", tests, shield_setup, shield_teardown);
}
