/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_CLOCK_H
#define BF_AGENT_CLOCK_H
#include <stdint.h>

/* CLOCK_MONOTONIC, ns. */
uint64_t bf_now_ns(void);

#endif
