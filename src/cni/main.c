// SPDX-License-Identifier: Apache-2.0
/*
 * bpfast-cni: the last plugin of a CNI chain. The container whose network the others have made
 * comes under policy before it runs. https://www.cni.dev/docs/spec/, 1.0.0 and 1.1.0.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cni/commands.h"
#include "cni/log.h"

static const char *get(const char *name)
{
	return getenv(name);
}

/* All of stdin, at most one byte more than is taken. malloc'ed. */
static int read_stdin(char **text, size_t *len, struct bf_cni_error *err)
{
	size_t cap = 0;
	char *more;
	ssize_t n;

	*text = NULL;
	*len = 0;
	for (;;) {
		if (*len == cap) {
			cap = cap ? cap * 2 : 65536;
			if (cap > BF_CNI_INPUT_MAX + 1)
				cap = BF_CNI_INPUT_MAX + 1;
			more = *len < cap ? realloc(*text, cap) : NULL;
			if (!more)
				return *len > BF_CNI_INPUT_MAX
					       ? 0
					       : bf_cni_err(err, BF_CNI_IO, NULL, "no memory");
			*text = more;
		}
		n = read(STDIN_FILENO, *text + *len, cap - *len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return bf_cni_err(err, BF_CNI_IO, strerror(errno),
					  "the configuration cannot be read from stdin");
		if (!n)
			return 0;
		*len += (size_t)n;
	}
}

/* False: it did not arrive. */
static bool print(json_t *o)
{
	char *text = json_dumps(o, JSON_INDENT(4) | JSON_PRESERVE_ORDER);
	bool ok = text && puts(text) >= 0 && !fflush(stdout);

	free(text);
	return ok;
}

static void make_utf8(char *s)
{
	json_t *o = json_string(s);

	if (!o) /* cut within a character, or somebody's bytes */
		for (; *s; s++)
			if ((unsigned char)*s > 126)
				*s = '?';
	json_decref(o);
}

static int fail(const struct bf_cni_config *c, struct bf_cni_error *err)
{
	json_t *o;

	o = json_pack("{s:s, s:i, s:s}", "cniVersion", *c->version ? c->version : BF_CNI_NEWEST,
		      "code", err->code, "msg", err->msg);
	if (o && *err->details)
		json_object_set_new(o, "details", json_string(err->details));
	print(o);
	json_decref(o);
	return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
	struct bf_cni_config config = {.version = ""};
	struct bf_cni_env env = {.container = ""};
	struct bf_cni_error err = {0};
	json_t *result = NULL;
	char *text = NULL;
	size_t len = 0;
	int r;

	if (argc > 1) {
		bool version = argc == 2 && !strcmp(argv[1], "--version");

		fprintf(version ? stdout : stderr,
			version ? "bpfast-cni %s, CNI 1.0.0 and 1.1.0\n"
				: "bpfast-cni %s: a container runtime calls it, with CNI_COMMAND "
				  "and "
				  "its like in the environment; see bpfast-cni(8)\n",
			BPFAST_VERSION);
		return version ? EXIT_SUCCESS : 2;
	}
	signal(SIGPIPE, SIG_IGN);
	r = bf_cni_env_read(&env, get, &err);
	if (!r)
		r = read_stdin(&text, &len, &err);
	if (!r)
		r = bf_cni_config_read(&config, env.command, text, len, &err);
	if (!r)
		r = bf_cni_run(&config, &env, &result, &err);
	if (!r && result && !print(result))
		r = bf_cni_err(&err, BF_CNI_IO, NULL, "the result cannot be written to stdout");
	if (r) {
		make_utf8(err.msg);
		make_utf8(err.details);
		bf_cni_log(&config, config.root ? &env : NULL, BF_CNI_ERROR, "%s%s%s", err.msg,
			   *err.details ? ": " : "", err.details);
		fail(&config, &err);
	}
	json_decref(result);
	bf_cni_config_free(&config);
	bf_cni_env_free(&env);
	free(text);
	return r ? EXIT_FAILURE : EXIT_SUCCESS;
}
