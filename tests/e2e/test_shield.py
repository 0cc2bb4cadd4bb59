# SPDX-License-Identifier: Apache-2.0
"""Shield on a node's device: what comes in from one side is judged, a real server is on the other."""

import itertools
import json
import os
import subprocess
import time

import pytest

from lab.http import ask, get
from lab.node import BIN, ROOT
from lab.packets import IP, UDP, Dot1Q, Ether, Sniffer, send
from lab.servers import nginx
from lab.wait import until

BENCH = os.path.join(os.environ.get("BPFAST_BUILD", os.path.join(ROOT, "build")), "bench")


class Lab:
    def __init__(self, node):
        self.node = node
        self.client, self.web = node.pod("client"), node.pod("web")
        self.web.serve(nginx(self.web.ns, access_log=False))
        node.start_agent()

    def attach(self, *args):
        return self.node.cli("-o", "json", "shield", "attach", self.client.iface, *args).json

    def detach(self):
        self.node.bpfast("shield", "detach", self.client.iface)

    def status(self):
        return self.node.cli("-o", "json", "shield", "status").json

    def device(self, iface=None):
        return next(d for d in self.status()["devices"] if d["interface"] == (iface or self.client.iface))

    def drops(self):
        return {d["reason"]: d["packets"] for d in self.device()["drops"]}

    def get(self, timeout=1):
        return ask(self.client.ns, self.web.ip4, 80, get("/"), timeout=timeout)

    def link(self, ns, dev):
        """What a device is like, without its counters."""
        out = json.loads(ns.run("ip", "-j", "-d", "link", "show", "dev", dev, check=True).stdout)[0]
        return out, ns.run("ethtool", "-k", dev, check=True).stdout

    def clear_lists(self):
        for e in self.node.cli("-o", "json", "shield", "list").json["entries"]:
            self.node.cli("shield", "unblock" if e["list"] == "block" else "unallow", e["cidr"])


@pytest.fixture(scope="module")
def lab(nodes):
    return Lab(nodes(routed=True))


@pytest.fixture
def guarded(lab):
    lab.attach()
    yield lab
    lab.clear_lists()
    lab.detach()


@pytest.mark.parametrize("how, hook", [((), "xdp-native"), (("--generic",), "xdp-generic"), (("--native",), "xdp-native"), (("--tc",), "tc")])
def test_attach_blocks_and_detach_restores(lab, how, hook):
    before = lab.link(lab.node.ns, lab.client.iface), lab.link(lab.client.ns, "eth0")
    nets = lab.node.ns.run("bpftool", "-j", "net", check=True).stdout
    got = lab.attach(*how)
    assert (got["hook"], got["mode"]) == (hook, "enforce"), got
    assert lab.get() == 200
    lab.node.cli("shield", "block", lab.client.ip4)
    lab.node.cli("shield", "block", f"{lab.client.ip6}/128")
    assert lab.get() == "blocked"
    assert ask(lab.client.ns, lab.web.ip6, 80, get("/"), timeout=0.5) == "blocked"
    assert lab.drops()["shield-blocked"] >= 2
    lab.attach("--mode", "audit", *how)
    assert lab.get() == 200
    assert lab.device()["audited"] > 0
    lab.attach("--mode", "off", *how)
    seen = lab.device()["passed"]
    assert lab.get() == 200
    assert lab.device()["passed"] == seen
    lab.attach("--mode", "enforce", *how)
    assert lab.get(0.5) == "blocked"
    lab.clear_lists()
    assert lab.get() == 200
    lab.node.cli("shield", "detach", lab.client.iface)
    assert (lab.link(lab.node.ns, lab.client.iface), lab.link(lab.client.ns, "eth0")) == before
    assert lab.node.ns.run("bpftool", "-j", "net", check=True).stdout == nets
    assert lab.get() == 200


def test_agent_killed_what_is_in_force_stays(guarded):
    lab = guarded
    lab.node.cli("shield", "block", "198.51.100.0/24", "--for", "1h")
    lab.node.cli("shield", "block", lab.client.ip4, "--for", "3s")
    lab.node.cli("shield", "limit", "icmp", "--source", "7:8")
    lab.node.kill_agent()
    assert lab.get(0.5) == "blocked"
    # The time of an entry is the kernel's business.
    until(lambda: lab.get(0.3) == 200, 8, "the entry ends without an agent")
    lab.node.start_agent()
    entries = lab.node.cli("-o", "json", "shield", "list").json["entries"]
    assert [(e["cidr"], e["list"]) for e in entries] == [("198.51.100.0/24", "block")]
    assert 3500 < entries[0]["seconds_left"] <= 3602
    assert lab.status()["limits"]["icmp"]["source"] == {"rate": 7, "burst": 8}
    device = lab.device()
    assert device["attached"] and device["mode"] == "enforce" and device["dropped"] > 0
    lab.node.cli("shield", "limit", "--defaults")
    assert lab.get() == 200
    # What the old agent's programs know the new one's know: the tables are the same.
    lab.node.cli("shield", "block", lab.client.ip4)
    assert lab.get(0.5) == "blocked"


def as_of_version_1(pin, address):
    """The list's head says so, and what it said of the address where this version looks for it is gone: the entries alone are left."""
    show = subprocess.run(["bpftool", "-j", "map", "lookup", "pinned", pin, "key", "0", "0", "0", "0"], check=True, capture_output=True)
    head = [int(x, 16) for x in json.loads(show.stdout)["value"]]
    line = 64 + (int(address.split(".")[0]) << 4) + (int(address.split(".")[1]) >> 4)  # BPFAST_SHIELD_V4_LINE
    for at, value in ((0, [1, *head[1:]]), (line, [0] * 64)):
        subprocess.run(["bpftool", "map", "update", "pinned", pin, "key", *map(str, at.to_bytes(4, "little")), "value", *map(str, value)], check=True)


@pytest.mark.parametrize("how, old_list", [((), False), (("--tc",), False), ((), True)])
def test_tables_of_another_version_are_taken_over(lab, how, old_list):
    """As if an agent with other tables had been here: its layout has another name, and maybe its lists another form."""
    before = lab.link(lab.node.ns, lab.client.iface)
    lab.attach("--mode", "audit", *how)
    lab.node.cli("shield", "block", lab.client.ip4)
    lab.node.cli("shield", "limit", "icmp", "--source", "7:8")
    lab.node.kill_agent()
    pins = os.path.join(lab.node.pin_dir, "shield")
    (layout,) = os.listdir(pins)
    if old_list:
        as_of_version_1(os.path.join(pins, layout, "maps", "list_0"), lab.client.ip4)
    os.rename(os.path.join(pins, layout), os.path.join(pins, "v0-00000000"))
    lab.node.start_agent()
    assert os.listdir(pins) == [layout]
    assert [e["cidr"] for e in lab.node.cli("-o", "json", "shield", "list").json["entries"]] == [f"{lab.client.ip4}/32"]
    device = lab.device()
    assert device["attached"] and device["mode"] == "audit" and device["dropped"] == 0, device
    assert lab.status()["limits"]["icmp"]["source"] == {"rate": 7, "burst": 8}
    assert lab.get() == 200
    assert lab.device()["audited"] > 0
    lab.attach("--mode", "enforce", *how)
    assert lab.get(0.5) == "blocked"
    lab.clear_lists()
    lab.node.cli("shield", "limit", "--defaults")
    lab.detach()
    assert lab.link(lab.node.ns, lab.client.iface) == before


def test_down_restores_the_device(nodes):
    lab = Lab(nodes(routed=True))
    before = lab.link(lab.node.ns, lab.client.iface), lab.link(lab.client.ns, "eth0")
    lab.attach()
    lab.node.cli("shield", "block", lab.client.ip4)
    lab.node.kill_agent()
    lab.node.cli("down", "--pin-dir", lab.node.pin_dir)
    assert (lab.link(lab.node.ns, lab.client.iface), lab.link(lab.client.ns, "eth0")) == before
    assert lab.get() == 200
    assert not os.path.exists(lab.node.pin_dir)


def test_device_that_goes_is_forgotten(lab):
    lab.node.ns.ip("link add gone type veth peer name gone2", "link set gone up")
    lab.node.cli("shield", "attach", "gone")
    lab.node.ns.ip("link del gone")
    until(lambda: not [d for d in lab.status()["devices"] if d["interface"] in ("gone", "")], 3, "the device is forgotten")


def test_clsact_where_tcx_is_missing(nodes):
    """As on Linux 6.1: what goes out is looked at by a filter, and the qdisc goes again."""
    lab = Lab(nodes(routed=True, clsact=True))
    before = lab.link(lab.node.ns, lab.client.iface)
    for how in ((), ("--tc",)):
        lab.attach(*how)
        assert lab.get() == 200
        assert lab.device()["handshakes"] >= 1
        lab.node.cli("shield", "detach", lab.client.iface)
        assert lab.link(lab.node.ns, lab.client.iface) == before


def test_pod_is_guarded_at_its_veth(lab):
    """What goes towards the pod is judged, beside its policies."""
    lab.node.cli("shield", "attach", lab.web.iface, "--pod")
    lab.web.guard()
    try:
        assert lab.get() == 200
        lab.node.cli("shield", "block", lab.client.ip4)
        assert lab.get(0.5) == "blocked"
        lab.node.cli("shield", "unblock", lab.client.ip4)
        assert lab.get() == 200
        assert lab.device(lab.web.iface)["handshakes"] >= 2
    finally:
        lab.web.unguard()
        lab.node.cli("shield", "detach", lab.web.iface)
    assert lab.get() == 200


def test_another_xdp_program_is_named(lab):
    pin = "/sys/fs/bpf/shield-foreign"
    subprocess.run(["bpftool", "prog", "loadall", os.path.join(BENCH, "shuffle.o"), pin], check=True)
    lab.node.ns.run("bpftool", "net", "attach", "xdp", "pinned", f"{pin}/shuffle_pass", "dev", lab.client.iface, check=True)
    try:
        r = lab.node.bpfast("shield", "attach", lab.client.iface)
        assert r.code == 1 and "another XDP program" in r.err and "'shuffle_pass'" in r.err, r.err
        assert not [d for d in lab.status()["devices"] if d["interface"] == lab.client.iface]
        assert lab.get() == 200
    finally:
        lab.node.ns.run("bpftool", "net", "detach", "xdp", "dev", lab.client.iface, check=True)
        subprocess.run(["rm", "-rf", pin], check=True)


BAD = [
    (("attach", "nosuch0"), 1, "interface nosuch0 does not exist here; `ip link`"),
    (("attach",), 2, "usage: bpfast shield attach IF"),
    (("attach", "lo", "--mode", "hard"), 2, "'hard' is not enforce, audit or off"),
    (("attach", "lo", "--tc", "--pod"), 2, "exclude each other"),
    (("attach", "lo"), 1, "lo is the loopback"),
    (("attach", "lo", "--shared"), 1, "lo is the loopback"),
    (("attach", "lo", "--shared", "--tc"), 2, "exclude each other"),
    (("attach", "tun9"), 1, "tun9 carries no Ethernet frames"),
    (("attach", "tun9", "--tc"), 1, "tun9 carries no Ethernet frames"),
    (("attach", "bridge9", "--offload"), 1, "cannot run shield in hardware"),
    (("attach", "bridge9", "--native"), 1, "the driver of bridge9 refuses native XDP"),
    (("detach", "lo"), 1, "lo is not guarded by shield"),
    (("block", "10.0.0.0/33"), 1, "at most 32 bits"),
    (("block", "10.0.0.1/8"), 1, "did you mean 10.0.0.0/8?"),
    (("block", "nonsense"), 1, "'nonsense' is not a CIDR such as"),
    (("block",), 2, "either a CIDR or --file FILE"),
    (("block", "10.0.0.0/8", "--for", "soon"), 2, "'soon' is not a time such as"),
    (("block", "--file", "/nowhere"), 1, "/nowhere: No such file"),
    (("block", "192.0.2.128/25"), 1, "is inside 192.0.2.0/24, which is on the allow list"),
    (("unblock", "192.0.2.0/24"), 1, "192.0.2.0/24 is not on the block list"),
    (("unallow", "192.0.2.1"), 1, "192.0.2.0/24, which holds it, is"),
    (("limit", "tcp", "--source", "1"), 1, "'tcp' is not a class"),
    (("limit", "syn", "--source", "many"), 2, "'many' is not RATE or RATE:BURST"),
    (("limit", "--source", "1"), 2, "say which class"),
    (("limit", "syn", "--source", "1", "--defaults"), 2, "--defaults is about all limits"),
    (("top", "--interval", "0"), 2, "take a number from 1"),
]


def test_bad_input_gets_one_sentence(lab):
    lab.node.ns.ip("link add bridge9 type bridge", "link set bridge9 up", "tuntap add dev tun9 mode tun")
    lab.node.cli("shield", "allow", "192.0.2.0/24")
    for args, code, text in BAD:
        r = lab.node.bpfast("shield", *args)
        assert r.code == code and text in r.err and r.err.count("\n") == 1, (args, r)
        r = lab.node.bpfast("-o", "json", "shield", *args)
        assert r.code == code and text in json.loads(r.err)["error"], (args, r)
    r = lab.node.bpfast("shield", "block", "--file", "-", input="10.0.0.0/8\n\n10.0.0.0/99\n")
    assert r.code == 1 and "nothing was changed: line 3: '10.0.0.0/99'" in r.err, r.err
    r = lab.node.bpfast("shield", "block", "--file", "-", input="10.0.0.0/8\n192.0.2.7\n")
    assert r.code == 1 and "192.0.2.7/32 is inside 192.0.2.0/24" in r.err, r.err
    assert lab.node.cli("-o", "json", "shield", "list").json["total"] == 1
    lab.clear_lists()
    assert [d for d in lab.status()["devices"] if d["interface"] in ("lo", "bridge9", "tun9")] == []
    # Without --native it falls back, and says why.
    got = lab.node.cli("-o", "json", "shield", "attach", "bridge9").json
    assert got["hook"] == "xdp-generic" and "refuses native XDP" in got["why"]
    lab.node.ns.ip("link del bridge9")


def test_files_of_many_prefixes(guarded):
    lab, many = guarded, 200000
    text = "# a feed\n" + "".join(f"{11 + (i >> 16)}.{i >> 8 & 255}.{i & 255}.0/24\n" for i in range(many))
    start = time.monotonic()
    out = lab.node.cli("-o", "json", "shield", "block", "--file", "-", input=text + lab.client.ip4 + "\n", timeout=30).json
    assert out == {"prefixes": many + 1, "in_force": many + 1}
    assert time.monotonic() - start < 10
    assert lab.get(0.5) == "blocked"
    lists = lab.status()["lists"]
    assert lists["block_from_files"] == many + 1 and lists["bytes"] < 64 << 20
    # Allow wins over any of them.
    lab.node.cli("shield", "allow", "10.0.0.0/8")
    assert lab.get() == 200
    lab.node.cli("shield", "unallow", "10.0.0.0/8")
    listed = lab.node.cli("-o", "json", "shield", "list", "--limit", 10).json
    assert listed["total"] == many + 1 and len(listed["entries"]) == 10
    # The next agent has them too.
    lab.node.kill_agent()
    lab.node.start_agent()
    assert lab.status()["lists"] == lists
    assert lab.node.cli("-o", "json", "shield", "block", "--file", "-", "--replace", input="").json == {"prefixes": 0, "in_force": 0}
    assert lab.get() == 200


def test_metrics_status_and_top(guarded):
    lab = guarded
    lab.node.cli("shield", "block", lab.client.ip4)
    lab.get(0.3)
    metrics = lab.node.metrics()
    assert metrics[f'bpfast_shield_dropped_packets_total{{interface="{lab.client.iface}",reason="shield-blocked"}}'] >= 1
    assert metrics['bpfast_shield_list_entries{list="block"}'] == 1
    text = lab.node.cli("shield", "status").out
    assert "shield-blocked" in text and lab.client.iface in text
    top = lab.node.cli("shield", "top", "--count", 1).out
    assert "DROPPED/s" in top and "out-of-state" in top
    assert "syn" in lab.node.cli("shield", "limit").out
    assert lab.client.ip4 in lab.node.cli("shield", "list").out


def test_examples_of_the_guide(lab, tmp_path):
    """Every command of the page, in its order, on a device of this node."""
    (tmp_path / "drop.txt").write_text("1.0.1.0/24\n1.0.2.0/23 ; why\n")
    with open(os.path.join(ROOT, "docs", "guide", "shield.md"), encoding="utf-8") as f:
        page = f.read()
    lines = [line.split(" | ")[0] for line in page.splitlines() if line.startswith("$ ")]
    policy = page.split("```yaml\n")[1].split("```")[0]
    (tmp_path / "uplinks.yaml").write_text(policy.replace("eth0", lab.client.iface))
    assert len(lines) > 8
    try:
        for line in lines:
            words = line.removeprefix("$ ").removeprefix("sudo ").split()
            assert words[0] == "bpfast", line
            here = {"eth0": lab.client.iface, "drop.txt": str(tmp_path / "drop.txt"), "uplinks.yaml": str(tmp_path / "uplinks.yaml")}
            here |= {"10.0.3.7:80": f"{lab.web.ip4}:80", "[fd00::7]:80": f"[{lab.web.ip6}]:80"}
            words = [here.get(w, w) for w in words[1:]]
            lab.node.cli(*words)
    finally:
        lab.clear_lists()
        lab.node.cli("shield", "limit", "--defaults")
        lab.detach()


def test_agent_killed_while_it_attaches(nodes):
    """Whenever it dies, the next one finds a device that is guarded or is not, and can attach and detach it."""
    lab = Lab(nodes(routed=True))
    before = lab.link(lab.node.ns, lab.client.iface)
    for wait in (0.01, 0.04):
        cli = lab.node.ns.popen(os.path.join(BIN, "bpfast"), "--run-dir", lab.node.run_dir, "shield", "attach", lab.client.iface, stderr=-3, stdout=-3)
        time.sleep(wait)
        lab.node.kill_agent()
        cli.wait()
        lab.node.start_agent()
        # Its last step is the mode: before that nothing is judged.
        assert all(d["attached"] and d["mode"] in ("enforce", "off") for d in lab.status()["devices"]), lab.status()
        assert lab.get() == 200
        lab.attach()
        lab.node.cli("shield", "block", lab.client.ip4)
        assert lab.get(0.5) == "blocked"
        lab.node.cli("shield", "unblock", lab.client.ip4)
        lab.node.cli("shield", "detach", lab.client.iface)
        assert lab.link(lab.node.ns, lab.client.iface) == before


@pytest.mark.parametrize("how", [(), ("--generic",), ("--tc",)])
def test_tags_hide_nothing(lab, how):
    """The kernel takes off any number of tags that name no VLAN. What lies behind them is judged, or dropped."""
    mac = json.loads(lab.node.ns.run("ip", "-j", "link", "show", "dev", lab.client.iface, check=True).stdout)[0]["address"]
    ports = itertools.count(4000)

    def arrives(tags, wanted):
        port = next(ports)
        frame = Ether(dst=mac, src=lab.client.mac())
        for _ in range(tags):
            frame = frame / Dot1Q(vlan=0)
        frame = frame / IP(src=lab.client.ip4, dst=lab.web.ip4) / UDP(sport=4444, dport=port) / b"hidden"
        with Sniffer(lab.web.ns) as sniffer:
            send(lab.client.ns, frame)
            return sniffer.wait(lambda e: UDP in e and e[UDP].dport == port, 3 if wanted else 0.3) is not None

    for tags in (1, 2, 3, 8):
        assert arrives(tags, True), f"{tags} tags: nothing arrives without shield"
    lab.attach(*how)
    lab.node.cli("shield", "block", lab.client.ip4)
    try:
        for tags in (1, 2, 3, 4, 8):
            assert not arrives(tags, False), f"{tags} tags hide a source that is blocked"
        lab.clear_lists()
        assert arrives(2, True) and not arrives(8, False)
        assert lab.drops()["shield-malformed"] >= 2
    finally:
        lab.clear_lists()
        lab.detach()


def test_a_target_said_to_be_as_all_has_no_row(lab):
    """Also where what is said is what holds without a word."""
    detect = lambda *args: [t["target"] for t in lab.node.cli("-o", "json", "shield", "detect", *args).json["targets"]]
    assert detect("192.0.2.10:53", "--mode", "audit", "--sensitivity", "low") == ["all", "192.0.2.10:53"]
    assert detect("192.0.2.10:53", "--mode", "enforce", "--sensitivity", "medium") == ["all"]
    detect("--sensitivity", "high")
    assert detect("192.0.2.10", "--sensitivity", "medium") == ["all", "192.0.2.10"]
    assert detect("192.0.2.10", "--sensitivity", "high") == ["all"]
    detect("--sensitivity", "medium")
