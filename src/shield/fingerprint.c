// SPDX-License-Identifier: Apache-2.0
/*
 * Finding a fingerprint: begin with one thing that many packets of the attack
 * have and few honest ones (a seed), keep the packets that have it, add
 * everything that nearly all of those agree in, and if honest packets still
 * bear all that, look for a further seed among the kept. This is how Cloudflare
 * tells of its own pipeline (Bertin, netdev 2.1, 2017): from sampled packets to
 * a filter of the header; the search is sequential covering, as in CN2 (Clark
 * and Niblett, 1989).
 */
#include <string.h>

#include "shield/fingerprint.h"
#include "shield/fingerprint_match.h"

#define SAMPLES_MAX 1024
#define AGREE 0.97 /* of the kept packets have the same: a field of the rule */
#define SEED 0.25 /* of the samples have it: worth beginning with */
#define HONEST 0.01 /* of the honest samples may bear a rule */
#define SEEDS 6 /* tried at each level */
#define DEPTH 3

enum field {
	F_VERSION,
	F_PROTOCOL,
	F_LENGTH,
	F_TTL,
	F_ID,
	F_SPORT,
	F_DPORT,
	F_WINDOW,
	F_FLAGS,
	F_OPTIONS,
	F_OPTION_BYTES,
	F_FORM,
	F_PAYLOAD_BYTES,
	F_WORD0, /* four payload bytes from 0, 2, 4 */
	F_WORD2,
	F_WORD4,
	FIELDS
};

static uint32_t word_at(const struct bpfast_fp_packet *p, unsigned off)
{
	uint32_t w;

	memcpy(&w, (const uint8_t *)p->payload + off, sizeof(w));
	return w;
}

/* Packets without payload have no payload words: they get a value that only they share. */
static uint64_t value(const struct bpfast_fp_packet *p, enum field f)
{
	switch (f) {
	case F_VERSION:
		return p->ip_version;
	case F_PROTOCOL:
		return p->protocol;
	case F_LENGTH:
		return p->length;
	case F_TTL:
		return p->ttl;
	case F_ID:
		return p->id;
	case F_SPORT:
		return p->source_port;
	case F_DPORT:
		return p->destination_port;
	case F_WINDOW:
		return p->window;
	case F_FLAGS:
		return p->tcp_flags;
	case F_OPTIONS:
		return p->options;
	case F_OPTION_BYTES:
		return p->option_bytes;
	case F_FORM:
		return p->form;
	case F_PAYLOAD_BYTES:
		return p->payload_bytes;
	case F_WORD0:
	case F_WORD2:
	case F_WORD4: {
		unsigned off = (f - F_WORD0) * 2;

		return p->payload_bytes < off + 4 ? UINT64_MAX : word_at(p, off);
	}
	default:
		return 0;
	}
}

void bf_fingerprint_any(struct bpfast_fingerprint *f)
{
	*f = (struct bpfast_fingerprint){
		.id = 1,
		.any_protocol = 1,
		.length_max = UINT16_MAX,
		.id_max = UINT16_MAX,
		.source_port_max = UINT16_MAX,
		.destination_port_max = UINT16_MAX,
		.window_max = UINT16_MAX,
		.ttl_max = UINT8_MAX,
		.option_bytes_max = UINT8_MAX,
		.payload_bytes_max = UINT8_MAX,
	};
}

static void need_payload(struct bpfast_fingerprint *f, unsigned bytes)
{
	if (f->payload_bytes_min < bytes)
		f->payload_bytes_min = bytes;
}

static void payload_byte(struct bpfast_fingerprint *f, unsigned off, uint8_t v)
{
	((uint8_t *)f->payload)[off] = v;
	((uint8_t *)f->payload_mask)[off] = 0xff;
	need_payload(f, off + 1);
}

/* Narrows the rule to low..high of a field. Returns whether it says more than before. */
static bool narrow(struct bpfast_fingerprint *f, enum field field, uint64_t low, uint64_t high)
{
	struct bpfast_fingerprint before = *f;
	uint32_t word = low;

	switch (field) {
	case F_VERSION:
		f->ip_version = low;
		break;
	case F_PROTOCOL:
		f->protocol = low;
		f->any_protocol = 0;
		break;
	case F_LENGTH:
		f->length_min = low;
		f->length_max = high;
		break;
	case F_TTL:
		f->ttl_min = low;
		f->ttl_max = high;
		break;
	case F_ID:
		/* IPv6 has none; it would only say "IPv6" or "whoever sends 0". */
		f->id_min = low;
		f->id_max = high;
		break;
	case F_SPORT:
		f->source_port_min = low;
		f->source_port_max = high;
		break;
	case F_DPORT:
		f->destination_port_min = low;
		f->destination_port_max = high;
		break;
	case F_WINDOW:
		f->window_min = low;
		f->window_max = high;
		break;
	case F_FLAGS:
		f->tcp_flags = low;
		f->tcp_flags_mask = 0xff;
		break;
	case F_OPTIONS:
		f->options = low;
		f->options_mask = 0xff;
		break;
	case F_OPTION_BYTES:
		f->option_bytes_min = low;
		f->option_bytes_max = high;
		break;
	case F_FORM:
		f->form = low;
		f->form_mask = BPFAST_FPF_DF | BPFAST_FPF_MORE | BPFAST_FPF_LATER;
		break;
	case F_PAYLOAD_BYTES:
		f->payload_bytes_min = low;
		f->payload_bytes_max = high;
		break;
	default:
		if (low == UINT64_MAX) {
			f->payload_bytes_max = (field - F_WORD0) * 2 + 3;
			break;
		}
		for (unsigned i = 0; i < 4; i++)
			payload_byte(f, (field - F_WORD0) * 2 + i, ((uint8_t *)&word)[i]);
	}
	return memcmp(&before, f, sizeof(before)) != 0;
}

/* Does the field mean something in packets like these? */
static bool applies(const struct bpfast_fp_packet *p, enum field f)
{
	bool tcp = p->protocol == 6 && !(p->form & BPFAST_FPF_LATER);

	switch (f) {
	case F_FLAGS:
	case F_WINDOW:
	case F_OPTIONS:
	case F_OPTION_BYTES:
		return tcp;
	case F_ID:
		return p->ip_version == 4;
	case F_SPORT:
	case F_DPORT:
		return !(p->form & BPFAST_FPF_LATER) && (p->protocol == 6 || p->protocol == 17 ||
							 p->protocol == 1 || p->protocol == 58);
	default:
		return true;
	}
}

/* Some packets, by reference. */
struct set {
	const struct bpfast_fp_packet *p[SAMPLES_MAX];
	size_t n;
};

static void keep(const struct set *from, const struct bpfast_fingerprint *f, struct set *to)
{
	size_t n = 0;

	for (size_t i = 0; i < from->n; i++)
		if (fp_matches(f, from->p[i]))
			to->p[n++] = from->p[i];
	to->n = n;
}

static size_t bearing(const struct set *s, const struct bpfast_fingerprint *f)
{
	size_t n = 0;

	for (size_t i = 0; i < s->n; i++)
		n += fp_matches(f, s->p[i]);
	return n;
}

/* The values of a field, sorted. */
static size_t sorted(const struct set *s, enum field f, uint64_t *v)
{
	for (size_t i = 0; i < s->n; i++) {
		uint64_t x = value(s->p[i], f);
		size_t at = i;

		for (; at && v[at - 1] > x; at--)
			v[at] = v[at - 1];
		v[at] = x;
	}
	return s->n;
}

/* The value that occurs most often; *count: how often. The smaller of two. */
static uint64_t mode(const uint64_t *v, size_t n, size_t *count)
{
	uint64_t best = n ? v[0] : 0;

	*count = 0;
	for (size_t i = 0, from = 0; i < n; i++) {
		if (v[i] != v[from])
			from = i;
		if (i - from + 1 > *count) {
			*count = i - from + 1;
			best = v[i];
		}
	}
	return best;
}

static bool has_range(enum field f)
{
	return f == F_LENGTH || f == F_TTL || f == F_WINDOW;
}

/* The narrowest range that holds `need` of the values; the whole span where that is not much wider. */
static uint64_t narrowest(const uint64_t *v, size_t n, size_t need, uint64_t *low, uint64_t *high)
{
	size_t at = 0;

	if (!need || need > n)
		need = n;
	for (size_t i = 0; i + need <= n; i++)
		if (v[i + need - 1] - v[i] < v[at + need - 1] - v[at])
			at = i;
	*low = v[at];
	*high = v[at + need - 1];
	if (v[n - 1] - v[0] <= 2 * (*high - *low) + 2) {
		*low = v[0];
		*high = v[n - 1];
	}
	return *high - *low;
}

/* A range says something if it is at most this wide. */
static uint64_t widest(enum field f)
{
	return f == F_TTL ? 24 : f == F_LENGTH ? 256 : 2048;
}

/* Adds what nearly all of the kept packets agree in; *s becomes those that bear it all. */
static void tighten(struct bpfast_fingerprint *f, struct set *s)
{
	uint64_t v[SAMPLES_MAX], low, high;

	for (enum field i = 0; i < FIELDS && s->n; i++) {
		size_t n, count;
		uint64_t m;

		if (i >= F_WORD0 || i == F_PAYLOAD_BYTES || !applies(s->p[0], i))
			continue;
		n = sorted(s, i, v);
		m = mode(v, n, &count);
		if ((double)count >= AGREE * (double)n)
			narrow(f, i, m, m);
		else if (has_range(i) &&
			 narrowest(v, n, (size_t)(AGREE * (double)n), &low, &high) <= widest(i))
			narrow(f, i, low, high);
		else
			continue;
		keep(s, f, s);
	}
	for (unsigned off = 0; off < BPFAST_FP_PAYLOAD && s->n; off++) {
		size_t n = 0, count, at = 0;
		uint64_t m;

		for (size_t i = 0; i < s->n; i++) {
			uint8_t x = ((const uint8_t *)s->p[i]->payload)[off];

			if (s->p[i]->payload_bytes <= off)
				continue;
			for (at = n++; at && v[at - 1] > x; at--)
				v[at] = v[at - 1];
			v[at] = x;
		}
		if ((double)n < AGREE * (double)s->n)
			break;
		m = mode(v, n, &count);
		if ((double)count >= AGREE * (double)s->n)
			payload_byte(f, off, m);
	}
	keep(s, f, s);
}

struct seed {
	enum field field;
	uint64_t low, high;
	double worth;
};

static void offer(struct seed *seeds, size_t *n, const struct seed *s)
{
	size_t at = *n;

	while (at && seeds[at - 1].worth < s->worth)
		at--;
	if (at >= SEEDS)
		return;
	if (*n < SEEDS)
		++*n;
	memmove(&seeds[at + 1], &seeds[at], (*n - 1 - at) * sizeof(*s));
	seeds[at] = *s;
}

static double worth(const struct bpfast_fingerprint *rule, const struct set *attack,
		    const struct set *honest, enum field f, uint64_t low, uint64_t high)
{
	struct bpfast_fingerprint with = *rule;
	double a, h;

	if (!narrow(&with, f, low, high))
		return 0;
	a = (double)bearing(attack, &with) / (double)attack->n;
	h = honest->n ? (double)bearing(honest, &with) / (double)honest->n : 0;
	return a < SEED ? 0 : a - h;
}

static size_t find_seeds(const struct bpfast_fingerprint *rule, const struct set *attack,
			 const struct set *honest, struct seed *seeds)
{
	uint64_t v[SAMPLES_MAX];
	size_t n = 0;

	for (enum field f = 0; f < FIELDS; f++) {
		struct seed s = {.field = f};
		size_t count;

		sorted(attack, f, v);
		s.low = s.high = mode(v, attack->n, &count);
		s.worth = worth(rule, attack, honest, f, s.low, s.high);
		if (s.worth > 0.05)
			offer(seeds, &n, &s);
		if (!has_range(f))
			continue;
		/* Half of the samples in a narrow band, whatever the others do. */
		if (narrowest(v, attack->n, attack->n / 2, &s.low, &s.high) > widest(f))
			continue;
		s.worth = worth(rule, attack, honest, f, s.low, s.high);
		if (s.worth > 0.05)
			offer(seeds, &n, &s);
	}
	return n;
}

static unsigned fields_of(const struct bpfast_fingerprint *f)
{
	unsigned n = !f->any_protocol + !!f->ip_version;

	n += f->length_min || f->length_max != UINT16_MAX;
	n += f->id_min || f->id_max != UINT16_MAX;
	n += f->source_port_min || f->source_port_max != UINT16_MAX;
	n += f->destination_port_min || f->destination_port_max != UINT16_MAX;
	n += f->window_min || f->window_max != UINT16_MAX;
	n += f->ttl_min || f->ttl_max != UINT8_MAX;
	n += !!f->tcp_flags_mask + !!f->options_mask + !!f->form_mask;
	n += f->option_bytes_min || f->option_bytes_max != UINT8_MAX;
	n += f->payload_mask[0] || f->payload_mask[1] || f->payload_bytes_max != UINT8_MAX;
	return n;
}

struct search {
	const struct set *honest; /* all of them */
	size_t honest_max; /* that a rule may match */
	size_t attacks;
	struct bpfast_fingerprint best;
	size_t best_covers, best_honest;
};

static void grow(struct search *g, const struct bpfast_fingerprint *rule, const struct set *attack,
		 unsigned depth)
{
	struct seed seeds[SEEDS + 1];
	struct set kept, honest;
	size_t n;

	keep(g->honest, rule, &honest);
	n = find_seeds(rule, attack, &honest, seeds);
	for (size_t i = 0; i < n; i++) {
		struct bpfast_fingerprint with = *rule;
		size_t h;

		narrow(&with, seeds[i].field, seeds[i].low, seeds[i].high);
		keep(attack, &with, &kept);
		tighten(&with, &kept);
		if (kept.n <= g->best_covers || kept.n < g->attacks / 5)
			continue;
		h = bearing(g->honest, &with);
		if (h <= g->honest_max) {
			g->best = with;
			g->best_covers = kept.n;
			g->best_honest = h;
		} else if (depth + 1 < DEPTH) {
			grow(g, &with, &kept, depth + 1);
		}
	}
}

size_t bf_fingerprint_find(const struct bpfast_fp_packet *attack, size_t attacks,
			   const struct bpfast_fp_packet *honest, size_t honests,
			   struct bpfast_fingerprint *out, struct bf_fingerprint_score *score,
			   size_t max)
{
	struct bpfast_fingerprint any;
	struct set left = {.n = 0}, good = {.n = 0};
	size_t found = 0;

	if (attacks > SAMPLES_MAX)
		attacks = SAMPLES_MAX;
	if (honests > SAMPLES_MAX)
		honests = SAMPLES_MAX;
	for (; left.n < attacks; left.n++)
		left.p[left.n] = &attack[left.n];
	for (; good.n < honests; good.n++)
		good.p[good.n] = &honest[good.n];
	bf_fingerprint_any(&any);
	/* A rule of ten packets is a rule of chance. */
	while (found < max && left.n >= 32 && left.n >= attacks / 5) {
		struct search g = {
			.honest = &good,
			.honest_max = (size_t)(HONEST * (double)honests),
			.attacks = attacks,
		};
		size_t n = 0;

		grow(&g, &any, &left, 0);
		if (!g.best_covers || fields_of(&g.best) < 3)
			break;
		out[found] = g.best;
		score[found].attack = (double)g.best_covers / (double)attacks;
		score[found].honest = honests ? (double)g.best_honest / (double)honests : 0;
		score[found].fields = fields_of(&g.best);
		found++;
		for (size_t i = 0; i < left.n; i++)
			if (!fp_matches(&g.best, left.p[i]))
				left.p[n++] = left.p[i];
		left.n = n;
	}
	return found;
}
