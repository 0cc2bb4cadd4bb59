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
	X(ENDPOINT_FLOWS, "endpoint-flows-full",                                                   \
	  "the endpoint has as many connections as one may: bpfast endpoint list shows how many; " \
	  "raise flows-per-endpoint if it needs more")                                             \
	X(STREAM_BUSY, "stream-busy", "two CPUs held this stream at once; TCP sends again")        \
	X(STALE_TABLES, "stale-tables",                                                            \
	  "the policy changed too often while this request head was arriving, or a new version "   \
	  "with other tables took over")                                                           \
	X(CARRYING, "flow-being-carried",                                                          \
	  "a new version is taking over this connection's state; TCP sends again")                 \
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
	  "more than 64 requests wait for their responses")                                        \
	/* connections that shield ends */                                                         \
	X(HTTP_HEAD_SLOW, "http-head-slow",                                                        \
	  "the client took too long for the head of a request; bpfast shield http shows and sets " \
	  "how long it may")                                                                       \
	X(HTTP_BODY_SLOW, "http-body-slow",                                                        \
	  "the client sent the body of its request too slowly; see bpfast shield http")            \
	X(HTTP_READ_SLOW, "http-read-slow",                                                        \
	  "the client read its response too slowly; see bpfast shield http")                       \
	X(CONNECTIONS, "too-many-connections",                                                     \
	  "the source has more connections open than it may; see bpfast shield http")              \
	X(HTTP_FLOOD, "http-flood",                                                                \
	  "the source asked more often than it may, or so often for one path; see bpfast shield "  \
	  "http")                                                                                  \
	/* shield */                                                                               \
	X(SHIELD_BLOCKED, "shield-blocked",                                                        \
	  "the source is blocked, or may for now not connect to this pod; bpfast shield list "     \
	  "tells by whom and how long")                                                            \
	X(SHIELD_MALFORMED, "shield-malformed", "a header is truncated or contradicts the frame")  \
	X(SHIELD_FRAGMENT, "shield-bad-fragment",                                                  \
	  "a fragment that is tiny, overlaps the header or ends past 65535 bytes")                 \
	X(SHIELD_MARTIAN, "shield-martian-address",                                                \
	  "an address that no packet from a wire may carry, or the same as source and "            \
	  "destination")                                                                           \
	X(SHIELD_FLAGS, "shield-tcp-flags", "a set of TCP flags that no stack sends")              \
	X(SHIELD_STATE, "shield-out-of-state",                                                     \
	  "TCP of no known connection came faster than its limit")                                 \
	X(SHIELD_SOURCE, "shield-source-limit",                                                    \
	  "the source address sent more than its limit; bpfast shield limit shows and sets it")    \
	X(SHIELD_PREFIX, "shield-prefix-limit",                                                    \
	  "the sources of one /24 or /64 sent more than their limit together")                     \
	X(SHIELD_DESTINATION, "shield-destination-limit",                                          \
	  "the destination got more of this class than its limit from sources that are not "       \
	  "known")                                                                                 \
	X(SHIELD_ADAPTIVE, "shield-adaptive",                                                      \
	  "the destination is under attack, and this source is not known; bpfast shield status "   \
	  "shows the attack")                                                                      \
	X(SHIELD_FINGERPRINT, "shield-fingerprint",                                                \
	  "the packet looks like those of an attack that is going on; bpfast shield status shows " \
	  "the rule")                                                                              \
	X(SHIELD_COOKIE, "shield-syn-cookie",                                                      \
	  "the destination is over its limit, so the SYN was answered with a cookie in its "       \
	  "place; who sends that back is let in")                                                  \
	X(SHIELD_BAD_COOKIE, "shield-bad-cookie",                                                  \
	  "TCP of no known connection without a valid cookie, to a destination whose SYNs are "    \
	  "answered with cookies")                                                                 \
	X(SHIELD_DNS_NAME, "shield-dns-name",                                                      \
	  "a query for a name below one of which random names are being asked for; bpfast shield " \
	  "status shows which, and what is let through")

enum bpfast_reason {
#define BPFAST_X(sym, word, hint) BPFAST_R_##sym,
	BPFAST_REASONS(BPFAST_X)
#undef BPFAST_X
		BPFAST_R_COUNT
};

/* The group "shield" is judged by bpf/shield.bpf.c; connections are ended by the agent, for what
 * their packets say together; all before them is judged by bpf/pod.bpf.c. */
#define BPFAST_R_ENDED BPFAST_R_HTTP_HEAD_SLOW
#define BPFAST_ENDED_REASONS (BPFAST_R_SHIELD - BPFAST_R_ENDED)
#define BPFAST_R_SHIELD BPFAST_R_SHIELD_BLOCKED
#define BPFAST_SHIELD_REASONS (BPFAST_R_COUNT - BPFAST_R_SHIELD)

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
