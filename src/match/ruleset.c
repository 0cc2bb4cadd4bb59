// SPDX-License-Identifier: Apache-2.0
/*
 * HTTP rules to tables. For each field the different patterns of all rules
 * become one automaton; what a state of it accepts is turned from a set of
 * patterns into a set of rules: those with one of the patterns, and those that
 * say nothing about the field. Sets are stored once in the whole ruleset.
 */
#include "match/ruleset.h"

#include <errno.h>
#include <string.h>

#include <bpfast/image.h>

#include "match/array.h"
#include "match/emit.h"
#include "match/tails.h"
#include "match/words.h"

/* More than bf_dfa_build()'s default: the arena's size is the real limit. */
#define RULESET_STATES_MAX 500000

/* Different sets of rules, as they will lie in the image. */
struct set_table {
	uint32_t words; /* of a bitmap */
	struct bf_words rows; /* words of 32 bits: a bitmap, or a list with its length in front */
	uint64_t *bits; /* [words]: a set being made */
};

/* The different patterns of one field, and which rules have which. */
struct field {
	const char *what; /* for messages */
	struct bf_pattern *patterns;
	size_t count, cap;
	uint32_t *table; /* open addressing, pattern + 1 */
	size_t table_size;
	/* Rules of pattern p: a list through links[], from first_link[p]. */
	uint32_t *first_link;
	size_t first_cap;
	struct link *links;
	size_t link_count, links_cap;
	uint32_t *needs; /* [rules]: patterns of the rule, all of which must match */
	uint64_t *always; /* [words]: rules that the field's value does not matter to */
	bool tails; /* of rulesets with many rules */
	bool direct; /* likewise: a set of one rule needs no number, but BPFAST_SET_ONE */
};

struct link {
	uint32_t rule, next;
};

#define NO_LINK UINT32_MAX

struct builder {
	struct bf_blob *blob;
	const struct bf_http_rule *rules;
	size_t n;
	uint64_t *work; /* may be NULL */
	struct set_table sets;
	/* Names at which rules look. They belong to the rules. */
	const char *names[BPFAST_HEADER_SLOTS];
	size_t name_count;
	size_t bad;
	struct bf_error *err;
};

static void set_bit(uint64_t *set, size_t bit)
{
	set[bit / 64] |= (uint64_t)1 << (bit % 64);
}

/*
 * The number of the set t->bits. `direct`: who reads it can do with the rule itself where
 * there is but one.
 */
static int intern_set(struct set_table *t, bool direct, uint32_t *id)
{
	union {
		uint16_t rule[2 * (BPFAST_SET_FEW_MAX / 2 + 2)]; /* behind their number */
		uint32_t word[BPFAST_SET_FEW_MAX / 2 + 2];
	} list;
	uint32_t count = 0;
	int ret;

	for (uint32_t w = 0; w < t->words && count <= BPFAST_SET_FEW_MAX; w++)
		count += (uint32_t)__builtin_popcountll(t->bits[w]);
	if (t->words == 1 || count > BPFAST_SET_FEW_MAX) {
		ret = bf_words_intern(&t->rows, (const uint32_t *)t->bits, t->words * 2, id);
		return ret < 0 ? ret : 0;
	}
	memset(&list, 0xff, sizeof(list));
	list.rule[0] = 0;
	for (uint32_t w = 0; w < t->words; w++) {
		for (uint64_t bits = t->bits[w]; bits; bits &= bits - 1)
			list.rule[++list.rule[0]] =
				(uint16_t)(w * 64 + (uint32_t)__builtin_ctzll(bits));
	}
	if (direct && count == 1) {
		*id = BPFAST_SET_ONE | list.rule[1];
		return 0;
	}
	/* Of an odd number of words, which no bitmap has. */
	ret = bf_words_intern(&t->rows, list.word, (count / 2 + 1) | 1, id);
	return ret < 0 ? ret : 0;
}

static int field_init(struct field *f, const struct builder *b, const char *what)
{
	memset(f, 0, sizeof(*f));
	f->what = what;
	f->needs = calloc(b->n, sizeof(*f->needs));
	f->always = calloc(b->sets.words, sizeof(*f->always));
	if (!f->needs || !f->always)
		return -ENOMEM;
	for (size_t r = 0; r < b->n; r++)
		set_bit(f->always, r);
	return 0;
}

static void field_free(struct field *f)
{
	free(f->patterns);
	free(f->table);
	free(f->first_link);
	free(f->links);
	free(f->needs);
	free(f->always);
	memset(f, 0, sizeof(*f));
}

static uint64_t hash_text(const char *text, size_t len)
{
	uint64_t h = len;

	for (size_t i = 0; i < len; i++)
		h = bf_mix(h ^ (uint8_t)text[i]);
	return h;
}

static int grow_field(struct field *f)
{
	size_t size = f->table_size ? f->table_size * 2 : 64;
	uint32_t *table = calloc(size, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t p = 0; p < f->count; p++) {
		size_t i = hash_text(f->patterns[p].text, f->patterns[p].len) & (size - 1);

		while (table[i])
			i = (i + 1) & (size - 1);
		table[i] = (uint32_t)p + 1;
	}
	free(f->table);
	f->table = table;
	f->table_size = size;
	return 0;
}

/* The pattern's number in the field, found or made. */
static int field_pattern(struct field *f, const char *text, unsigned int flags, uint32_t *id)
{
	struct bf_pattern pattern = {.text = text, .len = strlen(text), .flags = flags};
	size_t i;

	if ((f->count + 1) * 2 > f->table_size && grow_field(f))
		return -ENOMEM;
	for (i = hash_text(text, pattern.len) & (f->table_size - 1); f->table[i];
	     i = (i + 1) & (f->table_size - 1)) {
		*id = f->table[i] - 1;
		if (f->patterns[*id].len == pattern.len && f->patterns[*id].flags == flags &&
		    !memcmp(f->patterns[*id].text, text, pattern.len))
			return 0;
	}
	if (bf_array_grow(&f->patterns, &f->cap, f->count + 1, sizeof(pattern)) ||
	    bf_array_grow(&f->first_link, &f->first_cap, f->count + 1, sizeof(*f->first_link)))
		return -ENOMEM;
	f->patterns[f->count] = pattern;
	f->first_link[f->count] = NO_LINK;
	*id = (uint32_t)f->count++;
	f->table[i] = *id + 1;
	return 0;
}

/* The field of this rule must match this pattern, too. */
static int field_add(struct field *f, size_t rule, const char *text, unsigned int flags)
{
	uint32_t p;
	int ret;

	f->always[rule / 64] &= ~((uint64_t)1 << (rule % 64));
	ret = field_pattern(f, text, flags, &p);
	if (!ret)
		ret = bf_array_grow(&f->links, &f->links_cap, f->link_count + 1, sizeof(*f->links));
	if (ret)
		return ret;
	f->links[f->link_count] = (struct link){(uint32_t)rule, f->first_link[p]};
	f->first_link[p] = (uint32_t)f->link_count++;
	f->needs[rule]++;
	return 0;
}

/* Counts pattern p as matched, in `left`: the patterns that a rule still needs. */
static void count_down(const struct field *f, size_t p, uint32_t *left, uint64_t *rules)
{
	for (uint32_t l = f->first_link[p]; l != NO_LINK; l = f->links[l].next) {
		if (!--left[f->links[l].rule])
			set_bit(rules, f->links[l].rule);
	}
}

static void count_up(const struct field *f, size_t p, uint32_t *left)
{
	for (uint32_t l = f->first_link[p]; l != NO_LINK; l = f->links[l].next)
		left[f->links[l].rule]++;
}

/* The set of rules that these patterns leave possible: its number. */
static int rules_of(struct builder *b, struct field *f, const uint32_t *patterns, size_t n,
		    uint32_t *id)
{
	memcpy(b->sets.bits, f->always, b->sets.words * sizeof(*f->always));
	for (size_t i = 0; i < n; i++)
		count_down(f, patterns[i], f->needs, b->sets.bits);
	for (size_t i = 0; i < n; i++)
		count_up(f, patterns[i], f->needs);
	return intern_set(&b->sets, f->direct, id);
}

struct values {
	uint32_t *set, *first, *value;
	/* Sets of slots, by number: those up to slot k are the first upto[k]. */
	const uint32_t **slots;
	uint32_t *slot_count;
	uint32_t upto[BF_TUPLE_MAX];
	size_t count;
};

static void values_free(struct values *v)
{
	free(v->set);
	free(v->first);
	free(v->value);
	free(v->slots);
	free(v->slot_count);
}

/* Numbers the sets of slots, those with the lowest last slot first: a short tuple needs no more. */
static void number_slots(const struct field *f, const struct bf_dfa *dfa, struct values *v)
{
	uint32_t n = 0;

	for (uint32_t slot = 0; slot < BF_TUPLE_MAX; slot++) {
		for (uint32_t s = 0; s < dfa->sets; s++) {
			uint32_t first = dfa->list_first[s], end = dfa->list_first[s + 1];

			if (first == end || dfa->list[end - 1] != f->count + slot)
				continue;
			v->slots[n] = dfa->list + first;
			v->slot_count[n] = end - first;
			v->set[s] = BPFAST_DFA_TAIL | n++;
		}
		v->upto[slot] = n;
	}
}

/* What a tuple's slots make of each set of them. */
static int make_tuple(struct builder *b, struct field *f, const struct bf_dfa *dfa, uint32_t tuple,
		      struct values *v)
{
	const uint32_t *in = dfa->tuple + dfa->tuple_first[tuple];
	uint32_t slots = dfa->tuple_first[tuple + 1] - dfa->tuple_first[tuple];
	uint32_t patterns[BF_TUPLE_MAX];
	int ret = 0;

	v->first[tuple] = (uint32_t)v->count;
	for (uint32_t n = 0; !ret && n < v->upto[slots - 1]; n++) {
		for (uint32_t i = 0; i < v->slot_count[n]; i++)
			patterns[i] = in[v->slots[n][i] - f->count];
		ret = rules_of(b, f, patterns, v->slot_count[n], &v->value[v->count++]);
	}
	return ret;
}

/* Accept sets of patterns to sets of rules. */
static int make_values(struct builder *b, struct field *f, const struct bf_dfa *dfa,
		       struct values *v)
{
	size_t most = 0;
	int ret = 0;

	v->set = calloc(dfa->sets, sizeof(*v->set));
	v->first = calloc((size_t)dfa->tuples + 1, sizeof(*v->first));
	v->slots = calloc(dfa->sets, sizeof(*v->slots));
	v->slot_count = calloc(dfa->sets, sizeof(*v->slot_count));
	if (!v->set || !v->first || !v->slots || !v->slot_count)
		return -ENOMEM;
	number_slots(f, dfa, v);
	for (uint32_t t = 0; t < dfa->tuples; t++)
		most += v->upto[dfa->tuple_first[t + 1] - dfa->tuple_first[t] - 1];
	/* Whatever tuple a damaged table might lead into a tail with, the value is there. */
	most += v->upto[BF_TUPLE_MAX - 1];
	if (most > UINT32_MAX / sizeof(*v->value))
		return -EOVERFLOW;
	v->value = calloc(most + 1, sizeof(*v->value));
	if (!v->value)
		return -ENOMEM;
	for (uint32_t s = 0; !ret && s < dfa->sets; s++) {
		if (!(v->set[s] & BPFAST_DFA_TAIL))
			ret = rules_of(b, f, dfa->list + dfa->list_first[s],
				       dfa->list_first[s + 1] - dfa->list_first[s], &v->set[s]);
	}
	for (uint32_t t = 0; !ret && t < dfa->tuples; t++)
		ret = make_tuple(b, f, dfa, t, v);
	while (!ret && v->count < most)
		v->value[v->count++] = v->set[0];
	return ret;
}

static int field_automaton(struct builder *b, struct field *f, bool tails, struct bf_dfa **dfa)
{
	struct bf_dfa_limits limits = {
		.max_states = RULESET_STATES_MAX,
		.tails = tails,
		.work = b->work,
	};
	struct bf_error inner = {{0}};
	size_t bad = 0;
	int ret = bf_dfa_build(f->patterns, f->count, &limits, dfa, &bad, &inner);

	if (!ret)
		return 0;
	if (f->count)
		b->bad = f->links[f->first_link[bad]].rule;
	return bf_err(b->err, ret, "%s \"%.100s\": %.350s", f->what,
		      f->count ? f->patterns[bad].text : "", inner.msg);
}

static int emit_automaton(struct builder *b, struct field *f, bool tails, uint32_t *off)
{
	struct values v = {0};
	struct bf_dfa *dfa = NULL;
	int ret = field_automaton(b, f, tails, &dfa);

	if (!ret)
		ret = make_values(b, f, dfa, &v);
	if (!ret)
		ret = bf_dfa_emit(
			b->blob, dfa,
			&(struct bf_dfa_values){v.set, v.first, v.value, (uint32_t)v.count}, off);
	values_free(&v);
	bf_dfa_free(dfa);
	return ret;
}

static int field_emit(struct builder *b, struct field *f, uint32_t *off)
{
	/* Tails that do not fit are written out. */
	int ret = f->tails && f->count > 1 ? emit_automaton(b, f, true, off) : -EOVERFLOW;

	return ret == -EOVERFLOW ? emit_automaton(b, f, false, off) : ret;
}

static bool same_name(const char *a, const char *b)
{
	for (; *a && *b; a++, b++) {
		char x = *a >= 'A' && *a <= 'Z' ? (char)(*a | 0x20) : *a;
		char y = *b >= 'A' && *b <= 'Z' ? (char)(*b | 0x20) : *b;

		if (x != y)
			return false;
	}
	return *a == *b;
}

enum which { METHOD, PATH, TARGET, HOST };

static const char *rule_text(const struct bf_http_rule *rule, enum which which)
{
	switch (which) {
	case METHOD:
		return rule->method;
	case PATH:
		return rule->path_has_query ? NULL : rule->path;
	case TARGET:
		return rule->path_has_query ? rule->path : NULL;
	default:
		return rule->host;
	}
}

/* A rule that asks for a header: its value is this, or any. */
static int add_header(struct field *f, size_t rule, const struct bf_http_header *header)
{
	if (header->op == BF_HEADER_PRESENT)
		return field_add(f, rule, "\\C*", 0);
	return field_add(f, rule, header->value, BF_PATTERN_LITERAL);
}

static int emit_field(struct builder *b, enum which which, const char *what, unsigned int flags,
		      uint32_t *off)
{
	struct field f;
	int ret = field_init(&f, b, what);

	f.tails = b->sets.words > 1 && which != METHOD; /* see dfa_step_plain() */
	f.direct = b->sets.words > 1;
	/* Backwards, so that the first rule with a pattern heads its list and is the one to blame. */
	for (size_t r = b->n; !ret && r--;) {
		const char *text = rule_text(&b->rules[r], which);

		if (text)
			ret = field_add(&f, r, text, flags);
		/* The parser reads Host once, for its own ends: what rules want of it as a
		 * header is asked here. */
		for (size_t h = 0; which == HOST && !ret && h < b->rules[r].header_count; h++) {
			if (same_name(b->rules[r].headers[h].name, "host"))
				ret = add_header(&f, r, &b->rules[r].headers[h]);
		}
	}
	if (!ret && f.count)
		ret = field_emit(b, &f, off);
	field_free(&f);
	return ret;
}

/*
 * Which rules let a request become a tunnel, by what it asks for. A rule that says nothing
 * lets none: the other way round from all other fields.
 */
static int emit_upgrade(struct builder *b, uint32_t *off)
{
	struct field f;
	int ret = field_init(&f, b, "upgrade");

	if (!ret)
		memset(f.always, 0, b->sets.words * sizeof(*f.always));
	for (size_t r = b->n; !ret && r--;) {
		if (b->rules[r].upgrade)
			ret = field_add(&f, r, b->rules[r].upgrade,
					BF_PATTERN_ASCII | BF_PATTERN_FOLD);
	}
	if (!ret && f.count)
		ret = field_emit(b, &f, off);
	field_free(&f);
	return ret;
}

static int collect_names(struct builder *b)
{
	for (size_t r = 0; r < b->n; r++) {
		const struct bf_http_rule *rule = &b->rules[r];

		b->bad = r;
		for (size_t h = 0; h < rule->header_count; h++) {
			const char *name = rule->headers[h].name;
			size_t i = 0;

			if (!bf_is_token(name))
				return bf_err(b->err, -EINVAL,
					      "header name \"%.100s\" is not a token of RFC 9110: "
					      "use letters, digits and -",
					      name);
			if (same_name(name, "content-length") ||
			    same_name(name, "transfer-encoding"))
				return bf_err(
					b->err, -EINVAL,
					"header \"%s\": rules cannot look at it, it says where "
					"a message ends",
					name);
			if (rule->headers[h].op == BF_HEADER_EQUALS && !rule->headers[h].value)
				return bf_err(b->err, -EINVAL,
					      "header \"%.100s\" is to equal a value, but has none",
					      name);
			if (same_name(name, "host"))
				continue; /* judged with the field host */
			while (i < b->name_count && !same_name(b->names[i], name))
				i++;
			if (i < b->name_count)
				continue;
			if (i == BPFAST_HEADER_SLOTS)
				return bf_err(
					b->err, -E2BIG,
					"header \"%.100s\": the rules that meet on one peer and "
					"port look at more than %d different headers; use fewer",
					name, BPFAST_HEADER_SLOTS);
			b->names[b->name_count++] = name;
		}
	}
	return 0;
}

static int emit_header(struct builder *b, const char *name, struct bpfast_image_header *out)
{
	struct field f;
	int ret = field_init(&f, b, name);

	f.tails = b->sets.words > 1;
	for (size_t r = b->n; !ret && r--;) {
		for (size_t h = 0; !ret && h < b->rules[r].header_count; h++) {
			if (same_name(b->rules[r].headers[h].name, name))
				ret = add_header(&f, r, &b->rules[r].headers[h]);
		}
	}
	if (!ret)
		ret = rules_of(b, &f, NULL, 0, &out->absent_set);
	if (!ret)
		ret = field_emit(b, &f, &out->dfa_off);
	field_free(&f);
	return ret;
}

static int emit_headers(struct builder *b, struct bpfast_image_ruleset *out)
{
	int ret = collect_names(b);

	if (!ret)
		ret = bf_names_emit(b->blob, b->names, b->name_count, &out->name_dfa_off, b->err);
	for (size_t i = 0; !ret && i < b->name_count; i++)
		ret = emit_header(b, b->names[i], &out->header[i]);
	out->header_count = (uint32_t)b->name_count;
	for (size_t i = 0; !ret && out->upgrade_dfa_off && i < b->name_count; i++) {
		if (same_name(b->names[i], "upgrade"))
			return bf_err(
				b->err, -EINVAL,
				"of the rules that meet on one peer and port some look at the "
				"header Upgrade and some have the field upgrade: use only one of "
				"the two");
	}
	if (!ret && b->sets.rows.count > BPFAST_HEADER_SETS_MAX)
		return bf_err(b->err, -E2BIG,
			      "the rules that meet on one peer and port ask for too many different "
			      "header values: they make %u sets of rules, the limit is %d",
			      b->sets.rows.count, BPFAST_HEADER_SETS_MAX);
	return ret;
}

static int emit_fields(struct builder *b, struct bpfast_image_ruleset *out)
{
	/* First, so that the sets of headers and upgrades have small numbers: the kernel keeps 16 bits. */
	int ret = emit_upgrade(b, &out->upgrade_dfa_off);

	if (!ret)
		ret = emit_headers(b, out);
	if (!ret)
		ret = emit_field(b, METHOD, "method", BF_PATTERN_ASCII, &out->method_dfa_off);
	if (!ret)
		ret = emit_field(b, PATH, "path", BF_PATTERN_ASCII, &out->path_dfa_off);
	if (!ret)
		ret = emit_field(b, TARGET, "path", BF_PATTERN_ASCII, &out->target_dfa_off);
	if (!ret)
		ret = emit_field(b, HOST, "host", BF_PATTERN_ASCII | BF_PATTERN_FOLD,
				 &out->host_dfa_off);
	return ret;
}

/* Ones' complement sum of the 16-bit words as the CPU reads them. Fits RFC 1071: the
 * order of bytes does not matter as long as it is the same everywhere. */
static uint16_t sum_words(const uint8_t *bytes, size_t len)
{
	uint32_t sum = 0;
	uint16_t word;

	for (size_t i = 0; i + 1 < len; i += 2) {
		memcpy(&word, bytes + i, 2);
		sum += word;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static int emit_reply(struct builder *b, const char *reply, size_t len,
		      struct bpfast_image_ruleset *out)
{
	uint8_t even[BPFAST_REPLY_MAX + 1];
	size_t padded = len + (len & 1);
	int ret;

	if (padded > BPFAST_REPLY_MAX)
		return bf_err(b->err, -E2BIG, "the denial reply has %zu bytes, more than %d", len,
			      BPFAST_REPLY_MAX);
	if (!len)
		return 0;
	memcpy(even, reply, len);
	even[len] = ' ';
	ret = bf_blob_append(b->blob, even, padded, &out->reply_off);
	out->reply_len = (uint16_t)padded;
	out->reply_sum = sum_words(even, padded);
	return ret;
}

static int emit_refs(struct builder *b, struct bpfast_image_ruleset *out)
{
	uint32_t *ref;
	int ret;

	ret = bf_blob_append(b->blob, NULL, b->n * sizeof(*ref), &out->rule_ref_off);
	if (ret)
		return ret;
	ref = (uint32_t *)(b->blob->data + out->rule_ref_off);
	for (size_t r = 0; r < b->n; r++)
		ref[r] = b->rules[r].ref;
	return 0;
}

/* Sets as bitmaps of one word, one after the other. */
static int emit_words(struct builder *b, struct bpfast_image_ruleset *out)
{
	const struct bf_words *rows = &b->sets.rows;

	out->set_size = (uint32_t)(rows->len * sizeof(*rows->v));
	return bf_blob_append(b->blob, rows->v, out->set_size, &out->set_off);
}

/* The only rule of a row, or -1. */
static long only_rule(const uint32_t *row, uint32_t n)
{
	uint16_t list[2];

	memcpy(list, row, sizeof(list));
	return n % 2 && list[0] == 1 ? list[1] : -1;
}

/* Their descriptions, then lists and bitmaps. */
static int emit_sets(struct builder *b, struct bpfast_image_ruleset *out)
{
	const struct bf_words *rows = &b->sets.rows;
	uint32_t at = (rows->count + 1) / 2, n; /* words of 64 bits */
	uint8_t *to;
	int ret;

	for (uint32_t s = 0; s < rows->count; s++) {
		const uint32_t *row = bf_words_row(rows, s, &n);

		at += only_rule(row, n) < 0 ? (n + 1) / 2 : 0;
	}
	out->set_size = at * 8;
	ret = bf_blob_append(b->blob, NULL, out->set_size, &out->set_off);
	if (ret)
		return ret;
	to = b->blob->data + out->set_off;
	at = (rows->count + 1) / 2;
	for (uint32_t s = 0; s < rows->count; s++) {
		const uint32_t *row = bf_words_row(rows, s, &n);
		uint32_t description = at;
		long rule = only_rule(row, n);

		if (rule >= 0) {
			description = BPFAST_SET_ONE | (uint32_t)rule;
		} else {
			memset(to + at * 8ul, 0xff, (n + 1) / 2 * 8ul);
			memcpy(to + at * 8ul, row, n * sizeof(*row));
			description |= n % 2 ? BPFAST_SET_FEW : 0;
			at += (n + 1) / 2;
		}
		memcpy(to + s * 4ul, &description, sizeof(description));
	}
	return 0;
}

static int emit_all(struct builder *b, const char *reply, size_t reply_len,
		    struct bpfast_image_ruleset *out)
{
	int ret;

	out->rule_count = (uint32_t)b->n;
	out->words = b->sets.words;
	ret = b->n ? emit_fields(b, out) : emit_headers(b, out);
	if (ret)
		return ret;
	out->set_count = b->sets.rows.count;
	if (out->set_count)
		ret = out->words == 1 ? emit_words(b, out) : emit_sets(b, out);
	if (!ret && b->n)
		ret = emit_refs(b, out);
	return ret ? ret : emit_reply(b, reply, reply_len, out);
}

int bf_ruleset_emit(struct bf_blob *blob, const struct bf_http_rule *rules, size_t n,
		    const char *reply, size_t reply_len, uint64_t *work,
		    struct bpfast_image_ruleset *out, size_t *bad, struct bf_error *err)
{
	struct builder b = {.blob = blob, .rules = rules, .n = n, .work = work, .err = err};
	struct bf_error unsaid = {{0}};
	int ret;

	memset(out, 0, sizeof(*out));
	if (bad)
		*bad = 0;
	if (n > BPFAST_RULES_MAX)
		return bf_err(err, -E2BIG,
			      "%zu HTTP rules meet on one peer and port; the limit is %d", n,
			      BPFAST_RULES_MAX);
	if (!blob->len)
		return bf_err(err, -EINVAL,
			      "a ruleset cannot begin an image: offset 0 stands for none");
	b.sets.words = (uint32_t)((n + 63) / 64);
	b.sets.bits = calloc((size_t)b.sets.words + 1, sizeof(*b.sets.bits));
	if (!err)
		b.err = &unsaid;
	b.err->msg[0] = '\0';
	ret = b.sets.bits ? emit_all(&b, reply, reply_len, out) : -ENOMEM;
	if (ret && bad)
		*bad = b.bad;
	if (ret && !b.err->msg[0])
		bf_err(b.err, ret, "%s while compiling %zu HTTP rules",
		       ret == -ENOMEM ? "out of memory" : "the image grew past its limit of 2 GiB",
		       n);
	free(b.sets.bits);
	bf_words_free(&b.sets.rows);
	return ret;
}
