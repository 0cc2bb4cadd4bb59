// SPDX-License-Identifier: Apache-2.0
/*
 * What a runtime says to bpfast-cni: a line for each of CNI_COMMAND, CNI_CONTAINERID, CNI_IFNAME and
 * CNI_ARGS, then the configuration. What is refused has a code and a sentence; what is taken keeps
 * what the rest of the plugin builds on.
 */
#include "fuzz.h"

#include "agent/endpoints.h"
#include "cni/config.h"

static struct {
	const char *name;
	char *value;
} variables[] = {
	{"CNI_COMMAND", NULL}, {"CNI_CONTAINERID", NULL}, {"CNI_IFNAME", NULL}, {"CNI_ARGS", NULL}};
#define VARIABLES (sizeof(variables) / sizeof(*variables))

static const char *get(const char *name)
{
	for (size_t i = 0; i < VARIABLES; i++)
		if (!strcmp(name, variables[i].name))
			return variables[i].value;
	return "/run/netns/x";
}

static bool one_of(const char *s, const char *a, const char *b)
{
	return !strcmp(s, a) || !strcmp(s, b);
}

static void is_refused(int r, const struct bf_cni_error *err)
{
	if (r != err->code || r <= 0 || r >= 100 || !*err->msg)
		FUZZ_FAIL("refused with %d, code %d: '%s'", r, err->code, err->msg);
}

/* The agent reads what the plugin makes of it. */
static void to_the_agent(const struct bf_cni_env *env, json_t *args)
{
	struct bf_local *l = NULL;
	struct bf_error err = {""};

	json_object_set_new(args, "name", json_sprintf("%s.%s", env->container, env->ifname));
	json_object_set_new(args, "iface", json_string("veth"));
	json_object_set_new(args, "container",
			    json_pack("{s:s, s:s, s:s}", "id", env->container, "ifname",
				      env->ifname, "network", "lab"));
	if (bf_local_from_json(args, &l, &err)) {
		if (!*err.msg)
			FUZZ_FAIL("the agent refuses without a word");
		return;
	}
	if (strcmp(l->container.id, env->container) || strcmp(l->container.ifname, env->ifname))
		FUZZ_FAIL("another container arrives");
	bf_local_free(l);
}

static void taken(const struct bf_cni_config *c, const struct bf_cni_env *env)
{
	struct bf_cni_error err = {0};
	json_t *args = NULL;
	int r;

	if (c->root && env->command != BF_CNI_VERSIONS && !one_of(c->version, "1.0.0", "1.1.0"))
		FUZZ_FAIL("version '%s'", c->version);
	if (!c->run_dir || *c->run_dir != '/' || strstr(c->run_dir, "/../"))
		FUZZ_FAIL("run directory '%s'", c->run_dir ? c->run_dir : "");
	if (!c->timeout_ms || c->timeout_ms > 120000)
		FUZZ_FAIL("%u ms", c->timeout_ms);
	if (env->command == BF_CNI_GC && !json_is_array(c->valid))
		FUZZ_FAIL("no list of attachments");
	if (env->command != BF_CNI_ADD && env->command != BF_CNI_CHECK)
		return;
	if (!c->name || !*env->container || !*env->ifname)
		FUZZ_FAIL("something is missing");
	r = bf_cni_prev_read(c, env, &args, &err);
	if (r) {
		is_refused(r, &err);
		return;
	}
	if (!json_array_size(json_object_get(args, "ifaces")) ||
	    !json_array_size(json_object_get(args, "ips")))
		FUZZ_FAIL("no interface or no address");
	to_the_agent(env, args);
	json_decref(args);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *end;
	struct bf_cni_config config;
	struct bf_cni_error err = {0};
	struct bf_cni_env env;
	size_t i, len;
	int r;

	for (i = 0; i < VARIABLES; i++) {
		end = size ? memchr(text, '\n', size) : NULL;
		len = end ? (size_t)(end - text) : size;
		variables[i].value = strndup(text, len);
		text += len + (end != NULL);
		size -= len + (end != NULL);
	}
	r = bf_cni_env_read(&env, get, &err);
	if (r) {
		is_refused(r, &err);
	} else {
		r = bf_cni_config_read(&config, env.command, text, size, &err);
		if (r)
			is_refused(r, &err);
		else
			taken(&config, &env);
		bf_cni_config_free(&config);
		bf_cni_env_free(&env);
	}
	for (i = 0; i < VARIABLES; i++)
		free(variables[i].value);
	return 0;
}
