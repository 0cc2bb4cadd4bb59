/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_SHIELD_DISPATCHER_H
#define BF_DATAPATH_SHIELD_DISPATCHER_H
/* What dispatcher.c (the agent, without libxdp) and share.c (the command line, with it) both need. */
#include <stdbool.h>
#include <stdint.h>

#include "datapath/shield/shield.h"

/* Where libxdp pins, unless its environment says otherwise, which we do not follow. */
#define BF_LIBXDP_DIR "/sys/fs/bpf/xdp"
#define BF_PROG_MAPS 64

struct bf_prog_info {
	uint32_t id, maps;
	uint32_t map_id[BF_PROG_MAPS];
	char name[BF_PROG_NAME];
};

/* The program in a device's XDP hook, 0: none. *native: it is in the driver. */
uint32_t bf_xdp_on(int ifindex, bool *native);
uint32_t bf_map_id(int map_fd); /* 0: no map */
int bf_prog_info(int prog_fd, struct bf_prog_info *out);
bool bf_prog_uses(const struct bf_prog_info *p, uint32_t map_id);

#endif
