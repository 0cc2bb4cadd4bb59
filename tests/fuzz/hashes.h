/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_FUZZ_HASHES_H
#define BF_FUZZ_HASHES_H
/*
 * An image whose automata accept everything, with a hash of what they were fed: so the
 * parser tells, byte for byte, what it took for the method, the path and the others.
 */
#include "bpfast/image.h"
#include "match/emit.h"
#include "match/ruleset.h"

#define HASH_STATES 1021u /* a prime; state 0 beside them is the dead one */
#define HASH_UNITS 33 /* of a row */
#define HASH_ABSENT (HASH_STATES + 1) /* the set of a header that is not there */
#define HASH_NO_TUNNEL (HASH_STATES + 2) /* the only set without a rule */
#define HASH_SETS (HASH_STATES + 3)

static inline uint8_t hash_fold(uint8_t c, bool fold)
{
	return fold && c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static inline uint32_t hash_next(uint32_t state, uint8_t c)
{
	return (state * 31 + c * 5u + 7) % HASH_STATES + 1;
}

static inline uint32_t hash_of(const void *bytes, size_t n, bool fold)
{
	const uint8_t *p = bytes;
	uint32_t state = 1;

	for (size_t i = 0; i < n; i++)
		state = hash_next(state, hash_fold(p[i], fold));
	return state;
}

static inline uint32_t hash_append(struct bf_blob *blob, const void *bytes, size_t len)
{
	uint32_t off = 0;

	if (bf_blob_append(blob, bytes, len, &off))
		abort();
	return off;
}

/* nothing: what it accepts with where there is nothing to read. */
static inline uint32_t hash_dfa(struct bf_blob *blob, bool fold, uint32_t nothing)
{
	uint32_t entries = (HASH_STATES + 1) * HASH_UNITS * BPFAST_DFA_UNIT, *table;
	uint32_t off = hash_append(blob, NULL, sizeof(struct bpfast_image_dfa) + entries * 4);
	struct bpfast_image_dfa *dfa = (void *)(blob->data + off);

	dfa->start = HASH_UNITS;
	dfa->classes = 256;
	dfa->entries = entries;
	dfa->bits = 30;
	dfa->mask = (1u << 30) - 1;
	dfa->first_tail = (HASH_STATES + 1) * HASH_UNITS;
	for (unsigned int c = 0; c < 256; c++)
		dfa->class_of[c] = hash_fold((uint8_t)c, fold);
	table = dfa->table;
	table[0] = nothing;
	for (uint32_t s = 1; s <= HASH_STATES; s++) {
		table = dfa->table + s * HASH_UNITS * BPFAST_DFA_UNIT;
		*table++ = s;
		for (unsigned int c = 0; c < 256; c++)
			*table++ = hash_next(s, (uint8_t)c) * HASH_UNITS;
	}
	return off;
}

/* Of headers the rules look at X-Hash alone. */
static inline void hash_image(struct bf_blob *blob)
{
	static const char *const names[] = {"x-hash"};
	struct bpfast_image_ruleset rules = {.rule_count = 1,
					     .words = 1,
					     .set_count = HASH_SETS,
					     .set_size = HASH_SETS * sizeof(uint64_t),
					     .header_count = 1,
					     .header = {{.absent_set = HASH_ABSENT}}};
	struct bpfast_image head = {
		.magic = BPFAST_IMAGE_MAGIC, .version = BPFAST_IMAGE_VERSION, .ruleset_count = 1};
	struct bf_error err;
	uint64_t *set;

	hash_append(blob, &head, sizeof(head));
	rules.method_dfa_off = hash_dfa(blob, false, 0);
	rules.path_dfa_off = rules.target_dfa_off = rules.method_dfa_off;
	rules.header[0].dfa_off = rules.method_dfa_off;
	rules.host_dfa_off = hash_dfa(blob, true, 0);
	rules.upgrade_dfa_off = hash_dfa(blob, true, HASH_NO_TUNNEL);
	rules.rule_ref_off = hash_append(blob, NULL, 8);
	if (bf_names_emit(blob, names, 1, &rules.name_dfa_off, &err) ||
	    bf_response_names_emit(blob, &head.response_name_dfa_off, &err))
		abort();
	rules.set_off = hash_append(blob, NULL, HASH_SETS * sizeof(*set));
	set = (void *)(blob->data + rules.set_off);
	for (uint32_t i = 0; i < HASH_SETS; i++)
		set[i] = i != HASH_NO_TUNNEL;
	head.ruleset_off = hash_append(blob, &rules, sizeof(rules));
	head.size = (uint32_t)blob->len;
	memcpy(blob->data, &head, sizeof(head));
}

#endif
