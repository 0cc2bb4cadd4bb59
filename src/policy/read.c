// SPDX-License-Identifier: Apache-2.0
/* Texts to objects: documents, kinds, metadata, and the all or nothing. */
#include "policy/read.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy/read_kinds.h"
#include "policy/read_syntax.h"

#define NAMESPACE_KIND BF_POLICY_KINDS

/* The key of an object just read. Its texts belong to the object. */
struct key {
	unsigned int kind; /* enum bf_policy_kind, or NAMESPACE_KIND */
	const char *ns; /* "" where there is none */
	const char *name;
	int line, column; /* of the object */
};

/* What a text has given so far. */
struct stage {
	struct bf_reader r;
	struct bf_objects objects;
	struct key *keys;
	size_t key_count;
};

static int key_order(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int order;

	if (x->kind != y->kind)
		return x->kind < y->kind ? -1 : 1;
	order = strcmp(x->ns, y->ns);
	return order ? order : strcmp(x->name, y->name);
}

static int key_order_place(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	int order = key_order(a, b);

	if (order)
		return order;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return (x->column > y->column) - (x->column < y->column);
}

static int text_order(const void *a, const void *b)
{
	const struct bf_node *x = *(struct bf_node *const *)a, *y = *(struct bf_node *const *)b;
	int order = strcmp(x->text, y->text);

	if (order)
		return order;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	return (x->column > y->column) - (x->column < y->column);
}

/* Keys that are no texts, and keys that come twice, anywhere in a tree. */
static void check_keys(struct bf_reader *r, const struct bf_node *node)
{
	struct bf_node **keys;
	size_t n = 0;

	if (node->type == BF_NODE_SCALAR)
		return;
	for (size_t i = node->type == BF_NODE_MAP ? 1 : 0; i < node->n;
	     i += node->type == BF_NODE_MAP ? 2 : 1)
		check_keys(r, node->v[i]);
	if (node->type != BF_NODE_MAP || !node->n)
		return;
	keys = bf_reader_array(r, node->n / 2, sizeof(*keys));
	if (!keys)
		return;
	for (size_t i = 0; i + 1 < node->n; i += 2) {
		if (node->v[i]->type == BF_NODE_SCALAR)
			keys[n++] = node->v[i];
		else
			bf_flaw_at(r, node->v[i]->line, node->v[i]->column,
				   "the key of a mapping has to be a text");
	}
	qsort(keys, n, sizeof(*keys), text_order);
	for (size_t i = 1; i < n; i++)
		if (!strcmp(keys[i]->text, keys[i - 1]->text))
			bf_flaw_at(r, keys[i]->line, keys[i]->column,
				   "duplicate key \"%.64s\", first at line %d: take one out",
				   keys[i]->text, keys[i - 1]->line);
	free(keys);
}

static bool add_key(struct stage *s, unsigned int kind, const char *ns, const char *name,
		    const struct bf_node *node)
{
	struct key *v = reallocarray(s->keys, s->key_count + 1, sizeof(*v));

	if (!v) {
		s->r.no_memory = true;
		return false;
	}
	s->keys = v;
	v[s->key_count++] = (struct key){kind, ns, name, node->line, node->column};
	return true;
}

/* metadata.name and .namespace; texts of the tree. False after a flaw. */
static bool read_metadata(struct bf_reader *r, const struct bf_place *object, bool namespaced,
			  const char **name, const char **ns)
{
	struct bf_place metadata, at;
	unsigned int before = r->flaws;

	*ns = "";
	if (!bf_field_need(r, object, "metadata", &metadata, "add metadata with a name") ||
	    !bf_want_map(r, &metadata))
		return false;
	if (bf_field_need(r, &metadata, "name", &at, "name the object")) {
		*name = bf_want_string(r, &at);
		if (*name && !bf_is_dns_name(*name))
			bf_flaw(r, &at,
				"\"%.64s\" is no name: a-z, 0-9, \"-\" and \".\", up to 253, "
				"letter or digit at both ends",
				*name);
	}
	if (!bf_field_get(r, &metadata, "namespace", &at)) {
		*ns = namespaced ? "default" : "";
		return r->flaws == before;
	}
	if (!namespaced) {
		bf_flaw(r, &at, "this kind has no namespace: take it out");
		return false;
	}
	*ns = bf_want_string(r, &at);
	if (*ns && !bf_is_dns_label(*ns))
		bf_flaw(r, &at,
			"\"%.64s\" is no namespace: a-z, 0-9 and \"-\", up to 63, letter or digit "
			"at both ends",
			*ns);
	return r->flaws == before;
}

static void read_namespace(struct stage *s, const struct bf_place *object)
{
	static const struct bf_field fields[] = {{"apiVersion", NULL}, {"kind", NULL},
						 {"metadata", NULL},   {"spec", NULL},
						 {"status", NULL},     {NULL, NULL}};
	struct bf_reader *r = &s->r;
	struct bf_namespace *v, ns = {0};
	struct bf_place metadata, labels;
	const char *name, *none;

	r->null_is_absent = true;
	bf_fields_check(r, object, fields);
	if (!read_metadata(r, object, false, &name, &none))
		return;
	if (!bf_is_dns_label(name)) {
		bf_flaw(r, object,
			"\"%.64s\" is no name of a namespace: it has no dots, and up to 63 "
			"characters",
			name);
		return;
	}
	ns.name = bf_reader_text(r, name);
	bf_field_get(r, object, "metadata", &metadata);
	if (bf_field_get(r, &metadata, "labels", &labels) && bf_want_map(r, &labels)) {
		const struct bf_node *map = labels.node;

		ns.labels.v = bf_reader_array(r, map->n / 2, sizeof(*ns.labels.v));
		for (size_t i = 0; ns.labels.v && i + 1 < map->n; i += 2) {
			struct bf_place key = {&labels, map->v[i]->text, 0, map->v[i]};
			struct bf_place value = {&labels, map->v[i]->text, 0, map->v[i + 1]};
			const char *text;

			if (key.node->type != BF_NODE_SCALAR || !bf_want_string(r, &key))
				continue;
			text = bf_want_string(r, &value);
			if (!bf_is_label_key(key.node->text))
				bf_flaw(r, &key, "\"%.100s\" is no label key", key.node->text);
			else if (text && !bf_is_label_value(text))
				bf_flaw(r, &value, "\"%.100s\" is no label value", text);
			else if (text) {
				ns.labels.v[ns.labels.n].key = bf_reader_text(r, key.node->text);
				ns.labels.v[ns.labels.n++].value = bf_reader_text(r, text);
			}
		}
	}
	v = reallocarray(s->objects.namespaces, s->objects.namespace_count + 1, sizeof(*v));
	if (!v || !ns.name) {
		r->no_memory = true;
		if (v)
			s->objects.namespaces = v;
		bf_namespace_free(&ns);
		return;
	}
	s->objects.namespaces = v;
	v[s->objects.namespace_count++] = ns;
	add_key(s, NAMESPACE_KIND, "", ns.name, object->node);
}

struct json_text {
	char *v;
	size_t n, cap;
	bool no_memory;
};

static int json_append(const char *bytes, size_t n, void *arg)
{
	struct json_text *t = arg;

	if (t->cap - t->n <= n) {
		size_t cap = 2 * t->cap + n + 64;
		char *v = realloc(t->v, cap);

		if (!v) {
			t->no_memory = true;
			return -1;
		}
		t->v = v;
		t->cap = cap;
	}
	memcpy(t->v + t->n, bytes, n);
	t->n += n;
	t->v[t->n] = 0;
	return 0;
}

/* The object as JSON. Not json_dumps(): jansson 2.14 may give half a text when memory ends. */
static char *json_source(struct bf_reader *r, const struct bf_node *node)
{
	struct json_text text = {0};
	json_t *json = bf_node_json(node);

	if (!json || json_dump_callback(json, json_append, &text, JSON_COMPACT) || text.no_memory) {
		r->no_memory = true;
		free(text.v);
		text.v = NULL;
	}
	json_decref(json);
	return text.v;
}

static struct bf_policy *add_policy(struct stage *s, const struct bf_place *object, const char *ns,
				    const char *name)
{
	struct bf_reader *r = &s->r;
	struct bf_policy *v =
		reallocarray(s->objects.policies, s->objects.policy_count + 1, sizeof(*v));

	if (!v) {
		r->no_memory = true;
		return NULL;
	}
	s->objects.policies = v;
	v += s->objects.policy_count++;
	memset(v, 0, sizeof(*v));
	v->kind = r->kind;
	v->namespace = bf_reader_text(r, ns);
	v->name = bf_reader_text(r, name);
	v->line = object->node->line;
	if (r->file)
		v->file = bf_reader_text(r, r->file);
	v->source = json_source(r, object->node);
	return v;
}

static void read_policy(struct stage *s, const struct bf_place *object)
{
	static const struct bf_field fields[] = {{"apiVersion", NULL}, {"kind", NULL},
						 {"metadata", NULL},   {"spec", NULL},
						 {"status", NULL},     {NULL, NULL}};
	static const struct bf_field cilium[] = {
		{"apiVersion", NULL}, {"kind", NULL},	{"metadata", NULL}, {"spec", NULL},
		{"specs", NULL},      {"status", NULL}, {NULL, NULL}};
	struct bf_reader *r = &s->r;
	bool two = r->kind == BF_CILIUM_POLICY || r->kind == BF_CILIUM_CLUSTER_POLICY;
	bool namespaced = r->kind != BF_CLUSTER_PAYLOAD_POLICY &&
			  r->kind != BF_CILIUM_CLUSTER_POLICY && r->kind != BF_SHIELD_POLICY;
	unsigned int before = r->flaws;
	struct bf_place spec, specs;
	bool has_spec, has_specs = false;
	struct bf_policy *policy;
	const char *name = NULL, *ns = "";
	size_t n = 0;

	r->null_is_absent = r->kind == BF_NETWORK_POLICY;
	bf_fields_check(r, object, two ? cilium : fields);
	/* With a bad name the rest is read all the same, for its flaws. */
	if (!read_metadata(r, object, namespaced, &name, &ns)) {
		name = "unnamed";
		ns = namespaced ? "default" : "";
	}
	r->ns = ns;
	has_spec = bf_field_get(r, object, "spec", &spec);
	if (two)
		has_specs = bf_field_get(r, object, "specs", &specs);
	if (!has_spec && !has_specs && r->flaws == before)
		bf_flaw(r, object, "spec is missing: it is what the policy says");
	if (has_spec && (policy = add_policy(s, object, ns, name))) {
		if (r->kind == BF_NETWORK_POLICY)
			bf_read_network_policy(r, &spec, policy);
		else if (r->kind == BF_SHIELD_POLICY)
			bf_read_shield_policy(r, &spec, policy);
		else
			bf_read_rule_spec(r, &spec, policy);
	}
	if (has_specs && bf_want_list(r, &specs)) {
		n = specs.node->n;
		if (!n && !has_spec)
			bf_flaw(r, &specs, "is an empty list: the policy says nothing");
	}
	for (size_t i = 0; i < n; i++) {
		struct bf_place element = bf_element(&specs, i);

		policy = add_policy(s, object, ns, name);
		if (policy)
			bf_read_rule_spec(r, &element, policy);
	}
	if (r->flaws == before && !r->no_memory && (has_spec || n)) {
		policy = &s->objects.policies[s->objects.policy_count - 1];
		add_key(s, r->kind, policy->namespace, policy->name, object->node);
	}
}

static void read_object(struct stage *s, const struct bf_node *node, unsigned int depth);

static void read_list(struct stage *s, const struct bf_place *object, unsigned int depth)
{
	static const struct bf_field fields[] = {{"apiVersion", NULL},
						 {"kind", NULL},
						 {"metadata", NULL},
						 {"items", NULL},
						 {NULL, NULL}};
	struct bf_reader *r = &s->r;
	struct bf_place items;

	r->null_is_absent = true;
	bf_fields_check(r, object, fields);
	if (!bf_field_get(r, object, "items", &items) || !bf_want_list(r, &items))
		return;
	for (size_t i = 0; i < items.node->n; i++)
		read_object(s, items.node->v[i], depth + 1);
}

static const struct {
	const char *kind, *version;
} kinds[] = {
	[BF_NETWORK_POLICY] = {"NetworkPolicy", "networking.k8s.io/v1"},
	[BF_PAYLOAD_POLICY] = {"PayloadPolicy", "bpfast.io/v1alpha1"},
	[BF_CLUSTER_PAYLOAD_POLICY] = {"ClusterPayloadPolicy", "bpfast.io/v1alpha1"},
	[BF_CILIUM_POLICY] = {"CiliumNetworkPolicy", "cilium.io/v2"},
	[BF_CILIUM_CLUSTER_POLICY] = {"CiliumClusterwideNetworkPolicy", "cilium.io/v2"},
	[BF_SHIELD_POLICY] = {"ShieldPolicy", "bpfast.io/v1alpha1"},
	[NAMESPACE_KIND] = {"Namespace", "v1"},
	[NAMESPACE_KIND + 1] = {"List", "v1"},
};

#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* Which of kinds an object is, or -1 after a flaw. */
static int read_kind(struct bf_reader *r, const struct bf_place *object)
{
	const char *names[KINDS + 1] = {NULL};
	struct bf_place at;
	const char *text, *near;
	int kind = -1;

	for (size_t i = 0; i < KINDS; i++)
		names[i] = kinds[i].kind;
	if (!bf_field_need(r, object, "kind", &at, "an object has apiVersion, kind and metadata"))
		return -1;
	text = bf_want_string(r, &at);
	if (!text)
		return -1;
	for (size_t i = 0; i < KINDS; i++)
		if (!strcmp(text, names[i]))
			kind = (int)i;
	if (kind < 0) {
		near = bf_nearest(text, names);
		if (near)
			bf_flaw(r, &at, "unknown kind \"%.64s\": did you mean \"%s\"?", text, near);
		else
			bf_flaw(r, &at,
				"objects of kind \"%.64s\" are not read: kinds are NetworkPolicy, "
				"PayloadPolicy, ClusterPayloadPolicy, CiliumNetworkPolicy, "
				"CiliumClusterwideNetworkPolicy, ShieldPolicy, Namespace and List",
				text);
		return -1;
	}
	if (!bf_field_need(r, object, "apiVersion", &at, kinds[kind].version))
		return -1;
	text = bf_want_string(r, &at);
	if (!text)
		return -1;
	if (strcmp(text, kinds[kind].version)) {
		bf_flaw(r, &at, "\"%.64s\" is not read: for %s write %s", text, kinds[kind].kind,
			kinds[kind].version);
		return -1;
	}
	return kind;
}

static void read_object(struct stage *s, const struct bf_node *node, unsigned int depth)
{
	struct bf_place object = {.node = node};
	struct bf_reader *r = &s->r;
	int kind;

	if (r->no_memory)
		return;
	if (node->type != BF_NODE_MAP) {
		bf_flaw(r, &object, "an object is a mapping with apiVersion, kind and metadata");
		return;
	}
	r->null_is_absent = false;
	kind = read_kind(r, &object);
	if (kind < 0)
		return;
	if (kind == NAMESPACE_KIND + 1) {
		if (depth)
			bf_flaw(r, &object,
				"a List within a List is not read: write the objects out");
		else
			read_list(s, &object, depth);
	} else if (kind == NAMESPACE_KIND) {
		read_namespace(s, &object);
	} else {
		r->kind = (enum bf_policy_kind)kind;
		read_policy(s, &object);
	}
}

static void check_doubles(struct stage *s)
{
	if (s->key_count)
		qsort(s->keys, s->key_count, sizeof(*s->keys), key_order_place);
	for (size_t i = 1; i < s->key_count; i++) {
		const struct key *a = &s->keys[i - 1], *b = &s->keys[i];

		if (!key_order(a, b))
			bf_flaw_at(&s->r, b->line, b->column,
				   "%s %.64s%s%.64s was there already, at line %d: give it another "
				   "name, or take one out",
				   kinds[b->kind].kind, b->ns, *b->ns ? "/" : "", b->name, a->line);
	}
}

static bool staged(const struct stage *s, unsigned int kind, const char *ns, const char *name)
{
	struct key key = {.kind = kind, .ns = ns, .name = name};

	return s->key_count && bsearch(&key, s->keys, s->key_count, sizeof(key), key_order);
}

/* Moves what was read into *to, in the place of what had the same keys. */
static int commit(struct stage *s, struct bf_objects *to)
{
	struct bf_objects *from = &s->objects;
	struct bf_policy *policies;
	struct bf_namespace *namespaces;
	size_t kept = 0;

	policies = reallocarray(to->policies, to->policy_count + from->policy_count + 1,
				sizeof(*policies));
	if (!policies)
		return -ENOMEM;
	to->policies = policies;
	namespaces = reallocarray(to->namespaces, to->namespace_count + from->namespace_count + 1,
				  sizeof(*namespaces));
	if (!namespaces)
		return -ENOMEM;
	to->namespaces = namespaces;
	/* From here on nothing can fail. */
	for (size_t i = 0; i < to->policy_count; i++) {
		struct bf_policy *p = &policies[i];

		if (staged(s, p->kind, p->namespace, p->name))
			bf_policy_free(p);
		else
			policies[kept++] = *p;
	}
	if (from->policy_count)
		memcpy(policies + kept, from->policies, from->policy_count * sizeof(*policies));
	to->policy_count = kept + from->policy_count;
	from->policy_count = 0;
	kept = 0;
	for (size_t i = 0; i < to->namespace_count; i++) {
		if (staged(s, NAMESPACE_KIND, "", namespaces[i].name))
			bf_namespace_free(&namespaces[i]);
		else
			namespaces[kept++] = namespaces[i];
	}
	if (from->namespace_count)
		memcpy(namespaces + kept, from->namespaces,
		       from->namespace_count * sizeof(*namespaces));
	to->namespace_count = kept + from->namespace_count;
	from->namespace_count = 0;
	return 0;
}

static int read_documents(struct stage *s, const char *text, size_t len)
{
	struct bf_tree_error err;
	struct bf_tree *tree;
	struct bf_node *root;
	int ret;

	ret = bf_tree_open(&tree, text, len, &err);
	if (!ret) {
		while ((ret = bf_tree_next(tree, &root, &err)) > 0) {
			if (!root || (root->type == BF_NODE_SCALAR &&
				      bf_scalar_kind(root) == BF_SCALAR_NULL))
				continue;
			check_keys(&s->r, root);
			read_object(s, root, 0);
		}
		bf_tree_close(tree);
	}
	if (ret == -EINVAL)
		bf_flaw_at(&s->r, err.line, err.column, "%s", err.msg);
	return ret == -EINVAL ? 0 : ret;
}

int bf_objects_read(struct bf_objects *objects, const char *file, const char *text, size_t len,
		    bf_flaw_fn flaw, void *arg)
{
	struct stage s = {.r = {.file = file, .ns = ""}};
	int ret;

	ret = read_documents(&s, text, len);
	if (!ret)
		check_doubles(&s);
	if (s.r.no_memory)
		ret = -ENOMEM;
	else if (!ret && s.r.flaws)
		ret = -EINVAL;
	else if (!ret)
		ret = commit(&s, objects);
	bf_flaws_tell(&s.r, flaw, arg);
	bf_objects_free(&s.objects);
	free(s.keys);
	return ret;
}
