// SPDX-License-Identifier: Apache-2.0
/*
 * RE2's syntax to trees: https://github.com/google/re2/wiki/Syntax, in its
 * default mode (Perl-like, UTF-8, one line). Refused though RE2 takes it:
 * \b \B \pN \PN, (?m), and case folding of letters outside ASCII. They are
 * of no use on request fields, and a refusal is better than a near miss.
 *
 * No recursion: what is open stands on an explicit stack.
 */
#include <string.h>

#include "match/array.h"
#include "match/rx_scan.h"

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
	struct bf_rx_scan in;
	/* The last thing read was a repetition: in Perl's syntax none may follow. */
	bool repeated;
	struct item *stack;
	size_t count, cap;
	uint32_t *scratch;
	size_t scratch_cap;
	struct name *names;
	size_t name_count, names_cap;
};

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
		return bf_err(p->in.err, -E2BIG, "the expression is nested deeper than %d levels",
			      BF_RX_DEPTH_MAX);
	return ret ? ret : push(p, item);
}

/* Takes a sorted set; offset and what name it if it turns out to be useless. */
static int push_class(struct parser *p, struct bf_runes *runes, size_t offset, const char *what)
{
	bool empty = !runes->count;

	if (p->in.ascii) {
		bf_runes_cut(runes, 0x7f);
		if (!empty && !runes->count)
			return bf_rx_refuse(&p->in, offset, what,
					    "it can never match, the input is ASCII; in a path or "
					    "query write it percent-encoded, as in %C3%A9");
	}
	return push_node(p, BF_RX_CLASS, runes->v, runes->count);
}

static int read_class(struct parser *p)
{
	struct bf_runes runes = {0};
	size_t open = p->in.pos;
	int ret = bf_rx_read_class(&p->in, &runes);

	if (!ret)
		ret = push_class(p, &runes, open, "class without an ASCII character");
	free(runes.v);
	return ret;
}

static int push_rune(struct parser *p, uint32_t rune, size_t at)
{
	struct bf_runes runes = {0};
	int ret = bf_rx_add_range(&p->in, &runes, rune, rune, at);

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

	p->in.pos++;
	if (p->in.flags & BF_RX_DOT_NL)
		return push_node(p, BF_RX_CLASS, p->in.ascii ? any_ascii : any, 2);
	return push_node(p, BF_RX_CLASS, p->in.ascii ? line_ascii : line, 4);
}

static int read_quoted(struct parser *p)
{
	uint32_t rune;
	size_t at;
	int ret;

	for (p->in.pos += 2; bf_rx_more(&p->in, 1);) {
		if (bf_rx_peek(&p->in, 0) == '\\' && bf_rx_peek(&p->in, 1) == 'E') {
			p->in.pos += 2;
			break;
		}
		at = p->in.pos;
		ret = bf_rx_read_rune(&p->in, &rune);
		if (!ret)
			ret = push_rune(p, rune, at);
		if (ret)
			return ret;
	}
	return 0;
}

static int read_backslash(struct parser *p)
{
	const uint32_t byte[] = {0, p->in.ascii ? 0x7f : 0xff};
	struct bf_runes runes = {0};
	size_t at = p->in.pos;
	uint32_t rune;
	int ret;

	switch (bf_rx_peek(&p->in, 1)) {
	case 'A':
	case 'z':
		p->in.pos += 2;
		return push_node(p, p->in.s[at + 1] == 'A' ? BF_RX_BEGIN : BF_RX_END, NULL, 0);
	case 'C':
		p->in.pos += 2;
		return push_node(p, BF_RX_BYTE, byte, 2);
	case 'Q':
		return read_quoted(p);
	default:
		break;
	}
	ret = bf_rx_try_perl_class(&p->in, &runes);
	if (ret > 0) {
		bf_runes_sort(&runes);
		ret = push_class(p, &runes, at, "class without an ASCII character");
		free(runes.v);
		return ret;
	}
	free(runes.v);
	if (!ret)
		ret = bf_rx_read_escape(&p->in, &rune);
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
		return bf_rx_refuse(&p->in, p->in.pos, ")",
				    "no group is open; write \\) for the character");
	node = p->stack[--p->count];
	p->in.flags = p->stack[--p->count].flags;
	p->in.pos++;
	return push(p, node);
}

static int open_group(struct parser *p, size_t at, unsigned int flags)
{
	struct item item = {.kind = ITEM_GROUP, .offset = (uint32_t)at, .flags = p->in.flags};

	p->in.flags = flags;
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
	size_t at = p->in.pos, n = 0;
	struct name name;

	while (word_byte(bf_rx_peek(&p->in, skip + n)))
		n++;
	if (!n || bf_rx_peek(&p->in, skip + n) != '>')
		return bf_rx_refuse(&p->in, at, "named group",
				    "write (?P<name>...) with letters, digits and _");
	name.offset = at + skip;
	name.len = n;
	for (size_t i = 0; i < p->name_count; i++) {
		if (p->names[i].len == n &&
		    !memcmp(p->in.s + p->names[i].offset, p->in.s + name.offset, n))
			return bf_rx_refuse(&p->in, at, "named group",
					    "another group has this name");
	}
	if (bf_array_grow(&p->names, &p->names_cap, p->name_count + 1, sizeof(*p->names)))
		return -ENOMEM;
	p->names[p->name_count++] = name;
	p->in.pos += skip + n + 1;
	return open_group(p, at, p->in.flags);
}

/* What other dialects write after "(?". NULL: none of them. */
static const char *foreign_group(const struct parser *p)
{
	int c = bf_rx_peek(&p->in, 2), d = bf_rx_peek(&p->in, 3);

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
	unsigned int flags = p->in.flags, bit;
	size_t at = p->in.pos;
	bool off = false, seen = false;
	char what[40];
	int c;

	for (p->in.pos += 2;; p->in.pos++) {
		c = bf_rx_peek(&p->in, 0);
		if (c < 0)
			return bf_rx_refuse(&p->in, at, "(?", "it is cut short");
		bit = 0;
		switch (c) {
		case 'i':
			bit = BF_RX_FOLD;
			break;
		case 's':
			bit = BF_RX_DOT_NL;
			break;
		case 'U':
			break; /* lazy or greedy: the whole value matches or not */
		case 'm':
			if (!off)
				return bf_rx_refuse(
					&p->in, at, "multi-line flag (?m)",
					"not supported; a value has no lines, leave it out");
			break;
		case '-':
			if (off)
				return bf_rx_refuse(&p->in, at, "(?", "a second -");
			off = true;
			seen = false;
			continue;
		case ':':
		case ')':
			if (off && !seen)
				return bf_rx_refuse(&p->in, at, "(?", "no flag after -");
			p->in.pos++;
			if (c == ':')
				return open_group(p, at, flags);
			p->in.flags = flags;
			return 0;
		default:
			return bf_rx_refuse(&p->in, at, bf_rx_show(what, sizeof(what), "(?...", c),
					    "no such flag; known are i, s, U and -");
		}
		seen = true;
		flags = off ? flags & ~bit : flags | bit;
	}
}

static int read_group(struct parser *p)
{
	const char *foreign;
	size_t at = p->in.pos;

	if (bf_rx_peek(&p->in, 1) == '*' && bf_rx_peek(&p->in, 2) >= 'A' &&
	    bf_rx_peek(&p->in, 2) <= 'Z')
		return bf_rx_refuse(&p->in, at, "verb (*", "not supported");
	if (bf_rx_peek(&p->in, 1) != '?') {
		p->in.pos++;
		return open_group(p, at, p->in.flags);
	}
	foreign = foreign_group(p);
	if (foreign)
		return bf_rx_refuse(&p->in, at, foreign,
				    "not supported, the kernel does not backtrack");
	if (bf_rx_peek(&p->in, 2) == '<')
		return open_named(p, 3);
	if (bf_rx_peek(&p->in, 2) == 'P' && bf_rx_peek(&p->in, 3) == '<')
		return open_named(p, 4);
	return read_flags(p);
}

/* A number without leading zeros, `i` bytes from here. Returns its digits, 0: none, or one
 * so long that RE2 does not take it for a number. */
static size_t read_count(const struct parser *p, size_t i, uint32_t *value)
{
	size_t n = 0;

	*value = 0;
	if (bf_rx_peek(&p->in, i) == '0' && bf_rx_peek(&p->in, i + 1) >= '0' &&
	    bf_rx_peek(&p->in, i + 1) <= '9')
		return 0;
	for (; bf_rx_peek(&p->in, i + n) >= '0' && bf_rx_peek(&p->in, i + n) <= '9'; n++) {
		if (*value >= 100000000)
			return 0;
		*value = *value * 10 + (uint32_t)(bf_rx_peek(&p->in, i + n) - '0');
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
	if (bf_rx_peek(&p->in, i) == ',') {
		i++;
		n = read_count(p, i, max);
		if (!n && bf_rx_peek(&p->in, i) != '}')
			return 0;
		if (!n)
			*max = BF_RX_INF;
		i += n;
	}
	return bf_rx_peek(&p->in, i) == '}' ? i + 1 : 0;
}

static int apply_repeat(struct parser *p, size_t len, uint32_t min, uint32_t max)
{
	static const char too_many[] = "more than 1000 copies (nested repeats multiply); use * or "
				       "+ where the number is free";
	size_t at = p->in.pos;
	uint32_t words[3];
	char what[40];
	int ret;

	bf_rx_show(what, sizeof(what), "repetition ", p->in.s[at]);
	p->in.pos += len;
	if (bf_rx_peek(&p->in, 0) == '?')
		p->in.pos++; /* lazy: the same language */
	if (p->repeated)
		return bf_rx_refuse(
			&p->in, at, what,
			"it follows a repetition (possessive and doubled ones do not exist)");
	if (!p->count || p->stack[p->count - 1].kind != ITEM_NODE)
		return bf_rx_refuse(&p->in, at, what, "there is nothing to repeat before it");
	if (max < min)
		return bf_rx_refuse(&p->in, at, what,
				    "its second number is smaller than its first");
	if (min > BF_RX_REPEAT_MAX || (max != BF_RX_INF && max > BF_RX_REPEAT_MAX))
		return bf_rx_refuse(&p->in, at, what, too_many);
	words[0] = p->stack[--p->count].node;
	words[1] = min;
	words[2] = max;
	p->repeated = true;
	ret = push_node(p, BF_RX_REPEAT, words, 3);
	if (ret)
		return ret;
	if (p->rx->nodes[p->stack[p->count - 1].node].repeat > BF_RX_REPEAT_MAX)
		return bf_rx_refuse(&p->in, at, what, too_many);
	return 0;
}

static int read_one(struct parser *p)
{
	struct item bar = {.kind = ITEM_BAR};
	size_t at = p->in.pos, len;
	uint32_t rune, min, max;
	int ret;

	switch (p->in.s[p->in.pos]) {
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
		p->in.pos++;
		ret = join(p);
		return ret ? ret : push(p, bar);
	case '[':
		return read_class(p);
	case '.':
		return read_dot(p);
	case '^':
		p->in.pos++;
		return push_node(p, BF_RX_BEGIN, NULL, 0);
	case '$':
		p->in.pos++;
		return push_node(p, BF_RX_END, NULL, 0);
	case '\\':
		return read_backslash(p);
	default:
		break;
	}
	ret = bf_rx_read_rune(&p->in, &rune);
	return ret ? ret : push_rune(p, rune, at);
}

static int parse_expression(struct parser *p)
{
	bool repetition;
	size_t at;
	int ret;

	while (bf_rx_more(&p->in, 1)) {
		at = p->in.pos;
		repetition = false;
		if (strchr("*+?{", p->in.s[at]) && p->in.s[at]) {
			uint32_t min, max;

			repetition = p->in.s[at] != '{' || try_counts(p, &min, &max);
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
				return bf_rx_refuse(&p->in, p->stack[i].offset, "(",
						    "its ) is missing");
		}
	}
	return 0;
}

static int parse_literal(struct parser *p, bool fold)
{
	uint32_t words[4];
	size_t n;
	int ret;

	for (size_t i = 0; i < p->in.len; i++) {
		uint32_t c = p->in.s[i], lower = c | 0x20;

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
		.in =
			{
				.s = (const uint8_t *)pattern->text,
				.len = pattern->len,
				.flags = pattern->flags & BF_PATTERN_FOLD ? BF_RX_FOLD : 0,
				.ascii = pattern->flags & BF_PATTERN_ASCII,
				.err = err,
			},
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
