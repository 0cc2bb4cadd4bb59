/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_LOOP_H
#define BF_AGENT_LOOP_H
/* The event loop: one thread, epoll, timers as file descriptors. */
#include <stdbool.h>
#include <stdint.h>

struct bf_watch {
	int fd;
	void (*fn)(void *arg, uint32_t events); /* may remove and free this or any other watch */
	void *arg;
};

struct bf_loop {
	int fd;
	bool stop;
};

int bf_loop_init(struct bf_loop *loop);
void bf_loop_close(struct bf_loop *loop);
/* The watch stays the caller's and must not move until removed. events: EPOLLIN ... */
int bf_loop_add(struct bf_loop *loop, struct bf_watch *watch, uint32_t events);
int bf_loop_change(struct bf_loop *loop, struct bf_watch *watch, uint32_t events);
void bf_loop_remove(struct bf_loop *loop, struct bf_watch *watch);
/* Until loop->stop. 0 or -errno. */
int bf_loop_run(struct bf_loop *loop);

/* A timer: fn() calls bf_timer_read() first. first_ms 0: off; every_ms 0: once. */
int bf_timer_add(struct bf_loop *loop, struct bf_watch *watch);
int bf_timer_set(struct bf_watch *watch, unsigned int first_ms, unsigned int every_ms);
void bf_timer_read(struct bf_watch *watch);

#endif
