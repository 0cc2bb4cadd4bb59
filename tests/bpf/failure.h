/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_FAILURE_H
#define BF_TEST_FAILURE_H
/* A packaging that made a difference is made small, told, and written down for `bpfast replay`. */
#include "delivery.h"

#define FAILURE_DIR "build/invariance-failure"

void failure_tell(const struct stream *s, const struct packaging *p, const char *what);

#endif
