/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_LIMITS_H
#define BPFAST_LIMITS_H
/*
 * Every fixed size of BPFast, in one place. What goes over a limit is refused
 * or denied with a reason that names the limit; nothing is cut silently.
 */

/* Addresses (IPv4 and IPv6 together) that one endpoint may own. */
#define BPFAST_ENDPOINT_ADDRS 8
/* Endpoint slots on one node; a slot number fits a __u16. */
#define BPFAST_ENDPOINTS_MAX 16384
/* Default number of flows (one per connection and endpoint), and the part of them that one
 * endpoint may have by default. */
#define BPFAST_FLOWS_DEFAULT 262144
#define BPFAST_FLOWS_SHARE 2
/* When three quarters of an endpoint's part are in use, or the table is full: how long a flow that
 * is no open TCP connection (unanswered, over, denied, not TCP) may be silent; seconds. */
#define BPFAST_FLOWS_PRESSED_S 5
/* Fragmented datagrams followed at once. */
#define BPFAST_FRAGS_MAX 8192
/* Bytes of the table arena that holds the policy images; a power of two. */
#define BPFAST_ARENA_DEFAULT (32u << 20)
/* Bytes of ring buffer for records; a power of two and of whole pages. */
#define BPFAST_RING_BYTES (4u << 20)
/* Readable bytes behind the arena, so that a masked offset plus a struct stays inside. */
#define BPFAST_ARENA_GUARD 8192

/* HTTP rules in one ruleset (all L7 rules that meet on one peer and port). */
#define BPFAST_RULES_MAX 16384
/* Words of a rule bitmap: BPFAST_RULES_MAX / 64. */
#define BPFAST_SET_WORDS_MAX 256
/* Entries of a table of the image that the kernel searches: addresses, peers, ranges. */
#define BPFAST_TABLE_MAX ((1 << 21) - 1)
/* Different header names that the rules of one ruleset may look at. */
#define BPFAST_HEADER_SLOTS 16
/* Different sets of rules to which the values of these headers lead. A flow keeps such a
 * number in 16 bits; 65535 stands for none. */
#define BPFAST_HEADER_SETS_MAX 65535
/* Bytes of one chunk of the retention pool (retain.h), and how many there are by default. */
#define BPFAST_CHUNK_BYTES 1024
#define BPFAST_CHUNKS_DEFAULT 32768
/* Chunks that one flow may hold: 512 KiB. */
#define BPFAST_FLOW_CHUNKS 512
/* Of these, kept free for the packet that fills a gap, 64 KiB at most: what is ahead of one may
 * not take them. */
#define BPFAST_FILL_CHUNKS 64
/* What one endpoint's flows may hold together: this part of the pool. */
#define BPFAST_ENDPOINT_SHARE 4
/* A flow may take another chunk while it has at most this part of what is left of the share: so
 * many that hoard leave room for the next. The first two are free of that. */
#define BPFAST_FLOW_SHARE 8
/* When three quarters of a share are in use, connections whose bytes were not acknowledged for
 * as long are reset; seconds. */
#define BPFAST_RETAIN_STUCK_S 30
/* Bytes of a request or response head. */
#define BPFAST_HEAD_MAX 32768
/* Bytes of a whole prepared HTTP denial (head and body). */
#define BPFAST_REPLY_MAX 512
/* Bytes of "METHOD TARGET" kept for a record. */
#define BPFAST_TEXT_MAX 128
/* As many of them are kept in a flow. */
#define BPFAST_FLOW_TEXT 56
/* Pipelined requests whose responses are told apart. */
#define BPFAST_PIPELINE_MAX 64

#endif
