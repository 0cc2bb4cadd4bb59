# SPDX-License-Identifier: Apache-2.0
"""Requests by the thousand, the same for the same seed: out of a grammar, and by spoiling good ones."""

import random

from . import corpus

PLAIN = [b"ok", b"ok", b"a", b"1", b"42", b"admin", b"...", b"~", b"a,b", b"a:b", b"x%2Cy", b"%6fk", b"%c3%a4", b"ok;v=1", b"tenant", b"there", b"host", b"a.b", b"OK"]
ODD = [
    b".", b"..", b"", b"%2e", b"%2E%2e", b".%2e", b"%2f", b"%5c", b"%00", b"%25", b"%", b"%4", b";x", b"..;", b".;", b"..%3b", b"a b", b"\\", b"#", b"\xc3\xa4", b"|", b"\"", b"\x01", b"\t",
]  # fmt: skip
NAMES = [b"X", b"X-Tenant", b"x-tenant", b"X_Tenant", b"X-There", b"Accept", b"Cookie", b"Connection", b"Expect", b"Upgrade", b"TE", b"Trailer", b"X-Forwarded-For", b"Via", b"Te", b"Content-Type"]
VALUES = [b"blue", b"blue", b"red", b"blue, red", b"", b" ", b"a", b"close", b"keep-alive", b"100-continue", b"websocket", b"chunked", b"\xff", b"a\tb", b"a\0b", b"a\rb", b"a\nb", b"trailers"]
HOSTS = [b"a"] * 12 + [ b"api.example.com", b"API.example.com", b"a:80", b"", b"b", b"a.", b"[::1]", b"a b", b"a,b", b"a/b", b"a@b", b"\xff"]
METHODS = [b"GET"] * 12 + [b"POST"] * 14 + [b"PUT"] * 3 + [b"HEAD", b"OPTIONS", b"DELETE", b"get", b"PATCH", b"FOO", b"CONNECT", b"TRACE", b"G ET", b""]
VERSIONS = [b"HTTP/1.1"] * 40 + [b"HTTP/1.0"] * 2 + [b"HTTP/1.2", b"HTTP/0.9", b"HTTP/2.0", b"http/1.1", b"HTTP/1.1 ", b""]
ENDS = [b"\r\n"] * 150 + [b"\n", b"\r", b"\r\r\n", b"\n\r\n", b"\0\r\n", b" \r\n"]
BLANKS = [b" "] * 80 + [b"  ", b"\t", b"", b"\x0b"]
COLONS = [b": "] * 60 + [b":", b":", b" : ", b":\t", b"", b"::", b":\r\n "]
SIZES = [b"%x"] * 24 + [b"%X", b"0%x", b"%x;a=b", b"%x ", b" %x", b"0x%x", b"+%x", b"-%x"]
LENGTHS = [b"%d"] * 24 + [b"0%d", b" %d ", b"+%d", b"-%d", b"%d, %d", b"%d\t", b"%d;", b"0x%x"]


class Grammar:
    def __init__(self, seed):
        self.r = random.Random(seed)

    def target(self):
        r = self.r
        path = b"".join(b"/" + r.choice(ODD if r.random() < 0.12 else PLAIN) for _ in range(r.randint(1, 4)))
        if r.random() < 0.5:
            path = b"/ok" + path
        if r.random() < 0.25:
            path += b"?" + r.choice((b"", b"x=1", b"/../admin", b"%00", b"%zz", b"a#b", b"\xff", b"?", b"a b"))
        if r.random() < 0.08:
            path = r.choice((b"http://", b"HTTP://", b"https://", b"http:/", b"//")) + r.choice(HOSTS) + path
        return r.choice((b"*", b"", path[1:])) if r.random() < 0.02 else path

    def body(self, chunked):
        """-> (what is sent, length)."""
        r = self.r
        data = r.choice((b"", b"hello", corpus.EVIL, b"x" * 40, b"0\r\n\r\n", b"\r\n"))
        if not chunked:
            return data, len(data)
        out = b""
        for _ in range(r.randint(0, 3)):
            piece = r.choice((b"hello", b"x", corpus.EVIL))
            form = r.choice(SIZES)
            out += form % len(piece) + r.choice(ENDS) + piece + r.choice(ENDS)
        out += b"0" + r.choice(ENDS)
        for _ in range(r.choice((0, 0, 0, 1, 2))):
            out += r.choice(NAMES) + b": " + r.choice(VALUES) + r.choice(ENDS)
        return out + r.choice(ENDS), len(data)

    def request(self):
        r = self.r
        out = r.choice(METHODS) + r.choice(BLANKS) + self.target() + r.choice(BLANKS) + r.choice(VERSIONS) + r.choice(ENDS)
        lines = []
        for _ in range(r.choice((1,) * 20 + (0, 2))):
            lines.append(b"Host" + r.choice(COLONS) + r.choice(HOSTS))
        for _ in range(r.choice((0, 0, 1, 1, 2, 3))):
            lines.append(r.choice(NAMES) + r.choice(COLONS) + r.choice(VALUES))
        kind = r.random()
        sent = b""
        if kind < 0.55:
            chunked = kind < 0.28
            sent, length = self.body(chunked)
            said = r.choice(LENGTHS)
            said = said % ((length, length) if said.count(b"%") == 2 else length)
            if chunked:
                lines.append(b"Transfer-Encoding" + r.choice(COLONS) + r.choice((b"chunked",) * 20 + (b"Chunked", b"gzip, chunked", b"identity", b"chunked;x", b"chunked, chunked")))
            if not chunked or r.random() < 0.1:
                lines.append(b"Content-Length" + r.choice(COLONS) + said)
            if r.random() < 0.06:
                lines.append(b"Content-Length: %d" % r.choice((0, 5, length)))
        r.shuffle(lines)
        return out + b"".join(x + r.choice(ENDS) for x in lines) + r.choice(ENDS) + sent

    def stream(self):
        return b"".join(self.request() for _ in range(self.r.choice((1, 1, 1, 1, 2, 3))))


INSERT = [b"\0", b"\r", b"\n", b"\r\n", b" ", b"\t", b"%", b"/", b"..", b";", b"#", b"?", b":", b",", b"\\", b"\x0b", b"\x7f", b"\x80", b"\xff", b"%2e", b"%2f", b"%00", b"0", b"-", b"+", b"_", b"//", b"/./"]


class Mutation:
    """Good requests with one to three things wrong."""

    def __init__(self, seed):
        self.r = random.Random(seed)
        self.good = [
            data for _, name, data in corpus.by_hand() if data.startswith((b"GET /", b"POST /", b"PUT /", b"GET http")) and len(data) < 600
        ]

    def flip(self, data):
        at = self.r.randrange(len(data))
        return data[:at] + bytes([data[at] ^ 1 << self.r.randrange(8)]) + data[at + 1 :]

    def insert(self, data):
        at = self.r.randrange(len(data) + 1)
        return data[:at] + self.r.choice(INSERT) + data[at:]

    def remove(self, data):
        at = self.r.randrange(len(data))
        return data[:at] + data[at + self.r.choice((1, 1, 2, 5)) :]

    def case(self, data):
        at = self.r.randrange(len(data))
        return data[:at] + data[at : at + 8].swapcase() + data[at + 8 :]

    def lines(self, data):
        r = self.r
        lines = data.split(b"\r\n")
        at = r.randrange(len(lines))
        what = r.randrange(4)
        if what == 0:
            lines.insert(at, lines[r.randrange(len(lines))])
        elif what == 1 and len(lines) > 1:
            del lines[at]
        elif what == 2:
            other = r.randrange(len(lines))
            lines[at], lines[other] = lines[other], lines[at]
        else:
            lines[at] = r.choice((b" ", b"\t", b"")) + lines[at] + r.choice((b" ", b"\t", b""))
        return b"\r\n".join(lines)

    def encode(self, data):
        end = data.find(b" HTTP/")
        at = self.r.randrange(4, end) if end > 4 else 0
        form = self.r.choice((b"%%%02x", b"%%%02X", b"%%25%02x"))
        return data[:at] + form % data[at] + data[at + 1 :]

    def ends(self, data):
        places = [i for i in range(len(data) - 1) if data[i : i + 2] == b"\r\n"]
        if not places:
            return data
        at = self.r.choice(places)
        return data[:at] + self.r.choice((b"\n", b"\r", b"\r\r\n", b"\n\r", b"", b"\r\n\r\n", b" \r\n")) + data[at + 2 :]

    def stream(self):
        r = self.r
        data = r.choice(self.good)
        for _ in range(r.choice((1, 1, 1, 2, 3))):
            data = r.choice((self.flip, self.insert, self.remove, self.case, self.lines, self.encode, self.ends))(data)
            if not data:
                return r.choice(self.good)
        return data


def generated(seed, count):
    """[(family, name, bytes)]: `count` of each kind."""
    out = []
    for family, source in (("grammar", Grammar(seed)), ("mutation", Mutation(seed))):
        out += [(family, f"{family} {seed}.{i}", source.stream()) for i in range(count)]
    return out
