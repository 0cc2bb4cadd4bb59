// SPDX-License-Identifier: Apache-2.0
/* What ShieldPolicies say of the sensitivity of each destination. */
#include <string.h>

#include "agent/agent.h"
#include "agent/shield/defence.h"

/* The higher one goes before. */
static void take(const struct bf_shield_choice *c, const char **by, uint8_t *sensitivity)
{
	if (!c->sensitivity_by || (*by && c->sensitivity <= *sensitivity))
		return;
	*by = c->sensitivity_by;
	*sensitivity = c->sensitivity;
}

const char *bf_defence_policy(const struct bf_agent *a, const uint8_t addr[16], uint32_t number,
			      uint8_t *sensitivity)
{
	const struct bf_local *pod = bf_endpoints_by_address(&a->endpoints, addr);
	const struct bpfast_shield_control *control;
	struct bf_shield_choice c;
	const char *by = NULL;
	struct bf_link link;

	*sensitivity = BF_SENS_DEFAULT;
	if (!a->shield || !a->defence || !a->shield_policies.plan.any)
		return NULL;
	control = bf_shield_control(a->shield);
	if (pod && bf_shield_policy_of(a, pod->ifindex, pod->iface, &c))
		take(&c, &by, sensitivity);
	/* What is said of the pod itself goes before what is said of the way to it. */
	if (by || number >= BPFAST_DESTS)
		return by;
	for (unsigned int i = 0; i < BPFAST_SHIELD_SLOTS; i++) {
		int ifindex = (int)control->device[i].ifindex;

		if (a->defence->slots[number][i / 64] >> (i % 64) & 1 && ifindex &&
		    !bf_link_by_index(ifindex, &link) &&
		    bf_shield_policy_of(a, ifindex, link.name, &c))
			take(&c, &by, sensitivity);
	}
	return by;
}

void bf_defence_policies(const struct bf_agent *a, bool all)
{
	struct bf_defence *d = a->defence;

	if (!d)
		return;
	for (uint32_t i = BPFAST_DEST_FIRST; i < BPFAST_DESTS; i++) {
		if (!d->maps.dest[i].ready || (!all && d->policy_known[i]))
			continue;
		bf_defence_policy(a, d->maps.dest[i].addr, i, &d->policy_sens[i]);
		d->policy_known[i] = true;
	}
}
