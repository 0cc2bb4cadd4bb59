// SPDX-License-Identifier: Apache-2.0
/* What a replay does to frames before and after the programs: cutting, link types, sending again, the clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "replay/clock.h"
#include "replay/frame.h"
#include "replay/held.h"
#include "replay/refused.h"
#include "replay/segment.h"

#define OPTIONS 12 /* NOP, NOP, timestamps */

/* --- frames -------------------------------------------------------------------------- */

struct shape {
	int version; /* of IP */
	int tags; /* VLAN */
	size_t ip_more; /* IPv4 options, or an extension header's bytes */
	uint8_t flags;
	size_t payload;
	uint32_t seq;
};

/* A frame without checksums; malloc'ed to its very length, so that a sanitizer sees what reads past it. */
static uint8_t *frame_of(const struct shape *s, size_t *len)
{
	size_t ip_header = (s->version == 4 ? 20 : 40) + s->ip_more, at = 14 + 4 * (size_t)s->tags;
	size_t tcp = at + ip_header;
	uint8_t *b;

	*len = tcp + 20 + OPTIONS + s->payload;
	b = calloc(1, *len);
	assert_non_null(b);
	for (int i = 0; i < s->tags; i++)
		bf_put16(b + 12 + 4 * i, 0x8100);
	bf_put16(b + at - 2, s->version == 4 ? 0x0800 : 0x86dd);
	if (s->version == 4) {
		b[at] = (uint8_t)(0x40 | ip_header / 4);
		bf_put16(b + at + 2, (uint32_t)(*len - at));
		bf_put16(b + at + 4, 0xffff);
		b[at + 9] = 6;
		memset(b + at + 20, 1, s->ip_more);
		memcpy(b + at + 12, "\x0a\0\0\3\x0a\0\0\2", 8);
	} else {
		b[at] = 0x60;
		bf_put16(b + at + 4, (uint32_t)(*len - at - 40));
		b[at + 6] = s->ip_more ? 60 : 6;
		b[at + 8] = b[at + 24] = 0xfd;
		b[at + 23] = 3;
		b[at + 39] = 2;
		if (s->ip_more) {
			b[at + 40] = 6;
			b[at + 41] = (uint8_t)(s->ip_more / 8 - 1);
		}
	}
	bf_put16(b + tcp, 40000);
	bf_put16(b + tcp + 2, 80);
	bf_put32(b + tcp + 4, s->seq);
	bf_put32(b + tcp + 8, 77);
	b[tcp + 12] = (20 + OPTIONS) / 4 << 4;
	b[tcp + 13] = s->flags;
	memcpy(b + tcp + 20, "\1\1\x08\x0a\1\2\3\4\5\6\7\x08", OPTIONS);
	for (size_t i = 0; i < s->payload; i++)
		b[tcp + 20 + OPTIONS + i] = (uint8_t)(i * 7 + i / 251);
	return b;
}

/* RFC 1071, written another way than the code has it: byte by byte. */
static uint32_t sum_of(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	while (sum > 0xffff)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void check_checksums(const uint8_t *b, size_t len, const struct bf_frame *f)
{
	const uint8_t *ip = b + f->l3_off;
	uint32_t pseudo;

	if (f->ip_version == 4) {
		assert_int_equal(sum_of(ip, (size_t)(ip[0] & 15) * 4, 0), 0xffff);
		pseudo = sum_of(ip + 12, 8, 0);
	} else {
		pseudo = sum_of(ip + 8, 32, 0);
	}
	pseudo += 6 + (uint32_t)(len - f->l4_off);
	assert_int_equal(sum_of(b + f->l4_off, len - f->l4_off, pseudo), 0xffff);
}

/* --- cutting -------------------------------------------------------------------------- */

struct expected {
	const struct shape *shape;
	const uint8_t *whole;
	struct bf_frame f;
	size_t most, done;
	int pieces;
};

static int on_piece(void *arg, const uint8_t *piece, size_t len)
{
	struct expected *e = arg;
	bool first = !e->pieces, last;
	uint8_t *copy = malloc(len), flags = e->shape->flags;
	struct bf_frame f;

	assert_non_null(copy);
	memcpy(copy, piece, len);
	assert_true(len <= e->most);
	bf_frame_read(copy, len, &f);
	assert_true(f.tcp);
	/* Headers with their options are the whole frame's, but for what must differ. */
	assert_int_equal(f.payload_off, e->f.payload_off);
	assert_int_equal(f.payload_off + f.payload_len, len);
	assert_memory_equal(copy, e->whole, f.l3_off);
	assert_memory_equal(copy + f.l4_off + 20, e->whole + f.l4_off + 20, OPTIONS);
	assert_memory_equal(copy + f.payload_off, e->whole + f.payload_off + e->done,
			    f.payload_len);
	assert_int_equal(f.ack, 77);
	assert_int_equal(f.seq, (uint32_t)(e->shape->seq + e->done +
					   (flags & BF_TCP_SYN && !first ? 1 : 0)));
	if (f.ip_version == 4)
		assert_int_equal(bf_get16(copy + f.l3_off + 4), (uint16_t)(0xffff + e->pieces));
	e->done += f.payload_len;
	last = e->done == e->f.payload_len;
	if (!first)
		flags &= (uint8_t)~(BF_TCP_SYN | BF_TCP_CWR);
	if (!last)
		flags &= (uint8_t)~(BF_TCP_FIN | BF_TCP_PSH | BF_TCP_RST);
	assert_int_equal(f.tcp_flags, flags);
	if (!last)
		assert_int_equal(len, e->most);
	check_checksums(copy, len, &f);
	e->pieces++;
	free(copy);
	return 0;
}

static void cut(const struct shape *shape, size_t most, int pieces)
{
	struct expected e = {.shape = shape, .most = most};
	uint8_t *whole;
	size_t len;

	whole = frame_of(shape, &len);
	e.whole = whole;
	bf_frame_read(whole, len, &e.f);
	assert_true(e.f.tcp);
	assert_int_equal(bf_segment_cut(whole, len, most, on_piece, &e), pieces);
	assert_int_equal(e.pieces, pieces);
	assert_int_equal(e.done, shape->payload);
	free(whole);
}

static void pieces_are_right(void **state)
{
	(void)state;
	/* 1514 - 14 - 20 - 32: 1448 bytes each. */
	cut(&(struct shape){4, 0, 0, BF_TCP_ACK | BF_TCP_PSH, 14480, 1000}, 1514, 10);
	cut(&(struct shape){4, 0, 0, BF_TCP_ACK | BF_TCP_PSH, 14481, 1000}, 1514, 11);
	cut(&(struct shape){4, 0, 0, BF_TCP_ACK | BF_TCP_FIN | BF_TCP_PSH, 5001, 0xfffffff0}, 1514,
	    4);
	cut(&(struct shape){6, 0, 0, BF_TCP_ACK | BF_TCP_PSH, 9999, 1000}, 1514, 8);
	cut(&(struct shape){4, 1, 8, BF_TCP_ACK, 5000, 1}, 1514, 4);
	cut(&(struct shape){6, 2, 16, BF_TCP_ACK | BF_TCP_CWR, 5000, 1}, 1514, 4);
	cut(&(struct shape){4, 0, 0, BF_TCP_SYN, 3000, 41}, 1514, 3);
	cut(&(struct shape){4, 0, 0, BF_TCP_ACK | BF_TCP_RST, 3000, 41}, 1514, 3);
	/* One piece: only checksums and flags that stay. */
	cut(&(struct shape){4, 0, 0, BF_TCP_ACK | BF_TCP_FIN, 1, 41}, 1514, 1);
	/* Odd lengths, and 64 KiB. */
	cut(&(struct shape){4, 0, 0, BF_TCP_ACK | BF_TCP_PSH, 65000, 1000}, 1301, 53);
	cut(&(struct shape){6, 0, 0, BF_TCP_ACK | BF_TCP_PSH, 65000, 1000}, 257, 381);
}

/* Segmentation offload leaves IPv4's length to the card: then it is the frame's. */
static void a_length_of_zero(void **state)
{
	struct shape shape = {4, 0, 0, BF_TCP_ACK | BF_TCP_PSH, 70000, 1};
	struct expected e = {.shape = &shape, .most = 1514};
	uint8_t *whole;
	size_t len;

	(void)state;
	whole = frame_of(&shape, &len);
	bf_put16(whole + 16, 0);
	e.whole = whole;
	bf_frame_read(whole, len, &e.f);
	assert_int_equal(e.f.payload_len, 70000);
	assert_int_equal(bf_segment_cut(whole, len, 1514, on_piece, &e), 49);
	free(whole);
}

static int never(void *arg, const uint8_t *piece, size_t len)
{
	(void)arg;
	(void)piece;
	(void)len;
	fail_msg("there is no piece");
	return 0;
}

static int stop_at_second(void *arg, const uint8_t *piece, size_t len)
{
	(void)piece;
	(void)len;
	return ++*(int *)arg == 2 ? -EIO : 0;
}

static void what_cannot_be_cut(void **state)
{
	struct shape shape = {4, 0, 0, BF_TCP_ACK, 5000, 1};
	uint8_t *b;
	size_t len;
	int calls = 0;

	(void)state;
	b = frame_of(&shape, &len);
	assert_int_equal(bf_segment_cut(b, len, 1514, stop_at_second, &calls), -EIO);
	assert_int_equal(calls, 2);
	assert_int_equal(bf_segment_cut(b, len - 1, 1514, never, NULL), -EINVAL);
	b[14 + 6] = 0x20; /* more fragments */
	assert_int_equal(bf_segment_cut(b, len, 1514, never, NULL), -EINVAL);
	b[14 + 6] = 0;
	b[14 + 9] = 17; /* UDP */
	assert_int_equal(bf_segment_cut(b, len, 1514, never, NULL), -EINVAL);
	free(b);
	shape.version = 6;
	b = frame_of(&shape, &len);
	bf_put16(b + 14 + 4, 0); /* a jumbogram */
	assert_int_equal(bf_segment_cut(b, len, 1514, never, NULL), -EINVAL);
	free(b);
	shape.payload = 0;
	b = frame_of(&shape, &len);
	assert_int_equal(bf_segment_cut(b, len, 1514, never, NULL), -EINVAL);
	free(b);
}

static void beginnings_are_skipped(void **state)
{
	static const struct shape shapes[] = {
		{4, 0, 0, BF_TCP_ACK | BF_TCP_FIN, 1001, 0xfffffff0},
		{4, 1, 8, BF_TCP_ACK, 1001, 5},
		{6, 0, 16, BF_TCP_ACK | BF_TCP_PSH, 1001, 5},
	};
	struct bf_frame before, f;
	uint8_t *b, *whole;
	size_t len;
	int n;

	(void)state;
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		for (size_t skip = 0; skip <= 1001; skip += 91) {
			whole = frame_of(&shapes[i], &len);
			b = frame_of(&shapes[i], &len);
			bf_frame_read(b, len, &before);
			n = bf_segment_skip(b, len, skip);
			assert_int_equal(n, len - skip);
			bf_frame_read(b, (size_t)n, &f);
			assert_true(f.tcp);
			assert_int_equal(f.payload_len, 1001 - skip);
			assert_int_equal(f.seq, (uint32_t)(before.seq + skip));
			assert_int_equal(f.tcp_flags, before.tcp_flags);
			assert_memory_equal(b + f.payload_off, whole + f.payload_off + skip,
					    f.payload_len);
			check_checksums(b, (size_t)n, &f);
			assert_int_equal(bf_segment_skip(b, (size_t)n, f.payload_len + 1), -EINVAL);
			free(b);
			free(whole);
		}
	}
}

/* Whatever comes, nothing is read past its end. */
static void noise(void **state)
{
	static const struct shape shapes[] = {
		{4, 0, 0, BF_TCP_ACK, 60, 1},
		{6, 1, 16, BF_TCP_ACK, 60, 1},
		{4, 2, 8, BF_TCP_ACK, 60, 1},
	};
	static const int links[] = {0, 1, 12, 108, 113, 228, 229, 276};
	uint8_t *b, *cut_off, out[1024];
	struct bf_frame f;
	size_t len;

	(void)state;
	srand(7);
	for (int i = 0; i < 30000; i++) {
		b = frame_of(&shapes[i % 3], &len);
		for (int k = rand() % 5; k > 0; k--)
			b[12 + rand() % 80] = (uint8_t)rand();
		len -= (size_t)rand() % len;
		cut_off = malloc(len);
		assert_non_null(cut_off);
		memcpy(cut_off, b, len);
		bf_frame_read(cut_off, len, &f);
		if (f.tcp)
			assert_true(f.payload_off + f.payload_len <= len);
		for (size_t k = 0; k < sizeof(links) / sizeof(links[0]); k++)
			assert_true(bf_link_to_ethernet(links[k], cut_off, len, out) <=
				    len + BF_LINK_GROWTH);
		free(cut_off);
		free(b);
	}
}

/* --- sending again --------------------------------------------------------------------- */

static void the_ack_is_replaced(void **state)
{
	struct shape shape = {4, 0, 0, BF_TCP_ACK, 100, 1};
	struct bf_frame f;
	uint8_t *b;
	size_t len;

	(void)state;
	for (int version = 4; version <= 6; version += 2) {
		shape.version = version;
		b = frame_of(&shape, &len);
		bf_frame_read(b, len, &f);
		for (uint32_t i = 0; i < 200; i++) {
			uint32_t ack = i * 2654435761u;
			uint32_t before = sum_of(b + f.l4_off, len - f.l4_off, 0);

			bf_frame_set_ack(b, &f, ack);
			assert_int_equal(bf_get32(b + f.l4_off + 8), ack);
			/* The sum over all, checksum included, stays what it was. */
			assert_int_equal(sum_of(b + f.l4_off, len - f.l4_off, 0) % 0xffff,
					 before % 0xffff);
		}
		free(b);
	}
}

static struct bf_frame packet(int from, uint8_t flags, uint32_t seq, uint32_t ack, size_t payload)
{
	struct bf_frame f = {.addressed = true, .tcp = true, .tcp_flags = flags, .seq = seq};

	f.ack = ack;
	f.payload_len = payload;
	f.source[15] = from ? 2 : 1;
	f.destination[15] = from ? 1 : 2;
	f.source_port = from ? 80 : 40000;
	f.destination_port = from ? 40000 : 80;
	return f;
}

static void held_packets_hear(void **state)
{
	struct bf_frame f = packet(0, BF_TCP_ACK, 10, 0xffffff00, 5), g;
	struct bf_held_list list = {0};
	struct bf_held *out, *h;

	(void)state;
	assert_int_equal(bf_held_add(&list, (const uint8_t *)"frame", 5, &f, 1, &h, &out), 0);
	assert_null(out);
	assert_ptr_equal(h, list.first);
	/* The other side's data, in order and behind a gap; sequence numbers wrap. */
	g = packet(1, BF_TCP_ACK, 0xffffff00, 1, 0x200);
	bf_held_heard(&list, &g);
	assert_int_equal(h->ack, 0x100);
	g = packet(1, BF_TCP_ACK, 0x200, 1, 10);
	bf_held_heard(&list, &g);
	assert_int_equal(h->ack, 0x100);
	g = packet(1, BF_TCP_ACK | BF_TCP_FIN, 0x100, 1, 0);
	bf_held_heard(&list, &g);
	assert_int_equal(h->ack, 0x101);
	/* Its own sender's acknowledgements, never backwards; and nothing from strangers. */
	g = packet(0, BF_TCP_ACK, 15, 0x150, 0);
	bf_held_heard(&list, &g);
	g = packet(0, BF_TCP_ACK, 15, 0x120, 0);
	bf_held_heard(&list, &g);
	g.source_port = 1;
	g.ack = 0x999;
	bf_held_heard(&list, &g);
	assert_false(bf_held_same(h, &g));
	assert_int_equal(h->ack, 0x150);
	bf_held_remove(&list, h);
	free(h);
	assert_null(list.first);
}

static void held_packets_are_bounded(void **state)
{
	struct bf_frame f = packet(0, BF_TCP_ACK, 0, 0, 5);
	struct bf_held_list list = {0};
	struct bf_held *out, *h;

	(void)state;
	for (uint32_t i = 0; i <= BF_HELD_MAX; i++) {
		f.seq = i;
		assert_int_equal(bf_held_add(&list, (const uint8_t *)"frame", 5, &f, 1, &h, &out),
				 0);
		assert_true(!out == (i < BF_HELD_MAX));
	}
	assert_int_equal(out->f.seq, 0);
	free(out);
	assert_int_equal(list.n, BF_HELD_MAX);
	while ((h = list.first)) {
		bf_held_remove(&list, h);
		free(h);
	}
}

static void refused_connections(void **state)
{
	struct bf_refused set = {0};
	struct bf_frame f = packet(0, BF_TCP_ACK, 0, 0, 0), back = packet(1, BF_TCP_ACK, 0, 0, 0);

	(void)state;
	assert_false(bf_refused_has(&set, &f));
	bf_refused_remove(&set, &f);
	for (uint16_t i = 0; i < 5000; i++) {
		f.source_port = i;
		assert_int_equal(bf_refused_add(&set, &f), 0);
		assert_int_equal(bf_refused_add(&set, &f), 0);
	}
	assert_int_equal(set.n, 5000);
	for (uint16_t i = 0; i < 5000; i += 2) {
		back.destination_port = i;
		assert_true(bf_refused_has(&set, &back));
		bf_refused_remove(&set, &back);
	}
	for (uint16_t i = 0; i < 6000; i++) {
		f.source_port = back.destination_port = i;
		assert_int_equal(bf_refused_has(&set, &f), i < 5000 && i % 2);
		assert_int_equal(bf_refused_has(&set, &back), i < 5000 && i % 2);
	}
	f.tcp = false;
	f.source_port = 1;
	assert_false(bf_refused_has(&set, &f));
	bf_refused_free(&set);
}

/* --- the clock --------------------------------------------------------------------------- */

static struct bpfast_event event(uint8_t type, uint64_t at, uint64_t latency)
{
	return (struct bpfast_event){.type = type, .time_ns = at, .latency_ns = latency};
}

static void latencies_are_the_captures(void **state)
{
	struct bf_replay_clock clock = {0};
	struct bpfast_event ev;

	(void)state;
	ev = event(BPFAST_EV_HTTP_RESPONSE, 900, 10);
	assert_int_equal(bf_replay_clock_set(&clock, &ev, 5), 0);
	assert_int_equal(ev.latency_ns, 0); /* nobody knows that request */
	for (uint64_t i = 0; i < 300; i++) {
		ev = event(BPFAST_EV_HTTP_REQUEST, 1000 + i * 10, 0);
		assert_int_equal(bf_replay_clock_set(&clock, &ev, (int64_t)(5000000 + i * 1000)),
				 0);
		assert_int_equal(ev.time_ns, 5000000 + i * 1000);
	}
	for (uint64_t i = 0; i < 300; i++) {
		ev = event(BPFAST_EV_HTTP_RESPONSE, 9000 + i, 8000 - i * 9);
		assert_int_equal(bf_replay_clock_set(&clock, &ev, 7000000), 0);
		assert_int_equal(ev.latency_ns, 7000000 - 5000000 - i * 1000);
		assert_int_equal(ev.time_ns, 7000000);
	}
	/* A capture's clock may jump. */
	ev = event(BPFAST_EV_HTTP_RESPONSE, 9000, 8000);
	assert_int_equal(bf_replay_clock_set(&clock, &ev, 4), 0);
	assert_int_equal(ev.latency_ns, 0);
	bf_replay_clock_free(&clock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pieces_are_right),
		cmocka_unit_test(a_length_of_zero),
		cmocka_unit_test(what_cannot_be_cut),
		cmocka_unit_test(beginnings_are_skipped),
		cmocka_unit_test(noise),
		cmocka_unit_test(the_ack_is_replaced),
		cmocka_unit_test(held_packets_hear),
		cmocka_unit_test(held_packets_are_bounded),
		cmocka_unit_test(refused_connections),
		cmocka_unit_test(latencies_are_the_captures),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
