# SPDX-License-Identifier: Apache-2.0
"""Frames, TCP conversations and capture files by hand, byte for byte the same everywhere."""

import ipaddress
import struct

START_NS = 1_700_000_000_000_000_000  # 2023-11-14 22:13:20 UTC
FIN, SYN, RST, PSH, ACK = 1, 2, 4, 8, 16
ETHERNET = 1


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total >> 16) + (total & 0xFFFF)
    return ~total & 0xFFFF


def ip(source, destination, protocol, payload):
    """An IP packet of either version; `payload` gets (source, destination) of the pseudo-header."""
    s, d = ipaddress.ip_address(source).packed, ipaddress.ip_address(destination).packed
    if callable(payload):
        payload = payload(s, d)
    if len(s) == 16:
        return struct.pack("!IHBB", 0x60000000, len(payload), protocol, 64) + s + d + payload
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(payload), 1, 0x4000, 64, protocol, 0) + s + d
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def summed(protocol, body, at):
    """body with the checksum over pseudo-header and body at `at`; for ip()."""

    def make(s, d):
        pseudo = s + d + struct.pack("!II", len(body), protocol)
        return body[:at] + struct.pack("!H", checksum(pseudo + body)) + body[at + 2 :]

    return make


def tcp(source, sport, destination, dport, seq, ack, flags, data=b"", options=b""):
    words = 5 + len(options) // 4
    body = struct.pack("!HHIIBBHHH", sport, dport, seq % 2**32, ack % 2**32, words << 4, flags, 502, 0, 0) + options + data
    return ip(source, destination, 6, summed(6, body, 16))


def fragments(packet, size):
    """An IPv4 packet in fragments of `size` bytes of payload, a multiple of 8."""
    head, payload = packet[:20], packet[20:]
    for at in range(0, len(payload), size):
        more = 0x2000 if at + size < len(payload) else 0
        part = payload[at : at + size]
        h = head[:2] + struct.pack("!HHH", 20 + len(part), 7, more | at // 8) + head[8:10] + b"\0\0" + head[12:]
        yield h[:10] + struct.pack("!H", checksum(h)) + h[12:] + part


def udp(source, sport, destination, dport, data):
    return ip(source, destination, 17, summed(17, struct.pack("!HHHH", sport, dport, 8 + len(data), 0) + data, 6))


def echo(source, destination, request, number):
    if ":" in source:
        return ip(source, destination, 58, summed(58, struct.pack("!BBHHH", 128 if request else 129, 0, 0, 7, number) + b"ping", 2))
    body = struct.pack("!BBHHH", 8 if request else 0, 0, 0, 7, number) + b"ping"
    return ip(source, destination, 1, body[:2] + struct.pack("!H", checksum(body)) + body[4:])


def ethernet(packet, tags=()):
    kind = 0x86DD if packet[0] >> 4 == 6 else 0x0800
    tag = b"".join(struct.pack("!HH", t, v) for t, v in tags)
    return bytes.fromhex("020000000002020000000001") + tag + struct.pack("!H", kind) + packet


def arp_request(sender, target):
    body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 1) + bytes.fromhex("020000000001") + ipaddress.ip_address(sender).packed
    return bytes.fromhex("ffffffffffff0200000000010806") + body + bytes(6) + ipaddress.ip_address(target).packed


class Capture:
    """Frames with times: one millisecond apart where nothing else is said."""

    def __init__(self):
        self.frames, self.now = [], START_NS

    def add(self, frame, after_us=1000, length=None):
        self.now += after_us * 1000
        self.frames.append((self.now, bytes(frame), length or len(frame)))

    def pcap(self, link=ETHERNET):
        out = [struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, link)]
        for ns, frame, length in self.frames:
            out.append(struct.pack("<IIII", ns // 10**9, ns % 10**9 // 1000, len(frame), length) + frame)
        return b"".join(out)

    def pcapng(self, link=ETHERNET):
        """One section, one interface that counts nanoseconds."""

        def block(kind, body):
            body += b"\0" * (-len(body) % 4)
            return struct.pack("<II", kind, len(body) + 12) + body + struct.pack("<I", len(body) + 12)

        out = [block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))]
        out.append(block(1, struct.pack("<HHI", link, 0, 0) + struct.pack("<HHBxxxHH", 9, 1, 9, 0, 0)))
        for ns, frame, length in self.frames:
            out.append(block(6, struct.pack("<IIIII", 0, ns >> 32, ns & 0xFFFFFFFF, len(frame), length) + frame))
        return b"".join(out)


class Talk:
    """A TCP connection in a capture. Both ends see everything at once."""

    def __init__(self, capture, client, server, sport, dport=80, tags=()):
        self.capture, self.tags = capture, tags
        self.ends = [(client, sport), (server, dport)]
        self.seq = [1000, 500000]

    def packet(self, end, flags, data=b"", seq=None, ack=None):
        """As sent now; nothing is added or counted."""
        (a, ap), (b, bp) = self.ends[end], self.ends[1 - end]
        seq = self.seq[end] if seq is None else seq
        ack = self.seq[1 - end] if ack is None else ack
        return ethernet(tcp(a, ap, b, bp, seq, ack if flags & ACK else 0, flags, data), self.tags)

    def send(self, end, flags, data=b"", after_us=1000):
        self.capture.add(self.packet(end, flags, data), after_us)
        self.seq[end] += len(data) + (1 if flags & (SYN | FIN) else 0)

    def open(self):
        self.send(0, SYN)
        self.send(1, SYN | ACK)
        self.send(0, ACK)
        return self

    def ask(self, data, after_us=1000):
        self.send(0, PSH | ACK, data, after_us)
        return self

    def answer(self, data, after_us=15000):
        self.send(1, PSH | ACK, data, after_us)
        self.send(0, ACK)
        return self

    def close(self):
        self.send(0, FIN | ACK)
        self.send(1, FIN | ACK)
        self.send(0, ACK)
        return self


def get(path, *headers, method="GET", body=None):
    lines = [f"{method} {path} HTTP/1.1", "Host: web", *headers]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode() + (body or b"")


def ok(body=b"ok", status="200 OK"):
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
