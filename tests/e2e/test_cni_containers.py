# SPDX-License-Identifier: Apache-2.0
"""Real containers under policy from their first packet: containerd, runc, bridge, host-local, and bpfast-cni last."""

import json
import os
import re
import socket
import time

import pytest
from lab import cni
from lab.containers import Containerd
from lab.node import ROOT
from lab.policy import network
from lab.wait import until

# Containers that come and go; `make soak` takes more.
MANY = int(os.environ.get("BPFAST_CNI_CONTAINERS", "8"))
AT_ONCE = 4
# What is labelled so may talk to the server's port 5000, not to 5001.
RULE = network("lab", {"net": "lab"}, egress=[{"ports": [{"port": 5000, "protocol": "UDP"}]}])


class Room:
    pass


@pytest.fixture(scope="module")
def room(nodes):
    room = Room()
    room.node = node = nodes()
    room.server = node.pod("server")
    room.heard = {}
    for port in (5000, 5001):
        with room.server.ns.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", port))
        sock.setblocking(False)
        room.heard[port] = sock
    room.daemon = Containerd(node)
    node.start_agent()
    node.apply(RULE)
    yield room
    room.daemon.close()


@pytest.fixture(autouse=True)
def agent(room):
    cni.chain(room.daemon, labels={"net": "lab"})
    listen(room)
    yield
    for container in list(room.daemon.containers.values()):
        container.abandon()
    if not room.node.agent or room.node.agent.poll() is not None:
        room.node.start_agent()


def listen(room, seconds=0):
    """-> {port: what has arrived there}"""
    end, out = time.monotonic() + seconds, {port: [] for port in room.heard}
    while True:
        for port, sock in room.heard.items():
            try:
                while True:
                    out[port].append(sock.recv(100).decode().strip())
            except BlockingIOError:
                pass
        if time.monotonic() >= end:
            return out
        time.sleep(0.02)


def endpoints(node):
    return {e["name"]: e for e in node.cli("-o", "json", "endpoint", "list").json["endpoints"]}


def sender(room, name, ports=(5001, 5000)):
    """A container that sends at once, first to where it may not."""
    return room.daemon.run(name, "/usr/bin/bash", "-c", "; ".join(say(room, name, port) for port in ports))


def say(room, what, port):
    """A datagram, in bash's words."""
    return f"echo {what} >/dev/udp/{room.server.ip4}/{port}"


def test_first_packet_meets_policy(room):
    cni.chain(room.daemon, last=False)
    assert sender(room, "bare").wait() == 0
    assert listen(room, 0.2) == {5000: ["bare"], 5001: ["bare"]}
    cni.chain(room.daemon, labels={"net": "lab"})
    for i in range(3):
        one = sender(room, f"one{i}")
        assert one.wait() == 0, one.output()
        assert listen(room, 0.2) == {5000: [f"one{i}"], 5001: []}
    drops = [r["flow"] for r in room.node.observe("--verdict", "dropped")]
    assert sum(f["source"]["pod_name"].startswith("lab-one") and f["l4"]["UDP"]["destination_port"] == 5001 for f in drops) >= 3
    assert not endpoints(room.node)


def test_it_is_seen_while_it_runs(room):
    node = room.node
    web = room.daemon.run("web")
    web.running()
    until(lambda: f"{web.cni_id}.eth0" in endpoints(node), 5, "the endpoint")
    e = endpoints(node)[f"{web.cni_id}.eth0"]
    assert e["container"] == {"id": "lab-web", "ifname": "eth0", "network": "lab"}
    assert e["labels"] == {"net": "lab"} and web.address() in e["ips"]
    assert "lab-web\n" in node.cli("endpoint", "list").out
    # Labels may come later: the runtime gave all containers of the network the same.
    node.cli("endpoint", "label", "lab-web.eth0", "net-", "app=web")
    assert web.execute("/usr/bin/bash", "-c", say(room, "free", 5001)).returncode == 0
    assert listen(room, 0.2)[5001] == ["free"]
    web.kill()
    assert not endpoints(node)


def test_configuration_of_the_guide(room):
    """docs/guide/containers.md, its runDir and where leases lie aside."""
    node, daemon = room.node, room.daemon
    with open(os.path.join(ROOT, "docs", "guide", "containers.md"), encoding="utf-8") as f:
        text = f.read()
    config = json.loads(re.search(r"```json\n(.*?)\n```", text, re.S)[1])
    config["plugins"][-1]["runDir"] = node.run_dir
    config["plugins"][0]["ipam"]["dataDir"] = f"{daemon.dir}/guide"
    config["plugins"][0]["ipMasq"] = False  # iptables may not be there
    daemon.conflist(config)
    daemon.load("default")
    web = daemon.run("web", namespace="default")
    web.running()
    e = until(lambda: endpoints(node).get("default-web.eth0"), 5, "the endpoint that the guide shows")
    assert e["labels"] == {"net": "lab"} and e["ips"][0].startswith("10.88.0.") and e["container"]["id"] == "default-web"
    head, line = node.cli("endpoint", "list").out.splitlines()
    assert head.split() == next(shown for shown in text.splitlines() if shown.startswith("NAMESPACE")).split()
    assert len(line.split()) == len(head.split())
    web.kill()


def test_agent_away_means_no_container(room):
    node = room.node
    node.kill_agent()
    one = sender(room, "away")
    assert one.wait() != 0 and "the agent is away" in one.output()
    one.abandon()  # its namespace was made, and ctr leaves it
    assert listen(room, 0.2) == {5000: [], 5001: []}
    cni.chain(room.daemon, failPolicy="open")
    assert sender(room, "open").wait() == 0
    assert listen(room, 0.2) == {5000: ["open"], 5001: ["open"]}
    assert not leftovers(room)


def leftovers(room):
    """What containers that are gone should not have left: interfaces, addresses."""
    links = room.node.ns.run("ip", "-o", "link", "show", "type", "veth").stdout
    veths = [line.split(":")[1].split("@")[0].strip() for line in links.splitlines()]
    ipam = f"{room.daemon.dir}/ipam/lab"
    return [v for v in veths if v != room.server.iface] + [f for f in os.listdir(ipam) if f[0].isdigit()]


def test_agent_killed_between_add_and_delete(room):
    node = room.node
    keep, go = room.daemon.run("keep"), room.daemon.run("go")
    keep.running(), go.running()
    until(lambda: len(endpoints(node)) == 2, 5, "both are guarded")
    node.kill_agent()
    go.kill()
    assert keep.execute("/usr/bin/bash", "-c", say(room, "dead", 5001)).returncode == 0
    assert listen(room, 0.2)[5001] == []  # guarded, agent or not
    node.start_agent()
    assert list(endpoints(node)) == ["lab-keep.eth0"]
    # The same name again.
    again = room.daemon.run("go")
    again.running()
    until(lambda: set(endpoints(node)) == {"lab-keep.eth0", "lab-go.eth0"}, 5, "it is guarded")
    keep.kill(), again.kill()
    assert not endpoints(node) and not leftovers(room)


def test_reboot(room):
    """Power off: containers, interfaces and pins are gone, the agent's state and the runtime's leases are not."""
    node = room.node
    one = room.daemon.run("one")
    one.running()
    until(lambda: endpoints(node), 5, "it is guarded")
    before = endpoints(node)["lab-one.eth0"]
    node.kill_agent()
    one.abandon()
    until(lambda: before["iface"] not in node.ns.run("ip", "link").stdout, 5, "the veth went with its namespace")
    node.ns.run("rm", "-rf", node.pin_dir, check=True)
    node.ns.ip(f"link add other index {before['ifindex']} type veth peer name another")
    node.start_agent()
    assert not endpoints(node)
    assert node.cli("-o", "json", "status").json["attached"]["used"] == 0
    # A runtime deletes what was before when it finds it: ours, and host-local's lease. And the name comes again.
    node.ns.ip("link del other")
    r = cni.call(node, cni.config(node, "1.0.0"), {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": one.cni_id, "CNI_IFNAME": "eth0", "CNI_NETNS": ""})
    assert r.error == 0
    for name in os.listdir(f"{room.daemon.dir}/ipam/lab"):
        if name[0].isdigit():
            os.unlink(f"{room.daemon.dir}/ipam/lab/{name}")
    again = sender(room, "one")
    assert again.wait() == 0, again.output()
    assert listen(room, 0.2) == {5000: ["one"], 5001: []}


def test_containers_come_and_go(room):
    node = room.node
    status = lambda: node.cli("-o", "json", "status").json
    began, running, codes, sent = time.monotonic(), [], [], []
    memory = lambda: int(next(line.split()[1] for line in open(f"/proc/{node.agent.pid}/status", encoding="ascii") if line.startswith("VmRSS")))
    at_start = None
    for i in range(MANY + AT_ONCE):
        if len(running) == AT_ONCE or i >= MANY:
            one = running.pop(0)
            codes.append(one.wait(60))
            assert codes[-1] == 0, one.output()
        if i < MANY:
            running.append(sender(room, f"many{i}"))
            sent.append(f"many{i}")
        if i == min(MANY, 20):
            at_start = memory()
    heard = listen(room, 0.5)
    assert sorted(heard[5000]) == sorted(sent) and heard[5001] == []
    assert not endpoints(node) and not leftovers(room)
    until(lambda: status()["attached"]["used"] == 0, 5, "the kernel side has nobody")
    assert not [f for _, _, files in os.walk(f"{node.pin_dir}") for f in files if f.endswith(("_from", "_to"))]
    assert not os.path.exists(f"{node.run_dir}/cni-deleted") or not os.listdir(f"{node.run_dir}/cni-deleted")
    # Records are kept in memory up to their number.
    assert memory() < at_start + 20000, f"the agent grew from {at_start} to {memory()} KiB"
    print(f"{MANY} containers in {time.monotonic() - began:.1f} s, the agent has {memory()} KiB, {at_start} KiB at first")
