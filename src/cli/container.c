// SPDX-License-Identifier: Apache-2.0
/* From a container to what the agent has to know of it. */
#include "cli/container.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/endpoints.h"
#include "observe/names.h"

#define ID_PREFIX_MIN 4 /* of an id, to say which container is meant */
#define NOTES_MAX 20

void bf_cli_notes(const struct bf_cli *cli, const json_t *notes)
{
	size_t i, n = json_array_size(notes);
	struct bf_text t = {0}, safe = {0};

	/* In JSON they are in the answer. */
	for (i = 0; !cli->json && i < n && i < NOTES_MAX; i++)
		bf_text_printf(&t, "note: %s\n", json_string_value(json_array_get(notes, i)));
	if (!cli->json && n > NOTES_MAX)
		bf_text_printf(&t, "note: and %zu more; -o json has them all\n", n - NOTES_MAX);
	if (t.data)
		bf_text_safe(&safe, t.data, t.len, true);
	if (safe.data)
		fputs(safe.data, stderr);
	bf_text_free(&t);
	bf_text_free(&safe);
}

int bf_cli_look(const struct bf_cli *cli, struct bf_found *found)
{
	struct bf_discover_from from = {
		.containerd_state = bf_cli_text(cli, "containerd-state"),
		.containerd_socket = bf_cli_text(cli, "containerd-socket"),
		.docker_socket = bf_cli_text(cli, "docker-socket"),
		.podman_socket = bf_cli_text(cli, "podman-socket"),
		.netns_dir = bf_cli_text(cli, "netns-dir"),
	};
	struct bf_error err;

	if (geteuid())
		return bf_cli_fail(cli, BF_EXIT_FAILED,
				   "only root can look into the namespaces of containers: run it "
				   "with sudo");
	if (bf_discover(&from, found, &err))
		return bf_cli_fail(cli, BF_EXIT_FAILED, "%s", err.msg);
	bf_cli_notes(cli, found->notes);
	return BF_EXIT_DONE;
}

const char *bf_cli_place_name(const struct bf_place *p, char *buf, size_t size)
{
	const struct bf_running *c = bf_place_owner(p);
	char name[32];

	snprintf(buf, size, "%s%s%s", c && c->pod_namespace ? c->pod_namespace : "",
		 c && c->pod_namespace ? "/" : "", bf_place_name(p, name, sizeof(name)));
	return buf;
}

/* "docker", "containerd" or "containerd/SPACE" */
static bool of_runtime(const char *runtime, const char *space, const char *want)
{
	size_t len = strlen(runtime);

	if (!want || !strcmp(runtime, want))
		return true;
	return space && !strncmp(want, runtime, len) && want[len] == '/' &&
	       !strcmp(want + len + 1, space);
}

static bool is_named(const struct bf_running *c, const char *name, bool prefix)
{
	size_t ns = c->pod_namespace ? strlen(c->pod_namespace) : 0;

	if (prefix)
		return strlen(name) >= ID_PREFIX_MIN && !strncmp(c->id, name, strlen(name));
	if (!strcmp(c->name, name) || !strcmp(c->id, name))
		return true;
	return c->pod &&
	       (!strcmp(c->pod, name) || (ns && !strncmp(name, c->pod_namespace, ns) &&
					  name[ns] == '/' && !strcmp(name + ns + 1, c->pod)));
}

static bool matches(const struct bf_place *p, const char *name, const char *runtime, bool prefix)
{
	char buf[32];
	size_t i;

	for (i = 0; i < p->container_count; i++)
		if (of_runtime(p->containers[i].runtime, p->containers[i].space, runtime) &&
		    is_named(&p->containers[i], name, prefix))
			return true;
	if (prefix)
		return false;
	/* By the name of its namespace also where containers are in it. */
	if (p->netns && of_runtime("netns", NULL, runtime) && !strcmp(p->netns, name))
		return true;
	return !p->container_count && of_runtime("process", NULL, runtime) &&
	       !strcmp(bf_place_name(p, buf, sizeof(buf)), name);
}

static void describe(struct bf_text *t, const struct bf_place *p)
{
	const struct bf_running *c = bf_place_owner(p);
	char name[600];

	bf_text_printf(t, "%s%s@%s%s%s", t->len ? ", " : "",
		       bf_cli_place_name(p, name, sizeof(name)), bf_place_runtime(p),
		       c && c->space ? "/" : "", c && c->space ? c->space : "");
	if (c && strcmp(c->id, c->name))
		bf_text_printf(t, " (%.12s)", c->id);
}

static int not_there(const struct bf_found *found, const char *name, const char *runtime,
		     struct bf_error *err)
{
	const json_t *o;
	size_t i;

	json_array_foreach (found->stopped, i, o) {
		const char *id, *its, *of, *state, *space = NULL;

		if (json_unpack((json_t *)o, "{s:s, s:s, s:s, s:s, s?s}", "id", &id, "name", &its,
				"runtime", &of, "state", &state, "runtime_namespace", &space) ||
		    !of_runtime(of, space, runtime) || (strcmp(id, name) && strcmp(its, name)))
			continue;
		return bf_err(err, -ENOENT, "container %.80s of %s does not run: it is %.40s", name,
			      of, state);
	}
	return bf_err(err, -ENOENT,
		      "there is no container %.80s%s%.40s; `bpfast endpoint discover` shows them%s",
		      name, runtime ? " of " : "", runtime ? runtime : "",
		      found->incomplete ? ", but not all could be looked at" : "");
}

int bf_cli_choose(const struct bf_found *found, const char *word, const struct bf_place **out,
		  struct bf_error *err)
{
	static const char *const runtimes[] = {"docker", "podman", "containerd", "netns",
					       "process"};
	const char *at = strrchr(word, '@'), *runtime = NULL;
	char *name = strdup(word);
	struct bf_text several = {0};
	size_t i, n = 0;
	int prefix, r;

	if (!name)
		return bf_err(err, -ENOMEM, "no memory");
	for (i = 0; at && i < sizeof(runtimes) / sizeof(*runtimes); i++)
		if (!strcmp(at + 1, runtimes[i]) || !strncmp(at + 1, "containerd/", 11))
			runtime = at + 1;
	if (runtime)
		name[at - word] = 0;
	/* A whole name or id before the beginning of an id. */
	for (prefix = 0; !n && prefix < 2; prefix++) {
		for (i = 0; i < found->count; i++) {
			if (!matches(&found->places[i], name, runtime, prefix))
				continue;
			*out = &found->places[i];
			describe(&several, *out);
			n++;
		}
	}
	r = n == 1 ? 0
	    : n ? bf_err(err, -EEXIST, "%.80s is more than one: %.300s; say NAME@RUNTIME or the id",
			 name, several.data ? several.data : "")
		: not_there(found, name, runtime, err);
	bf_text_free(&several);
	free(name);
	return r;
}

/* One by one, so that a label that cannot be taken leaves the others. Those given win. */
static int take_labels(const json_t *from, const char *ns, json_t *labels, json_t *untaken,
		       struct bf_error *err)
{
	struct bf_labels all = {0};
	struct bf_error why;
	const char *key;
	json_t *value, *one;
	int r = bf_labels_change(&all, labels, err);

	json_object_foreach ((json_t *)from, key, value) {
		if (r || json_object_get(labels, key))
			continue;
		/* Kubernetes says it twice. */
		if (!strcmp(key, BF_KEY_NAMESPACE) && json_is_string(value) &&
		    !strcmp(json_string_value(value), ns))
			continue;
		one = json_object();
		json_object_set(one, key, value);
		*why.msg = 0;
		if (!json_is_string(value))
			bf_err(&why, 0, "the value of label %.80s is no text", key);
		else if (strlen(json_string_value(value)) != json_string_length(value))
			bf_err(&why, 0, "the value of label %.80s has a NUL in it", key);
		else if (!bf_labels_change(&all, one, &why))
			json_object_set(labels, key, value);
		if (*why.msg)
			json_array_append_new(untaken, json_string(why.msg));
		json_decref(one);
	}
	bf_labels_free(&all);
	return r;
}

static const struct bf_plug *choose_plug(const struct bf_place *p, const char *iface,
					 struct bf_error *err)
{
	const struct bf_plug *plug;
	struct bf_text all = {0};
	char name[600], why[256], addr[64];

	bf_cli_place_name(p, name, sizeof(name));
	for (plug = p->plugs; plug < p->plugs + p->plug_count; plug++) {
		if (!plug->host.ifindex)
			continue;
		if (iface ? !strcmp(plug->host.name, iface) : bf_place_plugged(p) == 1) {
			bf_text_free(&all);
			return plug;
		}
		bf_text_printf(&all, "%s%s (%s inside%s%s)", all.len ? ", " : "", plug->host.name,
			       plug->inside.name, plug->addr_count ? ", " : "",
			       plug->addr_count
				       ? bf_address_text(plug->addrs[0], addr, sizeof(addr))
				       : "");
	}
	if (!all.len)
		bf_err(err, 0, "%.80s %s", name, bf_place_why_not(p, why, sizeof(why)));
	else if (iface)
		bf_err(err, 0, "%.80s is not behind %.40s, but behind %.300s", name, iface,
		       all.data);
	else
		bf_err(err, 0, "%.80s has several interfaces: say with --iface which one: %.300s",
		       name, all.data);
	bf_text_free(&all);
	return NULL;
}

int bf_cli_place_args(const struct bf_cli *cli, const struct bf_place *p, const char *iface,
		      json_t *args, json_t **untaken, struct bf_error *err)
{
	const struct bf_running *c = bf_place_owner(p);
	const struct bf_plug *plug = choose_plug(p, iface, err);
	json_t *labels = json_object_get(args, "labels");
	const char *ns;
	char name[32];

	*untaken = json_array();
	if (!plug)
		return -EINVAL;
	json_object_set_new(args, "iface", json_string(plug->host.name));
	/* Names of interfaces are given again; the agent shall take this one or none. */
	json_object_set_new(args, "ifindex", json_integer(plug->host.ifindex));
	if (!json_object_get(args, "name"))
		json_object_set_new(args, "name",
				    json_string(bf_place_name(p, name, sizeof(name))));
	if (!json_object_get(args, "namespace") && c && c->pod_namespace)
		json_object_set_new(args, "namespace", json_string(c->pod_namespace));
	if (bf_cli_switch(cli, "no-labels") || !c)
		return 0;
	/* Without its labels other policies would hold for it than somebody meant. */
	if (!c->labels)
		return bf_err(err, -ENODATA,
			      "the labels of %.80s cannot be read; say --no-labels to do without, "
			      "and give those that policies select by with --label",
			      bf_place_name(p, name, sizeof(name)));
	ns = json_string_value(json_object_get(args, "namespace"));
	return take_labels(c->labels, ns ? ns : BF_DEFAULT_NAMESPACE, labels, *untaken, err);
}
