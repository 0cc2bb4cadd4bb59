/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_PROTO_HTTP1_REQUEST_H
#define BPFAST_PROTO_HTTP1_REQUEST_H
/*
 * Requests: reads them as the strictest server would, walks the rules'
 * automata along, and judges each head at its last byte. The request line is
 * in http1_line.h.
 */
#include "proto/http1_line.h"

/* A head begins: with the tables that are in force now it is judged to its end. */
static __always_inline void request_begin(struct http_walk *w)
{
	w->message = w->pos;
	request_tables(w);
	w->st.head_len = 0;
	w->st.bits &= HB_UPGRADED;
	w->st.body_left = 0;
	w->st.value = 0;
	w->text_len = 0;
	w->text_pos = w->pos;
	for (int i = 0; i < HF_COUNT; i++)
		w->set[i] = HTTP_SET_UNSEEN;
	for (int i = 0; i < BPFAST_HEADER_SLOTS; i++)
		w->header_set[i] = HTTP_SLOT_UNSEEN;
	w->upgrade_set = HTTP_SLOT_UNSEEN;
	w->authority = 0;
	w->st.state = H1_METHOD;
	w->st.dfa[0] = 0;
}

/* The colon was read: what the header is decides how its value is read. */
static __always_inline void request_header(struct http_walk *w, __u32 name)
{
	__u32 known = name & 0xff;

	w->st.state = H1_VALUE;
	w->st.value = 0;
	w->st.name = name;
	w->st.bits &= ~HB_ELEMENT;
	if (w->st.bits & HB_TRAILER) {
		/* What frames, routes or decides may not come behind the body (RFC 9110, section 6.5.1). */
		if (known != BPFAST_HN_OTHER || name >> 8)
			http_refuse(w, BPFAST_R_HTTP_CHUNK);
		return;
	}
	if (known == BPFAST_HN_CONTENT_LENGTH) {
		if (w->st.bits & (HB_LENGTH | HB_ENCODING))
			http_refuse(w, BPFAST_R_HTTP_FRAMING);
		w->st.bits |= HB_LENGTH;
		w->st.body_left = 0;
	} else if (known == BPFAST_HN_TRANSFER_ENCODING) {
		if (w->st.bits & (HB_LENGTH | HB_ENCODING | HB_HTTP10))
			http_refuse(w, BPFAST_R_HTTP_FRAMING);
		w->st.bits |= HB_ENCODING;
	} else if (known == BPFAST_HN_HOST) {
		if (w->st.bits & HB_HOST)
			http_refuse(w, BPFAST_R_HTTP_HOST);
		w->st.bits |= HB_HOST;
		w->st.word = AU_START;
	} else if (known == BPFAST_HN_UPGRADE) {
		w->st.bits |= HB_UPGRADE;
	}
}

/*
 * A value that rules read, without its outer blanks: dfa[0] has read all of
 * it, dfa[1] all up to the last byte that is not blank. Its CR ends it.
 */
ARENA_GLOBAL int value_run(struct http_walk *w, __u32 dfa)
{
	__u32 pos, limit, state, last, begun, mask;
	struct arena_view view;

	if (!w || !arena_open(&view))
		return 0;
	pos = w->pos;
	limit = http_limit(w);
	state = w->st.dfa[0];
	last = w->st.dfa[1];
	mask = dfa_mask_at(&view, dfa);
	begun = w->st.bits & HB_BEGUN;
	for (int i = 0; i < HTTP_RUN; i++) {
		__u8 c;

		if (pos >= limit)
			break;
		c = http_byte(w, pos);
		pos++;
		if (!http_is(c, HC_VALUE)) {
			if (c != '\r')
				http_refuse(w, BPFAST_R_HTTP_HEADER);
			w->st.state = H1_LINE_LF;
			break;
		}
		if (c != ' ' && c != '\t')
			begun = HB_BEGUN;
		else if (!begun)
			continue;
		state = dfa_step(&view, dfa, mask, state, c);
		if (c != ' ' && c != '\t')
			last = state;
	}
	w->st.dfa[0] = state;
	w->st.dfa[1] = last;
	w->st.bits |= begun;
	http_took(w, pos);
	return 0;
}

/*
 * Host, without its outer blanks: what servers agree on as host and port, and what the
 * target named, if it named one (RFC 9112, section 3.2). value hashes it.
 */
ARENA_GLOBAL int host_run(struct http_walk *w, __u32 dfa)
{
	__u32 pos, limit, state, hash, set, form;
	struct arena_view view;

	if (!w || !arena_open(&view))
		return 0;
	pos = w->pos;
	limit = http_limit(w);
	hash = w->st.value;
	form = authority_kept(w->st.word);
	state = hash || !dfa ? w->st.dfa[0] : dfa_start_at(&view, dfa);
	for (int i = 0; i < HTTP_RUN; i++) {
		__u8 c;

		if (pos >= limit)
			break;
		c = http_byte(w, pos);
		pos++;
		if (c == '\r') {
			w->st.state = H1_LINE_LF;
			break;
		}
		if (c == ' ') { /* no tabs: nginx refuses them */
			if (hash)
				w->st.bits |= HB_BLANK;
			continue;
		}
		if (!authority_byte(c) || w->st.bits & HB_BLANK) {
			http_refuse(w, c < 0x20 || c == 0x7f ? BPFAST_R_HTTP_HEADER
							     : BPFAST_R_HTTP_HOST);
			break;
		}
		hash = authority_hash(hash, c);
		form = authority_next(form, c);
		if (dfa)
			state = dfa_step(&view, dfa, dfa_mask_at(&view, dfa), state, c);
	}
	w->st.word = form;
	w->st.value = hash;
	w->st.dfa[0] = state;
	http_took(w, pos);
	if (w->st.state != H1_LINE_LF || w->reason)
		return 0;
	http_took(w, http_line_end(w, w->pos, limit));
	set = dfa ? dfa_accept(dfa, state) : 0;
	if (!authority_is(form, AU_WHOLE)) {
		http_refuse(w, BPFAST_R_HTTP_HOST);
		return 0;
	}
	if (w->st.bits & (HB_ABSOLUTE | HB_CONNECT) &&
	    ((__u16)(hash ^ hash >> 16) != w->authority || (dfa && set != w->set[HF_HOST])))
		http_refuse(w, BPFAST_R_HTTP_HOST);
	if (dfa)
		w->set[HF_HOST] = set;
	return 0;
}

/* slot: of the header, or SLOT_UPGRADE. */
#define SLOT_UPGRADE BPFAST_HEADER_SLOTS

static __always_inline void request_value_match(struct http_walk *w, __u32 dfa, __u32 slot)
{
	__u32 set;

	if (!w->st.value) {
		w->st.dfa[0] = dfa_start(dfa);
		w->st.dfa[1] = w->st.dfa[0];
		w->st.value = 1;
	}
	value_run(w, dfa);
	if (w->st.state != H1_LINE_LF)
		return;
	http_took(w, http_line_end(w, w->pos, http_limit(w)));
	set = dfa_accept(dfa, w->st.dfa[1]);
	if (slot == SLOT_UPGRADE) /* several, or behind CONNECT: nobody knows which */
		w->upgrade_set = w->upgrade_set == HTTP_SLOT_UNSEEN ? set : dfa_accept_dead(dfa);
	else if (w->header_set[slot] == HTTP_SLOT_UNSEEN)
		w->header_set[slot] = (__u16)set;
	else if (w->header_set[slot] != (__u16)set) /* unlike values: as if it were not there */
		w->header_set[slot] = (__u16)request_absent(w, slot);
}

static __always_inline void request_value(struct http_walk *w)
{
	__u32 known = w->st.name & 0xff, slot = (w->st.name >> 8) - 1, dfa = 0;

	if (!(w->st.bits & HB_TRAILER)) {
		if (known == BPFAST_HN_CONTENT_LENGTH) {
			http_value_length(w);
			return;
		}
		if (known == BPFAST_HN_TRANSFER_ENCODING) {
			http_value_encoding(w);
			return;
		}
		if (known == BPFAST_HN_HOST) {
			host_run(w, request_dfa(w, RULESET_FIELD(w, host_dfa_off)));
			return;
		}
		if (known == BPFAST_HN_UPGRADE && slot >= BPFAST_HEADER_SLOTS) {
			dfa = request_dfa(w, RULESET_FIELD(w, upgrade_dfa_off));
			slot = SLOT_UPGRADE;
		} else if (slot < BPFAST_HEADER_SLOTS) {
			dfa = request_dfa(w, arena_u32(request_slot(w, slot)));
		}
	}
	if (dfa)
		request_value_match(w, dfa, slot);
	else
		http_value_skip(w);
}

/* One more set to be met: at once where a set is one word, as nearly always. */
static __always_inline void request_meet(struct http_walk *w, __u32 set)
{
	if (w->sets.words == 1)
		w->sets.word &= arena_u64(w->sets.base + set * 8);
	else
		sets_add(&w->sets, set);
}

/* The first rule in the sets that were met so far. */
static __always_inline __u32 request_first(struct http_walk *w, __u32 n)
{
	__u64 word = w->sets.word;

	if (w->sets.words != 1)
		return sets_first(&w->sets, n);
	if (!word || sets_bit(word) >= n)
		return SETS_NONE;
	return sets_bit(word);
}

/*
 * The first rule that the request line leaves possible or, with `whole`, the whole
 * head; or SETS_NONE. With `whole` a rule that lets the request become what it asks
 * for goes first, and w->tunnel says so.
 */
ARENA_GLOBAL __u32 request_match(struct http_walk *w, int whole)
{
	const struct bpfast_image_ruleset *rules;
	__u32 dfa[HF_COUNT], n, rule, tunnel;

	if (!w)
		return SETS_NONE;
	rules = request_rules(w);
	if (!rules)
		return SETS_NONE;
	dfa[HF_METHOD] = rules->method_dfa_off;
	dfa[HF_PATH] = rules->path_dfa_off;
	dfa[HF_TARGET] = rules->target_dfa_off;
	dfa[HF_HOST] = whole ? rules->host_dfa_off : 0;
	w->sets.base = request_image(w) + rules->set_off;
	w->sets.words = rules->words;
	w->sets.word = ~0ull;
	w->sets.count = 0;
	w->sets.few = 0;
	for (int i = 0; i < HF_COUNT; i++) {
		__u32 set = w->set[i];

		if (!dfa[i])
			continue;
		if (set == HTTP_SET_UNSEEN) {
			/* No Host: the rules that do not ask for one. Of the line all was walked, or
			 * nothing is allowed. */
			if (i != HF_HOST)
				return SETS_NONE;
			set = dfa_accept_dead(request_image(w) + dfa[i]);
		}
		request_meet(w, set);
	}
	n = whole ? rules->header_count : 0;
	for (__u32 slot = 0; slot < BPFAST_HEADER_SLOTS; slot++) {
		__u32 set = w->header_set[slot];

		if (slot >= n)
			break;
		request_meet(w, set == HTTP_SLOT_UNSEEN ? rules->header[slot].absent_set : set);
	}
	n = rules->rule_count;
	rule = request_first(w, n);
	/* Of HTTP/1.0 servers ignore Upgrade (RFC 9110, section 7.8). */
	if (!whole || rule == SETS_NONE || w->upgrade_set == HTTP_SLOT_UNSEEN ||
	    w->st.bits & HB_HTTP10)
		return rule;
	request_meet(w, w->upgrade_set);
	tunnel = request_first(w, n);
	if (tunnel == SETS_NONE)
		return rule;
	w->tunnel = w->st.bits & HB_CONNECT ? HT_CONNECT : HT_UPGRADE;
	return tunnel;
}

/* The LF of the empty line was read: the verdict, and what follows. */
static __always_inline void request_judge(struct http_walk *w)
{
	__u32 rule;

	w->event = HE_HEAD;
	w->audited = BPFAST_R_NONE;
	w->tunnel = HT_NONE;
	w->rule_ref = RULESET_FIELD(w, ref);
	if (!(w->st.bits & HB_HOST) &&
	    (!(w->st.bits & HB_HTTP10) || w->st.bits & (HB_ABSOLUTE | HB_CONNECT))) {
		http_refuse(w, BPFAST_R_HTTP_HOST);
		return;
	}
	/* A tunnel has no body (RFC 9110, section 9.3.6). That of GET and HEAD means nothing (sections
	 * 9.3.1 and 9.3.2): some servers refuse it, and those that never read it take it for the
	 * next request. */
	if ((w->st.bits & HB_CONNECT && w->st.bits & (HB_LENGTH | HB_ENCODING)) ||
	    (w->st.bits & (HB_GET | HB_HEAD) && (w->st.bits & HB_ENCODING || w->st.body_left))) {
		http_refuse(w, BPFAST_R_HTTP_FRAMING);
		return;
	}
	rule = request_match(w, 1);
	if (rule != SETS_NONE && w->st.bits & HB_CONNECT && !w->tunnel) {
		http_refuse(w, BPFAST_R_HTTP_TUNNEL);
		return;
	}
	if (rule == SETS_NONE && !w->audit) {
		http_refuse(w, BPFAST_R_HTTP_DENIED);
		return;
	}
	if (rule == SETS_NONE) /* mode audit: said, and read on */
		w->audited = BPFAST_R_HTTP_DENIED;
	else
		w->rule_ref =
			arena_u32(request_image(w) + RULESET_FIELD(w, rule_ref_off) + rule * 4);

	/* HEAD answers have no body: remembered by request number, in a ring of 64. */
	if (w->requests - w->responses >= BPFAST_PIPELINE_MAX &&
	    (w->head_requests >> (w->requests & 63) & 1 || w->st.bits & HB_HEAD)) {
		http_refuse(w, BPFAST_R_HTTP_PIPELINE);
		return;
	}
	w->head_requests &= ~(1ull << (w->requests & 63));
	if (w->st.bits & HB_HEAD)
		w->head_requests |= 1ull << (w->requests & 63);
	w->requests++;
	if (w->st.bits & HB_ENCODING)
		http_chunk_next(w);
	else
		w->st.state = w->st.body_left ? H1_BODY : H1_START;
}

/*
 * At the end of a segment, or where a request was refused. Can a rule still match
 * the request line? Asked while a head is under way, so that the line never leaves
 * when no rule can match it; and where the head was refused for what stands behind
 * its line, so that the reason does not depend on where segments end.
 */
ARENA_GLOBAL int request_check_line(struct http_walk *w)
{
	if (!w || w->reason == BPFAST_R_INTERNAL)
		return 0;
	if (w->reason) {
		if (w->st.state > H1_END) /* a body, which may have outlived its head's tables */
			request_tables(w);
		w->rule_ref = RULESET_FIELD(w, ref);
	} else if (w->st.state < H1_LINE_LF || w->audit) {
		return 0;
	}
	if (!(w->st.bits & HB_LINE) || w->st.bits & HB_TRAILER || w->st.state > H1_END)
		return 0;
	if (request_match(w, 0) == SETS_NONE) {
		w->rule_ref = RULESET_FIELD(w, ref);
		http_refuse(w, BPFAST_R_HTTP_DENIED);
	}
	return 0;
}

/* The verifier reads each of these once and by itself. */
ARENA_GLOBAL int request_method_step(struct http_walk *w)
{
	if (w)
		request_method(w);
	return 0;
}

ARENA_GLOBAL int request_authority_step(struct http_walk *w)
{
	if (w && w->st.state == H1_SCHEME)
		request_scheme(w);
	else if (w)
		request_authority(w);
	return 0;
}

ARENA_GLOBAL int request_target_step(struct http_walk *w)
{
	if (w)
		request_target(w);
	return 0;
}

ARENA_GLOBAL int request_version_step(struct http_walk *w)
{
	if (w)
		request_version(w);
	return 0;
}

ARENA_GLOBAL int request_value_step(struct http_walk *w)
{
	if (w)
		request_value(w);
	return 0;
}

/* Behind the empty line: the verdict, or the end of a chunked body. */
ARENA_GLOBAL int request_end(struct http_walk *w)
{
	if (!w)
		return 0;
	w->st.state = H1_START;
	if (!(w->st.bits & HB_TRAILER))
		request_judge(w);
	return 0;
}

/* Header lines, as many as are at hand. */
ARENA_GLOBAL int request_lines_step(struct http_walk *w)
{
	__u32 names;

	if (!w)
		return 0;
	names = request_dfa(w, RULESET_FIELD(w, name_dfa_off));
	for (int i = 0; i < HTTP_LINES; i++) {
		http_lines(w, names);
		if (w->name == ~0u || w->reason)
			break;
		request_header(w, w->name);
		if (w->reason || w->pos >= http_limit(w))
			break;
		request_value_step(w);
		if (w->st.state != H1_NAME || w->reason || w->pos >= http_limit(w))
			break;
	}
	return 0;
}

/* One step. The window holds at least one byte at pos where the state reads bytes. */
static __always_inline void request_step(struct http_walk *w)
{
	w->event = HE_NONE;
	switch (w->st.state) {
	case H1_START:
		request_begin(w);
	/* fallthrough */
	case H1_METHOD:
		request_method_step(w);
		break;
	case H1_SCHEME:
	case H1_AUTHORITY:
		request_authority_step(w);
		break;
	case H1_TARGET:
		request_target_step(w);
		break;
	case H1_VERSION:
		request_version_step(w);
		break;
	case H1_LINE_LF:
		http_name_begin(w);
		break;
	case H1_NAME:
		request_lines_step(w);
		if (w->st.state == H1_END && !w->reason)
			request_end(w);
		break;
	case H1_VALUE:
		request_value_step(w);
		break;
	case H1_END_LF:
		http_expect(w, '\n', H1_END, BPFAST_R_HTTP_HEADER);
		if (!w->reason)
			request_end(w);
		break;
	default:
		if (http_body_step(w, 1))
			w->st.state = H1_START;
		if (w->st.state ==
		    H1_NAME) /* a trailer: the body may have outlived its head's tables */
			request_tables(w);
	}
}

#endif
