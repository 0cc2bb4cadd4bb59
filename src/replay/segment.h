/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_REPLAY_SEGMENT_H
#define BF_REPLAY_SEGMENT_H
/*
 * Large TCP frames as a network card would have cut them: with segmentation
 * offload a capture holds frames of up to 64 KiB and more. Pure.
 */
#include <stddef.h>
#include <stdint.h>

/*
 * Calls fn with each piece, in order, until it returns non-zero; a piece has at most `most`
 * bytes (at least 256) and is valid during the call only. Sequence numbers, lengths, IPv4
 * identifiers and checksums are right; SYN and CWR stay on the first, FIN, PSH and RST on the
 * last. The number of pieces, what fn returned, or -EINVAL: not TCP, a fragment, an IPv6
 * jumbogram (RFC 2675), or its headers do not fit.
 */
int bf_segment_cut(const uint8_t *frame, size_t len, size_t most,
		   int (*fn)(void *arg, const uint8_t *frame, size_t len), void *arg);

/*
 * Takes the first n bytes of the payload away, in place, as a sender does that knows them to
 * have arrived. n: at most the payload's length. The new length, or -EINVAL as above.
 */
int bf_segment_skip(uint8_t *frame, size_t len, size_t n);

#endif
