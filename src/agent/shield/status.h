/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_SHIELD_STATUS_H
#define BF_AGENT_SHIELD_STATUS_H
/* What shield says of itself. */
#include "agent/agent.h"

extern const char *const bf_shield_modes[BPFAST_SM_COUNT];
extern const char *const bf_shield_hook_words[BPFAST_SH_COUNT];
extern const char *const bf_shield_classes[BPFAST_SC_COUNT];
extern const char *const bf_shield_scopes[BPFAST_SS_COUNT];

/* The slot of a guarded device; false: it is not guarded. */
bool bf_shield_device_of(const struct bf_agent *a, int ifindex, struct bpfast_shield_device *out);
/* Of a device in a dispatcher: what is wrong there and what to do, into buf; false: nothing. */
bool bf_shield_shared_note(const struct bf_agent *a, int ifindex, const char *name, char *buf,
			   size_t size);
json_t *bf_shield_limits_json(const struct bf_agent *a);
json_t *bf_shield_status_json(struct bf_agent *a);

/* cmd_shield_cookies.c */
struct bf_client;
json_t *bf_shield_cookies_json(struct bf_agent *a);
int bf_shield_cookies_command(struct bf_agent *a, struct bf_client *client, const json_t *args,
			      json_t **result, struct bf_error *err);

#endif
