// SPDX-License-Identifier: Apache-2.0
/*
 * The verdict does not depend on packaging: however a stream is cut into
 * segments, reordered, repeated and overlapped, its requests get the same verdicts in
 * the same order, and the server gets the same bytes.
 *
 *	BPFAST_INVARIANCE_PACKAGINGS  how many at random, beside all splits in two
 *	BPFAST_INVARIANCE_SEED        of those
 *	BPFAST_INVARIANCE_STREAM      only streams with that in their names
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "failure.h"

#define STREAMS_MIN 300
#define TORN_MIN 10
/* Of each kind of difference so many streams are told, each with one packaging. */
#define TOLD_MAX 3

static struct {
	struct corpus corpus;
	struct reference *ref;
	uint64_t packagings, packets;
	unsigned int failures, streams;
	unsigned int kind[VIOLATION_KINDS]; /* streams */
	bool *told_of;
	struct timespec begun, told;
} t;

static uint64_t number_from(const char *name, uint64_t otherwise)
{
	const char *value = getenv(name);

	return value && *value ? strtoull(value, NULL, 0) : otherwise;
}

static double seconds_since(const struct timespec *then)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)(now.tv_sec - then->tv_sec) + (double)(now.tv_nsec - then->tv_nsec) / 1e9;
}

static void tell_progress(uint64_t done, uint64_t of)
{
	if (seconds_since(&t.told) < 10)
		return;
	clock_gettime(CLOCK_MONOTONIC, &t.told);
	print_message("%" PRIu64 " of %" PRIu64 " at random; %.0f packagings a second\n", done, of,
		      (double)t.packagings / seconds_since(&t.begun));
}

static void try(size_t at, const struct packaging *p, const char *what)
{
	static struct outcome out;

	t.packagings++;
	deliver(&t.corpus.stream[at], &t.ref[at], p, &out);
	t.packets += out.packets;
	if (!out.violation)
		return;
	t.failures++;
	/* One of a stream says enough. */
	if (!t.told_of[at])
		t.streams++;
	if (!t.told_of[at] && t.kind[out.violation]++ < TOLD_MAX)
		failure_tell(&t.corpus.stream[at], p, what);
	t.told_of[at] = true;
}

static void assert_no_difference(void)
{
	if (!t.failures)
		return;
	for (size_t v = 0; v < VIOLATION_KINDS; v++) {
		if (t.kind[v])
			print_error("%u streams: %s\n", t.kind[v], violation_text(v));
	}
	fail_msg("%u packagings made a difference, of %u streams", t.failures, t.streams);
}

static bool is_wanted(size_t at)
{
	const char *want = getenv("BPFAST_INVARIANCE_STREAM");

	return !want || strstr(t.corpus.stream[at].name, want);
}

static int setup(void **state)
{
	if (world_enter(state))
		return -1;
	corpus_make(&t.corpus);
	t.ref = calloc(t.corpus.count, sizeof(*t.ref));
	t.told_of = calloc(t.corpus.count, 1);
	if (!t.ref || !t.told_of)
		return -1;
	lane_open();
	clock_gettime(CLOCK_MONOTONIC, &t.begun);
	t.told = t.begun;
	return 0;
}

static int teardown(void **state)
{
	lane_close();
	free(t.ref);
	free(t.told_of);
	corpus_free(&t.corpus);
	return world_leave(state);
}

static void take_references(bool audit)
{
	for (size_t i = 0; i < t.corpus.count; i++) {
		const char *wrong = reference_make(&t.corpus.stream[i], &t.ref[i], audit);

		if (wrong)
			fail_msg("%s, a byte at a time: %s", t.corpus.stream[i].name, wrong);
	}
}

/* Under one of the two policies. */
static int begin(void **state, bool audit)
{
	static int now = -1;

	world_reset(state);
	if (now != audit) {
		policy(audit ? corpus_audit_policy : corpus_policy);
		take_references(audit);
	}
	now = audit;
	t.failures = 0;
	t.streams = 0;
	memset(t.kind, 0, sizeof(t.kind));
	memset(t.told_of, 0, t.corpus.count);
	return 0;
}

static int enforced(void **state)
{
	return begin(state, false);
}

static int audited(void **state)
{
	return begin(state, true);
}

static void corpus_is_large(void **state)
{
	size_t denied = 0, clean = 0, torn = 0;

	(void)state;
	assert_true(t.corpus.count >= STREAMS_MIN);
	for (size_t i = 0; i < t.corpus.count; i++) {
		denied += t.ref[i].denied;
		clean += t.ref[i].clean;
		torn += t.ref[i].torn;
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(t.corpus.stream[i].name, t.corpus.stream[j].name);
	}
	print_message("%zu streams: %zu are refused at some byte, %zu pass whole, %zu end inside a "
		      "head\n",
		      t.corpus.count, denied, clean, torn);
	assert_true(denied >= STREAMS_MIN / 3 && clean >= STREAMS_MIN / 6 && torn >= TORN_MIN);
}

/* In order, as nobody would notice. */
static void whole(void **state)
{
	static const uint16_t sizes[] = {SEGMENT_MAX, 1400, 536};
	static struct packaging p;

	(void)state;
	for (size_t i = 0; i < t.corpus.count; i++) {
		for (size_t j = 0; j < sizeof(sizes) / sizeof(sizes[0]) && is_wanted(i); j++) {
			packaging_plain(&p, t.corpus.stream[i].len, sizes[j]);
			try(i, &p, "in order");
		}
	}
	assert_no_difference();
}

static void every_split_in_two(void **state)
{
	static struct packaging p;
	uint64_t before = t.packagings;

	(void)state;
	for (size_t i = 0; i < t.corpus.count; i++) {
		const struct stream *s = &t.corpus.stream[i];

		if (!is_wanted(i))
			continue;
		for (size_t cut = 1; cut < s->len; cut++) {
			/* A long head: its beginning, its end, and steps between. */
			if (s->len > 8000 && cut > 40 && cut + 200 < s->len && cut % 997)
				continue;
			packaging_split(&p, s->len, cut, false);
			p.fin = t.ref[i].torn || cut % 2;
			try(i, &p, "in two");
			packaging_split(&p, s->len, cut, true);
			p.fin = t.ref[i].torn || cut % 2;
			try(i, &p, "in two, the second first");
		}
	}
	print_message("%" PRIu64 " splits in two\n", t.packagings - before);
	assert_no_difference();
}

static void at_random(uint64_t count, bool audit)
{
	static struct packaging p;
	uint64_t seed = number_from("BPFAST_INVARIANCE_SEED", 1), done;

	print_message("BPFAST_INVARIANCE_SEED=%" PRIu64 " BPFAST_INVARIANCE_PACKAGINGS=%" PRIu64
		      "\n",
		      seed, count);
	for (done = 0; done < count; done++) {
		uint64_t number = random_mix(seed, done);
		size_t at = (number >> 32) % t.corpus.count;
		char what[80];

		tell_progress(done, count);
		if (!is_wanted(at))
			continue;
		packaging_random(&p, t.corpus.stream[at].bytes, t.corpus.stream[at].len, number);
		if (audit)
			p.port = PORT_AUDIT;
		snprintf(what, sizeof(what), "seed %" PRIu64 ", packaging %" PRIu64, seed, done);
		try(at, &p, what);
	}
	print_message("%" PRIu64 " packagings, %" PRIu64 " packets in %.0f s\n", t.packagings,
		      t.packets, seconds_since(&t.begun));
	assert_no_difference();
}

static uint64_t wanted_count(void)
{
	return number_from("BPFAST_INVARIANCE_PACKAGINGS", 100000);
}

static void random_packagings(void **state)
{
	(void)state;
	at_random(wanted_count(), false);
}

/* In mode audit nothing is dropped, and all the same is said. */
static void random_packagings_in_audit(void **state)
{
	(void)state;
	at_random(wanted_count() / 10, true);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(corpus_is_large, enforced),
		cmocka_unit_test_setup(whole, enforced),
		cmocka_unit_test_setup(every_split_in_two, enforced),
		cmocka_unit_test_setup(random_packagings, enforced),
		cmocka_unit_test_setup(random_packagings_in_audit, audited),
	};

	setvbuf(stdout, NULL, _IOLBF, 0);
	return cmocka_run_group_tests_name("invariance", tests, setup, teardown);
}
