// SPDX-License-Identifier: Apache-2.0
/*
 * The look. What is remembered of a connection is when it came into its phase (a head, a body, a
 * response being read) and until when it has paid for it: a body pays with the bytes it brings. All
 * of it is made anew at each look, of what the last one knew and what is there now, so that
 * it is never more than there are rows.
 */
#include "shield/crowd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bpfast/shield.h"

/* A connection keeps a server waiting when its phase has gone on for so long unpaid. */
#define QUICK_MS 500
#define QUICK_BYTES_S 1024
#define QUICK_AHEAD_MS 5000 /* what bytes may pay ahead, and the most that is owed */
#define PATIENT_AHEAD_MS 30000
#define STRIKES_MS 60000
#define PRESSED_MS 10000 /* a source that was over, or a port: nobody may be slow for so long */
#define AGAIN_MS 5000 /* a connection has one verdict in so long */
#define NOT_GONE_MS 200 /* but after an RST that was not believed */
#define RATE_MS 2000 /* requests are averaged over */
/* Where nobody is blocked: how long a source that asked too often opens no connection. */
#define PAUSE_LEAST_MS 1000
#define PAUSE_MOST_MS 60000
#define PAUSE_AGAIN_MS 750 /* it is said again after so long, where the source is over still */

const struct bf_crowd_limits bf_crowd_defaults = {
	.slow_per_source = 32,
	.slow_per_service = 64,
	.connections = 16384,
	.head_s = 10,
	.bytes_s = 64,
	.strikes = 16,
	.block_s = 60,
};

enum phase { IDLE, HEAD, BODY, READING };

/* One connection, as the last look saw it. */
struct seen {
	uint64_t since, quick, patient; /* ms: of the phase; until when it is not slow; not ended */
	uint64_t heard; /* what the server had said at the RST, or the last verdict */
	uint64_t told; /* ms of the last verdict */
	uint32_t requests, next;
	uint8_t phase;
	bool gone; /* there was an RST */
};

/* What is counted of a source at an endpoint, of a service, of a path. */
struct tally {
	uint32_t open, slow;
	double asked; /* requests, fading */
	uint8_t reason; /* over a limit */
	bool judged, exempt;
	uint64_t punished; /* ms until when it may keep nobody waiting; a service: pressed */
	uint64_t barred; /* ms until when what was said last of blocking it holds */
};

/* Open addressing by a keyed hash of 64 bits: two things of one hash are one, one time in 2^64. */
struct table {
	uint64_t *tag; /* 0: free */
	void *value;
	size_t room, used, size; /* room: a power of two */
};

/* Sources that had connections ended: sets of four, where the oldest goes. */
#define STRIKE_SETS 1024
struct strike {
	uint64_t tag, first; /* ms */
	uint32_t n;
};

struct bf_crowd {
	uint64_t seed, last; /* ms of the last look */
	struct table seen, tallies;
	struct strike strike[STRIKE_SETS][4];
};

/* --- tables --- */

static void table_free(struct table *t)
{
	free(t->tag);
	free(t->value);
	memset(t, 0, sizeof(*t));
}

static int table_make(struct table *t, size_t want, size_t size)
{
	size_t room = 64;

	while (room < want * 2)
		room *= 2;
	*t = (struct table){calloc(room, sizeof(uint64_t)), calloc(room, size), room, 0, size};
	if (t->tag && t->value)
		return 0;
	table_free(t);
	return -ENOMEM;
}

/* NULL: not there; with make: there is no room, which the callers' sizes rule out. */
static void *table_at(struct table *t, uint64_t tag, bool make)
{
	size_t i = (size_t)tag & (t->room - 1);

	tag |= !tag;
	for (size_t probes = 0; probes < t->room; probes++, i = (i + 1) & (t->room - 1)) {
		if (t->tag[i] == tag)
			return (char *)t->value + i * t->size;
		if (t->tag[i])
			continue;
		if (!make)
			return NULL;
		t->tag[i] = tag;
		t->used++;
		return (char *)t->value + i * t->size;
	}
	return NULL;
}

static uint64_t hash(uint64_t seed, const void *bytes, size_t n)
{
	const uint8_t *p = bytes;
	uint64_t h = bpfast_shield_mix(seed, n), v;

	for (; n; p += n < 8 ? n : 8, n -= n < 8 ? n : 8) {
		v = 0;
		memcpy(&v, p, n < 8 ? n : 8);
		h = bpfast_shield_mix(h, v);
	}
	return bpfast_shield_mix(h, seed);
}

/* --- who --- */

static void source_of(const struct bpfast_census_row *row, struct bf_crowd_source *out)
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

	memset(out, 0, sizeof(*out));
	memcpy(out->addr, row->key.remote, 16);
	out->prefix = 128;
	out->endpoint = row->key.endpoint;
	if (memcmp(out->addr, mapped, 12)) {
		memset(out->addr + 8, 0, 8);
		out->prefix = 64;
	}
}

enum what { SOURCE, SERVICE, PATH };

static uint64_t name_of(const struct bf_crowd *c, enum what what,
			const struct bpfast_census_row *row)
{
	struct {
		uint8_t addr[16];
		uint32_t what, slot, port, pad;
	} key = {.what = what, .slot = row->key.endpoint};
	struct bf_crowd_source s;
	uint64_t h;
	size_t n;

	if (what == SERVICE)
		key.port = row->key.local_port;
	source_of(row, &s);
	if (what != SERVICE)
		memcpy(key.addr, s.addr, 16);
	h = hash(c->seed, &key, sizeof(key));
	if (what != PATH)
		return h;
	n = row->text_len < sizeof(row->text) ? row->text_len : sizeof(row->text);
	for (size_t i = 0; i < n; i++)
		if (row->text[i] == '?')
			n = i;
	return hash(h, row->text, n);
}

/* Of one endpoint, as the block is. Where other limits hold, or nothing is done, other strikes count. */
static uint64_t strike_tag(const struct bf_crowd *c, const struct bf_crowd_limits *l,
			   const struct bf_crowd_source *s, bool audit)
{
	struct {
		uint8_t addr[16];
		uint32_t endpoint, strikes, audit, pad;
	} key = {.endpoint = s->endpoint, .strikes = l->strikes, .audit = audit};

	memcpy(key.addr, s->addr, 16);
	return hash(c->seed ^ 1, &key, sizeof(key)) | 1;
}

/* True: it has no more of them. */
static bool strike(struct bf_crowd *c, const struct bf_crowd_limits *l,
		   const struct bf_crowd_source *s, bool audit, uint64_t ms)
{
	uint64_t tag = strike_tag(c, l, s, audit);
	struct strike *set = c->strike[tag >> 8 & (STRIKE_SETS - 1)], *it = &set[0];

	for (int i = 0; i < 4; i++) {
		if (set[i].tag == tag) {
			it = &set[i];
			break;
		}
		if (set[i].first < it->first)
			it = &set[i];
	}
	if (it->tag != tag || ms - it->first > STRIKES_MS)
		*it = (struct strike){.tag = tag, .first = ms};
	return l->strikes && ++it->n >= l->strikes;
}

/* --- one connection --- */

static enum phase phase_of(const struct bpfast_census_row *row)
{
	uint32_t st = row->client_state, server = row->server_state;

	if (!(row->flags & BPFAST_FF_HTTP) ||
	    row->flags & (BPFAST_FF_TUNNEL | BPFAST_FF_OPAQUE | BPFAST_FF_UPGRADE))
		return IDLE;
	if (st > BPFAST_STREAM_BETWEEN && st <= BPFAST_STREAM_HEAD_LAST)
		return HEAD;
	if (st >= BPFAST_STREAM_BODY && st <= BPFAST_STREAM_BODY_LAST)
		return BODY;
	/* Between two chunks a server may be silent for long: events, long polls. */
	return server == BPFAST_STREAM_BODY || server == BPFAST_STREAM_CHUNK ? READING : IDLE;
}

static uint64_t pay(uint64_t due, uint64_t ms, uint64_t bytes, uint32_t bytes_s, uint64_t ahead)
{
	if (!bytes_s)
		return ms + ahead;
	if (!bytes)
		return due;
	/* Not from now on: who brings a byte now and then owes for the time between. */
	if (due + QUICK_AHEAD_MS < ms)
		due = ms - QUICK_AHEAD_MS;
	due += bytes * 1000 / bytes_s;
	return due < ms + ahead ? due : ms + ahead;
}

/* It changes when the server sends or acknowledges something. */
static uint64_t heard(const struct bpfast_census_row *row)
{
	return (uint64_t)row->server_acked << 32 | row->server_next;
}

static void follow(const struct bf_crowd_limits *l, uint64_t ms,
		   const struct bpfast_census_row *row, const struct seen *was, struct seen *now)
{
	enum phase phase = phase_of(row);
	uint32_t next = phase == READING ? row->server_next : row->client_next, bytes;
	bool told;

	now->phase = (uint8_t)phase;
	now->requests = row->requests;
	now->next = next;
	now->gone = was && was->gone;
	/* From a verdict on: where the server goes on after it, the RST has ended nothing. */
	told = was && was->told && ms - was->told < AGAIN_MS;
	now->heard = now->gone || told ? was->heard : heard(row);
	now->told = was ? was->told : 0;
	if (row->flags & BPFAST_FF_RST)
		now->gone = true;
	if (!was || was->phase != phase || was->requests != row->requests) {
		now->since = ms;
		/* A new one was made, or heard of last, before this look. */
		if (!was && row->seen_ns / 1000000 < ms)
			now->since = row->seen_ns / 1000000;
		now->quick = now->since + QUICK_MS;
		now->patient = ms + 1000ull * l->head_s;
		return;
	}
	bytes = next - was->next;
	now->since = was->since;
	now->quick = was->quick;
	now->patient = was->patient;
	if (phase == BODY || phase == READING) {
		now->quick = pay(was->quick, ms, bytes, QUICK_BYTES_S, QUICK_AHEAD_MS);
		now->patient = pay(was->patient, ms, bytes, l->bytes_s,
				   PATIENT_AHEAD_MS + 1000ull * l->head_s);
	}
}

/* A reset that the server did not believe, be it forged or ours, ends nothing. */
static bool is_open(const struct bpfast_census_row *row, const struct seen *s)
{
	const uint32_t fins = BPFAST_FF_FIN_FROM_CLIENT | BPFAST_FF_FIN_FROM_SERVER;

	if ((row->flags & fins) == fins)
		return false;
	return !s->gone || s->heard != heard(row);
}

static uint8_t reason_of(enum phase phase)
{
	return phase == HEAD	  ? BPFAST_R_HTTP_HEAD_SLOW
	       : phase == BODY	  ? BPFAST_R_HTTP_BODY_SLOW
	       : phase == READING ? BPFAST_R_HTTP_READ_SLOW
				  : BPFAST_R_NONE;
}

/* --- the look --- */

struct look {
	struct bf_crowd *c;
	const struct bf_crowd_limits *limits; /* where no rule holds */
	const struct bf_crowd_rule *rules;
	size_t rule_count;
	uint64_t ms;
	const struct bpfast_census_row *rows;
	uint32_t n;
	bool (*exempt)(void *arg, const uint8_t addr[16]);
	void *arg;
	struct bf_crowd_verdicts *out;
	struct table seen, tallies;
	double fade; /* what is left of requests counted before */
};

const struct bf_crowd_rule *bf_crowd_rule_of(const struct bf_crowd_rule *rules, size_t n,
					     uint32_t endpoint)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (rules[middle].endpoint < endpoint)
			low = middle + 1;
		else
			high = middle;
	}
	return low < n && rules[low].endpoint == endpoint ? &rules[low] : NULL;
}

static const struct bf_crowd_rule *rule_at(const struct look *k,
					   const struct bpfast_census_row *row)
{
	return bf_crowd_rule_of(k->rules, k->rule_count, row->key.endpoint);
}

static const struct bf_crowd_limits *limits_at(const struct look *k,
					       const struct bpfast_census_row *row)
{
	const struct bf_crowd_rule *rule = rule_at(k, row);

	return rule ? &rule->limits : k->limits;
}

static struct tally *tally_of(struct look *k, enum what what, const struct bpfast_census_row *row)
{
	uint64_t tag = name_of(k->c, what, row);
	size_t had = k->tallies.used;
	struct tally *t = table_at(&k->tallies, tag, true), *was;

	if (k->tallies.used != had && k->c->tallies.room) {
		was = table_at(&k->c->tallies, tag, false);
		if (was) {
			t->asked = was->asked * k->fade;
			t->punished = was->punished;
			t->barred = was->barred;
		}
	}
	return t;
}

static void count(struct look *k)
{
	for (uint32_t i = 0; i < k->n; i++) {
		const struct bpfast_census_row *row = &k->rows[i];
		uint64_t tag = hash(k->c->seed, &row->key, sizeof(row->key));
		const struct seen *was = k->c->seen.room ? table_at(&k->c->seen, tag, false) : NULL;
		struct seen *now = table_at(&k->seen, tag, true);
		struct tally *source = tally_of(k, SOURCE, row), *service;
		const struct bf_crowd_limits *l = limits_at(k, row);
		uint32_t asked;

		follow(l, k->ms, row, was, now);
		asked = row->requests - (was ? was->requests : 0);
		if (was && (int32_t)asked < 0)
			asked = row->requests; /* another connection on its ports */
		/* What was there before the first look was asked over a longer time. */
		if (k->c->last && asked) {
			source->asked += asked;
			if (l->path_requests)
				tally_of(k, PATH, row)->asked += asked;
		}
		if (!is_open(row, now)) {
			now->phase = IDLE;
			continue;
		}
		source->open += was != NULL;
		service = tally_of(k, SERVICE, row);
		k->out->unfinished += now->phase != IDLE;
		if (now->phase == IDLE || k->ms < now->quick)
			continue;
		source->slow++;
		service->slow++;
		k->out->slow++;
	}
}

static bool over(double level, uint32_t limit)
{
	return limit && level > (double)limit * RATE_MS / 1000;
}

/* How long a source has to be quiet until what it asked is what it might have, in ms. */
static uint64_t debt(double level, uint32_t limit)
{
	double ms = level * 1000 / limit - RATE_MS;

	return ms < PAUSE_LEAST_MS  ? PAUSE_LEAST_MS
	       : ms > PAUSE_MOST_MS ? PAUSE_MOST_MS
				    : (uint64_t)ms;
}

/*
 * The source is blocked, or, where nobody is to be, paused; pause 0: not even that. False: there was no room
 * for it at this look.
 */
static bool bar(struct look *k, const struct bpfast_census_row *row,
		const struct bf_crowd_source *s, struct tally *t, uint8_t reason, uint64_t pause)
{
	const struct bf_crowd_rule *rule = rule_at(k, row);
	uint32_t block_s = limits_at(k, row)->block_s;
	struct bf_crowd_verdicts *v = k->out;

	/* Not at each look: others wait for their place. */
	if ((rule && rule->audit) || (!block_s && !pause) || k->ms < t->barred)
		return true;
	if (v->sources == BF_CROWD_SOURCES)
		return false;
	v->source[v->sources] = *s;
	v->source[v->sources].block_s = block_s;
	v->source[v->sources].pause_ms = block_s ? 0 : (uint32_t)pause;
	v->source[v->sources++].reason = reason;
	t->barred = k->ms + (block_s ? PRESSED_MS : PAUSE_AGAIN_MS);
	return true;
}

/* What a source is over; decided at its first row. */
static void judge_source(struct look *k, const struct bpfast_census_row *row,
			 const struct bf_crowd_source *s, struct tally *t)
{
	const struct bf_crowd_limits *l = limits_at(k, row);

	t->judged = true;
	if (l->slow_per_source && t->slow > l->slow_per_source)
		t->reason = BPFAST_R_HTTP_HEAD_SLOW; /* each row says its own */
	else if (l->connections && t->open > l->connections)
		t->reason = BPFAST_R_CONNECTIONS;
	else if (over(t->asked, l->requests))
		t->reason = BPFAST_R_HTTP_FLOOD;
	if (!t->reason && !t->slow && k->ms >= t->punished)
		return;
	t->exempt = k->exempt && k->exempt(k->arg, row->key.remote);
	if (t->exempt) {
		t->reason = BPFAST_R_NONE;
		return;
	}
	if (!t->reason)
		return;
	bar(k, row, s, t, t->reason,
	    t->reason == BPFAST_R_HTTP_FLOOD ? debt(t->asked, l->requests) : 0);
	t->punished = k->ms + PRESSED_MS;
}

static uint8_t judge_row(struct look *k, uint32_t i)
{
	const struct bpfast_census_row *row = &k->rows[i];
	const struct bf_crowd_limits *l = limits_at(k, row);
	struct tally *t = tally_of(k, SOURCE, row), *path, *service;
	uint64_t tag = hash(k->c->seed, &row->key, sizeof(row->key));
	const struct seen *s = table_at(&k->seen, tag, false);
	const struct bf_crowd_rule *rule;
	struct bf_crowd_source who;
	uint8_t why;

	rule = rule_at(k, row);
	if (!s || (rule && rule->off))
		return BPFAST_R_NONE;
	/* Also by a connection that is over: it may have been one for each request. */
	source_of(row, &who);
	if (!t->judged)
		judge_source(k, row, &who, t);
	if (l->path_requests && !t->reason && !t->exempt && row->requests) {
		path = tally_of(k, PATH, row);
		if (over(path->asked, l->path_requests) &&
		    !(k->exempt && k->exempt(k->arg, row->key.remote))) {
			t->reason = BPFAST_R_HTTP_FLOOD;
			bar(k, row, &who, t, t->reason, debt(path->asked, l->path_requests));
			t->punished = k->ms + PRESSED_MS;
		}
	}
	if (t->exempt || !is_open(row, s) ||
	    (s->told && k->ms - s->told < (s->gone ? NOT_GONE_MS : AGAIN_MS)))
		return BPFAST_R_NONE;
	why = reason_of(s->phase);
	/* A source that is over keeps nobody waiting, for however short. */
	if (k->ms < t->punished && why)
		return why;
	if (t->reason == BPFAST_R_CONNECTIONS && t->open > l->connections) {
		t->open--;
		return BPFAST_R_CONNECTIONS;
	}
	if (t->reason == BPFAST_R_HTTP_FLOOD)
		return BPFAST_R_HTTP_FLOOD;
	if (!why || k->ms < s->quick)
		return BPFAST_R_NONE;
	if (s->phase == HEAD ? l->head_s && k->ms - s->since >= 1000ull * l->head_s
			     : k->ms >= s->patient)
		return why;
	service = tally_of(k, SERVICE, row);
	if (l->slow_per_service && service->slow > l->slow_per_service)
		service->punished = k->ms + PRESSED_MS;
	if (k->ms < service->punished)
		return why;
	return BPFAST_R_NONE;
}

static void judge(struct look *k)
{
	for (uint32_t i = 0; i < k->n; i++) {
		const struct bf_crowd_rule *rule = rule_at(k, &k->rows[i]);
		struct bf_crowd_source who;
		uint8_t why = judge_row(k, i);
		struct tally *t;
		struct seen *s;
		uint64_t tag;

		k->out->reason[i] = why;
		if (!why)
			continue;
		tag = hash(k->c->seed, &k->rows[i].key, sizeof(k->rows[i].key));
		s = table_at(&k->seen, tag, false);
		if (s) {
			s->told = k->ms;
			s->heard = heard(&k->rows[i]);
		}
		source_of(&k->rows[i], &who);
		t = tally_of(k, SOURCE, &k->rows[i]);
		if (strike(k->c, limits_at(k, &k->rows[i]), &who, rule && rule->audit, k->ms) &&
		    k->ms >= t->punished && bar(k, &k->rows[i], &who, t, why, 0))
			t->punished = k->ms + PRESSED_MS;
	}
}

int bf_crowd_judge(struct bf_crowd *c, const struct bf_crowd_limits *limits,
		   const struct bf_crowd_rule *rules, size_t rule_count, uint64_t ms,
		   const struct bpfast_census_row *rows, uint32_t n,
		   bool (*exempt)(void *arg, const uint8_t addr[16]), void *arg,
		   struct bf_crowd_verdicts *verdicts)
{
	struct look k = {
		.c = c,
		.limits = limits,
		.rules = rules,
		.rule_count = rule_count,
		.ms = ms,
		.rows = rows,
		.n = n,
		.exempt = exempt,
		.arg = arg,
		.out = verdicts,
	};
	uint64_t passed = ms - c->last;

	verdicts->sources = 0;
	verdicts->slow = verdicts->unfinished = 0;
	memset(verdicts->reason, BPFAST_R_NONE, n);
	if (table_make(&k.seen, n, sizeof(struct seen)))
		return -ENOMEM;
	if (table_make(&k.tallies, (size_t)n * 3, sizeof(struct tally))) {
		table_free(&k.seen);
		return -ENOMEM;
	}
	k.fade = passed < RATE_MS ? 1.0 - (double)passed / RATE_MS : 0.0;
	count(&k);
	judge(&k);
	table_free(&c->seen);
	table_free(&c->tallies);
	c->seen = k.seen;
	c->tallies = k.tallies;
	c->last = ms;
	return 0;
}

struct bf_crowd *bf_crowd_new(uint64_t seed)
{
	struct bf_crowd *c = calloc(1, sizeof(*c));

	if (c)
		c->seed = seed;
	return c;
}

void bf_crowd_free(struct bf_crowd *c)
{
	if (!c)
		return;
	table_free(&c->seen);
	table_free(&c->tallies);
	free(c);
}
