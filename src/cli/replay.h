/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_REPLAY_H
#define BF_CLI_REPLAY_H
#include "cli/cli.h"
#include "replay/replay.h"

/* The summary at the end of a replay, to stdout: replay_summary.c */
void bf_cli_replay_text(const struct bf_replay_summary *s);
void bf_cli_replay_json(const struct bf_replay_summary *s); /* one line */

#endif
