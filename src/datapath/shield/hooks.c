// SPDX-License-Identifier: Apache-2.0
/* Shield on a device: an XDP link, or a hook at TC; and the hook that looks at what goes out. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "datapath/shield/dispatcher.h"
#include "datapath/shield/internal.h"

#define LOOPBACK 1 /* its index in every network namespace (LOOPBACK_IFINDEX) */

static bool by_xdp(const struct bpfast_shield_device *d)
{
	return d->hook == BPFAST_SH_NATIVE || d->hook == BPFAST_SH_GENERIC ||
	       d->hook == BPFAST_SH_OFFLOAD;
}

static int xdp_path(const struct bf_shield *s, uint32_t ifindex, char *path)
{
	char name[32];

	snprintf(name, sizeof(name), "%u_xdp", ifindex);
	return bf_pins_path(path, s->hooks.pin_dir, s->hooks.layout, "links", name);
}

static const char *name_of(int ifindex, char buf[IF_NAMESIZE])
{
	return if_indextoname((unsigned int)ifindex, buf) ? buf : "?";
}

/* --- the slot of a device --- */

static struct bpfast_shield_device *find(struct bf_shield *s, int ifindex)
{
	for (int i = 0; i < BPFAST_SHIELD_PROBES; i++) {
		struct bpfast_shield_device *d =
			&s->control->device[(ifindex + i) & (BPFAST_SHIELD_SLOTS - 1)];

		if (d->ifindex == (uint32_t)ifindex)
			return d;
	}
	return NULL;
}

static struct bpfast_shield_device *place(struct bf_shield *s, int ifindex)
{
	for (int i = 0; i < BPFAST_SHIELD_PROBES; i++) {
		struct bpfast_shield_device *d =
			&s->control->device[(ifindex + i) & (BPFAST_SHIELD_SLOTS - 1)];

		if (!d->ifindex)
			return d;
	}
	return NULL;
}

/* Programs read a slot while it changes: one aligned word in one store. */
static void set_slot(struct bpfast_shield_device *d, uint32_t ifindex, uint8_t mode, uint8_t hook,
		     uint8_t by)
{
	struct bpfast_shield_device want = {
		.ifindex = ifindex, .mode = mode, .hook = hook, .by = by};
	uint64_t word;

	memcpy(&word, &want, sizeof(word));
	__atomic_store_n((uint64_t *)d, word, __ATOMIC_RELEASE);
}

/* --- TC --- */

/* The view of hooks.c on this device: which program where, and which place stays empty. */
static struct bf_datapath tc_view(const struct bf_shield *s, uint8_t hook)
{
	struct bf_datapath dp = s->hooks;
	int judge = hook == BPFAST_SH_POD ? BF_TO_POD : BF_FROM_POD, learn = BF_DIRS - 1 - judge;

	dp.prog[judge] = s->prog[BF_SHIELD_PROG_TC];
	dp.prog_id[judge] = s->prog_id[BF_SHIELD_PROG_TC];
	dp.prog[learn] = s->prog[BF_SHIELD_PROG_OUT];
	dp.prog_id[learn] = s->prog_id[BF_SHIELD_PROG_OUT];
	/* What a pod's policy drops, such as packets in the name of another pod, teaches nothing. */
	if (hook == BPFAST_SH_POD)
		dp.after[learn] = s->from_pod_fd;
	/* XDP judges; at TC one hook is enough. */
	if (hook != BPFAST_SH_TC && hook != BPFAST_SH_POD)
		dp.without = 1u << judge;
	return dp;
}

static int tc_ensure(struct bf_shield *s, int ifindex, uint8_t hook, struct bf_error *err)
{
	struct bf_datapath dp = tc_view(s, hook);

	return bf_hooks_ensure(&dp, ifindex, err);
}

int bf_shield_tc_ensure(struct bf_shield *s, const struct bpfast_shield_device *d,
			struct bf_error *err)
{
	return tc_ensure(s, (int)d->ifindex, d->hook, err);
}

/* --- XDP --- */

static bool link_is_on(int fd, uint32_t ifindex)
{
	struct bpf_link_info info = {0};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.type == BPF_LINK_TYPE_XDP &&
	       info.xdp.ifindex == ifindex;
}

static void xdp_remove(const struct bf_shield *s, uint32_t ifindex)
{
	char path[BF_PATH];
	int fd;

	if (xdp_path(s, ifindex, path))
		return;
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		/* Somebody may hold the link by its number: the unpinning alone would not end it. */
		bpf_link_detach(fd);
		close(fd);
	}
	unlink(path);
}

static int xdp_link(const struct bf_shield *s, int ifindex, uint32_t flags)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = flags);
	char path[BF_PATH];
	int fd = bpf_link_create(s->prog[BF_SHIELD_PROG_XDP], ifindex, BPF_XDP, &opts), ret;

	if (fd < 0)
		return -errno;
	ret = xdp_path(s, (uint32_t)ifindex, path);
	if (!ret && unlink(path) < 0 && errno != ENOENT)
		ret = -errno;
	if (!ret && bpf_obj_pin(fd, path) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

static int xdp_attach(struct bf_shield *s, int ifindex, enum bf_shield_want want, uint8_t *hook,
		      char *why, size_t size, struct bf_error *err)
{
	char dev[IF_NAMESIZE];
	int ret;

	if (want == BF_SHIELD_OFFLOAD) {
		/* The program would have to be loaded for that one device, and its maps with it. */
		return bf_err(err, -EOPNOTSUPP,
			      "%s cannot run shield in hardware: no driver of today takes programs "
			      "with the tables that shield needs; leave --offload out",
			      name_of(ifindex, dev));
	}
	if (want != BF_SHIELD_GENERIC) {
		*hook = BPFAST_SH_NATIVE;
		ret = xdp_link(s, ifindex, XDP_FLAGS_DRV_MODE);
		if (!ret)
			return 0;
		snprintf(why, size, "its driver refuses native XDP: %s", strerror(-ret));
		if (want == BF_SHIELD_NATIVE)
			return bf_err(err, ret,
				      "the driver of %s refuses native XDP (%s); without --native "
				      "shield falls back to generic XDP",
				      name_of(ifindex, dev), strerror(-ret));
	} else {
		snprintf(why, size, "generic was asked for");
	}
	*hook = BPFAST_SH_GENERIC;
	ret = xdp_link(s, ifindex, XDP_FLAGS_SKB_MODE);
	if (ret)
		return bf_err(err, ret, "cannot attach XDP to %s: %s", name_of(ifindex, dev),
			      strerror(-ret));
	return 0;
}

/* --- both --- */

static uint8_t hook_of(enum bf_shield_want want)
{
	switch (want) {
	case BF_SHIELD_TC:
		return BPFAST_SH_TC;
	case BF_SHIELD_POD:
		return BPFAST_SH_POD;
	case BF_SHIELD_GENERIC:
		return BPFAST_SH_GENERIC;
	case BF_SHIELD_SHARED:
		return BPFAST_SH_SHARED;
	default:
		return BPFAST_SH_NATIVE;
	}
}

static bool fits(enum bf_shield_want want, uint8_t hook)
{
	if (want == BF_SHIELD_BEST)
		return true;
	/* Where the program runs is the dispatcher's business. */
	if (hook == BPFAST_SH_SHARED)
		return want == BF_SHIELD_SHARED || want == BF_SHIELD_NATIVE ||
		       want == BF_SHIELD_GENERIC;
	return hook_of(want) == hook;
}

/* Of a tunnel (tun, WireGuard, PPP, IPIP) packets begin with the IP header: all would be read wrongly. */
static bool ethernet(const char *dev)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq r = {0};
	bool is;

	memcpy(r.ifr_name, dev, strnlen(dev, IFNAMSIZ - 1));
	is = fd >= 0 && !ioctl(fd, SIOCGIFHWADDR, &r) && r.ifr_hwaddr.sa_family == ARPHRD_ETHER;
	if (fd >= 0)
		close(fd);
	return is;
}

/* Can anybody guard it? dev: its name. */
static int check(int ifindex, char dev[IF_NAMESIZE], struct bf_error *err)
{
	if (!if_indextoname((unsigned int)ifindex, dev))
		return bf_err(err, -ENODEV, "there is no interface with the index %d", ifindex);
	if (ifindex == LOOPBACK)
		return bf_err(err, -EINVAL,
			      "%s is the loopback: what it carries was never on a wire, and its "
			      "addresses are what shield drops",
			      dev);
	if (!ethernet(dev))
		return bf_err(
			err, -EINVAL,
			"%s carries no Ethernet frames, and shield reads no others: guard the "
			"device below it",
			dev);
	return 0;
}

static int refuse_other_way(const char *dev, struct bf_error *err)
{
	return bf_err(err, -EEXIST,
		      "%s is guarded in another way already; `bpfast shield detach %s` first", dev,
		      dev);
}

static int refuse_full(const char *dev, struct bf_error *err)
{
	return bf_err(err, -ENOSPC, "shield has no place for %s: too many devices are guarded",
		      dev);
}

static int refuse_dispatcher(const char *dev, struct bf_error *err)
{
	return bf_err(err, -EBUSY,
		      "XDP of %s is libxdp's dispatcher's, and only a command can put shield "
		      "there: run `bpfast shield attach %s`",
		      dev, dev);
}

/* Whose program has the hook that an XDP link of ours would need. */
static int refuse_holder(struct bf_shield *s, int ifindex, const char *dev, uint32_t holder,
			 struct bf_error *err)
{
	struct bf_shield_shared shared;

	if (bf_shield_shared(s, ifindex, &shared))
		return refuse_dispatcher(dev, err);
	return bf_err(err, -EBUSY,
		      "%s has another XDP program already: program %u; two cannot be there at "
		      "once. Detach it, or use --tc",
		      dev, holder);
}

int bf_shield_attach_by(struct bf_shield *s, uint8_t by, int ifindex, enum bf_shield_want want,
			enum bpfast_shield_mode mode, char *why, size_t size, uint32_t *holder,
			struct bf_error *err)
{
	struct bpfast_shield_device *d = find(s, ifindex);
	struct bf_shield_shared shared;
	uint8_t hook = hook_of(want);
	char dev[IF_NAMESIZE];
	bool native;
	int ret;

	*holder = 0;
	if (size)
		why[0] = '\0';
	ret = check(ifindex, dev, err);
	if (ret)
		return ret;
	if (d && !bf_shield_alive(s, d)) {
		/* A command may be at it just now, and without one nothing else can be done. */
		if (d->hook == BPFAST_SH_SHARED && by != BPFAST_SHIELD_BY_COMMAND &&
		    (d->mode == BPFAST_SM_OFF || bf_shield_shared(s, ifindex, &shared)))
			return refuse_dispatcher(dev, err);
		bf_shield_detach(s, ifindex, NULL);
		d = NULL;
	}
	if (d && !fits(want, d->hook))
		return refuse_other_way(dev, err);
	if (d) {
		set_slot(d, (uint32_t)ifindex, (uint8_t)mode, d->hook, by);
		return 0;
	}
	if (hook != BPFAST_SH_TC && hook != BPFAST_SH_POD) {
		*holder = bf_xdp_on(ifindex, &native);
		if (*holder)
			return refuse_holder(s, ifindex, dev, *holder, err);
	}
	d = place(s, ifindex);
	if (!d)
		return refuse_full(dev, err);
	/* What goes out first: so a connection is known before its answer is judged. */
	set_slot(d, (uint32_t)ifindex, BPFAST_SM_OFF, hook, by);
	ret = tc_ensure(s, ifindex, hook, err);
	if (!ret && hook != BPFAST_SH_TC && hook != BPFAST_SH_POD)
		ret = xdp_attach(s, ifindex, want, &hook, why, size, err);
	if (ret) {
		bf_hooks_remove(s->hooks.pin_dir, ifindex);
		xdp_remove(s, (uint32_t)ifindex);
		set_slot(d, 0, 0, 0, 0);
		return ret;
	}
	set_slot(d, (uint32_t)ifindex, (uint8_t)mode, hook, by);
	return 0;
}

int bf_shield_attach(struct bf_shield *s, int ifindex, enum bf_shield_want want,
		     enum bpfast_shield_mode mode, char *why, size_t size, uint32_t *holder,
		     struct bf_error *err)
{
	return bf_shield_attach_by(s, BPFAST_SHIELD_BY_COMMAND, ifindex, want, mode, why, size,
				   holder, err);
}

/* --- shared: all but the program itself --- */

int bf_shield_share(struct bf_shield *s, int ifindex, bool *fresh, uint32_t *holder,
		    struct bf_error *err)
{
	struct bpfast_shield_device *d = find(s, ifindex);
	struct bf_shield_shared shared;
	char dev[IF_NAMESIZE];
	bool native;
	int ret = check(ifindex, dev, err);

	*fresh = false;
	*holder = 0;
	if (ret)
		return ret;
	if (d && d->hook != BPFAST_SH_SHARED && bf_shield_alive(s, d))
		return refuse_other_way(dev, err);
	*holder = bf_xdp_on(ifindex, &native);
	if (*holder && !bf_shield_shared(s, ifindex, &shared))
		return bf_err(err, -EBUSY,
			      "%s has another XDP program already, which is no dispatcher of "
			      "libxdp: program %u. Detach it, load it again by libxdp, or use --tc",
			      dev, *holder);
	*holder = 0;
	if (d && d->hook != BPFAST_SH_SHARED) {
		bf_shield_detach(s, ifindex, NULL);
		d = NULL;
	}
	if (!d) {
		*fresh = true;
		d = place(s, ifindex);
		if (!d)
			return refuse_full(dev, err);
		set_slot(d, (uint32_t)ifindex, BPFAST_SM_OFF, BPFAST_SH_SHARED,
			 BPFAST_SHIELD_BY_COMMAND);
	}
	ret = tc_ensure(s, ifindex, BPFAST_SH_SHARED, err);
	if (ret && *fresh)
		bf_shield_detach(s, ifindex, NULL);
	return ret;
}

int bf_shield_share_done(struct bf_shield *s, int ifindex, enum bpfast_shield_mode mode,
			 struct bf_error *err)
{
	struct bpfast_shield_device *d = find(s, ifindex);
	char dev[IF_NAMESIZE];

	if (!d || d->hook != BPFAST_SH_SHARED || !bf_shield_alive(s, d))
		return bf_err(err, -ENOENT, "shield is not in libxdp's dispatcher of %s",
			      name_of(ifindex, dev));
	if (d->by == BPFAST_SHIELD_BY_COMMAND)
		set_slot(d, (uint32_t)ifindex, (uint8_t)mode, d->hook, d->by);
	return 0;
}

int bf_shield_share_where(const struct bf_shield *s, char *dir, size_t size, uint32_t *prog_id)
{
	int n = snprintf(dir, size, "%s/%s", s->hooks.pin_dir, s->hooks.layout);

	*prog_id = s->prog_id[BF_SHIELD_PROG_XDP];
	return n < 0 || (size_t)n >= size ? -ENAMETOOLONG : 0;
}

int bf_shield_detach(struct bf_shield *s, int ifindex, struct bf_error *err)
{
	struct bpfast_shield_device *d = find(s, ifindex);
	int ret;

	if (!d)
		return bf_err(err, -ENOENT, "interface %d is not guarded", ifindex);
	xdp_remove(s, (uint32_t)ifindex);
	/* The program that stays in a dispatcher must not judge what nobody teaches it any more. */
	if (d->hook == BPFAST_SH_SHARED)
		set_slot(d, d->ifindex, BPFAST_SM_OFF, d->hook, d->by);
	ret = bf_hooks_remove(s->hooks.pin_dir, ifindex);
	if (ret && ret != -ENODEV)
		return bf_err(err, ret, "cannot detach from interface %d: %s", ifindex,
			      strerror(-ret));
	/* Last, so that what a crash leaves is found again. */
	set_slot(d, 0, 0, 0, 0);
	return 0;
}

bool bf_shield_alive(struct bf_shield *s, const struct bpfast_shield_device *d)
{
	struct bf_shield_shared shared;
	char path[BF_PATH];
	bool on = false;
	int fd;

	if (d->hook == BPFAST_SH_SHARED)
		return bf_shield_shared(s, (int)d->ifindex, &shared) && shared.on;
	if (!by_xdp(d))
		return bf_hooks_count(s->hooks.pin_dir, (int)d->ifindex) == BF_DIRS;
	if (xdp_path(s, d->ifindex, path))
		return false;
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		on = link_is_on(fd, d->ifindex);
		close(fd);
	}
	return on;
}

int bf_shield_hooks_renew(struct bf_shield *s, const struct bpfast_shield_device *d,
			  struct bf_error *err)
{
	char path[BF_PATH], dev[IF_NAMESIZE];
	int fd, ret;

	ret = tc_ensure(s, (int)d->ifindex, d->hook, err);
	if (ret || !by_xdp(d))
		return ret;
	ret = xdp_path(s, d->ifindex, path);
	fd = ret ? ret : bpf_obj_get(path);
	if (fd < 0)
		return bf_err(err, -ENOENT, "the XDP link of %s is gone",
			      name_of((int)d->ifindex, dev));
	ret = bpf_link_update(fd, s->prog[BF_SHIELD_PROG_XDP], NULL) < 0 ? -errno : 0;
	close(fd);
	return ret ? bf_err(err, ret, "cannot renew XDP on %s: %s", name_of((int)d->ifindex, dev),
			    strerror(-ret))
		   : 0;
}

/* --- down --- */

static int down_xdp(void *arg, const char *dir, const char *name)
{
	char path[BF_PATH];
	int fd;

	(void)arg;
	if (!strstr(name, "_xdp") || snprintf(path, sizeof(path), "%s/%s", dir, name) >= BF_PATH)
		return 0;
	fd = bpf_obj_get(path);
	if (fd >= 0) {
		bpf_link_detach(fd);
		close(fd);
	}
	unlink(path);
	return 0;
}

static int down_layout(void *arg, const char *pin_dir, const char *layout)
{
	char path[BF_PATH];

	return bf_pins_path(path, pin_dir, layout, "links", NULL)
		       ? 0
		       : bf_pins_each(path, down_xdp, arg);
}

int bf_shield_down(const char *pin_dir, struct bf_error *err)
{
	char dir[BF_PATH];

	if (bf_pins_path(dir, pin_dir, BF_SHIELD_DIR, NULL, NULL))
		return bf_err(err, -ENAMETOOLONG, "the pin directory's name is too long");
	if (access(dir, F_OK) < 0)
		return 0;
	bf_pins_each(dir, down_layout, NULL);
	/* The hooks at TC are like those of pods, and found as those are. */
	return bf_pins_down(dir, err);
}
