// SPDX-License-Identifier: Apache-2.0
/* Fingerprints: found in samples, held against packets that were not among them; as text and back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shield/fingerprint.h"
#include "shield/fingerprint_match.h"
#include "shield_packets.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* --- text --- */

static void text_and_back(void **state)
{
	static const char *const texts[] = {
		"udp dport 53 len 512 ttl 240-250 payload 0xdeadbeef",
		"ip4 tcp dport 443 len 40 ttl 64 id 54321 window 512 !df !more !later flags S "
		"options none",
		"ip6 udp sport 123 payload 0x????032a",
		"tcp flags S/SA",
		"tcp flags -",
		/* docs/guide/shield-attacks.md */
		"ip4 udp sport 123 len 468 ttl 39-60 !df payload 0xd700032a00060048",
		"tcp dport 8080 len 40 ttl 50 id 54321 window 512 flags A options none",
		"ip4 udp sport 16191 dport 53 len 73 ttl 243 !df !more !later payload "
		"0x????010000010000000000000a",
		"tcp flags FSRPAUEC options mss,sackok,ts,ws,sack,tfo,other,broken",
		"tcp optlen 20 options mss,ws/mss,ts,ws",
		"proto 99 len 1000-1500",
		"any ttl 1",
		"icmp sport 2048 plen 0",
		"icmp6 len 0-100",
		"esp",
		"udp plen 4-8 payload 0x00",
	};

	(void)state;
	for (size_t i = 0; i < COUNT(texts); i++) {
		struct bpfast_fingerprint f, again;
		struct bf_error err = {""};
		char out[BF_FINGERPRINT_TEXT];

		assert_int_equal(bf_fingerprint_parse(texts[i], &f, &err), 0);
		assert_string_equal(bf_fingerprint_text(&f, out, sizeof(out)), texts[i]);
		assert_int_equal(bf_fingerprint_parse(out, &again, &err), 0);
		assert_memory_equal(&f, &again, sizeof(f));
	}
}

static void text_refused(void **state)
{
	static const struct {
		const char *text, *why;
	} flaws[] = {
		{"", "empty"},
		{"  ", "empty"},
		{"udp dports 5", "\"dports\""},
		{"udp dport", "dport wants"},
		{"udp dport x", "dport wants"},
		{"udp dport 65536", "dport wants"},
		{"udp dport 9-5", "dport wants"},
		{"udp dport 5-", "dport wants"},
		{"udp dport -5", "dport wants"},
		{"udp dport 5x", "dport wants"},
		{"udp dport 000000000000005", "dport wants"},
		{"udp ttl 256", "ttl wants"},
		{"tcp flags", "flags wants"},
		{"tcp flags X", "flags cannot"},
		{"tcp flags S/", "flags cannot"},
		{"tcp flags SA/S", "flags cannot"},
		{"tcp flags -/-", "flags cannot"},
		{"tcp options mss,", "options cannot"},
		{"tcp options ,mss", "options cannot"},
		{"tcp options foo", "options cannot"},
		{"proto 256", "proto wants"},
		{"udp payload", "payload wants"},
		{"udp payload deadbeef", "payload wants"},
		{"udp payload 0x", "payload wants"},
		{"udp payload 0x123", "payload wants"},
		{"udp payload 0x12??", "payload byte 1"},
		{"udp payload 0xDE", "payload byte 0"},
		{"udp payload 0x0102030405060708090a0b0c0d0e0f1011", "payload wants"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(flaws); i++) {
		struct bpfast_fingerprint f;
		struct bf_error err = {""};

		assert_true(bf_fingerprint_parse(flaws[i].text, &f, &err) < 0);
		if (!strstr(err.msg, flaws[i].why))
			fail_msg("\"%s\": %s", flaws[i].text, err.msg);
	}
}

/* Whatever it takes, it prints so that it takes it again. */
static void text_random(void **state)
{
	static const char *const words[] = {
		"udp", "tcp",  "ip4",	"dport", "sport", "len",     "ttl",   "5",
		"6-9", "0",    "65535", "flags", "S",	  "S/SA",    "-",     "options",
		"mss", "none", "df",	"!df",	 "later", "payload", "0x00",  "0x??01",
		"id",  "plen", "any",	"proto", "255",	  "window",  "optlen"};
	struct dice d = {1};
	unsigned taken = 0;

	(void)state;
	for (unsigned n = 0; n < 50000; n++) {
		struct bpfast_fingerprint f, again;
		char text[200] = "", out[BF_FINGERPRINT_TEXT];
		unsigned len = 0;

		for (unsigned i = dice_int(&d, 1, 6); i; i--)
			len += (unsigned)snprintf(text + len, sizeof(text) - len, "%s ",
						  words[dice_int(&d, 0, COUNT(words) - 1)]);
		if (bf_fingerprint_parse(text, &f, NULL))
			continue;
		taken++;
		bf_fingerprint_text(&f, out, sizeof(out));
		if (bf_fingerprint_parse(out, &again, NULL) || memcmp(&f, &again, sizeof(f)))
			fail_msg("\"%s\" became \"%s\"", text, out);
	}
	assert_true(taken > 1000);
}

/* --- matching --- */

static void each_field_counts(void **state)
{
	static const char *const rules[] = {"udp",
					    "ip6 tcp",
					    "tcp dport 81",
					    "tcp sport 1025-2000",
					    "tcp len 41-99",
					    "tcp ttl 65",
					    "tcp id 2",
					    "tcp window 513-514",
					    "tcp optlen 4",
					    "tcp plen 5-16",
					    "tcp df",
					    "tcp !more",
					    "tcp later",
					    "tcp flags A",
					    "tcp flags -/S",
					    "tcp options mss",
					    "tcp payload 0xab",
					    "tcp payload 0x??????????01",
					    "tcp plen 0-3"};
	struct bpfast_fp_packet p = {.length = 40,
				     .id = 1,
				     .source_port = 1024,
				     .destination_port = 80,
				     .window = 512,
				     .ip_version = 4,
				     .protocol = 6,
				     .ttl = 64,
				     .tcp_flags = 2,
				     .payload_bytes = 4,
				     .form = BPFAST_FPF_MORE};
	struct bpfast_fingerprint f;

	(void)state;
	for (size_t i = 0; i < COUNT(rules); i++) {
		assert_int_equal(bf_fingerprint_parse(rules[i], &f, NULL), 0);
		if (fp_matches(&f, &p))
			fail_msg("%s matches", rules[i]);
	}
	assert_int_equal(
		bf_fingerprint_parse(
			"ip4 tcp dport 80 sport 1024 len 40 ttl 60-64 id 1 window 512 optlen 0 "
			"plen 4 !df more flags S options none payload 0x00??0000",
			&f, NULL),
		0);
	assert_true(fp_matches(&f, &p));
	assert_int_equal(fp_first(&f, 1, &p), 1);
	assert_int_equal(fp_first(&f, 0, &p), 0);
	f.destination[3] = 1;
	assert_false(fp_matches(&f, &p));
	p.destination[3] = 1;
	assert_true(fp_matches(&f, &p));
	f.id = 0;
	assert_false(fp_matches(&f, &p));
}

/* --- finding --- */

#define SAMPLES 256
#define FRESH 2000

static void base(struct dice *d, struct bf_sampled *s, unsigned cls, int v6, unsigned port)
{
	memset(s, 0, sizeof(*s));
	s->cls = (uint8_t)cls;
	s->packet.ip_version = v6 ? 6 : 4;
	s->packet.protocol = cls <= BF_FIN     ? 6
			     : cls == BF_ICMP  ? (v6 ? 58 : 1)
			     : cls == BF_OTHER ? 47
					       : 17;
	s->packet.destination_port = port ? (uint16_t)port : (uint16_t)dice_int(d, 1, 65535);
}

static void one_honest(struct dice *d, enum service_kind kind, struct bf_sampled *s)
{
	static const uint16_t ports[SERVICES] = {443, 8080, 53, 443, 4000, 514, 0, 0};
	static const uint8_t hosts[] = {BF_ICMP, BF_FRAGMENT, BF_OTHER};
	unsigned cls = kind == DNS ? BF_DNS_QUERY : kind == RESOLVER ? BF_AMP_DNS : BF_UDP;

	if (kind == WEB || kind == API)
		cls = dice_chance(d, 0.3) ? BF_SYN : dice_chance(d, 0.1) ? BF_FIN : BF_ACK;
	if (kind == HOST)
		cls = hosts[dice_int(d, 0, 2)];
	base(d, s, cls, dice_chance(d, 0.2), ports[kind]);
	honest_packet(d, kind, s, dice_int(d, 0, 300));
}

/* A flood of each kind among honest packets. Counts what a rule does to packets that it was not made from. */
static void found_in_mixtures(void **state)
{
	struct bpfast_fp_packet attack[SAMPLES], honest[192];
	unsigned floods = 0, ruled = 0;
	double evil = 0, borne = 0, good = 0, hurt = 0;
	struct dice d = {7};

	(void)state;
	for (unsigned n = 0; n < 126; n++) {
		struct attack_style a = {.cls = (enum bf_class)(n % BF_CLASSES),
					 .seed = dice_next(&d),
					 .bots = dice_chance(&d, 0.5),
					 .random_subdomain = dice_chance(&d, 0.5)};
		enum service_kind kind = a.cls <= BF_FIN	 ? WEB
					 : a.cls == BF_DNS_QUERY ? DNS
					 : a.cls == BF_UDP	 ? QUIC
					 : a.cls <= BF_AMP_QOTD	 ? RESOLVER
								 : HOST;
		unsigned port = kind == WEB || kind == QUIC ? 443 : kind == DNS ? 53 : 0;
		double share = 0.5 + 0.5 * dice_unit(&d);
		struct bpfast_fingerprint rule[4], again[4];
		struct bf_fingerprint_score score[4], score_again[4];
		struct bf_sampled s;
		char text[BF_FINGERPRINT_TEXT];
		size_t rules;

		for (unsigned i = 0; i < COUNT(honest); i++) {
			one_honest(&d, kind, &s);
			honest[i] = s.packet;
		}
		for (unsigned i = 0; i < SAMPLES; i++) {
			base(&d, &s, a.cls, 0, port);
			if (dice_chance(&d, share))
				attack_packet(&d, &a, &s, dice_int(&d, 0, 5000));
			else
				one_honest(&d, kind, &s);
			attack[i] = s.packet;
		}
		floods++;
		rules = bf_fingerprint_find(attack, SAMPLES, honest, COUNT(honest), rule, score, 4);
		assert_int_equal(bf_fingerprint_find(attack, SAMPLES, honest, COUNT(honest), again,
						     score_again, 4),
				 rules);
		assert_memory_equal(rule, again, rules * sizeof(rule[0]));
		if (!rules)
			continue;
		ruled++;
		for (size_t r = 0; r < rules; r++) {
			assert_true(score[r].honest <= 0.01 && score[r].attack > 0.1 &&
				    score[r].fields >= 3);
			assert_int_equal(bf_fingerprint_parse(
						 bf_fingerprint_text(&rule[r], text, sizeof(text)),
						 again, NULL),
					 0);
			assert_memory_equal(&again[0], &rule[r], sizeof(rule[r]));
		}
		if (getenv("BPFAST_SHIELD_VERBOSE"))
			printf("%s, %.2f: %s\n", bf_class_name(a.cls), share,
			       bf_fingerprint_text(&rule[0], text, sizeof(text)));
		for (unsigned i = 0; i < FRESH; i++) {
			base(&d, &s, a.cls, 0, port);
			attack_packet(&d, &a, &s, dice_int(&d, 0, 5000));
			evil++;
			borne += fp_first(rule, (uint32_t)rules, &s.packet) != 0;
			one_honest(&d, kind, &s);
			good++;
			hurt += fp_first(rule, (uint32_t)rules, &s.packet) != 0;
		}
	}
	printf("%u floods, %u with a fingerprint, which %.4f of fresh packets of the flood bear "
	       "and %.5f of honest ones\n",
	       floods, ruled, borne / evil, hurt / good);
	assert_true(ruled > 0.9 * floods);
	assert_true(borne > 0.97 * evil);
	assert_true(hurt < 0.002 * good);
}

/* Where a flood looks as its victims' clients do, there is no rule, rather than one that hits them. */
static void none_where_it_would_hurt(void **state)
{
	struct bpfast_fp_packet attack[SAMPLES], honest[192];
	double good = 0, hurt = 0;
	struct dice d = {9};

	(void)state;
	for (unsigned n = 0; n < 20; n++) {
		struct bpfast_fingerprint rule[4];
		struct bf_fingerprint_score score[4];
		struct bf_sampled s;
		size_t rules;

		for (unsigned i = 0; i < SAMPLES; i++) {
			one_honest(&d, n % 2 ? WEB : DNS, &s);
			attack[i] = s.packet;
			one_honest(&d, n % 2 ? WEB : DNS, &s);
			honest[i % COUNT(honest)] = s.packet;
		}
		rules = bf_fingerprint_find(attack, SAMPLES, honest, COUNT(honest), rule, score, 4);
		for (unsigned i = 0; i < FRESH; i++) {
			one_honest(&d, n % 2 ? WEB : DNS, &s);
			good++;
			hurt += fp_first(rule, (uint32_t)rules, &s.packet) != 0;
		}
	}
	assert_true(hurt < 0.01 * good);
}

static void degenerate(void **state)
{
	static struct bpfast_fp_packet many[3000];
	struct bpfast_fingerprint rule[4];
	struct bf_fingerprint_score score[4];

	(void)state;
	assert_int_equal(bf_fingerprint_find(many, 0, many, 0, rule, score, 4), 0);
	assert_int_equal(bf_fingerprint_find(many, 31, many, 0, rule, score, 4), 0);
	/* all the same, on both sides */
	assert_int_equal(bf_fingerprint_find(many, COUNT(many), many, COUNT(many), rule, score, 4),
			 0);
	/* nobody honest */
	assert_int_equal(bf_fingerprint_find(many, COUNT(many), many, 0, rule, score, 4), 1);
	assert_int_equal(bf_fingerprint_find(many, COUNT(many), many, 0, rule, score, 0), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_and_back),     cmocka_unit_test(text_refused),
		cmocka_unit_test(text_random),	     cmocka_unit_test(each_field_counts),
		cmocka_unit_test(found_in_mixtures), cmocka_unit_test(none_where_it_would_hurt),
		cmocka_unit_test(degenerate),
	};

	return cmocka_run_group_tests_name("shield_fingerprint", tests, NULL, NULL);
}
