# SPDX-License-Identifier: Apache-2.0
"""docs/guide/http.md: every row of its tables is asked of `policy explain`, and its lists are those of the comparison."""

import json
import os
import re
import subprocess

import pytest
from differential import explained, model
from lab.node import BIN, ROOT

PAGE = os.path.join(ROOT, "docs", "guide", "http.md")
LINES = b"\r\n\r\n"
# section -> the stream around an example
AROUND = {
    "Request line": lambda x: x + b"\r\nHost: a" + LINES,
    "Target": lambda x: b"GET " + x + b" HTTP/1.1\r\nHost: a" + LINES,
    "Host": lambda x: b"GET /ok HTTP/1.1\r\n" + x + LINES,
    "Header lines": lambda x: b"GET /ok HTTP/1.1\r\nHost: a\r\n" + x + LINES,
    "Headers that a rule reads": lambda x: b"GET /tenant HTTP/1.1\r\nHost: a\r\n" + x + LINES,
    "Framing": lambda x: b"POST /ok HTTP/1.1\r\nHost: a\r\n" + x + LINES,
    "Chunks": lambda x: b"POST /ok HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked" + LINES + x,
    "Connection": lambda x: x,
}
ESCAPE = re.compile(r"\\(r|n|t|0|x[0-9a-f]{2})")
BYTE = {"r": "\r", "n": "\n", "t": "\t", "0": "\0"}


def sections():
    with open(PAGE, encoding="utf-8") as f:
        text = f.read()
    for part in text.split("\n## ")[1:]:
        title, _, body = part.partition("\n")
        rows = [re.split(r"(?<!\\) ?\| ?", line)[1:-1] for line in body.splitlines() if line.startswith("| ")]
        yield title, rows[2:]


def rows():
    for title, table in sections():
        for row in table if title in AROUND else ():
            example = re.fullmatch(r" ?`(.*)` ?", row[0])[1]
            data = ESCAPE.sub(lambda m: BYTE.get(m[1]) or chr(int(m[1][1:], 16)), example).encode("latin-1")
            yield title, example, AROUND[title](data), row[1].strip().strip("`")


ROWS = list(rows())


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    d = tmp_path_factory.mktemp("guide")
    (d / "policy.yaml").write_text(model.policy())
    endpoint = {"name": "web", "namespace": "default", "labels": {"role": "server"}, "ips": ["10.0.0.2"]}
    (d / "endpoints.json").write_text(json.dumps({"endpoints": [endpoint]}))
    return d


def test_the_page_has_a_row_for_every_part():
    assert {title for title, *_ in ROWS} == set(AROUND) and len(ROWS) > 100
    assert {verdict for *_, verdict in ROWS} >= {"allowed", "http-rule-denied", "http-bad-target", "http-bad-host", "http-bad-header", "http-bad-framing", "http-bad-chunk"}


@pytest.mark.parametrize("title", AROUND)
def test_rows(files, title):
    wrong = []
    for _, example, stream, verdict in (r for r in ROWS if r[0] == title):
        cmd = [os.path.join(BIN, "bpfast"), "-o", "json", "policy", "explain", "-f", files / "policy.yaml", "--endpoint-file", files / "endpoints.json"]
        r = subprocess.run([*cmd, "--from", "10.0.0.9", "--to", "web", "--port", "80", "--raw", "-"], input=stream, capture_output=True, check=True, timeout=20)
        got = json.loads(r.stdout)
        said = "allowed" if got["reason"] == "none" and got["verdict"] == "FORWARDED" else got["reason"]
        if said != verdict:
            wrong.append(f"{example}: the page says {verdict}, explain says {said}")
    assert not wrong, "\n".join(wrong)


def test_the_lists_are_those_of_the_comparison():
    listed = {title: [row[0].strip() for row in table] for title, table in sections()}
    assert sorted(set(listed["What five servers agree on, and we deny"])) == sorted({why for *_, why in explained.DENIED})
    assert sorted(set(listed["What a server refuses, and we forward"])) == sorted({why for _, why in explained.REFUSED})


@pytest.mark.parametrize(
    "args, data, code, said",
    [
        (["--raw", "-", "--http", "GET /"], b"x", 2, "only one of them"),
        (["--raw", "-"], b"", 1, "from 1 to 65536 bytes"),
        (["--raw", "-"], b"x" * 65537, 1, "from 1 to 65536 bytes"),
        (["--raw", "/nowhere"], b"", 1, "/nowhere: No such file"),
    ],
)
def test_raw_says_what_it_cannot_take(files, args, data, code, said):
    cmd = [os.path.join(BIN, "bpfast"), "policy", "explain", "-f", files / "policy.yaml", "--endpoint-file", files / "endpoints.json"]
    r = subprocess.run([*cmd, "--from", "10.0.0.9", "--to", "web", "--port", "80", *args], input=data, capture_output=True, check=False, timeout=20)
    assert (r.returncode, said in r.stderr.decode()) == (code, True), r.stderr


def test_raw_counts_the_requests_that_pass(files):
    ok, evil = (b"GET /%s HTTP/1.1\r\nHost: a\r\n\r\n" % t for t in (b"ok", b"admin"))
    for stream, passed, reason in ((ok * 3, 3, "none"), (ok * 2 + evil + ok, 2, "http-rule-denied"), (ok + b"\0", 1, "http-not-http"), (ok + ok[:-2], 1, "none"), (ok * 100, 100, "none")):
        cmd = [os.path.join(BIN, "bpfast"), "-o", "json", "policy", "explain", "-f", files / "policy.yaml", "--endpoint-file", files / "endpoints.json"]
        r = subprocess.run([*cmd, "--from", "10.0.0.9", "--to", "web", "--port", "80", "--raw", "-"], input=stream, capture_output=True, check=True, timeout=20)
        side = json.loads(r.stdout)["ingress"]
        assert (side["requests"], side["reason"]) == (passed, reason), stream[:80]
