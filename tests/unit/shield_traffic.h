/* SPDX-License-Identifier: Apache-2.0 */
#ifndef SHIELD_TRAFFIC_H
#define SHIELD_TRAFFIC_H
/*
 * A labelled trace, tick by tick, from a seed: services with clients that come
 * and go as clients do, things that happen to honest services, and attacks.
 * What the kernel side would count is counted here; nothing is dropped, for the
 * detector is told what arrives.
 */
#include <math.h>
#include <stdlib.h>

#include "shield_packets.h"

#define LANES 64 /* destinations: the services, then small ones */
#define SAMPLES_A_TICK 24 /* a destination */
#define ATTACKS 4
#define EVENTS 14
#define AHEAD 64 /* ticks */
#define SOURCES_OF_TREND 12

enum event_kind {
	E_FLASH, /* a crowd, that completes its handshakes */
	E_DEPLOY, /* twice the traffic, for good */
	E_QUIET, /* nearly nothing, then a burst */
	E_WRK, /* 512 connections at once, then requests over them */
	E_AB, /* one client, a connection for each request */
	E_CLIENTS, /* 200 addresses at once */
	E_OUTAGE, /* the server answers nobody, and they try again */
	E_SCAN, /* SYNs that nobody answers, few */
	E_RESTART, /* packets of connections that are gone */
	E_PING, /* monitors */
	E_FRAGMENTS, /* of large answers, NFS */
	E_TUNNEL, /* one source, another protocol, much */
	E_RESOLVE, /* a burst of look-ups, and their answers */
	EVENT_KINDS
};

struct event {
	enum event_kind kind;
	unsigned lane;
	double from, to, factor, ramp, returning;
};

struct attack {
	struct attack_style style;
	unsigned lane; /* LANES: all of the small ones */
	double from, to, pps;
	double ramp_s; /* until the full rate */
	double on_s, off_s; /* pulses; 0: steady */
	double bots; /* sources; 0: each packet another */
	double harm; /* share of honest handshakes that fail until it is stopped */
	int v6;
};

struct service {
	enum service_kind kind;
	double base; /* connections or packets a second */
	double people; /* clients at the base rate */
	double known; /* share of them that we know */
	double per_conn; /* packets of a connection */
	double rtt; /* mean, s */
	double bucket[BF_SOURCE_BUCKETS]; /* shares */
	struct {
		double left; /* s until it changes */
		int on;
	} trend[SOURCES_OF_TREND]; /* on and off for Pareto times: self-similar together */
	double done[AHEAD], retry[AHEAD], data[AHEAD]; /* handshakes, SYNs, packets to come */
	double past[AHEAD]; /* packets a second */
};

struct trace {
	struct dice dice;
	double now, dt, length, day; /* s */
	unsigned ticks;
	unsigned only;
	struct service service[LANES];
	struct event event[EVENTS];
	unsigned events;
	struct attack attack[ATTACKS];
	unsigned attacks;
	struct bf_traffic traffic[LANES];
	struct bf_sampled sample[LANES * SAMPLES_A_TICK];
	uint8_t of_attack[LANES *
			  SAMPLES_A_TICK]; /* index + 1 of the attack that the sample is of */
	size_t samples;
	struct bf_tick tick;
};

static double exponential(struct dice *d, double mean)
{
	return -mean * log(1 - dice_unit(d) * 0.999999);
}

static double normal(struct dice *d)
{
	double u = 1 - dice_unit(d), v = dice_unit(d);

	return sqrt(-2 * log(u)) * cos(2 * M_PI * v);
}

static double poisson(struct dice *d, double mean)
{
	double p, n = 0, limit;

	if (mean <= 0)
		return 0;
	if (mean > 40) {
		p = floor(mean + sqrt(mean) * normal(d) + 0.5);
		return p > 0 ? p : 0;
	}
	limit = exp(-mean);
	for (p = dice_unit(d); p > limit; p *= dice_unit(d))
		n++;
	return n;
}

static double between(struct dice *d, double low, double high)
{
	return low + (high - low) * dice_unit(d);
}

static double log_between(struct dice *d, double low, double high)
{
	return low * pow(high / low, dice_unit(d));
}

/* --- making one --- */

static void make_service(struct trace *t, unsigned lane)
{
	struct service *s = &t->service[lane];
	struct dice *d = &t->dice;
	struct bf_dest *k = &t->traffic[lane].dest;
	double sum = 0;
	static const uint16_t ports[] = {443, 8080, 53, 443, 4000, 514, 0, 0};
	static const uint8_t protocols[] = {6, 6, 17, 17, 17, 17, 0, 17};

	s->kind = lane < SERVICES ? (enum service_kind)lane : dice_chance(d, 0.5) ? WEB : VOICE;
	k->addr[10] = k->addr[11] = 0xff;
	k->addr[12] = 10;
	k->addr[15] = (uint8_t)(1 + lane);
	k->port = ports[s->kind];
	k->protocol = protocols[s->kind];
	switch (s->kind) {
	case WEB:
		s->base = log_between(d, 5, 2000);
		break;
	case API:
		s->base = log_between(d, 2, 500);
		break;
	case DNS:
		s->base = log_between(d, 50, 5000);
		break;
	case QUIC:
		s->base = log_between(d, 200, 20000);
		break;
	case VOICE:
		s->base = log_between(d, 100, 10000);
		break;
	case INGEST:
		s->base = log_between(d, 50, 8000);
		break;
	case RESOLVER:
		s->base = log_between(d, 5, 500);
		break;
	default:
		s->base = between(d, 1, 20);
	}
	if (lane >= SERVICES)
		s->base = log_between(d, 1, 30);
	s->people = s->base * log_between(d, 0.05, 3) + 2;
	if (s->kind == INGEST)
		s->people = between(d, 2, 60);
	s->known = s->kind == INGEST		      ? 0.995
		   : s->kind == WEB || s->kind == API ? between(d, 0.2, 0.9)
						      : between(d, 0.8, 0.97);
	s->per_conn = log_between(d, 4, 40);
	s->rtt = between(d, 0.01, 0.12);
	for (unsigned i = 0; i < BF_SOURCE_BUCKETS; i++)
		sum += s->bucket[i] = pow(1.0 / (1 + dice_int(d, 0, 63)), between(d, 0.2, 0.8));
	for (unsigned i = 0; i < BF_SOURCE_BUCKETS; i++)
		s->bucket[i] /= sum;
	for (unsigned i = 0; i < SOURCES_OF_TREND; i++) {
		s->trend[i].on = dice_chance(d, 0.5);
		s->trend[i].left = exponential(d, 3);
	}
	t->traffic[lane].has_pairs = 1;
}

static void make_events(struct trace *t)
{
	struct dice *d = &t->dice;

	t->events = dice_int(d, 4, EVENTS);
	for (unsigned i = 0; i < t->events; i++) {
		struct event *e = &t->event[i];

		e->kind = (enum event_kind)dice_int(d, 0, EVENT_KINDS - 1);
		e->from = between(d, 30, t->length - 10);
		e->to = e->from + between(d, 5, 40);
		e->returning = between(d, 0.3, 0.9);
		switch (e->kind) {
		case E_WRK:
		case E_AB:
		case E_CLIENTS:
		case E_OUTAGE:
		case E_RESTART:
			e->lane = dice_int(d, WEB, API);
			break;
		case E_SCAN:
		case E_PING:
		case E_FRAGMENTS:
		case E_TUNNEL:
			e->lane = HOST;
			break;
		case E_RESOLVE:
			e->lane = RESOLVER;
			break;
		default:
			e->lane = dice_int(d, WEB, VOICE);
		}
		/* Over UDP nobody can tell a crowd that comes at once from a flood: it takes some seconds. */
		e->ramp = e->lane <= API ? between(d, 0, 8) : between(d, 4, 15);
		e->factor = e->kind == E_FLASH
				    ? (e->lane <= API ? log_between(d, 3, 30) : between(d, 2, 8))
			    : e->kind == E_DEPLOY ? 2
						  : between(d, 2, 8);
		if (e->kind == E_DEPLOY)
			e->to = t->length + 1;
		if (e->kind == E_OUTAGE)
			e->to = e->from + between(d, 2, 12);
	}
}

/* What counts as an attack: more than the destination would carry anyway, and than a floor. */
static double least_pps(const struct service *s, enum bf_class c)
{
	switch (c) {
	case BF_SYN:
		return fmax(1500, 2 * s->base);
	case BF_UDP:
		return fmax(8000, 4 * s->base);
	case BF_DNS_QUERY:
		return fmax(4000, 8 * s->base);
	case BF_ICMP:
	case BF_OTHER:
	case BF_FRAGMENT:
		return 4000;
	default:
		return bf_class_name(c)[0] == 'a' && c > BF_UDP
			       ? 2500
			       : fmax(2500, 0.5 * s->base * s->per_conn);
	}
}

static void make_attack(struct trace *t, struct attack *a, double from)
{
	struct dice *d = &t->dice;
	unsigned kind = dice_int(d, 0, BF_CLASSES + 2);
	double least, all = 0;

	if (t->only)
		kind = t->only - 1;
	a->from = from;
	a->to = from + between(d, 12, 30);
	a->style.seed = dice_next(d);
	a->style.cls = kind < BF_CLASSES ? (enum bf_class)kind : BF_DNS_QUERY;
	a->style.random_subdomain = kind == BF_CLASSES;
	a->v6 = dice_chance(d, 0.2);
	switch (a->style.cls) {
	case BF_SYN:
	case BF_SYNACK:
	case BF_ACK:
	case BF_RST:
	case BF_FIN:
		a->lane = dice_int(d, WEB, API);
		break;
	case BF_DNS_QUERY:
		a->lane = DNS;
		break;
	case BF_UDP:
		a->lane = dice_chance(d, 0.5) ? QUIC : dice_chance(d, 0.5) ? VOICE : HOST;
		break;
	case BF_ICMP:
	case BF_OTHER:
	case BF_FRAGMENT:
		a->lane = HOST;
		break;
	default:
		a->lane = dice_chance(d, 0.5) ? RESOLVER : HOST;
	}
	least = least_pps(&t->service[a->lane], a->style.cls);
	if (kind > BF_CLASSES) { /* over a whole network: little for each, much for all */
		static const enum bf_class carpet[] = {BF_SYN, BF_UDP, BF_ICMP, BF_ACK};

		a->lane = LANES;
		a->style.cls = carpet[dice_int(d, 0, 3)];
		for (unsigned i = 0; i < LANES; i++)
			all += i <= API || i >= SERVICES
				       ? t->service[i].base * t->service[i].per_conn
				       : 0;
		/* So much that each has little of it, where all have much already: not there. */
		if (a->style.cls <= BF_ACK && 0.3 * all > 150 * (LANES - SERVICES))
			a->style.cls = BF_ICMP;
		a->pps = (LANES - SERVICES) * (a->style.cls <= BF_ACK ? 180 : 600) *
			 between(d, 1, 1.5);
	} else {
		a->pps = log_between(d, least, fmax(400000, 4 * least));
	}
	a->bots = dice_chance(d, 0.5) && (a->style.cls < BF_AMP_DNS || a->style.cls > BF_AMP_QOTD)
			  ? 0
		  : dice_chance(d, 0.2) ? dice_int(d, 1, 4)
					: dice_int(d, 20, 5000);
	a->style.bots = a->bots > 4;
	a->style.mimic = dice_chance(d, 0.1);
	a->harm = dice_unit(d);
	if (kind <= BF_CLASSES && dice_chance(d, 0.15)) {
		a->on_s = between(d, 1, 4);
		a->off_s = between(d, 1, 4);
	} else if (dice_chance(d, 0.15)) {
		a->ramp_s = between(d, 2, 10);
	}
}

/* only: 0, or the one kind of attack + 1 (enum bf_class). */
static void trace_make(struct trace *t, uint64_t seed, unsigned only)
{
	struct dice *d = &t->dice;
	double at = 50;

	memset(t, 0, sizeof(*t));
	t->only = only;
	d->state = seed * 0xd1342543de82ef95u;
	d->state = dice_next(d);
	t->length = 200;
	t->day = between(d, 100, 400); /* a day in minutes: the diurnal change is steep */
	t->dt = between(d, 0.1, 0.25);
	for (unsigned i = 0; i < LANES; i++)
		make_service(t, i);
	make_events(t);
	/* Every fourth trace is all honest. */
	while (seed % 4 && t->attacks < ATTACKS) {
		struct attack *a = &t->attack[t->attacks++];

		make_attack(t, a, at + between(d, 0, 8));
		if (a->to > t->length - 20) {
			t->attacks--;
			break;
		}
		at = a->to + 18;
	}
}

/* --- one tick --- */

static double attack_pps(const struct attack *a, double now)
{
	double in = now - a->from;

	if (now < a->from || now >= a->to)
		return 0;
	if (a->on_s > 0 && fmod(in, a->on_s + a->off_s) > a->on_s)
		return 0;
	return a->ramp_s > 0 && in < a->ramp_s ? a->pps * in / a->ramp_s : a->pps;
}

/* Half of it comes from on/off sources with infinite variance (Willinger et al. 1997). */
static double trend(struct trace *t, struct service *s)
{
	double on = 0;

	for (unsigned i = 0; i < SOURCES_OF_TREND; i++) {
		s->trend[i].left -= t->dt;
		if (s->trend[i].left <= 0) {
			s->trend[i].on = !s->trend[i].on;
			s->trend[i].left = fmin(120, 0.7 * pow(1 - dice_unit(&t->dice), -1 / 1.4));
		}
		on += s->trend[i].on;
	}
	return 0.5 + on / SOURCES_OF_TREND;
}

struct now {
	double factor; /* of the rate */
	double returning; /* share of what is new that we know from before */
	int down;
};

static struct now events_of(const struct trace *t, unsigned lane)
{
	struct now n = {.factor = 1, .returning = 0.3};

	for (unsigned i = 0; i < t->events; i++) {
		const struct event *e = &t->event[i];
		double in = t->now - e->from, up, down;

		if (e->lane != lane || in < 0 ||
		    t->now >= e->to + (e->kind == E_FLASH ? e->ramp : 0))
			continue;
		up = e->ramp > 0 && in < e->ramp ? in / e->ramp : 1;
		down = t->now > e->to ? 1 - (t->now - e->to) / fmax(0.1, e->ramp) : 1;
		if (e->kind == E_FLASH)
			n.factor *= 1 + (e->factor - 1) * fmin(up, down);
		else if (e->kind == E_DEPLOY)
			n.factor *= 2;
		else if (e->kind == E_QUIET)
			n.factor *= t->now < e->from + 0.7 * (e->to - e->from) ? 0.02
				    : lane <= API			       ? e->factor
									       : 1.2;
		else if (e->kind == E_OUTAGE)
			n.down = 1;
		n.returning = fmax(n.returning, e->returning);
	}
	return n;
}

static void put(struct trace *t, unsigned lane, enum bf_class c, double packets, double bytes,
		double known)
{
	struct bf_count *n = &t->traffic[lane].count[c];

	n->packets += (uint64_t)packets;
	n->bytes += (uint64_t)(packets * bytes);
	n->known += (uint64_t)(known > packets ? packets : known);
}

/* Everybody who sends, as buckets and as a number. */
static void sources(struct trace *t, unsigned lane, double packets, double people,
		    const double *share)
{
	struct bf_traffic *f = &t->traffic[lane];
	double counted = fmin(packets, 20000);

	/* How many of them sent something in this tick: balls into boxes. */
	f->sources +=
		(uint32_t)(people > 0 ? people * (1 - exp(-packets / people)) + 0.5 : packets);
	for (unsigned i = 0; i < BF_SOURCE_BUCKETS; i++)
		f->bucket[i] += (uint32_t)poisson(&t->dice, counted * share[i]);
}

static void tcp_lane(struct trace *t, unsigned lane, double harm)
{
	struct service *s = &t->service[lane];
	struct bf_traffic *f = &t->traffic[lane];
	struct now e = events_of(t, lane);
	double season = 1 + 0.5 * sin(2 * M_PI * t->now / t->day);
	double rate = s->base * season * trend(t, s) * e.factor;
	double conns = poisson(&t->dice, rate * t->dt), retries = s->retry[0], one, ours = 0, ok,
	       known, data;
	unsigned lag;

	/* Bursts that events bring, all at once. */
	for (unsigned i = 0; i < t->events; i++) {
		const struct event *ev = &t->event[i];
		int first = t->now >= ev->from && t->now < ev->from + t->dt;

		if (ev->lane != lane || t->now < ev->from || t->now >= ev->to)
			continue;
		if (ev->kind == E_WRK && first) {
			conns += 512;
			s->data[1] += 512;
		} else if (ev->kind == E_WRK) {
			put(t, lane, BF_ACK, ev->factor * 8000 * t->dt, 200,
			    ev->factor * 8000 * t->dt);
		} else if (ev->kind == E_AB && !e.down) {
			/* It waits for an answer before it asks again. */
			one = poisson(&t->dice, ev->factor * 1500 * t->dt);
			conns += one;
			ours += first ? 0 : one;
		} else if (ev->kind == E_CLIENTS && first) {
			conns += 200 * floor(ev->factor);
		} else if (ev->kind == E_RESTART && t->now < ev->from + 2) {
			double stray = poisson(&t->dice, 150 * t->dt);

			put(t, lane, BF_ACK, stray, 52, 0);
			f->count[BF_ACK].stray += (uint64_t)stray;
		}
	}
	conns += retries;
	known = floor((conns - ours) * (e.factor > 1 ? fmin(s->known, e.returning) : s->known)) +
		ours;
	put(t, lane, BF_SYN, conns, 60, known);
	ok = e.down ? 0 : conns * (1 - harm) * 0.99;
	/* One round trip, drawn for each tick, spread over two. */
	lag = (unsigned)(fmin(0.35, s->rtt * (0.5 + exponential(&t->dice, 0.5))) / t->dt);
	s->done[lag] += 0.6 * ok;
	s->done[fmin((lag + 1) * t->dt, 0.35) >= (lag + 1) * t->dt ? lag + 1 : lag] += 0.4 * ok;
	/* Nobody tries more than three times on the whole: 1 s, 2 s and 4 s later. */
	if (conns > ok) {
		double again = (conns - ok) * 0.8;
		unsigned in = (unsigned)((retries > conns / 2 ? 3 : 1) / t->dt);

		s->retry[in < AHEAD ? in : AHEAD - 1] += floor(again);
	}
	f->count[BF_SYN].paired += (uint64_t)s->done[0];
	for (lag = 1; lag < 8; lag++)
		s->data[lag] += s->done[0] * s->per_conn / 7;
	data = poisson(&t->dice, s->data[0]);
	put(t, lane, BF_ACK, data, 600, data);
	put(t, lane, BF_FIN, s->done[0], 52, s->done[0]);
	put(t, lane, BF_RST, poisson(&t->dice, s->done[0] * 0.02), 40, 1e9);
	data = poisson(&t->dice, (2 + s->base * 0.02) * t->dt);
	put(t, lane, BF_ACK, data, 52, 0);
	f->count[BF_ACK].stray += (uint64_t)data;
	sources(t, lane, conns + data, s->people * season * e.factor, s->bucket);
}

static void udp_lane(struct trace *t, unsigned lane)
{
	struct service *s = &t->service[lane];
	enum bf_class c = s->kind == DNS ? BF_DNS_QUERY : BF_UDP;
	struct now e = events_of(t, lane);
	double season = 1 + 0.5 * sin(2 * M_PI * t->now / t->day);
	double rate = s->base * season * e.factor * (s->kind == INGEST ? 1 : trend(t, s)), before,
	       known, packets;
	unsigned late = (unsigned)(1.2 / t->dt);

	/* Who sends for longer than a second is known. */
	before = s->past[late < AHEAD ? late : AHEAD - 1];
	known = s->known * fmin(rate, before);
	if (rate > before)
		known += (rate - before) * fmax(e.returning, before > 0 ? 0.5 : 0);
	if (t->now < 3)
		known = 0;
	memmove(&s->past[1], &s->past[0], (AHEAD - 1) * sizeof(s->past[0]));
	s->past[0] = rate;
	packets = poisson(&t->dice, rate * t->dt);
	put(t, lane, c, packets, s->kind == DNS ? 70 : 400, packets * known / fmax(rate, 1e-9));
	if (s->kind != INGEST)
		t->traffic[lane].count[c].paired +=
			(uint64_t)(packets * (s->kind == QUIC ? 0.4 : 0.95));
	sources(t, lane, packets, s->people * season * e.factor, s->bucket);
}

static void host_lane(struct trace *t, unsigned lane)
{
	struct bf_traffic *f = &t->traffic[lane];
	struct service *s = &t->service[lane];
	double ping = poisson(&t->dice, s->base * t->dt), n;

	put(t, lane, BF_ICMP, ping, 84, ping * 0.8);
	f->count[BF_ICMP].paired += (uint64_t)ping;
	for (unsigned i = 0; i < t->events; i++) {
		const struct event *e = &t->event[i];

		if (e->lane != lane || t->now < e->from || t->now >= e->to)
			continue;
		switch (e->kind) {
		case E_SCAN:
			put(t, lane, BF_SYN, poisson(&t->dice, 15 * e->factor * t->dt), 44, 0);
			break;
		case E_PING:
			n = poisson(&t->dice, 200 * e->factor * t->dt);
			put(t, lane, BF_ICMP, n, 84, n * e->returning);
			f->count[BF_ICMP].paired += (uint64_t)n;
			break;
		case E_FRAGMENTS:
			n = poisson(&t->dice, 500 * e->factor * t->dt);
			put(t, lane, BF_FRAGMENT, n, 1480, n * 0.95);
			break;
		case E_TUNNEL:
			n = poisson(&t->dice, 3000 * e->factor * t->dt);
			put(t, lane, BF_OTHER, n, 900, t->now > e->from + 1.2 ? n : 0);
			f->count[BF_OTHER].paired += (uint64_t)(n * 0.6);
			f->sources += 1;
			f->bucket[lane] += (uint32_t)n;
			break;
		default:
			break;
		}
	}
	sources(t, lane, ping, s->people, s->bucket);
}

static void resolver_lane(struct trace *t, unsigned lane)
{
	struct service *s = &t->service[lane];
	double rate = s->base * trend(t, s), asked, answered;
	unsigned lag = (unsigned)(exponential(&t->dice, 0.05) / t->dt);

	for (unsigned i = 0; i < t->events; i++)
		if (t->event[i].lane == lane && t->now >= t->event[i].from &&
		    t->now < t->event[i].to && t->event[i].kind == E_RESOLVE)
			rate *= t->event[i].factor;
	asked = poisson(&t->dice, rate * t->dt);
	s->done[lag < 8 ? lag : 7] += asked * 0.99;
	answered = floor(s->done[0]);
	t->traffic[lane].count[BF_AMP_DNS].paired += (uint64_t)asked;
	put(t, lane, BF_AMP_DNS, answered, 200, answered * 0.5);
	sources(t, lane, answered, s->people, s->bucket);
}

/* Takes the past out of the queues. */
static void shift(struct service *s)
{
	memmove(s->done, s->done + 1, (AHEAD - 1) * sizeof(double));
	memmove(s->retry, s->retry + 1, (AHEAD - 1) * sizeof(double));
	memmove(s->data, s->data + 1, (AHEAD - 1) * sizeof(double));
	s->done[AHEAD - 1] = s->retry[AHEAD - 1] = s->data[AHEAD - 1] = 0;
}

static void flood(struct trace *t, const struct attack *a, unsigned lane, double pps)
{
	double n = poisson(&t->dice, pps * t->dt), tail = 0, share[BF_SOURCE_BUCKETS] = {0};
	struct bf_traffic *f = &t->traffic[lane];
	unsigned bots = a->bots > 0 && a->bots < 400 ? (unsigned)a->bots : 0;

	/* Large responses are cut: the rest of them has no port. */
	if (a->style.cls == BF_AMP_DNS || a->style.cls == BF_AMP_CLDAP)
		tail = floor(n * 0.4);
	put(t, lane, a->style.cls, n - tail, 300, 0);
	put(t, lane, BF_FRAGMENT, tail, 1200, 0);
	if (a->style.cls > BF_SYN && a->style.cls <= BF_FIN)
		f->count[a->style.cls].stray += (uint64_t)n;
	/* A server answers queries and pings, at first. */
	if (a->style.cls == BF_DNS_QUERY || a->style.cls == BF_ICMP)
		f->count[a->style.cls].paired += (uint64_t)(n * a->harm);
	for (unsigned i = 0; i < (bots ? bots : BF_SOURCE_BUCKETS); i++)
		share[bots ? fixed(a->style.seed + i, BF_SOURCE_BUCKETS) : i] +=
			1.0 / (bots ? bots : BF_SOURCE_BUCKETS);
	sources(t, lane, n, a->bots, share);
}

static void take_sample(struct trace *t, unsigned lane, const double *evil, const struct attack *a,
			uint8_t label, double total)
{
	struct dice *d = &t->dice;
	struct bf_traffic *f = &t->traffic[lane];
	struct bf_sampled *s = &t->sample[t->samples];
	double at = dice_unit(d) * total, bad;
	uint32_t who;
	unsigned c = 0;

	for (; c + 1 < BF_CLASSES && at >= (double)f->count[c].packets; c++)
		at -= (double)f->count[c].packets;
	if (!f->count[c].packets)
		return;
	memset(s, 0, sizeof(*s));
	s->traffic = lane;
	s->weight = (uint32_t)fmax(1, total / SAMPLES_A_TICK);
	s->cls = (uint8_t)c;
	bad = a ? fmin(1, evil[c] / (double)f->count[c].packets) : 0;
	t->of_attack[t->samples] = dice_chance(d, bad) ? label : 0;
	memcpy(s->packet.destination, f->dest.addr, 16);
	s->packet.protocol = c <= BF_FIN ? 6 : c == BF_ICMP ? 1 : c == BF_OTHER ? 47 : 17;
	s->packet.ip_version = 4;
	s->packet.destination_port = f->dest.port ? f->dest.port : (uint16_t)dice_int(d, 1, 65535);
	if (c == BF_DNS_QUERY)
		s->packet.destination_port = 53;
	if (t->of_attack[t->samples]) {
		who = a->bots > 0 ? fixed(a->style.seed + dice_int(d, 0, (uint32_t)a->bots - 1),
					  UINT32_MAX)
				  : (uint32_t)dice_next(d);
		s->stray = c > BF_SYN && c <= BF_FIN;
		attack_packet(d, &a->style, s, who);
	} else {
		double n = (double)f->count[c].packets * (1 - bad);

		who = 0x0b000000u + lane * 65536 +
		      dice_int(d, 0, (uint32_t)t->service[lane].people);
		s->known = n > 0 && dice_chance(d, (double)f->count[c].known / n);
		honest_packet(d, t->service[lane].kind, s, who);
	}
	s->source[10] = s->source[11] = 0xff;
	for (unsigned i = 0; i < 4; i++)
		s->source[12 + i] = (uint8_t)(who >> (24 - 8 * i));
	t->samples++;
}

/* The next tick; false: the trace is over. */
static int trace_next(struct trace *t)
{
	double evil[LANES][BF_CLASSES] = {{0}}, step = t->dt;
	const struct attack *by[LANES] = {NULL};
	uint8_t label[LANES] = {0};

	t->dt *= between(&t->dice, 0.9, 1.1);
	t->now += t->dt;
	t->ticks++;
	if (t->now >= t->length)
		return 0;
	t->samples = 0;
	for (unsigned i = 0; i < LANES; i++) {
		struct bf_dest key = t->traffic[i].dest;

		t->traffic[i] = (struct bf_traffic){.dest = key, .has_pairs = 1};
	}
	for (unsigned i = 0; i < t->attacks; i++) {
		const struct attack *a = &t->attack[i];
		double pps = attack_pps(a, t->now);
		unsigned low = a->lane < LANES ? a->lane : SERVICES,
			 high = a->lane < LANES ? a->lane : LANES - 1;

		for (unsigned lane = low; pps > 0 && lane <= high; lane++) {
			flood(t, a, lane, pps / (high - low + 1));
			by[lane] = a;
			label[lane] = (uint8_t)(i + 1);
			for (unsigned c = 0; c < BF_CLASSES; c++)
				evil[lane][c] = (double)t->traffic[lane].count[c].packets;
		}
	}
	for (unsigned i = 0; i < LANES; i++) {
		/* Until it is stopped a flood hurts. */
		double harm = by[i] && by[i]->lane == i && by[i]->style.cls == BF_SYN &&
					      t->now < by[i]->from + 3
				      ? by[i]->harm
				      : 0;
		double total = 0;

		switch (t->service[i].kind) {
		case WEB:
		case API:
			tcp_lane(t, i, harm);
			break;
		case HOST:
			host_lane(t, i);
			break;
		case RESOLVER:
			resolver_lane(t, i);
			break;
		default:
			udp_lane(t, i);
		}
		shift(&t->service[i]);
		for (unsigned c = 0; c < BF_CLASSES; c++)
			total += (double)t->traffic[i].count[c].packets;
		for (unsigned j = 0; j < SAMPLES_A_TICK && j < total; j++)
			take_sample(t, i, evil[i], by[i], label[i], total);
	}
	t->tick = (struct bf_tick){
		.now_ns = (uint64_t)(t->now * 1e9) + 1000000000000ull,
		.second_of_day = (uint32_t)t->now,
		.traffic = t->traffic,
		.traffic_count = LANES,
		.samples = t->sample,
		.sample_count = t->samples,
	};
	t->dt = step;
	return 1;
}

#endif
