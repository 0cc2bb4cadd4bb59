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
	uint32_t generation;
	struct bf_error err;

	assert_int_equal(install(dp, 4096, 7, &generation, &err), 0);
	assert_int_equal(generation, 1);
	bf_datapath_control(dp)->tcp_idle_s = 17;
	dp_attach(dp, ifindex, 3);
	bf_datapath_close(dp);

	dp = dp_open(force_clsact, true);
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
	adoption(false);
}

static void adoption_clsact(void **state)
{
	(void)state;
	adoption(true);
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
		struct bf_datapath *dp = dp_open(cases[i].force_clsact, false);

		dp_attach(dp, ifindex, 1);
		bf_datapath_close(dp);
		sh("rm %s", cases[i].gone);
		dp_down();
		snapshot(after, sizeof(after));
		assert_string_equal(before, after);
	}
	veth_gone("pod0");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guards_tcx),	    cmocka_unit_test(guards_clsact),
		cmocka_unit_test(defaults_are_set), cmocka_unit_test(adoption_tcx),
		cmocka_unit_test(adoption_clsact),  cmocka_unit_test(down_with_half_of_it_gone),
	};

	return cmocka_run_group_tests_name("datapath", tests, env_enter, NULL);
}
