// SPDX-License-Identifier: Apache-2.0
/* shield status and top: what is guarded, what comes, what is dropped and why */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/shield_attacks.h"

/* With whom it shares XDP, and what is wrong with that. */
static void print_shared(const json_t *d)
{
	const json_t *name;
	size_t i;

	json_array_foreach (json_object_get(d, "others"), i, name) {
		printf("%s", i ? ", " : "shared     ");
		if (!i) {
			bf_cli_print(text(d, "interface"));
			printf(" with ");
		}
		bf_cli_print(json_string_value(name));
	}
	if (json_array_size(json_object_get(d, "others")))
		printf("\n");
	if (*text(d, "note")) {
		printf("warning    ");
		bf_cli_print(text(d, "note"));
		printf("\n");
	}
}

static void print_devices(const json_t *devices)
{
	struct bf_table t = {0};
	char passed[24], known[24], dropped[24], audited[24], by[300];
	const json_t *d;
	size_t i;

	bf_table_row(&t, 8, "INTERFACE", "HOOK", "MODE", "PASSED", "KNOWN", "DROPPED", "AUDITED",
		     "BY");
	json_array_foreach (devices, i, d) {
		snprintf(passed, sizeof(passed), "%lld", num(d, "passed"));
		snprintf(known, sizeof(known), "%lld", num(d, "known"));
		snprintf(dropped, sizeof(dropped), "%lld", num(d, "dropped"));
		snprintf(audited, sizeof(audited), "%lld", num(d, "audited"));
		/* What a command said comes back when the policy goes. */
		snprintf(by, sizeof(by), "%s%s%s%s", text(d, "by"), *text(d, "policy") ? " " : "",
			 text(d, "policy"), *text(d, "command_mode") ? ", command" : "");
		bf_table_row(&t, 8, text(d, "interface"), text(d, "hook"),
			     json_is_true(json_object_get(d, "attached")) ? text(d, "mode")
									  : "gone",
			     passed, known, dropped, audited, by);
	}
	bf_table_print(&t);
	json_array_foreach (devices, i, d)
		print_shared(d);
}

static void print_drops(const json_t *devices)
{
	struct bf_table t = {0};
	char packets[24], audited[24];
	const json_t *d, *r;
	size_t i, k;

	bf_table_row(&t, 5, "INTERFACE", "REASON", "DROPPED", "AUDITED", "WHAT IT MEANS");
	json_array_foreach (devices, i, d) {
		json_array_foreach (json_object_get(d, "drops"), k, r) {
			snprintf(packets, sizeof(packets), "%lld", num(r, "packets"));
			snprintf(audited, sizeof(audited), "%lld", num(r, "audited"));
			bf_table_row(&t, 5, text(d, "interface"), text(r, "reason"), packets,
				     audited, text(r, "hint"));
		}
	}
	if (t.count > t.columns)
		printf("\n");
	else
		printf("drops      none\n");
	if (t.count > t.columns)
		bf_table_print(&t);
	else
		bf_table_free(&t);
}

static void print_top(const json_t *top)
{
	struct bf_table t = {0};
	char packets[24], to[80], ago[24];
	const json_t *s;
	size_t i;

	if (!json_array_size(top))
		return;
	bf_table_row(&t, 6, "SOURCE", "TO", "PROTOCOL", "REASON", "ABOUT", "LAST");
	json_array_foreach (top, i, s) {
		snprintf(packets, sizeof(packets), "%lld", num(s, "packets"));
		snprintf(to, sizeof(to), "%s:%lld", text(s, "destination"),
			 num(s, "destination_port"));
		snprintf(ago, sizeof(ago), "%.0f s ago",
			 json_real_value(json_object_get(s, "seconds_ago")));
		bf_table_row(&t, 6, text(s, "source"), to, text(s, "protocol"), text(s, "reason"),
			     packets, ago);
	}
	printf("\n");
	bf_table_print(&t);
}

static void print_policies(const json_t *s)
{
	const json_t *p, *name, *http;
	const char *key;
	json_t *value;
	size_t i, k;

	json_array_foreach (json_object_get(s, "failures"), i, p) {
		printf("warning    ");
		bf_cli_print(json_string_value(p));
		printf("\n");
	}
	json_array_foreach (json_object_get(s, "policies"), i, p) {
		printf("policy     ");
		bf_cli_print(text(p, "name"));
		printf(": mode %s, sensitivity %s; %zu devices", text(p, "mode"),
		       text(p, "sensitivity"), json_array_size(json_object_get(p, "devices")));
		json_array_foreach (json_object_get(p, "waits_for"), k, name) {
			printf("%s", k ? ", " : "; waits for ");
			bf_cli_print(json_string_value(name));
		}
		http = json_object_get(p, "http");
		if (json_object_size(http))
			printf("; http");
		json_object_foreach ((json_t *)http, key, value)
			printf(" %s %lld", key, (long long)json_integer_value(value));
		printf("\n");
	}
}

/* Where policies say another than the node has. */
static void print_sensitivity(const json_t *detection)
{
	const json_t *by = json_object_get(detection, "sensitivity_by_policy");
	const char *key;
	json_t *value;

	if (!json_object_size(by))
		return;
	printf("detection  sensitivity %s", text(detection, "sensitivity"));
	json_object_foreach ((json_t *)by, key, value)
		printf("; %s by policy for %lld destinations", key,
		       (long long)json_integer_value(value));
	printf("\n");
}

static void print_status(const json_t *s)
{
	const json_t *devices = json_object_get(s, "devices"), *lists = json_object_get(s, "lists");
	const json_t *http = json_object_get(s, "http");

	if (*text(s, "error")) {
		printf("warning: ");
		bf_cli_print(text(s, "error"));
		printf("\n");
	}
	if (!json_array_size(devices)) {
		printf("no device is guarded; `bpfast shield attach IF` guards one\n");
	} else {
		print_devices(devices);
		printf("\n");
	}
	print_policies(s);
	if (lists)
		printf("lists      %lld blocked, %lld allowed by command; %lld blocked, %lld "
		       "allowed by policies; %lld blocked, %lld allowed by files; %lld KiB\n",
		       num(lists, "block"), num(lists, "allow"), num(lists, "block_from_policies"),
		       num(lists, "allow_from_policies"), num(lists, "block_from_files"),
		       num(lists, "allow_from_files"), num(lists, "bytes") / 1024);
	if (num(http, "blocked_now") || num(http, "paused_now") || num(http, "not_blocked")) {
		printf("pods       %lld blocks of a source towards one pod, %lld of its new "
		       "connections alone",
		       num(http, "blocked_now"), num(http, "paused_now"));
		if (num(http, "not_blocked"))
			printf("; %lld times there was no room", num(http, "not_blocked"));
		printf("\n");
	}
	print_sensitivity(json_object_get(s, "detection"));
	if (json_array_size(json_object_get(s, "cookies")))
		printf("cookies    for %zu destinations; `bpfast shield cookies` shows them\n",
		       json_array_size(json_object_get(s, "cookies")));
	if (json_array_size(devices))
		print_drops(devices);
	bf_cli_print_attacks(s, 5);
	bf_cli_shield_http_print(http);
	print_top(json_object_get(s, "top"));
}

int bf_cli_shield_status(struct bf_cli *cli)
{
	json_t *s;
	int r = bf_cli_ask(cli, "shield status", NULL, &s);

	if (r)
		return r;
	if (cli->json)
		bf_cli_print_json(s);
	else
		print_status(s);
	json_decref(s);
	return BF_EXIT_DONE;
}

/* --- top --- */

/* The same device one look earlier. */
static const json_t *before(const json_t *was, const json_t *d)
{
	const json_t *e;
	size_t i;

	json_array_foreach (json_object_get(was, "devices"), i, e)
		if (num(e, "ifindex") == num(d, "ifindex"))
			return e;
	return NULL;
}

static void rate_cell(char *buf, size_t size, const json_t *was, const json_t *is, const char *key,
		      double seconds)
{
	snprintf(buf, size, "%.0f",
		 was && seconds > 0 ? (double)(num(is, key) - num(was, key)) / seconds : 0.0);
}

static void print_rates(const json_t *was, const json_t *is, double seconds)
{
	const json_t *d;
	json_t *value;
	struct bf_table t = {0};
	char cell[4][24];
	const char *key;
	size_t i;

	bf_table_row(&t, 7, "INTERFACE", "HOOK", "MODE", "PASSED/s", "BYTES/s", "DROPPED/s",
		     "AUDITED/s");
	json_array_foreach (json_object_get(is, "devices"), i, d) {
		const json_t *old = before(was, d);

		rate_cell(cell[0], sizeof(cell[0]), old, d, "passed", seconds);
		rate_cell(cell[1], sizeof(cell[1]), old, d, "passed_bytes", seconds);
		rate_cell(cell[2], sizeof(cell[2]), old, d, "dropped", seconds);
		rate_cell(cell[3], sizeof(cell[3]), old, d, "audited", seconds);
		bf_table_row(&t, 7, text(d, "interface"), text(d, "hook"), text(d, "mode"), cell[0],
			     cell[1], cell[2], cell[3]);
	}
	bf_table_print(&t);
	json_array_foreach (json_object_get(is, "devices"), i, d) {
		const json_t *old = before(was, d);

		printf("\n%s:", text(d, "interface"));
		json_object_foreach (json_object_get(d, "classes"), key, value) {
			rate_cell(cell[0], sizeof(cell[0]), json_object_get(old, "classes"),
				  json_object_get(d, "classes"), key, seconds);
			printf("  %s %s/s", key, cell[0]);
		}
		printf("\n");
	}
}

static long long number(const struct bf_cli *cli, const char *option, long long otherwise)
{
	const char *word = bf_cli_text(cli, option);
	char *end;
	long long n = word ? strtoll(word, &end, 10) : otherwise;

	return word && (*end || n < 1 || n > 1000000000) ? -1 : n;
}

static double now_s(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int bf_cli_shield_top(struct bf_cli *cli)
{
	long long every = number(cli, "interval", 1), left = number(cli, "count", 1LL << 60);
	const struct timespec wait = {.tv_sec = every};
	json_t *was = NULL, *is;
	bool live = isatty(STDOUT_FILENO);
	double then = now_s(), now;
	int r = BF_EXIT_DONE;

	if (every < 0 || left < 0)
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "--interval and --count take a number from 1");
	r = bf_cli_ask(cli, "shield status", NULL, &was);
	while (!r && left-- > 0) {
		nanosleep(&wait, NULL);
		r = bf_cli_ask(cli, "shield status", NULL, &is);
		if (r)
			break;
		now = now_s();
		if (live)
			fputs("\033[H\033[2J", stdout);
		if (cli->json) {
			bf_cli_print_json(is);
		} else {
			print_rates(was, is, now - then);
			bf_cli_print_attacks(is, 0);
			print_top(json_object_get(is, "top"));
		}
		if (!live && !cli->json)
			printf("\n");
		/* A closed pipe ends it. */
		if (fflush(stdout) || ferror(stdout))
			left = 0;
		json_decref(was);
		was = is;
		then = now;
	}
	json_decref(was);
	return r;
}
