/* SPDX-License-Identifier: Apache-2.0 */
#ifndef READ_RENDER_H
#define READ_RENDER_H
/*
 * Reads a text and renders the model, or the flaws, as text that a table of
 * expectations can hold. A policy is
 *
 *   KIND NAMESPACE/NAME on {SUBJECT} isolates DIRECTIONS [audit] [reset|drop] [silent]
 *     allow|deny in|out WHERE: PEERS @ PORTS [http {RULES}]
 *
 * a ShieldPolicy
 *
 *   KIND NAME MODE HOOK SENSITIVITY [devices NAMES] [endpoints {SELECTOR}]
 *     limit CLASS SCOPE RATE:BURST
 *     http FIELD NUMBER
 *     allow|block CIDR [until SECONDS]
 *
 * and a flaw "LINE:COLUMN: MESSAGE".
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "bpfast/image.h"
#include "policy/read.h"
#include "policy/shield_spec.h"

static FILE *render_open(char **text)
{
	static size_t size;
	FILE *f = open_memstream(text, &size);

	assert_non_null(f);
	return f;
}

static void render_flaw(void *arg, const char *file, int line, int column, const char *message)
{
	(void)file;
	assert_true(line >= 1 && column >= 1);
	assert_true(message[0]);
	assert_null(strchr(message, '\n'));
	fprintf(arg, "%d:%d: %s\n", line, column, message);
}

static void render_selector(FILE *f, const struct bf_selector *s)
{
	static const char *const ops[] = {"=", "!=", "?", "!"};

	fputc('{', f);
	for (size_t i = 0; i < s->n; i++) {
		const struct bf_requirement *r = &s->v[i];
		const char *key = r->key;

		if (!strcmp(key, BF_KEY_NAMESPACE))
			key = "NS";
		fprintf(f, "%s", i ? ", " : "");
		if (!strncmp(key, BF_KEY_NS_LABEL_PREFIX, strlen(BF_KEY_NS_LABEL_PREFIX)))
			fprintf(f, "NS.%s", key + strlen(BF_KEY_NS_LABEL_PREFIX));
		else
			fprintf(f, "%s", key);
		fprintf(f, "%s", ops[r->op]);
		for (size_t j = 0; j < r->n; j++)
			fprintf(f, "%s%s", j ? "|" : "", r->values[j]);
	}
	fputc('}', f);
}

static void render_cidr(FILE *f, const struct bf_cidr *c)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
	char text[INET6_ADDRSTRLEN];

	if (c->len >= 96 && !memcmp(c->addr, mapped, 12)) {
		inet_ntop(AF_INET, c->addr + 12, text, sizeof(text));
		fprintf(f, "%s/%u", text, c->len - 96u);
	} else {
		inet_ntop(AF_INET6, c->addr, text, sizeof(text));
		fprintf(f, "%s/%u", text, c->len);
	}
}

static void render_peer(FILE *f, const struct bf_peer *p)
{
	static const char *const names[] = {
		[BF_PEER_ALL] = "ALL",
		[BF_PEER_HOST] = "HOST",
		[BF_PEER_WORLD] = "WORLD",
		[BF_PEER_CLUSTER] = "CLUSTER",
	};

	if (p->kind == BF_PEER_SELECTOR) {
		render_selector(f, &p->selector);
		return;
	}
	if (p->kind != BF_PEER_CIDR) {
		fprintf(f, "%s%s", names[p->kind], p->remote_node ? " as remote-node" : "");
		return;
	}
	render_cidr(f, &p->cidr);
	for (size_t i = 0; i < p->except_count; i++) {
		fprintf(f, " less ");
		render_cidr(f, &p->except[i]);
	}
	if (p->cidr_matches_endpoints)
		fprintf(f, " with endpoints");
}

static void render_port(FILE *f, const struct bf_port *p)
{
	const char *protocol = p->protocol == IPPROTO_TCP    ? "tcp"
			       : p->protocol == IPPROTO_UDP  ? "udp"
			       : p->protocol == IPPROTO_SCTP ? "sctp"
			       : p->protocol == 0	     ? "any"
							     : "WRONG";

	if (p->name)
		fprintf(f, "%s/%s", protocol, p->name);
	else if (p->first == 0 && p->last == 65535)
		fprintf(f, "%s/*", protocol);
	else if (p->first == p->last)
		fprintf(f, "%s/%u", protocol, p->first);
	else
		fprintf(f, "%s/%u-%u", protocol, p->first, p->last);
}

static void render_http(FILE *f, const struct bf_http_rule *h)
{
	const char *gap = "";

	fputc('{', f);
	if (h->method) {
		fprintf(f, "method %s", h->method);
		gap = " ";
	}
	if (h->path) {
		fprintf(f, "%s%s %s", gap, h->path_has_query ? "path+query" : "path", h->path);
		gap = " ";
	}
	if (h->host) {
		fprintf(f, "%shost %s", gap, h->host);
		gap = " ";
	}
	if (h->upgrade) {
		fprintf(f, "%supgrade %s", gap, h->upgrade);
		gap = " ";
	}
	for (size_t i = 0; i < h->header_count; i++) {
		const struct bf_http_header *x = &h->headers[i];

		if (x->op == BF_HEADER_PRESENT)
			fprintf(f, "%s%s?", gap, x->name);
		else
			fprintf(f, "%s%s=%s", gap, x->name, x->value);
		gap = " ";
	}
	fputc('}', f);
}

static void render_shield(FILE *f, const struct bf_policy *p)
{
	static const char *const modes[] = {"off", "audit", "enforce"};
	static const char *const hooks[] = {"auto", "native", "generic", "tc"};
	const struct bf_shield_spec *s = p->shield;

	assert_true(p->subject_none && !p->rule_count && !*p->namespace);
	fprintf(f, "%s %s %s %s %s", bf_policy_kind_name(p->kind), p->name, modes[s->mode],
		hooks[s->hook], bf_sensitivity_word(s->sensitivity));
	for (size_t i = 0; i < s->device_count; i++)
		fprintf(f, "%s%s", i ? "," : " devices ", s->devices[i]);
	if (s->endpoints) {
		fprintf(f, " endpoints ");
		render_selector(f, &s->selector);
	}
	fprintf(f, "\n");
#define BPFAST_X(member, option, what, field)                                                      \
	if (s->http_said >> BF_CROWD_##member & 1)                                                 \
		fprintf(f, "  http %s %u\n", field, s->http_limits.member);
	BF_CROWD_LIMITS(BPFAST_X)
#undef BPFAST_X
	for (size_t i = 0; i < s->rate_count; i++)
		fprintf(f, "  limit %u %u %u:%u\n", s->rates[i].class, s->rates[i].scope,
			s->rates[i].rate, s->rates[i].burst);
	for (size_t i = 0; i < s->prefix_count; i++) {
		fprintf(f, "  %s ", s->prefixes[i].allow ? "allow" : "block");
		render_cidr(f, &s->prefixes[i].cidr);
		if (s->prefixes[i].until)
			fprintf(f, " until %lld", (long long)s->prefixes[i].until);
		fprintf(f, "\n");
	}
}

static void render_policy(FILE *f, const struct bf_policy *p)
{
	if (p->kind == BF_SHIELD_POLICY) {
		render_shield(f, p);
		return;
	}
	fprintf(f, "%s %s%s%s on ", bf_policy_kind_name(p->kind), p->namespace,
		*p->namespace ? "/" : "", p->name);
	render_selector(f, &p->subject);
	fprintf(f, " isolates %s%s%s%s%s%s\n", p->isolates_ingress ? "in" : "",
		p->isolates_ingress && p->isolates_egress ? "+" : "",
		p->isolates_egress    ? "out"
		: p->isolates_ingress ? ""
				      : "nothing",
		p->audit ? " audit" : "",
		p->on_deny == BPFAST_ON_DENY_RESET  ? " reset"
		: p->on_deny == BPFAST_ON_DENY_DROP ? " drop"
						    : "",
		p->silent ? " silent" : "");
	for (size_t i = 0; i < p->rule_count; i++) {
		const struct bf_rule *r = &p->rules[i];

		fprintf(f, "  %s %s %s: ", r->deny ? "deny" : "allow", r->egress ? "out" : "in",
			r->where);
		for (size_t j = 0; j < r->peer_count; j++) {
			fprintf(f, "%s", j ? ", " : "");
			render_peer(f, &r->peers[j]);
		}
		fprintf(f, "%s @ ", r->peer_count ? "" : "NOBODY");
		if (r->any_port)
			fprintf(f, "any");
		for (size_t j = 0; j < r->port_count; j++) {
			fprintf(f, "%s", j ? ", " : "");
			render_port(f, &r->ports[j]);
		}
		if (!r->any_port && !r->port_count)
			fprintf(f, "NO PORT");
		if (r->http) {
			fprintf(f, " http [");
			for (size_t j = 0; j < r->http_rule_count; j++) {
				fprintf(f, "%s", j ? ", " : "");
				render_http(f, &r->http_rules[j]);
			}
			fprintf(f, "]");
		}
		fprintf(f, "\n");
	}
}

static void render_objects(FILE *f, const struct bf_objects *o)
{
	for (size_t i = 0; i < o->namespace_count; i++) {
		fprintf(f, "Namespace %s", o->namespaces[i].name);
		for (size_t j = 0; j < o->namespaces[i].labels.n; j++)
			fprintf(f, " %s=%s", o->namespaces[i].labels.v[j].key,
				o->namespaces[i].labels.v[j].value);
		fprintf(f, "\n");
	}
	for (size_t i = 0; i < o->policy_count; i++)
		render_policy(f, &o->policies[i]);
}

/* What a text reads as; the caller frees. */
static inline char *render_read(const char *text, size_t len)
{
	struct bf_objects objects = {0};
	static char *out; /* its address outlives the call for all that gcc knows */
	FILE *f = render_open(&out);
	/* A buffer of its own size, so that reading past its end is caught. */
	char *exact = malloc(len ? len : 1);
	int ret;

	assert_non_null(exact);
	memcpy(exact, text, len);
	ret = bf_objects_read(&objects, "f.yaml", exact, len, render_flaw, f);
	free(exact);
	if (ret) {
		assert_int_equal(ret, -EINVAL);
		assert_int_equal(objects.policy_count + objects.namespace_count, 0);
		fflush(f);
		assert_true(out[0]); /* a flaw was said */
	} else {
		fflush(f);
		assert_false(out[0]); /* no flaw was said */
		render_objects(f, &objects);
	}
	bf_objects_free(&objects);
	fclose(f);
	return out;
}

#endif
