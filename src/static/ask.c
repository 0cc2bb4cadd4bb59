// SPDX-License-Identifier: Apache-2.0
/*
 * For STATIC=1 alone, in the place of discover/ask.c: Debian has no archives of all that
 * libcurl needs. Namespaces, and what stands in containerd's state directory, are found
 * without it; who needs more is told.
 */
#include <errno.h>
#include <sys/stat.h>

#include "discover/ask.h"

int bf_asker_open(struct bf_asker *a, const char *socket, struct bf_error *err)
{
	struct stat st;

	a->curl = NULL;
	if (stat(socket, &st))
		return bf_err(err, -ENOENT, "there is no %s", socket);
	return bf_err(err, -EOPNOTSUPP,
		      "this bpfast is linked statically and cannot ask container runtimes; use "
		      "the one of the package");
}

void bf_asker_close(struct bf_asker *a)
{
	(void)a;
}

int bf_ask_http(struct bf_asker *a, const char *path, struct bf_answer *out, struct bf_error *err)
{
	(void)a, (void)path, (void)out;
	return bf_err(err, -EOPNOTSUPP, "not in a static build");
}

int bf_ask_grpc(struct bf_asker *a, const char *method, const char *space, const void *message,
		size_t len, struct bf_answer *out, struct bf_error *err)
{
	(void)a, (void)method, (void)space, (void)message, (void)len, (void)out;
	return bf_err(err, -EOPNOTSUPP, "not in a static build");
}
