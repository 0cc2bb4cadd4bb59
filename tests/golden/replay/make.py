#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes the captures of the golden cases beside it: ./make.py [DIR]"""

import os
import struct
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from frames import ACK, FIN, PSH, RST, Capture, Talk, arp_request, echo, ethernet, fragments, get, ok, tcp, udp  # noqa: E402

WEB, CART, STRANGER, NODE = "10.0.0.2", "10.0.0.3", "10.0.0.9", "10.0.0.1"
WEB6, CART6 = "fd00::2", "fd00::3"


def talk(capture, port, client=CART, server=WEB, **kw):
    return Talk(capture, client, server, port, **kw).open()


def allowed():
    c = Capture()
    c.add(ethernet(udp("192.0.2.1", 1, "192.0.2.2", 2, b"of no pod")))
    c.add(arp_request(CART, WEB))
    talk(c, 40000).ask(get("/api/v1/items?token=secret")).answer(ok()).ask(get("/api/v1/items/7")).answer(ok()).close()
    return c.pcap()


def denied():
    c = Capture()
    talk(c, 40000).ask(get("/api/v1/items")).answer(ok()).ask(get("/admin")).answer(ok(b"the secret")).ask(get("/api/v1/items")).answer(ok()).close()
    talk(c, 40001, client=STRANGER).ask(get("/api/v1/items")).answer(ok()).close()
    return c.pcap()


def split():
    c = Capture()
    for port, path in ((40000, "/api/v1/items"), (40001, "/api/v1/../../admin"), (40002, "/%61dmin")):
        t = talk(c, port)
        for byte in get(path):
            t.ask(bytes([byte]), 100)
        t.answer(ok()).close()
    return c.pcap()


def pipelined():
    c = Capture()
    talk(c, 40000).ask(get("/api/1") + get("/api/2") + get("/api/3")).answer(ok() * 3).close()
    talk(c, 40001).ask(get("/api/1") + get("/admin") + get("/api/3")).answer(ok()).answer(ok()).answer(ok()).close()
    talk(c, 40002).ask(get("/api/1")).ask(get("/admin")).answer(ok()).answer(ok()).close()
    talk(c, 40003).ask(get("/api/1")).ask(get("/admin"))  # the capture ends before the first answer
    return c.pcap()


def upload():
    c = Capture()
    body = bytes(i % 251 for i in range(5000))
    t = talk(c, 40000)
    request = get("/api/upload", method="PUT", body=body)
    for i in range(0, len(request), 1400):
        t.ask(request[i : i + 1400], 100)
    t.answer(ok(status="201 Created")).ask(get("/admin")).answer(ok()).close()
    t = talk(c, 40001)
    chunks = b"".join(b"%x\r\n" % len(body[i : i + 700]) + body[i : i + 700] + b"\r\n" for i in range(0, len(body), 700)) + b"0\r\n\r\n"
    request = get("/api/upload", "Transfer-Encoding: chunked", method="PUT") + chunks + get("/api/after")
    for i in range(0, len(request), 1400):
        t.ask(request[i : i + 1400], 100)
    t.answer(ok(status="201 Created") + ok()).close()
    return c.pcap()


def ipv6():
    c = Capture()
    talk(c, 40000, CART6, WEB6).ask(get("/api/v1/items")).answer(ok()).ask(get("/admin")).answer(ok()).close()
    c.add(ethernet(echo(CART6, WEB6, True, 1)))
    c.add(ethernet(echo(WEB6, CART6, False, 1)))
    return c.pcap()


def vlan():
    c = Capture()
    for port, tags in ((40000, [(0x8100, 5)]), (40001, [(0x88A8, 5), (0x8100, 6)])):
        talk(c, port, tags=tags).ask(get("/api/v1/items")).answer(ok()).ask(get("/admin")).answer(ok()).close()
    return c.pcap()


def network_policy():
    c = Capture()
    for i, who in enumerate((CART, STRANGER)):
        c.add(ethernet(udp(who, 50000 + i, WEB, 53, b"question")))
        c.add(ethernet(udp(WEB, 53, who, 50000 + i, b"answer")))
        c.add(ethernet(udp(who, 50000 + i, WEB, 54, b"elsewhere")))
        c.add(ethernet(echo(who, WEB, True, i)))
        c.add(ethernet(echo(WEB, who, False, i)))
        talk(c, 40000 + i, client=who, dport=5432).ask(b"\0\0\0\x08\x04\xd2\x16\x2f").answer(b"N").close()
    return c.pcap()


def two_pods():
    c = Capture()
    for i, path in enumerate(("/api/items", "/api/orders", "/admin")):
        talk(c, 40000 + i).ask(get(path)).answer(ok()).close()
    talk(c, 40003, server="192.0.2.80").ask(get("/api/items")).answer(ok()).close()
    return c.pcap()


def super_packet():
    c = Capture()
    body = bytes(i % 251 for i in range(20000))
    t = talk(c, 40000)
    t.ask(get("/api/upload", method="PUT", body=body)).answer(ok(status="201 Created"))
    t.ask(get("/api/x", "Padding: " + "x" * 150) * 30 + get("/admin")).answer(ok() * 31).close()
    c.add(ethernet(udp(CART, 50000, WEB, 9, bytes(8000))))  # a jumbo frame: cannot be cut
    return c.pcap()


def pcapng():
    c = Capture()
    c.now += 123456789
    talk(c, 40000).ask(get("/api/v1/items")).answer(ok(), 15001).ask(get("/admin")).answer(ok()).close()
    return c.pcapng()


def tls():
    c = Capture()
    hello = bytes.fromhex("0303") + bytes(32) + b"\0" + bytes.fromhex("0002130101000000")
    hello = b"\x01" + struct.pack("!I", len(hello))[1:] + hello
    record = bytes.fromhex("160301") + struct.pack("!H", len(hello)) + hello
    talk(c, 40000).ask(record).answer(bytes.fromhex("15030300020228")).close()
    talk(c, 40001).ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").answer(bytes(9)).close()
    return c.pcap()


def reordered():
    c = Capture()
    for port, path in ((40000, "/api/v1/items"), (40001, "/admin")):
        t = talk(c, port)
        request = get(path)
        a, b, rest = request[:9], request[9:20], request[20:]
        last = t.packet(0, PSH | ACK, rest, t.seq[0] + 20)
        c.add(last)
        c.add(t.packet(0, ACK, b, t.seq[0] + 9))
        c.add(t.packet(0, ACK, a))
        c.add(last)  # and once more, needlessly
        t.seq[0] += len(request)
        t.answer(ok()).close()
    return c.pcap()


def midstream():
    c = Capture()
    Talk(c, CART, WEB, 40000).ask(get("/api/v1/items")).answer(ok()).close()
    Talk(c, CART, WEB, 40001, dport=5432).ask(b"query").answer(b"rows").close()
    return c.pcap()


def audit():
    c = Capture()
    talk(c, 40000).ask(get("/api/v1/items")).answer(ok()).ask(get("/admin")).answer(ok()).close()
    talk(c, 40001, client=STRANGER).ask(get("/api/v1/items")).answer(ok()).close()
    return c.pcap()


def node():
    c = Capture()
    talk(c, 40000, client=NODE).ask(get("/health")).answer(ok()).close()
    talk(c, 40001, client=STRANGER).ask(get("/health"))
    return c.pcap()


def kubernetes():
    c = Capture()
    talk(c, 40000, dport=8080).ask(get("/api/v1/items")).answer(ok()).ask(get("/admin")).answer(ok()).close()
    talk(c, 40001, dport=8081).ask(get("/api/v1/items"))
    return c.pcap()


def odd_packets():
    c = Capture()
    whole = tcp(CART, 40000, WEB, 80, 1000, 0, 2)
    c.add(ethernet(whole), length=400)  # the snapshot length cut it
    c.add(ethernet(whole[:30]))  # says it is longer than the frame
    c.add(ethernet(tcp(CART, 40001, WEB, 80, 1000, 0, FIN | 2)))  # SYN and FIN
    c.add(ethernet(whole)[:12] + b"\x88\xcc" + whole)  # LLDP
    talk(c, 40002).ask(get("/api/v1/items")).answer(ok()).close()
    return c.pcap()


def said_otherwise():
    c = Capture()
    t = talk(c, 40000)
    good, evil = get("/api/v1/items"), get("/admin/secrets")
    t.ask(good[:20])
    c.add(t.packet(0, PSH | ACK, evil[:20], t.seq[0] - 20))  # the same place, other bytes
    t.ask(good[20:]).answer(ok()).close()
    return c.pcap()


def ports_again():
    c = Capture()
    t = talk(c, 40000).ask(get("/admin")).answer(ok())
    c.add(t.packet(0, RST | ACK))
    t = Talk(c, CART, WEB, 40000)
    t.seq = [70_000_000, 90_000_000]
    t.open().ask(get("/api/v1/items")).answer(ok()).close()
    return c.pcap()


def smuggling():
    c = Capture()
    hidden = get("/admin")
    requests = [
        get("/api/1", "Transfer-Encoding: chunked", method="PUT", body=b"0\r\n\r\n" + hidden),
        get("/api/2", f"Content-Length: {len(hidden)}", "Content-Length: 0", method="PUT") + hidden,
        b"PUT /api/3 HTTP/1.1\r\nHost: web\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
        b"PUT /api/4 HTTP/1.1\r\nHost: web\r\nX: y\nContent-Length: 0\r\n\r\n" + hidden,
        get("/api/5", "Transfer-Encoding: chunked", method="PUT") + b"5;x\r\nabcde\r\n-1\r\n\r\n" + hidden,
    ]
    for i, request in enumerate(requests):
        talk(c, 40000 + i).ask(request).answer(ok()).close()
    return c.pcap()


def in_fragments():
    c = Capture()
    for part in fragments(udp(CART, 50000, WEB, 53, b"q" * 100), 40):
        c.add(ethernet(part))
    for part in reversed(list(fragments(udp(STRANGER, 50000, WEB, 53, b"q" * 100), 40))):
        c.add(ethernet(part))  # the ports come last
    t = talk(c, 40000)
    for part in fragments(t.packet(0, PSH | ACK, get("/admin"))[14:], 32):
        c.add(ethernet(part))
    return c.pcap()


CASES = {
    "allowed": allowed, "denied": denied, "split-request": split, "pipelined": pipelined, "upload": upload, "ipv6": ipv6,
    "vlan": vlan, "network-policy": network_policy, "two-pods": two_pods, "super-packet": super_packet, "pcapng": pcapng,
    "tls": tls, "reordered": reordered, "midstream": midstream, "audit": audit, "node": node, "kubernetes": kubernetes,
    "odd-packets": odd_packets, "said-otherwise": said_otherwise, "ports-again": ports_again, "smuggling": smuggling,
    "in-fragments": in_fragments,
}  # fmt: skip


def name_of(case):
    return "capture.pcapng" if case == "pcapng" else "capture.pcap"


def main():
    top = sys.argv[1] if len(sys.argv) > 1 else os.path.dirname(os.path.abspath(__file__))
    for case, make in CASES.items():
        os.makedirs(os.path.join(top, case), exist_ok=True)
        with open(os.path.join(top, case, name_of(case)), "wb") as f:
            f.write(make())


if __name__ == "__main__":
    main()
