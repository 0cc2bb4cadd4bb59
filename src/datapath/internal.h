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
	BF_MAP_QUOTA,
	BF_MAP_VOUCH,
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
	int after[BF_DIRS]; /* 0, or a program (fd): where a device has it, ours comes after it */
	unsigned int
		without; /* 1 << enum bf_dir: a hook that is not wanted; shield needs but one */
	bool tcx;
	const char *hook_why;
	uint8_t *arena; /* mapped whole */
	size_t arena_map_bytes;
	uint32_t arena_bytes;
	struct bpfast_control *control; /* mapped */
	struct bpfast_quota *quota; /* mapped: one for each slot */
	uint32_t flows_max;
	uint32_t chunks_max; /* of the retention pool */
	int grace_outer, grace_inner; /* a map of maps and a map for it */
	void *note; /* this layout's, for another: see note.h */
	size_t note_bytes;
	struct bf_carried carried; /* by this process */
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

/* A name for a BPF object, out of its own bytes. */
void bf_build_name(const uint8_t *elf, size_t size, char *out, size_t out_size);

/* --- words.c: what libbpf says --- */

/* From here on, in this thread. */
void bf_words_listen(void);
/* The first warning, and the line of the verifier's log that tells why; "": none. */
const char *bf_words_of_libbpf(void);
const char *bf_words_of_verifier(void);

/* --- kernel.c: what this kernel and this process can do; bpf(2) beyond libbpf 1.1 --- */

/* Attach types of Linux 6.6, absent from older headers. */
#define BF_TCX_INGRESS 46
#define BF_TCX_EGRESS 47

int bf_kernel_check(struct bf_error *err);
bool bf_kernel_has_tcx(void);
/* A new link at the head of the chain, or, with after_fd, behind that program where the device has it: its fd, or -errno. */
int bf_tcx_link_create(int prog_fd, int ifindex, enum bf_dir dir, int after_fd);
/* The program ids on a device in the order in which they run: their number, or -errno. */
int bf_tcx_query(int ifindex, enum bf_dir dir, uint32_t *ids, uint32_t max);
/* Of a TCX link: the device it is on; 0: the device is gone. -errno: not a TCX link. */
int bf_tcx_link_info(int link_fd, uint32_t *ifindex, enum bf_dir *dir, uint32_t *prog_id);
uint32_t bf_prog_id(int prog_fd); /* 0: none */
/* Another fd of the same in place of *to (-1: none yet); programs that we start do not get it. */
int bf_keep_fd(int *to, int fd);
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
/* What is pinned there: its fd, or -errno. */
int bf_pins_open(const char *pin_dir, const char *layout, const char *sub, const char *name);
int bf_pins_put(int fd, const char *pin_dir, const char *layout, const char *sub, const char *name);
/* A layout is built under another name, anew, and gets its own once all its maps are there. */
int bf_pins_begin(const char *pin_dir, const char *as);
int bf_pins_finish(const char *pin_dir, const char *as, const char *layout);
/* Unpins a layout's programs but those of these numbers. */
void bf_pins_keep_progs(const char *pin_dir, const char *layout, const uint32_t *id, size_t n);
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

/* --- down.c --- */

/* Removes all hooks known by the layouts under a directory, and the directory. */
int bf_pins_down(const char *pin_dir, struct bf_error *err);

/* --- layouts.c: other layouts under the same pin directory --- */

/* Calls fn for each endpoint in their tables, until it returns non-zero. */
int bf_layouts_each(const struct bf_datapath *dp,
		    int (*fn)(void *arg, int endp_fd, uint32_t ifindex), void *arg);
/* Removes those that guard nobody any more. */
void bf_layouts_clean(struct bf_datapath *dp);
/* Endpoints that only their programs guard. */
uint32_t bf_layouts_endpoints(struct bf_datapath *dp);
/* Takes an endpoint out of their tables. */
void bf_layouts_drop(const struct bf_datapath *dp, uint32_t ifindex);
bool bf_layout_is_other(const struct bf_datapath *dp, const char *layout);
/* The same as bf_layouts_drop(), and removes those that guard nobody then. */
void bf_layouts_forget(struct bf_datapath *dp, uint32_t ifindex);

/* --- arena.c --- */

int bf_arena_init(struct bf_datapath *dp); /* of a fresh map */
int bf_arena_adopt(struct bf_datapath *dp, struct bf_error *err);
const struct bpfast_arena_image *bf_arena_current(const struct bf_datapath *dp);

/* --- flows.c --- */

/* Removes what belongs to an endpoint's slot from the flow and fragment tables. */
int bf_flows_remove(struct bf_datapath *dp, uint16_t slot);
/* Only those of inspected connections, with all that they have kept. */
int bf_flows_remove_inspected(struct bf_datapath *dp, uint16_t slot);
/* Removes what belongs to all others: kept[slot], UINT16_MAX + 1 of them. */
int bf_flows_keep(struct bf_datapath *dp, const bool *kept);
/* Calls fn for batches of keys and values until all were seen. The map may change meanwhile. */
int bf_map_walk(int map_fd, size_t key_size, size_t value_size,
		int (*fn)(void *arg, int map_fd, const uint8_t *keys, const uint8_t *values,
			  uint32_t n),
		void *arg);

/* Flows in the table by slot; n has room for BPFAST_ENDPOINTS_MAX. */
int bf_flows_by_slot(const struct bf_datapath *dp, uint32_t *n);

/* --- quota.c: how much of the flow table each endpoint has --- */

/* One flow of the slot was taken out of the table. */
void bf_quota_give(struct bf_datapath *dp, uint16_t slot);
/* The slot has no flow any more, and no program makes one. */
int bf_quota_clear(struct bf_datapath *dp, uint16_t slot);
/* Counts anew what an agent that was killed, or somebody else, took out without telling. Programs
 * may run meanwhile. */
int bf_quota_recount(struct bf_datapath *dp);
void bf_quota_status(const struct bf_datapath *dp, struct bf_datapath_status *out);

/* --- chunks.c --- */

/* How many chunks of the retention pool are in use. */
int bf_chunks_used(const struct bf_datapath *dp, uint32_t *out);
/* Gives back what an endpoint's flows held; they are removed, and no program runs for them. */
int bf_chunks_remove(const struct bf_datapath *dp, uint16_t slot);
/* The same for all slots but these. */
int bf_chunks_keep(const struct bf_datapath *dp, const bool *kept);
int bf_map_count(int map_fd, size_t key_size, size_t value_size, uint32_t *count);
/* The sum over CPUs of an element of a per-CPU array whose value is `size` bytes of __u64 counters. */
int bf_map_sum(int map_fd, uint32_t index, void *out, size_t size);

/* One step of FNV-1a, 32 bits, for names of layouts; the first h is BF_HASH_FIRST. */
#define BF_HASH_FIRST 2166136261u
static inline uint32_t bf_hash_mix(uint32_t h, uint32_t v)
{
	for (int i = 0; i < 4; i++, v >>= 8)
		h = (h ^ (v & 0xff)) * 16777619u;
	return h;
}

#endif
