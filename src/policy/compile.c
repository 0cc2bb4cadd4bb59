// SPDX-License-Identifier: Apache-2.0
/* The whole of a compile, and how an image is laid out. */
#include "policy/compile_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/selector.h"

/*
 * Steps for the automata of all rulesets together; see struct bf_subset_limits. Each has a limit
 * of its own, but there may be thousands, and the agent does nothing else meanwhile. 10,000
 * rules of the usual kind on one port need 0.3 million.
 */
#define WORK_MAX 600000000u

static void compiler_free(struct bf_compiler *c)
{
	for (size_t i = 0; c->rules && i < c->rule_count; i++)
		free(c->rules[i].idents);
	free(c->rules);
	free(c->policy_first_rule);
	free(c->policy_used);
	free(c->ns_labels);
	free(c->idents);
	free(c->endpoint_ident);
	free(c->spans4);
	free(c->spans6);
	free(c->set_of_key);
	free(c->range_list_off);
	free(c->peer_list_off);
	free(c->rulesets);
	free(c->string_off);
	bf_intern_free(&c->ident_keys);
	bf_intern_free(&c->port_lists);
	bf_intern_free(&c->set_keys);
	bf_intern_free(&c->sets);
	bf_intern_free(&c->classes);
	bf_intern_free(&c->decisions);
	bf_intern_free(&c->range_lists);
	bf_intern_free(&c->peer_lists);
	bf_intern_free(&c->ruleset_keys);
	bf_intern_free(&c->strings);
	bf_buf_free(&c->string_block);
	bf_blob_free(&c->blob);
}

/* Who is on this node, and which objects are about them. */
static int survey(struct bf_compiler *c)
{
	const struct bf_world *w = c->world;
	const struct bf_objects *objects = w->objects;
	uint8_t *taken = calloc(BPFAST_ENDPOINTS_MAX, 1);
	int ret = 0;

	c->policy_used = calloc(objects->policy_count + 1, sizeof(*c->policy_used));
	c->ns_labels = calloc(w->endpoint_count + 1, sizeof(*c->ns_labels));
	c->endpoint_ident = calloc(w->endpoint_count + 1, sizeof(*c->endpoint_ident));
	if (!taken || !c->policy_used || !c->ns_labels || !c->endpoint_ident)
		ret = -ENOMEM;
	for (size_t e = 0; !ret && e < w->endpoint_count; e++) {
		const struct bf_endpoint *ep = &w->endpoints[e];

		c->ns_labels[e] = bf_namespace_labels(objects, ep->namespace);
		if (ep->slot < 0)
			continue;
		if (ep->slot >= BPFAST_ENDPOINTS_MAX)
			ret = bf_err(c->err, -E2BIG,
				     "endpoint %s/%s: no more than %d endpoints fit", ep->namespace,
				     ep->name, BPFAST_ENDPOINTS_MAX);
		else if (taken[ep->slot]++)
			ret = bf_err(c->err, -EINVAL,
				     "endpoint %s/%s: slot %d belongs to another endpoint",
				     ep->namespace, ep->name, ep->slot);
		for (size_t p = 0; !ret && p < objects->policy_count; p++)
			if (!c->policy_used[p] && !objects->policies[p].subject_none)
				c->policy_used[p] = bf_selector_matches(
					&objects->policies[p].subject, ep->namespace, &ep->labels,
					c->ns_labels[e]);
	}
	free(taken);
	return ret;
}

static int emit_endpoints(struct bf_compiler *c, struct bpfast_image *image)
{
	const struct bf_world *w = c->world;
	struct bpfast_image_endpoint *v;
	size_t n = 0;
	int ret = 0;

	for (size_t e = 0; e < w->endpoint_count; e++)
		if (w->endpoints[e].slot >= 0 && (size_t)w->endpoints[e].slot >= n)
			n = (size_t)w->endpoints[e].slot + 1;
	v = calloc(n + 1, sizeof(*v));
	if (!v)
		return -ENOMEM;
	for (size_t s = 0; s < n; s++)
		v[s].ingress_set = v[s].egress_set = BPFAST_SET_NONE;
	for (size_t e = 0; !ret && e < w->endpoint_count; e++) {
		struct bpfast_image_endpoint *to;

		if (w->endpoints[e].slot < 0)
			continue;
		to = &v[w->endpoints[e].slot];
		to->identity = c->idents[c->endpoint_ident[e]].id;
		ret = bf_compile_set(c, e, false, &to->ingress_set);
		ret = ret ?: bf_compile_set(c, e, true, &to->egress_set);
	}
	image->endpoint_count = (uint32_t)n;
	ret = ret ?: bf_blob_append(&c->blob, v, n * sizeof(*v), &image->endpoint_off);
	free(v);
	return ret;
}

static int emit_addresses(struct bf_compiler *c, struct bpfast_image *image)
{
	struct bpfast_image_ip4 *four = calloc(c->span4_count + 1, sizeof(*four));
	struct bpfast_image_ip6 *six = calloc(c->span6_count + 1, sizeof(*six));
	int ret = four && six ? 0 : -ENOMEM;

	for (size_t i = 0; !ret && i < c->span4_count; i++) {
		four[i].first = (uint32_t)c->spans4[i].first;
		four[i].identity = c->idents[c->spans4[i].ident].id;
	}
	for (size_t i = 0; !ret && i < c->span6_count; i++) {
		six[i].hi = (uint64_t)(c->spans6[i].first >> 64);
		six[i].lo = (uint64_t)c->spans6[i].first;
		six[i].identity = c->idents[c->spans6[i].ident].id;
	}
	image->ip4_count = (uint32_t)c->span4_count;
	image->ip6_count = (uint32_t)c->span6_count;
	ret = ret
		      ?: bf_blob_append(&c->blob, four, c->span4_count * sizeof(*four),
					&image->ip4_off);
	ret = ret ?: bf_blob_append(&c->blob, six, c->span6_count * sizeof(*six), &image->ip6_off);
	free(four);
	free(six);
	return ret;
}

/* A table whose entries were shared by content: they lie one after the other. */
static int emit_interned(struct bf_compiler *c, const struct bf_intern *t, uint32_t *off,
			 uint32_t *count)
{
	*count = (uint32_t)t->n;
	return bf_blob_append(&c->blob, t->bytes.v, t->bytes.n, off);
}

static int emit(struct bf_compiler *c)
{
	struct bpfast_image image = {.magic = BPFAST_IMAGE_MAGIC, .version = BPFAST_IMAGE_VERSION};
	struct bf_buf nothing = {0};
	uint32_t off;
	/* The head first, so that no table has offset 0; it is filled in at the end. */
	int ret = bf_blob_append(&c->blob, NULL, sizeof(image), &off);

	ret = ret ?: bf_text_ref(c, &nothing, &off);
	ret = ret ?: emit_endpoints(c, &image);
	ret = ret ?: emit_addresses(c, &image);
	ret = ret ?: emit_interned(c, &c->sets, &image.set_off, &image.set_count);
	ret = ret ?: emit_interned(c, &c->classes, &image.class_off, &image.class_count);
	ret = ret ?: emit_interned(c, &c->decisions, &image.decision_off, &image.decision_count);
	image.ruleset_count = (uint32_t)c->ruleset_keys.n;
	ret = ret
		      ?: bf_blob_append(&c->blob, c->rulesets,
					image.ruleset_count * sizeof(*c->rulesets),
					&image.ruleset_off);
	ret = ret ?: bf_response_names_emit(&c->blob, &image.response_name_dfa_off, c->err);
	image.string_size = (uint32_t)c->string_block.n;
	ret = ret
		      ?: bf_blob_append(&c->blob, c->string_block.v, c->string_block.n,
					&image.string_off);
	if (ret)
		return ret;
	image.size = (uint32_t)c->blob.len;
	memcpy(c->blob.data, &image, sizeof(image));
	return 0;
}

static int identity_order(const void *a, const void *b)
{
	const struct bf_identity *x = a, *y = b;

	return x->id < y->id ? -1 : x->id > y->id;
}

static int list_identities(struct bf_compiler *c, struct bf_image *out)
{
	out->identities = calloc(c->ident_count, sizeof(*out->identities));
	if (!out->identities)
		return -ENOMEM;
	for (size_t i = 0; i < c->ident_count; i++) {
		struct bf_identity *to = &out->identities[out->identity_count++];

		to->id = c->idents[i].id;
		to->text = bf_ident_text(&c->idents[i]);
		if (!to->text)
			return -ENOMEM;
	}
	qsort(out->identities, out->identity_count, sizeof(*out->identities), identity_order);
	return 0;
}

int bf_image_compile(const struct bf_world *world, struct bf_image *out, struct bf_error *err)
{
	struct bf_error ignored;
	struct bf_compiler c = {.world = world, .err = err ? err : &ignored, .work = WORK_MAX};
	int ret;

	memset(out, 0, sizeof(*out));
	c.err->msg[0] = 0;
	ret = survey(&c);
	ret = ret ?: bf_compile_rules(&c);
	ret = ret ?: bf_compile_identities(&c);
	ret = ret ?: emit(&c);
	ret = ret ?: list_identities(&c, out);
	if (ret) {
		bf_image_free(out);
		if (!c.err->msg[0])
			bf_err(c.err, ret, "%s",
			       ret == -E2BIG ? "the policy image exceeds 2 GiB"
					     : "no memory for the policy image");
	} else {
		out->blob = c.blob;
		memset(&c.blob, 0, sizeof(c.blob));
	}
	compiler_free(&c);
	return ret;
}

void bf_image_free(struct bf_image *image)
{
	for (size_t i = 0; i < image->identity_count; i++)
		free(image->identities[i].text);
	free(image->identities);
	bf_blob_free(&image->blob);
	memset(image, 0, sizeof(*image));
}

const char *bf_image_ref(const void *image, size_t len, uint32_t ref)
{
	struct bpfast_image head;

	if (len < sizeof(head))
		return "";
	memcpy(&head, image, sizeof(head));
	/* The block ends in NUL, so a text that begins in it ends in it. */
	if (ref >= head.string_size || head.string_off > len ||
	    head.string_size > len - head.string_off ||
	    ((const char *)image)[head.string_off + head.string_size - 1])
		return "";
	return (const char *)image + head.string_off + ref;
}
