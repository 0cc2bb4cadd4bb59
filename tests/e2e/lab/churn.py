# SPDX-License-Identifier: Apache-2.0
"""Everything changes while wrk runs: policies, agents, pods. What must not change is what wrk and a prober see.

wrk asks for /hello on connections that it keeps, and every policy allows it. The prober asks for /forbidden in all the ways it can, and
no policy allows it. The server's own log tells whether one came through.
"""

import itertools
import json
import os
import random
import tempfile
import threading
import time

from . import servers
from .http import Closed, Connection, Silence, ask, get
from .node import BIN, OTHER_LAYOUT, Pod
from .policy import cluster, http, join, network, payload, peers
from .wait import until

CART = {"app": "cart"}
WRK = """
function done(s, latency, requests)
  io.write(string.format('{"requests":%d,"seconds":%f,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,"max_ms":%f}',
    s.requests, s.duration / 1e6, s.errors.connect, s.errors.read, s.errors.write, s.errors.status, s.errors.timeout, latency.max / 1e3))
end
"""
_policy_numbers = itertools.count(1)


def document(n, seed=0):
    """The n-th generation of web's policy: other rules each time, and always the same answer for /hello and /forbidden."""
    rnd = random.Random(seed * 1000003 + n)
    hello = rnd.choice(["/hello", "/hel+o", "/(hello|goodbye)", "/h[a-e]llo"])
    method = rnd.choice(["GET", "GET|HEAD", "G.T"])
    rules = [{"method": "GET", "path": f"/v{rnd.randrange(99)}/items/[0-9]+"} for _ in range(rnd.randrange(8))]
    rules.append({"method": method, "path": hello} if n % 3 else {"method": method, "path": hello, "host": ".*"})
    rnd.shuffle(rules)
    who = rnd.choice([CART, {}, CART])
    out = [payload("web", {"app": "web"}, ingress=[http(who, 80, *rules)])]
    if n % 4 == 1:  # a second object that selects web too
        out.append(payload("more", {"app": "web"}, ingress=[http(CART, 80, {"path": f"/more{n}"}), http(CART, 443)]))
    if n % 4 == 3:
        out.append(network("more-web2", {"app": "web2"}, ingress=[{**peers({"app": f"x{n}"}), "ports": [{"port": 80}]}]))
    if n % 6 == 2:
        out.append(cluster("guest", {"app": "guest"}, ingress=[http(CART, 80, {"path": f"/g{n}"})]))
    if n % 6 == 4:
        out.append(payload("deny", {"app": "web"}, ingressDeny=[{"fromEndpoints": [{"matchLabels": {"app": "stranger"}}]}]))
    rnd.shuffle(out)
    return join(*out)


# What document() may leave behind, to be deleted now and then.
EXTRA = ("PayloadPolicy/default/more", "NetworkPolicy/default/more-web2", "ClusterPayloadPolicy/guest", "PayloadPolicy/default/deny")


class Scene:
    """cart asks, web answers; both are guarded."""

    def __init__(self, node):
        self.node = node
        self.cart, self.web = node.pod("cart"), node.pod("web")
        log = "access_log forbidden told;"
        self.nginx = self.web.serve(servers.nginx(self.web.ns, 80, access_log=False, extra=f"location ^~ /forbidden {{ {log} return 200 leak; }}"))
        self.echo = self.web.serve(servers.Echo(self.web.ns, 9000))
        self.url = f"http://{self.web.ip4}/"
        # Without us it is served, and the log tells.
        assert self.cart.status(self.url + "forbidden") == 200
        until(lambda: self.served() == 1, 3, "the server's log tells of a forbidden request")
        node.start_agent()
        for pod in node.pods.values():
            pod.guard()
        node.apply(document(0))
        assert self.cart.status(self.url + "forbidden") == 403

    def served(self):
        return len(self.nginx.lines("forbidden"))

    def wrk(self, seconds, connections=32):
        d = tempfile.mkdtemp(prefix="bpfast-wrk-", dir="/run")
        with open(os.path.join(d, "done.lua"), "w", encoding="ascii") as f:
            f.write(WRK)
        args = ("-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", os.path.join(d, "done.lua"), self.url + "hello")
        return self.cart.popen("wrk", *args, stdout=-1, stderr=-1, text=True)


def wrk_result(process, seconds):
    out, err = process.communicate(timeout=seconds + 30)
    try:
        got = json.loads(out[out.index("{"):])
    except ValueError as e:
        raise AssertionError(f"wrk said {out!r} {err!r}") from e
    got["failed"] = got["connect"] + got["read"] + got["write"] + got["status"] + got["timeout"]
    return got


class Background:
    """Something that goes on until stop()."""

    def __init__(self):
        self.over = threading.Event()
        self.error = None
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.over.is_set():
                self.step()
        except Exception as e:  # pylint: disable=broad-except
            self.error = e

    def stop(self):
        self.over.set()
        self.thread.join(60)
        if self.error:
            raise self.error


class Prober(Background):
    """Forbidden requests, in one of four ways: at once, in pieces, second on a connection, behind an allowed one in one packet."""

    WAYS = 4
    WHOLE = (0, 2, 3)  # those whose heads are never half there

    def __init__(self, scene, way):
        self.scene, self.way, self.tries, self.answers = scene, way, 0, {}
        super().__init__()

    def step(self):
        web, ns, way = self.scene.web, self.scene.cart.ns, self.way
        self.tries += 1
        bad = get(f"/forbidden/{self.tries}")
        if way == 0:
            got = ask(ns, web.ip4, 80, bad)
        elif way == 1:
            got = ask(ns, web.ip6, 80, bad, pieces=[9, 30], gap=0.03)
        else:
            got = self.second(ns, web.ip4, bad, together=way == 3)
        self.answers[got] = self.answers.get(got, 0) + 1

    def second(self, ns, address, bad, together):
        good = get("/hello")
        try:
            with Connection(ns, address, 80) as c:
                c.send(good + bad if together else good)
                first = c.response().status
                if first != 200:
                    return f"allowed: {first}"
                if not together:
                    c.send(bad)
                return c.response().status
        except Silence:
            return "silence"
        except (Closed, OSError):
            return "closed"


class SlowHeads(Background):
    """Heads that take two seconds, by then half judged under a policy of long ago: allowed ones, and forbidden ones."""

    SECONDS = 2.0

    def __init__(self, scene):
        self.scene, self.answers = scene, {}
        super().__init__()

    def step(self):
        web, open_ = self.scene.web, []
        try:
            for path in ("/hello", "/forbidden/slow") * 4:
                open_.append((path, Connection(self.scene.cart.ns, web.ip4, 80)))
            for piece in (b"GET ", None, b" HTTP/1.1\r\nHo", b"st: web\r\nX-Slow: y"):
                for path, c in open_:
                    try:
                        c.send(piece if piece is not None else path.encode())
                    except OSError:
                        pass  # refused at its request line
                self.over.wait(self.SECONDS / 4)
            for path, c in open_:
                self.note(path, c)
        finally:
            for _, c in open_:
                c.close()

    def note(self, path, c):
        try:
            c.send(b"es\r\n\r\n")
        except OSError:
            pass  # the answer may lie there all the same
        try:
            got = c.response().status
        except Silence:
            got = "silence"
        except (Closed, OSError):
            got = "closed"
        key = (path, got)
        self.answers[key] = self.answers.get(key, 0) + 1

    @property
    def wrong(self):
        good = {("/hello", 200), ("/forbidden/slow", 403)}
        return {k: v for k, v in self.answers.items() if k not in good}


class Visitors(Background):
    """Other pods come, are guarded, say something, and go."""

    def __init__(self, scene):
        self.scene, self.came = scene, 0
        super().__init__()

    def step(self):
        node, n = self.scene.node, 100 + self.came % 100
        pod = Pod(node, f"guest{n}", n, {"app": "guest"}, "default")
        try:
            pod.guard()
            ask(pod.ns, self.scene.web.ip4, 80, get("/forbidden/guest"), 0.3)  # the server's log tells
            if self.came % 2:
                pod.unguard()
        finally:
            pod.remove()
        self.came += 1


class Changer(Background):
    """Applies one document after another, `rate` times a second at most. An apply returns when it is enforced."""

    def __init__(self, scene, rate=10.0):
        self.scene, self.rate, self.changes, self.slowest = scene, rate, 0, 0.0
        self.began = time.monotonic()
        super().__init__()

    def step(self):
        begin = time.monotonic()
        n = next(_policy_numbers)
        if n % 24 == 23:
            there = [k for k in self.scene.node.policies("applied") if k in EXTRA]
            if there:
                self.scene.node.cli("policy", "delete", *there)
        else:
            self.scene.node.apply(document(n))
        self.changes += 1
        took = time.monotonic() - begin
        self.slowest = max(self.slowest, took)
        self.over.wait(max(0.0, self.began + self.changes / self.rate - time.monotonic()))

    @property
    def reached(self):
        return self.changes / (time.monotonic() - self.began)


class Killer(Background):
    """Kills the agent every `every` seconds, mostly in the middle of an apply, and starts another."""

    def __init__(self, scene, every=2.0):
        self.scene, self.every, self.kills, self.slowest = scene, every, 0, 0.0
        self.rnd = random.Random(4)
        self.last = time.monotonic()
        super().__init__()

    def step(self):
        node = self.scene.node
        self.over.wait(max(0.0, self.last + self.every - time.monotonic()))
        self.last = time.monotonic()
        applying = threading.Thread(target=lambda: node.bpfast("policy", "apply", "-f", "-", input=document(next(_policy_numbers))))
        applying.start()
        time.sleep(self.rnd.random() * 0.06)
        node.kill_agent()
        applying.join()
        begin = time.monotonic()
        node.start_agent()
        self.slowest = max(self.slowest, time.monotonic() - begin)
        self.kills += 1


class Quiet:
    """Nobody's slow heads."""

    answers, wrong = {}, {}

    def stop(self):
        pass


class Upgrader(Background):
    """An agent whose maps are laid out otherwise takes over, and the first one again, and so on."""

    def __init__(self, scene):
        self.scene, self.upgrades, self.slowest, self.carried, self.reset, self.waited = scene, 0, 0.0, 0, 0, 0
        self.programs = [OTHER_LAYOUT, os.path.join(BIN, "bpfastd")]
        super().__init__()

    def step(self):
        node = self.scene.node
        begin = time.monotonic()
        node.stop_agent()
        node.start_agent(program=(self.programs[self.upgrades % 2],), patience=60)
        self.slowest = max(self.slowest, time.monotonic() - begin)
        self.upgrades += 1
        got = node.cli("-o", "json", "status").json["carried_over"]
        self.carried += got["flows"]
        self.reset += got["reset_in_head"] + got["reset_unreadable"]
        self.waited = max(self.waited, got["waited_ms"])


def run(scene, seconds, *others):
    """wrk, slow heads and the probers for so long, beside `others`, which are classes. -> what was seen, as a dict.

    An upgrade resets heads that are half there: beside one, there are none.
    """
    before = scene.served()
    heads = Upgrader not in others
    probers = [Prober(scene, way) for way in (range(Prober.WAYS) if heads else Prober.WHOLE)]
    slow = SlowHeads(scene) if heads else Quiet()
    wrk = scene.wrk(seconds)
    running = [other(scene) for other in others]
    got = wrk_result(wrk, seconds)
    for r in running:
        if isinstance(r, Changer):
            got["changes_per_second"] = r.reached
    for r in [*running, *probers, slow]:
        r.stop()
    time.sleep(0.1)  # the server answers first, then it writes its log
    for r in running:
        if isinstance(r, Changer):
            got.update(changes=r.changes, slowest_s=r.slowest)
        if isinstance(r, Killer):
            got.update(kills=r.kills, slowest_s=r.slowest)
        if isinstance(r, Upgrader):
            got.update(upgrades=r.upgrades, slowest_s=r.slowest, carried=r.carried, reset=r.reset, waited_ms=r.waited)
        if isinstance(r, Visitors):
            got["visitors"] = r.came
    answers = {}
    for p in probers:
        for answer, n in p.answers.items():
            answers[answer] = answers.get(answer, 0) + n
    got.update(forbidden_tried=sum(p.tries for p in probers), forbidden_served=scene.served() - before,
               forbidden_not_403={k: v for k, v in answers.items() if k != 403},
               slow_heads=sum(slow.answers.values()), slow_wrong=slow.wrong)
    return got


def faults(got):
    """What of a run is wrong, as sentences."""
    out = []
    if got["failed"]:
        out.append(f"{got['failed']} of wrk's requests failed")
    if got["forbidden_served"]:
        out.append(f"{got['forbidden_served']} forbidden requests were served")
    if got["forbidden_not_403"]:
        out.append(f"forbidden requests got another answer than 403: {got['forbidden_not_403']}")
    if got["slow_wrong"]:
        out.append(f"heads that took {SlowHeads.SECONDS:g} s got another answer than their path has: {got['slow_wrong']}")
    if got.get("reset"):
        out.append(f"upgrades reset {got['reset']} connections, none of which was in a head")
    if got["requests"] < 100 * got["seconds"]:
        out.append(f"wrk made only {got['requests']} requests")
    return out
