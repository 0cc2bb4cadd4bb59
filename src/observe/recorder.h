/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_OBSERVE_RECORDER_H
#define BF_OBSERVE_RECORDER_H
/* The last records, raw: they are formatted only for somebody who looks. */
#include <stddef.h>
#include <stdint.h>

#include "bpfast/event.h"

struct bf_recorder {
	struct bpfast_event *ring;
	size_t cap; /* records */
	uint64_t total; /* ever added; the next one goes to total % cap */
};

/* cap records of sizeof(struct bpfast_event) bytes. 0, -ENOMEM. */
int bf_recorder_init(struct bf_recorder *r, size_t cap);
void bf_recorder_free(struct bf_recorder *r);
void bf_recorder_add(struct bf_recorder *r, const struct bpfast_event *ev);
/* Number of the oldest record that is still there; numbers count from 0. */
uint64_t bf_recorder_oldest(const struct bf_recorder *r);
/* NULL: not there (any more). Valid until the next add. */
const struct bpfast_event *bf_recorder_get(const struct bf_recorder *r, uint64_t number);

#endif
