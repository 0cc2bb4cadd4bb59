// SPDX-License-Identifier: Apache-2.0
/* Making packagings. */
#include "packaging.h"

#include <stdio.h>
#include <string.h>

#include "corpus.h"

#define CUTS_MAX 256

/* xorshift (Marsaglia, 2003), and a multiplication for the low bits. */
struct dice {
	uint64_t x;
};

static uint64_t roll(struct dice *d)
{
	d->x ^= d->x >> 12;
	d->x ^= d->x << 25;
	d->x ^= d->x >> 27;
	return d->x * 0x2545f4914f6cdd1d;
}

/* 0 .. n - 1 */
static size_t below(struct dice *d, size_t n)
{
	return n ? (size_t)((roll(d) >> 32) % n) : 0;
}

static bool one_in(struct dice *d, size_t n)
{
	return !below(d, n);
}

uint64_t random_mix(uint64_t a, uint64_t b)
{
	struct dice d = {a * 0x9e3779b97f4a7c15 + b + 1};

	roll(&d);
	d.x += b * 0xbf58476d1ce4e5b9 + 1;
	return roll(&d);
}

static void put(struct packaging *p, enum step_kind kind, size_t off, size_t len)
{
	while (p->steps < STEPS_MAX) {
		size_t now = len < SEGMENT_MAX ? len : SEGMENT_MAX;

		p->step[p->steps++] = (struct step){
			.kind = (uint8_t)kind, .off = (uint16_t)off, .len = (uint16_t)now};
		off += now;
		len -= now;
		if (!len)
			return;
	}
}

static void begin(struct packaging *p)
{
	memset(p, 0, offsetof(struct packaging, step));
	p->port = PORT_REPLY;
	p->isn = 1000;
	p->resend = 1400;
}

void packaging_split(struct packaging *p, size_t len, size_t at, bool swapped)
{
	begin(p);
	p->v6 = at & 1;
	p->egress = at & 2;
	p->port = (uint16_t)(PORT_REPLY + at / 4 % 3);
	if (swapped)
		put(p, STEP_SEND, at, len - at);
	put(p, STEP_SEND, 0, at);
	if (!swapped)
		put(p, STEP_SEND, at, len - at);
}

void packaging_plain(struct packaging *p, size_t len, size_t size)
{
	begin(p);
	for (size_t off = 0; off < len; off += size) {
		put(p, STEP_SEND, off, len - off < size ? len - off : size);
		put(p, STEP_ACK, 0, 0);
		put(p, STEP_ANSWER, 0, 0);
	}
}

/* Where a cut says most: around line ends and colons, or anywhere. */
static size_t draw_cut(struct dice *d, const uint8_t *bytes, size_t len)
{
	size_t at = 1 + below(d, len - 1);

	if (one_in(d, 2))
		return at;
	for (size_t i = at; i < len; i++) {
		if (bytes[i] == '\r' || bytes[i] == '\n') {
			at = i + below(d, 3);
			break;
		}
	}
	return at < 1 ? 1 : at >= len ? len - 1 : at;
}

/* The cuts in order, each once. */
static size_t draw_cuts(struct dice *d, const uint8_t *bytes, size_t len, size_t *cut)
{
	size_t n = 0, want = one_in(d, 8) ? below(d, CUTS_MAX - 1) : below(d, 9);

	if (len < 2)
		return 0;
	while (want--) {
		size_t at = draw_cut(d, bytes, len), i;

		for (i = n; i && cut[i - 1] > at; i--)
			;
		if (i && cut[i - 1] == at)
			continue;
		memmove(cut + i + 1, cut + i, (n - i) * sizeof(*cut));
		cut[i] = at;
		n++;
	}
	return n;
}

static void swap(struct step *a, struct step *b)
{
	struct step c = *a;

	*a = *b;
	*b = c;
}

/* Puts a step into a place among the others. */
static void insert(struct packaging *p, size_t at, struct step s)
{
	if (p->steps >= STEPS_MAX)
		return;
	memmove(p->step + at + 1, p->step + at, (p->steps - at) * sizeof(*p->step));
	p->step[at] = s;
	p->steps++;
}

static void reorder(struct dice *d, struct packaging *p)
{
	size_t n = p->steps;

	switch (below(d, 6)) {
	case 0: /* neighbours */
		for (size_t i = 1; i < n; i++) {
			if (one_in(d, 4))
				swap(&p->step[i - 1], &p->step[i]);
		}
		break;
	case 1: { /* within a distance */
		size_t window = 2 + below(d, 6);

		for (size_t i = 0; i < n; i++) {
			size_t most = n - i < window ? n - i : window;

			swap(&p->step[i], &p->step[i + below(d, most)]);
		}
		break;
	}
	case 2: /* one of them late */
		if (n > 1) {
			size_t at = below(d, n - 1);
			struct step s = p->step[at];

			p->steps--;
			memmove(p->step + at, p->step + at + 1, (n - at - 1) * sizeof(s));
			insert(p, at + below(d, n - at), s);
		}
		break;
	case 3: /* the other way round */
		if (one_in(d, 3)) {
			for (size_t i = 0; i < n / 2; i++)
				swap(&p->step[i], &p->step[n - 1 - i]);
		}
		break;
	default:
		break;
	}
}

/* Segments grow to either side, over their neighbours' bytes. */
static void overlap(struct dice *d, struct packaging *p, size_t len)
{
	for (size_t i = 0; i < p->steps; i++) {
		struct step *s = &p->step[i];
		size_t left, right;

		if (!one_in(d, 3))
			continue;
		left = below(d, s->off + 1u < 40 ? s->off + 1u : 40);
		right = below(d, 40);
		if (right > len - s->off - s->len)
			right = len - s->off - s->len;
		if (s->len + left + right > SEGMENT_MAX)
			continue;
		s->off = (uint16_t)(s->off - left);
		s->len = (uint16_t)(s->len + left + right);
	}
}

static void repeat(struct dice *d, struct packaging *p, size_t len)
{
	size_t n = 1 + below(d, 4);

	while (n--) {
		struct step s = p->step[below(d, p->steps)];

		if (one_in(d, 2)) { /* any bytes, in place of a segment that was there */
			s.off = (uint16_t)below(d, len);
			s.len = (uint16_t)(1 + below(d, len - s.off < 200 ? len - s.off : 200));
		}
		insert(p, below(d, p->steps + 1), s);
	}
}

void packaging_random(struct packaging *p, const uint8_t *bytes, size_t len, uint64_t number)
{
	struct dice d = {random_mix(number, 1) | 1};
	size_t cut[CUTS_MAX], cuts, from = 0, acks, answers, n;

	begin(p);
	p->v6 = one_in(&d, 2);
	p->egress = one_in(&d, 2);
	p->port = (uint16_t)(PORT_REPLY + below(&d, 3));
	p->vlan = one_in(&d, 8);
	p->timestamps = one_in(&d, 3);
	p->fin = one_in(&d, 3);
	p->reused = one_in(&d, 8);
	p->answers = (uint8_t)below(&d, ANSWERS_KINDS);
	p->company = one_in(&d, 8);
	p->isn = (uint32_t)(roll(&d) >> 32);
	if (one_in(&d, 3)) /* numbers wrap around within the stream */
		p->isn = (uint32_t)0 - 1 - (uint32_t)below(&d, len + 1);
	if (one_in(&d, 2)) {
		p->resend = (uint16_t)(1 + below(&d, 600));
		if (p->resend < len / 64)
			p->resend = (uint16_t)(len / 64);
	}
	if (one_in(&d, 3))
		p->resend_gso = (uint16_t)(1 + below(&d, len < 1400 ? len : 1400));
	cuts = draw_cuts(&d, bytes, len, cut);
	for (size_t i = 0; i <= cuts; i++) {
		size_t to = i < cuts ? cut[i] : len;

		put(p, STEP_SEND, from, to - from);
		from = to;
	}
	reorder(&d, p);
	if (one_in(&d, 3))
		overlap(&d, p, len);
	if (one_in(&d, 3))
		repeat(&d, p, len);
	for (size_t i = one_in(&d, 4) ? 1 + below(&d, 2) : 0; i-- && p->steps > 1;) {
		size_t lost = below(&d, p->steps);

		p->steps--;
		memmove(p->step + lost, p->step + lost + 1, (p->steps - lost) * sizeof(*p->step));
	}
	if (one_in(&d, 4)) {
		uint16_t size = (uint16_t)(1 + below(&d, 1400));

		for (size_t i = 0; i < p->steps; i++)
			p->step[i].gso = p->step[i].len > size ? size : 0;
	}
	if (one_in(&d, 6)) {
		for (size_t i = 0; i < p->steps; i++)
			p->step[i].old_ack = one_in(&d, 4);
	}
	if (one_in(&d, 5)) {
		for (size_t i = 0; i < p->steps; i++)
			p->step[i].lost = one_in(&d, 4);
	}
	acks = below(&d, 4);
	answers = below(&d, 4);
	n = p->steps;
	for (size_t i = n; i-- > 0;) {
		if (answers && one_in(&d, answers))
			insert(p, i + 1, (struct step){.kind = STEP_ANSWER});
		if (acks && one_in(&d, acks))
			insert(p, i + 1, (struct step){.kind = STEP_ACK});
	}
}

void packaging_print(const struct packaging *p, void (*line)(const char *text))
{
	static const char *const answers[] = {"together", "each by itself", "the last first",
					      "early"};
	char text[200];

	snprintf(text, sizeof(text), "IPv%d%s, %s, port %d, ISN %u%s", p->v6 ? 6 : 4,
		 p->vlan ? " behind a VLAN tag" : "",
		 p->egress ? "from the pod (egress)" : "into the pod (ingress)", p->port, p->isn,
		 p->timestamps ? ", timestamps" : "");
	line(text);
	snprintf(text, sizeof(text), "answers %s%s%s%s; sent again in segments of %d",
		 answers[p->answers], p->fin ? "; FIN with the last byte" : "",
		 p->reused ? "; the ports were used before" : "",
		 p->company ? "; with another connection's requests between" : "", p->resend);
	if (p->resend_gso)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), ", super-packets of %d",
			 p->resend_gso);
	line(text);
	for (size_t i = 0; i < p->steps; i++) {
		const struct step *s = &p->step[i];
		int n;

		if (s->kind == STEP_SEND) {
			n = snprintf(text, sizeof(text), "send bytes %d..%d", s->off,
				     s->off + s->len);
			if (s->gso)
				n += snprintf(text + n, sizeof(text) - (size_t)n,
					      ", a super-packet of %d", s->gso);
			snprintf(text + n, sizeof(text) - (size_t)n, "%s%s",
				 s->old_ack ? ", before any answer" : "",
				 s->lost ? ", lost behind the hook" : "");
		} else {
			snprintf(text, sizeof(text), "%s",
				 s->kind == STEP_ACK ? "the server acknowledges"
						     : "the server answers");
		}
		line(text);
	}
}
