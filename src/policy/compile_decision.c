// SPDX-License-Identifier: Apache-2.0
/*
 * What the rules that match one peer and port decide together. The order:
 *
 *  1. A deny rule matches: denied by that rule.
 *  2. No allow rule matches: denied if any object isolates the endpoint.
 *  3. No allow rule with HTTP matches: allowed.
 *  4. Else HTTP, with the union of what the objects with HTTP rules allow. A
 *     rule without HTTP counts only beside HTTP rules of its own object, which
 *     it widens to every request; where that is so for every such object, the
 *     connection is allowed without a look inside.
 *
 * Objects in mode audit change no verdict. The decision is reached twice, with
 * and without them; where the traffic would pass uninspected without them and
 * not with them, the image has the latter and says that it is only an audit.
 *
 * Where the world is to be judged as Cilium would, its rule about requests
 * comes between 2 and 3.
 */
#include "policy/compile_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One object's share in an inspection. */
struct share {
	uint32_t first, end; /* its rules in the list of those that match */
	bool widened; /* every request */
};

struct outcome {
	uint8_t verdict;
	uint8_t on_deny;
	struct bf_buf refs; /* text */
	struct share *shares; /* where verdict is BPFAST_D_HTTP, of objects with HTTP rules */
	size_t share_count;
};

static void outcome_free(struct outcome *o)
{
	bf_buf_free(&o->refs);
	free(o->shares);
}

static void stricter(struct outcome *o, const struct bf_policy *policy)
{
	/* The enumeration is in order of strictness: reply, reset, drop. */
	if (policy->on_deny > o->on_deny)
		o->on_deny = policy->on_deny;
}

/* Rule 1. Leaves BPFAST_D_DENY_RULE, or nothing done. */
static int judge_denies(struct bf_compiler *c, const uint32_t *rules, size_t n, struct outcome *o)
{
	uint32_t *denies = calloc(n + 1, sizeof(*denies));
	size_t count = 0;

	if (!denies)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		if (!c->rules[rules[i]].rule->deny)
			continue;
		denies[count++] = rules[i];
		stricter(o, c->rules[rules[i]].policy);
	}
	if (count) {
		o->verdict = BPFAST_D_DENY_RULE;
		bf_text_rules(c, &o->refs, denies, count);
	}
	free(denies);
	return o->refs.error;
}

/* Rule 2, where no rule matches. */
static int judge_default(struct bf_compiler *c, const struct bf_direction *dir, bool audit,
			 struct outcome *o)
{
	const struct bf_policy *policies = c->world->objects->policies;

	o->verdict = BPFAST_D_ALLOW;
	if (!(audit ? dir->isolated_audit : dir->isolated))
		return 0;
	o->verdict = BPFAST_D_DENY;
	for (size_t i = 0; i < dir->policy_count; i++) {
		const struct bf_policy *policy = &policies[dir->policies[i]];

		if ((policy->audit && !audit) ||
		    !(dir->egress ? policy->isolates_egress : policy->isolates_ingress))
			continue;
		stricter(o, policy);
		bf_text_line(&o->refs, policy, NULL, -1);
	}
	return o->refs.error;
}

static int allow_plainly(struct bf_compiler *c, const uint32_t *rules, size_t n, struct outcome *o)
{
	uint32_t *plain = calloc(n, sizeof(*plain));
	size_t count = 0;

	if (!plain)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!c->rules[rules[i]].rule->http)
			plain[count++] = rules[i];
	o->verdict = BPFAST_D_ALLOW;
	bf_text_rules(c, &o->refs, plain, count);
	free(plain);
	return o->refs.error;
}

/*
 * In Cilium a rule without HTTP rules lets every request pass, whatever other
 * rules say, and an empty list of them is none. Objects that Cilium does not
 * read cancel nothing there.
 */
static bool cancels_http(const struct bf_crule *r)
{
	return (bf_kind_is_cilium(r->policy->kind) || r->policy->kind == BF_NETWORK_POLICY) &&
	       !r->rule->http_rule_count;
}

/* Leaves BPFAST_D_ALLOW by the rules that cancel, or nothing done. */
static int judge_as_cilium(struct bf_compiler *c, const uint32_t *rules, size_t n,
			   struct outcome *o)
{
	uint32_t *cancelling = calloc(n, sizeof(*cancelling));
	bool takes_part = false;
	size_t count = 0;

	if (!cancelling)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++) {
		takes_part |= bf_kind_is_cilium(c->rules[rules[i]].policy->kind);
		if (cancels_http(&c->rules[rules[i]]))
			cancelling[count++] = rules[i];
	}
	if (takes_part && count) {
		o->verdict = BPFAST_D_ALLOW;
		bf_text_rules(c, &o->refs, cancelling, count);
	}
	free(cancelling);
	return o->refs.error;
}

/* Rules 3 and 4, where at least one rule matches and none denies. */
static int judge_allows(struct bf_compiler *c, const uint32_t *rules, size_t n, struct outcome *o)
{
	bool inspected = false;

	o->shares = calloc(n, sizeof(*o->shares));
	if (!o->shares)
		return -ENOMEM;
	for (size_t i = 0, end; i < n; i = end) {
		const struct bf_policy *policy = c->rules[rules[i]].policy;
		bool http = false, plain = false;

		for (end = i; end < n && c->rules[rules[end]].policy == policy; end++) {
			http |= c->rules[rules[end]].rule->http;
			plain |= !c->rules[rules[end]].rule->http;
		}
		if (!http)
			continue;
		o->shares[o->share_count++] = (struct share){(uint32_t)i, (uint32_t)end, plain};
		inspected |= !plain;
	}
	if (!inspected)
		return allow_plainly(c, rules, n, o);
	o->verdict = BPFAST_D_HTTP;
	for (size_t s = 0; s < o->share_count; s++)
		stricter(o, c->rules[rules[o->shares[s].first]].policy);
	return 0;
}

static int judge(struct bf_compiler *c, const struct bf_direction *dir, const uint32_t *rules,
		 size_t n, bool audit, struct outcome *o)
{
	int ret = judge_denies(c, rules, n, o);

	if (ret || o->verdict == BPFAST_D_DENY_RULE)
		return ret;
	if (!n)
		return judge_default(c, dir, audit, o);
	if (c->world->as_cilium & BF_CILIUM_CANCELS)
		ret = judge_as_cilium(c, rules, n, o);
	return ret || o->verdict == BPFAST_D_ALLOW ? ret : judge_allows(c, rules, n, o);
}

/* --- rulesets ------------------------------------------------------------------ */

/* The HTTP rules of an inspection, and where each came from. */
struct gathered {
	struct bf_http_rule *v;
	uint32_t *from; /* rule number */
	size_t n, cap, from_cap;
};

static int gather_one(struct bf_compiler *c, struct gathered *g, uint32_t rule, long http)
{
	const struct bf_crule *r = &c->rules[rule];
	struct bf_http_rule any = {0};
	struct bf_buf text = {0};
	int ret = bf_grow(&g->v, &g->cap, g->n, sizeof(*g->v));

	ret = ret ?: bf_grow(&g->from, &g->from_cap, g->n, sizeof(*g->from));
	if (ret)
		return ret;
	bf_text_line(&text, r->policy, r->rule, http);
	g->v[g->n] = http < 0 ? any : r->rule->http_rules[http];
	g->from[g->n] = rule;
	return bf_text_ref(c, &text, &g->v[g->n++].ref);
}

static int gather(struct bf_compiler *c, const uint32_t *rules, const struct outcome *o,
		  struct gathered *g)
{
	int ret = 0;

	for (size_t s = 0; s < o->share_count; s++)
		for (uint32_t i = o->shares[s].first; !ret && i < o->shares[s].end; i++) {
			const struct bf_rule *rule = c->rules[rules[i]].rule;

			if (o->shares[s].widened) {
				/* Its rules without HTTP say it all. */
				if (!rule->http)
					ret = gather_one(c, g, rules[i], -1);
				continue;
			}
			for (size_t h = 0; !ret && h < rule->http_rule_count; h++)
				ret = gather_one(c, g, rules[i], (long)h);
		}
	return ret;
}

static size_t make_reply(struct bf_compiler *c, const uint32_t *rules, const struct outcome *o,
			 char out[BPFAST_REPLY_MAX])
{
	const struct bf_policy **policies = calloc(o->share_count, sizeof(*policies));
	size_t len;

	if (!policies)
		return 0;
	for (size_t s = 0; s < o->share_count; s++)
		policies[s] = c->rules[rules[o->shares[s].first]].policy;
	len = bf_text_reply(policies, o->share_count, out);
	free(policies);
	return len;
}

static int emit_ruleset(struct bf_compiler *c, const uint32_t *rules, const struct outcome *o,
			const struct gathered *g, struct bpfast_image_ruleset *ruleset)
{
	char reply[BPFAST_REPLY_MAX];
	const struct bf_crule *blamed = &c->rules[rules[o->shares[0].first]];
	struct bf_error err = {0};
	size_t len = make_reply(c, rules, o, reply), bad = SIZE_MAX;
	int ret;

	if (!len)
		return -ENOMEM;
	if (g->n > BPFAST_RULES_MAX)
		return bf_rule_err(c, -E2BIG, blamed->policy, blamed->rule,
				   "%zu HTTP rules meet on one peer and port, more than %d", g->n,
				   BPFAST_RULES_MAX);
	ret = bf_ruleset_emit(&c->blob, g->v, g->n, reply, len, &c->work, ruleset, &bad, &err);
	if (!ret || ret == -ENOMEM)
		return ret;
	if (bad < g->n) {
		const struct bf_http_rule *first = c->rules[g->from[bad]].rule->http_rules;
		size_t http = 0;

		blamed = &c->rules[g->from[bad]];
		/* Rules of one place stand together, in order. */
		while (bad > http && g->from[bad - http - 1] == g->from[bad])
			http++;
		if (first)
			return bf_rule_err(c, ret, blamed->policy, blamed->rule,
					   "rules.http[%zu]: %s", http, err.msg);
	}
	return bf_rule_err(c, ret, blamed->policy, blamed->rule, "%s", err.msg);
}

static void key_of_shares(const uint32_t *rules, const struct outcome *o, struct bf_buf *key,
			  const struct bf_compiler *c)
{
	for (size_t s = 0; s < o->share_count; s++)
		for (uint32_t i = o->shares[s].first; i < o->shares[s].end; i++)
			if (c->rules[rules[i]].rule->http != o->shares[s].widened) {
				bf_buf_u32(key, rules[i]);
				bf_buf_u32(key, o->shares[s].widened);
			}
}

static int share_refs(struct bf_compiler *c, const uint32_t *rules, const struct outcome *o,
		      uint32_t *ref)
{
	struct bf_buf text = {0};

	for (size_t s = 0; s < o->share_count; s++) {
		size_t first = o->shares[s].first, count = 0;
		uint32_t *asked = calloc(o->shares[s].end - first, sizeof(*asked));

		if (!asked) {
			bf_buf_free(&text);
			return -ENOMEM;
		}
		for (uint32_t i = o->shares[s].first; i < o->shares[s].end; i++)
			if (c->rules[rules[i]].rule->http != o->shares[s].widened)
				asked[count++] = rules[i];
		bf_text_rules(c, &text, asked, count);
		free(asked);
	}
	return bf_text_ref(c, &text, ref);
}

/* The ruleset of an inspection; the same rules share one. */
static int ruleset_of(struct bf_compiler *c, const uint32_t *rules, const struct outcome *o,
		      uint32_t *index)
{
	struct bpfast_image_ruleset ruleset = {0};
	struct gathered g = {0};
	struct bf_buf key = {0};
	int ret;

	key_of_shares(rules, o, &key, c);
	ret = bf_intern_buf(&c->ruleset_keys, &key, index);
	bf_buf_free(&key);
	if (ret <= 0)
		return ret;
	ret = bf_grow(&c->rulesets, &c->ruleset_cap, *index, sizeof(*c->rulesets));
	ret = ret ?: gather(c, rules, o, &g);
	ret = ret ?: emit_ruleset(c, rules, o, &g, &ruleset);
	ret = ret ?: share_refs(c, rules, o, &ruleset.ref);
	if (!ret)
		c->rulesets[*index] = ruleset;
	free(g.v);
	free(g.from);
	return ret;
}

/* --- the decision -------------------------------------------------------------- */

static int intern_outcome(struct bf_compiler *c, const uint32_t *rules, struct outcome *o,
			  bool audit, uint32_t *decision)
{
	struct bpfast_image_decision d = {
		.verdict = o->verdict,
		.flags = audit ? BPFAST_DF_AUDIT : 0,
		.on_deny = o->verdict == BPFAST_D_ALLOW ? 0 : o->on_deny,
	};
	int ret;

	if (o->verdict == BPFAST_D_HTTP) {
		ret = ruleset_of(c, rules, o, &d.ruleset);
		if (!ret)
			d.ref = c->rulesets[d.ruleset].ref;
	} else {
		ret = bf_text_ref(c, &o->refs, &d.ref);
	}
	ret = ret ?: bf_intern(&c->decisions, &d, sizeof(d), decision);
	return ret < 0 ? ret : 0;
}

int bf_compile_decision(struct bf_compiler *c, const struct bf_direction *dir,
			const uint32_t *rules, size_t n, uint32_t *decision)
{
	struct outcome enforced = {0}, audited = {0};
	uint32_t *enforcing = calloc(n + 1, sizeof(*enforcing));
	size_t count = 0;
	bool audit;
	int ret;

	if (!enforcing)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		if (!c->rules[rules[i]].policy->audit)
			enforcing[count++] = rules[i];
	ret = judge(c, dir, enforcing, count, false, &enforced);
	if (!ret && dir->any_audit)
		ret = judge(c, dir, rules, n, true, &audited);
	audit = !ret && dir->any_audit && enforced.verdict == BPFAST_D_ALLOW &&
		audited.verdict != BPFAST_D_ALLOW;
	if (!ret)
		ret = audit ? intern_outcome(c, rules, &audited, true, decision)
			    : intern_outcome(c, enforcing, &enforced, false, decision);
	outcome_free(&enforced);
	outcome_free(&audited);
	free(enforcing);
	return ret;
}
