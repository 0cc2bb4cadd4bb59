// SPDX-License-Identifier: Apache-2.0
/* Walks the hash maps: counting, and removing what belongs to an endpoint. */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Elements read by one call: no bucket of these maps is ever as long. */
#define BATCH 2048u

/* Calls fn for batches of keys until all were seen. The map may change meanwhile. */
static int walk(int map_fd, size_t key_size, size_t value_size,
		int (*fn)(void *arg, int map_fd, const uint8_t *keys, uint32_t n), void *arg)
{
	uint8_t *keys = malloc(BATCH * key_size), *values = malloc(BATCH * value_size);
	uint32_t n, in = 0, out = 0;
	bool first = true, more = true;
	int ret = keys && values ? 0 : -ENOMEM;

	while (!ret && more) {
		n = BATCH;
		if (bpf_map_lookup_batch(map_fd, first ? NULL : &in, &out, keys, values, &n,
					 NULL)) {
			more = false;
			if (errno != ENOENT) /* the end */
				ret = -errno;
		}
		if (!ret && n)
			ret = fn(arg, map_fd, keys, n);
		in = out;
		first = false;
	}
	free(keys);
	free(values);
	return ret;
}

static int count(void *arg, int map_fd, const uint8_t *keys, uint32_t n)
{
	(void)map_fd;
	(void)keys;
	*(uint32_t *)arg += n;
	return 0;
}

int bf_map_count(int map_fd, size_t key_size, size_t value_size, uint32_t *out)
{
	*out = 0;
	return walk(map_fd, key_size, value_size, count, out);
}

/* What belongs to an endpoint: `slot` stands in the key. */
struct owned {
	size_t key_size;
	size_t slot_at; /* where in the key, bytes */
	uint16_t slot;
};

static int remove_owned(void *arg, int map_fd, const uint8_t *keys, uint32_t n)
{
	const struct owned *o = arg;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *key = keys + i * o->key_size;

		if (!memcmp(key + o->slot_at, &o->slot, sizeof(o->slot)) &&
		    bpf_map_delete_elem(map_fd, key) < 0 && errno != ENOENT)
			return -errno;
	}
	return 0;
}

int bf_flows_remove(struct bf_datapath *dp, uint16_t slot)
{
	struct owned flows = {sizeof(struct bpfast_flow_key),
			      offsetof(struct bpfast_flow_key, endpoint), slot};
	struct owned frags = {sizeof(struct bpfast_frag_key),
			      offsetof(struct bpfast_frag_key, endpoint), slot};
	int ret = walk(dp->map[BF_MAP_FLOW], flows.key_size, sizeof(struct bpfast_flow),
		       remove_owned, &flows);

	if (!ret)
		ret = bf_chunks_remove(dp, slot);
	if (ret)
		return ret;
	return walk(dp->map[BF_MAP_FRAG], frags.key_size, sizeof(struct bpfast_frag), remove_owned,
		    &frags);
}
