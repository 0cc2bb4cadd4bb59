// SPDX-License-Identifier: Apache-2.0
/* Names that nobody has: found below the right name, and not where many names are normal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shield/dns_match.h"
#include "shield/dns_names.h"
#include "shield_packets.h"

static void query(struct dice *d, struct bf_sampled *s, const char *name)
{
	memset(s, 0, sizeof(*s));
	s->packet.ip_version = 4;
	dns_query(d, s, name);
}

static void ask(struct bf_dns *n, struct dice *d, const char *name)
{
	struct bf_sampled s;

	query(d, &s, name);
	bf_dns_add(n, s.payload, s.payload_bytes);
}

static void found_below_its_name(void **state)
{
	static const char *const zones[] = {"victim.example", "a.b.victim.example",
					    "Victim.Example"};
	static const char *const wants[] = {"victim.example", "a.b.victim.example",
					    "victim.example"};
	struct dice d = {1};

	(void)state;
	for (unsigned z = 0; z < 3; z++) {
		struct bf_dns n = {0};
		struct bf_dns_rule r;
		struct bf_sampled s;
		char name[80], text[300];

		for (unsigned i = 0; i < 2000; i++) {
			if (dice_chance(&d, 0.5))
				honest_name(&d, name, sizeof(name));
			else
				snprintf(name, sizeof(name), "%08x.%s", (unsigned)dice_next(&d),
					 zones[z]);
			ask(&n, &d, name);
		}
		assert_true(bf_dns_find(&n, &r));
		assert_string_equal(bf_dns_text(&r, text, sizeof(text)), wants[z]);
		assert_true(r.unique > 0.9 && r.share > 0.4 && r.share < 0.6 && r.entropy > 2);
		snprintf(name, sizeof(name), "abc.%s", zones[z]);
		query(&d, &s, name);
		assert_true(bf_dns_below(&r, s.payload, s.payload_bytes));
		query(&d, &s, zones[z]);
		assert_false(bf_dns_below(&r, s.payload, s.payload_bytes));
		query(&d, &s, "www.notvictim.example");
		assert_false(bf_dns_below(&r, s.payload, s.payload_bytes));
	}
}

static void many_names_are_no_attack(void **state)
{
	struct bf_dns n = {0};
	struct bf_dns_rule r;
	struct dice d = {2};
	char name[80];

	(void)state;
	for (unsigned i = 0; i < 20000; i++) {
		honest_name(&d, name, sizeof(name));
		ask(&n, &d, name);
	}
	assert_false(bf_dns_find(&n, &r));
	assert_int_equal(r.bytes, 0);
	/* few queries: nothing can be said */
	n = (struct bf_dns){0};
	for (unsigned i = 0; i < 60; i++) {
		snprintf(name, sizeof(name), "%u.victim.example", i);
		ask(&n, &d, name);
	}
	assert_false(bf_dns_find(&n, &r));
}

static void nonsense_is_not_read(void **state)
{
	struct bf_dns n = {0};
	struct dice d = {3};
	uint8_t p[BF_SAMPLE_PAYLOAD];
	struct bf_dns_rule r;
	struct bf_sampled s;

	(void)state;
	for (unsigned i = 0; i < 300000; i++) {
		size_t len = dice_int(&d, 0, sizeof(p));
		uint8_t *exact = malloc(len ? len : 1);

		query(&d, &s, "a.b.example");
		for (size_t j = 0; j < sizeof(p); j++)
			p[j] = dice_chance(&d, 0.9) ? s.payload[j] : (uint8_t)dice_next(&d);
		/* Of that length, so that a byte too far is seen. */
		memcpy(exact, p, len);
		bf_dns_add(&n, exact, len);
		free(exact);
	}
	bf_dns_find(&n, &r);
	/* an answer; a name that is cut; two questions */
	query(&d, &s, "a.b.example");
	s.payload[2] |= 0x80;
	assert_false(bf_dns_add(&n, s.payload, s.payload_bytes));
	query(&d, &s, "a.b.example");
	assert_false(bf_dns_add(&n, s.payload, 20));
	s.payload[5] = 2;
	assert_false(bf_dns_add(&n, s.payload, s.payload_bytes));
}

/* As the kernel reads it: the same verdict as that of bf_dns_below(), where both can read the name. */
static bool kernel_below(const struct bpfast_dns_rule *r, const struct bf_sampled *s)
{
	uint8_t room[BPFAST_DNS_ROOM + 64] = {0};
	__u64 begins[4];
	uint32_t bytes;

	memcpy(room, s->payload, s->payload_bytes);
	bytes = dns_walk(room, s->payload_bytes, begins);
	return bytes && dns_below(r, room, begins, bytes) && !dns_honest(r, room, bytes);
}

static void kernel_and_detector_agree(void **state)
{
	struct bf_dns_rule r = {.bytes = 15};
	struct bpfast_dns_rule k;
	struct dice d = {4};
	unsigned met = 0;

	(void)state;
	memcpy(r.name, "\6victim\7example", 15);
	bf_names_rule(NULL, 0, 7, &r, &k);
	assert_int_equal(k.honest + k.strangers, 0);
	for (unsigned i = 0; i < 200000; i++) {
		struct bf_sampled s;

		query(&d, &s, dice_chance(&d, 0.5) ? "ab.c.Victim.exAmple" : "a.victim.example");
		for (unsigned n = dice_int(&d, 0, 2); n > 0; n--)
			s.payload[dice_int(&d, 12, 33)] = (uint8_t)dice_int(&d, 0, 255);
		assert_int_equal(kernel_below(&k, &s),
				 bf_dns_below(&r, s.payload, s.payload_bytes));
		met += kernel_below(&k, &s);
	}
	assert_in_range(met, 20000, 180000);
}

#define SECOND 1000000000ull

static void see(struct bf_names *n, struct dice *d, const char *name, uint64_t at_ns)
{
	struct bf_sampled s;

	query(d, &s, name);
	assert_true(bf_names_add(n, s.payload, s.payload_bytes, at_ns));
}

static bool passes(const struct bpfast_dns_rule *k, struct dice *d, const char *name)
{
	struct bf_sampled s;

	query(d, &s, name);
	return !kernel_below(k, &s);
}

static void names_from_before_are_let_through(void **state)
{
	static struct bf_names n;
	struct bf_dns_rule r = {.bytes = 15};
	struct bpfast_dns_rule k;
	struct dice d = {5};
	char name[80];

	(void)state;
	memcpy(r.name, "\6victim\7example", 15);
	memset(&n, 0, sizeof(n));
	/* Names that come again stay, whatever else comes once. */
	for (unsigned i = 0; i < 2000; i++) {
		snprintf(name, sizeof(name), "x%u.other.example", i);
		see(&n, &d, name, i * SECOND / 10);
		if (i % 10 == 0)
			see(&n, &d, i % 20 ? "www.victim.example" : "a.B.victim.example",
			    i * SECOND / 10);
	}
	/* Once, twice in a moment, and since the attack. */
	see(&n, &d, "once.victim.example", 199 * SECOND);
	see(&n, &d, "twice.victim.example", 199 * SECOND);
	see(&n, &d, "twice.victim.example", 199 * SECOND);
	see(&n, &d, "late.victim.example", 210 * SECOND);
	see(&n, &d, "late.victim.example", 212 * SECOND);
	assert_int_equal(n.n, BF_NAMES);
	bf_names_rule(&n, 200 * SECOND, 7, &r, &k);
	assert_int_equal(r.honest, 2);
	assert_int_equal(k.strangers, 0);
	assert_true(passes(&k, &d, "www.victim.example"));
	assert_true(passes(&k, &d, "WWW.Victim.Example"));
	assert_true(passes(&k, &d, "a.b.victim.example"));
	assert_true(passes(&k, &d, "victim.example"));
	assert_false(passes(&k, &d, "b.victim.example"));
	assert_false(passes(&k, &d, "once.victim.example"));
	assert_false(passes(&k, &d, "twice.victim.example"));
	assert_false(passes(&k, &d, "late.victim.example"));
	/* A zone of many names, each asked for once: who is known keeps all of them. */
	memset(&n, 0, sizeof(n));
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "customer%u.victim.example", i);
		see(&n, &d, name, i * SECOND);
	}
	bf_names_rule(&n, 200 * SECOND, 7, &r, &k);
	assert_true(k.strangers && r.strangers && !k.honest);
	/* More names that come again than there is room for. */
	for (unsigned i = 0; i < 100; i++) {
		snprintf(name, sizeof(name), "customer%u.victim.example", i);
		see(&n, &d, name, (100 + i) * SECOND);
	}
	bf_names_rule(&n, 300 * SECOND, 7, &r, &k);
	assert_true(k.strangers && k.honest > 48 && k.honest <= BPFAST_DNS_HONEST);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(found_below_its_name),
		cmocka_unit_test(many_names_are_no_attack),
		cmocka_unit_test(nonsense_is_not_read),
		cmocka_unit_test(kernel_and_detector_agree),
		cmocka_unit_test(names_from_before_are_let_through),
	};

	return cmocka_run_group_tests_name("shield_dns", tests, NULL, NULL);
}
