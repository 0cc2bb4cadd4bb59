// SPDX-License-Identifier: Apache-2.0
/* policy apply, delete, list, get */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/explain.h"
#include "agent/log.h"
#include "agent/server.h"
#include "agent/shield/status.h"
#include "policy/selector.h"

/* Puts new applied objects into force and keeps them. Takes *new on success. */
static int commit(struct bf_agent *a, struct bf_objects *new, json_t **result, struct bf_error *err)
{
	struct bf_error why;
	int r = bf_enforce(a, &a->directory, new, err);

	if (r)
		return r;
	/* All or nothing: a device that cannot be guarded takes the whole back. */
	r = bf_shield_policies_failed(a, err);
	if (r) {
		if (bf_enforce(a, &a->directory, &a->applied, &why))
			bf_log_error("cannot take back", "why", why.msg);
		return r;
	}
	bf_objects_free(&a->applied);
	a->applied = *new;
	memset(new, 0, sizeof(*new));
	json_object_set_new(*result, "revision", json_integer((json_int_t)a->revision));
	json_object_set_new(*result, "generation", json_integer(a->generation));
	return bf_state_save(a, err);
}

static int apply(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		 struct bf_error *err)
{
	struct bf_sources sources;
	struct bf_objects new = {0};
	struct bf_flaws flaws = {0};
	json_t *touched = NULL;
	int r = bf_may_change(a, err);

	(void)c;
	if (r)
		return r;
	r = bf_sources_from_json(json_object_get(args, "files"), &sources, err);
	if (r)
		return r;
	r = bf_objects_copy(&new, &a->applied);
	if (r)
		bf_err(err, r, "no memory");
	if (!r)
		r = bf_sources_objects(&sources, &new, &flaws, &touched, err);
	if (!r && !json_array_size(touched))
		r = bf_err(err, -EINVAL, "there is no object in what was given");
	if (!r) {
		*result = json_pack("{s:O}", "objects", touched);
		r = commit(a, &new, result, err);
		if (r) {
			json_decref(*result);
			*result = NULL;
		}
	}
	if (r && flaws.list)
		*result = json_pack("{s:O}", "flaws", flaws.list);
	if (r)
		a->applies_failed += flaws.list != NULL;
	else
		bf_log_info("policy in force", "objects",
			    bf_num((long long)json_array_size(touched)), "revision",
			    bf_num((long long)a->revision), "generation", bf_num(a->generation));
	json_decref(touched);
	json_decref(flaws.list);
	bf_objects_free(&new);
	bf_sources_free(&sources);
	return r;
}

static int no_object(struct bf_error *err, const char *key)
{
	return bf_err(err, -ENOENT, "there is no %s; %s`bpfast policy list` shows what there is",
		      key, strchr(key, '/') ? "" : "it is KIND/NAMESPACE/NAME, and ");
}

/* The keys to delete: given ones, or those of the objects in given files. */
static int keys_of(const json_t *args, json_t **keys, json_t **result, struct bf_error *err)
{
	struct bf_objects scratch = {0};
	struct bf_flaws flaws = {0};
	struct bf_sources sources;
	int r;

	*keys = json_object_get(args, "keys");
	if (json_is_array(*keys)) {
		json_incref(*keys);
		return 0;
	}
	*keys = NULL;
	r = bf_sources_from_json(json_object_get(args, "files"), &sources, err);
	if (r)
		return r;
	r = bf_sources_objects(&sources, &scratch, &flaws, keys, err);
	if (r && flaws.list)
		*result = json_pack("{s:O}", "flaws", flaws.list);
	json_decref(flaws.list);
	bf_objects_free(&scratch);
	bf_sources_free(&sources);
	return r;
}

static int delete(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		  struct bf_error *err)
{
	struct bf_objects new = {0};
	json_t *keys = NULL, *item;
	const char *key;
	size_t i;
	int r = bf_may_change(a, err);

	(void)c;
	if (!r)
		r = keys_of(args, &keys, result, err);
	if (r)
		return r;
	r = bf_objects_copy(&new, &a->applied);
	if (r)
		bf_err(err, r, "no memory");
	json_array_foreach (keys, i, item) {
		key = json_string_value(item);
		if (!key)
			r = bf_err(err, -EINVAL, "keys: texts are expected");
		else if (bf_objects_has(&a->directory, key))
			r = bf_err(err, -EBUSY,
				   "%s comes from the policy directory %s; take it away there", key,
				   a->config.policy_dir);
		else if ((r = bf_objects_remove(&new, key)))
			no_object(err, key);
		if (r)
			break;
	}
	if (!r) {
		*result = json_pack("{s:O}", "deleted", keys);
		r = commit(a, &new, result, err);
		if (r) {
			json_decref(*result);
			*result = NULL;
		}
	}
	if (!r)
		bf_log_info("policy deleted", "objects", bf_num((long long)json_array_size(keys)),
			    "generation", bf_num(a->generation));
	json_decref(keys);
	bf_objects_free(&new);
	return r;
}

/* How many endpoints of this node a policy is about, of which o has `specs` from p on. */
static json_int_t selected(const struct bf_world *world, const struct bf_policy *p, size_t specs)
{
	json_int_t n = 0;
	size_t e, i;

	for (e = 0; e < world->endpoint_count; e++) {
		for (i = 0; i < specs; i++)
			if (bf_policy_selects(world->objects, p + i, &world->endpoints[e]) ||
			    bf_shield_selects(world->objects, p + i, &world->endpoints[e]))
				break;
		n += i < specs;
	}
	return n;
}

static void list_objects(json_t *array, const struct bf_objects *o, const struct bf_world *world,
			 bool directory)
{
	size_t i;

	for (i = 0; i < o->namespace_count; i++)
		json_array_append_new(
			array, json_pack("{s:s, s:s, s:s, s:i, s:s, s:s, s:s}", "kind", "Namespace",
					 "namespace", "", "name", o->namespaces[i].name, "rules", 0,
					 "mode", "", "source", directory ? "directory" : "applied",
					 "file", ""));
	for (i = 0; i < o->policy_count; i++) {
		const struct bf_policy *p = &o->policies[i];
		size_t rules = p->rule_count, specs = 1;
		const char *mode = p->audit ? "audit" : "enforce";

		for (; i + 1 < o->policy_count && bf_policy_continues(o, i + 1); specs++)
			rules += o->policies[++i].rule_count;
		if (p->shield) {
			rules = p->shield->rate_count + p->shield->prefix_count;
			mode = bf_shield_modes[p->shield->mode];
		}
		json_array_append_new(array,
				      json_pack("{s:s, s:s, s:s, s:I, s:I, s:s, s:s, s:s}", "kind",
						bf_policy_kind_name(p->kind), "namespace",
						p->namespace ? p->namespace : "", "name", p->name,
						"rules", (json_int_t)rules, "endpoints",
						selected(world, p, specs), "mode", mode, "source",
						directory ? "directory" : "applied", "file",
						p->file ? p->file : ""));
	}
}

static int list(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		struct bf_error *err)
{
	struct bf_endpoint *flat = bf_endpoints_flat(&a->endpoints);
	struct bf_objects merged = {0};
	struct bf_world world = {.objects = &merged, .endpoints = flat};
	json_t *array;
	int r = flat ? bf_objects_merge(&merged, &a->directory, &a->applied, err)
		     : bf_err(err, -ENOMEM, "no memory");

	(void)c, (void)args;
	if (r) {
		free(flat);
		return r;
	}
	world.endpoint_count = a->endpoints.n;
	array = json_array();
	list_objects(array, &a->directory, &world, true);
	list_objects(array, &a->applied, &world, false);
	free(flat);
	bf_objects_free(&merged);
	*result = json_pack("{s:o, s:I, s:I}", "objects", array, "revision",
			    (json_int_t)a->revision, "generation", (json_int_t)a->generation);
	return 0;
}

static json_t *find(const struct bf_objects *o, const char *want)
{
	json_t *found = NULL;
	size_t i;
	char *key;

	for (i = 0; !found && i < o->policy_count; i++) {
		key = bf_policy_key(&o->policies[i]);
		if (key && !strcmp(key, want))
			found = json_loads(o->policies[i].source ? o->policies[i].source : "{}", 0,
					   NULL);
		free(key);
	}
	for (i = 0; !found && i < o->namespace_count; i++) {
		key = bf_namespace_key(&o->namespaces[i]);
		if (key && !strcmp(key, want))
			found = bf_namespace_to_json(&o->namespaces[i]);
		free(key);
	}
	return found;
}

static int get(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
	       struct bf_error *err)
{
	const char *key = json_string_value(json_object_get(args, "key"));

	(void)c;
	if (!key)
		return bf_err(err, -EINVAL, "KIND/NAMESPACE/NAME of the object is missing");
	*result = find(&a->directory, key);
	if (!*result)
		*result = find(&a->applied, key);
	if (!*result)
		return no_object(err, key);
	return 0;
}

static int explain(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		   struct bf_error *err)
{
	struct bf_objects merged = {0};
	struct bf_world world = {
		.objects = &merged,
		.endpoint_count = a->endpoints.n,
		.node_addrs = (const uint8_t(*)[16])a->node_addrs,
		.node_addr_count = a->node_addr_count,
	};
	struct bf_explain_world w = {
		.endpoints = &a->endpoints,
		.world = &world,
		.image = &a->image,
		.view = bf_views_find(&a->views, a->generation),
		.generation = a->generation,
	};
	struct bf_endpoint *flat;
	int r;

	(void)c;
	if (!a->generation)
		return bf_err(err, -EAGAIN, "no policy tables are in force: %s",
			      *a->frozen ? a->frozen : "see bpfast status");
	r = bf_objects_merge(&merged, &a->directory, &a->applied, err);
	if (r)
		return r;
	flat = bf_endpoints_flat(&a->endpoints);
	world.endpoints = flat;
	r = flat ? bf_explain_words(&w, args, result, err) : bf_err(err, -ENOMEM, "no memory");
	free(flat);
	bf_objects_free(&merged);
	return r;
}

const struct bf_command bf_policy_commands[] = {
	{"policy apply", apply}, {"policy delete", delete},   {"policy list", list},
	{"policy get", get},	 {"policy explain", explain}, {NULL, NULL},
};
