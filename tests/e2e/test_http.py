# SPDX-License-Identifier: Apache-2.0
"""HTTP rules with real servers and clients: every request gets its own verdict."""

import hashlib
import os
import socket
import struct
from concurrent.futures import ThreadPoolExecutor

import pytest
from lab import servers
from lab.http import Closed, Connection, Silence, ask, get
from lab.policy import http, join, payload
from lab.wait import until

CART = {"app": "cart"}
RULES = [
    {"method": "GET", "path": "/api/v1/.*"},
    {"method": "POST", "path": "/api/v1/orders", "headers": ["X-Tenant: blue"]},
    {"method": "PUT|POST", "path": "/upload"},
    {"path": "/admin/.*", "host": "admin\\.shop"},
    {"method": "GET|HEAD", "path": "/(files|bytes|chunked|until-close|slow)/.*"},
]
PORTS = {"nginx": 80, "apache": 8080, "echo": 9000}


def web_policy(*rules, name="web", **spec):
    return payload(name, {"app": "web"}, ingress=[http(CART, p, *(rules or RULES)) for p in PORTS.values()], **spec)


class Room:
    pass


@pytest.fixture(scope="module")
def room(nodes):
    room = Room()
    room.node = node = nodes()
    room.cart, room.stranger, room.web = node.pod("cart"), node.pod("stranger"), node.pod("web")
    web = room.web
    room.nginx = web.serve(servers.nginx(web.ns, 80, tls_port=443))
    room.apache = web.serve(servers.apache(web.ns, 8080))
    room.echo = web.serve(servers.Echo(web.ns, 9000))
    for port in PORTS.values():
        assert room.cart.status(f"http://{web.ip4}:{port}/files/small") == 200  # without us
        assert room.stranger.status(f"http://{web.ip4}:{port}/files/small") == 200
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    room.current = None

    def policy(text):
        room.echo.clear()
        if room.current != text:
            node.only(text)
            room.current = text

    def no_policy():
        room.echo.clear()
        node.clear_policies()
        room.current = None

    room.policy, room.no_policy = policy, no_policy
    room.connect = lambda port=9000, timeout=3: Connection(room.cart.ns, web.ip4, port, timeout)
    room.ask = lambda data, port=9000, **kw: ask(room.cart.ns, web.ip4, port, data, **kw)
    return room


def together(fn, values):
    """fn of each value, a few at once: most of the time is waiting."""
    with ThreadPoolExecutor(6) as pool:
        return list(pool.map(fn, values))


def denied_only_by_us(room, data, policy=None, port=9000, expect=403, **kw):
    """Works without a policy, does not with it, and the server then never executes it."""
    room.no_policy()
    assert room.ask(data, port, **kw) == 200
    assert port != 9000 or len(room.echo.requests) == 1
    room.policy(policy or web_policy())
    assert room.ask(data, port, **kw) == expect
    assert not room.echo.requests


# --- single requests ----------------------------------------------------------

TABLE = [
    # method, target, headers, allowed
    ("GET", "/api/v1/items", (), True),
    ("GET", "/api/v1/items?page=2", (), True),
    ("GET", "/api/v1/", (), True),
    ("GET", "/api/v1", (), False),
    ("GET", "/api/v2/items", (), False),
    ("GET", "/api/v2/items?x=1", (), False),
    ("GET", "/api/v2/items?/api/v1/items", (), False),
    ("GET", "/?", (), False),
    ("POST", "/api/v1/orders?x=/api/v1/items", ("X-Tenant: red",), False),
    ("GET", "/", (), False),
    ("POST", "/api/v1/items", (), False),
    ("DELETE", "/api/v1/items", (), False),
    ("POST", "/api/v1/orders", ("X-Tenant: blue",), True),
    ("POST", "/api/v1/orders", ("x-tenant: blue",), True),
    ("POST", "/api/v1/orders", ("X-Tenant: red",), False),
    ("POST", "/api/v1/orders", ("X-Tenant: blueish",), False),
    ("POST", "/api/v1/orders", (), False),
    ("GET", "/admin/users", (), False),
    ("GET", "/admin/users", ("Host: admin.shop",), True),
    ("GET", "/admin/users", ("Host: ADMIN.shop",), True),
    ("GET", "/admin/users", ("Host: admin.shop.evil",), False),
    ("GET", "/admin/users", ("Host: adminxshop",), False),
]


@pytest.mark.parametrize("server", PORTS)
@pytest.mark.parametrize("version", [4, 6])
def test_table(room, server, version):
    host = room.web.ip4 if version == 4 else f"[{room.web.ip6}]"
    room.policy(web_policy())
    wrong = []
    for method, target, headers, allowed in TABLE:
        args = ["-X", method]
        for h in headers:
            args += ["-H", h]
        status, body = room.cart.curl(f"http://{host}:{PORTS[server]}{target}", *args)
        if (status != 403) != allowed or (allowed and server != "apache" and status != 200):
            wrong.append((method, target, headers, status, body[:80]))
    assert not wrong


def test_stranger_may_not_even_connect(room):
    room.policy(web_policy())
    assert room.stranger.status(f"http://{room.web.ip4}/api/v1/x", timeout=1) == "blocked"


def test_denial_names_the_policy_and_closes(room):
    room.policy(web_policy(name="shop-front"))
    with room.connect() as c:
        c.send(get("/nothing"))
        r = c.response()
        assert r.status == 403
        assert b"shop-front" in r.body
        assert r.headers["connection"].lower() == "close"
        assert int(r.headers["content-length"]) == len(r.body)
        assert c.end() == "fin"
    assert not room.echo.requests


def test_denial_that_names_nothing(room):
    room.policy(web_policy(name="shop-front", denyMessage="silent"))
    with room.connect() as c:
        r = c.send(get("/nothing")).response()
        assert r.status == 403
        assert b"shop-front" not in r.body and b"shop" not in r.body


def test_denial_leaves_no_sockets_behind(room):
    room.policy(web_policy())
    for _ in range(3):
        assert room.ask(get("/nothing")) == 403

    def none_left():
        left = []
        for pod in (room.cart, room.web):
            out = pod.run("ss", "-Htn", "state", "connected", "exclude", "time-wait", "sport", "=", ":9000", "or", "dport", "=", ":9000")
            left += out.stdout.splitlines()
        return not left

    until(none_left, 3, "both ends close after a denial")


@pytest.mark.parametrize("on_deny, end", (("reply", "fin"), ("reset", "reset")))
def test_an_end_inside_a_head_ends_both_sides(room, on_deny, end):
    """Else nginx would hold the connection until its own timeout, a minute, for a head of which no more can come."""
    head = "GET /api/v1/x HTTP/1.1\r\nHost: web\r\nX-More: "

    def held():
        return room.web.run("ss", "-Htn", "state", "connected", "exclude", "time-wait", "sport", "=", ":80").stdout.splitlines()

    def torn(together):
        """Some connections that nginx waits on, and then the ends of their streams -> the connections."""
        made = [room.connect(80) for _ in range(20)]
        if not together:
            for c in made:
                c.send(head)
        until(lambda: len(held()) == len(made), 3, "nginx holds them")
        for c in made:
            if together:  # the last bytes and the FIN are one segment
                c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
                c.send(head)
            c.sock.shutdown(socket.SHUT_WR)
        return made

    room.no_policy()
    until(lambda: not held(), 3, "nginx is free")
    made = torn(False)
    until(lambda: not held(), 3, "without us nginx ends them by itself")
    for c in made:
        c.sock.close()
    room.policy(web_policy(onDeny=on_deny))
    for together_ in (False, True):
        made = torn(together_)
        until(lambda: not held(), 3, "nginx holds none of them")
        for c in made:
            if end == "fin":
                assert c.response().status == 403
            assert c.end() == end
            c.sock.close()
    room.policy(web_policy())
    with room.connect(80) as c:
        # What stands before it is served.
        c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        c.send(get("/files/small").decode() + head)
        c.sock.shutdown(socket.SHUT_WR)
        assert c.response().status == 200
        assert c.response().status == 403 and c.end() == "fin"
    until(lambda: not held(), 3, "nginx holds none of them")


def test_denied_on_each_server(room):
    for port in PORTS.values():
        denied_only_by_us(room, get("/files/small", method="GET"), web_policy({"method": "GET", "path": "/other"}), port)


# --- many requests on a connection -----------------------------------------------


def test_keep_alive(room):
    room.policy(web_policy())
    with room.connect() as c:
        for target in ("/api/v1/a", "/api/v1/b"):
            assert c.send(get(target)).response().status == 200
        assert c.send(get("/secret")).response().status == 403
        assert c.end() == "fin"
    assert room.echo.targets() == ["/api/v1/a", "/api/v1/b"]


def test_keep_alive_many(room):
    room.policy(web_policy())
    with room.connect() as c:
        for i in range(300):
            assert c.send(get(f"/api/v1/{i}")).response().status == 200
        assert c.send(get("/secret")).response().status == 403


def test_pipelined(room):
    wanted = [f"/api/v1/{i}" for i in range(20)]
    data = b"".join(get(t) for t in wanted) + get("/secret") + get("/api/v1/after")
    room.no_policy()
    with room.connect() as c:
        c.send(data)
        assert [c.response().status for _ in range(22)] == [200] * 22
    room.policy(web_policy())
    with room.connect() as c:
        c.send(data)
        assert [c.response().status for _ in wanted] == [200] * 20
        assert c.response().status == 403
        assert c.end() == "fin"
    assert room.echo.targets() == wanted


def test_denial_waits_for_responses_that_are_owed(room):
    room.policy(web_policy())
    with room.connect(timeout=8) as c:
        c.send(get("/slow/0.7") + get("/secret"))
        first = c.response()
        assert (first.status, b"/slow/0.7" in first.body) == (200, True)
        assert c.response().status == 403
    assert room.echo.targets() == ["/slow/0.7"]


def test_denial_waits_for_a_long_response(room):
    room.policy(web_policy())
    with room.connect(timeout=8) as c:
        c.send(get("/bytes/3000000"))
        c.send(get("/secret"))
        assert len(c.response().body) == 3000000
        assert c.response().status == 403


# --- packaging -----------------------------------------------------------------------


def test_one_byte_segments(room):
    room.policy(web_policy())
    good, bad = get("/api/v1/x", headers=("X-A: b",)), get("/secret", headers=("X-A: b",))
    assert room.ask(good, pieces=[1] * len(good)) == 200
    assert room.ask(bad, pieces=[1] * len(bad)) == 403
    assert room.echo.targets() == ["/api/v1/x"]


@pytest.mark.parametrize("target,status", [("/api/v1/x", 200), ("/secret", 403)])
def test_split_at_every_place(room, target, status):
    room.policy(web_policy())
    data = get(target)
    places = range(1, len(data))
    got = dict(zip(places, together(lambda at: room.ask(data, pieces=[at], gap=0.01), places)))
    assert {at: s for at, s in got.items() if s != status} == {}
    assert len(room.echo.requests) == (len(got) if status == 200 else 0)


def test_split_pipeline_at_every_place(room):
    """The border between an allowed and a denied request lies everywhere in a segment."""
    room.policy(web_policy())
    data = get("/api/v1/x") + get("/secret")

    def one(at):
        with room.connect() as c:
            c.send(data, [at], 0.01)
            return at, c.response().status, c.response().status

    places = range(1, len(data))
    assert together(one, places) == [(at, 200, 403) for at in places]
    assert set(room.echo.targets()) == {"/api/v1/x"}


# --- bodies ------------------------------------------------------------------------------


def chunked(body, size):
    out = b""
    for i in range(0, len(body), size):
        part = body[i : i + size]
        out += b"%x\r\n%s\r\n" % (len(part), part)
    return out + b"0\r\n\r\n"


@pytest.mark.parametrize("rules", [True, False])
def test_upload_by_length(room, rules):
    room.policy(web_policy()) if rules else room.no_policy()
    body = os.urandom(3 << 20)
    path = os.path.join(room.node.dir, "body")
    with open(path, "wb") as f:
        f.write(body)
    status, out = room.cart.curl(f"http://{room.web.ip4}:9000/upload", "-T", path, timeout=15)
    assert status == 200
    assert hashlib.sha256(body).hexdigest() in out
    assert room.cart.status(f"http://{room.web.ip4}/upload", "-X", "POST", "--data-binary", f"@{path}", timeout=15) in (200, 405)
    if rules:
        room.echo.clear()
        assert room.cart.status(f"http://{room.web.ip4}:9000/elsewhere", "-T", path, timeout=15) == 403
        assert not room.echo.requests


@pytest.mark.parametrize("size", [1, 7, 1000, 65536])
def test_upload_in_chunks(room, size):
    room.policy(web_policy())
    body = os.urandom(300 if size == 1 else 20000 if size < 1000 else 1 << 20)
    head = get("/upload", method="POST", headers=("Transfer-Encoding: chunked",))
    with room.connect(timeout=10) as c:
        for _ in range(2):
            c.send(head + chunked(body, size))
            r = c.response()
            assert r.status == 200 and hashlib.sha256(body).hexdigest().encode() in r.body
        assert c.send(get("/secret")).response().status == 403
    assert room.echo.targets() == ["/upload", "/upload"]


def test_request_behind_a_body(room):
    """What follows a body is a request, and a body that looks like one is not."""
    room.policy(web_policy())
    trap = get("/secret")
    with room.connect() as c:
        c.send(get("/upload", method="POST", body=trap) + get("/api/v1/x"))
        assert c.response().status == 200 and c.response().status == 200
        c.send(get("/upload", method="POST", body=b"12345") + trap)
        assert c.response().status == 200
        assert c.response().status == 403
    assert room.echo.targets() == ["/upload", "/api/v1/x", "/upload"]


def test_expect_continue(room):
    room.policy(web_policy())
    body = b"x" * 5000
    with room.connect() as c:
        c.send(get("/upload", method="POST", headers=("Expect: 100-continue", "Content-Length: 5000")))
        while b"100 Continue" not in c.buffer:
            c._more()
        c.send(body)
        r = c.response()
        assert (r.status, r.interim) == (200, [100])
        assert c.send(get("/api/v1/x")).response().status == 200
        assert c.send(get("/secret")).response().status == 403


@pytest.mark.parametrize("port", PORTS.values())
def test_big_download(room, port):
    room.policy(web_policy())
    target, size = ("/bytes/16777216" if port == 9000 else "/files/big"), 16 << 20
    out = os.path.join(room.node.dir, "out")
    assert room.cart.status(f"http://{room.web.ip4}:{port}{target}", "-o", out, timeout=15) == 200
    assert os.path.getsize(out) == size


def test_downloads_of_every_framing(room):
    room.policy(web_policy())
    with room.connect() as c:
        assert len(c.send(get("/chunked/200000")).response().body) == 200000
        assert c.send(get("/bytes/1000", method="HEAD")).response(head=True).status == 200
        assert len(c.send(get("/bytes/1000")).response().body) == 1000
        r = c.send(get("/until-close/150000")).response()
        assert (len(r.body), r.closed) == (150000, True)


# --- modes ----------------------------------------------------------------------------------


def test_on_deny_reset(room):
    room.policy(web_policy(onDeny="reset"))
    assert room.ask(get("/api/v1/x")) == 200
    assert room.ask(get("/secret")) == "reset"
    assert room.echo.targets() == ["/api/v1/x"]


def test_on_deny_drop(room):
    room.policy(web_policy(onDeny="drop"))
    assert room.ask(get("/api/v1/x")) == 200
    with room.connect(timeout=0.7) as c:
        c.send(get("/secret"))
        with pytest.raises(Silence):
            c.response()
        # Or the kernel goes on sending it, and the next test's policy may allow it.
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert room.echo.targets() == ["/api/v1/x"]


def test_audit_drops_nothing_and_records(room):
    room.policy(web_policy(mode="audit"))
    assert room.ask(get("/api/v1/x")) == 200
    assert room.ask(get("/audited-secret")) == 200
    assert room.ask(get("/twice") + get("/thrice")) == 200
    assert room.cart.status(f"https://{room.web.ip4}/hello", "-k") == 200
    assert room.stranger.status(f"http://{room.web.ip4}:9000/x") == 200
    assert room.ask(b"nonsense\r\n\r\n" + get("/x"), timeout=0.5) in ("closed", "silence", "reset")  # the server's own answer
    assert room.echo.targets()[:2] == ["/api/v1/x", "/audited-secret"]
    assert until(
        lambda: [f for f in room.node.observe() if f["flow"]["verdict"] == "AUDIT" and "audited-secret" in str(f)],
        3,
        "an AUDIT record",
    )


def test_egress_rules(room):
    """Rules at the sender's side judge as well."""
    rule = http({"app": "web"}, 9000, {"method": "GET", "path": "/out/.*"}, direction="to")
    room.policy(payload("cart-out", CART, egress=[rule]))
    assert room.ask(get("/out/1")) == 200
    assert room.ask(get("/secret")) == 403
    assert room.ask(get("/out/1") + get("/secret")) == 200
    assert room.ask(get("/out/1"), port=80, timeout=0.5) == "blocked"
    assert ask(room.stranger.ns, room.web.ip4, 9000, get("/secret")) == 200  # not a subject
    assert room.echo.targets() == ["/out/1", "/out/1", "/secret"]


def test_both_sides_judge(room):
    out = http({"app": "web"}, 9000, {"path": "/(a|b)"}, direction="to")
    room.policy(
        join(payload("cart-out", CART, egress=[out]), payload("web-in", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/(b|c)"})]))
    )
    assert [room.ask(get(t)) for t in ("/a", "/b", "/c", "/d")] == [403, 200, 403, 403]
    assert room.echo.targets() == ["/b"]


def test_rules_of_several_policies_add_up(room):
    room.policy(
        join(
            payload("one", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/one"})]),
            payload("two", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/two"}), http({"app": "stranger"}, 9000, {"path": "/st"})]),
        )
    )
    assert [room.ask(get(t)) for t in ("/one", "/two", "/three", "/st")] == [200, 200, 403, 403]
    assert ask(room.stranger.ns, room.web.ip4, 9000, get("/st")) == 200
    assert ask(room.stranger.ns, room.web.ip4, 9000, get("/one")) == 403


def test_l4_policy_does_not_widen_l7(room):
    """An L4 allow in another object does not open what the HTTP rules close."""
    room.policy(
        join(
            payload("l7", {"app": "web"}, ingress=[http(CART, 9000, {"path": "/one"})]),
            payload("l4", {"app": "web"}, ingress=[http(CART, 9000)]),
        )
    )
    assert [room.ask(get(t)) for t in ("/one", "/two")] == [200, 403]


def test_many_rules(room):
    rules = [{"method": "GET", "path": f"/r{i}/[a-z]+"} for i in range(1000)]
    room.policy(payload("many", {"app": "web"}, ingress=[http(CART, 9000, *rules)]))
    assert [room.ask(get(t)) for t in ("/r0/a", "/r999/zz", "/r500/x", "/r1000/a", "/r1/1")] == [200, 200, 200, 403, 403]


# --- what is not HTTP/1 -----------------------------------------------------------------------


def reasons(room, word):
    return until(lambda: [f for f in room.node.observe() if f["flow"].get("drop_reason_desc", "").lower() == word], 3, f"a record saying {word}")


def test_tls_on_an_http_port(room):
    tls = lambda: room.cart.status(f"https://{room.web.ip4}/hello", "-k")
    room.no_policy()
    assert tls() == 200
    room.policy(payload("tls", {"app": "web"}, ingress=[http(CART, 443, {"path": "/.*"})]))
    assert tls() != 200
    assert reasons(room, "http-got-tls")


def test_h2c_on_an_http_port(room):
    room.policy(web_policy())
    with_h2 = lambda port: room.cart.status(f"http://{room.web.ip4}:{port}/api/v1/x", "--http2-prior-knowledge")
    assert with_h2(9000) != 200
    assert reasons(room, "http-got-http2")


def test_garbage_on_an_http_port(room):
    room.policy(web_policy())
    assert room.ask(b"\x00\x01\x02\x03 SSH-2.0-hello\r\n\r\n", timeout=1) != 200
    assert reasons(room, "http-not-http")
    assert not room.echo.requests


UPGRADE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Key: eA==", "Sec-WebSocket-Version: 13")
FRAME = b"\x81\x82\x01\x02\x03\x04ik"


def test_websocket_that_a_rule_allows(room):
    """The upgrade is a request like any other; the frames that follow cannot be judged, and say so."""
    room.no_policy()
    with room.connect() as c:
        assert c.send(get("/upgrade", headers=UPGRADE)).response().status == 101
        c.send(FRAME)
        assert c._take(len(FRAME)) == FRAME
    room.policy(web_policy({"path": "/upgrade"}))
    with room.connect() as c:
        assert c.send(get("/upgrade", headers=UPGRADE)).response().status == 101
        c.send(FRAME)
        assert c.end() == "reset"
    assert reasons(room, "http-got-websocket")
    assert FRAME not in b"".join(room.echo.raw.values())


def test_websocket_that_no_rule_allows(room):
    room.policy(web_policy({"path": "/other"}))
    with room.connect() as c:
        assert c.send(get("/upgrade", headers=UPGRADE)).response().status == 403
    assert not room.echo.requests


def test_websocket_that_the_server_refuses(room):
    """After a 200 the connection still speaks HTTP: requests are judged, frames are denied by name."""
    room.policy(web_policy({"path": "/plain"}))
    with room.connect() as c:
        assert c.send(get("/plain", headers=UPGRADE)).response().status == 200
        assert c.send(get("/secret")).response().status == 403
    with room.connect() as c:
        assert c.send(get("/plain", headers=UPGRADE)).response().status == 200
        c.send(FRAME)
        c.end()
    assert reasons(room, "http-got-websocket")
    with room.connect(timeout=1) as c:  # the frame or a request comes before the server has answered
        try:
            c.send(get("/plain", headers=UPGRADE) + get("/secret"))
            assert c.response().status == 200
            assert c.response().status != 200
        except (Closed, Silence):
            pass
    assert room.echo.targets() == ["/plain"] * len(room.echo.requests)


def test_connect_method(room):
    room.policy(web_policy({"path": "/.*"}))
    assert room.ask(b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n") == 403
    assert not room.echo.requests
