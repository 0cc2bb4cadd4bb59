/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_CLI_COOKIE_PLACE_H
#define BF_CLI_COOKIE_PLACE_H
/* The network namespace a listener is in, and its settings that SYN cookies need. */
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/error.h"
#include "bpfast/shield.h"

struct bf_cookie_place {
	int fd; /* of the namespace */
	uint64_t ino;
	int ifindex; /* the device behind which it is; 0: our own namespace, or not known */
	char name[64]; /* for messages */
};

/* The namespace that has this address. which: a name, path or process id; NULL: look for it. */
int bf_cookie_place_find(const uint8_t addr[16], const char *which, struct bf_cookie_place *out,
			 struct bf_error *err);
/* The one with this inode. -ENOENT: it is gone, and what was changed in it too. */
int bf_cookie_place_by_ino(uint64_t ino, struct bf_cookie_place *out, struct bf_error *err);
void bf_cookie_place_close(struct bf_cookie_place *p);

/* net.ipv4.tcp_syncookies and tcp_timestamps of it. */
int bf_cookie_place_read(const struct bf_cookie_place *p, int *syncookies, int *timestamps,
			 struct bf_error *err);
/* Writes those that are not -1. if_now: only where the value is this one; -1: in any case. */
int bf_cookie_place_write(const struct bf_cookie_place *p, int syncookies, int timestamps,
			  int if_now, struct bf_error *err);

#endif
