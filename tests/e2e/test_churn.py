# SPDX-License-Identifier: Apache-2.0
"""Policies that change ten times a second, agents that are killed, pods that come and go: nobody who is allowed notices, and nobody
else gets through. For seconds; `make soak-churn` does it for minutes."""

import time

import pytest
from lab import churn
from lab.http import Closed, Connection, get
from lab.policy import http, payload
from lab.wait import SLOW

SECONDS = 5 * SLOW


@pytest.fixture(scope="module")
def scene(nodes):
    return churn.Scene(nodes())


def test_policies_change_all_the_time(scene):
    got = churn.run(scene, SECONDS, churn.Changer, churn.Visitors)
    assert churn.faults(got) == [], got
    assert got["changes"] >= 10 and got["visitors"] >= 2, got
    assert got["forbidden_tried"] >= 20 and got["slow_heads"] >= 8, got


def test_agents_are_killed_all_the_time(scene):
    got = churn.run(scene, SECONDS, churn.Killer)
    assert churn.faults(got) == [], got
    assert got["kills"] >= 2, got
    assert scene.node.bpfast("status").code == 0


# --- how long a head may take ---------------------------------------------------------------------------------------------------------


def large(n, rules=400):
    """A policy whose tables are so large that a small arena holds a few of them."""
    many = [{"method": "GET", "path": f"/v{i}/[a-z]+/x{n}"} for i in range(rules)]
    return payload("web", {"app": "web"}, ingress=[http(churn.CART, 9000, *many, {"method": "GET", "path": "/hello"})])


def test_a_head_outlives_as_many_policies_as_the_arena_holds(nodes):
    """Then it is refused once as stale-tables, whatever it asks for; its client begins again. What is whole in one packet is never."""
    node = nodes(agent_args=("--arena-mib", "1"))
    scene = churn.Scene(node)
    node.apply(large(0))
    arena = node.cli("-o", "json", "status").json["arena"]
    fit = arena["max_bytes"] // arena["used_bytes"]
    assert 3 <= fit <= 60, arena

    def begun(path):
        return Connection(scene.cart.ns, scene.web.ip4, 9000).send(f"GET {path} HTTP/1.1\r\nHost: web\r\n".encode())

    def ends(c):
        try:
            return c.send(b"\r\n").response().status
        except (Closed, OSError):
            return "reset"
        finally:
            c.close()

    kept, whole = begun("/hello"), Connection(scene.cart.ns, scene.web.ip4, 9000)
    for n in range(1, fit - 1):
        node.apply(large(n))
    assert ends(kept) == 200

    late = begun("/hello")
    for n in range(fit + 1):
        node.apply(large(100 + n))
        assert whole.send(get("/hello")).response().status == 200
        time.sleep(0.01)
    whole.close()
    scene.echo.clear()
    assert ends(late) in (403, "reset")
    drops = {d["reason"]: d for d in node.cli("-o", "json", "status").json["drops"]}
    assert drops["stale-tables"]["http_requests"] == 1
    assert scene.echo.targets() == []
    with Connection(scene.cart.ns, scene.web.ip4, 9000) as c:
        assert c.send(get("/hello")).response().status == 200
        assert c.send(get("/forbidden")).response().status == 403
