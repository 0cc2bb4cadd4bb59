// SPDX-License-Identifier: Apache-2.0
/* A new endpoint: what is behind its interface, then policy, then the hooks. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/log.h"
#include "agent/shield/bars.h"
#include "observe/names.h"

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
		ll |= bf_address_link_local(l->e.addrs[i]);
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
		bool ll = bf_address_link_local(peer.addrs[i]);

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
	/* Its slot may be another's soon. */
	if (bf_is_fenced(a, l->ifindex) && bf_fence(a, l->ifindex, &why))
		bf_log_error("cannot deny", "iface", l->iface, "why", why.msg);
	if (bf_enforce_again(a, &why))
		bf_log_error("cannot take back", "endpoint", l->e.name, "why", why.msg);
	if (bf_state_save(a, &why))
		bf_log_error("state not saved", "why", why.msg);
	return r;
undo:
	bf_endpoints_remove(&a->endpoints, l);
	return r;
}

int bf_endpoint_admit(struct bf_agent *a, struct bf_local *l, const struct bf_link *link,
		      json_t **result, struct bf_error *err)
{
	char other[64] = "";
	int r;

	memset(l->mac, 0, sizeof(l->mac));
	memcpy(l->iface, link->name, sizeof(l->iface));
	l->ifindex = link->ifindex;
	if (strcmp(link->kind, "veth"))
		bf_log_warn("the interface is not a veth", "iface", l->iface, "kind",
			    *link->kind ? link->kind : "physical");
	r = find_addresses(l, link, err);
	if (!r) {
		l->e.slot = bf_endpoints_slot(&a->endpoints, err);
		r = l->e.slot < 0 ? l->e.slot : bf_endpoints_add(&a->endpoints, l, err);
	}
	if (!r)
		r = enforce_new(a, l, err);
	if (!r)
		bf_shield_bars_welcome(a, l);
	if (r) {
		bf_local_free(l);
		return r;
	}
	bf_fence_lifted(a, l->ifindex);
	*result = bf_local_to_json(l);
	if (!bf_datapath_precedes(a->dp, l->ifindex, other, sizeof(other)) && *other) {
		bf_log_warn("another program runs before ours and may hide packets from it",
			    "iface", l->iface, "program", other);
		json_object_set_new(*result, "preceded_by", json_string(other));
	}
	bf_log_info("endpoint added", "endpoint", l->e.name, "namespace", l->e.namespace, "iface",
		    l->iface, "slot", bf_num(l->e.slot), "container",
		    l->container.id ? l->container.id : "-");
	return 0;
}
