// SPDX-License-Identifier: Apache-2.0
/*
 * Block and allow lists: what is read, and that the compiled image says of any address
 * what the entries say one by one.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shield/lists.h"

#define LINE BPFAST_SHIELD_LINE
#define FOREVER BPFAST_SHIELD_FOREVER
#define SEED 0x123456789abcdefull

static uint64_t rng = 88172645463325252ull;

static uint32_t rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32) % below;
}

/* --- the image, walked as its description says --- */

static const uint32_t *line(const struct bf_shield_image *im, uint32_t n)
{
	assert_true((size_t)n * LINE < im->len);
	return (const uint32_t *)(im->bytes + (size_t)n * LINE);
}

static uint32_t walk4(const struct bf_shield_image *im, uint32_t addr)
{
	uint32_t e = line(im, BPFAST_SHIELD_V4_LINE)[addr >> 16], at, n = 0, word;
	const struct bpfast_shield_image_head *h = (const void *)im->bytes;
	const struct bpfast_shield_bits *bits;
	const struct bpfast_shield_run *run;
	const struct bpfast_shield_node *node;
	unsigned int bit = addr >> 8 & 255, before = 0;

	if (!(e & BPFAST_SHIELD_BLOCK))
		return e;
	e &= ~BPFAST_SHIELD_BLOCK;
	bits = (const struct bpfast_shield_bits *)(const void *)line(im, h->bits_line + e / 2) +
	       e % 2;
	run = (const struct bpfast_shield_run *)(const void *)line(im, h->run_line + e / 8) + e % 8;
	for (unsigned int i = 0; i < bit; i++) {
		if (i == (bit & ~63u))
			assert_int_equal(before, run->before[bit / 64]);
		before += bits->bits[i / 64] >> i % 64 & 1;
	}
	if (!(bits->bits[bit / 64] >> bit % 64 & 1))
		return 0;
	at = run->at * 8 + before;
	word = ((const uint16_t *)line(im, at / 32))[at % 32];
	if (word >> 12)
		return (addr & 255) >= (word & 255) &&
				       (addr & 255) < (word & 255) + (1u << (word >> 8 & 15))
			       ? word >> 12
			       : 0;
	at = run->at + word;
	node = (const struct bpfast_shield_node *)(const void *)line(im, at / 4) + at % 4;
	if (node->first[0] == BPFAST_SHIELD_DENSE)
		return ((const uint8_t *)line(im, node->line))[addr & 255];
	for (uint32_t i = 1; i < 8; i++)
		if (node->first[i] <= (addr & 255))
			n = i;
	return node->code[n];
}

static uint64_t half(const uint8_t *b)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | b[i];
	return n;
}

static uint64_t keep(uint64_t n, unsigned int bits)
{
	return bits ? n >> (64 - bits) << (64 - bits) : 0;
}

static uint32_t walk6(const struct bf_shield_image *im, const uint8_t addr[16])
{
	const struct bpfast_shield_image_head *h = (const void *)im->bytes;
	uint32_t begin = 0, end = h->lengths, code = 0, steps = 0;

	while (h->v6_buckets && begin < end) {
		uint32_t mid = (begin + end) / 2, found = 0;
		unsigned int bits = ((const uint8_t *)line(im, h->lengths_line))[mid];
		uint64_t tag = bpfast_shield_mix(SEED, keep(half(addr), bits < 64 ? bits : 64));

		tag = bpfast_shield_mix(tag, bits > 64 ? keep(half(addr + 8), bits - 64) : 0);
		tag = bpfast_shield_mix(tag, bits) | 1;
		for (uint32_t k = 0; k < BPFAST_SHIELD_V6_LINES && !found; k++) {
			const struct bpfast_shield_v6 *v = (const void *)line(
				im, h->v6_line + (((tag >> 32) + k) & (h->v6_buckets - 1)));

			for (int i = 0; i < 4; i++)
				if (v[i].tag == tag)
					found = v[i].code | 256;
			if (!v[3].tag)
				break;
		}
		if (found) {
			code = found & 255;
			begin = mid + 1;
		} else {
			end = mid;
		}
		/* As many as the kernel side does. */
		assert_true(++steps <= BPFAST_SHIELD_V6_STEPS);
	}
	return code;
}

static struct bpfast_shield_pair walk(const struct bf_shield_image *im, const uint8_t addr[16],
				      bool four)
{
	uint32_t v4;

	memcpy(&v4, addr + 12, 4);
	return ((const struct bpfast_shield_pair *)line(
		im, BPFAST_SHIELD_PAIRS_LINE))[four ? walk4(im, ntohl(v4)) : walk6(im, addr)];
}

/* --- the same, one entry after the other --- */

static bool holds(const struct bpfast_shield_entry *e, const uint8_t addr[16])
{
	for (unsigned int bit = 0; bit < e->prefix; bit++)
		if ((e->addr[bit / 8] ^ addr[bit / 8]) & (0x80 >> bit % 8))
			return false;
	return true;
}

static struct bpfast_shield_pair naive(const struct bf_shield_list *l, const uint8_t addr[16],
				       bool four)
{
	struct bpfast_shield_pair p = {0, 0};

	for (size_t i = 0; i < l->n; i++) {
		const struct bpfast_shield_entry *e = &l->v[i];
		uint32_t *until = e->allow ? &p.allow_until : &p.block_until;

		if (bf_shield_is4(e) == four && holds(e, addr) && *until < e->until)
			*until = e->until;
	}
	return p;
}

/* --- random lists --- */

/* Addresses from a few neighbourhoods, so that prefixes lie in each other. */
static void some_address(uint8_t addr[16], bool four)
{
	memset(addr, 0, 16);
	if (four) {
		addr[10] = addr[11] = 0xff;
		addr[12] = (uint8_t)(10 + rnd(2));
		addr[13] = (uint8_t)rnd(3);
		addr[14] = (uint8_t)(rnd(4) ? rnd(4) : rnd(256));
		addr[15] = (uint8_t)rnd(256);
		return;
	}
	addr[0] = 0x20;
	addr[1] = 0x01;
	for (int i = 2; i < 16; i++)
		addr[i] = (uint8_t)(rnd(3) ? rnd(2) : rnd(256));
}

static void cut(struct bpfast_shield_entry *e)
{
	for (unsigned int bit = e->prefix; bit < 128; bit++)
		e->addr[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
}

static struct bpfast_shield_entry some_entry(uint32_t times)
{
	struct bpfast_shield_entry e = {0};
	bool four = rnd(2);

	some_address(e.addr, four);
	if (four)
		e.prefix = (uint8_t)(96 + (rnd(8) ? 8 + rnd(25) : rnd(9)));
	else
		e.prefix = (uint8_t)(rnd(3) ? 16 * (1 + rnd(8)) : rnd(129));
	if (!four && e.prefix == 0 && rnd(4))
		e.prefix = 48;
	cut(&e);
	e.allow = rnd(4) == 0;
	e.until = rnd(2) ? FOREVER : 100 + rnd(times);
	return e;
}

/* Times may be rounded up, and to the same for all that ask; never down. */
static void agree(uint32_t want, uint32_t got, unsigned int round)
{
	uint32_t mask = (1u << round) - 1;

	if (want == 0 || want == FOREVER)
		assert_int_equal(got, want);
	else
		assert_int_equal(got, (want + mask) & ~mask);
}

static void compare(struct bf_shield_list *l, unsigned int looks)
{
	struct bf_shield_list back;
	struct bf_shield_image im;
	unsigned int round;

	assert_int_equal(bf_shield_compile(l, SEED, &im), 0);
	round = ((const struct bpfast_shield_image_head *)(const void *)im.bytes)->round;
	for (unsigned int i = 0; i < looks; i++) {
		bool four = rnd(2);
		struct bpfast_shield_pair want, got;
		uint8_t addr[16];

		some_address(addr, four);
		/* First and last addresses of prefixes, and those beside them, are where it goes wrong. */
		if (l->n && rnd(2)) {
			const struct bpfast_shield_entry *e = &l->v[rnd((uint32_t)l->n)];

			four = bf_shield_is4(e);
			memcpy(addr, e->addr, 16);
			if (rnd(2))
				for (unsigned int bit = e->prefix; bit < 128; bit++)
					addr[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
			if (rnd(2) && addr[15])
				addr[15]--;
			if (rnd(2) && addr[15] < 255)
				addr[15]++;
		}
		want = naive(l, addr, four);
		got = walk(&im, addr, four);
		agree(want.allow_until, got.allow_until, round);
		agree(want.block_until, got.block_until, round);
	}
	assert_int_equal(bf_shield_entries(im.bytes, im.len, &back), 0);
	assert_int_equal(back.n, l->n);
	if (l->n)
		assert_memory_equal(back.v, l->v, l->n * sizeof(*l->v));
	bf_shield_list_free(&back);
	free(im.bytes);
}

static void random_lists(void **state)
{
	(void)state;
	for (unsigned int round = 0; round < 400; round++) {
		struct bf_shield_list l = {0};
		uint32_t n = rnd(3) ? rnd(40) : rnd(400), times = rnd(2) ? 10 : 100000;

		for (uint32_t i = 0; i < n; i++) {
			struct bpfast_shield_entry e = some_entry(times);

			assert_int_equal(bf_shield_list_add(&l, &e), 0);
		}
		compare(&l, 400);
		bf_shield_list_free(&l);
	}
}

/* Each length on the way of one address: the deepest nesting there is. */
static void all_lengths(void **state)
{
	(void)state;
	for (int four = 0; four < 2; four++) {
		struct bf_shield_list l = {0};

		for (int prefix = four ? 96 : 0; prefix <= 128; prefix++) {
			for (int allow = 0; allow < 2; allow++) {
				struct bpfast_shield_entry e = {.prefix = (uint8_t)prefix};

				some_address(e.addr, four);
				e.addr[0] = four ? 0 : 0x20;
				if (four)
					memcpy(e.addr + 12, "\x0a\x01\x02\x03", 4);
				else
					memset(e.addr + 1, 0x11, 15);
				cut(&e);
				e.allow = (uint8_t)allow;
				e.until = 1000 + (uint32_t)prefix;
				assert_int_equal(bf_shield_list_add(&l, &e), 0);
			}
		}
		compare(&l, 2000);
		bf_shield_list_free(&l);
	}
}

/* 300 times that differ do not fit 256 codes: they are rounded, not lost. */
static void many_times(void **state)
{
	struct bf_shield_list l = {0};
	struct bf_shield_image im;

	(void)state;
	for (uint32_t i = 0; i < 300; i++) {
		struct bpfast_shield_entry e = {.prefix = 128, .until = 5000 + i};

		e.addr[10] = e.addr[11] = 0xff;
		e.addr[12] = 10;
		e.addr[14] = (uint8_t)(i >> 8);
		e.addr[15] = (uint8_t)i;
		assert_int_equal(bf_shield_list_add(&l, &e), 0);
	}
	assert_int_equal(bf_shield_compile(&l, SEED, &im), 0);
	assert_int_equal(((const struct bpfast_shield_image_head *)(const void *)im.bytes)->round,
			 1);
	free(im.bytes);
	compare(&l, 2000);
	bf_shield_list_free(&l);
}

/* Every /24 of a /16 has a node, so words and nodes are as many as they can be; and of the next one every second. */
static void full_blocks(void **state)
{
	struct bf_shield_list l = {0};

	(void)state;
	for (uint32_t i = 0; i < 2 * 512; i++) {
		struct bpfast_shield_entry e = {.prefix = 128, .until = i % 2 ? FOREVER : 5000};

		if (i >= 512 && i % 4 > 1)
			continue;
		e.addr[10] = e.addr[11] = 0xff;
		e.addr[12] = 10;
		e.addr[13] = (uint8_t)(i >> 9);
		e.addr[14] = (uint8_t)(i >> 1);
		e.addr[15] = i % 2 ? 255 : 0;
		assert_int_equal(bf_shield_list_add(&l, &e), 0);
	}
	compare(&l, 4000);
	bf_shield_list_free(&l);
}

/* --- text --- */

static const struct {
	const char *text, *want; /* the prefix as it is printed, or NULL: refused */
} cidrs[] = {
	{"192.0.2.0/24", "192.0.2.0/24"},
	{"192.0.2.7", "192.0.2.7/32"},
	{"0.0.0.0/0", "0.0.0.0/0"},
	{"2001:db8::/32", "2001:db8::/32"},
	{"::1", "::1/128"},
	{"::/0", "::/0"},
	{"::ffff:192.0.2.0/120", "192.0.2.0/24"},
	{"192.0.2.1/24", NULL}, /* bits behind the prefix */
	{"2001:db8::1/32", NULL},
	{"192.0.2.0/33", NULL},
	{"::/129", NULL},
	{"192.0.2.0/", NULL},
	{"192.0.2.0/-1", NULL},
	{"192.0.2.0/024", NULL},
	{"192.0.2.0/2 4", NULL},
	{"192.0.2", NULL},
	{"/24", NULL},
	{"", NULL},
	{"example.org", NULL},
	{"10.0.0.0/8/8", NULL},
	{"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc:dddd:eeee", NULL},
};

static void text_of_one(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cidrs) / sizeof(cidrs[0]); i++) {
		struct bpfast_shield_entry e;
		struct bf_error err = {""};
		char buf[64];
		int r = bf_shield_cidr(cidrs[i].text, strlen(cidrs[i].text), &e, &err);

		if (!cidrs[i].want) {
			if (!r)
				fail_msg("'%s' was taken", cidrs[i].text);
			assert_true(strlen(err.msg) > 20);
			continue;
		}
		if (r)
			fail_msg("'%s' was refused: %s", cidrs[i].text, err.msg);
		assert_string_equal(bf_shield_cidr_text(&e, buf, sizeof(buf)), cidrs[i].want);
	}
}

static void text_of_many(void **state)
{
	static const char good[] = "# a feed\n10.0.0.0/8\r\n\n  192.0.2.7 ; why\n2001:db8::/32 # 6";
	static const char bad[] = "10.0.0.0/8\n\nnonsense\n";
	struct bf_shield_list l = {0};
	struct bf_error err;

	(void)state;
	assert_int_equal(bf_shield_read(good, strlen(good), 1, false, FOREVER, &l, &err), 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(bf_shield_read(bad, strlen(bad), 100, true, 7, &l, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "line 102: 'nonsense'"));
	/* All or nothing. */
	assert_int_equal(l.n, 3);
	bf_shield_list_free(&l);
}

static void lists(void **state)
{
	struct bf_shield_list l = {0};
	struct bpfast_shield_entry e, f;

	(void)state;
	assert_int_equal(bf_shield_cidr("10.0.0.0/8", 10, &e, NULL), 0);
	e.allow = 1;
	e.until = 50;
	assert_int_equal(bf_shield_list_add(&l, &e), 0);
	e.until = 60;
	assert_int_equal(bf_shield_list_add(&l, &e), 0);
	bf_shield_list_sort(&l);
	assert_int_equal(l.n, 1);
	assert_int_equal(l.v[0].until, 60);
	assert_int_equal(bf_shield_cidr("10.1.2.3", 8, &f, NULL), 0);
	assert_non_null(bf_shield_list_holder(&l, &f, true, 59));
	assert_null(bf_shield_list_holder(&l, &f, true, 60));
	assert_null(bf_shield_list_holder(&l, &f, false, 0));
	assert_int_equal(bf_shield_list_remove(&l, &f), 0);
	assert_int_equal(bf_shield_list_expire(&l, 59), 0);
	assert_int_equal(bf_shield_list_expire(&l, 60), 1);
	assert_int_equal(l.n, 0);
	bf_shield_list_free(&l);
}

/* What is not an image of ours, or is cut, is not read. */
static void broken_images(void **state)
{
	struct bf_shield_list l = {0}, back;
	struct bf_shield_image im;
	struct bpfast_shield_entry e;

	(void)state;
	assert_int_equal(bf_shield_cidr("10.0.0.0/8", 10, &e, NULL), 0);
	e.until = FOREVER;
	assert_int_equal(bf_shield_list_add(&l, &e), 0);
	assert_int_equal(bf_shield_compile(&l, SEED, &im), 0);
	assert_int_equal(bf_shield_entries(im.bytes, im.len - LINE, &back), -EINVAL);
	((struct bpfast_shield_image_head *)(void *)im.bytes)->entries = 1000;
	assert_int_equal(bf_shield_entries(im.bytes, im.len, &back), -EINVAL);
	((struct bpfast_shield_image_head *)(void *)im.bytes)->entries = 1;
	/* An earlier version's entries are read; a later one's, and what is no version, are not. */
	((struct bpfast_shield_image_head *)(void *)im.bytes)->version = 1;
	assert_int_equal(bf_shield_entries(im.bytes, im.len, &back), 0);
	assert_int_equal(back.n, 1);
	bf_shield_list_free(&back);
	((struct bpfast_shield_image_head *)(void *)im.bytes)->version = BPFAST_SHIELD_VERSION + 1;
	assert_int_equal(bf_shield_entries(im.bytes, im.len, &back), -EINVAL);
	((struct bpfast_shield_image_head *)(void *)im.bytes)->version = 0;
	assert_int_equal(bf_shield_entries(im.bytes, im.len, &back), -EINVAL);
	free(im.bytes);
	bf_shield_list_free(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_of_one), cmocka_unit_test(text_of_many),
		cmocka_unit_test(lists),       cmocka_unit_test(random_lists),
		cmocka_unit_test(all_lengths), cmocka_unit_test(many_times),
		cmocka_unit_test(full_blocks), cmocka_unit_test(broken_images),
	};

	return cmocka_run_group_tests_name("shield lists", tests, NULL, NULL);
}
