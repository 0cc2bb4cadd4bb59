// SPDX-License-Identifier: Apache-2.0
#include "observe/view.h"

#include <stdlib.h>
#include <string.h>

#include "bpfast/image.h"

static int by_address(const void *a, const void *b)
{
	return memcmp(((const struct bf_view_address *)a)->addr,
		      ((const struct bf_view_address *)b)->addr, 16);
}

static int by_id(const void *a, const void *b)
{
	uint32_t x = ((const struct bf_identity *)a)->id, y = ((const struct bf_identity *)b)->id;

	return (x > y) - (x < y);
}

static int copy_endpoints(struct bf_view *view, const struct bf_world *world)
{
	size_t i, j, n = 0;

	for (i = 0; i < world->endpoint_count; i++)
		n += world->endpoints[i].addr_count;
	view->endpoints = calloc(world->endpoint_count + 1, sizeof(*view->endpoints));
	view->addresses = calloc(n + 1, sizeof(*view->addresses));
	if (!view->endpoints || !view->addresses)
		return -1;
	for (i = 0; i < world->endpoint_count; i++) {
		const struct bf_endpoint *e = &world->endpoints[i];
		struct bf_view_endpoint *to = &view->endpoints[i];

		view->endpoint_count = i + 1;
		to->slot = e->slot;
		to->name = strdup(e->name);
		to->namespace = strdup(e->namespace);
		if (!to->name || !to->namespace)
			return -1;
		for (j = 0; j < e->addr_count; j++) {
			struct bf_view_address *a = &view->addresses[view->address_count++];

			memcpy(a->addr, e->addrs[j], 16);
			a->endpoint = (uint32_t)i;
		}
	}
	qsort(view->addresses, view->address_count, sizeof(*view->addresses), by_address);
	return 0;
}

static int index_slots(struct bf_view *view)
{
	size_t i;

	for (i = 0; i < view->endpoint_count; i++)
		if (view->endpoints[i].slot >= (int)view->slot_count)
			view->slot_count = (size_t)view->endpoints[i].slot + 1;
	view->by_slot = calloc(view->slot_count + 1, sizeof(*view->by_slot));
	if (!view->by_slot)
		return -1;
	for (i = 0; i < view->endpoint_count; i++)
		if (view->endpoints[i].slot >= 0)
			view->by_slot[view->endpoints[i].slot] = (uint32_t)i + 1;
	return 0;
}

/* A record leaves out the identity of the endpoint it is about: the slot tells. */
static void copy_own_identities(struct bf_view *view, const struct bf_image *image,
				const struct bpfast_image *head)
{
	struct bpfast_image_endpoint e;
	size_t i, at;

	for (i = 0; i < view->endpoint_count; i++) {
		if (view->endpoints[i].slot < 0 ||
		    (uint32_t)view->endpoints[i].slot >= head->endpoint_count)
			continue;
		at = head->endpoint_off + (size_t)view->endpoints[i].slot * sizeof(e);
		if (at + sizeof(e) > image->blob.len)
			continue;
		memcpy(&e, image->blob.data + at, sizeof(e));
		view->endpoints[i].identity = e.identity;
	}
}

static int copy_image(struct bf_view *view, const struct bf_image *image)
{
	struct bpfast_image head;
	size_t i;

	view->identities = calloc(image->identity_count + 1, sizeof(*view->identities));
	if (!view->identities)
		return -1;
	for (i = 0; i < image->identity_count; i++) {
		view->identity_count = i + 1;
		view->identities[i].id = image->identities[i].id;
		view->identities[i].text = strdup(image->identities[i].text);
		if (!view->identities[i].text)
			return -1;
	}
	qsort(view->identities, view->identity_count, sizeof(*view->identities), by_id);

	if (image->blob.len < sizeof(head))
		return 0;
	memcpy(&head, image->blob.data, sizeof(head));
	copy_own_identities(view, image, &head);
	if (head.string_off > image->blob.len ||
	    head.string_size > image->blob.len - head.string_off)
		return 0;
	view->strings = calloc(1, (size_t)head.string_size + 1);
	if (!view->strings)
		return -1;
	memcpy(view->strings, image->blob.data + head.string_off, head.string_size);
	view->string_size = head.string_size;
	return 0;
}

struct bf_view *bf_view_new(uint32_t generation, const struct bf_image *image,
			    const struct bf_world *world)
{
	struct bf_view *view = calloc(1, sizeof(*view));

	if (!view)
		return NULL;
	view->generation = generation;
	if (copy_endpoints(view, world) || index_slots(view) || copy_image(view, image)) {
		bf_view_free(view);
		return NULL;
	}
	return view;
}

void bf_view_free(struct bf_view *view)
{
	size_t i;

	if (!view)
		return;
	for (i = 0; i < view->endpoint_count; i++) {
		free(view->endpoints[i].name);
		free(view->endpoints[i].namespace);
	}
	for (i = 0; i < view->identity_count; i++)
		free(view->identities[i].text);
	free(view->endpoints);
	free(view->by_slot);
	free(view->addresses);
	free(view->identities);
	free(view->strings);
	free(view);
}

void bf_views_add(struct bf_views *views, struct bf_view *view)
{
	bf_view_free(views->v[views->next]);
	views->v[views->next] = view;
	views->next = (views->next + 1) % BF_VIEWS_MAX;
}

void bf_views_free(struct bf_views *views)
{
	size_t i;

	for (i = 0; i < BF_VIEWS_MAX; i++) {
		bf_view_free(views->v[i]);
		views->v[i] = NULL;
	}
}

const struct bf_view *bf_views_find(const struct bf_views *views, uint32_t generation)
{
	size_t i, at;

	/* The newest first: most records are of the generation in force. */
	for (i = 1; i <= BF_VIEWS_MAX; i++) {
		at = (views->next + BF_VIEWS_MAX - i) % BF_VIEWS_MAX;
		if (!views->v[at])
			return NULL;
		if (views->v[at]->generation == generation)
			return views->v[at];
	}
	return NULL;
}

const struct bf_view_endpoint *bf_view_by_slot(const struct bf_view *view, int slot)
{
	if (!view || slot < 0 || (size_t)slot >= view->slot_count || !view->by_slot[slot])
		return NULL;
	return &view->endpoints[view->by_slot[slot] - 1];
}

const struct bf_view_endpoint *bf_view_by_address(const struct bf_view *view,
						  const uint8_t addr[16])
{
	struct bf_view_address key = {0};
	const struct bf_view_address *a;

	if (!view || !view->address_count)
		return NULL;
	memcpy(key.addr, addr, 16);
	a = bsearch(&key, view->addresses, view->address_count, sizeof(key), by_address);
	return a ? &view->endpoints[a->endpoint] : NULL;
}

const char *bf_view_identity(const struct bf_view *view, uint32_t id)
{
	struct bf_identity key = {.id = id};
	const struct bf_identity *found = NULL;

	if (view && view->identity_count)
		found = bsearch(&key, view->identities, view->identity_count, sizeof(key), by_id);
	if (found)
		return found->text;
	/* The reserved ones need no table. */
	return id == BPFAST_ID_HOST	 ? "reserved:host"
	       : id == BPFAST_ID_WORLD	 ? "reserved:world"
	       : id == BPFAST_ID_UNKNOWN ? "reserved:unknown"
					 : "";
}

const char *bf_view_ref(const struct bf_view *view, uint32_t ref)
{
	return view && view->strings && ref < view->string_size ? view->strings + ref : "";
}
