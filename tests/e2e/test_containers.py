# SPDX-License-Identifier: Apache-2.0
"""Real containers in the machine room, without BPFast: what the other files guard does work by itself."""

import os

import pytest
from lab.containers import GROUPS, Containerd

BRIDGE = {
    "cniVersion": "1.0.0",
    "name": "lab",
    "plugins": [
        {
            "type": "bridge",
            "bridge": "cni0",
            "isGateway": True,
            "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.88.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]},
        }
    ],
}


@pytest.fixture(scope="module")
def daemon(nodes):
    node = nodes()
    made = Containerd(node)
    config = dict(BRIDGE, plugins=[dict(BRIDGE["plugins"][0], ipam=dict(BRIDGE["plugins"][0]["ipam"], dataDir=f"{made.dir}/ipam"))])
    made.conflist(config)
    yield made
    made.close()


def test_containers_talk_over_the_bridge(daemon):
    web = daemon.run("web", "/bb/sh", "-c", "echo hello >/tmp/index.html; exec /bb/httpd -f -p 80 -h /tmp", labels={"app": "web"})
    address = web.address()
    assert address.startswith("10.88.0.")
    client = daemon.run("client", "/usr/bin/curl", "-sS", "-m", "5", "--retry", "5", "--retry-connrefused", f"http://{address}/")
    assert client.wait() == 0 and client.output() == "hello\n"
    assert web.execute("/bb/hostname").returncode == 0
    assert web.kill() == 137
    assert "web" not in daemon.ctr("container", "ls").stdout


def test_detached_containers_have_other_namespaces(daemon):
    daemon.load("other")
    one = daemon.run("one", detach=True, namespace="other", host_files=False)
    assert one.pid() and one.address()
    assert "one" not in daemon.ctr("container", "ls").stdout
    one.kill()


def test_nothing_is_left_behind(nodes):
    node = nodes()
    made = Containerd(node)
    made.run("idle", cni=False).running()
    group = f"{GROUPS}/{made.group}"
    assert os.path.isdir(group)
    made.close()
    assert not os.path.isdir(group)
