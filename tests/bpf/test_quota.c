// SPDX-License-Identifier: Apache-2.0
/*
 * The count of an endpoint's flows, while two CPUs make the same flows and take them out, the
 * table's own timers and sweeps do, and user space does: in the end it is what is in the table,
 * and never was it more than the endpoint may have.
 *
 *	BPFAST_QUOTA_SECONDS  for how long (2)
 *	BPFAST_QUOTA_SEED
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "datapath/internal.h"
#include "lane.h"
#include "packaging.h"
#include "talk.h"

#define THREADS 4
#define PORTS 160 /* of so few that threads meet */
#define SHARE 100

/* Everybody on any port. */
#define ALL "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"

static struct {
	uint64_t seed;
	bool stop;
	uint64_t packets, passed, over, removed;
	struct bf_datapath dp; /* as much of one as counting needs */
} t;

static bool put(const struct talk *k, const struct segment_of *seg)
{
	struct frame out;

	__atomic_fetch_add(&t.packets, 1, __ATOMIC_RELAXED);
	return lane_run(seg->from_server ? FROM_POD : TO_POD, talk_frame(k, seg), 0, &out);
}

/* As an agent does for an endpoint that is deleted. */
static void take_out(void)
{
	struct bpfast_flow_key key;

	if (bpf_map_get_next_key(t.dp.map[BF_MAP_FLOW], NULL, &key) ||
	    bpf_map_delete_elem(t.dp.map[BF_MAP_FLOW], &key))
		return;
	bf_quota_give(&t.dp, 0);
	__atomic_fetch_add(&t.removed, 1, __ATOMIC_RELAXED);
}

/* One packet that makes a flow, or ends one, or takes one out. */
static void act(uint64_t r)
{
	struct talk k =
		TALK(.client_port = (uint16_t)(20000 + (r >> 8) % PORTS), .server_port = 80);
	struct segment_of seg = {.seq = 1000, .flags = SYN};

	switch (r % 8) {
	case 0:
		seg.flags = RST;
		break;
	case 1: /* the other end begins: where that connection was over, it is another one now */
		seg = (struct segment_of){.from_server = 1, .seq = 70000, .flags = SYN};
		break;
	case 2:
		seg.flags = ACK;
		break;
	case 3:
		take_out();
		return;
	default:
		break;
	}
	if (put(&k, &seg))
		__atomic_fetch_add(&t.passed, 1, __ATOMIC_RELAXED);
}

static void *work(void *arg)
{
	unsigned int number = (unsigned int)(uintptr_t)arg;
	uint64_t r = random_mix(t.seed, number);
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(number % (unsigned int)sysconf(_SC_NPROCESSORS_ONLN), &cpu);
	pthread_setaffinity_np(pthread_self(), sizeof(cpu), &cpu);
	while (!__atomic_load_n(&t.stop, __ATOMIC_RELAXED)) {
		r = random_mix(r, number);
		act(r);
	}
	return NULL;
}

static void begin(pthread_t *thread)
{
	t.stop = false;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i), 0);
}

static void end(pthread_t *thread)
{
	__atomic_store_n(&t.stop, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	/* A timer may be in between. */
	assert_int_equal(bf_grace(&t.dp), 0);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int64_t run_for(void)
{
	const char *s = getenv("BPFAST_QUOTA_SECONDS");

	return 1000 * (s ? strtoll(s, NULL, 0) : 2);
}

/* One place is taken by each who just asks, and given back. */
static bool is_over(void)
{
	int32_t used = (int32_t)flows_counted();

	return used > SHARE + THREADS || used < -THREADS;
}

static void prepare(void)
{
	world_reset(NULL);
	policy(ALL);
	control()->flows_share = SHARE;
	control()->closed_s = control()->other_idle_s = 1;
}

static void counts_are_exact(void **state)
{
	int64_t until = now_ms() + run_for();
	pthread_t thread[THREADS];

	(void)state;
	prepare();
	begin(thread);
	while (now_ms() < until) {
		for (int i = 0; i < 1000; i++)
			t.over += is_over();
		/* Another policy: each flow is judged again. */
		policy(ALL);
		nap(5);
	}
	end(thread);
	print_message("%" PRIu64 " packets, %" PRIu64 " passed, %" PRIu64
		      " flows removed from outside, "
		      "%u refused\n",
		      t.packets, t.passed, t.removed, flows_refused());
	assert_int_equal(t.over, 0);
	assert_int_equal(flows_counted(), flow_count());
	assert_true(flow_count() <= SHARE && flows_refused() > 0 && t.passed > 0);
}

/* --- counting anew --- */

/* Ports of the next flow that is made, and that ends, while somebody counts; and how many do each time. */
static uint16_t next_made, next_gone, made, gone;

static bool syn(uint16_t port)
{
	struct talk k = TALK(.client_port = port);

	return put(&k, &(struct segment_of){.seq = 1000, .flags = SYN});
}

static void meanwhile(const char *step)
{
	if (strcmp(step, "flows being counted"))
		return;
	for (uint16_t i = 0; i < made; i++)
		assert_true(syn(next_made++));
	for (uint16_t i = 0; i < gone; i++)
		flow_forget(false, 80, next_gone++);
}

/*
 * Counting anew makes no right count wrong, whatever happens meanwhile; and of one that is wrong it leaves no
 * more than that. When nothing happens it leaves nothing.
 */
static void counts_anew(void **state)
{
	static const int drifts[] = {0, 1, -1, 40, -40};

	(void)state;
	prepare();
	control()->flows_share = 1000;
	control()->other_idle_s = 60;
	bf_datapath_step_hook = meanwhile;
	for (size_t i = 0; i < sizeof(drifts) / sizeof(drifts[0]); i++) {
		for (int n = 0; n < 4; n++) {
			int32_t wrong;

			world_reset(NULL);
			made = gone = 0;
			for (next_made = 1000; next_made < 1050; next_made++)
				assert_true(syn(next_made));
			next_gone = 1000;
			__atomic_fetch_add(&t.dp.quota->used, (uint32_t)drifts[i],
					   __ATOMIC_RELAXED);
			made = n & 1 ? 5 : 0;
			gone = n & 2 ? 7 : 0;
			assert_int_equal(bf_quota_recount(&t.dp), 0);
			wrong = (int32_t)flows_counted() - (int32_t)flow_count();
			assert_true(abs(wrong) <= abs(drifts[i]) && abs(wrong) <= made + gone);
			made = gone = 0;
			assert_int_equal(bf_quota_recount(&t.dp), 0);
			assert_int_equal(flows_counted(), flow_count());
		}
	}
	bf_datapath_step_hook = NULL;
}

static int setup(void **state)
{

	const char *seed = getenv("BPFAST_QUOTA_SEED");

	if (world_enter(state))
		return -1;
	lane_open();
	t.seed = seed ? strtoull(seed, NULL, 0) : 1;
	print_message("BPFAST_QUOTA_SEED=%" PRIu64 "\n", t.seed);
	t.dp.map[BF_MAP_FLOW] = world_map("bpfast_flow");
	t.dp.quota = mmap(NULL, BPFAST_ENDPOINTS_MAX * sizeof(*t.dp.quota), PROT_READ | PROT_WRITE,
			  MAP_SHARED, world_map("bpfast_quota"), 0);
	t.dp.grace_inner = t.dp.grace_outer = -1;
	return t.dp.quota == MAP_FAILED ? -1 : bf_grace_init(&t.dp);
}

static int teardown(void **state)
{
	bf_grace_close(&t.dp);
	lane_close();
	return world_leave(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(counts_are_exact),
		cmocka_unit_test(counts_anew),
	};

	return cmocka_run_group_tests_name("quota", tests, setup, teardown);
}
