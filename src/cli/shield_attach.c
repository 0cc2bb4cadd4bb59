// SPDX-License-Identifier: Apache-2.0
/*
 * shield attach and detach. Beside the programs of others, in libxdp's dispatcher, it takes rights that the agent
 * has given up: there the agent does all but the program, and this command the rest.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/shield_attach.h"
#include "cli/shield_cookies.h"
#include "client/client.h"
#include "datapath/shield/share.h"
#include "datapath/shield/shield.h"

const struct bf_option bf_cli_attach_options[] = {
	{"mode", 0, "MODE", false, "enforce (default), audit: count but let pass, or off"},
	{"native", 0, NULL, false, "XDP in the driver or not at all"},
	{"generic", 0, NULL, false, "XDP in the network core"},
	{"offload", 0, NULL, false, "XDP in the hardware or not at all"},
	{"tc", 0, NULL, false, "at TC: leaves XDP alone, and GSO of a veth's peer"},
	{"pod", 0, NULL, false, "the interface is the host side of a pod's veth: guard the pod"},
	{"shared", 0, NULL, false, "in libxdp's dispatcher, so that others can join later"},
	{NULL, 0, NULL, false, NULL},
};

static const char *hook_of(struct bf_cli *cli)
{
	static const char *const words[] = {"native", "generic", "offload", "tc", "pod", "shared"};
	const char *found = NULL;

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (!bf_cli_switch(cli, words[i]))
			continue;
		if (found) {
			bf_cli_fail(cli, BF_EXIT_USAGE, "--%s and --%s exclude each other", found,
				    words[i]);
			return NULL;
		}
		found = words[i];
	}
	return found ? found : "best";
}

static json_t *args_of(struct bf_cli *cli, const char *hook, const char *step)
{
	json_t *args = json_pack("{s:s, s:s}", "interface", cli->operands[0], "hook", hook);

	if (bf_cli_text(cli, "mode"))
		json_object_set_new(args, "mode", json_string(bf_cli_text(cli, "mode")));
	if (step)
		json_object_set_new(args, "step", json_string(step));
	return args;
}

/* The agent refused, or is not there. Takes result. */
static int refused(struct bf_cli *cli, int r, json_t *result, const struct bf_error *err)
{
	char who[96];

	if (r == -EREMOTEIO && num(result, "program"))
		/* The agent has not kept the capability that it takes to read its name. */
		r = bf_cli_fail(
			cli, BF_EXIT_FAILED, "%s (%s)", err->msg,
			bf_shield_program((uint32_t)num(result, "program"), who, sizeof(who)));
	else
		r = bf_cli_fail_json(cli, r == -ENOENT ? BF_EXIT_NO_AGENT : BF_EXIT_FAILED,
				     err->msg, result);
	json_decref(result);
	return r;
}

/* The program into the dispatcher, as the agent has prepared it; then the agent looks whether it is there. Takes *result. */
static int share(struct bf_cli *cli, const char *hook, json_t **result)
{
	const json_t *o = json_object_get(*result, "share");
	bool fresh = json_is_true(json_object_get(o, "fresh"));
	enum bf_shield_want want = !strcmp(hook, "native")    ? BF_SHIELD_NATIVE
				   : !strcmp(hook, "generic") ? BF_SHIELD_GENERIC
							      : BF_SHIELD_SHARED;
	struct bf_error err, other;
	json_t *undone;
	int r;

	r = bf_share_attach(text(o, "interface"), (int)num(o, "ifindex"), text(o, "pins"),
			    (uint32_t)num(o, "program"), want, &err);
	json_decref(*result);
	*result = NULL;
	if (!r) {
		r = bf_call(cli->run_dir, "shield attach", args_of(cli, "shared", "done"), result,
			    &err);
		return r ? refused(cli, r, *result, &err) : BF_EXIT_DONE;
	}
	if (fresh) {
		bf_call(cli->run_dir, "shield attach", args_of(cli, "shared", "undo"), &undone,
			&other);
		json_decref(undone);
	}
	return bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
}

int bf_cli_shield_attach(struct bf_cli *cli)
{
	const char *hook = hook_of(cli), *mode = bf_cli_text(cli, "mode");
	struct bf_error err;
	json_t *result;
	int r;

	if (!hook)
		return BF_EXIT_USAGE;
	if (mode && strcmp(mode, "enforce") && strcmp(mode, "audit") && strcmp(mode, "off"))
		return bf_cli_fail(cli, BF_EXIT_USAGE, "--mode: '%s' is not enforce, audit or off",
				   mode);
	r = bf_call(cli->run_dir, "shield attach", args_of(cli, hook, NULL), &result, &err);
	if (r)
		return refused(cli, r, result, &err);
	if (json_object_get(result, "share"))
		r = share(cli, hook, &result);
	if (r)
		return r;
	if (cli->json) {
		bf_cli_print_json(result);
	} else {
		struct bf_text t = {0};

		bf_text_printf(&t, "shield on %s: %s, mode %s%s%s%s\n", text(result, "interface"),
			       text(result, "hook"), text(result, "mode"),
			       *text(result, "why") ? " (" : "", text(result, "why"),
			       *text(result, "why") ? ")" : "");
		if (t.data)
			bf_cli_print(t.data);
		bf_text_free(&t);
		if (*text(result, "note"))
			fprintf(stderr, "note: %s\n", text(result, "note"));
	}
	json_decref(result);
	return BF_EXIT_DONE;
}

int bf_cli_shield_detach(struct bf_cli *cli)
{
	struct bf_error err, other;
	unsigned int removed = 0;
	json_t *result;
	int r = bf_call(cli->run_dir, "shield detach",
			json_pack("{s:s}", "interface", cli->operands[0]), &result, &err);

	/* Also where an earlier one was killed before this, and to the agent nothing is guarded. */
	if ((!r || r == -EREMOTEIO) && num(result, "ifindex") &&
	    bf_share_remove(text(result, "interface"), (int)num(result, "ifindex"), &removed,
			    &other)) {
		json_decref(result);
		return bf_cli_fail(cli, BF_EXIT_FAILED, "%s", other.msg);
	}
	json_decref(result);
	if (r && !removed)
		return refused(cli, r, NULL, &err);
	if (cli->json) {
		printf("{}\n");
	} else {
		bf_cli_print(cli->operands[0]);
		printf(" is not guarded any more\n");
	}
	return bf_cli_shield_cookies_end(cli);
}
