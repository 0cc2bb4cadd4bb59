// SPDX-License-Identifier: Apache-2.0
/*
 * Reads an image as somebody who trusts nothing in it. What passes here can be
 * walked without leaving the image, and every search in it finds something.
 */
#include "bpfast/image.h"
#include "policy/compile.h"

#include <errno.h>
#include <string.h>

struct check {
	const uint8_t *data;
	struct bpfast_image head;
	struct bf_error *err;
};

/* Checks that `count` elements of `size` bytes lie at off, aligned, behind the head; none may
 * lie anywhere. */
static int block_at(const struct check *k, const char *what, uint32_t off, uint64_t count,
		    size_t size)
{
	if (!count)
		return 0;
	if (off % 8)
		return bf_err(k->err, -EINVAL, "image: offset %u of %s is no multiple of 8", off,
			      what);
	if (off < sizeof(k->head) || off > k->head.size || count * size > k->head.size - off)
		return bf_err(k->err, -EINVAL, "image: %s (%llu of %zu bytes at %u) leaves it",
			      what, (unsigned long long)count, size, off);
	return 0;
}

static int index_in(const struct check *k, const char *what, uint32_t index, uint32_t count)
{
	if (index < count)
		return 0;
	return bf_err(k->err, -EINVAL, "image: %s %u of %u", what, index, count);
}

static int ref_in(const struct check *k, uint32_t ref)
{
	return index_in(k, "attribution at", ref, k->head.string_size);
}

static int check_head(const struct check *k, size_t len)
{
	const struct bpfast_image *h = &k->head;
	int ret;

	if (h->magic != BPFAST_IMAGE_MAGIC)
		return bf_err(k->err, -EINVAL, "image: no policy image (magic %#x)", h->magic);
	if (h->version != BPFAST_IMAGE_VERSION)
		return bf_err(k->err, -EINVAL, "image: version %u, this is for version %u",
			      h->version, BPFAST_IMAGE_VERSION);
	if (h->size != len || h->size % 8)
		return bf_err(k->err, -EINVAL, "image: size %u of %zu bytes", h->size, len);
	if (h->endpoint_count > BPFAST_ENDPOINTS_MAX)
		return bf_err(k->err, -EINVAL, "image: %u endpoints, more than %d",
			      h->endpoint_count, BPFAST_ENDPOINTS_MAX);
	if (h->ip4_count > BPFAST_TABLE_MAX || h->ip6_count > BPFAST_TABLE_MAX)
		return bf_err(k->err, -EINVAL,
			      "image: address tables of %u and %u entries, more "
			      "than %d",
			      h->ip4_count, h->ip6_count, BPFAST_TABLE_MAX);
	ret = block_at(k, "endpoints", h->endpoint_off, h->endpoint_count,
		       sizeof(struct bpfast_image_endpoint));
	ret = ret
		      ?: block_at(k, "IPv4 table", h->ip4_off, h->ip4_count,
				  sizeof(struct bpfast_image_ip4));
	ret = ret
		      ?: block_at(k, "IPv6 table", h->ip6_off, h->ip6_count,
				  sizeof(struct bpfast_image_ip6));
	ret = ret ?: block_at(k, "sets", h->set_off, h->set_count, sizeof(struct bpfast_image_set));
	ret = ret
		      ?: block_at(k, "classes", h->class_off, h->class_count,
				  sizeof(struct bpfast_image_class));
	ret = ret
		      ?: block_at(k, "decisions", h->decision_off, h->decision_count,
				  sizeof(struct bpfast_image_decision));
	ret = ret
		      ?: block_at(k, "rulesets", h->ruleset_off, h->ruleset_count,
				  sizeof(struct bpfast_image_ruleset));
	ret = ret ?: block_at(k, "texts", h->string_off, h->string_size, 1);
	if (!ret && (!h->string_size || k->data[h->string_off] ||
		     k->data[h->string_off + h->string_size - 1]))
		ret = bf_err(k->err, -EINVAL, "image: texts do not begin and end with NUL");
	return ret;
}

static int check_addresses(const struct check *k)
{
	const struct bpfast_image_ip4 *four = (const void *)(k->data + k->head.ip4_off);
	const struct bpfast_image_ip6 *six = (const void *)(k->data + k->head.ip6_off);

	if (k->head.ip4_count && four[0].first)
		return bf_err(k->err, -EINVAL, "image: the IPv4 table does not begin at 0");
	for (uint32_t i = 1; i < k->head.ip4_count; i++)
		if (four[i].first <= four[i - 1].first)
			return bf_err(k->err, -EINVAL, "image: IPv4 table out of order at %u", i);
	if (k->head.ip6_count && (six[0].hi || six[0].lo))
		return bf_err(k->err, -EINVAL, "image: the IPv6 table does not begin at 0");
	for (uint32_t i = 1; i < k->head.ip6_count; i++)
		if (six[i].hi < six[i - 1].hi ||
		    (six[i].hi == six[i - 1].hi && six[i].lo <= six[i - 1].lo))
			return bf_err(k->err, -EINVAL, "image: IPv6 table out of order at %u", i);
	return 0;
}

static int check_endpoints(const struct check *k)
{
	const struct bpfast_image_endpoint *v = (const void *)(k->data + k->head.endpoint_off);
	int ret = 0;

	for (uint32_t i = 0; !ret && i < k->head.endpoint_count; i++) {
		if (v[i].ingress_set != BPFAST_SET_NONE)
			ret = index_in(k, "ingress set", v[i].ingress_set, k->head.set_count);
		if (!ret && v[i].egress_set != BPFAST_SET_NONE)
			ret = index_in(k, "egress set", v[i].egress_set, k->head.set_count);
	}
	return ret;
}

static int check_set(const struct check *k, const struct bpfast_image_set *set)
{
	const struct bpfast_image_peer *v = (const void *)(k->data + set->peer_off);
	int ret = block_at(k, "peers", set->peer_off, set->peer_count, sizeof(*v));

	if (set->peer_count > BPFAST_TABLE_MAX)
		return bf_err(k->err, -EINVAL, "image: a set of %u peers, more than %d",
			      set->peer_count, BPFAST_TABLE_MAX);
	ret = ret ?: index_in(k, "default class", set->default_class, k->head.class_count);
	for (uint32_t i = 0; !ret && i < set->peer_count; i++) {
		ret = index_in(k, "class", v[i].class, k->head.class_count);
		if (!ret && i && v[i].identity <= v[i - 1].identity)
			ret = bf_err(k->err, -EINVAL, "image: peers out of order at %u", i);
	}
	return ret;
}

static int check_class(const struct check *k, const struct bpfast_image_class *class)
{
	const struct bpfast_image_range *v = (const void *)(k->data + class->range_off);
	int ret = block_at(k, "ranges", class->range_off, class->range_count, sizeof(*v));

	if (class->range_count > BPFAST_TABLE_MAX)
		return bf_err(k->err, -EINVAL, "image: a class of %u ranges, more than %d",
			      class->range_count, BPFAST_TABLE_MAX);
	if (!ret && (!class->range_count || v[0].first))
		ret = bf_err(k->err, -EINVAL, "image: a class's ranges do not begin at 0");
	for (uint32_t i = 0; !ret && i < class->range_count; i++) {
		ret = index_in(k, "decision", v[i].decision, k->head.decision_count);
		if (!ret && i && v[i].first <= v[i - 1].first)
			ret = bf_err(k->err, -EINVAL, "image: ranges out of order at %u", i);
	}
	return ret;
}

static int check_decision(const struct check *k, const struct bpfast_image_decision *d)
{
	if (d->verdict > BPFAST_D_HTTP || d->on_deny > BPFAST_ON_DENY_DROP ||
	    d->flags & ~BPFAST_DF_AUDIT)
		return bf_err(k->err, -EINVAL, "image: decision %u with flags %#x, on_deny %u",
			      d->verdict, d->flags, d->on_deny);
	if (d->verdict == BPFAST_D_HTTP && d->ruleset >= k->head.ruleset_count)
		return index_in(k, "ruleset", d->ruleset, k->head.ruleset_count);
	return ref_in(k, d->ref);
}

/* What an entry takes along. Less than 2^31, and so is what is added to it. */
static uint32_t number_of(const struct bpfast_image_dfa *dfa, uint32_t entry)
{
	return (entry & ~BPFAST_DFA_TOOK) >> dfa->bits;
}

/* Does an entry of a row lead somewhere? Only into a tail it may take a number along. */
static bool entry_is_sound(const struct bpfast_image_dfa *dfa, uint32_t units, uint32_t rows,
			   uint32_t row, uint32_t entry)
{
	uint32_t to = entry & dfa->mask, taken = entry & ~dfa->mask;

	if (to % units || to >= rows)
		return false;
	if (!row)
		return !entry;
	if (row < dfa->first_tail && to >= dfa->first_tail)
		return taken & BPFAST_DFA_TOOK;
	return !taken && (!to || (row >= dfa->first_tail) == (to >= dfa->first_tail));
}

/* What every row in the tails adds to a number at most, + 1. */
static uint32_t tail_values(const struct bpfast_image_dfa *dfa, uint32_t units, uint32_t rows)
{
	uint32_t most = 0;

	for (uint32_t row = dfa->first_tail; row < rows; row += units) {
		uint32_t value = dfa->table[(size_t)row * BPFAST_DFA_UNIT];

		if (value & BPFAST_DFA_TAIL && (value & ~BPFAST_DFA_TAIL) >= most)
			most = (value & ~BPFAST_DFA_TAIL) + 1;
	}
	return most;
}

static int check_rows(const struct check *k, const char *what, const struct bpfast_image_dfa *dfa,
		      bool (*accepts)(const void *arg, uint32_t value), const void *arg)
{
	uint32_t units = (dfa->classes + BPFAST_DFA_UNIT) / BPFAST_DFA_UNIT;
	uint32_t rows = dfa->entries / BPFAST_DFA_UNIT, adds = tail_values(dfa, units, rows);

	for (uint32_t row = 0; row < rows; row += units) {
		const uint32_t *v = dfa->table + (size_t)row * BPFAST_DFA_UNIT;

		if (!(row >= dfa->first_tail && v[0] & BPFAST_DFA_TAIL) && !accepts(arg, v[0]))
			return bf_err(k->err, -EINVAL, "image: %s: state %u accepts with %u", what,
				      row, v[0]);
		for (uint32_t c = 1; c <= dfa->classes; c++) {
			if (!entry_is_sound(dfa, units, rows, row, v[c]))
				return bf_err(k->err, -EINVAL, "image: %s: state %u leads to %u",
					      what, row, v[c]);
			if (row < dfa->first_tail && (v[c] & dfa->mask) >= dfa->first_tail &&
			    number_of(dfa, v[c]) + adds > dfa->value_count)
				return bf_err(k->err, -EINVAL,
					      "image: %s: state %u takes %u of %u along", what, row,
					      number_of(dfa, v[c]), dfa->value_count);
		}
	}
	for (uint32_t i = 0; i < dfa->value_count; i++)
		if (!accepts(arg, dfa->table[dfa->entries + i]))
			return bf_err(k->err, -EINVAL, "image: %s: value %u is %u", what, i,
				      dfa->table[dfa->entries + i]);
	return 0;
}

/* A row is its accepting value and one next state for each class. */
static int check_dfa(const struct check *k, const char *what, uint32_t off,
		     bool (*accepts)(const void *arg, uint32_t value), const void *arg)
{
	const struct bpfast_image_dfa *dfa = (const void *)(k->data + off);
	uint32_t units, rows;
	int ret = block_at(k, what, off, 1, sizeof(*dfa));

	if (ret)
		return ret;
	if (!dfa->classes || dfa->classes > 256)
		return bf_err(k->err, -EINVAL, "image: %s has %u byte classes", what, dfa->classes);
	ret = block_at(
		k, what, off,
		sizeof(*dfa) + ((uint64_t)dfa->entries + dfa->value_count) * sizeof(uint32_t), 1);
	if (ret)
		return ret;
	for (int b = 0; b < 256; b++)
		if (dfa->class_of[b] >= dfa->classes)
			return bf_err(k->err, -EINVAL, "image: %s: byte %d has class %u of %u",
				      what, b, dfa->class_of[b], dfa->classes);
	units = (dfa->classes + BPFAST_DFA_UNIT) / BPFAST_DFA_UNIT;
	rows = dfa->entries / BPFAST_DFA_UNIT;
	if (!rows || dfa->entries % (units * BPFAST_DFA_UNIT) || dfa->start % units ||
	    dfa->start >= rows || dfa->start >= dfa->first_tail)
		return bf_err(k->err, -EINVAL, "image: %s: start %u, %u entries in rows of %u",
			      what, dfa->start, dfa->entries, units * BPFAST_DFA_UNIT);
	if (!dfa->bits || dfa->bits > 30 || dfa->mask != (1u << dfa->bits) - 1 ||
	    rows - 1 > dfa->mask || dfa->first_tail > rows || dfa->first_tail % units ||
	    (dfa->first_tail < rows && !dfa->value_count))
		return bf_err(k->err, -EINVAL,
			      "image: %s: states of %u bits, tails from %u of %u, %u values", what,
			      dfa->bits, dfa->first_tail, rows, dfa->value_count);
	return check_rows(k, what, dfa, accepts, arg);
}

/* The same over methods and names, where the kernel does not look for tails. */
static int check_plain_dfa(const struct check *k, const char *what, uint32_t off,
			   bool (*accepts)(const void *arg, uint32_t value), const void *arg)
{
	const struct bpfast_image_dfa *dfa = (const void *)(k->data + off);
	int ret = check_dfa(k, what, off, accepts, arg);

	if (!ret && dfa->value_count)
		ret = bf_err(k->err, -EINVAL, "image: %s has tails", what);
	return ret;
}

/* The number of a set. */
static bool accepts_number(const struct bpfast_image_ruleset *rs, uint32_t value)
{
	return value < rs->set_count && !(value & (BPFAST_DFA_TAIL | BPFAST_SET_ONE));
}

static bool accepts_set(const void *ruleset, uint32_t value)
{
	const struct bpfast_image_ruleset *rs = ruleset;

	if (rs->words > 1 && value & BPFAST_SET_ONE)
		return (value & ~BPFAST_SET_ONE) < rs->rule_count;
	return accepts_number(rs, value);
}

static bool accepts_header_set(const void *ruleset, uint32_t value)
{
	return accepts_number(ruleset, value) && value < BPFAST_HEADER_SETS_MAX;
}

/* ruleset NULL: the names of responses, at none of which rules look. */
static bool accepts_name(const void *ruleset, uint32_t value)
{
	const struct bpfast_image_ruleset *rs = ruleset;
	uint32_t slots = rs ? rs->header_count : 0;

	return ((value & 0xff) <= BPFAST_HN_EXPECT || (value & 0xff) == BPFAST_HN_INVALID) &&
	       value >> 8 <= slots;
}

/* A list of rules at `at` words of 64 bits from the sets' begin. */
static bool list_is_sound(const struct bpfast_image_ruleset *rs, const uint64_t *sets, uint32_t at)
{
	const uint16_t *list = (const void *)(sets + at);
	uint32_t words = rs->set_size / 8;

	if (at >= words || list[0] > BPFAST_SET_FEW_MAX || list[0] / 4 >= words - at)
		return false;
	for (uint32_t i = 1; i <= list[0]; i++)
		if (list[i] >= rs->rule_count || (i > 1 && list[i] <= list[i - 1]))
			return false;
	for (uint32_t i = list[0] + 1u; i % 4; i++)
		if (list[i] != UINT16_MAX)
			return false;
	return true;
}

static bool set_is_sound(const struct bpfast_image_ruleset *rs, const uint64_t *sets, uint32_t set)
{
	uint64_t spare = rs->rule_count % 64 ? ~0ull << (rs->rule_count % 64) : 0;

	if (set & BPFAST_SET_ONE)
		return (set & ~BPFAST_SET_ONE) < rs->rule_count;
	if (set & BPFAST_SET_FEW)
		return list_is_sound(rs, sets, set & ~BPFAST_SET_FEW);
	return (uint64_t)set + rs->words <= rs->set_size / 8 &&
	       !(sets[(uint64_t)set + rs->words - 1] & spare);
}

static int check_sets(const struct check *k, const struct bpfast_image_ruleset *rs)
{
	const uint64_t *sets = (const void *)(k->data + rs->set_off);
	const uint32_t *described = (const void *)sets;
	size_t each = rs->words > 1 ? sizeof(*described) : rs->words * sizeof(*sets);

	if (rs->set_size % 8 || rs->set_count * (uint64_t)each > rs->set_size)
		return bf_err(k->err, -EINVAL, "image: %u sets in %u bytes", rs->set_count,
			      rs->set_size);
	for (uint32_t i = 0; i < rs->set_count; i++)
		if (!set_is_sound(rs, sets, rs->words > 1 ? described[i] : i))
			return bf_err(k->err, -EINVAL, "image: set %u has rules over %u", i,
				      rs->rule_count);
	return 0;
}

static int check_reply(const struct check *k, const struct bpfast_image_ruleset *rs)
{
	const uint8_t *v = k->data + rs->reply_off;
	uint64_t sum = 0;
	int ret = block_at(k, "reply", rs->reply_off, rs->reply_len, 1);

	if (ret)
		return ret;
	if (rs->reply_len % 2 || rs->reply_len > BPFAST_REPLY_MAX)
		return bf_err(k->err, -EINVAL, "image: reply of %u bytes", rs->reply_len);
	for (uint32_t i = 0; i < rs->reply_len; i += 2) {
		uint16_t word;

		memcpy(&word, v + i, sizeof(word));
		sum += word;
	}
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	/* 0 and 0xffff are the same number in ones' complement. */
	if (sum % 0xffff != rs->reply_sum % 0xffff)
		return bf_err(k->err, -EINVAL, "image: the reply's sum is %#x, not %#x",
			      (unsigned int)sum, rs->reply_sum);
	return 0;
}

static int check_ruleset(const struct check *k, const struct bpfast_image_ruleset *rs)
{
	const uint32_t *refs = (const void *)(k->data + rs->rule_ref_off);
	const struct {
		const char *what;
		uint32_t off;
	} fields[] = {
		{"path automaton", rs->path_dfa_off},
		{"target automaton", rs->target_dfa_off},
		{"host automaton", rs->host_dfa_off},
	};
	int ret;

	if (rs->rule_count > BPFAST_RULES_MAX || rs->words != (rs->rule_count + 63) / 64 ||
	    rs->header_count > BPFAST_HEADER_SLOTS)
		return bf_err(k->err, -EINVAL, "image: ruleset of %u rules, %u words, %u headers",
			      rs->rule_count, rs->words, rs->header_count);
	ret = block_at(k, "rule sets", rs->set_off, rs->set_size, 1);
	ret = ret ?: check_sets(k, rs);
	ret = ret
		      ?: block_at(k, "rule attributions", rs->rule_ref_off, rs->rule_count,
				  sizeof(*refs));
	for (uint32_t r = 0; !ret && r < rs->rule_count; r++)
		ret = ref_in(k, refs[r]);
	ret = ret ?: ref_in(k, rs->ref);
	if (!ret && rs->method_dfa_off)
		ret = check_plain_dfa(k, "method automaton", rs->method_dfa_off, accepts_set, rs);
	for (size_t f = 0; !ret && f < sizeof(fields) / sizeof(*fields); f++)
		if (fields[f].off)
			ret = check_dfa(k, fields[f].what, fields[f].off, accepts_set, rs);
	/* A flow keeps the set in 16 bits. */
	if (!ret && rs->upgrade_dfa_off)
		ret = check_dfa(k, "upgrade automaton", rs->upgrade_dfa_off, accepts_header_set,
				rs);
	ret = ret
		      ?: check_plain_dfa(k, "header name automaton", rs->name_dfa_off, accepts_name,
					 rs);
	for (uint32_t h = 0; !ret && h < rs->header_count; h++) {
		ret = check_dfa(k, "header value automaton", rs->header[h].dfa_off,
				accepts_header_set, rs);
		if (!ret && !accepts_header_set(rs, rs->header[h].absent_set))
			ret = bf_err(k->err, -EINVAL, "image: absent set %u of %u",
				     rs->header[h].absent_set, rs->set_count);
	}
	return ret ?: check_reply(k, rs);
}

int bf_image_check(const void *image, size_t len, struct bf_error *err)
{
	struct check k = {.data = image, .err = err};
	const struct bpfast_image_decision *decisions;
	const struct bpfast_image_ruleset *rulesets;
	const struct bpfast_image_class *classes;
	const struct bpfast_image_set *sets;
	int ret;

	if (len < sizeof(k.head) || (uintptr_t)image % 8)
		return bf_err(err, -EINVAL, "image: %zu bytes at %p are none", len, image);
	memcpy(&k.head, image, sizeof(k.head));
	ret = check_head(&k, len);
	ret = ret ?: check_addresses(&k);
	ret = ret ?: check_endpoints(&k);
	if (ret)
		return ret;
	sets = (const void *)(k.data + k.head.set_off);
	classes = (const void *)(k.data + k.head.class_off);
	decisions = (const void *)(k.data + k.head.decision_off);
	rulesets = (const void *)(k.data + k.head.ruleset_off);
	for (uint32_t i = 0; !ret && i < k.head.set_count; i++)
		ret = check_set(&k, &sets[i]);
	for (uint32_t i = 0; !ret && i < k.head.class_count; i++)
		ret = check_class(&k, &classes[i]);
	for (uint32_t i = 0; !ret && i < k.head.decision_count; i++)
		ret = check_decision(&k, &decisions[i]);
	for (uint32_t i = 0; !ret && i < k.head.ruleset_count; i++)
		ret = check_ruleset(&k, &rulesets[i]);
	return ret
		       ?: check_plain_dfa(&k, "response name automaton",
					  k.head.response_name_dfa_off, accepts_name, NULL);
}
