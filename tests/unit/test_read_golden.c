// SPDX-License-Identifier: Apache-2.0
/*
 * tests/golden/policies: each X.yaml reads as X.txt says, model or flaws; and
 * every example of docs/guide/policies.md is right, or is said to be refused.
 * Run with BPFAST_GOLDEN=write, the test writes X.txt anew, to be looked at.
 */
#include <dirent.h>
#include <errno.h>

#include "read_render.h"

#define GOLDEN "tests/golden/policies"
#define GUIDE "docs/guide/policies.md"

static char *slurp(const char *path)
{
	FILE *f = fopen(path, "r");
	char *text = NULL;
	size_t size = 0, n;

	if (!f)
		fail_msg("%s: %s (run from the root of the tree)", path, strerror(errno));
	n = getdelim(&text, &size, EOF, f) >= 0 ? 1 : 0;
	fclose(f);
	if (!n)
		fail_msg("%s is empty", path);
	return text;
}

static void check_golden(const char *yaml)
{
	const char *mode = getenv("BPFAST_GOLDEN");
	char path[512];
	char *text = slurp(yaml), *got, *want;

	got = render_read(text, strlen(text));
	snprintf(path, sizeof(path), "%.*s.txt", (int)strlen(yaml) - 5, yaml);
	if (mode && !strcmp(mode, "write")) {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fputs(got, f);
		fclose(f);
	}
	want = slurp(path);
	if (strcmp(got, want))
		fail_msg("%s reads as\n%s\nbut %s says\n%s", yaml, got, path, want);
	free(want);
	free(got);
	free(text);
}

static void test_golden(void **state)
{
	DIR *dir = opendir(GOLDEN);
	struct dirent *entry;
	unsigned int seen = 0;
	char path[512];

	(void)state;
	if (!dir)
		fail_msg("%s: %s (run from the root of the tree)", GOLDEN, strerror(errno));
	while ((entry = readdir(dir))) {
		size_t n = strlen(entry->d_name);

		if (n < 6 || strcmp(entry->d_name + n - 5, ".yaml"))
			continue;
		snprintf(path, sizeof(path), "%s/%s", GOLDEN, entry->d_name);
		check_golden(path);
		seen++;
	}
	closedir(dir);
	assert_true(seen >= 8);
}

/* The line before a block's fence, without what precedes it. */
static bool is_refused(const char *guide, const char *fence)
{
	const char *mark = "<!-- refused -->\n";
	size_t n = strlen(mark);

	return (size_t)(fence - guide) >= n && !strncmp(fence - n, mark, n);
}

static void test_guide(void **state)
{
	char *guide = slurp(GUIDE);
	unsigned int right = 0, refused = 0;

	(void)state;
	for (char *fence = guide; (fence = strstr(fence, "```yaml\n"));) {
		char *block = fence + strlen("```yaml\n");
		char *end = strstr(block, "\n```");
		bool bad = is_refused(guide, fence);
		struct bf_objects o = {0};
		char *flaws = NULL;
		FILE *f = render_open(&flaws);
		int ret;

		assert_non_null(end);
		ret = bf_objects_read(&o, GUIDE, block, (size_t)(end - block), render_flaw, f);
		fclose(f);
		if (ret != (bad ? -EINVAL : 0))
			fail_msg("example:\n%.*s\n%s", (int)(end - block), block,
				 bad ? "is not refused" : flaws);
		/* An example has to be an example of something. */
		if (!bad && !o.policy_count && !o.namespace_count)
			fail_msg("example without an object:\n%.*s", (int)(end - block), block);
		bad ? refused++ : right++;
		free(flaws);
		bf_objects_free(&o);
		fence = end;
	}
	assert_true(right >= 6);
	assert_true(refused >= 1);
	free(guide);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_guide),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
