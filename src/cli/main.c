// SPDX-License-Identifier: Apache-2.0
/* bpfast: the command line. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/args.h"

static const struct bf_cli_command *const nouns[] = {
	bf_cli_status, bf_cli_endpoint, bf_cli_policy, bf_cli_observe, bf_cli_replay,
	bf_cli_shield, bf_cli_doctor,	bf_cli_down,   NULL,
};

int main(int argc, char **argv)
{
	struct bf_cli cli = {.run_dir = BF_RUN_DIR};
	bool run = false;
	int status = bf_args_parse(&cli, nouns, argc, argv, &run);

	if (run)
		status = cli.command->run(&cli);
	json_decref(cli.options);
	free(cli.operands);
	/* A full disk or a closed pipe must not look like success. */
	if ((fflush(stdout) | ferror(stdout)) && status == BF_EXIT_DONE)
		status = bf_cli_fail(&cli, BF_EXIT_FAILED,
				     "not all could be written to standard output");
	return status;
}
