// SPDX-License-Identifier: Apache-2.0
/*
 * Records of attacks that outlive their agent: what is written is read again as it was, what is
 * damaged is refused as a whole, and a detector goes on where the one before has stopped.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/shield/history.h"

#define S 1000000000ull
#define OFFSET ((int64_t)1700000000 * 1000000000)
#define NOW (1000 * S)

static struct bf_history made, read_back;

static void rule_of(struct bpfast_fingerprint *f, const char *text, uint32_t id)
{
	assert_int_equal(bf_fingerprint_parse(text, f, NULL), 0);
	f->id = id;
	f->destination[15] = 9;
	f->destination_port_min = f->destination_port_max = 53;
}

static struct bf_attack example(uint64_t id, uint8_t kind)
{
	struct bf_attack a = {
		.id = id,
		.dest = {.addr = {0x20, 1, [15] = (uint8_t)id}, .port = 53, .protocol = 17},
		.kind = kind,
		.evidence = BF_EV_SURGE,
		.spread = BF_SPREAD_MANY,
		.actions = BF_ACT_LIMIT | BF_ACT_FINGERPRINT,
		.sensitivity = BF_SENS_HIGH,
		.rules = 1,
		.tops = 1,
		.top_prefixes = 1,
		.restarts = 2,
		.classes = 1u << kind,
		.start_ns = NOW - 60 * S,
		.detected_ns = NOW - 59 * S,
		.end_ns = NOW - 2 * S,
		.value = 1234.5,
		.threshold = 300,
		.ordinary = 0.25,
		.entropy = 0.5,
		.packets_per_source = 1.25,
		.peak_pps = 1e6,
		.peak_bps = 8e9,
		.packets = 123456789,
		.bytes = 12345678901,
		.dropped = 100,
		.top = {{{[10] = 255, [11] = 255, [12] = 10, [15] = 1}, 77, 7}},
		.prefix = {{{{0x20, 1}, 99, 0}, 64}},
		.score = {{.attack = 0.75, .honest = 0, .fields = 5}},
	};

	rule_of(&a.rule[0], "ip4 udp sport 123 len 468 ttl 39-60 !df payload 0xd700032a00060048",
		(uint32_t)id);
	return a;
}

static void make(void)
{
	memset(&made, 0, sizeof(made));
	made.last_id = 12;
	made.last_rule = 40;
	made.begun[BF_SYN] = 5;
	made.running = 2;
	made.ended = 2;
	made.v[0] = example(11, BF_UDP);
	made.v[1] = example(12, BF_DNS_QUERY);
	made.v[1].random_subdomain = 1;
	made.v[1].dns = (struct bf_dns_rule){.name = "\3bad\7example",
					     .bytes = 12,
					     .share = 0.5,
					     .unique = 1,
					     .entropy = 3,
					     .id = 29,
					     .audit = 1,
					     .strangers = 1,
					     .honest = 7,
					     .packets = 1234567};
	made.hits[1][0] = 4711;
	made.v[2] = example(3, BF_SYN);
	made.v[3] = example(4, BF_ICMP);
	made.v[2].released_ns = made.v[3].released_ns = NOW - S;
	made.v[3].note = BF_NOTE_GONE;
	/* The overflow destination, and all of them. */
	made.v[2].dest = (struct bf_dest){.other = 1};
	made.v[3].dest = (struct bf_dest){0};
}

static char *text_of(const struct bf_history *h)
{
	json_t *o = bf_history_json(h, OFFSET);
	char *text;

	assert_non_null(o);
	text = json_dumps(o, JSON_COMPACT);
	json_decref(o);
	assert_non_null(text);
	return text;
}

static void test_round(void **state)
{
	struct bf_error err = {""};
	char *text;

	(void)state;
	make();
	text = text_of(&made);
	if (bf_history_parse(text, strlen(text), OFFSET, NOW, &read_back, &err))
		fail_msg("%s", err.msg);
	assert_memory_equal(&made, &read_back, sizeof(made));
	free(text);
}

/* A detector may come to values that JSON does not have. */
static void test_no_number(void **state)
{
	struct bf_error err = {""};
	char *text;

	(void)state;
	make();
	made.v[0].threshold = 1.0 / 0.0;
	made.v[0].entropy = 0.0 / 0.0;
	made.v[0].value = -1e300;
	text = text_of(&made);
	assert_int_equal(bf_history_parse(text, strlen(text), OFFSET, NOW, &read_back, &err), 0);
	assert_true(read_back.v[0].entropy == 0 && read_back.v[0].value == 0);
	free(text);
}

/* The largest file that we write is one that we read. */
static void test_full(void **state)
{
	struct bf_error err = {""};
	char *text;

	(void)state;
	make();
	for (size_t i = 0; i < BF_ATTACKS_MAX + BF_HISTORY_KEPT; i++) {
		struct bf_attack *a = &made.v[i];

		*a = example(i + 1, BF_DNS_QUERY);
		a->rules = BF_ATTACK_RULES;
		a->tops = a->top_prefixes = BF_ATTACK_TOP;
		a->random_subdomain = 1;
		a->dns = made.v[1].dns;
		for (int r = 0; r < BF_ATTACK_RULES; r++)
			a->rule[r] = a->rule[0];
		for (int t = 0; t < BF_ATTACK_TOP; t++) {
			a->top[t] = a->top[0];
			a->prefix[t] = a->prefix[0];
		}
		if (i >= BF_ATTACKS_MAX)
			a->released_ns = NOW;
	}
	made.running = BF_ATTACKS_MAX;
	made.ended = BF_HISTORY_KEPT;
	made.last_id = 1000;
	text = text_of(&made);
	assert_true(strlen(text) < BF_HISTORY_BYTES / 2);
	if (bf_history_parse(text, strlen(text), OFFSET, NOW, &read_back, &err))
		fail_msg("%s", err.msg);
	free(text);
}

static void refused(const char *text)
{
	static const struct bf_history none;
	struct bf_error err = {""};

	if (bf_history_parse(text, strlen(text), OFFSET, NOW, &read_back, &err) != -EINVAL ||
	    !*err.msg)
		fail_msg("taken: %s", text);
	assert_memory_equal(&read_back, &none, sizeof(none));
}

static void test_damaged(void **state)
{
	/* What is put in place of what. */
	static const char *const flaws[][2] = {
		{"\"version\":1", "\"version\":2"},
		{"\"last_id\":12", "\"last_id\":11"},
		{"\"last_id\":12", "\"last_id\":-1"},
		{"\"id\":3", "\"id\":4"},
		{"\"id\":3", "\"id\":0"},
		{"\"kind\":\"udp\"", "\"kind\":\"tcp\""},
		{"\"kind\":\"udp\"", "\"kind\":\"syn\""},
		{"\"evidence\":2", "\"evidence\":3"},
		{"\"spread\":2", "\"spread\":9"},
		{"\"sensitivity\":3", "\"sensitivity\":9"},
		{"\"note\":2", "\"note\":3"},
		{"\"port\":53", "\"port\":65536"},
		{"\"bits\":64", "\"bits\":129"},
		{"\"count\":77", "\"count\":6"},
		{"\"peak_pps\":1000000.0", "\"peak_pps\":1e300"},
		{"\"packets\":123456789", "\"packets\":\"many\""},
		{"\"rule\":\"ip4", "\"rule\":\"ip5"},
		{"\"name\":[3", "\"name\":[9"},
		{"\"name\":[3", "\"name\":[300"},
		{"\"ended\":[", "\"ende\":["},
	};
	char *text, *other, *at;

	(void)state;
	make();
	text = text_of(&made);
	for (size_t i = 0; i < sizeof(flaws) / sizeof(*flaws); i++) {
		other = malloc(strlen(text) + 64);
		at = strstr(text, flaws[i][0]);
		if (!at)
			fail_msg("there is no %s", flaws[i][0]);
		assert_non_null(other);
		memcpy(other, text, (size_t)(at - text));
		strcpy(other + (at - text), flaws[i][1]);
		strcpy(other + (at - text) + strlen(flaws[i][1]), at + strlen(flaws[i][0]));
		refused(other);
		free(other);
	}
	/* Cut short anywhere. */
	for (size_t n = strlen(text); n > 0; n -= n > 97 ? 97 : n) {
		text[n - 1] = '\0';
		refused(text);
	}
	free(text);
}

/* The clock was set back since: nothing is in the future, and nothing ends before it begins. */
static void test_clock(void **state)
{
	struct bf_error err = {""};
	char *text;

	(void)state;
	make();
	text = text_of(&made);
	assert_int_equal(bf_history_parse(text, strlen(text), OFFSET - (int64_t)(3600 * S), NOW,
					  &read_back, &err),
			 0);
	assert_int_equal(read_back.v[2].start_ns, NOW);
	assert_int_equal(read_back.v[2].end_ns, NOW);
	free(text);
}

/* --- the detector --- */

static struct bf_detect *detector(void)
{
	struct bf_detect_config c = {.destinations = 8, .seed = 1};
	struct bf_error err;
	struct bf_detect *d;

	assert_int_equal(bf_detect_create(&d, &c, &err), 0);
	return d;
}

static unsigned tick(struct bf_detect *d, uint64_t now_ns, const struct bf_dest *k, uint64_t pps)
{
	struct bf_traffic t = {.dest = *k, .has_pairs = 1, .sources = (uint32_t)pps / 10};
	struct bf_tick in = {.now_ns = now_ns, .traffic = &t, .traffic_count = 1};

	t.count[BF_UDP].packets = pps / 10;
	t.count[BF_UDP].bytes = pps * 10;
	for (int b = 0; b < BF_SOURCE_BUCKETS; b++)
		t.bucket[b] = (uint32_t)(pps / 640);
	return bf_detect_tick(d, &in);
}

static void test_taken_over(void **state)
{
	struct bf_attack a = example(11, BF_UDP);
	struct bf_detect *d = detector();
	uint64_t now = NOW, id, rule;

	(void)state;
	bf_detect_number(d, 12, 40);
	assert_true(bf_detect_resume(d, &a, now));
	assert_int_equal(bf_detect_active(d, 0)->awaited, 1);
	/* A flood that is too small to be found in the first seconds of a detector, but is known. */
	for (int i = 0; i < 30; i++)
		tick(d, now += S / 10, &a.dest, 8000);
	assert_int_equal(bf_detect_active(d, 0)->id, 11);
	assert_int_equal(bf_detect_active(d, 0)->awaited, 0);
	assert_int_equal(bf_detect_active(d, 0)->restarts, 3);
	assert_true(bf_detect_active(d, 0)->packets > a.packets + 20000);
	assert_null(bf_detect_active(d, 1));
	assert_int_equal(bf_detect_let_go(d, 11, now, BF_NOTE_QUIET), 0);
	/* The patience of the first seconds does not end it while it goes on. */
	for (int i = 0; i < 120; i++)
		tick(d, now += S / 10, &a.dest, 8000);
	assert_non_null(bf_detect_active(d, 0));
	for (int i = 0; i < 150; i++)
		tick(d, now += S / 10, &a.dest, 0);
	assert_null(bf_detect_active(d, 0));
	assert_int_equal(bf_detect_ended(d, 0)->id, 11);
	assert_int_equal(bf_detect_ended(d, 0)->note, BF_NOTE_NONE);
	for (int i = 0; i < 30; i++)
		tick(d, now += S / 10, &a.dest, 80000);
	assert_int_equal(bf_detect_active(d, 0)->id, 13);
	bf_detect_numbers(d, &id, &rule);
	assert_true(id == 13 && rule >= 40);
	bf_detect_free(d);
}

static void test_let_go(void **state)
{
	struct bf_attack a = example(11, BF_UDP), old = example(2, BF_ICMP);
	struct bf_detect *d = detector();
	uint64_t now = NOW;

	(void)state;
	bf_detect_put_ended(d, &old);
	assert_true(bf_detect_resume(d, &a, now));
	for (int i = 0; i < 100; i++)
		assert_int_equal(tick(d, now += S / 10, &a.dest, 10), 0);
	assert_int_equal(bf_detect_active(d, 0)->id, 11);
	assert_true(bf_detect_let_go(d, 11, now - S, BF_NOTE_QUIET) & BF_CHANGE_ENDED);
	assert_null(bf_detect_active(d, 0));
	assert_int_equal(bf_detect_ended(d, 0)->end_ns, now - S);
	assert_int_equal(bf_detect_ended(d, 0)->released_ns, now);
	assert_int_equal(bf_detect_ended(d, 1)->id, 2);
	bf_detect_free(d);
}

static void test_no_room(void **state)
{
	struct bf_detect *d = detector();
	struct bf_attack a;

	(void)state;
	/* Eight destinations have an entry; who has none must not be taken for all the others. */
	for (uint64_t id = 1; id <= 8; id++) {
		a = example(id, BF_UDP);
		assert_true(bf_detect_resume(d, &a, NOW));
	}
	a = example(9, BF_UDP);
	assert_false(bf_detect_resume(d, &a, NOW));
	bf_detect_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round),  cmocka_unit_test(test_no_number),
		cmocka_unit_test(test_full),   cmocka_unit_test(test_damaged),
		cmocka_unit_test(test_clock),  cmocka_unit_test(test_taken_over),
		cmocka_unit_test(test_let_go), cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
