#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""`sudo make soak-churn`: under wrk on 32 connections, CHURN_SECONDS (60) each of

- policies that change ten times a second, while pods come and go;
- agents that are killed every two seconds;
- agents whose maps are laid out otherwise, there and back.

Beside it go requests that are forbidden, all the time, and heads that take two seconds (not under the third, which resets them).
No request of wrk may fail and no forbidden one may be served: else the exit status is 1. Writes build/soak/churn.md and prints it.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))
from lab import private  # noqa: E402

SECONDS = float(os.environ.get("CHURN_SECONDS", "60"))
OUT = os.path.join(os.environ.get("BPFAST_BUILD", os.path.join(ROOT, "build")), "soak")


def main():
    if not private.is_inside():
        private.enter([sys.executable, os.path.abspath(__file__), *sys.argv[1:]])
    private.prepare()
    from lab import churn
    from lab.node import Node

    rounds = {"policies change ten times a second": (churn.Changer, churn.Visitors), "the agent is killed every two seconds": (churn.Killer,),
              "other map layouts come and go": (churn.Upgrader,)}
    rows, bad = [], []
    node = Node("churn")
    try:
        scene = churn.Scene(node)
        for name, others in rounds.items():
            print(f"churn: {name}, {SECONDS:g} s", file=sys.stderr, flush=True)
            got = churn.run(scene, SECONDS, *others)
            if "changes" in got:
                done = f"{got['changes']}, {got['changes_per_second']:.1f} a second"
            elif "kills" in got:
                done = f"{got['kills']} kills"
            else:
                done = f"{got['upgrades']} upgrades, {got['carried']} flows carried over, {got['reset']} reset, {got['waited_ms']} ms held"
            beside = f"{got['visitors']}" if "visitors" in got else "-"
            slow = f"{sum(got['slow_wrong'].values())} of {got['slow_heads']}"
            rows.append((name, got["requests"], got["failed"], f"{got['forbidden_served']} of {got['forbidden_tried']}", slow, done,
                         f"{got['slowest_s'] * 1e3:.0f}", f"{got['max_ms']:.0f}", beside))
            bad += [f"{name}: {fault}" for fault in churn.faults(got)]
    finally:
        node.close()
    head = ("while", "requests", "failed", "forbidden served", "slow heads judged wrongly", "done", "slowest, ms", "max latency, ms", "pods that came and went")
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in (head, ["---"] * len(head), *rows)]
    lines += [""] + [f"- {b}" for b in bad]
    text = "\n".join(lines).rstrip() + "\n"
    os.makedirs(OUT, exist_ok=True)
    with open(os.path.join(OUT, "churn.md"), "w", encoding="utf-8") as f:
        f.write(text)
    print(text, end="")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
