# SPDX-License-Identifier: Apache-2.0
"""TCP made by hand: every field of every segment can be chosen, below the pod's own IP stack.

A Wire is a pod's interface with one more address, which the pod's kernel does not own: so it neither
answers nor resets what is sent there. A Sender is one connection from that address.
"""

import errno
import itertools
import json
import random
import select
import socket
import struct
import time

SOL_PACKET, PACKET_VNET_HDR, PACKET_IGNORE_OUTGOING = 263, 15, 23
ETH_P_ALL = 3
FLAGS = {"F": 1, "S": 2, "R": 4, "P": 8, "A": 16, "U": 32}
NOP = b"\x01"
MASK = 0xFFFFFFFF


def checksum(data):
    """RFC 1071, as the remainder by 65535 that it is."""
    if len(data) & 1:
        data += b"\0"
    return 0xFFFF - int.from_bytes(data, "big") % 0xFFFF


def after(a, b):
    """Whether sequence number a lies after b."""
    return 0 < ((a - b) & MASK) < 1 << 31


def option(kind, data=b"", size=None):
    """A TCP option; size: what it says of itself."""
    return struct.pack("!BB", kind, 2 + len(data) if size is None else size) + data


def pad(options):
    return options + NOP * (-len(options) % 4)


def _link(ns, device):
    return bytes.fromhex(json.loads(ns.run("ip", "-j", "link", "show", device, check=True).stdout)[0]["address"].replace(":", ""))


class Wire:
    """A pod's eth0, read and written as frames, with addresses of its own: .ip4 and .ip6."""

    def __init__(self, pod, *peers):
        node = self.node = pod.node
        self.ip4, self.ip6 = f"10.{node.number}.0.{200 + pod.number}", f"fd00:{node.number:x}::{200 + pod.number:x}"
        self.mac = _link(pod.ns, "eth0")
        text = self.mac.hex(":")
        self.macs = {}
        if node.routed:
            node.ns.ip(*(f"route add {ip} dev {pod.iface}" for ip in (f"{self.ip4}/32", f"{self.ip6}/128")))
            node.ns.ip(*(f"neigh replace {ip} lladdr {text} dev {pod.iface} nud permanent" for ip in (self.ip4, self.ip6)))
        for peer in peers:
            self.macs[peer] = _link(node.ns, pod.iface) if node.routed else _link(peer.ns, "eth0")
            if not node.routed:
                peer.ns.ip(*(f"neigh replace {ip} lladdr {text} dev eth0 nud permanent" for ip in (self.ip4, self.ip6)))
        with pod.ns.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            self.gso = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
        self.sock.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, 33, 16 << 20)  # SO_RCVBUFFORCE
        self.sock.bind(("eth0", ETH_P_ALL))
        self.gso.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
        self.gso.bind(("eth0", 0))
        self.senders = {}
        self.ports = itertools.cycle(range(20000, 32000))

    def close(self):
        self.sock.close()
        self.gso.close()

    def pump(self, seconds, until=None):
        """Reads what arrives for so long, or until something holds; -> whether it does."""
        end = time.monotonic() + seconds
        while True:
            self._read()
            if until and until():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            select.select([self.sock], [], [], min(left, 0.005) if until else left)

    def _read(self):
        while True:
            try:
                frame = self.sock.recv(1 << 17, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            kind = frame[12:14]
            if kind == b"\x08\x00" and frame[23] == 6:
                ip, size, version = 14 + (frame[14] & 15) * 4, 14 + int.from_bytes(frame[16:18], "big"), 4
            elif kind == b"\x86\xdd" and frame[20] == 6:
                ip, size, version = 54, 54 + int.from_bytes(frame[18:20], "big"), 6
            else:
                continue
            sender = self.senders.get((version, int.from_bytes(frame[ip + 2 : ip + 4], "big")))
            if sender:
                sender._arrived(frame[ip:size])


class Sender:
    """One connection. Places in its stream are counted from 0, the first byte after the SYN."""

    def __init__(self, wire, peer, port, version=4, isn=None, sport=None, timestamps=True, host=None):
        self.wire, self.peer, self.port, self.version = wire, peer, port, version
        self.sport = sport or next(wire.ports)
        self.isn = random.getrandbits(32) if isn is None else isn & MASK
        self.source = wire.ip4 if version == 4 else wire.ip6
        self.target = host or (peer.ip4 if version == 4 else peer.ip6)
        self.timestamps, self.clock, self.echo = timestamps, random.getrandbits(30), 0
        self.peer_isn, self.receive_next = None, 0
        self.acked = 0  # place up to which the peer acknowledged
        self.next = 0  # place behind all that was sent
        self.window = 0
        self.parts, self.reset, self.fin = {}, False, False
        self.seen = []  # (flags, seq, ack, payload) of everything that arrived
        self.options = b""  # of the SYN-ACK
        self.quiet = False  # acknowledges nothing by itself
        self.shift = 0
        wire.senders[version, self.sport] = self

    # --- making ---

    def segment(self, payload=b"", at=None, flags="AP", seq=None, ack=None, window=502, options=None, urgent=0, bad=0, offset=None, **_):
        """TCP header and payload. bad: added to the checksum. options: instead of the timestamps."""
        bits = sum(FLAGS[f] for f in flags)
        if seq is None:
            seq = self.isn + 1 + (self.next if at is None else at)
        if ack is None:
            ack = self.receive_next if "A" in flags else 0
        if options is None:
            options = self.stamp() if self.timestamps else b""
        options = pad(options)
        size = 20 + len(options)
        head = struct.pack("!HHIIBBHHH", self.sport, self.port, seq & MASK, ack & MASK, (size // 4 if offset is None else offset) << 4, bits, window, 0, urgent)
        data = head + options + payload
        value = (checksum(self._pseudo(len(data)) + data) + bad) & 0xFFFF
        return data[:16] + value.to_bytes(2, "big") + data[18:]

    def stamp(self, back=0, echo=None):
        """The timestamps option, back: so many milliseconds in the past."""
        now = self.clock + int(time.monotonic() * 1000)  # RFC 7323, section 5.4: a tick is a millisecond
        return NOP * 2 + option(8, struct.pack("!II", (now - back) & MASK, self.echo if echo is None else echo))

    def _pseudo(self, size):
        if self.version == 4:
            return socket.inet_aton(self.source) + socket.inet_aton(self.target) + struct.pack("!HH", 6, size)
        six = socket.AF_INET6
        return socket.inet_pton(six, self.source) + socket.inet_pton(six, self.target) + struct.pack("!II", size, 6)

    def packet(self, data, version=None, protocol=6, total=None, ttl=64, ip_options=b"", ident=0, fragment=0x4000, ip_bad=0, extensions=(), source=None, target=None, **_):
        """IP around data. fragment: the 16 bits of IPv4. extensions: (type, bytes behind its first byte), IPv6."""
        version = version or self.version
        source, target = source or self.source, target or self.target
        if version == 4:
            size = 20 + len(ip_options)
            total = size + len(data) if total is None else total
            head = struct.pack("!BBHHHBBH", 0x40 | size // 4, 0, total & 0xFFFF, ident, fragment, ttl, protocol, 0)
            head += socket.inet_aton(source) + socket.inet_aton(target) + ip_options
            value = (checksum(head) + ip_bad) & 0xFFFF
            return head[:10] + value.to_bytes(2, "big") + head[12:] + data
        chain = b""
        for kind, body in reversed(extensions):
            chain = bytes([protocol]) + body + chain
            protocol = kind
        total = len(chain) + len(data) if total is None else total
        six = socket.AF_INET6
        head = struct.pack("!IHBB", 6 << 28, total & 0xFFFF, protocol, ttl)
        return head + socket.inet_pton(six, source) + socket.inet_pton(six, target) + chain + data

    def frame(self, packet, vlan=(), trailer=b"", mac=None, **_):
        """Ethernet around an IP packet."""
        out = (mac or self.wire.macs[self.peer]) + self.wire.mac
        for i, tag in enumerate(vlan):
            out += struct.pack("!HH", 0x88A8 if i == 0 and len(vlan) > 1 else 0x8100, tag)
        return out + (b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd") + packet + trailer

    def fragments(self, data, cuts, ident=None):
        """The IP packets of a segment, cut at these places (multiples of 8); each as (place, packet)."""
        ident = random.getrandbits(16) if ident is None else ident
        edges = [0, *cuts, len(data)]
        out = []
        for a, b in zip(edges, edges[1:]):
            out.append((a, self.piece(data[a:b], a, b < len(data), ident)))
        return out

    def piece(self, data, place, more, ident):
        """One fragment."""
        if self.version == 4:
            return self.packet(data, ident=ident, fragment=place // 8 | (0x2000 if more else 0))
        return self.packet(data, extensions=[(44, struct.pack("!BHI", 0, place | more, ident))])

    # --- sending ---

    def raw(self, frame, sock=None):
        for _ in range(1000):
            try:
                return (sock or self.wire.sock).send(frame)
            except OSError as e:
                if e.errno != errno.ENOBUFS:
                    raise
                time.sleep(0.001)  # the veth's ring is full
        raise TimeoutError("the veth's ring stays full")

    def put(self, at, payload=b"", **kw):
        """A segment at this place of the stream; see segment(), packet() and frame() for the fields."""
        if kw.get("gso"):
            self._super(at, payload, **kw)
        else:
            self.raw(self.frame(self.packet(self.segment(payload, at, **kw), **kw), **kw))
        self.next = max(self.next, at + len(payload))
        return self

    def _super(self, at, payload, gso, **kw):
        """One super-packet of segments of `gso` bytes."""
        data = self.segment(payload, at, **kw)
        partial = 0xFFFF - checksum(self._pseudo(len(data)))
        data = data[:16] + partial.to_bytes(2, "big") + data[18:]
        frame = self.frame(self.packet(data, **kw), **kw)
        l4 = len(frame) - len(data)
        head = struct.pack("<BBHHHH", 1, 1 if self.version == 4 else 4, l4 + (data[12] >> 4) * 4, gso, l4, 16)
        self.raw(head + frame, self.wire.gso)

    def control(self, flags, at=None, **kw):
        """A segment without payload."""
        return self.put(self.next if at is None else at, b"", flags=flags, **kw)

    def finish_elsewhere(self, at, payload, start, field, wanted, free):
        """A segment whose checksum a device is told to finish inside its payload.

        The device sums all from place `start` of the payload and writes the result at `field`. Two bytes at
        `free` are chosen so that it writes `wanted`.
        """
        value = int.from_bytes(wanted, "big")
        assert start <= free and (free - start) % 2 == 0
        rest = int.from_bytes((payload[start:free] + bytes(2) + payload[free + 2 :] + b"\0")[: (len(payload) - start + 1) // 2 * 2], "big") % 0xFFFF
        word = (0xFFFF - value - rest) % 0xFFFF
        payload = payload[:free] + word.to_bytes(2, "big") + payload[free + 2 :]
        assert checksum(payload[start:]) == value
        after = payload[:field] + wanted + payload[field + 2 :]
        data = self.segment(after, at)
        size = len(data) - len(payload)
        frame = self.frame(self.packet(data[:size] + payload))
        base = len(frame) - len(payload)
        self.raw(struct.pack("<BBHHHH", 1, 0, 0, 0, base + start, field - start) + frame, self.wire.gso)
        self.next = max(self.next, at + len(payload))

    def syn(self, payload=b"", options=None, **kw):
        if options is None:
            options = option(2, struct.pack("!H", 1440)) + option(4) + (self.stamp() if self.timestamps else b"") + option(3, b"\x07")
        self.raw(self.frame(self.packet(self.segment(payload, seq=kw.pop("seq", self.isn), flags="S", window=64240, options=options, **kw), **kw), **kw))
        return self

    def open(self, tries=6, ack=True, **kw):
        """The handshake. With ack=False its last packet is left to the caller."""
        for _ in range(tries):
            self.syn(**kw)
            if self.wait(lambda: self.peer_isn is not None or self.reset, 0.5):
                break
        assert self.peer_isn is not None, f"no SYN-ACK; saw {self.seen}"
        if ack:
            self.control("A")
        return self

    def forget(self):
        """Frees the server's socket."""
        if self.peer_isn is not None and not self.reset:
            self.put(0, flags="RA", seq=self.isn + 1 + self.acked)
        self.wire.senders.pop((self.version, self.sport), None)

    # --- receiving ---

    def wait(self, until, seconds=3.0):
        return self.wire.pump(seconds, until)

    def _arrived(self, tcp):
        seq, ack = struct.unpack("!II", tcp[4:12])
        size, flags, window = (tcp[12] >> 4) * 4, tcp[13], int.from_bytes(tcp[14:16], "big")
        payload, options = tcp[size:], tcp[20:size]
        self.seen.append((flags, seq, ack, payload))
        if flags & FLAGS["R"]:
            self.reset = True
            return
        self._timestamp(options)
        if flags & FLAGS["S"]:
            if flags & FLAGS["A"] and self.peer_isn is None and ack == (self.isn + 1) & MASK:
                self.peer_isn, self.receive_next, self.options = seq, (seq + 1) & MASK, options
                self.shift = self._scale(options)
                self.window = window
            return
        if self.peer_isn is None:
            return
        self.window = window << self.shift
        place = (ack - self.isn - 1) & MASK
        if place < 1 << 31:
            self.acked = max(self.acked, place)
        if payload:
            self.parts[(seq - self.peer_isn - 1) & MASK] = payload
        end = (seq + len(payload) + (flags & 1)) & MASK
        if not after(seq, self.receive_next) and after(end, self.receive_next):
            self.receive_next = end
            self.fin = self.fin or bool(flags & FLAGS["F"])
        if (payload or flags & FLAGS["F"]) and not self.quiet:
            self.control("A", at=self.acked)

    def _timestamp(self, options):
        at = options.find(b"\x08\x0a")
        if at >= 0:
            self.echo = int.from_bytes(options[at + 2 : at + 6], "big")

    def _scale(self, options):
        at = options.find(b"\x03\x03")
        return options[at + 2] if at >= 0 else 0

    @property
    def answer(self):
        """What the server said, up to the first gap."""
        out = b""
        for place in sorted(self.parts):
            if place > len(out):
                break
            out += self.parts[place][len(out) - place :]
        return out

    # --- honest sending ---

    def deliver(self, pieces, seconds=3.0, again=0.05, until=None, **kw):
        """Sends (place, bytes) in this order, then what stays unacknowledged, again and again.

        again=0: nothing is sent twice. Ends when all is acknowledged and `until` holds.
        """
        whole = max(at + len(data) for at, data in pieces)
        for at, data in pieces:
            self.put(at, data, **kw)
        end, done = time.monotonic() + seconds, lambda: (self.acked >= whole and (not until or until())) or self.reset
        while time.monotonic() < end:
            if self.wait(done, again or seconds):
                break
            for at, data in sorted(pieces) if again else ():
                if at + len(data) > self.acked:
                    self.put(at, data, **kw)
        return self.acked >= whole


def cut(data, *places):
    """[(place, bytes)] of data cut at these places."""
    edges = [0, *places, len(data)]
    return [(a, data[a:b]) for a, b in zip(edges, edges[1:]) if a < b]


def every(data, size):
    """The same in pieces of one size."""
    return cut(data, *range(size, len(data), size))
