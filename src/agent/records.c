// SPDX-License-Identifier: Apache-2.0
/*
 * From the kernel's ring into memory, and from memory to those who look. An
 * observer has a place in the ring; who reads too slowly is overtaken, and
 * learns how many records that cost.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/server.h"
#include "observe/record.h"

#define OUT_MAX (512u << 10) /* bytes formatted ahead of what the client has read */
#define TURN 2048 /* records looked at before it is another's turn */

int64_t bf_wall_offset_ns(void)
{
	struct timespec wall, mono;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	return ((int64_t)wall.tv_sec - mono.tv_sec) * 1000000000 + wall.tv_nsec - mono.tv_nsec;
}

static void on_event(void *arg, const struct bpfast_event *ev)
{
	bf_recorder_add(&((struct bf_agent *)arg)->recorder, ev);
}

void bf_records_drain(struct bf_agent *a)
{
	if (bf_datapath_events(a->dp, on_event, a) > 0)
		bf_server_records(a);
}

void bf_client_records(struct bf_client *c)
{
	struct bf_agent *a = c->agent;
	struct bf_recorder *r = &a->recorder;
	struct bf_record_options options = {
		.node_name = a->node_name,
		.wall_offset_ns = bf_wall_offset_ns(),
		.show_query = c->show_query,
	};
	uint64_t end = c->follow ? r->total : c->end, oldest = bf_recorder_oldest(r);
	const struct bpfast_event *ev;
	const struct bf_view *view;
	unsigned int turn;

	if (c->cursor < oldest) {
		c->lost += oldest - c->cursor;
		c->cursor = oldest;
	}
	for (turn = 0; turn < TURN && c->cursor < end && c->out.len - c->sent < OUT_MAX; turn++) {
		ev = bf_recorder_get(r, c->cursor++);
		if (!ev)
			continue;
		view = bf_views_find(&a->views, ev->generation);
		if (bf_filter_matches(&c->filter, ev, view))
			bf_record_json(&c->out, ev, view, &options);
	}
	if (c->lost) {
		bf_client_send(c, json_pack("{s:I}", "lost", (json_int_t)c->lost));
		c->lost = 0;
	}
	if (!c->follow && c->cursor >= end) {
		bf_client_send(c, json_pack("{s:{}}", "end"));
		c->observing = false;
	}
}

static int observe(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		   struct bf_error *err)
{
	const json_t *last = json_object_get(args, "last");
	bool follow = json_is_true(json_object_get(args, "follow"));
	bool show_query = json_is_true(json_object_get(args, "show_query"));
	json_int_t want = json_integer_value(last);
	const struct bpfast_event *ev;
	uint64_t n, oldest;
	int r;

	(void)result;
	bf_filter_free(&c->filter);
	if (show_query && c->uid != 0)
		return bf_err(err, -EPERM, "query strings are shown to root only");
	if (last && (!json_is_integer(last) || want < 0))
		return bf_err(err, -EINVAL, "--last: a number of records is needed");
	r = bf_filter_init(&c->filter, json_string_value(json_object_get(args, "verdict")),
			   json_string_value(json_object_get(args, "protocol")),
			   json_string_value(json_object_get(args, "endpoint")), err);
	if (r)
		return r;
	bf_records_drain(a);
	oldest = bf_recorder_oldest(&a->recorder);
	c->end = n = a->recorder.total;
	if (!last && !follow)
		n = oldest;
	while (n > oldest && want > 0) {
		ev = bf_recorder_get(&a->recorder, --n);
		if (bf_filter_matches(&c->filter, ev, bf_views_find(&a->views, ev->generation)))
			want--;
	}
	c->cursor = n;
	c->show_query = show_query;
	c->follow = follow;
	c->observing = true;
	if (follow) {
		a->observers++;
		bf_datapath_control(a->dp)->observed = 1;
	}
	bf_client_send(c, json_pack("{s:{}}", "result"));
	return BF_STREAMING;
}

const struct bf_command bf_observe_commands[] = {
	{"observe", observe},
	{NULL, NULL},
};
