// SPDX-License-Identifier: Apache-2.0
#include "match/rx_scan.h"

#include <stdio.h>
#include <string.h>

#include "match/array.h"

int bf_rx_refuse(struct bf_rx_scan *in, size_t offset, const char *what, const char *how)
{
	return bf_err(in->err, -EINVAL, "%s at offset %zu: %s", what, offset, how);
}

/* "PREFIX'c'", whatever the byte is. */
const char *bf_rx_show(char *buf, size_t size, const char *prefix, int byte)
{
	if (byte > ' ' && byte < 0x7f)
		snprintf(buf, size, "%s%c", prefix, byte);
	else
		snprintf(buf, size, "%s<0x%02x>", prefix, byte & 0xff);
	return buf;
}

/* RFC 3629, except that surrogates pass as in RE2. */
int bf_rx_read_rune(struct bf_rx_scan *in, uint32_t *rune)
{
	size_t at = in->pos;
	int b = bf_rx_peek(in, 0);
	uint32_t r, least;
	size_t n;

	if (b < 0x80) {
		*rune = (uint32_t)b;
		in->pos++;
		return 0;
	}
	if (b >= 0xc2 && b < 0xe0)
		n = 1, r = b & 0x1f, least = 0x80;
	else if (b >= 0xe0 && b < 0xf0)
		n = 2, r = b & 0x0f, least = 0x800;
	else if (b >= 0xf0 && b < 0xf5)
		n = 3, r = b & 0x07, least = 0x10000;
	else
		return bf_rx_refuse(in, at, "invalid UTF-8", "write a byte of its own as \\x..");
	for (size_t i = 1; i <= n; i++) {
		int c = bf_rx_peek(in, i);

		if (c < 0x80 || c > 0xbf)
			return bf_rx_refuse(in, at, "invalid UTF-8", "a character is cut short");
		r = r << 6 | (c & 0x3f);
	}
	if (r < least || r > BF_RX_RUNE_MAX)
		return bf_rx_refuse(in, at, "invalid UTF-8", "no such character");
	in->pos += n + 1;
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

static int read_hex(struct bf_rx_scan *in, size_t at, uint32_t *rune)
{
	static const char how[] = "write \\x and two hexadecimal digits, or \\x{10FFFF}";
	uint32_t r = 0;
	size_t n = 0;

	if (bf_rx_peek(in, 0) != '{') {
		if (hex(bf_rx_peek(in, 0)) < 0 || hex(bf_rx_peek(in, 1)) < 0)
			return bf_rx_refuse(in, at, "bad escape \\x", how);
		*rune = (uint32_t)(hex(bf_rx_peek(in, 0)) << 4 | hex(bf_rx_peek(in, 1)));
		in->pos += 2;
		return 0;
	}
	for (in->pos++; hex(bf_rx_peek(in, 0)) >= 0; in->pos++, n++) {
		r = r << 4 | (uint32_t)hex(bf_rx_peek(in, 0));
		if (r > BF_RX_RUNE_MAX)
			return bf_rx_refuse(in, at, "bad escape \\x{", "characters end at 10FFFF");
	}
	if (!n || bf_rx_peek(in, 0) != '}')
		return bf_rx_refuse(in, at, "bad escape \\x{", how);
	in->pos++;
	*rune = r;
	return 0;
}

/* An escape that stands for one character, at its backslash. */
int bf_rx_read_escape(struct bf_rx_scan *in, uint32_t *rune)
{
	size_t at = in->pos;
	int c = bf_rx_peek(in, 1);
	char what[40];

	if (c < 0)
		return bf_rx_refuse(in, at, "backslash",
				    "nothing follows it; write \\\\ for the character");
	in->pos += 2;
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
		return read_hex(in, at, rune);
	default:
		break;
	}
	if (c >= '0' && c <= '9') {
		/* \0 to \0377 and \10 to \777 are octal; a lone digit is Perl's reference. */
		bool octal = c == '0' ||
			     (c < '8' && bf_rx_peek(in, 0) >= '0' && bf_rx_peek(in, 0) <= '7');

		if (!octal)
			return bf_rx_refuse(in, at,
					    bf_rx_show(what, sizeof(what), "back-reference \\", c),
					    "it needs backtracking; write out what may stand here");
		*rune = (uint32_t)(c - '0');
		for (int i = 0; i < 2 && bf_rx_peek(in, 0) >= '0' && bf_rx_peek(in, 0) <= '7';
		     i++, in->pos++)
			*rune = *rune << 3 | (uint32_t)(bf_rx_peek(in, 0) - '0');
		return 0;
	}
	if (c < 0x80 && !((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) {
		*rune = (uint32_t)c;
		return 0;
	}
	bf_rx_show(what, sizeof(what), "escape \\", c);
	switch (c) {
	case 'b':
	case 'B':
		bf_rx_show(what, sizeof(what), "word boundary \\", c);
		return bf_rx_refuse(in, at, what,
				    "not supported; write the neighbouring characters");
	case 'p':
	case 'P':
		bf_rx_show(what, sizeof(what), "Unicode class \\", c);
		return bf_rx_refuse(in, at, what, "not supported; write a class such as [A-Za-z]");
	case 'k':
	case 'g':
		return bf_rx_refuse(in, at, bf_rx_show(what, sizeof(what), "back-reference \\", c),
				    "it needs backtracking; write out what may stand here");
	case 'Z':
	case 'G':
	case 'K':
		return bf_rx_refuse(in, at, what,
				    "not in RE2's syntax; a pattern matches the whole value");
	default:
		return bf_rx_refuse(in, at, what, "no such escape");
	}
}

/* Adds first..last as written, and under (?i) what differs from it only in case. */
int bf_rx_add_range(struct bf_rx_scan *in, struct bf_runes *runes, uint32_t first, uint32_t last,
		    size_t at)
{
	int ret = bf_runes_add(runes, first, last);

	if (ret || !(in->flags & BF_RX_FOLD))
		return ret;
	/* The two folds of ASCII letters are known here, the others are not. A range
	 * that holds all others is its own fold; in ASCII mode none of them matters. */
	if (last > 0x7f && !in->ascii && !(first <= 0x80 && last == BF_RX_RUNE_MAX) &&
	    !(first == last && (first == 0x17f || first == 0x212a)))
		return bf_rx_refuse(in, at, "(?i) with a character that is not ASCII",
				    "not supported; write both cases in a class, outside of (?i)");
	return bf_runes_add_folds(runes, first, last);
}

static int add_named(struct bf_rx_scan *in, struct bf_runes *runes,
		     const struct bf_runes_named *named, bool negate)
{
	struct bf_runes own = {0};
	int ret = 0;

	for (int i = 0; !ret && i < named->ranges; i++)
		ret = bf_rx_add_range(in, &own, named->range[2 * i], named->range[2 * i + 1],
				      in->pos);
	bf_runes_sort(&own);
	if (!ret && negate)
		ret = bf_runes_negate(&own);
	if (!ret)
		ret = bf_runes_add_all(runes, &own);
	free(own.v);
	return ret;
}

/* \d \D \s \S \w \W here? Returns 1 when it was one. */
int bf_rx_try_perl_class(struct bf_rx_scan *in, struct bf_runes *runes)
{
	const struct bf_runes_named *named;
	char letter;
	int ret;

	if (bf_rx_peek(in, 0) != '\\' || bf_rx_peek(in, 1) < 0 ||
	    !strchr("dDsSwW", bf_rx_peek(in, 1)) || !bf_rx_peek(in, 1))
		return 0;
	letter = (char)(bf_rx_peek(in, 1) | 0x20);
	named = bf_runes_find(&letter, 1);
	ret = add_named(in, runes, named, letter != bf_rx_peek(in, 1));
	in->pos += 2;
	return ret ? ret : 1;
}

/* [:name:] or [:^name:] here? Returns 1 when it was one. */
static int try_posix_class(struct bf_rx_scan *in, struct bf_runes *runes)
{
	const struct bf_runes_named *named = NULL;
	size_t i = 2, name;
	bool negate;
	int ret;

	if (bf_rx_peek(in, 0) != '[' || bf_rx_peek(in, 1) != ':' || bf_rx_peek(in, 2) < 0)
		return 0;
	negate = bf_rx_peek(in, 2) == '^';
	name = i += negate;
	while (bf_rx_peek(in, i) >= 0 &&
	       !(bf_rx_peek(in, i) == ':' && bf_rx_peek(in, i + 1) == ']'))
		i++;
	if (bf_rx_peek(in, i) < 0)
		return 0;
	if (i - name > 1)
		named = bf_runes_find((const char *)in->s + in->pos + name, i - name);
	if (!named)
		return bf_rx_refuse(
			in, in->pos, "unknown class [:name:]",
			"known are alnum alpha ascii blank cntrl digit graph lower print "
			"punct space upper word xdigit");
	ret = add_named(in, runes, named, negate);
	in->pos += i + 2;
	return ret ? ret : 1;
}

static int read_class_char(struct bf_rx_scan *in, size_t open, uint32_t *rune)
{
	if (!bf_rx_more(in, 1))
		return bf_rx_refuse(in, open, "[", "its ] is missing");
	return bf_rx_peek(in, 0) == '\\' ? bf_rx_read_escape(in, rune) : bf_rx_read_rune(in, rune);
}

static int read_class_items(struct bf_rx_scan *in, size_t open, struct bf_runes *runes)
{
	bool first = true;
	uint32_t lo, hi;
	size_t at;
	int ret;

	while (bf_rx_more(in, 1) && (first || bf_rx_peek(in, 0) != ']')) {
		first = false;
		ret = try_posix_class(in, runes);
		if (!ret)
			ret = bf_rx_try_perl_class(in, runes);
		if (ret < 0)
			return ret;
		if (ret)
			continue;
		at = in->pos;
		ret = read_class_char(in, open, &lo);
		hi = lo;
		if (!ret && bf_rx_peek(in, 0) == '-' && bf_rx_peek(in, 1) >= 0 &&
		    bf_rx_peek(in, 1) != ']') {
			in->pos++;
			ret = read_class_char(in, open, &hi);
		}
		if (ret)
			return ret;
		if (hi < lo)
			return bf_rx_refuse(in, at, "character range",
					    "its end is before its beginning");
		ret = bf_rx_add_range(in, runes, lo, hi, at);
		if (ret)
			return ret;
	}
	if (!bf_rx_more(in, 1))
		return bf_rx_refuse(in, open, "[", "its ] is missing");
	in->pos++;
	return 0;
}

int bf_rx_read_class(struct bf_rx_scan *in, struct bf_runes *runes)
{
	size_t open = in->pos;
	bool negate;
	int ret;

	in->pos++;
	negate = bf_rx_peek(in, 0) == '^';
	in->pos += negate;
	ret = read_class_items(in, open, runes);
	bf_runes_sort(runes);
	return !ret && negate ? bf_runes_negate(runes) : ret;
}
