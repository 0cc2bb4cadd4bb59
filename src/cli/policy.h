/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_POLICY_H
#define BF_CLI_POLICY_H
#include "cli/cli.h"

/* What an option of files names, as [{"file", "text"}]; an exit status after the error was printed. */
int bf_cli_files(const struct bf_cli *cli, const char *option, json_t **files);

/* The same as objects; *objects is the caller's to free in either case. */
struct bf_objects;
int bf_cli_objects(const struct bf_cli *cli, const char *option, struct bf_objects *objects);

int bf_cli_explain(struct bf_cli *cli); /* explain.c */

/* Names on stderr the policies that select none of these endpoints. */
void bf_cli_note_unused(const struct bf_objects *objects, const struct bf_endpoint *endpoints,
			size_t n);

#endif
