// SPDX-License-Identifier: Apache-2.0
#include "policy/shield_spec.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/read_model.h"
#include "policy/read_syntax.h"
#include "policy/selector.h"

void bf_shield_spec_free(struct bf_shield_spec *spec)
{
	if (!spec)
		return;
	for (size_t i = 0; i < spec->device_count; i++)
		free(spec->devices[i]);
	free(spec->devices);
	bf_selector_free(&spec->selector);
	free(spec->rates);
	free(spec->prefixes);
	free(spec);
}

/* n elements anew; false without memory. */
static bool copy(void *to, const void *from, size_t n, size_t size)
{
	void *v = n ? calloc(n, size) : NULL;

	if (n && !v)
		return false;
	if (n)
		memcpy(v, from, n * size);
	memcpy(to, &v, sizeof(v));
	return true;
}

struct bf_shield_spec *bf_shield_spec_copy(const struct bf_shield_spec *from)
{
	struct bf_shield_spec *to = calloc(1, sizeof(*to));
	bool ok;

	if (!to)
		return NULL;
	to->endpoints = from->endpoints;
	to->mode = from->mode;
	to->hook = from->hook;
	to->sensitivity = from->sensitivity;
	to->sensitivity_said = from->sensitivity_said;
	to->http = from->http;
	to->http_said = from->http_said;
	to->http_limits = from->http_limits;
	ok = bf_selector_copy(&to->selector, &from->selector) &&
	     copy(&to->rates, from->rates, from->rate_count, sizeof(*to->rates)) &&
	     copy(&to->prefixes, from->prefixes, from->prefix_count, sizeof(*to->prefixes));
	if (ok) {
		to->rate_count = from->rate_count;
		to->prefix_count = from->prefix_count;
		to->devices = calloc(from->device_count + 1, sizeof(*to->devices));
		ok = to->devices;
	}
	for (size_t i = 0; ok && i < from->device_count; i++) {
		to->devices[i] = strdup(from->devices[i]);
		ok = to->devices[i];
		to->device_count += ok;
	}
	if (ok)
		return to;
	bf_shield_spec_free(to);
	return NULL;
}

const char *bf_shield_prefix_text(const struct bf_cidr *cidr, char *buf, size_t size)
{
	bool four = bf_cidr_is_ipv4(cidr);
	char addr[INET6_ADDRSTRLEN] = "";

	inet_ntop(four ? AF_INET : AF_INET6, four ? cidr->addr + 12 : cidr->addr, addr,
		  sizeof(addr));
	snprintf(buf, size, "%s/%d", addr, four ? cidr->len - 96 : cidr->len);
	return buf;
}

static int by_cidr(const struct bf_cidr *x, const struct bf_cidr *y)
{
	int order = memcmp(x->addr, y->addr, sizeof(x->addr));

	return order ? order : (x->len > y->len) - (x->len < y->len);
}

/* 0 is forever. */
static bool later(int64_t a, int64_t b)
{
	return b && (!a || a > b);
}

static int by_prefix(const void *a, const void *b)
{
	const struct bf_shield_prefix *x = a, *y = b;
	int order = by_cidr(&x->cidr, &y->cidr);

	return order ? order : later(x->until, y->until) - later(y->until, x->until);
}

void bf_shield_prefixes_sort(struct bf_shield_prefix *v, size_t n)
{
	if (n)
		qsort(v, n, sizeof(*v), by_prefix);
}

/* The last of the sorted entries of a prefix, or NULL. */
static const struct bf_shield_prefix *find(const struct bf_shield_prefix *v, size_t n,
					   const struct bf_cidr *cidr)
{
	size_t low = 0, high = n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (by_cidr(&v[middle].cidr, cidr) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low && !by_cidr(&v[low - 1].cidr, cidr) ? &v[low - 1] : NULL;
}

const struct bf_shield_prefix *bf_shield_prefix_holder(const struct bf_shield_prefix *allows,
						       size_t n,
						       const struct bf_shield_prefix *block)
{
	struct bf_cidr cidr = block->cidr;
	int shortest = bf_cidr_is_ipv4(&cidr) ? 96 : 0;

	/* Each shorter prefix of it in turn. */
	for (int len = cidr.len; len >= shortest; len--) {
		const struct bf_shield_prefix *found;

		if (len < 128)
			cidr.addr[len / 8] &= (uint8_t)(0xff00u >> (len % 8));
		cidr.len = (uint8_t)len;
		found = find(allows, n, &cidr);
		if (found && !later(block->until, found->until))
			return found;
	}
	return NULL;
}

bool bf_shield_selects(const struct bf_objects *objects, const struct bf_policy *p,
		       const struct bf_endpoint *e)
{
	return p->shield && p->shield->endpoints &&
	       bf_selector_matches(&p->shield->selector, e->namespace, &e->labels,
				   bf_namespace_labels(objects, e->namespace));
}
