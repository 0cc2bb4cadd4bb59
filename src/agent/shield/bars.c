// SPDX-License-Identifier: Apache-2.0
#include "agent/shield/bars.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/log.h"
#include "agent/clock.h"
#include "observe/names.h"

#define HOLD_NS 1000000000ull

static bool reaches(const uint8_t source[16], const uint8_t to[16])
{
	return bf_address_is4(source) == bf_address_is4(to) &&
	       (bf_address_link_local(source) || !bf_address_link_local(to));
}

static bool over(const struct bf_shield_bar *b, uint64_t now)
{
	return now >= b->until.all_ns && now >= b->until.syn_ns;
}

/* Else it is a pause, in the first second of which nothing passes. */
static bool is_block(const struct bf_shield_bar *b)
{
	return b->until.all_ns >= b->until.syn_ns;
}

/* *out is malloc'ed, or NULL where there is nothing. */
static int read_all(struct bf_agent *a, struct bf_shield_bar **out, size_t *n)
{
	*out = NULL;
	*n = 0;
	return a->shield && bf_shield_control(a->shield)->bars ? bf_shield_bars(a->shield, out, n)
							       : 0;
}

/* As an entry of a list. */
static struct bpfast_shield_entry source_of(const struct bf_shield_bar *b)
{
	struct bpfast_shield_entry e = {.prefix = bf_address_is4(b->key.source) ? 128 : 64};

	memcpy(e.addr, b->key.source, 16);
	return e;
}

static json_t *bar_json(struct bf_agent *a, const struct bf_shield_bar *b)
{
	const struct bf_local *l = bf_endpoints_by_address(&a->endpoints, b->key.destination);
	struct bpfast_shield_entry e = source_of(b);
	char cidr[64], to[64], name[600] = "";

	if (l)
		snprintf(name, sizeof(name), "%s/%s", l->e.namespace, l->e.name);
	return json_pack("{s:s, s:s, s:s, s:s}", "from", "http", "cidr",
			 bf_shield_cidr_text(&e, cidr, sizeof(cidr)), "endpoint", name,
			 "destination", bf_address_text(b->key.destination, to, sizeof(to)));
}

/* --- into force --- */

int bf_shield_bar(struct bf_agent *a, const struct bf_local *local,
		  const struct bf_crowd_source *source)
{
	struct bf_shield_bar b = {0};
	uint64_t now = bf_now_ns();
	int r = 0;

	memcpy(b.key.source, source->addr, 16);
	if (source->block_s) {
		b.until.all_ns = now + source->block_s * 1000000000ull;
	} else {
		/* At first nothing passes: resets reach only connections that stand still. */
		b.until.all_ns = now + HOLD_NS;
		b.until.syn_ns = now + source->pause_ms * 1000000ull;
	}
	for (size_t i = 0; i < local->e.addr_count && !r; i++) {
		if (!reaches(source->addr, local->e.addrs[i]))
			continue;
		memcpy(b.key.destination, local->e.addrs[i], 16);
		r = bf_shield_bar_put(a->shield, &b);
	}
	return r;
}

void bf_shield_bars_expire(struct bf_agent *a)
{
	uint64_t now = bf_now_ns();
	struct bf_shield_bar *all;
	size_t n;
	int r = read_all(a, &all, &n);

	/* The kernel side looks at the times itself: this only makes room. */
	if (r)
		bf_log_warn("blocks towards pods that ended stay in the table, without effect",
			    "why", strerror(-r));
	for (size_t i = 0; i < n; i++)
		if (over(&all[i], now))
			bf_shield_bar_remove(a->shield, &all[i].key);
	free(all);
}

void bf_shield_bars_welcome(struct bf_agent *a, const struct bf_local *local)
{
	struct bf_shield_bar *all;
	size_t n;

	read_all(a, &all, &n);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < local->e.addr_count; k++)
			if (!memcmp(all[i].key.destination, local->e.addrs[k], 16))
				bf_shield_bar_remove(a->shield, &all[i].key);
	free(all);
}

/* --- what is said of it --- */

size_t bf_shield_bars_json(struct bf_agent *a, json_t *entries, size_t most)
{
	struct bf_shield_bar *all;
	uint64_t now = bf_now_ns();
	size_t n, live = 0;

	read_all(a, &all, &n);
	for (size_t i = 0; i < n; i++) {
		bool whole = is_block(&all[i]);
		uint64_t until = whole ? all[i].until.all_ns : all[i].until.syn_ns;
		json_t *o;

		if (over(&all[i], now) || live++ >= most)
			continue;
		o = bar_json(a, &all[i]);
		json_object_set_new(o, "list", json_string("block"));
		json_object_set_new(o, "what",
				    json_string(whole ? "everything" : "new-connections"));
		json_object_set_new(o, "seconds_left",
				    json_integer((json_int_t)((until - now) / 1000000000u) + 1));
		json_array_append_new(entries, o);
	}
	free(all);
	return live;
}

void bf_shield_bars_now(struct bf_agent *a, size_t *blocked, size_t *paused)
{
	struct bf_shield_bar *all;
	uint64_t now = bf_now_ns();
	size_t n;

	*blocked = *paused = 0;
	read_all(a, &all, &n);
	for (size_t i = 0; i < n; i++) {
		*blocked += !over(&all[i], now) && is_block(&all[i]);
		*paused += !over(&all[i], now) && !is_block(&all[i]);
	}
	free(all);
}

/* --- off again --- */

int bf_shield_bars_take(struct bf_agent *a, const struct bpfast_shield_entry *e, json_t *taken)
{
	struct bf_shield_bar *all;
	uint64_t now = bf_now_ns();
	int removed = 0, r;
	size_t n;

	r = read_all(a, &all, &n);
	for (size_t i = 0; i < n && !r; i++) {
		struct bpfast_shield_entry s = source_of(&all[i]);
		bool same = e->prefix == s.prefix && !memcmp(e->addr, s.addr, 16);
		bool within = e->prefix == 128 && s.prefix == 64 && !memcmp(e->addr, s.addr, 8) &&
			      !bf_address_is4(e->addr);

		if ((!same && !within) || over(&all[i], now))
			continue;
		r = bf_shield_bar_remove(a->shield, &all[i].key);
		if (r)
			break;
		json_array_append_new(taken, bar_json(a, &all[i]));
		removed++;
	}
	free(all);
	return r ? r : removed;
}

size_t bf_shield_bars_inside(struct bf_agent *a, const struct bpfast_shield_entry *e)
{
	struct bpfast_shield_entry around = *e, last = {0};
	const struct bf_shield_list wide = {.v = &around, .n = 1};
	struct bf_shield_bar *all;
	uint64_t now = bf_now_ns();
	size_t n, inside = 0;

	around.until = BPFAST_SHIELD_FOREVER;
	read_all(a, &all, &n);
	for (size_t i = 0; i < n; i++) {
		struct bpfast_shield_entry s = source_of(&all[i]);

		/* They are sorted: one source's lie together. */
		if (over(&all[i], now) || (inside && !memcmp(s.addr, last.addr, 16)) ||
		    !bf_shield_list_holder(&wide, &s, e->allow, 0))
			continue;
		last = s;
		inside++;
	}
	free(all);
	return inside;
}
