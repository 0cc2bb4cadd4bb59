# SPDX-License-Identifier: Apache-2.0
"""Forbidden requests in unusual packets: fragments, options, extension headers, tags, trailing bytes.

What Linux does with each, bare, stands in the tables: some deliver a request, which then must be denied,
and some nothing, which is kept true here because the attacks of test_stream_replaced.py build on it.
"""

import random
import struct

import pytest
from lab.range import WAYS, Range, fire
from lab.tcp import NOP

DENIED, FRAGMENT, MALFORMED, IP_OPTION = "http-rule-denied", "fragment-refused", "malformed-packet", "ip-option-refused"


@pytest.fixture(scope="module")
def room(nodes):
    room = Range(nodes())
    yield room
    assert not room.forbidden()
    room.close()


def options4(*data):
    return bytes(data) + b"\1" * (-len(data) % 4)


# name -> (bare it is executed, the reason, fields of the packet with the forbidden request)
PACKETS_4 = {
    "NOP options": (True, DENIED, {"ip_options": b"\1\1\1\1"}),
    "end of options": (True, DENIED, {"ip_options": b"\0\1\1\1"}),
    "record route": (True, DENIED, {"ip_options": options4(7, 7, 4, 0, 0, 0, 0)}),
    "timestamps": (True, DENIED, {"ip_options": options4(68, 8, 5, 0, 0, 0, 0, 0)}),
    "router alert": (True, DENIED, {"ip_options": options4(148, 4, 0, 0)}),
    "unknown option": (True, DENIED, {"ip_options": options4(0x9E, 4, 0, 0)}),
    "40 bytes of options": (True, DENIED, {"ip_options": b"\1" * 40}),
    "loose source route": (False, IP_OPTION, {"ip_options": options4(131, 7, 4, 10, 0, 0, 1)}),
    "strict source route": (False, IP_OPTION, {"ip_options": options4(137, 7, 4, 10, 0, 0, 1)}),
    "source route that has ended": (False, IP_OPTION, {"ip_options": options4(131, 7, 8, 10, 0, 0, 1)}),
    "reserved flag": (True, DENIED, {"fragment": 0xC000}),
    "TTL 1": (True, DENIED, {"ttl": 1}),
    "TTL 0": (True, DENIED, {"ttl": 0}),
    "VLAN 5": (False, DENIED, {"vlan": [5]}),
    "VLAN 5 and 6": (False, DENIED, {"vlan": [5, 6]}),
    "VLAN 0": (True, DENIED, {"vlan": [0]}),
    "VLAN 0 and 0": (True, DENIED, {"vlan": [0, 0]}),
    "VLAN 0 with priority": (True, DENIED, {"vlan": [0xE000]}),
    "three VLAN tags": (True, ("ethertype-not-allowed", DENIED), {"vlan": [0, 0, 0]}),
}
PACKETS_6 = {
    "padding": (True, DENIED, {"extensions": [(0, bytes([0, 1, 4, 0, 0, 0, 0]))]}),
    "destination options": (True, DENIED, {"extensions": [(60, bytes([0, 1, 4, 0, 0, 0, 0]))]}),
    "two of destination options": (True, DENIED, {"extensions": [(60, bytes([0, 1, 4, 0, 0, 0, 0]))] * 2}),
    "seven headers": (True, IP_OPTION, {"extensions": [(60, bytes([0, 1, 4, 0, 0, 0, 0]))] * 7}),
    "unknown option that may be skipped": (True, DENIED, {"extensions": [(60, bytes([0, 0x1E, 4, 0, 0, 0, 0]))]}),
    "unknown option that may not": (False, DENIED, {"extensions": [(60, bytes([0, 0x9E, 4, 0, 0, 0, 0]))]}),
    "routing header that has ended": (False, IP_OPTION, {"extensions": [(43, bytes([0, 4, 0, 0, 0, 0, 0]))]}),
    "routing header": (False, IP_OPTION, {"extensions": [(43, bytes([2, 0, 1, 0, 0, 0, 0, *bytes(16)]))]}),
    "atomic fragment": (True, DENIED, {"extensions": [(44, struct.pack("!BHI", 0, 0, 7))]}),
    "two fragment headers": (False, (DENIED, MALFORMED), {"extensions": [(44, struct.pack("!BHI", 0, 0, 7))] * 2}),
    "header past the end": (False, MALFORMED, {"extensions": [(60, bytes([100, 1, 4, 0, 0, 0, 0]))]}),
    "no next header": (False, (), {"protocol": 59}),
    "VLAN 0": (True, DENIED, {"vlan": [0]}),
    "VLAN 5": (False, DENIED, {"vlan": [5]}),
    "hop limit 0": (True, DENIED, {"ttl": 0}),
}


def one(fields):
    return lambda s: s.c.open().put(0, s.evil, **fields)


@pytest.mark.parametrize("name", PACKETS_4)
def test_packet_4(room, name):
    bites, reason, fields = PACKETS_4[name]
    fire(room, one(fields), reason, 4, bites=bites)


@pytest.mark.parametrize("name", PACKETS_6)
def test_packet_6(room, name):
    bites, reason, fields = PACKETS_6[name]
    fire(room, one(fields), reason, 6, bites=bites)


# --- bytes behind the packet --------------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
def test_trailing_bytes_are_no_payload(room, version):
    """They would make the judge believe that the request is an allowed one's body."""

    def attack(s):
        head = s.head("POST", "/up", 0, "Content-Length: 60")
        s.c.open()
        short = (20 if version == 4 else 0) + 32 + len(head)
        s.c.put(0, head, total=short, trailer=b"x" * 60)
        s.c.wait(lambda: s.c.acked == len(head), 0.2)
        s.c.put(len(head), b"x" * 60)
        s.c.put(len(head) + 60, s.evil)

    fire(room, attack, DENIED, version)


@pytest.mark.parametrize("version", [4, 6])
def test_request_cut_by_the_ip_length(room, version):
    """The frame has an allowed request, the IP packet only its first bytes."""

    def attack(s):
        s.c.open()
        s.c.put(0, s.good[:5], total=(20 if version == 4 else 0) + 37, trailer=s.good[5:])
        s.c.wait(lambda: s.c.acked == 5, 0.2)
        s.c.put(5, s.evil[5:])

    fire(room, attack, DENIED, version)


@pytest.mark.parametrize("version", [4, 6])
def test_honest_padding(room, version):
    """A short frame has bytes behind its packet: they change nothing."""
    for way in WAYS:
        s = room.shot(way, version)
        s.c.open()
        for i in range(60):
            s.c.put(i, s.good[i : i + 1], trailer=bytes(20))
        assert s.c.wait(lambda: s.executed == ["/ok"]), f"{way}: {s.executed}"
        s.c.forget()


# --- fragments --------------------------------------------------------------------------------


def send(s, pieces):
    for packet in pieces:
        s.c.raw(s.c.frame(packet))


def segment(s, content):
    """Options of 20 bytes, so that the payload begins at a multiple of 8."""
    return s.c.segment(content, 0, options=s.c.stamp() + NOP * 8)


CUTS = {"in the head": [48], "in many": [24, 32, 40, 48, 56], "behind the TCP header": [40], "tiny": [8], "tiny, twice": [8, 16], "in the options": [24]}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", CUTS)
@pytest.mark.parametrize("order", ["in order", "turned round"])
def test_fragments(room, name, version, order):
    def attack(s):
        s.c.open()
        pieces = [packet for _, packet in s.c.fragments(segment(s, s.evil), CUTS[name])]
        send(s, pieces if order == "in order" else pieces[::-1])

    # The TCP header must be whole in the first (RFC 7112, section 5): of IPv6 Linux sees to that.
    fire(room, attack, FRAGMENT, version, bites=version == 4 or CUTS[name][0] >= 20)


@pytest.mark.parametrize("version", [4, 6])
def test_fragment_of_the_syn(room, version):
    def attack(s):
        options = s.c.segment(b"", seq=s.c.isn, flags="S", options=b"\x02\x04\x05\xa0" + NOP * 28)
        send(s, [packet for _, packet in s.c.fragments(options, [24])])
        s.c.wait(lambda: s.c.peer_isn is not None, 0.1)
        if s.c.peer_isn is not None:
            s.c.control("A").put(0, s.evil)

    fire(room, attack, (), version, timestamps=False)


def overlapping(s, first, second, content, more=()):
    """Fragments of two contents; first, second: (from, to) of the segment."""
    ident = random.getrandbits(16)
    a, b = segment(s, s.good), segment(s, content)
    whole = len(a)
    out = []
    for data, (start, end) in ((a, first), (b, second), *((b, m) for m in more)):
        end = min(end, whole)
        out.append(s.c.piece(data[start:end], start, end < whole, ident))
    return out


OVERLAPPING = {
    "the same place": [(0, 48), (0, 48), (48, 999)],
    "the second half twice": [(48, 999), (48, 999), (0, 48)],
    "over its end": [(0, 56), (48, 999)],
    "over its beginning": [(48, 999), (0, 56)],
    "inside": [(24, 999), (40, 56), (0, 24)],
    "around": [(40, 56), (24, 999), (0, 24)],
}


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", OVERLAPPING)
def test_overlapping_fragments(room, name, version):
    """Linux throws such a datagram away, or keeps its first content; then the forbidden request comes whole."""
    ranges = OVERLAPPING[name]

    def attack(s):
        s.c.open()
        send(s, overlapping(s, ranges[0], ranges[1], s.evil, ranges[2:]))
        s.c.put(0, s.evil)

    def bare(s):
        s.c.open()
        send(s, overlapping(s, ranges[0], ranges[1], s.evil, ranges[2:]))

    fire(room, bare, (), version, ways=("bare",), bites=False)
    fire(room, attack, FRAGMENT, version, ways=WAYS[1:])


@pytest.mark.parametrize("version", [4, 6])
def test_fragment_without_an_end(room, version):
    """Nothing of it is ever delivered, so nothing of it may count as judged."""

    def attack(s):
        s.c.open()
        send(s, [s.c.piece(segment(s, s.good)[:96], 0, True, 77)])
        s.c.put(0, s.evil)

    fire(room, attack, FRAGMENT, version)


# --- bytes that a device changes -----------------------------------------------------------


@pytest.mark.parametrize("version", [4, 6])
def test_checksum_written_into_the_payload(room, version):
    """Whoever hands a packet to the kernel may say where its checksum is to be put: a length of 66 becomes one of 06."""

    def attack(s):
        head = s.head("POST", "/up", 0, "Content-Length: 66")
        field = head.rindex(b"66")
        free = len(head) + (len(head) - field) % 2
        s.c.open().finish_elsewhere(0, head + b"abcdef" + s.evil, field, field, b"06", free)

    offload = lambda how: [room.node.ns.run("ethtool", "-K", pod.iface, "tx", how, check=True) for pod in (room.open, room.shop)]
    offload("off")  # as a device without it, or the next machine
    try:
        fire(room, attack, (), version)
    finally:
        offload("on")


def options_become_payload(s):
    """A packet without payload, of whose header the sum makes a shorter one: what were options is a request then."""
    evil = f"GET /admin?{s.number:0{36 - 11 - 21}d} HTTP/1.1\r\nHost:w\r\n\r\n".encode()
    assert len(evil) == 36
    s.c.open()
    ack, ports = s.c.receive_next, struct.pack("!HH", s.c.sport, s.c.port)
    s.c.quiet = True
    before, after = 0xE010, 0x5018  # 56 bytes of header, then 20
    for body in range(1, 65536):  # shifts the sequence number, which is not summed
        head = s.head("POST", "/up", 0, f"Content-Length: {body:05d}")
        start = ports + struct.pack("!II", (s.c.isn + 1 + len(head) + body) & 0xFFFFFFFF, ack)
        if int.from_bytes(s.c._pseudo(56) + start, "big") % 0xFFFF == before:
            break
    else:
        raise AssertionError("no body fits")
    data = head + b"x" * body
    s.c.deliver([(at, data[at : at + 1400]) for at in range(0, len(data), 1400)])
    rest = struct.pack("!HHH", before, 502, 0)
    urgent = (0xFFFF - after - int.from_bytes(rest + b"\0\0" + evil, "big")) % 0xFFFF
    frame = s.c.frame(s.c.packet(start + rest + struct.pack("!H", urgent) + evil))
    place = len(frame) - 44
    s.c.raw(struct.pack("<BBHHHH", 1, 0, 0, 0, place, 0) + frame, s.wire.gso)


@pytest.mark.parametrize("version", [4, 6])
def test_checksum_written_into_the_header(room, version):
    """Nor may it turn a header into another: one without payload is not read."""
    offload = lambda how: [room.node.ns.run("ethtool", "-K", pod.iface, "tx", how, check=True) for pod in (room.open, room.shop)]
    offload("off")
    try:
        fire(room, options_become_payload, MALFORMED, version)
    finally:
        offload("on")


@pytest.mark.parametrize("version", [4, 6])
def test_bytes_behind_a_super_packet(room, version):
    """Who segments it goes by the frame, and makes segments of what lies behind the IP packet too."""
    for pod in (room.open, room.shop):
        room.node.ns.run("ethtool", "-K", pod.iface, "tso", "off", check=True)
    try:
        fire(room, lambda s: s.c.open().put(0, s.good + s.evil, gso=60, total=(20 if version == 4 else 0) + 32 + 60), MALFORMED, version)
    finally:
        for pod in (room.open, room.shop):
            room.node.ns.run("ethtool", "-K", pod.iface, "tso", "on", check=True)
