// SPDX-License-Identifier: Apache-2.0
#include "policy/read_place.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a flaw's way and of its sentence. */
#define WAY_MAX 256
#define SENTENCE_MAX 900

static void report(struct bf_reader *r, int line, int column, const char *message)
{
	if (r->flaws < BF_FLAWS_MAX)
		r->told[r->flaws] =
			(struct bf_told){line, column, r->flaws, bf_reader_text(r, message)};
	r->flaws++;
}

static int told_order(const void *a, const void *b)
{
	const struct bf_told *x = a, *y = b;

	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	return x->number < y->number ? -1 : 1;
}

void bf_flaws_tell(struct bf_reader *r, bf_flaw_fn flaw, void *arg)
{
	size_t n = r->flaws < BF_FLAWS_MAX ? r->flaws : BF_FLAWS_MAX;
	char more[80];

	qsort(r->told, n, sizeof(r->told[0]), told_order);
	for (size_t i = 0; i < n; i++) {
		if (r->told[i].message)
			flaw(arg, r->file, r->told[i].line, r->told[i].column, r->told[i].message);
		free(r->told[i].message);
	}
	if (r->flaws > n) {
		snprintf(more, sizeof(more), "%u more flaws are not shown: mend these first",
			 r->flaws - (unsigned int)n);
		flaw(arg, r->file, 1, 1, more);
	}
	r->flaws = 0;
}

void bf_flaw_at(struct bf_reader *r, int line, int column, const char *fmt, ...)
{
	char text[SENTENCE_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	report(r, line, column, text);
}

/* Appends to buf (size bytes in all) at *off; what does not fit is left out. */
static void put(char *buf, size_t size, size_t *off, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
static void put(char *buf, size_t size, size_t *off, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(buf + *off, size - *off, fmt, ap);
	va_end(ap);
	if (n > 0)
		*off = (size_t)n < size - *off ? *off + (size_t)n : size - 1;
}

static void way(char *buf, size_t size, size_t *off, const struct bf_place *at)
{
	if (!at->up)
		return;
	way(buf, size, off, at->up);
	if (!at->name)
		put(buf, size, off, "[%zu]", at->index);
	else
		put(buf, size, off, "%s%s", *off ? "." : "", at->name);
}

void bf_flaw(struct bf_reader *r, const struct bf_place *at, const char *fmt, ...)
{
	char text[WAY_MAX + 2 + SENTENCE_MAX];
	char path[WAY_MAX] = "";
	size_t off = 0;
	va_list ap;

	way(path, sizeof(path), &off, at);
	off = 0;
	text[0] = 0;
	if (path[0])
		put(text, sizeof(text), &off, "%s: ", path);
	va_start(ap, fmt);
	vsnprintf(text + off, sizeof(text) - off, fmt, ap);
	va_end(ap);
	report(r, at->node->line, at->node->column, text);
}

char *bf_place_text(struct bf_reader *r, const struct bf_place *at)
{
	char path[WAY_MAX] = "";
	size_t off = 0;

	way(path, sizeof(path), &off, at);
	return bf_reader_text(r, path);
}

struct bf_place bf_element(const struct bf_place *list, size_t i)
{
	return (struct bf_place){.up = list, .index = i, .node = list->node->v[i]};
}

static bool is_null(const struct bf_node *node)
{
	return node->type == BF_NODE_SCALAR && bf_scalar_kind(node) == BF_SCALAR_NULL;
}

bool bf_field_get(struct bf_reader *r, const struct bf_place *map, const char *name,
		  struct bf_place *out)
{
	const struct bf_node *node = map->node;

	for (size_t i = 0; i + 1 < node->n; i += 2) {
		if (node->v[i]->type != BF_NODE_SCALAR || strcmp(node->v[i]->text, name))
			continue;
		*out = (struct bf_place){.up = map, .name = name, .node = node->v[i + 1]};
		if (!is_null(out->node))
			return true;
		if (!r->null_is_absent)
			bf_flaw(r, out, "has no value (null): give it one, or leave the field out");
		return false;
	}
	return false;
}

bool bf_field_need(struct bf_reader *r, const struct bf_place *map, const char *name,
		   struct bf_place *out, const char *remedy)
{
	unsigned int before = r->flaws;

	if (bf_field_get(r, map, name, out))
		return true;
	if (r->flaws == before)
		bf_flaw(r, map, "%s is missing: %s", name, remedy);
	return false;
}

/* Edits (insert, delete, replace, swap neighbours) from a to b, without case. */
static unsigned int distance(const char *a, const char *b)
{
	unsigned int rows[3][33];
	size_t n = strlen(a), m = strlen(b);

	if (n > 32 || m > 32)
		return 99;
	for (size_t j = 0; j <= m; j++)
		rows[0][j] = (unsigned int)j;
	for (size_t i = 1; i <= n; i++) {
		unsigned int *row = rows[i % 3], *last = rows[(i + 2) % 3],
			     *before = rows[(i + 1) % 3];

		row[0] = (unsigned int)i;
		for (size_t j = 1; j <= m; j++) {
			char x = a[i - 1] | 32, y = b[j - 1] | 32;
			unsigned int best = last[j - 1] + (x != y);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && x == (b[j - 2] | 32) && (a[i - 2] | 32) == y &&
			    before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[n % 3][m];
}

const char *bf_nearest(const char *text, const char *const *words)
{
	const char *found = NULL;
	unsigned int best = 99;

	for (; *words; words++) {
		unsigned int d = distance(text, *words);

		/* A third of the letters may differ; of a short word one. */
		if (d < best && d <= 1 + strlen(*words) / 4) {
			best = d;
			found = *words;
		}
	}
	return found;
}

static void unknown_field(struct bf_reader *r, const struct bf_place *at,
			  const struct bf_field *fields)
{
	const char *names[65];
	const char *near;
	char known[512] = "";
	size_t n = 0, off = 0;

	for (const struct bf_field *f = fields; f->name && n < 64; f++)
		names[n++] = f->name;
	names[n] = NULL;
	near = bf_nearest(at->name, names);
	if (near) {
		bf_flaw(r, at, "unknown field \"%.64s\": did you mean \"%s\"?", at->name, near);
		return;
	}
	for (const struct bf_field *f = fields; f->name; f++)
		if (!f->refusal)
			put(known, sizeof(known), &off, "%s%s", off ? ", " : "", f->name);
	bf_flaw(r, at, "unknown field \"%.64s\": take it out; fields here are: %s", at->name,
		known);
}

void bf_fields_check(struct bf_reader *r, const struct bf_place *map, const struct bf_field *fields)
{
	const struct bf_node *node = map->node;

	for (size_t i = 0; i + 1 < node->n; i += 2) {
		const struct bf_field *f = fields;
		/* At the key, for that is what is wrong. */
		struct bf_place at = {.up = map, .node = node->v[i]};

		if (at.node->type != BF_NODE_SCALAR)
			continue; /* reported with the doubles */
		at.name = at.node->text;
		while (f->name && strcmp(f->name, at.name))
			f++;
		if (!f->name) {
			if (!strcmp(at.name, "<<"))
				bf_flaw(r, &at, "merge keys are not read: write the fields out");
			else
				unknown_field(r, &at, fields);
		} else if (f->refusal && !(r->null_is_absent && is_null(node->v[i + 1]))) {
			bf_flaw(r, &at, "%s", f->refusal);
		}
	}
}

static const char *type_name(const struct bf_node *node)
{
	switch (node->type) {
	case BF_NODE_MAP:
		return "a mapping";
	case BF_NODE_LIST:
		return "a list";
	case BF_NODE_SCALAR:
		break;
	}
	switch (bf_scalar_kind(node)) {
	case BF_SCALAR_NULL:
		return "nothing (null)";
	case BF_SCALAR_BOOL:
	case BF_SCALAR_WORD:
		return "a boolean";
	case BF_SCALAR_INT:
	case BF_SCALAR_FLOAT:
		return "a number";
	case BF_SCALAR_STRING:
		break;
	}
	return "a string";
}

bool bf_want_map(struct bf_reader *r, const struct bf_place *at)
{
	if (at->node->type == BF_NODE_MAP)
		return true;
	bf_flaw(r, at, "is %s, but has to be a mapping (\"key: value\", or {} for an empty one)",
		type_name(at->node));
	return false;
}

bool bf_want_list(struct bf_reader *r, const struct bf_place *at)
{
	if (at->node->type == BF_NODE_LIST)
		return true;
	bf_flaw(r, at, "is %s, but has to be a list (lines that begin with \"- \", or [...])",
		type_name(at->node));
	return false;
}

const char *bf_want_string(struct bf_reader *r, const struct bf_place *at)
{
	const struct bf_node *node = at->node;

	if (node->type != BF_NODE_SCALAR) {
		bf_flaw(r, at, "is %s, but has to be a string", type_name(node));
		return NULL;
	}
	switch (bf_scalar_kind(node)) {
	case BF_SCALAR_STRING:
		return node->text;
	case BF_SCALAR_NULL:
		bf_flaw(r, at,
			"is nothing (null), but has to be a string: quote it if \"%s\" is meant",
			node->text);
		return NULL;
	case BF_SCALAR_WORD:
	case BF_SCALAR_BOOL:
		bf_flaw(r, at,
			"YAML may take the bare word %.32s for a boolean, here a string is wanted: "
			"quote it, \"%.32s\"",
			node->text, node->text);
		return NULL;
	default:
		bf_flaw(r, at, "is a number, but has to be a string: quote it, \"%.64s\"",
			node->text);
		return NULL;
	}
}

bool bf_want_bool(struct bf_reader *r, const struct bf_place *at, bool *out)
{
	const struct bf_node *node = at->node;

	if (node->type == BF_NODE_SCALAR && bf_scalar_kind(node) == BF_SCALAR_BOOL) {
		*out = (node->text[0] | 32) == 't';
		return true;
	}
	bf_flaw(r, at, "has to be true or false, without quotes");
	return false;
}

bool bf_want_int(struct bf_reader *r, const struct bf_place *at, long *out)
{
	const struct bf_node *node = at->node;
	char *end;

	if (node->type != BF_NODE_SCALAR || bf_scalar_kind(node) != BF_SCALAR_INT) {
		bf_flaw(r, at, "is %s, but has to be a whole number, without quotes",
			type_name(node));
		return false;
	}
	errno = 0;
	*out = strtol(node->text, &end, 10);
	if (errno || *end || node->text[0] == '+' || (node->text[0] == '0' && node->len > 1)) {
		bf_flaw(r, at, "write the number %.32s in plain decimal digits", node->text);
		return false;
	}
	return true;
}

int bf_want_word(struct bf_reader *r, const struct bf_place *at, const char *const *words)
{
	const char *text = bf_want_string(r, at);
	const char *near;
	char all[256] = "";
	size_t off = 0;

	if (!text)
		return -1;
	for (int i = 0; words[i]; i++)
		if (!strcmp(text, words[i]))
			return i;
	near = bf_nearest(text, words);
	if (near) {
		bf_flaw(r, at, "unknown value \"%.64s\": did you mean \"%s\"?", text, near);
		return -1;
	}
	for (int i = 0; words[i]; i++)
		put(all, sizeof(all), &off, "%s%s", i ? ", " : "", words[i]);
	bf_flaw(r, at, "unknown value \"%.64s\": it has to be one of %s", text, all);
	return -1;
}

void *bf_reader_array(struct bf_reader *r, size_t n, size_t size)
{
	void *v;

	if (!n)
		return NULL;
	v = calloc(n, size);
	if (!v)
		r->no_memory = true;
	return v;
}

char *bf_reader_textn(struct bf_reader *r, const char *text, size_t len)
{
	char *copy = strndup(text, len);

	if (!copy)
		r->no_memory = true;
	return copy;
}

char *bf_reader_text(struct bf_reader *r, const char *text)
{
	return bf_reader_textn(r, text, strlen(text));
}
