// SPDX-License-Identifier: Apache-2.0
#include "agent/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

int bf_loop_init(struct bf_loop *loop)
{
	loop->stop = false;
	loop->fd = epoll_create1(EPOLL_CLOEXEC);
	return loop->fd < 0 ? -errno : 0;
}

void bf_loop_close(struct bf_loop *loop)
{
	if (loop->fd >= 0)
		close(loop->fd);
	loop->fd = -1;
}

static int control(struct bf_loop *loop, int op, struct bf_watch *watch, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = watch};

	return epoll_ctl(loop->fd, op, watch->fd, &ev) ? -errno : 0;
}

int bf_loop_add(struct bf_loop *loop, struct bf_watch *watch, uint32_t events)
{
	return control(loop, EPOLL_CTL_ADD, watch, events);
}

int bf_loop_change(struct bf_loop *loop, struct bf_watch *watch, uint32_t events)
{
	return control(loop, EPOLL_CTL_MOD, watch, events);
}

void bf_loop_remove(struct bf_loop *loop, struct bf_watch *watch)
{
	control(loop, EPOLL_CTL_DEL, watch, 0);
}

int bf_loop_run(struct bf_loop *loop)
{
	struct epoll_event ev;
	struct bf_watch *watch;
	int n;

	while (!loop->stop) {
		/* One at a time: a handler may free any watch, and the kernel hands
		 * them out in turn, so that nobody starves. */
		n = epoll_wait(loop->fd, &ev, 1, -1);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0)
			continue;
		watch = ev.data.ptr;
		watch->fn(watch->arg, ev.events);
	}
	return 0;
}

int bf_timer_add(struct bf_loop *loop, struct bf_watch *watch)
{
	int err;

	watch->fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (watch->fd < 0)
		return -errno;
	err = bf_loop_add(loop, watch, EPOLLIN);
	if (err) {
		close(watch->fd);
		watch->fd = -1;
	}
	return err;
}

int bf_timer_set(struct bf_watch *watch, unsigned int first_ms, unsigned int every_ms)
{
	struct itimerspec t = {
		.it_value = {first_ms / 1000, (long)(first_ms % 1000) * 1000000},
		.it_interval = {every_ms / 1000, (long)(every_ms % 1000) * 1000000},
	};

	return timerfd_settime(watch->fd, 0, &t, NULL) ? -errno : 0;
}

void bf_timer_read(struct bf_watch *watch)
{
	uint64_t n;

	if (read(watch->fd, &n, sizeof(n)) < 0) {
		/* Already read: nothing to do. */
	}
}
