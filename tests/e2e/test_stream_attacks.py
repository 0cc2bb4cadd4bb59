# SPDX-License-Identifier: Apache-2.0
"""Attacks on the beginning and the end of a TCP stream, and beside it: none gets a forbidden request executed.

Each is first run with nothing attached, where it must succeed.
"""

import hashlib
import random
import socket
import struct

import pytest
from lab.range import CALLER, ECHO, LATE, MPTCP, RULES, WAYS, Range, fire
from lab.tcp import option
from lab.wait import until

DENIED, WINDOW = "http-rule-denied", "tcp-outside-stream"


@pytest.fixture(scope="module")
def room(nodes):
    room = Range(nodes())
    yield room
    assert not room.forbidden()
    room.close()


# --- beginnings -----------------------------------------------------------------------


def syn_with_data(s):
    """A server without Fast Open does not read it."""
    s.c.syn(s.good)
    s.c.wait(lambda: s.c.peer_isn is not None, 0.05)
    s.c.open().put(0, s.evil)


def fast_open(s):
    s.c.syn(s.evil)
    s.c.wait(lambda: s.c.peer_isn is not None, 0.05)


def fast_open_replaced(s):
    s.c.syn(s.good, bad=1)
    s.c.syn(s.evil)
    s.c.wait(lambda: s.c.peer_isn is not None, 0.05)


def syn_again(s):
    """The server keeps the first number (and ends the handshake if the second lies in its window)."""
    far = 1 << 29
    s.c.open(ack=False)
    s.c.syn(seq=s.c.isn + far)
    s.c.control("A", at=0)
    s.c.put(far, s.good).put(0, s.evil)


def syn_again_close(s):
    """Where the bytes of the second end, those of the first begin."""
    s.c.open(ack=False)
    s.c.syn(seq=s.c.isn - 60)
    s.c.control("A", at=0)
    s.c.put(-60, s.good).put(0, s.evil)


def syn_lost_before(s):
    """The server never saw the first SYN."""
    s.c.syn(bad=1, seq=s.c.isn + 60)
    s.c.open()
    s.c.put(60, s.good).put(0, s.evil).put(60, s.evil)


def syn_in_the_middle(s):
    s.c.open().put(0, s.good)
    s.c.wait(lambda: s.c.acked == 60)
    s.c.syn(seq=s.c.isn + 5000)
    s.c.put(5000, s.good).put(60, s.evil)


def syn_lost_in_the_middle(s):
    s.c.open().put(0, s.good)
    s.c.wait(lambda: s.c.acked == 60)
    s.c.syn(seq=s.c.isn + 90, bad=1)
    s.c.put(90, s.good[30:]).put(60, s.evil)


def same_ports_at_once(s):
    """A reset connection, and another on its ports."""
    s.c.open().put(0, s.good)
    s.c.wait(lambda: s.executed)
    s.c.control("RA", at=60)
    sport = s.c.sport
    s.c = s.sender(sport=sport)
    s.c.open().put(0, s.evil)


def same_ports_replaced(s):
    """What was judged on the old connection does not count for the new one."""
    s.c.open().put(0, s.good[:30])
    s.c.wait(lambda: s.c.acked == 30)
    s.c.control("RA", at=30)
    old = s.c
    s.c = s.sender(sport=old.sport, isn=old.isn)
    s.c.open().put(0, s.evil)


def same_ports_before_the_end(s):
    """The RST is lost, so the server still holds the connection that the SYN seems to end."""
    s.c.open().put(0, s.good)
    s.c.wait(lambda: s.c.acked == 60)
    s.c.control("RA", at=60, bad=1)
    s.c.syn(seq=s.c.isn + 70000)
    s.c.put(70000, s.good).put(60, s.evil)


BEGINNINGS = {
    "data on SYN": (syn_with_data, "tcp-data-on-syn", 80),
    "Fast Open": (fast_open, "tcp-data-on-syn", ECHO),
    "Fast Open, replaced": (fast_open_replaced, "tcp-data-on-syn", ECHO),
    "SYN with another number": (syn_again, {WINDOW, DENIED}, 80),
    "SYN with a near number": (syn_again_close, {WINDOW, DENIED}, 80),
    "SYN that is lost": (syn_lost_before, {WINDOW, DENIED}, 80),
    "SYN in the middle": (syn_in_the_middle, {WINDOW, DENIED}, 80),
    "SYN in the middle that is lost": (syn_lost_in_the_middle, (), 80),
    "the same ports at once": (same_ports_at_once, DENIED, 80),
    "the same ports, replaced": (same_ports_replaced, DENIED, 80),
    "the same ports before the end": (same_ports_before_the_end, {WINDOW, DENIED}, 80),
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", BEGINNINGS)
def test_beginning(room, name, version):
    attack, reasons, port = BEGINNINGS[name]
    fire(room, attack, reasons, version, port=port)


@pytest.mark.parametrize("version", [4, 6])
def test_two_syns_under_cookies(room, version):
    """A server that keeps no state agrees to both numbers, and takes whichever is confirmed."""

    def attack(s):
        far = 100000
        s.c.open(ack=False)
        first = s.c.receive_next
        s.c.syn(seq=s.c.isn + far)
        assert s.c.wait(lambda: any(flags & 0x12 == 0x12 and ack == (s.c.isn + far + 1) & 0xFFFFFFFF for flags, _, ack, _ in s.c.seen), 0.5), "two SYN-ACKs"
        second = next(seq for _, seq, ack, _ in s.c.seen if ack == (s.c.isn + far + 1) & 0xFFFFFFFF) + 1
        s.c.control("A", at=0, ack=first)
        s.c.put(far, s.good, ack=second).put(0, s.evil, ack=first)

    under_cookies(room, attack, version)


@pytest.mark.parametrize("version", [4, 6])
def test_the_farther_syn_is_confirmed_under_cookies(room, version):
    """Where the server begins the second half of the first connection's body lies."""

    def attack(s):
        far = 1000
        ack_of = lambda place: next((seq + 1 for flags, seq, ack, _ in s.c.seen if flags & 0x12 == 0x12 and ack == (s.c.isn + place + 1) & 0xFFFFFFFF), None)
        s.c.syn(seq=s.c.isn + far)
        assert s.c.wait(lambda: ack_of(far), 0.5)
        s.c.open(ack=False)
        s.c.control("A", at=far, ack=ack_of(far))
        s.c.put(0, s.head("POST", "/up", 0, "Content-Length: 5000"), ack=ack_of(0))
        s.c.put(far, s.evil, ack=ack_of(far))

    under_cookies(room, attack, version)


def under_cookies(room, attack, version):
    for pod in (room.open, room.shop):
        pod.ns.sysctl("net.ipv4.tcp_syncookies", 2)
    try:
        fire(room, attack, {WINDOW, DENIED}, version)
    finally:
        for pod in (room.open, room.shop):
            pod.ns.sysctl("net.ipv4.tcp_syncookies", 0)


@pytest.mark.parametrize("version", [4, 6])
def test_simultaneous_open(room, version):
    """Both ends send a SYN: nobody is the server."""
    family = socket.AF_INET if version == 4 else socket.AF_INET6

    def called(way):
        s = room.shot(way, version, CALLER)
        with s.pod.ns.inside():
            caller = socket.socket(family)
        with caller:
            caller.bind((s.c.target, CALLER))
            caller.setblocking(False)
            caller.connect_ex((s.c.source, s.c.sport))
            assert s.c.wait(lambda: s.c.seen), "no SYN"
            s.c.receive_next = s.c.seen[0][1] + 1
            s.c.syn()
            s.c.wait(lambda: s.c.peer_isn is not None, 0.1)
            s.c.control("A").put(0, s.evil)
            s.c.wait(lambda: False, 0.05)
            try:
                return caller.recv(1000) == s.evil, s
            except OSError:
                return False, s
            finally:
                s.c.forget()

    assert called("bare")[0]
    for way in WAYS[1:]:
        read, s = called(way)
        assert not read
        assert "tcp-flags-refused" in s.reasons()


# --- ends that are none -----------------------------------------------------------------

ENDS = {
    "RST with a far number": {"flags": "R", "at": 1 << 29},
    "RST in the window": {"flags": "R", "at": 100},
    "RST with a bad checksum": {"flags": "R", "bad": 1},
    "RST with an MD5 option": {"flags": "R", "options": option(19, bytes(16))},
    "RST with two MD5 options": {"flags": "RA", "options": option(19, bytes(16)) * 2},
    "FIN with a far number": {"flags": "FA", "at": 1 << 29},
    "FIN with a bad checksum": {"flags": "FA", "bad": 1},
    "FIN with an MD5 option": {"flags": "FA", "options": option(19, bytes(16))},
    "FIN without ACK": {"flags": "F"},
    "FIN with a stale timestamp": lambda s: {"flags": "FA", "options": s.c.stamp(back=1000)},
}


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("early", [True, False])
def test_end_that_the_server_does_not_believe(room, name, early):
    def attack(s):
        at = 0 if early else 60
        s.c.open()
        if not early:
            s.c.put(0, s.good)
            assert s.c.wait(lambda: s.c.acked == 60)
        fields = dict(ENDS[name](s) if callable(ENDS[name]) else ENDS[name])
        flags = fields.pop("flags")
        next_byte = s.c.next
        s.c.control(flags, at=fields.pop("at", at), **fields)
        s.c.next = next_byte
        s.c.wait(lambda: False, 0.002)
        s.c.put(at, s.evil)

    fire(room, attack, {DENIED, "tcp-after-close"})


def test_denied_stays_denied(room):
    """Nothing that is sent on a refused connection, in its place or behind it, is executed."""
    for way in WAYS[1:]:
        s = room.shot(way)
        s.c.open().put(0, s.evil)
        assert s.c.wait(lambda: b"403" in s.c.answer)
        s.c.put(0, s.good).put(60, s.evil).put(60, s.good).put(0, s.good + s.evil)
        s.expect("tcp-after-close")
        assert not s.executed
        s.c.control("RA", at=60)
        s.c = s.sender(sport=s.c.sport, isn=s.c.isn + 1000)
        s.c.open().put(0, s.good)
        assert s.c.wait(lambda: s.executed == ["/ok"]), "the next connection on its ports is served"
        s.c.forget()


# --- urgent data ---------------------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("port", [80, ECHO])
@pytest.mark.parametrize("where", ["the byte's own packet", "an empty packet before it"])
def test_urgent_byte(room, version, port, where):
    """The server does not read an urgent byte: a length of 66 becomes one of 6."""

    def attack(s):
        head = s.head("POST", "/up", 0, "Content-Length: 66")
        place = head.rindex(b"6")
        data = head + b"abcdef" + s.evil
        s.c.open()
        if "own" in where:
            s.c.put(0, data[: place + 1], flags="UAP", urgent=place + 1)
        else:
            s.c.control("UA", at=0, urgent=place + 1)
            s.c.put(0, data[: place + 1])
        s.c.wait(lambda: False, 0.02)
        s.c.put(place + 1, data[place + 1 :])

    fire(room, attack, "tcp-flags-refused", version, port=port)


# --- Multipath TCP ------------------------------------------------------------------------------


def mptcp(subtype, flags, data=b""):
    return option(30, bytes([subtype << 4 | (1 if subtype < 2 else 0), flags]) + data)


def swapped(s):
    """An allowed request with a body, whose two parts are mapped to each other's places (RFC 8684, section 3.3)."""
    number = lambda key: int.from_bytes(hashlib.sha256(key).digest()[-8:], "big")
    key = random.randbytes(8)
    s.c.open(options=option(2, struct.pack("!H", 1440)) + mptcp(0, 1), ack=False)
    at = s.c.options.find(b"\x1e\x0c")
    s.theirs = s.c.options[at + 4 : at + 12] if at >= 0 else bytes(8)
    s.c.control("A", options=mptcp(0, 1, key + s.theirs))
    first = s.head("POST", "/up", 0, f"Content-Length: {len(s.evil)}")
    begin, ack = number(key) + 1, number(s.theirs) + 1
    s.c.quiet = True
    for place, to, data in ((0, len(s.evil), first), (len(first), 0, s.evil)):
        where = struct.pack("!QQIH", ack & (1 << 64) - 1, begin + to & (1 << 64) - 1, place + 1, len(data))
        s.c.put(place, data, options=option(30, b"\x20\x0f" + where))


@pytest.mark.parametrize("version", [4, 6])
def test_mptcp_reorders_beneath_us(room, version):
    fire(room, swapped, (), version, port=MPTCP, timestamps=False)


@pytest.mark.parametrize("version", [4, 6])
def test_mptcp_is_not_agreed_on(room, version):
    for way in WAYS:
        s = room.shot(way, version, MPTCP, timestamps=False)
        s.c.open(options=option(2, struct.pack("!H", 1440)) + mptcp(0, 1))
        assert (b"\x1e\x0c" in s.c.options) == (way == "bare")
        if s.guarded:  # and goes on as plain TCP
            s.c.put(0, s.good)
            assert s.c.wait(lambda: s.executed == ["/ok"])
        s.c.forget()


@pytest.mark.parametrize("version", [4, 6])
def test_mptcp_join(room, version):
    for way in WAYS:
        s = room.shot(way, version, MPTCP, timestamps=False)
        s.c.syn(options=mptcp(1, 0, bytes(8)))
        assert s.c.wait(lambda: s.c.seen, 0.05) == (way == "bare")
        if s.guarded:
            until(lambda: "tcp-mptcp-join" in s.reasons(), 1)


# --- connections that began unseen ---------------------------------------------------------------


def late(room, way, version, begin, change):
    """begin(shot), then change(), then the rest of /admin."""
    s = room.shot(way, version, LATE)
    s.c.open()
    begin(s)
    change(s)
    s.c.put(20, s.evil[20:])
    return s


@pytest.mark.parametrize("version", [4, 6])
def test_policy_after_the_connection(room, version):
    room.rules()
    s = late(room, "bare", version, lambda s: s.c.put(0, s.evil[:20]), lambda s: None)
    assert s.hit()
    for way in WAYS[1:]:
        room.rules()
        s = late(room, way, version, lambda s: s.c.put(0, s.evil[:20]), lambda s: room.rules(*RULES))
        s.expect("tcp-start-not-seen")
        assert s.c.wait(lambda: s.c.reset), "the client is reset"
        s.c.reset = False
        s.c.put(20, s.evil[20:])
        s.expect(())
    room.rules(*RULES)


@pytest.mark.parametrize("version", [4, 6])
def test_guarded_after_the_connection(room, version):
    room.rules(*RULES)
    for way in WAYS[1:]:
        pod = room.shop if way == "ingress" else room.confined
        pod.unguard()
        s = late(room, way, version, lambda s: s.c.put(0, s.evil[:20]), lambda s: room.guard(pod))
        s.expect("tcp-start-not-seen")
        assert s.c.wait(lambda: s.c.reset), "the client is reset"
        s.c.put(0, s.evil)
        s.expect(())


def test_flood_that_would_push_out_a_flow(nodes):
    """More new flows than the table holds; the established ones are still judged."""
    node = nodes()
    with open(node.config, "w", encoding="ascii") as f:
        f.write("flows: 1024\nflows-per-endpoint: 1024\n")
    room = Range(node)
    shots = [room.shot(way) for way in WAYS]
    for s in shots:
        s.c.open().put(0, s.good)
        assert s.c.wait(lambda: s.executed == ["/ok"])
    for s in shots:
        flood = room.shot(s.way)
        for i in range(1500):
            flood.c.sport = 40000 + i
            flood.c.syn()
    for s in shots:
        s.c.put(60, s.evil)
    assert shots[0].hit()
    for s in shots[1:]:
        s.expect(DENIED)
        assert "flow-table-full" in s.reasons()
    room.close()


@pytest.mark.parametrize("version", [4, 6])
def test_round_of_all_numbers(room, version):
    """The allowed head is lost, and its body goes round all sequence numbers, out of every window, to where the server still is."""

    def attack(s):
        s.c.open()
        s.c.put(0, s.head("POST", "/up", 0, "Content-Length: 9999999999"), bad=1)
        for i in range(1, 5):
            s.c.put((i << 30) - 1, b"b")
            if i < 4:
                s.c.put(i << 30, b"body")
        s.c.put(0, s.evil)

    fire(room, attack, "tcp-retransmission-differs", version)


def syn_ack_of_before(s):
    """The server answers a repeated SYN before it reads data; the answer arrives behind an RST that it does not believe."""
    s.c.open(ack=False)
    half = s.head("GET", "/ok", 120)[:-4]
    s.c.syn()
    s.c.put(0, half)
    s.c.control("RA", at=len(half), bad=1)
    s.c.syn()
    s.c.wait(lambda: sum(flags & 0x12 == 0x12 for flags, *_ in s.c.seen) > 1, 0.5)
    s.c.put(0, s.head("POST", "/up", len(half), "Content-Length: 0100"))
    s.c.put(len(half), b"\r\n\r\n" + s.evil)


@pytest.mark.parametrize("version", [4, 6])
def test_late_syn_ack(room, version):
    """What the server said before it had data is no sign that it has forgotten them."""
    for pod in (room.open, room.shop):
        pod.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "16kbit", "burst", "100", "limit", "100000", check=True)
    try:
        fire(room, syn_ack_of_before, (), version)
    finally:
        for pod in (room.open, room.shop):
            pod.run("tc", "qdisc", "del", "dev", "eth0", "root", check=True)
