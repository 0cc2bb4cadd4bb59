// SPDX-License-Identifier: Apache-2.0
/* By libxdp: see share.h. What is in a dispatcher is told by libxdp's own pins; there is no record beside them. */
#include "datapath/shield/share.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <cap-ng.h>
#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "datapath/shield/dispatcher.h"
#include "datapath/shield/internal.h"
#include "shield.skel.h"

#define PROGRAM "bpfast_shshare"
#define CONTROL "bpfast_shctl"
/* Smaller is earlier; who says nothing has 50. A flood is to end before others have paid for it. */
#define RUN_PRIORITY 10

/* --- what libxdp says --- */

static char said[200]; /* the first warning */

__attribute__((format(printf, 2, 0))) static int keep_words(enum libxdp_print_level level,
							    const char *fmt, va_list ap)
{
	if (level == LIBXDP_WARN && !said[0]) {
		vsnprintf(said, sizeof(said), fmt, ap);
		said[strcspn(said, "\n")] = '\0';
	}
	return 0;
}

static void listen_to_libxdp(void)
{
	said[0] = '\0';
	libxdp_set_print(keep_words);
	bf_words_listen();
}

/* Its reason where it said one, else libbpf's. */
static const char *words(void)
{
	return said[0] ? said : bf_words_of_libbpf();
}

/* --- whose program it is --- */

enum whose {
	SOMEBODYS,
	OURS, /* it uses the tables that are asked for */
	IDLE, /* shield's, and to its tables the device is not guarded: left behind */
	ANOTHER, /* shield's with other tables, at work */
};

/* Is a device guarded, by these tables of any version? */
static bool guards(int control_fd, uint32_t value_size, uint32_t ifindex)
{
	struct bpfast_shield_control *c;
	bool does = true; /* in doubt nothing is taken away */
	uint32_t zero = 0;

	if (value_size < offsetof(struct bpfast_shield_control, attacked))
		return true;
	c = malloc(value_size > sizeof(*c) ? value_size : sizeof(*c));
	if (c && !bpf_map_lookup_elem(control_fd, &zero, c)) {
		does = false;
		for (int i = 0; i < BPFAST_SHIELD_SLOTS; i++)
			does = does || c->device[i].ifindex == ifindex;
	}
	free(c);
	return does;
}

static enum whose whose(int prog_fd, uint32_t ifindex, uint32_t control_id)
{
	enum whose who = SOMEBODYS;
	struct bf_prog_info p;

	if (bf_prog_info(prog_fd, &p) || strcmp(p.name, PROGRAM))
		return SOMEBODYS;
	if (bf_prog_uses(&p, control_id))
		return OURS;
	for (uint32_t i = 0; who == SOMEBODYS && i < p.maps; i++) {
		struct bpf_map_info info = {0};
		uint32_t len = sizeof(info);
		int fd = bpf_map_get_fd_by_id(p.map_id[i]);

		if (fd < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(fd, &info, &len) && !strcmp(info.name, CONTROL))
			who = guards(fd, info.value_size, ifindex) ? ANOTHER : IDLE;
		close(fd);
	}
	return who;
}

/* --- taking out --- */

/* The next program, also where one has the hook without a dispatcher. */
static struct xdp_program *next(struct xdp_multiprog *mp, struct xdp_program *p)
{
	if (xdp_multiprog__is_legacy(mp))
		return p ? NULL : xdp_multiprog__main_prog(mp);
	return xdp_multiprog__next_prog(p, mp);
}

static struct xdp_multiprog *programs_of(int ifindex)
{
	struct xdp_multiprog *mp;
	bool native;

	/* Asked about nothing, libxdp would make its directory. */
	if (!bf_xdp_on(ifindex, &native) || access(BF_LIBXDP_DIR, F_OK) < 0)
		return NULL;
	mp = xdp_multiprog__get_from_ifindex(ifindex);
	return libxdp_get_error(mp) ? NULL : mp;
}

/* Ours and what was left behind, but not the program of the number but. */
static int take_out(const char *dev, int ifindex, uint32_t control_id, uint32_t but,
		    unsigned int *removed, struct bf_error *err)
{
	struct xdp_multiprog *mp;
	int r = 0;

	*removed = 0;
	mp = programs_of(ifindex);
	if (!mp)
		return 0;
	for (struct xdp_program *p = next(mp, NULL); p && !r; p = next(mp, p)) {
		enum whose who = whose(xdp_program__fd(p), (uint32_t)ifindex, control_id);

		if ((who != OURS && who != IDLE) || xdp_program__id(p) == but)
			continue;
		r = xdp_program__detach(p, ifindex, xdp_multiprog__attach_mode(mp), 0);
		if (!r)
			(*removed)++;
	}
	xdp_multiprog__close(mp);
	return r ? bf_err(err, r, "cannot take shield out of libxdp's dispatcher of %s: %s (%s)",
			  dev, strerror(-r), words())
		 : 0;
}

int bf_share_remove(const char *dev, int ifindex, unsigned int *removed, struct bf_error *err)
{
	listen_to_libxdp();
	*removed = 0;
	if ((int)if_nametoindex(dev) != ifindex)
		return 0;
	return take_out(dev, ifindex, 0, 0, removed, err);
}

static int down_layout(void *arg, const char *dir, const char *name)
{
	struct if_nameindex *devices, *d;
	int fd = bf_pins_open(dir, name, "maps", CONTROL), r = 0;
	uint32_t control_id = fd >= 0 ? bf_map_id(fd) : 0;
	unsigned int removed;

	if (fd >= 0)
		close(fd);
	devices = if_nameindex();
	for (d = devices; !r && control_id && d && d->if_index; d++)
		r = take_out(d->if_name, (int)d->if_index, control_id, 0, &removed, arg);
	if_freenameindex(devices);
	return r;
}

int bf_share_down(const char *pin_dir, struct bf_error *err)
{
	char dir[BF_PATH];

	if (access(BF_LIBXDP_DIR, F_OK) < 0 ||
	    bf_pins_path(dir, pin_dir, BF_SHIELD_DIR, NULL, NULL))
		return 0;
	listen_to_libxdp();
	return bf_pins_each(dir, down_layout, err);
}

/* --- putting in --- */

static int refused(const char *dev, int ifindex, int why, struct bf_error *err)
{
	bool native;
	uint32_t holder = bf_xdp_on(ifindex, &native);
	char who[96];

	if (!holder)
		return bf_err(
			err, why,
			"XDP of %s cannot be shared: the kernel lets no program into libxdp's "
			"dispatcher (freplace: %s); leave --shared out",
			dev, strerror(-why));
	return bf_err(err, why,
		      "XDP of %s is held by %s, and the kernel lets no program in beside it "
		      "(freplace: %s); use --tc",
		      dev, bf_shield_program(holder, who, sizeof(who)), strerror(-why));
}

/*
 * Does the kernel let a program take the place of a part of another? Tried on what is attached nowhere: where it does
 * not, libxdp would take the hook for itself alone.
 */
static int try_replacing(const char *dev, int ifindex, struct bf_error *err)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .find_filename = "xdp-dispatcher.o",
			    .prog_name = "xdp_pass");
	struct xdp_program *target = xdp_program__create(&opts), *other = NULL;
	struct bpf_object *into, *part;
	struct bpf_program *p, *q;
	int r = (int)libxdp_get_error(target);

	if (!r) {
		other = xdp_program__create(&opts);
		r = (int)libxdp_get_error(other);
	}
	if (r) {
		bf_err(err, r, "libxdp's xdp-dispatcher.o cannot be read: %s", strerror(-r));
		goto out;
	}
	into = xdp_program__bpf_obj(target);
	part = xdp_program__bpf_obj(other);
	r = bpf_object__load(into);
	if (r) {
		bf_err(err, r, "the kernel refuses libxdp's dispatcher: %s (%s)", strerror(-r),
		       words());
		goto out;
	}
	p = bpf_object__find_program_by_name(into, "xdp_pass");
	bpf_object__for_each_program(q, part)
		bpf_program__set_autoload(q, !strcmp(bpf_program__name(q), "xdp_pass"));
	q = bpf_object__find_program_by_name(part, "xdp_pass");
	bpf_program__set_type(q, BPF_PROG_TYPE_EXT);
	bpf_program__set_expected_attach_type(q, 0);
	r = bpf_program__set_attach_target(q, bpf_program__fd(p), "xdp_pass");
	if (!r)
		r = bpf_object__load(part);
	if (r)
		refused(dev, ifindex, r, err);
out:
	if (!libxdp_get_error(target))
		xdp_program__close(target);
	if (other && !libxdp_get_error(other))
		xdp_program__close(other);
	return r;
}

/* The map of that name among those that the agent's program uses; -ENOENT. */
static int map_of(const struct bf_prog_info *agents, const char *name)
{
	for (uint32_t i = 0; i < agents->maps; i++) {
		struct bpf_map_info info = {0};
		uint32_t len = sizeof(info);
		int fd = bpf_map_get_fd_by_id(agents->map_id[i]);

		if (fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) && !strcmp(info.name, name))
			return fd;
		if (fd >= 0)
			close(fd);
	}
	return -ENOENT;
}

/* The agent's tables in place of new ones; *control_id: what its programs are known by. */
static int adopt(struct shield_bpf *skel, const char *pins, uint32_t prog_id, uint32_t *control_id,
		 struct bf_error *err)
{
	struct bf_prog_info agents;
	struct bpf_map *m;
	char path[BF_PATH];
	int fd, r = -ENAMETOOLONG;

	if (snprintf(path, sizeof(path), "%s/progs/xdp_%u", pins, prog_id) < BF_PATH) {
		fd = bpf_obj_get(path);
		r = fd < 0 ? -errno : bf_prog_info(fd, &agents);
		if (fd >= 0)
			close(fd);
	}
	if (r)
		return bf_err(err, r, "cannot read the agent's program %s: %s", path, strerror(-r));
	*control_id = 0;
	bpf_object__for_each_map(m, skel->obj)
	{
		struct bpf_map_info info = {0};
		uint32_t len = sizeof(info);

		fd = map_of(&agents, bpf_map__name(m));
		if (fd < 0)
			continue; /* not of this program, or its constants */
		r = bpf_obj_get_info_by_fd(fd, &info, &len) < 0 ? -errno : 0;
		if (!r &&
		    (info.type != bpf_map__type(m) || info.value_size != bpf_map__value_size(m)))
			r = -ESTALE;
		if (!r)
			r = bpf_map__reuse_fd(m, fd);
		if (!r && m == skel->maps.bpfast_shctl)
			*control_id = info.id;
		close(fd);
		if (r)
			return r == -ESTALE ? bf_err(err, r,
						     "this bpfast is of another version than the "
						     "agent: its tables differ (%s)",
						     bpf_map__name(m))
					    : bf_err(err, r, "cannot use the agent's table %s: %s",
						     bpf_map__name(m), strerror(-r));
	}
	return *control_id ? 0 : bf_err(err, -ENOENT, "the agent's program has no control block");
}

/* Who else guards the device cannot be seen by the agent. */
static int refuse_another(const char *dev, int ifindex, uint32_t control_id, struct bf_error *err)
{
	struct xdp_multiprog *mp = programs_of(ifindex);
	bool another = false;

	for (struct xdp_program *p = mp ? next(mp, NULL) : NULL; p; p = next(mp, p))
		another = another ||
			  whose(xdp_program__fd(p), (uint32_t)ifindex, control_id) == ANOTHER;
	xdp_multiprog__close(mp);
	return another ? bf_err(err, -EEXIST,
				"another BPFast, with another pin directory, guards %s; run bpfast "
				"down there first",
				dev)
		       : 0;
}

/* In the mode that the dispatcher has; where there is none, native first. */
static int put(struct xdp_program *prog, const char *dev, int ifindex, enum bf_shield_want want,
	       struct bf_error *err)
{
	enum xdp_attach_mode mode = want == BF_SHIELD_GENERIC ? XDP_MODE_SKB : XDP_MODE_NATIVE;
	bool any = want != BF_SHIELD_GENERIC && want != BF_SHIELD_NATIVE, native;
	bool there = bf_xdp_on(ifindex, &native) != 0;
	struct xdp_multiprog *mp = programs_of(ifindex);
	int r;

	if (there && !mp)
		return bf_err(err, -EBUSY, "cannot read libxdp's dispatcher of %s: %s (%s)", dev,
			      strerror(errno), words());
	if (there) {
		enum xdp_attach_mode has = xdp_multiprog__attach_mode(mp);

		xdp_multiprog__close(mp);
		if (!any && has != mode)
			return bf_err(err, -EBUSY, "libxdp's dispatcher of %s runs %s XDP", dev,
				      has == XDP_MODE_SKB ? "generic" : "native");
		mode = has;
	}
	/* It would take the hook for one program alone. */
	unsetenv("LIBXDP_SKIP_DISPATCHER");
	r = xdp_program__attach(prog, ifindex, mode, 0);
	if (r && !there && any)
		r = xdp_program__attach(prog, ifindex, XDP_MODE_SKB, 0);
	if (!r)
		return 0;
	if (r == -E2BIG)
		return bf_err(err, r,
			      "libxdp's dispatcher of %s has no room: it runs %d programs "
			      "at most",
			      dev, BF_SHIELD_SHARED_MAX);
	return bf_err(err, r, "libxdp cannot put shield on %s: %s (%s)", dev, strerror(-r),
		      words());
}

static int forget(void *arg, const char *dir, const char *name)
{
	const int *ifindex = arg;
	char path[BF_PATH];

	if (atoi(name) == *ifindex && snprintf(path, sizeof(path), "%s/%s", dir, name) < BF_PATH)
		rmdir(path);
	return 0;
}

/* For the agent, which cannot tell it from the program. Where it fails, status asks for another attach. */
static void note_build(const char *pins, int ifindex, uint32_t prog_id)
{
	char dir[BF_PATH], name[64], build[20], path[BF_PATH];
	size_t size;
	const uint8_t *elf = shield_bpf__elf_bytes(&size);

	bf_build_name(elf, size, build, sizeof(build));
	snprintf(name, sizeof(name), "%d_%u_%s", ifindex, prog_id, build);
	if (snprintf(dir, sizeof(dir), "%s/" BF_SHIELD_SHARED_DIR, pins) >= BF_PATH ||
	    bf_pins_path(path, pins, BF_SHIELD_SHARED_DIR, NULL, name))
		return;
	mkdir(dir, 0700);
	bf_pins_each(dir, forget, &ifindex);
	mkdir(path, 0700);
}

int bf_share_attach(const char *dev, int ifindex, const char *pins, uint32_t prog_id,
		    enum bf_shield_want want, struct bf_error *err)
{
	DECLARE_LIBXDP_OPTS(xdp_program_opts, opts, .prog_name = PROGRAM);
	struct shield_bpf *skel;
	struct xdp_program *prog;
	uint32_t control_id;
	unsigned int removed;
	int r;

	if ((int)if_nametoindex(dev) != ifindex)
		return bf_err(err, -ENODEV,
			      "%s is another device here than the agent's: run this in the network "
			      "namespace of the agent",
			      dev);
	/* Without it most of what follows fails in ways that say something else. */
	capng_get_caps_process();
	if (!capng_have_capability(CAPNG_EFFECTIVE, CAP_SYS_ADMIN))
		return bf_err(
			err, -EPERM,
			"only who has CAP_SYS_ADMIN can put shield into libxdp's dispatcher of "
			"%s; run this as root on the node, or use --tc",
			dev);
	listen_to_libxdp();
	r = try_replacing(dev, ifindex, err);
	if (r)
		return r;
	listen_to_libxdp();
	skel = shield_bpf__open();
	if (!skel)
		return bf_err(err, -errno, "cannot open shield's object: %s", words());
	bpf_program__set_autoload(skel->progs.bpfast_shxdp, false);
	bpf_program__set_autoload(skel->progs.bpfast_shtc, false);
	bpf_program__set_autoload(skel->progs.bpfast_shout, false);
	r = adopt(skel, pins, prog_id, &control_id, err);
	if (!r)
		r = refuse_another(dev, ifindex, control_id, err);
	if (!r) {
		opts.obj = skel->obj;
		prog = xdp_program__create(&opts);
		r = (int)libxdp_get_error(prog);
		if (r) {
			bf_err(err, r, "libxdp refuses shield's program: %s (%s)", strerror(-r),
			       words());
		} else {
			xdp_program__set_run_prio(prog, RUN_PRIORITY);
			xdp_program__set_chain_call_enabled(prog, XDP_PASS, true);
			r = put(prog, dev, ifindex, want, err);
			if (!r)
				note_build(pins, ifindex, xdp_program__id(prog));
			/* The older one goes last: nothing passes unjudged. */
			if (!r)
				r = take_out(dev, ifindex, control_id, xdp_program__id(prog),
					     &removed, err);
			xdp_program__close(prog);
		}
	}
	shield_bpf__destroy(skel);
	return r;
}
