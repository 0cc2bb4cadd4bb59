/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_PROTO_HTTP1_LINE_H
#define BPFAST_PROTO_HTTP1_LINE_H
/*
 * The request line: method, target and version. The target's path goes to the
 * automata as it is after normalisation, byte by byte, without a copy.
 */
#include "proto/http1_authority.h"

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
 * segment, and where it is refused. It ends at the byte that was refused, wherever
 * segments end.
 */
ARENA_GLOBAL int request_text_keep(struct http_walk *w)
{
	if (w)
		request_text(w, w->pos);
	return 0;
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
		/* "//host/path", and "/.//host/path" without its dot, is another host's path to
		 * some URL parsers (RFC 3986, section 4.2). */
		if (w->st.bits & HB_SEGMENT && w->st.bits & HB_ROOT) {
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
		w->st.bits &= ~(HB_SEGMENT | HB_DOT1 | HB_DOT2 | HB_ROOT);
	}
	target_feed(w, path, target, c);
}

/* --- the host that a target names ------------------------------------------- */

static __always_inline void authority_begin(struct http_walk *w)
{
	w->st.state = H1_AUTHORITY;
	w->st.dfa[0] = 0;
	w->st.value = 0;
	w->st.word = AU_START;
	w->st.bits &= ~HB_ELEMENT;
}

/* CONNECT: its target is host and port (RFC 9112, section 3.2.3). No tunnel unless a rule lets one be. */
static __always_inline void authority_connect(struct http_walk *w)
{
	__u32 dfa = request_dfa(w, RULESET_FIELD(w, upgrade_dfa_off)), state;

	if (!dfa) {
		http_refuse(w, BPFAST_R_HTTP_TUNNEL);
		return;
	}
	state = dfa_start(dfa);
	for (int i = 0; i < 7; i++)
		state = dfa_next(dfa, state, http_nth(HTTP_CONNECT_BYTES, i));
	w->upgrade_set = dfa_accept(dfa, state);
	w->st.bits |= HB_CONNECT;
	w->st.state = H1_AUTHORITY;
}

/* "http://" in front of host and path (RFC 9112, section 3.2.2): value counts the bytes. */
static __always_inline void request_scheme(struct http_walk *w)
{
	__u32 pos = w->pos, limit = http_limit(w), n = w->st.value;

	for (int i = 0; i < 7; i++) {
		__u8 c;

		if (pos >= limit || n > 6)
			break;
		c = http_byte(w, pos);
		pos++;
		if ((n < 4 ? c | 0x20 : c) != http_nth(HTTP_SCHEME_BYTES, n)) {
			http_refuse(w, BPFAST_R_HTTP_TARGET);
			break;
		}
		n++;
	}
	w->st.value = n;
	http_took(w, pos);
	if (n > 6 && !w->reason) {
		w->st.bits |= HB_ABSOLUTE;
		authority_begin(w);
	}
}

/* Behind the authority: what rules want of the host, and where the path begins. */
static __always_inline void authority_end(struct http_walk *w, __u32 host, __u8 c)
{
	const struct bpfast_image_ruleset *rules = request_rules(w);
	__u32 path = rules ? request_dfa(w, rules->path_dfa_off) : 0;
	__u32 target = rules ? request_dfa(w, rules->target_dfa_off) : 0;

	/* CONNECT always has a port. */
	if (!authority_is(w->st.word, w->st.bits & HB_CONNECT ? AU_PORTS : AU_WHOLE) ||
	    (w->st.bits & HB_CONNECT && c != ' ')) {
		http_refuse(w, BPFAST_R_HTTP_TARGET);
		return;
	}
	if (host)
		w->set[HF_HOST] = dfa_accept(host, w->st.dfa[0]);
	w->authority = (__u16)(w->st.value ^ w->st.value >> 16);
	w->st.bits &= ~HB_ELEMENT;
	w->st.value = 0;
	if (w->st.bits & HB_CONNECT) {
		/* No path: what rules that ask for one accept with where nothing matches. */
		if (path)
			w->set[HF_PATH] = dfa_accept_dead(path);
		if (target)
			w->set[HF_TARGET] = dfa_accept_dead(target);
		w->st.state = H1_VERSION;
		return;
	}
	w->st.state = H1_TARGET;
	w->st.bits |= HB_BEGUN | HB_ROOT;
	w->st.dfa[0] = path ? dfa_start(path) : 0;
	w->st.dfa[1] = target ? dfa_start(target) : 0;
	if (c != '/') { /* no path is "/" (RFC 9110, section 4.2.3) */
		target_feed(w, path, target, '/');
		w->st.bits |= HB_SEGMENT;
	}
}

static __always_inline void request_authority(struct http_walk *w)
{
	__u32 host = request_dfa(w, RULESET_FIELD(w, host_dfa_off));
	__u32 start = w->pos, pos = start, limit = http_limit(w), state;
	__u32 hash = w->st.value, form = authority_kept(w->st.word);
	struct arena_view view;
	__u8 c;

	if (!arena_open(&view)) {
		http_refuse(w, BPFAST_R_INTERNAL);
		return;
	}
	state = hash || !host ? w->st.dfa[0] : dfa_start_at(&view, host);
	for (int i = 0; i < HTTP_RUN; i++) {
		if (pos >= limit)
			break;
		c = http_byte(w, pos);
		if (!authority_byte(c))
			break;
		pos++;
		hash = authority_hash(hash, c);
		if (host)
			state = dfa_step(&view, host, dfa_mask_at(&view, host), state, c);
		form = authority_next(form, c);
	}
	w->st.word = form;
	w->st.value = hash;
	w->st.dfa[0] = state;
	http_took(w, pos);
	if (pos >= limit || pos - start == HTTP_RUN || w->reason) /* the next step goes on */
		return;
	c = http_byte(w, pos);
	if (c != '/' && c != '?' && c != ' ') {
		http_refuse(w, BPFAST_R_HTTP_TARGET);
		return;
	}
	authority_end(w, host, c);
	if (w->st.state != H1_VERSION)
		return;
	request_text(w, w->pos);
	http_took(w, w->pos + 1); /* the blank */
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
		state = dfa ? dfa_start_at(&view, dfa) : 0;
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
				w->set[HF_METHOD] = dfa_accept_plain_at(&view, dfa, state);
			if (name == 0x474554) /* GET */
				w->st.bits |= HB_GET;
			else if (name == 0x48454144) /* HEAD */
				w->st.bits |= HB_HEAD;
			else if (name == 0x4f5054494f4e53) /* OPTIONS */
				w->st.bits |= HB_OPTIONS;
			w->st.state = H1_TARGET;
			n = 0;
			if (name == 0x434f4e4e454354) /* CONNECT */
				authority_connect(w);
			break;
		}
		if (!http_is(c, HC_TOKEN) || n >= 32) {
			http_refuse(w, n ? BPFAST_R_HTTP_METHOD : request_garbage(w, c));
			break;
		}
		name = n < 8 ? name << 8 | c : ~0ull;
		if (dfa)
			state = dfa_step_plain(&view, dfa, state, c);
		n++;
	}
	http_took(w, pos);
	if (w->st.state == H1_AUTHORITY) {
		authority_begin(w);
		return;
	}
	w->st.value = n;
	w->st.dfa[0] = state;
	w->st.dfa[1] = (__u32)name;
	w->st.word = (__u32)(name >> 32);
}

/*
 * What may not be encoded in a path. Slash, backslash, percent, NUL and controls: servers
 * differ on when they decode. Bytes that are in no UTF-8, and those with which a character
 * is written longer than it is: lax decoders make "." and "/" of them (%C0%AE, %E0%80%AF).
 * `before` is the byte that was encoded last. A function by itself, for the verifier to
 * read its branches once.
 */
ARENA_GLOBAL int target_forbids(__u32 before, __u32 byte)
{
	if (byte < 0x20 || byte == 0x7f || byte == '/' || byte == '\\' || byte == '%')
		return 1;
	if (byte == 0xc0 || byte == 0xc1 || byte > 0xf4)
		return 1;
	return (before == 0xe0 && (byte & 0xe0) == 0x80) ||
	       (before == 0xf0 && (byte & 0xf0) == 0x80);
}

/* The second digit behind '%': what the triplet stands for. value has the first, and the byte before. */
static __always_inline void target_percent(struct http_walk *w, __u32 path, __u32 target, __u8 c)
{
	__u32 low = http_hex(c);
	__u8 byte = (__u8)((w->st.value & 15) << 4 | low);
	__u32 before = w->st.value >> 8;

	w->st.bits &= ~HB_PERCENT2;
	w->st.value = (__u32)byte << 8;
	/* "..%3b" is "..;" to who stands behind a server that decodes. */
	if (low > 15 || target_forbids(before, byte) ||
	    (byte == ';' && w->st.bits & (HB_DOT1 | HB_DOT2))) {
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
		w->st.value = (w->st.value & 0xff00) | http_hex(c);
		w->st.bits = (w->st.bits & ~HB_PERCENT1) | HB_PERCENT2;
		if ((w->st.value & 0xff) > 15)
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
	a = dfa_mask_at(&view, path) & ~BPFAST_DFA_TOOK; /* whatever is read where there is none */
	b = dfa_mask_at(&view, target) & ~BPFAST_DFA_TOOK;
	/* What edges into tails took along; in memory, for there are no registers left. */
	w->taken[0] = w->st.dfa[0] & ~a;
	w->taken[1] = w->st.dfa[1] & ~b;
	w->st.dfa[0] &= a;
	w->st.dfa[1] &= b;
	a = *(volatile __u32 *)&w->st.dfa[0]; /* or the verifier knows a bit of them */
	b = *(volatile __u32 *)&w->st.dfa[1];
	for (int i = 0; i < HTTP_RUN; i++) {
		__u8 c;

		if (pos >= limit || dfa_took(a | b)) /* the next run is in the tail */
			break;
		c = http_byte(w, pos);
		if (!http_is(c, plain) && !target_slash(plain, segment, c))
			break;
		segment = c == '/' ? HB_SEGMENT : 0;
		if (path)
			a = dfa_step_plain(&view, path, a, c);
		if (target)
			b = dfa_step_plain(&view, target, b, c);
		pos++;
	}
	a |= *(volatile __u32 *)&w->taken[0];
	b |= *(volatile __u32 *)&w->taken[1];
	w->st.dfa[0] = a;
	w->st.dfa[1] = b;
	/* Of all that was read only the first slash of the path leaves it a bare "/". */
	if (pos - w->pos > (w->st.bits & HB_SEGMENT ? 0 : 1))
		w->st.bits &= ~HB_ROOT;
	w->st.bits = (w->st.bits & ~HB_SEGMENT) | (plain == HC_PATH ? segment : 0);
	http_took(w, pos);
	return 0;
}

/* The same where no rule looks at the query, as nearly always. */
ARENA_GLOBAL int target_run_path(struct http_walk *w, __u32 path, __u32 plain)
{
	struct arena_view view;
	__u32 pos, limit, segment, a;

	if (!w || !arena_open(&view))
		return 0;
	pos = w->pos;
	limit = http_limit(w);
	segment = w->st.bits & HB_SEGMENT;
	a = dfa_mask_at(&view, path);
	w->taken[0] = w->st.dfa[0] & ~a;
	w->st.dfa[0] &= a;
	a = *(volatile __u32 *)&w->st.dfa[0];
	for (int i = 0; i < HTTP_RUN; i++) {
		__u8 c;

		if (pos >= limit || dfa_took(a))
			break;
		c = http_byte(w, pos);
		if (!http_is(c, plain) && !target_slash(plain, segment, c))
			break;
		segment = c == '/' ? HB_SEGMENT : 0;
		a = dfa_step_plain(&view, path, a, c);
		pos++;
	}
	w->st.dfa[0] = a | *(volatile __u32 *)&w->taken[0];
	if (pos - w->pos > (w->st.bits & HB_SEGMENT ? 0 : 1))
		w->st.bits &= ~HB_ROOT;
	w->st.bits = (w->st.bits & ~HB_SEGMENT) | (plain == HC_PATH ? segment : 0);
	http_took(w, pos);
	return 0;
}

/*
 * Request target (RFC 9112, section 3.2): origin-form, absolute-form, and "*" for
 * OPTIONS. "PRI *" is how HTTP/2
 * begins (RFC 9113, section 3.4): let through to the version, which refuses it.
 */
static __always_inline void request_target(struct http_walk *w)
{
	const struct bpfast_image_ruleset *rules = request_rules(w);
	__u32 path = rules ? request_dfa(w, rules->path_dfa_off) : 0;
	__u32 target = rules ? request_dfa(w, rules->target_dfa_off) : 0;
	__u32 plain = target_plain(w);
	__u8 c = http_byte(w, w->pos);

	if (!(w->st.bits & HB_BEGUN)) {
		w->st.bits |= HB_BEGUN;
		if (c == '*' && (w->st.bits & HB_OPTIONS || w->st.dfa[1] == 0x505249))
			w->st.bits |= HB_ASTERISK;
		else if ((c | 0x20) == 'h' && !(w->st.bits & HB_CONNECT)) {
			w->st.state = H1_SCHEME;
			w->st.value = 0;
			return;
		} else if (c != '/')
			http_refuse(w, BPFAST_R_HTTP_TARGET);
		w->st.dfa[0] = path ? dfa_start(path) : 0;
		w->st.dfa[1] = target ? dfa_start(target) : 0;
		w->st.bits |= HB_ROOT;
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
	} else if (w->reason) {
		/* read up to the refused byte, as if it came alone */
	} else if (http_is(c, plain) || target_slash(plain, w->st.bits & HB_SEGMENT, c)) {
		if (path && !target && !(w->st.bits & HB_QUERY))
			target_run_path(w, path, plain);
		else
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

	if (!n && pos + 10 <= limit && http_eight(w, pos) == HTTP_VERSION_BYTES &&
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
	if (n > 9 && w->st.bits & HB_ASTERISK && !(w->st.bits & HB_OPTIONS)) {
		http_refuse(w, BPFAST_R_HTTP_TARGET); /* PRI, but not of HTTP/2 */
	} else if (n > 9) {
		w->st.bits |= HB_LINE;
		w->st.bits &= ~HB_ELEMENT;
		w->st.state = H1_NAME;
	}
	http_took(w, pos);
}

#endif
