// SPDX-License-Identifier: Apache-2.0
/* toPorts[].rules.http: what a request may be. */
#include "policy/read_kinds.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "bpfast/limits.h"
#include "policy/read_syntax.h"

/* A regular expression; "" is "any" to Cilium and a flaw in our kinds. */
static char *read_pattern(struct bf_reader *r, const struct bf_place *map, const char *name,
			  unsigned int flags)
{
	struct bf_pattern pattern = {.flags = flags};
	struct bf_error err = {""};
	struct bf_place at;
	int ret;

	if (!bf_field_get(r, map, name, &at))
		return NULL;
	pattern.text = bf_want_string(r, &at);
	if (!pattern.text)
		return NULL;
	pattern.len = at.node->len;
	if (!pattern.len) {
		if (bf_own_kind(r))
			bf_flaw(r, &at, "is empty: leave the field out to allow any %s", name);
		return NULL;
	}
	ret = bf_pattern_check(&pattern, &err);
	if (ret == -ENOMEM) {
		r->no_memory = true;
		return NULL;
	}
	if (ret) {
		bf_flaw(r, &at, "%s", err.msg);
		return NULL;
	}
	return bf_reader_textn(r, pattern.text, pattern.len);
}

/* What cannot match is an error in thought: paths begin with "/", and all of one has to match. */
static void check_path(struct bf_reader *r, const struct bf_place *map, const char *path)
{
	struct bf_place at;
	char c = path[0] | 32;
	bool letter = (c >= 'a' && c <= 'z') || (path[0] >= '0' && path[0] <= '9');

	if (!letter || (path[1] && strchr("*?{", path[1])) || strchr(path, '|'))
		return;
	if (bf_field_get(r, map, "path", &at))
		bf_flaw(r, &at,
			"can match no request: a path begins with \"/\", and the whole path has to "
			"match");
}

static bool header_value(struct bf_reader *r, const struct bf_place *at, const char *value,
			 struct bf_http_header *out)
{
	size_t n;

	while (*value == ' ' || *value == '\t')
		value++;
	n = strlen(value);
	while (n && (value[n - 1] == ' ' || value[n - 1] == '\t'))
		n--;
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)value[i] < 0x20 ? value[i] != '\t' : value[i] == 0x7f) {
			bf_flaw(r, at, "has a control character, which no header value can have");
			return false;
		}
	if (!n) {
		bf_flaw(r, at,
			"has an empty value: to ask only that the header is there, give its name "
			"alone");
		return false;
	}
	out->op = BF_HEADER_EQUALS;
	out->value = bf_reader_textn(r, value, n);
	return out->value;
}

static bool header_name(struct bf_reader *r, const struct bf_place *at, const char *name, size_t n,
			struct bf_http_header *out)
{
	if (!bf_is_header_name(name, n)) {
		bf_flaw(r, at,
			"\"%.*s\" is no header name: letters, digits and \"-\"; write \"Name\" or "
			"\"Name: value\"",
			n > 64 ? 64 : (int)n, name);
		return false;
	}
	if ((n == 14 && !strncasecmp(name, "content-length", n)) ||
	    (n == 17 && !strncasecmp(name, "transfer-encoding", n))) {
		bf_flaw(r, at, "rules cannot look at %.*s, which says where a message ends", (int)n,
			name);
		return false;
	}
	out->op = BF_HEADER_PRESENT;
	out->name = bf_reader_textn(r, name, n);
	return out->name;
}

/* "Name: value" or "Name"; Cilium reads "Name value", too. */
static void read_header(struct bf_reader *r, const struct bf_place *at, struct bf_http_header *out)
{
	const char *text = bf_want_string(r, at);
	const char *end;

	if (!text)
		return;
	end = text + strcspn(text, bf_own_kind(r) ? ":" : ": ");
	if (!header_name(r, at, text, (size_t)(end - text), out))
		return;
	if (*end)
		header_value(r, at, end + 1, out);
}

static void read_header_match(struct bf_reader *r, const struct bf_place *at,
			      struct bf_http_header *out)
{
	static const struct bf_field fields[] = {
		{"name", NULL},
		{"value", NULL},
		{"mismatch",
		 "headers of a passing request cannot be changed or logged here: take it out"},
		{"secret", "values cannot be read from a Secret: give the value itself"},
		{NULL, NULL}};
	struct bf_place name, value;
	const char *text;

	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
	if (bf_field_need(r, at, "name", &name, "name the header")) {
		text = bf_want_string(r, &name);
		if (text)
			header_name(r, &name, text, name.node->len, out);
	}
	if (!bf_field_get(r, at, "value", &value))
		return;
	text = bf_want_string(r, &value);
	/* Cilium: no value, or an empty one, asks only that the header is there. */
	if (text && (*text || bf_own_kind(r)))
		header_value(r, &value, text, out);
}

static size_t list_length(struct bf_reader *r, const struct bf_place *map, const char *name,
			  struct bf_place *list)
{
	if (!bf_field_get(r, map, name, list) || !bf_want_list(r, list))
		return 0;
	if (!list->node->n && bf_own_kind(r))
		bf_flaw(r, list, "is an empty list: leave the field out to ask for no header");
	return list->node->n;
}

/* A name of the IANA registry of upgrade tokens, perhaps with a version: it needs no escaping but dots. */
static bool is_upgrade(const char *text)
{
	return *text &&
	       text[strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
				 "-_/.")] == '\0';
}

/*
 * upgrade: [websocket]: what a request that matches may become, if the server agrees
 * (RFC 9110, section 7.8); connect stands for the method CONNECT. One expression of all.
 */
static char *read_upgrade(struct bf_reader *r, const struct bf_place *map)
{
	struct bf_place list;
	char text[512] = "";
	size_t len = 0;

	if (!bf_field_get(r, map, "upgrade", &list) || !bf_want_list(r, &list))
		return NULL;
	if (!list.node->n) {
		bf_flaw(r, &list, "is an empty list: leave the field out to allow no upgrade");
		return NULL;
	}
	for (size_t i = 0; i < list.node->n; i++) {
		struct bf_place element = bf_element(&list, i);
		const char *token = bf_want_string(r, &element);

		if (!token)
			return NULL;
		if (!is_upgrade(token)) {
			bf_flaw(r, &element,
				"\"%.64s\" is no upgrade: write a name such as websocket, or "
				"connect "
				"for the method CONNECT",
				token);
			return NULL;
		}
		if (strlen(token) > 64 || len + 3 * strlen(token) + 2 > sizeof(text)) {
			bf_flaw(r, &element, "is too long, or one of too many upgrades");
			return NULL;
		}
		if (i)
			text[len++] = '|';
		for (; *token; token++)
			len += (size_t)snprintf(text + len, sizeof(text) - len,
						*token == '.' ? "[%c]" : "%c", *token);
	}
	return bf_reader_textn(r, text, len);
}

static void read_rule(struct bf_reader *r, const struct bf_place *at, struct bf_http_rule *out)
{
	static const struct bf_field own[] = {
		{"method", NULL},	 {"path", NULL},    {"host", NULL}, {"headers", NULL},
		{"headerMatches", NULL}, {"upgrade", NULL}, {NULL, NULL}};
	static const struct bf_field cilium[] = {{"method", NULL},	  {"path", NULL},
						 {"host", NULL},	  {"headers", NULL},
						 {"headerMatches", NULL}, {NULL, NULL}};
	const struct bf_field *fields = bf_own_kind(r) ? own : cilium;
	struct bf_place headers, matches;
	size_t n, m;

	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
	out->path_has_query = !bf_own_kind(r);
	out->method = read_pattern(r, at, "method", 0);
	out->path = read_pattern(r, at, "path", 0);
	if (out->path)
		check_path(r, at, out->path);
	out->host = read_pattern(r, at, "host", BF_PATTERN_FOLD);
	if (bf_own_kind(r))
		out->upgrade = read_upgrade(r, at);
	n = list_length(r, at, "headers", &headers);
	m = list_length(r, at, "headerMatches", &matches);
	out->headers = bf_reader_array(r, n + m, sizeof(*out->headers));
	if (!out->headers)
		return;
	out->header_count = n + m;
	for (size_t i = 0; i < n; i++) {
		struct bf_place element = bf_element(&headers, i);

		read_header(r, &element, &out->headers[i]);
	}
	for (size_t i = 0; i < m; i++) {
		struct bf_place element = bf_element(&matches, i);

		read_header_match(r, &element, &out->headers[n + i]);
	}
}

/* The limit holds for all rules that meet on a port; over it in one place is over it anyway. */
static void check_header_names(struct bf_reader *r, const struct bf_place *at,
			       const struct bf_rule *rule)
{
	const char *names[BPFAST_HEADER_SLOTS];
	size_t n = 0, i;

	for (size_t h = 0; h < rule->http_rule_count; h++)
		for (size_t x = 0; x < rule->http_rules[h].header_count; x++) {
			const char *name = rule->http_rules[h].headers[x].name;

			for (i = 0; name && i < n && strcasecmp(name, names[i]); i++)
				;
			if (!name || i < n)
				continue;
			if (n == BPFAST_HEADER_SLOTS) {
				bf_flaw(r, at,
					"the rules look at more than %d different headers, with "
					"%.64s",
					BPFAST_HEADER_SLOTS, name);
				return;
			}
			names[n++] = name;
		}
}

void bf_read_http(struct bf_reader *r, const struct bf_place *at, struct bf_rule *rule)
{
	size_t n;

	if (!bf_want_list(r, at))
		return;
	n = at->node->n;
	rule->http = true;
	if (!n) {
		if (bf_own_kind(r))
			bf_flaw(r, at,
				"is an empty list: write \"- {}\" to allow every request, or leave "
				"rules out to allow all that is said on the port");
		return;
	}
	if (n > BPFAST_RULES_MAX) {
		bf_flaw(r, at, "%zu rules are more than the %d that one port can have", n,
			BPFAST_RULES_MAX);
		return;
	}
	rule->http_rules = bf_reader_array(r, n, sizeof(*rule->http_rules));
	if (!rule->http_rules)
		return;
	rule->http_rule_count = n;
	for (size_t i = 0; i < n; i++) {
		struct bf_place element = bf_element(at, i);

		read_rule(r, &element, &rule->http_rules[i]);
	}
	check_header_names(r, at, rule);
}
