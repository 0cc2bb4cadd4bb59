// SPDX-License-Identifier: Apache-2.0
/* Raw records to JSON and to a line for people; filters; the ring they wait in. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <jansson.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bpfast/image.h"
#include "bpfast/reasons.h"
#include "observe/filter.h"
#include "observe/names.h"
#include "observe/record.h"
#include "observe/recorder.h"

#define CART_ID 300
#define WEB_ID 301
#define REF "PayloadPolicy\tshop\tweb\tspec.ingress[0].toPorts[0]\nNetworkPolicy\tshop\tall\t"

static struct bf_view *view;

static void put_address(uint8_t to[16], const char *text)
{
	assert_int_equal(bf_address_parse(text, to), 0);
}

/* Two endpoints, two identities and one attribution at offset 8. */
static int make_view(void **state)
{
	static uint8_t cart_addr[1][16], web_addr[2][16];
	struct bf_endpoint e[2] = {
		{.name = "cart",
		 .namespace = "shop",
		 .addrs = cart_addr,
		 .addr_count = 1,
		 .slot = 4},
		{.name = "web", .namespace = "shop", .addrs = web_addr, .addr_count = 2, .slot = 2},
	};
	struct bf_identity ids[2] = {
		{WEB_ID, "k8s:app=web;k8s:io.kubernetes.pod.namespace=shop"},
		{CART_ID, "k8s:app=cart"},
	};
	struct {
		struct bpfast_image head;
		struct bpfast_image_endpoint endpoint[5];
		char strings[8 + sizeof(REF)];
	} image = {.head = {.endpoint_off = sizeof(struct bpfast_image),
			    .endpoint_count = 5,
			    .string_off = sizeof(struct bpfast_image) +
					  5 * sizeof(struct bpfast_image_endpoint),
			    .string_size = 8 + sizeof(REF)},
		   .endpoint = {[2] = {.identity = WEB_ID}, [4] = {.identity = CART_ID}}};
	struct bf_image im = {.blob = {.data = (uint8_t *)&image, .len = sizeof(image)},
			      .identities = ids,
			      .identity_count = 2};
	struct bf_world world = {.endpoints = e, .endpoint_count = 2};

	(void)state;
	memcpy(image.strings + 8, REF, sizeof(REF));
	put_address(cart_addr[0], "10.0.0.7");
	put_address(web_addr[0], "10.0.0.8");
	put_address(web_addr[1], "fd00::8");
	view = bf_view_new(9, &im, &world);
	return view ? 0 : -1;
}

static int free_view(void **state)
{
	(void)state;
	bf_view_free(view);
	return 0;
}

/* cart asks web, as web's ingress sees it. */
static struct bpfast_event request(const char *text)
{
	struct bpfast_event ev = {
		.time_ns = 5000000007,
		.generation = 9,
		.ref = 8,
		.remote_identity = CART_ID, /* the own one is known by the slot */
		.endpoint = 2,
		.type = BPFAST_EV_HTTP_REQUEST,
		.verdict = BPFAST_V_DROPPED,
		.reason = BPFAST_R_HTTP_DENIED,
		.protocol = IPPROTO_TCP,
		.ip_version = 4,
		.source_port = 41000,
		.destination_port = 80,
		.tcp_flags = 0x18,
		.http_minor = 1,
	};

	put_address(ev.source, "10.0.0.7");
	put_address(ev.destination, "10.0.0.8");
	ev.text_len = (uint16_t)strlen(text);
	memcpy(ev.text, text, strlen(text));
	return ev;
}

static json_t *json_of(const struct bpfast_event *ev, const struct bf_view *v, bool show_query)
{
	struct bf_record_options options = {.node_name = "node-1",
					    .wall_offset_ns = 1700000000000000000,
					    .show_query = show_query};
	struct bf_text t = {0};
	json_error_t je;
	json_t *o;

	bf_record_json(&t, ev, v, &options);
	assert_false(t.failed);
	/* One line, whatever is in the record. */
	assert_ptr_equal(strchr(t.data, '\n'), t.data + t.len - 1);
	o = json_loadb(t.data, t.len, JSON_REJECT_DUPLICATES, &je);
	if (!o)
		fail_msg("%s in %s", je.text, t.data);
	bf_text_free(&t);
	return o;
}

static const json_t *at(const json_t *o, const char *path)
{
	char copy[128], *part, *rest = copy;

	strcpy(copy, path);
	while (o && (part = strsep(&rest, ".")))
		o = *part >= '0' && *part <= '9' ? json_array_get(o, (size_t)atoi(part))
						 : json_object_get(o, part);
	return o;
}

static void expect(const json_t *o, const char *path, const char *want)
{
	const char *got = json_string_value(at(o, path));

	if (!got || strcmp(got, want))
		fail_msg("%s: got %s, want %s", path, got ? got : "nothing", want);
}

static void a_denied_request(void **state)
{
	struct bpfast_event ev = request("POST /api/v1/orders");
	json_t *o = json_of(&ev, view, false);

	(void)state;
	expect(o, "time", "2023-11-14T22:13:25.000000007Z");
	expect(o, "flow.time", "2023-11-14T22:13:25.000000007Z");
	expect(o, "node_name", "node-1");
	expect(o, "flow.verdict", "DROPPED");
	expect(o, "flow.drop_reason_desc", "http-rule-denied");
	expect(o, "flow.IP.source", "10.0.0.7");
	expect(o, "flow.IP.destination", "10.0.0.8");
	expect(o, "flow.IP.ipVersion", "IPv4");
	assert_int_equal(json_integer_value(at(o, "flow.l4.TCP.source_port")), 41000);
	assert_int_equal(json_integer_value(at(o, "flow.l4.TCP.destination_port")), 80);
	assert_true(json_is_true(at(o, "flow.l4.TCP.flags.PSH")));
	assert_true(json_is_true(at(o, "flow.l4.TCP.flags.ACK")));
	assert_null(at(o, "flow.l4.TCP.flags.SYN"));
	assert_int_equal(json_integer_value(at(o, "flow.source.identity")), CART_ID);
	expect(o, "flow.source.namespace", "shop");
	expect(o, "flow.source.pod_name", "cart");
	expect(o, "flow.source.labels.0", "k8s:app=cart");
	expect(o, "flow.destination.pod_name", "web");
	assert_int_equal(json_integer_value(at(o, "flow.destination.identity")), WEB_ID);
	expect(o, "flow.destination.labels.1", "k8s:io.kubernetes.pod.namespace=shop");
	expect(o, "flow.Type", "L7");
	expect(o, "flow.l7.type", "REQUEST");
	expect(o, "flow.l7.http.method", "POST");
	expect(o, "flow.l7.http.url", "/api/v1/orders");
	expect(o, "flow.l7.http.protocol", "HTTP/1.1");
	expect(o, "flow.traffic_direction", "INGRESS");
	assert_true(json_is_false(at(o, "flow.is_reply")));
	assert_int_equal(json_array_size(at(o, "flow.ingress_denied_by")), 2);
	expect(o, "flow.ingress_denied_by.0.kind", "PayloadPolicy");
	expect(o, "flow.ingress_denied_by.0.namespace", "shop");
	expect(o, "flow.ingress_denied_by.0.name", "web");
	expect(o, "flow.ingress_denied_by.0.rule", "spec.ingress[0].toPorts[0]");
	expect(o, "flow.ingress_denied_by.1.name", "all");
	expect(o, "flow.ingress_denied_by.1.rule", "");
	assert_null(at(o, "flow.egress_denied_by"));
	json_decref(o);
}

static void a_response(void **state)
{
	struct bpfast_event ev = request("GET /a");
	json_t *o;

	(void)state;
	ev.type = BPFAST_EV_HTTP_RESPONSE;
	ev.verdict = BPFAST_V_FORWARDED;
	ev.reason = BPFAST_R_NONE;
	ev.flags = BPFAST_EF_REPLY;
	ev.status = 200;
	ev.latency_ns = 1234567;
	ev.ref = 0;
	put_address(ev.source, "10.0.0.8");
	put_address(ev.destination, "10.0.0.7");
	o = json_of(&ev, view, false);
	expect(o, "flow.verdict", "FORWARDED");
	assert_null(at(o, "flow.drop_reason_desc"));
	expect(o, "flow.source.pod_name", "web");
	assert_int_equal(json_integer_value(at(o, "flow.source.identity")), WEB_ID);
	expect(o, "flow.destination.pod_name", "cart");
	expect(o, "flow.l7.type", "RESPONSE");
	assert_int_equal(json_integer_value(at(o, "flow.l7.http.code")), 200);
	assert_int_equal(json_integer_value(at(o, "flow.l7.latency_ns")), 1234567);
	expect(o, "flow.traffic_direction", "INGRESS");
	assert_true(json_is_true(at(o, "flow.is_reply")));
	assert_null(at(o, "flow.ingress_allowed_by"));
	json_decref(o);
}

/* Dates against the C library's, over leap years and ends of months. */
static void dates(void **state)
{
	static const int64_t days[] = {0, 58, 59, 365, 789, 790, 11016, 11017, 19782, 19783, 47540};
	struct bpfast_event ev = request("GET /");
	struct bf_record_options options = {.node_name = "n"};
	struct bf_text t = {0};
	char want[64];
	struct tm tm;
	time_t s;
	size_t i;

	(void)state;
	ev.time_ns = 0;
	for (i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
		s = (time_t)(days[i] * 86400 + 86399);
		options.wall_offset_ns = (int64_t)s * 1000000000 + 42;
		gmtime_r(&s, &tm);
		strftime(want, sizeof(want), "\"time\":\"%Y-%m-%dT%H:%M:%S.000000042Z\"", &tm);
		bf_text_clear(&t);
		bf_record_json(&t, &ev, NULL, &options);
		if (!strstr(t.data, want))
			fail_msg("want %s in %s", want, t.data);
	}
	bf_text_free(&t);
}

/* The four ways in which a packet can lie to the endpoint it is about. */
static void who_is_source(void **state)
{
	static const struct {
		uint8_t flags;
		bool local;
	} rows[] = {
		{0, false},
		{BPFAST_EF_REPLY, true},
		{BPFAST_EF_EGRESS, true},
		{BPFAST_EF_EGRESS | BPFAST_EF_REPLY, false},
	};
	struct bpfast_event ev = {0};
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ev.flags = rows[i].flags;
		assert_int_equal(bf_record_local_is_source(&ev), rows[i].local);
	}
}

static void egress_to_the_world(void **state)
{
	struct bpfast_event ev = request("");
	json_t *o;

	(void)state;
	ev.type = BPFAST_EV_L3_L4;
	ev.flags = BPFAST_EF_EGRESS;
	ev.endpoint = 4;
	ev.remote_identity = BPFAST_ID_WORLD;
	ev.protocol = IPPROTO_UDP;
	ev.destination_port = 53;
	put_address(ev.destination, "192.0.2.1");
	o = json_of(&ev, view, false);
	expect(o, "flow.Type", "L3_L4");
	assert_null(at(o, "flow.l7"));
	assert_int_equal(json_integer_value(at(o, "flow.l4.UDP.destination_port")), 53);
	expect(o, "flow.source.pod_name", "cart");
	assert_null(at(o, "flow.destination.pod_name"));
	expect(o, "flow.destination.labels.0", "reserved:world");
	expect(o, "flow.egress_denied_by.0.name", "web");
	json_decref(o);
}

static void without_a_view(void **state)
{
	struct bpfast_event ev = request("GET /");
	json_t *o = json_of(&ev, NULL, false);

	(void)state;
	assert_null(at(o, "flow.source.pod_name"));
	assert_int_equal(json_integer_value(at(o, "flow.source.identity")), CART_ID);
	assert_null(at(o, "flow.ingress_denied_by"));
	json_decref(o);
}

static void frames_without_ip_and_other_protocols(void **state)
{
	struct bpfast_event ev = request("");
	json_t *o;

	(void)state;
	ev.type = BPFAST_EV_L3_L4;
	ev.ip_version = 0;
	o = json_of(&ev, view, false);
	assert_null(at(o, "flow.IP"));
	assert_null(at(o, "flow.l4"));
	json_decref(o);

	ev.ip_version = 6;
	ev.protocol = IPPROTO_ICMPV6;
	ev.icmp_type = 128;
	put_address(ev.source, "fd00::7");
	put_address(ev.destination, "fd00::8");
	o = json_of(&ev, view, false);
	expect(o, "flow.IP.source", "fd00::7");
	expect(o, "flow.IP.ipVersion", "IPv6");
	assert_int_equal(json_integer_value(at(o, "flow.l4.ICMPv6.type")), 128);
	json_decref(o);

	ev.protocol = 47;
	o = json_of(&ev, view, false);
	assert_null(at(o, "flow.l4"));
	json_decref(o);
}

static void url(const char *text, bool show, const char *want)
{
	struct bpfast_event ev = request(text);
	json_t *o = json_of(&ev, view, show);

	expect(o, "flow.l7.http.url", want);
	json_decref(o);
}

static void secrets_are_redacted(void **state)
{
	(void)state;
	url("GET /a?token=secret", false, "/a?[redacted]");
	url("GET /a?token=secret?x", false, "/a?[redacted]");
	url("GET /a?token=secret", true, "/a?token=secret");
	url("GET /a?", false, "/a?");
	url("GET http://u:pw@h/x?y", false, "http://[redacted]@h/x?[redacted]");
	url("GET http://u:p@q@h/x", false, "http://[redacted]@h/x");
	/* An '@' behind the authority is no user information. */
	url("GET http://h/x@y", false, "http://h/x@y");
	url("GET /x://u@h", false, "/x://u@h");
}

static void a_cut_target_says_so(void **state)
{
	struct bpfast_event ev = request("GET /aaaa");
	json_t *o;

	(void)state;
	ev.flags |= BPFAST_EF_TEXT_CUT;
	o = json_of(&ev, view, false);
	expect(o, "flow.l7.http.url", "/aaaa...");
	json_decref(o);
}

/* Whatever bytes a record holds, it is one line of valid JSON without control bytes. */
static void hostile_records(void **state)
{
	struct bf_record_options options = {.node_name = "n", .show_query = true};
	struct bpfast_event ev;
	struct bf_text t = {0};
	unsigned int seed = 12345;
	json_t *o;
	size_t k;
	int i;

	(void)state;
	for (i = 0; i < 3000; i++) {
		uint8_t *bytes = (uint8_t *)&ev;

		for (k = 0; k < sizeof(ev); k++) {
			seed = seed * 1103515245 + 12345;
			bytes[k] = (uint8_t)(seed >> 16);
		}
		if (i % 2)
			ev.type %= 3;
		bf_text_clear(&t);
		bf_record_json(&t, &ev, i % 3 ? view : NULL, &options);
		o = json_loadb(t.data, t.len, JSON_REJECT_DUPLICATES, NULL);
		if (!o)
			fail_msg("not JSON: %s", t.data);
		for (k = 0; k + 1 < t.len; k++)
			assert_true(t.data[k] >= 0x20 && t.data[k] < 0x7f);
		bf_text_clear(&t);
		bf_record_compact(&t, o, false);
		for (k = 0; k + 1 < t.len; k++)
			assert_true(t.data[k] >= 0x20 && t.data[k] < 0x7f);
		json_decref(o);
	}
	bf_text_free(&t);
}

static void one_line_for_people(void **state)
{
	struct bpfast_event ev = request("POST /api/v1/orders?x=1");
	json_t *o = json_of(&ev, view, false);
	struct bf_text t = {0};

	(void)state;
	setenv("TZ", "UTC", 1);
	bf_record_compact(&t, o, false);
	assert_string_equal(
		t.data, "22:13:25.000 DROPPED   INGRESS shop/cart:41000 -> shop/web:80 HTTP/1.1 "
			"POST /api/v1/orders?[redacted] http-rule-denied by "
			"PayloadPolicy/shop/web spec.ingress[0].toPorts[0], "
			"NetworkPolicy/shop/all\n");
	bf_text_free(&t);
	json_decref(o);
}

static bool matches(const char *verdict, const char *protocol, const char *endpoint,
		    const struct bpfast_event *ev)
{
	struct bf_filter f;
	struct bf_error err;
	bool r;

	assert_int_equal(bf_filter_init(&f, verdict, protocol, endpoint, &err), 0);
	r = bf_filter_matches(&f, ev, view);
	bf_filter_free(&f);
	return r;
}

static void filters(void **state)
{
	struct bpfast_event ev = request("GET /");
	struct bf_error err;
	struct bf_filter f;

	(void)state;
	assert_true(matches(NULL, NULL, NULL, &ev));
	assert_true(matches("dropped", NULL, NULL, &ev));
	assert_false(matches("FORWARDED", NULL, NULL, &ev));
	assert_true(matches(NULL, "http", NULL, &ev));
	assert_true(matches(NULL, "tcp", NULL, &ev));
	assert_true(matches(NULL, "6", NULL, &ev));
	assert_false(matches(NULL, "udp", NULL, &ev));
	assert_true(matches(NULL, NULL, "web", &ev)); /* the judged side */
	assert_true(matches(NULL, NULL, "shop/cart", &ev)); /* the other side */
	assert_false(matches(NULL, NULL, "other/cart", &ev));
	assert_false(matches(NULL, NULL, "car", &ev));
	ev.type = BPFAST_EV_L3_L4;
	assert_false(matches(NULL, "http", NULL, &ev));
	assert_int_equal(bf_filter_init(&f, "maybe", NULL, NULL, &err), -EINVAL);
	assert_non_null(strstr(err.msg, "maybe"));
	assert_int_equal(bf_filter_init(&f, NULL, "quic", NULL, &err), -EINVAL);
}

static void the_ring_forgets_the_oldest(void **state)
{
	struct bpfast_event ev = {0};
	struct bf_recorder r;
	unsigned int i;

	(void)state;
	assert_int_equal(bf_recorder_init(&r, 3), 0);
	assert_null(bf_recorder_get(&r, 0));
	for (i = 0; i < 5; i++) {
		ev.length = i;
		bf_recorder_add(&r, &ev);
	}
	assert_int_equal(bf_recorder_oldest(&r), 2);
	assert_null(bf_recorder_get(&r, 1));
	for (i = 2; i < 5; i++)
		assert_int_equal(bf_recorder_get(&r, i)->length, i);
	assert_null(bf_recorder_get(&r, 5));
	bf_recorder_free(&r);
}

static void views_are_found_by_generation(void **state)
{
	struct bf_world world = {0};
	struct bf_image image = {0};
	struct bf_views views = {0};
	uint32_t g;

	(void)state;
	assert_null(bf_views_find(&views, 1));
	for (g = 1; g <= BF_VIEWS_MAX + 3; g++)
		bf_views_add(&views, bf_view_new(g, &image, &world));
	assert_null(bf_views_find(&views, 3));
	assert_int_equal(bf_views_find(&views, 4)->generation, 4);
	assert_int_equal(bf_views_find(&views, BF_VIEWS_MAX + 3)->generation, BF_VIEWS_MAX + 3);
	bf_views_free(&views);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_denied_request),
		cmocka_unit_test(a_response),
		cmocka_unit_test(dates),
		cmocka_unit_test(who_is_source),
		cmocka_unit_test(egress_to_the_world),
		cmocka_unit_test(without_a_view),
		cmocka_unit_test(frames_without_ip_and_other_protocols),
		cmocka_unit_test(secrets_are_redacted),
		cmocka_unit_test(a_cut_target_says_so),
		cmocka_unit_test(hostile_records),
		cmocka_unit_test(one_line_for_people),
		cmocka_unit_test(filters),
		cmocka_unit_test(the_ring_forgets_the_oldest),
		cmocka_unit_test(views_are_found_by_generation),
	};

	return cmocka_run_group_tests(tests, make_view, free_view);
}
