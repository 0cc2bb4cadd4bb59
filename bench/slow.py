#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make bench-shield`, the part with slow clients: how long a good client waits while slowhttptest holds 1,000 connections.

A real Apache with the limits that Debian gives it, and a fresh one for each row. For BENCH_SLOW_SECONDS (15), from the attack's first connection, a good client
asks on a new connection every 50 ms, and waits 3 s at most; unguarded (`shield http --mode off`) for 5 s. slowhttptest ends when all its connections are closed: it is
started again then. Writes build/bench/slow.md and prints it.
BENCH_ONLY, a regular expression, chooses among the rows.
"""

import os
import re
import statistics
import subprocess
import sys
import time

from common import ONLY, enter, gate, machine, note, write  # also finds the lab

SECONDS, UNGUARDED_SECONDS = float(os.environ.get("BENCH_SLOW_SECONDS", "15")), 5
MOST, PATIENCE, PORT = 1, 3, 80

ATTACKS = {
    "slow head (Slowloris)": (("-H", "-i", 10), "/hello"),
    "slow body (POST)": (("-B", "-i", 10), "/hello"),
    "slow read": (("-X", "-w", 1, "-y", 64, "-n", 5, "-z", 5), "/files/big"),
}


class Room:
    def __init__(self):
        from lab.node import Node
        from lab.policy import http, payload

        self.node = node = Node("slow", routed=True)
        self.bad, self.good, self.web = node.pod("bad"), node.pod("good"), node.pod("web")
        self.server = None
        self.fresh_server()
        node.start_agent()
        self.web.guard()
        node.apply(payload("web", {"app": "web"}, ingress=[http(None, PORT, {"method": ".*"})]))
        node.cli("shield", "attach", self.bad.iface)

    def fresh_server(self):
        from lab.servers import apache

        if self.server:
            self.server.stop()
        self.server = apache(self.web.ns, PORT)

    def mode(self, mode):
        self.node.cli("shield", "http", "--mode", mode)
        for e in self.node.cli("-o", "json", "shield", "list").json["entries"]:
            self.node.cli("shield", "unblock", e["cidr"])
        self.fresh_server()

    def waits(self, seconds, between=lambda: None):
        """Seconds that each answer took; PATIENCE where none came."""
        from lab.http import ask, get

        took, end = [], time.monotonic() + seconds
        while time.monotonic() < end:
            began = time.monotonic()
            got = ask(self.good.ns, self.web.ip4, PORT, get("/hello"), timeout=PATIENCE)
            took.append(time.monotonic() - began if got == 200 else PATIENCE)
            time.sleep(0.05)
            between()
        return took

    def under(self, args, path, seconds):
        def begin():
            return self.bad.popen("slowhttptest", *args, "-c", 1000, "-r", 200, "-l", 120, "-u", f"http://{self.web.ip4}{path}",
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def again():
            nonlocal proc
            if proc.poll() is not None:
                proc = begin()

        proc = begin()
        try:
            return self.waits(seconds, again)
        finally:
            proc.kill()
            proc.wait()


def cell(took):
    return f"{statistics.median(took):.3f} s, {max(took):.2f} s" + (f", {sum(t >= PATIENCE for t in took)} of {len(took)} not served" if max(took) >= PATIENCE else "")


def main():
    names = [n for n in ATTACKS if re.search(ONLY, n)]
    if not names:
        return 0
    load = enter()
    room = Room()
    out = ["# BPFast shield and slow clients", "", machine(load), "",
           f"A good client's waiting time, median and longest, while slowhttptest holds 1,000 connections (200 new a second) to Apache for {SECONDS:.0f} s; unguarded "
           f"for {UNGUARDED_SECONDS} s.", "", "| attack | nobody attacks | unguarded | guarded | gate, longest | |", "| --- | --- | --- | --- | --- | --- |"]
    for name in names:
        note(name)
        room.mode("off")
        calm = room.waits(2)
        bare = room.under(*ATTACKS[name], UNGUARDED_SECONDS)
        room.mode("as-devices")
        held = room.under(*ATTACKS[name], SECONDS)
        out.append(f"| {name} | {cell(calm)} | {cell(bare)} | {cell(held)} | {MOST} s | {gate(max(held) <= MOST)} |")
    page = "\n".join(out) + "\n"
    write("slow.md", page)
    return int("**missed**" in page)


if __name__ == "__main__":
    sys.exit(main())
