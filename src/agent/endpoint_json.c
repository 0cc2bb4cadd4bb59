// SPDX-License-Identifier: Apache-2.0
/* Endpoints from and to JSON: commands, answers and the state file. */
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/endpoints.h"
#include "observe/names.h"

#define NAME_MAX_LEN 253 /* as Kubernetes: RFC 1123 subdomain */
#define LABELS_MAX 256
#define PORTS_MAX 256

static bool word(const char *s, size_t max, const char *extra)
{
	size_t i;

	for (i = 0; s[i]; i++) {
		bool alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z') ||
			     (s[i] >= '0' && s[i] <= '9');

		if (!alnum && (!i || !s[i + 1] || !strchr(extra, s[i])))
			return false;
	}
	return i > 0 && i <= max;
}

bool bf_namespace_ok(const char *ns)
{
	return word(ns, 63, "-");
}

void bf_labels_free(struct bf_labels *labels)
{
	size_t i;

	for (i = 0; i < labels->n; i++) {
		free(labels->v[i].key);
		free(labels->v[i].value);
	}
	free(labels->v);
	labels->v = NULL;
	labels->n = 0;
}

static int set_label(struct bf_labels *labels, const char *key, const char *value)
{
	char *k, *v = strdup(value);
	struct bf_label *more;
	size_t i;

	if (!v)
		return -ENOMEM;
	for (i = 0; i < labels->n; i++) {
		if (strcmp(labels->v[i].key, key))
			continue;
		free(labels->v[i].value);
		labels->v[i].value = v;
		return 0;
	}
	k = strdup(key);
	more = realloc(labels->v, (labels->n + 1) * sizeof(*more));
	if (more)
		labels->v = more;
	if (!k || !more) {
		free(k);
		free(v);
		return -ENOMEM;
	}
	labels->v[labels->n++] = (struct bf_label){k, v};
	return 0;
}

int bf_labels_copy(struct bf_labels *to, const struct bf_labels *from)
{
	size_t i;

	memset(to, 0, sizeof(*to));
	for (i = 0; i < from->n; i++) {
		if (set_label(to, from->v[i].key, from->v[i].value)) {
			bf_labels_free(to);
			return -ENOMEM;
		}
	}
	return 0;
}

static int check_label(const char *key, const char *value, struct bf_error *err)
{
	if (!word(key, 317, "-_./:"))
		return bf_err(
			err, -EINVAL,
			"label key '%.80s' is not valid: letters, digits, '-', '_', '.' and '/', "
			"beginning and ending with a letter or digit",
			key);
	if (!strcmp(key, BF_KEY_NAMESPACE) ||
	    !strncmp(key, BF_KEY_NS_LABEL_PREFIX, strlen(BF_KEY_NS_LABEL_PREFIX)))
		return bf_err(err, -EINVAL, "label %s is set by --namespace and Namespace objects",
			      key);
	if (value && *value && !word(value, 63, "-_."))
		return bf_err(
			err, -EINVAL,
			"value '%.80s' of label %s is not valid: at most 63 letters, digits, '-', "
			"'_' and '.', beginning and ending with a letter or digit",
			value, key);
	return 0;
}

int bf_labels_change(struct bf_labels *labels, const json_t *change, struct bf_error *err)
{
	struct bf_labels new;
	const char *key;
	json_t *value;
	size_t i;
	int r;

	if (change && !json_is_object(change))
		return bf_err(err, -EINVAL, "labels: an object is expected");
	if (bf_labels_copy(&new, labels))
		return bf_err(err, -ENOMEM, "no memory");
	json_object_foreach ((json_t *)change, key, value) {
		if (!json_is_null(value) && !json_is_string(value)) {
			r = bf_err(err, -EINVAL, "label %.80s: a text is expected", key);
			goto fail;
		}
		r = check_label(key, json_string_value(value), err);
		if (r)
			goto fail;
		if (json_is_string(value)) {
			if (set_label(&new, key, json_string_value(value))) {
				r = bf_err(err, -ENOMEM, "no memory");
				goto fail;
			}
			continue;
		}
		for (i = 0; i < new.n; i++) {
			if (strcmp(new.v[i].key, key))
				continue;
			free(new.v[i].key);
			free(new.v[i].value);
			new.v[i] = new.v[--new.n];
			break;
		}
	}
	if (new.n > LABELS_MAX) {
		r = bf_err(err, -E2BIG, "an endpoint has at most %d labels", LABELS_MAX);
		goto fail;
	}
	bf_labels_free(labels);
	*labels = new;
	return 0;
fail:
	bf_labels_free(&new);
	return r;
}

/* No peer is known by it: unspecified, loopback, multicast, broadcast. */
static bool is_nobodys(const uint8_t addr[16])
{
	static const uint8_t all[4] = {255, 255, 255, 255};
	const uint8_t *v4 = addr + 12;

	if (bf_address_is4(addr))
		return !v4[0] || v4[0] == 127 || v4[0] >> 4 == 14 || !memcmp(v4, all, 4);
	return addr[0] == 0xff || IN6_IS_ADDR_UNSPECIFIED((const struct in6_addr *)addr) ||
	       IN6_IS_ADDR_LOOPBACK((const struct in6_addr *)addr);
}

static int read_addresses(const json_t *ips, struct bf_endpoint *e, struct bf_error *err)
{
	uint8_t addr[16];
	const char *text;
	json_t *ip;
	size_t i, j;

	e->addrs = calloc(BPFAST_ENDPOINT_ADDRS, 16);
	if (!e->addrs)
		return bf_err(err, -ENOMEM, "no memory");
	json_array_foreach (ips, i, ip) {
		text = json_string_value(ip);
		if (!text || bf_address_parse(text, addr))
			return bf_err(
				err, -EINVAL,
				"'%.60s' is not an address; one such as 10.0.0.7 or fd00::7 is "
				"expected, without a prefix length",
				text ? text : "?");
		if (is_nobodys(addr))
			return bf_err(err, -EINVAL,
				      "%s cannot be an endpoint's address: it is unspecified, "
				      "loopback, multicast or broadcast",
				      text);
		for (j = 0; j < e->addr_count && memcmp(e->addrs[j], addr, 16); j++)
			;
		if (j < e->addr_count)
			continue;
		if (e->addr_count == BPFAST_ENDPOINT_ADDRS)
			return bf_err(err, -E2BIG, "an endpoint has at most %d addresses",
				      BPFAST_ENDPOINT_ADDRS);
		memcpy(e->addrs[e->addr_count++], addr, 16);
	}
	return 0;
}

static int read_ports(const json_t *ports, struct bf_endpoint *e, struct bf_error *err)
{
	size_t i, n = json_array_size(ports);
	json_t *p;

	if (n > PORTS_MAX)
		return bf_err(err, -E2BIG, "an endpoint has at most %d named ports", PORTS_MAX);
	e->ports = calloc(n + 1, sizeof(*e->ports));
	if (!e->ports)
		return bf_err(err, -ENOMEM, "no memory");
	json_array_foreach (ports, i, p) {
		const char *name = json_string_value(json_object_get(p, "name"));
		const char *proto = json_string_value(json_object_get(p, "protocol"));
		json_int_t port = json_integer_value(json_object_get(p, "port"));
		int number = bf_protocol_from_name(proto ? proto : "TCP");

		if (!name || !word(name, 63, "-_"))
			return bf_err(err, -EINVAL, "port name '%.60s' is not valid",
				      name ? name : "");
		if (port < 1 || port > 65535)
			return bf_err(err, -EINVAL, "port %s: a number from 1 to 65535 is needed",
				      name);
		if (number != IPPROTO_TCP && number != IPPROTO_UDP && number != IPPROTO_SCTP)
			return bf_err(err, -EINVAL, "port %s: the protocol is TCP, UDP or SCTP",
				      name);
		e->ports[i].name = strdup(name);
		if (!e->ports[i].name)
			return bf_err(err, -ENOMEM, "no memory");
		e->port_count = i + 1;
		e->ports[i].port = (uint16_t)port;
		e->ports[i].protocol = (uint8_t)number;
	}
	return 0;
}

bool bf_container_id_ok(const char *id)
{
	size_t i;

	for (i = 0; id[i]; i++) {
		bool alnum = (id[i] >= 'a' && id[i] <= 'z') || (id[i] >= 'A' && id[i] <= 'Z') ||
			     (id[i] >= '0' && id[i] <= '9');

		if (!alnum && (!i || !strchr("_.-", id[i])))
			return false;
	}
	return i > 0 && i <= BF_CONTAINER_ID_MAX;
}

/* A text of the container, short and without what would not be fit to be shown. */
static int container_text(const json_t *o, const char *key, char **out, struct bf_error *err)
{
	const char *s = json_string_value(json_object_get(o, key));
	size_t i;

	if (!s)
		return 0;
	for (i = 0; s[i] > ' ' && s[i] != 127; i++)
		;
	if (s[i] || !i || i > 253)
		return bf_err(err, -EINVAL,
			      "container %s '%.80s' is not valid: 1 to 253 ASCII characters, none "
			      "of them a blank",
			      key, s);
	*out = strdup(s);
	return *out ? 0 : bf_err(err, -ENOMEM, "no memory");
}

static int read_container(const json_t *o, struct bf_container *c, struct bf_error *err)
{
	const char *id = json_string_value(json_object_get(o, "id"));
	int r;

	if (!o)
		return 0;
	if (!id || !bf_container_id_ok(id))
		return bf_err(err, -EINVAL,
			      "container id '%.80s' is not valid: at most %d letters, digits, '_', "
			      "'.' and '-', beginning with a letter or digit",
			      id ? id : "", BF_CONTAINER_ID_MAX);
	r = container_text(o, "id", &c->id, err);
	if (!r)
		r = container_text(o, "ifname", &c->ifname, err);
	if (!r)
		r = container_text(o, "network", &c->network, err);
	if (!r)
		r = container_text(o, "pod_uid", &c->pod_uid, err);
	return r;
}

static void container_to_json(json_t *o, const struct bf_container *c)
{
	json_t *to = c->id ? json_pack("{s:s}", "id", c->id) : NULL;

	if (!to)
		return;
	if (c->ifname)
		json_object_set_new(to, "ifname", json_string(c->ifname));
	if (c->network)
		json_object_set_new(to, "network", json_string(c->network));
	if (c->pod_uid)
		json_object_set_new(to, "pod_uid", json_string(c->pod_uid));
	json_object_set_new(o, "container", to);
}

static int read_all(const json_t *o, struct bf_local *l, struct bf_error *err)
{
	const char *name = json_string_value(json_object_get(o, "name"));
	const char *ns = json_string_value(json_object_get(o, "namespace"));
	const char *iface = json_string_value(json_object_get(o, "iface"));
	const char *mac = json_string_value(json_object_get(o, "mac"));
	int r;

	ns = ns ? ns : BF_DEFAULT_NAMESPACE;
	if (!name || !word(name, NAME_MAX_LEN, "-._"))
		return bf_err(
			err, -EINVAL,
			"endpoint name '%.80s' is not valid: letters, digits, '-', '.' and '_', "
			"beginning and ending with a letter or digit",
			name ? name : "");
	if (!bf_namespace_ok(ns))
		return bf_err(err, -EINVAL, BF_NAMESPACE_BAD, ns);
	if (!iface || !*iface || strlen(iface) >= sizeof(l->iface))
		return bf_err(err, -EINVAL, "the interface is missing: say --iface HOST_IF");
	strcpy(l->iface, iface);
	l->e.name = strdup(name);
	l->e.namespace = strdup(ns);
	if (!l->e.name || !l->e.namespace)
		return bf_err(err, -ENOMEM, "no memory");
	r = bf_labels_change(&l->e.labels, json_object_get(o, "labels"), err);
	if (!r)
		r = read_addresses(json_object_get(o, "ips"), &l->e, err);
	if (!r)
		r = read_ports(json_object_get(o, "ports"), &l->e, err);
	if (!r)
		r = read_container(json_object_get(o, "container"), &l->container, err);
	if (r)
		return r;
	l->ifindex = (int)json_integer_value(json_object_get(o, "ifindex"));
	l->e.slot = (int)json_integer_value(json_object_get(o, "slot"));
	if (mac && sscanf(mac, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", l->mac, l->mac + 1,
			  l->mac + 2, l->mac + 3, l->mac + 4, l->mac + 5) != 6)
		return bf_err(err, -EINVAL, "'%.40s' is not a MAC address", mac);
	return 0;
}

int bf_local_from_json(const json_t *o, struct bf_local **out, struct bf_error *err)
{
	struct bf_local *local = calloc(1, sizeof(*local));
	int r;

	if (!local)
		return bf_err(err, -ENOMEM, "no memory");
	r = read_all(o, local, err);
	if (r) {
		bf_local_free(local);
		return r;
	}
	*out = local;
	return 0;
}

json_t *bf_local_to_json(const struct bf_local *l)
{
	static const uint8_t no_mac[6];
	json_t *labels = json_object(), *ips = json_array(), *ports = json_array(), *o;
	char text[64];
	size_t i;

	for (i = 0; i < l->e.labels.n; i++)
		json_object_set_new(labels, l->e.labels.v[i].key,
				    json_string(l->e.labels.v[i].value));
	for (i = 0; i < l->e.addr_count; i++)
		json_array_append_new(
			ips, json_string(bf_address_text(l->e.addrs[i], text, sizeof(text))));
	for (i = 0; i < l->e.port_count; i++)
		json_array_append_new(ports,
				      json_pack("{s:s, s:i, s:s}", "name", l->e.ports[i].name,
						"port", l->e.ports[i].port, "protocol",
						bf_protocol_name(l->e.ports[i].protocol)));
	o = json_pack("{s:s, s:s, s:s, s:i, s:i, s:o, s:o, s:o}", "name", l->e.name, "namespace",
		      l->e.namespace, "iface", l->iface, "ifindex", l->ifindex, "slot", l->e.slot,
		      "ips", ips, "labels", labels, "ports", ports);
	if (o && memcmp(l->mac, no_mac, 6)) {
		snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", l->mac[0], l->mac[1],
			 l->mac[2], l->mac[3], l->mac[4], l->mac[5]);
		json_object_set_new(o, "mac", json_string(text));
	}
	if (o)
		container_to_json(o, &l->container);
	return o;
}
