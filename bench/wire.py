# SPDX-License-Identifier: Apache-2.0
"""The lab of bench/floods.py: a node with a server behind an uplink, and on the same wire who floods, a good client, and a way past the node.

    bad, good --- bridge --- uplink of the node --- web
                     |
                     +------ sink: whoever is next to web; an empty XDP_DROP program takes what comes

A flood past the target takes the same way, over the bridge and into a veth with XDP, and no further. All answers to addresses that
are none go there too. Server, flood and all work of the node's kernel share CPU 0, the client has CPU 1: RPS takes its packets over, as
the interrupts of a card with one queue would. Without that who sends on a veth also polls its other end: two CPUs would take turns with
the uplink, and while a flood comes CPU 0 would be left with packets that CPU 1 receives otherwise.
"""

import itertools
import os
import re
import resource
import signal
import socket
import subprocess
import time
from contextlib import contextmanager

from common import OUT

SERVER_CPU, CLIENT_CPU = "0", "1"
MAC = {"uplink": "02:00:00:77:00:01", "bad": "02:00:00:77:00:02", "good": "02:00:00:77:00:03", "sink": "02:00:00:77:00:04", "void": "02:00:00:77:00:05"}
IP = {"uplink": "10.77.0.1", "bad": "10.77.0.2", "good": "10.77.0.3", "sink": "10.77.0.4"}
CLIENTS = "10.78.0.0/16"  # more addresses of the good client
MANY = [f"10.78.0.{i}" for i in range(1, 201)]
BLOCKED = "10.99.0.0/16"  # sources of what is dropped by a list
DIFFERENT = 200000  # packets of a flood, before they come again


def counters(ns, iface):
    """-> (packets received, packets sent)"""
    with ns.inside():
        with open("/proc/thread-self/net/dev", encoding="ascii") as f:
            words = next(x for x in f if x.strip().startswith(iface + ":")).split(":")[1].split()
    return int(words[1]), int(words[9])


def octets(text):
    return ", ".join(text.split("."))


def received_on(ns, iface, cpu):
    """RPS: this CPU goes on with what the device receives."""
    # Not Namespace.run(): a namespace's queues are seen only in a sysfs of its own.
    subprocess.run(["ip", "netns", "exec", ns.name, "sh", "-c", f"echo {1 << int(cpu):x} > /sys/class/net/{iface}/queues/rx-0/rps_cpus"], check=True)


def attacks(status):
    """Those that are going on."""
    return status.get("attacks", {}).get("running", [])


class Wire:
    def __init__(self):
        from lab.netns import Namespace
        from lab.node import Node

        self.node = node = Node("floods", routed=True)
        self.web = node.pod("web")
        self.bridge, self.bad, self.good, self.sink = (Namespace(f"floods-{n}") for n in ("bridge", "bad", "good", "sink"))
        self.next = re.sub(r"\d+$", lambda m: str(int(m[0]) + 1), self.web.ip4)
        self.bridge.ip("link add br0 type bridge mcast_snooping 0", "link set br0 up")
        for name, ns, iface in (("bad", self.bad, "eth0"), ("good", self.good, "eth0"), ("sink", self.sink, "eth0"), ("uplink", node.ns, "uplink")):
            self.bridge.ip(f"link add {name} type veth peer name {iface} address {MAC[name]} netns {ns.name}", f"link set {name} master br0 up")
            ns.sysctl(f"net.ipv6.conf.{iface}.disable_ipv6", 1)
            ns.sysctl("net.ipv4.conf.all.rp_filter", 0)
            ns.sysctl(f"net.ipv4.conf.{iface}.rp_filter", 0)
            ns.ip(f"addr add {IP[name]}/24 dev {iface}", f"link set {iface} up",
                  *[f"neigh replace {IP[other]} lladdr {MAC[other]} dev {iface} nud permanent" for other in IP if other != name])
        # "void" lies where the frame comes from: the bridge gives it to nobody.
        for name, port in (("sink", "sink"), ("void", "bad")):
            self.bridge.run("bridge", "fdb", "replace", MAC[name], "dev", port, "master", "static", check=True)
        for ns in (self.bad, self.good):
            ns.ip(f"route add {self.web.ip4} via {IP['uplink']}", f"route add {self.next} via {IP['sink']}")
        self.good.ip(f"route add local {CLIENTS} dev lo")
        self.good.sysctl("net.ipv4.ip_local_port_range", "1024 65535")
        # Where it closes first its ports would be used up within seconds, and each connection would look for one among 64,000.
        self.good.sysctl("net.ipv4.tcp_tw_reuse", 1)
        received_on(self.bridge, "good", SERVER_CPU)
        received_on(self.good, "eth0", CLIENT_CPU)
        node.ns.ip(f"route add default via {IP['sink']} dev uplink", f"route add {CLIENTS} via {IP['good']} dev uplink")
        self.xdp(self.sink, "eth0", "shuffle_drop")
        self.strangers = itertools.count(250)
        self.server, self.captures = None, {}
        self.fresh_server()
        node.start_agent()
        node.cli("shield", "limit", "--defaults")

    def fresh_server(self):
        """A new listener: what a flood of SYNs has left in the old one's queue is gone."""
        from lab import servers

        if self.server:
            self.server.stop()
        self.server = servers.nginx(self.web.ns, prefix=("taskset", "-c", SERVER_CPU), access_log=False)

    def xdp(self, ns, iface, program):
        """One of shuffle.o's programs at the device."""
        pins = "/sys/fs/bpf/bench-floods"
        if not os.path.exists(pins):
            subprocess.run(["bpftool", "prog", "loadall", os.path.join(OUT, "shuffle.o"), pins, "type", "xdp"], check=True)
        ns.run("ip", "link", "set", iface, "xdpdrv", "pinned", f"{pins}/{program}", check=True)

    @contextmanager
    def least(self):
        """Within, a program has shield's place that drops what whoever floods sends, and does nothing else."""
        self.xdp(self.node.ns, "uplink", "shuffle_least")
        try:
            yield
        finally:
            self.node.ns.run("ip", "link", "set", "uplink", "xdpdrv", "off", check=True)

    @contextmanager
    def steering(self):
        """Within, what whoever floods sends goes to whom the function was given last: by steer.bpf.c, where it leaves."""
        pins = "/sys/fs/bpf/bench-steer"
        if not os.path.exists(pins):
            os.mkdir(pins)
            subprocess.run(["bpftool", "prog", "load", os.path.join(OUT, "steer.o"), f"{pins}/steer", "type", "tc", "pinmaps", pins], check=True)

        def to(name):
            subprocess.run(["bpftool", "map", "update", "pinned", f"{pins}/steer_to", "key", "hex", *["00"] * 4, "value", "hex", *MAC[name].split(":"), "00", "00"], check=True)

        to("uplink")
        self.bad.run("tc", "qdisc", "add", "dev", "eth0", "clsact", check=True)
        try:
            self.bad.run("tc", "filter", "add", "dev", "eth0", "egress", "bpf", "direct-action", "object-pinned", f"{pins}/steer", check=True)
            yield to
        finally:
            self.bad.run("tc", "qdisc", "del", "dev", "eth0", "clsact", check=True)

    # --- shield ---

    def attach(self, *args):
        self.node.cli("shield", "attach", "uplink", *args)

    def detach(self):
        self.node.bpfast("shield", "detach", "uplink")

    def status(self):
        return self.node.cli("-o", "json", "shield", "status").json

    def calm(self):
        """Waits until no attack is going on: what it has put in force is released then."""
        from lab.wait import until

        until(lambda: not attacks(self.status()), 30, "no attack is running", every=0.1)

    def dropped(self):
        """Packets that shield has dropped."""
        return sum(d["packets"] for device in self.status()["devices"] for d in device["drops"])

    # --- traffic ---

    def sent(self):
        """Packets that whoever floods has put on the wire."""
        return counters(self.bridge, "bad")[0]

    def arrived(self):
        """Packets that the node has sent to the server."""
        return counters(self.node.ns, self.web.iface)[1]

    def packets(self, to, ip, past=False):
        """A file of what trafgen reads; `ip`: the packet from the IP header on; `to`: whose MAC address."""
        mac = lambda a: ", ".join("0x" + x for x in a.split(":"))
        target = octets(self.next if past else self.web.ip4)
        path = os.path.join(self.node.dir, "flood.cfg")
        with open(path, "w", encoding="ascii") as f:
            f.write("{\n %s, %s, 0x08, 0x00,\n %s\n}\n" % (mac(to), mac(MAC["bad"]), ip.replace("TARGET", target)))
        return path

    def trafgen(self, to, ip, count):
        """A command: so many packets, as fast as they go."""
        return ["trafgen", "-q", "--dev", "eth0", "--conf", self.packets(to, ip), "--cpus", "1", "--no-sock-mem", "-n", str(count)]

    def replay(self, to, ip, rate, past):
        """A command: the packets, evenly. trafgen itself would send a second's packets at once and then rest."""
        key = (to, ip, past)
        if key not in self.captures:
            self.captures[key] = path = os.path.join(self.node.dir, f"flood{len(self.captures)}.pcap")
            self.bad.run("trafgen", "-q", "--dev", path, "--conf", self.packets(to, ip, past), "--cpus", "1", "-n", DIFFERENT, check=True)
        return ["taskset", "-c", SERVER_CPU, "tcpreplay", "-q", "-i", "eth0", "-K", "--loop", "0", "--pps", str(rate), "--pps-multi", str(max(1, rate // 1000)),
                "--timer", "nano", "--no-flow-stats", self.captures[key]]

    @contextmanager
    def flood(self, to, ip, rate, past=False):
        # A card's interrupts do not wait for their turn either.
        cmd = ["nice", "-n", "-15", *self.replay(to, ip, rate, past)]
        proc = self.bad.popen(*cmd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            yield proc
            if proc.poll() is not None:
                raise RuntimeError(f"{' '.join(cmd)} ended with {proc.returncode}")
        finally:
            proc.kill()
            proc.wait()

    def cpu_time(self, cmd):
        """Seconds of CPU that the command and the kernel's work for its packets took. Who sends on a veth also receives there."""
        before, soft = resource.getrusage(resource.RUSAGE_CHILDREN), softirq_seconds()
        self.bad.run(*cmd, timeout=60, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        own = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        return own + (softirq_seconds() - soft if interrupts_apart() else 0)

    def wrk(self, duration):
        """A command: eight clients, a new connection for each request."""
        return ["taskset", "-c", CLIENT_CPU, "wrk", "-t1", "-c8", f"-d{duration}", "--timeout", "1s", "-H", "Connection: close", f"http://{self.web.ip4}/hello"]

    def new_connections(self):
        """Requests per second, a new connection for each."""
        out = self.good.run(*self.wrk("1s"), timeout=21).stdout
        if "Non-2xx" in out:
            raise RuntimeError(f"wrk was refused:\n{out}")
        return float(re.search(r"Requests/sec:\s+([\d.]+)", out)[1])

    @contextmanager
    def connecting(self):
        """A client opens a new connection for each request -> how many the server has had so far, when asked."""
        with self.web.ns.inside():
            # It goes on being that of this namespace.
            snmp = open("/proc/thread-self/net/snmp", encoding="ascii")  # noqa: SIM115
        with snmp:
            first = passive_opens(snmp)
            wrk = self.good.popen(*self.wrk("1h"), stdout=subprocess.PIPE, text=True)
            try:
                yield lambda: passive_opens(snmp) - first
                wrk.send_signal(signal.SIGINT)
                out = wrk.communicate(timeout=20)[0]
                had = passive_opens(snmp) - first
            finally:
                wrk.kill()
                wrk.wait()
        done = int(re.search(r"(\d+) requests in", out)[1])
        if "Non-2xx" in out or abs(had - done) > 50 + done // 50:
            raise RuntimeError(f"the server had {had} connections, and wrk:\n{out}")

    def stranger(self, patience=1):
        """An address that was never there asks -> whether it is answered in that time."""
        i = next(self.strangers)
        with self.good.inside(), socket.socket() as s:
            s.settimeout(patience)
            s.bind((f"10.78.{i // 250}.{i % 250 + 1}", 0))
            try:
                s.connect((self.web.ip4, 80))
                s.sendall(b"GET /hello HTTP/1.0\r\n\r\n")
                return s.recv(100).startswith(b"HTTP/1.1 200")
            except OSError:
                return False


def passive_opens(snmp):
    """Connections that others have opened to this namespace."""
    snmp.seek(0)
    names, values = [line.split() for line in snmp if line.startswith("Tcp:")]
    return int(values[names.index("PassiveOpens")])


def softirq_seconds():
    with open("/proc/stat", encoding="ascii") as f:
        return int(next(x for x in f if x.startswith(f"cpu{SERVER_CPU} ")).split()[7]) / os.sysconf("SC_CLK_TCK")


def interrupts_apart():
    """True where the kernel does not charge the work of interrupts to the process that they interrupted."""
    try:
        with open(f"/boot/config-{os.uname().release}", encoding="ascii") as f:
            return "CONFIG_IRQ_TIME_ACCOUNTING=y" in f.read()
    except FileNotFoundError:
        return "CONFIG_IRQ_TIME_ACCOUNTING=y" in subprocess.run(["zcat", "/proc/config.gz"], capture_output=True, text=True, check=False).stdout


def until_sent(wire, packets=10, patience=5):
    """Waits for the first packets of a flood -> the time."""
    first, end = wire.sent(), time.monotonic() + patience
    while wire.sent() < first + packets:
        if time.monotonic() > end:
            raise RuntimeError("the flood does not begin")
        time.sleep(0.002)
    return time.monotonic()
