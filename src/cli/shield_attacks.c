// SPDX-License-Identifier: Apache-2.0
/* shield detect and capture; attacks as a table */
#include "cli/answer.h"
#include "cli/shield_attacks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "replay/pcap_write.h"

/* What is done: "limit, fingerprint". */
static void add_done(const json_t *attack, struct bf_text *out)
{
	const json_t *word;
	size_t i;

	json_array_foreach (json_object_get(attack, "actions"), i, word)
		bf_text_printf(out, "%s%s", i ? ", " : "", json_string_value(word));
	if (!strcmp(text(attack, "mode"), "audit"))
		bf_text_puts(out, " (audit)");
}

static void add_row(struct bf_table *t, const json_t *attack)
{
	char id[24], peak[24], dropped[24], passed[24], when[40];
	const json_t *first = json_array_get(json_object_get(attack, "top_sources"), 0);
	struct bf_text done = {0};
	const char *from = text(attack, "spread");

	add_done(attack, &done);
	if (first && !strcmp(from, "one"))
		from = text(first, "address");
	snprintf(id, sizeof(id), "%lld", num(attack, "id"));
	snprintf(peak, sizeof(peak), "%lld", num(attack, "peak_packets_per_second"));
	snprintf(dropped, sizeof(dropped), "%lld", num(attack, "dropped"));
	snprintf(passed, sizeof(passed), "%lld", num(attack, "passed"));
	if (*text(attack, "end"))
		snprintf(when, sizeof(when), "over after %lld s", num(attack, "seconds"));
	else
		snprintf(when, sizeof(when), "for %lld s", num(attack, "seconds"));
	bf_table_row(t, 9, id, text(attack, "kind"),
		     text(json_object_get(attack, "target"), "text"), when, peak, dropped, passed,
		     from, done.data ? done.data : "");
	bf_text_free(&done);
}

static void print_rules(const json_t *attacks)
{
	const json_t *attack, *rule;
	struct bf_text t = {0};
	size_t i, k;

	json_array_foreach (attacks, i, attack) {
		json_array_foreach (json_object_get(attack, "rules"), k, rule)
			bf_text_printf(&t, "rule of %lld: %s%s\n", num(attack, "id"),
				       text(rule, "rule"),
				       json_is_true(json_object_get(rule, "audit"))
					       ? " (only counted: too little honest traffic seen)"
					       : "");
		rule = json_object_get(attack, "dns_rule");
		if (rule)
			bf_text_printf(&t, "rule of %lld: %s: %lld met%s\n", num(attack, "id"),
				       text(rule, "rule"), num(rule, "packets"),
				       json_is_true(json_object_get(rule, "audit"))
					       ? " (only counted: too little honest traffic seen)"
				       : !json_is_true(json_object_get(rule, "in_force"))
					       ? " (not in force)"
					       : "");
	}
	if (t.data)
		bf_cli_print(t.data);
	bf_text_free(&t);
}

void bf_cli_print_attacks(const json_t *status, size_t ended)
{
	const json_t *attacks = json_object_get(status, "attacks"), *attack;
	const json_t *running = json_object_get(attacks, "running");
	const json_t *over = json_object_get(attacks, "ended");
	struct bf_table t = {0};
	size_t i;

	if (!json_array_size(running) && (!ended || !json_array_size(over)))
		return;
	bf_table_row(&t, 9, "ATTACK", "KIND", "TARGET", "STATE", "PEAK/s", "DROPPED", "PASSED",
		     "FROM", "DONE");
	json_array_foreach (running, i, attack)
		add_row(&t, attack);
	json_array_foreach (over, i, attack)
		if (i < ended)
			add_row(&t, attack);
	printf("\n");
	bf_table_print(&t);
	print_rules(running);
}

/* --- detect --- */

int bf_cli_shield_detect(struct bf_cli *cli)
{
	const char *mode = bf_cli_text(cli, "mode"), *sens = bf_cli_text(cli, "sensitivity");
	json_t *args = json_object(), *result;
	struct bf_table t = {0};
	const json_t *o;
	size_t i;
	int r;

	if (cli->operand_count)
		json_object_set_new(args, "target", json_string(cli->operands[0]));
	if (mode)
		json_object_set_new(args, "mode", json_string(mode));
	if (sens)
		json_object_set_new(args, "sensitivity", json_string(sens));
	r = bf_cli_ask(cli, "shield detect", args, &result);
	if (r)
		return r;
	if (cli->json) {
		bf_cli_print_json(result);
		json_decref(result);
		return BF_EXIT_DONE;
	}
	bf_table_row(&t, 3, "TARGET", "MODE", "SENSITIVITY");
	json_array_foreach (json_object_get(result, "targets"), i, o)
		bf_table_row(&t, 3, text(o, "target"), text(o, "mode"), text(o, "sensitivity"));
	bf_table_print(&t);
	json_decref(result);
	return BF_EXIT_DONE;
}

const struct bf_option bf_cli_detect_options[] = {
	{"mode", 0, "MODE", false,
	 "enforce (default), audit: record attacks but drop nothing, or off"},
	{"sensitivity", 0, "WORD", false, "low, medium (default) or high"},
	{NULL, 0, NULL, false, NULL},
};

/* --- capture --- */

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* One packet of the agent's answer into the file. */
static int put(struct bf_pcap_writer *w, const json_t *p, struct bf_error *err)
{
	const char *hex = text(p, "bytes");
	uint8_t frame[512];
	size_t n = 0;

	while (hex[2 * n] && hex[2 * n + 1] && n < sizeof(frame)) {
		int high = nibble(hex[2 * n]), low = nibble(hex[2 * n + 1]);

		if (high < 0 || low < 0)
			return bf_err(err, -EPROTO, "the agent's answer is not understood");
		frame[n++] = (uint8_t)(high << 4 | low);
	}
	return bf_pcap_put(w, (uint64_t)num(p, "time_ns"), frame, n, (size_t)num(p, "length"), err);
}

static int fetch(struct bf_cli *cli, struct bf_pcap_writer *w, long long *after, long long *packets,
		 bool payload)
{
	json_t *args = json_pack("{s:b}", "payload", payload), *result;
	const json_t *p;
	struct bf_error err;
	size_t i;
	int r = 0;

	if (*after >= 0)
		json_object_set_new(args, "after", json_integer((json_int_t)*after));
	r = bf_cli_ask(cli, "shield capture", args, &result);
	if (r)
		return r;
	json_array_foreach (json_object_get(result, "packets"), i, p) {
		if (!r && put(w, p, &err))
			r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
		else if (!r)
			(*packets)++;
	}
	*after = num(result, "next");
	json_decref(result);
	return r;
}

int bf_cli_shield_capture(struct bf_cli *cli)
{
	const char *file = bf_cli_text(cli, "write"), *word = bf_cli_text(cli, "seconds");
	const struct timespec wait = {.tv_nsec = 250000000};
	bool payload = bf_cli_switch(cli, "payload");
	struct bf_pcap_writer *w;
	long long after = -1, packets = 0, left;
	struct bf_error err;
	char *end = NULL;
	int r;

	left = word ? strtoll(word, &end, 10) : 0;
	if (word && (end == word || *end || left < 1 || left > 86400))
		return bf_cli_fail(cli, BF_EXIT_USAGE, "--seconds takes a number from 1 to 86400");
	if (!file)
		return bf_cli_fail(cli, BF_EXIT_USAGE, "--write FILE is needed");
	r = bf_pcap_create(file, &w, &err);
	if (r)
		return bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	r = fetch(cli, w, &after, &packets, payload);
	for (left *= 4; !r && left > 0; left--) {
		nanosleep(&wait, NULL);
		r = fetch(cli, w, &after, &packets, payload);
	}
	if (bf_pcap_close(w, &err) && !r)
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s: %s", file, err.msg);
	if (r)
		return r;
	if (cli->json) {
		json_t *o = json_pack("{s:s, s:I}", "file", file, "packets", (json_int_t)packets);

		bf_cli_print_json(o);
		json_decref(o);
	} else {
		struct bf_text t = {0};

		bf_text_printf(&t, "%lld packets in %s\n", packets, file);
		if (t.data)
			bf_cli_print(t.data);
		bf_text_free(&t);
	}
	return BF_EXIT_DONE;
}

const struct bf_option bf_cli_capture_options[] = {
	{"write", 0, "FILE", false, "the file, pcap"},
	{"seconds", 0, "N", false, "go on for so long"},
	{"payload", 0, NULL, false, "what is behind the headers too, up to 64 bytes (root only)"},
	{NULL, 0, NULL, false, NULL},
};
