// SPDX-License-Identifier: Apache-2.0
/* The agent's configuration file and flags. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "agent/config.h"

static void read_ok(struct bf_config *c, const char *text)
{
	struct bf_error err = {""};

	assert_int_equal(bf_config_init(c), 0);
	if (bf_config_read(c, "f.yaml", text, strlen(text), &err))
		fail_msg("%s", err.msg);
}

static void every_key(void **state)
{
	struct bf_config c;

	(void)state;
	read_ok(&c, "run-dir: /a\npin-dir: /b\npolicy-dir: off\nlog-dir: /d\n"
		    "metrics-listen: '[::1]:1'\nlog-level: debug\nsocket-group: ops\nnode-name: n\n"
		    "flows: 2048\nflows-per-endpoint: 64\narena-mib: 64\nrecords: "
		    "10\nrecords-per-second: 0\ntcp-idle: 100\n"
		    "other-idle: 20\nforce-clsact: true\n");
	assert_string_equal(c.run_dir, "/a");
	assert_string_equal(c.pin_dir, "/b");
	assert_string_equal(c.policy_dir, "off");
	assert_string_equal(c.log_dir, "/d");
	assert_string_equal(c.metrics_listen, "[::1]:1");
	assert_string_equal(c.log_level, "debug");
	assert_string_equal(c.socket_group, "ops");
	assert_string_equal(c.node_name, "n");
	assert_int_equal(c.flows, 2048);
	assert_int_equal(c.flows_per_endpoint, 64);
	assert_int_equal(c.arena_mib, 64);
	assert_int_equal(c.records, 10);
	assert_int_equal(c.records_per_second, 0);
	assert_int_equal(c.tcp_idle_s, 100);
	assert_int_equal(c.other_idle_s, 20);
	assert_true(c.force_clsact);
	bf_config_free(&c);
}

static void nothing_is_fine(void **state)
{
	static const char *const texts[] = {"", "# only a comment\n", "---\n", "{}\n"};
	struct bf_config c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		read_ok(&c, texts[i]);
		assert_string_equal(c.run_dir, "/run/bpfast");
		bf_config_free(&c);
	}
}

static void flaws_have_a_place(void **state)
{
	static const struct {
		const char *text, *at, *what;
	} rows[] = {
		{"run-dir: /a\nrundir: /b\n", "f.yaml:2:1: ", "unknown key 'rundir'"},
		{"flows: many\n", "f.yaml:1:8: ", "flows: 'many'"},
		{"flows: 10\n", "f.yaml:1:8: ", "1024"},
		{"flows: 99999999999999999999\n", "f.yaml:1:8: ", "flows"},
		{"flows: -1\n", "f.yaml:1:8: ", "flows"},
		{"run-dir: [a]\n", "f.yaml:1:10: ", "one plain value"},
		{"run-dir:\n", "f.yaml:1:9: ", "a value is needed"},
		{"run-dir: /a\nrun-dir: /b\n", "f.yaml:2:1: ", "twice"},
		{"force-clsact: maybe\n", "f.yaml:1:15: ", "neither true nor false"},
		{"- a\n", "f.yaml:1:1: ", "key: value"},
		{"a: b: c\n", "f.yaml:1:5: ", "mapping"},
		{"config: x\n", "f.yaml:1:1: ", "unknown key 'config'"},
	};
	struct bf_config c;
	struct bf_error err;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_int_equal(bf_config_init(&c), 0);
		assert_int_equal(
			bf_config_read(&c, "f.yaml", rows[i].text, strlen(rows[i].text), &err),
			-EINVAL);
		if (strncmp(err.msg, rows[i].at, strlen(rows[i].at)) ||
		    !strstr(err.msg, rows[i].what))
			fail_msg("'%s': %s", rows[i].text, err.msg);
		bf_config_free(&c);
	}
}

static int load(struct bf_config *c, struct bf_error *err, int argc, const char **argv)
{
	assert_int_equal(bf_config_init(c), 0);
	return bf_config_load(c, argc, (char **)argv, err);
}

static void flags_win(void **state)
{
	char file[] = "/tmp/bpfast-config-XXXXXX";
	int fd = mkstemp(file);
	const char *argv[] = {"bpfastd", "--run-dir",	 "/flag",	  "--config",
			      file,	 "--flows=4096", "--force-clsact"};
	const char text[] = "run-dir: /file\npin-dir: /file\n";
	struct bf_error err = {""};
	struct bf_config c;

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
	assert_int_equal(load(&c, &err, 7, argv), BF_CONFIG_RUN);
	assert_string_equal(c.run_dir, "/flag");
	assert_string_equal(c.pin_dir, "/file");
	assert_int_equal(c.flows, 4096);
	assert_true(c.force_clsact);
	bf_config_free(&c);
	unlink(file);
}

static void wrong_flags(void **state)
{
	static const char *const rows[][3] = {
		{"--nope", "x", "--nope"},
		{"stray", NULL, "stray"},
		{"--run-dir", NULL, "run-dir needs a value"},
		{"--flows", "x", "flows"},
		{"--arena-mib", "3", "power of two"},
		{"--flows-per-endpoint", "15", "from 16"},
		{"--config", "/nonexistent/file.yaml", "/nonexistent/file.yaml"},
	};
	struct bf_error err;
	struct bf_config c;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *argv[] = {"bpfastd", rows[i][0], rows[i][1]};

		assert_true(load(&c, &err, rows[i][1] ? 3 : 2, argv) < 0);
		assert_non_null(strstr(err.msg, rows[i][2]));
		bf_config_free(&c);
	}
}

static void more_than_all(void **state)
{
	const char *argv[] = {"bpfastd", "--flows=2000", "--flows-per-endpoint=2001"};
	struct bf_error err;
	struct bf_config c;

	(void)state;
	assert_true(load(&c, &err, 3, argv) < 0);
	assert_non_null(strstr(err.msg, "flows-per-endpoint: 2001 is more than"));
	bf_config_free(&c);
	argv[2] = "--flows-per-endpoint=2000";
	assert_int_equal(load(&c, &err, 3, argv), 0);
	bf_config_free(&c);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_key),	      cmocka_unit_test(nothing_is_fine),
		cmocka_unit_test(flaws_have_a_place), cmocka_unit_test(flags_win),
		cmocka_unit_test(wrong_flags),	      cmocka_unit_test(more_than_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
