/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_SHIELD_COOKIES_H
#define BF_CLI_SHIELD_COOKIES_H
/* SYN cookies: the command, and what detach and down undo of it. */
#include "cli/cli.h"

int bf_cli_shield_cookies(struct bf_cli *cli);
/* After a detach: without a guarded device all of it is undone. An exit status. */
int bf_cli_shield_cookies_end(struct bf_cli *cli);
/* Before `down`, without an agent: namespaces get back what they had. */
int bf_cli_shield_cookies_down(const char *pin_dir, struct bf_error *err);

#endif
