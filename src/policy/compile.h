/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_COMPILE_H
#define BF_POLICY_COMPILE_H
/* The model to an image of include/bpfast/image.h. Pure. */
#include "match/blob.h"
#include "policy/model.h"

/* What a compiled image stands for; user space keeps one for each live generation. */
struct bf_image {
	struct bf_blob blob; /* the image */
	struct bf_identity *identities; /* id -> labels or CIDR, for records */
	size_t identity_count;
};

struct bf_identity {
	uint32_t id;
	char *text; /* "k8s:app=web;k8s:io.kubernetes.pod.namespace=shop", "cidr:10.0.0.0/8", "reserved:world" */
};

/*
 * 0, or -errno with err: an object that cannot be enforced, a limit, no memory.
 * On success *out is owned by the caller, freed with bf_image_free().
 */
int bf_image_compile(const struct bf_world *world, struct bf_image *out, struct bf_error *err);
void bf_image_free(struct bf_image *image); /* what it holds, not itself */

/* Checks offsets, order and sizes of an image, as a reader that trusts nothing. */
int bf_image_check(const void *image, size_t len, struct bf_error *err);

/* The text of an attribution, or "" . */
const char *bf_image_ref(const void *image, size_t len, uint32_t ref);

#endif
