// SPDX-License-Identifier: Apache-2.0
/* endpoint add, list, get, label, delete; discover is in discover.c */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/container.h"

/* "K=V" to key and value; with minus "K-" too, whose value is null. */
static int add_label(const struct bf_cli *cli, json_t *labels, const char *word, bool minus)
{
	const char *eq = strchr(word, '=');
	size_t len = strlen(word);
	char *key;

	if (eq && eq != word) {
		key = strndup(word, (size_t)(eq - word));
		if (key)
			json_object_set_new(labels, key, json_string(eq + 1));
	} else if (minus && len > 1 && word[len - 1] == '-') {
		key = strndup(word, len - 1);
		if (key)
			json_object_set_new(labels, key, json_null());
	} else {
		return bf_cli_fail(cli, BF_EXIT_USAGE, "'%s' is not KEY=VALUE%s", word,
				   minus ? ", nor KEY- to remove a label" : "");
	}
	free(key);
	return BF_EXIT_DONE;
}

/* NAME=NUMBER[/PROTOCOL] */
static int add_port(const struct bf_cli *cli, json_t *ports, const char *word)
{
	const char *eq = strchr(word, '='), *slash;
	char *end;
	long n;

	n = eq && eq != word ? strtol(eq + 1, &end, 10) : -1;
	slash = n >= 0 && end != eq + 1 && *end == '/' ? end + 1 : NULL;
	if (n < 1 || n > 65535 || (!slash && *end))
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "--port: '%s' is not NAME=NUMBER or NAME=NUMBER/PROTOCOL", word);
	json_array_append_new(ports,
			      json_pack("{s:s%, s:i, s:s}", "name", word, (size_t)(eq - word),
					"port", (int)n, "protocol", slash ? slash : "TCP"));
	return BF_EXIT_DONE;
}

static const char *container(const json_t *e)
{
	return text(json_object_get(e, "container"), "id");
}

/* The column of containers is there where there are any. */
static void add_head(struct bf_table *t, bool containers)
{
	bf_table_row(t, 6 + containers, "NAMESPACE", "NAME", "INTERFACE", "ADDRESSES", "FLOWS",
		     "LABELS", "CONTAINER");
}

static void add_row(struct bf_table *t, const json_t *e, bool containers)
{
	struct bf_text ips = {0}, labels = {0}, flows = {0};
	const json_t *f = json_object_get(e, "flows");
	const char *key;
	const json_t *v;
	json_t *value;
	size_t i;

	json_array_foreach (json_object_get(e, "ips"), i, v)
		bf_text_printf(&ips, "%s%s", i ? "," : "", json_string_value(v));
	json_object_foreach (json_object_get(e, "labels"), key, value)
		bf_text_printf(&labels, "%s%s=%s", labels.len ? "," : "", key,
			       json_string_value(value));
	if (f)
		bf_text_printf(&flows, "%lld/%lld",
			       (long long)json_integer_value(json_object_get(f, "used")),
			       (long long)json_integer_value(json_object_get(f, "max")));
	bf_table_row(t, 6 + containers, text(e, "namespace"), text(e, "name"), text(e, "iface"),
		     ips.data ? ips.data : "-", flows.data ? flows.data : "-",
		     labels.data ? labels.data : "-", *container(e) ? container(e) : "-");
	bf_text_free(&flows);
	bf_text_free(&ips);
	bf_text_free(&labels);
}

static void say(const json_t *e, const char *what)
{
	printf("endpoint ");
	bf_cli_print(text(e, "namespace"));
	printf("/");
	bf_cli_print(text(e, "name"));
	printf(" %s\n", what);
	if (*text(e, "preceded_by")) {
		fputs("warning: '", stderr);
		fprintf(stderr, "%s' runs before us on this interface\n", text(e, "preceded_by"));
	}
}

void bf_cli_added(struct bf_cli *cli, const json_t *e)
{
	json_t *notes = json_array();
	const json_t *v;
	size_t i;

	say(e, "added");
	json_array_foreach (json_object_get(e, "labels_not_taken"), i, v)
		json_array_append_new(notes,
				      json_sprintf("a label of the container is not taken: %s",
						   json_string_value(v)));
	bf_cli_notes(cli, notes);
	json_decref(notes);
}

static int print_one(struct bf_cli *cli, json_t *e, const char *what)
{
	struct bf_table t = {0};

	if (cli->json) {
		bf_cli_print_json(e);
	} else if (what) {
		say(e, what);
	} else {
		add_head(&t, *container(e));
		add_row(&t, e, *container(e));
		bf_table_print(&t);
	}
	json_decref(e);
	return BF_EXIT_DONE;
}

int bf_cli_add_labels(const struct bf_cli *cli, json_t *labels)
{
	const json_t *v;
	size_t i;
	int r = BF_EXIT_DONE;

	json_array_foreach (bf_cli_list(cli, "label"), i, v)
		r = r ? r : add_label(cli, labels, json_string_value(v), false);
	return r;
}

/* Fills args from the container that is named. */
static int look_up(struct bf_cli *cli, const char *container, json_t *args, json_t **untaken)
{
	const struct bf_place *p;
	struct bf_found found;
	struct bf_error err;
	json_t *why;
	int r = bf_cli_look(cli, &found);

	if (r)
		return r;
	if (bf_cli_choose(&found, container, &p, &err) ||
	    bf_cli_place_args(cli, p, bf_cli_text(cli, "iface"), args, untaken, &err)) {
		why = json_pack("{s:O}", "notes", found.notes);
		r = bf_cli_fail_json(cli, BF_EXIT_FAILED, err.msg, why);
		json_decref(why);
	}
	bf_found_free(&found);
	return r;
}

static int add(struct bf_cli *cli)
{
	json_t *args = json_object(), *labels = json_object(), *ports = json_array(), *result, *v;
	const char *ns = bf_cli_text(cli, "namespace"), *iface = bf_cli_text(cli, "iface");
	const char *container = bf_cli_text(cli, "container");
	json_t *untaken = NULL;
	size_t i;
	int r;

	if (cli->operand_count)
		json_object_set_new(args, "name", json_string(cli->operands[0]));
	if (iface)
		json_object_set_new(args, "iface", json_string(iface));
	if (ns)
		json_object_set_new(args, "namespace", json_string(ns));
	if (bf_cli_list(cli, "ip"))
		json_object_set(args, "ips", (json_t *)bf_cli_list(cli, "ip"));
	r = bf_cli_add_labels(cli, labels);
	json_array_foreach (bf_cli_list(cli, "port"), i, v)
		r = r ? r : add_port(cli, ports, json_string_value(v));
	json_object_set_new(args, "labels", labels);
	json_object_set_new(args, "ports", ports);
	if (!r && !cli->operand_count && !container)
		r = bf_cli_fail(cli, BF_EXIT_USAGE,
				"usage: bpfast endpoint add NAME --iface HOST_IF, or bpfast "
				"endpoint add [NAME] --container CONTAINER");
	if (!r && container && !*container)
		r = bf_cli_fail(cli, BF_EXIT_USAGE, "--container: a name or an id is needed");
	if (!r && !iface && !container)
		r = bf_cli_fail(cli, BF_EXIT_USAGE,
				"--iface HOST_IF is missing: the host side of the veth; or name a "
				"container with --container");
	if (!r && container)
		r = look_up(cli, container, args, &untaken);
	if (r) {
		json_decref(untaken);
		json_decref(args);
		return r;
	}
	r = bf_cli_ask(cli, "endpoint add", args, &result);
	if (!r && untaken)
		json_object_set(result, "labels_not_taken", untaken);
	json_decref(untaken);
	if (r || cli->json)
		return r ? r : print_one(cli, result, NULL);
	bf_cli_added(cli, result);
	json_decref(result);
	return BF_EXIT_DONE;
}

static int list(struct bf_cli *cli)
{
	struct bf_table t = {0};
	json_t *result;
	bool containers = false;
	const json_t *e;
	size_t i;
	int r = bf_cli_ask(cli, "endpoint list", NULL, &result);

	if (r)
		return r;
	if (cli->json) {
		bf_cli_print_json(result);
	} else {
		json_array_foreach (json_object_get(result, "endpoints"), i, e)
			containers |= *container(e) != 0;
		add_head(&t, containers);
		json_array_foreach (json_object_get(result, "endpoints"), i, e)
			add_row(&t, e, containers);
		bf_table_print(&t);
	}
	json_decref(result);
	return BF_EXIT_DONE;
}

static int ask_by_name(struct bf_cli *cli, const char *command, const char *what)
{
	json_t *result;
	int r = bf_cli_ask(cli, command, json_pack("{s:s}", "name", cli->operands[0]), &result);

	return r ? r : print_one(cli, result, what);
}

static int get(struct bf_cli *cli)
{
	return ask_by_name(cli, "endpoint get", NULL);
}

static int delete(struct bf_cli *cli)
{
	return ask_by_name(cli, "endpoint delete", "deleted");
}

static int label(struct bf_cli *cli)
{
	json_t *labels = json_object(), *result;
	int i, r = BF_EXIT_DONE;

	for (i = 1; i < cli->operand_count && !r; i++)
		r = add_label(cli, labels, cli->operands[i], true);
	if (r) {
		json_decref(labels);
		return r;
	}
	r = bf_cli_ask(cli, "endpoint label",
		       json_pack("{s:s, s:o}", "name", cli->operands[0], "labels", labels),
		       &result);
	return r ? r : print_one(cli, result, "labelled");
}

static const struct bf_option none[] = {{NULL, 0, NULL, false, NULL}};
static const struct bf_option add_options[] = {
	{"iface", 0, "HOST_IF", false, "host side of the veth"},
	{"container", 0, "NAME|ID", false, "in its place: a container that runs; NAME@RUNTIME too"},
	{"ip", 0, "ADDR", true, "an address of the pod; none: read from its namespace"},
	{"label", 0, "K=V", true, "a label that policies select by"},
	{"namespace", 0, "NS", false, "its namespace (default `default`)"},
	{"port", 0, "NAME=NUM[/PROTO]", true, "a named port"},
	{"no-labels", 0, NULL, false, "take none of the container's labels"},
	BF_CLI_LOOK_OPTIONS,
	{NULL, 0, NULL, false, NULL},
};

static const struct bf_option discover_options[] = {
	{"all", 0, NULL, false, "also namespaces with nothing that leads to this node"},
	{"add-all", 0, NULL, false, "guard all that are not guarded"},
	{"label", 0, "K=V", true, "with --add-all: a label for each of them"},
	{"namespace", 0, "NS", false, "with --add-all: their namespace"},
	{"no-labels", 0, NULL, false, "with --add-all: take none of the containers' labels"},
	BF_CLI_LOOK_OPTIONS,
	{NULL, 0, NULL, false, NULL},
};

const struct bf_cli_command bf_cli_endpoint[] = {
	{"endpoint", "add", "[NAME]", 0, 1,
	 "put a container under policy\n\n"
	 "From the moment this returns, what goes in and out of the container by this\n"
	 "interface is judged. Addresses are never learned from traffic.\n\n"
	 "With --container all that is not said is taken from the container: its name, its\n"
	 "labels, and the interface where it has but one.",
	 add_options, add},
	{"endpoint", "discover", "", 0, 0,
	 "containers that run on this node, guarded or not\n\n"
	 "Asks containerd, Docker and podman, and looks at network namespaces. Containers that\n"
	 "share one namespace, as those of a pod, are one endpoint.",
	 discover_options, bf_cli_discover},
	{"endpoint", "list", "", 0, 0, "all endpoints of this node", none, list},
	{"endpoint", "get", "[NAMESPACE/]NAME", 1, 1, "one endpoint", none, get},
	{"endpoint", "label", "[NAMESPACE/]NAME K=V... K-...", 2, -1, "set and remove labels", none,
	 label},
	{"endpoint", "delete", "[NAMESPACE/]NAME", 1, 1,
	 "take a container out from under policy: its traffic is free", none, delete},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
