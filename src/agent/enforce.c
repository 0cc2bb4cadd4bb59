// SPDX-License-Identifier: Apache-2.0
/* Objects, endpoints and addresses into one image, and the image into force. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/log.h"
#include "agent/shield/policy.h"

int bf_may_change(const struct bf_agent *a, struct bf_error *err)
{
	if (*a->frozen)
		return bf_err(err, -EBUSY, "%s", a->frozen);
	/* An endpoint must not come up without the policies somebody wrote for it. */
	if (a->dir_never)
		return bf_err(err, -EBUSY,
			      "the policy directory %s was never readable (%.300s); mend it first",
			      a->config.policy_dir, a->dir_error);
	return 0;
}

/* The kernel may hold this very image already: then nothing changes for anybody. */
static bool in_force_already(struct bf_agent *a, const struct bf_image *image, uint32_t *generation)
{
	size_t len = 0;
	const void *now = bf_datapath_image(a->dp, &len, generation);

	return now && len && len == image->blob.len && !memcmp(now, image->blob.data, len);
}

int bf_enforce(struct bf_agent *a, const struct bf_objects *directory,
	       const struct bf_objects *applied, struct bf_error *err)
{
	struct bf_objects merged = {0};
	struct bf_endpoint *flat = NULL;
	struct bf_image image = {0};
	struct bf_view *view;
	struct bf_world world;
	uint32_t generation = 0;
	bool adopts;
	int r;

	r = bf_objects_merge(&merged, directory, applied, err);
	if (r)
		goto out;
	r = bf_shield_policies_check(&merged, err);
	if (r)
		goto out;
	flat = bf_endpoints_flat(&a->endpoints);
	if (!flat) {
		r = bf_err(err, -ENOMEM, "no memory");
		goto out;
	}
	world = (struct bf_world){
		.objects = &merged,
		.endpoints = flat,
		.endpoint_count = a->endpoints.n,
		.node_addrs = (const uint8_t(*)[16])a->node_addrs,
		.node_addr_count = a->node_addr_count,
	};
	r = bf_image_compile(&world, &image, err);
	if (r)
		goto out;
	view = bf_view_new(0, &image, &world);
	if (!view) {
		r = bf_err(err, -ENOMEM, "no memory");
		goto out;
	}
	adopts = !a->generation && in_force_already(a, &image, &generation);
	if (!adopts)
		r = bf_datapath_install(a->dp, image.blob.data, image.blob.len, &generation, err);
	if (r) {
		bf_view_free(view);
		goto out;
	}
	view->generation = generation;
	bf_views_add(&a->views, view);
	bf_image_free(&a->image);
	a->image = image;
	memset(&image, 0, sizeof(image));
	a->generation = generation;
	a->revision += !adopts;
	bf_shield_policies_set(a, &merged);
out:
	if (r)
		a->applies_failed++;
	else
		a->applies_ok++;
	bf_image_free(&image);
	free(flat);
	bf_objects_free(&merged);
	return r;
}

int bf_enforce_again(struct bf_agent *a, struct bf_error *err)
{
	int r = bf_may_change(a, err);

	return r ? r : bf_enforce(a, &a->directory, &a->applied, err);
}

void bf_endpoint_gone(struct bf_agent *a, struct bf_local *local)
{
	struct bf_error err;

	bf_log_info("endpoint removed: its interface is gone", "endpoint", local->e.name,
		    "namespace", local->e.namespace, "iface", local->iface);
	bf_endpoints_remove(&a->endpoints, local);
	if (bf_datapath_detach(a->dp, local->ifindex, &err))
		bf_log_warn("cannot detach", "iface", local->iface, "why", err.msg);
	bf_local_free(local);
}
