#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make bench`: what BPFast costs, side by side with nothing and with a proxy.

BENCH_ROUNDS (11) interleaved rounds of BENCH_SECONDS (2) each. The server runs on CPU 0, the client on CPU 1.
Writes build/bench/results.md and prints it. What gates is time in the kernel; ratios of throughput are printed
beside an A/A control of the same run, because a virtual machine's noise is larger than what they shall show.
"""

import json
import os
import random
import re
import statistics
import struct
import subprocess
import sys
import time
from contextlib import contextmanager

from common import BUILD, bpf_enable_stats, enter, gate, machine, noisy, note, quantile, ratio_row, ratios, write

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "11"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "2"))
PATHS = ["/api/v1/items(/[0-9]+)?", "/api/v1/orders/[0-9]+", "/api/v1/users/[a-z]+", "/api/v2/.*", "/static/.*\\.(js|css)", "/health",
         "/metrics", "/search", "/files/.*", "/hello"]  # ten rules: GET and one path each


class Lab:
    """cart on CPU 1 asks web on CPU 0; HAProxy stands beside nginx in web's namespace."""

    def __init__(self):
        from lab import servers
        from lab.node import Node

        self.node = node = Node("bench")
        self.cart, self.web = node.pod("cart"), node.pod("web")
        on_server = ("taskset", "-c", "0")
        self.nginx = self.web.serve(servers.nginx(self.web.ns, prefix=on_server, access_log=False))
        with open(os.path.join(self.nginx.dir, "files", "huge"), "wb") as f:
            f.truncate(64 << 30)  # sparse
        self.haproxy = self.web.serve(haproxy(self.web.ns))  # on any CPU: it gets what it can use
        node.start_agent()
        self.policy = policy(80)

    def guard(self):
        for pod in (self.cart, self.web):
            if not pod.guarded:
                pod.guard()

    def unguard(self):
        for pod in (self.cart, self.web):
            if pod.guarded:
                pod.unguard()

    def pinned(self):
        """Paths of the two programs in force."""
        out = {}
        for base, _, names in os.walk(self.node.pin_dir):
            if os.path.basename(base) == "progs":
                for name in names:
                    out[name.split("_")[0]] = os.path.join(base, name)
        return out

    def prog_run(self, packets):
        """class -> (samples, p10, median, p90) of a run of the programs in force over packets"""
        pins = self.pinned()
        index = json.loads(self.node.ns.run("ip", "-j", "link", "show", self.web.iface).stdout)[0]["ifindex"]
        with self.node.ns.inside():
            r = subprocess.run(["taskset", "-c", "1", os.path.join(BUILD, "bench", "prog_run"), str(index), pins["from"], pins["to"]],
                               input=packets, capture_output=True, check=False)
        if r.returncode:
            raise RuntimeError(f"prog_run: {r.stderr.decode()}")
        return {int(c): tuple(map(int, rest)) for c, *rest in (line.split() for line in r.stdout.decode().splitlines())}

    def run_time(self):
        """hook -> (nanoseconds, runs)"""
        out = {}
        for hook, path in self.pinned().items():
            got = json.loads(subprocess.run(["bpftool", "-j", "prog", "show", "pinned", path], capture_output=True, check=True).stdout)
            got = got[0] if isinstance(got, list) else got
            out[hook] = got.get("run_time_ns", 0), got.get("run_cnt", 0)
        return out

    def wrk(self, port, seconds=SECONDS, connections=32):
        """-> (requests per second, requests, median latency in us)"""
        out = self.cart.run("taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
                            f"http://{self.web.ip4}:{port}/hello", timeout=seconds + 20).stdout
        if "Non-2xx" in out or "Socket errors" in out:
            raise RuntimeError(f"wrk was refused:\n{out}")
        p50 = re.search(r"50%\s+([\d.]+)(us|ms|s)", out)
        return (float(re.search(r"Requests/sec:\s+([\d.]+)", out).group(1)), int(re.search(r"(\d+) requests in", out).group(1)),
                float(p50.group(1)) * {"us": 1, "ms": 1e3, "s": 1e6}[p50.group(2)])

    def download(self, port, seconds=SECONDS):
        """Bytes per second of one download."""
        out = self.cart.run("taskset", "-c", "1", "curl", "-s", "-m", f"{seconds}", "-o", "/dev/null", "-w", "%{http_code} %{speed_download}",
                            f"http://{self.web.ip4}:{port}/files/huge", timeout=seconds + 20).stdout.split()
        if out[0] != "200":
            raise RuntimeError(f"the download was refused: {out}")
        return float(out[1])


def policy(port):
    from lab.policy import http, payload

    return payload("bench", {"app": "web"}, ingress=[http({"app": "cart"}, port, *[{"method": "GET", "path": p} for p in PATHS])])


def haproxy(ns, port=81):
    from lab.servers import Process, _directory

    d = _directory("haproxy")
    acls = "\n".join(f"  acl rule{i} path_reg ^{p}$" for i, p in enumerate(PATHS))
    any_rule = " or ".join(f"rule{i}" for i in range(len(PATHS)))
    with open(f"{d}/conf", "w", encoding="utf-8") as f:
        f.write(f"""global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend in
  bind :{port}
{acls}
  acl get method GET
  http-request deny unless get {any_rule.replace(" or ", " or get ")}
  default_backend nginx
backend nginx
  server nginx 127.0.0.1:80
""")
    return Process(ns, ["haproxy", "-db", "-f", f"{d}/conf"], [port], d)


# --- (a) single programs ---------------------------------------------------------


CLASSES = {
    0: "floor: an empty program, one run a call",
    1: "200-byte GET against ten rules (into the pod)",
    2: "its response head (out of the pod)",
    3: "packet of a flow with no L7 rule",
    4: "1,400-byte packet inside a request body",
    5: "1,400-byte packet inside a response body",
    6: "floor: an empty program, repeated",
}


def record(hook, cls, frame, repeat=1, expect=-1):
    """One packet for prog_run."""
    data = bytes(frame)
    return struct.pack("BBHIi", hook, cls, len(data), repeat, expect) + data


class Tcp:
    """A connection from cart to web, packet by packet, as prog_run reads it."""

    def __init__(self, lab, sport, dport):
        self.lab, self.sport, self.dport, self.c, self.s = lab, sport, dport, 1000, 5000
        self.head = {}

    def frame(self, to_web, flags, data=b"", options=()):
        """scapy is slow: the headers are made once, then patched."""
        from lab.packets import IP, TCP, Ether

        cart, web = self.lab.cart, self.lab.web
        key = (to_web, flags, len(data), bool(options))
        if key not in self.head:
            ends = dict(sport=self.sport, dport=self.dport) if to_web else dict(sport=self.dport, dport=self.sport)
            ip4 = IP(src=cart.ip4, dst=web.ip4) if to_web else IP(src=web.ip4, dst=cart.ip4)
            ether = Ether(src=cart.mac(), dst=web.mac()) if to_web else Ether(src=web.mac(), dst=cart.mac())
            self.head[key] = bytearray(bytes(ether / ip4 / TCP(flags=flags, options=list(options), **ends) / data)[: -len(data) or None])
        h = self.head[key]
        seq, ack = (self.c, self.s) if to_web else (self.s, self.c)
        struct.pack_into("!II", h, 38, seq & 0xFFFFFFFF, ack & 0xFFFFFFFF)
        struct.pack_into("!H", h, 50, 0)
        segment = bytes(h[34:]) + data
        pseudo = bytes(h[26:34]) + struct.pack("!HH", 6, len(segment)) + segment + b"\0" * (len(segment) % 2)
        total = sum(struct.unpack(f"!{len(pseudo) // 2}H", pseudo))
        total = (total & 0xFFFF) + (total >> 16)
        struct.pack_into("!H", h, 50, ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF)
        return bytes(h) + data

    def send(self, to_web, cls, flags="A", data=b"", repeat=1, options=(), expect=-1):
        out = record(1 if to_web else 0, cls, self.frame(to_web, flags, data, options), repeat, expect)
        step = len(data) + ("S" in flags) + ("F" in flags)
        if to_web:
            self.c += step
        else:
            self.s += step
        return out

    def open(self):
        mss = (("MSS", 1460),)
        return self.send(True, 255, "S", options=mss) + self.send(False, 255, "SA", options=mss) + self.send(True, 255)


def padded(web, path, size=200):
    """A GET of `size` bytes."""
    request = f"GET {path} HTTP/1.1\r\nHost: {web.ip4}\r\nUser-Agent: bench/1.0\r\nAccept: */*\r\nX-Pad: ".encode()
    return request + b"a" * (size - 4 - len(request)) + b"\r\n\r\n"


RESPONSE = b"HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: text/plain\r\nContent-Length: 12\r\nConnection: keep-alive\r\n\r\nhello world\n"


def frames(lab, turn):
    """The packets of a few connections, as prog_run reads them."""
    from lab.packets import IP, TCP, Ether

    cart, web = lab.cart, lab.web
    request = padded(web, "/api/v1/items/1234")
    assert len(request) == 200
    empty = Ether(src=cart.mac(), dst=web.mac()) / IP(src=cart.ip4, dst=web.ip4) / TCP()
    out = [record(2, 0, empty) for _ in range(2000)] + [record(2, 6, empty, 1000000)]
    for n in range(20):
        t = Tcp(lab, 20000 + 100 * turn + n, 80)
        out.append(t.open())
        for _ in range(1000):
            out.append(t.send(True, 1, "PA", request) + t.send(False, 2, "PA", RESPONSE) + t.send(True, 255))
    t = Tcp(lab, 30000 + 10 * turn, 9999)  # the policy's L4 rule
    out.append(t.open())
    for _ in range(20):
        out.append(record(1, 3, t.frame(True, "A", b"x" * 1000), 100000))
    t = Tcp(lab, 30001 + 10 * turn, 80)
    out.append(t.open())
    out.append(t.send(True, 255, "PA", f"POST /hello HTTP/1.1\r\nHost: {web.ip4}\r\nContent-Length: 1000000000\r\n\r\n".encode()))
    for _ in range(10000):
        out.append(t.send(True, 4, "A", b"y" * 1400))
    t = Tcp(lab, 30002 + 10 * turn, 80)
    out.append(t.open())
    out.append(t.send(True, 255, "PA", request) + t.send(False, 255, "PA", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n"))
    for _ in range(10000):
        out.append(t.send(False, 5, "A", b"z" * 1400))
    return b"".join(out)


def single_programs(lab):
    """class -> (samples, p10, median, p90) of the least disturbed of five turns"""
    from lab.policy import http, payload

    note("time of single programs")
    lab.node.apply(payload("bench", {"app": "web"}, ingress=[
        http({"app": "cart"}, 80, *[{"method": "GET|POST" if p == "/hello" else "GET", "path": p} for p in PATHS]), http({"app": "cart"}, 9999)]))
    lab.guard()
    best = {}
    for turn in range(5):
        for c, got in lab.prog_run(frames(lab, turn)).items():
            if c not in best or got[2] < best[c][2]:
                best[c] = got
    lab.unguard()
    return best


# --- (b) in the kernel under load ----------------------------------------------------


def per_request(lab):
    """Rounds of: nanoseconds in all hooks for one request and its response; hook -> (nanoseconds, runs) for one."""
    note("time in the hooks per request under wrk")
    total, by_hook = [], []
    lab.guard()
    lab.wrk(80, 1)
    fd = bpf_enable_stats()
    try:
        for _ in range(7):
            before = lab.run_time()
            _, requests, _ = lab.wrk(80, 1)
            after = lab.run_time()
            each = {h: ((after[h][0] - before[h][0]) / requests, (after[h][1] - before[h][1]) / requests) for h in after}
            by_hook.append(each)
            total.append(sum(ns for ns, _ in each.values()))
    finally:
        os.close(fd)
        lab.unguard()
    return total, by_hook


# --- (c) throughput --------------------------------------------------------------------


@contextmanager
def observed(lab):
    from lab.node import BIN

    with open(os.devnull, "w", encoding="ascii") as null:
        p = lab.node.ns.popen(os.path.join(BIN, "bpfast"), "--run-dir", lab.node.run_dir, "observe", "--follow", "-o", "json", stdout=null)
        time.sleep(0.2)
        try:
            yield
            if p.poll() is not None:
                raise RuntimeError("bpfast observe ended early")
        finally:
            p.kill()
            p.wait()


def throughput(lab):
    """name -> list of requests per second, by round."""
    def nothing():
        lab.unguard()
        return lab.wrk(80)

    def bpfast():
        lab.guard()
        return lab.wrk(80)

    def watched():
        lab.guard()
        with observed(lab):
            return lab.wrk(80)

    def proxy():
        lab.unguard()
        return lab.wrk(81)

    variants = {"nothing": nothing, "nothing again": nothing, "bpfast": bpfast, "bpfast observed": watched, "haproxy": proxy}
    out = {name: [] for name in variants}
    order = list(variants)
    lab.wrk(80, 1)
    for n in range(ROUNDS):
        random.Random(n).shuffle(order)
        note(f"requests, round {n + 1} of {ROUNDS}")
        for name in order:
            out[name].append(variants[name]())
    lab.unguard()
    return out


def downloads(lab):
    variants = {"nothing": (lab.unguard, 80), "nothing again": (lab.unguard, 80), "bpfast": (lab.guard, 80), "haproxy": (lab.unguard, 81)}
    out = {name: [] for name in variants}
    order = list(variants)
    for n in range(ROUNDS):
        random.Random(100 + n).shuffle(order)
        note(f"downloads, round {n + 1} of {ROUNDS}")
        for name in order:
            prepare, port = variants[name]
            prepare()
            out[name].append(lab.download(port))
    lab.unguard()
    return out


# --- the table ---------------------------------------------------------------------------


def control_gate(values, base, control):
    """Not below the control's lower bound."""
    low, median = quantile(control, 0.05), statistics.median(ratios(values, base))
    return f"not below {low:.3f} (control's lower bound): " + ("undecided, too much noise" if noisy(control) else gate(median >= low))


def report(load, single, request_ns, by_hook, rps, down):
    rows = [
        "# BPFast bench",
        "",
        f"{machine(load)} {ROUNDS} interleaved rounds of {SECONDS} s; server on CPU 0, client on CPU 1, HAProxy (1 thread) on any; two pods on one bridge.",
        "",
        "## Time of one program run (BPF_PROG_TEST_RUN), nanoseconds",
        "",
        "| packet | p10 | median | p90 | median less floor | gate | |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    gates = {1: 1200, 3: 150}
    for c, name in CLASSES.items():
        if c not in single:
            continue
        _, p10, p50, p90 = single[c]
        floor = single[6 if c == 3 else 0][2]
        limit = gates.get(c)
        less = "" if c in (0, 6) else f"{p50 - floor}"
        rows.append(f"| {name} | {p10} | {p50} | {p90} | {less} | {f'at most {limit}' if limit else ''} | {gate(p50 <= limit) if limit else ''} |")
    if 4 in single and 3 in single:
        rows += ["", "The least disturbed of five turns. The floor is part of each figure; gates are held against the whole figure. Packets whose flow moves on with each of them are "
                 "timed one run a call, which the kernel's clock reads make dearer: see the first floor."]
    ns, hooks = statistics.median(request_ns), sorted(by_hook[0])
    middle = lambda what, hook: statistics.median(r[hook][what] for r in by_hook)
    rows += [
        "",
        "## Time in all hooks per request and response under wrk (bpf_stats), nanoseconds",
        "",
        "| | median | range | runs per request | gate | |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| all hooks: both pods guarded, ten HTTP rules on one | {ns:.0f} | {min(request_ns):.0f} to {max(request_ns):.0f} | {sum(middle(1, h) for h in hooks):.1f} | at most 3000 | {gate(ns <= 3000)} |",
        *[f"| of that, {h}_pod | {middle(0, h):.0f} | | {middle(1, h):.1f} | | |" for h in hooks],
        "",
        "The statistics themselves add two clock reads to each run.",
        "",
        "## Requests per second (wrk, 32 connections, 12-byte reply)",
        "",
        "| | requests/s, median | p50 latency, us |",
        "| --- | --- | --- |",
    ]
    for name, got in rps.items():
        rows.append(f"| {name} | {statistics.median(x[0] for x in got):.0f} | {statistics.median(x[2] for x in got):.0f} |")
    v = {name: [x[0] for x in got] for name, got in rps.items()}
    base = v["nothing"]
    control = ratios(v["nothing again"], base)
    proxy = statistics.median(ratios(v["bpfast"], v["haproxy"]))
    if noisy(control):
        rows += ["", "**The machine was not quiet**: nothing against nothing differs by more than a tenth. The ratios below say little."]
    rows += [
        "",
        "| ratio, round by round | median | quartiles | range | gate |",
        "| --- | --- | --- | --- | --- |",
        ratio_row("nothing / nothing (A/A control)", v["nothing again"], base),
        ratio_row("ten HTTP rules, nobody observing / nothing", v["bpfast"], base, control_gate(v["bpfast"], base, control)),
        ratio_row("ten HTTP rules, somebody observing / nothing", v["bpfast observed"], base, "reported"),
        ratio_row("HAProxy sidecar, the same rules / nothing", v["haproxy"], base, "reported"),
        ratio_row("ten HTTP rules / HAProxy sidecar", v["bpfast"], v["haproxy"], f"at least 1.7: {gate(proxy >= 1.7)}"),
        "",
        "## Bulk download (one connection)",
        "",
        "| | Gb/s, median |",
        "| --- | --- |",
    ]
    for name, got in down.items():
        rows.append(f"| {name} | {statistics.median(got) * 8 / 1e9:.2f} |")
    control = ratios(down["nothing again"], down["nothing"])
    rows += [
        "",
        "| ratio, round by round | median | quartiles | range | gate |",
        "| --- | --- | --- | --- | --- |",
        ratio_row("nothing / nothing (A/A control)", down["nothing again"], down["nothing"]),
        ratio_row("through an HTTP rule / nothing", down["bpfast"], down["nothing"], control_gate(down["bpfast"], down["nothing"], control)),
        ratio_row("HAProxy sidecar / nothing", down["haproxy"], down["nothing"], "reported"),
        "",
        "The control's lower bound is the 5th percentile of the control's rounds.",
    ]
    return "\n".join(rows) + "\n"


def main():
    load = enter()
    lab = Lab()
    try:
        single = single_programs(lab)
        lab.node.only(lab.policy)
        request_ns, by_hook = per_request(lab)
        rps = throughput(lab)
        down = downloads(lab)
    except KeyboardInterrupt:
        return 130
    text = report(load, single, request_ns, by_hook, rps, down)
    write("results.md", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
