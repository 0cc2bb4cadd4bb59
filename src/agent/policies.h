/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_POLICIES_H
#define BF_AGENT_POLICIES_H
/*
 * Where objects come from: the policy directory, whose files are the truth for
 * what stands in them, and commands, whose objects the agent keeps. No object
 * may come from both.
 */
#include <jansson.h>

#include "policy/read.h"

struct bf_source {
	char *file;
	char *text;
	size_t len;
};

struct bf_sources {
	struct bf_source *v; /* sorted by file */
	size_t n;
};

#define BF_POLICY_FILE_MAX (8u << 20) /* bytes of one file */
#define BF_POLICY_FILES_MAX 4096 /* files of one directory or command */

void bf_sources_free(struct bf_sources *sources);
/* *.yaml, *.yml and *.json of a directory, not below. -ENOENT: no such directory. */
int bf_sources_read(const char *dir, struct bf_sources *out, struct bf_error *err);
bool bf_sources_equal(const struct bf_sources *a, const struct bf_sources *b);
/* [{"file", "text"}] both ways. */
json_t *bf_sources_to_json(const struct bf_sources *sources);
int bf_sources_from_json(const json_t *array, struct bf_sources *out, struct bf_error *err);

/* Flaws as [{"file", "line", "column", "message"}]. */
struct bf_flaws {
	json_t *list; /* array; NULL until the first one */
};

/*
 * Reads all texts into *out, which is empty or holds what was there before
 * (replaced where the key is the same). An object twice in the sources is a flaw.
 * All or nothing. *touched (may be NULL) becomes an array of the keys.
 */
int bf_sources_objects(const struct bf_sources *sources, struct bf_objects *out,
		       struct bf_flaws *flaws, json_t **touched, struct bf_error *err);

/* "KIND/NAMESPACE/NAME" or "KIND/NAME"; malloc'ed. */
char *bf_policy_key(const struct bf_policy *p);
char *bf_namespace_key(const struct bf_namespace *n);
/* Is policy `at` a further one of the `specs` of the object before it? */
bool bf_policy_continues(const struct bf_objects *objects, size_t at);
bool bf_objects_has(const struct bf_objects *objects, const char *key);

/* Both together, deep. -EEXIST: an object is in both. */
int bf_objects_merge(struct bf_objects *out, const struct bf_objects *directory,
		     const struct bf_objects *applied, struct bf_error *err);

/* [{"file", "object"}], so that bf_objects_from_json() gives the same objects back. */
json_t *bf_objects_to_json(const struct bf_objects *objects);
int bf_objects_from_json(const json_t *array, struct bf_objects *out, struct bf_error *err);

/* v1 Namespace as JSON. */
json_t *bf_namespace_to_json(const struct bf_namespace *n);

#endif
