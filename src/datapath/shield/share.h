/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_SHIELD_SHARE_H
#define BF_DATAPATH_SHIELD_SHARE_H
/*
 * Puts shield's program among those of libxdp's dispatcher, and takes it out. For commands alone: it takes
 * CAP_SYS_ADMIN, and libxdp. The agent has done its part before, by bf_shield_share() or bf_shield_detach().
 */
#include "base/error.h"
#include "datapath/shield/shield.h"

/*
 * pins, prog_id: of bf_shield_share_where(). Makes a dispatcher where there is none. What an earlier command has put
 * there is replaced. On error everything is as it was.
 */
int bf_share_attach(const char *dev, int ifindex, const char *pins, uint32_t prog_id,
		    enum bf_shield_want want, struct bf_error *err);
/* Takes out what guards the device no more. *removed: how many they were; 0 also where there is no dispatcher. */
int bf_share_remove(const char *dev, int ifindex, unsigned int *removed, struct bf_error *err);
/* For `down`, without an agent: from all devices whatever uses tables under pin_dir, or none that count any more. */
int bf_share_down(const char *pin_dir, struct bf_error *err);

#endif
