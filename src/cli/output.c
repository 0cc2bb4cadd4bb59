// SPDX-License-Identifier: Apache-2.0
/* What people and scripts get to see. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

static void put(FILE *to, const char *text, bool lines)
{
	struct bf_text t = {0};

	bf_text_safe(&t, text, strlen(text), lines);
	if (t.data)
		fwrite(t.data, 1, t.len, to);
	bf_text_free(&t);
}

int bf_cli_fail_json(const struct bf_cli *cli, int status, const char *error, json_t *details)
{
	json_t *o;
	char *text;

	if (!cli->json) {
		fputs("bpfast: ", stderr);
		put(stderr, error, true);
		fputc('\n', stderr);
		return status;
	}
	o = json_object();
	json_object_set_new(o, "error", json_string(error));
	if (details)
		json_object_set(o, "details", details);
	text = json_dumps(o, JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII);
	fprintf(stderr, "%s\n", text ? text : "{\"error\":\"failed\"}");
	free(text);
	json_decref(o);
	return status;
}

int bf_cli_fail(const struct bf_cli *cli, int status, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	return bf_cli_fail_json(cli, status, text, NULL);
}

void bf_cli_print_json(const json_t *o)
{
	/* ASCII only: safe for any terminal. */
	char *text = json_dumps(o, JSON_INDENT(2) | JSON_PRESERVE_ORDER | JSON_ENSURE_ASCII |
					   JSON_ENCODE_ANY);

	if (text)
		puts(text);
	free(text);
}

void bf_cli_print(const char *text)
{
	put(stdout, text, true);
}

bool bf_cli_colour(void)
{
	const char *term = getenv("TERM"), *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no && *no) && term && strcmp(term, "dumb");
}

void bf_table_row(struct bf_table *t, size_t columns, ...)
{
	struct bf_text safe;
	const char *cell;
	char **cells;
	va_list ap;
	size_t i;

	t->columns = columns;
	if (t->count + columns > t->cap) {
		cells = realloc(t->cells, (t->cap * 2 + columns * 16) * sizeof(*cells));
		if (!cells)
			return;
		t->cells = cells;
		t->cap = t->cap * 2 + columns * 16;
	}
	va_start(ap, columns);
	for (i = 0; i < columns; i++) {
		cell = va_arg(ap, const char *);
		memset(&safe, 0, sizeof(safe));
		bf_text_safe(&safe, cell ? cell : "", cell ? strlen(cell) : 0, false);
		t->cells[t->count++] = safe.data;
	}
	va_end(ap);
}

static const char *cell(const struct bf_table *t, size_t row, size_t column)
{
	const char *s = t->cells[row * t->columns + column];

	return s ? s : "";
}

void bf_table_free(struct bf_table *t)
{
	for (size_t r = 0; r < t->count; r++)
		free(t->cells[r]);
	free(t->cells);
	memset(t, 0, sizeof(*t));
}

void bf_table_print(struct bf_table *t)
{
	size_t rows = t->columns ? t->count / t->columns : 0, r, c, width;
	bool bold = bf_cli_colour();

	for (r = 0; r < rows; r++) {
		if (bold && !r)
			fputs("\033[1m", stdout);
		for (c = 0; c < t->columns; c++) {
			size_t k;

			for (width = 0, k = 0; k < rows; k++)
				if (strlen(cell(t, k, c)) > width)
					width = strlen(cell(t, k, c));
			if (c + 1 < t->columns)
				printf("%-*s  ", (int)width, cell(t, r, c));
			else
				fputs(cell(t, r, c), stdout);
		}
		fputs(bold && !r ? "\033[0m\n" : "\n", stdout);
	}
	bf_table_free(t);
}
