// SPDX-License-Identifier: Apache-2.0
#include "naive.h"

#include <string.h>

/* The input up to each of its places, 0 to n: bit i is the place before byte i. */
typedef uint64_t places;

struct naive {
	const char *p, *end; /* of the pattern */
	const uint8_t *input;
	size_t n;
	unsigned int flags;
	unsigned int depth, work;
	bool unknown;
};

#define DEPTH_MAX 30
#define WORK_MAX 200000

/* A set of characters, in ranges. */
struct set {
	uint32_t range[40][2];
	size_t count;
	bool negated;
};

static places alternatives(struct naive *m, places from);

static int peek(const struct naive *m)
{
	return m->p < m->end ? (uint8_t)*m->p : -1;
}

static bool take(struct naive *m, const char *text)
{
	ptrdiff_t len = (ptrdiff_t)strlen(text);

	/* A pattern that is cut short may have led past its end. */
	if (m->end - m->p < len || memcmp(m->p, text, (size_t)len))
		return false;
	m->p += len;
	return true;
}

static void add(struct naive *m, struct set *s, uint32_t first, uint32_t last)
{
	if (s->count == sizeof(s->range) / sizeof(s->range[0]) || first > last) {
		m->unknown = true;
		return;
	}
	s->range[s->count][0] = first;
	s->range[s->count++][1] = last;
}

static bool in_ranges(const struct set *s, uint32_t c)
{
	for (size_t i = 0; i < s->count; i++)
		if (c >= s->range[i][0] && c <= s->range[i][1])
			return true;
	return false;
}

static bool has(const struct naive *m, const struct set *s, uint32_t c)
{
	bool found = in_ranges(s, c);

	if (m->flags & NAIVE_FOLD) {
		uint32_t letter = c == 0x212a ? 'k' : c == 0x17f ? 's' : c | 0x20;

		if (letter >= 'a' && letter <= 'z' && (c < 0x80 || c == 0x212a || c == 0x17f)) {
			found |= in_ranges(s, letter) || in_ranges(s, letter - 32);
			found |= letter == 'k' && in_ranges(s, 0x212a);
			found |= letter == 's' && in_ranges(s, 0x17f);
		}
	}
	return found != s->negated;
}

/* One character in UTF-8 at p (RFC 3629); its length, 0: there is none. */
static size_t decode(const uint8_t *p, size_t n, uint32_t *c)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t len = !n		   ? 0
		     : p[0] < 0x80 ? 1
		     : p[0] < 0xc0 ? 0
		     : p[0] < 0xe0 ? 2
		     : p[0] < 0xf0 ? 3
				   : 4;

	if (!len || len > n || p[0] > 0xf4)
		return 0;
	*c = len == 1 ? p[0] : p[0] & (0x7fu >> len);
	for (size_t i = 1; i < len; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		*c = *c << 6 | (p[i] & 0x3f);
	}
	return *c < least[len] || *c > 0x10ffff || (*c >= 0xd800 && *c < 0xe000) ? 0 : len;
}

static places step(const struct naive *m, const struct set *s, places from)
{
	places to = 0;

	for (size_t at = 0; at < m->n; at++) {
		uint32_t c = 0;
		size_t len = from >> at & 1 ? decode(m->input + at, m->n - at, &c) : 0;

		if (len && (c < 0x80 || !(m->flags & NAIVE_ASCII)) && has(m, s, c))
			to |= 1ull << (at + len);
	}
	return to;
}

/* \d \w \s and their opposites, where case does not matter. False: it is none of them. */
static bool perl_class(struct naive *m, struct set *s)
{
	static const struct {
		char name;
		uint32_t range[4][2];
		size_t count;
	} known[] = {
		{'d', {{'0', '9'}}, 1},
		{'D', {{0, '0' - 1}, {'9' + 1, 0x10ffff}}, 2},
		{'w', {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}}, 4},
		{'s', {{'\t', '\n'}, {'\f', '\r'}, {' ', ' '}}, 3},
		{'S', {{0, 8}, {11, 11}, {14, 31}, {33, 0x10ffff}}, 4},
	};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (m->end - m->p < 2 || m->p[0] != '\\' || m->p[1] != known[i].name)
			continue;
		m->unknown |= m->flags & NAIVE_FOLD;
		for (size_t r = 0; r < known[i].count; r++)
			add(m, s, known[i].range[r][0], known[i].range[r][1]);
		m->p += 2;
		return true;
	}
	return false;
}

/* One character as it stands or escaped. */
static uint32_t character(struct naive *m)
{
	int c = peek(m);

	m->p++;
	if (c < 0 || c >= 0x80 || (c == '\\' && m->p == m->end)) {
		m->unknown = true;
		return 0;
	}
	if (c != '\\')
		return (uint32_t)c;
	c = (uint8_t)*m->p++;
	if (c == 'n')
		return '\n';
	if (c == 't')
		return '\t';
	if (!strchr(".*+?()[]{}|^$\\-/", c) || !c)
		m->unknown = true;
	return (uint32_t)c;
}

static places class(struct naive *m, places from)
{
	struct set s = {.count = 0};

	s.negated = take(m, "^");
	for (bool first = true; first || peek(m) != ']'; first = false) {
		uint32_t low, high;

		/* Corners of the syntax: [:alpha:], a hyphen that is no range */
		if (m->unknown || peek(m) < 0 || peek(m) == '[' || peek(m) == '-' ||
		    (first && peek(m) == ']')) {
			m->unknown = true;
			return 0;
		}
		if (perl_class(m, &s))
			continue;
		low = high = character(m);
		if (peek(m) == '-') {
			m->p++;
			if (peek(m) == ']' || peek(m) == '[' || peek(m) == '-') {
				m->unknown = true;
				return 0;
			}
			high = character(m);
		}
		add(m, &s, low, high);
	}
	m->p++;
	return step(m, &s, from);
}

static places atom(struct naive *m, places from)
{
	struct set s = {.count = 0};
	places to;

	if (take(m, "(")) {
		if (!take(m, "?:") && peek(m) == '?')
			m->unknown = true;
		to = alternatives(m, from);
		m->unknown |= !take(m, ")");
		return to;
	}
	if (take(m, "["))
		return class(m, from);
	if (take(m, "^") || take(m, "\\A"))
		return from & 1;
	if (take(m, "$") || take(m, "\\z"))
		return from & 1ull << m->n;
	if (take(m, ".")) {
		add(m, &s, 0, '\n' - 1);
		add(m, &s, '\n' + 1, 0x10ffff);
		return step(m, &s, from);
	}
	if (perl_class(m, &s))
		return step(m, &s, from);
	if (peek(m) < 0 || strchr("*+?{}|)]", peek(m))) {
		m->unknown = true;
		return 0;
	}
	add(m, &s, 0, 0);
	s.range[0][0] = s.range[0][1] = character(m);
	return step(m, &s, from);
}

static unsigned int number(struct naive *m)
{
	unsigned int n = 0, digits = 0;
	bool zero = peek(m) == '0';

	while (peek(m) >= '0' && peek(m) <= '9' && digits++ < 2)
		n = n * 10 + (unsigned int)(*m->p++ - '0');
	/* With a zero in front it is no number, and the braces are braces. */
	m->unknown |= !digits || (zero && digits > 1);
	return n;
}

/* How often: false where it stands without. */
static bool repeat(struct naive *m, unsigned int *least, unsigned int *most)
{
	if (take(m, "*") || take(m, "+") || take(m, "?")) {
		*least = m->p[-1] == '+';
		*most = m->p[-1] == '?' ? 1 : ~0u;
	} else if (take(m, "{")) {
		*least = *most = number(m);
		if (take(m, ","))
			*most = peek(m) == '}' ? ~0u : number(m);
		m->unknown |= !take(m, "}") || *least > *most;
	} else {
		return false;
	}
	take(m, "?"); /* lazy: where it ends is the same */
	m->unknown |= peek(m) >= 0 && strchr("*+?{", peek(m));
	return true;
}

static places repeated(struct naive *m, places from)
{
	const char *again = m->p, *behind;
	places to, all;
	unsigned int least, most;

	to = atom(m, from);
	if (m->unknown || !repeat(m, &least, &most))
		return to;
	behind = m->p;
	to = from;
	all = least ? 0 : from;
	for (unsigned int i = 1; i <= most && !m->unknown; i++) {
		places before = all;

		m->p = again;
		to = atom(m, to);
		if (i >= least)
			all |= to;
		/* Nothing new, and what is behind it can only be what was there. */
		if (!to || (i > least && all == before && most == ~0u))
			break;
	}
	m->p = behind;
	return all;
}

static places alternatives(struct naive *m, places from)
{
	places to = 0, at = from;

	if (++m->depth > DEPTH_MAX)
		m->unknown = true;
	while (!m->unknown && peek(m) >= 0 && peek(m) != ')') {
		if (++m->work > WORK_MAX)
			m->unknown = true;
		if (take(m, "|")) {
			to |= at;
			at = from;
			continue;
		}
		at = repeated(m, at);
	}
	m->depth--;
	return to | at;
}

int naive_match(const char *pattern, size_t pattern_len, unsigned int flags, const uint8_t *input,
		size_t n)
{
	struct naive m = {
		.p = pattern, .end = pattern + pattern_len, .input = input, .n = n, .flags = flags};
	places to = alternatives(&m, 1);

	if (m.unknown || m.p != m.end)
		return -1;
	return to >> n & 1;
}
