#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make bench-loss`: bulk transfers under an HTTP rule while packets are lost or come late.

A gate for each line, place, congestion control and transfer: at least 0.9 of the same without a rule, which is a guarded pod whose
port has an L4 rule only. BENCH_ROUNDS (9) interleaved rounds, in shuffled order, of BENCH_MIB (16) each: with the HTTP rule, without,
without again (the A/A control), and between two pods that nobody guards. BENCH_ONLY, a regular expression, chooses among the rows.
Writes build/bench/loss.md and prints it. The line is made by bench/lossy.bpf.c; both ends are bench/bulk.c.
"""

import os
import random
import re
import statistics
import subprocess
import sys

from common import BUILD, ONLY, enter, machine, note, quantile, write

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "9"))
BYTES = int(os.environ.get("BENCH_MIB", "16")) << 20
BULK = os.path.join(BUILD, "bench", "bulk")
GATE = 0.9
SLOWEST = 60  # seconds; who takes longer hangs

# Ports of web: with the HTTP rule, with an L4 rule, with another; one server for each congestion control.
HTTP, PLAIN, CONTROL = 0, 1, 2
PORTS = {"cubic": (9100, 9101, 9102), "bbr": (9200, 9201, 9202)}

LINES = {"0.1 % lost": "lossy_1", "1 % lost": "lossy_10", "1 % eight places late": "lossy_reorder"}
TRANSFERS = {
    "upload, length known": ("put",),
    "upload, chunks of 64 KiB": ("chunked", 65536),
    "upload, chunks of 4 KiB": ("chunked", 4096),
    "upload, chunks of 1 KiB": ("chunked", 1024),
    "download": ("get",),
}


class Lab:
    """cart on CPU 1 and web on CPU 0; beside them two pods that nobody guards."""

    def __init__(self):
        from lab.lossy import Lossy
        from lab.node import Node
        from lab.policy import http, payload

        self.node = node = Node("loss")
        self.cart, self.web = node.pod("cart"), node.pod("web")
        self.bare_cart, self.bare_web = node.pod("cart0"), node.pod("web0")
        self.pods = list(node.pods.values())
        for pod in self.pods:
            # No more in flight than the kernel's queue between two CPUs takes (netdev_max_backlog, 1,000
            # packets): what is lost is what the line loses.
            pod.ns.sysctl("net.ipv4.tcp_rmem", "4096 131072 1000000")
        available = self.cart.run("cat", "/proc/sys/net/ipv4/tcp_available_congestion_control").stdout.split()
        self.congestion = [c for c in PORTS if c in available]
        self.missing = [c for c in PORTS if c not in available]
        self.servers = [pod.popen("taskset", "-c", "0", BULK, "serve", c, *PORTS[c]) for pod in (self.web, self.bare_web) for c in self.congestion]
        node.start_agent()
        self.cart.guard()
        self.web.guard()
        cart = {"app": "cart"}
        node.apply(payload("bulk", {"app": "web"}, ingress=[
            rule for p in PORTS.values() for rule in
            (http(cart, p[HTTP], {"method": "GET|PUT", "path": "/bulk/[0-9]+"}), http(cart, p[PLAIN]), http(cart, p[CONTROL]))]))
        self.lossy = Lossy()
        self.single(True)

    def single(self, yes):
        """Packets of one segment, or of as many as TCP likes."""
        from lab.lossy import many_segments, single_segments

        (single_segments if yes else many_segments)(*self.pods)

    def line(self, program, place, transfer):
        self.lossy.clear(*self.pods)
        for cart, web in ((self.cart, self.web), (self.bare_cart, self.bare_web)):
            sender, receiver = (web, cart) if transfer[0] == "get" else (cart, web)
            self.lossy.put(*((sender, "egress") if place == "before" else (receiver, "ingress")), program)

    def transfer(self, congestion, what, port, bare=False):
        """-> Mb/s"""
        cart, web = (self.bare_cart, self.bare_web) if bare else (self.cart, self.web)
        try:
            r = cart.run("taskset", "-c", "1", BULK, what[0], web.ip4, PORTS[congestion][port], BYTES, congestion, *what[1:], timeout=SLOWEST)
        except subprocess.TimeoutExpired:
            note(f"nothing within {SLOWEST} s: {congestion}, {what}, port {PORTS[congestion][port]}")
            return BYTES * 8 / 1e6 / SLOWEST
        if r.returncode:
            raise RuntimeError(f"{what}: {r.stderr}")
        return BYTES * 8 / 1e6 / float(r.stdout.split()[0])

    def drops(self):
        """reason -> packets"""
        return {d["reason"]: d["ingress_packets"] + d["egress_packets"] for d in self.node.cli("-o", "json", "status").json["drops"]}


class Row:
    def __init__(self, name):
        self.name, self.values = name, {"http": [], "plain": [], "control": [], "bare": []}
        self.dropped, self.seen, self.lost = {}, 0, 0

    def ratios(self, what, base="plain"):
        return [a / b for a, b in zip(self.values[what], self.values[base])]


def measure(lab, name, congestion, transfer, rounds):
    row = Row(name)
    variants = {"http": (HTTP, False), "plain": (PLAIN, False), "control": (CONTROL, False), "bare": (PLAIN, True)}
    order = list(variants)
    lab.transfer(congestion, transfer, HTTP)
    for n in range(rounds):
        random.Random(f"{name}{n}").shuffle(order)
        for v in order:
            before = (lab.drops(), lab.lossy.counts()) if v == "http" else None
            row.values[v].append(lab.transfer(congestion, transfer, *variants[v]))
            if before:
                for reason, packets in lab.drops().items():
                    row.dropped[reason] = row.dropped.get(reason, 0) + packets - before[0].get(reason, 0)
                seen, lost, moved = (b - a for a, b in zip(before[1], lab.lossy.counts()))
                row.seen, row.lost = row.seen + seen, row.lost + lost + moved
    note(f"{name}: {statistics.median(row.ratios('http')):.2f} (control {statistics.median(row.ratios('control')):.2f}), "
         f"{row.seen} segments, {row.lost} lost or late, dropped by us {dict((k, v) for k, v in row.dropped.items() if v)}")
    return row


def rows_of(lab, gso):
    out = []
    for line, program in LINES.items():
        for place in ("before", "after"):
            # Packets that came in order to where they are judged are ordinary again.
            if place == "after" and (program == "lossy_reorder" or gso):
                continue
            if program == "lossy_reorder" and gso:
                continue
            for congestion in lab.congestion:
                for what, transfer in TRANSFERS.items():
                    name = f"{line}, {place} | {congestion} | {what}"
                    if ONLY and not re.search(ONLY, name + (", super-packets" if gso else ", segments")):
                        continue
                    lab.line(program, place, transfer)
                    out.append(measure(lab, name, congestion, transfer, ROUNDS))
    return out


def noisy(control):
    """The same against the same differs by as much as the gate leaves: such a row decides nothing."""
    return quantile(control, 0.75) - quantile(control, 0.25) > 0.2 or not 0.95 <= statistics.median(control) <= 1.05


def verdict(row):
    if statistics.median(row.ratios("http")) >= GATE:
        return "reached"
    return "undecided, too much noise" if noisy(row.ratios("control")) else "**missed**"


def table(rows, gated):
    out = ["| line | TCP | transfer | Mb/s without a rule | HTTP rule / none | quartiles | none / none | quartiles | HTTP rule / nobody attached | dropped by BPFast, of 1,000 | |",
           "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |"]
    for row in rows:
        r, c = row.ratios("http"), row.ratios("control")
        dropped = ", ".join(f"{k} {1000 * v / max(1, row.seen):.1f}" for k, v in row.dropped.items() if v)
        out.append(f"| {row.name} | {statistics.median(row.values['plain']):.0f} | {statistics.median(r):.2f} | {quantile(r, .25):.2f} to {quantile(r, .75):.2f} "
                   f"| {statistics.median(c):.2f} | {quantile(c, .25):.2f} to {quantile(c, .75):.2f} | {statistics.median(row.ratios('http', 'bare')):.2f} "
                   f"| {dropped or 'none'} | {verdict(row) if gated else 'reported'} |")
    return out


def summary(rows):
    """All rounds of a transfer together: with many lines and a noisy machine, what the single rows cannot tell."""
    out = ["| transfer, all lines | TCP | rounds | HTTP rule / none | quartiles | none / none | quartiles |", "| --- | --- | --- | --- | --- | --- | --- |"]
    for congestion in PORTS:
        for what in TRANSFERS:
            same = [row for row in rows if row.name.endswith(f"| {congestion} | {what}")]
            r, c = ([x for row in same for x in row.ratios(v)] for v in ("http", "control"))
            if r:
                out.append(f"| {what} | {congestion} | {len(r)} | {statistics.median(r):.2f} | {quantile(r, .25):.2f} to {quantile(r, .75):.2f} "
                           f"| {statistics.median(c):.2f} | {quantile(c, .25):.2f} to {quantile(c, .75):.2f} |")
    return out


def report(lab, load, single, many):
    out = [
        "# BPFast bench: loss",
        "",
        f"{machine(load)} "
        f"{ROUNDS} interleaved rounds of {BYTES >> 20} MiB; server on CPU 0, client on CPU 1; two pods on one bridge."
        + (f" Not there: {', '.join(lab.missing)}." if lab.missing else ""),
        "",
        f"## Every packet one segment (gate: HTTP rule / none at least {GATE})",
        "",
        *table(single, True),
        "",
        *summary(single),
    ]
    if many:
        out += ["", "## Packets of up to 64 KiB, lost as a whole", "", *table(many, False), "", *summary(many)]
    return "\n".join(out) + "\n"


def main():
    load = enter()
    lab = Lab()
    try:
        single = rows_of(lab, False)
        lab.single(False)
        many = rows_of(lab, True)
    except KeyboardInterrupt:
        return 130
    text = report(lab, load, single, many)
    write("loss.md", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
