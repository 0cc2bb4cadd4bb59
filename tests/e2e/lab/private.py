# SPDX-License-Identifier: Apache-2.0
"""Runs a program again inside namespaces of its own.

The kernel is what cleans up: when the outermost process dies, by Ctrl-C or by SIGKILL, every process
inside is killed, and with the last of them go the network namespaces, the bpffs and all that is pinned
there. Two runs side by side cannot see each other.
"""

import os
import subprocess
import sys

MARK = "BPFAST_LAB_INSIDE"


def is_inside():
    return os.environ.get(MARK) == "1" and os.getpid() == 1


def enter(argv, cwd=None):
    """Replaces this process by argv running inside; returns only with an exception."""
    if os.geteuid() != 0:
        raise PermissionError("network namespaces and eBPF need root: run it with sudo")
    if cwd:
        os.chdir(cwd)
    sys.stdout.flush()
    sys.stderr.flush()
    env = dict(os.environ, **{MARK: "1"})
    wrap = ["unshare", "--mount", "--propagation", "private", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    os.execvpe("unshare", wrap + argv, env)


def prepare():
    """First thing inside: private /run (names of network namespaces), bpffs, loopback."""
    sh = lambda *cmd: subprocess.run(cmd, check=True)
    sh("mount", "-t", "tmpfs", "-o", "mode=0755", "lab", "/run")
    os.makedirs("/run/netns")
    # sysfs shows the devices of the network namespace in which it was mounted.
    sh("mount", "-t", "sysfs", "sysfs", "/sys")
    sh("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    for fs, where in (("tracefs", "/sys/kernel/tracing"), ("cgroup2", "/sys/fs/cgroup")):
        subprocess.run(["mount", "-t", fs, fs, where], stderr=subprocess.DEVNULL, check=False)
    sh("ip", "link", "set", "lo", "up")
