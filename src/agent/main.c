// SPDX-License-Identifier: Apache-2.0
/* bpfastd: turns policies and endpoints into what the kernel enforces. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "agent/shield/attacks.h"
#include "agent/log.h"
#include "agent/shield/http.h"

#define DRAIN_MS 50 /* records wait in the kernel's ring for so long */
#define SETTLE_MS 100 /* after a change of files, links or addresses */
#define HOUSEKEEPING_MS 5000

enum exit_code { EXIT_ENDED = 0, EXIT_FAILED = 1, EXIT_USAGE = 2, EXIT_OTHER_AGENT = 4 };

/* What is looked at again when things have settled. */
static struct {
	bool directory, addresses, links, devices;
} dirty;

static void on_signal(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;
	struct signalfd_siginfo si;

	(void)events;
	if (read(a->signals.fd, &si, sizeof(si)) != sizeof(si))
		return;
	if (si.ssi_signo == SIGHUP) {
		bf_rotated_reopen(&a->records_file);
		bf_rotated_reopen(&a->log_file);
		bf_log_info("opening log files and reading the policy directory again");
		bf_directory_watch(a);
		bf_directory_reload(a);
		return;
	}
	a->loop.stop = true;
}

static void gone(void *arg, int ifindex)
{
	struct bf_agent *a = arg;
	struct bf_local *l;

	bf_agent_shield_gone(a, ifindex);
	if (*a->frozen || bf_fence_gone(a, ifindex))
		return;
	l = bf_endpoints_by_ifindex(&a->endpoints, ifindex);
	if (!l)
		return;
	bf_endpoint_gone(a, l);
	dirty.links = true;
}

static void on_netlink(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;
	unsigned int news = bf_netlink_news(a->netlink.fd, gone, a);

	(void)events;
	if (news & BF_NEWS_LOST && !*a->frozen && bf_forget_gone(a))
		dirty.links = true;
	dirty.addresses |= news & (BF_NEWS_ADDRESS | BF_NEWS_LOST);
	dirty.devices |= (news & (BF_NEWS_LINK | BF_NEWS_LOST)) != 0;
	if (dirty.addresses || dirty.links || dirty.devices)
		bf_timer_set(&a->settle, SETTLE_MS, 0);
}

static void on_inotify(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;
	_Alignas(struct inotify_event) char buf[8192];
	const struct inotify_event *ev;
	ssize_t n, at;

	(void)events;
	while ((n = read(a->inotify.fd, buf, sizeof(buf))) > 0) {
		for (at = 0; at < n; at += (ssize_t)(sizeof(*ev) + ev->len)) {
			ev = (const struct inotify_event *)(buf + at);
			if (ev->mask & IN_MOVE_SELF)
				inotify_rm_watch(a->inotify.fd, a->dir_watch);
			if (ev->mask & (IN_IGNORED | IN_MOVE_SELF))
				a->dir_watch = -1;
		}
		dirty.directory = true;
	}
	if (dirty.directory)
		bf_timer_set(&a->settle, SETTLE_MS, 0);
}

/* True: they are others now. */
static bool addresses_changed(struct bf_agent *a)
{
	uint8_t(*addrs)[16];
	struct bf_error err;
	size_t n;

	if (bf_node_addresses(&addrs, &n, &err)) {
		bf_log_warn("node addresses not read", "why", err.msg);
		return false;
	}
	if (n == a->node_addr_count && (!n || !memcmp(addrs, a->node_addrs, n * 16))) {
		free(addrs);
		return false;
	}
	free(a->node_addrs);
	a->node_addrs = addrs;
	a->node_addr_count = n;
	return true;
}

static void on_settle(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;
	bool again = dirty.links;
	struct bf_error err;

	(void)events;
	bf_timer_read(&a->settle);
	if (dirty.addresses && addresses_changed(a))
		again = true;
	if (again && !*a->frozen) {
		if (bf_enforce_again(a, &err))
			bf_log_error("tables not renewed", "why", err.msg);
		else if (bf_state_save(a, &err))
			bf_log_error("state not saved", "why", err.msg);
	}
	if (dirty.devices)
		bf_shield_policies_renew(a);
	if (dirty.directory) {
		bf_directory_watch(a);
		bf_directory_reload(a);
	}
	memset(&dirty, 0, sizeof(dirty));
}

static void on_tick(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;

	(void)events;
	bf_timer_read(&a->tick);
	bf_records_drain(a);
	bf_flows_look(a);
}

static void on_housekeeping(void *arg, uint32_t events)
{
	struct bf_agent *a = arg;

	(void)events;
	bf_timer_read(&a->housekeeping);
	bf_rotated_check(&a->records_file);
	bf_rotated_check(&a->log_file);
	bf_records_file_report(a);
	if (!*a->frozen && bf_cni_spool_take(a)) {
		dirty.links = true;
		bf_timer_set(&a->settle, SETTLE_MS, 0);
	}
	bf_agent_shield_tick(a);
	/* A directory that did not exist at the start is found here. */
	if (a->dir_watch < 0) {
		bf_directory_watch(a);
		if (a->dir_watch >= 0)
			bf_directory_reload(a);
	}
}

static int watch(struct bf_agent *a, struct bf_watch *w, int fd,
		 void (*fn)(void *arg, uint32_t events))
{
	*w = (struct bf_watch){fd, fn, a};
	return fd < 0 ? fd : bf_loop_add(&a->loop, w, EPOLLIN);
}

static int timer(struct bf_agent *a, struct bf_watch *w, void (*fn)(void *arg, uint32_t events),
		 unsigned int ms)
{
	int r;

	*w = (struct bf_watch){-1, fn, a};
	r = bf_timer_add(&a->loop, w);
	return r || !ms ? r : bf_timer_set(w, ms, ms);
}

static int signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return fd < 0 ? -errno : fd;
}

static int watches(struct bf_agent *a, struct bf_error *err)
{
	int fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK), r;

	a->dir_watch = -1;
	r = watch(a, &a->signals, signals(), on_signal);
	if (!r)
		r = watch(a, &a->netlink, bf_netlink_watch(), on_netlink);
	if (!r)
		r = watch(a, &a->inotify, fd < 0 ? -errno : fd, on_inotify);
	if (!r)
		r = timer(a, &a->settle, on_settle, 0);
	if (!r)
		r = timer(a, &a->tick, on_tick, DRAIN_MS);
	if (!r)
		r = timer(a, &a->housekeeping, on_housekeeping, HOUSEKEEPING_MS);
	return r ? bf_err(err, r, "cannot set up the event loop: %s", strerror(-r)) : 0;
}

static bool wanted(const char *file)
{
	return file && strcmp(file, "off") != 0;
}

/* What cannot be opened now may be later, and is no reason not to enforce. */
static int files(struct bf_agent *a, struct bf_error *err)
{
	const struct bf_config *c = &a->config;
	const char *what = "log-file", *name = c->log_file;
	int r = 0;

	if (wanted(name))
		r = bf_rotated_init(&a->log_file, c->log_dir, name, (uint64_t)c->log_file_mib << 20,
				    c->log_file_backups);
	if (!r && wanted(name))
		bf_log_to(&a->log_file);
	if (!r && wanted(c->records_file)) {
		what = "records-file";
		name = c->records_file;
		r = bf_rotated_init(&a->records_file, c->log_dir, name,
				    (uint64_t)c->records_file_mib << 20, c->records_file_backups);
	}
	if (r)
		return bf_err(err, r, "%s: '%s' cannot be the name of a file", what, name);
	if (a->log_file.path && a->records_file.path &&
	    !strcmp(a->log_file.path, a->records_file.path))
		return bf_err(err, -EINVAL,
			      "records-file and log-file are both %s: give each a name of its own",
			      a->log_file.path);
	return 0;
}

static int start(struct bf_agent *a, struct bf_error *err)
{
	struct timespec now;
	int r;

	clock_gettime(CLOCK_MONOTONIC, &now);
	a->start_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	gethostname(a->node_name, sizeof(a->node_name) - 1);
	if (a->config.node_name)
		snprintf(a->node_name, sizeof(a->node_name), "%s", a->config.node_name);
	r = bf_loop_init(&a->loop);
	if (r)
		return bf_err(err, r, "cannot make the event loop: %s", strerror(-r));
	r = bf_shield_http_start(a);
	if (r)
		return bf_err(err, r, "cannot make a timer: %s", strerror(-r));
	/* Watched before they are read, so that no change falls between. */
	r = watches(a, err);
	if (!r)
		bf_directory_watch(a);
	if (!r)
		r = bf_metrics_start(a, err);
	if (!r)
		r = bf_startup(a, err);
	if (!r)
		r = bf_server_start(a, err);
	if (!r)
		r = bf_caps_drop(err);
	return r;
}

static void stop(struct bf_agent *a)
{
	bf_server_stop(a);
	bf_metrics_stop(a);
	bf_shield_http_stop(a);
	bf_agent_shield_close(a);
	bf_attack_lines_free(a);
	bf_shield_policies_free(a);
	if (a->dp) {
		if (a->records_file.path)
			bf_records_drain(a);
		bf_datapath_control(a->dp)->observed = 0;
		bf_datapath_close(a->dp);
	}
	bf_views_free(&a->views);
	bf_recorder_free(&a->recorder);
	bf_image_free(&a->image);
	bf_endpoints_free(&a->endpoints);
	bf_objects_free(&a->applied);
	bf_objects_free(&a->directory);
	bf_sources_free(&a->files);
	free(a->node_addrs);
	free(a->fenced);
	bf_loop_close(&a->loop);
	bf_log_to(NULL);
	bf_rotated_free(&a->records_file);
	bf_rotated_free(&a->log_file);
	bf_text_free(&a->records_text);
	bf_config_free(&a->config);
}

/* A start that failed leaves behind what it found: nothing half made. */
static void undo(struct bf_agent *a)
{
	struct bf_error err;

	if (!a->dp || a->adopted)
		return;
	bf_datapath_close(a->dp);
	a->dp = NULL;
	if (bf_datapath_down(a->config.pin_dir, &err))
		bf_log_error("cannot clean up", "pins", a->config.pin_dir, "why", err.msg);
}

static int ready(struct bf_agent *a)
{
	struct bf_datapath_status s = {0};
	int r;

	bf_datapath_status(a->dp, &s);
	bf_log_info("ready", "version", BPFAST_VERSION, "socket", a->config.run_dir, "hook",
		    s.hook ? s.hook : "", "endpoints", bf_num((long long)a->endpoints.n),
		    "policies",
		    bf_num((long long)(a->applied.policy_count + a->directory.policy_count)),
		    "generation", bf_num(s.generation));
	bf_notify("READY=1");
	r = bf_loop_run(&a->loop);
	bf_notify("STOPPING=1");
	if (r)
		bf_log_error("event loop failed", "why", strerror(-r));
	bf_log_info("ended; what is in force stays in force", "pins", a->config.pin_dir);
	return r ? EXIT_FAILED : EXIT_ENDED;
}

int main(int argc, char **argv)
{
	static struct bf_agent agent = {.run_fd = -1};
	struct bf_error err = {""};
	int r = bf_config_init(&agent.config), level;

	if (!r)
		r = bf_config_load(&agent.config, argc, argv, &err);
	if (r == BF_CONFIG_DONE)
		return EXIT_ENDED;
	level = r ? BF_LOG_INFO : bf_log_level_parse(agent.config.log_level);
	if (level < 0)
		r = bf_err(&err, -EINVAL, "log-level: '%s' is not error, warn, info or debug",
			   agent.config.log_level);
	if (!r)
		r = files(&agent, &err);
	if (r) {
		fprintf(stderr, "bpfastd: %s\n", *err.msg ? err.msg : strerror(-r));
		return EXIT_USAGE;
	}
	bf_log_set_level((enum bf_log_level)level);
	r = start(&agent, &err);
	if (r) {
		bf_log_error("cannot start", "why", *err.msg ? err.msg : strerror(-r));
		undo(&agent);
		stop(&agent);
		return r == -EBUSY ? EXIT_OTHER_AGENT : EXIT_FAILED;
	}
	r = ready(&agent);
	stop(&agent);
	return r;
}
