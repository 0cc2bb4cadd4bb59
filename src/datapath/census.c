// SPDX-License-Identifier: Apache-2.0
#include "datapath/census.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "census.skel.h"
#include "datapath/internal.h"

#define ROWS_BYTES ((size_t)BPFAST_CENSUS_MAX * sizeof(struct bpfast_census_row))

struct bf_census {
	struct census_bpf *skel;
	struct bpfast_census *control; /* mapped */
	struct bpfast_census_row *rows; /* mapped */
};

static void *map_shared(const struct bpf_map *map, size_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(map), 0);

	return p == MAP_FAILED ? NULL : p;
}

int bf_census_open(struct bf_datapath *dp, struct bf_census **out, struct bf_error *err)
{
	struct bf_census *c = calloc(1, sizeof(*c));
	int ret = c ? 0 : -ENOMEM;

	*out = NULL;
	if (!ret) {
		c->skel = census_bpf__open();
		ret = c->skel ? 0 : -errno;
	}
	/* The flow table is theirs; nothing else of the packets' is touched. */
	for (int m = 0; !ret && m < BF_MAPS; m++) {
		struct bpf_map *map = bpf_object__find_map_by_name(c->skel->obj, bf_map_name[m]);

		ret = map ? bpf_map__reuse_fd(map, dp->map[m]) : 0;
	}
	if (!ret)
		ret = bpf_map__set_autocreate(c->skel->maps.bpfast_scratch, false);
	if (!ret)
		ret = census_bpf__load(c->skel);
	if (!ret) {
		c->control = map_shared(c->skel->maps.bpfast_cenctl, sizeof(*c->control));
		c->rows = map_shared(c->skel->maps.bpfast_cenrow, ROWS_BYTES);
		if (!c->control || !c->rows)
			ret = -errno;
	}
	if (ret) {
		bf_census_close(c);
		return bf_err(err, ret, "cannot load the program that counts connections: %s",
			      strerror(-ret));
	}
	*out = c;
	return 0;
}

void bf_census_close(struct bf_census *c)
{
	if (!c)
		return;
	if (c->control)
		munmap(c->control, sizeof(*c->control));
	if (c->rows)
		munmap(c->rows, ROWS_BYTES);
	census_bpf__destroy(c->skel);
	free(c);
}

bool bf_census_worth(const struct bf_datapath *dp, uint32_t flows)
{
	for (uint32_t slot = 0; slot < BPFAST_ENDPOINTS_MAX; slot++)
		if ((int32_t)*(const volatile uint32_t *)&dp->quota[slot].used >= (int32_t)flows)
			return true;
	return false;
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int bf_census_run(struct bf_census *c, bool closed, const struct bpfast_census_row **rows,
		  uint32_t *n, uint32_t *left_out, uint64_t *took_ns)
{
	LIBBPF_OPTS(bpf_test_run_opts, opts);
	uint64_t began = now_ns();
	int ret;

	c->control->closed = closed;
	ret = bpf_prog_test_run_opts(bpf_program__fd(c->skel->progs.bpfast_census), &opts);
	*took_ns = now_ns() - began;
	*rows = c->rows;
	*n = ret ? 0 : c->control->rows;
	*left_out = ret ? 0 : c->control->left_out;
	return ret;
}

/* --- a reset --- */

static void put16(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
	put16(p, v >> 16);
	put16(p + 2, v);
}

/* The Internet checksum (RFC 1071) of an even number of bytes, on top of sum. */
static uint32_t sum16(const uint8_t *p, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	return sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)~sum;
}

/* An RST of the client; returns its length. */
static size_t make_rst(uint8_t *f, const struct bpfast_flow_key *key, const uint8_t mac[6],
		       uint32_t seq, uint32_t ack)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	bool v4 = !memcmp(key->local, mapped, 12);
	size_t from = v4 ? 12 : 0, size = 16 - from;
	uint8_t *ip = f + 14, *tcp = ip + (v4 ? 20 : 40);

	memset(f, 0, 14 + 40 + 20);
	memcpy(f, mac, 6);
	put16(f + 12, v4 ? 0x0800 : 0x86dd);
	if (v4) {
		ip[0] = 0x45;
		put16(ip + 2, 40);
		put16(ip + 6, 0x4000); /* DF */
		ip[8] = 64;
		ip[9] = IPPROTO_TCP;
		memcpy(ip + 12, key->remote + 12, 4);
		memcpy(ip + 16, key->local + 12, 4);
		put16(ip + 10, fold(sum16(ip, 20, 0)));
	} else {
		ip[0] = 0x60;
		put16(ip + 4, 20);
		ip[6] = IPPROTO_TCP;
		ip[7] = 64;
		memcpy(ip + 8, key->remote, 16);
		memcpy(ip + 24, key->local, 16);
	}
	memcpy(tcp, &key->remote_port, 2);
	memcpy(tcp + 2, &key->local_port, 2);
	put32(tcp + 4, seq);
	put32(tcp + 8, ack);
	tcp[12] = 5 << 4;
	tcp[13] = 0x14; /* RST, ACK */
	put16(tcp + 16, fold(sum16(tcp, 20,
				   sum16(key->remote + from, size,
					 sum16(key->local + from, size, IPPROTO_TCP + 20)))));
	return (size_t)(tcp + 20 - f);
}

static int send_rst(struct bf_census *c, const struct bpfast_flow_key *key, int ifindex,
		    const uint8_t mac[6], uint32_t seq, uint32_t ack)
{
	struct __sk_buff skb = {.ifindex = (uint32_t)ifindex};
	uint8_t frame[14 + 40 + 20];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame,
		    .data_size_in = (uint32_t)make_rst(frame, key, mac, seq, ack), .ctx_in = &skb,
		    .ctx_size_in = sizeof(skb));
	int ret = bpf_prog_test_run_opts(bpf_program__fd(c->skel->progs.bpfast_send), &opts);

	return !ret && (int)opts.retval < 0 ? (int)opts.retval : ret;
}

/* A busy connection goes on while this is written: its number is read anew, and looked at again after. */
#define TRIES 3

int bf_census_end(struct bf_census *c, const struct bpfast_census_row *row, int ifindex,
		  const uint8_t mac[6])
{
	uint32_t next = row->client_next, acked = row->server_acked, ack = row->server_next;
	int fd = bpf_map__fd(c->skel->maps.bpfast_flow), ret = 0;
	struct bpfast_flow flow;

	for (int i = 0; !ret && i < TRIES; i++) {
		if (!bpf_map_lookup_elem(fd, &row->key, &flow)) {
			if (i && flow.client.next == next)
				break;
			next = flow.client.next;
			acked = flow.server.acked;
			ack = flow.server.next;
		} else if (i) {
			break;
		}
		/* What the server has of the client ends in one of these, else it answers with an ACK
		 * (RFC 5961, section 3.2). */
		ret = send_rst(c, &row->key, ifindex, mac, next, ack);
		if (!ret && acked != next)
			ret = send_rst(c, &row->key, ifindex, mac, acked, ack);
	}
	return ret;
}
