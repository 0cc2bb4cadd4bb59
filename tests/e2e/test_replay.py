# SPDX-License-Identifier: Apache-2.0
"""bpfast replay: the golden cases, all kinds of captures, and what a user gets wrong."""

import glob
import importlib.util
import json
import os
import re
import shlex
import struct
import subprocess

import pytest
from lab.node import BIN, ROOT
from lab.wait import SLOW

GOLDEN = os.path.join(ROOT, "tests", "golden", "replay")
CASES = sorted(os.path.dirname(p).rsplit("/", 1)[1] for p in glob.glob(f"{GOLDEN}/*/args"))
WEB = ["--endpoint", "shop/web=10.0.0.2,fd00::2,app=web"]
CART = ["--endpoint", "shop/cart=10.0.0.3,fd00::3,app=cart"]
POLICY = ["--policy", f"{GOLDEN}/denied/policy.yaml"]


def load(name):
    spec = importlib.util.spec_from_file_location(f"golden_{name}", os.path.join(GOLDEN, f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make = load("make")
frames = load("frames")


def replay(*args, cwd=None, input=None, wrap=()):
    command = [*wrap, f"{BIN}/bpfast", "replay", *[str(a) for a in args]]
    env = dict(os.environ, TZ="UTC")
    return subprocess.run(command, cwd=cwd, input=input, capture_output=True, timeout=30 * SLOW, env=env, check=False)


NOBODY = "bpfast: PayloadPolicy/shop/web selects none of the endpoints: compare labels and namespaces\n"


def done(*args, says="", **kw):
    r = replay(*args, **kw)
    assert r.returncode == 0, r.stderr.decode()
    assert r.stderr.decode() == says
    return r.stdout.decode()


def as_json(*args, **kw):
    """-> records, summary"""
    lines = [json.loads(line) for line in done(*args, "-o", "json", **kw).splitlines()]
    return [line["flow"] for line in lines[:-1]], lines[-1]["summary"]


def capture_of(case):
    return next(p for p in (f"{GOLDEN}/{case}/capture.pcap", f"{GOLDEN}/{case}/capture.pcapng") if os.path.exists(p))


def words_of(case):
    with open(f"{GOLDEN}/{case}/args", encoding="utf-8") as f:
        return shlex.split(f.read(), comments=True)


def case_args(case):
    return [os.path.basename(capture_of(case)), "--policy", "policy.yaml", *words_of(case)]


# --- the golden cases ---------------------------------------------------------------


@pytest.mark.parametrize("case", CASES)
def test_golden(case):
    got = done(*case_args(case), cwd=f"{GOLDEN}/{case}")
    path = f"{GOLDEN}/{case}/expected.txt"
    if os.environ.get("BPFAST_GOLDEN") == "write":
        with open(path, "w", encoding="utf-8") as f:
            f.write(got)
    with open(path, encoding="utf-8") as f:
        assert got == f.read()


def test_golden_cases_are_whole():
    assert len(CASES) >= 10
    for case in CASES:
        assert os.path.exists(f"{GOLDEN}/{case}/README.md"), case
    for case, write in make.CASES.items():
        with open(capture_of(case), "rb") as f:
            assert f.read() == write(), f"{case}: make.py writes another capture"


@pytest.mark.parametrize("case", ["audit", "denied", "odd-packets", "pipelined", "super-packet", "two-pods"])
def test_summary_adds_up(case):
    records, s = as_json(*[w for w in case_args(case) if w not in ("-o", "json")], cwd=f"{GOLDEN}/{case}")
    skipped = sum(s["skipped"].values())
    assert s["frames"] - skipped - s["no_pod"] == s["packets"] - s["resegmented"]["packets"] + s["resegmented"]["frames"]
    assert s["packets"] == s["forwarded"] + sum(s["dropped"].values()) + sum(s["behind_refusal"].values())
    requests = [r for r in records if r["Type"] == "L7" and r["l7"]["type"] == "REQUEST"]
    for verdict, word in (("forwarded", "FORWARDED"), ("dropped", "DROPPED"), ("audit", "AUDIT")):
        assert s["requests"][verdict] == sum(r["verdict"] == word for r in requests)
    assert not s["records_lost"] and not s["helper_errors"]


def test_twice_the_same():
    first, second = (done(*case_args("pcapng"), cwd=f"{GOLDEN}/pcapng") for _ in range(2))
    assert first == second


def test_nothing_is_left_behind():
    before = [sorted(os.listdir(d)) for d in ("/sys/fs/bpf", "/sys/class/net")]
    done(capture_of("denied"), *POLICY, *WEB, *CART)
    assert before == [sorted(os.listdir(d)) for d in ("/sys/fs/bpf", "/sys/class/net")]


# --- kinds of captures ----------------------------------------------------------------


def relinked(link, head):
    """The frames of a case with another link's header: link type, and a header for an Ethernet type."""
    c = frames.Capture()
    for ns, frame, _ in whole():
        kind = struct.unpack("!H", frame[12:14])[0]
        c.frames.append((ns, head(kind) + frame[14:], len(head(kind)) + len(frame) - 14))
    return c.pcap(link)


def whole():
    out = []
    c = frames.Capture()
    make.talk(c, 40000).ask(frames.get("/api/1")).answer(frames.ok()).ask(frames.get("/admin")).answer(frames.ok()).close()
    make.talk(c, 40001, make.CART6, make.WEB6).ask(frames.get("/admin")).answer(frames.ok()).close()
    out += c.frames
    return out


LINKS = {
    "raw": (101, lambda kind: b""),
    "null, little endian": (0, lambda kind: struct.pack("<I", 2 if kind == 0x800 else 30)),
    "null, big endian": (0, lambda kind: struct.pack(">I", 2 if kind == 0x800 else 10)),
    "loop": (108, lambda kind: struct.pack(">I", 2 if kind == 0x800 else 24)),
    "cooked": (113, lambda kind: struct.pack("!HHH8sH", 0, 1, 6, b"\x02\0\0\0\0\x01\0\0", kind)),
    "cooked, version 2": (276, lambda kind: struct.pack("!HHIHBB8s", kind, 0, 3, 1, 0, 6, b"\x02\0\0\0\0\x01\0\0")),
}


@pytest.fixture(scope="module")
def by_ethernet(tmp_path_factory):
    path = tmp_path_factory.mktemp("links") / "c.pcap"
    c = frames.Capture()
    c.frames = whole()
    path.write_bytes(c.pcap())
    out = done(path, *POLICY, *WEB, *CART)
    assert out.count(" DROPPED ") == 2 and "[" not in out.split("frames")[0].replace("spec.ingress[0].toPorts[0].rules.http[0]", "").replace("spec.ingress[0].toPorts[0]", "")
    return out


@pytest.mark.parametrize("link", LINKS)
def test_link_types(link, by_ethernet, tmp_path):
    path = tmp_path / "c.pcap"
    path.write_bytes(relinked(*LINKS[link]))
    assert done(path, *POLICY, *WEB, *CART) == by_ethernet


def test_stdin(by_ethernet):
    c = frames.Capture()
    c.frames = whole()
    assert done("-", *POLICY, *WEB, *CART, input=c.pcapng()) == by_ethernet


def test_both_directions_need_only_one_pod(tmp_path):
    """Only web is a pod: cart is an address like any other, and no rule names it."""
    records, s = as_json(capture_of("allowed"), *POLICY, *WEB)
    assert {r["verdict"] for r in records} == {"DROPPED"} and s["dropped"] == {"policy-denied": 1} and s["behind_refusal"]
    cart_only, s = as_json(capture_of("allowed"), *POLICY, *CART, says=NOBODY)
    assert not s["dropped"] and s["forwarded"] == 13 and {r["traffic_direction"] for r in cart_only} == {"EGRESS"}


def test_without_policy_everything_passes():
    records, s = as_json(capture_of("denied"), *WEB, *CART)
    assert s["packets"] == s["forwarded"] == 24 and {r["verdict"] for r in records} == {"FORWARDED"}


def test_a_policy_that_selects_nobody_is_named():
    """Else nobody sees why everything was forwarded: here the namespace is missing."""
    _, s = as_json(capture_of("denied"), *POLICY, "--endpoint", "web=10.0.0.2,app=web", says=NOBODY)
    assert s["packets"] == s["forwarded"]
    as_json(capture_of("denied"), *POLICY, *WEB)


def test_endpoint_file_of_the_agent(tmp_path, by_ethernet):
    path = tmp_path / "endpoints.json"
    path.write_text(json.dumps({"endpoints": [
        {"name": "web", "namespace": "shop", "iface": "veth1", "ips": ["10.0.0.2", "fd00::2"], "labels": {"app": "web"}},
        {"name": "cart", "namespace": "shop", "iface": "veth2", "ips": ["10.0.0.3", "fd00::3"], "labels": {"app": "cart"}},
    ]}))  # fmt: skip
    c = frames.Capture()
    c.frames = whole()
    assert done("-", *POLICY, "--endpoint-file", path, input=c.pcap()) == by_ethernet


def test_many_flows(tmp_path):
    c = frames.Capture()
    for port in range(2000, 5000):
        make.talk(c, port).ask(frames.get("/api/x" if port % 3 else "/admin")).answer(frames.ok()).close()
    path = tmp_path / "c.pcap"
    path.write_bytes(c.pcap())
    _, s = as_json(path, *POLICY, *WEB, *CART)
    assert s["requests"] == {"forwarded": 2000, "dropped": 1000, "audit": 0} and s["dropped"] == {"http-rule-denied": 1000}


@pytest.mark.parametrize("case", ["denied", "pipelined", "super-packet"])
def test_copies_change_no_verdict(case, tmp_path):
    """tcpdump -i any sees a packet at every device it passes."""
    with open(capture_of(case), "rb") as f:
        data = f.read()
    out, at = [data[:24]], 24
    while at < len(data):
        end = at + 16 + struct.unpack("<I", data[at + 8 : at + 12])[0]
        out.append(data[at:end] * 3)
        at = end
    path = tmp_path / "c.pcap"
    path.write_bytes(b"".join(out))
    args = ["--policy", f"{GOLDEN}/{case}/policy.yaml", *words_of(case)]
    (once, first), (often, second) = as_json(capture_of(case), *args), as_json(path, *args)
    requests = lambda records: [(r["verdict"], r["l7"]["http"]["url"], r["traffic_direction"]) for r in records if r.get("l7", {}).get("type") == "REQUEST"]
    assert requests(once) == requests(often) and first["requests"] == second["requests"]


def test_query_strings():
    assert "token=secret" not in done(capture_of("allowed"), *POLICY, *WEB, *CART)
    assert "token=secret" in done(capture_of("allowed"), *POLICY, *WEB, *CART, "--show-query")


# --- what a user gets wrong ------------------------------------------------------------


def refused(*args, code=1, says=(), **kw):
    r = replay(*args, **kw)
    err = r.stderr.decode()
    assert r.returncode == code, (r.returncode, err)
    for word in says:
        assert word in err, f"{word!r} is not in: {err}"
    j = replay(*args, "-o", "json", **kw)
    assert j.returncode == code and json.loads(j.stderr.decode().strip().splitlines()[-1])["error"]
    return r


def pcap_of(n=2):
    c = frames.Capture()
    make.talk(c, 40000).close()
    c.frames = c.frames[:n]
    return c.pcap()


def pcapng_at_the_end_of_time():
    data = bytearray(make.pcapng())
    at = next(i for i in range(0, len(data), 4) if data[i : i + 4] == struct.pack("<I", 6))
    data[at + 12 : at + 16] = b"\xff\xff\xff\x7e"
    return bytes(data)


FILES = {
    "empty": (b"", ["is empty"]),
    "garbage": (b"this is no capture, but long enough to hold a header", ["not a pcap or pcapng file"]),
    "short garbage": (b"\x01\x02", ["not a pcap or pcapng file"]),
    "half a header": (pcap_of()[:10], ["not a pcap or pcapng file"]),
    "cut in a frame": (pcap_of()[:-5], ["past its frame 1"]),
    "cut in a frame header": (pcap_of()[:-60], ["past its frame 1"]),
    "absurd length": (pcap_of()[:24] + struct.pack("<IIII", 1, 1, 2**31, 2**31) + bytes(50), ["past its frame 0"]),
    "wireless": (frames.Capture().pcap(105), ["IEEE802_11", "tcpdump -i any"]),
    "unknown link": (frames.Capture().pcap(9999), ["9999"]),
    "pcapng cut": (make.pcapng()[:-5], ["past its frame 11"]),
    "pcapng of no time": (pcapng_at_the_end_of_time(), ["its frame 1 is of second"]),
    "no frame of a pod": (make.allowed()[:24] + make.allowed()[24 : 24 + 16 + 51], ["--endpoint"]),
}


@pytest.mark.parametrize("name", FILES)
def test_files(name, tmp_path):
    data, says = FILES[name]
    path = tmp_path / "capture.pcap"
    path.write_bytes(data)
    refused(path, *POLICY, *WEB, says=[*says, "capture.pcap"])


def test_what_was_read_before_a_damage_is_told(tmp_path):
    path = tmp_path / "capture.pcap"
    path.write_bytes(make.denied()[:-5])
    r = refused(path, *POLICY, *WEB, *CART, says=["past its frame 23"])
    assert b"GET /admin http-rule-denied" in r.stdout and b"23 in the capture" in r.stdout


def test_frames_that_are_no_packets(tmp_path):
    """Frames of every length, and of noise, are a verdict or a count, never an end."""
    import random

    rng, c = random.Random(7), frames.Capture()
    good = frames.Talk(c, make.CART, make.WEB, 40000).packet(0, frames.SYN)
    for n in range(len(good)):
        c.add(good[:n])
    for _ in range(500):
        bad = bytearray(good + bytes(40))
        for _ in range(rng.randrange(1, 6)):
            bad[rng.randrange(12, len(bad))] = rng.randrange(256)
        c.add(bytes(bad))
    path = tmp_path / "c.pcap"
    path.write_bytes(c.pcap())
    _, s = as_json(path, *POLICY, *WEB, *CART)
    assert s["frames"] == len(c.frames) and not s["helper_errors"]


ENDPOINTS = {
    "nothing": ("web", ["NAME=ADDR"]),
    "no address": ("shop/web=", ["NAME=ADDR"]),
    "only labels": ("shop/web=app=web", ["NAME=ADDR"]),
    "bad address": ("shop/web=10.0.0.300", ["10.0.0.300"]),
    "a range": ("shop/web=10.0.0.0/8", ["10.0.0.0/8"]),
    "bad name": ("shop/we b=10.0.0.2", ["we b"]),
    "no name": ("shop/=10.0.0.2", ["name"]),
    "bad label": ("shop/web=10.0.0.2,-=x", ["label"]),
    "reserved label": ("shop/web=10.0.0.2,io.kubernetes.pod.namespace=x", ["namespace"]),
    "too many": ("shop/web=" + ",".join(f"10.0.0.{i}" for i in range(9)), ["8 addresses"]),
}


@pytest.mark.parametrize("name", ENDPOINTS)
def test_endpoint_flaws(name):
    word, says = ENDPOINTS[name]
    refused(capture_of("allowed"), *POLICY, "--endpoint", word, code=2, says=says)


def test_usage(tmp_path):
    capture = capture_of("allowed")
    refused(code=2)
    refused(capture, capture, *WEB, code=2)
    refused(capture, *POLICY, code=2, says=["--endpoint"])
    refused(capture, *WEB, "--rules", "x.rules", code=2, says=["--rules"])
    refused(capture, *WEB, "--nonsense", code=2)
    refused(capture, *WEB, "--node", "10.0.0.0/8", code=2, says=["10.0.0.0/8"])
    refused(capture, *WEB, *WEB, code=2, says=["shop/web"])
    refused(capture, *WEB, "--endpoint", "other=10.0.0.2", code=2, says=["10.0.0.2", "shop/web"])
    refused(capture, *WEB, "--endpoint-file", tmp_path / "nothing", says=["nothing"])
    refused(tmp_path / "nothing", *WEB, says=["nothing", "No such file"])
    refused(tmp_path, *WEB, says=["directory"])
    assert b"--endpoint" in replay("--help").stdout


def test_policy_flaws(tmp_path):
    """The same sentence, at the same place, as policy check."""
    path = tmp_path / "policy.yaml"
    path.write_text("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec: {podSelektor: {}}\n")
    r = refused(capture_of("allowed"), *WEB, "--policy", path, says=[f"{path}:4:8: ", "podSelector"])
    check = subprocess.run([f"{BIN}/bpfast", "policy", "check", "-f", path], capture_output=True, check=False)
    assert check.stderr == r.stderr
    path.write_text("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n")
    refused(capture_of("allowed"), *WEB, "--policy", path, says=[f"{path}:2:7: ", "Pod"])
    refused(capture_of("allowed"), *WEB, "--policy", tmp_path / "no.yaml", says=["no.yaml"])


def test_without_root(tmp_path):
    # The binary may lie where only root can reach: copy it. Files are read before privileges are asked for.
    place = tmp_path / "open"
    place.mkdir()
    for name, source in (("bpfast", f"{BIN}/bpfast"), ("c.pcap", capture_of("allowed"))):
        with open(source, "rb") as f:
            (place / name).write_bytes(f.read())
        (place / name).chmod(0o755)
    for parent in [place, *list(place.parents)[:4]]:
        if str(parent) not in ("/", "/tmp"):
            os.chmod(parent, 0o755)
    user = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"]
    r = subprocess.run([*user, place / "bpfast", "replay", place / "c.pcap", *WEB], capture_output=True, text=True, check=False)
    assert r.returncode == 1 and "run as root" in r.stderr and r.stderr.count("\n") == 1, r


# --- the guide --------------------------------------------------------------------------


def test_guide(tmp_path):
    """docs/guide/replay.md: its example prints what it shows."""
    with open(os.path.join(ROOT, "docs", "guide", "replay.md"), encoding="utf-8") as f:
        page = f.read()
    console = next(b for b in re.findall(r"```console\n(.*?)\n```", page, re.S) if "bpfast replay" in b)
    command, shown = console.split("\n", 1)
    while command.endswith("\\"):
        more, shown = shown.split("\n", 1)
        command = command[:-1] + more
    (tmp_path / "shop.yaml").write_text(re.findall(r"```yaml\n(.*?)\n```", page, re.S)[0])
    (tmp_path / "shop.pcap").write_bytes(make.denied())
    words = shlex.split(command.split("bpfast replay ", 1)[1])
    assert done(*words, cwd=tmp_path).rstrip() == shown.rstrip()
