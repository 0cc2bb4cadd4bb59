// SPDX-License-Identifier: Apache-2.0
/* endpoint add, list, get, label, delete */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agent/server.h"
#include "observe/names.h"

static int add(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
	       struct bf_error *err)
{
	struct bf_local *l = NULL;
	struct bf_link link;
	int r;

	(void)c;
	r = bf_may_change(a, err);
	if (!r)
		r = bf_local_from_json(args, &l, err);
	if (r)
		return r;
	r = bf_link_by_name(l->iface, &link, err);
	/* Who looked it up by a container says which it was: names are given again. */
	if (!r && l->ifindex > 0 && l->ifindex != link.ifindex)
		r = bf_err(err, -ENODEV,
			   "interface %s is another one by now: the container is gone", l->iface);
	if (r) {
		bf_local_free(l);
		return r;
	}
	return bf_endpoint_admit(a, l, &link, result, err);
}

/* As it is shown: with what it has of the flow table. */
static json_t *shown(struct bf_agent *a, const struct bf_local *l)
{
	json_t *o = bf_local_to_json(l);

	json_object_set_new(o, "flows", bf_flows_json(a, l));
	return o;
}

static int list(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		struct bf_error *err)
{
	json_t *array = json_array();
	size_t i;

	(void)c, (void)args, (void)err;
	for (i = 0; i < a->endpoints.n; i++)
		json_array_append_new(array, shown(a, a->endpoints.v[i]));
	*result = json_pack("{s:o}", "endpoints", array);
	return 0;
}

static struct bf_local *named(struct bf_agent *a, const json_t *args, struct bf_error *err)
{
	const char *name = json_string_value(json_object_get(args, "name"));

	if (!name)
		bf_err(err, 0, "the name of the endpoint is missing");
	return name ? bf_endpoints_find(&a->endpoints, name, err) : NULL;
}

static int get(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
	       struct bf_error *err)
{
	struct bf_local *l = named(a, args, err);

	(void)c;
	if (!l)
		return -ENOENT;
	*result = shown(a, l);
	return 0;
}

static int label(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		 struct bf_error *err)
{
	struct bf_labels before;
	struct bf_local *l;
	int r = bf_may_change(a, err);

	(void)c;
	if (r)
		return r;
	l = named(a, args, err);
	if (!l)
		return -ENOENT;
	if (bf_labels_copy(&before, &l->e.labels))
		return bf_err(err, -ENOMEM, "no memory");
	r = bf_labels_change(&l->e.labels, json_object_get(args, "labels"), err);
	if (!r)
		r = bf_enforce_again(a, err);
	if (r) {
		bf_labels_free(&l->e.labels);
		l->e.labels = before;
		return r;
	}
	bf_labels_free(&before);
	*result = bf_local_to_json(l);
	bf_log_info("endpoint labelled", "endpoint", l->e.name, "namespace", l->e.namespace);
	return bf_state_save(a, err);
}

static int delete(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		  struct bf_error *err)
{
	struct bf_error why;
	struct bf_local *l;
	int r = bf_may_change(a, err);

	(void)c;
	if (r)
		return r;
	l = named(a, args, err);
	if (!l)
		return -ENOENT;
	r = bf_datapath_detach(a->dp, l->ifindex, err);
	if (r)
		return r;
	bf_endpoints_remove(&a->endpoints, l);
	/* The others lose a peer; should that fail, they keep a rule for an address
	 * that nobody has, until the next change. */
	if (bf_enforce_again(a, &why))
		bf_log_error("endpoint deleted, but tables not renewed", "why", why.msg);
	*result = bf_local_to_json(l);
	bf_log_info("endpoint deleted", "endpoint", l->e.name, "namespace", l->e.namespace, "iface",
		    l->iface);
	bf_local_free(l);
	return bf_state_save(a, err);
}

const struct bf_command bf_endpoint_commands[] = {
	{"endpoint add", add},	   {"endpoint list", list},	{"endpoint get", get},
	{"endpoint label", label}, {"endpoint delete", delete}, {NULL, NULL},
};
