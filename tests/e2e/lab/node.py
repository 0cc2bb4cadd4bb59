# SPDX-License-Identifier: Apache-2.0
"""A node: a namespace with a bridge (or routes), an agent, and pods behind veths."""

import itertools
import json
import os
import re
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

from .netns import Namespace, ip
from .wait import SLOW, until

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
OTHER_LAYOUT = os.path.join(ROOT, "build", "upgrade", "bin", "bpfastd")  # an agent whose maps are laid out otherwise
BIN = os.path.join(os.environ.get("BPFAST_BIN", os.path.join(ROOT, "build", "bin")))
_numbers = itertools.count(1)


@dataclass
class Result:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)

    @property
    def lines(self):
        return [json.loads(line) for line in self.out.splitlines() if line.strip()]


class CliError(AssertionError):
    pass


class Pod:
    """A namespace with eth0; the other end of the veth is on the node."""

    def __init__(self, node, name, number, labels, namespace):
        self.node, self.name, self.labels, self.namespace = node, name, dict(labels or {}), namespace
        self.number = number
        self.ns = Namespace(f"{node.name}-{name}")
        self.iface = f"v{number}-{name}"[:15]
        self.ip4 = f"10.{node.number}.0.{10 + number}"
        self.ip6 = f"fd00:{node.number:x}::{10 + number:x}"
        self.servers = []
        self.guarded = False
        self._plug()

    def _plug(self):
        node, ns = self.node, self.ns
        # The MAC follows the address: neighbours' caches stay true when a pod is made again.
        mac = f"02:00:0a:{node.number:02x}:00:{10 + self.number:02x}"
        ip("-n", node.ns.name, "link", "add", self.iface, "type", "veth", "peer", "name", "eth0", "address", mac, "netns", ns.name)
        ns.sysctl("net.ipv6.conf.eth0.accept_dad", 0)
        if node.routed:
            ns.ip(
                "link set eth0 up",
                f"addr add {self.ip4}/32 dev eth0",
                "route add 169.254.1.1 dev eth0 scope link",
                "route add default via 169.254.1.1 dev eth0",
                f"addr add {self.ip6}/128 dev eth0 nodad",
                "route add fe80::1 dev eth0",
                "route add default via fe80::1 dev eth0",
            )
            node.ns.sysctl(f"net.ipv6.conf.{self.iface}.accept_dad", 0)
            node.ns.ip(
                f"link set {self.iface} up",
                f"addr add 169.254.1.1/32 dev {self.iface}",
                f"addr add fe80::1/64 dev {self.iface} nodad",
                f"route add {self.ip4}/32 dev {self.iface}",
                f"route add {self.ip6}/128 dev {self.iface}",
            )
        else:
            ns.ip(
                "link set eth0 up",
                f"addr add {self.ip4}/24 dev eth0",
                f"addr add {self.ip6}/64 dev eth0 nodad",
                f"route add default via {node.ip4}",
                f"route add default via {node.ip6}",
            )
            node.ns.ip(f"link set {self.iface} master br0 up")

    # --- BPFast ---

    def guard(self, *extra):
        """bpfast endpoint add."""
        args = ["endpoint", "add", self.name, "--iface", self.iface]
        if self.namespace != "default":
            args += ["--namespace", self.namespace]
        for k, v in self.labels.items():
            args += ["--label", f"{k}={v}"]
        self.node.cli(*args, *extra)
        self.guarded = True
        return self

    def unguard(self):
        self.node.cli("endpoint", "delete", self.who)
        self.guarded = False

    @property
    def who(self):
        return self.name if self.namespace == "default" else f"{self.namespace}/{self.name}"

    # --- programs and servers ---

    def run(self, *cmd, **kw):
        return self.ns.run(*cmd, **kw)

    def popen(self, *cmd, **kw):
        return self.ns.popen(*cmd, **kw)

    def serve(self, server):
        self.servers.append(server)
        return server

    def curl(self, url, *args, timeout=3):
        """-> (status or a word, body)."""
        r = self.run("curl", "-sS", "-g", "--noproxy", "*", "-m", timeout * SLOW, "-w", "\n%{http_code}", *args, url, timeout=timeout + 10)
        body, _, code = r.stdout.rpartition("\n")
        if r.returncode == 0 or int(code or 0) >= 200:
            return int(code), body
        return {28: "blocked", 7: "refused", 56: "reset", 52: "closed", 35: "tls-failed", 16: "h2-failed"}.get(r.returncode, r.returncode), r.stderr

    def status(self, url, *args, timeout=3):
        return self.curl(url, *args, timeout=timeout)[0]

    def mac(self):
        out = self.run("cat", "/sys/class/net/eth0/address")
        if out.returncode == 0 and out.stdout.strip():
            return out.stdout.strip()
        return json.loads(self.run("ip", "-j", "link", "show", "eth0", check=True).stdout)[0]["address"]

    def remove(self):
        for s in self.servers:
            s.stop()
        self.servers = []
        subprocess.run(["ip", "-n", self.node.ns.name, "link", "del", self.iface], check=False, stderr=subprocess.DEVNULL)
        self.ns.delete()


class Node:
    def __init__(self, name=None, routed=False, clsact=False, agent_args=()):
        self.number = next(_numbers)
        assert self.number < 250
        self.name = name or f"node{self.number}"
        self.routed, self.clsact, self.agent_args = routed, clsact, list(agent_args)
        self.ns = Namespace(self.name)
        self.dir = tempfile.mkdtemp(prefix=f"bpfast-{self.name}-", dir="/run")
        self.run_dir = os.path.join(self.dir, "run")
        self.policy_dir = os.path.join(self.dir, "policies")
        self.log_dir = os.path.join(self.dir, "log")
        self.pin_dir = f"/sys/fs/bpf/bpfast-e2e-{os.getpid()}-{self.number}"
        self.metrics_port = 9477
        self.config = os.path.join(self.dir, "bpfast.yaml")
        for d in (self.policy_dir, self.log_dir):
            os.makedirs(d)
        open(self.config, "w", encoding="ascii").close()
        self.agent_log = os.path.join(self.dir, "agent.log")
        open(self.agent_log, "w", encoding="ascii").close()
        self.pods, self.agent = {}, None
        self.ip4, self.ip6 = f"10.{self.number}.0.1", f"fd00:{self.number:x}::1"
        self.ns.sysctl("net.ipv4.ip_forward", 1)
        self.ns.sysctl("net.ipv6.conf.all.forwarding", 1)
        if routed:
            self.ns.ip(f"addr add {self.ip4}/32 dev lo", f"addr add {self.ip6}/128 dev lo")
        else:
            self.ns.ip("link add br0 type bridge", "link set br0 up")
            self.ns.sysctl("net.ipv6.conf.br0.accept_dad", 0)
            self.ns.ip(f"addr add {self.ip4}/24 dev br0", f"addr add {self.ip6}/64 dev br0 nodad")

    def pod(self, name, labels=None, namespace="default", guard=False):
        pod = Pod(self, name, len(self.pods) + 1, labels if labels is not None else {"app": name}, namespace)
        self.pods[name] = pod
        return pod.guard() if guard else pod

    # --- agent ---

    def start_agent(self, *extra, ready=True, program=(os.path.join(BIN, "bpfastd"),), patience=15):
        args = [*program, "--config", self.config, "--run-dir", self.run_dir, "--pin-dir", self.pin_dir]
        args += ["--policy-dir", self.policy_dir, "--log-dir", self.log_dir]
        args += ["--metrics-listen", f"127.0.0.1:{self.metrics_port}"]
        args += (["--force-clsact"] if self.clsact else []) + self.agent_args + list(extra)
        mark = os.path.getsize(self.agent_log)
        with open(self.agent_log, "ab") as log:
            self.agent = self.ns.popen(*args, stdout=log, stderr=log)
        if ready:
            until(lambda: self.agent.poll() is not None or re.search(r"\bready\b", self.log_since(mark)), patience, "the agent logs ready")
            if self.agent.poll() is not None:
                raise RuntimeError(f"bpfastd ended with {self.agent.returncode}: {self.log_since(mark)}")
        return self.agent

    def log_since(self, mark=0):
        with open(self.agent_log, "rb") as f:
            f.seek(mark)
            return f.read().decode(errors="replace")

    def stop_agent(self, sig=signal.SIGTERM):
        if self.agent and self.agent.poll() is None:
            self.agent.send_signal(sig)
            try:
                self.agent.wait(10)
            except subprocess.TimeoutExpired:
                self.agent.kill()
                self.agent.wait()
                raise
        code = self.agent.returncode if self.agent else None
        self.agent = None
        return code

    def kill_agent(self):
        return self.stop_agent(signal.SIGKILL)

    # --- command line ---

    def bpfast(self, *args, input=None, timeout=15):
        cmd = [os.path.join(BIN, "bpfast"), "--run-dir", self.run_dir, *[str(a) for a in args]]
        kw = {"input": input} if input is not None else {"stdin": subprocess.DEVNULL}
        r = self.ns.run(*cmd, timeout=timeout, **kw)
        return Result(r.returncode, r.stdout, r.stderr)

    def cli(self, *args, input=None, timeout=15):
        """As bpfast(), and must succeed."""
        r = self.bpfast(*args, input=input, timeout=timeout)
        if r.code != 0:
            raise CliError(f"bpfast {' '.join(map(str, args))}: exit {r.code}\n{r.err}{r.out}\n{input or ''}")
        return r

    def apply(self, text):
        return self.cli("policy", "apply", "-f", "-", input=text)

    def clear_policies(self):
        """Deletes every policy and namespace object that was applied."""
        keys = self.policies("applied")
        if keys:
            self.cli("policy", "delete", *keys)

    def policies(self, source=None):
        """KIND/NAMESPACE/NAME of every object."""
        got = self.cli("-o", "json", "policy", "list").json["objects"]
        return ["/".join(x for x in (o["kind"], o.get("namespace"), o["name"]) if x) for o in got if source in (None, o.get("source"))]

    def only(self, text):
        """This policy and no other."""
        self.clear_policies()
        return self.apply(text)

    def observe(self, *args, last=1000):
        return self.cli("observe", "--last", last, "-o", "json", *args).lines

    def metrics(self):
        """name{labels} -> value, from the agent's port; not older than the call."""
        time.sleep(0.1)  # a page that was made before is given for so long
        r = self.ns.run("curl", "-sS", "-m", "5", f"http://127.0.0.1:{self.metrics_port}/metrics", check=True)
        return parse_metrics(r.stdout)

    def explain(self, frm, to, port, http=None, headers=()):
        args = ["--from", getattr(frm, "who", frm), "--to", getattr(to, "who", to), "--port", port]
        if http:
            args += ["--http", http]
        for h in headers:
            args += ["--header", h]
        return self.cli("-o", "json", "policy", "explain", *args).json

    def curl(self, pod, url, *args, **kw):
        return (pod or self.host).curl(url, *args, **kw)

    @property
    def host(self):
        """The node itself, as a client."""
        return _Host(self)

    def close(self):
        if self.agent and self.agent.poll() is None:
            self.agent.kill()
            self.agent.wait()
        for pod in self.pods.values():
            pod.remove()
        subprocess.run(["rm", "-rf", self.pin_dir], check=False)
        self.ns.delete()
        subprocess.run(["rm", "-rf", self.dir], check=False)


class _Host:
    def __init__(self, node):
        self.node, self.ns = node, node.ns
        self.ip4, self.ip6 = node.ip4, node.ip6

    run = Pod.run
    popen = Pod.popen
    curl = Pod.curl
    status = Pod.status


def parse_metrics(text):
    out = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.rpartition(" ")
            out[key] = float(value)
    return out
