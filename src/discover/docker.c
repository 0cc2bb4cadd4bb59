// SPDX-License-Identifier: Apache-2.0
/*
 * Docker, and podman by the same interface: the Docker Engine API, GET /containers/json
 * and GET /containers/ID/json (https://docs.docker.com/engine/api/).
 */
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "discover/ask.h"
#include "discover/find.h"

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* 0 with *out; -ENOENT: there is no such thing any more. */
static int get(struct bf_asker *a, const char *path, json_t **out, struct bf_error *err)
{
	struct bf_answer answer;
	json_error_t je;
	int r = bf_ask_http(a, path, &answer, err);

	if (r)
		return r;
	*out = NULL;
	if (answer.status == 200)
		*out = json_loadb((char *)answer.body, answer.len, JSON_ALLOW_NUL, &je);
	free(answer.body);
	if (answer.status == 404)
		return bf_err(err, -ENOENT, "%s: there is no %s", a->socket, path);
	if (answer.status != 200)
		return bf_err(err, -EPROTO, "%s answers GET %.80s with status %ld", a->socket, path,
			      answer.status);
	if (!*out)
		return bf_err(err, -EPROTO, "the answer of %s to GET %.80s is not JSON: %s",
			      a->socket, path, je.text);
	return 0;
}

static bool is_id(const char *s)
{
	size_t i;

	for (i = 0; isxdigit((unsigned char)s[i]); i++)
		;
	return i >= 12 && i <= 128 && !s[i];
}

static int one(struct bf_found *found, struct bf_asker *a, const char *runtime,
	       const json_t *listed, struct bf_error *err)
{
	const char *id = text(listed, "Id"), *name, *mode, *kind;
	const json_t *state, *labels;
	struct bf_running c;
	char path[200];
	json_t *o;
	int r;

	if (!is_id(id)) {
		bf_found_note(found,
			      "%s names a container '%.40s', which is no identifier; it is "
			      "left out",
			      a->socket, id);
		found->incomplete = true;
		return 0;
	}
	snprintf(path, sizeof(path), "/containers/%s/json", id);
	r = get(a, path, &o, err);
	if (r)
		return r == -ENOENT ? 0 : r;
	state = json_object_get(o, "State");
	name = text(o, "Name");
	name += *name == '/';
	if (!*name)
		name = id;
	c.pid = (pid_t)json_integer_value(json_object_get(state, "Pid"));
	if (c.pid <= 0) {
		bf_found_stopped(found, runtime, NULL, id, name, text(state, "Status"));
		json_decref(o);
		return 0;
	}
	labels = json_object_get(json_object_get(o, "Config"), "Labels");
	mode = text(json_object_get(o, "HostConfig"), "NetworkMode");
	kind = text(labels, "io.kubernetes.docker.type");
	c = (struct bf_running){
		.runtime = runtime,
		.id = strdup(id),
		.name = strdup(name),
		.labels = json_is_object(labels) ? json_incref((json_t *)labels) : json_object(),
		.pid = c.pid,
		.sandbox = !strcmp(kind, "podsandbox"),
		.joined = !strncmp(mode, "container:", strlen("container:")),
	};
	/* Kubernetes by way of cri-dockerd. */
	if (*kind && *text(labels, "io.kubernetes.pod.name")) {
		c.pod = strdup(text(labels, "io.kubernetes.pod.name"));
		c.pod_namespace = strdup(text(labels, "io.kubernetes.pod.namespace"));
	}
	bf_found_container(found, &c);
	json_decref(o);
	return 0;
}

void bf_find_docker(struct bf_found *found, const char *runtime, const char *socket, bool wanted)
{
	struct bf_asker a;
	struct bf_error err;
	json_t *list = NULL;
	const json_t *o;
	size_t i;
	int r = bf_asker_open(&a, socket, &err);

	if (r == -ENOENT && !wanted)
		return;
	/* Those that do not run are asked for too, so that their names can be told from unknown ones. */
	if (!r)
		r = get(&a, "/containers/json?all=1", &list, &err);
	if (!r && !json_is_array(list))
		r = bf_err(&err, -EPROTO, "the answer of %s is not a list of containers", socket);
	if (!r)
		json_array_foreach (list, i, o)
			if (!r)
				r = one(found, &a, runtime, o, &err);
	if (r) {
		bf_found_note(found, "containers of %s cannot be listed: %s", runtime, err.msg);
		found->incomplete = true;
	}
	json_decref(list);
	bf_asker_close(&a);
}
