// SPDX-License-Identifier: Apache-2.0
/*
 * An agent that is killed at any step leaves a state that the next one takes
 * over. A child walks through an agent's life and kills itself at its n-th step;
 * then the state is judged, and used. For every n, until the child survives.
 * The time goes into waiting for the kernel, so several workers share the steps.
 */
#include "test_datapath_env.h"

#include <signal.h>

static struct bf_error err;
static int steps_left;
static char last_step[64];
#define WORKERS 4
static int worker;
static int told; /* a pipe: the name of the step at which the child died */

static void die_here(const char *step)
{
	if (--steps_left > 0)
		return;
	if (write(told, step, strlen(step)) >= 0)
		kill(getpid(), SIGKILL);
}

#define MUST(x)                                                                                    \
	do {                                                                                       \
		if (x)                                                                             \
			_exit(1);                                                                  \
	} while (0)

/* No cmocka in here: it is the child. */
static void agents_life(bool force_clsact, int a, int b)
{
	struct bf_datapath_options o = {.pin_dir = PIN,
					.flows = 64,
					.arena_bytes = 64 << 10,
					.chunks = 64,
					.force_clsact = force_clsact};
	struct bpfast_endpoint e = {.slot = 1}, f = {.slot = 2};
	struct bf_datapath *dp;

	MUST(bf_datapath_open(&o, &dp, NULL, &err));
	MUST(install(dp, 20 << 10, 1, NULL, &err));
	MUST(bf_datapath_attach(dp, a, &e, &err));
	MUST(bf_datapath_attach(dp, b, &f, &err));
	MUST(install(dp, 20 << 10, 2, NULL, &err));
	MUST(install(dp, 20 << 10, 3, NULL, &err));
	MUST(install(dp, 38 << 10, 4, NULL, &err));
	MUST(bf_datapath_detach(dp, b, &err));
	bf_datapath_close(dp);
	/* One of another build, and one that wants hooks of the other kind. */
	MUST(system("rmdir " PIN "/v*/build/*"));
	MUST(bf_datapath_open(&o, &dp, NULL, &err));
	bf_datapath_close(dp);
	o.force_clsact = !force_clsact;
	MUST(bf_datapath_open(&o, &dp, NULL, &err));
	bf_datapath_close(dp);
	MUST(bf_datapath_down(PIN, &err));
}

/* The image in force, if there is one, is one of those installed, and whole. */
static void assert_image_is_whole(struct bf_datapath *dp)
{
	static const size_t len[] = {0, 20 << 10, 20 << 10, 20 << 10, 38 << 10};
	size_t got;
	const uint8_t *p = bf_datapath_image(dp, &got, NULL);
	uint8_t fill;

	if (!p)
		return;
	fill = p[sizeof(struct bpfast_image)];
	assert_in_range(fill, 1, 4);
	assert_image(dp, len[fill], fill);
}

static void judge(bool force_clsact, int a, int b)
{
	struct bf_datapath_options o = {.pin_dir = PIN,
					.flows = 64,
					.arena_bytes = 64 << 10,
					.chunks = 64,
					.force_clsact = force_clsact};
	struct bf_datapath_status st;
	struct bf_datapath *dp;
	uint32_t guarded;
	size_t n;
	int *list;

	if (bf_datapath_open(&o, &dp, NULL, &err))
		fail_msg("after a death at '%s': %s", last_step, err.msg);
	assert_int_equal(bf_datapath_attached(dp, &list, &n), 0);
	free(list);
	assert_int_equal(bf_datapath_status(dp, &st), 0);
	guarded = (uint32_t)((bf_hooks_count(PIN, a) > 0) + (bf_hooks_count(PIN, b) > 0));
	if (st.endpoints_used != n || n != guarded)
		fail_msg("after a death at '%s': %u endpoints, %zu attached, %u guarded", last_step,
			 st.endpoints_used, n, guarded);
	assert_image_is_whole(dp);
	/* It is no museum: it can be worked with. */
	dp_attach(dp, b, 2);
	assert_int_equal(bf_hooks_count(PIN, b), BF_DIRS);
	for (uint8_t i = 1; i <= 3; i++)
		assert_int_equal(install(dp, 20 << 10, i, NULL, &err), 0);
	assert_image(dp, 20 << 10, 3);
	bf_datapath_close(dp);
	dp_down();
}

static void killed_at_every_step(bool force_clsact)
{
	static char before[16384], after[16384], plain[4096];
	int a = veth("pod0"), b = veth("pod1"), deaths = 0;

	snapshot(before, sizeof(before));
	snapshot_device(plain, sizeof(plain), a);
	for (int n = 1 + worker;; n += WORKERS, deaths++) {
		int status, fds[2];
		ssize_t len;
		pid_t pid;

		assert_int_equal(pipe(fds), 0);
		pid = fork();
		if (pid == 0) {
			steps_left = n;
			told = fds[1];
			bf_datapath_step_hook = die_here;
			agents_life(force_clsact, a, b);
			_exit(0);
		}
		assert_true(pid > 0);
		close(fds[1]);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		len = read(fds[0], last_step, sizeof(last_step) - 1);
		last_step[len > 0 ? len : 0] = '\0';
		close(fds[0]);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			break;
		}
		assert_int_equal(WTERMSIG(status), SIGKILL);
		/* Every third death is followed by `bpfast down` at once. */
		if (deaths % 3 == 2)
			dp_down();
		else
			judge(force_clsact, a, b);
		for (int i = 0; i < 2; i++) {
			snapshot_device(after, sizeof(after), i ? b : a);
			if (strcmp(plain, after))
				fail_msg("after a death at '%s' there is left:\n%s", last_step,
					 after);
		}
	}
	snapshot(after, sizeof(after));
	assert_string_equal(before, after);
	assert_in_range(deaths, 4, 100);
	print_message("           killed %d times\n", deaths);
	veth_gone("pod0");
	veth_gone("pod1");
}

static void killed_at_every_step_tcx(void **state)
{
	(void)state;
	killed_at_every_step(false);
}

static void killed_at_every_step_clsact(void **state)
{
	(void)state;
	killed_at_every_step(true);
}

static int work(int number)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(killed_at_every_step_tcx),
		cmocka_unit_test(killed_at_every_step_clsact),
	};
	char name[64];

	worker = number;
	snprintf(name, sizeof(name), "datapath crash, worker %d of %d", worker + 1, WORKERS);
	return cmocka_run_group_tests_name(name, tests, env_enter_stubbed, NULL);
}

int main(void)
{
	return share_work(WORKERS, work);
}
