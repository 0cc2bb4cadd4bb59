// SPDX-License-Identifier: Apache-2.0
/* Walks the hash maps: counting, and removing what belongs to an endpoint. */
#include "datapath/internal.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Elements read by one call: no bucket of these maps is ever as long. */
#define BATCH 2048u

int bf_map_walk(int map_fd, size_t key_size, size_t value_size,
		int (*fn)(void *arg, int map_fd, const uint8_t *keys, const uint8_t *values,
			  uint32_t n),
		void *arg)
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
			ret = fn(arg, map_fd, keys, values, n);
		in = out;
		first = false;
	}
	free(keys);
	free(values);
	return ret;
}

static int count(void *arg, int map_fd, const uint8_t *keys, const uint8_t *values, uint32_t n)
{
	(void)map_fd;
	(void)keys;
	(void)values;
	*(uint32_t *)arg += n;
	return 0;
}

int bf_map_count(int map_fd, size_t key_size, size_t value_size, uint32_t *out)
{
	*out = 0;
	return bf_map_walk(map_fd, key_size, value_size, count, out);
}

int bf_map_sum(int map_fd, uint32_t index, void *out, size_t size)
{
	size_t words = size / sizeof(uint64_t);
	int cpus = libbpf_num_possible_cpus(), ret = 0;
	uint64_t *all, *sum = out;

	memset(out, 0, size);
	if (cpus < 0)
		return cpus;
	all = calloc((size_t)cpus, size);
	if (!all)
		return -ENOMEM;
	if (bpf_map_lookup_elem(map_fd, &index, all) < 0)
		ret = -errno;
	for (size_t i = 0; !ret && i < words * (size_t)cpus; i++)
		sum[i % words] += all[i];
	free(all);
	return ret;
}

static int by_slot(void *arg, int map_fd, const uint8_t *keys, const uint8_t *values, uint32_t n)
{
	const struct bpfast_flow_key *key = (const void *)keys;
	uint32_t *slots = arg;

	(void)map_fd;
	(void)values;
	for (uint32_t i = 0; i < n; i++)
		if (key[i].endpoint < BPFAST_ENDPOINTS_MAX)
			slots[key[i].endpoint]++;
	return 0;
}

int bf_flows_by_slot(const struct bf_datapath *dp, uint32_t *n)
{
	memset(n, 0, BPFAST_ENDPOINTS_MAX * sizeof(*n));
	return bf_map_walk(dp->map[BF_MAP_FLOW], sizeof(struct bpfast_flow_key),
			   sizeof(struct bpfast_flow), by_slot, n);
}

/* What belongs to endpoints: a slot stands in the key. */
struct owned {
	size_t key_size;
	size_t slot_at; /* where in the key, bytes */
	uint16_t slot; /* of the one; or */
	const bool *kept; /* all but these, by slot */
	bool inspected; /* flows: only inspected ones */
	struct bf_datapath *dp; /* whose counts go down with each; NULL: they are not counted */
};

static int remove_owned(void *arg, int map_fd, const uint8_t *keys, const uint8_t *values,
			uint32_t n)
{
	const struct owned *o = arg;

	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *key = keys + i * o->key_size;
		const struct bpfast_flow *flow = (const struct bpfast_flow *)values + i;
		uint16_t slot;

		if (o->inspected && !(flow->flags & BPFAST_FF_HTTP))
			continue;
		memcpy(&slot, key + o->slot_at, sizeof(slot));
		if (o->kept ? o->kept[slot] : slot != o->slot)
			continue;
		if (bpf_map_delete_elem(map_fd, key) < 0) {
			if (errno != ENOENT)
				return -errno;
		} else if (o->dp) {
			bf_quota_give(o->dp, slot);
		}
	}
	return 0;
}

static int remove_of(struct bf_datapath *dp, uint16_t slot, const bool *kept)
{
	struct owned flows = {sizeof(struct bpfast_flow_key),
			      offsetof(struct bpfast_flow_key, endpoint),
			      slot,
			      kept,
			      false,
			      dp};
	struct owned frags = {sizeof(struct bpfast_frag_key),
			      offsetof(struct bpfast_frag_key, endpoint),
			      slot,
			      kept,
			      false,
			      NULL};
	int ret = bf_map_walk(dp->map[BF_MAP_FLOW], flows.key_size, sizeof(struct bpfast_flow),
			      remove_owned, &flows);

	if (!ret && !kept)
		ret = bf_quota_clear(dp, slot);
	if (!ret)
		ret = kept ? bf_chunks_keep(dp, kept) : bf_chunks_remove(dp, slot);
	if (ret)
		return ret;
	return bf_map_walk(dp->map[BF_MAP_FRAG], frags.key_size, sizeof(struct bpfast_frag),
			   remove_owned, &frags);
}

int bf_flows_remove(struct bf_datapath *dp, uint16_t slot)
{
	return remove_of(dp, slot, NULL);
}

int bf_flows_remove_inspected(struct bf_datapath *dp, uint16_t slot)
{
	struct owned flows = {sizeof(struct bpfast_flow_key),
			      offsetof(struct bpfast_flow_key, endpoint),
			      slot,
			      NULL,
			      true,
			      dp};
	int ret = bf_map_walk(dp->map[BF_MAP_FLOW], flows.key_size, sizeof(struct bpfast_flow),
			      remove_owned, &flows);

	return ret ? ret : bf_chunks_remove(dp, slot);
}

int bf_flows_keep(struct bf_datapath *dp, const bool *kept)
{
	return remove_of(dp, 0, kept);
}
