/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_MATCH_RX_SCAN_H
#define BF_MATCH_RX_SCAN_H
/*
 * The characters of an expression, internal to src/match: UTF-8, escapes and
 * classes. The grammar above them is in rx_parse.c.
 */
#include "match/rx.h"

enum bf_rx_flags { BF_RX_FOLD = 1, BF_RX_DOT_NL = 2 };

struct bf_rx_scan {
	const uint8_t *s;
	size_t len, pos;
	unsigned int flags; /* in force here */
	bool ascii;
	struct bf_error *err;
};

/* Says "WHAT at offset OFFSET: HOW"; returns -EINVAL. */
int bf_rx_refuse(struct bf_rx_scan *in, size_t offset, const char *what, const char *how);

/* The prefix and a byte, whatever it is. */
const char *bf_rx_show(char *buf, size_t size, const char *prefix, int byte);

static inline bool bf_rx_more(const struct bf_rx_scan *in, size_t n)
{
	return in->len - in->pos >= n;
}

/* Byte i from here, or -1 past the end. */
static inline int bf_rx_peek(const struct bf_rx_scan *in, size_t i)
{
	return bf_rx_more(in, i + 1) ? in->s[in->pos + i] : -1;
}

/* One character as it stands. */
int bf_rx_read_rune(struct bf_rx_scan *in, uint32_t *rune);

/* An escape that stands for one character, at its backslash. */
int bf_rx_read_escape(struct bf_rx_scan *in, uint32_t *rune);

/* Adds first..last, and under (?i) what differs from it only in case. `at` is for messages. */
int bf_rx_add_range(struct bf_rx_scan *in, struct bf_runes *runes, uint32_t first, uint32_t last,
		    size_t at);

/* \d \D \s \S \w \W here? Returns 1 when it was one. */
int bf_rx_try_perl_class(struct bf_rx_scan *in, struct bf_runes *runes);

/* A class, at its [. The set comes out sorted. */
int bf_rx_read_class(struct bf_rx_scan *in, struct bf_runes *runes);

#endif
