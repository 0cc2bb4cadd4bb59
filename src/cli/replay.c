// SPDX-License-Identifier: Apache-2.0
/* replay: a capture through the programs that guard pods */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/endpoint_file.h"
#include "cli/policy.h"
#include "cli/replay.h"
#include "observe/names.h"
#include "observe/record.h"

struct printer {
	bool json, colour;
	struct bf_record_options options;
	struct bf_text line, compact;
};

static void print_record(void *arg, const struct bpfast_event *ev, const struct bf_view *view)
{
	struct printer *p = arg;
	json_t *o;

	bf_text_clear(&p->line);
	bf_record_json(&p->line, ev, view, &p->options);
	if (p->json) {
		fwrite(p->line.data, 1, p->line.len, stdout);
		return;
	}
	o = json_loadb(p->line.data, p->line.len, 0, NULL);
	bf_text_clear(&p->compact);
	bf_record_compact(&p->compact, o, p->colour);
	if (p->compact.data)
		fwrite(p->compact.data, 1, p->compact.len, stdout);
	json_decref(o);
}

/* --- what the command line says --------------------------------------------------- */

static int read_endpoints(const struct bf_cli *cli, struct bf_endpoints *out)
{
	const json_t *files = bf_cli_list(cli, "endpoint-file"), *item;
	const json_t *words = bf_cli_list(cli, "endpoint");
	struct bf_error err;
	size_t i;

	json_array_foreach (words, i, item)
		if (bf_cli_endpoint_word(json_string_value(item), out, &err))
			return bf_cli_fail(cli, BF_EXIT_USAGE, "--endpoint %s", err.msg);
	json_array_foreach (files, i, item)
		if (bf_cli_endpoint_file(json_string_value(item), out, &err))
			return bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	if (!out->n)
		return bf_cli_fail(
			cli, BF_EXIT_USAGE,
			"say which addresses are pods, with --endpoint shop/web=10.0.0.7,app=web "
			"for each, or with --endpoint-file and what `bpfast endpoint list -o json` "
			"or `kubectl get pods -o json` printed");
	return BF_EXIT_DONE;
}

/* malloc'ed. */
static int read_nodes(const struct bf_cli *cli, uint8_t (**out)[16], size_t *n)
{
	const json_t *list = bf_cli_list(cli, "node"), *item;
	size_t i;

	*n = json_array_size(list);
	*out = calloc(*n + 1, 16);
	if (!*out)
		return bf_cli_fail(cli, BF_EXIT_FAILED, "no memory");
	json_array_foreach (list, i, item)
		if (bf_address_parse(json_string_value(item), (*out)[i]))
			return bf_cli_fail(cli, BF_EXIT_USAGE, "--node: '%s' is not an address",
					   json_string_value(item));
	return BF_EXIT_DONE;
}

/* --- running ---------------------------------------------------------------------- */

static int run(struct bf_cli *cli, const struct bf_replay_options *options,
	       struct bf_capture *capture)
{
	struct bf_replay_summary summary;
	struct bf_replay *replay;
	struct bf_error err;
	int r;

	if (bf_replay_open(options, &replay, &err))
		return bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	r = bf_replay_run(replay, capture, &summary, &err);
	bf_replay_close(replay);
	if (cli->json)
		bf_cli_replay_json(&summary);
	else
		bf_cli_replay_text(&summary);
	fflush(stdout);
	if (r)
		return bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	if (summary.frames && summary.no_pod + summary.truncated == summary.frames)
		return bf_cli_fail(
			cli, BF_EXIT_FAILED,
			"no packet of %s was sent by or to an address of --endpoint, so nothing "
			"was judged: compare the addresses with those in the capture",
			cli->operands[0]);
	return BF_EXIT_DONE;
}

static int replay(struct bf_cli *cli)
{
	struct printer p = {
		.json = cli->json,
		.colour = bf_cli_colour(),
		.options = {.node_name = "replay", .show_query = bf_cli_switch(cli, "show-query")},
	};
	struct bf_replay_options options = {.record = print_record, .arg = &p};
	struct bf_endpoints endpoints = {0};
	struct bf_objects objects = {0};
	struct bf_endpoint *flat = NULL;
	struct bf_capture *capture = NULL;
	uint8_t(*nodes)[16] = NULL;
	struct bf_error err;
	int r;

	if (bf_cli_list(cli, "rules"))
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "--rules: rule sets are not built yet; leave it away");
	r = read_endpoints(cli, &endpoints);
	if (!r)
		r = read_nodes(cli, &nodes, &options.node_addr_count);
	if (!r)
		r = bf_cli_objects(cli, "policy", &objects);
	if (!r && bf_capture_open(cli->operands[0], &capture, &err))
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	if (!r) {
		flat = bf_endpoints_flat(&endpoints);
		if (!flat)
			r = bf_cli_fail(cli, BF_EXIT_FAILED, "no memory");
	}
	if (!r) {
		bf_cli_note_unused(&objects, flat, endpoints.n);
		options.objects = &objects;
		options.endpoints = flat;
		options.endpoint_count = endpoints.n;
		options.capture_bytes = bf_capture_bytes(capture);
		options.node_addrs = (const uint8_t(*)[16])nodes;
		r = run(cli, &options, capture);
	}
	bf_capture_close(capture);
	free(flat);
	free(nodes);
	bf_objects_free(&objects);
	bf_endpoints_free(&endpoints);
	bf_text_free(&p.line);
	bf_text_free(&p.compact);
	return r;
}

static const struct bf_option options[] = {
	{"policy", 0, "FILE", true, "file or directory with objects, - for stdin"},
	{"endpoint", 0, "WHO", true, "a pod: [NS/]NAME=ADDR[,ADDR...][,KEY=VALUE...]"},
	{"endpoint-file", 0, "FILE", true,
	 "pods, as `endpoint list -o json` or kubectl prints them"},
	{"node", 0, "ADDR", true, "an address of the node itself"},
	{"rules", 0, "FILE", true, "not built yet"},
	{"show-query", 0, NULL, false, "show query strings"},
	{NULL, 0, NULL, false, NULL},
};

const struct bf_cli_command bf_cli_replay[] = {
	{"replay", NULL, "PCAP", 1, 1,
	 "run a capture through the programs that guard pods\n\n"
	 "Says what these policies would have done to the traffic in PCAP (pcap or pcapng, - for\n"
	 "stdin): flow records as `observe` prints them, with the capture's times, then a "
	 "summary.\n"
	 "Needs root, no agent; touches nothing that is in force.",
	 options, replay},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
