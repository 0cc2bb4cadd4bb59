// SPDX-License-Identifier: Apache-2.0
/*
 * Packets in hand through the programs, by BPF_PROG_TEST_RUN. The programs act
 * as if attached to a device, and what they send (a 403, a reset) really is
 * sent there. So the device is the loopback of a network namespace that holds
 * nothing else: no address beside 127.0.0.1 and ::1, no route, no socket.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/internal.h"

#define HOOK_DROP 2
#define LOOPBACK 1 /* its index in every network namespace (LOOPBACK_IFINDEX) */
/* Anything but 0, which is the node itself. */
#define OTHER_DEVICE 7777

int bf_trial_enter(struct bf_error *err)
{
	struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
	int fd, ret = 0;

	if (unshare(CLONE_NEWNET) < 0)
		return bf_err(
			err, -errno,
			"cannot make a network namespace: %s; run as root: packets go through BPF "
			"programs in a namespace of their own",
			strerror(errno));
	/* A device that is down takes no packet, and the programs would see their answers fail. */
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &lo) < 0)
		ret = bf_err(err, -errno, "cannot bring up the namespace's loopback: %s",
			     strerror(errno));
	if (fd >= 0)
		close(fd);
	return ret;
}

int bf_trial_run(struct bf_datapath *dp, struct bf_trial *trial)
{
	struct __sk_buff skb = {.ifindex = LOOPBACK};
	uint32_t key = LOOPBACK;
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = trial->frame,
		    .data_size_in = (uint32_t)trial->len, .data_out = trial->out,
		    .data_size_out = BF_TRIAL_OUT_MAX, .ctx_in = &skb, .ctx_size_in = sizeof(skb));
	int ret;

	/* One device stands in for all: who is behind it changes with the packet. */
	if (bpf_map_update_elem(dp->map[BF_MAP_ENDP], &key, trial->endpoint, BPF_ANY) < 0)
		return -errno;
	if (!trial->from_pod && !trial->from_node)
		skb.ingress_ifindex = OTHER_DEVICE;
	ret = bpf_prog_test_run_opts(dp->prog[trial->from_pod ? BF_FROM_POD : BF_TO_POD], &opts);
	if (ret < 0)
		return ret;
	trial->out_len = opts.data_size_out;
	trial->forwarded = opts.retval != HOOK_DROP;
	return 0;
}
