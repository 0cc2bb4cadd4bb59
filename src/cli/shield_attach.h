/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_SHIELD_ATTACH_H
#define BF_CLI_SHIELD_ATTACH_H
/* shield attach and detach. */
#include "cli/cli.h"

extern const struct bf_option bf_cli_attach_options[];
int bf_cli_shield_attach(struct bf_cli *cli);
int bf_cli_shield_detach(struct bf_cli *cli);

#endif
