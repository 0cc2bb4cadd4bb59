/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_OBSERVE_VIEW_H
#define BF_OBSERVE_VIEW_H
/*
 * What the numbers of a record meant in its generation: slots, identities and
 * attributions. A record is formatted long after it was written, so each
 * generation leaves a view behind; the newest BF_VIEWS_MAX are kept.
 */
#include "policy/compile.h"

#define BF_VIEWS_MAX 64

struct bf_view_endpoint {
	char *name, *namespace;
	int slot;
	uint32_t identity; /* 0: not known */
};

struct bf_view_address {
	uint8_t addr[16];
	uint32_t endpoint; /* index */
};

struct bf_view {
	uint32_t generation;
	struct bf_view_endpoint *endpoints;
	size_t endpoint_count;
	uint32_t *by_slot; /* index + 1 into endpoints; 0: none */
	size_t slot_count;
	struct bf_view_address *addresses; /* sorted */
	size_t address_count;
	struct bf_identity *identities; /* sorted by id */
	size_t identity_count;
	char *strings; /* attributions; NUL-terminated */
	size_t string_size;
};

struct bf_views {
	struct bf_view *v[BF_VIEWS_MAX]; /* a ring; NULL: free */
	size_t next;
};

/* Copies what it needs. NULL: no memory. Freed with bf_view_free(). */
struct bf_view *bf_view_new(uint32_t generation, const struct bf_image *image,
			    const struct bf_world *world);
void bf_view_free(struct bf_view *view);

void bf_views_add(struct bf_views *views, struct bf_view *view); /* takes it */
void bf_views_free(struct bf_views *views); /* what it holds, not itself */
const struct bf_view *bf_views_find(const struct bf_views *views, uint32_t generation);

/* NULL where not known. */
const struct bf_view_endpoint *bf_view_by_slot(const struct bf_view *view, int slot);
const struct bf_view_endpoint *bf_view_by_address(const struct bf_view *view,
						  const uint8_t addr[16]);
/* "k8s:app=web;..." or "" */
const char *bf_view_identity(const struct bf_view *view, uint32_t id);
const char *bf_view_ref(const struct bf_view *view, uint32_t ref); /* or "" */

#endif
