#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make bench-shield`, the part with traffic: what floods leave of the goodput, what a dropped packet costs, what honest load loses.

Goodput: new HTTP connections per second while a flood comes, divided by the same while the same flood goes past the target. Flood and client go on
while it is turned from one to the other, BENCH_TURNS (60) times. BENCH_RATE (50000) packets a second. Then CPU time of a dropped packet beside
nftables and iptables, in BENCH_ROUNDS (10) rounds; honest load; when mitigation begins and ends.
BENCH_ONLY, a regular expression, chooses among the floods and "strangers", "cost", "honest", "times". Writes build/bench/floods.md and prints it.
"""

import os
import random
import re
import statistics
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from common import ONLY, enter, gate, machine, median_within, note, ratios, write
from wire import BLOCKED, CLIENT_CPU, IP, MAC, MANY, Wire, attacks, octets, until_sent

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "10"))
TURNS = int(os.environ.get("BENCH_TURNS", "60"))
SLOT, SETTLE = 0.5, 0.1  # seconds of a turn, and before it
RATE = int(os.environ.get("BENCH_RATE", "50000"))
WINDOW = 2  # seconds of what is measured once
LEAD = 30000  # packets of a flood before it is measured: bursts of the limits are over then
COUNT = 200000  # packets, for the cost of one
GATE, FIRST, RELEASE = 0.95, 1, 15

# --- packets, as trafgen writes them, from the IP header on ----------------------------

FORGED = "dinc(16, 99, 1), drnd(3)"


def ip(proto, payload, source=FORGED, more="0, 0", length=None):
    """`payload`: (bytes, text)"""
    size, text = payload
    return f"0x45, 0, c16({length or 20 + size}), drnd(2), {more}, 64, {proto}, csumip(14, 33), {source}, TARGET, {text}"


def tcp(flags, offset=0x50):
    return 20, f"drnd(2), c16(80), drnd(4), drnd(4), {offset}, {flags}, c16(1024), csumtcp(14, 34), 0, 0"


def udp(sport, dport, size):
    return 8 + size, f"{sport}, c16({dport}), c16({8 + size}), 0, 0, fill(0x81, {size})"


FIN, SYN, RST, PSH, ACK, URG = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
PING = 64, "8, 0, csumip(34, 97), drnd(4), fill('x', 56)"
BAD = octets(IP["bad"])

FLOODS = {
    "SYN, forged sources": ip(6, tcp(SYN)),
    "SYN, eight sources": ip(6, tcp(SYN), source="10, 99, 1, dinc(1, 8, 1)"),
    "SYN, one source that answers with RST": ip(6, tcp(SYN), source=BAD),
    "ACK, forged sources": ip(6, tcp(ACK)),
    "RST, one source": ip(6, tcp(RST), source=BAD),
    "FIN, forged sources": ip(6, tcp(FIN | ACK)),
    "UDP, forged sources": ip(17, udp("drnd(2)", 53, 64)),
    "UDP amplification, source port 53, 512 bytes": ip(17, udp("c16(53)", 40000, 512)),
    "ICMP, one source": ip(1, PING, source=BAD),
    "fragments": ip(17, (600, "fill('x', 600)"), source=BAD, more="0x00, 0xb9"),
    "malformed, a TCP header longer than the packet": ip(6, tcp(ACK, 0xF0)),
    "LAND": ip(6, tcp(SYN), source="TARGET"),
    "illegal flags, FIN PSH URG": ip(6, tcp(FIN | PSH | URG)),
}


def flood(wire, name, past):
    return wire.flood(MAC["sink" if past else "uplink"], FLOODS[name], RATE, past)


# --- goodput ---------------------------------------------------------------------------


class Row:
    def __init__(self):
        self.past, self.guarded = [], []  # requests a second; TURNS + 1 of the first, TURNS of the others
        self.bare = None  # requests at the target by those past it, without shield
        self.rate = []  # packets a second, at the target
        self.passed = None  # share of the flood, with shield


def slot(wire, count, seconds):
    """-> (new connections a second, packets of the flood a second)"""
    asked, sent, start = count(), wire.sent(), time.monotonic()
    time.sleep(seconds)
    asked, sent, took = count() - asked, wire.sent() - sent, time.monotonic() - start
    return max(asked, 0.1) / took, sent / took


def turns(wire, count, steer, rng, row):
    """Past the target and at it in turn, while flood and client go on."""
    for turn in range(2 * TURNS + 1):
        at = turn % 2 == 1
        steer("uplink" if at else "sink")
        # Not in step with anything that comes once a second.
        time.sleep(SETTLE + rng.uniform(0, SETTLE))
        got, rate = slot(wire, count, SLOT)
        (row.guarded if at else row.past).append(got)
        if at:
            row.rate.append(rate)


def share_passed(wire, steer):
    """Of a flood that goes on."""
    steer("uplink")
    time.sleep(2 * SETTLE)
    drops, sent = wire.dropped(), wire.sent()
    time.sleep(WINDOW)
    return max(0, 1 - (wire.dropped() - drops) / (wire.sent() - sent))


def once(wire, count, steer, to):
    """New connections a second."""
    steer(to)
    time.sleep(2 * SETTLE)
    return slot(wire, count, WINDOW)[0]


LEAST = "FIN, forged sources"


def through_least(wire, steer):
    """The same where the flood ends in a program that does nothing else: no shield can lose less -> Row"""
    row = Row()
    with wire.least():
        steer("uplink")
        with flood(wire, LEAST, False), wire.connecting() as count:
            until_sent(wire, LEAD)
            turns(wire, count, steer, random.Random(LEAST), row)
    return row


def through(wire, steer, name, row):
    rng = random.Random(name)
    for mode in ("enforce", "off"):
        wire.attach("--mode", mode)
        if "SYN" in name or name == "LAND":
            wire.fresh_server()
        # So is a client that was there before the flood.
        wire.good.run("curl", "-s", "-o", "/dev/null", "-m", "2", f"http://{wire.web.ip4}/hello")
        steer("uplink")
        with flood(wire, name, False), wire.connecting() as count:
            until_sent(wire, LEAD)
            if mode == "enforce":
                turns(wire, count, steer, rng, row)
                row.passed = share_passed(wire, steer)
                continue
            past = once(wire, count, steer, "sink")
            row.bare = once(wire, count, steer, "uplink") / past


def goodput(wire, names):
    """-> (name -> Row, Row)"""
    rows = {n: Row() for n in names}
    wire.attach("--native")
    with wire.steering() as steer:
        for name in names:
            note(f"goodput: {name}")
            through(wire, steer, name, rows[name])
        wire.detach()
        note("goodput: the least")
        least = through_least(wire, steer)
    return rows, least


def spread(values, digits=2):
    return f"{statistics.median(values):.{digits}f} | {min(values):.{digits}f} to {max(values):.{digits}f}"


def means(values, apart):
    return [(a + b) / 2 for a, b in zip(values, values[apart:])]


def guarded(row):
    """Each slot at the target by the mean of those before and after it."""
    return ratios(row.guarded, means(row.past, 1))


def control(row):
    """Slots past the target, by those past it before and after them."""
    return ratios(row.past[1:-1], means(row.past, 2))


def known(values):
    low, high = median_within(values)
    return f"{statistics.median(values):.3f} ({low:.3f} to {high:.3f})"


def verdict(values):
    low, high = median_within(values)
    return gate(low >= GATE) if low >= GATE or high < GATE else "undecided, too much noise"


def goodput_row(name, row):
    return (f"| {name} | {statistics.median(row.rate) / 1000:.0f}k | {statistics.median(row.past):.0f} | {known(control(row))} | {known(guarded(row))} | "
            f"{100 * row.passed:.1f} % | {row.bare:.2f} | at least {GATE} | {verdict(guarded(row))} |")


def goodput_of_all(rows):
    """No flood is like another, and yet: what of the noise is no flood's own is less here."""
    all_of = lambda of: [x for row in rows.values() for x in of(row)]
    return f"| all together | | | {known(all_of(control))} | {known(all_of(guarded))} | | | | {verdict(all_of(guarded))} |"


def least_row(row):
    return (f"| for comparison: {LEAST}, dropped for the sender's MAC address | {statistics.median(row.rate) / 1000:.0f}k | {statistics.median(row.past):.0f} | "
            f"{known(control(row))} | {known(guarded(row))} | | | | |")


def goodput_table(rows, least):
    return ["## Goodput of new HTTP connections through a flood", "",
            f"wrk, 8 connections, one request each; flood, all work of the node's kernel, and the server on CPU 0, the client on CPU 1. Flood and client go on while the flood is turned past the target and to it, {TURNS} times, "
            f"{SLOT} s each: each slot at the target is divided by the mean of the two around it; the control is the same for a slot past the target. In brackets: where the median lies with 90 % confidence. "
            f"Unguarded: shield's mode is off, {WINDOW} s. For comparison: in shield's place a program that only looks at who sends; what it loses, the veth and its hook take.", "",
            "| flood | packets/s | requests/s past the target | control: past / past | guarded / past | passed of the flood | unguarded / past | gate | |",
            "| --- | --- | --- | --- | --- | --- | --- | --- | --- |", *[goodput_row(name, row) for name, row in rows.items()], goodput_of_all(rows),
            least_row(least), ""]


# --- clients that were never there ---------------------------------------------------------

MET = ("SYN, forged sources", "ACK, forged sources", "UDP, forged sources")


def ask(wire):
    """Of a hundred clients, each from an address of its own: how many were answered within a second."""
    with ThreadPoolExecutor(50) as pool:
        return sum(pool.map(lambda _: wire.stranger(), range(100)))


def strangers(wire):
    """flood -> variant -> (answered early, answered when it has been going on for some seconds)"""
    out = {}
    wire.attach("--native")
    for name in MET:
        note(f"strangers: {name}")
        out[name] = {}
        for variant in ("past", "guarded", "unguarded"):
            wire.attach("--mode", "off" if variant == "unguarded" else "enforce")
            wire.fresh_server()
            wire.calm()
            with flood(wire, name, variant == "past"):
                until_sent(wire, LEAD)
                early = ask(wire)
                time.sleep(3)
                out[name][variant] = early, ask(wire)
    wire.detach()
    return out


def strangers_table(got):
    out = ["## Clients that were never there before", "", "Of a hundred addresses that ask once, 50 at a time: answered within a second, before a lost SYN would be sent again. Some tenths of a second after the flood began, and 3 s later. Reported.", "",
           "| flood | past the target | at the target, guarded | unguarded |", "| --- | --- | --- | --- |"]
    for name, by in got.items():
        out.append(f"| {name} | " + " | ".join("{}, {}".format(*by[v]) for v in ("past", "guarded", "unguarded")) + " |")
    return out + [""]


# --- CPU time of a dropped packet ---------------------------------------------------------

NFT = 'table netdev bench { chain in { type filter hook ingress device "uplink" priority 0; ip saddr %s drop; }; }\n' % BLOCKED


def nft(wire, on):
    wire.node.ns.run("nft", "-f", "-", input=NFT if on else "delete table netdev bench\n", check=True)


def iptables(program):
    def switch(wire, on):
        wire.node.ns.run(program, "-t", "raw", "-A" if on else "-D", "PREROUTING", "-s", BLOCKED, "-j", "DROP", check=True)
    return switch


def shield(how):
    def switch(wire, on):
        if on:
            wire.attach(how)
        else:
            wire.detach()
    return switch


def nothing(_wire, _on):
    pass


# name -> (whose address, how it is switched on and off)
WAYS = {
    "nobody gets it (the floor)": ("void", nothing),
    "XDP native, an empty program": ("sink", nothing),
    "XDP native, shield's block list": ("uplink", shield("--native")),
    "XDP generic, shield's block list": ("uplink", shield("--generic")),
    "TC ingress, shield's block list": ("uplink", shield("--tc")),
    "nftables, netdev ingress": ("uplink", nft),
    "iptables, raw PREROUTING, nf_tables": ("uplink", iptables("iptables-nft")),
    "iptables, raw PREROUTING, legacy": ("uplink", iptables("iptables-legacy")),
}


def cost(wire):
    """way -> nanoseconds of CPU for a packet, by round"""
    out, order = {w: [] for w in WAYS}, list(WAYS)
    flood = ip(17, udp("drnd(2)", 53, 64), source="10, 99, drnd(2)")
    # Empty tables of netfilter cost something as well: they are made before the first round.
    for way in WAYS:
        WAYS[way][1](wire, True)
        WAYS[way][1](wire, False)
    wire.node.cli("shield", "block", BLOCKED)
    for r in range(ROUNDS):
        note(f"cost, round {r + 1} of {ROUNDS}")
        random.Random(r).shuffle(order)
        for way in order:
            to, switch = WAYS[way]
            switch(wire, True)
            try:
                arrived, sent = wire.arrived(), wire.sent()
                seconds = wire.cpu_time(wire.trafgen(MAC[to], flood, count=COUNT))
                arrived, sent = wire.arrived() - arrived, wire.sent() - sent
                if sent < COUNT or arrived > COUNT // 100:
                    raise RuntimeError(f"{way}: {arrived} of {sent} packets were not dropped")
                out[way].append(seconds / COUNT * 1e9)
            finally:
                switch(wire, False)
    wire.node.cli("shield", "unblock", BLOCKED)
    return out


def cost_table(got):
    floor = list(got)[0]
    out = ["## CPU time of a dropped packet", "",
           f"CPU time of the sender, in which the kernel also receives and drops, for {COUNT:,} packets of UDP with random sources of {BLOCKED}; {ROUNDS} interleaved rounds. "
           "The floor: the same packets, which the bridge gives to nobody. What is above it is a veth, the way to the hook, and the drop.", "",
           "| where it is dropped | ns a packet, median | range | above the floor | range |", "| --- | --- | --- | --- | --- |"]
    for way, values in got.items():
        above = [a - b for a, b in zip(values, got[floor])]
        out.append(f"| {way} | {spread(values, 0)} | " + ("| |" if way == floor else f"{spread(above, 0)} |"))
    return out + ["", "A veth has no buffers of its own for native XDP: it first makes them from the sender's, for the empty program too. A network card does not.", ""]


# --- honest load ----------------------------------------------------------------------------


def honest(wire):
    """what -> (requests, of these answered, packets dropped by shield)"""
    good, url = wire.good, f"http://{wire.web.ip4}/hello"

    def curl(source=None):
        at = ["--interface", source] if source else []
        return good.run("curl", "-sS", "-o", "/dev/null", "-m", 10, *at, "-w", "%{http_code}", url).stdout == "200"

    def wrk():
        out = good.run("taskset", "-c", CLIENT_CPU, "wrk", "-t1", "-c512", "-d3s", "--timeout", "5s", url, timeout=30).stdout
        bad = [int(x) for x in re.findall(r"(?:connect|read|write|timeout) (\d+)", out)]
        n = int(re.search(r"(\d+) requests in", out)[1])
        return n + sum(bad), n

    def ab():
        out = good.run("ab", "-q", "-n", 20000, "-c", 100, url, timeout=60).stdout
        done, failed = (int(re.search(what + r" requests:\s+(\d+)", out)[1]) for what in ("Complete", "Failed"))
        return 20000, done - failed

    def burst():
        time.sleep(2)
        with ThreadPoolExecutor(100) as pool:
            got = list(pool.map(lambda _: curl(), range(400)))
        return len(got), sum(got)

    def many():
        with ThreadPoolExecutor(50) as pool:
            got = list(pool.map(curl, MANY * 3))
        return len(got), sum(got)

    out = {}
    wire.attach("--native", "--mode", "enforce")
    for what, run in (("wrk, 512 connections", wrk), ("ab without keep-alive, 100 at once", ab), ("a burst of 400 requests after quiet, 100 at once", burst),
                      ("200 client addresses, 50 at once", many)):
        note(what)
        before = wire.dropped()
        asked, answered = run()
        out[what] = asked, answered, wire.dropped() - before
    wire.detach()
    return out


def honest_table(got):
    out = ["## Honest load that looks like an attack", "", "| load | requests | answered | packets dropped by shield | gate | |", "| --- | --- | --- | --- | --- | --- |"]
    for what, (asked, answered, dropped) in got.items():
        out.append(f"| {what} | {asked:,} | {answered:,} | {dropped} | 0 | {gate(dropped == 0)} |")
    return out + [""]


# --- when mitigation begins and ends -----------------------------------------------------------

TIMED = ("SYN, forged sources", "UDP amplification, source port 53, 512 bytes", "ICMP, one source")


def mitigated(status):
    """Packets dropped, without those whose forged source is on no wire: these go at once."""
    return sum(d["packets"] for device in status["devices"] for d in device["drops"] if d["reason"] != "shield-martian-address")


def times(wire):
    """flood -> (seconds until the first drop, until an attack is recorded, from the end until it is released); None where it did not come"""
    out = {}
    wire.attach("--native", "--mode", "enforce")
    wire.new_connections()
    known = "attacks" in wire.status()
    if known:
        time.sleep(22)  # a new agent's first seconds are for learning
    for name in TIMED:
        note(f"times: {name}")
        before, first, recorded, released = mitigated(wire.status()), None, None, None
        with flood(wire, name, False):
            start = until_sent(wire, 1)
            while (now := time.monotonic() - start) < 3:
                s = wire.status()
                now = time.monotonic() - start
                first = now if first is None and mitigated(s) > before else first
                recorded = now if recorded is None and attacks(s) else recorded
                time.sleep(0.01)
        end = time.monotonic()
        while recorded is not None and released is None and (now := time.monotonic() - end) < RELEASE + 5:
            released = now if not attacks(wire.status()) else None
            time.sleep(0.05)
        out[name] = first, recorded, released
    wire.detach()
    return known, out


def times_table(known, got):
    def cell(seconds):
        return "no" if seconds is None else f"{seconds:.2f} s"

    out = ["## When mitigation begins and ends", "",
           f"{RATE:,} packets a second for three seconds, by the status asked every few hundredths of a second." + ("" if known else " This agent keeps no records of attacks: only hard limits drop."), "",
           "| flood | first drop | attack recorded | released after its end | gate | |", "| --- | --- | --- | --- | --- | --- |"]
    for name, (first, recorded, released) in got.items():
        ok = first is not None and first <= FIRST and released is not None and released <= RELEASE
        out.append(f"| {name} | {cell(first)} | {cell(recorded)} | {cell(released)} | at most {FIRST} s; {RELEASE} s | {gate(ok) if known else 'not decided'} |")
    return out + [""]


def main():
    wanted = lambda part: re.search(ONLY, part)
    names = [n for n in FLOODS if wanted(n)]
    if not names and not any(map(wanted, ("strangers", "cost", "honest", "times"))):
        return 0
    load = enter()
    wire = Wire()
    text = ["# BPFast shield under floods", "", machine(load), ""]
    try:
        if names:
            text += goodput_table(*goodput(wire, names))
        if wanted("strangers"):
            text += strangers_table(strangers(wire))
        if wanted("cost"):
            text += cost_table(cost(wire))
        if wanted("honest"):
            text += honest_table(honest(wire))
        if wanted("times"):
            text += times_table(*times(wire))
    except KeyboardInterrupt:
        return 130
    page = "\n".join(text)
    write("floods.md", page)
    return int("**missed**" in page)


if __name__ == "__main__":
    sys.exit(main())
