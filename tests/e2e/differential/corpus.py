# SPDX-License-Identifier: Apache-2.0
"""Requests written by hand: every way to be read differently that we know of, and tests/bpf/requests.h."""

import os
import re

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
HOST = b"Host: a\r\n"
END = b"\r\n"
# What an attacker wants executed: no rule allows it.
EVIL = b"GET /admin HTTP/1.1\r\nHost: a\r\n\r\n"


def line(target=b"/ok", method=b"GET", version=b"HTTP/1.1"):
    return method + b" " + target + b" " + version + b"\r\n"


def get(target=b"/ok", *headers, method=b"GET", version=b"HTTP/1.1", host=HOST):
    return line(target, method, version) + host + b"".join(h + b"\r\n" for h in headers) + END


def post(*headers, body=b"", version=b"HTTP/1.1", method=b"POST"):
    return get(b"/ok", *headers, method=method, version=version) + body


CHUNKED = b"Transfer-Encoding: chunked"
LAST = b"0\r\n\r\n"


def request_line():
    for first in (b"\r\n", b"\n", b"\r\n\r\n", b"\r", b" ", b"\t", b"\0", b"\xef\xbb\xbf", b"\x0b"):
        yield f"in front: {first!r}", first + get()
        yield f"between two requests: {first!r}", get() + first + get(b"/ok/2")
        yield f"behind a body: {first!r}", post(b"Content-Length: 2", body=b"hi" + first + get(b"/ok/2"))
    for blank in (b"  ", b"\t", b" \t", b"\x0b", b"\x0c", b"\r", b"\xa0", b"\0", b"   "):
        yield f"{blank!r} behind the method", b"GET" + blank + b"/ok HTTP/1.1\r\n" + HOST + END
        yield f"{blank!r} before the version", b"GET /ok" + blank + b"HTTP/1.1\r\n" + HOST + END
        yield f"{blank!r} behind the version", b"GET /ok HTTP/1.1" + blank + b"\r\n" + HOST + END
        yield f"{blank!r} and another target", b"GET /ok" + blank + b"/admin HTTP/1.1\r\n" + HOST + END
    for version in (
        b"HTTP/1.0", b"HTTP/0.9", b"HTTP/1.2", b"HTTP/1.9", b"HTTP/1.10", b"HTTP/1.01", b"HTTP/01.1", b"HTTP/2.0", b"HTTP/2", b"HTTP/3.0", b"HTTP/1", b"HTTP/1.",
        b"HTTP/.1", b"HTTP/11", b"http/1.1", b"HtTp/1.1", b"HTTPS/1.1", b"HTTP/1,1", b"HTTP/-1.1", b"HTTP/+1.1", b"HTTP/1.1x", b"HTTP /1.1", b"HTTP/ 1.1", b"ICY/1.1",
        b"RTSP/1.0", b"HTTP/9.9", b"HTTP/1.1.1", b"HTTP/1.1\0", b"HTTP/0.1",
    ):  # fmt: skip
        yield f"version {version!r}", get(version=version)
    for end in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\0\r\n", b"\x85"):
        yield f"line ends with {end!r}", b"GET /ok HTTP/1.1" + end + HOST + END
        yield f"all lines end with {end!r}", b"GET /ok HTTP/1.1" + end + b"Host: a" + end + end
    yield "HTTP/0.9", b"GET /admin\r\n"
    yield "HTTP/0.9 with LF", b"GET /admin\n"
    yield "HTTP/0.9 with headers", b"GET /admin\r\nHost: a\r\n\r\n"
    yield "HTTP/0.9, then a request", b"GET /ok\r\n\r\n" + EVIL
    yield "only a method", b"GET\r\n\r\n"
    yield "only a method and a blank", b"GET \r\n\r\n"
    for method in (
        b"get", b"Get", b"gET", b"GETX", b"XGET", b"G", b"OPTIONS", b"TRACE", b"PATCH", b"DELETE", b"FOO", b"M-SEARCH", b"PRI", b"PROPFIND", b"PURGE", b"QUERY",
        b"G\0T", b"G\xc3T", b"G(T)", b"GET,POST", b"GET:", b"GET/", b"A" * 33, b"A" * 300, b"!#$%&'*+-.^_`|~", b"GET\x7f", b'"GET"', b"GET%20", b"GE%54",
    ):  # fmt: skip
        yield f"method {method[:40]!r}", get(method=method)
        yield f"method {method[:40]!r} elsewhere", get(b"/admin", method=method)
    yield "HEAD with a body", post(b"Content-Length: 2", body=b"hi", method=b"HEAD")
    yield "GET with a body", post(b"Content-Length: %d" % len(EVIL), body=EVIL, method=b"GET")
    yield "GET with chunks", post(CHUNKED, body=b"%x\r\n" % len(EVIL) + EVIL + b"\r\n" + LAST, method=b"GET")
    yield "HEAD with a hidden request", post(b"Content-Length: %d" % len(EVIL), body=EVIL, method=b"HEAD")
    yield "DELETE with a hidden request", post(b"Content-Length: %d" % len(EVIL), body=EVIL, method=b"DELETE")
    yield "TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40
    yield "HTTP/2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    yield "HTTP/2 upgrade", get(b"/ok", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQAAP__")
    yield "WebSocket frame", b"\x81\x85\1\2\3\4hello"
    yield "WebSocket that is refused, then a request", get(b"/ws", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13") + EVIL
    yield "PROXY protocol", b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + get()
    yield "CONNECT", get(b"a:443", method=b"CONNECT", host=b"Host: a:443\r\n")
    yield "CONNECT, origin form", get(b"/admin", method=b"CONNECT")
    yield "CONNECT, then a request", get(b"db:5432", method=b"CONNECT", host=b"Host: db:5432\r\n") + EVIL


def target():
    for t in (
        b"/ok/../admin", b"/ok/%2e%2e/admin", b"/ok/.%2e/admin", b"/ok/%2E./admin", b"/ok/..%2fadmin", b"/ok%2f..%2fadmin", b"/ok/..%5cadmin", b"/ok/..\\admin",
        b"/ok\\..\\admin", b"/ok/%252e%252e/admin", b"/ok/%252e%252e%252fadmin", b"/ok/..;/admin", b"/ok/..;x=1/admin", b"/ok/.;/../admin", b"/ok/;/../admin",
        b"/ok;/../admin", b"/ok/..%3b/admin", b"/ok/%2e%2e;/admin", b"/ok/..%00/admin", b"/ok%00/../admin", b"/ok/%00", b"/ok%0a", b"/ok%0d%0aX:1", b"/ok%09",
        b"/ok%7f", b"/ok#/../admin", b"/ok#", b"/admin#/ok", b"/admin?/ok", b"/admin%3f/ok", b"/admin%23/ok", b"/admin;/ok", b"/ok?x#y", b"/ok?/../admin",
        b"//admin", b"//ok", b"///ok", b"//a/ok", b"//ok/../admin", b"/ok//admin", b"/ok//../admin", b"/ok/.//../admin", b"/ok/./admin", b"/ok/.", b"/ok/..",
        b"/ok/../", b"/..", b"/.", b"/", b"", b"*", b"**", b"/*", b"ok", b"admin", b"?x", b"#x", b";x", b"%2fok", b"%2Fadmin", b"/%2fok", b"/%6fk", b"/%6Fk", b"/o%6b",
        b"/%61dmin", b"/%2561dmin", b"/ok%", b"/ok%2", b"/ok%zz", b"/ok%2g", b"/ok%u002e%u002e/admin", b"/ok/%c0%ae%c0%ae/admin", b"/ok/%c0%af../admin",
        b"/ok/%e0%80%ae%e0%80%ae/admin", b"/ok/%uff0e%uff0e/admin", b"/ok/\xc0\xae\xc0\xae/admin", b"/ok\xff", b"/ok\xc3\xa4", b"/ok%ff", b"/ok%c3%a4", b"/ok%C3%A4",
        b"/ok|x", b"/ok^x", b"/ok`x", b"/ok{x}", b"/ok[x]", b"/ok<x>", b'/ok"x"', b"/ok'x'", b"/ok,x", b"/ok@x", b"/ok!x", b"/ok$x", b"/ok&x", b"/ok(x)", b"/ok*x",
        b"/ok+x", b"/ok=x", b"/ok:x", b"/ok~x", b"/ok_x", b"/ok-x", b"/ok.x", b"/ok\x01x", b"/ok\x1fx", b"/ok\x7fx", b"/ok\tx", b"/ok\x0bx", b"/ok\x0cx",
        b"/ok?\x01", b"/ok?\x7f", b"/ok?\xff", b"/ok?\t", b'/ok?"', b"/ok?<>", b"/ok?\\", b"/ok?`", b"/ok?{}|^[]", b"/ok?%", b"/ok?%zz", b"/ok?%00", b"/ok?%0d%0a",
        b"/OK", b"/Admin", b"/ADMIN", b"/ok/%20admin", b"/ok%20/admin", b"/ok+admin", b"/admin/", b"/admin/.", b"/./admin", b"/.//admin", b"/%2e/admin", b"/admin%20",
        b"/ok...", b"/ok/...", b"/ok/.../admin", b"/ok/..x", b"/ok/x..", b"/ok/.x", b"/ok/x.", b"/ok/..%2e", b"/x%2cy", b"/x%2Cy", b"/x,y", b"/x%252Cy", b"/x%2C%79",
        b"/a/1", b"/b/22", b"/a//1", b"/a/%31", b"/a/1;x", b"/a/1/", b"/a/./1", b"/ok/%2e", b"/ok/%2e/x", b"/ok/%2e%2e", b"/tenant", b"/there", b"/host", b"/ws",
        b"/ok/" + b"x" * 2000, b"/ok/" + b"x" * 9000, b"/ok?" + b"x" * 2040, b"/" + b"../" * 5 + b"admin", b"/" + b"%2e%2e%2f" * 5 + b"admin", b"/ok/" + b"%41" * 700,
        b"/ok/a/b/../../../admin", b"/ok/a/%2e%2e/%2e%2e/admin", b"/ok/%5c..%5c", b"/ok/%5C", b"/ok/%2F", b"/ok/%2f", b"/ok%252fadmin", b"/ok/~root", b"/~ok", b"/ok/.git",
        b"/ok/%E2%80%AE", b"/ok/%ef%bc%8f", b"/ok/%c2%a5..%c2%a5admin", b"/ok%25", b"/ok%2525", b"/ok%2500", b"/ok%26", b"/ok%3F", b"/ok%3f/../admin", b"/ok%23", b"/ok%3B",
    ):  # fmt: skip
        for method in (b"GET", b"POST"):
            yield f"target {t[:60]!r} {method.decode()}", get(t, *([b"Content-Length: 0"] if method == b"POST" else []), method=method)
    for t in (b"/ok/../admin", b"/ok/%2e%2e/admin", b"//ok", b"/ok%00", b"/ok#x", b"/ok/./x", b"/ok;x", b"/ok\xff", b"*", b"http://a/ok"):
        yield f"target {t!r}, HTTP/1.0", get(t, version=b"HTTP/1.0")
        yield f"target {t!r}, second of two", get() + get(t)


def absolute():
    for t in (
        b"http://a/ok", b"HTTP://a/ok", b"http://A/ok", b"http://b/ok", b"http://a:80/ok", b"http://a:/ok", b"http://a:8080/ok", b"http://a:0/ok", b"http://a:99999/ok",
        b"http://a:x/ok", b"http://a.:80/ok", b"http://a./ok", b"http://.a/ok", b"http://u@a/ok", b"http://u:p@a/ok", b"http://a@b/ok", b"http://b@a/ok", b"http:///ok",
        b"http://:80/ok", b"http://", b"http:", b"http:/ok", b"http:ok", b"https://a/ok", b"ftp://a/ok", b"file:///ok", b"ws://a/ok", b"http://a", b"http://a?x",
        b"http://a#x", b"http://a/", b"http://a/admin", b"http://a/../admin", b"http://a/ok/../admin", b"http://a//ok", b"http://a/%6fk", b"http://a\\ok",
        b"http://a/ok?http://b/", b"http://[::1]/ok", b"http://[::1]:80/ok", b"http://[::1/ok", b"http://a%2fb/ok", b"http://a%00/ok", b"http://%61/ok", b"http://a\xff/ok",
        b"http://a,b/ok", b"http://a;b/ok", b"http://a b/ok", b"http://a_b/ok", b"http://1.2.3.4/ok", b"http://0x7f.1/ok", b"http://api.example.com/host",
        b"http://API.example.COM/host", b"http://api.example.com./host", b"http://api.example.com:80/host", b"http://evil/host", b"http//a/ok", b"//a/ok", b"/http://b/admin",
        b"a/ok", b"a:80/ok", b"a:80", b"http://a/ok#f", b"http://a/ok\\..\\admin", b"xhttp://a/ok", b"http://a/ok http://b/admin", b"hTTp://a/ok", b"http:\\\\a\\ok",
    ):  # fmt: skip
        auth = re.match(rb"(?i)https?://([^/?#]*)", t)
        same = auth[1] if auth else b"a"
        yield f"absolute {t!r}, Host a", get(t)
        yield f"absolute {t!r}, same Host", get(t, host=b"Host: " + same + b"\r\n")
        yield f"absolute {t!r}, api Host", get(t, host=b"Host: api.example.com\r\n")
        yield f"absolute {t!r}, no Host", get(t, host=b"")
        yield f"absolute {t!r}, HTTP/1.0, no Host", get(t, host=b"", version=b"HTTP/1.0")


def hosts():
    for value in (
        b"", b" ", b"a", b"A", b"a:80", b"a:", b":80", b"a:0", b"a:99999", b"a:-1", b"a:+80", b"a:x", b"a:80:80", b"a.", b"a..", b".a", b"a..b", b"a b", b"a\tb", b"a,b", b"a, b",
        b"a;b", b"a/b", b"a/../b", b"/", b"a?b", b"a#b", b"a@b", b"u@a", b"u:p@a", b"a\\b", b"a%2eb", b"a%00b", b"a%", b"[::1]", b"[::1]:80", b"[::1", b"::1", b"[a]", b"[]", b"a]",
        b"[::1]x", b"[fe80::1%25eth0]", b"a_b", b"-a", b"a-", b"a!b", b"a$b", b"a&b", b"a'b", b"a(b)", b"a*b", b"a+b", b"a=b", b"a~b", b'a"b', b"a<b>", b"a{b}", b"a|b", b"a^b",
        b"a`b", b"\xc3\xa4", b"a\xff", b"a\0b", b"a\x01", b"a\x7f", b"1.2.3.4", b"1.2.3.4.5", b"0x7f.1", b"http://a", b"a" * 64, b"a" * 255, b"a" * 300, b"a." * 140, b"*", b".",
        b"api.example.com", b"API.EXAMPLE.COM", b"api.example.com.", b"api.example.com:80", b"api.example.com:8080", b"api.example.com,evil", b"evil", b"evil, api.example.com",
        b"api.example.com/../", b"xapi.example.com", b"api.example.comx", b"api-example-com", b"api.example.com\x0b", b"api.example.com\xa0", b"api.example.com\0",
    ):  # fmt: skip
        for path in (b"/ok", b"/host"):
            yield f"Host {value[:40]!r} {path.decode()}", get(path, host=b"Host: " + value + b"\r\n")
    H = b"Host: api.example.com\r\n"
    for name, lines in {
        "none": b"", "twice alike": H + H, "twice": H + b"Host: evil\r\n", "twice, evil first": b"Host: evil\r\n" + H, "one empty": H + b"Host:\r\n",
        "empty first": b"Host:\r\n" + H, "case of the name": b"hOST: api.example.com\r\n", "no blank": b"Host:api.example.com\r\n", "tab": b"Host:\tapi.example.com\r\n",
        "blanks behind": b"Host: api.example.com \t \r\n", "blank before the colon": b"Host : api.example.com\r\n", "blank before, and right": b"Host : evil\r\n" + H,
        "folded": b"Host: api.\r\n example.com\r\n", "folded at once": b"Host:\r\n api.example.com\r\n", "continued by evil": H + b" evil\r\n", "indented": b" Host: evil\r\n" + H,
        "Host in small letters twice": b"host: evil\r\n" + H, "with an underscore": b"Host_: evil\r\n" + H, "X-Forwarded-Host": b"X-Forwarded-Host: evil\r\n" + H,
        "X-Host": b"X-Host: evil\r\n" + H, "Forwarded": b"Forwarded: host=evil\r\n" + H, "X-Original-URL": b"X-Original-URL: /admin\r\n" + H,
        "X-Rewrite-URL": b"X-Rewrite-URL: /admin\r\n" + H, "method override": b"X-HTTP-Method-Override: DELETE\r\n" + H, ":authority": b":authority: evil\r\n" + H,
        "comma and blank": b"Host: api.example.com , evil\r\n", "NUL in front": b"Host: \0api.example.com\r\n", "LF inside": b"Host: api.example.com\nHost: evil\r\n",
        "CR inside": b"Host: api.example.com\rHost: evil\r\n", "name cut by NUL": b"Host\0: evil\r\n" + H, "a colon more": b"Host:: api.example.com\r\n", "Host last, far": b"X: " + b"a" * 3000 + b"\r\n" + H,
    }.items():  # fmt: skip
        yield f"Host {name}", get(b"/host", host=lines)
        yield f"Host {name}, /ok", get(b"/ok", host=lines)
        yield f"Host {name}, HTTP/1.0", get(b"/host", host=lines, version=b"HTTP/1.0")


def headers():
    T = b"X-Tenant: blue\r\n"
    for name, lines in {
        "blue": T, "no blank": b"X-Tenant:blue\r\n", "blanks": b"X-Tenant: \t blue \t\r\n", "twice": T + T, "blue, red": b"X-Tenant: blue, red\r\n", "red, blue": b"X-Tenant: red, blue\r\n",
        "blue,red": b"X-Tenant: blue,red\r\n", "blue, blue": b"X-Tenant: blue, blue\r\n", "blue,": b"X-Tenant: blue,\r\n", ",blue": b"X-Tenant: ,blue\r\n", "blue then red": T + b"X-Tenant: red\r\n",
        "red then blue": b"X-Tenant: red\r\n" + T, "blue then empty": T + b"X-Tenant:\r\n", "empty then blue": b"X-Tenant:\r\n" + T, "empty": b"X-Tenant:\r\n",
        "blue red blue": T + b"X-Tenant: red\r\n" + T, "blue then blue, red": T + b"X-Tenant: blue, red\r\n", "Blue": b"X-Tenant: Blue\r\n", "small name": b"x-tenant: blue\r\n",
        "capital name": b"X-TENANT: blue\r\n", "underscore": b"X_Tenant: blue\r\n", "underscore too": T + b"X_Tenant: red\r\n", "underscore first": b"X_Tenant: red\r\n" + T,
        "dot": b"X.Tenant: blue\r\n", "quoted": b'X-Tenant: "blue"\r\n', "blue;x": b"X-Tenant: blue;x\r\n", "blue NUL": b"X-Tenant: blue\0\r\n", "blue VT": b"X-Tenant: blue\x0b\r\n",
        "NBSP": b"X-Tenant: blue\xa0\r\n", "folded": b"X-Tenant: blue\r\n red\r\n", "folded name": b"X-Tenant:\r\n blue\r\n", "blank before colon": b"X-Tenant : blue\r\n",
        "red, blank before colon": T + b"X-Tenant : red\r\n", "percent": b"X-Tenant: %62lue\r\n", "long": b"X-Tenant: blue" + b" " * 3000 + b"\r\n", "LF": b"X-Tenant: blue\nX-Tenant: red\r\n",
        "CR": b"X-Tenant: blue\rX-Tenant: red\r\n", "far apart": T + b"X: " + b"a" * 3000 + b"\r\nX-Tenant: red\r\n", "in Connection": T + b"Connection: X-Tenant\r\n",
        "in Connection with keep-alive": T + b"Connection: keep-alive, X-Tenant\r\n", "absent": b"", "control": b"X-Tenant: blue\x01\r\n", "DEL": b"X-Tenant: blue\x7f\r\n",
    }.items():  # fmt: skip
        yield f"tenant {name}", get(b"/tenant", host=HOST + lines)
        yield f"tenant {name}, Host last", get(b"/tenant", host=lines + HOST)
    for name, lines in {
        "empty": b"X-There:\r\n", "twice unlike": b"X-There: a\r\nX-There: b\r\n", "underscore": b"X_There: a\r\n", "blank before colon": b"X-There : a\r\n", "no colon": b"X-There\r\n",
    }.items():  # fmt: skip
        yield f"there {name}", get(b"/there", host=HOST + lines)
    for name, lines in {
        "no colon": b"X\r\n", "no name": b": a\r\n", "blank in the name": b"X Y: a\r\n", "tab before the colon": b"X\t: a\r\n", "blank before the colon": b"X : a\r\n", "folded": b"X: a\r\n b\r\n",
        "folded with tab": b"X: a\r\n\tb\r\n", "folded Content-Length": b"X: a\r\n Content-Length: 40\r\n", "blank line with a blank": b" \r\n", "bare LF": b"X: a\nY: b\r\n", "bare CR": b"X: a\rY: b\r\n",
        "CR CR LF": b"X: a\r\r\n", "LF CR": b"X: a\n\rY: b\r\n", "NUL in a value": b"X: a\0b\r\n", "NUL in a name": b"X\0: b\r\n", "control in a value": b"X: a\x0b\r\n", "escape": b"X: \x1b[0m\r\n",
        "DEL in a value": b"X: a\x7f\r\n", "high bytes in a value": b"X: \xc3\xa4\xff\r\n", "high bytes in a name": b"\xc3\xa4: b\r\n", "slash in a name": b"X/Y: a\r\n", "parens in a name": b"X(Y): a\r\n",
        "quote in a name": b'"X": a\r\n', "at in a name": b"X@Y: a\r\n", "bracket": b"X[]: a\r\n", "token marks": b"!#$%&'*+-.^_`|~09Az: b\r\n", "digits": b"1: b\r\n", "underscore": b"X_Y: b\r\n",
        "empty value": b"X:\r\n", "blank value": b"X: \t \r\n", "colon value": b"X: :\r\n", "colons": b"X::a\r\n", "long name": b"X" * 300 + b": a\r\n", "long value": b"X: " + b"a" * 4000 + b"\r\n",
        "many": b"".join(b"X-%d: a\r\n" % i for i in range(70)), "120": b"".join(b"X-%d: a\r\n" % i for i in range(120)), "same twice": b"X: a\r\nX: b\r\n", "8 KiB": b"X: " + b"a" * 8300 + b"\r\n",
        "20 KiB": b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(20)), "40 KiB": b"".join(b"X-%d: %s\r\n" % (i, b"a" * 1000) for i in range(40)),
        "Connection: close": b"Connection: close\r\n", "Connection: keep-alive": b"Connection: keep-alive\r\n", "Connection twice": b"Connection: close\r\nConnection: keep-alive\r\n",
        "Connection names length": b"Connection: Content-Length\r\nContent-Length: 0\r\n", "Connection names Host": b"Connection: Host\r\n", "Expect": b"Expect: 100-continue\r\n",
        "Expect odd": b"Expect: 200-ok\r\n", "Expect twice": b"Expect: 100-continue\r\nExpect: 100-continue\r\n", "Range": b"Range: bytes=0-1\r\n", "Trailer": b"Trailer: X\r\n", "TE": b"TE: trailers\r\n",
        "Upgrade": b"Upgrade: foo\r\n", "Upgrade h2c": b"Connection: Upgrade\r\nUpgrade: h2c\r\n", "Max-Forwards": b"Max-Forwards: 0\r\n", "Cookie": b"Cookie: a=b; c=d\r\n", "Content-Type": b"Content-Type: a/b\r\n",
        "Content-Encoding": b"Content-Encoding: gzip\r\n", "Proxy-Connection": b"Proxy-Connection: keep-alive\r\n", "Keep-Alive": b"Keep-Alive: 300\r\n", "If-Modified-Since": b"If-Modified-Since: Thu, 01 Jan 1970 00:00:00 GMT\r\n",
    }.items():  # fmt: skip
        yield f"line {name}", get(host=HOST + lines)
        yield f"line {name}, before Host", get(host=lines + HOST)
    for end in (b"\n", b"\r\n\n", b"\n\r\n", b"\n\n", b"\r\n\r", b"\r\r\n", b"\r\n \r\n", b"\r\n\0\r\n", b"\r\n\t\r\n"):
        yield f"head ends with {end!r}", b"GET /ok HTTP/1.1\r\nHost: a" + end
        yield f"head ends with {end!r}, then more", b"GET /ok HTTP/1.1\r\nHost: a" + end + EVIL


def framing():
    n = b"%d" % len(EVIL)
    for value in (
        b"0", b"00", b"000000000000000000000000000000000", b"5", b"05", b"+5", b"-5", b"-0", b"+0", b" 5", b"5 ", b"\t5\t", b"5 5", b"5,5", b"5, 5", b"5,", b",5", b"5;x", b"5.0", b"5e0", b"0x5", b"0b1",
        b"0o5", b"5_0", b"5L", b"five", b"", b" ", b'"5"', b"'5'", b"5\0", b"\x005", b"\x0b5", b"5\x0b", b"5\x0c", b"\xa05", b"5\xa0", b"\xd9\xa5", b"5\r6", b"18446744073709551615", b"18446744073709551616",
        b"18446744073709551621", b"9223372036854775807", b"9223372036854775808", b"4294967296", b"4294967301", b"99999999999999999999999999", b"1152921504606846976", b"1152921504606846977", b"-1",
        b"-18446744073709551611", b"0005", b"6", b"4", b"5:", b"5\t5", b"+ 5", b"%35", b"chunked",
    ):  # fmt: skip
        yield f"length {value!r}", post(b"Content-Length: " + value, body=b"hello")
        yield f"length {value!r} with a request", post(b"Content-Length: " + value, body=b"hello" + EVIL)
    for name, lines in {
        "length twice alike": [b"Content-Length: 5", b"Content-Length: 5"], "length twice": [b"Content-Length: 5", b"Content-Length: 0"], "length twice, other order": [b"Content-Length: 0", b"Content-Length: 5"],
        "length thrice": [b"Content-Length: 5", b"Content-Length: 5", b"Content-Length: 5"], "one empty": [b"Content-Length:", b"Content-Length: 5"], "small": [b"content-length: 5"], "capitals": [b"CONTENT-LENGTH: 5"],
        "no blank": [b"Content-Length:5"], "blank before colon": [b"Content-Length : 5"], "tab before colon": [b"Content-Length\t: 5"], "folded": [b"Content-Length:", b" 5"], "underscore": [b"Content_Length: 5"],
        "blank inside": [b"Content Length: 5"], "folded digits": [b"Content-Length: 1", b" 0"], "indented": [b" Content-Length: 5"], "NUL in the name": [b"Content-Length\0: 5"], "name with more": [b"Content-Length-X: 5"],
        "X-Content-Length": [b"X-Content-Length: 5"], "VT in the name": [b"Content-Length\x0b: 5"], "two colons": [b"Content-Length:: 5"], "hidden by LF": [b"X: a\nContent-Length: 5"],
        "hidden by CR": [b"X: a\rContent-Length: 5"], "hidden by NUL": [b"X: a\0\nContent-Length: 5"], "soft hyphen": [b"Content\xadLength: 5"], "in the line": [b"X: a\r\nContent-Length: 5"],
    }.items():  # fmt: skip
        yield f"length line {name}", post(*lines, body=b"hello")
        yield f"length line {name} with a request", post(*lines, body=b"hello" + EVIL)
        yield f"length line {name}, HTTP/1.0", post(*lines, body=b"hello", version=b"HTTP/1.0")
    for value in (
        b"chunked", b"Chunked", b"CHUNKED", b" chunked", b"chunked ", b"\tchunked\t", b"\x0bchunked", b"chunked\x0b", b"\x0cchunked", b"chunked\0", b"\0chunked", b"xchunked", b"chunkedx", b"chunk", b"chunked,",
        b",chunked", b", chunked", b"chunked, chunked", b"chunked,identity", b"identity", b"identity, chunked", b"identity,chunked", b"gzip", b"gzip, chunked", b"chunked, gzip", b"deflate,chunked", b"compress, chunked",
        b"x, chunked", b"chunked;a=b", b"chunked; q=1", b"chunked ;", b'"chunked"', b"'chunked'", b"chunked\xa0", b"\xa0chunked", b"", b" ", b"none", b"cow, chunked", b"chunked cow", b"cow chunked", b"ch\xe3\x80\x80unked", b"chun ked",
        b"chunked\t, identity", b"trailers", b"chunked\r chunked", b"%63hunked", b"c\0hunked", b"CHUNKE\xe2\x84\xaa", b"{chunked}", b"chunked:", b"Chunked, Identity",
    ):  # fmt: skip
        te = b"Transfer-Encoding: " + value
        yield f"encoding {value!r}", post(te, body=b"5\r\nhello\r\n" + LAST)
        yield f"encoding {value!r} and a request", post(te, body=LAST + EVIL)
        yield f"encoding {value!r} and a length", post(te, b"Content-Length: %d" % (len(LAST) + len(EVIL)), body=LAST + EVIL)
        yield f"a short length and encoding {value!r}", post(b"Content-Length: 4", te, body=b"%x\r\n" % len(EVIL) + EVIL + b"\r\n" + LAST)
    for name, lines in {
        "twice": [CHUNKED, CHUNKED], "with identity": [CHUNKED, b"Transfer-Encoding: identity"], "identity first": [b"Transfer-Encoding: identity", CHUNKED], "with cow": [CHUNKED, b"Transfer-Encoding: cow"],
        "cow first": [b"Transfer-Encoding: cow", CHUNKED], "one empty": [b"Transfer-Encoding:", CHUNKED], "small": [b"transfer-encoding: chunked"], "no blank": [b"Transfer-Encoding:chunked"],
        "blank before colon": [b"Transfer-Encoding : chunked"], "tab before colon": [b"Transfer-Encoding\t: chunked"], "folded": [b"Transfer-Encoding:", b" chunked"], "folded with tab": [b"Transfer-Encoding:", b"\tchunked"],
        "folded more": [CHUNKED, b" , identity"], "underscore": [b"Transfer_Encoding: chunked"], "indented": [b" Transfer-Encoding: chunked"], "blank inside": [b"Transfer Encoding: chunked"],
        "NUL in the name": [b"Transfer-Encoding\0: chunked"], "VT in the name": [b"Transfer-Encoding\x0b: chunked"], "X-": [b"X-Transfer-Encoding: chunked"], "hidden by LF": [b"X: a\nTransfer-Encoding: chunked"],
        "hidden by CR": [b"X: a\rTransfer-Encoding: chunked"], "high byte in front": [b"\xffTransfer-Encoding: chunked"], "TE": [b"TE: chunked"], "colons": [b"Transfer-Encoding:: chunked"], "named by Connection": [b"Connection: Transfer-Encoding", CHUNKED],
        "length first": [b"Content-Length: 5", CHUNKED], "length behind": [CHUNKED, b"Content-Length: 5"], "length 0 first": [b"Content-Length: 0", CHUNKED], "two lengths": [b"Content-Length: 5", b"Content-Length: 6", CHUNKED],
        "bad length": [b"Content-Length: x", CHUNKED], "Content-Encoding": [b"Content-Encoding: chunked"], "empty length": [b"Content-Length:", CHUNKED],
    }.items():  # fmt: skip
        yield f"encoding line {name}", post(*lines, body=b"5\r\nhello\r\n" + LAST)
        yield f"encoding line {name} and a request", post(*lines, body=LAST + EVIL)
        yield f"encoding line {name}, HTTP/1.0", post(*lines, body=LAST + EVIL, version=b"HTTP/1.0")
        yield f"encoding line {name}, GET", post(*lines, body=LAST + EVIL, method=b"GET")
    yield "keep-alive of HTTP/1.0", get(b"/ok", b"Connection: keep-alive", version=b"HTTP/1.0") + EVIL
    yield "length in HTTP/1.0", post(b"Content-Length: 5", body=b"hello" + EVIL, version=b"HTTP/1.0")
    yield "no length, a body", post(body=b"hello")
    yield "no length, a request", post(body=EVIL)
    yield "hidden behind a length", post(b"Content-Length: " + n, body=EVIL)
    yield "close, then a request", get(b"/ok", b"Connection: close") + EVIL
    yield "Expect and no body yet", post(b"Content-Length: 5", b"Expect: 100-continue", body=b"hello" + EVIL)
    yield "Expect with chunks", post(CHUNKED, b"Expect: 100-continue", body=b"5\r\nhello\r\n" + LAST + EVIL)
    yield "Expect without a body", post(b"Expect: 100-continue", body=EVIL)


def chunks():
    for size in (
        b"5", b"05", b"0000000005", b"000000000000000000000000000005", b"5 ", b" 5", b"5\t", b"\t5", b"+5", b"-5", b"0x5", b"5h", b"5;", b"5;a", b"5;a=b", b'5;a="b"', b'5;a="\r\n"', b"5;a\x0b", b"5;a\0", b"5 ;a=b", b"5; a=b",
        b"5;a=b;c=d", b"5;a\n0", b"5;\n", b"5,", b"5.0", b"5_", b"5:", b"5 5", b"5\0", b"5\x0b", b"\x0b5", b"5\xa0", b"", b" ", b";a=b", b"g", b"5g", b"z5", b"0", b"00", b"ffffffff", b"fffffffffffffff",
        b"ffffffffffffffff", b"10000000000000005", b"100000005", b"8000000000000005", b"1000000000000005", b"0x", b"x5", b"5x", b"5\r", b"5'", b"%35", b"5" + b";" + b"a" * 300, b"5" + b" " * 300,
    ):  # fmt: skip
        yield f"chunk size {size[:40]!r}", post(CHUNKED, body=size + b"\r\nhello\r\n" + LAST)
        yield f"chunk size {size[:40]!r} and a request", post(CHUNKED, body=size + b"\r\nhello\r\n" + LAST + EVIL)
        yield f"chunk size {size[:40]!r}, second", post(CHUNKED, body=b"1\r\nx\r\n" + size + b"\r\nhello\r\n" + LAST)
    for end in (b"\n", b"\r", b"\r\r\n", b"\n\r", b"\n\n", b"\r\n\r\n", b"XX", b"", b" \r\n", b"\0\r\n", b"\r\0", b"\rX", b"X\n", b"\r\n "):
        yield f"size ends with {end!r}", post(CHUNKED, body=b"5" + end + b"hello\r\n" + LAST)
        yield f"chunk ends with {end!r}", post(CHUNKED, body=b"5\r\nhello" + end + LAST)
        yield f"last size ends with {end!r}", post(CHUNKED, body=b"5\r\nhello\r\n0" + end + b"\r\n")
        yield f"trailer ends with {end!r}", post(CHUNKED, body=b"5\r\nhello\r\n0\r\n" + end)
        yield f"trailer ends with {end!r}, a request", post(CHUNKED, body=b"0\r\n" + end + EVIL)
        yield f"trailer line ends with {end!r}", post(CHUNKED, body=b"0\r\nX: a" + end + b"\r\n" + EVIL)
    for name, lines in {
        "plain": b"X: a\r\n", "two": b"X: a\r\nY: b\r\n", "length": b"Content-Length: 5\r\n", "encoding": b"Transfer-Encoding: chunked\r\n", "Host": b"Host: evil\r\n", "tenant": b"X-Tenant: blue\r\n",
        "no colon": b"X\r\n", "no name": b": a\r\n", "blank before colon": b"X : a\r\n", "folded": b"X: a\r\n b\r\n", "request line": b"GET /admin HTTP/1.1\r\n", "NUL": b"X: \0\r\n", "bare LF": b"X: a\nY: b\r\n",
        "Connection": b"Connection: close\r\n", "indented": b" X: a\r\n", "underscore": b"Content_Length: 5\r\n", "long": b"X: " + b"a" * 9000 + b"\r\n", "many": b"".join(b"X-%d: a\r\n" % i for i in range(120)),
        "Expect": b"Expect: 100-continue\r\n", "Authorization": b"Authorization: x\r\n", "Upgrade": b"Upgrade: websocket\r\n",
    }.items():  # fmt: skip
        yield f"trailer {name}", post(CHUNKED, body=b"5\r\nhello\r\n0\r\n" + lines + b"\r\n")
        yield f"trailer {name} and a request", post(CHUNKED, body=b"0\r\n" + lines + b"\r\n" + EVIL)
    yield "chunks of every size", post(CHUNKED, body=b"".join(b"%x\r\n" % i + b"x" * i + b"\r\n" for i in range(1, 40)) + LAST)
    yield "chunk size in capitals", post(CHUNKED, body=b"A\r\n0123456789\r\nB\r\n0123456789a\r\n" + LAST)
    yield "chunk that is a request", post(CHUNKED, body=b"%X\r\n" % len(EVIL) + EVIL + b"\r\n" + LAST)
    yield "a chunk missing", post(CHUNKED, body=b"5\r\nhel")
    yield "no last chunk", post(CHUNKED, body=b"5\r\nhello\r\n")


def pipelines():
    ok, evil = get(), EVIL
    yield "evil behind one", ok + evil
    yield "evil behind five", ok * 5 + evil
    yield "evil between", ok + evil + ok
    yield "twenty", ok * 20
    yield "seventy", ok * 70
    yield "HEAD and GET", get(method=b"HEAD") * 3 + ok
    yield "bodies", post(b"Content-Length: 5", body=b"hello") * 3
    yield "chunks", post(CHUNKED, body=b"5\r\nhello\r\n" + LAST) * 3
    yield "half a request", b"GET /ok HTT"
    yield "half a head", b"GET /ok HTTP/1.1\r\nHost: a\r\n"
    yield "half an evil head", b"GET /admin HTTP/1.1\r\nHost: a\r\n"


_LITERAL = re.compile(r'"((?:[^"\\]|\\.)*)"|\b([LHPC])\b')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|[0-7]{1,3}|.)")
_PLAIN = {"n": "\n", "r": "\r", "t": "\t"}


def _c_string(text):
    def one(m):
        e = m[1]
        if e[0] == "x":
            return chr(int(e[1:], 16))
        return chr(int(e, 8)) if e.isdigit() else _PLAIN.get(e, e)

    return _ESCAPE.sub(one, text)


def table():
    """tests/bpf/requests.h, read as C would."""
    with open(os.path.join(ROOT, "tests", "bpf", "requests.h"), encoding="utf-8") as f:
        text = f.read().replace("\\\n", "\n")
    macros = {}

    def value(source):
        return "".join(_c_string(m[1]) if m[2] is None else macros[m[2]] for m in _LITERAL.finditer(source))

    for name in "LHPC":
        macros[name] = value(re.search(rf"^#define {name} (.*?)(?:/\*.*)?$", text, re.M)[1])
    body = re.sub(r"^\s*/\*.*?\*/\s*$", "", text[text.index("#define REQUESTS(X)") :], flags=re.M)
    for m in re.finditer(r'X\(\s*("(?:[^"\\]|\\.)*")\s*,((?:\s*"(?:[^"\\]|\\.)*"|\s*[LHPC]\b)+)\s*,\s*([A-Z0-9_]+)\s*\)', body):
        yield _c_string(m[1][1:-1]), value(m[2]).encode("latin-1")


FAMILIES = {
    "request line": request_line,
    "target": target,
    "absolute form": absolute,
    "host": hosts,
    "header": headers,
    "framing": framing,
    "chunk": chunks,
    "pipeline": pipelines,
    "table": table,
}


def by_hand():
    """[(family, name, bytes)]."""
    return [(family, name, data) for family, make in FAMILIES.items() for name, data in make()]
