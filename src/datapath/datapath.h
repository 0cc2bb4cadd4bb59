/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_DATAPATH_H
#define BF_DATAPATH_H
/*
 * The only user of libbpf: loads, attaches, pins and reads the kernel side.
 * Everything stays in force when the process ends; bf_datapath_open() on the
 * same pin directory adopts it. A datapath is used by one thread at a time.
 * How it works inside: docs/design/datapath-lifecycle.md.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "bpfast/control.h"
#include "bpfast/event.h"
#include "bpfast/metrics.h"

struct bf_datapath;

struct bf_datapath_options {
	const char *pin_dir; /* on a bpffs, made if missing (0700) */
	uint32_t flows; /* 0: BPFAST_FLOWS_DEFAULT. Ignored on adoption */
	uint32_t flows_per_endpoint; /* 0: the table's BPFAST_FLOWS_SHARE'th part */
	uint32_t arena_bytes; /* 0: BPFAST_ARENA_DEFAULT. Ignored on adoption */
	uint32_t chunks; /* of the retention pool; 0: BPFAST_CHUNKS_DEFAULT. Ignored on adoption */
	bool force_clsact; /* as if the kernel had no TCX; for tests */
};

/* 0, or -errno with err (no CAP_BPF, kernel below 6.1, no bpffs ...). *adopted: the pins were there. */
int bf_datapath_open(const struct bf_datapath_options *options, struct bf_datapath **out,
		     bool *adopted, struct bf_error *err);
void bf_datapath_close(struct bf_datapath *dp); /* leaves all in force */

/*
 * Puts an image into the arena and into force. *generation (may be NULL): the new one; it may be
 * more than one larger than the last. -ENOSPC: does not fit beside the one in force. May wait
 * some 10 to 30 ms for running programs. On error what was in force still is.
 */
int bf_datapath_install(struct bf_datapath *dp, const void *image, size_t len, uint32_t *generation,
			struct bf_error *err);
/* The image in force, in place (read only); len 0: none. */
const void *bf_datapath_image(struct bf_datapath *dp, size_t *len, uint32_t *generation);

/* Who is behind a host-side interface, and the hooks on it. Attach sets the endpoint first. */
int bf_datapath_attach(struct bf_datapath *dp, int ifindex, const struct bpfast_endpoint *endpoint,
		       struct bf_error *err);
int bf_datapath_update(struct bf_datapath *dp, int ifindex, const struct bpfast_endpoint *endpoint,
		       struct bf_error *err);
/*
 * Endpoints that bf_datapath_attached() named: ours are updated, those that another version's
 * programs guard come to ours with their flows, and what an agent that was killed had begun is
 * finished. On an error as many of them as could be.
 */
struct bf_datapath_endpoint {
	int ifindex;
	struct bpfast_endpoint endpoint;
};
int bf_datapath_take_over(struct bf_datapath *dp, const struct bf_datapath_endpoint *list, size_t n,
			  struct bf_error *err);
/* Also where the interface is gone. Flows of the endpoint's slot are removed. */
int bf_datapath_detach(struct bf_datapath *dp, int ifindex, struct bf_error *err);
/* ifindexes that are attached, those under another version's programs too; *out is malloc'ed. */
int bf_datapath_attached(struct bf_datapath *dp, int **out, size_t *n);
bool bf_datapath_is_attached(struct bf_datapath *dp, int ifindex);
/* Whether both hooks are on the interface and the kernel side knows it as this endpoint; -errno with err. */
int bf_datapath_verify(struct bf_datapath *dp, int ifindex, const struct bpfast_endpoint *endpoint,
		       struct bf_error *err);
/* Somebody else's program runs before ours on this device: its name, or "". Returns 0. */
int bf_datapath_precedes(struct bf_datapath *dp, int ifindex, char *name, size_t size);

/* What the agent may tune while programs run (idle times, observed ...). */
struct bpfast_control *bf_datapath_control(struct bf_datapath *dp);

/* Sum over CPUs. */
int bf_datapath_metrics(struct bf_datapath *dp, struct bpfast_metrics *out);

/* What the endpoint on a slot has of the flow table. */
struct bf_endpoint_flows {
	uint32_t used, max;
	uint32_t refused; /* packets refused for want of more; wraps */
};
void bf_datapath_endpoint_flows(const struct bf_datapath *dp, uint16_t slot,
				struct bf_endpoint_flows *out);

/* Reads all records that are there, oldest first, without waiting; returns their number. */
int bf_datapath_events(struct bf_datapath *dp, void (*fn)(void *arg, const struct bpfast_event *ev),
		       void *arg);

/* An epoll fd that becomes readable when the kernel side wakes us; or -errno. Owned by dp. */
int bf_datapath_events_fd(struct bf_datapath *dp);
/* The map in which shield tells the programs of pods of handshakes: include/bpfast/vouch.h. */
int bf_datapath_vouch_fd(const struct bf_datapath *dp);
/* The program that looks at what a pod sends. */
int bf_datapath_from_pod_fd(const struct bf_datapath *dp);

/* --- trial.c: the same programs on packets in hand, for `bpfast replay` --- */

/* Bytes of a frame that BPF_PROG_TEST_RUN takes: a page of 4 KiB less what the kernel keeps of
 * it (bpf_test_init() in net/bpf/test_run.c, Linux 6.1 to 6.18). */
#define BF_TRIAL_MAX 3712
/* A program may make a short packet a little longer. */
#define BF_TRIAL_OUT_MAX (BF_TRIAL_MAX + 128)

/* Moves this process into a network namespace of its own, where what programs send ends. */
int bf_trial_enter(struct bf_error *err);

/* Programs and maps for this process alone: nothing is pinned, nothing attached, no pin
 * directory looked at (options->pin_dir is not used). Install, control, metrics and events work
 * as ever. */
int bf_datapath_open_private(const struct bf_datapath_options *options, struct bf_datapath **out,
			     struct bf_error *err);

struct bf_trial {
	const struct bpfast_endpoint *endpoint; /* who is behind the hook */
	bool from_pod; /* else to_pod */
	bool from_node; /* to_pod: the node itself sends it */
	const uint8_t *frame;
	size_t len; /* at most BF_TRIAL_MAX */
	uint8_t *out; /* what the program made of it; BF_TRIAL_OUT_MAX bytes */
	size_t out_len;
	bool forwarded;
};

/* Runs one frame; after bf_trial_enter() only. -EINVAL: the kernel does not take this frame. */
int bf_trial_run(struct bf_datapath *dp, struct bf_trial *trial);

/* What came over from other versions' tables. */
struct bf_carried {
	uint32_t flows; /* that go on */
	uint32_t
		heads; /* of these, in the middle of a request head: they end at their next packet */
	uint32_t lost; /* could not be carried over: they end too, once */
	uint32_t waited_ms; /* the longest that an endpoint's TCP had to wait */
};

struct bf_datapath_status {
	const char *hook; /* "tcx" or "clsact" */
	const char *hook_why; /* why not the better one, or "" */
	uint32_t flows_used, flows_max;
	uint32_t flows_per_endpoint; /* that one endpoint may have */
	uint32_t flows_most; /* that one endpoint has */
	uint32_t endpoints_full; /* endpoints that have as many as they may */
	uint32_t endpoints_used, endpoints_max;
	uint32_t arena_used, arena_bytes; /* used: by the image in force */
	uint32_t chunks_used, chunks_max; /* of the retention pool, BPFAST_CHUNK_BYTES each */
	uint32_t generation, oldest_generation;
	/* Still guarded by programs of another version, under the policy they had, until
	 * they are taken over. */
	uint32_t endpoints_other_layout;
	struct bf_carried carried; /* since bf_datapath_open() */
};
int bf_datapath_status(struct bf_datapath *dp, struct bf_datapath_status *out);

/* What of the kernel is in use, and what takes its place where it is missing. */
struct bf_datapath_feature {
	const char *name;
	bool used;
	const char *note; /* why not, or what it is for */
};
/* Fills at most max; returns how many there are. The texts are constant. */
size_t bf_datapath_features(const struct bf_datapath *dp, struct bf_datapath_feature *out,
			    size_t max);

/* Detaches and unpins everything under pin_dir; works without an open datapath and when half of it is gone. */
int bf_datapath_down(const char *pin_dir, struct bf_error *err);

#endif
