// SPDX-License-Identifier: Apache-2.0
/* L3 and L4: decisions, flows, audit, changes of policy, full tables. */
#include "cases.h"

#define PORTS                                                                                      \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: ports, namespace: shop}\n"                                               \
	"spec:\n"                                                                                  \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  ingress:\n"                                                                             \
	"  - toPorts: [{ports: [{port: \"53\", protocol: UDP}, {port: \"22\", protocol: TCP}]}]\n" \
	"  - toPorts: [{ports: [{port: \"7000\", endPort: 7010, protocol: TCP}]}]\n"               \
	"  - toPorts: [{ports: [{port: \"9\", protocol: SCTP}]}]\n"                                \
	"  - fromEndpoints: [{matchLabels: {app: cart}}]\n"                                        \
	"    toPorts: [{ports: [{port: \"80\", protocol: TCP}]}]\n"                                \
	"  ingressDeny:\n"                                                                         \
	"  - fromCIDR: [198.51.100.0/24]\n"                                                        \
	"    toPorts: [{ports: [{port: \"22\", protocol: TCP}]}]\n"

static void decisions(void **state)
{
	(void)state;
	policy(PORTS);
	const struct row rows[] = {
		{"allowed UDP", TO_POD, PACKET(ETH(), IP4(), UDP()), OK},
		{"allowed UDP, IPv6", TO_POD, PACKET(ETH(), IP6(), UDP()), OK},
		{"UDP to a TCP port", TO_POD, PACKET(ETH(), IP4(), UDP(.dport = 22)),
		 R(POLICY_DENIED)},
		{"allowed TCP", TO_POD, PACKET(ETH(), IP4(), TCP(.dport = 22, .flags = SYN)), OK},
		{"TCP to a UDP port", TO_POD, PACKET(ETH(), IP4(), TCP(.dport = 53, .flags = SYN)),
		 R(POLICY_DENIED)},
		{"below the range", TO_POD, PACKET(ETH(), IP4(), TCP(.dport = 6999, .flags = SYN)),
		 R(POLICY_DENIED)},
		{"first of the range", TO_POD,
		 PACKET(ETH(), IP4(), TCP(.dport = 7000, .flags = SYN)), OK},
		{"last of the range", TO_POD,
		 PACKET(ETH(), IP4(), TCP(.dport = 7010, .flags = SYN)), OK},
		{"above the range", TO_POD, PACKET(ETH(), IP4(), TCP(.dport = 7011, .flags = SYN)),
		 R(POLICY_DENIED)},
		{"from the endpoint allowed", TO_POD,
		 PACKET(ETH(), IP4(.src = PEER4), TCP(.flags = SYN)), OK},
		{"the same, IPv6", TO_POD, PACKET(ETH(), IP6(.src = PEER6), TCP(.flags = SYN)), OK},
		{"from elsewhere", TO_POD, PACKET(ETH(), IP4(), TCP(.flags = SYN)),
		 R(POLICY_DENIED)},
		{"deny before allow", TO_POD,
		 PACKET(ETH(), IP4(.src = "198.51.100.7"), TCP(.dport = 22, .flags = SYN)),
		 R(DENY_RULE)},
		{"deny, another port", TO_POD, PACKET(ETH(), IP4(.src = "198.51.100.7"), UDP()),
		 OK},
		{"allowed SCTP", TO_POD,
		 PACKET(ETH(), IP4(.next = 132),
			DATA("\x9c\x40\0\x09"
			     "taggsumm")),
		 OK},
		{"SCTP to another port", TO_POD,
		 PACKET(ETH(), IP4(.next = 132),
			DATA("\0\x09\x9c\x40"
			     "taggsumm")),
		 R(POLICY_DENIED)},
		{"egress is not isolated", FROM_POD,
		 PACKET(POD_ETH, POD_IP4(), TCP(.dport = 9, .flags = SYN)), OK},
		{"echo needs a rule without ports", TO_POD, PACKET(ETH(), IP4(), ICMP(8, 0)),
		 R(POLICY_DENIED)},
		{"the node's address is no proof", TO_POD,
		 PACKET(ETH(), IP4(.src = "10.0.0.1"), TCP(.flags = SYN)), R(POLICY_DENIED)},
	};

	CHECK_ROWS(rows);
	FORWARDED(run_from_host(PACKET(ETH(), IP4(.src = "10.0.0.1"), TCP(.flags = SYN))));
	/* Masqueraded by the node, any address. */
	FORWARDED(run_from_host(
		PACKET(ETH(), IP4(.src = "198.51.100.7"), TCP(.dport = 22, .flags = SYN))));
}

/* A reply needs no rule; it needs its request. */
static void replies(void **state)
{
	const struct seen *s;

	(void)state;
	policy(PORTS);
	/* In, and the pod answers. */
	s = FORWARDED(run(TO_POD, PACKET(ETH(), IP4(), UDP())));
	EXPECT(s->metrics.flows_created == 1);
	RECORDED(s, FORWARDED, NONE, "");
	s = FORWARDED(run(FROM_POD, PACKET(POD_ETH, POD_IP4(), UDP(.sport = 53, .dport = 40000))));
	EXPECT(s->metrics.flows_created == 0 && s->events == 0);
	/* Out, and the answer comes. */
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(), UDP(.sport = 99, .dport = 98))), POLICY_DENIED);
	FORWARDED(run(FROM_POD, PACKET(POD_ETH, POD_IP4(), UDP(.sport = 98, .dport = 99))));
	FORWARDED(run(TO_POD, PACKET(ETH(), IP4(), UDP(.sport = 99, .dport = 98))));
	/* Not to another port of the pod, nor from another address. */
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(), UDP(.sport = 99, .dport = 97))), POLICY_DENIED);
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(.src = PEER4), UDP(.sport = 99, .dport = 98))),
		POLICY_DENIED);
	EXPECT(flow_count() == 2);
}

static void records_name_the_policy(void **state)
{
	const struct bpfast_event *ev;
	const struct seen *s;

	(void)state;
	policy(PORTS);
	s = DROPPED(run(TO_POD,
			PACKET(ETH(), IP4(.src = "198.51.100.7"), TCP(.dport = 22, .flags = SYN))),
		    DENY_RULE);
	ev = RECORDED(s, DROPPED, DENY_RULE, "");
	EXPECT(!strcmp(event_ref(ev),
		       "PayloadPolicy\tshop\tports\tspec.ingressDeny[0].toPorts[0]"));
	EXPECT(ev->type == BPFAST_EV_L3_L4 && ev->protocol == 6 && ev->ip_version == 4);
	EXPECT(ev->source_port == 40000 && ev->destination_port == 22);
	EXPECT(!memcmp(ev->source + 10, "\xff\xff\xc6\x33\x64\7", 6));
	EXPECT(ev->length == 40 && ev->tcp_flags == SYN && ev->flags == 0);
	s = DROPPED(run(TO_POD, PACKET(ETH(), IP4(), UDP(.dport = 9))), POLICY_DENIED);
	EXPECT(!strcmp(event_ref(RECORDED(s, DROPPED, POLICY_DENIED, "")),
		       "PayloadPolicy\tshop\tports\t"));
	s = FORWARDED(run(FROM_POD, PACKET(POD_ETH, POD_IP6(), UDP())));
	ev = RECORDED(s, FORWARDED, NONE, "");
	EXPECT(ev->flags == BPFAST_EF_EGRESS && ev->ip_version == 6);
	s = FORWARDED(run_from_host(PACKET(ETH(), IP4(.src = "10.0.0.1"), TCP(.flags = SYN))));
	EXPECT(RECORDED(s, FORWARDED, NONE, "")->flags == BPFAST_EF_FROM_HOST);
}

/* Nobody observes: records are limited, and counted. */
static void records_are_limited(void **state)
{
	uint64_t limited = 0, written = 0;

	(void)state;
	policy(PORTS);
	control()->observed = 0;
	control()->records_per_second = 3;
	for (int i = 0; i < 20; i++) {
		const struct seen *s = run(TO_POD, PACKET(ETH(), IP4(), UDP(.dport = 9)));

		limited += s->metrics.records_limited;
		written += s->metrics.records_written;
		EXPECT(s->metrics.records_written == s->events);
		DROPPED(s, POLICY_DENIED);
	}
	EXPECT(limited + written == 20);
	EXPECT(limited > 0);
}

static void no_policy(void **state)
{
	const struct frame *in = PACKET(ETH(), IP4(), UDP()),
			   *out = PACKET(POD_ETH, POD_IP4(), UDP());
	struct bpfast_endpoint ep = the_endpoint();
	uint64_t root;

	(void)state;
	policy(OPEN);
	root = control()->root;
	control()->root = 0;
	DROPPED(run(TO_POD, in), NO_POLICY);
	DROPPED(run(FROM_POD, out), NO_POLICY);
	DROPPED(run(FROM_POD, PACKET(POD_ETH, ARP(.src = POD4, .sha = MAC_POD))), NO_POLICY);
	DROPPED(run_from_host(in), NO_POLICY);
	control()->root = root;
	FORWARDED(run(TO_POD, in));
	set_endpoint(NULL);
	DROPPED(run(TO_POD, in), NO_POLICY);
	DROPPED(run(FROM_POD, out), NO_POLICY);
	/* A slot that the image does not know. */
	ep.slot = 999;
	set_endpoint(&ep);
	DROPPED(run(TO_POD, in), NO_POLICY);
	DROPPED(run(FROM_POD, out), NO_POLICY);
	DROPPED(run_from_host(in), NO_POLICY);
}

#define AUDIT                                                                                      \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: try, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  mode: audit\n"                                                                          \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  ingress: [{toPorts: [{ports: [{port: \"53\", protocol: UDP}]}]}]\n"                     \
	"  ingressDeny: [{fromCIDR: [198.51.100.0/24]}]\n"

static void audit(void **state)
{
	const struct seen *s;

	(void)state;
	policy(AUDIT);
	s = FORWARDED(run(TO_POD, PACKET(ETH(), IP4(), UDP())));
	RECORDED(s, FORWARDED, NONE, "");
	s = FORWARDED(run(TO_POD, PACKET(ETH(), IP4(), UDP(.dport = 9))));
	RECORDED(s, AUDIT, POLICY_DENIED, "");
	EXPECT(s->metrics.audited[BPFAST_R_POLICY_DENIED] == 1);
	s = FORWARDED(run(TO_POD, PACKET(ETH(), IP4(.src = "198.51.100.7"), UDP())));
	RECORDED(s, AUDIT, DENY_RULE, "");
	/* In the middle of a connection, too. */
	FORWARDED(run(TO_POD, PACKET(ETH(), IP4(), TCP(.flags = ACK))));
}

/* --- changes of policy ------------------------------------------------------------ */

static void revoked_udp(void **state)
{
	const struct frame *ask = PACKET(ETH(), IP4(), UDP()),
			   *answer = PACKET(POD_ETH, POD_IP4(), UDP(.sport = 53, .dport = 40000));

	(void)state;
	policy(OPEN);
	FORWARDED(run(TO_POD, ask));
	policy(PORTS); /* still allowed */
	FORWARDED(run(TO_POD, ask));
	FORWARDED(run(FROM_POD, answer));
	policy(AUDIT);
	FORWARDED(run(TO_POD, ask));
	policy("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"
	       "metadata: {name: none, namespace: shop}\nspec: {podSelector: {}}\n");
	EXPECT(flow_count() == 1);
	/* The answer, too, belongs to a permission that is gone. */
	DROPPED(run(FROM_POD, answer), POLICY_REVOKED);
	EXPECT(flow_count() == 0);
	DROPPED(run(TO_POD, ask), POLICY_DENIED);
}

#define NOTHING                                                                                    \
	"apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"                                  \
	"metadata: {name: none, namespace: shop}\n"                                                \
	"spec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n"

/* TCP is not left hanging: both ends hear of it, whoever sends next. */
static void revoked_tcp(void **state)
{
	(void)state;
	for (int i = 0; i < 8; i++) {
		struct talk t = TALK(.v6 = i & 1, .egress = i & 2);

		policy(OPEN);
		talk_open(&t);
		FORWARDED(client_says(&t, "hello"));
		FORWARDED(server_says(&t, "good day"));
		policy(NOTHING);
		if (i & 4) {
			/* Seen from the server the two change places. */
			const struct seen *s = SERVER(&t, .data = B("more"));
			struct seen_tcp out = packet_read_tcp(s->out.b, s->out.len), back;

			EXPECT(s->forwarded && s->reason == BPFAST_R_POLICY_REVOKED);
			EXPECT(s->metrics.resets_sent == 2 && s->sents == 1);
			back = packet_read_tcp(s->sent[0].frame.b, s->sent[0].frame.len);
			EXPECT(out.flags == (RST | ACK) && out.seq == t.server_seq &&
			       out.ack == t.client_seq && out.dport == t.client_port);
			EXPECT(back.flags == RST && back.seq == t.client_seq &&
			       back.dport == t.server_port);
		} else {
			RESET_BOTH(&t, CLIENT(&t, .data = B("more")), POLICY_REVOKED, 4);
		}
		DROPPED(CLIENT(&t, .data = B("more")), POLICY_DENIED);
		world_reset(NULL);
	}
}

/* An RST is not answered, nor a fragment, nor an error. */
static void revoked_quietly(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(OPEN);
	talk_open(&t);
	policy(NOTHING);
	DROPPED(CLIENT(&t, .flags = RST), POLICY_REVOKED);
	policy(OPEN);
	world_reset(NULL);
	talk_open(&t);
	policy(NOTHING);
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(.more = true), TCP(.flags = ACK),
				   DATA("0123456789abcdef0123456789abcdef"))),
		POLICY_REVOKED);
}

/* The node's own connections stay. */
static void node_is_not_revoked(void **state)
{
	(void)state;
	policy(OPEN);
	FORWARDED(run_from_host(PACKET(ETH(), IP4(.src = "10.0.0.1"), TCP(.flags = SYN))));
	policy(NOTHING);
	FORWARDED(run(FROM_POD, PACKET(POD_ETH, IP4(.src = POD4, .dst = "10.0.0.1"),
				       TCP(.sport = 80, .dport = 40000, .flags = SYN | ACK))));
	FORWARDED(run_from_host(PACKET(ETH(), IP4(.src = "10.0.0.1"), TCP(.flags = ACK))));
	/* But nobody else rides on it. */
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(), TCP(.flags = ACK))), POLICY_DENIED);
}

#define HTTP_80_IN(mode)                                                                           \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: web, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  mode: " mode "\n"                                                                       \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  ingress:\n"                                                                             \
	"  - toPorts:\n"                                                                           \
	"    - ports: [{port: \"80\", protocol: TCP}]\n"                                           \
	"      rules: {http: [{path: \"/ok\"}]}\n"
#define HTTP_80 HTTP_80_IN("enforce")
#define HTTP_80_AUDIT HTTP_80_IN("audit")

/* A connection that nobody read so far cannot be read now: it is reset once. */
static void inspected_from_now_on(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(OPEN);
	talk_open(&t);
	policy(HTTP_80);
	RESET_BOTH(&t, CLIENT(&t, .data = B("GET /ok")), TCP_MIDSTREAM, 7);
	EXPECT(flow_count() == 0);
	/* The client comes back into view. */
	t = TALK(.client_port = 40001);
	talk_open(&t);
	FORWARDED(client_says(&t, "GET /ok HTTP/1.1\r\nHost: a\r\n\r\n"));
	/* And back: nobody reads any more. */
	policy(OPEN);
	FORWARDED(client_says(&t, "\x16\3\1\0\0 no HTTP"));
}

/* What mode audit gave up on cannot be read when the policy is enforced: it is reset too. */
static void enforced_after_audit(void **state)
{
	static const char bad[] = "GET /ok HTTP/1.1\r\nHost : a\r\n\r\n";
	struct talk t = TALK();

	(void)state;
	policy(HTTP_80_AUDIT);
	talk_open(&t);
	FORWARDED(client_says(&t, bad));
	FORWARDED(client_says(&t, bad));
	policy(HTTP_80);
	RESET_BOTH(&t, CLIENT(&t, .data = B(bad)), TCP_MIDSTREAM, sizeof(bad) - 1);
	EXPECT(flow_count() == 0);
}

/* --- connections whose beginning was not seen ---------------------------------------- */

static void midstream(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(OPEN);
	FORWARDED(CLIENT(&t, .data = B("x")));
	FORWARDED(SERVER(&t, .data = B("x")));
	world_reset(NULL);
	policy(HTTP_80);
	RESET_BOTH(&t, CLIENT(&t, .data = B("x")), TCP_MIDSTREAM, 1);
	DROPPED(CLIENT(&t, .flags = RST), TCP_MIDSTREAM);
	/* Nobody may do anything here, so nobody is answered. */
	policy(NOTHING);
	DROPPED(CLIENT(&t, .data = B("x")), POLICY_DENIED);
	DROPPED(SERVER(&t, .data = B("x")), POLICY_DENIED);
	EXPECT(flow_count() == 0);
	/* The node's own goes on. */
	FORWARDED(run_from_host(PACKET(ETH(), IP4(.src = "10.0.0.1"), TCP(.flags = ACK))));
}

/* A SYN-ACK that nobody asked for: the pod might have, before we looked. */
static void unasked_syn_ack(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(PORTS);
	RESET_BOTH(&t, CLIENT(&t, .flags = SYN | ACK), TCP_MIDSTREAM, 1);
	EXPECT(flow_count() == 0);
	policy(NOTHING);
	DROPPED(CLIENT(&t, .flags = SYN | ACK), POLICY_DENIED);
}

/* Who answers a connection may not begin one on its ports. */
static void syn_of_the_responder(void **state)
{
	struct talk t = TALK(.server_port = 22);

	(void)state;
	policy(PORTS);
	talk_open(&t);
	DROPPED(SERVER(&t, .flags = SYN, .ack = 0), TCP_FLAGS);
	/* When it is over, it may: as a connection of its own. */
	FORWARDED(client_closes(&t));
	FORWARDED(server_closes(&t));
	FORWARDED(SERVER(&t, .flags = SYN, .ack = 0));
	EXPECT(flow_count() == 1);
}

/* --- tables ------------------------------------------------------------------------- */

static void flow_table_full(void **state)
{
	(void)state;
	policy(OPEN);
	for (uint16_t i = 0; i < FLOWS; i++)
		FORWARDED(run(TO_POD, PACKET(ETH(), IP4(), UDP(.sport = (uint16_t)(2000 + i)))));
	EXPECT(flow_count() == FLOWS);
	RECORDED(DROPPED(run(TO_POD, PACKET(ETH(), IP4(), UDP(.sport = 1999))), FLOW_TABLE_FULL),
		 DROPPED, FLOW_TABLE_FULL, "");
	DROPPED(run_from_host(PACKET(ETH(), IP4(), UDP(.sport = 1998))), FLOW_TABLE_FULL);
	/* Those that are there go on. */
	FORWARDED(run(TO_POD, PACKET(ETH(), IP4(), UDP(.sport = 2000))));
	FORWARDED(run(FROM_POD, PACKET(POD_ETH, POD_IP4(), UDP(.sport = 53, .dport = 2255))));
}

/* Flows that are over or silent make room by themselves; others stay. */
static void flows_end(void **state)
{
	struct talk t = TALK(.server_port = 22), open = TALK(.client_port = 40001),
		    middle = TALK(.client_port = 40007, .server_port = 22),
		    half = TALK(.client_port = 40002), forged = TALK(.client_port = 40003);

	(void)state;
	policy(OPEN);
	control()->closed_s = 1;
	control()->other_idle_s = 1;
	for (uint16_t i = 0; i < 8; i++)
		FORWARDED(run(TO_POD, PACKET(ETH(), IP4(), UDP(.sport = (uint16_t)(2000 + i)))));
	talk_open(&t);
	FORWARDED(client_closes(&t));
	FORWARDED(server_closes(&t));
	talk_open(&open);
	/* Half-open: the server keeps a forged SYN for a minute, we not for hours. */
	FORWARDED(CLIENT(&half, .flags = SYN, .ack = 0));
	FORWARDED(SERVER(&half, .flags = SYN | ACK, .ack = 1001));
	/* Nor does it become open by what servers take no notice of. */
	FORWARDED(CLIENT(&forged, .flags = SYN, .ack = 0));
	FORWARDED(SERVER(&forged, .flags = SYN | ACK, .ack = 1001));
	FORWARDED(CLIENT(&forged, .flags = PSH, .ack = 0));
	FORWARDED(CLIENT(&forged, .flags = ACK, .seq = 900000, .ack = 77777777));
	FORWARDED(SERVER(&forged, .flags = ACK, .ack = 1001));
	FORWARDED(CLIENT(&forged, .flags = ACK, .ack = 77777777));
	/* Nor one of which the beginning was not seen, and the other end says nothing. */
	FORWARDED(
		run(TO_POD, PACKET(ETH(), IP4(), TCP(.sport = 40004, .dport = 22, .flags = RST))));
	FORWARDED(
		run(TO_POD, PACKET(ETH(), IP4(), TCP(.sport = 40005, .dport = 22, .flags = PSH))));
	FORWARDED(
		run(TO_POD, PACKET(ETH(), IP4(), TCP(.sport = 40006, .dport = 22, .flags = ACK))));
	FORWARDED(run(FROM_POD,
		      PACKET(POD_ETH, POD_IP4(), TCP(.sport = 22, .dport = 40006, .flags = RST))));
	EXPECT(flow_count() == 15);
	FORWARDED(CLIENT(&middle, .flags = ACK));
	FORWARDED(SERVER(&middle, .flags = ACK));
	for (int i = 0; i < 60 && flow_count() > 2; i++)
		nap(100);
	EXPECT(flow_count() == 2);
	nap(200);
	FORWARDED(client_says(&open, "still here"));
	EXPECT(flow_count() == 2);
}

int cases_policy(void)
{
	const struct CMUnitTest tests[] = {
		CASE(decisions),
		CASE(replies),
		CASE(records_name_the_policy),
		CASE(records_are_limited),
		CASE(no_policy),
		CASE(audit),
		CASE(revoked_udp),
		CASE(revoked_tcp),
		CASE(revoked_quietly),
		CASE(node_is_not_revoked),
		CASE(inspected_from_now_on),
		CASE(enforced_after_audit),
		CASE(midstream),
		CASE(unasked_syn_ack),
		CASE(syn_of_the_responder),
		CASE(flow_table_full),
		CASE(flows_end),
	};

	return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
