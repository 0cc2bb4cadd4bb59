// SPDX-License-Identifier: Apache-2.0
/*
 * For STATIC=1 alone, and only where the distribution has no libmnl.a (Debian has
 * not): the part of libmnl's interface that we use. A function that is missing here
 * fails the link.
 */
#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct mnl_socket {
	int fd;
	struct sockaddr_nl addr;
};

/* --- sockets --- */

struct mnl_socket *mnl_socket_open2(int bus, int flags)
{
	struct mnl_socket *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->fd = socket(AF_NETLINK, SOCK_RAW | flags, bus);
	if (s->fd < 0) {
		free(s);
		return NULL;
	}
	return s;
}

struct mnl_socket *mnl_socket_open(int bus)
{
	return mnl_socket_open2(bus, 0);
}

int mnl_socket_bind(struct mnl_socket *s, unsigned int groups, pid_t pid)
{
	socklen_t len = sizeof(s->addr);

	s->addr = (struct sockaddr_nl){
		.nl_family = AF_NETLINK,
		.nl_groups = groups,
		.nl_pid = (__u32)pid,
	};
	if (bind(s->fd, (struct sockaddr *)&s->addr, len))
		return -1;
	return getsockname(s->fd, (struct sockaddr *)&s->addr, &len);
}

int mnl_socket_close(struct mnl_socket *s)
{
	int r = close(s->fd);

	free(s);
	return r;
}

int mnl_socket_get_fd(const struct mnl_socket *s)
{
	return s->fd;
}

unsigned int mnl_socket_get_portid(const struct mnl_socket *s)
{
	return s->addr.nl_pid;
}

ssize_t mnl_socket_sendto(const struct mnl_socket *s, const void *data, size_t len)
{
	static const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	return sendto(s->fd, data, len, 0, (const struct sockaddr *)&kernel, sizeof(kernel));
}

ssize_t mnl_socket_recvfrom(const struct mnl_socket *s, void *data, size_t len)
{
	struct sockaddr_nl from;
	struct iovec iov = {data, len};
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof(from), .msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n = recvmsg(s->fd, &msg, 0);

	if (n < 0)
		return n;
	if (msg.msg_flags & MSG_TRUNC) {
		errno = ENOSPC;
		return -1;
	}
	if (msg.msg_namelen != sizeof(from)) {
		errno = EINVAL;
		return -1;
	}
	return n;
}

/* --- messages --- */

struct nlmsghdr *mnl_nlmsg_put_header(void *buf)
{
	struct nlmsghdr *h = buf;

	memset(h, 0, sizeof(*h));
	h->nlmsg_len = sizeof(*h);
	return h;
}

void *mnl_nlmsg_put_extra_header(struct nlmsghdr *h, size_t size)
{
	void *at = (char *)h + h->nlmsg_len;

	memset(at, 0, MNL_ALIGN(size));
	h->nlmsg_len += (__u32)MNL_ALIGN(size);
	return at;
}

void *mnl_nlmsg_get_payload(const struct nlmsghdr *h)
{
	return (char *)h + sizeof(*h);
}

void *mnl_nlmsg_get_payload_offset(const struct nlmsghdr *h, size_t offset)
{
	return (char *)h + sizeof(*h) + MNL_ALIGN(offset);
}

void *mnl_nlmsg_get_payload_tail(const struct nlmsghdr *h)
{
	return (char *)h + MNL_ALIGN(h->nlmsg_len);
}

bool mnl_nlmsg_ok(const struct nlmsghdr *h, int len)
{
	return len >= (int)sizeof(*h) && h->nlmsg_len >= sizeof(*h) && (int)h->nlmsg_len <= len;
}

struct nlmsghdr *mnl_nlmsg_next(const struct nlmsghdr *h, int *len)
{
	*len -= (int)MNL_ALIGN(h->nlmsg_len);
	return mnl_nlmsg_get_payload_tail(h);
}

static int control(const struct nlmsghdr *h)
{
	const struct nlmsgerr *e = mnl_nlmsg_get_payload(h);

	switch (h->nlmsg_type) {
	case NLMSG_DONE:
		return MNL_CB_STOP;
	case NLMSG_ERROR:
		if (h->nlmsg_len < sizeof(*h) + sizeof(*e)) {
			errno = EBADMSG;
			return MNL_CB_ERROR;
		}
		errno = e->error < 0 ? -e->error : e->error;
		return e->error ? MNL_CB_ERROR : MNL_CB_STOP;
	default:
		return MNL_CB_OK;
	}
}

int mnl_cb_run(const void *buf, size_t size, unsigned int seq, unsigned int portid, mnl_cb_t cb,
	       void *data)
{
	const struct nlmsghdr *h = buf;
	int len = (int)size, r = MNL_CB_OK;

	for (; mnl_nlmsg_ok(h, len); h = mnl_nlmsg_next(h, &len)) {
		if (h->nlmsg_pid && portid && h->nlmsg_pid != portid) {
			errno = ESRCH;
			return -1;
		}
		if (h->nlmsg_seq && seq && h->nlmsg_seq != seq) {
			errno = EPROTO;
			return -1;
		}
		if (h->nlmsg_flags & NLM_F_DUMP_INTR) {
			errno = EINTR;
			return -1;
		}
		if (h->nlmsg_type < NLMSG_MIN_TYPE)
			r = control(h);
		else if (cb)
			r = cb(h, data);
		if (r <= MNL_CB_STOP)
			break;
	}
	return r;
}

/* --- attributes --- */

uint16_t mnl_attr_get_type(const struct nlattr *a)
{
	return a->nla_type & NLA_TYPE_MASK;
}

uint16_t mnl_attr_get_len(const struct nlattr *a)
{
	return a->nla_len;
}

uint16_t mnl_attr_get_payload_len(const struct nlattr *a)
{
	return (uint16_t)(a->nla_len - MNL_ATTR_HDRLEN);
}

void *mnl_attr_get_payload(const struct nlattr *a)
{
	return (char *)a + MNL_ATTR_HDRLEN;
}

const char *mnl_attr_get_str(const struct nlattr *a)
{
	return mnl_attr_get_payload(a);
}

uint8_t mnl_attr_get_u8(const struct nlattr *a)
{
	return *(const uint8_t *)mnl_attr_get_payload(a);
}

uint16_t mnl_attr_get_u16(const struct nlattr *a)
{
	return *(const uint16_t *)mnl_attr_get_payload(a);
}

uint32_t mnl_attr_get_u32(const struct nlattr *a)
{
	return *(const uint32_t *)mnl_attr_get_payload(a);
}

bool mnl_attr_ok(const struct nlattr *a, int len)
{
	return len >= (int)sizeof(*a) && a->nla_len >= sizeof(*a) && (int)a->nla_len <= len;
}

struct nlattr *mnl_attr_next(const struct nlattr *a)
{
	return (struct nlattr *)((char *)a + MNL_ALIGN(a->nla_len));
}

void mnl_attr_put(struct nlmsghdr *h, uint16_t type, size_t len, const void *data)
{
	struct nlattr *a = mnl_nlmsg_get_payload_tail(h);
	size_t pad = MNL_ALIGN(len) - len;

	a->nla_type = type;
	a->nla_len = (uint16_t)(MNL_ATTR_HDRLEN + len);
	memcpy(mnl_attr_get_payload(a), data, len);
	memset((char *)mnl_attr_get_payload(a) + len, 0, pad);
	h->nlmsg_len = (__u32)(MNL_ALIGN(h->nlmsg_len) + MNL_ALIGN(a->nla_len));
}

void mnl_attr_put_u32(struct nlmsghdr *h, uint16_t type, uint32_t data)
{
	mnl_attr_put(h, type, sizeof(data), &data);
}

void mnl_attr_put_str(struct nlmsghdr *h, uint16_t type, const char *data)
{
	mnl_attr_put(h, type, strlen(data), data);
}

void mnl_attr_put_strz(struct nlmsghdr *h, uint16_t type, const char *data)
{
	mnl_attr_put(h, type, strlen(data) + 1, data);
}

struct nlattr *mnl_attr_nest_start(struct nlmsghdr *h, uint16_t type)
{
	struct nlattr *a = mnl_nlmsg_get_payload_tail(h);

	a->nla_type = NLA_F_NESTED | type;
	h->nlmsg_len += MNL_ALIGN(sizeof(*a));
	return a;
}

void mnl_attr_nest_end(struct nlmsghdr *h, struct nlattr *a)
{
	a->nla_len = (uint16_t)((char *)mnl_nlmsg_get_payload_tail(h) - (char *)a);
}
