// SPDX-License-Identifier: Apache-2.0
/*
 * What shield costs a packet, by BPF_PROG_TEST_RUN: shield OBJECT ROUNDS [NAME]. Prints lines of
 * "NAME WHAT VALUE": ns above an empty program, medians of interleaved rounds, with the spread of an
 * empty program against itself; and how long lists take to load, and what they hold. A third word: only
 * figures with that in their names.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "datapath/shield/internal.h"
#include "datapath/shield/measure.h"
#include "shield/lists.h"

#define LO 1
#define REPEAT 400000
#define ROUNDS_MAX 64

static struct bf_shield *s;
static const char *only = "";
static int shuffle, how_fd, to_fd, drop_fd, pass_fd;

static void die(const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	exit(1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* --- frames: Ethernet, IPv4 or IPv6, TCP or UDP, no data --- */

struct frame {
	uint8_t b[128];
	uint32_t len;
};

static struct frame frame4(uint8_t proto, uint8_t flags)
{
	struct frame f = {.len = 14 + 20 + 28};
	uint8_t *ip = f.b + 14, *l4 = ip + 20;

	f.b[12] = 8;
	ip[0] = 0x45;
	ip[3] = 48;
	ip[8] = 64;
	ip[9] = proto;
	memcpy(ip + 12, "\x14\x01\x02\x03\xc0\x00\x02\x01", 8);
	memcpy(l4, "\x9c\x40\x00\x50", 4);
	if (proto == 6) {
		l4[12] = 0x50;
		l4[13] = flags;
	} else {
		l4[5] = 28;
	}
	return f;
}

static struct frame frame6(void)
{
	struct frame f = {.len = 14 + 40 + 20};
	uint8_t *ip = f.b + 14;

	f.b[12] = 0x86;
	f.b[13] = 0xdd;
	ip[0] = 0x60;
	ip[5] = 20;
	ip[6] = 17;
	ip[7] = 64;
	memcpy(ip + 8, "\x20\x01\x0d\xb8", 4);
	ip[23] = 1;
	memcpy(ip + 24, "\x20\x01\x0d\xb8", 4);
	ip[39] = 2;
	ip[44 + 1] = 20;
	return f;
}

static double measure(int prog, uint32_t how, const struct frame *f, int expect)
{
	struct xdp_md ctx = {.data_end = f->len, .ingress_ifindex = LO};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->b, .data_size_in = f->len,
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = REPEAT);
	uint32_t zero = 0;

	if (bpf_map_update_elem(how_fd, &zero, &how, BPF_ANY) < 0 ||
	    bpf_map_update_elem(to_fd, &zero, &prog, BPF_ANY) < 0)
		die("maps");
	if (bpf_prog_test_run_opts(shuffle, &opts) < 0)
		die("test run");
	if (expect >= 0 && (int)opts.retval != expect) {
		fprintf(stderr, "the program returned %u, not %d\n", opts.retval, expect);
		exit(1);
	}
	return opts.duration;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print(const char *name, double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_value);
	printf("%s %.1f %.1f %.1f\n", name, v[n / 2], v[n / 10], v[n * 9 / 10]);
	fflush(stdout);
}

/* Interleaved with the empty program that does the same in the end. */
static void compare(const char *name, uint32_t how, struct frame f, int verdict, int rounds)
{
	double diff[ROUNDS_MAX], control[ROUNDS_MAX];
	int empty = verdict == XDP_DROP ? drop_fd : pass_fd;
	char text[96];

	if (!strstr(name, only))
		return;
	measure(s->prog[BF_SHIELD_PROG_XDP], how, &f, -1);
	for (int i = 0; i < rounds; i++) {
		double a = measure(empty, how, &f, empty == pass_fd ? XDP_PASS : XDP_DROP);
		double b = measure(s->prog[BF_SHIELD_PROG_XDP], how, &f, verdict);
		double c = measure(empty, how, &f, empty == pass_fd ? XDP_PASS : XDP_DROP);

		diff[i] = b - (a + c) / 2;
		control[i] = c - a;
	}
	print(name, diff, rounds);
	snprintf(text, sizeof(text), "control:%s", name);
	print(text, control, rounds);
}

/* --- lists --- */

static uint64_t rng = 88172645463325252ull;

static uint32_t rnd(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return (uint32_t)(rng >> 32);
}

/* As lists of sources are: mostly hosts, then /24, then what lies between. */
static void random4(struct bf_shield_list *l, size_t n)
{
	while (n--) {
		struct bpfast_shield_entry e = {.until = BPFAST_SHIELD_FOREVER};
		uint32_t addr = 0x10000000 + (rnd() & 0x3fffffff), kind = rnd() % 10;
		unsigned int bits = kind < 6 ? 32 : kind < 9 ? 24 : 25 + rnd() % 7;

		addr = addr >> (32 - bits) << (32 - bits);
		e.addr[10] = e.addr[11] = 0xff;
		for (int i = 0; i < 4; i++)
			e.addr[12 + i] = (uint8_t)(addr >> (24 - 8 * i));
		e.prefix = (uint8_t)(96 + bits);
		if (bf_shield_list_add(l, &e))
			die("list");
	}
}

static void random6(struct bf_shield_list *l, size_t n)
{
	static const uint8_t lengths[] = {48, 56, 64, 64, 128, 128};

	while (n--) {
		struct bpfast_shield_entry e = {.until = BPFAST_SHIELD_FOREVER,
						.addr = {0x20, 0x01}};
		unsigned int bits = lengths[rnd() % 6];

		for (int i = 2; i < 16; i++)
			e.addr[i] = (uint8_t)rnd();
		for (unsigned int b = bits; b < 128; b++)
			e.addr[b / 8] &= (uint8_t)~(0x80 >> b % 8);
		e.prefix = (uint8_t)bits;
		if (bf_shield_list_add(l, &e))
			die("list");
	}
}

static void install(enum bpfast_shield_image which, struct bf_shield_list *l, const char *name)
{
	struct bf_shield_image im;
	struct bf_error err;
	double begin = now();

	if (bf_shield_compile(l, rnd(), &im))
		die("compile");
	if (bf_shield_install(s, which, im.bytes, im.len, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	if (name) {
		printf("load:%s %.3f 0 0\n", name, now() - begin);
		printf("mib:%s %.1f 0 0\n", name, (double)im.len / (1 << 20));
	}
	free(im.bytes);
	bf_shield_list_free(l);
}

static void list_one(const char *cidr)
{
	struct bf_shield_list l = {0};

	if (bf_shield_read(cidr, strlen(cidr), 1, false, BPFAST_SHIELD_FOREVER, &l, NULL))
		die(cidr);
	install(BPFAST_SI_ENTRIES, &l, NULL);
}

static void no_list(enum bpfast_shield_image which)
{
	bf_shield_install(s, which, NULL, 0, NULL);
}

/* The connection of frame4(6, ACK), as if this host had sent on it. */
static void open_connection(void)
{
	struct frame f = frame4(6, 0x10);
	uint8_t swap[4];

	memcpy(swap, f.b + 26, 4);
	memcpy(f.b + 26, f.b + 30, 4);
	memcpy(f.b + 30, swap, 4);
	memcpy(f.b + 34, "\x00\x50\x9c\x40", 4);
	if (bf_shield_trial_out(s, LO, f.b, f.len))
		die("trial");
}

static void load_shuffle(const char *path)
{
	struct bpf_object *o = bpf_object__open(path);

	if (!o || bpf_object__load(o))
		die(path);
	shuffle = bpf_program__fd(bpf_object__find_program_by_name(o, "shuffle"));
	drop_fd = bpf_program__fd(bpf_object__find_program_by_name(o, "shuffle_drop"));
	pass_fd = bpf_program__fd(bpf_object__find_program_by_name(o, "shuffle_pass"));
	how_fd = bpf_object__find_map_fd_by_name(o, "shuffle_how");
	to_fd = bpf_object__find_map_fd_by_name(o, "shuffle_to");
}

static void limit(int class, int scope, uint32_t rate, uint32_t burst)
{
	bf_shield_set_limit(&s->control->limit[class][scope], rate, burst);
}

/* A SYN with a MSS option, answered; and ACKs to the same destination that bring no cookie. */
static void cookies(int rounds)
{
	struct bpfast_shield_cookie_key key = {.port = htons(80)};
	struct bpfast_shield_cookie c = {.mode = BPFAST_CM_LIMIT, .mss = 1460, .wscale = 7};
	struct frame syn = frame4(6, 2);

	memcpy(key.addr + 10, "\xff\xff\xc0\x00\x02\x01", 6);
	syn.len = 58;
	syn.b[17] = 44;
	syn.b[46] = 0x60;
	memcpy(syn.b + 54, "\2\4\5\xb4", 4);
	if (bf_shield_cookie_set(s, &key, &c, NULL))
		die("cookie");
	compare("answer-syn-random", 5, syn, XDP_TX, rounds);
	compare("drop-bad-cookie-random", 4, frame4(6, 0x10), XDP_DROP, rounds);
	bf_shield_cookie_remove(s, &key);
}

static void drops(int rounds)
{
	struct frame udp = frame4(17, 0), null = frame4(6, 0);

	list_one("16.0.0.0/4\n32.0.0.0/3\n64.0.0.0/4\n2001::/16");
	compare("drop-list-hot", 0, udp, XDP_DROP, rounds);
	compare("drop-list-random", 4, udp, XDP_DROP, rounds);
	compare("drop-list-random6", 6, frame6(), XDP_DROP, rounds);
	no_list(BPFAST_SI_ENTRIES);
	compare("drop-flags-hot", 0, null, XDP_DROP, rounds);
	compare("drop-flags-random", 4, null, XDP_DROP, rounds);
	limit(BPFAST_SC_UDP, BPFAST_SS_SOURCE, 1, 1);
	compare("drop-source-limit-hot", 0, udp, XDP_DROP, rounds);
	bf_shield_set_defaults(s->control);
	limit(BPFAST_SC_SYN, BPFAST_SS_SOURCE, 1, 1);
	compare("drop-syn-source-limit-hot", 0, frame4(6, 2), XDP_DROP, rounds);
	bf_shield_set_defaults(s->control);
	limit(BPFAST_SC_UDP, BPFAST_SS_DESTINATION, 1, 1);
	compare("drop-destination-limit-random", 4, udp, XDP_DROP, rounds);
	bf_shield_set_defaults(s->control);
	limit(BPFAST_SC_SYN, BPFAST_SS_DESTINATION, 1, 1);
	compare("drop-syn-limit-random", 4, frame4(6, 2), XDP_DROP, rounds);
	cookies(rounds);
	bf_shield_set_defaults(s->control);
	limit(BPFAST_SC_STATE, BPFAST_SS_DESTINATION, 1, 1);
	compare("drop-out-of-state-random", 4, frame4(6, 0x10), XDP_DROP, rounds);
	bf_shield_set_defaults(s->control);
}

static void passes(int rounds)
{
	open_connection();
	compare("pass-known", 0, frame4(6, 0x10), XDP_PASS, rounds);
	for (int c = 0; c < BPFAST_SS_COUNT; c++)
		limit(BPFAST_SC_UDP, c, 3000000, 1000000000);
	compare("pass-udp", 0, frame4(17, 0), XDP_PASS, rounds);
	compare("pass-udp-random", 4, frame4(17, 0), XDP_PASS, rounds);
	compare("pass-udp-random6", 6, frame6(), XDP_PASS, rounds);
	bf_shield_set_defaults(s->control);
}

/* UDP from random sources and a known connection, while the agent has rules and limits in force. */
static void attacks(int rounds)
{
	struct frame udp = frame4(17, 0);
	struct bf_shield_measure m;
	struct bf_error err;

	if (bf_shield_map(s, &m, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		exit(1);
	}
	for (int c = 0; c < BPFAST_SS_COUNT; c++)
		limit(BPFAST_SC_UDP, c, 3000000, 1000000000);
	/* Four rules; all but the last want another length. */
	for (int i = 0; i < 4; i++)
		m.force->rule[i] = (struct bpfast_fingerprint){
			.id = (uint32_t)i + 1,
			.length_min = i < 3 ? 100 + i : 48,
			.length_max = i < 3 ? 100 + i : 48,
			.id_max = 0xffff,
			.source_port_max = 0xffff,
			.destination_port_min = 80,
			.destination_port_max = 80,
			.window_max = 0xffff,
			.protocol = 17,
			.ttl_max = 0xff,
			.option_bytes_max = 0xff,
			.payload_bytes_max = 0xff,
		};
	s->control->attacked = 1;
	m.force->rules = 0xf;
	compare("attacked-drop-fingerprint-random", 4, udp, XDP_DROP, rounds);
	m.force->rules = 7;
	compare("attacked-pass-udp-random", 4, udp, XDP_PASS, rounds);
	compare("attacked-pass-known", 0, frame4(6, 0x10), XDP_PASS, rounds);
	m.force->rules = 0;
	m.dest[BPFAST_DEST_ALL].on = 1u << BPFAST_MC_UDP;
	bf_shield_set_limit(&m.adaptive[BPFAST_DEST_ALL * BPFAST_MC_COUNT + BPFAST_MC_UDP].limit, 1,
			    1);
	compare("attacked-drop-adaptive-random", 4, udp, XDP_DROP, rounds);
	m.dest[BPFAST_DEST_ALL].on = 0;
	s->control->attacked = 0;
	bf_shield_unmap(&m);
	bf_shield_set_defaults(s->control);
}

/* What a lookup adds: UDP from random sources, with the list and without, one after the other. Of the
 * sources a few hundredths are on it. */
static void lookups(const char *name, uint32_t how, struct bf_shield_list *l, int rounds)
{
	struct frame f = how == 4 ? frame4(17, 0) : frame6();
	double diff[ROUNDS_MAX];

	if (!strstr(name, only)) {
		bf_shield_list_free(l);
		return;
	}
	for (int c = 0; c < BPFAST_SS_COUNT; c++)
		limit(BPFAST_SC_UDP, c, 3000000, 1000000000);
	install(BPFAST_SI_FILES, l, name);
	for (int i = 0; i < rounds; i++) {
		uint32_t key = BPFAST_SI_FILES;
		double with, without;

		with = measure(s->prog[BF_SHIELD_PROG_XDP], how, &f, -1);
		if (bpf_map_delete_elem(s->map[BF_SHIELD_MAP_LIST], &key) < 0)
			die("list");
		without = measure(s->prog[BF_SHIELD_PROG_XDP], how, &f, -1);
		if (bpf_map_update_elem(s->map[BF_SHIELD_MAP_LIST], &key,
					&s->list_fd[BPFAST_SI_FILES], BPF_ANY) < 0)
			die("list");
		diff[i] = with - without;
	}
	print(name, diff, rounds);
	bf_shield_set_defaults(s->control);
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[2]) : 9;
	struct bf_shield_list l = {0};
	struct bf_error err;

	if (argc > 3)
		only = argv[3];
	if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: shield OBJECT [ROUNDS [NAME]]\n");
		return 2;
	}
	if (unshare(CLONE_NEWNET) < 0)
		die("unshare");
	if (bf_shield_open_private(&s, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	load_shuffle(argv[1]);
	s->control->device[LO] =
		(struct bpfast_shield_device){.ifindex = LO, .mode = BPFAST_SM_ENFORCE};
	drops(rounds);
	passes(rounds);
	attacks(rounds);
	random4(&l, 1000000);
	lookups("lookup4-1000000", 4, &l, rounds);
	random6(&l, 100000);
	lookups("lookup6-100000", 6, &l, rounds);
	return 0;
}
