# SPDX-License-Identifier: Apache-2.0
"""What the comparison finds and is as it should be. Each line's text stands in docs/guide/http.md too."""

import re

# Denied, though all five execute the same: (reason, what the stream looks like, why).
DENIED = [
    ("http-bad-target", rb'^\S+ [^ ?\r\n]*["<>\\^`{|}[\]]', "characters that no path may hold"),
    ("http-bad-target", rb'^\S+ [^ \r\n]*\?[^ \r\n]*["<>\\`]', "characters that no query may hold"),
    ("http-bad-target", rb"^\S+ [^ ?\r\n]*%5[cC]", "encoded backslash"),
    ("http-bad-target", rb"^\S+ [^ ?\r\n]*%25", "encoded percent"),
    ("http-bad-target", rb"^\S+ [^ ?\r\n]*/(\.|%2[eE]){1,2}(;|%3[bB])", "dot segment with a parameter"),
    ("http-bad-target", rb"^\S+ [^ ?\r\n]*/(\.|%2[eE]){2}([/? ]|$)", "dot-dot segment"),
    ("http-bad-target", rb"(?i)^\S+ [^ ?\r\n]*%(c[01]|f[5-9a-f]|e0%[89]|f0%8)", "character written longer than it is"),
    ("http-bad-target", rb"(?i)^\S+ https:", "another scheme than http"),
    ("http-bad-target", rb"(?i)^\S+ http://[^/ ]*:[/ ]", "empty port"),
    ("http-bad-target", rb"(?i)^\S+ (http://[^/ ]*)?/((\.|%2e)/)*/", "slashes first"),
    ("http-bad-host", rb"(?i)^host:[^\r\n]*:0*\r\n", "empty port"),
    ("http-bad-chunk", rb"(?i)^[0-9a-f]+[ \t]*;", "chunk extension"),
    ("http-bad-chunk", rb"(?i)^(host|x-tenant|x-there|upgrade|expect|connection|content-length|transfer-encoding):", "trailer that routes, frames or decides"),
    ("http-bad-header", rb"(?i)^(x_tenant|x_there|content_length|transfer_encoding):", "underscore for a dash"),
    ("http-not-http", rb"^\r?\n", "line end between requests"),
]

# Forwarded, and refused by some server alone; the others agree: (what the stream looks like, why).
REFUSED = [
    (rb"(?s).{4096}", "longer than a server's buffer"),
    (rb"(?:.+\r\n){90}", "more lines than a server takes"),
    (rb"(?m)^.{256,}:", "longer than a server's buffer"),
    (rb"(?i)^(host: *|\S+ http://)[^\r\n/]*_", "underscore in a host"),
    (rb"(?i)^host: *(0x[0-9a-f]+|[0-9]+)(\.[0-9a-fx]+)*(:[0-9]+)?\.? *\r\n", "numbers for a host"),
    (rb"(?i)^host: *\[[^\r:]*\]|^host: *\[", "address in brackets that is none"),
    (rb"^\S+ [^ \r\n]*\?[^ \r\n]*%([01][0-9a-fA-F]|7[fF])", "encoded control in a query"),
    (rb"(?i)^expect:", "Expect"),
    (rb"(?i)^range:", "Range"),
    (rb"(?i)^upgrade:", "Upgrade that the server refuses"),
    (rb"(?i)^connection:", "Connection: close, and what follows"),
    (rb"(?i)^post (?!(.+\r\n)*(content-length|transfer-encoding):)", "POST without a length"),
    (rb"(?i)HTTP/1\.0\r\n", "Connection: close, and what follows"),
    (rb"(?i)^(content-length: *[0-9]{6}|[0-9a-f]{5,}\r\n)", "longer than a server's buffer"),
]


def _matches(pattern, stream):
    """`^` is the beginning of a line of a head, and of a request behind another."""
    return re.search(pattern, stream, re.M)


def denied(reason, stream):
    return next((why for r, pattern, why in DENIED if r == reason and _matches(pattern, stream)), None)


def refused(stream):
    return next((why for pattern, why in REFUSED if _matches(pattern, stream)), None)
