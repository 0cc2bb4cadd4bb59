// SPDX-License-Identifier: Apache-2.0
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "shield/dns.h"

#define LABELS_MAX 16

struct name {
	uint8_t wire[BF_DNS_NAME]; /* lower case, without the closing 0 */
	uint8_t at[LABELS_MAX]; /* where each label begins */
	unsigned labels, bytes;
};

static uint8_t lower(uint8_t c)
{
	return c >= 'A' && c <= 'Z' ? c + 32 : c;
}

/* RFC 1035, 4.1: the name of the only question. A name that the sample cuts, or that does not fit, is not read. */
static bool read_name(const uint8_t *p, size_t len, struct name *n)
{
	size_t at = 12;

	n->labels = n->bytes = 0;
	if (len < 17 || (p[2] & 0xf8) || p[4] || p[5] != 1)
		return false;
	while (at < len && p[at]) {
		unsigned l = p[at];

		if (l > 63 || at + l >= len || n->labels == LABELS_MAX ||
		    n->bytes + l + 1 > BF_DNS_NAME)
			return false;
		n->at[n->labels++] = n->bytes;
		n->wire[n->bytes++] = l;
		for (unsigned i = 1; i <= l; i++)
			n->wire[n->bytes++] = lower(p[at + i]);
		at += l + 1;
	}
	return at < len && n->labels > 0;
}

static uint64_t hash(const uint8_t *p, size_t n)
{
	uint64_t h = 0xcbf29ce484222325u;

	while (n--)
		h = (h ^ *p++) * 0x100000001b3u;
	h ^= h >> 32;
	return h * 0x9e3779b97f4a7c15u;
}

/* Shannon's, over the bytes of a label, in bits. */
static double entropy(const uint8_t *p, unsigned n)
{
	uint8_t count[256] = {0};
	double h = 0;

	for (unsigned i = 0; i < n; i++)
		count[p[i]]++;
	for (unsigned i = 0; i < n; i++) {
		/* each byte adds its part of its letter's sum */
		h -= log2((double)count[p[i]] / n) / n;
	}
	return h;
}

/* Was not seen before: two bits of 1024. */
static bool fresh(struct bf_dns_suffix *s, uint64_t h)
{
	uint64_t *a = &s->bloom[h >> 60], *b = &s->bloom[h >> 56 & 15];
	uint64_t bit_a = 1ull << (h >> 50 & 63), bit_b = 1ull << (h >> 44 & 63);
	bool new = !(*a & bit_a) || !(*b & bit_b);

	*a |= bit_a;
	*b |= bit_b;
	return new;
}

static unsigned filled(const struct bf_dns_suffix *s)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 16; i++)
		n += __builtin_popcountll(s->bloom[i]);
	return n;
}

static void count(struct bf_dns *d, const struct name *n, unsigned label)
{
	const uint8_t *wire = n->wire + n->at[label];
	unsigned bytes = n->bytes - n->at[label], first = n->at[label - 1];
	struct bf_dns_suffix *s = NULL, *least = &d->suffix[0];

	for (uint32_t i = 0; i < d->used && !s; i++) {
		if (d->suffix[i].bytes == bytes && !memcmp(d->suffix[i].name, wire, bytes))
			s = &d->suffix[i];
		else if (d->suffix[i].count < least->count)
			least = &d->suffix[i];
	}
	if (!s) {
		uint32_t error = 0;

		s = least;
		if (d->used < BF_DNS_SUFFIXES)
			s = &d->suffix[d->used++];
		else
			error = s->count;
		*s = (struct bf_dns_suffix){.bytes = bytes, .count = error, .error = error};
		s->labels = n->labels - label;
		memcpy(s->name, wire, bytes);
	}
	s->count++;
	/* A filter that is full would call everything seen: begin anew, at half the weight. */
	if (filled(s) > 512) {
		memset(s->bloom, 0, sizeof(s->bloom));
		s->seen /= 2;
		s->fresh /= 2;
		s->entropy /= 2;
	}
	s->seen++;
	s->fresh += fresh(s, hash(n->wire + first + 1, n->wire[first]));
	s->entropy += entropy(n->wire + first + 1, n->wire[first]);
}

unsigned bf_dns_name(const uint8_t *payload, size_t len, uint8_t out[BF_DNS_NAME])
{
	struct name n;

	if (!read_name(payload, len, &n))
		return 0;
	memcpy(out, n.wire, n.bytes);
	return n.bytes;
}

bool bf_dns_add(struct bf_dns *d, const uint8_t *payload, size_t len)
{
	struct name n;

	if (!read_name(payload, len, &n))
		return false;
	d->queries++;
	/* Below a name of at least two labels, for below a top level all is new anyway; at most four of them. */
	for (unsigned i = 1; i + 2 <= n.labels; i++)
		if (n.labels - i <= 5)
			count(d, &n, i);
	return true;
}

bool bf_dns_find(const struct bf_dns *d, struct bf_dns_rule *out)
{
	const struct bf_dns_suffix *best = NULL;

	out->bytes = 0;
	if (d->queries < 64)
		return false;
	for (uint32_t i = 0; i < d->used; i++) {
		const struct bf_dns_suffix *s = &d->suffix[i];
		double sure = s->count - s->error;

		if (sure < 0.25 * d->queries || s->seen < 32 || s->fresh < 0.75 * s->seen)
			continue;
		/*
		 * The longest: what is below a.b.c is below b.c too, but there the first
		 * label that differs is not the first of the name.
		 */
		if (!best || s->labels > best->labels ||
		    (s->labels == best->labels && s->count > best->count))
			best = s;
	}
	if (!best)
		return false;
	*out = (struct bf_dns_rule){0};
	memcpy(out->name, best->name, sizeof(out->name));
	out->bytes = best->bytes;
	out->share = (double)(best->count - best->error) / d->queries;
	out->unique = (double)best->fresh / best->seen;
	out->entropy = best->entropy / best->seen;
	return true;
}

char *bf_dns_text(const struct bf_dns_rule *r, char *out, size_t size)
{
	size_t n = 0;

	out[0] = '\0';
	for (unsigned at = 0; at < r->bytes; at += r->name[at] + 1u) {
		for (unsigned i = 0; i <= r->name[at] && n + 5 < size; i++) {
			uint8_t c = r->name[at + i];

			if (!i) {
				if (at)
					out[n++] = '.';
			} else if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
				   c == '_') {
				out[n++] = c;
			} else {
				n += (size_t)snprintf(out + n, size - n, "\\%03u", c);
			}
		}
		out[n] = '\0';
	}
	return out;
}

bool bf_dns_below(const struct bf_dns_rule *r, const uint8_t *payload, size_t len)
{
	struct name n;

	if (!r->bytes || !read_name(payload, len, &n) || n.bytes <= r->bytes)
		return false;
	for (unsigned i = 1; i < n.labels; i++)
		if ((unsigned)(n.bytes - n.at[i]) == r->bytes)
			return !memcmp(n.wire + n.at[i], r->name, r->bytes);
	return false;
}
