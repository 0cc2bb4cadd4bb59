/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_READ_H
#define BF_POLICY_READ_H
/* Objects from YAML or JSON text to the model. Pure: the text is in memory. */
#include "policy/model.h"

/* Called for every flaw: "line:column" are 1-based; message says what is wrong
 * and how to mend it. */
typedef void (*bf_flaw_fn)(void *arg, const char *file, int line, int column, const char *message);

/*
 * Adds all objects of a text (several documents, v1 List too) to *objects. A later object
 * with the same key replaces an earlier one only across calls; within one call a double is
 * a flaw. All or nothing: -EINVAL after at least one call of flaw(), or -ENOMEM, and *objects is
 * unchanged. At most 50 flaws are told, then one that says how many more there are.
 * file (may be NULL) is only for messages and bf_policy.file.
 */
int bf_objects_read(struct bf_objects *objects, const char *file, const char *text, size_t len,
		    bf_flaw_fn flaw, void *arg);

/* Removes one object, by "KIND/NAMESPACE/NAME" ("KIND/NAME" for cluster-wide kinds and
 * Namespace). 0 or -ENOENT. */
int bf_objects_remove(struct bf_objects *objects, const char *key);

/* A deep copy, so that a change can be tried and thrown away. 0 or -ENOMEM. */
int bf_objects_copy(struct bf_objects *to, const struct bf_objects *from);

#endif
