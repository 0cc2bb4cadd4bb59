// SPDX-License-Identifier: Apache-2.0
/* ADD, DEL, CHECK, STATUS, GC and VERSION, each as a command to the agent. */
#include "cni/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cni/log.h"
#include "cni/netns.h"
#include "cni/spool.h"
#include "client/client.h"

/*
 * Asks the agent. 0; -EREMOTEIO: it refused, err says why and *details perhaps with which code;
 * any other: there is no agent that answers. Takes args.
 */
static int ask(const struct bf_cni_config *c, const char *command, json_t *args, json_t **answer,
	       struct bf_error *err)
{
	int r = bf_cni_rundir_check(c->run_dir, err);

	*answer = NULL;
	if (r)
		json_decref(args);
	else
		r = bf_call_within(c->run_dir, command, args, c->timeout_ms, answer, err);
	return r;
}

/* There is no agent, it does not answer, or it ended meanwhile. Any other failure is not its absence. */
static bool is_away(int r)
{
	return r == -ENOENT || r == -ETIMEDOUT || r == -EPIPE || r == -ECONNRESET;
}

static int refused(const json_t *details, int otherwise, const struct bf_error *why,
		   struct bf_cni_error *err)
{
	json_int_t code = json_integer_value(json_object_get(details, "code"));

	return bf_cni_err(err, code > 0 && code < 100 ? (int)code : otherwise, NULL,
			  "the agent refuses: %.480s", why->msg);
}

/* In Kubernetes the pod's name, else the container's. A pod's further interfaces are endpoints of their own. */
static json_t *endpoint_name(const struct bf_cni_env *env)
{
	if (!env->pod_name)
		return json_sprintf("%s.%s", env->container, env->ifname);
	if (!strcmp(env->ifname, "eth0"))
		return json_string(env->pod_name);
	return json_sprintf("%s.%s", env->pod_name, env->ifname);
}

static json_t *container(const struct bf_cni_config *c, const struct bf_cni_env *env)
{
	json_t *o = json_pack("{s:s, s:s, s:s}", "id", env->container, "ifname", env->ifname,
			      "network", c->name);

	if (o && env->pod_uid)
		json_object_set_new(o, "pod_uid", json_string(env->pod_uid));
	return o;
}

/* What ADD and CHECK say of a container. */
static int describe(const struct bf_cni_config *c, const struct bf_cni_env *env, json_t **out,
		    struct bf_cni_error *err)
{
	json_t *name = NULL;
	int nsid, r = bf_cni_prev_read(c, env, out, err);

	if (!r)
		r = bf_cni_netns_id(env->netns, &nsid, err);
	if (r) {
		json_decref(*out);
		*out = NULL;
		return r;
	}
	name = endpoint_name(env);
	if (!name || json_object_set_new(*out, "name", name) ||
	    json_object_set_new(*out, "nsid", json_integer(nsid)) ||
	    json_object_set_new(*out, "container", container(c, env)) ||
	    (env->pod_namespace &&
	     json_object_set_new(*out, "namespace", json_string(env->pod_namespace))) ||
	    (c->labels && json_object_set(*out, "labels", (json_t *)c->labels))) {
		json_decref(*out);
		*out = NULL;
		return bf_cni_err(err, BF_CNI_ENVIRONMENT, NULL,
				  "CNI_IFNAME or CNI_ARGS is not UTF-8 text");
	}
	return 0;
}

static int add(const struct bf_cni_config *c, const struct bf_cni_env *env, json_t **result,
	       struct bf_cni_error *err)
{
	json_t *args = NULL, *answer;
	struct bf_error why;
	int r = describe(c, env, &args, err);

	if (r)
		return r;
	r = ask(c, "cni add", args, &answer, &why);
	if (!r)
		bf_cni_log(c, env, BF_CNI_INFO, "guarded as %s/%s behind %s",
			   json_string_value(json_object_get(answer, "namespace")),
			   json_string_value(json_object_get(answer, "name")),
			   json_string_value(json_object_get(answer, "iface")));
	else if (r == -EREMOTEIO)
		refused(answer, BF_CNI_REFUSED, &why, err);
	else if (!is_away(r))
		bf_cni_err(err, BF_CNI_IO, NULL, "%.500s", why.msg);
	else if (c->fail_open)
		bf_cni_log(c, env, BF_CNI_WARN,
			   "container %s starts WITHOUT policy, for failPolicy is open: %s",
			   env->container, why.msg);
	else
		bf_cni_err(err, BF_CNI_TRY_AGAIN,
			   "without it a container would start without its policy; failPolicy "
			   "would allow that",
			   "the agent is away: %.480s", why.msg);
	json_decref(answer);
	if (!err->code)
		*result = json_incref(c->prev);
	return err->code;
}

static json_t *attachment(const struct bf_cni_config *c, const struct bf_cni_env *env)
{
	json_t *o = json_pack("{s:s}", "id", env->container);

	if (o && *env->ifname)
		json_object_set_new(o, "ifname", json_string(env->ifname));
	if (o && c->name)
		json_object_set_new(o, "network", json_string(c->name));
	return o;
}

/*
 * Succeeds whatever happens. What could not be told lies in the run directory; an agent that
 * started meanwhile may have looked there just before, so it is told once more.
 */
static int del(const struct bf_cni_config *c, const struct bf_cni_env *env)
{
	json_t *args = attachment(c, env), *answer;
	struct bf_error why, later;
	int r = ask(c, "cni del", json_incref(args), &answer, &why), s;

	json_decref(answer);
	if (!r) {
		json_decref(args);
		bf_cni_log(c, env, BF_CNI_INFO, "deleted");
		return 0;
	}
	s = bf_cni_spool_put(c->run_dir, args, &later);
	if (!s && r != -ETIMEDOUT && r != -EREMOTEIO) {
		r = ask(c, "cni del", json_incref(args), &answer, &why);
		json_decref(answer);
	}
	json_decref(args);
	if (!r)
		bf_cni_log(c, env, BF_CNI_INFO, "deleted");
	else if (!s)
		bf_cni_log(c, env, BF_CNI_WARN, "noted for the agent: container %s is deleted (%s)",
			   env->container, why.msg);
	else if (s != -ENOENT)
		bf_cni_log(
			c, env, BF_CNI_ERROR,
			"the agent does not know that container %s is deleted (%s), and it could "
			"not be noted: %s",
			env->container, why.msg, later.msg);
	return 0;
}

static int check(const struct bf_cni_config *c, const struct bf_cni_env *env,
		 struct bf_cni_error *err)
{
	json_t *args = NULL, *answer;
	struct bf_error why;
	int r = describe(c, env, &args, err);

	if (r)
		return r;
	r = ask(c, "cni check", args, &answer, &why);
	json_decref(answer);
	if (r == -EREMOTEIO)
		return bf_cni_err(err, BF_CNI_NOT_GUARDED, NULL, "not as it should be: %.480s",
				  why.msg);
	return r ? bf_cni_err(err, BF_CNI_TRY_AGAIN, NULL, "the agent is away: %.480s", why.msg)
		 : 0;
}

static int status(const struct bf_cni_config *c, const struct bf_cni_env *env,
		  struct bf_cni_error *err)
{
	struct bf_error why;
	json_t *answer;
	int r = ask(c, "cni status", NULL, &answer, &why);

	json_decref(answer);
	if (r == -EREMOTEIO)
		return bf_cni_err(err, BF_CNI_UNAVAILABLE, NULL,
				  "the agent takes no containers: %.480s", why.msg);
	if (!r)
		return 0;
	if (!is_away(r) || !c->fail_open)
		return bf_cni_err(err, BF_CNI_UNAVAILABLE, NULL,
				  "the agent cannot be asked: %.480s", why.msg);
	bf_cni_log(c, env, BF_CNI_WARN, "the agent is away, and failPolicy is open: %s", why.msg);
	return 0;
}

static int gc(const struct bf_cni_config *c, const struct bf_cni_env *env, struct bf_cni_error *err)
{
	json_t *valid = json_array(), *answer;
	struct bf_error why;
	const json_t *v;
	size_t i;
	int r;

	json_array_foreach (c->valid, i, v)
		json_array_append_new(valid, json_pack("{s:O, s:O}", "id",
						       json_object_get(v, "containerID"), "ifname",
						       json_object_get(v, "ifname")));
	r = ask(c, "cni gc", json_pack("{s:s, s:o}", "network", c->name, "valid", valid), &answer,
		&why);
	if (!r)
		bf_cni_log(c, env, BF_CNI_INFO, "%lld endpoints removed",
			   (long long)json_integer_value(json_object_get(answer, "deleted")));
	json_decref(answer);
	if (r == -EREMOTEIO)
		return bf_cni_err(err, BF_CNI_REFUSED, NULL, "the agent refuses: %.480s", why.msg);
	return r ? bf_cni_err(err, BF_CNI_TRY_AGAIN, NULL, "the agent is away: %.480s", why.msg)
		 : 0;
}

int bf_cni_run(const struct bf_cni_config *c, const struct bf_cni_env *env, json_t **result,
	       struct bf_cni_error *err)
{
	*result = NULL;
	switch (env->command) {
	case BF_CNI_ADD:
		return add(c, env, result, err);
	case BF_CNI_DEL:
		return del(c, env);
	case BF_CNI_CHECK:
		return check(c, env, err);
	case BF_CNI_STATUS:
		return status(c, env, err);
	case BF_CNI_GC:
		return gc(c, env, err);
	case BF_CNI_VERSIONS:
		break;
	}
	*result =
		json_pack("{s:s, s:[s, s]}", "cniVersion", *c->version ? c->version : BF_CNI_NEWEST,
			  "supportedVersions", "1.0.0", "1.1.0");
	return 0;
}
