# SPDX-License-Identifier: Apache-2.0
"""bpfast-cni called as a runtime calls it: every command of CNI 1.0.0 and 1.1.0, every error, an agent that is away or hangs."""

import json
import os
import signal
import subprocess
import time

import pytest
from lab import cni, servers
from lab.policy import network, peers
from lab.probe import tcp
from lab.wait import until

RULE = network("web", {"app": "web"}, ingress=[{**peers({"app": "cart"}), "ports": [{"port": 80}]}])


class Room:
    pass


@pytest.fixture(scope="module")
def node(nodes):
    node = nodes()
    node.start_agent()
    node.apply(RULE)
    return node


@pytest.fixture
def room(node):
    """New pods each time; the agent and its rule are the same, and are there again where a test ended them."""
    room = Room()
    room.node = node
    room.cart, room.web = node.pod("cart"), node.pod("web")
    room.web.serve(servers.Echo(room.web.ns, 80))
    yield room
    for pod in node.pods.values():
        pod.remove()
    node.pods.clear()
    if not node.agent or node.agent.poll() is not None:
        node.start_agent()
    until(lambda: not endpoints(node), 3, "the endpoints of the test are gone")


def endpoints(node):
    return {e["name"]: e for e in node.cli("-o", "json", "endpoint", "list").json["endpoints"]}


def add(pod, **kw):
    r = cni.add(pod, **kw)
    assert r.error == 0, r.out
    return r


# --- ADD ---


def test_add_guards_and_passes_the_result_on(room):
    node, web, cart = room.node, room.web, room.cart
    assert tcp(cart, web.ip4, 80) == "ok"  # nobody guards yet
    r = add(web, settings={"labels": {"app": "web"}})
    assert r.json == cni.prev(web) and r.err == ""
    assert tcp(cart, web.ip4, 80) == "blocked"
    add(cart, settings={"labels": {"app": "cart"}})
    assert tcp(cart, web.ip4, 80) == "ok"
    e = endpoints(node)["id-web.eth0"]
    assert e["container"] == {"id": "id-web", "ifname": "eth0", "network": "lab"}
    assert e["iface"] == web.iface and {web.ip4, web.ip6} <= set(e["ips"]) and e["labels"] == {"app": "web"} and e["mac"] == web.mac()
    shown = node.cli("endpoint", "list").out
    assert "CONTAINER" in shown and "id-web\n" in shown
    assert "2 of them containers" in node.cli("status").out


def test_add_as_kubernetes_does(room):
    node, web = room.node, room.web
    args = "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web-0;K8S_POD_INFRA_CONTAINER_ID=abc;K8S_POD_UID=12-34"
    add(web, args=args, settings={"args": {"cni": {"x": 1}}, "runtimeConfig": {"portMappings": []}, "cni.dev/x": 1})
    e = endpoints(node)["web-0"]
    assert e["namespace"] == "shop" and e["container"]["pod_uid"] == "12-34"
    # The same pod, made again after its sandbox died: the old one goes first.
    r = cni.add(room.cart, container="other", args=args)
    assert r.error == 11 and "web-0" in r.msg
    assert cni.delete(web).error == 0
    add(room.cart, container="other", args=args)


def test_add_twice_and_address_given_out_again(room):
    """A runtime that lost a DEL: the newest ADD tells the truth."""
    node, web = room.node, room.web
    add(web)
    add(web)
    assert list(endpoints(node)) == ["id-web.eth0"]
    add(web, container="newer")
    assert list(endpoints(node)) == ["newer.eth0"]


def test_add_does_not_take_what_others_said(room):
    """An endpoint of `endpoint add` is not the runtime's to replace."""
    room.web.guard()
    r = cni.add(room.web)
    assert r.error == 11 and "default/web" in r.msg
    assert list(endpoints(room.node)) == ["web"]


def change(pod, **how):
    """prevResult with something else in it."""
    p = cni.prev(pod)
    p.update(how)
    if "ips" not in how:
        inside = [i for i, o in enumerate(how["interfaces"] or ()) if o.get("sandbox")]
        p["ips"] = [{**ip, "interface": inside[0] if inside else 0} for ip in p["ips"]]
    return p


def test_add_refuses_what_it_cannot_guard(room):
    node, web, cart = room.node, room.web, room.cart
    both, host = cni.prev(web)["interfaces"], cni.prev(cart)["interfaces"][1]
    sandbox = both[2]
    for what, result, words in (
        ("none", None, "prevResult is missing"),
        ("no list", change(web, interfaces=None), "list"),
        ("no host side", change(web, interfaces=[sandbox]), "without a sandbox"),
        ("the bridge alone", change(web, interfaces=[both[0], sandbox]), "no host-side veth"),
        ("somebody else's veth", change(web, interfaces=[both[0], host, sandbox]), "no host-side veth"),
        ("one that is not there", change(web, interfaces=[{"name": "veth-none"}, sandbox]), "none of which exists"),
        ("no interface inside", change(web, interfaces=both[:2]), "eth0 in the container"),
        ("another inside", change(web, interfaces=both[:2] + [{**sandbox, "name": "net1"}]), "eth0 in the container"),
        ("no address", change(web, ips=[]), "no address"),
        ("an address of another", change(web, ips=[{"interface": 1, "address": "10.0.0.1/8"}]), "no address"),
        ("an address that is none", change(web, ips=[{"interface": 2, "address": "10.0.0.999/8"}]), "10.0.0.999"),
        ("without its prefix", change(web, ips=[{"interface": 2, "address": "10.0.0.9"}]), "ADDRESS/PREFIX"),
        ("too many", change(web, interfaces=both[:1] * 100 + both), "64"),
    ):
        conf = cni.config(node, **({"prevResult": result} if result else {}))
        r = cni.call(node, conf, cni.environment("ADD", web))
        assert r.error == 7 and words in r.msg, (what, r.out)
    r = cni.add(web, settings={"labels": {"not valid!": "x"}})
    assert r.error == 7 and "not valid!" in r.msg
    assert not endpoints(node) and tcp(cart, web.ip4, 80) == "ok"


def test_namespace_is_not_trusted(room):
    node, web = room.node, room.web
    pipe, link = os.path.join(node.dir, "pipe"), os.path.join(node.dir, "link")
    os.mkfifo(pipe)
    os.symlink(web.ns.path, link)
    for path, words in (
        ("/nowhere", "cannot be opened"),
        (node.dir, "not a network namespace"),
        (pipe, "not a network namespace"),
        ("/proc/self/ns/mnt", "not a network namespace"),
        ("/proc/self/ns/net", "of the host"),
        ("x" * 5000, "cannot be opened"),
    ):
        r = cni.add(web, CNI_NETNS=path)
        assert r.error == 4 and words in r.msg, (path, r.out)
    # The namespace of another: the veth does not lead there.
    assert cni.add(web, CNI_NETNS=room.cart.ns.path).error == 7
    assert not endpoints(node)
    assert cni.add(web, CNI_NETNS=link).error == 0  # as /var/run is one


# --- DEL ---


def test_delete_needs_the_id_alone(room):
    node, web = room.node, room.web
    add(web, settings={"labels": {"app": "web"}})
    assert cni.call(node, cni.config(node), {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "id-web"}).error == 0
    assert not endpoints(node)
    for _ in range(2):  # again, with and without everything
        assert cni.delete(web).error == 0
        assert cni.delete(web, CNI_NETNS="", CNI_IFNAME="").error == 0
    assert cni.delete(web, container="never-there").error == 0
    # A spoilt configuration does not keep a container.
    add(web)
    assert cni.delete(web, settings={"labels": 7, "failPolicy": "?", "typo": 1}).error == 0
    assert not endpoints(node)


def test_delete_takes_its_own_interface(room):
    node, web, cart = room.node, room.web, room.cart
    add(web, container="two")
    assert cni.delete(web, container="two", CNI_IFNAME="eth1").error == 0
    assert cni.delete(web, container="other").error == 0
    assert cni.delete(web, container="two", settings={"name": "other"}).error == 0
    assert list(endpoints(node)) == ["two.eth0"]
    cart.guard()
    assert cni.delete(cart, container="cart").error == 0  # not CNI's
    assert cni.delete(web, container="two").error == 0
    assert list(endpoints(node)) == ["cart"]


def test_nothing_is_free_between_delete_and_the_end_of_the_interface(room):
    """Ours is the first plugin that DEL runs; the veth is there until bridge's turn."""
    node, web, cart = room.node, room.web, room.cart
    add(web, settings={"labels": {"app": "web"}})
    assert tcp(cart, web.ip4, 80) == "blocked"
    assert cni.delete(web).error == 0 and not endpoints(node)
    assert tcp(cart, web.ip4, 80) == "blocked"
    # So it stays with the next agent.
    node.kill_agent()
    node.start_agent()
    assert tcp(cart, web.ip4, 80) == "blocked"
    # A container that comes to this interface lifts it.
    add(web)
    assert tcp(cart, web.ip4, 80) == "ok"
    assert cni.delete(web).error == 0
    used = lambda: node.cli("-o", "json", "status").json["attached"]["used"]
    assert used() == 1
    node.ns.ip(f"link del {web.iface}")
    until(lambda: used() == 0, 3, "the kernel side forgets the interface")
    # And where it goes while no agent is there.
    add(cart)
    assert cni.delete(cart).error == 0 and used() == 1
    node.kill_agent()
    node.ns.ip(f"link del {cart.iface}")
    node.start_agent()
    assert used() == 0


# --- the agent is away ---


def test_agent_away_at_add(room):
    node, web = room.node, room.web
    node.kill_agent()
    for run_dir in (node.run_dir, "/run/no-such-directory"):
        r = cni.add(web, settings={"runDir": run_dir})
        assert r.error == 11 and "away" in r.msg and "failPolicy" in r.json["details"]
    r = cni.add(web, settings={"failPolicy": "open"})
    assert r.error == 0 and r.json == cni.prev(web) and "WITHOUT policy" in r.err
    # It is the agent's absence that is forgiven, not its refusal.
    node.start_agent()
    assert cni.add(web, settings={"failPolicy": "open", "labels": {"a b": "c"}}).error == 7


def test_agent_killed_between_add_and_delete(room):
    """The interface is still there when the next agent looks: nothing else tells it."""
    node, web, cart = room.node, room.web, room.cart
    add(web, settings={"labels": {"app": "web"}})
    node.kill_agent()
    r = cni.delete(web)
    assert r.error == 0 and "noted" in r.err
    node.start_agent()
    assert not endpoints(node)
    assert os.listdir(f"{node.run_dir}/cni-deleted") == []
    assert tcp(cart, web.ip4, 80) == "blocked"


def test_name_used_again_while_the_agent_was_away(room):
    """DEL, the agent, and ADD under the same id: the note of the DEL must not hit the new one."""
    node, web = room.node, room.web
    add(web)
    node.kill_agent()
    assert cni.delete(web).error == 0
    note = os.listdir(f"{node.run_dir}/cni-deleted")[0]
    with open(f"{node.run_dir}/cni-deleted/{note}", encoding="ascii") as f:
        text = f.read()
    node.start_agent()
    # Written just after the agent has looked, by a plugin that was killed there.
    with open(f"{node.run_dir}/cni-deleted/late", "w", encoding="ascii") as f:
        f.write(text)
    add(web)
    assert not os.listdir(f"{node.run_dir}/cni-deleted")
    assert list(endpoints(node)) == ["id-web.eth0"]
    node.kill_agent()
    node.start_agent()
    assert list(endpoints(node)) == ["id-web.eth0"]


def test_agent_that_hangs(room):
    node, web = room.node, room.web
    add(web)
    node.agent.send_signal(signal.SIGSTOP)
    short = {"timeoutSeconds": 1}
    assert cni.add(room.cart, settings=short).error == 11
    assert cni.status(node, **short).error == 50
    assert cni.delete(web, settings=short).error == 0
    node.agent.send_signal(signal.SIGCONT)
    # What it was asked meanwhile it may do; what is deleted is deleted. The runtime says so of a failed ADD too.
    assert cni.delete(room.cart).error == 0
    until(lambda: not endpoints(node), 8, "the deletion arrives")
    until(lambda: not os.listdir(f"{node.run_dir}/cni-deleted"), 8, "the note is read")


def test_agent_that_may_not_change_anything(room):
    node, web = room.node, room.web
    add(web)
    node.kill_agent()
    state = os.path.join(node.run_dir, "state.json")
    with open(state, encoding="utf-8") as f:
        good = f.read()
    with open(state, "w", encoding="utf-8") as f:
        f.write("{")
    node.start_agent()
    assert cni.add(room.cart).error == 11
    assert cni.status(node).error == 50
    assert cni.delete(web).error == 0
    node.kill_agent()
    with open(state, "w", encoding="utf-8") as f:
        f.write(good)
    node.start_agent()
    assert not endpoints(node)


def test_notes_that_are_none(room):
    node = room.node
    os.makedirs(f"{node.run_dir}/cni-deleted", exist_ok=True)
    notes = {"a": "", "b": "{", "c": "[]", "d": '{"id": 7}', "e": "x" * 10000, "f": '{"id": "../x"}'}
    for name, text in notes.items():
        with open(f"{node.run_dir}/cni-deleted/{name}", "w", encoding="ascii") as f:
            f.write(text)
    os.symlink("/etc/passwd", f"{node.run_dir}/cni-deleted/g")
    os.mkfifo(f"{node.run_dir}/cni-deleted/h")
    add(room.web)
    assert not os.listdir(f"{node.run_dir}/cni-deleted")
    assert os.path.exists("/etc/passwd") and list(endpoints(node)) == ["id-web.eth0"]


def index(node, iface):
    return json.loads(node.ns.run("ip", "-j", "link", "show", iface, check=True).stdout)[0]["ifindex"]


@pytest.mark.parametrize("pins", ["kept", "gone"])
def test_interface_number_given_out_again(room, pins):
    """The container went while no agent was there, and its interface's number has another now; with the pins gone it
    is a node that was booted while the run directory stayed."""
    node, web, cart = room.node, room.web, room.cart
    add(web, settings={"labels": {"app": "web"}})
    number = index(node, web.iface)
    node.kill_agent()
    node.ns.ip(f"link del {web.iface}", f"link add other index {number} type veth peer name inside netns {cart.ns.name}", "link set other master br0 up")
    assert index(node, "other") == number
    cart.ns.ip("link set inside up", "addr add 192.0.2.1/24 dev inside")
    node.ns.ip("addr replace 192.0.2.2/24 dev br0")
    if pins == "gone":
        node.ns.run("rm", "-rf", node.pin_dir, check=True)
    node.start_agent()
    assert not endpoints(node)
    assert node.cli("-o", "json", "status").json["attached"]["used"] == 0
    assert cart.run("ping", "-c1", "-W2", "192.0.2.2").returncode == 0


def test_pins_gone_and_the_container_still_there(room):
    """Somebody removed the pins, not the containers: they are guarded again."""
    node, web, cart = room.node, room.web, room.cart
    add(web, settings={"labels": {"app": "web"}})
    node.kill_agent()
    node.ns.run("rm", "-rf", node.pin_dir, check=True)
    until(lambda: tcp(cart, web.ip4, 80, 2) == "ok", 3, "both hooks are gone")
    node.start_agent()
    assert list(endpoints(node)) == ["id-web.eth0"]
    assert tcp(cart, web.ip4, 80) == "blocked"


# --- CHECK, STATUS, GC, VERSION ---


def test_check(room):
    node, web, cart = room.node, room.web, room.cart
    assert cni.check(web).error == 101
    add(web)
    r = cni.check(web)
    assert r.error == 0 and r.out == ""
    r = cni.check(web, result=change(web, ips=[{"interface": 2, "address": f"{cart.ip4}/24"}]))
    assert r.error == 101 and cart.ip4 in r.msg
    assert cni.check(web, container="other").error == 101
    assert cni.check(web, CNI_NETNS="").error == 4
    # What the kernel says.
    links = sorted(os.path.join(d, f) for d, _, files in os.walk(node.pin_dir) for f in files if f.endswith("_to"))
    assert len(links) == 1
    os.unlink(links[0])
    r = cni.check(web)
    assert r.error == 101 and "1 of our 2 hooks" in r.msg
    node.kill_agent()
    assert cni.check(web).error == 11


def test_status_from_a_flawed_start_to_the_end(nodes):
    node = nodes()
    flaw = f"{node.policy_dir}/x.yaml"
    with open(flaw, "w", encoding="ascii") as f:
        f.write("kind: Nonsense\n")
    node.start_agent()
    r = cni.status(node)
    assert r.error == 50 and "x.yaml" in r.msg
    os.unlink(flaw)
    until(lambda: cni.status(node).error == 0, 3, "the directory is read again")
    assert cni.status(node, version="1.0.0").error == 1
    assert cni.status(node, labels=7).error == 7
    node.stop_agent()
    assert cni.status(node).error == 50
    r = cni.status(node, failPolicy="open")
    assert r.error == 0 and "away" in r.err
    # What is noted for an agent goes with the rest.
    assert cni.call(node, cni.config(node), {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "x"}).error == 0
    assert len(os.listdir(f"{node.run_dir}/cni-deleted")) == 1
    node.cli("down")
    assert not os.path.exists(node.run_dir)
    assert cni.call(node, cni.config(node), {"CNI_COMMAND": "DEL", "CNI_CONTAINERID": "x"}).error == 0
    assert not os.path.exists(node.run_dir)


def test_many_at_once(room):
    """As when a node comes up: more than the agent serves side by side."""
    node = room.node
    conf = json.dumps(cni.config(node)).encode()
    kw = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "env": cni.environment("STATUS")}
    node.agent.send_signal(signal.SIGSTOP)
    plugins = [node.ns.popen(cni.PLUGIN, **kw) for _ in range(150)]
    for p in plugins:
        p.stdin.write(conf)
        p.stdin.close()
        p.stdin = None
    time.sleep(0.2)
    node.agent.send_signal(signal.SIGCONT)
    assert {p.communicate(timeout=30)[0] for p in plugins} == {b""}
    assert {p.returncode for p in plugins} == {0}


def test_gc(room):
    node, web, cart = room.node, room.web, room.cart
    add(web)
    add(cart, settings={"name": "other"})
    node.pod("by-hand").guard()
    assert cni.gc(node, ("id-web", "eth0"), ("never", "eth0")).error == 0
    assert set(endpoints(node)) == {"id-web.eth0", "id-cart.eth0", "by-hand"}
    assert cni.gc(node, ("id-web", "eth1")).error == 0
    assert set(endpoints(node)) == {"id-cart.eth0", "by-hand"}
    key = "cni.dev/valid-attachments"
    for broken in ({}, {key: 7}, {key: [7]}, {key: [{"containerID": "x"}]}):
        r = cni.call(node, cni.config(node, name="other", **broken), cni.environment("GC"))
        assert r.error == 7 and key in r.msg, broken
    assert set(endpoints(node)) == {"id-cart.eth0", "by-hand"}
    # libcni's empty list.
    assert cni.call(node, cni.config(node, name="other", **{key: None}), cni.environment("GC")).error == 0
    assert set(endpoints(node)) == {"by-hand"}
    assert cni.call(node, cni.config(node, "1.0.0", **{key: []}), cni.environment("GC")).error == 1
    node.kill_agent()
    assert cni.gc(node).error == 11


def test_version(room):
    node = room.node
    for text, said in (("", "1.1.0"), ('{"cniVersion": "1.0.0"}', "1.0.0"), ('{"cniVersion": "1.1.0"}', "1.1.0"), ('{"cniVersion": "0.3.1"}', "1.1.0")):
        r = cni.call(node, text, {"CNI_COMMAND": "VERSION"})
        assert r.error == 0 and r.json == {"cniVersion": said, "supportedVersions": ["1.0.0", "1.1.0"]}
    assert cni.call(node, "{", {"CNI_COMMAND": "VERSION"}).error == 6


# --- what is said wrongly ---


def test_environment(room):
    node, web = room.node, room.web
    good = cni.environment("ADD", web)
    conf = cni.config(node, prevResult=cni.prev(web))
    for change_, words in (
        ({"CNI_COMMAND": ""}, "CNI_COMMAND"),
        ({"CNI_COMMAND": "add"}, "CNI_COMMAND"),
        ({"CNI_CONTAINERID": ""}, "CNI_CONTAINERID"),
        ({"CNI_CONTAINERID": "", "CNI_IFNAME": "", "CNI_NETNS": ""}, "CNI_CONTAINERID CNI_NETNS CNI_IFNAME"),
        ({"CNI_CONTAINERID": "-x"}, "CNI_CONTAINERID"),
        ({"CNI_CONTAINERID": "a/b"}, "CNI_CONTAINERID"),
        ({"CNI_CONTAINERID": "a" * 201}, "200"),
        ({"CNI_NETNS": ""}, "CNI_NETNS"),
        ({"CNI_IFNAME": ".."}, "CNI_IFNAME"),
        ({"CNI_IFNAME": "a" * 16}, "CNI_IFNAME"),
        ({"CNI_IFNAME": "a b"}, "CNI_IFNAME"),
        ({"CNI_IFNAME": "a/b"}, "CNI_IFNAME"),
        ({"CNI_ARGS": "novalue"}, "KEY=VALUE"),
        ({"CNI_ARGS": "K8S_POD_NAME=a;K8S_POD_NAME=b"}, "twice"),
        ({"CNI_ARGS": "A=" + "b" * 20000}, "CNI_ARGS"),
    ):
        r = cni.call(node, conf, good | change_)
        assert r.error == 4 and words in r.msg, (change_, r.out)
    r = cni.call(node, conf, good | {"CNI_ARGS": "K8S_POD_NAME=a b;K8S_POD_NAMESPACE=x"})
    assert r.error == 7 and "a b" in r.msg
    assert not endpoints(node)


def test_configuration(room):
    node, web = room.node, room.web
    env = cni.environment("ADD", web)
    good = cni.config(node, prevResult=cni.prev(web))
    text = json.dumps(good)
    for spoilt in ("", "{", "[]", "7", "null", text[:-1], text + "x", text.replace("lab", "\\ud800"), text.replace("lab", "\udcff\udcfe"), text[:-1] + ', "name": "lab"}', '{"a":' * 5000):
        r = cni.call(node, spoilt, env)
        assert r.error == 6, (spoilt[:50], r.out)
    r = cni.call(node, text + " " * (4 << 20), env)
    assert r.error == 6 and "4194304" in r.msg
    for more, code, words in (
        ({"cniVersion": "0.4.0"}, 1, "0.4.0"),
        ({"cniVersion": "2.0.0"}, 1, "2.0.0"),
        ({"cniVersion": None}, 6, "cniVersion"),
        ({"name": ""}, 7, "name"),
        ({"name": "../x"}, 7, "../x"),
        ({"type": "bridge"}, 7, "bridge"),
        ({"failpolicy": "open"}, 2, 'failpolicy: "open"'),
        ({"ipam": {"type": "host-local"}}, 2, "ipam"),
        ({"failPolicy": "maybe"}, 7, "failPolicy"),
        ({"failPolicy": True}, 7, "failPolicy"),
        ({"labels": []}, 7, "labels"),
        ({"labels": {"a": 1}}, 7, "'a'"),
        ({"labels": {f"k{i}": "v" for i in range(257)}}, 7, "256"),
        ({"runDir": "run"}, 7, "runDir"),
        ({"runDir": "/run/../tmp"}, 7, "runDir"),
        ({"runDir": 7}, 7, "runDir"),
        ({"timeoutSeconds": 0}, 7, "timeoutSeconds"),
        ({"timeoutSeconds": 1e9}, 7, "timeoutSeconds"),
        ({"logFile": "x"}, 7, "logFile"),
        ({"logLevel": "loud"}, 7, "logLevel"),
    ):
        r = cni.call(node, good | more, env)
        assert r.error == code and words in r.msg, (more, r.out)
        assert "Bad address" not in r.err
    without = {k: v for k, v in good.items() if k != "cniVersion"}
    r = cni.call(node, without, env)
    assert r.error == 1 and "0.1.0" in r.msg
    assert not endpoints(node)


def test_error_is_json_whatever_was_said(room):
    """Bytes that are no text, where the message repeats them."""
    env = cni.environment("ADD", room.web)
    conf = cni.config(room.node, prevResult=cni.prev(room.web))
    for name in ("CNI_COMMAND", "CNI_NETNS", "CNI_CONTAINERID", "CNI_IFNAME", "CNI_ARGS"):
        assert cni.call(room.node, conf, env | {name: "\udcff\udc80" * 5}).error == 4
    assert cni.call(room.node, conf, env | {"CNI_ARGS": "K8S_POD_NAME=\udcff"}).error == 4


def test_directories_of_others_are_not_used(room):
    node, web = room.node, room.web
    os.chmod(node.run_dir, 0o777)
    for policy in ("closed", "open"):
        r = cni.add(web, settings={"failPolicy": policy})
        assert r.error == 5 and "others may write" in r.msg
    assert cni.status(node, failPolicy="open").error == 50
    os.chmod(node.run_dir, 0o700)
    log = os.path.join(node.dir, "cni.log")
    add(web, settings={"logFile": log})
    assert os.stat(log).st_mode & 0o777 == 0o600
    lines = [json.loads(line) for line in open(log, encoding="utf-8")]
    assert lines[0]["command"] == "ADD" and lines[0]["container"] == "id-web" and "guarded" in lines[0]["msg"]
    assert cni.add(web, settings={"logFile": log, "labels": {"x y": "\n\x1b"}}).error == 7
    assert [json.loads(line)["level"] for line in open(log, encoding="utf-8")] == ["info", "error"]
    # A place where others may put a link: said, and the container comes up all the same.
    os.chmod(node.dir, 0o777)
    r = add(web, settings={"logFile": log})
    assert "others may write" in r.err
    os.chmod(node.dir, 0o755)
    os.unlink(log)
    os.symlink("/etc/passwd", log)
    before = os.stat("/etc/passwd")
    assert "logFile" in add(web, settings={"logFile": log}).err
    assert os.stat("/etc/passwd").st_size == before.st_size
