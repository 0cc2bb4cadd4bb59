#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make bench-scale`: what policies of real size cost, in time of the kernel, time to apply, and memory.

BENCH_ROUNDS (9) pairs of ten rules and ten thousand of the same shape on one port, requests drawn uniformly over all rules of the
policy in force; then apply times; then a busy node: 5,000 NetworkPolicy rules over 1,000 CIDRs and 1,000 endpoints in 50 groups.
BENCH_ONLY, a regular expression, chooses among "kernel", "apply" and "node". Writes build/bench/scale.md and prints it.
"""

import os
import random
import re
import statistics
import subprocess
import sys
import time

import bench
from common import ONLY, enter, gate, machine, note, write

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "9"))
MANY = 10000
RULES, CIDRS, GROUPS, ENDPOINTS = 5000, 1000, 50, 1000


# --- policies ---------------------------------------------------------------------


def pattern(n):
    return f"/api/v{n % 7}/tenants/{100000 + n * 7919 % 900000}/items/[0-9]+(/detail)?"


def path(n, rng):
    """A path that rule n allows."""
    return re.sub(r"\[0-9\]\+.*", str(rng.randrange(10000)) + rng.choice(("", "/detail")), pattern(n))


def policy(name, numbers, port=80):
    """As somebody writes it: block style, one rule three lines."""
    rules = "".join(f'            - method: GET\n              path: "{pattern(n)}"\n' for n in numbers)
    return f"""apiVersion: bpfast.io/v1alpha1
kind: PayloadPolicy
metadata:
  name: {name}
  namespace: default
spec:
  endpointSelector:
    matchLabels:
      app: web
  ingress:
    - fromEndpoints:
        - matchLabels:
            app: cart
      toPorts:
        - ports:
            - port: "{port}"
              protocol: TCP
          rules:
            http:
{rules or "              []"}"""


def replaced(numbers, at):
    return [MANY + 77 if i == at else n for i, n in enumerate(numbers)]


def network_policies():
    """50 objects, 5,000 rules, each with a selector, a CIDR of a thousand, and ports."""
    docs = []
    for g in range(GROUPS):
        rules = []
        for i in range(g * RULES // GROUPS, (g + 1) * RULES // GROUPS):
            c = i % CIDRS
            rules.append(f"""    - from:
        - podSelector:
            matchLabels:
              app: g{i % 37}
        - ipBlock:
            cidr: 172.{16 + c // 256}.{c % 256}.0/24
      ports:
        - protocol: TCP
          port: {1000 + i % 200}
          endPort: {1000 + i % 200 + i % 5}
""")
        docs.append(f"""apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: g{g}
  namespace: default
spec:
  podSelector:
    matchLabels:
      app: g{g}
  policyTypes: [Ingress]
  ingress:
{"".join(rules)}""")
    return "---\n".join(docs)


# --- what is measured ---------------------------------------------------------------


def frames(lab, turn, numbers, seed):
    """Connections whose requests go to rules drawn at random; the same number for each policy."""
    rng = random.Random(seed)
    out = [bench.record(2, 0, bench.Tcp(lab, 1, 80).frame(True, "A")) for _ in range(500)]
    for n in range(10):
        t = bench.Tcp(lab, 20000 + 10 * turn + n, 80)
        out.append(t.open())
        for _ in range(800):
            request = bench.padded(lab.web, path(rng.choice(numbers), rng))
            out.append(t.send(True, 1, "PA", request) + t.send(False, 2, "PA", bench.RESPONSE) + t.send(True, 255))
    return b"".join(out)


def memory(lab):
    """KiB that the agent has resident, the tables of the kernel that it maps apart; and its own heap of that."""
    total = own = 0
    mapped = False
    with open(f"/proc/{lab.node.agent.pid}/smaps", encoding="ascii") as f:
        for line in f:
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                mapped = "bpf-map" in line
            elif line.startswith("Rss:") and not mapped:
                total += int(line.split()[1])
            elif line.startswith("Anonymous:") and not mapped:
                own += int(line.split()[1])
    return total, own


def status(lab):
    return lab.node.cli("-o", "json", "status", timeout=60).json


def apply(lab, text, name="scale.yaml"):
    """Seconds of one `policy apply -f FILE`, as a user runs it."""
    file = os.path.join(lab.node.dir, name)
    with open(file, "w", encoding="ascii") as f:
        f.write(text)
    before = time.monotonic()
    lab.node.cli("policy", "apply", "-f", file, timeout=120)
    return time.monotonic() - before


def kernel(lab):
    """[(ten, many)] medians in ns by round, and the floor."""
    few, many = list(range(10)), list(range(MANY))
    pairs, floor = [], []
    for r in range(ROUNDS):
        note(f"kernel, round {r + 1} of {ROUNDS}")
        got = {}
        order = [("few", few), ("many", many)]
        if r % 2:
            order.reverse()
        for i, (what, numbers) in enumerate(order):
            apply(lab, policy("bench", numbers))
            one = lab.prog_run(frames(lab, 2 * r + i, numbers, r))
            got[what] = one[1][1:]
            floor.append(one[0][2])
        pairs.append((got["few"], got["many"]))
    return pairs, floor


def applying(lab):
    """name -> [seconds]; and memory behind it."""
    many = list(range(MANY))
    out = {"new": [], "again": [], "one": [], "part": [], "nothing": []}
    lab.node.clear_policies()
    for r in range(max(3, ROUNDS // 2)):
        note(f"apply, round {r + 1}")
        apply(lab, policy("bench", range(10)))
        out["new"].append(apply(lab, policy("bench", many)))
        out["one"].append(apply(lab, policy("bench", replaced(many, 1000 * r + 7))))
        apply(lab, policy("bench", many))
        out["nothing"].append(apply(lab, policy("bench", many)))
    mem = memory(lab)
    lab.node.clear_policies()
    parts = [policy(f"part{i}", many[i * 100:i * 100 + 100]) for i in range(MANY // 100)]
    for r in range(max(3, ROUNDS // 2)):
        note(f"apply in a hundred objects, round {r + 1}")
        lab.node.clear_policies()
        out["again"].append(apply(lab, "---\n".join(parts)))
        out["part"].append(apply(lab, policy("part7", replaced(many[700:800], r))))
    return out, mem, memory(lab)


def busy_node(lab):
    """name -> [seconds], memory, image bytes."""
    node, out = lab.node, {"apply": [], "one": [], "add": [], "add last": [], "delete": []}
    node.clear_policies()
    note(f"{ENDPOINTS} endpoints")
    far = lab.cart.ns.name  # where the other ends are
    script = "".join(f"link add e{i} type veth peer name q{i} netns {far}\nlink set e{i} up\n" for i in range(ENDPOINTS))
    with node.ns.inside():
        subprocess.run(["ip", "-batch", "-"], input=script, text=True, check=True)
    text = network_policies()
    docs = text.split("---\n")

    def add(i):
        before = time.monotonic()
        node.cli("endpoint", "add", f"p{i}", "--iface", f"e{i}", "--ip", f"10.200.{i // 250}.{i % 250 + 1}", "--label", f"app=g{i % GROUPS}", timeout=60)
        return time.monotonic() - before

    out["add"] = [add(i) for i in range(ENDPOINTS - 10)]
    out["apply"].append(apply(lab, text))
    for r in range(5):
        out["one"].append(apply(lab, docs[r].replace("port: 1000", f"port: {900 + r}", 1)))
        out["apply"].append(apply(lab, text))
    out["add last"] = [add(i) for i in range(ENDPOINTS - 10, ENDPOINTS)]
    return out, memory(lab), status(lab)


# --- the table ------------------------------------------------------------------------


def times(name, values, limit=None):
    ok = gate(statistics.median(values) <= limit) if limit else ""
    return f"| {name} | {statistics.median(values):.3f} s | {min(values):.3f} to {max(values):.3f} | {f'at most {limit} s' if limit else ''} | {ok} |"


def image_bytes(st):
    return st["arena"]["used_bytes"]


def main():
    load = enter()
    wanted = lambda part: re.search(ONLY, part)
    rows = ["# BPFast with large policies", "",
            f"{machine(load)}", ""]
    lab = bench.Lab()
    lab.guard()
    if wanted("kernel"):
        pairs, floor = kernel(lab)
        ratio = [many[1] / few[1] for few, many in pairs]
        rows += [f"| 200-byte GET, one run a call, {ROUNDS} interleaved pairs | p10 | median | p90 | gate | |", "| --- | --- | --- | --- | --- | --- |",
                 f"| an empty program (floor) | | {statistics.median(floor):.0f} ns | | | |"]
        for i, name in enumerate(("10 rules", f"{MANY} rules")):
            rows.append(f"| {name} | " + " | ".join(f"{statistics.median(p[i][q] for p in pairs):.0f} ns" for q in range(3)) + " | | |")
        middle = statistics.median(ratio)
        rows += [f"| ratio of the medians, pair by pair | {min(ratio):.3f} (least) | {middle:.3f} | {max(ratio):.3f} (most) | at most 1.5 | {gate(middle <= 1.5)} |", ""]
    if wanted("apply"):
        got, mem, mem_parts = applying(lab)
        rows += [f"| `policy apply -f FILE`, {MANY} HTTP rules | median | range | gate | |", "| --- | --- | --- | --- | --- |",
                 times("a new set in one object", got["new"], 2), times("the same with one rule changed", got["one"], 0.5),
                 times("the same, nothing changed", got["nothing"]), times("a new set in 100 objects", got["again"], 2),
                 times("one of these objects, with one rule changed", got["part"], 0.5), "",
                 f"The agent then has {mem[0] / 1024:.0f} MiB resident, tables mapped into it apart (gate: 64: {gate(mem[0] <= 65536)}); with 100 objects {mem_parts[0] / 1024:.0f} MiB. "
                 f"of that {mem[1] / 1024:.0f} and {mem_parts[1] / 1024:.0f} MiB are not its program.", ""]
        st = status(lab)
        rows += images(st, f"{MANY} HTTP rules")
    if wanted("node"):
        got, mem, st = busy_node(lab)
        rows += [f"| {RULES} NetworkPolicy rules, {CIDRS} CIDRs, {ENDPOINTS} endpoints in {GROUPS} groups | median | range | | |", "| --- | --- | --- | --- | --- |",
                 times("`policy apply` of all", got["apply"]), times("`policy apply` of one of 50 objects, with one rule changed", got["one"]),
                 times(f"`endpoint add`, the last 10 of {ENDPOINTS}, under these policies", got["add last"]),
                 times("`endpoint add` without policies", got["add"]), "", f"The agent then has {mem[0] / 1024:.0f} MiB resident, tables mapped into it apart.", ""]
        rows += images(st, "this node")
    text = "\n".join(rows)
    write("scale.md", text + "\n")
    return 0


def images(st, what):
    used = image_bytes(st)
    return [f"The tables of {what}: {used / 1048576:.2f} MiB; with both generations {2 * used / 1048576:.2f} MiB. The arena that holds them has {st['arena']['max_bytes'] >> 20} MiB "
            f"(gate: at most 64).", ""]


if __name__ == "__main__":
    sys.exit(main())
