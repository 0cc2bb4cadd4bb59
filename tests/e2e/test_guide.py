# SPDX-License-Identifier: Apache-2.0
"""Does what docs/guide/quickstart.md says, word by word."""

import os
import re
import subprocess

import pytest
from lab import servers
from lab.netns import Namespace
from lab.node import BIN, ROOT
from lab.wait import until


def blocks():
    """heading -> code blocks, as (language, text)"""
    out, heading = {}, ""
    with open(f"{ROOT}/docs/guide/quickstart.md", encoding="utf-8") as f:
        text = f.read()
    for m in re.finditer(r"^## ([^\n]*)$|^```(\w+)\n(.*?)^```$", text, re.M | re.S):
        if m.group(1):
            heading = m.group(1)
        else:
            out.setdefault(heading, []).append((m.group(2), m.group(3)))
    return out


@pytest.fixture
def shell(tmp_path):
    """A user's shell: bpfast is installed, sudo asks nothing."""
    (tmp_path / "bin").mkdir()
    for name, text in (("sudo", '#!/bin/sh\nexec "$@"\n'),):
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    env = dict(os.environ, PATH=f"{tmp_path}/bin:{BIN}:{os.environ['PATH']}")
    # The agent's default directories, for this test alone. /run and /sys/fs/bpf are private anyway.
    subprocess.run(["mount", "-t", "tmpfs", "log", "/var/log"], check=True)
    started = []

    def run(text, ok=True, timeout=20):
        r = subprocess.run(["bash", "-c", "set -e\n" + text], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=timeout, check=False)
        assert not ok or r.returncode == 0, f"{text}\n{r.stdout}{r.stderr}"
        return r.stdout + r.stderr

    def start(text, log):
        with open(tmp_path / log, "w", encoding="utf-8") as f:
            started.append(subprocess.Popen(["bash", "-c", "exec " + text], cwd=tmp_path, env=env, stdout=f, stderr=f, stdin=subprocess.DEVNULL))
        return lambda: (tmp_path / log).read_text()

    run.start, run.dir = start, tmp_path
    yield run
    for p in started:
        p.kill()
        p.wait()
    subprocess.run(["umount", "/var/log"], check=True)


def test_quickstart(shell):
    guide = blocks()
    own = next(t for _, t in guide["Tell it who is there"] if "ip netns add" in t)
    setup, server, first = own.rpartition("done\n")[0] + "done\n", *own.rpartition("done\n")[2].splitlines()
    shell(setup)
    shell.start(server.rstrip("& "), "server.log")
    web = Namespace.__new__(Namespace)
    web.name, web.path, web.fd = "web", "/run/netns/web", os.open("/run/netns/web", os.O_RDONLY)
    until(lambda: servers.listening(web, 80), 5)
    assert "200 OK" in shell(first)

    log = shell.start(guide["Start the agent"][0][1].strip(), "agent.log")
    until(lambda: " ready" in log(), 10, "bpfastd logs ready")
    shell(guide["Start the agent"][1][1])
    listed = shell(guide["Tell it who is there"][0][1])
    assert "cart" in listed and "web" in listed

    (policy,) = [t for lang, t in guide["Write a policy"] if lang == "yaml"]
    (shell.dir / "shop.yaml").write_text(policy)
    (apply,) = [t for lang, t in guide["Write a policy"] if lang == "sh"]
    shell(apply)

    passes, denied, observe, follow = guide["Look"][0][1].splitlines()
    assert " 404 " in shell(passes)  # the server's own answer
    out = shell(denied)
    assert " 403 " in out and "PayloadPolicy shop/web" in out
    assert "http-rule-denied" in shell(observe)
    followed = shell.start(follow.removeprefix("sudo "), "follow.log")
    until(lambda: shell(denied) and "DROPPED" in followed(), 5, "a followed record", every=0.2)
    assert shell(guide["Look"][1][1]).startswith("DROPPED")

    for line in guide["Remove it"][0][1].splitlines():
        shell(line)
    assert "200 OK" in shell(first)
    os.close(web.fd)
    for name in ("cart", "web"):
        subprocess.run(["ip", "netns", "del", name], check=True)
    subprocess.run(["ip", "link", "del", "br0"], check=True)
