// SPDX-License-Identifier: Apache-2.0
/* ShieldPolicy: which devices and pods shield guards, and how. */
#include "policy/read_kinds.h"

#include <stdlib.h>
#include <string.h>

#include "bpfast/shield.h"
#include "policy/read_syntax.h"
#include "policy/shield_spec.h"

#define RATE_MAX 100000000L

/* A name of an interface, or a pattern of such names. */
static bool is_device(const char *s)
{
	size_t n = strlen(s);

	if (!n || n > 15 || !strcmp(s, ".") || !strcmp(s, ".."))
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] <= ' ' || s[i] == '/' || s[i] == ':' || s[i] == '\\' || s[i] >= 0x7f)
			return false;
	return true;
}

static void read_devices(struct bf_reader *r, const struct bf_place *at, struct bf_shield_spec *s)
{
	if (!bf_want_list(r, at))
		return;
	if (!at->node->n)
		bf_flaw(r, at, "is an empty list: name devices, or leave the field out");
	s->devices = bf_reader_array(r, at->node->n, sizeof(*s->devices));
	for (size_t i = 0; s->devices && i < at->node->n; i++) {
		struct bf_place element = bf_element(at, i);
		const char *name = bf_want_string(r, &element);

		if (!name)
			continue;
		if (!is_device(name))
			bf_flaw(r, &element,
				"\"%.64s\" is no interface's name: up to 15 characters, without "
				"blanks, / and :; *, ? and [...] stand for others",
				name);
		else if (!strcmp(name, "lo"))
			bf_flaw(r, &element,
				"the loopback is not guarded: what it carries was never on a wire");
		s->devices[s->device_count] = bf_reader_text(r, name);
		if (s->devices[s->device_count])
			s->device_count++;
	}
}

static bool read_amount(struct bf_reader *r, const struct bf_place *at, uint32_t *out)
{
	long n;

	if (!bf_want_int(r, at, &n))
		return false;
	if (n < 0 || n > RATE_MAX) {
		bf_flaw(r, at, "%ld is out of range: 0 to %ld packets", n, RATE_MAX);
		return false;
	}
	*out = (uint32_t)n;
	return true;
}

static void read_rate(struct bf_reader *r, const struct bf_place *at, struct bf_shield_rate *out)
{
	static const struct bf_field fields[] = {
		{"class", NULL}, {"scope", NULL}, {"rate", NULL}, {"burst", NULL}, {NULL, NULL}};
	static const char *const classes[] = {
#define BPFAST_X(sym, word, what) word,
		BPFAST_SHIELD_CLASSES(BPFAST_X)
#undef BPFAST_X
			NULL};
	static const char *const scopes[] = {"source", "prefix", "destination", NULL};
	struct bf_place field;
	int which;

	out->class = BPFAST_SC_COUNT;
	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
	if (bf_field_need(r, at, "scope", &field, "source, prefix or destination")) {
		which = bf_want_word(r, &field, scopes);
		out->scope = which < 0 ? 0 : (uint8_t)which;
	}
	if (bf_field_need(r, at, "class", &field,
			  "syn, out-of-state, udp, icmp, fragment or other")) {
		which = bf_want_word(r, &field, classes);
		out->class = which < 0 ? BPFAST_SC_COUNT : (uint8_t)which;
	}
	if (bf_field_need(r, at, "rate", &field, "packets a second; 0 is no limit") &&
	    read_amount(r, &field, &out->rate))
		out->burst = out->rate;
	if (bf_field_get(r, at, "burst", &field) && read_amount(r, &field, &out->burst) &&
	    !out->burst && out->rate)
		bf_flaw(r, &field,
			"with a burst of 0 nothing would ever pass: leave it out for "
			"as much as the rate");
}

static void read_limits(struct bf_reader *r, const struct bf_place *at, struct bf_shield_spec *s)
{
	static const char *const scopes[] = {"source", "prefix", "destination"};
	bool said[BPFAST_SC_COUNT + 1][BPFAST_SS_COUNT] = {{false}};

	if (!bf_want_list(r, at))
		return;
	s->rates = bf_reader_array(r, at->node->n, sizeof(*s->rates));
	for (size_t i = 0; s->rates && i < at->node->n; i++) {
		struct bf_place element = bf_element(at, i);
		struct bf_shield_rate *rate = &s->rates[s->rate_count++];

		read_rate(r, &element, rate);
		if (rate->class == BPFAST_SC_COUNT)
			continue;
		if (said[rate->class][rate->scope])
			bf_flaw(r, &element,
				"the limit of this class for each %s was said before: keep one",
				scopes[rate->scope]);
		said[rate->class][rate->scope] = true;
	}
}

/* --- connections and requests --- */

/* The limits of `bpfast shield http`; times are a day at most. */
#define HTTP_MOST 1000000000L
#define HTTP_MOST_S 86400L

static void read_http_limit(struct bf_reader *r, const struct bf_place *at, long most,
			    unsigned int bit, uint32_t *out, struct bf_shield_spec *s)
{
	long n;

	if (!bf_want_int(r, at, &n))
		return;
	if (n < 0 || n > most) {
		bf_flaw(r, at, "%ld is out of range: 0 to %ld; 0 is no limit", n, most);
		return;
	}
	*out = (uint32_t)n;
	s->http_said |= 1u << bit;
}

static void read_http(struct bf_reader *r, const struct bf_place *at, struct bf_shield_spec *s)
{
	static const struct bf_field fields[] = {
#define BPFAST_X(member, option, what, field) {field, NULL},
		BF_CROWD_LIMITS(BPFAST_X)
#undef BPFAST_X
			{NULL, NULL}};
	struct bf_place place;

	s->http = true;
	if (!bf_want_map(r, at))
		return;
	bf_fields_check(r, at, fields);
#define BPFAST_X(member, option, what, field)                                                      \
	if (bf_field_get(r, at, field, &place))                                                    \
		read_http_limit(r, &place, strstr(field, "Seconds") ? HTTP_MOST_S : HTTP_MOST,     \
				BF_CROWD_##member, &s->http_limits.member, s);
	BF_CROWD_LIMITS(BPFAST_X)
#undef BPFAST_X
	if (!at->node->n)
		bf_flaw(r, at, "says no limit: add one, such as requests: 500, or leave it out");
	if (!s->endpoints)
		bf_flaw(r, at,
			"says what one client may ask of pods, and none are selected: add "
			"endpointSelector");
}

/* --- lists --- */

static bool digits(const char *s, unsigned int n, long *out)
{
	*out = 0;
	for (unsigned int i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		*out = *out * 10 + (s[i] - '0');
	}
	return true;
}

static bool is_leap(long year)
{
	return (year % 4 == 0 && year % 100) || year % 400 == 0;
}

/* Days from 1970-01-01 in the Gregorian calendar. */
static long days(long year, long month, long day)
{
	static const int before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
	long y = year - 1;

	return y * 365 + y / 4 - y / 100 + y / 400 - 719162 + before[month - 1] +
	       (month > 2 && is_leap(year)) + day - 1;
}

/* "2026-12-01T08:00:00Z": RFC 3339, in UTC alone, so that nobody has to count zones. */
static bool parse_time(const char *s, int64_t *out)
{
	static const int most[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
	long year, month, day, hour, minute, second;

	if (strlen(s) != 20 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' ||
	    s[16] != ':' || s[19] != 'Z')
		return false;
	if (!digits(s, 4, &year) || !digits(s + 5, 2, &month) || !digits(s + 8, 2, &day) ||
	    !digits(s + 11, 2, &hour) || !digits(s + 14, 2, &minute) || !digits(s + 17, 2, &second))
		return false;
	if (year < 1970 || month < 1 || month > 12 || day < 1 || day > most[month - 1] ||
	    (month == 2 && day == 29 && !is_leap(year)) || hour > 23 || minute > 59 || second > 59)
		return false;
	*out = (int64_t)days(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
	return *out > 0;
}

static void read_range(struct bf_reader *r, const struct bf_place *at, struct bf_cidr *out)
{
	const char *text = bf_want_string(r, at);
	struct bf_peer peer = {0};
	char right[64];
	struct bf_cidr whole;
	char *bare;

	if (!text)
		return;
	bf_read_cidr(r, at, true, NULL, &peer);
	*out = peer.cidr;
	/* As `shield block` has it: bits behind the prefix are a slip, and which one is not known. */
	bare = bf_reader_textn(r, text, strcspn(text, "/"));
	if (bare && bf_parse_cidr(bare, true, &whole) == BF_CIDR_OK &&
	    memcmp(whole.addr, out->addr, sizeof(whole.addr)) && out->len)
		bf_flaw(r, at, "\"%.64s\" has bits set behind its prefix: did you mean %s?", text,
			bf_shield_prefix_text(out, right, sizeof(right)));
	free(bare);
}

static void read_entry(struct bf_reader *r, const struct bf_place *at, struct bf_shield_prefix *out)
{
	static const struct bf_field fields[] = {
		{"cidr", NULL},
		{"until", NULL},
		{"for", "a time that begins with the command has no beginning here: write until, "
			"such as until: \"2026-12-01T08:00:00Z\""},
		{NULL, NULL}};
	struct bf_place field;
	const char *text;

	if (at->node->type != BF_NODE_MAP) {
		read_range(r, at, &out->cidr);
		return;
	}
	bf_fields_check(r, at, fields);
	if (bf_field_need(r, at, "cidr", &field, "give the range, like 192.0.2.0/24"))
		read_range(r, &field, &out->cidr);
	if (!bf_field_get(r, at, "until", &field))
		return;
	text = bf_want_string(r, &field);
	if (text && !parse_time(text, &out->until))
		bf_flaw(r, &field,
			"\"%.64s\" is no time: write it in UTC, like 2026-12-01T08:00:00Z", text);
}

/* Reads a list to what is there, whose array has the room. */
static void read_list(struct bf_reader *r, const struct bf_place *at, bool allow,
		      struct bf_shield_spec *s)
{
	for (size_t i = 0; i < at->node->n; i++) {
		struct bf_place element = bf_element(at, i);

		s->prefixes[s->prefix_count].allow = allow;
		read_entry(r, &element, &s->prefixes[s->prefix_count++]);
	}
}

static void check_doubles(struct bf_reader *r, const struct bf_place *at,
			  const struct bf_shield_prefix *sorted, size_t n)
{
	char text[64];

	for (size_t i = 1; i < n; i++)
		if (!memcmp(&sorted[i].cidr, &sorted[i - 1].cidr, sizeof(sorted[i].cidr)))
			bf_flaw(r, at, "%s is there twice: keep one",
				bf_shield_prefix_text(&sorted[i].cidr, text, sizeof(text)));
}

/* What the policy blocks, and allows all the same. */
static void check_useful(struct bf_reader *r, const struct bf_place *block,
			 const struct bf_shield_spec *s, const struct bf_shield_prefix *sorted,
			 size_t allows)
{
	char what[64], by[64];

	for (size_t i = 0; i < block->node->n; i++) {
		const struct bf_shield_prefix *b = &s->prefixes[allows + i];
		const struct bf_shield_prefix *a = bf_shield_prefix_holder(sorted, allows, b);
		struct bf_place element = bf_element(block, i);

		if (a)
			bf_flaw(r, &element,
				"the policy blocks its own allow list: %s %s%s, and allow always "
				"wins; take one of them out",
				bf_shield_prefix_text(&b->cidr, what, sizeof(what)),
				a->cidr.len == b->cidr.len ? "is on both lists" : "lies within ",
				a->cidr.len == b->cidr.len
					? ""
					: bf_shield_prefix_text(&a->cidr, by, sizeof(by)));
	}
}

static void read_lists(struct bf_reader *r, const struct bf_place *spec, struct bf_shield_spec *s)
{
	struct bf_place allow, block;
	bool has_allow = bf_field_get(r, spec, "allow", &allow) && bf_want_list(r, &allow);
	bool has_block = bf_field_get(r, spec, "block", &block) && bf_want_list(r, &block);
	size_t allows = has_allow ? allow.node->n : 0, blocks = has_block ? block.node->n : 0;
	struct bf_shield_prefix *sorted;
	unsigned int before = r->flaws;

	if (!allows && !blocks)
		return;
	s->prefixes = bf_reader_array(r, allows + blocks, sizeof(*s->prefixes));
	sorted = bf_reader_array(r, allows + blocks, sizeof(*sorted));
	if (s->prefixes && sorted) {
		if (has_allow)
			read_list(r, &allow, true, s);
		if (has_block)
			read_list(r, &block, false, s);
		/* Entries with flaws have no place to compare. */
		if (r->flaws == before) {
			memcpy(sorted, s->prefixes, (allows + blocks) * sizeof(*sorted));
			bf_shield_prefixes_sort(sorted, allows);
			bf_shield_prefixes_sort(sorted + allows, blocks);
			if (has_allow)
				check_doubles(r, &allow, sorted, allows);
			if (has_block) {
				check_doubles(r, &block, sorted + allows, blocks);
				check_useful(r, &block, s, sorted, allows);
			}
		}
	}
	free(sorted);
}

void bf_read_shield_policy(struct bf_reader *r, const struct bf_place *spec,
			   struct bf_policy *policy)
{
	static const char files[] =
		"is not read: lists of thousands come from `bpfast shield block --file`";
	static const struct bf_field fields[] = {{"devices", NULL},	{"endpointSelector", NULL},
						 {"mode", NULL},	{"hook", NULL},
						 {"sensitivity", NULL}, {"limits", NULL},
						 {"http", NULL},	{"allow", NULL},
						 {"block", NULL},	{"description", NULL},
						 {"blockFiles", files}, {"allowFiles", files},
						 {NULL, NULL}};
	static const char *const modes[] = {"off", "audit", "enforce", NULL};
	static const char *const hooks[] = {"auto", "native", "generic", "tc", NULL};
	struct bf_shield_spec *s = bf_reader_array(r, 1, sizeof(*s));
	unsigned int before = r->flaws;
	bool devices, lists;
	struct bf_place at;
	int which;

	policy->subject_none = true;
	policy->shield = s;
	if (!s)
		return;
	s->mode = BPFAST_SM_ENFORCE;
	s->sensitivity = BF_SENS_MEDIUM;
	if (!bf_want_map(r, spec))
		return;
	bf_fields_check(r, spec, fields);
	devices = bf_field_get(r, spec, "devices", &at);
	if (devices)
		read_devices(r, &at, s);
	s->endpoints = bf_field_get(r, spec, "endpointSelector", &at);
	if (s->endpoints)
		bf_read_selector(r, &at, BF_ABOUT_ENDPOINTS, &s->selector);
	if (bf_field_get(r, spec, "mode", &at)) {
		which = bf_want_word(r, &at, modes);
		s->mode = which < 0 ? 0 : (uint8_t)which;
		policy->audit = which == BPFAST_SM_AUDIT;
	}
	if (bf_field_get(r, spec, "hook", &at)) {
		which = bf_want_word(r, &at, hooks);
		s->hook = which < 0 ? 0 : (uint8_t)which;
		if (!devices)
			bf_flaw(r, &at,
				"says how devices are guarded, and there are none: add "
				"devices, or take it out");
	}
	if (bf_field_get(r, spec, "sensitivity", &at)) {
		which = bf_want_word(r, &at, bf_sensitivity_words);
		s->sensitivity = which < 0 ? BF_SENS_DEFAULT : (uint8_t)(BF_SENS_LOW + which);
		s->sensitivity_said = true;
	}
	if (bf_field_get(r, spec, "description", &at))
		bf_want_string(r, &at);
	if (bf_field_get(r, spec, "limits", &at))
		read_limits(r, &at, s);
	if (bf_field_get(r, spec, "http", &at))
		read_http(r, &at, s);
	read_lists(r, spec, s);
	lists = s->rate_count || s->prefix_count;
	if (!devices && !s->endpoints && !lists && r->flaws == before)
		bf_flaw(r, spec,
			"guards nothing and sets nothing: add devices, such as [eth0], or "
			"endpointSelector");
}
