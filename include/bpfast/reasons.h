/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef BPFAST_REASONS_H
#define BPFAST_REASONS_H
/*
 * Why a packet was not forwarded. Every packet that is not forwarded has
 * exactly one reason; the word below is the same in records, metrics, the
 * command line and docs/guide/reasons.md.
 *
 * X(symbol, word, hint): the hint says what a user can do.
 * The number of a reason is its place; add new ones at the end of a group only
 * together with a new image version.
 */
#define BPFAST_REASONS(X)                                                                          \
	X(NONE, "none", "")                                                                        \
	/* packets */                                                                              \
	X(MALFORMED, "malformed-packet", "a header is truncated or contradicts the frame")         \
	X(ETHERTYPE, "ethertype-not-allowed",                                                      \
	  "only IPv4, IPv6 and ARP may pass, with at most two VLAN tags")                          \
	X(SOURCE_NOT_OWN, "source-not-own",                                                        \
	  "a pod may send only from its own addresses; add the address with --ip if it is one")    \
	X(FRAGMENT, "fragment-refused",                                                            \
	  "a fragment that is tiny, overlaps the header, or belongs to an inspected connection; "  \
	  "lower the MTU or use path MTU discovery")                                               \
	X(IP_OPTION, "ip-option-refused",                                                          \
	  "source routing, IPv6 routing headers and long chains of extension headers are refused") \
	/* policy */                                                                               \
	X(POLICY_DENIED, "policy-denied", "no rule allows this peer and port")                     \
	X(DENY_RULE, "deny-rule", "a deny rule matches this peer and port")                        \
	X(POLICY_REVOKED, "policy-revoked",                                                        \
	  "a policy change took this connection's permission away")                                \
	X(NO_POLICY, "no-policy-loaded",                                                           \
	  "the endpoint is guarded but has no policy image yet; see bpfast status")                \
	/* state */                                                                                \
	X(FLOW_TABLE_FULL, "flow-table-full",                                                      \
	  "raise flows in the configuration; see bpfast status")                                   \
	X(STREAM_BUSY, "stream-busy", "two CPUs held this stream at once; TCP sends again")        \
	X(STALE_TABLES, "stale-tables",                                                            \
	  "the policy changed too often while this request head was arriving")                     \
	X(INTERNAL, "internal-error",                                                              \
	  "a kernel helper failed; please report it with bpfast doctor")                           \
	/* TCP under an L7 rule */                                                                 \
	X(TCP_MIDSTREAM, "tcp-start-not-seen",                                                     \
	  "the connection began before it was inspected; it is reset once and the client "         \
	  "reconnects")                                                                            \
	X(TCP_SYN_DATA, "tcp-data-on-syn", "TCP Fast Open is not used on inspected connections")   \
	X(TCP_GAP, "tcp-ahead-of-gap", "an earlier segment is missing; TCP sends again")           \
	X(TCP_WINDOW, "tcp-outside-stream", "a sequence number that this stream cannot hold")      \
	X(TCP_DIFFERS, "tcp-retransmission-differs",                                               \
	  "bytes that were judged came again with other content; nobody's TCP does that by "       \
	  "accident")                                                                              \
	X(RETAIN_FULL, "retention-full",                                                           \
	  "the flow, its endpoint or the node holds as many unacknowledged bytes as it may; TCP "  \
	  "sends again. If it lasts raise retain-mib in the configuration; see bpfast status")     \
	X(TCP_FLAGS, "tcp-flags-refused", "a flag combination that no sender makes")               \
	X(TCP_MPTCP, "tcp-mptcp-join", "Multipath TCP cannot join an inspected connection")        \
	X(TCP_CLOSED, "tcp-after-close", "data after the connection was denied or closed")         \
	/* HTTP */                                                                                 \
	X(HTTP_DENIED, "http-rule-denied", "no HTTP rule allows this request")                     \
	X(HTTP_TLS, "http-got-tls",                                                                \
	  "TLS on a port with HTTP rules cannot be read: terminate it before this hop, or drop "   \
	  "the HTTP rules for this port")                                                          \
	X(HTTP_H2, "http-got-http2",                                                               \
	  "HTTP/2 or gRPC without TLS on a port with HTTP/1 rules: use HTTP/1.1 or an L4 rule")    \
	X(HTTP_WEBSOCKET, "http-got-websocket",                                                    \
	  "WebSocket frames: no rule allows the upgrade; write upgrade: [websocket] into it, or "  \
	  "use an L4 rule for this port")                                                          \
	X(HTTP_NOT_HTTP, "http-not-http",                                                          \
	  "the bytes are not HTTP/1: use an L4 rule for this port")                                \
	X(HTTP_VERSION, "http-version-refused", "only HTTP/1.0 and HTTP/1.1 are understood")       \
	X(HTTP_METHOD, "http-bad-method", "the method is not a token, or longer than 32 bytes")    \
	X(HTTP_TARGET, "http-bad-target",                                                          \
	  "the request target holds bytes or forms on which servers disagree")                     \
	X(HTTP_HEADER, "http-bad-header", "a header line that servers read differently")           \
	X(HTTP_FRAMING, "http-bad-framing",                                                        \
	  "Content-Length or Transfer-Encoding is doubled, contradictory or malformed")            \
	X(HTTP_HOST, "http-bad-host", "Host is missing, doubled, malformed or unlike the target")  \
	X(HTTP_CHUNK, "http-bad-chunk",                                                            \
	  "a chunk size, extension or trailer that servers read differently")                      \
	X(HTTP_HEAD_SIZE, "http-head-too-long", "the request head is longer than 32768 bytes")     \
	X(HTTP_TUNNEL, "http-tunnel-refused",                                                      \
	  "CONNECT opens a tunnel: only a rule with upgrade: [connect] allows it")                 \
	X(HTTP_PIPELINE, "http-too-many-pipelined",                                                \
	  "more than 64 requests wait for their responses")

enum bpfast_reason {
#define BPFAST_X(sym, word, hint) BPFAST_R_##sym,
	BPFAST_REASONS(BPFAST_X)
#undef BPFAST_X
		BPFAST_R_COUNT
};

/* What happened to a packet or a message. X(symbol, word as in Hubble's flows) */
#define BPFAST_VERDICTS(X)                                                                         \
	X(FORWARDED, "FORWARDED")                                                                  \
	X(DROPPED, "DROPPED")                                                                      \
	X(AUDIT, "AUDIT") /* would be dropped, were the policy not in mode audit */

enum bpfast_verdict {
#define BPFAST_X(sym, word) BPFAST_V_##sym,
	BPFAST_VERDICTS(BPFAST_X)
#undef BPFAST_X
		BPFAST_V_COUNT
};

#endif
