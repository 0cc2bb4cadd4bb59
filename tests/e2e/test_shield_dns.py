# SPDX-License-Identifier: Apache-2.0
"""Random-subdomain attacks on a real DNS server: the names are stopped, those that people ask for are answered."""

import socket
import struct
import time

import pytest

from lab.wait import SLOW, until
from test_shield_detect import RELEASED, Lab, arrived, let_go, trafgen

# Eight random bytes below shop.example, each from another source; far more than people ask.
QUERY = "0x45, 0x00, c16(67), drnd(2), 0x00, 0x00, 64, 17, csumip(14, 33), drnd(4), WEB, drnd(2), c16(53), c16(47), 0, 0, " \
    "drnd(2), 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 8, drnd(8), 4, 0x53, 0x68, 0x4f, 0x70, 7, 0x65, 0x78, 0x41, 0x6d, 0x70, 0x6c, 0x65, 0, 0, 1, 0, 1"
# www is in the zone and was asked for before; so was mail. fresh is in the zone, and nobody has asked for it.
ZONE = ("www.shop.example", "mail.shop.example", "fresh.shop.example", "www.other.example")


def serve(pod):
    hosts = [f"--host-record={name},192.0.2.{i + 1}" for i, name in enumerate(ZONE)]
    return pod.popen("dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts", "--pid-file=", "--user=root",
                     "--local=/example/", "--cache-size=0", "--log-facility=/dev/null", *hosts)


def question(name, number):
    wire = b"".join(bytes([len(x)]) + x.encode() for x in name.split("."))
    return struct.pack(">6H", number, 0x0100, 1, 0, 0, 0) + wire + b"\0\0\1\0\1"


def asked(lab, name, tries=2):
    """Does the server answer, within a second? A stub resolver asks twice too."""
    with lab.good.ns.inside(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.settimeout(1)
        s.connect((lab.web.ip4, 53))
        for number in range(tries):
            s.send(question(name, number))
            try:
                return s.recv(512)[:2] == struct.pack(">H", number) or number > 0
            except (TimeoutError, ConnectionRefusedError):
                pass
    return False


def peace(lab, seconds):
    """What people ask for."""
    end, n = time.monotonic() + seconds, 0
    while time.monotonic() < end:
        n += sum(asked(lab, name) for name in ("www.shop.example", "mail.shop.example", "www.other.example"))
    return n


@pytest.fixture
def lab(nodes):
    """An agent that has seen no attack: its samples of what people ask are theirs alone."""
    lab = Lab(nodes(routed=True))
    server = serve(lab.web)
    until(lambda: asked(lab, "www.shop.example"), 10, "dnsmasq answers")
    yield lab
    server.terminate()
    server.wait()


def rule(lab):
    found = [a["dns_rule"] for a in lab.running() if "dns_rule" in a]
    return found[0] if found else None


def by_name(lab, pod):
    return lab.drops(pod).get("shield-dns-name", 0)


def test_random_subdomains(lab, tmp_path):
    assert lab.bad.run("ping", "-c", 1, "-W", 1, lab.web.ip4).returncode == 0
    with trafgen(tmp_path, lab, QUERY):
        # Whether honest queries are lost too depends on which of the two gets the CPU; the server's work does not.
        before = lab.counter(lab.web.iface, 1)
        bare = arrived(lab, 2)
        answers = lab.counter(lab.web.iface, 1) - before
    assert bare > 10000 and answers > 5000, f"without shield: {bare:.0f} a second arrive, and {answers} are answered in two seconds"
    lab.attach()
    try:
        until(lambda: asked(lab, "www.shop.example"), 10, "the server has come to itself")
        # One of sixteen packets is sampled, and what was there for less than three seconds may be of the attack.
        assert peace(lab, 12) > 2000
        with trafgen(tmp_path, lab, QUERY) as flood:
            until(lambda: by_name(lab, lab.bad) > 1000, 5 * SLOW, "random names are dropped")
            said = rule(lab)
            assert said["in_force"] and not said["audit"] and said["known_names"] == 2 and not said["known_sources_pass"], said
            assert said["rule"] == "queries for names below shop.example, but for 2 known before"
            assert arrived(lab, 1) < 0.1 * bare
            until(lambda: asked(lab, "www.other.example"), 5 * SLOW, "the server has come to itself")
            # Other names, and those below it that people had asked for: all of them, in whatever case.
            for name in ("www.other.example", "www.shop.example", "mail.shop.example", "wWw.SHOP.example", "shop.example"):
                assert all(asked(lab, name) for _ in range(10)), (name, lab.drops(lab.good), lab.running())
            # A name of the zone that nobody had asked for: not from who is known, but from who is allowed.
            assert not asked(lab, "fresh.shop.example") and by_name(lab, lab.good) > 0
            lab.node.cli("shield", "allow", lab.good.ip4)
            assert asked(lab, "fresh.shop.example")
            lab.node.cli("shield", "unallow", lab.good.ip4)
            attack = lab.running()[0]
            assert "dns-name" in attack["actions"] and attack["dns_suffix"] == "shop.example" and attack["dns_rule"]["packets"] > 1000
            assert "queries for names below shop.example" in lab.node.cli("shield", "status").out

            # In audit all arrive, and are counted.
            lab.node.cli("shield", "detect", lab.web.ip4, "--mode", "audit")
            dropped = by_name(lab, lab.bad)
            until(lambda: arrived(lab, 0.5) > 0.3 * bare, 5 * SLOW, "nothing is dropped in audit")
            assert by_name(lab, lab.bad) - dropped < bare
            lab.node.cli("shield", "detect", lab.web.ip4, "--mode", "enforce")
            until(lambda: arrived(lab, 0.5) < 0.1 * bare, 5 * SLOW, "they are dropped again")

            # The agent dies: the rule stays. The next one takes it over with the names that it cannot know.
            lab.node.kill_agent()
            assert arrived(lab, 1) < 0.1 * bare
            until(lambda: asked(lab, "www.shop.example"), 5 * SLOW, "the server has come to itself")
            assert not asked(lab, "fresh.shop.example")
            lab.node.start_agent()
            until(lambda: (rule(lab) or {}).get("in_force"), 10 * SLOW, "the next agent finds the same")
            assert rule(lab)["known_names"] == 2 and asked(lab, "www.shop.example")
            before = by_name(lab, lab.bad)
            until(lambda: by_name(lab, lab.bad) > before, 5 * SLOW, "the rule is met")
        # What was adopted beside it goes when nothing has met it for a while.
        until(lambda: not lab.running() and not lab.status()["detection"]["adopted"], 17 * SLOW, "it is let go of")
        over = let_go(lab, flood)
        assert over["dns_rule"]["packets"] > 1000 and not over["dns_rule"]["in_force"] and over["dropped"] > 0.5 * over["packets"], over
        assert asked(lab, "fresh.shop.example")
    finally:
        lab.detach()


def test_what_people_ask_keeps_no_rule(lab, tmp_path):
    """The agent dies in the attack, which ends meanwhile. The next one lets go of the rule, though people's own queries meet it."""
    assert lab.bad.run("ping", "-c", 1, "-W", 1, lab.web.ip4).returncode == 0
    lab.attach()
    try:
        assert peace(lab, 12) > 2000
        with trafgen(tmp_path, lab, QUERY):
            until(lambda: (rule(lab) or {}).get("in_force"), 5, "random names are dropped")
            lab.node.kill_agent()
        lab.node.start_agent()
        assert not asked(lab, "fresh.shop.example"), "the rule is in force"
        until(lambda: asked(lab, "fresh.shop.example"), RELEASED, "it is let go of")
        until(lambda: not lab.running() and not lab.status()["detection"]["adopted"], RELEASED, "so is the rest")
    finally:
        lab.detach()
