// SPDX-License-Identifier: Apache-2.0
/*
 * Policies from text to an image: what is refused has a place and a sentence, what is taken
 * compiles to an image that passes its check, and answers questions.
 */
#include "fuzz.h"

#include <netinet/in.h>

#include "policy/compile.h"
#include "policy/explain.h"
#include "policy/read.h"
#include "policy/shield_plan.h"

static void on_flaw(void *arg, const char *file, int line, int column, const char *message)
{
	(void)file;
	if (line < 1 || column < 1 || !*message)
		FUZZ_FAIL("a flaw at %d:%d: %s", line, column, message);
	++*(unsigned int *)arg;
}

#define REQUEST "GET /a HTTP/1.1\r\nHost: web\r\n\r\n"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t addr[2][16] = {{[10] = 0xff, 0xff, 10, 0, 0, 2}, {[10] = 0xff, 0xff, 10, 0, 0, 3}};
	struct bf_label labels[2] = {{(char *)"app", (char *)"web"},
				     {(char *)"app", (char *)"cart"}};
	struct bf_endpoint ep[2];
	struct bf_objects objects = {0}, copy = {0};
	struct bf_world world = {.objects = &objects, .endpoints = ep, .endpoint_count = 2};
	struct bf_image image = {0};
	struct bf_shield_choice choice;
	struct bf_shield_plan plan;
	struct bf_answer answer;
	struct bf_error err = {""};
	unsigned int flaws = 0;

	for (size_t i = 0; i < 2; i++)
		ep[i] = (struct bf_endpoint){.name = labels[i].value,
					     .namespace = (char *)"shop",
					     .labels = {&labels[i], 1},
					     .addrs = &addr[i],
					     .addr_count = 1,
					     .slot = (int)i};
	if (bf_objects_read(&objects, "input", (const char *)data, size, on_flaw, &flaws)) {
		if (!flaws || objects.policy_count || objects.namespace_count)
			FUZZ_FAIL("refused with %u flaws and %zu policies", flaws,
				  objects.policy_count);
		return 0;
	}
	if (bf_objects_copy(&copy, &objects))
		FUZZ_FAIL("no copy");
	if (bf_image_compile(&world, &image, &err)) {
		if (!*err.msg)
			FUZZ_FAIL("refused without a word");
	} else if (bf_image_check(image.blob.data, image.blob.len, &err)) {
		FUZZ_FAIL("an image that is none: %s", err.msg);
	} else {
		struct bf_question q = {.from = &ep[1],
					.to = &ep[0],
					.protocol = IPPROTO_TCP,
					.port = 80,
					.request = REQUEST,
					.request_len = sizeof(REQUEST) - 1};
		struct bf_cilium_answer cilium = {0};

		if (bf_explain(&image, &q, &answer, &err) ||
		    bf_explain_cilium(&world, &image, &q, &answer, &cilium, &err))
			FUZZ_FAIL("no answer: %s", err.msg);
		bf_cilium_answer_free(&cilium);
	}
	/* What a plan borrows is the objects'. */
	if (bf_shield_plan_make(&copy, &plan, &err)) {
		if (!*err.msg)
			FUZZ_FAIL("contradicts itself without a word");
	} else {
		bf_shield_choose(&copy, "eth0", NULL, &choice);
		bf_shield_choose(&copy, "veth1", &ep[0], &choice);
		bf_shield_plan_free(&plan);
	}
	bf_image_free(&image);
	bf_objects_free(&objects);
	bf_objects_free(&copy);
	return 0;
}
