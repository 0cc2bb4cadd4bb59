# SPDX-License-Identifier: Apache-2.0
"""Kubernetes' pods without Kubernetes: a containerd that is asked as a kubelet asks it, by the Container Runtime Interface.

https://github.com/kubernetes/cri-api, pkg/apis/runtime/v1/api.proto: the numbers of fields are from there.
"""

import json
import os
import signal
import subprocess
import time

from .containers import GROUPS, PLUGINS, _remove_group, _remove_old_groups, image_tar
from .wait import until

IMAGE = "docker.io/bpfast/lab:1"
# Shares of the processor are asked for always, and not every machine's control groups have them.
RUNC = """#!/usr/bin/python3
import json, os, sys
if "create" in sys.argv:
    path = sys.argv[sys.argv.index("--bundle") + 1] + "/config.json"
    with open(path) as f:
        config = json.load(f)
    config["linux"].pop("resources", None)
    with open(path, "w") as f:
        json.dump(config, f)
os.execvp("runc", ["runc", *sys.argv[1:]])
"""


def message(fields):
    """{number: text, int, message, list of these, or map of texts} as protocol buffers have it on the wire."""
    out = b""
    for number, value in fields.items():
        if isinstance(value, int):
            out += _number(number << 3) + _number(value)
            continue
        if isinstance(value, dict) and any(isinstance(k, str) for k in value):
            value = [{1: k, 2: v} for k, v in value.items()]
        for one in value if isinstance(value, list) else [value]:
            body = one.encode() if isinstance(one, str) else message(one)
            out += _number(number << 3 | 2) + _number(len(body)) + body
    return out


def _number(n):
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


class Cri:
    def __init__(self, node, subnet="10.89.0.0/24"):
        self.node, self.dir = node, f"{node.dir}/cri"
        self.socket, self.state = f"{self.dir}/state/containerd.sock", f"{self.dir}/state"
        self.group = f"bpfast-lab-{os.getpid()}-cri-{time.time_ns():x}"
        os.makedirs(f"{self.dir}/net.d")
        ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}]], "dataDir": f"{self.dir}/ipam"}
        with open(f"{self.dir}/net.d/10-lab.conflist", "w", encoding="ascii") as f:
            json.dump({"cniVersion": "1.0.0", "name": "lab", "plugins": [{"type": "bridge", "bridge": "cri0", "isGateway": True, "ipam": ipam}]}, f)
        cri = 'plugins."io.containerd.grpc.v1.cri"'
        with open(f"{self.dir}/config.toml", "w", encoding="ascii") as f:
            f.write(
                f'version = 2\nroot = "{self.dir}/root"\nstate = "{self.state}"\n'
                'disabled_plugins = ["io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs",'
                ' "io.containerd.snapshotter.v1.btrfs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]\n'
                f'[grpc]\naddress = "{self.socket}"\n[ttrpc]\naddress = "{self.socket}.ttrpc"\n'
                f'[plugins."io.containerd.internal.v1.opt"]\npath = "{self.dir}/opt"\n'
                f'[{cri}]\nsandbox_image = "{IMAGE}"\ndisable_apparmor = true\nrestrict_oom_score_adj = true\nstream_server_address = "127.0.0.1"\n'
                f'[{cri}.containerd]\nsnapshotter = "native"\ndefault_runtime_name = "runc"\n'
                f'[{cri}.containerd.runtimes.runc]\nruntime_type = "io.containerd.runc.v2"\n'
                f'[{cri}.containerd.runtimes.runc.options]\nBinaryName = "{self.dir}/runc"\n'
                f'[{cri}.cni]\nbin_dir = "{PLUGINS}"\nconf_dir = "{self.dir}/net.d"\n'
            )
        with open(f"{self.dir}/runc", "w", encoding="ascii") as f:
            f.write(RUNC)
        os.chmod(f"{self.dir}/runc", 0o755)
        _remove_old_groups()
        keeper = f"{GROUPS}/{self.group}/keeper"
        os.makedirs(keeper)
        with open(f"{self.dir}/log", "ab") as log:
            enter = ["sh", "-c", f'echo $$ >{keeper}/cgroup.procs; exec "$@"', "sh"]
            self.process = node.ns.popen(*enter, "containerd", "--config", f"{self.dir}/config.toml", stdout=log, stderr=log)
        until(lambda: os.path.exists(self.socket), 20, "containerd answers", every=0.05)
        image_tar(f"{self.dir}/image.tar", command=("/bb/sleep", "1000000"))
        subprocess.run(["ctr", "-a", self.socket, "-n", "k8s.io", "image", "import", "--snapshotter", "native", f"{self.dir}/image.tar"], check=True, capture_output=True)
        self.sandboxes = []

    def call(self, method, fields):
        """-> the first field of the answer, which is an identifier in those that are asked for here."""
        body = message(fields)
        args = ["curl", "-sS", "-m", "20", "--http2-prior-knowledge", "--unix-socket", self.socket, "-D", "/dev/stderr", "-H", "content-type: application/grpc", "-H", "te: trailers"]
        args += ["--data-binary", "@-", "-o", "-", f"http://cri/runtime.v1.RuntimeService/{method}"]
        r = subprocess.run(args, input=b"\0" + len(body).to_bytes(4, "big") + body, capture_output=True, check=False)
        if b"grpc-status: 0" not in r.stderr:
            raise AssertionError(f"{method}: {r.stderr.decode()}")
        return r.stdout[7:].decode(errors="replace")

    def pod(self, name, namespace, labels, containers=(), host_network=False):
        """Runs a pod of these containers; -> id of its sandbox."""
        meta = {1: name, 2: f"uid-of-{name}", 3: namespace}
        # As a kubelet has them.
        kubelets = {"io.kubernetes.pod.name": name, "io.kubernetes.pod.namespace": namespace, "io.kubernetes.pod.uid": f"uid-of-{name}"}
        config = {1: meta, 2: "" if host_network else name, 3: f"{self.dir}/logs", 6: {**labels, **kubelets}, 8: {1: f"/{self.group}/{name}", **({2: {1: {1: 2}}} if host_network else {})}}
        sandbox = self.call("RunPodSandbox", {1: config})
        self.sandboxes.append(sandbox)
        for c in containers:
            own = {1: {1: c}, 2: {1: IMAGE}, 9: {**kubelets, "io.kubernetes.container.name": c}, 11: f"{c}.log"}
            self.call("StartContainer", {1: self.call("CreateContainer", {1: sandbox, 2: own, 3: config})})
        return sandbox

    def remove(self, sandbox):
        self.call("StopPodSandbox", {1: sandbox})
        self.call("RemovePodSandbox", {1: sandbox})
        self.sandboxes.remove(sandbox)

    def close(self):
        for sandbox in list(self.sandboxes):
            self.remove(sandbox)
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(20)
        subprocess.run(["rm", "-rf", self.dir], check=False)
        _remove_group(f"{GROUPS}/{self.group}")
