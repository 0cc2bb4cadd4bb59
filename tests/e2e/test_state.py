# SPDX-License-Identifier: Apache-2.0
"""What a new agent does with what an old one left, where that is damaged, lost or not the whole truth."""

import json
import os
import subprocess

import pytest
from lab import servers
from lab.node import BIN
from lab.policy import network, peers
from lab.probe import tcp
from lab.wait import until

FRONT = network("web", {"app": "web"}, ingress=[{**peers({"app": "cart"}), "ports": [{"port": 80}]}])


class Room:
    pass


@pytest.fixture
def room(nodes):
    room = Room()
    room.node = node = nodes()
    room.cart, room.stranger, room.web = node.pod("cart"), node.pod("stranger"), node.pod("web")
    room.web.serve(servers.Echo(room.web.ns, 80))
    node.start_agent()
    for pod in node.pods.values():
        pod.guard()
    node.apply(FRONT)
    room.state = os.path.join(node.run_dir, "state.json")
    assert holds(room)
    return room


def holds(room):
    return tcp(room.cart, room.web.ip4, 80, 2) == "ok" and tcp(room.stranger, room.web.ip4, 80) == "blocked"


def refused(node, *args):
    r = node.bpfast(*args)
    assert r.code == 1 and r.err.startswith("bpfast: ")
    return r.err


@pytest.mark.parametrize("damage", ["garbage", "cut", "other-version", "other-pins", "gone"])
def test_unusable_state_keeps_what_is_in_force(room, damage):
    node = room.node
    node.kill_agent()
    with open(room.state, encoding="utf-8") as f:
        text = f.read()
    state = json.loads(text)
    if damage == "garbage":
        text = "\0\0garbage"
    elif damage == "cut":
        text = text[: len(text) // 2]
    elif damage == "other-version":
        text = json.dumps({**state, "version": 999})
    elif damage == "other-pins":
        text = json.dumps({**state, "pin_dir": "/sys/fs/bpf/elsewhere"})
    os.unlink(room.state)
    if damage != "gone":
        with open(room.state, "w", encoding="utf-8") as f:
            f.write(text)
    node.start_agent()
    assert holds(room)
    for command in (
        ("policy", "delete", "NetworkPolicy/default/web"),
        ("endpoint", "delete", "web"),
        ("endpoint", "label", "web", "app=x"),
        ("endpoint", "add", "new", "--iface", room.web.iface),
    ):
        assert "state.json" in refused(node, *command)
    assert any("nothing can be changed" in w for w in node.cli("-o", "json", "status").json["warnings"])
    assert holds(room)
    # The way out that the sentence names.
    node.cli("down")
    assert tcp(room.stranger, room.web.ip4, 80, 2) == "ok"


def test_guarded_interface_that_nobody_knows_is_closed(room):
    node = room.node
    node.kill_agent()
    with open(room.state, encoding="utf-8") as f:
        state = json.load(f)
    state["endpoints"] = [e for e in state["endpoints"] if e["name"] != "cart"]
    with open(room.state, "w", encoding="utf-8") as f:
        json.dump(state, f)
    mark = os.path.getsize(node.agent_log)
    node.start_agent()
    assert room.cart.iface in node.log_since(mark)
    assert tcp(room.cart, room.web.ip4, 80) == "blocked"
    assert tcp(room.stranger, room.web.ip4, 80) == "blocked"
    room.cart.guard()
    assert holds(room)


def test_endpoint_that_was_not_attached_yet(room):
    """Killed after the state was written and before the hooks were there."""
    node = room.node
    node.cli("endpoint", "delete", "web")
    assert tcp(room.stranger, room.web.ip4, 80, 2) == "ok"
    node.kill_agent()
    with open(room.state, encoding="utf-8") as f:
        state = json.load(f)
    index = json.loads(node.ns.run("ip", "-j", "link", "show", room.web.iface).stdout)[0]["ifindex"]
    slot = max(e["slot"] for e in state["endpoints"]) + 1
    web = {"name": "web", "namespace": "default", "iface": room.web.iface, "ifindex": index, "slot": slot}
    web |= {"ips": [room.web.ip4, room.web.ip6], "labels": {"app": "web"}, "ports": []}
    state["endpoints"].append(web)
    with open(room.state, "w", encoding="utf-8") as f:
        json.dump(state, f)
    node.start_agent()
    assert holds(room)


def test_state_is_for_root_alone(room):
    assert os.stat(room.state).st_mode & 0o777 == 0o600
    assert os.stat(room.node.run_dir).st_mode & 0o777 == 0o700


def test_failed_start_leaves_nothing(nodes):
    node = nodes()
    node.start_agent("--metrics-listen", "192.0.2.1:1", ready=False)
    assert node.agent.wait(15) == 1
    assert not os.path.exists(node.pin_dir)
    # After the kernel side was loaded: the socket's place is taken.
    os.makedirs(os.path.join(node.run_dir, "bpfast.sock"))
    node.start_agent(ready=False)
    assert node.agent.wait(15) == 1
    assert not os.path.exists(node.pin_dir)
    os.rmdir(os.path.join(node.run_dir, "bpfast.sock"))


def test_flawed_policy_directory_at_the_first_start(nodes):
    node = nodes()
    web = node.pod("web")
    path = os.path.join(node.policy_dir, "web.yaml")
    with open(path, "w", encoding="utf-8") as f:
        f.write("kind: Nonsense\n")
    for _ in range(2):  # a restart does not make it better
        node.start_agent()
        assert "web.yaml" in refused(node, "endpoint", "add", "web", "--iface", web.iface)
        node.stop_agent()
    node.start_agent()
    with open(path, "w", encoding="utf-8") as f:
        f.write(FRONT if isinstance(FRONT, str) else json.dumps(FRONT))
    until(lambda: node.bpfast("endpoint", "add", "web", "--iface", web.iface).code == 0, 5, "the endpoint is added")
    assert [o["source"] for o in node.cli("-o", "json", "policy", "list").json["objects"]] == ["directory"]


def test_named_group_may_command_but_not_end(nodes):
    node = nodes()
    node.start_agent("--socket-group", "nogroup")
    assert os.stat(node.run_dir).st_mode & 0o777 == 0o750
    tool = os.path.join(node.dir, "bpfast")
    # The build tree may be closed to others.
    subprocess.run(["install", "-m", "0755", os.path.join(BIN, "bpfast"), tool], check=True)
    os.chmod(node.dir, 0o755)

    def as_user(uid, group, *args):
        cmd = ["setpriv", "--reuid", str(uid), "--regid", group, "--clear-groups", tool, "--run-dir", node.run_dir]
        return subprocess.run([*cmd, *args], capture_output=True, text=True, timeout=10)

    assert as_user(65533, "nogroup", "status").returncode == 0
    for command in (("down",), ("observe", "--show-query")):
        r = as_user(65533, "nogroup", *command)
        assert r.returncode == 1 and "root" in r.stderr
    r = as_user(65533, "65533", "status")
    assert r.returncode == 1 and "socket-group" in r.stderr
    assert node.cli("status").code == 0


def test_state_that_cannot_be_written_is_told(room):
    """A directory in the file's place: nobody can write it, root neither."""
    node = room.node
    unsaved = lambda: [w for w in node.cli("-o", "json", "status").json["warnings"] if "could not be written" in w]
    assert not unsaved()
    os.rename(room.state, room.state + ".saved")
    os.mkdir(room.state)
    r = node.bpfast("endpoint", "label", "web", "late=1")
    assert r.code == 1 and "in force, but" in r.err
    assert unsaved() and node.metrics()["bpfast_state_unsaved"] == 1
    os.rmdir(room.state)
    node.cli("endpoint", "label", "web", "late=2")
    assert not unsaved()
