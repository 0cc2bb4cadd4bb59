/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CNI_COMMANDS_H
#define BF_CNI_COMMANDS_H
#include "cni/config.h"

/* Does what the runtime asks. *result: what is to be printed, the caller's; NULL: nothing. */
int bf_cni_run(const struct bf_cni_config *config, const struct bf_cni_env *env, json_t **result,
	       struct bf_cni_error *err);

#endif
