// SPDX-License-Identifier: Apache-2.0
/* Rules about names in DNS queries: what meets them, at XDP and at TC, and that no name breaks it. */
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "observe/names.h"
#include "shield/dns_match.h"
#include "shield_world.h"

static struct bpfast_dns_rule *rule;

/* "a.b" as in a packet, without the closing 0. Returns its bytes. */
static size_t wire(const char *text, uint8_t *out)
{
	size_t at = 0;

	while (*text) {
		size_t n = strcspn(text, ".");

		out[at++] = (uint8_t)n;
		memcpy(out + at, text, n);
		at += n;
		text += n + (text[n] == '.');
	}
	return at;
}

/* A query for that name. Returns its bytes. */
static size_t query(const char *name, uint8_t *out)
{
	static const uint8_t head[12] = {0x12, 0x34, 1, 0, 0, 1}, tail[5] = {0, 0, 1, 0, 1};
	size_t n;

	memcpy(out, head, sizeof(head));
	n = sizeof(head) + wire(name, out + sizeof(head));
	memcpy(out + n, tail, sizeof(tail));
	return n + sizeof(tail);
}

static void let_through(const char *name)
{
	uint8_t room[BPFAST_DNS_ROOM + 64] = {0};
	size_t n = wire(name, room);
	uint64_t h = dns_hash(room, (uint32_t)n, rule->seed);

	for (int i = 0; i < BPFAST_DNS_WAYS; i++) {
		uint64_t *cell = (uint64_t *)&rule->set[h >> 32 & (BPFAST_DNS_SETS - 1)][i];

		if (*cell)
			continue;
		*cell = h;
		rule->honest++;
		return;
	}
	fail_msg("no room for %s", name);
}

static uint32_t entry(const char *text)
{
	uint8_t addr[16];

	assert_int_equal(bf_address_parse(text, addr), 0);
	for (uint32_t i = BPFAST_DEST_FIRST; i < BPFAST_DESTS; i++)
		if (m.dest[i].ready && m.dest[i].port == 53 && !memcmp(m.dest[i].addr, addr, 16))
			return i;
	fail_msg("no entry for %s", text);
	return 0;
}

static uint64_t hits(void)
{
	uint64_t n = 0;

	for (unsigned int c = 0; c < m.cpus; c++)
		n += m.dns_cpu[c].hits[rule - m.dns->rule];
	return n;
}

static int fresh(void **state)
{
	uint8_t name[64] = {0};

	measure_reset(state);
	memset(m.dns, 0, sizeof(*m.dns));
	/* The server answers somebody, and so has an entry. */
	out(PACKET(ETH(), IP4(.src = POD4, .dst = OUT4), UDP(.sport = 53, .dport = 40000),
		   DATA("x")));
	out(PACKET(ETH(), IP6(.src = POD6, .dst = OUT6), UDP(.sport = 53, .dport = 40000),
		   DATA("x")));
	/* Not the first place, so that its number counts. */
	rule = &m.dns->rule[5];
	rule->bytes = (uint8_t)wire("victim.example", name);
	memcpy(rule->name, name, sizeof(name));
	rule->destination = (uint16_t)entry(POD4);
	rule->seed = 4711;
	rule->id = 9;
	shield_control->attacked = BPFAST_ATTACKED | BPFAST_ATTACKED_NAMES;
	return 0;
}

static int asks(bool tc, const char *name, const char *from)
{
	uint8_t b[600];
	size_t n = query(name, b);

	return shield_run(tc, PACKET(ETH(), IP4(.src = from), UDP(), BYTES(b, n)));
}

#define LABEL63 "0123456789012345678901234567890123456789012345678901234567890ab"

static void names_below_it_at_a_label(void **state)
{
	static const struct {
		const char *name;
		bool below;
	} rows[] = {
		{"x7f3a.victim.example", true},
		{"a.b.c.victim.example", true},
		{"x7f3a.ViCtIm.ExAmPlE", true},
		{"X7F3A.VICTIM.EXAMPLE", true},
		{"victim.example", false},
		{"VICTIM.example", false},
		{"example", false},
		{"", false},
		{"xvictim.example", false},
		{"a.xvictim.example", false},
		{"a.victim.example.org", false},
		{"a.victim.exampl", false},
		{"a.victim.examplf", false},
		{"a.wictim.example", false},
		/* what differs from a letter in one bit is no letter */
		{"a.vic\x14im.example", false},
		/* the bytes are there, but not where a label begins */
		{"a\6victim\7example", false},
		{"a." LABEL63 "." LABEL63 "." LABEL63
		 ".0123456789.0123456789.0123456789.victim.example",
		 true},
		{"1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0."
		 "1.2.3.4.5.6.7.8.9.0."
		 "1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.9.0."
		 "1.2.3.4.5.6.7.8.9.0."
		 "1.2.3.4.5.6.7.8.9.0.1.2.3.4.5.6.7.8.victim.example",
		 true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint64_t before = hits();

		for (int tc = 0; tc < 2; tc++) {
			int why = asks(tc, rows[i].name, OUT4);

			if (why != (rows[i].below ? R(DNS_NAME) : 0))
				fail_msg("row %zu, '%s': %s", i, rows[i].name,
					 bf_reason_word((unsigned int)why));
		}
		assert_int_equal(hits() - before, rows[i].below ? 2 : 0);
	}
	/* The word says that there is none: nobody looks. */
	shield_control->attacked = BPFAST_ATTACKED;
	assert_int_equal(asks(false, "x7f3a.victim.example", OUT4), 0);
}

static void what_is_no_such_query(void **state)
{
	uint8_t b[600];
	size_t n = query("x7f3a.victim.example", b);

	(void)state;
#define ROW(expect, ...)                                                                           \
	for (int tc = 0; tc < 2; tc++)                                                             \
	assert_int_equal(shield_run(tc, PACKET(__VA_ARGS__)), expect)
	ROW(R(DNS_NAME), ETH(), VLAN(), IP4(), UDP(), BYTES(b, n));
	ROW(R(DNS_NAME), ETH(), VLAN(), VLAN(), IP4(), UDP(), BYTES(b, n));
	/* another destination, port, protocol */
	ROW(0, ETH(), IP6(), UDP(), BYTES(b, n));
	ROW(0, ETH(), IP4(.dst = "192.0.2.77"), UDP(), BYTES(b, n));
	ROW(0, ETH(), IP4(), UDP(.dport = 5353), BYTES(b, n));
	ROW(0, ETH(), IP4(), TCP(.dport = 53, .flags = SYN), BYTES(b, n));
	rule->destination = (uint16_t)entry(POD6);
	ROW(R(DNS_NAME), ETH(), IP6(), UDP(), BYTES(b, n));
	ROW(R(DNS_NAME), ETH(), VLAN(), IP6(), EXT(60), UDP(), BYTES(b, n));
	ROW(0, ETH(), IP4(), UDP(), BYTES(b, n));
	rule->destination = BPFAST_DEST_ALL;
	ROW(R(DNS_NAME), ETH(), IP6(), UDP(), BYTES(b, n));
	ROW(R(DNS_NAME), ETH(), IP4(.dst = "192.0.2.77"), UDP(), BYTES(b, n));
	/* a response; another opcode; no question */
	b[2] = 0x81;
	ROW(0, ETH(), IP4(), UDP(), BYTES(b, n));
	b[2] = 0x28;
	ROW(0, ETH(), IP4(), UDP(), BYTES(b, n));
	b[2] = 1;
	b[5] = 0;
	ROW(0, ETH(), IP4(), UDP(), BYTES(b, n));
	/* more questions: the first counts */
	b[5] = 2;
	ROW(R(DNS_NAME), ETH(), IP4(), UDP(), BYTES(b, n));
	/* cut anywhere before the name's end */
	b[5] = 1;
	for (size_t cut = 0; cut < n - 4; cut++)
		ROW(0, ETH(), IP4(), UDP(), BYTES(b, cut));
	ROW(R(DNS_NAME), ETH(), IP4(), UDP(), BYTES(b, n - 4));
	/* padding of the frame is not the message's */
	ROW(0, ETH(), IP4(), UDP(), BYTES(b, n - 5), PAD("\0\0\1\0\1\0\0\0"));
	/* a pointer; a label of a kind that there is not */
	b[12 + 6] = 0xc0;
	ROW(0, ETH(), IP4(), UDP(), BYTES(b, n));
	b[12 + 6] = 0x40;
	ROW(0, ETH(), IP4(), UDP(), BYTES(b, n));
#undef ROW
}

static void who_is_let_through(void **state)
{
	struct bpfast_shield_counters c;
	char name[40];

	(void)state;
	let_through("www.victim.example");
	let_through("a.b.victim.example");
	for (int tc = 0; tc < 2; tc++) {
		assert_int_equal(asks(tc, "www.victim.example", OUT4), 0);
		assert_int_equal(asks(tc, "wWw.vICTIM.exAMPLE", OUT4), 0);
		assert_int_equal(asks(tc, "a.b.victim.example", OUT4), 0);
		assert_int_equal(asks(tc, "b.victim.example", OUT4), R(DNS_NAME));
		assert_int_equal(asks(tc, "www.www.victim.example", OUT4), R(DNS_NAME));
	}
	for (unsigned int i = 0; i < 1000; i++) {
		snprintf(name, sizeof(name), "%08x.victim.example", i * 2654435761u);
		assert_int_equal(asks(i & 1, name, address(i + 1000)), R(DNS_NAME));
	}
	/* Who is allowed. */
	list_of(BPFAST_SI_ENTRIES, "", "203.0.113.5/32\n");
	assert_int_equal(asks(false, "x.victim.example", "203.0.113.5"), 0);
	assert_int_equal(asks(true, "x.victim.example", "203.0.113.5"), 0);
	assert_int_equal(asks(false, "x.victim.example", "203.0.113.6"), R(DNS_NAME));
	/* Known sources: only where the rule says so. This one completed a handshake. */
	out(PACKET(ETH(), IP4(.src = POD4, .dst = "203.0.113.9"),
		   TCP(.sport = 53, .dport = 40000, .seq = 1000, .ack = 1, .flags = SYN | ACK)));
	in(PACKET(ETH(), IP4(.src = "203.0.113.9"),
		  TCP(.dport = 53, .seq = 1, .ack = 1001, .flags = ACK)));
	assert_int_equal(asks(false, "x.victim.example", "203.0.113.9"), R(DNS_NAME));
	rule->strangers = 1;
	assert_int_equal(asks(false, "x.victim.example", "203.0.113.9"), 0);
	assert_int_equal(asks(true, "x.victim.example", "203.0.113.9"), 0);
	assert_int_equal(asks(false, "x.victim.example", "203.0.113.6"), R(DNS_NAME));
	/* Audit of the destination: would have been dropped; of the rule: is only counted there. */
	m.dest[rule->destination].mode = BPFAST_SM_AUDIT;
	c = counters();
	assert_int_equal(asks(false, "x.victim.example", OUT4), 0);
	assert_int_equal(counters().audited[R(DNS_NAME) - BPFAST_R_SHIELD],
			 c.audited[R(DNS_NAME) - BPFAST_R_SHIELD] + 1);
	m.dest[rule->destination].mode = BPFAST_SM_ENFORCE;
	rule->audit = 1;
	c.passed = hits();
	assert_int_equal(asks(false, "x.victim.example", OUT4), 0);
	assert_int_equal(hits(), c.passed + 1);
}

static int queries_for(const char *name, const char *from, double seconds)
{
	struct timespec begin, now;
	int reason = 0;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	do {
		for (int i = 0; i < 200; i++)
			reason = asks(false, name, from);
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while ((double)(now.tv_sec - begin.tv_sec) + (double)(now.tv_nsec - begin.tv_nsec) / 1e9 <
		 seconds);
	return reason;
}

/* A resolver passes on what it is asked: its random names are dropped, and it stays known for all others. */
static void resolvers_stay_known(void **state)
{
	static const char resolver[] = "198.51.100.53", stranger[] = "198.51.100.77";
	struct bpfast_adaptive *limit;

	(void)state;
	shield_control->attacked = 0;
	queries_for("www.other.example", resolver, 3.5);
	shield_control->attacked = BPFAST_ATTACKED | BPFAST_ATTACKED_NAMES;
	limit = &m.adaptive[rule->destination * BPFAST_MC_COUNT + BPFAST_MC_DNS_QUERY];
	bf_shield_set_limit(&limit->limit, 1, 1);
	m.dest[rule->destination].on = 1u << BPFAST_MC_DNS_QUERY;
	assert_int_equal(queries_for("www.other.example", stranger, 0.1), R(ADAPTIVE));
	assert_int_equal(queries_for("www.other.example", resolver, 0.1), 0);
	assert_int_equal(queries_for("x7f3a.victim.example", resolver, 1), R(DNS_NAME));
	assert_int_equal(queries_for("www.other.example", resolver, 0.1), 0);
}

/* Whatever stands there, it is one verdict, and the one that user space comes to. */
static void no_name_breaks_it(void **state)
{
	unsigned int met = 0;

	(void)state;
	rng = 4711;
	for (int i = 0; i < 20000; i++) {
		uint8_t room[BPFAST_DNS_ROOM + 64] = {0}, *b = room;
		size_t n = query("a.bc.def.victim.example", b);
		uint64_t begins[4];
		uint32_t bytes;
		int want;

		if (rnd(4) == 0) {
			n = rnd(400);
			for (size_t j = 12; j < n; j++)
				b[j] = (uint8_t)rnd(rnd(2) ? 4 : 256);
		}
		for (uint32_t j = rnd(3); j > 0 && n > 13; j--)
			b[12 + rnd((uint32_t)n - 12)] = (uint8_t)rnd(256);
		if (rnd(4) == 0)
			n = rnd((uint32_t)n + 1);
		bytes = n < BPFAST_DNS_MESSAGE ? (uint32_t)n : BPFAST_DNS_MESSAGE;
		memset(b + n, 0, sizeof(room) - n);
		bytes = dns_walk(b, bytes, (__u64 *)begins);
		want = bytes && dns_below(rule, b, (__u64 *)begins, bytes) ? R(DNS_NAME) : 0;
		met += want != 0;
		assert_int_equal(shield_run(i & 1, PACKET(ETH(), IP4(), UDP(), BYTES(b, n))), want);
	}
	assert_in_range(met, 2000, 18000);
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup(fn, fresh)
	const struct CMUnitTest tests[] = {
		CASE(names_below_it_at_a_label), CASE(what_is_no_such_query),
		CASE(who_is_let_through),	 CASE(resolvers_stay_known),
		CASE(no_name_breaks_it),
	};

	return cmocka_run_group_tests_name("shield dns", tests, measure_setup, measure_teardown);
}
