#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make bench-flows`: 100,000 connections open at once, between many pods, under HTTP rules.

BENCH_CONNECTIONS (100000) connections from 10 pods to 8 others, each pod guarded: so two flows for each connection. Every one
asks, stays open, and asks again when all are open; some ask for what no rule allows. Fails where one is not judged, or reset.
Writes build/bench/flows.md and prints it.
"""

import json
import os
import re
import subprocess
import sys
import time

from common import ROOT, bpf_enable_stats, enter, machine, note, write  # also finds the lab

CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "100000"))
FEW = 100
SINGLE = 3000  # requests one after the other, whose time is told
FORBIDDEN = 1000
CLIENTS, SERVERS, PORTS = 10, 8, (80, 8080)
PATIENCE = 300  # seconds for opening all
MOST_AGENT, MOST_FLOW = 64 << 20, 320


class Failed(Exception):
    pass


def must(what, condition):
    if not condition:
        raise Failed(what)


# --- what it takes ----------------------------------------------------------------


def agent_memory(pid):
    """-> (resident bytes without the mapped tables, resident bytes of those). From smaps: a mapping of a BPF map is
    called anon_inode:bpf-map."""
    own = tables = 0
    table = False
    with open(f"/proc/{pid}/smaps", encoding="ascii") as f:
        for line in f:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                table = "bpf-map" in line
            elif line.startswith("Rss:"):
                size = int(line.split()[1]) << 10
                tables += size if table else 0
                own += 0 if table else size
    return own, tables


def map_memory(pin_dir):
    """name -> bytes of kernel memory"""
    out = {}
    for base, _, names in os.walk(pin_dir):
        if os.path.basename(base) == "maps":
            for name in names:
                got = subprocess.run(["bpftool", "-j", "map", "show", "pinned", os.path.join(base, name)], capture_output=True, check=True).stdout
                out[name] = int(json.loads(got)["bytes_memlock"])
    return out


def flow_bytes():
    """Bytes of a flow's state, as the pinned table has it."""
    with open(os.path.join(ROOT, "include", "bpfast", "flow.h"), encoding="utf-8") as f:
        return int(re.search(r"sizeof\(struct bpfast_flow\) <= (\d+)", f.read()).group(1))


# --- the lab ----------------------------------------------------------------------


class Lab:
    def __init__(self):
        from lab import crowd
        from lab.node import Node
        from lab.policy import http, payload

        self.together = crowd.together
        self.node = node = Node("flows")
        self.cart = [node.pod(f"cart{i}", {"app": "cart"}) for i in range(CLIENTS)]
        self.web = [node.pod(f"web{i}", {"app": "web"}) for i in range(SERVERS)]
        for pod in self.cart + self.web:
            pod.ns.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
        for pod in self.web:
            pod.ns.sysctl("net.core.somaxconn", 65535)
        node.start_agent()
        for pod in self.cart + self.web:
            pod.guard()
        node.apply(payload("crowd", {"app": "web"}, ingress=[http({"app": "cart"}, p, {"method": "GET", "path": "/ok/[a-z]+"}) for p in PORTS]))
        self.servers = [crowd.server(pod, *PORTS) for pod in self.web]
        targets = [f"{pod.ip4}:{port}" for port in PORTS for pod in self.web]
        self.clients = [crowd.client(pod, *targets[i % len(targets):], *targets[:i % len(targets)]) for i, pod in enumerate(self.cart)]

    def status(self):
        return self.node.cli("-o", "json", "status").json

    def all(self, *words):
        return self.together(self.clients, *words)

    def run_time(self):
        """Nanoseconds in our two programs so far."""
        total = 0
        for base, _, names in os.walk(self.node.pin_dir):
            if os.path.basename(base) == "progs":
                for name in names:
                    got = subprocess.run(["bpftool", "-j", "prog", "show", "pinned", os.path.join(base, name)], capture_output=True, check=True).stdout
                    got = json.loads(got)
                    total += (got[0] if isinstance(got, list) else got).get("run_time_ns", 0)
        return total

    def single(self):
        """One request after the other, from all clients in turn -> medians over clients, and our programs' time a request."""
        stats = bpf_enable_stats()
        before, got = self.run_time(), []
        for c in self.clients:
            got.append(c.ask("one", SINGLE // CLIENTS))
        spent = self.run_time() - before
        os.close(stats)
        must(f"a request alone was not answered: {got}", all(g["answered"] == SINGLE // CLIENTS for g in got))
        mid = {q: sorted(g[q] for g in got)[CLIENTS // 2] for q in ("p50_us", "p90_us", "p99_us")}
        return dict(mid, kernel_us=spent / 1e3 / SINGLE)


def all_well(what, got, **want):
    bad = {k: got[k] for k in ("reset", "refused", "closed", "failed", "odd", "unanswered") if got[k]}
    must(f"{what}: {bad}", not bad)
    for key, value in want.items():
        must(f"{what}: {key} is {got[key]}, not {value}", got[key] == value)
    note(f"{what}: {got['answered'] + got['denied']} answers in {got['seconds']:.1f} s")


def measure(lab):
    share = CONNECTIONS // CLIENTS
    judged = 0
    r = {}
    before = lab.status()

    all_well("few connections", lab.all("open", FEW // CLIENTS, 30), answered=FEW, open=FEW)
    r["few"] = lab.single()
    judged += FEW + SINGLE
    got = lab.all("open", share - FEW // CLIENTS, PATIENCE)
    all_well("all connections", got, answered=CONNECTIONS - FEW, open=CONNECTIONS)
    r["open_s"] = got["seconds"]
    judged += CONNECTIONS - FEW
    r["full"] = s = lab.status()
    must(f"{s['flows']} is not two flows for each connection", s["flows"]["used"] >= 2 * CONNECTIONS)
    r["own"], r["tables"] = agent_memory(lab.node.agent.pid)
    r["maps"] = map_memory(lab.node.pin_dir)
    r["endpoints"] = lab.node.cli("endpoint", "list").out
    got = lab.all("ask", PATIENCE)
    all_well("the second request of each", got, answered=CONNECTIONS, open=CONNECTIONS)
    r["again_s"] = got["seconds"]
    judged += CONNECTIONS
    r["many"] = lab.single()
    judged += SINGLE
    got = lab.all("deny", FORBIDDEN // CLIENTS, 60)
    all_well("forbidden requests", got, denied=FORBIDDEN, answered=0, open=CONNECTIONS - FORBIDDEN)
    got = lab.all("ask", PATIENCE)
    all_well("the third request of the others", got, answered=CONNECTIONS - FORBIDDEN)
    judged += CONNECTIONS - FORBIDDEN

    after = lab.status()
    served = lab.together(lab.servers, "count")
    must(f"{served}, but {judged} requests were asked", served["requests"] == judged and served["forbidden"] == 0)
    must(f"{served['connections']} connections reached the servers", served["connections"] == CONNECTIONS)
    for key, want in (("forwarded", judged), ("dropped", FORBIDDEN)):
        n = after["http"][key] - before["http"][key]
        must(f"{n} requests were {key}, not {want}", n == want)
    r["drops"] = {d["reason"]: d for d in after["drops"]}
    must(f"dropped: {r['drops']}", not set(r["drops"]) - {"http-rule-denied", "tcp-after-close"})
    r["judged"] = judged

    lab.all("close")
    begin = time.monotonic()
    while lab.status()["flows"]["used"] > 2 * FORBIDDEN and time.monotonic() < begin + 60:
        time.sleep(0.5)
    r["gone_s"], r["left"] = time.monotonic() - begin, lab.status()["flows"]["used"]
    must(f"{r['left']} flows are left", r["left"] <= 2 * FORBIDDEN)  # those that were denied answer their clients for two minutes
    must(f"an agent of {r['own'] >> 20} MiB", CONNECTIONS < 100000 or r["own"] <= MOST_AGENT)
    must("a flow's state", flow_bytes() <= MOST_FLOW)
    return r


def report(r, load):
    f, mib = r["full"]["flows"], lambda n: f"{n / (1 << 20):.1f} MiB"
    rows = [("requests judged, all of them rightly", f"{r['judged'] + FORBIDDEN:,}"), ("of these denied", f"{FORBIDDEN:,}"), ("connections reset", "0"),
            ("flow table", f"{f['used']:,} of {f['max']:,} ({100 * f['used'] / f['max']:.0f} %)"),
            ("most flows of one endpoint", f"{f['most']:,} of {f['per_endpoint_max']:,}"),
            ("a flow's state", f"{flow_bytes()} bytes at most"),
            ("flow table, kernel memory", f"{mib(r['maps']['bpfast_flow'])}, {r['maps']['bpfast_flow'] / f['max']:.0f} bytes a flow"),
            ("all tables, kernel memory", mib(sum(r["maps"].values()))),
            ("agent, resident (gate: 64 MiB)", mib(r["own"])), ("tables mapped into it, resident", mib(r["tables"])),
            ("opening all, each with a request", f"{r['open_s']:.1f} s"), ("the second request of each", f"{r['again_s']:.1f} s"),
            ("until the table was empty again", f"{r['gone_s']:.0f} s, {r['left']:,} left: denied ones, for two minutes")]
    out = ["# BPFast bench: flows", "",
           f"{machine(load)} {CONNECTIONS:,} connections from "
           f"{CLIENTS} pods to {SERVERS} others, all guarded: two flows each. The server's side is under an HTTP rule.", "",
           "| what | |", "| --- | --- |", *(f"| {a} | {b} |" for a, b in rows), "",
           "| one request after the other, on connections drawn at random | median | 90 % | 99 % | in our programs, a request |", "| --- | --- | --- | --- | --- |"]
    for name, key in ((f"{FEW} connections", "few"), (f"{CONNECTIONS:,} connections", "many")):
        m = r[key]
        out.append(f"| {name} | {m['p50_us']:.0f} us | {m['p90_us']:.0f} us | {m['p99_us']:.0f} us | {m['kernel_us']:.2f} us |")
    return "\n".join(out + ["", "```text", r["endpoints"].rstrip(), "```"]) + "\n"


def main():
    load = enter()
    lab = Lab()
    try:
        text = report(measure(lab), load)
    except Failed as e:
        note(f"FAILED: {e}")
        note(lab.node.cli("status").out)
        return 1
    except KeyboardInterrupt:
        return 130
    write("flows.md", text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
