# SPDX-License-Identifier: Apache-2.0
"""BPFast is a guest on the devices: what others put there survives, and `down` restores the machine."""

import glob
import json
import os
import shutil
import subprocess

import pytest
from lab import servers
from lab.node import BIN
from lab.policy import network
from lab.probe import tcp, udp

COUNTER = r"""
#include <linux/bpf.h>
#include <linux/types.h>
#define SEC(x) __attribute__((section(x), used))
static void *(*lookup)(void *map, const void *key) = (void *)1;
struct { int (*type)[2]; __u32 *key; __u64 *value; int (*max_entries)[1]; } other_count SEC(".maps");
SEC("tc") int other_prog(struct __sk_buff *skb)
{
	__u32 zero = 0;
	__u64 *n = lookup(&other_count, &zero);
	if (n)
		__sync_fetch_and_add(n, 1);
	return -1;
}
char LICENSE[] SEC("license") = "GPL";
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """Somebody else's TC program: it counts packets."""
    d = tmp_path_factory.mktemp("other")
    (d / "other.c").write_text(COUNTER)
    clang = shutil.which("clang-19") or "clang"
    subprocess.run(
        [clang, "-O2", "-g", "-target", "bpf", f"-I/usr/include/{os.uname().machine}-linux-gnu", "-c", d / "other.c", "-o", d / "other.o"], check=True
    )
    return d / "other.o"


def machine(node):
    """All that an administrator would see of us, and of others."""
    sh = lambda *cmd: subprocess.run(cmd, capture_output=True, text=True, check=False).stdout
    ns = node.ns
    state = {
        "qdisc": ns.run("tc", "qdisc", "show").stdout,
        "links": [line.split()[1] for line in ns.run("ip", "-o", "link").stdout.splitlines()],
        "routes": ns.run("ip", "route").stdout + ns.run("ip", "-6", "route").stdout,
        "pins": sorted(glob.glob("/sys/fs/bpf/**", recursive=True)),
        "netfilter": ns.run("sh", "-c", "nft list ruleset 2>/dev/null; iptables-save 2>/dev/null").stdout,
    }
    for pod in node.pods.values():
        for side in ("ingress", "egress"):
            state[f"tc {pod.name} {side}"] = ns.run("tc", "filter", "show", "dev", pod.iface, side).stdout
    state["progs"] = sorted(p["name"] for p in json.loads(sh("bpftool", "-j", "prog", "list") or "[]") if p.get("name", "").startswith("bpfast_"))
    return state


@pytest.fixture
def room(request, nodes):
    node = nodes(clsact=request.param == "clsact")
    node.cart, node.web = node.pod("cart"), node.pod("web")
    node.web.serve(servers.Echo(node.web.ns, 80))
    assert tcp(node.cart, node.web.ip4, 80, 2) == "ok"
    return node


def mine(state):
    """Without programs: other runs on this machine have some of the same name."""
    return {k: v for k, v in state.items() if k != "progs"}


@pytest.mark.parametrize("room", ["tcx", "clsact"], indirect=True)
@pytest.mark.parametrize("alive", [True, False])
def test_down_restores_exactly(room, alive):
    before = machine(room)
    room.start_agent()
    room.cart.guard()
    room.web.guard()
    room.apply(network("web", {"app": "web"}, ingress=[]))
    assert tcp(room.cart, room.web.ip4, 80) == "blocked"
    assert mine(machine(room)) != mine(before)
    if alive:  # one endpoint alone goes first
        room.web.unguard()
        for key in mine(before):
            if " web " in key:
                assert machine(room)[key] == before[key]
        assert tcp(room.cart, room.web.ip4, 80, 2) == "ok"
        room.web.guard()
        assert tcp(room.cart, room.web.ip4, 80) == "blocked"
    else:
        room.kill_agent()
    r = room.bpfast("down", *([] if alive else ["--pin-dir", room.pin_dir]))
    assert r.code == 0, r.err
    assert mine(machine(room)) == mine(before)
    assert tcp(room.cart, room.web.ip4, 80, 2) == "ok"
    again = room.bpfast("down", "--pin-dir", room.pin_dir)
    assert again.code == 0, again.err


def test_down_takes_nothing_away_from_another_agent(nodes, tmp_path):
    """A slip in --run-dir would remove what lies under the default pin directory, or what another agent is at work on."""
    node = nodes()
    node.pod("web")
    node.start_agent()
    node.pods["web"].guard()
    pins = lambda: sorted(glob.glob(f"{node.pin_dir}/**", recursive=True))
    before = pins()
    wrong = [os.path.join(BIN, "bpfast"), "--run-dir", str(tmp_path), "down"]
    for more, says in (([], "say --pin-dir"), (["--pin-dir", node.pin_dir], "at work on")):
        r = node.ns.run(*wrong, *more)
        assert r.returncode == 1 and says in r.stderr, r.stderr
        assert pins() == before and before
    node.cli("down")
    assert not os.path.exists(node.pin_dir)


def others_count(node, what):
    maps = json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "pinned", what], capture_output=True, check=True).stdout)
    return maps[0]["formatted"]["value"]


@pytest.mark.parametrize("room,how", [("tcx", "tcx"), ("tcx", "clsact"), ("clsact", "clsact")], indirect=["room"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_others_programs_survive(room, counter, how, when, tmp_path):
    node = room
    pin = f"/sys/fs/bpf/other-{node.number}"

    def attach_other():
        subprocess.run(["bpftool", "prog", "loadall", counter, f"{pin}-prog", "type", "classifier", "pinmaps", f"{pin}-maps"], check=True)
        prog = f"{pin}-prog/other_prog"
        if not os.path.exists(prog):
            prog = glob.glob(f"{pin}-prog/*")[0]
        if how == "clsact":
            if "clsact" not in node.ns.run("tc", "qdisc", "show", "dev", node.web.iface).stdout:
                node.ns.run("tc", "qdisc", "add", "dev", node.web.iface, "clsact", check=True)
            node.ns.run("tc", "filter", "add", "dev", node.web.iface, "egress", "bpf", "da", "object-pinned", prog, check=True)
        else:
            r = node.ns.run("bpftool", "net", "attach", "tcx_egress", "pinned", prog, "dev", node.web.iface)
            if r.returncode != 0:
                attach_tcx(node.ns, prog, node.web.iface)

    try:
        if when == "before":
            attach_other()
        node.start_agent()
        node.cart.guard()
        node.web.guard()
        if when == "after":
            attach_other()
        count = lambda: others_count(node, f"{pin}-maps/other_count")
        a = count()
        assert tcp(node.cart, node.web.ip4, 80, 2) == "ok"
        b = count()
        assert b > a, "the other program sees no packets any more"
        node.cli("down")
        assert tcp(node.cart, node.web.ip4, 80, 2) == "ok"
        assert count() > b, "the other program is gone"
    finally:
        _tcx_fds.clear()
        shutil.rmtree(f"{pin}-prog", ignore_errors=True)
        shutil.rmtree(f"{pin}-maps", ignore_errors=True)


_tcx_fds = []


def attach_tcx(ns, pinned, device):
    """bpftool of Debian 12 knows no TCX: BPF_OBJ_GET and BPF_PROG_ATTACH by hand."""
    import ctypes
    import platform
    import socket
    import struct

    libc = ctypes.CDLL(None, use_errno=True)
    nr = {"x86_64": 321, "aarch64": 280}[platform.machine()]

    def bpf(cmd, attr):
        buf = ctypes.create_string_buffer(attr + bytes(128 - len(attr)), 128)
        r = libc.syscall(nr, cmd, buf, 128)
        if r < 0:
            raise OSError(ctypes.get_errno(), f"bpf command {cmd}")
        return r

    path = ctypes.create_string_buffer(pinned.encode())
    fd = bpf(7, struct.pack("QII", ctypes.addressof(path), 0, 0))
    with ns.inside():
        index = socket.if_nametoindex(device)
        bpf(8, struct.pack("IIII", index, fd, 47, 0))  # BPF_TCX_EGRESS
    os.close(fd)


@pytest.mark.parametrize("room", ["tcx"], indirect=True)
def test_first_in_the_chain(room, counter):
    """Whoever was there before: we are asked first, and what we deny they do not see."""
    pin = f"/sys/fs/bpf/other-{room.number}"
    subprocess.run(["bpftool", "prog", "load", counter, pin, "type", "classifier", "pinmaps", f"{pin}-maps"], check=True)
    count = lambda: others_count(room, f"{pin}-maps/other_count")
    try:
        # Router solicitations and listener reports of everybody on the bridge pass, and would be counted.
        for ns in (room.ns, room.cart, room.web):
            ns.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1")
        attach_tcx(room.ns, pin, room.web.iface)
        room.start_agent()
        room.web.guard()
        assert tcp(room.cart, room.web.ip4, 80, 2) == "ok"
        assert count() > 0
        room.apply(network("web", {"app": "web"}, ingress=[]))
        room.web.run("ip", "neigh", "flush", "all")
        before = count()
        assert udp(room.cart, room.web.ip4, 80) == "blocked"
        assert count() - before <= 2, "it sees what was denied"  # at most ARP
    finally:
        os.unlink(pin)
        shutil.rmtree(f"{pin}-maps", ignore_errors=True)
