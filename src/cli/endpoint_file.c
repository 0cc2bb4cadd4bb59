// SPDX-License-Identifier: Apache-2.0
#include "cli/endpoint_file.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Takes o: the fields of bf_local_from_json(). */
static int add(struct bf_endpoints *out, json_t *o, struct bf_error *err)
{
	struct bf_local *l;
	int r;

	if (json_is_object(o) && !json_object_get(o, "iface"))
		json_object_set_new(o, "iface", json_string("none"));
	r = bf_local_from_json(o, &l, err);
	if (!r) {
		/* Where they sit does not matter here. */
		l->e.slot = (int)out->n;
		l->ifindex = l->e.slot + 1;
		r = bf_endpoints_add(out, l, err);
		if (r)
			bf_local_free(l);
	}
	json_decref(o);
	return r;
}

/* --- Kubernetes ------------------------------------------------------------------- */

static void pod_ports(const json_t *containers, json_t *ports)
{
	json_t *container, *port;
	size_t i, k;

	json_array_foreach (containers, i, container) {
		json_array_foreach (json_object_get(container, "ports"), k, port) {
			const char *protocol = json_string_value(json_object_get(port, "protocol"));

			if (json_object_get(port, "name"))
				json_array_append_new(
					ports, json_pack("{s:O, s:O?, s:s}", "name",
							 json_object_get(port, "name"), "port",
							 json_object_get(port, "containerPort"),
							 "protocol", protocol ? protocol : "TCP"));
		}
	}
}

/* A v1 Pod as an endpoint's fields; NULL: it has no address of its own (yet). */
static json_t *pod_fields(const json_t *pod)
{
	const json_t *meta = json_object_get(pod, "metadata"), *spec = json_object_get(pod, "spec");
	const json_t *status = json_object_get(pod, "status");
	json_t *ips, *ports, *ip;
	size_t i;

	if (json_is_true(json_object_get(spec, "hostNetwork")))
		return NULL;
	ips = json_array();
	json_array_foreach (json_object_get(status, "podIPs"), i, ip)
		json_array_append(ips, json_object_get(ip, "ip"));
	if (!json_array_size(ips) && json_object_get(status, "podIP"))
		json_array_append(ips, json_object_get(status, "podIP"));
	if (!json_array_size(ips)) {
		json_decref(ips);
		return NULL;
	}
	ports = json_array();
	pod_ports(json_object_get(spec, "containers"), ports);
	return json_pack("{s:O?, s:O?, s:O?, s:o, s:o}", "name", json_object_get(meta, "name"),
			 "namespace", json_object_get(meta, "namespace"), "labels",
			 json_object_get(meta, "labels"), "ips", ips, "ports", ports);
}

static bool is_pod(const json_t *o)
{
	const char *kind = json_string_value(json_object_get(o, "kind"));

	return kind && !strcmp(kind, "Pod");
}

/* --- files ------------------------------------------------------------------------ */

static const json_t *list_of(const json_t *all)
{
	const json_t *list = json_object_get(all, "endpoints");

	if (json_is_array(all))
		return all;
	return list ? list : json_object_get(all, "items");
}

int bf_cli_endpoint_file(const char *file, struct bf_endpoints *out, struct bf_error *err)
{
	json_error_t je;
	json_t *all = json_load_file(file, 0, &je), *item, *fields;
	const json_t *list;
	struct bf_error why;
	size_t i;
	int r = 0;

	if (!all)
		return bf_err(err, -EINVAL,
			      "%s:%d:%d: %s; give what `bpfast endpoint list -o json` or `kubectl "
			      "get pods -o json` prints",
			      file, je.line < 0 ? 1 : je.line, je.column < 0 ? 1 : je.column,
			      je.text);
	list = list_of(all);
	if (!json_is_array(list))
		r = bf_err(err, -EINVAL,
			   "%s:1:1: {\"endpoints\": [...]}, or a List of pods, is expected", file);
	json_array_foreach (list, i, item) {
		fields = is_pod(item) ? pod_fields(item) : json_incref(item);
		r = fields ? add(out, fields, &why) : 0;
		if (r) {
			bf_err(err, r, "%s: endpoint %zu: %s", file, i + 1, why.msg);
			break;
		}
	}
	json_decref(all);
	return r;
}

/* --- words ------------------------------------------------------------------------ */

/* One of the parts behind the name. */
static void add_part(json_t *ips, json_t *labels, const char *part, size_t n)
{
	const char *equals = memchr(part, '=', n);
	char *key;

	if (!equals) {
		json_array_append_new(ips, json_stringn(part, n));
		return;
	}
	key = strndup(part, (size_t)(equals - part));
	if (key)
		json_object_set_new(labels, key,
				    json_stringn(equals + 1, n - (size_t)(equals + 1 - part)));
	free(key);
}

int bf_cli_endpoint_word(const char *word, struct bf_endpoints *out, struct bf_error *err)
{
	const char *equals = strchr(word, '='), *slash = strchr(word, '/'), *name = word, *part;
	json_t *o, *ips = json_array(), *labels = json_object();
	struct bf_error why;
	size_t n;
	int r;

	for (part = equals ? equals + 1 : ""; *part; part += n + (part[n] == ',')) {
		n = strcspn(part, ",");
		add_part(ips, labels, part, n);
	}
	if (!equals || !json_array_size(ips)) {
		json_decref(ips);
		json_decref(labels);
		return bf_err(err, -EINVAL,
			      "'%.80s': [NAMESPACE/]NAME=ADDR[,ADDR...][,KEY=VALUE...] is "
			      "expected, such as shop/web=10.0.0.7,fd00::7,app=web",
			      word);
	}
	o = json_pack("{s:o, s:o}", "ips", ips, "labels", labels);
	if (slash && slash < equals) {
		json_object_set_new(o, "namespace", json_stringn(word, (size_t)(slash - word)));
		name = slash + 1;
	}
	json_object_set_new(o, "name", json_stringn(name, (size_t)(equals - name)));
	r = add(out, o, &why);
	return r ? bf_err(err, r, "'%.80s': %s", word, why.msg) : 0;
}
