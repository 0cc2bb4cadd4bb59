// SPDX-License-Identifier: Apache-2.0
/* The detector piece by piece: what it takes for normal, what is bounded, what it puts in force and takes back. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shield/baseline.h"
#include "shield/detect.h"
#include "shield_packets.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define DT 0.1

/* One destination, told by hand. */
struct bench {
	struct bf_detect *d;
	struct bf_traffic t;
	struct bf_sampled s[64];
	size_t samples;
	double now;
	unsigned changes; /* of the last tick */
};

static void begin(struct bench *b, uint32_t destinations)
{
	struct bf_detect_config c = {
		.destinations = destinations, .seed = 1, .warm_s = 5, .day_s = 1000};

	memset(b, 0, sizeof(*b));
	assert_int_equal(bf_detect_create(&b->d, &c, NULL), 0);
	b->t.dest.addr[15] = 1;
	b->t.dest.protocol = 6;
	b->t.dest.port = 80;
	b->t.has_pairs = 1;
	b->now = 1000;
}

static void tick(struct bench *b)
{
	struct bf_tick k = {.now_ns = (uint64_t)(b->now * 1e9),
			    .second_of_day = (uint32_t)b->now,
			    .traffic = &b->t,
			    .traffic_count = 1,
			    .samples = b->s,
			    .sample_count = b->samples};

	b->changes = bf_detect_tick(b->d, &k);
	b->now += DT;
}

static void packets(struct bench *b, enum bf_class c, double pps, double known, double paired,
		    double stray)
{
	struct bf_count *n = &b->t.count[c];

	n->packets = (uint64_t)(pps * DT);
	n->bytes = n->packets * 60;
	n->known = (uint64_t)(pps * known * DT);
	n->paired = (uint64_t)(pps * paired * DT);
	n->stray = (uint64_t)(pps * stray * DT);
}

static void spread(struct bench *b, uint32_t sources)
{
	b->t.sources = sources;
	for (unsigned i = 0; i < BF_SOURCE_BUCKETS; i++)
		b->t.bucket[i] = sources >= BF_SOURCE_BUCKETS ? 100 : i < sources ? 100 : 0;
}

static void run(struct bench *b, double seconds)
{
	for (double end = b->now + seconds; b->now < end;)
		tick(b);
}

static const struct bf_attack *only(const struct bench *b)
{
	assert_null(bf_detect_active(b->d, 1));
	return bf_detect_active(b->d, 0);
}

/* Ticks until something is on; < 0: nothing within `most` seconds. */
static double until_found(struct bench *b, double most)
{
	for (double from = b->now; b->now < from + most;) {
		tick(b);
		if (bf_detect_active(b->d, 0))
			return b->now - from;
	}
	return -1;
}

static double until_released(struct bench *b, double most)
{
	for (double from = b->now; b->now < from + most;) {
		tick(b);
		if (!bf_detect_active(b->d, 0))
			return b->now - from;
	}
	return -1;
}

/* --- baseline --- */

static void baseline_follows(void **state)
{
	struct bf_learning l = {.memory_s = 60, .doubling_s = 600, .free = 10};
	struct bf_baseline b = {0};

	(void)state;
	for (int i = 0; i < 6000; i++)
		bf_baseline_learn(&b, &l, i % 2 ? 110 : 90, 1e9, DT, 0);
	assert_true(fabs(b.mean - 100) < 2 && fabs(b.dev - 10) < 2);
	/* A step a hundred times as high, for a minute: it may not even double. */
	for (int i = 0; i < 600; i++)
		bf_baseline_learn(&b, &l, 10000, 1e9, DT, 0);
	assert_true(b.mean < 140);
	/* Down it goes at once. */
	for (int i = 0; i < 3000; i++)
		bf_baseline_learn(&b, &l, 0, 1e9, DT, 0);
	assert_true(b.mean < 2);
	/* What is over the cap counts as the cap. */
	b = (struct bf_baseline){0};
	for (int i = 0; i < 600; i++)
		bf_baseline_learn(&b, &l, 1e6, 50, DT, 0);
	assert_true(b.mean <= 50);
}

static void baseline_knows_the_hour(void **state)
{
	struct bf_learning l = {.memory_s = 60, .doubling_s = 600, .free = 10};
	struct bf_baseline b = {0};

	(void)state;
	/* Each day: 1000 a second in slot 8, 10 in the others. */
	for (int day = 0; day < 5; day++)
		for (unsigned slot = 0; slot < BF_SLOTS; slot++)
			for (int i = 0; i < 400; i++)
				bf_baseline_learn(&b, &l, slot == 8 ? 1000 : 10, 1e9, 1, slot);
	assert_true(b.mean < 20);
	assert_true(bf_baseline_expect(&b, 8) > 900);
	assert_true(bf_baseline_expect(&b, 7) > 900); /* it may come a little early */
	assert_true(bf_baseline_expect(&b, 20) < 20);
}

/* --- heavy hitters --- */

static void heavy_are_named(void **state)
{
	struct bf_heavy h = {0};
	struct bf_heavy_entry top[4];
	struct dice d = {3};
	uint8_t a[16] = {0}, cut[16];

	(void)state;
	/* Ten million others between: 2 of 10 packets are from one. */
	for (uint64_t i = 0; i < 10000000; i++) {
		uint64_t who = i % 10 < 2 ? 42 : dice_next(&d);

		memcpy(a + 8, &who, 8);
		bf_heavy_add(&h, a, 1);
	}
	assert_int_equal(h.total, 10000000);
	assert_int_equal(bf_heavy_top(&h, 0.05, top, 4), 1);
	assert_int_equal(top[0].addr[8], 42);
	assert_true(top[0].count >= 2000000 && top[0].count - top[0].error <= 2000000);
	memset(a, 0, 16);
	a[0] = 0x20;
	a[7] = 7;
	a[15] = 9;
	assert_int_equal(bf_heavy_prefix(a, cut), 64);
	assert_true(cut[7] == 7 && !cut[15]);
	memset(a, 0, 16);
	a[10] = a[11] = 0xff;
	a[14] = 3;
	a[15] = 9;
	assert_int_equal(bf_heavy_prefix(a, cut), 24);
	assert_true(cut[14] == 3 && !cut[15]);
}

/* --- attacks --- */

static void syn_flood_comes_and_goes(void **state)
{
	struct bf_limit limit[8];
	const struct bf_attack *a;
	struct bench b;

	(void)state;
	begin(&b, 8);
	packets(&b, BF_SYN, 100, 0.5, 1, 0);
	spread(&b, 10);
	run(&b, 60);
	assert_null(bf_detect_active(b.d, 0));
	assert_int_equal(bf_detect_limits(b.d, limit, 8), 0);
	/* 5000 a second that nobody completes */
	b.t.count[BF_SYN].packets += 500;
	spread(&b, 500);
	assert_true(until_found(&b, 5) <= 1);
	assert_true(b.changes & BF_CHANGE_STARTED && b.changes & BF_CHANGE_LIMITS);
	a = only(&b);
	assert_int_equal(a->kind, BF_SYN);
	assert_int_equal(a->evidence, BF_EV_UNPAIRED);
	assert_memory_equal(&a->dest, &b.t.dest, sizeof(a->dest));
	assert_true(a->actions & BF_ACT_COOKIES);
	assert_int_equal(bf_detect_limits(b.d, limit, 8), 1);
	assert_true(limit[0].cls == BF_SYN && limit[0].attack == a->id && limit[0].pps >= 100 &&
		    limit[0].pps < 1000);
	run(&b, 30);
	a = only(&b);
	assert_true(a->peak_pps > 4900 && a->peak_pps < 5300);
	assert_int_equal(a->spread, BF_SPREAD_SPOOFED);
	assert_int_equal(a->released_ns, 0);
	/* It ends. */
	packets(&b, BF_SYN, 100, 0.5, 1, 0);
	spread(&b, 10);
	assert_true(until_released(&b, 30) <= 15);
	assert_true(b.changes & BF_CHANGE_ENDED);
	assert_int_equal(bf_detect_limits(b.d, limit, 8), 0);
	a = bf_detect_ended(b.d, 0);
	assert_true(a && a->end_ns > a->start_ns && a->released_ns > a->end_ns);
	assert_null(bf_detect_ended(b.d, 1));
	/* Back within a minute: held for longer. */
	b.t.count[BF_SYN].packets += 500;
	assert_true(until_found(&b, 5) <= 1);
	packets(&b, BF_SYN, 100, 0.5, 1, 0);
	assert_true(until_released(&b, 30) > 9);
	bf_detect_free(b.d);
}

/* A SYN as a client's stack makes it, or as hping3 does, of a source that nobody knows. */
static void syn_sample(struct bench *b, bool flood)
{
	struct bf_sampled *s = &b->s[b->samples++];

	memset(s, 0, sizeof(*s));
	s->cls = BF_SYN;
	s->weight = 10;
	memset(s->source, (int)b->samples, sizeof(s->source));
	s->packet.ip_version = 4;
	s->packet.protocol = 6;
	s->packet.ttl = 64;
	s->packet.destination_port = 80;
	s->packet.source_port = (uint16_t)(20000 + 7 * b->samples);
	s->packet.tcp_flags = 2;
	s->packet.length = flood ? 40 : 60;
	s->packet.window = flood ? 512 : 64240;
	s->packet.option_bytes = flood ? 0 : 20;
	s->packet.options = flood ? 0 : 15;
}

/* Whenever it begins: its first packets, that are not suspicious yet, are not taken for honest ones. */
static void floods_are_told_from_honest(void **state)
{
	(void)state;
	for (unsigned phase = 0; phase < 35; phase++) {
		const struct bf_attack *a;
		struct bench b;

		begin(&b, 8);
		packets(&b, BF_SYN, 100, 0, 1, 0);
		spread(&b, 10);
		syn_sample(&b, false);
		run(&b, 60 + phase * DT);
		b.t.count[BF_SYN].packets += 2000;
		spread(&b, 2000);
		while (b.samples < 40)
			syn_sample(&b, true);
		assert_true(until_found(&b, 5) <= 1);
		run(&b, 3);
		a = only(&b);
		if (!a->rules)
			fail_msg("begun after %.1f s: no rule", 60 + phase * DT);
		assert_true(a->score[0].attack > 0.9 && a->score[0].honest == 0);
		assert_int_equal(a->rule[0].length_max, 40);
		bf_detect_free(b.d);
	}
}

static void below_the_floor_is_nothing(void **state)
{
	static const struct {
		enum bf_class c;
		double pps;
	} small[] = {{BF_SYN, 290},  {BF_RST, 490},   {BF_AMP_NTP, 490},
		     {BF_UDP, 1990}, {BF_ICMP, 1990}, {BF_OTHER, 990}};
	static const struct {
		enum bf_class c;
		double pps;
	} large[] = {{BF_SYN, 1500}, {BF_RST, 1000},  {BF_AMP_NTP, 1000},
		     {BF_UDP, 4500}, {BF_ICMP, 4500}, {BF_OTHER, 2200}};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < COUNT(small); i++) {
		begin(&b, 8);
		run(&b, 20);
		packets(&b, small[i].c, small[i].pps, 0, 0, 1);
		spread(&b, 100);
		assert_true(until_found(&b, 60) < 0);
		bf_detect_free(b.d);
		begin(&b, 8);
		run(&b, 20);
		spread(&b, 100);
		packets(&b, large[i].c, large[i].pps, 0, 0, 1);
		if (until_found(&b, 5) < 0)
			fail_msg("%s", bf_class_name(large[i].c));
		assert_int_equal(only(&b)->kind, large[i].c);
		bf_detect_free(b.d);
	}
}

static void honest_bursts_pass(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 8);
	run(&b, 30);
	/* wrk: 512 SYNs at once after quiet, a quarter of them lost and tried again a second later */
	b.t.count[BF_SYN] = (struct bf_count){.packets = 512, .bytes = 512 * 60};
	spread(&b, 1);
	tick(&b);
	b.t.count[BF_SYN] = (struct bf_count){.paired = 384};
	tick(&b);
	b.t.count[BF_SYN].paired = 0;
	run(&b, 0.8);
	b.t.count[BF_SYN] = (struct bf_count){.packets = 128, .known = 128};
	tick(&b);
	b.t.count[BF_SYN] = (struct bf_count){.paired = 128};
	tick(&b);
	b.t.count[BF_SYN].paired = 0;
	packets(&b, BF_ACK, 200000, 1, 0, 0);
	run(&b, 20);
	/* ab: ten thousand connections a second */
	packets(&b, BF_SYN, 10000, 0.99, 1, 0);
	packets(&b, BF_FIN, 10000, 1, 0, 0);
	run(&b, 20);
	/* a crowd of strangers, who complete */
	packets(&b, BF_SYN, 20000, 0, 0.99, 0);
	spread(&b, 2000);
	run(&b, 20);
	assert_null(bf_detect_active(b.d, 0));
	assert_null(bf_detect_ended(b.d, 0));
	bf_detect_free(b.d);
}

/* A server that is down, and one that a flood takes down at once. */
static void outages_are_no_floods(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 8);
	packets(&b, BF_SYN, 500, 0.5, 1, 0);
	spread(&b, 40);
	run(&b, 60);
	packets(&b, BF_SYN, 500, 0.5, 0, 0);
	run(&b, 1);
	packets(&b, BF_SYN, 1500, 0.5, 0, 0);
	run(&b, 20);
	assert_null(bf_detect_active(b.d, 0));
	assert_null(bf_detect_ended(b.d, 0));
	packets(&b, BF_SYN, 500, 0.5, 1, 0);
	run(&b, 60);
	packets(&b, BF_SYN, 5000, 0.05, 0, 0);
	assert_true(until_found(&b, 5) <= 1);
	bf_detect_free(b.d);
}

/* Retries come in clumps: an outage must not make us forget that there are clients. */
static void an_outage_is_not_forgotten(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 8);
	packets(&b, BF_SYN, 52, 0.4, 1, 0);
	spread(&b, 20);
	run(&b, 60);
	packets(&b, BF_SYN, 52, 0.4, 0, 0);
	run(&b, 8);
	/* A crowd finds it down, and tries again after a second. */
	for (unsigned i = 0; i < 2; i++) {
		b.t.count[BF_SYN] = (struct bf_count){.packets = 800, .known = 320};
		tick(&b);
		packets(&b, BF_SYN, 150, 0.4, 0, 0);
		run(&b, 0.9);
	}
	assert_null(bf_detect_active(b.d, 0));
	assert_null(bf_detect_ended(b.d, 0));
	bf_detect_free(b.d);
}

/* One known client with ten thousand connections a second is no room for strangers. */
static void a_busy_client_hides_no_flood(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 8);
	packets(&b, BF_SYN, 40, 0.9, 1, 0);
	spread(&b, 20);
	run(&b, 60);
	packets(&b, BF_SYN, 10000, 0.998, 0.99, 0);
	run(&b, 5);
	assert_null(bf_detect_active(b.d, 0));
	b.t.count[BF_SYN].packets += 130;
	assert_true(until_found(&b, 10) > 0);
	bf_detect_free(b.d);
}

/* What known clients do in thousands a second, a benchmark, is no measure of what strangers may. */
static void a_benchmark_is_no_room_for_strangers(void **state)
{
	struct bench b;

	(void)state;
	for (unsigned round = 0; round < 2; round++) {
		begin(&b, 8);
		packets(&b, BF_SYN, 40, 0.9, 1, 0);
		spread(&b, 20);
		run(&b, 30);
		packets(&b, BF_SYN, 10000, 0.998, 0.99, 0);
		run(&b, 40);
		assert_null(bf_detect_active(b.d, 0));
		/* After it, and when the server has gone down. */
		packets(&b, BF_SYN, 40, 0.9, 1, 0);
		run(&b, 2);
		packets(&b, BF_SYN, 40, 0.9, round == 0, 0);
		run(&b, 2);
		b.t.count[BF_SYN].packets += round == 0 ? 150 : 500;
		spread(&b, 150);
		assert_in_range((int)(100 * until_found(&b, 10)), 1, 100);
		bf_detect_free(b.d);
	}
}

/* Strays beside many packets of connections are a flood; a clump of them, once, is a restart. */
static void a_busy_server_hides_no_strays(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 8);
	packets(&b, BF_ACK, 100000, 1, 0, 0);
	run(&b, 60);
	b.t.count[BF_ACK].packets += 1900;
	b.t.count[BF_ACK].stray = 1900;
	tick(&b);
	packets(&b, BF_ACK, 100000, 1, 0, 0);
	run(&b, 10);
	assert_null(bf_detect_active(b.d, 0));
	b.t.count[BF_ACK].packets += 500;
	b.t.count[BF_ACK].stray = 500;
	assert_in_range((int)(100 * until_found(&b, 10)), 1, 100);
	assert_int_equal(only(&b)->kind, BF_ACK);
	bf_detect_free(b.d);
}

/* A crowd of people, most of whom are known, that comes in a flood does not keep its limits in force. */
static void a_crowd_prolongs_no_flood(void **state)
{
	struct bench b;

	(void)state;
	begin(&b, 8);
	packets(&b, BF_DNS_QUERY, 300, 0.9, 1, 0);
	spread(&b, 15);
	run(&b, 60);
	packets(&b, BF_DNS_QUERY, 20000, 0.01, 1, 0);
	spread(&b, 2000);
	assert_true(until_found(&b, 5) > 0);
	assert_int_equal(only(&b)->evidence, BF_EV_SURGE);
	run(&b, 20);
	assert_int_equal(only(&b)->released_ns, 0);
	packets(&b, BF_DNS_QUERY, 3000, 0.8, 1, 0);
	spread(&b, 150);
	assert_in_range((int)(100 * until_released(&b, 60)), 1, 1500);
	bf_detect_free(b.d);
}

/* The limit is what strangers ordinarily need: not what the flood brings, and not less than they did. */
static void limits_fit_the_ordinary(void **state)
{
	struct bf_limit limit[8];
	struct bench b;

	(void)state;
	/* A destination that begins with the flood. */
	begin(&b, 8);
	packets(&b, BF_SYN, 2000, 0, 0, 0);
	spread(&b, 2000);
	assert_true(until_found(&b, 10) > 0);
	assert_int_equal(bf_detect_limits(b.d, limit, 8), 1);
	assert_int_equal(limit[0].pps, 150);
	bf_detect_free(b.d);
	/* One that serves 3,000 strangers a second. */
	begin(&b, 8);
	packets(&b, BF_SYN, 3000, 0, 0.99, 0);
	spread(&b, 2000);
	run(&b, 60);
	assert_null(bf_detect_active(b.d, 0));
	b.t.count[BF_SYN].packets += 3000;
	assert_true(until_found(&b, 5) <= 1);
	assert_int_equal(bf_detect_limits(b.d, limit, 8), 1);
	assert_in_range(limit[0].pps, 3000, 9000);
	bf_detect_free(b.d);
}

/* The same input, the same attacks, limits and rules. */
static void nothing_is_left_to_chance(void **state)
{
	struct bench b[2];

	(void)state;
	for (unsigned n = 0; n < 2; n++) {
		struct attack_style a = {.cls = BF_UDP, .seed = 4};
		struct dice d = {8};

		begin(&b[n], 8);
		run(&b[n], 20);
		packets(&b[n], BF_UDP, 50000, 0, 0, 0);
		spread(&b[n], 1000);
		for (unsigned i = 0; i < 100; i++) {
			b[n].samples = COUNT(b[n].s);
			for (size_t j = 0; j < b[n].samples; j++) {
				memset(&b[n].s[j], 0, sizeof(b[n].s[j]));
				b[n].s[j].cls = BF_UDP;
				b[n].s[j].weight = 1;
				b[n].s[j].packet.ip_version = 4;
				b[n].s[j].packet.protocol = 17;
				attack_packet(&d, &a, &b[n].s[j], dice_int(&d, 0, 100));
			}
			tick(&b[n]);
		}
	}
	assert_int_equal(only(&b[0])->rules, 1);
	assert_memory_equal(only(&b[0]), only(&b[1]), sizeof(struct bf_attack));
	bf_detect_free(b[0].d);
	bf_detect_free(b[1].d);
}

/* Grown by a hundredth each second, from nothing: found when it is over the floor, not learned. */
static void slow_ramps_are_not_learned(void **state)
{
	static const enum bf_class kinds[] = {BF_SYN, BF_UDP, BF_AMP_DNS, BF_ACK, BF_FRAGMENT};
	struct bench b;

	(void)state;
	for (size_t i = 0; i < COUNT(kinds); i++) {
		double pps = 100;

		begin(&b, 8);
		packets(&b, BF_SYN, 50, 0.5, 1, 0);
		spread(&b, 100);
		run(&b, 30);
		for (; pps < 50000 && !bf_detect_active(b.d, 0); pps *= 1.001) {
			packets(&b, kinds[i], pps, 0, 0, 1);
			tick(&b);
		}
		if (pps > 12000)
			fail_msg("%s grew to %.0f", bf_class_name(kinds[i]), pps);
		/* An hour of it does not make it normal. */
		run(&b, 600);
		assert_non_null(bf_detect_active(b.d, 0));
		bf_detect_free(b.d);
	}
}

static void sensitivity_counts(void **state)
{
	double least[BF_SENS_COUNT];
	struct bench b;

	(void)state;
	for (unsigned sens = BF_SENS_LOW; sens < BF_SENS_COUNT; sens++) {
		least[sens] = 0;
		for (double pps = 200; pps < 20000 && !(least[sens] > 0); pps *= 1.2) {
			begin(&b, 8);
			b.t.sensitivity = (uint8_t)sens;
			run(&b, 10);
			packets(&b, BF_RST, pps, 0, 0, 1);
			if (until_found(&b, 10) > 0)
				least[sens] = pps;
			bf_detect_free(b.d);
		}
	}
	assert_true(least[BF_SENS_LOW] > 2 * least[BF_SENS_MEDIUM]);
	assert_true(least[BF_SENS_MEDIUM] > 1.5 * least[BF_SENS_HIGH] && least[BF_SENS_HIGH] > 0);
}

/* Random flags are one attack of several classes. */
static void classes_join(void **state)
{
	struct bf_limit limit[8];
	struct bench b;

	(void)state;
	begin(&b, 8);
	run(&b, 20);
	packets(&b, BF_RST, 5000, 0, 0, 1);
	packets(&b, BF_ACK, 5000, 0, 0, 1);
	packets(&b, BF_FIN, 5000, 0, 0, 1);
	run(&b, 3);
	assert_int_equal(only(&b)->classes, 1 << BF_RST | 1 << BF_ACK | 1 << BF_FIN);
	assert_int_equal(bf_detect_limits(b.d, limit, 8), 3);
	assert_true(limit[0].stray_only);
	bf_detect_free(b.d);
}

/* --- bounds --- */

static void memory_is_bounded(void **state)
{
	struct dice d = {5};
	struct bf_detect_stats stats;
	struct bench b;
	size_t before;

	(void)state;
	begin(&b, 64);
	before = bf_detect_memory(b.d);
	assert_true(before < 16u << 20);
	run(&b, 10);
	/* Ten million sources to more destinations than there are entries: 400,000 samples, each from another. */
	for (unsigned i = 0; i < 6000; i++) {
		b.t.dest.addr[13] = (uint8_t)(i >> 8);
		b.t.dest.addr[14] = (uint8_t)i;
		packets(&b, BF_UDP, 1e5, 0, 0, 0);
		spread(&b, 10000);
		b.samples = COUNT(b.s);
		for (size_t j = 0; j < b.samples; j++) {
			struct attack_style a = {.cls = BF_UDP, .seed = 1};

			memset(&b.s[j], 0, sizeof(b.s[j]));
			b.s[j].cls = BF_UDP;
			b.s[j].weight = 156;
			b.s[j].packet.ip_version = 4;
			b.s[j].packet.protocol = 17;
			for (unsigned k = 0; k < 16; k++)
				b.s[j].source[k] = (uint8_t)dice_next(&d);
			attack_packet(&d, &a, &b.s[j], 0);
		}
		tick(&b);
	}
	bf_detect_stats(b.d, &stats);
	assert_int_equal(bf_detect_memory(b.d), before);
	assert_int_equal(stats.destinations, 64);
	assert_true(stats.overflow > 5000);
	/* The rest share an entry, which is under attack and says so. */
	assert_true(only(&b)->dest.other);
	assert_true(only(&b)->rules > 0);
	assert_int_equal(only(&b)->tops, 0);
	bf_detect_free(b.d);
}

static void more_attacks_than_records(void **state)
{
	static struct bf_traffic t[2 * BF_ATTACKS_MAX];
	static struct bf_limit limit[4 * BF_ATTACKS_MAX];
	struct bf_detect_config c = {.destinations = 256, .warm_s = 1};
	struct bf_detect_stats stats;
	struct bf_detect *d;

	(void)state;
	assert_int_equal(bf_detect_create(&d, &c, NULL), 0);
	for (size_t n = 0; n < COUNT(t); n++) {
		t[n].dest.addr[15] = (uint8_t)n;
		t[n].dest.protocol = 6;
	}
	for (uint64_t i = 1; i <= 1200; i++) {
		struct bf_tick k = {
			.now_ns = i * 100000000, .traffic = t, .traffic_count = COUNT(t)};

		/* Fourfold, so that it is not taken for one that goes to everybody. */
		for (size_t n = 0; n < COUNT(t); n++)
			t[n].count[BF_RST].packets = t[n].count[BF_RST].stray =
				i > 100 && i < 900 ? 2000 : 0;
		bf_detect_tick(d, &k);
		if (i == 800) {
			bf_detect_stats(d, &stats);
			assert_true(stats.unrecorded >= BF_ATTACKS_MAX);
			assert_non_null(bf_detect_active(d, BF_ATTACKS_MAX - 1));
			assert_null(bf_detect_active(d, BF_ATTACKS_MAX));
			/* Without a record, but limited all the same. */
			assert_true(bf_detect_limits(d, limit, COUNT(limit)) >= COUNT(t));
		}
	}
	assert_null(bf_detect_active(d, 0));
	assert_int_equal(bf_detect_limits(d, limit, COUNT(limit)), 0);
	assert_non_null(bf_detect_ended(d, BF_ATTACKS_MAX - 1));
	bf_detect_free(d);
}

static void bad_input(void **state)
{
	struct bf_detect_config c = {.destinations = 1};
	struct bf_error err = {""};
	struct bf_detect *d;
	struct bench b;

	(void)state;
	assert_int_equal(bf_detect_create(&d, &c, &err), -22);
	assert_non_null(strstr(err.msg, "destinations"));
	c.destinations = 70000;
	assert_int_equal(bf_detect_create(&d, &c, &err), -22);
	c = (struct bf_detect_config){.destinations = 2, .sensitivity = 9};
	assert_int_equal(bf_detect_create(&d, &c, &err), -22);
	begin(&b, 2);
	run(&b, 10);
	/* A clock that stands or runs back, nonsense in the counters, samples of nothing. */
	b.now -= 5;
	tick(&b);
	b.now += 5;
	memset(b.t.count, 0xff, sizeof(b.t.count));
	for (unsigned i = 0; i < BF_CLASSES; i++)
		b.t.count[i].packets = 5;
	b.s[0].cls = 200;
	b.s[1].traffic = 99;
	b.samples = 2;
	run(&b, 10);
	b.now += 1e6;
	run(&b, 10);
	bf_detect_free(b.d);
	bf_detect_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(baseline_follows),
		cmocka_unit_test(baseline_knows_the_hour),
		cmocka_unit_test(heavy_are_named),
		cmocka_unit_test(syn_flood_comes_and_goes),
		cmocka_unit_test(floods_are_told_from_honest),
		cmocka_unit_test(below_the_floor_is_nothing),
		cmocka_unit_test(honest_bursts_pass),
		cmocka_unit_test(outages_are_no_floods),
		cmocka_unit_test(an_outage_is_not_forgotten),
		cmocka_unit_test(a_busy_client_hides_no_flood),
		cmocka_unit_test(a_benchmark_is_no_room_for_strangers),
		cmocka_unit_test(a_busy_server_hides_no_strays),
		cmocka_unit_test(a_crowd_prolongs_no_flood),
		cmocka_unit_test(limits_fit_the_ordinary),
		cmocka_unit_test(nothing_is_left_to_chance),
		cmocka_unit_test(slow_ramps_are_not_learned),
		cmocka_unit_test(sensitivity_counts),
		cmocka_unit_test(classes_join),
		cmocka_unit_test(memory_is_bounded),
		cmocka_unit_test(more_attacks_than_records),
		cmocka_unit_test(bad_input),
	};

	return cmocka_run_group_tests_name("shield_detect", tests, NULL, NULL);
}
