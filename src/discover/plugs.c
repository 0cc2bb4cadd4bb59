// SPDX-License-Identifier: Apache-2.0
/* Where the namespaces are plugged in: the host sides of their veths. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "discover/find.h"

/* The link on this node whose other end is that one. */
static const struct bf_link *host_side(const struct bf_link *links, size_t n, int nsid,
				       const struct bf_link *inside)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (links[i].peer_nsid == nsid && links[i].peer_ifindex == inside->ifindex &&
		    inside->peer_ifindex == links[i].ifindex && !strcmp(links[i].kind, "veth"))
			return &links[i];
	return NULL;
}

static int look_into(struct bf_place *p, int nsid, const struct bf_link *links, size_t n,
		     struct bf_error *err)
{
	const struct bf_link *host;
	struct bf_link *inside;
	struct bf_plug *plug;
	size_t count, i;
	int r = bf_links(nsid, &inside, &count, err);

	if (r)
		return r;
	p->plugs = calloc(count + 1, sizeof(*p->plugs));
	if (!p->plugs)
		r = bf_err(err, -ENOMEM, "no memory");
	for (i = 0; !r && i < count; i++) {
		if (!strcmp(inside[i].name, "lo"))
			continue;
		plug = &p->plugs[p->plug_count++];
		plug->inside = inside[i];
		host = host_side(links, n, nsid, &inside[i]);
		if (host)
			plug->host = *host;
		r = bf_link_addresses(nsid, inside[i].ifindex, &plug->addrs, &plug->addr_count,
				      err);
	}
	free(inside);
	return r;
}

int bf_find_plugs(struct bf_found *found, struct bf_error *err)
{
	struct bf_link *links;
	struct bf_error why;
	size_t n, i;
	int nsid, r = bf_links(-1, &links, &n, err);

	if (r)
		return r;
	for (i = 0; i < found->count; i++) {
		struct bf_place *p = &found->places[i];

		/* Listing our links gave a number to every namespace at whose end one of them is. */
		if (p->host || bf_netns_id(p->fd, &nsid))
			continue;
		r = look_into(p, nsid, links, n, &why);
		if (!r)
			continue;
		bf_found_note(found, "%s", why.msg);
		found->incomplete = true;
	}
	free(links);
	return 0;
}
