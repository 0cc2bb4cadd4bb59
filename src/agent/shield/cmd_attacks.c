// SPDX-License-Identifier: Apache-2.0
/* shield detect and capture */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/shield/attacks.h"
#include "agent/log.h"
#include "agent/server.h"
#include "agent/shield/status.h"
#include "observe/names.h"

/* --- detect --- */

static const char *text(const json_t *args, const char *key)
{
	return json_string_value(json_object_get(args, key));
}

/* "192.0.2.1", "192.0.2.1:80", "[2001:db8::1]:80", "2001:db8::1". */
static int parse_target(const char *s, struct bpfast_detect_target *t, struct bf_error *err)
{
	const char *colon = strrchr(s, ':'), *close = strrchr(s, ']');
	char addr[64] = "", *end;
	bool port = colon && (*s == '[' ? close && close < colon : strchr(s, ':') == colon);
	size_t len = port ? (size_t)(colon - s) : strlen(s);
	long n = 0;

	if (*s == '[' && len > 2 && s[len - 1] == ']') {
		s++;
		len -= 2;
	}
	memset(t, 0, sizeof(*t));
	if (len < sizeof(addr)) {
		memcpy(addr, s, len);
		addr[len] = '\0';
	}
	if (port) {
		n = strtol(colon + 1, &end, 10);
		if (end == colon + 1 || *end || n < 1 || n > 65535)
			return bf_err(err, -EINVAL, "'%s' is not a port", colon + 1);
		t->port = (uint16_t)n;
	}
	if (bf_address_parse(addr, t->addr))
		return bf_err(err, -EINVAL, "'%s' is not an address, or ADDRESS:PORT", addr);
	t->used = 1;
	return 0;
}

static int words_of(const json_t *args, uint8_t *mode, uint8_t *sensitivity, struct bf_error *err)
{
	const char *m = text(args, "mode"), *s = text(args, "sensitivity");
	unsigned int i;

	for (i = 0; m && i < BPFAST_SM_COUNT && strcmp(m, bf_shield_modes[i]); i++)
		;
	if (m && i == BPFAST_SM_COUNT)
		return bf_err(err, -EINVAL, "--mode: '%s' is not enforce, audit or off", m);
	if (m)
		*mode = (uint8_t)i;
	for (i = BF_SENS_LOW; s && i < BF_SENS_COUNT && strcmp(s, bf_sensitivity_word(i)); i++)
		;
	if (s && i == BF_SENS_COUNT)
		return bf_err(err, -EINVAL, "--sensitivity: '%s' is not low, medium or high", s);
	if (s)
		*sensitivity = (uint8_t)i;
	return 0;
}

static struct bpfast_detect_target *target_place(struct bpfast_measure *m,
						 const struct bpfast_detect_target *t)
{
	struct bpfast_detect_target *room = NULL;

	for (int i = 0; i < BPFAST_DETECT_TARGETS; i++) {
		struct bpfast_detect_target *e = &m->target[i];

		if (e->used && e->port == t->port && !memcmp(e->addr, t->addr, 16))
			return e;
		if (!e->used && !room)
			room = e;
	}
	return room;
}

static json_t *row(const char *target, uint8_t mode, uint8_t sensitivity)
{
	return json_pack("{s:s, s:s, s:s}", "target", target, "mode",
			 bf_shield_modes[mode < BPFAST_SM_COUNT ? mode : BPFAST_SM_ENFORCE],
			 "sensitivity", bf_sensitivity_word(sensitivity));
}

static json_t *targets_json(const struct bpfast_measure *m)
{
	json_t *rows = json_array();
	char addr[64], name[80];

	json_array_append_new(rows, row("all", m->mode, m->sensitivity));
	for (int i = 0; i < BPFAST_DETECT_TARGETS; i++) {
		const struct bpfast_detect_target *t = &m->target[i];

		if (!t->used)
			continue;
		bf_address_text(t->addr, addr, sizeof(addr));
		if (t->port)
			snprintf(name, sizeof(name), bf_address_is4(t->addr) ? "%s:%u" : "[%s]:%u",
				 addr, t->port);
		else
			snprintf(name, sizeof(name), "%s", addr);
		json_array_append_new(rows, row(name, t->mode, t->sensitivity));
	}
	return json_pack("{s:o}", "targets", rows);
}

/* Where nobody has said it, it is medium. */
static uint8_t sensitivity(uint8_t said)
{
	return said ? said : BF_SENS_MEDIUM;
}

/* What a policy says, a command does not change. */
static int is_policys(const struct bf_agent *a, const json_t *args,
		      const struct bpfast_detect_target *t, struct bf_error *err)
{
	const struct bpfast_dest *e = a->defence->maps.dest;
	uint8_t says = BF_SENS_DEFAULT;
	const char *by = NULL;

	if (!text(args, "sensitivity"))
		return 0;
	for (uint32_t i = BPFAST_DEST_FIRST; !by && i <= BPFAST_DESTS; i++)
		if (i == BPFAST_DESTS || (e[i].ready && !memcmp(e[i].addr, t->addr, 16) &&
					  (!t->port || e[i].port == t->port)))
			by = bf_defence_policy(a, t->addr, i, &says);
	if (!by || says == t->sensitivity)
		return 0;
	return bf_err(err, -EBUSY,
		      "ShieldPolicy %.100s says sensitivity %s there; change it in the policy", by,
		      bf_sensitivity_word(says));
}

static int detect(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		  struct bf_error *err)
{
	const char *target = text(args, "target");
	bool change = text(args, "mode") || text(args, "sensitivity");
	struct bpfast_detect_target t, *place;
	struct bpfast_measure *m;
	int r = bf_agent_shield_open(a, err);

	(void)c;
	if (r)
		return r;
	if (!a->defence)
		return bf_err(err, -ENOENT, "no attack is looked for: %s", a->shield_error);
	m = a->defence->maps.force;
	if (change && !target) {
		r = words_of(args, &m->mode, &m->sensitivity, err);
	} else if (change) {
		r = parse_target(target, &t, err);
		if (r)
			return r;
		place = target_place(m, &t);
		if (!place)
			return bf_err(err, -E2BIG, "%d targets have words of their own already",
				      BPFAST_DETECT_TARGETS);
		t.mode = place->used ? place->mode : m->mode;
		t.sensitivity = place->used ? place->sensitivity : m->sensitivity;
		r = words_of(args, &t.mode, &t.sensitivity, err);
		if (!r)
			r = is_policys(a, args, &t, err);
		if (!r)
			*place = t;
		/* Said to be as all are: no word of its own any more. */
		if (!r && t.mode == m->mode &&
		    sensitivity(t.sensitivity) == sensitivity(m->sensitivity))
			place->used = 0;
	} else if (target) {
		return bf_err(err, -EINVAL, "say --mode or --sensitivity");
	}
	if (r)
		return r;
	if (change) {
		bf_defence_modes(a->defence, bf_shield_control(a->shield));
		bf_log_info("detection changed", "target", target ? target : "all", "mode",
			    text(args, "mode") ? text(args, "mode") : "", "sensitivity",
			    text(args, "sensitivity") ? text(args, "sensitivity") : "");
	}
	*result = targets_json(m);
	return 0;
}

/* --- capture --- */

#define HEADERS_LEAST 34 /* of what could not be parsed: Ethernet and IPv4 */

static json_t *packet_json(const struct bpfast_packet *p, bool payload, int64_t offset_ns)
{
	static const char digits[] = "0123456789abcdef";
	char hex[2 * BPFAST_PACKET_BYTES + 1];
	size_t n = p->bytes <= BPFAST_PACKET_BYTES ? p->bytes : BPFAST_PACKET_BYTES, i;
	size_t headers = p->payload > HEADERS_LEAST ? p->payload : HEADERS_LEAST;

	if (!payload && n > headers)
		n = headers;
	for (i = 0; i < n; i++) {
		hex[2 * i] = digits[p->frame[i] >> 4];
		hex[2 * i + 1] = digits[p->frame[i] & 15];
	}
	hex[2 * n] = '\0';
	return json_pack("{s:I, s:I, s:s, s:s}", "time_ns",
			 (json_int_t)((int64_t)p->time_ns + offset_ns), "length",
			 (json_int_t)p->length, "reason", bf_reason_word(p->reason), "bytes", hex);
}

static int capture(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		   struct bf_error *err)
{
	bool payload = json_is_true(json_object_get(args, "payload"));
	json_int_t after = json_integer_value(json_object_get(args, "after"));
	const struct bf_defence *d = a->defence;
	int64_t offset = bf_wall_offset_ns();
	json_t *packets;
	uint64_t n;

	if (payload && c->uid != 0)
		return bf_err(err, -EPERM, "payload is shown to root only");
	if (!d)
		return bf_err(err, -ENOENT, "no device is guarded: `bpfast shield attach IF`");
	packets = json_array();
	n = after > 0 ? (uint64_t)after : 0;
	if (d->drops_total > BF_DEFENCE_DROPS && n < d->drops_total - BF_DEFENCE_DROPS)
		n = d->drops_total - BF_DEFENCE_DROPS;
	for (; n < d->drops_total; n++)
		json_array_append_new(
			packets, packet_json(&d->drops[n % BF_DEFENCE_DROPS], payload, offset));
	*result = json_pack("{s:o, s:I}", "packets", packets, "next", (json_int_t)d->drops_total);
	return 0;
}

const struct bf_command bf_shield_attack_commands[] = {
	{"shield detect", detect},
	{"shield capture", capture},
	{NULL, NULL},
};
