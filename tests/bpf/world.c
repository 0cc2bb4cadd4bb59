// SPDX-License-Identifier: Apache-2.0
/* Loading the programs, policies, and running packets through them. */
#include "world.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bpfast/image.h"
#include "observe/names.h"
#include "pod.skel.h"
#include "policy/compile.h"
#include "policy/read.h"

#define ARENA (4u << 20)
#define ARENA_FIRST 4096u
/* As if it had come in on this device: anything but 0, which is the node itself. */
#define OTHER_DEVICE 7777

#ifndef PACKET_IGNORE_OUTGOING
#define PACKET_IGNORE_OUTGOING 23
#endif

static struct {
	struct pod_bpf *skel;
	uint8_t *arena;
	struct bpfast_control *control;
	struct bpfast_quota *quota; /* the pod's */
	struct ring_buffer *ring;
	int host, pod; /* ifindexes */
	int host_tap, pod_tap;
	int cpus;
	uint32_t image_off; /* where the next image goes */
	struct bf_image image; /* in force */
	uint32_t generation;
	struct seen seen[4];
	unsigned int turn;
	struct seen *current;
} w;

/* --- life ---------------------------------------------------------------------- */

static int tap(const char *device)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_ll at = {.sll_family = AF_PACKET,
				 .sll_protocol = htons(ETH_P_ALL),
				 .sll_ifindex = (int)if_nametoindex(device)};

	if (fd < 0 || setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)) ||
	    bind(fd, (struct sockaddr *)&at, sizeof(at)))
		return -1;
	return fd;
}

static int on_record(void *arg, void *data, size_t size)
{
	(void)arg;
	assert_int_equal(size, sizeof(struct bpfast_event));
	if (w.current) {
		assert_true(w.current->events < 8);
		memcpy(&w.current->event[w.current->events++], data, size);
	}
	return 0;
}

static void *map_memory(struct bpf_map *map, size_t size)
{
	void *p = mmap(NULL, (size + 4095) & ~4095ul, PROT_READ | PROT_WRITE, MAP_SHARED,
		       bpf_map__fd(map), 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The mark of read_taps() has to wait in the same queue as what the programs send. */
static int stay_on_this_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	return sched_setaffinity(0, sizeof(one), &one);
}

int world_enter(void **state)
{
	(void)state;
	if (stay_on_this_cpu())
		return -1;
	if (unshare(CLONE_NEWNET) < 0) {
		fprintf(stderr, "these tests need root\n");
		return -1;
	}
	/* Or the kernel's own packets (router solicitations) are taken for what the programs sent. */
	if (system("f=/proc/sys/net/ipv6/conf/default/disable_ipv6; [ ! -e $f ] || echo 1 > $f"))
		return -1;
	if (system("ip link add host0 type veth peer name pod0 && "
		   "ip link set host0 up addrgenmode none && "
		   "ip link set pod0 up addrgenmode none"))
		return -1;
	w.host = (int)if_nametoindex("host0");
	w.pod = (int)if_nametoindex("pod0");
	w.host_tap = tap("host0");
	w.pod_tap = tap("pod0");
	w.cpus = libbpf_num_possible_cpus();
	w.skel = pod_bpf__open();
	if (w.host_tap < 0 || w.pod_tap < 0 || w.cpus < 1 || !w.skel)
		return -1;
	bpf_map__set_max_entries(w.skel->maps.bpfast_flow, FLOWS);
	bpf_map__set_max_entries(w.skel->maps.bpfast_chunk, CHUNKS);
	bpf_map__set_max_entries(w.skel->maps.bpfast_free, CHUNKS);
	bpf_map__set_value_size(w.skel->maps.bpfast_arena, ARENA + BPFAST_ARENA_GUARD);
	w.skel->rodata->bpfast_arena_mask = ARENA - 1;
	if (pod_bpf__load(w.skel))
		return -1;
	w.arena = map_memory(w.skel->maps.bpfast_arena, ARENA + BPFAST_ARENA_GUARD);
	w.control = map_memory(w.skel->maps.bpfast_control, sizeof(*w.control));
	w.quota = map_memory(w.skel->maps.bpfast_quota, sizeof(*w.quota));
	w.ring = ring_buffer__new(bpf_map__fd(w.skel->maps.bpfast_events), on_record, NULL, NULL);
	if (!w.arena || !w.control || !w.quota || !w.ring)
		return -1;
	w.image_off = ARENA_FIRST;
	return 0;
}

int world_leave(void **state)
{
	(void)state;
	ring_buffer__free(w.ring);
	pod_bpf__destroy(w.skel);
	bf_image_free(&w.image);
	close(w.host_tap);
	close(w.pod_tap);
	return 0;
}

uint32_t flows_counted(void)
{
	return __atomic_load_n(&w.quota->used, __ATOMIC_ACQUIRE);
}

uint32_t flows_refused(void)
{
	return __atomic_load_n(&w.quota->refused, __ATOMIC_ACQUIRE);
}

static void map_clear(struct bpf_map *map)
{
	uint8_t key[64];

	while (!bpf_map_get_next_key(bpf_map__fd(map), NULL, key))
		assert_int_equal(bpf_map_delete_elem(bpf_map__fd(map), key), 0);
}

/* Flows that user space removes leave their chunks: the pool is put back as it was made. */
static void pool_clear(void)
{
	struct bpfast_pool pool = {0};
	uint32_t zero = 0, index, none = 0;

	while (!bpf_map_lookup_and_delete_elem(bpf_map__fd(w.skel->maps.bpfast_free), NULL, &index))
		;
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(w.skel->maps.bpfast_pool), &zero, &pool, BPF_ANY),
		0);
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(w.skel->maps.bpfast_held), &zero, &none, BPF_ANY),
		0);
}

uint32_t chunks_held(void)
{
	uint32_t slot = 0, held = 0;

	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(w.skel->maps.bpfast_held), &slot, &held),
			 0);
	return held;
}

void chunks_miscount(int32_t held)
{
	uint32_t slot = 0;

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(w.skel->maps.bpfast_held), &slot, &held, BPF_ANY),
		0);
}

void chunks_age(uint32_t seconds)
{
	int fd = bpf_map__fd(w.skel->maps.bpfast_chunk);
	struct bpfast_chunk chunk;

	for (uint32_t i = 0; i < CHUNKS; i++) {
		assert_int_equal(bpf_map_lookup_elem(fd, &i, &chunk), 0);
		if (!chunk.owner)
			continue;
		chunk.taken -= seconds;
		assert_int_equal(bpf_map_update_elem(fd, &i, &chunk, BPF_ANY), 0);
	}
}

static void drain_taps(void)
{
	uint8_t trash[64];

	while (recv(w.host_tap, trash, sizeof(trash), 0) > 0 ||
	       recv(w.pod_tap, trash, sizeof(trash), 0) > 0)
		;
}

int world_reset(void **state)
{
	struct bpfast_endpoint ep = the_endpoint();

	(void)state;
	map_clear(w.skel->maps.bpfast_flow);
	map_clear(w.skel->maps.bpfast_frag);
	*w.quota = (struct bpfast_quota){0};
	pool_clear();
	w.current = NULL;
	ring_buffer__consume(w.ring);
	drain_taps();
	*w.control = (struct bpfast_control){
		.root = w.control->root,
		.oldest_generation = w.generation ? w.generation : 1,
		.observed = 1,
		.records_per_second = 1000,
		.tcp_idle_s = 3600,
		.other_idle_s = 60,
		.closed_s = 10,
		.denied_s = 120,
		.retain_share = CHUNKS,
		.flows_share = FLOWS * 2, /* none but the table's */
	};
	set_endpoint(&ep);
	return 0;
}

/* --- policy -------------------------------------------------------------------- */

static void on_flaw(void *arg, const char *file, int line, int column, const char *message)
{
	(void)arg;
	(void)file;
	print_error("%d:%d: %s\n", line, column, message);
}

static void address(const char *text, uint8_t out[16])
{
	if (bf_address_parse(text, out))
		fail_msg("not an address: %s", text);
}

void policy(const char *yaml)
{
	struct bf_label web = {(char *)"app", (char *)"web"},
			cart = {(char *)"app", (char *)"cart"};
	struct bf_named_port http = {(char *)"http", 6, 80};
	uint8_t addrs[2][2][16], node[1][16];
	struct bf_endpoint ep[2] = {
		{.name = (char *)"web-1",
		 .namespace = (char *)"shop",
		 .labels = {&web, 1},
		 .addrs = addrs[0],
		 .addr_count = 2,
		 .ports = &http,
		 .port_count = 1,
		 .slot = 0},
		{.name = (char *)"cart-1",
		 .namespace = (char *)"shop",
		 .labels = {&cart, 1},
		 .addrs = addrs[1],
		 .addr_count = 2,
		 .slot = 1},
	};
	struct bf_objects objects = {0};
	struct bf_world world = {.objects = &objects,
				 .endpoints = ep,
				 .endpoint_count = 2,
				 .node_addrs = (const uint8_t(*)[16])node,
				 .node_addr_count = 1};
	struct bf_error err = {{0}};
	size_t len;

	address(POD4, addrs[0][0]);
	address(POD6, addrs[0][1]);
	address(PEER4, addrs[1][0]);
	address(PEER6, addrs[1][1]);
	address("10.0.0.1", node[0]);
	bf_image_free(&w.image);
	memset(&w.image, 0, sizeof(w.image));
	if (bf_objects_read(&objects, NULL, yaml, strlen(yaml), on_flaw, NULL))
		fail_msg("the policy was refused");
	if (bf_image_compile(&world, &w.image, &err))
		fail_msg("%s", err.msg);
	if (bf_image_check(w.image.blob.data, w.image.blob.len, &err))
		fail_msg("%s", err.msg);
	bf_objects_free(&objects);
	len = (w.image.blob.len + 63) & ~(size_t)63;
	if (w.image_off + len > ARENA)
		w.image_off = ARENA_FIRST;
	assert_true(w.image_off + len <= ARENA);
	memcpy(w.arena + w.image_off, w.image.blob.data, w.image.blob.len);
	w.generation++;
	__atomic_store_n(&w.control->root, (uint64_t)w.generation << 32 | w.image_off,
			 __ATOMIC_SEQ_CST);
	w.image_off += (uint32_t)len;
}

void forget_old_policies(void)
{
	uint32_t begin = (uint32_t)w.control->root, end = begin + (uint32_t)w.image.blob.len;

	w.control->oldest_generation = w.generation;
	memset(w.arena + ARENA_FIRST, 0xa5, begin - ARENA_FIRST);
	memset(w.arena + end, 0xa5, ARENA - end);
}

bool policy_replies(const void *bytes, size_t len)
{
	const uint8_t *p = w.image.blob.data;
	const struct bpfast_image *image = (const void *)p;
	const struct bpfast_image_ruleset *rs = (const void *)(p + image->ruleset_off);

	for (uint32_t i = 0; i < image->ruleset_count; i++) {
		if (rs[i].reply_len == len && !memcmp(p + rs[i].reply_off, bytes, len))
			return true;
	}
	return false;
}

const char *event_ref(const struct bpfast_event *ev)
{
	assert_int_equal(ev->generation, w.generation);
	return image_ref(ev->ref);
}

const char *image_ref(uint32_t ref)
{
	return bf_image_ref(w.image.blob.data, w.image.blob.len, ref);
}

struct bpfast_control *control(void)
{
	return w.control;
}

struct bpfast_endpoint the_endpoint(void)
{
	struct bpfast_endpoint ep = {.slot = 0, .addr_count = 2};

	memcpy(ep.mac, ether_aton(MAC_POD), 6);
	address(POD4, ep.addr[0]);
	address(POD6, ep.addr[1]);
	return ep;
}

void set_endpoint(const struct bpfast_endpoint *ep)
{
	int fd = bpf_map__fd(w.skel->maps.bpfast_endp);
	uint32_t key = (uint32_t)w.host;

	if (ep)
		assert_int_equal(bpf_map_update_elem(fd, &key, ep, BPF_ANY), 0);
	else
		assert_int_equal(bpf_map_delete_elem(fd, &key), 0);
}

/* --- running ------------------------------------------------------------------- */

void world_metrics(struct bpfast_metrics *sum)
{
	static struct bpfast_metrics cpu[64];
	uint64_t *to = (uint64_t *)sum;
	uint32_t zero = 0;

	assert_true(w.cpus <= 64);
	assert_int_equal(bpf_map_lookup_elem(bpf_map__fd(w.skel->maps.bpfast_metrics), &zero, cpu),
			 0);
	memset(sum, 0, sizeof(*sum));
	for (int c = 0; c < w.cpus; c++) {
		for (size_t i = 0; i < sizeof(*sum) / 8; i++)
			to[i] += ((uint64_t *)&cpu[c])[i];
	}
}

/* The end of what one packet made the programs send; of a protocol that nobody speaks. */
static const uint8_t mark[60] = "\xff\xff\xff\xff\xff\xff\2\0\0\0\0\1\x88\xb5the mark";

static void read_tap(int fd, bool to_pod, struct seen *s, bool *marked)
{
	struct sent *out;
	ssize_t n;

	for (;;) {
		uint8_t frame[FRAME_MAX];

		n = recv(fd, frame, sizeof(frame), 0);
		if (n <= 0)
			return;
		if (n == sizeof(mark) && !memcmp(frame, mark, sizeof(mark))) {
			*marked = true;
			continue;
		}
		assert_true(s->sents < 4);
		out = &s->sent[s->sents++];
		out->to_pod = to_pod;
		memcpy(out->frame.b, frame, (size_t)n);
		out->frame.len = (size_t)n;
	}
}

/*
 * What is sent may wait for ksoftirqd (Linux 6.1 does that). A mark is sent after it: both
 * directions of the veth share this CPU's queue, so when the mark is here, all is here.
 */
static void read_taps(struct seen *s)
{
	struct pollfd host = {.fd = w.host_tap, .events = POLLIN};
	bool marked = false;

	assert_int_equal(send(w.pod_tap, mark, sizeof(mark), 0), sizeof(mark));
	while (!marked) {
		if (poll(&host, 1, 5000) != 1)
			fail_msg("what was sent did not come in within 5 s");
		read_tap(w.host_tap, false, s, &marked);
	}
	read_tap(w.pod_tap, true, s, &marked);
}

static const struct seen *run_as(enum way way, const struct frame *f, struct __sk_buff ctx)
{
	struct bpf_program *prog =
		way == FROM_POD ? w.skel->progs.bpfast_from_pod : w.skel->progs.bpfast_to_pod;
	struct seen *s = &w.seen[w.turn++ % 4];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = f->b, .data_size_in = (uint32_t)f->len,
		    .data_out = s->out.b, .data_size_out = sizeof(s->out.b), .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx));
	struct bpfast_metrics before;
	uint64_t *delta = (uint64_t *)&s->metrics;
	uint64_t drops = 0;
	int err;

	ctx.ifindex = (uint32_t)w.host;
	world_metrics(&before);
	s->events = 0;
	s->sents = 0;
	err = bpf_prog_test_run_opts(bpf_program__fd(prog), &opts);
	if (err)
		fail_msg("BPF_PROG_TEST_RUN of %zu bytes: %s", f->len, strerror(-err));
	s->out.len = opts.data_size_out;
	if (opts.retval != 2 && opts.retval != (uint32_t)-1)
		fail_msg("a hook may return \"drop\" or \"next\", not %d", (int)opts.retval);
	s->forwarded = opts.retval != 2;
	world_metrics(&s->metrics);
	for (size_t i = 0; i < sizeof(before) / 8; i++)
		delta[i] -= ((uint64_t *)&before)[i];
	s->reason = BPFAST_R_NONE;
	for (uint32_t r = 0; r < BPFAST_R_COUNT; r++) {
		uint64_t n = s->metrics.dropped[0][r] + s->metrics.dropped[1][r];

		drops += n;
		if (n)
			s->reason = r;
		if (s->metrics.dropped[way == TO_POD][r])
			fail_msg("a drop was counted in the wrong direction");
	}
	/* Every packet that is not forwarded has exactly one reason. */
	if (drops > 1 || (!s->forwarded && drops != 1))
		fail_msg("%u drops were counted for one packet", (unsigned int)drops);
	w.current = s;
	ring_buffer__consume(w.ring);
	w.current = NULL;
	read_taps(s);
	return s;
}

const struct seen *run(enum way way, const struct frame *f)
{
	return run_as(way, f,
		      (struct __sk_buff){.ingress_ifindex = way == TO_POD ? OTHER_DEVICE : 0});
}

const struct seen *run_from_host(const struct frame *f)
{
	return run_as(TO_POD, f, (struct __sk_buff){.ingress_ifindex = 0});
}

const struct seen *run_gso(enum way way, const struct frame *f, uint32_t gso_size)
{
	return run_as(way, f,
		      (struct __sk_buff){.ingress_ifindex = OTHER_DEVICE, .gso_size = gso_size});
}

/* --- flows --------------------------------------------------------------------- */

int world_program(enum way way)
{
	return bpf_program__fd(way == FROM_POD ? w.skel->progs.bpfast_from_pod
					       : w.skel->progs.bpfast_to_pod);
}

int world_map(const char *name)
{
	int fd = bpf_object__find_map_fd_by_name(w.skel->obj, name);

	if (fd < 0)
		fail_msg("there is no map %s", name);
	return fd;
}

uint32_t world_device(void)
{
	return (uint32_t)w.host;
}

void nap(unsigned int milliseconds)
{
	usleep(milliseconds * 1000);
}

size_t flow_count(void)
{
	int fd = bpf_map__fd(w.skel->maps.bpfast_flow);
	struct bpfast_flow_key key, next;
	size_t n = 0;

	for (int err = bpf_map_get_next_key(fd, NULL, &next); !err;
	     err = bpf_map_get_next_key(fd, &key, &next)) {
		key = next;
		n++;
	}
	return n;
}

static struct bpfast_flow_key flow_key_of(bool v6, uint16_t pod_port, uint16_t other_port)
{
	struct bpfast_flow_key key = {
		.local_port = htons(pod_port), .remote_port = htons(other_port), .protocol = 6};

	address(v6 ? POD6 : POD4, key.local);
	address(v6 ? OUT6 : OUT4, key.remote);
	return key;
}

void flow_get(bool v6, uint16_t pod_port, uint16_t other_port, struct bpfast_flow *out)
{
	struct bpfast_flow_key key = flow_key_of(v6, pod_port, other_port);

	if (bpf_map_lookup_elem(bpf_map__fd(w.skel->maps.bpfast_flow), &key, out))
		fail_msg("there is no flow of port %d", pod_port);
}

void flow_put(bool v6, uint16_t pod_port, uint16_t other_port, const struct bpfast_flow *flow)
{
	struct bpfast_flow_key key = flow_key_of(v6, pod_port, other_port);

	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(w.skel->maps.bpfast_flow), &key, flow, BPF_ANY), 0);
}

void flows_age(uint16_t from, uint16_t to, uint32_t seconds)
{
	int fd = bpf_map__fd(w.skel->maps.bpfast_flow);
	struct bpfast_flow_key key[FLOWS];
	struct bpfast_flow flow;
	size_t n = 0;

	/* All keys first: what is written comes to lie elsewhere. */
	while (n < FLOWS && !bpf_map_get_next_key(fd, n ? &key[n - 1] : NULL, &key[n]))
		n++;
	for (size_t i = 0; i < n; i++) {
		if (ntohs(key[i].remote_port) < from || ntohs(key[i].remote_port) >= to)
			continue;
		assert_int_equal(bpf_map_lookup_elem(fd, &key[i], &flow), 0);
		flow.seen_ns -= seconds * 1000000000ull;
		assert_int_equal(bpf_map_update_elem(fd, &key[i], &flow, BPF_EXIST), 0);
	}
}

void flow_forget(bool v6, uint16_t pod_port, uint16_t other_port)
{
	struct bpfast_flow_key key = flow_key_of(v6, pod_port, other_port);

	if (!bpf_map_delete_elem(bpf_map__fd(w.skel->maps.bpfast_flow), &key))
		__atomic_fetch_sub(&w.quota->used, 1, __ATOMIC_RELAXED);
}

/* --- expectations ---------------------------------------------------------------- */

static void tell(const struct seen *s, const char *file, int line)
{
	print_error(
		"%s:%d: the packet was %s, reason %s; %zu sent, %zu records, %u helpers failed\n",
		file, line, s->forwarded ? "forwarded" : "dropped", bf_reason_word(s->reason),
		s->sents, s->events, (unsigned int)s->metrics.helper_errors);
	for (size_t i = 0; i < s->events; i++)
		print_error("  record: %s %s \"%.*s\"\n", bf_verdict_word(s->event[i].verdict),
			    bf_reason_word(s->event[i].reason), (int)s->event[i].text_len,
			    s->event[i].text);
	for (size_t i = 0; i < s->sents; i++) {
		print_error("  sent %s:", s->sent[i].to_pod ? "to the pod" : "back");
		for (size_t at = 0; at < s->sent[i].frame.len && at < 80; at++)
			print_error(" %02x", s->sent[i].frame.b[at]);
		print_error("\n");
	}
	_fail(file, line);
}

void expectation_failed(const char *what, const char *file, int line)
{
	print_error("%s:%d: %s does not hold\n", file, line, what);
	_fail(file, line);
}

const struct seen *check_forwarded(const struct seen *s, const char *file, int line)
{
	if (!s->forwarded || s->reason || s->sents || s->metrics.helper_errors)
		tell(s, file, line);
	return s;
}

const struct seen *check_dropped(const struct seen *s, uint32_t reason, const char *file, int line)
{
	if (s->reason != reason)
		print_error("%s:%d: expected %s\n", file, line, bf_reason_word(reason));
	if (s->forwarded || s->reason != reason || s->sents || s->metrics.helper_errors)
		tell(s, file, line);
	return s;
}

const struct bpfast_event *check_recorded(const struct seen *s, uint32_t verdict, uint32_t reason,
					  const char *text, const char *file, int line)
{
	for (size_t i = 0; i < s->events; i++) {
		const struct bpfast_event *ev = &s->event[i];

		if (ev->verdict != verdict || ev->reason != reason)
			continue;
		if (!text ||
		    (ev->text_len == strlen(text) && !memcmp(ev->text, text, ev->text_len)))
			return ev;
	}
	print_error("%s:%d: there is no record %s %s \"%s\"\n", file, line,
		    bf_verdict_word(verdict), bf_reason_word(reason), text ? text : "");
	tell(s, file, line);
	return NULL;
}
