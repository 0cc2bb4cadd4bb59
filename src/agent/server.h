/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_AGENT_SERVER_H
#define BF_AGENT_SERVER_H
/*
 * The socket of the agent. One JSON object a line, both ways:
 *
 *   {"command": "endpoint add", "args": {...}}
 *   {"result": {...}}  or  {"error": "sentence", "details": ...}
 *
 * After "observe" follow records, a line each, {"lost": N} where records came
 * faster than they were read, and {"end": {}} where nothing is followed.
 */
#include <sys/types.h>

#include "agent/agent.h"
#include "observe/filter.h"
#include "observe/text.h"

#define BF_CLIENTS_MAX 64
#define BF_LINE_MAX (8u << 20) /* bytes of one request */
#define BF_INPUT_MAX (32u << 20) /* bytes of unfinished requests of all clients */
#define BF_STALL_MS 30000 /* a request, or reading an answer, may take this long */

struct bf_client {
	struct bf_agent *agent;
	struct bf_watch watch;
	struct bf_client *next;
	uid_t uid;
	uint32_t events; /* epoll */
	uint64_t since_ns; /* when the unfinished request or unread answer began; 0: none */
	char *in;
	size_t in_len, in_cap;
	struct bf_text out;
	size_t sent; /* of out */
	bool closing; /* once out is sent */
	bool hung_up; /* the client sends nothing more */

	bool observing, follow, show_query;
	struct bf_filter filter;
	uint64_t cursor, end; /* record numbers; end only without follow */
	uint64_t lost;

	struct bf_shield_list staged; /* of a list that comes in parts; see cmd_shield.c */
};

#define BF_STREAMING 1 /* a handler's answer: the rest comes by itself */

struct bf_command {
	const char *name;
	/* 0 with *result, -errno with err and perhaps *result as details, or BF_STREAMING. */
	int (*run)(struct bf_agent *a, struct bf_client *c, const json_t *args, json_t **result,
		   struct bf_error *err);
};

/* Each noun's commands end with {NULL}. */
extern const struct bf_command bf_endpoint_commands[];
extern const struct bf_command bf_cni_commands[];
extern const struct bf_command bf_policy_commands[];
extern const struct bf_command bf_observe_commands[];
extern const struct bf_command bf_status_commands[];
extern const struct bf_command bf_shield_commands[], bf_shield_attack_commands[],
	bf_shield_http_commands[];

/* Appends a line to what the client will get. Takes o. */
void bf_client_send(struct bf_client *c, json_t *o);
/* Formats records while there is room; see records.c. */
void bf_client_records(struct bf_client *c);

#endif
