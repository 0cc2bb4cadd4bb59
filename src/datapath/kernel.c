// SPDX-License-Identifier: Apache-2.0
/* What this kernel and this process can do, and the calls libbpf 1.1 does not know yet. */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <cap-ng.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

/* include/uapi/linux/bpf.h of Linux 6.6. */
#define BF_F_BEFORE (1u << 3)
#define BF_F_AFTER (1u << 4)
#define BF_LINK_TYPE_TCX 11

/* CAP_BPF as a number, should cap-ng be older than Linux 5.8. */
#ifndef CAP_BPF
#define CAP_BPF 39
#endif

/* The parts of union bpf_attr that Linux 6.6 added; checked against its UAPI header. */
struct attr_link_create {
	uint32_t prog_fd;
	uint32_t target_ifindex;
	uint32_t attach_type;
	uint32_t flags;
	uint32_t relative_fd;
	uint32_t pad;
	uint64_t expected_revision;
};

struct attr_prog_query {
	uint32_t target_ifindex;
	uint32_t attach_type;
	uint32_t query_flags;
	uint32_t attach_flags;
	uint64_t prog_ids;
	uint32_t count;
	uint32_t pad;
	uint64_t prog_attach_flags;
	uint64_t link_ids;
	uint64_t link_attach_flags;
	uint64_t revision;
};

struct tcx_link_info {
	uint32_t type;
	uint32_t id;
	uint32_t prog_id;
	uint32_t pad;
	uint32_t ifindex;
	uint32_t attach_type;
	uint64_t more[16];
};

void (*bf_datapath_step_hook)(const char *step);

void bf_step(const char *step)
{
	if (bf_datapath_step_hook)
		bf_datapath_step_hook(step);
}

static int sys_bpf(int cmd, void *attr, unsigned int size)
{
	int ret = (int)syscall(__NR_bpf, cmd, attr, size);

	return ret < 0 ? -errno : ret;
}

int bf_kernel_check(struct bf_error *err)
{
	unsigned int major = 0, minor = 0;
	struct utsname uts;

	if (uname(&uts) == 0 && sscanf(uts.release, "%u.%u", &major, &minor) == 2 &&
	    (major < 6 || (major == 6 && minor < 1)))
		return bf_err(err, -EOPNOTSUPP,
			      "this kernel is Linux %u.%u, and 6.1 is the oldest that has what "
			      "BPFast needs; boot a newer kernel",
			      major, minor);
	if (capng_get_caps_process() < 0)
		return 0; /* the kernel will say what is missing */
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN) &&
	    !capng_have_capability(CAPNG_EFFECTIVE, CAP_BPF))
		return bf_err(err, -EPERM,
			      "the capability CAP_BPF is missing; run as root or grant CAP_BPF, "
			      "CAP_PERFMON and CAP_NET_ADMIN");
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_NET_ADMIN))
		return bf_err(err, -EPERM,
			      "the capability CAP_NET_ADMIN is missing; run as root or grant "
			      "CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN");
	return 0;
}

static uint32_t attach_type(enum bf_dir dir)
{
	return dir == BF_FROM_POD ? BF_TCX_INGRESS : BF_TCX_EGRESS;
}

bool bf_kernel_has_tcx(void)
{
	/*
	 * No device has index 0: a kernel with TCX looks for it and says ENODEV,
	 * one without does not know the attach type and says EINVAL.
	 */
	return bf_tcx_query(0, BF_FROM_POD, NULL, 0) == -ENODEV;
}

int bf_tcx_link_create(int prog_fd, int ifindex, enum bf_dir dir, int after_fd)
{
	struct attr_link_create attr = {
		.prog_fd = (uint32_t)prog_fd,
		.target_ifindex = (uint32_t)ifindex,
		.attach_type = attach_type(dir),
		/* Before nothing in particular: before all. */
		.flags = BF_F_BEFORE,
	};
	int ret = -ENOENT;

	if (after_fd) {
		attr.flags = BF_F_AFTER;
		attr.relative_fd = (uint32_t)after_fd;
		ret = sys_bpf(BPF_LINK_CREATE, &attr, sizeof(attr));
		attr.flags = BF_F_BEFORE;
		attr.relative_fd = 0;
	}
	/* It is not on the device. */
	if (ret == -ENOENT)
		ret = sys_bpf(BPF_LINK_CREATE, &attr, sizeof(attr));
	return ret;
}

int bf_tcx_query(int ifindex, enum bf_dir dir, uint32_t *ids, uint32_t max)
{
	struct attr_prog_query attr = {
		.target_ifindex = (uint32_t)ifindex,
		.attach_type = attach_type(dir),
		.prog_ids = (uint64_t)(uintptr_t)ids,
		.count = max,
	};
	int ret = sys_bpf(BPF_PROG_QUERY, &attr, sizeof(attr));

	/* ENOENT: nothing was ever attached here. */
	if (ret == -ENOENT)
		return 0;
	return ret < 0 ? ret : (int)(attr.count < max ? attr.count : max);
}

int bf_tcx_link_info(int link_fd, uint32_t *ifindex, enum bf_dir *dir, uint32_t *prog_id)
{
	struct tcx_link_info info = {0};
	uint32_t len = sizeof(info);

	if (bpf_obj_get_info_by_fd(link_fd, &info, &len) < 0)
		return -errno;
	if (info.type != BF_LINK_TYPE_TCX)
		return -EINVAL;
	*ifindex = info.ifindex;
	*dir = info.attach_type == BF_TCX_INGRESS ? BF_FROM_POD : BF_TO_POD;
	*prog_id = info.prog_id;
	return 0;
}

int bf_keep_fd(int *to, int fd)
{
	if (*to >= 0)
		close(*to);
	*to = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return *to < 0 ? -errno : 0;
}

uint32_t bf_prog_id(int prog_fd)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(prog_fd, &info, &len) < 0 ? 0 : info.id;
}

int bf_grace_init(struct bf_datapath *dp)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);

	dp->grace_inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, NULL, sizeof(uint32_t),
					 sizeof(uint32_t), 1, NULL);
	if (dp->grace_inner < 0)
		return -errno;
	opts.inner_map_fd = (uint32_t)dp->grace_inner;
	dp->grace_outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, NULL, sizeof(uint32_t),
					 sizeof(uint32_t), 1, &opts);
	return dp->grace_outer < 0 ? -errno : 0;
}

void bf_grace_close(struct bf_datapath *dp)
{
	if (dp->grace_outer >= 0)
		close(dp->grace_outer);
	if (dp->grace_inner >= 0)
		close(dp->grace_inner);
}

int bf_grace(struct bf_datapath *dp)
{
	uint32_t zero = 0;

	/*
	 * The kernel promises that no program uses the old inner map once such an
	 * update has returned, and keeps the promise by synchronize_rcu()
	 * (maybe_wait_bpf_programs() in kernel/bpf/syscall.c, the same from 5.0 to
	 * 6.18). membarrier(2) would not do: with one CPU online it waits for nothing.
	 */
	return bpf_map_update_elem(dp->grace_outer, &zero, &dp->grace_inner, BPF_ANY) < 0 ? -errno
											  : 0;
}

static bool file_says(const char *path, char c)
{
	FILE *f = fopen(path, "re");
	int got = f ? fgetc(f) : EOF;

	if (f)
		fclose(f);
	return got == c;
}

size_t bf_datapath_features(const struct bf_datapath *dp, struct bf_datapath_feature *out,
			    size_t max)
{
	bool jit = !file_says("/proc/sys/net/core/bpf_jit_enable", '0');
	bool btf = access("/sys/kernel/btf/vmlinux", R_OK) == 0;
	const struct bf_datapath_feature all[] = {
		{"tcx", dp->tcx, dp->tcx ? "hooks that are in order and pinned" : dp->hook_why},
		{"clsact", !dp->tcx, dp->tcx ? "TCX is better" : "cls_bpf filters, direct action"},
		{"jit", jit,
		 jit ? "programs run as machine code"
		     : "programs are interpreted and slow; set net.core.bpf_jit_enable to 1"},
		{"btf", btf, btf ? "kernel types at hand" : "this kernel carries no types"},
	};
	size_t n = sizeof(all) / sizeof(all[0]);

	for (size_t i = 0; i < n && i < max; i++)
		out[i] = all[i];
	return n;
}
