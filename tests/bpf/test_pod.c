// SPDX-License-Identifier: Apache-2.0
/*
 * Packets through the programs of pod.bpf.c by BPF_PROG_TEST_RUN. One process,
 * for loading takes longer than all packets together.
 */
#include "cases.h"

#include "observe/names.h"

/* The same frame with one VLAN tag more; NULL: it has two. */
static const struct frame *tagged(const struct frame *f)
{
	static struct frame out;

	if (f->len >= 18 && (!memcmp(f->b + 12, "\x81\0", 2) || !memcmp(f->b + 12, "\x88\xa8", 2)))
		return NULL;
	memcpy(out.b, f->b, 12);
	memcpy(out.b + 12, "\x81\0\0\7", 4);
	memcpy(out.b + 16, f->b + 12, f->len - 12);
	out.len = f->len + 4;
	return &out;
}

static unsigned int check_row(const struct row *r, const struct frame *f, const char *how)
{
	const struct seen *s;

	if (!f)
		return 0;
	world_reset(NULL);
	s = run(r->way, f);
	if (s->reason == r->reason && s->forwarded == !r->reason)
		return 0;
	print_error("%s%s: %s (%s), expected %s\n", r->what, how,
		    s->forwarded ? "forwarded" : "dropped", bf_reason_word(s->reason),
		    bf_reason_word(r->reason));
	return 1;
}

void check_rows(const struct row *rows, size_t n)
{
	unsigned int wrong = 0;

	assert_true(n <= FRAME_RING); /* or the first frames are overwritten */
	for (size_t i = 0; i < n; i++) {
		wrong += check_row(&rows[i], rows[i].frame, "");
		/* Plain frames are read by parse_quick(), tagged ones by parse(): no difference. */
		wrong += check_row(&rows[i], tagged(rows[i].frame), ", tagged");
	}
	if (wrong)
		fail_msg("%u packets met another end", wrong);
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
	failed += cases_pool();
	failed += cases_quota();
	failed += cases_census();
	failed += cases_http();
	failed += cases_deny();
	failed += cases_tunnel();
	failed += cases_reasons();
	world_leave(NULL);
	return failed != 0;
}
