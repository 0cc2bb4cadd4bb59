# SPDX-License-Identifier: Apache-2.0
"""The machine room itself, without BPFast: what the other files deny does work by itself."""

import socket

import pytest
from lab import http, servers
from lab.http import Connection, ask, get


@pytest.fixture(scope="module", params=["bridge", "routed"])
def lab(request, nodes):
    node = nodes(routed=request.param == "routed")
    client, web = node.pod("client"), node.pod("web")
    web.serve(servers.nginx(web.ns, tls_port=443))
    web.serve(servers.apache(web.ns, 8080))
    web.echo = web.serve(servers.Echo(web.ns, 9000))
    web.serve(servers.UdpEcho(web.ns, 5353))
    return node, client, web


def test_servers_answer_over_both_versions(lab):
    node, client, web = lab
    for host in (web.ip4, f"[{web.ip6}]"):
        assert client.curl(f"http://{host}/hello") == (200, "hello world\n")
        assert client.status(f"http://{host}:8080/api/v1/items") == 200
        assert client.status(f"http://{host}:9000/x") == 200
    assert node.host.status(f"http://{web.ip4}/hello") == 200
    assert client.status(f"https://{web.ip4}/hello", "-k") == 200
    assert client.run("ping", "-c1", "-W2", web.ip4).returncode == 0
    assert client.run("ping", "-c1", "-W2", web.ip6).returncode == 0


def test_udp(lab):
    _, client, web = lab
    with client.ns.inside():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(2)
    s.sendto(b"x" * 3000, (web.ip4, 5353))  # in fragments
    assert len(s.recv(65536)) == 3000


def test_raw_client(lab):
    _, client, web = lab
    request = get("/api?x=1", body=b"12345")
    web.echo.clear()
    assert ask(client.ns, web.ip4, 9000, request, pieces=[1] * len(request), gap=0) == 200
    assert web.echo.requests[-1].target == "/api?x=1" and web.echo.requests[-1].body_size == 5
    with Connection(client.ns, web.ip4, 9000) as c:
        c.send(get("/bytes/100000") + get("/chunked/50000") + get("/", method="HEAD"))
        assert [len(c.response().body), len(c.response().body)] == [100000, 50000]
        assert c.response(head=True).status == 200
    assert ask(client.ns, web.ip4, 9001, request) == "refused"
    assert ask(client.ns, web.ip4.rsplit(".", 1)[0] + ".250", 80, request, timeout=0.5) == "blocked"
    assert http.ask(client.ns, web.ip6, 80, get()) == 200
