/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CNI_NETNS_H
#define BF_CNI_NETNS_H
#include "cni/error.h"

/*
 * By which number this network namespace knows the one at path (rtnetlink's nsid), so that the
 * agent can tell whose veth an interface is. The path is the runtime's word and may be anything.
 */
int bf_cni_netns_id(const char *path, int *nsid, struct bf_cni_error *err);

#endif
