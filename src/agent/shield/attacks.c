// SPDX-License-Identifier: Apache-2.0
#include "agent/shield/attacks.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "agent/log.h"
#include "agent/shield/status.h"
#include "agent/clock.h"
#include "observe/names.h"

/* RFC 3339, to the millisecond, of CLOCK_MONOTONIC. */
static const char *when(uint64_t ns, char *buf, size_t size)
{
	int64_t wall = (int64_t)ns + bf_wall_offset_ns();
	time_t s = wall / 1000000000;
	struct tm tm;
	size_t n;

	gmtime_r(&s, &tm);
	n = strftime(buf, size, "%Y-%m-%dT%H:%M:%S", &tm);
	snprintf(buf + n, size - n, ".%03dZ", (int)(wall / 1000000 % 1000));
	return buf;
}

/* "192.0.2.1:80/TCP", "[2001:db8::1]:53/UDP", "192.0.2.1", "other", "all". */
static const char *target_text(const struct bf_dest *k, char *buf, size_t size)
{
	static const uint8_t nobody[16];
	const char *protocol = bf_protocol_name(k->protocol);
	bool six = !bf_address_is4(k->addr);
	char addr[64];

	if (k->other)
		return "other";
	if (!memcmp(k->addr, nobody, 16))
		return "all";
	bf_address_text(k->addr, addr, sizeof(addr));
	if (!k->port)
		snprintf(buf, size, "%s", addr);
	else
		snprintf(buf, size, "%s%s%s:%u/%s", six ? "[" : "", addr, six ? "]" : "", k->port,
			 protocol ? protocol : "?");
	return buf;
}

static json_t *target_json(const struct bf_dest *k)
{
	const char *protocol = bf_protocol_name(k->protocol);
	char text[80], addr[64];
	json_t *o = json_pack("{s:s}", "text", target_text(k, text, sizeof(text)));

	if (strcmp(text, "other") == 0 || k->other ||
	    !strcmp(target_text(k, text, sizeof(text)), "all"))
		return o;
	json_object_set_new(o, "address",
			    json_string(bf_address_text(k->addr, addr, sizeof(addr))));
	if (k->port)
		json_object_set_new(o, "port", json_integer(k->port));
	if (protocol)
		json_object_set_new(o, "protocol", json_string(protocol));
	return o;
}

static json_t *heavy_json(const struct bf_heavy_entry *e, unsigned int bits)
{
	char addr[64], text[80];

	bf_address_text(e->addr, addr, sizeof(addr));
	if (bits)
		snprintf(text, sizeof(text), "%s/%u", addr, bits);
	else
		snprintf(text, sizeof(text), "%s", addr);
	return json_pack("{s:s, s:I}", bits ? "prefix" : "address", text, "packets",
			 (json_int_t)(e->count - e->error));
}

static json_t *rules_json(const struct bf_defence *d, const struct bf_attack *at)
{
	json_t *rules = json_array();
	char text[BF_FINGERPRINT_TEXT];

	for (unsigned int i = 0; i < at->rules; i++) {
		const struct bpfast_fingerprint *f = &at->rule[i];
		json_t *o = json_pack("{s:s, s:b, s:f, s:f}", "rule",
				      bf_fingerprint_text(f, text, sizeof(text)), "audit",
				      f->audit != 0, "attack_share", at->score[i].attack,
				      "honest_share", at->score[i].honest);
		bool in_force = false;

		for (unsigned int r = 0; r < BPFAST_FP_RULES; r++) {
			if (d->rule_id[r] != f->id)
				continue;
			in_force = true;
			json_object_set_new(o, "packets",
					    json_integer((json_int_t)(bf_defence_hits(d, r) -
								      d->rule_hits[r])));
		}
		json_object_set_new(o, "in_force", json_boolean(in_force));
		json_array_append_new(rules, o);
	}
	return rules;
}

/* What is done about random names. */
static json_t *names_json(const struct bf_defence *d, const struct bf_attack *at)
{
	const struct bf_dns_rule *r = &at->dns;
	char name[BF_DNS_TEXT], text[BF_DNS_TEXT + 100];

	snprintf(text, sizeof(text), "queries for names below %s, but for %u known before%s",
		 bf_dns_text(r, name, sizeof(name)), r->honest,
		 r->strangers ? " and for known sources" : "");
	return json_pack("{s:s, s:b, s:b, s:i, s:b, s:I}", "rule", text, "audit", r->audit,
			 "in_force", bf_defence_names_there(d, r->id), "known_names", r->honest,
			 "known_sources_pass", r->strangers, "packets", (json_int_t)r->packets);
}

static json_t *actions_json(const struct bf_attack *at)
{
	json_t *actions = json_array();

	if (at->actions & BF_ACT_LIMIT)
		json_array_append_new(actions, json_string("limit"));
	if (at->actions & BF_ACT_FINGERPRINT)
		json_array_append_new(actions, json_string("fingerprint"));
	if (at->actions & BF_ACT_DNS_SUFFIX)
		json_array_append_new(actions, json_string("dns-name"));
	return actions;
}

/* In which mode the target is now. */
static uint8_t mode_of(const struct bf_defence *d, const struct bf_attack *at)
{
	uint32_t number = bf_defence_number(d, &at->dest);
	uint8_t ignored, mode = bf_defence_mode(d, number < BPFAST_DESTS ? number : 0, &ignored);

	return mode < BPFAST_SM_COUNT ? mode : BPFAST_SM_ENFORCE;
}

static json_t *limits_json(const struct bf_defence *d, const struct bf_attack *at)
{
	static struct bf_limit all[256];
	json_t *limits = json_array();
	size_t n = bf_detect_limits(d->detect, all, 256);

	for (size_t i = 0; i < n && i < 256; i++)
		if (all[i].attack == at->id && !at->released_ns)
			json_array_append_new(
				limits, json_pack("{s:s, s:I}", "class", bf_class_name(all[i].cls),
						  "packets_per_second", (json_int_t)all[i].pps));
	return limits;
}

json_t *bf_attack_json(const struct bf_defence *d, const struct bf_attack *at)
{
	json_t *o, *classes = json_array(), *top = json_array(), *prefixes = json_array();
	uint64_t dropped = at->dropped < at->packets ? at->dropped : at->packets;
	char start[40], detected[40], name[BF_DNS_TEXT];

	for (int c = 0; c < BF_CLASSES; c++)
		if (at->classes >> c & 1)
			json_array_append_new(classes, json_string(bf_class_name(c)));
	for (unsigned int i = 0; i < at->tops; i++)
		json_array_append_new(top, heavy_json(&at->top[i], 0));
	for (unsigned int i = 0; i < at->top_prefixes; i++)
		json_array_append_new(prefixes, heavy_json(&at->prefix[i].who, at->prefix[i].bits));
	o = json_pack("{s:I, s:s, s:s, s:o, s:o, s:s, s:s, s:s, s:s, s:s}", "id",
		      (json_int_t)at->id, "state", at->released_ns ? "ended" : "running", "kind",
		      bf_class_name(at->kind), "target", target_json(&at->dest), "classes", classes,
		      "start", when(at->start_ns, start, sizeof(start)), "detected",
		      when(at->detected_ns, detected, sizeof(detected)), "evidence",
		      bf_evidence_name(at->evidence), "spread", bf_spread_name(at->spread), "mode",
		      bf_shield_modes[mode_of(d, at)]);
	json_object_set_new(o, "sensitivity", json_string(bf_sensitivity_word(at->sensitivity)));
	json_object_set_new(o, "seconds",
			    json_integer((json_int_t)((at->released_ns ? at->end_ns - at->start_ns
								       : d->now_ns - at->start_ns) /
						      1000000000u)));
	if (at->released_ns) {
		json_object_set_new(o, "end", json_string(when(at->end_ns, start, sizeof(start))));
		json_object_set_new(o, "released",
				    json_string(when(at->released_ns, detected, sizeof(detected))));
	}
	json_object_update_new(
		o, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "packets",
			     (json_int_t)at->packets, "bytes", (json_int_t)at->bytes, "passed",
			     (json_int_t)(at->packets - dropped), "dropped", (json_int_t)dropped,
			     "peak_packets_per_second", (json_int_t)at->peak_pps,
			     "peak_bits_per_second", (json_int_t)at->peak_bps,
			     "ordinary_packets_per_second", (json_int_t)at->ordinary,
			     "detected_packets_per_second", (json_int_t)at->value,
			     "threshold_packets_per_second", (json_int_t)at->threshold));
	json_object_set_new(o, "top_sources", top);
	json_object_set_new(o, "top_prefixes", prefixes);
	json_object_set_new(o, "actions", actions_json(at));
	json_object_set_new(o, "limits", limits_json(d, at));
	json_object_set_new(o, "rules", rules_json(d, at));
	json_object_set_new(o, "agent_restarts", json_integer(at->restarts));
	if (bf_attack_note(at->note))
		json_object_set_new(o, "note", json_string(bf_attack_note(at->note)));
	if (at->random_subdomain) {
		json_object_set_new(o, "dns_suffix",
				    json_string(bf_dns_text(&at->dns, name, sizeof(name))));
		json_object_set_new(o, "dns_rule", names_json(d, at));
	}
	return o;
}

const char *bf_defence_node_word(const struct bf_agent *a)
{
	const struct bf_defence *d = a->defence;

	return bf_sensitivity_word(d ? d->maps.force->sensitivity : BF_SENS_DEFAULT);
}

void bf_defence_json(const struct bf_agent *a, json_t *status, size_t ended)
{
	const struct bf_defence *d = a->defence;
	json_t *running = json_array(), *over = json_array();
	const struct bf_attack *at;
	json_int_t destinations = 0, by[BF_SENS_COUNT] = {0};
	json_t *by_policy;

	for (size_t i = 0; d && (at = bf_detect_active(d->detect, i)); i++)
		json_array_append_new(running, bf_attack_json(d, at));
	for (size_t i = 0; d && i < ended && (at = bf_detect_ended(d->detect, i)); i++)
		json_array_append_new(over, bf_attack_json(d, at));
	json_object_set_new(status, "attacks",
			    json_pack("{s:o, s:o}", "running", running, "ended", over));
	if (!d)
		return;
	by_policy = json_object();
	for (uint32_t i = BPFAST_DEST_FIRST; i < BPFAST_DESTS; i++) {
		if (d->maps.dest[i].ready && d->policy_sens[i] < BF_SENS_COUNT)
			by[d->policy_sens[i]]++;
		destinations += d->maps.dest[i].ready != 0;
	}
	for (unsigned int s = BF_SENS_LOW; s < BF_SENS_COUNT; s++)
		if (by[s])
			json_object_set_new(by_policy, bf_sensitivity_word(s), json_integer(by[s]));
	json_object_set_new(
		status, "detection",
		json_pack("{s:s, s:s, s:o, s:I, s:i, s:I, s:I, s:I, s:I, s:b, s:I}", "mode",
			  bf_shield_modes[d->maps.force->mode < 3 ? d->maps.force->mode : 2],
			  "sensitivity", bf_defence_node_word(a), "sensitivity_by_policy",
			  by_policy, "destinations", destinations, "destinations_most",
			  BPFAST_DESTS - BPFAST_DEST_FIRST, "ticks", (json_int_t)d->ticks,
			  "samples", (json_int_t)d->samples_read, "samples_lost",
			  (json_int_t)d->samples_lost, "rules_refused",
			  (json_int_t)(d->rules_refused + d->names_refused), "adopted",
			  d->adopted.any, "tick_microseconds", (json_int_t)(d->tick_ns / 1000)));
}

/* --- telling --- */

static void keep_line(struct bf_agent *a, json_t *attack)
{
	struct bf_attack_lines *l = &a->attack_lines;
	char **place = &l->line[l->total % BF_ATTACK_LINES], now[40];
	struct bpfast_event ev = {
		.type = BPFAST_EV_ATTACK, .latency_ns = l->total, .time_ns = bf_now_ns()};
	json_t *line;

	line = json_pack("{s:o, s:s, s:s}", "attack", attack, "node_name", a->node_name, "time",
			 when(ev.time_ns, now, sizeof(now)));
	free(*place);
	*place = json_dumps(line, JSON_COMPACT);
	json_decref(line);
	if (!*place)
		return;
	l->total++;
	bf_records_add(a, &ev);
}

void bf_attack_tell(struct bf_agent *a, const struct bf_attack *at, bool begins)
{
	char target[80], rule[BF_FINGERPRINT_TEXT] = "";
	const char *to = target_text(&at->dest, target, sizeof(target));
	json_t *attack = bf_attack_json(a->defence, at);

	if (begins) {
		bf_log_warn("attack begins", "id", bf_num((long long)at->id), "kind",
			    bf_class_name(at->kind), "target", to, "evidence",
			    bf_evidence_name(at->evidence), "packets_per_second",
			    bf_num((long long)at->value), "ordinary",
			    bf_num((long long)at->ordinary));
	} else {
		if (at->rules)
			bf_fingerprint_text(&at->rule[0], rule, sizeof(rule));
		bf_log_warn("attack is over", "id", bf_num((long long)at->id), "kind",
			    bf_class_name(at->kind), "target", to, "spread",
			    bf_spread_name(at->spread), "seconds",
			    bf_num((long long)((at->end_ns - at->start_ns) / 1000000000u)),
			    "peak_packets_per_second", bf_num((long long)at->peak_pps), "packets",
			    bf_num((long long)at->packets), "dropped",
			    bf_num((long long)at->dropped), "rule", rule);
	}
	keep_line(a, attack);
}

const char *bf_attack_line(const struct bf_agent *a, const struct bpfast_event *ev)
{
	const struct bf_attack_lines *l = &a->attack_lines;

	if (ev->latency_ns >= l->total || l->total - ev->latency_ns > BF_ATTACK_LINES)
		return NULL;
	return l->line[ev->latency_ns % BF_ATTACK_LINES];
}

void bf_attack_lines_free(struct bf_agent *a)
{
	for (int i = 0; i < BF_ATTACK_LINES; i++)
		free(a->attack_lines.line[i]);
}
