# SPDX-License-Identifier: Apache-2.0
"""Many connections that stay open, by bench/crowd.c: what it can be told stands at its head."""

import json
import os
import subprocess

from .node import ROOT

CROWD = os.path.join(os.environ.get("BPFAST_BUILD", os.path.join(ROOT, "build")), "bench", "crowd")


class Crowd:
    """One end, in a pod or on the node."""

    def __init__(self, pod, *args):
        self.process = pod.popen(CROWD, *args, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def tell(self, *words):
        self.process.stdin.write(" ".join(map(str, words)) + "\n")
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"crowd ended with {self.process.wait()}")
        return json.loads(line)

    def ask(self, *words):
        self.tell(*words)
        return self.answer()

    def stop(self):
        self.process.kill()
        self.process.wait()


def server(pod, *ports):
    return pod.serve(Crowd(pod, "serve", *ports))


def client(pod, *targets):
    return pod.serve(Crowd(pod, "connect", *targets))


def together(crowds, *words):
    """The same command to several at once -> the sum of their answers; seconds: the slowest."""
    for c in crowds:
        c.tell(*words)
    out = {}
    for answer in [c.answer() for c in crowds]:
        for key, value in answer.items():
            out[key] = max(out.get(key, 0), value) if key == "seconds" else out.get(key, 0) + value
    return out
