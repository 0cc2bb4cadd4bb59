/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_VOUCH_H
#define BPFAST_VOUCH_H
/*
 * What shield tells the hooks of pods: this connection's handshake took place, although its SYN was
 * answered on the device and never came to the pod. bpfast_vouch, an LRU hash: written after a valid
 * cookie only, so nobody gets in here with a forged source.
 */
#include "types.h"

#define BPFAST_VOUCHES_MAX 8192
/* From the device to the pod. */
#define BPFAST_VOUCH_AGE (2 * 1000000000ll)

struct bpfast_vouch_key {
	__u8 client[16] __attribute__((aligned(8))); /* IPv4 as ::ffff:a.b.c.d */
	__u8 server[16] __attribute__((aligned(8)));
	__be16 client_port, server_port;
	__u8 pad[4];
};

struct bpfast_vouch {
	__u64 time_ns; /* CLOCK_MONOTONIC, coarse */
	__u32 seq, ack; /* of the ACK that brought the cookie */
};

static_assert(sizeof(struct bpfast_vouch_key) == 40, "vouch key");
static_assert(sizeof(struct bpfast_vouch) == 16, "vouch");

#endif
