// SPDX-License-Identifier: Apache-2.0
/* The tick, and telling of attacks: the log, the records. */
#include "agent/shield/defence.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/log.h"
#include "agent/shield/attacks.h"
#include "agent/shield/history.h"
#include "observe/names.h"

static uint64_t clock_ns(clockid_t which)
{
	struct timespec t;

	clock_gettime(which, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void tell(struct bf_agent *a)
{
	struct bf_defence *d = a->defence;
	const struct bf_attack *at;
	size_t n = 0;

	for (size_t i = 0; (at = bf_detect_active(d->detect, i)); i++) {
		if (at->id <= d->told)
			continue;
		d->told = at->id;
		d->attacks[at->kind]++;
		bf_attack_tell(a, at, true);
	}
	/* Newest first; of those that began and ended between two ticks the end is told alone. */
	while ((at = bf_detect_ended(d->detect, n)) && (int64_t)(at->released_ns - d->ended) > 0)
		n++;
	for (size_t i = n; i-- > 0;) {
		at = bf_detect_ended(d->detect, i);
		bf_attack_tell(a, at, false);
	}
	at = bf_detect_ended(d->detect, 0);
	if (at)
		d->ended = at->released_ns;
}

/* A round of the sweep takes 51 s: bpf/shield/sweep.h says why not less. */
#define SWEEP_PARTS 512u
#define SWEEP_SETS (BPFAST_SHIELD_CONN_SETS / SWEEP_PARTS)
static_assert(SWEEP_PARTS * BF_DEFENCE_MS > 32000, "longer than between two SYN-ACKs");

/* By the clock: no part comes twice within a round, whoever was agent before. */
static void sweep(struct bf_agent *a, struct bf_defence *d, uint64_t now)
{
	uint64_t part = now / (BF_DEFENCE_MS * 1000000ull);
	int r = 0;

	if (!d->swept || part - d->swept > SWEEP_PARTS / 4)
		d->swept = part - 1;
	while (d->swept < part && !r)
		r = bf_shield_sweep(a->shield, (uint32_t)(++d->swept % SWEEP_PARTS) * SWEEP_SETS,
				    SWEEP_SETS, NULL);
	d->swept = part;
	if (r && !d->sweep_failed)
		bf_log_warn("connections that have ended stay in shield's table until new ones "
			    "need their place",
			    "error", json_string(strerror(-r)));
	d->sweep_failed = r != 0;
}

static void on_tick(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;
	struct bf_defence *d = a->defence;
	struct bpfast_shield_control *control;
	uint64_t now = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_THREAD_CPUTIME_ID);
	struct bf_tick tick;
	unsigned int gone, changes, ended;

	(void)events;
	bf_timer_read(&d->timer);
	if (!a->shield)
		return;
	/* Also when nothing is guarded any more: what is going on has to end. */
	control = bf_shield_control(a->shield);
	d->control = control;
	d->now_ns = now;
	bf_defence_policies(a, false);
	bf_defence_read(d, &tick, now);
	changes = bf_detect_tick(d->detect, &tick);
	bf_defence_names_count(d);
	if (changes)
		bf_defence_force(d, control);
	gone = bf_defence_release(d, control, now);
	if (gone)
		bf_log_info("what the agent before had put in force against an attack is released",
			    "limits_and_rules", bf_num(gone));
	/* The limits of an attack that was not found again may be among these. */
	ended = gone || changes ? bf_history_let_go(a) : 0;
	if (ended)
		bf_defence_force(d, control);
	changes |= ended;
	/* What was over when we came is told in the first tick. */
	if (changes & (BF_CHANGE_STARTED | BF_CHANGE_ENDED) || !d->ticks)
		tell(a);
	bf_history_save(a, changes & (BF_CHANGE_STARTED | BF_CHANGE_ENDED));
	sweep(a, d, now);
	if (d->ticks++ % 128 == 0)
		bf_defence_age(d, now);
	d->tick_ns = clock_ns(CLOCK_THREAD_CPUTIME_ID) - cpu;
}

/* What was counted before we came is not what comes. */
static void begin(struct bf_defence *d)
{
	for (size_t i = 0; i < (size_t)d->maps.cpus * BPFAST_DESTS; i++) {
		d->was[i].touched = d->maps.meter[i].touched;
		memcpy(d->was[i].count, d->maps.meter[i].count, sizeof(d->was[i].count));
		memcpy(d->was[i].bucket, d->maps.meter[i].bucket, sizeof(d->was[i].bucket));
	}
	for (unsigned int c = 0; c < d->maps.cpus; c++)
		d->numbers[c] = d->maps.cpu[c].number;
}

static int memory(struct bf_defence *d, struct bf_error *err)
{
	struct bf_detect_config config = {
		.destinations = BPFAST_DESTS,
		.sensitivity = d->maps.force->sensitivity,
	};

	if (getrandom(&config.seed, sizeof(config.seed), 0) != (ssize_t)sizeof(config.seed))
		return bf_err(err, -EIO, "the kernel gives no random number");
	d->was = calloc((size_t)d->maps.cpus * BPFAST_DESTS, sizeof(*d->was));
	d->numbers = calloc(d->maps.cpus, sizeof(*d->numbers));
	d->traffic = calloc(BPFAST_DESTS + 1, sizeof(*d->traffic));
	d->samples = calloc(BF_DEFENCE_SAMPLES, sizeof(*d->samples));
	d->drops = calloc(BF_DEFENCE_DROPS, sizeof(*d->drops));
	if (!d->was || !d->numbers || !d->traffic || !d->samples || !d->drops)
		return bf_err(err, -ENOMEM, "no memory for shield's measurement");
	return bf_detect_create(&d->detect, &config, err);
}

int bf_defence_start(struct bf_agent *a, struct bf_error *err)
{
	struct bf_defence *d = calloc(1, sizeof(*d));
	int r;

	if (!d)
		return bf_err(err, -ENOMEM, "no memory for shield's measurement");
	a->defence = d;
	d->timer = (struct bf_watch){-1, on_tick, a};
	r = bf_shield_map(a->shield, &d->maps, err);
	if (!r)
		r = memory(d, err);
	if (!r) {
		if (!d->maps.force->mode)
			d->maps.force->mode = BPFAST_SM_ENFORCE;
		begin(d);
		d->now_ns = clock_ns(CLOCK_MONOTONIC);
		bf_defence_adopt(d, d->now_ns);
		bf_history_load(a, d->now_ns);
		r = bf_timer_add(&a->loop, &d->timer);
		if (!r)
			r = bf_timer_set(&d->timer, BF_DEFENCE_MS, BF_DEFENCE_MS);
		if (r)
			bf_err(err, r, "no timer for shield's measurement: %s", strerror(-r));
	}
	if (r)
		bf_defence_stop(a);
	return r;
}

void bf_defence_stop(struct bf_agent *a)
{
	struct bf_defence *d = a->defence;

	if (!d)
		return;
	if (d->timer.fd >= 0) {
		bf_loop_remove(&a->loop, &d->timer);
		close(d->timer.fd);
	}
	bf_history_save(a, true);
	bf_detect_free(d->detect);
	bf_shield_unmap(&d->maps);
	free(d->was);
	free(d->numbers);
	free(d->traffic);
	free(d->samples);
	free(d->drops);
	free(d);
	a->defence = NULL;
}
