# SPDX-License-Identifier: Apache-2.0
"""A policy change takes hold at one instant, under load, and takes permissions away."""

import re
import threading
import time

import pytest
from lab import servers
from lab.http import Connection, Closed, Silence, ask, get
from lab.policy import http, join, network, payload, peers
from lab.probe import tcp, udp
from lab.wait import until

CART = {"app": "cart"}


class Room:
    pass


@pytest.fixture(scope="module")
def room(nodes):
    room = Room()
    room.node = node = nodes()
    room.cart, room.stranger, room.web = node.pod("cart"), node.pod("stranger"), node.pod("web")
    room.nginx = room.web.serve(servers.nginx(room.web.ns, 80))
    room.echo = room.web.serve(servers.Echo(room.web.ns, 9000))
    assert room.cart.status(f"http://{room.web.ip4}/hello") == 200
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    return room


@pytest.fixture(autouse=True)
def clean(room):
    room.node.clear_policies()
    room.echo.clear()


def policy(number, port=80):
    """Each version allows /hello by another rule, and never /forbidden."""
    rules = [{"method": "GET", "path": f"/other{number}/.*"} for _ in range(number % 7)] + [{"method": "GET", "path": "/hel+o"}]
    return payload("web", {"app": "web"}, ingress=[http(CART, port, *rules)])


def test_swap_under_wrk(room):
    node = room.node
    url = f"http://{room.web.ip4}/"
    assert room.cart.status(url + "forbidden") == 200  # without a policy
    node.apply(policy(0))
    mark = len(room.nginx.lines("access"))
    wrk = room.cart.popen("wrk", "-t1", "-c16", "-d4s", url + "hello", stdout=-1, stderr=-1, text=True)
    leaks, stop = [], threading.Event()

    def forbidden():
        while not stop.is_set():
            status = ask(room.cart.ns, room.web.ip4, 80, get("/forbidden"), 1)
            if status != 403:
                leaks.append(status)

    prober = threading.Thread(target=forbidden)
    prober.start()
    changes, end = 0, time.monotonic() + 3
    while time.monotonic() < end:
        changes += 1
        node.apply(policy(changes))
    out, _ = wrk.communicate(timeout=20)
    stop.set()
    prober.join()
    assert changes >= 10
    assert "Socket errors" not in out and "Non-2xx" not in out, out
    assert int(re.search(r"(\d+) requests in", out).group(1)) > 1000
    assert leaks == []
    assert not [line for line in room.nginx.lines("access")[mark:] if "/forbidden" in line]


def test_a_head_begun_under_the_old_policy(room):
    """Half a head, then a change: it ends under some one policy, and the next request under the new one."""
    node = room.node
    node.apply(policy(1, 9000))
    with Connection(room.cart.ns, room.web.ip4, 9000) as c:
        c.send(b"GET /hello HTTP/1.1\r\nHo")
        node.apply(payload("web", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/new"})]))
        c.send(b"st: web\r\n\r\n")
        assert c.response().status in (200, 403)
        if c.sock.fileno() >= 0:
            try:
                c.send(get("/hello"))
                assert c.response().status == 403
            except (Closed, ConnectionError):
                pass  # the first was denied and the connection closed
    assert room.echo.targets().count("/hello") <= 1


def test_l7_rule_removed_holds_for_the_next_request(room):
    node = room.node
    node.apply(payload("web", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/a"}, {"path": "/b"})]))
    with Connection(room.cart.ns, room.web.ip4, 9000) as c:
        assert c.send(get("/a")).response().status == 200
        assert c.send(get("/b")).response().status == 200
        node.apply(payload("web", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/a"})]))
        assert c.send(get("/a")).response().status == 200
        assert c.send(get("/b")).response().status == 403
    assert room.echo.targets() == ["/a", "/b", "/a"]


def test_l7_rule_added_holds_for_the_next_request(room):
    node = room.node
    node.apply(payload("web", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/a"})]))
    with Connection(room.cart.ns, room.web.ip4, 9000) as c:
        assert c.send(get("/a")).response().status == 200
        node.apply(payload("web", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/(a|b)"})]))
        assert c.send(get("/b")).response().status == 200


@pytest.mark.parametrize("version", [4, 6])
def test_l4_permission_removed_cuts_the_connection(room, version):
    node, web = room.node, room.web
    address = web.ip4 if version == 4 else web.ip6
    allow = network("web", {"app": "web"}, ingress=[peers(CART)])
    node.apply(allow)
    with Connection(room.cart.ns, address, 9000, 0.7) as c:
        assert c.send(get("/a")).response().status == 200
        node.apply(network("web", {"app": "web"}, ingress=[peers({"app": "nobody"})]))
        with pytest.raises((Closed, Silence, ConnectionError)):
            c.send(get("/b")).response()
    assert room.echo.targets() == ["/a"]
    assert tcp(room.cart, address, 9000) == "blocked"


def test_l4_permission_removed_stops_a_download(room):
    node = room.node
    node.apply(network("web", {"app": "web"}, ingress=[peers(CART)]))
    with Connection(room.cart.ns, room.web.ip4, 9000, 1) as c:
        c.send(get("/bytes/80000000"))
        c._take(100000)
        node.apply(network("web", {"app": "web"}, ingress=[]))
        with pytest.raises((Closed, Silence, ConnectionError)):
            c._take(80000000 - 100000 - 1)


def test_l4_connection_that_comes_under_http_rules(room):
    """Its beginning was not seen: it is cut once, and the client reconnects into view."""
    node = room.node
    with Connection(room.cart.ns, room.web.ip4, 9000, 2) as c:
        assert c.send(get("/a")).response().status == 200
        node.apply(payload("web", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/a"})]))
        try:
            assert c.send(get("/b")).response().status == 403
        except (Closed, Silence, ConnectionError):
            pass
    assert room.echo.targets() == ["/a"]
    assert ask(room.cart.ns, room.web.ip4, 9000, get("/a")) == 200


def test_udp_permission_removed(room):
    web = room.web
    server = servers.UdpEcho(web.ns, 5353)
    try:
        room.node.apply(network("web", {"app": "web"}, ingress=[peers(CART)]))
        assert udp(room.cart, web.ip4, 5353) == "ok"
        room.node.apply(network("web", {"app": "web"}, ingress=[]))
        assert udp(room.cart, web.ip4, 5353) == "blocked"
    finally:
        server.stop()


def test_refused_policy_leaves_the_old_one(room):
    node = room.node
    node.apply(payload("web", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/a"})]))
    revision = node.cli("-o", "json", "status").json
    bad = join(
        payload("web", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/.*"})]),
        payload("second", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/(?=b)"})]),
    )
    r = node.bpfast("policy", "apply", "-f", "-", input=bad)
    assert r.code == 1
    assert ask(room.cart.ns, room.web.ip4, 9000, get("/a")) == 200
    assert ask(room.cart.ns, room.web.ip4, 9000, get("/b")) == 403
    assert node.policies() == ["PayloadPolicy/default/web"]
    assert revision.get("revision") == node.cli("-o", "json", "status").json.get("revision")


def test_deny_wins_and_appears_at_once(room):
    node = room.node
    allow = payload("allow", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/.*"})])
    node.apply(allow)
    assert ask(room.cart.ns, room.web.ip4, 9000, get("/a")) == 200
    node.apply(payload("deny", {"app": "web"}, ingressDeny=[{"fromEndpoints": [{"matchLabels": CART}]}]))
    assert tcp(room.cart, room.web.ip4, 9000) == "blocked"
    node.cli("policy", "delete", "PayloadPolicy/default/deny")
    assert ask(room.cart.ns, room.web.ip4, 9000, get("/a")) == 200


def test_many_swaps_do_not_fill_the_arena(room):
    rules = [{"method": "GET", "path": f"/v{i}/[a-z]+/x"} for i in range(300)]
    for i in range(25):
        room.node.apply(payload("big", {"app": "web"}, ingress=[http(CART, 9000, *rules, {"path": f"/only{i}"})]))
        assert ask(room.cart.ns, room.web.ip4, 9000, get(f"/only{i}")) == 200
    until(lambda: ask(room.cart.ns, room.web.ip4, 9000, get("/only0")) == 403, 2)
