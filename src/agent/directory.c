// SPDX-License-Identifier: Apache-2.0
/* The policy directory: read, watched, and its last good state kept. */
#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>

#include "agent/agent.h"
#include "agent/log.h"

/* Each flaw in the log, the first one in err: that is what `bpfast status` shows. */
static void log_flaws(const json_t *list, struct bf_error *err)
{
	const json_t *flaw;
	char where[600];
	size_t i;

	json_array_foreach (list, i, flaw) {
		const char *file = json_string_value(json_object_get(flaw, "file"));
		const char *message = json_string_value(json_object_get(flaw, "message"));

		snprintf(where, sizeof(where), "%s:%lld:%lld", file ? file : "",
			 (long long)json_integer_value(json_object_get(flaw, "line")),
			 (long long)json_integer_value(json_object_get(flaw, "column")));
		bf_log_error("policy not accepted", "at", where, "why", message ? message : "");
		if (!i)
			bf_err(err, 0, "%.200s: %.300s", where, message ? message : "");
	}
}

static void refuse(struct bf_agent *a, const char *why)
{
	snprintf(a->dir_error, sizeof(a->dir_error), "%s", why);
	bf_log_error("policy directory not taken over; what was in force stays", "dir",
		     a->config.policy_dir, "why", why);
}

void bf_directory_reload(struct bf_agent *a)
{
	struct bf_objects new = {0};
	struct bf_flaws flaws = {0};
	struct bf_sources files;
	struct bf_error err;
	int r;

	if (!strcmp(a->config.policy_dir, "off"))
		return;
	r = bf_sources_read(a->config.policy_dir, &files, &err);
	if (r == -ENOENT && !a->files.n && !*a->dir_error)
		return; /* not made yet */
	/* A directory that vanished is more likely an accident than an order to drop
	 * every policy: an empty one says that. */
	if (r) {
		refuse(a, err.msg);
		return;
	}
	if (!*a->dir_error && bf_sources_equal(&files, &a->files)) {
		bf_sources_free(&files);
		return;
	}
	r = bf_sources_objects(&files, &new, &flaws, NULL, &err);
	if (r)
		log_flaws(flaws.list, &err);
	json_decref(flaws.list);
	if (!r && *a->frozen)
		r = bf_err(&err, -EBUSY, "%s", a->frozen);
	if (!r)
		r = bf_enforce(a, &new, &a->applied, &err);
	if (r) {
		refuse(a, err.msg);
		bf_objects_free(&new);
		bf_sources_free(&files);
		return;
	}
	bf_objects_free(&a->directory);
	bf_sources_free(&a->files);
	a->directory = new;
	a->files = files;
	a->dir_error[0] = 0;
	a->dir_never = false;
	bf_log_info("policy directory in force", "dir", a->config.policy_dir, "files",
		    bf_num((long long)files.n), "policies", bf_num((long long)new.policy_count),
		    "generation", bf_num(a->generation));
	if (bf_state_save(a, &err))
		bf_log_error("state not saved", "why", err.msg);
	malloc_trim(0); /* of many policies much was needed to read and compile them */
}

void bf_directory_watch(struct bf_agent *a)
{
	if (a->inotify.fd < 0 || a->dir_watch >= 0 || !strcmp(a->config.policy_dir, "off"))
		return;
	a->dir_watch =
		inotify_add_watch(a->inotify.fd, a->config.policy_dir,
				  IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |
					  IN_CREATE | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}
