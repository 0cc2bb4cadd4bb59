/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_FLOW_H
#define BPFAST_FLOW_H
/*
 * A flow: a connection as one endpoint sees it. A connection between two
 * endpoints of this node has two flows, each judged by its endpoint's rules.
 */
#include <linux/bpf.h>
#include "types.h"
#include "limits.h"

/*
 * A newer version reads these by the names of their members (layout of docs/design/datapath-lifecycle.md)
 * and goes on where the old one was. So what a member means is a promise: raise the first when a flag, or a
 * member of a key or a flow, comes to mean something else under its name: then no flow is carried
 * over. The second when the parser's states or bits do: then only connections between two
 * messages are.
 */
#define BPFAST_FLOW_MEANING 1
#define BPFAST_STREAM_MEANING 1

struct bpfast_flow_key {
	/* the endpoint's address; IPv4 as ::ffff:a.b.c.d */
	__u8 local[16] __attribute__((aligned(8)));
	__u8 remote[16] __attribute__((aligned(8)));
	__be16 local_port; /* ICMP echo: the identifier, in both ports */
	__be16 remote_port;
	__u16 endpoint; /* slot */
	__u8 protocol;
	__u8 pad;
};

static_assert(sizeof(struct bpfast_flow_key) == 40, "flow key");

enum bpfast_flow_flags {
	BPFAST_FF_EGRESS = 1 << 0, /* the endpoint began it: egress rules judge */
	BPFAST_FF_HOST = 1 << 1, /* the node itself began it: allowed */
	BPFAST_FF_HTTP = 1 << 2, /* inspected */
	BPFAST_FF_AUDIT = 1 << 3, /* judged, but never dropped */
	BPFAST_FF_DENIED = 1 << 4, /* a request was denied; the flow only answers its client */
	BPFAST_FF_RESET = 1 << 5, /* no 403: the flow was reset */
	BPFAST_FF_OPAQUE = 1 << 6, /* audit only: cannot be followed any more */
	BPFAST_FF_SEEN_REPLY = 1 << 7, /* TCP: and the other end took part; see seen_reply() */
	BPFAST_FF_BODY_GAP = 1 << 14, /* a segment passed a gap in a body that may be open still */
	BPFAST_FF_UPGRADE =
		1 << 15, /* the last request may become a tunnel, if the server agrees */
	BPFAST_FF_CONNECT = 1 << 16, /* and it was CONNECT: any 2xx agrees */
	BPFAST_FF_TUNNEL = 1 << 17, /* the server agreed: no more HTTP from the client either */
	BPFAST_FF_SENT = 1 << 18, /* inspected: bytes of the client passed */
	BPFAST_FF_WENT_ON = 1 << 19, /* inspected: the server went on behind its SYN-ACK */
	BPFAST_FF_SYN =
		1 << 21, /* inspected: the client sent a SYN, whose answer may be under way */
	BPFAST_FF_SYN_AGAIN = 1 << 22, /* and another */
	BPFAST_FF_ANSWERED = 1 << 20, /* TCP: the responder sent something */
	BPFAST_FF_FIN_FROM_CLIENT = 1 << 8,
	BPFAST_FF_FIN_FROM_SERVER = 1 << 9,
	BPFAST_FF_RST = 1 << 10,
	BPFAST_FF_SYN_ACKED = 1 << 11, /* the server's SYN-ACK was seen */
	BPFAST_FF_NO_TIMER = 1 << 13, /* forgotten by a sweep of the table */
	BPFAST_FF_MIDSTREAM =
		1 << 12, /* its beginning was not seen: either end may have begun it */
};

/* With BPFAST_TEST_LAYOUT, members have other places: for tests of what carries flows over. */
#ifdef BPFAST_TEST_LAYOUT
#define BPFAST_TEST_MEMBER(x) x;
#else
#define BPFAST_TEST_MEMBER(x)
#endif

/* bpfast_stream.state, as far as others than the parser know it; see bpf/proto/http1.h. */
#define BPFAST_STREAM_BETWEEN 0 /* two messages */
#define BPFAST_STREAM_HEAD_LAST 11 /* up to here: inside a head, or in trailers */
#define BPFAST_STREAM_BODY 13 /* of known length */
#define BPFAST_STREAM_CHUNK 16 /* inside a chunk */
#define BPFAST_STREAM_BODY_LAST 18 /* from ..._BODY on: in a body, chunked or not */

/* One direction of an inspected TCP connection: a stream. */
struct bpfast_stream {
	__u32 owner; /* 0, or 1 while a CPU works on it */
	__u32 first; /* sequence number of the first byte that may carry data */
	BPFAST_TEST_MEMBER(__u64 test_stream)
	__u32 next; /* sequence number of the first byte that was not judged yet */
	__u32 head_len; /* bytes of the current head so far */
	__u64 body_left; /* bytes of body or chunk still to come; ~0: until close */
	__u32 state; /* of the parser; see bpf/proto/http1.h */
	__u32 dfa[2]; /* states of the automata that walk the current element */
	union {
		__u32 word; /* requests: more of the element: the method's letters, where the target began */
		__u32 other_syn; /* responses: first data byte that another SYN of the client would
				  * make; of a flow that is not inspected: the server's first byte */
	};
	__u32 value; /* a number being read */
	__u32 name; /* what the current header line is: BPFAST_HN_* | (slot + 1) << 8 */
	__u32 bits; /* what the current head has said so far; see bpf/proto/http1.h */
	__u32 generation; /* whose tables judge the current head */
	__u32 image_off; /* where in the arena they begin */
	union {
		__u32 ruleset_off; /* requests: in the arena */
		__u32 acked; /* responses: what the server has acknowledged of the requests */
	};
};

#ifndef BPFAST_TEST_LAYOUT
static_assert(sizeof(struct bpfast_stream) == 64, "stream");
#endif

struct bpfast_flow {
	struct bpf_timer timer; /* removes the flow when it was idle for long enough */
	BPFAST_TEST_MEMBER(__u64 test_flow)
	__u64 seen_ns; /* CLOCK_MONOTONIC of the last packet */
	__u32 generation; /* under which L4 was judged last */
	__u32 flags; /* enum bpfast_flow_flags */
	__u32 remote_identity;
	__u32 ref; /* attribution of the L4 decision */
	__u32 ruleset; /* index, with BPFAST_FF_HTTP */
	__u8 on_deny;
	__u8 reason; /* why it was denied */
	union {
		__u16 reply_len; /* of the 403 that was sent */
		__u16 upgrade_set; /* of the head under way: where its Upgrade led */
	};
	__u32 seen_jiffies; /* when seen_ns was last written */
	__u32 recorded; /* of requests: how many have their record */
	struct bpfast_stream client; /* what the flow's initiator sends: requests */
	struct bpfast_stream server; /* responses */
	/* The sets that the current request's fields led to (image.h), method,
	 * path, target, host; then the header slots. All ones: not seen. */
	__u32 set[4];
	__u16 header_set[BPFAST_HEADER_SLOTS];
	__u32 requests; /* judged and allowed; written by the client's stream only */
	__u32 responses; /* ended; written by the server's stream only */
	__u64 head_requests; /* bit n % 64: request n was HEAD; 64 are told apart */
	__u64 request_ns; /* when the last request was allowed */
	__u32 held; /* first chunk of the retention pool, index + 1; 0: none. See pool.h */
	__u16 text_len; /* more than fits: it was cut */
	__u16 authority; /* of the head under way: a hash of the one in its target */
	char text[BPFAST_FLOW_TEXT]; /* "METHOD TARGET" of the last request, for records */
};

#ifndef BPFAST_TEST_LAYOUT
static_assert(sizeof(struct bpfast_flow) <= 320, "flow");
#endif

/* bpfast_quota: what an endpoint (slot) has of the flow table. Mapped into the agent, which
 * takes flows out too; all words are changed by atomic additions. */
struct bpfast_quota {
	__u32 used; /* flows in the table, and those just being made */
	__u32 tried; /* flows that were to be made while there was room; wraps */
	__u32 refused; /* packets that would have made one more than it may have; wraps */
	__u32 pad;
};

static_assert(sizeof(struct bpfast_quota) == 16, "quota");

/* bpfast_sweep: for flows that have no timer of their own. */
struct bpfast_sweep {
	struct bpf_timer timer;
	__u64 hurried_ns; /* when a full table last asked for a sweep at once */
	__u32 ready; /* the timer can be started */
	__u32 due; /* it was */
	__u32 full; /* since the last sweep there was no room in the table */
	__u32 pad;
	__u64 took_ns; /* the last sweep */
};

struct bpfast_frag_key {
	__u8 source[16];
	__u8 destination[16];
	__u32 id;
	__u16 endpoint;
	__u8 protocol;
	__u8 egress;
};

struct bpfast_frag {
	__be16 source_port;
	__be16 destination_port;
	__u8 icmp_type;
	__u8 pad[3];
};

#endif
