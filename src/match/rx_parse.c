// SPDX-License-Identifier: Apache-2.0
/*
 * RE2's syntax to trees: https://github.com/google/re2/wiki/Syntax, in its
 * default mode (Perl-like, UTF-8, one line). Refused though RE2 takes it:
 * \b \B \pN \PN, (?m), and case folding of letters outside ASCII. They are
 * of no use on request fields, and a refusal is better than a near miss.
 *
 * No recursion: what is open stands on an explicit stack.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "match/array.h"
#include "match/rx.h"

enum { F_FOLD = 1, F_DOT_NL = 2 };
enum item_kind { ITEM_NODE, ITEM_GROUP, ITEM_BAR };

struct item {
	enum item_kind kind;
	uint32_t node; /* ITEM_NODE */
	uint32_t offset; /* ITEM_GROUP: of its ( */
	unsigned int flags; /* ITEM_GROUP: to restore at its ) */
};

struct name {
	size_t offset, len;
};

struct parser {
	struct bf_rx *rx;
	const uint8_t *s;
	size_t len, pos;
	unsigned int flags;
	bool ascii;
	/* The last thing read was a repetition: in Perl's syntax none may follow. */
	bool repeated;
	struct item *stack;
	size_t count, cap;
	uint32_t *scratch;
	size_t scratch_cap;
	struct name *names;
	size_t name_count, names_cap;
	struct bf_error *err;
};

static int refuse(struct parser *p, size_t offset, const char *what, const char *how)
{
	return bf_err(p->err, -EINVAL, "%s at offset %zu: %s", what, offset, how);
}

/* "PREFIX'c'", whatever the byte is. */
static const char *show(char *buf, size_t size, const char *prefix, int byte)
{
	if (byte > ' ' && byte < 0x7f)
		snprintf(buf, size, "%s%c", prefix, byte);
	else
		snprintf(buf, size, "%s<0x%02x>", prefix, byte & 0xff);
	return buf;
}

static bool more(const struct parser *p, size_t n)
{
	return p->len - p->pos >= n;
}

/* Byte i from here, or -1 past the end. */
static int peek(const struct parser *p, size_t i)
{
	return more(p, i + 1) ? p->s[p->pos + i] : -1;
}

static int push(struct parser *p, struct item item)
{
	if (bf_array_grow(&p->stack, &p->cap, p->count + 1, sizeof(*p->stack)))
		return -ENOMEM;
	p->stack[p->count++] = item;
	return 0;
}

static int push_node(struct parser *p, enum bf_rx_op op, const uint32_t *words, size_t count)
{
	struct item item = {.kind = ITEM_NODE};
	int ret = bf_rx_intern(p->rx, op, words, count, &item.node);

	if (!ret && p->rx->nodes[item.node].depth > BF_RX_DEPTH_MAX)
		return bf_err(p->err, -E2BIG, "the expression is nested deeper than %d levels",
			      BF_RX_DEPTH_MAX);
	return ret ? ret : push(p, item);
}

/* Takes a sorted set; offset and what name it if it turns out to be useless. */
static int push_class(struct parser *p, struct bf_runes *runes, size_t offset, const char *what)
{
	bool empty = !runes->count;

	if (p->ascii) {
		bf_runes_cut(runes, 0x7f);
		if (!empty && !runes->count)
			return refuse(p, offset, what,
				      "it can never match, the input is ASCII; in a path or "
				      "query write it percent-encoded, as in %C3%A9");
	}
	return push_node(p, BF_RX_CLASS, runes->v, runes->count);
}

/* RFC 3629, except that surrogates pass as in RE2. */
static int read_rune(struct parser *p, uint32_t *rune)
{
	size_t at = p->pos;
	int b = peek(p, 0);
	uint32_t r, least;
	size_t n;

	if (b < 0x80) {
		*rune = (uint32_t)b;
		p->pos++;
		return 0;
	}
	if (b >= 0xc2 && b < 0xe0)
		n = 1, r = b & 0x1f, least = 0x80;
	else if (b >= 0xe0 && b < 0xf0)
		n = 2, r = b & 0x0f, least = 0x800;
	else if (b >= 0xf0 && b < 0xf5)
		n = 3, r = b & 0x07, least = 0x10000;
	else
		return refuse(p, at, "invalid UTF-8", "write a byte of its own as \\x..");
	for (size_t i = 1; i <= n; i++) {
		int c = peek(p, i);

		if (c < 0x80 || c > 0xbf)
			return refuse(p, at, "invalid UTF-8", "a character is cut short");
		r = r << 6 | (c & 0x3f);
	}
	if (r < least || r > BF_RX_RUNE_MAX)
		return refuse(p, at, "invalid UTF-8", "no such character");
	p->pos += n + 1;
	*rune = r;
	return 0;
}

static int hex(int c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static int read_hex(struct parser *p, size_t at, uint32_t *rune)
{
	static const char how[] = "write \\x and two hexadecimal digits, or \\x{10FFFF}";
	uint32_t r = 0;
	size_t n = 0;

	if (peek(p, 0) != '{') {
		if (hex(peek(p, 0)) < 0 || hex(peek(p, 1)) < 0)
			return refuse(p, at, "bad escape \\x", how);
		*rune = (uint32_t)(hex(peek(p, 0)) << 4 | hex(peek(p, 1)));
		p->pos += 2;
		return 0;
	}
	for (p->pos++; hex(peek(p, 0)) >= 0; p->pos++, n++) {
		r = r << 4 | (uint32_t)hex(peek(p, 0));
		if (r > BF_RX_RUNE_MAX)
			return refuse(p, at, "bad escape \\x{", "characters end at 10FFFF");
	}
	if (!n || peek(p, 0) != '}')
		return refuse(p, at, "bad escape \\x{", how);
	p->pos++;
	*rune = r;
	return 0;
}

/* An escape that stands for one character, at its backslash. */
static int read_escape(struct parser *p, uint32_t *rune)
{
	size_t at = p->pos;
	int c = peek(p, 1);
	char what[40];

	if (c < 0)
		return refuse(p, at, "backslash",
			      "nothing follows it; write \\\\ for the character");
	p->pos += 2;
	switch (c) {
	case 'a':
		*rune = '\a';
		return 0;
	case 'f':
		*rune = '\f';
		return 0;
	case 'n':
		*rune = '\n';
		return 0;
	case 'r':
		*rune = '\r';
		return 0;
	case 't':
		*rune = '\t';
		return 0;
	case 'v':
		*rune = '\v';
		return 0;
	case 'x':
		return read_hex(p, at, rune);
	default:
		break;
	}
	if (c >= '0' && c <= '9') {
		/* \0 to \0377 and \10 to \777 are octal; a lone digit is Perl's reference. */
		bool octal = c == '0' || (c < '8' && peek(p, 0) >= '0' && peek(p, 0) <= '7');

		if (!octal)
			return refuse(p, at, show(what, sizeof(what), "back-reference \\", c),
				      "it needs backtracking; write out what may stand here");
		*rune = (uint32_t)(c - '0');
		for (int i = 0; i < 2 && peek(p, 0) >= '0' && peek(p, 0) <= '7'; i++, p->pos++)
			*rune = *rune << 3 | (uint32_t)(peek(p, 0) - '0');
		return 0;
	}
	if (c < 0x80 && !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) {
		*rune = (uint32_t)c;
		return 0;
	}
	show(what, sizeof(what), "escape \\", c);
	switch (c) {
	case 'b':
	case 'B':
		show(what, sizeof(what), "word boundary \\", c);
		return refuse(p, at, what, "not supported; write the neighbouring characters");
	case 'p':
	case 'P':
		show(what, sizeof(what), "Unicode class \\", c);
		return refuse(p, at, what, "not supported; write a class such as [A-Za-z]");
	case 'k':
	case 'g':
		return refuse(p, at, show(what, sizeof(what), "back-reference \\", c),
			      "it needs backtracking; write out what may stand here");
	case 'Z':
	case 'G':
	case 'K':
		return refuse(p, at, what,
			      "not in RE2's syntax; a pattern matches the whole value");
	default:
		return refuse(p, at, what, "no such escape");
	}
}

/* Adds first..last as written, and under (?i) what differs from it only in case. */
static int add_range(struct parser *p, struct bf_runes *runes, uint32_t first, uint32_t last,
		     size_t at)
{
	int ret = bf_runes_add(runes, first, last);

	if (ret || !(p->flags & F_FOLD))
		return ret;
	/* The two folds of ASCII letters are known here, the others are not. A range
	 * that holds all others is its own fold; in ASCII mode none of them matters. */
	if (last > 0x7f && !p->ascii && !(first <= 0x80 && last == BF_RX_RUNE_MAX) &&
	    !(first == last && (first == 0x17f || first == 0x212a)))
		return refuse(p, at, "(?i) with a character that is not ASCII",
			      "not supported; write both cases in a class, outside of (?i)");
	return bf_runes_add_folds(runes, first, last);
}

static int add_named(struct parser *p, struct bf_runes *runes, const struct bf_runes_named *named,
		     bool negate)
{
	struct bf_runes own = {0};
	int ret = 0;

	for (int i = 0; !ret && i < named->ranges; i++)
		ret = add_range(p, &own, named->range[2 * i], named->range[2 * i + 1], p->pos);
	bf_runes_sort(&own);
	if (!ret && negate)
		ret = bf_runes_negate(&own);
	if (!ret)
		ret = bf_runes_add_all(runes, &own);
	free(own.v);
	return ret;
}

/* \d \D \s \S \w \W here? Returns 1 when it was one. */
static int try_perl_class(struct parser *p, struct bf_runes *runes)
{
	const struct bf_runes_named *named;
	char letter;
	int ret;

	if (peek(p, 0) != '\\' || peek(p, 1) < 0 || !strchr("dDsSwW", peek(p, 1)) || !peek(p, 1))
		return 0;
	letter = (char)(peek(p, 1) | 0x20);
	named = bf_runes_find(&letter, 1);
	ret = add_named(p, runes, named, letter != peek(p, 1));
	p->pos += 2;
	return ret ? ret : 1;
}

/* [:name:] or [:^name:] here? Returns 1 when it was one. */
static int try_posix_class(struct parser *p, struct bf_runes *runes)
{
	const struct bf_runes_named *named = NULL;
	size_t i = 2, name;
	bool negate;
	int ret;

	if (peek(p, 0) != '[' || peek(p, 1) != ':' || peek(p, 2) < 0)
		return 0;
	negate = peek(p, 2) == '^';
	name = i += negate;
	while (peek(p, i) >= 0 && !(peek(p, i) == ':' && peek(p, i + 1) == ']'))
		i++;
	if (peek(p, i) < 0)
		return 0;
	if (i - name > 1)
		named = bf_runes_find((const char *)p->s + p->pos + name, i - name);
	if (!named)
		return refuse(p, p->pos, "unknown class [:name:]",
			      "known are alnum alpha ascii blank cntrl digit graph lower print "
			      "punct space upper word xdigit");
	ret = add_named(p, runes, named, negate);
	p->pos += i + 2;
	return ret ? ret : 1;
}

static int read_class_char(struct parser *p, size_t open, uint32_t *rune)
{
	if (!more(p, 1))
		return refuse(p, open, "[", "its ] is missing");
	return peek(p, 0) == '\\' ? read_escape(p, rune) : read_rune(p, rune);
}

static int read_class_items(struct parser *p, size_t open, struct bf_runes *runes)
{
	bool first = true;
	uint32_t lo, hi;
	size_t at;
	int ret;

	while (more(p, 1) && (first || peek(p, 0) != ']')) {
		first = false;
		ret = try_posix_class(p, runes);
		if (!ret)
			ret = try_perl_class(p, runes);
		if (ret < 0)
			return ret;
		if (ret)
			continue;
		at = p->pos;
		ret = read_class_char(p, open, &lo);
		hi = lo;
		if (!ret && peek(p, 0) == '-' && peek(p, 1) >= 0 && peek(p, 1) != ']') {
			p->pos++;
			ret = read_class_char(p, open, &hi);
		}
		if (ret)
			return ret;
		if (hi < lo)
			return refuse(p, at, "character range", "its end is before its beginning");
		ret = add_range(p, runes, lo, hi, at);
		if (ret)
			return ret;
	}
	if (!more(p, 1))
		return refuse(p, open, "[", "its ] is missing");
	p->pos++;
	return 0;
}

static int read_class(struct parser *p)
{
	struct bf_runes runes = {0};
	size_t open = p->pos;
	bool negate;
	int ret;

	p->pos++;
	negate = peek(p, 0) == '^';
	p->pos += negate;
	ret = read_class_items(p, open, &runes);
	if (!ret) {
		bf_runes_sort(&runes);
		if (negate)
			ret = bf_runes_negate(&runes);
	}
	if (!ret)
		ret = push_class(p, &runes, open, "class without an ASCII character");
	free(runes.v);
	return ret;
}

static int push_rune(struct parser *p, uint32_t rune, size_t at)
{
	struct bf_runes runes = {0};
	int ret = add_range(p, &runes, rune, rune, at);

	bf_runes_sort(&runes);
	if (!ret)
		ret = push_class(p, &runes, at, "character that is not ASCII");
	free(runes.v);
	return ret;
}

static int read_dot(struct parser *p)
{
	static const uint32_t any[] = {0, BF_RX_RUNE_MAX};
	static const uint32_t line[] = {0, '\n' - 1, '\n' + 1, BF_RX_RUNE_MAX};
	static const uint32_t any_ascii[] = {0, 0x7f};
	static const uint32_t line_ascii[] = {0, '\n' - 1, '\n' + 1, 0x7f};

	p->pos++;
	if (p->flags & F_DOT_NL)
		return push_node(p, BF_RX_CLASS, p->ascii ? any_ascii : any, 2);
	return push_node(p, BF_RX_CLASS, p->ascii ? line_ascii : line, 4);
}

static int read_quoted(struct parser *p)
{
	uint32_t rune;
	size_t at;
	int ret;

	for (p->pos += 2; more(p, 1);) {
		if (peek(p, 0) == '\\' && peek(p, 1) == 'E') {
			p->pos += 2;
			break;
		}
		at = p->pos;
		ret = read_rune(p, &rune);
		if (!ret)
			ret = push_rune(p, rune, at);
		if (ret)
			return ret;
	}
	return 0;
}

static int read_backslash(struct parser *p)
{
	const uint32_t byte[] = {0, p->ascii ? 0x7f : 0xff};
	struct bf_runes runes = {0};
	size_t at = p->pos;
	uint32_t rune;
	int ret;

	switch (peek(p, 1)) {
	case 'A':
	case 'z':
		p->pos += 2;
		return push_node(p, p->s[at + 1] == 'A' ? BF_RX_BEGIN : BF_RX_END, NULL, 0);
	case 'C':
		p->pos += 2;
		return push_node(p, BF_RX_BYTE, byte, 2);
	case 'Q':
		return read_quoted(p);
	default:
		break;
	}
	ret = try_perl_class(p, &runes);
	if (ret > 0) {
		bf_runes_sort(&runes);
		ret = push_class(p, &runes, at, "class without an ASCII character");
		free(runes.v);
		return ret;
	}
	free(runes.v);
	if (!ret)
		ret = read_escape(p, &rune);
	return ret ? ret : push_rune(p, rune, at);
}

/* Joins what stands above the last bar or group into one node. */
static int join(struct parser *p)
{
	size_t first = p->count, n;
	int ret;

	while (first && p->stack[first - 1].kind == ITEM_NODE)
		first--;
	n = p->count - first;
	if (n == 1)
		return 0;
	if (bf_array_grow(&p->scratch, &p->scratch_cap, n + 1, sizeof(*p->scratch)))
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		p->scratch[i] = p->stack[first + i].node;
	p->count = first;
	ret = push_node(p, n ? BF_RX_CAT : BF_RX_EMPTY, p->scratch, n);
	return ret;
}

/* Joins the alternatives above the last group into one node, the top one. */
static int join_bars(struct parser *p)
{
	size_t first, n = 0;
	int ret = join(p);

	if (ret)
		return ret;
	for (first = p->count; first && p->stack[first - 1].kind != ITEM_GROUP; first--)
		n += p->stack[first - 1].kind == ITEM_NODE;
	if (n == 1)
		return 0;
	if (bf_array_grow(&p->scratch, &p->scratch_cap, n, sizeof(*p->scratch)))
		return -ENOMEM;
	for (size_t i = first, k = 0; i < p->count; i++) {
		if (p->stack[i].kind == ITEM_NODE)
			p->scratch[k++] = p->stack[i].node;
	}
	p->count = first;
	return push_node(p, BF_RX_ALT, p->scratch, n);
}

static int close_group(struct parser *p)
{
	struct item node;
	int ret = join_bars(p);

	if (ret)
		return ret;
	if (p->count < 2)
		return refuse(p, p->pos, ")", "no group is open; write \\) for the character");
	node = p->stack[--p->count];
	p->flags = p->stack[--p->count].flags;
	p->pos++;
	return push(p, node);
}

static int open_group(struct parser *p, size_t at, unsigned int flags)
{
	struct item item = {.kind = ITEM_GROUP, .offset = (uint32_t)at, .flags = p->flags};

	p->flags = flags;
	return push(p, item);
}

static bool word_byte(int c)
{
	return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       c == '_';
}

/* (?P<name> or (?<name>, `skip` bytes before the name. */
static int open_named(struct parser *p, size_t skip)
{
	size_t at = p->pos, n = 0;
	struct name name;

	while (word_byte(peek(p, skip + n)))
		n++;
	if (!n || peek(p, skip + n) != '>')
		return refuse(p, at, "named group",
			      "write (?P<name>...) with letters, digits and _");
	name.offset = at + skip;
	name.len = n;
	for (size_t i = 0; i < p->name_count; i++) {
		if (p->names[i].len == n &&
		    !memcmp(p->s + p->names[i].offset, p->s + name.offset, n))
			return refuse(p, at, "named group", "another group has this name");
	}
	if (bf_array_grow(&p->names, &p->names_cap, p->name_count + 1, sizeof(*p->names)))
		return -ENOMEM;
	p->names[p->name_count++] = name;
	p->pos += skip + n + 1;
	return open_group(p, at, p->flags);
}

/* What other dialects write after "(?". NULL: none of them. */
static const char *foreign_group(const struct parser *p)
{
	int c = peek(p, 2), d = peek(p, 3);

	if (c == '=')
		return "look-ahead (?=";
	if (c == '!')
		return "look-ahead (?!";
	if (c == '<' && d == '=')
		return "look-behind (?<=";
	if (c == '<' && d == '!')
		return "look-behind (?<!";
	if (c == '>')
		return "atomic group (?>";
	if (c == '|')
		return "branch reset (?|";
	if (c == '(')
		return "conditional (?(";
	if (c == '#')
		return "comment (?#";
	if (c == '&' || c == 'R' || (c >= '0' && c <= '9') || (c == 'P' && d == '>'))
		return "recursion (?";
	if (c == 'P' && d == '=')
		return "back-reference (?P=";
	return NULL;
}

/* (?flags) or (?flags: */
static int read_flags(struct parser *p)
{
	unsigned int flags = p->flags, bit;
	size_t at = p->pos;
	bool off = false, seen = false;
	char what[40];
	int c;

	for (p->pos += 2;; p->pos++) {
		c = peek(p, 0);
		if (c < 0)
			return refuse(p, at, "(?", "it is cut short");
		bit = 0;
		switch (c) {
		case 'i':
			bit = F_FOLD;
			break;
		case 's':
			bit = F_DOT_NL;
			break;
		case 'U':
			break; /* lazy or greedy: the whole value matches or not */
		case 'm':
			if (!off)
				return refuse(p, at, "multi-line flag (?m)",
					      "not supported; a value has no lines, leave it out");
			break;
		case '-':
			if (off)
				return refuse(p, at, "(?", "a second -");
			off = true;
			seen = false;
			continue;
		case ':':
		case ')':
			if (off && !seen)
				return refuse(p, at, "(?", "no flag after -");
			p->pos++;
			if (c == ':')
				return open_group(p, at, flags);
			p->flags = flags;
			return 0;
		default:
			return refuse(p, at, show(what, sizeof(what), "(?...", c),
				      "no such flag; known are i, s, U and -");
		}
		seen = true;
		flags = off ? flags & ~bit : flags | bit;
	}
}

static int read_group(struct parser *p)
{
	const char *foreign;
	size_t at = p->pos;

	if (peek(p, 1) == '*' && peek(p, 2) >= 'A' && peek(p, 2) <= 'Z')
		return refuse(p, at, "verb (*", "not supported");
	if (peek(p, 1) != '?') {
		p->pos++;
		return open_group(p, at, p->flags);
	}
	foreign = foreign_group(p);
	if (foreign)
		return refuse(p, at, foreign, "not supported, the kernel does not backtrack");
	if (peek(p, 2) == '<')
		return open_named(p, 3);
	if (peek(p, 2) == 'P' && peek(p, 3) == '<')
		return open_named(p, 4);
	return read_flags(p);
}

/* A number without leading zeros, `i` bytes from here. Returns its digits, 0: none, or one
 * so long that RE2 does not take it for a number. */
static size_t read_count(const struct parser *p, size_t i, uint32_t *value)
{
	size_t n = 0;

	*value = 0;
	if (peek(p, i) == '0' && peek(p, i + 1) >= '0' && peek(p, i + 1) <= '9')
		return 0;
	for (; peek(p, i + n) >= '0' && peek(p, i + n) <= '9'; n++) {
		if (*value >= 100000000)
			return 0;
		*value = *value * 10 + (uint32_t)(peek(p, i + n) - '0');
	}
	return n;
}

/* {n}, {n,} or {n,m} here? Returns its length, 0 when { is a character. */
static size_t try_counts(const struct parser *p, uint32_t *min, uint32_t *max)
{
	size_t i = 1, n;

	n = read_count(p, i, min);
	if (!n)
		return 0;
	i += n;
	*max = *min;
	if (peek(p, i) == ',') {
		i++;
		n = read_count(p, i, max);
		if (!n && peek(p, i) != '}')
			return 0;
		if (!n)
			*max = BF_RX_INF;
		i += n;
	}
	return peek(p, i) == '}' ? i + 1 : 0;
}

static int apply_repeat(struct parser *p, size_t len, uint32_t min, uint32_t max)
{
	static const char too_many[] = "more than 1000 copies (nested repeats multiply); use * or "
				       "+ where the number is free";
	size_t at = p->pos;
	uint32_t words[3];
	char what[40];
	int ret;

	show(what, sizeof(what), "repetition ", p->s[at]);
	p->pos += len;
	if (peek(p, 0) == '?')
		p->pos++; /* lazy: the same language */
	if (p->repeated)
		return refuse(p, at, what,
			      "it follows a repetition (possessive and doubled ones do not exist)");
	if (!p->count || p->stack[p->count - 1].kind != ITEM_NODE)
		return refuse(p, at, what, "there is nothing to repeat before it");
	if (max < min)
		return refuse(p, at, what, "its second number is smaller than its first");
	if (min > BF_RX_REPEAT_MAX || (max != BF_RX_INF && max > BF_RX_REPEAT_MAX))
		return refuse(p, at, what, too_many);
	words[0] = p->stack[--p->count].node;
	words[1] = min;
	words[2] = max;
	p->repeated = true;
	ret = push_node(p, BF_RX_REPEAT, words, 3);
	if (ret)
		return ret;
	if (p->rx->nodes[p->stack[p->count - 1].node].repeat > BF_RX_REPEAT_MAX)
		return refuse(p, at, what, too_many);
	return 0;
}

static int read_one(struct parser *p)
{
	struct item bar = {.kind = ITEM_BAR};
	size_t at = p->pos, len;
	uint32_t rune, min, max;
	int ret;

	switch (p->s[p->pos]) {
	case '*':
		return apply_repeat(p, 1, 0, BF_RX_INF);
	case '+':
		return apply_repeat(p, 1, 1, BF_RX_INF);
	case '?':
		return apply_repeat(p, 1, 0, 1);
	case '{':
		len = try_counts(p, &min, &max);
		if (len)
			return apply_repeat(p, len, min, max);
		break;
	case '(':
		return read_group(p);
	case ')':
		return close_group(p);
	case '|':
		p->pos++;
		ret = join(p);
		return ret ? ret : push(p, bar);
	case '[':
		return read_class(p);
	case '.':
		return read_dot(p);
	case '^':
		p->pos++;
		return push_node(p, BF_RX_BEGIN, NULL, 0);
	case '$':
		p->pos++;
		return push_node(p, BF_RX_END, NULL, 0);
	case '\\':
		return read_backslash(p);
	default:
		break;
	}
	ret = read_rune(p, &rune);
	return ret ? ret : push_rune(p, rune, at);
}

static int parse_expression(struct parser *p)
{
	bool repetition;
	size_t at;
	int ret;

	while (more(p, 1)) {
		at = p->pos;
		repetition = false;
		if (strchr("*+?{", p->s[at]) && p->s[at]) {
			uint32_t min, max;

			repetition = p->s[at] != '{' || try_counts(p, &min, &max);
		}
		if (!repetition)
			p->repeated = false;
		ret = read_one(p);
		if (ret)
			return ret;
	}
	ret = join_bars(p);
	if (ret)
		return ret;
	if (p->count != 1) {
		for (size_t i = p->count; i--;) {
			if (p->stack[i].kind == ITEM_GROUP)
				return refuse(p, p->stack[i].offset, "(", "its ) is missing");
		}
	}
	return 0;
}

static int parse_literal(struct parser *p, bool fold)
{
	uint32_t words[4];
	size_t n;
	int ret;

	for (size_t i = 0; i < p->len; i++) {
		uint32_t c = p->s[i], lower = c | 0x20;

		n = 0;
		if (fold && lower >= 'a' && lower <= 'z' && c < 0x80) {
			words[n++] = lower - 0x20;
			words[n++] = lower - 0x20;
			c = lower;
		}
		words[n++] = c;
		words[n++] = c;
		if (c > 0x7f)
			ret = push_node(p, BF_RX_BYTE, words, 2);
		else
			ret = push_node(p, BF_RX_CLASS, words, n);
		if (ret)
			return ret;
	}
	return join(p);
}

int bf_rx_parse(struct bf_rx *rx, const struct bf_pattern *pattern, size_t max_weight,
		uint32_t *node, struct bf_error *err)
{
	struct parser p = {
		.rx = rx,
		.s = (const uint8_t *)pattern->text,
		.len = pattern->len,
		.flags = pattern->flags & BF_PATTERN_FOLD ? F_FOLD : 0,
		.ascii = pattern->flags & BF_PATTERN_ASCII,
		.err = err,
	};
	int ret;

	if (pattern->flags & BF_PATTERN_LITERAL)
		ret = parse_literal(&p, pattern->flags & BF_PATTERN_FOLD);
	else
		ret = parse_expression(&p);
	if (!ret) {
		*node = p.stack[0].node;
		if (rx->nodes[*node].weight > max_weight)
			ret = bf_err(err, -E2BIG,
				     "the expression has more than %zu parts with its counted "
				     "repeats written out; make it shorter",
				     max_weight);
	}
	if (ret == -ENOMEM)
		bf_err(err, ret, "out of memory while reading an expression");
	free(p.stack);
	free(p.scratch);
	free(p.names);
	return ret;
}
