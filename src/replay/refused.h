/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_REPLAY_REFUSED_H
#define BF_REPLAY_REFUSED_H
/*
 * TCP connections that were refused. The capture was made without the policy and
 * goes on behind a refusal; what it holds there is run all the same, but its being dropped
 * is no news.
 */
#include "replay/frame.h"

struct bf_refused {
	struct bf_refused_key {
		uint8_t addr[2][16]; /* in order, so that both directions are one key */
		uint16_t port[2];
		uint32_t used; /* 0: free; also after a removal */
	} *v; /* open addressing, probed one by one */
	size_t n, cap; /* cap: a power of two, or 0 */
};

/* 0, -ENOMEM. Frames that are no TCP are taken and forgotten. */
int bf_refused_add(struct bf_refused *set, const struct bf_frame *f);
bool bf_refused_has(const struct bf_refused *set, const struct bf_frame *f);
void bf_refused_remove(struct bf_refused *set, const struct bf_frame *f);
void bf_refused_free(struct bf_refused *set);

#endif
