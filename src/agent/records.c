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

#include "agent/shield/attacks.h"
#include "agent/log.h"
#include "agent/server.h"
#include "observe/record.h"

#define OUT_MAX (512u << 10) /* bytes formatted ahead of what the client has read */
#define FILE_BYTES (256u << 10) /* written to the file of records at once */
#define TURN 2048 /* records looked at before it is another's turn */

int64_t bf_wall_offset_ns(void)
{
	struct timespec wall, mono;

	clock_gettime(CLOCK_REALTIME, &wall);
	clock_gettime(CLOCK_MONOTONIC, &mono);
	return ((int64_t)wall.tv_sec - mono.tv_sec) * 1000000000 + wall.tv_nsec - mono.tv_nsec;
}

static void to_file(struct bf_agent *a)
{
	struct bf_text *t = &a->records_text;

	/* What memory ran out for is lost like what the disk has no room for. */
	if (t->failed) {
		a->records_file.failed = true;
		a->records_file.error = ENOMEM;
		a->records_file.lost += a->records_text_lines;
	} else if (t->len) {
		bf_rotated_write(&a->records_file, t->data, t->len, a->records_text_lines);
	}
	if (t->failed)
		bf_text_free(t);
	bf_text_clear(t);
	t->failed = false;
	a->records_text_lines = 0;
}

/* One line of JSON of a record, an attack's too. */
static void record(struct bf_agent *a, struct bf_text *out, const struct bpfast_event *ev,
		   const struct bf_view *view, const struct bf_record_options *options)
{
	const char *line;

	if (ev->type != BPFAST_EV_ATTACK) {
		bf_record_json(out, ev, view, options);
		return;
	}
	line = bf_attack_line(a, ev);
	if (!line)
		return;
	bf_text_puts(out, line);
	bf_text_puts(out, "\n");
}

static void on_event(void *arg, const struct bpfast_event *ev)
{
	struct bf_agent *a = arg;
	struct bf_record_options options = {.node_name = a->node_name};

	bf_recorder_add(&a->recorder, ev);
	if (!a->records_file.path)
		return;
	options.wall_offset_ns = a->wall_offset_ns;
	record(a, &a->records_text, ev, bf_views_find(&a->views, ev->generation), &options);
	a->records_text_lines++;
	if (a->records_text.len > FILE_BYTES)
		to_file(a);
}

void bf_records_drain(struct bf_agent *a)
{
	a->wall_offset_ns = bf_wall_offset_ns();
	if (bf_datapath_events(a->dp, on_event, a) > 0)
		bf_server_records(a);
	if (a->records_file.path)
		to_file(a);
}

bool bf_records_losing(const struct bf_agent *a)
{
	/* A disk that is full still takes a short line now and then. */
	return a->records_losing || a->records_file.failed ||
	       a->records_file.lost != a->records_lost_seen;
}

void bf_records_add(struct bf_agent *a, const struct bpfast_event *ev)
{
	bf_records_drain(a);
	on_event(a, ev);
	bf_server_records(a);
	if (a->records_file.path)
		to_file(a);
}

void bf_records_file_report(struct bf_agent *a)
{
	const struct bf_rotated *f = &a->records_file;
	bool losing = f->lost != a->records_lost_seen;

	a->records_lost_seen = f->lost;
	if (losing && !a->records_losing)
		bf_log_error("flow records are lost, for their file cannot be written", "file",
			     f->path, "why", bf_rotated_why(f), "lost", bf_num((long long)f->lost));
	else if (!losing && a->records_losing && !f->failed)
		bf_log_info("flow records are written again", "file", f->path, "lost",
			    bf_num((long long)f->lost));
	else if (a->records_losing && f->failed)
		losing = true; /* nothing was to be written since */
	a->records_losing = losing;
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
			record(a, &c->out, ev, view, &options);
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
