/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_SHIELD_SETS_H
#define BPFAST_SHIELD_SETS_H
/*
 * Small tables without chains: a set is a cache line of eight cells, a cell is a
 * tag of 32 bits and what is known. Two CPUs may overwrite each other's cell: then
 * one of the two is not remembered, which no verdict may depend on for safety.
 */
#include "shield/types.h"

/* The cell with this tag, or -1. */
static __always_inline int shield_set_find(const struct bpfast_shield_set *set, __u32 tag)
{
	int i;

#pragma unroll
	for (i = 0; i < 8; i++)
		if (set->cell[i] >> 32 == tag)
			return i;
	return -1;
}

/* Global functions: see lists.h. */

/* Where something new goes: an empty cell, or the one with the smallest `what`. */
__attribute__((noinline)) int shield_set_place(const struct bpfast_shield_set *set)
{
	__u32 least;
	int i, at = 0;

	if (!set)
		return 0;
	least = (__u32)set->cell[0];
	for (i = 1; i < 8; i++) {
		__u32 what = (__u32)set->cell[i];

		if (what < least) {
			least = what;
			at = i;
		}
	}
	return at;
}

/* Has a cell a tag with the same bits of `mask`? */
__attribute__((noinline)) int shield_set_shares(const struct bpfast_shield_set *set, __u32 tag,
						__u32 mask)
{
	int i;

	if (!set)
		return 1;
	for (i = 0; i < 8; i++)
		if (set->cell[i] && !(((set->cell[i] >> 32) ^ tag) & mask))
			return 1;
	return 0;
}

#endif
