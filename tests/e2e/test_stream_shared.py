# SPDX-License-Identifier: Apache-2.0
"""Bytes that change after they were judged, while the server has not read them.

No raw socket is needed for these: sendfile() and splice() put pages of a file into packets, and between
namespaces of one machine these pages themselves arrive. Who can write to the file writes into the packet.
"""

import os
import socket

import pytest
from lab.range import ECHO, WAYS, Range
from lab.wait import until


@pytest.fixture(scope="module")
def room(nodes):
    room = Range(nodes())
    yield room
    assert not room.forbidden()
    room.close()


def sendfile(sock, fd, size):
    assert os.sendfile(sock.fileno(), fd, 0, size) == size


def splice(sock, fd, size):
    out, into = os.pipe()
    try:
        assert os.splice(fd, into, size, offset_src=0) == size
        assert os.splice(out, sock.fileno(), size) == size
    finally:
        os.close(out)
        os.close(into)


@pytest.mark.parametrize("version", [4, 6])
@pytest.mark.parametrize("how", [sendfile, splice])
@pytest.mark.parametrize("gro", [False, True])
def test_pages_of_a_file(room, version, how, gro):
    """An allowed request waits behind one that takes its time; meanwhile its page is written."""
    room.gro(gro)
    for way in WAYS:
        s = room.shot(way, version, ECHO)
        path = os.path.join(room.node.dir, f"page-{s.number}")
        with s.client.ns.inside():
            sock = socket.socket(socket.AF_INET6 if version == 6 else socket.AF_INET)
        fd = os.open(path, os.O_RDWR | os.O_CREAT)
        try:
            sock.connect((s.c.target, ECHO))
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            os.pwrite(fd, s.good, 0)
            sock.sendall(s.head("POST", "/up", 0, "X-Slow: 0.05", "Content-Length: 0"))
            until(lambda: "/up" in s.executed, 2)
            how(sock, fd, len(s.good))
            s.c.wait(lambda: False, 0.01)
            os.pwrite(fd, s.evil, 0)
            until(lambda: len(s.executed) == 2, 2, f"{way}: executed {s.executed}")
            assert s.executed == ["/up", "/admin" if way == "bare" else "/ok"], way
        finally:
            os.close(fd)
            os.unlink(path)
            sock.close()
    room.gro(False)
