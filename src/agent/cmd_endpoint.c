// SPDX-License-Identifier: Apache-2.0
/* endpoint add, list, get, label, delete */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/log.h"
#include "agent/server.h"
#include "observe/names.h"

static bool link_local(const uint8_t addr[16])
{
	return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

static int add_address(struct bf_local *l, const uint8_t addr[16], struct bf_error *err)
{
	size_t i;

	for (i = 0; i < l->e.addr_count; i++)
		if (!memcmp(l->e.addrs[i], addr, 16))
			return 0;
	if (l->e.addr_count == BPFAST_ENDPOINT_ADDRS)
		return bf_err(err, -E2BIG,
			      "%s has more than %d addresses behind it; say with --ip which count",
			      l->iface, BPFAST_ENDPOINT_ADDRS);
	memcpy(l->e.addrs[l->e.addr_count++], addr, 16);
	return 0;
}

/* Where IPv6 is used but has no link-local address yet (the link is still down), the
 * one that it will have: RFC 4291, appendix A. */
static int add_eui64(struct bf_local *l, struct bf_error *err)
{
	static const uint8_t none[6];
	uint8_t addr[16] = {0xfe, 0x80};
	const uint8_t *mac = l->mac;
	bool v6 = false, ll = false;
	size_t i;

	for (i = 0; i < l->e.addr_count; i++) {
		ll |= link_local(l->e.addrs[i]);
		v6 |= !bf_address_is4(l->e.addrs[i]);
	}
	if (!v6 || ll || !memcmp(mac, none, 6) || l->e.addr_count == BPFAST_ENDPOINT_ADDRS)
		return 0;
	addr[8] = mac[0] ^ 2;
	addr[9] = mac[1];
	addr[10] = mac[2];
	addr[11] = 0xff;
	addr[12] = 0xfe;
	memcpy(addr + 13, mac + 3, 3);
	return add_address(l, addr, err);
}

/*
 * The addresses behind the interface: those that were given, else all that the
 * pod's side has now. Link-local ones are taken in either case, for neighbour
 * discovery needs them.
 */
static int find_addresses(struct bf_local *l, const struct bf_link *link, struct bf_error *err)
{
	size_t given = l->e.addr_count, found = given, i;
	struct bf_peer_info peer;
	int r = bf_link_peer(link, &peer, err);

	if (r && !given)
		return r;
	if (r) {
		bf_log_warn("the pod's side cannot be read; its MAC address is not checked",
			    "iface", l->iface, "why", err->msg);
		return 0;
	}
	memcpy(l->mac, peer.mac, sizeof(l->mac));
	for (i = 0; !r && i < peer.addr_count; i++) {
		bool ll = link_local(peer.addrs[i]);

		if (given && !ll)
			continue;
		found += !ll;
		r = add_address(l, peer.addrs[i], err);
	}
	free(peer.addrs);
	if (!r && !found)
		r = bf_err(
			err, -EADDRNOTAVAIL,
			"the interface behind %s has no address yet; add one there first, or give "
			"it with --ip",
			l->iface);
	return r ? r : add_eui64(l, err);
}

/* Once the endpoint is in the registry: policy first, then the hooks. */
static int enforce_new(struct bf_agent *a, struct bf_local *l, struct bf_error *err)
{
	struct bpfast_endpoint kernel;
	struct bf_error why;
	int r = bf_enforce_again(a, err);

	if (r)
		goto undo;
	/* Known before it is attached: what is attached is always known, also to the
	 * next agent if this one is killed here. */
	r = bf_state_save(a, err);
	if (r)
		goto undo_policy;
	bf_local_to_kernel(l, &kernel);
	r = bf_datapath_attach(a->dp, l->ifindex, &kernel, err);
	if (!r)
		return 0;
undo_policy:
	bf_endpoints_remove(&a->endpoints, l);
	if (bf_enforce_again(a, &why))
		bf_log_error("cannot take back", "endpoint", l->e.name, "why", why.msg);
	if (bf_state_save(a, &why))
		bf_log_error("state not saved", "why", why.msg);
	return r;
undo:
	bf_endpoints_remove(&a->endpoints, l);
	return r;
}

static int add(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
	       struct bf_error *err)
{
	struct bf_local *l = NULL;
	struct bf_link link;
	char other[64] = "";
	int r;

	(void)c;
	r = bf_may_change(a, err);
	if (!r)
		r = bf_local_from_json(args, &l, err);
	if (r)
		return r;
	memset(l->mac, 0, sizeof(l->mac));
	r = bf_link_by_name(l->iface, &link, err);
	if (!r) {
		l->ifindex = link.ifindex;
		if (strcmp(link.kind, "veth"))
			bf_log_warn("the interface is not a veth", "iface", l->iface, "kind",
				    *link.kind ? link.kind : "physical");
		r = find_addresses(l, &link, err);
	}
	if (!r) {
		l->e.slot = bf_endpoints_slot(&a->endpoints, err);
		r = l->e.slot < 0 ? l->e.slot : bf_endpoints_add(&a->endpoints, l, err);
	}
	if (!r)
		r = enforce_new(a, l, err);
	if (r) {
		bf_local_free(l);
		return r;
	}
	*result = bf_local_to_json(l);
	if (!bf_datapath_precedes(a->dp, l->ifindex, other, sizeof(other)) && *other) {
		bf_log_warn("another program runs before ours and may hide packets from it",
			    "iface", l->iface, "program", other);
		json_object_set_new(*result, "preceded_by", json_string(other));
	}
	bf_log_info("endpoint added", "endpoint", l->e.name, "namespace", l->e.namespace, "iface",
		    l->iface, "slot", bf_num(l->e.slot));
	return 0;
}

static int list(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		struct bf_error *err)
{
	json_t *array = json_array();
	size_t i;

	(void)c, (void)args, (void)err;
	for (i = 0; i < a->endpoints.n; i++)
		json_array_append_new(array, bf_local_to_json(a->endpoints.v[i]));
	*result = json_pack("{s:o}", "endpoints", array);
	return 0;
}

static struct bf_local *named(struct bf_agent *a, const json_t *args, struct bf_error *err)
{
	const char *name = json_string_value(json_object_get(args, "name"));

	if (!name)
		bf_err(err, 0, "the name of the endpoint is missing");
	return name ? bf_endpoints_find(&a->endpoints, name, err) : NULL;
}

static int get(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
	       struct bf_error *err)
{
	struct bf_local *l = named(a, args, err);

	(void)c;
	if (!l)
		return -ENOENT;
	*result = bf_local_to_json(l);
	return 0;
}

static int label(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		 struct bf_error *err)
{
	struct bf_labels before;
	struct bf_local *l;
	int r = bf_may_change(a, err);

	(void)c;
	if (r)
		return r;
	l = named(a, args, err);
	if (!l)
		return -ENOENT;
	if (bf_labels_copy(&before, &l->e.labels))
		return bf_err(err, -ENOMEM, "no memory");
	r = bf_labels_change(&l->e.labels, json_object_get(args, "labels"), err);
	if (!r)
		r = bf_enforce_again(a, err);
	if (r) {
		bf_labels_free(&l->e.labels);
		l->e.labels = before;
		return r;
	}
	bf_labels_free(&before);
	*result = bf_local_to_json(l);
	bf_log_info("endpoint labelled", "endpoint", l->e.name, "namespace", l->e.namespace);
	return bf_state_save(a, err);
}

static int delete(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		  struct bf_error *err)
{
	struct bf_error why;
	struct bf_local *l;
	int r = bf_may_change(a, err);

	(void)c;
	if (r)
		return r;
	l = named(a, args, err);
	if (!l)
		return -ENOENT;
	r = bf_datapath_detach(a->dp, l->ifindex, err);
	if (r)
		return r;
	bf_endpoints_remove(&a->endpoints, l);
	/* The others lose a peer; should that fail, they keep a rule for an address
	 * that nobody has, until the next change. */
	if (bf_enforce_again(a, &why))
		bf_log_error("endpoint deleted, but tables not renewed", "why", why.msg);
	*result = bf_local_to_json(l);
	bf_log_info("endpoint deleted", "endpoint", l->e.name, "namespace", l->e.namespace, "iface",
		    l->iface);
	bf_local_free(l);
	return bf_state_save(a, err);
}

const struct bf_command bf_endpoint_commands[] = {
	{"endpoint add", add},	   {"endpoint list", list},	{"endpoint get", get},
	{"endpoint label", label}, {"endpoint delete", delete}, {NULL, NULL},
};
