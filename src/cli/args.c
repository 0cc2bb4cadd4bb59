// SPDX-License-Identifier: Apache-2.0
#include "cli/args.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct bf_option global[] = {
	{"run-dir", 0, "DIR", false, "where the agent's socket is (default " BF_RUN_DIR ")"},
	{"output", 'o', "FORMAT", false, "text or json"},
	{"help", 'h', NULL, false, "print this"},
	{NULL, 0, NULL, false, NULL},
};

const char *bf_cli_text(const struct bf_cli *cli, const char *option)
{
	return json_string_value(json_object_get(cli->options, option));
}

bool bf_cli_switch(const struct bf_cli *cli, const char *option)
{
	return json_is_true(json_object_get(cli->options, option));
}

const json_t *bf_cli_list(const struct bf_cli *cli, const char *option)
{
	return json_object_get(cli->options, option);
}

static void print_options(const struct bf_option *o)
{
	char left[64];

	for (; o->name; o++) {
		if (o->letter)
			snprintf(left, sizeof(left), "-%c, --%s %s", o->letter, o->name,
				 o->meta ? o->meta : "");
		else
			snprintf(left, sizeof(left), "    --%s %s", o->name,
				 o->meta ? o->meta : "");
		printf("  %-30s %s%s\n", left, o->help, o->many ? " (again for more)" : "");
	}
}

static void help_command(const struct bf_cli_command *c)
{
	printf("Usage: bpfast %s%s%s%s%s%s\n\n%s\n\n", c->noun, c->verb ? " " : "",
	       c->verb ? c->verb : "", *c->operands ? " " : "", c->operands,
	       c->options->name ? " [OPTION]..." : "", c->summary);
	print_options(c->options);
	print_options(global);
}

static void list_commands(const struct bf_cli_command *c)
{
	char left[80];

	for (; c->noun; c++) {
		snprintf(left, sizeof(left), "%s%s%s%s%s", c->noun, c->verb ? " " : "",
			 c->verb ? c->verb : "", *c->operands ? " " : "", c->operands);
		printf("  %-44s %.*s\n", left, (int)strcspn(c->summary, "\n"), c->summary);
	}
}

static void help_all(const struct bf_cli_command *const *nouns)
{
	printf("Usage: bpfast [--run-dir DIR] [-o text|json] NOUN [VERB] ...\n\n");
	for (; *nouns; nouns++)
		list_commands(*nouns);
	printf("  %-44s %s\n\n", "help", "print this; `bpfast NOUN --help` tells more");
	print_options(global);
	printf("\nExit status: 0 done, 1 refused or failed, 2 usage, 3 no agent.\n");
}

static const struct bf_option *find_option(const struct bf_option *list, const char *name,
					   size_t len)
{
	for (; list && list->name; list++)
		if (strlen(list->name) == len && !memcmp(list->name, name, len))
			return list;
	return NULL;
}

static const struct bf_option *find_letter(const struct bf_option *list, char letter)
{
	for (; list && list->name; list++)
		if (list->letter == letter)
			return list;
	return NULL;
}

static int keep(struct bf_cli *cli, const struct bf_option *o, const char *value)
{
	json_t *text = value ? json_string(value) : json_true(), *list;

	if (!text)
		return bf_cli_fail(cli, BF_EXIT_USAGE, "--%s: the value is not valid UTF-8",
				   o->name);
	if (!o->many) {
		json_object_set_new(cli->options, o->name, text);
		return BF_EXIT_DONE;
	}
	list = json_object_get(cli->options, o->name);
	if (!list) {
		list = json_array();
		json_object_set_new(cli->options, o->name, list);
	}
	json_array_append_new(list, text);
	return BF_EXIT_DONE;
}

/* One option at argv[*i]; *i moves over its value. */
static int option(struct bf_cli *cli, const struct bf_option *own, int argc, char **argv, int *i)
{
	const char *word = argv[*i], *value = NULL;
	const struct bf_option *o;
	size_t len;

	if (word[1] == '-') {
		len = strcspn(word + 2, "=");
		o = find_option(own, word + 2, len);
		if (!o)
			o = find_option(global, word + 2, len);
		if (word[2 + len] == '=')
			value = word + 2 + len + 1;
	} else {
		o = find_letter(own, word[1]);
		if (!o)
			o = find_letter(global, word[1]);
		if (word[2])
			value = word + 2;
	}
	if (!o)
		return bf_cli_fail(cli, BF_EXIT_USAGE, "'%s' is not an option here; see --help",
				   word);
	if (!o->meta && value)
		return bf_cli_fail(cli, BF_EXIT_USAGE, "--%s takes no value", o->name);
	if (o->meta && !value) {
		if (*i + 1 >= argc)
			return bf_cli_fail(cli, BF_EXIT_USAGE, "--%s needs a value: %s", o->name,
					   o->meta);
		value = argv[++*i];
	}
	return keep(cli, o, o->meta ? value : NULL);
}

/* The noun and the verb among the words; options of theirs are not known before. */
static int find_command(struct bf_cli *cli, const struct bf_cli_command *const *nouns,
			const char *noun, const char *verb, const struct bf_cli_command **list)
{
	const struct bf_cli_command *c;

	*list = NULL;
	for (; *nouns; nouns++) {
		for (c = *nouns; c->noun; c++) {
			if (strcmp(c->noun, noun))
				continue;
			*list = *nouns;
			if (!c->verb || (verb && !strcmp(c->verb, verb))) {
				cli->command = c;
				return BF_EXIT_DONE;
			}
		}
	}
	return BF_EXIT_USAGE;
}

static int unknown(struct bf_cli *cli, const char *noun)
{
	return bf_cli_fail(cli, BF_EXIT_USAGE, "'%s' is not a command; `bpfast help` lists them",
			   noun);
}

static int no_verb(struct bf_cli *cli, const struct bf_cli_command *list, const char *noun,
		   const char *verb)
{
	struct bf_text verbs = {0};
	int r;

	for (; list->noun; list++)
		if (!strcmp(list->noun, noun))
			bf_text_printf(&verbs, "%s%s", verbs.len ? ", " : "", list->verb);
	if (verb)
		r = bf_cli_fail(cli, BF_EXIT_USAGE, "%s: '%s' is not known; there is %s", noun,
				verb, verbs.data ? verbs.data : "");
	else
		r = bf_cli_fail(cli, BF_EXIT_USAGE, "%s: say what to do: %s", noun,
				verbs.data ? verbs.data : "");
	bf_text_free(&verbs);
	return r;
}

/* Global options may stand before the noun; they take the place of words. */
static int global_first(struct bf_cli *cli, int argc, char **argv, int *at)
{
	int i = 1, r;

	for (; i < argc && argv[i][0] == '-' && argv[i][1]; i++) {
		r = option(cli, NULL, argc, argv, &i);
		if (r)
			return r;
	}
	*at = i;
	return BF_EXIT_DONE;
}

static int settle_globals(struct bf_cli *cli)
{
	const char *dir = bf_cli_text(cli, "run-dir");

	cli->output = bf_cli_text(cli, "output");
	cli->json = cli->output && !strcmp(cli->output, "json");
	if (dir)
		cli->run_dir = dir;
	if (!cli->output || cli->json || !strcmp(cli->output, "text") ||
	    (!strcmp(cli->output, "compact") && !strcmp(cli->command->noun, "observe")))
		return BF_EXIT_DONE;
	return bf_cli_fail(cli, BF_EXIT_USAGE, "-o: '%s' is not known: use text or json",
			   cli->output);
}

/* So that also an error about a later word comes as JSON where that is asked for. */
static bool wants_json(int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (!strcmp(argv[i], "-ojson") || !strcmp(argv[i], "--output=json") ||
		    ((!strcmp(argv[i], "-o") || !strcmp(argv[i], "--output")) && i + 1 < argc &&
		     !strcmp(argv[i + 1], "json")))
			return true;
	return false;
}

static int usage(struct bf_cli *cli)
{
	const struct bf_cli_command *c = cli->command;

	/* `policy apply shop.yaml`, as one types it once. */
	if (!c->max && find_option(c->options, "filename", strlen("filename")))
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "'%s' is one word too many; a file is given with -f",
				   cli->operands[0]);
	return bf_cli_fail(cli, BF_EXIT_USAGE, "usage: bpfast %s%s%s%s%s", c->noun,
			   c->verb ? " " : "", c->verb ? c->verb : "", *c->operands ? " " : "",
			   c->operands);
}

/* help [NOUN [VERB]] */
static int help(struct bf_cli *cli, const struct bf_cli_command *const *nouns, const char *noun,
		const char *verb)
{
	const struct bf_cli_command *list;

	if (!noun || noun[0] == '-')
		help_all(nouns);
	else if (!find_command(cli, nouns, noun, verb, &list))
		help_command(cli->command);
	else if (!list)
		return unknown(cli, noun);
	else
		list_commands(list);
	return BF_EXIT_DONE;
}

int bf_args_parse(struct bf_cli *cli, const struct bf_cli_command *const *nouns, int argc,
		  char **argv, bool *run)
{
	const struct bf_cli_command *list;
	const char *verb = NULL;
	bool only_operands = false;
	int i, r, v;

	*run = false;
	cli->json = wants_json(argc, argv);
	cli->options = json_object();
	cli->operands = calloc((size_t)argc + 1, sizeof(*cli->operands));
	if (!cli->options || !cli->operands)
		return bf_cli_fail(cli, BF_EXIT_FAILED, "no memory");
	r = global_first(cli, argc, argv, &i);
	if (r)
		return r;
	if (i >= argc || !strcmp(argv[i], "help")) {
		r = help(cli, nouns, i + 1 < argc ? argv[i + 1] : NULL,
			 i + 2 < argc ? argv[i + 2] : NULL);
		return i >= argc && !bf_cli_switch(cli, "help") ? BF_EXIT_USAGE : r;
	}
	/* The verb is the next word that is no option. */
	for (v = i + 1; v < argc && argv[v][0] == '-' && argv[v][1]; v++)
		if (!strcmp(argv[v], "-o") || !strcmp(argv[v], "--run-dir") ||
		    !strcmp(argv[v], "--output"))
			v++;
	verb = v < argc ? argv[v] : NULL;
	if (find_command(cli, nouns, argv[i], verb, &list)) {
		bool asked = bf_cli_switch(cli, "help");
		const char *noun = argv[i];

		for (; i < argc; i++)
			asked |= !strcmp(argv[i], "--help") || !strcmp(argv[i], "-h");
		if (!list)
			return unknown(cli, noun);
		if (asked) {
			list_commands(list);
			return BF_EXIT_DONE;
		}
		return no_verb(cli, list, noun, verb);
	}
	for (i++; i < argc; i++) {
		if (cli->command->verb && i == v)
			continue;
		if (!only_operands && !strcmp(argv[i], "--")) {
			only_operands = true;
			continue;
		}
		if (only_operands || argv[i][0] != '-' || !argv[i][1]) {
			cli->operands[cli->operand_count++] = argv[i];
			continue;
		}
		r = option(cli, cli->command->options, argc, argv, &i);
		if (r)
			return r;
	}
	if (bf_cli_switch(cli, "help")) {
		help_command(cli->command);
		return BF_EXIT_DONE;
	}
	r = settle_globals(cli);
	if (r)
		return r;
	if (cli->operand_count < cli->command->min ||
	    (cli->command->max >= 0 && cli->operand_count > cli->command->max))
		return usage(cli);
	*run = true;
	return BF_EXIT_DONE;
}
