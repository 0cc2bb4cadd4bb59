// SPDX-License-Identifier: Apache-2.0
/* Records of attacks: who, how much, and what their packets have in common. */
#include <math.h>
#include <string.h>

#include "shield/fingerprint_match.h"
#include "shield/internal.h"

#define STUDY_MIN 96 /* samples before a fingerprint is looked for */
#define STUDY_NS 1000000000ull /* between two looks */
#define RATE_NS 5000000000ull /* between two checks of a rule that is in force */
#define NAMES_STALE 0.25 /* share of the queries that a rule about names must still meet */
#define NAMES_ENOUGH 32 /* queries */
#define NAMES_CALM_NS                                                                              \
	30000000000ull /* so long a destination must have been there before its attack */
#define TOP_SHARE 0.05 /* of the packets, to be named */
#define STALE 0.5 /* share of the samples that rules must still bear */
#define HURTS 0.01 /* share of the honest ones that they may */

/* Classes that one attack may consist of. A class of its own: joins nothing. */
static unsigned group(enum bf_class c)
{
	if (c == BF_SYN)
		return 1;
	if (bf_class_is_tcp(c))
		return 2; /* floods with random flags are all of these */
	if (c == BF_ICMP)
		return 4;
	if (c == BF_OTHER)
		return 5;
	return 3; /* large responses come as a packet from the port and fragments */
}

static struct record *joined(struct bf_detect *d, uint32_t dest, enum bf_class c)
{
	for (unsigned i = 0; i < BF_ATTACKS_MAX; i++) {
		struct record *r = &d->record[i];

		if (r->used && r->dest == dest && group(r->pub.kind) == group(c))
			return r;
	}
	return NULL;
}

static struct record *fresh(struct bf_detect *d)
{
	for (unsigned i = 0; i < BF_ATTACKS_MAX; i++) {
		struct record *r = &d->record[i];

		if (r->used)
			continue;
		memset(r, 0, sizeof(*r));
		r->used = 1;
		return r;
	}
	return NULL;
}

unsigned bf_attack_start(struct bf_detect *d, uint32_t dest, enum bf_class c, double value,
			 unsigned slot)
{
	struct destination *e = &d->dest[dest];
	struct bf_signal *s = &e->signal[c];
	struct record *r = joined(d, dest, c);
	struct bf_attack *a;

	e->on = 1;
	s->record = 0;
	if (r) {
		s->record = (uint16_t)(r - d->record + 1);
		r->pub.classes |= 1u << c;
		if (r->pub.awaited) {
			r->pub.awaited = 0;
			e->awaited--;
		}
		/* Fragments are only the tail of what is the attack. */
		if (r->pub.kind == BF_FRAGMENT)
			r->pub.kind = c;
		return 0;
	}
	r = fresh(d);
	if (!r) {
		d->stats.unrecorded++;
		return 0;
	}
	s->record = (uint16_t)(r - d->record + 1);
	r->dest = dest;
	r->looked_ns = d->now_ns;
	a = &r->pub;
	a->id = ++d->last_id;
	a->dest = e->key;
	a->kind = c;
	a->classes = 1u << c;
	a->evidence = s->evidence;
	a->sensitivity = e->sensitivity;
	a->actions = BF_ACT_LIMIT | (c == BF_SYN ? BF_ACT_COOKIES : 0);
	a->start_ns = s->risen_ns;
	a->detected_ns = d->now_ns;
	a->value = value;
	a->threshold = s->evidence == BF_EV_SURGE ? s->surge_limit : s->odd_limit;
	a->ordinary = bf_baseline_expect(&s->all, slot);
	a->entropy = e->entropy;
	a->packets_per_source = e->packets_per_source;
	return BF_CHANGE_STARTED;
}

void bf_attack_count(struct bf_detect *d, uint32_t dest, const struct bf_traffic *t, double dt_s)
{
	for (unsigned i = 0; i < BF_ATTACKS_MAX; i++) {
		struct record *r = &d->record[i];
		double ordinary = 0, packets = 0, bytes = 0, known = 0;

		if (!r->used || r->dest != dest)
			continue;
		for (enum bf_class c = 0; c < BF_CLASSES; c++) {
			const struct bf_count *n = &t->count[c];

			if (!(r->pub.classes & 1u << c))
				continue;
			packets += n->packets;
			bytes += n->bytes;
			known += n->known;
			r->pub.dropped += n->dropped;
			ordinary += d->dest[dest].signal[c].all.mean * dt_s;
		}
		r->pub.packets += (uint64_t)packets;
		r->pub.bytes += (uint64_t)bytes;
		r->pps = packets / dt_s;
		r->bps = 8 * bytes / dt_s;
		r->pub.peak_pps = fmax(r->pub.peak_pps, r->pps);
		r->pub.peak_bps = fmax(r->pub.peak_bps, r->bps);
		/* A tick in which the flood is most of it tells of its sources. */
		if (packets > 4 * ordinary && packets > 50 && packets - known > 0.5 * packets) {
			r->excess_packets += packets;
			r->excess_sources += t->sources;
			r->pub.entropy = d->dest[dest].entropy;
			if (r->excess_sources > 0)
				r->pub.packets_per_source = r->excess_packets / r->excess_sources;
		}
	}
}

void bf_attack_sample(struct bf_detect *d, uint32_t dest, const struct bf_sampled *s)
{
	for (unsigned i = 0; i < BF_ATTACKS_MAX; i++) {
		struct record *r = &d->record[i];
		uint8_t prefix[16];

		if (!r->used || r->dest != dest || !(r->pub.classes & 1u << s->cls) || s->known ||
		    (r->pub.evidence == BF_EV_STRAY && !s->stray))
			continue;
		bf_heavy_add(&r->sources, s->source, s->weight);
		bf_heavy_prefix(s->source, prefix);
		bf_heavy_add(&r->prefixes, prefix, s->weight);
		if (r->evil_n < EVIL)
			r->evil[r->evil_n++] = s->packet;
		else
			r->evil[bf_detect_random(d, EVIL)] = s->packet;
		if (s->cls == BF_DNS_QUERY && r->pub.dns.bytes) {
			r->asked++;
			r->below += bf_dns_below(&r->pub.dns, s->payload, s->payload_bytes);
		}
		if (s->cls == BF_DNS_QUERY)
			bf_dns_add(&r->dns, s->payload,
				   s->payload_bytes < BF_SAMPLE_PAYLOAD ? s->payload_bytes
									: BF_SAMPLE_PAYLOAD);
	}
}

/* --- what the samples tell --- */

static void name_sources(struct record *r)
{
	struct bf_heavy_entry top[BF_ATTACK_TOP];
	struct bf_attack *a = &r->pub;
	uint8_t ignored[16];
	double named = 0;

	a->tops = bf_heavy_top(&r->sources, TOP_SHARE, a->top, BF_ATTACK_TOP);
	a->top_prefixes = bf_heavy_top(&r->prefixes, TOP_SHARE, top, BF_ATTACK_TOP);
	for (unsigned i = 0; i < a->top_prefixes; i++) {
		a->prefix[i].who = top[i];
		a->prefix[i].bits = bf_heavy_prefix(top[i].addr, ignored);
	}
	for (unsigned i = 0; i < a->tops; i++)
		named += (double)(a->top[i].count - a->top[i].error);
	if (r->sources.total && named > 0.6 * (double)r->sources.total)
		a->spread = BF_SPREAD_ONE;
	else if (r->excess_sources > 0)
		a->spread = r->excess_packets / r->excess_sources < 1.5 ? BF_SPREAD_SPOOFED
									: BF_SPREAD_MANY;
}

/* Would a rule of this attack meet packets to that destination too? */
static bool meets(const struct destination *rule, const struct destination *e, uint32_t dest)
{
	if (dest <= DEST_OTHER)
		return true;
	if (memcmp(rule->key.addr, e->key.addr, 16))
		return false;
	return !rule->key.port || rule == e;
}

/* Honest packets that a rule could hit: of all destinations that it will be compared at. */
static size_t honest_packets(const struct bf_detect *d, const struct record *r,
			     struct bpfast_fp_packet *out, size_t max)
{
	const struct destination *mine = &d->dest[r->dest];
	enum stratum st = bf_stratum_of(r->pub.kind);
	size_t n = 0, dests = 0;

	for (uint32_t i = 0; i < d->dests; i++)
		dests += d->dest[i].used && meets(mine, &d->dest[i], r->dest);
	for (uint32_t i = 0; i < d->dests; i++) {
		const struct destination *e = &d->dest[i];

		if (!e->used || !meets(mine, e, r->dest))
			continue;
		for (unsigned j = 0; j < STRATA; j++) {
			size_t take = e->honest[j].n, most = max / (2 * dests) + 1;

			/* TCP rules meet SYNs and all the rest, and rules for UDP all of UDP. */
			if (j != st && !(j <= ST_TCP && st <= ST_TCP) &&
			    !(dests > 1 && j >= ST_UDP && st >= ST_UDP))
				continue;
			take = take < most ? take : most;
			take = take < max - n ? take : max - n;
			memcpy(&out[n], e->honest[j].p, take * sizeof(*out));
			n += take;
		}
	}
	return n;
}

/* Share of the packets that bear one of the rules. */
static double borne(const struct record *r, const struct bpfast_fp_packet *p, size_t n)
{
	size_t hits = 0;

	for (size_t i = 0; i < n; i++) {
		bool bears = false;

		for (unsigned j = 0; j < r->pub.rules; j++)
			bears |= fp_matches(&r->pub.rule[j], &p[i]);
		hits += bears;
	}
	return n ? (double)hits / (double)n : 0;
}

/* The flood has changed, or honest packets came that the rules would hit. */
static bool stale(struct bf_detect *d, const struct record *r)
{
	size_t n = honest_packets(d, r, d->good, GOOD);

	return borne(r, r->evil, r->evil_n) < STALE || borne(r, d->good, n) > HURTS;
}

static unsigned look_for_rules(struct bf_detect *d, struct record *r)
{
	const struct destination *e = &d->dest[r->dest];
	struct bf_attack *a = &r->pub;
	double ordinary = e->signal[a->kind].all.mean;
	size_t n = honest_packets(d, r, d->good, GOOD);

	a->rules = bf_fingerprint_find(r->evil, r->evil_n, d->good, n, a->rule, a->score,
				       BF_ATTACK_RULES);
	for (unsigned i = 0; i < a->rules; i++) {
		struct bpfast_fingerprint *f = &a->rule[i];

		f->id = (uint32_t)++d->last_rule;
		memcpy(f->destination, e->key.addr, 16);
		if (e->key.port)
			f->destination_port_min = f->destination_port_max = e->key.port;
		/* There is honest traffic, and we have seen too little of it to drop by likeness. */
		f->audit = n < 32 && ordinary > 1;
	}
	if (a->rules)
		a->actions |= BF_ACT_FINGERPRINT;
	return a->rules ? BF_CHANGE_RULES : 0;
}

/* Too little is known of what is asked for there in peace. */
static bool unknown_names(const struct bf_detect *d, const struct record *r, const struct named *n)
{
	const struct destination *e = &d->dest[r->dest];

	if (n && n->names.queries >= NAMES_ENOUGH)
		return false;
	return e->signal[BF_DNS_QUERY].all.mean > 1 ||
	       r->pub.start_ns < e->first_ns + NAMES_CALM_NS;
}

/* Below which name, and the rule. A flood that goes on to another name is followed. */
static unsigned study_names(struct bf_detect *d, struct record *r)
{
	const struct named *n = bf_named_of(d, r->dest);
	struct bf_attack *a = &r->pub;
	struct bf_dns_rule found;

	/* One that is only remembered, of a detector before this one, is not in force: found again first. */
	bool ruled = a->random_subdomain && r->dns_rule.id;

	if (ruled && r->asked >= NAMES_ENOUGH && d->now_ns - r->named_ns > RATE_NS) {
		if (r->below < NAMES_STALE * r->asked) {
			memset(&r->dns, 0, sizeof(r->dns));
			r->renaming = 1;
		}
		r->named_ns = d->now_ns;
		r->asked = r->below = 0;
	}
	if ((ruled && !r->renaming) || !bf_dns_find(&r->dns, &found))
		return 0;
	r->renaming = 0;
	if (ruled && found.bytes == a->dns.bytes && !memcmp(found.name, a->dns.name, found.bytes))
		return 0;
	found.packets = a->dns.packets;
	bf_names_rule(n ? &n->names : NULL, a->start_ns, d->config.seed, &found, &r->dns_rule);
	found.id = r->dns_rule.id = (uint32_t)++d->last_rule;
	found.audit = r->dns_rule.audit = unknown_names(d, r, n);
	a->dns = found;
	a->random_subdomain = 1;
	a->actions |= BF_ACT_DNS_SUFFIX;
	r->named_ns = d->now_ns;
	r->asked = r->below = 0;
	return BF_CHANGE_RULES;
}

unsigned bf_attack_study(struct bf_detect *d, struct record *r, unsigned slot)
{
	struct bf_attack *a = &r->pub;
	unsigned changes = 0;
	bool on = false;

	(void)slot;
	for (enum bf_class c = 0; c < BF_CLASSES; c++) {
		const struct bf_signal *s = &d->dest[r->dest].signal[c];

		if (s->on && s->record == (uint16_t)(r - d->record + 1)) {
			on = true;
			if (s->over_ns > a->end_ns)
				a->end_ns = s->over_ns;
		}
	}
	/* What an earlier detector has seen of them stays until there is something newer. */
	if (!a->restarts || r->sources.total)
		name_sources(r);
	if (!on && a->awaited)
		return 0;
	if (!on) {
		bf_attack_end(d, r);
		return BF_CHANGE_ENDED |
		       (a->actions & (BF_ACT_FINGERPRINT | BF_ACT_DNS_SUFFIX) ? BF_CHANGE_RULES
									      : 0);
	}
	if (a->kind == BF_DNS_QUERY)
		changes |= study_names(d, r);
	if (r->evil_n < STUDY_MIN)
		return changes;
	if (a->rules && d->now_ns - r->rated_ns > RATE_NS) {
		r->rated_ns = d->now_ns;
		if (stale(d, r)) {
			a->rules = 0;
			r->looked_ns = 0;
			changes |= BF_CHANGE_RULES;
		}
	}
	if (!a->rules && d->now_ns - r->looked_ns > (r->rated_ns ? STUDY_NS : 0)) {
		r->looked_ns = r->rated_ns = d->now_ns;
		changes |= look_for_rules(d, r);
	}
	return changes;
}

void bf_attack_end(struct bf_detect *d, struct record *r)
{
	r->pub.released_ns = d->now_ns;
	d->ended[d->ended_at] = r->pub;
	d->ended_at = (d->ended_at + 1) % BF_ATTACKS_KEPT;
	if (d->ended_n < BF_ATTACKS_KEPT)
		d->ended_n++;
	r->used = 0;
}

/* --- reading --- */

static int by_id(const struct record *r, uint64_t after)
{
	return r->used && r->pub.id > after;
}

const struct bf_attack *bf_detect_active(const struct bf_detect *d, size_t i)
{
	const struct record *best = NULL;
	uint64_t after = 0;

	for (size_t n = 0; n <= i; n++) {
		best = NULL;
		for (unsigned j = 0; j < BF_ATTACKS_MAX; j++)
			if (by_id(&d->record[j], after) &&
			    (!best || d->record[j].pub.id < best->pub.id))
				best = &d->record[j];
		if (!best)
			return NULL;
		after = best->pub.id;
	}
	return &best->pub;
}

const struct bf_attack *bf_detect_ended(const struct bf_detect *d, size_t i)
{
	if (i >= d->ended_n)
		return NULL;
	return &d->ended[(d->ended_at + BF_ATTACKS_KEPT - 1 - i) % BF_ATTACKS_KEPT];
}

size_t bf_detect_rules(const struct bf_detect *d, struct bpfast_fingerprint *out, size_t max)
{
	bool taken[BF_ATTACKS_MAX] = {false};
	size_t n = 0;

	for (;;) {
		const struct record *best = NULL;

		for (unsigned i = 0; i < BF_ATTACKS_MAX; i++)
			if (d->record[i].used && !taken[i] &&
			    (!best || d->record[i].pps > best->pps))
				best = &d->record[i];
		if (!best)
			return n;
		taken[best - d->record] = true;
		for (unsigned j = 0; j < best->pub.rules; j++, n++)
			if (n < max)
				out[n] = best->pub.rule[j];
	}
}

size_t bf_detect_names(const struct bf_detect *d, struct bf_dns_force *out, size_t max)
{
	bool taken[BF_ATTACKS_MAX] = {false};
	size_t n = 0;

	for (;; n++) {
		const struct record *best = NULL;

		for (unsigned i = 0; i < BF_ATTACKS_MAX; i++)
			if (d->record[i].used && d->record[i].dns_rule.id && !taken[i] &&
			    (!best || d->record[i].pps > best->pps))
				best = &d->record[i];
		if (!best)
			return n;
		taken[best - d->record] = true;
		if (n < max)
			out[n] = (struct bf_dns_force){best->pub.dest, best->dns_rule};
	}
}

static struct bf_attack *of_rule(struct bf_detect *d, uint32_t id)
{
	for (unsigned i = 0; i < BF_ATTACKS_MAX; i++)
		if (d->record[i].used && d->record[i].pub.dns.id == id)
			return &d->record[i].pub;
	for (uint32_t i = 0; i < d->ended_n; i++)
		if (d->ended[i].dns.id == id)
			return &d->ended[i];
	return NULL;
}

void bf_detect_names_met(struct bf_detect *d, uint32_t id, uint64_t packets)
{
	struct bf_attack *a = of_rule(d, id);

	if (a)
		a->dns.packets += packets;
}

void bf_detect_names_inherit(struct bf_detect *d, uint32_t id, const struct bpfast_dns_rule *was)
{
	struct bf_attack *a = of_rule(d, id);

	if (!a)
		return;
	a->dns.honest = was->honest;
	a->dns.strangers = was->strangers;
	a->dns.audit = was->audit;
}
