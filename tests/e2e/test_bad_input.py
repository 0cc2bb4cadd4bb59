# SPDX-License-Identifier: Apache-2.0
"""What a user types wrong, and what a hostile client of the socket sends."""

import glob
import json
import os
import socket
import stat
import threading

import pytest
from lab import servers
from lab.node import BIN
from lab.policy import http, network, payload, peers
from lab.probe import tcp
from lab.wait import until


@pytest.fixture(scope="module")
def room(nodes):
    node = nodes()
    node.cart, node.stranger, node.web = node.pod("cart"), node.pod("stranger"), node.pod("web")
    node.web.serve(servers.Echo(node.web.ns, 80))
    assert tcp(node.stranger, node.web.ip4, 80, 2) == "ok"
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    node.good = network("web", {"app": "web"}, ingress=[peers({"app": "cart"})])
    node.apply(node.good)
    return node


def still_fine(node):
    """The agent answers, and the policy is in force."""
    assert node.agent.poll() is None
    assert node.bpfast("status").code == 0
    assert tcp(node.cart, node.web.ip4, 80, 2) == "ok"
    assert tcp(node.stranger, node.web.ip4, 80, 0.15) == "blocked"
    assert node.policies() == ["NetworkPolicy/default/web"]


def refused(node, *args, input=None, code=1, says=()):
    r = node.bpfast(*args, input=input)
    assert r.code == code, (r, args)
    for word in says:
        assert word in r.err, f"{word!r} is not in: {r.err}"
    assert "Traceback" not in r.err and "Sanitizer" not in r.err
    j = node.bpfast("-o", "json", *args, input=input)
    assert j.code == code
    if code == 1:
        text = (j.out.strip() or j.err.strip()).splitlines()[-1]
        assert json.loads(text)["error"]
    return r


POLICY_FLAWS = {
    "unknown field": (payload("x", {"app": "web"}, ingres=[]), ["ingres"]),
    "unenforceable field": (payload("x", {"app": "web"}, ingress=[{"toPorts": [{"ports": [{"port": "80", "protocol": "TCP"}], "rules": {"kafka": [{}]}}]}]), ["kafka"]),
    "unknown kind": ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", ["Pod"]),
    "no name": ("apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {}\nspec: {podSelector: {}}\n", ["name"]),
    "bad regex": (payload("x", {"app": "web"}, ingress=[http({}, 80, {"path": "/(a"})]), ["path"]),
    "backtracking": (payload("x", {"app": "web"}, ingress=[http({}, 80, {"path": "/(a)\\1"})]), ["\\1"]),
    "bad port": (network("x", {}, ingress=[{"ports": [{"port": 70000}]}]), ["70000"]),
    "bad range": (network("x", {}, ingress=[{"ports": [{"port": 90, "endPort": 80}]}]), ["endPort"]),
    "bad CIDR": (network("x", {}, ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/33"}}]}]), ["10.0.0.0/33"]),
    "bad protocol": (network("x", {}, ingress=[{"ports": [{"port": 80, "protocol": "TPC"}]}]), ["TPC"]),
    "not YAML": ("a: [1, 2\nb: }", []),
    "binary": ("\x01\x02\x03", []),
    "a list": ("- a\n- b\n", []),
    "empty spec": ("apiVersion: bpfast.io/v1alpha1\nkind: PayloadPolicy\nmetadata: {name: x}\n", ["spec"]),
    "http on UDP": (payload("x", {"app": "web"}, ingress=[http({}, 80, {"path": "/"}, protocol="UDP")]), ["UDP"]),
    "billion laughs": ("a: &a [x,x,x,x,x,x,x,x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [*{chr(97 + i)},*{chr(97 + i)},*{chr(97 + i)},*{chr(97 + i)},*{chr(97 + i)},*{chr(97 + i)},*{chr(97 + i)}]\n" for i in range(12)), []),
}


@pytest.mark.parametrize("name", POLICY_FLAWS)
def test_policy_flaws(room, name, tmp_path):
    text, says = POLICY_FLAWS[name]
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    r = refused(room, "policy", "apply", "-f", path, says=says)
    assert f"{path}:" in r.err or "policy.yaml:" in r.err, r.err
    offline = refused(room, "policy", "check", "-f", path, says=says)
    place = offline.err.strip().splitlines()[0].split("policy.yaml:", 1)[1].split(":")
    assert place[0].isdigit() and place[1].isdigit(), offline.err
    still_fine(room)


def test_check_needs_no_agent_and_no_root(room, tmp_path):
    good = tmp_path / "good.yaml"
    good.write_text(room.good)
    os.chmod(tmp_path, 0o755)
    # The binary may lie where only root can reach: copy it.
    bpfast = tmp_path / "bpfast"
    bpfast.write_bytes(open(f"{BIN}/bpfast", "rb").read())
    bpfast.chmod(0o755)
    for parent in list(tmp_path.parents)[:3]:
        if str(parent) not in ("/", "/tmp"):
            os.chmod(parent, 0o755)
    r = room.ns.run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", bpfast, "policy", "check", "-f", good)
    assert r.returncode == 0, r.stderr


def test_usage(room):
    for args in ([], ["nonsense"], ["policy"], ["policy", "nonsense"], ["endpoint", "add"], ["--nonsense"], ["policy", "apply"]):
        r = room.bpfast(*args)
        assert r.code == 2, (args, r)
        assert (r.err + r.out).strip()
    assert room.bpfast("--help").code == 0
    assert "bpfast" in room.cli("version").out


def test_no_agent(room, tmp_path):
    r = room.ns.run(f"{BIN}/bpfast", "--run-dir", tmp_path / "nowhere", "status")
    assert r.returncode == 3
    assert "bpfastd" in r.stderr


def test_endpoint_flaws(room):
    refused(room, "endpoint", "add", "x", "--iface", "no-such-if", says=["no-such-if"])
    refused(room, "endpoint", "add", "web", "--iface", room.cart.iface, says=["web"])
    refused(room, "endpoint", "add", "y", "--iface", room.web.iface, says=[room.web.iface])
    refused(room, "endpoint", "add", "z", "--iface", room.web.iface, "--ip", "300.1.1.1", says=["300.1.1.1"])
    refused(room, "endpoint", "get", "nobody", says=["nobody"])
    refused(room, "endpoint", "delete", "nobody", says=["nobody"])
    refused(room, "policy", "delete", "NetworkPolicy/default/nothing", says=["nothing"])
    refused(room, "policy", "apply", "-f", "/no/such/file", says=["/no/such/file"])
    names = room.cli("endpoint", "list").out
    assert "no-such-if" not in names
    still_fine(room)


def sock_path(node):
    found = [p for p in glob.glob(f"{node.run_dir}/**", recursive=True) if stat.S_ISSOCK(os.stat(p).st_mode)]
    assert len(found) == 1, found
    return found[0]


def test_socket_is_for_root(room):
    path = sock_path(room)
    assert os.stat(path).st_mode & 0o007 == 0
    r = room.ns.run("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "curl", "-sS", "--unix-socket", path, "http://x/")
    assert r.returncode != 0


GARBAGE = [
    b"",
    b"\0" * 1000,
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx",
    b'{"' + b"a" * 100000,
    b"[" * 100000,
    b"{}\n",
    b"null\n",
    b'{"noun": 1, "verb": []}\n',
    b"\xff\xfe\xfd\n" * 1000,
    b"\xff\xff\xff\x7f" + b"x" * 100,
]


@pytest.mark.parametrize("i", range(len(GARBAGE)))
def test_garbage_on_the_socket(room, i):
    with socket.socket(socket.AF_UNIX) as s:
        s.settimeout(2)
        s.connect(sock_path(room))
        try:
            s.sendall(GARBAGE[i])
            s.shutdown(socket.SHUT_WR)
            while s.recv(65536):
                pass
        except (OSError, socket.timeout):
            pass
    still_fine(room)


def test_flood_of_the_socket(room):
    """Silent clients hold connections open; others still get an answer."""
    held = []
    try:
        for _ in range(300):
            s = socket.socket(socket.AF_UNIX)
            s.setblocking(False)
            try:
                s.connect(sock_path(room))
                s.send(b"PO")
            except OSError:
                pass
            held.append(s)
        until(lambda: room.bpfast("status").code == 0, 10, "status while the socket is flooded")
    finally:
        for s in held:
            s.close()
    until(lambda: room.bpfast("status").code == 0, 5)
    still_fine(room)


def test_never_ending_request(room):
    """Nobody can make the agent hold unbounded memory."""
    done = threading.Event()

    def pour():
        with socket.socket(socket.AF_UNIX) as s:
            s.settimeout(2)
            s.connect(sock_path(room))
            try:
                while not done.is_set():
                    s.sendall(b"x" * 1000000)
            except OSError:
                pass

    rss = lambda: int([x for x in open(f"/proc/{room.agent.pid}/status") if x.startswith("VmRSS")][0].split()[1])
    before = rss()
    t = threading.Thread(target=pour)
    t.start()
    t.join(1)
    done.set()
    t.join()
    assert rss() - before < 64 * 1024
    still_fine(room)


def test_agent_with_bad_settings(nodes):
    node = nodes()
    with open(node.config, "w", encoding="utf-8") as f:
        f.write("no-such-setting: 1\n")
    p = node.start_agent(ready=False)
    assert until(lambda: p.poll() is not None, 5) and p.returncode != 0
    assert "no-such-setting" in node.log_since()
    os.unlink(node.config)
    open(node.config, "w", encoding="utf-8").close()
    mark = os.path.getsize(node.agent_log)
    p = node.start_agent("--metrics-listen", "nonsense", ready=False)
    assert until(lambda: p.poll() is not None, 5) and p.returncode != 0
    assert "nonsense" in node.log_since(mark)
    mark = os.path.getsize(node.agent_log)
    p = node.start_agent("--pin-dir", "/run/not-a-bpffs", ready=False)
    assert until(lambda: p.poll() is not None, 5) and p.returncode != 0
    assert "/run/not-a-bpffs" in node.log_since(mark)
    node.agent = None
