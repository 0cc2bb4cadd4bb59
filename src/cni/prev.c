// SPDX-License-Identifier: Apache-2.0
/* What the plugins before us have made, as they tell it in prevResult. */
#include <string.h>

#include "cni/config.h"

static const char *text(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

/* The addresses of the container's interface, without their prefix length. index: its place. */
static int read_ips(const json_t *ips, json_int_t index, json_t *to, struct bf_cni_error *err)
{
	const json_t *ip, *at;
	const char *address;
	size_t i;

	json_array_foreach (ips, i, ip) {
		at = json_object_get(ip, "interface");
		if (at && (!json_is_integer(at) || json_integer_value(at) != index))
			continue;
		address = text(ip, "address");
		if (!strchr(address, '/'))
			return bf_cni_err(err, BF_CNI_CONFIG, NULL,
					  "prevResult: '%.60s' of ips is not ADDRESS/PREFIX",
					  address);
		json_array_append_new(to, json_stringn(address, strcspn(address, "/")));
	}
	return 0;
}

int bf_cni_prev_read(const struct bf_cni_config *config, const struct bf_cni_env *env, json_t **out,
		     struct bf_cni_error *err)
{
	const json_t *interfaces = json_object_get(config->prev, "interfaces"), *o;
	json_t *ifaces, *ips;
	json_int_t index = -1;
	size_t i;
	int r;

	if (!config->prev)
		return bf_cni_err(
			err, BF_CNI_CONFIG, NULL,
			"prevResult is missing: bpfast-cni makes no interface of its own; "
			"it is the last of a list of plugins, after one such as bridge or "
			"ptp");
	if (!json_is_object(config->prev) || !json_is_array(interfaces) ||
	    json_array_size(interfaces) > BF_CNI_INTERFACES_MAX)
		return bf_cni_err(err, BF_CNI_CONFIG, NULL,
				  "prevResult has no list of at most %d interfaces",
				  BF_CNI_INTERFACES_MAX);
	ifaces = json_array();
	ips = json_array();
	json_array_foreach (interfaces, i, o) {
		if (!*text(o, "sandbox"))
			json_array_append(ifaces, json_object_get(o, "name"));
		else if (!strcmp(text(o, "name"), env->ifname))
			index = (json_int_t)i;
	}
	r = 0;
	if (index < 0)
		r = bf_cni_err(err, BF_CNI_CONFIG, NULL,
			       "prevResult has no interface %s in the container", env->ifname);
	else if (!json_array_size(ifaces))
		r = bf_cni_err(
			err, BF_CNI_CONFIG, NULL,
			"prevResult has no interface without a sandbox, so no host-side veth: "
			"bpfast-cni comes after a plugin that makes one, such as bridge or ptp");
	if (!r)
		r = read_ips(json_object_get(config->prev, "ips"), index, ips, err);
	if (!r && !json_array_size(ips))
		r = bf_cni_err(err, BF_CNI_CONFIG, NULL, "prevResult has no address of %s",
			       env->ifname);
	if (r) {
		json_decref(ifaces);
		json_decref(ips);
		return r;
	}
	*out = json_pack("{s:o, s:o}", "ifaces", ifaces, "ips", ips);
	return *out ? 0 : bf_cni_err(err, BF_CNI_IO, NULL, "no memory");
}
