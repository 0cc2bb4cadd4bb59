/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_POOL_H
#define BPFAST_STAGE_POOL_H
/*
 * The retention pool: taking chunks and giving them back. What they hold and
 * why is in stream/retain.h. Nothing here waits; when there is no chunk the
 * caller denies.
 */
#include "maps.h"

/* A chunk by what lists hold: index + 1. NULL: none. */
static __always_inline struct bpfast_chunk *chunk_at(__u32 link)
{
	__u32 index = link - 1;

	return bpf_map_lookup_elem(&bpfast_chunk, &index);
}

/* The first chunk that has bytes; 0: nothing is kept. */
static __always_inline __u32 chunks_of(const struct bpfast_flow *flow)
{
	return flow->held & BPFAST_CHUNK_SPARE ? 0 : flow->held;
}

/* Back to the free ones, unless somebody else gave it back at this moment. */
static __always_inline void chunk_give(__u32 link, struct bpfast_chunk *chunk, __u32 tag)
{
	__u32 index = link - 1, endpoint = chunk->endpoint, *held;

	if (__sync_val_compare_and_swap(&chunk->owner, tag, 0) != tag)
		return;
	held = bpf_map_lookup_elem(&bpfast_held, &endpoint);
	if (held)
		__sync_fetch_and_add(held, -1);
	bpf_map_push_elem(&bpfast_free, &index, BPF_ANY);
}

/*
 * Takes a chunk for an endpoint's flow that has `mine` already. Returns index + 1; 0: the
 * pool is empty, the endpoint has its share, or the flow its part of what is left.
 */
ARENA_GLOBAL __u32 chunk_take(__u32 endpoint, __u32 tag, __u32 share, __u32 mine)
{
	__u32 zero = 0, index = 0, *held = bpf_map_lookup_elem(&bpfast_held, &endpoint);
	struct bpfast_pool *pool = bpf_map_lookup_elem(&bpfast_pool, &zero);
	struct bpfast_chunk *chunk;
	__u32 used;

	if (!held || !pool)
		return 0;
	/* Below zero for a while where the endpoint before on this slot had a chunk under way. */
	used = __sync_fetch_and_add(held, 1);
	if ((__s32)used >= (__s32)share || (mine >= 2 && mine > (share - used) / BPFAST_FLOW_SHARE))
		goto none;
	if (bpf_map_pop_elem(&bpfast_free, &index)) {
		/* None came back yet: one that was never taken. */
		index = pool->fresh;
		if (!bpf_map_lookup_elem(&bpfast_chunk, &index))
			goto none;
		index = __sync_fetch_and_add(&pool->fresh, 1);
	}
	chunk = bpf_map_lookup_elem(&bpfast_chunk, &index);
	if (!chunk)
		goto none;
	chunk->owner = tag;
	chunk->next = 0;
	chunk->last = index + 1;
	chunk->len = 0;
	chunk->count = 1;
	chunk->endpoint = (__u16)endpoint;
	return index + 1;
none:
	__sync_fetch_and_add(held, -1);
	return 0;
}

/* --- a flow's list --- */

/* Tries to become the only CPU on a stream. */
static __always_inline int stream_try(struct bpfast_stream *st)
{
	return __sync_val_compare_and_swap(&st->owner, 0, 1) ? -1 : 0;
}

/*
 * The same, and waits: a sender's two CPUs, the one that writes and the one that reads
 * acknowledgements, meet all the time, judging takes microseconds, and a drop costs TCP more
 * than that. Bounded, about 0.2 ms: the owner may be a virtual CPU that does not run.
 */
#define OWN_TRIES 20000

struct own {
	struct bpfast_stream *st;
	int failed;
};

static long stream_own_step(__u32 i, struct own *o)
{
	/* Only reads while it is taken, so that the line stays with its owner. */
	if (*(volatile __u32 *)&o->st->owner)
		return 0;
	o->failed = stream_try(o->st);
	return !o->failed;
}

static __noinline int stream_own_wait(struct bpfast_stream *st)
{
	struct own o = {.st = st, .failed = -1};

	bpf_loop(OWN_TRIES, stream_own_step, &o, 0);
	return o.failed;
}

static __always_inline int stream_own(struct bpfast_stream *st)
{
	return stream_try(st) ? stream_own_wait(st) : 0;
}

static __always_inline void stream_release(struct bpfast_stream *st)
{
	__sync_lock_test_and_set(&st->owner, 0);
}

struct chunks {
	__u32 link;
	__u32 tag;
	__u32 acked;
	__u32 count, last; /* of the list, when its first chunk goes */
};

static long chunks_give_step(__u32 i, struct chunks *c)
{
	struct bpfast_chunk *chunk = chunk_at(c->link);
	__u32 link = c->link;

	if (!chunk || chunk->owner != c->tag)
		return 1;
	c->link = chunk->next;
	chunk_give(link, chunk, c->tag);
	return !c->link;
}

/* Gives back a whole list. */
static __noinline int chunks_give(__u32 link, const struct bpfast_flow_key *key)
{
	struct chunks c = {.link = link & ~BPFAST_CHUNK_SPARE, .tag = bpfast_chunk_tag(key)};

	if (c.link)
		bpf_loop(BPFAST_FLOW_CHUNKS, chunks_give_step, &c, 0);
	return 0;
}

static long chunks_acked_step(__u32 i, struct chunks *c)
{
	struct bpfast_chunk *chunk = chunk_at(c->link);
	__u32 link = c->link;

	if (!chunk || chunk->owner != c->tag)
		return 1;
	if (seq_diff(chunk->seq + chunk->len, c->acked) > 0)
		return 1;
	c->link = chunk->next;
	c->count--;
	chunk_give(link, chunk, c->tag);
	return !c->link;
}

/* Gives back what lies before `acked` as a whole. The caller owns the client's stream. */
static __noinline int chunks_acked(struct bpfast_flow *flow, const struct bpfast_flow_key *key,
				   __u32 acked)
{
	struct chunks c = {.link = flow->held & ~BPFAST_CHUNK_SPARE,
			   .tag = bpfast_chunk_tag(key),
			   .acked = acked};
	struct bpfast_chunk *first = chunk_at(c.link);

	if (!first || first->owner != c.tag)
		return 0;
	c.count = first->count;
	c.last = first->last;
	bpf_loop(BPFAST_FLOW_CHUNKS, chunks_acked_step, &c, 0);
	if (c.link == (flow->held & ~BPFAST_CHUNK_SPARE))
		return 0;
	flow->held = c.link;
	first = chunk_at(c.link);
	if (first) {
		first->count = (__u16)c.count;
		first->last = c.last;
	}
	return 0;
}

/* What of the requests the server has acknowledged: of what was not judged, it has nothing. */
static __always_inline __u32 stream_acked(const struct bpfast_flow *flow)
{
	__u32 acked = *(volatile const __u32 *)&flow->server.acked, next = flow->client.next;

	if (seq_diff(acked, next) <= 0)
		return acked;
	return acked == next + 1 && flow->flags & BPFAST_FF_FIN_FROM_CLIENT ? next
									    : flow->client.first;
}

/* The same for a flow that nobody works on: what is acknowledged goes back to the pool. */
static __noinline int chunks_reclaim(struct bpfast_flow *flow, const struct bpfast_flow_key *key)
{
	if (!flow->held || stream_try(&flow->client))
		return 0;
	chunks_acked(flow, key, stream_acked(flow));
	stream_release(&flow->client);
	return 0;
}

/* How full an endpoint's share may be before connections that are stuck make room. */
static __always_inline int chunks_pressed(const struct bpfast_flow_key *key, __u32 share)
{
	__u32 endpoint = key->endpoint, *held = bpf_map_lookup_elem(&bpfast_held, &endpoint);

	return held && (__s32)*held > (__s32)(share - share / 4);
}

/*
 * A flow whose oldest kept bytes nobody has acknowledged for long, while others need the
 * room: it is refused, or in mode audit read no more. What it may have sent ahead cannot be
 * judged any more.
 */
static __noinline int chunks_evict(struct bpfast_flow *flow, const struct bpfast_flow_key *key,
				   struct bpfast_metrics *metrics)
{
	__u32 now = (__u32)(bpf_ktime_get_coarse_ns() >> 30);
	struct bpfast_chunk *first;

	if (!chunks_of(flow) || stream_own(&flow->client))
		return 0;
	first = chunk_at(chunks_of(flow));
	if (first && first->owner == bpfast_chunk_tag(key) &&
	    now - first->taken >= BPFAST_RETAIN_STUCK_S) {
		chunks_give(flow->held, key);
		flow->held = 0;
		flow->reason = BPFAST_R_RETAIN_FULL;
		__sync_fetch_and_or(&flow->flags, flow->flags & BPFAST_FF_AUDIT
							  ? BPFAST_FF_OPAQUE
							  : BPFAST_FF_DENIED | BPFAST_FF_RESET);
		metrics->retained_evicted++;
	}
	stream_release(&flow->client);
	return 0;
}

#endif
