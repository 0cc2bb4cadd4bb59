// SPDX-License-Identifier: Apache-2.0
/*
 * What bpfast-cni asks: cni add, del, check, gc, status. An attachment is known by network,
 * container id and the interface's name inside. Where a refusal has its own error code in CNI's
 * specification, the details say it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agent/server.h"
#include "observe/names.h"

#define IFACES_MAX 64 /* of a prevResult */

enum { CNI_TRY_AGAIN = 11, CNI_INVALID_CONFIG = 7 };

static int code(json_t **details, int cni, int r)
{
	*details = json_pack("{s:i}", "code", cni);
	return r;
}

static const char *text(const json_t *o, const char *key)
{
	return json_string_value(json_object_get(o, key));
}

/* --- taking away --- */

/*
 * Its interface, where it still exists, denies all from here on: the runtime removes it next, and
 * what still runs behind it must not be free until then.
 */
static int forget_one(struct bf_agent *a, struct bf_local *l, struct bf_error *err)
{
	struct bf_link link;
	int r = 0;

	if (bf_link_by_index(l->ifindex, &link) == -ENODEV ||
	    !bf_datapath_is_attached(a->dp, l->ifindex))
		r = bf_datapath_detach(a->dp, l->ifindex, err);
	else if (bf_fence(a, l->ifindex, err))
		r = bf_datapath_detach(a->dp, l->ifindex, err);
	if (r)
		return r;
	bf_log_info("endpoint removed: its container is deleted", "endpoint", l->e.name,
		    "namespace", l->e.namespace, "iface", l->iface, "container", l->container.id);
	bf_endpoints_remove(&a->endpoints, l);
	bf_local_free(l);
	return 0;
}

int bf_cni_forget(struct bf_agent *a, const char *network, const char *id, const char *ifname,
		  struct bf_error *err)
{
	struct bf_local *l;
	int count = 0, r;
	size_t at = 0;

	while ((l = bf_endpoints_by_container(&a->endpoints, network, id, ifname, &at)) != NULL) {
		r = forget_one(a, l, err);
		if (r)
			return r;
		at = 0;
		count++;
	}
	return count;
}

/* The others lose a peer. Should that fail, they keep a rule for an address that nobody has,
 * until the next change. */
static int forgotten(struct bf_agent *a, int count, json_t **result, struct bf_error *err)
{
	struct bf_error why;

	*result = json_pack("{s:i}", "deleted", count);
	if (!count)
		return 0;
	if (bf_enforce_again(a, &why))
		bf_log_error("endpoint deleted, but tables not renewed", "why", why.msg);
	return bf_state_save(a, err);
}

static int del(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
	       struct bf_error *err)
{
	const char *id = text(args, "id");
	int r = bf_may_change(a, err);

	(void)c;
	if (r)
		return r;
	if (!id)
		return bf_err(err, -EINVAL, "the container's id is missing");
	r = bf_cni_forget(a, text(args, "network"), id, text(args, "ifname"), err);
	return r < 0 ? r : forgotten(a, r + (int)bf_cni_spool_take(a), result, err);
}

static bool is_valid(const json_t *valid, const struct bf_container *c)
{
	const json_t *v;
	size_t i;

	json_array_foreach (valid, i, v) {
		const char *id = text(v, "id"), *ifname = text(v, "ifname");

		if (id && ifname && c->ifname && !strcmp(id, c->id) && !strcmp(ifname, c->ifname))
			return true;
	}
	return false;
}

static int gc(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
	      struct bf_error *err)
{
	const json_t *valid = json_object_get(args, "valid");
	const char *network = text(args, "network");
	int count = 0, r = bf_may_change(a, err);
	size_t i = 0;

	(void)c;
	if (r)
		return r;
	if (!network || !json_is_array(valid))
		return bf_err(err, -EINVAL, "the network or the list of attachments is missing");
	count = (int)(bf_cni_spool_take(a) + bf_forget_gone(a));
	while (i < a->endpoints.n) {
		struct bf_local *l = a->endpoints.v[i];

		if (!l->container.network || strcmp(l->container.network, network) ||
		    is_valid(valid, &l->container)) {
			i++;
			continue;
		}
		r = forget_one(a, l, err);
		if (r)
			return r;
		count++;
	}
	return forgotten(a, count, result, err);
}

/* --- adding --- */

/* The interface among those that prevResult names whose other end is the container's. */
static int find_veth(const json_t *args, const char *ifname, struct bf_link *link, json_t **details,
		     struct bf_error *err)
{
	const json_t *names = json_object_get(args, "ifaces"),
		     *nsid = json_object_get(args, "nsid");
	char tried[160] = "";
	struct bf_peer_info peer;
	struct bf_error why;
	const json_t *v;
	size_t i, len = 0;
	bool mine;

	if (!json_is_integer(nsid) || json_array_size(names) > IFACES_MAX)
		return bf_err(err, -EINVAL, "a namespace and at most %d interfaces are expected",
			      IFACES_MAX);
	json_array_foreach (names, i, v) {
		const char *name = json_string_value(v);

		if (!name || bf_link_by_name(name, link, &why))
			continue;
		if (len < sizeof(tried) - 32)
			len += (size_t)snprintf(tried + len, sizeof(tried) - len, "%s%s",
						len ? ", " : "", name);
		if (strcmp(link->kind, "veth") || link->peer_nsid < 0 ||
		    link->peer_nsid != json_integer_value(nsid) || bf_link_peer(link, &peer, &why))
			continue;
		mine = !strcmp(peer.name, ifname);
		free(peer.addrs);
		if (mine)
			return 0;
	}
	code(details, CNI_INVALID_CONFIG, 0);
	return bf_err(
		err, -ENODEV,
		"no host-side veth of %s: of the interfaces without a sandbox in prevResult "
		"(%s) none is a veth whose other end is %s in this container. bpfast-cni comes "
		"after a plugin that makes one, such as bridge or ptp",
		ifname, *tried ? tried : "none of which exists here", ifname);
}

static bool has_address(const struct bf_local *l, const struct bf_local *other)
{
	size_t i, j;

	for (i = 0; i < l->e.addr_count; i++)
		for (j = 0; j < other->e.addr_count; j++)
			if (!memcmp(l->e.addrs[i], other->e.addrs[j], 16))
				return true;
	return false;
}

/*
 * What stands in the way of a new attachment and cannot be true any more: the same attachment
 * (its DEL never came), another container of the network behind this very interface or under
 * this address, which the network gave out anew.
 */
static bool outdated(const struct bf_local *old, const struct bf_local *new, int ifindex)
{
	const struct bf_container *o = &old->container, *n = &new->container;
	struct bf_link link;

	if (!o->network || strcmp(o->network, n->network))
		return false;
	if (!strcmp(o->id, n->id) && o->ifname && !strcmp(o->ifname, n->ifname))
		return true;
	if (old->ifindex == ifindex || has_address(new, old))
		return true;
	/* The name alone: the old one may still be ending. */
	return !strcmp(old->e.name, new->e.name) && !strcmp(old->e.namespace, new->e.namespace) &&
	       bf_link_by_index(old->ifindex, &link) == -ENODEV;
}

static int make_room(struct bf_agent *a, const struct bf_local *new, int ifindex,
		     struct bf_error *err)
{
	size_t i = 0;
	int r;

	while (i < a->endpoints.n) {
		struct bf_local *old = a->endpoints.v[i];

		if (!outdated(old, new, ifindex)) {
			i++;
			continue;
		}
		bf_log_warn("a container takes the place of one that was never deleted", "endpoint",
			    old->e.name, "container", old->container.id, "by", new->container.id);
		r = forget_one(a, old, err);
		if (r)
			return r;
	}
	return 0;
}

static int read_new(const json_t *args, struct bf_local **l, struct bf_error *err)
{
	json_t *o = json_copy((json_t *)args);
	int r;

	/* Its name is found out later. */
	if (!o || json_object_set_new(o, "iface", json_string("veth")))
		r = bf_err(err, -EINVAL, "a container is expected");
	else
		r = bf_local_from_json(o, l, err);
	json_decref(o);
	if (r)
		return r;
	if ((*l)->container.id && (*l)->container.ifname && (*l)->container.network &&
	    (*l)->e.addr_count)
		return 0;
	bf_local_free(*l);
	return bf_err(err, -EINVAL, "container, network, interface or addresses are missing");
}

static int add(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
	       struct bf_error *err)
{
	struct bf_local *l = NULL;
	struct bf_link link;
	int r = bf_may_change(a, err);

	(void)c;
	if (r)
		return code(result, CNI_TRY_AGAIN, r);
	r = read_new(args, &l, err);
	if (r)
		return code(result, CNI_INVALID_CONFIG, r);
	r = find_veth(args, l->container.ifname, &link, result, err);
	if (!r) {
		bf_cni_spool_take(a);
		r = make_room(a, l, link.ifindex, err);
	}
	if (r) {
		bf_local_free(l);
		return r;
	}
	r = bf_endpoint_admit(a, l, &link, result, err);
	/* Somebody else's name or address may become free; so may a slot. */
	return r == -EEXIST || r == -ENOSPC ? code(result, CNI_TRY_AGAIN, r) : r;
}

/* --- looking --- */

static int check(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		 struct bf_error *err)
{
	struct bpfast_endpoint kernel;
	struct bf_local *want = NULL, *l;
	struct bf_link link;
	char text_of[64];
	size_t at = 0, i;
	int r = read_new(args, &want, err);

	(void)c;
	if (r)
		return r;
	l = bf_endpoints_by_container(&a->endpoints, want->container.network, want->container.id,
				      want->container.ifname, &at);
	if (!l)
		r = bf_err(err, -ENOENT, "container %s is not guarded: the agent does not know it",
			   want->container.id);
	if (!r)
		r = find_veth(args, want->container.ifname, &link, result, err);
	if (!r && link.ifindex != l->ifindex)
		r = bf_err(err, -ESTALE, "%s is guarded, but the container is behind %s", l->iface,
			   link.name);
	for (i = 0; !r && i < want->e.addr_count; i++) {
		if (bf_endpoints_by_address(&a->endpoints, want->e.addrs[i]) == l)
			continue;
		r = bf_err(err, -ESTALE, "address %s is not one of endpoint %s/%s",
			   bf_address_text(want->e.addrs[i], text_of, sizeof(text_of)),
			   l->e.namespace, l->e.name);
	}
	if (!r) {
		bf_local_to_kernel(l, &kernel);
		r = bf_datapath_verify(a->dp, l->ifindex, &kernel, err);
	}
	if (!r)
		*result = bf_local_to_json(l);
	bf_local_free(want);
	return r;
}

/* Whether an ADD would be taken. */
static int status(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		  struct bf_error *err)
{
	int r = bf_may_change(a, err);

	(void)c, (void)args;
	if (!r && !a->generation)
		r = bf_err(err, -EBUSY, "no tables are in force yet");
	if (!r)
		r = bf_endpoints_slot(&a->endpoints, err);
	if (r < 0)
		return r;
	*result = json_pack("{s:i}", "endpoints", (int)a->endpoints.n);
	return 0;
}

const struct bf_command bf_cni_commands[] = {
	{"cni add", add}, {"cni del", del},	  {"cni check", check},
	{"cni gc", gc},	  {"cni status", status}, {NULL, NULL},
};
