# SPDX-License-Identifier: Apache-2.0
"""Endpoints come and go, tables fill up and empty again, files change: the agent over time."""

import os
import socket

import pytest
from lab import servers
from lab.http import Connection, ask, get
from lab.packets import IP, UDP, Ether, send
from lab.policy import http, join, network, payload, peers
from lab.probe import tcp, udp
from lab.wait import until

CART = {"app": "cart"}


@pytest.fixture(scope="module")
def room(nodes):
    node = nodes()
    with open(node.config, "w", encoding="utf-8") as f:
        f.write("flows: 1024\nflows-per-endpoint: 1024\nother-idle: 5\n")
    node.cart, node.stranger, node.web = node.pod("cart"), node.pod("stranger"), node.pod("web")
    node.echo = node.web.serve(servers.Echo(node.web.ns, 80))
    node.web.serve(servers.UdpEcho(node.web.ns, 5353))
    assert tcp(node.stranger, node.web.ip4, 80, 2) == "ok"
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    return node


@pytest.fixture(autouse=True)
def clean(room):
    room.clear_policies()
    room.echo.clear()


def status(node):
    return node.cli("-o", "json", "status").json


def flood(node, sport=1024, count=2500):
    """One datagram from each of many ports: as many flows as the table holds, and more."""
    frame = bytearray(bytes(Ether(src=node.stranger.mac(), dst=node.web.mac()) / IP(src=node.stranger.ip4, dst=node.web.ip4) / UDP(sport=1, dport=5353, chksum=0) / b"x"))
    frames = []
    for port in range(sport, sport + count):
        frame[34:36] = port.to_bytes(2, "big")
        frames.append(bytes(frame))
    send(node.stranger.ns, *frames)


def test_full_flow_table(room):
    """New connections are denied by name; what is established goes on; the table empties again."""
    node = room
    node.apply(payload("web", {"app": "web"}, ingress=[http(CART, 80, {"path": "/ok.*"}), {"toPorts": [{"ports": [{"port": "5353", "protocol": "UDP"}]}]}]))
    with Connection(node.cart.ns, node.web.ip4, 80) as c:
        assert c.send(get("/ok")).response().status == 200
        flood(node)
        assert status(node)["flows"]["used"] >= 1000
        assert c.send(get("/ok/still")).response().status == 200
        assert tcp(node.cart, node.web.ip4, 80) == "blocked"
        assert "flow-table-full" in str(status(node)["drops"])
        assert "flow-table-full" in node.cli("status").out
        assert c.send(get("/not")).response().status == 403
    node.kill_agent()  # forgetting needs no user space
    until(lambda: tcp(node.cart, node.web.ip4, 80, 0.3) == "ok", 15, "idle flows make room", every=0.3)
    node.start_agent()
    until(lambda: status(node)["flows"]["used"] < 100, 15, "the table empties", every=0.3)
    assert status(node)["policies"]["applied"] == 1


def test_flows_of_closed_connections_go(room):
    for _ in range(50):
        assert ask(room.cart.ns, room.web.ip4, 80, get("/x")) == 200
    used = status(room)["flows"]["used"]
    assert used >= 100
    until(lambda: status(room)["flows"]["used"] < used - 90, 25, "closed connections leave the table", every=0.5)


def test_pod_that_goes_and_comes_back(room):
    node = room
    node.apply(network("guest", {"app": "guest"}, ingress=[peers(CART)]))
    for _ in range(2):
        guest = node.pod("guest")
        guest.serve(servers.Echo(guest.ns, 80))
        assert tcp(node.stranger, guest.ip4, 80, 2) == "ok"
        guest.guard()
        assert tcp(node.stranger, guest.ip4, 80) == "blocked"
        assert tcp(node.cart, guest.ip4, 80) == "ok"
        node.pods.pop("guest").remove()
        until(lambda: "guest" not in node.cli("endpoint", "list").out, 5, "the agent notices that the interface is gone")
    assert status(node)["endpoints"] == 3


def test_udp_to_a_closed_port(room):
    """The ICMP error belongs to its flow: it comes back through the policy."""
    node = room
    assert udp(node.cart, node.web.ip4, 999) == "refused"
    node.apply(
        join(
            network("web", {"app": "web"}, ingress=[{**peers(CART), "ports": [{"port": 999, "protocol": "UDP"}]}], egress=[]),
            network("cart", CART, ingress=[]),
        )
    )
    for address in (node.web.ip4, node.web.ip6):
        assert udp(node.cart, address, 999) == "refused"
        assert udp(node.cart, address, 998) == "blocked"


def test_named_port(room):
    node = room
    node.web.unguard()
    node.web.guard("--port", "http=80/TCP")
    try:
        node.apply(network("web", {"app": "web"}, ingress=[{**peers(CART), "ports": [{"port": "http"}]}]))
        assert tcp(node.cart, node.web.ip4, 80) == "ok"
        node.only(network("web", {"app": "web"}, ingress=[{**peers(CART), "ports": [{"port": "other"}]}]))
        assert tcp(node.cart, node.web.ip4, 80) == "blocked"
    finally:
        node.web.unguard()
        node.web.guard()


def mptcp_socket():
    try:
        return socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
    except OSError:
        return None


def test_multipath_tcp_becomes_plain_tcp(room):
    """Its mappings would let a sender reorder bytes beneath the policy."""
    node = room
    with node.web.ns.inside():
        server = mptcp_socket()
    if server is None:
        pytest.skip("this kernel has no MPTCP")
    server.bind((node.web.ip4, 7000))
    server.listen(8)

    def is_mptcp():
        with node.cart.ns.inside():
            c = mptcp_socket()
        c.settimeout(2)
        c.connect((node.web.ip4, 7000))
        s, _ = server.accept()
        try:
            c.send(get("/ok"))
            assert s.recv(1000) == get("/ok")
            # MPTCP_INFO answers only while the connection really speaks MPTCP.
            try:
                return c.getsockopt(284, 1, 4) is not None
            except OSError:
                return False
        finally:
            c.close()
            s.close()

    try:
        assert is_mptcp()
        node.apply(payload("web", {"app": "web"}, ingress=[http(CART, 7000, {"path": "/ok"})]))
        assert not is_mptcp()
    finally:
        server.close()


def test_load_of_short_connections(room):
    node = room
    node.clear_policies()
    web = node.pods.get("fast") or node.pod("fast")
    if not web.servers:
        web.serve(servers.nginx(web.ns, 80))
        web.guard()
    node.apply(payload("fast", {"app": "fast"}, ingress=[http(CART, 80, {"path": "/hello"})]))
    out = node.cart.run("wrk", "-t1", "-c8", "-d1s", f"http://{web.ip4}/hello").stdout
    assert "Socket errors" not in out and "Non-2xx" not in out, out
    # The table of this room holds 1,024 flows: few enough connections, one after the other.
    for _ in range(100):
        assert ask(node.cart.ns, web.ip4, 80, get("/hello", headers=("Connection: close",))) == 200


def test_policy_directory(nodes):
    """Files are in force when the agent is ready; changes are taken; a bad file changes nothing and is named."""
    node = nodes()
    cart, stranger, web = node.pod("cart"), node.pod("stranger"), node.pod("web")
    web.serve(servers.Echo(web.ns, 80))
    path = f"{node.policy_dir}/web.yaml"

    def write(text):
        with open(path + ".new", "w", encoding="utf-8") as f:
            f.write(text)
        os.rename(path + ".new", path)

    only = lambda who: network("web", {"app": "web"}, ingress=[peers({"app": who})])
    write(only("cart"))
    assert tcp(stranger, web.ip4, 80, 2) == "ok"
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    assert tcp(cart, web.ip4, 80, 2) == "ok"
    assert tcp(stranger, web.ip4, 80) == "blocked"
    write(only("stranger"))
    until(lambda: tcp(stranger, web.ip4, 80, 0.2) == "ok", 5, "the changed file is in force")
    assert tcp(cart, web.ip4, 80) == "blocked"
    write("kind: nonsense\n")
    until(lambda: "web.yaml" in status(node)["policies"]["directory_error"], 5, "status names the bad file")
    assert tcp(stranger, web.ip4, 80, 2) == "ok"
    assert tcp(cart, web.ip4, 80) == "blocked"
    os.unlink(path)
    until(lambda: tcp(cart, web.ip4, 80, 0.2) == "ok", 5, "the removed file is out of force")


def test_agent_gives_up_what_it_does_not_need(room):
    with open(f"/proc/{room.agent.pid}/status", encoding="ascii") as f:
        fields = dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)
    effective = int(fields["CapEff"], 16)
    assert bin(effective).count("1") <= 8, f"CapEff {effective:x}"
    for name, bit in (("CAP_SYS_MODULE", 16), ("CAP_SYS_PTRACE", 19), ("CAP_SYS_BOOT", 22), ("CAP_CHOWN", 0), ("CAP_SETUID", 7)):
        assert not effective >> bit & 1, f"{name} is held"
