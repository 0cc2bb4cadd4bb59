// SPDX-License-Identifier: Apache-2.0
/* Interfaces that go, and those that stay guarded without an endpoint. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "agent/agent.h"
#include "agent/log.h"

static bool in(const int *list, size_t n, int ifindex)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (list[i] == ifindex)
			return true;
	return false;
}

int bf_fence(struct bf_agent *a, int ifindex, struct bf_error *err)
{
	struct bpfast_endpoint nobody = {.slot = UINT16_MAX};
	int *more = realloc(a->fenced, (a->fenced_count + 1) * sizeof(*more)), r;

	if (!more)
		return bf_err(err, -ENOMEM, "no memory");
	a->fenced = more;
	r = bf_datapath_update(a->dp, ifindex, &nobody, err);
	if (r)
		return r;
	bf_fence_lifted(a, ifindex);
	a->fenced[a->fenced_count++] = ifindex;
	return 0;
}

void bf_fence_lifted(struct bf_agent *a, int ifindex)
{
	size_t i;

	for (i = 0; i < a->fenced_count; i++) {
		if (a->fenced[i] != ifindex)
			continue;
		a->fenced[i] = a->fenced[--a->fenced_count];
		return;
	}
}

bool bf_is_fenced(const struct bf_agent *a, int ifindex)
{
	return in(a->fenced, a->fenced_count, ifindex);
}

bool bf_fence_gone(struct bf_agent *a, int ifindex)
{
	size_t before = a->fenced_count;
	struct bf_error err;

	bf_fence_lifted(a, ifindex);
	if (a->fenced_count == before)
		return false;
	if (bf_datapath_detach(a->dp, ifindex, &err))
		bf_log_warn("cannot detach", "ifindex", bf_num(ifindex), "why", err.msg);
	return true;
}

/*
 * Whether the interface with the index is the one that the endpoint was made for. A number may
 * have been given out again, after a boot even most of them. Hooks of ours prove it, for they go
 * with their device. Without them (killed before they were there, or the pins are lost) the
 * name has to be the same, and the MAC address at the other end where it is known.
 */
static bool same_interface(const struct bf_local *l, const struct bf_link *link, bool attached)
{
	static const uint8_t unknown[6];
	struct bf_peer_info peer;
	struct bf_error err;
	bool same;
	int r;

	if (attached)
		return true;
	if (strcmp(l->iface, link->name))
		return false;
	if (!memcmp(l->mac, unknown, 6))
		return true;
	r = bf_link_peer(link, &peer, &err);
	if (r) /* in doubt it stays guarded */
		return r != -EOPNOTSUPP;
	same = !memcmp(l->mac, peer.mac, 6);
	free(peer.addrs);
	return same;
}

size_t bf_forget_gone(struct bf_agent *a)
{
	size_t i = 0, n = 0, count = 0;
	int *attached = NULL;
	struct bf_link link;

	if (bf_datapath_attached(a->dp, &attached, &n))
		return 0;
	while (i < a->endpoints.n) {
		struct bf_local *l = a->endpoints.v[i];
		int r = bf_link_by_index(l->ifindex, &link);

		/* What cannot be read for another reason is not gone. */
		if (r != -ENODEV && (r || same_interface(l, &link, in(attached, n, l->ifindex)))) {
			i++;
			continue;
		}
		bf_endpoint_gone(a, l);
		count++;
	}
	free(attached);
	for (i = a->fenced_count; i-- > 0;)
		if (bf_link_by_index(a->fenced[i], &link) == -ENODEV)
			bf_fence_gone(a, a->fenced[i]);
	return count;
}
