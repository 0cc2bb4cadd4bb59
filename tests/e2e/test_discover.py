# SPDX-License-Identifier: Apache-2.0
"""Containers that were there before us: `endpoint discover`, and `endpoint add --container`."""

import json
import os
import re
import socket
import subprocess
from contextlib import contextmanager

import pytest
from lab.containers import Containerd
from lab.cri import Cri
from lab.node import BIN, ROOT
from lab.policy import http, payload
from lab.runtimes import Docker, Podman, SaidDocker, missing
from lab.wait import until

BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True}


class Room:
    """A node with an agent, and a containerd; what is looked at is theirs alone."""

    def __init__(self, node, dir):
        self.node, self.dir = node, dir
        self.daemon = Containerd(node)
        ipam = {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "dataDir": f"{self.daemon.dir}/ipam", "routes": [{"dst": "0.0.0.0/0"}]}
        self.daemon.conflist({"cniVersion": "1.0.0", "name": "lab", "plugins": [{**BRIDGE, "ipam": ipam}]})
        self.where = ("--containerd-state", f"{self.daemon.dir}/state", "--containerd-socket", self.daemon.socket)
        node.start_agent()

    def found(self, *extra, where=None):
        """name -> what was found."""
        got = self.node.cli("-o", "json", "endpoint", "discover", *(where or self.where), *extra).json
        return {f["name"]: f for f in got["found"]}, got

    def add(self, *args, where=None):
        return self.node.bpfast("endpoint", "add", *args, *(where or self.where))

    def endpoints(self):
        return {e["name"]: e for e in self.node.cli("-o", "json", "endpoint", "list").json["endpoints"]}

    def clear(self):
        for e in self.node.cli("-o", "json", "endpoint", "list").json["endpoints"]:
            self.node.bpfast("endpoint", "delete", f"{e['namespace']}/{e['name']}")  # it may go by itself meanwhile
        assert not self.endpoints()
        self.node.clear_policies()


@contextmanager
def bpfast_socket(room):
    """Commands as the command line sends them."""
    def ask(command, args):
        with socket.socket(socket.AF_UNIX) as s:
            s.connect(f"{room.node.run_dir}/bpfast.sock")
            s.sendall(json.dumps({"command": command, "args": args}).encode() + b"\n")
            return json.loads(s.makefile().readline())

    yield ask


@pytest.fixture(scope="module")
def room(nodes, tmp_path_factory):
    room = Room(nodes(), tmp_path_factory.mktemp("discover"))
    web = ("/bb/sh", "-c", "mkdir -p /tmp/api; echo hello >/tmp/api/x; echo secret >/tmp/admin; exec /bb/httpd -f -p 80 -h /tmp")
    labels = {"app": "web", "com.example/team": "shop", "path": "/etc/web"}
    room.web = room.daemon.run("web", *web, labels=labels, detach=True)
    room.cart = room.daemon.run("cart", labels={"app": "cart"}, detach=True)
    yield room
    room.daemon.close()


@pytest.fixture(autouse=True)
def clean(request):
    yield
    if "room" in request.fixturenames:
        request.getfixturevalue("room").clear()


RULES = payload("web", {"app": "web"}, ingress=[http({"app": "cart"}, 80, {"path": "/api/.*"})])


def test_found_and_guarded(room):
    """A policy of the containers' own labels holds once they are added by name."""
    url = f"http://{room.web.address()}"
    get = lambda path: room.cart.run("curl", "-s", "-m", "3", "-o", "/dev/null", "-w", "%{http_code}", url + path).stdout
    assert until(lambda: get("/admin") == "200", 5, "the server is up")
    found, got = room.found()
    web = found["web"]
    assert web["runtime"] == "containerd" and web["labels"]["app"] == "web" and web["guarded"] is False
    assert web["containers"][0]["pid"] == room.web.pid() and web["containers"][0]["runtime_namespace"] == "lab"
    assert [p["inside"] for p in web["interfaces"]] == ["eth0"] and room.web.address() in web["interfaces"][0]["ips"]
    # Namespaces of whoever else works on this machine are no mistake.
    assert not got["incomplete"] and [n for n in got["notes"] if "not shown" not in n] == []
    iface = web["interfaces"][0]["iface"]
    assert os.readlink("/proc/self/ns/net")  # the lab's; the interface is on the node
    assert iface in room.node.ns.run("ip", "-o", "link").stdout

    r = room.add("--container", "web")
    assert r.code == 0 and r.out == "endpoint default/web added\n", r.err
    assert "value '/etc/web' of label path is not valid" in r.err
    r = room.node.cli("-o", "json", "endpoint", "add", "basket", "--container", "cart@containerd/lab", "--label", "tier=front", "--namespace", "default", *room.where).json
    assert r["name"] == "basket" and r["labels"] == {"app": "cart", "tier": "front"} and r["labels_not_taken"] == []
    e = room.endpoints()["web"]
    assert e["labels"] == {"app": "web", "com.example/team": "shop"} and e["iface"] == iface
    found, _ = room.found()
    assert found["web"]["guarded"] is True and found["web"]["interfaces"][0]["endpoint"] == "default/web"

    room.node.apply(RULES)
    assert get("/api/x") == "200"
    assert get("/admin") == "403"
    again = room.add("--container", "web")
    assert again.code == 1 and "endpoint default/web exists already" in again.err


def test_table(room):
    room.node.cli("endpoint", "add", "--container", "web", *room.where)
    lines = room.node.cli("endpoint", "discover", *room.where).out.splitlines()
    assert lines[0].split() == ["NAME", "RUNTIME", "INTERFACE", "ADDRESSES", "GUARDED", "LABELS"]
    cart = next(x.split() for x in lines if x.startswith("cart "))
    assert cart[1] == "containerd" and cart[3] == room.cart.address() and cart[4:] == ["no", "app=cart"]
    assert next(x.split() for x in lines if x.startswith("web "))[4] == "default/web"


def test_the_guide(room):
    """docs/guide/discover.md shows what happens: names of interfaces and addresses aside."""
    with open(os.path.join(ROOT, "docs", "guide", "discover.md"), encoding="utf-8") as f:
        shown = re.search(r"```console\n(.*?)\n```", f.read(), re.S).group(1)
    plain = lambda line: re.sub(r"10\.88\.0\.\d+", "ADDRESS", re.sub(r"veth[0-9a-f]{8}", "VETH", re.sub(r" +", " ", line)))
    happens = []
    for line in shown.splitlines():
        if not line.startswith("$ "):
            continue
        happens.append(line)
        r = room.node.bpfast(*line.split()[3:], *room.where)
        assert r.code == 0, r.err
        # Other tests of this file leave namespaces.
        happens += [x for x in (r.out + r.err).splitlines() if not x.startswith("node1-") and "not shown" not in x]
    assert [plain(x) for x in happens] == [plain(x) for x in shown.splitlines()]


def test_shared_namespace_is_one_endpoint(room):
    side = room.daemon.run("side", cni=False, detach=True, labels={"app": "side"}, options=("--with-ns", f"network:/proc/{room.cart.pid()}/ns/net"))
    try:
        found, _ = room.found()
        assert "side" not in found and {c["name"] for c in found["cart"]["containers"]} == {"cart", "side"}
        assert room.add("--container", "side").code == 0
        assert room.endpoints()["cart"]["labels"] == {"app": "cart"}
        assert "(2 containers)" in room.node.cli("endpoint", "discover", *room.where).out
    finally:
        side.kill()


def test_host_network_and_no_network(room):
    host = room.daemon.run("hosted", cni=False, detach=True, options=("--net-host",))
    lone = room.daemon.run("lone", cni=False, detach=True)
    try:
        found, _ = room.found()
        assert found["hosted"]["guarded"] is False and "network of the node itself" in found["hosted"]["hint"]
        r = room.add("--container", "hosted")
        assert r.code == 1 and r.err == "bpfast: hosted uses the network of the node itself, so there is no interface of its own to guard\n"
        r = room.add("--container", "lone")
        assert r.code == 1 and "lone has no network interface that leads to this node" in r.err
        out = room.node.cli("endpoint", "discover", *room.where).out
        assert "host network" in out and "no veth" in out
    finally:
        host.kill()
        lone.kill()


def test_stopped_unknown_and_wrong_words(room):
    dead = room.daemon.run("dead", "/bb/true", detach=True)
    try:
        until(lambda: not dead.pid(), 5, "it ended")
        r = room.add("--container", "dead")
        assert r.code == 1 and r.err == "bpfast: container dead of containerd does not run: it is stopped\n"
        assert any(s["name"] == "dead" for s in room.found()[1]["stopped"])
    finally:
        dead.kill()
    r = room.add("--container", "nobody")
    assert r.code == 1 and "there is no container nobody; `bpfast endpoint discover` shows them" in r.err
    assert room.add("--container", "web@docker").code == 1
    assert room.node.bpfast("endpoint", "add").code == 2
    r = room.node.bpfast("endpoint", "add", "--container", "")
    assert r.code == 2 and r.err == "bpfast: --container: a name or an id is needed\n"
    assert room.node.bpfast("endpoint", "add", "web").code == 2
    assert room.node.bpfast("endpoint", "discover", "--no-labels").code == 2
    r = room.add("--container", "web", "--iface", "eth9")
    assert r.code == 1 and "web is not behind eth9, but behind veth" in r.err
    assert not room.endpoints()


def test_several_interfaces(room):
    node = room.node
    pod = node.pods.get("two") or node.pod("two")
    subprocess.run(["ip", "-n", node.ns.name, "link", "add", "v-two-b", "type", "veth", "peer", "name", "eth1", "netns", pod.ns.name], check=True)
    pod.ns.ip("addr add 10.99.0.2/24 dev eth1", "link set eth1 up")
    node.ns.ip("link set v-two-b up")
    try:
        name = pod.ns.name
        r = room.add("--container", name)
        assert r.code == 1 and f"{name} has several interfaces: say with --iface which one" in r.err
        assert f"{pod.iface} (eth0 inside, {pod.ip4})" in r.err and "v-two-b (eth1 inside, 10.99.0.2)" in r.err
        assert room.add("two-b", "--container", f"{name}@netns", "--iface", "v-two-b").code == 0
        assert room.found()[0][name]["guarded"] is False
        assert room.add("two-a", "--container", name, "--iface", pod.iface).code == 0
        assert room.found()[0][name]["guarded"] is True
        assert "10.99.0.2" in room.endpoints()["two-b"]["ips"]
    finally:
        subprocess.run(["ip", "-n", node.ns.name, "link", "del", "v-two-b"], check=True)


def test_plain_namespaces_and_nameless_ones(room):
    """A namespace with a name, and one that has only a process, between which nothing is confused."""
    node = room.node
    nameless = node.ns.popen("unshare", "--net", "sleep", "100")
    pod = node.pods.get("plain") or node.pod("plain")
    try:
        until(lambda: os.stat(f"/proc/{nameless.pid}/ns/net").st_ino != os.stat(node.ns.path).st_ino, 3, "unshared")
        found, got = room.found()
        assert found[pod.ns.name]["runtime"] == "netns" and found[pod.ns.name]["interfaces"][0]["iface"] == pod.iface
        me = f"pid-{nameless.pid}"
        assert me not in found and "--all shows them" in got["notes"][-1]
        assert room.found("--all")[0][me]["process"] == {"pid": nameless.pid, "command": "sleep"}
        node.ns.ip(f"link add v-lone type veth peer name eth0 netns {nameless.pid}")
        subprocess.run(["nsenter", "--net", "-t", str(nameless.pid), "ip", "addr", "add", "10.98.0.2/24", "dev", "eth0"], check=True)
        found, _ = room.found()
        assert found[me]["interfaces"][0]["iface"] == "v-lone"
        assert room.add("lone", "--container", me).code == 0
        assert room.endpoints()["lone"]["iface"] == "v-lone"
    finally:
        nameless.kill()
        nameless.wait()


def test_namespaces_with_odd_names(room):
    odd = b"/run/netns/odd\xff\x1b[31m"
    subprocess.run(["ip", "netns", "add", os.path.basename(odd)], check=True)
    with open("/run/netns/no-namespace", "w", encoding="ascii"):
        pass
    try:
        found, got = room.found("--all")
        assert "odd?\x1b[31m" in found and "no-namespace" not in found and not got["incomplete"]
        r = room.node.bpfast("endpoint", "discover", "--all", *room.where)
        assert r.code == 0 and "odd?\\x1b[31m" in r.out and "\x1b" not in r.out
    finally:
        subprocess.run(["ip", "netns", "del", os.path.basename(odd)], check=True)
        os.unlink("/run/netns/no-namespace")


def test_add_all(room):
    node = room.node
    pod = node.pods.get("plain") or node.pod("plain")
    host = room.daemon.run("hosted", cni=False, detach=True, options=("--net-host",))
    try:
        assert room.add("--container", "web").code == 0
        r = node.bpfast("endpoint", "discover", "--add-all", "--namespace", "Bad_NS", *room.where)
        assert r.code == 2 and r.err == "bpfast: namespace 'Bad_NS' is not valid: at most 63 letters, digits and '-'\n"
        assert set(room.endpoints()) == {"web"}
        r = node.bpfast("endpoint", "discover", "--add-all", "--namespace", "shop", "--label", "by=all", *room.where)
        assert r.code == 0, r.err
        assert "endpoint shop/cart added" in r.out and f"endpoint shop/{pod.ns.name} added" in r.out and "shop/web" not in r.out
        assert "hosted is not guarded: it uses the network of the node itself" in r.err
        assert room.endpoints()["cart"]["labels"] == {"app": "cart", "by": "all"}
        r = node.cli("-o", "json", "endpoint", "discover", "--add-all", *room.where).json
        assert r["added"] == [] and r["failed"] == [] and [x["name"] for x in r["left"]] == ["hosted"]
    finally:
        host.kill()


def test_containerd_away(room):
    """Containers run on without it, and are found; only their labels are in its hands."""
    state = f"{room.daemon.dir}/state"
    where = ("--containerd-state", state)
    found, got = room.found(where=where)  # the socket is not where it usually is
    assert found["web"]["labels"] is None and found["web"]["containers"][0]["pid"] == room.web.pid()
    assert got["incomplete"] and "--containerd-socket" in got["notes"][0]
    r = room.add("--container", "web", where=where)
    assert r.code == 1 and "the labels of web cannot be read; say --no-labels to do without" in r.err and not room.endpoints()
    r = room.add("--container", "web", "--no-labels", "--label", "app=web", where=where)
    assert r.code == 0 and room.endpoints()["web"]["labels"] == {"app": "web"}
    assert room.node.bpfast("endpoint", "discover", "--add-all", *where).code == 1
    # A socket that was said, and what it belongs to is elsewhere: nobody may take that for "no containers".
    found, got = room.found(where=("--containerd-socket", f"{room.daemon.dir}/nothing"))
    assert "web" not in {f["name"] for f in found.values()} and got["incomplete"] and "--containerd-state" in got["notes"][0]


# --- Docker and podman ---


@pytest.fixture(scope="module", params=(Docker, Podman), ids=("docker", "podman"))
def engine(nodes, request):
    if missing():
        pytest.skip(missing())
    node = nodes()
    node.start_agent()
    made = request.param(node)
    made.kind = request.param.__name__.lower()
    # The other's usual socket is not looked at by mistake: there is none in the lab.
    made.where = (f"--{made.kind}-socket", made.socket)
    yield made
    made.close()


def test_engine(engine):
    """Names, labels and addresses as the runtime says; one that joined another's network is no endpoint of its own."""
    node, kind = engine.node, engine.kind
    ident = engine.run("web", "--label", "app=web", "--label", "note=a b", "--label", "ctl=\x1b[31m")
    engine.run("side", "--label", "app=side", network="container:web")
    engine.run("hosted", network="host")
    engine.run("done", network="none", command=("/busybox", "true"))
    until(lambda: engine.cli("inspect", "-f", "{{.State.Running}}", "done") == "false", 5, "it ended")

    got = node.cli("-o", "json", "endpoint", "discover", *engine.where).json
    found = {f["name"]: f for f in got["found"]}
    assert not got["incomplete"] and set(found) == {"web", "hosted"}
    web = found["web"]
    assert web["runtime"] == kind and web["labels"] == {"app": "web", "note": "a b", "ctl": "\x1b[31m"}
    assert {c["name"] for c in web["containers"]} == {"web", "side"}
    assert next(c for c in web["containers"] if c["name"] == "web")["id"] == ident
    address = engine.cli("inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", "web")
    assert web["interfaces"][0]["ips"][0] == address and address.startswith("10.6")
    assert [s["name"] for s in got["stopped"]] == ["done"]
    assert "\x1b" not in node.cli("endpoint", "discover", *engine.where).out

    r = node.bpfast("endpoint", "add", "--container", "done", *engine.where)
    assert r.code == 1 and re.fullmatch(f"bpfast: container done of {kind} does not run: it is (exited|stopped)\n", r.err)
    r = node.bpfast("endpoint", "add", "--container", "hosted", *engine.where)
    assert r.code == 1 and "hosted uses the network of the node itself" in r.err
    r = node.bpfast("endpoint", "add", "--container", ident[:8], *engine.where)
    assert r.code == 0 and r.out == "endpoint default/web added\n", r.err
    assert "label note" in r.err and "label ctl" in r.err and "\x1b" not in r.err
    e = node.cli("-o", "json", "endpoint", "get", "web").json
    assert e["labels"] == {"app": "web"} and address in e["ips"]
    r = node.bpfast("endpoint", "discover", "--add-all", *engine.where)
    assert r.code == 0 and not r.out
    if kind == "docker":
        below(engine)


def below(engine):
    """Docker's containers are in its containerd too: each is found once, and by their ids where Docker is not asked."""
    daemon = f"{engine.dir}/exec/containerd"
    where = ("--containerd-state", f"{daemon}/daemon", "--containerd-socket", f"{daemon}/containerd.sock")
    got = engine.node.cli("-o", "json", "endpoint", "discover", *engine.where, *where).json
    assert [(f["name"], len(f["containers"])) for f in got["found"]] == [("hosted", 1), ("web", 2)]
    alone = engine.node.cli("-o", "json", "endpoint", "discover", *where).json["found"]
    assert {f["runtime"] for f in alone} == {"containerd"} and {c["runtime_namespace"] for f in alone for c in f["containers"]} == {"moby"}
    assert {c["id"] for f in alone for c in f["containers"]} == {c["id"] for f in got["found"] for c in f["containers"]}


def test_the_endpoint_goes_with_its_container(engine):
    node = engine.node
    engine.run("brief", "--label", "app=brief")
    node.cli("endpoint", "add", "--container", f"brief@{engine.kind}", *engine.where)
    engine.remove("brief")
    until(lambda: "brief" not in node.cli("endpoint", "list").out, 5, "the endpoint is gone")


# --- Kubernetes' pods ---


@pytest.fixture(scope="module")
def kubelet(nodes):
    node = nodes()
    node.start_agent()
    cri = Cri(node)
    yield cri
    cri.close()


def test_pods(kubelet):
    """A pod is one endpoint, under its own name, namespace and labels, whatever is in it."""
    node, where = kubelet.node, ("--containerd-state", kubelet.state)
    sandbox = kubelet.pod("web-7", "shop", {"app": "web", "pod-template-hash": "5d4f"}, ("nginx", "log"))
    kubelet.pod("cart", "shop", {"app": "cart"}, ("main",))
    kubelet.pod("agent", "kube-system", {"app": "agent"}, ("main", "side"), host_network=True)
    got = node.cli("-o", "json", "endpoint", "discover", *where).json
    assert not got["incomplete"] and [n for n in got["notes"] if "not shown" not in n] == []
    found = {f["name"]: f for f in got["found"]}
    assert set(found) == {"web-7", "cart", "agent"}
    web = found["web-7"]
    assert web["namespace"] == "shop" and web["labels"] == {"app": "web", "pod-template-hash": "5d4f"}
    assert {c["name"] for c in web["containers"]} == {sandbox, "nginx", "log"} and len(web["interfaces"]) == 1
    assert "network of the node" in found["agent"]["hint"] and len(found["agent"]["containers"]) == 3
    assert "shop/web-7 (3 containers)" in node.cli("endpoint", "discover", *where).out
    r = node.bpfast("endpoint", "add", "--container", "main", *where)
    assert r.code == 1 and "main is more than one: " in r.err and "shop/cart@containerd/k8s.io" in r.err
    r = node.bpfast("endpoint", "add", "--container", "nginx", *where)
    assert r.code == 0 and r.out == "endpoint shop/web-7 added\n" and not r.err
    r = node.bpfast("endpoint", "discover", "--add-all", *where)
    assert r.code == 0 and r.out == "endpoint shop/cart added\n" and "kube-system/agent is not guarded: it uses the network of the node itself" in r.err
    e = node.cli("-o", "json", "endpoint", "get", "shop/cart").json
    assert e["labels"] == {"app": "cart"} and e["ips"][0].startswith("10.89.0.")
    kubelet.remove(sandbox)
    until(lambda: "web-7" not in node.cli("endpoint", "list").out, 5, "the endpoint is gone with its pod")


# --- what nobody should say, and what cannot be read ---


def recorded(pid, **changes):
    """What Docker 20.10 answers of a container, cut to what is read."""
    ident = "3d1cb94eb269277ede55d46f1a12a9413b73ebb49c83f966ea2194285ad208b1"
    state = {"Status": "running", "Running": True, "Paused": False, "Pid": pid}
    whole = {"Id": ident, "Name": "/web", "State": state, "Config": {"Labels": {"app": "web"}}, "HostConfig": {"NetworkMode": "lab"}}
    whole.update(changes)
    return ident, whole


def said(ident, whole, **more):
    return {"/containers/json": (200, json.dumps([{"Id": ident}]).encode()), f"/containers/{ident}/json": (200, json.dumps(whole).encode()), **more}


def look(room, socket, *extra):
    r = room.node.bpfast("-o", "json", "endpoint", "discover", "--docker-socket", socket, "--containerd-state", "/run/none", *extra)
    assert r.code == 0, r.err
    got = r.json
    return {f["name"]: f for f in got["found"] if f["runtime"] == "docker"}, got


def test_docker_said_by_hand(room, tmp_path):
    path = str(tmp_path / "d.sock")
    ident, whole = recorded(room.web.pid())
    with SaidDocker(path, said(ident, whole)):
        found, got = look(room, path)
        assert found["web"]["containers"][0]["id"] == ident and got["incomplete"]  # no containerd at /run/none
        # Both know it: it is one container, under the name that Docker has.
        both = room.found(where=(*room.where, "--docker-socket", path))[0]
        assert both["web"]["interfaces"][0]["iface"]


@pytest.mark.parametrize("status, body, says", (
    (200, b"[{", "is not JSON"),
    (200, b'{"a": 1}', "not a list of containers"),
    (200, b"\xff\xfe", "is not JSON"),
    (500, b"no", "with status 500"),
    (200, b"[" * 5000, "is not JSON"),
    (200, json.dumps([{"Id": "../../x"}]).encode(), "'../../x', which is no identifier"),
    (200, b'[{"Id": 7}, 8]', "no identifier"),
))  # fmt: skip
def test_docker_that_talks_nonsense(room, tmp_path, status, body, says):
    path = str(tmp_path / "d.sock")
    with SaidDocker(path, {"/containers/json": (status, body)}):
        found, got = look(room, path)
        assert not found and got["incomplete"] and any(says in n for n in got["notes"]), got["notes"]
        # One clear sentence, and the rest is found in spite of it.
        assert room.found(where=(*room.where, "--docker-socket", path))[0]["web"]
        assert room.node.bpfast("endpoint", "discover", "--add-all", "--docker-socket", path, *room.where).code == 1


def test_docker_that_hangs_up_or_is_gone(room, tmp_path):
    path = str(tmp_path / "d.sock")
    found, got = look(room, path)
    assert got["incomplete"] and any("No such file" in n for n in got["notes"])
    with open(path, "w", encoding="ascii"):
        pass
    assert any("is not a socket" in n for n in look(room, path)[1]["notes"])
    os.unlink(path)
    s = socket.socket(socket.AF_UNIX)
    s.bind(path)
    assert any("nobody answers at" in n for n in look(room, path)[1]["notes"])
    s.close()
    os.unlink(path)
    assert any("too long for the path of a socket" in n for n in look(room, "/tmp/" + "x" * 150)[1]["notes"])
    r = room.node.bpfast("-o", "json", "endpoint", "add", "--container", "x", "--docker-socket", path, *room.where)
    said = json.loads(r.err)
    assert r.code == 1 and "not all could be looked at" in said["error"] and path in said["details"]["notes"][0]

    def broken(_):
        raise ConnectionResetError

    with SaidDocker(path, broken):
        assert any("does not answer as it should" in n for n in look(room, path)[1]["notes"])


def test_hostile_container(room, tmp_path):
    """Names and labels that others chose reach the terminal harmless, and the agent not at all."""
    path = str(tmp_path / "d.sock")
    labels = {"app": "web", "io.kubernetes.pod.namespace": "evil", "esc\x1b[2J": "x", "val": "\x1b]0;x\x07", "long": "x" * 100000, "k" * 5000: "v", "": "", "uni": "ü", "number": 7, "none": None, "nul": "a\0b"}
    ident, whole = recorded(room.web.pid(), Name="/we\x1b[31mb\n\u202e" + "n" * 3000, Config={"Labels": labels})
    with SaidDocker(path, said(ident, whole)):
        where = ("--docker-socket", path, "--containerd-state", f"{room.daemon.dir}/state")
        text = room.node.bpfast("endpoint", "discover", *where)
        assert text.code == 0 and "\x1b" not in text.out + text.err and "\x07" not in text.out
        found, _ = look(room, path)
        (name,) = found
        assert found[name]["labels"]["val"] == labels["val"]
        r = room.node.bpfast("endpoint", "add", "--container", ident, *where)
        assert r.code == 1 and "endpoint name" in r.err and "\x1b" not in r.err and not room.endpoints()
        r = room.node.bpfast("endpoint", "add", "web", "--container", ident[:12], *where)
        assert r.code == 0 and "\x1b" not in r.err and len(r.err) < 10000, r.err
        assert room.endpoints()["web"]["labels"] == {"app": "web"}
        for word in ("io.kubernetes.pod.namespace is set by --namespace", "esc", "val", "long", "uni", "number", "none", "nul"):
            assert word in r.err
    room.clear()
    many = {f"k{i}": "v" for i in range(3000)}
    ident, whole = recorded(room.web.pid(), Config={"Labels": many})
    with SaidDocker(path, said(ident, whole)):
        r = room.node.bpfast("endpoint", "add", "--container", "web@docker", *where)
        assert r.code == 0 and "an endpoint has at most 256 labels" in r.err and "more; -o json has them all" in r.err
        assert len(room.endpoints()["web"]["labels"]) == 256


def test_vanished_while_looking(room, tmp_path):
    """Gone from the list to the look, gone from the look to /proc, and the process of somebody else."""
    path = str(tmp_path / "d.sock")
    ident, whole = recorded(2**22 - 1)
    with SaidDocker(path, said(ident, whole)):
        assert look(room, path)[0] == {}
    with SaidDocker(path, {"/containers/json": (200, json.dumps([{"Id": ident}]).encode())}):
        assert look(room, path)[0] == {}


def bundle(state, name, config=None, pid=None):
    folder = state / "io.containerd.runtime.v2.task" / "k8s.io" / name
    folder.mkdir(parents=True)
    if config is not None:
        (folder / "config.json").write_bytes(config if isinstance(config, bytes) else json.dumps(config).encode())
    if pid is not None:
        (folder / "init.pid").write_text(str(pid))
    return folder


def test_odd_bundles(room, tmp_path):
    """A state directory made by hand: Kubernetes' annotations, and what a bundle should not be."""
    pod = {"io.kubernetes.cri.sandbox-name": "web-7", "io.kubernetes.cri.sandbox-namespace": "shop", "io.kubernetes.cri.sandbox-id": "sand"}
    kind = lambda k, **more: {"annotations": {**pod, "io.kubernetes.cri.container-type": k, **more}}
    pid = room.web.pid()
    bundle(tmp_path, "sand", kind("sandbox"), pid)
    bundle(tmp_path, "aaa1", kind("container", **{"io.kubernetes.cri.container-name": "nginx"}), pid)
    cart = room.cart.pid()
    bundle(tmp_path, "bad1", b'{"annotations": ', cart)
    bundle(tmp_path, "bad2", b"\xff" * 100, cart)
    bundle(tmp_path, "bad3", b"[" * 100000, cart)
    bundle(tmp_path, "bad4", b" " * (5 << 20), cart)
    bundle(tmp_path, "bad5", {"annotations": [1], "linux": {"namespaces": {"a": 3}}}, cart)
    bundle(tmp_path, "none")
    bundle(tmp_path, "gone", {}, 2**22 - 1)
    bundle(tmp_path, "text", {}, "pid")
    bundle(tmp_path, "over", {}, -5)
    bundle(tmp_path, "stale", {}, room.node.agent.pid)  # a number that was given again
    os.mkfifo(bundle(tmp_path, "pipe", None, cart) / "config.json")
    os.symlink("/etc/passwd", bundle(tmp_path, "link", None, cart) / "config.json")
    os.symlink("/", tmp_path / "io.containerd.runtime.v2.task" / "k8s.io" / "away")
    (tmp_path / "io.containerd.runtime.v2.task" / "file").write_text("x")
    where = ("--containerd-state", str(tmp_path))
    found, got = room.found(where=where)
    web = found["web-7"]
    assert web["namespace"] == "shop" and {c["name"] for c in web["containers"]} == {"sand", "nginx"}
    (other,) = [f for f in got["found"] if f["runtime"] == "containerd" and f["name"] != "web-7"]
    assert {c["name"] for c in other["containers"]} == {"bad1", "bad2", "bad3", "bad4", "bad5", "pipe", "link"}
    for name, what in (("bad1", "is not JSON"), ("bad2", "is not JSON"), ("bad3", "is not JSON"), ("bad4", "File too large"), ("pipe", "Invalid argument"), ("link", "symbolic links")):
        assert any(f"k8s.io/{name} " in n and what in n for n in got["notes"]), (name, got["notes"])
    assert {s["name"] for s in got["stopped"]} == {"none", "gone", "text", "over", "stale"}
    for name in ("web-7", "shop/web-7", "nginx", "aaa1", "web-7@containerd/k8s.io"):
        r = room.node.bpfast("endpoint", "add", "--container", name, "--no-labels", "--label", "app=web", *where)
        assert r.code == 0 and r.out == "endpoint shop/web-7 added\n", (name, r.err)
        room.clear()
    for name in ("other@docker", "web-7@containerd/moby"):
        assert "there is no container" in room.node.bpfast("endpoint", "add", "--container", name, *where).err


GRPC = """
const [path, body, status] = process.argv.slice(1), http2 = require('http2');
http2.createServer().on('stream', (s, h) => {
  s.respond({':status': 200, 'content-type': 'application/grpc'}, {waitForTrailers: true});
  s.on('wantTrailers', () => s.sendTrailers(status ? {'grpc-status': status, 'grpc-message': 'sorry'} : {}));
  s.end(Buffer.from(body, 'hex'));
}).listen(path);
"""
ONE = "0a036f6e65" + "12" + "0a" + "0a03617070" + "1203776562"  # id one, label app=web


@pytest.mark.parametrize("body, status, says", (
    ("00000000130a11" + ONE, "0", None),
    ("00000000130a11" + ONE + "0000000000", "0", "is not understood"),  # a message without a container
    ("00000000140a11" + ONE, "0", "is not understood"),  # longer than what comes
    ("01000000130a11" + ONE, "0", "is not understood"),  # compressed, they say
    ("00ffffffff0a11" + ONE, "0", "is not understood"),
    ("0000000011" + "ff" * 17, "0", "is not understood"),
    ("", "12", "gRPC status 12, sorry"),
    ("00000000130a11" + ONE, "", "gRPC status -1"),
))  # fmt: skip
def test_containerd_that_talks_nonsense(room, tmp_path, body, status, says):
    bundle(tmp_path, "one", {}, room.web.pid())
    path = str(tmp_path / "c.sock")
    server = subprocess.Popen(["node", "-e", GRPC, path, body, status])
    try:
        until(lambda: os.path.exists(path), 10, "the server is up")
        found, got = room.found(where=("--containerd-state", str(tmp_path), "--containerd-socket", path))
        assert found["one"]["labels"] == (None if says else {"app": "web"}) and got["incomplete"] is bool(says)
        assert [n for n in got["notes"] if "containerd" in n] == [] if not says else any(says in n for n in got["notes"]), got["notes"]
    finally:
        server.kill()
        server.wait()


def test_containerd_that_is_something_else(room, tmp_path):
    bundle(tmp_path, "one", {}, room.web.pid())
    path = str(tmp_path / "c.sock")
    with SaidDocker(path, {}):
        found, got = room.found(where=("--containerd-state", str(tmp_path), "--containerd-socket", path))
        assert found["one"]["labels"] is None and any("does not answer as it should" in n for n in got["notes"])


def test_ambiguous(room, tmp_path):
    path = str(tmp_path / "d.sock")
    ident, whole = recorded(room.web.pid(), Name="/cart")
    with SaidDocker(path, said(ident, whole)):
        where = ("--docker-socket", path, *room.where)
        r = room.add("--container", "cart", where=where)
        assert r.code == 1 and r.err.startswith("bpfast: cart is more than one: cart@") and "say NAME@RUNTIME or the id" in r.err
        assert "cart@docker (3d1cb94eb269)" in r.err and "cart@containerd/lab" in r.err
        assert room.add("--container", "cart@containerd", where=where).code == 0


def test_without_agent_and_without_root(room, tmp_path):
    bpfast = os.path.join(BIN, "bpfast")
    r = room.node.ns.run(bpfast, "--run-dir", str(tmp_path), "-o", "json", "endpoint", "discover", *room.where)
    got = json.loads(r.stdout)
    assert r.returncode == 0 and {f["guarded"] for f in got["found"]} == {None} and any("what is guarded is not known" in n for n in got["notes"])
    assert room.node.ns.run(bpfast, "--run-dir", str(tmp_path), "endpoint", "discover", "--add-all").returncode == 3
    assert room.node.ns.run(bpfast, "--run-dir", str(tmp_path), "endpoint", "discover", "--add-all", "--namespace", "a/b").returncode == 2
    r = room.node.ns.run("setpriv", "--reuid=65534", "--clear-groups", bpfast, "endpoint", "discover")
    assert r.returncode == 1 and r.stderr == "bpfast: only root can look into the namespaces of containers: run it with sudo\n"


def test_many_namespaces(room):
    """More than a thousand descriptors, in a bounded time."""
    node = room.node
    names = [f"many{i}" for i in range(1100)]
    subprocess.run(["ip", "-batch", "-"], input="\n".join(f"netns add {n}" for n in names), text=True, check=True)
    try:
        r = node.ns.run("prlimit", "--nofile=1024:8192", os.path.join(BIN, "bpfast"), "--run-dir", node.run_dir, "-o", "json", "endpoint", "discover", "--all", *room.where)
        got = json.loads(r.stdout)
        assert r.returncode == 0 and not got["incomplete"] and set(names) <= {f["name"] for f in got["found"]}
        r = node.ns.run("prlimit", "--nofile=100:100", os.path.join(BIN, "bpfast"), "--run-dir", node.run_dir, "-o", "json", "endpoint", "discover", *room.where)
        assert r.returncode == 0 and json.loads(r.stdout)["incomplete"] and "ulimit -n" in r.stdout
    finally:
        subprocess.run(["ip", "-batch", "-"], input="\n".join(f"netns del {n}" for n in names), text=True, check=True)


def test_an_interface_that_was_given_again(room):
    """The agent takes the very interface that was found, or none."""
    iface = room.found()[0]["web"]["interfaces"][0]
    with bpfast_socket(room) as ask:
        wrong = ask("endpoint add", {"name": "web", "iface": iface["iface"], "ifindex": iface["ifindex"] + 1000})
        assert "is another one by now" in wrong["error"] and not room.endpoints()
        assert "result" in ask("endpoint add", {"name": "web", "iface": iface["iface"], "ifindex": iface["ifindex"]})
