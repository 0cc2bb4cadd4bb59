/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_REPLAY_HELD_H
#define BF_REPLAY_HELD_H
/*
 * Packets that their senders would send again: dropped or cut short by a
 * program that counts on it. The capture was made without the program, so it does
 * not hold these retransmissions; a replay makes them.
 */
#include "bpfast/reasons.h"
#include "replay/frame.h"

struct bf_held {
	struct bf_held *next; /* the order in which they came */
	struct bf_frame f;
	uint32_t ack; /* what the sender would acknowledge by now */
	uint32_t reason; /* why it was dropped last; BPFAST_R_NONE: a part of it went */
	size_t len;
	uint8_t frame[];
};

struct bf_held_list {
	struct bf_held *first;
	size_t n;
};

/* At once; the oldest makes room for another. */
#define BF_HELD_MAX 1024

/* Takes a copy: *held. *given_up: the one that made room, the caller's to free; else NULL. 0, -ENOMEM. */
int bf_held_add(struct bf_held_list *list, const uint8_t *frame, size_t len,
		const struct bf_frame *f, uint32_t reason, struct bf_held **held,
		struct bf_held **given_up);
/* Takes it out; the caller frees it. */
void bf_held_remove(struct bf_held_list *list, struct bf_held *held);
/* Of the same connection, in either direction. */
bool bf_held_same(const struct bf_held *held, const struct bf_frame *f);
/* A packet of some connection passed: senders there have seen more now. */
void bf_held_heard(struct bf_held_list *list, const struct bf_frame *f);

#endif
