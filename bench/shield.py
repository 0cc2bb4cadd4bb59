#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make bench-shield`: what shield costs a packet, by BPF_PROG_TEST_RUN, and what lists cost.

Each figure is the time of shield's XDP program above an empty one that says the same of the same packets, median of
BENCH_ROUNDS (15) interleaved rounds, with the tenth and ninetieth percentile, beside the empty program against itself. "random" gives each
packet another source (bench/shuffle.bpf.c). Then a million IPv4 prefixes and 100,000 of IPv6: compiling and putting into force, what a
lookup adds for random sources, kernel memory; and a file of a million by the command line. Writes build/bench/shield.md and prints it.
"""

import os
import random
import re
import subprocess
import sys
import tempfile
import time

from common import ONLY, OUT, enter, machine, write

ROUNDS = os.environ.get("BENCH_ROUNDS", "15")

ROWS = [
    ("drop-list-hot", "dropped by a list", 80),
    ("drop-list-random", "dropped by a list, random sources", 80),
    ("drop-list-random6", "dropped by a list, random IPv6 sources", None),
    ("drop-flags-hot", "dropped for its TCP flags", 80),
    ("drop-flags-random", "dropped for its TCP flags, random sources", 80),
    ("drop-source-limit-hot", "dropped by a source's limit", 80),
    ("drop-syn-source-limit-hot", "SYN dropped by a source's limit, and remembered for its repetition", 80),
    ("drop-destination-limit-random", "UDP dropped by a destination's limit, random sources", 80),
    ("drop-syn-limit-random", "SYN dropped by a destination's limit, random sources", 80),
    ("answer-syn-random", "SYN answered with a cookie, random sources", None),
    ("drop-bad-cookie-random", "ACK without a valid cookie, random sources", None),
    ("drop-out-of-state-random", "ACK dropped as out of state, random sources", 80),
    ("pass-known", "passed: TCP of a known connection", 60),
    ("pass-udp", "passed: UDP within its limits", 60),
    ("pass-udp-random", "passed: UDP within its limits, random sources", None),
    ("pass-udp-random6", "passed: the same over IPv6", None),
    ("attacked-drop-fingerprint-random", "under attack: UDP that bears the last of four fingerprints, random sources", None),
    ("attacked-drop-adaptive-random", "under attack: UDP dropped by an adaptive limit, random sources", None),
    ("attacked-pass-udp-random", "under attack: UDP that bears none of three fingerprints, random sources", None),
    ("attacked-pass-known", "under attack: TCP of a known connection", None),
    ("lookup4-1000000", "added by a list of 1,000,000 IPv4 prefixes, random sources", 80),
    ("lookup6-100000", "added by a list of 100,000 IPv6 prefixes, random sources", None),
]


def figures():
    out = subprocess.run([os.path.join(OUT, "shield"), os.path.join(OUT, "shuffle.o"), ROUNDS], capture_output=True, text=True, check=False)
    if out.returncode:
        sys.exit(f"bench-shield: {out.stderr}")
    return {f[0]: tuple(float(x) for x in f[1:]) for f in (line.split() for line in out.stdout.splitlines())}


def by_command_line():
    """Seconds until `shield block --file` returns for a million prefixes, and the agent's memory then."""
    from lab.node import Node

    node = Node(routed=True)
    try:
        pod = node.pod("client")
        node.start_agent()
        node.cli("shield", "attach", pod.iface)
        rng = random.Random(1)
        with tempfile.NamedTemporaryFile("w", suffix=".txt", delete=False) as f:
            for _ in range(1000000):
                addr, bits = rng.randrange(0x10000000, 0x50000000), rng.choice((32, 32, 24, 24, 28))
                addr = addr >> (32 - bits) << (32 - bits)
                f.write(f"{addr >> 24}.{addr >> 16 & 255}.{addr >> 8 & 255}.{addr & 255}/{bits}\n")
        start = time.monotonic()
        node.cli("shield", "block", "--file", f.name, timeout=60)
        took = time.monotonic() - start
        os.unlink(f.name)
        lists = node.cli("-o", "json", "shield", "status").json["lists"]
        return took, lists["bytes"] / 2**20, node.metrics()["process_resident_memory_bytes"] / 2**20
    finally:
        node.close()


def main():
    if not re.search(ONLY, "packets and lists"):
        return
    load = enter()
    f = figures()
    took, kernel, agent = by_command_line()
    text = [f"{machine(load)} {ROUNDS} rounds. Nanoseconds above an empty program; in brackets the 10th and 90th percentile.", ""]
    text += ["| packet | ns | empty against itself | reach | |", "| --- | --- | --- | --- | --- |"]
    for key, what, reach in ROWS:
        mid, low, high = f[key]
        control = f.get("control:" + key)
        text.append(
            f"| {what} | {mid:.0f} ({low:.0f} to {high:.0f}) | {f'{control[1]:.0f} to {control[2]:.0f}' if control else ''} | "
            f"{f'<= {reach}' if reach else 'reported'} | {'' if not reach else 'reached' if mid <= reach else 'MISSED'} |"
        )
    text += ["", "| list | to put into force | kernel memory | reach |", "| --- | --- | --- | --- |"]
    for key, what in (("lookup4-1000000", "1,000,000 IPv4 prefixes"), ("lookup6-100000", "100,000 IPv6 prefixes")):
        text.append(f"| {what} | {f['load:' + key][0]:.2f} s | {f['mib:' + key][0]:.0f} MiB | {'<= 5 s, <= 256 MiB' if '4' in key[:7] else 'reported'} |")
    text.append(f"| a file of 1,000,000 by `bpfast shield block --file` | {took:.2f} s | {kernel:.0f} MiB; the agent has {agent:.0f} MiB | <= 5 s, <= 256 MiB |")
    page = "\n".join(text) + "\n"
    write("shield.md", page)
    sys.exit("MISSED" in page)


if __name__ == "__main__":
    main()
