/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_ARENA_H
#define BPFAST_ARENA_H
/*
 * What lies at the start of the map bpfast_arena: a directory of the policy
 * images in it. Only user space reads it; it lies in the map so that it
 * outlives the agent. The kernel side knows an image by control->root alone.
 *
 * An entry counts only while oldest_generation <= generation <= root >> 32
 * (struct bpfast_control). So an entry written before its root, or left behind
 * after oldest_generation was raised, is free space: an agent may be killed
 * between any two stores.
 */
#include "types.h"

#define BPFAST_ARENA_MAGIC 0x41465042u /* "BPFA" */
/* Offset of the first byte that an image may use; root 0 stays "none". */
#define BPFAST_ARENA_FIRST 4096u
/* Images begin and end at multiples of this many bytes. */
#define BPFAST_ARENA_ALIGN 64u
/* Images that are kept at most, the one in force included. */
#define BPFAST_ARENA_IMAGES 128u

struct bpfast_arena_image {
	__u32 generation; /* 0: entry not in use */
	__u32 offset; /* bytes from the start of the arena */
	__u32 size; /* bytes, as installed */
	__u32 pad;
};

struct bpfast_arena {
	__u32 magic;
	__u32 bytes; /* of the arena, without BPFAST_ARENA_GUARD */
	__u64 netns; /* inode of the network namespace whose interface indexes are meant */
	struct bpfast_arena_image image[BPFAST_ARENA_IMAGES];
};

static_assert(sizeof(struct bpfast_arena) <= BPFAST_ARENA_FIRST, "arena directory");

#endif
