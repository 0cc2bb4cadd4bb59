/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_RETAIN_H
#define BPFAST_STREAM_RETAIN_H
/*
 * One byte, one value: what a verdict depended on and what was forwarded ahead
 * of a gap is kept until the server has acknowledged it. A segment that says
 * something else in its place is refused; what is not kept is body, which no rule
 * reads, or acknowledged, which no server reads again.
 *
 * All of it runs while the client's stream is owned. An operation works on
 * scratch->retain, so that the verifier reads it once, whoever asks.
 */
#include "stage/flow.h"
#include "stage/memory.h"

struct retain_context {
	struct __sk_buff *skb;
	struct scratch *scratch;
};

/* Begins an operation on the payload bytes from..to of the packet in hand. */
static __always_inline struct retain *retain_of(struct hook *h, struct bpfast_flow *flow,
						__u32 from, __u32 to)
{
	struct retain *r = &h->scratch->retain;

	r->first = flow->held;
	r->tag = bpfast_chunk_tag(&h->scratch->key);
	r->endpoint = h->endpoint->slot;
	r->share = h->control->retain_share;
	r->most = BPFAST_FLOW_CHUNKS;
	r->ahead = 0;
	r->now = (__u32)(flow->seen_ns >> 30); /* of this packet, or nearly */
	r->base = h->scratch->pkt.seq;
	r->seq = r->base + from;
	r->end = r->base + to;
	r->prev = 0;
	r->cur = chunks_of(flow);
	r->reason = BPFAST_R_NONE;
	return r;
}

/* The chunk that the cursor is at; NULL: the list ends, or is not ours any more. */
static __always_inline struct bpfast_chunk *retain_here(struct retain *r)
{
	struct bpfast_chunk *chunk = chunk_at(r->cur);

	if (!chunk)
		return 0;
	if (chunk->owner != r->tag) {
		r->reason = BPFAST_R_INTERNAL;
		return 0;
	}
	return chunk;
}

/* Mostly all that is kept lies before a place in the stream: then no list is walked. */
static __always_inline int retain_all_before(struct retain *r, __u32 seq)
{
	struct bpfast_chunk *first = retain_here(r), *last = first ? chunk_at(first->last) : 0;

	return last && last->owner == r->tag && seq_diff(seq, last->seq + last->len) >= 0;
}

/* --- comparing --------------------------------------------------------------- */

/* Do n bytes in s->segment differ from those at `at` of a chunk? 1: they do, or it is none. */
ARENA_GLOBAL int chunk_differs(const struct scratch *s, __u32 link, __u32 at, __u32 n)
{
	struct bpfast_chunk *chunk = chunk_at(link);
	__u64 differs = 0;
	__u32 i;

	if (!s || !chunk)
		return 1;
	for (i = 0; i < BPFAST_CHUNK_BYTES; i += 8) {
		__u32 from = at + i;

		if (i >= n)
			break;
		__asm__ volatile("" : "+r"(from));
		differs = *(const __u64 *)(s->segment + i) ^
			  *(const __u64 *)(chunk->data + (from & (BPFAST_CHUNK_BYTES - 1)));
		if (differs)
			break;
	}
	/* Of the last word only the first bytes count, as they lie in memory. */
	if (i < n && n - i < 8)
		differs = bpf_be64_to_cpu(differs) >> (8 - (n - i)) * 8;
	return !!differs;
}

static long retain_compare_step(__u32 i, struct retain_context *c)
{
	struct scratch *s = c->scratch;
	struct retain *r = &s->retain;
	struct bpfast_chunk *chunk = retain_here(r);
	__u32 from, to, link = r->cur;

	if (!chunk)
		return 1;
	from = chunk->seq;
	to = from + chunk->len;
	if (seq_diff(from, r->end) >= 0)
		return 1;
	r->cur = chunk->next;
	if (seq_diff(to, r->seq) <= 0)
		return 0;
	if (seq_diff(from, r->seq) < 0)
		from = r->seq;
	if (seq_diff(to, r->end) > 0)
		to = r->end;
	to -= from;
	if (to - 1 >= BPFAST_CHUNK_BYTES)
		return 0;
	if (bpf_skb_load_bytes(c->skb, s->pkt.payload_off + (from - r->base), s->segment,
			       size_within(to, BPFAST_CHUNK_BYTES)))
		r->reason = BPFAST_R_INTERNAL;
	else if (chunk_differs(s, link, from - chunk->seq, to))
		r->reason = BPFAST_R_TCP_DIFFERS;
	return !!r->reason;
}

/* Does the payload say what was said before? Returns a reason, or NONE. */
static __noinline __u32 retain_compare(struct __sk_buff *skb, struct hook *h,
				       struct bpfast_flow *flow, __u32 len)
{
	struct retain_context c = {.skb = skb, .scratch = h->scratch};
	struct retain *r = retain_of(h, flow, 0, len);

	if (r->cur && !retain_all_before(r, r->seq)) {
		if (memory_own(skb, h->scratch, h->scratch->pkt.payload_off + len))
			return BPFAST_R_INTERNAL;
		bpf_loop(BPFAST_FLOW_CHUNKS, retain_compare_step, &c, 0);
	}
	return r->reason;
}

/* --- keeping ------------------------------------------------------------------- */

/* A chunk behind r->prev, before r->cur. NULL: there is none to be had. */
static __always_inline struct bpfast_chunk *retain_insert(struct retain *r)
{
	struct bpfast_chunk *first = chunk_at(r->first), *prev = chunk_at(r->prev), *chunk;
	__u32 link;

	if (first && first->count >= r->most)
		return 0;
	/* What fills a gap always goes first: else what is kept behind the gap stays for ever. */
	link = chunk_take(r->endpoint, r->tag, r->share,
			  first && (r->ahead || seq_diff(first->seq, r->seq) < 0) ? first->count
										  : 0);
	chunk = chunk_at(link);
	if (!chunk)
		return 0;
	chunk->taken = r->now;
	chunk->next = r->cur;
	if (prev) {
		prev->next = link;
		if (first) {
			first->count++;
			if (!r->cur)
				first->last = link;
		}
	} else {
		if (first) {
			chunk->last = first->last;
			chunk->count = first->count + 1;
		}
		r->first = link;
	}
	r->prev = link;
	return chunk;
}

/*
 * n bytes of s->segment to `at` of a chunk, in words. What the last word has too much
 * lies behind the chunk's length, and counts for nothing.
 */
ARENA_GLOBAL int chunk_fill(const struct scratch *s, __u32 link, __u32 at, __u32 n)
{
	struct bpfast_chunk *chunk = chunk_at(link);

	if (!s || !chunk)
		return -1;
	for (__u32 i = 0; i < BPFAST_CHUNK_BYTES; i += 8) {
		__u32 to = at + i;

		if (i >= n)
			break;
		__asm__ volatile("" : "+r"(to));
		*(__u64 *)(chunk->data + (to & (BPFAST_CHUNK_BYTES - 1))) =
			*(const __u64 *)(s->segment + i);
	}
	return 0;
}

/* All of a chunk into the walk's window. */
ARENA_GLOBAL int chunk_show(struct http_walk *w, __u32 link)
{
	struct bpfast_chunk *chunk = chunk_at(link);

	if (!w || !chunk)
		return -1;
	for (__u32 i = 0; i < BPFAST_CHUNK_BYTES; i += 8)
		*(__u64 *)(w->window + i) = *(const __u64 *)(chunk->data + i);
	return 0;
}

/*
 * One of: passes a chunk that has the byte at r->seq or lies before it; fills
 * up the chunk behind which it is; takes a new one.
 */
static long retain_add_step(__u32 i, struct retain_context *c)
{
	struct scratch *s = c->scratch;
	struct retain *r = &s->retain;
	struct bpfast_chunk *here = retain_here(r), *prev;
	__u32 n, at;

	if (r->reason || seq_diff(r->end, r->seq) <= 0)
		return 1;
	n = r->end - r->seq;
	if (here && seq_diff(here->seq, r->seq) <= 0) {
		__u32 to = here->seq + here->len;

		if (seq_diff(to, r->seq) > 0)
			r->seq = to;
		r->prev = r->cur;
		r->cur = here->next;
		return 0;
	}
	if (here && seq_diff(r->end, here->seq) > 0)
		n = here->seq - r->seq;
	prev = chunk_at(r->prev);
	if (!prev || prev->seq + prev->len != r->seq || prev->len >= BPFAST_CHUNK_BYTES) {
		prev = retain_insert(r);
		if (!prev) {
			r->reason = BPFAST_R_RETAIN_FULL;
			return 1;
		}
		prev->seq = r->seq;
	}
	at = prev->len;
	if (n > BPFAST_CHUNK_BYTES - at)
		n = BPFAST_CHUNK_BYTES - at;
	if (!n || at >= BPFAST_CHUNK_BYTES) {
		r->reason = BPFAST_R_INTERNAL;
		return 1;
	}
	/* By the scratch: the verifier does not follow how much room there is behind `at`. */
	if (bpf_skb_load_bytes(c->skb, s->pkt.payload_off + (r->seq - r->base), s->segment,
			       size_within(n, BPFAST_CHUNK_BYTES)) ||
	    chunk_fill(s, r->prev, at, n)) {
		r->reason = BPFAST_R_INTERNAL;
		return 1;
	}
	prev->len = (__u16)(at + n);
	r->seq += n;
	return 0;
}

/* The whole of the common case: all that is kept fits one chunk, at its beginning. */
static __always_inline int retain_first(struct __sk_buff *skb, struct hook *h, struct retain *r)
{
	struct bpfast_chunk *chunk;
	__u32 n = r->end - r->seq;

	if (!r->first)
		r->first = chunk_take(r->endpoint, r->tag, r->share, 0);
	else if (!(r->first & BPFAST_CHUNK_SPARE))
		return -1;
	r->first &= ~BPFAST_CHUNK_SPARE;
	r->cur = r->first;
	chunk = chunk_at(r->first);
	if (!chunk || chunk->owner != r->tag)
		return -1;
	chunk->seq = r->seq;
	chunk->taken = r->now;
	if (n - 1 >= BPFAST_CHUNK_BYTES)
		return -1;
	if (bpf_skb_load_bytes(skb, h->scratch->pkt.payload_off + (r->seq - r->base), chunk->data,
			       size_within(n, BPFAST_CHUNK_BYTES)))
		return -1;
	chunk->len = (__u16)n;
	return 0;
}

/* Could the flow keep n pieces more, each in a chunk of its own? */
static __always_inline int retain_room(struct hook *h, struct bpfast_flow *flow, __u32 n)
{
	__u32 endpoint = h->endpoint->slot, *held = bpf_map_lookup_elem(&bpfast_held, &endpoint);
	struct bpfast_chunk *first = chunk_at(chunks_of(flow));

	return held && *held + n < h->control->retain_share &&
	       (!first || first->count + n <= BPFAST_FLOW_CHUNKS);
}

/*
 * Keeps the payload bytes from..to; what is kept already stays as it is. Returns
 * RETAIN_FULL where there is no room: the packet must not be forwarded then.
 */
static __noinline __u32 retain_add(struct __sk_buff *skb, struct hook *h, struct bpfast_flow *flow,
				   __u32 from, __u32 to)
{
	struct retain_context c = {.skb = skb, .scratch = h->scratch};
	struct retain *r = retain_of(h, flow, from, to);
	struct bpfast_chunk *first;

	if (memory_own(skb, h->scratch, h->scratch->pkt.payload_off + to))
		return BPFAST_R_INTERNAL;
	/* What lies ahead of a gap leaves room for what fills the gap. Without it the server
	 * could never acknowledge either, and nothing would ever be given back. */
	if (seq_diff(r->base, flow->client.next) > 0) {
		r->ahead = 1;
		r->most -= BPFAST_FILL_CHUNKS;
		r->share -= r->share / 8;
	}
	if (retain_first(skb, h, r)) {
		if (retain_all_before(r, r->seq)) {
			first = chunk_at(r->cur);
			r->prev = first ? first->last : 0;
			r->cur = 0;
		}
		/* Passing each, and one more for each that is taken or filled up. */
		bpf_loop(2 * BPFAST_FLOW_CHUNKS + 2, retain_add_step, &c, 0);
		if (!r->reason && seq_diff(r->end, r->seq) > 0)
			r->reason = BPFAST_R_RETAIN_FULL;
	}
	flow->held = r->first;
	if (r->reason == BPFAST_R_RETAIN_FULL)
		sweep_soon(sweep_ready(), 1);
	return r->reason;
}

/* --- letting go ------------------------------------------------------------------ */

/*
 * Gives back what the server has acknowledged. `more`: the packet in hand brings
 * bytes, so a flow's only chunk stays for them, empty.
 */
static __always_inline void retain_release(struct hook *h, struct bpfast_flow *flow, int more)
{
	__u32 link = flow->held, acked = stream_acked(flow);
	struct bpfast_chunk *first;

	if (more && link & BPFAST_CHUNK_SPARE)
		return;
	first = chunk_at(link & ~BPFAST_CHUNK_SPARE);
	if (!first || seq_diff(first->seq + first->len, acked) > 0)
		return;
	if (more && !first->next) {
		first->len = 0;
		flow->held = link | BPFAST_CHUNK_SPARE;
	} else {
		chunks_acked(flow, &h->scratch->key, acked);
	}
}

/* Does the flow keep the byte at seq? Asked before a packet is cut there. */
static long retain_has_step(__u32 i, struct retain_context *c)
{
	struct retain *r = &c->scratch->retain;
	struct bpfast_chunk *chunk = retain_here(r);

	if (!chunk || seq_diff(chunk->seq, r->seq) > 0)
		return 1;
	if (seq_diff(chunk->seq + chunk->len, r->seq) > 0) {
		r->reason = BPFAST_R_TCP_DIFFERS; /* here: found */
		return 1;
	}
	r->cur = chunk->next;
	return 0;
}

static __noinline int retain_has(struct hook *h, struct bpfast_flow *flow, __u32 at)
{
	struct retain_context c = {.scratch = h->scratch};
	struct retain *r = retain_of(h, flow, at, at);

	bpf_loop(BPFAST_FLOW_CHUNKS, retain_has_step, &c, 0);
	return !!r->reason;
}

#endif
