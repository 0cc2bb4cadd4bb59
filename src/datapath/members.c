// SPDX-License-Identifier: Apache-2.0
/*
 * Structures of another version, read by the names of their members. A plan is
 * made once for a pair of types, and then says for every value which bytes go where.
 */
#include "datapath/members.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 8

static const struct btf_type *resolve(const struct btf *btf, uint32_t *id)
{
	const struct btf_type *t = btf__type_by_id(btf, *id);

	while (t && (btf_is_mod(t) || btf_is_typedef(t))) {
		*id = t->type;
		t = btf__type_by_id(btf, *id);
	}
	return t;
}

static bool is_scalar(const struct btf_type *t)
{
	return btf_is_int(t) || btf_is_any_enum(t);
}

/* A member by its name of `len` bytes, in unnamed unions and structures too. */
static bool find_one(const struct btf *btf, uint32_t id, const char *name, size_t len, int depth,
		     struct bf_member *out)
{
	const struct btf_type *t = resolve(btf, &id);

	if (!t || !btf_is_composite(t) || depth > DEPTH_MAX)
		return false;
	for (uint32_t i = 0; i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *n = btf__name_by_offset(btf, m->name_off);
		uint32_t bits = btf_member_bit_offset(t, i), type = m->type;
		int64_t size = btf__resolve_size(btf, type);

		if (btf_member_bitfield_size(t, i) || bits % 8 || size < 0)
			continue;
		if (strlen(n) == len && !strncmp(n, name, len)) {
			*out = (struct bf_member){bits / 8, (uint32_t)size, type};
			return true;
		}
		if (!*n && find_one(btf, type, name, len, depth + 1, out)) {
			out->at += bits / 8;
			return true;
		}
	}
	return false;
}

bool bf_member_find(const struct btf *btf, uint32_t id, const char *path, struct bf_member *out)
{
	uint32_t at = 0;

	for (int depth = 0; depth < DEPTH_MAX; depth++) {
		size_t len = strcspn(path, ".");

		if (!find_one(btf, id, path, len, 0, out))
			return false;
		out->at += at;
		if (!path[len])
			return true;
		at = out->at;
		id = out->type;
		path += len + 1;
	}
	return false;
}

static int add(struct bf_plan *plan, uint32_t from, uint32_t from_size, uint32_t to,
	       uint32_t to_size)
{
	struct bf_copy *last = plan->n ? &plan->v[plan->n - 1] : NULL;

	/* Neighbours of the same size are one copy. */
	if (last && from_size == to_size && last->from_size == last->to_size &&
	    last->from + last->from_size == from && last->to + last->to_size == to) {
		last->from_size += from_size;
		last->to_size += to_size;
		return 0;
	}
	if (plan->n == plan->room) {
		size_t room = plan->room ? 2 * plan->room : 64;
		struct bf_copy *v = realloc(plan->v, room * sizeof(*v));

		if (!v)
			return -ENOMEM;
		plan->v = v;
		plan->room = room;
	}
	plan->v[plan->n++] = (struct bf_copy){from, from_size, to, to_size};
	return 0;
}

struct pair {
	const struct btf *from_btf, *to_btf;
	uint32_t from_id, to_id;
	uint32_t from, to; /* where in the whole */
};

static int plan_type(struct bf_plan *plan, struct pair p, int depth);

/* Every named member of `to_id` that the other type, or the part of it at hand, has too. */
static int plan_members(struct bf_plan *plan, struct pair p, int depth)
{
	const struct btf_type *t = resolve(p.to_btf, &p.to_id);
	int ret = 0;

	for (uint32_t i = 0; !ret && i < btf_vlen(t); i++) {
		const struct btf_member *m = &btf_members(t)[i];
		const char *name = btf__name_by_offset(p.to_btf, m->name_off);
		uint32_t bits = btf_member_bit_offset(t, i);
		struct bf_member there;
		struct pair q = p;

		if (btf_member_bitfield_size(t, i) || bits % 8)
			return -EINVAL;
		q.to_id = m->type;
		q.to = p.to + bits / 8;
		if (!*name) {
			ret = plan_members(plan, q, depth + 1);
			continue;
		}
		if (!find_one(p.from_btf, p.from_id, name, strlen(name), 0, &there))
			continue; /* new: zero */
		q.from_id = there.type;
		q.from = p.from + there.at;
		ret = plan_type(plan, q, depth + 1);
	}
	return ret;
}

static int plan_type(struct bf_plan *plan, struct pair p, int depth)
{
	const struct btf_type *from = resolve(p.from_btf, &p.from_id);
	const struct btf_type *to = resolve(p.to_btf, &p.to_id);

	if (!from || !to || depth > DEPTH_MAX)
		return -EINVAL;
	if (is_scalar(from) && is_scalar(to))
		return from->size > 8 || to->size > 8
			       ? -EINVAL
			       : add(plan, p.from, from->size, p.to, to->size);
	if (btf_is_array(from) && btf_is_array(to)) {
		int64_t from_size = btf__resolve_size(p.from_btf, btf_array(from)->type);
		int64_t to_size = btf__resolve_size(p.to_btf, btf_array(to)->type);
		uint32_t n = btf_array(from)->nelems;
		int ret = 0;

		if (n > btf_array(to)->nelems)
			n = btf_array(to)->nelems;
		if (from_size < 0 || to_size < 0)
			return -EINVAL;
		p.from_id = btf_array(from)->type;
		p.to_id = btf_array(to)->type;
		for (uint32_t i = 0; !ret && i < n; i++) {
			ret = plan_type(plan, p, depth + 1);
			p.from += (uint32_t)from_size;
			p.to += (uint32_t)to_size;
		}
		return ret;
	}
	if (!btf_is_composite(from) || !btf_is_composite(to))
		return -EINVAL;
	/* The kernel's own types, such as timers, are not for us to copy. */
	if (!strncmp(btf__name_by_offset(p.to_btf, to->name_off), "bpf_", 4))
		return 0;
	return plan_members(plan, p, depth);
}

int bf_plan_make(struct bf_plan *plan, const struct btf *from_btf, uint32_t from_id,
		 const struct btf *to_btf, uint32_t to_id, const char *const *needed,
		 const char **missing)
{
	struct pair p = {from_btf, to_btf, from_id, to_id, 0, 0};
	int64_t from_size = btf__resolve_size(from_btf, from_id);
	int64_t to_size = btf__resolve_size(to_btf, to_id);

	memset(plan, 0, sizeof(*plan));
	for (; needed && *needed; needed++) {
		struct bf_member a, b;

		*missing = *needed;
		if (!bf_member_find(from_btf, from_id, *needed, &a) ||
		    !bf_member_find(to_btf, to_id, *needed, &b))
			return -ENOENT;
	}
	*missing = "";
	if (from_size <= 0 || to_size <= 0)
		return -EINVAL;
	plan->from_size = (uint32_t)from_size;
	plan->to_size = (uint32_t)to_size;
	return plan_type(plan, p, 0);
}

void bf_plan_free(struct bf_plan *plan)
{
	free(plan->v);
	memset(plan, 0, sizeof(*plan));
}

uint64_t bf_number_at(const void *from, uint32_t size)
{
	uint64_t n8 = 0;
	uint32_t n4 = 0;
	uint16_t n2 = 0;
	uint8_t n1 = 0;

	switch (size) {
	case 8:
		memcpy(&n8, from, size);
		return n8;
	case 4:
		memcpy(&n4, from, size);
		return n4;
	case 2:
		memcpy(&n2, from, size);
		return n2;
	default:
		memcpy(&n1, from, 1);
		return n1;
	}
}

static int number_put(void *to, uint32_t size, uint64_t n)
{
	uint32_t n4 = (uint32_t)n;
	uint16_t n2 = (uint16_t)n;
	uint8_t n1 = (uint8_t)n;

	if (size < 8 && n >> size * 8)
		return -ERANGE;
	memcpy(to,
	       size == 8   ? (void *)&n
	       : size == 4 ? (void *)&n4
	       : size == 2 ? (void *)&n2
			   : &n1,
	       size);
	return 0;
}

int bf_plan_run(const struct bf_plan *plan, const void *from, void *to)
{
	const uint8_t *source = from;
	uint8_t *target = to;

	memset(to, 0, plan->to_size);
	for (size_t i = 0; i < plan->n; i++) {
		const struct bf_copy *c = &plan->v[i];

		if (c->from_size == c->to_size)
			memcpy(target + c->to, source + c->from, c->to_size);
		else if (number_put(target + c->to, c->to_size,
				    bf_number_at(source + c->from, c->from_size)))
			return -ERANGE;
	}
	return 0;
}
