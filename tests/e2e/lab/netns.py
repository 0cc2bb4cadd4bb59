# SPDX-License-Identifier: Apache-2.0
"""Network namespaces, entered by single threads."""

import ctypes
import os
import subprocess
from contextlib import contextmanager

from .wait import SLOW

_libc = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000


def _setns(fd):
    if _libc.setns(fd, CLONE_NEWNET) != 0:
        err = ctypes.get_errno()
        raise OSError(err, os.strerror(err), "setns")


def ip(*args, batch=None):
    """ip(8), several commands at once with batch=[...]."""
    if batch is not None:
        subprocess.run(["ip", *args, "-batch", "-"], input="\n".join(batch) + "\n", text=True, check=True)
    else:
        subprocess.run(["ip", *args], check=True)


class Namespace:
    def __init__(self, name):
        self.name = name
        ip("netns", "add", name)
        self.path = f"/run/netns/{name}"
        self.fd = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        ip("-n", name, "link", "set", "lo", "up")

    @contextmanager
    def inside(self):
        """Sockets made and processes started by this thread belong to the namespace."""
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        try:
            _setns(self.fd)
            try:
                yield self
            finally:
                _setns(back)
        finally:
            os.close(back)

    def run(self, *cmd, timeout=20, check=False, **kw):
        kw.setdefault("capture_output", True)
        kw.setdefault("text", True)
        with self.inside():
            return subprocess.run([str(c) for c in cmd], timeout=timeout * SLOW, check=check, **kw)

    def popen(self, *cmd, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        with self.inside():
            return subprocess.Popen([str(c) for c in cmd], **kw)

    def sysctl(self, key, value):
        with self.inside():
            with open("/proc/sys/" + key.replace(".", "/"), "w", encoding="ascii") as f:
                f.write(str(value))

    def ip(self, *batch):
        ip("-n", self.name, batch=list(batch))

    def delete(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            subprocess.run(["ip", "netns", "del", self.name], check=False)
