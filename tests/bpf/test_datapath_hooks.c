// SPDX-License-Identifier: Apache-2.0
/* Hooks among other people's: order, survival, restoration, adoption without a gap; and errors. */
#include "test_datapath_env.h"

#include <cap-ng.h>
#include <signal.h>
#include <sys/stat.h>

#include "bpfast/flow.h"

static struct bf_error err;
static char before[16384], after[16384];

/* The ids on a TCX hook are exactly these, in this order. */
static void assert_chain(int ifindex, enum bf_dir dir, const uint32_t *want, int n)
{
	uint32_t ids[64];

	assert_int_equal(bf_tcx_query(ifindex, dir, ids, 64), n);
	for (int i = 0; i < n; i++)
		assert_int_equal(ids[i], want[i]);
}

static void assert_filters(int ifindex, enum bf_dir dir, const uint32_t *want, int n)
{
	struct bf_tc_filter *list;

	assert_int_equal(bf_tc_filters(ifindex, dir, &list), n);
	for (int i = 0; i < n; i++)
		assert_int_equal(list[i].prog_id, want[i]);
	free(list);
}

static void tcx_order_among_others(void **state)
{
	int ifindex;
	struct other first, last;
	uint32_t f, l;
	struct bf_datapath *dp;
	char name[64];
	int link[2][BF_DIRS];

	(void)state;
	NEED_TCX();
	ifindex = veth("pod0");
	first = other_make("first");
	last = other_make("last");
	f = bf_prog_id(first.prog);
	l = bf_prog_id(last.prog);
	dp = dp_open(false, false);
	for (int dir = 0; dir < BF_DIRS; dir++)
		link[0][dir] = bf_tcx_link_create(last.prog, ifindex, dir, 0);
	snapshot(before, sizeof(before));
	dp_attach(dp, ifindex, 1);
	for (int dir = 0; dir < BF_DIRS; dir++)
		assert_chain(ifindex, dir, (uint32_t[]){dp->prog_id[dir], l}, 2);
	assert_int_equal(bf_datapath_precedes(dp, ifindex, name, sizeof(name)), 0);
	assert_string_equal(name, "");
	dp_detach(dp, ifindex);
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);

	dp_attach(dp, ifindex, 1);
	for (int dir = 0; dir < BF_DIRS; dir++)
		link[1][dir] = bf_tcx_link_create(first.prog, ifindex, dir, 0);
	assert_int_equal(bf_datapath_precedes(dp, ifindex, name, sizeof(name)), 0);
	assert_string_equal(name, "first");
	bf_datapath_close(dp);
	another_build();
	dp = dp_open(false, true);
	for (int dir = 0; dir < BF_DIRS; dir++)
		assert_chain(ifindex, dir, (uint32_t[]){f, dp->prog_id[dir], l}, 3);
	bf_datapath_close(dp);
	dp_down();
	for (int dir = 0; dir < BF_DIRS; dir++) {
		assert_chain(ifindex, dir, (uint32_t[]){f, l}, 2);
		close(link[0][dir]);
		close(link[1][dir]);
	}
	other_close(&first);
	other_close(&last);
	veth_gone("pod0");
}

static void clsact_order_among_others(void **state)
{
	int ifindex = veth("pod0");
	struct other behind = other_make("behind"), same = other_make("same");
	uint32_t b = bf_prog_id(behind.prog), s = bf_prog_id(same.prog);
	struct bf_datapath *dp = dp_open(true, false);
	char name[64];

	(void)state;
	sh("tc qdisc add dev pod0 clsact");
	for (int dir = 0; dir < BF_DIRS; dir++) {
		other_filter(ifindex, dir, &behind, 10, 1);
		other_filter(ifindex, dir, &same, 1, 1);
	}
	snapshot(before, sizeof(before));
	dp_attach(dp, ifindex, 1);
	for (int dir = 0; dir < BF_DIRS; dir++)
		assert_filters(ifindex, dir, (uint32_t[]){dp->prog_id[dir], s, b}, 3);
	assert_int_equal(bf_datapath_precedes(dp, ifindex, name, sizeof(name)), 0);
	assert_string_equal(name, "");
	bf_datapath_close(dp);
	another_build();
	dp = dp_open(true, true);
	for (int dir = 0; dir < BF_DIRS; dir++)
		assert_filters(ifindex, dir, (uint32_t[]){dp->prog_id[dir], s, b}, 3);
	dp_detach(dp, ifindex);
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);
	bf_datapath_close(dp);
	dp_down();
	other_close(&behind);
	other_close(&same);
	veth_gone("pod0");
}

static void clsact_another_kind_holds_our_priority(void **state)
{
	int ifindex = veth("pod0");
	struct bf_datapath *dp = dp_open(true, false);
	struct bf_tc_filter *list;
	char name[64];
	int n;

	(void)state;
	sh("tc qdisc add dev pod0 clsact");
	sh("tc filter add dev pod0 ingress protocol ip prio 1 u32 match u32 0 0 classid 1:1");
	snapshot(before, sizeof(before));
	dp_attach(dp, ifindex, 1);
	n = bf_tc_filters(ifindex, BF_FROM_POD, &list);
	assert_true(n > 1);
	assert_int_equal(list[n - 1].prog_id, dp->prog_id[BF_FROM_POD]);
	assert_int_equal(list[n - 1].priority, 2);
	free(list);
	assert_int_equal(bf_datapath_precedes(dp, ifindex, name, sizeof(name)), 0);
	assert_string_equal(name, "u32");
	bf_datapath_close(dp);
	dp_down();
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);
	veth_gone("pod0");
}

/* The qdisc goes with us when we made it and nobody else uses it. */
static void clsact_qdisc_ownership(void **state)
{
	int ifindex = veth("pod0");
	struct other o = other_make("guest");
	struct bf_datapath *dp = dp_open(true, false);
	enum bf_qdisc qdisc;

	(void)state;
	snapshot(before, sizeof(before));
	dp_attach(dp, ifindex, 1);
	assert_int_equal(bf_tc_qdisc(ifindex, &qdisc), 0);
	assert_int_equal(qdisc, BF_QDISC_CLSACT);
	dp_detach(dp, ifindex);
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);

	/* A guest moved in meanwhile. */
	dp_attach(dp, ifindex, 1);
	other_filter(ifindex, BF_TO_POD, &o, 5, 1);
	dp_detach(dp, ifindex);
	assert_filters(ifindex, BF_TO_POD, (uint32_t[]){bf_prog_id(o.prog)}, 1);
	assert_filters(ifindex, BF_FROM_POD, NULL, 0);

	/* Now the qdisc is not ours any more. */
	sh("tc filter del dev pod0 egress");
	dp_attach(dp, ifindex, 1);
	bf_datapath_close(dp);
	dp_down();
	assert_int_equal(bf_tc_qdisc(ifindex, &qdisc), 0);
	assert_int_equal(qdisc, BF_QDISC_CLSACT);
	other_close(&o);
	veth_gone("pod0");
}

/* Two devices, one of them gone meanwhile, and no agent: down leaves nothing. */
static void down_restores(bool force_clsact)
{
	struct bf_datapath *dp;
	int a, b;

	a = veth("pod0");
	snapshot(before, sizeof(before));
	b = veth("pod1");
	dp = dp_open(force_clsact, false);
	dp_attach(dp, a, 1);
	dp_attach(dp, b, 2);
	assert_int_equal(install(dp, 4096, 1, NULL, &err), 0);
	bf_datapath_close(dp);
	veth_gone("pod1");
	dp_down();
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);
	veth_gone("pod0");
}

static void down_restores_tcx(void **state)
{
	(void)state;
	NEED_TCX();
	down_restores(false);
}

static void down_restores_clsact(void **state)
{
	(void)state;
	down_restores(true);
}

/* Somebody at the end of the chain, behind a hook that drops all, sees nothing, ever. */
static void adoption_without_a_gap(bool force_clsact)
{
	int ifindex = veth("pod0"), peer = (int)if_nametoindex("pod0p");
	struct other behind = other_make("behind"), sent = other_make("sent");
	struct bf_datapath *dp = dp_open(force_clsact, false);
	pid_t pid;

	sh("tc qdisc add dev pod0 clsact");
	sh("tc qdisc add dev pod0p clsact");
	other_filter(ifindex, BF_FROM_POD, &behind, 10, 1);
	other_filter(peer, BF_TO_POD, &sent, 10, 1);
	dp_attach(dp, ifindex, 1);
	bf_datapath_close(dp);
	pid = fork();
	if (pid == 0) {
		for (;;)
			send_frame(peer);
	}
	for (int i = 0; i < 4; i++) {
		another_build();
		bf_datapath_close(dp_open(force_clsact, true));
	}
	/* And from one kind of hook to the other and back. */
	bf_datapath_close(dp_open(!force_clsact, true));
	bf_datapath_close(dp_open(force_clsact, true));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	assert_true(other_count(&sent) > 50);
	assert_int_equal(other_count(&behind), 0);
	dp_down();
	send_frame(peer);
	assert_int_equal(other_count(&behind), 1);
	other_close(&behind);
	other_close(&sent);
	veth_gone("pod0");
}

static void adoption_without_a_gap_tcx(void **state)
{
	(void)state;
	NEED_TCX();
	adoption_without_a_gap(false);
}

static void adoption_without_a_gap_clsact(void **state)
{
	(void)state;
	adoption_without_a_gap(true);
}

static void put_flow(struct bf_datapath *dp, uint16_t slot, uint16_t port)
{
	struct bpfast_flow_key key = {.endpoint = slot, .local_port = port};
	struct bpfast_flow flow = {.flags = BPFAST_FF_HTTP, .remote_identity = port};

	assert_int_equal(bpf_map_update_elem(dp->map[BF_MAP_FLOW], &key, &flow, BPF_ANY), 0);
}

/* What is in the table. */
static uint32_t flows(struct bf_datapath *dp)
{
	uint32_t n;

	assert_int_equal(bf_map_count(dp->map[BF_MAP_FLOW], sizeof(struct bpfast_flow_key),
				      sizeof(struct bpfast_flow), &n),
			 0);
	return n;
}

/* What is counted for a slot. */
static uint32_t counted(struct bf_datapath *dp, uint16_t slot)
{
	struct bf_endpoint_flows f;

	bf_datapath_endpoint_flows(dp, slot, &f);
	return f.used;
}

static void flows_live_and_die_with_their_endpoint(void **state)
{
	int a = veth("pod0"), b = veth("pod1");
	struct bf_datapath *dp = dp_open(false, false);
	struct bpfast_endpoint e = {.slot = 3};
	struct bpfast_flow_key key = {.endpoint = 2, .local_port = 7};
	struct bpfast_frag_key frag = {.endpoint = 1};
	struct bpfast_frag ports = {.source_port = 1, .destination_port = 2};
	struct bf_datapath_status st;
	struct bpfast_flow flow;

	(void)state;
	dp_attach(dp, a, 1);
	dp_attach(dp, b, 2);
	for (uint16_t i = 0; i < 1000; i++)
		put_flow(dp, i % 2 ? 1 : 2, i / 2);
	assert_int_equal(bpf_map_update_elem(dp->map[BF_MAP_FRAG], &frag, &ports, BPF_ANY), 0);
	assert_int_equal(flows(dp), 1000);
	/* Nobody counted these, and one endpoint has too many: the next agent counts anew. */
	dp->quota[1].used = 507;
	bf_datapath_close(dp);

	dp = dp_open(false, true);
	assert_int_equal(flows(dp), 1000);
	assert_int_equal(counted(dp, 1), 500);
	assert_int_equal(counted(dp, 2), 500);
	assert_int_equal(bf_datapath_status(dp, &st), 0);
	assert_int_equal(st.flows_used, 1000);
	assert_int_equal(st.flows_per_endpoint, 512);
	assert_int_equal(st.flows_most, 500);
	assert_int_equal(st.endpoints_full, 0);
	assert_int_equal(bpf_map_lookup_elem(dp->map[BF_MAP_FLOW], &key, &flow), 0);
	assert_int_equal(flow.remote_identity, 7);
	dp_detach(dp, a);
	assert_int_equal(flows(dp), 500);
	assert_int_equal(counted(dp, 1), 0);
	assert_int_equal(counted(dp, 2), 500);
	assert_int_equal(bpf_map_lookup_elem(dp->map[BF_MAP_FRAG], &frag, &ports), -ENOENT);
	assert_int_equal(bpf_map_lookup_elem(dp->map[BF_MAP_FLOW], &key, &flow), 0);
	/* Another slot: the flows were judged for somebody else. */
	assert_int_equal(bf_datapath_update(dp, b, &e, &err), 0);
	assert_int_equal(flows(dp), 0);
	assert_int_equal(counted(dp, 2), 0);
	assert_int_equal(bf_datapath_update(dp, a, &e, &err), -ENOENT);
	/* The interface is gone before its endpoint. */
	put_flow(dp, 3, 1);
	veth_gone("pod1");
	dp_detach(dp, b);
	assert_int_equal(flows(dp), 0);
	assert_int_equal(counted(dp, 3), 0);
	bf_datapath_close(dp);
	dp_down();
	veth_gone("pod0");
}

/* While no agent ran the device went away, and its index was given to another. */
static void a_reused_index_is_not_the_endpoint(void **state)
{
	int ifindex = veth("pod0");
	struct bf_datapath *dp;

	(void)state;
	for (int force_clsact = 0; force_clsact < 2; force_clsact++) {
		dp = dp_open(force_clsact, false);
		dp_attach(dp, ifindex, 1);
		bf_datapath_close(dp);
		veth_gone("pod0");
		sh("ip link add pod0 index %d type veth peer name pod0p", ifindex);
		dp = dp_open(force_clsact, true);
		assert_false(is_attached(dp, ifindex));
		assert_int_equal(bf_hooks_count(PIN, ifindex), 0);
		dp_attach(dp, ifindex, 2);
		assert_true(is_attached(dp, ifindex));
		bf_datapath_close(dp);
		dp_down();
	}
	veth_gone("pod0");
}

/* The pins of an agent with other maps: what it guards stays guarded, then moves. */
static void another_layout(bool force_clsact)
{
	int a = veth("pod0"), b = veth("pod1"), peer = (int)if_nametoindex("pod0p");
	struct other behind = other_make("behind");
	struct bf_datapath *dp = dp_open(force_clsact, false);
	struct bf_datapath_status st;

	sh("tc qdisc add dev pod0 clsact");
	other_filter(a, BF_FROM_POD, &behind, 10, 1);
	snapshot(before, sizeof(before));
	dp_attach(dp, a, 1);
	dp_attach(dp, b, 2);
	bf_datapath_close(dp);
	sh("mv " PIN "/v* " PIN "/v0-other");

	dp = dp_open(force_clsact, false);
	assert_true(is_attached(dp, a));
	assert_int_equal(bf_datapath_status(dp, &st), 0);
	assert_int_equal(st.endpoints_other_layout, 2);
	assert_int_equal(st.endpoints_used, 0);
	send_frame(peer);
	dp_attach(dp, a, 1);
	send_frame(peer);
	assert_int_equal(bf_datapath_status(dp, &st), 0);
	assert_int_equal(st.endpoints_other_layout, 1);
	assert_int_equal(access(PIN "/v0-other", F_OK), 0);
	dp_detach(dp, b);
	assert_int_equal(access(PIN "/v0-other", F_OK), -1);
	assert_true(is_attached(dp, a));
	assert_false(is_attached(dp, b));
	assert_int_equal(other_count(&behind), 0);
	dp_detach(dp, a);
	bf_datapath_close(dp);
	dp_down();
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);
	other_close(&behind);
	veth_gone("pod0");
	veth_gone("pod1");
}

static void another_layout_tcx(void **state)
{
	(void)state;
	NEED_TCX();
	another_layout(false);
}

static void another_layout_clsact(void **state)
{
	(void)state;
	another_layout(true);
}

/* A map lost its pin: all is set aside like another layout, nothing is left unguarded. */
static void damaged_pins(void **state)
{
	int ifindex = veth("pod0");
	struct bf_datapath *dp = dp_open(false, false);

	(void)state;
	dp_attach(dp, ifindex, 1);
	bf_datapath_close(dp);
	sh("rm " PIN "/v*/maps/bpfast_flow");
	dp = dp_open(false, false);
	assert_true(is_attached(dp, ifindex));
	dp_attach(dp, ifindex, 1);
	assert_int_equal(bf_hooks_count(PIN, ifindex), BF_DIRS);
	sh("! ls -d " PIN "/damaged* 2>/dev/null");
	bf_datapath_close(dp);
	dp_down();
	veth_gone("pod0");
}

/* --- errors --- */

static int try_open(const struct bf_datapath_options *o)
{
	struct bf_datapath *dp = NULL;
	int ret = bf_datapath_open(o, &dp, NULL, &err);

	if (!ret)
		bf_datapath_close(dp);
	return ret;
}

static void errors_of_open(void **state)
{
	struct bf_datapath_options o = {.pin_dir = "/tmp/bpfast-test"};
	struct bf_datapath *dp;

	(void)state;
	assert_int_equal(try_open(&o), -EINVAL);
	assert_non_null(strstr(err.msg, "/tmp/bpfast-test does not lie on a BPF file system"));
	assert_int_equal(access("/tmp/bpfast-test", F_OK), -1);
	o.pin_dir = "/sys/fs/bpf/no/such";
	assert_int_equal(try_open(&o), -ENOENT);
	assert_non_null(strstr(err.msg, "/sys/fs/bpf/no"));
	o.pin_dir = "relative";
	assert_int_equal(try_open(&o), -EINVAL);
	o.pin_dir = PIN;
	o.arena_bytes = 100000;
	assert_int_equal(try_open(&o), -EINVAL);
	assert_non_null(strstr(err.msg, "power of two"));
	o.arena_bytes = 0;
	dp = dp_open(false, false);
	assert_int_equal(try_open(&o), -EBUSY);
	assert_non_null(strstr(err.msg, "another agent"));
	bf_datapath_close(dp);
	dp_down();
}

/* An upgrade whose programs this kernel refuses changes nothing, and says why. */
static void refused_programs(void **state)
{
	struct bf_datapath_options o = {.pin_dir = PIN};
	int ifindex = veth("pod0");
	struct bf_datapath *dp = dp_open(false, false);

	(void)state;
	dp_attach(dp, ifindex, 1);
	bf_datapath_close(dp);
	another_build();
	snapshot(before, sizeof(before));
	stub_is_broken = true;
	assert_true(try_open(&o) < 0);
	stub_is_broken = false;
	assert_non_null(strstr(err.msg, "R7 !read_ok"));
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);
	dp = dp_open(false, true);
	assert_true(is_attached(dp, ifindex));
	bf_datapath_close(dp);
	dp_down();
	veth_gone("pod0");
}

static void a_bpffs_is_mounted_when_missing(void **state)
{
	struct stat st;

	(void)state;
	assert_int_equal(umount("/sys/fs/bpf"), 0);
	assert_false(bf_pins_on_bpffs("/sys/fs/bpf"));
	bf_datapath_close(dp_open(false, false));
	assert_int_equal(stat(PIN, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	dp_down();
}

/* In a child: what is said when a capability is missing. */
static void missing_capability(unsigned int cap, const char *word)
{
	struct bf_datapath_options o = {.pin_dir = PIN};
	int status;
	pid_t pid = fork();

	if (pid == 0) {
		capng_get_caps_process();
		capng_updatev(CAPNG_DROP, CAPNG_EFFECTIVE, CAP_SYS_ADMIN, cap, -1);
		if (capng_apply(CAPNG_SELECT_CAPS))
			_exit(2);
		_exit(try_open(&o) == -EPERM && strstr(err.msg, word) ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void errors_of_capabilities(void **state)
{
	(void)state;
	missing_capability(39, "CAP_BPF is missing");
	missing_capability(CAP_NET_ADMIN, "CAP_NET_ADMIN is missing");
}

static void errors_of_attach(void **state)
{
	struct bpfast_endpoint e = {.slot = 1};
	struct bf_datapath *dp = dp_open(true, false);
	struct bf_datapath_status st;
	int ifindex = veth("pod0");

	(void)state;
	assert_int_equal(bf_datapath_attach(dp, 9999, &e, &err), -ENODEV);
	assert_non_null(strstr(err.msg, "9999"));
	assert_int_equal(bf_datapath_attach(dp, 0, &e, &err), -ENODEV);
	assert_int_equal(bf_datapath_attach(dp, -1, &e, &err), -ENODEV);

	sh("tc qdisc add dev pod0 ingress");
	snapshot(before, sizeof(before));
	assert_int_equal(bf_datapath_attach(dp, ifindex, &e, &err), -EBUSY);
	assert_non_null(strstr(err.msg, "tc qdisc replace dev pod0 clsact"));
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);
	assert_int_equal(bf_datapath_status(dp, &st), 0);
	assert_int_equal(st.endpoints_used, 0);
	bf_datapath_close(dp);
	dp_down();
	veth_gone("pod0");
}

/* The second hook cannot be had: the first one must not stay. */
static void half_an_attach_is_undone(void **state)
{
	int ifindex = veth("pod0");
	struct other o = other_make("in_the_way");
	struct bpfast_endpoint e = {.slot = 1};
	struct bf_datapath *dp = dp_open(true, false);
	struct bf_datapath_status st;
	int links[64], n = 0;

	(void)state;
	/* clsact: somebody holds our handle on the way out. */
	sh("tc qdisc add dev pod0 clsact");
	other_filter(ifindex, BF_TO_POD, &o, 1, BF_TC_HANDLE);
	snapshot(before, sizeof(before));
	assert_int_equal(bf_datapath_attach(dp, ifindex, &e, &err), -EEXIST);
	assert_non_null(strstr(err.msg, "another BPFast"));
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);
	bf_datapath_close(dp);
	dp_down();

	/* TCX: the chain on the way out is full. */
	if (!bf_kernel_has_tcx())
		goto out;
	dp = dp_open(false, false);
	for (; n < 64; n++) {
		struct other filler = other_make("filler");

		links[n] = bf_tcx_link_create(filler.prog, ifindex, BF_TO_POD, 0);
		other_close(&filler);
		if (links[n] < 0)
			break;
	}
	assert_true(n > 8);
	snapshot(before, sizeof(before));
	assert_true(bf_datapath_attach(dp, ifindex, &e, &err) < 0);
	assert_non_null(strstr(err.msg, "cannot attach to pod0"));
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);
	assert_int_equal(bf_datapath_status(dp, &st), 0);
	assert_int_equal(st.endpoints_used, 0);
	while (n)
		close(links[--n]);
	dp_attach(dp, ifindex, 1);
	bf_datapath_close(dp);
	dp_down();
out:
	other_close(&o);
	veth_gone("pod0");
}

static void another_namespace_is_told(void **state)
{
	struct bf_datapath_options o = {.pin_dir = PIN};
	struct bf_datapath *dp = dp_open(false, false);
	int status;
	pid_t pid;

	(void)state;
	bf_datapath_close(dp);
	pid = fork();
	if (pid == 0)
		_exit(unshare(CLONE_NEWNET) || try_open(&o) != -EXDEV ||
		      !strstr(err.msg, "another network namespace"));
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	dp_down();
}

static void features_name_the_hook(void **state)
{
	struct bf_datapath *dp = dp_open(true, false);
	struct bf_datapath_feature f[8];
	size_t n = bf_datapath_features(dp, f, 8);

	(void)state;
	assert_in_range(n, 2, 8);
	assert_string_equal(f[0].name, "tcx");
	assert_false(f[0].used);
	if (bf_kernel_has_tcx())
		assert_string_equal(f[0].note, "clsact was asked for");
	assert_true(f[1].used);
	bf_datapath_close(dp);
	dp_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tcx_order_among_others),
		cmocka_unit_test(clsact_order_among_others),
		cmocka_unit_test(clsact_another_kind_holds_our_priority),
		cmocka_unit_test(clsact_qdisc_ownership),
		cmocka_unit_test(down_restores_tcx),
		cmocka_unit_test(down_restores_clsact),
		cmocka_unit_test(adoption_without_a_gap_tcx),
		cmocka_unit_test(adoption_without_a_gap_clsact),
		cmocka_unit_test(flows_live_and_die_with_their_endpoint),
		cmocka_unit_test(a_reused_index_is_not_the_endpoint),
		cmocka_unit_test(another_layout_tcx),
		cmocka_unit_test(another_layout_clsact),
		cmocka_unit_test(damaged_pins),
		cmocka_unit_test(errors_of_open),
		cmocka_unit_test(refused_programs),
		cmocka_unit_test(a_bpffs_is_mounted_when_missing),
		cmocka_unit_test(errors_of_capabilities),
		cmocka_unit_test(errors_of_attach),
		cmocka_unit_test(half_an_attach_is_undone),
		cmocka_unit_test(another_namespace_is_told),
		cmocka_unit_test(features_name_the_hook),
	};

	return cmocka_run_group_tests_name("datapath hooks", tests, env_enter_stubbed, NULL);
}
