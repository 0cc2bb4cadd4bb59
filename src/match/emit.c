// SPDX-License-Identifier: Apache-2.0
#include "match/emit.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <bpfast/image.h>

#include "match/ruleset.h"

/* A state that is left only to die, or 0: see struct bpfast_image_dfa. */
static uint32_t sink_state(const struct bf_dfa *dfa)
{
	for (uint32_t s = 1; s < dfa->states; s++) {
		const uint32_t *next = dfa->next + (size_t)s * dfa->classes;
		uint32_t c = 0;

		while (c < dfa->classes && (next[c] == s || !next[c]))
			c++;
		if (c == dfa->classes && dfa->classes > 1)
			return s;
	}
	return 0;
}

/* The table begins at a multiple of this, so that a row is in as few cache lines as can be. */
#define TABLE_ALIGN 64u

static int append_aligned(struct bf_blob *blob, size_t len, uint32_t *off)
{
	size_t gap = -(blob->len + sizeof(struct bpfast_image_dfa)) % TABLE_ALIGN;
	int ret = gap ? bf_blob_append(blob, NULL, gap, off) : 0;

	return ret ? ret : bf_blob_append(blob, NULL, len, off);
}

static uint32_t bits_of(size_t n)
{
	uint32_t bits = 1;

	while (bits < 30 && n >> bits)
		bits++;
	return bits;
}

int bf_dfa_emit(struct bf_blob *blob, const struct bf_dfa *dfa, const struct bf_dfa_values *values,
		uint32_t *off)
{
	uint32_t units = (dfa->classes + BPFAST_DFA_UNIT) / BPFAST_DFA_UNIT;
	size_t row = (size_t)units * BPFAST_DFA_UNIT, entries = dfa->states * row;
	uint32_t bits = bits_of((size_t)dfa->states * units - 1);
	struct bpfast_image_dfa *image;
	uint32_t *table;
	int ret;

	if (entries + values->count > UINT32_MAX / sizeof(*table))
		return -E2BIG;
	if (values->count && (uint64_t)(values->count - 1) >> (31 - bits))
		return -EOVERFLOW;
	ret = append_aligned(blob, sizeof(*image) + (entries + values->count) * sizeof(*table),
			     off);
	if (ret)
		return ret;
	image = (struct bpfast_image_dfa *)(blob->data + *off);
	image->start = dfa->start * units;
	image->classes = dfa->classes;
	image->entries = (uint32_t)entries;
	image->bits = bits;
	image->mask = (1u << bits) - 1;
	image->first_tail = dfa->first_tail * units;
	image->value_count = values->count;
	memcpy(image->class_of, dfa->class_of, sizeof(image->class_of));
	image->sink = sink_state(dfa) * units;
	for (uint32_t s = 0; s < dfa->states; s++) {
		const uint32_t *next = dfa->next + (size_t)s * dfa->classes;
		const uint32_t *take = dfa->take ? dfa->take + (size_t)s * dfa->classes : NULL;

		table = image->table + s * row;
		*table++ = values->set[dfa->accept[s]];
		for (uint32_t c = 0; c < dfa->classes; c++) {
			uint32_t taken = 0;

			if (take && take[c])
				taken = BPFAST_DFA_TOOK | values->first[take[c] - 1] << bits;
			*table++ = taken | next[c] * units;
		}
	}
	if (values->count)
		memcpy(image->table + entries, values->value, values->count * sizeof(*table));
	return 0;
}

static const struct {
	const char *name;
	uint32_t value;
} framing[] = {
	{"content-length", BPFAST_HN_CONTENT_LENGTH},
	{"transfer-encoding", BPFAST_HN_TRANSFER_ENCODING},
	{"connection", BPFAST_HN_CONNECTION},
	{"upgrade", BPFAST_HN_UPGRADE},
	{"host", BPFAST_HN_HOST},
	{"expect", BPFAST_HN_EXPECT},
};

#define FRAMING (sizeof(framing) / sizeof(framing[0]))

/* RFC 9110, section 5.6.2. */
static const char token[] = "[!#$%&'*+.^_`|~0-9A-Za-z-]+";

bool bf_is_token(const char *text)
{
	static const char allowed[] = "!#$%&'*+-.^_`|~0123456789"
				      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

	return *text && !text[strspn(text, allowed)];
}

/*
 * A name with "-" and "_" in each other's places. CGI and what was made after it give
 * programs X-Tenant and X_Tenant as one and the same HTTP_X_TENANT; other
 * servers drop the second (nginx) or keep the two apart. To be freed; NULL: no memory.
 */
static char *alike_pattern(const char *name)
{
	char *pattern = malloc(4 * strlen(name) + 1), *to = pattern;

	for (; to && *name; name++) {
		if (*name == '-' || *name == '_') {
			to = stpcpy(to, "[_-]");
			continue;
		}
		if (!isalnum((unsigned char)*name))
			*to++ = '\\';
		*to++ = *name;
	}
	if (to)
		*to = 0;
	return pattern;
}

/* Bits of a set of matching patterns, in the order of bf_names_emit(), to a value. */
static uint32_t name_value(const uint64_t *set, size_t n)
{
	uint32_t value = BPFAST_HN_OTHER;

	if (!(set[0] & 1))
		return BPFAST_HN_INVALID;
	for (size_t i = 0; i < FRAMING; i++) {
		if (set[0] >> (1 + i) & 1)
			value = framing[i].value;
	}
	for (size_t i = 0; i < n; i++) {
		if (set[0] >> (1 + FRAMING + i) & 1)
			value |= (uint32_t)(i + 1) << 8;
	}
	if (value == BPFAST_HN_OTHER && set[0] >> (1 + FRAMING + n))
		return BPFAST_HN_INVALID; /* only like one of them */
	return value;
}

#define NAMES_MAX (FRAMING + BPFAST_HEADER_SLOTS)

static int patterns_emit(struct bf_blob *blob, const struct bf_pattern *pattern, size_t count,
			 size_t n, uint32_t *off, struct bf_error *err)
{
	struct bf_dfa *dfa = NULL;
	uint32_t *value;
	int ret = bf_dfa_build(pattern, count, NULL, &dfa, NULL, err);

	if (ret)
		return ret;
	value = calloc(dfa->sets, sizeof(*value));
	if (value) {
		for (uint32_t i = 0; i < dfa->sets; i++)
			value[i] = name_value(dfa->set + i, n);
		ret = bf_dfa_emit(blob, dfa, &(struct bf_dfa_values){.set = value}, off);
	} else {
		ret = -ENOMEM;
	}
	free(value);
	bf_dfa_free(dfa);
	return ret ? bf_err(err, ret, "no room for the automaton over header names") : 0;
}

/*
 * The pattern "any token" makes the rest fall into place: what is no token
 * matches nothing, so it ends dead in state 0, which accepts with INVALID; so
 * does the empty name, in the start state. With `strict` so does what is only
 * like one of the names.
 */
static int names_emit(struct bf_blob *blob, const char *const *names, size_t n, bool strict,
		      uint32_t *off, struct bf_error *err)
{
	struct bf_pattern pattern[1 + 2 * NAMES_MAX] = {
		{.text = token, .len = sizeof(token) - 1, .flags = BF_PATTERN_ASCII},
	};
	size_t exact = 1 + FRAMING + n, count = exact;
	int ret = 0;

	if (n > BPFAST_HEADER_SLOTS)
		return -E2BIG;
	for (size_t i = 0; i < FRAMING + n; i++) {
		const char *name = i < FRAMING ? framing[i].name : names[i - FRAMING];

		pattern[1 + i] = (struct bf_pattern){
			.text = name,
			.len = strlen(name),
			.flags = BF_PATTERN_LITERAL | BF_PATTERN_FOLD,
		};
	}
	for (size_t i = 1; !ret && strict && i < exact; i++) {
		char *alike;

		if (!strpbrk(pattern[i].text, "-_"))
			continue;
		alike = alike_pattern(pattern[i].text);
		if (!alike) {
			ret = bf_err(err, -ENOMEM, "no room for the automaton over header names");
			break;
		}
		pattern[count++] = (struct bf_pattern){
			.text = alike,
			.len = strlen(alike),
			.flags = BF_PATTERN_ASCII | BF_PATTERN_FOLD,
		};
	}
	if (!ret)
		ret = patterns_emit(blob, pattern, count, n, off, err);
	while (count > exact)
		free((char *)pattern[--count].text);
	return ret;
}

int bf_names_emit(struct bf_blob *blob, const char *const *names, size_t n, uint32_t *off,
		  struct bf_error *err)
{
	return names_emit(blob, names, n, true, off, err);
}

int bf_response_names_emit(struct bf_blob *blob, uint32_t *off, struct bf_error *err)
{
	return names_emit(blob, NULL, 0, false, off, err);
}
