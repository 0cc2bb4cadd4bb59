# SPDX-License-Identifier: Apache-2.0
"""What the benches share: where things lie, namespaces of one's own, ratios and gates."""

import ctypes
import math
import os
import platform
import statistics
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from lab import private  # noqa: E402

BUILD = os.environ.get("BPFAST_BUILD", os.path.join(ROOT, "build"))
OUT = os.path.join(BUILD, "bench")
ONLY = os.environ.get("BENCH_ONLY", "")


def note(text):
    print(f"{os.path.basename(sys.argv[0])[:-3]}: {text}", file=sys.stderr, flush=True)


def enter():
    """Runs the program again inside namespaces of its own -> the load average before, as text."""
    if not private.is_inside():
        try:
            private.enter([sys.executable, os.path.abspath(sys.argv[0]), *sys.argv[1:]])
        except PermissionError as e:
            sys.exit(str(e))
    private.prepare()
    load = f"{os.getloadavg()[0]:.2f}"
    if float(load) > 0.5:
        note(f"the load average is {load}: wait until nothing else runs, or the figures tell about that")
    return load


def machine(load):
    """Without it a figure is not ours."""
    cpu = next((line.split(":", 1)[1].strip() for line in open("/proc/cpuinfo", encoding="utf-8") if line.startswith("model name")), platform.machine())
    with open("/etc/os-release", encoding="utf-8") as f:
        distro = next((line.split('"')[1] for line in f if line.startswith("PRETTY_NAME")), "")
    return f"{cpu}, {os.cpu_count()} CPUs, Linux {platform.release()}, {distro}, {time.strftime('%Y-%m-%d')}. Load average before: {load}."


def write(name, text):
    os.makedirs(OUT, exist_ok=True)
    path = os.path.join(OUT, name)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    print(text)
    print(f"written to {os.path.relpath(path)}")


def bpf_enable_stats():
    """Run time statistics of BPF programs while the returned descriptor is open."""
    libc = ctypes.CDLL(None, use_errno=True)
    nr = {"x86_64": 321, "aarch64": 280}[platform.machine()]
    attr = ctypes.create_string_buffer(struct.pack("I", 0), 128)
    fd = libc.syscall(nr, 32, attr, 128)  # BPF_ENABLE_STATS, BPF_STATS_RUN_TIME
    if fd < 0:
        raise OSError(ctypes.get_errno(), "BPF_ENABLE_STATS")
    return fd


def quantile(values, q):
    s = sorted(values)
    return s[min(len(s) - 1, max(0, round(q * (len(s) - 1))))]


def gate(ok):
    return "reached" if ok else "**missed**"


def noisy(control):
    """Nothing against nothing differs by more than a tenth: no ratio of this run decides anything."""
    return quantile(control, 0.75) - quantile(control, 0.25) > 0.1


def median_within(values, confidence=0.9):
    """The interval of order statistics that holds the median with that confidence, or the whole range: too few values."""
    s, n = sorted(values), len(values)
    k = 0
    while k + 1 < n - 1 - k and sum(math.comb(n, i) for i in range(k + 2)) / 2**n <= (1 - confidence) / 2:
        k += 1
    return s[k], s[n - 1 - k]


def ratios(a, b):
    return [x / y for x, y in zip(a, b)]


def ratio_row(name, values, base, verdict=""):
    r = ratios(values, base)
    return f"| {name} | {statistics.median(r):.3f} | {quantile(r, 0.25):.3f} to {quantile(r, 0.75):.3f} | {min(r):.3f} to {max(r):.3f} | {verdict} |"
