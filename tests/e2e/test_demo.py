# SPDX-License-Identifier: Apache-2.0
"""`make demo` itself: every result as announced, quick, and nothing left when interrupted."""

import os
import signal
import subprocess
import sys
import time

import pytest
from lab.containers import GROUPS
from lab.node import ROOT
from lab.wait import until

pytestmark = pytest.mark.seconds(100)

DEMO = os.path.join(ROOT, "scripts", "demo.py")


def groups(populated=None):
    """Control groups of containers, of this run and of others; populated: 0 for those in which nobody is."""
    out = set()
    for name in os.listdir(GROUPS):
        try:
            with open(f"{GROUPS}/{name}/cgroup.events", encoding="ascii") as f:
                if name.startswith("bpfast-lab-") and (populated is None or f"populated {populated}" in f.read()):
                    out.add(name)
        except OSError:
            pass  # removed by another run
    return out


def swept(before):
    """What others have made since then is in use."""
    return groups(0) <= before


@pytest.mark.parametrize("how, shows", (((), "bpfast endpoint discover --add-all"), (("--namespaces",), "bpfast endpoint add web --iface")))
def test_demo(how, shows):
    before, started = groups(), time.monotonic()
    r = subprocess.run([sys.executable, DEMO, *how], capture_output=True, text=True, timeout=60, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    for words in ("403", "no connection", "http-rule-denied", "PayloadPolicy/shop/web", "policy-denied", shows):
        assert words in r.stdout
    assert time.monotonic() - started < 30
    until(lambda: swept(before), 5, "the demo's control groups are gone")


def strays():
    """Programs of the demo among the processes."""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
                line = f.read().split("\0")
        except OSError:
            continue
        if any(os.path.basename(line[0]).startswith(x) for x in ("nginx", "bpfastd", "containerd", "ctr")) or any("demo.py" in x for x in line):
            out.append(line)
    return out


def test_interrupted_demo():
    before, groups_before = strays(), groups()
    p = subprocess.Popen([sys.executable, "-u", DEMO], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    for line in p.stdout:
        if "policy apply" in line:
            break
    os.killpg(p.pid, signal.SIGINT)
    rest = p.stdout.read()
    assert p.wait(10) == 130, rest
    assert "Interrupted" in rest
    until(lambda: len(strays()) <= len(before), 6, "the demo's processes are gone")
    until(lambda: swept(groups_before), 3, "the demo's control groups are gone")


def test_killed_demo():
    before, groups_before = strays(), groups()
    p = subprocess.Popen([sys.executable, "-u", DEMO], stdout=subprocess.PIPE, text=True, start_new_session=True)
    for line in p.stdout:
        if "policy apply" in line:
            break
    assert len(strays()) > len(before) and groups(1) - groups_before
    p.kill()
    p.wait()
    until(lambda: len(strays()) <= len(before), 6, "the demo's processes are gone")
    until(lambda: swept(groups_before), 3, "the demo's control groups are gone")
