/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_HASH_H
#define BPFAST_SHIELD_HASH_H
/*
 * Where something is kept in tables of fixed size. What is hashed an attacker chooses, and whoever knew
 * addresses that share a place could push others out of it, or pass for them. So these are two halves of
 * pair-multiply-shift (Thorup, High Speed Hashing for Integers and Strings, 2015), strongly universal in
 * 32 bits each: over the secret keys any two inputs meet by chance alone. Of the products none waits for
 * another, so it also takes less time than a chain of mixing steps.
 */
#include "shield/types.h"

struct shield_hash {
	__u64 half[2];
};

static __always_inline struct shield_hash
shield_hash_begin(const struct bpfast_shield_control *control)
{
	return (struct shield_hash){{control->key[0].start, control->key[1].start}};
}

/* The word that stands at place i of what is hashed. */
static __always_inline void shield_hash_add(struct shield_hash *h,
					    const struct bpfast_shield_control *control, __u32 i,
					    __u64 word)
{
	h->half[0] = bpfast_hash_word(h->half[0], control->key[0].word[i], word);
	h->half[1] = bpfast_hash_word(h->half[1], control->key[1].word[i], word);
}

/* 64 bits. */
static __always_inline __u64 shield_hash_end(const struct shield_hash *h)
{
	return h->half[1] >> 32 << 32 | h->half[0] >> 32;
}

/* Two addresses, at place 1 and behind. */
static __always_inline void shield_hash_pair(struct shield_hash *h,
					     const struct bpfast_shield_control *control,
					     __u8 version, const __u64 *a, const __u64 *b)
{
	if (version == 4) {
		shield_hash_add(h, control, 1, a[1] << 32 | b[1]);
	} else {
		shield_hash_add(h, control, 1, a[1]);
		shield_hash_add(h, control, 2, b[1]);
		shield_hash_add(h, control, 3, a[0]);
		shield_hash_add(h, control, 4, b[0]);
	}
}

/* An IPv4 address or an IPv6 /64, for the purpose that `salt` stands for: who has one address of it has them all. */
static __always_inline struct shield_hash
shield_hash_of_network(const struct bpfast_shield_control *control, const struct shield_packet *p,
		       __u32 salt)
{
	struct shield_hash h = shield_hash_begin(control);

	if (p->version == 4) {
		shield_hash_add(&h, control, 0, (__u64)salt << 32 | p->source[1]);
	} else {
		shield_hash_add(&h, control, 0, p->source[0]);
		shield_hash_add(&h, control, 1, salt);
	}
	return h;
}

static __always_inline __u64 shield_hash_network(const struct bpfast_shield_control *control,
						 const struct shield_packet *p, __u32 salt)
{
	struct shield_hash h = shield_hash_of_network(control, p, salt);

	return shield_hash_end(&h);
}

/* The same of the whole address. */
static __always_inline __u64 shield_hash_source(const struct bpfast_shield_control *control,
						const struct shield_packet *p, __u32 salt)
{
	struct shield_hash h = shield_hash_of_network(control, p, salt);

	if (p->version == 6)
		shield_hash_add(&h, control, 2, p->source[1]);
	return shield_hash_end(&h);
}

#endif
