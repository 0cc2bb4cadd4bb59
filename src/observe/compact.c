// SPDX-License-Identifier: Apache-2.0
/* One line of a record for people. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "observe/record.h"

static const char *str(const json_t *o, const char *key)
{
	const char *s = json_string_value(json_object_get(o, key));

	return s ? s : "";
}

static void add_safe(struct bf_text *out, const char *s)
{
	bf_text_safe(out, s, strlen(s), false);
}

static void add_padded(struct bf_text *out, const char *s, size_t width)
{
	size_t from = out->len;

	add_safe(out, s);
	while (!out->failed && out->len < from + width)
		bf_text_puts(out, " ");
}

/* The time of day where the reader is; the date stands in the JSON. */
static void add_clock(struct bf_text *out, const char *utc)
{
	struct tm tm = {0}, local;
	const char *rest = strptime(utc, "%Y-%m-%dT%H:%M:%S", &tm);
	char buf[16];
	time_t t;

	if (!rest) {
		add_safe(out, utc);
		return;
	}
	t = timegm(&tm);
	localtime_r(&t, &local);
	strftime(buf, sizeof(buf), "%H:%M:%S", &local);
	bf_text_printf(out, "%s%.4s", buf, *rest == '.' ? rest : "");
}

static void add_who(struct bf_text *out, const json_t *side, const char *address, long port)
{
	const char *name = str(side, "pod_name");
	const json_t *labels = json_object_get(side, "labels");
	const char *first = json_string_value(json_array_get(labels, 0));

	if (*name) {
		add_safe(out, str(side, "namespace"));
		bf_text_puts(out, "/");
		add_safe(out, name);
	} else {
		bool v6 = strchr(address, ':') && port >= 0;

		bf_text_puts(out, v6 ? "[" : "");
		add_safe(out, *address ? address : "-");
		bf_text_puts(out, v6 ? "]" : "");
	}
	if (port >= 0)
		bf_text_printf(out, ":%ld", port);
	if (!*name && first && (!strncmp(first, "reserved:", 9) || !strncmp(first, "cidr:", 5))) {
		bf_text_puts(out, " (");
		add_safe(out, strchr(first, ':') + 1);
		bf_text_puts(out, ")");
	}
}

static void add_by(struct bf_text *out, const json_t *flow)
{
	static const char *const keys[] = {"egress_denied_by", "ingress_denied_by",
					   "egress_allowed_by", "ingress_allowed_by"};
	const json_t *list, *p;
	size_t i, k;
	bool first = true;

	for (k = 0; k < 4; k++) {
		list = json_object_get(flow, keys[k]);
		json_array_foreach (list, i, p) {
			bf_text_puts(out, first ? " by " : ", ");
			first = false;
			add_safe(out, str(p, "kind"));
			if (*str(p, "namespace")) {
				bf_text_puts(out, "/");
				add_safe(out, str(p, "namespace"));
			}
			bf_text_puts(out, "/");
			add_safe(out, str(p, "name"));
			if (*str(p, "rule")) {
				bf_text_puts(out, " ");
				add_safe(out, str(p, "rule"));
			}
		}
	}
}

static void add_http(struct bf_text *out, const json_t *l7)
{
	const json_t *http = json_object_get(l7, "http");
	const json_t *latency = json_object_get(l7, "latency_ns");
	bool response = !strcmp(str(l7, "type"), "RESPONSE");

	bf_text_puts(out, " ");
	add_safe(out, str(http, "protocol"));
	if (response)
		bf_text_printf(out, " %lld",
			       (long long)json_integer_value(json_object_get(http, "code")));
	if (latency)
		bf_text_printf(out, " %.3fms", (double)json_integer_value(latency) / 1e6);
	if (*str(http, "method")) {
		bf_text_puts(out, " ");
		add_safe(out, str(http, "method"));
		bf_text_puts(out, " ");
		add_safe(out, str(http, "url"));
	}
}

static long long count(const json_t *o, const char *key)
{
	return (long long)json_integer_value(json_object_get(o, key));
}

static void add_attack(struct bf_text *out, const json_t *record, bool colour)
{
	const json_t *attack = json_object_get(record, "attack"), *rule;
	bool over = !strcmp(str(attack, "state"), "ended");
	size_t i;

	add_clock(out, str(record, "time"));
	bf_text_puts(out, colour ? over ? " \033[32m" : " \033[31m" : " ");
	add_padded(out, "ATTACK", 9);
	bf_text_puts(out, colour ? "\033[0m " : " ");
	add_padded(out, over ? "OVER" : "BEGINS", 8);
	bf_text_printf(out, "#%lld ", count(attack, "id"));
	add_safe(out, str(attack, "kind"));
	bf_text_puts(out, " -> ");
	add_safe(out, str(json_object_get(attack, "target"), "text"));
	if (!over) {
		bf_text_printf(out, " %lld packets/s, ordinary %lld\n",
			       count(attack, "detected_packets_per_second"),
			       count(attack, "ordinary_packets_per_second"));
		return;
	}
	bf_text_printf(out, " peak %lld packets/s, %lld dropped, %lld passed",
		       count(attack, "peak_packets_per_second"), count(attack, "dropped"),
		       count(attack, "passed"));
	json_array_foreach (json_object_get(attack, "rules"), i, rule) {
		bf_text_puts(out, ", rule: ");
		add_safe(out, str(rule, "rule"));
	}
	bf_text_puts(out, "\n");
}

void bf_record_compact(struct bf_text *out, const json_t *record, bool colour)
{
	const json_t *flow = json_object_get(record, "flow"), *ip = json_object_get(flow, "IP");
	const json_t *l4 = json_object_get(flow, "l4"), *l7 = json_object_get(flow, "l7"), *ports;
	const char *verdict = str(flow, "verdict"), *protocol, *paint = "";
	long from = -1, to = -1;
	void *it;

	if (!flow) {
		add_attack(out, record, colour);
		return;
	}
	it = json_object_iter((json_t *)l4);
	protocol = it ? json_object_iter_key(it) : NULL;
	ports = it ? json_object_iter_value(it) : NULL;
	if (json_object_get(ports, "source_port")) {
		from = (long)json_integer_value(json_object_get(ports, "source_port"));
		to = (long)json_integer_value(json_object_get(ports, "destination_port"));
	}
	add_clock(out, str(flow, "time"));
	if (colour)
		paint = !strcmp(verdict, "FORWARDED") ? "\033[32m"
			: !strcmp(verdict, "DROPPED") ? "\033[31m"
						      : "\033[33m";
	bf_text_puts(out, " ");
	bf_text_puts(out, paint);
	add_padded(out, verdict, 9);
	bf_text_puts(out, colour ? "\033[0m " : " ");
	add_padded(out, str(flow, "traffic_direction"), 8);
	add_who(out, json_object_get(flow, "source"), str(ip, "source"), from);
	bf_text_puts(out, " -> ");
	add_who(out, json_object_get(flow, "destination"), str(ip, "destination"), to);
	if (l7) {
		add_http(out, l7);
	} else {
		bf_text_puts(out, " ");
		add_safe(out, protocol ? protocol : "packet");
	}
	if (*str(flow, "drop_reason_desc")) {
		bf_text_puts(out, " ");
		add_safe(out, str(flow, "drop_reason_desc"));
	}
	add_by(out, flow);
	bf_text_puts(out, "\n");
}
