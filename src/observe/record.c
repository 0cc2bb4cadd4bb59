// SPDX-License-Identifier: Apache-2.0
#include "observe/record.h"

#include <netinet/in.h>
#include <string.h>

#include "bpfast/reasons.h"
#include "observe/names.h"

#define REDACTED "[redacted]"

bool bf_record_local_is_source(const struct bpfast_event *ev)
{
	return !!(ev->flags & BPFAST_EF_EGRESS) != !!(ev->flags & BPFAST_EF_REPLY);
}

/* RFC 3339 in UTC. Days to a date: H. Hinnant, "chrono-Compatible Low-Level Date
 * Algorithms", civil_from_days; years from 1970 on. */
static void add_time(struct bf_text *out, const struct bpfast_event *ev, int64_t offset_ns)
{
	int64_t signed_ns = (int64_t)(ev->time_ns + (uint64_t)offset_ns);
	uint64_t ns = signed_ns < 0 ? 0 : (uint64_t)signed_ns, s = ns / 1000000000;
	uint64_t z = s / 86400 + 719468, era = z / 146097, doe = z % 146097;
	uint64_t yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
	uint64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100), mp = (5 * doy + 2) / 153;
	uint64_t month = mp < 10 ? mp + 3 : mp - 9;

	bf_text_puts(out, "\"");
	bf_text_padded(out, yoe + era * 400 + (month <= 2), 4);
	bf_text_puts(out, "-");
	bf_text_padded(out, month, 2);
	bf_text_puts(out, "-");
	bf_text_padded(out, doy - (153 * mp + 2) / 5 + 1, 2);
	bf_text_puts(out, "T");
	bf_text_padded(out, s / 3600 % 24, 2);
	bf_text_puts(out, ":");
	bf_text_padded(out, s / 60 % 60, 2);
	bf_text_puts(out, ":");
	bf_text_padded(out, s % 60, 2);
	bf_text_puts(out, ".");
	bf_text_padded(out, ns % 1000000000, 9);
	bf_text_puts(out, "Z\"");
}

static void add_number(struct bf_text *out, const char *key, uint64_t n)
{
	bf_text_puts(out, key);
	bf_text_u64(out, n);
}

static void add_word(struct bf_text *out, const char *key, const char *word)
{
	bf_text_puts(out, key);
	bf_text_puts(out, word);
	bf_text_puts(out, "\"");
}

static void add_labels(struct bf_text *out, const char *labels)
{
	bool first = true;

	bf_text_puts(out, "[");
	while (*labels) {
		size_t n = strcspn(labels, ";");

		if (!first)
			bf_text_puts(out, ",");
		bf_text_json(out, labels, n);
		first = false;
		labels += n;
		if (*labels)
			labels++;
	}
	bf_text_puts(out, "]");
}

static void add_side(struct bf_text *out, const char *key, uint32_t identity,
		     const struct bf_view_endpoint *who, const struct bf_view *view)
{
	if (!identity && who)
		identity = who->identity;
	bf_text_puts(out, ",\"");
	bf_text_puts(out, key);
	add_number(out, "\":{\"identity\":", identity);
	if (who) {
		bf_text_puts(out, ",\"namespace\":");
		bf_text_json(out, who->namespace, strlen(who->namespace));
	}
	bf_text_puts(out, ",\"labels\":");
	add_labels(out, bf_view_identity(view, identity));
	if (who) {
		bf_text_puts(out, ",\"pod_name\":");
		bf_text_json(out, who->name, strlen(who->name));
	}
	bf_text_puts(out, "}");
}

static void add_tcp_flags(struct bf_text *out, uint8_t flags)
{
	static const char *const names[] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};
	bool first = true;
	int i;

	bf_text_puts(out, ",\"flags\":{");
	for (i = 0; i < 8; i++) {
		if (!(flags & 1 << i))
			continue;
		add_word(out, first ? "\"" : ",\"", names[i]);
		bf_text_puts(out, ":true");
		first = false;
	}
	bf_text_puts(out, "}");
}

static void add_l4(struct bf_text *out, const struct bpfast_event *ev)
{
	const char *name = bf_protocol_name(ev->protocol);

	if (!name)
		return;
	add_word(out, ",\"l4\":{\"", name);
	bf_text_puts(out, ":{");
	if (ev->protocol == IPPROTO_ICMP || ev->protocol == IPPROTO_ICMPV6) {
		add_number(out, "\"type\":", ev->icmp_type);
		add_number(out, ",\"code\":", ev->icmp_code);
	} else {
		add_number(out, "\"source_port\":", ev->source_port);
		add_number(out, ",\"destination_port\":", ev->destination_port);
		if (ev->protocol == IPPROTO_TCP && ev->tcp_flags)
			add_tcp_flags(out, ev->tcp_flags);
	}
	bf_text_puts(out, "}}");
}

void bf_record_target(struct bf_text *out, const char *target, size_t len, bool show_query)
{
	const char *slashes, *query, *at = NULL;
	size_t authority = 0, i;

	if (show_query) {
		bf_text_add(out, target, len);
		return;
	}
	/* scheme://user:secret@host/ : only the absolute form has user information. */
	slashes = len && target[0] != '/' ? memmem(target, len, "://", 3) : NULL;
	if (slashes) {
		authority = (size_t)(slashes - target) + 3;
		for (i = authority; i < len && !strchr("/?#", target[i]); i++)
			if (target[i] == '@')
				at = target + i;
	}
	if (at) {
		bf_text_add(out, target, authority);
		bf_text_puts(out, REDACTED);
		len -= (size_t)(at - target);
		target = at;
	}
	query = memchr(target, '?', len);
	if (!query) {
		bf_text_add(out, target, len);
		return;
	}
	bf_text_add(out, target, (size_t)(query - target) + 1);
	if (query + 1 < target + len)
		bf_text_puts(out, REDACTED);
}

static void add_l7(struct bf_text *out, const struct bpfast_event *ev, bool show_query)
{
	bool response = ev->type == BPFAST_EV_HTTP_RESPONSE;
	size_t len = ev->text_len <= BPFAST_TEXT_MAX ? ev->text_len : BPFAST_TEXT_MAX;
	const char *blank = memchr(ev->text, ' ', len);
	size_t method = blank ? (size_t)(blank - ev->text) : len;
	struct bf_text url = {0};

	add_word(out, ",\"l7\":{\"type\":\"", response ? "RESPONSE" : "REQUEST");
	/* JSON readers hold integers in 63 bits. */
	if (response && ev->latency_ns)
		add_number(out, ",\"latency_ns\":", ev->latency_ns & INT64_MAX);
	bf_text_puts(out, ",\"http\":{");
	if (response) {
		add_number(out, "\"code\":", ev->status);
		bf_text_puts(out, ",");
	}
	bf_text_puts(out, "\"method\":");
	bf_text_json_wire(out, ev->text, method);
	bf_text_puts(out, ",\"url\":");
	if (blank)
		bf_record_target(&url, blank + 1, len - method - 1, show_query);
	if (ev->flags & BPFAST_EF_TEXT_CUT)
		bf_text_puts(&url, "...");
	bf_text_json_wire(out, url.data ? url.data : "", url.len);
	out->failed |= url.failed;
	bf_text_free(&url);
	add_number(out, ",\"protocol\":\"HTTP/1.", ev->http_minor);
	bf_text_puts(out, "\"}}");
}

/* KIND \t NAMESPACE \t NAME \t RULE, a line a policy (include/bpfast/image.h). */
static void add_policies(struct bf_text *out, const char *key, const char *ref)
{
	static const char *const names[] = {"kind", "namespace", "name", "rule"};
	bool first = true;

	if (!*ref)
		return;
	add_word(out, ",\"", key);
	bf_text_puts(out, ":[");
	while (*ref) {
		size_t line = strcspn(ref, "\n"), field = 0, i;
		const char *s = ref;

		bf_text_puts(out, first ? "{" : ",{");
		first = false;
		for (i = 0; i < 4; i++) {
			field = strcspn(s, "\t\n");
			add_word(out, i ? ",\"" : "\"", names[i]);
			bf_text_puts(out, ":");
			bf_text_json(out, s, field);
			s += field;
			if (*s != '\t')
				break;
			s++;
		}
		bf_text_puts(out, "}");
		ref += line;
		if (*ref)
			ref++;
	}
	bf_text_puts(out, "]");
}

void bf_record_json(struct bf_text *out, const struct bpfast_event *ev, const struct bf_view *view,
		    const struct bf_record_options *options)
{
	bool local_source = bf_record_local_is_source(ev), egress = ev->flags & BPFAST_EF_EGRESS;
	const struct bf_view_endpoint *local = bf_view_by_slot(view, ev->endpoint), *remote;
	bool l7 = ev->type != BPFAST_EV_L3_L4;
	char addr[64];

	remote = bf_view_by_address(view, local_source ? ev->destination : ev->source);
	bf_text_puts(out, "{\"flow\":{\"time\":");
	add_time(out, ev, options->wall_offset_ns);
	add_word(out, ",\"verdict\":\"", bf_verdict_word(ev->verdict));
	if (ev->reason != BPFAST_R_NONE)
		add_word(out, ",\"drop_reason_desc\":\"", bf_reason_word(ev->reason));
	if (ev->ip_version) {
		add_word(out, ",\"IP\":{\"source\":\"",
			 bf_address_text(ev->source, addr, sizeof(addr)));
		add_word(out, ",\"destination\":\"",
			 bf_address_text(ev->destination, addr, sizeof(addr)));
		add_number(out, ",\"ipVersion\":\"IPv", ev->ip_version);
		bf_text_puts(out, "\"}");
		add_l4(out, ev);
	}
	add_side(out, "source", local_source ? ev->local_identity : ev->remote_identity,
		 local_source ? local : remote, view);
	add_side(out, "destination", local_source ? ev->remote_identity : ev->local_identity,
		 local_source ? remote : local, view);
	add_word(out, ",\"Type\":\"", l7 ? "L7" : "L3_L4");
	if (l7)
		add_l7(out, ev, options->show_query);
	add_word(out, ",\"traffic_direction\":\"", egress ? "EGRESS" : "INGRESS");
	bf_text_puts(out,
		     ev->flags & BPFAST_EF_REPLY ? ",\"is_reply\":true" : ",\"is_reply\":false");
	add_policies(out,
		     ev->verdict == BPFAST_V_FORWARDED
			     ? (egress ? "egress_allowed_by" : "ingress_allowed_by")
			     : (egress ? "egress_denied_by" : "ingress_denied_by"),
		     bf_view_ref(view, ev->ref));
	bf_text_puts(out, "},\"node_name\":");
	bf_text_json(out, options->node_name, strlen(options->node_name));
	bf_text_puts(out, ",\"time\":");
	add_time(out, ev, options->wall_offset_ns);
	bf_text_puts(out, "}\n");
}
