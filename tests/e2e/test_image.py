# SPDX-License-Identifier: Apache-2.0
"""The container image, run by runc with the mounts and capabilities that docs/guide/container.md gives it, and no others."""

import glob
import json
import os
import re
import signal
import subprocess

import pytest
from lab import servers
from lab.http import ask, get
from lab.node import ROOT
from lab.policy import http, payload
from lab.wait import until

# The first of them builds the image.
pytestmark = pytest.mark.seconds(150)


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """-> LAYOUT:TAG of what `make image-tar` makes."""
    out = tmp_path_factory.mktemp("image")
    r = subprocess.run(["make", "-s", "image-tar", f"IMAGE_ROOT={out}/root", f"IMAGE_TAR={out}/image.tar"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    os.mkdir(out / "oci")
    subprocess.run(["tar", "-C", out / "oci", "-xf", out / "image.tar"], check=True)
    with open(out / "oci" / "index.json", encoding="ascii") as f:
        index = json.load(f)
    names = index["manifests"][0]["annotations"]
    assert re.fullmatch(r"bpfast:[\d.]+", names["org.opencontainers.image.ref.name"]) and names["io.containerd.image.name"].startswith("docker.io/library/bpfast:")
    names["org.opencontainers.image.ref.name"] = "one"  # umoci takes no name of that form
    with open(out / "oci" / "index.json", "w", encoding="ascii") as f:
        json.dump(index, f)
    return f"{out}/oci:one"


def documented():
    """What the guide says to `podman run`."""
    with open(f"{ROOT}/docs/guide/container.md", encoding="utf-8") as f:
        command = re.search(r"podman run (.*?) bpfast\n", f.read().replace("\\\n", " "), re.S).group(1)
    assert "--network host" in command and "--read-only" in command and "no-new-privileges" in command and "--cap-drop ALL" in command
    assert "seccomp=deploy/image/seccomp.json" in command
    assert "privileged " not in command.replace("no-new-privileges", "")
    return re.findall(r"--cap-add (\w+)", command), [v.split(":") for v in re.findall(r"-v (\S+)", command)]


class Agent:
    """A container of the image on the node."""

    def __init__(self, node, image, name, *args):
        self.node, self.name = node, name
        self.bundle = os.path.join(node.dir, name)
        self.state = os.path.join(node.dir, "runc")
        subprocess.run(["umoci", "unpack", "--image", image, self.bundle], check=True, capture_output=True)
        with open(f"{self.bundle}/config.json", encoding="utf-8") as f:
            c = json.load(f)
        caps, volumes = documented()
        c["process"]["terminal"] = False
        c["process"]["noNewPrivileges"] = True
        c["process"]["capabilities"] = {k: [f"CAP_{x}" for x in caps] for k in ("bounding", "effective", "permitted")}
        c["root"]["readonly"] = True
        here = {"/sys/fs/bpf": "/sys/fs/bpf", "/run/bpfast": node.run_dir, "/etc/bpfast": f"{node.dir}/etc"}
        c["mounts"] = [{"destination": "/proc", "type": "proc", "source": "proc"}, {"destination": "/sys", "type": "none", "source": "/sys", "options": ["rbind", "ro"]}]
        c["mounts"] += [{"destination": v[1], "type": "none", "source": here[v[0]], "options": ["bind", *v[2:]]} for v in volumes]
        c["linux"]["namespaces"] = [{"type": t} for t in ("pid", "ipc", "uts", "mount")]
        c["linux"]["cgroupsPath"] = f"/{name}"
        with open(f"{ROOT}/deploy/image/seccomp.json", encoding="ascii") as f:
            c["linux"]["seccomp"] = json.load(f)
        self.args = c["process"]["args"]
        c["process"]["args"] = list(args) or self.args
        with open(f"{self.bundle}/config.json", "w", encoding="utf-8") as f:
            json.dump(c, f)
        self.log = open(node.agent_log, "ab")
        self.process = node.ns.popen("runc", "--root", self.state, "run", "-b", self.bundle, name, stdout=self.log, stderr=self.log)
        if args:
            return
        until(lambda: self.process.poll() is not None or node.bpfast("status").code == 0, 15, "the agent answers")
        assert self.process.poll() is None, node.log_since()

    def runc(self, *args):
        return subprocess.run(["runc", "--root", self.state, *args], capture_output=True, text=True, check=False, timeout=20)

    def pid(self):
        return json.loads(self.runc("state", self.name).stdout)["pid"]

    def close(self):
        self.runc("delete", "-f", self.name)
        self.process.wait(10)
        self.log.close()


@pytest.fixture(scope="module")
def room(nodes, image):
    node = nodes()
    node.web, node.cart = node.pod("web"), node.pod("cart")
    node.web.serve(servers.Echo(node.web.ns, 80))
    os.makedirs(f"{node.dir}/etc/policies")
    os.makedirs(node.run_dir)
    node.pin_dir = "/sys/fs/bpf/bpfast"
    node.image = image
    node.container = Agent(node, image, f"bpfast-image-{os.path.basename(node.dir)}-1")
    yield node
    node.container.close()


def asked(node, path):
    return ask(node.cart.ns, node.web.ip4, 80, get(path))


def test_nothing_else_is_in_it(room):
    root = f"{room.container.bundle}/rootfs"
    files = [os.path.relpath(os.path.join(base, n), root) for base, _, names in os.walk(root) for n in names]
    cni = ["usr/lib/cni/bpfast-cni"] if os.path.exists(f"{ROOT}/build/bin/bpfast-cni") else []
    assert sorted(f for f in files if f.startswith("usr/")) == ["usr/bin/bpfast", "usr/bin/bpfastd", *cni]
    assert all(f.startswith(("usr/", "dev/")) for f in files), files
    for f in glob.glob(f"{root}/usr/*bin/*"):
        assert subprocess.run(["ldd", f], capture_output=True, text=True, check=False).stdout.strip() in ("statically linked", "")
    assert room.container.args == ["/usr/bin/bpfastd"]


def test_rights_of_the_process(room):
    with open(f"/proc/{room.container.pid()}/status", encoding="ascii") as f:
        status = dict(re.findall(r"^(CapPrm|CapEff|CapBnd|NoNewPrivs|Seccomp):\s*(\w+)$", f.read(), re.M))
    three = f"{1 << 39 | 1 << 12 | 1 << 38:016x}"
    assert status == {"CapPrm": three, "CapEff": three, "CapBnd": three, "NoNewPrivs": "1", "Seccomp": "2"}


def test_guards_a_pod(room):
    room.web.guard()
    room.cart.guard()
    with open(f"{room.dir}/etc/policies/web.yaml", "w", encoding="ascii") as f:
        f.write(payload("web", {"app": "web"}, ingress=[http({"app": "cart"}, 80, {"method": "GET", "path": "/ok/.*"})]))
    until(lambda: asked(room, "/no/one") == 403, 5, "the policy directory is watched")
    assert asked(room, "/ok/one") == 200
    inside = room.container.runc("exec", room.container.name, "/usr/bin/bpfast", "-o", "json", "status")
    assert inside.returncode == 0 and json.loads(inside.stdout)["endpoints"] == 2, inside.stderr
    assert any("/no/one" in json.dumps(r) for r in room.observe())


def test_killed_and_made_again(room):
    os.kill(room.container.pid(), signal.SIGKILL)
    room.container.close()
    assert asked(room, "/ok/two") == 200 and asked(room, "/no/two") == 403, "nobody is needed to enforce"
    mark = len(room.log_since())
    room.container = Agent(room, room.image, f"bpfast-image-{os.path.basename(room.dir)}-2")
    assert "adopted what was in force" in room.log_since(mark)
    assert asked(room, "/ok/three") == 200 and asked(room, "/no/three") == 403


def test_down_in_a_container_of_its_own(room):
    r = room.container.runc("exec", room.container.name, "/usr/bin/bpfast", "down")
    assert r.returncode == 1 and "first process of this container" in r.stderr, r.stdout + r.stderr
    assert asked(room, "/no/four") == 403, "it did nothing"
    room.container.close()
    mark = len(room.log_since())
    room.container = Agent(room, room.image, f"bpfast-image-{os.path.basename(room.dir)}-3", "/usr/bin/bpfast", "down")
    assert room.container.process.wait(10) == 0
    assert "nothing of BPFast is attached" in room.log_since(mark)
    assert asked(room, "/no/five") == 200
    assert not os.path.exists("/sys/fs/bpf/bpfast")
