// SPDX-License-Identifier: Apache-2.0
#include "observe/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void bf_text_free(struct bf_text *t)
{
	free(t->data);
	memset(t, 0, sizeof(*t));
}

void bf_text_clear(struct bf_text *t)
{
	t->len = 0;
	t->failed = false;
	if (t->data)
		t->data[0] = 0;
}

static bool reserve(struct bf_text *t, size_t more)
{
	size_t want, cap;
	char *data;

	if (t->failed)
		return false;
	want = t->len + more + 1;
	if (want < more) {
		t->failed = true;
		return false;
	}
	if (want <= t->cap)
		return true;
	cap = t->cap ? t->cap : 256;
	while (cap < want)
		cap *= 2;
	data = realloc(t->data, cap);
	if (!data) {
		t->failed = true;
		return false;
	}
	t->data = data;
	t->cap = cap;
	return true;
}

void bf_text_add(struct bf_text *t, const char *bytes, size_t len)
{
	if (t->len + len >= t->cap || len > t->cap || t->failed) {
		if (!reserve(t, len))
			return;
	}
	if (len)
		memcpy(t->data + t->len, bytes, len);
	t->len += len;
	t->data[t->len] = 0;
}

void bf_text_printf(struct bf_text *t, const char *fmt, ...)
{
	char small[256];
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	va_end(ap);
	if (n < 0) {
		t->failed = true;
		return;
	}
	if ((size_t)n < sizeof(small)) {
		bf_text_add(t, small, (size_t)n);
		return;
	}
	if (!reserve(t, (size_t)n))
		return;
	va_start(ap, fmt);
	vsnprintf(t->data + t->len, (size_t)n + 1, fmt, ap);
	va_end(ap);
	t->len += (size_t)n;
}

void bf_text_padded(struct bf_text *t, uint64_t n, int width)
{
	char digits[20];
	int i = 20;

	do {
		digits[--i] = (char)('0' + n % 10);
		n /= 10;
	} while (n || (20 - i < width && i > 0));
	bf_text_add(t, digits + i, (size_t)(20 - i));
}

void bf_text_u64(struct bf_text *t, uint64_t n)
{
	bf_text_padded(t, n, 1);
}

size_t bf_utf8_len(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	size_t n, i;

	if (!len)
		return 0;
	if (u[0] < 0x80)
		return 1;
	if (u[0] >= 0xc2 && u[0] <= 0xdf)
		n = 2;
	else if (u[0] >= 0xe0 && u[0] <= 0xef)
		n = 3;
	else if (u[0] >= 0xf0 && u[0] <= 0xf4)
		n = 4;
	else
		return 0;
	if (len < n)
		return 0;
	for (i = 1; i < n; i++)
		if ((u[i] & 0xc0) != 0x80)
			return 0;
	/* Overlong forms, surrogates, and what lies above U+10FFFF. */
	if ((u[0] == 0xe0 && u[1] < 0xa0) || (u[0] == 0xed && u[1] > 0x9f) ||
	    (u[0] == 0xf0 && u[1] < 0x90) || (u[0] == 0xf4 && u[1] > 0x8f))
		return 0;
	return n;
}

/* How many bytes at s may pass as they are; 0: the first one has to be escaped. */
static size_t passes(const char *s, size_t len)
{
	unsigned char c = (unsigned char)s[0];
	size_t n;

	if (c < 0x80)
		return c >= 0x20 && c != 0x7f;
	n = bf_utf8_len(s, len);
	/* U+0080 to U+009F are control characters too. */
	if (n == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0)
		return 0;
	/* U+2028, U+2029 end a line for some; U+202A to U+202E and U+2066 to U+2069 turn
	 * the writing direction, so that a line can be made to read as another. */
	if (n == 3 && c == 0xe2) {
		unsigned char a = (unsigned char)s[1], b = (unsigned char)s[2];

		if ((a == 0x80 && b >= 0xa8 && b <= 0xae) || (a == 0x81 && b >= 0xa6 && b <= 0xa9))
			return 0;
	}
	return n;
}

static bool wire_passes(char c)
{
	return c >= 0x20 && c < 0x7f && c != '\\';
}

void bf_text_safe(struct bf_text *t, const char *s, size_t len, bool lines)
{
	size_t i = 0, n;

	while (i < len) {
		n = passes(s + i, len - i);
		if (!n && lines && s[i] == '\n')
			n = 1;
		if (n) {
			bf_text_add(t, s + i, n);
			i += n;
		} else {
			bf_text_printf(t, "\\x%02x", (unsigned char)s[i++]);
		}
	}
}

void bf_text_wire(struct bf_text *t, const char *bytes, size_t len)
{
	size_t i, from = 0;

	for (i = 0; i < len; i++) {
		if (wire_passes(bytes[i]))
			continue;
		bf_text_add(t, bytes + from, i - from);
		bf_text_printf(t, "\\x%02x", (unsigned char)bytes[i]);
		from = i + 1;
	}
	bf_text_add(t, bytes + from, len - from);
}

void bf_text_json(struct bf_text *t, const char *s, size_t len)
{
	size_t i = 0, from = 0, n;

	bf_text_add(t, "\"", 1);
	while (i < len) {
		if (wire_passes(s[i]) && s[i] != '"') {
			i++;
			continue;
		}
		n = passes(s + i, len - i);
		if (n && s[i] != '"' && s[i] != '\\') {
			i += n;
			continue;
		}
		bf_text_add(t, s + from, i - from);
		if (n) {
			bf_text_add(t, "\\", 1);
			bf_text_add(t, s + i, 1);
		} else if ((unsigned char)s[i] < 0x80) {
			bf_text_printf(t, "\\u%04x", (unsigned char)s[i]);
		} else {
			bf_text_printf(t, "\\\\x%02x", (unsigned char)s[i]);
		}
		from = ++i;
	}
	bf_text_add(t, s + from, len - from);
	bf_text_add(t, "\"", 1);
}

void bf_text_json_wire(struct bf_text *t, const char *bytes, size_t len)
{
	size_t i, from = 0;

	bf_text_add(t, "\"", 1);
	for (i = 0; i < len; i++) {
		if (wire_passes(bytes[i]) && bytes[i] != '"')
			continue;
		bf_text_add(t, bytes + from, i - from);
		if (bytes[i] == '"')
			bf_text_add(t, "\\\"", 2);
		else
			bf_text_printf(t, "\\\\x%02x", (unsigned char)bytes[i]);
		from = i + 1;
	}
	bf_text_add(t, bytes + from, len - from);
	bf_text_add(t, "\"", 1);
}
