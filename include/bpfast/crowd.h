/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_CROWD_H
#define BPFAST_CROWD_H
/* Limits on connections and requests, as `bpfast shield http` shows and sets them. */
#include <stdint.h>

/* 0: no limit, for each. A source is an IPv4 address or an IPv6 /64. */
struct bf_crowd_limits {
	uint32_t slow_per_source; /* connections that wait for their client at once */
	uint32_t
		slow_per_service; /* the same at one port of an endpoint: then nobody may be slow */
	uint32_t connections; /* open ones of a source at an endpoint */
	uint32_t requests; /* a second, of a source at an endpoint */
	uint32_t path_requests; /* the same, for one path */
	uint32_t head_s; /* a head may take; and the patience with bodies and readers */
	uint32_t bytes_s; /* of a body or response, at least */
	uint32_t strikes; /* connections of a source ended within a minute: it is blocked */
	uint32_t block_s; /* for so long */
};

/* X(member, option, what it is, field of a ShieldPolicy) */
#define BF_CROWD_LIMITS(X)                                                                         \
	X(slow_per_source, "slow-per-source",                                                      \
	  "connections of a source that keep a server waiting", "slowPerSource")                   \
	X(slow_per_service, "slow-per-service",                                                    \
	  "the same at one port: over it nobody may be slow", "slowPerService")                    \
	X(connections, "connections", "open connections of a source at an endpoint",               \
	  "connections")                                                                           \
	X(requests, "requests", "requests a second of a source at an endpoint", "requests")        \
	X(path_requests, "path-requests", "the same, for one path", "pathRequests")                \
	X(head_s, "head-seconds", "seconds that a request head may take", "headSeconds")           \
	X(bytes_s, "bytes", "bytes a second that a body or a response makes at least", "bytes")    \
	X(strikes, "strikes", "connections of a source ended in a minute: it is blocked",          \
	  "strikes")                                                                               \
	X(block_s, "block-seconds", "seconds that a source is blocked towards the pod",            \
	  "blockSeconds")

/* Bits, for what was said of these. */
enum bf_crowd_limit {
#define BPFAST_X(member, option, what, field) BF_CROWD_##member,
	BF_CROWD_LIMITS(BPFAST_X)
#undef BPFAST_X
		BF_CROWD_LIMITS_COUNT
};

#endif
