# SPDX-License-Identifier: Apache-2.0
"""Judged, then replaced: an allowed request in a packet that the server will not read, then other bytes in its place.

The judge sees `good` first and `evil` after it under the same sequence numbers; the server reads only
`evil`. Each row below is a way to be thrown away. See docs/design/streams.md, promise 1.
"""

import pytest
from lab.range import ECHO, RULES, WAYS, Range, fire
from lab.tcp import cut, every, option

DIFFERS, WINDOW = "tcp-retransmission-differs", "tcp-outside-stream"
DENIED = "http-rule-denied"
MALFORMED, FLAGS, IP_OPTION = "malformed-packet", "tcp-flags-refused", "ip-option-refused"


@pytest.fixture(scope="module")
def room(nodes):
    room = Range(nodes())
    yield room
    assert not room.forbidden()
    room.close()


@pytest.fixture(scope="module")
def routed(nodes):
    room = Range(nodes(routed=True))
    yield room
    assert not room.forbidden()
    room.close()


# name -> (the reason that must be counted, fields of the packet with the allowed request)
LOSSES = {
    "TCP checksum": (DIFFERS, {"bad": 1}),
    "stale timestamp": (DIFFERS, lambda s: {"options": s.c.stamp(back=1000)}),
    "MD5 option": (DIFFERS, {"options": option(19, bytes(16))}),
    "two MD5 options": (DIFFERS, {"options": option(19, bytes(16)) * 2}),
    "TCP checksum, with a FIN": (DIFFERS, {"bad": 1, "flags": "FAP"}),
    "no ACK flag": (FLAGS, {"flags": "P"}),
    "no flags": (FLAGS, {"flags": ""}),
    "ACK of what was never sent": (WINDOW, lambda s: {"ack": s.c.receive_next + 100000}),
    "ACK from long ago": (WINDOW, lambda s: {"ack": s.c.receive_next - (1 << 30)}),
    "SYN flag": (FLAGS, {"flags": "SAP"}),
    "SYN without ACK": ("tcp-data-on-syn", {"flags": "S"}),
    "RST in the window": (DENIED, {"flags": "RAP", "at": 10}),
    "broadcast MAC": (DIFFERS, {"mac": b"\xff" * 6}),
    "multicast MAC": (DIFFERS, {"mac": b"\x01\x00\x5e\x00\x00\x01"}),
}
LOSSES_4 = {
    "IPv4 checksum": (DIFFERS, {"ip_bad": 1}),
    "total length past the frame": (MALFORMED, lambda s: {"total": 20 + 32 + len(s.good) + 1}),
    "total length 0": (MALFORMED, {"total": 0}),
    "total length before the payload": (DENIED, {"total": 52}),
    "record route with a bad pointer": (DIFFERS, {"ip_options": bytes([7, 7, 1, 0, 0, 0, 0, 0])}),
    "timestamp option with a bad pointer": (DIFFERS, {"ip_options": bytes([68, 8, 1, 0, 0, 0, 0, 0])}),
    "router alert of a bad size": (DIFFERS, {"ip_options": bytes([148, 3, 0, 0])}),
    "CIPSO option": (DIFFERS, {"ip_options": bytes([134, 6, 0, 0, 0, 0, 0, 0])}),
    "option past the header": (MALFORMED, {"ip_options": bytes([7, 40, 4, 0])}),
    "source route": (IP_OPTION, {"ip_options": bytes([131, 7, 4, 10, 0, 0, 1, 0])}),
    "VLAN 5": (DIFFERS, {"vlan": [5]}),
    "VLAN 5 and 6": (DIFFERS, {"vlan": [5, 6]}),
    "IPv4-mapped addresses": (MALFORMED, lambda s: {"version": 6, "source": "::ffff:" + s.c.source, "target": "::ffff:" + s.c.target}),
}
LOSSES_6 = {
    "payload length past the frame": (MALFORMED, lambda s: {"total": 32 + len(s.good) + 1}),
    "payload length before the payload": (DENIED, {"total": 32}),
    "unknown destination option": (DIFFERS, {"extensions": [(60, bytes([0, 0x80, 4, 0, 0, 0, 0]))]}),
    "unknown hop-by-hop option": (DIFFERS, {"extensions": [(0, bytes([0, 0x80, 4, 0, 0, 0, 0]))]}),
    "too much padding": (DIFFERS, {"extensions": [(60, bytes([1, 1, 12, *bytes(12)]))]}),
    "hop-by-hop in the second place": (DIFFERS, {"extensions": [(60, bytes([0, 1, 4, 0, 0, 0, 0])), (0, bytes([0, 1, 4, 0, 0, 0, 0]))]}),
    "jumbo option": (DIFFERS, {"extensions": [(0, bytes([0, 0xC2, 4, 0, 0, 0, 100]))]}),
    "two fragment headers": ((DIFFERS, MALFORMED), {"extensions": [(44, bytes([0, 0, 0, 0, 0, 0, 7]))] * 2}),
    "routing header": (IP_OPTION, {"extensions": [(43, bytes([0, 0, 1, 0, 0, 0, 0]))]}),
    "VLAN 5": (DIFFERS, {"vlan": [5]}),
}


def replaced(loss, good=None, evil=None):
    def attack(s):
        s.c.open()
        fields = dict(loss(s) if callable(loss) else loss)
        at = fields.pop("at", 0)
        for place, data in good(s) if good else [(at, s.good)]:
            s.c.put(place, data, **fields)
        s.c.wait(lambda: False, 0.002)
        for place, data in evil(s) if evil else [(0, s.evil)]:
            s.c.put(place, data)

    return attack


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("name", LOSSES)
def test_replaced(room, name, version):
    fire(room, replaced(LOSSES[name][1]), LOSSES[name][0], version)


@pytest.mark.parametrize("name", LOSSES_4)
def test_replaced_4(room, name):
    fire(room, replaced(LOSSES_4[name][1]), LOSSES_4[name][0])


@pytest.mark.parametrize("name", LOSSES_6)
def test_replaced_6(room, name):
    fire(room, replaced(LOSSES_6[name][1]), LOSSES_6[name][0], 6)


# --- which bytes, in which segments ------------------------------------------------


def framed(s, length):
    """POST /up with a request for /admin in, or behind, its body."""
    return s.head("POST", "/up", 0, f"Content-Length: {length:04d}") + s.evil


def chunked(s, size):
    return s.head("POST", "/up", 0, "Transfer-Encoding: chunked") + size + s.evil + b"\r\n0\r\n\r\n"


def trailing(s, trailers):
    return s.head("POST", "/up", 0, "Transfer-Encoding: chunked") + b"1\r\nx\r\n0\r\n" + trailers


PIECES = {
    "other segments": (None, lambda s: cut(s.evil, 3, 9, 40)),
    "single bytes": (None, lambda s: every(s.evil, 1)),
    "from single bytes": (lambda s: every(s.good, 1), None),
    "the target alone": (None, lambda s: [(0, s.good[:5]), (5, s.evil[5:20]), (20, s.good[20:])]),
    "second of two": (lambda s: [(0, s.good * 2)], lambda s: [(0, s.good + s.evil)]),
    "first of two": (lambda s: [(0, s.good * 2)], lambda s: [(0, s.evil + s.good)]),
    "behind a body": (
        lambda s: [(0, s.head("POST", "/up", 0, "Content-Length: 100") + bytes(100) + s.good)],
        lambda s: [(0, s.head("POST", "/up", 0, "Content-Length: 100") + bytes(100) + s.evil)],
    ),
    "Content-Length": (lambda s: [(0, framed(s, 60))], lambda s: [(0, framed(s, 0))]),
    "chunk size": (lambda s: [(0, chunked(s, b"3c\r\n"))], lambda s: [(0, chunked(s, b"0\r\n\r\n")[:-1])]),
    "trailers": (lambda s: [(0, trailing(s, b"X: " + b"p" * 55 + b"\r\n\r\n"))], lambda s: [(0, trailing(s, b"\r\n" + s.evil))]),
    "header name": (
        lambda s: [(0, s.head("POST", "/up", 0, "Content-Length: 60") + s.evil)],
        lambda s: [(0, s.head("POST", "/up", 0, "Xontent-Length: 60") + s.evil)],
    ),
    "the last byte of the head": (lambda s: [(0, s.good[:-1]), (59, s.good[-1:])], lambda s: [(0, s.evil)]),
}


@pytest.mark.parametrize("port", [80, ECHO])
@pytest.mark.parametrize("name", PIECES)
def test_replaced_pieces(room, name, port):
    fire(room, replaced({"bad": 1}, *PIECES[name]), DIFFERS, port=port)


@pytest.mark.parametrize("place", [1, 8, 30])
def test_replaced_second_half(room, place):
    """The first half is read; the second is judged in a packet that is lost."""

    def attack(s):
        s.c.open().put(0, s.good[:5])
        assert s.c.wait(lambda: s.c.acked == 5)
        s.c.put(5, s.good[5:], bad=1)
        s.c.put(5, s.evil[5 : 5 + place]).put(5 + place, s.evil[5 + place :])

    fire(room, attack, DIFFERS)


@pytest.mark.parametrize("isn", [0xFFFFFFFE, 0xFFFFFFF0, 0x7FFFFFF0])
def test_replaced_where_numbers_wrap(room, isn):
    fire(room, replaced({"bad": 1}), DIFFERS, isn=isn)


def test_replaced_in_merged_segments(room):
    """Segments that the hook sees as one packet."""
    room.gro(True)
    try:
        fire(room, replaced({"bad": 1}, evil=lambda s: cut(s.evil, 20, 40)), DIFFERS)
        fire(room, replaced({"bad": 1}), DIFFERS, version=6)
        fire(room, replaced({"options": option(19, bytes(16))}, good=lambda s: cut(s.good, 20, 40)), DIFFERS)
    finally:
        room.gro(False)


def test_replaced_from_a_super_packet(room):
    """A packet that is lost whole is one of many segments."""

    def attack(s):
        s.c.open()
        size = 1000
        s.c.put(0, s.head("GET", "/ok", size) * 10, gso=500, options=option(19, bytes(16)))
        s.c.put(0, s.head("GET", "/admin", size))

    fire(room, attack, DIFFERS)


@pytest.mark.parametrize("version", [4, 6])
def test_replaced_beyond_the_window(room, version):
    """What lies behind a body longer than the server's window is thrown away, and judged."""

    def attack(s):
        size = 400000
        head = s.head("POST", "/up", 0, f"Content-Length: {size}")
        end = len(head) + size
        s.c.open().put(0, head)
        assert s.c.window < size
        s.c.put(end, s.good)
        while s.c.acked < end and not s.c.reset:
            at = s.c.acked
            for place, data in every(bytes(min(28000, end - at)), 14000):
                s.c.put(at + place, data, gso=1400)
            if not s.c.wait(lambda: s.c.acked > at or s.c.reset, 0.5):
                break
        s.c.put(end, s.evil)

    fire(room, attack, (DIFFERS, DENIED), version)


@pytest.mark.parametrize("name", ["echo of a timestamp never sent", "older timestamp than the SYN's", "TCP checksum"])
def test_replaced_in_the_handshakes_last_packet(room, name):
    def attack(s):
        s.c.open(ack=False)
        fields = {"options": s.c.stamp(echo=s.c.echo + 100000) if "echo" in name else s.c.stamp(back=1000)} if "timestamp" in name else {"bad": 1}
        s.c.put(0, s.good, **fields)
        s.c.put(0, s.evil)

    fire(room, attack, DIFFERS)


@pytest.mark.parametrize("between", ["policy applied", "agent restarted", "agent killed"])
def test_replaced_across_a_change(room, between):
    """What was judged is remembered by the kernel, whatever happens to the agent and its tables."""
    shots = [room.shot(way) for way in WAYS[1:]]
    for s in shots:
        s.c.open().put(0, s.good, bad=1)
        s.c.wait(lambda: False, 0.005)
    if between == "policy applied":
        room.rules(*RULES)
        room.rules()
    else:
        (room.node.stop_agent if between == "agent restarted" else room.node.kill_agent)()
        room.node.start_agent()
    for s in shots:
        s.c.put(0, s.evil)
        s.expect(DIFFERS)
        s.c.forget()


def test_the_judged_bytes_are_still_served(room):
    """Who sends what was judged once more is served; what differs was only dropped."""
    for way in WAYS[1:]:
        s = room.shot(way)
        s.c.open().put(0, s.good, bad=1).put(0, s.evil)
        s.expect(DIFFERS)
        s.c.put(0, s.good)
        assert s.c.wait(lambda: s.executed == ["/ok"] and b"200" in s.c.answer), f"{way}: executed {s.executed}, answered {s.c.answer!r}"
        s.c.forget()


# --- lost behind the hook: only a client's egress hook has a router behind it ----------


@pytest.mark.parametrize("version", [4, 6])
def test_replaced_after_the_last_hop(routed, version):
    fire(routed, replaced({"ttl": 1}), DIFFERS, version, ways=("bare", "egress"))


@pytest.mark.parametrize("version", [4, 6])
def test_replaced_after_a_narrow_link(routed, version):
    routed.node.ns.ip(f"link set {routed.open.iface} mtu 1300")
    try:
        big = replaced({}, lambda s: [(0, s.head("GET", "/ok", 1400))], lambda s: cut(s.head("GET", "/admin", 1400), 700))
        fire(routed, big, DIFFERS, version, ways=("bare", "egress"))
    finally:
        routed.node.ns.ip(f"link set {routed.open.iface} mtu 1500")


@pytest.mark.parametrize("name", ["TCP checksum", "stale timestamp", "MD5 option"])
def test_replaced_on_a_routed_node(routed, name):
    fire(routed, replaced(LOSSES[name][1]), LOSSES[name][0])
