// SPDX-License-Identifier: Apache-2.0
#include "cli/cookie_place.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "discover/discover.h"
#include "observe/names.h"

#define OWN "/proc/thread-self/ns/net"

/* --- inside --- */

/* Runs fn inside the namespace; what it says, or -errno. */
static int inside(int fd, int (*fn)(void *arg), void *arg)
{
	int own = open(OWN, O_RDONLY | O_CLOEXEC), r;

	if (own < 0)
		return -errno;
	r = setns(fd, CLONE_NEWNET) < 0 ? -errno : fn(arg);
	/* Nothing of what follows may happen in another's namespace. */
	if (setns(own, CLONE_NEWNET) < 0)
		abort();
	close(own);
	return r;
}

static int has_address(void *arg)
{
	const uint8_t *addr = arg;
	struct sockaddr_in6 a = {.sin6_family = AF_INET6};
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0), r, off = 0;

	if (fd < 0 && bf_address_is4(addr)) {
		struct sockaddr_in four = {.sin_family = AF_INET};

		fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		memcpy(&four.sin_addr, addr + 12, 4);
		r = fd >= 0 && !bind(fd, (struct sockaddr *)&four, sizeof(four));
	} else {
		if (fd >= 0)
			setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
		memcpy(&a.sin6_addr, addr, 16);
		r = fd >= 0 && !bind(fd, (struct sockaddr *)&a, sizeof(a));
	}
	if (fd >= 0)
		close(fd);
	return r;
}

static const char *const files[] = {"/proc/sys/net/ipv4/tcp_syncookies",
				    "/proc/sys/net/ipv4/tcp_timestamps"};

static int read_one(const char *file, int *out)
{
	FILE *f = fopen(file, "re");
	int r;

	if (!f)
		return -errno;
	r = fscanf(f, "%d", out) == 1 ? 0 : -EIO;
	fclose(f);
	return r;
}

static int write_one(const char *file, int value)
{
	int fd = open(file, O_WRONLY | O_CLOEXEC), r;
	char c = (char)('0' + value);

	if (fd < 0)
		return -errno;
	r = write(fd, &c, 1) == 1 ? 0 : -errno;
	close(fd);
	return r;
}

struct values {
	int v[2], if_now;
};

static int read_both(void *arg)
{
	struct values *v = arg;
	int r = read_one(files[0], &v->v[0]);

	return r ? r : read_one(files[1], &v->v[1]);
}

static int write_both(void *arg)
{
	const struct values *v = arg;
	int r = 0, now;

	for (int i = 0; !r && i < 2; i++) {
		if (v->v[i] < 0)
			continue;
		r = read_one(files[i], &now);
		/* Somebody else has set it since: that is his. */
		if (!r && (v->if_now < 0 || now == v->if_now))
			r = write_one(files[i], v->v[i]);
	}
	return r;
}

int bf_cookie_place_read(const struct bf_cookie_place *p, int *syncookies, int *timestamps,
			 struct bf_error *err)
{
	struct values v = {0};
	int r = inside(p->fd, read_both, &v);

	if (r)
		return bf_err(err, r, "cannot read net.ipv4.tcp_syncookies of %s: %s%s", p->name,
			      strerror(-r), geteuid() ? "; run as root" : "");
	*syncookies = v.v[0];
	*timestamps = v.v[1];
	return 0;
}

int bf_cookie_place_write(const struct bf_cookie_place *p, int syncookies, int timestamps,
			  int if_now, struct bf_error *err)
{
	struct values v = {.v = {syncookies, timestamps}, .if_now = if_now};
	int r = inside(p->fd, write_both, &v);

	return r ? bf_err(err, r,
			  "cannot set net.ipv4.tcp_syncookies and tcp_timestamps of %s: %s%s",
			  p->name, strerror(-r), geteuid() ? "; run as root" : "")
		 : 0;
}

/* --- finding it --- */

static int opened(struct bf_cookie_place *p, int fd)
{
	struct stat st;

	p->fd = fd;
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	p->ino = st.st_ino;
	return 0;
}

static int by_name(const char *which, struct bf_cookie_place *p, struct bf_error *err)
{
	char path[256];
	int r;

	if (strspn(which, "0123456789") == strlen(which))
		snprintf(path, sizeof(path), "/proc/%s/ns/net", which);
	else
		snprintf(path, sizeof(path), "%s%s", *which == '/' ? "" : BF_NETNS_DIR "/", which);
	r = opened(p, open(path, O_RDONLY | O_CLOEXEC));
	if (r)
		return bf_err(err, r,
			      "--netns: '%s' is no network namespace's name, path or "
			      "process: %s: %s",
			      which, path, strerror(-r));
	snprintf(p->name, sizeof(p->name), "the namespace %.40s", which);
	return 0;
}

static int take(const struct bf_place *place, struct bf_cookie_place *p)
{
	char name[32];
	int r = opened(p, fcntl(place->fd, F_DUPFD_CLOEXEC, 3));

	if (!r)
		snprintf(p->name, sizeof(p->name), "the namespace of %.40s",
			 bf_place_name(place, name, sizeof(name)));
	return r;
}

/* The device on this side behind which a namespace has the address; 0: none. */
static int device_of(const struct bf_place *place, const uint8_t addr[16])
{
	for (size_t i = 0; i < place->plug_count; i++)
		for (size_t k = 0; k < place->plugs[i].addr_count; k++)
			if (!memcmp(place->plugs[i].addrs[k], addr, 16))
				return place->plugs[i].host.ifindex;
	return 0;
}

static int search(const uint8_t addr[16], struct bf_cookie_place *p, struct bf_error *err)
{
	const struct bf_discover_from from = {0};
	struct bf_found found = {0};
	const struct bf_place *it = NULL;
	int r = bf_discover(&from, &found, err);
	char text[64];

	for (size_t i = 0; !r && i < found.count; i++) {
		int ifindex = device_of(&found.places[i], addr);

		if (!ifindex)
			continue;
		if (it)
			r = bf_err(err, -EEXIST,
				   "more than one namespace has the address; say --netns");
		it = &found.places[i];
		p->ifindex = ifindex;
	}
	if (!r && !it)
		r = bf_err(err, -ENOENT,
			   "no namespace of this machine has %s: cookies are for listeners that "
			   "are here; limits guard the others. If it is here all the same, say "
			   "--netns",
			   bf_address_text(addr, text, sizeof(text)));
	if (!r && take(it, p))
		r = bf_err(err, -errno, "the namespace is gone");
	bf_found_free(&found);
	return r;
}

int bf_cookie_place_find(const uint8_t addr[16], const char *which, struct bf_cookie_place *p,
			 struct bf_error *err)
{
	uint8_t copy[16];
	char text[64];
	int r;

	memset(p, 0, sizeof(*p));
	p->fd = -1;
	memcpy(copy, addr, 16);
	if (!which && has_address(copy) == 1) {
		r = opened(p, open(OWN, O_RDONLY | O_CLOEXEC));
		snprintf(p->name, sizeof(p->name), "this host");
		return r ? bf_err(err, r, OWN ": %s", strerror(-r)) : 0;
	}
	if (geteuid())
		return bf_err(err, -EPERM,
			      "the listener's namespace has to be set up for cookies, "
			      "and only root may: run it with sudo");
	if (!which)
		return search(addr, p, err);
	r = by_name(which, p, err);
	if (r)
		return r;
	r = inside(p->fd, has_address, copy);
	if (r < 0)
		r = bf_err(err, r, "cannot enter %s: %s", p->name, strerror(-r));
	else if (!r)
		r = bf_err(err, -ENOENT, "%s has no address %s", p->name,
			   bf_address_text(addr, text, sizeof(text)));
	else
		r = 0;
	if (r)
		bf_cookie_place_close(p);
	return r;
}

int bf_cookie_place_by_ino(uint64_t ino, struct bf_cookie_place *p, struct bf_error *err)
{
	const struct bf_discover_from from = {0};
	struct bf_found found = {0};
	int r;

	memset(p, 0, sizeof(*p));
	r = opened(p, open(OWN, O_RDONLY | O_CLOEXEC));
	if (!r && p->ino == ino) {
		snprintf(p->name, sizeof(p->name), "this host");
		return 0;
	}
	bf_cookie_place_close(p);
	r = bf_discover(&from, &found, err);
	if (r)
		return r;
	r = -ENOENT;
	for (size_t i = 0; r == -ENOENT && i < found.count; i++)
		if (found.places[i].ino == ino)
			r = take(&found.places[i], p);
	bf_found_free(&found);
	return r;
}

void bf_cookie_place_close(struct bf_cookie_place *p)
{
	if (p->fd >= 0)
		close(p->fd);
	p->fd = -1;
}
