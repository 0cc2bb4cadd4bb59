// SPDX-License-Identifier: Apache-2.0
#include "agent/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/net_namespace.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define REPLY_BYTES 65536

/* One request, its answers handed to cb. 0 or -errno. */
static int ask(struct nlmsghdr *request, mnl_cb_t cb, void *arg)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	struct timeval patience = {.tv_sec = 5};
	int one = 1, r = 0;
	char *buf;
	ssize_t n;

	if (!nl)
		return -errno;
	buf = malloc(REPLY_BYTES);
	if (!buf) {
		mnl_socket_close(nl);
		return -ENOMEM;
	}
	/* Without strict checking a dump ignores which namespace was asked for. */
	setsockopt(mnl_socket_get_fd(nl), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &one, sizeof(one));
	setsockopt(mnl_socket_get_fd(nl), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	request->nlmsg_seq = 1;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, request, request->nlmsg_len) < 0) {
		r = -errno;
		goto out;
	}
	do {
		n = mnl_socket_recvfrom(nl, buf, REPLY_BYTES);
		if (n < 0) {
			r = -errno;
			break;
		}
		r = mnl_cb_run(buf, (size_t)n, 1, mnl_socket_get_portid(nl), cb, arg);
		if (r < 0)
			r = -errno;
	} while (r > 0 && (request->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP);
	if (r > 0)
		r = 0;
out:
	free(buf);
	mnl_socket_close(nl);
	return r;
}

static void read_linkinfo(const struct nlattr *info, struct bf_link *link)
{
	const struct nlattr *attr;
	size_t n;

	mnl_attr_for_each_nested(attr, info)
	{
		if (mnl_attr_get_type(attr) != IFLA_INFO_KIND)
			continue;
		n = mnl_attr_get_payload_len(attr);
		if (n >= sizeof(link->kind))
			n = sizeof(link->kind) - 1;
		memcpy(link->kind, mnl_attr_get_payload(attr), n);
		link->kind[n] = 0;
	}
}

static int on_link(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct bf_link *link = arg;
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	link->ifindex = ifi->ifi_index;
	link->ethernet = ifi->ifi_type == ARPHRD_ETHER;
	mnl_attr_for_each(attr, nlh, sizeof(*ifi))
	{
		switch (mnl_attr_get_type(attr)) {
		case IFLA_IFNAME:
			strncpy(link->name, mnl_attr_get_str(attr), sizeof(link->name) - 1);
			break;
		case IFLA_LINKINFO:
			read_linkinfo(attr, link);
			break;
		case IFLA_LINK:
			link->peer_ifindex = (int)mnl_attr_get_u32(attr);
			break;
		case IFLA_LINK_NETNSID:
			link->peer_nsid = (int)mnl_attr_get_u32(attr);
			break;
		}
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *new_request(char *buf, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	return nlh;
}

static int get_link(int ifindex, const char *name, struct bf_link *link)
{
	char buf[256] = {0};
	struct nlmsghdr *nlh = new_request(buf, RTM_GETLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = ifindex;
	memset(link, 0, sizeof(*link));
	link->peer_nsid = -1;
	if (name)
		mnl_attr_put_strz(nlh, IFLA_IFNAME, name);
	return ask(nlh, on_link, link);
}

int bf_link_by_name(const char *name, struct bf_link *link, struct bf_error *err)
{
	int r;

	if (!*name || strlen(name) >= IFNAMSIZ)
		return bf_err(err, -ENODEV,
			      "'%.40s' is no interface name: it has 1 to 15 characters", name);
	r = get_link(0, name, link);
	if (r == -ENODEV)
		return bf_err(err, r,
			      "interface %s does not exist here; `ip link` shows those that do",
			      name);
	if (r)
		return bf_err(err, r, "cannot read interface %s: %s", name, strerror(-r));
	return 0;
}

int bf_link_by_index(int ifindex, struct bf_link *link)
{
	return get_link(ifindex, NULL, link);
}

struct mac_reader {
	uint8_t *mac;
	char *name;
	int back; /* the interface that the peer names as its own peer */
};

static int on_peer_link(const struct nlmsghdr *nlh, void *arg)
{
	struct mac_reader *m = arg;
	const struct nlattr *attr;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(struct ifinfomsg))
	{
		if (mnl_attr_get_type(attr) == IFLA_ADDRESS && mnl_attr_get_payload_len(attr) == 6)
			memcpy(m->mac, mnl_attr_get_payload(attr), 6);
		if (mnl_attr_get_type(attr) == IFLA_IFNAME)
			strncpy(m->name, mnl_attr_get_str(attr), IFNAMSIZ - 1);
		if (mnl_attr_get_type(attr) == IFLA_LINK)
			m->back = (int)mnl_attr_get_u32(attr);
	}
	return MNL_CB_OK;
}

struct addr_reader {
	int ifindex; /* 0: any */
	bool all_scopes;
	uint8_t (*addrs)[16];
	size_t n, cap;
	bool failed;
};

static void keep(struct addr_reader *a, const uint8_t addr[16])
{
	uint8_t(*more)[16];
	size_t i, cap;

	for (i = 0; i < a->n; i++)
		if (!memcmp(a->addrs[i], addr, 16))
			return;
	if (a->n == a->cap) {
		cap = a->cap ? a->cap * 2 : 16;
		more = realloc(a->addrs, cap * sizeof(*more));
		if (!more) {
			a->failed = true;
			return;
		}
		a->addrs = more;
		a->cap = cap;
	}
	memcpy(a->addrs[a->n++], addr, 16);
}

static int on_addr(const struct nlmsghdr *nlh, void *arg)
{
	const struct ifaddrmsg *ifa = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attr, *address = NULL, *local = NULL;
	struct addr_reader *a = arg;
	uint8_t addr[16] = {0};

	if (nlh->nlmsg_type != RTM_NEWADDR || (a->ifindex && (int)ifa->ifa_index != a->ifindex))
		return MNL_CB_OK;
	if (!a->all_scopes && ifa->ifa_scope != RT_SCOPE_UNIVERSE &&
	    !(ifa->ifa_family == AF_INET6 && ifa->ifa_scope == RT_SCOPE_LINK))
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(*ifa))
	{
		if (mnl_attr_get_type(attr) == IFA_ADDRESS)
			address = attr;
		if (mnl_attr_get_type(attr) == IFA_LOCAL)
			local = attr;
	}
	/* On a point-to-point link IFA_ADDRESS is the other end's. */
	if (local)
		address = local;
	if (!address)
		return MNL_CB_OK;
	if (ifa->ifa_family == AF_INET && mnl_attr_get_payload_len(address) == 4) {
		addr[10] = addr[11] = 0xff;
		memcpy(addr + 12, mnl_attr_get_payload(address), 4);
		keep(a, addr);
	} else if (ifa->ifa_family == AF_INET6 && mnl_attr_get_payload_len(address) == 16) {
		memcpy(addr, mnl_attr_get_payload(address), 16);
		keep(a, addr);
	}
	return MNL_CB_OK;
}

/* nsid -1: this namespace. */
static int dump_addresses(int nsid, struct addr_reader *a)
{
	char buf[256] = {0};
	struct nlmsghdr *nlh = new_request(buf, RTM_GETADDR, NLM_F_DUMP);
	struct ifaddrmsg *ifa = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifa));
	int r;

	ifa->ifa_family = AF_UNSPEC;
	if (nsid >= 0)
		mnl_attr_put_u32(nlh, IFA_TARGET_NETNSID, (uint32_t)nsid);
	r = ask(nlh, on_addr, a);
	if (!r && a->failed)
		r = -ENOMEM;
	return r;
}

int bf_link_peer(const struct bf_link *link, struct bf_peer_info *out, struct bf_error *err)
{
	struct addr_reader a = {.ifindex = link->peer_ifindex};
	struct mac_reader m = {.mac = out->mac, .name = out->name};
	char buf[256] = {0};
	struct nlmsghdr *nlh = new_request(buf, RTM_GETLINK, 0);
	struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	int r;

	memset(out, 0, sizeof(*out));
	if (strcmp(link->kind, "veth") || link->peer_ifindex <= 0)
		return bf_err(
			err, -EOPNOTSUPP,
			"%s is not the host side of a veth, so the addresses behind it cannot "
			"be read; give them with --ip",
			link->name);
	ifi->ifi_family = AF_UNSPEC;
	ifi->ifi_index = link->peer_ifindex;
	if (link->peer_nsid >= 0)
		mnl_attr_put_u32(nlh, IFLA_TARGET_NETNSID, (uint32_t)link->peer_nsid);
	r = ask(nlh, on_peer_link, &m);
	/* The peer of the peer has to be this interface, else it is another one
	 * that happens to have the number. */
	if (!r && m.back != link->ifindex)
		r = -ENODEV;
	if (!r)
		r = dump_addresses(link->peer_nsid, &a);
	if (r) {
		free(a.addrs);
		memset(out->mac, 0, sizeof(out->mac));
		return bf_err(err, r,
			      "the addresses behind %s cannot be read (%s); give them with --ip",
			      link->name, strerror(-r));
	}
	out->addrs = a.addrs;
	out->addr_count = a.n;
	return 0;
}

struct link_list {
	struct bf_link *v;
	size_t n, cap;
	bool failed;
};

static int on_each_link(const struct nlmsghdr *nlh, void *arg)
{
	struct link_list *all = arg;
	struct bf_link *more;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	if (all->n == all->cap) {
		more = realloc(all->v, (all->cap * 2 + 16) * sizeof(*more));
		if (!more) {
			all->failed = true;
			return MNL_CB_OK;
		}
		all->v = more;
		all->cap = all->cap * 2 + 16;
	}
	all->v[all->n] = (struct bf_link){.peer_nsid = -1};
	return on_link(nlh, &all->v[all->n++]);
}

int bf_links(int nsid, struct bf_link **out, size_t *n, struct bf_error *err)
{
	int r = 0, again;

	/* -EINTR: the list changed while it was read. */
	for (again = 0; again < 5; again++) {
		struct link_list all = {0};
		char buf[256] = {0};
		struct nlmsghdr *nlh = new_request(buf, RTM_GETLINK, NLM_F_DUMP);
		struct ifinfomsg *ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));

		ifi->ifi_family = AF_UNSPEC;
		if (nsid >= 0)
			mnl_attr_put_u32(nlh, IFLA_TARGET_NETNSID, (uint32_t)nsid);
		r = ask(nlh, on_each_link, &all);
		if (!r && all.failed)
			r = -ENOMEM;
		if (!r) {
			*out = all.v;
			*n = all.n;
			return 0;
		}
		free(all.v);
		if (r != -EINTR)
			break;
	}
	return bf_err(err, r, "cannot read the interfaces of %s: %s",
		      nsid < 0 ? "this machine" : "a network namespace", strerror(-r));
}

int bf_link_addresses(int nsid, int ifindex, uint8_t (**out)[16], size_t *n, struct bf_error *err)
{
	int r = 0, again;

	for (again = 0; again < 5; again++) {
		struct addr_reader a = {.ifindex = ifindex};

		r = dump_addresses(nsid, &a);
		if (!r) {
			*out = a.addrs;
			*n = a.n;
			return 0;
		}
		free(a.addrs);
		if (r != -EINTR)
			break;
	}
	return bf_err(err, r, "cannot read the addresses in a network namespace: %s", strerror(-r));
}

static int on_nsid(const struct nlmsghdr *nlh, void *arg)
{
	const struct nlattr *attr;
	int *nsid = arg;

	if (nlh->nlmsg_type != RTM_NEWNSID)
		return MNL_CB_OK;
	mnl_attr_for_each(attr, nlh, sizeof(struct rtgenmsg))
	{
		if (mnl_attr_get_type(attr) == NETNSA_NSID)
			*nsid = (int)mnl_attr_get_u32(attr);
	}
	return MNL_CB_OK;
}

int bf_netns_id(int fd, int *nsid)
{
	char buf[256] = {0};
	struct nlmsghdr *nlh = new_request(buf, RTM_GETNSID, 0);
	struct rtgenmsg *gen = mnl_nlmsg_put_extra_header(nlh, sizeof(*gen));
	int r;

	gen->rtgen_family = AF_UNSPEC;
	mnl_attr_put_u32(nlh, NETNSA_FD, (uint32_t)fd);
	*nsid = -1;
	r = ask(nlh, on_nsid, nsid);
	return r ? r : *nsid < 0 ? -ENOENT : 0;
}

static int by_bytes(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

int bf_node_addresses(uint8_t (**out)[16], size_t *n, struct bf_error *err)
{
	struct addr_reader a = {.all_scopes = true};
	int r = dump_addresses(-1, &a);

	if (r) {
		free(a.addrs);
		return bf_err(err, r, "cannot read the addresses of this machine: %s",
			      strerror(-r));
	}
	if (a.n)
		qsort(a.addrs, a.n, 16, by_bytes);
	*out = a.addrs;
	*n = a.n;
	return 0;
}

int bf_netlink_watch(void)
{
	struct sockaddr_nl sa = {
		.nl_family = AF_NETLINK,
		.nl_groups = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
	int e;

	if (fd < 0)
		return -errno;
	if (bind(fd, (struct sockaddr *)&sa, sizeof(sa))) {
		e = errno;
		close(fd);
		return -e;
	}
	return fd;
}

unsigned int bf_netlink_news(int fd, void (*gone)(void *arg, int ifindex), void *arg)
{
	static _Alignas(struct nlmsghdr) char buf[REPLY_BYTES];
	unsigned int news = 0;
	const struct ifinfomsg *ifi;
	struct nlmsghdr *nlh;
	int left, round;
	ssize_t n;

	for (round = 0; round < 64; round++) {
		n = recv(fd, buf, sizeof(buf), 0);
		if (n < 0 && errno == ENOBUFS) {
			news |= BF_NEWS_LOST;
			continue;
		}
		if (n <= 0)
			break;
		left = (int)n;
		for (nlh = (struct nlmsghdr *)buf; mnl_nlmsg_ok(nlh, left);
		     nlh = mnl_nlmsg_next(nlh, &left)) {
			ifi = mnl_nlmsg_get_payload(nlh);
			if (nlh->nlmsg_type == RTM_NEWADDR || nlh->nlmsg_type == RTM_DELADDR)
				news |= BF_NEWS_ADDRESS;
			if (nlh->nlmsg_type == RTM_NEWLINK)
				news |= BF_NEWS_LINK;
			/* A bridge port that leaves its bridge says DELLINK too, of AF_BRIDGE. */
			if (nlh->nlmsg_type != RTM_DELLINK || ifi->ifi_family != AF_UNSPEC)
				continue;
			news |= BF_NEWS_LINK_GONE;
			gone(arg, ifi->ifi_index);
		}
	}
	return news;
}
