/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_HTTP1_STREAM_H
#define BF_TEST_HTTP1_STREAM_H
/*
 * The HTTP/1 parser of bpf/proto, compiled for user space, over a stream that comes in
 * pieces, as bpf/stream hands it over. What it reads lies against pages that may not be
 * touched, what it has not been given is filled with bytes that would change its mind.
 *
 * Who includes this defines STREAM_FAIL(format, ...), which does not return.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* src/match has a dfa.h too: this one by its place. */
#include "../../bpf/match/dfa.h"
#include "match/lookup.h"
#include "proto/http1_request.h"
#include "proto/http1_response.h"

/* Where the image lies in the arena: not at 0, for offsets are relative to it. */
#define IMAGE_AT 64u

/* A block whose end lies against a page that may not be touched. */
static void *guarded(size_t size, size_t align)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), body = (size + page - 1) / page * page;
	uint8_t *p =
		mmap(NULL, body + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED || mprotect(p + body, page, PROT_NONE))
		STREAM_FAIL("no memory");
	return p + (body - size) / align * align;
}

static struct http_walk *w; /* guarded */
static uint8_t *input; /* ends at `input_end`, guarded */
#define INPUT_MAX 8192

/* Puts an image where the parser reads it. */
static inline void use_image(const void *image, size_t len)
{
	uint8_t *arena;

	bf_arena_size = IMAGE_AT + (uint32_t)len;
	arena = guarded(bf_arena_size + BPFAST_ARENA_GUARD, 8);
	memcpy(arena + IMAGE_AT, image, len);
	bf_arena_base = arena;
	if (w)
		return;
	w = guarded(sizeof(*w), _Alignof(struct http_walk));
	input = guarded(INPUT_MAX, 1);
}

/* --- a stream, segment by segment, as bpf/stream does it ------------------------------- */

/* What outlives a segment: the members of struct bpfast_flow. */
struct kept {
	struct bpfast_stream st;
	__u32 set[HF_COUNT];
	__u16 header_set[BPFAST_HEADER_SLOTS];
	char text[sizeof(((struct bpfast_flow *)0)->text)];
	__u32 text_len, requests, responses, status, upgrade_set, authority, tunnel, connect;
	__u64 head_requests;
	__u32 audit;
};

/* What a stream of bytes came to. */
struct outcome {
	__u32 reason, requests, responses, status, state, tunnel;
	__u32 rule_ref; /* of the last request, or of the refusal */
	__u32 audited; /* requests that only mode audit let pass */
	char text[64];
};

static bool blind(__u32 state)
{
	return state == H1_BODY || state == H1_CHUNK_DATA || state >= H1_UNTIL_CLOSE;
}

static inline bool in_head(__u32 state)
{
	return state > H1_START && state <= H1_END_LF;
}

/* The next bytes at hand; behind them lies `fill`. */
static void load(const uint8_t *data, uint8_t fill)
{
	__u32 n = w->end - w->pos;

	if (w->pos - w->window_off < w->window_len)
		return;
	if (w->st.state >= H1_METHOD && w->st.state <= H1_TARGET && w->pos != w->text_pos)
		request_text_keep(w);
	w->window_len = n < HTTP_WINDOW ? n : HTTP_WINDOW;
	w->window_off = w->pos;
	memset(w->window, fill, sizeof(w->window));
	memcpy(w->window, data + w->pos, w->window_len);
}

static void begin(const struct kept *k, __u32 len, uint8_t fill)
{
	memset(w, fill, sizeof(*w));
	w->st = k->st;
	w->text_len = k->text_len;
	w->text_pos = 0;
	w->image = IMAGE_AT;
	w->generation = 1;
	w->pos = 0;
	w->end = len;
	w->window_off = w->window_len = 0;
	w->message = 0;
	w->reason = BPFAST_R_NONE;
	w->event = HE_NONE;
	w->rule_ref = 0;
	w->requests = k->requests;
	w->responses = k->responses;
	w->head_requests = k->head_requests;
	w->upgraded = 0;
	w->audit = k->audit;
	w->audited = BPFAST_R_NONE;
	w->tunnel = HT_NONE;
	w->connect = k->connect;
}

/* A parser that neither reads on nor changes its state would never end. */
static void check_progress(__u32 pos, __u32 state, unsigned int *idle)
{
	if (w->pos == pos && w->st.state == state)
		STREAM_FAIL("stuck in state %u at byte %u", state, pos);
	*idle = w->pos == pos ? *idle + 1 : 0;
	if (*idle > 3)
		STREAM_FAIL("no byte read in four steps, state %u", state);
}

/* Called where a head or a response is complete; w says of what. */
static void (*on_event)(struct kept *k);

static inline void judge(struct kept *k, const uint8_t *data, __u32 len, uint8_t fill,
			 struct outcome *out)
{
	unsigned int idle = 0;

	begin(k, len, fill);
	if (in_head(k->st.state)) {
		memcpy(w->set, k->set, sizeof(w->set));
		memcpy(w->header_set, k->header_set, sizeof(w->header_set));
		memcpy(w->text, k->text, sizeof(k->text));
		w->upgrade_set = k->upgrade_set;
		w->authority = k->authority;
	}
	w->ruleset = IMAGE_AT + IMAGE_FIELD(IMAGE_AT, ruleset_off);
	while (w->pos < w->end && !w->reason) {
		__u32 pos = w->pos, state = w->st.state;

		if (!blind(state))
			load(data, fill);
		request_step(w);
		if (!w->reason)
			check_progress(pos, state, &idle);
		if (w->event == HE_HEAD) {
			if (on_event)
				on_event(k);
			out->rule_ref = w->rule_ref;
			out->audited += w->audited != BPFAST_R_NONE;
		}
	}
	if (w->pos > w->end)
		STREAM_FAIL("read past the end");
	if (w->st.state >= H1_METHOD && w->st.state <= H1_TARGET &&
	    (w->pos != w->text_pos || w->reason))
		request_text_keep(w);
	request_check_line(w);
	out->reason = w->reason;
	if (w->reason) {
		out->rule_ref = w->rule_ref;
		return;
	}
	k->st = w->st;
	memcpy(k->set, w->set, sizeof(k->set));
	memcpy(k->header_set, w->header_set, sizeof(k->header_set));
	memcpy(k->text, w->text, sizeof(k->text));
	k->upgrade_set = w->upgrade_set;
	k->authority = w->authority;
	if (k->requests != w->requests)
		k->tunnel = w->tunnel;
	k->text_len = w->text_len;
	k->requests = w->requests;
	k->head_requests = w->head_requests;
	out->requests = w->requests;
	out->tunnel = k->tunnel;
	out->state = w->st.state;
}

static inline void answer(struct kept *k, const uint8_t *data, __u32 len, uint8_t fill,
			  struct outcome *out)
{
	unsigned int idle = 0;

	begin(k, len, fill);
	w->ruleset = 0;
	w->status = k->status;
	while (w->pos < w->end) {
		__u32 pos = w->pos, state = w->st.state;

		if (!blind(state))
			load(data, fill);
		response_step(w);
		if (w->reason)
			STREAM_FAIL("a response was refused");
		check_progress(pos, state, &idle);
		if (w->event != HE_NONE && on_event)
			on_event(k);
		if (w->event == HE_MESSAGE)
			out->status = out->status * 31 + w->status;
	}
	if (w->pos > w->end)
		STREAM_FAIL("read past the end");
	k->st = w->st;
	k->responses = w->responses;
	k->status = w->st.dfa[1];
	out->responses = w->responses;
	out->state = w->st.state;
}

typedef void (*reader)(struct kept *, const uint8_t *, __u32, uint8_t, struct outcome *);

/* Reads bytes in pieces that end at the given places. */
static struct outcome in_pieces(reader read, const struct kept *at, const void *bytes, size_t n,
				const size_t *cut, size_t cuts, uint8_t fill)
{
	struct outcome out = {0};
	struct kept k = {0};
	size_t from = 0;

	if (at)
		k = *at;
	if (n > INPUT_MAX)
		STREAM_FAIL("%zu bytes are too many", n);
	for (size_t i = 0; i <= cuts && !out.reason; i++) {
		size_t to = i < cuts ? cut[i] : n;
		uint8_t *p = input + INPUT_MAX - (to - from);

		if (to == from)
			continue;
		memcpy(p, (const uint8_t *)bytes + from, to - from);
		read(&k, p, (__u32)(to - from), fill, &out);
		from = to;
	}
	return out;
}

#endif
