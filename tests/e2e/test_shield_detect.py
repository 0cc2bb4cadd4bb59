# SPDX-License-Identifier: Apache-2.0
"""Floods that nobody has set a limit for: found by what is measured, stopped, told, and let go of."""

import contextlib
import datetime
import os
import re
import signal
import time

import pytest
from scapy.all import IP, rdpcap

from lab.http import ask, get
from lab.servers import nginx
from lab.wait import SLOW, until

# `make soak` runs all of them, `make test` those of which each is unlike the others.
LONG = os.environ.get("BPFAST_SHIELD_LONG") == "1"
# The first mitigation after a flood begins, its release after it ends: what the project promises.
FOUND, RELEASED = 1.0, 15.0


class Lab:
    def __init__(self, node):
        self.node = node
        self.bad, self.good, self.web = node.pod("bad"), node.pod("good"), node.pod("web")
        self.web.serve(nginx(self.web.ns, access_log=False, extra="keepalive_requests 1000000;"))
        # Nobody tells those that are answered that they do not exist.
        node.ns.ip("route add blackhole default")
        self.bad.ns.sysctl("net.ipv4.conf.all.rp_filter", 0)
        for key, value in (("tcp_syncookies", 0), ("tcp_max_syn_backlog", 256), ("tcp_synack_retries", 1), ("tcp_no_metrics_save", 1)):
            self.web.ns.sysctl(f"net.ipv4.{key}", value)
        node.start_agent()

    def attach(self, mode="enforce"):
        for pod in (self.bad, self.good):
            self.node.cli("shield", "attach", pod.iface, "--mode", mode)

    def detach(self):
        for pod in (self.bad, self.good):
            self.node.bpfast("shield", "detach", pod.iface)

    def anew(self):
        """Another agent, which finds nothing of the one before: no device guarded, no attack, nothing in force."""
        self.node.kill_agent()
        self.node.cli("down", "--pin-dir", self.node.pin_dir)
        with contextlib.suppress(FileNotFoundError):
            os.remove(os.path.join(self.node.run_dir, "attacks.json"))
        self.node.start_agent()

    def status(self):
        return self.node.cli("-o", "json", "shield", "status").json

    def running(self):
        return self.status()["attacks"]["running"]

    def drops(self, pod):
        device = next(d for d in self.status()["devices"] if d["interface"] == pod.iface)
        return {d["reason"]: d["packets"] for d in device["drops"] if d["packets"]}

    def audited(self, pod):
        return sum(d["audited"] for d in self.status()["devices"] if d["interface"] == pod.iface)

    def counter(self, iface, field):
        with self.node.ns.inside():
            with open("/proc/thread-self/net/dev", encoding="ascii") as f:
                line = next(x for x in f if x.strip().startswith(iface + ":"))
        return int(line.split(":")[1].split()[field])

    def sent(self):
        """Packets that came in by the flooder's device."""
        return self.counter(self.bad.iface, 1)

    def to_web(self):
        """Packets that the node has sent to the server's pod."""
        return self.counter(self.web.iface, 9)

    def ask(self, timeout=1):
        return ask(self.good.ns, self.web.ip4, 80, get("/"), timeout=timeout)

    def flood(self, *args):
        return Flood(self, ["hping3", "-q", "--flood", *args, self.web.ip4])


class Flood:
    def __init__(self, lab, cmd):
        self.lab, self.cmd = lab, cmd

    def __enter__(self):
        before = self.lab.sent()
        self.proc = self.lab.bad.popen(*self.cmd, stdout=-3, stderr=-3, start_new_session=True)
        # The generator takes its time to begin.
        while self.lab.sent() < before + 100 and self.proc.poll() is None:
            time.sleep(0.005)
        self.start = time.time()
        return self

    @staticmethod
    def now():
        """For who comes later."""
        flood = Flood(None, [])
        flood.start = time.time()
        return flood

    def __exit__(self, *_):
        # trafgen sends from a child of its own.
        os.killpg(self.proc.pid, signal.SIGKILL)
        self.proc.wait()
        self.end = time.time()


@pytest.fixture(scope="module")
def lab(nodes):
    return Lab(nodes(routed=True))


@pytest.fixture(autouse=True)
def left_clean(request, lab):
    """What a failed test has left, an attack that is in force or no agent, must not fail those behind it."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed != failed:
        lab.anew()


def seconds(text):
    """RFC 3339 in UTC to seconds since the epoch."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def served(lab, n):
    """Of n new connections, one after the other, how many are answered within a second."""
    return sum(lab.ask() == 200 for _ in range(n))


def trafgen(tmp_path, lab, body):
    """A flood of this frame; the head is written here, from the source address on it is the body's."""
    words = lab.bad.run("ip", "neigh", "show", "169.254.1.1").stdout.split()
    gateway = words[words.index("lladdr") + 1]
    head = ", ".join("0x" + x for x in (gateway + ":" + lab.bad.mac()).split(":"))
    src = tmp_path / "flood.cfg"
    src.write_text("{ " + head + ", 0x08, 0x00, " + body.replace("WEB", lab.web.ip4.replace(".", ", ")) + " }")
    return Flood(lab, ["trafgen", "-q", "--dev", "eth0", "--conf", str(src), "--cpus", "1", "--no-sock-mem"])


# 512 bytes of payload that begin always alike, to a port where nobody listens, each from another source.
PAYLOAD = "0x45, 0x00, c16(540), drnd(2), 0x00, 0x00, 64, 17, csumip(14, 33), drnd(4), WEB, drnd(2), c16(9999), c16(520), 0, 0, " \
    "0xde, 0xad, 0xbe, 0xef, 0xde, 0xad, 0xbe, 0xef, fill('x', 504)"
# What a thousand resolvers send that were asked in somebody's name: responses from port 53 that nobody waits for.
RESPONSE = "0x45, 0x00, c16(540), drnd(2), 0x00, 0x00, 60, 17, csumip(14, 33), 198, 51, 100, drnd(1), WEB, c16(53), drnd(2), c16(520), 0, 0, " \
    "drnd(2), 0x84, 0x00, 0, 1, 0, 10, 0, 0, 0, 0, fill('r', 500)"


def by_detection(lab):
    return sum(n for reason, n in lab.drops(lab.bad).items() if reason in ("shield-adaptive", "shield-fingerprint"))


def wait_for_attack(lab, flood):
    """The first drop that is due to detection, and the attack as it is told then."""

    first = by_detection(lab)
    until(lambda: by_detection(lab) > first, 5 * SLOW, "the flood is met")
    attack = lab.running()[0]
    # Limits are in force in the same tick.
    took = seconds(attack["detected"]) - flood.start
    assert took < FOUND * SLOW, f"met after {took:.2f} s"
    return attack


def let_go(lab, flood):
    while lab.running():
        assert time.time() - flood.end < RELEASED * SLOW, f"not released: {lab.running()}"
        time.sleep(0.1)
    status = lab.status()
    assert not status["detection"]["adopted"]
    return status["attacks"]["ended"][0]


def members(o):
    """Names of all members within; not of maps from names that are values."""
    if isinstance(o, list):
        return set().union(*map(members, o), set())
    if not isinstance(o, dict):
        return set()
    return set(o).union(*(members(v) for k, v in o.items() if k not in ("limits", "classes", "sensitivity_by_policy") or isinstance(v, list)), set())


def documented(status):
    with open(os.path.join(os.path.dirname(__file__), "..", "..", "docs", "guide", "shield-json.md"), encoding="utf-8") as f:
        words = {w for path in re.findall(r"`([a-z_.]+)`", f.read()) for w in path.split(".")}
    http = status.pop("http")
    missing = (members(status) | members({k: v for k, v in http.items() if not isinstance(v, int)})) - words
    assert not missing, f"docs/guide/shield-json.md does not tell of {sorted(missing)}"


def check_record(lab, over, attack, kind, spread):
    """One object, with everything that it promises; the same in the stream, the log and the metrics."""
    assert (over["id"], over["kind"], over["state"], over["spread"]) == (attack["id"], kind, "ended", spread), over
    assert seconds(over["start"]) <= seconds(over["detected"]) < seconds(over["end"]) < seconds(over["released"])
    assert over["passed"] + over["dropped"] == over["packets"] and over["dropped"] > 0.8 * over["packets"], over
    assert over["peak_packets_per_second"] > 2000 and over["mode"] == "enforce"
    lines = [r["attack"] for r in lab.node.cli("-o", "json", "observe").lines if "attack" in r]
    assert [(a["state"], a["kind"]) for a in lines if a["id"] == over["id"]] == [("running", kind), ("ended", kind)]
    assert f"kind={kind} target={over['target']['text']}" in lab.node.log_since()
    documented(lab.status())


def test_syn_flood(lab):
    """It hurts; with shield it is found within a second, those who connected before go on, and it is let go of."""
    lab.attach()
    assert lab.ask() == 200
    lab.attach("off")
    with lab.flood("-S", "-p", "80", "--rand-source"):
        time.sleep(0.5)
        bare = served(lab, 3)
        assert bare <= 1, f"{bare} of 3 are served while the queue is full"
    lab.attach()
    try:
        until(lambda: served(lab, 1), 10, "the queue empties")
        # Of what honest clients send some is kept, to compare with.
        assert served(lab, 300) == 300
        with lab.flood("-S", "-p", "80", "--rand-source") as flood:
            attack = wait_for_attack(lab, flood)
            assert attack["target"]["text"] == f"{lab.web.ip4}:80/TCP" and attack["evidence"] == "unpaired"
            # What is half open is forgotten after three seconds.
            deadline = time.time() + 10 * SLOW
            while not served(lab, 1):
                assert time.time() < deadline, (lab.running(), lab.drops(lab.bad), lab.drops(lab.good))
            got = served(lab, 30)
            assert got >= 29, (got, lab.running(), lab.drops(lab.bad), lab.drops(lab.good))
            assert "syn" in lab.node.cli("shield", "status").out and "flags S" in lab.node.cli("shield", "top", "--count", "1").out
        over = let_go(lab, flood)
        check_record(lab, over, attack, "syn", "spoofed")
        # What is in hping3's SYNs and in no honest ones.
        assert over["rules"] and not over["rules"][0]["audit"] and "window 512" in over["rules"][0]["rule"] and "flags S" in over["rules"][0]["rule"], over["rules"]
        assert lab.drops(lab.good) == {}
    finally:
        lab.detach()


def arrived(lab, seconds_):
    """Packets a second that the node sends to the server's pod."""
    before, start = lab.to_web(), time.monotonic()
    time.sleep(seconds_)
    return (lab.to_web() - before) / (time.monotonic() - start)


FLOODS = [("udp", PAYLOAD, "spoofed", "payload 0xdeadbeefdeadbeef"), ("amp-dns", RESPONSE, "many", "sport 53")]


CHOSEN = FLOODS if LONG else FLOODS[1:]


@pytest.mark.parametrize("kind, body, spread, rule", CHOSEN, ids=[f[0] for f in CHOSEN])
def test_udp_flood(lab, tmp_path, kind, body, spread, rule):
    lab.detach()
    assert lab.bad.run("ping", "-c", 1, "-W", 1, lab.web.ip4).returncode == 0
    with trafgen(tmp_path, lab, body):
        bare = arrived(lab, 0.5)
        assert bare > 5000, f"{bare:.0f} a second arrive without shield"
    lab.attach()
    try:
        assert lab.bad.run("ping", "-c", 1, "-W", 1, lab.web.ip4).returncode == 0
        assert served(lab, 3) == 3
        with trafgen(tmp_path, lab, body) as flood:
            attack = wait_for_attack(lab, flood)
            assert attack["kind"] == kind and attack["target"]["address"] == lab.web.ip4
            time.sleep(1)
            guarded = arrived(lab, 1)
            assert guarded < 0.2 * bare, f"{guarded:.0f} of {bare:.0f} a second arrive"
            assert served(lab, 10) == 10
        over = let_go(lab, flood)
        check_record(lab, over, attack, kind, over["spread"])
        assert any(rule in r["rule"] for r in over["rules"]), over["rules"]
        if kind == "amp-dns":
            assert over["top_prefixes"][0]["prefix"] == "198.51.100.0/24", over["top_prefixes"]
    finally:
        lab.detach()


def test_audit_records_and_drops_nothing(lab):
    lab.attach()
    lab.node.cli("shield", "detect", lab.web.ip4, "--mode", "audit")
    try:
        assert lab.ask() == 200
        dropped = by_detection(lab)
        with lab.flood("--udp", "-p", "7", "--rand-source") as flood:
            until(lab.running, 3 * SLOW, "the attack is told")
            attack = lab.running()[0]
            assert (attack["mode"], attack["kind"]) == ("audit", "udp")
            until(lambda: lab.audited(lab.bad), 3 * SLOW, "it is counted")
        assert by_detection(lab) == dropped, "something was dropped"
        if LONG:
            let_go(lab, flood)
    finally:
        lab.node.cli("shield", "detect", lab.web.ip4, "--mode", "enforce")
        lab.detach()


def history(lab):
    return os.path.join(lab.node.run_dir, "attacks.json")


def brief(attacks):
    """Without what is reckoned anew when it is asked: times of day to the millisecond, the mode of the target now."""
    return [{k: v for k, v in a.items() if k not in ("start", "detected", "end", "released", "mode")} for a in attacks]


def begun(lab, kind):
    """What the metrics say: attacks ever begun. Nobody expects them to fall."""
    return sum(n for name, n in lab.node.metrics().items() if name.startswith("bpfast_shield_attacks_total") and f'"{kind}"' in name)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGTERM], ids=["killed", "ended"])
def test_agent_dies_in_an_attack(lab, sig):
    """What is in force stays, the next agent takes it over, knows which attack it is, and lets go of it."""
    lab.attach()
    try:
        with lab.flood("--udp", "-p", "7", "--rand-source") as flood:
            attack = wait_for_attack(lab, flood)
            until(lambda: os.path.exists(history(lab)), 3 * SLOW, "the history is written")
            # So much of the counters is lost at most.
            time.sleep(2.5)
            before, total = lab.running()[0], begun(lab, "udp")
            lab.node.stop_agent(sig)
            time.sleep(0.3)
            guarded = arrived(lab, 1)
            lab.node.start_agent()
            first = lab.running()
            assert [(a["id"], a["kind"], a["agent_restarts"]) for a in first] == [(attack["id"], "udp", 1)], first
            assert abs(seconds(first[0]["start"]) - seconds(attack["start"])) < 0.1
            assert first[0]["packets"] > 0.1 * before["packets"] and begun(lab, "udp") == total
            assert arrived(lab, 1) < 4000 and guarded < 4000
            # Found again, though all floors are higher at the start.
            until(lambda: lab.running()[0]["limits"], 3 * SLOW, "it is found again")
            assert [a["id"] for a in lab.running()] == [attack["id"]]
            assert lab.running()[0]["packets"] > first[0]["packets"]
        over = let_go(lab, flood)
        assert (over["id"], over["agent_restarts"], "note" in over) == (attack["id"], 1, False), over
        assert os.stat(history(lab)).st_mode & 0o777 == 0o600
        lines = [r["attack"] for r in lab.node.cli("-o", "json", "observe").lines if "attack" in r]
        assert [a["state"] for a in lines if a["id"] == attack["id"]] == ["ended"], "the begin was told by the agent before"
    finally:
        lab.detach()


def test_flood_ends_while_no_agent_runs(lab):
    """The next agent closes the record; what was listed before still is; ids go on; a damaged file is told and left."""
    lab.attach()
    try:
        with lab.flood("--udp", "-p", "7", "--rand-source") as flood:
            attack = wait_for_attack(lab, flood)
            until(lambda: os.path.exists(history(lab)), 3 * SLOW, "the history is written")
        before = lab.status()["attacks"]
        lab.node.kill_agent()
        lab.node.start_agent()
        assert [a["id"] for a in lab.running()] == [attack["id"]] and lab.running()[0]["limits"] == []
        until(lambda: not lab.running(), RELEASED * SLOW, "it is closed")
        after = lab.status()["attacks"]["ended"]
        assert after[0]["id"] == attack["id"] and "was started again" in after[0]["note"], after[0]
        assert seconds(after[0]["end"]) < seconds(after[0]["released"])
        # What was over before says what it said.
        assert brief(after[1:]) == brief(before["ended"][: len(after) - 1]) and len(after) == min(20, len(before["ended"]) + 1)
        lab.node.kill_agent()
        lab.node.start_agent()
        again = lab.status()["attacks"]
        assert again["running"] == [] and brief(again["ended"]) == brief(after)
        with lab.flood("--udp", "-p", "7", "--rand-source") as flood:
            assert wait_for_attack(lab, flood)["id"] == attack["id"] + 1
            lab.node.kill_agent()
            with open(history(lab), "r+", encoding="ascii") as f:
                f.truncate(100)
            mark = len(lab.node.log_since())
            lab.node.start_agent()
            assert lab.node.log_since(mark).count("attacks.json cannot be used") == 1
            assert lab.status()["attacks"]["ended"] == []
        until(lambda: not lab.running() and not lab.status()["detection"]["adopted"], RELEASED * SLOW, "it is let go of")
    finally:
        lab.detach()


def test_capture_of_sampled_drops(lab, tmp_path):
    """Only headers are written unless the payload is asked for."""
    lab.attach()
    try:
        lab.node.cli("shield", "block", lab.bad.ip4)
        with Flood(lab, ["hping3", "-q", "--flood", "--udp", "-p", "7", "-d", "40", "-e", "secret-secret-secret", lab.web.ip4]):
            time.sleep(0.5)
        for args, secret in (([], False), (["--payload"], True)):
            file = tmp_path / "drops.pcap"
            said = lab.node.cli("-o", "json", "shield", "capture", "--write", str(file), *args).json
            packets = rdpcap(str(file))
            assert said["packets"] == len(packets) > 10
            mine = [p for p in packets if IP in p and p[IP].src == lab.bad.ip4 and p[IP].dst == lab.web.ip4]
            assert len(mine) > 10 and mine[-1].wirelen == 82
            assert (b"secret" in bytes(mine[-1])) == secret
            assert file.stat().st_mode & 0o777 == 0o600
    finally:
        lab.node.cli("shield", "unblock", lab.bad.ip4)
        lab.detach()


def test_honest_load_is_no_attack(lab):
    """512 connections at once, a connection for each request, a burst after quiet."""
    lab.attach()
    try:
        before = lab.status()["attacks"]
        for _ in range(5 if LONG else 1):
            wrk = lab.good.run("wrk", "-t", 2, "-c", 512, "-d", f"{2 * SLOW}s", f"http://{lab.web.ip4}/", timeout=30).stdout
            assert int(re.search(r"(\d+) requests in", wrk).group(1)) > 1000, wrk
            ab = lab.good.run("ab", "-q", "-n", 6000, "-c", 100, f"http://{lab.web.ip4}/", timeout=30).stdout
            assert "Complete requests:      6000" in ab, ab
            time.sleep(1.5)
        after = lab.status()
        assert lab.drops(lab.good) == {}
        assert after["attacks"]["running"] == [] and len(after["attacks"]["ended"]) == len(before["ended"]), after["attacks"]
    finally:
        lab.detach()
