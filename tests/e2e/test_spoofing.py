# SPDX-License-Identifier: Apache-2.0
"""A pod with raw sockets: it may send only as itself."""

import time

import pytest
from lab import servers
from lab.packets import ARP, ICMP, IP, UDP, Dot1Q, Ether, ICMPv6EchoRequest, ICMPv6ND_NA, IPv6, Sniffer, fragment, send
from lab.probe import ping, tcp, udp
from lab.policy import network, peers


class Room:
    def __init__(self, node):
        self.node = node
        self.evil, self.cart, self.web = node.pod("evil"), node.pod("cart"), node.pod("web")
        self.web.serve(servers.UdpEcho(self.web.ns, 5353))
        self.web.serve(servers.Echo(self.web.ns, 80))
        self.mac = {p.name: p.mac() for p in node.pods.values()}

    def frame(self, payload, **ether):
        return Ether(src=ether.get("src", self.mac["evil"]), dst=ether.get("dst", self.mac["web"])) / payload

    def arrives(self, frame, match, seconds):
        with Sniffer(self.web.ns) as s:
            for _ in range(2):
                send(self.evil.ns, frame)
            return s.wait(match, seconds) is not None


@pytest.fixture(scope="module")
def room(nodes):
    return Room(nodes())


def cases(room):
    """name -> (frame, how to know it at web)"""
    cart, web, node = room.cart, room.web, room.node
    out = {}

    def marked(name, build, **ether):
        """build(payload): the packet; the payload is unlike any other."""
        mark = b"mark-%d-%d" % (len(out), time.monotonic_ns())
        packet = build(mark)
        out[name] = room.frame(packet, **ether), lambda f: mark in bytes(f)

    def arp(name, match, **fields):
        dst = room.mac["web"] if fields["op"] == 2 else "ff:ff:ff:ff:ff:ff"
        out[name] = room.frame(ARP(hwsrc=room.mac["evil"], **fields), dst=dst), lambda f: ARP in f and f[ARP].hwsrc == room.mac["evil"] and match(f[ARP])

    udp4 = lambda src: lambda mark: IP(src=src, dst=web.ip4) / UDP(sport=1234, dport=5353) / mark
    udp6 = lambda src: lambda mark: IPv6(src=src, dst=web.ip6) / UDP(sport=1234, dport=5353) / mark
    marked("source of another pod", udp4(cart.ip4))
    marked("source of the node", udp4(node.ip4))
    marked("source from outside", udp4("8.8.8.8"))
    marked("loopback source", udp4("127.0.0.1"))
    marked("source 0.0.0.0", udp4("0.0.0.0"))
    marked("IPv6 source of another pod", udp6(cart.ip6))
    marked("IPv6 source of the node", udp6(node.ip6))
    marked("mapped source", udp6("::ffff:" + cart.ip4))
    marked("echo request of another", lambda mark: IP(src=cart.ip4, dst=web.ip4) / ICMP() / mark)
    marked("IPv6 echo request of another", lambda mark: IPv6(src=cart.ip6, dst=web.ip6) / ICMPv6EchoRequest(data=mark))
    marked("VLAN tag before the source of another", lambda mark: Dot1Q(vlan=0) / udp4(cart.ip4)(mark))
    marked("two VLAN tags before the source of another", lambda mark: Dot1Q(vlan=5) / Dot1Q(vlan=6) / udp4(cart.ip4)(mark))
    marked("another's MAC", udp4(room.evil.ip4), src=room.mac["cart"])
    marked("fragment with the source of another", lambda mark: fragment(udp4(cart.ip4)(mark + b"x" * 600), 256)[0])
    marked("neighbour advertisement for another", lambda mark: IPv6(src=room.evil.ip6, dst=web.ip6, hlim=255) / ICMPv6ND_NA(tgt=cart.ip6, R=0, S=1, O=1) / mark)
    arp("ARP reply for another", lambda a: a.op == 2 and a.psrc == cart.ip4, op=2, psrc=cart.ip4, hwdst=room.mac["web"], pdst=web.ip4)
    arp("ARP request as another", lambda a: a.psrc == cart.ip4 and a.pdst == web.ip4 and a.op == 1, op=1, psrc=cart.ip4, pdst=web.ip4)
    arp("gratuitous ARP", lambda a: a.psrc == cart.ip4 == a.pdst, op=1, psrc=cart.ip4, pdst=cart.ip4)
    return out


def arriving(room, seconds):
    """Names of the cases that arrive at web."""
    waiting, arrived = cases(room), set()
    with Sniffer(room.web.ns) as s:
        for _ in range(2):
            send(room.evil.ns, *(frame for frame, _ in waiting.values()))
        end = time.monotonic() + seconds
        while time.monotonic() < end and len(arrived) < len(waiting):
            time.sleep(0.05)
            for f in map(Ether, list(s.frames)):
                arrived |= {name for name, (_, match) in waiting.items() if match(f)}
    return arrived


def test_spoofing(room):
    """All of it works without us, none of it with us."""
    assert arriving(room, 3) == set(cases(room))
    room.node.start_agent()
    for pod in room.node.pods.values():
        pod.guard()
    assert arriving(room, 0.6) == set()
    # What is honest still passes.
    for _ in range(2):
        assert udp(room.evil, room.web.ip4, 5353) == "ok"
        assert udp(room.evil, room.web.ip6, 5353) == "ok"
        assert ping(room.evil, room.web.ip4) == "ok"
        room.evil.run("ip", "neigh", "flush", "all")
        room.web.run("ip", "neigh", "flush", "all")


def test_spoofed_drops_have_a_reason(room):
    records = [f for f in room.node.observe() if f["flow"].get("drop_reason_desc", "").lower() == "source-not-own"]
    assert records
    assert records[-1]["flow"]["verdict"] == "DROPPED"


def test_new_address_is_used_only_when_it_is_declared(room):
    extra = room.evil.ip4.rsplit(".", 1)[0] + ".99"
    room.evil.ns.ip(f"addr add {extra}/24 dev eth0")
    mark = b"second-address"
    frame = lambda: room.frame(IP(src=extra, dst=room.web.ip4) / UDP(sport=1234, dport=5353) / mark)
    assert not room.arrives(frame(), lambda f: mark in bytes(f), 0.25)
    room.evil.unguard()
    room.evil.guard("--ip", extra, "--ip", room.evil.ip4, "--ip", room.evil.ip6)
    assert room.arrives(frame(), lambda f: mark in bytes(f), 2)


def test_the_nodes_address_is_no_pass(room):
    """The node is known by how its packets arrive, not by their source address."""
    node = room.node
    node.apply(network("web", {"app": "web"}, ingress=[]))
    try:
        assert tcp(node.host, room.web.ip4, 80) == "ok"
        assert tcp(room.cart, room.web.ip4, 80) == "blocked"
        # A pod that masquerades as the node: the node itself rewrites the source on the way.
        mark = b"as-the-node"
        frame = room.frame(IP(src=node.ip4, dst=room.web.ip4) / UDP(sport=1, dport=5353) / mark)
        assert not room.arrives(frame, lambda f: mark in bytes(f), 0.25)
        node.only(network("web", {"app": "web"}, ingress=[peers({"app": "cart"})]))
        assert tcp(room.cart, room.web.ip4, 80) == "ok"
    finally:
        node.clear_policies()
