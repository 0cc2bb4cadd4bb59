// SPDX-License-Identifier: Apache-2.0
/* The end of memory, at every allocation of a compile: an error each time, and nothing lost. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <bpfast/image.h>

#include "failing_malloc.h"
#include "match/ruleset.h"

static void test_ruleset(void **unused)
{
	char host[] = "Host", x[] = "x", a[] = "X-A", b[] = "X-B";
	char method[] = "GET|P[^A-C]{1,3}", path[] = "/(?P<a>a|b)*/[[:alpha:]]+.*";
	char target[] = "(?i)/x?q=.*\\Qabc\\E$", name[] = ".*\\.b";
	struct bf_http_header headers[] = {{host, x, BF_HEADER_EQUALS},
					   {a, NULL, BF_HEADER_PRESENT},
					   {b, x, BF_HEADER_EQUALS}};
	const struct bf_http_rule rules[] = {
		{.method = method, .path = path, .headers = headers, .header_count = 3},
		{.path = target, .path_has_query = true, .host = name},
	};
	long n = 0;
	int ret;

	(void)unused;
	/* Only the one allocation fails; those after it succeed again. */
	do {
		struct bpfast_image_ruleset rs;
		struct bf_error err = {{0}};
		struct bf_blob blob = {0};
		uint32_t off;

		assert_int_equal(bf_blob_append(&blob, NULL, 8, &off), 0);
		left = n++;
		ret = bf_ruleset_emit(&blob, rules, 2, "abc", 3, NULL, &rs, NULL, &err);
		if (ret && (ret != -ENOMEM || !err.msg[0]))
			fail_msg("allocation %ld: %d, %s", n, ret, err.msg);
		if (!ret && left < 0)
			fail_msg("allocation %ld failed, and nobody noticed", n);
		left = -1;
		bf_blob_free(&blob);
	} while (ret);
	printf("%ld allocations\n", n - 1);
	assert_true(n > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_ruleset)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
