// SPDX-License-Identifier: Apache-2.0
/* Sets of code points: what a character class is while it is read. */
#include <string.h>

#include "match/array.h"
#include "match/rx.h"

int bf_runes_add(struct bf_runes *runes, uint32_t first, uint32_t last)
{
	if (bf_array_grow(&runes->v, &runes->cap, runes->count + 2, sizeof(*runes->v)))
		return -ENOMEM;
	runes->v[runes->count++] = first;
	runes->v[runes->count++] = last;
	return 0;
}

int bf_runes_add_all(struct bf_runes *runes, const struct bf_runes *from)
{
	for (size_t i = 0; i < from->count; i += 2) {
		if (bf_runes_add(runes, from->v[i], from->v[i + 1]))
			return -ENOMEM;
	}
	return 0;
}

static int add_shifted(struct bf_runes *runes, uint32_t first, uint32_t last, uint32_t low,
		       uint32_t high, int shift)
{
	if (first < low)
		first = low;
	if (last > high)
		last = high;
	if (first > last)
		return 0;
	return bf_runes_add(runes, first + (uint32_t)shift, last + (uint32_t)shift);
}

static bool holds(uint32_t first, uint32_t last, uint32_t rune)
{
	return first <= rune && rune <= last;
}

/*
 * Unicode's simple folding ties two code points over ASCII to ASCII letters:
 * U+017F (long s) to s and U+212A (Kelvin) to k. RE2 honours that, so that
 * (?i)[^k] must not match the Kelvin sign. (CaseFolding.txt of Unicode 15.)
 */
int bf_runes_add_folds(struct bf_runes *runes, uint32_t first, uint32_t last)
{
	static const struct {
		uint32_t upper, lower, other;
	} special[] = {{'K', 'k', 0x212a}, {'S', 's', 0x17f}};
	int ret;

	ret = add_shifted(runes, first, last, 'a', 'z', 'A' - 'a');
	if (!ret)
		ret = add_shifted(runes, first, last, 'A', 'Z', 'a' - 'A');
	for (size_t i = 0; !ret && i < 2; i++) {
		if (!holds(first, last, special[i].upper) &&
		    !holds(first, last, special[i].lower) && !holds(first, last, special[i].other))
			continue;
		ret = bf_runes_add(runes, special[i].upper, special[i].upper);
		if (!ret)
			ret = bf_runes_add(runes, special[i].lower, special[i].lower);
		if (!ret)
			ret = bf_runes_add(runes, special[i].other, special[i].other);
	}
	return ret;
}

static int by_first(const void *a, const void *b)
{
	const uint32_t *x = a, *y = b;

	return x[0] < y[0] ? -1 : x[0] > y[0];
}

void bf_runes_sort(struct bf_runes *runes)
{
	size_t out = 0;

	if (!runes->count)
		return;
	qsort(runes->v, runes->count / 2, 2 * sizeof(*runes->v), by_first);
	for (size_t i = 2; i < runes->count; i += 2) {
		if (runes->v[i] <= runes->v[out + 1] + 1) {
			if (runes->v[i + 1] > runes->v[out + 1])
				runes->v[out + 1] = runes->v[i + 1];
			continue;
		}
		out += 2;
		runes->v[out] = runes->v[i];
		runes->v[out + 1] = runes->v[i + 1];
	}
	runes->count = out + 2;
}

int bf_runes_negate(struct bf_runes *runes)
{
	struct bf_runes out = {0};
	uint32_t next = 0;
	int ret = 0;

	for (size_t i = 0; !ret && i < runes->count; i += 2) {
		if (runes->v[i] > next)
			ret = bf_runes_add(&out, next, runes->v[i] - 1);
		next = runes->v[i + 1] + 1;
	}
	if (!ret && next <= BF_RX_RUNE_MAX)
		ret = bf_runes_add(&out, next, BF_RX_RUNE_MAX);
	if (ret) {
		free(out.v);
		return ret;
	}
	free(runes->v);
	*runes = out;
	return 0;
}

void bf_runes_cut(struct bf_runes *runes, uint32_t last)
{
	while (runes->count && runes->v[runes->count - 2] > last)
		runes->count -= 2;
	if (runes->count && runes->v[runes->count - 1] > last)
		runes->v[runes->count - 1] = last;
}

/* The ranges are those of RE2: all ASCII; \s has no vertical tab, [:space:] has. */
static const struct bf_runes_named named[] = {
	{"d", "09", 1},		  {"s", "\t\n\f\r  ", 3},
	{"w", "09AZ__az", 4},	  {"alnum", "09AZaz", 3},
	{"alpha", "AZaz", 2},	  {"ascii", "\x00\x7f", 1},
	{"blank", "\t\t  ", 2},	  {"cntrl", "\x00\x1f\x7f\x7f", 2},
	{"digit", "09", 1},	  {"graph", "!~", 1},
	{"lower", "az", 1},	  {"print", " ~", 1},
	{"punct", "!/:@[`{~", 4}, {"space", "\t\r  ", 2},
	{"upper", "AZ", 1},	  {"word", "09AZ__az", 4},
	{"xdigit", "09AFaf", 3},
};

const struct bf_runes_named *bf_runes_find(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(named) / sizeof(named[0]); i++) {
		if (strlen(named[i].name) == len && !memcmp(named[i].name, name, len))
			return &named[i];
	}
	return NULL;
}
