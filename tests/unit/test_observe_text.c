// SPDX-License-Identifier: Apache-2.0
/* Bytes that others chose must not become control sequences, nor break JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "observe/text.h"

static char *safe(const char *s, size_t len, bool lines)
{
	struct bf_text t = {0};

	bf_text_safe(&t, s, len, lines);
	assert_false(t.failed);
	return t.data;
}

static void expect_safe(const char *in, const char *out)
{
	char *got = safe(in, strlen(in), false);

	assert_string_equal(got, out);
	free(got);
}

static void plain_text_passes(void **state)
{
	(void)state;
	expect_safe("GET /index.html", "GET /index.html");
	expect_safe("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9d",
		    "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x90\x9d");
}

static void control_bytes_do_not(void **state)
{
	(void)state;
	expect_safe("a\033[31mb", "a\\x1b[31mb");
	expect_safe("a\nb\tc\rd\x7f", "a\\x0ab\\x09c\\x0dd\\x7f");
	/* C1 controls: CSI as one character, and as bytes that are no UTF-8. */
	expect_safe("\xc2\x9b"
		    "31m",
		    "\\xc2\\x9b31m");
	expect_safe("\x9b"
		    "31m",
		    "\\x9b31m");
}

static void ill_formed_utf8_does_not(void **state)
{
	(void)state;
	expect_safe("\xc0\xaf", "\\xc0\\xaf"); /* overlong */
	expect_safe("\xe0\x80\xaf", "\\xe0\\x80\\xaf");
	expect_safe("\xed\xa0\x80", "\\xed\\xa0\\x80"); /* surrogate */
	expect_safe("\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"); /* above U+10FFFF */
	expect_safe("\xe2\x82", "\\xe2\\x82"); /* cut */
}

static void writing_direction_is_not_turned(void **state)
{
	(void)state;
	expect_safe("a\xe2\x80\xae"
		    "b",
		    "a\\xe2\\x80\\xaeb"); /* U+202E */
	expect_safe("a\xe2\x81\xa6"
		    "b",
		    "a\\xe2\\x81\\xa6b"); /* U+2066 */
}

static void lines_pass_where_allowed(void **state)
{
	char *got = safe("a\nb\033", 4, true);

	(void)state;
	assert_string_equal(got, "a\nb\\x1b");
	free(got);
}

static void wire_bytes_can_be_told_from_escapes(void **state)
{
	struct bf_text t = {0};

	(void)state;
	bf_text_wire(&t, "a\\x41\x01\xc3\xa9", 8);
	assert_string_equal(t.data, "a\\x5cx41\\x01\\xc3\\xa9");
	bf_text_free(&t);
}

/* Every byte value and every pair of them gives a JSON string that a parser takes. */
static void every_byte_gives_valid_json(void **state)
{
	struct bf_text t = {0};
	char pair[2];
	json_t *o;
	int i, k;

	(void)state;
	for (i = 0; i < 256; i++) {
		for (k = 0; k < 256; k += i % 16 ? 51 : 1) {
			pair[0] = (char)i;
			pair[1] = (char)k;
			bf_text_clear(&t);
			bf_text_puts(&t, "[");
			bf_text_json(&t, pair, 2);
			bf_text_puts(&t, ",");
			bf_text_json_wire(&t, pair, 2);
			bf_text_puts(&t, "]");
			o = json_loadb(t.data, t.len, JSON_ALLOW_NUL, NULL);
			assert_non_null(o);
			assert_int_equal(json_array_size(o), 2);
			json_decref(o);
		}
	}
	bf_text_free(&t);
}

static void json_keeps_what_it_can(void **state)
{
	struct bf_text t = {0};
	json_t *o;

	(void)state;
	bf_text_json(&t, "a\"b\\c\n\xc3\xa9", 8);
	o = json_loads(t.data, JSON_DECODE_ANY, NULL);
	assert_string_equal(json_string_value(o), "a\"b\\c\n\xc3\xa9");
	json_decref(o);
	bf_text_free(&t);
}

static void long_text_grows(void **state)
{
	struct bf_text t = {0};
	int i;

	(void)state;
	for (i = 0; i < 10000; i++)
		bf_text_printf(&t, "%0100d", i);
	assert_int_equal(t.len, 1000000);
	assert_int_equal(strlen(t.data), 1000000);
	bf_text_printf(&t, "%01000d", 7);
	assert_int_equal(t.len, 1001000);
	assert_int_equal(t.data[t.len - 1], '7');
	bf_text_free(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_text_passes),
		cmocka_unit_test(control_bytes_do_not),
		cmocka_unit_test(ill_formed_utf8_does_not),
		cmocka_unit_test(writing_direction_is_not_turned),
		cmocka_unit_test(lines_pass_where_allowed),
		cmocka_unit_test(wire_bytes_can_be_told_from_escapes),
		cmocka_unit_test(every_byte_gives_valid_json),
		cmocka_unit_test(json_keeps_what_it_can),
		cmocka_unit_test(long_text_grows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
