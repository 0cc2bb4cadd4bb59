# SPDX-License-Identifier: Apache-2.0
"""Attacks on the order of a TCP stream: segments that overlap, come late or come twice with other bytes.

Which of two contents for one place a server reads depends on what it holds already, so both orders are
here. Each is first run with nothing attached, where it must succeed.

Not here, because Linux refuses it bare: a second content for bytes that wait behind a gap, of exactly the
same extent as the first. The first is kept.
"""

import random
import threading

import pytest
from lab.range import ECHO, WAYS, Range, brief, fire
from lab.tcp import cut, every


DENIED, DIFFERS = "http-rule-denied", "tcp-retransmission-differs"


@pytest.fixture(scope="module")
def room(nodes):
    room = Range(nodes())
    yield room
    assert not room.forbidden()
    room.close()


def put(*pieces):
    """Each (place, content, fields) in a segment, once the connection is open."""

    def attack(s):
        s.c.open()
        for at, data, *fields in pieces:
            data = data(s) if callable(data) else data
            s.c.put(at, data, **(fields[0] if fields else {}))
            s.c.wait(lambda: False, 0.001)

    return attack


def good(a=None, b=None):
    return lambda s: s.good[a:b]


def evil(a=None, b=None):
    return lambda s: s.evil[a:b]


# The requests differ in bytes 5 to 17.
LOST = {"bad": 1}
OVERLAPS = {
    "second half, then all": [(5, good(5)), (0, evil())],
    "second half, then more of it": [(5, good(5)), (4, evil(4)), (0, evil(0, 4))],
    "second half, then its left part": [(5, good(5)), (3, evil(3, 20)), (0, evil(0, 3))],
    "two parts, then one over both": [(5, good(5, 12)), (12, good(12)), (4, evil(4)), (0, evil(0, 4))],
    "single bytes, then all": [*((i, good(i, i + 1)) for i in range(59, 4, -1)), (0, evil())],
    "a part inside, then all": [(8, good(8, 12)), (0, evil())],
    "a part inside, then one around it": [(8, good(8, 12)), (5, evil(5)), (0, evil(0, 5))],
    "the other first": [(5, evil(5)), (5, good(5)), (0, good(0, 5))],
    "the other first, inside": [(5, evil(5)), (6, good(6, 12)), (0, good(0, 5))],
    "the other first, right": [(5, evil(5, 20)), (10, good(10)), (20, good(20)), (0, good(0, 5))],
    "the other first, left": [(5, good(5, 6), LOST), (6, evil(6)), (4, evil(4, 6)), (6, good(6)), (0, good(0, 4))],
    "the other, lost, then the one": [(5, good(5), LOST), (5, evil(5)), (0, good(0, 5))],
    "first half, lost, behind a second": [(20, good(20)), (0, good(0, 20), LOST), (0, evil(0, 20))],
    "all, lost, behind a second half": [(20, good(20)), (0, good(), LOST), (0, evil())],
    "a gap filled twice": [(0, good(0, 3)), (20, good(20)), (3, good(3, 20), LOST), (3, evil(3, 20))],
    "a gap filled by single bytes": [(20, good(20)), (0, good(0, 20), LOST), *((i, evil(i, i + 1)) for i in range(20))],
    "behind an allowed one": [(60, good()), (0, good(), LOST), (0, evil())],
    "ahead of an allowed one": [(65, good(5)), (60, evil()), (0, good())],
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", OVERLAPS)
def test_overlap(room, name, version):
    fire(room, put(*OVERLAPS[name]), version=version)


@pytest.mark.parametrize("name", ["second half, then all", "the other first", "first half, lost, behind a second"])
@pytest.mark.parametrize("isn", [0xFFFFFFFE, 0xFFFFFFF6, 0xFFFFFFEA])
def test_overlap_where_numbers_wrap(room, name, isn):
    fire(room, put(*OVERLAPS[name]), isn=isn)


@pytest.mark.parametrize("name", ["second half, then all", "two parts, then one over both", "the other first", "a gap filled by single bytes"])
def test_overlap_in_merged_segments(room, name):
    room.gro(True)
    try:
        fire(room, put(*OVERLAPS[name]))
    finally:
        room.gro(False)


@pytest.mark.parametrize("port", [80, ECHO])
def test_overlap_behind_a_body(room, port):
    """What was forwarded ahead, behind a body of known length, is replaced when the body's end arrives."""

    def attack(s):
        head = s.head("POST", "/up", 0, "Content-Length: 1000")
        end = len(head) + 1000
        s.c.open().put(0, head)
        s.c.put(end, s.good)
        s.c.put(len(head), bytes(900))
        s.c.put(end - 100, bytes(100) + s.evil)

    fire(room, attack, port=port)


# --- more than anybody keeps ------------------------------------------------------------

FULL = "retention-full"


def hoard(c):
    """All that the server's window takes, ahead of a gap that is never filled."""
    for at in range(2000, 58000, 14000):
        c.put(at, bytes(14000), gso=1400)


def islands(c):
    """Single bytes, none of which touches another: more pieces than a flow may keep."""
    for at in range(70, 1300, 2):
        c.put(at, b"x")


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("what", [hoard, islands])
def test_much_ahead_of_a_gap(room, version, what):
    """Before it, an allowed request that is lost must not be forgotten."""

    def attack(s):
        what(s.c.open())
        s.c.put(0, s.good, bad=1).put(0, s.evil)

    fire(room, attack, {DIFFERS, FULL, DENIED}, version)


def test_many_connections_far_ahead_of_a_gap(room):
    """They leave nothing for an attack to slip through, and nothing of them stays."""
    for way in WAYS:
        crowd = [room.shot(way, counted=False) for _ in range(150)]
        for s in crowd:
            s.c.syn()
        crowd[0].c.wait(lambda: all(s.c.peer_isn is not None for s in crowd), 5)
        for s in crowd:
            hoard(s.c.control("A"))
        fire(room, lambda s: s.c.open().put(0, s.good, bad=1).put(0, s.evil), {DIFFERS, FULL}, ways=[way])
        fire(room, lambda s: s.c.open().put(5, s.good[5:]).put(0, s.evil), {DIFFERS, FULL, DENIED}, ways=[way])
        for s in crowd:
            s.c.forget()
        for _ in range(3):
            s = room.shot(way)
            s.c.open().deliver(cut(s.good, 30)[::-1], 2)
            assert s.c.wait(lambda: s.executed == ["/ok"]), f"{way}: not served afterwards"
            s.c.forget()


@pytest.mark.parametrize("version", [4, 6])
def test_on_two_cpus(room, version):
    """The allowed request, lost, and the other at the same time."""
    for way in WAYS:
        shots = [room.shot(way, version, counted=False) for _ in range(60)]
        for s in shots:
            s.c.open()
        frame = lambda s, data, **kw: s.c.frame(s.c.packet(s.c.segment(data, 0, **kw)))
        columns = [[frame(s, s.good, bad=1) for s in shots], [frame(s, s.evil) for s in shots]]
        start = threading.Barrier(2)

        def shoot(frames):
            start.wait()
            for f in frames:
                for _ in range(4):
                    shots[0].c.raw(f)

        threads = [threading.Thread(target=shoot, args=(c,)) for c in columns]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        shots[0].c.wait(lambda: False, 0.1)
        done = [s for s in shots if s.executed]
        for s in shots:
            s.c.forget()
        assert bool(done) == (way == "bare"), f"{way}: {len(done)} were executed"


# --- packaging -----------------------------------------------------------------------


def packagings(content):
    """Every cut in two, some in three, single bytes; in order, turned round, shuffled."""
    rng, size = random.Random(7), 60
    plans = []
    for place in range(1, size):
        plans += [lambda s, p=place: cut(content(s), p), lambda s, p=place: cut(content(s), p)[::-1]]
    for _ in range(40):
        places, seed = sorted(rng.sample(range(1, size), 2)), rng.random()
        plans.append(lambda s, p=places, seed=seed: random.Random(seed).sample(cut(content(s), *p), 3))
    plans += [lambda s: every(content(s), 1), lambda s: every(content(s), 1)[::-1]]
    plans += [lambda s, seed=i: random.Random(seed).sample(every(content(s), 1), size) for i in range(5)]
    return plans


@pytest.mark.parametrize("version, port", [(4, 80), (6, ECHO)])
def test_any_packaging_is_denied(room, version, port):
    for way in WAYS:
        shots = room.volley(way, version, port, packagings(lambda s: s.evil), seconds=8)
        done = [s for s in shots if s.executed]
        for s in shots:
            s.c.forget()
        if way == "bare":
            assert len(done) == len(shots)
        else:
            assert not done, f"{way}: {[(brief(s.pieces), s.executed) for s in done[:3]]}"
            untold = [s for s in shots if b"403" not in s.c.answer[:20] and not s.c.reset]
            assert not untold, f"{way}: {len(untold)} were not told, such as {brief(untold[0].pieces)}"
