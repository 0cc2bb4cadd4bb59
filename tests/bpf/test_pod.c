// SPDX-License-Identifier: Apache-2.0
/*
 * Packets through the programs of pod.bpf.c by BPF_PROG_TEST_RUN. One process,
 * for loading takes longer than all packets together.
 */
#include "cases.h"

#include "observe/names.h"

void check_rows(const struct row *rows, size_t n)
{
	unsigned int wrong = 0;

	assert_true(n <= FRAME_RING); /* or the first frames are overwritten */
	for (size_t i = 0; i < n; i++) {
		const struct row *r = &rows[i];
		const struct seen *s;

		world_reset(NULL);
		s = run(r->way, r->frame);
		if (s->reason == r->reason && s->forwarded == !r->reason)
			continue;
		print_error("%s: %s (%s), expected %s\n", r->what,
			    s->forwarded ? "forwarded" : "dropped", bf_reason_word(s->reason),
			    bf_reason_word(r->reason));
		wrong++;
	}
	if (wrong)
		fail_msg("%u of %zu packets met another end", wrong, n);
}

int main(void)
{
	int failed;

	if (world_enter(NULL))
		return 1;
	failed = cases_link();
	failed += cases_network();
	failed += cases_policy();
	failed += cases_tcp();
	failed += cases_http();
	failed += cases_deny();
	failed += cases_reasons();
	world_leave(NULL);
	return failed != 0;
}
