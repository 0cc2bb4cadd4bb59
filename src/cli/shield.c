// SPDX-License-Identifier: Apache-2.0
/* shield block, unblock, allow, unallow, list, limit */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/shield_attach.h"
#include "cli/shield_attacks.h"
#include "cli/shield_cookies.h"
#include "client/client.h"

/* Asks, and prints the answer as JSON or one sentence: `said` and the operand. */
static int ask(struct bf_cli *cli, const char *command, json_t *args, const char *said)
{
	json_t *result;
	int r = bf_cli_ask(cli, command, args, &result);

	if (r)
		return r;
	if (cli->json) {
		bf_cli_print_json(result);
	} else {
		bf_cli_print(cli->operands[0]);
		printf(" %s\n", said);
	}
	json_decref(result);
	return BF_EXIT_DONE;
}

/* --- lists --- */

/* "90", "90s", "10m", "2h", "7d" to seconds; -1: none of these. */
static long long seconds_of(const char *word)
{
	char *end;
	long long n = strtoll(word, &end, 10), unit = 1;

	if (end == word || n < 1 || n > 1000000000)
		return -1;
	if (*end == 'm')
		unit = 60;
	else if (*end == 'h')
		unit = 3600;
	else if (*end == 'd')
		unit = 86400;
	else if (*end && *end != 's')
		return -1;
	if (*end && end[1])
		return -1;
	return n * unit;
}

/* --for into args; an exit status. */
static int add_time(struct bf_cli *cli, json_t *args)
{
	const char *word = bf_cli_text(cli, "for");
	long long s = word ? seconds_of(word) : 0;

	if (s < 0)
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "--for: '%s' is not a time such as 90s, 10m, 2h or 7d; at least "
				   "a second",
				   word);
	if (word)
		json_object_set_new(args, "seconds", json_integer(s));
	return BF_EXIT_DONE;
}

#define PART (2u << 20) /* bytes of one request; the agent takes 8 MiB of JSON */

struct upload {
	struct bf_connection c;
	bool allow;
	json_t *args; /* what goes with each part */
	size_t line;
	long long prefixes;
};

/* One request, one answer; 0 or -errno with err. */
static int exchange(struct upload *u, const char *command, json_t *args, json_t **result,
		    struct bf_error *err)
{
	const char *said;
	json_t *answer;
	size_t len;
	char *line;
	int r = bf_request(&u->c, command, args, err);

	*result = NULL;
	if (!r)
		r = bf_next_line(&u->c, &line, &len, err);
	if (r)
		return r;
	answer = json_loadb(line, len, 0, NULL);
	said = json_string_value(json_object_get(answer, "error"));
	*result = json_incref(json_object_get(answer, "result"));
	if (said)
		r = bf_err(err, -EREMOTEIO, "%s", said);
	else if (!*result)
		r = bf_err(err, -EPROTO, "the agent's answer is not understood");
	json_decref(answer);
	return r;
}

static int send_part(struct upload *u, const char *part, size_t len, struct bf_error *err)
{
	json_t *args = json_copy(u->args), *body = json_stringn(part, len), *result;
	int r;

	if (!body) {
		json_decref(args);
		return bf_err(err, -EINVAL, "line %zu and on: this is no text", u->line);
	}
	json_object_set_new(args, "text", body);
	json_object_set_new(args, "line", json_integer((json_int_t)u->line));
	r = exchange(u, "shield stage", args, &result, err);
	u->prefixes = num(result, "prefixes");
	json_decref(result);
	for (const char *p = part; p < part + len; p++)
		u->line += *p == '\n';
	return r;
}

/* Sends whole lines, PART bytes at a time. */
static int send_file(struct upload *u, FILE *f, struct bf_error *err)
{
	char *buf = malloc(PART);
	size_t have = 0, got;
	int r = 0;

	if (!buf)
		return bf_err(err, -ENOMEM, "no memory");
	do {
		const char *end;
		size_t take;

		got = fread(buf + have, 1, PART - have, f);
		have += got;
		end = have ? memrchr(buf, '\n', have) : NULL;
		take = got && end ? (size_t)(end + 1 - buf) : got ? 0 : have;
		if (!take && have == PART)
			r = bf_err(err, -EINVAL, "line %zu is longer than %u bytes", u->line, PART);
		if (!r && take)
			r = send_part(u, buf, take, err);
		memmove(buf, buf + take, have - take);
		have -= take;
	} while (!r && got);
	if (!r && ferror(f))
		r = bf_err(err, -EIO, "reading failed");
	free(buf);
	return r;
}

static int from_file(struct bf_cli *cli, bool allow, const char *path)
{
	struct upload u = {.allow = allow, .args = json_object(), .line = 1};
	struct bf_error err = {""};
	json_t *result = NULL, *args;
	FILE *f;
	int r, status = add_time(cli, u.args);

	if (status) {
		json_decref(u.args);
		return status;
	}
	f = strcmp(path, "-") ? fopen(path, "re") : stdin;
	if (!f) {
		json_decref(u.args);
		return bf_cli_fail(cli, BF_EXIT_FAILED, "%s: %s", path, strerror(errno));
	}
	json_object_set_new(u.args, "allow", json_boolean(allow));
	r = bf_connect(&u.c, cli->run_dir, &err);
	if (r) {
		status = bf_cli_fail(
			cli, r == -ENOENT || r == -ECONNREFUSED ? BF_EXIT_NO_AGENT : BF_EXIT_FAILED,
			"%s", err.msg);
	} else {
		r = send_file(&u, f, &err);
		args = json_pack("{s:b, s:b}", "allow", allow, "replace",
				 bf_cli_switch(cli, "replace"));
		if (!r)
			r = exchange(&u, "shield commit", args, &result, &err);
		else
			json_decref(args);
		if (r)
			status = bf_cli_fail(cli, BF_EXIT_FAILED, "%s: nothing was changed: %s",
					     path, err.msg);
		bf_disconnect(&u.c);
	}
	if (f != stdin)
		fclose(f);
	json_decref(u.args);
	if (!status && cli->json)
		bf_cli_print_json(result);
	else if (!status)
		printf("%lld prefix%s %s; %lld from files are in force\n", num(result, "prefixes"),
		       num(result, "prefixes") == 1 ? "" : "es", allow ? "allowed" : "blocked",
		       num(result, "in_force"));
	json_decref(result);
	return status;
}

static int put(struct bf_cli *cli, bool allow)
{
	const char *file = bf_cli_text(cli, "file");
	json_t *args;
	int r;

	if (!file == !cli->operand_count)
		return bf_cli_fail(cli, BF_EXIT_USAGE, "either a CIDR or --file FILE is expected");
	if (!file && bf_cli_switch(cli, "replace"))
		return bf_cli_fail(cli, BF_EXIT_USAGE, "--replace goes with --file");
	if (file)
		return from_file(cli, allow, file);
	args = json_pack("{s:s}", "cidr", cli->operands[0]);
	r = add_time(cli, args);
	if (r) {
		json_decref(args);
		return r;
	}
	return ask(cli, allow ? "shield allow" : "shield block", args,
		   allow ? "is allowed" : "is blocked");
}

static int block(struct bf_cli *cli)
{
	return put(cli, false);
}

static int allow(struct bf_cli *cli)
{
	return put(cli, true);
}

/* Who holds an entry, in words. */
static const char *holder_word(const char *from)
{
	return !strcmp(from, "http") ? "shield http" : from;
}

/* Towards whom one of `shield http` is: the pod, or its address where it has just gone. */
static const char *place(const json_t *entry)
{
	return *text(entry, "endpoint") ? text(entry, "endpoint") : text(entry, "destination");
}

static int take(struct bf_cli *cli, bool allow)
{
	const char *list = allow ? "allow" : "block";
	json_t *result, *entry;
	const json_t *still;
	size_t i;
	int r = bf_cli_ask(cli, allow ? "shield unallow" : "shield unblock",
			   json_pack("{s:s}", "cidr", cli->operands[0]), &result);

	if (r)
		return r;
	if (cli->json) {
		bf_cli_print_json(result);
		json_decref(result);
		return BF_EXIT_DONE;
	}
	bf_cli_print(cli->operands[0]);
	printf(" is not on the %s list any more (", list);
	json_array_foreach (json_object_get(result, "entries"), i, entry) {
		printf("%s", i ? ", " : "");
		bf_cli_print(holder_word(text(entry, "from")));
		if (strcmp(text(entry, "from"), "http"))
			continue;
		printf(": ");
		bf_cli_print(text(entry, "cidr"));
		printf(" at ");
		bf_cli_print(place(entry));
	}
	printf(")\n");
	still = json_object_get(result, "still");
	if (still) {
		bf_cli_print(text(still, "cidr"));
		printf(", which holds it, still is (");
		bf_cli_print(holder_word(text(still, "from")));
		if (json_object_get(still, "policy")) {
			printf(" ");
			bf_cli_print(text(still, "policy"));
		}
		printf(")\n");
	}
	if (json_object_get(result, "http_inside"))
		printf("%lld blocked by shield http lie within it and stay blocked\n",
		       num(result, "http_inside"));
	json_decref(result);
	return BF_EXIT_DONE;
}

static int unblock(struct bf_cli *cli)
{
	return take(cli, false);
}

static int unallow(struct bf_cli *cli)
{
	return take(cli, true);
}

static void left_text(const json_t *e, char *buf, size_t size)
{
	const json_t *left = json_object_get(e, "seconds_left");

	if (left)
		snprintf(buf, size, "%lld s", (long long)json_integer_value(left));
	else
		snprintf(buf, size, "forever");
}

static int list(struct bf_cli *cli)
{
	const char *word = bf_cli_text(cli, "limit");
	struct bf_table t = {0};
	const json_t *e, *entries;
	json_t *result;
	char *end = NULL, left[32], from[700];
	long long most = word ? strtoll(word, &end, 10) : 1000;
	size_t i;
	int r;

	if (word && (*end || most < 0))
		return bf_cli_fail(cli, BF_EXIT_USAGE, "--limit: '%s' is not a number", word);
	r = bf_cli_ask(cli, "shield list", json_pack("{s:I}", "limit", (json_int_t)most), &result);
	if (r)
		return r;
	entries = json_object_get(result, "entries");
	if (cli->json) {
		bf_cli_print_json(result);
	} else if (!num(result, "total")) {
		printf("nothing is blocked or allowed\n");
	} else {
		bf_table_row(&t, 4, "LIST", "CIDR", "LEFT", "FROM");
		json_array_foreach (entries, i, e) {
			left_text(e, left, sizeof(left));
			if (*text(e, "destination"))
				snprintf(from, sizeof(from), "http at %s%s", place(e),
					 strcmp(text(e, "what"), "everything") ? ", new connections"
									       : "");
			else
				snprintf(from, sizeof(from), "%s%s%s", text(e, "from"),
					 *text(e, "policy") ? " " : "", text(e, "policy"));
			bf_table_row(&t, 4, text(e, "list"), text(e, "cidr"), left, from);
		}
		bf_table_print(&t);
		if (num(result, "total") > (long long)json_array_size(entries))
			printf("and %lld more; --limit shows them\n",
			       num(result, "total") - (long long)json_array_size(entries));
	}
	json_decref(result);
	return BF_EXIT_DONE;
}

/* --- limits --- */

/* RATE[:BURST] of a scope's option into args. */
static int add_limit(struct bf_cli *cli, json_t *args, const char *scope)
{
	const char *word = bf_cli_text(cli, scope);
	long long rate, burst = 0;
	char *end;

	if (!word)
		return BF_EXIT_DONE;
	rate = strtoll(word, &end, 10);
	if (end == word || rate < 0 || (*end && *end != ':'))
		goto bad;
	if (*end == ':') {
		const char *second = end + 1;

		burst = strtoll(second, &end, 10);
		if (end == second || *end || burst < 1)
			goto bad;
	}
	json_object_set_new(
		args, scope,
		json_pack("{s:I, s:I}", "rate", (json_int_t)rate, "burst", (json_int_t)burst));
	return BF_EXIT_DONE;
bad:
	return bf_cli_fail(cli, BF_EXIT_USAGE,
			   "--%s: '%s' is not RATE or RATE:BURST, in packets a second and packets; "
			   "rate 0 is no limit",
			   scope, word);
}

static void limit_text(const json_t *class, const char *scope, char *buf, size_t size)
{
	const json_t *l = json_object_get(class, scope);

	if (num(l, "rate"))
		snprintf(buf, size, "%lld:%lld", num(l, "rate"), num(l, "burst"));
	else
		snprintf(buf, size, "none");
}

static int limit(struct bf_cli *cli)
{
	static const char *const scopes[] = {"source", "prefix", "destination"};
	json_t *args = json_object(), *result, *value;
	struct bf_table t = {0};
	const char *key;
	char cell[3][32];
	int r = BF_EXIT_DONE;

	for (int i = 0; !r && i < 3; i++)
		r = add_limit(cli, args, scopes[i]);
	if (!r && bf_cli_switch(cli, "defaults") && (json_object_size(args) || cli->operand_count))
		r = bf_cli_fail(cli, BF_EXIT_USAGE,
				"--defaults is about all limits; give it alone, then set others");
	if (!r && json_object_size(args) && !cli->operand_count)
		r = bf_cli_fail(cli, BF_EXIT_USAGE,
				"say which class: syn, out-of-state, udp, icmp, "
				"fragment or other");
	if (r) {
		json_decref(args);
		return r;
	}
	if (cli->operand_count)
		json_object_set_new(args, "class", json_string(cli->operands[0]));
	if (bf_cli_switch(cli, "defaults"))
		json_object_set_new(args, "defaults", json_true());
	r = bf_cli_ask(cli, "shield limit", args, &result);
	if (r)
		return r;
	if (cli->json) {
		bf_cli_print_json(result);
	} else {
		bf_table_row(&t, 4, "CLASS", "SOURCE", "PREFIX", "DESTINATION");
		json_object_foreach (result, key, value) {
			for (int i = 0; i < 3; i++)
				limit_text(value, scopes[i], cell[i], sizeof(cell[i]));
			bf_table_row(&t, 4, key, cell[0], cell[1], cell[2]);
		}
		bf_table_print(&t);
	}
	json_decref(result);
	return BF_EXIT_DONE;
}

static const struct bf_option none[] = {{NULL, 0, NULL, false, NULL}};

static const struct bf_option put_options[] = {
	{"for", 0, "TIME", false, "ends by itself: 90s, 10m, 2h, 7d"},
	{"file", 0, "FILE", false, "a prefix a line, # and ; begin comments; - is standard input"},
	{"replace", 0, NULL, false, "with --file: in place of all that files gave before"},
	{NULL, 0, NULL, false, NULL},
};

static const struct bf_option list_options[] = {
	{"limit", 0, "N", false, "how many at most (default 1000)"},
	{NULL, 0, NULL, false, NULL},
};

static const struct bf_option limit_options[] = {
	{"source", 0, "RATE[:BURST]", false, "of one address, packets a second"},
	{"prefix", 0, "RATE[:BURST]", false, "of one /24 or /64"},
	{"destination", 0, "RATE[:BURST]", false, "towards one address and port"},
	{"defaults", 0, NULL, false, "all limits as they are from the start"},
	{NULL, 0, NULL, false, NULL},
};

static const struct bf_option cookie_options[] = {
	{"always", 0, NULL, false, "on: answer all SYNs of sources that are not known"},
	{"netns", 0, "NAME|PID", false, "the listener's namespace, where it is not found"},
	{NULL, 0, NULL, false, NULL},
};

static const struct bf_option top_options[] = {
	{"interval", 0, "SECONDS", false, "between two looks (default 1)"},
	{"count", 0, "N", false, "end after so many"},
	{NULL, 0, NULL, false, NULL},
};

const struct bf_cli_command bf_cli_shield[] = {
	{"shield", "attach", "IF", 1, 1,
	 "guard a device against floods\n\n"
	 "Hard limits are in force at once. Native XDP where the driver takes it, else generic; "
	 "--tc\nand --pod at TC. Where libxdp's dispatcher has XDP, it is put among the programs "
	 "there.\nSaid again with another --mode, it changes the mode.",
	 bf_cli_attach_options, bf_cli_shield_attach},
	{"shield", "detach", "IF", 1, 1, "leave the device as it was before", none,
	 bf_cli_shield_detach},
	{"shield", "status", "", 0, 0, "devices, what was dropped and why, lists, limits", none,
	 bf_cli_shield_status},
	{"shield", "top", "", 0, 0, "the same live: rates, top sources", top_options,
	 bf_cli_shield_top},
	{"shield", "block", "[CIDR]", 0, 1, "drop what comes from these addresses", put_options,
	 block},
	{"shield", "unblock", "CIDR", 1, 1, "take it off the block list", none, unblock},
	{"shield", "allow", "[CIDR]", 0, 1,
	 "never drop what comes from these addresses; always wins", put_options, allow},
	{"shield", "unallow", "CIDR", 1, 1, "take it off the allow list", none, unallow},
	{"shield", "list", "", 0, 0, "what is blocked and allowed, and how long", list_options,
	 list},
	{"shield", "limit", "[CLASS]", 0, 1,
	 "the limits, or other ones\n\n"
	 "CLASS: syn, out-of-state, udp, icmp, fragment, other. They hold for all devices.",
	 limit_options, limit},
	{"shield", "detect", "[TARGET]", 0, 1,
	 "how attacks are met: enforce, audit or off, and how soon\n\n"
	 "TARGET: an address or ADDRESS:PORT, [ADDRESS]:PORT; without it: all. A target that is "
	 "said "
	 "to\nbe as all are has no row of its own any more.",
	 bf_cli_detect_options, bf_cli_shield_detect},
	{"shield", "capture", "", 0, 0,
	 "sampled packets that were dropped, into a pcap file\n\n"
	 "The newest 4096. Without --payload only their headers.",
	 bf_cli_capture_options, bf_cli_shield_capture},
	{"shield", "http", "", 0, 0,
	 "floods of connections and HTTP requests: limits, and what was ended\n\n"
	 "Without options it shows. A limit of 0 is none. A source is an IPv4 address or an IPv6 "
	 "/64.",
	 bf_cli_shield_http_options, bf_cli_shield_http},
	{"shield", "cookies", "[on|off [ADDRESS:PORT ...]]", 0, -1,
	 "answer SYNs with cookies in the place of listeners of this machine\n\n"
	 "When a destination is over its limit of SYNs, they are answered instead of dropped. The\n"
	 "listener's namespace gets tcp_syncookies=2 and tcp_timestamps=2 until it is off again. "
	 "Off\n"
	 "without an address is all; without anything, what is on is shown.",
	 cookie_options, bf_cli_shield_cookies},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
