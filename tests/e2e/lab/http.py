# SPDX-License-Identifier: Apache-2.0
"""A raw HTTP/1 client: it sends exactly the bytes it is given and reads exact responses."""

import socket
import time
from dataclasses import dataclass, field

from .wait import SLOW


@dataclass
class Response:
    status: int
    headers: dict
    body: bytes
    closed: bool = False  # the connection ended with it
    interim: list = field(default_factory=list)


class Closed(Exception):
    """The peer closed before a response was there."""


class Reset(Closed):
    pass


class Silence(Exception):
    """Nothing came in time."""


class Connection:
    """One TCP connection from a namespace."""

    def __init__(self, ns, address, port, timeout=3.0, source=None):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        with ns.inside():
            self.sock = socket.socket(family, socket.SOCK_STREAM)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(timeout * SLOW)
        if source:
            self.sock.bind(source)
        try:
            self.sock.connect((address, port))
        except BaseException:
            self.sock.close()
            raise
        self.buffer = b""

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data, pieces=None, gap=0.002):
        """pieces: sizes of the segments; the last takes the rest."""
        if isinstance(data, str):
            data = data.encode("latin-1")
        if not pieces:
            self.sock.sendall(data)
            return self
        at = 0
        for size in pieces:
            if at < len(data):
                self.sock.sendall(data[at : at + size])
                time.sleep(gap)
            at += size
        if at < len(data):
            self.sock.sendall(data[at:])
        return self

    def _more(self):
        try:
            got = self.sock.recv(65536)
        except socket.timeout as e:
            raise Silence(f"no answer; had {self.buffer[:200]!r}") from e
        except ConnectionResetError as e:
            raise Reset("connection reset") from e
        if not got:
            raise Closed(f"closed; had {self.buffer[:200]!r}")
        self.buffer += got

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line

    def _take(self, n):
        while len(self.buffer) < n:
            self._more()
        got, self.buffer = self.buffer[:n], self.buffer[n:]
        return got

    def response(self, head=False):
        """The next final response; head: it answers HEAD."""
        interim = []
        while True:
            version, status, *_ = self._line().split(b" ", 2)
            assert version in (b"HTTP/1.1", b"HTTP/1.0"), version
            status = int(status)
            headers = {}
            while line := self._line():
                name, value = line.split(b":", 1)
                headers[name.decode().lower()] = value.strip().decode("latin-1")
            if 100 <= status < 200 and status != 101:
                interim.append(status)
                continue
            break
        body, closed = b"", False
        if head or status in (101, 204, 304):
            pass
        elif "chunked" in headers.get("transfer-encoding", ""):
            while size := int(self._line().split(b";")[0], 16):
                body += self._take(size)
                self._line()
            while self._line():
                pass
        elif "content-length" in headers:
            body = self._take(int(headers["content-length"]))
        else:
            try:
                while True:
                    self._more()
            except Reset:
                raise
            except Closed:
                body, self.buffer, closed = self.buffer, b"", True
        return Response(status, headers, body, closed, interim)

    def end(self):
        """How the connection ends, after all data was read: "fin", "reset" or "silence"."""
        try:
            while True:
                self._more()
        except Reset:
            return "reset"
        except Closed:
            return "fin"
        except Silence:
            return "silence"


def get(target="/", host="web", method="GET", headers=(), body=b"", version="1.1"):
    """A request as bytes."""
    lines = [f"{method} {target} HTTP/{version}"]
    if host is not None:
        lines.append(f"Host: {host}")
    lines += list(headers)
    if body and not any(h.lower().startswith(("content-length", "transfer-encoding")) for h in headers):
        lines.append(f"Content-Length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + body


def ask(ns, address, port, data, timeout=3.0, pieces=None, gap=0.002):
    """One request on a new connection -> status, or "reset", "closed", "silence", "refused", "blocked"."""
    try:
        with Connection(ns, address, port, timeout) as c:
            try:
                c.send(data, pieces, gap)
            except (BrokenPipeError, ConnectionResetError):
                pass  # an answer may lie there all the same
            return c.response(head=data[:5] in (b"HEAD ", "HEAD ")).status
    except Silence:
        return "silence"
    except (Reset, BrokenPipeError, ConnectionResetError):
        return "reset"
    except Closed:
        return "closed"
    except ConnectionRefusedError:
        return "refused"
    except (socket.timeout, TimeoutError, OSError):
        return "blocked"
