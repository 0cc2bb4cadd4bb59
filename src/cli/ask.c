// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdio.h>

#include "cli/cli.h"
#include "client/client.h"

static void print_flaws(const json_t *flaws)
{
	struct bf_text t = {0};
	const json_t *f;
	size_t i;

	json_array_foreach (flaws, i, f) {
		const char *file = json_string_value(json_object_get(f, "file"));
		const char *message = json_string_value(json_object_get(f, "message"));

		bf_text_printf(&t, "%s:%lld:%lld: %s\n", file ? file : "",
			       (long long)json_integer_value(json_object_get(f, "line")),
			       (long long)json_integer_value(json_object_get(f, "column")),
			       message ? message : "");
	}
	if (t.data) {
		struct bf_text safe = {0};

		bf_text_safe(&safe, t.data, t.len, true);
		if (safe.data)
			fputs(safe.data, stderr);
		bf_text_free(&safe);
	}
	bf_text_free(&t);
}

int bf_cli_ask(struct bf_cli *cli, const char *command, json_t *args, json_t **result)
{
	struct bf_error err;
	json_t *answer;
	int r = bf_call(cli->run_dir, command, args, &answer, &err), status = BF_EXIT_FAILED;

	*result = NULL;
	if (!r) {
		*result = answer;
		return BF_EXIT_DONE;
	}
	if (r == -ENOENT)
		status = BF_EXIT_NO_AGENT;
	if (!cli->json)
		print_flaws(json_object_get(answer, "flaws"));
	status = bf_cli_fail_json(cli, status, err.msg, answer);
	json_decref(answer);
	return status;
}
