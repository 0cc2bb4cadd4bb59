/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_PROTO_HTTP1_H
#define BPFAST_PROTO_HTTP1_H
/*
 * HTTP/1 as a stream (RFC 9112): states, the walk over a piece of stream, and
 * the steps that requests and responses share. Compiled for the kernel and for
 * user space.
 *
 * A walk goes in steps. Each step reads one run of bytes in one state and
 * stops at the run's end, at a limit that the verifier can count, or at the end
 * of the window. All that must survive the end of a segment lies in struct
 * bpfast_stream, so a message may be cut anywhere.
 */
#include "bpfast/flow.h"
#include "bpfast/image.h"
#include "bpfast/reasons.h"
#include "match/dfa.h"
#include "match/sets.h"

/* Bytes of payload that a walk has at hand; a power of two. */
#define HTTP_WINDOW 2048
/* Most bytes that one step reads. */
#define HTTP_RUN 48

enum http_state {
	H1_START = 0, /* before the first byte of a message */
	H1_METHOD,
	H1_SCHEME, /* "http://" of a target in absolute form */
	H1_AUTHORITY, /* host and port of a target: absolute form, or CONNECT */
	H1_TARGET,
	H1_VERSION, /* of a request, with its CRLF */
	H1_STATUS, /* "HTTP/1.x NNN" of a response */
	H1_REASON, /* the rest of a status line */
	H1_LINE_LF, /* the LF behind a CR that ended a line of the head */
	H1_NAME,
	H1_VALUE,
	H1_END_LF, /* the LF of the empty line */
	H1_END, /* behind it: the head is complete. Never where a step ends */
	H1_BODY, /* body_left bytes that nobody reads */
	H1_CHUNK_SIZE,
	H1_CHUNK_LF,
	H1_CHUNK_DATA, /* body_left bytes */
	H1_CHUNK_CR,
	H1_CHUNK_DATA_LF,
	H1_UNTIL_CLOSE, /* a response body that ends with the connection */
	H1_TUNNEL, /* after 101: no more HTTP from the server */
	H1_UNKNOWN, /* responses only: lost the thread; nothing may be concluded */
};

static_assert(H1_START == BPFAST_STREAM_BETWEEN && H1_END_LF == BPFAST_STREAM_HEAD_LAST &&
		      H1_BODY == BPFAST_STREAM_BODY && H1_CHUNK_DATA == BPFAST_STREAM_CHUNK &&
		      H1_CHUNK_DATA_LF == BPFAST_STREAM_BODY_LAST,
	      "the agent knows these states too");

/* st->bits: what the current head has said, and where we are in an element. */
enum http_bits {
	HB_HTTP10 = 1 << 0,
	HB_LENGTH = 1 << 1, /* Content-Length seen */
	HB_ENCODING = 1 << 2, /* Transfer-Encoding seen: chunked, nothing else */
	HB_HOST = 1 << 3,
	HB_UPGRADE = 1 << 4,
	HB_TRAILER = 1 << 5, /* the header lines are trailers */
	HB_HEAD = 1 << 6, /* the method is HEAD; responses: the request was */
	HB_OPTIONS = 1 << 7,
	HB_LINE = 1 << 8, /* the request line is complete */
	/* target */
	HB_SEGMENT = 1 << 9, /* behind a slash */
	HB_DOT1 = 1 << 10, /* the segment is "." so far */
	HB_DOT2 = 1 << 11, /* ".." */
	HB_PERCENT1 = 1 << 12, /* behind '%' */
	HB_PERCENT2 = 1 << 13, /* behind '%' and a digit, which is in value */
	HB_QUERY = 1 << 14,
	HB_ASTERISK = 1 << 15, /* the target is "*" */
	/* header value */
	HB_BEGUN = 1 << 16, /* a byte that is not blank was read */
	HB_BLANK = 1 << 17, /* a blank behind it */
	HB_ABSOLUTE = 1 << 19, /* the target names a host: Host must be the same */
	HB_CONNECT = 1 << 20,
	HB_GET = 1 << 22, /* the method is GET */
	HB_ROOT = 1 << 21, /* of the path nothing but slashes and dots was read */
	HB_UPGRADED = 1 << 18, /* stays: the server answered 101 on this connection */
};

/* The path may be about to change its shape: no byte just stands for itself. */
#define HB_SHAPE (HB_SEGMENT | HB_DOT1 | HB_DOT2 | HB_PERCENT1 | HB_PERCENT2)
/* What ends with an element of the head. */
#define HB_ELEMENT (HB_SHAPE | HB_BEGUN | HB_BLANK)

/* Which sets a request's fields led to; the rest are header slots. */
enum http_field { HF_METHOD, HF_PATH, HF_TARGET, HF_HOST, HF_COUNT };

#define HTTP_SET_UNSEEN 0xffffffffu
#define HTTP_SLOT_UNSEEN 0xffffu

/* Body until the connection ends. */
#define HTTP_BODY_ENDLESS (~0ull)
/* The longest body or chunk that can be said: every server counts as far. */
#define HTTP_BODY_MAX (1ull << 48)

/* What a request asked for and a rule lets it have, if the server agrees. */
enum http_tunnel {
	HT_NONE = 0,
	HT_UPGRADE, /* agreed by 101 */
	HT_CONNECT, /* agreed by any 2xx */
};

enum http_event {
	HE_NONE = 0,
	HE_HEAD, /* a request head is complete and was judged: see reason and rule */
	HE_MESSAGE, /* a response is complete */
};

/* Bytes of a payload that are not body: from..to. Those with less body between them than a
 * chunk of the retention pool holds are one. */
struct http_piece {
	__u32 from, to;
};

/* In one payload: what does not fit is one with the last. A power of two. */
#define HTTP_PIECES 64

/* A walk over the payload of one segment. */
struct http_walk {
	struct bpfast_stream st; /* worked on here, stored when the segment is forwarded */
	__u32 set[HF_COUNT];
	__u16 header_set[BPFAST_HEADER_SLOTS];
	char text[64]; /* "METHOD TARGET", as far as it fits a flow */
	__u32 text_len; /* of "METHOD TARGET", more than fits where it was cut */
	__u32 upgrade_set; /* where Upgrade, or CONNECT, led; HTTP_SLOT_UNSEEN: there was none */
	__u32 authority; /* a hash of the target's */
	__u32 connect; /* responses: the only request that waits is CONNECT */
	__u32 tunnel; /* enum http_tunnel: what the last request that was judged may become */
	__u32 text_pos; /* the payload up to here is in text */
	__u32 image; /* arena offset of the image under which a new head begins */
	__u32 generation;
	__u32 ruleset; /* arena offset, for a new head; 0 for responses */
	__u32 pos; /* the next byte to read, counted from the payload's first */
	__u32 end; /* the payload ends here */
	__u32 window_off; /* the payload's byte at window[0] */
	__u32 window_len;
	__u32 gap; /* body bytes are missing before `pos`; set by who walks */
	struct http_piece
		piece[HTTP_PIECES]; /* of the payload: what is not body; set by who walks */
	__u32 pieces;
	__u32 message; /* where in the payload the current message began; 0: before it */
	__u32 reason; /* enum bpfast_reason; not NONE: refused */
	__u32 event; /* enum http_event: what the last step ended */
	__u32 rule_ref; /* attribution of the rule that allowed the last request, or of the refusal */
	__u32 requests; /* allowed so far, on the connection */
	__u32 responses; /* ended so far, on the connection, as far as this walk knows */
	__u64 head_requests; /* see struct bpfast_flow */
	__u32 name; /* what http_line() read; ~0: nothing that is asked for */
	__u32 status; /* responses: of the last head */
	__u32 upgraded; /* the server has answered 101 */
	__u32 audit; /* what no rule allows is read on all the same */
	__u32 audited; /* enum bpfast_reason of the last head, for which it would have been refused */
	__u32 taken[2]; /* of the states of dfa[], while the target is read */
	struct sets sets; /* of the request being judged; too large for the stack */
	__u8 window[HTTP_WINDOW + 64];
};

/* --- bytes ----------------------------------------------------------------- */

enum http_class {
	HC_PATH = 1 << 0, /* stands for itself in a path: pchar of RFC 3986 less '%', '.' and ';' */
	HC_QUERY = 1 << 1, /* stands for itself in a query */
	HC_VALUE = 1 << 2, /* field-vchar, blank: RFC 9110, section 5.5 */
	HC_TOKEN = 1 << 3, /* tchar: RFC 9110, section 5.6.2 */
	HC_UNRESERVED = 1 << 4, /* RFC 3986, section 2.3 */
};

#define HC_ALNUM (HC_PATH | HC_QUERY | HC_VALUE | HC_TOKEN | HC_UNRESERVED)
#define HC_MARK (HC_PATH | HC_QUERY | HC_VALUE | HC_TOKEN) /* ! $ & ' * + */
#define HC_DELIM (HC_PATH | HC_QUERY | HC_VALUE) /* ( ) , : = @ */

/* clang-format off */
static const __u8 http_class[256] = {
	['\t'] = HC_VALUE, [' '] = HC_VALUE,
	['!'] = HC_MARK, ['"'] = HC_VALUE, ['#'] = HC_VALUE | HC_TOKEN, ['$'] = HC_MARK,
	['%'] = HC_VALUE | HC_TOKEN | HC_QUERY, ['&'] = HC_MARK, ['\''] = HC_MARK,
	['('] = HC_DELIM, [')'] = HC_DELIM, ['*'] = HC_MARK, ['+'] = HC_MARK, [','] = HC_DELIM,
	['-'] = HC_ALNUM, ['.'] = HC_QUERY | HC_VALUE | HC_TOKEN | HC_UNRESERVED,
	['/'] = HC_QUERY | HC_VALUE,
	['0' ... '9'] = HC_ALNUM,
	[':'] = HC_DELIM, [';'] = HC_QUERY | HC_VALUE, ['<'] = HC_VALUE, ['='] = HC_DELIM,
	['>'] = HC_VALUE, ['?'] = HC_QUERY | HC_VALUE, ['@'] = HC_DELIM,
	['A' ... 'Z'] = HC_ALNUM,
	['['] = HC_QUERY | HC_VALUE, ['\\'] = HC_VALUE, [']'] = HC_QUERY | HC_VALUE,
	['^'] = HC_QUERY | HC_VALUE | HC_TOKEN, ['_'] = HC_ALNUM, ['`'] = HC_VALUE | HC_TOKEN,
	['a' ... 'z'] = HC_ALNUM,
	['{'] = HC_QUERY | HC_VALUE, ['|'] = HC_QUERY | HC_VALUE | HC_TOKEN,
	['}'] = HC_QUERY | HC_VALUE, ['~'] = HC_ALNUM,
	[0x80 ... 0xff] = HC_VALUE,
};
/* clang-format on */

static __always_inline __u32 http_is(__u8 byte, __u32 classes)
{
	return http_class[byte] & classes;
}

static __always_inline __u8 http_byte(const struct http_walk *w, __u32 pos)
{
	return w->window[(pos - w->window_off) & (HTTP_WINDOW - 1)];
}

/* Where the bytes at hand end. */
static __always_inline __u32 http_limit(const struct http_walk *w)
{
	return w->window_off + w->window_len;
}

/* Byte n of eight, the first in the lowest bits: a string without a table to bound. */
static __always_inline __u8 http_nth(__u64 eight, __u32 n)
{
	return (__u8)(eight >> (n & 7) * 8);
}

#define HTTP_SCHEME_BYTES 0x002f2f3a70747468ull /* "http://" */
#define HTTP_CONNECT_BYTES 0x007463656e6e6f63ull /* "connect" */
#define HTTP_VERSION_BYTES 0x312e312f50545448ull /* "HTTP/1.1" */
#define HTTP_CHUNKED_BYTES 0x0064656b6e756863ull /* "chunked" */

/* 0 to 15, or 16: not a hexadecimal digit. */
static __always_inline __u32 http_hex(__u8 c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return 16;
}

/* --- shared steps ---------------------------------------------------------- */

static __always_inline void http_refuse(struct http_walk *w, __u32 reason)
{
	w->reason = reason;
}

/* Counts n bytes of the current head as read. */
static __always_inline void http_took(struct http_walk *w, __u32 pos)
{
	w->st.head_len += pos - w->pos;
	w->pos = pos;
	if (w->st.head_len > BPFAST_HEAD_MAX && !w->reason)
		http_refuse(w, BPFAST_R_HTTP_HEAD_SIZE);
}

/* One byte that must be `want`; then `next`. */
static __always_inline void http_expect(struct http_walk *w, __u8 want, __u32 next, __u32 reason)
{
	if (http_byte(w, w->pos) != want) {
		http_refuse(w, reason);
		return;
	}
	w->st.state = next;
	http_took(w, w->pos + 1);
}

/* Bytes that nobody reads: moves on without looking at them. Returns 1 at their end. */
static __always_inline int http_skip(struct http_walk *w)
{
	__u32 n = w->end - w->pos;

	if (w->st.body_left == HTTP_BODY_ENDLESS) {
		w->pos = w->end;
		return 0;
	}
	if (n >= w->st.body_left) {
		w->pos += (__u32)w->st.body_left;
		w->st.body_left = 0;
		return 1;
	}
	w->pos = w->end;
	w->st.body_left -= n;
	return 0;
}

/* Eight bytes of the window at pos; the window has slack behind its end. */
static __always_inline __u64 http_eight(const struct http_walk *w, __u32 pos)
{
	const __u8 *p = &w->window[(pos - w->window_off) & (HTTP_WINDOW - 1)];
	__u64 eight;

#ifdef __bpf__
	eight = *(const __u64 *)p; /* every machine that we build for loads unaligned words */
#else
	__builtin_memcpy(&eight, p, 8);
#endif
	return eight;
}

/* Not 0 where one of eight bytes is below 0x20 or 0x7f: the top bit of each such byte, and
 * perhaps of one behind it. Bytes over 0x7f never. */
static __always_inline __u64 http_controls(__u64 eight)
{
	const __u64 ones = 0x0101010101010101ull, tops = 0x8080808080808080ull;
	__u64 below = (eight - 0x20 * ones) & ~eight, del = eight ^ (0x7f * ones);

	return (below | ((del - ones) & ~del)) & tops;
}

/* Which of the eight is the first that http_controls() marks: 0 to 7. */
static __always_inline __u32 http_first(__u64 marks)
{
	/* One bit of 1 << 8k is left; the product's top byte is then k. */
	return (__u32)((((marks & -marks) >> 7) * 0x0001020304050607ull) >> 56);
}

/*
 * The rest of a value that no rule and no framing reads, to behind its CR.
 * Servers agree on what may stand in it; CR, LF and NUL alone do not.
 */
ARENA_GLOBAL __u32 http_value_end(struct http_walk *w, __u32 pos, __u32 limit)
{
	if (!w)
		return pos;
	for (int i = 0; i < HTTP_RUN; i++) {
		__u64 marks;

		if (pos >= limit)
			break;
		marks = http_controls(http_eight(w, pos));
		if (!marks) {
			pos += 8;
			continue;
		}
		pos += http_first(marks);
		if (pos >= limit)
			break;
		if (http_byte(w, pos) != '\t') {
			if (http_byte(w, pos) != '\r')
				http_refuse(w, BPFAST_R_HTTP_HEADER);
			w->st.state = H1_LINE_LF;
			return pos + 1;
		}
		pos++;
	}
	return pos < limit ? pos : limit;
}

/* Behind a CR: takes the LF along where it is at hand, and begins the next line. */
static __always_inline __u32 http_line_end(struct http_walk *w, __u32 pos, __u32 limit)
{
	if (w->st.state != H1_LINE_LF || pos >= limit || http_byte(w, pos) != '\n')
		return pos;
	w->st.state = H1_NAME;
	w->st.bits &= ~HB_ELEMENT;
	return pos + 1;
}

static __always_inline void http_value_skip(struct http_walk *w)
{
	__u32 limit = http_limit(w), pos = http_value_end(w, w->pos, limit);

	http_took(w, http_line_end(w, pos, limit));
}

/*
 * Content-Length: digits between blanks (RFC 9110, section 8.6), read into body_left.
 * No tabs: nginx and Node refuse them.
 */
static __always_inline void http_value_length(struct http_walk *w)
{
	__u32 pos = w->pos, limit = http_limit(w);

	for (int i = 0; i < 24; i++) {
		__u8 c;

		if (pos >= limit)
			break;
		c = http_byte(w, pos);
		pos++;
		if (c >= '0' && c <= '9' && !(w->st.bits & HB_BLANK)) {
			w->st.bits |= HB_BEGUN;
			w->st.body_left = w->st.body_left * 10 + (c - '0');
			if (w->st.body_left > HTTP_BODY_MAX) {
				http_refuse(w, BPFAST_R_HTTP_FRAMING);
				break;
			}
		} else if (c == ' ') {
			if (w->st.bits & HB_BEGUN)
				w->st.bits |= HB_BLANK;
		} else if (c == '\r' && w->st.bits & HB_BEGUN) {
			w->st.state = H1_LINE_LF;
			break;
		} else {
			http_refuse(w, BPFAST_R_HTTP_FRAMING);
			break;
		}
	}
	http_took(w, http_line_end(w, pos, limit));
}

/* Transfer-Encoding: "chunked" in any case and nothing else (RFC 9112, section 6.1). No tabs. */
static __always_inline void http_value_encoding(struct http_walk *w)
{
	__u32 pos = w->pos, limit = http_limit(w), at = w->st.value;

	for (int i = 0; i < 16; i++) {
		__u8 c;

		if (pos >= limit)
			break;
		c = http_byte(w, pos);
		pos++;
		if (c == ' ') {
			if (at && at != 7) {
				http_refuse(w, BPFAST_R_HTTP_FRAMING);
				break;
			}
			if (at == 7)
				w->st.bits |= HB_BLANK;
		} else if (c == '\r' && at == 7) {
			w->st.state = H1_LINE_LF;
			break;
		} else if (at < 7 && (c | 0x20) == http_nth(HTTP_CHUNKED_BYTES, at) &&
			   !(w->st.bits & HB_BLANK)) {
			at++;
		} else {
			http_refuse(w, BPFAST_R_HTTP_FRAMING);
			break;
		}
	}
	w->st.value = at;
	http_took(w, http_line_end(w, pos, limit));
}

/*
 * A chunk's size line (RFC 9112, section 7.1): hexadecimal digits and CR.
 * Extensions are refused where `strict`, else skipped. Sizes past 48 bits are
 * refused: servers wrap or stop at different places.
 */
ARENA_GLOBAL int http_chunk_size(struct http_walk *w, int strict)
{
	__u32 pos, limit;

	if (!w)
		return 0;
	pos = w->pos;
	limit = http_limit(w);

	for (int i = 0; i < 20; i++) {
		__u32 digit;
		__u8 c;

		if (pos >= limit)
			break;
		c = http_byte(w, pos);
		pos++;
		digit = http_hex(c);
		if (digit < 16 && !(w->st.bits & HB_BLANK)) {
			w->st.bits |= HB_BEGUN;
			if (w->st.body_left >= HTTP_BODY_MAX >> 4) {
				http_refuse(w, BPFAST_R_HTTP_CHUNK);
				break;
			}
			w->st.body_left = w->st.body_left << 4 | digit;
		} else if (c == '\r' && w->st.bits & HB_BEGUN) {
			w->st.state = H1_CHUNK_LF;
			break;
		} else if (!strict && w->st.bits & HB_BEGUN && c != '\n') {
			w->st.bits |= HB_BLANK;
		} else {
			http_refuse(w, BPFAST_R_HTTP_CHUNK);
			break;
		}
	}
	http_took(w, pos);
	return 0;
}

/* Behind the LF of a chunk's size line: its data, or the trailer section. */
static __always_inline void http_chunk_begin(struct http_walk *w)
{
	http_expect(w, '\n', H1_CHUNK_DATA, BPFAST_R_HTTP_CHUNK);
	if (w->reason)
		return;
	w->st.head_len = 0;
	if (!w->st.body_left) {
		w->st.state = H1_NAME;
		w->st.bits |= HB_TRAILER;
		w->st.dfa[0] = 0;
		w->st.value = 0;
		w->st.bits &= ~HB_ELEMENT;
	}
}

/* Before a chunk's size. */
static __always_inline void http_chunk_next(struct http_walk *w)
{
	w->st.state = H1_CHUNK_SIZE;
	w->st.body_left = 0;
	w->st.bits &= ~HB_ELEMENT;
}

/* A name that is none of those asked for, to its colon: only its bytes must be tokens. */
static __always_inline __u32 http_name_rest(struct http_walk *w, __u32 pos, __u32 limit)
{
	for (int i = 0; i < HTTP_RUN; i++) {
		if (pos >= limit || !http_is(http_byte(w, pos), HC_TOKEN))
			break;
		pos++;
	}
	return pos;
}

/*
 * One header line, by the automaton over names at `dfa`: to behind its colon
 * where the name is asked for (w->name is then what it accepts with), else to
 * its end. Returns 1 where a line ended and the next begins.
 */
ARENA_GLOBAL int http_line(struct http_walk *w, __u32 dfa)
{
	__u32 pos, limit, state, sink, name = ~0u;
	struct arena_view view;

	if (!w || !arena_open(&view))
		return 0;
	pos = w->pos;
	limit = http_limit(w);
	state = w->st.dfa[0];
	if (pos >= limit)
		return 0;
	if (!(w->st.bits & HB_BEGUN)) {
		state = dfa_start_at(&view, dfa);
		w->st.bits |= HB_BEGUN;
		if (http_byte(w, pos) == '\r') {
			pos++;
			w->st.state = H1_END_LF;
			if (pos < limit && http_byte(w, pos) == '\n') {
				pos++;
				w->st.state = H1_END;
			}
			http_took(w, pos);
			return 0;
		}
	}
	sink = dfa_sink_at(&view, dfa);
	for (int i = 0; i < HTTP_RUN; i++) {
		__u8 c;

		if (pos >= limit || state == sink)
			break;
		c = http_byte(w, pos);
		if (c == ':')
			break;
		pos++;
		state = dfa_step_plain(&view, dfa, state, c);
		if (!state)
			break;
	}
	if (state && state == sink)
		pos = http_name_rest(w, pos, limit);
	w->st.dfa[0] = state;
	if (!state) { /* where no token leads: blanks before the colon, folded lines, controls */
		http_refuse(w, BPFAST_R_HTTP_HEADER);
	} else if (pos < limit && http_byte(w, pos) == ':') {
		pos++;
		name = dfa_accept_plain_at(&view, dfa, state);
		if ((name & 0xff) == BPFAST_HN_INVALID)
			http_refuse(w, BPFAST_R_HTTP_HEADER);
	} else if (pos < limit && state == sink && pos - w->pos < HTTP_RUN) {
		http_refuse(w, BPFAST_R_HTTP_HEADER);
	}
	if (name == BPFAST_HN_OTHER) {
		w->st.state = H1_VALUE;
		w->st.name = BPFAST_HN_OTHER;
		w->st.bits &= ~HB_ELEMENT;
		pos = http_value_end(w, pos, limit);
		pos = http_line_end(w, pos, limit);
		name = ~0u;
	}
	w->name = name;
	http_took(w, pos);
	return w->st.state == H1_NAME && !(w->st.bits & HB_BEGUN) && !w->reason;
}

/* Header lines of no interest, many in one step. */
#define HTTP_LINES 12

static __always_inline void http_lines(struct http_walk *w, __u32 dfa)
{
	w->name = ~0u;
	for (int i = 0; i < HTTP_LINES; i++) {
		if (!http_line(w, dfa))
			break;
	}
}

/* Behind the LF of a header line: the next one. */
static __always_inline void http_name_begin(struct http_walk *w)
{
	http_expect(w, '\n', H1_NAME, BPFAST_R_HTTP_HEADER);
	w->st.bits &= ~HB_ELEMENT;
}

/*
 * One step behind a head, of a request (strict) or a response. Returns 1 where a
 * body of known length has ended. Behind the last chunk the state is H1_NAME, with
 * HB_TRAILER.
 */
static __always_inline int http_body_step(struct http_walk *w, int strict)
{
	__u32 limit = http_limit(w);

	switch (w->st.state) {
	case H1_BODY:
		return http_skip(w);
	case H1_CHUNK_DATA:
		if (http_skip(w))
			w->st.state = H1_CHUNK_CR;
		break;
	case H1_CHUNK_CR:
		http_expect(w, '\r', H1_CHUNK_DATA_LF, BPFAST_R_HTTP_CHUNK);
		if (w->reason || w->pos >= limit)
			break;
	/* fallthrough */
	case H1_CHUNK_DATA_LF:
		http_expect(w, '\n', H1_CHUNK_SIZE, BPFAST_R_HTTP_CHUNK);
		http_chunk_next(w);
		if (w->reason || w->pos >= limit)
			break;
	/* fallthrough */
	case H1_CHUNK_SIZE:
		http_chunk_size(w, strict);
		if (w->st.state != H1_CHUNK_LF || w->reason || w->pos >= limit)
			break;
	/* fallthrough */
	case H1_CHUNK_LF:
		http_chunk_begin(w);
		break;
	default:
		if (strict)
			http_refuse(w, BPFAST_R_INTERNAL);
		else /* until close, tunnel, unknown: nothing is read any more */
			w->pos = w->end;
	}
	return 0;
}

#endif
