// SPDX-License-Identifier: Apache-2.0
/* What shield measures, and what it does of what the agent puts in force against an attack. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "observe/names.h"
#include "shield/fingerprint.h"
#include "shield/traffic.h"
#include "shield_world.h"

static int fresh(void **state)
{
	measure_reset(state);
	memset(m.meter, 0, (size_t)m.cpus * BPFAST_DESTS * sizeof(*m.meter));
	return 0;
}

/* The entry with this address ("": any) and port; BPFAST_DESTS: there is none. */
static uint32_t entry(const char *address, uint16_t port)
{
	uint8_t addr[16];

	assert_int_equal(bf_address_parse(address, addr), 0);
	for (uint32_t i = BPFAST_DEST_FIRST; i < BPFAST_DESTS; i++)
		if (m.dest[i].ready && m.dest[i].port == port && !memcmp(m.dest[i].addr, addr, 16))
			return i;
	return BPFAST_DESTS;
}

static unsigned int entries(void)
{
	unsigned int n = 0;

	for (uint32_t i = 0; i < BPFAST_DESTS; i++)
		n += m.dest[i].ready;
	return n;
}

static struct bpfast_meter_count count(uint32_t dest, int class)
{
	struct bpfast_meter_count sum = {0};

	for (unsigned int c = 0; c < m.cpus; c++) {
		const struct bpfast_meter_count *n = &m.meter[c * BPFAST_DESTS + dest].count[class];

		sum.packets += n->packets;
		sum.bytes += n->bytes;
		sum.known += n->known;
		sum.stray += n->stray;
		sum.paired += n->paired;
		sum.dropped += n->dropped;
	}
	return sum;
}

/* The host says something from this port. */
static void speak_tcp(uint16_t port, const char *to)
{
	out(PACKET(ETH(), IP4(.src = POD4, .dst = to),
		   TCP(.sport = port, .dport = 40000, .seq = 1, .flags = SYN | ACK)));
}

static void speak_udp(uint16_t from, uint16_t port, const char *to)
{
	out(PACKET(ETH(), IP4(.src = POD4, .dst = to), UDP(.sport = from, .dport = port),
		   DATA("answer")));
}

/* Six places, the last ones perhaps empty. */
static struct frame *build(const struct layer *layers)
{
	size_t n = 6;

	while (n && !layers[n - 1].kind)
		n--;
	return packet_build(layers, n);
}

/* --- destinations --- */

static void who_speaks_has_an_entry(void **state)
{
	(void)state;
	/* Nobody from outside makes one. */
	for (uint32_t i = 0; i < 200; i++) {
		in(of_class(BPFAST_SC_SYN, address(i), "192.0.2.1", (uint16_t)(i + 1)));
		in(of_class(BPFAST_SC_UDP, address(i), address(i + 999), (uint16_t)(i + 1)));
	}
	assert_int_equal(entries(), 0);
	speak_tcp(80, OUT4);
	assert_true(entry(POD4, 80) < BPFAST_DESTS);
	assert_true(entry(POD4, 0) < BPFAST_DESTS);
	assert_int_equal(entries(), 2);
	speak_udp(53, 40000, OUT4);
	assert_true(entry(POD4, 53) < BPFAST_DESTS);
	/* A client's port has none. */
	speak_udp(40000, 53, OUT4);
	assert_int_equal(entries(), 3);
	/* Who speaks from all its ports has some places, and no more. */
	for (int port = 1; port < 2000; port++)
		speak_tcp((uint16_t)port, OUT4);
	assert_in_range(entries(), 60, 64);
	assert_true(entry(POD4, 80) < BPFAST_DESTS);
	/* All are full at some time; then it is "other". */
	for (uint32_t i = 0; i < 4000; i++)
		out(PACKET(ETH(), IP4(.src = address(i), .dst = OUT4),
			   TCP(.sport = 80, .dport = 40000, .seq = 1, .flags = SYN | ACK)));
	assert_in_range(entries(), BPFAST_DESTS / 2, BPFAST_DESTS - BPFAST_DEST_FIRST);
	assert_true(entry(POD4, 80) < BPFAST_DESTS);
}

struct kind {
	const char *name;
	int class;
	uint16_t port; /* of the entry it is counted at */
	uint16_t length; /* of the IP packet */
	struct layer layers[6];
};

static void every_packet_is_counted_in_its_class(void **state)
{
	const struct kind kinds[] = {
		{"SYN", BPFAST_MC_SYN, 80, 40, {ETH(), IP4(), TCP(.flags = SYN)}},
		{"SYN-ACK", BPFAST_MC_SYNACK, 80, 40, {ETH(), IP4(), TCP(.flags = SYN | ACK)}},
		{"ACK", BPFAST_MC_ACK, 80, 40, {ETH(), IP4(), TCP(.flags = ACK)}},
		{"RST", BPFAST_MC_RST, 80, 40, {ETH(), IP4(), TCP(.flags = RST)}},
		{"FIN", BPFAST_MC_FIN, 80, 40, {ETH(), IP4(), TCP(.flags = FIN | ACK)}},
		{"UDP", BPFAST_MC_UDP, 7, 29, {ETH(), IP4(), UDP(.dport = 7), DATA("x")}},
		{"a closed port", BPFAST_MC_UDP, 0, 28, {ETH(), IP4(), UDP(.dport = 9)}},
		{"DNS query", BPFAST_MC_DNS_QUERY, 53, 28, {ETH(), IP4(), UDP()}},
		{"DNS response",
		 BPFAST_MC_AMP_DNS,
		 0,
		 28,
		 {ETH(), IP4(), UDP(.sport = 53, .dport = 99)}},
		{"NTP", BPFAST_MC_AMP_NTP, 0, 28, {ETH(), IP4(), UDP(.sport = 123, .dport = 99)}},
		{"SSDP",
		 BPFAST_MC_AMP_SSDP,
		 0,
		 28,
		 {ETH(), IP4(), UDP(.sport = 1900, .dport = 99)}},
		{"memcached",
		 BPFAST_MC_AMP_MEMCACHED,
		 0,
		 28,
		 {ETH(), IP4(), UDP(.sport = 11211, .dport = 99)}},
		{"CLDAP",
		 BPFAST_MC_AMP_CLDAP,
		 0,
		 28,
		 {ETH(), IP4(), UDP(.sport = 389, .dport = 99)}},
		{"SNMP", BPFAST_MC_AMP_SNMP, 0, 28, {ETH(), IP4(), UDP(.sport = 161, .dport = 99)}},
		{"chargen",
		 BPFAST_MC_AMP_CHARGEN,
		 0,
		 28,
		 {ETH(), IP4(), UDP(.sport = 19, .dport = 99)}},
		{"QOTD", BPFAST_MC_AMP_QOTD, 0, 28, {ETH(), IP4(), UDP(.sport = 17, .dport = 99)}},
		{"ICMP", BPFAST_MC_ICMP, 0, 28, {ETH(), IP4(), ICMP(8, 0)}},
		{"GRE", BPFAST_MC_OTHER, 0, 23, {ETH(), IP4(.next = 47), DATA("gre")}},
		{"fragment",
		 BPFAST_MC_FRAGMENT,
		 0,
		 24,
		 {ETH(), IP4(.frag = 1480, .next = 17), DATA("rest")}},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		const struct kind *k = &kinds[i];
		bool stray = k->class > BPFAST_MC_SYN && k->class <= BPFAST_MC_FIN;
		struct bpfast_meter_count n;
		uint32_t at;

		fresh(NULL);
		speak_tcp(80, "198.51.100.99");
		speak_udp(53, 40000, "198.51.100.99");
		speak_udp(7, 40000, "198.51.100.99");
		/* While an attack is on each one is counted ... */
		shield_control->attacked = 1;
		at = entry(POD4, k->port);
		for (int j = 0; j < 10; j++)
			assert_int_equal(in(build(k->layers)), 0);
		n = count(at, k->class);
		if (n.packets != 10 || n.bytes != 10u * k->length || n.stray != (stray ? 10 : 0))
			fail_msg("%s: %u packets, %u bytes, %u stray", k->name, n.packets, n.bytes,
				 n.stray);
		/* ... and else one of so many, for all. */
		shield_control->attacked = 0;
		for (int j = 0; j < 3200; j++) {
			struct frame *f = build(k->layers);
			bool pass;

			assert_int_equal(
				bf_shield_trial(shield, false, LO, f->b, f->len, 1, &pass, NULL),
				0);
		}
		n = count(at, k->class);
		assert_in_range(n.packets, 10 + 2200, 10 + 4200);
	}
}

/* What goes out explains what comes in. */
static void pairs(void **state)
{
	(void)state;
	speak_udp(40000, 53, OUT4); /* a query of ours: its answer is no reflection */
	speak_udp(40000, 53, OUT4);
	assert_int_equal(count(entry(POD4, 0), BPFAST_MC_AMP_DNS).paired, 2);
	speak_udp(53, 40000, OUT4); /* an answer of ours */
	assert_int_equal(count(entry(POD4, 53), BPFAST_MC_DNS_QUERY).paired, 1);
	out(PACKET(ETH(), IP4(.src = POD4, .dst = OUT4), ICMP(0, 0)));
	assert_int_equal(count(entry(POD4, 0), BPFAST_MC_ICMP).paired, 1);
	/* A handshake. */
	out(PACKET(ETH(), IP4(.src = POD4, .dst = OUT4),
		   TCP(.sport = 80, .dport = 40000, .seq = 1000, .ack = 1, .flags = SYN | ACK)));
	assert_int_equal(count(entry(POD4, 80), BPFAST_MC_SYN).paired, 0);
	assert_int_equal(in(PACKET(ETH(), IP4(), TCP(.seq = 1, .ack = 1001, .flags = ACK))), 0);
	assert_int_equal(count(entry(POD4, 80), BPFAST_MC_SYN).paired, 1);
}

/* Who is known: after a handshake, after more than a second of UDP. */
static void known(void **state)
{
	const struct timespec wait = {.tv_sec = 3};
	uint32_t at;

	(void)state;
	speak_udp(7, 40000, "198.51.100.99");
	at = entry(POD4, 7);
	for (int round = 0; round < 2; round++) {
		for (int i = 0; i < 3000; i++)
			in(PACKET(ETH(), IP4(), UDP(.dport = 7)));
		if (!round)
			nanosleep(&wait, NULL);
	}
	shield_control->attacked = 1;
	memset(m.meter, 0, (size_t)m.cpus * BPFAST_DESTS * sizeof(*m.meter));
	in(PACKET(ETH(), IP4(), UDP(.dport = 7)));
	in(PACKET(ETH(), IP4(.src = "203.0.113.77"), UDP(.dport = 7)));
	assert_int_equal(count(at, BPFAST_MC_UDP).packets, 2);
	assert_int_equal(count(at, BPFAST_MC_UDP).known, 1);
}

/* --- limits --- */

#define RATE 1
#define BURST 20

/* UDP of one source, for so long; of how many was it known? */
static uint64_t talks(const char *who, double seconds)
{
	uint64_t was = count(entry(POD4, 7), BPFAST_MC_UDP).known;
	struct timespec begin, now;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		for (int i = 0; i < 200; i++)
			in(PACKET(ETH(), IP4(.src = who, .dst = POD4), UDP(.dport = 7)));
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 <
		 seconds);
	return count(entry(POD4, 7), BPFAST_MC_UDP).known - was;
}

/* Who sends for more than two seconds is known, until he goes over a limit. */
static void talkers(void **state)
{
	(void)state;
	speak_udp(7, 999, OUT4);
	assert_int_equal(talks("198.51.100.9", 0.2), 0);
	talks("198.51.100.9", 3.5);
	assert_true(talks("198.51.100.9", 0.2) > 0);
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_UDP][BPFAST_SS_SOURCE], 1, 1);
	talks("198.51.100.9", 1);
	assert_int_equal(talks("198.51.100.9", 0.2), 0);
	/* Nor is he who is over it from the beginning. */
	talks("198.51.100.10", 3.5);
	assert_int_equal(talks("198.51.100.10", 0.2), 0);
}

static void limit_of_a_destination(void **state)
{
	unsigned int passed = 0;
	uint32_t at;

	(void)state;
	speak_tcp(80, OUT4);
	speak_tcp(443, OUT4);
	/* A client that completed a handshake with the other port. */
	out(PACKET(ETH(), IP4(.src = POD4, .dst = "203.0.113.5"),
		   TCP(.sport = 443, .dport = 40000, .seq = 1000, .ack = 1, .flags = SYN | ACK)));
	in(PACKET(ETH(), IP4(.src = "203.0.113.5"),
		  TCP(.dport = 443, .seq = 1, .ack = 1001, .flags = ACK)));
	at = entry(POD4, 80);
	bf_shield_set_limit(&m.adaptive[at * BPFAST_MC_COUNT + BPFAST_MC_SYN].limit, RATE, BURST);
	m.dest[at].on = 1u << BPFAST_MC_SYN;
	m.dest[at].mode = BPFAST_SM_ENFORCE;
	shield_control->attacked = 1;
	for (uint32_t i = 0; i < 100; i++) {
		int why = in(of_class(BPFAST_SC_SYN, address(i * 256), POD4, 80));

		passed += !why;
		assert_true(!why || why == R(ADAPTIVE));
	}
	assert_in_range(passed, BURST + 1, BURST + 2);
	assert_int_equal(count(at, BPFAST_MC_SYN).packets, 100);
	assert_int_equal(count(at, BPFAST_MC_SYN).dropped, 100 - passed);
	/* Neither another port nor another class nor who is known. */
	assert_int_equal(in(of_class(BPFAST_SC_SYN, address(7), POD4, 443)), 0);
	assert_int_equal(in(of_class(BPFAST_SC_STATE, address(7), POD4, 80)), 0);
	assert_int_equal(in(of_class(BPFAST_SC_SYN, "203.0.113.5", POD4, 80)), 0);
	assert_int_equal(in(of_class(BPFAST_SC_SYN, address(7), POD4, 80)), R(ADAPTIVE));
	/* Audit of the destination: counted, and passes. */
	m.dest[at].mode = BPFAST_SM_AUDIT;
	assert_int_equal(in(of_class(BPFAST_SC_SYN, address(7), POD4, 80)), 0);
	assert_true(counters().audited[R(ADAPTIVE) - BPFAST_R_SHIELD] > 0);
	/* That is no way past what holds without any attack. */
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][BPFAST_SS_SOURCE], 1, 1);
	in(of_class(BPFAST_SC_SYN, address(7), POD4, 80));
	in(of_class(BPFAST_SC_SYN, address(7), POD4, 80));
	assert_int_equal(in(of_class(BPFAST_SC_SYN, address(7), POD4, 80)), R(SOURCE));
	/* Of all destinations together. */
	m.dest[at].on = 0;
	m.dest[BPFAST_DEST_ALL].on = 1u << BPFAST_MC_UDP;
	bf_shield_set_limit(&m.adaptive[BPFAST_DEST_ALL * BPFAST_MC_COUNT + BPFAST_MC_UDP].limit,
			    RATE, BURST);
	passed = 0;
	for (uint32_t i = 0; i < 100; i++)
		passed += !in(of_class(BPFAST_SC_UDP, address(i * 256), address(i + 5000), 9999));
	assert_in_range(passed, BURST + 1, BURST + 2);
}

/* --- fingerprints --- */

struct bears {
	const char *rule;
	bool does;
	struct layer layers[6];
};

static void fingerprints(void **state)
{
	const struct bears rows[] = {
		{"udp", true, {ETH(), IP4(), UDP(), DATA("x")}},
		{"udp", false, {ETH(), IP4(), TCP(.flags = SYN)}},
		{"ip6 udp dport 53", true, {ETH(), IP6(), UDP()}},
		{"ip6 udp dport 53", false, {ETH(), IP4(), UDP()}},
		{"udp sport 40000 dport 53", true, {ETH(), VLAN(), IP4(), UDP()}},
		{"udp len 28-30 ttl 64", true, {ETH(), IP4(), UDP(), DATA("xy"), PAD("padding")}},
		{"udp len 28-30 ttl 64", false, {ETH(), IP4(), UDP(), DATA("xyz")}},
		{"udp len 28-30 ttl 64", false, {ETH(), IP4(.hop_limit = 65), UDP(), DATA("xy")}},
		{"udp ttl 9", true, {ETH(), IP6(.hop_limit = 9), UDP()}},
		{"udp payload 0x6162", true, {ETH(), IP4(), UDP(), DATA("abc")}},
		{"udp payload 0x6162", false, {ETH(), IP4(), UDP(), DATA("bbc")}},
		{"udp payload 0x6162", false, {ETH(), IP4(), UDP(), DATA("a"), PAD("bb")}},
		{"udp payload 0x616263646566676869",
		 true,
		 {ETH(), IP4(), UDP(), DATA("abcdefghi")}},
		{"udp payload 0x616263646566676869",
		 false,
		 {ETH(), IP4(), UDP(), DATA("abcdefghx")}},
		{"tcp flags S options none", true, {ETH(), IP4(), TCP(.flags = SYN)}},
		{"tcp flags S options none",
		 false,
		 {ETH(), IP4(), TCP(.flags = SYN, .opt = B("\2\4\5\xb4"))}},
		{"tcp flags S options mss",
		 true,
		 {ETH(), IP4(), TCP(.flags = SYN, .opt = B("\1\1\2\4\5\xb4"))}},
		{"tcp flags S optlen 8",
		 true,
		 {ETH(), IP4(), TCP(.flags = SYN, .opt = B("\1\1\2\4\5\xb4"))}},
		{"tcp flags S optlen 8",
		 false,
		 {ETH(), IP4(), TCP(.flags = SYN, .opt = B("\2\4\5\xb4"))}},
		{"tcp payload 0x474554",
		 true,
		 {ETH(), IP4(), TCP(.flags = ACK, .opt = B("\1\1\1\1")), DATA("GET /")}},
		{"udp id 7", true, {ETH(), IP4(.id = 7), UDP()}},
		{"udp id 7", false, {ETH(), IP4(.id = 8), UDP()}},
		{"icmp", true, {ETH(), IP4(), ICMP(8, 0)}},
	};
	struct bpfast_fingerprint *f = &m.force->rule[3];
	struct bf_error err;

	(void)state;
	shield_control->attacked = 1;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct bpfast_fingerprint parsed;
		uint64_t hits = 0, after = 0;

		if (bf_fingerprint_parse(rows[i].rule, &parsed, &err))
			fail_msg("%s: %s", rows[i].rule, err.msg);
		parsed.id = 77;
		*f = parsed;
		m.force->rules = 1u << 3;
		for (unsigned int c = 0; c < m.cpus; c++)
			hits += m.cpu[c].hits[3];
		for (int tc = 0; tc < 2; tc++) {
			int why = shield_run(tc, build(rows[i].layers));

			if (why != (rows[i].does ? R(FINGERPRINT) : 0))
				fail_msg("row %zu, '%s': %s", i, rows[i].rule,
					 bf_reason_word((unsigned int)why));
		}
		for (unsigned int c = 0; c < m.cpus; c++)
			after += m.cpu[c].hits[3];
		assert_int_equal(after - hits, rows[i].does ? 2 : 0);
		/* In audit it only counts; and without its bit it is not looked at. */
		f->audit = 1;
		assert_int_equal(in(build(rows[i].layers)), 0);
		f->audit = 0;
		m.force->rules = 0;
		assert_int_equal(in(build(rows[i].layers)), 0);
	}
}

/* --- samples --- */

/* However many come, so many are sampled; and what is there is what came. */
static void samples_are_bounded(void **state)
{
	struct frame *f = PACKET(ETH(), IP4(), UDP(.dport = 7), DATA("0123456789abcdefXYZ"));
	uint32_t before = 0, after = 0, seen = 0;
	struct timespec a, b;
	double seconds;
	bool pass;

	(void)state;
	for (unsigned int c = 0; c < m.cpus; c++)
		before += m.cpu[c].number;
	clock_gettime(CLOCK_MONOTONIC, &a);
	for (int i = 0; i < 20; i++)
		assert_int_equal(
			bf_shield_trial(shield, false, LO, f->b, f->len, 50000, &pass, NULL), 0);
	clock_gettime(CLOCK_MONOTONIC, &b);
	seconds = (double)(b.tv_sec - a.tv_sec) + (double)(b.tv_nsec - a.tv_nsec) / 1e9;
	for (unsigned int c = 0; c < m.cpus; c++)
		after += m.cpu[c].number;
	assert_true(after > before);
	assert_true(after - before < (seconds / 0.016 + 2) * BPFAST_SAMPLE_MOST * m.cpus);
	for (unsigned int i = 0; i < m.cpus * BPFAST_PACKETS; i++) {
		const struct bpfast_packet *p = &m.packet[i];

		if (!p->number || p->length != f->len)
			continue;
		seen++;
		assert_int_equal(p->bytes, f->len);
		assert_memory_equal(p->frame, f->b, f->len);
		assert_int_equal(p->payload, 14 + 20 + 8);
		assert_int_equal(p->class, BPFAST_MC_UDP);
		assert_int_equal(p->read.length, f->len - 14);
		assert_memory_equal(p->read.payload, "0123456789abcdef", 16);
	}
	assert_true(seen > 0);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup(fn, fresh)
	const struct CMUnitTest tests[] = {
		CASE(who_speaks_has_an_entry),
		CASE(every_packet_is_counted_in_its_class),
		CASE(pairs),
		CASE(known),
		CASE(talkers),
		CASE(limit_of_a_destination),
		CASE(fingerprints),
		CASE(samples_are_bounded),
	};

	return cmocka_run_group_tests_name("shield measure", tests, measure_setup,
					   measure_teardown);
}
