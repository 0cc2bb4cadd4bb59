/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_SHIELD_WORLD_H
#define BF_TEST_SHIELD_WORLD_H
/* Shield's programs for one test alone, on the loopback of a network namespace of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdbool.h>

#include "datapath/shield/measure.h"
#include "datapath/shield/shield.h"
#include "packet.h"
#include "shield/lists.h"

#define LO 1 /* the device that is guarded */
#define R(sym) BPFAST_R_SHIELD_##sym

extern struct bf_shield *shield;
extern struct bpfast_shield_control *shield_control;

/* Of a group, and of each case: tables are as if new, nothing is limited or listed. */
int shield_setup(void **state);
int shield_reset(void **state);
int shield_teardown(void **state);
void shield_forget(void);

/* The same for tests of what is measured: m is there, and after reset nobody has an entry and nothing is in force. */
extern struct bf_shield_measure m;
int measure_setup(void **state);
int measure_reset(void **state);
int measure_teardown(void **state);

void guard(enum bpfast_shield_mode mode);
struct bpfast_shield_counters counters(void);

/* One frame through one hook: the reason why it was dropped, or 0. -1: the kernel does not take it.
 * Fails where it is not counted exactly once. */
int shield_run(bool tc, const struct frame *f);
int in(const struct frame *f); /* by XDP */
void out(const struct frame *f); /* the other way */

/* "10.x.y.z" */
char *address(uint32_t n);
struct frame *of_class(int class, const char *src, const char *dst, uint16_t dport);
/* A TCP connection from 198.51.100.7, port 40000, to POD4, port 80: what either end sends. */
#define CLIENT .src = "198.51.100.7", .dst = POD4
#define SERVER .src = POD4, .dst = "198.51.100.7"
struct frame *client(uint32_t seq, uint32_t ack, int flags);
struct frame *server(uint32_t seq, uint32_t ack, int flags);
/* Puts prefixes, a line each, into force as this image. */
void list_of(enum bpfast_shield_image which, const char *block, const char *allow);

extern uint64_t rng;
uint32_t rnd(uint32_t below);

#endif
