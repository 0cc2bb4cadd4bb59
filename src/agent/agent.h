/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_AGENT_H
#define BF_AGENT_AGENT_H
/* The agent's whole state, and what its parts do for each other. */
#include <jansson.h>

#include "agent/config.h"
#include "agent/endpoints.h"
#include "agent/loop.h"
#include "agent/netlink.h"
#include "agent/policies.h"
#include "datapath/datapath.h"
#include "observe/recorder.h"
#include "observe/view.h"
#include "policy/compile.h"

struct bf_server;
struct bf_metrics_server;

struct bf_agent {
	struct bf_config config;
	struct bf_loop loop;
	struct bf_datapath *dp;
	int run_fd; /* the run directory, locked */
	bool adopted;
	char node_name[256];
	uint64_t start_ns; /* CLOCK_MONOTONIC */

	struct bf_endpoints endpoints;
	struct bf_objects applied, directory;
	struct bf_sources files; /* of the policy directory, as last read without flaws */
	char dir_error[512]; /* why the directory's newest state is not in force; "" */
	bool dir_never; /* it was never read without flaws: what it demands is not known */
	uint8_t (*node_addrs)[16];
	size_t node_addr_count;

	struct bf_image image; /* in force */
	uint32_t generation; /* 0: none */
	uint64_t revision; /* counts changes; goes on over restarts */
	uint64_t applies_ok, applies_failed;
	int state_errno; /* why the last state is not on disk; 0: it is */
	/* Not empty: why nothing may be changed (what is in force stays). */
	char frozen[512];

	struct bf_views views;
	struct bf_recorder recorder;
	unsigned int observers; /* that follow */

	struct bf_server *server;
	struct bf_metrics_server *metrics;
	struct bf_watch signals, netlink, inotify, tick, settle, housekeeping;
	int dir_watch; /* inotify descriptor of the policy directory, or -1 */
};

/* enforce.c: objects and endpoints into the kernel. */

/*
 * Compiles these objects with the endpoints and node addresses as they are and
 * puts the result into force. On failure what was in force stays.
 */
int bf_enforce(struct bf_agent *a, const struct bf_objects *directory,
	       const struct bf_objects *applied, struct bf_error *err);
/* The same with the objects there are. */
int bf_enforce_again(struct bf_agent *a, struct bf_error *err);
int bf_may_change(const struct bf_agent *a, struct bf_error *err);
/* Takes an endpoint whose interface is gone out of everything. */
void bf_endpoint_gone(struct bf_agent *a, struct bf_local *local);
/* Reads the policy directory again; logs. force: even when no file changed. */
void bf_directory_reload(struct bf_agent *a);
void bf_directory_watch(struct bf_agent *a);

/* state.c: what a restarted agent needs. */
#define BF_STATE_FILE "state.json"
int bf_state_save(struct bf_agent *a, struct bf_error *err);
/* -ENOENT: none. */
int bf_state_load(struct bf_agent *a, struct bf_error *err);

/* startup.c */
int bf_startup(struct bf_agent *a, struct bf_error *err);

/* rundir.c */
int bf_rundir_open(struct bf_agent *a, struct bf_error *err);

/* server.c: the socket. */
#define BF_SOCKET_FILE "bpfast.sock"
int bf_server_start(struct bf_agent *a, struct bf_error *err);
void bf_server_stop(struct bf_agent *a);
void bf_server_records(struct bf_agent *a); /* new records are there */

/* status.c */
json_t *bf_status_json(struct bf_agent *a);
/* metrics.c: Prometheus text. */
struct bf_text;
void bf_metrics_text(struct bf_agent *a, struct bf_text *out);
/* metrics_http.c */
int bf_metrics_start(struct bf_agent *a, struct bf_error *err);
void bf_metrics_stop(struct bf_agent *a);

/* records.c */
void bf_records_drain(struct bf_agent *a);
int64_t bf_wall_offset_ns(void);

/* caps.c: drops what is not needed from here on. */
int bf_caps_drop(struct bf_error *err);

/* notify.c: tells systemd, where it listens. */
void bf_notify(const char *state);

#endif
