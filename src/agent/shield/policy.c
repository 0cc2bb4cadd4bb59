// SPDX-License-Identifier: Apache-2.0
#include "agent/shield/policy.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/log.h"
#include "agent/shield/defence.h"
#include "agent/shield/http.h"
#include "agent/shield/status.h"
#include "policy/read.h"

/* --- what cannot be done --- */

static void fail(struct bf_agent *a, struct bf_shield_failure *old, size_t old_count, int ifindex,
		 const char *owner, const char *why)
{
	struct bf_shield_policies *p = &a->shield_policies;
	struct bf_shield_failure *v = realloc(p->failures, (p->failure_count + 1) * sizeof(*v));

	if (!v)
		return;
	p->failures = v;
	v += p->failure_count++;
	*v = (struct bf_shield_failure){.ifindex = ifindex, .fresh = true};
	snprintf(v->why, sizeof(v->why), "%s%s%s%.300s", owner ? "ShieldPolicy " : "",
		 owner ? owner : "", owner ? ": " : "", why);
	for (size_t i = 0; i < old_count; i++)
		if (old[i].ifindex == ifindex && !strcmp(old[i].why, v->why))
			v->fresh = false;
	if (v->fresh)
		bf_log_error("a shield policy is not in force as it stands", "why", v->why);
}

int bf_shield_policies_failed(const struct bf_agent *a, struct bf_error *err)
{
	const struct bf_shield_policies *p = &a->shield_policies;

	for (size_t i = 0; i < p->failure_count; i++)
		if (p->failures[i].fresh)
			return bf_err(err, -EIO, "%s", p->failures[i].why);
	return 0;
}

/* What the look before this one could not do. */
struct look {
	struct bf_agent *a;
	struct bf_shield_failure *old;
	size_t old_count;
};

static void note(struct look *l, int ifindex, const char *owner, const char *why)
{
	fail(l->a, l->old, l->old_count, ifindex, owner, why);
}

/* --- limits --- */

static void set_limit(struct bf_agent *a, int class, int scope, uint32_t rate, uint32_t burst)
{
	struct bpfast_shield_limit *l = &bf_shield_control(a->shield)->limit[class][scope];

	if (l->rate != rate || (rate && l->burst != burst))
		bf_shield_set_limit(l, rate, burst);
}

static void renew_limits(struct bf_agent *a)
{
	struct bf_shield_policies *p = &a->shield_policies;
	bool noted = false;
	struct bf_error err;

	for (int c = 0; c < BPFAST_SC_COUNT; c++)
		for (int s = 0; s < BPFAST_SS_COUNT; s++) {
			const struct bpfast_shield_limit *l =
				&bf_shield_control(a->shield)->limit[c][s];

			if (!p->plan.limit[c][s].owner || p->before[c][s].said)
				continue;
			p->before[c][s].said = noted = true;
			p->before[c][s].rate = l->rate;
			p->before[c][s].burst = l->burst;
		}
	/* On disk before the policy's limit hides it. */
	if (noted && bf_state_save(a, &err))
		bf_log_error("state not saved", "why", err.msg);
	for (int c = 0; c < BPFAST_SC_COUNT; c++)
		for (int s = 0; s < BPFAST_SS_COUNT; s++) {
			if (p->plan.limit[c][s].owner) {
				set_limit(a, c, s, p->plan.limit[c][s].rate,
					  p->plan.limit[c][s].burst);
			} else if (p->before[c][s].said) {
				set_limit(a, c, s, p->before[c][s].rate, p->before[c][s].burst);
				p->before[c][s].said = false;
			}
		}
}

void bf_shield_policies_defaults(struct bf_agent *a)
{
	memset(a->shield_policies.before, 0, sizeof(a->shield_policies.before));
	renew_limits(a);
}

/* --- lists --- */

int bf_shield_policies_take(struct bf_agent *a, struct bf_shield_list *list)
{
	struct bf_shield_list *mine = &a->shield_policies.list;
	size_t kept = 0;
	int r = 0;

	bf_shield_list_free(mine);
	for (size_t i = 0; i < list->n && !r; i++) {
		if (list->v[i].policy)
			r = bf_shield_list_add(mine, &list->v[i]);
		else
			list->v[kept++] = list->v[i];
	}
	list->n = kept;
	return r;
}

int bf_shield_policies_join(const struct bf_agent *a, const struct bf_shield_list *list,
			    struct bf_shield_list *all)
{
	const struct bf_shield_list *mine = &a->shield_policies.list;
	int r = 0;

	for (size_t i = 0; i < mine->n && !r; i++)
		r = bf_shield_list_add(all, &mine->v[i]);
	for (size_t i = 0; mine->n && i < list->n && !r; i++)
		r = bf_shield_list_add(all, &list->v[i]);
	if (r)
		bf_shield_list_free(all);
	return r;
}

static int add_entries(struct bf_shield_list *list, const struct bf_shield_prefix *v, size_t n)
{
	int64_t now = (int64_t)time(NULL);
	int r = 0;

	for (size_t i = 0; i < n && !r; i++) {
		struct bpfast_shield_entry e = {.prefix = v[i].cidr.len,
						.until = BPFAST_SHIELD_FOREVER,
						.allow = v[i].allow,
						.policy = 1};
		int64_t left = v[i].until - now;

		memcpy(e.addr, v[i].cidr.addr, sizeof(e.addr));
		if (v[i].until && left <= 0)
			continue;
		/* A hundred years and more are forever. */
		if (v[i].until && left < 36500LL * 86400)
			e.until = bf_shield_now() +
				  (uint32_t)(((uint64_t)left * 1000000000u) >> 30) + 1;
		r = bf_shield_list_add(list, &e);
	}
	return r;
}

/* The clocks are read anew each time, so times differ by a little. */
static bool same(const struct bf_shield_list *x, const struct bf_shield_list *y)
{
	if (x->n != y->n)
		return false;
	for (size_t i = 0; i < x->n; i++) {
		const struct bpfast_shield_entry *e = &x->v[i], *f = &y->v[i];
		uint32_t apart = e->until > f->until ? e->until - f->until : f->until - e->until;

		if (memcmp(e->addr, f->addr, sizeof(e->addr)) || e->prefix != f->prefix ||
		    e->allow != f->allow || apart > 3)
			return false;
	}
	return true;
}

static void renew_lists(struct look *l)
{
	struct bf_shield_policies *p = &l->a->shield_policies;
	struct bf_shield_list *hand = &l->a->shield_lists[BPFAST_SI_ENTRIES];
	struct bf_shield_list new = {0}, old, copy = {0};
	struct bf_error err = {"no memory"};
	int r = add_entries(&new, p->plan.allow, p->plan.allow_count);

	if (!r)
		r = add_entries(&new, p->plan.block, p->plan.block_count);
	bf_shield_list_sort(&new);
	if (!r && new.n + hand->n > BF_SHIELD_ENTRIES_MAX) {
		snprintf(err.msg, sizeof(err.msg),
			 "policies and commands have %zu entries of lists together, and %u is the "
			 "most; those of policies stay as they were",
			 new.n + hand->n, BF_SHIELD_ENTRIES_MAX);
		bf_shield_list_free(&new);
		note(l, 0, NULL, err.msg);
		return;
	}
	for (size_t i = 0; !r && i < hand->n; i++)
		r = bf_shield_list_add(&copy, &hand->v[i]);
	if (r || same(&new, &p->list)) {
		bf_shield_list_free(&copy);
		bf_shield_list_free(&new);
		if (r)
			note(l, 0, NULL, "no memory for the lists of shield policies");
		return;
	}
	old = p->list;
	p->list = new;
	r = bf_agent_shield_install(l->a, BPFAST_SI_ENTRIES, &copy, &err);
	if (!r) {
		bf_shield_list_free(&old);
		return;
	}
	bf_shield_list_free(&p->list);
	p->list = old;
	note(l, 0, NULL, err.msg);
}

const char *bf_shield_policy_of_entry(const struct bf_agent *a, const struct bpfast_shield_entry *e)
{
	const struct bf_shield_plan *plan = &a->shield_policies.plan;
	const struct bf_shield_prefix *v = e->allow ? plan->allow : plan->block;
	size_t n = e->allow ? plan->allow_count : plan->block_count;

	for (size_t i = 0; i < n; i++)
		if (v[i].cidr.len == e->prefix && !memcmp(v[i].cidr.addr, e->addr, 16))
			return v[i].owner;
	return NULL;
}

/* --- devices --- */

bool bf_shield_policy_of(const struct bf_agent *a, int ifindex, const char *name,
			 struct bf_shield_choice *out)
{
	const struct bf_local *local = bf_endpoints_by_ifindex(&a->endpoints, ifindex);

	return bf_shield_choose(&a->shield_policies.objects, name, local ? &local->e : NULL, out);
}

static enum bf_shield_want want_of(const struct bf_shield_choice *c)
{
	if (c->pod)
		return BF_SHIELD_POD;
	switch (c->hook) {
	case BF_WISH_NATIVE:
		return BF_SHIELD_NATIVE;
	case BF_WISH_GENERIC:
		return BF_SHIELD_GENERIC;
	case BF_WISH_TC:
		return BF_SHIELD_TC;
	default:
		return BF_SHIELD_BEST;
	}
}

/* What a command attached may stay where it is, if the policy does not mind. */
static bool hook_is(const struct bf_shield_choice *c, const struct bpfast_shield_device *d)
{
	static const uint8_t hooks[] = {[BF_WISH_NATIVE] = BPFAST_SH_NATIVE,
					[BF_WISH_GENERIC] = BPFAST_SH_GENERIC,
					[BF_WISH_TC] = BPFAST_SH_TC};

	if (c->pod)
		return d->hook == BPFAST_SH_POD;
	if (c->hook == BF_WISH_AUTO)
		return d->hook != BPFAST_SH_POD || d->by != BPFAST_SHIELD_BY_POLICY;
	/* Where the program runs is the dispatcher's business. */
	if (d->hook == BPFAST_SH_SHARED)
		return c->hook != BF_WISH_TC;
	return d->hook == hooks[c->hook];
}

static void guard(struct look *l, const struct bf_link *link, const struct bf_shield_choice *c)
{
	struct bpfast_shield_device d;
	struct bf_agent *a = l->a;
	uint8_t by = BPFAST_SHIELD_BY_POLICY;
	struct bf_error err;
	uint32_t holder;
	char why[160];
	int r;

	if (bf_shield_device_of(a, link->ifindex, &d)) {
		bool alive = bf_shield_alive(a->shield, &d);

		by = d.by == BPFAST_SHIELD_BY_COMMAND ? (uint8_t)(BPFAST_SHIELD_BY_BOTH + d.mode)
						      : d.by;
		if (alive && d.by == by && d.mode == c->mode && hook_is(c, &d))
			return;
		/* Nobody else wants it as it is. */
		if (d.by == BPFAST_SHIELD_BY_POLICY && !hook_is(c, &d))
			bf_shield_detach(a->shield, link->ifindex, NULL);
	}
	r = bf_shield_attach_by(a->shield, by, link->ifindex, want_of(c), c->mode, why, sizeof(why),
				&holder, &err);
	if (r) {
		note(l, link->ifindex, c->owner, err.msg);
		return;
	}
	bf_shield_device_of(a, link->ifindex, &d);
	bf_log_info("shield attached by policy", "iface", link->name, "policy", c->owner, "hook",
		    bf_shield_hook_words[d.hook], "mode", bf_shield_modes[d.mode], "why", why);
}

/* No policy selects it any more. */
static void release(struct look *l, const struct bf_link *link,
		    const struct bpfast_shield_device *d)
{
	struct bf_error err;
	uint32_t holder;
	char why[160];
	int r;

	if (d->by == BPFAST_SHIELD_BY_POLICY) {
		r = bf_shield_detach(l->a->shield, link->ifindex, &err);
	} else {
		r = bf_shield_attach(l->a->shield, link->ifindex, BF_SHIELD_BEST,
				     d->by - BPFAST_SHIELD_BY_BOTH, why, sizeof(why), &holder,
				     &err);
	}
	if (r)
		note(l, link->ifindex, NULL, err.msg);
	else
		bf_log_info("no policy guards the device any more", "iface", link->name);
}

/* Nothing to guard and nothing to release: then nobody has to look at a thousand links. */
static bool concerned(const struct bf_agent *a)
{
	if (a->shield_policies.plan.any)
		return true;
	for (int i = 0; i < BPFAST_SHIELD_SLOTS; i++) {
		const struct bpfast_shield_device *d = &bf_shield_control(a->shield)->device[i];

		if (d->ifindex && d->by != BPFAST_SHIELD_BY_COMMAND)
			return true;
	}
	return false;
}

static void renew_devices(struct look *l)
{
	struct bpfast_shield_device d;
	struct bf_shield_choice c;
	struct bf_link *links;
	struct bf_error err;
	size_t n;

	if (!concerned(l->a))
		return;
	if (bf_links(-1, &links, &n, &err)) {
		note(l, 0, NULL, err.msg);
		return;
	}
	for (size_t i = 0; i < n; i++) {
		/* Who says "*" does not mean tunnels, which cannot be guarded; who names one is told so. */
		if (bf_shield_policy_of(l->a, links[i].ifindex, links[i].name, &c) &&
		    (links[i].ethernet || c.named))
			guard(l, &links[i], &c);
		else if (bf_shield_device_of(l->a, links[i].ifindex, &d) &&
			 d.by != BPFAST_SHIELD_BY_COMMAND)
			release(l, &links[i], &d);
	}
	free(links);
}

/* --- together --- */

int bf_shield_policies_check(const struct bf_objects *objects, struct bf_error *err)
{
	struct bf_shield_plan plan;
	int r = bf_shield_plan_make(objects, &plan, err);

	if (!r)
		bf_shield_plan_free(&plan);
	return r;
}

void bf_shield_policies_renew(struct bf_agent *a)
{
	struct bf_shield_policies *p = &a->shield_policies;
	struct look l = {a, p->failures, p->failure_count};
	struct bf_error err;

	/* Frozen: the objects are not known, and what they say is in force. */
	if (!p->started || *a->frozen || a->dir_never || (!a->shield && !p->plan.any))
		return;
	p->failures = NULL;
	p->failure_count = 0;
	bf_shield_http_renew(a);
	if (bf_agent_shield_open(a, &err)) {
		note(&l, 0, NULL, err.msg);
	} else {
		/* Lists and limits first: a device is guarded as the policy says from the first packet on. */
		renew_limits(a);
		renew_lists(&l);
		renew_devices(&l);
	}
	bf_defence_policies(a, true);
	free(l.old);
}

/* Policies of the kind alone, with the namespaces that selectors look at. */
static int copy_some(const struct bf_objects *from, struct bf_objects *to)
{
	struct bf_objects some = *from;
	size_t n = 0;
	int r;

	memset(to, 0, sizeof(*to));
	some.policies = calloc(from->policy_count + 1, sizeof(*some.policies));
	if (!some.policies)
		return -ENOMEM;
	for (size_t i = 0; i < from->policy_count; i++)
		if (from->policies[i].kind == BF_SHIELD_POLICY)
			some.policies[n++] = from->policies[i];
	some.policy_count = n;
	if (!n)
		some.namespace_count = 0;
	r = bf_objects_copy(to, &some);
	free(some.policies);
	return r;
}

void bf_shield_policies_set(struct bf_agent *a, const struct bf_objects *objects)
{
	struct bf_shield_policies *p = &a->shield_policies;
	struct bf_objects copy = {0};
	struct bf_shield_plan plan;
	struct bf_error err = {"no memory"};
	int r = copy_some(objects, &copy);

	if (!r)
		r = bf_shield_plan_make(&copy, &plan, &err);
	if (r) {
		bf_objects_free(&copy);
		fail(a, NULL, 0, 0, NULL, err.msg);
		return;
	}
	bf_shield_plan_free(&p->plan);
	bf_objects_free(&p->objects);
	p->objects = copy;
	p->plan = plan;
	/* It has borrowed from the objects that are gone. */
	bf_shield_http_renew(a);
	bf_shield_policies_renew(a);
}

void bf_shield_policies_start(struct bf_agent *a)
{
	a->shield_policies.started = true;
	bf_shield_policies_renew(a);
}

void bf_shield_policies_free(struct bf_agent *a)
{
	struct bf_shield_policies *p = &a->shield_policies;

	bf_shield_plan_free(&p->plan);
	bf_objects_free(&p->objects);
	bf_shield_list_free(&p->list);
	free(p->failures);
	memset(p, 0, sizeof(*p));
}
