# SPDX-License-Identifier: Apache-2.0
"""Docker and podman of a node's own, as scripts/runtimes.sh unpacks them; and a Docker that says what it is told to.

All that they keep lies in the node's directory in the private /run; their processes end with the lab's PID
namespace, and control groups are removed as those of lab/containers.py.
"""

import json
import os
import socketserver
import subprocess
import tarfile
import threading
import time
from http.server import BaseHTTPRequestHandler

from .containers import BUSYBOX, GROUPS, _remove_group, _remove_old_groups
from .node import ROOT
from .wait import until

UNPACKED = os.path.join(ROOT, "build", "runtimes")
IMAGE = "localhost/lab:1"
SLEEP = ("/busybox", "sleep", "1000000")


def missing():
    """Why it cannot be, or None."""
    if not os.path.isdir(UNPACKED):
        return "Docker and podman are not unpacked: sh scripts/runtimes.sh"
    return None


class _Runtime:
    at_once = ()

    def __init__(self, node, name):
        self.node, self.dir = node, f"{node.dir}/{name}"
        self.socket = f"{self.dir}/sock"
        self.group = f"bpfast-lab-{os.getpid()}-{name}-{time.time_ns():x}"
        os.makedirs(self.dir)
        _remove_old_groups()
        libraries = os.path.join(UNPACKED, "usr/lib", f"{os.uname().machine}-linux-gnu")
        libraries += ":" + libraries.replace("/usr/lib/", "/lib/")
        path = ":".join(os.path.join(UNPACKED, p) for p in ("usr/bin", "usr/sbin"))
        self.env = dict(os.environ, HOME=self.dir, PATH=f"{path}:{os.environ['PATH']}", LD_LIBRARY_PATH=libraries)
        self.process = None

    def start(self, *command):
        log = open(f"{self.dir}/log", "ab")  # pylint: disable=consider-using-with
        self.process = self.node.ns.popen(*command, env=self.env, stdout=log, stderr=log)
        log.close()

    def cli(self, *args, check=True, **kw):
        r = self.node.ns.run(*self.client, *args, env=self.env, **kw)
        if check and r.returncode:
            with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as f:
                raise AssertionError(f"{self.client[0]} {' '.join(args)}: exit {r.returncode}\n{r.stderr}{r.stdout}\n{f.read()[-2000:]}")
        return r.stdout.strip()

    def load(self):
        image = f"{self.dir}/image.tar"
        with tarfile.open(image, "w") as tar:
            tar.add(BUSYBOX, "busybox")
        self.cli("import", image, IMAGE)

    def pid(self, name):
        return int(self.cli("inspect", "-f", "{{.State.Pid}}", name))

    def remove(self, *names, check=True):
        self.cli("rm", "-f", *self.at_once, *names, check=check, timeout=60)

    def close(self):
        ids = self.cli("ps", "-aq", check=False).split()
        if ids:
            self.remove(*ids, check=False)
        self.process.terminate()
        self.process.wait(20)
        # What was mounted would stay busy.
        with open("/proc/self/mounts", encoding="utf-8") as f:
            mounts = [line.split()[1] for line in f]
        for m in reversed(mounts):
            if m.startswith(self.dir + "/"):
                subprocess.run(["umount", "-l", m], check=False)
        subprocess.run(["rm", "-rf", self.dir], check=False)
        _remove_group(f"{GROUPS}/{self.group}")


class Docker(_Runtime):
    def __init__(self, node):
        super().__init__(node, "docker")
        self.client = ["docker", "-H", f"unix://{self.socket}"]
        # Without its firewall rules: they would be the node's.
        args = ["dockerd", "--data-root", f"{self.dir}/data", "--exec-root", f"{self.dir}/exec", "--pidfile", f"{self.dir}/pid"]
        args += ["-H", f"unix://{self.socket}", "--iptables=false", "--ip6tables=false", "--storage-driver", "vfs"]
        self.start(*args, "--bridge=none", "--cgroup-parent", f"/{self.group}")
        until(lambda: self.node.ns.run(*self.client, "version", env=self.env).returncode == 0, 20, "dockerd answers", every=0.1)
        self.load()
        self.cli("network", "create", "--subnet", "10.66.0.0/24", "lab")

    def run(self, name, *options, network="lab", command=SLEEP):
        return self.cli("run", "-d", "--cpu-shares", "0", "--name", name, "--network", network, *options, IMAGE, *command)


class Podman(_Runtime):
    """It sets limits that some machines refuse, so these are the machine's own; control groups are left alone."""

    at_once = ("-t", "0", "--depend")

    def __init__(self, node):
        super().__init__(node, "podman")
        # crun does not inherit where its libraries are.
        with open(f"{self.dir}/crun", "w", encoding="ascii") as f:
            f.write(f'#!/bin/sh\nLD_LIBRARY_PATH={self.env["LD_LIBRARY_PATH"]} exec {UNPACKED}/usr/bin/crun "$@"\n')
        os.chmod(f"{self.dir}/crun", 0o755)
        with open(f"{self.dir}/containers.conf", "w", encoding="ascii") as f:
            f.write(
                '[containers]\ndefault_ulimits = []\ncgroups = "disabled"\n'
                '[engine]\ncgroup_manager = "cgroupfs"\nevents_logger = "none"\nruntime = "crun"\n'
                f'helper_binaries_dir = ["{UNPACKED}/usr/lib/podman"]\nconmon_path = ["{UNPACKED}/usr/bin/conmon"]\ntmp_dir = "{self.dir}/tmp"\n'
                f'[engine.runtimes]\ncrun = ["{self.dir}/crun"]\n'
                f'[network]\nnetwork_backend = "netavark"\nnetwork_config_dir = "{self.dir}/networks"\n'
            )
        os.makedirs(f"{self.dir}/.config/containers")
        with open(f"{self.dir}/.config/containers/policy.json", "w", encoding="ascii") as f:
            json.dump({"default": [{"type": "insecureAcceptAnything"}]}, f)
        with open(f"{self.dir}/storage.conf", "w", encoding="ascii") as f:
            f.write(f'[storage]\ndriver = "vfs"\nrunroot = "{self.dir}/run"\ngraphroot = "{self.dir}/graph"\n')
        self.env.update(CONTAINERS_CONF=f"{self.dir}/containers.conf", CONTAINERS_STORAGE_CONF=f"{self.dir}/storage.conf")
        self.client = ["podman"]
        self.load()
        self.cli("network", "create", "--subnet", "10.67.0.0/24", "lab")
        self.start("podman", "system", "service", "-t", "0", f"unix://{self.socket}")
        until(lambda: os.path.exists(self.socket), 20, "podman answers", every=0.05)

    def run(self, name, *options, network="lab", command=SLEEP):
        return self.cli("run", "-d", "--name", name, "--network", network, "--ulimit", "host", *options, IMAGE, *command)


class SaidDocker:
    """A server at a socket that gives the answers it is handed: {path: (status, bytes)}, or a function of the path."""

    def __init__(self, path, answers):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802
                got = answers(self.path) if callable(answers) else answers.get(self.path.partition("?")[0], (404, b"{}"))
                status, body = got
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self):
                return "unix"

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
            daemon_threads = True

        self.server = Server(path, Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()
        os.unlink(self.server.server_address)
