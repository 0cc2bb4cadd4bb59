/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_SHIELD_ATTACKS_H
#define BF_CLI_SHIELD_ATTACKS_H
#include "cli/cli.h"

/* Attacks of a status, for people: running ones, and `ended` that are over. */
void bf_cli_print_attacks(const json_t *status, size_t ended);

extern const struct bf_option bf_cli_detect_options[], bf_cli_capture_options[];
int bf_cli_shield_detect(struct bf_cli *cli);
int bf_cli_shield_capture(struct bf_cli *cli);

#endif
