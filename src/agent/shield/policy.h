/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_SHIELD_POLICY_H
#define BF_AGENT_SHIELD_POLICY_H
/*
 * ShieldPolicy objects into force: limits, lists, and which devices are guarded. What commands
 * set is kept apart: it comes back when the policies say nothing of it any more.
 */
#include <jansson.h>

#include "base/error.h"
#include "policy/shield_plan.h"
#include "shield/lists.h"

struct bf_agent;

struct bf_shield_failure {
	int ifindex; /* 0: a limit or a list */
	bool fresh; /* it was not there when this was looked at the last time */
	char why[400];
};

struct bf_shield_policies {
	bool started; /* not before it is known what an earlier agent left */
	struct bf_objects objects; /* the ShieldPolicies in force, and namespaces */
	struct bf_shield_plan plan; /* of these */
	struct bf_shield_list list; /* of the plan, with the kernel's times */
	/* What limits were before a policy set them. */
	struct {
		bool said;
		uint32_t rate, burst;
	} before[BPFAST_SC_COUNT][BPFAST_SS_COUNT];
	struct bf_shield_failure *failures;
	size_t failure_count;
};

/* Do the ShieldPolicies among these fit each other? -EINVAL with a sentence that names two. */
int bf_shield_policies_check(const struct bf_objects *objects, struct bf_error *err);
/*
 * These hold from now on. What cannot be done is remembered, logged and tried again; what is new of
 * it bf_shield_policies_failed() tells.
 */
void bf_shield_policies_set(struct bf_agent *a, const struct bf_objects *objects);
/* The same objects; devices and endpoints may have changed, and time has passed. */
void bf_shield_policies_renew(struct bf_agent *a);
/* 0, or -errno with the first thing that the last look could not do and the one before could. */
int bf_shield_policies_failed(const struct bf_agent *a, struct bf_error *err);
/* What was adopted is known. */
void bf_shield_policies_start(struct bf_agent *a);
void bf_shield_policies_free(struct bf_agent *a);

/* How a device is guarded by policy; false: by none. For the detector: .sensitivity. */
bool bf_shield_policy_of(const struct bf_agent *a, int ifindex, const char *name,
			 struct bf_shield_choice *out);
/* The policy that an entry of a list comes from, or NULL. */
const char *bf_shield_policy_of_entry(const struct bf_agent *a,
				      const struct bpfast_shield_entry *entry);

/* The first limits are there again: those of policies hold over them. */
void bf_shield_policies_defaults(struct bf_agent *a);

/* Takes the entries of policies out of what an earlier agent left. */
int bf_shield_policies_take(struct bf_agent *a, struct bf_shield_list *list);
/* Both lists together; *all stays empty where policies have none. */
int bf_shield_policies_join(const struct bf_agent *a, const struct bf_shield_list *list,
			    struct bf_shield_list *all);

/* [{name, mode, sensitivity, limits, prefixes, devices, waits_for}] for shield status. */
json_t *bf_shield_policies_json(const struct bf_agent *a);
/* The limits of commands under those of policies, for the state file, both ways. */
json_t *bf_shield_policies_state(const struct bf_agent *a);
void bf_shield_policies_load(struct bf_agent *a, const json_t *state);

#endif
