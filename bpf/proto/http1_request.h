/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_PROTO_HTTP1_REQUEST_H
#define BPFAST_PROTO_HTTP1_REQUEST_H
/*
 * Requests: reads them as the strictest server would, walks the rules'
 * automata along, and judges each head at its last byte.
 */
#include "proto/http1.h"

/* Arena offset of a member of the ruleset that judges the current head. */
#define RULESET_FIELD(w, member)                                                                   \
	arena_u32((w)->st.ruleset_off +                                                            \
		  (__u32) __builtin_offsetof(struct bpfast_image_ruleset, member))

/* The automata of HF_METHOD, HF_PATH and HF_TARGET stand in a row. */
#define METHOD_DFA_OFF ((__u32) __builtin_offsetof(struct bpfast_image_ruleset, method_dfa_off))

/* The image in which the current head's ruleset lies: rulesets hold offsets from there. */
static __always_inline __u32 request_image(const struct http_walk *w)
{
	return w->st.image_off;
}

/* Arena offset of an automaton of the ruleset, 0: no rule looks at the field. */
static __always_inline __u32 request_dfa(const struct http_walk *w, __u32 off)
{
	return off ? request_image(w) + off : 0;
}

/* Arena offset of a header slot's struct bpfast_image_header. */
static __always_inline __u32 request_slot(const struct http_walk *w, __u32 slot)
{
	return w->st.ruleset_off + (__u32) __builtin_offsetof(struct bpfast_image_ruleset, header) +
	       slot * (__u32)sizeof(struct bpfast_image_header);
}

/* The set of a slot whose header is not there. */
static __always_inline __u32 request_absent(const struct http_walk *w, __u32 slot)
{
	return arena_u32(request_slot(w, slot) + 4);
}

/* The tables that are in force now judge what begins here. */
static __always_inline void request_tables(struct http_walk *w)
{
	w->st.generation = w->generation;
	w->st.image_off = w->image;
	w->st.ruleset_off = w->ruleset;
}

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
	w->st.state = H1_METHOD;
	w->st.dfa[0] = 0;
}

/* What a first byte that cannot begin a request tells about the sender. */
static __always_inline __u32 request_garbage(const struct http_walk *w, __u8 c)
{
	if (w->upgraded || w->st.bits & HB_UPGRADED)
		return BPFAST_R_HTTP_WEBSOCKET;
	if (c == 0x16 || c == 0x80)
		return BPFAST_R_HTTP_TLS;
	if ((c & 0x8f) == 0x81 || (c & 0x8f) == 0x82 || (c & 0x8f) == 0x89)
		return BPFAST_R_HTTP_WEBSOCKET;
	return BPFAST_R_HTTP_NOT_HTTP;
}

/*
 * Keeps the beginning of "METHOD TARGET" for records: from where the last
 * call stopped to pos. Mostly the line lies whole in the window.
 */
static __always_inline void request_text(struct http_walk *w, __u32 pos)
{
	__u32 from = w->text_pos, n = pos - from, have = w->text_len;

	w->text_pos = pos;
	if (!have) {
		for (__u32 i = 0; i < sizeof(w->text); i += 8) {
			__u64 eight = http_eight(w, from + i);

			__builtin_memcpy(w->text + i, &eight, 8);
		}
		w->text_len = n;
		return;
	}
	w->text_len = have + n;
	for (__u32 i = 0; i < sizeof(w->text); i++) {
		__u32 to = have + i;

		if (i >= n || to >= sizeof(w->text))
			break;
		__asm__ volatile("" : "+r"(to)); /* or the compiler takes the mask away */
		w->text[to & (sizeof(w->text) - 1)] = http_byte(w, from + i);
	}
}

/*
 * The same where the line is not complete: at the end of the window or of the
 * segment, and where it is refused. Then the rest of the word at hand goes
 * along, for people.
 */
ARENA_GLOBAL int request_text_keep(struct http_walk *w)
{
	__u32 pos, limit;

	if (!w)
		return 0;
	pos = w->pos;
	limit = http_limit(w);
	for (__u32 i = 0; i < sizeof(w->text) && w->reason; i++) {
		if (pos >= limit || !http_is(http_byte(w, pos), HC_VALUE) ||
		    http_byte(w, pos) == ' ')
			break;
		pos++;
	}
	request_text(w, pos);
	return 0;
}

static __always_inline void request_method(struct http_walk *w)
{
	__u32 dfa = request_dfa(w, RULESET_FIELD(w, method_dfa_off));
	__u32 pos = w->pos, limit = http_limit(w), n = w->st.value, state = w->st.dfa[0];
	__u64 name = (__u64)w->st.word << 32 | w->st.dfa[1];
	struct arena_view view;

	if (!arena_open(&view)) {
		http_refuse(w, BPFAST_R_INTERNAL);
		return;
	}
	if (!n) {
		state = dfa ? dfa_start(dfa) : 0;
		name = 0;
	}
	for (int i = 0; i < 33; i++) {
		__u8 c;

		if (pos >= limit)
			break;
		c = http_byte(w, pos);
		pos++;
		if (c == ' ' && n) {
			if (dfa)
				w->set[HF_METHOD] = dfa_accept(dfa, state);
			if (name == 0x48454144) /* HEAD */
				w->st.bits |= HB_HEAD;
			else if (name == 0x4f5054494f4e53) /* OPTIONS */
				w->st.bits |= HB_OPTIONS;
			else if (name == 0x434f4e4e454354) /* CONNECT */
				http_refuse(w, BPFAST_R_HTTP_TUNNEL);
			w->st.state = H1_TARGET;
			n = 0;
			break;
		}
		if (!http_is(c, HC_TOKEN) || n >= 32) {
			http_refuse(w, n ? BPFAST_R_HTTP_METHOD : request_garbage(w, c));
			break;
		}
		name = n < 8 ? name << 8 | c : ~0ull;
		if (dfa)
			state = dfa_step(&view, dfa, state, c);
		n++;
	}
	w->st.value = n;
	w->st.dfa[0] = state;
	w->st.dfa[1] = (__u32)name;
	w->st.word = (__u32)(name >> 32);
	http_took(w, pos);
}

/* One byte of the normalised path to both automata. */
static __always_inline void target_feed(struct http_walk *w, __u32 path, __u32 target, __u8 c)
{
	if (path)
		w->st.dfa[0] = dfa_next(path, w->st.dfa[0], c);
	if (target)
		w->st.dfa[1] = dfa_next(target, w->st.dfa[1], c);
}

/*
 * One byte of the path, percent-decoded, that may change its shape. Slashes
 * are merged and "." segments taken out; a ".." segment is refused: servers
 * and their back ends do not agree where it leads. (RFC 3986, section 6.2.2)
 */
static __always_inline void target_path_byte(struct http_walk *w, __u32 path, __u32 target, __u8 c)
{
	if (c == '.' && w->st.bits & HB_SEGMENT) {
		w->st.bits = (w->st.bits & ~HB_SEGMENT) | HB_DOT1;
		return;
	}
	if (c == '.' && w->st.bits & HB_DOT1) {
		w->st.bits = (w->st.bits & ~HB_DOT1) | HB_DOT2;
		return;
	}
	if (w->st.bits & HB_DOT2 && (c == '/' || c == ';')) {
		http_refuse(w, BPFAST_R_HTTP_TARGET);
		return;
	}
	if (w->st.bits & HB_DOT1 && c == ';') {
		http_refuse(w, BPFAST_R_HTTP_TARGET);
		return;
	}
	if (c == '/') {
		/* "//host/path" is another host's path to some URL parsers (RFC 3986, section 4.2). */
		if (w->st.bits & HB_SEGMENT && w->st.head_len == w->st.word + 1) {
			http_refuse(w, BPFAST_R_HTTP_TARGET);
			return;
		}
		if (w->st.bits & (HB_SEGMENT | HB_DOT1)) {
			w->st.bits = (w->st.bits & ~HB_DOT1) | HB_SEGMENT;
			return;
		}
		w->st.bits |= HB_SEGMENT;
	} else {
		if (w->st.bits & (HB_DOT1 | HB_DOT2))
			target_feed(w, path, target, '.');
		if (w->st.bits & HB_DOT2)
			target_feed(w, path, target, '.');
		w->st.bits &= ~(HB_SEGMENT | HB_DOT1 | HB_DOT2);
	}
	target_feed(w, path, target, c);
}

/* The second digit behind '%': what the triplet stands for. */
static __always_inline void target_percent(struct http_walk *w, __u32 path, __u32 target, __u8 c)
{
	__u32 low = http_hex(c);
	__u8 byte = (__u8)(w->st.value << 4 | low);

	w->st.bits &= ~HB_PERCENT2;
	/* Encoded slash, backslash, percent, NUL and controls: servers differ on when they decode. */
	if (low > 15 || byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\' || byte == '%') {
		http_refuse(w, BPFAST_R_HTTP_TARGET);
		return;
	}
	if (http_is(byte, HC_UNRESERVED)) {
		target_path_byte(w, path, target, byte);
		return;
	}
	target_path_byte(w, path, target, '%');
	for (int shift = 4; shift >= 0; shift -= 4) {
		__u8 digit = (byte >> shift) & 15;

		target_feed(w, path, target, digit < 10 ? '0' + digit : 'A' + digit - 10);
	}
}

/* The target is complete. */
static __always_inline void target_end(struct http_walk *w, __u32 path, __u32 target, __u32 pos)
{
	request_text(w, pos);
	if (w->st.bits & (HB_DOT2 | HB_PERCENT1 | HB_PERCENT2)) {
		http_refuse(w, BPFAST_R_HTTP_TARGET);
		return;
	}
	if (path)
		w->set[HF_PATH] = dfa_accept(path, w->st.dfa[0]);
	if (target)
		w->set[HF_TARGET] = dfa_accept(target, w->st.dfa[1]);
	w->st.state = H1_VERSION;
	w->st.bits &= ~HB_ELEMENT;
	w->st.value = 0;
}

/* A byte of the target that does not just stand for itself. */
static __always_inline void target_special(struct http_walk *w, __u32 path, __u32 target, __u32 pos,
					   __u8 c)
{
	if (c == ' ') {
		target_end(w, path, target, pos);
	} else if (w->st.bits & HB_QUERY) {
		/* '#', controls, bytes over 0x7f: not part of any target */
		http_refuse(w,
			    c == '\r' || c == '\n' ? BPFAST_R_HTTP_VERSION : BPFAST_R_HTTP_TARGET);
	} else if (w->st.bits & HB_PERCENT1) {
		w->st.value = http_hex(c);
		w->st.bits = (w->st.bits & ~HB_PERCENT1) | HB_PERCENT2;
		if (w->st.value > 15)
			http_refuse(w, BPFAST_R_HTTP_TARGET);
	} else if (w->st.bits & HB_PERCENT2) {
		target_percent(w, path, target, c);
	} else if (c == '%') {
		w->st.bits |= HB_PERCENT1;
	} else if (c == '?') {
		if (w->st.bits & HB_DOT2) {
			http_refuse(w, BPFAST_R_HTTP_TARGET);
			return;
		}
		w->st.bits = (w->st.bits & ~HB_SHAPE) | HB_QUERY;
		if (target)
			w->st.dfa[1] = dfa_next(target, w->st.dfa[1], c);
	} else if (c == '/' || c == '.' || c == ';' || http_is(c, HC_PATH)) {
		target_path_byte(w, path, target, c);
	} else {
		http_refuse(w,
			    c == '\r' || c == '\n' ? BPFAST_R_HTTP_VERSION : BPFAST_R_HTTP_TARGET);
	}
}

/* Which bytes only stand for themselves here: a class, or 0 for none. */
static __always_inline __u32 target_plain(const struct http_walk *w)
{
	if (w->st.bits & HB_QUERY)
		return HC_QUERY;
	return w->st.bits & (HB_SHAPE & ~HB_SEGMENT) ? 0 : HC_PATH;
}

/* A slash, or a dot within a segment: plain too, where no slash is before it. */
static __always_inline int target_slash(__u32 plain, __u32 segment, __u8 c)
{
	return plain == HC_PATH && !segment && (c == '/' || c == '.');
}

/* The common case, quickly: a run of plain bytes, single slashes among them. */
ARENA_GLOBAL int target_run(struct http_walk *w, __u32 path, __u32 target, __u32 plain)
{
	struct arena_view view;
	__u32 pos, limit, segment, a, b;

	if (!w || !arena_open(&view))
		return 0;
	pos = w->pos;
	limit = http_limit(w);
	segment = w->st.bits & HB_SEGMENT;
	a = w->st.dfa[0];
	b = w->st.dfa[1];
	for (int i = 0; i < HTTP_RUN; i++) {
		__u8 c;

		if (pos >= limit)
			break;
		c = http_byte(w, pos);
		if (!http_is(c, plain) && !target_slash(plain, segment, c))
			break;
		segment = c == '/' ? HB_SEGMENT : 0;
		if (path)
			a = dfa_step(&view, path, a, c);
		if (target)
			b = dfa_step(&view, target, b, c);
		pos++;
	}
	w->st.dfa[0] = a;
	w->st.dfa[1] = b;
	w->st.bits = (w->st.bits & ~HB_SEGMENT) | (plain == HC_PATH ? segment : 0);
	http_took(w, pos);
	return 0;
}

/*
 * Request target (RFC 9112, section 3.2): origin-form, and "*" for OPTIONS.
 * Only origin-form names one resource for every server. "PRI *" is how HTTP/2
 * begins (RFC 9113, section 3.4): let through to the version, which refuses it.
 */
static __always_inline void request_target(struct http_walk *w)
{
	__u32 path = request_dfa(w, RULESET_FIELD(w, path_dfa_off));
	__u32 target = request_dfa(w, RULESET_FIELD(w, target_dfa_off));
	__u32 plain = target_plain(w);
	__u8 c = http_byte(w, w->pos);

	if (!(w->st.bits & HB_BEGUN)) {
		w->st.bits |= HB_BEGUN;
		if (c == '*' && (w->st.bits & HB_OPTIONS || w->st.dfa[1] == 0x505249))
			w->st.bits |= HB_ASTERISK;
		else if (c != '/')
			http_refuse(w, BPFAST_R_HTTP_TARGET);
		w->st.dfa[0] = path ? dfa_start(path) : 0;
		w->st.dfa[1] = target ? dfa_start(target) : 0;
		w->st.word = w->st.head_len; /* where the target began */
	}
	if (w->st.bits & HB_ASTERISK) {
		if (c == '*' && !(w->st.bits & HB_BLANK)) {
			target_feed(w, path, target, c);
			w->st.bits |= HB_BLANK; /* here: the asterisk was read */
		} else if (c == ' ') {
			target_end(w, path, target, w->pos);
		} else {
			http_refuse(w, BPFAST_R_HTTP_TARGET);
		}
	} else if (http_is(c, plain) || target_slash(plain, w->st.bits & HB_SEGMENT, c)) {
		target_run(w, w->st.bits & HB_QUERY ? 0 : path, target, plain);
		if (w->reason || w->pos >= http_limit(w) || http_byte(w, w->pos) != ' ')
			return;
		target_end(w, path, target, w->pos);
	} else {
		target_special(w, path, target, w->pos, c);
	}
	http_took(w, w->pos + 1);
}

/* "HTTP/1.0" or "HTTP/1.1" and CRLF. */
static __always_inline void request_version(struct http_walk *w)
{
	__u32 pos = w->pos, limit = http_limit(w), n = w->st.value;

	if (!n && pos + 10 <= limit && http_eight(w, pos) == HTTP_VERSION_11_BYTES &&
	    http_byte(w, pos + 8) == '\r' && http_byte(w, pos + 9) == '\n') {
		pos += 10;
		n = 10;
	}
	for (int i = 0; i < 10; i++) {
		__u8 c;

		if (pos >= limit || n > 9)
			break;
		c = http_byte(w, pos);
		pos++;
		if (n == 7 && (c == '0' || c == '1')) {
			if (c == '0')
				w->st.bits |= HB_HTTP10;
		} else if (c != (n < 8 ? http_nth(HTTP_VERSION_BYTES, n) : n == 8 ? '\r' : '\n')) {
			http_refuse(w,
				    n == 5 && c == '2' ? BPFAST_R_HTTP_H2 : BPFAST_R_HTTP_VERSION);
			break;
		}
		n++;
	}
	w->st.value = n;
	if (n > 9) {
		w->st.bits |= HB_LINE;
		w->st.bits &= ~HB_ELEMENT;
		w->st.state = H1_NAME;
	}
	http_took(w, pos);
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
	__u32 pos, limit, state, last, begun;
	struct arena_view view;

	if (!w || !arena_open(&view))
		return 0;
	pos = w->pos;
	limit = http_limit(w);
	state = w->st.dfa[0];
	last = w->st.dfa[1];
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
		state = dfa_step(&view, dfa, state, c);
		if (c != ' ' && c != '\t')
			last = state;
	}
	w->st.dfa[0] = state;
	w->st.dfa[1] = last;
	w->st.bits |= begun;
	http_took(w, pos);
	return 0;
}

/* slot: of the header, or BPFAST_HEADER_SLOTS for Host. */
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
	if (slot >= BPFAST_HEADER_SLOTS)
		w->set[HF_HOST] = set;
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
			dfa = request_dfa(w, RULESET_FIELD(w, host_dfa_off));
			slot = BPFAST_HEADER_SLOTS;
		} else if (slot < BPFAST_HEADER_SLOTS) {
			dfa = request_dfa(w, arena_u32(request_slot(w, slot)));
		}
	}
	if (dfa)
		request_value_match(w, dfa, slot);
	else
		http_value_skip(w);
}

/* Which sets the head led to, 16 header slots last. ~0: the field does not restrict. */
static __always_inline __u32 request_set(const struct http_walk *w, __u32 field)
{
	__u32 slot = field - HF_COUNT;

	if (field < HF_HOST)
		return w->set[field & 3];
	if (field == HF_HOST) {
		__u32 dfa = request_dfa(w, RULESET_FIELD(w, host_dfa_off));

		/* No Host: the rules that do not ask for one. */
		return w->set[HF_HOST] == HTTP_SET_UNSEEN && dfa ? dfa_accept(dfa, 0)
								 : w->set[HF_HOST];
	}
	if (slot >= RULESET_FIELD(w, header_count))
		return HTTP_SET_UNSEEN;
	if (w->header_set[slot & (BPFAST_HEADER_SLOTS - 1)] != HTTP_SLOT_UNSEEN)
		return w->header_set[slot & (BPFAST_HEADER_SLOTS - 1)];
	return request_absent(w, slot);
}

/*
 * The first rule that all fields up to `fields` leave possible, or
 * SETS_NONE.
 */
static __always_inline __u32 request_match(struct http_walk *w, __u32 fields)
{
	struct sets *sets = &w->sets;

	sets->base = request_image(w) + RULESET_FIELD(w, set_off);
	sets->words = RULESET_FIELD(w, words);
	sets->count = 0;
	for (__u32 i = 0; i < HF_COUNT + BPFAST_HEADER_SLOTS; i++) {
		__u32 set;

		if (i >= fields)
			break;
		set = request_set(w, i);
		if (set != HTTP_SET_UNSEEN)
			sets_add(sets, set);
		else if (i < HF_HOST && arena_u32(w->st.ruleset_off + METHOD_DFA_OFF + i * 4))
			return SETS_NONE; /* a field that rules read was not walked: never so */
	}
	return sets_first(sets, RULESET_FIELD(w, rule_count));
}

/* The LF of the empty line was read: the verdict, and what follows. */
static __always_inline void request_judge(struct http_walk *w)
{
	__u32 rule;

	w->event = HE_HEAD;
	w->audited = BPFAST_R_NONE;
	w->rule_ref = RULESET_FIELD(w, ref);
	if (!(w->st.bits & (HB_HTTP10 | HB_HOST))) {
		http_refuse(w, BPFAST_R_HTTP_HOST);
		return;
	}
	rule = request_match(w, HF_COUNT + RULESET_FIELD(w, header_count));
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
	if (request_match(w, HF_HOST) == SETS_NONE) {
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
	if (!w)
		return 0;
	for (int i = 0; i < HTTP_LINES; i++) {
		http_lines(w, request_dfa(w, RULESET_FIELD(w, name_dfa_off)));
		if (w->name == ~0u || w->reason)
			break;
		request_header(w, w->name);
		if (w->reason || w->pos >= http_limit(w))
			break;
		request_value_step(w);
		if (w->st.state != H1_NAME || w->reason || w->pos >= http_limit(w))
			break;
	}
	if (w->st.state == H1_END && !w->reason)
		request_end(w);
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
		break;
	case H1_VALUE:
		request_value_step(w);
		break;
	case H1_END_LF:
		http_expect(w, '\n', H1_END, BPFAST_R_HTTP_HEADER);
		if (!w->reason)
			request_end(w);
		break;
	case H1_BODY:
		if (http_skip(w))
			w->st.state = H1_START;
		break;
	case H1_CHUNK_SIZE:
		http_chunk_size(w, 1);
		break;
	case H1_CHUNK_LF:
		http_chunk_begin(w);
		if (w->st.bits & HB_TRAILER) /* the body may have outlived its head's tables */
			request_tables(w);
		break;
	case H1_CHUNK_DATA:
		if (http_skip(w))
			w->st.state = H1_CHUNK_CR;
		break;
	case H1_CHUNK_CR:
		http_expect(w, '\r', H1_CHUNK_DATA_LF, BPFAST_R_HTTP_CHUNK);
		break;
	case H1_CHUNK_DATA_LF:
		http_expect(w, '\n', H1_CHUNK_SIZE, BPFAST_R_HTTP_CHUNK);
		http_chunk_next(w);
		break;
	default:
		http_refuse(w, BPFAST_R_INTERNAL);
	}
}

#endif
