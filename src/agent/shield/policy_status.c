// SPDX-License-Identifier: Apache-2.0
/* What ShieldPolicies do, for people, and what has to outlive the agent. */
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/shield/attacks.h"
#include "agent/shield/policy.h"
#include "agent/shield/status.h"

/* Devices that are named, and not there yet. */
static json_t *missing(const struct bf_shield_spec *s)
{
	json_t *array = json_array();
	struct bf_link link;
	struct bf_error err;

	for (size_t i = 0; i < s->device_count; i++)
		if (!strpbrk(s->devices[i], "*?[") && bf_link_by_name(s->devices[i], &link, &err))
			json_array_append_new(array, json_string(s->devices[i]));
	return array;
}

static json_t *guarded(const struct bf_agent *a, const char *name)
{
	json_t *array = json_array();
	struct bf_shield_choice c;
	struct bf_link link;

	for (int i = 0; a->shield && i < BPFAST_SHIELD_SLOTS; i++) {
		const struct bpfast_shield_device *d = &bf_shield_control(a->shield)->device[i];

		if (d->ifindex && d->by != BPFAST_SHIELD_BY_COMMAND &&
		    !bf_link_by_index((int)d->ifindex, &link) &&
		    bf_shield_policy_of(a, link.ifindex, link.name, &c) && !strcmp(c.owner, name))
			json_array_append_new(array, json_string(link.name));
	}
	return array;
}

json_t *bf_shield_policies_json(const struct bf_agent *a)
{
	const struct bf_shield_policies *p = &a->shield_policies;
	json_t *array = json_array();

	for (size_t i = 0; i < p->objects.policy_count; i++) {
		const struct bf_policy *policy = &p->objects.policies[i];
		const struct bf_shield_spec *s = policy->shield;

		json_t *http = json_object();

#define BPFAST_X(member, option, what, field)                                                      \
	if (s->http_said >> BF_CROWD_##member & 1)                                                 \
		json_object_set_new(http, field, json_integer(s->http_limits.member));
		BF_CROWD_LIMITS(BPFAST_X)
#undef BPFAST_X
		json_array_append_new(
			array,
			json_pack("{s:s, s:s, s:s, s:I, s:I, s:o, s:o, s:o}", "name", policy->name,
				  "mode", bf_shield_modes[s->mode], "sensitivity",
				  s->sensitivity_said ? bf_sensitivity_word(s->sensitivity)
						      : bf_defence_node_word(a),
				  "limits", (json_int_t)s->rate_count, "prefixes",
				  (json_int_t)s->prefix_count, "devices", guarded(a, policy->name),
				  "waits_for", missing(s), "http", http));
	}
	return array;
}

json_t *bf_shield_policies_state(const struct bf_agent *a)
{
	json_t *array = json_array();

	for (int c = 0; c < BPFAST_SC_COUNT; c++)
		for (int s = 0; s < BPFAST_SS_COUNT; s++)
			if (a->shield_policies.before[c][s].said)
				json_array_append_new(
					array,
					json_pack(
						"{s:s, s:s, s:I, s:I}", "class",
						bf_shield_classes[c], "scope", bf_shield_scopes[s],
						"rate",
						(json_int_t)a->shield_policies.before[c][s].rate,
						"burst",
						(json_int_t)a->shield_policies.before[c][s].burst));
	return array;
}

static int word_of(const char *const *words, int count, const json_t *o, const char *key)
{
	const char *word = json_string_value(json_object_get(o, key));

	for (int i = 0; word && i < count; i++)
		if (!strcmp(words[i], word))
			return i;
	return -1;
}

void bf_shield_policies_load(struct bf_agent *a, const json_t *state)
{
	json_t *o;
	size_t i;

	json_array_foreach (state, i, o) {
		int c = word_of(bf_shield_classes, BPFAST_SC_COUNT, o, "class");
		int s = word_of(bf_shield_scopes, BPFAST_SS_COUNT, o, "scope");

		if (c < 0 || s < 0)
			continue;
		a->shield_policies.before[c][s].said = true;
		a->shield_policies.before[c][s].rate =
			(uint32_t)json_integer_value(json_object_get(o, "rate"));
		a->shield_policies.before[c][s].burst =
			(uint32_t)json_integer_value(json_object_get(o, "burst"));
	}
}
