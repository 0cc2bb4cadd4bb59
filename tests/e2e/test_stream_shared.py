# SPDX-License-Identifier: Apache-2.0
"""Bytes that change after they were judged, while the server has not read them.

No raw socket is needed for these: sendfile() and splice() put pages of a file into packets, and between
namespaces of one machine these pages themselves arrive. Who can write to the file writes into the packet.
"""

import ctypes
import mmap
import os
import socket
import struct

import pytest
from lab.packets import Sniffer
from lab.range import ECHO, WAYS, Range
from lab.wait import until


@pytest.fixture(scope="module")
def room(nodes):
    room = Range(nodes())
    yield room
    assert not room.forbidden()
    room.close()


def by_sendfile(sock, memory, fd):
    return lambda: os.sendfile(sock.fileno(), fd, 0, 60)


def by_splice(sock, memory, fd):
    out, into = os.pipe()
    assert os.splice(fd, into, 60, offset_src=0) == 60
    return lambda: os.splice(out, sock.fileno(), 60)


def by_vmsplice(sock, memory, fd):
    out, into = os.pipe()
    vector = struct.pack("@PN", ctypes.addressof(ctypes.c_char.from_buffer(memory)), 60)
    assert ctypes.CDLL(None).vmsplice(into, vector, 1, 0) == 60
    return lambda: os.splice(out, sock.fileno(), 60)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("how", [by_sendfile, by_splice, by_vmsplice])
@pytest.mark.parametrize("gro", [False, True])
def test_pages_that_the_sender_can_write(room, version, how, gro):
    """An allowed request waits behind one that takes its time; meanwhile its page is written."""
    room.gro(gro)
    for way in WAYS:
        s = room.shot(way, version, ECHO)
        echo = room.server[s.pod, ECHO]
        echo.gate.clear()
        path = os.path.join(room.node.dir, f"page-{s.number}")
        with s.client.ns.inside():
            sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET)
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        os.truncate(fd, 4096)
        memory = mmap.mmap(fd, 4096) if how is not by_vmsplice else mmap.mmap(-1, 4096)
        try:
            sock.connect((s.c.target, ECHO))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            memory[:60] = s.good
            sock.sendall(s.head("POST", "/up", 0, "X-Hold: yes", "Content-Length: 0"))
            until(lambda: "/up" in s.executed, 5)
            assert how(sock, memory, fd)() == 60
            s.c.wait(lambda: False, 0.02)
            memory[:60] = s.evil
            echo.release()
            until(lambda: len(s.executed) == 2, 5, f"{way}: executed {s.executed}")
            assert s.executed == ["/up", "/admin" if way == "bare" else "/ok"], way
        finally:
            os.close(fd)
            os.unlink(path)
            sock.close()
    room.gro(False)


@pytest.mark.parametrize("version", [4, 6])
def test_page_that_is_merged_into_another_packet(room, version):
    """Where segments are merged, some kernels forget that a page of the second is its sender's."""
    room.gro(True)
    try:
        for way in WAYS:
            assert any([merge(room.shot(way, version, ECHO)) for _ in range(6)]), f"{way}: nothing was merged"
    finally:
        room.gro(False)


def merge(s):
    """-> whether the hook of the client's side saw one packet."""
    memory, echo = mmap.mmap(-1, 4096), s.room.server[s.pod, ECHO]
    echo.gate.clear()
    with s.client.ns.inside():
        sock = socket.socket(socket.AF_INET6 if s.version == 6 else socket.AF_INET)
    with sock, Sniffer(s.room.node.ns, s.client.iface) as seen:
        sock.connect((s.c.target, ECHO))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        memory[:60] = s.good
        size = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)
        first, send = s.head("GET", "/ok", size), by_vmsplice(sock, memory, -1)
        sock.sendall(s.head("POST", "/up", 0, "X-Hold: yes", "Content-Length: 0"))
        until(lambda: "/up" in s.executed, 5)
        sock.send(first, socket.MSG_MORE)  # a whole segment, that asks for no haste
        send()
        s.c.wait(lambda: False, 0.02)
        memory[:60] = s.evil
        echo.release()
        until(lambda: len(s.executed) == 3, 5, f"{s.way}: executed {s.executed}")
        assert s.executed == ["/up", "/ok", "/ok" if s.guarded else "/admin"], s.way
        return any(len(f) > 1514 for f in seen.frames)


@pytest.mark.parametrize("version", [4, 6])
def test_page_that_is_sent_again_with_another(room, version):
    """A sender merges what it sends again, and forgets that a page of the second segment is its own."""
    for way in WAYS:
        s = room.shot(way, version, ECHO)
        memory, echo = mmap.mmap(-1, 4096), room.server[s.pod, ECHO]
        echo.gate.clear()
        with s.client.ns.inside():
            sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET)
        with sock:
            sock.connect((s.c.target, ECHO))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            memory[:60] = s.good[4:] + s.good[:4]
            sock.sendall(s.head("POST", "/up", 0, "X-Hold: yes", "Content-Length: 0"))
            until(lambda: "/up" in s.executed, 5)
            out, into = os.pipe()
            vector = struct.pack("@PN", ctypes.addressof(ctypes.c_char.from_buffer(memory)), 56)
            assert ctypes.CDLL(None).vmsplice(into, vector, 1, 0) == 56
            # Nothing gets through for a while.
            s.client.run("tc", "qdisc", "add", "dev", "eth0", "root", "tbf", "rate", "8kbit", "burst", "10", "limit", "10", check=True)
            sock.send(s.good[:4])
            assert os.splice(out, sock.fileno(), 56) == 56
            s.c.wait(lambda: False, 0.02)
            s.client.run("tc", "qdisc", "del", "dev", "eth0", "root", check=True)
            s.c.wait(lambda: False, 1)
            memory[:56] = s.evil[4:]
            echo.release()
            until(lambda: len(s.executed) == 2, 5, f"{way}: executed {s.executed}")
            assert s.executed == ["/up", "/admin" if way == "bare" else "/ok"], way
