/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_REPLAY_CAPTURE_H
#define BF_REPLAY_CAPTURE_H
/* Captures, pcap and pcapng, as Ethernet frames. The only user of libpcap. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct bf_capture;

struct bf_captured {
	int64_t time_ns; /* since the epoch */
	const uint8_t *frame; /* until the next call */
	size_t len;
	size_t missing; /* bytes that were on the wire and are not in the capture */
};

/* "-": standard input. 0, or -errno with err: no such file, not a capture, a link type without IP. */
int bf_capture_open(const char *path, struct bf_capture **out, struct bf_error *err);
/* 1: a frame; 0: the end; -errno with err: the file ends within a frame or is damaged. */
int bf_capture_next(struct bf_capture *c, struct bf_captured *out, struct bf_error *err);
/* Of the file; 0: not known. */
uint64_t bf_capture_bytes(const struct bf_capture *c);
void bf_capture_close(struct bf_capture *c);

#endif
