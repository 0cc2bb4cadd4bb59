/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_MAPS_H
#define BPFAST_MAPS_H
/*
 * Every map of the kernel side. All are pinned by the agent and outlive it.
 * Sizes marked "set before load" are the agent's to choose.
 */
#include "stage/types.h"
#include "bpfast/control.h"
#include "bpfast/flow.h"
#include "bpfast/metrics.h"
#include "bpfast/retain.h"
#include "bpfast/vouch.h"

/* Policy images. One value of a power of two bytes and BPFAST_ARENA_GUARD more. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__uint(key_size, sizeof(__u32));
	__uint(value_size, BPFAST_ARENA_DEFAULT + BPFAST_ARENA_GUARD); /* set before load */
} bpfast_arena SEC(".maps");

/* What the agent tells us while we run. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_control);
} bpfast_control SEC(".maps");

/* Host-side interface index -> who is behind it. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFAST_ENDPOINTS_MAX);
	__type(key, __u32);
	__type(value, struct bpfast_endpoint);
} bpfast_endp SEC(".maps");

/* Connections. Preallocated and never evicted: a full table denies, visibly. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, BPFAST_FLOWS_DEFAULT); /* set before load */
	__type(key, struct bpfast_flow_key);
	__type(value, struct bpfast_flow);
} bpfast_flow SEC(".maps");

/* How many of them each endpoint (slot) has. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, BPFAST_ENDPOINTS_MAX);
	__type(key, __u32);
	__type(value, struct bpfast_quota);
} bpfast_quota SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_sweep);
} bpfast_sweep SEC(".maps");

/* The retention pool, its free chunks, and how many each endpoint (slot) holds. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPFAST_CHUNKS_DEFAULT); /* set before load */
	__type(key, __u32);
	__type(value, struct bpfast_chunk);
} bpfast_chunk SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, BPFAST_CHUNKS_DEFAULT); /* set before load */
	__uint(value_size, sizeof(__u32));
} bpfast_free SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_pool);
} bpfast_pool SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, BPFAST_ENDPOINTS_MAX);
	__type(key, __u32);
	__type(value, __u32);
} bpfast_held SEC(".maps");

/* First fragment -> its ports, for the fragments that carry none. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BPFAST_FRAGS_MAX);
	__type(key, struct bpfast_frag_key);
	__type(value, struct bpfast_frag);
} bpfast_frag SEC(".maps");

/* Connections whose beginning shield saw in our place; the same map is in shield/maps.h. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, BPFAST_VOUCHES_MAX);
	__type(key, struct bpfast_vouch_key);
	__type(value, struct bpfast_vouch);
} bpfast_vouch SEC(".maps");

/* Records (struct bpfast_event). */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, BPFAST_RING_BYTES);
} bpfast_events SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct bpfast_metrics);
} bpfast_metrics SEC(".maps");

/* Working memory of one packet: programs here never nest on a CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct scratch);
} bpfast_scratch SEC(".maps");

/* The arena's size less one; set before load. */
const volatile __u32 bpfast_arena_mask = BPFAST_ARENA_DEFAULT - 1;

static __always_inline const void *arena_at(__u32 off)
{
	__u32 zero = 0;
	const __u8 *base = bpf_map_lookup_elem(&bpfast_arena, &zero);

	return base ? base + (off & bpfast_arena_mask) : 0;
}

static __always_inline int arena_open(struct arena_view *v)
{
	__u32 zero = 0;

	v->base = bpf_map_lookup_elem(&bpfast_arena, &zero);
	return v->base != 0;
}

/* The mask is read anew each time: from .rodata the verifier knows its value. */
static __always_inline __u8 view_u8(const struct arena_view *v, __u32 off)
{
	return v->base[off & bpfast_arena_mask];
}

static __always_inline __u32 view_u32(const struct arena_view *v, __u32 off)
{
	return *(const __u32 *)(v->base + (off & bpfast_arena_mask & ~3u));
}

static __always_inline __u64 view_u64(const struct arena_view *v, __u32 off)
{
	return *(const __u64 *)(v->base + (off & bpfast_arena_mask & ~7u));
}

#endif
