# SPDX-License-Identifier: Apache-2.0
"""bpfast-cni, called as a runtime calls it, and the chain in which a real runtime does."""

import json
import os

from .node import BIN

PLUGIN = os.path.join(BIN, "bpfast-cni")


class Answer:
    def __init__(self, r):
        self.code, self.out, self.err = r.returncode, r.stdout.decode(), r.stderr.decode()

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def error(self):
        """CNI's error code; 0: it succeeded."""
        if self.code == 0:
            return 0
        assert self.code == 1 and self.json["code"] > 0 and self.json["msg"], (self.code, self.out, self.err)
        return self.json["code"]

    @property
    def msg(self):
        return self.json["msg"]


def config(node, version="1.1.0", **more):
    return {"cniVersion": version, "name": "lab", "type": "bpfast-cni", "runDir": node.run_dir, **more}


def prev(pod, version="1.1.0"):
    """What bridge would have told about this pod."""
    return {
        "cniVersion": version,
        "interfaces": [
            {"name": "br0", "mac": "02:00:00:00:00:01"},
            {"name": pod.iface, "mac": "02:00:00:00:00:02"},
            {"name": "eth0", "mac": pod.mac(), "sandbox": pod.ns.path},
        ],
        "ips": [{"interface": 2, "address": f"{pod.ip4}/24", "gateway": pod.node.ip4}, {"interface": 2, "address": f"{pod.ip6}/64"}],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dns": {},
    }


def environment(command, pod=None, container=None, **more):
    env = {"CNI_COMMAND": command, "CNI_PATH": BIN}
    if pod is not None:
        env |= {"CNI_CONTAINERID": container or f"id-{pod.name}", "CNI_NETNS": pod.ns.path, "CNI_IFNAME": "eth0"}
    return {k: v for k, v in (env | more).items() if v is not None}


def call(node, text, env, timeout=30):
    """text: the configuration, as JSON or as it is. Bytes that are no text are surrogates, as in os.environ."""
    text = text if isinstance(text, str) else json.dumps(text)
    return Answer(node.ns.run(PLUGIN, input=text.encode(errors="surrogateescape"), text=False, env=env, timeout=timeout))


def add(pod, container=None, args=None, settings=None, **env):
    conf = config(pod.node, prevResult=prev(pod), **(settings or {}))
    return call(pod.node, conf, environment("ADD", pod, container, CNI_ARGS=args, **env))


def delete(pod, container=None, settings=None, **env):
    conf = config(pod.node, prevResult=prev(pod), **(settings or {}))
    return call(pod.node, conf, environment("DEL", pod, container, **env))


def check(pod, container=None, result=None, **env):
    conf = config(pod.node, prevResult=result or prev(pod))
    return call(pod.node, conf, environment("CHECK", pod, container, **env))


def gc(node, *valid, **more):
    conf = config(node, **{"cni.dev/valid-attachments": [{"containerID": i, "ifname": n} for i, n in valid]}, **more)
    return call(node, conf, environment("GC"))


def status(node, **more):
    return call(node, config(node, **more), environment("STATUS"))


def chain(daemon, last=True, **settings):
    """bridge and host-local on the node's own bridge, and bpfast-cni last, as a conflist for `ctr run --cni`."""
    node = daemon.node
    net = f"10.{node.number}.0"
    ipam = {
        "type": "host-local",
        "dataDir": f"{daemon.dir}/ipam",
        "ranges": [[{"subnet": f"{net}.0/24", "rangeStart": f"{net}.100", "rangeEnd": f"{net}.250", "gateway": node.ip4}]],
    }
    plugins = [{"type": "bridge", "bridge": "br0", "ipam": ipam}]
    if last:
        plugins.append({"type": "bpfast-cni", "runDir": node.run_dir, **settings})
        daemon.plugin(PLUGIN)
    daemon.conflist({"cniVersion": "1.0.0", "name": "lab", "plugins": plugins})
