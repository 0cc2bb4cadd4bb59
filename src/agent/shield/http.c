// SPDX-License-Identifier: Apache-2.0
#include "agent/shield/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "agent/agent.h"
#include "agent/log.h"
#include "agent/server.h"
#include "agent/shield/bars.h"
#include "agent/shield/status.h"
#include "agent/clock.h"
#include "datapath/census.h"
#include "observe/names.h"

#define LOOK_MS 250
#define LOOK_OFTEN_MS 100 /* while so many connections are half way in a message */
#define OFTEN 16
/* Of the time of one CPU at most a twentieth; a fifth while so many are half way. */
#define LOOK_SHARE 20
#define LOOK_OFTEN_SHARE 5
#define WORTH 32 /* flows of an endpoint: fewer are not looked at */
#define RECORDS 32 /* written of one look; the rest is counted */

/* Of this thread: what others do meanwhile does not make a look dearer. */
static uint64_t cpu_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

enum bpfast_shield_mode bf_shield_http_mode(const struct bf_agent *a)
{
	uint8_t most = BPFAST_SM_OFF;

	if (a->http->mode < BPFAST_SM_COUNT)
		return a->http->mode;
	for (int i = 0; a->shield && i < BPFAST_SHIELD_SLOTS; i++) {
		const struct bpfast_shield_device *d = &bf_shield_control(a->shield)->device[i];

		if (d->ifindex && d->mode > most)
			most = d->mode;
	}
	return most;
}

/* Allow always wins. */
static bool exempt(void *arg, const uint8_t addr[16])
{
	const struct bf_agent *a = arg;
	struct bpfast_shield_entry e = {.prefix = 128};

	memcpy(e.addr, addr, 16);
	for (int which = 0; which < BPFAST_SI_COUNT; which++)
		if (bf_shield_list_holder(&a->shield_lists[which], &e, true, bf_shield_now()))
			return true;
	return bf_shield_list_holder(&a->shield_policies.list, &e, true, bf_shield_now()) != NULL;
}

/* --- what is done --- */

static const struct bf_local *local_of(const struct bf_agent *a, uint32_t slot)
{
	for (size_t i = 0; i < a->endpoints.n; i++)
		if (a->endpoints.v[i]->e.slot == (int)slot)
			return a->endpoints.v[i];
	return NULL;
}

/* A full table is said once, until there is room again. */
static void no_room(struct bf_shield_http *h, int r)
{
	if (r) {
		h->not_blocked++;
		if (!h->full)
			bf_log_error("sources are not blocked towards pods", "why",
				     r == -E2BIG ? "the table is full" : strerror(-r), "entries",
				     bf_num(BPFAST_SHIELD_BARS));
	} else if (h->full) {
		bf_log_info("there is room again to block sources towards pods");
	}
	h->full = r != 0;
}

static void block(struct bf_agent *a, const struct bf_crowd_verdicts *v)
{
	struct bf_shield_http *h = a->http;
	unsigned int told = 0;
	bool expired = false;

	for (size_t i = 0; a->shield && i < v->sources; i++) {
		const struct bf_crowd_source *s = &v->source[i];
		const struct bf_local *local = local_of(a, s->endpoint);
		struct bpfast_shield_entry e = {.prefix = s->prefix};
		char text[64];
		int r;

		if (!local)
			continue; /* it has just gone */
		r = bf_shield_bar(a, local, s);
		/* Once a look: all of the table is read for it. */
		if (r == -E2BIG && !expired) {
			expired = true;
			bf_shield_bars_expire(a);
			r = bf_shield_bar(a, local, s);
		}
		no_room(h, r);
		if (r)
			continue;
		if (!s->block_s) {
			h->paused++;
			continue;
		}
		h->blocked++;
		memcpy(e.addr, s->addr, 16);
		if (told++ < 8)
			bf_log_warn("a source is blocked", "source",
				    bf_shield_cidr_text(&e, text, sizeof(text)), "endpoint",
				    local->e.name, "namespace", local->e.namespace, "why",
				    bf_reason_word(s->reason), "seconds", bf_num(s->block_s));
	}
}

static void record(struct bf_agent *a, const struct bpfast_census_row *row, uint8_t reason,
		   bool audit)
{
	struct bpfast_event ev = {
		.time_ns = bf_now_ns(),
		.generation = row->generation,
		.remote_identity = row->remote_identity,
		.endpoint = row->key.endpoint,
		.type = BPFAST_EV_L3_L4,
		.verdict = audit ? BPFAST_V_AUDIT : BPFAST_V_DROPPED,
		.reason = reason,
		.protocol = row->key.protocol,
		.ip_version = memcmp(row->key.local, "\0\0\0\0\0\0\0\0\0\0\377\377", 12) ? 6 : 4,
		.source_port = ntohs(row->key.remote_port),
		.destination_port = ntohs(row->key.local_port),
	};
	const struct bf_view_endpoint *local;

	local = bf_view_by_slot(bf_views_find(&a->views, row->generation), row->key.endpoint);
	ev.local_identity = local ? local->identity : 0;
	memcpy(ev.source, row->key.remote, 16);
	memcpy(ev.destination, row->key.local, 16);
	bf_records_add(a, &ev);
}

static int end(struct bf_agent *a, const struct bpfast_census_row *row)
{
	const struct bf_local *l = local_of(a, row->key.endpoint);

	return l ? bf_census_end(a->http->census, row, l->ifindex, l->mac) : -ENOENT;
}

static void apply(struct bf_agent *a, const struct bpfast_census_row *rows, uint32_t n, bool audit)
{
	struct bf_shield_http *h = a->http;
	const struct bf_crowd_verdicts *v = h->verdicts;
	uint32_t told = 0;

	/* First, for a client connects again at once. */
	if (!audit)
		block(a, v);
	for (uint32_t i = 0; i < n; i++) {
		const struct bf_crowd_rule *rule =
			bf_crowd_rule_of(h->rules, h->rule_count, rows[i].key.endpoint);
		bool count_only = audit || (rule && rule->audit);
		uint8_t why = v->reason[i];

		if (!why)
			continue;
		if (count_only)
			h->audited[why - BPFAST_R_ENDED]++;
		/* Of what nobody inspects the numbers are not known. */
		else if (!(rows[i].flags & BPFAST_FF_HTTP) || end(a, &rows[i]))
			h->not_ended++;
		else
			h->ended[why - BPFAST_R_ENDED]++;
		if (told++ < RECORDS)
			record(a, &rows[i], why, count_only);
	}
}

/* --- what policies say --- */

static int by_slot(const void *a, const void *b)
{
	const struct bf_local *const *x = a, *const *y = b;

	return ((*x)->e.slot > (*y)->e.slot) - ((*x)->e.slot < (*y)->e.slot);
}

/* Never more than what the command says of all. */
static uint8_t mode_at(const struct bf_agent *a, const struct bf_local *l)
{
	struct bf_shield_choice c;

	if (!bf_shield_policy_of(a, l->ifindex, l->iface, &c))
		return a->http->mode;
	return c.mode < a->http->mode ? c.mode : a->http->mode;
}

static void give_back_rules(struct bf_shield_http *h)
{
	free(h->rules);
	free(h->owners);
	h->rules = NULL;
	h->owners = NULL;
	h->rule_count = 0;
}

void bf_shield_http_renew(struct bf_agent *a)
{
	const struct bf_objects *objects = &a->shield_policies.objects;
	struct bf_shield_http *h = a->http;
	struct bf_shield_http_choice c;
	struct bf_local **all;
	bool any = false;

	if (!h)
		return;
	give_back_rules(h);
	for (size_t i = 0; i < objects->policy_count; i++)
		any |= objects->policies[i].shield && objects->policies[i].shield->http;
	if (!any || !a->endpoints.n)
		return;
	all = malloc(a->endpoints.n * sizeof(struct bf_local *));
	h->rules = calloc(a->endpoints.n, sizeof(*h->rules));
	h->owners = calloc(a->endpoints.n, sizeof(*h->owners));
	if (!all || !h->rules || !h->owners) {
		bf_log_error("limits of policies on connections are not in force", "why",
			     "no memory");
		free(all);
		give_back_rules(h);
		return;
	}
	memcpy(all, a->endpoints.v, a->endpoints.n * sizeof(struct bf_local *));
	qsort(all, a->endpoints.n, sizeof(struct bf_local *), by_slot);
	for (size_t i = 0; i < a->endpoints.n; i++) {
		struct bf_crowd_rule *rule = &h->rules[h->rule_count];
		uint8_t mode;

		c.limits = h->limits;
		if (!bf_shield_choose_http(objects, &all[i]->e, &c))
			continue;
		mode = mode_at(a, all[i]);
		*rule = (struct bf_crowd_rule){.endpoint = all[i]->e.slot,
					       .off = mode == BPFAST_SM_OFF,
					       .audit = mode == BPFAST_SM_AUDIT,
					       .limits = c.limits};
		h->owners[h->rule_count++] = c.owner;
	}
	free(all);
}

/* --- the look --- */

static int prepare(struct bf_agent *a, struct bf_error *err)
{
	struct bf_shield_http *h = a->http;
	uint64_t seed;

	if (h->census)
		return 0;
	if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		return bf_err(err, -EIO, "no random number");
	h->crowd = bf_crowd_new(seed);
	h->verdicts = calloc(1, sizeof(*h->verdicts));
	if (h->verdicts)
		h->verdicts->reason = malloc(BPFAST_CENSUS_MAX);
	if (!h->crowd || !h->verdicts || !h->verdicts->reason)
		return bf_err(err, -ENOMEM, "no memory");
	return bf_census_open(a->dp, &h->census, err);
}

static void give_back(struct bf_shield_http *h)
{
	bf_census_close(h->census);
	bf_crowd_free(h->crowd);
	if (h->verdicts)
		free(h->verdicts->reason);
	free(h->verdicts);
	h->census = NULL;
	h->crowd = NULL;
	h->verdicts = NULL;
	h->connections = h->slow = 0;
}

/* What was found in another mode had other consequences: nothing of it is remembered. */
static void mode_is(struct bf_shield_http *h, enum bpfast_shield_mode mode)
{
	if (mode != h->looked_as && h->census)
		give_back(h);
	h->looked_as = (uint8_t)mode;
}

static int look(struct bf_agent *a, bool audit, struct bf_error *err)
{
	struct bf_shield_http *h = a->http;
	bool closed = h->limits.requests || h->limits.path_requests;
	const struct bpfast_census_row *rows;
	uint32_t n, left_out;
	int r = prepare(a, err);

	if (r)
		return r;
	for (size_t i = 0; i < h->rule_count; i++)
		closed |= h->rules[i].limits.requests || h->rules[i].limits.path_requests;
	r = bf_census_run(h->census, closed, &rows, &n, &left_out, &h->took_ns);
	if (r)
		return bf_err(err, r, "the census does not run: %s", strerror(-r));
	r = bf_crowd_judge(h->crowd, &h->limits, h->rules, h->rule_count, bf_now_ns() / 1000000,
			   rows, n, exempt, a, h->verdicts);
	if (r)
		return bf_err(err, r, "no memory");
	h->connections = n;
	h->slow = h->verdicts->slow;
	h->left_out += left_out;
	apply(a, rows, n, audit);
	return 0;
}

static void on_timer(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;
	struct bf_shield_http *h = a->http;
	enum bpfast_shield_mode mode = bf_shield_http_mode(a);
	struct bf_error err = {""};
	uint64_t began = cpu_ns(), wait, every = LOOK_MS, share = LOOK_SHARE;

	(void)events;
	bf_timer_read(&h->timer);
	mode_is(h, mode);
	if (mode == BPFAST_SM_OFF) {
		h->connections = h->slow = 0;
	} else if (bf_census_worth(a->dp, WORTH)) {
		int r = look(a, mode == BPFAST_SM_AUDIT, &err);

		if (r && !h->failed)
			bf_log_error("connections are not looked at", "why", err.msg);
		else if (!r && h->failed)
			bf_log_info("connections are looked at again");
		h->failed = r != 0;
		if (!r && h->verdicts->unfinished >= OFTEN) {
			every = LOOK_OFTEN_MS;
			share = LOOK_OFTEN_SHARE;
		}
	} else {
		h->connections = h->slow = 0;
	}
	/* A large table is looked at less often. */
	wait = (cpu_ns() - began) * share / 1000000;
	bf_timer_set(&h->timer, (unsigned int)(wait > every ? wait : every), 0);
}

void bf_shield_http_init(struct bf_agent *a)
{
	static struct bf_shield_http http;

	http.limits = bf_crowd_defaults;
	http.mode = BF_HTTP_AS_DEVICES;
	a->http = &http;
}

int bf_shield_http_start(struct bf_agent *a)
{
	struct bf_shield_http *h;
	int r;

	bf_shield_http_init(a);
	h = a->http;
	h->timer = (struct bf_watch){-1, on_timer, a};
	r = bf_timer_add(&a->loop, &h->timer);
	return r ? r : bf_timer_set(&h->timer, LOOK_MS, 0);
}

void bf_shield_http_stop(struct bf_agent *a)
{
	if (!a->http)
		return;
	give_back(a->http);
	give_back_rules(a->http);
}

/* --- what is said of it --- */

static const char *mode_word(uint8_t mode)
{
	return mode < BPFAST_SM_COUNT ? bf_shield_modes[mode] : "as-devices";
}

static json_t *limits_json(const struct bf_crowd_limits *l)
{
	json_t *o = json_object();

#define BPFAST_X(member, option, what, field)                                                      \
	json_object_set_new(o, option, json_integer(l->member));
	BF_CROWD_LIMITS(BPFAST_X)
#undef BPFAST_X
	return o;
}

json_t *bf_shield_http_save(const struct bf_agent *a)
{
	return json_pack("{s:s, s:o}", "mode", mode_word(a->http->mode), "limits",
			 limits_json(&a->http->limits));
}

/* Endpoints for which a policy has a word, with all limits that hold there. */
static json_t *endpoints_json(const struct bf_agent *a)
{
	const struct bf_shield_http *h = a->http;
	json_t *array = json_array();

	for (size_t i = 0; i < a->endpoints.n; i++) {
		const struct bf_local *l = a->endpoints.v[i];
		const struct bf_crowd_rule *rule =
			bf_crowd_rule_of(h->rules, h->rule_count, l->e.slot);
		uint8_t now = bf_shield_http_mode(a);

		if (!rule)
			continue;
		if (rule->off)
			now = BPFAST_SM_OFF;
		else if (rule->audit && now > BPFAST_SM_AUDIT)
			now = BPFAST_SM_AUDIT;
		json_array_append_new(array, json_pack("{s:s, s:s, s:s, s:s, s:o}", "namespace",
						       l->e.namespace, "endpoint", l->e.name,
						       "policy", h->owners[rule - h->rules],
						       "mode_now", mode_word(now), "limits",
						       limits_json(&rule->limits)));
	}
	return array;
}

static uint32_t number(const json_t *o, const char *key, uint32_t now)
{
	const json_t *v = json_object_get(o, key);
	json_int_t n = json_integer_value(v);

	return json_is_integer(v) && n >= 0 && n <= 1000000000 ? (uint32_t)n : now;
}

static void take_limits(struct bf_crowd_limits *l, const json_t *o)
{
#define BPFAST_X(member, option, what, field) l->member = number(o, option, l->member);
	BF_CROWD_LIMITS(BPFAST_X)
#undef BPFAST_X
}

static void take_mode(struct bf_shield_http *h, const char *word)
{
	for (uint8_t m = 0; word && m <= BF_HTTP_AS_DEVICES; m++)
		if (!strcmp(word, mode_word(m)))
			h->mode = m;
}

void bf_shield_http_load(struct bf_agent *a, const json_t *o)
{
	take_mode(a->http, json_string_value(json_object_get(o, "mode")));
	take_limits(&a->http->limits, json_object_get(o, "limits"));
}

json_t *bf_shield_http_status(struct bf_agent *a)
{
	const struct bf_shield_http *h = a->http;
	json_t *o = bf_shield_http_save(a), *reasons = json_array();
	size_t blocked, paused;

	bf_shield_bars_now(a, &blocked, &paused);
	for (unsigned int r = 0; r < BPFAST_ENDED_REASONS; r++)
		if (h->ended[r] || h->audited[r])
			json_array_append_new(
				reasons, json_pack("{s:s, s:I, s:I, s:s}", "reason",
						   bf_reason_word(r + BPFAST_R_ENDED),
						   "connections", (json_int_t)h->ended[r],
						   "audited", (json_int_t)h->audited[r], "hint",
						   bf_reason_hint(r + BPFAST_R_ENDED)));
	json_object_set_new(o, "mode_now", json_string(mode_word(bf_shield_http_mode(a))));
	json_object_set_new(o, "connections", json_integer(h->connections));
	json_object_set_new(o, "slow", json_integer(h->slow));
	json_object_set_new(o, "blocked", json_integer((json_int_t)h->blocked));
	json_object_set_new(o, "paused", json_integer((json_int_t)h->paused));
	json_object_set_new(o, "blocked_now", json_integer((json_int_t)blocked));
	json_object_set_new(o, "paused_now", json_integer((json_int_t)paused));
	json_object_set_new(o, "not_blocked", json_integer((json_int_t)h->not_blocked));
	json_object_set_new(o, "not_ended", json_integer((json_int_t)h->not_ended));
	json_object_set_new(o, "not_judged", json_integer((json_int_t)h->left_out));
	json_object_set_new(o, "census_us", json_integer((json_int_t)(h->took_ns / 1000)));
	json_object_set_new(o, "ended", reasons);
	json_object_set_new(o, "endpoints", endpoints_json(a));
	return o;
}

/* --- shield http --- */

static int http(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		struct bf_error *err)
{
	const char *mode = json_string_value(json_object_get(args, "mode"));
	const json_t *limits = json_object_get(args, "limits"), *v;
	struct bf_shield_http *h = a->http;
	bool known = !mode;
	const char *key;
	int r = 0;

	(void)c;
	for (uint8_t m = 0; m <= BF_HTTP_AS_DEVICES; m++)
		known |= mode && !strcmp(mode, mode_word(m));
	if (!known)
		return bf_err(err, -EINVAL, "--mode: '%s' is not enforce, audit, off or as-devices",
			      mode);
	json_object_foreach ((json_t *)limits, key, v)
		if (!json_is_integer(v) || json_integer_value(v) < 0 ||
		    json_integer_value(v) > 1000000000)
			return bf_err(err, -EINVAL,
				      "--%s: a number from 0 to 1000000000 is expected; 0 is no "
				      "limit",
				      key);
	if (json_is_true(json_object_get(args, "defaults"))) {
		h->limits = bf_crowd_defaults;
		h->mode = BF_HTTP_AS_DEVICES;
	}
	take_mode(h, mode);
	take_limits(&h->limits, limits);
	mode_is(h, bf_shield_http_mode(a));
	bf_shield_http_renew(a);
	if (mode || limits || json_is_true(json_object_get(args, "defaults")))
		r = bf_state_save(a, err);
	*result = bf_shield_http_status(a);
	return r;
}

const struct bf_command bf_shield_http_commands[] = {
	{"shield http", http},
	{NULL, NULL},
};
