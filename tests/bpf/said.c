// SPDX-License-Identifier: Apache-2.0
/* Records, less what may differ. */
#include "said.h"

#include <ctype.h>
#include <stdio.h>

#include "observe/names.h"

void said_take(struct said *s, const struct bpfast_event *ev)
{
	const char *rule = image_ref(ev->ref);
	size_t n = ev->text_len < sizeof(s->text) ? ev->text_len : sizeof(s->text);

	memset(s, 0, sizeof(*s));
	s->verdict = ev->verdict;
	s->reason = ev->reason;
	s->http_minor = ev->http_minor;
	s->text_len = (uint8_t)n;
	/* What lies behind it is left over from others. */
	memcpy(s->text, ev->text, n);
	/* "KIND\tNAMESPACE\tNAME\tspec.ingress[0].toPorts[0]..." */
	rule = strrchr(rule, '\t');
	rule = rule ? strchr(rule, '[') : NULL;
	snprintf(s->rule, sizeof(s->rule), "%s", rule ? rule : "");
}

bool said_alike(const struct said *a, size_t n, const struct said *b, size_t m, bool texts)
{
	if (n != m)
		return false;
	for (size_t i = 0; i < n; i++) {
		if (a[i].verdict != b[i].verdict || a[i].reason != b[i].reason ||
		    a[i].http_minor != b[i].http_minor || strcmp(a[i].rule, b[i].rule))
			return false;
		if (texts && (a[i].text_len != b[i].text_len ||
			      memcmp(a[i].text, b[i].text, sizeof(a[i].text))))
			return false;
	}
	return true;
}

const char *said_quoted(const void *bytes, size_t n)
{
	static char text[520];
	const uint8_t *p = bytes;
	size_t len = 1;

	text[0] = '"';
	for (size_t i = 0; i < n && len < 500; i++) {
		if (p[i] == '\r' || p[i] == '\n')
			len += (size_t)sprintf(text + len, "\\%c", p[i] == '\r' ? 'r' : 'n');
		else if (isprint(p[i]) && p[i] != '\\' && p[i] != '"')
			text[len++] = (char)p[i];
		else
			len += (size_t)sprintf(text + len, "\\x%02x", p[i]);
	}
	strcpy(text + len, len < 500 ? "\"" : "\" ...");
	return text;
}

const char *said_line(const struct said *s)
{
	static char line[1024];

	snprintf(line, sizeof(line), "%s %s HTTP/1.%d %s rule \"%s\"", bf_verdict_word(s->verdict),
		 bf_reason_word(s->reason), s->http_minor, said_quoted(s->text, s->text_len),
		 s->rule);
	return line;
}
