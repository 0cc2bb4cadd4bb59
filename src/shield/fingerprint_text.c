// SPDX-License-Identifier: Apache-2.0
/* Fingerprints as text, and back. One table says what the words are. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shield/fingerprint.h"

struct range_word {
	const char *word;
	uint16_t low_at, high_at; /* in struct bpfast_fingerprint */
	uint16_t max; /* 255: bytes, 65535: two of them */
};

#define RANGE(word, field, max)                                                                    \
	{word, offsetof(struct bpfast_fingerprint, field##_min),                                   \
	 offsetof(struct bpfast_fingerprint, field##_max), max}

static const struct range_word RANGES[] = {
	RANGE("sport", source_port, 65535),
	RANGE("dport", destination_port, 65535),
	RANGE("len", length, 65535),
	RANGE("ttl", ttl, 255),
	RANGE("id", id, 65535),
	RANGE("window", window, 65535),
	RANGE("optlen", option_bytes, 255),
	RANGE("plen", payload_bytes, 255),
};

struct bit_word {
	const char *word;
	uint8_t bit;
};

static const struct bit_word OPTIONS[] = {
	{"mss", BPFAST_FPO_MSS},      {"sackok", BPFAST_FPO_SACK_OK},
	{"ts", BPFAST_FPO_TIMESTAMP}, {"ws", BPFAST_FPO_WINDOW_SCALE},
	{"sack", BPFAST_FPO_SACK},    {"tfo", BPFAST_FPO_FAST_OPEN},
	{"other", BPFAST_FPO_OTHER},  {"broken", BPFAST_FPO_BROKEN},
};
static const struct bit_word FORMS[] = {
	{"df", BPFAST_FPF_DF},
	{"more", BPFAST_FPF_MORE},
	{"later", BPFAST_FPF_LATER},
};
static const struct bit_word FLAGS[] = {
	{"F", 1}, {"S", 2}, {"R", 4}, {"P", 8}, {"A", 16}, {"U", 32}, {"E", 64}, {"C", 128},
};
static const struct bit_word PROTOCOLS[] = {
	{"icmp", 1}, {"tcp", 6},    {"udp", 17},   {"gre", 47},
	{"esp", 50}, {"icmp6", 58}, {"sctp", 132},
};

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static uint32_t load(const void *f, unsigned at, unsigned max)
{
	uint16_t two;

	if (max == 255)
		return ((const uint8_t *)f)[at];
	memcpy(&two, (const uint8_t *)f + at, 2);
	return two;
}

static void store(void *f, unsigned at, unsigned max, uint32_t v)
{
	uint16_t two = v;

	if (max == 255)
		((uint8_t *)f)[at] = v;
	else
		memcpy((uint8_t *)f + at, &two, 2);
}

/* --- to text --- */

struct text {
	char *out;
	size_t size, len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *fmt, ...)
{
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(t->out + t->len, t->size - t->len, fmt, ap);
	va_end(ap);
	if (n > 0)
		t->len = t->len + (size_t)n < t->size ? t->len + (size_t)n : t->size - 1;
}

static void add_bits(struct text *t, const struct bit_word *w, size_t n, uint8_t bits,
		     const char *between, const char *none)
{
	const char *sep = "";

	for (size_t i = 0; i < n; i++) {
		if (!(bits & w[i].bit))
			continue;
		add(t, "%s%s", sep, w[i].word);
		sep = between;
	}
	if (!bits)
		add(t, "%s", none);
}

char *bf_fingerprint_text(const struct bpfast_fingerprint *f, char *out, size_t size)
{
	const uint8_t *v = (const uint8_t *)f->payload, *m = (const uint8_t *)f->payload_mask;
	struct text t = {.out = out, .size = size};
	unsigned bytes = 0;

	out[0] = '\0';
	for (unsigned i = 0; i < BPFAST_FP_PAYLOAD; i++)
		if (m[i])
			bytes = i + 1;
	if (f->ip_version)
		add(&t, "ip%u ", f->ip_version);
	if (f->any_protocol) {
		add(&t, "any");
	} else {
		const char *name = NULL;

		for (size_t i = 0; i < COUNT(PROTOCOLS); i++)
			if (PROTOCOLS[i].bit == f->protocol)
				name = PROTOCOLS[i].word;
		if (name)
			add(&t, "%s", name);
		else
			add(&t, "proto %u", f->protocol);
	}
	for (size_t i = 0; i < COUNT(RANGES); i++) {
		const struct range_word *r = &RANGES[i];
		uint32_t low = load(f, r->low_at, r->max), high = load(f, r->high_at, r->max);

		/* As many payload bytes as the pattern has go without saying. */
		if (!strcmp(r->word, "plen") && low == bytes && high == r->max)
			continue;
		if (low == high)
			add(&t, " %s %u", r->word, low);
		else if (low || high != r->max)
			add(&t, " %s %u-%u", r->word, low, high);
	}
	for (size_t i = 0; i < COUNT(FORMS); i++)
		if (f->form_mask & FORMS[i].bit)
			add(&t, " %s%s", f->form & FORMS[i].bit ? "" : "!", FORMS[i].word);
	if (f->tcp_flags_mask) {
		add(&t, " flags ");
		add_bits(&t, FLAGS, COUNT(FLAGS), f->tcp_flags & f->tcp_flags_mask, "", "-");
		if (f->tcp_flags_mask != 0xff) {
			add(&t, "/");
			add_bits(&t, FLAGS, COUNT(FLAGS), f->tcp_flags_mask, "", "-");
		}
	}
	if (f->options_mask) {
		add(&t, " options ");
		add_bits(&t, OPTIONS, COUNT(OPTIONS), f->options & f->options_mask, ",", "none");
		if (f->options_mask != 0xff) {
			add(&t, "/");
			add_bits(&t, OPTIONS, COUNT(OPTIONS), f->options_mask, ",", "none");
		}
	}
	if (bytes)
		add(&t, " payload 0x");
	for (unsigned i = 0; i < bytes; i++) {
		if (m[i])
			add(&t, "%02x", v[i] & m[i]);
		else
			add(&t, "??");
	}
	return out;
}

/* --- from text --- */

struct words {
	const char *at;
	char word[96];
	struct bf_error *err;
};

static bool next(struct words *w)
{
	size_t n;

	w->at += strspn(w->at, " \t");
	n = strcspn(w->at, " \t");
	if (!n || n >= sizeof(w->word)) {
		w->word[0] = '\0';
		return false;
	}
	memcpy(w->word, w->at, n);
	w->word[n] = '\0';
	w->at += n;
	return true;
}

static bool number(const char **s, uint32_t max, uint32_t *out)
{
	char *end;
	unsigned long v;

	if (**s < '0' || **s > '9')
		return false;
	v = strtoul(*s, &end, 10);
	if (v > max || end - *s > 5)
		return false;
	*s = end;
	*out = v;
	return true;
}

static int read_range(struct words *w, const struct range_word *r, struct bpfast_fingerprint *f)
{
	const char *s = w->word;
	uint32_t low, high;

	if (!next(w) || !number(&s, r->max, &low))
		return bf_err(w->err, -EINVAL, "%s wants a number or a range up to %u, not \"%s\"",
			      r->word, r->max, w->word);
	high = low;
	if (*s == '-') {
		s++;
		if (!number(&s, r->max, &high))
			s = "?";
	}
	if (*s || high < low)
		return bf_err(w->err, -EINVAL, "%s wants a number or a range up to %u, not \"%s\"",
			      r->word, r->max, w->word);
	store(f, r->low_at, r->max, low);
	store(f, r->high_at, r->max, high);
	return 0;
}

static bool read_flags(const char *s, size_t n, uint8_t *out)
{
	*out = 0;
	if (n == 1 && *s == '-')
		return true;
	for (size_t i = 0; i < n; i++) {
		size_t j = 0;

		while (j < COUNT(FLAGS) && FLAGS[j].word[0] != s[i])
			j++;
		if (j == COUNT(FLAGS))
			return false;
		*out |= FLAGS[j].bit;
	}
	return n > 0;
}

static bool read_options(const char *s, size_t n, uint8_t *out)
{
	*out = 0;
	if (n == 4 && !memcmp(s, "none", 4))
		return true;
	while (n) {
		const char *comma = memchr(s, ',', n);
		size_t len = comma ? (size_t)(comma - s) : n, j = 0;

		while (j < COUNT(OPTIONS) &&
		       (strlen(OPTIONS[j].word) != len || memcmp(OPTIONS[j].word, s, len)))
			j++;
		if (j == COUNT(OPTIONS) || (comma && len + 1 == n))
			return false;
		*out |= OPTIONS[j].bit;
		s += comma ? len + 1 : len;
		n -= comma ? len + 1 : len;
	}
	return *out != 0;
}

/* VALUE or VALUE/MASK. */
static int read_masked(struct words *w, const char *what,
		       bool (*read)(const char *, size_t, uint8_t *), uint8_t *v, uint8_t *mask)
{
	const char *slash;

	*mask = 0xff;
	if (!next(w))
		return bf_err(w->err, -EINVAL, "%s wants a value", what);
	slash = strchr(w->word, '/');
	if (!read(w->word, slash ? (size_t)(slash - w->word) : strlen(w->word), v) ||
	    (slash && !read(slash + 1, strlen(slash + 1), mask)) || (*v & ~*mask) || !*mask)
		return bf_err(w->err, -EINVAL, "%s cannot be \"%s\"", what, w->word);
	return 0;
}

static int nibble(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_payload(struct words *w, struct bpfast_fingerprint *f)
{
	const char *s = w->word + 2;
	size_t n;

	if (!next(w) || strncmp(w->word, "0x", 2) || (n = strlen(s)) % 2 || !n ||
	    n > 2 * BPFAST_FP_PAYLOAD)
		return bf_err(w->err, -EINVAL,
			      "payload wants 0x and up to %d bytes, each two hex digits or ??",
			      BPFAST_FP_PAYLOAD);
	for (size_t i = 0; i < n / 2; i++) {
		int high = nibble(s[2 * i]), low = nibble(s[2 * i + 1]);

		if (s[2 * i] == '?' && s[2 * i + 1] == '?' && i + 1 < n / 2)
			continue;
		if (high < 0 || low < 0)
			return bf_err(w->err, -EINVAL,
				      "payload byte %zu is neither two hex digits nor ??", i);
		((uint8_t *)f->payload)[i] = high << 4 | low;
		((uint8_t *)f->payload_mask)[i] = 0xff;
	}
	if (f->payload_bytes_min < n / 2)
		f->payload_bytes_min = n / 2;
	return 0;
}

static int read_word(struct words *w, struct bpfast_fingerprint *f)
{
	const char *word = w->word;

	for (size_t i = 0; i < COUNT(PROTOCOLS); i++) {
		if (strcmp(word, PROTOCOLS[i].word))
			continue;
		f->protocol = PROTOCOLS[i].bit;
		f->any_protocol = 0;
		return 0;
	}
	for (size_t i = 0; i < COUNT(RANGES); i++)
		if (!strcmp(word, RANGES[i].word))
			return read_range(w, &RANGES[i], f);
	for (size_t i = 0; i < COUNT(FORMS); i++) {
		if (strcmp(word + (*word == '!'), FORMS[i].word))
			continue;
		f->form_mask |= FORMS[i].bit;
		if (*word != '!')
			f->form |= FORMS[i].bit;
		return 0;
	}
	if (!strcmp(word, "any"))
		return 0;
	if (!strcmp(word, "ip4") || !strcmp(word, "ip6")) {
		f->ip_version = word[2] - '0';
		return 0;
	}
	if (!strcmp(word, "proto")) {
		const char *s = w->word;
		uint32_t v;

		if (!next(w) || !number(&s, 255, &v) || *s)
			return bf_err(w->err, -EINVAL, "proto wants a number up to 255, not \"%s\"",
				      w->word);
		f->protocol = v;
		f->any_protocol = 0;
		return 0;
	}
	if (!strcmp(word, "flags"))
		return read_masked(w, "flags", read_flags, &f->tcp_flags, &f->tcp_flags_mask);
	if (!strcmp(word, "options"))
		return read_masked(w, "options", read_options, &f->options, &f->options_mask);
	if (!strcmp(word, "payload"))
		return read_payload(w, f);
	return bf_err(w->err, -EINVAL, "a fingerprint knows no word \"%s\"", word);
}

int bf_fingerprint_parse(const char *text, struct bpfast_fingerprint *out, struct bf_error *err)
{
	struct words w = {.at = text, .err = err};
	bool some = false;

	bf_fingerprint_any(out);
	while (next(&w)) {
		int rc = read_word(&w, out);

		if (rc)
			return rc;
		some = true;
	}
	if (w.at[strspn(w.at, " \t")])
		return bf_err(err, -EINVAL, "a word of a fingerprint is longer than %zu letters",
			      sizeof(w.word) - 1);
	if (!some)
		return bf_err(err, -EINVAL, "the fingerprint is empty");
	return 0;
}
