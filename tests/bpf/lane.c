// SPDX-License-Identifier: Apache-2.0
/* Packets by the bare system call. */
#include "lane.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As if it had come in on this device: anything but 0, which is the node itself. */
#define OTHER_DEVICE 7777

static struct {
	struct ring_buffer *ring;
	uint32_t program[2], device;
	struct bpfast_event *to;
	size_t room, records;
} l;

static int on_record(void *arg, void *data, size_t size)
{
	const struct bpfast_event *ev = data;

	(void)arg;
	if (size != sizeof(*ev) || ev->type != BPFAST_EV_HTTP_REQUEST)
		return 0;
	if (l.records < l.room)
		l.to[l.records] = *ev;
	l.records++;
	return 0;
}

void lane_open(void)
{
	l.program[FROM_POD] = (uint32_t)world_program(FROM_POD);
	l.program[TO_POD] = (uint32_t)world_program(TO_POD);
	l.device = world_device();
	l.ring = ring_buffer__new(world_map("bpfast_events"), on_record, NULL, NULL);
	assert_non_null(l.ring);
}

void lane_close(void)
{
	ring_buffer__free(l.ring);
}

static unsigned int get16(const uint8_t *p)
{
	return (unsigned int)p[0] << 8 | p[1];
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)get16(p) << 16 | get16(p + 2);
}

bool lane_read(const struct frame *f, struct seen_tcp *t)
{
	size_t l3 = get16(f->b + 12) == 0x8100 ? 18 : 14, header, doff, len;
	const uint8_t *ip = f->b + l3, *tcp;
	uint32_t sum;

	header = ip[0] >> 4 == 4 ? 20 : 40;
	if (f->len < l3 + header + 20)
		return false;
	len = f->len - l3 - header;
	if (header == 20) {
		if (get16(ip + 2) != f->len - l3 || packet_sum(ip, 20, 0) != 0xffff)
			return false;
		sum = packet_sum(ip + 12, 8, 6 + (uint32_t)len);
	} else {
		if (get16(ip + 4) != len)
			return false;
		sum = packet_sum(ip + 8, 32, 6 + (uint32_t)len);
	}
	tcp = ip + header;
	doff = (tcp[12] >> 4) * 4u;
	if (packet_sum(tcp, len, sum) != 0xffff || doff < 20 || doff > len)
		return false;
	*t = (struct seen_tcp){
		.seq = get32(tcp + 4),
		.ack = get32(tcp + 8),
		.flags = tcp[13],
		.data = tcp + doff,
		.data_len = len - doff,
	};
	return true;
}

bool lane_run(enum way way, const struct frame *in, uint32_t gso, struct frame *out)
{
	struct __sk_buff ctx = {.ifindex = l.device,
				.ingress_ifindex = way == TO_POD ? OTHER_DEVICE : 0,
				.gso_size = gso};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.test.prog_fd = l.program[way];
	attr.test.data_in = (uintptr_t)in->b;
	attr.test.data_size_in = (uint32_t)in->len;
	attr.test.data_out = (uintptr_t)out->b;
	attr.test.data_size_out = sizeof(out->b);
	attr.test.ctx_in = (uintptr_t)&ctx;
	attr.test.ctx_size_in = sizeof(ctx);
	if (syscall(SYS_bpf, BPF_PROG_TEST_RUN, &attr, sizeof(attr)))
		fail_msg("BPF_PROG_TEST_RUN of %zu bytes: %s", in->len, strerror(errno));
	if (attr.test.retval != 2 && attr.test.retval != (uint32_t)-1)
		fail_msg("a hook may return \"drop\" or \"next\", not %d", (int)attr.test.retval);
	out->len = attr.test.data_size_out;
	return attr.test.retval != 2;
}

size_t lane_requests(struct bpfast_event *to, size_t room)
{
	l.to = to;
	l.room = room;
	l.records = 0;
	ring_buffer__consume(l.ring);
	return l.records;
}
