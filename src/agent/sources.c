// SPDX-License-Identifier: Apache-2.0
/* The texts of policy files. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "agent/policies.h"

void bf_sources_free(struct bf_sources *sources)
{
	size_t i;

	for (i = 0; i < sources->n; i++) {
		free(sources->v[i].file);
		free(sources->v[i].text);
	}
	free(sources->v);
	memset(sources, 0, sizeof(*sources));
}

static int add(struct bf_sources *sources, const char *file, char *text, size_t len)
{
	struct bf_source *v = realloc(sources->v, (sources->n + 1) * sizeof(*v));

	if (v)
		sources->v = v;
	if (!v || !(v[sources->n].file = strdup(file)))
		return -ENOMEM;
	v[sources->n].text = text;
	v[sources->n++].len = len;
	return 0;
}

static bool wanted(const char *name)
{
	const char *dot = strrchr(name, '.');

	return name[0] != '.' && dot &&
	       (!strcmp(dot, ".yaml") || !strcmp(dot, ".yml") || !strcmp(dot, ".json"));
}

static int read_one(int dir, const char *name, const char *path, struct bf_sources *out,
		    struct bf_error *err)
{
	/* O_NONBLOCK: a pipe put there must not hang the agent. */
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK), r;
	struct stat st;
	size_t len = 0;
	ssize_t n = 0;
	char *text;

	if (fd < 0 && errno == ENOENT)
		return 0; /* gone since the directory was listed */
	if (fd < 0 || fstat(fd, &st)) {
		r = bf_err(err, -errno, "cannot read %s: %s", path, strerror(errno));
		if (fd >= 0)
			close(fd);
		return r;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > BF_POLICY_FILE_MAX) {
		close(fd);
		if (S_ISDIR(st.st_mode))
			return 0;
		return bf_err(err, -EINVAL, "%s is %s", path,
			      S_ISREG(st.st_mode) ? "larger than the limit of 8 MiB"
						  : "not a regular file");
	}
	text = malloc(BF_POLICY_FILE_MAX < (size_t)st.st_size + 1 ? BF_POLICY_FILE_MAX
								  : (size_t)st.st_size + 1);
	while (text && len < (size_t)st.st_size &&
	       (n = read(fd, text + len, (size_t)st.st_size - len)) > 0)
		len += (size_t)n;
	r = n < 0 ? -errno : 0;
	close(fd);
	if (!text)
		return bf_err(err, -ENOMEM, "no memory");
	if (r)
		bf_err(err, r, "cannot read %s: %s", path, strerror(-r));
	else if ((r = add(out, path, text, len)))
		bf_err(err, r, "no memory");
	if (r)
		free(text);
	return r;
}

static int by_file(const void *a, const void *b)
{
	return strcmp(((const struct bf_source *)a)->file, ((const struct bf_source *)b)->file);
}

int bf_sources_read(const char *dir, struct bf_sources *out, struct bf_error *err)
{
	DIR *d = opendir(dir);
	struct dirent *entry;
	char path[4096];
	int r = 0;

	memset(out, 0, sizeof(*out));
	if (!d)
		return bf_err(err, -errno, "cannot read the directory %s: %s", dir,
			      strerror(errno));
	while (!r && (entry = readdir(d))) {
		if (!wanted(entry->d_name))
			continue;
		if (out->n == BF_POLICY_FILES_MAX) {
			r = bf_err(err, -E2BIG, "%s holds more than %d policy files", dir,
				   BF_POLICY_FILES_MAX);
			break;
		}
		if ((size_t)snprintf(path, sizeof(path), "%s/%s", dir, entry->d_name) >=
		    sizeof(path)) {
			r = bf_err(err, -ENAMETOOLONG, "%s: a path is too long", dir);
			break;
		}
		r = read_one(dirfd(d), entry->d_name, path, out, err);
	}
	closedir(d);
	if (r) {
		bf_sources_free(out);
		return r;
	}
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), by_file);
	return 0;
}

bool bf_sources_equal(const struct bf_sources *a, const struct bf_sources *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (strcmp(a->v[i].file, b->v[i].file) || a->v[i].len != b->v[i].len ||
		    memcmp(a->v[i].text, b->v[i].text, a->v[i].len))
			return false;
	return true;
}

json_t *bf_sources_to_json(const struct bf_sources *sources)
{
	json_t *array = json_array();
	size_t i;

	for (i = 0; i < sources->n; i++)
		if (json_array_append_new(
			    array, json_pack("{s:s, s:s%}", "file", sources->v[i].file, "text",
					     sources->v[i].text, sources->v[i].len))) {
			json_decref(array);
			return NULL;
		}
	return array;
}

int bf_sources_from_json(const json_t *array, struct bf_sources *out, struct bf_error *err)
{
	json_t *item, *text;
	const char *file;
	char *copy;
	size_t i;

	memset(out, 0, sizeof(*out));
	if (json_array_size(array) > BF_POLICY_FILES_MAX)
		return bf_err(err, -E2BIG, "more than %d files at once", BF_POLICY_FILES_MAX);
	json_array_foreach (array, i, item) {
		file = json_string_value(json_object_get(item, "file"));
		text = json_object_get(item, "text");
		if (!file || !json_is_string(text)) {
			bf_sources_free(out);
			return bf_err(err, -EINVAL, "files: {\"file\", \"text\"} is expected");
		}
		copy = malloc(json_string_length(text) + 1);
		if (copy)
			memcpy(copy, json_string_value(text), json_string_length(text) + 1);
		if (!copy || add(out, file, copy, json_string_length(text))) {
			free(copy);
			bf_sources_free(out);
			return bf_err(err, -ENOMEM, "no memory");
		}
	}
	return 0;
}
