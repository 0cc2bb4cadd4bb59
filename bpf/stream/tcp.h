/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STREAM_TCP_H
#define BPFAST_STREAM_TCP_H
/* What both directions of an inspected TCP connection share. */
#include "stream/deny.h"
#include "stream/walk.h"

/* The widest window (RFC 7323, section 2.3): no sender may be farther ahead, or far behind. */
#define SEQ_WINDOW_MAX (1u << 30)

/* All before `next` was judged. Sequence numbers wrap: the lower bound follows at a distance. */
static __always_inline void stream_advance(struct bpfast_stream *st, __u32 next)
{
	st->next = next;
	if (next - st->first > SEQ_WINDOW_MAX)
		st->first = next - SEQ_WINDOW_MAX;
}

/* The body or chunk that is under way: how many bytes ahead may come in any order. */
static __always_inline __u64 stream_slack(const struct bpfast_stream *st)
{
	return st->state == H1_BODY || st->state == H1_CHUNK_DATA ? st->body_left : 0;
}

#endif
