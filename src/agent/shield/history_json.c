// SPDX-License-Identifier: Apache-2.0
/* Records of attacks to JSON and back. Whatever the file holds, what is read has no value that the detector could not have made. */
#include "agent/shield/history.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "observe/names.h"

#define VERSION 1
#define MOST ((json_int_t)1 << 62)
#define MOST_REAL 1e15

/* --- out --- */

static int64_t wall(uint64_t ns, int64_t offset_ns)
{
	return ns ? (int64_t)ns + offset_ns : 0;
}

/* JSON has no infinity. */
static double limited(double x)
{
	return isfinite(x) && x >= -1 ? fmin(x, MOST_REAL) : 0;
}

static json_t *heavy_json(const struct bf_heavy_entry *e, unsigned int bits)
{
	char addr[64];

	return json_pack("{s:s, s:I, s:I, s:i}", "address",
			 bf_address_text(e->addr, addr, sizeof(addr)), "count",
			 (json_int_t)e->count, "error", (json_int_t)e->error, "bits", (int)bits);
}

static json_t *rule_json(const struct bpfast_fingerprint *f, const struct bf_fingerprint_score *s,
			 uint64_t hits)
{
	char text[BF_FINGERPRINT_TEXT], addr[64];

	return json_pack(
		"{s:s, s:I, s:s, s:i, s:b, s:f, s:f, s:i, s:I}", "rule",
		bf_fingerprint_text(f, text, sizeof(text)), "id", (json_int_t)f->id, "destination",
		bf_address_text(f->destination, addr, sizeof(addr)), "port",
		f->destination_port_min == f->destination_port_max ? f->destination_port_min : 0,
		"audit", f->audit != 0, "attack", s->attack, "honest", s->honest, "fields",
		(int)s->fields, "hits", (json_int_t)hits);
}

static json_t *dns_json(const struct bf_dns_rule *r)
{
	json_t *bytes = json_array();

	for (unsigned int i = 0; i < r->bytes; i++)
		json_array_append_new(bytes, json_integer(r->name[i]));
	return json_pack("{s:o, s:f, s:f, s:f, s:I, s:b, s:b, s:i, s:I}", "name", bytes, "share",
			 r->share, "unique", r->unique, "entropy", r->entropy, "id",
			 (json_int_t)r->id, "audit", r->audit != 0, "strangers", r->strangers != 0,
			 "honest", r->honest, "packets", (json_int_t)r->packets);
}

static json_t *attack_json(const struct bf_attack *a, const uint64_t *hits, int64_t offset_ns)
{
	json_t *top = json_array(), *prefixes = json_array(), *rules = json_array(), *o;
	char addr[64];

	for (unsigned int i = 0; i < a->tops; i++)
		json_array_append_new(top, heavy_json(&a->top[i], 0));
	for (unsigned int i = 0; i < a->top_prefixes; i++)
		json_array_append_new(prefixes, heavy_json(&a->prefix[i].who, a->prefix[i].bits));
	for (unsigned int i = 0; i < a->rules; i++)
		json_array_append_new(rules,
				      rule_json(&a->rule[i], &a->score[i], hits ? hits[i] : 0));
	o = json_pack("{s:I, s:s, s:i, s:i, s:b, s:s, s:i, s:i, s:i, s:i, s:i, s:i, s:i}", "id",
		      (json_int_t)a->id, "address",
		      bf_address_text(a->dest.addr, addr, sizeof(addr)), "port", a->dest.port,
		      "protocol", a->dest.protocol, "other", a->dest.other != 0, "kind",
		      bf_class_name(a->kind), "evidence", a->evidence, "spread", a->spread,
		      "actions", a->actions, "sensitivity", a->sensitivity, "classes",
		      (int)a->classes, "note", a->note, "restarts", (int)a->restarts);
	json_object_update_new(
		o,
		json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
			  "start", (json_int_t)wall(a->start_ns, offset_ns), "detected",
			  (json_int_t)wall(a->detected_ns, offset_ns), "end",
			  (json_int_t)wall(a->end_ns, offset_ns), "released",
			  (json_int_t)wall(a->released_ns, offset_ns), "packets",
			  (json_int_t)a->packets, "bytes", (json_int_t)a->bytes, "dropped",
			  (json_int_t)a->dropped, "value", limited(a->value), "threshold",
			  limited(a->threshold), "ordinary", limited(a->ordinary), "entropy",
			  limited(a->entropy), "packets_per_source", limited(a->packets_per_source),
			  "peak_pps", limited(a->peak_pps), "peak_bps", limited(a->peak_bps)));
	json_object_set_new(o, "top", top);
	json_object_set_new(o, "prefixes", prefixes);
	json_object_set_new(o, "rules", rules);
	if (a->random_subdomain)
		json_object_set_new(o, "dns", dns_json(&a->dns));
	return o;
}

json_t *bf_history_json(const struct bf_history *h, int64_t offset_ns)
{
	json_t *running = json_array(), *ended = json_array(), *begun = json_object();

	for (size_t i = 0; i < h->running; i++)
		json_array_append_new(running, attack_json(&h->v[i], h->hits[i], offset_ns));
	for (size_t i = h->running; i < h->running + h->ended; i++)
		json_array_append_new(ended, attack_json(&h->v[i], NULL, offset_ns));
	for (int c = 0; c < BF_CLASSES; c++)
		if (h->begun[c])
			json_object_set_new(begun, bf_class_name(c),
					    json_integer((json_int_t)h->begun[c]));
	return json_pack("{s:i, s:I, s:I, s:o, s:o, s:o}", "version", VERSION, "last_id",
			 (json_int_t)h->last_id, "last_rule", (json_int_t)h->last_rule, "begun",
			 begun, "running", running, "ended", ended);
}

/* --- in --- */

/* The first thing that is not as it has to be; the rest is read on, into nothing that is used. */
struct reader {
	const char *flaw;
	int64_t offset_ns;
	uint64_t now_ns;
};

static uint64_t number(struct reader *r, const json_t *o, const char *key, json_int_t most)
{
	const json_t *v = json_object_get(o, key);
	json_int_t n = json_integer_value(v);

	if (json_is_integer(v) && n >= 0 && n <= most)
		return (uint64_t)n;
	r->flaw = key;
	return 0;
}

static double real(struct reader *r, const json_t *o, const char *key)
{
	const json_t *v = json_object_get(o, key);
	double x = json_number_value(v);

	if (json_is_number(v) && x >= -1 && x <= MOST_REAL)
		return x;
	r->flaw = key;
	return 0;
}

static uint64_t when(struct reader *r, const json_t *o, const char *key)
{
	uint64_t wall_ns = number(r, o, key, MOST), ns;

	if (!wall_ns)
		return 0;
	ns = wall_ns - (uint64_t)r->offset_ns;
	/* The clock was set back since. */
	return (int64_t)(ns - r->now_ns) > 0 ? r->now_ns : ns;
}

static void address(struct reader *r, const json_t *o, const char *key, uint8_t out[16])
{
	const char *s = json_string_value(json_object_get(o, key));

	if (!s || bf_address_parse(s, out))
		r->flaw = key;
}

static int class_of(const char *word)
{
	for (int c = 0; word && c < BF_CLASSES; c++)
		if (!strcmp(word, bf_class_name(c)))
			return c;
	return -1;
}

static const json_t *list(struct reader *r, const json_t *o, const char *key, size_t most)
{
	const json_t *v = json_object_get(o, key);

	if (json_is_array(v) && json_array_size(v) <= most)
		return v;
	r->flaw = key;
	return NULL;
}

static uint8_t heavy(struct reader *r, const json_t *o, struct bf_heavy_entry *e)
{
	address(r, o, "address", e->addr);
	e->count = number(r, o, "count", MOST);
	e->error = number(r, o, "error", (json_int_t)e->count);
	return (uint8_t)number(r, o, "bits", 128);
}

static void rule(struct reader *r, const json_t *o, struct bf_attack *a, unsigned int i,
		 uint64_t *hits)
{
	struct bpfast_fingerprint *f = &a->rule[i];
	const char *text = json_string_value(json_object_get(o, "rule"));
	struct bf_error ignored;
	uint16_t port;

	if (!text || bf_fingerprint_parse(text, f, &ignored)) {
		r->flaw = "rule";
		return;
	}
	f->id = (uint32_t)number(r, o, "id", UINT32_MAX);
	address(r, o, "destination", f->destination);
	port = (uint16_t)number(r, o, "port", UINT16_MAX);
	if (port)
		f->destination_port_min = f->destination_port_max = port;
	if (!f->id)
		r->flaw = "id";
	f->audit = json_is_true(json_object_get(o, "audit"));
	a->score[i].attack = real(r, o, "attack");
	a->score[i].honest = real(r, o, "honest");
	a->score[i].fields = (unsigned int)number(r, o, "fields", 1000);
	*hits = number(r, o, "hits", MOST);
}

static void dns(struct reader *r, const json_t *o, struct bf_dns_rule *d)
{
	const json_t *name = list(r, o, "name", BF_DNS_NAME), *byte;
	size_t i;

	json_array_foreach (name, i, byte) {
		json_int_t n = json_integer_value(byte);

		if (!json_is_integer(byte) || n < 0 || n > 255)
			r->flaw = "name";
		d->name[i] = (uint8_t)n;
	}
	d->bytes = (uint8_t)json_array_size(name);
	/* Labels, each within the name. */
	for (i = 0; i < d->bytes; i += 1u + d->name[i])
		if (!d->name[i] || i + d->name[i] >= d->bytes)
			r->flaw = "name";
	d->share = real(r, o, "share");
	d->unique = real(r, o, "unique");
	d->entropy = real(r, o, "entropy");
	d->id = (uint32_t)number(r, o, "id", UINT32_MAX);
	d->audit = json_is_true(json_object_get(o, "audit"));
	d->strangers = json_is_true(json_object_get(o, "strangers"));
	d->honest = (uint8_t)number(r, o, "honest", UINT8_MAX);
	d->packets = number(r, o, "packets", MOST);
}

static void parts(struct reader *r, const json_t *o, struct bf_attack *a, uint64_t *hits)
{
	const json_t *item, *l = list(r, o, "top", BF_ATTACK_TOP);
	size_t i;

	json_array_foreach (l, i, item)
		heavy(r, item, &a->top[i]);
	a->tops = (uint8_t)json_array_size(l);
	l = list(r, o, "prefixes", BF_ATTACK_TOP);
	json_array_foreach (l, i, item)
		a->prefix[i].bits = heavy(r, item, &a->prefix[i].who);
	a->top_prefixes = (uint8_t)json_array_size(l);
	l = list(r, o, "rules", BF_ATTACK_RULES);
	json_array_foreach (l, i, item)
		rule(r, item, a, (unsigned int)i, &hits[i]);
	a->rules = (uint8_t)json_array_size(l);
	if (json_object_get(o, "dns")) {
		a->random_subdomain = 1;
		dns(r, json_object_get(o, "dns"), &a->dns);
	}
}

static void attack(struct reader *r, const json_t *o, struct bf_attack *a, uint64_t *hits)
{
	int kind = class_of(json_string_value(json_object_get(o, "kind")));

	a->id = number(r, o, "id", MOST);
	address(r, o, "address", a->dest.addr);
	a->dest.port = (uint16_t)number(r, o, "port", UINT16_MAX);
	a->dest.protocol = (uint8_t)number(r, o, "protocol", UINT8_MAX);
	a->dest.other = json_is_true(json_object_get(o, "other"));
	a->kind = kind < 0 ? 0 : (uint8_t)kind;
	a->evidence = (uint8_t)number(r, o, "evidence", BF_EV_SURGE);
	a->spread = (uint8_t)number(r, o, "spread", BF_SPREAD_SPOOFED);
	a->actions = (uint8_t)number(r, o, "actions", UINT8_MAX);
	a->sensitivity = (uint8_t)number(r, o, "sensitivity", BF_SENS_COUNT - 1);
	a->classes = (uint32_t)number(r, o, "classes", (1 << BF_CLASSES) - 1);
	a->note = (uint8_t)number(r, o, "note", BF_NOTE_COUNT - 1);
	a->restarts = (uint32_t)number(r, o, "restarts", INT32_MAX - 1);
	a->start_ns = when(r, o, "start");
	a->detected_ns = when(r, o, "detected");
	a->end_ns = when(r, o, "end");
	a->released_ns = when(r, o, "released");
	a->packets = number(r, o, "packets", MOST);
	a->bytes = number(r, o, "bytes", MOST);
	a->dropped = number(r, o, "dropped", MOST);
	a->value = real(r, o, "value");
	a->threshold = real(r, o, "threshold");
	a->ordinary = real(r, o, "ordinary");
	a->entropy = real(r, o, "entropy");
	a->packets_per_source = real(r, o, "packets_per_source");
	a->peak_pps = real(r, o, "peak_pps");
	a->peak_bps = real(r, o, "peak_bps");
	parts(r, o, a, hits);
	if (!a->id || kind < 0 || !(a->classes >> a->kind & 1) || !a->start_ns || !a->detected_ns)
		r->flaw = "kind";
}

static void all(struct reader *r, const json_t *o, struct bf_history *h)
{
	const json_t *running = list(r, o, "running", BF_ATTACKS_MAX), *item;
	const json_t *ended = list(r, o, "ended", BF_HISTORY_KEPT);
	const json_t *begun = json_object_get(o, "begun");
	uint64_t ignored[BF_ATTACK_RULES];
	size_t i;

	h->last_id = number(r, o, "last_id", MOST);
	h->last_rule = number(r, o, "last_rule", UINT32_MAX);
	for (int c = 0; c < BF_CLASSES; c++)
		if (json_object_get(begun, bf_class_name(c)))
			h->begun[c] = number(r, begun, bf_class_name(c), MOST);
	json_array_foreach (running, i, item) {
		attack(r, item, &h->v[h->running], h->hits[h->running]);
		h->running++;
	}
	json_array_foreach (ended, i, item) {
		struct bf_attack *a = &h->v[h->running + h->ended++];

		attack(r, item, a, ignored);
		if (!a->released_ns || !a->end_ns)
			r->flaw = "released";
	}
	/* No id twice, and none that would be given again. */
	for (i = 0; i < h->running + h->ended; i++) {
		if (h->v[i].id > h->last_id)
			r->flaw = "last_id";
		for (size_t j = 0; j < i; j++)
			if (h->v[i].id == h->v[j].id)
				r->flaw = "id";
	}
}

int bf_history_parse(const char *text, size_t len, int64_t offset_ns, uint64_t now_ns,
		     struct bf_history *out, struct bf_error *err)
{
	struct reader r = {.offset_ns = offset_ns, .now_ns = now_ns};
	json_error_t je;
	json_t *o = json_loadb(text, len, JSON_REJECT_DUPLICATES, &je);
	int e = 0;

	memset(out, 0, sizeof(*out));
	if (!o)
		return bf_err(err, -EINVAL, "line %d: %s", je.line, je.text);
	if (json_integer_value(json_object_get(o, "version")) != VERSION)
		e = bf_err(err, -EINVAL, "it has another version than %d", VERSION);
	else
		all(&r, o, out);
	if (!e && r.flaw)
		e = bf_err(err, -EINVAL, "'%s' is not as it has to be", r.flaw);
	if (e)
		memset(out, 0, sizeof(*out));
	json_decref(o);
	return e;
}
