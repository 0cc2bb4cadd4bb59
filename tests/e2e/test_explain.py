# SPDX-License-Identifier: Apache-2.0
"""`policy explain` says what the kernel then does: one table of questions, asked of both."""

import pytest
from lab import servers
from lab.http import ask, get
from lab.policy import cilium, cluster, http, join, network, payload, peers
from lab.probe import tcp

CART, STRANGER, WEB = {"app": "cart"}, {"app": "stranger"}, {"app": "web"}

POLICIES = {
    "none": "",
    "network": network("web", WEB, ingress=[{**peers(CART), "ports": [{"port": 80}]}]),
    "network-both": join(
        network("web", WEB, ingress=[{**peers(CART), "ports": [{"port": 80, "endPort": 8999}]}]),
        network("out", {}, egress=[{"to": [{"podSelector": {"matchLabels": WEB}}], "ports": [{"port": 80}]}]),
    ),
    "http": payload(
        "web",
        WEB,
        ingress=[http(CART, 80, {"method": "GET", "path": "/a(/.*)?"}, {"method": "POST", "path": "/b", "headers": ["X-K: v"]}), http(CART, 9000)],
    ),
    "http-host": payload("web", WEB, ingress=[http(None, 80, {"host": "web"})]),
    "deny": join(
        payload("web", WEB, ingress=[http({}, 80, {"path": "/.*"}), http({}, 9000)]),
        payload("no", WEB, ingressDeny=[{"fromEndpoints": [{"matchLabels": STRANGER}]}]),
    ),
    "egress-http": payload("out", CART, egress=[http(WEB, 80, {"path": "/a"}, direction="to")]),
    "cilium": cilium("web", WEB, ingress=[http(CART, 80, {"path": "/a.*"})]),
    "cluster-wide": join(
        cluster("all", {}, ingress=[{"fromEntities": ["host"]}]),
        payload("web", WEB, ingress=[http(STRANGER, 80, {"path": "/.*c"})]),
    ),
    "range": payload("web", WEB, ingress=[{"fromEndpoints": [{"matchLabels": CART}], "toPorts": [{"ports": [{"port": "1", "endPort": 65535, "protocol": "TCP"}]}]}, http(CART, 80, {"path": "/a"})]),
    "audit": payload("web", WEB, ingress=[http(CART, 80, {"path": "/a"})], mode="audit"),
    "cidr": payload("web", WEB, ingress=[{"fromCIDR": ["10.0.0.0/8"], "toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}]}]}]),
}

REQUESTS = [
    ("GET", "/a", ()),
    ("GET", "/a/x?q=1", ()),
    ("GET", "/abc", ()),
    ("GET", "/no?q=/a", ()),
    ("POST", "/b", ()),
    ("POST", "/b", ("X-K: v",)),
    ("GET", "/a/../c", ()),
    ("GET", "/c", ("Host: other",)),
]


@pytest.fixture(scope="module")
def room(nodes):
    node = nodes()
    node.cart, node.stranger, node.web = node.pod("cart"), node.pod("stranger"), node.pod("web")
    node.web.serve(servers.Echo(node.web.ns, 80))
    node.web.serve(servers.Echo(node.web.ns, 9000))
    for pod in (node.cart, node.stranger):
        for port in (80, 9000):
            assert ask(pod.ns, node.web.ip4, port, get("/c")) == 200
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    return node


def verdict_of(answer):
    return str(answer["verdict"]).upper()


def passes(answer):
    v = verdict_of(answer)
    assert v in ("FORWARDED", "DROPPED", "AUDIT"), answer
    return v != "DROPPED"


@pytest.mark.parametrize("name", POLICIES)
def test_explain_agrees_with_the_kernel(room, name):
    node = room
    node.clear_policies()
    if POLICIES[name]:
        node.apply(POLICIES[name])
    wrong = []
    for who in (node.cart, node.stranger):
        for port in (80, 9000):
            said = node.explain(who, node.web, port)
            did = tcp(who, node.web.ip4, port, 0.3)
            if passes(said) != (did == "ok"):
                wrong.append((who.name, port, said, did))
            if did != "ok":
                continue
            for method, target, headers in REQUESTS:
                said = node.explain(who, node.web, port, f"{method} {target}", ("Host: web",) * (not any(h.startswith("Host") for h in headers)) + headers)
                host = next((h[6:] for h in headers if h.startswith("Host: ")), "web")
                did = ask(who.ns, node.web.ip4, port, get(target, host, method, [h for h in headers if not h.startswith("Host")]), 0.5)
                if passes(said) != (did == 200):
                    wrong.append((who.name, port, method, target, headers, said, did))
    assert wrong == []


def test_explain_names_policy_and_rule(room):
    room.clear_policies()
    room.apply(POLICIES["http"])
    text = room.cli("policy", "explain", "--from", "cart", "--to", "web", "--port", "80", "--http", "GET /a", "--header", "Host: web").out
    assert "web" in text and "spec.ingress[0]" in text, text
    text = room.cli("policy", "explain", "--from", "cart", "--to", "web", "--port", "80/TCP", "--http", "GET /zzz", "--header", "Host: web").out
    assert "http-rule-denied" in text and "PayloadPolicy" in text, text
    text = room.cli("policy", "explain", "--from", "stranger", "--to", "web", "--port", "80").out
    assert "policy-denied" in text and "web" in text, text


def test_explain_says_what_may_become_a_tunnel(room):
    room.clear_policies()
    room.apply(payload("web", WEB, ingress=[http(CART, 80, {"path": "/live", "upgrade": ["websocket"]}, {"path": "/a"}, {"method": "CONNECT", "host": "db:1", "upgrade": ["connect"]})]))
    ask_for = ("policy", "explain", "--from", "cart", "--to", "web", "--port", "80", "--http")
    text = room.cli(*ask_for, "GET /live", "--header", "Upgrade: WebSocket ").out
    assert text.splitlines()[-1] == "tunnel   may become WebSocket, if the server agrees"
    assert room.explain("cart", "web", 80, "GET /live", ("Upgrade: websocket",))["tunnel"] == "websocket"
    assert room.explain("cart", "web", 80, "CONNECT db:1", ("Host: db:1",))["tunnel"] == "connect"
    for target, headers in (("/live", ()), ("/a", ("Upgrade: websocket",)), ("/live", ("Upgrade: h2c",)), ("/no", ("Upgrade: websocket",))):
        said = room.explain("cart", "web", 80, f"GET {target}", headers)
        assert "tunnel" not in said, (target, headers, said)
    assert "tunnel " not in room.cli(*ask_for, "GET /a", "--header", "Upgrade: websocket").out


def test_explain_by_address(room):
    room.clear_policies()
    room.apply(POLICIES["cidr"])
    outside = room.explain("10.99.0.1", "web", "80")
    assert passes(outside)
    assert not passes(room.explain("192.0.2.1", "web", "80"))
    # In our own kinds a CIDR is not about endpoints.
    assert not passes(room.explain("cart", "web", "80"))
    assert tcp(room.cart, room.web.ip4, 80, 0.3) == "blocked"


def said_of(room, frm, to, path):
    """The answer for GET path on port 80, as JSON and as the last line of the text."""
    text = room.cli("policy", "explain", "--from", frm, "--to", to, "--port", "80", "--http", f"GET {path}").out
    return room.explain(frm, to, 80, f"GET {path}"), text.splitlines()[-1]


def test_explain_says_where_cilium_differs(room):
    """The kernel denies what Cilium would let pass, and the answer names the rule that makes the difference."""
    room.clear_policies()
    room.apply(
        join(
            cilium("web", WEB, ingress=[http(CART, 80, {"path": "/a"}), http(STRANGER, 80, {"path": "/a"})]),
            network("open", WEB, ingress=[{**peers(CART), "ports": [{"port": 80}]}]),
            cilium("node", CART, egress=[{"toEntities": ["cluster"]}]),
        )
    )
    said, line = said_of(room, "cart", "web", "/z")
    assert ask(room.cart.ns, room.web.ip4, 80, get("/z")) == 403 and verdict_of(said) == "DROPPED"
    rule = {"kind": "NetworkPolicy", "namespace": "default", "name": "open", "rule": "spec.ingress[0]"}
    why = "allows the port without HTTP rules, and there that cancels the HTTP rules"
    assert said["cilium"] == {"verdict": "FORWARDED", "reason": "none", "notes": [{"direction": "ingress", "policies": [rule], "why": why}]}
    assert line == f"note     in Cilium this would be FORWARDED: NetworkPolicy default/open spec.ingress[0] {why}"
    for who, path in (("cart", "/a"), ("stranger", "/a"), ("stranger", "/z")):
        said, line = said_of(room, who, "web", path)
        assert "cilium" not in said and "Cilium would" not in line, (who, path, said)


def test_explain_knows_what_cilium_makes_of_an_empty_list_and_of_remote_node(room):
    room.clear_policies()
    web = cilium("web", WEB, ingress=[{"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}], "rules": {"http": []}}]}])
    room.apply(join(web, cilium("out", CART, egress=[{"toEntities": ["remote-node"]}, http(WEB, 80, direction="to")])))
    assert ask(room.cart.ns, room.web.ip4, 80, get("/a")) == 403
    said, line = said_of(room, "cart", "web", "/a")
    assert said["cilium"]["verdict"] == "FORWARDED" and said["cilium"]["notes"][0]["policies"][0]["name"] == "web"
    assert "CiliumNetworkPolicy default/web spec.ingress[0].toPorts[0] allows the port without HTTP rules" in line
    said, line = said_of(room, "cart", "host", "/a")
    assert verdict_of(said) == "FORWARDED" and said["cilium"]["verdict"] == "DROPPED"
    assert line.startswith("note     in Cilium this would be DROPPED: CiliumNetworkPolicy default/out spec.egress[0] says remote-node")


def test_explain_of_nobody(room):
    r = room.bpfast("policy", "explain", "--from", "nobody", "--to", "web", "--port", "80")
    assert r.code == 1 and "nobody" in r.err
    r = room.bpfast("policy", "explain", "--from", "cart", "--to", "web", "--port", "80000")
    assert r.code in (1, 2) and "port" in r.err
