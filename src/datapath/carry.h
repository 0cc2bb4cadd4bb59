/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_CARRY_H
#define BF_DATAPATH_CARRY_H
/* Endpoints of another layout, with their flows, to ours. */
#include "datapath/internal.h"

/* Endpoints that are moved together: one wait and two walks for all of them. Tests take fewer. */
extern uint32_t bf_carry_group;

/* Guarded by another layout's programs, or half carried over by an agent that was killed? */
bool bf_carry_needed(struct bf_datapath *dp, int ifindex);
/* Those of the list, of which each is needed. */
int bf_carry(struct bf_datapath *dp, const struct bf_datapath_endpoint *list, size_t n,
	     struct bf_error *err);

#endif
