// SPDX-License-Identifier: Apache-2.0
/* IPv4 and IPv6 as they may come: options, extension headers, fragments, ICMP, and damage. */
#include "cases.h"

#define SIXTEEN "0123456789abcdef"

static void ipv4(void **state)
{
	(void)state;
	policy(OPEN);
	const struct row rows[] = {
		{"plain", TO_POD, PACKET(ETH(), IP4(), UDP(), DATA("x")), OK},
		{"no payload", TO_POD, PACKET(ETH(), IP4(.next = 47)), OK},
		/* Behind a tag: the kernel's test run refuses it in the open. */
		{"header cut", TO_POD, PACKET(ETH(), VLAN(), IP4(), UDP(), CUT(37)), R(MALFORMED)},
		{"no header", TO_POD, PACKET(ETH(), VLAN(), IP4(), UDP(), CUT(18)), R(MALFORMED)},
		{"version 5", TO_POD, PACKET(ETH(), IP4(.version = 5), UDP()), R(MALFORMED)},
		{"version 6", TO_POD, PACKET(ETH(), IP4(.version = 6), UDP()), R(MALFORMED)},
		{"header of 16 bytes", TO_POD, PACKET(ETH(), IP4(.ihl = 16), UDP()), R(MALFORMED)},
		{"header past the frame", TO_POD, PACKET(ETH(), IP4(.ihl = 60), UDP()),
		 R(MALFORMED)},
		{"length past the frame", TO_POD, PACKET(ETH(), IP4(.len_add = 1), UDP()),
		 R(MALFORMED)},
		{"length inside the header", TO_POD, PACKET(ETH(), IP4(.len_add = -9), UDP()),
		 R(MALFORMED)},
		{"length 0", TO_POD, PACKET(ETH(), IP4(.len_add = -28), UDP()), R(MALFORMED)},
		{"length 0 before TCP", TO_POD,
		 PACKET(ETH(), IP4(.len_add = -40), TCP(.flags = SYN)), R(MALFORMED)},
		{"bytes behind the packet", TO_POD, PACKET(ETH(), IP4(), UDP(), PAD("x")), OK},
		{"no-op options", TO_POD, PACKET(ETH(), IP4(.opt = B("\1\1\1\0")), UDP()), OK},
		{"record route", TO_POD, PACKET(ETH(), IP4(.opt = B("\7\7\4\0\0\0\0")), UDP()), OK},
		{"router alert", TO_POD, PACKET(ETH(), IP4(.opt = B("\x94\4\0\0")), UDP()), OK},
		{"loose source route", TO_POD,
		 PACKET(ETH(), IP4(.opt = B("\x83\7\4\12\0\0\3")), UDP()), R(IP_OPTION)},
		{"strict source route", TO_POD,
		 PACKET(ETH(), IP4(.opt = B("\x89\7\4\12\0\0\3")), UDP()), R(IP_OPTION)},
		{"source route behind no-ops", TO_POD,
		 PACKET(ETH(), IP4(.opt = B("\1\1\1\x83\7\4\12\0\0\3")), UDP()), R(IP_OPTION)},
		{"source route behind a timestamp", TO_POD,
		 PACKET(ETH(), IP4(.opt = B("\x44\x08\5\0\0\0\0\0\x89\7\4\12\0\0\3")), UDP()),
		 R(IP_OPTION)},
		{"its number as another option's data", TO_POD,
		 PACKET(ETH(), IP4(.opt = B("\x44\x08\5\0\x83\x83\x89\x89")), UDP()), OK},
		{"its number behind the end of options", TO_POD,
		 PACKET(ETH(), IP4(.opt = B("\0\x83\7\4")), UDP()), OK},
		{"option of length 0", TO_POD, PACKET(ETH(), IP4(.opt = B("\x44\0\0\0")), UDP()),
		 R(MALFORMED)},
		{"option of length 1", TO_POD, PACKET(ETH(), IP4(.opt = B("\x44\1\0\0")), UDP()),
		 R(MALFORMED)},
		{"option past the header", TO_POD,
		 PACKET(ETH(), IP4(.opt = B("\x44\5\0\0")), UDP()), R(MALFORMED)},
		{"option without its length", TO_POD,
		 PACKET(ETH(), IP4(.opt = B("\1\1\1\x44")), UDP()), R(MALFORMED)},
		{"40 bytes of options", TO_POD,
		 PACKET(ETH(),
			IP4(.opt = B("\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1"
				     "\1\1\1\1\1\1\1\1\1\1\1\1\1\x83\7\4\12\0\0\3")),
			UDP()),
		 R(IP_OPTION)},
		{"ICMPv6 in IPv4", TO_POD, PACKET(ETH(), IP4(.next = 58), ICMP(128, 0)),
		 R(MALFORMED)},
		{"UDP header cut", TO_POD, PACKET(ETH(), IP4(.len_add = -1), UDP(), CUT(41)),
		 R(MALFORMED)},
		{"TCP header cut", TO_POD,
		 PACKET(ETH(), IP4(.len_add = -1), TCP(.flags = SYN), CUT(53)), R(MALFORMED)},
		{"TCP header past the packet", TO_POD,
		 PACKET(ETH(), IP4(), TCP(.flags = SYN, .doff = 24)), R(MALFORMED)},
		{"TCP header of 16 bytes", TO_POD,
		 PACKET(ETH(), IP4(), TCP(.flags = SYN, .doff = 16)), R(MALFORMED)},
		{"TCP header in bytes behind the packet", TO_POD,
		 PACKET(ETH(), IP4(), TCP(.flags = SYN, .doff = 24), PAD("\1\1\1\1")),
		 R(MALFORMED)},
		{"ICMP cut", TO_POD, PACKET(ETH(), IP4(.len_add = -5), ICMP(8, 0), CUT(37)),
		 R(MALFORMED)},
		{"echo cut", TO_POD, PACKET(ETH(), IP4(.len_add = -1), ICMP(8, 0), CUT(41)),
		 R(MALFORMED)},
		{"echo, its header in bytes behind the packet", TO_POD,
		 PACKET(ETH(), IP4(.len_add = -4), ICMP(8, 0)), R(MALFORMED)},
		{"GRE", TO_POD, PACKET(ETH(), IP4(.next = 47), DATA("\0\0\x08\0")), OK},
		{"IP in IP", TO_POD, PACKET(ETH(), IP4(), IP4(), UDP()), OK},
	};

	CHECK_ROWS(rows);
}

static void ipv6(void **state)
{
	static const char long_option[134] = {1, (char)130};

	(void)state;
	policy(OPEN);
	const struct row rows[] = {
		{"plain", TO_POD, PACKET(ETH(), IP6(), UDP(), DATA("x")), OK},
		{"header cut", TO_POD, PACKET(ETH(), VLAN(), IP6(), UDP(), CUT(57)), R(MALFORMED)},
		{"version 4", TO_POD, PACKET(ETH(), IP6(.version = 4), UDP()), R(MALFORMED)},
		{"length past the frame", TO_POD, PACKET(ETH(), IP6(.len_add = 1), UDP()),
		 R(MALFORMED)},
		{"length inside the next header", TO_POD, PACKET(ETH(), IP6(.len_add = -1), UDP()),
		 R(MALFORMED)},
		{"length 0", TO_POD, PACKET(ETH(), IP6(.len_add = -8), UDP()), R(MALFORMED)},
		{"length 0 before TCP", TO_POD,
		 PACKET(ETH(), IP6(.len_add = -20), TCP(.flags = SYN)), R(MALFORMED)},
		{"bytes behind the packet", TO_POD, PACKET(ETH(), IP6(), UDP(), PAD("x")), OK},
		{"hop-by-hop", TO_POD, PACKET(ETH(), IP6(), EXT(0), UDP()), OK},
		{"destination options", TO_POD, PACKET(ETH(), IP6(), EXT(60), UDP()), OK},
		{"both", TO_POD, PACKET(ETH(), IP6(), EXT(0), EXT(60), TCP(.flags = SYN)), OK},
		{"routing header", TO_POD, PACKET(ETH(), IP6(), EXT(43), UDP()), R(IP_OPTION)},
		{"routing header behind another", TO_POD,
		 PACKET(ETH(), IP6(), EXT(0), EXT(60), EXT(43), UDP()), R(IP_OPTION)},
		{"seven extension headers", TO_POD,
		 PACKET(ETH(), IP6(), EXT(0), EXT(60), EXT(60), EXT(60), EXT(60), EXT(60), EXT(60),
			UDP()),
		 R(IP_OPTION)},
		{"extension header cut", TO_POD,
		 PACKET(ETH(), IP6(.len_add = -8), EXT(60), CUT(54)), R(MALFORMED)},
		{"extension header past the packet", TO_POD,
		 PACKET(ETH(), IP6(), EXT(60, .len_add = 9), UDP()), R(MALFORMED)},
		{"extension header in bytes behind the packet", TO_POD,
		 PACKET(ETH(), IP6(.next = 60), PAD(SIXTEEN)), R(MALFORMED)},
		{"headers past what is read", TO_POD,
		 PACKET(ETH(), IP6(), EXT(60, .opt = {long_option, sizeof(long_option)}), UDP()),
		 R(MALFORMED)},
		{"no next header", TO_POD, PACKET(ETH(), IP6(.next = 59)), OK},
		{"AH", TO_POD, PACKET(ETH(), IP6(.next = 51), DATA(SIXTEEN)), OK},
		{"ICMPv4 in IPv6", TO_POD, PACKET(ETH(), IP6(.next = 1), ICMP(8, 0)), R(MALFORMED)},
		{"UDP header cut", TO_POD, PACKET(ETH(), IP6(.len_add = -1), UDP(), CUT(61)),
		 R(MALFORMED)},
		{"TCP header past the packet", TO_POD,
		 PACKET(ETH(), IP6(), TCP(.flags = SYN, .doff = 60)), R(MALFORMED)},
		{"IPv4-mapped source", TO_POD, PACKET(ETH(), IP6(.src = "::ffff:10.0.0.3"), UDP()),
		 R(MALFORMED)},
		{"atomic fragment", TO_POD, PACKET(ETH(), IP6(), EXT(44, .id = 5), UDP()), OK},
		{"two fragment headers", TO_POD,
		 PACKET(ETH(), IP6(), EXT(44, .more = true), EXT(44, .more = true), UDP(),
			DATA(SIXTEEN)),
		 R(MALFORMED)},
		{"fragment header cut", TO_POD, PACKET(ETH(), IP6(.len_add = -4), EXT(44), CUT(58)),
		 R(MALFORMED)},
	};

	CHECK_ROWS(rows);
}

/* An endpoint under rules for ports: what has none is not let in. */
#define UDP_53                                                                                     \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: dns, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  ingress: [{toPorts: [{ports: [{port: \"53\", protocol: UDP}]}]}]\n"                     \
	"  egress: [{toPorts: [{ports: [{port: \"53\", protocol: UDP}]}]}]\n"

static void fragments_in_one_packet(void **state)
{
	(void)state;
	policy(UDP_53);
	const struct row rows[] = {
		{"first", TO_POD,
		 PACKET(ETH(), IP4(.more = true, .id = 1), UDP(), DATA(SIXTEEN SIXTEEN)), OK},
		{"first, another port", TO_POD,
		 PACKET(ETH(), IP4(.more = true), UDP(.dport = 54), DATA(SIXTEEN SIXTEEN)),
		 R(POLICY_DENIED)},
		{"tiny first", TO_POD, PACKET(ETH(), IP4(.more = true), UDP(), DATA("01234567")),
		 R(FRAGMENT)},
		{"later without the first", TO_POD,
		 PACKET(ETH(), IP4(.frag = 40, .next = 17), DATA(SIXTEEN)), R(FRAGMENT)},
		{"over the first's ports", TO_POD,
		 PACKET(ETH(), IP4(.frag = 8, .next = 6), DATA(SIXTEEN)), R(FRAGMENT)},
		{"over the first's TCP flags", TO_POD,
		 PACKET(ETH(), IP4(.frag = 16, .next = 6), DATA(SIXTEEN)), R(FRAGMENT)},
		{"IPv6 first", TO_POD,
		 PACKET(ETH(), IP6(), EXT(44, .more = true), UDP(), DATA(SIXTEEN SIXTEEN)), OK},
		{"IPv6 tiny first", TO_POD,
		 PACKET(ETH(), IP6(), EXT(44, .more = true), UDP(), DATA("01234567")), R(FRAGMENT)},
		{"IPv6 later without the first", TO_POD,
		 PACKET(ETH(), IP6(), EXT(44, .frag = 40), DATA(SIXTEEN)), R(FRAGMENT)},
		{"IPv6 over the first", TO_POD,
		 PACKET(ETH(), IP6(), EXT(44, .frag = 8), DATA(SIXTEEN)), R(FRAGMENT)},
		{"IPv6 first without its transport header", TO_POD,
		 PACKET(ETH(), IP6(), EXT(44, .more = true, .opt = B("")), EXT(60), EXT(60)),
		 R(FRAGMENT)},
	};

	CHECK_ROWS(rows);
}

/* Later fragments go where the first one went, and only there. */
static void fragments_follow_the_first(void **state)
{
	(void)state;
	policy(UDP_53);
	for (int v6 = 0; v6 < 2; v6++) {
		const struct frame *first =
			v6 ? PACKET(ETH(), IP6(), EXT(44, .more = true, .id = 9), UDP(),
				    DATA(SIXTEEN SIXTEEN))
			   : PACKET(ETH(), IP4(.more = true, .id = 9), UDP(),
				    DATA(SIXTEEN SIXTEEN));
		const struct frame *later =
			v6 ? PACKET(ETH(), IP6(), EXT(44, .frag = 40, .id = 9, .next = 17),
				    DATA(SIXTEEN))
			   : PACKET(ETH(), IP4(.frag = 40, .id = 9, .next = 17), DATA(SIXTEEN));
		const struct frame *other_id =
			v6 ? PACKET(ETH(), IP6(), EXT(44, .frag = 40, .id = 10, .next = 17),
				    DATA(SIXTEEN))
			   : PACKET(ETH(), IP4(.frag = 40, .id = 10, .next = 17), DATA(SIXTEEN));
		const struct frame *denied =
			v6 ? PACKET(ETH(), IP6(), EXT(44, .more = true, .id = 10), UDP(.dport = 99),
				    DATA(SIXTEEN SIXTEEN))
			   : PACKET(ETH(), IP4(.more = true, .id = 10), UDP(.dport = 99),
				    DATA(SIXTEEN SIXTEEN));

		DROPPED(run(TO_POD, later), FRAGMENT);
		FORWARDED(run(TO_POD, first));
		FORWARDED(run(TO_POD, later));
		FORWARDED(run(TO_POD, later));
		DROPPED(run(TO_POD, other_id), FRAGMENT);
		DROPPED(run(TO_POD, denied), POLICY_DENIED);
		DROPPED(run(TO_POD, other_id), POLICY_DENIED);
	}
}

/* Fragments of TCP where nobody reads it. */
static void fragmented_tcp(void **state)
{
	struct talk t = TALK();

	(void)state;
	policy(OPEN);
	talk_open(&t);
	FORWARDED(run(TO_POD, PACKET(ETH(), IP4(.more = true, .id = 3), TCP(.flags = ACK),
				     DATA(SIXTEEN SIXTEEN SIXTEEN "01234567"))));
	FORWARDED(run(TO_POD, PACKET(ETH(), IP4(.frag = 72, .id = 3, .next = 6), DATA(SIXTEEN))));
	/* Of a connection that nobody knows. */
	FORWARDED(run(TO_POD, PACKET(ETH(), IP4(.more = true, .id = 4),
				     TCP(.flags = ACK, .sport = 7), DATA(SIXTEEN SIXTEEN))));
}

/* --- ICMP ---------------------------------------------------------------------- */

#define ANY_PORT_OUT                                                                               \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: out, namespace: shop}\n"                                                 \
	"spec:\n"                                                                                  \
	"  endpointSelector: {matchLabels: {app: web}}\n"                                          \
	"  ingress: [{fromEntities: [none]}]\n"                                                    \
	"  egress: [{toEntities: [all]}]\n"

/* Allowed out, not in: only what answers the pod's own request gets in. */
static void echo_one_way(void **state)
{
	(void)state;
	policy(ANY_PORT_OUT);
	for (int v6 = 0; v6 < 2; v6++) {
		const int ask = v6 ? 128 : 8, answer = v6 ? 129 : 0;
		const struct layer in = v6 ? IP6() : IP4(), out = v6 ? POD_IP6() : POD_IP4();
		const uint32_t mine = 0x00070001, theirs = 0x00080001;

		DROPPED(run(TO_POD, PACKET(ETH(), in, ICMP(ask, 0, .rest = theirs))),
			POLICY_DENIED);
		DROPPED(run(TO_POD, PACKET(ETH(), in, ICMP(answer, 0, .rest = mine))),
			POLICY_DENIED);
		FORWARDED(run(FROM_POD, PACKET(POD_ETH, out, ICMP(ask, 0, .rest = mine))));
		FORWARDED(run(TO_POD, PACKET(ETH(), in, ICMP(answer, 0, .rest = mine))));
		/* A request with the identifier of ours is no reply. */
		DROPPED(run(TO_POD, PACKET(ETH(), in, ICMP(ask, 0, .rest = mine))), POLICY_DENIED);
		DROPPED(run(TO_POD, PACKET(ETH(), in, ICMP(answer, 0, .rest = theirs))),
			POLICY_DENIED);
	}
	EXPECT(flow_count() == 2);
}

/* The node may ping; the answer leaves though egress is closed. */
static void echo_from_the_node(void **state)
{
	const struct layer ask = ICMP(8, 0, .rest = 0x00090001),
			   answer = ICMP(0, 0, .rest = 0x00090001);

	(void)state;
	policy(UDP_53);
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(.src = "10.0.0.1"), ask)), POLICY_DENIED);
	DROPPED(run(FROM_POD, PACKET(POD_ETH, IP4(.src = POD4, .dst = "10.0.0.1"), answer)),
		POLICY_DENIED);
	FORWARDED(run_from_host(PACKET(ETH(), IP4(.src = "10.0.0.1"), ask)));
	FORWARDED(run(FROM_POD, PACKET(POD_ETH, IP4(.src = POD4, .dst = "10.0.0.1"), answer)));
}

/* What the node fragmented anew has lost the device that it came by: it is not the node's for that. */
static void fragment_header_from_the_node(void **state)
{
	const struct layer syn = TCP(.flags = SYN, .dport = 80);

	(void)state;
	policy(UDP_53);
	DROPPED(run_from_host(PACKET(ETH(), IP6(), EXT(44, .id = 5), syn)), POLICY_DENIED);
	DROPPED(run_from_host(PACKET(ETH(), IP6(), EXT(0), EXT(44, .id = 5, .more = true), syn,
				     DATA(SIXTEEN))),
		POLICY_DENIED);
	EXPECT(flow_count() == 0);
	FORWARDED(run_from_host(PACKET(ETH(), IP6(), syn)));
}

static void other_icmp(void **state)
{
	(void)state;
	policy(UDP_53);
	const struct row rows[] = {
		{"timestamp request", TO_POD, PACKET(ETH(), IP4(), ICMP(13, 0)), R(POLICY_DENIED)},
		{"IGMP", FROM_POD, PACKET(POD_ETH, POD_IP4(.next = 2), DATA(SIXTEEN)),
		 R(POLICY_DENIED)},
		{"GRE", TO_POD, PACKET(ETH(), IP4(.next = 47), DATA(SIXTEEN)), R(POLICY_DENIED)},
		{"SCTP", TO_POD, PACKET(ETH(), IP4(.next = 132), DATA(SIXTEEN)), R(POLICY_DENIED)},
		{"SCTP cut", TO_POD, PACKET(ETH(), IP4(.next = 132), DATA("01234567")),
		 R(MALFORMED)},
		{"error, nothing in it", TO_POD, PACKET(ETH(), IP4(), ICMP(3, 1)), R(MALFORMED)},
		{"error, its packet cut", TO_POD,
		 PACKET(ETH(), IP4(.len_add = -1), ICMP(3, 1), IP4(.src = POD4, .dst = OUT4), UDP(),
			CUT(69)),
		 R(MALFORMED)},
		{"error about IPv6 in IPv4", TO_POD,
		 PACKET(ETH(), IP4(), ICMP(3, 1), IP6(.src = POD6), UDP()), R(MALFORMED)},
		{"error about an unknown flow", TO_POD,
		 PACKET(ETH(), IP4(), ICMP(3, 1), IP4(.src = POD4, .dst = OUT4), UDP()),
		 R(POLICY_DENIED)},
		{"redirect about an unknown flow", TO_POD,
		 PACKET(ETH(), IP4(), ICMP(5, 1), IP4(.src = POD4, .dst = OUT4), UDP()),
		 R(POLICY_DENIED)},
	};

	CHECK_ROWS(rows);
}

/* Errors belong to the flow of the packet inside them, both ways. */
static void errors_follow_their_flow(void **state)
{
	(void)state;
	policy(UDP_53);
	for (int v6 = 0; v6 < 2; v6++) {
		const struct layer in = v6 ? IP6() : IP4(), out = v6 ? POD_IP6() : POD_IP4();
		const struct layer router =
			v6 ? IP6(.src = "2001:db8::1") : IP4(.src = "192.0.2.1");
		const struct layer err = v6 ? ICMP(1, 4) : ICMP(3, 3),
				   big = v6 ? ICMP(2, 0, .rest = 1300) : ICMP(3, 4, .rest = 1300);

		/* The pod asked a server outside: the server's and a router's errors come in. */
		FORWARDED(run(FROM_POD, PACKET(POD_ETH, out, UDP())));
		FORWARDED(run(TO_POD, PACKET(ETH(), in, err, out, UDP())));
		FORWARDED(run(TO_POD, PACKET(ETH(), router, big, out, UDP())));
		DROPPED(run(TO_POD, PACKET(ETH(), router, err, out, UDP(.sport = 40001))),
			POLICY_DENIED);
		/* About a packet that the pod did not send but was sent. */
		DROPPED(run(TO_POD, PACKET(ETH(), router, err, in, UDP())), POLICY_DENIED);
		/* A client outside asked the pod: the pod's own error goes out. */
		FORWARDED(run(TO_POD, PACKET(ETH(), in, UDP(.sport = 999))));
		FORWARDED(run(FROM_POD, PACKET(POD_ETH, out, err, in, UDP(.sport = 999))));
		DROPPED(run(FROM_POD, PACKET(POD_ETH, out, err, in, UDP(.sport = 998))),
			POLICY_DENIED);
	}
}

/* An error about an echo request, and one about an error. */
static void errors_about_icmp(void **state)
{
	(void)state;
	policy(ANY_PORT_OUT);
	FORWARDED(run(FROM_POD, PACKET(POD_ETH, POD_IP4(), ICMP(8, 0, .rest = 0x70001))));
	FORWARDED(run(TO_POD, PACKET(ETH(), IP4(.src = "192.0.2.1"), ICMP(11, 0), POD_IP4(),
				     ICMP(8, 0, .rest = 0x70001))));
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(.src = "192.0.2.1"), ICMP(11, 0), POD_IP4(),
				   ICMP(8, 0, .rest = 0x80001))),
		POLICY_DENIED);
	DROPPED(run(TO_POD, PACKET(ETH(), IP4(), ICMP(3, 1), POD_IP4(), ICMP(3, 1), IP4(), UDP())),
		POLICY_DENIED);
}

int cases_network(void)
{
	const struct CMUnitTest tests[] = {
		CASE(ipv4),
		CASE(ipv6),
		CASE(fragments_in_one_packet),
		CASE(fragments_follow_the_first),
		CASE(fragment_header_from_the_node),
		CASE(fragmented_tcp),
		CASE(echo_one_way),
		CASE(echo_from_the_node),
		CASE(other_icmp),
		CASE(errors_follow_their_flow),
		CASE(errors_about_icmp),
	};

	return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}
