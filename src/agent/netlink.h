/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_NETLINK_H
#define BF_AGENT_NETLINK_H
/*
 * What the kernel knows of interfaces and addresses, here and in the network
 * namespace at the other end of a veth. rtnetlink(7); reading another namespace
 * by its id (IFLA_TARGET_NETNSID, IFA_TARGET_NETNSID) needs Linux 4.20 and
 * CAP_NET_ADMIN.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct bf_link {
	int ifindex;
	char name[16];
	char kind[16]; /* "veth" ...; "" where the driver names none */
	bool ethernet; /* its frames have an Ethernet header */
	int peer_ifindex; /* at the other end; 0: not known */
	int peer_nsid; /* of the other end; -1: the same namespace or not known */
};

struct bf_peer_info {
	char name[16];
	uint8_t mac[6]; /* all zero: not known */
	uint8_t (*addrs)[16]; /* global and IPv6 link-local; IPv4 as ::ffff:a.b.c.d; malloc'ed */
	size_t addr_count;
};

/* -ENODEV: no such interface. */
int bf_link_by_name(const char *name, struct bf_link *link, struct bf_error *err);
int bf_link_by_index(int ifindex, struct bf_link *link);

/* The other end of a veth, in its own namespace. -EOPNOTSUPP: not a veth whose peer can be found. */
int bf_link_peer(const struct bf_link *link, struct bf_peer_info *out, struct bf_error *err);

/* Every link of a namespace, malloc'ed; nsid -1: this one. */
int bf_links(int nsid, struct bf_link **out, size_t *n, struct bf_error *err);
/* The addresses of one link there, as bf_peer_info has them. */
int bf_link_addresses(int nsid, int ifindex, uint8_t (**out)[16], size_t *n, struct bf_error *err);
/*
 * By which number this namespace knows the one behind a descriptor. -ENOENT: it has none,
 * so that no veth leads there (once bf_links() was called, which gives numbers).
 */
int bf_netns_id(int fd, int *nsid);

/* Every address of this namespace; malloc'ed, sorted. */
int bf_node_addresses(uint8_t (**out)[16], size_t *n, struct bf_error *err);

/* A non-blocking socket that hears of links and addresses; -errno. */
int bf_netlink_watch(void);

enum bf_netlink_news {
	BF_NEWS_LINK_GONE = 1 << 0, /* *gone was called */
	BF_NEWS_ADDRESS = 1 << 1, /* the node's addresses may have changed */
	BF_NEWS_LINK = 1 << 3, /* one came, or is another now */
	BF_NEWS_LOST = 1 << 2, /* messages were lost: look at everything again */
};

/* Reads what is there; returns bits of enum bf_netlink_news. */
unsigned int bf_netlink_news(int fd, void (*gone)(void *arg, int ifindex), void *arg);

#endif
