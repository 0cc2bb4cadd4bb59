# SPDX-License-Identifier: Apache-2.0
"""Sends many streams of bytes, each on a connection of its own, many at once."""

import errno
import select
import socket
import struct
import time

LANES = 128


class _Lane:
    __slots__ = ("sock", "index", "data", "sent", "got", "deadline")


def send_all(ns, jobs, patience):
    """jobs: [(address, local port, bytes)]. Reads to the end, or until nothing came for `patience`. -> [answer]"""
    answers = [b""] * len(jobs)
    waiting = iter(range(len(jobs)))
    lanes = {}
    poll = select.epoll()
    with ns.inside():
        index = next(waiting, None)
        while index is not None or lanes:
            while index is not None and len(lanes) < LANES:
                lane = _open(*jobs[index])
                lane.index, lane.deadline = index, time.monotonic() + patience
                lanes[lane.sock.fileno()] = lane
                poll.register(lane.sock, select.EPOLLIN | select.EPOLLOUT)
                index = next(waiting, None)
            for fd, event in poll.poll(0.05):
                if _step(poll, lanes[fd], event, patience):
                    _end(poll, lanes, fd, answers)
            now = time.monotonic()
            for fd in [fd for fd, lane in lanes.items() if lane.deadline < now]:
                # Nothing may be left of it: its port is used again.
                lanes[fd].sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                _end(poll, lanes, fd, answers)
    poll.close()
    return answers


def _open(address, local, data):
    lane = _Lane()
    lane.data, lane.sent, lane.got = data, 0, b""
    lane.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    lane.sock.setblocking(False)
    lane.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    lane.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    lane.sock.bind(("", local))
    error = lane.sock.connect_ex((address, 80))
    if error not in (0, errno.EINPROGRESS):
        raise OSError(error, f"connect to {address} from port {local}")
    return lane


def _step(poll, lane, event, patience):
    """-> True at the connection's end."""
    try:
        if event & select.EPOLLOUT and lane.sent < len(lane.data):
            lane.sent += lane.sock.send(lane.data[lane.sent :])
            if lane.sent == len(lane.data):
                poll.modify(lane.sock, select.EPOLLIN)
        if event & (select.EPOLLIN | select.EPOLLHUP | select.EPOLLERR):
            got = lane.sock.recv(65536)
            lane.got += got
            lane.deadline = time.monotonic() + patience
            return not got
    except BlockingIOError:
        return False
    except OSError:
        return True
    return False


def _end(poll, lanes, fd, answers):
    lane = lanes.pop(fd)
    poll.unregister(fd)
    lane.sock.close()
    answers[lane.index] = lane.got
