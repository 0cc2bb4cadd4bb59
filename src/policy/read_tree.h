/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_POLICY_READ_TREE_H
#define BF_POLICY_READ_TREE_H
/*
 * YAML text (and so JSON text, which is YAML) to trees of nodes that know
 * their place in the text. An alias points at the node of its anchor, so a
 * tree may share nodes; it never has a cycle, and its size as written out is
 * bounded (BF_TREE_MAX_NODES), so that walking it is, too.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/* Limits of one text. */
#define BF_TREE_MAX_BYTES (8u << 20)
#define BF_TREE_MAX_NODES 1000000u /* values, those of aliases counted at each use */
#define BF_TREE_MAX_DEPTH 64u

enum bf_node_type { BF_NODE_SCALAR, BF_NODE_LIST, BF_NODE_MAP };

struct bf_node {
	enum bf_node_type type;
	bool plain; /* scalar without quotes: its text may mean a number, a bool, nothing */
	bool open; /* still being read: an alias to it would be a cycle */
	int line, column; /* 1-based */
	uint32_t size; /* nodes below and this one, as written out */
	union {
		struct {
			char *text; /* NUL-terminated; without NUL inside */
			size_t len;
		};
		struct {
			struct bf_node **v; /* map: key, value, key, value ... */
			size_t n; /* entries of v */
			size_t cap;
		};
	};
	struct bf_node *allocated; /* the next one to free */
};

/* What a bare scalar means. */
enum bf_scalar {
	BF_SCALAR_STRING,
	BF_SCALAR_NULL,
	BF_SCALAR_BOOL, /* true, false */
	BF_SCALAR_WORD, /* yes, no, on, off, y, n: a bool to some readers, a text to others */
	BF_SCALAR_INT,
	BF_SCALAR_FLOAT,
};

/* YAML 1.1 (yaml.org/type) as far as Kubernetes' own reader follows it. */
enum bf_scalar bf_scalar_kind(const struct bf_node *node);

struct bf_tree_error {
	int line, column;
	char msg[256];
};

struct bf_tree;

/* text must outlive the tree. 0, -ENOMEM, or -EINVAL with err (too long). */
int bf_tree_open(struct bf_tree **out, const char *text, size_t len, struct bf_tree_error *err);

/*
 * The next document. 1 and *root (NULL for an empty document; valid until the
 * next call), 0 at the end, -ENOMEM, -EINVAL with err: the rest cannot be read.
 */
int bf_tree_next(struct bf_tree *tree, struct bf_node **root, struct bf_tree_error *err);
void bf_tree_close(struct bf_tree *tree);

/* The tree as JSON; NULL without memory. The caller owns it. */
json_t *bf_node_json(const struct bf_node *node);

#endif
