/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_WORLD_H
#define BF_TEST_WORLD_H
/*
 * A world for packets: the real programs, loaded once, on the host side of a
 * veth in a network namespace of their own, and a policy compiled from its text.
 * Packets are put in by BPF_PROG_TEST_RUN; what the programs send on their own
 * is caught on both ends of the veth.
 *
 * In this world live the pod app=web (POD4, POD6; the one behind the veth), the
 * pod app=cart (PEER4, PEER6) and the node (10.0.0.1). Everybody else is outside.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "bpfast/control.h"
#include "bpfast/event.h"
#include "bpfast/flow.h"
#include "bpfast/metrics.h"
#include "bpfast/retain.h"
#include "packet.h"

#define FLOWS 256 /* the flow table of this world */
#define CHUNKS 8192 /* its retention pool */

enum way { FROM_POD, TO_POD };

struct sent {
	bool to_pod; /* else: back the way the packet came */
	struct frame frame;
};

/* What became of one packet. */
struct seen {
	bool forwarded;
	uint32_t reason; /* the one drop that was counted, or NONE */
	struct bpfast_metrics metrics; /* what this packet added */
	struct bpfast_event event[8];
	size_t events;
	struct frame out; /* the frame as the program left it */
	struct sent sent[4];
	size_t sents;
};

int world_enter(void **state); /* cmocka's group setup: loads */
int world_leave(void **state);
/* cmocka's test setup: no flow, counters and records read, the plain policy in force. */
int world_reset(void **state);

/* Compiles the objects and puts them into force; fails the test where they are refused. */
void policy(const char *yaml);
/* Images before the one in force are overwritten. */
void forget_old_policies(void);
/* Is this the 403 of a ruleset of the policy in force? */
bool policy_replies(const void *bytes, size_t len);
/* The attribution that an event of the policy in force bears. */
const char *event_ref(const struct bpfast_event *ev);
const char *image_ref(uint32_t ref);

struct bpfast_control *control(void);
/* The pod's entry; put back by world_reset(). NULL: none. */
void set_endpoint(const struct bpfast_endpoint *ep);
struct bpfast_endpoint the_endpoint(void);

/* Runs a packet through a hook. What is returned is overwritten by the next run but three. */
const struct seen *run(enum way way, const struct frame *f);
/* A packet of the node itself, into the pod. */
const struct seen *run_from_host(const struct frame *f);
/* As a super-packet of segments of that size. */
const struct seen *run_gso(enum way way, const struct frame *f, uint32_t gso_size);

/* What a test needs that runs packets in its own way. */
int world_program(enum way way);
int world_map(const char *name);
uint32_t world_device(void);
/* Over all CPUs, since the programs were loaded. */
void world_metrics(struct bpfast_metrics *sum);

void nap(unsigned int milliseconds);

size_t flow_count(void);
/* What the kernel side counts: the pod's flows, and packets refused for want of more. */
uint32_t flows_counted(void);
uint32_t flows_refused(void);
/* Chunks of the retention pool that the pod's flows hold. */
uint32_t chunks_held(void);
/* As if so many had been given back or taken while the slot changed hands. */
void chunks_miscount(int32_t held);
/* As if they had been kept so many seconds earlier. */
void chunks_age(uint32_t seconds);
/* The flow with these ports on the pod's side and the other; fails where there is none. */
void flow_get(bool v6, uint16_t pod_port, uint16_t other_port, struct bpfast_flow *out);
void flow_put(bool v6, uint16_t pod_port, uint16_t other_port, const struct bpfast_flow *flow);
/* As if nothing had been seen of those with other ports from..to-1 for so many seconds more. */
void flows_age(uint16_t from, uint16_t to, uint32_t seconds);
void flow_forget(bool v6, uint16_t pod_port, uint16_t other_port);

/* Expectations. They name the caller's line. */
#define FORWARDED(seen) check_forwarded((seen), __FILE__, __LINE__)
#define DROPPED(seen, why) check_dropped((seen), BPFAST_R_##why, __FILE__, __LINE__)
#define RECORDED(seen, verdict, why, text)                                                         \
	check_recorded((seen), BPFAST_V_##verdict, BPFAST_R_##why, (text), __FILE__, __LINE__)
#define EXPECT(condition)                                                                          \
	do {                                                                                       \
		if (!(condition))                                                                  \
			expectation_failed(#condition, __FILE__, __LINE__);                        \
	} while (0)

/* Forwarded unchanged: nothing was sent, nothing counted as dropped. */
const struct seen *check_forwarded(const struct seen *s, const char *file, int line);
/* Dropped, counted once under that reason, and nothing was sent. */
const struct seen *check_dropped(const struct seen *s, uint32_t reason, const char *file, int line);
/* One record of that verdict and reason and, unless NULL, text. */
const struct bpfast_event *check_recorded(const struct seen *s, uint32_t verdict, uint32_t reason,
					  const char *text, const char *file, int line);
void expectation_failed(const char *what, const char *file, int line);

#endif
