// SPDX-License-Identifier: Apache-2.0
/*
 * RUN_DIR/state.json: endpoints, applied objects and the last good policy
 * directory. It lives in the run directory because a boot ends both it and the
 * pinned maps.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/shield/http.h"

#define STATE_VERSION 1

static json_t *state_json(struct bf_agent *a)
{
	json_t *endpoints = json_array();
	size_t i;

	for (i = 0; i < a->endpoints.n; i++)
		if (json_array_append_new(endpoints, bf_local_to_json(a->endpoints.v[i]))) {
			json_decref(endpoints);
			return NULL;
		}
	return json_pack("{s:i, s:s, s:I, s:o, s:o, s:o, s:o, s:o}", "version", STATE_VERSION,
			 "pin_dir", a->config.pin_dir, "revision", (json_int_t)a->revision,
			 "endpoints", endpoints, "objects", bf_objects_to_json(&a->applied),
			 "directory", a->dir_never ? json_null() : bf_sources_to_json(&a->files),
			 "shield_http", bf_shield_http_save(a), "shield_limits",
			 bf_shield_policies_state(a));
}

int bf_state_save(struct bf_agent *a, struct bf_error *err)
{
	json_t *state = state_json(a);
	char *text = state ? json_dumps(state, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : NULL;
	int r;

	json_decref(state);
	if (!text)
		return bf_err(err, -ENOMEM, "no memory to save the state");
	r = bf_rundir_write(a, BF_STATE_FILE, text, strlen(text));
	free(text);
	a->state_errno = -r;
	if (r)
		return bf_err(err, r,
			      "in force, but %s/" BF_STATE_FILE
			      " cannot be written (%s), so a restarted agent would not know it",
			      a->config.run_dir, strerror(-r));
	return 0;
}

static int load_endpoints(struct bf_agent *a, const json_t *array, struct bf_error *err)
{
	struct bf_local *local;
	json_t *item;
	size_t i;
	int r;

	json_array_foreach (array, i, item) {
		r = bf_local_from_json(item, &local, err);
		if (r)
			return r;
		r = bf_endpoints_add(&a->endpoints, local, err);
		if (r) {
			bf_local_free(local);
			return r;
		}
	}
	return 0;
}

static int load(struct bf_agent *a, const json_t *state, struct bf_error *err)
{
	const char *pin_dir = json_string_value(json_object_get(state, "pin_dir"));
	struct bf_flaws flaws = {0};
	int r;

	if (json_integer_value(json_object_get(state, "version")) != STATE_VERSION)
		return bf_err(err, -EINVAL, "it has another version than %d", STATE_VERSION);
	if (!pin_dir || strcmp(pin_dir, a->config.pin_dir))
		return bf_err(err, -EINVAL, "it belongs to the pin directory %s",
			      pin_dir ? pin_dir : "?");
	a->revision = (uint64_t)json_integer_value(json_object_get(state, "revision"));
	a->dir_never = json_is_null(json_object_get(state, "directory"));
	bf_shield_http_load(a, json_object_get(state, "shield_http"));
	bf_shield_policies_load(a, json_object_get(state, "shield_limits"));
	r = load_endpoints(a, json_object_get(state, "endpoints"), err);
	if (!r)
		r = bf_objects_from_json(json_object_get(state, "objects"), &a->applied, err);
	if (!r)
		r = bf_sources_from_json(json_object_get(state, "directory"), &a->files, err);
	if (!r && a->files.n) {
		r = bf_sources_objects(&a->files, &a->directory, &flaws, NULL, err);
		json_decref(flaws.list);
	}
	return r;
}

int bf_state_load(struct bf_agent *a, struct bf_error *err)
{
	int fd = openat(a->run_fd, BF_STATE_FILE, O_RDONLY | O_NOFOLLOW | O_CLOEXEC), r;
	struct bf_error why;
	json_error_t je;
	json_t *state;

	if (fd < 0 && errno == ENOENT)
		return -ENOENT;
	if (fd < 0)
		return bf_err(err, -errno, "%s/" BF_STATE_FILE " cannot be read: %s",
			      a->config.run_dir, strerror(errno));
	state = json_loadfd(fd, 0, &je);
	close(fd);
	if (state) {
		r = load(a, state, &why);
	} else {
		r = -EINVAL;
		bf_err(&why, 0, "line %d: %s", je.line, je.text);
	}
	json_decref(state);
	if (r == 0)
		return 0;
	/* All or nothing: half a state would loosen or tighten what is in force. */
	bf_endpoints_free(&a->endpoints);
	bf_objects_free(&a->applied);
	bf_objects_free(&a->directory);
	memset(&a->applied, 0, sizeof(a->applied));
	memset(&a->directory, 0, sizeof(a->directory));
	bf_sources_free(&a->files);
	return bf_err(err, r,
		      "%s/" BF_STATE_FILE " cannot be used (%s); put a good one there and start "
		      "again, or begin anew with `bpfast down`",
		      a->config.run_dir, why.msg);
}
