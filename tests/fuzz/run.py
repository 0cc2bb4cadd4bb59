#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Runs the fuzz targets, each for a stated time, from the seeds in the tree and what earlier runs here have found."""

import argparse
import os
import re
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.join(HERE, "..", "..", "build-fuzz")
# The longest input. Long ones are slow, and have nothing that short ones have not.
LONGEST = {"http1": 4200, "response": 2400, "regex": 190, "policy": 4096, "pcap": 4096, "socket": 8192, "cni": 4096, "history": 4096}


def run(name, seconds):
    """-> (0 where nothing was found, the log)"""
    found = os.path.realpath(os.path.join(BUILD, "corpus", name))
    os.makedirs(found, exist_ok=True)
    cmd = [os.path.join(BUILD, "tests", "fuzz", f"fuzz_{name}"), f"-max_total_time={seconds}", f"-max_len={LONGEST[name]}"]
    cmd += ["-timeout=10", "-rss_limit_mb=1024", "-print_final_stats=1", f"-artifact_prefix={found}-"]
    words = os.path.join(HERE, "dict", name)
    if os.path.exists(words):
        cmd.append(f"-dict={words}")
    cmd += [found, os.path.join(HERE, "corpus", name)]
    # Input that is being run ends by -timeout; this is for what that does not end.
    r = subprocess.run(cmd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=seconds + 120, check=False)
    return r.returncode, r.stdout.decode(errors="replace")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--only", action="append", choices=sorted(LONGEST))
    args = parser.parse_args()
    bad = 0
    for name in args.only or LONGEST:
        began = time.time()
        code, log = run(name, args.seconds)
        runs = re.search(r"stat::number_of_executed_units:\s*(\d+)", log)
        covered = re.findall(r"cov: (\d+)", log)
        print(f"fuzz {name:9} {int(runs[1]) if runs else 0:9} inputs in {time.time() - began:3.0f} s, {covered[-1] if covered else '?'} edges{'' if not code else ', FAILED'}", flush=True)
        if code:
            bad += 1
            print(log[-6000:], flush=True)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
