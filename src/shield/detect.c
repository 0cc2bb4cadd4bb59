// SPDX-License-Identifier: Apache-2.0
/* The tick: counters to readings, readings to signals. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "shield/internal.h"

#define ANSWER_NS 400000000ull /* a handshake takes at most so long, over mobile networks too */
#define NAMES_NS                                                                                   \
	60000000000ull /* a destination that is not asked for so long may lose its names to another */
/*
 * What comes in the first second of each three is staged, and counts as honest at their end: so two seconds
 * are left for an attack to become suspicious. A flood of SYNs is so only when its handshakes are late.
 */
#define STAGE_NS 3000000000ull
#define STAGE_TAKE_NS 1000000000ull
#define CALM_NS 5000000000ull /* after an attack before anything is learned again */
#define IDLE_NS 600000000000ull /* an entry that may be given to another destination */

static const char *const CLASS_NAMES[BF_CLASSES] = {
	"syn",	       "syn-ack",  "ack",	"rst",		 "fin",	      "udp",
	"amp-dns",     "amp-ntp",  "amp-ssdp",	"amp-memcached", "amp-cldap", "amp-snmp",
	"amp-chargen", "amp-qotd", "dns-query", "icmp",		 "other",     "fragment",
};

const char *bf_class_name(enum bf_class c)
{
	return c < BF_CLASSES ? CLASS_NAMES[c] : "?";
}

const char *bf_spread_name(enum bf_spread s)
{
	static const char *const names[] = {"unknown", "one", "many", "spoofed"};

	return s <= BF_SPREAD_SPOOFED ? names[s] : "?";
}

const char *bf_evidence_name(enum bf_evidence e)
{
	static const char *const names[] = {"unpaired", "stray", "surge"};

	return e <= BF_EV_SURGE ? names[e] : "?";
}

enum stratum bf_stratum_of(enum bf_class c)
{
	if (c == BF_SYN)
		return ST_SYN;
	if (bf_class_is_tcp(c))
		return ST_TCP;
	if (c == BF_UDP || bf_class_is_amp(c))
		return ST_UDP;
	return c == BF_DNS_QUERY ? ST_DNS : c == BF_FRAGMENT ? ST_FRAGMENT : ST_REST;
}

uint32_t bf_detect_random(struct bf_detect *d, uint32_t n)
{
	uint64_t z = d->random += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ z >> 31) % n);
}

/* --- memory --- */

int bf_detect_create(struct bf_detect **out, const struct bf_detect_config *c, struct bf_error *err)
{
	struct bf_detect *d;
	uint32_t slots = 16;

	if (c->destinations < 2 || c->destinations > 65536)
		return bf_err(err, -EINVAL, "destinations must be 2 to 65536, not %u",
			      c->destinations);
	if (c->sensitivity >= BF_SENS_COUNT)
		return bf_err(err, -EINVAL, "sensitivity must be low, medium or high");
	while (slots < 2 * (c->destinations + 2))
		slots *= 2;
	d = calloc(1, sizeof(*d));
	if (!d)
		return bf_err(err, -ENOMEM, "no memory for the detector");
	d->config = *c;
	if (d->config.scale <= 0)
		d->config.scale = 1;
	if (d->config.warm_s <= 0)
		d->config.warm_s = 20;
	if (!d->config.day_s)
		d->config.day_s = 86400;
	d->random = c->seed;
	d->dests = c->destinations + 2;
	d->hash_mask = slots - 1;
	d->of_traffic_max = 2 * d->dests;
	d->dest = calloc(d->dests, sizeof(*d->dest));
	d->hash = calloc(slots, sizeof(*d->hash));
	d->record = calloc(BF_ATTACKS_MAX, sizeof(*d->record));
	d->ended = calloc(BF_ATTACKS_KEPT, sizeof(*d->ended));
	d->of_traffic = calloc(d->of_traffic_max, sizeof(*d->of_traffic));
	d->named = calloc(NAMED, sizeof(*d->named));
	if (!d->named || !d->dest || !d->hash || !d->record || !d->ended || !d->of_traffic) {
		bf_detect_free(d);
		return bf_err(err, -ENOMEM, "no memory for %u destinations", c->destinations);
	}
	d->dest[DEST_ALL].used = d->dest[DEST_OTHER].used = 1;
	d->dest[DEST_OTHER].key.other = 1;
	d->bytes = sizeof(*d) + d->dests * sizeof(*d->dest) + slots * sizeof(*d->hash) +
		   BF_ATTACKS_MAX * sizeof(*d->record) + BF_ATTACKS_KEPT * sizeof(*d->ended) +
		   NAMED * sizeof(*d->named) + d->of_traffic_max * sizeof(*d->of_traffic);
	*out = d;
	return 0;
}

void bf_detect_free(struct bf_detect *d)
{
	if (!d)
		return;
	free(d->dest);
	free(d->hash);
	free(d->record);
	free(d->ended);
	free(d->named);
	free(d->of_traffic);
	free(d);
}

size_t bf_detect_memory(const struct bf_detect *d)
{
	return d->bytes;
}

void bf_detect_stats(const struct bf_detect *d, struct bf_detect_stats *out)
{
	*out = d->stats;
}

/* --- destinations --- */

static bool same(const struct bf_dest *a, const struct bf_dest *b)
{
	return a->port == b->port && a->protocol == b->protocol && !memcmp(a->addr, b->addr, 16);
}

static uint32_t place(const struct bf_dest *k)
{
	uint64_t a, b, h;

	memcpy(&a, k->addr, 8);
	memcpy(&b, k->addr + 8, 8);
	h = (a ^ (uint64_t)k->port << 8 ^ k->protocol) * 0x9e3779b97f4a7c15u;
	h = (h ^ h >> 29 ^ b) * 0xbf58476d1ce4e5b9u;
	return (uint32_t)(h >> 32);
}

static void rehash(struct bf_detect *d)
{
	memset(d->hash, 0, (d->hash_mask + 1ul) * sizeof(*d->hash));
	for (uint32_t i = DEST_OTHER + 1; i < d->dests; i++) {
		uint32_t at = place(&d->dest[i].key) & d->hash_mask;

		if (!d->dest[i].used)
			continue;
		while (d->hash[at])
			at = (at + 1) & d->hash_mask;
		d->hash[at] = i + 1;
	}
}

/* An entry that nobody uses, or that nobody has used for long; DEST_OTHER: there is none. */
static uint32_t room(struct bf_detect *d)
{
	uint32_t idle = DEST_OTHER;

	for (uint32_t i = DEST_OTHER + 1; i < d->dests; i++) {
		const struct destination *e = &d->dest[i];

		if (!e->used)
			return i;
		if (!e->on && d->now_ns - e->seen_ns > IDLE_NS &&
		    (idle == DEST_OTHER || e->seen_ns < d->dest[idle].seen_ns))
			idle = i;
	}
	return idle;
}

uint32_t bf_detect_destination(struct bf_detect *d, const struct bf_dest *k)
{
	uint32_t at = place(k) & d->hash_mask, i;
	bool old;

	if (k->other)
		return DEST_OTHER;
	while (d->hash[at]) {
		if (same(&d->dest[d->hash[at] - 1].key, k))
			return d->hash[at] - 1;
		at = (at + 1) & d->hash_mask;
	}
	i = room(d);
	if (i == DEST_OTHER) {
		d->stats.overflow++;
		return i;
	}
	old = d->dest[i].used;
	if (bf_named_of(d, i))
		bf_named_of(d, i)->dest = 0;
	memset(&d->dest[i], 0, sizeof(d->dest[i]));
	d->dest[i].key = *k;
	d->dest[i].used = 1;
	d->dest[i].first_ns = d->dest[i].seen_ns = d->dest[i].calm_ns = d->now_ns;
	if (old) {
		rehash(d);
	} else {
		d->hash[at] = i + 1;
		d->stats.destinations++;
	}
	return i;
}

/* --- sources --- */

/* Shannon's entropy of the buckets as a share of the most it could be; < 0: too few packets to tell. */
static double entropy(const uint32_t *bucket)
{
	double n = 0, h = 0;

	for (unsigned i = 0; i < BF_SOURCE_BUCKETS; i++)
		n += bucket[i];
	if (n < 4 * BF_SOURCE_BUCKETS)
		return -1;
	for (unsigned i = 0; i < BF_SOURCE_BUCKETS; i++)
		if (bucket[i])
			h -= bucket[i] / n * log2(bucket[i] / n);
	return h / log2(BF_SOURCE_BUCKETS);
}

/*
 * How the packets are spread over sources, against how they were: packets a
 * source, and entropy (Feinstein et al., DISCEX 2003; Lakhina et al., SIGCOMM
 * 2005). A crowd changes the number of sources, not this.
 */
static bool strange(struct destination *e, const struct bf_traffic *t, double packets, double dt_s)
{
	double h = entropy(t->bucket), fast = fmin(1, dt_s / 0.3), slow, x;
	uint32_t sum = 0, top = 0;
	bool odd;

	for (unsigned i = 0; i < BF_SOURCE_BUCKETS; i++) {
		sum += t->bucket[i];
		top = t->bucket[i] > top ? t->bucket[i] : top;
	}
	e->heaviest = sum ? packets * top / sum : 0;
	if (packets < 20 || !t->sources)
		return false;
	e->packets_per_source = packets / t->sources;
	x = log2(e->packets_per_source);
	if (e->shape_age_s == 0) {
		e->shape = e->shape_mean = x;
		e->entropy = e->entropy_mean = h >= 0 ? h : 0;
	}
	e->shape += fast * (x - e->shape);
	if (h >= 0)
		e->entropy += fast * (h - e->entropy);
	odd = e->shape_age_s > 10 &&
	      (fabs(e->shape - e->shape_mean) > fmax(1.5, 5 * e->shape_dev) ||
	       (h >= 0 && fabs(e->entropy - e->entropy_mean) > fmax(0.15, 5 * e->entropy_dev)));
	if (!e->on) {
		slow = dt_s / fmin(e->shape_age_s + dt_s, 120);
		e->shape_mean += slow * (e->shape - e->shape_mean);
		e->shape_dev += slow * (fabs(e->shape - e->shape_mean) - e->shape_dev);
		e->entropy_mean += slow * (e->entropy - e->entropy_mean);
		e->entropy_dev += slow * (fabs(e->entropy - e->entropy_mean) - e->entropy_dev);
		e->shape_age_s += dt_s;
	}
	return odd;
}

/* --- readings --- */

/* SYNs whose time is up, and how many still wait. */
static void due(struct destination *e, uint64_t now_ns, double all, double unknown, double *due_all,
		double *due_unknown, double *wait)
{
	*due_all = *due_unknown = *wait = 0;
	/* Ticks so short that all places wait: the oldest goes early. */
	if (e->waiting[LATER - 1].at_ns) {
		*due_all = e->waiting[LATER - 1].all;
		*due_unknown = e->waiting[LATER - 1].unknown;
	}
	memmove(&e->waiting[1], &e->waiting[0], (LATER - 1) * sizeof(e->waiting[0]));
	e->waiting[0] = (struct waiting){now_ns, all, unknown};
	for (unsigned i = 0; i < LATER; i++) {
		struct waiting *w = &e->waiting[i];

		if (!w->at_ns)
			continue;
		if (now_ns - w->at_ns >= ANSWER_NS) {
			*due_all += w->all;
			*due_unknown += w->unknown;
			w->at_ns = 0;
		} else {
			*wait += w->all;
		}
	}
}

static void read_class(struct bf_detect *d, struct destination *e, enum bf_class c,
		       const struct bf_traffic *t, struct bf_reading *r)
{
	const struct bf_count *n = &t->count[c];
	double per_s = 1 / r->dt_s, all = n->packets,
	       known = n->known > n->packets ? all : n->known;
	double unknown = all - known, pairing = bf_signal_pairing(&e->signal[c], c);

	r->rate = all * per_s;
	r->unknown = unknown * per_s;
	r->paired = n->paired * per_s;
	r->odd_low = 0;
	r->strangers = all > 0 ? unknown / all : 1;
	r->odd_known = t->has_pairs && pairing > 0;
	r->odd = fmin(unknown, all - pairing * n->paired) * per_s;
	if (c == BF_SYN) {
		double due_all, due_unknown, wait;

		due(e, d->now_ns, all, unknown, &due_all, &due_unknown, &wait);
		r->odd = fmin(due_unknown, due_all - n->paired) * per_s;
		r->odd_low = -wait;
		r->odd_known = true;
	} else if (bf_class_is_tcp(c)) {
		r->odd = n->stray * per_s;
		r->odd_known = true;
	} else if (bf_class_is_amp(c)) {
		/* Responses come after their requests, perhaps in the next tick. */
		r->odd_low = -0.5 * e->signal[c].live;
		r->odd_known = true;
	}
	/* A tunnel, a transfer. Whoever asks for so many names is none. */
	r->talk = (c == BF_UDP || c == BF_OTHER) && e->heaviest >= 0.8 * all &&
		  8.0 * n->paired >= all;
}

/* What many destinations have together that none has alone: an attack on a whole network. */
struct together {
	double odd, odd_low, odd_most, unknown, unknown_most, unknown_strange, rate, paired;
	bool odd_known, on;
};

static void add_together(struct together *all, const struct bf_reading *r, double ordinary, bool on)
{
	if (on) {
		all->on = true;
		return;
	}
	all->rate += r->rate;
	all->paired += r->paired;
	all->unknown += r->unknown;
	all->unknown_most = fmax(all->unknown_most, r->unknown);
	if (r->strange || r->unknown > 4 * ordinary)
		all->unknown_strange += r->unknown;
	if (!r->odd_known)
		return;
	all->odd_known = true;
	/* Only SYNs of one tick are answered in another; else nobody makes up for his neighbour. */
	all->odd += r->odd_low < 0 ? r->odd : fmax(0, r->odd);
	all->odd_low += r->odd_low;
	all->odd_most = fmax(all->odd_most, r->odd);
}

struct step {
	struct bf_detect *d;
	double dt_s, floor, times;
	unsigned slot;
	unsigned changes;
};

static unsigned one_class(struct step *st, uint32_t at, enum bf_class c, const struct bf_reading *r)
{
	struct bf_signal *s = &st->d->dest[at].signal[c];

	if (bf_signal_step(s, c, r, st->d->now_ns))
		return bf_attack_start(st->d, at, c,
				       s->evidence == BF_EV_SURGE ? r->unknown : r->odd, st->slot) |
		       BF_CHANGE_LIMITS;
	return bf_signal_over(s, st->d->now_ns) ? BF_CHANGE_LIMITS : 0;
}

/* After the classes: is anything on, may it be learned from? */
static void settle(struct step *st, uint32_t at, const struct bf_reading *readings)
{
	struct destination *e = &st->d->dest[at];
	bool forever = false;
	bool calm = true;

	e->on = e->awaited != 0;
	for (enum bf_class c = 0; c < BF_CLASSES; c++) {
		e->on |= e->signal[c].on;
		calm &= bf_signal_calm(&e->signal[c]);
		forever |= bf_signal_forever(&e->signal[c], st->d->now_ns);
	}
	e->restless = !calm;
	if (!e->on)
		e->resumed = 0;
	/* What is spread over all is little for each, and shall not be learned there. */
	calm &= !st->d->dest[DEST_ALL].restless;
	if (e->on && !forever) {
		e->calm_ns = st->d->now_ns + CALM_NS;
		return;
	}
	if (!calm && !forever) {
		if (e->calm_ns < st->d->now_ns)
			e->calm_ns = st->d->now_ns;
		return;
	}
	if (st->d->now_ns < e->calm_ns && !forever)
		return;
	for (enum bf_class c = 0; c < BF_CLASSES; c++) {
		struct bf_signal *s = &e->signal[c];

		if (!(readings[c].rate > 0) && !(s->all.age_s > 0))
			continue;
		/* What comes here for the first time has been zero until now. */
		if (!(s->all.age_s > 0))
			bf_signal_age(s, (double)(st->d->now_ns - e->first_ns) / 1e9);
		bf_signal_learn(s, c, &readings[c]);
	}
}

static void one_destination(struct step *st, uint32_t at, const struct bf_traffic *t,
			    struct together *all)
{
	static const double floors[BF_SENS_COUNT] = {1, 4, 1, 0.5},
			    times[BF_SENS_COUNT] = {1, 2, 1, 0.7};
	struct destination *e = &st->d->dest[at];
	struct bf_reading r[BF_CLASSES];
	unsigned sens = t->sensitivity && t->sensitivity < BF_SENS_COUNT
				? t->sensitivity
				: st->d->config.sensitivity;
	double packets = 0;
	bool odd;

	e->sensitivity = sens ? sens : BF_SENS_MEDIUM;
	for (enum bf_class c = 0; c < BF_CLASSES; c++)
		packets += t->count[c].packets;
	if (packets > 0)
		e->seen_ns = st->d->now_ns;
	odd = strange(e, t, packets, st->dt_s);
	for (enum bf_class c = 0; c < BF_CLASSES; c++) {
		r[c] = (struct bf_reading){
			.dt_s = st->dt_s,
			.slot = st->slot,
			.floor = (e->resumed ? st->d->config.scale : st->floor) * floors[sens],
			.times = times[sens],
			.strange = odd,
			.young = !e->resumed && st->d->now_ns - e->first_ns <
							(uint64_t)(st->d->config.warm_s * 1e9),
		};
		read_class(st->d, e, c, t, &r[c]);
		st->changes |= one_class(st, at, c, &r[c]);
		add_together(&all[c], &r[c], bf_baseline_expect(&e->signal[c].all, st->slot),
			     e->signal[c].on);
	}
	settle(st, at, r);
	if (e->on)
		bf_attack_count(st->d, at, t, st->dt_s);
}

#define TOGETHER 4 /* times the floors of one destination */

static void all_together(struct step *st, const struct together *all)
{
	struct bf_reading r[BF_CLASSES];

	for (enum bf_class c = 0; c < BF_CLASSES; c++) {
		const struct together *a = &all[c];
		/* One alone has its own entry, and is found there. */
		bool one = a->odd_most > 0.5 * a->odd || a->on;

		r[c] = (struct bf_reading){
			.rate = a->rate,
			.unknown = a->unknown_most > 0.5 * a->unknown || a->on ? 0 : a->unknown,
			.odd = one ? 0 : a->odd,
			.strange = a->unknown_strange > 0.5 * a->unknown,
			.odd_low = a->odd_low,
			.strangers = 1,
			.odd_known = a->odd_known,
			.paired = a->paired,
			.dt_s = st->dt_s,
			.slot = st->slot,
			.floor = (st->d->dest[DEST_ALL].resumed ? st->d->config.scale : st->floor) *
				 TOGETHER,
			.times = 1,
		};
		st->changes |= one_class(st, DEST_ALL, c, &r[c]);
	}
	settle(st, DEST_ALL, r);
}

/* --- samples --- */

static void honest(struct bf_detect *d, struct reservoir *h, const struct bpfast_fp_packet *p)
{
	/* Once full each new one takes a random place: what is old fades. */
	if (h->n < HONEST)
		h->p[h->n++] = *p;
	else
		h->p[bf_detect_random(d, HONEST)] = *p;
}

/* Is this the time at which samples of a destination are staged? */
static bool staging(const struct bf_detect *d, const struct destination *e)
{
	return !e->on && d->now_ns - e->staged_ns < STAGE_TAKE_NS;
}

static void stage(struct bf_detect *d, struct destination *e, const struct bf_sampled *s)
{
	struct staging *g = &e->staged[bf_stratum_of(s->cls)];

	if (g->n < STAGED)
		g->p[g->n++] = s->packet;
	else if (!bf_detect_random(d, 4))
		g->p[bf_detect_random(d, STAGED)] = s->packet;
}

struct named *bf_named_of(const struct bf_detect *d, uint32_t dest)
{
	for (unsigned i = 0; i < NAMED; i++)
		if (d->named[i].dest == dest && dest)
			return &d->named[i];
	return NULL;
}

/* A query while no attack is on, from whomever. */
static void stage_name(struct bf_detect *d, uint32_t dest, const struct bf_sampled *s)
{
	struct named *n = bf_named_of(d, dest), *oldest = &d->named[0];

	for (unsigned i = 1; !n && i < NAMED; i++)
		if (!d->named[i].dest || (oldest->dest && d->named[i].used_ns < oldest->used_ns))
			oldest = &d->named[i];
	if (!n) {
		/* Who is attacked needs its names, and who was asked just now too. */
		if (oldest->dest &&
		    (d->dest[oldest->dest].on || d->now_ns - oldest->used_ns < NAMES_NS))
			return;
		n = oldest;
		memset(n, 0, sizeof(*n));
		n->dest = dest;
	}
	n->used_ns = d->now_ns;
	if (n->staged == STAGED_QUERIES)
		return;
	n->query[n->staged].bytes =
		s->payload_bytes < BF_SAMPLE_PAYLOAD ? s->payload_bytes : BF_SAMPLE_PAYLOAD;
	memcpy(n->query[n->staged].payload, s->payload, BF_SAMPLE_PAYLOAD);
	n->query[n->staged++].at_ns = d->now_ns;
}

static void unstage_names(struct named *n, bool clean)
{
	for (uint32_t i = 0; n && clean && i < n->staged; i++)
		bf_names_add(&n->names, n->query[i].payload, n->query[i].bytes, n->query[i].at_ns);
	if (n)
		n->staged = 0;
}

/* Every three seconds: what was staged is honest if nothing was suspicious since. */
static void unstage(struct bf_detect *d, struct destination *e)
{
	bool clean = !e->on && e->calm_ns <= e->staged_ns;

	if (d->now_ns - e->staged_ns < STAGE_NS)
		return;
	e->staged_ns = d->now_ns;
	unstage_names(bf_named_of(d, (uint32_t)(e - d->dest)), clean);
	for (unsigned i = 0; i < STRATA; i++) {
		for (uint32_t j = 0; clean && j < e->staged[i].n; j++)
			honest(d, &e->honest[i], &e->staged[i].p[j]);
		e->staged[i].n = 0;
	}
}

static void take_samples(struct bf_detect *d, const struct bf_tick *t)
{
	for (size_t i = 0; i < t->sample_count; i++) {
		const struct bf_sampled *s = &t->samples[i];
		struct destination *e;
		uint32_t at;

		if (s->traffic >= t->traffic_count || s->traffic >= d->of_traffic_max ||
		    s->cls >= BF_CLASSES)
			continue;
		at = d->of_traffic[s->traffic];
		e = &d->dest[at];
		if (s->known)
			honest(d, &e->honest[bf_stratum_of(s->cls)], &s->packet);
		else if (staging(d, e))
			stage(d, e, s);
		if (s->cls == BF_DNS_QUERY && staging(d, e))
			stage_name(d, at, s);
		if (e->on)
			bf_attack_sample(d, at, s);
		if (d->dest[DEST_ALL].on)
			bf_attack_sample(d, DEST_ALL, s);
	}
	for (uint32_t i = 0; i < d->dests; i++)
		if (d->dest[i].used)
			unstage(d, &d->dest[i]);
}

/* --- the tick --- */

static unsigned slot_of(const struct bf_detect *d, uint32_t second)
{
	return (uint64_t)(second % d->config.day_s) * BF_SLOTS / d->config.day_s;
}

/* Several of the tick's entries may be one of ours: those that share "other". */
static void add_traffic(struct bf_traffic *sum, const struct bf_traffic *t)
{
	for (enum bf_class c = 0; c < BF_CLASSES; c++) {
		sum->count[c].packets += t->count[c].packets;
		sum->count[c].bytes += t->count[c].bytes;
		sum->count[c].known += t->count[c].known;
		sum->count[c].stray += t->count[c].stray;
		sum->count[c].paired += t->count[c].paired;
		sum->count[c].dropped += t->count[c].dropped;
	}
	sum->sources += t->sources;
	for (unsigned i = 0; i < BF_SOURCE_BUCKETS; i++)
		sum->bucket[i] += t->bucket[i];
	sum->has_pairs |= t->has_pairs;
}

static void tell_all(struct step *st, const struct bf_tick *t, struct together *all)
{
	static const struct bf_traffic none = {.has_pairs = 1};
	struct bf_traffic other = none, everything = none;
	struct bf_detect *d = st->d;

	for (size_t i = 0; i < t->traffic_count; i++) {
		uint32_t at = bf_detect_destination(d, &t->traffic[i].dest);

		if (i < d->of_traffic_max)
			d->of_traffic[i] = at;
		if (at == DEST_OTHER || d->dest[at].told) {
			add_traffic(&other, &t->traffic[i]);
			continue;
		}
		d->dest[at].told = 1;
		one_destination(st, at, &t->traffic[i], all);
		if (d->dest[DEST_ALL].on)
			add_traffic(&everything, &t->traffic[i]);
	}
	one_destination(st, DEST_OTHER, &other, all);
	for (uint32_t i = DEST_OTHER + 1; i < d->dests; i++) {
		if (d->dest[i].used && !d->dest[i].told)
			one_destination(st, i, &none, all);
		d->dest[i].told = 0;
	}
	all_together(st, all);
	if (d->dest[DEST_ALL].on)
		bf_attack_count(d, DEST_ALL, &everything, st->dt_s);
}

unsigned bf_detect_tick(struct bf_detect *d, const struct bf_tick *t)
{
	struct together all[BF_CLASSES] = {0};
	struct step st = {.d = d, .slot = slot_of(d, t->second_of_day)};
	uint64_t passed = t->now_ns - d->now_ns;

	if (d->stats.ticks && t->now_ns <= d->now_ns)
		return 0;
	if (!d->stats.ticks++) {
		/* The first tick's counters are over a time that nobody knows. */
		d->now_ns = d->start_ns = t->now_ns;
		d->dest[DEST_ALL].first_ns = d->dest[DEST_OTHER].first_ns = t->now_ns;
		return 0;
	}
	d->now_ns = t->now_ns;
	st.dt_s = (double)passed / 1e9;
	/* At the start every connection is new to us, and every source unknown. */
	st.floor = d->config.scale *
		   ((double)(d->now_ns - d->start_ns) / 1e9 < d->config.warm_s ? 10 : 1);
	tell_all(&st, t, all);
	take_samples(d, t);
	for (unsigned i = 0; i < BF_ATTACKS_MAX; i++)
		if (d->record[i].used)
			st.changes |= bf_attack_study(d, &d->record[i], st.slot);
	if (st.changes & BF_CHANGE_ENDED)
		st.changes |= BF_CHANGE_LIMITS;
	return st.changes;
}

/* --- what shall be in force --- */

size_t bf_detect_limits(const struct bf_detect *d, struct bf_limit *out, size_t max)
{
	size_t n = 0;

	for (uint32_t i = 0; i < d->dests; i++) {
		for (enum bf_class c = 0; d->dest[i].on && c < BF_CLASSES; c++) {
			const struct bf_signal *s = &d->dest[i].signal[c];
			double pps = bf_signal_allowance(s, c, s->all.slot);

			if (!s->on)
				continue;
			if (n < max)
				out[n] = (struct bf_limit){
					.attack = s->record ? d->record[s->record - 1].pub.id : 0,
					.dest = d->dest[i].key,
					.cls = c,
					.stray_only = s->evidence == BF_EV_STRAY,
					.pps = pps < UINT32_MAX ? (uint32_t)pps : UINT32_MAX,
					.burst = pps / 4 < UINT32_MAX ? (uint32_t)(pps / 4)
								      : UINT32_MAX,
				};
			n++;
		}
	}
	return n;
}
