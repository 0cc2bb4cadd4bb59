# SPDX-License-Identifier: Apache-2.0
"""An agent of another layout takes over in the middle of an attack: what was said before it counts behind it, too.

Each attack is first run with nothing attached, where it must succeed. All of them wait for one upgrade.
"""

import os

import pytest
from lab.node import BIN, OTHER_LAYOUT
from lab.range import ECHO, LATE, NGINX, RULES, WAYS, Range


@pytest.fixture(scope="module")
def room(nodes):
    assert os.access(OTHER_LAYOUT, os.X_OK), f"{OTHER_LAYOUT} is missing: run make test-layout first"
    room = Range(nodes())
    yield room
    assert not room.forbidden()
    room.close()


def seen(s, place):
    """The hook has seen the packet before the upgrade begins; place: what the server has acknowledged by then."""
    s.c.wait(lambda: s.c.acked >= place, 1 if place else 0.01)


def replaced(s):
    """Judged in a packet that the server does not read."""
    s.c.put(0, s.good, bad=1)
    seen(s, 0)
    yield
    s.c.put(0, s.evil)


def end_replaced(s):
    s.c.put(0, s.good[:5]).put(5, s.good[5:], bad=1)
    seen(s, 5)
    yield
    s.c.put(5, s.evil[5:])


def second_replaced(s):
    """The first of two is served, the second was not read."""
    s.c.put(0, s.good).put(60, s.good, bad=1)
    seen(s, 60)
    yield
    s.c.put(60, s.evil)


def ahead(s):
    """Behind a gap, where the server keeps it, and nobody could judge it."""
    s.c.put(60, s.evil)
    seen(s, 0)
    yield
    s.c.put(0, s.good)


def ahead_in_pieces(s):
    for at in range(0, 60, 7):
        s.c.put(60 + at, s.evil[at : at + 7])
    seen(s, 0)
    yield
    s.c.put(0, s.good + s.good[:3])


def half_head(s):
    s.c.put(0, s.evil[:5])
    seen(s, 5)
    yield
    s.c.put(5, s.evil[5:])


def half_of_the_second(s):
    s.c.put(0, s.good + s.evil[:20])
    seen(s, 60)
    yield
    s.c.put(60, s.evil).put(80, s.evil[20:])


def behind_a_body(s):
    up = s.head("POST", "/up", 0, "Content-Length: 40")
    s.c.put(0, up + bytes(20))
    seen(s, len(up) + 20)
    yield
    s.c.put(len(up) + 20, bytes(20) + s.evil)


def behind_a_body_ahead(s):
    """The rest of the body is missing, and what follows it is there."""
    up = s.head("POST", "/up", 0, "Content-Length: 40")
    s.c.put(0, up + bytes(20)).put(len(up) + 40, s.evil)
    seen(s, len(up) + 20)
    yield
    s.c.put(len(up) + 20, bytes(20)).put(len(up) + 40, s.good)


def behind_chunks(s):
    """Cut in the line that says a chunk's size."""
    up = s.head("POST", "/up", 0, "Transfer-Encoding: chunked") + b"5\r\n01234\r\n0"
    s.c.put(0, up)
    seen(s, len(up))
    yield
    s.c.put(len(up), b"\r\n\r\n" + s.evil)


def in_a_chunk(s):
    """Of a size of two digits only the first was there."""
    up = s.head("POST", "/up", 0, "Transfer-Encoding: chunked") + b"1"
    s.c.put(0, up)
    seen(s, len(up))
    yield
    s.c.put(len(up), b"4\r\n" + bytes(20) + b"\r\n0\r\n\r\n" + s.evil)


def denied_before(s):
    """Under a policy of which the connection has not seen a packet yet."""
    yield
    s.c.put(0, s.evil)


HEADS = (replaced, end_replaced, second_replaced, ahead, ahead_in_pieces, half_head, half_of_the_second)
BODIES = (behind_a_body, behind_a_body_ahead, behind_chunks, in_a_chunk)
ATTACKS = [(a, p) for a in HEADS for p in (NGINX, ECHO)] + [(a, ECHO) for a in BODIES] + [(denied_before, LATE)]


def begin(room, way, version):
    out = []
    for attack, port in ATTACKS:
        s = room.shot(way, version, port, counted=False)
        s.c.open()
        going = attack(s)
        next(going)
        out.append((attack, s, going))
    return out


def test_halves_before_and_behind_an_upgrade(room):
    shots = [one for way in WAYS for version in (4, 6) for one in begin(room, way, version)]
    room.rules(*RULES)  # LATE was open so far
    room.node.stop_agent()
    room.node.start_agent(program=[OTHER_LAYOUT], patience=25)
    assert room.node.cli("-o", "json", "status").json["carried_over"]["flows"] >= 2 * 2 * len(ATTACKS)
    for _, _, going in shots:
        next(going, None)
    bare = [(a, s) for a, s, _ in shots if not s.guarded]
    bare[0][1].c.wait(lambda: all("/admin" in s.executed for _, s in bare), 3)
    missed = [(a.__name__, s.port, s.version, s.executed) for a, s in bare if "/admin" not in s.executed]
    hits = [(a.__name__, s.way, s.port, s.version, s.executed) for a, s, _ in shots if s.guarded and "/admin" in s.executed]
    assert not missed and not hits, f"without us these do not work: {missed}; and beside us these do: {hits}"
    for _, s, _ in shots:
        s.c.forget()
    # The way back, and honest requests behind it.
    room.node.stop_agent()
    room.node.start_agent(program=[os.path.join(BIN, "bpfastd")], patience=25)
    for way in WAYS:
        s = room.shot(way, counted=False)
        s.c.open().put(0, s.good)
        assert s.c.wait(lambda s=s: s.executed == ["/ok"])
        s.c.forget()
