// SPDX-License-Identifier: Apache-2.0
/*
 * shield cookies: which destinations are answered with SYN cookies. Namespaces are changed by
 * who asks, for the agent has not the right; what they were before is recorded here first, in the
 * pinned map, so that whoever comes later can undo it.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agent/server.h"
#include "agent/shield/status.h"
#include "observe/names.h"

static const char *const modes[BPFAST_CM_COUNT] = {"off", "limit", "always"};

static const char *text(const json_t *args, const char *key)
{
	return json_string_value(json_object_get(args, key));
}

static json_int_t num(const json_t *args, const char *key)
{
	return json_integer_value(json_object_get(args, key));
}

static json_t *old_json(uint8_t old)
{
	return old == BPFAST_SHIELD_UNCHANGED ? json_null() : json_integer(old);
}

static json_t *cookie_json(const struct bpfast_shield_cookie_key *key,
			   const struct bpfast_shield_cookie *c)
{
	struct bf_link link = {0};
	char addr[64];

	if (c->ifindex)
		bf_link_by_index((int)c->ifindex, &link);
	return json_pack(
		"{s:s, s:i, s:s, s:I, s:s, s:b, s:i, s:o, s:o, s:o}", "address",
		bf_address_text(key->addr, addr, sizeof(addr)), "port", (int)ntohs(key->port),
		"mode", c->mode < BPFAST_CM_COUNT ? modes[c->mode] : "?", "netns",
		(json_int_t)c->netns, "interface", link.name, "timestamps", c->timestamps != 0,
		"mss", (int)c->mss, "window_scale", old_json(c->wscale), "old_syncookies",
		old_json(c->old_syncookies), "old_timestamps", old_json(c->old_timestamps));
}

json_t *bf_shield_cookies_json(struct bf_agent *a)
{
	json_t *array = json_array();
	struct bf_shield_cookie *all;
	size_t n;

	if (!a->shield || bf_shield_cookies(a->shield, &all, &n))
		return array;
	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, cookie_json(&all[i].key, &all[i].c));
	free(all);
	return array;
}

static int key_of(const json_t *args, struct bpfast_shield_cookie_key *key, struct bf_error *err)
{
	json_int_t port = num(args, "port");

	memset(key, 0, sizeof(*key));
	if (!text(args, "address") || bf_address_parse(text(args, "address"), key->addr) ||
	    port < 1 || port > 65535)
		return bf_err(err, -EINVAL, "an address and a port are expected");
	key->port = htons((uint16_t)port);
	return 0;
}

/*
 * At the pod's own device its policies judge before shield does: they would see the SYN, but neither
 * the answer nor who vouches for the ACK. NULL: it is not so.
 */
static const struct bf_local *behind_policies(const struct bf_agent *a,
					      const struct bpfast_shield_cookie_key *key)
{
	const struct bf_local *l = bf_endpoints_by_address(&a->endpoints, key->addr);
	struct bpfast_shield_device d;

	return l && bf_shield_device_of(a, l->ifindex, &d) && d.hook == BPFAST_SH_POD ? l : NULL;
}

static int refuse_endpoint(const struct bf_agent *a, const struct bpfast_shield_cookie_key *key,
			   struct bf_error *err)
{
	const struct bf_local *l = behind_policies(a, key);

	if (!l)
		return 0;
	return bf_err(err, -EBUSY,
		      "%s/%s is guarded at its own interface %s, where its policies come first and "
		      "would refuse a connection whose SYN shield answered; guard the device that "
		      "its clients come in by",
		      l->e.namespace, l->e.name, l->iface);
}

/* Other destinations in the same namespace know what it was before them. */
static size_t others(struct bf_agent *a, const struct bpfast_shield_cookie_key *key,
		     struct bpfast_shield_cookie *c, bool take)
{
	struct bf_shield_cookie *all;
	size_t n, found = 0;

	if (bf_shield_cookies(a->shield, &all, &n))
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (!memcmp(&all[i].key, key, sizeof(*key)) || all[i].c.netns != c->netns)
			continue;
		found++;
		if (take) {
			c->old_syncookies = all[i].c.old_syncookies;
			c->old_timestamps = all[i].c.old_timestamps;
		}
	}
	free(all);
	return found;
}

static uint8_t old_of(const json_t *args, const char *key)
{
	const json_t *v = json_object_get(args, key);

	return json_is_integer(v) ? (uint8_t)json_integer_value(v) : BPFAST_SHIELD_UNCHANGED;
}

/* Before the namespace is changed. */
static int record(struct bf_agent *a, const json_t *args,
		  const struct bpfast_shield_cookie_key *key, struct bpfast_shield_cookie *c,
		  bool known, struct bf_error *err)
{
	int r = refuse_endpoint(a, key, err);

	if (r)
		return r;
	if (known && c->netns != (uint64_t)num(args, "netns") && c->mode != BPFAST_CM_OFF)
		bf_log_warn("a destination of SYN cookies is in another namespace now", "address",
			    text(args, "address"));
	if (!known || c->netns != (uint64_t)num(args, "netns")) {
		memset(c, 0, sizeof(*c));
		c->netns = (uint64_t)num(args, "netns");
		c->wscale = BPFAST_SHIELD_UNCHANGED;
		c->old_syncookies = old_of(args, "old_syncookies");
		c->old_timestamps = old_of(args, "old_timestamps");
		others(a, key, c, true);
	}
	c->ifindex = (uint32_t)num(args, "ifindex");
	c->timestamps = json_is_true(json_object_get(args, "timestamps"));
	return bf_shield_cookie_set(a->shield, key, c, err);
}

static int set_mode(struct bf_agent *a, const json_t *args,
		    const struct bpfast_shield_cookie_key *key, struct bpfast_shield_cookie *c,
		    struct bf_error *err)
{
	const char *mode = text(args, "mode");
	int m;

	for (m = 0; m < BPFAST_CM_COUNT && (!mode || strcmp(mode, modes[m])); m++)
		;
	if (m == BPFAST_CM_COUNT)
		return bf_err(err, -EINVAL, "the mode is off, limit or always");
	if (m != BPFAST_CM_OFF && refuse_endpoint(a, key, err))
		return -EBUSY;
	c->mode = (uint8_t)m;
	bf_log_info("SYN cookies", "address", text(args, "address"), "port",
		    bf_num((long long)num(args, "port")), "mode", modes[m]);
	return bf_shield_cookie_set(a->shield, key, c, err);
}

static bool is_native(struct bf_agent *a, const struct bpfast_shield_device *d)
{
	struct bf_shield_shared shared;

	return d->hook == BPFAST_SH_NATIVE ||
	       (d->hook == BPFAST_SH_SHARED &&
		bf_shield_shared(a->shield, (int)d->ifindex, &shared) && shared.native);
}

/* In native mode a veth loses what XDP sends back, unless its other end takes XDP's frames too. */
static void note_veths(struct bf_agent *a, json_t *result)
{
	for (int i = 0; i < BPFAST_SHIELD_SLOTS; i++) {
		const struct bpfast_shield_device *d = &bf_shield_control(a->shield)->device[i];
		struct bf_link link;

		if (!d->ifindex || !is_native(a, d) || bf_link_by_index((int)d->ifindex, &link) ||
		    strcmp(link.kind, "veth"))
			continue;
		json_object_set_new(
			result, "note",
			json_sprintf("%s is a veth with native XDP: what XDP answers there is "
				     "lost, unless the other end has an XDP program too; attach "
				     "with --tc or --generic",
				     link.name));
		return;
	}
}

/* {do: list | record | mode | forget, address, port, ...} */
int bf_shield_cookies_command(struct bf_agent *a, struct bf_client *client, const json_t *args,
			      json_t **result, struct bf_error *err)
{
	const char *what = text(args, "do");
	struct bpfast_shield_cookie_key key;
	struct bpfast_shield_cookie c = {0};
	bool known;
	int r;

	(void)client;
	if (!what || !strcmp(what, "list")) {
		*result = json_pack("{s:o}", "cookies", bf_shield_cookies_json(a));
		return 0;
	}
	r = bf_agent_shield_open(a, err);
	if (!r)
		r = key_of(args, &key, err);
	if (r)
		return r;
	known = !bf_shield_cookie_get(a->shield, &key, &c);
	if (!strcmp(what, "record"))
		r = record(a, args, &key, &c, known, err);
	else if (!known)
		r = bf_err(err, -ENOENT, "SYN cookies are not on for %s, port %lld",
			   text(args, "address"), (long long)num(args, "port"));
	else if (!strcmp(what, "mode"))
		r = set_mode(a, args, &key, &c, err);
	else if (!strcmp(what, "forget"))
		r = bf_shield_cookie_remove(a->shield, &key);
	else
		r = bf_err(err, -EINVAL, "'%s' cannot be done", what);
	if (r)
		return r;
	*result = cookie_json(&key, &c);
	note_veths(a, *result);
	/* Who undoes it must not take from the others of the namespace what they need. */
	json_object_set_new(*result, "others",
			    json_integer((json_int_t)others(a, &key, &c, false)));
	return 0;
}

void bf_agent_shield_cookies_check(struct bf_agent *a, int gone)
{
	struct bf_shield_cookie *all;
	size_t n;

	if (!a->shield || !bf_shield_control(a->shield)->cookies ||
	    bf_shield_cookies(a->shield, &all, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		struct bpfast_shield_cookie *c = &all[i].c;
		struct bf_link link;
		char addr[64];
		const char *why;

		if (c->mode == BPFAST_CM_OFF)
			continue;
		if (c->ifindex && (c->ifindex == (uint32_t)gone ||
				   bf_link_by_index((int)c->ifindex, &link) == -ENODEV))
			why = "its interface is gone";
		else if (behind_policies(a, &all[i].key))
			why = "it is an endpoint that is guarded at its own interface";
		else
			continue;
		c->mode = BPFAST_CM_OFF;
		bf_shield_cookie_set(a->shield, &all[i].key, c, NULL);
		bf_log_warn("SYN cookies are off for a destination", "address",
			    bf_address_text(all[i].key.addr, addr, sizeof(addr)), "port",
			    bf_num(ntohs(all[i].key.port)), "why", why);
	}
	free(all);
}
