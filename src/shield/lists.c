// SPDX-License-Identifier: Apache-2.0
#include "shield/lists.h"

#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

void bf_shield_list_free(struct bf_shield_list *list)
{
	free(list->v);
	memset(list, 0, sizeof(*list));
}

int bf_shield_list_add(struct bf_shield_list *list, const struct bpfast_shield_entry *entry)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? 2 * list->cap : 64;
		struct bpfast_shield_entry *v = realloc(list->v, cap * sizeof(*v));

		if (!v)
			return -ENOMEM;
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n++] = *entry;
	return 0;
}

static int by_prefix(const void *a, const void *b)
{
	const struct bpfast_shield_entry *x = a, *y = b;

	/* Half by half: a million entries are compared twenty million times. */
	for (int at = 0; at < 16; at += 8) {
		uint64_t m, n;

		memcpy(&m, x->addr + at, 8);
		memcpy(&n, y->addr + at, 8);
		if (m != n)
			return be64toh(m) < be64toh(n) ? -1 : 1;
	}
	if (x->prefix != y->prefix)
		return x->prefix < y->prefix ? -1 : 1;
	return (int)x->allow - (int)y->allow;
}

static int by_entry(const void *a, const void *b)
{
	const struct bpfast_shield_entry *x = a, *y = b;
	int order = by_prefix(a, b);

	return order ? order : (int)x->policy - (int)y->policy;
}

void bf_shield_list_sort(struct bf_shield_list *list)
{
	size_t n = 0;

	if (!list->n)
		return;
	qsort(list->v, list->n, sizeof(*list->v), by_entry);
	for (size_t i = 1; i < list->n; i++) {
		if (by_entry(&list->v[n], &list->v[i]))
			list->v[++n] = list->v[i];
		else if (list->v[n].until < list->v[i].until)
			list->v[n].until = list->v[i].until;
	}
	list->n = n + 1;
}

size_t bf_shield_list_expire(struct bf_shield_list *list, uint32_t now)
{
	size_t n = 0, was = list->n;

	for (size_t i = 0; i < list->n; i++)
		if (now < list->v[i].until)
			list->v[n++] = list->v[i];
	list->n = n;
	return was - n;
}

size_t bf_shield_list_remove(struct bf_shield_list *list, const struct bpfast_shield_entry *entry)
{
	size_t n = 0, was = list->n;

	for (size_t i = 0; i < list->n; i++)
		if (by_entry(&list->v[i], entry))
			list->v[n++] = list->v[i];
	list->n = n;
	return was - n;
}

bool bf_shield_is4(const struct bpfast_shield_entry *entry)
{
	return entry->prefix >= 96 && !memcmp(entry->addr, mapped, sizeof(mapped));
}

static void cut(uint8_t addr[16], unsigned int prefix)
{
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int keep = prefix > 8 * i ? prefix - 8 * i : 0;

		if (keep < 8)
			addr[i] &= (uint8_t)(0xff00u >> keep);
	}
}

const struct bpfast_shield_entry *bf_shield_list_holder(const struct bf_shield_list *list,
							const struct bpfast_shield_entry *entry,
							bool allow, uint32_t now)
{
	struct bpfast_shield_entry want = *entry;

	want.allow = allow;
	/* Each shorter prefix of it in turn. */
	for (int prefix = entry->prefix; prefix >= (bf_shield_is4(entry) ? 96 : 0); prefix--) {
		const struct bpfast_shield_entry *found;

		want.prefix = (uint8_t)prefix;
		cut(want.addr, want.prefix);
		found = list->n ? bsearch(&want, list->v, list->n, sizeof(want), by_prefix) : NULL;
		if (found && now < found->until)
			return found;
	}
	return NULL;
}

/* --- text --- */

int bf_shield_cidr(const char *text, size_t len, struct bpfast_shield_entry *out,
		   struct bf_error *err)
{
	const char *slash = memchr(text, '/', len);
	size_t name = slash ? (size_t)(slash - text) : len;
	unsigned int prefix = 0, most;
	char addr[INET6_ADDRSTRLEN];
	uint8_t whole[16];
	bool four;

	memset(out, 0, sizeof(*out));
	if (!name || name >= sizeof(addr))
		goto bad;
	memcpy(addr, text, name);
	addr[name] = '\0';
	memcpy(out->addr, mapped, sizeof(mapped));
	four = inet_pton(AF_INET, addr, out->addr + 12) == 1;
	if (!four && inet_pton(AF_INET6, addr, out->addr) != 1)
		goto bad;
	most = prefix = four ? 32 : 128;
	if (slash) {
		const char *digit = slash + 1, *end = text + len;

		if (digit == end || end - digit > 3 || (digit[0] == '0' && end - digit > 1))
			goto bad;
		for (prefix = 0; digit < end; digit++) {
			if (*digit < '0' || *digit > '9')
				goto bad;
			prefix = prefix * 10 + (unsigned int)(*digit - '0');
		}
		if (prefix > most)
			return bf_err(err, -EINVAL,
				      "'%.*s': a prefix of IPv%c is at most %u bits long", (int)len,
				      text, four ? '4' : '6', most);
	}
	out->prefix = (uint8_t)(four ? prefix + 96 : prefix);
	memcpy(whole, out->addr, sizeof(whole));
	cut(out->addr, out->prefix);
	if (memcmp(whole, out->addr, sizeof(whole))) {
		char right[64];

		return bf_err(err, -EINVAL,
			      "'%.*s' has bits set behind its prefix; did you mean %s?", (int)len,
			      text, bf_shield_cidr_text(out, right, sizeof(right)));
	}
	return 0;
bad:
	return bf_err(err, -EINVAL,
		      "'%.*s' is not a CIDR such as 192.0.2.0/24, 2001:db8::/32 or 192.0.2.7",
		      (int)(len < 80 ? len : 80), text);
}

const char *bf_shield_cidr_text(const struct bpfast_shield_entry *entry, char *buf, size_t size)
{
	char addr[INET6_ADDRSTRLEN] = "";
	bool four = bf_shield_is4(entry);

	inet_ntop(four ? AF_INET : AF_INET6, four ? entry->addr + 12 : entry->addr, addr,
		  sizeof(addr));
	snprintf(buf, size, "%s/%d", addr, four ? entry->prefix - 96 : entry->prefix);
	return buf;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

int bf_shield_read(const char *text, size_t len, size_t line, bool allow, uint32_t until,
		   struct bf_shield_list *list, struct bf_error *err)
{
	const char *end = text + len;
	size_t was = list->n;

	for (; text < end; line++) {
		const char *newline = memchr(text, '\n', (size_t)(end - text));
		const char *next = newline ? newline + 1 : end, *stop = newline ? newline : end;
		struct bpfast_shield_entry entry;
		struct bf_error why;
		const char *word;
		int ret;

		while (text < stop && blank(*text))
			text++;
		for (word = text; word < stop && *word != '#' && *word != ';'; word++)
			;
		stop = word;
		while (stop > text && blank(stop[-1]))
			stop--;
		if (stop > text) {
			ret = bf_shield_cidr(text, (size_t)(stop - text), &entry, &why);
			if (ret)
				bf_err(err, ret, "line %zu: %s", line, why.msg);
			entry.allow = allow;
			entry.until = until;
			if (!ret && list->n - was >= BF_SHIELD_ENTRIES_MAX)
				ret = bf_err(err, -E2BIG, "line %zu: more than %u prefixes", line,
					     BF_SHIELD_ENTRIES_MAX);
			if (!ret) {
				ret = bf_shield_list_add(list, &entry);
				if (ret)
					bf_err(err, ret, "no memory for the list");
			}
			if (ret) {
				list->n = was;
				return ret;
			}
		}
		text = next;
	}
	return 0;
}
