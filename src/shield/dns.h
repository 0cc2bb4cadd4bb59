/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_DNS_H
#define BF_SHIELD_DNS_H
/*
 * Random-subdomain attacks ("water torture"): queries for names that nobody
 * has, each another, below one name, so that no cache helps. Seen in sampled
 * queries: below one suffix nearly every first label is new.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BF_DNS_SUFFIXES 64 /* followed at once; Space-Saving pushes out the rarest */
#define BF_DNS_TEXT (4 * 64 + 8) /* of a name, however many of its bytes are no letters */
#define BF_DNS_NAME 64 /* bytes of a suffix, as in a packet */

/* Queries below this name. */
struct bf_dns_rule {
	uint8_t name
		[BF_DNS_NAME]; /* as in a packet: length, label, ..., without the closing 0; lower case */
	uint8_t bytes; /* of name; 0: no rule */
	double share; /* of the sampled queries */
	double unique; /* first labels that were not seen before, of those below it */
	double entropy; /* of the first labels' letters, bits, mean */
	uint32_t id; /* of the rule; 0: none was made */
	uint8_t audit; /* 1: it only counts: too few honest queries were seen */
	uint8_t strangers; /* 1: known sources are let through */
	uint8_t honest; /* names below it that are let through */
	uint64_t packets; /* that met it, as it was told */
};

struct bf_dns_suffix {
	uint8_t name[BF_DNS_NAME];
	uint8_t bytes;
	uint8_t labels;
	uint32_t count, error;
	uint32_t seen; /* queries since it is followed */
	uint32_t fresh; /* of them with a first label not seen before */
	double entropy; /* sum */
	uint64_t bloom[16]; /* first labels */
};

struct bf_dns {
	uint32_t queries;
	uint32_t used;
	struct bf_dns_suffix suffix[BF_DNS_SUFFIXES];
};

/* The name that a query asks for, in lower case, as in a packet but for the closing 0. Returns its bytes; 0: it
 * cannot be read. */
unsigned bf_dns_name(const uint8_t *payload, size_t len, uint8_t out[BF_DNS_NAME]);

/* payload: of a UDP packet to port 53, perhaps cut. Returns false if it is no query that can be read. */
bool bf_dns_add(struct bf_dns *d, const uint8_t *payload, size_t len);

/* The longest suffix below which the attack goes; false: there is none. */
bool bf_dns_find(const struct bf_dns *d, struct bf_dns_rule *out);

/* "example.com", with \DDD for what is no letter, digit, hyphen or underscore. Returns out. */
char *bf_dns_text(const struct bf_dns_rule *r, char *out, size_t size);

/* Would this query fall under the rule? For the kernel's tests, and ours. */
bool bf_dns_below(const struct bf_dns_rule *r, const uint8_t *payload, size_t len);

#endif
