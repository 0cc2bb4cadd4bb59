# SPDX-License-Identifier: Apache-2.0
"""The kernel holds to the policy without the agent; a new agent goes on where the old one was."""

import signal
import time

import pytest
from lab import servers
from lab.http import Connection, get
from lab.policy import http, join, network, payload, peers
from lab.probe import tcp, udp
from lab.wait import until


class Room:
    pass


@pytest.fixture(scope="module")
def tcx(nodes):
    return make(nodes, clsact=False)


@pytest.fixture(scope="module")
def clsact(nodes):
    return make(nodes, clsact=True)


@pytest.fixture
def room(tcx):
    return fresh(tcx)


@pytest.fixture(params=["tcx", "clsact"])
def either(request):
    return fresh(request.getfixturevalue(request.param))


def fresh(room):
    room.node.clear_policies()
    room.echo.clear()
    return room


def make(nodes, clsact):
    room = Room()
    room.node = node = nodes(clsact=clsact)
    room.cart, room.stranger, room.web = node.pod("cart"), node.pod("stranger"), node.pod("web")
    room.echo = room.web.serve(servers.Echo(room.web.ns, 80))
    room.web.serve(servers.UdpEcho(room.web.ns, 5353))
    for pod in (room.cart, room.stranger):
        assert tcp(pod, room.web.ip4, 80, 2) == "ok"  # without us
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    return room


L4 = network("web", {"app": "web"}, ingress=[{**peers({"app": "cart"}), "ports": [{"port": 80}]}])
L7 = payload("web", {"app": "web"}, ingress=[http({"app": "cart"}, 80, {"path": "/ok/.*"})])


def holds(room):
    """Both the permission and the prohibition."""
    assert tcp(room.cart, room.web.ip4, 80, 2) == "ok"
    assert tcp(room.cart, room.web.ip6, 80, 2) == "ok"
    assert tcp(room.stranger, room.web.ip4, 80) == "blocked"
    assert udp(room.cart, room.web.ip4, 5353) == "blocked"


def test_killed_agent_leaves_enforcement(either):
    room = either
    room.node.apply(L4)
    holds(room)
    room.node.kill_agent()
    holds(room)
    assert room.node.bpfast("status").code == 3
    room.node.start_agent()
    holds(room)
    names = {e["name"] for e in endpoints(room.node)}
    assert names == {"cart", "stranger", "web"}
    assert room.node.policies() == ["NetworkPolicy/default/web"]
    # It also can still change things.
    room.node.only(network("web", {"app": "web"}, ingress=[peers({"app": "stranger"})]))
    assert tcp(room.stranger, room.web.ip4, 80, 2) == "ok"
    assert tcp(room.cart, room.web.ip4, 80) == "blocked"


def endpoints(node):
    got = node.cli("-o", "json", "endpoint", "list").json
    return got["endpoints"] if isinstance(got, dict) else got


def test_sigterm_leaves_enforcement(room):
    room.node.apply(L4)
    assert room.node.stop_agent(signal.SIGTERM) == 0
    holds(room)
    room.node.start_agent()
    holds(room)


def test_connection_in_the_middle_of_a_request(either):
    """Kill and restart while a head is half there, a body is half there, and a response is owed."""
    room = either
    node = room.node
    node.apply(L7)
    half = Connection(room.cart.ns, room.web.ip4, 80, 5)
    body = Connection(room.cart.ns, room.web.ip4, 80, 5)
    owed = Connection(room.cart.ns, room.web.ip4, 80, 8)
    evil = Connection(room.cart.ns, room.web.ip4, 80, 5)
    try:
        half.send(b"GET /ok/half HTTP/1.1\r\nHo")
        body.send(get("/ok/body", method="POST", headers=("Content-Length: 20",)) + b"0123456789")
        owed.send(get("/ok/owed"))
        evil.send(b"GET /not-ok HTTP/1.1\r\nHo")
        until(lambda: "/ok/owed" in room.echo.targets(), 3)
        for restart in range(2):
            node.kill_agent()
            if restart == 0:
                owed.response()
                owed.send(b"GET /ok/again HTTP/1.1\r\n")
            node.start_agent()
        half.send(b"st: web\r\n\r\n")
        assert half.response().status == 200
        body.send(b"0123456789")
        assert body.response().status == 200
        owed.send(b"Host: web\r\n\r\n")
        assert owed.response().status == 200
        evil.send(b"st: web\r\n\r\n")
        assert evil.response().status == 403
        assert half.send(get("/ok/more")).response().status == 200
        assert half.send(get("/not-ok")).response().status == 403
    finally:
        for c in (half, body, owed, evil):
            c.close()
    assert "/not-ok" not in room.echo.targets()


def test_no_gap_while_agents_come_and_go(room):
    """The stranger tries all the time; it never gets through, and cart never fails."""
    node = room.node
    node.apply(L4)
    import threading

    done, leaks, fails = threading.Event(), [], []

    def stranger():
        while not done.is_set():
            if tcp(room.stranger, room.web.ip4, 80, 0.05) == "ok":
                leaks.append(time.monotonic())

    def cart():
        while not done.is_set():
            got = tcp(room.cart, room.web.ip4, 80, 3)
            if got != "ok":
                fails.append(got)
            time.sleep(0.005)

    threads = [threading.Thread(target=f) for f in (stranger, stranger, cart)]
    for t in threads:
        t.start()
    try:
        for sig in (signal.SIGKILL, signal.SIGTERM):
            node.stop_agent(sig)
            node.start_agent()
    finally:
        done.set()
        for t in threads:
            t.join()
    assert (leaks, fails) == ([], [])


def test_second_agent_on_the_same_pins_is_refused_or_takes_over(room):
    """Two agents never write the same tables."""
    node = room.node
    node.apply(L4)
    first = node.agent
    try:
        second = node.start_agent(ready=False)
        until(lambda: first.poll() is not None or second.poll() is not None, 5, "one of two agents gives way")
        holds(room)
    finally:
        for p in (first, node.agent):
            if p.poll() is None:
                node.agent = p


def test_join_of_kinds_is_adopted(room):
    room.node.apply(join(L4, payload("more", {"app": "web"}, ingress=[http({"app": "stranger"}, 80, {"path": "/st"})])))
    room.node.kill_agent()
    room.node.start_agent()
    assert sorted(room.node.policies()) == ["NetworkPolicy/default/web", "PayloadPolicy/default/more"]
    with Connection(room.stranger.ns, room.web.ip4, 80) as c:
        assert c.send(get("/st")).response().status == 200
        assert c.send(get("/")).response().status == 403


def test_pod_gone_while_agent_is_away(room):
    node = room.node
    node.apply(L4)
    node.kill_agent()
    stranger = node.pods.pop("stranger")
    stranger.remove()
    node.start_agent()
    holds_for_the_rest = tcp(room.cart, room.web.ip4, 80, 2)
    assert holds_for_the_rest == "ok"
    assert node.bpfast("status").code == 0
