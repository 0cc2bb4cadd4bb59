// SPDX-License-Identifier: Apache-2.0
#include "agent/shield/status.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/shield/attacks.h"
#include "agent/shield/http.h"
#include "agent/clock.h"
#include "observe/names.h"

const char *const bf_shield_modes[BPFAST_SM_COUNT] = {"off", "audit", "enforce"};
const char *const bf_shield_hook_words[BPFAST_SH_COUNT] = {
	"xdp-native", "xdp-generic", "tc", "pod", "xdp-offload", "xdp-shared"};
const char *const bf_shield_classes[BPFAST_SC_COUNT] = {
#define BPFAST_X(sym, word, what) word,
	BPFAST_SHIELD_CLASSES(BPFAST_X)
#undef BPFAST_X
};
const char *const bf_shield_scopes[BPFAST_SS_COUNT] = {"source", "prefix", "destination"};

#define TOP 20 /* sources told of */
#define ATTACKS 20 /* that are over */

bool bf_shield_device_of(const struct bf_agent *a, int ifindex, struct bpfast_shield_device *out)
{
	memset(out, 0, sizeof(*out));
	for (int i = 0; a->shield && i < BPFAST_SHIELD_SLOTS; i++) {
		*out = bf_shield_control(a->shield)->device[i];
		if (out->ifindex == (uint32_t)ifindex)
			return true;
	}
	memset(out, 0, sizeof(*out));
	return false;
}

json_t *bf_shield_limits_json(const struct bf_agent *a)
{
	json_t *o = json_object();

	for (int c = 0; a->shield && c < BPFAST_SC_COUNT; c++) {
		json_t *class = json_object();

		for (int s = 0; s < BPFAST_SS_COUNT; s++) {
			const struct bpfast_shield_limit *l =
				&bf_shield_control(a->shield)->limit[c][s];

			json_object_set_new(class, bf_shield_scopes[s],
					    json_pack("{s:I, s:I}", "rate", (json_int_t)l->rate,
						      "burst", (json_int_t)l->burst));
		}
		json_object_set_new(o, bf_shield_classes[c], class);
	}
	return o;
}

static json_t *drops(const struct bpfast_shield_counters *n)
{
	json_t *array = json_array();

	for (unsigned int r = 0; r < BPFAST_SHIELD_REASONS; r++)
		if (n->dropped[r] || n->audited[r])
			json_array_append_new(
				array, json_pack("{s:s, s:I, s:I, s:s}", "reason",
						 bf_reason_word(r + BPFAST_R_SHIELD), "packets",
						 (json_int_t)n->dropped[r], "audited",
						 (json_int_t)n->audited[r], "hint",
						 bf_reason_hint(r + BPFAST_R_SHIELD)));
	return array;
}

/* Who has it guarded; by which policy, and what a command said beside it. */
static void add_origin(const struct bf_agent *a, const struct bpfast_shield_device *d,
		       const char *name, json_t *o)
{
	struct bf_shield_choice c;

	if (d->by == BPFAST_SHIELD_BY_COMMAND) {
		json_object_set_new(o, "by", json_string("command"));
		return;
	}
	json_object_set_new(o, "by", json_string("policy"));
	if (bf_shield_policy_of(a, (int)d->ifindex, name, &c)) {
		json_object_set_new(o, "policy", json_string(c.owner));
		json_object_set_new(o, "sensitivity",
				    json_string(c.sensitivity_by
							? bf_sensitivity_word(c.sensitivity)
							: bf_defence_node_word(a)));
		json_object_set_new(o, "sensitivity_by",
				    json_string(c.sensitivity_by ? c.sensitivity_by : "node"));
	}
	if (d->by >= BPFAST_SHIELD_BY_BOTH && d->by - BPFAST_SHIELD_BY_BOTH < BPFAST_SM_COUNT)
		json_object_set_new(o, "command_mode",
				    json_string(bf_shield_modes[d->by - BPFAST_SHIELD_BY_BOTH]));
}

bool bf_shield_shared_note(const struct bf_agent *a, int ifindex, const char *name, char *buf,
			   size_t size)
{
	struct bf_shield_shared shared;
	struct bpfast_shield_device d;

	if (!bf_shield_device_of(a, ifindex, &d) || d.hook != BPFAST_SH_SHARED)
		return false;
	bf_shield_shared(a->shield, ifindex, &shared);
	if (!shared.on)
		snprintf(buf, size,
			 "%s is not guarded: shield is not among the programs of libxdp's "
			 "dispatcher there; run `bpfast shield attach %s`",
			 name, name);
	else if (!shared.current)
		snprintf(
			buf, size,
			"the program in libxdp's dispatcher of %s is of another version of BPFast; "
			"run `bpfast shield attach %s`",
			name, name);
	return !shared.on || !shared.current;
}

static void add_shared(const struct bf_agent *a, const struct bpfast_shield_device *d,
		       const char *name, json_t *o)
{
	struct bf_shield_shared shared;
	json_t *others = json_array();
	char note[300];

	bf_shield_shared(a->shield, (int)d->ifindex, &shared);
	for (unsigned int i = 0; i < shared.others; i++)
		json_array_append_new(others, json_string(shared.other[i]));
	json_object_set_new(o, "others", others);
	if (bf_shield_shared_note(a, (int)d->ifindex, name, note, sizeof(note)))
		json_object_set_new(o, "note", json_string(note));
}

static json_t *device(struct bf_agent *a, unsigned int slot)
{
	const struct bpfast_shield_device *d = &bf_shield_control(a->shield)->device[slot];
	struct bpfast_shield_counters n;
	json_int_t dropped = 0, audited = 0;
	json_t *classes = json_object();
	struct bf_link link = {0};
	json_t *o;

	bf_shield_counters(a->shield, slot, &n);
	bf_link_by_index((int)d->ifindex, &link);
	for (int r = 0; r < BPFAST_SHIELD_REASONS; r++) {
		dropped += (json_int_t)n.dropped[r];
		audited += (json_int_t)n.audited[r];
	}
	for (int c = 0; c < BPFAST_SC_COUNT; c++)
		json_object_set_new(classes, bf_shield_classes[c],
				    json_integer((json_int_t)n.class[c]));
	o = json_pack(
		"{s:s, s:i, s:s, s:s, s:b, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}",
		"interface", link.name, "ifindex", (int)d->ifindex, "mode",
		d->mode < BPFAST_SM_COUNT ? bf_shield_modes[d->mode] : "?", "hook",
		d->hook < BPFAST_SH_COUNT ? bf_shield_hook_words[d->hook] : "?", "attached",
		bf_shield_alive(a->shield, d), "passed", (json_int_t)n.passed, "passed_bytes",
		(json_int_t)n.passed_bytes, "known", (json_int_t)n.known, "allowed",
		(json_int_t)n.allowed, "handshakes", (json_int_t)n.handshakes, "cookies",
		(json_int_t)n.cookies, "dropped", dropped, "dropped_bytes",
		(json_int_t)n.dropped_bytes, "audited", audited, "classes", classes, "drops",
		drops(&n));
	if (o)
		add_origin(a, d, link.name, o);
	if (o && d->hook == BPFAST_SH_SHARED)
		add_shared(a, d, link.name, o);
	return o;
}

static int heavier(const void *a, const void *b)
{
	const struct bpfast_shield_sample *x = a, *y = b;

	return (x->count < y->count) - (x->count > y->count);
}

/* Who was dropped most of late: each noted packet stands for BPFAST_SHIELD_SAMPLE. */
static json_t *top(struct bf_agent *a)
{
	struct bpfast_shield_sample *all;
	json_t *array = json_array();
	uint64_t now = bf_now_ns();
	size_t n;

	if (bf_shield_samples(a->shield, &all, &n))
		return array;
	if (n)
		qsort(all, n, sizeof(*all), heavier);
	for (size_t i = 0, shown = 0; i < n && shown < TOP; i++) {
		const struct bpfast_shield_sample *s = &all[i];
		const char *protocol = bf_protocol_name(s->protocol);
		char from[64], to[64];

		if (now - s->last_ns > 60 * 1000000000ull && now > s->last_ns)
			continue;
		shown++;
		json_array_append_new(
			array,
			json_pack("{s:s, s:s, s:s, s:i, s:i, s:s, s:I, s:b, s:f}", "source",
				  bf_address_text(s->source, from, sizeof(from)), "destination",
				  bf_address_text(s->destination, to, sizeof(to)), "protocol",
				  protocol ? protocol : "", "destination_port",
				  (int)ntohs(s->destination_port), "length", (int)s->length,
				  "reason",
				  bf_reason_word(s->reason + (unsigned int)BPFAST_R_SHIELD),
				  "packets", (json_int_t)(s->count * BPFAST_SHIELD_SAMPLE),
				  "audited", s->audited != 0, "seconds_ago",
				  now > s->last_ns ? (double)(now - s->last_ns) / 1e9 : 0.0));
	}
	free(all);
	return array;
}

static json_t *lists(struct bf_agent *a)
{
	json_int_t n[BPFAST_SI_COUNT][2] = {{0}}, by_policy[2] = {0}, bytes = 0;
	uint32_t now = bf_shield_now();
	size_t len;

	for (int which = 0; which < BPFAST_SI_COUNT; which++) {
		const struct bf_shield_list *l = &a->shield_lists[which];

		for (size_t i = 0; i < l->n; i++)
			if (now < l->v[i].until)
				n[which][l->v[i].allow & 1]++;
		bf_shield_image(a->shield, which, &len);
		bytes += (json_int_t)len;
	}
	for (size_t i = 0; i < a->shield_policies.list.n; i++)
		by_policy[a->shield_policies.list.v[i].allow & 1]++;
	return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "block_from_policies", by_policy[0],
			 "allow_from_policies", by_policy[1], "block", n[BPFAST_SI_ENTRIES][0],
			 "allow", n[BPFAST_SI_ENTRIES][1], "block_from_files",
			 n[BPFAST_SI_FILES][0], "allow_from_files", n[BPFAST_SI_FILES][1], "bytes",
			 bytes);
}

json_t *bf_shield_status_json(struct bf_agent *a)
{
	json_t *o = json_object(), *devices = json_array(), *failures = json_array();

	json_object_set_new(o, "loaded", json_boolean(a->shield != NULL));
	json_object_set_new(o, "error", json_string(a->shield_error));
	for (unsigned int i = 0; a->shield && i < BPFAST_SHIELD_SLOTS; i++)
		if (bf_shield_control(a->shield)->device[i].ifindex)
			json_array_append_new(devices, device(a, i));
	json_object_set_new(o, "devices", devices);
	json_object_set_new(o, "http", bf_shield_http_status(a));
	json_object_set_new(o, "policies", bf_shield_policies_json(a));
	for (size_t i = 0; i < a->shield_policies.failure_count; i++)
		json_array_append_new(failures, json_string(a->shield_policies.failures[i].why));
	json_object_set_new(o, "failures", failures);
	if (a->shield) {
		json_object_set_new(o, "limits", bf_shield_limits_json(a));
		json_object_set_new(o, "lists", lists(a));
		json_object_set_new(o, "cookies", bf_shield_cookies_json(a));
		json_object_set_new(o, "top", top(a));
		bf_defence_json(a, o, ATTACKS);
	}
	return o;
}
