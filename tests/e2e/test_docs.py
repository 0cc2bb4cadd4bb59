# SPDX-License-Identifier: Apache-2.0
"""What README.md and the guide show happens so: policy, answers, records, explanations, foreign protocols."""

import os
import re

import pytest
from lab import servers
from lab.http import Closed, Connection, ask, get
from lab.node import ROOT
from lab.policy import http, payload
from lab.probe import tcp
from lab.wait import until


def page(name):
    with open(os.path.join(ROOT, name), encoding="utf-8") as f:
        return f.read()


def blocks(name, kind):
    return re.findall(rf"```{kind}\n(.*?)\n```", page(name), re.S)


@pytest.fixture(scope="module")
def room(nodes):
    node = nodes()
    node.cart, node.web = node.pod("cart", namespace="shop"), node.pod("web", namespace="shop")
    node.stranger = node.pod("stranger", namespace="shop")
    node.echo = node.web.serve(servers.Echo(node.web.ns, 9000))
    node.web.serve(servers.nginx(node.web.ns))
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    node.apply(blocks("README.md", "yaml")[0])
    return node


def test_readme_policy(room):
    assert room.cart.status(f"http://{room.web.ip4}/api/v1/items") == 200
    assert room.cart.status(f"http://{room.web.ip4}/api/v1/orders", "-d", "x", "-H", "X-Tenant: blue") == 200
    assert room.cart.status(f"http://{room.web.ip4}/api/v1/orders", "-d", "x") == 403
    assert tcp(room.stranger, room.web.ip4, 80) == "blocked"


def test_readme_denial_to_the_letter(room):
    shown = next(b for b in blocks("README.md", "text") if "403 Forbidden" in b).split("\n", 1)[1]
    with Connection(room.cart.ns, room.web.ip4, 80) as c:
        c.send(get("/admin"))
        with pytest.raises(Closed):
            while True:
                c._more()
        assert c.buffer.decode().replace("\r\n", "\n") == shown + "\n"


def test_readme_records(room):
    """Times and the client's ports aside, `observe` prints the lines that README shows."""
    plain = lambda s: re.sub(r"^[\d:.]+", "TIME", re.sub(r"(shop/(?:cart|stranger)):\d+", r"\1:PORT", s.strip()))
    assert ask(room.cart.ns, room.web.ip4, 80, get("/admin")) == 403
    assert tcp(room.stranger, room.web.ip4, 80) == "blocked"
    shown = [plain(line) for line in "\n".join(blocks("README.md", "console")).split("\n") if " DROPPED   INGRESS " in line]
    assert len(shown) == 2
    until(lambda: set(shown) <= {plain(line) for line in room.cli("observe", "--verdict", "dropped").out.splitlines()}, 3, "README's records")


def test_readme_explanation_to_the_letter(room):
    text = "\n".join(blocks("README.md", "console"))
    command = next(line for line in text.split("\n") if "policy explain" in line)
    shown = text.split(command + "\n")[1].split("\n$")[0]
    words = re.findall(r"'([^']*)'|(\S+)", command.split("bpfast ", 1)[1])
    assert room.cli(*[a or b for a, b in words]).out.rstrip() == shown.rstrip()


@pytest.fixture(scope="module")
def any_path(room):
    """docs/guide/observe.md: what users of other protocols see on a port with HTTP rules."""
    room.only(payload("web", {"app": "web"}, "shop", ingress=[http({"app": "cart"}, 9000, {"path": "/.*"})]))
    return room


def last_reason(node):
    got = [r["flow"] for r in node.observe("--verdict", "dropped", last=1)]
    return got[0]["drop_reason_desc"] if got else None


FOREIGN = {
    "CONNECT": (b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n", "http-tunnel-refused"),
    "GET http://host/path": (b"GET http://web/x HTTP/1.1\r\nHost: other\r\n\r\n", "http-bad-host"),
    "SSH": (b"SSH-2.0-OpenSSH_9.2\r\n", "http-bad-method"),
    "other binary protocols": (b"\x00\x01\x02\x03\r\n", "http-not-http"),
}


@pytest.mark.parametrize("who", FOREIGN)
def test_foreign_protocols(any_path, who):
    data, reason = FOREIGN[who]
    row = next(line for line in page("docs/guide/observe.md").split("\n") if line.startswith("|") and who in line)
    assert "403" in row and f"`{reason}`" in row
    assert ask(any_path.cart.ns, any_path.web.ip4, 9000, data) == 403
    until(lambda: last_reason(any_path) == reason, 2, f"{reason}; last: {last_reason(any_path)}")


def test_websocket_as_the_guide_says(any_path):
    with Connection(any_path.cart.ns, any_path.web.ip4, 9000) as c:
        c.send(get("/upgrade", headers=["Connection: Upgrade", "Upgrade: websocket"]))
        assert c.response().status == 101
        c.send(b"\x81\x85abcdhello")
        assert c.end() == "reset"
    until(lambda: last_reason(any_path) == "http-got-websocket", 2, "http-got-websocket")


def test_audit_as_the_guide_says(any_path):
    """Nothing is denied, and the record says what would have been."""
    any_path.only(payload("web", {"app": "web"}, "shop", mode="audit", ingress=[http({"app": "cart"}, 9000, {"path": "/ok"})]))
    assert ask(any_path.cart.ns, any_path.web.ip4, 9000, get("/secret")) == 200
    flows = until(lambda: [r["flow"] for r in any_path.observe("--verdict", "audit")], 2, "an audit record")
    assert flows[-1]["drop_reason_desc"] == "http-rule-denied" and flows[-1]["l7"]["http"]["url"] == "/secret"
