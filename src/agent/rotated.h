/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_ROTATED_H
#define BF_AGENT_ROTATED_H
/*
 * A file of lines that does not grow for ever: NAME, and older ones as NAME.1 to
 * NAME.N. Where it cannot be written, what was to be written is counted and gone:
 * nothing waits for a disk to have room again.
 */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct bf_rotated {
	char *path; /* NULL: off */
	uint64_t max_bytes; /* 0: it is never rotated by us */
	unsigned int backups;
	int fd; /* -1: not open */
	uint64_t size;
	dev_t dev;
	ino_t ino;
	bool failed; /* the last write */
	int error; /* errno of the newest write that failed */
	uint64_t written, lost; /* lines */
};

/*
 * name: of a file in dir, or a path; it is made with mode 0640, and dir with 0750.
 * A file that cannot be opened is tried again with each write; in a directory that others
 * than root and who we are own or can write to, none is opened. 0, -ENOMEM, or
 * -EINVAL where the name cannot be one.
 */
int bf_rotated_init(struct bf_rotated *f, const char *dir, const char *name, uint64_t max_bytes,
		    unsigned int backups);
void bf_rotated_free(struct bf_rotated *f);

/* Whole lines, all of them or none. False: they are lost, and error says why. */
bool bf_rotated_write(struct bf_rotated *f, const char *data, size_t len, uint64_t lines);

/* The next write opens the file of that name: somebody else may have moved the old one. */
void bf_rotated_reopen(struct bf_rotated *f);
/* The same where the name no longer means the open file; looks at the size again. */
void bf_rotated_check(struct bf_rotated *f);

/* What error says, for people. */
const char *bf_rotated_why(const struct bf_rotated *f);

#endif
