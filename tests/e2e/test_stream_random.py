# SPDX-License-Identifier: Apache-2.0
"""Random streams of mixed contents: whatever the order, the losses and the overlaps, nothing forbidden is executed.

Every stream is the same four requests. Its segments are taken from the allowed bytes or from one of their
other versions of the same length, each of which holds GET /admin in its own way; some segments are made
so that the server throws them away. Bare, many of these streams do harm.
"""

import random

import pytest
from lab.range import ECHO, WAYS, Range, brief
from lab.tcp import every, option

STREAMS = 120  # in a volley
LOST = [{"bad": 1}, {"bad": 1}, {"options": option(19, bytes(16))}, {"flags": "P"}]


@pytest.fixture(scope="module")
def room(nodes):
    room = Range(nodes())
    yield room
    assert not room.forbidden()
    room.close()


def contents(s, big):
    """The allowed bytes, then other versions of them. big: heads longer than what is kept in one piece."""
    more = 1100 if big else 0

    def stream(first="/ok", length=180, size=b"0b6", trailers=b"X: " + b"p" * 55 + b"\r\n", last="/ok"):
        return (
            s.head("GET", first, 60 + more)
            + s.head("POST", "/up", 90 + more, f"Content-Length: {length:03d}")
            + s.evil * 3
            + s.head("POST", "/up", 90 + more, "Transfer-Encoding: chunked")
            + size + b"\r\n\r\n" + s.evil * 3 + b"\r\n0\r\n" + trailers + b"\r\n"
            + s.head("GET", last, 60 + more)
        )

    return [
        stream(),
        stream(first="/admin"),
        stream(last="/admin"),
        stream(length=0),
        stream(size=b"000"),
        stream(trailers=b"\r\n" + s.evil[:-2]),
    ]


def plan(seed):
    """Segments in random order, then all of one version in order."""

    def pieces(s):
        rng = random.Random(seed)
        versions = contents(s, seed % 2)
        good, evil = versions[0], rng.choice(versions[1:])
        assert len({len(v) for v in versions}) == 1
        out, size, reached = [], len(good), 0
        for _ in range(rng.randrange(1, 14)):
            at = rng.choice([reached, reached, rng.randrange(size), rng.randrange(min(size, reached + 300))])
            at = min(at, size - 1)
            end = min(size, at + rng.choice([1, 2, 7, 30, 90, 200, 500, 1400]))
            bad = rng.random() < 0.25
            lost = rng.random() < (0.1 if bad else 0.5)
            out.append((at, (evil if bad else good)[at:end], *([rng.choice(LOST)] if lost else [])))
            if not lost and at <= reached:
                reached = max(reached, end)
        last = rng.choice([good, evil, evil])
        step = rng.choice([11, 64, 250, 1000, 1400])
        return out + [(at, data) for at, data in every(last, step)]

    return pieces


@pytest.mark.parametrize("version, port", [(4, 80), (6, ECHO)])
@pytest.mark.parametrize("seed", range(4))
def test_random_streams(room, version, port, seed):
    plans = [plan(seed * STREAMS + i) for i in range(STREAMS)]
    for way in WAYS:
        shots = room.volley(way, version, port, plans, again=0, seconds=0.4)
        harm = [i for i, s in enumerate(shots) if set(s.executed) - {"/ok", "/up"}]
        for s in shots:
            s.c.forget()
        if way == "bare":
            assert len(harm) > STREAMS / 10, f"only {len(harm)} of {STREAMS} work without us"
        else:
            assert not harm, f"{way}: {len(harm)} of {STREAMS} were executed, such as number {seed * STREAMS + harm[0]}: {shots[harm[0]].executed} by {brief(shots[harm[0]].pieces)}"


@pytest.mark.parametrize("seed", range(2))
def test_random_streams_merged(room, seed):
    room.gro(True)
    try:
        test_random_streams(room, 4, 80, 100 + seed)
    finally:
        room.gro(False)


@pytest.mark.parametrize("version, port", [(4, 80), (6, ECHO)])
def test_allowed_streams_are_served(room, version, port):
    """The same segments, all of them allowed, lost ones sent again."""

    def only_good(seed):
        def pieces(s):
            good = contents(s, seed % 2)[0]
            out = [(at, good[at : at + len(data)], *rest) for at, data, *rest in plan(seed)(s)]
            return [p for p in out if p[2:] != ({"flags": "P"},)]

        return pieces

    for way in WAYS:
        shots = room.volley(way, version, port, [only_good(i) for i in range(STREAMS)], seconds=8)
        wrong = [i for i, s in enumerate(shots) if not s.c.wait(lambda s=s: s.executed == ["/ok", "/up", "/up", "/ok"] or s.c.reset, 1)]
        for s in shots:
            s.c.forget()
        assert not wrong, f"{way}: {len(wrong)} of {STREAMS} were not served, such as number {wrong[0]}: {shots[wrong[0]].executed} by {brief(shots[wrong[0]].pieces)}"
