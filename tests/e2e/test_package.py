# SPDX-License-Identifier: Apache-2.0
"""The Debian package on a machine with systemd: installed, at work under the unit's restrictions, upgraded, removed, purged."""

import glob
import os
import re
import shutil
import subprocess

import pytest
from lab.machine import Machine
from lab.node import ROOT
from lab.wait import until

# The first of them builds the packages.
pytestmark = pytest.mark.seconds(150)

FILES = """
drwxr-xr-x /etc/bpfast
-rw-r--r-- /etc/bpfast/bpfast.yaml
drwxr-x--- /etc/bpfast/policies
-rw-r--r-- /lib/systemd/system/bpfastd.service
-rwxr-xr-x /usr/bin/bpfast
-rwxr-xr-x /usr/bin/bpfastd
-rw-r--r-- /usr/share/bash-completion/completions/bpfast
-rw-r--r-- /usr/share/doc/bpfast/changelog.Debian.gz
-rw-r--r-- /usr/share/doc/bpfast/copyright
-rw-r--r-- /usr/share/doc/bpfast/examples/logrotate
-rw-r--r-- /usr/share/fish/vendor_completions.d/bpfast.fish
-rw-r--r-- /usr/share/lintian/overrides/bpfast
-rw-r--r-- /usr/share/man/man8/bpfast.8.gz
-rw-r--r-- /usr/share/man/man8/bpfast-cni.8.gz
-rw-r--r-- /usr/share/man/man8/bpfastd.8.gz
-rw-r--r-- /usr/share/zsh/vendor-completions/_bpfast
"""
POLICY = """
apiVersion: bpfast.io/v1alpha1
kind: PayloadPolicy
metadata: {name: web, namespace: default}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress:
  - toPorts:
    - ports: [{port: "81", protocol: TCP}]
"""
# A pod: a process with a network of its own behind a veth, and a server on two ports.
POD = """
ip link add vweb type veth peer name eth0
ip addr add 10.9.0.1/24 dev vweb
ip link set vweb up
setsid unshare --net sh -c 'echo $$ > /tmp/pod; sleep 300' < /dev/null > /dev/null 2>&1 &
while [ ! -s /tmp/pod ]; do sleep 0.05; done
ip link set eth0 netns $(cat /tmp/pod)
nsenter -t $(cat /tmp/pod) --net ip -batch - <<X
link set lo up
link set eth0 up
addr add 10.9.0.2/24 dev eth0
X
nsenter -t $(cat /tmp/pod) --net setsid sh -c 'for p in 80 81; do python3 -m http.server $p -d /tmp & done; wait' < /dev/null > /dev/null 2>&1 &
"""
# From another pod: what comes from the node itself is always allowed.
PEER = """
ip link add vcart type veth peer name eth0
ip addr add 10.9.1.1/24 dev vcart
ip link set vcart up
setsid unshare --net sh -c 'echo $$ > /tmp/peer; sleep 300' < /dev/null > /dev/null 2>&1 &
while [ ! -s /tmp/peer ]; do sleep 0.05; done
ip link set eth0 netns $(cat /tmp/peer)
nsenter -t $(cat /tmp/peer) --net ip -batch - <<X
link set eth0 up
addr add 10.9.1.2/24 dev eth0
route add default via 10.9.1.1
X
nsenter -t $(cat /tmp/pod) --net ip route add default via 10.9.0.1
sysctl -qw net.ipv4.ip_forward=1
"""


@pytest.fixture(scope="module")
def packages(tmp_path_factory):
    """Two versions of the package."""
    out = str(tmp_path_factory.mktemp("deb"))
    r = subprocess.run(["make", "-s", "deb", "DEB_VERSION=0.0-1", f"DEB_DIR={out}"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stdout + r.stderr
    (old,) = glob.glob(f"{out}/bpfast_0.0-1_*.deb")
    subprocess.run(["dpkg-deb", "-R", old, f"{out}/tree"], check=True)
    subprocess.run(["sed", "-i", "s/^Version: .*/Version: 0.0-2/", f"{out}/tree/DEBIAN/control"], check=True)
    new = old.replace("_0.0-1_", "_0.0-2_")
    subprocess.run(["dpkg-deb", "-b", "--root-owner-group", f"{out}/tree", new], check=True, capture_output=True)
    return [old, new]


@pytest.fixture(scope="module")
def machine(packages):
    m = Machine()
    try:
        for p in packages:
            shutil.copy(p, m.share)
        m.old, m.new = (f"/mnt/share/{os.path.basename(p)}" for p in packages)
        yield m
    finally:
        m.close()


def dpkg(machine, *args):
    return machine.run("dpkg", "--no-triggers", *args, timeout=30)


def reaches(machine, port):
    return machine.run("sh", "-c", f"nsenter -t $(cat /tmp/peer) --net curl -s -o /dev/null -m 1 http://10.9.0.2:{port}/").returncode == 0


def test_files_and_modes(packages):
    listed = subprocess.run(["dpkg-deb", "-c", packages[0]], capture_output=True, text=True, check=True).stdout
    found = [(line.split()[0], line.split()[5][1:].rstrip("/"), line.split()[1]) for line in listed.splitlines()]
    assert {owner for _, _, owner in found} == {"root/root"}
    found = {f"{mode} {path}" for mode, path, _ in found if mode[0] != "d" or path.startswith("/etc/bpfast")}
    wanted = set(FILES.split("\n")[1:-1])
    if os.path.exists(os.path.join(ROOT, "build", "bin", "bpfast-cni")):
        wanted.add("-rwxr-xr-x /usr/lib/cni/bpfast-cni")
    assert found == wanted
    info = subprocess.run(["dpkg-deb", "-f", packages[0], "Depends"], capture_output=True, text=True, check=True).stdout
    assert re.search(r"libbpf\d+ ", info) and "libc6" in info


def test_exposure_of_the_unit(packages, tmp_path):
    """What `systemd-analyze security` says of all the rest: 2.7 by systemd 252; newer ones weigh a little otherwise."""
    subprocess.run(["dpkg-deb", "-x", packages[0], tmp_path], check=True)
    unit = tmp_path / "lib/systemd/system/bpfastd.service"
    r = subprocess.run(["systemd-analyze", "security", "--offline=true", "--threshold=30", "--no-pager", unit], capture_output=True, text=True, check=False)
    assert r.returncode == 0, r.stdout.splitlines()[-1:]


@pytest.mark.skipif(not shutil.which("lintian"), reason="lintian is not installed")
def test_lintian_finds_nothing(packages):
    r = subprocess.run(["lintian", "--allow-root", "--fail-on", "none", "-I", packages[0]], capture_output=True, text=True, check=True)
    assert r.stdout.strip() in ("", "N: 0 hints overridden; 0 unused overrides"), r.stdout


def test_make_install(tmp_path):
    subprocess.run(["make", "-s", "install", f"DESTDIR={tmp_path}"], cwd=ROOT, check=True, capture_output=True)
    unit = (tmp_path / "usr/local/lib/systemd/system/bpfastd.service").read_text()
    assert "ExecStart=/usr/local/bin/bpfastd\n" in unit
    version = re.search(r"^VERSION := (.*)$", open(f"{ROOT}/Makefile", encoding="utf-8").read(), re.M).group(1)
    for program in ("bpfast", "bpfastd"):
        out = subprocess.run([tmp_path / f"usr/local/bin/{program}", "--version" if program == "bpfastd" else "version"], capture_output=True, text=True, check=True)
        assert out.stdout == f"{program} {version}\n"
    assert (tmp_path / "usr/local/share/man/man8/bpfastd.8").exists()


def test_installed_it_runs_with_few_rights(machine):
    assert machine.run("command", "-v", "bpfastd").returncode != 0, "this machine has a bpfastd of its own"
    r = dpkg(machine, "-i", machine.old)
    assert r.returncode == 0, r.stderr
    assert machine.ok("systemctl", "is-enabled", "bpfastd").strip() == "enabled"
    assert machine.show("bpfastd", "ActiveState") == "active", machine.journal("bpfastd")
    assert machine.ok("bpfast", "version") == machine.ok("bpfastd", "--version").replace("bpfastd", "bpfast")
    status = machine.ok("cat", f"/proc/{machine.show('bpfastd', 'MainPID')}/status")
    rights = dict(re.findall(r"^(CapPrm|CapEff|CapBnd|CapAmb|NoNewPrivs|Seccomp):\s*(\w+)$", status, re.M))
    bpf_net_admin_perfmon = f"{1 << 39 | 1 << 12 | 1 << 38:016x}"
    assert rights == {
        "CapPrm": bpf_net_admin_perfmon,
        "CapEff": bpf_net_admin_perfmon,
        "CapBnd": "0" * 16,
        "CapAmb": "0" * 16,
        "NoNewPrivs": "1",
        "Seccomp": "2",
    }
    modes = machine.ok("stat", "-c", "%a %n", "/run/bpfast", "/var/log/bpfast", "/etc/bpfast/policies", "/run/bpfast/bpfast.sock")
    assert modes == "700 /run/bpfast\n750 /var/log/bpfast\n750 /etc/bpfast/policies\n600 /run/bpfast/bpfast.sock\n"


def test_guards_a_pod_under_these_restrictions(machine):
    machine.ok("sh", "-c", POD)
    machine.ok("sh", "-c", PEER)
    until(lambda: reaches(machine, 80) and reaches(machine, 81), 5, "the pod serves")
    machine.ok("bpfast", "endpoint", "add", "web", "--iface", "vweb", "--label", "app=web")
    with open(f"{machine.share}/web.yaml", "w", encoding="ascii") as f:
        f.write(POLICY)
    machine.ok("cp", "/mnt/share/web.yaml", "/etc/bpfast/policies/")
    until(lambda: "web" in machine.ok("bpfast", "policy", "list"), 5, "the policy directory is watched")
    assert reaches(machine, 81) and not reaches(machine, 80)


def test_restarted_when_killed(machine):
    pid = machine.show("bpfastd", "MainPID")
    machine.ok("systemctl", "kill", "-s", "KILL", "bpfastd")
    assert not reaches(machine, 80)
    until(lambda: machine.show("bpfastd", "ActiveState") == "active" and machine.show("bpfastd", "MainPID") != pid, 15, "it is back")


def test_upgrade_leaves_enforcement_in_force(machine):
    pid = machine.show("bpfastd", "MainPID")
    machine.ok("sh", "-c", "echo '# mine' >> /etc/bpfast/bpfast.yaml")
    machine.ok("sh", "-c", "(while [ ! -e /tmp/enough ]; do nsenter -t $(cat /tmp/peer) --net curl -s -o /dev/null -m 0.2 http://10.9.0.2:80/ && echo leak; done) > /tmp/leaks 2>&1 &")
    r = dpkg(machine, "-i", machine.new)
    machine.ok("touch", "/tmp/enough")
    assert r.returncode == 0, r.stderr
    assert machine.show("bpfastd", "ActiveState") == "active", machine.journal("bpfastd")
    assert machine.show("bpfastd", "MainPID") != pid, "the new agent runs"
    until(lambda: "adopted what was in force" in machine.journal("bpfastd").split("ended; what is in force stays")[-1], 5, "it adopted")
    assert machine.ok("cat", "/tmp/leaks") == ""
    assert reaches(machine, 81) and not reaches(machine, 80)
    assert "# mine" in machine.ok("cat", "/etc/bpfast/bpfast.yaml")


def test_records_and_log_on_disk_with_logrotate(machine):
    machine.ok("sh", "-c", "printf 'socket-group: adm\\nrecords-file: flows.json\\nrecords-file-mib: 0\\nlog-file: bpfastd.log\\nlog-file-mib: 0\\n' >> /etc/bpfast/bpfast.yaml")
    machine.ok("systemctl", "restart", "bpfastd")
    assert machine.ok("stat", "-c", "%a %G", "/run/bpfast/bpfast.sock") == "660 adm\n", "the unit leaves it the right to do so"
    assert reaches(machine, 81)
    until(lambda: "81" in machine.run("cat", "/var/log/bpfast/flows.json").stdout, 3, "a record")
    assert machine.ok("stat", "-c", "%a", "/var/log/bpfast/flows.json", "/var/log/bpfast/bpfastd.log") == "640\n640\n"
    machine.ok("cp", "/usr/share/doc/bpfast/examples/logrotate", "/etc/logrotate.d/bpfast")
    machine.ok("logrotate", "-f", "/etc/logrotate.d/bpfast")
    assert not reaches(machine, 80)
    until(lambda: "policy-denied" in machine.run("cat", "/var/log/bpfast/flows.json").stdout, 3, "a record in the new file")
    assert machine.ok("ls", "/var/log/bpfast") == "bpfastd.log\nbpfastd.log.1\nflows.json\nflows.json.1\n"
    machine.ok("rm", "/etc/logrotate.d/bpfast")


def test_chroot_that_sees_the_pins_lets_them_alone(machine):
    """Somebody builds an image in a chroot, with /sys of this machine: neither systemd nor a run directory is there."""
    chroot = f"mount -t tmpfs run /run && dpkg --no-triggers -r bpfast && dpkg --no-triggers -i {machine.new}"
    r = machine.run("unshare", "--mount", "sh", "-c", chroot, timeout=30)
    assert r.returncode == 0, r.stderr
    assert reaches(machine, 81) and not reaches(machine, 80)
    assert machine.run("bpfast", "status").returncode == 0, "the agent was not ended either"


def test_wrong_setting_is_told_once(machine):
    machine.ok("sh", "-c", "cp /etc/bpfast/bpfast.yaml /tmp/kept; echo 'flows: many' >> /etc/bpfast/bpfast.yaml")
    try:
        assert machine.run("systemctl", "restart", "bpfastd").returncode != 0
        until(lambda: "flows: 'many' is not a number" in machine.journal("bpfastd"), 5, "the journal says why")
        assert reaches(machine, 81) and not reaches(machine, 80)
        assert machine.show("bpfastd", "ActiveState") == "failed" and machine.show("bpfastd", "NRestarts") == "0", "it is not started again and again"
    finally:
        machine.ok("cp", "/tmp/kept", "/etc/bpfast/bpfast.yaml")
        machine.ok("systemctl", "restart", "bpfastd")


def test_removal_lifts_enforcement_and_says_so(machine):
    r = dpkg(machine, "-r", "bpfast")
    assert r.returncode == 0 and "no container is under policy any more" in r.stderr, r.stderr
    assert reaches(machine, 80)
    assert machine.run("sh", "-c", "ls -d /sys/fs/bpf/bpfast /run/bpfast").stdout == ""
    assert machine.show("bpfastd", "ActiveState") != "active"
    assert "web.yaml" in machine.ok("ls", "/etc/bpfast/policies"), "what an administrator wrote stays"


def test_removal_stops_where_enforcement_cannot_be_lifted(machine):
    assert dpkg(machine, "-i", machine.old).returncode == 0
    machine.ok("mv", "/usr/bin/bpfast", "/usr/bin/bpfast.away")
    r = dpkg(machine, "-r", "bpfast")
    assert r.returncode != 0 and "still under policy" in r.stderr
    machine.ok("mv", "/usr/bin/bpfast.away", "/usr/bin/bpfast")
    assert machine.show("bpfastd", "ActiveState") == "active", "it goes on"


def test_purge_leaves_nothing(machine):
    assert dpkg(machine, "-P", "bpfast").returncode == 0
    tops = "/etc /usr /lib /var /run /sys/fs/bpf"
    left = machine.ok("find", *tops.split(), "-xdev", "-iname", "*bpfast*", "-newer", "/tmp/pod", "-not", "-path", "/var/lib/dpkg/*")
    assert left == "", left
    assert machine.run("ls", "-d", "/etc/bpfast", "/var/log/bpfast", "/run/bpfast", "/sys/fs/bpf/bpfast").stdout == ""
    assert machine.run("dpkg", "-s", "bpfast").returncode != 0
