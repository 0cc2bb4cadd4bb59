# SPDX-License-Identifier: Apache-2.0
"""SYN cookies made by shield for a listener in a pod's namespace: a flood first shown to hurt, then not; options on the wire; all undone."""

import glob
import os
import re
import signal
import socket
import time

import pytest

from lab.http import get
from lab.policy import http, payload
from lab.servers import nginx
from lab.wait import SLOW, until

SOURCES = 60


class Lab:
    def __init__(self, node):
        self.node = node
        self.bad, self.good, self.web = node.pod("bad"), node.pod("good"), node.pod("web")
        self.web.serve(nginx(self.web.ns, access_log=False))
        self.four = [f"10.77.{self.node.number}.{i}" for i in range(1, 251)]
        # Each of a /64 of its own: who is known is known by that.
        self.six = [f"fd77:{self.node.number:x}:{i:x}::1" for i in range(1, 81)]
        self.good.ns.ip(*[f"addr add {s}/32 dev eth0" for s in self.four], *[f"addr add {s}/128 dev eth0 nodad" for s in self.six])
        node.ns.ip(f"route add 10.77.{self.node.number}.0/24 dev {self.good.iface}", f"route add fd77:{self.node.number:x}::/32 dev {self.good.iface}")
        node.start_agent()

    def cookies(self, *args):
        return self.node.cli("shield", "cookies", *args)

    def modes(self):
        return {c["mode"] for c in self.node.cli("-o", "json", "shield", "cookies").json["cookies"]}

    def device(self, pod):
        devices = self.node.cli("-o", "json", "shield", "status").json["devices"]
        return next(d for d in devices if d["interface"] == pod.iface)

    def drops(self, pod):
        return {d["reason"]: d["packets"] for d in self.device(pod)["drops"]}

    def sysctl(self, pod):
        return tuple(pod.run("sysctl", "-n", f"net.ipv4.{k}", check=True).stdout.strip() for k in ("tcp_syncookies", "tcp_timestamps"))

    def fresh(self, source, to, timeout=1.0):
        """A connection from a source that was never seen -> its socket."""
        with self.good.ns.inside():
            s = socket.socket(socket.AF_INET6 if ":" in source else socket.AF_INET)
        s.settimeout(timeout * SLOW)
        s.bind((source, 0))
        s.connect((to, 80))
        return s

    def served(self, source, to, timeout=1.0):
        try:
            with self.fresh(source, to, timeout) as s:
                s.sendall(get("/").encode() if isinstance(get("/"), str) else get("/"))
                return s.recv(4096).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def detach(self):
        for pod in (self.good, self.bad):
            self.node.bpfast("shield", "detach", pod.iface)


@pytest.fixture(scope="module")
def lab(nodes):
    return Lab(nodes(routed=True))


@pytest.fixture(autouse=True)
def undone(lab):
    before = lab.sysctl(lab.web)
    yield
    lab.detach()
    lab.node.cli("shield", "limit", "--defaults")
    assert lab.sysctl(lab.web) == before
    assert lab.cookies().out == "SYN cookies are on for no destination\n"


@pytest.mark.parametrize("how, base", [("--generic", 0), ("--tc", 1)])
def test_listener_takes_what_shield_answered(lab, how, base):
    lab.node.cli("shield", "attach", lab.good.iface, how)
    lab.cookies("on", f"{lab.web.ip4}:80", f"[{lab.web.ip6}]:80", "--always")
    assert lab.sysctl(lab.web) == ("2", "2")
    four, six = lab.four[base * 40 : base * 40 + 40], lab.six[base * 10 : base * 10 + 10]
    assert all(lab.served(s, lab.web.ip4) for s in four)
    assert all(lab.served(s, lab.web.ip6) for s in six)
    device = lab.device(lab.good)
    # Now and then one goes to the listener itself.
    assert lab.drops(lab.good)["shield-syn-cookie"] >= 40, device
    assert device["cookies"] >= 40, device
    # Who has answered a cookie is preferred, and sees the listener itself.
    before = lab.drops(lab.good)["shield-syn-cookie"]
    assert lab.served(four[0], lab.web.ip4)
    assert lab.drops(lab.good)["shield-syn-cookie"] == before
    if "shield-bad-cookie" in lab.drops(lab.good):
        pytest.fail(str(lab.drops(lab.good)))


def info(lab, source):
    out = lab.web.run("ss", "-Htino", "dst", source, check=True).stdout
    return set(re.findall(r"\b(ts|sack|wscale:\d+,\d+)\b", out))


def test_options_come_back(lab):
    """Window scale and SACK travel in the timestamp; without one they are given up, at both ends alike."""
    lab.node.cli("shield", "attach", lab.good.iface, "--tc")
    lab.cookies("on", f"{lab.web.ip4}:80", "--always")
    assert lab.served(lab.four[80], lab.web.ip4)  # the listener's own: what it offers is learned
    plain = info_of(lab, lab.four[81])
    assert "sack" in plain and "ts" in plain, plain
    scale = next(x for x in plain if x.startswith("wscale"))
    lab.cookies("off")
    assert info_of(lab, lab.four[82]) == plain, f"without cookies it is otherwise than {scale}"
    lab.cookies("on", f"{lab.web.ip4}:80", "--always")
    assert lab.served(lab.four[83], lab.web.ip4)
    lab.good.ns.sysctl("net.ipv4.tcp_timestamps", 0)
    try:
        assert info_of(lab, lab.four[84]) == set()
    finally:
        lab.good.ns.sysctl("net.ipv4.tcp_timestamps", 1)


def info_of(lab, source):
    with lab.fresh(source, lab.web.ip4) as s:
        s.sendall(b"GET ")
        time.sleep(0.05)
        return info(lab, source)


def test_flood_hurts_and_with_cookies_strangers_get_in(lab):
    web = lab.web
    for key, value in (("tcp_syncookies", 0), ("tcp_max_syn_backlog", 256), ("tcp_synack_retries", 5)):
        web.ns.sysctl(f"net.ipv4.{key}", value)
    lab.node.ns.ip("route add blackhole default")
    for pod in (lab.bad, lab.good):
        lab.node.cli("shield", "attach", pod.iface, "--tc", "--mode", "off")
    flood = lab.bad.popen("hping3", "-q", "--flood", "-S", "-p", "80", "--rand-source", web.ip4, stdout=-3, stderr=-3)
    try:
        time.sleep(0.5)
        bare = [lab.served(s, web.ip4, 0.5) for s in lab.four[100:105]]
        assert sum(bare) <= 1, bare
        for pod in (lab.bad, lab.good):
            lab.node.cli("shield", "attach", pod.iface, "--tc", "--mode", "enforce")
        lab.node.cli("shield", "limit", "syn", "--destination", "30:30")
        lab.cookies("on", f"{web.ip4}:80")
        time.sleep(0.5)
        got = [lab.served(s, web.ip4) for s in lab.four[110 : 110 + SOURCES]]
        assert sum(got) >= 0.95 * SOURCES, f"{sum(got)} of {SOURCES} new clients are served; {lab.drops(lab.good)}"
        assert lab.drops(lab.bad)["shield-syn-cookie"] > 1000, lab.drops(lab.bad)
        # Their answers were never asked for: none is let in.
        assert lab.device(lab.bad)["cookies"] == 0
        # And without cookies, by limits alone, strangers are not told from the flood.
        lab.cookies("off")
        got = [lab.served(s, web.ip4, 0.3) for s in lab.four[180:190]]
        assert sum(got) <= 5, f"{sum(got)} of 10"
    finally:
        flood.kill()
        flood.wait()
        lab.node.ns.ip("route del blackhole default")
        lab.detach()
        web.ns.sysctl("net.ipv4.tcp_syncookies", 1)


# A SYN over IPv6, each from another source: Ethernet and the head of IPv6 are written before it.
SYN6 = "{\n  %s,\n  0x86, 0xdd,\n  0x60, 0, 0, 0, c16(20), 6, 64,\n  0xfd, 0x99, drnd(14), %s,\n  drnd(2), c16(80), drnd(4), drnd(4), 0x50, 0x02, c16(512), 0, 0, 0, 0\n}\n"


def syn_flood(lab, tmp_path, family):
    if family == "ip4":
        return ["hping3", "-q", "--flood", "-S", "-p", "80", "--rand-source", lab.web.ip4]
    assert lab.bad.run("ping", "-c", 1, "-W", 1, lab.web.ip6).returncode == 0
    mac = lab.bad.run("ip", "neigh", "show", "fe80::1").stdout.split()
    ethernet = ", ".join("0x" + x for x in (mac[mac.index("lladdr") + 1] + ":" + lab.bad.mac()).split(":"))
    to = ", ".join(str(b) for b in socket.inet_pton(socket.AF_INET6, lab.web.ip6))
    src = tmp_path / "syn6.cfg"
    src.write_text(SYN6 % (ethernet, to))
    return ["trafgen", "-q", "--dev", "eth0", "--conf", str(src), "--cpus", "1", "--no-sock-mem"]


@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_attack_that_is_limited_lets_cookies_through(lab, tmp_path, family):
    """Found and limited as an attack while cookies are on: new clients get in all the same, and none of their ACKs is cut.

    Frames of trafgen lie in pages, where programs at TC have to fetch them from.
    """
    to = getattr(lab.web, family)
    strangers = lab.four[232:249] if family == "ip4" else lab.six[40:57]
    for pod in (lab.bad, lab.good):
        lab.node.cli("shield", "attach", pod.iface, "--tc")
    lab.cookies("on", f"[{to}]:80" if family == "ip6" else f"{to}:80")
    # What the listener offers is learned.
    assert lab.served(strangers[0], to)
    lab.node.ns.ip("route add blackhole default" if family == "ip4" else "route add blackhole ::/0")

    def attack():
        running = lab.node.cli("-o", "json", "shield", "status").json["attacks"]["running"]
        return [a for a in running if a["kind"] == "syn" and a["target"].get("address") == to and a["limits"]]

    # Else its fingerprint takes all of the flood, and no cookie is asked for.
    until(lambda: not attack(), 15 * SLOW, "the attack of an earlier test is over")
    before = lab.drops(lab.bad)
    flood = lab.bad.popen(*syn_flood(lab, tmp_path, family), stdout=-3, stderr=-3, start_new_session=True)
    try:
        until(attack, 5 * SLOW, "the flood is found and limited")
        honest = lab.drops(lab.good)
        until(lambda: lab.drops(lab.bad).get("shield-syn-cookie", 0) > before.get("shield-syn-cookie", 0) + 1000, 5 * SLOW, "it gets cookies")
        answered = lab.device(lab.good)["cookies"]
        got = [lab.served(s, to) for s in strangers[1:]]
        assert attack(), "it is still going on"
        assert all(got), (got, lab.drops(lab.good), lab.drops(lab.bad), attack())
        # Counters are the device's, of earlier tests too.
        lost = {reason: n - honest.get(reason, 0) for reason, n in lab.drops(lab.good).items() if n > honest.get(reason, 0)}
        assert set(lost) <= {"shield-syn-cookie"}, lost
        # Once a fingerprint takes the flood, the limit has room for them, and no cookie is needed.
        if not any(r["in_force"] and not r["audit"] for a in attack() for r in a["rules"]):
            assert lab.device(lab.good)["cookies"] >= answered + len(got) / 2, lab.device(lab.good)
        assert lab.device(lab.bad)["cookies"] == 0, "nobody answered what the flood was sent"
    finally:
        os.killpg(flood.pid, signal.SIGKILL)
        flood.wait()
        lab.node.ns.ip("route del blackhole default" if family == "ip4" else "route del blackhole ::/0")


def test_refused_with_a_sentence(lab):
    lab.node.cli("shield", "attach", lab.good.iface, "--tc")
    before = lab.sysctl(lab.web)

    def refused(*args):
        r = lab.node.bpfast("shield", "cookies", *args)
        assert r.code and lab.sysctl(lab.web) == before
        return r.err

    assert "no namespace of this machine has 198.51.100.1" in refused("on", "198.51.100.1:80")
    assert "is not ADDRESS:PORT" in refused("on", "198.51.100.1")
    assert "for which" in refused("on")
    assert "not 'maybe'" in refused("maybe")
    assert "has no address" in refused("on", f"{lab.web.ip4}:80", "--netns", lab.good.ns.name)
    assert "no network namespace's name" in refused("on", f"{lab.web.ip4}:80", "--netns", "none-such")
    assert "are not on for" in refused("off", f"{lab.web.ip4}:80")


WEB = payload("web", {"app": "web"}, ingress=[http(None, 80, {"method": "GET", "path": "/ok/.*"})])


def asked(lab, source, to, *paths):
    """Each on the same connection, from a source that was never seen -> statuses, or a word in the end."""
    out = []
    try:
        with lab.fresh(source, to) as s:
            for path in paths:
                s.sendall(f"GET {path} HTTP/1.1\r\nHost: web\r\n\r\n".encode())
                got = s.recv(4096).split()
                out.append(int(got[1]) if got else "closed")
    except OSError as e:
        out.append("reset" if isinstance(e, ConnectionResetError) else "blocked")
    return out


@pytest.mark.parametrize("how, base", [("--generic", 202), ("--tc", 212)])
def test_pod_under_http_rules(lab, how, base):
    """Its hooks see neither SYN nor SYN-ACK; shield vouches for the ACK, and each request is judged as ever."""
    lab.web.guard()
    lab.node.only(WEB)
    lab.node.cli("shield", "attach", lab.good.iface, how)
    try:
        lab.cookies("on", f"{lab.web.ip4}:80", f"[{lab.web.ip6}]:80", "--always")
        assert asked(lab, lab.four[base], lab.web.ip4, "/ok/a") == [200]
        before = lab.device(lab.good)["cookies"]
        for n in range(1, 9):
            assert asked(lab, lab.four[base + n], lab.web.ip4, "/ok/a", "/ok/b", "/no") == [200, 200, 403]
        six = lab.six[10 + base % 7 :][:2]
        assert asked(lab, six[0], lab.web.ip6, "/ok/a", "/no") == [200, 403]
        assert asked(lab, six[1], lab.web.ip6, "/ok/a", "/no") == [200, 403]
        assert lab.device(lab.good)["cookies"] >= before + 8, lab.device(lab.good)
        # What goes out are SYN-ACKs that the server still repeats from the flood before.
        unseen = re.findall(r'"tcp-start-not-seen",\s+"ingress_packets": (\d+)', lab.node.cli("-o", "json", "status").out)
        assert not any(map(int, unseen)), unseen
        # A device at which the policies come first is refused.
        lab.node.cli("shield", "attach", lab.web.iface, "--pod")
        r = lab.node.bpfast("shield", "cookies", "on", f"{lab.web.ip4}:81")
        assert r.code and "is guarded at its own interface" in r.err, r
        until(lambda: lab.modes() == {"off"}, 15, "they are not answered any more")
        assert "it is an endpoint that is guarded at its own interface" in lab.node.log_since()
    finally:
        lab.node.bpfast("shield", "detach", lab.web.iface)
        lab.node.clear_policies()
        lab.web.unguard()


def test_native_veth_is_told_of(lab):
    lab.node.cli("shield", "attach", lab.good.iface, "--native")
    assert "what XDP answers there is lost" in lab.cookies("on", f"{lab.web.ip4}:80", "--always").err
    assert lab.served(lab.four[90], lab.web.ip4)  # the first is let through
    assert not lab.served(lab.four[91], lab.web.ip4, 0.3)
    # Any program will do at the other end; shield's own passes all on a device that it does not guard.
    prog = glob.glob(f"{lab.node.pin_dir}/shield/*/progs/xdp_*")[0]
    lab.good.run("bpftool", "net", "attach", "xdpdrv", "pinned", prog, "dev", "eth0", check=True)
    try:
        before = lab.drops(lab.good)["shield-syn-cookie"]
        assert all(lab.served(s, lab.web.ip4) for s in lab.four[91:94])
        assert lab.drops(lab.good)["shield-syn-cookie"] >= before + 2
    finally:
        lab.good.run("bpftool", "net", "detach", "xdpdrv", "dev", "eth0", check=True)


def test_pod_hook(lab):
    """Guarded at its own veth, the answer comes back by it as if the pod had said it."""
    lab.node.cli("shield", "attach", lab.web.iface, "--pod")
    try:
        lab.cookies("on", f"{lab.web.ip4}:80", f"[{lab.web.ip6}]:80", "--always")
        assert all(lab.served(s, lab.web.ip4) for s in lab.four[94:99])
        assert all(lab.served(s, lab.web.ip6) for s in lab.six[20:25])
        assert lab.device(lab.web)["cookies"] >= 8, lab.device(lab.web)
    finally:
        lab.node.cli("shield", "detach", lab.web.iface)


def test_settings_come_back_after_a_kill(lab):
    before = lab.sysctl(lab.web)
    lab.node.cli("shield", "attach", lab.good.iface, "--tc")
    lab.cookies("on", f"{lab.web.ip4}:80", f"[{lab.web.ip6}]:80", "--always")
    lab.node.kill_agent()
    # What is in force stays.
    assert lab.served(lab.four[230], lab.web.ip4)
    assert lab.served(lab.four[231], lab.web.ip4)
    lab.node.start_agent()
    assert lab.device(lab.good)["cookies"] >= 1
    # One of two needs the settings still.
    lab.cookies("off", f"{lab.web.ip4}:80")
    assert lab.sysctl(lab.web) == ("2", "2")
    lab.cookies("on", f"{lab.web.ip4}:80")
    lab.cookies("off", f"[{lab.web.ip6}]:80")
    lab.node.kill_agent()
    # What somebody else has set is left alone.
    lab.web.ns.sysctl("net.ipv4.tcp_timestamps", 0)
    lab.node.cli("down")
    assert lab.sysctl(lab.web) == (before[0], "0")
    lab.web.ns.sysctl("net.ipv4.tcp_timestamps", before[1])
    lab.node.start_agent()
