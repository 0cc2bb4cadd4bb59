// SPDX-License-Identifier: Apache-2.0
/*
 * What keeps a link alive, and who a pod may say it is. All of this is judged by
 * form: no policy is asked, so the policy here allows nothing at all.
 */
#include "cases.h"

/* Isolated both ways: nothing is allowed. */
#define CLOSED                                                                                     \
	"apiVersion: bpfast.io/v1alpha1\n"                                                         \
	"kind: PayloadPolicy\n"                                                                    \
	"metadata: {name: silence, namespace: shop}\n"                                             \
	"spec: {endpointSelector: {}, ingress: [{}], egress: [{}]}\n"

static void ethernet(void **state)
{
	(void)state;
	policy(OPEN);
	const struct row rows[] = {
		{"plain", TO_POD, PACKET(ETH(), IP4(), UDP(), DATA("x")), OK},
		{"VLAN", TO_POD, PACKET(ETH(), VLAN(), IP4(), UDP(), DATA("x")), OK},
		{"QinQ", TO_POD, PACKET(ETH(.proto = 0x88a8), VLAN(), VLAN(), IP6(), UDP()), OK},
		{"three tags", TO_POD, PACKET(ETH(), VLAN(), VLAN(), VLAN(), IP4(), UDP()),
		 R(ETHERTYPE)},
		{"tag cut", TO_POD, PACKET(ETH(), VLAN(), IP4(), CUT(16)), R(MALFORMED)},
		{"second tag cut", TO_POD, PACKET(ETH(), VLAN(), VLAN(), IP4(), CUT(20)),
		 R(MALFORMED)},
		{"unknown EtherType", TO_POD, PACKET(ETH(.proto = 0x88b5), IP4(), UDP()),
		 R(ETHERTYPE)},
		{"802.3 length", TO_POD, PACKET(ETH(.proto = 46), IP4(), UDP()), R(ETHERTYPE)},
		{"MPLS", FROM_POD, PACKET(POD_ETH, VLAN(.proto = 0x8847), POD_IP4(), UDP()),
		 R(ETHERTYPE)},
		{"PPPoE", FROM_POD,
		 PACKET(ETH(.src = MAC_POD, .dst = MAC_NET, .proto = 0x8864), POD_IP4(), UDP()),
		 R(ETHERTYPE)},
		{"padded to 60 bytes", TO_POD,
		 PACKET(ETH(), IP4(), UDP(), DATA("x"), PAD("0123456789abcdef0")), OK},
	};

	CHECK_ROWS(rows);
}

static void arp(void **state)
{
	(void)state;
	policy(CLOSED);
	const struct row rows[] = {
		{"the pod asks", FROM_POD,
		 PACKET(POD_ETH, ARP(.src = POD4, .dst = "10.0.0.1", .sha = MAC_POD)), OK},
		{"the pod answers", FROM_POD,
		 PACKET(POD_ETH, ARP(.op = 2, .src = POD4, .dst = "10.0.0.1", .sha = MAC_POD)), OK},
		{"probe", FROM_POD,
		 PACKET(POD_ETH, ARP(.src = "0.0.0.0", .dst = POD4, .sha = MAC_POD)), OK},
		{"gratuitous", FROM_POD, PACKET(POD_ETH, ARP(.src = POD4, .sha = MAC_POD)), OK},
		{"as the gateway", FROM_POD,
		 PACKET(POD_ETH, ARP(.op = 2, .src = "10.0.0.1", .dst = PEER4, .sha = MAC_POD)),
		 R(SOURCE_NOT_OWN)},
		{"as the gateway, in a VLAN", FROM_POD,
		 PACKET(POD_ETH, VLAN(), ARP(.op = 2, .src = "10.0.0.1", .dst = PEER4)),
		 R(SOURCE_NOT_OWN)},
		{"as another pod, asking", FROM_POD,
		 PACKET(POD_ETH, ARP(.src = PEER4, .dst = "10.0.0.1", .sha = MAC_POD)),
		 R(SOURCE_NOT_OWN)},
		{"from another MAC", FROM_POD, PACKET(ETH(), ARP(.src = POD4)), R(SOURCE_NOT_OWN)},
		{"own address, another's MAC inside", FROM_POD,
		 PACKET(POD_ETH, ARP(.op = 2, .src = POD4, .sha = MAC_NET)), R(SOURCE_NOT_OWN)},
		{"cut", FROM_POD, PACKET(POD_ETH, ARP(.src = POD4), CUT(41)), R(MALFORMED)},
		{"into the pod", TO_POD, PACKET(ETH(), ARP(.src = "10.0.0.1", .dst = POD4)), OK},
		{"into the pod, cut", TO_POD, PACKET(ETH(), ARP(), CUT(30)), R(MALFORMED)},
	};

	CHECK_ROWS(rows);
}

#define ND(...) IP6(.hop_limit = 255, __VA_ARGS__)
#define TARGET_POD "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2"
#define TARGET_PEER "\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\3"
#define ALL_ROUTERS "ff02::2"
#define ROUTER_ALERT B("\5\2\0\0\1\0")

static void neighbours(void **state)
{
	(void)state;
	policy(CLOSED);
	const struct row rows[] = {
		{"solicitation", FROM_POD,
		 PACKET(POD_ETH, ND(.src = POD6, .dst = "ff02::1:ff00:1"), ICMP(135, 0),
			DATA(TARGET_PEER)),
		 OK},
		{"solicitation as another", FROM_POD,
		 PACKET(POD_ETH, ND(.src = PEER6, .dst = "ff02::1:ff00:1"), ICMP(135, 0),
			DATA(TARGET_PEER)),
		 R(SOURCE_NOT_OWN)},
		{"solicitation, hop limit 64", FROM_POD,
		 PACKET(POD_ETH, IP6(.src = POD6), ICMP(135, 0), DATA(TARGET_PEER)), R(MALFORMED)},
		{"duplicate address detection", FROM_POD,
		 PACKET(POD_ETH, ND(.src = "::", .dst = "ff02::1:ff00:2"), ICMP(135, 0),
			DATA(TARGET_POD)),
		 OK},
		{"advertisement", FROM_POD,
		 PACKET(POD_ETH, ND(.src = POD6, .dst = "ff02::1"), ICMP(136, 0), DATA(TARGET_POD)),
		 OK},
		{"advertisement of another's address", FROM_POD,
		 PACKET(POD_ETH, ND(.src = POD6, .dst = "ff02::1"), ICMP(136, 0),
			DATA(TARGET_PEER)),
		 R(SOURCE_NOT_OWN)},
		{"the same behind a destination header", FROM_POD,
		 PACKET(POD_ETH, ND(.src = POD6, .dst = "ff02::1"), EXT(60), ICMP(136, 0),
			DATA(TARGET_PEER)),
		 R(SOURCE_NOT_OWN)},
		{"the same, its target past what is read", FROM_POD,
		 PACKET(POD_ETH, ND(.src = POD6, .dst = "ff02::1"),
			EXT(60, .opt = {(char[118]){0}, 118}), ICMP(136, 0), DATA(TARGET_PEER)),
		 R(MALFORMED)},
		{"advertisement of a neighbour's link-local address", FROM_POD,
		 PACKET(POD_ETH, ND(.src = POD6, .dst = "ff02::1"), ICMP(136, 0),
			DATA("\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\1")),
		 R(SOURCE_NOT_OWN)},
		{"solicitation from a neighbour's link-local address", FROM_POD,
		 PACKET(POD_ETH, ND(.src = "fe80::1", .dst = "ff02::1"), ICMP(135, 0),
			DATA(TARGET_PEER)),
		 R(SOURCE_NOT_OWN)},
		{"a letter in a solicitation", FROM_POD,
		 PACKET(POD_ETH, ND(.src = POD6, .dst = "ff02::1"), ICMP(135, 0),
			DATA(TARGET_PEER "012345678901234567890123456789012345678901234567890123456"
					 "7890123456789")),
		 R(MALFORMED)},
		{"router solicitation from nowhere", FROM_POD,
		 PACKET(POD_ETH, ND(.src = "::", .dst = ALL_ROUTERS), ICMP(133, 0)), OK},
		{"router advertisement", FROM_POD,
		 PACKET(POD_ETH, ND(.src = "fe80::2", .dst = "ff02::1"), ICMP(134, 0),
			DATA("\0\0\0\0\0\0\0\0")),
		 R(SOURCE_NOT_OWN)},
		{"redirect", FROM_POD,
		 PACKET(POD_ETH, ND(.src = "fe80::2", .dst = PEER6), ICMP(137, 0),
			DATA(TARGET_POD TARGET_POD)),
		 R(SOURCE_NOT_OWN)},
		{"listener report", FROM_POD,
		 PACKET(POD_ETH, IP6(.hop_limit = 1, .src = "::", .dst = "ff02::16"),
			EXT(0, .opt = ROUTER_ALERT), ICMP(143, 0, .rest = 1),
			DATA("\4\0\0\0\xff\2\0\0\0\0\0\0\0\0\0\1\xff\0\0\2")),
		 OK},
		{"listener report as another", FROM_POD,
		 PACKET(POD_ETH, IP6(.hop_limit = 1, .src = PEER6, .dst = "ff02::16"),
			EXT(0, .opt = ROUTER_ALERT), ICMP(143, 0)),
		 R(SOURCE_NOT_OWN)},
		{"listener report that would leave the link", FROM_POD,
		 PACKET(POD_ETH, IP6(.hop_limit = 2, .src = POD6, .dst = OUT6), ICMP(143, 0),
			DATA("secret")),
		 R(MALFORMED)},
		{"from another MAC", FROM_POD,
		 PACKET(ETH(), ND(.src = POD6, .dst = "ff02::1"), ICMP(136, 0), DATA(TARGET_POD)),
		 R(SOURCE_NOT_OWN)},
		{"advertisement into the pod", TO_POD,
		 PACKET(ETH(), ND(.src = "fd00::1", .dst = POD6), ICMP(136, 0),
			DATA("\xfd\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1")),
		 OK},
		{"router advertisement into the pod", TO_POD,
		 PACKET(ETH(), ND(.src = "fe80::1", .dst = "ff02::1"), ICMP(134, 0),
			DATA("\0\0\0\0\0\0\0\0")),
		 OK},
		{"advertisement from afar", TO_POD,
		 PACKET(ETH(), IP6(.hop_limit = 254, .src = "fd00::1", .dst = POD6), ICMP(136, 0),
			DATA(TARGET_PEER)),
		 R(MALFORMED)},
		{"listener query into the pod", TO_POD,
		 PACKET(ETH(), IP6(.hop_limit = 1, .src = "fe80::1", .dst = "ff02::1"),
			EXT(0, .opt = ROUTER_ALERT), ICMP(130, 0), DATA(TARGET_POD)),
		 OK},
	};

	CHECK_ROWS(rows);
}

static void whose_address(void **state)
{
	(void)state;
	policy(OPEN);
	const struct row rows[] = {
		{"own IPv4", FROM_POD, PACKET(POD_ETH, POD_IP4(), UDP()), OK},
		{"own IPv6", FROM_POD, PACKET(POD_ETH, POD_IP6(), UDP()), OK},
		{"another's IPv4", FROM_POD, PACKET(POD_ETH, IP4(.src = PEER4, .dst = OUT4), UDP()),
		 R(SOURCE_NOT_OWN)},
		{"another's IPv6", FROM_POD, PACKET(POD_ETH, IP6(.src = PEER6, .dst = OUT6), UDP()),
		 R(SOURCE_NOT_OWN)},
		{"the node's address", FROM_POD,
		 PACKET(POD_ETH, IP4(.src = "10.0.0.1", .dst = OUT4), TCP(.flags = SYN)),
		 R(SOURCE_NOT_OWN)},
		{"0.0.0.0, no DHCP", FROM_POD,
		 PACKET(POD_ETH, IP4(.src = "0.0.0.0", .dst = OUT4), UDP()), R(SOURCE_NOT_OWN)},
		{"own IPv4 in IPv6", FROM_POD,
		 PACKET(POD_ETH, IP6(.src = "::ffff:10.0.0.2", .dst = OUT6), UDP()), R(MALFORMED)},
		{"to an IPv4 in IPv6", FROM_POD,
		 PACKET(POD_ETH, IP6(.src = POD6, .dst = "::ffff:10.0.0.3"), UDP()), R(MALFORMED)},
		{"another MAC", FROM_POD, PACKET(ETH(), POD_IP4(), UDP()), R(SOURCE_NOT_OWN)},
		{"a fragment as another", FROM_POD,
		 PACKET(POD_ETH, IP4(.src = PEER4, .dst = OUT4, .more = true), UDP(),
			DATA("0123456789abcdef0123456789abcdef")),
		 R(SOURCE_NOT_OWN)},
		{"an error as another, about an own flow", FROM_POD,
		 PACKET(POD_ETH, IP4(.src = PEER4, .dst = OUT4), ICMP(3, 3), IP4(), UDP()),
		 R(SOURCE_NOT_OWN)},
		{"the same, IPv6", FROM_POD,
		 PACKET(POD_ETH, IP6(.src = PEER6, .dst = OUT6), ICMP(1, 4), IP6(), UDP()),
		 R(SOURCE_NOT_OWN)},
		{"an error as itself, about another's flow", FROM_POD,
		 PACKET(POD_ETH, POD_IP4(), ICMP(3, 3), IP4(.dst = PEER4), UDP()),
		 R(SOURCE_NOT_OWN)},
		{"own address as the sender, into the pod", TO_POD,
		 PACKET(ETH(), IP4(.src = POD4), UDP()), OK}, /* hairpin */
	};

	CHECK_ROWS(rows);
}

/* An endpoint whose MAC is not known: only addresses are checked. */
static void unknown_mac(void **state)
{
	struct bpfast_endpoint ep = the_endpoint();

	(void)state;
	policy(OPEN);
	memset(ep.mac, 0, 6);
	set_endpoint(&ep);
	FORWARDED(run(FROM_POD, PACKET(ETH(), POD_IP4(), UDP())));
	DROPPED(run(FROM_POD, PACKET(ETH(), IP4(.src = PEER4), UDP())), SOURCE_NOT_OWN);
}

static void most_addresses(void **state)
{
	struct bpfast_endpoint ep = the_endpoint();

	(void)state;
	policy(OPEN);
	ep.addr_count = BPFAST_ENDPOINT_ADDRS;
	memset(ep.addr[BPFAST_ENDPOINT_ADDRS - 1], 0, 16);
	ep.addr[BPFAST_ENDPOINT_ADDRS - 1][0] = 0xfd;
	ep.addr[BPFAST_ENDPOINT_ADDRS - 1][15] = 9;
	set_endpoint(&ep);
	FORWARDED(run(FROM_POD, PACKET(POD_ETH, IP6(.src = "fd00::9"), UDP())));
	ep.addr_count--;
	set_endpoint(&ep);
	DROPPED(run(FROM_POD, PACKET(POD_ETH, IP6(.src = "fd00::9"), UDP())), SOURCE_NOT_OWN);
	ep.addr_count = 0;
	set_endpoint(&ep);
	DROPPED(run(FROM_POD, PACKET(POD_ETH, POD_IP4(), UDP())), SOURCE_NOT_OWN);
}

/* A pod without an address asks for one; only who asked is answered. */
static void dhcp(void **state)
{
	const struct frame *discover =
		PACKET(POD_ETH, IP4(.src = "0.0.0.0", .dst = "255.255.255.255"),
		       UDP(.sport = 68, .dport = 67), DATA("discover"));
	const struct frame *offer = PACKET(ETH(), IP4(.src = "10.0.0.1", .dst = "255.255.255.255"),
					   UDP(.sport = 67, .dport = 68), DATA("offer"));
	const struct frame *renewal =
		PACKET(POD_ETH, IP4(.src = POD4, .dst = "10.0.0.1"), UDP(.sport = 68, .dport = 67));

	(void)state;
	policy(CLOSED);
	DROPPED(run(TO_POD, offer), POLICY_DENIED);
	FORWARDED(run(FROM_POD, discover));
	FORWARDED(run(TO_POD, offer));
	FORWARDED(run(FROM_POD, discover));
	EXPECT(flow_count() == 1);
	DROPPED(run(FROM_POD, renewal), POLICY_DENIED);
	/* Nobody asks one of them without an address: policy cannot be gone round so. */
	DROPPED(run(FROM_POD, PACKET(POD_ETH, IP4(.src = "0.0.0.0", .dst = OUT4),
				     UDP(.sport = 68, .dport = 67), DATA("secret"))),
		SOURCE_NOT_OWN);
	DROPPED(run(FROM_POD, PACKET(POD_ETH, IP6(.src = "::", .dst = OUT6),
				     UDP(.sport = 68, .dport = 67), DATA("secret"))),
		SOURCE_NOT_OWN);
	DROPPED(run(FROM_POD, PACKET(POD_ETH, IP4(.src = "0.0.0.0", .dst = OUT4),
				     UDP(.sport = 68, .dport = 53))),
		SOURCE_NOT_OWN);
}

int cases_link(void)
{
	const struct CMUnitTest tests[] = {
		CASE(ethernet),	     CASE(arp),		CASE(neighbours),
		CASE(whose_address), CASE(unknown_mac), CASE(most_addresses),
		CASE(dhcp),
	};

	return cmocka_run_group_tests_name("link", tests, NULL, NULL);
}
