/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_SHIELD_PLAN_H
#define BF_POLICY_SHIELD_PLAN_H
/*
 * What all ShieldPolicy objects say together. Pure. Limits and lists are those of the node: they
 * hold on all guarded devices. How a device is guarded, bf_shield_choose() says for each.
 */
#include "base/error.h"
#include "bpfast/shield.h"
#include "policy/shield_spec.h"

struct bf_shield_plan {
	bool any; /* there is a policy */
	struct {
		const char *owner; /* NULL: no policy sets this one */
		uint32_t rate, burst;
	} limit[BPFAST_SC_COUNT][BPFAST_SS_COUNT];
	struct bf_shield_prefix *allow, *block; /* sorted; each prefix once, with its latest time */
	size_t allow_count, block_count;
};

/*
 * Borrows names from objects. -EINVAL: two policies contradict each other; the sentence names both.
 * *out is empty then.
 */
int bf_shield_plan_make(const struct bf_objects *objects, struct bf_shield_plan *out,
			struct bf_error *err);
void bf_shield_plan_free(struct bf_shield_plan *plan);

struct bf_shield_choice {
	const char *owner; /* the policy that says the mode */
	uint8_t mode; /* enum bpfast_shield_mode */
	uint8_t hook; /* enum bf_shield_hook_wish */
	uint8_t sensitivity; /* enum bf_sensitivity */
	const char *sensitivity_by; /* the policy that says it; NULL: none does, the node's holds */
	bool pod; /* by endpointSelector: at the pod's hook */
	bool named; /* by its own name, and not by a pattern */
};

/*
 * Who guards a device, and how. endpoint: who is behind it, or NULL. False: no policy selects it.
 *
 * A policy that names the device is asked before those with a pattern or selector. Of several
 * that are equal in that, the strictest mode holds, the highest sensitivity that is said, and the first hook
 * by name that is not auto. A pattern does not select devices with endpoints behind them.
 */
bool bf_shield_choose(const struct bf_objects *objects, const char *device,
		      const struct bf_endpoint *endpoint, struct bf_shield_choice *out);

struct bf_shield_http_choice {
	const char *owner; /* the first by name of the policies that say something */
	struct bf_crowd_limits limits; /* whole: what none says is as it was given */
	uint32_t said; /* bits of enum bf_crowd_limit */
};

/*
 * What clients may ask of a pod. *out->limits: the node's, on entry. Of several policies that select
 * it the strictest value holds for each limit, whichever says it. Nobody is blocked (block_s is 0)
 * unless one of them says so: a pause does less. False: no policy says anything.
 */
bool bf_shield_choose_http(const struct bf_objects *objects, const struct bf_endpoint *endpoint,
			   struct bf_shield_http_choice *out);

#endif
