// SPDX-License-Identifier: Apache-2.0
/* policy explain */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/explain.h"
#include "cli/answer.h"
#include "cli/endpoint_file.h"
#include "cli/policy.h"
#include "policy/read.h"

static void print_side(const char *name, const json_t *side, bool from_host, bool request)
{
	const json_t *policies = json_object_get(side, "policies"), *p;
	struct bf_text t = {0};
	size_t i;

	if (!json_is_true(json_object_get(side, "judged"))) {
		printf("%-8s not judged here: it is no endpoint of this node\n", name);
		return;
	}
	bf_text_printf(&t, "%-8s %s  at %s/%s", name, text(side, "verdict"),
		       text(side, "namespace"), text(side, "endpoint"));
	if (strcmp(text(side, "reason"), "none"))
		bf_text_printf(&t, " (%s: %s)", text(side, "reason"), text(side, "hint"));
	bf_text_puts(&t, "\n");
	bf_text_printf(&t, "           local  %s\n           remote %s\n",
		       text(side, "local_labels"), text(side, "remote_labels"));
	json_array_foreach (policies, i, p) {
		bf_text_printf(&t, "           by %s%s%s/%s", text(p, "kind"),
			       *text(p, "namespace") ? "/" : "", text(p, "namespace"),
			       text(p, "name"));
		if (*text(p, "rule"))
			bf_text_printf(&t, "  %s\n", text(p, "rule"));
		else
			bf_text_puts(&t, "  (it isolates the endpoint, and nothing in it allows "
					 "this)\n");
	}
	if (!json_array_size(policies) && !strcmp(text(side, "verdict"), "FORWARDED"))
		bf_text_printf(&t, "           %s\n",
			       from_host ? "the node itself always reaches its endpoints"
					 : "no policy isolates this endpoint in this direction");
	if (!request && !strcmp(text(side, "l4"), "http"))
		bf_text_puts(&t, "           each request is then judged: ask again with --http\n");
	if (t.data)
		bf_cli_print(t.data);
	bf_text_free(&t);
}

/* What a rule lets the request become. */
static void print_tunnel(const char *what)
{
	struct bf_text t = {0};

	if (!*what)
		return;
	bf_text_printf(&t, "tunnel   may become %s, if the server agrees\n", what);
	if (t.data)
		bf_cli_print(t.data);
	bf_text_free(&t);
}

/* Where a policy written for Cilium would be decided otherwise there. */
static void print_cilium(const json_t *cilium)
{
	const json_t *notes = json_object_get(cilium, "notes"), *note;
	struct bf_text t = {0};
	size_t i;

	json_array_foreach (notes, i, note) {
		const json_t *policies = json_object_get(note, "policies");
		const json_t *p = json_array_get(policies, 0);

		bf_text_printf(&t, "note     in Cilium this would be %s: %s %s%s%s %s",
			       text(cilium, "verdict"), text(p, "kind"), text(p, "namespace"),
			       *text(p, "namespace") ? "/" : "", text(p, "name"), text(p, "rule"));
		if (json_array_size(policies) > 1)
			bf_text_printf(&t, " (and %zu more)", json_array_size(policies) - 1);
		bf_text_printf(&t, " %s\n", text(note, "why"));
	}
	if (t.data)
		bf_cli_print(t.data);
	bf_text_free(&t);
}

static int print(struct bf_cli *cli, json_t *result)
{
	const char *verdict = text(result, "verdict");
	bool from_host = json_is_true(json_object_get(result, "from_host"));
	bool request = json_is_true(json_object_get(result, "request"));
	bool colour = bf_cli_colour();

	if (cli->json) {
		bf_cli_print_json(result);
	} else {
		printf("%s%s%s",
		       !colour			       ? ""
		       : !strcmp(verdict, "FORWARDED") ? "\033[32m"
		       : !strcmp(verdict, "DROPPED")   ? "\033[31m"
						       : "\033[33m",
		       verdict, colour ? "\033[0m" : "");
		if (strcmp(text(result, "reason"), "none"))
			printf("  %s: %s", text(result, "reason"), text(result, "hint"));
		printf("\n");
		print_side("egress", json_object_get(result, "egress"), from_host, request);
		print_side("ingress", json_object_get(result, "ingress"), from_host, request);
		print_tunnel(text(result, "tunnel"));
		print_cilium(json_object_get(result, "cilium"));
	}
	json_decref(result);
	return BF_EXIT_DONE;
}

/* Tables made of files answer. Takes args. */
static int offline(struct bf_cli *cli, json_t *args, json_t **result)
{
	const char *file = bf_cli_text(cli, "endpoint-file");
	struct bf_endpoints endpoints = {0};
	struct bf_explain_world w = {.endpoints = &endpoints};
	struct bf_endpoint *flat = NULL;
	struct bf_objects objects = {0};
	struct bf_image image = {0};
	struct bf_view *view = NULL;
	struct bf_error err;
	struct bf_world world = {0};
	int r = bf_cli_objects(cli, "filename", &objects);

	if (!r && file && bf_cli_endpoint_file(file, &endpoints, &err))
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	flat = r ? NULL : bf_endpoints_flat(&endpoints);
	if (flat) {
		world = (struct bf_world){
			.objects = &objects, .endpoints = flat, .endpoint_count = endpoints.n};
		if (bf_image_compile(&world, &image, &err))
			r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
		view = r ? NULL : bf_view_new(1, &image, &world);
	}
	if (!r && view) {
		w.world = &world;
		w.image = &image;
		w.view = view;
		if (bf_explain_words(&w, args, result, &err))
			r = bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	} else if (!r) {
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "no memory");
	}
	bf_view_free(view);
	bf_image_free(&image);
	free(flat);
	bf_endpoints_free(&endpoints);
	bf_objects_free(&objects);
	json_decref(args);
	return r;
}

/* The bytes of a file, as the agent takes them. NULL after the error was printed, with *status. */
static json_t *raw_digits(const struct bf_cli *cli, const char *path, int *status)
{
	static unsigned char bytes[BF_EXPLAIN_RAW_MAX + 1];
	static char digits[2 * BF_EXPLAIN_RAW_MAX + 1];
	FILE *f = strcmp(path, "-") ? fopen(path, "rb") : stdin;
	size_t n = f ? fread(bytes, 1, sizeof(bytes), f) : 0;
	bool failed = !f || ferror(f);

	if (failed)
		*status = bf_cli_fail(cli, BF_EXIT_FAILED, "%s: %s", path, strerror(errno));
	else if (!n || n > BF_EXPLAIN_RAW_MAX)
		*status = bf_cli_fail(cli, BF_EXIT_FAILED, "%s: from 1 to %d bytes are expected",
				      path, BF_EXPLAIN_RAW_MAX);
	if (f && f != stdin)
		fclose(f);
	if (failed || !n || n > BF_EXPLAIN_RAW_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++)
		snprintf(digits + 2 * i, 3, "%02x", bytes[i]);
	return json_string(digits);
}

int bf_cli_explain(struct bf_cli *cli)
{
	const char *from = bf_cli_text(cli, "from"), *to = bf_cli_text(cli, "to");
	const char *port = bf_cli_text(cli, "port"), *http = bf_cli_text(cli, "http");
	const char *file = bf_cli_text(cli, "raw");
	const json_t *headers = bf_cli_list(cli, "header");
	json_t *args, *result, *raw = NULL;
	long number = 0;
	char *end;
	int r = BF_EXIT_DONE;

	if (!from || !to || !port)
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "--from WHO, --to WHO and --port N[/PROTO] are needed");
	number = strtol(port, &end, 10);
	if (*port < '0' || *port > '9' || number > 65535 || (*end && *end != '/'))
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "--port: '%s' is not a port, such as 80 or 53/UDP", port);
	if (bf_cli_text(cli, "endpoint-file") && !bf_cli_list(cli, "filename"))
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "--endpoint-file needs -f: policies from files are asked then");
	if (bf_cli_list(cli, "filename") && !bf_cli_text(cli, "endpoint-file"))
		return bf_cli_fail(
			cli, BF_EXIT_USAGE,
			"--endpoint-file is missing: with -f nobody else says who the endpoints "
			"are; `bpfast endpoint list -o json` prints one");
	if (file && http)
		return bf_cli_fail(cli, BF_EXIT_USAGE, "--raw and --http: only one of them");
	if (headers && !http)
		return bf_cli_fail(cli, BF_EXIT_USAGE, "--header needs --http");
	if (file) {
		raw = raw_digits(cli, file, &r);
		if (!raw)
			return r;
	}
	args = json_pack("{s:s, s:s, s:i, s:s}", "from", from, "to", to, "port", (int)number,
			 "protocol", *end == '/' ? end + 1 : "TCP");
	if (http)
		json_object_set_new(args, "http", json_string(http));
	if (raw)
		json_object_set_new(args, "raw", raw);
	if (headers)
		json_object_set(args, "headers", (json_t *)headers);
	if (bf_cli_list(cli, "filename"))
		r = offline(cli, args, &result);
	else
		r = bf_cli_ask(cli, "policy explain", args, &result);
	return r ? r : print(cli, result);
}
