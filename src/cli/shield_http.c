// SPDX-License-Identifier: Apache-2.0
/* shield http */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bpfast/crowd.h"
#include "cli/answer.h"
#include "cli/cli.h"

const struct bf_option bf_cli_shield_http_options[] = {
	{"mode", 0, "MODE", false, "enforce, audit, off, or as-devices (default): the strictest"},
#define BPFAST_X(member, option, what, field) {option, 0, "N", false, what},
	BF_CROWD_LIMITS(BPFAST_X)
#undef BPFAST_X
		{"defaults", 0, NULL, false, "all as it is from the start"},
	{NULL, 0, NULL, false, NULL},
};

void bf_cli_shield_http_print(const json_t *http)
{
	struct bf_table t = {0};
	char ended[24], audited[24];
	const json_t *r;
	size_t i;

	if (!json_array_size(json_object_get(http, "ended")))
		return;
	bf_table_row(&t, 4, "CONNECTIONS", "ENDED", "AUDITED", "WHAT IT MEANS");
	json_array_foreach (json_object_get(http, "ended"), i, r) {
		snprintf(ended, sizeof(ended), "%lld", num(r, "connections"));
		snprintf(audited, sizeof(audited), "%lld", num(r, "audited"));
		bf_table_row(&t, 4, text(r, "reason"), ended, audited, text(r, "hint"));
	}
	printf("\n");
	bf_table_print(&t);
}

static void print_limits(const json_t *limits)
{
	struct bf_table t = {0};
	char value[24];

	bf_table_row(&t, 3, "LIMIT", "VALUE", "OF WHAT");
#define BPFAST_X(member, option, what, field)                                                      \
	if (num(limits, option))                                                                   \
		snprintf(value, sizeof(value), "%lld", num(limits, option));                       \
	else                                                                                       \
		snprintf(value, sizeof(value), "none");                                            \
	bf_table_row(&t, 3, option, value, what);
	BF_CROWD_LIMITS(BPFAST_X)
#undef BPFAST_X
	bf_table_print(&t);
}

/* Endpoints for which policies have a word, and what is another there. */
static void print_endpoints(const json_t *result)
{
	const json_t *node = json_object_get(result, "limits"), *e;
	struct bf_text t = {0};
	const char *key;
	json_t *value;
	size_t i;

	json_array_foreach (json_object_get(result, "endpoints"), i, e) {
		bf_text_printf(&t, "%s%s/%s (%s), policy %s:", i ? "" : "\n", text(e, "namespace"),
			       text(e, "endpoint"), text(e, "mode_now"), text(e, "policy"));
		json_object_foreach (json_object_get(e, "limits"), key, value)
			if (json_integer_value(value) != num(node, key)) {
				if (json_integer_value(value))
					bf_text_printf(&t, " %s %lld", key,
						       (long long)json_integer_value(value));
				else
					bf_text_printf(&t, " %s none", key);
			}
		bf_text_puts(&t, "\n");
	}
	if (t.data)
		bf_cli_print(t.data);
	bf_text_free(&t);
}

/* Options into limits; an exit status. */
static int add_limits(struct bf_cli *cli, json_t *limits)
{
#define BPFAST_X(member, option, what, field) option,
	static const char *const options[] = {BF_CROWD_LIMITS(BPFAST_X)};
#undef BPFAST_X

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		const char *word = bf_cli_text(cli, options[i]);
		long long n;
		char *end;

		if (!word)
			continue;
		n = strtoll(word, &end, 10);
		if (end == word || *end || n < 0)
			return bf_cli_fail(cli, BF_EXIT_USAGE,
					   "--%s: '%s' is not a number; 0 is no limit", options[i],
					   word);
		json_object_set_new(limits, options[i], json_integer(n));
	}
	return BF_EXIT_DONE;
}

int bf_cli_shield_http(struct bf_cli *cli)
{
	json_t *args = json_object(), *limits = json_object(), *result;
	const char *mode = bf_cli_text(cli, "mode");
	int r = add_limits(cli, limits);

	if (!r && json_object_size(limits))
		json_object_set(args, "limits", limits);
	json_decref(limits);
	if (r) {
		json_decref(args);
		return r;
	}
	if (mode)
		json_object_set_new(args, "mode", json_string(mode));
	if (bf_cli_switch(cli, "defaults"))
		json_object_set_new(args, "defaults", json_true());
	r = bf_cli_ask(cli, "shield http", args, &result);
	if (r)
		return r;
	if (cli->json) {
		bf_cli_print_json(result);
	} else {
		printf("mode         %s (%s now)\n", text(result, "mode"),
		       text(result, "mode_now"));
		printf("connections  %lld looked at, %lld keep a server waiting\n",
		       num(result, "connections"), num(result, "slow"));
		printf("blocked      %lld times a source, %lld now\n", num(result, "blocked"),
		       num(result, "blocked_now"));
		printf("paused       %lld times a source, %lld now\n", num(result, "paused"),
		       num(result, "paused_now"));
		if (num(result, "not_blocked"))
			printf("warning      %lld times there was no room to block a source\n",
			       num(result, "not_blocked"));
		printf("\n");
		print_limits(json_object_get(result, "limits"));
		print_endpoints(result);
		bf_cli_shield_http_print(result);
	}
	json_decref(result);
	return BF_EXIT_DONE;
}
