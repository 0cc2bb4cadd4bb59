// SPDX-License-Identifier: Apache-2.0
#include "agent/endpoints.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "observe/names.h"

void bf_local_free(struct bf_local *local)
{
	size_t i;

	if (!local)
		return;
	free(local->e.name);
	free(local->e.namespace);
	bf_labels_free(&local->e.labels);
	free(local->e.addrs);
	for (i = 0; i < local->e.port_count; i++)
		free(local->e.ports[i].name);
	free(local->e.ports);
	free(local->container.id);
	free(local->container.ifname);
	free(local->container.network);
	free(local->container.pod_uid);
	free(local);
}

void bf_endpoints_free(struct bf_endpoints *all)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		bf_local_free(all->v[i]);
	free(all->v);
	memset(all, 0, sizeof(*all));
}

int bf_endpoints_slot(const struct bf_endpoints *all, struct bf_error *err)
{
	int slot;

	for (slot = 0; slot < BPFAST_ENDPOINTS_MAX; slot++)
		if (!(all->used[slot / 8] & 1 << slot % 8))
			return slot;
	return bf_err(err, -ENOSPC, "all %d endpoint slots of this node are taken",
		      BPFAST_ENDPOINTS_MAX);
}

static const struct bf_local *clash(const struct bf_endpoints *all, const struct bf_local *new,
				    struct bf_error *err)
{
	const struct bf_local *other;
	char text[64];
	size_t i;

	for (i = 0; i < all->n; i++) {
		other = all->v[i];
		if (!strcmp(other->e.name, new->e.name) &&
		    !strcmp(other->e.namespace, new->e.namespace)) {
			bf_err(err, 0,
			       "endpoint %s/%s exists already, behind %s; delete it first, or "
			       "change its labels with `bpfast endpoint label`",
			       new->e.namespace, new->e.name, other->iface);
			return other;
		}
	}
	other = bf_endpoints_by_ifindex(all, new->ifindex);
	if (other) {
		bf_err(err, 0, "interface %s is taken by endpoint %s/%s", new->iface,
		       other->e.namespace, other->e.name);
		return other;
	}
	for (i = 0; i < new->e.addr_count; i++) {
		/* Link-local addresses are unique on their link only. */
		if (bf_address_link_local(new->e.addrs[i]))
			continue;
		other = bf_endpoints_by_address(all, new->e.addrs[i]);
		if (!other)
			continue;
		bf_err(err, 0, "address %s belongs to endpoint %s/%s",
		       bf_address_text(new->e.addrs[i], text, sizeof(text)), other->e.namespace,
		       other->e.name);
		return other;
	}
	return NULL;
}

int bf_endpoints_add(struct bf_endpoints *all, struct bf_local *local, struct bf_error *err)
{
	struct bf_local **v;
	size_t cap;
	int slot = local->e.slot;

	if (clash(all, local, err))
		return -EEXIST;
	if (slot < 0 || slot >= BPFAST_ENDPOINTS_MAX || all->used[slot / 8] & 1 << slot % 8)
		return bf_err(err, -EEXIST, "slot %d of endpoint %s/%s is taken", slot,
			      local->e.namespace, local->e.name);
	if (all->n == all->cap) {
		cap = all->cap ? all->cap * 2 : 16;
		v = realloc(all->v, cap * sizeof(*v));
		if (!v)
			return bf_err(err, -ENOMEM, "no memory");
		all->v = v;
		all->cap = cap;
	}
	all->v[all->n++] = local;
	all->used[slot / 8] |= (uint8_t)(1 << slot % 8);
	return 0;
}

void bf_endpoints_remove(struct bf_endpoints *all, struct bf_local *local)
{
	size_t i;

	for (i = 0; i < all->n && all->v[i] != local; i++)
		;
	if (i == all->n)
		return;
	memmove(all->v + i, all->v + i + 1, (all->n - i - 1) * sizeof(*all->v));
	all->n--;
	all->used[local->e.slot / 8] &= (uint8_t)~(1 << local->e.slot % 8);
}

struct bf_local *bf_endpoints_find(const struct bf_endpoints *all, const char *who,
				   struct bf_error *err)
{
	const char *slash = strchr(who, '/'), *name = slash ? slash + 1 : who;
	struct bf_local *found = NULL;
	size_t i, ns = slash ? (size_t)(slash - who) : 0;

	for (i = 0; i < all->n; i++) {
		const struct bf_endpoint *e = &all->v[i]->e;

		if (strcmp(e->name, name) ||
		    (slash && (strlen(e->namespace) != ns || memcmp(e->namespace, who, ns))))
			continue;
		if (found) {
			bf_err(err, 0,
			       "endpoint %s is in more than one namespace: say %s/%s or %s/%s", who,
			       found->e.namespace, name, e->namespace, name);
			return NULL;
		}
		found = all->v[i];
	}
	if (!found)
		bf_err(err, 0, "there is no endpoint %s; `bpfast endpoint list` shows them", who);
	return found;
}

struct bf_local *bf_endpoints_by_ifindex(const struct bf_endpoints *all, int ifindex)
{
	size_t i;

	for (i = 0; i < all->n; i++)
		if (all->v[i]->ifindex == ifindex)
			return all->v[i];
	return NULL;
}

struct bf_local *bf_endpoints_by_container(const struct bf_endpoints *all, const char *network,
					   const char *id, const char *ifname, size_t *at)
{
	const struct bf_container *c;

	while (*at < all->n) {
		c = &all->v[(*at)++]->container;
		if (!c->id || !c->network || strcmp(c->id, id) ||
		    (network && strcmp(c->network, network)) ||
		    (ifname && (!c->ifname || strcmp(c->ifname, ifname))))
			continue;
		return all->v[*at - 1];
	}
	return NULL;
}

struct bf_local *bf_endpoints_by_address(const struct bf_endpoints *all, const uint8_t addr[16])
{
	size_t i, j;

	for (i = 0; i < all->n; i++)
		for (j = 0; j < all->v[i]->e.addr_count; j++)
			if (!memcmp(all->v[i]->e.addrs[j], addr, 16))
				return all->v[i];
	return NULL;
}

struct bf_endpoint *bf_endpoints_flat(const struct bf_endpoints *all)
{
	struct bf_endpoint *flat = calloc(all->n + 1, sizeof(*flat));
	size_t i;

	for (i = 0; flat && i < all->n; i++)
		flat[i] = all->v[i]->e;
	return flat;
}

void bf_local_to_kernel(const struct bf_local *local, struct bpfast_endpoint *out)
{
	memset(out, 0, sizeof(*out));
	out->slot = (uint16_t)local->e.slot;
	out->addr_count = (uint8_t)local->e.addr_count;
	memcpy(out->mac, local->mac, sizeof(out->mac));
	memcpy(out->addr, local->e.addrs, local->e.addr_count * 16);
}
