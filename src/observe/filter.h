/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_OBSERVE_FILTER_H
#define BF_OBSERVE_FILTER_H
/* Which records somebody wants to see. */
#include "base/error.h"
#include "bpfast/event.h"
#include "observe/view.h"

struct bf_filter {
	int verdict; /* -1: any */
	int protocol; /* -1: any */
	bool http; /* only requests and responses */
	char *namespace; /* of `endpoint`; NULL: any */
	char *endpoint; /* on either side; NULL: any */
};

/* Each text may be NULL: any. endpoint: NAME or NAMESPACE/NAME. 0, -EINVAL, -ENOMEM. */
int bf_filter_init(struct bf_filter *filter, const char *verdict, const char *protocol,
		   const char *endpoint, struct bf_error *err);
void bf_filter_free(struct bf_filter *filter);
bool bf_filter_matches(const struct bf_filter *filter, const struct bpfast_event *ev,
		       const struct bf_view *view);

#endif
