// SPDX-License-Identifier: Apache-2.0
/*
 * Both directions of many connections on two CPUs at once, while policies are
 * swapped: no verdict is lost or given twice, and no state is torn. Each connection
 * comes to the end that its stream has when nothing else happens.
 *
 * Threads draw a connection and do one thing for it: send the next segment of
 * its packaging, or all that did not arrive, or acknowledge and answer. A packet in a
 * hook holds no lock, so two threads may be in the programs with the same connection.
 *
 *	BPFAST_CONCURRENCY_FLOWS  how many connections
 *	BPFAST_CONCURRENCY_SEED
 *	BPFAST_CONCURRENCY_STREAM only streams with that in their names
 */
#include <inttypes.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "delivery.h"
#include "talk.h"

#define BATCH 48 /* connections at once; the world's table has room for 256 */
#define THREADS 4
#define FIRST_PORT 20000
#define SERVER_ISN 70000u
#define STREAM_LONGEST 1600
/* Things done for a connection, and the time, without anything new: then it is over, whatever
 * is missing. A CPU that holds a stream may itself have to wait for long, in a virtual machine. */
#define PATIENCE 400
#define PATIENCE_MS 300
/* Policies put in force: images do not come to lie where one is that a head may need. */
#define SWAPS_MAX 60

/* A refusal: so that CONNECT does not become a tunnel, which nobody reads. */
static const char ok[] = "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n";
#define OK_LEN (sizeof(ok) - 1)

struct flow {
	pthread_mutex_t lock;
	const struct stream *stream;
	const struct reference *ref;
	struct packaging how;
	struct talk talk; /* what does not change while threads run */
	size_t step; /* the next one */
	bool received[STREAM_LONGEST];
	size_t delivered, ahead;
	size_t answered; /* messages */
	size_t heard; /* bytes of answers that the client has */
	bool reset, bad;
	unsigned int idle;
	int64_t progress_ms; /* when there was any */
	bool over, given_up;
	size_t requests;
	struct said said[REQUESTS_MAX];
};

static struct {
	struct corpus corpus;
	struct reference *ref;
	struct flow flow[BATCH];
	char answers[REQUESTS_MAX * sizeof(ok)];
	uint64_t seed;
	unsigned int open; /* connections that are not over */
	unsigned int first; /* all before are over */
	unsigned int swaps, wrong;
	uint64_t batches, packets, busy;
} t;

/* --- one thing for one connection ------------------------------------------------ */

static bool put_through(const struct flow *f, const struct segment_of *seg, struct frame *out)
{
	bool to_pod = !seg->from_server != f->talk.egress;

	__atomic_fetch_add(&t.packets, 1, __ATOMIC_RELAXED);
	return lane_run(to_pod ? TO_POD : FROM_POD, talk_frame(&f->talk, seg), seg->gso, out);
}

static int64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void progress(struct flow *f)
{
	f->idle = 0;
	f->progress_ms = now_ms();
}

/* What came out of the hook, with the lock. */
static void receive(struct flow *f, const struct frame *out, size_t off, size_t len)
{
	struct seen_tcp seen;
	size_t before = f->delivered;

	if (!lane_read(out, &seen)) {
		f->bad = true;
		return;
	}
	if (seen.flags & RST) {
		f->reset = true;
		return;
	}
	if (seen.seq != f->talk.client_seq + (uint32_t)off || seen.data_len > len ||
	    memcmp(seen.data, f->stream->bytes + off, seen.data_len)) {
		f->bad = true;
		return;
	}
	if (off > f->delivered && off + seen.data_len > f->ahead)
		f->ahead = off + seen.data_len;
	memset(f->received + off, 1, seen.data_len);
	while (f->delivered < f->stream->len && f->received[f->delivered])
		f->delivered++;
	if (f->delivered != before)
		progress(f);
}

static void client_act(struct flow *f)
{
	struct step s = {.kind = STEP_SEND, .off = (uint16_t)f->delivered};
	struct frame out;
	struct segment_of seg = {.flags = ACK | PSH};

	while (f->step < f->how.steps && f->how.step[f->step].kind != STEP_SEND)
		f->step++;
	if (f->step < f->how.steps) {
		s = f->how.step[f->step++];
	} else {
		size_t left = f->stream->len - f->delivered;

		s.len = (uint16_t)(left < f->how.resend ? left : f->how.resend);
	}
	if (!s.len)
		return;
	seg.seq = f->talk.client_seq + s.off;
	seg.ack = f->talk.server_seq + (uint32_t)f->heard;
	seg.data = (struct bytes){f->stream->bytes + s.off, s.len};
	seg.gso = s.gso;
	pthread_mutex_unlock(&f->lock);
	if (put_through(f, &seg, &out)) {
		pthread_mutex_lock(&f->lock);
		receive(f, &out, s.off, s.len);
	} else {
		pthread_mutex_lock(&f->lock);
	}
}

static void server_act(struct flow *f)
{
	struct frame out;
	struct segment_of seg = {.from_server = 1, .flags = ACK};
	size_t heard = f->heard, len;

	while (f->answered < f->ref->messages && f->ref->end[f->answered] <= f->delivered)
		f->answered++;
	len = f->answered * OK_LEN - heard;
	seg.seq = f->talk.server_seq + (uint32_t)heard;
	seg.ack = f->talk.client_seq + (uint32_t)f->delivered;
	seg.data = (struct bytes){t.answers + heard, len};
	pthread_mutex_unlock(&f->lock);
	if (put_through(f, &seg, &out)) {
		pthread_mutex_lock(&f->lock);
		if (heard + len > f->heard) {
			f->heard = heard + len;
			progress(f);
		}
	} else {
		pthread_mutex_lock(&f->lock);
	}
}

/* Nobody is told of a refusal by onDeny: drop. */
static bool is_denied(const struct flow *f)
{
	uint16_t pod = f->talk.egress ? f->talk.client_port : f->talk.server_port,
		 other = f->talk.egress ? f->talk.server_port : f->talk.client_port;
	struct bpfast_flow flow;

	flow_get(f->talk.v6, pod, other, &flow);
	return flow.flags & BPFAST_FF_DENIED;
}

static bool has_ended(struct flow *f)
{
	if (f->bad || f->reset)
		return true;
	if (f->idle % 32 == 31 && is_denied(f) && f->step >= f->how.steps)
		return true;
	if (f->idle > PATIENCE && now_ms() - f->progress_ms > PATIENCE_MS) {
		f->given_up = true;
		return true;
	}
	return f->delivered == f->stream->len && f->heard == f->ref->messages * OK_LEN;
}

/* One of few connections, so that threads meet: of the first that are not over. */
static struct flow *draw(uint64_t r)
{
	unsigned int first = __atomic_load_n(&t.first, __ATOMIC_RELAXED), at;

	while (first < BATCH && __atomic_load_n(&t.flow[first].over, __ATOMIC_RELAXED))
		first++;
	__atomic_store_n(&t.first, first, __ATOMIC_RELAXED);
	at = first + (unsigned int)(r % 3);
	return &t.flow[at < BATCH ? at : BATCH - 1];
}

static void *work(void *arg)
{
	unsigned int number = (unsigned int)(uintptr_t)arg;
	uint64_t r = random_mix(t.seed + t.batches, number);
	cpu_set_t cpu;

	CPU_ZERO(&cpu);
	CPU_SET(number % (unsigned int)sysconf(_SC_NPROCESSORS_ONLN), &cpu);
	pthread_setaffinity_np(pthread_self(), sizeof(cpu), &cpu);
	while (__atomic_load_n(&t.open, __ATOMIC_RELAXED)) {
		struct flow *f;

		r = random_mix(r, number);
		f = draw(r >> 8);
		pthread_mutex_lock(&f->lock);
		if (!f->over) {
			f->idle++;
			if (r & 1 || (r & 6) == 0)
				client_act(f);
			else
				server_act(f);
			if (!f->over && has_ended(f)) {
				f->over = true;
				__atomic_fetch_sub(&t.open, 1, __ATOMIC_RELAXED);
			}
		}
		pthread_mutex_unlock(&f->lock);
	}
	return NULL;
}

/* --- a batch ----------------------------------------------------------------------- */

static bool is_wanted(size_t at)
{
	const char *want = getenv("BPFAST_CONCURRENCY_STREAM");

	return !want || strstr(t.corpus.stream[at].name, want);
}

static uint16_t client_port(size_t at)
{
	return (uint16_t)(FIRST_PORT + (t.batches * BATCH + at) % 40000);
}

static void must_pass(const struct flow *f, const struct segment_of *seg)
{
	struct frame out;

	if (!put_through(f, seg, &out))
		fail_msg("a connection was not opened");
}

static void open_flow(struct flow *f, size_t at)
{
	uint64_t r = random_mix(t.seed ^ t.batches, at);
	size_t which;

	memset(f, 0, sizeof(*f));
	pthread_mutex_init(&f->lock, NULL);
	progress(f);
	do {
		r = random_mix(r, at);
		which = (r >> 32) % t.corpus.count;
	} while (t.corpus.stream[which].len > STREAM_LONGEST || !is_wanted(which));
	f->stream = &t.corpus.stream[which];
	f->ref = &t.ref[which];
	packaging_random(&f->how, f->stream->bytes, f->stream->len, r);
	f->talk = TALK(.v6 = f->how.v6, .egress = f->how.egress, .vlan = f->how.vlan,
		       .client_port = client_port(at), .server_port = f->how.port,
		       .client_seq = f->how.isn + 1, .server_seq = SERVER_ISN + 1);
	must_pass(f, &(struct segment_of){.seq = f->how.isn, .flags = SYN});
	must_pass(f, &(struct segment_of){.from_server = 1,
					  .seq = SERVER_ISN,
					  .ack = f->how.isn + 1,
					  .flags = SYN | ACK});
	must_pass(f,
		  &(struct segment_of){.seq = f->how.isn + 1, .ack = SERVER_ISN + 1, .flags = ACK});
}

/* Gives the records to their connections. */
static void read_records(void)
{
	static struct bpfast_event event[16384];
	size_t n = lane_requests(event, sizeof(event) / sizeof(event[0]));

	assert_true(n <= sizeof(event) / sizeof(event[0]));
	for (size_t i = 0; i < n; i++) {
		size_t at = (size_t)(event[i].source_port - client_port(0) + 40000) % 40000;
		struct flow *f;

		assert_true(at < BATCH);
		f = &t.flow[at];
		if (f->requests < REQUESTS_MAX)
			said_take(&f->said[f->requests], &event[i]);
		f->requests++;
	}
}

static const char *what_is_wrong(const struct flow *f, const struct bpfast_flow *end)
{
	const struct reference *ref = f->ref;
	bool denied = end->flags & BPFAST_FF_DENIED;

	if (f->bad)
		return "bytes left that nobody sent there";
	if (f->requests > REQUESTS_MAX ||
	    !said_alike(f->said, f->requests, ref->said, ref->requests, true))
		return "the requests got other verdicts";
	if (f->delivered > ref->fence)
		return "the server has bytes that it may not have";
	if (f->delivered < ref->sure && !(ref->denied && f->ahead > ref->sure))
		return "the server lacks bytes that it may have";
	if (denied != ref->denied)
		return "the connection is in another state";
	if (end->client.owner || end->server.owner)
		return "a stream is still held by a CPU that is gone";
	return NULL;
}

static void tell(const struct flow *f, const char *what)
{
	if (t.wrong++ >= 8)
		return;
	print_error("%s, seed %" PRIu64 ", batch %" PRIu64 ": %s\n", f->stream->name, t.seed,
		    t.batches, what);
	print_error("  port %d; delivered: %zu bytes; expected: %zu to %zu of %zu; %s\n",
		    f->how.port, f->delivered, f->ref->sure, f->ref->fence, f->stream->len,
		    f->idle > PATIENCE ? "given up"
		    : f->reset	       ? "reset"
				       : "ended");
	for (size_t i = 0; i < f->ref->requests; i++)
		print_error("  expected: %s\n", said_line(&f->ref->said[i]));
	for (size_t i = 0; i < f->requests && i < REQUESTS_MAX; i++)
		print_error("  got: %s\n", said_line(&f->said[i]));
}

static void check_counters(const struct bpfast_metrics *before, const struct bpfast_metrics *after)
{
	uint64_t count[BPFAST_V_COUNT] = {0};

	for (size_t i = 0; i < BATCH; i++) {
		for (size_t j = 0; j < t.flow[i].ref->requests; j++)
			count[t.flow[i].ref->said[j].verdict]++;
	}
	for (size_t v = 0; v < BPFAST_V_COUNT; v++) {
		if (after->http_requests[v] - before->http_requests[v] != count[v]) {
			print_error("batch %" PRIu64 ": %" PRIu64
				    " requests were counted, not %" PRIu64 "\n",
				    t.batches,
				    (uint64_t)(after->http_requests[v] - before->http_requests[v]),
				    count[v]);
			t.wrong++;
		}
	}
	if (after->helper_errors != before->helper_errors ||
	    after->records_lost != before->records_lost ||
	    after->flows_created - before->flows_created != BATCH) {
		print_error("batch %" PRIu64 ": a helper failed, a record was lost, or a flow made "
			    "twice\n",
			    t.batches);
		t.wrong++;
	}
	for (size_t d = 0; d < BPFAST_DIRECTIONS; d++)
		t.busy += after->dropped[d][BPFAST_R_STREAM_BUSY] -
			  before->dropped[d][BPFAST_R_STREAM_BUSY];
}

/* While the threads run: reads records and swaps policies. */
static void attend(void)
{
	while (__atomic_load_n(&t.open, __ATOMIC_RELAXED)) {
		read_records();
		nap(2);
		if (t.swaps < SWAPS_MAX && t.batches % 2) {
			policy(corpus_policy);
			t.swaps++;
		}
	}
}

/* The last acknowledgements: nothing has to be kept of the connection any more. */
static void acknowledge(const struct flow *f)
{
	struct segment_of ack = {.from_server = 1,
				 .seq = f->talk.server_seq + (uint32_t)f->heard,
				 .ack = f->talk.client_seq + (uint32_t)f->delivered,
				 .flags = ACK};
	struct frame out;

	put_through(f, &ack, &out);
	ack.from_server = 0;
	ack.seq = f->talk.client_seq + (uint32_t)f->stream->len;
	ack.ack = f->talk.server_seq + (uint32_t)f->heard;
	put_through(f, &ack, &out);
}

static void batch(void)
{
	static struct bpfast_metrics before, after;
	pthread_t thread[THREADS];

	world_metrics(&before);
	for (size_t i = 0; i < BATCH; i++)
		open_flow(&t.flow[i], i);
	t.open = BATCH;
	t.first = 0;
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&thread[i], NULL, work, (void *)(uintptr_t)i), 0);
	attend();
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(thread[i], NULL);
	read_records();
	world_metrics(&after);
	for (size_t i = 0; i < BATCH; i++) {
		struct flow *f = &t.flow[i];
		uint16_t pod = f->talk.egress ? f->talk.client_port : f->talk.server_port,
			 other = f->talk.egress ? f->talk.server_port : f->talk.client_port;
		struct bpfast_flow end;
		const char *wrong;

		acknowledge(f);
		flow_get(f->talk.v6, pod, other, &end);
		wrong = what_is_wrong(f, &end);
		if (wrong)
			tell(f, wrong);
		flow_forget(f->talk.v6, pod, other);
		pthread_mutex_destroy(&f->lock);
	}
	check_counters(&before, &after);
	if (flows_counted() != flow_count()) {
		print_error("batch %" PRIu64 ": %zu flows, %u counted\n", t.batches, flow_count(),
			    flows_counted());
		t.wrong++;
		world_reset(NULL);
	}
	if (chunks_held()) {
		print_error("batch %" PRIu64 ": %u chunks are kept although all was acknowledged\n",
			    t.batches, chunks_held());
		t.wrong++;
		world_reset(NULL);
	}
	t.batches++;
}

static void two_cpus(void **state)
{
	const char *flows = getenv("BPFAST_CONCURRENCY_FLOWS");
	const char *seed = getenv("BPFAST_CONCURRENCY_SEED");
	uint64_t count = flows ? strtoull(flows, NULL, 0) : 10000;

	(void)state;
	t.seed = seed ? strtoull(seed, NULL, 0) : 1;
	print_message("BPFAST_CONCURRENCY_SEED=%" PRIu64 "\n", t.seed);
	while (t.batches * BATCH < count)
		batch();
	print_message("%" PRIu64 " connections, %" PRIu64 " packets, %u policies; %" PRIu64
		      " times a stream was busy\n",
		      t.batches * BATCH, t.packets, t.swaps, t.busy);
	assert_int_equal(t.wrong, 0);
}

static int setup(void **state)
{
	if (world_enter(state))
		return -1;
	corpus_make(&t.corpus);
	t.ref = calloc(t.corpus.count, sizeof(*t.ref));
	if (!t.ref)
		return -1;
	lane_open();
	world_reset(state);
	policy(corpus_policy);
	for (size_t i = 0; i < t.corpus.count; i++) {
		const char *wrong = reference_make(&t.corpus.stream[i], &t.ref[i], false);

		if (wrong) {
			print_error("%s, a byte at a time: %s\n", t.corpus.stream[i].name, wrong);
			return -1;
		}
	}
	for (size_t i = 0; i < REQUESTS_MAX; i++)
		memcpy(t.answers + i * OK_LEN, ok, OK_LEN);
	return 0;
}

static int teardown(void **state)
{
	lane_close();
	free(t.ref);
	corpus_free(&t.corpus);
	return world_leave(state);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_cpus),
	};

	return cmocka_run_group_tests_name("concurrency", tests, setup, teardown);
}
