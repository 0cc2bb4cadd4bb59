# SPDX-License-Identifier: Apache-2.0
"""A shooting range: the same attack over three ways, of which one is bare.

    bare     attacker (no agent)  ->  open (no agent)
    ingress  attacker             ->  shop, whose ingress rules judge       (hook to_pod)
    egress   confined, whose egress rules judge   ->  open                  (hook from_pod)

What counts is what the servers executed: nginx on port 80, and on port 9000 a server of our own. The
rules allow GET /ok and POST /up. Every shot has a number, which stands in its targets.
"""

import itertools
import os
import socket
import time

from . import servers
from .node import parse_metrics
from .policy import http, payload
from .tcp import Sender, Wire
from .wait import until

RULES = [{"method": "GET", "path": "/ok"}, {"method": "POST", "path": "/up"}]
NGINX, ECHO, MPTCP, CALLER, LATE = 80, 9000, 9001, 9002, 9003
JUDGED = (NGINX, ECHO, MPTCP, CALLER)  # under HTTP rules
WAYS = ("bare", "ingress", "egress")
QUIET = 0.03  # seconds in which an attack would have arrived


def head(method, target, number, size=0, *headers):
    """A request head, padded to `size` bytes where that is more. Heads of one shot differ in nothing but the target."""
    lines = [f"{method} {target}?{number:0{12 - len(target)}d} HTTP/1.1", "Host: w", *headers]
    short = len("\r\n".join(lines)) + 4
    if size > short:
        lines.append("X: " + "p" * (size - short - 5))
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


class Range:
    def __init__(self, node):
        self.node = node
        self.attacker, self.confined = node.pod("attacker"), node.pod("confined")
        self.open, self.shop = node.pod("open"), node.pod("shop")
        # Or the bridge would read, and throw away, what it only has to carry.
        for file in ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables"):
            if not node.routed and os.path.exists(f"/proc/sys/net/bridge/{file}"):
                node.ns.sysctl(f"net.bridge.{file}", 0)
        self.wires = {"attacker": Wire(self.attacker, self.open, self.shop), "confined": Wire(self.confined, self.open, self.shop)}
        self.server, self.shots = {}, {}
        for pod in (self.open, self.shop):
            pod.ns.sysctl("net.ipv4.tcp_fastopen", 2)
            pod.ns.sysctl("net.ipv4.tcp_syncookies", 0)
            self.server[pod, NGINX] = pod.serve(servers.nginx(pod.ns, NGINX))
            echo = self.server[pod, ECHO] = pod.serve(servers.Echo(pod.ns, ECHO))
            self.server[pod, MPTCP] = pod.serve(servers.Echo(pod.ns, MPTCP, protocol=262))
            self.server[pod, LATE] = pod.serve(servers.Echo(pod.ns, LATE))
            echo.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 64)
            echo.sock.setsockopt(socket.IPPROTO_TCP, 34, 1)  # TCP_FASTOPEN_NO_COOKIE
        self.read, self.numbers = {}, itertools.count(1)
        self.executed_by = {key: {} for key in self.server}
        node.start_agent()
        self.guard(self.shop)
        self.guard(self.confined)
        self.rules()

    def close(self):
        for wire in self.wires.values():
            wire.close()

    def guard(self, pod):
        wire = self.wires.get(pod.name)
        own = (pod.ip4, pod.ip6) + ((wire.ip4, wire.ip6) if wire else ())
        pod.guard(*sum((["--ip", ip] for ip in own), []))

    def rules(self, *late):
        """Puts the rules in force; the port LATE has these, or is open where none are given."""
        ports = [(p, RULES) for p in JUDGED] + [(LATE, late)]
        self.node.apply(payload("shop", {"app": "shop"}, ingress=[http(None, p, *rules) for p, rules in ports]))
        self.node.apply(payload("confined", {"app": "confined"}, egress=[http(None, p, *rules, direction="to") for p, rules in ports]))

    def gro(self, on):
        """Whether hooks see merged segments; they wait up to 5 ms for others."""
        for pod in self.node.pods.values():
            self.node.ns.run("ethtool", "-K", pod.iface, "gro", "on" if on else "off", check=True)
            device = f"/sys/class/net/{pod.iface}"  # sysfs shows the namespace in which it was mounted
            wait = f"echo {5000000 if on else 0} >{device}/gro_flush_timeout; echo {100 if on else 0} >{device}/napi_defer_hard_irqs"
            pod.run("ethtool", "-K", "eth0", "tso", "off" if on else "on", check=True)  # or veth does not merge
            pod.ns.sysctl("net.ipv4.tcp_autocorking", 0 if on else 1)  # or a short segment waits for the one before
            self.node.ns.run("unshare", "--mount", "sh", "-ec", f"mount -t sysfs sysfs /sys; {wait}", check=True)

    def shot(self, way, version=4, port=NGINX, **kw):
        return Shot(self, way, version, port, **kw)

    def executed(self, pod, port):
        """number -> the targets that were executed, without their numbers."""
        out, server = self.executed_by[pod, port], self.server[pod, port]
        if port == NGINX:
            lines = [line.split()[1] for line in self._new_lines(server) if line.endswith(" 200")]
        else:
            with server.lock:
                lines = [r.target for r in server.requests]
                server.requests.clear()
        for line in lines:
            target, _, number = line.partition("?")
            out.setdefault(int(number) if number.isdigit() else number, []).append(target)
        return out

    def _new_lines(self, server):
        with open(f"{server.dir}/access", "rb") as f:
            f.seek(self.read.get(server, 0))
            data = f.read()
        whole = data.rfind(b"\n") + 1
        self.read[server] = self.read.get(server, 0) + whole
        return data[:whole].decode("latin-1").splitlines()

    def drops(self):
        """reason -> packets that were dropped for it."""
        out = {}
        for key, value in parse_metrics(self.node.cli("metrics").out).items():
            if key.startswith("bpfast_dropped_packets_total"):
                reason = key.split('reason="')[1].split('"')[0]
                out[reason] = out.get(reason, 0) + value
        return out

    def forbidden(self):
        """Everything that a server executed although no rule allows it: (way, number, targets)."""
        out = []
        for pod, port in self.server:
            for number, targets in self.executed(pod, port).items():
                shot = self.shots.get(number)
                # A mixture may have lost its number; at `open` it may be of a bare shot.
                guarded = shot.guarded if shot else pod is self.shop
                if guarded and set(targets) - {"/ok", "/up"}:
                    out.append((shot.way if shot else "ingress", number, targets))
        return out

    def volley(self, way, version, port, plans, again=0.05, seconds=3.0, **kw):
        """Many connections at once. plans: shot -> its pieces (place, bytes, fields if any), in the order in which they are
        sent; again: as in deliver(). Ends when all is acknowledged and answered, or refused. -> the shots."""
        shots = [self.shot(way, version, port, counted=False, **kw) for _ in plans]
        wire = shots[0].wire
        for s in shots:
            s.c.syn()
        assert wire.pump(5, lambda: all(s.c.peer_isn is not None for s in shots)), "not all are open"
        for s, plan in zip(shots, plans):
            s.pieces = plan(s)
            s.whole = max(at + len(data) for at, data, *_ in s.pieces)
            s.c.control("A")
            for at, data, *fields in s.pieces:
                s.c.put(at, data, **(fields[0] if fields else {}))
        left = lambda: [s for s in shots if not s.over()]
        end = time.monotonic() + seconds
        while time.monotonic() < end and not wire.pump(again or seconds, lambda: not left()):
            for s in left() if again else ():
                for at, data, *_ in sorted(s.pieces, key=lambda p: p[0]):
                    if at + len(data) > s.c.acked:
                        s.c.put(at, data)
        return shots


class Shot:
    """One connection of an attack: .c, and the requests with its number."""

    def __init__(self, room, way, version, port, counted=True, **kw):
        self.room, self.way, self.version, self.port = room, way, version, port
        self.number = next(room.numbers)
        room.shots[self.number] = self
        self.guarded = way != "bare"
        self.pod = room.shop if way == "ingress" else room.open
        self.client = room.confined if way == "egress" else room.attacker
        self.wire = room.wires[self.client.name]
        self.kw = kw
        self.c = self.sender(**kw)
        self.evil = head("GET", "/admin", self.number, 60)
        self.good = head("GET", "/ok", self.number, len(self.evil))
        self.before = room.drops() if self.guarded and counted else {}

    def sender(self, **kw):
        return Sender(self.wire, self.pod, self.port, self.version, **kw)

    def head(self, method, target, size=0, *headers):
        return head(method, target, self.number, size, *headers)

    @property
    def executed(self):
        return self.room.executed(self.pod, self.port).get(self.number, [])

    def over(self):
        """All is acknowledged and answered, or refused."""
        return self.c.reset or self.c.fin or (self.c.acked >= self.whole and self.c.answer)

    def hit(self, seconds=3.0):
        """Whether /admin is executed in that time."""
        return self.c.wait(lambda: "/admin" in self.executed, seconds)

    def reasons(self):
        """Why packets were dropped since the shot began."""
        now = self.room.drops()
        return {r for r, n in now.items() if n > self.before.get(r, 0)}

    def expect(self, reasons):
        """Nothing forbidden is executed, and one of these reasons is counted."""
        assert not self.hit(QUIET), f"{self.way}: the server executed {self.executed}"
        assert set(self.executed) <= {"/ok", "/up"}, f"{self.way}: the server executed {self.executed}"
        if reasons:
            wanted = {reasons} if isinstance(reasons, str) else set(reasons)
            try:
                until(lambda: wanted & self.reasons(), 2)
            except AssertionError as e:
                raise AssertionError(f"{self.way}: counted {self.reasons()}, not {wanted}") from e


def brief(pieces):
    """Pieces in a line: place, length, how they begin, fields."""
    return [(at, len(data), data[:16], *fields) for at, data, *fields in pieces]


def fire(room, attack, reasons=(), version=4, ways=WAYS, port=NGINX, bites=True, **kw):
    """Runs attack(shot) over each way: over the bare one it must succeed, over the others fail."""
    for way in ways:
        shot = room.shot(way, version, port, **kw)
        try:
            attack(shot)
            if shot.guarded:
                shot.expect(reasons)
            elif bites:
                assert shot.hit(), f"does not work without us: executed {shot.executed}, answered {shot.c.answer[:80]!r}, saw {shot.c.seen}"
            else:
                assert not shot.hit(QUIET), "works without us by now"
        finally:
            shot.c.forget()
