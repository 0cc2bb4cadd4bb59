// SPDX-License-Identifier: Apache-2.0
/* The retention pool, from outside: how full it is, and what a removed endpoint left in it. */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>

#include "bpfast/retain.h"

/* What each endpoint holds, by slot: malloc'ed. NULL: *error says why. */
static uint32_t *read_held(const struct bf_datapath *dp, int *error)
{
	uint32_t *keys = calloc(BPFAST_ENDPOINTS_MAX, sizeof(*keys));
	uint32_t *held = calloc(BPFAST_ENDPOINTS_MAX, sizeof(*held));
	uint32_t next = 0, n = BPFAST_ENDPOINTS_MAX;
	int ret = keys && held ? 0 : -ENOMEM;

	if (!ret && bpf_map_lookup_batch(dp->map[BF_MAP_HELD], NULL, &next, keys, held, &n, NULL) &&
	    errno != ENOENT) /* that there are no more */
		ret = -errno;
	free(keys);
	if (ret) {
		free(held);
		held = NULL;
	}
	*error = ret;
	return held;
}

int bf_chunks_used(const struct bf_datapath *dp, uint32_t *out)
{
	int ret;
	uint32_t *held = read_held(dp, &ret);

	*out = 0;
	for (uint32_t i = 0; held && i < BPFAST_ENDPOINTS_MAX; i++)
		*out += held[i];
	free(held);
	return ret;
}

static int give_back(const struct bf_datapath *dp, uint32_t index, struct bpfast_chunk *chunk)
{
	chunk->owner = 0;
	if (bpf_map_update_elem(dp->map[BF_MAP_CHUNK], &index, chunk, BPF_ANY) < 0 ||
	    bpf_map_update_elem(dp->map[BF_MAP_FREE], NULL, &index, BPF_ANY) < 0)
		return -errno;
	return 0;
}

int bf_chunks_remove(const struct bf_datapath *dp, uint16_t slot)
{
	uint32_t key = slot, held = 0, zero = 0;
	struct bpfast_chunk chunk;
	struct bpfast_pool pool;
	int ret = 0;

	if (slot >= BPFAST_ENDPOINTS_MAX) /* an interface that was closed because nobody knew it */
		return 0;
	if (bpf_map_lookup_elem(dp->map[BF_MAP_HELD], &key, &held) < 0 ||
	    bpf_map_lookup_elem(dp->map[BF_MAP_POOL], &zero, &pool) < 0)
		return -errno;
	for (uint32_t i = 0; !ret && held && i < dp->chunks_max && i < pool.fresh; i++) {
		if (bpf_map_lookup_elem(dp->map[BF_MAP_CHUNK], &i, &chunk) < 0)
			return -errno;
		if (chunk.owner && chunk.endpoint == slot)
			ret = give_back(dp, i, &chunk);
	}
	held = 0;
	if (!ret && bpf_map_update_elem(dp->map[BF_MAP_HELD], &key, &held, BPF_ANY) < 0)
		ret = -errno;
	return ret;
}

int bf_chunks_keep(const struct bf_datapath *dp, const bool *kept)
{
	int ret;
	uint32_t *held = read_held(dp, &ret);

	for (uint32_t i = 0; held && !ret && i < BPFAST_ENDPOINTS_MAX; i++)
		if (held[i] && !kept[i])
			ret = bf_chunks_remove(dp, (uint16_t)i);
	free(held);
	return ret;
}
