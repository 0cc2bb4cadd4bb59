// SPDX-License-Identifier: Apache-2.0
/*
 * shield cookies: which listeners are answered for. Their namespaces are set up here, for it takes
 * root; the agent records what they were before, first, so that it can be undone after any crash.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/cookie_place.h"
#include "cli/shield_cookies.h"
#include "client/client.h"
#include "datapath/shield/shield.h"
#include "observe/names.h"

#define MADE 2 /* of both settings: always cookies; timestamps that begin at no secret number */

/* -1 where it was not changed. */
static int old(const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);

	return json_is_integer(v) ? (int)json_integer_value(v) : -1;
}

/* "192.0.2.1:80" or "[2001:db8::1]:80" */
static int parse(const char *word, char address[64], int *port, uint8_t addr[16])
{
	const char *colon = strrchr(word, ':'), *begin = word;
	size_t len = colon ? (size_t)(colon - word) : 0;
	char *end;
	long n;

	if (len >= 2 && *word == '[' && word[len - 1] == ']') {
		begin++;
		len -= 2;
	} else if (len && memchr(word, ':', len)) {
		return -EINVAL;
	}
	if (!len || len > 45)
		return -EINVAL;
	memcpy(address, begin, len);
	address[len] = '\0';
	n = strtol(colon + 1, &end, 10);
	if (*end || end == colon + 1 || n < 1 || n > 65535)
		return -EINVAL;
	*port = (int)n;
	return bf_address_parse(address, addr);
}

static json_t *args_of(const char *what, const char *address, long long port)
{
	return json_pack("{s:s, s:s, s:I}", "do", what, "address", address, "port",
			 (json_int_t)port);
}

static void print_one(const struct bf_cli *cli, const json_t *o, const char *said)
{
	bool six = strchr(text(o, "address"), ':') != NULL;

	if (!cli->json)
		printf("%s%s%s:%lld %s\n", six ? "[" : "", text(o, "address"), six ? "]" : "",
		       num(o, "port"), said);
	if (!cli->json && *text(o, "note") && strcmp(text(o, "mode"), "off"))
		fprintf(stderr, "note: %s\n", text(o, "note"));
}

/* --- off --- */

/* Gives the namespace back what it had; 0 also where it is gone. */
static int restore(uint64_t netns, int syncookies, int timestamps, struct bf_error *err)
{
	struct bf_cookie_place place;
	int r;

	if (syncookies < 0 && timestamps < 0)
		return 0;
	r = bf_cookie_place_by_ino(netns, &place, err);
	if (r == -ENOENT)
		return 0;
	if (r)
		return r;
	r = bf_cookie_place_write(&place, syncookies, timestamps, MADE, err);
	bf_cookie_place_close(&place);
	return r;
}

static int off_one(struct bf_cli *cli, const char *address, long long port)
{
	json_t *args = args_of("mode", address, port), *o = NULL;
	struct bf_error err;
	int r;

	json_object_set_new(args, "mode", json_string("off"));
	r = bf_cli_ask(cli, "shield cookies", args, &o);
	if (r)
		return r;
	if (!num(o, "others") && restore((uint64_t)num(o, "netns"), old(o, "old_syncookies"),
					 old(o, "old_timestamps"), &err))
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	json_decref(o);
	if (r)
		return r;
	r = bf_cli_ask(cli, "shield cookies", args_of("forget", address, port), &o);
	if (r)
		return r;
	print_one(cli, o, "is not answered with cookies any more");
	json_decref(o);
	return r;
}

static int off_all(struct bf_cli *cli)
{
	json_t *all;
	const json_t *o;
	size_t i;
	int r = bf_cli_ask(cli, "shield cookies", NULL, &all);

	if (r)
		return r;
	json_array_foreach (json_object_get(all, "cookies"), i, o)
		if (!r)
			r = off_one(cli, text(o, "address"), num(o, "port"));
	json_decref(all);
	return r;
}

int bf_cli_shield_cookies_end(struct bf_cli *cli)
{
	struct bf_error err;
	json_t *status;
	bool end;

	if (bf_call(cli->run_dir, "shield status", NULL, &status, &err)) {
		json_decref(status);
		return BF_EXIT_DONE;
	}
	end = !json_array_size(json_object_get(status, "devices")) &&
	      json_array_size(json_object_get(status, "cookies"));
	json_decref(status);
	return end ? off_all(cli) : BF_EXIT_DONE;
}

int bf_cli_shield_cookies_down(const char *pin_dir, struct bf_error *err)
{
	struct bf_shield_cookie *all;
	size_t n;
	int r = 0;

	bf_shield_cookies_pinned(pin_dir, &all, &n);
	for (size_t i = 0; i < n && !r; i++) {
		const struct bpfast_shield_cookie *c = &all[i].c;

		r = restore(c->netns,
			    c->old_syncookies == BPFAST_SHIELD_UNCHANGED ? -1 : c->old_syncookies,
			    c->old_timestamps == BPFAST_SHIELD_UNCHANGED ? -1 : c->old_timestamps,
			    err);
	}
	free(all);
	return r;
}

/* --- on --- */

static int ask_twice(struct bf_cli *cli, json_t *record, const struct bf_cookie_place *place,
		     int syncookies, int timestamps)
{
	const char *mode = bf_cli_switch(cli, "always") ? "always" : "limit";
	char address[64];
	long long port = num(record, "port");
	struct bf_error err;
	json_t *o, *args;
	int r;

	snprintf(address, sizeof(address), "%s", text(record, "address"));
	r = bf_cli_ask(cli, "shield cookies", record, &o);
	if (r)
		return r;
	json_decref(o);
	if (bf_cookie_place_write(place, syncookies == MADE ? -1 : MADE,
				  timestamps == 1 ? MADE : -1, -1, &err)) {
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
		off_one(cli, address, port);
		return r;
	}
	args = args_of("mode", address, port);
	json_object_set_new(args, "mode", json_string(mode));
	r = bf_cli_ask(cli, "shield cookies", args, &o);
	if (r) {
		off_one(cli, address, port);
		return r;
	}
	print_one(cli, o,
		  !strcmp(mode, "always") ? "is answered with cookies"
					  : "is answered with cookies when it is over its limit");
	json_decref(o);
	return r;
}

static int on_one(struct bf_cli *cli, const char *address, int port, const uint8_t addr[16])
{
	struct bf_cookie_place place;
	int r, syncookies, timestamps;
	struct bf_error err;
	json_t *record;

	if (bf_cookie_place_find(addr, bf_cli_text(cli, "netns"), &place, &err))
		return bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	if (bf_cookie_place_read(&place, &syncookies, &timestamps, &err)) {
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	} else {
		record = args_of("record", address, port);
		json_object_set_new(record, "netns", json_integer((json_int_t)place.ino));
		json_object_set_new(record, "ifindex", json_integer(place.ifindex));
		json_object_set_new(record, "timestamps", json_boolean(timestamps > 0));
		if (syncookies != MADE)
			json_object_set_new(record, "old_syncookies", json_integer(syncookies));
		if (timestamps == 1)
			json_object_set_new(record, "old_timestamps", json_integer(timestamps));
		r = ask_twice(cli, record, &place, syncookies, timestamps);
	}
	bf_cookie_place_close(&place);
	return r;
}

/* --- the command --- */

static int list(struct bf_cli *cli)
{
	char port[16], mss[16], scale[16];
	struct bf_table t = {0};
	const json_t *o;
	json_t *all;
	size_t i;
	int r = bf_cli_ask(cli, "shield cookies", NULL, &all);

	if (r)
		return r;
	if (cli->json) {
		bf_cli_print_json(all);
	} else if (!json_array_size(json_object_get(all, "cookies"))) {
		printf("SYN cookies are on for no destination\n");
	} else {
		bf_table_row(&t, 6, "ADDRESS", "PORT", "MODE", "BEHIND", "MSS", "WINDOW-SCALE");
		json_array_foreach (json_object_get(all, "cookies"), i, o) {
			snprintf(port, sizeof(port), "%lld", num(o, "port"));
			snprintf(mss, sizeof(mss), "%lld", num(o, "mss"));
			snprintf(scale, sizeof(scale), "%d", old(o, "window_scale"));
			bf_table_row(&t, 6, text(o, "address"), port, text(o, "mode"),
				     *text(o, "interface") ? text(o, "interface") : "host",
				     num(o, "mss") ? mss : "?",
				     old(o, "window_scale") < 0 ? "?" : scale);
		}
		bf_table_print(&t);
	}
	json_decref(all);
	return r;
}

int bf_cli_shield_cookies(struct bf_cli *cli)
{
	const char *what = cli->operand_count ? cli->operands[0] : "";
	int r = BF_EXIT_DONE, port;
	char address[64];
	uint8_t addr[16];

	if (!*what)
		return list(cli);
	if (strcmp(what, "on") && strcmp(what, "off"))
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "on or off is expected before the addresses, not '%s'", what);
	if (cli->operand_count == 1 && !strcmp(what, "on"))
		return bf_cli_fail(cli, BF_EXIT_USAGE, "for which ADDRESS:PORT?");
	for (int i = 1; i < cli->operand_count; i++)
		if (parse(cli->operands[i], address, &port, addr))
			return bf_cli_fail(cli, BF_EXIT_USAGE,
					   "'%s' is not ADDRESS:PORT, such as 192.0.2.1:80 or "
					   "[2001:db8::1]:80",
					   cli->operands[i]);
	for (int i = 1; !r && i < cli->operand_count; i++) {
		parse(cli->operands[i], address, &port, addr);
		r = strcmp(what, "on") ? off_one(cli, address, port)
				       : on_one(cli, address, port, addr);
	}
	if (!r && cli->operand_count == 1)
		r = off_all(cli);
	return !r && cli->json ? list(cli) : r;
}
