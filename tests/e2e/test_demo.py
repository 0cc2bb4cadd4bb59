# SPDX-License-Identifier: Apache-2.0
"""`make demo` itself: every result as announced, quick, and nothing left when interrupted."""

import os
import signal
import subprocess
import sys
import time

from lab.node import ROOT
from lab.wait import until

DEMO = os.path.join(ROOT, "scripts", "demo.py")


def test_demo():
    started = time.monotonic()
    r = subprocess.run([sys.executable, DEMO], capture_output=True, text=True, timeout=60, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    for words in ("403", "no connection", "http-rule-denied", "PayloadPolicy/shop/web", "policy-denied"):
        assert words in r.stdout
    assert time.monotonic() - started < 30


def strays():
    """Programs of the demo among the processes."""
    out = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="utf-8") as f:
                line = f.read().split("\0")
        except OSError:
            continue
        if any(os.path.basename(line[0]).startswith(x) for x in ("nginx", "bpfastd")) or any("demo.py" in x for x in line):
            out.append(line)
    return out


def test_interrupted_demo():
    before = strays()
    p = subprocess.Popen([sys.executable, "-u", DEMO], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True)
    for line in p.stdout:
        if "policy apply" in line:
            break
    os.killpg(p.pid, signal.SIGINT)
    rest = p.stdout.read()
    assert p.wait(10) == 130, rest
    assert "Interrupted" in rest
    until(lambda: len(strays()) <= len(before), 3, "the demo's processes are gone")


def test_killed_demo():
    before = strays()
    p = subprocess.Popen([sys.executable, "-u", DEMO], stdout=subprocess.PIPE, text=True, start_new_session=True)
    for line in p.stdout:
        if "policy apply" in line:
            break
    assert len(strays()) > len(before)
    p.kill()
    p.wait()
    until(lambda: len(strays()) <= len(before), 3, "the demo's processes are gone")
