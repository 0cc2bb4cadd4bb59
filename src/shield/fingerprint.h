/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_SHIELD_FINGERPRINT_H
#define BF_SHIELD_FINGERPRINT_H
/*
 * From sampled packets to a rule that tells a flood from honest traffic, and
 * rules as text: `udp dport 53 len 512 ttl 240-250 payload 0xdeadbeef`.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "bpfast/fingerprint.h"

/* How good a rule was on the samples that it was made from. */
struct bf_fingerprint_score {
	double attack; /* share of the attack's samples that bear it */
	double honest; /* share of the honest samples */
	unsigned fields; /* that it compares */
};

/* Matches every packet; id is 1. */
void bf_fingerprint_any(struct bpfast_fingerprint *f);

/*
 * attack[]: sampled while it goes on, honest packets among them; honest[]:
 * sampled before. Finds up to max rules which bear few of honest[] (at most one
 * of a hundred). 0: there is none. The same samples give the same rules.
 */
size_t bf_fingerprint_find(const struct bpfast_fp_packet *attack, size_t attacks,
			   const struct bpfast_fp_packet *honest, size_t honests,
			   struct bpfast_fingerprint *out, struct bf_fingerprint_score *score,
			   size_t max);

#define BF_FINGERPRINT_TEXT 384

/* Returns out. Destination and id are no part of the text. */
char *bf_fingerprint_text(const struct bpfast_fingerprint *f, char *out, size_t size);

/* The same text back. -EINVAL with a sentence. */
int bf_fingerprint_parse(const char *text, struct bpfast_fingerprint *out, struct bf_error *err);

#endif
