# SPDX-License-Identifier: Apache-2.0
"""A line that loses or reorders packets, by the programs of bench/lossy.bpf.c on a pod's own eth0."""

import json
import os
import struct
import subprocess

from .node import ROOT

OBJECT = os.path.join(os.environ.get("BPFAST_BUILD", os.path.join(ROOT, "build")), "bench", "lossy.o")
PROGRAMS = ("lossy_1", "lossy_10", "lossy_reorder")  # 0.1 %, 1 %, one of a hundred eight places later


class Lossy:
    """Programs are loaded once a node; counts are of all places together."""

    def __init__(self, name="lossy"):
        self.dir = f"/sys/fs/bpf/{name}"
        os.makedirs(self.dir)
        subprocess.run(["bpftool", "prog", "loadall", OBJECT, f"{self.dir}/progs", "type", "classifier", "pinmaps", f"{self.dir}/maps"], check=True)

    def put(self, pod, way, program):
        """way "egress": what the pod sends is lost before BPFast sees it; "ingress": what it gets, after that."""
        self.clear(pod)
        pod.run("tc", "qdisc", "add", "dev", "eth0", "clsact", check=True)
        pod.run("tc", "filter", "add", "dev", "eth0", way, "bpf", "da", "pinned", f"{self.dir}/progs/{program}", check=True)

    def clear(self, *pods):
        for pod in pods:
            pod.run("tc", "qdisc", "del", "dev", "eth0", "clsact")

    def counts(self):
        """-> (segments seen, lost, put back in another place)"""
        out = subprocess.run(["bpftool", "-j", "map", "dump", "pinned", f"{self.dir}/maps/lossy_count"], capture_output=True, check=True).stdout
        return tuple(struct.unpack("=Q", bytes(int(x, 16) for x in e["value"]))[0] for e in json.loads(out))


def single_segments(*pods):
    """Every packet is one segment, so that packets are lost, not 64 KiB of them at once. TCP builds its packets
    by gso_max_segs; the rest is for what it does not build."""
    for pod in pods:
        pod.ns.ip("link set dev eth0 gso_max_segs 1")
        pod.run("ethtool", "-K", "eth0", "tso", "off", "gso", "off", check=True)


def many_segments(*pods):
    """As a veth is when it is made."""
    for pod in pods:
        pod.ns.ip("link set dev eth0 gso_max_segs 65535")
        pod.run("ethtool", "-K", "eth0", "tso", "on", "gso", "on", check=True)
