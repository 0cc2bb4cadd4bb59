// SPDX-License-Identifier: Apache-2.0
/* policy explain: a question in words, the answer of the tables in force. */
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#include "agent/explain.h"
#include "bpfast/image.h"
#include "observe/names.h"
#include "observe/text.h"
#include "policy/explain.h"

#define REQUEST_MAX BF_EXPLAIN_RAW_MAX

struct party {
	const struct bf_endpoint *e;
	bool host;
	uint8_t addr[16]; /* where it is no endpoint */
};

static int read_party(const struct bf_explain_world *w, const json_t *args, const char *key,
		      struct party *p, struct bf_error *err)
{
	const char *who = json_string_value(json_object_get(args, key));
	struct bf_local *l;

	if (!who)
		return bf_err(err, -EINVAL,
			      "--%s: the name of an endpoint, an address or `host` is needed", key);
	if (!strcmp(who, "host")) {
		p->host = true;
		if (w->world->node_addr_count)
			memcpy(p->addr, w->world->node_addrs[w->world->node_addr_count - 1], 16);
		return 0;
	}
	if (!bf_address_parse(who, p->addr)) {
		l = bf_endpoints_by_address(w->endpoints, p->addr);
		p->e = l ? &l->e : NULL;
		return 0;
	}
	l = bf_endpoints_find(w->endpoints, who, err);
	if (!l)
		return -ENOENT;
	p->e = &l->e;
	/* Its first address; both sides are brought to one family below. */
	if (l->e.addr_count)
		memcpy(p->addr, l->e.addrs[0], 16);
	return 0;
}

/* Makes p use an address of the other's family, where it is free to choose. */
static bool same_family(struct party *p, const struct party *other, bool fixed)
{
	bool want4 = bf_address_is4(other->addr);
	size_t i;

	if (bf_address_is4(p->addr) == want4)
		return true;
	for (i = 0; !fixed && p->e && i < p->e->addr_count; i++) {
		if (bf_address_is4(p->e->addrs[i]) != want4)
			continue;
		memcpy(p->addr, p->e->addrs[i], 16);
		return true;
	}
	return false;
}

static int add_headers(struct bf_text *t, const json_t *headers, bool *host, struct bf_error *err)
{
	const char *line;
	json_t *item;
	size_t i;

	json_array_foreach (headers, i, item) {
		line = json_string_value(item);
		if (!line || !strchr(line, ':') || strpbrk(line, "\r\n"))
			return bf_err(err, -EINVAL, "--header: 'NAME: VALUE' is expected");
		*host |= !strncasecmp(line, "host:", 5);
		bf_text_printf(t, "%s\r\n", line);
	}
	return 0;
}

/* "METHOD TARGET" and headers to the head of a request. */
static int make_request(const json_t *args, const struct party *to, struct bf_text *t,
			struct bf_error *err)
{
	const char *http = json_string_value(json_object_get(args, "http"));
	struct bf_text headers = {0};
	bool host = false;
	char text[64];
	int r;

	if (!http)
		return 0;
	if (!strchr(http, ' ') || strpbrk(http, "\r\n"))
		return bf_err(err, -EINVAL,
			      "--http: 'METHOD TARGET' is expected, such as 'GET /index.html'");
	r = add_headers(&headers, json_object_get(args, "headers"), &host, err);
	if (!r) {
		bf_text_printf(t, "%s HTTP/1.1\r\n", http);
		if (!host)
			bf_text_printf(t,
				       bf_address_is4(to->addr) ? "Host: %s\r\n" : "Host: [%s]\r\n",
				       bf_address_text(to->addr, text, sizeof(text)));
		if (headers.len)
			bf_text_add(t, headers.data, headers.len);
		bf_text_puts(t, "\r\n");
		if (t->failed || headers.failed)
			r = bf_err(err, -ENOMEM, "no memory");
		else if (t->len > REQUEST_MAX)
			r = bf_err(err, -E2BIG, "the request head is longer than %d bytes",
				   REQUEST_MAX);
	}
	bf_text_free(&headers);
	return r;
}

static int hex_digit(char c)
{
	static const char digits[] = "0123456789abcdef";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* What a client sends, from its digits. */
static int read_raw(const char *digits, size_t len, struct bf_text *t, struct bf_error *err)
{
	if (len % 2 || len / 2 > BF_EXPLAIN_RAW_MAX)
		return bf_err(err, -EINVAL, "--raw: from 1 to %d bytes are expected",
			      BF_EXPLAIN_RAW_MAX);
	for (size_t i = 0; i < len; i += 2) {
		int high = hex_digit(digits[i]), low = hex_digit(digits[i + 1]);
		char byte = (char)(high << 4 | low);

		if (high < 0 || low < 0)
			return bf_err(err, -EINVAL, "raw: hexadecimal digits are expected");
		bf_text_add(t, &byte, 1);
	}
	return t->failed ? bf_err(err, -ENOMEM, "no memory") : 0;
}

static json_t *policies_json(const char *ref)
{
	static const char *const keys[] = {"kind", "namespace", "name", "rule"};
	json_t *array = json_array(), *o;
	size_t i, n;

	while (*ref) {
		o = json_object();
		for (i = 0; i < 4; i++) {
			n = strcspn(ref, "\t\n");
			json_object_set_new(o, keys[i], json_stringn(ref, n));
			ref += n;
			if (*ref != '\t')
				break;
			ref++;
		}
		ref += strcspn(ref, "\n");
		ref += *ref == '\n';
		json_array_append_new(array, o);
	}
	return array;
}

static json_t *side_json(const struct bf_explain_world *w, const struct bf_answer_side *s,
			 const struct bf_endpoint *who)
{
	static const char *const l4[] = {"deny", "deny-rule", "allow", "http"};

	if (!s->judged)
		return json_pack("{s:b}", "judged", 0);
	return json_pack(
		"{s:b, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:I, s:s, s:I, s:s, s:I}", "judged", 1,
		"namespace", who ? who->namespace : "", "endpoint", who ? who->name : "", "verdict",
		bf_verdict_word(s->verdict), "reason", bf_reason_word(s->reason), "hint",
		bf_reason_hint(s->reason), "l4", s->l4 < 4 ? l4[s->l4] : "?", "policies",
		policies_json(bf_image_ref(w->image->blob.data, w->image->blob.len, s->ref)),
		"local_identity", (json_int_t)s->identity_local, "local_labels",
		bf_view_identity(w->view, s->identity_local), "remote_identity",
		(json_int_t)s->identity_remote, "remote_labels",
		bf_view_identity(w->view, s->identity_remote), "requests", (json_int_t)s->requests);
}

/* One side's rules that mean something else in Cilium. */
static void add_note(json_t *notes, const char *direction, const char *rules,
		     const struct bf_cilium_answer *cilium)
{
	const char *why = cilium->difference == BF_CILIUM_REMOTE_NODE
				  ? "says remote-node, and there that is never this node"
				  : "allows the port without HTTP rules, and there that cancels "
				    "the HTTP rules";

	if (rules)
		json_array_append_new(notes,
				      json_pack("{s:s, s:o, s:s}", "direction", direction,
						"policies", policies_json(rules), "why", why));
}

/* NULL where Cilium would decide the same. */
static json_t *cilium_json(const struct bf_cilium_answer *cilium)
{
	json_t *notes;

	if (!cilium->difference)
		return NULL;
	notes = json_array();
	add_note(notes, "egress", cilium->egress, cilium);
	add_note(notes, "ingress", cilium->ingress, cilium);
	return json_pack("{s:s, s:s, s:o}", "verdict", bf_verdict_word(cilium->verdict), "reason",
			 bf_reason_word(cilium->reason), "notes", notes);
}

/* What the request may become, in the word that rules have for it; NULL: nothing. */
static json_t *tunnel_json(const struct bf_answer *answer, const json_t *headers)
{
	static const char name[] = "upgrade:";
	const char *line;
	json_t *item;
	size_t i, n;

	if (answer->tunnel != BF_TUNNEL_UPGRADE)
		return answer->tunnel ? json_string("connect") : NULL;
	json_array_foreach (headers, i, item) {
		line = json_string_value(item);
		if (!line || strncasecmp(line, name, sizeof(name) - 1))
			continue;
		line += sizeof(name) - 1;
		line += strspn(line, " \t");
		for (n = strlen(line); n && strchr(" \t", line[n - 1]); n--)
			;
		return json_stringn(line, n);
	}
	return NULL;
}

int bf_explain_words(const struct bf_explain_world *w, const json_t *args, json_t **result,
		     struct bf_error *err)
{
	const char *protocol = json_string_value(json_object_get(args, "protocol"));
	const char *from_word = json_string_value(json_object_get(args, "from"));
	const char *to_word = json_string_value(json_object_get(args, "to"));
	json_int_t port = json_integer_value(json_object_get(args, "port"));
	int number = bf_protocol_from_name(protocol ? protocol : "TCP"), r;
	struct party from = {0}, to = {0};
	struct bf_question q = {0};
	struct bf_answer answer = {0};
	struct bf_cilium_answer cilium = {0};
	struct bf_text request = {0};
	const json_t *raw = json_object_get(args, "raw");
	bool request_asked;
	uint8_t scratch[16];

	if (number < 0)
		return bf_err(err, -EINVAL, "protocol '%s' is not known", protocol);
	if (port < 0 || port > 65535 ||
	    (!port && number != IPPROTO_ICMP && number != IPPROTO_ICMPV6))
		return bf_err(err, -EINVAL, "--port: a number from 1 to 65535 is needed");
	r = read_party(w, args, "from", &from, err);
	if (!r)
		r = read_party(w, args, "to", &to, err);
	if (r)
		return r;
	if (!from.e && !to.e)
		return bf_err(
			err, -EINVAL,
			"neither side is an endpoint of this node, so nothing is judged here");
	if (!same_family(&from, &to, !bf_address_parse(from_word, scratch)) &&
	    !same_family(&to, &from, !bf_address_parse(to_word, scratch)) && !from.host && !to.host)
		return bf_err(err, -EINVAL, "the two sides share no address family");
	if (raw)
		r = read_raw(json_string_value(raw), json_string_length(raw), &request, err);
	else
		r = make_request(args, &to, &request, err);
	if (!r) {
		q.from = from.e;
		q.to = to.e;
		memcpy(q.from_addr, from.addr, 16);
		memcpy(q.to_addr, to.addr, 16);
		q.from_host = from.host;
		q.protocol = (uint8_t)number;
		q.port = (uint16_t)port;
		q.request = request.data;
		q.request_len = request.len;
		q.stream = raw != NULL;
		r = bf_explain(w->image, &q, &answer, err);
		r = r ?: bf_explain_cilium(w->world, w->image, &q, &answer, &cilium, err);
	}
	request_asked = request.len > 0;
	bf_text_free(&request);
	if (r)
		return r;
	*result = json_pack(
		"{s:s, s:s, s:s, s:b, s:b, s:o, s:o, s:I, s:o*, s:o*}", "verdict",
		bf_verdict_word(answer.verdict), "reason", bf_reason_word(answer.reason), "hint",
		bf_reason_hint(answer.reason), "from_host", from.host, "request", request_asked,
		"egress", side_json(w, &answer.egress, from.e), "ingress",
		side_json(w, &answer.ingress, to.e), "generation", (json_int_t)w->generation,
		"tunnel", tunnel_json(&answer, json_object_get(args, "headers")), "cilium",
		cilium_json(&cilium));
	bf_cilium_answer_free(&cilium);
	return 0;
}
