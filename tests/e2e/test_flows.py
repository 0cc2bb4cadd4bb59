# SPDX-License-Identifier: Apache-2.0
"""Who may have how much of the flow table: a pod that floods, or is flooded, stands alone."""

import signal
import time

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether

from lab import crowd
from lab.http import Connection
from lab.netns import ip
from lab.packets import send
from lab.policy import payload
from lab.probe import tcp
from lab.wait import until

FLOWS, SHARE = 4096, 512
OK = {"method": "GET", "path": "/ok.*"}


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: crowd\r\n\r\n".encode()


@pytest.fixture(scope="module")
def room(nodes):
    """cart and other may ask web and shop; stranger, who is not guarded, sends what it likes."""
    node = nodes()
    with open(node.config, "w", encoding="ascii") as f:
        f.write(f"flows: {FLOWS}\nflows-per-endpoint: {SHARE}\nrecords-per-second: 100000\n")
    node.start_agent()
    for name in ("cart", "other", "web", "shop", "shop2"):
        setattr(node, name, node.pod(name, {"app": name.rstrip("2")}, guard=True))
    node.stranger = node.pod("stranger")
    for pod in (node.web, node.shop, node.shop2):
        crowd.server(pod, 80)
    rule = [{"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}], "rules": {"http": [OK]}}, {"ports": [{"port": "5353", "protocol": "UDP"}]}]}]
    node.apply(payload("web", {"app": "web"}, ingress=rule) + "---\n" + payload("shop", {"app": "shop"}, ingress=rule))
    return node


def status(node):
    return node.cli("-o", "json", "status").json


def flows(node, name):
    return node.cli("-o", "json", "endpoint", "get", name).json["flows"]["used"]


def drops(node, reason):
    return sum(d["ingress_packets"] + d["egress_packets"] for d in status(node)["drops"] if d["reason"] == reason)


def syn_flood(node, to, n):
    """Handshakes that nobody finishes."""
    first = bytes(Ether(src=node.stranger.mac(), dst=to.mac()) / IP(src=node.stranger.ip4, dst=to.ip4) / TCP(sport=20000, dport=80, flags="S"))
    send(node.stranger.ns, *(_with_port(first, port) for port in range(20000, 20000 + n)))


def _with_port(frame, port):
    """The same segment from another port, its checksum put right (RFC 1624)."""
    f = bytearray(frame)
    old, check = int.from_bytes(f[34:36], "big"), int.from_bytes(f[50:52], "big")
    total = (~check & 0xFFFF) + (~old & 0xFFFF) + port
    total = (total & 0xFFFF) + (total >> 16)
    total = (total & 0xFFFF) + (total >> 16)
    f[34:36], f[50:52] = port.to_bytes(2, "big"), (~total & 0xFFFF).to_bytes(2, "big")
    return bytes(f)


def table(node):
    """endpoint -> flows, and all of them: two answers, asked again while flows end or begin in between."""

    def still():
        before = status(node)["flows"]["used"]
        listed = {e["name"]: e["flows"]["used"] for e in node.cli("-o", "json", "endpoint", "list").json["endpoints"]}
        return before == status(node)["flows"]["used"] and (listed, before)

    return until(still, 10, "the table is still for as long as two questions take")


def test_counts_outlive_the_agent(room):
    """Killed, and started anew: what is open is counted as before, and a deleted endpoint gives all back."""
    node = room
    c = crowd.client(node.cart, f"{node.web.ip4}:80")
    assert c.ask("open", 300, 20)["answered"] == 300
    before = table(node)
    assert before[0]["cart"] >= 300 and before[0]["web"] >= 300 and before[1] == sum(before[0].values())
    node.kill_agent()
    assert c.ask("open", 100, 10)["answered"] == 100
    node.start_agent()
    after = table(node)
    assert 400 <= after[0]["cart"] <= before[0]["cart"] + 100 and 400 <= after[0]["web"] <= before[0]["web"] + 100
    assert c.ask("ask", 10)["answered"] == 400
    node.stop_agent(signal.SIGTERM)
    # Another quota, without a new table.
    node.start_agent("--flows-per-endpoint", "450")
    assert status(node)["flows"]["per_endpoint_max"] == 450
    got = c.ask("open", 100, 3)
    assert 400 < got["open"] <= 450
    node.web.unguard()
    listed, total = table(node)
    assert "web" not in listed and total == sum(listed.values())
    c.ask("close")
    node.web.guard()
    assert flows(node, "web") < 20
    node.stop_agent()
    node.start_agent()
    assert status(node)["flows"]["per_endpoint_max"] == SHARE


def test_a_flooded_pod_stands_alone(room):
    """SYNs from outside: the pod's own new connections fail, by name; open ones go on, so do other pods; then it is over."""
    node = room
    mark = len(node.log_since())
    with Connection(node.cart.ns, node.web.ip4, 80) as c:
        assert c.send(get("/ok")).response().status == 200
        syn_flood(node, node.web, 2000)
        assert flows(node, "web") == SHARE
        assert tcp(node.other, node.web.ip4, 80, 0.5) == "blocked"
        assert tcp(node.other, node.shop.ip4, 80) == "ok"
        assert c.send(get("/ok/still")).response().status == 200
        # It has a name everywhere.
        assert drops(node, "endpoint-flows-full") > 1000
        assert node.observe("--endpoint", "web", "--verdict", "dropped")[-1]["flow"]["drop_reason_desc"] == "endpoint-flows-full"
        metrics = node.metrics()
        assert metrics['bpfast_dropped_packets_total{direction="ingress",reason="endpoint-flows-full"}'] > 1000
        assert metrics["bpfast_endpoints_flows_full"] == 1 and metrics["bpfast_endpoint_flows_most"] == SHARE
        assert metrics["bpfast_endpoint_flows_limit"] == SHARE
        s = status(node)
        assert s["flows"]["per_endpoint_max"] == SHARE and s["flows"]["most"] == SHARE and s["flows"]["endpoints_full"] == 1
        assert any("default/web has 512 of the 512" in w for w in s["warnings"])
        text = node.cli("status").out
        assert f"{SHARE} of {SHARE} for one endpoint at most; 1 endpoints have as many" in text and "endpoint-flows-full" in text
        assert f"{SHARE}/{SHARE}" in node.cli("endpoint", "list").out
        until(lambda: "reason=endpoint-flows-full" in node.log_since()[mark:], 3, "the log tells")
        line = [x for x in node.log_since()[mark:].splitlines() if "endpoint-flows-full" in x]
        assert len(line) == 1 and "endpoint=web" in line[0] and f"limit={SHARE}" in line[0]
        # Half-open connections last a few seconds, not a minute, once the pod is full.
        begin = time.monotonic()
        until(lambda: tcp(node.other, node.web.ip4, 80, 0.5) == "ok", 20, "the pod can be reached again", every=0.3)
        assert time.monotonic() - begin < 15
        assert c.send(get("/ok/still")).response().status == 200
        assert c.send(get("/no")).response().status == 403


def test_a_pod_that_floods_stands_alone(room):
    """It opens connections and keeps them: they are real, so they stay. Another pod does not notice."""
    node = room
    hoarder = node.pod("hoarder", guard=True)
    hoard = crowd.client(hoarder, f"{node.shop.ip4}:80", f"{node.shop2.ip4}:80")
    peer = crowd.client(node.other, f"{node.shop.ip4}:80", f"{node.shop2.ip4}:80")
    got = hoard.ask("open", 700, 2)
    assert got["open"] == got["answered"] <= SHARE and got["open"] >= SHARE - 150 and got["unanswered"] == 700 - got["open"]
    assert got["reset"] == got["closed"] == got["odd"] == 0
    assert flows(node, "hoarder") <= SHARE
    got = peer.ask("open", 100, 10)
    assert got["answered"] == 100 and not got["unanswered"]
    # Open ones are not taken away, however long they are silent and however much somebody wants their places.
    before = hoard.ask("ask", 10)
    time.sleep(6)
    hoard.ask("open", 50, 2)
    after = hoard.ask("ask", 10)
    assert after["reset"] == after["closed"] == 0 and after["answered"] >= before["answered"]
    assert hoard.ask("deny", 5, 5)["denied"] == 5
    # What is closed gives its place back.
    hoard.ask("close")
    peer.ask("close")
    until(lambda: flows(node, "hoarder") < SHARE - 250, 30, "places come back", every=0.5)
    got = hoard.ask("open", 200, 10)
    assert got["answered"] == 200
    hoard.ask("close")


def test_the_whole_table(nodes):
    """Many pods, each below its quota, fill the table: that has its own reason, and is told."""
    node = nodes()
    with open(node.config, "w", encoding="ascii") as f:
        f.write("flows: 1024\nflows-per-endpoint: 400\nother-idle: 5\nrecords-per-second: 100000\n")
    node.start_agent()
    web = [node.pod(f"web{i}", guard=True) for i in range(4)]
    stranger = node.pod("stranger")
    for pod in web:
        frame = bytearray(bytes(Ether(src=stranger.mac(), dst=pod.mac()) / IP(src=stranger.ip4, dst=pod.ip4) / UDP(sport=1, dport=5353, chksum=0) / b"x"))
        frames = []
        for port in range(20000, 20300):
            frame[34:36] = port.to_bytes(2, "big")
            frames.append(bytes(frame))
        send(stranger.ns, *frames)
    s = status(node)
    assert s["flows"]["used"] > 1000 and s["flows"]["endpoints_full"] == 0
    assert drops(node, "flow-table-full") > 100 and not drops(node, "endpoint-flows-full")
    assert any("flow table is" in w for w in s["warnings"])
    assert node.observe("--verdict", "dropped")[-1]["flow"]["drop_reason_desc"] == "flow-table-full"
    until(lambda: "reason=flow-table-full" in node.log_since(), 3, "the log tells")
    until(lambda: status(node)["flows"]["used"] < 100, 15, "the table empties", every=0.3)


def test_an_interface_that_is_gone(room):
    """Its flows go with it, and the slot's next owner begins with none."""
    node = room
    c = crowd.client(node.other, f"{node.shop.ip4}:80")
    assert c.ask("open", 200, 10)["answered"] == 200
    listed, _ = table(node)
    assert listed["shop"] >= 200
    ip("-n", node.ns.name, "link", "del", node.shop.iface)
    until(lambda: "shop" not in table(node)[0], 5, "the endpoint is forgotten")
    listed, total = table(node)
    assert total == sum(listed.values())
    late = node.pod("late", guard=True)
    assert flows(node, "late") < 20
    assert late.guarded
