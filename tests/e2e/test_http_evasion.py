# SPDX-License-Identifier: Apache-2.0
"""Requests on which servers disagree, sent over real connections: none reaches the server."""

import pytest
from lab import servers
from lab.http import Connection, Closed, Silence, get
from lab.policy import http, payload
from lab.wait import until

POLICY = payload("web", {"app": "web"}, ingress=[http({"app": "cart"}, p, {"method": "GET|POST", "path": "/ok(/.*)?", "host": "web"}) for p in (80, 9000)])


@pytest.fixture(scope="module")
def room(nodes):
    class Room:
        pass

    room = Room()
    room.node = node = nodes()
    room.cart, room.web = node.pod("cart"), node.pod("web")
    room.nginx = room.web.serve(servers.nginx(room.web.ns, 80))
    room.echo = room.web.serve(servers.Echo(room.web.ns, 9000))
    room.plain = attempts(room)  # without us
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    node.apply(POLICY)
    return room


def h(*lines, body=b""):
    return b"\r\n".join(x.encode("latin-1") if isinstance(x, str) else x for x in lines) + b"\r\n\r\n" + body


# name -> bytes. Each holds, in some reading, a request that no rule allows: /secret or a foreign host.
CASES = {
    "plain": h("GET /secret HTTP/1.1", "Host: web"),
    "dot-dot": h("GET /ok/../secret HTTP/1.1", "Host: web"),
    "encoded-dot-dot": h("GET /ok/%2e%2e/secret HTTP/1.1", "Host: web"),
    "half-encoded-dots": h("GET /ok/.%2E/secret HTTP/1.1", "Host: web"),
    "encoded-slash": h("GET /ok/..%2fsecret HTTP/1.1", "Host: web"),
    "double-encoded": h("GET /ok/%252e%252e/secret HTTP/1.1", "Host: web"),
    "backslash": h("GET /ok/..\\..\\secret HTTP/1.1", "Host: web"),
    "encoded-nul": h("GET /ok/%00/../secret HTTP/1.1", "Host: web"),
    "fragment": h("GET /ok/#/../secret HTTP/1.1", "Host: web"),
    "semicolon": h("GET /ok/..;/secret HTTP/1.1", "Host: web"),
    "encoded-letter": h("GET /%73ecret HTTP/1.1", "Host: web"),
    "double-slash": h("GET //ok/../secret HTTP/1.1", "Host: web"),
    "absolute-form": h("GET http://web/secret HTTP/1.1", "Host: web"),
    "absolute-form-other-host": h("GET http://other/ok HTTP/1.1", "Host: web"),
    "two-hosts": h("GET /ok HTTP/1.1", "Host: web", "Host: other"),
    "no-host": h("GET /ok HTTP/1.1"),
    "foreign-host": h("GET /ok HTTP/1.1", "Host: other"),
    "space-before-colon": h("GET /ok HTTP/1.1", "Host : other", "Host: web"),
    "folded": h("GET /ok HTTP/1.1", "Host: web", " other", "X: y"),
    "bare-lf-request": b"GET /ok HTTP/1.1\nHost: web\n\nGET /secret HTTP/1.1\nHost: web\n\n",
    "bare-lf-header": b"GET /ok HTTP/1.1\r\nX: y\nHost: other\r\nHost: web\r\n\r\n",
    "bare-cr": b"GET /ok HTTP/1.1\r\nX: y\rHost: other\r\nHost: web\r\n\r\n",
    "nul-in-header": b"GET /ok HTTP/1.1\r\nHost: web\r\nX: a\0b\r\n\r\n",
    "nul-in-target": b"GET /ok/\0 HTTP/1.1\r\nHost: web\r\n\r\n",
    "high-byte": b"GET /ok/\xff HTTP/1.1\r\nHost: web\r\n\r\n",
    "tab-in-request-line": b"GET\t/secret HTTP/1.1\r\nHost: web\r\n\r\n",
    "two-spaces": b"GET  /secret HTTP/1.1\r\nHost: web\r\n\r\n",
    "leading-blank-lines": b"\r\n\r\nGET /secret HTTP/1.1\r\nHost: web\r\n\r\n",
    "http-0.9": b"GET /secret\r\n",
    "http-2.0-version": h("GET /ok HTTP/2.0", "Host: web"),
    "http-1.2": h("GET /secret HTTP/1.2", "Host: web"),
    "lower-case-version": h("GET /ok http/1.1", "Host: web"),
    "lower-case-method": h("get /ok HTTP/1.1", "Host: web"),
    "asterisk": h("OPTIONS * HTTP/1.1", "Host: web"),
    "cl-te": h("POST /ok HTTP/1.1", "Host: web", "Content-Length: 6", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + h("GET /secret HTTP/1.1", "Host: web")),
    "te-cl": h("POST /ok HTTP/1.1", "Host: web", "Transfer-Encoding: chunked", "Content-Length: 60", body=b"0\r\n\r\n" + h("GET /secret HTTP/1.1", "Host: web")),
    "two-lengths": h("POST /ok HTTP/1.1", "Host: web", "Content-Length: 0", "Content-Length: 40", body=h("GET /secret HTTP/1.1", "Host: web")),
    "length-list": h("POST /ok HTTP/1.1", "Host: web", "Content-Length: 0, 40", body=h("GET /secret HTTP/1.1", "Host: web")),
    "length-plus": h("POST /ok HTTP/1.1", "Host: web", "Content-Length: +0", body=h("GET /secret HTTP/1.1", "Host: web")),
    "length-hex": h("POST /ok HTTP/1.1", "Host: web", "Content-Length: 0x0", body=h("GET /secret HTTP/1.1", "Host: web")),
    "length-negative": h("POST /ok HTTP/1.1", "Host: web", "Content-Length: -1", body=h("GET /secret HTTP/1.1", "Host: web")),
    "length-huge": h("POST /ok HTTP/1.1", "Host: web", "Content-Length: 18446744073709551616", body=h("GET /secret HTTP/1.1", "Host: web")),
    "te-space": h("POST /ok HTTP/1.1", "Host: web", "Transfer-Encoding : chunked", body=b"0\r\n\r\n" + h("GET /secret HTTP/1.1", "Host: web")),
    "te-xchunked": h("POST /ok HTTP/1.1", "Host: web", "Transfer-Encoding: xchunked", body=h("GET /secret HTTP/1.1", "Host: web")),
    "te-identity": h("POST /ok HTTP/1.1", "Host: web", "Transfer-Encoding: identity", body=h("GET /secret HTTP/1.1", "Host: web")),
    "te-twice": h("POST /ok HTTP/1.1", "Host: web", "Transfer-Encoding: chunked", "Transfer-Encoding: x", body=b"0\r\n\r\n" + h("GET /secret HTTP/1.1", "Host: web")),
    "te-not-last": h("POST /ok HTTP/1.1", "Host: web", "Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n" + h("GET /secret HTTP/1.1", "Host: web")),
    "te-on-1.0": h("POST /ok HTTP/1.0", "Host: web", "Transfer-Encoding: chunked", body=b"0\r\n\r\n" + h("GET /secret HTTP/1.1", "Host: web")),
    "chunk-oversized": h("POST /ok HTTP/1.1", "Host: web", "Transfer-Encoding: chunked", body=b"10000000000000000\r\n\r\n0\r\n\r\n"),
    "chunk-negative": h("POST /ok HTTP/1.1", "Host: web", "Transfer-Encoding: chunked", body=b"-1\r\n\r\n0\r\n\r\n"),
    "chunk-hex-prefix": h("POST /ok HTTP/1.1", "Host: web", "Transfer-Encoding: chunked", body=b"0x0\r\n\r\n" + h("GET /secret HTTP/1.1", "Host: web")),
    "chunk-bare-lf": h("POST /ok HTTP/1.1", "Host: web", "Transfer-Encoding: chunked", body=b"0\n\n" + h("GET /secret HTTP/1.1", "Host: web")),
    "second-of-two": h("GET /ok HTTP/1.1", "Host: web") + h("GET /secret HTTP/1.1", "Host: web"),
    "behind-a-get-body": h("GET /ok HTTP/1.1", "Host: web", "Content-Length: 3", body=b"abc" + h("GET /secret HTTP/1.1", "Host: web")),
    "after-1.0-close": h("GET /ok HTTP/1.0", "Host: web") + h("GET /secret HTTP/1.1", "Host: web"),
}


def try_it(room, port, data, patience=0.4):
    """Sends and reads to the end; -> statuses."""
    got = []
    with Connection(room.cart.ns, room.web.ip4, port, patience) as c:
        try:
            c.send(data)
            while len(got) < 3:
                got.append(c.response().status)
        except (Closed, Silence, ConnectionError, ValueError, AssertionError):
            pass
    return got


def executed(room, port):
    """What the server says it answered, with status 2xx."""
    if port == 9000:
        out = [(r.target, r.headers.get("host")) for r in room.echo.requests]
        room.echo.clear()
        return out
    lines = room.nginx.lines("access")[getattr(room, "mark", 0) :]
    room.mark = getattr(room, "mark", 0) + len(lines)
    return [(line.split()[1], "?") for line in lines if line.split()[-1] == "200"]


def attempts(room):
    """How many of the cases do harm at each server while nobody stands between."""
    harm = {80: set(), 9000: set()}
    for port in harm:
        for name in ("plain", "dot-dot", "second-of-two", "cl-te", "encoded-letter", "two-hosts", "foreign-host"):
            try_it(room, port, CASES[name], 0.15)
            if executed(room, port):
                harm[port].add(name)
    return harm


def test_the_attacks_work_without_us(room):
    for port, names in (
        (80, {"plain", "dot-dot", "second-of-two", "encoded-letter", "foreign-host"}),
        (9000, {"plain", "dot-dot", "second-of-two", "cl-te", "encoded-letter", "two-hosts", "foreign-host"}),
    ):
        assert names <= room.plain[port]


@pytest.mark.parametrize("port", [80, 9000])
@pytest.mark.parametrize("name", CASES)
def test_evasion(room, name, port):
    executed(room, port)
    try_it(room, port, CASES[name])
    for target, host in executed(room, port):
        assert "secret" not in target and "%73" not in target, f"{target} reached the server"
        assert host in ("?", "web"), f"host {host} reached the server"
        assert target in ("/ok",), f"{target} reached the server"


def test_clean_requests_still_pass(room):
    for port in (80, 9000):
        assert try_it(room, port, get("/ok") + get("/ok/more?x=/../secret")) == [200, 200]
        assert len(executed(room, port)) == 2


def test_head_of_64_kib(room):
    big = h("GET /ok HTTP/1.1", "Host: web", *[f"X-{i}: {'a' * 1000}" for i in range(64)])
    room.echo.clear()
    assert try_it(room, 9000, big) in ([403], [])
    assert not room.echo.requests
    fine = h("GET /ok HTTP/1.1", "Host: web", *[f"X-{i}: {'a' * 1000}" for i in range(20)])
    assert try_it(room, 9000, fine) == [200]


def test_another_host_in_front_of_a_port_that_is_none(nodes):
    """nginx takes what stands before the colon for the host, whatever stands behind it."""
    node = nodes()
    cart, web = node.pod("cart"), node.pod("web")
    nginx = web.serve(servers.nginx(web.ns, 80, extra='if ($host = admin) { return 200 "admin\\n"; }'))
    node.start_agent()
    for pod in (cart, web):
        pod.guard()

    def answer(host, target="/ok"):
        with Connection(cart.ns, web.ip4, 80) as c:
            r = c.send(get(target, host)).response()
            return r.status, r.body

    disguised = ("admin:x.example.com", "admin:80:x.example.com", "admin:.example.com")
    for host in disguised:
        assert answer(host) == (200, b"admin\n")  # no policy
    node.apply(payload("web", {"app": "web"}, ingress=[http({"app": "cart"}, 80, {"path": "/ok", "host": ".*[.]example[.]com(:.*)?"})]))
    for host in disguised:
        assert answer(host)[0] == 403, host
        assert answer(host, f"http://{host}/ok")[0] == 403, host
    for host in ("x.example.com", "X.Example.com:80"):
        assert answer(host)[0] == 200, host
    # nginx writes its line after it has answered.
    until(lambda: len(nginx.lines("access")) >= len(disguised) + 2, what="the last request's line")
    assert len(nginx.lines("access")) == len(disguised) + 2
