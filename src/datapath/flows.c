// SPDX-License-Identifier: Apache-2.0
/* Walks the hash maps: counting, and removing what belongs to an endpoint. */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
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

static int remove_flows(void *arg, int map_fd, const uint8_t *keys, uint32_t n)
{
	const struct bpfast_flow_key *key = (const void *)keys;
	uint16_t slot = *(uint16_t *)arg;

	for (uint32_t i = 0; i < n; i++)
		if (key[i].endpoint == slot && bpf_map_delete_elem(map_fd, &key[i]) < 0 &&
		    errno != ENOENT)
			return -errno;
	return 0;
}

static int remove_frags(void *arg, int map_fd, const uint8_t *keys, uint32_t n)
{
	const struct bpfast_frag_key *key = (const void *)keys;
	uint16_t slot = *(uint16_t *)arg;

	for (uint32_t i = 0; i < n; i++)
		if (key[i].endpoint == slot && bpf_map_delete_elem(map_fd, &key[i]) < 0 &&
		    errno != ENOENT)
			return -errno;
	return 0;
}

int bf_flows_remove(struct bf_datapath *dp, uint16_t slot)
{
	int ret = walk(dp->map[BF_MAP_FLOW], sizeof(struct bpfast_flow_key),
		       sizeof(struct bpfast_flow), remove_flows, &slot);

	if (ret)
		return ret;
	return walk(dp->map[BF_MAP_FRAG], sizeof(struct bpfast_frag_key),
		    sizeof(struct bpfast_frag), remove_frags, &slot);
}
