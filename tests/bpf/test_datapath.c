// SPDX-License-Identifier: Apache-2.0
/* The life of a datapath: open, attach, install, adopt, detach, down. */
#include "test_datapath_env.h"

/* A frame that the pod sends reaches nobody behind us while there is no policy. */
static void guards(bool force_clsact)
{
	int ifindex = veth("pod0"), peer = (int)if_nametoindex("pod0p");
	struct other behind = other_make("behind");
	struct bf_datapath_status st;
	struct bf_datapath *dp;

	sh("tc qdisc add dev pod0 clsact");
	other_filter(ifindex, BF_FROM_POD, &behind, 10, 1);
	send_frame(peer);
	assert_int_equal(other_count(&behind), 1);

	dp = dp_open(force_clsact, false);
	dp_attach(dp, ifindex, 3);
	assert_true(is_attached(dp, ifindex));
	assert_int_equal(bf_datapath_status(dp, &st), 0);
	assert_string_equal(st.hook, force_clsact ? "clsact" : "tcx");
	assert_int_equal(st.endpoints_used, 1);
	assert_int_equal(st.flows_max, 1024);
	assert_int_equal(st.arena_bytes, 64 << 10);
	assert_int_equal(st.generation, 0);
	send_frame(peer);
	assert_int_equal(other_count(&behind), 1);

	dp_detach(dp, ifindex);
	assert_false(is_attached(dp, ifindex));
	dp_detach(dp, ifindex);
	send_frame(peer);
	assert_int_equal(other_count(&behind), 2);
	bf_datapath_close(dp);
	dp_down();
	dp_down();
	other_close(&behind);
	veth_gone("pod0");
}

static void guards_tcx(void **state)
{
	(void)state;
	NEED_TCX();
	guards(false);
}

static void guards_clsact(void **state)
{
	(void)state;
	guards(true);
}

static void defaults_are_set(void **state)
{
	struct bf_datapath *dp = dp_open(false, false);
	struct bpfast_control *c = bf_datapath_control(dp);
	struct bpfast_metrics m;

	(void)state;
	assert_int_equal(c->root, 0);
	assert_int_equal(c->oldest_generation, 1);
	assert_int_equal(c->records_per_second, 1000);
	assert_int_equal(c->tcp_idle_s, 21600);
	assert_int_equal(c->other_idle_s, 120);
	assert_int_equal(c->closed_s, 10);
	assert_int_equal(c->denied_s, 120);
	assert_int_equal(bf_datapath_metrics(dp, &m), 0);
	assert_int_equal(m.flows_created, 0);
	bf_datapath_close(dp);
	dp_down();
}

static void adoption(bool force_clsact)
{
	int ifindex = veth("pod0");
	struct bf_datapath *dp = dp_open(force_clsact, false);
	uint32_t generation, ids[BF_DIRS];
	struct bf_error err;

	assert_int_equal(install(dp, 4096, 7, &generation, &err), 0);
	assert_int_equal(generation, 1);
	bf_datapath_control(dp)->tcp_idle_s = 17;
	dp_attach(dp, ifindex, 3);
	memcpy(ids, dp->prog_id, sizeof(ids));
	bf_datapath_close(dp);

	/* The same build: the programs need not be verified once more. */
	dp = dp_open(force_clsact, true);
	assert_memory_equal(ids, dp->prog_id, sizeof(ids));
	assert_true(is_attached(dp, ifindex));
	bf_datapath_close(dp);

	another_build();
	dp = dp_open(force_clsact, true);
	assert_int_not_equal(ids[0], dp->prog_id[0]);
	assert_int_not_equal(ids[1], dp->prog_id[1]);
	sh("test $(ls " PIN "/v*/progs | wc -l) = 2");
	assert_true(is_attached(dp, ifindex));
	assert_image(dp, 4096, 7);
	assert_int_equal(bf_datapath_control(dp)->tcp_idle_s, 17);
	assert_int_equal(install(dp, 4096, 8, &generation, &err), 0);
	assert_int_equal(generation, 2);
	bf_datapath_close(dp);
	dp_down();
	veth_gone("pod0");
}

static void adoption_tcx(void **state)
{
	(void)state;
	NEED_TCX();
	adoption(false);
}

static void adoption_clsact(void **state)
{
	(void)state;
	adoption(true);
}

/* Writes a record to the ring, as the kernel side does, without waking anybody. */
static void write_record(struct bf_datapath *dp)
{
	enum { SIZE = sizeof(struct bpfast_event) };
	struct bpf_insn insns[SIZE / 8 + 16];
	uint8_t frame[64] = {0};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame));
	size_t n = 0;
	int prog;

#define I(...)                                                                                     \
	insns[n++] = (struct bpf_insn)                                                             \
	{                                                                                          \
		__VA_ARGS__                                                                        \
	}
	/* The event on the stack: the time, then zeroes; r0 = ringbuf_output(map, event, SIZE, 1). */
	for (int at = -SIZE + 8; at < 0; at += 8)
		I(.code = BPF_ST | BPF_MEM | BPF_DW, .dst_reg = 10, .off = (int16_t)at);
	I(.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ktime_get_ns);
	I(.code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = 10, .src_reg = 0, .off = -SIZE);
	I(.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = 1, .src_reg = BPF_PSEUDO_MAP_FD,
	  .imm = dp->map[BF_MAP_EVENTS]);
	I(0);
	I(.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = 10);
	I(.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -SIZE);
	I(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 3, .imm = SIZE);
	I(.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 4, .imm = BPF_RB_NO_WAKEUP);
	I(.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_ringbuf_output);
	I(.code = BPF_JMP | BPF_EXIT);
#undef I
	prog = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, "record", "GPL", insns, n, NULL);
	assert_true(prog >= 0);
	assert_int_equal(bpf_prog_test_run_opts(prog, &run), 0);
	assert_int_equal(run.retval, 0);
	close(prog);
}

static void on_event(void *arg, const struct bpfast_event *ev)
{
	uint64_t *last = arg;

	assert_true(ev->time_ns > *last);
	*last = ev->time_ns;
}

static void records_outlive_the_agent(void **state)
{
	struct bf_datapath *dp = dp_open(false, false);
	uint64_t last = 0, read;

	(void)state;
	assert_int_equal(bf_datapath_events(dp, on_event, &last), 0);
	write_record(dp);
	write_record(dp);
	assert_int_equal(bf_datapath_events(dp, on_event, &last), 2);
	assert_int_equal(bf_datapath_events(dp, on_event, &last), 0);
	assert_true(bf_datapath_events_fd(dp) >= 0);
	write_record(dp);
	bf_datapath_close(dp);
	dp = dp_open(false, true);
	read = last;
	assert_int_equal(bf_datapath_events(dp, on_event, &last), 1);
	assert_true(last > read);
	bf_datapath_close(dp);
	dp_down();
}

static void metrics_are_summed_over_cpus(void **state)
{
	struct bf_datapath *dp = dp_open(false, false);
	int cpus = libbpf_num_possible_cpus();
	struct bpfast_metrics *all = calloc((size_t)cpus, sizeof(*all)), sum;
	uint32_t zero = 0;

	(void)state;
	assert_non_null(all);
	for (int i = 0; i < cpus; i++) {
		all[i].packets[BPFAST_INGRESS] = 1;
		all[i].helper_errors = (uint64_t)i + 1;
	}
	assert_int_equal(bpf_map_update_elem(dp->map[BF_MAP_METRICS], &zero, all, BPF_ANY), 0);
	assert_int_equal(bf_datapath_metrics(dp, &sum), 0);
	assert_int_equal(sum.packets[BPFAST_INGRESS], cpus);
	assert_int_equal(sum.packets[BPFAST_EGRESS], 0);
	assert_int_equal(sum.helper_errors, cpus * (cpus + 1) / 2);
	free(all);
	bf_datapath_close(dp);
	dp_down();
}

/* Some of the pins were removed by hand: what is left says what is ours. */
static void down_with_half_of_it_gone(void **state)
{
	static char before[16384], after[16384];
	static const struct {
		bool force_clsact;
		const char *gone;
	} cases[] = {
		{true, PIN "/v*/progs/*"},
		{true, PIN "/v*/maps/*"},
		{false, PIN "/v*/progs/* " PIN "/v*/maps/*"},
		{false, PIN "/v*/links/*_to"},
	};
	int ifindex = veth("pod0");

	(void)state;
	snapshot(before, sizeof(before));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct bf_datapath *dp;

		if (!cases[i].force_clsact && !bf_kernel_has_tcx())
			continue;
		dp = dp_open(cases[i].force_clsact, false);
		dp_attach(dp, ifindex, 1);
		bf_datapath_close(dp);
		sh("rm %s", cases[i].gone);
		dp_down();
		snapshot(after, sizeof(after));
		assert_string_equal(before, after);
	}
	veth_gone("pod0");
}

/* The programs as they are: the kernel takes them, and adoption works with them. */
static void the_real_programs(void **state)
{
	int ifindex = veth("pod0"), peer = (int)if_nametoindex("pod0p");
	struct bf_datapath *dp = dp_open(false, false);
	struct bpfast_metrics m;
	uint64_t dropped = 0;

	(void)state;
	dp_attach(dp, ifindex, 3);
	send_frame(peer);
	assert_int_equal(bf_datapath_metrics(dp, &m), 0);
	for (int r = 0; r < BPFAST_R_COUNT; r++)
		dropped += m.dropped[BPFAST_EGRESS][r];
	assert_int_equal(dropped, 1);
	bf_datapath_close(dp);
	another_build();
	dp = dp_open(false, true);
	assert_true(is_attached(dp, ifindex));
	send_frame(peer);
	assert_int_equal(bf_datapath_metrics(dp, &m), 0);
	for (int r = 0; r < BPFAST_R_COUNT; r++)
		dropped += m.dropped[BPFAST_EGRESS][r];
	assert_int_equal(dropped, 3);
	bf_datapath_close(dp);
	dp_down();
	veth_gone("pod0");
}

int main(void)
{
	const struct CMUnitTest real[] = {
		cmocka_unit_test(the_real_programs),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guards_tcx),
		cmocka_unit_test(guards_clsact),
		cmocka_unit_test(defaults_are_set),
		cmocka_unit_test(adoption_tcx),
		cmocka_unit_test(adoption_clsact),
		cmocka_unit_test(records_outlive_the_agent),
		cmocka_unit_test(metrics_are_summed_over_cpus),
		cmocka_unit_test(down_with_half_of_it_gone),
	};
	int failed = cmocka_run_group_tests_name("datapath, real programs", real, env_enter, NULL);

	return failed + cmocka_run_group_tests_name("datapath", tests, use_stubs, NULL);
}
