/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_INTERNAL_H
#define BF_DATAPATH_INTERNAL_H
/* What the files of this room share. Nobody outside includes it, tests aside. */
#include <limits.h>
#include <stddef.h>

#include "bpfast/arena.h"
#include "bpfast/flow.h"
#include "datapath/datapath.h"

/* The two hooks of an interface, named by where a packet comes from or goes to. */
enum bf_dir { BF_FROM_POD, BF_TO_POD, BF_DIRS };

/* Maps that are pinned; the numbers index bf_datapath.map[]. */
enum bf_map {
	BF_MAP_ARENA,
	BF_MAP_CONTROL,
	BF_MAP_ENDP,
	BF_MAP_FLOW,
	BF_MAP_FRAG,
	BF_MAP_EVENTS,
	BF_MAP_METRICS,
	BF_MAP_SWEEP,
	BF_MAP_CHUNK,
	BF_MAP_FREE,
	BF_MAP_POOL,
	BF_MAP_HELD,
	BF_MAPS,
};

struct ring_buffer;

struct bf_datapath {
	char pin_dir[PATH_MAX / 2];
	char layout[32]; /* name of the subdirectory for this layout */
	int lock_fd; /* pin_dir, flock'ed: one agent at a time */
	char build[20]; /* a hash of the BPF object */
	bool same_build; /* the pinned programs were taken as they are */
	int map[BF_MAPS]; /* fds */
	int prog[BF_DIRS]; /* fds */
	uint32_t prog_id[BF_DIRS];
	bool tcx;
	const char *hook_why;
	uint8_t *arena; /* mapped whole */
	size_t arena_map_bytes;
	uint32_t arena_bytes;
	struct bpfast_control *control; /* mapped */
	uint32_t flows_max;
	uint32_t chunks_max; /* of the retention pool */
	int grace_outer, grace_inner; /* a map of maps and a map for it */
	struct ring_buffer *ring;
	void (*event_fn)(void *arg, const struct bpfast_event *ev);
	void *event_arg;
	unsigned int event_left;
};

/* Called between steps that a crash may separate; tests set it to die there. */
extern void (*bf_datapath_step_hook)(const char *step);
void bf_step(const char *step);

/* --- load.c --- */

extern const char *const bf_map_name[BF_MAPS];
extern const char *const bf_prog_pin[BF_DIRS];

/* Fills map[], prog[] and what belongs to them. *adopted: the maps were there. */
int bf_load(struct bf_datapath *dp, const struct bf_datapath_options *options, bool *adopted,
	    struct bf_error *err);

/* --- kernel.c: what this kernel and this process can do; bpf(2) beyond libbpf 1.1 --- */

/* Attach types of Linux 6.6, absent from older headers. */
#define BF_TCX_INGRESS 46
#define BF_TCX_EGRESS 47

int bf_kernel_check(struct bf_error *err);
bool bf_kernel_has_tcx(void);
/* A new link at the head of the chain: its fd, or -errno. */
int bf_tcx_link_create(int prog_fd, int ifindex, enum bf_dir dir);
/* The program ids on a device in the order in which they run: their number, or -errno. */
int bf_tcx_query(int ifindex, enum bf_dir dir, uint32_t *ids, uint32_t max);
/* Of a TCX link: the device it is on; 0: the device is gone. -errno: not a TCX link. */
int bf_tcx_link_info(int link_fd, uint32_t *ifindex, enum bf_dir *dir, uint32_t *prog_id);
uint32_t bf_prog_id(int prog_fd); /* 0: none */
/* Waits until no program that ran at the time of the call runs any more. */
int bf_grace(struct bf_datapath *dp);
int bf_grace_init(struct bf_datapath *dp);
void bf_grace_close(struct bf_datapath *dp);

/* --- pins.c: names under the pin directory --- */

#define BF_PATH 1024
/* PIN_DIR/LAYOUT/build/HASH/: all hooks of the layout run programs of that build. */
#define BF_BUILD_DIR "build"
/* Beside the layouts: PIN_DIR/qdisc/IFINDEX/ means that we made that device's qdisc. */
#define BF_QDISC_DIR "qdisc"

/* Makes pin_dir (0700) on a bpffs, mounting one at /sys/fs/bpf if that is where it shall lie. */
int bf_pins_prepare(const char *pin_dir, struct bf_error *err);
bool bf_pins_on_bpffs(const char *path);
/* "PIN_DIR/LAYOUT/SUB[/NAME]"; -ENAMETOOLONG. */
int bf_pins_path(char *out, const char *pin_dir, const char *layout, const char *sub,
		 const char *name);
/* Calls fn for each name in a directory, until it returns non-zero; a missing directory is empty. */
int bf_pins_each(const char *dir, int (*fn)(void *arg, const char *dir, const char *name),
		 void *arg);
/* Removes a directory and all below it; pins are only unpinned. */
int bf_pins_remove(const char *dir);
/* Is the program pinned under any layout of pin_dir, or uses it a map pinned there? */
bool bf_pins_own_prog(const char *pin_dir, uint32_t prog_id);

/* --- tc.c: clsact --- */

/* Handles of our filters; the second says that we made the qdisc, which so
 * outlives agent and pins. */
#define BF_TC_HANDLE 0xbf1u
#define BF_TC_HANDLE_MADE_QDISC 0xbf2u

struct bf_tc_filter {
	uint32_t handle;
	uint32_t prog_id; /* 0: not a BPF filter */
	uint16_t priority;
	char kind[16];
	char name[64];
};

enum bf_qdisc { BF_QDISC_NONE, BF_QDISC_CLSACT, BF_QDISC_OTHER };

/* The filters in the order in which they run, malloc'ed: their number, or -errno. */
int bf_tc_filters(int ifindex, enum bf_dir dir, struct bf_tc_filter **out);
int bf_tc_qdisc(int ifindex, enum bf_qdisc *out);

/* --- hooks.c: both kinds behind one face --- */

/* Puts our programs on both hooks of a device, or moves hooks that are there to them. All or nothing. */
int bf_hooks_ensure(struct bf_datapath *dp, int ifindex, struct bf_error *err);
/* Removes all that anything under pin_dir ever put on the device. */
int bf_hooks_remove(const char *pin_dir, int ifindex);
/* How many of a device's two hooks are ours, under whatever layout. */
int bf_hooks_count(const char *pin_dir, int ifindex);

/* --- layouts.c: other layouts under the same pin directory --- */

/* Calls fn for each endpoint in their tables, until it returns non-zero. */
int bf_layouts_each(const struct bf_datapath *dp,
		    int (*fn)(void *arg, int endp_fd, uint32_t ifindex), void *arg);
/* Removes those that guard nobody any more. */
void bf_layouts_clean(struct bf_datapath *dp);
/* Endpoints that only their programs guard. */
uint32_t bf_layouts_endpoints(struct bf_datapath *dp);
void bf_layouts_forget(struct bf_datapath *dp, uint32_t ifindex);

/* --- arena.c --- */

int bf_arena_init(struct bf_datapath *dp); /* of a fresh map */
int bf_arena_adopt(struct bf_datapath *dp, struct bf_error *err);
const struct bpfast_arena_image *bf_arena_current(const struct bf_datapath *dp);

/* --- flows.c --- */

/* Removes what belongs to an endpoint's slot from the flow and fragment tables. */
int bf_flows_remove(struct bf_datapath *dp, uint16_t slot);

/* --- chunks.c --- */

/* How many chunks of the retention pool are in use. */
int bf_chunks_used(const struct bf_datapath *dp, uint32_t *out);
/* Gives back what an endpoint's flows held; they are removed, and no program runs for them. */
int bf_chunks_remove(const struct bf_datapath *dp, uint16_t slot);
int bf_map_count(int map_fd, size_t key_size, size_t value_size, uint32_t *count);

#endif
