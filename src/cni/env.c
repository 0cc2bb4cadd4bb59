// SPDX-License-Identifier: Apache-2.0
/* The environment: CNI_COMMAND and its like. */
#include <stdlib.h>
#include <string.h>

#include "cni/config.h"

static const struct {
	const char *name;
	enum bf_cni_command command;
	bool container, netns, ifname; /* needed */
} commands[] = {
	{"ADD", BF_CNI_ADD, true, true, true},
	/* The specification has the interface's name here too; we do without. */
	{"DEL", BF_CNI_DEL, true, false, false},
	{"CHECK", BF_CNI_CHECK, true, true, true},
	{"STATUS", BF_CNI_STATUS, false, false, false},
	{"GC", BF_CNI_GC, false, false, false},
	{"VERSION", BF_CNI_VERSIONS, false, false, false},
};

static bool container_ok(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++) {
		bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
			     (s[i] >= '0' && s[i] <= '9');

		if (!alnum && (!i || !strchr("_.-", s[i])))
			return false;
	}
	return i <= BF_CNI_CONTAINER_MAX;
}

/* As Linux has it (dev_valid_name() in net/core/dev.c), and no more than ASCII. */
static bool ifname_ok(const char *s)
{
	size_t i;

	for (i = 0; s[i]; i++)
		if (s[i] <= ' ' || s[i] >= 127 || s[i] == '/' || s[i] == ':')
			return false;
	return i < 16 && strcmp(s, ".") && strcmp(s, "..");
}

static int take(char **to, const char *value, size_t len, const char *key, struct bf_cni_error *err)
{
	if (*to)
		return bf_cni_err(err, BF_CNI_ENVIRONMENT, NULL, "CNI_ARGS says %s twice", key);
	*to = strndup(value, len);
	return *to ? 0 : bf_cni_err(err, BF_CNI_IO, NULL, "no memory");
}

/* "KEY=VALUE;KEY=VALUE"; keys that we do not know are for others. */
static int read_args(struct bf_cni_env *env, const char *args, struct bf_cni_error *err)
{
	struct {
		const char *key;
		char **to;
	} known[] = {
		{"K8S_POD_NAMESPACE", &env->pod_namespace},
		{"K8S_POD_NAME", &env->pod_name},
		{"K8S_POD_UID", &env->pod_uid},
	};
	const char *eq;
	size_t len, i;
	int r;

	if (strlen(args) > BF_CNI_ARGS_MAX)
		return bf_cni_err(err, BF_CNI_ENVIRONMENT, NULL, "CNI_ARGS is longer than %d bytes",
				  BF_CNI_ARGS_MAX);
	for (; *args; args += len + (args[len] == ';')) {
		len = strcspn(args, ";");
		eq = memchr(args, '=', len);
		if (!len)
			continue;
		if (!eq)
			return bf_cni_err(err, BF_CNI_ENVIRONMENT, NULL,
					  "CNI_ARGS: '%.*s' is not KEY=VALUE",
					  (int)(len < 80 ? len : 80), args);
		for (i = 0; i < sizeof(known) / sizeof(*known); i++) {
			if (strlen(known[i].key) != (size_t)(eq - args) ||
			    memcmp(known[i].key, args, (size_t)(eq - args)))
				continue;
			/* Said, but empty: as if it were not said. */
			if (eq + 1 == args + len)
				break;
			r = take(known[i].to, eq + 1, len - (size_t)(eq + 1 - args), known[i].key,
				 err);
			if (r)
				return r;
		}
	}
	return 0;
}

static const char *or_empty(const char *s)
{
	return s ? s : "";
}

int bf_cni_env_read(struct bf_cni_env *env, const char *(*getenv_fn)(const char *name),
		    struct bf_cni_error *err)
{
	const char *command = or_empty(getenv_fn("CNI_COMMAND"));
	size_t i, n = sizeof(commands) / sizeof(*commands);
	bool lacks_id, lacks_ns, lacks_if;
	int r;

	memset(env, 0, sizeof(*env));
	for (i = 0; i < n && strcmp(command, commands[i].name); i++)
		;
	if (i == n)
		return bf_cni_err(
			err, BF_CNI_ENVIRONMENT,
			"a container runtime calls bpfast-cni; see bpfast-cni(8)",
			"CNI_COMMAND is '%.40s', not ADD, DEL, CHECK, STATUS, GC or VERSION",
			command);
	env->command = commands[i].command;
	env->container = or_empty(getenv_fn("CNI_CONTAINERID"));
	env->netns = or_empty(getenv_fn("CNI_NETNS"));
	env->ifname = or_empty(getenv_fn("CNI_IFNAME"));
	lacks_id = commands[i].container && !*env->container;
	lacks_ns = commands[i].netns && !*env->netns;
	lacks_if = commands[i].ifname && !*env->ifname;
	if (lacks_id || lacks_ns || lacks_if)
		return bf_cni_err(err, BF_CNI_ENVIRONMENT, NULL, "missing for %s:%s%s%s", command,
				  lacks_id ? " CNI_CONTAINERID" : "", lacks_ns ? " CNI_NETNS" : "",
				  lacks_if ? " CNI_IFNAME" : "");
	if (!commands[i].container)
		return 0;
	if (!container_ok(env->container))
		return bf_cni_err(
			err, BF_CNI_ENVIRONMENT, NULL,
			"CNI_CONTAINERID '%.80s' is not valid: at most %d letters, digits, "
			"'_', '.' and '-', beginning with a letter or digit",
			env->container, BF_CNI_CONTAINER_MAX);
	if (!ifname_ok(env->ifname))
		return bf_cni_err(err, BF_CNI_ENVIRONMENT, NULL,
				  "CNI_IFNAME '%.40s' is not the name of an interface",
				  env->ifname);
	if (env->command == BF_CNI_DEL) /* the id is all it needs */
		return 0;
	r = read_args(env, or_empty(getenv_fn("CNI_ARGS")), err);
	if (r)
		bf_cni_env_free(env);
	return r;
}

void bf_cni_env_free(struct bf_cni_env *env)
{
	free(env->pod_namespace);
	free(env->pod_name);
	free(env->pod_uid);
	env->pod_namespace = env->pod_name = env->pod_uid = NULL;
}
