// SPDX-License-Identifier: Apache-2.0
/* Words to commands: options before and after the noun, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/args.h"

static int nothing(struct bf_cli *cli)
{
	(void)cli;
	return 0;
}

static const struct bf_option options[] = {
	{"file", 'f', "FILE", true, ""},
	{"last", 0, "N", false, ""},
	{"follow", 'F', NULL, false, ""},
	{NULL, 0, NULL, false, NULL},
};
static const struct bf_cli_command thing[] = {
	{"thing", "add", "NAME", 1, 1, "add", options, nothing},
	{"thing", "list", "", 0, 0, "list", options, nothing},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
static const struct bf_cli_command watch[] = {
	{"observe", NULL, "", 0, 0, "watch", options, nothing},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
static const struct bf_cli_command *const nouns[] = {thing, watch, NULL};

struct parsed {
	struct bf_cli cli;
	bool run;
	int status;
};

/* Words parted by one blank each. */
static struct parsed parse(const char *line)
{
	static char copy[400];
	struct parsed p = {.cli = {.run_dir = BF_RUN_DIR}};
	char *argv[32], *rest = copy;
	int argc = 0, out, err, null = open("/dev/null", O_WRONLY);

	snprintf(copy, sizeof(copy), "bpfast%s%s", *line ? " " : "", line);
	while (argc < 31 && (argv[argc] = strsep(&rest, " ")) != NULL)
		argc++;
	fflush(stdout);
	fflush(stderr);
	out = dup(STDOUT_FILENO);
	err = dup(STDERR_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	p.status = bf_args_parse(&p.cli, nouns, argc, argv, &p.run);
	fflush(stdout);
	fflush(stderr);
	dup2(out, STDOUT_FILENO);
	dup2(err, STDERR_FILENO);
	close(out);
	close(err);
	close(null);
	return p;
}

static void done(struct parsed *p)
{
	json_decref(p->cli.options);
	free(p->cli.operands);
}

static void options_stand_anywhere(void **state)
{
	static const char *const lines[] = {
		"--run-dir /x -o json thing add web",	 "thing add web --run-dir /x -o json",
		"thing --run-dir /x add -o json web",	 "thing -ojson add --run-dir=/x web",
		"-o json thing add --run-dir /x -- web",
	};
	struct parsed p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		p = parse(lines[i]);
		if (!p.run)
			fail_msg("%s", lines[i]);
		assert_ptr_equal(p.cli.command, &thing[0]);
		assert_string_equal(p.cli.run_dir, "/x");
		assert_true(p.cli.json);
		assert_int_equal(p.cli.operand_count, 1);
		assert_string_equal(p.cli.operands[0], "web");
		done(&p);
	}
}

static void values(void **state)
{
	struct parsed p = parse("thing list -f a --file b --file=- -F --last 5");

	(void)state;
	assert_true(p.run);
	assert_int_equal(json_array_size(bf_cli_list(&p.cli, "file")), 3);
	assert_string_equal(json_string_value(json_array_get(bf_cli_list(&p.cli, "file"), 2)), "-");
	assert_true(bf_cli_switch(&p.cli, "follow"));
	assert_string_equal(bf_cli_text(&p.cli, "last"), "5");
	assert_null(bf_cli_text(&p.cli, "output"));
	assert_string_equal(p.cli.run_dir, BF_RUN_DIR);
	done(&p);
}

static void refused(void **state)
{
	static const char *const lines[] = {
		"",
		"nothing",
		"thing",
		"thing grow",
		"thing add",
		"thing add a b",
		"thing list x",
		"help nothing",
		"thing list --nope",
		"thing list --last",
		"thing list --follow=yes",
		"thing list -o yaml",
		"thing list -o compact",
		"--nope thing list",
		"-o",
	};
	struct parsed p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		p = parse(lines[i]);
		if (p.run || p.status != BF_EXIT_USAGE)
			fail_msg("'%s' gives %d", lines[i], p.status);
		done(&p);
	}
}

static void help_is_no_failure(void **state)
{
	static const char *const lines[] = {
		"help",		  "--help",	"thing --help", "thing add --help",
		"help thing add", "help thing", "observe -h"};
	struct parsed p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		p = parse(lines[i]);
		if (p.run || p.status != BF_EXIT_DONE)
			fail_msg("'%s' gives %d", lines[i], p.status);
		done(&p);
	}
}

static void only_observe_is_compact(void **state)
{
	struct parsed p = parse("observe -o compact");

	(void)state;
	assert_true(p.run);
	assert_false(p.cli.json);
	done(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(options_stand_anywhere),
		cmocka_unit_test(values),
		cmocka_unit_test(refused),
		cmocka_unit_test(help_is_no_failure),
		cmocka_unit_test(only_observe_is_compact),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
