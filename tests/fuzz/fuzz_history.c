// SPDX-License-Identifier: Apache-2.0
/*
 * attacks.json, whatever is in it: refused with a sentence, or taken; what is taken is written and
 * read again as the same, and a detector can go on from it.
 */
#include "fuzz.h"

#include "agent/shield/history.h"

#define NOW 5000000000000ull
#define OFFSET ((int64_t)1700000000 * 1000000000)

static struct bf_history first, second;

static void go_on(void)
{
	struct bf_detect_config c = {.destinations = 4, .seed = 1};
	struct bf_tick tick = {.now_ns = NOW};
	struct bf_detect *d;
	struct bf_error err;

	if (bf_detect_create(&d, &c, &err))
		FUZZ_FAIL("%s", err.msg);
	bf_detect_number(d, first.last_id, first.last_rule);
	for (size_t i = first.running; i < first.running + first.ended; i++)
		bf_detect_put_ended(d, &first.v[i]);
	for (size_t i = 0; i < first.running; i++)
		bf_detect_resume(d, &first.v[i], NOW);
	for (int i = 0; i < 3; i++) {
		bf_detect_tick(d, &tick);
		tick.now_ns += 100000000;
	}
	for (size_t i = 0; i < first.running; i++)
		bf_detect_let_go(d, first.v[i].id, NOW, BF_NOTE_QUIET);
	if (bf_detect_active(d, 0))
		FUZZ_FAIL("an attack that nobody has seen goes on");
	bf_detect_free(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct bf_error err = {""};
	json_t *o;
	char *text;

	if (bf_history_parse((const char *)data, size, OFFSET, NOW, &first, &err)) {
		if (!*err.msg || first.running || first.ended)
			FUZZ_FAIL("refused without a word, or half");
		return 0;
	}
	o = bf_history_json(&first, OFFSET);
	text = o ? json_dumps(o, 0) : NULL;
	json_decref(o);
	if (!text || bf_history_parse(text, strlen(text), OFFSET, NOW, &second, &err))
		FUZZ_FAIL("what we write we do not read: %s: %s", err.msg, text ? text : "");
	free(text);
	if (memcmp(&first, &second, sizeof(first)))
		FUZZ_FAIL("read again it is something else");
	go_on();
	return 0;
}
