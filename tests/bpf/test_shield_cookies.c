// SPDX-License-Identifier: Apache-2.0
/* SYN cookies, frame by frame: the bytes of each answer, and which ACKs are let in. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "observe/names.h"
#include "shield_world.h"

#define MSS "\2\4\5\xb4"
#define TS "\x8\xa\x11\x22\x33\x44\0\0\0\0"
#define LINUX MSS "\4\2" TS "\1\3\3\x7" /* as Linux orders them: 20 bytes */

static uint8_t answer[FRAME_MAX];
static size_t answer_len;

static struct bpfast_shield_cookie_key key_of(const char *addr)
{
	struct bpfast_shield_cookie_key key = {.port = htons(80)};

	assert_int_equal(bf_address_parse(addr, key.addr), 0);
	return key;
}

/* A listener that has said what it offers, and has just had its SYN. */
static void listener(const char *addr, uint8_t mode, bool timestamps, uint8_t wscale)
{
	struct bpfast_shield_cookie_key key = key_of(addr);
	struct timespec t;
	struct bpfast_shield_cookie c = {
		.mode = mode,
		.timestamps = timestamps,
		.wscale = wscale,
		.mss = 1400,
		.window = 0x1234,
		.old_syncookies = BPFAST_SHIELD_UNCHANGED,
		.old_timestamps = BPFAST_SHIELD_UNCHANGED,
	};

	clock_gettime(CLOCK_MONOTONIC, &t);
	c.let_ns = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
	assert_int_equal(bf_shield_cookie_set(shield, &key, &c, NULL), 0);
}

static struct bpfast_shield_cookie now_of(const char *addr)
{
	struct bpfast_shield_cookie_key key = key_of(addr);
	struct bpfast_shield_cookie c;

	assert_int_equal(bf_shield_cookie_get(shield, &key, &c), 0);
	return c;
}

/* The SYN through a hook: the reason, and answer. */
static int judge(bool tc, const struct frame *f)
{
	struct bpfast_shield_counters was = counters(), is;
	bool pass;

	answer_len = sizeof(answer);
	assert_int_equal(bf_shield_trial_answer(shield, tc, LO, f->b, f->len, 1, &pass, NULL,
						answer, &answer_len),
			 0);
	is = counters();
	for (int r = 0; r < BPFAST_SHIELD_REASONS; r++)
		if (is.dropped[r] != was.dropped[r])
			return r + BPFAST_R_SHIELD;
	assert_true(pass);
	return 0;
}

static uint32_t sum16(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)p[i] << 8 | (i + 1 < n ? p[i + 1] : 0);
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static uint32_t be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
	return ntohl(v);
}

struct row {
	const char *name;
	struct frame *syn;
	size_t l3, ip; /* where the IP header begins, and its length */
	bool timestamps;
	uint8_t wscale;
	size_t tcp; /* bytes of the answer's TCP header */
	const char *options; /* those bytes; of TS only kind and length are looked at */
	uint32_t low; /* the timestamp's six low bits */
};

/* Everything of the answer that the cookie and the clock do not decide, and both checksums. */
static void check(const struct row *r)
{
	const uint8_t *syn = r->syn->b, *ip = answer + r->l3, *tcp = ip + r->ip;
	const uint8_t *was = syn + r->l3, *asked = was + r->ip;
	size_t a = r->ip == 20 ? 4 : 16, at = r->ip == 20 ? 12 : 8;
	size_t whole = r->l3 + r->ip + r->tcp;

	/* Never more than came; Ethernet's least is kept. */
	assert_in_range(answer_len, whole, r->syn->len);
	if (r->syn->len >= 60)
		assert_int_equal(answer_len, whole < 60 ? 60 : whole);
	assert_memory_equal(answer, syn + 6, 6);
	assert_memory_equal(answer + 6, syn, 6);
	assert_memory_equal(answer + 12, syn + 12, r->l3 - 12);
	assert_memory_equal(ip + at, was + at + a, a);
	assert_memory_equal(ip + at + a, was + at, a);
	if (r->ip == 20) {
		assert_memory_equal(ip, "\x45\0", 2);
		assert_int_equal(ip[2] << 8 | ip[3], 20 + r->tcp);
		assert_memory_equal(ip + 4, "\0\0\x40\0\x40\6", 6);
		assert_int_equal(fold(sum16(ip, 20, 0)), 0xffff);
	} else {
		assert_memory_equal(ip, "\x60\0\0\0", 4);
		assert_int_equal(ip[4] << 8 | ip[5], r->tcp);
		assert_memory_equal(ip + 6, "\6\x40", 2);
	}
	assert_memory_equal(tcp, asked + 2, 2);
	assert_memory_equal(tcp + 2, asked, 2);
	assert_int_equal(be32(tcp + 8), be32(asked + 4) + 1);
	assert_int_equal(tcp[12], r->tcp << 2);
	assert_int_equal(tcp[13], SYN | ACK);
	assert_memory_equal(tcp + 14, "\x12\x34", 2);
	assert_memory_equal(tcp + 18, "\0\0", 2);
	assert_int_equal(fold(sum16(tcp, r->tcp, sum16(ip + at, 2 * a, (uint32_t)(6 + r->tcp)))),
			 0xffff);
	if (r->tcp > 24) {
		struct timespec t;
		uint32_t ms;

		assert_memory_equal(tcp + 20, r->options, 8);
		clock_gettime(CLOCK_MONOTONIC, &t);
		ms = (uint32_t)((uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000);
		/* Not after the listener's own clock: its next segment would look old. */
		assert_in_range(ms - be32(tcp + 28), 0, 128 + 1000);
		assert_int_equal(be32(tcp + 28) & 63, r->low);
		assert_int_equal(be32(tcp + 32), 0x11223344);
		assert_memory_equal(tcp + 36, r->options + 16, r->tcp - 36);
	} else {
		assert_memory_equal(tcp + 20, r->options, r->tcp - 20);
	}
}

#define SYN4(...) IP4(.src = "198.51.100.1"), TCP(.flags = SYN, .seq = 7, __VA_ARGS__)
#define SYN6(...) IP6(.src = "2001:db8:1::1"), TCP(.flags = SYN, .seq = 7, __VA_ARGS__)
#define UNSAID "\0\0\0\0\0\0\0\0"

static void answers(void **state)
{
	const struct row rows[] = {
		{"all that Linux asks for", PACKET(ETH(), SYN4(.opt = B(LINUX))), 14, 20, true, 9,
		 40, "\2\4\5\x78\4\2\x8\xa" UNSAID "\1\3\3\x9", 16 | 7},
		{"over IPv6", PACKET(ETH(), SYN6(.opt = B(LINUX))), 14, 40, true, 9, 40,
		 "\2\4\5\x78\4\2\x8\xa" UNSAID "\1\3\3\x9", 16 | 7},
		{"behind a tag", PACKET(ETH(), VLAN(), SYN4(.opt = B(LINUX))), 18, 20, true, 9, 40,
		 "\2\4\5\x78\4\2\x8\xa" UNSAID "\1\3\3\x9", 16 | 7},
		{"behind two", PACKET(ETH(), VLAN(), VLAN(), SYN6(.opt = B(MSS))), 22, 40, true, 9,
		 24, "\2\4\5\x78", 0},
		{"no option", PACKET(ETH(), SYN4()), 14, 20, true, 9, 20, "", 0},
		{"no option, padded", PACKET(ETH(), SYN4(), PAD("\0\0\0\0\0\0")), 14, 20, true, 9,
		 20, "", 0},
		{"MSS alone", PACKET(ETH(), SYN4(.opt = B(MSS))), 14, 20, true, 9, 24, "\2\4\5\x78",
		 0},
		{"data in the SYN", PACKET(ETH(), SYN4(.opt = B(MSS)), DATA("0123456789")), 14, 20,
		 true, 9, 24, "\2\4\5\x78", 0},
		{"a listener whose clock is secret", PACKET(ETH(), SYN4(.opt = B(LINUX))), 14, 20,
		 false, 9, 24, "\2\4\5\x78", 0},
		{"a listener whose scale is not known", PACKET(ETH(), SYN4(.opt = B(LINUX))), 14,
		 20, true, BPFAST_SHIELD_UNCHANGED, 36, "\2\4\5\x78\4\2\x8\xa", 16 | 15},
		{"no SACK", PACKET(ETH(), SYN4(.opt = B(MSS "\1\1" TS "\1\3\3\x2"))), 14, 20, true,
		 9, 40, "\2\4\5\x78\1\1\x8\xa" UNSAID "\1\3\3\x9", 2},
		{"no timestamps", PACKET(ETH(), SYN4(.opt = B(MSS "\4\2\1\1\1\3\3\x7"))), 14, 20,
		 true, 9, 24, "\2\4\5\x78", 0},
		{"no room for MSS", PACKET(ETH(), SYN4(.opt = B(TS))), 14, 20, true, 9, 24,
		 "\2\4\5\x78", 0},
		{"a scale past what there is",
		 PACKET(ETH(), SYN4(.opt = B(MSS "\4\2" TS "\1\3\3\xff"))), 14, 20, true, 9, 40,
		 "\2\4\5\x78\4\2\x8\xa" UNSAID "\1\3\3\x9", 16 | 14},
		{"an option of no length", PACKET(ETH(), SYN4(.opt = B(MSS "\x8\0\0\0"))), 14, 20,
		 true, 9, 24, "\2\4\5\x78", 0},
		{"an option past the end", PACKET(ETH(), SYN4(.opt = B(MSS "\x8\xff\0\0"))), 14, 20,
		 true, 9, 24, "\2\4\5\x78", 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		/* Many, for the clock decides with them. */
		for (int tc = 0; tc < 32; tc++) {
			listener(POD4, BPFAST_CM_ALWAYS, rows[i].timestamps, rows[i].wscale);
			listener(POD6, BPFAST_CM_ALWAYS, rows[i].timestamps, rows[i].wscale);
			if (tc < 2)
				print_message("%s, %s\n", rows[i].name, tc ? "tc" : "xdp");
			assert_int_equal(judge(tc & 1, rows[i].syn), R(COOKIE));
			check(&rows[i]);
		}
	}
}

/* What cannot be an honest client's SYN is not answered. */
static void no_answer(void **state)
{
	struct frame *no[] = {
		PACKET(ETH(.dst = "01:00:5e:00:00:01"), SYN4()),
		PACKET(ETH(), IP4(.src = "198.51.100.1", .opt = B("\1\1\1\1")), TCP(.flags = SYN)),
		PACKET(ETH(), IP6(.src = "2001:db8:1::1"), EXT(60), TCP(.flags = SYN)),
	};

	(void)state;
	listener(POD4, BPFAST_CM_LIMIT, true, 9);
	listener(POD6, BPFAST_CM_LIMIT, true, 9);
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][BPFAST_SS_DESTINATION], 1, 1);
	for (int i = 0; i < 3; i++) {
		in(PACKET(ETH(), SYN4()));
		in(PACKET(ETH(), SYN6()));
	}
	for (int tc = 0; tc < 2; tc++) {
		for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
			assert_int_equal(judge(tc, no[i]), R(DESTINATION));
			assert_int_equal(answer_len, 0);
		}
		/* Another port, another address. */
		assert_int_equal(judge(tc, PACKET(ETH(), IP4(), TCP(.flags = SYN, .dport = 81))),
				 0);
		guard(BPFAST_SM_AUDIT);
		assert_int_equal(judge(tc, PACKET(ETH(), SYN4())), 0);
		guard(BPFAST_SM_ENFORCE);
		assert_int_equal(judge(tc, PACKET(ETH(), SYN4())), R(COOKIE));
	}
}

static struct frame *ack_of(bool six, uint32_t seq, uint32_t cookie, uint16_t sport)
{
	return six ? PACKET(ETH(), IP6(.src = "2001:db8:1::1"),
			    TCP(.flags = ACK, .seq = seq, .ack = cookie, .sport = sport))
		   : PACKET(ETH(), IP4(.src = "198.51.100.1"),
			    TCP(.flags = ACK, .seq = seq, .ack = cookie, .sport = sport));
}

static void acks(void **state)
{
	(void)state;
	for (int i = 0; i < 4; i++) {
		bool six = i & 1, tc = i & 2;
		uint32_t cookie;
		struct bpfast_shield_counters was;

		shield_forget();
		listener(POD4, BPFAST_CM_ALWAYS, true, 9);
		listener(POD6, BPFAST_CM_ALWAYS, true, 9);
		/* Before a cookie was sent, a stranger's ACK is no more than a stranger's. */
		assert_int_equal(shield_run(tc, ack_of(six, 8, 1234, 40000)), 0);
		assert_int_equal(judge(tc, six ? PACKET(ETH(), SYN6()) : PACKET(ETH(), SYN4())),
				 R(COOKIE));
		cookie = be32(answer + 14 + (six ? 40 : 20) + 4);
		was = counters();
		assert_int_equal(shield_run(tc, ack_of(six, 8, cookie, 40000)), R(BAD_COOKIE));
		assert_int_equal(shield_run(tc, ack_of(six, 9, cookie + 1, 40000)), R(BAD_COOKIE));
		assert_int_equal(shield_run(tc, ack_of(six, 8, cookie + 1, 40001)), R(BAD_COOKIE));
		assert_int_equal(counters().cookies, was.cookies);
		assert_int_equal(shield_run(tc, ack_of(six, 8, cookie + 1, 40000)), 0);
		assert_int_equal(counters().cookies, was.cookies + 1);
		assert_int_equal(counters().handshakes, was.handshakes + 1);
		/* From now on it is a connection like others, and its source is preferred. */
		assert_int_equal(shield_run(tc, ack_of(six, 2000, 5, 40000)), 0);
		assert_int_equal(counters().known, was.known + 1);
		assert_int_equal(judge(tc, six ? PACKET(ETH(), IP6(.src = "2001:db8:1::1"),
							TCP(.flags = SYN, .sport = 40009))
					       : PACKET(ETH(), IP4(.src = "198.51.100.1"),
							TCP(.flags = SYN, .sport = 40009))),
				 0);
	}
}

/* Who is named as source gets no more answers than it could have sent SYNs. */
static void answers_are_limited(void **state)
{
	int answered = 0;

	(void)state;
	listener(POD4, BPFAST_CM_LIMIT, true, 9);
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][BPFAST_SS_DESTINATION], 1, 1);
	bf_shield_set_limit(&shield_control->limit[BPFAST_SC_SYN][BPFAST_SS_SOURCE], 1, 20);
	for (int i = 0; i < 100; i++) {
		int got = judge(i & 1, PACKET(ETH(), SYN4(.sport = (uint16_t)(1000 + i))));

		assert_true(got == 0 || got == R(COOKIE) || got == R(SOURCE));
		answered += got == R(COOKIE);
	}
	assert_in_range(answered, 15, 21);
}

/* The listener gets a SYN now and then, for without it takes no cookie; and what it offers is learned. */
static void listener_is_asked(void **state)
{
	struct bpfast_shield_cookie_key key = key_of(POD4);
	struct bpfast_shield_cookie c;
	struct frame *said = PACKET(ETH(), IP4(.src = POD4, .dst = OUT4),
				    TCP(.flags = SYN | ACK, .sport = 80, .dport = 40000,
					.opt = B("\2\4\5\x14\4\2\x8\xa\0\0\0\0\0\0\0\0\1\3\3\xb")));

	(void)state;
	listener(POD4, BPFAST_CM_ALWAYS, true, 9);
	assert_int_equal(judge(false, PACKET(ETH(), SYN4())), R(COOKIE));
	c = now_of(POD4);
	assert_int_not_equal(c.sent_ns, 0);
	c.let_ns -= 2000000000u;
	assert_int_equal(bf_shield_cookie_set(shield, &key, &c, NULL), 0);
	assert_int_equal(judge(false, PACKET(ETH(), SYN4())), 0);
	assert_int_equal(judge(false, PACKET(ETH(), SYN4())), R(COOKIE));
	/* Without scale: nothing is said of it. */
	out(PACKET(ETH(), IP4(.src = POD4, .dst = OUT4),
		   TCP(.flags = SYN | ACK, .sport = 80, .opt = B("\2\4\5\x14"))));
	assert_int_equal(now_of(POD4).mss, 0x514);
	assert_int_equal(now_of(POD4).wscale, 9);
	out(said);
	assert_int_equal(now_of(POD4).wscale, 11);
	/* Off: nothing is answered, and nobody is refused. */
	c = now_of(POD4);
	c.mode = BPFAST_CM_OFF;
	assert_int_equal(bf_shield_cookie_set(shield, &key, &c, NULL), 0);
	assert_int_equal(judge(false, PACKET(ETH(), SYN4())), 0);
	assert_int_equal(in(ack_of(false, 8, 99, 41000)), 0);
	assert_int_equal(bf_shield_cookie_remove(shield, &key), 0);
	assert_int_equal(bf_shield_cookie_remove(shield, &key), -ENOENT);
}

static int empty(void **state)
{
	struct bf_shield_cookie *all;
	size_t n;

	shield_reset(state);
	assert_int_equal(bf_shield_cookies(shield, &all, &n), 0);
	for (size_t i = 0; i < n; i++)
		bf_shield_cookie_remove(shield, &all[i].key);
	free(all);
	assert_int_equal(shield_control->cookies, 0);
	return 0;
}

int main(void)
{
#define CASE(fn) cmocka_unit_test_setup(fn, empty)
	const struct CMUnitTest tests[] = {
		CASE(answers),		 CASE(no_answer), CASE(acks), CASE(answers_are_limited),
		CASE(listener_is_asked),
	};

	return cmocka_run_group_tests_name("shield cookies", tests, shield_setup, shield_teardown);
}
