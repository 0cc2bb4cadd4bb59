/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_TYPES_H
#define BPFAST_TYPES_H
/*
 * Fixed-width types for the headers that both sides compile. The kernel's
 * UAPI names are used, so that bpf/ needs nothing else.
 */
#include <linux/types.h>

#ifndef static_assert
#define static_assert _Static_assert
#endif

#endif
