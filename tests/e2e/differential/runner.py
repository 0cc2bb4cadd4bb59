# SPDX-License-Identifier: Apache-2.0
"""Five servers in five pods, a client in a sixth: what each executes of a stream, with us and without."""

import json
import os
import socket
import subprocess
import time
from dataclasses import dataclass, field

from lab.wait import SLOW, until

from . import client, model, servers


@dataclass
class Case:
    family: str
    name: str
    data: bytes  # without the sentinel
    bare: dict = field(default_factory=dict)  # server -> [Entry]
    guarded: dict = field(default_factory=dict)
    said: dict = None  # what explain answers
    kernel: dict = field(default_factory=dict)  # server -> [(verdict, reason, method, url)]

    @property
    def stream(self):
        return self.data + model.SENTINEL

    def __str__(self):
        return f"{self.family}: {self.name}"


FLOWS = 524288  # for many seeds: a denied connection is remembered for two minutes


class Room:
    def __init__(self, node, many=False):
        self.node = node
        if many:
            with open(node.config, "w", encoding="ascii") as f:
                f.write(f"flows: {FLOWS}\n")
        self.cart = node.pod("cart")
        self.pods = {}
        self.servers = {}
        self.next_port = 10000
        for kind in servers.SERVERS:
            pod = self.pods[kind.name] = node.pod(kind.name, {"role": "server", "app": kind.name})
            self.servers[kind.name] = pod.serve(kind(pod.ns))

    def guard(self):
        self.node.start_agent()
        for pod in self.pods.values():
            pod.guard()
        self.node.apply(model.policy())

    def _ports(self, count):
        if self.next_port + count > 65000:
            time.sleep(20)  # until nobody remembers what these ports said
            self.next_port = 10000
        first = self.next_port
        self.next_port += count
        return first

    def _send(self, cases, patience):
        """-> {server: [entries of case 0, of case 1, ...]}, and the first local port."""
        first = self._ports(len(cases))
        jobs = [(pod.ip4, first + i, case.stream) for i, case in enumerate(cases) for pod in self.pods.values()]
        client.send_all(self.cart.ns, jobs, patience * SLOW)
        got = {name: [[] for _ in cases] for name in self.servers}
        quiet = time.monotonic() + 0.4 * SLOW
        while time.monotonic() < quiet:
            for name, server in self.servers.items():
                for e in server.executed():
                    quiet = time.monotonic() + 0.4 * SLOW
                    if first <= e.port < first + len(cases):
                        got[name][e.port - first].append(e)
            time.sleep(0.05)
        return got, first

    def bare(self, cases, patience=0.5):
        got, _ = self._send(cases, patience)
        for name, lists in got.items():
            for case, entries in zip(cases, lists):
                case.bare[name] = entries

    def guarded(self, cases, patience=1.5):
        with Records(self.node) as records:
            got, first = self._send(cases, patience)
        for name, lists in got.items():
            for case, entries in zip(cases, lists):
                case.guarded[name] = entries
        names = {pod.ip4: name for name, pod in self.pods.items()}
        for record in records.read():
            flow = record["flow"]
            name = names.get(flow["IP"]["destination"])
            port = flow.get("l4", {}).get("TCP", {}).get("source_port", 0)
            if name and flow.get("Type") == "L7" and not flow.get("is_reply") and first <= port < first + len(cases):
                http = flow["l7"]["http"]
                cases[port - first].kernel.setdefault(name, []).append(
                    (flow["verdict"], flow.get("drop_reason_desc", ""), http.get("method", ""), http.get("url", ""))
                )


class Records:
    """All records of a while, in a file."""

    def __init__(self, node):
        self.node = node

    def __enter__(self):
        self.path = os.path.join(self.node.dir, "records")
        self.file = open(self.path, "wb")
        from lab.node import BIN

        self.process = self.node.ns.popen(
            os.path.join(BIN, "bpfast"), "--run-dir", self.node.run_dir, "observe", "--follow", "--show-query", "-o", "json", stdout=self.file, stderr=subprocess.STDOUT
        )
        time.sleep(0.3)
        return self

    def __exit__(self, *exc):
        size = -1
        while size != os.path.getsize(self.path):
            size = os.path.getsize(self.path)
            time.sleep(0.5)
        self.process.terminate()
        self.process.wait(5)
        self.file.close()

    def read(self):
        with open(self.path, encoding="utf-8", errors="replace") as f:
            for line in f:
                if line.startswith("{"):
                    yield json.loads(line)


class Explain:
    """`policy explain`, asked on the agent's socket as the command line does, thousands of times a second."""

    def __init__(self, node, frm, to, port=80):
        self.args = {"from": frm, "to": to, "port": port, "protocol": "TCP"}
        self.path = os.path.join(node.run_dir, "bpfast.sock")

    def raw(self, data):
        return self.ask(raw=data.hex())

    def words(self, line, headers):
        return self.ask(http=line, headers=headers)

    def ask(self, **what):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.connect(self.path)
            s.sendall(json.dumps({"command": "policy explain", "args": {**self.args, **what}}).encode() + b"\n")
            got = b""
            while not got.endswith(b"\n"):
                more = s.recv(65536)
                if not more:
                    break
                got += more
        return json.loads(got)
