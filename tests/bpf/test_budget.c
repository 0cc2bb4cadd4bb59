// SPDX-License-Identifier: Apache-2.0
/*
 * How much the verifier has to read for each program, against bpf/budget.txt.
 * The kernel gives up at a million instructions, and each kernel reads another
 * part of the same program; so a program may use part of that only.
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
#define ROWS 128

/* One program on one kernel. */
struct row {
	char name[64], kernel[16];
	unsigned int verified, noted, allowed;
	bool in_file, loaded;
};

static struct {
	struct row row[ROWS];
	size_t n;
	char kernel[16]; /* this one: "6.1" */
	char objects[PATH_MAX]; /* build/bpf, wherever that is */
} b;

static struct row *row(const char *name, const char *kernel)
{
	for (size_t i = 0; i < b.n; i++) {
		if (!strcmp(b.row[i].name, name) && !strcmp(b.row[i].kernel, kernel))
			return &b.row[i];
	}
	assert_true(b.n < ROWS);
	snprintf(b.row[b.n].name, sizeof(b.row[b.n].name), "%s", name);
	snprintf(b.row[b.n].kernel, sizeof(b.row[b.n].kernel), "%s", kernel);
	return &b.row[b.n++];
}

static void read_budget(void)
{
	FILE *f = fopen(BUDGET, "r");
	char line[256], name[64], kernel[16];
	unsigned int noted, allowed;

	if (!f)
		fail_msg("%s: %s; run this from the top of the sources", BUDGET, strerror(errno));
	while (fgets(line, sizeof(line), f)) {
		struct row *r;

		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (sscanf(line, "%63s %15s %u %u", name, kernel, &noted, &allowed) != 4)
			fail_msg("%s: not \"PROGRAM KERNEL VERIFIED ALLOWED\": %s", BUDGET, line);
		r = row(name, kernel);
		if (r->in_file)
			fail_msg("%s: %s on %s stands there twice", BUDGET, name, kernel);
		r->noted = noted;
		r->allowed = allowed;
		r->in_file = true;
	}
	fclose(f);
}

static bool exists(const char *name)
{
	for (size_t i = 0; i < b.n; i++) {
		if (b.row[i].loaded && !strcmp(b.row[i].name, name))
			return true;
	}
	return false;
}

/* A kernel of which nothing is written may read as much as the one that may read most. */
static void take_the_most(struct row *of)
{
	for (size_t i = 0; i < b.n; i++) {
		const struct row *r = &b.row[i];

		if (r->in_file && !strcmp(r->name, of->name) && r->allowed > of->allowed)
			of->allowed = r->allowed;
	}
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
		struct row *r;

		assert_int_equal(bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len), 0);
		r = row(bpf_program__name(prog), b.kernel);
		r->verified = info.verified_insns;
		r->loaded = true;
	}
	bpf_object__close(object);
}

static int by_name(const void *a, const void *z)
{
	const struct row *l = a, *r = z;
	int order = strcmp(l->name, r->name);

	return order ? order : strverscmp(l->kernel, r->kernel);
}

/* Writes the file anew with what was measured; other kernels, and limits that somebody set, stay. */
static void write_budget(void)
{
	FILE *f = fopen(BUDGET, "w");

	assert_non_null(f);
	fputs("# What the verifier reads for each program on each kernel, and the most it may come "
	      "to.\n"
	      "# PROGRAM KERNEL VERIFIED ALLOWED: instructions; the kernel's own limit is "
	      "1000000.\n"
	      "# Another kernel than these may come to the most of them. `sudo make budget` "
	      "writes\n"
	      "# VERIFIED anew; ALLOWED is raised by hand, with a reason in the commit.\n",
	      f);
	qsort(b.row, b.n, sizeof(b.row[0]), by_name);
	for (size_t i = 0; i < b.n; i++) {
		struct row *r = &b.row[i];

		if (!exists(r->name))
			continue;
		if (!r->in_file)
			take_the_most(r);
		if (!r->allowed)
			r->allowed = r->verified + r->verified / 2;
		fprintf(f, "%-24s %-5s %7u %7u\n", r->name, r->kernel,
			r->loaded ? r->verified : r->noted, r->allowed);
		r->in_file = true;
	}
	assert_int_equal(fclose(f), 0);
}

/* Says what is wrong with a program; returns how much is. */
static unsigned int judge(struct row *r)
{
	bool measured_here = r->in_file;

	if (!exists(r->name)) {
		print_error("%s is in %s, but there is no such program\n", r->name, BUDGET);
		return 1;
	}
	if (strcmp(r->kernel, b.kernel))
		return 0;
	if (!r->in_file)
		take_the_most(r);
	if (!r->allowed) {
		print_error("%s is not in %s; write it there with make budget\n", r->name, BUDGET);
		return 1;
	}
	if (r->verified > r->allowed) {
		print_error("%s: the verifier of Linux %s reads %u instructions, %u are allowed. "
			    "Make it simpler (docs/internals/verifier.md), or raise the limit in "
			    "%s and say why\n",
			    r->name, r->kernel, r->verified, r->allowed, BUDGET);
		return 1;
	}
	print_message("%s on Linux %s: %u instructions of %u", r->name, r->kernel, r->verified,
		      r->allowed);
	if (measured_here)
		print_message(" (noted: %u)\n", r->noted);
	else
		print_message(" (nothing is noted of this kernel)\n");
	return 0;
}

static void programs_stay_within_their_budget(void **state)
{
	const char *want = getenv("BPFAST_BUDGET");
	unsigned int wrong = 0;
	char pattern[PATH_MAX + 8];
	struct utsname kernel;
	glob_t found;

	(void)state;
	uname(&kernel);
	snprintf(b.kernel, sizeof(b.kernel), "%d.%d", atoi(kernel.release),
		 atoi(strchr(kernel.release, '.') + 1));
	read_budget();
	snprintf(pattern, sizeof(pattern), "%s/*.o", b.objects);
	assert_int_equal(glob(pattern, 0, NULL, &found), 0);
	for (size_t i = 0; i < found.gl_pathc; i++)
		load(found.gl_pathv[i]);
	globfree(&found);
	if (want && !strcmp(want, "write"))
		write_budget();
	for (size_t i = 0; i < b.n; i++)
		wrong += judge(&b.row[i]);
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
