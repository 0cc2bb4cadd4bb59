// SPDX-License-Identifier: Apache-2.0
#include "match/rx.h"

#include <string.h>

#include "match/array.h"

void bf_rx_free(struct bf_rx *rx)
{
	free(rx->nodes);
	free(rx->words);
	free(rx->table);
	memset(rx, 0, sizeof(*rx));
}

static uint32_t mul_sat(uint32_t a, uint32_t b)
{
	uint64_t m = (uint64_t)a * b;

	return m > UINT32_MAX ? UINT32_MAX : (uint32_t)m;
}

static uint32_t add_sat(uint32_t a, uint32_t b)
{
	return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

static void measure(const struct bf_rx *rx, struct bf_rx_node *node)
{
	const uint32_t *words = rx->words + node->words;
	const struct bf_rx_node *child;
	uint32_t copies;

	node->weight = 1;
	node->repeat = 1;
	node->depth = 1;
	switch (node->op) {
	case BF_RX_CLASS:
		/* A range over ASCII becomes several byte sequences. */
		for (uint32_t i = 0; i < node->count; i += 2)
			node->weight = add_sat(node->weight, words[i + 1] < 0x80 ? 0 : 12);
		break;
	case BF_RX_CAT:
	case BF_RX_ALT:
		for (uint32_t i = 0; i < node->count; i++) {
			child = &rx->nodes[words[i]];
			node->weight = add_sat(node->weight, child->weight);
			if (child->repeat > node->repeat)
				node->repeat = child->repeat;
			if (child->depth >= node->depth)
				node->depth = child->depth + 1;
		}
		break;
	case BF_RX_REPEAT:
		child = &rx->nodes[words[0]];
		copies = words[2] == BF_RX_INF ? words[1] : words[2];
		if (!copies)
			copies = 1;
		node->weight = add_sat(mul_sat(child->weight, copies), 1);
		node->repeat = mul_sat(child->repeat, copies);
		node->depth = child->depth + 1;
		break;
	default:
		break;
	}
}

static int grow_table(struct bf_rx *rx)
{
	size_t size = rx->table_size ? rx->table_size * 2 : 256;
	uint32_t *table = calloc(size, sizeof(*table));

	if (!table)
		return -ENOMEM;
	for (size_t n = 0; n < rx->count; n++) {
		size_t i = rx->nodes[n].hash & (size - 1);

		while (table[i])
			i = (i + 1) & (size - 1);
		table[i] = (uint32_t)n + 1;
	}
	free(rx->table);
	rx->table = table;
	rx->table_size = size;
	return 0;
}

int bf_rx_intern(struct bf_rx *rx, enum bf_rx_op op, const uint32_t *words, size_t count,
		 uint32_t *id)
{
	uint64_t hash = bf_hash_words(op + 1, words, count);
	struct bf_rx_node *node;
	size_t i;

	if ((rx->count + 1) * 2 > rx->table_size && grow_table(rx))
		return -ENOMEM;
	for (i = hash & (rx->table_size - 1); rx->table[i]; i = (i + 1) & (rx->table_size - 1)) {
		node = &rx->nodes[rx->table[i] - 1];
		if (node->hash == hash && node->op == (uint32_t)op && node->count == count &&
		    (!count || !memcmp(rx->words + node->words, words, count * sizeof(*words)))) {
			*id = rx->table[i] - 1;
			return 0;
		}
	}
	if (bf_array_grow(&rx->nodes, &rx->nodes_cap, rx->count + 1, sizeof(*rx->nodes)) ||
	    bf_array_grow(&rx->words, &rx->words_cap, rx->word_count + count + 1,
			  sizeof(*rx->words)))
		return -ENOMEM;
	if (rx->word_count + count > UINT32_MAX)
		return -ENOMEM;
	node = &rx->nodes[rx->count];
	node->op = op;
	node->words = (uint32_t)rx->word_count;
	node->count = (uint32_t)count;
	node->hash = hash;
	if (count)
		memcpy(rx->words + rx->word_count, words, count * sizeof(*words));
	rx->word_count += count;
	measure(rx, node);
	rx->table[i] = (uint32_t)rx->count + 1;
	*id = (uint32_t)rx->count++;
	return 0;
}
