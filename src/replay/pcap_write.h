/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_REPLAY_PCAP_WRITE_H
#define BF_REPLAY_PCAP_WRITE_H
/* A pcap file of Ethernet frames, with nanoseconds. */
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct bf_pcap_writer;

/* 0, or -errno with a sentence. */
int bf_pcap_create(const char *path, struct bf_pcap_writer **out, struct bf_error *err);
/* time_ns since the epoch; len bytes are there of a frame of `wire` bytes. */
int bf_pcap_put(struct bf_pcap_writer *w, uint64_t time_ns, const void *frame, size_t len,
		size_t wire, struct bf_error *err);
/* Writes what is left. */
int bf_pcap_close(struct bf_pcap_writer *w, struct bf_error *err);

#endif
