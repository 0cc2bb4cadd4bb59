// SPDX-License-Identifier: Apache-2.0
/* Rules about names in DNS queries, into the kernel and out of it again. */
#include <string.h>

#include "agent/shield/defence.h"

static uint64_t hits(const struct bf_defence *d, unsigned int rule)
{
	uint64_t n = 0;

	for (unsigned int c = 0; c < d->maps.cpus; c++)
		n += __atomic_load_n(&d->maps.dns_cpu[c].hits[rule], __ATOMIC_RELAXED);
	return n;
}

bool bf_defence_names_any(const struct bf_defence *d)
{
	for (unsigned int i = 0; i < BPFAST_DNS_RULES; i++)
		if (d->maps.dns->rule[i].id)
			return true;
	return false;
}

bool bf_defence_names_at(const struct bf_defence *d, uint32_t number)
{
	for (unsigned int i = 0; i < BPFAST_DNS_RULES; i++)
		if (d->maps.dns->rule[i].id && d->maps.dns->rule[i].destination == number)
			return true;
	return false;
}

bool bf_defence_names_there(const struct bf_defence *d, uint32_t id)
{
	for (unsigned int i = 0; id && i < BPFAST_DNS_RULES; i++)
		if (d->names_id[i] == id)
			return true;
	return false;
}

void bf_defence_names_count(struct bf_defence *d)
{
	for (unsigned int i = 0; i < BPFAST_DNS_RULES; i++) {
		uint64_t now = d->names_id[i] ? hits(d, i) : 0;

		if (!d->names_id[i] || now == d->names_hits[i])
			continue;
		bf_detect_names_met(d->detect, d->names_id[i], now - d->names_hits[i]);
		d->names_hits[i] = now;
	}
}

static void put(struct bf_defence *d, unsigned int at, const struct bpfast_dns_rule *r)
{
	struct bpfast_dns_rule *to = &d->maps.dns->rule[at], quiet = *r;

	/* Programs read while this is written: no query may meet half a rule. */
	__atomic_store_n(&to->id, 0, __ATOMIC_SEQ_CST);
	quiet.id = 0;
	*to = quiet;
	__atomic_store_n(&to->id, r->id, __ATOMIC_SEQ_CST);
	d->names_id[at] = r->id;
	d->names_hits[at] = hits(d, at);
}

static void take_out(struct bf_defence *d, unsigned int at)
{
	__atomic_store_n(&d->maps.dns->rule[at].id, 0, __ATOMIC_SEQ_CST);
	d->names_id[at] = 0;
	d->adopted.names &= ~(1u << at);
}

/* The agent before us had the same: it stays as it is, for it knew the names from before the attack. */
static bool inherit(struct bf_defence *d, const struct bpfast_dns_rule *r)
{
	for (unsigned int i = 0; i < BPFAST_DNS_RULES; i++) {
		struct bpfast_dns_rule *is = &d->maps.dns->rule[i];

		if (!(d->adopted.names >> i & 1) || is->destination != r->destination ||
		    is->bytes != r->bytes || memcmp(is->name, r->name, sizeof(r->name)))
			continue;
		d->adopted.names &= ~(1u << i);
		d->names_id[i] = r->id;
		d->names_hits[i] = hits(d, i);
		__atomic_store_n(&is->id, r->id, __ATOMIC_SEQ_CST);
		bf_detect_names_inherit(d->detect, r->id, is);
		return true;
	}
	return false;
}

static bool wanted(const struct bf_dns_force *want, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (want[i].rule.id == id)
			return true;
	return false;
}

void bf_defence_names(struct bf_defence *d)
{
	static struct bf_dns_force want[BPFAST_DNS_RULES];
	size_t all = bf_detect_names(d->detect, want, BPFAST_DNS_RULES), n = 0;
	size_t most = all < BPFAST_DNS_RULES ? all : BPFAST_DNS_RULES;
	uint8_t ignored;

	d->names_refused = (uint32_t)(all - most);
	for (size_t i = 0; i < most; i++) {
		uint32_t at = bf_defence_number(d, &want[i].dest);

		if (at >= BPFAST_DESTS || bf_defence_mode(d, at, &ignored) == BPFAST_SM_OFF)
			continue;
		want[n] = want[i];
		want[n].rule.destination = (uint16_t)at;
		d->maps.dest[at].mode = bf_defence_mode(d, at, &ignored);
		n++;
	}
	bf_defence_names_count(d);
	for (unsigned int i = 0; i < BPFAST_DNS_RULES; i++)
		if (d->names_id[i] && !wanted(want, n, d->names_id[i]))
			take_out(d, i);
	for (size_t i = 0; i < n; i++) {
		unsigned int at = 0;

		if (bf_defence_names_there(d, want[i].rule.id) || inherit(d, &want[i].rule))
			continue;
		while (at < BPFAST_DNS_RULES && d->maps.dns->rule[at].id)
			at++;
		if (at == BPFAST_DNS_RULES)
			d->names_refused++;
		else
			put(d, at, &want[i].rule);
	}
}

/* --- of the agent before --- */

void bf_defence_names_adopt(struct bf_defence *d, uint64_t now_ns)
{
	struct bf_adopted *a = &d->adopted;

	for (unsigned int i = 0; i < BPFAST_DNS_RULES; i++) {
		if (!d->maps.dns->rule[i].id)
			continue;
		a->names |= 1u << i;
		a->names_hits[i] = hits(d, i);
		a->names_hit_ns[i] = now_ns;
		a->any = true;
	}
}

unsigned int bf_defence_names_release(struct bf_defence *d, uint64_t now_ns, uint64_t quiet_ns)
{
	struct bf_adopted *a = &d->adopted;
	unsigned int gone = 0;

	for (unsigned int i = 0; i < BPFAST_DNS_RULES; i++) {
		uint64_t now = hits(d, i);

		if (!(a->names >> i & 1))
			continue;
		if (now != a->names_hits[i])
			a->names_hit_ns[i] = now_ns;
		a->names_hits[i] = now;
		if (now_ns - a->names_hit_ns[i] >= quiet_ns) {
			take_out(d, i);
			gone++;
		} else {
			a->any = true;
		}
	}
	return gone;
}
