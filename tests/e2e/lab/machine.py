# SPDX-License-Identifier: Apache-2.0
"""A machine to install packages on: systemd as the first process of namespaces of its own, on a copy of this system's files.

The copy is an overlay in memory: nothing that happens there reaches the files, services, interfaces, pins or settings of the machine
underneath. Of its services none runs but the journal and what a test starts.
"""

import os
import subprocess
import tempfile
import time

from .wait import SLOW, until

SYSTEMD = "/lib/systemd/systemd"
# /sys is not to be written: sysfs has no namespace but for interfaces. The unit of systemd's own that mounts /sys/fs/bpf
# is left out in containers, which this one is told to be.
BOOT = r"""
set -e
lab=$1; share=$2
mount -t tmpfs lab "$lab"
mkdir "$lab/upper" "$lab/work" "$lab/root"
mount -t overlay root -o "lowerdir=/,upperdir=$lab/upper,workdir=$lab/work" "$lab/root"
cd "$lab/root"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t bpf -o mode=700 bpf sys/fs/bpf
mount -t cgroup2 cgroup sys/fs/cgroup
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t tmpfs -o mode=755 dev dev
for d in null zero full random urandom tty; do touch dev/$d; mount --bind /dev/$d dev/$d; done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
rm -rf etc/systemd/system/*.wants lib/systemd/system/*.wants etc/systemd/system/*.d usr/sbin/policy-rc.d etc/fstab var/log/journal
rm -rf etc/bpfast var/log/bpfast var/lib/dpkg/info/bpfast.*
printf '[Unit]\nDefaultDependencies=no\nWants=systemd-journald.service\n' > lib/systemd/system/lab.target
mkdir -p mnt/share mnt/old
mount --bind "$share" mnt/share
pivot_root . mnt/old
umount -l /mnt/old
ip link set lo up
exec env -i container=lab PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --system --unit=lab.target --log-target=console --show-status=no \
	> /mnt/share/systemd.log 2>&1 < /dev/null
"""


class Machine:
    def __init__(self):
        self.share = tempfile.mkdtemp(prefix="bpfast-machine-", dir="/run")
        self.lab = tempfile.mkdtemp(prefix="bpfast-root-", dir="/run")
        self.cgroup = self._cgroup()
        enter = f"echo $$ > {self.cgroup}/cgroup.procs && exec unshare --cgroup --mount --pid --net --uts --ipc --fork --kill-child --propagation private sh -c \"$0\" boot {self.lab} {self.share}"
        self.process = subprocess.Popen(["sh", "-c", enter, BOOT], stdin=subprocess.DEVNULL)
        children = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        self.pid = int(until(lambda: self.process.poll() is None and open(children, encoding="ascii").read().split(), 5, "the first process")[0])
        until(lambda: self.run("systemctl", "is-system-running").stdout.strip() in ("running", "degraded"), 15, "systemd runs")

    @staticmethod
    def _cgroup():
        """A cgroup of our own; those that killed runs left are removed, which only empty ones can be."""
        top = tempfile.mkdtemp(prefix="bpfast-cgroup-", dir="/run")
        subprocess.run(["mount", "-t", "cgroup2", "cgroup", top], check=True)
        for name in os.listdir(top):
            path = os.path.join(top, name)
            if name.startswith("bpfast-machine-") and os.stat(path).st_mtime < time.time() - 3600:
                _remove_cgroups(path)
        return tempfile.mkdtemp(prefix="bpfast-machine-", dir=top)

    def run(self, *cmd, timeout=20, check=False, **kw):
        kw.setdefault("stdin", subprocess.DEVNULL)
        enter = ["nsenter", "-t", str(self.pid), "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--"]
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"}
        r = subprocess.run([*enter, *[str(c) for c in cmd]], capture_output=True, text=True, timeout=timeout * SLOW, check=False, env=env, cwd="/", **kw)
        assert not check or r.returncode == 0, f"{cmd}: exit {r.returncode}\n{r.stdout}{r.stderr}"
        return r

    def ok(self, *cmd, **kw):
        return self.run(*cmd, check=True, **kw).stdout

    def show(self, unit, prop):
        return self.ok("systemctl", "show", "-P", prop, unit).strip()

    def journal(self, unit):
        return self.run("journalctl", "-u", unit, "--no-pager", "-o", "cat").stdout

    def close(self):
        self.process.kill()
        self.process.wait()
        until(lambda: not open(f"{self.cgroup}/cgroup.procs", encoding="ascii").read() and _remove_cgroups(self.cgroup), 5, "its cgroups are empty")
        top = os.path.dirname(self.cgroup)
        subprocess.run(["umount", "-l", top], check=False)
        for d in (top, self.lab):
            os.rmdir(d)
        subprocess.run(["rm", "-rf", self.share], check=False)


def _remove_cgroups(path):
    for base, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(base)
        except OSError:
            pass
    return not os.path.exists(path)
