// SPDX-License-Identifier: Apache-2.0
/* The metrics as Prometheus reads them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "observe/exposition.h"

static struct bf_text text;

static int make(void **state)
{
	static struct bf_shield_numbers guarded[2];
	static const char *const kinds[] = {"syn", "udp"};
	static const uint64_t begun[] = {31, 32}, running[] = {0, 1};
	const struct bf_detection_numbers detection = {
		.kinds = 2,
		.kind = kinds,
		.begun = begun,
		.running = running,
		.destinations = 33,
		.samples = 34,
		.samples_lost = 35,
	};
	static struct bpfast_metrics m;
	const uint64_t entries[2] = {24, 25};
	struct bf_datapath_status s = {.hook = "tcx",
				       .flows_used = 7,
				       .flows_max = 100,
				       .flows_per_endpoint = 50,
				       .flows_most = 4,
				       .endpoints_full = 2};
	struct bf_agent_numbers a = {.version = "1.2.3", .revision = 5, .cpu_seconds = 0.25};

	(void)state;
	m.packets[BPFAST_EGRESS] = 11;
	m.dropped[BPFAST_INGRESS][BPFAST_R_POLICY_DENIED] = 12;
	m.http_requests[BPFAST_V_DROPPED] = 13;
	m.http_latency[0] = 1;
	m.http_latency[3] = 2;
	m.http_latency[BPFAST_LATENCY_BUCKETS - 1] = 4;
	m.http_latency_sum_ns = 1500000000;
	bf_exposition(&text, &m, &s, &a);
	strcpy(guarded[0].interface, "eth0");
	strcpy(guarded[1].interface, "eth1");
	guarded[0].count.passed = 21;
	guarded[1].count.dropped[BPFAST_R_SHIELD_STATE - BPFAST_R_SHIELD] = 22;
	guarded[1].count.class[BPFAST_SC_UDP] = 23;
	bf_shield_exposition(&text, guarded, 2, entries);
	bf_detection_exposition(&text, &detection);
	return text.failed;
}

static int unmake(void **state)
{
	(void)state;
	bf_text_free(&text);
	return 0;
}

static void has(const char *line)
{
	char with[300];

	snprintf(with, sizeof(with), "\n%s\n", line);
	if (!strstr(text.data, with))
		fail_msg("missing: %s", line);
}

static void values(void **state)
{
	(void)state;
	has("bpfast_forwarded_packets_total{direction=\"egress\"} 11");
	has("bpfast_dropped_packets_total{direction=\"ingress\",reason=\"policy-denied\"} 12");
	has("bpfast_http_requests_total{verdict=\"dropped\"} 13");
	has("bpfast_flows 7");
	has("bpfast_flows_limit 100");
	has("bpfast_endpoint_flows_most 4");
	has("bpfast_endpoint_flows_limit 50");
	has("bpfast_endpoints_flows_full 2");
	has("bpfast_build_info{version=\"1.2.3\",hook=\"tcx\"} 1");
	has("bpfast_policy_revision 5");
	has("process_cpu_seconds_total 0.25");
	has("bpfast_shield_passed_packets_total{interface=\"eth0\"} 21");
	has("bpfast_shield_dropped_packets_total{interface=\"eth1\",reason=\"shield-out-of-state\"}"
	    " "
	    "22");
	has("bpfast_shield_class_packets_total{interface=\"eth1\",class=\"udp\"} 23");
	has("bpfast_shield_list_entries{list=\"allow\"} 25");
	has("bpfast_shield_attacks_total{kind=\"udp\"} 32");
	has("bpfast_shield_attacks_running{kind=\"udp\"} 1");
	has("bpfast_shield_destinations 33");
	has("bpfast_shield_samples_lost_total 35");
}

/* Buckets count up; the last is all; bounds are seconds (2^14 ns first). */
static void histogram(void **state)
{
	(void)state;
	has("bpfast_http_latency_seconds_bucket{le=\"1.6384e-05\"} 1");
	has("bpfast_http_latency_seconds_bucket{le=\"3.2768e-05\"} 1");
	has("bpfast_http_latency_seconds_bucket{le=\"0.000131072\"} 3");
	has("bpfast_http_latency_seconds_bucket{le=\"+Inf\"} 7");
	has("bpfast_http_latency_seconds_sum 1.500000000");
	has("bpfast_http_latency_seconds_count 7");
}

/* Each series stands below the HELP and TYPE of its family; counters end in _total. */
static void well_formed(void **state)
{
	char *copy = strdup(text.data), *save = NULL, *line, family[100] = "", type[20] = "",
	     name[100];
	int families = 0;

	(void)state;
	for (line = strtok_r(copy, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		if (!strncmp(line, "# HELP ", 7)) {
			assert_int_equal(sscanf(line, "# HELP %99s", family), 1);
			type[0] = 0;
			families++;
			continue;
		}
		if (!strncmp(line, "# TYPE ", 7)) {
			assert_int_equal(sscanf(line, "# TYPE %99s %19s", name, type), 2);
			assert_string_equal(name, family);
			if (!strcmp(type, "counter"))
				assert_string_equal(name + strlen(name) - 6, "_total");
			continue;
		}
		assert_int_not_equal(type[0], 0);
		assert_int_equal(sscanf(line, "%99[a-z0-9_]", name), 1);
		assert_int_equal(strncmp(name, family, strlen(family)), 0);
		if (strcmp(type, "histogram"))
			assert_string_equal(name, family);
		assert_true(isdigit((unsigned char)line[strlen(line) - 1]));
	}
	assert_true(families > 20);
	free(copy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(values),
		cmocka_unit_test(histogram),
		cmocka_unit_test(well_formed),
	};

	return cmocka_run_group_tests(tests, make, unmake);
}
