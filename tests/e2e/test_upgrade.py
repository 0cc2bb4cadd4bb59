# SPDX-License-Identifier: Apache-2.0
"""WebSocket and CONNECT with real servers and proxies: a tunnel where a rule lets it be, HTTP everywhere else."""

import asyncio
import re

import pytest
import websockets
from lab import servers
from lab.http import Closed, Connection, get
from lab.policy import http, payload
from lab.wait import SLOW, until

CART = {"app": "cart"}
LIVE = {"method": "GET", "path": "/live", "upgrade": ["websocket"]}
PLAIN = {"method": "GET", "path": "/live|/plain"}
# nginx passes the handshake on to the server behind it, and answers /plain itself whatever it asks for.
PROXY = """
location /live { proxy_pass http://127.0.0.1:9000; proxy_http_version 1.1;
  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; }
"""


class Talk:
    """A client of python3-websockets on a connection that is there already."""

    def __init__(self, connection, path="/live"):
        self.loop = asyncio.new_event_loop()
        connection.sock.setblocking(False)
        self.ws = self._run(self._connect(connection.sock, path))

    async def _connect(self, sock, path):
        return await websockets.connect(f"ws://web{path}", sock=sock, ping_interval=None, max_size=None)

    def _run(self, what):
        return self.loop.run_until_complete(asyncio.wait_for(what, 3 * SLOW))

    def hear(self):
        return self._run(self.ws.recv())

    def say(self, message):
        self._run(self.ws.send(message))

    def ask(self, message):
        self.say(message)
        return self.hear()

    def close(self):
        self.ws.transport.abort()
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.close()


def talk(room, port):
    return Talk(Connection(room.cart.ns, room.web.ip4, port))


def both_ways(t):
    """Small and large, asked for and not."""
    for message in ("one", b"\0\r\n\r\nGET /no HTTP/1.1\r\n\r\n", "x" * 200000):
        assert t.ask(message) == message
    t.say("push")
    assert [t.hear() for _ in range(5)] == [f"push {i}" for i in range(5)]


def connect(room, port=9000):
    """The answer of the proxy, and the connection."""
    c = Connection(room.cart.ns, room.proxy.ip4, 8888)
    target = f"{room.web.ip4}:{port}"
    c.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n")
    status = c._line().split()[1]
    if status == b"200":
        while c._line():
            pass
    return int(status), c


def connects(room):
    """What the proxy notes of requests that reached it."""
    return [line for line in room.proxy.servers[0].lines("told") if f"CONNECT {room.web.ip4}" in line]


@pytest.fixture(scope="module")
def room(nodes):
    node = nodes()
    node.cart, node.web, node.proxy = node.pod("cart"), node.pod("web"), node.pod("proxy")
    node.web.serve(servers.websocket(node.web.ns, 9000))
    node.web.serve(servers.nginx(node.web.ns, 80, extra=PROXY))
    node.proxy.serve(servers.tinyproxy(node.proxy.ns, 8888, 9000))
    # All of it works without us.
    for port in (80, 9000):
        t = talk(node, port)
        assert t.hear() == "hello"
        both_ways(t)
        t.close()
    status, c = connect(node)
    assert status == 200
    t = Talk(c)
    assert t.hear() == "hello" and t.ask("in the tunnel") == "in the tunnel"
    t.close()
    assert connect(node, 80)[0] == 403
    assert connects(node)
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    return node


@pytest.fixture(autouse=True)
def clean(room):
    room.clear_policies()


def told(room, reason):
    return [r for r in room.observe("--verdict", "dropped") if r["flow"].get("drop_reason_desc", "").lower().replace("_", "-") == reason]


@pytest.mark.parametrize("port", [80, 9000], ids=["nginx", "websockets"])
def test_websocket(room, port):
    """Messages go both ways, also after the policy has changed, and with no agent or the next one."""
    room.apply(payload("web", {"app": "web"}, ingress=[http(CART, port, LIVE)]))
    t = talk(room, port)
    assert t.hear() == "hello"
    both_ways(t)
    room.apply(payload("web", {"app": "web"}, ingress=[http(CART, port, {"path": "/other"}, LIVE)]))
    both_ways(t)
    room.kill_agent()
    both_ways(t)
    room.start_agent()
    both_ways(t)
    t.close()


@pytest.mark.parametrize("port", [80, 9000], ids=["nginx", "websockets"])
def test_websocket_that_no_rule_lets(room, port):
    """The server agrees; the client's first frame ends it."""
    room.apply(payload("web", {"app": "web"}, ingress=[http(CART, port, PLAIN)]))
    before = len(told(room, "http-got-websocket"))
    t = talk(room, port)
    assert t.hear() == "hello"
    with pytest.raises((websockets.ConnectionClosedError, ConnectionResetError)):
        t.ask("never heard")
    t.close()
    until(lambda: len(told(room, "http-got-websocket")) > before, 5, "observe tells of it")


def test_websocket_that_the_server_refuses(room):
    """It stays HTTP: what comes next is judged, with an upgrade or without."""
    room.apply(payload("web", {"app": "web"}, ingress=[http(CART, 80, {"path": "/plain", "upgrade": ["websocket"]})]))
    upgrade = ["Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="]
    with Connection(room.cart.ns, room.web.ip4, 80) as c:
        assert c.send(get("/plain", headers=upgrade)).response().status == 200
        assert c.send(get("/plain")).response().status == 200
        assert c.send(get("/forbidden", headers=upgrade)).response().status == 403
        assert c.end() != "silence"
    until(lambda: told(room, "http-rule-denied"), 5, "observe tells of it")
    with Connection(room.cart.ns, room.web.ip4, 80) as c:
        assert c.send(get("/plain", headers=upgrade)).response().status == 200
        c.send(b"\x81\x85\1\2\3\4hello")
        with pytest.raises(Closed):
            while c.response().status == 403:
                pass
    assert not [line for line in room.web.servers[1].lines("access") if "/forbidden" in line]


def test_connect(room):
    """A rule names the host: the tunnel carries whatever it wants, and other targets are denied."""
    target = re.escape(f"{room.web.ip4}:9000")
    room.apply(payload("proxy", {"app": "proxy"}, ingress=[http(CART, 8888, {"method": "CONNECT", "host": target, "upgrade": ["connect"]})]))
    status, c = connect(room)
    assert status == 200
    t = Talk(c)
    assert t.hear() == "hello"
    both_ways(t)
    room.kill_agent()
    both_ways(t)
    room.start_agent()
    both_ways(t)
    t.close()
    status, c = connect(room, 80)
    assert status == 403
    until(lambda: [r for r in told(room, "http-rule-denied") if "CONNECT" in str(r)], 5, "observe tells of it")
    c.close()


def test_connect_that_no_rule_lets(room):
    """The method alone is no permission."""
    room.apply(payload("proxy", {"app": "proxy"}, ingress=[http(CART, 8888, {"method": "CONNECT|GET"})]))
    asked = connects(room)
    status, c = connect(room)
    assert status == 403
    c.close()
    assert connects(room) == asked
    until(lambda: told(room, "http-tunnel-refused"), 5, "observe tells of it")
