# SPDX-License-Identifier: Apache-2.0
"""An agent of another version starts, whose kernel side has its tables laid out otherwise: connections go on where they were, and are
judged as ever. Only who was in the middle of a request head is reset, once, and the agent says how many those were."""

import hashlib
import os
import re
import signal
import time

import pytest
from lab import churn, servers
from lab.http import Closed, Connection, Silence, get
from lab.node import BIN, OTHER_LAYOUT
from lab.policy import http, join, network, payload, peers
from lab.probe import tcp
from lab.wait import until

CART = {"app": "cart"}
IDLE, HALF = 12, 5
PLAIN, INSPECTED, WRK = 9000, 9100, 80
POLICY = join(
    payload("web", {"app": "web"}, ingress=[http(CART, INSPECTED, {"path": "/ok.*"}, {"path": "/upgrade", "upgrade": ["websocket"]}),
                                            http(CART, WRK, {"method": "GET", "path": "/hello"})]),
    network("plain", {"app": "web"}, ingress=[{**peers(CART), "ports": [{"port": PLAIN}]}]),
)


# No more than deploy/systemd gives it.
UNIT = ["setpriv", "--bounding-set", "-all,+bpf,+net_admin,+perfmon,+chown,+setpcap", "--inh-caps", "-all"]


class Room:
    pass


@pytest.fixture(scope="module")
def tcx(nodes):
    return make(nodes, clsact=False)


@pytest.fixture(scope="module")
def clsact(nodes):
    return make(nodes, clsact=True)


def make(nodes, clsact):
    assert os.access(OTHER_LAYOUT, os.X_OK), f"{OTHER_LAYOUT} is missing: run make test-layout first"
    room = Room()
    room.node = node = nodes(clsact=clsact)
    room.cart, room.stranger, room.web = node.pod("cart"), node.pod("stranger"), node.pod("web")
    room.plain = room.web.serve(servers.Echo(room.web.ns, PLAIN))
    room.echo = room.web.serve(servers.Echo(room.web.ns, INSPECTED))
    log = "location ^~ /forbidden { access_log forbidden told; return 200 leak; }"
    room.nginx = room.web.serve(servers.nginx(room.web.ns, WRK, access_log=False, extra=log))
    room.url = f"http://{room.web.ip4}/"
    room.agents = [os.path.join(BIN, "bpfastd"), OTHER_LAYOUT]
    start(room)
    for pod in node.pods.values():
        pod.guard()
    node.apply(POLICY)
    return room


def start(room):
    mark = os.path.getsize(room.node.agent_log)
    room.node.start_agent(program=UNIT + [room.agents[0]], patience=25)
    return room.node.log_since(mark)


def upgrade(room):
    """The other agent takes over. -> what it logged"""
    layouts = os.listdir(room.node.pin_dir)
    room.node.stop_agent(signal.SIGTERM)
    room.agents.reverse()
    said = start(room)
    until(lambda: len([x for x in os.listdir(room.node.pin_dir) if x.startswith("v")]) == 1, 3, "the old layout is gone")
    assert os.listdir(room.node.pin_dir) != layouts
    return said


def carried(room):
    return room.node.cli("-o", "json", "status").json["carried_over"]


def open_(room, port=INSPECTED, timeout=5):
    return Connection(room.cart.ns, room.web.ip4, port, timeout)


def end_of(c):
    """The answer to what was sent, or how the connection ended."""
    try:
        return c.response().status
    except Silence:
        return "silence"
    except (Closed, OSError):
        return "reset"


def say(c, data):
    try:
        c.send(data)
    except OSError:
        pass  # reset already
    return end_of(c)


class Upload(churn.Background):
    """A body in chunks that goes on all the time, and has to arrive as it was sent."""

    def __init__(self, room):
        self.sum, self.connection = hashlib.sha256(), open_(room)
        self.connection.send(get("/ok/upload", method="POST", headers=("Transfer-Encoding: chunked",)))
        super().__init__()

    def step(self):
        block = os.urandom(1 + int.from_bytes(os.urandom(2), "big") % 9000)
        self.sum.update(block)
        self.connection.send(b"%x\r\n%s\r\n" % (len(block), block))
        self.over.wait(0.002)

    def arrived(self):
        """Whether it did."""
        self.stop()
        said = self.connection.send(b"0\r\n\r\n").response()
        return said.status == 200 and self.sum.hexdigest().encode() in said.body


@pytest.mark.parametrize("hooks,way", [("tcx", "there"), ("tcx", "back"), ("clsact", "there")])
def test_connections_go_on(request, hooks, way):
    room = request.getfixturevalue(hooks)
    node, echo = room.node, room.echo
    echo.clear()
    room.plain.clear()
    idle = [open_(room) for _ in range(IDLE)]
    for c in idle:
        assert say(c, get("/ok/1")) == 200
    half = [open_(room).send(b"GET /ok/half HTTP/1.1\r\nHo") for _ in range(HALF - 2)]
    half.append(open_(room).send(b"PO"))
    half.append(open_(room).send(get("/ok/before") + b"GET /no"))  # the second of two
    body = open_(room).send(get("/ok/body", method="POST", headers=("Content-Length: 20",)) + b"0123456789")
    chunks = open_(room).send(get("/ok/chunks", method="POST", headers=("Transfer-Encoding: chunked",)) + b"5\r\n01234\r\n0")
    owed = open_(room).send(get("/ok/hold", headers=("X-Hold: y",)))
    denied = open_(room)
    assert say(denied, get("/no")) == 403
    tunnel = open_(room).send(get("/upgrade", headers=("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13")))
    plain = open_(room, PLAIN)
    assert say(plain, get("/anything")) == 200
    until(lambda: "/ok/hold" in echo.targets(), 3)
    assert half[-1].response().status == 200

    # Beside these, wrk, whose requests are allowed, and others that are forbidden all the time.
    probers = [churn.Prober(room, way) for way in churn.Prober.WHOLE]
    wrk = churn.Scene.wrk(room, 600)
    uploads = [Upload(room) for _ in range(3)]
    time.sleep(0.3)
    said = upgrade(room)
    got = carried(room)
    time.sleep(0.3)
    wrk.send_signal(signal.SIGINT)
    load = churn.wrk_result(wrk, 5)
    assert [u.arrived() for u in uploads] == [True] * 3
    for p in probers:
        p.stop()
    assert load["failed"] == 0 and load["requests"] > 1000, load
    assert [p.answers for p in probers if set(p.answers) != {403}] == []
    assert room.nginx.lines("forbidden") == []
    assert got["reset_in_head"] == HALF and got["reset_unreadable"] == 0, (got, said)
    assert got["flows"] >= IDLE + HALF + 6 + 32, got
    logged = re.search(r'connections carried over.*reset_in_head"?[=:] ?"?(\d+)', said)
    assert logged and int(logged.group(1)) == HALF, said

    for i, c in enumerate(idle):
        assert say(c, get("/ok/2")) == 200
        if i % 2:
            assert say(c, get("/no")) == 403
    ends = [say(c, b"st: web\r\n\r\n") for c in half]
    assert [e for e in ends if e not in ("reset", 403)] == [], ends
    assert say(body, b"0123456789") == 200
    assert say(body, get("/ok/behind-body")) == 200
    assert say(chunks, b"\r\n\r\n") == 200
    assert say(chunks, get("/no")) == 403
    echo.release()
    assert end_of(owed) == 200
    assert say(owed, get("/no")) == 403
    assert say(plain, get("/no")) == 200
    assert tunnel.response().status == 101
    tunnel.send(b"any bytes at all")
    assert tunnel._take(16) == b"any bytes at all"
    with pytest.raises((Closed, OSError)):
        denied.send(get("/ok/late"))
        while True:
            denied._more()
    for c in [*(u.connection for u in uploads), *idle, *half, body, chunks, owed, denied, tunnel, plain]:
        c.close()
    assert not [t for t in echo.targets() if t.startswith("/no")], echo.targets()
    assert tcp(room.stranger, room.web.ip4, PLAIN) == "blocked"
    # New connections, and policy changes, work as ever.
    with open_(room) as c:
        assert say(c, get("/ok/new")) == 200
    node.apply(POLICY)
    assert node.bpfast("status").code == 0
