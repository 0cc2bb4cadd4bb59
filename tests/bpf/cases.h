/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BF_TEST_CASES_H
#define BF_TEST_CASES_H
/* The groups of test_pod, one file each. Every test begins with world_reset(). */
#include "talk.h"

/* Layers of a packet that the pod sends. */
#define POD_ETH ETH(.src = MAC_POD, .dst = MAC_NET)
#define POD_IP4(...) IP4(.src = POD4, .dst = OUT4, __VA_ARGS__)
#define POD_IP6(...) IP6(.src = POD6, .dst = OUT6, __VA_ARGS__)

/* A packet and what becomes of it. */
struct row {
	const char *what;
	enum way way;
	const struct frame *frame;
	uint32_t reason; /* BPFAST_R_NONE: forwarded */
};

/* Runs each row in a world without flows and tells all that went wrong. */
#define CHECK_ROWS(rows) check_rows((rows), sizeof(rows) / sizeof((rows)[0]))
void check_rows(const struct row *rows, size_t n);

/* No policy selects anybody: all is open. */
#define OPEN "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop}\n"

/* HTTP rules for port 80 both ways, and port 22 without. */
#define WEB                                                                                        \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: web, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  ingress:\n"                                                                             \
	"  - toPorts:\n"                                                                           \
	"    - ports: [{port: \"80\", protocol: TCP}]\n"                                           \
	"      rules: {http: [{path: \"/ok\"}]}\n"                                                 \
	"    - ports: [{port: \"22\", protocol: TCP}]\n"                                           \
	"  egress:\n"                                                                              \
	"  - toPorts:\n"                                                                           \
	"    - ports: [{port: \"80\", protocol: TCP}]\n"                                           \
	"      rules: {http: [{path: \"/ok\"}]}\n"

#define OK BPFAST_R_NONE
#define R(sym) BPFAST_R_##sym

#define CASE(name) cmocka_unit_test_setup(name, world_reset)

int cases_link(void); /* Ethernet, ARP, neighbour discovery, DHCP, whose address */
int cases_network(void); /* IPv4, IPv6, fragments, ICMP */
int cases_policy(void); /* L3/L4 decisions, audit, revocation, tables */
int cases_tcp(void); /* sequence numbers, options, handshake */
int cases_pool(void); /* the retention pool */
int cases_census(void); /* what the agent is told of connections */
int cases_quota(void); /* an endpoint's part of the flow table */
int cases_http(void); /* requests and responses */
int cases_deny(void); /* refusing, and after it */
int cases_tunnel(void); /* Upgrade and CONNECT */
int cases_reasons(void); /* each reason once */

#endif
