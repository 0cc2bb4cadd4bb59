/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_POLICY_H
#define BF_CLI_POLICY_H
#include "cli/cli.h"

/* What -f names, as [{"file", "text"}]; an exit status after the error was printed. */
int bf_cli_files(const struct bf_cli *cli, json_t **files);

/* What -f names as objects; *objects is the caller's to free in either case. */
struct bf_objects;
int bf_cli_objects(const struct bf_cli *cli, struct bf_objects *objects);

int bf_cli_explain(struct bf_cli *cli); /* explain.c */

#endif
