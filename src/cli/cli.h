/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_CLI_H
#define BF_CLI_CLI_H
/*
 * The command line: a table of commands (main.c), each in the file of its
 * noun. A command gets its options parsed and returns an exit status.
 */
#include <jansson.h>
#include <stdbool.h>

#include "base/error.h"
#include "observe/text.h"

/* Exit status: a promise to scripts. */
enum bf_exit {
	BF_EXIT_DONE = 0,
	BF_EXIT_FAILED = 1, /* refused or failed */
	BF_EXIT_USAGE = 2,
	BF_EXIT_NO_AGENT = 3,
};

#define BF_RUN_DIR "/run/bpfast"
#define BF_PIN_DIR "/sys/fs/bpf/bpfast"

struct bf_option {
	const char *name; /* without dashes */
	char letter; /* 0: none */
	const char *meta; /* of the value; NULL: a switch */
	bool many; /* may be given again and again */
	const char *help;
};

struct bf_cli;

struct bf_cli_command {
	const char *noun, *verb; /* verb NULL: the noun is the command */
	const char *operands; /* for the usage line; "" none */
	int min, max; /* operands; max -1: any number */
	const char *summary;
	const struct bf_option *options; /* ends with {NULL} */
	int (*run)(struct bf_cli *cli);
};

struct bf_cli {
	const struct bf_cli_command *command;
	const char *run_dir;
	bool json;
	const char *output; /* as given to -o, or NULL */
	json_t *options; /* name: text, true, or an array of texts */
	const char **operands;
	int operand_count;
};

/* Each noun's commands; they end with {NULL}. */
extern const struct bf_cli_command bf_cli_endpoint[], bf_cli_policy[], bf_cli_observe[],
	bf_cli_status[], bf_cli_doctor[], bf_cli_down[], bf_cli_replay[], bf_cli_shield[];

/* shield_http.c */
extern const struct bf_option bf_cli_shield_http_options[];
int bf_cli_shield_http(struct bf_cli *cli);
void bf_cli_shield_http_print(const json_t *http); /* what was ended, and why */

/* shield_status.c */
int bf_cli_shield_status(struct bf_cli *cli);
int bf_cli_shield_top(struct bf_cli *cli);

/* --- options --- */

const char *bf_cli_text(const struct bf_cli *cli, const char *option); /* or NULL */
bool bf_cli_switch(const struct bf_cli *cli, const char *option);
const json_t *bf_cli_list(const struct bf_cli *cli, const char *option); /* or NULL */

/* --- answers --- */

/* Errors on stderr, in JSON mode as {"error": ...}; returns status. */
int bf_cli_fail(const struct bf_cli *cli, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* The same with details beside "error". Does not take them. */
int bf_cli_fail_json(const struct bf_cli *cli, int status, const char *error, json_t *details);
void bf_cli_print_json(const json_t *o); /* indented, to stdout */
void bf_cli_print(const char *text); /* made safe for a terminal; lines pass */
bool bf_cli_colour(void); /* stdout is a terminal that may be coloured */

/* --- tables: cells are made safe, columns aligned --- */

struct bf_table {
	char **cells;
	size_t columns, count, cap;
};

void bf_table_row(struct bf_table *t, size_t columns, ...); /* const char * each; NULL: "" */
void bf_table_print(struct bf_table *t); /* the first row is the head; frees */
void bf_table_free(struct bf_table *t);

/* --- the agent --- */

/*
 * Asks the agent. BF_EXIT_DONE with *result (the caller's), or an exit status
 * after the error was printed. Takes args.
 */
int bf_cli_ask(struct bf_cli *cli, const char *command, json_t *args, json_t **result);

#endif
