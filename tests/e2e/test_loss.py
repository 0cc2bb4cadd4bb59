# SPDX-License-Identifier: Apache-2.0
"""Packets are lost or come late: transfers under an HTTP rule are complete and in time, and every request keeps its verdict."""

import hashlib
import os
import threading
import time

import pytest
from lab import servers
from lab.http import Connection, get
from lab.lossy import Lossy, single_segments
from lab.policy import http, payload

CART = {"app": "cart"}
BYTES = 4 << 20
# Ports of the echo server and of nginx: with HTTP rules, and with none.
ECHO, NGINX, PLAIN_ECHO = 9000, 80, 9001
LINES = {  # program, where: before BPFast's hooks or behind them
    "lost-before": ("lossy_10", "before"),
    "lost-after": ("lossy_10", "after"),
    "late": ("lossy_reorder", "before"),
}


class Room:
    pass


@pytest.fixture(scope="module")
def room(nodes):
    room = Room()
    room.node = node = nodes()
    room.cart, room.web = cart, web = node.pod("cart"), node.pod("web")
    room.echo = web.serve(servers.Echo(web.ns, ECHO))
    room.plain = web.serve(servers.Echo(web.ns, PLAIN_ECHO))
    room.nginx = web.serve(servers.nginx(web.ns, NGINX))
    node.start_agent()
    cart.guard()
    web.guard()
    node.apply(payload("web", {"app": "web"}, ingress=[
        http(CART, ECHO, {"method": "POST", "path": "/upload"}), http(CART, NGINX, {"method": "GET", "path": "/files/.*|/ok"}), http(CART, PLAIN_ECHO)]))
    room.lossy = Lossy()
    single_segments(cart, web)
    return room


@pytest.fixture(autouse=True)
def quiet_line(room):
    yield
    room.lossy.clear(room.cart, room.web)
    room.echo.clear()
    room.plain.clear()


def line(room, name, sender, receiver):
    program, where = LINES[name]
    room.lossy.put(*((sender, "egress") if where == "before" else (receiver, "ingress")), program)


def drops(room):
    return {d["reason"]: d["ingress_packets"] + d["egress_packets"] for d in room.node.cli("-o", "json", "status").json["drops"]}


def upload(room, port, body, chunk):
    """Sends it, and returns what the server says of it and the seconds it took."""
    if chunk:
        framed = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + chunk]), body[i : i + chunk]) for i in range(0, len(body), chunk)) + b"0\r\n\r\n"
        data = get("/upload", method="POST", headers=("Transfer-Encoding: chunked",)) + framed
    else:
        data = get("/upload", method="POST", body=body)
    begin = time.monotonic()
    with Connection(room.cart.ns, room.web.ip4, port, timeout=12) as c:
        answer = c.send(data).response()
    assert answer.status == 200
    return answer.body.split()[2:], time.monotonic() - begin


def few(room, before, segments):
    """Packets that we dropped for the stream's order or for lack of room: fewer than one in a hundred."""
    now = drops(room)
    new = {k: v - before.get(k, 0) for k, v in now.items() if v != before.get(k, 0)}
    assert sum(new.values()) * 100 <= segments, new
    assert "tcp-retransmission-differs" not in new and "internal-error" not in new, new


@pytest.mark.parametrize("chunk", [0, 65536, 1000], ids=["known-length", "big-chunks", "small-chunks"])
@pytest.mark.parametrize("name", LINES)
def test_upload(room, name, chunk):
    body = os.urandom(BYTES)
    expected = [str(BYTES).encode(), hashlib.sha256(body).hexdigest().encode()]
    line(room, name, room.cart, room.web)
    plain, unguarded = upload(room, PLAIN_ECHO, body, chunk)
    assert plain == expected
    before, (_, lost, moved) = drops(room), room.lossy.counts()
    got, took = upload(room, ECHO, body, chunk)
    assert got == expected
    lost, moved = (b - a for a, b in zip((lost, moved), room.lossy.counts()[1:]))
    assert lost + moved >= 5, "the line is good: nothing was tried"
    few(room, before, BYTES // 1448)
    assert took < 4 * unguarded + 2


@pytest.mark.parametrize("name", LINES)
def test_download(room, name):
    line(room, name, room.web, room.cart)
    _, lost, moved = room.lossy.counts()
    before = drops(room)
    with Connection(room.cart.ns, room.web.ip4, NGINX, timeout=12) as c:
        answer = c.send(get("/files/big")).response()
    assert answer.status == 200
    with open(os.path.join(room.nginx.dir, "files", "big"), "rb") as f:
        assert hashlib.sha256(answer.body).digest() == hashlib.sha256(f.read()).digest()
    assert sum(room.lossy.counts()[1:]) > lost + moved, "the line is good: nothing was tried"
    few(room, before, len(answer.body) // 1448)


@pytest.mark.parametrize("name", ["lost-before", "lost-after"])
def test_each_request_keeps_its_verdict(room, name):
    """2,000 on connections that are kept; a tenth is refused, each on a connection of its own."""
    line(room, name, room.cart, room.web)
    _, lost, _ = room.lossy.counts()
    wrong, done = [], []

    def allowed():
        with Connection(room.cart.ns, room.web.ip4, NGINX, timeout=8) as c:
            for _ in range(100):
                status = c.send(get("/ok")).response().status
                done.append(status)
                if status != 200:
                    wrong.append(("/ok", status))

    def forbidden():
        for _ in range(10):
            with Connection(room.cart.ns, room.web.ip4, NGINX, timeout=8) as c:
                status = c.send(get("/admin")).response().status
                if status != 403:
                    wrong.append(("/admin", status))

    def guarded(what):
        try:
            what()
        except Exception as e:  # pylint: disable=broad-except
            wrong.append((what.__name__, repr(e)))

    threads = [threading.Thread(target=guarded, args=(what,)) for what in [allowed] * 20 + [forbidden] * 20]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert len(done) == 2000
    assert room.lossy.counts()[1] > lost, "the line is good: nothing was tried"
    told = room.nginx.lines("access")
    assert not [x for x in told if "/admin" in x]
