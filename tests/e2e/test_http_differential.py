# SPDX-License-Identifier: Apache-2.0
"""Thousands of requests to nginx, Apache httpd, HAProxy, Node and lighttpd, with us and without.

Bare runs show what each server takes a stream for. Guarded runs show that none executes what the policy
forbids, or what was not judged, or something else than the others. `policy explain` has to say of each stream
what the kernel then did. BPFAST_DIFFERENTIAL_SEEDS=N adds N seeds (make soak), from BPFAST_DIFFERENTIAL_SEED on.
"""

import json
import os
import random
import subprocess

import pytest
from differential import corpus, explained, generator, model, runner
from lab.node import BIN

SEED = 20
FIRST = int(os.environ.get("BPFAST_DIFFERENTIAL_SEED", SEED + 1))
MORE = int(os.environ.get("BPFAST_DIFFERENTIAL_SEEDS", "0"))
GENERATED = 600  # of each kind, for each seed


def cases_of(streams):
    seen, out = set(), []
    for family, name, data in streams:
        if data not in seen:
            seen.add(data)
            out.append(runner.Case(family, name, data))
    return out


@pytest.fixture(scope="module")
def room(nodes):
    room = runner.Room(nodes(), many=MORE > 0)
    room.cases = cases_of(corpus.by_hand() + generator.generated(SEED, GENERATED))
    return room


@pytest.fixture(scope="module")
def bare(room):
    room.bare(room.cases)
    return room


@pytest.fixture(scope="module")
def guarded(bare):
    bare.guard()
    bare.guarded(bare.cases)
    explain(bare, bare.cases)
    return bare


def explain(room, cases):
    oracle = runner.Explain(room.node, room.cart.ip4, "nginx")
    for case in cases:
        case.said = oracle.raw(case.stream)


def nothing(wrong, limit=25):
    """Fails with the bytes of what is wrong."""
    wrong = list(wrong)
    if wrong:
        lines = [f"{case}: {what}\n    {case.data[:600]!r}" for case, what in wrong[:limit]]
        pytest.fail("\n".join(lines + [f"... and {len(wrong) - limit} more"] * (len(wrong) > limit)), pytrace=False)


# --- what has to hold for every case --------------------------------------------------


def forbidden(cases):
    for case in cases:
        for name, entries in case.guarded.items():
            for entry in entries:
                if paths := model.forbidden(entry):
                    yield case, f"{name} executed {entry.method} {entry.raw} for {entry.host}, read as {paths}"


def align(case, name):
    """The forwarded request of each that the server executed; None where there is none."""
    forwarded = [r for r in case.kernel.get(name, ()) if r[0] == "FORWARDED"]
    at, out = 0, []
    for entry in case.guarded[name]:
        while at < len(forwarded) and not model.same_request(entry, forwarded[at][2], forwarded[at][3]):
            at += 1
        if at == len(forwarded):
            return None
        out.append(at)
        at += 1
    return out


def unjudged(cases):
    for case in cases:
        for name in case.guarded:
            if align(case, name) is None:
                yield case, f"{name} executed {[(e.method, e.raw) for e in case.guarded[name]]}, judged were {case.kernel.get(name)}"


def conflicts(cases):
    """Two servers that took the same forwarded request for different ones."""
    for case in cases:
        taken, bodies = {}, {}
        for name in case.guarded:
            for at, entry in zip(align(case, name) or (), case.guarded[name]):
                taken.setdefault(at, {}).setdefault(model.meaning(entry), []).append(name)
                if entry.body is not None and entry.body >= 0:  # it tells, and had it whole
                    bodies.setdefault(at, {}).setdefault(entry.body, []).append(name)
        for told in (*taken.values(), *bodies.values()):
            if len(told) > 1:
                yield case, f"read differently: {told}"


def unlike_explain(cases):
    for case in cases:
        side = case.said["result"]["ingress"]
        want = (side["requests"], [side["reason"]] if side["reason"] != "none" else [])
        for name in case.guarded:
            records = case.kernel.get(name, [])
            got = (sum(r[0] == "FORWARDED" for r in records), [r[1] for r in records if r[0] != "FORWARDED"])
            if got != want:
                yield case, f"explain says {want}, before {name} the kernel did {got}"


def still_unlike_explain(room, cases):
    """Records can be lost where the machine is busy; a verdict cannot. So what differs is sent once more."""
    wrong = list(unlike_explain(cases))
    again = [runner.Case(c.family, c.name, c.data) for c in {id(c): c for c, _ in wrong}.values()]
    if not 0 < len(again) <= 100:
        return wrong
    room.guarded(again)
    explain(room, again)
    return [x for check in (forbidden, unjudged, conflicts, unlike_explain) for x in check(again)]


def unexplained_denials(cases):
    """All five servers execute the same to the end, rules allow it, and it is denied for its form."""
    for case in cases:
        reason = case.said["result"]["ingress"]["reason"]
        if reason in ("none", "http-rule-denied"):
            continue
        lists = [[model.meaning(e) for e in entries] for entries in case.bare.values()]
        if not lists[0] or any(x != lists[0] for x in lists) or lists[0][-1][1] != "/sentinel":
            continue
        if any(model.forbidden(e) for entries in case.bare.values() for e in entries):
            continue
        if not explained.denied(reason, case.data):
            yield case, f"all agree on {lists[0]}, denied for {reason}"


def unexplained_refusals(cases):
    for case in cases:
        most = max(len(entries) for entries in case.guarded.values())
        less = sorted(name for name, entries in case.guarded.items() if len(entries) < most)
        if less and not explained.refused(case.data):
            yield case, f"forwarded, and executed by all but {less}"


# --- the tests ------------------------------------------------------------------------


def test_there_are_enough_requests_and_the_same_each_time(room):
    assert len(room.cases) >= 2000
    assert generator.generated(SEED, 50) == generator.generated(SEED, 50) != generator.generated(SEED + 1, 50)


def test_the_attacks_work_without_us(bare):
    """Each server, left alone, executes hundreds of what the policy forbids."""
    for name in bare.servers:
        done = [c for c in bare.cases if any(model.forbidden(e) for e in c.bare[name])]
        assert len(done) > 200, f"{name}: only {len(done)}"
    split = [c for c in bare.cases if len({tuple(model.meaning(e) for e in x) for x in c.bare.values()}) > 1]
    assert len(split) > 500, f"servers disagree on only {len(split)}"


def test_good_requests_reach_every_server(guarded):
    for case in guarded.cases:
        if case.data in (corpus.get(), corpus.get(b"/ok/..x"), corpus.post(b"Content-Length: 5", body=b"hello")):
            assert all([e.raw for e in x][-1:] == ["/sentinel"] and len(x) == 2 for x in case.guarded.values()), (str(case), case.guarded)


def test_no_server_executes_what_the_policy_forbids(guarded):
    nothing(forbidden(guarded.cases))


def test_no_server_executes_what_was_not_judged(guarded):
    nothing(unjudged(guarded.cases))


def test_servers_agree_on_what_is_forwarded(guarded):
    nothing(conflicts(guarded.cases))


def test_explain_gives_the_kernels_verdict(guarded):
    nothing(still_unlike_explain(guarded, guarded.cases))


def test_denials_of_what_all_servers_agree_on_are_explained(guarded):
    nothing(unexplained_denials(guarded.cases))


def test_refusals_by_single_servers_are_explained(guarded):
    nothing(unexplained_refusals(guarded.cases))


def test_explain_in_words_says_the_same(guarded):
    """--http and --header, for every case whose first request can be said so."""
    oracle = runner.Explain(guarded.node, guarded.cart.ip4, "nginx")
    sayable = [c for c in guarded.cases if model.in_words(c.data) and c.kernel.get("nginx")]
    assert len(sayable) > 500
    wrong = []
    for case in sayable:
        got, first = oracle.words(*model.in_words(case.data))["result"], case.kernel["nginx"][0]
        if (got["verdict"], got["reason"]) != (first[0], first[1] or "none"):
            wrong.append((case, f"explain says {got['verdict']} {got['reason']}, the kernel did {first}"))
    nothing(wrong)


def command_line(room, *args, data=None):
    """`policy explain` without an agent."""
    cmd = [os.path.join(BIN, "bpfast"), "-o", "json", "policy", "explain", "-f", room.policy_file, "--endpoint-file", room.endpoint_file]
    cmd += ["--from", room.cart.ip4, "--to", "nginx", "--port", "80", *args]
    r = subprocess.run(cmd, input=data, capture_output=True, check=False, timeout=20)
    return json.loads(r.stdout) if r.returncode == 0 else {"failed": r.stderr.decode() or r.stdout.decode()}


@pytest.fixture(scope="module")
def files(guarded):
    guarded.policy_file = os.path.join(guarded.node.dir, "policy.yaml")
    guarded.endpoint_file = os.path.join(guarded.node.dir, "endpoints.json")
    for path, text in ((guarded.policy_file, model.policy()), (guarded.endpoint_file, guarded.node.cli("-o", "json", "endpoint", "list").out)):
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    return guarded


def test_the_command_line_says_the_same(files):
    """Without an agent: by raw bytes for a sample of all, and by --http and --header where the request can be said so."""
    r = random.Random(SEED)
    for case in r.sample(files.cases, 150):
        want, got = case.said["result"]["ingress"], command_line(files, "--raw", "-", data=case.stream)
        assert got.get("ingress", got) == want, f"{case}: {case.data!r}"
    sayable = [c for c in files.cases if model.in_words(c.data) and c.kernel.get("nginx")]
    for case in r.sample(sayable, 100):
        line, headers = model.in_words(case.data)
        got = command_line(files, "--http", line, *(x for h in headers for x in ("--header", h)))
        first = case.kernel["nginx"][0]
        want = (first[0], first[1] or "none")
        assert (got.get("verdict"), got.get("reason")) == want, f"{case}: {case.data!r}: {got}"


@pytest.mark.parametrize("seed", range(FIRST, FIRST + MORE))
def test_more_seeds(guarded, seed):
    cases = cases_of(generator.generated(seed, GENERATED))
    guarded.guarded(cases)
    explain(guarded, cases)
    nothing([x for check in (forbidden, unjudged, conflicts) for x in check(cases)])
    nothing(still_unlike_explain(guarded, cases))
