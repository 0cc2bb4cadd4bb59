// SPDX-License-Identifier: Apache-2.0
#include "cni/netns.h"

#include <errno.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/magic.h>
#include <linux/net_namespace.h>
#include <linux/nsfs.h>
#include <linux/rtnetlink.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/vfs.h>
#include <unistd.h>

static bool is_netns(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) && fs.f_type == NSFS_MAGIC &&
	       ioctl(fd, NS_GET_NSTYPE) == CLONE_NEWNET;
}

static bool is_ours(int fd)
{
	struct stat theirs, ours;

	return !fstat(fd, &theirs) && !stat("/proc/self/ns/net", &ours) &&
	       theirs.st_dev == ours.st_dev && theirs.st_ino == ours.st_ino;
}

static int on_answer(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr;
	int *nsid = arg;

	mnl_attr_for_each(attr, nlh, sizeof(struct rtgenmsg))
	{
		if (mnl_attr_get_type(attr) == NETNSA_NSID)
			*nsid = (int)mnl_attr_get_u32(attr);
	}
	return MNL_CB_OK;
}

/* RTM_NEWNSID or RTM_GETNSID for the namespace behind fd. 0 or -errno. */
static int ask(struct mnl_socket *nl, uint16_t type, int fd, int *nsid)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct rtgenmsg *gen;
	ssize_t n;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | (type == RTM_NEWNSID ? NLM_F_ACK : 0);
	nlh->nlmsg_seq = type;
	gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	gen->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(nlh, NETNSA_FD, (uint32_t)fd);
	if (type == RTM_NEWNSID)
		mnl_attr_put_u32(nlh, NETNSA_NSID, (uint32_t)-1); /* whichever is free */
	if (mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	n = mnl_socket_recvfrom(nl, buf, sizeof(buf));
	if (n < 0)
		return -errno;
	return mnl_cb_run(buf, (size_t)n, type, mnl_socket_get_portid(nl), on_answer, nsid) < 0
		       ? -errno
		       : 0;
}

static int get_id(int fd, int *nsid)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct timeval patience = {.tv_sec = 5};
	int r;

	*nsid = -1;
	if (!nl)
		return -errno;
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	r = mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	/* It gets a number once somebody looks at a veth that leads there; it may have none yet. */
	if (!r)
		r = ask(nl, RTM_NEWNSID, fd, nsid);
	if (!r || r == -EEXIST)
		r = ask(nl, RTM_GETNSID, fd, nsid);
	mnl_socket_close(nl);
	return r ? r : *nsid < 0 ? -ENOENT : 0;
}

int bf_cni_netns_id(const char *path, int *nsid, struct bf_cni_error *err)
{
	/* O_NONBLOCK: it may be a pipe. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), r;

	if (fd < 0)
		return bf_cni_err(err, BF_CNI_ENVIRONMENT, strerror(errno),
				  "CNI_NETNS '%.200s' cannot be opened", path);
	if (!is_netns(fd) || is_ours(fd)) {
		bf_cni_err(err, BF_CNI_ENVIRONMENT, NULL, "CNI_NETNS '%.200s' is %s", path,
			   is_netns(fd) ? "the network namespace of the host"
					: "not a network namespace");
		close(fd);
		return err->code;
	}
	r = get_id(fd, nsid);
	close(fd);
	return r ? bf_cni_err(err, BF_CNI_IO, strerror(-r),
			      "the network namespace '%.200s' cannot be looked up", path)
		 : 0;
}
