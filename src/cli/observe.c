// SPDX-License-Identifier: Apache-2.0
/* observe: flow records as they come */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "client/client.h"
#include "observe/filter.h"
#include "observe/record.h"

struct printer {
	bool json, colour, follow, printed;
	struct bf_text line;
};

/* One line from the agent. True: it was the last one. */
static bool print_line(struct printer *p, const char *line, size_t len)
{
	json_t *o;

	/* In JSON the agent's line is what is printed: its bytes are safe, and no
	 * time is spent on taking it apart. */
	if (p->json && (!strncmp(line, "{\"flow\":", 8) || !strncmp(line, "{\"attack\":", 10))) {
		fwrite(line, 1, len, stdout);
		putchar('\n');
		return false;
	}
	o = json_loadb(line, len, 0, NULL);
	if (json_object_get(o, "lost"))
		fprintf(stderr, "bpfast: %lld records lost: they came faster than they were read\n",
			(long long)json_integer_value(json_object_get(o, "lost")));
	if (json_object_get(o, "flow") || json_object_get(o, "attack")) {
		bf_text_clear(&p->line);
		p->printed = true;
		bf_record_compact(&p->line, o, p->colour);
		if (p->line.data)
			fwrite(p->line.data, 1, p->line.len, stdout);
	}
	if (json_object_get(o, "end")) {
		json_decref(o);
		return true;
	}
	json_decref(o);
	return false;
}

static int arguments(struct bf_cli *cli, json_t **args)
{
	static const char *const texts[] = {"verdict", "protocol", "endpoint"};
	const char *last = bf_cli_text(cli, "last");
	struct bf_filter filter;
	struct bf_error err;
	char *end = NULL;
	long n = 0;
	size_t i;

	/* The agent says the same, but a word that is wrong is wrong without one too. */
	if (bf_filter_init(&filter, bf_cli_text(cli, "verdict"), bf_cli_text(cli, "protocol"),
			   bf_cli_text(cli, "endpoint"), &err))
		return bf_cli_fail(cli, BF_EXIT_USAGE, "%s", err.msg);
	bf_filter_free(&filter);
	if (last) {
		n = strtol(last, &end, 10);
		if (*last < '0' || *last > '9' || *end || n < 0)
			return bf_cli_fail(cli, BF_EXIT_USAGE, "--last: '%s' is not a number",
					   last);
	}
	*args = json_object();
	if (last)
		json_object_set_new(*args, "last", json_integer(n));
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (bf_cli_text(cli, texts[i]))
			json_object_set_new(*args, texts[i],
					    json_string(bf_cli_text(cli, texts[i])));
	json_object_set_new(*args, "follow", json_boolean(bf_cli_switch(cli, "follow")));
	json_object_set_new(*args, "show_query", json_boolean(bf_cli_switch(cli, "show-query")));
	return BF_EXIT_DONE;
}

static int observe(struct bf_cli *cli)
{
	struct printer p = {
		.json = cli->json,
		.colour = bf_cli_colour(),
		.follow = bf_cli_switch(cli, "follow"),
	};
	struct bf_connection c;
	struct bf_error err;
	json_t *args = NULL, *first;
	const char *error;
	char *line;
	size_t len;
	bool end = false;
	int r = arguments(cli, &args);

	if (r)
		return r;
	r = bf_connect(&c, cli->run_dir, &err);
	if (r) {
		json_decref(args);
		return bf_cli_fail(cli, r == -ENOENT ? BF_EXIT_NO_AGENT : BF_EXIT_FAILED, "%s",
				   err.msg);
	}
	r = bf_request(&c, "observe", args, &err);
	if (!r)
		r = bf_next_line(&c, &line, &len, &err);
	if (!r) {
		first = json_loadb(line, len, 0, NULL);
		error = json_string_value(json_object_get(first, "error"));
		if (error)
			r = bf_err(&err, -EINVAL, "%s", error);
		json_decref(first);
	}
	while (!r && !end) {
		/* Shown at once when nothing more is waiting. */
		if (p.follow && !memchr(c.buf + c.taken, '\n', c.len - c.taken))
			fflush(stdout);
		r = bf_next_line(&c, &line, &len, &err);
		if (!r)
			end = print_line(&p, line, len);
		if (ferror(stdout))
			break;
	}
	/* An empty answer about a name that is misspelt would look like peace. */
	if (!r && !p.json && !p.printed && bf_cli_text(cli, "endpoint"))
		fprintf(stderr,
			"bpfast: no record of %s; `bpfast endpoint list` shows the names there "
			"are\n",
			bf_cli_text(cli, "endpoint"));
	bf_disconnect(&c);
	bf_text_free(&p.line);
	return r ? bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg) : BF_EXIT_DONE;
}

static const struct bf_option options[] = {
	{"follow", 'F', NULL, false, "go on as records come"},
	{"last", 0, "N", false, "only the last N that match (with --follow: none)"},
	{"verdict", 0, "V", false, "only forwarded, dropped or audit"},
	{"protocol", 0, "P", false, "only http, tcp, udp, sctp, icmp, icmpv6 or a number"},
	{"endpoint", 0, "[NS/]NAME", false, "only what it sends or receives"},
	{"show-query", 0, NULL, false, "show query strings (root only)"},
	{NULL, 0, NULL, false, NULL},
};

const struct bf_cli_command bf_cli_observe[] = {
	{"observe", NULL, "", 0, 0,
	 "flow records: who talked to whom, with which verdict\n\n"
	 "Newest last. -o is compact (a line each, for people) or json (a line each, with\n"
	 "the field names of Hubble). While nobody follows, the kernel keeps a sample:\n"
	 "see records-per-second in bpfastd(8).",
	 options, observe},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
