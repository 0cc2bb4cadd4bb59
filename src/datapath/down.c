// SPDX-License-Identifier: Apache-2.0
/* Takes everything away again. */
#include "datapath/internal.h"
#include "datapath/shield/shield.h"

#include <bpf/libbpf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int quiet(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

struct failure {
	const char *pin_dir;
	int code;
	int ifindex;
};

static void note(struct failure *f, int ifindex, int code)
{
	if (code && !f->code) {
		f->code = code;
		f->ifindex = ifindex;
	}
}

static int down_link(void *arg, const char *dir, const char *name)
{
	struct failure *f = arg;
	int ifindex = atoi(name);

	(void)dir;
	if (ifindex > 0)
		note(f, ifindex, bf_hooks_remove(f->pin_dir, ifindex));
	return 0;
}

static int down_layout(void *arg, const char *pin_dir, const char *layout)
{
	char path[BF_PATH];

	if (bf_pins_path(path, pin_dir, layout, "links", NULL) == 0)
		bf_pins_each(path, down_link, arg);
	return 0;
}

int bf_datapath_down(const char *pin_dir, struct bf_error *err)
{
	int ret;

	if (strlen(pin_dir) >= BF_PATH / 2)
		return bf_err(err, -ENAMETOOLONG, "the pin directory's name is too long");
	if (access(pin_dir, F_OK) < 0)
		return errno == ENOENT ? 0
				       : bf_err(err, -errno, "%s: %s", pin_dir, strerror(errno));
	if (!bf_pins_on_bpffs(pin_dir))
		return bf_err(err, -EINVAL,
			      "%s does not lie on a BPF file system: it is no pin directory",
			      pin_dir);
	libbpf_set_print(quiet);
	ret = bf_shield_down(pin_dir, err);
	return ret ? ret : bf_pins_down(pin_dir, err);
}

int bf_pins_down(const char *pin_dir, struct bf_error *err)
{
	struct failure f = {.pin_dir = pin_dir};
	struct if_nameindex *devices;
	int ret;

	/* The links first, for their devices may be gone; then whatever any device holds. */
	bf_pins_each(pin_dir, down_layout, &f);
	devices = if_nameindex();
	for (struct if_nameindex *d = devices; d && d->if_index; d++)
		note(&f, (int)d->if_index, bf_hooks_remove(pin_dir, (int)d->if_index));
	if_freenameindex(devices);
	if (f.code)
		return bf_err(err, f.code, "cannot detach from interface %d: %s", f.ifindex,
			      strerror(-f.code));
	/* Only now: the pins are what our hooks are known by. */
	ret = bf_pins_remove(pin_dir);
	if (ret)
		return bf_err(err, ret, "cannot remove %s: %s", pin_dir, strerror(-ret));
	return 0;
}
