// SPDX-License-Identifier: Apache-2.0
/* Entries to an image: include/bpfast/shield.h has its form, bpf/shield/lists.h walks it. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "shield/lists.h"

#define LINE BPFAST_SHIELD_LINE
/* A prefix within a prefix within ...: lengths 0 to 128, and both kinds. */
#define DEPTH (2 * BPFAST_SHIELD_LENGTHS)
/* Ranges of one /24, when every second address is another. */
#define RANGES 256

/* What runs of words and nodes are made of. */
#define UNIT 16
#define UNIT_WORDS (UNIT / sizeof(uint16_t))
/* Codes that fit into a word. */
#define WORD_CODES 16

struct unit {
	uint8_t bytes[UNIT];
};

static_assert(sizeof(struct bpfast_shield_node) == UNIT, "a node is a unit");

struct builder {
	uint8_t *bytes; /* the image; grows */
	size_t lines, cap;
	unsigned int round;
	struct bpfast_shield_pair pair[BPFAST_SHIELD_CODES];
	unsigned int pairs;
	bool failed; /* no memory */
	bool crowded; /* more pairs than codes: times have to be rounded more */
	/* The /24 being painted; -1: none. */
	int64_t block;
	uint8_t code[256];
	/* The /16 of it: what its /24s so far have, nodes by their number. */
	uint16_t word[256];
	struct bpfast_shield_node node[256];
	unsigned int words, nodes;
	/* Of all blocks; they get their place at the end. */
	struct bpfast_shield_bits *bits;
	struct bpfast_shield_run *run;
	size_t blocks, bits_cap, run_cap;
	/* Words and nodes, block by block. */
	struct unit *unit;
	size_t units, unit_cap;
};

static struct bpfast_shield_image_head *head(struct builder *b)
{
	return (struct bpfast_shield_image_head *)b->bytes;
}

static uint32_t *words(struct builder *b, uint32_t line)
{
	return (uint32_t *)(b->bytes + (size_t)line * LINE);
}

/* n new lines of zeroes; 0: no memory. */
static uint32_t take_lines(struct builder *b, size_t n)
{
	size_t at = b->lines;

	if (b->lines + n > b->cap) {
		size_t cap = b->cap + b->cap / 2 + n + 1024;
		uint8_t *bytes = realloc(b->bytes, cap * LINE);

		if (!bytes) {
			b->failed = true;
			return 0;
		}
		b->bytes = bytes;
		b->cap = cap;
	}
	memset(b->bytes + at * LINE, 0, n * LINE);
	b->lines += n;
	return (uint32_t)at;
}

/* New lines with these n things; 0: no memory. */
static uint32_t put(struct builder *b, const void *v, size_t n, size_t size)
{
	uint32_t line = take_lines(b, (n * size + LINE - 1) / LINE);

	if (!b->failed && n)
		memcpy(words(b, line), v, n * size);
	return line;
}

/* Room for one more of *v, where n of *cap are taken. */
static void *room(struct builder *b, void *v, size_t n, size_t *cap, size_t size)
{
	size_t more = *cap ? 2 * *cap : 1024;

	if (n < *cap)
		return v;
	v = realloc(v, more * size);
	if (v)
		*cap = more;
	else
		b->failed = true;
	return v;
}

/* --- pairs --- */

static uint32_t rounded(const struct builder *b, uint32_t until)
{
	uint32_t mask = (1u << b->round) - 1;

	return until >= BPFAST_SHIELD_FOREVER - mask ? BPFAST_SHIELD_FOREVER
						     : (until + mask) & ~mask;
}

static unsigned int code_of(struct builder *b, const struct bpfast_shield_pair *pair)
{
	struct bpfast_shield_pair want = {rounded(b, pair->allow_until),
					  rounded(b, pair->block_until)};

	for (unsigned int i = 0; i < b->pairs; i++)
		if (!memcmp(&b->pair[i], &want, sizeof(want)))
			return i;
	if (b->pairs == BPFAST_SHIELD_CODES) {
		b->crowded = true;
		return 0;
	}
	b->pair[b->pairs] = want;
	return b->pairs++;
}

/* What holds where we are in the sweep: each entry with all that hold it. */
struct sweep {
	struct {
		uint8_t last[16]; /* address */
		uint8_t prefix;
		struct bpfast_shield_pair pair;
	} at[DEPTH];
	unsigned int depth;
};

static void last_address(const struct bpfast_shield_entry *e, uint8_t last[16])
{
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int keep = e->prefix > 8 * i ? e->prefix - 8u * i : 0;

		last[i] = keep < 8 ? (uint8_t)(e->addr[i] | 0xffu >> keep) : e->addr[i];
	}
}

static void push(struct sweep *s, const struct bpfast_shield_entry *e)
{
	struct bpfast_shield_pair pair = {0, 0};

	if (s->depth)
		pair = s->at[s->depth - 1].pair;
	if (e->allow && pair.allow_until < e->until)
		pair.allow_until = e->until;
	if (!e->allow && pair.block_until < e->until)
		pair.block_until = e->until;
	last_address(e, s->at[s->depth].last);
	s->at[s->depth].prefix = e->prefix;
	s->at[s->depth++].pair = pair;
}

/* --- IPv4 --- */

static void add_unit(struct builder *b, const void *bytes)
{
	struct unit *v = room(b, b->unit, b->units, &b->unit_cap, sizeof(*v));

	if (!v)
		return;
	b->unit = v;
	memcpy(&v[b->units++], bytes, UNIT);
}

/* The block is complete: its words, and behind them its nodes. */
static void end_block(struct builder *b)
{
	unsigned int units = (unsigned int)((b->words + UNIT_WORDS - 1) / UNIT_WORDS);
	const struct bpfast_shield_bits *bits;
	struct bpfast_shield_run *run;

	if (!b->blocks || b->failed)
		return;
	bits = &b->bits[b->blocks - 1];
	run = &b->run[b->blocks - 1];
	run->at = (uint32_t)b->units;
	for (int w = 1; w < 4; w++)
		run->before[w] = (uint8_t)(run->before[w - 1] +
					   (unsigned int)__builtin_popcountll(bits->bits[w - 1]));
	for (unsigned int i = 0; i < b->words; i++)
		if (b->word[i] >> 12 == 0)
			b->word[i] = (uint16_t)(b->word[i] + units);
	memset(b->word + b->words, 0, sizeof(b->word) - b->words * sizeof(*b->word));
	for (unsigned int i = 0; i < units && !b->failed; i++)
		add_unit(b, b->word + i * UNIT_WORDS);
	for (unsigned int i = 0; i < b->nodes && !b->failed; i++)
		add_unit(b, &b->node[i]);
	b->words = b->nodes = 0;
}

static void begin_block(struct builder *b, uint32_t sixteen)
{
	struct bpfast_shield_bits *bits;
	struct bpfast_shield_run *run;

	end_block(b);
	bits = room(b, b->bits, b->blocks, &b->bits_cap, sizeof(*bits));
	if (bits)
		b->bits = bits;
	run = room(b, b->run, b->blocks, &b->run_cap, sizeof(*run));
	if (run)
		b->run = run;
	if (b->failed)
		return;
	memset(&b->bits[b->blocks], 0, sizeof(*bits));
	memset(&b->run[b->blocks], 0, sizeof(*run));
	words(b, BPFAST_SHIELD_V4_LINE)[sixteen] = BPFAST_SHIELD_BLOCK | (uint32_t)b->blocks++;
}

/* Of the /24 being painted something is said of one range that a word can say, and of the rest nothing. */
static bool one_range(const struct builder *b, uint16_t *word)
{
	unsigned int first = 0, last = 255, code, size, log;

	while (!b->code[first])
		first++;
	while (!b->code[last])
		last--;
	code = b->code[first];
	size = last - first + 1;
	if (code >= WORD_CODES || size & (size - 1))
		return false;
	for (unsigned int i = first; i < last; i++)
		if (b->code[i] != b->code[i + 1])
			return false;
	log = (unsigned int)__builtin_ctz(size);
	*word = (uint16_t)(code << 12 | log << 8 | first);
	return true;
}

/* More than that. */
static void make_node(struct builder *b, struct bpfast_shield_node *node)
{
	uint32_t ranges = 1, at = 0;

	memset(node, 0, sizeof(*node));
	for (int i = 1; i < 256; i++)
		ranges += b->code[i] != b->code[i - 1];
	if (ranges > 8) {
		at = take_lines(b, 4);
		if (b->failed)
			return;
		memcpy(b->bytes + (size_t)at * LINE, b->code, 256);
		node->first[0] = BPFAST_SHIELD_DENSE;
		node->line = at;
		return;
	}
	node->code[0] = b->code[0];
	for (int i = 1; i < 256; i++) {
		if (b->code[i] == b->code[i - 1])
			continue;
		node->first[++at] = (uint8_t)i;
		node->code[at] = b->code[i];
	}
	/* Places that are left repeat the last range. */
	for (uint32_t i = at + 1; i < 8; i++) {
		node->first[i] = node->first[at];
		node->code[i] = node->code[at];
	}
}

/* Gives the /24 being painted its word, and a node where it takes one. */
static void flush_block(struct builder *b)
{
	uint32_t twentyfour = (uint32_t)b->block;
	uint16_t word;

	if (b->block < 0 || b->failed)
		return;
	b->block = -1;
	b->bits[b->blocks - 1].bits[twentyfour >> 6 & 3] |= 1ull << (twentyfour & 63);
	if (!one_range(b, &word)) {
		word = (uint16_t)b->nodes;
		make_node(b, &b->node[b->nodes++]);
	}
	b->word[b->words++] = word;
}

/* Says code for all addresses of first..last; ranges come in ascending order. */
static void paint(struct builder *b, uint32_t first, uint32_t last, unsigned int code)
{
	uint64_t at = first, end = (uint64_t)last + 1;

	while (code && at < end && !b->failed) {
		uint32_t entry = words(b, BPFAST_SHIELD_V4_LINE)[at >> 16];

		if (b->block != (int64_t)(at >> 8))
			flush_block(b);
		if (!(at & 0xffff) && end - at >= 0x10000) {
			words(b, BPFAST_SHIELD_V4_LINE)[at >> 16] = code;
			at += 0x10000;
			continue;
		}
		if (!(entry & BPFAST_SHIELD_BLOCK)) {
			begin_block(b, (uint32_t)(at >> 16));
			if (b->failed)
				return;
		}
		if (b->block < 0) {
			b->block = (int64_t)(at >> 8);
			memset(b->code, 0, sizeof(b->code));
		}
		while (at < end && (int64_t)(at >> 8) == b->block)
			b->code[at++ & 255] = (uint8_t)code;
	}
}

/* Puts what the blocks have into the image. */
static void place_blocks(struct builder *b)
{
	uint32_t bits_line = put(b, b->bits, b->blocks, sizeof(*b->bits));
	uint32_t at = put(b, b->unit, b->units, UNIT) * (LINE / UNIT);
	uint32_t run_line;

	for (size_t i = 0; i < b->blocks; i++)
		b->run[i].at += at;
	run_line = put(b, b->run, b->blocks, sizeof(*b->run));
	if (b->failed)
		return;
	head(b)->bits_line = bits_line;
	head(b)->run_line = run_line;
}

static uint32_t v4(const uint8_t addr[16])
{
	return (uint32_t)addr[12] << 24 | (uint32_t)addr[13] << 16 | (uint32_t)addr[14] << 8 |
	       addr[15];
}

static void compile4(struct builder *b, const struct bf_shield_list *list)
{
	struct sweep s = {.depth = 0};
	uint64_t at = 0;

	b->block = -1;
	for (size_t i = 0; i < list->n && !b->failed && !b->crowded; i++) {
		const struct bpfast_shield_entry *e = &list->v[i];

		if (!bf_shield_is4(e))
			continue;
		while (s.depth && v4(s.at[s.depth - 1].last) < v4(e->addr)) {
			s.depth--;
			if (at <= v4(s.at[s.depth].last))
				paint(b, (uint32_t)at, v4(s.at[s.depth].last),
				      code_of(b, &s.at[s.depth].pair));
			at = (uint64_t)v4(s.at[s.depth].last) + 1;
		}
		if (s.depth && at < v4(e->addr))
			paint(b, (uint32_t)at, v4(e->addr) - 1,
			      code_of(b, &s.at[s.depth - 1].pair));
		at = v4(e->addr);
		push(&s, e);
	}
	while (s.depth) {
		s.depth--;
		if (at <= v4(s.at[s.depth].last))
			paint(b, (uint32_t)at, v4(s.at[s.depth].last),
			      code_of(b, &s.at[s.depth].pair));
		at = (uint64_t)v4(s.at[s.depth].last) + 1;
	}
	flush_block(b);
	end_block(b);
	if (!b->failed && !b->crowded)
		place_blocks(b);
}

/* --- IPv6 --- */

struct item {
	uint64_t tag;
	uint32_t code;
};

struct items {
	struct item *v;
	size_t n, cap;
};

static uint64_t half(const uint8_t *bytes)
{
	uint64_t n = 0;

	for (int i = 0; i < 8; i++)
		n = n << 8 | bytes[i];
	return n;
}

/* As shield_hash6() in bpf/shield/lists.h. */
static uint64_t hash6(uint64_t seed, const uint8_t addr[16], unsigned int bits)
{
	uint64_t high = half(addr), low = half(addr + 8);

	if (bits <= 64) {
		low = 0;
		high = bits ? high >> (64 - bits) << (64 - bits) : 0;
	} else {
		low = low >> (128 - bits) << (128 - bits);
	}
	return bpfast_shield_mix(bpfast_shield_mix(bpfast_shield_mix(seed, high), low), bits) | 1;
}

static void add_item(struct builder *b, struct items *items, uint64_t tag, uint32_t code)
{
	struct item *v = room(b, items->v, items->n, &items->cap, sizeof(*v));

	if (!v)
		return;
	items->v = v;
	items->v[items->n++] = (struct item){tag, code};
}

/* What all that hold addr/bits say of it: what is on the stack, up to that length. */
static unsigned int code_at(struct builder *b, const struct sweep *s, unsigned int bits)
{
	for (unsigned int i = s->depth; i-- > 0;)
		if (s->at[i].prefix <= bits)
			return code_of(b, &s->at[i].pair);
	return 0;
}

static bool fill(struct builder *b, uint32_t line, uint32_t buckets, const struct items *items)
{
	for (size_t i = 0; i < items->n; i++) {
		bool done = false;

		for (uint32_t k = 0; k < BPFAST_SHIELD_V6_LINES && !done; k++) {
			uint32_t at = (uint32_t)((items->v[i].tag >> 32) + k) & (buckets - 1);
			struct bpfast_shield_v6 *v = (struct bpfast_shield_v6 *)words(b, line + at);

			for (int j = 0; j < 4 && !done; j++) {
				if (v[j].tag && v[j].tag != items->v[i].tag)
					continue;
				v[j].tag = items->v[i].tag;
				v[j].code = items->v[i].code;
				done = true;
			}
		}
		if (!done)
			return false;
	}
	return true;
}

static void collect6(struct builder *b, const struct bf_shield_list *list, const uint8_t *lengths,
		     unsigned int count, uint64_t seed, struct items *items)
{
	struct sweep s = {.depth = 0};

	for (size_t i = 0; i < list->n && !b->failed && !b->crowded; i++) {
		const struct bpfast_shield_entry *e = &list->v[i];
		unsigned int begin = 0, end = count;

		if (bf_shield_is4(e))
			continue;
		while (s.depth && memcmp(s.at[s.depth - 1].last, e->addr, 16) < 0)
			s.depth--;
		push(&s, e);
		/* The other kind of the same prefix comes next: it says it for both. */
		if (i + 1 < list->n && e->prefix == list->v[i + 1].prefix &&
		    !memcmp(e->addr, list->v[i + 1].addr, 16))
			continue;
		/* Every length at which the search stops on its way must send it on to longer ones. */
		while (begin < end) {
			unsigned int mid = (begin + end) / 2;

			if (lengths[mid] > e->prefix) {
				end = mid;
				continue;
			}
			add_item(b, items, hash6(seed, e->addr, lengths[mid]),
				 code_at(b, &s, lengths[mid]));
			begin = mid + 1;
		}
	}
}

static void compile6(struct builder *b, const struct bf_shield_list *list, uint64_t seed)
{
	uint8_t lengths[BPFAST_SHIELD_LENGTHS];
	bool used[BPFAST_SHIELD_LENGTHS] = {false};
	struct items items = {0};
	unsigned int count = 0;
	uint32_t line, buckets = 1;
	size_t start;

	for (size_t i = 0; i < list->n; i++)
		if (!bf_shield_is4(&list->v[i]))
			used[list->v[i].prefix] = true;
	for (unsigned int i = 0; i < BPFAST_SHIELD_LENGTHS; i++)
		if (used[i])
			lengths[count++] = (uint8_t)i;
	if (!count)
		return;
	line = take_lines(b, (BPFAST_SHIELD_LENGTHS + LINE - 1) / LINE);
	if (b->failed)
		return;
	memcpy(b->bytes + (size_t)line * LINE, lengths, count);
	head(b)->lengths_line = line;
	head(b)->lengths = count;
	collect6(b, list, lengths, count, seed, &items);
	while (buckets * 2 < items.n)
		buckets *= 2;
	start = b->lines;
	while (!b->failed && !b->crowded) {
		b->lines = start;
		line = take_lines(b, buckets);
		if (b->failed || fill(b, line, buckets, &items))
			break;
		buckets *= 2;
	}
	free(items.v);
	if (b->failed)
		return;
	head(b)->v6_line = line;
	head(b)->v6_buckets = buckets;
	head(b)->v6_seed = seed;
}

/* --- both --- */

static void compile(struct builder *b, const struct bf_shield_list *list, uint64_t seed)
{
	const struct bpfast_shield_pair none = {0, 0};
	uint32_t line;

	take_lines(b, BPFAST_SHIELD_BODY_LINE);
	if (b->failed)
		return;
	code_of(b, &none);
	compile4(b, list);
	if (!b->failed && !b->crowded)
		compile6(b, list, seed);
	if (b->failed || b->crowded)
		return;
	line = put(b, list->v, list->n, sizeof(*list->v));
	if (b->failed)
		return;
	memcpy(words(b, BPFAST_SHIELD_PAIRS_LINE), b->pair, sizeof(b->pair));
	head(b)->version = BPFAST_SHIELD_VERSION;
	head(b)->entries_line = line;
	head(b)->entries = (uint32_t)list->n;
	head(b)->round = b->round;
	head(b)->lines = (uint32_t)b->lines;
}

int bf_shield_compile(struct bf_shield_list *list, uint64_t seed, struct bf_shield_image *out)
{
	struct builder *b = calloc(1, sizeof(*b));
	unsigned int round = 0;

	memset(out, 0, sizeof(*out));
	if (!b)
		return -ENOMEM;
	bf_shield_list_sort(list);
	do {
		struct builder fresh = {
			.bytes = b->bytes,
			.cap = b->cap,
			.bits = b->bits,
			.bits_cap = b->bits_cap,
			.run = b->run,
			.run_cap = b->run_cap,
			.unit = b->unit,
			.unit_cap = b->unit_cap,
		};

		*b = fresh;
		/* 256 pairs of times are told apart; more, and they end a little later. At 31 bits all
		 * end together, if ever. */
		b->round = round++;
		compile(b, list, seed);
	} while (b->crowded && !b->failed && round < 31);
	free(b->bits);
	free(b->run);
	free(b->unit);
	if (b->failed || b->crowded) {
		free(b->bytes);
		free(b);
		return -ENOMEM;
	}
	out->bytes = b->bytes;
	out->len = b->lines * LINE;
	free(b);
	return 0;
}

int bf_shield_entries(const void *image, size_t len, struct bf_shield_list *out)
{
	const struct bpfast_shield_image_head *h = image;
	size_t bytes;

	memset(out, 0, sizeof(*out));
	/* The head and the entries are alike in all versions so far. */
	if (len < sizeof(*h) || !h->version || h->version > BPFAST_SHIELD_VERSION ||
	    len / LINE < h->lines || h->entries_line > h->lines ||
	    h->entries > BF_SHIELD_ENTRIES_MAX * 2)
		return -EINVAL;
	bytes = h->entries * sizeof(*out->v);
	if (bytes > len - (size_t)h->entries_line * LINE)
		return -EINVAL;
	if (!h->entries)
		return 0;
	out->v = malloc(bytes);
	if (!out->v)
		return -ENOMEM;
	memcpy(out->v, (const uint8_t *)image + (size_t)h->entries_line * LINE, bytes);
	out->n = out->cap = h->entries;
	return 0;
}
