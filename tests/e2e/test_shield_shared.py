# SPDX-License-Identifier: Apache-2.0
"""Shield beside somebody else's XDP program, in libxdp's dispatcher.

Not every kernel lets a program take a place there (freplace). Where it does not, it is tried how that is said;
tests/kernels runs the rest, on kernels that do.
"""

import glob
import json
import os
import re
import socket
import subprocess

import pytest

from lab.http import ask, get
from lab.node import BIN, ROOT
from lab.servers import Echo
from lab.wait import SLOW, until

TALLY = os.path.join(os.environ.get("BPFAST_BUILD", os.path.join(ROOT, "build")), "bench", "tally.o")
PINS = "/sys/fs/bpf/xdp"


class Lab:
    def __init__(self, node):
        self.node = node
        self.client, self.web = node.pod("client"), node.pod("web")
        self.iface = self.client.iface
        self.web.serve(Echo(self.web.ns, 80))
        until(lambda: self.link()["operstate"] == "UP", 5, "the veth has its carrier")
        self.before = self.link()
        node.start_agent(patience=60)

    def link(self):
        """What the device is like: all but its counters."""
        return json.loads(self.node.ns.run("ip", "-j", "-d", "link", "show", "dev", self.iface, check=True).stdout)[0]

    def attach(self, *args):
        return self.node.cli("-o", "json", "shield", "attach", self.iface, *args, timeout=60).json

    def detach(self):
        self.node.cli("shield", "detach", self.iface, timeout=60)

    def device(self):
        return next((d for d in self.node.cli("-o", "json", "shield", "status").json["devices"] if d["interface"] == self.iface), None)

    def get(self, timeout=1):
        return ask(self.client.ns, self.web.ip4, 80, get("/"), timeout=timeout)

    # --- the other's program ---

    def load(self, mode="native"):
        return self.node.ns.run("xdp-loader", "load", "-m", mode, self.iface, TALLY, timeout=60)

    def unload(self):
        self.node.ns.run("xdp-loader", "unload", "--all", self.iface, timeout=60)

    def programs(self):
        """Names in the order in which they run; [] where no dispatcher has the device."""
        out = self.node.ns.run("xdp-loader", "status", self.iface, check=True).stdout
        return re.findall(r"^ => +\d+ +(\w+)", out, re.M)

    def counted(self):
        """Packets that the other's program has seen."""
        (number,) = re.findall(r"^ => +\d+ +tally +(\d+)", self.node.ns.run("xdp-loader", "status", self.iface, check=True).stdout, re.M)
        prog = json.loads(subprocess.run(["bpftool", "-j", "prog", "show", "id", number], check=True, capture_output=True).stdout)
        rows = json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "id", str(prog["map_ids"][0])], check=True, capture_output=True).stdout)
        return rows[0]["formatted"]["value"]

    def judges(self, beside=True):
        """What is blocked is dropped before the other sees it; what passes reaches it."""
        seen = self.counted() if beside else 0
        assert self.get() == 200
        if beside:
            assert self.counted() >= seen + 4, "what passes does not reach the other program"
        self.node.cli("shield", "block", self.client.ip4)
        try:
            assert self.get(0.4) == "blocked"
            seen, dropped = self.counted() if beside else 0, self.device()["dropped"]
            self.client.ns.run("ping", "-q", "-c", 40, "-i", 0.02, "-W", 1, self.web.ip4)
            assert self.device()["dropped"] >= dropped + 40
            if beside:
                # ARP, neighbours of IPv6 and the like pass.
                assert self.counted() <= seen + 20, "what is dropped reaches the other program"
        finally:
            self.node.cli("shield", "unblock", self.client.ip4)


@pytest.fixture(scope="module")
def lab(nodes):
    return Lab(nodes(routed=True))


@pytest.fixture
def other(lab):
    """Somebody else's program is on the device."""
    r = lab.load()
    assert r.returncode == 0, r.stderr
    yield lab
    lab.unload()
    assert lab.link() == lab.before


@pytest.fixture(scope="module")
def shares(lab):
    """Does the kernel let programs share a device? Tried, by libxdp itself."""
    r = lab.load()
    assert r.returncode == 0, r.stderr
    has = lab.programs() == ["tally"]
    lab.unload()
    return has


@pytest.fixture
def sharing(shares):
    if not shares:
        pytest.skip("this kernel lets no program into another (freplace); tests/kernels/run.py runs it on those that do")


def bare(lab, *args):
    """The command as root without the one capability that it takes. -> its message"""
    cmd = ["setpriv", "--bounding-set=-sys_admin", os.path.join(BIN, "bpfast"), "--run-dir", lab.node.run_dir, "shield", "attach", lab.iface, *args]
    r = lab.node.ns.run(*cmd, timeout=60)
    assert r.returncode == 1 and r.stderr.count("\n") == 1, r
    return r.stderr


def test_refused_in_one_sentence_and_nothing_half_done(lab, shares):
    """By the kernel, or because the command has not the right."""
    if shares:
        assert lab.load().returncode == 0
        said = bare(lab)
        assert "CAP_SYS_ADMIN" in said and "--tc" in said, said
        assert lab.programs() == ["tally"]
    else:
        r = lab.node.bpfast("shield", "attach", lab.iface, "--shared", timeout=60)
        assert r.code == 1 and r.err.count("\n") == 1 and f"XDP of {lab.iface} cannot be shared" in r.err and "leave --shared out" in r.err, r
        assert lab.link() == lab.before
        assert lab.load().returncode == 0
        r = lab.node.bpfast("shield", "attach", lab.iface)
        assert r.code == 1 and "another XDP program" in r.err and "'tally' (program " in r.err and "--tc" in r.err, r
        r = lab.node.bpfast("shield", "attach", lab.iface, "--shared")
        assert r.code == 1 and "no dispatcher of libxdp" in r.err and "'tally' (program " in r.err, r
    assert lab.device() is None and lab.get() == 200
    assert lab.attach("--tc")["hook"] == "tc"
    lab.judges(beside=False)
    lab.detach()
    lab.unload()
    assert lab.link() == lab.before


def test_beside_a_program_that_was_there(sharing, other):
    lab = other
    got = lab.attach("--mode", "audit")
    assert (got["hook"], got["mode"], got["why"]) == ("xdp-shared", "audit", "beside tally"), got
    assert lab.programs() == ["bpfast_shshare", "tally"]
    lab.attach()
    lab.judges()
    device = lab.device()
    assert device["attached"] and device["others"] == ["tally"] and device["handshakes"] >= 1 and "note" not in device, device
    text = lab.node.cli("shield", "status").out
    assert f"shared     {lab.iface} with tally\n" in text and "xdp-shared" in text, text
    # Another agent finds it, and changes what it does.
    lab.node.cli("shield", "block", lab.client.ip4, "--for", "1h")
    lab.node.kill_agent()
    assert lab.get(0.4) == "blocked"
    lab.node.start_agent(patience=60)
    lab.node.cli("shield", "unblock", lab.client.ip4)
    assert lab.programs() == ["bpfast_shshare", "tally"]
    lab.judges()
    lab.detach()
    assert lab.programs() == ["tally"] and lab.device() is None
    seen = lab.counted()
    assert lab.get() == 200 and lab.counted() >= seen + 4
    r = lab.node.bpfast("shield", "detach", lab.iface)
    assert r.code == 1 and "is not guarded by shield" in r.err, r


def test_others_join_later(sharing, lab):
    assert lab.attach("--shared")["hook"] == "xdp-shared"
    assert lab.programs() == ["bpfast_shshare"]
    lab.judges(beside=False)
    assert lab.load().returncode == 0
    assert lab.programs() == ["bpfast_shshare", "tally"]
    lab.judges()
    lab.detach()
    assert lab.programs() == ["tally"]
    lab.unload()
    assert lab.link() == lab.before


def test_what_somebody_takes_away_is_not_said_to_be_guarded(sharing, other):
    lab = other
    lab.attach()
    lab.unload()
    for _ in range(2):
        device = lab.device()
        assert not device["attached"] and f"run `bpfast shield attach {lab.iface}`" in device["note"], device
        assert re.search(rf"^{lab.iface} +xdp-shared +gone ", lab.node.cli("shield", "status").out, re.M)
        lab.node.kill_agent()
        lab.node.start_agent(patience=60)
    assert "is not guarded: shield is not among the programs" in lab.node.log_since()
    assert lab.load().returncode == 0
    lab.attach()
    lab.judges()
    lab.detach()
    assert lab.programs() == ["tally"]


def test_killed_between_the_steps(sharing, other):
    """The agent has done its part and the command nothing; and the other way round."""
    lab = other
    ask_agent = ["shield attach", {"interface": lab.iface, "hook": "best"}], ["shield detach", {"interface": lab.iface}]

    def says(command, args):
        request = json.dumps({"command": command, "args": args}) + "\n"
        code = "import socket,sys; s=socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]); s.sendall(sys.argv[2].encode()); print(s.makefile().readline())"
        return json.loads(lab.node.ns.run("python3", "-c", code, f"{lab.node.run_dir}/bpfast.sock", request, check=True).stdout)

    assert says(*ask_agent[0])["result"]["share"]["fresh"]
    assert not lab.device()["attached"] and lab.programs() == ["tally"] and lab.get() == 200
    lab.attach()
    lab.judges()
    says(*ask_agent[1])
    assert lab.device() is None and lab.programs() == ["bpfast_shshare", "tally"] and lab.get() == 200
    lab.detach()
    assert lab.programs() == ["tally"]
    # With the agent's part undone, or not, an attach mends it too.
    lab.attach()
    says(*ask_agent[1])
    lab.attach()
    assert lab.programs() == ["bpfast_shshare", "tally"]
    lab.judges()
    lab.detach()
    assert lab.programs() == ["tally"]


def test_program_of_another_build(sharing, other):
    """As if an agent of the next version had been started: it knows by a note of which build the program is."""
    lab = other
    lab.attach()
    notes = glob.glob(os.path.join(lab.node.pin_dir, "shield", "*", "shared", "*"))
    assert len(notes) == 1, notes
    os.rename(notes[0], notes[0][:-16] + "0" * 16)
    device = lab.device()
    assert device["attached"] and "is of another version of BPFast" in device["note"], device
    lab.judges()
    lab.attach()
    assert "note" not in lab.device() and lab.programs() == ["bpfast_shshare", "tally"]
    lab.judges()
    lab.detach()
    assert lab.programs() == ["tally"]


def test_tables_of_another_version(sharing, other):
    """The program that was there has the tables that the agent has left: it stops, status says so, and attach replaces it."""
    lab = other
    lab.attach()
    lab.node.kill_agent()
    pins = os.path.join(lab.node.pin_dir, "shield")
    (layout,) = [d for d in os.listdir(pins) if d.startswith("v")]  # where there is no TCX, qdisc is there too
    os.rename(os.path.join(pins, layout), os.path.join(pins, "v0-00000000"))
    lab.node.start_agent(patience=60)
    device = lab.device()
    assert not device["attached"] and "bpfast shield attach" in device["note"], device
    lab.node.cli("shield", "block", lab.client.ip4)
    assert lab.get() == 200
    lab.attach()
    assert lab.programs() == ["bpfast_shshare", "tally"]
    assert lab.get(0.4) == "blocked"
    lab.node.cli("shield", "unblock", lab.client.ip4)
    lab.judges()
    lab.detach()
    assert lab.programs() == ["tally"]


@pytest.fixture
def second(lab, nodes):
    """Another BPFast on the same host: other directories, other tables."""
    node = nodes(routed=True)
    own, node.ns, node.metrics_port = node.ns, lab.node.ns, lab.node.metrics_port + 1
    node.start_agent(patience=60)
    yield node
    node.kill_agent()
    node.bpfast("down", "--pin-dir", node.pin_dir, timeout=60)
    node.ns = own


def test_another_bpfast_has_it(sharing, other, second):
    """It cannot be seen by the agent, and its program bears the same name: neither takes the other's away."""
    lab = other
    lab.attach()
    r = second.bpfast("shield", "attach", lab.iface, timeout=60)
    assert r.code == 1 and r.err.count("\n") == 1 and "another BPFast" in r.err and f"guards {lab.iface}" in r.err, r
    assert second.cli("-o", "json", "shield", "status").json["devices"] == []
    # Nor by detach and down.
    r = second.bpfast("shield", "detach", lab.iface, timeout=60)
    assert r.code == 1 and "is not guarded by shield" in r.err, r
    second.kill_agent()
    second.cli("down", "--pin-dir", second.pin_dir, timeout=60)
    assert lab.programs() == ["bpfast_shshare", "tally"]
    lab.judges()
    lab.detach()
    # Where the first has let go, the second may.
    second.start_agent(patience=60)
    second.cli("shield", "attach", lab.iface, timeout=60)
    assert lab.programs() == ["bpfast_shshare", "tally"] and lab.device() is None
    second.cli("shield", "detach", lab.iface, timeout=60)
    assert lab.programs() == ["tally"]


POLICY = """
apiVersion: bpfast.io/v1alpha1
kind: ShieldPolicy
metadata: {name: uplinks}
spec: {devices: [%s], mode: audit}
"""


def test_a_policy_says_which_command_it_needs(sharing, other):
    lab = other
    r = lab.node.bpfast("policy", "apply", "-f", "-", input=POLICY % lab.iface)
    assert r.code == 1 and f"run `bpfast shield attach {lab.iface}`" in r.err, r
    with open(os.path.join(lab.node.policy_dir, "uplinks.yaml"), "w", encoding="ascii") as f:
        f.write(POLICY % lab.iface)
    failures = until(lambda: lab.node.cli("-o", "json", "shield", "status").json["failures"], 8, "the policy is seen")
    assert f"run `bpfast shield attach {lab.iface}`" in failures[0], failures
    lab.attach()
    until(lambda: lab.device()["mode"] == "audit" and lab.device()["by"] == "policy", 8, "the policy has the device")
    assert not lab.node.cli("-o", "json", "shield", "status").json["failures"]
    assert lab.programs() == ["bpfast_shshare", "tally"]
    os.unlink(os.path.join(lab.node.policy_dir, "uplinks.yaml"))
    until(lambda: lab.device()["mode"] == "enforce" and lab.device()["by"] == "command", 8, "it is the command's again")
    lab.detach()
    assert lab.programs() == ["tally"]


def test_syn_cookies_beside(sharing, lab):
    """The answer keeps the frame's length, for the dispatcher lets nobody change that."""
    sources = [f"10.77.{lab.node.number}.{i}" for i in range(1, 9)]
    lab.client.ns.ip(*[f"addr add {s}/32 dev eth0" for s in sources])
    lab.node.ns.ip(f"route add 10.77.{lab.node.number}.0/24 dev {lab.iface}")
    # What native XDP of a veth sends back is lost.
    assert lab.load("skb").returncode == 0
    r = lab.node.bpfast("shield", "attach", lab.iface, "--native", timeout=60)
    assert r.code == 1 and "runs generic XDP" in r.err and lab.device() is None, r
    lab.attach()
    lab.node.cli("shield", "cookies", "on", f"{lab.web.ip4}:80", "--always")
    try:
        for source in sources:
            with lab.client.ns.inside():
                s = socket.socket()
            with s:
                s.settimeout(2 * SLOW)
                s.bind((source, 0))
                s.connect((lab.web.ip4, 80))
                s.sendall(get("/"))
                assert s.recv(4096).startswith(b"HTTP/1.1 200")
        # Now and then one goes to the listener itself.
        assert lab.device()["cookies"] >= 2, lab.device()
    finally:
        lab.detach()
        lab.unload()
    assert lab.node.cli("shield", "cookies").out == "SYN cookies are on for no destination\n"
    assert lab.link() == lab.before


def test_down_leaves_the_others(sharing, nodes):
    lab = Lab(nodes(routed=True))
    assert lab.load().returncode == 0
    lab.attach()
    lab.node.cli("shield", "block", lab.client.ip4)
    lab.node.kill_agent()
    assert lab.get(0.4) == "blocked"
    lab.node.cli("down", "--pin-dir", lab.node.pin_dir, timeout=60)
    assert lab.programs() == ["tally"] and not os.path.exists(lab.node.pin_dir)
    seen = lab.counted()
    assert lab.get() == 200 and lab.counted() >= seen + 4
    lab.unload()
    assert lab.link() == lab.before
    assert os.listdir(PINS) == []
