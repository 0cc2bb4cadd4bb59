/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_CENSUS_H
#define BPFAST_CENSUS_H
/*
 * The census: what the flow table knows of TCP connections into pods, a row for each. The
 * agent runs the program bpfast_census a few times a second and reads the rows. Packets pay
 * nothing for it.
 */
#include "types.h"
#include "flow.h"

/* Rows of one census; connections beyond them are counted, not judged. */
#define BPFAST_CENSUS_MAX 65536

struct bpfast_census_row {
	struct bpfast_flow_key key;
	__u64 seen_ns; /* CLOCK_MONOTONIC of the last packet */
	__u32 flags; /* enum bpfast_flow_flags */
	__u32 requests;
	__u32 client_next, server_next, server_acked; /* sequence numbers; see flow.h */
	__u32 remote_identity, generation;
	__u8 client_state, server_state; /* of the parser */
	__u16 text_len;
	char text[BPFAST_FLOW_TEXT]; /* "METHOD TARGET" of the last request */
};

static_assert(sizeof(struct bpfast_census_row) == 136, "row");

/* bpfast_cenctl: one element, mapped into the agent. */
struct bpfast_census {
	__u32 rows; /* written: at most BPFAST_CENSUS_MAX */
	__u32 left_out;
	__u32 closed; /* asked for: rows of connections that are over, for their requests */
	__u32 pad;
};

#endif
