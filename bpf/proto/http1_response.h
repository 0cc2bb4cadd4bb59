/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_PROTO_HTTP1_RESPONSE_H
#define BPFAST_PROTO_HTTP1_RESPONSE_H
/*
 * Responses: read to know which request each belongs to, its status, and where
 * it ends. Nothing is refused here: what cannot be read ends in H1_UNKNOWN, from
 * which nothing is concluded.
 */
#include "proto/http1.h"

/* Arena offset of the automaton over response header names. */
static __always_inline __u32 response_names(const struct http_walk *w)
{
	return w->st.image_off +
	       arena_u32(w->st.image_off +
			 (__u32) __builtin_offsetof(struct bpfast_image, response_name_dfa_off));
}

static __always_inline void response_begin(struct http_walk *w)
{
	w->st.generation = w->generation;
	w->st.image_off = w->image;
	w->st.head_len = 0;
	w->st.bits = 0;
	w->st.body_left = 0;
	w->st.value = 0;
	w->st.dfa[0] = 0;
	w->st.state = H1_STATUS;
	w->status = 0;
}

/* "HTTP/1.x NNN" (RFC 9112, section 4): value counts the bytes, dfa[1] holds the code. */
static __always_inline void response_status(struct http_walk *w)
{
	__u32 pos = w->pos, limit = http_limit(w), n = w->st.value, code = n ? w->st.dfa[1] : 0;

	for (int i = 0; i < 12; i++) {
		__u8 c;

		if (pos >= limit || n > 11)
			break;
		c = http_byte(w, pos);
		pos++;
		if (n >= 9 && c >= '0' && c <= '9') {
			code = code * 10 + (c - '0');
		} else if (n == 7 && (c == '0' || c == '1')) {
			if (c == '0')
				w->st.bits |= HB_HTTP10;
		} else if (n >= 9 || c != (n < 8 ? http_nth(HTTP_VERSION_BYTES, n) : ' ')) {
			http_refuse(w, BPFAST_R_HTTP_NOT_HTTP);
			break;
		}
		n++;
	}
	if (n > 11)
		w->st.state = H1_REASON;
	w->st.value = n;
	w->st.dfa[1] = code;
	http_took(w, pos);
}

static __always_inline void response_header(struct http_walk *w, __u32 name)
{
	__u32 known = name & 0xff;

	w->st.state = H1_VALUE;
	w->st.value = 0;
	w->st.name = name;
	w->st.bits &= ~HB_ELEMENT;
	if (w->st.bits & HB_TRAILER)
		return;
	if (known == BPFAST_HN_CONTENT_LENGTH) {
		if (w->st.bits & HB_LENGTH)
			http_refuse(w, BPFAST_R_HTTP_FRAMING);
		w->st.bits |= HB_LENGTH;
		w->st.body_left = 0;
	} else if (known == BPFAST_HN_TRANSFER_ENCODING) {
		/* In HTTP/1.0, and applied twice, it is faulty (RFC 9112, section 6.1). */
		if (w->st.bits & (HB_ENCODING | HB_HTTP10))
			http_refuse(w, BPFAST_R_HTTP_FRAMING);
		w->st.bits |= HB_ENCODING;
	}
}

/* The head is complete: what body follows (RFC 9112, section 6.3). */
static __always_inline void response_body(struct http_walk *w)
{
	__u32 status = w->st.dfa[1];

	w->status = status;
	w->event = HE_HEAD;
	if (status == 101 || (w->connect && status / 100 == 2)) {
		w->st.state = H1_TUNNEL;
		w->event = HE_MESSAGE;
		return;
	}
	if (status < 200) {
		w->st.state = H1_START; /* an interim response: the final one follows */
		w->event = HE_NONE;
		return;
	}
	if (w->head_requests >> (w->responses & 63) & 1 || status == 204 || status == 304) {
		w->st.state = H1_START;
		w->event = HE_MESSAGE;
	} else if (w->st.bits & HB_ENCODING) {
		http_chunk_next(w);
	} else if (w->st.bits & HB_LENGTH) {
		w->st.state = w->st.body_left ? H1_BODY : H1_START;
		w->event = w->st.body_left ? HE_HEAD : HE_MESSAGE;
	} else {
		w->st.state = H1_UNTIL_CLOSE;
		w->st.body_left = HTTP_BODY_ENDLESS;
	}
}

static __always_inline void response_end(struct http_walk *w)
{
	w->st.state = H1_START;
	w->event = HE_MESSAGE;
}

ARENA_GLOBAL int response_status_step(struct http_walk *w)
{
	if (w)
		response_status(w);
	return 0;
}

ARENA_GLOBAL int response_value_step(struct http_walk *w)
{
	__u32 known;

	if (!w)
		return 0;
	known = w->st.bits & HB_TRAILER ? 0 : w->st.name & 0xff;
	if (known == BPFAST_HN_CONTENT_LENGTH)
		http_value_length(w);
	else if (known == BPFAST_HN_TRANSFER_ENCODING)
		http_value_encoding(w);
	else
		http_value_skip(w);
	return 0;
}

/* Behind the empty line: a body, or the end of the message. */
ARENA_GLOBAL int response_head_end(struct http_walk *w)
{
	if (!w)
		return 0;
	w->st.state = H1_START;
	if (w->st.bits & HB_TRAILER)
		response_end(w);
	else
		response_body(w);
	return 0;
}

/* Header lines, as many as are at hand. */
ARENA_GLOBAL int response_lines_step(struct http_walk *w)
{
	__u32 names;

	if (!w)
		return 0;
	names = response_names(w);
	for (int i = 0; i < HTTP_LINES; i++) {
		http_lines(w, names);
		if (w->name == ~0u || w->reason)
			break;
		response_header(w, w->name);
		if (w->reason || w->pos >= http_limit(w))
			break;
		response_value_step(w);
		if (w->st.state != H1_NAME || w->reason || w->pos >= http_limit(w))
			break;
	}
	if (w->st.state == H1_END && !w->reason)
		response_head_end(w);
	return 0;
}

static __always_inline void response_step(struct http_walk *w)
{
	w->event = HE_NONE;
	switch (w->st.state) {
	case H1_START:
		response_begin(w);
	/* fallthrough */
	case H1_STATUS:
		response_status_step(w);
		break;
	case H1_REASON:
		http_value_skip(w);
		break;
	case H1_LINE_LF:
		http_name_begin(w);
		break;
	case H1_NAME:
		response_lines_step(w);
		break;
	case H1_VALUE:
		response_value_step(w);
		break;
	case H1_END_LF:
		http_expect(w, '\n', H1_END, BPFAST_R_HTTP_HEADER);
		if (!w->reason)
			response_head_end(w);
		break;
	default:
		if (http_body_step(w, 0))
			response_end(w);
		if (w->st.state ==
		    H1_NAME) { /* a trailer: the body may have outlived its head's tables */
			w->st.generation = w->generation;
			w->st.image_off = w->image;
		}
	}
	if (w->event == HE_MESSAGE)
		w->responses++;
	if (w->reason) {
		w->reason = BPFAST_R_NONE;
		w->st.state = H1_UNKNOWN;
	}
}

#endif
