/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_RETAIN_H
#define BPFAST_RETAIN_H
/*
 * The retention pool: stream bytes that a verdict depended on, and bytes that
 * were forwarded ahead of a gap, until their receiver has acknowledged them.
 *
 * A flow's chunks are a list in stream order, none of which overlap; the flow
 * holds its first. Only who owns the flow's client stream (bpfast_stream.owner)
 * changes the list. A chunk that is not in use is on the stack bpfast_free, or
 * was never taken (bpfast_pool.fresh).
 */
#include "types.h"
#include "limits.h"
#include "flow.h"

struct bpfast_chunk {
	__u32 owner; /* 0: not in use; else made of the flow's key, see pool.h */
	__u32 next; /* index + 1 of the flow's next chunk; 0: the last */
	__u32 seq; /* sequence number of data[0] */
	__u32 last; /* index + 1 of the list's last chunk; kept in the first only */
	__u16 len; /* bytes of data */
	__u16 count; /* chunks in the list; kept in the first only */
	__u16 endpoint; /* slot: to whose share it counts */
	__u16 pad;
	__u32 taken; /* when its first byte was kept: nanoseconds >> 30, CLOCK_MONOTONIC */
	__u32 pad2;
	__u8 data[BPFAST_CHUNK_BYTES];
	__u8 slack[8]; /* so that a word may be read at the last byte */
};

/* In flow->held: its only chunk is empty and waits for the next bytes, as on most connections
 * that are kept open. It costs less than giving it back and taking another. */
#define BPFAST_CHUNK_SPARE (1u << 31)

/*
 * Whose a chunk is: made of the flow's key, never 0. Two flows with one tag
 * would still have their own lists; it only catches a list that was given back by
 * whoever removed the flow while another CPU held a pointer to it.
 */
static inline __attribute__((always_inline, unused)) __u32
bpfast_chunk_tag(const struct bpfast_flow_key *key)
{
	const __u64 *words = (const __u64 *)key;
	__u64 tag = words[1] ^ words[3] ^ words[4];

	return (__u32)(tag ^ tag >> 32) | 1;
}

static_assert(sizeof(struct bpfast_chunk) == 40 + BPFAST_CHUNK_BYTES, "chunk");

/* bpfast_pool: one element. */
struct bpfast_pool {
	__u32 fresh; /* chunks from this index on were never taken */
	__u32 pad;
};

#endif
