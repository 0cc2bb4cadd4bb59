// SPDX-License-Identifier: Apache-2.0
#include "agent/policies.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FLAWS_MAX 100 /* shown at once; the rest comes after these are mended */

char *bf_policy_key(const struct bf_policy *p)
{
	char *key;

	if (asprintf(&key, "%s/%s%s%s", bf_policy_kind_name(p->kind),
		     p->namespace ? p->namespace : "", p->namespace && *p->namespace ? "/" : "",
		     p->name) < 0)
		return NULL;
	return key;
}

char *bf_namespace_key(const struct bf_namespace *n)
{
	char *key;

	return asprintf(&key, "Namespace/%s", n->name) < 0 ? NULL : key;
}

bool bf_policy_continues(const struct bf_objects *objects, size_t at)
{
	const struct bf_policy *p = &objects->policies[at], *before = p - 1;

	return at && p->kind == before->kind && !strcmp(p->name, before->name) &&
	       !strcmp(p->namespace ? p->namespace : "",
		       before->namespace ? before->namespace : "");
}

/* Calls fn with every key until it returns non-zero. */
static int each_key(const struct bf_objects *o, int (*fn)(void *arg, const char *key), void *arg)
{
	size_t i;
	char *key;
	int r = 0;

	for (i = 0; !r && i < o->policy_count + o->namespace_count; i++) {
		if (i < o->policy_count && bf_policy_continues(o, i))
			continue;
		key = i < o->policy_count ? bf_policy_key(&o->policies[i])
					  : bf_namespace_key(&o->namespaces[i - o->policy_count]);
		r = key ? fn(arg, key) : -ENOMEM;
		free(key);
	}
	return r;
}

static int same(void *arg, const char *key)
{
	return !strcmp(arg, key);
}

bool bf_objects_has(const struct bf_objects *objects, const char *key)
{
	return each_key(objects, same, (void *)key) == 1;
}

static void add_flaw(void *arg, const char *file, int line, int column, const char *message)
{
	struct bf_flaws *flaws = arg;

	if (!flaws->list)
		flaws->list = json_array();
	if (json_array_size(flaws->list) < FLAWS_MAX)
		json_array_append_new(flaws->list, json_pack("{s:s, s:i, s:i, s:s}", "file",
							     file ? file : "", "line", line,
							     "column", column, "message", message));
}

struct collect {
	json_t *seen; /* key: file */
	const char *file;
	struct bf_flaws *flaws;
	bool twice;
};

static int collect(void *arg, const char *key)
{
	struct collect *c = arg;
	const char *other = json_string_value(json_object_get(c->seen, key));
	char message[512];

	if (!other)
		return json_object_set_new(c->seen, key, json_string(c->file)) ? -ENOMEM : 0;
	snprintf(message, sizeof(message), "%.200s stands in %.200s too; keep one of them", key,
		 other);
	add_flaw(c->flaws, c->file, 1, 1, message);
	c->twice = true;
	return 0;
}

int bf_sources_objects(const struct bf_sources *sources, struct bf_objects *out,
		       struct bf_flaws *flaws, json_t **touched, struct bf_error *err)
{
	struct bf_objects new = {0}, one;
	struct collect c = {.seen = json_object(), .flaws = flaws};
	bool flawed = false;
	const char *key;
	json_t *value;
	size_t i;
	int r;

	r = c.seen ? bf_objects_copy(&new, out) : -ENOMEM;
	for (i = 0; !r && i < sources->n; i++) {
		const struct bf_source *s = &sources->v[i];

		/* Alone first, so that an object in two files is noticed. */
		memset(&one, 0, sizeof(one));
		r = bf_objects_read(&one, s->file, s->text, s->len, add_flaw, flaws);
		if (r == -EINVAL) {
			flawed = true;
			r = 0;
			continue;
		}
		c.file = s->file;
		if (!r)
			r = each_key(&one, collect, &c);
		bf_objects_free(&one);
		if (!r)
			r = bf_objects_read(&new, s->file, s->text, s->len, add_flaw, flaws);
	}
	if (!r && (flawed || c.twice))
		r = bf_err(err, -EINVAL, "%zu %s, nothing was changed",
			   json_array_size(flaws->list),
			   json_array_size(flaws->list) == 1 ? "flaw" : "flaws");
	else if (r)
		bf_err(err, r, "cannot read the policies: %s", strerror(-r));
	if (!r && touched) {
		*touched = json_array();
		json_object_foreach (c.seen, key, value)
			json_array_append_new(*touched, json_string(key));
	}
	json_decref(c.seen);
	if (r) {
		bf_objects_free(&new);
		return r;
	}
	bf_objects_free(out);
	*out = new;
	return 0;
}

/* Moves what `from` holds behind what `to` holds; from becomes empty. */
static int append(struct bf_objects *to, struct bf_objects *from)
{
	struct bf_policy *p =
		realloc(to->policies, (to->policy_count + from->policy_count + 1) * sizeof(*p));
	struct bf_namespace *n;

	if (!p)
		return -ENOMEM;
	to->policies = p;
	n = realloc(to->namespaces, (to->namespace_count + from->namespace_count + 1) * sizeof(*n));
	if (!n)
		return -ENOMEM;
	to->namespaces = n;
	if (from->policy_count)
		memcpy(p + to->policy_count, from->policies, from->policy_count * sizeof(*p));
	if (from->namespace_count)
		memcpy(n + to->namespace_count, from->namespaces,
		       from->namespace_count * sizeof(*n));
	to->policy_count += from->policy_count;
	to->namespace_count += from->namespace_count;
	free(from->policies);
	free(from->namespaces);
	memset(from, 0, sizeof(*from));
	return 0;
}

struct both {
	const struct bf_objects *other;
	struct bf_error *err;
};

static int in_both(void *arg, const char *key)
{
	struct both *b = arg;

	if (!bf_objects_has(b->other, key))
		return 0;
	return bf_err(b->err, -EEXIST,
		      "%s comes from the policy directory; change it there, or take it away there "
		      "first",
		      key);
}

int bf_objects_merge(struct bf_objects *out, const struct bf_objects *directory,
		     const struct bf_objects *applied, struct bf_error *err)
{
	struct bf_objects more = {0};
	struct both b = {directory, err};
	int r = each_key(applied, in_both, &b);

	memset(out, 0, sizeof(*out));
	if (r)
		return r;
	r = bf_objects_copy(out, directory);
	if (r)
		return bf_err(err, r, "no memory");
	r = bf_objects_copy(&more, applied);
	if (!r)
		r = append(out, &more);
	if (r) {
		bf_objects_free(&more);
		bf_objects_free(out);
		return bf_err(err, r, "no memory");
	}
	return 0;
}

json_t *bf_namespace_to_json(const struct bf_namespace *n)
{
	json_t *labels = json_object();
	size_t i;

	for (i = 0; i < n->labels.n; i++)
		json_object_set_new(labels, n->labels.v[i].key, json_string(n->labels.v[i].value));
	return json_pack("{s:s, s:s, s:{s:s, s:o}}", "apiVersion", "v1", "kind", "Namespace",
			 "metadata", "name", n->name, "labels", labels);
}

json_t *bf_objects_to_json(const struct bf_objects *objects)
{
	json_t *array = json_array(), *object;
	size_t i;

	for (i = 0; i < objects->namespace_count; i++)
		json_array_append_new(array,
				      json_pack("{s:s, s:o}", "file", "", "object",
						bf_namespace_to_json(&objects->namespaces[i])));
	for (i = 0; i < objects->policy_count; i++) {
		const struct bf_policy *p = &objects->policies[i];

		if (bf_policy_continues(objects, i))
			continue;
		object = json_loads(p->source ? p->source : "", 0, NULL);
		if (!object || json_array_append_new(array, json_pack("{s:s, s:o}", "file",
								      p->file ? p->file : "",
								      "object", object))) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

int bf_objects_from_json(const json_t *array, struct bf_objects *out, struct bf_error *err)
{
	struct bf_flaws flaws = {0};
	const char *file, *why;
	json_t *item;
	char *text;
	size_t i;
	int r = 0;

	json_array_foreach (array, i, item) {
		file = json_string_value(json_object_get(item, "file"));
		text = json_dumps(json_object_get(item, "object"), JSON_COMPACT);
		r = text ? bf_objects_read(out, file && *file ? file : "state", text, strlen(text),
					   add_flaw, &flaws)
			 : -EINVAL;
		free(text);
		if (r)
			break;
	}
	if (r) {
		why = json_string_value(json_object_get(json_array_get(flaws.list, 0), "message"));
		bf_err(err, r, "a saved policy cannot be read: %s", why ? why : strerror(-r));
	}
	json_decref(flaws.list);
	return r;
}
