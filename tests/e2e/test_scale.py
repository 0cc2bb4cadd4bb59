# SPDX-License-Identifier: Apache-2.0
"""A policy of ten thousand HTTP rules judges real requests as a policy of ten does."""

import random
import re

import pytest
from lab import servers
from lab.http import ask, get
from lab.policy import http, payload

RULES = 10000
CART = {"app": "cart"}


def tenant(n):
    return 100000 + n * 7919 % 900000


def pattern(n):
    return f"/api/v{n % 7}/tenants/{tenant(n)}/items/[0-9]+(/detail)?"


def rules(method=lambda n: "GET", more=()):
    return [{"method": method(n), "path": pattern(n)} for n in range(RULES)] + list(more)


@pytest.fixture(scope="module")
def room(nodes):
    class Room:
        pass

    room = Room()
    room.node = node = nodes()
    room.cart, room.web = node.pod("cart"), node.pod("web")
    room.web.serve(servers.Echo(room.web.ns, 9000))
    node.start_agent()
    room.web.guard()
    room.cart.guard()
    room.ask = lambda path, method="GET", **kw: ask(room.cart.ns, room.web.ip4, 9000, get(path, method=method, **kw))

    def apply(some):
        text = payload("web", {"app": "web"}, ingress=[http(CART, 9000, *some)])
        node.cli("policy", "apply", "-f", "-", input=text, timeout=60)

    room.apply = apply
    return room


def sample(count=60, seed=5):
    """(method, path, allowed): requests that a rule allows, and near misses of it."""
    rng = random.Random(seed)
    out = []
    for n in rng.sample(range(RULES), count):
        base = f"/api/v{n % 7}/tenants/{tenant(n)}/items"
        out.append(("GET", f"{base}/{rng.randrange(1000)}", True))
        near = rng.choice([f"{base}/", f"{base}/x", f"{base}/7/details", f"/api/v{(n + 1) % 7}/tenants/{tenant(n)}/items/7",
                           f"/api/v{n % 7}/tenants/{tenant(n)}0/items/7", f"{base}/7/detail/", f"/api/v{n % 7}/tenants/{tenant(n)}"])
        out.append(("GET", near, False))
        out.append(("POST", f"{base}/7/detail", False))
        out.append(("GET", f"{base}/7/detail", True))
    return out


def wrong(room, asked):
    return [(m, p, s) for m, p, allowed in asked for s in [room.ask(p, m)] if s != (200 if allowed else 403)]


def test_ten_thousand_rules(room):
    assert room.ask(f"/api/v0/tenants/{tenant(0)}/items/x") == 200  # without a policy
    room.apply(rules())
    assert not wrong(room, sample())
    used = room.node.cli("-o", "json", "status").json["arena"]["used_bytes"]
    assert used < 8 << 20
    # One rule changes: it alone.
    changed = rules()
    changed[4321] = {"method": "GET", "path": "/elsewhere"}
    room.apply(changed)
    asked = [("GET", f"/api/v{4321 % 7}/tenants/{tenant(4321)}/items/7", False), ("GET", "/elsewhere", True)]
    assert not wrong(room, asked + sample(20, seed=6))


def test_rules_that_overlap(room):
    """Methods by halves, and rules that match everywhere: sets of several rules, and of thousands."""
    room.apply(rules(lambda n: "GET" if n % 2 else "POST", [{"method": "PUT", "path": "/api/.*"}, {"method": "GET", "path": ".*/items/42"}]))
    rng = random.Random(9)
    asked = []
    for n in rng.sample(range(RULES), 30):
        path = f"/api/v{n % 7}/tenants/{tenant(n)}/items/7"
        asked += [("GET", path, bool(n % 2)), ("POST", path, not n % 2), ("PUT", path, True), ("PUT", re.sub("^/api", "/apx", path), False),
                  ("GET", path.replace("/7", "/42"), True), ("DELETE", path, False)]
    assert not wrong(room, asked)


def test_a_pair_that_multiplies_is_named(room):
    """Refused within seconds, with the two patterns to look at; what was in force stays."""
    room.apply(rules())
    wild = [{"path": f".*{c}.*{c.upper()}.*"} for c in "abcdefghijklmnopqr"]
    text = payload("web", {"app": "web"}, ingress=[http(CART, 9000, *wild, {"path": "/tame"})])
    r = room.node.bpfast("policy", "apply", "-f", "-", input=text, timeout=30)
    assert r.code == 1
    assert "multiply each other's states" in r.err and "/tame" not in r.err
    assert not wrong(room, sample(5))
