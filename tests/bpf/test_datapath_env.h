/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_DATAPATH_ENV_H
#define BF_TEST_DATAPATH_ENV_H
/*
 * A world for one test program: its own network and mount namespace with a
 * bpffs of its own. The kernel takes all of it away when the process ends,
 * however it ends.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bpfast/image.h"
#include "datapath/datapath.h"
#include "datapath/internal.h"

#define PIN "/sys/fs/bpf/bpfast-test"

/* For what can only be tried where the kernel has TCX (Linux 6.6). */
#define NEED_TCX()                                                                                 \
	do {                                                                                       \
		if (!bf_kernel_has_tcx())                                                          \
			skip();                                                                    \
	} while (0)

/* Runs a shell command that must succeed. */
static inline void sh(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd) != 0)
		fail_msg("failed: %s", cmd);
}

/* What a command prints. */
static inline void sh_read(char *out, size_t size, const char *cmd)
{
	FILE *p = popen(cmd, "r");
	size_t n;

	assert_non_null(p);
	n = fread(out, 1, size - 1, p);
	out[n] = '\0';
	assert_int_equal(pclose(p), 0);
}

static inline int env_enter(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) < 0) {
		fprintf(stderr, "these tests need root\n");
		return -1;
	}
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0) {
		perror("mount");
		return -1;
	}
	while (bf_pins_on_bpffs("/sys/fs/bpf") && umount("/sys/fs/bpf") == 0)
		; /* those of the machine; they stay where they are */
	if (mount("bpf", "/sys/fs/bpf", "bpf", 0, "mode=0700") < 0) {
		perror("mount");
		return -1;
	}
	/* No frames but our own: no neighbour discovery, no multicast reports. */
	return system("for f in all default; do echo 1 2>/dev/null "
		      ">/proc/sys/net/ipv6/conf/$f/disable_ipv6; done; ip link set lo up");
}

/*
 * Instead of the real programs, whose verification takes seconds: one that drops
 * all. It refers to the endpoints' map, as they do.
 */
static bool stub_is_broken; /* one that the kernel refuses */

static inline int stub_program(struct bpf_program *prog, struct bpf_prog_load_opts *opts,
			       long cookie)
{
	const struct bpf_insn *old = bpf_program__insns(prog);
	struct bpf_insn insns[] = {
		{0},
		{0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = 2},
		{.code = BPF_JMP | BPF_EXIT},
	};

	(void)cookie;
	if (!strcmp(bpf_program__name(prog), "bpfast_carry"))
		return 0; /* no hook */
	for (size_t i = 0; i + 1 < bpf_program__insn_cnt(prog); i++) {
		struct bpf_map_info info = {0};
		uint32_t len = sizeof(info);

		if (old[i].code == (BPF_LD | BPF_DW | BPF_IMM) &&
		    old[i].src_reg == BPF_PSEUDO_MAP_FD &&
		    bpf_obj_get_info_by_fd(old[i].imm, &info, &len) == 0 &&
		    strcmp(info.name, "bpfast_endp") == 0) {
			insns[0] = old[i];
			insns[1] = old[i + 1];
			opts->func_info_cnt = opts->line_info_cnt = 0;
			if (stub_is_broken) /* r0 = r7, which nothing has set */
				insns[2] = (struct bpf_insn){.code = BPF_ALU64 | BPF_MOV | BPF_X,
							     .src_reg = 7};
			return bpf_program__set_insns(prog, insns, 4);
		}
	}
	return -EINVAL;
}

static inline int use_stubs(void **state)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = stub_program);

	(void)state;
	return libbpf_register_prog_handler("tc", BPF_PROG_TYPE_SCHED_CLS, 0, &opts) < 0;
}

static inline int env_enter_stubbed(void **state)
{
	return use_stubs(state) || env_enter(state);
}

/* All that is on the hooks of one device, as far as we can see ourselves. */
static inline void snapshot_device(char *out, size_t size, int ifindex)
{
	struct bf_tc_filter *list;
	enum bf_qdisc qdisc;
	size_t len = 0;

	assert_int_equal(bf_tc_qdisc(ifindex, &qdisc), 0);
	len += (size_t)snprintf(out + len, size - len, "qdisc %d\n", qdisc);
	for (int dir = 0; dir < BF_DIRS; dir++) {
		uint32_t ids[64];
		int n = bf_tcx_query(ifindex, dir, ids, 64);

		for (int i = 0; i < n; i++)
			len += (size_t)snprintf(out + len, size - len, "tcx %d %u\n", dir, ids[i]);
		n = bf_tc_filters(ifindex, dir, &list);
		assert_true(n >= 0);
		for (int i = 0; i < n; i++)
			len += (size_t)snprintf(out + len, size - len, "filter %d %u %x %s %s\n",
						dir, list[i].priority, list[i].handle, list[i].kind,
						list[i].name);
		free(list);
		assert_true(len < size);
	}
}

/* All that a user can see of the hooks in this namespace. */
static inline void snapshot(char *out, size_t size)
{
	struct if_nameindex *devices = if_nameindex();
	size_t len;

	sh_read(out, size,
		"tc qdisc show; for d in $(ls /proc/sys/net/ipv4/conf); do for h in ingress "
		"egress; "
		"do [ $d = all ] || [ $d = default ] || tc filter show dev $d $h; done; done; "
		"bpftool net");
	len = strlen(out);
	for (struct if_nameindex *d = devices; d && d->if_index; d++, len = strlen(out))
		snapshot_device(out + len, size - len, (int)d->if_index);
	if_freenameindex(devices);
}

/* A veth pair NAME (host side) and NAMEp (pod side), both up: the index of the host side. */
static inline int veth(const char *name)
{
	/* One that a failed test left would make all later ones fail. */
	sh("ip link del %s 2>/dev/null; ip link add %s type veth peer name %sp", name, name, name);
	sh("ip link set %s up && ip link set %sp up", name, name);
	return (int)if_nametoindex(name);
}

static inline void veth_gone(const char *name)
{
	sh("ip link del %s", name);
}

static inline struct bf_datapath *dp_open(bool force_clsact, bool expect_adopted)
{
	struct bf_datapath_options o = {.pin_dir = PIN,
					.flows = 1024,
					.arena_bytes = 64 << 10,
					.chunks = 64,
					.force_clsact = force_clsact};
	struct bf_error err = {{0}};
	struct bf_datapath *dp = NULL;
	bool adopted = !expect_adopted;

	if (bf_datapath_open(&o, &dp, &adopted, &err))
		fail_msg("open: %s", err.msg);
	assert_int_equal(adopted, expect_adopted);
	return dp;
}

/* As if the next agent were of another build: it loads its own programs. */
static inline void another_build(void)
{
	sh("rmdir " PIN "/v*/build/*");
}

static inline void dp_attach(struct bf_datapath *dp, int ifindex, uint16_t slot)
{
	struct bpfast_endpoint e = {.slot = slot};
	struct bf_error err = {{0}};

	if (bf_datapath_attach(dp, ifindex, &e, &err))
		fail_msg("attach: %s", err.msg);
}

static inline void dp_detach(struct bf_datapath *dp, int ifindex)
{
	struct bf_error err = {{0}};

	if (bf_datapath_detach(dp, ifindex, &err))
		fail_msg("detach: %s", err.msg);
}

static inline void dp_down(void)
{
	struct bf_error err = {{0}};

	if (bf_datapath_down(PIN, &err))
		fail_msg("down: %s", err.msg);
	assert_int_equal(access(PIN, F_OK), -1);
}

static inline bool is_attached(struct bf_datapath *dp, int ifindex)
{
	bool found = false;
	size_t n;
	int *list;

	assert_int_equal(bf_datapath_attached(dp, &list, &n), 0);
	for (size_t i = 0; i < n; i++)
		found |= list[i] == ifindex;
	free(list);
	return found;
}

/* An image of len bytes without any table, its body filled with a byte. */
static inline void *image_make(size_t len, uint8_t fill)
{
	struct bpfast_image *h = malloc(len);

	assert_non_null(h);
	memset(h, fill, len);
	memset(h, 0, sizeof(*h));
	h->magic = BPFAST_IMAGE_MAGIC;
	h->version = BPFAST_IMAGE_VERSION;
	h->size = (uint32_t)len;
	return h;
}

static inline int install(struct bf_datapath *dp, size_t len, uint8_t fill, uint32_t *generation,
			  struct bf_error *err)
{
	void *image = image_make(len, fill);
	int ret = bf_datapath_install(dp, image, len, generation, err);

	free(image);
	return ret;
}

/* Is the image in force whole and filled with that byte? */
static inline void assert_image(struct bf_datapath *dp, size_t len, uint8_t fill)
{
	size_t got;
	const uint8_t *p = bf_datapath_image(dp, &got, NULL);

	assert_non_null(p);
	assert_int_equal(got, len);
	for (size_t i = sizeof(struct bpfast_image); i < len; i++)
		if (p[i] != fill)
			fail_msg("byte %zu of the image is %u, not %u", i, p[i], fill);
}

/* Sends a frame with an EtherType nobody allows; it comes in on the other side of the veth. */
static inline void send_frame(int ifindex)
{
	static const uint8_t frame[60] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x88, 0xb5};
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = ifindex, .sll_halen = 6};
	static int fd = -1; /* kept: closing one waits for the network stack */

	if (fd < 0)
		fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
	assert_true(fd >= 0);
	assert_int_equal(sendto(fd, frame, sizeof(frame), 0, (struct sockaddr *)&to, sizeof(to)),
			 sizeof(frame));
}

/* Somebody else's program: counts what reaches it and lets it pass. */
struct other {
	int map, prog;
};

static inline struct other other_make(const char *name)
{
	struct other o = {.map = bpf_map_create(BPF_MAP_TYPE_ARRAY, "other", 4, 8, 1, NULL)};
	const struct bpf_insn insns[] = {
		/* *(u32 *)(r10 - 4) = 0; r2 = r10 - 4; r1 = map; r0 = lookup(r1, r2) */
		{.code = BPF_ST | BPF_MEM | BPF_W, .dst_reg = BPF_REG_10, .off = -4, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = 2, .src_reg = BPF_REG_10},
		{.code = BPF_ALU64 | BPF_ADD | BPF_K, .dst_reg = 2, .imm = -4},
		{.code = BPF_LD | BPF_DW | BPF_IMM,
		 .dst_reg = 1,
		 .src_reg = BPF_PSEUDO_MAP_FD,
		 .imm = o.map},
		{0},
		{.code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_map_lookup_elem},
		/* if (r0) lock *(u64 *)r0 += 1 */
		{.code = BPF_JMP | BPF_JEQ | BPF_K, .dst_reg = 0, .off = 2, .imm = 0},
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 1, .imm = 1},
		{.code = BPF_STX | BPF_ATOMIC | BPF_DW, .dst_reg = 0, .src_reg = 1, .imm = BPF_ADD},
		/* return -1: the next program decides */
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};

	assert_true(o.map >= 0);
	o.prog = bpf_prog_load(BPF_PROG_TYPE_SCHED_CLS, name, "GPL", insns,
			       sizeof(insns) / sizeof(insns[0]), NULL);
	assert_true(o.prog >= 0);
	return o;
}

static inline uint64_t other_count(const struct other *o)
{
	uint32_t zero = 0;
	uint64_t n = 0;

	assert_int_equal(bpf_map_lookup_elem(o->map, &zero, &n), 0);
	return n;
}

static inline void other_close(struct other *o)
{
	close(o->map);
	close(o->prog);
}

static inline void other_filter(int ifindex, enum bf_dir dir, const struct other *o,
				uint32_t priority, uint32_t handle)
{
	LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = ifindex,
		    .attach_point = dir == BF_FROM_POD ? BPF_TC_INGRESS : BPF_TC_EGRESS);
	LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = o->prog, .priority = priority, .handle = handle);

	assert_int_equal(bpf_tc_attach(&hook, &opts), 0);
}

/*
 * Several processes share the work of a test that mostly waits; what each says comes in one
 * piece. Returns how many failed.
 */
static inline int share_work(int workers, int (*work)(int worker))
{
	FILE *said[16];
	pid_t pid[16];
	int failed = 0, c;

	for (int i = 0; i < workers; i++) {
		said[i] = tmpfile();
		if (!said[i])
			return 1;
		pid[i] = fork();
		if (pid[i] < 0)
			return 1;
		if (pid[i] == 0) {
			dup2(fileno(said[i]), STDOUT_FILENO);
			dup2(fileno(said[i]), STDERR_FILENO);
			exit(work(i));
		}
	}
	for (int i = 0; i < workers; i++) {
		int status;

		if (waitpid(pid[i], &status, 0) != pid[i] || status)
			failed++;
		rewind(said[i]);
		while ((c = fgetc(said[i])) != EOF)
			putchar(c);
		fclose(said[i]);
	}
	return failed;
}

#endif
