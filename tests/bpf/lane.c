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
