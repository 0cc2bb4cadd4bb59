/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_SHIELD_SPEC_H
#define BF_POLICY_SHIELD_SPEC_H
/* What a ShieldPolicy says beside what every policy has. It allows and denies no connection, so the compiler has none of it. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/sensitivity.h"
#include "bpfast/crowd.h"
#include "policy/model.h"

enum bf_shield_hook_wish { BF_WISH_AUTO, BF_WISH_NATIVE, BF_WISH_GENERIC, BF_WISH_TC };

/* One entry of a list. */
struct bf_shield_prefix {
	struct bf_cidr cidr;
	int64_t until; /* seconds since 1970, UTC; 0: forever */
	bool allow;
	const char *owner; /* in a plan: the policy's name. Borrowed. NULL in a spec */
};

struct bf_shield_rate {
	uint8_t class; /* enum bpfast_shield_class */
	uint8_t scope; /* enum bpfast_shield_scope */
	uint32_t rate, burst; /* rate 0: no limit */
};

struct bf_shield_spec {
	char **devices; /* names and globs of interfaces */
	size_t device_count;
	bool endpoints; /* selector is said */
	struct bf_selector selector;
	uint8_t mode; /* enum bpfast_shield_mode */
	uint8_t hook; /* enum bf_shield_hook_wish */
	uint8_t sensitivity; /* enum bf_sensitivity */
	bool sensitivity_said; /* else the node's holds */
	bool http; /* limits of connections and requests are said: these */
	uint32_t http_said; /* bits of enum bf_crowd_limit */
	struct bf_crowd_limits http_limits;
	struct bf_shield_rate *rates; /* no class and scope twice */
	size_t rate_count;
	struct bf_shield_prefix *prefixes; /* allow first, in the order of the object */
	size_t prefix_count;
};

void bf_shield_spec_free(struct bf_shield_spec *spec); /* itself too; NULL is fine */
/* NULL without memory. */
struct bf_shield_spec *bf_shield_spec_copy(const struct bf_shield_spec *from);

/* "10.0.0.0/8"; size: at least 50. */
const char *bf_shield_prefix_text(const struct bf_cidr *cidr, char *buf, size_t size);

/* By address, then length, then time: of what is said of one prefix the latest time comes last. */
void bf_shield_prefixes_sort(struct bf_shield_prefix *v, size_t n);
/*
 * The entry because of which blocking does nothing, or NULL: one that holds all of it, at least as
 * long. Allow always wins. A narrow allow within a wide block is an exception, and no mistake.
 * allows: sorted.
 */
const struct bf_shield_prefix *bf_shield_prefix_holder(const struct bf_shield_prefix *allows,
						       size_t n,
						       const struct bf_shield_prefix *block);

/* Does it guard this endpoint? p: of kind BF_SHIELD_POLICY. */
bool bf_shield_selects(const struct bf_objects *objects, const struct bf_policy *p,
		       const struct bf_endpoint *endpoint);

#endif
