# SPDX-License-Identifier: Apache-2.0
"""The demo's workloads as containers: containerd, runc and CNI's bridge, with this machine's own nginx and curl."""

import os
import shutil
import time

from lab import containers
from lab.node import Pod
from lab.wait import until

NGINX = """
user root; daemon off; worker_processes 1; pid /tmp/pid; error_log /tmp/error;
events {}
http {
  access_log off; client_body_temp_path /tmp/b; proxy_temp_path /tmp/p; fastcgi_temp_path /tmp/f; uwsgi_temp_path /tmp/u; scgi_temp_path /tmp/s;
  server { listen 80; default_type text/plain; location / { return 200 "nginx $request_method $uri\\n"; } }
}
"""
BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True}


def missing():
    """What is not there for containers, or None."""
    for program in ("containerd", "ctr", "runc", "nginx"):
        if not shutil.which(program):
            return f"{program} is not installed"
    if not os.path.exists(os.path.join(containers.PLUGINS, "bridge")) or not os.path.exists(containers.BUSYBOX):
        return "CNI's plugins or busybox are not installed"
    return None


class Box:
    """A container, asked as a pod of the lab is."""

    def __init__(self, container):
        self.container, self.name, self.ip4 = container, container.name, container.address()

    def run(self, *cmd, timeout=20, **_):
        return self.container.execute(*cmd, timeout=timeout)

    curl = Pod.curl


def start(node):
    """-> cart, stranger, web"""
    daemon = containers.Containerd(node, namespace="default")
    # All is in a /run of our own, so that the usual places are free.
    os.symlink(f"{daemon.dir}/state", "/run/containerd")
    os.symlink(daemon.socket, "/run/containerd/containerd.sock")
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "dataDir": f"{daemon.dir}/ipam", "routes": [{"dst": "0.0.0.0/0"}]}
    daemon.conflist({"cniVersion": "1.0.0", "name": "demo", "plugins": [{**BRIDGE, "ipam": ipam}]})
    files = f"{node.dir}/web"
    os.makedirs(files)
    with open(f"{files}/nginx.conf", "w", encoding="ascii") as f:
        f.write(NGINX)
    nginx = ("/usr/sbin/nginx", "-p", "/tmp", "-e", "/tmp/error", "-c", "/root/nginx.conf")
    run = lambda name, *cmd, **kw: daemon.run(name, *cmd, labels={"app": name}, detach=True, **kw)
    made = [run("cart"), run("stranger"), run("web", *nginx, options=("--mount", f"type=bind,src={files},dst=/root,options=rbind:ro"))]
    boxes = [Box(c) for c in made]
    until(lambda: boxes[0].curl(f"http://{boxes[2].ip4}/", timeout=1)[0] == 200, 10, "nginx answers", every=0.1)
    return boxes


def sweep(seconds=2):
    """Removes the control groups of a demo that has ended, as this machine's own mounts show them."""
    with open("/proc/self/mounts", encoding="utf-8") as f:
        mounts = [line.split() for line in f]
    # A mount may be hidden below another.
    for place in [m[1] for m in mounts if m[2] == "cgroup2" and os.path.exists(f"{m[1]}/cgroup.procs")][:1]:
        containers.GROUPS = place
        for _ in range(seconds * 20):
            containers._remove_old_groups()  # pylint: disable=protected-access
            if not any(name.startswith("bpfast-lab-") for name in os.listdir(place)):
                break
            time.sleep(0.05)
