// SPDX-License-Identifier: Apache-2.0
#include "policy/read_tree.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

struct anchor {
	char *name;
	struct bf_node *node;
	struct anchor *next;
};

struct bf_tree {
	yaml_parser_t parser;
	const char *text;
	size_t len;
	struct bf_node *nodes; /* all of the present document */
	struct anchor *anchors; /* likewise; the newest first */
	uint32_t total; /* nodes of the whole text, aliases written out */
	bool ended;
};

static int fail(struct bf_tree_error *err, size_t line, size_t column, const char *msg)
{
	err->line = (int)line + 1;
	err->column = (int)column + 1;
	snprintf(err->msg, sizeof(err->msg), "%s", msg);
	return -EINVAL;
}

static int fail_mark(struct bf_tree_error *err, const yaml_mark_t *mark, const char *msg)
{
	return fail(err, mark->line, mark->column, msg);
}

static void drop_document(struct bf_tree *tree)
{
	while (tree->nodes) {
		struct bf_node *node = tree->nodes;

		tree->nodes = node->allocated;
		if (node->type == BF_NODE_SCALAR)
			free(node->text);
		else
			free(node->v);
		free(node);
	}
	while (tree->anchors) {
		struct anchor *a = tree->anchors;

		tree->anchors = a->next;
		free(a->name);
		free(a);
	}
}

int bf_tree_open(struct bf_tree **out, const char *text, size_t len, struct bf_tree_error *err)
{
	struct bf_tree *tree;
	char msg[120];

	if (len > BF_TREE_MAX_BYTES) {
		snprintf(msg, sizeof(msg),
			 "the text has %zu bytes; at most %u are read: split it into several files",
			 len, BF_TREE_MAX_BYTES);
		return fail(err, 0, 0, msg);
	}
	tree = calloc(1, sizeof(*tree));
	if (!tree)
		return -ENOMEM;
	if (!yaml_parser_initialize(&tree->parser)) {
		free(tree);
		return -ENOMEM;
	}
	tree->text = text;
	tree->len = len;
	yaml_parser_set_encoding(&tree->parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&tree->parser, (const unsigned char *)text, len);
	*out = tree;
	return 0;
}

void bf_tree_close(struct bf_tree *tree)
{
	if (!tree)
		return;
	drop_document(tree);
	yaml_parser_delete(&tree->parser);
	free(tree);
}

/* The byte at a place of the text, counted as the parser counts; 0 if unknown. */
static char byte_at(const struct bf_tree *tree, const yaml_mark_t *mark)
{
	size_t line = 0, i = 0;

	while (i < tree->len && line < mark->line)
		if (tree->text[i++] == '\n')
			line++;
	i += mark->column; /* exact as long as the line is ASCII up to there */
	return i < tree->len ? tree->text[i] : 0;
}

static int parser_error(const struct bf_tree *tree, struct bf_tree_error *err)
{
	const yaml_parser_t *p = &tree->parser;
	const char *problem = p->problem ? p->problem : "cannot be read";
	yaml_mark_t mark = p->problem_mark;
	size_t line = 0, column = 0;
	char msg[240];

	switch (p->error) {
	case YAML_MEMORY_ERROR:
		return -ENOMEM;
	case YAML_READER_ERROR:
		/* The reader knows only a byte offset. */
		for (size_t i = 0; i < p->problem_offset && i < tree->len; i++) {
			column++;
			if (tree->text[i] == '\n') {
				line++;
				column = 0;
			}
		}
		snprintf(msg, sizeof(msg),
			 "%s: the text has to be UTF-8 without control characters", problem);
		return fail(err, line, column, msg);
	default:
		break;
	}
	if (byte_at(tree, &mark) == '\t')
		snprintf(msg, sizeof(msg),
			 "a tab where YAML wants blanks: indent with blanks only");
	else if (p->context)
		snprintf(msg, sizeof(msg),
			 "%s %s (line %zu): check indentation, quotes and brackets", p->context,
			 problem, p->context_mark.line + 1);
	else
		snprintf(msg, sizeof(msg), "%s: check indentation, quotes and brackets", problem);
	return fail_mark(err, &mark, msg);
}

static struct bf_node *new_node(struct bf_tree *tree, enum bf_node_type type,
				const yaml_mark_t *mark)
{
	struct bf_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->type = type;
	node->line = (int)mark->line + 1;
	node->column = (int)mark->column + 1;
	node->size = 1;
	node->allocated = tree->nodes;
	tree->nodes = node;
	return node;
}

static int count(struct bf_tree *tree, uint32_t size, const yaml_mark_t *mark,
		 struct bf_tree_error *err)
{
	char msg[120];

	if (size <= BF_TREE_MAX_NODES && tree->total <= BF_TREE_MAX_NODES - size) {
		tree->total += size;
		return 0;
	}
	snprintf(msg, sizeof(msg),
		 "more than %u values, aliases written out: split it into several files",
		 BF_TREE_MAX_NODES);
	return fail_mark(err, mark, msg);
}

static int append(struct bf_node *list, struct bf_node *node)
{
	if (list->n == list->cap) {
		size_t cap = list->cap ? list->cap * 2 : 4;
		struct bf_node **v = reallocarray(list->v, cap, sizeof(*v));

		if (!v)
			return -ENOMEM;
		list->v = v;
		list->cap = cap;
	}
	list->v[list->n++] = node;
	list->size += node->size; /* cannot wrap: count() bounds what is below */
	return 0;
}

static int set_anchor(struct bf_tree *tree, const yaml_char_t *name, struct bf_node *node)
{
	struct anchor *a;

	if (!name)
		return 0;
	a = malloc(sizeof(*a));
	if (!a)
		return -ENOMEM;
	a->name = strdup((const char *)name);
	if (!a->name) {
		free(a);
		return -ENOMEM;
	}
	a->node = node;
	a->next = tree->anchors;
	tree->anchors = a;
	return 0;
}

static int read_alias(struct bf_tree *tree, const yaml_event_t *event, struct bf_node **out,
		      struct bf_tree_error *err)
{
	const char *name = (const char *)event->data.alias.anchor;
	char msg[200];

	for (struct anchor *a = tree->anchors; a; a = a->next) {
		if (strcmp(a->name, name))
			continue;
		if (a->node->open) {
			snprintf(msg, sizeof(msg), "the alias *%.64s stands inside its own anchor",
				 name);
			return fail_mark(err, &event->start_mark, msg);
		}
		*out = a->node;
		return count(tree, a->node->size, &event->start_mark, err);
	}
	snprintf(msg, sizeof(msg), "the alias *%.64s has no anchor &%.64s before it", name, name);
	return fail_mark(err, &event->start_mark, msg);
}

static int refuse_tag(const yaml_event_t *event, const yaml_char_t *tag, struct bf_tree_error *err)
{
	char msg[200];

	snprintf(msg, sizeof(msg), "the tag %.100s is not read here: leave it out",
		 (const char *)tag);
	return fail_mark(err, &event->start_mark, msg);
}

static int read_scalar(struct bf_tree *tree, const yaml_event_t *event, struct bf_node **out,
		       struct bf_tree_error *err)
{
	const yaml_char_t *tag = event->data.scalar.tag;
	size_t len = event->data.scalar.length;
	struct bf_node *node;
	int ret;

	ret = count(tree, 1, &event->start_mark, err);
	if (ret)
		return ret;
	if (tag && strcmp((const char *)tag, "!") && strcmp((const char *)tag, YAML_STR_TAG))
		return refuse_tag(event, tag, err);
	/* The model's texts are C strings: a NUL would hide what follows it. */
	if (memchr(event->data.scalar.value, 0, len))
		return fail_mark(err, &event->start_mark, "a NUL character: take it out");
	node = new_node(tree, BF_NODE_SCALAR, &event->start_mark);
	if (!node)
		return -ENOMEM;
	node->text = strdup((const char *)event->data.scalar.value);
	if (!node->text)
		return -ENOMEM;
	node->len = len;
	node->plain = !tag && event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	*out = node;
	return set_anchor(tree, event->data.scalar.anchor, node);
}

static int read_node(struct bf_tree *tree, const yaml_event_t *event, unsigned int depth,
		     struct bf_node **out, struct bf_tree_error *err);

static int read_children(struct bf_tree *tree, struct bf_node *node, yaml_event_type_t end,
			 unsigned int depth, struct bf_tree_error *err)
{
	for (;;) {
		struct bf_node *child = NULL;
		yaml_event_t event;
		int ret;

		if (!yaml_parser_parse(&tree->parser, &event))
			return parser_error(tree, err);
		if (event.type == end) {
			yaml_event_delete(&event);
			return 0;
		}
		ret = read_node(tree, &event, depth, &child, err);
		yaml_event_delete(&event);
		if (ret)
			return ret;
		ret = append(node, child);
		if (ret)
			return ret;
	}
}

static int read_collection(struct bf_tree *tree, const yaml_event_t *event, unsigned int depth,
			   struct bf_node **out, struct bf_tree_error *err)
{
	bool map = event->type == YAML_MAPPING_START_EVENT;
	const yaml_char_t *tag =
		map ? event->data.mapping_start.tag : event->data.sequence_start.tag;
	const yaml_char_t *anchor =
		map ? event->data.mapping_start.anchor : event->data.sequence_start.anchor;
	struct bf_node *node;
	char msg[80];
	int ret;

	if (depth >= BF_TREE_MAX_DEPTH) {
		snprintf(msg, sizeof(msg), "nested deeper than %u levels", BF_TREE_MAX_DEPTH);
		return fail_mark(err, &event->start_mark, msg);
	}
	ret = count(tree, 1, &event->start_mark, err);
	if (ret)
		return ret;
	if (tag && strcmp((const char *)tag, "!") &&
	    strcmp((const char *)tag, map ? YAML_MAP_TAG : YAML_SEQ_TAG))
		return refuse_tag(event, tag, err);
	node = new_node(tree, map ? BF_NODE_MAP : BF_NODE_LIST, &event->start_mark);
	if (!node)
		return -ENOMEM;
	ret = set_anchor(tree, anchor, node);
	if (ret)
		return ret;
	node->open = true;
	ret = read_children(tree, node, map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT,
			    depth + 1, err);
	node->open = false;
	*out = node;
	return ret;
}

static int read_node(struct bf_tree *tree, const yaml_event_t *event, unsigned int depth,
		     struct bf_node **out, struct bf_tree_error *err)
{
	switch (event->type) {
	case YAML_ALIAS_EVENT:
		return read_alias(tree, event, out, err);
	case YAML_SCALAR_EVENT:
		return read_scalar(tree, event, out, err);
	case YAML_SEQUENCE_START_EVENT:
	case YAML_MAPPING_START_EVENT:
		return read_collection(tree, event, depth, out, err);
	default:
		return fail_mark(err, &event->start_mark, "cannot be read");
	}
}

int bf_tree_next(struct bf_tree *tree, struct bf_node **root, struct bf_tree_error *err)
{
	*root = NULL;
	drop_document(tree);
	while (!tree->ended) {
		yaml_event_t event;
		int ret = 0;

		if (!yaml_parser_parse(&tree->parser, &event)) {
			tree->ended = true;
			return parser_error(tree, err);
		}
		switch (event.type) {
		case YAML_STREAM_END_EVENT:
		case YAML_NO_EVENT:
			tree->ended = true;
			break;
		case YAML_STREAM_START_EVENT:
		case YAML_DOCUMENT_START_EVENT:
			break;
		case YAML_DOCUMENT_END_EVENT:
			ret = 1;
			break;
		default:
			ret = read_node(tree, &event, 0, root, err);
		}
		yaml_event_delete(&event);
		if (ret < 0)
			tree->ended = true;
		if (ret)
			return ret;
	}
	return 0;
}

static bool one_of(const char *text, const char *const *words)
{
	for (; *words; words++)
		if (!strcmp(text, *words))
			return true;
	return false;
}

static bool is_int(const char *s)
{
	const char *digits = "0123456789_";

	if (*s == '+' || *s == '-')
		s++;
	if (s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		digits = "0123456789abcdefABCDEF_";
		s += 2;
	} else if (s[0] == '0' && (s[1] == 'o' || s[1] == 'b')) {
		s += 2;
	} else if (*s == '_') {
		return false;
	}
	return *s && s[strspn(s, digits)] == 0;
}

static bool is_float(const char *s)
{
	static const char *const words[] = {".inf", ".Inf", ".INF", ".nan", ".NaN", ".NAN", NULL};
	size_t whole, part = 0;

	if (*s == '+' || *s == '-')
		s++;
	if (one_of(s, words))
		return true;
	whole = strspn(s, "0123456789_");
	if (*s == '_')
		return false;
	s += whole;
	if (*s == '.') {
		s++;
		part = strspn(s, "0123456789_");
		s += part;
	}
	if (!whole && !part)
		return false;
	if (*s == 'e' || *s == 'E') {
		s++;
		if (*s == '+' || *s == '-')
			s++;
		part = strspn(s, "0123456789");
		if (!part)
			return false;
		s += part;
	}
	return !*s;
}

enum bf_scalar bf_scalar_kind(const struct bf_node *node)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
	static const char *const bools[] = {"true",  "True",  "TRUE", "false",
					    "False", "FALSE", NULL};
	static const char *const words[] = {"yes", "no", "on", "off", "y", "n", NULL};
	const char *s = node->text;
	char lower[4] = "";

	if (!node->plain)
		return BF_SCALAR_STRING;
	if (one_of(s, nulls))
		return BF_SCALAR_NULL;
	if (one_of(s, bools))
		return BF_SCALAR_BOOL;
	if (node->len <= 3) {
		for (size_t i = 0; i < node->len; i++)
			lower[i] = s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i];
		if (one_of(lower, words))
			return BF_SCALAR_WORD;
	}
	if (is_int(s))
		return BF_SCALAR_INT;
	return is_float(s) ? BF_SCALAR_FLOAT : BF_SCALAR_STRING;
}

static json_t *scalar_json(const struct bf_node *node)
{
	char *end;
	long long n;

	switch (bf_scalar_kind(node)) {
	case BF_SCALAR_NULL:
		return json_null();
	case BF_SCALAR_BOOL:
		return json_boolean(node->text[0] == 't' || node->text[0] == 'T');
	case BF_SCALAR_INT:
		errno = 0;
		n = strtoll(node->text, &end, 10);
		/* Another spelling than plain decimal stays the text that it is. */
		if (!errno && !*end && (node->text[0] != '0' || node->len == 1))
			return json_integer(n);
		break;
	default:
		break;
	}
	return json_stringn(node->text, node->len);
}

json_t *bf_node_json(const struct bf_node *node)
{
	json_t *json;
	int ret = 0;

	if (node->type == BF_NODE_SCALAR)
		return scalar_json(node);
	json = node->type == BF_NODE_MAP ? json_object() : json_array();
	if (!json)
		return NULL;
	if (node->type == BF_NODE_LIST) {
		for (size_t i = 0; i < node->n && !ret; i++)
			ret = json_array_append_new(json, bf_node_json(node->v[i]));
	} else {
		for (size_t i = 0; i + 1 < node->n && !ret; i += 2)
			if (node->v[i]->type == BF_NODE_SCALAR)
				ret = json_object_set_new(json, node->v[i]->text,
							  bf_node_json(node->v[i + 1]));
	}
	if (ret) {
		json_decref(json);
		return NULL;
	}
	return json;
}
