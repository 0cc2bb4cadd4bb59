/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_CARRY_H
#define BPFAST_CARRY_H
/*
 * Carrying flows over from another version's tables. The agent reads them there
 * and makes each one by running the program bpfast_carry: only a program can start
 * a timer, take a chunk of the retention pool, or count, while others do the same.
 */
#include "types.h"
#include "flow.h"

enum bpfast_carry_what {
	BPFAST_CARRY_TAKE, /* a chunk: its index + 1 comes back; 0: there is none */
	BPFAST_CARRY_GIVE, /* it back */
	BPFAST_CARRY_FLOWS, /* makes flows: of each an enum bpfast_carry_result in two bits */
};

enum bpfast_carry_result {
	BPFAST_CARRY_DONE,
	BPFAST_CARRY_THERE, /* there is a flow of that key */
	BPFAST_CARRY_FULL,
	BPFAST_CARRY_FAILED,
};

/* Flows in one order: it has to fit a frame of BPF_PROG_TEST_RUN, 3,712 bytes, and a number the results. */
#define BPFAST_CARRY_MAX 9

/* One order, as the bytes of a frame that BPF_PROG_TEST_RUN brings to the program. */
struct bpfast_carry {
	__u8 ethernet[14]; /* zero: no protocol that the kernel looks into */
	__u8 pad[2];
	__u32 what; /* enum bpfast_carry_what */
	__u32 n; /* FLOWS: how many */
	__u32 link; /* GIVE: the chunk */
	__u32 tag; /* TAKE and GIVE: whose chunk */
	__u32 endpoint; /* TAKE: slot */
	__u32 pad2;
	struct bpfast_carry_flow {
		struct bpfast_flow_key key;
		/* A struct bpfast_flow; not of its type, for no timer may lie here. */
		__u64 flow[(sizeof(struct bpfast_flow) + 7) / 8];
	} one[BPFAST_CARRY_MAX];
};

static_assert(sizeof(struct bpfast_carry) <= 3712, "an order fits a frame");

#endif
