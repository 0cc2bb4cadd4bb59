// SPDX-License-Identifier: Apache-2.0
/*
 * What shield decides by form, frame by frame, through the loaded programs: each form and its
 * reason, and frames that were damaged at random.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observe/names.h"
#include "shield_world.h"

/* --- each form, and what becomes of it --- */

#define SIXTEEN "0123456789abcdef"
#define OCTETS128 SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN SIXTEEN

struct form {
	const char *name;
	int reason;
	struct layer layers[6];
};

#define FRAME(what, why, ...)                                                                      \
	{                                                                                          \
		.name = (what), .reason = (why), .layers = { __VA_ARGS__ }                         \
	}

static struct form forms[128];
static size_t form_count;

static void make_forms(void)
{
	/* Layers are compound literals: no constants to C, so this cannot be static. */
	const struct form all[] = {
		/* honest */
		FRAME("a SYN", 0, ETH(), IP4(), TCP(.flags = SYN)),
		FRAME("a SYN with ECN", 0, ETH(), IP4(), TCP(.flags = SYN | 0xc0)),
		FRAME("a SYN over IPv6", 0, ETH(), IP6(), TCP(.flags = SYN)),
		FRAME("an ACK", 0, ETH(), IP4(), TCP(.flags = ACK)),
		FRAME("data", 0, ETH(), IP4(), TCP(.flags = ACK | PSH), DATA("x")),
		FRAME("a FIN", 0, ETH(), IP4(), TCP(.flags = ACK | FIN)),
		FRAME("urgent data", 0, ETH(), IP4(), TCP(.flags = ACK | URG | PSH), DATA("x")),
		FRAME("a RST", 0, ETH(), IP4(), TCP(.flags = RST)),
		FRAME("a RST with ACK", 0, ETH(), IP4(), TCP(.flags = RST | ACK)),
		FRAME("TCP with options", 0, ETH(), IP4(),
		      TCP(.flags = SYN, .opt = B("\2\4\5\xb4"))),
		FRAME("IPv4 with options", 0, ETH(), IP4(.opt = B("\1\1\1\1")), TCP(.flags = SYN)),
		FRAME("one tag", 0, ETH(), VLAN(), IP4(), TCP(.flags = SYN)),
		FRAME("two tags", 0, ETH(), VLAN(), VLAN(), IP4(), TCP(.flags = SYN)),
		FRAME("padding", 0, ETH(), IP4(), UDP(), DATA("x"), PAD("padding")),
		FRAME("UDP", 0, ETH(), IP6(), UDP(), DATA("x")),
		FRAME("ICMP", 0, ETH(), IP4(), ICMP(8, 0)),
		FRAME("ICMPv6", 0, ETH(), IP6(), ICMP(128, 0)),
		FRAME("ARP", 0, ETH(), ARP()),
		FRAME("another EtherType", 0, ETH(.proto = 0x88cc), DATA("lldp")),
		FRAME("another protocol", 0, ETH(), IP4(.next = 47), DATA("gre")),
		FRAME("DHCP", 0, ETH(), IP4(.src = "0.0.0.0", .dst = "255.255.255.255"),
		      UDP(.sport = 68, .dport = 67)),
		FRAME("a first fragment", 0, ETH(), IP4(.more = true), UDP(.len_add = 1000),
		      DATA(OCTETS128)),
		FRAME("a last fragment", 0, ETH(), IP4(.frag = 1480, .next = 17), DATA("rest")),
		FRAME("an IPv6 fragment", 0, ETH(), IP6(), EXT(44, .frag = 1480), DATA("rest")),
		FRAME("an atomic fragment", 0, ETH(), IP6(), EXT(44), UDP()),
		FRAME("extension headers", 0, ETH(), IP6(), EXT(0), EXT(60), TCP(.flags = SYN)),
		FRAME("a search for one's own address", 0, ETH(),
		      IP6(.src = "::", .dst = "ff02::1:ff00:1", .hop_limit = 255), ICMP(135, 0)),

		/* malformed */
		FRAME("IPv4 cut short", R(MALFORMED), ETH(), IP4(), TCP(), CUT(30)),
		FRAME("TCP cut short", R(MALFORMED), ETH(), IP4(), TCP(.flags = SYN), CUT(50)),
		FRAME("longer than its frame", R(MALFORMED), ETH(), IP4(.len_add = 1),
		      TCP(.flags = SYN)),
		FRAME("shorter than its header", R(MALFORMED), ETH(), IP4(.len_add = -21),
		      TCP(.flags = SYN)),
		FRAME("a header of 16 bytes", R(MALFORMED), ETH(), IP4(.ihl = 16),
		      TCP(.flags = SYN)),
		FRAME("version 5", R(MALFORMED), ETH(), IP4(.version = 5), TCP(.flags = SYN)),
		FRAME("a TCP header of 16 bytes", R(MALFORMED), ETH(), IP4(),
		      TCP(.doff = 16, .flags = SYN)),
		FRAME("a TCP header past the end", R(MALFORMED), ETH(), IP4(),
		      TCP(.doff = 60, .flags = SYN)),
		FRAME("UDP longer than IP", R(MALFORMED), ETH(), IP4(), UDP(.len_add = 1)),
		FRAME("UDP shorter than its header", R(MALFORMED), ETH(), IP4(),
		      UDP(.len_add = -1)),
		FRAME("three tags", R(MALFORMED), ETH(), VLAN(), VLAN(), VLAN(), IP4(),
		      TCP(.flags = SYN)),
		FRAME("a tag and no more", R(MALFORMED), ETH(), VLAN(), CUT(16)),
		FRAME("IPv6 longer than its frame", R(MALFORMED), ETH(), IP6(.len_add = 1), UDP()),
		FRAME("version 4 in IPv6", R(MALFORMED), ETH(), IP6(.version = 4), UDP()),
		FRAME("hop-by-hop options in the middle", R(MALFORMED), ETH(), IP6(), EXT(60),
		      EXT(0), UDP()),
		FRAME("a routing header of type 0", R(MALFORMED), ETH(), IP6(),
		      EXT(43, .opt = B("\0\0\0\0\0\0")), UDP()),
		FRAME("an extension past the end", R(MALFORMED), ETH(), IP6(), EXT(60),
		      POKE(55, "\xff")),

		/* fragments */
		FRAME("teardrop", R(FRAGMENT), ETH(), IP4(.more = true), UDP(.len_add = 8),
		      DATA(OCTETS128 "1234")),
		FRAME("the second of teardrop", R(FRAGMENT), ETH(), IP4(.frag = 24, .next = 17),
		      DATA("over")),
		FRAME("a tiny fragment", R(FRAGMENT), ETH(), IP4(.more = true, .next = 6),
		      DATA("12345678")),
		FRAME("ping of death", R(FRAGMENT), ETH(), IP4(.frag = 65528, .next = 1),
		      DATA("0123456789")),
		FRAME("over the TCP header", R(FRAGMENT), ETH(), IP4(.frag = 8, .next = 6),
		      DATA(OCTETS128)),
		FRAME("a first fragment with half a header", R(FRAGMENT), ETH(), IP6(),
		      EXT(44, .next = 6, .more = true), DATA("12345678")),
		FRAME("ping of death over IPv6", R(FRAGMENT), ETH(), IP6(),
		      EXT(44, .frag = 65528, .next = 58), DATA("0123456789")),

		/* addresses */
		FRAME("LAND", R(MARTIAN), ETH(), IP4(.src = POD4, .dst = POD4), TCP(.flags = SYN)),
		FRAME("LAND over IPv6", R(MARTIAN), ETH(), IP6(.src = POD6, .dst = POD6),
		      TCP(.flags = SYN)),
		FRAME("from loopback", R(MARTIAN), ETH(), IP4(.src = "127.0.0.1"), UDP()),
		FRAME("to loopback", R(MARTIAN), ETH(), IP4(.dst = "127.0.0.1"), UDP()),
		FRAME("from multicast", R(MARTIAN), ETH(), IP4(.src = "224.0.0.1"), UDP()),
		FRAME("from class E", R(MARTIAN), ETH(), IP4(.src = "250.1.2.3"), UDP()),
		FRAME("from broadcast", R(MARTIAN), ETH(), IP4(.src = "255.255.255.255"), UDP()),
		FRAME("from nowhere", R(MARTIAN), ETH(), IP4(.src = "0.0.0.0"), UDP()),
		FRAME("from network 0", R(MARTIAN), ETH(), IP4(.src = "0.1.2.3"), UDP()),
		FRAME("from multicast, IPv6", R(MARTIAN), ETH(), IP6(.src = "ff02::1"), UDP()),
		FRAME("from loopback, IPv6", R(MARTIAN), ETH(), IP6(.src = "::1"), UDP()),
		FRAME("from nowhere, IPv6", R(MARTIAN), ETH(), IP6(.src = "::"), UDP()),
		FRAME("from a mapped address", R(MARTIAN), ETH(), IP6(.src = "::ffff:192.0.2.1"),
		      UDP()),

		/* flags */
		FRAME("null scan", R(FLAGS), ETH(), IP4(), TCP(.flags = 0)),
		FRAME("FIN scan", R(FLAGS), ETH(), IP4(), TCP(.flags = FIN)),
		FRAME("Xmas scan", R(FLAGS), ETH(), IP6(), TCP(.flags = FIN | PSH | URG)),
		FRAME("SYN and FIN", R(FLAGS), ETH(), IP4(), TCP(.flags = SYN | FIN)),
		FRAME("SYN and RST", R(FLAGS), ETH(), IP4(), TCP(.flags = SYN | RST)),
		FRAME("RST and FIN", R(FLAGS), ETH(), IP4(), TCP(.flags = RST | FIN | ACK)),
		FRAME("all flags", R(FLAGS), ETH(), IP4(), TCP(.flags = 0xff)),
	};

	static_assert(sizeof(all) <= sizeof(forms), "forms");
	memcpy(forms, all, sizeof(all));
	form_count = sizeof(all) / sizeof(all[0]);
}

static struct frame *frame_of(const struct form *f)
{
	size_t n = 0;

	while (n < 6 && f->layers[n].kind != L_NONE)
		n++;
	return packet_build(f->layers, n);
}

static void each_form(void **state)
{
	unsigned int wrong = 0;

	(void)state;
	for (size_t i = 0; i < form_count; i++) {
		for (int tc = 0; tc < 2; tc++) {
			int got = shield_run(tc, frame_of(&forms[i]));

			/* The kernel gives TC no frame that has not all of its IP header. */
			if (got == forms[i].reason || (tc && got == -1))
				continue;
			print_error("%s, %s: %s was expected, it was %s\n", forms[i].name,
				    tc ? "tc" : "xdp",
				    bf_reason_word((unsigned int)forms[i].reason),
				    bf_reason_word((unsigned int)got));
			wrong++;
		}
	}
	if (wrong)
		fail_msg("%u verdicts are wrong", wrong);
}

static void modes(void **state)
{
	struct frame *bad = PACKET(ETH(), IP4(), TCP(.flags = 0));
	struct bpfast_shield_counters was, is;
	bool pass;

	(void)state;
	was = counters();
	guard(BPFAST_SM_AUDIT);
	assert_int_equal(in(bad), 0);
	is = counters();
	assert_int_equal(is.audited[R(FLAGS) - BPFAST_R_SHIELD] -
				 was.audited[R(FLAGS) - BPFAST_R_SHIELD],
			 1);
	guard(BPFAST_SM_OFF);
	was = counters();
	assert_int_equal(bf_shield_trial(shield, false, LO, bad->b, bad->len, 1, &pass, NULL), 0);
	is = counters();
	assert_true(pass);
	assert_memory_equal(&was, &is, sizeof(is));
	/* Not guarded at all. */
	shield_control->device[LO].ifindex = 0;
	assert_int_equal(bf_shield_trial(shield, false, LO, bad->b, bad->len, 1, &pass, NULL), 0);
	assert_true(pass);
}

/* A jumbo frame lies in several buffers, of which only the first can be read. */
static void many_buffers(void **state)
{
	static uint8_t jumbo[14 + 9000];
	struct frame *f = PACKET(ETH(), IP4(), UDP());
	struct bpfast_shield_counters was, is;
	bool pass;

	(void)state;
	memcpy(jumbo, f->b, f->len);
	for (unsigned int more = 0; more < 2; more++) {
		unsigned int total = 9000 + more;

		jumbo[16] = (uint8_t)(total >> 8);
		jumbo[17] = (uint8_t)total;
		jumbo[38] = (uint8_t)((total - 20) >> 8);
		jumbo[39] = (uint8_t)(total - 20);
		was = counters();
		assert_int_equal(
			bf_shield_trial(shield, false, LO, jumbo, sizeof(jumbo), 1, &pass, NULL),
			0);
		is = counters();
		assert_int_equal(pass, !more);
		assert_int_equal(is.passed_bytes - was.passed_bytes, more ? 0 : sizeof(jumbo));
		assert_int_equal(is.dropped_bytes - was.dropped_bytes, more ? sizeof(jumbo) : 0);
	}
}

static void samples(void **state)
{
	struct bpfast_shield_sample *v;
	bool found = false;
	size_t n;

	(void)state;
	for (int i = 0; i < 40 * BPFAST_SHIELD_SAMPLE; i++)
		in(PACKET(ETH(), IP4(.src = "203.0.113.77"), TCP(.flags = 0, .dport = 81)));
	assert_int_equal(bf_shield_samples(shield, &v, &n), 0);
	for (size_t i = 0; i < n; i++) {
		char text[64];

		if (strcmp(bf_address_text(v[i].source, text, sizeof(text)), "203.0.113.77"))
			continue;
		found = true;
		assert_int_equal(v[i].reason + BPFAST_R_SHIELD, R(FLAGS));
		assert_in_range(v[i].count, 20, 41);
		assert_int_equal(v[i].protocol, 6);
	}
	free(v);
	assert_true(found);
}

/* --- damaged frames --- */

/* Flips, cuts and overwrites; what comes out is anything. */
static void damage(struct frame *f)
{
	static const uint8_t odd[] = {0, 1, 4, 5, 6, 17, 43, 44, 51, 58, 60, 127, 128, 254, 255};

	for (uint32_t times = 1 + rnd(4); times; times--) {
		size_t at = rnd((uint32_t)f->len);

		switch (rnd(5)) {
		case 0:
			f->b[at] ^= (uint8_t)(1 << rnd(8));
			break;
		case 1:
			f->b[at] = odd[rnd(sizeof(odd))];
			break;
		case 2:
			if (f->len > 14)
				f->len = 14 + rnd((uint32_t)(f->len - 13));
			break;
		case 3: /* where headers lie */
			f->b[12 + rnd(f->len < 70 ? (uint32_t)f->len - 12 : 58)] =
				(uint8_t)rnd(256);
			break;
		case 4: /* bytes are put in between */
			if (f->len + 8 < 512) {
				memmove(f->b + at + 8, f->b + at, f->len - at);
				f->len += 8;
			}
			break;
		}
	}
}

/* SYNs to these are answered, all of them: none is let through to the listener. */
static void answer_for(const char *addr)
{
	struct bpfast_shield_cookie_key key = {.port = htons(80)};
	struct bpfast_shield_cookie c = {
		.mode = BPFAST_CM_ALWAYS, .timestamps = 1, .wscale = 7, .let_ns = INT64_MAX};

	assert_int_equal(bf_address_parse(addr, key.addr), 0);
	assert_int_equal(bf_shield_cookie_set(shield, &key, &c, NULL), 0);
}

/* Any frame is passed or dropped, counted once, and both hooks say the same of it; an answer is no
 * longer than what it answers. */
static void fuzz(void **state)
{
	const char *many = getenv("BPFAST_SHIELD_FRAMES"), *seed = getenv("BPFAST_SHIELD_SEED");
	uint32_t n = many ? (uint32_t)strtoul(many, NULL, 10) : 60000;
	unsigned int dropped = 0, compared = 0, answered = 0;

	(void)state;
	rng = seed ? strtoull(seed, NULL, 0) : 0x9e3779b97f4a7c15ull;
	rng |= 1;
	print_message("BPFAST_SHIELD_SEED=%llu\n", (unsigned long long)rng);
	list_of(BPFAST_SI_ENTRIES, "64.0.0.0/2\n2001:db8::/33", "80.0.0.0/4");
	answer_for(POD4);
	answer_for(POD6);
	for (uint32_t i = 0; i < n; i++) {
		struct frame f = *frame_of(&forms[rnd((uint32_t)form_count)]);
		static uint8_t answer[FRAME_MAX];
		size_t len = sizeof(answer);
		int xdp, tc;
		bool pass;

		damage(&f);
		xdp = in(&f);
		if (xdp == R(COOKIE)) {
			answered++;
			bf_shield_trial_answer(shield, answered & 1, LO, f.b, f.len, 1, &pass, NULL,
					       answer, &len);
			assert_in_range(len, 14 + 40, f.len);
		}
		tc = shield_run(true, &f);
		assert_int_not_equal(xdp, -1);
		dropped += xdp != 0;
		if (tc == -1)
			continue;
		compared++;
		if (xdp != tc) {
			for (size_t k = 0; k < f.len; k++)
				print_error("%02x", f.b[k]);
			fail_msg("\nxdp says %s, tc says %s", bf_reason_word((unsigned int)xdp),
				 bf_reason_word((unsigned int)tc));
		}
		if (rnd(4) == 0)
			bf_shield_trial_out(shield, LO, f.b, f.len);
	}
	assert_in_range(dropped, n / 10, n - n / 10);
	assert_in_range(compared, n / 3, n);
	assert_in_range(answered, n / 100, n);
}

static int setup(void **state)
{
	make_forms();
	return shield_setup(state);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup(fn, shield_reset)
	const struct CMUnitTest tests[] = {
		CASE(each_form), CASE(modes), CASE(many_buffers), CASE(samples), CASE(fuzz),
	};

	return cmocka_run_group_tests_name("shield", tests, setup, shield_teardown);
}
