# SPDX-License-Identifier: Apache-2.0
"""Real floods through a guarded device, each first seen to arrive without shield; and honest load, of which nothing may be lost."""

import contextlib
import os
import re
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from lab.http import ask, get
from lab.servers import nginx
from lab.wait import SLOW, until

SECONDS = 0.5
# `make soak` runs all of them, `make test` those of which each is unlike the others.
LONG = os.environ.get("BPFAST_SHIELD_LONG") == "1"


class Lab:
    def __init__(self, node):
        self.node = node
        self.bad, self.good, self.web = node.pod("bad"), node.pod("good"), node.pod("web")
        # Both clients come in by one device, as they would by an uplink: a bridge in a namespace between.
        self.web.serve(nginx(self.web.ns, access_log=False, extra="keepalive_requests 1000000;"))
        node.start_agent()
        self.node.cli("shield", "limit", "--defaults")
        # Hard limits are tried here; what finds attacks by itself has test_shield_detect.py.
        self.node.cli("shield", "detect", "--mode", "off")

    def devices(self):
        return {d["interface"]: d for d in self.node.cli("-o", "json", "shield", "status").json["devices"]}

    def arrived(self):
        """Packets that the node has sent to the server's pod."""
        with self.node.ns.inside():
            with open("/proc/thread-self/net/dev", encoding="ascii") as f:
                line = next(x for x in f if x.strip().startswith(self.web.iface + ":"))
        return int(line.split(":")[1].split()[9])

    def sent(self):
        """Packets that came in by the flooder's device."""
        with self.node.ns.inside():
            with open("/proc/thread-self/net/dev", encoding="ascii") as f:
                line = next(x for x in f if x.strip().startswith(self.bad.iface + ":"))
        return int(line.split(":")[1].split()[1])

    def drops(self):
        return {d["reason"]: d["packets"] for d in self.devices()[self.bad.iface]["drops"]}


@pytest.fixture(scope="module")
def lab(nodes):
    return Lab(nodes(routed=True))


def hping(lab, *args):
    return ["hping3", "-q", "--flood", *args, lab.web.ip4]


def trafgen(tmp_path, lab, body, mac):
    src = tmp_path / "flood.cfg"
    src.write_text(body)
    return ["trafgen", "-q", "--dev", "eth0", "--conf", str(src), "--cpus", "1", "--no-sock-mem"]


@contextlib.contextmanager
def flooding(lab, cmd):
    """The flood goes on within."""
    before = lab.sent()
    proc = lab.bad.popen(*cmd, stdout=-3, stderr=-3, start_new_session=True)
    try:
        # The generator takes its time to begin.
        until(lambda: lab.sent() > before + 10 or proc.poll() is not None, 10, "the flood begins")
        yield
        assert proc.poll() is None, f"the flood ended by itself: {cmd}"
    finally:
        # trafgen sends from a child of its own, which goes on where only its parent is killed.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(proc.pid, signal.SIGKILL)
        proc.wait()


def run_for(lab, cmd, seconds=SECONDS):
    """Runs the flood; returns packets that arrived, and how many were sent, in that time."""
    with flooding(lab, cmd):
        before, start = lab.arrived(), time.monotonic()
        time.sleep(seconds * SLOW)
        return (lab.arrived() - before) / (time.monotonic() - start)


# name, hping3's arguments, the reason, and how many packets a second may arrive once the burst is gone
FLOODS = [
    ("SYN from one source", ("-S", "-p", "80"), "shield-source-limit", 500),
    ("SYN, forged sources", ("-S", "-p", "80", "--rand-source"), "shield-destination-limit", 5000),
    ("SYN-ACK", ("-S", "-A", "-p", "80"), "shield-out-of-state", 200),
    ("ACK, forged sources", ("-A", "-p", "80", "--rand-source"), "shield-out-of-state", 2000),
    ("RST", ("-R", "-p", "80"), "shield-out-of-state", 200),
    ("FIN with ACK", ("-F", "-A", "-p", "80"), "shield-out-of-state", 200),
    ("FIN alone", ("-F", "-p", "80"), "shield-tcp-flags", 0),
    ("Xmas", ("-F", "-P", "-U", "-p", "80"), "shield-tcp-flags", 0),
    ("ICMP", ("--icmp",), "shield-source-limit", 200),
    ("UDP, forged sources", ("--udp", "-p", "53", "--rand-source"), "shield-destination-limit", 5000),
    ("LAND", ("-S", "-p", "80", "-a", "{web}"), "shield-martian-address", 0),
    ("from loopback", ("-S", "-p", "80", "-a", "127.0.0.1"), "shield-martian-address", 0),
]


SHORT = ("SYN from one source", "SYN, forged sources", "ACK, forged sources", "Xmas", "UDP, forged sources", "LAND", "teardrop", "fragments")


def chosen(rows):
    rows = [r for r in rows if LONG or r[0] in SHORT]
    return {"argvalues": rows, "ids": [r[0] for r in rows]}


@pytest.mark.parametrize("name, args, reason, rate", **chosen(FLOODS))
def test_flood(lab, name, args, reason, rate):
    lab.bad.ns.sysctl("net.ipv4.conf.all.rp_filter", 0)
    cmd = hping(lab, *[a.replace("{web}", lab.web.ip4) for a in args])
    bare = run_for(lab, cmd)
    # A router drops loopback and its own by itself; all others are there without shield.
    if "martian" not in reason:
        assert bare > 3 * rate + 2000, f"{name}: only {bare:.0f} a second arrive without shield"
    lab.node.cli("shield", "attach", lab.bad.iface)
    try:
        if "udp" in " ".join(args):
            lab.node.cli("shield", "limit", "udp", "--destination", "5000:10")
        else:
            # Bursts would last longer than the test.
            for c in ("syn", "out-of-state", "icmp"):
                now = lab.node.cli("-o", "json", "shield", "limit").json[c]
                lab.node.cli("shield", "limit", c, *[x for s in now for x in (f"--{s}", f"{now[s]['rate']}:10")])
        before = lab.drops().get(reason, 0)
        guarded = run_for(lab, cmd)
        dropped = lab.drops().get(reason, 0) - before
        assert dropped > 1000, f"{name}: {lab.drops()}"
        # Now and then the web server sends something of its own: neighbour discovery.
        assert guarded < 1.5 * rate + 100, f"{name}: {guarded:.0f} a second arrive, {bare:.0f} without"
        # Who floods is named, where it is one.
        if "--rand-source" not in args and "-a" not in args:
            top = lab.node.cli("-o", "json", "shield", "status").json["top"]
            assert any(t["source"] == lab.bad.ip4 and t["reason"] == reason for t in top), top
    finally:
        lab.node.cli("shield", "limit", "--defaults")
        lab.node.cli("shield", "detach", lab.bad.iface)


FRAGMENTS = """
#define ETH_P_IP 0x0800
{
  %s,
  0x08, 0x00,
  0x45, 0x00, c16(%d), drnd(2), %s, 64, %d, csumip(14, 33),
  %s, %s,
  fill('x', %d)
}
"""


def bytes_of(address):
    return ", ".join(address.split("."))


def ethernet(lab, gateway):
    """The first 12 bytes of what the flooder sends to its gateway."""
    mac = lab.bad.run("ip", "neigh", "show", gateway).stdout.split()
    return ", ".join("0x" + x for x in (mac[mac.index("lladdr") + 1] + ":" + lab.bad.mac()).split(":"))


def frame(lab, flags, proto, payload):
    """One fragment as trafgen writes it; flags: the 16 bits of flags and offset."""
    return FRAGMENTS % (ethernet(lab, "169.254.1.1"), 20 + payload, flags, proto, bytes_of(lab.bad.ip4), bytes_of(lab.web.ip4), payload)


FORMED = [
    ("teardrop", "0x20, 0x00", 17, 36, 0),
    ("tiny fragments", "0x20, 0x10", 6, 8, 0),
    ("ping of death", "0x1f, 0xff", 1, 600, 0),
    ("fragments", "0x00, 0xb9", 17, 600, 2000),
    ("unknown protocol", "0x00, 0x00", 253, 100, 20000),
]


@pytest.mark.parametrize("name, flags, proto, payload, rate", **chosen(FORMED))
def test_flood_of_formed_packets(lab, tmp_path, name, flags, proto, payload, rate):
    assert lab.bad.run("ping", "-c", 1, "-W", 1, lab.web.ip4).returncode == 0
    reason = "shield-bad-fragment" if not rate else "shield-source-limit"
    stops(lab, name, trafgen(tmp_path, lab, frame(lab, flags, proto, payload), None), reason, rate)


def stops(lab, name, cmd, reason, rate, meanwhile=lambda: None):
    """It arrives without shield; with shield no more of it than `rate` packets a second, and `meanwhile` is called."""
    before = lab.sent()
    bare = run_for(lab, cmd)
    assert bare > rate + 2000, f"{name}: {bare:.0f} a second arrive without shield; {lab.sent() - before} were sent"
    lab.node.cli("shield", "attach", lab.bad.iface)
    try:
        # Bursts would last longer than the test.
        for c, now in lab.node.cli("-o", "json", "shield", "limit").json.items():
            if c != "udp":
                lab.node.cli("shield", "limit", c, *[x for s in now for x in (f"--{s}", f"{now[s]['rate']}:10")])
        lab.node.cli("shield", "limit", "udp", "--destination", "5000:10")
        before = lab.drops().get(reason, 0)
        guarded = run_for(lab, cmd)
        assert lab.drops().get(reason, 0) - before > 1000, lab.drops()
        assert guarded < 1.5 * rate + 100, f"{name}: {guarded:.0f} a second arrive, {bare:.0f} without"
        meanwhile()
    finally:
        lab.node.cli("shield", "limit", "--defaults")
        lab.node.cli("shield", "detach", lab.bad.iface)


# --- the same over IPv6 ---

SIX = """
{
  %s,
  0x86, 0xdd,
  0x60, 0, 0, 0, c16(%d), %d, 64,
  %s, %s,
  %s
}
"""
FORGED = "0xfd, 0x99, drnd(14)"


def tcp(flags, port=80):
    return 6, 20, f"drnd(2), c16({port}), drnd(4), drnd(4), 0x50, {flags}, c16(512), 0, 0, 0, 0"


# name, (next header, bytes, what they are), is the source forged, reason, packets a second that may arrive
FLOODS6 = [
    ("SYN from one source", tcp("0x02"), False, "shield-source-limit", 500),
    ("SYN, forged sources", tcp("0x02"), True, "shield-destination-limit", 5000),
    ("ACK, forged sources", tcp("0x10"), True, "shield-out-of-state", 2000),
    ("RST", tcp("0x04"), False, "shield-out-of-state", 200),
    ("UDP, forged sources", (17, 28, "drnd(2), c16(53), c16(28), 0, 0, drnd(20)"), True, "shield-destination-limit", 5000),
    ("ICMPv6", (58, 24, "128, 0, 0, 0, drnd(4), drnd(16)"), False, "shield-source-limit", 200),
    ("fragments", (44, 108, "17, 0, c16(1480), drnd(4), fill('x', 100)"), False, "shield-source-limit", 2000),
]


def bytes6(address):
    return ", ".join(str(b) for b in socket.inet_pton(socket.AF_INET6, address))


def flood6(lab, tmp_path, packet, forged):
    """forged: from everywhere, from this address (its bytes), or not."""
    assert lab.bad.run("ping", "-c", 1, "-W", 1, lab.web.ip6).returncode == 0
    header, length, body = packet
    source = FORGED if forged is True else forged or bytes6(lab.bad.ip6)
    return trafgen(tmp_path, lab, SIX % (ethernet(lab, "fe80::1"), length, header, source, bytes6(lab.web.ip6), body), None)


def asks6(lab, pod):
    return ask(pod.ns, lab.web.ip6, 80, get("/"), timeout=2 * SLOW)


@pytest.mark.parametrize("name, packet, forged, reason, rate", FLOODS6, ids=[f[0] for f in FLOODS6])
def test_flood_over_ipv6(lab, tmp_path, name, packet, forged, reason, rate):
    """And a client over IPv6 that has connected before is served meanwhile, through a guarded device of its own."""
    cmd = flood6(lab, tmp_path, packet, forged)
    lab.node.cli("shield", "attach", lab.good.iface)
    try:
        assert asks6(lab, lab.good) == 200

        def served_meanwhile():
            before = lab.drops()[reason]
            with flooding(lab, cmd):
                until(lambda: lab.drops()[reason] > before + 500, 5, "the flood is on")
                got = [asks6(lab, lab.good) for _ in range(10)]
            assert got == [200] * 10, (got, lab.devices()[lab.good.iface])

        stops(lab, name, cmd, reason, rate, served_meanwhile)
    finally:
        lab.node.cli("shield", "detach", lab.good.iface)


def test_neighbours_are_found_in_a_flood_of_icmp6(lab, tmp_path):
    """A limit of ICMPv6 must not cut neighbour discovery, not even the flooder's own: whoever is forgotten is found again."""
    packet = next(f[1] for f in FLOODS6 if f[0] == "ICMPv6")
    cmd = flood6(lab, tmp_path, packet, False)
    lab.node.cli("shield", "attach", lab.good.iface)

    def forgotten_and_found():
        before = lab.drops()["shield-source-limit"]
        with flooding(lab, cmd):
            until(lambda: lab.drops()["shield-source-limit"] > before + 500, 5, "the flood is on")
            for pod in (lab.good, lab.bad):
                pod.run("ip", "-6", "neigh", "flush", "dev", "eth0", check=True)
                lab.node.ns.run("ip", "-6", "neigh", "flush", "dev", pod.iface, check=True)
                assert "lladdr" not in pod.run("ip", "-6", "neigh", "show", "fe80::1").stdout
                assert asks6(lab, pod) == 200, lab.devices()[pod.iface]
                assert "lladdr" in pod.run("ip", "-6", "neigh", "show", "fe80::1").stdout

    try:
        stops(lab, "ICMPv6", cmd, "shield-source-limit", 200, forgotten_and_found)
    finally:
        lab.node.cli("shield", "detach", lab.good.iface)


# --- honest load ---


def many(lab, sources, each):
    """Connections from all these addresses at once -> what each request got."""

    def one(source):
        return [ask_from(lab, source) for _ in range(each)]

    with ThreadPoolExecutor(50) as pool:
        return [got for answers in pool.map(one, sources) for got in answers]


def ask_from(lab, source):
    return ask(lab.good.ns, lab.web.ip4, 80, get("/"), timeout=5) if source is None else asked(lab, source)


def asked(lab, source):
    r = lab.good.run("curl", "-sS", "-o", "/dev/null", "-m", 10 * SLOW, "--interface", source, "-w", "%{http_code}", f"http://{lab.web.ip4}/")
    return int(r.stdout) if r.stdout.isdigit() else r.stderr


@pytest.mark.seconds(90)
@pytest.mark.parametrize("how", ["--native", "--generic", "--tc"] if LONG else ["--native"])
def test_honest_load_loses_nothing(lab, how):
    """What looks like an attack and is none: 512 connections at once, a connection for each request, a burst after quiet, 200 clients."""
    good = lab.good
    # The server's side too: what answers is judged as well.
    for pod in (good, lab.web):
        lab.node.cli("shield", "attach", pod.iface, how)
    try:
        wrk = good.run("wrk", "-t", 2, "-c", 512, "-d", f"{2 * SLOW}s", f"http://{lab.web.ip4}/", timeout=30).stdout
        assert int(re.search(r"(\d+) requests in", wrk).group(1)) > 1000 and "Socket errors" not in wrk, wrk
        ab = good.run("ab", "-q", "-n", 6000, "-c", 100, f"http://{lab.web.ip4}/", timeout=30).stdout
        assert "Complete requests:      6000" in ab and re.search(r"Failed requests:\s+0\n", ab), ab
        time.sleep(1)
        assert set(many(lab, [None] * 50, 8)) == {200}
        if how == "--native":
            sources = [f"10.77.0.{i}" for i in range(1, 201)]
            good.ns.ip(*[f"addr add {s}/32 dev eth0" for s in sources])
            lab.node.ns.ip(f"route add 10.77.0.0/24 dev {good.iface}")
            assert set(many(lab, sources, 2)) == {200}
        for pod in (good, lab.web):
            device = lab.devices()[pod.iface]
            # The server still answers floods of earlier tests, also to addresses that are none.
            dropped = [d for d in device["drops"] if pod is good or d["reason"] != "shield-martian-address"]
            assert dropped == [], dropped
            assert device["handshakes"] >= 6000
    finally:
        for pod in (good, lab.web):
            lab.node.cli("shield", "detach", pod.iface)


def served(lab, n=40, timeout=1, every=0):
    """Of n new connections, one after the other, how many are answered in that time."""
    time.sleep(every)
    return sum(ask(lab.good.ns, lab.web.ip4, 81, get("/"), timeout=timeout) == 200 for _ in range(n))


def test_flood_hurts_and_who_was_there_before_is_served(lab):
    """A server without SYN cookies: forged SYNs fill its queue. With shield a client that has connected before does not notice."""
    queue = {"tcp_syncookies": 0, "tcp_max_syn_backlog": 256, "tcp_synack_retries": 1, "tcp_no_metrics_save": 1}
    was = {k: lab.web.run("sysctl", "-n", f"net.ipv4.{k}", check=True).stdout.strip() for k in queue}
    for key, value in queue.items():
        lab.web.ns.sysctl(f"net.ipv4.{key}", value)
    # Its own port: the queue of the other one may hold what earlier floods have left.
    lab.web.serve(nginx(lab.web.ns, port=81, access_log=False))
    # Nor does it know of earlier connections whom it may trust, and nobody tells it that those it answers do not exist.
    lab.web.run("ip", "tcp_metrics", "flush", check=True)
    lab.node.ns.ip("route add blackhole default")
    for pod in (lab.bad, lab.good):
        lab.node.cli("shield", "attach", pod.iface)
    assert served(lab, 1) == 1
    for pod in (lab.bad, lab.good):
        lab.node.cli("shield", "attach", pod.iface, "--mode", "off")
    lab.node.cli("shield", "limit", "syn", "--destination", "30:30")
    cmd = ["nice", "-n", "-15", *hping(lab, "-S", "-p", "81", "--rand-source")]
    proc = lab.bad.popen(*cmd, stdout=-3, stderr=-3, start_new_session=True)
    try:
        # On a busy machine the flood pauses now and then, and what comes just then is served.
        bare = sum(served(lab, 1, timeout=0.2, every=0.2) for _ in range(12))
        assert bare <= 7, f"{bare} of 12 are served while the queue is full"
        for pod in (lab.bad, lab.good):
            lab.node.cli("shield", "attach", pod.iface, "--mode", "enforce")
        # What is half open is forgotten after three seconds.
        until(lambda: served(lab, 1), 10, "the queue empties")
        assert served(lab) >= 38
        assert lab.devices()[lab.good.iface]["dropped"] <= 20
    finally:
        # nice is the parent of the one that sends.
        os.killpg(proc.pid, signal.SIGKILL)
        proc.wait()
        lab.node.cli("shield", "limit", "--defaults")
        lab.node.ns.ip("route del blackhole default")
        for key, value in was.items():
            lab.web.ns.sysctl(f"net.ipv4.{key}", value)
        for pod in (lab.bad, lab.good):
            lab.node.bpfast("shield", "detach", pod.iface)


def test_allow_list_passes_a_flood(lab):
    """Allow wins over blocks, limits and form: what the administrator has said is not weighed."""
    lab.node.cli("shield", "attach", lab.bad.iface)
    try:
        lab.node.cli("shield", "block", "10.0.0.0/8")
        assert run_for(lab, hping(lab, "--icmp"), 0.3) < 200
        lab.node.cli("shield", "allow", lab.bad.ip4)
        before = sum(lab.drops().values())
        assert run_for(lab, hping(lab, "--icmp"), 0.3) > 2000
        assert sum(lab.drops().values()) == before
    finally:
        lab.node.cli("shield", "unallow", lab.bad.ip4)
        lab.node.cli("shield", "unblock", "10.0.0.0/8")
        lab.node.cli("shield", "detach", lab.bad.iface)


# --- in the name of a client: the last, for it leaves drops of the good client ---


@pytest.mark.parametrize("version", [4, 6])
def test_flood_in_the_name_of_a_client(lab, tmp_path, version):
    """It spends the client's limit, and the client's own SYNs are stopped. What its stack sends again a second later is not."""
    lab.bad.ns.sysctl("net.ipv4.conf.all.rp_filter", 0)
    # A port of its own: what earlier floods left half open at the other one stays there for a minute, and a full queue refuses the client too.
    port = 80 + version
    lab.web.serve(nginx(lab.web.ns, port=port, access_log=False))
    address = lab.web.ip4 if version == 4 else lab.web.ip6
    if version == 4:
        # Not as fast as it goes: that is more than there is room for, and takes the client's CPU.
        cmd = ["hping3", "-q", "-i", "u4", "-S", "-p", str(port), "-a", lab.good.ip4, lab.web.ip4]
    else:
        cmd = [*flood6(lab, tmp_path, tcp("0x02", port), bytes6(lab.good.ip6)), "--gap", "4us"]
    for pod in (lab.bad, lab.good):
        lab.node.cli("shield", "attach", pod.iface)
    lab.node.cli("shield", "limit", "syn", "--source", "20:20")

    def served(seconds):
        with ThreadPoolExecutor(15) as pool:
            return list(pool.map(lambda _: ask(lab.good.ns, address, port, get("/"), timeout=seconds / SLOW), range(15)))

    try:
        assert served(5) == [200] * 15
        before = lab.drops().get("shield-source-limit", 0)
        with flooding(lab, cmd):
            until(lambda: lab.drops().get("shield-source-limit", 0) > before + 5000, 5, "the flood is on")
            hurt = served(0.7)
            assert hurt.count(200) <= 3, f"the flood takes nothing from the client: {hurt}"
            # Sent again after one second, three and seven.
            got = served(8 * SLOW)
            assert got == [200] * 15, (got, lab.devices()[lab.good.iface])
    finally:
        lab.node.cli("shield", "limit", "--defaults")
        for pod in (lab.bad, lab.good):
            lab.node.cli("shield", "detach", pod.iface)
