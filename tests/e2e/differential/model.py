# SPDX-License-Identifier: Apache-2.0
"""The policy of this test, once as BPFast reads it and once more in Python, about what a server says it executed."""

import re
from urllib.parse import unquote_to_bytes

from lab.policy import http, payload

SENTINEL = b"GET /sentinel HTTP/1.1\r\nHost: sentinel\r\nConnection: close\r\n\r\n"

RULES = [
    {"method": "GET|POST|HEAD", "path": "/ok.*"},
    {"method": "GET", "path": "/x%2Cy"},
    {"method": "GET", "path": "/tenant", "headers": ["X-Tenant: blue"]},
    {"method": "GET", "path": "/there", "headers": ["X-There"]},
    {"method": "GET", "path": "/host", "host": "api[.]example[.]com"},
    {"method": "PUT", "path": "/(a|b)/[0-9]+"},
    {"method": "GET", "path": "/ws", "upgrade": ["websocket"]},
    {"method": "GET", "path": "/sentinel"},
]


def policy(port=80):
    return payload("web", {"role": "server"}, ingress=[http(None, port, *RULES)])


def _ok(method, path, host, tenant):
    """Method, decoded path and host as a server understood them; tenant: all values of X-Tenant."""
    if method in ("GET", "POST", "HEAD") and path.startswith("/ok"):
        return True
    if method == "PUT" and re.fullmatch("/[ab]/[0-9]+", path):
        return True
    if method != "GET":
        return False
    if path == "/tenant":
        return tenant is not None and all(v.strip(" \t") == "blue" for v in tenant.split(","))
    if path == "/host":
        return host is not None and host.lower() == "api.example.com"
    return path in ("/x,y", "/there", "/ws", "/sentinel")


def resolve(path):
    """Dot segments taken out, slashes merged (RFC 3986, section 5.2.4)."""
    out = []
    for part in path.split("/")[1:]:
        if part == "..":
            del out[-1:]
        else:
            out.append(part)
    end = "/" if path.endswith(("/", "/.", "/..")) else ""
    return ("/" + "/".join(p for p in out if p not in ("", ".")) + end).replace("//", "/")


def decode(path):
    return unquote_to_bytes(path.encode("latin-1")).decode("latin-1")


def path_of(raw):
    """The path of a target in any form."""
    raw = re.sub(r"^[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*", "", raw)
    return re.split(r"[?#]", raw)[0] or "/"


def readings(entry):
    """Every path that the server, or a program behind it, may take the request for."""
    raw = path_of(entry.raw)
    got = {resolve(decode(raw))}
    if entry.path is not None:
        got |= {entry.path if entry.path == "*" else resolve(decode(entry.path)), entry.path if "%" not in entry.path else decode(entry.path)}
    # Programs that decode twice, that take a backslash for a slash, that cut parameters off.
    got.add(resolve(decode(decode(raw))))
    got.add(resolve(decode(raw).replace("\\", "/")))
    got.add(resolve("/".join(part.split(";")[0] for part in decode(raw).split("/"))))
    return got


def forbidden(entry):
    """The readings of an executed request that no rule allows."""
    return [p for p in readings(entry) if not _ok(entry.method, p, entry.host, entry.tenant)]


def meaning(entry):
    """What two servers have to agree on: method, path, host."""
    path = entry.path if entry.path is not None else path_of(entry.raw)
    path = path if path == "*" or entry.raw == "*" else resolve(decode(path))
    host = entry.host or ""
    if host.count(":") == 1 or "]" in host:
        host = re.sub(r":\d*$", "", host)
    host = host.lower().strip("[]").rstrip(".")
    return entry.method, "*" if entry.raw == "*" else path, "" if host == "none" else host


def same_request(entry, method, url):
    """Whether a server's request may be the one of a record, whose URL may be cut."""
    if method != entry.method:
        return False
    if len(method) + len(url) >= 50:
        return True
    raw = entry.raw if entry.raw == "*" or "://" in entry.raw else path_of(entry.raw)
    return resolve(decode(path_of(raw))) == resolve(decode(path_of(url))) if "*" not in (raw, url) else raw == url


def in_words(stream):
    """("METHOD TARGET", headers) where `policy explain --http` can say the first request so, else None."""
    m = re.match(rb"([!-~]+ [!-~]+) HTTP/1\.1\r\n((?:[!-~]+:[ -~]*\r\n)+)\r\n", stream)
    headers = m[2].decode("ascii").split("\r\n")[:-1] if m else []
    if not any(h.lower().startswith("host:") for h in headers) or any(h.startswith(":") for h in headers):
        return None
    return m[1].decode("ascii"), headers
