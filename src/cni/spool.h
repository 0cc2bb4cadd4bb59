/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CNI_SPOOL_H
#define BF_CNI_SPOOL_H
#include <jansson.h>

#include "base/error.h"

/* The run directory belongs to root and nobody else may write there; -errno with err. */
int bf_cni_rundir_check(const char *run_dir, struct bf_error *err);

/*
 * Leaves {"id", "ifname", "network"} in the run directory for the agent that comes next. -ENOENT:
 * there is no run directory, and so nobody who could come to know anything of before.
 */
int bf_cni_spool_put(const char *run_dir, const json_t *deleted, struct bf_error *err);

#endif
