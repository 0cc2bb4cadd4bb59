// SPDX-License-Identifier: Apache-2.0
/* down: ends the agent and removes everything it ever attached or pinned */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/shield_cookies.h"
#include "client/client.h"
#include "datapath/datapath.h"
#include "datapath/shield/share.h"

#define PATIENCE_MS 10000

/* The pin directory that the state in the run directory names; malloc'ed, or NULL. */
static char *pin_dir_of_state(int run_fd)
{
	int fd = run_fd < 0 ? -1 : openat(run_fd, "state.json", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	json_t *state = fd < 0 ? NULL : json_loadfd(fd, 0, NULL);
	const char *dir = json_string_value(json_object_get(state, "pin_dir"));
	char *copy = dir ? strdup(dir) : NULL;

	if (fd >= 0)
		close(fd);
	json_decref(state);
	return copy;
}

/* The agent holds locks on both of its directories as long as it lives. */
static bool lock(int dir_fd, int patience_ms)
{
	const struct timespec wait = {.tv_nsec = 20000000};
	int i;

	for (i = 0; i < patience_ms / 20; i++) {
		if (!flock(dir_fd, LOCK_EX | LOCK_NB))
			return true;
		nanosleep(&wait, NULL);
	}
	return false;
}

/* 0: it ended, or there was none. Else an exit status after the error was printed. */
static int end_agent(struct bf_cli *cli, char **pin_dir)
{
	struct bf_error err;
	const char *dir;
	json_t *result;
	int r = bf_call(cli->run_dir, "shutdown", NULL, &result, &err);

	if (r == -ENOENT)
		return BF_EXIT_DONE;
	if (r) {
		json_decref(result);
		return bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	}
	dir = json_string_value(json_object_get(result, "pin_dir"));
	if (dir) {
		free(*pin_dir);
		*pin_dir = strdup(dir);
	}
	json_decref(result);
	return BF_EXIT_DONE;
}

/* What to remove; malloc'ed. Takes known: what the agent or its state named. NULL after the error was printed. */
static char *choose_pin_dir(struct bf_cli *cli, char *known)
{
	const char *given = bf_cli_text(cli, "pin-dir");
	char *dir = known;

	if (given) {
		free(known);
		dir = strdup(given);
	} else if (!known && strcmp(cli->run_dir, BF_RUN_DIR)) {
		/* A slip in --run-dir must not take away what another agent has put into force. */
		bf_cli_fail(cli, BF_EXIT_FAILED,
			    "nothing in %s tells which pin directory was used with it; say "
			    "--pin-dir DIR",
			    cli->run_dir);
		return NULL;
	} else if (!known) {
		dir = strdup(BF_PIN_DIR);
	}
	if (!dir)
		bf_cli_fail(cli, BF_EXIT_FAILED, "no memory");
	return dir;
}

/* What the CNI plugin noted for an agent: it was about endpoints that are no more. */
static void remove_notes(int run_fd)
{
	int fd = openat(run_fd, "cni-deleted", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *d;

	while (dir && (d = readdir(dir)) != NULL)
		unlinkat(fd, d->d_name, 0);
	if (dir)
		closedir(dir);
	else if (fd >= 0)
		close(fd);
	unlinkat(run_fd, "cni-deleted", AT_REMOVEDIR);
}

static int down(struct bf_cli *cli)
{
	int run_fd = open(cli->run_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), r;
	char *pin_dir = run_fd >= 0 ? pin_dir_of_state(run_fd) : NULL;
	struct bf_error err;
	int pin_fd = -1;

	/* Said twice, the second time there is nothing to do. What is not there names no pins. */
	if (run_fd < 0 && errno == ENOENT && strcmp(cli->run_dir, BF_RUN_DIR) &&
	    !bf_cli_text(cli, "pin-dir")) {
		free(pin_dir);
		fprintf(stderr,
			"bpfast: nothing was removed: there is no %s; to remove what is pinned say "
			"--pin-dir DIR\n",
			cli->run_dir);
		if (cli->json)
			printf("{\"down\": null}\n");
		return BF_EXIT_DONE;
	}
	if (bf_agent_is_first(cli->run_dir))
		r = bf_cli_fail(
			cli, BF_EXIT_FAILED,
			"the agent is the first process of this container, so its end would "
			"end this command before anything is removed; remove the container, "
			"then say this in a new one with the same mounts, or on the host");
	else
		r = end_agent(cli, &pin_dir);
	if (!r && run_fd >= 0 && !lock(run_fd, PATIENCE_MS))
		r = bf_cli_fail(
			cli, BF_EXIT_FAILED,
			"the agent in %s does not end; end it (SIGTERM), then say this again",
			cli->run_dir);
	if (!r) {
		pin_dir = choose_pin_dir(cli, pin_dir);
		r = pin_dir ? BF_EXIT_DONE : BF_EXIT_FAILED;
	}
	if (!r)
		pin_fd = open(pin_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (pin_fd >= 0 && !lock(pin_fd, 1000))
		r = bf_cli_fail(
			cli, BF_EXIT_FAILED,
			"an agent with another run directory is at work on %s; say --run-dir "
			"with its directory",
			pin_dir);
	if (!r && bf_cli_shield_cookies_down(pin_dir, &err))
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	if (!r && bf_share_down(pin_dir, &err))
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	if (!r && bf_datapath_down(pin_dir, &err))
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s%s", err.msg,
				geteuid() ? "; run as root" : "");
	if (!r && run_fd >= 0) {
		unlinkat(run_fd, "state.json", 0);
		unlinkat(run_fd, "state.json.new", 0);
		unlinkat(run_fd, "attacks.json", 0);
		unlinkat(run_fd, "attacks.json.new", 0);
		unlinkat(run_fd, "bpfast.sock", 0);
		remove_notes(run_fd);
		rmdir(cli->run_dir); /* stays where something else lies in it */
	}
	if (!r && cli->json) {
		json_t *o = json_pack("{s:s}", "down", pin_dir);

		bf_cli_print_json(o);
		json_decref(o);
	} else if (!r) {
		printf("down: nothing of BPFast is attached or pinned under ");
		bf_cli_print(pin_dir);
		printf(" any more\n");
	}
	if (pin_fd >= 0)
		close(pin_fd);
	if (run_fd >= 0)
		close(run_fd);
	free(pin_dir);
	return r;
}

static const struct bf_option options[] = {
	{"pin-dir", 0, "DIR", false, "what to remove (default: what the agent used)"},
	{NULL, 0, NULL, false, NULL},
};

const struct bf_cli_command bf_cli_down[] = {
	{"down", NULL, "", 0, 0,
	 "end the agent and remove all that it attached or pinned\n\n"
	 "After this no container is under policy. Works without an agent too.",
	 options, down},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
