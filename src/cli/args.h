/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_ARGS_H
#define BF_CLI_ARGS_H
/* Words to a command, its options and its operands. */
#include "cli/cli.h"

/*
 * Fills cli. *run: the command is to be run; else what was asked for (help) or
 * wrong has been printed. Returns an exit status. cli->options and
 * cli->operands are the caller's to free.
 */
int bf_args_parse(struct bf_cli *cli, const struct bf_cli_command *const *nouns, int argc,
		  char **argv, bool *run);

#endif
