# SPDX-License-Identifier: Apache-2.0
"""Slow clients, floods of connections and of requests, against a real Apache with the limits it comes with; each first seen to hurt. And honest load."""

import contextlib
import os
import re
import socket
import subprocess
import threading
import time

import pytest

from lab.http import Closed, Connection, ask, get
from lab.policy import http, payload
from lab.servers import Echo, apache, nginx
from lab.wait import SLOW, until

LONG = os.environ.get("BPFAST_SHIELD_LONG") == "1"
SECONDS = 20 if LONG else 3
APACHE, NGINX, ECHO, PLAIN = 80, 81, 9000, 82


class Lab:
    def __init__(self, node):
        self.node = node
        self.bad, self.good, self.web = node.pod("bad"), node.pod("good"), node.pod("web")
        self.web.serve(apache(self.web.ns, APACHE))
        self.web.serve(nginx(self.web.ns, NGINX, access_log=False))
        self.web.serve(nginx(self.web.ns, PLAIN, access_log=False))
        self.web.serve(Echo(self.web.ns, ECHO))
        node.start_agent()
        self.web.guard()
        rules = [http(None, port, {"method": ".*"}) for port in (APACHE, NGINX, ECHO)]
        node.apply(payload("web", {"app": "web"}, ingress=rules + [http(None, PLAIN)]))
        # More sources than one: what comes back to them goes to the pod.
        self.sources = [f"10.77.0.{i}" for i in range(1, 201)]
        self.bad.ns.ip(*[f"addr add {s}/32 dev eth0" for s in self.sources])
        node.ns.ip(f"route add 10.77.0.0/24 dev {self.bad.iface}")

    def http(self, *args):
        return self.node.cli("-o", "json", "shield", "http", *args).json

    def ended(self):
        return {r["reason"]: r for r in self.http()["ended"]}

    def blocked(self):
        return {e["cidr"] for e in self.node.cli("-o", "json", "shield", "list").json["entries"] if e["list"] == "block"}

    def dropped(self):
        devices = self.node.cli("-o", "json", "shield", "status").json["devices"]
        return {d["reason"]: d["packets"] for v in devices for d in v["drops"]}

    def forget(self):
        """Nothing is blocked, and nothing held against anybody."""
        # Apache is freed at once of what attackers left behind.
        self.http("--defaults")
        self.http("--mode", "enforce", "--head-seconds", 1, "--strikes", 0)
        self.unblock()
        until(lambda: ask(self.good.ns, self.web.ip4, APACHE, get("/hello"), timeout=1) == 200, 20, "Apache recovers")
        until(lambda: not self.http()["slow"], 5, "nobody is slow any more")
        self.http("--defaults", "--mode", "off")
        self.unblock()
        self.http("--mode", "as-devices")

    def unblock(self):
        """What is listed may end by itself meanwhile."""
        for e in self.node.cli("-o", "json", "shield", "list").json["entries"]:
            self.node.bpfast("shield", "unblock" if e["list"] == "block" else "unallow", e["cidr"])

    def waits(self, seconds, path="/hello"):
        """A good client asks all the time -> how long each answer took; more than a second is one second too many."""
        took, end = [], time.monotonic() + seconds * SLOW
        while time.monotonic() < end:
            began = time.monotonic()
            got = ask(self.good.ns, self.web.ip4, APACHE, get(path), timeout=1.5)
            took.append(time.monotonic() - began if got == 200 else 9.0)
            time.sleep(0.05)
        return took


@pytest.fixture(scope="module")
def lab(nodes):
    return Lab(nodes(routed=True))


@pytest.fixture
def guarded(lab):
    lab.node.cli("shield", "attach", lab.bad.iface)
    lab.forget()
    yield lab
    lab.forget()
    lab.node.cli("shield", "detach", lab.bad.iface)


@contextlib.contextmanager
def slowhttptest(lab, *args):
    p = lab.bad.popen("slowhttptest", *args, "-c", 1000, "-r", 200, "-l", 120, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        p.kill()
        p.wait()


@contextlib.contextmanager
def slowloris(lab, sources, n=1000, rate=200):
    """The same by hand, from many addresses: heads that never end."""
    stop, socks = threading.Event(), []

    def run():
        for i in range(n):
            with lab.bad.ns.inside():
                s = socket.socket()
            try:
                s.settimeout(1)
                s.bind((sources[i % len(sources)], 0))
                s.setblocking(False)
                with contextlib.suppress(BlockingIOError):
                    s.connect((lab.web.ip4, APACHE))
                socks.append(s)
            except OSError:
                s.close()
            for late in socks[-40:-20]:
                with contextlib.suppress(OSError):
                    late.send(b"GET /hello HTTP/1.1\r\nHost: web\r\n" if late not in begun else b"")
                    begun.add(late)
            if stop.wait(1 / rate):
                return

    begun = set()
    t = threading.Thread(target=run)
    t.start()
    try:
        yield
    finally:
        stop.set()
        t.join()
        for s in socks:
            s.close()


SLOW_ATTACKS = {
    "slow head": (("-H", "-i", 10), "/hello", "http-head-slow"),
    "slow body": (("-B", "-i", 10), "/hello", "http-body-slow"),
    "slow read": (("-X", "-w", 1, "-y", 64, "-n", 5, "-z", 5), "/files/big", "http-read-slow"),
}


def hurts(lab, attack, reason):
    """Without enforcement the good client starves; in mode audit that is seen, and only seen."""
    lab.http("--mode", "audit")
    before = lab.ended().get(reason, {"audited": 0, "connections": 0})
    with attack():
        # Apache makes processes until it has as many as it may.
        until(lambda: max(lab.waits(0.3)) > 1, 10, "unguarded, a good client has to wait")
    after = lab.ended()[reason]
    assert after["audited"] > before["audited"] and after["connections"] == before["connections"]
    assert not lab.blocked()
    lab.forget()


def holds(lab, attack, reason):
    before = lab.ended().get(reason, {"connections": 0})["connections"]
    with attack():
        took = lab.waits(SECONDS)
    assert max(took) < 1, f"a good client waited {max(took):.2f} s, {[round(t, 2) for t in took if t > 0.3]}"
    assert lab.ended()[reason]["connections"] - before >= 30


@pytest.mark.parametrize("name", [n for n in SLOW_ATTACKS if LONG or n != "slow body"])
def test_slow_client_of_a_thousand_connections(guarded, name):
    args, path, reason = SLOW_ATTACKS[name]

    def attack():
        return slowhttptest(guarded, *args, "-u", f"http://{guarded.web.ip4}{path}")

    hurts(guarded, attack, reason)
    holds(guarded, attack, reason)
    until(lambda: guarded.blocked() == {f"{guarded.bad.ip4}/32"}, 3, "the source is blocked")
    assert guarded.dropped()["shield-blocked"] > 0
    r = [x["flow"] for x in guarded.node.observe("--verdict", "dropped")]
    assert any(x.get("drop_reason_desc") == reason and x["IP"]["source"] == guarded.bad.ip4 for x in r), r[-3:]


def test_slow_clients_of_two_hundred_sources(guarded):
    """Each has five connections, which is no crime: it is the server that has too many that wait."""

    def attack():
        return slowloris(guarded, guarded.sources)

    hurts(guarded, attack, "http-head-slow")
    holds(guarded, attack, "http-head-slow")


@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_the_server_is_told(guarded, family):
    """Of connections whose clients say nothing any more, the server has none left; the client learns it when it goes on."""
    source = getattr(guarded.bad, family)

    def at_the_server():
        out = guarded.web.run("ss", "-Htn", "state", "established", "src", f"[{getattr(guarded.web, family)}]" if family == "ip6" else guarded.web.ip4).stdout
        return out.count(source)

    held = [Connection(guarded.bad.ns, getattr(guarded.web, family), APACHE).send("GET /hello HTTP/1.1\r\nHost: w") for _ in range(40)]
    try:
        assert at_the_server() == 40
        until(lambda: at_the_server() == 0, 3, "the server is rid of them", every=0.05)
        prefix = f"{source}/32" if family == "ip4" else source.split("::")[0] + "::/64"
        until(lambda: guarded.blocked() == {prefix}, 3, "its source is blocked")
        guarded.node.cli("shield", "unblock", prefix)
        with pytest.raises((OSError, Closed)):
            for _ in range(20):
                held[0].send("x")
                time.sleep(0.05)
    finally:
        for c in held:
            c.close()


def entries(lab):
    got = lab.node.cli("-o", "json", "shield", "list").json["entries"]
    return sorted((e["cidr"], e["from"]) for e in got if e["list"] == "block")


@contextlib.contextmanager
def slow_source(lab, family):
    """So many slow connections that `shield http` blocks their source -> its prefix."""
    source = getattr(lab.bad, family)
    prefix = f"{source}/32" if family == "ip4" else source.split("::")[0] + "::/64"
    held = [Connection(lab.bad.ns, getattr(lab.web, family), APACHE).send("GET /hello HTTP/1.1\r\nHost: w") for _ in range(40)]
    try:
        until(lambda: (prefix, "http") in entries(lab), 5 * SLOW, "its source is blocked")
        yield source, prefix
    finally:
        for c in held:
            c.close()


@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_unblock_says_whose_entry_it_was(guarded, family):
    """What `shield http` blocked goes when it is named, and stays when somebody's wider or narrower entry goes."""
    node = guarded.node
    wide = "10.0.0.0/8" if family == "ip4" else "fd00::/16"
    with slow_source(guarded, family) as (source, prefix):
        node.cli("shield", "block", wide)
        out = node.cli("shield", "unblock", wide).out
        assert out == f"{wide} is not on the block list any more (command)\n1 blocked by shield http lie within it and stay blocked\n"
        assert entries(guarded) == [(prefix, "http")]
        # The user's own of the same prefix is another entry: neither takes the other's place, nor its time.
        node.cli("shield", "block", prefix, "--for", "1h")
        assert entries(guarded) == [(prefix, "command"), (prefix, "http")]
        assert node.cli("shield", "unblock", prefix).out == f"{prefix} is not on the block list any more (command, shield http: {prefix} at default/web)\n"
        assert entries(guarded) == []
    guarded.forget()
    with slow_source(guarded, family) as (source, prefix):
        node.cli("shield", "block", wide)
        # One address is enough, also where all of its /64 is blocked.
        said = node.cli("-o", "json", "shield", "unblock", source).json
        assert said["removed"] == 1 and said["entries"] == [{"from": "http", "cidr": prefix, "endpoint": "default/web",
                                                             "destination": getattr(guarded.web, family)}], said
        assert said["still"] == {"cidr": wide, "from": "command"}, said
        assert entries(guarded) == [(wide, "command")]
        refused = node.bpfast("shield", "unblock", prefix)
        assert refused.code == 1 and f"{wide}, which holds it, is" in refused.err
        node.cli("shield", "unblock", wide)


def test_who_is_allowed_may_be_slow(guarded):
    guarded.node.cli("shield", "allow", guarded.bad.ip4)
    before = guarded.ended().get("http-head-slow", {"connections": 0})["connections"]
    with slowhttptest(guarded, "-H", "-i", 10, "-u", f"http://{guarded.web.ip4}/hello"):
        time.sleep(1.5 * SLOW)
        assert guarded.http()["slow"] > 64
    assert guarded.ended().get("http-head-slow", {"connections": 0})["connections"] == before
    assert not guarded.blocked()


def test_flood_of_requests(guarded):
    guarded.http("--requests", 300)
    r = guarded.bad.run("wrk", "-t", 1, "-c", 20, "-d", f"{3 * SLOW}s", f"http://{guarded.web.ip4}/hello", timeout=30).stdout
    assert guarded.blocked() == {f"{guarded.bad.ip4}/32"}, r
    assert guarded.ended()["http-flood"]["connections"] > 0
    assert max(guarded.waits(1)) < 1
    guarded.forget()
    # One path has a limit, others have none.
    guarded.http("--path-requests", 300)
    with Connection(guarded.bad.ns, guarded.web.ip4, APACHE) as c:
        for i in range(400):
            assert c.send(get(f"/hello{i % 4}")).response().status == 404
    time.sleep(0.6)
    assert not guarded.blocked()
    guarded.bad.run("wrk", "-t", 1, "-c", 20, "-d", f"{2 * SLOW}s", f"http://{guarded.web.ip4}/hello?x", timeout=30)
    assert guarded.blocked() == {f"{guarded.bad.ip4}/32"}


@pytest.mark.parametrize("port", [NGINX, PLAIN], ids=["HTTP", "not inspected"])
def test_too_many_connections(guarded, port):
    guarded.http("--connections", 200)  # besides, some that were there before are not closed yet
    held = []
    try:
        for n in (120, 130):
            for _ in range(n):
                c = Connection(guarded.bad.ns, guarded.web.ip4, port)
                held.append(c)
                assert c.send(get("/hello")).response().status == 200
            if n == 120:
                time.sleep(0.8 * SLOW)
                assert not guarded.blocked()
            else:
                until(lambda: guarded.blocked() == {f"{guarded.bad.ip4}/32"}, 5, "the source is blocked")
    finally:
        for c in held:
            c.close()
    if port == NGINX:
        assert 40 <= guarded.ended()["too-many-connections"]["connections"] <= 130


def upload(lab, seconds, out):
    """A large body over a bad link: two kilobytes a second, with pauses."""
    with Connection(lab.bad.ns, lab.web.ip4, ECHO, timeout=10) as c:
        n = int(seconds / 0.5)
        c.send(f"POST /up HTTP/1.1\r\nHost: web\r\nContent-Length: {1000 * n}\r\n\r\n")
        for i in range(n):
            c.send(b"x" * 1000)
            time.sleep(1.0 if i % 4 == 0 else 0.3)
        out.append(c.response().status)


def test_honest_load_loses_nothing(guarded):
    """512 connections of one address, a connection for each request, slow uploads, long polls."""
    bad, got = guarded.bad, []
    slow = [threading.Thread(target=upload, args=(guarded, 4, got)) for _ in range(20)]
    slow += [threading.Thread(target=lambda: got.append(ask(bad.ns, guarded.web.ip4, ECHO, get("/slow/3"), timeout=10))) for _ in range(20)]
    for t in slow:
        t.start()
    wrk = bad.run("wrk", "-t", 2, "-c", 512, "-d", f"{SECONDS * SLOW}s", f"http://{guarded.web.ip4}:{NGINX}/", timeout=60).stdout
    assert int(re.search(r"(\d+) requests in", wrk).group(1)) > 1000 and "Socket errors" not in wrk, wrk
    ab = bad.run("ab", "-q", "-n", 3000, "-c", 100, f"http://{guarded.web.ip4}:{NGINX}/", timeout=60).stdout
    assert "Complete requests:      3000" in ab and re.search(r"Failed requests:\s+0\n", ab), ab
    for t in slow:
        t.join()
    assert got == [200] * 40
    assert guarded.http()["connections"] >= 0 and not guarded.blocked()
    assert not {r: n["connections"] for r, n in guarded.ended().items() if n["connections"] != START.get(r, 0)}


START = {}


@pytest.fixture(autouse=True)
def start(lab):
    START.clear()
    START.update({r: n["connections"] for r, n in lab.ended().items()})


def test_settings_outlive_the_agent_and_bad_ones_get_a_sentence(guarded):
    guarded.http("--slow-per-source", 7, "--mode", "audit")
    guarded.node.kill_agent()
    guarded.node.start_agent()
    now = guarded.http()
    assert now["limits"]["slow-per-source"] == 7 and now["mode"] == "audit"
    for args, code, text in ((("--mode", "hard"), 1, "'hard' is not enforce, audit, off or as-devices"),
                             (("--connections", "many"), 2, "'many' is not a number"),
                             (("--requests", "9999999999"), 1, "a number from 0 to 1000000000")):
        r = guarded.node.bpfast("shield", "http", *args)
        assert r.code == code and text in r.err and r.err.count("\n") == 1, r
    assert guarded.http("--defaults")["limits"]["slow-per-source"] == 32
    out = guarded.node.cli("shield", "http").out
    assert "slow-per-service  64" in out and "requests          none" in out, out
