/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DISCOVER_FIND_H
#define BF_DISCOVER_FIND_H
/* Inside this room: the sources, and what they add to. */
#include "discover/discover.h"

/* The namespace behind a file, new or known. NULL: gone, or no memory; errno says. Takes fd. */
struct bf_place *bf_found_place(struct bf_found *found, int fd);
/* Puts a container where its process is. Takes what c holds. One whose process is gone is left out. */
void bf_found_container(struct bf_found *found, struct bf_running *c);
/* One that is there but does not run. space may be NULL. */
void bf_found_stopped(struct bf_found *found, const char *runtime, const char *space,
		      const char *id, const char *name, const char *state);
void bf_found_note(struct bf_found *found, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

void bf_find_docker(struct bf_found *found, const char *runtime, const char *socket, bool wanted);
void bf_find_containerd(struct bf_found *found, const char *state, const char *socket, bool wanted);
void bf_find_netns(struct bf_found *found, const char *dir, bool wanted);
void bf_find_processes(struct bf_found *found);
/* Host sides and addresses of all places. */
int bf_find_plugs(struct bf_found *found, struct bf_error *err);

/* Makes UTF-8 of what others named: what is none becomes '?'. Returns s. */
char *bf_find_utf8(char *s);
/* A whole regular file below a directory, malloc'ed, NUL-terminated; -errno, -EFBIG past max. */
int bf_find_slurp(int dir, const char *name, size_t max, char **text, size_t *len);

#endif
