// SPDX-License-Identifier: Apache-2.0
#include "policy/shield_plan.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>

void bf_shield_plan_free(struct bf_shield_plan *plan)
{
	free(plan->allow);
	free(plan->block);
	memset(plan, 0, sizeof(*plan));
}

static int add_limits(struct bf_shield_plan *plan, const struct bf_policy *p, struct bf_error *err)
{
	static const char *const classes[] = {
#define BPFAST_X(sym, word, what) word,
		BPFAST_SHIELD_CLASSES(BPFAST_X)
#undef BPFAST_X
	};
	static const char *const scopes[BPFAST_SS_COUNT] = {"source", "prefix", "destination"};

	for (size_t i = 0; i < p->shield->rate_count; i++) {
		const struct bf_shield_rate *r = &p->shield->rates[i];

		if (plan->limit[r->class][r->scope].owner &&
		    (plan->limit[r->class][r->scope].rate != r->rate ||
		     plan->limit[r->class][r->scope].burst != r->burst))
			return bf_err(err, -EINVAL,
				      "ShieldPolicy %.100s and ShieldPolicy %.100s set the limit "
				      "of %s for each %s to %u:%u and %u:%u; limits hold on all "
				      "devices, so say it in one of them",
				      plan->limit[r->class][r->scope].owner, p->name,
				      classes[r->class], scopes[r->scope],
				      plan->limit[r->class][r->scope].rate,
				      plan->limit[r->class][r->scope].burst, r->rate, r->burst);
		plan->limit[r->class][r->scope].owner = p->name;
		plan->limit[r->class][r->scope].rate = r->rate;
		plan->limit[r->class][r->scope].burst = r->burst;
	}
	return 0;
}

/* Of each prefix the last entry, which has the latest time. */
static size_t unique(struct bf_shield_prefix *v, size_t n)
{
	size_t kept = 0;

	bf_shield_prefixes_sort(v, n);
	for (size_t i = 0; i < n; i++) {
		if (i + 1 < n && !memcmp(&v[i].cidr, &v[i + 1].cidr, sizeof(v[i].cidr)))
			continue;
		v[kept++] = v[i];
	}
	return kept;
}

static int add_lists(struct bf_shield_plan *plan, const struct bf_objects *objects,
		     struct bf_error *err)
{
	size_t n = 0;

	for (size_t i = 0; i < objects->policy_count; i++)
		if (objects->policies[i].shield)
			n += objects->policies[i].shield->prefix_count;
	if (!n)
		return 0;
	plan->allow = calloc(n, sizeof(*plan->allow));
	plan->block = calloc(n, sizeof(*plan->block));
	if (!plan->allow || !plan->block)
		return bf_err(err, -ENOMEM, "no memory");
	for (size_t i = 0; i < objects->policy_count; i++) {
		const struct bf_policy *p = &objects->policies[i];

		for (size_t j = 0; p->shield && j < p->shield->prefix_count; j++) {
			struct bf_shield_prefix e = p->shield->prefixes[j];

			e.owner = p->name;
			if (e.allow)
				plan->allow[plan->allow_count++] = e;
			else
				plan->block[plan->block_count++] = e;
		}
	}
	plan->allow_count = unique(plan->allow, plan->allow_count);
	plan->block_count = unique(plan->block, plan->block_count);
	return 0;
}

static int check_useful(const struct bf_shield_plan *plan, struct bf_error *err)
{
	char what[64], by[64];

	for (size_t i = 0; i < plan->block_count; i++) {
		const struct bf_shield_prefix *b = &plan->block[i];
		const struct bf_shield_prefix *a =
			bf_shield_prefix_holder(plan->allow, plan->allow_count, b);

		if (a)
			return bf_err(err, -EINVAL,
				      "ShieldPolicy %.100s blocks %s, but ShieldPolicy %.100s "
				      "allows %s, and allow always wins: blocking it would do "
				      "nothing; take one of them out",
				      b->owner, bf_shield_prefix_text(&b->cidr, what, sizeof(what)),
				      a->owner, bf_shield_prefix_text(&a->cidr, by, sizeof(by)));
	}
	return 0;
}

int bf_shield_plan_make(const struct bf_objects *objects, struct bf_shield_plan *out,
			struct bf_error *err)
{
	int r = 0;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; !r && i < objects->policy_count; i++) {
		if (!objects->policies[i].shield)
			continue;
		out->any = true;
		r = add_limits(out, &objects->policies[i], err);
	}
	if (!r && out->any)
		r = add_lists(out, objects, err);
	if (!r)
		r = check_useful(out, err);
	if (r)
		bf_shield_plan_free(out);
	return r;
}

/* --- devices --- */

enum rank { NOT, PATTERN, NAMED };

static enum rank rank_of(const struct bf_objects *objects, const struct bf_policy *p,
			 const char *device, const struct bf_endpoint *endpoint, bool *pod)
{
	enum rank rank = NOT;

	*pod = false;
	for (size_t i = 0; i < p->shield->device_count; i++) {
		const char *name = p->shield->devices[i];

		if (!strcmp(name, device))
			return NAMED;
		/* The loopback cannot be guarded, so nobody means it. */
		if (!endpoint && strcmp(device, "lo") && !fnmatch(name, device, 0))
			rank = PATTERN;
	}
	if (endpoint && bf_shield_selects(objects, p, endpoint)) {
		*pod = true;
		rank = PATTERN;
	}
	return rank;
}

bool bf_shield_choose(const struct bf_objects *objects, const char *device,
		      const struct bf_endpoint *endpoint, struct bf_shield_choice *out)
{
	const char *hook_by = NULL;
	enum rank best = NOT;

	memset(out, 0, sizeof(*out));
	for (size_t i = 0; i < objects->policy_count; i++) {
		const struct bf_policy *p = &objects->policies[i];
		const struct bf_shield_spec *s = p->shield;
		enum rank rank;
		bool pod;

		if (!s)
			continue;
		rank = rank_of(objects, p, device, endpoint, &pod);
		if (rank == NOT || rank < best)
			continue;
		if (rank > best) {
			memset(out, 0, sizeof(*out));
			hook_by = NULL;
			best = rank;
		}
		out->pod = pod;
		out->named = rank == NAMED;
		if (!out->owner || s->mode > out->mode ||
		    (s->mode == out->mode && strcmp(p->name, out->owner) < 0)) {
			out->owner = p->name;
			out->mode = s->mode;
		}
		if (s->sensitivity_said &&
		    (!out->sensitivity_by || s->sensitivity > out->sensitivity ||
		     (s->sensitivity == out->sensitivity &&
		      strcmp(p->name, out->sensitivity_by) < 0))) {
			out->sensitivity_by = p->name;
			out->sensitivity = s->sensitivity;
		}
		if (s->hook != BF_WISH_AUTO && (!hook_by || strcmp(p->name, hook_by) < 0)) {
			hook_by = p->name;
			out->hook = s->hook;
		}
	}
	if (!out->sensitivity_by)
		out->sensitivity = BF_SENS_MEDIUM;
	return best != NOT;
}

/* --- connections and requests --- */

/* 0 is no limit. More is stricter for the least that a body has to make, and for a block. */
static void stricter(uint32_t *now, uint32_t value, bool first, bool more)
{
	if (first || (value && (!*now || (more ? value > *now : value < *now))))
		*now = value;
}

bool bf_shield_choose_http(const struct bf_objects *objects, const struct bf_endpoint *endpoint,
			   struct bf_shield_http_choice *out)
{
	out->owner = NULL;
	out->said = 0;
	for (size_t i = 0; i < objects->policy_count; i++) {
		const struct bf_policy *p = &objects->policies[i];
		const struct bf_shield_spec *s = p->shield;

		if (!s || !s->http || !bf_shield_selects(objects, p, endpoint))
			continue;
		if (!out->owner || strcmp(p->name, out->owner) < 0)
			out->owner = p->name;
#define BPFAST_X(member, option, what, field)                                                      \
	if (s->http_said >> BF_CROWD_##member & 1)                                                 \
		stricter(&out->limits.member, s->http_limits.member,                               \
			 !(out->said >> BF_CROWD_##member & 1),                                    \
			 BF_CROWD_##member == BF_CROWD_bytes_s ||                                  \
				 BF_CROWD_##member == BF_CROWD_block_s);
		BF_CROWD_LIMITS(BPFAST_X)
#undef BPFAST_X
		out->said |= s->http_said;
	}
	if (out->owner && !(out->said >> BF_CROWD_block_s & 1))
		out->limits.block_s = 0;
	return out->owner != NULL;
}
