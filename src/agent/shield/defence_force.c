// SPDX-License-Identifier: Apache-2.0
/*
 * What the detector says, into the kernel: limits of destinations and fingerprints. And what
 * an agent before us has left in force, out of it once nothing meets it any more.
 */
#include <string.h>

#include "agent/shield/defence.h"

/* What was not met for so long is over: with the detector's own hold it is below 15 s. */
#define QUIET_NS 8000000000ull
/*
 * Nor does what is met last longer than that, unless the detector finds it too, which takes a second or two. What
 * honest people send may meet a rule as well, and one packet of the attacker now and then would hold it for ever.
 */
#define MOST_NS 12000000000ull
#define LIMITS 1024

uint32_t bf_defence_number(const struct bf_defence *d, const struct bf_dest *k)
{
	static const uint8_t nobody[16];

	if (k->other)
		return BPFAST_DEST_OTHER;
	if (!k->port && !k->protocol && !memcmp(k->addr, nobody, 16))
		return BPFAST_DEST_ALL;
	for (uint32_t i = BPFAST_DEST_FIRST; i < BPFAST_DESTS; i++) {
		const struct bpfast_dest *e = &d->maps.dest[i];

		if (e->ready && e->port == k->port && e->protocol == k->protocol &&
		    !memcmp(e->addr, k->addr, 16))
			return i;
	}
	return BPFAST_DESTS;
}

static void attacked(const struct bf_defence *d, struct bpfast_shield_control *control)
{
	bool names = bf_defence_names_any(d);
	uint32_t any = d->maps.force->rules;

	for (uint32_t i = 0; i < BPFAST_DESTS && !any; i++)
		any = d->maps.dest[i].on | d->maps.dest[i].rules;
	control->attacked =
		(any || names ? BPFAST_ATTACKED : 0) | (names ? BPFAST_ATTACKED_NAMES : 0);
}

uint8_t bf_defence_mode(const struct bf_defence *d, uint32_t number, uint8_t *sensitivity)
{
	const struct bpfast_measure *m = d->maps.force;
	const struct bpfast_dest *e = &d->maps.dest[number];
	uint8_t mode = m->mode;

	*sensitivity = m->sensitivity;
	for (int i = 0; number >= BPFAST_DEST_FIRST && i < BPFAST_DETECT_TARGETS; i++) {
		const struct bpfast_detect_target *t = &m->target[i];

		if (!t->used || (t->port && t->port != e->port) || memcmp(t->addr, e->addr, 16))
			continue;
		mode = t->mode;
		*sensitivity = t->sensitivity;
		/* What is said of the port goes before what is said of the address. */
		if (t->port)
			break;
	}
	/* A command does not change what a policy says. */
	if (d->policy_sens[number] != BF_SENS_DEFAULT)
		*sensitivity = d->policy_sens[number];
	return mode;
}

void bf_defence_modes(struct bf_defence *d, struct bpfast_shield_control *control)
{
	uint8_t ignored;

	for (uint32_t i = 0; i < BPFAST_DESTS; i++)
		d->maps.dest[i].mode = bf_defence_mode(d, i, &ignored);
	bf_defence_force(d, control);
}

static void limits(struct bf_defence *d)
{
	static struct bf_limit want[LIMITS];
	uint32_t now[BPFAST_DESTS] = {0};
	size_t n = bf_detect_limits(d->detect, want, LIMITS);
	uint8_t ignored;

	for (size_t i = 0; i < n && i < LIMITS; i++) {
		uint32_t at = bf_defence_number(d, &want[i].dest);
		struct bpfast_adaptive *a;

		if (at >= BPFAST_DESTS || want[i].cls >= BPFAST_MC_COUNT ||
		    bf_defence_mode(d, at, &ignored) == BPFAST_SM_OFF)
			continue;
		a = &d->maps.adaptive[at * BPFAST_MC_COUNT + want[i].cls];
		if (a->limit.rate != want[i].pps || a->limit.burst != want[i].burst)
			bf_shield_set_limit(&a->limit, want[i].pps ? want[i].pps : 1,
					    want[i].burst);
		now[at] |= 1u << want[i].cls;
	}
	for (uint32_t i = 0; i < BPFAST_DESTS; i++) {
		/* What the agent before us found is ours where we find it too. */
		d->adopted.on[i] &= ~now[i];
		d->limited[i] = now[i];
		if (d->maps.dest[i].on == (now[i] | d->adopted.on[i]))
			continue;
		d->maps.dest[i].mode = bf_defence_mode(d, i, &ignored);
		d->maps.dest[i].on = now[i] | d->adopted.on[i];
	}
}

uint64_t bf_defence_hits(const struct bf_defence *d, unsigned int rule)
{
	uint64_t n = 0;

	for (unsigned int c = 0; c < d->maps.cpus; c++)
		n += d->maps.cpu[c].hits[rule];
	return n;
}

/* Is it a rule of an attack on whoever has no entry? */
static bool of_other(const struct bf_defence *d, uint32_t id)
{
	const struct bf_attack *at;

	for (size_t i = 0; (at = bf_detect_active(d->detect, i)); i++)
		for (unsigned int r = 0; r < at->rules; r++)
			if (at->rule[r].id == id)
				return at->dest.other;
	return false;
}

static void put_rule(struct bf_defence *d, unsigned int at, const struct bpfast_fingerprint *f)
{
	struct bpfast_fingerprint *to = &d->maps.force->rule[at];

	/* Programs read while this is written: no packet may meet half a rule. */
	__atomic_store_n(&to->id, 0, __ATOMIC_SEQ_CST);
	*to = *f;
	to->id = 0;
	d->rules_other &= ~(1u << at);
	if (of_other(d, f->id))
		d->rules_other |= 1u << at;
	__atomic_store_n(&to->id, f->id, __ATOMIC_SEQ_CST);
	d->rule_id[at] = f->id;
	d->rule_hits[at] = bf_defence_hits(d, at);
}

/* Which destinations a rule concerns. */
static void mark_rules(struct bf_defence *d)
{
	static const uint8_t nobody[16];
	uint32_t every = 0;
	uint8_t ignored;

	for (unsigned int r = 0; r < BPFAST_FP_RULES; r++) {
		if (!d->maps.force->rule[r].id)
			d->rules_other &= ~(1u << r);
		else if (!memcmp(d->maps.force->rule[r].destination, nobody, 16))
			every |= 1u << r;
	}
	/* Neither has an address, but "other" is not everybody. */
	every &= ~d->rules_other;
	d->maps.dest[BPFAST_DEST_OTHER].rules = d->rules_other;
	for (uint32_t i = BPFAST_DEST_FIRST; i < BPFAST_DESTS; i++) {
		struct bpfast_dest *e = &d->maps.dest[i];
		uint32_t mine = 0;

		for (unsigned int r = 0; e->ready && r < BPFAST_FP_RULES; r++)
			if (d->maps.force->rule[r].id &&
			    !memcmp(d->maps.force->rule[r].destination, e->addr, 16))
				mine |= 1u << r;
		if (e->rules == mine)
			continue;
		e->mode = bf_defence_mode(d, i, &ignored);
		e->rules = mine;
	}
	d->maps.force->rules = every;
}

static bool wanted(const struct bpfast_fingerprint *want, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (want[i].id == id)
			return true;
	return false;
}

static bool there(const struct bf_defence *d, uint32_t id)
{
	for (unsigned int r = 0; r < BPFAST_FP_RULES; r++)
		if (d->rule_id[r] == id)
			return true;
	return false;
}

static void rules(struct bf_defence *d)
{
	struct bpfast_fingerprint want[BPFAST_FP_RULES];
	size_t all = bf_detect_rules(d->detect, want, BPFAST_FP_RULES);
	size_t n = all < BPFAST_FP_RULES ? all : BPFAST_FP_RULES;

	d->rules_refused = (uint32_t)(all - n);
	for (unsigned int r = 0; r < BPFAST_FP_RULES; r++) {
		if (!d->rule_id[r] || wanted(want, n, d->rule_id[r]))
			continue;
		d->maps.force->rule[r].id = 0;
		d->rule_id[r] = 0;
	}
	for (size_t i = 0; i < n; i++) {
		unsigned int r = 0;

		if (there(d, want[i].id))
			continue;
		while (r < BPFAST_FP_RULES && d->maps.force->rule[r].id)
			r++;
		if (r == BPFAST_FP_RULES)
			d->rules_refused++;
		else
			put_rule(d, r, &want[i]);
	}
	mark_rules(d);
}

void bf_defence_force(struct bf_defence *d, struct bpfast_shield_control *control)
{
	limits(d);
	rules(d);
	bf_defence_names(d);
	attacked(d, control);
}

/* --- of the agent before --- */

void bf_defence_adopt(struct bf_defence *d, uint64_t now_ns)
{
	struct bf_adopted *a = &d->adopted;

	a->since_ns = now_ns;
	d->rules_other = d->maps.dest[BPFAST_DEST_OTHER].rules;
	for (uint32_t i = 0; i < BPFAST_DESTS; i++) {
		a->on[i] = d->maps.dest[i].on;
		a->hit_ns[i] = now_ns;
		a->any |= a->on[i] != 0;
	}
	for (unsigned int r = 0; r < BPFAST_FP_RULES; r++) {
		if (!d->maps.force->rule[r].id)
			continue;
		a->rules |= 1u << r;
		a->hits[r] = bf_defence_hits(d, r);
		a->rule_hit_ns[r] = now_ns;
		a->any = true;
	}
	bf_defence_names_adopt(d, now_ns);
}

/* Was anything of these classes dropped at this destination in this tick? */
static bool hit(const struct bf_defence *d, uint32_t i, uint32_t classes)
{
	for (int c = 0; d->of_dest[i] && c < BPFAST_MC_COUNT; c++)
		if (classes >> c & 1 && d->traffic[d->of_dest[i] - 1].count[c].dropped)
			return true;
	return false;
}

unsigned int bf_defence_release(struct bf_defence *d, struct bpfast_shield_control *control,
				uint64_t now_ns)
{
	struct bf_adopted *a = &d->adopted;
	bool late = now_ns - a->since_ns > MOST_NS;
	unsigned int gone = 0;

	if (!a->any)
		return 0;
	a->any = false;
	for (uint32_t i = 0; i < BPFAST_DESTS; i++) {
		if (!a->on[i])
			continue;
		if (hit(d, i, a->on[i]))
			a->hit_ns[i] = now_ns;
		if (late || now_ns - a->hit_ns[i] > QUIET_NS) {
			a->on[i] = 0;
			gone++;
		} else {
			a->any = true;
		}
	}
	for (unsigned int r = 0; r < BPFAST_FP_RULES; r++) {
		uint64_t hits = bf_defence_hits(d, r);

		if (!(a->rules >> r & 1))
			continue;
		if (hits != a->hits[r])
			a->rule_hit_ns[r] = now_ns;
		a->hits[r] = hits;
		if (late || now_ns - a->rule_hit_ns[r] > QUIET_NS) {
			a->rules &= ~(1u << r);
			d->maps.force->rule[r].id = 0;
			gone++;
		} else {
			a->any = true;
		}
	}
	gone += bf_defence_names_release(d, now_ns, late ? 0 : QUIET_NS);
	if (gone)
		bf_defence_force(d, control);
	return gone;
}
