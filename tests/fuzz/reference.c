// SPDX-License-Identifier: Apache-2.0
/* Requests and responses, as obviously as can be. Lines end with CRLF and with nothing else. */
#include "reference.h"

#include <string.h>

#define REF_OK REF_CLEAN

struct text {
	const uint8_t *at, *end;
};

static bool one_of(uint8_t c, const char *set)
{
	return c && strchr(set, c);
}

static bool is_digit(uint8_t c)
{
	return c >= '0' && c <= '9';
}

static bool is_alnum(uint8_t c)
{
	return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

/* RFC 9110, section 5.6.2 */
static bool is_token(uint8_t c)
{
	return is_alnum(c) || one_of(c, "!#$%&'*+-.^_`|~");
}

/* RFC 3986, section 2.3 */
static bool is_unreserved(uint8_t c)
{
	return is_alnum(c) || one_of(c, "-._~");
}

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

/* 0 to 15, or -1 */
static int hex(uint8_t c)
{
	const char *digits = "0123456789abcdef", *p = c ? strchr(digits, lower(c)) : NULL;

	return p ? (int)(p - digits) : -1;
}

bool ref_is(struct ref_span a, const char *text)
{
	return a.len == strlen(text) && !memcmp(a.at, text, a.len);
}

static bool same_any_case(struct ref_span a, struct ref_span b)
{
	if (a.len != b.len)
		return false;
	for (size_t i = 0; i < a.len; i++)
		if (lower(a.at[i]) != lower(b.at[i]))
			return false;
	return true;
}

bool ref_is_any_case(struct ref_span a, const char *text)
{
	return same_any_case(a, (struct ref_span){(const uint8_t *)text, strlen(text)});
}

/* The next line, without its CRLF. No other CR and no LF is in a line. */
static enum ref_end take_line(struct text *t, struct ref_span *line)
{
	const uint8_t *p = t->at;

	if (p == t->end)
		return REF_CLEAN;
	while (p < t->end && *p != '\r' && *p != '\n')
		p++;
	if (p == t->end || (*p == '\r' && p + 1 == t->end))
		return REF_IN_LINE;
	if (p[0] != '\r' || p[1] != '\n')
		return REF_REFUSED;
	*line = (struct ref_span){t->at, (size_t)(p - t->at)};
	t->at = p + 2;
	return REF_OK;
}

/* Takes a line; at the end of what there is, or where it is none, the caller returns. */
#define LINE(t, line)                                                                              \
	do {                                                                                       \
		const uint8_t *was = (t)->at;                                                      \
		enum ref_end end_ = take_line(t, line);                                            \
                                                                                                   \
		if (end_ != REF_OK || (t)->at == was)                                              \
			return end_;                                                               \
	} while (0)

static struct ref_span trim(struct ref_span s)
{
	while (s.len && one_of(s.at[0], " \t")) {
		s.at++;
		s.len--;
	}
	while (s.len && one_of(s.at[s.len - 1], " \t"))
		s.len--;
	return s;
}

/* "NAME: VALUE" (RFC 9112, section 5). Controls but for the tab are in no value. */
static bool split_header(struct ref_span line, struct ref_span *name, struct ref_span *value)
{
	size_t n = 0;

	while (n < line.len && is_token(line.at[n]))
		n++;
	if (!n || n == line.len || line.at[n] != ':')
		return false;
	*name = (struct ref_span){line.at, n};
	*value = trim((struct ref_span){line.at + n + 1, line.len - n - 1});
	for (size_t i = n + 1; i < line.len; i++)
		if ((line.at[i] < 0x20 && line.at[i] != '\t') || line.at[i] == 0x7f)
			return false;
	return true;
}

/* Servers do not agree on tabs around what frames and routes. */
static bool has_tab(struct ref_span line)
{
	return memchr(line.at, '\t', line.len) != NULL;
}

/* Digits alone (RFC 9110, section 8.6), and not more than 2^48. */
static bool read_length(struct ref_span value, uint64_t *length)
{
	*length = 0;
	for (size_t i = 0; i < value.len; i++) {
		if (!is_digit(value.at[i]))
			return false;
		*length = *length * 10 + (value.at[i] - '0');
		if (*length > 1ull << 48)
			return false;
	}
	return value.len > 0;
}

/* Takes `size` bytes of a body; false: there are not so many. */
static bool take_bytes(struct text *t, uint64_t size)
{
	if ((uint64_t)(t->end - t->at) < size)
		return false;
	t->at += size;
	return true;
}

/* The same name, but for at least one underscore in a dash's place or the reverse. */
static bool only_alike(struct ref_span a, const char *name)
{
	bool differs = false;

	if (a.len != strlen(name))
		return false;
	for (size_t i = 0; i < a.len; i++) {
		bool dashes = one_of(a.at[i], "-_") && one_of((uint8_t)name[i], "-_");

		if (!dashes && lower(a.at[i]) != lower((uint8_t)name[i]))
			return false;
		differs |= a.at[i] != (uint8_t)name[i] && dashes;
	}
	return differs;
}

/* Programs behind CGI see these names as those that framing or a rule needs. */
static bool looks_like_another(struct ref_span name, const char *const *names)
{
	for (size_t i = 0; names[i]; i++)
		if (ref_is_any_case(name, names[i]))
			return false;
	for (size_t i = 0; names[i]; i++)
		if (only_alike(name, names[i]))
			return true;
	return only_alike(name, "content-length") || only_alike(name, "transfer-encoding");
}

/*
 * Chunks (RFC 9112, section 7.1) and trailers. In requests extensions are refused, and so are
 * trailers by which somebody might frame, route or decide. *done: the body is complete.
 */
static enum ref_end take_chunks(struct text *t, bool request, const char *const *names, bool *done)
{
	static const char *const never[] = {
		"content-length", "transfer-encoding", "connection", "upgrade", "host", "expect"};
	struct ref_span line, name, value;

	*done = false;
	for (;;) {
		uint64_t size = 0;
		size_t digits = 0;

		/* An extension may hold anything but LF. */
		LINE(t, &line);
		while (digits < line.len && hex(line.at[digits]) >= 0) {
			if (size >> 44)
				return REF_REFUSED;
			size = size << 4 | (uint64_t)hex(line.at[digits++]);
		}
		if (!digits || (request && digits < line.len))
			return REF_REFUSED;
		if (!size)
			break;
		if (!take_bytes(t, size))
			return REF_CLEAN;
		for (const char *p = "\r\n"; *p; p++, t->at++) {
			if (t->at == t->end)
				return REF_CLEAN;
			if (*t->at != *p)
				return REF_REFUSED;
		}
	}
	for (;;) {
		LINE(t, &line);
		if (!line.len)
			break;
		if (!split_header(line, &name, &value))
			return REF_REFUSED;
		if (request && looks_like_another(name, names))
			return REF_REFUSED;
		for (size_t i = 0; request && i < sizeof(never) / sizeof(never[0]); i++)
			if (ref_is_any_case(name, never[i]))
				return REF_REFUSED;
		for (size_t i = 0; request && names[i]; i++)
			if (ref_is_any_case(name, names[i]))
				return REF_REFUSED;
	}
	*done = true;
	return REF_OK;
}

/* --- requests ---------------------------------------------------------------------------- */

/* From 1 to 65535, without zeroes in front. */
static bool good_port(struct ref_span port)
{
	unsigned int n = 0;

	if (!port.len || port.len > 5 || port.at[0] == '0')
		return false;
	for (size_t i = 0; i < port.len; i++) {
		if (!is_digit(port.at[i]))
			return false;
		n = n * 10 + (port.at[i] - '0');
	}
	return n <= 65535;
}

/* Letters, digits, '-' but in front, '_', and dots neither in front nor side by side. */
static bool good_name(struct ref_span name)
{
	if (!name.len || one_of(name.at[0], ".-"))
		return false;
	for (size_t i = 0; i < name.len; i++) {
		if (!is_alnum(name.at[i]) && !one_of(name.at[i], "-_."))
			return false;
		if (name.at[i] == '.' && i && name.at[i - 1] == '.')
			return false;
	}
	return true;
}

static bool good_ipv6(struct ref_span address)
{
	for (size_t i = 0; i < address.len; i++)
		if (hex(address.at[i]) < 0 && !one_of(address.at[i], ":."))
			return false;
	return address.len > 0;
}

/* What servers agree on in a host and a port (RFC 9112, sections 3.2.2 and 3.2.3). */
static bool good_authority(struct ref_span a, bool with_port)
{
	const uint8_t *from = a.at, *colon;
	struct ref_span host = a, port;

	if (a.len && a.at[0] == '[') {
		from = memchr(a.at, ']', a.len);
		if (!from || !good_ipv6((struct ref_span){a.at + 1, (size_t)(from - a.at) - 1}))
			return false;
		from++;
		if (from != a.at + a.len && *from != ':')
			return false;
	}
	colon = a.len ? memchr(from, ':', (size_t)(a.at + a.len - from)) : NULL;
	if (colon)
		host.len = (size_t)(colon - a.at);
	if (from == a.at && !good_name(host))
		return false;
	if (!colon)
		return !with_port;
	port = (struct ref_span){colon + 1, a.len - host.len - 1};
	return good_port(port);
}

/* A byte that is in no UTF-8, or that writes a character longer than it is. */
static bool overlong(int before, int byte)
{
	return byte == 0xc0 || byte == 0xc1 || byte > 0xf4 ||
	       (before == 0xe0 && byte >= 0x80 && byte < 0xa0) ||
	       (before == 0xf0 && byte >= 0x80 && byte < 0x90);
}

/* Percent-decodes what may be (RFC 3986, section 6.2.2); "%2C" and the like stay, in capitals. */
static bool decode_path(struct ref_span raw, uint8_t *out, size_t *len)
{
	size_t n = 0;
	int before = 0;

	for (size_t i = 0; i < raw.len; i++) {
		uint8_t c = raw.at[i];
		int byte;

		if (c != '%') {
			if (!is_unreserved(c) && !one_of(c, "!$&'()*+,;=:@/"))
				return false;
			out[n++] = c;
			continue;
		}
		if (i + 2 >= raw.len || hex(raw.at[i + 1]) < 0 || hex(raw.at[i + 2]) < 0)
			return false;
		byte = hex(raw.at[i + 1]) << 4 | hex(raw.at[i + 2]);
		i += 2;
		/* Servers differ on when they decode these. */
		if (byte < 0x20 || byte == 0x7f || one_of((uint8_t)byte, "/\\%") ||
		    overlong(before, byte))
			return false;
		before = byte;
		if (is_unreserved((uint8_t)byte)) {
			out[n++] = (uint8_t)byte;
			continue;
		}
		out[n++] = '%';
		out[n++] = (uint8_t)"0123456789ABCDEF"[byte >> 4];
		out[n++] = (uint8_t)"0123456789ABCDEF"[byte & 15];
	}
	*len = n;
	return true;
}

/* Segment by segment: empty ones and "." are taken out, ".." is refused. */
static bool normalise_path(struct ref_span raw, struct ref_request *r)
{
	static uint8_t path[REF_TARGET_MAX];
	size_t len, at = 1, n = 0;

	if (raw.len > REF_TARGET_MAX / 2 || !decode_path(raw, path, &len))
		return false;
	r->path[n++] = '/';
	while (at <= len) {
		const uint8_t *slash = memchr(path + at, '/', len - at);
		size_t size = slash ? (size_t)(slash - path) - at : len - at;
		struct ref_span segment = {path + at, size}, plain = segment;

		for (size_t i = size; i-- > 0;) /* without parameters */
			if (segment.at[i] == ';' ||
			    (size - i > 2 && !memcmp(segment.at + i, "%3B", 3)))
				plain.len = i;
		if (ref_is(plain, "..") || (ref_is(plain, ".") && plain.len < size))
			return false;
		if (!size && slash && n == 1) /* "//": another host to some */
			return false;
		if (size && !ref_is(segment, ".")) {
			memcpy(r->path + n, segment.at, size);
			n += size;
			if (slash)
				r->path[n++] = '/';
		}
		at += size + 1;
	}
	r->path_len = n;
	return true;
}

static bool read_target(struct ref_request *r)
{
	struct ref_span raw = r->raw_target, query = {0};
	const uint8_t *mark;

	if (r->connect) {
		r->authority = raw;
		return good_authority(raw, true);
	}
	if (ref_is(raw, "*") && ref_is(r->method, "OPTIONS")) {
		r->path[0] = r->target[0] = '*';
		r->path_len = r->target_len = 1;
		return true;
	}
	if (raw.len >= 7 && ref_is_any_case((struct ref_span){raw.at, 7}, "http://")) {
		size_t n = 7;

		while (n < raw.len && !one_of(raw.at[n], "/?"))
			n++;
		r->authority = (struct ref_span){raw.at + 7, n - 7};
		if (!good_authority(r->authority, false))
			return false;
		raw = (struct ref_span){raw.at + n, raw.len - n};
	} else if (!raw.len || raw.at[0] != '/') {
		return false;
	}
	mark = raw.len ? memchr(raw.at, '?', raw.len) : NULL;
	if (mark) {
		query = (struct ref_span){mark, (size_t)(raw.at + raw.len - mark)};
		raw.len -= query.len;
	}
	if (!raw.len)
		raw = (struct ref_span){(const uint8_t *)"/", 1}; /* RFC 9110, section 4.2.3 */
	if (!normalise_path(raw, r) || query.len > REF_TARGET_MAX / 2)
		return false;
	for (size_t i = 0; i < query.len; i++)
		if (!is_unreserved(query.at[i]) && !one_of(query.at[i], "!$%&'()*+,;=:@/?[]^{|}"))
			return false;
	memcpy(r->target, r->path, r->path_len);
	if (query.len)
		memcpy(r->target + r->path_len, query.at, query.len);
	r->target_len = r->path_len + query.len;
	return true;
}

/* "METHOD TARGET HTTP/1.x" (RFC 9112, section 3) */
static bool read_request_line(struct ref_span line, struct ref_request *r)
{
	const uint8_t *blank = memchr(line.at, ' ', line.len), *end = line.at + line.len, *version;

	if (!blank || blank == line.at || blank - line.at > 32)
		return false;
	r->method = (struct ref_span){line.at, (size_t)(blank - line.at)};
	for (size_t i = 0; i < r->method.len; i++)
		if (!is_token(r->method.at[i]))
			return false;
	r->connect = ref_is(r->method, "CONNECT");
	blank++;
	version = memchr(blank, ' ', (size_t)(end - blank));
	if (!version)
		return false;
	r->raw_target = (struct ref_span){blank, (size_t)(version - blank)};
	version++;
	r->http10 = ref_is((struct ref_span){version, (size_t)(end - version)}, "HTTP/1.0");
	if (!r->http10 && !ref_is((struct ref_span){version, (size_t)(end - version)}, "HTTP/1.1"))
		return false;
	return read_target(r);
}

static bool frames_or_routes(struct ref_span name)
{
	return ref_is_any_case(name, "Content-Length") ||
	       ref_is_any_case(name, "Transfer-Encoding") || ref_is_any_case(name, "Host");
}

/* What one header means for framing and routing. */
static bool read_header(struct ref_request *r, struct ref_span name, struct ref_span value)
{
	if (ref_is_any_case(name, "Content-Length")) {
		if (r->has_length || r->chunked || !read_length(value, &r->length))
			return false;
		r->has_length = true;
	} else if (ref_is_any_case(name, "Transfer-Encoding")) {
		if (r->has_length || r->chunked || r->http10 || !ref_is_any_case(value, "chunked"))
			return false;
		r->chunked = true;
	} else if (ref_is_any_case(name, "Host")) {
		if (r->host.at || !good_authority(value, false))
			return false;
		r->host = value;
	}
	if (r->headers == REF_HEADERS_MAX)
		return true;
	r->header[r->headers].name = name;
	r->header[r->headers++].value = value;
	return true;
}

/* From the request line to the empty line. *done: it is complete and allowed. */
static enum ref_end take_head(struct text *t, struct ref_request *r, const struct ref_judge *judge,
			      bool *done)
{
	struct ref_span line, name, value;

	memset(r, 0, sizeof(*r));
	*done = false;
	LINE(t, &line);
	if (!read_request_line(line, r) || !judge->line(r, judge->arg))
		return REF_REFUSED;
	for (;;) {
		LINE(t, &line);
		if (!line.len)
			break;
		if (!split_header(line, &name, &value) || looks_like_another(name, judge->names) ||
		    (frames_or_routes(name) && has_tab(line)) || !read_header(r, name, value))
			return REF_REFUSED;
		if (r->authority.at && r->host.at && !same_any_case(r->host, r->authority))
			return REF_HOST_DIFFERS;
	}
	if (!r->host.at && (!r->http10 || r->authority.at)) /* RFC 9112, section 3.2 */
		return REF_REFUSED;
	if (r->connect && (r->has_length || r->chunked))
		return REF_REFUSED;
	if ((ref_is(r->method, "GET") || ref_is(r->method, "HEAD")) && (r->chunked || r->length))
		return REF_REFUSED; /* servers that never read it take it for a request */
	if (!judge->head(r, judge->arg))
		return REF_REFUSED;
	*done = true;
	return REF_OK;
}

enum ref_end ref_requests(const uint8_t *data, size_t n, const struct ref_judge *judge,
			  struct ref_request *r, size_t *count)
{
	struct text t = {data, data + n};
	enum ref_end end;
	bool done;

	*count = 0;
	while (t.at < t.end) {
		end = take_head(&t, r, judge, &done);
		if (!done)
			return end;
		(*count)++;
		if (r->chunked) {
			end = take_chunks(&t, true, judge->names, &done);
			if (!done)
				return end;
		} else if (!take_bytes(&t, r->length)) {
			return REF_CLEAN;
		}
	}
	return REF_CLEAN;
}

/* --- responses --------------------------------------------------------------------------- */

/* "HTTP/1.x NNN", and whatever text behind it (RFC 9112, section 4) */
static bool read_status_line(struct ref_span line, unsigned int *status, bool *http10)
{
	const uint8_t *p = line.at;

	if (line.len < 12 || memcmp(p, "HTTP/1.", 7) || (p[7] != '0' && p[7] != '1') || p[8] != ' ')
		return false;
	if (!is_digit(p[9]) || !is_digit(p[10]) || !is_digit(p[11]))
		return false;
	for (size_t i = 12; i < line.len; i++)
		if ((p[i] < 0x20 && p[i] != '\t') || p[i] == 0x7f)
			return false;
	*status = (p[9] - '0') * 100u + (p[10] - '0') * 10u + (p[11] - '0');
	*http10 = p[7] == '0';
	return true;
}

enum ref_end ref_responses(const uint8_t *data, size_t n, uint64_t heads, bool connect,
			   void (*message)(void *arg, unsigned int status), void *arg)
{
	struct text t = {data, data + n};
	unsigned int count = 0;

	while (t.at < t.end) {
		struct ref_span line, name, value;
		bool http10, chunked = false, has_length = false, done;
		uint64_t length = 0;
		unsigned int status;

		LINE(&t, &line);
		if (!read_status_line(line, &status, &http10))
			return REF_REFUSED;
		for (;;) {
			LINE(&t, &line);
			if (!line.len)
				break;
			if (!split_header(line, &name, &value))
				return REF_REFUSED;
			if (ref_is_any_case(name, "Content-Length")) {
				if (has_tab(line) || has_length || !read_length(value, &length))
					return REF_REFUSED;
				has_length = true;
			} else if (ref_is_any_case(name, "Transfer-Encoding")) {
				/* RFC 9112, section 6.1: in HTTP/1.0, and twice, it is faulty */
				if (has_tab(line) || http10 || chunked ||
				    !ref_is_any_case(value, "chunked"))
					return REF_REFUSED;
				chunked = true;
			}
		}
		/* RFC 9112, section 6.3 */
		if (status == 101 || (connect && status / 100 == 2)) {
			message(arg, status);
			return REF_TUNNEL;
		}
		if (status < 200)
			continue;
		if (heads >> (count & 63) & 1 || status == 204 || status == 304) {
			/* no body */
		} else if (chunked) {
			enum ref_end end = take_chunks(&t, false, NULL, &done);

			if (!done)
				return end;
		} else if (has_length) {
			if (!take_bytes(&t, length))
				return REF_CLEAN;
		} else {
			return REF_UNTIL_CLOSE;
		}
		message(arg, status);
		count++;
	}
	return REF_CLEAN;
}
