/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_SHIELD_H
#define BF_DATAPATH_SHIELD_H
/*
 * Loads, attaches, pins and reads shield. Beside the datapath of pods, under the same pin
 * directory: its own programs, its own maps. Everything stays in force when the process ends;
 * bf_shield_open() on the same pin directory adopts it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/error.h"
#include "bpfast/shield.h"

struct bf_shield;

/* Is anything of shield pinned there? */
bool bf_shield_pinned(const char *pin_dir);

/* A list's image that an earlier version has made, as this one makes it; *out is the caller's to free. -EINVAL: it cannot be read. */
typedef int bf_shield_rewrite(const void *image, size_t len, uint64_t seed, uint8_t **out,
			      size_t *out_len);

/* vouch_fd: bf_datapath_vouch_fd(), or -1. 0, or -errno with err. The pin directory is there: bf_datapath_open() made it. */
int bf_shield_open(const char *pin_dir, bool force_clsact, int vouch_fd, bf_shield_rewrite *rewrite,
		   struct bf_shield **out, bool *adopted, struct bf_error *err);
/* For this process alone: nothing is pinned or attached. For tests and the bench. */
int bf_shield_open_private(struct bf_shield **out, struct bf_error *err);
/* Hooks of pods come after this program, which is bf_datapath_from_pod_fd(). */
void bf_shield_after(struct bf_shield *s, int from_pod_fd);
void bf_shield_close(struct bf_shield *s); /* leaves all in force */

enum bf_shield_want {
	BF_SHIELD_BEST, /* native XDP, else generic */
	BF_SHIELD_NATIVE,
	BF_SHIELD_GENERIC,
	BF_SHIELD_OFFLOAD,
	BF_SHIELD_TC,
	BF_SHIELD_POD,
	BF_SHIELD_SHARED, /* in libxdp's dispatcher: bf_shield_share() */
};

/*
 * Guards a device, or changes the mode of one that is guarded. why (size bytes): why not native
 * XDP, or "". -EBUSY: another XDP program is there; *holder is its number.
 */
int bf_shield_attach(struct bf_shield *s, int ifindex, enum bf_shield_want want,
		     enum bpfast_shield_mode mode, char *why, size_t size, uint32_t *holder,
		     struct bf_error *err);
/* The same, and notes for whom: BPFAST_SHIELD_BY_... Without it, for a command. */
int bf_shield_attach_by(struct bf_shield *s, uint8_t by, int ifindex, enum bf_shield_want want,
			enum bpfast_shield_mode mode, char *why, size_t size, uint32_t *holder,
			struct bf_error *err);

/* --- dispatcher.c, and hooks.c: beside other XDP programs, in libxdp's dispatcher --- */

#define BF_SHIELD_SHARED_MAX 10 /* what a dispatcher has room for */
#define BF_PROG_NAME 16 /* BPF_OBJ_NAME_LEN */

struct bf_shield_shared {
	bool on; /* our program is in the dispatcher that the device runs now */
	bool current; /* and it is this build's */
	bool native; /* the dispatcher is in the driver */
	char other[BF_SHIELD_SHARED_MAX][BF_PROG_NAME]; /* names of programs */
	unsigned int others;
};

/* false: what has the device's XDP hook is no dispatcher, or nothing. */
bool bf_shield_shared(struct bf_shield *s, int ifindex, struct bf_shield_shared *out);

/*
 * The agent's part of sharing a device, before and after somebody with CAP_SYS_ADMIN has put our
 * program into the dispatcher by bf_share_attach(). Everything but the program is there after the first, in mode
 * off where the device is new (*fresh). -EBUSY: another program has the hook; *holder is its number.
 */
int bf_shield_share(struct bf_shield *s, int ifindex, bool *fresh, uint32_t *holder,
		    struct bf_error *err);
/* -ENOENT: it is not in the dispatcher. A policy's mode stays. */
int bf_shield_share_done(struct bf_shield *s, int ifindex, enum bpfast_shield_mode mode,
			 struct bf_error *err);
/* What bf_share_attach() has to know. -ENAMETOOLONG */
int bf_shield_share_where(const struct bf_shield *s, char *dir, size_t size, uint32_t *prog_id);

/* --- */

/* Also where the device is gone. -ENOENT: it is not guarded. Of a shared one the program stays in the dispatcher
 * and passes everything, until bf_share_remove(). */
int bf_shield_detach(struct bf_shield *s, int ifindex, struct bf_error *err);
/* Is what the slot says attached really? */
bool bf_shield_alive(struct bf_shield *s, const struct bpfast_shield_device *device);

/* Mapped: limits and devices. Devices are changed by the functions above only. */
struct bpfast_shield_control *bf_shield_control(struct bf_shield *s);
/* rate 0: no limit. */
void bf_shield_set_limit(struct bpfast_shield_limit *limit, uint32_t rate, uint32_t burst);
void bf_shield_set_defaults(struct bpfast_shield_control *control);
/* New keys of all hashes: nothing that the tables know is found again. -EIO: no random numbers. */
int bf_shield_new_keys(struct bpfast_shield_control *control);

/* Puts an image into force; len 0: none. On error what was in force still is. */
int bf_shield_install(struct bf_shield *s, enum bpfast_shield_image which, const void *image,
		      size_t len, struct bf_error *err);
/* The image in force, mapped until the next install or close; NULL: none. */
const void *bf_shield_image(struct bf_shield *s, enum bpfast_shield_image which, size_t *len);

/* Sum over CPUs of a device's slot. */
int bf_shield_counters(struct bf_shield *s, unsigned int slot, struct bpfast_shield_counters *out);
/* Samples that are not empty; *out is malloc'ed. */
int bf_shield_samples(struct bf_shield *s, struct bpfast_shield_sample **out, size_t *n);

/* --- shield_cookies.c: destinations whose SYNs are answered with cookies --- */

struct bf_shield_cookie {
	struct bpfast_shield_cookie_key key;
	struct bpfast_shield_cookie c;
};

/* All of them; *out is malloc'ed. */
int bf_shield_cookies(struct bf_shield *s, struct bf_shield_cookie **out, size_t *n);
/* -ENOENT */
int bf_shield_cookie_get(struct bf_shield *s, const struct bpfast_shield_cookie_key *key,
			 struct bpfast_shield_cookie *out);
int bf_shield_cookie_set(struct bf_shield *s, const struct bpfast_shield_cookie_key *key,
			 const struct bpfast_shield_cookie *c, struct bf_error *err);
int bf_shield_cookie_remove(struct bf_shield *s, const struct bpfast_shield_cookie_key *key);
/* The same as pinned, without an open shield; n 0 where there are none. *out is malloc'ed or NULL. */
void bf_shield_cookies_pinned(const char *pin_dir, struct bf_shield_cookie **out, size_t *n);

/* --- bars.c: who is blocked towards one pod --- */

struct bf_shield_bar {
	struct bpfast_shield_bar_key key;
	struct bpfast_shield_bar until;
};

/* All of them, by source, also those that are over; *out is malloc'ed. */
int bf_shield_bars(struct bf_shield *s, struct bf_shield_bar **out, size_t *n);
/* Of what is there already the later times hold. -E2BIG: there is no room. */
int bf_shield_bar_put(struct bf_shield *s, const struct bf_shield_bar *bar);
int bf_shield_bar_remove(struct bf_shield *s, const struct bpfast_shield_bar_key *key);

/* Now, as lists count time: CLOCK_MONOTONIC >> 30. */
uint32_t bf_shield_now(void);

/* Takes away what has ended of `sets` sets of connections (BPFAST_SHIELD_CONN_SETS in all) from number `first` on, and
 * marks what has for the next time. *emptied, cells, may be NULL. 0 or -errno. */
int bf_shield_sweep(struct bf_shield *s, uint32_t first, uint32_t sets, uint32_t *emptied);

/* One frame through the XDP program (tc: through the other) by BPF_PROG_TEST_RUN, as if it came in
 * by ifindex. *passed; ns: of one run, as a mean of repeat runs; may be NULL. */
int bf_shield_trial(struct bf_shield *s, bool tc, int ifindex, const void *frame, size_t len,
		    uint32_t repeat, bool *passed, uint32_t *ns);
/* The same. answer (*answer_len bytes, then the length): the SYN-ACK it became; length 0: none. */
int bf_shield_trial_answer(struct bf_shield *s, bool tc, int ifindex, const void *frame, size_t len,
			   uint32_t repeat, bool *passed, uint32_t *ns, void *answer,
			   size_t *answer_len);
/* The same through the program that learns from what goes out. */
int bf_shield_trial_out(struct bf_shield *s, int ifindex, const void *frame, size_t len);

/* Who a program is: its name, or "program N". Needs CAP_SYS_ADMIN for the name. */
const char *bf_shield_program(uint32_t prog_id, char *buf, size_t size);

/* Detaches and unpins all of shield under pin_dir; works without an open one. */
int bf_shield_down(const char *pin_dir, struct bf_error *err);

#endif
