// SPDX-License-Identifier: Apache-2.0
/* Who is blocked towards one pod: the map is all there is of it, and only the agent writes there. */
#include <bpf/bpf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "datapath/shield/internal.h"

static int by_key(const void *a, const void *b)
{
	const struct bf_shield_bar *x = a, *y = b;

	return memcmp(&x->key, &y->key, sizeof(x->key));
}

int bf_shield_bars(struct bf_shield *s, struct bf_shield_bar **out, size_t *n)
{
	/* As many as the map can have: it all comes in one call. */
	uint32_t count = BPFAST_SHIELD_BARS, at;
	struct bpfast_shield_bar_key *keys = malloc(count * sizeof(*keys));
	struct bpfast_shield_bar *values = malloc(count * sizeof(*values));
	struct bf_shield_bar *all = malloc(count * sizeof(*all));
	int ret = keys && values && all ? 0 : -ENOMEM;

	*out = NULL;
	*n = 0;
	if (!ret &&
	    bpf_map_lookup_batch(s->map[BF_SHIELD_MAP_BAR], NULL, &at, keys, values, &count, NULL) <
		    0 &&
	    errno != ENOENT)
		ret = -errno;
	for (uint32_t i = 0; !ret && i < count; i++)
		all[i] = (struct bf_shield_bar){keys[i], values[i]};
	free(keys);
	free(values);
	if (ret) {
		free(all);
		return ret;
	}
	qsort(all, count, sizeof(*all), by_key);
	*out = all;
	*n = count;
	return 0;
}

static void count_is(struct bf_shield *s, uint32_t n)
{
	__atomic_store_n(&s->control->bars, n, __ATOMIC_RELEASE);
}

void bf_shield_bars_count(struct bf_shield *s)
{
	struct bf_shield_bar *all;
	size_t n;

	if (bf_shield_bars(s, &all, &n))
		n = BPFAST_SHIELD_BARS; /* one look more a packet is better than none */
	else
		free(all);
	count_is(s, (uint32_t)n);
}

int bf_shield_bar_put(struct bf_shield *s, const struct bf_shield_bar *bar)
{
	struct bpfast_shield_bar until = bar->until, was;
	int fd = s->map[BF_SHIELD_MAP_BAR];
	bool had = !bpf_map_lookup_elem(fd, &bar->key, &was);

	if (had && was.all_ns > until.all_ns)
		until.all_ns = was.all_ns;
	if (had && was.syn_ns > until.syn_ns)
		until.syn_ns = was.syn_ns;
	if (bpf_map_update_elem(fd, &bar->key, &until, BPF_ANY) < 0)
		return -errno;
	if (!had)
		count_is(s, s->control->bars + 1);
	return 0;
}

int bf_shield_bar_remove(struct bf_shield *s, const struct bpfast_shield_bar_key *key)
{
	if (bpf_map_delete_elem(s->map[BF_SHIELD_MAP_BAR], key) < 0)
		return -errno;
	count_is(s, s->control->bars - 1);
	return 0;
}
