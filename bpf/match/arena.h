/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_MATCH_ARENA_H
#define BPFAST_MATCH_ARENA_H
/*
 * Reading the policy image. The same lookups and the same HTTP parser run in
 * the kernel, over the arena map, and in user space, over an image in memory;
 * this header is the only difference between the two.
 *
 * Offsets are bytes from the start of the arena. In the kernel they are masked,
 * in user space checked: a wrong one reads something else or zero, never
 * memory that is not the arena's.
 */
#include "bpfast/image.h"

#ifdef __bpf__

#include <bpf/bpf_helpers.h>

/* A pointer to at least BPFAST_ARENA_GUARD readable bytes at a masked offset, or
 * NULL; see maps.h. */
static __always_inline const void *arena_at(__u32 off);

/*
 * A function that the verifier reads once, for all its callers: its arguments
 * are numbers or memory without pointers in it, its result is a number.
 */
#define ARENA_GLOBAL __noinline

#else /* user space */

#include <stddef.h>

#ifndef __always_inline
#define __always_inline inline __attribute__((always_inline))
#endif
#define ARENA_GLOBAL static inline __attribute__((unused))

/* The image that the calling thread asks about, with the guard behind it. */
extern _Thread_local const __u8 *bf_arena_base;
extern _Thread_local __u32 bf_arena_size;

static __always_inline const void *arena_at(__u32 off)
{
	return off < bf_arena_size ? bf_arena_base + off : bf_arena_base + bf_arena_size;
}

#endif

/*
 * A view for loops: where the arena begins is looked up once, not for every
 * byte. arena_open() first; false: there is none, and nothing may be read.
 */
struct arena_view {
	const __u8 *base;
};

#ifdef __bpf__

/* These four are in maps.h. */
static __always_inline int arena_open(struct arena_view *v);
static __always_inline __u8 view_u8(const struct arena_view *v, __u32 off);
static __always_inline __u32 view_u32(const struct arena_view *v, __u32 off);
static __always_inline __u64 view_u64(const struct arena_view *v, __u32 off);

#else

static __always_inline int arena_open(struct arena_view *v)
{
	v->base = bf_arena_base;
	return v->base != NULL;
}

static __always_inline __u8 view_u8(const struct arena_view *v, __u32 off)
{
	(void)v;
	return *(const __u8 *)arena_at(off);
}

static __always_inline __u32 view_u32(const struct arena_view *v, __u32 off)
{
	(void)v;
	return *(const __u32 *)arena_at(off & ~3u);
}

static __always_inline __u64 view_u64(const struct arena_view *v, __u32 off)
{
	(void)v;
	return *(const __u64 *)arena_at(off & ~7u);
}

#endif

static __always_inline __u32 arena_u32(__u32 off)
{
	const __u32 *p = arena_at(off & ~3u);

	return p ? *p : 0;
}

static __always_inline __u64 arena_u64(__u32 off)
{
	const __u64 *p = arena_at(off & ~7u);

	return p ? *p : 0;
}

static __always_inline __u8 arena_u8(__u32 off)
{
	const __u8 *p = arena_at(off);

	return p ? *p : 0;
}

#endif
