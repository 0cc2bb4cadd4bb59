# SPDX-License-Identifier: Apache-2.0
"""ShieldPolicy objects: devices follow them, commands stay apart from them, and all of it or nothing comes into force."""

import json
import os
import time

import pytest

from lab.http import ask, get
from lab.node import BIN
from lab.servers import nginx
from lab.wait import until


def policy(name, **spec):
    return {"apiVersion": "bpfast.io/v1alpha1", "kind": "ShieldPolicy", "metadata": {"name": name}, "spec": spec}


class Lab:
    def __init__(self, node):
        self.node = node
        self.client, self.web = node.pod("client"), node.pod("web", {"app": "web"})
        self.web.serve(nginx(self.web.ns, access_log=False))
        node.start_agent()

    def apply(self, *objects):
        return self.node.apply("\n---\n".join(json.dumps(o) for o in objects))

    def refused(self, *args, **kw):
        r = self.node.bpfast(*args, **kw)
        assert r.code == 1, r
        return r.err

    def refuse(self, *objects):
        return self.refused("policy", "apply", "-f", "-", input="\n---\n".join(json.dumps(o) for o in objects))

    def delete(self, *names):
        self.node.cli("policy", "delete", *(f"ShieldPolicy/{n}" for n in names))

    def status(self):
        return self.node.cli("-o", "json", "shield", "status").json

    def devices(self):
        return {d["interface"]: d for d in self.status()["devices"]}

    def says(self, iface):
        d = self.devices().get(iface)
        return d and (d["hook"], d["mode"], d["by"], d.get("policy"), d.get("command_mode"))

    def entries(self):
        got = self.node.cli("-o", "json", "shield", "list").json["entries"]
        return sorted((e["list"], e["cidr"], e["from"], e.get("policy")) for e in got)

    def limit(self, name, scope):
        got = self.status()["limits"][name][scope]
        return got["rate"], got["burst"]

    def get(self, timeout=1):
        return ask(self.client.ns, self.web.ip4, 80, get("/"), timeout=timeout)


@pytest.fixture(scope="module")
def shared(nodes):
    return Lab(nodes(routed=True))


@pytest.fixture
def lab(shared):
    yield shared
    for name in os.listdir(shared.node.policy_dir):
        os.unlink(os.path.join(shared.node.policy_dir, name))
    until(lambda: not shared.node.policies("directory"), 5, "the directory is empty")
    shared.node.clear_policies()
    for e in shared.node.cli("-o", "json", "shield", "list").json["entries"]:
        shared.node.cli("shield", "unblock" if e["list"] == "block" else "unallow", e["cidr"])
    for iface in shared.devices():
        shared.node.cli("shield", "detach", iface)
    shared.node.cli("shield", "limit", "--defaults")


def test_devices_lists_and_limits_follow_the_object(lab):
    iface = lab.client.iface
    lab.apply(policy("uplinks", devices=[iface], block=[lab.client.ip4],
                     limits=[{"class": "icmp", "scope": "source", "rate": 7, "burst": 9}], sensitivity="high"))
    assert lab.says(iface) == ("xdp-native", "enforce", "policy", "uplinks", None)
    assert lab.devices()[iface]["sensitivity"] == "high"
    assert lab.get(0.5) == "blocked"
    assert lab.limit("icmp", "source") == (7, 9)
    assert lab.entries() == [("block", f"{lab.client.ip4}/32", "policy", "uplinks")]
    # Said as the other kinds say it.
    listed = next(o for o in lab.node.cli("-o", "json", "policy", "list").json["objects"] if o["kind"] == "ShieldPolicy")
    assert (listed["name"], listed["mode"], listed["rules"]) == ("uplinks", "enforce", 2)
    assert lab.node.cli("-o", "json", "policy", "get", "ShieldPolicy/uplinks").json["spec"]["devices"] == [iface]
    text = lab.node.cli("shield", "status").out
    assert "policy uplinks" in text and "policy     uplinks: mode enforce, sensitivity high; 1 devices" in text, text
    # Changed in place; nothing of the old one stays.
    lab.apply(policy("uplinks", devices=[iface], mode="audit", hook="tc"))
    assert lab.says(iface) == ("tc", "audit", "policy", "uplinks", None)
    assert lab.get() == 200
    assert (lab.entries(), lab.limit("icmp", "source")) == ([], (200, 1000))
    lab.delete("uplinks")
    assert lab.says(iface) is None


def test_commands_stay_apart(lab):
    iface = lab.client.iface
    node = lab.node
    node.cli("shield", "attach", iface, "--mode", "audit")
    node.cli("shield", "block", "198.51.100.0/24")
    node.cli("shield", "limit", "udp", "--source", "11:12")
    lab.apply(policy("p", devices=[iface], block=["198.51.100.0/24", "203.0.113.0/24"],
                     limits=[{"class": "udp", "scope": "source", "rate": 21}]))
    assert lab.says(iface) == ("xdp-native", "enforce", "policy", "p", "audit")
    assert lab.entries() == [("block", "198.51.100.0/24", "command", None), ("block", "198.51.100.0/24", "policy", "p"),
                             ("block", "203.0.113.0/24", "policy", "p")]
    assert lab.limit("udp", "source") == (21, 21)
    for command in (("detach", iface), ("attach", iface, "--mode", "off"), ("unblock", "203.0.113.0/24"),
                    ("limit", "udp", "--source", "5:5")):
        assert "ShieldPolicy p" in lab.refused("shield", *command), command
    # What the policy does not say is the command's.
    node.cli("shield", "limit", "udp", "--prefix", "31:32")
    node.cli("shield", "unblock", "198.51.100.0/24")
    assert [e[2] for e in lab.entries()] == ["policy", "policy"]
    # A new agent knows which is which.
    node.kill_agent()
    node.start_agent()
    assert lab.says(iface) == ("xdp-native", "enforce", "policy", "p", "audit")
    assert [e[2] for e in lab.entries()] == ["policy", "policy"]
    lab.delete("p")
    assert lab.says(iface) == ("xdp-native", "audit", "command", None, None)
    assert lab.entries() == []
    assert (lab.limit("udp", "source"), lab.limit("udp", "prefix")) == ((11, 12), (31, 32))


def test_devices_and_pods_come_and_go(lab):
    node = lab.node
    lab.apply(policy("late", devices=["late0", "glob*"]), policy("pods", endpointSelector={"matchLabels": {"app": "web"}}))
    assert next(p for p in lab.status()["policies"] if p["name"] == "late")["waits_for"] == ["late0"]
    try:
        for dev in ("late0", "globular", "other0"):
            node.ns.run("ip", "link", "add", dev, "type", "veth", "peer", "name", f"p{dev}", check=True)
        until(lambda: {"late0", "globular"} <= set(lab.devices()), 5, "devices are guarded when they come")
        assert "other0" not in lab.devices()
        lab.web.guard()
        assert lab.says(lab.web.iface) == ("pod", "enforce", "policy", "pods", None)
        assert lab.get() == 200
        # A pattern is about devices, not about pods, and not about tunnels, which have no Ethernet frames.
        node.ns.run("ip", "tuntap", "add", "tun7", "mode", "tun", check=True)
        lab.apply(policy("late", devices=["*"], mode="audit"))
        assert lab.says(lab.web.iface)[:2] == ("pod", "enforce")
        assert lab.says("other0")[1] == "audit"
        assert lab.says("lo") is None and lab.says("tun7") is None
        assert "tun7 carries no Ethernet frames" in lab.refuse(policy("tunnel", devices=["tun7"]))
        # Who names the device is asked first.
        lab.apply(policy("named", devices=["other0"], mode="off"))
        assert lab.says("other0")[1:] == ("off", "policy", "named", None)
        lab.web.unguard()
        until(lambda: (lab.says(lab.web.iface) or "??")[0] != "pod", 5, "the pod's hook goes with the endpoint")
        lab.delete("late", "named")
        assert lab.devices() == {}
    finally:
        for dev in ("late0", "globular", "other0", "tun7"):
            node.ns.run("ip", "link", "del", dev)


def test_all_or_nothing(lab):
    iface = lab.client.iface
    lab.apply(policy("good", devices=[iface], mode="audit", block=["203.0.113.0/24"]))
    was = lab.says(iface), lab.entries()
    err = lab.refuse(policy("own", devices=[iface], allow=["10.0.0.0/8"], block=["10.1.0.0/16"]))
    assert "the policy blocks its own allow list: 10.1.0.0/16 lies within 10.0.0.0/8" in err
    err = lab.refuse(policy("a", devices=[iface], limits=[{"class": "udp", "scope": "source", "rate": 1}]),
                     policy("b", devices=[iface], limits=[{"class": "udp", "scope": "source", "rate": 2}]))
    assert "ShieldPolicy a" in err and "ShieldPolicy b" in err
    err = lab.refuse(policy("wide", allow=["203.0.0.0/8"]))
    assert "ShieldPolicy good blocks 203.0.113.0/24, but ShieldPolicy wide allows 203.0.0.0/8" in err
    assert "ShieldPolicy good allows" not in err
    # A device that cannot be guarded takes the whole back: another way by a command is in the way.
    lab.node.cli("shield", "attach", lab.web.iface, "--tc")
    err = lab.refuse(policy("good", devices=[iface], block=["192.0.2.0/24"]), policy("native", devices=[lab.web.iface], hook="native"))
    assert err.count("\n") == 1 and "ShieldPolicy native" in err and lab.web.iface in err, err
    assert lab.says(lab.web.iface) == ("tc", "enforce", "command", None, None)
    assert (lab.says(iface), lab.entries()) == was
    assert lab.node.policies() == ["ShieldPolicy/good"]


def test_directory_and_a_new_agent(lab):
    iface, node = lab.client.iface, lab.node
    path = os.path.join(node.policy_dir, "shield.yaml")
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    with open(path, "w", encoding="utf-8") as f:
        json.dump(policy("file", devices=[iface], block=[{"cidr": lab.client.ip4, "until": soon}]), f)
    until(lambda: lab.says(iface), 5, "the directory is in force")
    assert lab.get(0.5) == "blocked"
    node.kill_agent()
    assert lab.get(0.5) == "blocked"
    node.start_agent()
    assert lab.says(iface) == ("xdp-native", "enforce", "policy", "file", None)
    entry = node.cli("-o", "json", "shield", "list").json["entries"][0]
    assert entry["policy"] == "file" and 3500 < entry["seconds_left"] <= 3603
    # Taken away while nobody looked.
    node.kill_agent()
    os.unlink(path)
    node.start_agent()
    assert (lab.says(iface), lab.entries()) == (None, [])
    assert lab.get() == 200


def test_agent_killed_while_it_applies(lab):
    """Whenever it dies: what it attached is known to be a policy's, and goes with it."""
    iface, node = lab.client.iface, lab.node
    node.cli("shield", "limit", "icmp", "--source", "7:8")
    for wait in (0, 0.005, 0.01, 0.02, 0.04):
        text = json.dumps(policy("p", devices=[iface], block=["203.0.113.0/24"], limits=[{"class": "icmp", "scope": "source", "rate": 3}]))
        cli = node.ns.popen(os.path.join(BIN, "bpfast"), "--run-dir", node.run_dir, "policy", "apply", "-f", "-", stdin=-1, stdout=-3, stderr=-3)
        cli.stdin.write(text.encode() if "b" in getattr(cli.stdin, "mode", "wb") else text)
        cli.stdin.close()
        time.sleep(wait)
        node.kill_agent()
        cli.wait()
        node.start_agent()
        there = "ShieldPolicy/p" in node.policies()
        assert lab.says(iface) == (("xdp-native", "enforce", "policy", "p", None) if there else None), wait
        assert len(lab.entries()) == there
        assert lab.limit("icmp", "source") == ((3, 3) if there else (7, 8)), wait
        if there:
            lab.delete("p")
        assert (lab.says(iface), lab.entries(), lab.limit("icmp", "source")) == (None, [], (7, 8)), wait
