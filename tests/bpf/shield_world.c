// SPDX-License-Identifier: Apache-2.0
#include "shield_world.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bf_shield *shield;
struct bpfast_shield_control *shield_control;
struct bf_shield_measure m;

void guard(enum bpfast_shield_mode mode)
{
	shield_control->device[LO] =
		(struct bpfast_shield_device){.ifindex = LO, .mode = (uint8_t)mode};
}

static void no_limits(void)
{
	for (int c = 0; c < BPFAST_SC_COUNT; c++)
		for (int k = 0; k < BPFAST_SS_COUNT; k++)
			bf_shield_set_limit(&shield_control->limit[c][k], 0, 0);
}

/* Tables are not emptied between cases: with other keys nothing in them is found again. */
void shield_forget(void)
{
	struct bf_shield_bar *bars;
	size_t n;

	assert_int_equal(bf_shield_new_keys(shield_control), 0);
	no_limits();
	guard(BPFAST_SM_ENFORCE);
	assert_int_equal(bf_shield_install(shield, BPFAST_SI_ENTRIES, NULL, 0, NULL), 0);
	assert_int_equal(bf_shield_install(shield, BPFAST_SI_FILES, NULL, 0, NULL), 0);
	assert_int_equal(bf_shield_bars(shield, &bars, &n), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(bf_shield_bar_remove(shield, &bars[i].key), 0);
	free(bars);
	assert_int_equal(shield_control->bars, 0);
}

int shield_reset(void **state)
{
	(void)state;
	shield_forget();
	return 0;
}

int shield_teardown(void **state)
{
	(void)state;
	bf_shield_close(shield);
	return 0;
}

struct bpfast_shield_counters counters(void)
{
	struct bpfast_shield_counters n;

	assert_int_equal(bf_shield_counters(shield, LO, &n), 0);
	return n;
}

/* One frame through one hook: the reason why it was dropped, or 0. -1: the kernel does not take it. */
int shield_run(bool tc, const struct frame *f)
{
	struct bpfast_shield_counters was = counters(), is;
	unsigned int drops = 0, passed;
	int reason = 0, ret;
	bool pass;

	ret = bf_shield_trial(shield, tc, LO, f->b, f->len, 1, &pass, NULL);
	if (ret == -EINVAL)
		return -1;
	assert_int_equal(ret, 0);
	is = counters();
	passed = (unsigned int)(is.passed - was.passed);
	for (int r = 0; r < BPFAST_SHIELD_REASONS; r++) {
		if (is.dropped[r] == was.dropped[r])
			continue;
		drops += (unsigned int)(is.dropped[r] - was.dropped[r]);
		reason = r + BPFAST_R_SHIELD;
	}
	/* Every packet is either passed or dropped, with exactly one reason. */
	assert_int_equal(passed, pass ? 1 : 0);
	assert_int_equal(drops, pass ? 0 : 1);
	return reason;
}

int in(const struct frame *f)
{
	return shield_run(false, f);
}

void out(const struct frame *f)
{
	assert_int_equal(bf_shield_trial_out(shield, LO, f->b, f->len), 0);
}

char *address(uint32_t n)
{
	static char text[16][32];
	static unsigned int at;
	char *buf = text[at++ % 16];

	snprintf(buf, 32, "10.%u.%u.%u", n >> 16 & 255, n >> 8 & 255, n & 255);
	return buf;
}

struct frame *of_class(int class, const char *src, const char *dst, uint16_t dport)
{
	switch (class) {
	case BPFAST_SC_SYN:
		return PACKET(ETH(), IP4(.src = src, .dst = dst),
			      TCP(.flags = SYN, .dport = dport));
	case BPFAST_SC_STATE:
		return PACKET(ETH(), IP4(.src = src, .dst = dst),
			      TCP(.flags = ACK, .dport = dport));
	case BPFAST_SC_UDP:
		return PACKET(ETH(), IP4(.src = src, .dst = dst), UDP(.dport = dport));
	case BPFAST_SC_ICMP:
		return PACKET(ETH(), IP4(.src = src, .dst = dst), ICMP(8, 0));
	case BPFAST_SC_FRAGMENT:
		return PACKET(ETH(), IP4(.src = src, .dst = dst, .frag = 1480, .next = 17),
			      DATA("rest"));
	default:
		return PACKET(ETH(), IP4(.src = src, .dst = dst, .next = 47), DATA("gre"));
	}
}

struct frame *client(uint32_t seq, uint32_t ack, int flags)
{
	return PACKET(ETH(), IP4(CLIENT), TCP(.seq = seq, .ack = ack, .flags = flags));
}

struct frame *server(uint32_t seq, uint32_t ack, int flags)
{
	return PACKET(ETH(), IP4(SERVER),
		      TCP(.sport = 80, .dport = 40000, .seq = seq, .ack = ack, .flags = flags));
}

void list_of(enum bpfast_shield_image which, const char *block, const char *allow)
{
	struct bf_shield_list l = {0};
	struct bf_shield_image im;

	assert_int_equal(
		bf_shield_read(block, strlen(block), 1, false, BPFAST_SHIELD_FOREVER, &l, NULL), 0);
	assert_int_equal(
		bf_shield_read(allow, strlen(allow), 1, true, BPFAST_SHIELD_FOREVER, &l, NULL), 0);
	assert_int_equal(bf_shield_compile(&l, 42, &im), 0);
	assert_int_equal(bf_shield_install(shield, which, im.bytes, im.len, NULL), 0);
	free(im.bytes);
	bf_shield_list_free(&l);
}

uint64_t rng;

uint32_t rnd(uint32_t below)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32) % below;
}

int shield_setup(void **state)
{
	struct bf_error err;

	(void)state;
	if (unshare(CLONE_NEWNET) < 0)
		return -1;
	if (bf_shield_open_private(&shield, &err)) {
		print_error("%s\n", err.msg);
		return -1;
	}
	shield_control = bf_shield_control(shield);
	return 0;
}

int measure_setup(void **state)
{
	struct bf_error err;

	return shield_setup(state) || bf_shield_map(shield, &m, &err) ? -1 : 0;
}

int measure_reset(void **state)
{
	shield_reset(state);
	memset(m.tag, 0, BPFAST_DEST_SETS * sizeof(*m.tag));
	memset(m.dest, 0, BPFAST_DESTS * sizeof(*m.dest));
	memset(m.adaptive, 0, BPFAST_DESTS * BPFAST_MC_COUNT * sizeof(*m.adaptive));
	memset(m.force, 0, sizeof(*m.force));
	shield_control->attacked = 0;
	return 0;
}

int measure_teardown(void **state)
{
	bf_shield_unmap(&m);
	return shield_teardown(state);
}
