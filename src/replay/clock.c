// SPDX-License-Identifier: Apache-2.0
#include "replay/clock.h"

#include <errno.h>
#include <stdlib.h>

static int keep(struct bf_replay_clock *c, uint64_t kernel_ns, int64_t capture_ns)
{
	struct bf_replay_instant *more;
	size_t cap = c->cap ? c->cap * 2 : 64;

	if (c->n && c->v[c->n - 1].kernel_ns == kernel_ns)
		return 0;
	if (c->n == c->cap) {
		more = realloc(c->v, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		c->v = more;
		c->cap = cap;
	}
	c->v[c->n++] = (struct bf_replay_instant){kernel_ns, capture_ns};
	return 0;
}

static int by_kernel(const void *key, const void *member)
{
	const struct bf_replay_instant *a = key, *b = member;

	return a->kernel_ns < b->kernel_ns ? -1 : a->kernel_ns > b->kernel_ns;
}

int bf_replay_clock_set(struct bf_replay_clock *clock, struct bpfast_event *ev, int64_t capture_ns)
{
	struct bf_replay_instant asked = {.kernel_ns = ev->time_ns - ev->latency_ns}, *found;
	int r = 0;

	if (ev->type == BPFAST_EV_HTTP_REQUEST) {
		r = keep(clock, ev->time_ns, capture_ns);
	} else if (ev->latency_ns) {
		/* The very instant that the request's record has. */
		found = clock->n ? bsearch(&asked, clock->v, clock->n, sizeof(*clock->v), by_kernel)
				 : NULL;
		ev->latency_ns = found && capture_ns > found->capture_ns
					 ? (uint64_t)(capture_ns - found->capture_ns)
					 : 0;
	}
	ev->time_ns = capture_ns > 0 ? (uint64_t)capture_ns : 0;
	return r;
}

void bf_replay_clock_free(struct bf_replay_clock *clock)
{
	free(clock->v);
}
