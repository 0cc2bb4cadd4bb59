/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_SHIELD_INTERNAL_H
#define BF_DATAPATH_SHIELD_INTERNAL_H
/* What shield*.c of this room share. */
#include "datapath/internal.h"
#include "datapath/shield/shield.h"

#define BF_SHIELD_DIR "shield"
/* Where a layout is built before it gets its name. */
#define BF_SHIELD_UNFINISHED "new"

enum bf_shield_map {
	BF_SHIELD_MAP_CONTROL,
	BF_SHIELD_MAP_COUNT,
	BF_SHIELD_MAP_SOURCE,
	BF_SHIELD_MAP_DEST,
	BF_SHIELD_MAP_FILTER,
	BF_SHIELD_MAP_CONN,
	BF_SHIELD_MAP_UDP,
	BF_SHIELD_MAP_GOOD,
	BF_SHIELD_MAP_SAMPLE,
	BF_SHIELD_MAP_LIST,
	BF_SHIELD_MAP_TAG,
	BF_SHIELD_MAP_PROTECTED,
	BF_SHIELD_MAP_ADAPTIVE,
	BF_SHIELD_MAP_FORCE,
	BF_SHIELD_MAP_METER,
	BF_SHIELD_MAP_CPU,
	BF_SHIELD_MAP_PACKET,
	BF_SHIELD_MAP_NEW,
	BF_SHIELD_MAP_COOKIE,
	BF_SHIELD_MAP_BAR,
	BF_SHIELD_MAP_DNS,
	BF_SHIELD_MAP_DNS_CPU,
	BF_SHIELD_MAP_REPEAT,
	BF_SHIELD_MAPS,
};

enum bf_shield_prog {
	BF_SHIELD_PROG_XDP,
	BF_SHIELD_PROG_TC,
	BF_SHIELD_PROG_OUT,
	BF_SHIELD_PROG_SWEEP,
	BF_SHIELD_PROGS,
};

/* PIN_DIR/shield/LAYOUT/shared/IFINDEX_ID_BUILD/: the program of that number is of that build. */
#define BF_SHIELD_SHARED_DIR "shared"

struct bf_shield {
	char build[20]; /* as bf_datapath.build, of this object */
	/* What hooks.c needs for the hooks at TC: pin_dir, layout, tcx. Nothing else of it is used. */
	struct bf_datapath hooks;
	int map[BF_SHIELD_MAPS];
	int prog[BF_SHIELD_PROGS];
	uint32_t prog_id[BF_SHIELD_PROGS];
	int from_pod_fd; /* 0: there is no datapath of pods */
	struct bpfast_shield_control *control; /* mapped */
	int list_fd[BPFAST_SI_COUNT]; /* -1: none */
	void *list[BPFAST_SI_COUNT]; /* mapped */
	size_t list_len[BPFAST_SI_COUNT];
	bf_shield_rewrite *rewrite;
};

/* hooks.c: all hooks of a device to the programs of this build. */
int bf_shield_hooks_renew(struct bf_shield *s, const struct bpfast_shield_device *d,
			  struct bf_error *err);

/* The device's hooks at TC, moved here from another layout where they are there. */
int bf_shield_tc_ensure(struct bf_shield *s, const struct bpfast_shield_device *d,
			struct bf_error *err);

/* shield_layouts.c: limits and devices of another version's tables, into fresh ones; then lists and
 * hooks, and the other version is gone. */
void bf_shield_layouts_read(struct bf_shield *s);
int bf_shield_layouts_move(struct bf_shield *s, struct bf_error *err);
/* cookies.c, bars.c: tell the programs how many there are. */
void bf_shield_cookies_count(struct bf_shield *s);
void bf_shield_bars_count(struct bf_shield *s);

/* shield_lists.c */
int bf_shield_lists_adopt(struct bf_shield *s, struct bf_error *err);
void bf_shield_lists_close(struct bf_shield *s);

#endif
