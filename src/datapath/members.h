/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_MEMBERS_H
#define BF_DATAPATH_MEMBERS_H
/* Structures of another version, read by the names of their members. */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct btf;

struct bf_member {
	uint32_t at, size; /* bytes */
	uint32_t type; /* BTF id */
};

/* A member by its path, such as "client.next"; unnamed unions do not count as a step. */
bool bf_member_find(const struct btf *btf, uint32_t id, const char *path, struct bf_member *out);

/* A number of 1, 2, 4 or 8 bytes, as this machine writes them. */
uint64_t bf_number_at(const void *from, uint32_t size);

struct bf_copy {
	uint32_t from, from_size, to, to_size;
};

struct bf_plan {
	struct bf_copy *v;
	size_t n, room;
	uint32_t from_size, to_size;
};

/*
 * What both types have under the same names is copied, numbers also where they are longer or
 * shorter; what only `to` has becomes zero. needed: paths that both must have, or NULL.
 * -ENOENT: *missing is not there. -EINVAL: the same name is of another kind.
 */
int bf_plan_make(struct bf_plan *plan, const struct btf *from_btf, uint32_t from_id,
		 const struct btf *to_btf, uint32_t to_id, const char *const *needed,
		 const char **missing);
void bf_plan_free(struct bf_plan *plan);
/* Fills all of `to`. -ERANGE: a number does not fit. */
int bf_plan_run(const struct bf_plan *plan, const void *from, void *to);

#endif
