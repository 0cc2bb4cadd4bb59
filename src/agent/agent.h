/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_AGENT_H
#define BF_AGENT_AGENT_H
/* The agent's whole state, and what its parts do for each other. */
#include <jansson.h>

#include "agent/config.h"
#include "agent/shield/defence.h"
#include "agent/endpoints.h"
#include "agent/loop.h"
#include "agent/netlink.h"
#include "agent/policies.h"
#include "agent/rotated.h"
#include "agent/shield/policy.h"
#include "datapath/datapath.h"
#include "datapath/shield/shield.h"
#include "observe/recorder.h"
#include "observe/text.h"
#include "observe/view.h"
#include "policy/compile.h"
#include "shield/lists.h"

#define BF_ATTACK_LINES 128 /* records of attacks that observers can still get */

struct bf_attack_lines {
	char *line[BF_ATTACK_LINES];
	uint64_t total;
};

struct bf_server;
struct bf_metrics_server;
struct bf_shield_http;

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
	int *fenced; /* indexes of interfaces */
	size_t fenced_count;

	struct bf_views views;
	struct bf_recorder recorder;
	unsigned int observers; /* that follow */
	struct bf_refusals refusals; /* for a full flow table */
	uint64_t flows_looked_s; /* CLOCK_MONOTONIC */
	struct bf_rotated records_file, log_file;
	struct bf_text records_text; /* on its way to records_file */
	uint64_t records_text_lines, records_lost_seen;
	int64_t wall_offset_ns; /* of the records that are being read */
	bool records_losing; /* the log has said so */

	struct bf_shield *shield; /* NULL: nothing of it is loaded */
	struct bf_shield_list
		shield_lists[BPFAST_SI_COUNT]; /* what the images in force were made of */
	struct bf_defence *defence; /* beside it, NULL: no attack is looked for */
	struct bf_attack_lines attack_lines;
	struct bf_shield_policies shield_policies;
	char shield_error[512]; /* why what is pinned could not be adopted; "" */
	struct bf_shield_http *http; /* connection and HTTP floods; shield_http.h */

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

/*
 * admit.c: puts a new endpoint under policy: its addresses, the tables, the state, the hooks. Takes
 * local. On failure nothing is changed.
 */
int bf_endpoint_admit(struct bf_agent *a, struct bf_local *local, const struct bf_link *link,
		      json_t **result, struct bf_error *err);

/*
 * fence.c: interfaces that are guarded although nobody is known behind them. All their traffic
 * is denied, until an endpoint is added there or the interface goes.
 */
int bf_fence(struct bf_agent *a, int ifindex, struct bf_error *err);
bool bf_is_fenced(const struct bf_agent *a, int ifindex);
void bf_fence_lifted(struct bf_agent *a, int ifindex);
/* The interface is gone: its hooks and flows too. False: it was not fenced. */
bool bf_fence_gone(struct bf_agent *a, int ifindex);
/* Endpoints whose interface is gone, or is another one by now. Returns how many. */
size_t bf_forget_gone(struct bf_agent *a);

/* cni_spool.c: what the CNI plugin deleted while no agent answered. */
size_t bf_cni_spool_take(struct bf_agent *a);
/* cmd_cni.c: network and ifname NULL: any. Returns how many endpoints went, or -errno. */
int bf_cni_forget(struct bf_agent *a, const char *network, const char *id, const char *ifname,
		  struct bf_error *err);

/* state.c: what a restarted agent needs. */
#define BF_STATE_FILE "state.json"
int bf_state_save(struct bf_agent *a, struct bf_error *err);
/* -ENOENT: none. */
int bf_state_load(struct bf_agent *a, struct bf_error *err);

/* startup.c */
int bf_startup(struct bf_agent *a, struct bf_error *err);

/* rundir.c */
int bf_rundir_open(struct bf_agent *a, struct bf_error *err);
/* A whole file of that name, mode 0600, or the one that was there before: -errno. */
int bf_rundir_write(const struct bf_agent *a, const char *name, const char *text, size_t len);

/* server.c: the socket. */
#define BF_SOCKET_FILE "bpfast.sock"
int bf_server_start(struct bf_agent *a, struct bf_error *err);
void bf_server_stop(struct bf_agent *a);
void bf_server_records(struct bf_agent *a); /* new records are there */

/* shield.c: the shield of devices. */
int bf_agent_shield_open(struct bf_agent *a, struct bf_error *err); /* loads it, once */
void bf_agent_shield_adopt(struct bf_agent *a); /* at the start, where something is pinned */
void bf_agent_shield_gone(struct bf_agent *a, int ifindex);
void bf_agent_shield_tick(struct bf_agent *a); /* every few seconds: entries that ended */
void bf_agent_shield_close(struct bf_agent *a);
/* cmd_shield_cookies.c: what must not be answered any more: its device is gone, or it is an endpoint. */
void bf_agent_shield_cookies_check(struct bf_agent *a, int gone);
/* Compiles the list, which it sorts, and puts it into force; takes it, on failure too. */
int bf_agent_shield_install(struct bf_agent *a, enum bpfast_shield_image which,
			    struct bf_shield_list *list, struct bf_error *err);

/* status.c */
json_t *bf_status_json(struct bf_agent *a);
/* metrics.c: Prometheus text. */
void bf_metrics_text(struct bf_agent *a, struct bf_text *out);
/* metrics_http.c */
int bf_metrics_start(struct bf_agent *a, struct bf_error *err);
void bf_metrics_stop(struct bf_agent *a);

/* records.c */
void bf_records_drain(struct bf_agent *a);
/* One that the agent makes itself. */
void bf_records_add(struct bf_agent *a, const struct bpfast_event *ev);
/* Says in the log when the file of records does not take what it is given, and when it does again. */
void bf_records_file_report(struct bf_agent *a);
/* They are, or were until a moment ago. */
bool bf_records_losing(const struct bf_agent *a);
int64_t bf_wall_offset_ns(void);

/* flows.c: who has how much of the flow table. */
void bf_flows_look(struct bf_agent *a); /* logs who was refused more; cheap */
json_t *bf_flows_json(struct bf_agent *a, const struct bf_local *local); /* {used, max} */

/* caps.c: drops what is not needed from here on. */
int bf_caps_drop(struct bf_error *err);

/* notify.c: tells systemd, where it listens. */
void bf_notify(const char *state);

#endif
