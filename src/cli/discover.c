// SPDX-License-Identifier: Apache-2.0
/* endpoint discover */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "agent/endpoints.h"
#include "client/client.h"
#include "cli/container.h"
#include "observe/names.h"

#define LABELS_SHOWN 160 /* bytes of them in a row of the table */

/* {"IFINDEX": "NAMESPACE/NAME"}; NULL: no agent, so nobody knows. */
static json_t *ask_guarded(const struct bf_cli *cli, struct bf_error *err)
{
	json_t *result, *all;
	const json_t *e;
	char key[24];
	size_t i;

	if (bf_call(cli->run_dir, "endpoint list", NULL, &result, err)) {
		json_decref(result);
		return NULL;
	}
	all = json_object();
	json_array_foreach (json_object_get(result, "endpoints"), i, e) {
		snprintf(key, sizeof(key), "%lld",
			 (long long)json_integer_value(json_object_get(e, "ifindex")));
		json_object_set_new(all, key,
				    json_sprintf("%s/%s",
						 json_string_value(json_object_get(e, "namespace")),
						 json_string_value(json_object_get(e, "name"))));
	}
	json_decref(result);
	return all;
}

static const char *guarded_by(const json_t *guarded, const struct bf_plug *plug)
{
	char key[24];

	snprintf(key, sizeof(key), "%d", plug->host.ifindex);
	return json_string_value(json_object_get(guarded, key));
}

static bool is_guarded(const json_t *guarded, const struct bf_place *p)
{
	size_t i, n = 0;

	for (i = 0; i < p->plug_count; i++)
		n += p->plugs[i].host.ifindex && guarded_by(guarded, &p->plugs[i]);
	return n && n == bf_place_plugged(p);
}

static json_t *container_json(const struct bf_running *c)
{
	return json_pack("{s:s, s:s*, s:s, s:s, s:i, s:O?}", "runtime", c->runtime,
			 "runtime_namespace", c->space, "name", c->name, "id", c->id, "pid",
			 (int)c->pid, "labels", c->labels);
}

static json_t *place_json(const struct bf_place *p, const json_t *guarded)
{
	const struct bf_running *c = bf_place_owner(p);
	json_t *containers = json_array(), *plugs = json_array(), *o, *ips;
	char text[256], name[32];
	const struct bf_plug *plug;
	size_t i;

	for (i = 0; i < p->container_count; i++)
		json_array_append_new(containers, container_json(&p->containers[i]));
	for (plug = p->plugs; plug < p->plugs + p->plug_count; plug++) {
		ips = json_array();
		for (i = 0; i < plug->addr_count; i++)
			json_array_append_new(ips, json_string(bf_address_text(plug->addrs[i], text,
									       sizeof(text))));
		o = json_pack("{s:s, s:s, s:o}", "inside", plug->inside.name, "kind",
			      plug->inside.kind, "ips", ips);
		if (plug->host.ifindex)
			json_object_update_new(o, json_pack("{s:s, s:i, s:s?}", "iface",
							    plug->host.name, "ifindex",
							    plug->host.ifindex, "endpoint",
							    guarded_by(guarded, plug)));
		json_array_append_new(plugs, o);
	}
	o = json_pack("{s:s, s:s*, s:s}", "name", bf_place_name(p, name, sizeof(name)), "namespace",
		      c ? c->pod_namespace : NULL, "runtime", bf_place_runtime(p));
	json_object_set_new(
		o, "netns",
		json_pack("{s:I, s:s*}", "inode", (json_int_t)p->ino, "name", p->netns));
	if (!c && p->pid)
		json_object_set_new(
			o, "process",
			json_pack("{s:i, s:s}", "pid", (int)p->pid, "command", p->command));
	json_object_set_new(o, "guarded",
			    guarded ? json_boolean(is_guarded(guarded, p)) : json_null());
	if (bf_place_why_not(p, text, sizeof(text)))
		json_object_set_new(o, "hint", json_string(text));
	if (c)
		json_object_set(o, "labels", c->labels ? c->labels : json_null());
	json_object_set_new(o, "interfaces", plugs);
	json_object_set_new(o, "containers", containers);
	return o;
}

static const char *state_word(const struct bf_place *p, const json_t *guarded)
{
	size_t i;

	if (p->host)
		return "host network";
	if (!bf_place_plugged(p))
		return "no veth";
	if (!guarded)
		return "?";
	for (i = 0; i < p->plug_count; i++)
		if (p->plugs[i].host.ifindex && guarded_by(guarded, &p->plugs[i]))
			return guarded_by(guarded, &p->plugs[i]);
	return "no";
}

static void add_row(struct bf_table *t, const struct bf_place *p, const json_t *guarded)
{
	const struct bf_running *c = bf_place_owner(p);
	struct bf_text ifaces = {0}, ips = {0}, labels = {0}, name = {0};
	const struct bf_plug *plug;
	char text[600];
	const char *key;
	json_t *value;
	size_t i;

	bf_text_puts(&name, bf_cli_place_name(p, text, sizeof(text)));
	if (p->container_count > 1)
		bf_text_printf(&name, " (%zu containers)", p->container_count);
	if (!c && !p->netns)
		bf_text_printf(&name, " (%s)", p->command);
	for (plug = p->plugs; plug < p->plugs + p->plug_count; plug++) {
		if (plug->host.ifindex)
			bf_text_printf(&ifaces, "%s%s", ifaces.len ? "," : "", plug->host.name);
		for (i = 0; plug->host.ifindex && i < plug->addr_count; i++)
			if (plug->addrs[i][0] != 0xfe || (plug->addrs[i][1] & 0xc0) != 0x80)
				bf_text_printf(&ips, "%s%s", ips.len ? "," : "",
					       bf_address_text(plug->addrs[i], text, sizeof(text)));
	}
	json_object_foreach (c ? c->labels : NULL, key, value) {
		if (labels.len > LABELS_SHOWN)
			break;
		bf_text_printf(&labels, "%s%.80s=%.80s", labels.len ? "," : "", key,
			       json_string_value(value) ? json_string_value(value) : "");
	}
	if (labels.len > LABELS_SHOWN)
		bf_text_puts(&labels, ",...");
	bf_table_row(t, 6, name.data, bf_place_runtime(p), ifaces.data ? ifaces.data : "-",
		     ips.data ? ips.data : "-", state_word(p, guarded),
		     labels.data       ? labels.data
		     : c && !c->labels ? "?"
				       : "-");
	bf_text_free(&name);
	bf_text_free(&ifaces);
	bf_text_free(&ips);
	bf_text_free(&labels);
}

/* Namespaces without a container and without a cable to this node are somebody else's. */
static bool is_shown(const struct bf_cli *cli, const struct bf_place *p)
{
	return p->container_count || bf_place_plugged(p) || bf_cli_switch(cli, "all");
}

static json_t *hidden_note(size_t hidden)
{
	return json_sprintf("%zu network namespaces without a container and without a veth to this "
			    "node are not shown; --all shows them",
			    hidden);
}

static int show(struct bf_cli *cli, const struct bf_found *found, const json_t *guarded)
{
	json_t *list = json_array(), *more = json_array(), *o;
	struct bf_table t = {0};
	size_t i, hidden = 0;

	if (!cli->json)
		bf_table_row(&t, 6, "NAME", "RUNTIME", "INTERFACE", "ADDRESSES", "GUARDED",
			     "LABELS");
	for (i = 0; i < found->count; i++) {
		if (!is_shown(cli, &found->places[i]))
			hidden++;
		else if (cli->json)
			json_array_append_new(list, place_json(&found->places[i], guarded));
		else
			add_row(&t, &found->places[i], guarded);
	}
	if (hidden)
		json_array_append_new(more, hidden_note(hidden));
	if (cli->json) {
		json_array_extend(found->notes, more);
		o = json_pack("{s:O, s:O, s:b, s:O}", "found", list, "stopped", found->stopped,
			      "incomplete", (int)found->incomplete, "notes", found->notes);
		bf_cli_print_json(o);
		json_decref(o);
	} else {
		bf_table_print(&t);
		bf_cli_notes(cli, more);
	}
	json_decref(more);
	json_decref(list);
	return BF_EXIT_DONE;
}

/* What became of one, into the answer. */
static void tell(json_t *answer, const char *list, const struct bf_place *p, const char *key,
		 json_t *what)
{
	char name[600];

	bf_cli_place_name(p, name, sizeof(name));
	json_array_append_new(json_object_get(answer, list),
			      json_pack("{s:s, s:s, s:o}", "name", name, "runtime",
					bf_place_runtime(p), key, what));
}

static int add_one(struct bf_cli *cli, const struct bf_place *p, json_t *answer)
{
	json_t *args = json_object(), *labels = json_object(), *untaken = NULL, *result = NULL;
	const char *ns = bf_cli_text(cli, "namespace");
	struct bf_error err;
	int r;

	if (ns)
		json_object_set_new(args, "namespace", json_string(ns));
	json_object_set_new(args, "labels", labels);
	r = bf_cli_add_labels(cli, labels);
	if (r) {
		json_decref(args);
		return r;
	}
	if (bf_cli_place_args(cli, p, NULL, args, &untaken, &err)) {
		json_decref(args);
		r = BF_EXIT_FAILED;
	} else if (bf_call(cli->run_dir, "endpoint add", args, &result, &err)) {
		r = BF_EXIT_FAILED;
	}
	if (r) {
		tell(answer, "failed", p, "error", json_string(err.msg));
	} else {
		json_object_set(result, "labels_not_taken", untaken);
		json_array_append(json_object_get(answer, "added"), result);
	}
	if (!cli->json && r) {
		bf_cli_fail(cli, r, "%s", err.msg);
	} else if (!cli->json) {
		bf_cli_added(cli, result);
	}
	json_decref(untaken);
	json_decref(result);
	return BF_EXIT_DONE;
}

/* All that have one interface on this node and no guard. Those without a name are not. */
static int add_all(struct bf_cli *cli, const struct bf_found *found, const json_t *guarded)
{
	json_t *answer = json_pack("{s:[], s:[], s:[]}", "added", "failed", "left");
	json_t *notes = json_array();
	char why[256], name[600];
	const struct bf_place *p;
	const char *left;
	size_t i;
	int r = BF_EXIT_DONE;

	for (i = 0; i < found->count && !r; i++) {
		p = &found->places[i];
		if (!is_shown(cli, p) || is_guarded(guarded, p))
			continue;
		left = bf_place_why_not(p, why, sizeof(why));
		if (!left && !p->container_count && !p->netns)
			left = "is a network namespace without a name; name it with `bpfast "
			       "endpoint "
			       "add NAME --container`";
		if (!left) {
			r = add_one(cli, p, answer);
			continue;
		}
		tell(answer, "left", p, "why", json_string(left));
		json_array_append_new(notes,
				      json_sprintf("%s is not guarded: it %s",
						   bf_cli_place_name(p, name, sizeof(name)), left));
	}
	if (cli->json) {
		json_object_set(answer, "incomplete", json_boolean(found->incomplete));
		json_object_set(answer, "notes", found->notes);
		bf_cli_print_json(answer);
	}
	bf_cli_notes(cli, notes);
	/* Where not all could be seen, not all are guarded. */
	if (!r && (found->incomplete || json_array_size(json_object_get(answer, "failed"))))
		r = BF_EXIT_FAILED;
	json_decref(notes);
	json_decref(answer);
	return r;
}

int bf_cli_discover(struct bf_cli *cli)
{
	const char *ns = bf_cli_text(cli, "namespace");
	bool add = bf_cli_switch(cli, "add-all");
	struct bf_found found;
	struct bf_error err;
	json_t *guarded, *note;
	int r;

	if (!add && (ns || bf_cli_list(cli, "label") || bf_cli_switch(cli, "no-labels")))
		return bf_cli_fail(cli, BF_EXIT_USAGE,
				   "--namespace, --label and --no-labels are for --add-all");
	/* Not once for each that is found, and also where none is. */
	if (ns && !bf_namespace_ok(ns))
		return bf_cli_fail(cli, BF_EXIT_USAGE, BF_NAMESPACE_BAD, ns);
	guarded = ask_guarded(cli, &err);
	if (add && !guarded)
		return bf_cli_fail(cli, BF_EXIT_NO_AGENT, "%s", err.msg);
	r = bf_cli_look(cli, &found);
	if (r) {
		json_decref(guarded);
		return r;
	}
	if (!guarded) {
		note = json_pack("[o]", json_sprintf("what is guarded is not known: %s", err.msg));
		bf_cli_notes(cli, note);
		json_array_extend(found.notes, note);
		json_decref(note);
	}
	r = add ? add_all(cli, &found, guarded) : show(cli, &found, guarded);
	bf_found_free(&found);
	json_decref(guarded);
	return r;
}
