# SPDX-License-Identifier: Apache-2.0
"""Odd but honest streams: every allowed request is served, once, in whatever packets it comes."""

import hashlib
import random

import pytest
from lab.range import ECHO, WAYS, Range
from lab.tcp import cut, every


@pytest.fixture(scope="module")
def room(nodes):
    room = Range(nodes())
    yield room
    assert not room.forbidden()
    room.close()


def served(s, *targets):
    """Each of them, with 200, once."""
    assert s.c.wait(lambda: len(s.executed) >= len(targets) and s.c.answer.count(b"HTTP/1.1 200") >= len(targets), 5), (
        f"{s.way}: executed {s.executed}, answered {s.c.answer[:300]!r}, acknowledged {s.c.acked}, reset {s.c.reset}"
    )
    assert s.executed == list(targets), s.way
    s.c.forget()


def one(room, pieces, version=4, port=80, again=0.05, targets=("/ok",), seconds=3.0, **kw):
    """pieces(shot) over every way. again=0: nothing is sent twice by itself."""
    for way in WAYS:
        s = room.shot(way, version, port, **kw)
        s.c.open().deliver(pieces(s), seconds, again)
        served(s, *targets)


# --- one small request ------------------------------------------------------------------


def packagings():
    rng, content, size = random.Random(11), lambda s: s.good, 60
    plans = {}
    for place in range(1, size):
        plans[f"cut at {place}"] = lambda s, p=place: cut(content(s), p)
        plans[f"cut at {place}, late half"] = lambda s, p=place: cut(content(s), p)[::-1]
    for _ in range(40):
        places, seed = sorted(rng.sample(range(1, size), 2)), rng.random()
        plans[f"cut at {places}, shuffled"] = lambda s, p=places, seed=seed: random.Random(seed).sample(cut(content(s), *p), 3)
    plans["single bytes"] = lambda s: every(content(s), 1)
    plans["single bytes, turned round"] = lambda s: every(content(s), 1)[::-1]
    for seed in range(5):
        plans[f"single bytes, shuffled {seed}"] = lambda s, seed=seed: random.Random(seed).sample(every(content(s), 1), size)
    plans["all twice"] = lambda s: [(0, content(s))] * 2
    plans["single bytes twice"] = lambda s: [p for p in every(content(s), 1) for _ in (0, 1)]
    plans["growing from the beginning"] = lambda s: [(0, content(s)[:n]) for n in range(1, size + 1, 7)] + [(0, content(s))]
    plans["growing from the end"] = lambda s: [(n, content(s)[n:]) for n in range(size - 1, -1, -7)] + [(0, content(s))]
    plans["overlapping"] = lambda s: [(n, content(s)[n : n + 15]) for n in range(0, size, 5)]
    return plans


def volley(room, way, version, port, again):
    plans = packagings()
    shots = room.volley(way, version, port, list(plans.values()), again=again, seconds=8 if again else 3)
    wrong = [name for name, s in zip(plans, shots) if s.executed != ["/ok"] or s.c.answer.count(b"HTTP/1.1 200") != 1]
    for s in shots:
        s.c.forget()
    assert not wrong, f"{way}: {len(wrong)} of {len(plans)} were not served: {wrong[:12]}"


@pytest.mark.parametrize("version, port", [(4, 80), (6, ECHO)])
@pytest.mark.parametrize("way", WAYS)
def test_any_packaging_is_served(room, way, version, port):
    volley(room, way, version, port, 0.05)


@pytest.mark.parametrize("version, port", [(4, 80), (6, ECHO)])
@pytest.mark.parametrize("way", WAYS)
def test_any_packaging_is_served_without_sending_again(room, way, version, port):
    """A segment ahead of a gap is not lost by us: its sender has no reason to send it again."""
    volley(room, way, version, port, 0)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("isn", [0xFFFFFFFE, 0xFFFFFFE0, 0xFFFFFFC2, 0x7FFFFFE0])
@pytest.mark.parametrize("turned", [False, True])
def test_where_numbers_wrap(room, version, isn, turned):
    one(room, lambda s: cut(s.good, 7, 30, 45)[:: -1 if turned else 1], version, isn=isn)


def test_repeated_after_it_was_acknowledged(room):
    for way in WAYS:
        s = room.shot(way)
        s.c.open().put(0, s.good)
        assert s.c.wait(lambda: s.c.acked == 60)
        s.c.put(0, s.good).put(30, s.good[30:])
        s.c.put(60, s.good).put(0, s.good * 2)
        assert s.c.wait(lambda: s.c.acked == 120)
        s.c.put(0, s.good * 2)
        served(s, "/ok", "/ok")


def test_keep_alive_probes(room):
    """They repeat the last byte, or bring one that is none (RFC 9293, section 3.8.4)."""
    for way in WAYS:
        s = room.shot(way)
        s.c.open().put(-1, b"\0").put(0, s.good)
        assert s.c.wait(lambda: s.c.acked == 60)
        s.c.put(59, flags="A").put(59, s.good[59:]).put(60, s.good)
        served(s, "/ok", "/ok")


def test_lost_and_sent_again(room):
    """Packets that the server cannot read, then the same bytes."""
    for way in WAYS:
        s = room.shot(way)
        s.c.open().put(0, s.good, bad=1).put(0, s.good[:20]).put(20, s.good[20:], bad=1).put(20, s.good[20:])
        served(s, "/ok")


@pytest.mark.parametrize("version", [4, 6])
def test_odd_handshakes(room, version):
    for way in WAYS:
        s = room.shot(way, version)
        s.c.syn().syn().open().control("A").put(0, s.good)  # the SYN is sent again, and so is the ACK
        served(s, "/ok")
        s = room.shot(way, version)
        s.c.open(ack=False).put(0, s.good)  # the ACK is lost
        served(s, "/ok")
        s = room.shot(way, version)
        s.c.syn(bad=1).open()  # the SYN is lost
        s.c.put(0, s.good, flags="FAP")  # and the end comes with the request
        served(s, "/ok")


@pytest.mark.parametrize("version", [4, 6])
def test_the_same_ports_and_numbers_with_other_bytes(room, version):
    """What was sent on a connection binds nobody on the next."""
    for way in WAYS:
        s = room.shot(way, version)
        s.c.open().put(0, s.head("GET", "/ok", 100), bad=1).put(30, s.good[30:])
        s.c.wait(lambda: False, 0.01)
        s.c.control("RA", at=0)
        s.c = s.sender(sport=s.c.sport, isn=s.c.isn)
        s.c.open().put(0, s.head("POST", "/up", 100, "Content-Length: 0"))
        served(s, "/up")


def test_without_timestamps(room):
    one(room, lambda s: cut(s.good, 5, 30)[::-1], timestamps=False)


def test_pipelined_late_halves(room):
    one(room, lambda s: cut(s.good * 5, 30, 90, 150, 210)[::-1], targets=["/ok"] * 5)


# --- uploads --------------------------------------------------------------------------------

BODY = random.Random(3).randbytes(20000)


def lengths(s):
    return s.head("POST", "/up", 0, f"Content-Length: {len(BODY)}") + BODY


def chunks(s):
    out = s.head("POST", "/up", 0, "Transfer-Encoding: chunked")
    for _, part in every(BODY, 1000):
        out += b"%x\r\n%s\r\n" % (len(part), part)
    return out + b"0\r\n\r\n"


def behind(framed):
    return lambda s: framed(s) + s.good


ORDERS = {
    "in order": lambda p: p,
    "turned round": lambda p: p[::-1],
    "shuffled": lambda p: random.Random(5).sample(p, len(p)),
    "pairs swapped": lambda p: [x for i in range(0, len(p), 2) for x in p[i : i + 2][::-1]],
    "all twice": lambda p: [x for x in p for _ in (0, 1)],
    "first is late": lambda p: p[1:] + p[:1],
}


def upload(room, framed, order, again, version=4, **kw):
    for way in WAYS:
        s = room.shot(way, version, ECHO)
        s.c.open().deliver(ORDERS[order](every(framed(s), 1400)), 8 if again else 3, again, **kw)
        served(s, "/up", "/ok")
        assert hashlib.sha256(BODY).hexdigest() in s.c.answer.decode(), f"{way}: the body arrived otherwise"


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("framed", [lengths, chunks])
@pytest.mark.parametrize("version", [4, 6])
def test_upload(room, version, framed, order):
    upload(room, behind(framed), order, 0.05, version)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("framed", [lengths, chunks])
def test_upload_without_sending_again(room, framed, order):
    upload(room, behind(framed), order, 0)


@pytest.mark.parametrize("framed", [lengths, chunks])
@pytest.mark.parametrize("order", ["in order", "turned round", "shuffled"])
def test_upload_in_merged_segments(room, framed, order):
    room.gro(True)
    try:
        upload(room, behind(framed), order, 0.05)
    finally:
        room.gro(False)


@pytest.mark.parametrize("framed", [lengths, chunks])
@pytest.mark.parametrize("version", [4, 6])
def test_upload_in_super_packets(room, framed, version):
    """Also late: the second half of the stream first."""
    for turned in (1, -1):
        for way in WAYS:
            s = room.shot(way, version, ECHO)
            data = behind(framed)(s)
            s.c.open().deliver(every(data, 10000)[::turned], 5, 0.05, gso=1300)
            served(s, "/up", "/ok")
            assert hashlib.sha256(BODY).hexdigest() in s.c.answer.decode()
