// SPDX-License-Identifier: Apache-2.0
/* policy apply, delete, list, get, check */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/policies.h"
#include "cli/answer.h"
#include "cli/cli.h"
#include "cli/policy.h"
#include "policy/compile.h"
#include "policy/selector.h"
#include "policy/shield_plan.h"

static int read_stream(const struct bf_cli *cli, int fd, const char *name, json_t *files)
{
	size_t len = 0, cap = 1 << 16;
	char *text = malloc(cap), *more;
	ssize_t n = 1;
	json_t *o;

	while (text && n > 0 && len <= BF_POLICY_FILE_MAX) {
		if (len == cap) {
			more = realloc(text, cap * 2);
			if (!more)
				break;
			text = more;
			cap *= 2;
		}
		n = read(fd, text + len, cap - len);
		if (n > 0)
			len += (size_t)n;
	}
	if (!text || n != 0) {
		free(text);
		return bf_cli_fail(cli, BF_EXIT_FAILED, "cannot read %s: %s", name,
				   n < 0		      ? strerror(errno)
				   : len > BF_POLICY_FILE_MAX ? "it is larger than 8 MiB"
							      : "no memory");
	}
	o = json_pack("{s:s, s:s%}", "file", name, "text", text, len);
	free(text);
	if (!o)
		return bf_cli_fail(cli, BF_EXIT_FAILED, "%s is not UTF-8 text", name);
	json_array_append_new(files, o);
	return BF_EXIT_DONE;
}

static int read_dir(const struct bf_cli *cli, const char *dir, json_t *files)
{
	struct bf_sources sources;
	struct bf_error err;
	json_t *array;

	if (bf_sources_read(dir, &sources, &err))
		return bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	array = bf_sources_to_json(&sources);
	bf_sources_free(&sources);
	if (!array)
		return bf_cli_fail(cli, BF_EXIT_FAILED, "a file in %s is not UTF-8 text", dir);
	if (!json_array_size(array)) {
		json_decref(array);
		return bf_cli_fail(cli, BF_EXIT_FAILED,
				   "%s holds no file that ends with .yaml, .yml or .json", dir);
	}
	json_array_extend(files, array);
	json_decref(array);
	return BF_EXIT_DONE;
}

static int read_one(const struct bf_cli *cli, const char *path, json_t *files)
{
	struct stat st;
	int fd, r;

	if (!strcmp(path, "-"))
		return read_stream(cli, STDIN_FILENO, "stdin", files);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st)) {
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "cannot read %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return r;
	}
	r = S_ISDIR(st.st_mode) ? read_dir(cli, path, files) : read_stream(cli, fd, path, files);
	close(fd);
	return r;
}

int bf_cli_files(const struct bf_cli *cli, const char *option, json_t **files)
{
	const json_t *paths = bf_cli_list(cli, option), *path;
	size_t i;
	int r = BF_EXIT_DONE;

	*files = json_array();
	json_array_foreach (paths, i, path)
		r = r ? r : read_one(cli, json_string_value(path), *files);
	if (r) {
		json_decref(*files);
		*files = NULL;
	}
	return r;
}

static int print_objects(struct bf_cli *cli, json_t *result, const char *key, const char *what)
{
	const json_t *v;
	size_t i;

	if (cli->json) {
		bf_cli_print_json(result);
	} else {
		json_array_foreach (json_object_get(result, key), i, v) {
			bf_cli_print(json_string_value(v));
			printf(" %s\n", what);
		}
	}
	json_decref(result);
	return BF_EXIT_DONE;
}

static int apply(struct bf_cli *cli)
{
	json_t *files, *result;
	int r;

	if (!bf_cli_list(cli, "filename"))
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "-f FILE is missing: a file, a directory, or - for stdin");
	r = bf_cli_files(cli, "filename", &files);
	if (!r)
		r = bf_cli_ask(cli, "policy apply", json_pack("{s:o}", "files", files), &result);
	return r ? r : print_objects(cli, result, "objects", "in force");
}

static int delete(struct bf_cli *cli)
{
	json_t *args, *files, *keys, *result;
	int i, r;

	if (bf_cli_list(cli, "filename") && cli->operand_count)
		return bf_cli_fail(cli, BF_EXIT_USAGE, "either -f or names, not both");
	if (bf_cli_list(cli, "filename")) {
		r = bf_cli_files(cli, "filename", &files);
		if (r)
			return r;
		args = json_pack("{s:o}", "files", files);
	} else if (cli->operand_count) {
		keys = json_array();
		for (i = 0; i < cli->operand_count; i++)
			json_array_append_new(keys, json_string(cli->operands[i]));
		args = json_pack("{s:o}", "keys", keys);
	} else {
		return bf_cli_fail(cli, BF_EXIT_USAGE, "-f FILE or KIND/NAMESPACE/NAME is missing");
	}
	r = bf_cli_ask(cli, "policy delete", args, &result);
	return r ? r : print_objects(cli, result, "deleted", "deleted");
}

static int list(struct bf_cli *cli)
{
	struct bf_table t = {0};
	const json_t *o;
	json_t *result;
	char rules[24], endpoints[24];
	size_t i;
	int r = bf_cli_ask(cli, "policy list", NULL, &result);

	if (r)
		return r;
	if (cli->json) {
		bf_cli_print_json(result);
		json_decref(result);
		return BF_EXIT_DONE;
	}
	bf_table_row(&t, 7, "KIND", "NAMESPACE", "NAME", "RULES", "ENDPOINTS", "MODE", "FROM");
	json_array_foreach (json_object_get(result, "objects"), i, o) {
		bool ns = !strcmp(text(o, "kind"), "Namespace");

		snprintf(rules, sizeof(rules), "%lld",
			 (long long)json_integer_value(json_object_get(o, "rules")));
		snprintf(endpoints, sizeof(endpoints), "%lld",
			 (long long)json_integer_value(json_object_get(o, "endpoints")));
		bf_table_row(&t, 7, text(o, "kind"),
			     *text(o, "namespace") ? text(o, "namespace") : "-", text(o, "name"),
			     ns ? "-" : rules, ns ? "-" : endpoints, ns ? "-" : text(o, "mode"),
			     !strcmp(text(o, "source"), "directory") && *text(o, "file")
				     ? text(o, "file")
				     : text(o, "source"));
	}
	bf_table_print(&t);
	json_decref(result);
	return BF_EXIT_DONE;
}

static int get(struct bf_cli *cli)
{
	json_t *result;
	int r = bf_cli_ask(cli, "policy get", json_pack("{s:s}", "key", cli->operands[0]), &result);

	if (r)
		return r;
	bf_cli_print_json(result); /* JSON is YAML too: `policy apply` takes it back */
	json_decref(result);
	return BF_EXIT_DONE;
}

/* Compiling finds what reading cannot: expressions and limits. */
static int compile_alone(const struct bf_objects *objects, struct bf_error *err)
{
	struct bf_world world = {.objects = objects};
	struct bf_image image = {0};
	struct bf_shield_plan plan;
	int r = bf_image_compile(&world, &image, err);

	bf_image_free(&image);
	/* Two shield policies may contradict each other. */
	if (!r && !(r = bf_shield_plan_make(objects, &plan, err)))
		bf_shield_plan_free(&plan);
	return r;
}

static void print_flaw(const json_t *f)
{
	struct bf_text t = {0}, safe = {0};

	bf_text_printf(&t, "%s:%lld:%lld: %s", text(f, "file"),
		       (long long)json_integer_value(json_object_get(f, "line")),
		       (long long)json_integer_value(json_object_get(f, "column")),
		       text(f, "message"));
	if (t.data)
		bf_text_safe(&safe, t.data, t.len, true);
	fprintf(stderr, "%s\n", safe.data ? safe.data : "");
	bf_text_free(&safe);
	bf_text_free(&t);
}

int bf_cli_objects(const struct bf_cli *cli, const char *option, struct bf_objects *objects)
{
	struct bf_sources sources = {0};
	struct bf_flaws flaws = {0};
	json_t *files, *details = NULL;
	struct bf_error err;
	const json_t *f;
	size_t i;
	int r = bf_cli_files(cli, option, &files);

	if (r)
		return r;
	r = bf_sources_from_json(files, &sources, &err);
	json_decref(files);
	if (!r)
		r = bf_sources_objects(&sources, objects, &flaws, NULL, &err);
	bf_sources_free(&sources);
	if (!r)
		r = compile_alone(objects, &err);
	if (!r)
		return BF_EXIT_DONE;
	if (!cli->json)
		json_array_foreach (flaws.list, i, f)
			print_flaw(f);
	if (flaws.list)
		details = json_pack("{s:o}", "flaws", flaws.list);
	r = bf_cli_fail_json(cli, BF_EXIT_FAILED, err.msg, details);
	json_decref(details);
	return r;
}

void bf_cli_note_unused(const struct bf_objects *objects, const struct bf_endpoint *endpoints,
			size_t n)
{
	bool used = false;
	size_t i, e;
	char *key;

	for (i = 0; i < objects->policy_count; i++) {
		if (!bf_policy_continues(objects, i))
			used = false;
		used |= objects->policies[i].kind == BF_SHIELD_POLICY;
		for (e = 0; !used && e < n; e++)
			used = bf_policy_selects(objects, &objects->policies[i], &endpoints[e]);
		/* An object with several specs is several policies. */
		if (used || (i + 1 < objects->policy_count && bf_policy_continues(objects, i + 1)))
			continue;
		key = bf_policy_key(&objects->policies[i]);
		fprintf(stderr,
			"bpfast: %s selects none of the endpoints: compare labels and namespaces\n",
			key ? key : "a policy");
		free(key);
	}
}

static int check(struct bf_cli *cli)
{
	struct bf_objects objects = {0};
	int r;

	if (!bf_cli_list(cli, "filename"))
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "-f FILE is missing: a file, a directory, or - for stdin");
	r = bf_cli_objects(cli, "filename", &objects);
	if (!r && !objects.policy_count && !objects.namespace_count)
		r = bf_cli_fail(cli, BF_EXIT_FAILED, "there is no object in what was given");
	if (!r && cli->json)
		printf("{\"policies\": %zu, \"namespaces\": %zu}\n", objects.policy_count,
		       objects.namespace_count);
	else if (!r)
		printf("%zu %s and %zu %s are fine\n", objects.policy_count,
		       objects.policy_count == 1 ? "policy" : "policies", objects.namespace_count,
		       objects.namespace_count == 1 ? "namespace" : "namespaces");
	bf_objects_free(&objects);
	return r;
}

static const struct bf_option none[] = {{NULL, 0, NULL, false, NULL}};
static const struct bf_option file_options[] = {
	{"filename", 'f', "FILE", true, "file or directory with objects, - for stdin"},
	{NULL, 0, NULL, false, NULL},
};
static const struct bf_option explain_options[] = {
	{"from", 0, "WHO", false, "endpoint, address, or `host` for the node itself"},
	{"to", 0, "WHO", false, "the same"},
	{"port", 0, "N[/PROTO]", false, "destination port; TCP where nothing is said"},
	{"http", 0, "'METHOD TARGET'", false, "a request, such as 'GET /index.html'"},
	{"header", 0, "'NAME: VALUE'", true, "a header of the request"},
	{"raw", 0, "FILE", false, "all that the client sends, byte by byte; - for stdin"},
	{"filename", 'f', "FILE", true, "ask these policies instead of those in force, offline"},
	{"endpoint-file", 0, "FILE", false,
	 "with -f: what `endpoint list -o json` or kubectl printed"},
	{NULL, 0, NULL, false, NULL},
};

const struct bf_cli_command bf_cli_policy[] = {
	{"policy", "apply", "", 0, 0,
	 "put objects into force\n\n"
	 "Returns when the kernel enforces them. All or nothing: a flaw anywhere leaves\n"
	 "everything as it was.",
	 file_options, apply},
	{"policy", "delete", "[KIND/NAMESPACE/NAME]...", 0, -1, "take objects out of force",
	 file_options, delete},
	{"policy", "list", "", 0, 0,
	 "all objects in force\n\n"
	 "ENDPOINTS are those of this node that a policy selects: 0 is often a wrong label or\n"
	 "namespace.",
	 none, list},
	{"policy", "get", "KIND/NAMESPACE/NAME", 1, 1, "one object, as JSON", none, get},
	{"policy", "check", "", 0, 0, "look for flaws, without an agent and without root",
	 file_options, check},
	{"policy", "explain", "", 0, 0,
	 "say what the kernel would decide, and why\n\n"
	 "Answers from the very tables that are in force; with -f and --endpoint-file from\n"
	 "those that these files would make.",
	 explain_options, bf_cli_explain},
	{NULL, NULL, NULL, 0, 0, NULL, NULL, NULL},
};
