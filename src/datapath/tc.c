// SPDX-License-Identifier: Apache-2.0
/* Reads qdiscs and filters over rtnetlink; libbpf writes them but cannot list them. */
#include "datapath/internal.h"

#include <errno.h>
#include <linux/pkt_cls.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

typedef int (*message_fn)(void *arg, const struct tcmsg *tc, const struct rtattr *attrs, int len);

static int dump_reply(int fd, message_fn fn, void *arg)
{
	static const size_t size = 32768; /* the kernel's own bound for a dump's messages */
	char *buf = malloc(size);
	int ret = 0;

	if (!buf)
		return -ENOMEM;
	for (bool done = false; !done && !ret;) {
		ssize_t got = recv(fd, buf, size, 0);

		if (got < 0) {
			if (errno == EINTR)
				continue;
			ret = -errno;
			break;
		}
		for (struct nlmsghdr *h = (struct nlmsghdr *)buf; !done && NLMSG_OK(h, got);
		     h = NLMSG_NEXT(h, got)) {
			const struct tcmsg *tc = NLMSG_DATA(h);

			if (h->nlmsg_type == NLMSG_DONE) {
				done = true;
			} else if (h->nlmsg_type == NLMSG_ERROR) {
				const struct nlmsgerr *e = NLMSG_DATA(h);

				ret = e->error;
				done = true;
			} else if (!ret && h->nlmsg_len >= NLMSG_LENGTH(sizeof(*tc))) {
				ret = fn(arg, tc, (const struct rtattr *)(tc + 1),
					 (int)(h->nlmsg_len - NLMSG_LENGTH(sizeof(*tc))));
			}
		}
	}
	free(buf);
	return ret;
}

static int dump(uint16_t type, int ifindex, uint32_t parent, message_fn fn, void *arg)
{
	struct {
		struct nlmsghdr h;
		struct tcmsg tc;
	} req = {
		.h = {.nlmsg_len = sizeof(req),
		      .nlmsg_type = type,
		      .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
		.tc = {.tcm_ifindex = ifindex, .tcm_parent = parent},
	};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
	int ret;

	if (fd < 0)
		return -errno;
	ret = send(fd, &req, sizeof(req), 0) < 0 ? -errno : dump_reply(fd, fn, arg);
	close(fd);
	return ret;
}

static const struct rtattr *find(const struct rtattr *a, int len, unsigned short type)
{
	for (; RTA_OK(a, len); a = RTA_NEXT(a, len))
		if ((a->rta_type & NLA_TYPE_MASK) == type)
			return a;
	return NULL;
}

static void text(char *out, size_t size, const struct rtattr *a)
{
	size_t len = a ? RTA_PAYLOAD(a) : 0;

	if (len >= size)
		len = size - 1;
	if (len)
		memcpy(out, RTA_DATA(a), len);
	out[len] = '\0';
}

struct filters {
	int ifindex;
	struct bf_tc_filter *list;
	size_t n, room;
};

static int on_filter(void *arg, const struct tcmsg *tc, const struct rtattr *attrs, int len)
{
	struct filters *f = arg;
	struct bf_tc_filter *t;
	const struct rtattr *options, *id;

	/* Handle 0 stands for the priority itself, not for a filter in it. */
	if (tc->tcm_ifindex != f->ifindex || !tc->tcm_handle)
		return 0;
	if (f->n == f->room) {
		size_t room = f->room ? 2 * f->room : 8;
		void *list = realloc(f->list, room * sizeof(*f->list));

		if (!list)
			return -ENOMEM;
		f->list = list;
		f->room = room;
	}
	t = &f->list[f->n++];
	memset(t, 0, sizeof(*t));
	t->handle = tc->tcm_handle;
	t->priority = (uint16_t)(TC_H_MAJ(tc->tcm_info) >> 16);
	text(t->kind, sizeof(t->kind), find(attrs, len, TCA_KIND));
	options = find(attrs, len, TCA_OPTIONS);
	if (options && strcmp(t->kind, "bpf") == 0) {
		const struct rtattr *o = RTA_DATA(options);
		int olen = (int)RTA_PAYLOAD(options);

		text(t->name, sizeof(t->name), find(o, olen, TCA_BPF_NAME));
		id = find(o, olen, TCA_BPF_ID);
		if (id && RTA_PAYLOAD(id) >= sizeof(uint32_t))
			memcpy(&t->prog_id, RTA_DATA(id), sizeof(uint32_t));
	}
	return 0;
}

int bf_tc_filters(int ifindex, enum bf_dir dir, struct bf_tc_filter **out)
{
	struct filters f = {.ifindex = ifindex};
	uint32_t parent =
		TC_H_MAKE(TC_H_CLSACT, dir == BF_FROM_POD ? TC_H_MIN_INGRESS : TC_H_MIN_EGRESS);
	int ret = dump(RTM_GETTFILTER, ifindex, parent, on_filter, &f);

	if (ret) {
		free(f.list);
		return ret;
	}
	*out = f.list;
	return (int)f.n;
}

struct qdisc {
	int ifindex;
	enum bf_qdisc kind;
};

static int on_qdisc(void *arg, const struct tcmsg *tc, const struct rtattr *attrs, int len)
{
	struct qdisc *q = arg;
	char kind[16];

	if (tc->tcm_ifindex != q->ifindex || tc->tcm_parent != TC_H_CLSACT)
		return 0;
	text(kind, sizeof(kind), find(attrs, len, TCA_KIND));
	q->kind = strcmp(kind, "clsact") == 0 ? BF_QDISC_CLSACT : BF_QDISC_OTHER;
	return 0;
}

int bf_tc_qdisc(int ifindex, enum bf_qdisc *out)
{
	struct qdisc q = {.ifindex = ifindex, .kind = BF_QDISC_NONE};
	int ret = dump(RTM_GETQDISC, ifindex, 0, on_qdisc, &q);

	*out = q.kind;
	return ret;
}
