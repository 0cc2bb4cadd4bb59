# SPDX-License-Identifier: Apache-2.0
"""What a ShieldPolicy says of pods one by one: how soon a flood is one, and what a client may ask."""

import glob
import json
import os
import re
import signal
import subprocess
import time

import pytest

from lab.http import ask, get
from lab.node import ROOT
from lab.packets import IP, TCP, UDP, Ether, send
from lab.policy import http, payload
from lab.servers import nginx
from lab.wait import SLOW, until


def policy(name, **spec):
    return {"apiVersion": "bpfast.io/v1alpha1", "kind": "ShieldPolicy", "metadata": {"name": name}, "spec": spec}


def pods(app):
    return {"matchLabels": {"app": app}}


def from_guide(name):
    """The example of the guide, as it stands there."""
    with open(os.path.join(ROOT, "docs/guide/shield.md"), encoding="utf-8") as f:
        blocks = re.findall(r"```yaml\n(.*?)\n```", f.read(), re.S)
    return next(b for b in blocks if f"name: {name}" in b)


class Lab:
    def __init__(self, node):
        self.node = node
        self.bad, self.shop, self.blog = node.pod("bad"), node.pod("shop"), node.pod("blog")
        for pod in (self.shop, self.blog):
            pod.serve(nginx(pod.ns, access_log=False))
        node.ns.ip("route add blackhole default")
        self.bad.ns.sysctl("net.ipv4.conf.all.rp_filter", 0)
        node.start_agent()
        for pod in (self.shop, self.blog):
            pod.guard()

    def apply(self, *objects):
        self.node.apply("\n---\n".join(o if isinstance(o, str) else json.dumps(o) for o in objects))

    def status(self):
        return self.node.cli("-o", "json", "shield", "status").json

    def http(self):
        return self.node.cli("-o", "json", "shield", "http").json

    def ended(self):
        return {r["reason"]: (r["connections"], r["audited"]) for r in self.http()["ended"]}

    def blocked(self):
        return [e for e in self.node.cli("-o", "json", "shield", "list").json["entries"] if e["list"] == "block"]

    def seen(self, pod):
        """Packets that came to the pod's hook."""
        d = next(d for d in self.status()["devices"] if d["interface"] == pod.iface)
        return d["passed"] + d["dropped"]

    def attacked(self):
        return {a["target"].get("address") for a in self.status()["attacks"]["running"]}

    def dropped(self, reason):
        return sum(d["packets"] for v in self.status()["devices"] for d in v["drops"] if d["reason"] == reason)

    def wrk(self, pod, connections, seconds, family="ip4"):
        host = pod.ip4 if family == "ip4" else f"[{pod.ip6}]"
        return self.bad.popen("wrk", "-t", 1, "-c", connections, "-d", f"{seconds}s", f"http://{host}/", stdout=-1, text=True)


def answered(wrk):
    """Of a wrk that has ended: requests, and whether any connection broke."""
    out = wrk.communicate(timeout=60)[0]
    return int(re.search(r"(\d+) requests in", out).group(1)), "Socket errors" in out


@pytest.fixture(scope="module")
def shared(nodes):
    return Lab(nodes(routed=True))


@pytest.fixture
def lab(shared):
    yield shared
    shared.node.clear_policies()
    for e in shared.blocked():
        shared.node.bpfast("shield", "unblock", e["cidr"])


def test_one_client_two_pods(lab):
    """The same client, asking the same of two pods at once: its connections are ended where the policy of the pod says so, and nowhere else."""
    seen_through = [payload(app, {"app": app}, ingress=[http(None, 80, {"method": ".*"})]) for app in ("shop", "blog")]
    lab.apply(*seen_through, policy("guarded", endpointSelector={}))
    # By default nobody has too many requests, with 512 connections either.
    asked, broken = answered(lab.wrk(lab.shop, 512, 3 * SLOW))
    assert asked > 1000 and not broken and lab.ended() == {} and lab.blocked() == [], (asked, lab.ended())
    assert lab.http()["endpoints"] == []
    # In audit it is told what would be.
    example = from_guide("shop-clients")
    lab.apply(example.replace("spec:", "spec:\n  mode: audit"), policy("guarded", endpointSelector={}, mode="audit"))
    _, broken = answered(lab.wrk(lab.shop, 50, 2 * SLOW))
    assert not broken and lab.ended()["http-flood"][0] == 0 and lab.ended()["http-flood"][1] > 0
    # As it stands.
    lab.apply(example, policy("guarded", endpointSelector={}), policy("blog", endpointSelector=pods("blog"), http={"requests": 10000000}))
    shown = {e["endpoint"]: e for e in lab.http()["endpoints"]}
    assert (shown["shop"]["policy"], shown["shop"]["mode_now"]) == ("shop-clients", "enforce")
    assert (shown["shop"]["limits"]["requests"], shown["blog"]["limits"]["requests"], lab.http()["limits"]["requests"]) == (100, 10000000, 0)
    assert shown["shop"]["limits"]["block-seconds"] == 0 and shown["shop"]["limits"]["head-seconds"] == 10
    text = lab.node.cli("shield", "http").out
    assert "default/shop (enforce), policy shop-clients: connections 200 requests 100 block-seconds none" in text, text
    assert "shop-clients: mode enforce, sensitivity medium; 0 devices; http connections 200 requests 100" in lab.node.cli("shield", "status").out
    both = [lab.wrk(pod, 50, 3 * SLOW) for pod in (lab.shop, lab.blog)]
    # Records of requests push out older ones, so this is asked while it happens.
    ended = until(lambda: [x for x in lab.node.cli("observe", "--verdict", "dropped", "--last", "50").out.splitlines() if "http-flood" in x], 3, "told")
    assert all("default/shop:80" in x for x in ended), ended
    _, (asked, broken) = (answered(w) for w in both)
    assert not broken and asked > 1000
    # Nobody is blocked, but for a while the client may not connect again: there, and nowhere else.
    assert lab.ended()["http-flood"][0] > 0
    assert [(e["cidr"], e["endpoint"], e["what"]) for e in lab.blocked()] == [(f"{lab.bad.ip4}/32", "default/shop", "new-connections")]
    assert lab.blocked()[0]["seconds_left"] <= 60

    def served_again():
        """While what it asked is not forgotten, a source that is unblocked is paused again at the next look."""
        lab.node.bpfast("shield", "unblock", lab.bad.ip4)
        return ask(lab.bad.ns, lab.shop.ip4, 80, get("/"), timeout=1) == 200 and lab.blocked() == []
    until(served_again, 15 * SLOW, "the client is served again")
    # Of two policies the stricter holds; where one names a time, the source is blocked.
    lab.apply(policy("stricter", endpointSelector={}, http={"requests": 70, "connections": 500, "blockSeconds": 3}))
    now = {e["endpoint"]: e["limits"] for e in lab.http()["endpoints"]}
    assert [(now[n]["requests"], now[n]["connections"], now[n]["block-seconds"]) for n in ("shop", "blog")] == [(70, 200, 3), (70, 500, 3)]
    attacker = lab.wrk(lab.blog, 50, 3 * SLOW)
    until(lambda: (f"{lab.bad.ip4}/32", "default/blog", "everything") in [(e["cidr"], e["endpoint"], e["what"]) for e in lab.blocked()], 10,
          "the source is blocked")
    attacker.communicate(timeout=60)
    until(lambda: all(ask(lab.bad.ns, p.ip4, 80, get("/"), timeout=1) == 200 for p in (lab.shop, lab.blog)), 15, "the block ends")
    r = lab.node.bpfast("policy", "apply", "-f", "-", input=json.dumps(policy("bad", endpointSelector={}, http={"requests": -1})))
    assert r.code == 1 and "1 flaw, nothing was changed" in r.err and "spec.http.requests: -1 is out of range: 0 to 1000000000; 0 is no limit" in r.err, r


@pytest.mark.parametrize("family", ["ip4", "ip6"])
def test_a_block_is_towards_one_pod(lab, family):
    """Who floods one pod is blocked there, and served at another; it stays so over a restart, until the time is over or somebody unblocks it."""
    node, bad = lab.node, lab.bad
    source = getattr(bad, family)
    prefix = f"{source}/32" if family == "ip4" else source.split("::")[0] + "::/64"

    def served(pod, by=bad):
        return ask(by.ns, getattr(pod, family), 80, get("/"), timeout=0.7) == 200

    def entries():
        return [(e["cidr"], e["endpoint"], e["destination"], e["what"]) for e in lab.blocked()]

    lab.apply(*[payload(app, {"app": app}, ingress=[http(None, 80, {"method": ".*"})]) for app in ("shop", "blog")],
              policy("guarded", endpointSelector={}),
              policy("shop", endpointSelector=pods("shop"), http={"requests": 100, "blockSeconds": 3600}))
    before = lab.dropped("shield-blocked")
    attackers = [lab.wrk(pod, 50, 3 * SLOW, family) for pod in (lab.shop, lab.blog)]
    until(entries, 10, "the source is blocked")
    _, (asked, broken) = (answered(w) for w in attackers)
    assert asked > 1000 and not broken  # of the other pod it had whatever it wanted
    assert entries() == [(prefix, "default/shop", getattr(lab.shop, family), "everything")]
    left = lab.blocked()[0]["seconds_left"]
    assert 3500 < left <= 3600
    assert not served(lab.shop) and served(lab.blog) and lab.dropped("shield-blocked") > before
    # Another client is served. Of IPv6 the pods here are one source, for they share a /64.
    assert served(lab.shop, lab.blog) == (family == "ip4")
    assert re.search(rf"block  {prefix} +\d+ s +http at default/shop\n", node.cli("shield", "list").out)
    assert "pods       1 blocks of a source towards one pod, 0 of its new connections alone\n" in node.cli("shield", "status").out
    assert lab.http()["blocked_now"] == 1
    # With nobody there to look after it, and with the next one.
    node.kill_agent()
    assert not served(lab.shop) and served(lab.blog)
    node.start_agent()
    assert entries() == [(prefix, "default/shop", getattr(lab.shop, family), "everything")] and lab.blocked()[0]["seconds_left"] <= left
    assert not served(lab.shop) and served(lab.blog)
    # Allow always wins, one address of the /64 too.
    node.cli("shield", "allow", source)
    assert served(lab.shop)
    node.cli("shield", "unallow", source)
    assert not served(lab.shop)
    out = node.cli("shield", "unblock", source).out
    assert out == f"{source} is not on the block list any more (shield http: {prefix} at default/shop)\n"
    assert entries() == [] and served(lab.shop)


def test_no_block_slows_who_connects_again(lab):
    """Where a request limit has no blockSeconds, a client that opens new connections at once has to wait until it has paid."""
    node = lab.node
    lab.apply(*[payload(app, {"app": app}, ingress=[http(None, 80, {"method": ".*"})]) for app in ("shop", "blog")],
              policy("guarded", endpointSelector={}), policy("shop", endpointSelector=pods("shop"), http={"requests": 100}))
    was = {n: lab.http()[n] for n in ("blocked", "paused")}
    attackers = [lab.wrk(pod, 50, 8, "ip4") for pod in (lab.shop, lab.blog)]
    (shop, _), (blog, broken) = (answered(w) for w in attackers)
    # What comes through before a look is paid for after it; the other pod has answered all the time.
    assert blog > 4000 and not broken and shop < blog / 4, (shop, blog)
    entry = lab.blocked()[0]
    assert (entry["endpoint"], entry["what"]) == ("default/shop", "new-connections") and 1 <= entry["seconds_left"] <= 60
    assert lab.dropped("shield-blocked") > 0 and lab.http()["paused"] > was["paused"] and lab.http()["blocked"] == was["blocked"]
    assert re.search(r"block  \S+/32 +\d+ s +http at default/shop, new connections\n", node.cli("shield", "list").out)
    # Where the limit allows it and somebody unblocks it, it is served at once.
    lab.apply(policy("shop", endpointSelector=pods("shop"), http={"requests": 2000000}))
    time.sleep(0.6)  # a look that was under way
    node.cli("shield", "unblock", lab.bad.ip4)
    assert ask(lab.bad.ns, lab.shop.ip4, 80, get("/"), timeout=1) == 200
    # A new pod at the old one's address begins anew.
    lab.apply(policy("shop", endpointSelector=pods("shop"), http={"requests": 50}))
    answered(lab.wrk(lab.shop, 50, 2, "ip4"))
    assert lab.blocked()
    lab.shop.unguard()
    lab.shop.guard()
    assert lab.blocked() == [] and ask(lab.bad.ns, lab.shop.ip4, 80, get("/"), timeout=1) == 200


def test_no_room_to_block(lab):
    """A full table is no secret: connections are still ended, and log, status and metrics say that the source is not blocked."""
    node, room = lab.node, 16384
    limited = policy("shop", endpointSelector=pods("shop"), http={"requests": 100, "blockSeconds": 30})
    lab.apply(payload("shop", {"app": "shop"}, ingress=[http(None, 80, {"method": ".*"})]), policy("guarded", endpointSelector={}), limited)
    table = glob.glob(f"{node.pin_dir}/shield/*/maps/bpfast_shbar")[0]

    def write(what, value=""):
        """As an agent would have, of 16,384 sources."""
        keys = [bytes(10) + b"\xff\xff\xac\x1e" + i.to_bytes(2, "big") + bytes(15) + b"\x01" for i in range(room)]
        lines = "".join(f"map {what} pinned {table} key hex {k.hex(' ')} {value}\n" for k in keys)
        subprocess.run(["bpftool", "batch", "file", "-"], input=lines, text=True, check=True, stdout=subprocess.DEVNULL)

    hour = (time.clock_gettime_ns(time.CLOCK_MONOTONIC) + 3600 * 10**9).to_bytes(8, "little")
    node.kill_agent()
    write("update", f"value hex {hour.hex(' ')} {bytes(8).hex(' ')}")
    node.start_agent()
    assert lab.http()["blocked_now"] == room and lab.http()["not_blocked"] == 0
    mark = len(node.log_since())
    answered(lab.wrk(lab.shop, 50, 2))
    now = lab.http()
    assert now["not_blocked"] > 0 and now["blocked"] == 0 and lab.ended()["http-flood"][0] > 0, now
    assert node.log_since(mark).count("sources are not blocked towards pods") == 1, node.log_since(mark)
    assert "times there was no room" in node.cli("shield", "status").out and "times there was no room to block a source" in node.cli("shield", "http").out
    assert node.metrics()["bpfast_shield_sources_not_blocked_total"] == now["not_blocked"]
    # What is over makes room: the source is blocked as ever, and soon the table has nothing but it.
    node.kill_agent()
    write("update", f"value hex {(1).to_bytes(8, 'little').hex(' ')} {bytes(8).hex(' ')}")
    node.start_agent()
    wrk = lab.wrk(lab.shop, 50, 3 * SLOW)
    until(lambda: f"{lab.bad.ip4}/32" in [e["cidr"] for e in lab.blocked()], 10, "the source is blocked")
    answered(wrk)
    until(lambda: len(json.loads(subprocess.run(["bpftool", "-j", "map", "dump", "pinned", table], capture_output=True, check=True).stdout)) == 1, 15,
          "the rest is taken out")


def test_who_a_policy_allows_may_ask(lab):
    """What a policy allows is not held against anybody either, as what a command allows."""
    lab.apply(payload("shop", {"app": "shop"}, ingress=[http(None, 80, {"method": ".*"})]), policy("guarded", endpointSelector={}),
              policy("shop", endpointSelector=pods("shop"), http={"requests": 100}, allow=[lab.bad.ip4]))
    before = lab.ended().get("http-flood", (0, 0))[0]
    asked, broken = answered(lab.wrk(lab.shop, 50, 2))
    assert asked > 1000 and not broken and lab.ended().get("http-flood", (0, 0))[0] == before and lab.blocked() == []


class Flood:
    """Some thousand UDP packets a second, each from another source, to a port where nobody listens."""

    def __init__(self, lab, pods_):
        self.procs = [lab.bad.popen("hping3", "-q", "--udp", "-p", "9999", "--rand-source", "-i", "u300", p.ip4, stdout=-3, stderr=-3,
                                    start_new_session=True) for p in pods_]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.procs:
            os.killpg(p.pid, signal.SIGKILL)
            p.wait()


def test_sensitivity(lab):
    """One flood, sent to two pods alike: an attack where the policy says high, none where it says low."""
    node = lab.node
    lab.apply(policy("shop", endpointSelector=pods("shop"), sensitivity="high"), policy("blog", endpointSelector=pods("blog"), sensitivity="low"))
    sens = {d["interface"]: (d["sensitivity"], d["sensitivity_by"]) for d in lab.status()["devices"]}
    assert (sens[lab.shop.iface], sens[lab.blog.iface]) == (("high", "shop"), ("low", "blog"))
    # The pods are known as destinations, and what is ordinary there is too.
    for pod in (lab.shop, lab.blog):
        assert ask(lab.bad.ns, pod.ip4, 80, get("/"), timeout=5) == 200
    until(lambda: {"low", "high"} <= set(lab.status()["detection"]["sensitivity_by_policy"]), 5, "both are known")
    text = node.cli("shield", "status").out
    assert re.search(r"detection  sensitivity medium; low by policy for \d+ destinations; high by policy for \d+ destinations", text), text
    until(lambda: lab.status()["detection"]["ticks"] > 220, 60 * SLOW, "detection has its first 20 seconds behind it")
    with Flood(lab, (lab.shop, lab.blog)):
        until(lambda: lab.shop.ip4 in lab.attacked(), 10 * SLOW, "the flood is found where the policy says high")
        attack = next(a for a in lab.status()["attacks"]["running"] if a["target"].get("address") == lab.shop.ip4)
        assert attack["sensitivity"] == "high" and 500 < attack["threshold_packets_per_second"] < 1500, attack
        was, then = [lab.seen(p) for p in (lab.shop, lab.blog)], time.monotonic()
        time.sleep(3)  # for nothing to happen
        rates = [(lab.seen(p) - n) / (time.monotonic() - then) for p, n in zip((lab.shop, lab.blog), was)]
        assert lab.blog.ip4 not in lab.attacked() and min(rates) > 1200, rates
        # What a policy says, a command does not change.
        r = node.bpfast("shield", "detect", lab.blog.ip4, "--sensitivity", "high")
        assert r.code == 1 and "ShieldPolicy blog says sensitivity low there; change it in the policy" in r.err, r
    until(lambda: not lab.attacked(), 20 * SLOW, "it is let go of")
    # And none where it was one before, now that the policy there says low.
    lab.apply(policy("shop", endpointSelector=pods("shop"), sensitivity="low"))
    with Flood(lab, [lab.shop]):
        was, then = lab.seen(lab.shop), time.monotonic()
        until(lambda: lab.seen(lab.shop) > was + 5000, 20 * SLOW, "the flood comes")
        assert (lab.seen(lab.shop) - was) / (time.monotonic() - then) > 1200 and not lab.attacked()
    # The way to a pod has a word where no policy speaks of the pod itself.
    node.clear_policies()
    lab.apply(policy("uplink", devices=[lab.bad.iface], sensitivity="high"))

    def known():
        ask(lab.bad.ns, lab.blog.ip4, 80, get("/"), timeout=1)
        return lab.status()["detection"]["sensitivity_by_policy"].get("high")
    until(known, 20, "by the device that its packets come by")
    node.clear_policies()
    until(lambda: lab.status()["detection"]["sensitivity_by_policy"] == {}, 10, "with the policy it goes")


@pytest.mark.parametrize("clsact", [False, True], ids=["tcx", "clsact"])
def test_what_a_pod_forges_teaches_nothing(nodes, clsact):
    """A pod speaks in another's name. Its policy drops that, and neither a connection nor a destination is known by it."""
    node = nodes(routed=True, clsact=clsact)
    evil, other, client = node.pod("evil"), node.pod("other"), node.pod("client")
    node.start_agent()
    evil.guard()
    node.cli("shield", "attach", client.iface)
    node.cli("shield", "attach", evil.iface, "--pod")
    for pod in (evil, client):
        assert pod.run("ping", "-c", 1, "-W", 1, node.ip4).returncode == 0
    status = lambda: node.cli("-o", "json", "shield", "status").json
    known = lambda: next(d["known"] for d in status()["devices"] if d["interface"] == client.iface)

    def frame(pod, src, dst, transport):
        words = pod.run("ip", "neigh", "show", "169.254.1.1").stdout.split()
        return Ether(src=pod.mac(), dst=words[words.index("lladdr") + 1]) / IP(src=src, dst=dst) / transport

    def comes(name):
        """Of ten segments of that connection of the client's."""
        before = known()
        for _ in range(10):
            send(client.ns, frame(client, client.ip4, name, TCP(sport=4444, dport=80, flags="A", seq=7, ack=8)))
        return known() - before

    for src in (other.ip4, evil.ip4):
        send(evil.ns, frame(evil, src, client.ip4, TCP(sport=80, dport=4444, flags="A", seq=5, ack=6)))
    assert comes(other.ip4) == 0
    assert comes(evil.ip4) == 10
    before = status()["detection"]["destinations"]
    for port in range(1000, 1050):
        send(evil.ns, frame(evil, other.ip4, client.ip4, UDP(sport=port, dport=9)))
    assert status()["detection"]["destinations"] == before
