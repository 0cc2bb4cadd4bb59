# SPDX-License-Identifier: Apache-2.0
"""Flow records and metrics of real traffic."""

import json
import re

import pytest
from lab import servers
from lab.http import Connection, ask, get
from lab.policy import http, payload
from lab.probe import tcp
from lab.wait import until

CART = {"app": "cart"}


@pytest.fixture(scope="module")
def room(nodes):
    node = nodes()
    node.cart, node.stranger, node.web = node.pod("cart"), node.pod("stranger"), node.pod("web", namespace="shop")
    node.web.serve(servers.Echo(node.web.ns, 80))
    assert tcp(node.stranger, node.web.ip4, 80, 2) == "ok"
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    cart = {"app": "cart", "io.kubernetes.pod.namespace": "default"}
    node.apply(payload("web", {"app": "web"}, namespace="shop", ingress=[http(cart, 80, {"method": "GET", "path": "/(ok|slow)/.*"})]))
    node.mark = None
    return node


def flows(node, want, *args, timeout=3):
    """Records, once want(flow) holds for one."""
    return until(lambda: [r["flow"] for r in node.observe(*args) if want(r["flow"])], timeout, "a record")


def http_of(flow):
    return (flow.get("l7") or {}).get("http") or {}


def test_allowed_request_and_its_response(room):
    assert ask(room.cart.ns, room.web.ip4, 80, get("/slow/0.05?token=secret")) == 200
    requests = flows(room, lambda f: "/slow/0.05" in http_of(f).get("url", "") and f["l7"]["type"] == "REQUEST")
    f = [x for x in requests if x["traffic_direction"] == "INGRESS"][-1]
    assert f["verdict"] == "FORWARDED" and f["Type"] == "L7" and f["is_reply"] is False
    assert f["IP"] == {"source": room.cart.ip4, "destination": room.web.ip4, "ipVersion": "IPv4"} or f["IP"]["ipVersion"] in ("IPv4", 4)
    assert f["l4"]["TCP"]["destination_port"] == 80
    assert f["source"]["pod_name"] == "cart" and f["source"]["namespace"] == "default"
    assert f["destination"]["pod_name"] == "web" and f["destination"]["namespace"] == "shop"
    assert any("app=web" in label for label in f["destination"]["labels"])
    assert http_of(f)["method"] == "GET" and http_of(f)["protocol"] == "HTTP/1.1"
    assert "secret" not in json.dumps(f), "query strings are redacted"
    responses = flows(room, lambda f: f.get("l7", {}).get("type") == "RESPONSE" and http_of(f).get("code") == 200)
    r = responses[-1]
    assert r["is_reply"] is True
    assert 50_000_000 <= int(r["l7"]["latency_ns"]) < 5_000_000_000
    assert r["time"].endswith("Z") or "+" in r["time"]


def test_denied_request_names_policy_and_rule(room):
    assert ask(room.cart.ns, room.web.ip4, 80, get("/secret/door")) == 403
    f = flows(room, lambda f: "/secret/door" in http_of(f).get("url", ""))[-1]
    assert f["verdict"] == "DROPPED"
    assert f["drop_reason_desc"].lower() == "http-rule-denied"
    assert {"kind": "PayloadPolicy", "namespace": "shop", "name": "web"}.items() <= f["ingress_denied_by"][0].items()


def test_denied_connection(room):
    assert tcp(room.stranger, room.web.ip4, 80) == "blocked"
    f = flows(room, lambda f: f["verdict"] == "DROPPED" and f["source"].get("pod_name") == "stranger")[-1]
    assert f["Type"] == "L3_L4" and f["drop_reason_desc"].lower() == "policy-denied"
    assert f["l4"]["TCP"]["destination_port"] == 80
    assert f["ingress_denied_by"][0]["name"] == "web"


def test_ipv6_records(room):
    assert ask(room.cart.ns, room.web.ip6, 80, get("/ok/six")) == 200
    f = flows(room, lambda f: "/ok/six" in http_of(f).get("url", "") and f["l7"]["type"] == "REQUEST")[-1]
    assert f["IP"]["source"] == room.cart.ip6 and "6" in str(f["IP"]["ipVersion"])


def test_filters(room):
    ask(room.cart.ns, room.web.ip4, 80, get("/nope"))
    ask(room.cart.ns, room.web.ip4, 80, get("/ok/filter"))
    flows(room, lambda f: "/ok/filter" in http_of(f).get("url", ""))
    dropped = [r["flow"]["verdict"] for r in room.observe("--verdict", "DROPPED")]
    assert dropped and set(dropped) == {"DROPPED"}
    of_stranger = [r["flow"] for r in room.observe("--endpoint", "stranger")]
    assert all("stranger" in (f["source"].get("pod_name"), f["destination"].get("pod_name")) for f in of_stranger)
    only_http = [r["flow"] for r in room.observe("--protocol", "http")]
    assert only_http and all("http" in f["l7"] for f in only_http)
    assert len(room.observe(last=3)) == 3


def test_compact_output(room):
    ask(room.cart.ns, room.web.ip4, 80, get("/compact"))
    flows(room, lambda f: "/compact" in http_of(f).get("url", ""))
    out = room.cli("observe", "--last", "20", "-o", "compact").out
    line = [x for x in out.splitlines() if "/compact" in x][-1]
    for word in ("cart", "web", "DROPPED", "GET", "http-rule-denied"):
        assert word in line, line


def test_follow(room):
    from lab.node import BIN

    p = room.ns.popen(f"{BIN}/bpfast", "--run-dir", room.run_dir, "observe", "--follow", "-o", "json", stdout=-1, text=True)
    try:
        seen = []

        def reader():
            for line in p.stdout:
                seen.append(json.loads(line))

        import threading

        threading.Thread(target=reader, daemon=True).start()

        def asked():
            ask(room.cart.ns, room.web.ip4, 80, get("/ok/followed"))
            return [r for r in seen if "/ok/followed" in json.dumps(r)]

        until(asked, 5, "a followed record", every=0.1)
    finally:
        p.kill()
        p.wait()


def test_every_request_has_a_record(room):
    """Nothing is lost at an ordinary rate, and the order is that of the wire."""
    with Connection(room.cart.ns, room.web.ip4, 80) as c:
        for i in range(50):
            assert c.send(get(f"/ok/row-{i}")).response().status == 200
    flows(room, lambda f: "/ok/row-49" in http_of(f).get("url", ""))
    urls = [http_of(r["flow"]).get("url", "") for r in room.observe() if (r["flow"].get("l7") or {}).get("type") == "REQUEST" and r["flow"]["traffic_direction"] == "INGRESS"]
    rows = [int(m.group(1)) for u in urls if (m := re.search(r"/ok/row-(\d+)", u))]
    assert rows == list(range(50))


def total(metrics, name, **labels):
    out = 0
    for key, value in metrics.items():
        if key.split("{")[0] == name and all(f'{k}="{v}"' in key for k, v in labels.items()):
            out += value
    return out


def test_metrics(room):
    before = room.metrics()
    for _ in range(5):
        assert ask(room.cart.ns, room.web.ip4, 80, get("/ok/m")) == 200
    for _ in range(3):
        assert ask(room.cart.ns, room.web.ip4, 80, get("/denied")) == 403
    assert tcp(room.stranger, room.web.ip4, 80, 0.3) == "blocked"
    after = room.metrics()
    names = {k.split("{")[0] for k in after}
    assert all(n.startswith(("bpfast_", "process_")) for n in names)
    grew = lambda name, **labels: total(after, name, **labels) - total(before, name, **labels)
    assert grew("bpfast_http_requests_total", verdict="forwarded") == 5 or grew("bpfast_http_requests_total", verdict="FORWARDED") == 5
    assert sum(grew(n, reason="http-rule-denied") for n in names if n.endswith("_total")) >= 3
    assert sum(grew(n, reason="policy-denied") for n in names if n.endswith("_total")) >= 1
    assert len(after) < 2000, "labels are bounded"


def test_metrics_by_command(room):
    out = room.cli("metrics").out
    assert "# TYPE bpfast_" in out and "# HELP bpfast_" in out


def test_status(room):
    text = room.cli("status").out
    for word in ("tcx", "cart", "stranger", "web"):
        assert word in text or word in room.cli("endpoint", "list").out
    s = room.cli("-o", "json", "status").json
    assert isinstance(s, dict)
