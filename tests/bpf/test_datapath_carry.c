// SPDX-License-Identifier: Apache-2.0
/*
 * Flows of another layout. What that layout is like is made up here: types by
 * libbpf's writer for the copying by names, and for the rest our own under another
 * name, which a note may say to mean other things. Agents are killed at every step of
 * taking over; then the same, or the one before, starts again.
 */
#include "test_datapath_env.h"

#include <bpf/btf.h>
#include <signal.h>
#include <time.h>

#include "bpfast/retain.h"
#include "datapath/carry.h"
#include "datapath/members.h"

static struct bf_error err;

/* --- members by their names --- */

struct old {
	uint16_t narrow;
	uint8_t text[4];
	struct {
		uint32_t b, a;
	} in;
	uint64_t wide;
	uint32_t gone;
	uint32_t first;
};

struct new
{
	uint32_t first;
	uint32_t more;
	uint64_t narrow;
	struct {
		uint32_t a, b, c;
	} in;
	uint8_t text[8];
	uint16_t wide;
};

static struct btf *types(int *old, int *new)
{
	struct btf *btf = btf__new_empty();
	int u8, u16, u32, u64, text4, text8, in_old, in_new;

	assert_non_null(btf);
	u8 = btf__add_int(btf, "u8", 1, 0);
	u16 = btf__add_int(btf, "u16", 2, 0);
	u32 = btf__add_int(btf, "u32", 4, 0);
	u64 = btf__add_int(btf, "u64", 8, 0);
	text4 = btf__add_array(btf, u32, u8, 4);
	text8 = btf__add_array(btf, u32, u8, 8);
#define FIELD(type, t, m) assert_int_equal(btf__add_field(btf, #m, t, 8 * offsetof(type, m), 0), 0)
	in_old = btf__add_struct(btf, "in", 8);
	assert_int_equal(btf__add_field(btf, "b", u32, 0, 0), 0);
	assert_int_equal(btf__add_field(btf, "a", u32, 32, 0), 0);
	in_new = btf__add_struct(btf, "in", 12);
	assert_int_equal(btf__add_field(btf, "a", u32, 0, 0), 0);
	assert_int_equal(btf__add_field(btf, "b", u32, 32, 0), 0);
	assert_int_equal(btf__add_field(btf, "c", u32, 64, 0), 0);
	*old = btf__add_struct(btf, "old", sizeof(struct old));
	FIELD(struct old, u16, narrow);
	FIELD(struct old, text4, text);
	FIELD(struct old, in_old, in);
	FIELD(struct old, u64, wide);
	FIELD(struct old, u32, gone);
	FIELD(struct old, u32, first);
	*new = btf__add_struct(btf, "new", sizeof(struct new));
	FIELD(struct new, u32, first);
	FIELD(struct new, u32, more);
	FIELD(struct new, u64, narrow);
	FIELD(struct new, in_new, in);
	FIELD(struct new, text8, text);
	FIELD(struct new, u16, wide);
	return btf;
}

static void members_go_where_their_names_are(void **state)
{
	const char *const needed[] = {"first", "in.a", NULL}, *const lacking[] = {"in.c", NULL};
	struct old from = {.narrow = 0xfedc,
			   .text = "abc",
			   .in = {.a = 1, .b = 2},
			   .wide = 65535,
			   .gone = 9,
			   .first = 77};
	struct new to;
	struct bf_member m;
	struct bf_plan plan;
	const char *missing;
	int old, new;
	struct btf *btf = types(&old, &new);

	(void)state;
	assert_int_equal(
		bf_plan_make(&plan, btf, (uint32_t)old, btf, (uint32_t)new, needed, &missing), 0);
	memset(&to, 0xff, sizeof(to));
	assert_int_equal(bf_plan_run(&plan, &from, &to), 0);
	assert_int_equal(to.first, 77);
	assert_int_equal(to.more, 0);
	assert_int_equal(to.narrow, 0xfedc);
	assert_int_equal(to.in.a, 1);
	assert_int_equal(to.in.b, 2);
	assert_int_equal(to.in.c, 0);
	assert_memory_equal(to.text, "abc\0\0\0\0\0", 8);
	assert_int_equal(to.wide, 65535);
	from.wide = 65536;
	assert_int_equal(bf_plan_run(&plan, &from, &to), -ERANGE);
	bf_plan_free(&plan);

	assert_int_equal(
		bf_plan_make(&plan, btf, (uint32_t)old, btf, (uint32_t)new, lacking, &missing),
		-ENOENT);
	assert_string_equal(missing, "in.c");
	bf_plan_free(&plan);
	assert_true(bf_member_find(btf, (uint32_t)old, "in.a", &m));
	assert_int_equal(m.at, offsetof(struct old, in.a));
	assert_false(bf_member_find(btf, (uint32_t)old, "in.a.x", &m));
	assert_false(bf_member_find(btf, (uint32_t)old, "in.", &m));
	btf__free(btf);
}

/* --- flows --- */

#define HTTP (BPFAST_FF_HTTP | BPFAST_FF_SYN_ACKED | BPFAST_FF_SEEN_REPLY)
#define KEPT 3 /* chunks */

/* What of the clients' bytes an idle flow of each endpoint has judged. */
static uint32_t next[2] = {1000, 1000};

enum { IDLE, KEEPS, HEAD, BODY, PLAIN, UDP, FLOWS };

static struct bpfast_flow_key flow_key(uint16_t slot, int what)
{
	struct bpfast_flow_key key = {.local = {10, 0, 0, (uint8_t)slot},
				      .remote = {10, 0, 1, 1},
				      .local_port = htons(80),
				      .remote_port = htons((uint16_t)(1000 + what)),
				      .endpoint = slot,
				      .protocol = what == UDP ? 17 : 6};

	return key;
}

static uint64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void put(struct bf_datapath *dp, enum bf_map m, const void *key, const void *value)
{
	assert_int_equal(bpf_map_update_elem(dp->map[m], key, value, BPF_ANY), 0);
}

/* What an endpoint's programs might have left in their tables. */
static void put_flows(struct bf_datapath *dp, uint16_t slot)
{
	uint32_t first = (slot - 1u) * KEPT, zero = 0, key = slot, n = KEPT;
	struct bpfast_pool pool = {.fresh = 2 * KEPT};

	for (int what = 0; what < FLOWS; what++) {
		struct bpfast_flow_key k = flow_key(slot, what);
		struct bpfast_flow flow = {.seen_ns = now(), .generation = 1, .text_len = 5};

		flow.flags = what == UDP     ? 0
			     : what == PLAIN ? BPFAST_FF_SEEN_REPLY
					     : HTTP | BPFAST_FF_NO_TIMER;
		strcpy(flow.text, "GET /");
		if (flow.flags & BPFAST_FF_HTTP)
			flow.client.next = flow.client.first = 1000;
		flow.client.owner = what == BODY;
		flow.client.generation = flow.client.image_off = 4711;
		flow.server.acked = 900;
		if (what == HEAD)
			flow.client.state = BPFAST_STREAM_HEAD_LAST;
		if (what == BODY) {
			flow.client.state = BPFAST_STREAM_HEAD_LAST + 2;
			flow.client.body_left = 1ull << 40;
		}
		if (what == KEEPS)
			flow.held = first + 1;
		put(dp, BF_MAP_FLOW, &k, &flow);
		for (uint32_t i = 0; what == KEEPS && i < KEPT; i++) {
			struct bpfast_chunk chunk = {
				.owner = bpfast_chunk_tag(&k),
				.next = i + 1 < KEPT ? first + i + 2 : 0,
				.last = first + KEPT,
				.seq = 900 + i * 10,
				.len = 10,
				.count = KEPT,
				.endpoint = slot,
				.taken = 7,
			};
			uint32_t index = first + i;

			memset(chunk.data, 'a' + (int)i, 10);
			put(dp, BF_MAP_CHUNK, &index, &chunk);
		}
	}
	put(dp, BF_MAP_POOL, &zero, &pool);
	put(dp, BF_MAP_HELD, &key, &n);
}

static bool get_flow(struct bf_datapath *dp, uint16_t slot, int what, struct bpfast_flow *flow)
{
	struct bpfast_flow_key key = flow_key(slot, what);

	return bpf_map_lookup_elem(dp->map[BF_MAP_FLOW], &key, flow) == 0;
}

static void check_kept(struct bf_datapath *dp, uint16_t slot, const struct bpfast_flow *flow)
{
	struct bpfast_flow_key key = flow_key(slot, KEEPS);
	uint32_t link = flow->held, last = 0;

	for (uint32_t i = 0; i < KEPT; i++, last = link) {
		struct bpfast_chunk chunk;
		uint32_t index = (i ? last : link) - 1;

		assert_int_equal(bpf_map_lookup_elem(dp->map[BF_MAP_CHUNK], &index, &chunk), 0);
		assert_int_equal(chunk.owner, bpfast_chunk_tag(&key));
		assert_int_equal(chunk.seq, 900 + i * 10);
		assert_int_equal(chunk.len, 10);
		assert_int_equal(chunk.endpoint, slot);
		assert_int_equal(chunk.taken, 7);
		assert_int_equal(chunk.data[9], 'a' + (int)i);
		if (!i)
			assert_int_equal(chunk.count, KEPT);
		link = chunk.next;
	}
	assert_int_equal(link, 0);
}

/* All of it is there, and may be gone on with. */
static void check_flows(struct bf_datapath *dp, uint16_t slot)
{
	struct bpfast_flow flow;

	for (int what = 0; what < FLOWS; what++) {
		if (!get_flow(dp, slot, what, &flow))
			fail_msg("flow %d of slot %u is not there", what, slot);
		assert_string_equal(flow.text, "GET /");
		assert_int_equal(flow.text_len, 5);
		assert_int_equal(flow.server.acked, 900);
		if (flow.flags & BPFAST_FF_HTTP)
			assert_int_equal(flow.client.next, what == IDLE ? next[slot - 1] : 1000);
		if (what == KEEPS)
			check_kept(dp, slot, &flow);
		if (what == BODY)
			assert_int_equal(flow.client.body_left, 1ull << 40);
	}
}

/* --- an upgrade --- */

static struct bf_datapath *begin(bool force_clsact, bool adopted)
{
	struct bf_datapath *dp = dp_open(force_clsact, adopted);
	size_t len;

	if (!bf_datapath_image(dp, &len, NULL))
		assert_int_equal(install(dp, 20 << 10, 1, NULL, &err), 0);
	return dp;
}

static char layout[32]; /* our own's name */

/* An agent of another version was here. */
static void before(bool force_clsact, int a, int b)
{
	struct bf_datapath *dp = begin(force_clsact, false);

	dp_attach(dp, a, 1);
	dp_attach(dp, b, 2);
	put_flows(dp, 1);
	put_flows(dp, 2);
	snprintf(layout, sizeof(layout), "%s", dp->layout);
	bf_datapath_close(dp);
	sh("mv " PIN "/v1-* " PIN "/v0-other");
}

static int take_over(struct bf_datapath *dp, int a, int b)
{
	struct bf_datapath_endpoint list[] = {{a, {.slot = 1}}, {b, {.slot = 2}}};

	return bf_datapath_take_over(dp, list, 2, &err);
}

static void check_all(struct bf_datapath *dp, int a, int b)
{
	struct bf_datapath_status st;
	struct bpfast_endpoint e;
	const int ifindex[] = {a, b};

	assert_int_equal(bf_datapath_status(dp, &st), 0);
	assert_int_equal(st.endpoints_used, 2);
	assert_int_equal(st.endpoints_other_layout, 0);
	check_flows(dp, 1);
	check_flows(dp, 2);
	assert_int_equal(st.flows_used, 2 * FLOWS);
	assert_int_equal(st.chunks_used, 2 * KEPT);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(bpf_map_lookup_elem(dp->map[BF_MAP_ENDP],
						     &(uint32_t){(uint32_t)ifindex[i]}, &e),
				 0);
		assert_int_equal(e.flags, 0);
		assert_int_equal(e.slot, i + 1);
		assert_int_equal(bf_hooks_count(PIN, ifindex[i]), BF_DIRS);
	}
	sh("test $(ls -d " PIN "/v* | wc -l) = 1");
}

static void flows_are_carried_over(void **state)
{
	int a = veth("pod0"), b = veth("pod1");
	struct bf_datapath *dp;
	struct bf_datapath_status st;
	struct bpfast_flow flow;

	(void)state;
	for (int force_clsact = !bf_kernel_has_tcx(); force_clsact < 2; force_clsact++) {
		before(force_clsact, a, b);
		dp = begin(force_clsact, false);
		assert_int_equal(take_over(dp, a, b), 0);
		check_all(dp, a, b);
		assert_int_equal(bf_datapath_status(dp, &st), 0);
		assert_int_equal(st.carried.flows, 2 * FLOWS);
		assert_int_equal(st.carried.heads, 2);
		assert_int_equal(st.carried.lost, 0);
		for (int what = 0; what < FLOWS; what++) {
			assert_true(get_flow(dp, 1, what, &flow));
			assert_int_equal(flow.generation, 0);
			assert_int_equal(flow.client.owner, 0);
			if (flow.flags & BPFAST_FF_HTTP)
				assert_int_equal(flow.client.generation, 0);
		}
		bf_datapath_close(dp);
		dp_down();
	}
	veth_gone("pod0");
	veth_gone("pod1");
}

/* The other version's sweep gives a flow's first chunk back while it is copied: first the chunk, then the flow says so. */
static bool chunk_gone, flow_says_so;

static void sweep_slot_1(bool whole)
{
	int flows = bpf_obj_get(PIN "/v0-other/maps/bpfast_flow");
	int chunks = bpf_obj_get(PIN "/v0-other/maps/bpfast_chunk");
	struct bpfast_flow_key key = flow_key(1, KEEPS);
	struct bpfast_chunk chunk;
	struct bpfast_flow flow;
	uint32_t index;

	assert_int_equal(bpf_map_lookup_elem(flows, &key, &flow), 0);
	index = flow.held - 1;
	assert_int_equal(bpf_map_lookup_elem(chunks, &index, &chunk), 0);
	chunk.owner = 0;
	flow.held = chunk.next;
	if (!chunk_gone)
		assert_int_equal(bpf_map_update_elem(chunks, &index, &chunk, BPF_ANY), 0);
	chunk_gone = true;
	if (whole)
		assert_int_equal(bpf_map_update_elem(flows, &key, &flow, BPF_ANY), 0);
	flow_says_so = whole;
	close(flows);
	close(chunks);
}

static void sweep_now(const char *step)
{
	if (!strcmp(step, "chunks copied") && !flow_says_so)
		sweep_slot_1(true);
}

static void swept_meanwhile(void **state)
{
	int a = veth("pod0"), b = veth("pod1");
	struct bpfast_flow_key key = flow_key(1, KEEPS);
	struct bf_datapath_status st;
	struct bpfast_chunk chunk;
	struct bf_datapath *dp;
	struct bpfast_flow flow;
	uint32_t index;

	(void)state;
	/* While it is copied, and with the chunk gone before the first look. */
	for (int before_the_look = 0; before_the_look < 2; before_the_look++) {
		before(false, a, b);
		dp = begin(false, false);
		chunk_gone = flow_says_so = false;
		if (before_the_look)
			sweep_slot_1(false);
		bf_datapath_step_hook = sweep_now;
		assert_int_equal(take_over(dp, a, b), 0);
		bf_datapath_step_hook = NULL;
		assert_true(flow_says_so);
		assert_int_equal(bf_datapath_status(dp, &st), 0);
		assert_int_equal(st.carried.flows, 2 * FLOWS);
		assert_int_equal(st.carried.lost, 0);
		assert_int_equal(st.chunks_used, 2 * KEPT - 1);
		assert_true(get_flow(dp, 2, KEEPS, &flow));
		check_kept(dp, 2, &flow);
		assert_true(get_flow(dp, 1, KEEPS, &flow));
		index = flow.held - 1;
		assert_int_equal(bpf_map_lookup_elem(dp->map[BF_MAP_CHUNK], &index, &chunk), 0);
		assert_int_equal(chunk.owner, bpfast_chunk_tag(&key));
		assert_int_equal(chunk.seq, 910);
		assert_int_equal(chunk.count, KEPT - 1);
		bf_datapath_close(dp);
		dp_down();
	}
	veth_gone("pod0");
	veth_gone("pod1");
}

/* Writes a word of the other layout's note: 2 is what flows mean, 3 what streams do. */
static void note_says(int word, uint32_t value)
{
	struct bpf_map_info info = {0};
	uint32_t len = sizeof(info), zero = 0, *note;
	int fd = bpf_obj_get(PIN "/v0-other/maps/bpfast_layout");

	assert_true(fd >= 0);
	assert_int_equal(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	note = malloc(info.value_size);
	assert_non_null(note);
	assert_int_equal(bpf_map_lookup_elem(fd, &zero, note), 0);
	note[word] = value;
	assert_int_equal(bpf_map_update_elem(fd, &zero, note, BPF_ANY), 0);
	free(note);
	close(fd);
}

/* The parser's states mean something else: who is between two messages goes on. */
static void other_streams(void **state)
{
	int a = veth("pod0"), b = veth("pod1");
	struct bf_datapath *dp;
	struct bf_datapath_status st;
	struct bpfast_flow flow;

	(void)state;
	before(false, a, b);
	note_says(3, 77);
	dp = begin(false, false);
	assert_int_equal(take_over(dp, a, b), 0);
	assert_int_equal(bf_datapath_status(dp, &st), 0);
	assert_int_equal(st.carried.flows, 2 * (FLOWS - 2));
	assert_int_equal(st.carried.lost, 2 * 2);
	assert_int_equal(st.chunks_used, 2 * KEPT);
	assert_true(get_flow(dp, 1, IDLE, &flow) && get_flow(dp, 1, PLAIN, &flow));
	assert_true(get_flow(dp, 2, KEEPS, &flow));
	check_kept(dp, 2, &flow);
	assert_int_equal(flow.client.next, 1000);
	assert_int_equal(flow.server.acked, 900);
	assert_false(get_flow(dp, 1, HEAD, &flow) || get_flow(dp, 1, BODY, &flow));
	bf_datapath_close(dp);
	dp_down();
	veth_gone("pod0");
	veth_gone("pod1");
}

/* Nothing is known of what its flows mean, or what they are like: they are lost, and counted. */
static void other_flows(void **state)
{
	int a = veth("pod0"), b = veth("pod1");
	struct bf_datapath *dp;
	struct bf_datapath_status st;

	(void)state;
	for (int no_note = 0; no_note < 2; no_note++) {
		before(false, a, b);
		if (no_note)
			sh("rm " PIN "/v0-other/maps/bpfast_layout");
		else
			note_says(2, 77);
		dp = begin(false, false);
		assert_int_equal(take_over(dp, a, b), 0);
		assert_int_equal(bf_datapath_status(dp, &st), 0);
		assert_int_equal(st.carried.flows, 0);
		assert_int_equal(st.carried.lost, 2 * FLOWS);
		assert_int_equal(st.flows_used, 0);
		assert_int_equal(st.chunks_used, 0);
		assert_int_equal(st.endpoints_used, 2);
		assert_int_equal(st.endpoints_other_layout, 0);
		bf_datapath_close(dp);
		dp_down();
	}
	veth_gone("pod0");
	veth_gone("pod1");
}

/* Half carried over, and then nobody knows who it is: what was copied goes. */
static void nobodys_after_all(void **state)
{
	int a = veth("pod0"), b = veth("pod1");
	struct bf_datapath_endpoint nobody = {a, {.slot = UINT16_MAX}};
	struct bpfast_endpoint e = {.slot = 1, .flags = BPFAST_EPF_CARRYING};
	uint32_t key = (uint32_t)a;
	struct bf_datapath_status st;
	struct bf_datapath *dp;

	(void)state;
	before(false, a, b);
	dp = begin(false, false);
	assert_int_equal(take_over(dp, a, b), 0);
	put(dp, BF_MAP_ENDP, &key, &e);
	assert_int_equal(bf_datapath_take_over(dp, &nobody, 1, &err), 0);
	assert_int_equal(bf_datapath_status(dp, &st), 0);
	assert_int_equal(st.flows_used, FLOWS);
	assert_int_equal(st.chunks_used, KEPT);
	assert_int_equal(bpf_map_lookup_elem(dp->map[BF_MAP_ENDP], &key, &e), 0);
	assert_int_equal(e.slot, UINT16_MAX);
	assert_int_equal(e.flags, 0);
	check_flows(dp, 2);
	bf_datapath_close(dp);
	dp_down();
	veth_gone("pod0");
	veth_gone("pod1");
}

/* As many as fit: how long packets wait is printed, and bounded. */
static void a_hundred_thousand(void **state)
{
	const uint32_t many = 100000;
	struct bf_datapath_options o = {.pin_dir = PIN, .arena_bytes = 64 << 10, .chunks = 64};
	struct bf_datapath_endpoint one = {(int)0, {.slot = 1}};
	struct bpfast_flow_key *keys = calloc(many, sizeof(*keys));
	struct bpfast_flow *flows = calloc(many, sizeof(*flows));
	struct bf_datapath_status st;
	struct bf_datapath *dp;
	uint32_t n = many;

	(void)state;
	one.ifindex = veth("pod0");
	assert_int_equal(bf_datapath_open(&o, &dp, NULL, &err), 0);
	assert_int_equal(install(dp, 20 << 10, 1, NULL, &err), 0);
	dp_attach(dp, one.ifindex, 1);
	for (uint32_t i = 0; i < many; i++) {
		keys[i] = flow_key(1, IDLE);
		memcpy(keys[i].remote, &i, sizeof(i));
		flows[i] = (struct bpfast_flow){.seen_ns = now(), .flags = HTTP};
	}
	assert_int_equal(bpf_map_update_batch(dp->map[BF_MAP_FLOW], keys, flows, &n, NULL), 0);
	bf_datapath_close(dp);
	sh("mv " PIN "/v1-* " PIN "/v0-other");
	assert_int_equal(bf_datapath_open(&o, &dp, NULL, &err), 0);
	assert_int_equal(install(dp, 20 << 10, 1, NULL, &err), 0);
	assert_int_equal(bf_datapath_take_over(dp, &one, 1, &err), 0);
	assert_int_equal(bf_datapath_status(dp, &st), 0);
	assert_int_equal(st.flows_used, many);
	assert_int_equal(st.carried.flows, many);
	print_message("           %u flows in %u ms\n", many, st.carried.waited_ms);
	assert_in_range(st.carried.waited_ms, 0, 10000);
	bf_datapath_close(dp);
	dp_down();
	veth_gone("pod0");
	free(keys);
	free(flows);
}

/* --- killed --- */

#define WORKERS 4
static int worker;
static int steps_left;
static char last_step[64];
static int told;

static void die_here(const char *step)
{
	if (--steps_left > 0)
		return;
	if (write(told, step, strlen(step)) >= 0)
		kill(getpid(), SIGKILL);
}

/* No cmocka in here: it is the child. */
static void new_agents_life(bool force_clsact, int a, int b)
{
	struct bf_datapath_options o = {.pin_dir = PIN,
					.flows = 1024,
					.arena_bytes = 64 << 10,
					.chunks = 64,
					.force_clsact = force_clsact};
	struct bf_datapath *dp;

	if (bf_datapath_open(&o, &dp, NULL, &err) || install(dp, 20 << 10, 1, NULL, &err) ||
	    take_over(dp, a, b))
		_exit(1);
	_exit(0);
}

static int pinned(const char *map)
{
	char path[BF_PATH];

	assert_int_equal(bf_pins_path(path, PIN, layout, "maps", map), 0);
	return bpf_obj_get(path);
}

/* Where the dead agent was done with an endpoint, its connections have gone on since. */
static void go_on(int a, int b)
{
	int endp = pinned("bpfast_endp"), table = pinned("bpfast_flow");
	const uint32_t ifindex[] = {(uint32_t)a, (uint32_t)b};

	for (uint16_t i = 0; i < 2; i++) {
		struct bpfast_flow_key key = flow_key((uint16_t)(i + 1), IDLE);
		struct bpfast_endpoint e;
		struct bpfast_flow flow;

		next[i] = 1000;
		if (endp < 0 || bpf_map_lookup_elem(endp, &ifindex[i], &e) ||
		    e.flags & BPFAST_EPF_CARRYING)
			continue;
		assert_int_equal(bpf_map_lookup_elem(table, &key, &flow), 0);
		flow.client.next = next[i] = 2000;
		assert_int_equal(bpf_map_update_elem(table, &key, &flow, BPF_EXIST), 0);
	}
	if (endp >= 0)
		close(endp);
	if (table >= 0)
		close(table);
}

/* The version before comes back: its layout gets the name that ours has. */
static void roll_back(void)
{
	sh("cd " PIN "; rm -rf unfinished; [ ! -d %s ] || mv %s v0-new; "
	   "[ ! -d v0-other ] || mv v0-other %s",
	   layout, layout, layout);
}

static struct bf_datapath *next_agent(bool force_clsact)
{
	struct bf_datapath_options o = {.pin_dir = PIN,
					.flows = 1024,
					.arena_bytes = 64 << 10,
					.chunks = 64,
					.force_clsact = force_clsact};
	struct bf_datapath *dp;
	size_t len;

	if (bf_datapath_open(&o, &dp, NULL, &err))
		fail_msg("after a death at '%s': %s", last_step, err.msg);
	if (!bf_datapath_image(dp, &len, NULL))
		assert_int_equal(install(dp, 20 << 10, 1, NULL, &err), 0);
	return dp;
}

static void killed_at_every_step(bool force_clsact)
{
	static char plain[4096], after[4096];
	int a = veth("pod0"), b = veth("pod1"), deaths = 0;

	snapshot_device(plain, sizeof(plain), a);
	for (int n = 1 + worker;; n += WORKERS, deaths++) {
		struct bf_datapath *dp;
		int status, fds[2];
		ssize_t len;
		pid_t pid;

		before(force_clsact, a, b);
		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			steps_left = n;
			told = fds[1];
			bf_datapath_step_hook = die_here;
			new_agents_life(force_clsact, a, b);
		}
		assert_true(pid > 0);
		close(fds[1]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		len = read(fds[0], last_step, sizeof(last_step) - 1);
		last_step[len > 0 ? len : 0] = '\0';
		close(fds[0]);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			break;
		}
		for (int i = 0; i < 2; i++)
			if (bf_hooks_count(PIN, i ? b : a) != BF_DIRS)
				fail_msg("after a death at '%s' %s is open", last_step,
					 i ? "pod1" : "pod0");
		go_on(a, b);
		if (n % 2 == force_clsact)
			roll_back();
		dp = next_agent(force_clsact);
		if (take_over(dp, a, b))
			fail_msg("after a death at '%s': %s", last_step, err.msg);
		check_all(dp, a, b);
		bf_datapath_close(dp);
		dp_down();
		snapshot_device(after, sizeof(after), a);
		assert_string_equal(plain, after);
	}
	dp_down();
	assert_in_range(deaths, 10, 40);
	print_message("           killed %d times\n", deaths);
	veth_gone("pod0");
	veth_gone("pod1");
}

static void killed_tcx(void **state)
{
	(void)state;
	NEED_TCX();
	killed_at_every_step(false);
}

static void killed_clsact(void **state)
{
	(void)state;
	killed_at_every_step(true);
}

static int enter(void **state)
{
	bf_carry_group = 1; /* so that one endpoint is here while the other is there */
	return env_enter_stubbed(state);
}

static int work(int number)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(members_go_where_their_names_are),
		cmocka_unit_test(flows_are_carried_over),
		cmocka_unit_test(swept_meanwhile),
		cmocka_unit_test(other_streams),
		cmocka_unit_test(other_flows),
		cmocka_unit_test(nobodys_after_all),
		cmocka_unit_test(a_hundred_thousand),
		cmocka_unit_test(killed_tcx),
		cmocka_unit_test(killed_clsact),
	};
	size_t n = sizeof(tests) / sizeof(tests[0]), skip = number ? n - 2 : 0;
	char name[64];

	worker = number;
	snprintf(name, sizeof(name), "datapath carry, worker %d of %d", number + 1, WORKERS);
	return _cmocka_run_group_tests(name, tests + skip, n - skip, enter, NULL);
}

int main(void)
{
	return share_work(WORKERS, work);
}
