// SPDX-License-Identifier: Apache-2.0
/*
 * How much the verifier has to read for each program, against bpf/budget.txt.
 * The kernel gives up at a million instructions, and older kernels read more of
 * the same program than newer ones; so a program may use part of that only.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <glob.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#define BUDGET "bpf/budget.txt"
#define PROGRAMS 32

struct program {
	char name[64];
	unsigned int verified, noted, allowed;
	bool in_file, loaded;
};

static struct {
	struct program program[PROGRAMS];
	size_t n;
	char objects[PATH_MAX]; /* build/bpf, wherever that is */
} b;

static struct program *program(const char *name)
{
	for (size_t i = 0; i < b.n; i++) {
		if (!strcmp(b.program[i].name, name))
			return &b.program[i];
	}
	assert_true(b.n < PROGRAMS);
	snprintf(b.program[b.n].name, sizeof(b.program[b.n].name), "%s", name);
	return &b.program[b.n++];
}

static void read_budget(void)
{
	FILE *f = fopen(BUDGET, "r");
	char line[256], name[64];
	unsigned int noted, allowed;

	if (!f)
		fail_msg("%s: %s; run this from the top of the sources", BUDGET, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		struct program *p;

		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (sscanf(line, "%63s %u %u", name, &noted, &allowed) != 3)
			fail_msg("%s: not \"PROGRAM VERIFIED ALLOWED\": %s", BUDGET, line);
		p = program(name);
		if (p->in_file)
			fail_msg("%s: %s stands there twice", BUDGET, name);
		p->noted = noted;
		p->allowed = allowed;
		p->in_file = true;
	}
	fclose(f);
}

static void load(const char *path)
{
	struct bpf_object *object = bpf_object__open(path);
	struct bpf_program *prog;

	if (!object)
		fail_msg("%s: %s", path, strerror(errno));
	if (bpf_object__load(object))
		fail_msg("%s: the kernel refuses it: %s", path, strerror(errno));
	bpf_object__for_each_program(prog, object)
	{
		struct bpf_prog_info info = {0};
		__u32 len = sizeof(info);
		struct program *p;

		assert_int_equal(bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len), 0);
		p = program(bpf_program__name(prog));
		p->verified = info.verified_insns;
		p->loaded = true;
	}
	bpf_object__close(object);
}

/* Writes the file anew with what was measured; limits that somebody set stay. */
static void write_budget(void)
{
	struct utsname kernel;
	FILE *f = fopen(BUDGET, "w");

	assert_non_null(f);
	uname(&kernel);
	fprintf(f,
		"# What the verifier reads for each program, and the most that it may come to.\n"
		"# PROGRAM VERIFIED ALLOWED: instructions; measured on Linux %d.%d.\n"
		"# The kernel's own limit is 1000000. `sudo BPFAST_BUDGET=write "
		"build/tests/bpf/test_budget`\n"
		"# writes VERIFIED anew; ALLOWED is raised by hand, with a reason in the commit.\n",
		atoi(kernel.release), atoi(strchr(kernel.release, '.') + 1));
	for (size_t i = 0; i < b.n; i++) {
		const struct program *p = &b.program[i];

		if (p->loaded)
			fprintf(f, "%-24s %7u %7u\n", p->name, p->verified,
				p->in_file ? p->allowed : p->verified + p->verified / 2);
	}
	assert_int_equal(fclose(f), 0);
}

static void programs_stay_within_their_budget(void **state)
{
	const char *want = getenv("BPFAST_BUDGET");
	unsigned int wrong = 0;
	char pattern[PATH_MAX + 8];
	glob_t found;

	(void)state;
	read_budget();
	snprintf(pattern, sizeof(pattern), "%s/*.o", b.objects);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		load(found.gl_pathv[i]);
	globfree(&found);
	if (want && !strcmp(want, "write"))
		write_budget();
	for (size_t i = 0; i < b.n; i++) {
		const struct program *p = &b.program[i];

		if (!p->loaded) {
			print_error("%s is in %s, but there is no such program\n", p->name, BUDGET);
			wrong++;
		} else if (!p->in_file) {
			print_error("%s is not in %s; write it there with BPFAST_BUDGET=write\n",
				    p->name, BUDGET);
			wrong++;
		} else if (p->verified > p->allowed) {
			print_error("%s: the verifier reads %u instructions, %u are allowed. Make "
				    "it simpler (docs/internals/verifier.md), or raise the limit "
				    "in %s and say why\n",
				    p->name, p->verified, p->allowed, BUDGET);
			wrong++;
		} else {
			print_message("%s: %u instructions of %u (noted: %u)\n", p->name,
				      p->verified, p->allowed, p->noted);
		}
	}
	if (wrong)
		fail_msg("%u programs are not within %s", wrong, BUDGET);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(programs_stay_within_their_budget),
	};
	char self[PATH_MAX];

	(void)argc;
	if (!realpath(argv[0], self))
		return 1;
	snprintf(b.objects, sizeof(b.objects), "%.4000s/../../bpf", dirname(self));
	return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
