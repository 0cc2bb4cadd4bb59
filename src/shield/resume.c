// SPDX-License-Identifier: Apache-2.0
/* One detector goes on where another has stopped: records and numbers, not what was ordinary. */
#include <string.h>

#include "shield/internal.h"

const char *bf_attack_note(enum bf_attack_note n)
{
	static const char *const notes[BF_NOTE_COUNT] = {
		[BF_NOTE_QUIET] = "the agent was started again in this attack, and did not find it "
				  "again",
		[BF_NOTE_GONE] = "the agent was started again, and its limits were not in force "
				 "any more",
	};

	return n < BF_NOTE_COUNT ? notes[n] : NULL;
}

void bf_detect_number(struct bf_detect *d, uint64_t last_id, uint64_t last_rule)
{
	if (d->last_id < last_id)
		d->last_id = last_id;
	if (d->last_rule < last_rule)
		d->last_rule = last_rule;
}

void bf_detect_numbers(const struct bf_detect *d, uint64_t *last_id, uint64_t *last_rule)
{
	*last_id = d->last_id;
	*last_rule = d->last_rule;
}

void bf_detect_put_ended(struct bf_detect *d, const struct bf_attack *at)
{
	bf_detect_number(d, at->id, 0);
	d->ended[d->ended_at] = *at;
	d->ended[d->ended_at].awaited = 0;
	d->ended_at = (d->ended_at + 1) % BF_ATTACKS_KEPT;
	if (d->ended_n < BF_ATTACKS_KEPT)
		d->ended_n++;
}

static uint32_t entry_of(struct bf_detect *d, const struct bf_dest *k)
{
	static const uint8_t nobody[16];

	if (k->other)
		return DEST_OTHER;
	if (!k->port && !k->protocol && !memcmp(k->addr, nobody, 16))
		return DEST_ALL;
	return bf_detect_destination(d, k);
}

bool bf_detect_resume(struct bf_detect *d, const struct bf_attack *at, uint64_t now_ns)
{
	struct record *r = NULL;
	struct destination *e;
	uint32_t dest;

	bf_detect_number(d, at->id, 0);
	for (unsigned i = 0; i < BF_ATTACKS_MAX && !r; i++)
		if (!d->record[i].used)
			r = &d->record[i];
	if (!r)
		return false;
	d->now_ns = now_ns;
	dest = entry_of(d, &at->dest);
	/* What finds no entry would be taken for an attack on all that have none. */
	if (dest == DEST_OTHER && !at->dest.other)
		return false;
	memset(r, 0, sizeof(*r));
	r->used = 1;
	r->dest = dest;
	r->looked_ns = r->rated_ns = now_ns;
	r->pub = *at;
	r->pub.awaited = 1;
	r->pub.restarts++;
	r->pub.released_ns = 0;
	e = &d->dest[dest];
	e->on = e->resumed = 1;
	e->awaited++;
	return true;
}

unsigned bf_detect_let_go(struct bf_detect *d, uint64_t id, uint64_t end_ns,
			  enum bf_attack_note note)
{
	for (unsigned i = 0; i < BF_ATTACKS_MAX; i++) {
		struct record *r = &d->record[i];
		bool rules = r->pub.rules != 0;

		if (!r->used || r->pub.id != id || !r->pub.awaited)
			continue;
		r->pub.awaited = 0;
		r->pub.note = (uint8_t)note;
		r->pub.end_ns = end_ns;
		d->dest[r->dest].awaited--;
		bf_attack_end(d, r);
		return BF_CHANGE_ENDED | BF_CHANGE_LIMITS | (rules ? BF_CHANGE_RULES : 0);
	}
	return 0;
}
