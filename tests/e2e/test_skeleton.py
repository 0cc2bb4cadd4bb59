# SPDX-License-Identifier: Apache-2.0
"""NetworkPolicy on connections: both hook kinds, bridged and routed pods, IPv4 and IPv6."""

import os

import pytest
from lab import servers
from lab.policy import join, network, peers
from lab.probe import ping, tcp, udp


class Room:
    """cart, stranger and web; web has a server on TCP 80, TCP 9000 and UDP 5353."""

    def __init__(self, node):
        self.node = node
        self.cart = node.pod("cart")
        self.stranger = node.pod("stranger")
        self.web = node.pod("web")
        self.web.serve(servers.Echo(self.web.ns, 80))
        self.web.serve(servers.Echo(self.web.ns, 9000))
        self.web.serve(servers.UdpEcho(self.web.ns, 5353))
        self.cart.serve(servers.Echo(self.cart.ns, 80))

    def assert_open(self):
        """Nothing stands in the way."""
        for pod in (self.cart, self.stranger):
            for address in (self.web.ip4, self.web.ip6):
                assert tcp(pod, address, 80, 2) == "ok"
                assert tcp(pod, address, 9000, 2) == "ok"
                assert udp(pod, address, 5353, timeout=2) == "ok"
                assert ping(pod, address, 2) == "ok"
        for address in (self.cart.ip4, self.cart.ip6):
            assert tcp(self.web, address, 80, 2) == "ok"
            assert ping(self.web, address, 2) == "ok"


KINDS = ["tcx", "clsact", "routed"]


def pytest_generate_tests(metafunc):
    """Everything over both versions with TCX; the two variants share them between each other."""
    if "version" in metafunc.fixturenames:
        combinations = [("tcx", 4), ("tcx", 6), ("clsact", 4), ("routed", 6)]
        metafunc.parametrize("room,version", combinations, indirect=True, scope="module", ids=[f"{k}-ipv{v}" for k, v in combinations])
    elif "room" in metafunc.fixturenames:
        metafunc.parametrize("room", KINDS, indirect=True, scope="module")


@pytest.fixture(scope="module")
def room(request, nodes):
    node = nodes(routed=request.param == "routed", clsact=request.param == "clsact")
    room = Room(node)
    room.assert_open()  # without us
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    return room


@pytest.fixture(scope="module")
def version(request):
    return request.param


@pytest.fixture(autouse=True)
def clean(request, room):
    room.node.clear_policies()
    if "version" in request.fixturenames:
        version = request.getfixturevalue("version")
        room.to = lambda pod: pod.ip4 if version == 4 else pod.ip6


def test_guarded_without_policy_is_open(room):
    room.node.clear_policies()
    room.assert_open()


def test_hook_kind(room):
    kernel = room.node.cli("-o", "json", "status").json["kernel"]
    old = [int(n) for n in os.uname().release.split(".")[:2]] < [6, 6]  # no TCX
    assert kernel["hook"] == ("clsact" if room.node.clsact or old else "tcx")


def test_ingress_by_label_and_port(room, version):
    web = room.to(room.web)
    room.node.apply(network("web", {"app": "web"}, ingress=[{**peers({"app": "cart"}), "ports": [{"port": 80}]}]))
    assert tcp(room.cart, web, 80) == "ok"
    assert tcp(room.cart, web, 9000) == "blocked"
    assert tcp(room.stranger, web, 80) == "blocked"
    assert udp(room.cart, web, 5353) == "blocked"
    assert ping(room.cart, web) == "blocked"
    # Only ingress of web is isolated, and replies to it are allowed.
    assert tcp(room.web, room.to(room.cart), 80) == "ok"
    assert ping(room.web, room.to(room.cart)) == "ok"
    room.node.clear_policies()
    assert tcp(room.stranger, web, 80, 2) == "ok"


def test_node_reaches_its_pods(room, version):
    web = room.to(room.web)
    room.node.apply(network("web", {"app": "web"}, ingress=[]))
    assert tcp(room.node.host, web, 80) == "ok"
    assert ping(room.node.host, web) == "ok"
    assert tcp(room.cart, web, 80) == "blocked"


def test_egress(room, version):
    web = room.to(room.web)
    room.node.apply(
        network("cart", {"app": "cart"}, egress=[{"to": [{"podSelector": {"matchLabels": {"app": "web"}}}], "ports": [{"port": 9000}]}])
    )
    assert tcp(room.cart, web, 9000) == "ok"
    assert tcp(room.cart, web, 80) == "blocked"
    assert udp(room.cart, web, 5353) == "blocked"
    assert tcp(room.stranger, web, 80) == "ok"
    assert tcp(room.web, room.to(room.cart), 80) == "ok"  # ingress is not isolated


def test_both_ends_must_allow(room, version):
    web = room.to(room.web)
    allow_in = network("in", {"app": "web"}, ingress=[{**peers({"app": "cart"}), "ports": [{"port": 80}]}])
    room.node.apply(join(allow_in, network("out", {"app": "cart"}, egress=[])))
    assert tcp(room.cart, web, 80) == "blocked"
    room.node.only(allow_in)
    assert tcp(room.cart, web, 80) == "ok"


def test_policies_add_up(room, version):
    web = room.to(room.web)
    room.node.apply(
        join(
            network("a", {"app": "web"}, ingress=[{**peers({"app": "cart"}), "ports": [{"port": 80}]}]),
            network("b", {"app": "web"}, ingress=[{**peers({"app": "stranger"}), "ports": [{"port": 9000}]}]),
            network("c", {}, ingress=[]),
        )
    )
    assert tcp(room.cart, web, 80) == "ok"
    assert tcp(room.stranger, web, 9000) == "ok"
    assert tcp(room.cart, web, 9000) == "blocked"
    assert tcp(room.stranger, web, 80) == "blocked"
    assert tcp(room.web, room.to(room.cart), 80) == "blocked"  # "c" isolates everybody


def test_udp_both_ways(room, version):
    web = room.to(room.web)
    room.node.apply(network("dns", {"app": "web"}, ingress=[{**peers({"app": "cart"}), "ports": [{"port": 5353, "protocol": "UDP"}]}]))
    assert udp(room.cart, web, 5353) == "ok"
    assert udp(room.stranger, web, 5353) == "blocked"
    assert tcp(room.cart, web, 80) == "blocked"


def test_udp_in_fragments(room, version):
    web = room.to(room.web)
    assert udp(room.stranger, web, 5353, b"x" * 5000, 2) == "ok"
    room.node.apply(network("dns", {"app": "web"}, ingress=[{**peers({"app": "cart"}), "ports": [{"port": 5353, "protocol": "UDP"}]}]))
    assert udp(room.cart, web, 5353, b"x" * 5000, 2) == "ok"
    assert udp(room.stranger, web, 5353, b"x" * 5000) == "blocked"


def test_echo_one_way(room, version):
    """Replies pass, requests the other way do not."""
    web, cart = room.to(room.web), room.to(room.cart)
    room.node.apply(join(network("web", {"app": "web"}, ingress=[peers({"app": "cart"})]), network("cart", {"app": "cart"}, ingress=[])))
    assert ping(room.cart, web) == "ok"
    assert ping(room.web, cart) == "blocked"
    assert ping(room.stranger, web) == "blocked"


def test_port_range(room, version):
    web = room.to(room.web)
    room.node.apply(network("web", {"app": "web"}, ingress=[{**peers({"app": "cart"}), "ports": [{"port": 8000, "endPort": 9500, "protocol": "TCP"}]}]))
    assert tcp(room.cart, web, 9000) == "ok"
    assert tcp(room.cart, web, 8001) == "refused"  # allowed, and nobody listens
    assert tcp(room.cart, web, 80) == "blocked"


def test_ip_block_with_exception(room, version):
    web = room.to(room.web)
    net = "10.0.0.0/8" if version == 4 else "fd00::/16"
    one = room.to(room.stranger) + ("/32" if version == 4 else "/128")
    room.node.apply(network("web", {"app": "web"}, ingress=[{"from": [{"ipBlock": {"cidr": net, "except": [one]}}]}]))
    assert tcp(room.cart, web, 80) == "ok"
    assert tcp(room.stranger, web, 80) == "blocked"


def test_change_takes_hold_when_apply_returns(room, version):
    web = room.to(room.web)
    allow = network("web", {"app": "web"}, ingress=[peers({"app": "cart"})])
    deny = network("web", {"app": "web"}, ingress=[])
    for _ in range(5):
        room.node.apply(allow)
        assert tcp(room.cart, web, 80) == "ok"
        room.node.apply(deny)
        assert tcp(room.cart, web, 80, 0.2) == "blocked"


def test_labels_of_an_endpoint_change(room, version):
    web = room.to(room.web)
    room.node.apply(network("web", {"app": "web"}, ingress=[peers({"app": "cart"})]))
    assert tcp(room.stranger, web, 80) == "blocked"
    room.node.cli("endpoint", "label", "stranger", "app=cart")
    try:
        assert tcp(room.stranger, web, 80) == "ok"
    finally:
        room.node.cli("endpoint", "label", "stranger", "app=stranger")
    assert tcp(room.stranger, web, 80) == "blocked"


def test_policy_before_endpoint(room, version):
    """A pod born under a policy is under it with its first packet."""
    node = room.node
    node.apply(network("late", {"app": "late"}, ingress=[peers({"app": "cart"})]))
    late = node.pods.get("late") or node.pod("late")
    if not late.servers:
        late.serve(servers.Echo(late.ns, 80))
    assert tcp(room.stranger, room.to(late), 80, 2) == "ok"  # not an endpoint yet
    late.guard()
    try:
        assert tcp(room.stranger, room.to(late), 80) == "blocked"
        assert tcp(room.cart, room.to(late), 80) == "ok"
    finally:
        late.unguard()
    assert tcp(room.stranger, room.to(late), 80, 2) == "ok"


def test_namespaces(room, version):
    node = room.node
    other = node.pods.get("other") or node.pod("other", {"app": "cart"}, namespace="shop")
    web = room.to(room.web)
    if not other.guarded:
        other.guard()
    node.apply(network("web", {"app": "web"}, ingress=[peers({"app": "cart"})]))
    assert tcp(other, web, 80) == "blocked"  # a podSelector alone means the policy's own namespace
    assert tcp(room.cart, web, 80) == "ok"
    shop = {"from": [{"namespaceSelector": {"matchLabels": {"team": "red"}}, "podSelector": {"matchLabels": {"app": "cart"}}}]}
    label = "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {team: red}}\n"
    node.apply(join(label, network("web", {"app": "web"}, ingress=[shop])))
    assert tcp(other, web, 80) == "ok"
    assert tcp(room.cart, web, 80) == "blocked"
    node.apply(label.replace("red", "blue"))
    assert tcp(other, web, 80) == "blocked"
