/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_STAGE_TYPES_H
#define BPFAST_STAGE_TYPES_H
/* What the stages hand to each other. */
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "bpfast/types.h"

/* Working memory of one packet. */
struct scratch {
	__u64 todo;
};

#endif
