/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_DNS_NAMES_H
#define BF_SHIELD_DNS_NAMES_H
/*
 * Names that a destination is asked for while nothing is wrong. What is among them when
 * random names are being asked for is let through. Of a fixed size; who comes twice stays,
 * who came once and long ago goes.
 */
#include "bpfast/shield_dns.h"
#include "shield/dns.h"

#define BF_NAMES 192

struct bf_name {
	uint8_t wire[BF_DNS_NAME]; /* lower case, without the closing 0 */
	uint8_t bytes;
	uint32_t count; /* of samples */
	uint64_t first_ns, last_ns;
};

struct bf_names {
	uint32_t n;
	uint64_t queries; /* ever read */
	uint64_t since_ns; /* when the first was */
	struct bf_name name[BF_NAMES];
};

/* payload as bf_dns_add() takes it. Returns false if it is no query that can be read. */
bool bf_names_add(struct bf_names *d, const uint8_t *payload, size_t len, uint64_t now_ns);

/*
 * The kernel's rule: r's name, and what of d is below it and was there before before_ns. names may be NULL. Of
 * out neither id nor destination nor audit are set. r gets how many names are let through, and whether known sources are:
 * they are where so many names below it were each asked for but once that the set cannot hold what is honest.
 */
void bf_names_rule(const struct bf_names *d, uint64_t before_ns, uint64_t seed,
		   struct bf_dns_rule *r, struct bpfast_dns_rule *out);

#endif
