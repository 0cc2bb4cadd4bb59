# SPDX-License-Identifier: Apache-2.0
"""Real containers: a containerd of a node's own, runc, and an image made of this machine's busybox.

Root, state, socket and configuration lie in the node's directory, which is in the private /run; what the
shims make lies there too. All processes are in the lab's PID namespace. So everything ends with the lab,
however that ends, but for empty control groups, which the next start removes.
"""

import hashlib
import io
import json
import os
import re
import signal
import subprocess
import tarfile
import tempfile
import time

from .netns import Namespace
from .wait import SLOW, until

BUSYBOX = "/usr/bin/busybox"
PLUGINS = "/usr/lib/cni"  # where Debian has them
IMAGE = "docker.io/bpfast/lab:1"
PATH = "PATH=/bb:/usr/local/bin:/usr/bin:/usr/sbin:/bin"
GROUPS = "/sys/fs/cgroup"
# So much as `ctr run --cni` needs: it looks into /opt/cni/bin and /etc/cni/net.d and cannot be told otherwise.
INSIDE = """
mount -t tmpfs cni /opt && mkdir -p /opt/cni/bin && mount --bind "$1/bin" /opt/cni/bin
mount -t overlay -o "lowerdir=$1/etc:/etc" cni /etc
shift
exec "$@"
"""


def image_tar(path, name=IMAGE, command=("/bb/sh",)):
    """An OCI image: busybox, and the folders into which this machine's /usr may be mounted."""
    layer = io.BytesIO()
    with tarfile.open(fileobj=layer, mode="w") as tar:

        def add(name, kind, mode=0o755, data=b"", link=""):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.size, info.linkname = kind, mode, len(data), link
            tar.addfile(info, io.BytesIO(data))

        for folder in ("bb", "usr", "etc", "proc", "sys", "dev", "var", "run", "root"):
            add(folder, tarfile.DIRTYPE)
        add("tmp", tarfile.DIRTYPE, 0o1777)
        for folder in ("bin", "sbin", "lib", "lib64"):
            add(folder, tarfile.SYMTYPE, link=f"usr/{folder}")
        with open(BUSYBOX, "rb") as f:
            add("bb/busybox", tarfile.REGTYPE, data=f.read())
        for applet in subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True).stdout.split():
            if applet != "busybox":
                add(f"bb/{applet}", tarfile.SYMTYPE, link="busybox")
        add("etc/passwd", tarfile.REGTYPE, 0o644, b"root:x:0:0:root:/root:/bb/sh\nnobody:x:65534:65534::/:/bb/sh\n")
        add("etc/group", tarfile.REGTYPE, 0o644, b"root:x:0:\nnogroup:x:65534:\n")
    blobs = {}

    def blob(data, kind, **more):
        digest = hashlib.sha256(data).hexdigest()
        blobs[f"blobs/sha256/{digest}"] = data
        return {"mediaType": f"application/vnd.oci.image.{kind}", "digest": f"sha256:{digest}", "size": len(data), **more}

    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    body = blob(layer.getvalue(), "layer.v1.tar")
    config = {"architecture": machine, "os": "linux", "config": {"Env": [PATH], "Cmd": list(command), "WorkingDir": "/"}, "rootfs": {"type": "layers", "diff_ids": [body["digest"]]}}
    config = blob(json.dumps(config).encode(), "config.v1+json")
    manifest = blob(json.dumps({"schemaVersion": 2, "config": config, "layers": [body]}).encode(), "manifest.v1+json", annotations={"io.containerd.image.name": name})
    blobs["oci-layout"] = b'{"imageLayoutVersion":"1.0.0"}'
    blobs["index.json"] = json.dumps({"schemaVersion": 2, "manifests": [manifest]}).encode()
    with tarfile.open(path, "w") as tar:
        for file, data in blobs.items():
            info = tarfile.TarInfo(file)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


class Joined(Namespace):
    """A network namespace that somebody else made."""

    def __init__(self, path):  # pylint: disable=super-init-not-called
        self.name, self.path = None, path
        self.fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    def delete(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


class Container:
    """One that runs. In the foreground of a `ctr run`, which calls CNI's DEL at its end; or detached, and then nobody does."""

    def __init__(self, daemon, name, process, namespace):
        self.daemon, self.name, self.process, self.namespace = daemon, name, process, namespace
        self._joined = None

    @property
    def cni_id(self):
        """What `ctr run --cni` has for CNI_CONTAINERID."""
        return f"{self.namespace}-{self.name}"

    def pid(self):
        tasks = self.daemon.ctr("task", "ls", namespace=self.namespace).stdout
        found = re.search(rf"^{re.escape(self.name)}\s+(\d+)\s+RUNNING", tasks, re.M)
        return int(found.group(1)) if found else None

    def running(self):
        def look():
            if self.process and self.process.poll() is not None:
                raise AssertionError(f"{self.name} ended with {self.process.returncode}: {self.output()}")
            return self.pid()

        return until(look, 15, f"{self.name} runs", every=0.05)

    @property
    def ns(self):
        """Its network namespace; what runs there sees the machine's files."""
        if not self._joined:
            self._joined = Joined(f"/proc/{self.running()}/ns/net")
        return self._joined

    def run(self, *cmd, **kw):
        return self.ns.run(*cmd, **kw)

    def address(self, family="inet"):
        links = json.loads(self.run("ip", "-j", "addr", "show", "eth0", check=True).stdout)
        return next(a["local"] for a in links[0]["addr_info"] if a["family"] == family and a["scope"] == "global")

    def execute(self, *cmd, timeout=20):
        """Inside the container."""
        return self.daemon.ctr("task", "exec", "--exec-id", f"x{time.monotonic_ns()}", self.name, *cmd, namespace=self.namespace, timeout=timeout, check=False)

    def output(self):
        """What its `ctr run` wrote."""
        self._out.seek(0)
        return self._out.read()

    def wait(self, timeout=20):
        """Until it has ended by itself, with its network; -> exit status."""
        code = self.process.wait(timeout * SLOW)
        self._leave()
        self.daemon.containers.pop((self.namespace, self.name), None)
        return code

    def _leave(self):
        """A namespace that we hold open would not go, nor the veth that leads there."""
        if self._joined:
            self._joined.delete()
            self._joined = None

    def kill(self):
        """Ends it; with it ends its `ctr run`, which takes the network away."""
        self._leave()
        self.daemon.ctr("task", "kill", "-s", "KILL", self.name, namespace=self.namespace, check=False)
        if self.process:
            return self.wait()
        until(lambda: not self.pid(), 10, f"{self.name} ended", every=0.05)
        self.daemon.ctr("task", "rm", "-f", self.name, namespace=self.namespace, check=False)
        self.daemon.ctr("container", "rm", self.name, namespace=self.namespace, check=False)
        self.daemon.containers.pop((self.namespace, self.name), None)
        return None

    def abandon(self):
        """Ends it without a DEL, as when a runtime is killed in the middle."""
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None
        self.kill()


class Containerd:
    def __init__(self, node, namespace="lab"):
        self.node, self.namespace = node, namespace
        self.dir = tempfile.mkdtemp(prefix="containerd-", dir=node.dir)
        self.socket = f"{self.dir}/sock"
        self.bin_dir, self.conf_dir = f"{self.dir}/cni/bin", f"{self.dir}/cni/etc/cni/net.d"
        self.group = f"bpfast-lab-{os.getpid()}-{os.path.basename(self.dir)}-{time.time_ns():x}"
        self.containers, self.process = {}, None
        os.makedirs(self.bin_dir)
        os.makedirs(self.conf_dir)
        for plugin in os.listdir(PLUGINS):
            os.symlink(f"{PLUGINS}/{plugin}", f"{self.bin_dir}/{plugin}")
        with open(f"{self.dir}/config.toml", "w", encoding="ascii") as f:
            f.write(
                f'version = 2\nroot = "{self.dir}/root"\nstate = "{self.dir}/state"\n'
                'disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",'
                ' "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]\n'
                f'[grpc]\naddress = "{self.socket}"\n[ttrpc]\naddress = "{self.socket}.ttrpc"\n'
                f'[plugins."io.containerd.internal.v1.opt"]\npath = "{self.dir}/opt"\n'
            )
        _remove_old_groups()
        self.start()
        image_tar(f"{self.dir}/image.tar")
        self.load(namespace)

    # --- the daemon ---

    def start(self):
        keeper = f"{GROUPS}/{self.group}/keeper"
        os.makedirs(keeper, exist_ok=True)
        log = open(f"{self.dir}/log", "ab")  # pylint: disable=consider-using-with
        # It says by its own membership that the group is in use.
        enter = ["sh", "-c", f'echo $$ >{keeper}/cgroup.procs; exec "$@"', "sh"]
        self.process = self.node.ns.popen(*enter, "containerd", "--config", f"{self.dir}/config.toml", stdout=log, stderr=log)
        log.close()
        until(lambda: os.path.exists(self.socket) and self.ctr("version", check=False).returncode == 0, 20, "containerd answers", every=0.05)

    def stop(self, sig=signal.SIGTERM):
        """Containers run on without it."""
        self.process.send_signal(sig)
        self.process.wait(20)

    def load(self, namespace):
        """The image for one more of containerd's namespaces."""
        self.ctr("image", "import", "--snapshotter", "native", f"{self.dir}/image.tar", namespace=namespace)

    def command(self, *args, namespace=None):
        return ["ctr", "--address", self.socket, "--namespace", namespace or self.namespace, *map(str, args)]

    def ctr(self, *args, namespace=None, timeout=20, check=True):
        r = self.node.ns.run(*self.command(*args, namespace=namespace), timeout=timeout)
        if check and r.returncode:
            raise AssertionError(f"ctr {' '.join(map(str, args))}: exit {r.returncode}\n{r.stderr}{r.stdout}")
        return r

    # --- CNI ---

    def plugin(self, path):
        """One more plugin, by its path."""
        link = f"{self.bin_dir}/{os.path.basename(path)}"
        if not os.path.lexists(link):
            os.symlink(path, link)

    def conflist(self, config):
        """The network configuration that `ctr run --cni` takes."""
        with open(f"{self.conf_dir}/10-lab.conflist", "w", encoding="utf-8") as f:
            f.write(config if isinstance(config, str) else json.dumps(config))

    # --- containers ---

    def run(self, name, *cmd, cni=True, detach=False, namespace=None, labels=None, host_files=True, options=()):
        """Starts a container. host_files: this machine's programs are there, read-only."""
        namespace = namespace or self.namespace
        args = ["run", "--snapshotter", "native", "--cgroup", f"/{self.group}/{namespace}-{name}", "--cpu-shares", "0", "--fifo-dir", f"{self.dir}/fifo"]
        args += ["--cni"] if cni else []
        args += ["--detach"] if detach else ["--rm"]
        if host_files:
            args += ["--mount", "type=bind,src=/usr,dst=/usr,options=rbind:ro"]
        for k, v in (labels or {}).items():
            args += ["--label", f"{k}={v}"]
        args += [*options, IMAGE, name, *(cmd or ("/bb/sleep", "1000000"))]
        out = tempfile.TemporaryFile(mode="w+", dir=self.dir, errors="replace")
        wrap = ["unshare", "--mount", "sh", "-ec", INSIDE, "sh", f"{self.dir}/cni"]
        process = self.node.ns.popen(*wrap, *self.command(*args, namespace=namespace), stdout=out, stderr=subprocess.STDOUT)
        container = Container(self, name, process, namespace)
        container._out = out  # pylint: disable=protected-access
        self.containers[namespace, name] = container
        if detach:
            if process.wait(30 * SLOW):
                raise AssertionError(f"ctr run {name}: exit {process.returncode}\n{container.output()}")
            container.process = None
        return container

    def close(self):
        for container in list(self.containers.values()):
            container.abandon()
        self.stop(signal.SIGKILL)
        subprocess.run(["rm", "-rf", self.dir], check=False)
        _remove_group(f"{GROUPS}/{self.group}")


def _remove_group(path):
    for base, _, _ in os.walk(path, topdown=False):
        try:
            os.rmdir(base)
        except OSError:
            pass  # somebody is in it


def _remove_old_groups():
    """What killed runs left: groups in which no process is."""
    for name in os.listdir(GROUPS):
        if not name.startswith("bpfast-lab-"):
            continue
        try:
            with open(f"{GROUPS}/{name}/cgroup.events", encoding="ascii") as f:
                if "populated 0" in f.read():
                    _remove_group(f"{GROUPS}/{name}")
        except OSError:
            pass
