/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_OBSERVE_RECORD_H
#define BF_OBSERVE_RECORD_H
/*
 * Records for people and programs. The JSON has the field names of Hubble's
 * flow JSON (https://docs.cilium.io/en/stable/_api/v1/flow/README/) where it
 * has one; `rule` inside `*_denied_by` and `*_allowed_by` is our own.
 */
#include <jansson.h>

#include "bpfast/event.h"
#include "observe/text.h"
#include "observe/view.h"

struct bf_record_options {
	const char *node_name;
	int64_t wall_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC */
	bool show_query; /* else what follows '?' and user information are redacted */
};

/* Appends one line of JSON, newline included. view may be NULL: not known any more. */
void bf_record_json(struct bf_text *out, const struct bpfast_event *ev, const struct bf_view *view,
		    const struct bf_record_options *options);

/* Appends one line for people from what bf_record_json() made. colour: with ANSI colours. */
void bf_record_compact(struct bf_text *out, const json_t *record, bool colour);

/* True: the packet was sent by the endpoint that the record is about. */
bool bf_record_local_is_source(const struct bpfast_event *ev);

/* "METHOD TARGET" with query and user information replaced, unless show_query. */
void bf_record_target(struct bf_text *out, const char *target, size_t len, bool show_query);

#endif
