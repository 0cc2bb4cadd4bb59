// SPDX-License-Identifier: Apache-2.0
#include "observe/recorder.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int bf_recorder_init(struct bf_recorder *r, size_t cap)
{
	memset(r, 0, sizeof(*r));
	if (!cap)
		return 0;
	/* Untouched pages cost nothing until records fill them. */
	r->ring = calloc(cap, sizeof(*r->ring));
	if (!r->ring)
		return -ENOMEM;
	r->cap = cap;
	return 0;
}

void bf_recorder_free(struct bf_recorder *r)
{
	free(r->ring);
	memset(r, 0, sizeof(*r));
}

void bf_recorder_add(struct bf_recorder *r, const struct bpfast_event *ev)
{
	if (r->cap)
		r->ring[r->total % r->cap] = *ev;
	r->total++;
}

uint64_t bf_recorder_oldest(const struct bf_recorder *r)
{
	return r->total > r->cap ? r->total - r->cap : 0;
}

const struct bpfast_event *bf_recorder_get(const struct bf_recorder *r, uint64_t number)
{
	if (number >= r->total || number < bf_recorder_oldest(r))
		return NULL;
	return &r->ring[number % r->cap];
}
