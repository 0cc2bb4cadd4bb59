// SPDX-License-Identifier: Apache-2.0
/*
 * Shield's programs and maps. Names under the pin directory:
 *
 *   PIN_DIR/shield/LAYOUT/maps/NAME        the maps; list_0 and list_1: the images in force
 *   PIN_DIR/shield/LAYOUT/links/IFINDEX_{xdp,from,to}
 *   PIN_DIR/shield/LAYOUT/progs/{xdp,tc,out,sweep}_ID
 *   PIN_DIR/shield/LAYOUT/shared/IFINDEX_ID_BUILD/   share.c: of which build a program in a dispatcher is
 */
#include "datapath/shield/shield.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "datapath/internal.h"
#include "bpfast/shield_measure.h"
#include "datapath/shield/internal.h"
#include "shield.skel.h"

static const char *const map_name[BF_SHIELD_MAPS] = {
	[BF_SHIELD_MAP_CONTROL] = "bpfast_shctl",    [BF_SHIELD_MAP_COUNT] = "bpfast_shcnt",
	[BF_SHIELD_MAP_SOURCE] = "bpfast_shsrc",     [BF_SHIELD_MAP_DEST] = "bpfast_shdst",
	[BF_SHIELD_MAP_FILTER] = "bpfast_shfilt",    [BF_SHIELD_MAP_CONN] = "bpfast_shconn",
	[BF_SHIELD_MAP_UDP] = "bpfast_shudp",	     [BF_SHIELD_MAP_GOOD] = "bpfast_shgood",
	[BF_SHIELD_MAP_SAMPLE] = "bpfast_shsmp",     [BF_SHIELD_MAP_LIST] = "bpfast_shlist",
	[BF_SHIELD_MAP_TAG] = "bpfast_shtag",	     [BF_SHIELD_MAP_PROTECTED] = "bpfast_shprot",
	[BF_SHIELD_MAP_ADAPTIVE] = "bpfast_shadapt", [BF_SHIELD_MAP_FORCE] = "bpfast_shmeas",
	[BF_SHIELD_MAP_METER] = "bpfast_shmeter",    [BF_SHIELD_MAP_CPU] = "bpfast_shcpu",
	[BF_SHIELD_MAP_PACKET] = "bpfast_shpkt",     [BF_SHIELD_MAP_NEW] = "bpfast_shnew",
	[BF_SHIELD_MAP_COOKIE] = "bpfast_shck",	     [BF_SHIELD_MAP_DNS] = "bpfast_shdns",
	[BF_SHIELD_MAP_DNS_CPU] = "bpfast_shdnscpu", [BF_SHIELD_MAP_REPEAT] = "bpfast_shrep",
	[BF_SHIELD_MAP_BAR] = "bpfast_shbar",
};

static const char *const prog_pin[BF_SHIELD_PROGS] = {"xdp", "tc", "out", "sweep"};

/* --- limits --- */

void bf_shield_set_limit(struct bpfast_shield_limit *limit, uint32_t rate, uint32_t burst)
{
	uint32_t step = rate ? (1000000000u + rate / 2) / rate : 0;

	if (rate && !step)
		step = 1;
	/* Programs read while this is written: nothing may be limited by half a limit. */
	*(volatile uint32_t *)&limit->rate = 0;
	limit->burst = burst;
	limit->step_ns = step;
	limit->slack_ns = (uint64_t)burst * step;
	__sync_synchronize();
	*(volatile uint32_t *)&limit->rate = rate;
}

/* docs/guide/shield.md says where these come from. */
static const struct {
	uint32_t rate, burst;
} defaults[BPFAST_SC_COUNT][BPFAST_SS_COUNT] = {
	[BPFAST_SC_SYN] = {{500, 4000}, {2000, 16000}, {5000, 20000}},
	[BPFAST_SC_STATE] = {{200, 4000}, {1000, 8000}, {2000, 20000}},
	[BPFAST_SC_UDP] = {{50000, 100000}, {100000, 200000}, {200000, 400000}},
	[BPFAST_SC_ICMP] = {{200, 1000}, {1000, 4000}, {2000, 8000}},
	[BPFAST_SC_FRAGMENT] = {{2000, 8000}, {4000, 16000}, {10000, 40000}},
	[BPFAST_SC_OTHER] = {{20000, 40000}, {50000, 100000}, {100000, 200000}},
};

void bf_shield_set_defaults(struct bpfast_shield_control *control)
{
	for (int c = 0; c < BPFAST_SC_COUNT; c++)
		for (int s = 0; s < BPFAST_SS_COUNT; s++)
			bf_shield_set_limit(&control->limit[c][s], defaults[c][s].rate,
					    defaults[c][s].burst);
}

uint32_t bf_shield_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint32_t)(((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec) >> 30);
}

/* --- load --- */

static struct bpf_map *skel_map(struct shield_bpf *skel, enum bf_shield_map m)
{
	return bpf_object__find_map_by_name(skel->obj, map_name[m]);
}

/* Measurement has a part for each CPU. */
static int set_sizes(struct shield_bpf *skel)
{
	static const struct {
		enum bf_shield_map map;
		uint32_t of_cpu;
	} sized[] = {{BF_SHIELD_MAP_METER, BPFAST_DESTS},
		     {BF_SHIELD_MAP_CPU, 1},
		     {BF_SHIELD_MAP_DNS_CPU, 1},
		     {BF_SHIELD_MAP_PACKET, BPFAST_PACKETS}};
	int cpus = libbpf_num_possible_cpus(), ret = cpus < 0 ? cpus : 0;

	for (size_t i = 0; !ret && i < sizeof(sized) / sizeof(sized[0]); i++)
		ret = bpf_map__set_max_entries(skel_map(skel, sized[i].map),
					       (uint32_t)cpus * sized[i].of_cpu);
	return ret;
}

static void layout_name(struct bf_shield *s, struct shield_bpf *skel)
{
	uint32_t h = BF_HASH_FIRST;

	for (int m = 0; m < BF_SHIELD_MAPS; m++) {
		struct bpf_map *map = skel_map(skel, m);

		h = bf_hash_mix(h, bpf_map__type(map));
		h = bf_hash_mix(h, bpf_map__value_size(map));
		h = bf_hash_mix(h, bpf_map__max_entries(map));
	}
	snprintf(s->hooks.layout, sizeof(s->hooks.layout), "v%d-%08x", BPFAST_SHIELD_VERSION, h);
}

static int reuse_maps(struct bf_shield *s, struct shield_bpf *skel)
{
	char path[BF_PATH];
	int ret = bf_pins_path(path, s->hooks.pin_dir, s->hooks.layout, NULL, NULL);

	if (ret)
		return ret;
	if (access(path, F_OK) < 0)
		return -ENOENT;
	for (int m = 0; !ret && m < BF_SHIELD_MAPS; m++) {
		s->map[m] = bf_pins_open(s->hooks.pin_dir, s->hooks.layout, "maps", map_name[m]);
		if (s->map[m] < 0)
			ret = s->map[m];
		else if (bpf_map__reuse_fd(skel_map(skel, m), s->map[m]) < 0)
			ret = -errno;
	}
	return ret;
}

static int pin_maps(struct bf_shield *s)
{
	int ret;

	if (mkdir(s->hooks.pin_dir, 0700) < 0 && errno != EEXIST)
		return -errno;
	ret = bf_pins_begin(s->hooks.pin_dir, BF_SHIELD_UNFINISHED);
	for (int m = 0; !ret && m < BF_SHIELD_MAPS; m++)
		ret = bf_pins_put(s->map[m], s->hooks.pin_dir, BF_SHIELD_UNFINISHED, "maps",
				  map_name[m]);
	return ret ? ret : bf_pins_finish(s->hooks.pin_dir, BF_SHIELD_UNFINISHED, s->hooks.layout);
}

static int load(struct bf_shield *s, struct shield_bpf *skel, bool *adopted, struct bf_error *err)
{
	const struct bpf_program *prog[BF_SHIELD_PROGS] = {
		skel->progs.bpfast_shxdp, skel->progs.bpfast_shtc, skel->progs.bpfast_shout,
		skel->progs.bpfast_shsweep};
	int ret;

	ret = set_sizes(skel);
	if (ret)
		return bf_err(err, ret, "cannot size shield's maps: %s", strerror(-ret));
	layout_name(s, skel);
	ret = *s->hooks.pin_dir ? reuse_maps(s, skel) : -ENOENT;
	*adopted = ret == 0;
	if (ret && ret != -ENOENT)
		return bf_err(err, ret, "cannot use the maps pinned under %s/%s: %s",
			      s->hooks.pin_dir, s->hooks.layout, strerror(-ret));
	ret = shield_bpf__load(skel);
	if (ret)
		return bf_err(err, ret, "the kernel refused shield's programs: %s (%s)",
			      strerror(-ret), bf_words_of_libbpf());
	for (int m = 0; !ret && m < BF_SHIELD_MAPS; m++)
		if (s->map[m] < 0)
			ret = bf_keep_fd(&s->map[m], bpf_map__fd(skel_map(skel, m)));
	for (int p = 0; !ret && p < BF_SHIELD_PROGS; p++) {
		ret = bf_keep_fd(&s->prog[p], bpf_program__fd(prog[p]));
		s->prog_id[p] = bf_prog_id(s->prog[p]);
	}
	return ret ? bf_err(err, ret, "cannot keep shield's maps: %s", strerror(-ret)) : 0;
}

int bf_shield_new_keys(struct bpfast_shield_control *c)
{
	if (getrandom(&c->seed, sizeof(c->seed), 0) != (ssize_t)sizeof(c->seed) ||
	    getrandom(&c->key, sizeof(c->key), 0) != (ssize_t)sizeof(c->key))
		return -EIO;
	return 0;
}

static int map_control(struct bf_shield *s, bool adopted, struct bf_error *err)
{
	void *p = mmap(NULL, sizeof(*s->control), PROT_READ | PROT_WRITE, MAP_SHARED,
		       s->map[BF_SHIELD_MAP_CONTROL], 0);

	if (p == MAP_FAILED)
		return bf_err(err, -errno, "cannot map shield's control block: %s",
			      strerror(errno));
	s->control = p;
	bf_shield_cookies_count(s);
	bf_shield_bars_count(s);
	if (adopted)
		return 0;
	if (bf_shield_new_keys(s->control))
		return bf_err(err, -EIO, "the kernel gives no random number");
	bf_shield_set_defaults(s->control);
	return 0;
}

static int pin_progs(struct bf_shield *s)
{
	char name[32];

	for (int p = 0; p < BF_SHIELD_PROGS; p++) {
		int ret;

		snprintf(name, sizeof(name), "%s_%u", prog_pin[p], s->prog_id[p]);
		ret = bf_pins_put(s->prog[p], s->hooks.pin_dir, s->hooks.layout, "progs", name);
		if (ret)
			return ret;
	}
	return 0;
}

/* What was lost of a shared device a command can mend: it is not forgotten, for status to say so. */
static bool is_there(struct bf_shield *s, const struct bpfast_shield_device *d)
{
	char dev[IF_NAMESIZE];

	return bf_shield_alive(s, d) ||
	       (d->hook == BPFAST_SH_SHARED && if_indextoname(d->ifindex, dev));
}

/* Every device's hooks get the programs of this build; what is gone is forgotten. */
static int renew(struct bf_shield *s, struct bf_error *err)
{
	for (int i = 0; i < BPFAST_SHIELD_SLOTS; i++) {
		struct bpfast_shield_device *d = &s->control->device[i];
		int ret;

		if (!d->ifindex)
			continue;
		if (!is_there(s, d)) {
			bf_shield_detach(s, (int)d->ifindex, NULL);
			continue;
		}
		ret = bf_shield_hooks_renew(s, d, err);
		if (ret)
			return ret;
	}
	bf_pins_keep_progs(s->hooks.pin_dir, s->hooks.layout, s->prog_id, BF_SHIELD_PROGS);
	return 0;
}

static struct bf_shield *new_shield(void)
{
	struct bf_shield *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	for (int m = 0; m < BF_SHIELD_MAPS; m++)
		s->map[m] = -1;
	for (int p = 0; p < BF_SHIELD_PROGS; p++)
		s->prog[p] = -1;
	for (int i = 0; i < BPFAST_SI_COUNT; i++)
		s->list_fd[i] = -1;
	return s;
}

static int open_shield(struct bf_shield *s, int vouch_fd, bool *adopted, struct bf_error *err)
{
	struct shield_bpf *skel;
	const uint8_t *elf;
	size_t size;
	int ret;

	elf = shield_bpf__elf_bytes(&size);
	bf_build_name(elf, size, s->build, sizeof(s->build));
	bf_words_listen();
	skel = shield_bpf__open();
	if (!skel)
		return bf_err(err, -errno, "cannot open shield's object: %s", bf_words_of_libbpf());
	/* Only a command can put it where it belongs, and loads it then. */
	bpf_program__set_autoload(skel->progs.bpfast_shshare, false);
	/* A map of the pods' programs, which read there what ours write. */
	if (vouch_fd >= 0 && bpf_map__reuse_fd(skel->maps.bpfast_vouch, vouch_fd) < 0)
		ret = bf_err(err, -errno, "cannot use the map that shield shares with pods: %s",
			     strerror(errno));
	else
		ret = load(s, skel, adopted, err);
	shield_bpf__destroy(skel);
	return ret ? ret : map_control(s, *adopted, err);
}

int bf_shield_open(const char *pin_dir, bool force_clsact, int vouch_fd, bf_shield_rewrite *rewrite,
		   struct bf_shield **out, bool *adopted, struct bf_error *err)
{
	struct bf_shield *s = new_shield();
	bool was_there = false;
	int ret;

	if (!s)
		return bf_err(err, -ENOMEM, "out of memory");
	if (snprintf(s->hooks.pin_dir, sizeof(s->hooks.pin_dir), "%s/" BF_SHIELD_DIR, pin_dir) >=
	    (int)sizeof(s->hooks.pin_dir)) {
		bf_shield_close(s);
		return bf_err(err, -ENAMETOOLONG, "the pin directory's name is too long");
	}
	s->hooks.tcx = bf_kernel_has_tcx() && !force_clsact;
	s->rewrite = rewrite;
	ret = open_shield(s, vouch_fd, &was_there, err);
	if (!ret && !was_there) {
		bf_shield_layouts_read(s);
		ret = pin_maps(s);
		if (ret)
			bf_err(err, ret, "cannot pin shield's maps under %s: %s", s->hooks.pin_dir,
			       strerror(-ret));
	}
	if (!ret) {
		ret = pin_progs(s);
		if (ret)
			bf_err(err, ret, "cannot pin shield's programs: %s", strerror(-ret));
	}
	if (!ret)
		ret = bf_shield_lists_adopt(s, err);
	if (!ret)
		ret = bf_shield_layouts_move(s, err);
	if (!ret)
		ret = renew(s, err);
	if (ret) {
		bf_shield_close(s);
		return ret;
	}
	*adopted = was_there;
	*out = s;
	return 0;
}

void bf_shield_after(struct bf_shield *s, int from_pod_fd)
{
	s->from_pod_fd = from_pod_fd;
}

int bf_shield_open_private(struct bf_shield **out, struct bf_error *err)
{
	struct bf_shield *s = new_shield();
	bool adopted = false;
	int ret;

	if (!s)
		return bf_err(err, -ENOMEM, "out of memory");
	ret = open_shield(s, -1, &adopted, err);
	if (ret)
		bf_shield_close(s);
	else
		*out = s;
	return ret;
}

void bf_shield_close(struct bf_shield *s)
{
	if (!s)
		return;
	bf_shield_lists_close(s);
	if (s->control)
		munmap(s->control, sizeof(*s->control));
	for (int m = 0; m < BF_SHIELD_MAPS; m++)
		if (s->map[m] >= 0)
			close(s->map[m]);
	for (int p = 0; p < BF_SHIELD_PROGS; p++)
		if (s->prog[p] >= 0)
			close(s->prog[p]);
	free(s);
}

bool bf_shield_pinned(const char *pin_dir)
{
	char path[BF_PATH];

	return bf_pins_path(path, pin_dir, BF_SHIELD_DIR, NULL, NULL) == 0 &&
	       access(path, F_OK) == 0;
}

/* --- reading --- */

struct bpfast_shield_control *bf_shield_control(struct bf_shield *s)
{
	return s->control;
}

int bf_shield_counters(struct bf_shield *s, unsigned int slot, struct bpfast_shield_counters *out)
{
	static_assert(sizeof(*out) % sizeof(uint64_t) == 0, "counters");

	return bf_map_sum(s->map[BF_SHIELD_MAP_COUNT], slot, out, sizeof(*out));
}

int bf_shield_samples(struct bf_shield *s, struct bpfast_shield_sample **out, size_t *n)
{
	struct bpfast_shield_sample *all = calloc(BPFAST_SHIELD_SAMPLES, sizeof(*all));

	*out = NULL;
	*n = 0;
	if (!all)
		return -ENOMEM;
	for (uint32_t i = 0; i < BPFAST_SHIELD_SAMPLES; i++)
		if (bpf_map_lookup_elem(s->map[BF_SHIELD_MAP_SAMPLE], &i, &all[*n]) == 0 &&
		    all[*n].count)
			(*n)++;
	*out = all;
	return 0;
}

const char *bf_shield_program(uint32_t prog_id, char *buf, size_t size)
{
	struct bpf_prog_info info = {0};
	uint32_t len = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog_id);

	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.name[0])
		snprintf(buf, size, "'%s' (program %u)", info.name, prog_id);
	else
		snprintf(buf, size, "program %u", prog_id);
	if (fd >= 0)
		close(fd);
	return buf;
}

/* --- trial runs --- */

int bf_shield_trial(struct bf_shield *s, bool tc, int ifindex, const void *frame, size_t len,
		    uint32_t repeat, bool *passed, uint32_t *ns)
{
	return bf_shield_trial_answer(s, tc, ifindex, frame, len, repeat, passed, ns, NULL, NULL);
}

int bf_shield_trial_answer(struct bf_shield *s, bool tc, int ifindex, const void *frame, size_t len,
			   uint32_t repeat, bool *passed, uint32_t *ns, void *answer,
			   size_t *answer_len)
{
	struct xdp_md xdp = {.data_end = (uint32_t)len, .ingress_ifindex = (uint32_t)ifindex};
	struct __sk_buff skb = {.ifindex = (uint32_t)ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len,
		    .repeat = (int)repeat);
	int ret;

	if (answer) {
		opts.data_out = answer;
		opts.data_size_out = (uint32_t)*answer_len;
	}
	opts.ctx_in = tc ? (void *)&skb : (void *)&xdp;
	opts.ctx_size_in = tc ? sizeof(skb) : sizeof(xdp);
	ret = bpf_prog_test_run_opts(s->prog[tc ? BF_SHIELD_PROG_TC : BF_SHIELD_PROG_XDP], &opts);
	if (ret < 0)
		return ret;
	*passed = tc ? (int)opts.retval == -1 : opts.retval == XDP_PASS;
	/* What TC_ACT_REDIRECT is at TC. */
	if (answer)
		*answer_len = opts.retval == (tc ? 7 : XDP_TX) ? opts.data_size_out : 0;
	if (ns)
		*ns = opts.duration;
	return 0;
}

int bf_shield_trial_out(struct bf_shield *s, int ifindex, const void *frame, size_t len)
{
	struct __sk_buff skb = {.ifindex = (uint32_t)ifindex};
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame, .data_size_in = (uint32_t)len,
		    .ctx_in = &skb, .ctx_size_in = sizeof(skb));

	return bpf_prog_test_run_opts(s->prog[BF_SHIELD_PROG_OUT], &opts);
}

int bf_shield_sweep(struct bf_shield *s, uint32_t first, uint32_t sets, uint32_t *emptied)
{
	struct bpfast_shield_sweep sweep = {.first = first, .sets = sets};
	/* The kernel writes back what the program has changed there. */
	LIBBPF_OPTS(bpf_test_run_opts, opts, .ctx_in = &sweep, .ctx_size_in = sizeof(sweep));
	int ret = bpf_prog_test_run_opts(s->prog[BF_SHIELD_PROG_SWEEP], &opts);

	if (!ret && emptied)
		*emptied = sweep.emptied;
	return ret;
}
