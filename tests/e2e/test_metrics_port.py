# SPDX-License-Identifier: Apache-2.0
"""The port of the metrics: one page for all who ask at about the same time, and room for the quick beside the slow."""

import contextlib
import http.client
import select
import socket
import subprocess
import sys
import time

import pytest

from lab.node import parse_metrics
from lab.policy import network
from lab.wait import SLOW, until

PLACES, SILENT = 32, 10
HALF = b"GET /metrics HTTP/1.1\r\nHost: a\r\nX-Slow: "
WHOLE = HALF + b"no\r\n\r\n"
CHANGES = 'bpfast_policy_changes_total{result="in_force"}'


@pytest.fixture(scope="module")
def node(nodes):
    node = nodes()
    node.start_agent()
    return node


def connect(node, source="127.0.0.1", room=None):
    v6 = ":" in source
    with node.ns.inside():
        s = socket.socket(socket.AF_INET6 if v6 else socket.AF_INET)
    s.settimeout(2 * SLOW)
    if room:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, room)
    s.bind((source, 0))
    s.connect(("::1" if v6 else "127.0.0.1", node.metrics_port))
    return s


def scrape(s):
    """One page over a connection that stays open."""
    s.sendall(WHOLE)
    got = http.client.HTTPResponse(s)
    got.begin()
    body = got.read()
    assert got.status == 200 and b"bpfast_endpoints" in body
    return body.decode()


def is_open(s):
    """The other end has not closed it. Reads nothing."""
    poll = select.poll()
    poll.register(s, select.POLLRDHUP)
    return not poll.poll(0)


# --- places ---


def hold(node, number, sources, say):
    """So many connections that say this and then nothing; nothing of what comes back is read."""
    held = []
    for i in range(number):
        s = connect(node, sources[i % len(sources)], 2048)
        held.append(s)
        with contextlib.suppress(OSError):
            s.sendall(say)
    return held


def scrape_within(node, seconds, source="127.0.0.1"):
    start = time.monotonic()
    with connect(node, source) as s:
        s.settimeout(seconds)
        scrape(s)
    assert time.monotonic() - start < seconds


@pytest.mark.parametrize("say", [b"", HALF, WHOLE, WHOLE * 20], ids=["silent", "half", "unread", "unread-many"])
@pytest.mark.parametrize("sources", [1, 2, PLACES * 2], ids=lambda n: f"{n}-addresses")
def test_slow_scrapers_starve_nobody(node, say, sources):
    slow = [f"127.1.0.{i + 2}" for i in range(sources)]
    held = hold(node, PLACES + 8, slow, say)
    try:
        for source in ("127.0.0.1", slow[0]):
            scrape_within(node, 1 * SLOW, source)
        until(lambda: sum(map(is_open, held)) <= PLACES, 2, "no more have a place")
        # They come again as often as they are closed.
        for _ in range(5):
            for i, s in enumerate(held):
                if not is_open(s):
                    s.close()
                    held[i] = hold(node, 1, [slow[i % sources]], say)[0]
            scrape_within(node, 1 * SLOW)
    finally:
        for s in held:
            s.close()


def fewer_keep_their_places(node, mine, others):
    with connect(node, mine) as honest:
        scrape(honest)
        time.sleep(0.01)
        held = hold(node, 3 * PLACES, others, b"")
        try:
            scrape(honest)
            until(lambda: sum(map(is_open, held)) < PLACES, 2, "those with many gave way")
            assert is_open(held[-1]), "the newest is not the one that was silent longest"
        finally:
            for s in held:
                s.close()


def test_an_address_with_fewer_places_keeps_them(node):
    fewer_keep_their_places(node, "127.0.0.1", ["127.1.0.1", "127.1.0.2"])


def test_ipv6_and_ipv4_over_one_socket(nodes):
    """Of IPv6 the network counts, for a client has 2^64 addresses in it. IPv4 is seen as ::ffff:a.b.c.d."""
    node = nodes()
    node.start_agent("--metrics-listen", f"[::]:{node.metrics_port}")
    many = [f"fd00:99::{i + 1:x}" for i in range(3 * PLACES)]
    node.ns.ip("addr add fd00:98::1/128 dev lo nodad", *[f"addr add {a}/128 dev lo nodad" for a in many])
    fewer_keep_their_places(node, "fd00:98::1", many)
    fewer_keep_their_places(node, "127.0.0.1", ["127.1.0.1", "127.1.0.2"])


def test_of_equals_the_one_that_was_silent_longest_gives_way(node):
    each = [connect(node, f"127.1.0.{i + 1}") for i in range(PLACES)]
    try:
        scrape(each[0])
        time.sleep(0.01)
        with connect(node) as s:
            scrape(s)
            assert is_open(each[0]), "it has asked since"
            until(lambda: not is_open(each[1]), 2, "the next is the oldest")
            assert all(map(is_open, each[2:]))
    finally:
        for s in each:
            s.close()


# --- time ---


def sockets(node):
    """States of the agent's side of connections, those included that it closed."""
    out = node.ns.run("ss", "-Htan", f"sport = :{node.metrics_port}", check=True).stdout
    return [line.split()[0] for line in out.splitlines() if not line.startswith(("LISTEN", "TIME-WAIT"))]


def test_whoever_takes_too_long_is_closed(node):
    until(lambda: not sockets(node), 5, "those of other tests are gone")
    dribble, half, silent = connect(node), *hold(node, 1, ["127.0.0.2"], HALF), *hold(node, 1, ["127.0.0.3"], b"")
    # Closed by the agent as soon as all is written: what is unread stays with the kernel.
    unread = hold(node, 8, ["127.0.0.4"], WHOLE.replace(b"X-Slow: no", b"Connection: close"))
    unread += hold(node, 8, ["127.0.0.5"], WHOLE * 100)
    honest = connect(node)
    start = time.monotonic()
    dribble.sendall(HALF)
    gone = {}
    while time.monotonic() < start + SILENT + 3 * SLOW:
        scrape(honest)
        for name, s in (("dribble", dribble), ("half", half), ("silent", silent)):
            if not is_open(s):
                gone.setdefault(name, time.monotonic() - start)
        with contextlib.suppress(OSError):
            dribble.sendall(b"x")
        time.sleep(0.2)
    assert set(gone) == {"dribble", "half", "silent"}
    assert all(SILENT - 0.5 < t < SILENT + 1.5 * SLOW for t in gone.values()), gone
    until(lambda: len(sockets(node)) == 1, 5, "the kernel has none but the honest one")
    for s in (dribble, half, silent, honest, *unread):
        s.close()


# --- the page ---


def test_one_page_for_all_who_ask_at_once(node):
    """Its own CPU time is on it, to 10 ms and less: pages that were made one after the other differ soon."""
    start, pages = time.monotonic(), set()
    with connect(node) as a, connect(node, "127.0.0.2") as b:
        while time.monotonic() < start + 1:
            pages |= {scrape(a), scrape(b)}
    assert 2 <= len(pages) <= (time.monotonic() - start) / 0.1 + 1


def test_no_page_is_older_than_100_ms(node):
    with connect(node) as s:
        for _ in range(10):
            scrape(s)
            node.apply(network("metrics", {"app": "nobody"}, ingress=[]))
            exact = parse_metrics(node.cli("metrics").out)[CHANGES]
            time.sleep(0.1)
            assert parse_metrics(scrape(s))[CHANGES] == exact


SCRAPER = """
import http.client, sys, time
end, n = time.monotonic() + 2, 0
while time.monotonic() < end:
    c = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=5)
    c.request("GET", "/metrics")
    assert c.getresponse().read()
    c.close()
    n += 1
print(n)
"""


def cpu(node):
    with open(f"/proc/{node.agent.pid}/schedstat", encoding="ascii") as f:
        return int(f.read().split()[0]) / 1e9


def test_busy_scrapers_share_the_work(node):
    """What a request of eight scrapers without a pause costs the agent, beside one that comes alone."""
    start = cpu(node)
    with connect(node) as s:
        for _ in range(20):
            scrape(s)
            time.sleep(0.11)
    alone = (cpu(node) - start) / 20
    start = cpu(node)
    busy = [node.ns.popen(sys.executable, "-c", SCRAPER, node.metrics_port, stdout=subprocess.PIPE) for _ in range(8)]
    requests = sum(int(p.communicate(timeout=20 * SLOW)[0]) for p in busy)
    each = (cpu(node) - start) / requests
    print(f"CPU of a request: alone {alone * 1e6:.0f} us, of eight busy ones {each * 1e6:.0f} us, {requests} requests")
    assert each < alone / 4
