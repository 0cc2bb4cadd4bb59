/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_CARRY_FLOW_H
#define BF_DATAPATH_CARRY_FLOW_H
/* Reading another layout's flows, and making them anew in ours. */
#include "bpfast/carry.h"
#include "datapath/internal.h"
#include "datapath/members.h"
#include "datapath/note.h"

#define BF_SOURCES_MAX 8u /* layouts under one pin directory */

/* Another layout. */
struct bf_source {
	char layout[64];
	int endp, flow, chunk; /* fds of its maps, or -1 */
	bool readable; /* its flows can be: else they are lost, and end once */
	bool same_streams; /* its parsers' states are ours */
	struct bf_note note;
	struct bf_plan endpoint_plan, key_plan, flow_plan;
	uint32_t chunk_bytes; /* of a chunk as a whole */
	struct bf_member next, owner, seq, len, taken, data; /* of a chunk */
	uint16_t slot[UINT16_MAX + 1]; /* its slot -> ours; UINT16_MAX: not wanted now */
};

struct bf_carrier {
	struct bf_source *source;
	size_t sources;
	struct bf_note own;
	struct carry_bpf *skel;
	int prog; /* fd of bpfast_carry */
	struct bf_carried done;
	uint8_t *chunk; /* one of a source's */
	struct bpfast_carry order;
	/* Of the flows in the order: the first of their chunks, and whether they are in a head. */
	uint32_t first[BPFAST_CARRY_MAX];
	bool head[BPFAST_CARRY_MAX];
};

/* Opens all other layouts. One that cannot be read is there, and not readable. */
int bf_carrier_open(struct bf_datapath *dp, struct bf_carrier *c, struct bf_error *err);
void bf_carrier_close(struct bf_carrier *c);
/* Removes flows of endpoints that are not ours: from an earlier time, they know nothing any more. */
int bf_carrier_purge(struct bf_datapath *dp, struct bf_carrier *c, struct bf_error *err);
/* Who guards it, and knows its flows; NULL: nobody. */
struct bf_source *bf_carrier_source(struct bf_carrier *c, int ifindex);
/* Its flows are wanted by the next copy. */
void bf_source_want(struct bf_source *s, const struct bf_datapath_endpoint *want);
/* all: also those of inspected connections, which must not change meanwhile. */
int bf_source_copy(struct bf_datapath *dp, struct bf_carrier *c, struct bf_source *s, bool all);

#endif
